#include "core/model/task.h"

#include <string_view>
#include <type_traits>

#include "core/base/sha256.h"

namespace attnd {
namespace {

// Feeds values to a digest, each list with its length before it, so that no two tasks give the same
// bytes.
class Content {
 public:
  template <typename Number>
  void Add(Number value) {
    static_assert(std::is_arithmetic_v<Number>);
    digest_.Update({reinterpret_cast<const char*>(&value), sizeof(value)});
  }
  template <typename Number>
  void Add(const std::vector<Number>& values) {
    Add(values.size());
    digest_.Update({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Number)});
  }
  std::string Finish() { return digest_.Finish(); }

 private:
  Sha256 digest_;
};

}  // namespace

std::string ContentKey(const EncodeTask& task) {
  // By name, every member: one that is added to EncodeTask does not compile until it has its place
  // here.
  const auto& [ids, types, embeddings, return_rows, pooling, normalize, hidden_layers,
               attention_layers, attention_heads, return_attention_weights, return_attention_scores,
               return_logits, logit_rows, return_sparse, return_projection, rows_out, pooled_out,
               hidden_out, attention_weights_out, attention_scores_out, logits_out, sparse_out,
               projection_out] = task;
  Content content;
  content.Add(ids);
  content.Add(types);
  content.Add(embeddings);
  content.Add(return_rows);
  content.Add(pooling ? static_cast<int>(*pooling) : -1);
  content.Add(normalize);
  content.Add(hidden_layers);
  content.Add(attention_layers);
  content.Add(attention_heads);
  content.Add(return_attention_weights);
  content.Add(return_attention_scores);
  content.Add(return_logits);
  content.Add(logit_rows);
  content.Add(return_sparse);
  content.Add(return_projection);
  return content.Finish();
}

}  // namespace attnd
