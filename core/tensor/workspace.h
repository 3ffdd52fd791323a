#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/tensor/matrix.h"
#include "core/tensor/profile.h"

namespace attnd {

// Sees what dense layers are given, on its way to them: for calibration, never while serving.
class InputObserver {
 public:
  virtual ~InputObserver() = default;
  virtual void Observe(const void* layer, ConstMatrix x) = 0;
};

// The scratch memory of one worker: one block, taken from the front and given back in reverse by
// Frame. It has its full size from the start, so that the hot path allocates nothing. Not
// thread-safe: each worker has its own.
class Workspace {
 public:
  explicit Workspace(size_t bytes);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Everything taken while a Frame lives is given back when it ends. Frames nest.
  class Frame {
   public:
    explicit Frame(Workspace& workspace) : workspace_(workspace), used_(workspace.used_) {}
    ~Frame() { workspace_.used_ = used_; }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

    // Uninitialised, 64-byte aligned. Running out is a bug of the caller, who sized the workspace:
    // aborts.
    void* TakeBytes(size_t bytes);
    float* TakeFloats(int64_t count);
    // [rows, columns], dense.
    Matrix TakeMatrix(int64_t rows, int64_t columns);

   private:
    Workspace& workspace_;
    size_t used_;
  };

  size_t capacity() const { return capacity_; }
  // The most that was ever in use, in bytes.
  size_t peak() const { return peak_; }
  // Fills all of it with NaN (0xFF), so that a test sees what is read before it is written.
  void Poison();

  // Null, but while somebody observes.
  InputObserver* observer() const { return observer_; }
  void set_observer(InputObserver* observer) { observer_ = observer; }
  // Null, but while somebody measures.
  Profile* profile() const { return profile_; }
  void set_profile(Profile* profile) { profile_ = profile; }

 private:
  friend class Frame;
  std::byte* block_;
  size_t capacity_;
  size_t used_ = 0;
  size_t peak_ = 0;
  InputObserver* observer_ = nullptr;
  Profile* profile_ = nullptr;
};

}  // namespace attnd
