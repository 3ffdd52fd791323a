#include "tests/golden/encoder_cases.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "core/base/strings.h"
#include "tests/golden/tokenizer_cases.h"

namespace attnd::golden {
namespace {

// Where the tensors of one input stand in those of the case.
struct Slot {
  std::optional<int64_t>
      item;  // Its index in the first dimension; absent: the tensors have no such dimension.
  int64_t rows = 0;  // Those with a mask of 1; what follows is padding.
};

struct Input {
  std::vector<int32_t> ids, types;
  Slot slot;
};

// All that a request can ask for about one input.
struct Encoding {
  int64_t rows = 0, hidden = 0;
  std::vector<float> last;                       // [rows, hidden]
  std::map<int32_t, std::vector<float>> layers;  // Each [rows, hidden].
  std::vector<float> pooled;                     // By the model's own pooling.
  std::vector<float> pooler;                     // Empty if the model has none.
};

// N of `hidden_states.N`.
std::optional<int32_t> LayerOf(std::string_view tensor) {
  constexpr std::string_view kPrefix = "hidden_states.";
  int32_t layer = 0;
  if (!tensor.starts_with(kPrefix)) return std::nullopt;
  if (!absl::SimpleAtoi(ToAbsl(tensor.substr(kPrefix.size())), &layer)) return std::nullopt;
  return layer;
}

std::vector<int32_t> LayersOf(const std::vector<std::string>& tensors) {
  std::vector<int32_t> layers;
  for (const std::string& name : tensors) {
    if (const auto layer = LayerOf(name)) layers.push_back(*layer);
  }
  return layers;
}

// Two tasks for one input, as a task pools once: first with all rows and the model's pooling, then,
// where the model has one, with the pooler.
void AppendTasks(const Input& input, const std::vector<int32_t>& layers, const Model& model,
                 std::vector<Task>& tasks) {
  EncodeTask task;
  task.ids = input.ids;
  task.types = input.types;
  task.return_rows = true;
  task.pooling = model.info().pooling;
  task.normalize = model.info().normalize;
  task.hidden_layers = layers;
  EncodeTask pooler;
  pooler.ids = input.ids;
  pooler.types = input.types;
  pooler.pooling = Pooling::kPooler;
  model.SizeOutputs(task);
  tasks.push_back(std::move(task));
  if (!model.info().has_pooler) return;
  model.SizeOutputs(pooler);
  tasks.push_back(std::move(pooler));
}

Encoding EncodingOf(const EncodeTask& task, const EncodeTask* pooler, const Model& model) {
  Encoding encoding{.rows = static_cast<int64_t>(task.ids.size()), .hidden = model.info().hidden};
  encoding.last = task.rows_out;
  encoding.pooled = task.pooled_out;
  if (pooler != nullptr) encoding.pooler = pooler->pooled_out;
  auto begin = task.hidden_out.begin();
  for (int32_t layer : task.hidden_layers) {
    const auto end = begin + encoding.rows * encoding.hidden;
    encoding.layers[layer].assign(begin, end);
    begin = end;
  }
  return encoding;
}

// One batch of all inputs, through the engine.
std::vector<Encoding> Encode(const std::vector<Input>& inputs, const std::vector<int32_t>& layers,
                             Backend& backend, CaseResult& result) {
  std::vector<Task> tasks;
  for (const Input& input : inputs) AppendTasks(input, layers, backend.model(), tasks);
  const absl::Status status = backend.Run(tasks);
  result.CheckOk("run", status);
  if (!status.ok()) return {};
  std::vector<Encoding> encodings;
  const bool has_pooler = backend.model().info().has_pooler;
  for (size_t i = 0; i < tasks.size(); i += has_pooler ? 2 : 1) {
    const auto* pooler = has_pooler ? &std::get<EncodeTask>(tasks[i + 1]) : nullptr;
    encodings.push_back(EncodingOf(std::get<EncodeTask>(tasks[i]), pooler, backend.model()));
  }
  return encodings;
}

// The part of a case's tensor that is about one input: its item, without the rows of padding.
Tensor PartOf(Tensor tensor, const Slot& slot, bool has_rows) {
  if (!slot.item) return tensor;
  const std::vector<int64_t> shape(tensor.shape.begin() + 1, tensor.shape.end());
  const auto product = [](const std::vector<int64_t>& sizes) {
    return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
  };
  Tensor part{.shape = shape};
  if (has_rows) part.shape[0] = slot.rows;
  const auto begin = tensor.values.begin() + *slot.item * product(shape);
  part.values.assign(begin, begin + product(part.shape));
  return part;
}

std::vector<float> RowNorms(const Encoding& encoding) {
  std::vector<float> norms;
  for (int64_t row = 0; row < encoding.rows; ++row) {
    double squares = 0;
    for (int64_t i = 0; i < encoding.hidden; ++i) {
      squares += std::pow(double{encoding.last[row * encoding.hidden + i]}, 2);
    }
    norms.push_back(static_cast<float>(std::sqrt(squares)));
  }
  return norms;
}

std::vector<float> FirstColumns(const Encoding& encoding, int64_t columns) {
  std::vector<float> first;
  for (int64_t row = 0; row < encoding.rows; ++row) {
    const auto begin = encoding.last.begin() + row * encoding.hidden;
    first.insert(first.end(), begin, begin + columns);
  }
  return first;
}

// Compares one tensor of the case, unless it is an input. A name that nothing compares fails the
// case.
void CheckTensor(const CaseFile& file, const Json& item, const std::string& name, const Slot& slot,
                 const Encoding& encoding, CaseResult& result) {
  if (name.starts_with("in.")) return;
  if (name.starts_with("attentions.")) {
    result.LeaveOut("attentions.N");
    return;
  }
  const auto& [rows, hidden, last, layers, pooled, pooler] = encoding;
  const auto check = [&](const std::vector<float>& actual, std::vector<int64_t> shape,
                         std::string_view tolerance = "hidden") {
    const bool has_rows = shape.size() == 2 || name == "out.hidden_norm";
    const Tensor expected = PartOf(file.TensorOf(item, name, result), slot, has_rows);
    const std::string what = slot.item ? StrCat(name, "[", *slot.item, "]") : name;
    result.CheckClose(what, {actual, std::move(shape)}, expected,
                      file.ToleranceOf(item, tolerance));
  };
  if (const auto layer = LayerOf(name)) {
    check(layers.at(*layer), {rows, hidden});
  } else if (name == "out.last_hidden_state") {
    check(last, {rows, hidden});
  } else if (name == "out.pooler_output") {
    check(pooler, {hidden});
  } else if (name == "out.embedding") {
    check(pooled, {hidden}, "embedding");
  } else if (name == "out.cls_hidden") {
    check({last.begin(), last.begin() + hidden}, {hidden});
  } else if (name == "out.hidden_first8") {
    check(FirstColumns(encoding, 8), {rows, 8});
  } else if (name == "out.hidden_norm") {
    check(RowNorms(encoding), {rows});
  } else {
    result.Fail(StrCat("nothing compares the tensor ", name));
  }
}

void CheckTensors(const CaseFile& file, const Json& item, const std::vector<Input>& inputs,
                  Backend& backend, CaseResult& result) {
  const std::vector<std::string> names = file.tensors.NamesOf(IdOf(item));
  const auto encodings = Encode(inputs, LayersOf(names), backend, result);
  for (size_t i = 0; i < encodings.size(); ++i) {
    for (const std::string& name : names) {
      CheckTensor(file, item, name, inputs[i].slot, encodings[i], result);
    }
  }
}

// The inputs that a case gives as `in.input_ids` [B, S], each without its padding.
std::vector<Input> InputsOf(const CaseFile& file, const Json& item, CaseResult& result) {
  const Tensor shape = file.TensorOf(item, "in.input_ids", result);
  const std::vector<int32_t> ids = shape.AsInts();
  const auto mask = file.TensorOf(item, "in.attention_mask", result).AsInts();
  std::vector<int32_t> types(ids.size());
  if (file.HasTensor(item, "in.token_type_ids")) {
    types = file.TensorOf(item, "in.token_type_ids", result).AsInts();
  }
  std::vector<Input> inputs;
  if (shape.shape.size() != 2 || mask.size() != ids.size() || types.size() != ids.size()) {
    result.Fail("in.input_ids and in.attention_mask must have one shape of two dimensions");
    return inputs;
  }
  const int64_t length = shape.shape[1];
  for (int64_t b = 0; b < shape.shape[0]; ++b) {
    const int64_t begin = b * length;
    const int64_t rows = std::count(mask.begin() + begin, mask.begin() + begin + length, 1);
    inputs.push_back({.ids = {ids.begin() + begin, ids.begin() + begin + rows},
                      .types = {types.begin() + begin, types.begin() + begin + rows},
                      .slot = {.item = b, .rows = rows}});
  }
  return inputs;
}

// The input of a case that has a text: what the tokenizer makes of it.
Input InputOf(const Tokenized& tokens) {
  return {.ids = tokens.ids,
          .types = tokens.types,
          .slot = {.rows = static_cast<int64_t>(tokens.ids.size())}};
}

void RunTextCase(const CaseFile& file, const Json& item, Backend& backend, CaseResult& result) {
  const bool in_tensors = file.HasTensor(item, "in.input_ids");
  std::vector<Input> inputs;
  if (in_tensors) inputs = InputsOf(file, item, result);
  if (item.contains("text")) {
    TokenizeOptions options{.length_max = backend.model().info().length_max};
    if (item.contains("max_length")) {
      options.truncation = Truncation::kRight;
      options.length_max = item.at("max_length").get<int32_t>();
    }
    const Tokenized tokens = CheckTokens(item, backend.tokenizer(), options, result);
    if (tokens.ids.empty()) return;
    if (item.contains("untruncated_length")) {
      const int32_t before = item.at("untruncated_length");
      result.CheckEqual("length before truncation", tokens.length_before_truncation, before);
      result.CheckEqual("truncated", tokens.truncated, before > options.length_max);
      const Tokenized::Offset last{.start = item.at("last_offset").at(0).get<int32_t>(),
                                   .end = item.at("last_offset").at(1).get<int32_t>()};
      // Of the last token of the text: [SEP] follows it.
      result.CheckEqual("last offset", tokens.offsets.at(tokens.offsets.size() - 2), last);
    }
    if (in_tensors && !inputs.empty()) {
      result.CheckEqual("in.input_ids", tokens.ids, inputs[0].ids);
      result.CheckEqual("in.token_type_ids", tokens.types, inputs[0].types);
    } else {
      inputs.push_back(InputOf(tokens));
    }
    CheckPairTruncation(item, backend.tokenizer(), result);
  }
  CheckTensors(file, item, inputs, backend, result);
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, squares_a = 0, squares_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    squares_a += double{a[i]} * a[i];
    squares_b += double{b[i]} * b[i];
  }
  return product / std::sqrt(squares_a * squares_b);
}

// Pairs of texts: all embeddings, the cosine of each pair, and the order of the pairs by it.
void RunSimilarityCase(const CaseFile& file, const Json& item, Backend& backend,
                       CaseResult& result) {
  std::vector<Input> inputs;
  const TokenizeOptions options{.length_max = backend.model().info().length_default};
  for (const Json& pair : item.at("pairs")) {
    for (const Json& text : pair) {
      const Tokenized tokens = CheckTokens({{"text", text}}, backend.tokenizer(), options, result);
      if (tokens.ids.empty()) return;
      Input input = InputOf(tokens);
      input.slot.item = static_cast<int64_t>(inputs.size());
      inputs.push_back(std::move(input));
    }
  }
  const auto encodings = Encode(inputs, {}, backend, result);
  std::vector<float> cosines;
  for (size_t i = 0; i < encodings.size(); ++i) {
    CheckTensor(file, item, "out.embedding", inputs[i].slot, encodings[i], result);
    if (i % 2 == 0) continue;
    cosines.push_back(static_cast<float>(Cosine(encodings[i - 1].pooled, encodings[i].pooled)));
  }
  result.CheckClose("out.cosine", {cosines, {static_cast<int64_t>(cosines.size())}},
                    file.TensorOf(item, "out.cosine", result), file.ToleranceOf(item, "embedding"));
  std::vector<int32_t> order(cosines.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return cosines[a] > cosines[b]; });
  result.CheckEqual("order", order, item.at("order").get<std::vector<int32_t>>());
}

}  // namespace

bool IsEncoderKind(std::string_view kind) {
  constexpr std::string_view kKinds[] = {"single",     "pair",       "string",      "padded_batch",
                                         "truncation", "similarity", "invalid_utf8"};
  return std::ranges::find(kKinds, kind) != std::end(kKinds);
}

CaseResult RunEncoderCase(const CaseFile& file, const Json& item, Backend& backend) {
  const std::string kind = item.at("kind");
  if (kind == "invalid_utf8") return RunInvalidUtf8Case(item, backend.tokenizer());
  CaseResult result;
  if (kind == "similarity") {
    RunSimilarityCase(file, item, backend, result);
  } else {
    RunTextCase(file, item, backend, result);
  }
  return result;
}

}  // namespace attnd::golden
