#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace attnd {

// Who calls: a name in the key file, for as long as the process runs, whatever keys it has by then.
// Thread-safe.
class Caller {
 public:
  static constexpr int32_t kNoLimit = std::numeric_limits<int32_t>::max();

  Caller(int32_t number, std::string name) : number_(number), name_(std::move(name)) {}

  // From 1 up. A name keeps its number over reloads of the file; no other gets it.
  int32_t number() const { return number_; }
  // May be logged and counted by; a key never may.
  const std::string& name() const { return name_; }

  // Requests that may be in flight at once.
  int32_t requests_max() const { return requests_max_; }
  void set_requests_max(int32_t requests_max) { requests_max_ = requests_max; }

 private:
  friend class CallerPlace;

  const int32_t number_;
  const std::string name_;
  std::atomic<int32_t> requests_max_ = kNoLimit;
  std::atomic<int32_t> requests_ = 0;  // In flight.
};

// One request's place among those of its caller that are in flight; given back at the end of this,
// which the caller must outlive.
class CallerPlace {
 public:
  CallerPlace() = default;  // Nobody's.
  // nullopt: as many are in flight as may be.
  static std::optional<CallerPlace> Take(Caller& caller);

  CallerPlace(CallerPlace&& other) noexcept : caller_(std::exchange(other.caller_, nullptr)) {}
  CallerPlace& operator=(CallerPlace&& other) noexcept;
  ~CallerPlace() { GiveBack(); }

  bool is_taken() const { return caller_ != nullptr; }
  void GiveBack();

 private:
  explicit CallerPlace(Caller& caller) : caller_(&caller) {}

  Caller* caller_ = nullptr;
};

}  // namespace attnd
