#include "client/ordered_encode.h"

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace attnd::client {
namespace {

// Puts results back in order. Add and Put may be called from two threads; whichever completes the
// oldest item delivers, outside the lock.
class Reorderer {
 public:
  Reorderer(int32_t window, const DeliverEncoding& deliver) : window_(window), deliver_(deliver) {}

  // Takes the next place, waiting until fewer than `window` are undelivered.
  int64_t Add() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &Reorderer::HasRoom));
    results_.emplace_back();
    return first_ + static_cast<int64_t>(results_.size()) - 1;
  }

  // False if there is no such place, or it has its result already: the server's mistake.
  bool Put(int64_t place, absl::StatusOr<Encoding> result) {
    absl::MutexLock lock(&mutex_);
    if (place < first_ || place >= first_ + static_cast<int64_t>(results_.size())) return false;
    auto& slot = results_[static_cast<size_t>(place - first_)];
    if (slot.has_value()) return false;
    slot = std::move(result);
    Drain();
    return true;
  }

  // Gives every place without a result this one.
  void PutMissing(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    for (auto& slot : results_) {
      if (!slot.has_value()) slot = status;
    }
    Drain();
  }

 private:
  bool HasRoom() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return results_.size() < static_cast<size_t>(window_);
  }

  void Drain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (delivering_) return;
    delivering_ = true;
    while (!results_.empty() && results_.front().has_value()) {
      absl::StatusOr<Encoding> result = *std::move(results_.front());
      results_.pop_front();
      ++first_;
      mutex_.Unlock();
      deliver_(std::move(result));
      mutex_.Lock();
    }
    delivering_ = false;
  }

  const int32_t window_;
  const DeliverEncoding& deliver_;
  absl::Mutex mutex_;
  int64_t first_ ABSL_GUARDED_BY(mutex_) = 0;  // The place of results_.front().
  std::deque<std::optional<absl::StatusOr<Encoding>>> results_ ABSL_GUARDED_BY(mutex_);
  bool delivering_ ABSL_GUARDED_BY(mutex_) = false;
};

// Receives until the stream ends, and returns how it ended.
absl::Status ReceiveAll(EncodeStream& stream, Reorderer& reorderer) {
  StreamReply reply;
  while (stream.Receive(reply)) {
    int64_t place = -1;
    const bool known = absl::SimpleAtoi(reply.id, &place);
    absl::StatusOr<Encoding> result = absl::InternalError("the reply holds no encoding");
    if (!reply.result.ok()) {
      result = reply.result.status();
    } else if (reply.result->encodings.size() == 1) {
      result = std::move(reply.result->encodings.front());
    }
    if (!known || !reorderer.Put(place, std::move(result))) {
      stream.Cancel();
      while (stream.Receive(reply)) {
      }
      (void)stream.Finish();  // CANCELLED, by us.
      return absl::InternalError(absl::StrCat("a reply with an unknown id, ", reply.id));
    }
  }
  return stream.Finish();
}

// What an input gets that the stream has left without an answer.
absl::Status MissingStatus(const absl::Status& stream_status) {
  if (!stream_status.ok()) return stream_status;
  return absl::InternalError("the server ended the stream without an answer");
}

}  // namespace

absl::Status EncodeInOrder(const Client& client, const OrderedEncodeOptions& options,
                           const NextInput& next, const DeliverEncoding& deliver) {
  Reorderer reorderer(options.window, deliver);
  const std::unique_ptr<EncodeStream> stream =
      client.OpenEncodeStream({.in_flight_max = options.window, .deadline = options.deadline});
  absl::Mutex mutex;
  std::optional<absl::Status> ended;  // Guarded by mutex.
  std::thread receiver([&] {
    const absl::Status status = ReceiveAll(*stream, reorderer);
    {
      absl::MutexLock lock(&mutex);
      ended = status;
    }
    // From here on no place waits for the stream: those before are filled here, later ones see
    // `ended`.
    reorderer.PutMissing(MissingStatus(status));
  });
  const auto broken = [&]() -> std::optional<absl::Status> {
    absl::MutexLock lock(&mutex);
    return ended;
  };

  while (std::optional<absl::StatusOr<Input>> input = next()) {
    const int64_t place = reorderer.Add();
    if (!input->ok()) {
      reorderer.Put(place, input->status());
    } else if (const std::optional<absl::Status> status = broken()) {
      reorderer.Put(place, MissingStatus(*status));
    } else if (!stream->Send(absl::StrCat(place), {**std::move(input)}, options.encode).ok()) {
      continue;  // The receiver finds the end of the stream and fills this place.
    }
  }
  stream->CloseSend();
  receiver.join();
  return *ended;
}

}  // namespace attnd::client
