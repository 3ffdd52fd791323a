#include "tests/golden/compare.h"

#include <cmath>

#include "absl/strings/str_join.h"
#include "core/base/strings.h"

namespace attnd::golden {
namespace {

// How far beyond the tolerance; 0 if within.
double Excess(double actual, double expected, const Tolerance& tolerance) {
  if (std::isnan(expected) && std::isnan(actual)) return 0;
  if (actual == expected) return 0;  // Infinities, too.
  const double allowed = tolerance.absolute + tolerance.relative * std::abs(expected);
  const double difference = std::abs(actual - expected);
  if (std::isfinite(difference)) return difference <= allowed ? 0 : difference;
  return std::numeric_limits<double>::infinity();
}

std::vector<int64_t> WithoutLeadingOnes(std::vector<int64_t> shape) {
  while (!shape.empty() && shape.front() == 1) shape.erase(shape.begin());
  return shape;
}

std::string Text(const std::vector<int64_t>& shape) {
  return StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace

std::optional<std::string> Mismatch(std::span<const float> actual, const Tensor& expected,
                                    const Tolerance& tolerance) {
  if (actual.size() != expected.values.size()) {
    return StrCat(actual.size(), " values instead of ", expected.values.size());
  }
  size_t wrong = 0, worst_at = 0;
  double worst = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double excess = Excess(double{actual[i]}, expected.values[i], tolerance);
    if (excess > 0) ++wrong;
    if (excess > worst) {
      worst = excess;
      worst_at = i;
    }
  }
  if (wrong == 0) return std::nullopt;
  return StrCat(wrong, " of ", actual.size(), " values differ, worst at ", worst_at, ": ",
                actual[worst_at], " instead of ", expected.values[worst_at]);
}

void CaseResult::CheckClose(std::string_view what, const Actual& actual, const Tensor& expected,
                            const Tolerance& tolerance) {
  ++comparisons_;
  if (WithoutLeadingOnes(actual.shape) != WithoutLeadingOnes(expected.shape)) {
    Fail(StrCat(what, ": shape ", Text(actual.shape), " instead of ", Text(expected.shape)));
  } else if (const auto mismatch = Mismatch(actual.values, expected, tolerance)) {
    Fail(StrCat(what, ": ", *mismatch));
  }
}

void CaseResult::CheckOk(std::string_view what, const absl::Status& status) {
  ++comparisons_;
  if (!status.ok()) Fail(StrCat(what, ": ", status.ToString()));
}

std::string CaseResult::Summary() const {
  if (failures_.empty()) return comparisons_ > 0 ? "passed" : "nothing was compared";
  return absl::StrJoin(failures_, "; ");
}

}  // namespace attnd::golden
