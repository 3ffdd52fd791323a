#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace attnd {

// Whose job goes next where several callers wait for the same lane: start-time fair queueing, as
// FairShare between lanes, over callers that come and go. A caller's virtual time is what it was
// served; who is furthest behind goes first. What a caller does not use is not saved up. Pure.
class CallerTurns {
 public:
  // A job that waits, as the merge sees it.
  struct Waiting {
    int32_t caller = 0;
    double cost = 1;
  };

  // A job of the caller has come to wait, or waits no more.
  void Come(int32_t caller);
  void Go(int32_t caller);
  // A job of the caller is being served.
  void Charge(int32_t caller, double cost);

  // Whether more than one caller has jobs that wait.
  bool several() const { return waiting_ > 1; }

  // Appends to `order` the indices of `jobs`, plus `first`, as callers take turns; the jobs of each
  // caller keep their order. Called again, it goes on from the turns that were taken before, until
  // BeginOrder.
  void BeginOrder();
  void Order(std::span<const Waiting> jobs, size_t first, std::vector<size_t>& order);

 private:
  struct Account {
    double served = 0;         // Virtual time.
    double planned = 0;        // With what Order has given it.
    int64_t jobs = 0;          // That wait.
    std::vector<size_t> line;  // Scratch of Order: its jobs, and how many have their place.
    size_t placed = 0;
  };

  std::unordered_map<int32_t, Account> accounts_;
  int64_t waiting_ = 0;  // Callers with jobs that wait.
  double now_ = 0;       // The virtual time of whom was served last.
};

}  // namespace attnd
