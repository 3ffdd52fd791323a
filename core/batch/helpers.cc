#include "core/batch/helpers.h"

#include <algorithm>

#include "core/base/check.h"

namespace attnd {

void Helpers::Begin(int lead, int lane, int room) {
  Batch& batch = batches_[static_cast<size_t>(lead)];
  batch.lane = lane;
  batch.capacity = room;
}

void Helpers::End(int lead) { batches_[static_cast<size_t>(lead)].capacity = 0; }

std::optional<Helpers::Place> Helpers::Join() {
  const auto most =
      std::max_element(batches_.begin(), batches_.end(),
                       [](const Batch& a, const Batch& b) { return a.room() < b.room(); });
  if (most->room() == 0) return std::nullopt;
  ++most->helping;
  return Place{static_cast<int>(most - batches_.begin()), most->lane};
}

void Helpers::Leave(int lead) {
  Batch& batch = batches_[static_cast<size_t>(lead)];
  CHECK_THAT(batch.helping > 0);
  --batch.helping;
}

int Helpers::count() const {
  int count = 0;
  for (const Batch& batch : batches_) count += batch.helping;
  return count;
}

int Helpers::room() const {
  int room = 0;
  for (const Batch& batch : batches_) room += batch.room();
  return room;
}

}  // namespace attnd
