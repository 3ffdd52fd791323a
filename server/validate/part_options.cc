#include "server/validate/part_options.h"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

absl::Status Invalid(std::string_view field, std::string_view what) {
  return Refuse(v1::ERROR_REASON_INVALID_VALUE, StrCat("options.", field), what);
}

// Numbers that count layers or heads: from `least` up to `most`, and where `from_end` is above 0
// also from -1, which is the last of so many, down.
struct IndexRange {
  int32_t least = 0;
  int32_t most = 0;
  int32_t from_end = 0;
};

// Each within its range and once, with those below 0 resolved.
absl::StatusOr<std::vector<int32_t>> ReadIndices(
    const google::protobuf::RepeatedField<int32_t>& given, const IndexRange& range,
    std::string_view field) {
  std::vector<int32_t> indices;
  for (int i = 0; i < given.size(); ++i) {
    const bool is_from_end = given[i] < 0 && range.from_end > 0;
    if (given[i] > range.most || given[i] < -range.from_end ||
        (!is_from_end && given[i] < range.least)) {
      const std::string below =
          range.from_end > 0 ? StrCat(" or -", range.from_end, " to -1") : std::string();
      return Invalid(StrCat(field, "[", i, "]"),
                     StrCat(given[i], " is not ", range.least, " to ", range.most, below));
    }
    const int32_t index = is_from_end ? range.most + 1 + given[i] : given[i];
    if (std::find(indices.begin(), indices.end(), index) != indices.end()) {
      return Invalid(StrCat(field, "[", i, "]"), StrCat(given[i], " is named before"));
    }
    indices.push_back(index);
  }
  return indices;
}

absl::Status CheckLayerCount(int count, const Limits& limits, std::string_view field) {
  if (count == 0) {
    return Refuse(v1::ERROR_REASON_MISSING_FIELD, StrCat("options.", field),
                  "at least one layer is needed");
  }
  if (count <= limits.layers_per_request) return absl::OkStatus();
  return Refuse(v1::ERROR_REASON_OVER_LIMIT, StrCat("options.", field),
                StrCat(count, " layers are more than the limit of ", limits.layers_per_request,
                       " (layers-per-request)"));
}

}  // namespace

absl::Status ReadHiddenLayers(const v1::HiddenLayers& given, const ModelInfo& info,
                              const Limits& limits, EncodeChoices& choices) {
  constexpr std::string_view kField = "hidden_layers.layers";
  RETURN_IF_ERROR(CheckLayerCount(given.layers_size(), limits, kField));
  ASSIGN_OR_RETURN(
      choices.hidden_layers,
      ReadIndices(given.layers(), {.least = 0, .most = info.layers, .from_end = info.layers + 1},
                  kField));
  switch (given.combination()) {
    case v1::LAYER_COMBINATION_UNSPECIFIED:
    case v1::LAYER_COMBINATION_SEPARATE:
      choices.layer_combination = LayerCombination::kSeparate;
      return absl::OkStatus();
    case v1::LAYER_COMBINATION_MEAN:
      choices.layer_combination = LayerCombination::kMean;
      return absl::OkStatus();
    case v1::LAYER_COMBINATION_CONCATENATION:
      choices.layer_combination = LayerCombination::kConcatenation;
      return absl::OkStatus();
    default:
      return UnknownChoice("hidden_layers.combination", given.combination());
  }
}

absl::Status ReadAttention(const v1::AttentionMaps& given, const ModelInfo& info,
                           const Limits& limits, EncodeChoices& choices) {
  constexpr std::string_view kField = "attention.layers";
  RETURN_IF_ERROR(CheckLayerCount(given.layers_size(), limits, kField));
  ASSIGN_OR_RETURN(choices.attention_layers,
                   ReadIndices(given.layers(),
                               {.least = 1, .most = info.layers, .from_end = info.layers}, kField));
  ASSIGN_OR_RETURN(
      choices.attention_heads,
      ReadIndices(given.heads(), {.least = 0, .most = info.heads - 1}, "attention.heads"));
  if (choices.attention_heads.empty()) {
    choices.attention_heads.resize(static_cast<size_t>(info.heads));
    std::iota(choices.attention_heads.begin(), choices.attention_heads.end(), 0);
  }
  choices.return_attention_weights = !given.has_return_weights() || given.return_weights();
  choices.return_attention_scores = given.return_scores();
  if (choices.return_attention_weights || choices.return_attention_scores) return absl::OkStatus();
  return Invalid("attention", "neither the weights nor the scores are to be returned");
}

absl::Status ReadSpans(const v1::Spans& given, EncodeChoices& choices) {
  SpanChoices spans;
  switch (given.kind()) {
    case v1::SPAN_KIND_UNSPECIFIED:
      return Refuse(v1::ERROR_REASON_MISSING_FIELD, "options.spans.kind", "the kind is needed");
    case v1::SPAN_KIND_WORDS:
      spans.kind = SpanKind::kWords;
      break;
    case v1::SPAN_KIND_SENTENCES:
      spans.kind = SpanKind::kSentences;
      break;
    case v1::SPAN_KIND_RANGES:
      spans.kind = SpanKind::kRanges;
      break;
    case v1::SPAN_KIND_CHUNKS:
      spans.kind = SpanKind::kChunks;
      break;
    default:
      return UnknownChoice("spans.kind", given.kind());
  }
  switch (given.pooling()) {
    case v1::POOLING_UNSPECIFIED:
    case v1::POOLING_MEAN:
      spans.pooling = Pooling::kMean;
      break;
    case v1::POOLING_CLS:
      spans.pooling = Pooling::kCls;
      break;
    case v1::POOLING_MAX:
      spans.pooling = Pooling::kMax;
      break;
    case v1::POOLING_LAST:
      spans.pooling = Pooling::kLast;
      break;
    case v1::POOLING_POOLER:
      return Invalid("spans.pooling", "POOLING_POOLER is for whole inputs");
    default:
      return UnknownChoice("spans.pooling", given.pooling());
  }
  if (spans.kind != SpanKind::kChunks) {
    for (const auto& [is_set, field] :
         {std::pair(given.has_chunk_tokens(), "spans.chunk_tokens"),
          std::pair(given.has_chunk_overlap(), "spans.chunk_overlap")}) {
      if (is_set) return Invalid(field, "only SPAN_KIND_CHUNKS has it");
    }
  } else if (!given.has_chunk_tokens()) {
    return Refuse(v1::ERROR_REASON_MISSING_FIELD, "options.spans.chunk_tokens",
                  "SPAN_KIND_CHUNKS needs it");
  } else if (given.chunk_tokens() < 1) {
    return Invalid("spans.chunk_tokens", StrCat(given.chunk_tokens(), " is below 1"));
  } else if (given.chunk_overlap() < 0 || given.chunk_overlap() >= given.chunk_tokens()) {
    return Invalid("spans.chunk_overlap", StrCat(given.chunk_overlap(), " is not between 0 and ",
                                                 given.chunk_tokens() - 1));
  } else {
    spans.chunking = {.tokens = given.chunk_tokens(), .overlap = given.chunk_overlap()};
  }
  choices.spans = spans;
  return absl::OkStatus();
}

absl::Status ReadWindows(const v1::Windows& given, const ModelInfo& info, EncodeChoices& choices) {
  WindowChoices windows{.length = choices.tokenize.length_max};
  if (given.has_length()) {
    if (given.length() < 1 || given.length() > info.length_max) {
      return Invalid("windows.length", StrCat(given.length(), " is not between 1 and ",
                                              info.length_max, ", the most that the model reads"));
    }
    windows.length = given.length();
  }
  if (given.has_stride()) {
    if (given.stride() < 1 || given.stride() > windows.length) {
      return Invalid("windows.stride", StrCat(given.stride(), " is not between 1 and ",
                                              windows.length, ", the window's length"));
    }
    windows.stride = given.stride();
  }
  if (choices.tokenize.truncation != Truncation::kError) {
    return Invalid("windows", "texts are read whole; truncation cannot be asked for too");
  }
  if (!choices.attention_layers.empty()) {
    return Invalid("windows", "attention maps are of one window; they cannot be asked for too");
  }
  choices.windows = windows;
  return absl::OkStatus();
}

}  // namespace attnd
