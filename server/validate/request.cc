#include "server/validate/request.h"

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/error.h"

namespace attnd {

absl::Status CheckCount(int64_t count, const CountLimit& limit, std::string_view field) {
  if (count <= limit.most) return absl::OkStatus();
  return Refuse(v1::ERROR_REASON_OVER_LIMIT, field,
                StrCat(count, " ", limit.what, " are more than the limit of ", limit.most, " (",
                       limit.knob, ")"));
}

absl::Status CheckNumberOfInputs(int64_t count, const Limits& limits, std::string_view field) {
  if (count == 0) {
    return Refuse(v1::ERROR_REASON_MISSING_FIELD, field, "at least one is needed");
  }
  return CheckCount(
      count, {.most = limits.inputs_per_request, .what = field, .knob = "inputs-per-request"},
      field);
}

absl::Status CheckTextBytes(int64_t bytes, const Limits& limits, std::string_view field) {
  return CheckCount(
      bytes,
      {.most = limits.request_text_bytes, .what = "bytes of text", .knob = "request-text-bytes"},
      field);
}

int64_t TextBytes(const v1::Input& input) {
  return static_cast<int64_t>(input.text().size() + input.text_pair().first().size() +
                              input.text_pair().second().size());
}

int64_t TextBytes(const google::protobuf::RepeatedPtrField<v1::Input>& inputs) {
  int64_t bytes = 0;
  for (const v1::Input& input : inputs) bytes += TextBytes(input);
  return bytes;
}

QueueNeed NeedOf(std::span<const std::unique_ptr<Job>> jobs) {
  QueueNeed need{.jobs = static_cast<int64_t>(jobs.size())};
  for (const auto& job : jobs) {
    need.tokens += job->rows;
    need.bytes += static_cast<int64_t>(job->bytes);
  }
  return need;
}

absl::Status CheckFitsQueue(const QueueNeed& need, const Limits& limits, std::string_view field,
                            std::string_view way_out) {
  const auto check = [&](int64_t value, const CountLimit& limit) {
    if (value <= limit.most) return absl::OkStatus();
    return Refuse(
        v1::ERROR_REASON_OVER_LIMIT, field,
        StrCat(value, " ", limit.what, " are more than the queue ever takes, ", limit.most, " (",
               limit.knob, "). ", way_out, ", or raise the server's --", limit.knob, "."));
  };
  RETURN_IF_ERROR(check(
      need.jobs,
      {.most = limits.queue_requests, .what = "inputs or windows", .knob = "queue-requests"}));
  RETURN_IF_ERROR(
      check(need.tokens, {.most = limits.queue_tokens, .what = "tokens", .knob = "queue-tokens"}));
  return check(need.bytes, {.most = limits.queue_bytes, .what = "bytes", .knob = "queue-bytes"});
}

absl::Status CheckReplyBytes(int64_t bytes, const Limits& limits, std::string_view field,
                             std::string_view way_out) {
  if (bytes <= limits.message_bytes) return absl::OkStatus();
  return Refuse(
      v1::ERROR_REASON_REPLY_TOO_LARGE, field,
      StrCat("the reply could take ", bytes, " bytes; the limit is ", limits.message_bytes,
             " (message-bytes)", way_out.empty() ? "" : ". ", way_out));
}

}  // namespace attnd
