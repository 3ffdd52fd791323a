// What an encoder is computed with, for people.
#include <algorithm>
#include <string>

#include "core/base/strings.h"
#include "core/model/encoder.h"

namespace attnd {
namespace {

class KernelList {
 public:
  void AddDense(std::string_view layer, const Linear& linear) {
    choices_.push_back(
        {std::string(layer), linear.kernels().implementation(), linear.kernels().reason()});
  }

  // What `length` rows take; nothing if oneDNN has no kernels for them, which Load has refused.
  void AddAttention(std::string_view layer, const AttentionKernelCache& cache, int32_t length,
                    std::string_view reason) {
    const auto kernels = cache.Get(length);
    if (!kernels.ok()) return;
    const auto add = [&](std::string_view part, std::string_view implementation) {
      choices_.push_back(
          {StrCat(layer, ".", part), std::string(implementation), std::string(reason)});
    };
    add("scores", (*kernels)->scores_implementation());
    add("softmax", (*kernels)->softmax_implementation());
    add("weighted", (*kernels)->weighted_implementation());
  }

  void AddHead(std::string_view name, const Head& head) {
    if (head.dense() != nullptr) AddDense(StrCat(name, ".dense"), *head.dense());
    AddDense(StrCat(name, ".out"), head.slab());
  }

  std::vector<KernelChoice> Take() { return std::move(choices_); }

 private:
  std::vector<KernelChoice> choices_;
};

}  // namespace

std::vector<KernelChoice> Encoder::Kernels() const {
  KernelList list;
  const Layer& layer = layers_.front();
  const int32_t length = std::min(kWarmLengths, arch_.length_max);
  list.AddDense("attention.qkv", layer.qkv);
  list.AddAttention("attention", *attention_kernels_, length,
                    "one call a sequence, by its own length");
  if (local_attention_kernels_) {
    list.AddAttention("attention.local", *local_attention_kernels_, length,
                      StrCat("as attention, and of ", arch_.encoder.window,
                             " places to either side: only the keys that a tile of queries sees"));
  }
  list.AddDense("attention.out", layer.out);
  list.AddDense("ffn.up", layer.ffn.up());
  if (layer.ffn.gate() != nullptr) list.AddDense("ffn.gate", *layer.ffn.gate());
  list.AddDense("ffn.down", layer.ffn.down());
  if (pooler_) list.AddDense("pooler", *pooler_);
  if (head_) list.AddHead("head", *head_);
  if (projection_) list.AddDense("projection", projection_->slab());
  return list.Take();
}

std::map<std::string, const Linear*> Encoder::LayerLinears() const {
  std::map<std::string, const Linear*> linears;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const std::string prefix = StrCat("encoder.", i, ".");
    linears[prefix + "attention.qkv"] = &layer.qkv;
    linears[prefix + "attention.out"] = &layer.out;
    linears[prefix + "ffn.up"] = &layer.ffn.up();
    if (layer.ffn.gate() != nullptr) linears[prefix + "ffn.gate"] = layer.ffn.gate();
    linears[prefix + "ffn.down"] = &layer.ffn.down();
  }
  return linears;
}

}  // namespace attnd
