#include "core/tensor/workspace.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "core/base/check.h"

namespace attnd {
namespace {

constexpr size_t kAlignment = 64;  // A cache line, and the widest vector.

size_t RoundUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Workspace::Workspace(size_t bytes)
    : block_(static_cast<std::byte*>(::operator new(RoundUp(bytes), std::align_val_t(kAlignment)))),
      capacity_(RoundUp(bytes)) {}

Workspace::~Workspace() { ::operator delete(block_, std::align_val_t(kAlignment)); }

void Workspace::Poison() { std::memset(block_, 0xFF, capacity_); }

void* Workspace::Frame::TakeBytes(size_t bytes) {
  const size_t rounded = RoundUp(bytes);
  CHECK_THAT(rounded >= bytes && rounded <= workspace_.capacity_ - workspace_.used_);
  void* taken = workspace_.block_ + workspace_.used_;
  workspace_.used_ += rounded;
  workspace_.peak_ = std::max(workspace_.peak_, workspace_.used_);
  return taken;
}

float* Workspace::Frame::TakeFloats(int64_t count) {
  return static_cast<float*>(TakeBytes(static_cast<size_t>(count) * sizeof(float)));
}

Matrix Workspace::Frame::TakeMatrix(int64_t rows, int64_t columns) {
  return {.data = TakeFloats(rows * columns), .rows = rows, .columns = columns, .stride = columns};
}

}  // namespace attnd
