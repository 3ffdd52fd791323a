#include "client/encode_stream.h"

#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "attnd/v1/encoder.grpc.pb.h"
#include "client/convert.h"
#include "client/convert_encode.h"
#include "grpcpp/grpcpp.h"

namespace attnd::client {
namespace {

// What a later part of an encoding brings besides rows of token vectors replaces what is absent.
void TakeRest(Encoding part, Encoding& whole) {
  const auto take = [](auto& from, auto& to) {
    if (!from.empty()) to = std::move(from);
  };
  const auto take_tensor = [](Tensor& from, Tensor& to) {
    if (!from.shape.empty()) to = std::move(from);
  };
  take(part.pooled, whole.pooled);
  take(part.tokens, whole.tokens);
  take(part.hidden_layers, whole.hidden_layers);
  take(part.attention, whole.attention);
  take(part.spans, whole.spans);
  take_tensor(part.span_vectors, whole.span_vectors);
  take(part.sparse, whole.sparse);
  take_tensor(part.multi_vectors, whole.multi_vectors);
  take(part.kept_tokens, whole.kept_tokens);
  take(part.windows, whole.windows);
}

// Adds a part to what has come of the same reply: whole encodings, or more rows of the last one.
absl::Status AppendPart(EncodeReply part, EncodeReply& whole) {
  whole.model = std::move(part.model);
  whole.model_version = std::move(part.model_version);
  for (Encoding& encoding : part.encodings) {
    const bool continues =
        !whole.encodings.empty() && whole.encodings.back().input_index == encoding.input_index;
    if (!continues) {
      whole.encodings.push_back(std::move(encoding));
      continue;
    }
    Tensor& rows = whole.encodings.back().token_vectors;
    const Tensor& more = encoding.token_vectors;
    if (rows.shape.size() != 2 || more.shape.size() != 2 || rows.shape[1] != more.shape[1]) {
      return absl::InternalError("the reply's parts have token vectors that do not fit together");
    }
    rows.shape[0] += more.shape[0];
    rows.values.insert(rows.values.end(), more.values.begin(), more.values.end());
    TakeRest(std::move(encoding), whole.encodings.back());
  }
  return absl::OkStatus();
}

}  // namespace

struct EncodeStream::Call {
  // REQUIRES: the mutex is held (as a condition of absl::Mutex).
  bool HasRoom() const { return in_flight < in_flight_max || ended; }

  // The whole reply when `response` is its last part, or its error.
  std::optional<absl::StatusOr<EncodeReply>> AddPart(const v1::EncodeStreamResponse& response);

  std::unique_ptr<v1::EncoderService::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::EncodeStreamRequest, v1::EncodeStreamResponse>>
      stream;
  int32_t in_flight_max = 0;
  bool finished = false;                               // Of the receiving thread, as is `parts`.
  std::unordered_map<std::string, EncodeReply> parts;  // Replies begun and not ended, by id.

  absl::Mutex mutex;
  int32_t in_flight = 0;  // Guarded by mutex, as `ended`.
  bool ended = false;
};

std::optional<absl::StatusOr<EncodeReply>> EncodeStream::Call::AddPart(
    const v1::EncodeStreamResponse& response) {
  const auto begun = parts.try_emplace(response.id()).first;
  absl::Status status;
  if (response.has_error()) {
    const v1::StreamError& error = response.error();
    status = WithDetails(error.code(), error.message(), error.status());
    if (status.ok()) status = absl::InternalError("the reply is an error of code OK");
  } else {
    absl::StatusOr<EncodeReply> part = FromProto(response.response());
    status = part.ok() ? AppendPart(*std::move(part), begun->second) : part.status();
    if (status.ok() && !response.last()) return std::nullopt;
  }
  EncodeReply whole = std::move(begun->second);
  parts.erase(begun);
  if (!status.ok()) return status;
  return whole;
}

std::unique_ptr<EncodeStream> EncodeStream::Open(const std::shared_ptr<grpc::Channel>& channel,
                                                 const StreamOptions& options) {
  auto call = std::make_unique<Call>();
  call->in_flight_max = options.in_flight_max;
  if (options.deadline) {
    call->context.set_deadline(std::chrono::system_clock::now() + *options.deadline);
  }
  call->stub = v1::EncoderService::NewStub(channel);
  call->stream = call->stub->EncodeStream(&call->context);
  return std::unique_ptr<EncodeStream>(new EncodeStream(std::move(call)));
}

EncodeStream::EncodeStream(std::unique_ptr<Call> call) : call_(std::move(call)) {}

EncodeStream::~EncodeStream() {
  if (call_->finished) return;
  call_->context.TryCancel();
  call_->stream->Finish();  // CANCELLED, by us.
}

absl::Status EncodeStream::Send(const std::string& id, const std::vector<Input>& inputs,
                                const EncodeOptions& options) {
  {
    absl::MutexLock lock(&call_->mutex);
    call_->mutex.Await(absl::Condition(call_.get(), &Call::HasRoom));
    if (call_->ended) return absl::UnavailableError("the stream has ended");
    ++call_->in_flight;
  }
  v1::EncodeStreamRequest request;
  request.set_id(id);
  *request.mutable_request() = ToProto(inputs, options);
  if (!call_->stream->Write(request)) return absl::UnavailableError("the stream has ended");
  return absl::OkStatus();
}

void EncodeStream::CloseSend() { call_->stream->WritesDone(); }

bool EncodeStream::Receive(StreamReply& reply) {
  v1::EncodeStreamResponse response;
  while (call_->stream->Read(&response)) {
    reply.id = response.id();
    std::optional<absl::StatusOr<EncodeReply>> whole = call_->AddPart(response);
    if (!whole.has_value()) continue;
    reply.result = *std::move(whole);
    absl::MutexLock lock(&call_->mutex);
    --call_->in_flight;
    return true;
  }
  absl::MutexLock lock(&call_->mutex);
  call_->ended = true;
  return false;
}

absl::Status EncodeStream::Finish() {
  call_->finished = true;
  return FromGrpc(call_->stream->Finish());
}

void EncodeStream::Cancel() { call_->context.TryCancel(); }

}  // namespace attnd::client
