#include "client/commands/encode_jsonl.h"

#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/commands/jsonl.h"

namespace attnd::client {
namespace {

// The ids of the lines that are not answered yet, in order. Lines are read by one thread and
// answered by another.
class PendingIds {
 public:
  void Push(std::string id_json) {
    absl::MutexLock lock(&mutex_);
    ids_.push_back(std::move(id_json));
  }
  std::string Pop() {
    absl::MutexLock lock(&mutex_);
    std::string id_json = std::move(ids_.front());
    ids_.pop_front();
    return id_json;
  }

 private:
  absl::Mutex mutex_;
  std::deque<std::string> ids_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<JsonlCounts> EncodeJsonl(const Client& client, const OrderedEncodeOptions& options,
                                        std::istream& in, std::ostream& out) {
  JsonlCounts counts;
  PendingIds pending;
  int64_t line_number = 0;
  std::string line;
  const NextInput next = [&]() -> std::optional<absl::StatusOr<Input>> {
    const LineRead read = ReadLine(in, kJsonlLineBytesMax, line);
    if (read == LineRead::kEnd) return std::nullopt;
    ++line_number;
    if (read == LineRead::kTooLong) {
      pending.Push("null");
      return absl::InvalidArgumentError(
          absl::StrCat("line ", line_number, " is longer than ", kJsonlLineBytesMax, " bytes"));
    }
    JsonlLine parsed = ParseJsonl(line, line_number);
    pending.Push(std::move(parsed.id_json));
    return std::move(parsed.input);
  };
  const DeliverEncoding deliver = [&](absl::StatusOr<Encoding> encoding) {
    const std::string id_json = pending.Pop();
    ++counts.lines;
    if (encoding.ok()) {
      out << FormatJsonl(id_json, *encoding) << '\n';
    } else {
      ++counts.errors;
      out << FormatJsonlError(id_json, encoding.status()) << '\n';
    }
    out.flush();
  };
  // How the stream ended is in the lines that it left without an answer.
  const absl::Status stream_status = EncodeInOrder(client, options, next, deliver);
  if (!stream_status.ok() && counts.errors == 0) return stream_status;
  if (!out) return absl::DataLossError("the output could not be written");
  return counts;
}

}  // namespace attnd::client
