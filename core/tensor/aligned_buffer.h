#pragma once

#include <cstddef>
#include <new>
#include <span>
#include <utility>

namespace attnd {

// Owned memory on a 64-byte boundary (a cache line, the widest vector): packed weights, tables.
// Uninitialised.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes)
      : data_(::operator new(bytes, std::align_val_t(64))), bytes_(bytes) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept { *this = std::move(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedBuffer() { ::operator delete(data_, std::align_val_t(64)); }

  void* data() { return data_; }
  const void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  std::span<float> floats() { return {static_cast<float*>(data_), bytes_ / sizeof(float)}; }
  std::span<const float> floats() const {
    return {static_cast<const float*>(data_), bytes_ / sizeof(float)};
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace attnd
