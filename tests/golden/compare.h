#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/base/strings.h"
#include "tests/golden/tensors.h"

namespace attnd::golden {

// |actual - expected| <= absolute + relative * |expected|.
struct Tolerance {
  double absolute = 0;
  double relative = 0;
};

// nullopt if all agree within the tolerance; else how many do not, and the worst of them. NaN
// agrees with NaN alone, an infinity with itself alone.
std::optional<std::string> Mismatch(std::span<const float> actual, const Tensor& expected,
                                    const Tolerance& tolerance);

// What came out of one case. A case passes when something was compared and nothing failed.
class CaseResult {
 public:
  // Dimensions of size 1 in front are no difference: a batch of one is its item.
  struct Actual {
    std::span<const float> values;
    std::vector<int64_t> shape;
  };
  void CheckClose(std::string_view what, const Actual& actual, const Tensor& expected,
                  const Tolerance& tolerance);

  // Ids, strings, offsets, orders: equal or wrong.
  template <typename T>
  void CheckEqual(std::string_view what, const T& actual, const T& expected) {
    ++comparisons_;
    if (actual == expected) return;
    std::string where;
    if constexpr (requires { actual.size(); }) {
      size_t same = 0;
      while (same < actual.size() && same < expected.size() && actual[same] == expected[same]) {
        ++same;
      }
      where =
          StrCat(", first at ", same, " (", actual.size(), " instead of ", expected.size(), ")");
    }
    Fail(StrCat(what, " differs", where));
  }
  void CheckOk(std::string_view what, const absl::Status& status);
  void Fail(std::string message) { failures_.push_back(std::move(message)); }

  bool passed() const { return comparisons_ > 0 && failures_.empty(); }
  int64_t comparisons() const { return comparisons_; }
  // One line.
  std::string Summary() const;

 private:
  int64_t comparisons_ = 0;
  std::vector<std::string> failures_;
};

}  // namespace attnd::golden
