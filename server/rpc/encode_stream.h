#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "attnd/v1/encoder.pb.h"
#include "grpcpp/alarm.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/auth/caller.h"
#include "server/rpc/door.h"
#include "server/rpc/encode_run.h"
#include "server/rpc/service_context.h"

namespace attnd {

// One EncodeStream call. A request is an Item from the moment it is read until the last part of its
// reply is written:
//
//   read -> parked -> computing -> ready -> writing -> gone
//             |  (only while the engine's queue is full, or the caller has as many in flight as it
//             |  may; then nothing more is read)
//             +-> ready, when it is refused
//
// What the stream does next is decided in one place, Advance(), by what it holds: it reads while
// it holds fewer items and bytes than its limits, writes one part at a time, and ends when it may
// read no more and holds nothing.
//
// Shared, because jobs and the alarm call in from threads that gRPC does not count: they keep it
// alive until they have returned.
class EncodeStreamCall : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public std::enable_shared_from_this<EncodeStreamCall> {
 public:
  EncodeStreamCall(const ServiceContext& service, grpc::CallbackServerContext* context);

  // Called when gRPC is done with the call; may hold the last reference to this.
  void set_on_done(std::function<void()> on_done) { on_done_ = std::move(on_done); }
  // Asks who calls, before anything is read; ends the call if that is nobody.
  void Begin();
  // Reads no more; ends with UNAVAILABLE once all that was read is answered.
  void BeginDrain();

 private:
  struct Item {
    std::string id;
    Clock::time_point started{};
    JobTerms terms;
    ModelMetrics* metrics = nullptr;  // Of its model, once that is known.
    std::unique_ptr<EncodeRun> run;   // Null if the request was refused before it had one.
    CallerPlace place;                // From the first try with the engine on.
    absl::Status status;              // The outcome, once ready.
    bool owns_id = false;             // False for a second request of a live id.

    int64_t bytes() const { return run == nullptr ? 0 : run->bytes(); }
  };
  using ItemPtr = std::unique_ptr<Item>;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // A message's way to an Item. An error ends the stream: the message has no id to answer to.
  absl::Status Accept(const grpc::ByteBuffer& message);
  // Parses and validates; the Item's run or the refusal.
  absl::Status Plan(const grpc::ByteBuffer& message, Item& item);
  // Gives the item to the engine, or parks it, or makes it ready with its error.
  void Submit(ItemPtr item);
  // A place for it among its caller's, and the engine's for its jobs.
  absl::Status TrySubmit(Item& item);
  void RetryParked();
  void JobsDone(Item* item, absl::Status status);

  enum class Action { kNone, kRead, kWrite, kDrop, kSetAlarm, kFinish };
  Action Decide() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Does what is to be done next until nothing is. Called after every change, with no lock held.
  void Advance();
  void SetAlarm();
  void WriteNext();
  // The item's status as its last message.
  void WriteError(Item& item);
  // Counts the item's outcome and frees its id.
  void Settle(Item& item);
  // What is left when nobody reads replies any more.
  void DropReplies();

  // Why nobody reads replies any more: CANCELLED, or DEADLINE_EXCEEDED.
  absl::Status Gone() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What this stream's own limits say; MayRead asks for those of the process too.
  bool WantsRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayFinish() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ServiceContext& service_;
  grpc::CallbackServerContext* const context_;
  std::function<void()> on_done_;
  const std::chrono::system_clock::time_point wall_started_ = std::chrono::system_clock::now();
  const std::shared_ptr<std::atomic<bool>> cancelled_;
  Entrant entrant_;  // Set by Begin.

  // Each belongs to the one operation in progress.
  grpc::ByteBuffer read_buffer_;
  grpc::ByteBuffer write_buffer_;

  absl::Mutex mutex_;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool read_ended_ ABSL_GUARDED_BY(mutex_) = false;  // By the client, or by a broken message.
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;   // Cancelled, or a write failed.
  bool expired_ ABSL_GUARDED_BY(mutex_) = false;  // Cancelled, because its deadline has passed.
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool alarm_set_ ABSL_GUARDED_BY(mutex_) = false;
  // Threads that have decided on an action and have not returned from it. Finish waits for them.
  int acting_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status end_status_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);

  int32_t items_ ABSL_GUARDED_BY(mutex_) = 0;  // In any state.
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<std::string> live_ids_ ABSL_GUARDED_BY(mutex_);
  ItemPtr parked_ ABSL_GUARDED_BY(mutex_);
  int submitting_ ABSL_GUARDED_BY(mutex_) = 0;  // What was parked is on its way.
  std::map<Item*, ItemPtr> computing_ ABSL_GUARDED_BY(mutex_);
  std::deque<ItemPtr> ready_ ABSL_GUARDED_BY(mutex_);
  ItemPtr current_ ABSL_GUARDED_BY(mutex_);  // Being written; more parts to come.
  ItemPtr leaving_ ABSL_GUARDED_BY(mutex_);  // Being written; its last part.
};

}  // namespace attnd
