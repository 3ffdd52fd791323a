#include "core/batch/cost_model.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace attnd {
namespace {

// What is left of the earlier batches' weight when another is added: about the last ten count.
constexpr double kForget = 0.9;
// Weight of the prior ratio against what was measured.
constexpr double kPull = 0.02;
// From when on a batch is believed to take at most so many times what was expected. A change of
// the machine's speed is followed within a few batches all the same.
constexpr int64_t kBatchesTrusted = 4;
constexpr double kSurpriseMax = 3;

}  // namespace

Work Work::OfSequence(int32_t rows) {
  return {.rows = static_cast<double>(rows),
          .pairs = static_cast<double>(rows) * static_cast<double>(rows)};
}

Work& Work::operator+=(const Work& other) {
  rows += other.rows;
  pairs += other.pairs;
  return *this;
}

Work& Work::operator-=(const Work& other) {
  rows -= other.rows;
  pairs -= other.pairs;
  return *this;
}

void CostModel::Learn(const Work& work, double seconds) {
  CHECK_THAT(work.rows > 0);
  seconds += std::exchange(helped_, 0);
  if (++batches_ > kBatchesTrusted) seconds = std::min(seconds, kSurpriseMax * Seconds(work));
  const auto add = [](double& sum, double product) { sum = kForget * sum + product; };
  add(rows_rows_, work.rows * work.rows);
  add(rows_pairs_, work.rows * work.pairs);
  add(pairs_pairs_, work.pairs * work.pairs);
  add(rows_seconds_, work.rows * seconds);
  add(pairs_seconds_, work.pairs * seconds);
  Solve();
}

// Least squares with a penalty on the distance from (a0, b0), the best line on which b is
// row_a_pair·a; the penalty is in proportion to each feature's own weight, so that it has no unit.
void CostModel::Solve() {
  const double ratio = row_a_pair_;
  const double a0 = (rows_seconds_ + ratio * pairs_seconds_) /
                    (rows_rows_ + 2 * ratio * rows_pairs_ + ratio * ratio * pairs_pairs_);
  a_ = a0;
  b_ = ratio * a0;
  if (ratio == 0) return;
  const double rows = (1 + kPull) * rows_rows_;
  const double pairs = (1 + kPull) * pairs_pairs_;
  const double rows_target = rows_seconds_ + kPull * rows_rows_ * a0;
  const double pairs_target = pairs_seconds_ + kPull * pairs_pairs_ * b_;
  // Positive, by Cauchy and Schwarz.
  const double determinant = rows * pairs - rows_pairs_ * rows_pairs_;
  a_ = (rows_target * pairs - pairs_target * rows_pairs_) / determinant;
  b_ = (pairs_target * rows - rows_target * rows_pairs_) / determinant;
  // Noise may say so, but nothing takes less than no time.
  if (a_ < 0) {
    a_ = 0;
    b_ = pairs_seconds_ / pairs_pairs_;
  } else if (b_ < 0) {
    a_ = rows_seconds_ / rows_rows_;
    b_ = 0;
  }
}

}  // namespace attnd
