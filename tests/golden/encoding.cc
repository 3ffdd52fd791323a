#include "tests/golden/encoding.h"

#include <cmath>
#include <functional>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/strings.h"

namespace attnd::golden {
namespace {

constexpr std::string_view kHidden = "hidden_states.";
constexpr std::string_view kAttention = "attentions.";

// N of `<prefix>N`.
std::optional<int32_t> NumberAfter(std::string_view prefix, std::string_view tensor) {
  int32_t number = 0;
  if (!tensor.starts_with(prefix)) return std::nullopt;
  if (!absl::SimpleAtoi(ToAbsl(tensor.substr(prefix.size())), &number)) return std::nullopt;
  return number;
}

// Two tasks for one input, as a task pools once: first with all rows, the model's pooling and its
// head, then, where the model has one, with the pooler.
void AppendTasks(const Input& input, const Layers& layers, const Model& model,
                 std::vector<Task>& tasks) {
  const ModelInfo& info = model.info();
  EncodeTask task;
  task.ids = input.ids;
  task.types = input.types;
  task.return_rows = true;
  task.pooling = info.pooling;
  task.normalize = info.normalize;
  task.hidden_layers = layers.hidden;
  for (const int32_t layer : layers.attention) task.attention_layers.push_back(layer + 1);
  task.return_attention_weights = !layers.attention.empty();
  task.return_logits = info.head != HeadKind::kNone;
  if (info.head == HeadKind::kVocabulary) {
    task.logit_rows.resize(input.ids.size());
    std::iota(task.logit_rows.begin(), task.logit_rows.end(), 0);
  }
  EncodeTask pooler;
  pooler.ids = input.ids;
  pooler.types = input.types;
  pooler.pooling = Pooling::kPooler;
  model.SizeOutputs(task);
  tasks.push_back(std::move(task));
  if (!info.has_pooler) return;
  model.SizeOutputs(pooler);
  tasks.push_back(std::move(pooler));
}

// Cuts `values` into equal parts, one for each key.
std::map<int32_t, std::vector<float>> Cut(std::span<const float> values,
                                          const std::vector<int32_t>& keys) {
  std::map<int32_t, std::vector<float>> parts;
  for (size_t i = 0; i < keys.size(); ++i) {
    const size_t size = values.size() / keys.size();
    const auto part = values.subspan(i * size, size);
    parts[keys[i]].assign(part.begin(), part.end());
  }
  return parts;
}

Encoding EncodingOf(const EncodeTask& task, const EncodeTask* pooler, const Layers& layers,
                    const ModelInfo& info) {
  return {.rows = static_cast<int64_t>(task.ids.size()),
          .hidden = info.hidden,
          .heads = info.heads,
          .last = task.rows_out,
          .layers = Cut(task.hidden_out, layers.hidden),
          .attentions = Cut(task.attention_weights_out, layers.attention),
          .pooled = task.pooled_out,
          .pooler = pooler != nullptr ? pooler->pooled_out : std::vector<float>(),
          .logits = task.logits_out};
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

// `columns` of each row from column `first` on. `values` is [rows, width].
std::vector<float> Columns(const std::vector<float>& values, int64_t width, int64_t first,
                           int64_t columns) {
  std::vector<float> chosen;
  for (auto row = values.begin(); row != values.end(); row += width) {
    chosen.insert(chosen.end(), row + first, row + first + columns);
  }
  return chosen;
}

// A comparison to make: the engine's values, their shape, and how the case's tensor is to be read.
struct Comparison {
  enum class Rows { kNone, kFirst };  // Whether the first dimension behind the batch's is of rows.
  std::vector<float> actual;
  std::vector<int64_t> shape;
  Rows rows = Rows::kNone;
  std::string_view tolerance = "hidden";
};

// What the head's scores are compared as; nullopt: the model's head has no such tensor.
std::optional<Comparison> LogitsAs(std::string_view name, const Encoding& encoding,
                                   const ModelInfo& info) {
  constexpr auto kFirst = Comparison::Rows::kFirst;
  const int64_t rows = encoding.rows;
  const std::vector<float>& logits = encoding.logits;
  const auto count = static_cast<int64_t>(logits.size());
  switch (info.head) {
    case HeadKind::kNone:
      return std::nullopt;
    case HeadKind::kSequenceLabels:
      if (name == "out.logits") return Comparison{logits, {count}};
      return std::nullopt;
    case HeadKind::kTokenLabels:
    case HeadKind::kVocabulary:
      if (name == "out.logits") return Comparison{logits, {rows, count / rows}, kFirst};
      return std::nullopt;
    case HeadKind::kSpan:
      if (name == "out.start_logits") return Comparison{Columns(logits, 2, 0, 1), {rows}, kFirst};
      if (name == "out.end_logits") return Comparison{Columns(logits, 2, 1, 1), {rows}, kFirst};
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Comparison> ComparisonOf(std::string_view name, const Encoding& encoding,
                                       const ModelInfo& info) {
  constexpr auto kFirst = Comparison::Rows::kFirst;
  const int64_t rows = encoding.rows, hidden = encoding.hidden;
  const std::vector<float>& last = encoding.last;
  if (const auto layer = NumberAfter(kHidden, name)) {
    return Comparison{encoding.layers.at(*layer), {rows, hidden}, kFirst};
  }
  if (const auto layer = NumberAfter(kAttention, name)) {
    return Comparison{encoding.attentions.at(*layer), {encoding.heads, rows, rows}};
  }
  if (name == "out.last_hidden_state") return Comparison{last, {rows, hidden}, kFirst};
  if (name == "out.pooler_output") return Comparison{encoding.pooler, {hidden}};
  if (name == "out.embedding") {
    return Comparison{.actual = encoding.pooled, .shape = {hidden}, .tolerance = "embedding"};
  }
  if (name == "out.cls_hidden") return Comparison{{last.begin(), last.begin() + hidden}, {hidden}};
  if (name == "out.hidden_first8")
    return Comparison{Columns(last, hidden, 0, 8), {rows, 8}, kFirst};
  if (name == "out.hidden_norm") return Comparison{RowNorms(encoding), {rows}, kFirst};
  return LogitsAs(name, encoding, info);
}

}  // namespace

Layers LayersOf(const std::vector<std::string>& tensors) {
  Layers layers;
  for (const std::string& name : tensors) {
    if (const auto layer = NumberAfter(kHidden, name)) layers.hidden.push_back(*layer);
    if (const auto layer = NumberAfter(kAttention, name)) layers.attention.push_back(*layer);
  }
  return layers;
}

std::vector<Encoding> Encode(const std::vector<Input>& inputs, const Layers& layers,
                             Backend& backend, CaseResult& result) {
  std::vector<Task> tasks;
  for (const Input& input : inputs) AppendTasks(input, layers, backend.model(), tasks);
  const absl::Status status = backend.Run(tasks);
  result.CheckOk("run", status);
  if (!status.ok()) return {};
  std::vector<Encoding> encodings;
  const ModelInfo& info = backend.model().info();
  for (size_t i = 0; i < tasks.size(); i += info.has_pooler ? 2 : 1) {
    const auto* pooler = info.has_pooler ? &std::get<EncodeTask>(tasks[i + 1]) : nullptr;
    encodings.push_back(EncodingOf(std::get<EncodeTask>(tasks[i]), pooler, layers, info));
  }
  return encodings;
}

void CheckTensor(const CaseFile& file, const Json& item, const std::string& name, const Slot& slot,
                 const Encoding& encoding, const ModelInfo& info, CaseResult& result) {
  if (name.starts_with("in.")) return;
  const std::optional<Comparison> comparison = ComparisonOf(name, encoding, info);
  if (!comparison) {
    result.Fail(StrCat("nothing compares the tensor ", name));
    return;
  }
  const Tensor expected =
      PartOf(file.TensorOf(item, name, result), slot, comparison->rows == Comparison::Rows::kFirst);
  const std::string what = slot.item ? StrCat(name, "[", *slot.item, "]") : name;
  result.CheckClose(what, {comparison->actual, comparison->shape}, expected,
                    file.ToleranceOf(item, comparison->tolerance));
}

}  // namespace attnd::golden
