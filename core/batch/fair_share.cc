#include "core/batch/fair_share.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "core/base/check.h"

namespace attnd {
namespace {

// Until a row has been measured. About a small model's on one core; the first End sets it right.
constexpr double kFirstSecondsARow = 1e-4;
// How much the last batch says of what a row costs: batches of one queue differ in length.
constexpr double kLastPart = 0.2;

}  // namespace

FairShare::FairShare(std::span<const double> weights) : order_(weights.size()) {
  for (const double weight : weights) {
    CHECK_THAT(weight > 0);
    accounts_.push_back({.weight = weight, .seconds_a_row = kFirstSecondsARow});
  }
  std::iota(order_.begin(), order_.end(), 0);
}

std::span<const int> FairShare::Order() {
  std::sort(order_.begin(), order_.end(), [this](int a, int b) {
    const Account& one = accounts_[static_cast<size_t>(a)];
    const Account& other = accounts_[static_cast<size_t>(b)];
    // Equals take turns.
    return std::tie(one.virtual_time, one.turn, a) < std::tie(other.virtual_time, other.turn, b);
  });
  return order_;
}

void FairShare::Arrive(int queue) {
  Account& account = accounts_[static_cast<size_t>(queue)];
  account.virtual_time = std::max(account.virtual_time, now_);
}

double FairShare::Begin(int queue, int32_t rows) {
  Account& account = accounts_[static_cast<size_t>(queue)];
  now_ = std::max(now_, account.virtual_time);
  account.turn = ++turns_;
  const double charged = rows * account.seconds_a_row;
  account.virtual_time += charged / account.weight;
  return charged;
}

void FairShare::End(int queue, int32_t rows, double charged, double seconds) {
  CHECK_THAT(rows > 0);
  Account& account = accounts_[static_cast<size_t>(queue)];
  account.virtual_time += (seconds - charged) / account.weight;
  const double last = seconds / rows;
  account.seconds_a_row =
      account.measured ? account.seconds_a_row + kLastPart * (last - account.seconds_a_row) : last;
  account.measured = true;
}

}  // namespace attnd
