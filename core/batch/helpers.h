#pragma once

#include <optional>
#include <vector>

namespace attnd {

// Who helps with whose batch. Workers go by number; a worker that runs a batch is its lead. Pure
// bookkeeping: no lock, no thread.
class Helpers {
 public:
  explicit Helpers(int workers) : batches_(static_cast<size_t>(workers)) {}

  // The lead begins a batch of a lane, with work for `room` others.
  void Begin(int lead, int lane, int room);
  // It has ended. Who helps may still be about to leave.
  void End(int lead);

  struct Place {
    int lead, lane;
  };
  // Joins the batch that has the most room; none if none has.
  std::optional<Place> Join();
  // Who has joined has left.
  void Leave(int lead);

  // Helpers of one lead, late ones of an earlier batch too; of all leads; and how many more there
  // is room for.
  int count(int lead) const { return batches_[static_cast<size_t>(lead)].helping; }
  int count() const;
  int room() const;

 private:
  struct Batch {
    int lane = 0;
    int capacity = 0;
    int helping = 0;
    int room() const { return capacity > helping ? capacity - helping : 0; }
  };
  std::vector<Batch> batches_;  // By lead.
};

}  // namespace attnd
