#include "server/rpc/encode_reply.h"

#include <array>

#include "server/represent/encoding.h"
#include "server/represent/outputs.h"
#include "server/represent/spans.h"

namespace attnd {
namespace {

// Rows of `all`, of those that are sent.
void AppendSent(ConstMatrix all, const PlannedInput& input, RowRange range, VectorEncoding encoding,
                v1::Tensor& tensor) {
  SetShape(encoding, std::array{range.count, all.columns}, tensor);
  if (!input.kept_tokens) {
    AppendVectors({all.row(range.first), range.count, all.columns, all.stride}, encoding, tensor);
    return;
  }
  for (int64_t i = range.first; i < range.first + range.count; ++i) {
    AppendVectors({all.row((*input.kept_tokens)[i]), 1, all.columns, all.stride}, encoding, tensor);
  }
}

void WriteSpans(const EncodeChoices& choices, const PlannedInput& input, const EncodeTask& task,
                int32_t hidden, v1::Encoding& encoding) {
  for (const TokenSpan& from : input.spans) {
    v1::Span& to = *encoding.add_spans();
    to.set_start(from.range.start);
    to.set_end(from.range.end);
    to.set_text_index(from.range.text_index);
    to.set_first_token(from.first_token);
    to.set_end_token(from.end_token);
  }
  const int64_t dimensions = choices.pooled.dimensions;
  const auto count = static_cast<int64_t>(input.spans.size());
  const std::vector<float> vectors =
      PoolSpans({task.rows_out.data(), input.token_count, dimensions, hidden}, input.spans,
                {.pooling = choices.spans->pooling, .normalize = choices.pooled.normalize});
  SetShape(choices.vector_encoding, std::array{count, dimensions},
           *encoding.mutable_span_vectors());
  AppendVectors({vectors.data(), count, dimensions, dimensions}, choices.vector_encoding,
                *encoding.mutable_span_vectors());
}

}  // namespace

void FinishOutputs(const EncodeChoices& choices, const ModelInfo& info, EncodeTask& task) {
  FinishPooled(choices.pooled, info.hidden, task);
  FinishMultiVectors(info, task.projection_out);
}

void WriteFixed(const EncodeChoices& choices, const PlannedInput& input, const EncodeTask& task,
                const ServedModel& model, v1::Encoding& encoding) {
  const int32_t hidden = model.info.hidden;
  encoding.set_token_count(input.token_count);
  encoding.set_truncated(input.truncated);
  if (choices.return_tokens && !input.tokens.ids.empty()) {
    WriteTokens(input.tokens, *encoding.mutable_tokens());
  }
  if (choices.pooled.pooling) {
    WriteVector(task.pooled_out, choices.vector_encoding, *encoding.mutable_pooled());
  }
  if (!choices.hidden_layers.empty()) {
    const StatesShape shape{.layers = static_cast<int64_t>(choices.hidden_layers.size()),
                            .rows = input.token_count,
                            .columns = hidden};
    WriteHiddenLayers(task.hidden_out, shape, choices.layer_combination, encoding);
  }
  WriteAttention(task, choices.attention_heads, input.token_count, encoding);
  if (choices.spans) WriteSpans(choices, input, task, hidden, encoding);
  if (choices.return_sparse) {
    const bool with_tokens = choices.return_tokens && model.token_of;
    WriteSparse(task.sparse_out, choices.sparse_top_k, with_tokens ? &model.token_of : nullptr,
                *encoding.mutable_sparse());
  }
  if (choices.return_multi_vector) {
    const int64_t width = MultiVectorWidth(model.info);
    AppendSent({task.projection_out.data(), input.token_count, width, width}, input,
               {.first = 0, .count = input.rows_sent()}, choices.vector_encoding,
               *encoding.mutable_multi_vectors());
  }
  const bool sends_rows = choices.return_token_vectors || choices.return_multi_vector;
  if (input.kept_tokens && sends_rows) {
    encoding.mutable_kept_tokens()->Assign(input.kept_tokens->begin(), input.kept_tokens->end());
  }
  for (const TokenWindow& from : input.windows) {
    v1::Window& to = *encoding.add_windows();
    to.set_first_token(from.begin);
    to.set_end_token(from.end);
  }
}

void WriteRows(const EncodeChoices& choices, const PlannedInput& input, const EncodeTask& task,
               int32_t hidden, RowRange range, v1::Encoding& encoding) {
  AppendSent({task.rows_out.data(), input.token_count, choices.pooled.dimensions, hidden}, input,
             range, choices.vector_encoding, *encoding.mutable_token_vectors());
  encoding.set_first_row(static_cast<int32_t>(range.first));
}

}  // namespace attnd
