#include "client/convert_encode.h"

#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "client/convert_tensor.h"

namespace attnd::client {
namespace {

// Our enums have the numbers of the contract's, so that a cast is the conversion.
static_assert(static_cast<int>(Pooling::kPooler) == v1::POOLING_POOLER);
static_assert(static_cast<int>(Truncation::kRight) == v1::TRUNCATION_RIGHT);
static_assert(static_cast<int>(OffsetUnit::kUtf16) == v1::OFFSET_UNIT_UTF16);
static_assert(static_cast<int>(LayerCombination::kConcatenation) ==
              v1::LAYER_COMBINATION_CONCATENATION);
static_assert(static_cast<int>(SpanKind::kChunks) == v1::SPAN_KIND_CHUNKS);
static_assert(static_cast<int>(VectorEncoding::kBinary) == v1::VECTOR_ENCODING_BINARY);

void FillSpans(const SpanOptions& spans, v1::Spans& proto) {
  proto.set_kind(static_cast<v1::SpanKind>(spans.kind));
  proto.set_pooling(static_cast<v1::Pooling>(spans.pooling));
  if (spans.chunk_tokens) proto.set_chunk_tokens(*spans.chunk_tokens);
  if (spans.chunk_overlap) proto.set_chunk_overlap(*spans.chunk_overlap);
}

// What Encode can return besides the pooled and token vectors.
void FillRepresentations(const EncodeOptions& options, v1::EncodeOptions& proto) {
  if (options.hidden_layers) {
    auto& layers = *proto.mutable_hidden_layers();
    layers.mutable_layers()->Add(options.hidden_layers->layers.begin(),
                                 options.hidden_layers->layers.end());
    layers.set_combination(static_cast<v1::LayerCombination>(options.hidden_layers->combination));
  }
  if (options.attention) {
    const AttentionMapOptions& attention = *options.attention;
    auto& maps = *proto.mutable_attention();
    maps.mutable_layers()->Add(attention.layers.begin(), attention.layers.end());
    maps.mutable_heads()->Add(attention.heads.begin(), attention.heads.end());
    if (attention.return_weights) maps.set_return_weights(*attention.return_weights);
    if (attention.return_scores) maps.set_return_scores(*attention.return_scores);
  }
  if (options.spans) FillSpans(*options.spans, *proto.mutable_spans());
  if (options.windows) {
    auto& windows = *proto.mutable_windows();
    if (options.windows->length) windows.set_length(*options.windows->length);
    if (options.windows->stride) windows.set_stride(*options.windows->stride);
  }
  if (options.return_sparse) proto.set_return_sparse(*options.return_sparse);
  if (options.sparse_top_k) proto.set_sparse_top_k(*options.sparse_top_k);
  if (options.return_multi_vector) proto.set_return_multi_vector(*options.return_multi_vector);
}

// Reads a matrix into `tensor` and says what it is if it is none.
absl::Status ReadMatrix(const v1::Tensor& proto, const char* what, Tensor& tensor) {
  absl::StatusOr<Tensor> matrix = FromProto(proto);
  if (!matrix.ok()) return matrix.status();
  if (matrix->shape.size() != 2) {
    return absl::InternalError(absl::StrCat("the reply's ", what, " are not a matrix"));
  }
  tensor = *std::move(matrix);
  return absl::OkStatus();
}

// Reads [heads, tokens, tokens] into `tensor`.
absl::Status ReadMap(const v1::Tensor& proto, const AttentionMap& map, Tensor& tensor) {
  absl::StatusOr<Tensor> maps = FromProto(proto);
  if (!maps.ok()) return maps.status();
  if (maps->shape.size() != 3 || maps->shape[0] != static_cast<int64_t>(map.heads.size()) ||
      maps->shape[1] != maps->shape[2]) {
    return absl::InternalError(
        "the reply's attention is not a square matrix for each head that it names");
  }
  tensor = *std::move(maps);
  return absl::OkStatus();
}

absl::Status ReadMaps(const v1::Encoding& proto, Encoding& encoding) {
  for (const v1::AttentionMap& map : proto.attention()) {
    AttentionMap& result = encoding.attention.emplace_back();
    result.layer = map.layer();
    result.heads.assign(map.heads().begin(), map.heads().end());
    absl::Status status;
    if (map.has_weights()) status.Update(ReadMap(map.weights(), result, result.weights));
    if (map.has_scores()) status.Update(ReadMap(map.scores(), result, result.scores));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ReadSpans(const v1::Encoding& proto, Encoding& encoding) {
  for (const v1::Span& span : proto.spans()) {
    encoding.spans.push_back({.begin = span.start(),
                              .end = span.end(),
                              .text_index = span.text_index(),
                              .first_token = span.first_token(),
                              .end_token = span.end_token()});
  }
  if (!proto.has_span_vectors()) return absl::OkStatus();
  absl::Status status = ReadMatrix(proto.span_vectors(), "span vectors", encoding.span_vectors);
  if (status.ok() && encoding.span_vectors.shape[0] != proto.spans_size()) {
    return absl::InternalError(absl::StrCat("the reply has ", encoding.span_vectors.shape[0],
                                            " span vectors for ", proto.spans_size(), " spans"));
  }
  return status;
}

absl::Status ReadSparse(const v1::SparseVector& proto, std::vector<SparseWeight>& sparse) {
  const int count = proto.ids_size();
  if (proto.weights_size() != count || (proto.tokens_size() != 0 && proto.tokens_size() != count)) {
    return absl::InternalError("the reply's sparse vector has arrays of different lengths");
  }
  for (int i = 0; i < count; ++i) {
    sparse.push_back({.id = proto.ids(i),
                      .weight = proto.weights(i),
                      .token = proto.tokens_size() > 0 ? proto.tokens(i) : std::string()});
  }
  return absl::OkStatus();
}

absl::Status ReadRepresentations(const v1::Encoding& proto, Encoding& encoding) {
  absl::Status status;
  for (const v1::Tensor& layer : proto.hidden_layers()) {
    status.Update(ReadMatrix(layer, "hidden layers", encoding.hidden_layers.emplace_back()));
  }
  status.Update(ReadMaps(proto, encoding));
  status.Update(ReadSpans(proto, encoding));
  status.Update(ReadSparse(proto.sparse(), encoding.sparse));
  if (proto.has_multi_vectors()) {
    status.Update(ReadMatrix(proto.multi_vectors(), "multi-vectors", encoding.multi_vectors));
  }
  encoding.kept_tokens.assign(proto.kept_tokens().begin(), proto.kept_tokens().end());
  for (const v1::Window& window : proto.windows()) {
    encoding.windows.push_back(
        {.first_token = window.first_token(), .end_token = window.end_token()});
  }
  return status;
}

}  // namespace

v1::Input ToProto(const Input& input) {
  v1::Input proto;
  std::visit(
      [&proto](const auto& kind) {
        using Kind = std::decay_t<decltype(kind)>;
        if constexpr (std::is_same_v<Kind, std::string>) {
          proto.set_text(kind);
        } else if constexpr (std::is_same_v<Kind, TextPair>) {
          proto.mutable_text_pair()->set_first(kind.first);
          proto.mutable_text_pair()->set_second(kind.second);
        } else if constexpr (std::is_same_v<Kind, TokenIds>) {
          auto& ids = *proto.mutable_token_ids();
          ids.mutable_ids()->Add(kind.ids.begin(), kind.ids.end());
          ids.mutable_type_ids()->Add(kind.type_ids.begin(), kind.type_ids.end());
        } else {
          *proto.mutable_input_embeddings() = ToProto(kind);
        }
      },
      input.kind);
  return proto;
}

void FillOptions(const EncodeOptions& options, v1::EncodeOptions& proto) {
  if (options.return_pooled) proto.set_return_pooled(*options.return_pooled);
  if (options.return_token_vectors) proto.set_return_token_vectors(*options.return_token_vectors);
  if (options.return_tokens) proto.set_return_tokens(*options.return_tokens);
  proto.set_pooling(static_cast<v1::Pooling>(options.pooling));
  if (options.normalize) proto.set_normalize(*options.normalize);
  proto.set_truncation(static_cast<v1::Truncation>(options.truncation));
  if (options.length_max) proto.set_max_length(*options.length_max);
  if (options.add_special_tokens) proto.set_add_special_tokens(*options.add_special_tokens);
  proto.set_offset_unit(static_cast<v1::OffsetUnit>(options.offset_unit));
  proto.set_vector_encoding(static_cast<v1::VectorEncoding>(options.vector_encoding));
  if (options.dimensions) proto.set_dimensions(*options.dimensions);
  if (options.prompt_name) proto.set_prompt_name(*options.prompt_name);
  if (options.prompt) proto.set_prompt(*options.prompt);
  if (options.drop_special_tokens) proto.set_drop_special_tokens(*options.drop_special_tokens);
  FillRepresentations(options, proto);
}

v1::EncodeRequest ToProto(const std::vector<Input>& inputs, const EncodeOptions& options) {
  v1::EncodeRequest proto;
  proto.set_model(options.model);
  for (const Input& input : inputs) *proto.add_inputs() = ToProto(input);
  proto.set_priority(static_cast<v1::Priority>(options.priority));
  FillOptions(options, *proto.mutable_options());
  if (!options.spans) return proto;
  for (const std::vector<TextRange>& ranges : options.spans->ranges) {
    v1::Ranges& of_input = *proto.add_ranges();
    for (const TextRange& range : ranges) {
      v1::Range& added = *of_input.add_ranges();
      added.set_start(range.begin);
      added.set_end(range.end);
      added.set_text_index(range.text_index);
    }
  }
  return proto;
}

Timings FromProto(const v1::Timings& timings) {
  return {.tokenize_seconds = timings.tokenize_seconds(),
          .queue_seconds = timings.queue_seconds(),
          .compute_seconds = timings.compute_seconds(),
          .batch_tokens = timings.batch_tokens()};
}

absl::StatusOr<std::vector<Token>> FromProto(const v1::Tokens& proto) {
  const int count = proto.ids_size();
  const auto fits = [count](int size) { return size == 0 || size == count; };
  if (!fits(proto.strings_size()) || !fits(proto.starts_size()) || !fits(proto.ends_size()) ||
      !fits(proto.text_indices_size()) || !fits(proto.special_size()) ||
      !fits(proto.type_ids_size()) || !fits(proto.word_ids_size())) {
    return absl::InternalError("the reply's tokens are arrays of different lengths");
  }
  std::vector<Token> tokens(count);
  for (int i = 0; i < count; ++i) {
    Token& token = tokens[i];
    token.id = proto.ids(i);
    if (proto.strings_size() > 0) token.text = proto.strings(i);
    if (proto.starts_size() > 0) token.begin = proto.starts(i);
    if (proto.ends_size() > 0) token.end = proto.ends(i);
    if (proto.text_indices_size() > 0) token.text_index = proto.text_indices(i);
    if (proto.special_size() > 0) token.special = proto.special(i);
    if (proto.type_ids_size() > 0) token.type_id = proto.type_ids(i);
    if (proto.word_ids_size() > 0) token.word_id = proto.word_ids(i);
  }
  return tokens;
}

absl::StatusOr<Encoding> FromProto(const v1::Encoding& encoding) {
  Encoding result;
  result.input_index = encoding.input_index();
  result.token_count = encoding.token_count();
  result.truncated = encoding.truncated();
  result.timings = FromProto(encoding.timings());
  auto tokens = FromProto(encoding.tokens());
  if (!tokens.ok()) return tokens.status();
  result.tokens = *std::move(tokens);
  absl::Status status;
  if (encoding.has_token_vectors()) {
    status.Update(ReadMatrix(encoding.token_vectors(), "token vectors", result.token_vectors));
  }
  if (encoding.has_pooled()) {
    auto pooled = FromProto(encoding.pooled());
    if (!pooled.ok()) return pooled.status();
    result.pooled = std::move(pooled->values);
  }
  status.Update(ReadRepresentations(encoding, result));
  if (!status.ok()) return status;
  return result;
}

absl::StatusOr<EncodeReply> FromProto(const v1::EncodeResponse& response) {
  EncodeReply reply{.model = response.model().name(),
                    .model_version = response.model().version(),
                    .encodings = {}};
  reply.encodings.reserve(response.encodings_size());
  for (const v1::Encoding& encoding : response.encodings()) {
    auto converted = FromProto(encoding);
    if (!converted.ok()) return converted.status();
    reply.encodings.push_back(*std::move(converted));
  }
  return reply;
}

}  // namespace attnd::client
