#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "attnd/v1/answer.grpc.pb.h"
#include "attnd/v1/classifier.grpc.pb.h"
#include "attnd/v1/encoder.pb.h"
#include "attnd/v1/fill_mask.grpc.pb.h"
#include "attnd/v1/rerank.grpc.pb.h"
#include "attnd/v1/tokenizer.grpc.pb.h"
#include "grpcpp/grpcpp.h"

// The services of the heads and of the tokenizer, with answers that a test can foretell and a copy
// of what was asked. An input, query, question or id that is "refuse" (or 0) fails; one that is
// "lose" (or 1) has its answer left out of the reply.
namespace attnd::client {

inline v1::Tensor FloatTensor(const std::vector<int64_t>& shape, const std::vector<float>& values) {
  v1::Tensor tensor;
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  tensor.mutable_shape()->Add(shape.begin(), shape.end());
  tensor.set_data(values.data(), values.size() * sizeof(float));
  return tensor;
}

// The last request of a method.
template <typename Request>
class LastRequest {
 public:
  void Set(const Request& request) {
    absl::MutexLock lock(&mutex_);
    request_ = request;
  }
  Request Get() {
    absl::MutexLock lock(&mutex_);
    return request_;
  }

 private:
  absl::Mutex mutex_;
  Request request_ ABSL_GUARDED_BY(mutex_);
};

inline grpc::Status NoSuchHead() {
  return {grpc::StatusCode::FAILED_PRECONDITION, "model \"fake\" has no such head"};
}

template <typename Response>
void SetFakeModel(Response& response) {
  response.mutable_model()->set_name("fake");
  response.mutable_model()->set_version("v1");
}

template <typename Answered>
void SetFakeCounts(int index, Answered& answered) {
  answered.set_input_index(index);
  answered.set_token_count(6);
  answered.mutable_timings()->set_compute_seconds(0.25);
}

// POSITIVE 0.75 and NEGATIVE 0.25; spans PER [0,6) and LOC [16,22).
class FakeClassifier final : public v1::ClassifierService::Service {
 public:
  LastRequest<v1::ClassifyRequest> last;
  LastRequest<v1::ClassifyTokensRequest> last_tokens;

  grpc::Status Classify(grpc::ServerContext*, const v1::ClassifyRequest* request,
                        v1::ClassifyResponse* response) override {
    last.Set(*request);
    SetFakeModel(*response);
    for (int i = 0; i < request->inputs_size(); ++i) {
      if (request->inputs(i).text() == "refuse") return NoSuchHead();
      if (request->inputs(i).text() == "lose") continue;
      v1::Classification& result = *response->add_classifications();
      SetFakeCounts(i, result);
      for (const bool positive : {true, false}) {
        v1::LabelScore& label = *result.add_labels();
        label.set_label(positive ? "POSITIVE" : "NEGATIVE");
        label.set_label_id(positive ? 1 : 0);
        label.set_score(positive ? 0.75F : 0.25F);
        if (request->options().return_logits()) label.set_logit(positive ? 1.5F : -0.5F);
      }
    }
    return grpc::Status::OK;
  }

  grpc::Status ClassifyTokens(grpc::ServerContext*, const v1::ClassifyTokensRequest* request,
                              v1::ClassifyTokensResponse* response) override {
    last_tokens.Set(*request);
    SetFakeModel(*response);
    for (int i = 0; i < request->inputs_size(); ++i) {
      if (request->inputs(i).text() == "refuse") return NoSuchHead();
      if (request->inputs(i).text() == "lose") continue;
      v1::TokenClassification& result = *response->add_classifications();
      SetFakeCounts(i, result);
      if (request->inputs(i).text() == "nothing") continue;
      AddSpan("PER", 0.99F, {0, 6}, "Angela", result);
      AddSpan("LOC", 0.5F, {16, 22}, "Berlin", result);
    }
    return grpc::Status::OK;
  }

 private:
  static void AddSpan(const char* label, float score, std::pair<int, int> range, const char* text,
                      v1::TokenClassification& result) {
    v1::LabelSpan& span = *result.add_spans();
    span.set_label(label);
    span.set_score(score);
    span.set_start(range.first);
    span.set_end(range.second);
    span.set_first_token(1);
    span.set_end_token(2);
    span.set_text(text);
  }
};

// The documents from the last to the first, with scores 0.9, 0.8, ...
class FakeRerank final : public v1::RerankService::Service {
 public:
  LastRequest<v1::RerankRequest> last;

  grpc::Status Rerank(grpc::ServerContext*, const v1::RerankRequest* request,
                      v1::RerankResponse* response) override {
    last.Set(*request);
    if (request->query() == "refuse") return NoSuchHead();
    SetFakeModel(*response);
    response->set_token_count(12);
    float score = 0.9F;
    for (int i = request->documents_size() - 1; i >= 0; --i, score -= 0.1F) {
      v1::RankedDocument& result = *response->add_results();
      result.set_index(request->query() == "lose" ? request->documents_size() : i);
      result.set_score(score);
      if (request->options().return_logits()) result.set_logit(2);
      if (request->options().return_documents()) result.set_document(request->documents(i));
    }
    return grpc::Status::OK;
  }
};

// One mask at [9,15), token 4: "capital" 0.75, "heart" 0.125.
class FakeFillMask final : public v1::FillMaskService::Service {
 public:
  LastRequest<v1::FillMaskRequest> last;

  grpc::Status FillMask(grpc::ServerContext*, const v1::FillMaskRequest* request,
                        v1::FillMaskResponse* response) override {
    last.Set(*request);
    SetFakeModel(*response);
    for (int i = 0; i < request->inputs_size(); ++i) {
      if (request->inputs(i).text() == "refuse") return NoSuchHead();
      if (request->inputs(i).text() == "lose") continue;
      v1::FilledInput& result = *response->add_inputs();
      SetFakeCounts(i, result);
      v1::FilledMask& mask = *result.add_masks();
      mask.set_token_index(4);
      mask.set_start(9);
      mask.set_end(15);
      for (const bool first : {true, false}) {
        v1::TokenCandidate& candidate = *mask.add_candidates();
        candidate.set_id(first ? 3007 : 2540);
        candidate.set_token(first ? "\u0120capital" : "\u0120heart");
        candidate.set_text(first ? "capital" : "heart");
        candidate.set_score(first ? 0.75F : 0.125F);
        if (request->options().return_logits()) candidate.set_logit(first ? 9.5F : 7.5F);
      }
    }
    return grpc::Status::OK;
  }
};

// "Berlin" at [7,13) with 0.875; then, where it is allowed, no answer with 0.0625.
class FakeAnswer final : public v1::AnswerService::Service {
 public:
  LastRequest<v1::AnswerRequest> last;

  grpc::Status Answer(grpc::ServerContext*, const v1::AnswerRequest* request,
                      v1::AnswerResponse* response) override {
    last.Set(*request);
    SetFakeModel(*response);
    for (int i = 0; i < request->questions_size(); ++i) {
      if (request->questions(i).question() == "refuse") return NoSuchHead();
      if (request->questions(i).question() == "lose") continue;
      v1::QuestionAnswers& result = *response->add_questions();
      result.set_question_index(i);
      result.set_token_count(40);
      result.set_window_count(2);
      v1::Answer& answer = *result.add_answers();
      answer.set_text("Berlin");
      answer.set_score(0.875F);
      answer.set_start(7);
      answer.set_end(13);
      if (request->options().allow_no_answer()) result.add_answers()->set_score(0.0625F);
    }
    return grpc::Status::OK;
  }
};

// Tokens "[CLS]" and "caf\u00e9"; ids become "id id id".
class FakeTokenizer final : public v1::TokenizerService::Service {
 public:
  LastRequest<v1::TokenizeRequest> last;
  LastRequest<v1::DetokenizeRequest> last_ids;

  static void FillTokens(v1::Tokens& tokens) {
    for (const bool special : {true, false}) {
      tokens.add_ids(special ? 101 : 7);
      tokens.add_strings(special ? "[CLS]" : "caf\u00e9");
      tokens.add_starts(0);
      tokens.add_ends(special ? 0 : 4);
      tokens.add_text_indices(special ? -1 : 0);
      tokens.add_special(special);
      tokens.add_type_ids(0);
      tokens.add_word_ids(special ? -1 : 0);
    }
  }

  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    last.Set(*request);
    SetFakeModel(*response);
    for (int i = 0; i < request->inputs_size(); ++i) {
      if (request->inputs(i).text() == "refuse") return NoSuchHead();
      if (request->inputs(i).text() == "lose") continue;
      v1::Tokenization& result = *response->add_tokenizations();
      result.set_input_index(i);
      FillTokens(*result.mutable_tokens());
    }
    return grpc::Status::OK;
  }

  grpc::Status Detokenize(grpc::ServerContext*, const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    last_ids.Set(*request);
    SetFakeModel(*response);
    for (const v1::TokenIds& input : request->inputs()) {
      if (input.ids_size() > 0 && input.ids(0) == 0) return NoSuchHead();
      if (input.ids_size() > 0 && input.ids(0) == 1) continue;
      std::string text;
      for (const int32_t id : input.ids()) {
        absl::StrAppend(&text, text.empty() ? "" : " ", id);
      }
      response->add_texts(text);
    }
    return grpc::Status::OK;
  }
};

constexpr int32_t kFakeLayers = 6;

// What an encoding of two tokens has besides vectors: only what the options ask for. Head h gives
// weights {0.9 - 0.2 h, 0.1 + 0.2 h; 0.5, 0.5}; there are two heads.
inline void FillRepresentations(const v1::EncodeOptions& options, v1::Encoding& encoding) {
  for (const int32_t layer : options.hidden_layers().layers()) {
    const auto value = static_cast<float>(layer);
    *encoding.add_hidden_layers() = FloatTensor({2, 1}, {value, value + 0.5F});
  }
  for (const int32_t layer : options.attention().layers()) {
    v1::AttentionMap& map = *encoding.add_attention();
    map.set_layer(layer < 0 ? kFakeLayers + 1 + layer : layer);
    *map.mutable_heads() = options.attention().heads();
    if (map.heads().empty()) {
      map.add_heads(0);
      map.add_heads(1);
    }
    std::vector<float> weights;
    for (const int32_t head : map.heads()) {
      const float less = 0.2F * static_cast<float>(head);
      weights.insert(weights.end(), {0.9F - less, 0.1F + less, 0.5F, 0.5F});
    }
    *map.mutable_weights() = FloatTensor({map.heads_size(), 2, 2}, weights);
  }
  if (options.has_spans()) {
    v1::Span& span = *encoding.add_spans();
    span.set_end(4);
    span.set_first_token(1);
    span.set_end_token(2);
    *encoding.mutable_span_vectors() = FloatTensor({1, 2}, {0.25F, 0.75F});
  }
  if (options.return_sparse()) {
    for (const int32_t id : {5, 9}) {
      encoding.mutable_sparse()->add_ids(id);
      encoding.mutable_sparse()->add_weights(static_cast<float>(id) / 8);
      encoding.mutable_sparse()->add_tokens(absl::StrCat("token", id));
    }
  }
  if (options.return_multi_vector()) {
    *encoding.mutable_multi_vectors() = FloatTensor({1, 2}, {0, 1});
    encoding.add_kept_tokens(1);
  }
  if (options.has_windows()) {
    encoding.add_windows()->set_end_token(1);
    encoding.add_windows()->set_end_token(2);
  }
}

}  // namespace attnd::client
