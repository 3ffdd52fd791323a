#include "core/model/calibrate.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/base/status_macros.h"

namespace attnd {
namespace {

class RangeObserver : public InputObserver {
 public:
  explicit RangeObserver(const Encoder& encoder) {
    for (const auto& [name, linear] : encoder.LayerLinears()) {
      const auto in = static_cast<size_t>(linear->kernels().shape().in);
      places_[linear] = &ranges_.try_emplace(name, in).first->second;
    }
  }

  void Observe(const void* layer, ConstMatrix x) override {
    const auto found = places_.find(layer);
    if (found == places_.end()) return;  // A pooler's, or a head's.
    std::vector<float>& range = *found->second;
    for (int64_t row = 0; row < std::min(x.rows, tokens_); ++row) {
      for (size_t i = 0; i < range.size(); ++i) {
        range[i] = std::max(range[i], std::abs(x.row(row)[i]));
      }
    }
  }

  // Of the input that comes next. The rows that fill up its last row step are no tokens.
  void set_tokens(size_t tokens) { tokens_ = static_cast<int64_t>(tokens); }

  InputRanges Take() { return std::move(ranges_); }

 private:
  int64_t tokens_ = 0;
  InputRanges ranges_;
  std::unordered_map<const void*, std::vector<float>*> places_;
};

}  // namespace

absl::StatusOr<Observed> ObserveInputs(const Encoder& f32, Pooling pooling,
                                       std::span<const std::vector<int32_t>> inputs) {
  RangeObserver observer(f32);
  Encoder::Scratch scratch(f32);
  scratch.workspace().set_observer(&observer);
  ASSIGN_OR_RETURN(Vectors pooled, PoolEach(f32, pooling, inputs, scratch,
                                            [&](size_t tokens) { observer.set_tokens(tokens); }));
  return Observed{observer.Take(), std::move(pooled)};
}

}  // namespace attnd
