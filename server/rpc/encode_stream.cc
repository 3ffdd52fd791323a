#include "server/rpc/encode_stream.h"

#include <chrono>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/batch/limits.h"
#include "server/rpc/guard.h"
#include "server/rpc/message.h"
#include "server/validate/encode.h"
#include "server/validate/encode_size.h"
#include "server/validate/error.h"
#include "server/validate/wire.h"

namespace attnd {
namespace {

// How long a parked request waits for room in a queue or among its caller's, or a stream for
// memory, that others have filled.
constexpr std::chrono::milliseconds kRetryInterval(5);

absl::Status CheckId(const std::string& id) {
  if (id.empty()) return Refuse(v1::ERROR_REASON_MISSING_FIELD, "id", "each request needs an id");
  if (id.size() > kNameBytesMax) {
    return Refuse(v1::ERROR_REASON_OVER_LIMIT, "id",
                  StrCat(id.size(), " bytes are more than the limit of ", kNameBytesMax));
  }
  if (!IsUtf8(id)) return Refuse(v1::ERROR_REASON_INVALID_UTF8, "id", "the id is not UTF-8");
  return absl::OkStatus();
}

void SetError(const absl::Status& status, v1::StreamError& error) {
  error.set_code(static_cast<int32_t>(status.code()));
  error.set_message(std::string(status.message()));
  error.set_status(ToProto(status).SerializeAsString());
}

}  // namespace

EncodeStreamCall::EncodeStreamCall(const ServiceContext& service,
                                   grpc::CallbackServerContext* context)
    : service_(service), context_(context), cancelled_(std::make_shared<std::atomic<bool>>(false)) {
  service_.metrics.StreamStarted();
}

void EncodeStreamCall::Begin() {
  const absl::Status let_in = Guarded(service_.log, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(entrant_, Enter(service_, *context_));
    return absl::OkStatus();
  });
  if (!let_in.ok()) {
    absl::MutexLock lock(&mutex_);
    read_ended_ = true;
    end_status_ = let_in;
  }
  Advance();
}

void EncodeStreamCall::BeginDrain() {
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    if (!read_ended_) {
      end_status_.Update(Refuse(v1::ERROR_REASON_SHUTTING_DOWN, "", "the server is shutting down"));
    }
  }
  Advance();
}

void EncodeStreamCall::OnReadDone(bool ok) {
  absl::Status status;
  if (ok) status = Guarded(service_.log, [&] { return Accept(read_buffer_); });
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    if (!ok || !status.ok()) read_ended_ = true;
    end_status_.Update(status);
  }
  Advance();
}

absl::Status EncodeStreamCall::Accept(const grpc::ByteBuffer& message) {
  RETURN_IF_ERROR(CheckStillValid(service_, entrant_));
  auto item = std::make_unique<Item>();
  item->started = Clock::now();
  item->metrics = &service_.metrics.of_lane(service_.attention_lane);
  item->terms = {.deadline = JobDeadline(context_->deadline(), service_.limits),
                 .caller = entrant_.number(),
                 .cancelled = cancelled_};
  // The id is read by itself, so that a message that is broken elsewhere fails alone.
  item->id = FindField(BytesOf(message), v1::EncodeStreamRequest::kIdFieldNumber).value_or("");
  RETURN_IF_ERROR(CheckId(item->id));

  service_.metrics.RequestStarted();
  absl::Status status = Guarded(service_.log, [&] { return Plan(message, *item); });
  {
    absl::MutexLock lock(&mutex_);
    ++items_;
    bytes_ += item->bytes();
    item->owns_id = live_ids_.insert(item->id).second;
    if (!item->owns_id) {
      status = Refuse(v1::ERROR_REASON_DUPLICATE_ID, "id",
                      StrCat(Quote(item->id), " belongs to a request that is not answered yet"));
    }
    if (!status.ok()) {
      item->status = status;
      ready_.push_back(std::move(item));
      return absl::OkStatus();
    }
  }
  Submit(std::move(item));
  return absl::OkStatus();
}

absl::Status EncodeStreamCall::Plan(const grpc::ByteBuffer& message, Item& item) {
  v1::EncodeStreamRequest request;
  RETURN_IF_ERROR(ParseMessage(message, service_.limits, request));
  if (!request.has_request()) {
    return Refuse(v1::ERROR_REASON_MISSING_FIELD, "request", "the request is needed");
  }
  RETURN_IF_ERROR(ReadPriority(request.request().priority(), item.terms.priority));
  ASSIGN_OR_RETURN(const ModelContext* model, service_.FindModel(request.request().model()));
  item.metrics = &model->metrics;
  ASSIGN_OR_RETURN(EncodePlan plan,
                   PlanEncode(request.request(), model->served, model->limits, ReplyForm::kParts));
  item.run = std::make_unique<EncodeRun>(service_, *model, std::move(plan));
  return absl::OkStatus();
}

void EncodeStreamCall::Submit(ItemPtr owned) {
  Item* item = owned.get();
  {
    absl::MutexLock lock(&mutex_);
    computing_[item] = std::move(owned);
  }
  absl::Status status = absl::DeadlineExceededError("");
  if (Clock::now() < item->terms.deadline) {
    status = Guarded(service_.log, [&] { return TrySubmit(*item); });
  }
  if (status.ok()) return;  // The item may be gone by now.

  absl::MutexLock lock(&mutex_);
  owned = std::move(computing_.extract(item).mapped());
  // Waiting makes nothing sooner done.
  const bool may_wait = absl::IsResourceExhausted(status) && !status.GetPayload(kNotInTime);
  if (may_wait && !broken_) {
    parked_ = std::move(owned);
  } else {
    owned->status = status;
    ready_.push_back(std::move(owned));
  }
}

absl::Status EncodeStreamCall::TrySubmit(Item& item) {
  if (!item.place.is_taken()) {
    ASSIGN_OR_RETURN(item.place, TakePlace(service_, entrant_));
  }
  return item.run->Submit(item.terms, [self = shared_from_this(), &item](absl::Status outcome) {
    self->JobsDone(&item, std::move(outcome));
  });
}

void EncodeStreamCall::RetryParked() {
  ItemPtr item;
  {
    absl::MutexLock lock(&mutex_);
    if (parked_ == nullptr) return;
    item = std::move(parked_);
    ++submitting_;
  }
  Submit(std::move(item));
  absl::MutexLock lock(&mutex_);
  --submitting_;
}

void EncodeStreamCall::JobsDone(Item* item, absl::Status status) {
  {
    absl::MutexLock lock(&mutex_);
    ItemPtr owned = std::move(computing_.extract(item).mapped());
    owned->status = std::move(status);
    ready_.push_back(std::move(owned));
  }
  RetryParked();
  Advance();
}

absl::Status EncodeStreamCall::Gone() const {
  return expired_ ? absl::DeadlineExceededError("") : absl::CancelledError();
}

bool EncodeStreamCall::WantsRead() const {
  return !reading_ && !read_ended_ && !draining_ && !broken_ && !finished_ && parked_ == nullptr &&
         submitting_ == 0 && items_ < service_.limits.stream_requests &&
         bytes_ < service_.limits.queue_bytes;
}

bool EncodeStreamCall::MayRead() const { return WantsRead() && !service_.IsFull(); }

bool EncodeStreamCall::MayFinish() const {
  const bool no_more = read_ended_ || draining_ || broken_;
  // A read that is still open when the server drains is ended by Finish.
  return !finished_ && no_more && (!reading_ || draining_ || broken_) && items_ == 0 && !writing_ &&
         submitting_ == 0 && acting_ == 0 && !alarm_set_;
}

EncodeStreamCall::Action EncodeStreamCall::Decide() const {
  const bool replies = current_ != nullptr || !ready_.empty();
  if (finished_) return Action::kNone;
  if (replies && !writing_) return broken_ ? Action::kDrop : Action::kWrite;
  if (MayRead()) return Action::kRead;
  // The next of our own that is done may make room, and so may others' requests.
  if (parked_ != nullptr && !alarm_set_) return Action::kSetAlarm;
  // Other requests hold the memory; nobody says when they give it back.
  if (WantsRead() && !alarm_set_) return Action::kSetAlarm;
  return MayFinish() ? Action::kFinish : Action::kNone;
}

void EncodeStreamCall::Advance() {
  while (true) {
    Action action = Action::kNone;
    absl::Status end_status;
    {
      absl::MutexLock lock(&mutex_);
      action = Decide();
      if (action == Action::kNone) return;
      if (action == Action::kRead) reading_ = true;
      if (action == Action::kWrite || action == Action::kDrop) writing_ = true;
      if (action == Action::kSetAlarm) alarm_set_ = true;
      if (action == Action::kFinish) finished_ = true;
      end_status = broken_ ? Gone() : end_status_;
      ++acting_;
    }
    if (action == Action::kRead) StartRead(&read_buffer_);
    if (action == Action::kWrite) WriteNext();
    if (action == Action::kDrop) DropReplies();
    if (action == Action::kSetAlarm) SetAlarm();
    if (action == Action::kFinish) {
      const absl::Status status = WithReason(end_status);
      service_.metrics.StreamFinished(status);
      Finish(ToGrpc(status));
      return;
    }
    absl::MutexLock lock(&mutex_);
    --acting_;
  }
}

void EncodeStreamCall::SetAlarm() {
  auto alarm = std::make_unique<grpc::Alarm>();
  // An alarm keeps its callback until it is itself deleted, which is the stream's to do: the
  // callback gives its reference up, so that the two don't keep each other.
  alarm->Set(std::chrono::system_clock::now() + kRetryInterval,
             [self = shared_from_this()](bool) mutable {
               const auto call = std::move(self);
               call->RetryParked();
               {
                 absl::MutexLock lock(&call->mutex_);
                 call->alarm_set_ = false;
               }
               call->Advance();
             });
  absl::MutexLock lock(&mutex_);
  alarm_ = std::move(alarm);
}

void EncodeStreamCall::WriteNext() {
  ItemPtr item;
  {
    absl::MutexLock lock(&mutex_);
    if (current_ == nullptr) {
      current_ = std::move(ready_.front());
      ready_.pop_front();
    }
    item = std::move(current_);
  }
  bool last = true;
  if (item->status.ok()) {
    item->status = Guarded(service_.log, [&] {
      v1::EncodeStreamResponse response;
      response.set_id(item->id);
      const auto reserved = static_cast<int64_t>(item->id.size()) + kEncodingBytes;
      last = item->run->WritePart(reserved, *response.mutable_response());
      response.set_last(last);
      write_buffer_ = SerializeMessage(response);
      return absl::OkStatus();
    });
  }
  if (!item->status.ok()) {
    last = true;
    WriteError(*item);
  }
  // The id is free, and the request counted, before the client can see the last part.
  if (last) Settle(*item);
  {
    absl::MutexLock lock(&mutex_);
    (last ? leaving_ : current_) = std::move(item);
  }
  StartWrite(&write_buffer_);
}

void EncodeStreamCall::WriteError(Item& item) {
  if (absl::IsInternal(item.status)) {
    service_.log.error("a request failed: {}", std::string(item.status.message()));
  }
  item.status = WithReason(item.status);
  v1::EncodeStreamResponse response;
  response.set_id(item.id);
  SetError(item.status, *response.mutable_error());
  response.set_last(true);
  write_buffer_ = SerializeMessage(response);
}

void EncodeStreamCall::Settle(Item& item) {
  item.metrics->RequestFinished(Method::kEncodeStream, item.status,
                                std::chrono::duration<double>(Clock::now() - item.started).count());
  item.place.GiveBack();
  if (!item.owns_id) return;
  absl::MutexLock lock(&mutex_);
  live_ids_.erase(item.id);
}

void EncodeStreamCall::OnWriteDone(bool ok) {
  ItemPtr gone;
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) broken_ = true;
    gone = std::move(leaving_);
    if (gone != nullptr) {
      --items_;
      bytes_ -= gone->bytes();
    }
  }
  gone.reset();
  RetryParked();  // Its caller has a place again.
  Advance();
}

void EncodeStreamCall::DropReplies() {
  std::deque<ItemPtr> dropped;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    status = WithReason(Gone());
    dropped = std::move(ready_);
    ready_.clear();
    if (current_ != nullptr) dropped.push_back(std::move(current_));
    items_ -= static_cast<int32_t>(dropped.size());
    for (const ItemPtr& item : dropped) bytes_ -= item->bytes();
  }
  for (const ItemPtr& item : dropped) {
    item->status = status;
    Settle(*item);
  }
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
  }
  Advance();
}

void EncodeStreamCall::OnCancel() {
  cancelled_->store(true);
  {
    absl::MutexLock lock(&mutex_);
    broken_ = true;
    expired_ = IsExpired(context_->deadline(), wall_started_, std::chrono::system_clock::now());
    if (parked_ != nullptr) ready_.push_back(std::move(parked_));
  }
  service_.engine.ReapCancelled();
  Advance();
}

void EncodeStreamCall::OnDone() {
  const auto on_done = std::move(on_done_);
  on_done();  // Ends this.
}

}  // namespace attnd
