#include "core/batch/fair_share.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "core/base/check.h"

namespace attnd {

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

void FairShare::Begin(int queue, double seconds) {
  Account& account = accounts_[static_cast<size_t>(queue)];
  now_ = std::max(now_, account.settled());
  account.turn = ++turns_;
  account.open += seconds;
  account.virtual_time += seconds / account.weight;
}

void FairShare::End(int queue, double charged, double seconds) {
  Account& account = accounts_[static_cast<size_t>(queue)];
  account.open -= charged;
  account.virtual_time += (seconds - charged) / account.weight;
}

void FairShare::Help(int queue, double seconds) {
  Account& account = accounts_[static_cast<size_t>(queue)];
  account.virtual_time += seconds / account.weight;
}

}  // namespace attnd
