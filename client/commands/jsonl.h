#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/types.h"

// The lines of `attnctl encode --jsonl`: one JSON object for each input, one for each answer.
//
//   {"text": "..."}                       an optional "id" (string or number) is echoed
//   {"text": "...", "text_pair": "..."}
//   {"ids": [...]}                        and optional "type_ids": [...]
//   -> {"id", "ids", "tokens", "offsets", "special", "pooled", "vectors", "truncated"}
//      and what was asked for besides (representation_json.h), before "truncated"
//   -> {"id", "error": {"code", "reason", "message"}}
namespace attnd::client {

// The "id" of a line as it was written (a JSON value, "null" where absent), and its input or what
// is wrong with it.
struct JsonlLine {
  std::string id_json = "null";
  absl::StatusOr<Input> input;
};

// `line_number`, from 1, is for the message. Other keys are left alone: the lines may be someone's
// records.
JsonlLine ParseJsonl(std::string_view line, int64_t line_number);

// Without a newline. Floats are written so that they read back as the same bits; NaN and Inf, which
// JSON lacks, as null. Keys for what the reply does not hold are left out, except for "truncated".
std::string FormatJsonl(const std::string& id_json, const Encoding& encoding);
std::string FormatJsonlError(const std::string& id_json, const absl::Status& status);

enum class LineRead { kLine, kTooLong, kEnd };
// Reads up to a newline or the end. Of a line of more than `bytes_max` bytes the rest is skipped.
LineRead ReadLine(std::istream& in, size_t bytes_max, std::string& line);

}  // namespace attnd::client
