#include "core/batch/fair_share.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "core/base/check.h"

namespace attnd {
namespace {

// Until a row has been measured: about a small model's on one core.
constexpr double kFirstSecondsARow = 1e-4;
// What is left of the earlier batches' weight when another is added.
constexpr double kDecay = 0.8;

}  // namespace

FairShare::FairShare(std::span<const double> weights) : order_(weights.size()) {
  for (const double weight : weights) {
    CHECK_THAT(weight > 0);
    accounts_.push_back({.weight = weight});
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
  now_ = std::max(now_, account.settled());
  account.turn = ++turns_;
  const double charged =
      rows * (account.rows > 0 ? account.seconds / account.rows : kFirstSecondsARow);
  account.open += charged;
  account.virtual_time += charged / account.weight;
  return charged;
}

void FairShare::End(int queue, int32_t rows, double charged, double seconds) {
  CHECK_THAT(rows > 0);
  Account& account = accounts_[static_cast<size_t>(queue)];
  account.open -= charged;
  account.virtual_time += (seconds - charged) / account.weight;
  account.seconds = kDecay * account.seconds + seconds;
  account.rows = kDecay * account.rows + rows;
}

void FairShare::Help(int queue, double seconds) {
  Account& account = accounts_[static_cast<size_t>(queue)];
  account.virtual_time += seconds / account.weight;
  account.seconds += seconds;
}

}  // namespace attnd
