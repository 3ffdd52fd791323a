#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "core/tensor/workspace.h"

namespace attnd {

// Who computes one batch: a worker, and others that had nothing else to do.
class Team {
 public:
  using Part = absl::FunctionRef<void(int64_t index, Workspace& workspace)>;

  virtual ~Team() = default;
  // How many members there are now, the caller among them: a hint, for it may change at any moment.
  virtual int size() const = 0;
  // Calls `part` once for each index in [0, count), on members' threads, each with its member's
  // workspace; returns when all calls have. What a part writes, no other may read or write. Parts
  // do not call For. In which order and on which member, chance decides.
  virtual void For(int64_t count, Part part) = 0;
  // Whether nobody waits for the batch any more. Asked between layers, by the caller.
  virtual bool abandoned() const { return false; }
};

// The caller, and nobody else.
class Alone : public Team {
 public:
  explicit Alone(Workspace& workspace) : workspace_(workspace) {}
  int size() const override { return 1; }
  void For(int64_t count, Part part) override {
    for (int64_t index = 0; index < count; ++index) part(index, workspace_);
  }

 private:
  Workspace& workspace_;
};

}  // namespace attnd
