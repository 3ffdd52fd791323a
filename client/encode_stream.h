#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/types.h"

namespace grpc {
class Channel;
}

namespace attnd::client {

struct StreamOptions {
  // Requests sent and not answered. Send waits at this number.
  int32_t in_flight_max = 64;
  // How long the whole stream may take; what is not answered by then ends with kDeadlineExceeded.
  // Absent: as long as it wants.
  std::optional<std::chrono::milliseconds> deadline = {};
};

struct StreamReply {
  std::string id;
  absl::StatusOr<EncodeReply> result = absl::UnknownError("no reply yet");
};

// Many Encode requests over one call (EncoderService.EncodeStream). Replies come as they are done,
// each once, with the id of its request; a reply in parts arrives here whole. A bad request fails
// alone.
//
// One thread may Send while another one Receives: Send waits for room, which only Receive makes.
// With one thread, keep below in_flight_max. For inputs of any number and replies in order,
// EncodeInOrder does all of this.
class EncodeStream {
 public:
  static std::unique_ptr<EncodeStream> Open(const std::shared_ptr<grpc::Channel>& channel,
                                            const StreamOptions& options);
  // Cancels what is not finished.
  ~EncodeStream();
  EncodeStream(const EncodeStream&) = delete;
  EncodeStream& operator=(const EncodeStream&) = delete;

  // `id` is unique among the requests in flight. An error means that the stream is over: Finish
  // says why.
  absl::Status Send(const std::string& id, const std::vector<Input>& inputs,
                    const EncodeOptions& options = {});
  // No more requests. Replies still come.
  void CloseSend();

  // Waits for the next reply; false when there will be none.
  bool Receive(StreamReply& reply);

  // How the stream ended; call it once, after Receive returned false. OK if CloseSend was called
  // and all was answered.
  absl::Status Finish();

  void Cancel();

 private:
  struct Call;
  explicit EncodeStream(std::unique_ptr<Call> call);
  std::unique_ptr<Call> call_;
};

}  // namespace attnd::client
