#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "attnd/v1/input.pb.h"
#include "core/batch/job.h"
#include "google/protobuf/message.h"
#include "google/protobuf/repeated_field.h"
#include "server/validate/limits.h"

namespace attnd {

// Checks that requests of several methods share. `field` is to blame.

// A limit as messages name it: 32 inputs (inputs-per-request).
struct CountLimit {
  int64_t most = 0;
  std::string_view what;
  std::string_view knob;
};
// OVER_LIMIT if `count` is more.
absl::Status CheckCount(int64_t count, const CountLimit& limit, std::string_view field);
// MISSING_FIELD if there is none, OVER_LIMIT if there are too many.
absl::Status CheckNumberOfInputs(int64_t count, const Limits& limits, std::string_view field);

// OVER_LIMIT if all texts together are too long: they are tokenized on gRPC's threads, which other
// calls wait for.
absl::Status CheckTextBytes(int64_t bytes, const Limits& limits, std::string_view field);
int64_t TextBytes(const v1::Input& input);
int64_t TextBytes(const google::protobuf::RepeatedPtrField<v1::Input>& inputs);

// What a request asks of the queue.
struct QueueNeed {
  int64_t jobs = 0;
  int64_t tokens = 0;
  int64_t bytes = 0;
};
QueueNeed NeedOf(std::span<const std::unique_ptr<Job>> jobs);

// OVER_LIMIT for what even the empty queue could not take: it would be refused as "full" for ever.
// `way_out` is what the caller can do, the beginning of a sentence that ends with the limit's flag.
inline constexpr std::string_view kFewerInputs = "Send fewer or shorter inputs";
absl::Status CheckFitsQueue(const QueueNeed& need, const Limits& limits, std::string_view field,
                            std::string_view way_out = kFewerInputs);

// REPLY_TOO_LARGE if a reply of so many bytes could not be sent. `way_out` is a sentence, or empty.
absl::Status CheckReplyBytes(int64_t bytes, const Limits& limits, std::string_view field,
                             std::string_view way_out = {});

}  // namespace attnd
