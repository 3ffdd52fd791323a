#include "client/commands/representation_json.h"

#include "absl/strings/str_cat.h"
#include "client/commands/json_text.h"

namespace attnd::client {
namespace {

void AppendDimension(const Tensor& tensor, size_t depth, size_t& next, std::string& out) {
  if (depth == tensor.shape.size()) {
    AppendJson(tensor.values[next++], out);
    return;
  }
  out += '[';
  for (int64_t i = 0; i < tensor.shape[depth]; ++i) {
    if (i > 0) out += ',';
    AppendDimension(tensor, depth + 1, next, out);
  }
  out += ']';
}

RawJson Nested(const Tensor& tensor) {
  RawJson json;
  AppendNested(tensor, json.text);
  return json;
}

RawJson SpanJson(const Span& span) {
  return JsonObject()
      .Add("start", span.begin)
      .Add("end", span.end)
      .Add("text_index", span.text_index)
      .Add("first_token", span.first_token)
      .Add("end_token", span.end_token)
      .Done();
}

RawJson AttentionJson(const AttentionMap& map) {
  JsonObject object;
  object.Add("layer", map.layer);
  object.Add("heads", JsonArray(map.heads, [](int32_t head) { return head; }));
  if (!map.weights.shape.empty()) object.Add("weights", Nested(map.weights));
  if (!map.scores.shape.empty()) object.Add("scores", Nested(map.scores));
  return object.Done();
}

RawJson SparseJson(const std::vector<SparseWeight>& sparse) {
  JsonObject object;
  object.Add("ids", JsonArray(sparse, &SparseWeight::id));
  object.Add("weights", JsonArray(sparse, &SparseWeight::weight));
  if (!sparse.front().token.empty()) object.Add("tokens", JsonArray(sparse, &SparseWeight::token));
  return object.Done();
}

void AppendField(const char* key, const RawJson& value, std::string& out) {
  absl::StrAppend(&out, ",\"", key, "\":", value.text);
}

}  // namespace

void AppendNested(const Tensor& tensor, std::string& out) {
  size_t next = 0;
  AppendDimension(tensor, 0, next, out);
}

void AppendRepresentations(const Encoding& encoding, std::string& out) {
  if (!encoding.hidden_layers.empty()) {
    AppendField("hidden_layers", JsonArray(encoding.hidden_layers, Nested), out);
  }
  if (!encoding.attention.empty()) {
    AppendField("attention", JsonArray(encoding.attention, AttentionJson), out);
  }
  if (!encoding.spans.empty()) {
    AppendField("spans", JsonArray(encoding.spans, SpanJson), out);
  }
  if (!encoding.span_vectors.shape.empty()) {
    AppendField("span_vectors", Nested(encoding.span_vectors), out);
  }
  if (!encoding.sparse.empty()) AppendField("sparse", SparseJson(encoding.sparse), out);
  if (!encoding.multi_vectors.shape.empty()) {
    AppendField("multi_vectors", Nested(encoding.multi_vectors), out);
  }
  if (!encoding.kept_tokens.empty()) {
    AppendField("kept_tokens", JsonArray(encoding.kept_tokens, [](int32_t token) { return token; }),
                out);
  }
  if (!encoding.windows.empty()) {
    AppendField("windows",
                JsonArray(encoding.windows,
                          [](const Window& window) {
                            return RawJson{
                                absl::StrCat("[", window.first_token, ",", window.end_token, "]")};
                          }),
                out);
  }
}

}  // namespace attnd::client
