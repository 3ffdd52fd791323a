// Goal: no bytes that a client sends crash the server, make it allocate by a number that it was
// told, hand the engine a job that is outside the model or the queue's limits, or make a reply
// larger than was said. Method: the input is a method, a model, and a message's bytes; they take
// the way of a request up to the engine, a stub fills the outputs, and the reply is written. Seeds
// are two bytes, the choices of method and model, and what `protoc --encode` makes of a request.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "attnd/v1/model.pb.h"
#include "core/base/check.h"
#include "google/protobuf/stubs/logging.h"
#include "server/heads/answer.h"
#include "server/heads/classify.h"
#include "server/heads/classify_tokens.h"
#include "server/heads/fill_mask.h"
#include "server/heads/rerank.h"
#include "server/heads/tokenize.h"
#include "server/represent/outputs.h"
#include "server/represent/windows.h"
#include "server/rpc/encode_reply.h"
#include "server/validate/attention.h"
#include "server/validate/encode.h"
#include "server/validate/encode_size.h"
#include "server/validate/error.h"
#include "server/validate/similarity.h"
#include "server/validate/wire.h"
#include "tests/fuzz/json_mutator.h"
#include "tests/fuzz/message_mutator.h"
#include "tests/server/stub_model.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using google::protobuf::Message;

// Small, so that an input of a few KiB meets every one of them, and an allocation that none of them
// bounds is one that libFuzzer sees.
Limits SmallLimits() {
  Limits limits;
  limits.inputs_per_request = 8;
  limits.text_bytes = 512;
  limits.request_text_bytes = 1024;
  limits.message_bytes = 64 << 10;
  limits.batch_tokens = 64;
  limits.queue_tokens = 256;
  limits.queue_requests = 32;
  limits.queue_bytes = 1 << 20;
  limits.attention_scores = 4096;
  limits.attention_flops = 1 << 20;
  limits.layers_per_request = 2;
  limits.attention_map_scores = 4096;
  limits.spans_per_input = 32;
  limits.documents_per_request = 8;
  limits.candidates_per_mask = 100;
  limits.answers_per_question = 20;
  return limits;
}

// One for each kind of head, and one without a tokenizer.
std::vector<ServedModel> MakeModels(const Tokenizer* tokenizer) {
  std::vector<ServedModel> models(6, testing::StubServedModel(tokenizer));
  ModelInfo& labels = models[1].info;
  labels.head = HeadKind::kSequenceLabels;
  labels.labels = {"LABEL_0"};
  labels.score_function = ScoreFunction::kSigmoid;
  models[2].info.head = HeadKind::kTokenLabels;
  models[2].info.labels = {"O", "B-PER", "I-PER"};
  models[3].info.head = HeadKind::kSpan;
  models[4].info.head = HeadKind::kVocabulary;
  models[4].info.projection = 3;
  models[4].info.has_pooler = true;
  models[4].mask_id = 4;
  models[4].vocabulary_bytes = VocabularyBytes(models[4]);
  models[5].info.prompts = {{"query", "query: "}};
  models[5].info.default_prompt_name = "query";
  models[5].info.token_types = 0;
  models[5].decode = nullptr;
  for (ServedModel& model : models) {
    model.size_outputs = [info = model.info](EncodeTask& task) {
      testing::SizeStubOutputs(info, task);
    };
  }
  return models;
}

// One reason, its code, and a message that can travel.
void CheckRefusal(const absl::Status& status) {
  const v1::ErrorReason reason = ErrorReasonOf(status);
  CHECK_THAT(reason != v1::ERROR_REASON_UNSPECIFIED || absl::IsInternal(status));
  CHECK_THAT(reason == v1::ERROR_REASON_UNSPECIFIED || status.code() == CodeOf(reason));
  const std::string_view message(status.message().data(), status.message().size());
  CHECK_THAT(!message.empty() && message.size() < 1000 && IsUtf8(message));
  CHECK_THAT(message.find('\n') == std::string_view::npos);
  CHECK_THAT(!ToProto(WithReason(status)).SerializeAsString().empty());
}

// Numbers that no two places share, some of them what a head's softmax finds hard.
void Fill(EncodeTask& task) {
  for (const auto output : kEncodeOutputs) {
    std::vector<float>& values = task.*output;
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = i % 7 == 3 ? -1e30f : static_cast<float>(i % 64) - 20.0f;
    }
  }
}

uint64_t OutputBytes(const EncodeTask& task) {
  uint64_t floats = 0;
  for (const auto output : kEncodeOutputs) floats += (task.*output).size();
  return floats * sizeof(float);
}

// What the engine and the queue take for granted.
void CheckTask(const EncodeTask& task, const ModelInfo& info) {
  const auto is_id = [&](int32_t id) { return 0 <= id && id < info.vocabulary; };
  const auto is_type = [&](int32_t type) {
    return 0 <= type && type < std::max(info.token_types, 1);
  };
  CHECK_THAT(task.ids.empty() != task.embeddings.empty());
  CHECK_THAT(std::all_of(task.ids.begin(), task.ids.end(), is_id));
  CHECK_THAT(task.types.empty() || task.types.size() == task.ids.size());
  CHECK_THAT(std::all_of(task.types.begin(), task.types.end(), is_type));
  CHECK_THAT(task.embeddings.size() % info.hidden == 0);
  CHECK_THAT(std::all_of(task.embeddings.begin(), task.embeddings.end(),
                         [](float value) { return std::isfinite(value); }));
  for (const int32_t layer : task.hidden_layers) CHECK_THAT(0 <= layer && layer <= info.layers);
  for (const int32_t layer : task.attention_layers) CHECK_THAT(1 <= layer && layer <= info.layers);
  for (const int32_t head : task.attention_heads) CHECK_THAT(0 <= head && head < info.heads);
  CHECK_THAT(task.attention_layers.empty() == task.attention_heads.empty());
  CHECK_THAT(!task.return_sparse || info.head == HeadKind::kVocabulary);
  CHECK_THAT(!task.return_logits || info.head != HeadKind::kNone);
  CHECK_THAT(task.pooling != Pooling::kPooler || info.has_pooler);
}

// Checks the jobs, then does what the engine would.
void RunJobs(std::span<const std::unique_ptr<Job>> jobs, const ServedModel& model,
             const Limits& limits) {
  CHECK_THAT(!jobs.empty() && static_cast<int64_t>(jobs.size()) <= limits.queue_requests);
  int64_t tokens = 0, bytes = 0;
  for (const auto& job : jobs) {
    auto& task = std::get<EncodeTask>(job->task);
    CheckTask(task, model.info);
    CHECK_THAT(job->rows == static_cast<int32_t>(testing::StubModel::RowsOf(task)));
    CHECK_THAT(1 <= job->rows && job->rows <= model.info.length_max);
    tokens += job->rows;
    bytes += static_cast<int64_t>(job->bytes);
    CHECK_THAT(OutputBytes(task) == 0);
    model.size_outputs(task);
    CHECK_THAT(OutputBytes(task) <= job->bytes);
    Fill(task);
  }
  CHECK_THAT(tokens <= limits.queue_tokens && bytes <= limits.queue_bytes);
}

void CheckReply(const Message& reply, const Limits& limits) {
  CHECK_THAT(static_cast<int64_t>(reply.ByteSizeLong()) <= limits.message_bytes);
  CHECK_THAT(!reply.SerializeAsString().empty());
}

// The outputs of one input, of its windows together.
EncodeTask Finish(const EncodePlan& plan, const PlannedInput& input, size_t& job,
                  const ModelInfo& info) {
  std::vector<EncodeTask> parts;
  for (size_t i = 0; i < input.job_count(); ++i) {
    parts.push_back(std::get<EncodeTask>(plan.jobs[job++]->task));
  }
  EncodeTask task =
      input.windows.empty() ? std::move(parts[0]) : MergeWindows(input.merge_order, parts);
  FinishOutputs(plan.choices, info, task);
  return task;
}

void ReplyToEncode(const EncodePlan& plan, const ServedModel& model, const Limits& limits,
                   ReplyForm form) {
  RunJobs(plan.jobs, model, limits);
  v1::EncodeResponse response;
  WriteModel(model, *response.mutable_model());
  size_t job = 0;
  for (const PlannedInput& input : plan.inputs) {
    const EncodeTask task = Finish(plan, input, job, model.info);
    v1::Encoding& encoding = *response.add_encodings();
    WriteFixed(plan.choices, input, task, model, encoding);
    CHECK_THAT(static_cast<int64_t>(encoding.ByteSizeLong()) <= input.fixed_bytes);
    if (!plan.choices.return_token_vectors) continue;
    const RowRange all{.first = 0, .count = input.rows_sent()};
    WriteRows(plan.choices, input, task, model.info.hidden, all, encoding);
    CHECK_THAT(static_cast<int64_t>(encoding.ByteSizeLong()) <=
               input.fixed_bytes + all.count * RowBytes(plan.choices));
  }
  CHECK_THAT(job == plan.jobs.size());
  if (form == ReplyForm::kOneMessage) CheckReply(response, limits);
}

void Encode(const v1::EncodeRequest& request, const ServedModel& model, const Limits& limits,
            ReplyForm form) {
  const auto plan = PlanEncode(request, model, limits, form);
  plan.ok() ? ReplyToEncode(*plan, model, limits, form) : CheckRefusal(plan.status());
}

void Handle(const v1::EncodeRequest& request, const ServedModel& model, const Limits& limits) {
  Encode(request, model, limits, ReplyForm::kOneMessage);
}

void Handle(const v1::EncodeStreamRequest& request, const ServedModel& model,
            const Limits& limits) {
  Encode(request.request(), model, limits, ReplyForm::kParts);
}

void Handle(const v1::SimilarityRequest& request, const ServedModel& model, const Limits& limits) {
  const auto plan = PlanSimilarity(request, model, limits);
  if (!plan.ok()) return CheckRefusal(plan.status());
  RunJobs(plan->encode.jobs, model, limits);
  CHECK_THAT(plan->encode.inputs.size() == plan->sources + plan->targets);
  std::vector<EncodeTask> tasks;
  size_t job = 0;
  for (const PlannedInput& input : plan->encode.inputs) {
    tasks.push_back(Finish(plan->encode, input, job, model.info));
  }
  std::vector<std::span<const float>> vectors;
  for (const EncodeTask& task : tasks) vectors.emplace_back(task.pooled_out);
  for (const float cosine : Cosines(vectors, vectors)) CHECK_THAT(std::fabs(cosine) <= 1);
}

template <typename T>
void CheckPlannedAttention(const absl::StatusOr<T>& task, const Limits& limits) {
  if (!task.ok()) return CheckRefusal(task.status());
  const int32_t rows = BatchRows(*task, limits);
  CHECK_THAT(1 <= rows && rows <= limits.batch_tokens);
  // What it was given, and what the limits on scores and on the reply allow.
  CHECK_THAT(TaskBytes(*task) <= uint64_t{1} << 20);
}

void Handle(const v1::AttendRequest& request, const ServedModel&, const Limits& limits) {
  const auto task = PlanAttend(request, limits);
  CheckPlannedAttention(task, limits);
  if (!task.ok()) return;
  const auto size = [](std::initializer_list<int64_t> shape) {
    size_t product = 1;
    for (const int64_t dimension : shape) product *= static_cast<size_t>(dimension);
    return product;
  };
  CHECK_THAT(task->query.size() ==
             size({task->batch, task->query_heads, task->query_length, task->key_size}));
  CHECK_THAT(task->key.size() ==
             size({task->batch, task->key_heads, task->key_length, task->key_size}));
  CHECK_THAT(task->value.size() ==
             size({task->batch, task->key_heads, task->key_length, task->value_size}));
  CHECK_THAT(task->query_heads % task->key_heads == 0 && std::isfinite(task->scale));
}

void Handle(const v1::SelfAttentionRequest& request, const ServedModel&, const Limits& limits) {
  const auto task = PlanSelfAttention(request, limits);
  CheckPlannedAttention(task, limits);
  if (!task.ok()) return;
  CHECK_THAT(task->heads >= 1 && task->inner_size % task->heads == 0);
  CHECK_THAT(task->input.size() == static_cast<size_t>(task->rows * task->input_size));
  CHECK_THAT(task->w_o.size() == static_cast<size_t>(task->inner_size * task->output_size));
}

template <auto kPlan, auto kReply, typename Request>
void HandleHead(const Request& request, const ServedModel& model, const Limits& limits) {
  const auto plan = kPlan(request, model, limits);
  if (!plan.ok()) return CheckRefusal(plan.status());
  RunJobs(plan->jobs, model, limits);
  CheckReply(kReply(*plan, plan->jobs, model), limits);
}

void Handle(const v1::ClassifyRequest& request, const ServedModel& model, const Limits& limits) {
  HandleHead<&PlanClassify, &ClassifyReply>(request, model, limits);
}
void Handle(const v1::ClassifyTokensRequest& request, const ServedModel& model,
            const Limits& limits) {
  HandleHead<&PlanClassifyTokens, &ClassifyTokensReply>(request, model, limits);
}
void Handle(const v1::RerankRequest& request, const ServedModel& model, const Limits& limits) {
  HandleHead<&PlanRerank, &RerankReply>(request, model, limits);
}
void Handle(const v1::FillMaskRequest& request, const ServedModel& model, const Limits& limits) {
  HandleHead<&PlanFillMask, &FillMaskReply>(request, model, limits);
}
void Handle(const v1::AnswerRequest& request, const ServedModel& model, const Limits& limits) {
  HandleHead<&PlanAnswer, &AnswerReply>(request, model, limits);
}

void Handle(const v1::TokenizeRequest& request, const ServedModel& model, const Limits& limits) {
  const auto result = Tokenize(request, model, limits);
  result.ok() ? CheckReply(result->response, limits) : CheckRefusal(result.status());
}
void Handle(const v1::DetokenizeRequest& request, const ServedModel& model, const Limits& limits) {
  const auto reply = Detokenize(request, model, limits);
  reply.ok() ? CheckReply(*reply, limits) : CheckRefusal(reply.status());
}

void Handle(const v1::GetModelRequest& request, const ServedModel&, const Limits&) {
  CHECK_THAT(IsUtf8(request.model()));
}

struct Method {
  std::unique_ptr<Message> (*make)();
  void (*handle)(const Message& request, const ServedModel& model, const Limits& limits);
};

template <typename Request>
constexpr Method MethodOf() {
  return {[]() -> std::unique_ptr<Message> { return std::make_unique<Request>(); },
          [](const Message& request, const ServedModel& model, const Limits& limits) {
            Handle(static_cast<const Request&>(request), model, limits);
          }};
}

// The first byte of an input, modulo their number, chooses one, and the second byte a model.
constexpr std::array kMethods = {
    MethodOf<v1::EncodeRequest>(),         MethodOf<v1::EncodeStreamRequest>(),
    MethodOf<v1::SimilarityRequest>(),     MethodOf<v1::AttendRequest>(),
    MethodOf<v1::SelfAttentionRequest>(),  MethodOf<v1::ClassifyRequest>(),
    MethodOf<v1::ClassifyTokensRequest>(), MethodOf<v1::RerankRequest>(),
    MethodOf<v1::FillMaskRequest>(),       MethodOf<v1::AnswerRequest>(),
    MethodOf<v1::TokenizeRequest>(),       MethodOf<v1::DetokenizeRequest>(),
    MethodOf<v1::GetModelRequest>()};
constexpr size_t kChoiceBytes = 2;

const Method& MethodOf(uint8_t choice) { return kMethods[choice % kMethods.size()]; }

void Run(std::span<const uint8_t> input) {
  static const std::unique_ptr<const Tokenizer> tokenizer =
      *Tokenizer::Load(testing::TinyTokenizer());
  static const std::vector<ServedModel> models = MakeModels(tokenizer.get());
  static const Limits limits = SmallLimits();
  if (input.size() < kChoiceBytes) return;
  const Method& method = MethodOf(input[0]);
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()) + kChoiceBytes,
                               input.size() - kChoiceBytes);
  // A stream looks for the id in what may be broken behind it.
  if (const auto id = FindField(bytes, 1)) CHECK_THAT(id->size() <= bytes.size());
  const std::unique_ptr<Message> request = method.make();
  if (!request->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    CheckRefusal(ExplainParseFailure(bytes, *request->GetDescriptor()));
    return;
  }
  method.handle(*request, models[input[1] % models.size()], limits);
}

// Mutates the message by its fields; one time in four, and what is no message, by its bytes.
size_t Mutate(uint8_t* data, size_t size, size_t size_max, unsigned seed) {
  std::minstd_rand random(seed);
  if (size < kChoiceBytes || random() % 4 == 0) return LLVMFuzzerMutate(data, size, size_max);
  if (random() % 8 == 0) data[1] = static_cast<uint8_t>(random());
  const std::unique_ptr<Message> request = MethodOf(data[0]).make();
  if (!request->ParseFromArray(data + kChoiceBytes, static_cast<int>(size - kChoiceBytes))) {
    return LLVMFuzzerMutate(data, size, size_max);
  }
  MutateMessage(*request, random);
  const std::string bytes = request->SerializeAsString();
  const size_t kept = std::min(bytes.size(), size_max - kChoiceBytes);
  std::memcpy(data + kChoiceBytes, bytes.data(), kept);
  return kChoiceBytes + kept;
}

}  // namespace
}  // namespace attnd

// Protobuf logs every text that is not UTF-8.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,
                                          unsigned seed) {
  return attnd::Mutate(data, size, size_max, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attnd::Run({data, size});
  return 0;
}
