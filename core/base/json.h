#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace attnd {

// Limits on what an untrusted JSON text may make us build; its size is limited by whoever reads it.
inline constexpr size_t kJsonDepthMax = 64;
inline constexpr size_t kJsonValuesMax = 1'000'000;

// Parses an untrusted JSON text: bounded depth and number of values, no exceptions, duplicate keys
// refused, and so are NUL bytes, text that is not UTF-8, and numbers that no double holds. `name`
// is the file, for messages.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, std::string_view name);

// The reason out of what nlohmann's parser says, in one printable line: for those who run its SAX
// interface.
std::string JsonErrorReason(std::string_view what);

// Reads typed fields of one JSON object, keeping the first error, so that a caller reads all fields
// and checks once. Messages name the file, the field, what it holds and what was wanted. After an
// error, fields read as the least value allowed, false or empty.
class JsonFields {
 public:
  // `object` must outlive this. Anything but an object is an error.
  JsonFields(const nlohmann::json& object, std::string name);

  // Required; within [min, max]. A whole number: 12.0 is none.
  int64_t Int(std::string_view key, int64_t min, int64_t max);
  // Absent or null: `fallback`.
  int64_t IntOr(std::string_view key, int64_t min, int64_t max, int64_t fallback);
  double NumberOr(std::string_view key, double min, double max, double fallback);
  double Number(std::string_view key, double min, double max);
  bool BoolOr(std::string_view key, bool fallback);
  std::string String(std::string_view key);
  std::string StringOr(std::string_view key, std::string_view fallback);
  bool Has(std::string_view key) const;     // Present and not null.
  bool IsNull(std::string_view key) const;  // Present, and null.
  // The value itself, for what has no reader here; null if absent or null.
  const nlohmann::json* Find(std::string_view key) const;

  // Records an error about `key` found by the caller.
  void Fail(std::string_view key, std::string_view message);
  const absl::Status& status() const { return status_; }

 private:
  // As Find, but absence is recorded as an error.
  const nlohmann::json* Require(std::string_view key);
  int64_t IntOf(const nlohmann::json& value, std::string_view key, int64_t min, int64_t max);
  double NumberOf(const nlohmann::json& value, std::string_view key, double min, double max);
  std::string StringOf(const nlohmann::json& value, std::string_view key);

  const nlohmann::json& object_;
  std::string name_;
  absl::Status status_;
};

}  // namespace attnd
