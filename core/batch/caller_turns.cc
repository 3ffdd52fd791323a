#include "core/batch/caller_turns.h"

#include <algorithm>
#include <tuple>

#include "core/base/check.h"

namespace attnd {
namespace {

// Accounts are looked through for those to forget only when they are many more than needed.
constexpr size_t kAccountsKept = 64;

}  // namespace

void CallerTurns::Come(int32_t caller) {
  Account& account = accounts_[caller];
  if (account.jobs++ > 0) return;
  ++waiting_;
  account.served = std::max(account.served, now_);
}

void CallerTurns::Go(int32_t caller) {
  Account& account = accounts_.at(caller);
  CHECK_THAT(account.jobs > 0);
  if (--account.jobs == 0) --waiting_;
}

void CallerTurns::Charge(int32_t caller, double cost) {
  Account& account = accounts_.at(caller);
  now_ = std::max(now_, account.served);
  account.served += cost;
  // Whoever is not ahead of the others and has nothing here would begin anew anyway.
  if (accounts_.size() <= 2 * static_cast<size_t>(waiting_) + kAccountsKept) return;
  std::erase_if(accounts_, [this](const auto& entry) {
    return entry.second.jobs == 0 && entry.second.served <= now_;
  });
}

void CallerTurns::BeginOrder() {
  for (auto& [caller, account] : accounts_) account.planned = account.served;
}

void CallerTurns::Order(std::span<const Waiting> jobs, size_t first, std::vector<size_t>& order) {
  std::vector<std::pair<int32_t, Account*>> lines;
  for (size_t i = 0; i < jobs.size(); ++i) {
    Account& account = accounts_.at(jobs[i].caller);
    if (account.line.empty()) lines.emplace_back(jobs[i].caller, &account);
    account.line.push_back(i);
  }
  // The one to go next at the front; of equals, the caller with the lower number.
  const auto later = [](const auto& one, const auto& other) {
    return std::tie(one.second->planned, one.first) > std::tie(other.second->planned, other.first);
  };
  std::make_heap(lines.begin(), lines.end(), later);
  while (!lines.empty()) {
    std::pop_heap(lines.begin(), lines.end(), later);
    Account& account = *lines.back().second;
    const size_t i = account.line[account.placed++];
    account.planned += jobs[i].cost;
    order.push_back(first + i);
    if (account.placed < account.line.size()) {
      std::push_heap(lines.begin(), lines.end(), later);
      continue;
    }
    account.line.clear();
    account.placed = 0;
    lines.pop_back();
  }
}

}  // namespace attnd
