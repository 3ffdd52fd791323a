#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace attnd {

// Parses an untrusted JSON text: bounded depth, no exceptions, duplicate keys refused. `name` is the file, for
// messages.
absl::StatusOr<nlohmann::json> ParseJson(std::string_view text, std::string_view name);

// Reads typed fields of one JSON object, keeping the first error, so that a caller reads all fields and checks once.
// Messages name the file, the field, what it holds and what was wanted.
class JsonFields {
 public:
  // `object` must outlive this. Anything but an object is an error.
  JsonFields(const nlohmann::json& object, std::string name);

  // Required; within [min, max].
  int64_t Int(std::string_view key, int64_t min, int64_t max);
  // Absent or null: `fallback`.
  int64_t IntOr(std::string_view key, int64_t min, int64_t max, int64_t fallback);
  double NumberOr(std::string_view key, double min, double max, double fallback);
  double Number(std::string_view key, double min, double max);
  bool BoolOr(std::string_view key, bool fallback);
  std::string String(std::string_view key);
  std::string StringOr(std::string_view key, std::string_view fallback);
  bool Has(std::string_view key) const;  // Present and not null.

  // Records an error about `key` found by the caller.
  void Fail(std::string_view key, std::string_view message);
  const absl::Status& status() const { return status_; }

 private:
  const nlohmann::json* Find(std::string_view key) const;

  const nlohmann::json& object_;
  std::string name_;
  absl::Status status_;
};

}  // namespace attnd
