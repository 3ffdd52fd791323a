#include "tests/golden/encoder_cases.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/golden/encoding.h"
#include "tests/golden/tokenizer_cases.h"

namespace attnd::golden {
namespace {

// Compares all tensors of the case with all inputs in one batch, and with each input alone.
void CheckTensors(const CaseFile& file, const Json& item, const std::vector<Input>& inputs,
                  Backend& backend, CaseResult& result) {
  const std::vector<std::string> names = file.tensors.NamesOf(IdOf(item));
  const Layers layers = LayersOf(names);
  const auto check = [&](const std::vector<Input>& together) {
    const std::vector<Encoding> encodings = Encode(together, layers, backend, result);
    for (size_t i = 0; i < encodings.size(); ++i) {
      for (const std::string& name : names) {
        CheckTensor(file, item, name, together[i].slot, encodings[i], backend.model().info(),
                    result);
      }
    }
  };
  check(inputs);
  if (inputs.size() == 1) return;
  for (const Input& input : inputs) check({input});
}

constexpr std::string_view kTypes = "in.token_type_ids";

// The inputs that a case gives as `in.input_ids` [B, S], each without its padding.
std::vector<Input> InputsOf(const CaseFile& file, const Json& item, CaseResult& result) {
  const Tensor shape = file.TensorOf(item, "in.input_ids", result);
  const std::vector<int32_t> ids = shape.AsInts();
  const auto mask = file.TensorOf(item, "in.attention_mask", result).AsInts();
  std::vector<int32_t> types;
  if (file.HasTensor(item, kTypes)) types = file.TensorOf(item, kTypes, result).AsInts();
  std::vector<Input> inputs;
  if (shape.shape.size() != 2 || mask.size() != ids.size() ||
      (!types.empty() && types.size() != ids.size())) {
    result.Fail("in.input_ids and in.attention_mask must have one shape of two dimensions");
    return inputs;
  }
  const int64_t length = shape.shape[1];
  for (int64_t b = 0; b < shape.shape[0]; ++b) {
    const int64_t begin = b * length;
    const int64_t rows = std::count(mask.begin() + begin, mask.begin() + begin + length, 1);
    Input input{.ids = {ids.begin() + begin, ids.begin() + begin + rows},
                .slot = {.item = b, .rows = rows}};
    if (!types.empty()) input.types = {types.begin() + begin, types.begin() + begin + rows};
    inputs.push_back(std::move(input));
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
      // A tokenizer may tell a pair's texts apart though its model has no token types.
      if (file.HasTensor(item, kTypes)) {
        result.CheckEqual(kTypes, tokens.types, inputs[0].types);
      }
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

// The order of the case's things, best first.
void CheckOrder(const Json& item, const std::vector<float>& scores, CaseResult& result) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
  result.CheckEqual("order", order, item.at("order").get<std::vector<int32_t>>());
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
    CheckTensor(file, item, "out.embedding", inputs[i].slot, encodings[i], backend.model().info(),
                result);
    if (i % 2 == 0) continue;
    cosines.push_back(static_cast<float>(Cosine(encodings[i - 1].pooled, encodings[i].pooled)));
  }
  result.CheckClose("out.cosine", {cosines, {static_cast<int64_t>(cosines.size())}},
                    file.TensorOf(item, "out.cosine", result), file.ToleranceOf(item, "embedding"));
  CheckOrder(item, cosines, result);
}

// A query with documents: the logit of each pair, the score that its model makes of it, and the
// order of the documents.
void RunRankingCase(const CaseFile& file, const Json& item, Backend& backend, CaseResult& result) {
  std::vector<Input> inputs;
  const ModelInfo& info = backend.model().info();
  for (const Json& document : item.at("documents")) {
    const Json pair = {{"text", item.at("query")}, {"text_pair", document}};
    const Tokenized tokens =
        CheckTokens(pair, backend.tokenizer(), {.length_max = info.length_max}, result);
    if (tokens.ids.empty()) return;
    inputs.push_back(InputOf(tokens));
  }
  std::vector<float> logits, scores;
  for (const Encoding& encoding : Encode(inputs, {}, backend, result)) {
    result.CheckEqual("number of labels", encoding.logits.size(), size_t{1});
    if (encoding.logits.empty()) return;
    logits.push_back(encoding.logits[0]);
    scores.push_back(static_cast<float>(1 / (1 + std::exp(-double{logits.back()}))));
  }
  result.CheckEqual("score function", info.score_function, ScoreFunction::kSigmoid);
  const auto count = static_cast<int64_t>(logits.size());
  const Tolerance tolerance = file.ToleranceOf(item, "");
  result.CheckClose("out.logits", {logits, {count}}, file.TensorOf(item, "out.logits", result),
                    tolerance);
  result.CheckClose("out.scores_sigmoid", {scores, {count}},
                    file.TensorOf(item, "out.scores_sigmoid", result), tolerance);
  CheckOrder(item, logits, result);
}

}  // namespace

bool IsEncoderKind(std::string_view kind) {
  constexpr std::string_view kKinds[] = {"single",     "pair",       "string",  "padded_batch",
                                         "truncation", "similarity", "ranking", "invalid_utf8"};
  return std::ranges::find(kKinds, kind) != std::end(kKinds);
}

CaseResult RunEncoderCase(const CaseFile& file, const Json& item, Backend& backend) {
  const std::string kind = item.at("kind");
  if (kind == "invalid_utf8") return RunInvalidUtf8Case(item, backend.tokenizer());
  CaseResult result;
  if (kind == "similarity") {
    RunSimilarityCase(file, item, backend, result);
  } else if (kind == "ranking") {
    RunRankingCase(file, item, backend, result);
  } else {
    RunTextCase(file, item, backend, result);
  }
  return result;
}

}  // namespace attnd::golden
