#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace attnd {

// Shares the workers' time between queues in proportion to their weights: start-time fair queueing
// (Goyal, Vin and Cheng 1996, "Start-time Fair Queuing"). Each queue has a virtual time, the
// seconds that it has been served, divided by its weight; the one that is furthest behind goes
// first. Time that a queue does not use is not saved up: one that had nothing to do begins where
// the others are. Pure: no clock, no lock, no thread.
//
// A batch is charged when it begins, by what it is expected to take, so that two workers do not
// both serve the queue that was behind; when it ends, by the seconds that it took.
class FairShare {
 public:
  // One weight > 0 for each queue.
  explicit FairShare(std::span<const double> weights);

  // The queues, the one to serve first at the front. Valid until the next call of any function.
  std::span<const int> Order();

  // The queue has a job again, after it had none.
  void Arrive(int queue);
  // A batch begins that is expected to take `seconds`, which it is charged.
  void Begin(int queue, double seconds);
  // A batch that was charged `charged` took `seconds`.
  void End(int queue, double charged, double seconds);
  // Another worker has spent `seconds` on a batch of the queue.
  void Help(int queue, double seconds);

 private:
  struct Account {
    double weight = 1;
    double virtual_time = 0;  // Seconds served and charged, by weight.
    double open = 0;          // Seconds charged for batches that have not ended.
    int64_t turn = 0;         // When it was served last.

    // Without what is only an estimate.
    double settled() const { return virtual_time - open / weight; }
  };

  std::vector<Account> accounts_;
  std::vector<int> order_;
  int64_t turns_ = 0;
  double now_ = 0;  // The settled virtual time of the queue that was served last.
};

}  // namespace attnd
