#include "server/rpc/encoder_service.h"

#include <utility>

#include "core/base/status_macros.h"
#include "server/rpc/encode_run.h"
#include "server/rpc/encode_stream.h"
#include "server/rpc/unary_call.h"
#include "server/validate/encode.h"

namespace attnd {
namespace {

absl::Status HandleEncode(UnaryCall& call, const v1::EncodeRequest& request) {
  const ServiceContext& service = call.service();
  RETURN_IF_ERROR(call.CheckRoom());
  ASSIGN_OR_RETURN(EncodePlan plan,
                   PlanEncode(request, service.model, service.limits, ReplyForm::kOneMessage));
  auto owned = std::make_shared<EncodeRun>(service, std::move(plan));
  EncodeRun* run = owned.get();
  call.Keep(std::move(owned));
  return run->Submit(call.deadline(), call.cancelled(), [&call, run](absl::Status status) {
    call.Guard([&] {
      if (status.ok()) {
        v1::EncodeResponse response;
        run->WriteAll(response);
        call.Reply(response);
      }
      return status;
    });
  });
}

}  // namespace

grpc::ServerUnaryReactor* EncoderServiceImpl::Encode(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request,
                                                     grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::EncodeRequest>(service_, Method::kEncode, context, request, reply,
                                             &HandleEncode);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* EncoderServiceImpl::EncodeStream(
    grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<EncodeStreamCall>(service_, context);
  EncodeStreamCall* call = stream.get();
  call->set_on_done([this, stream] {
    absl::MutexLock lock(&mutex_);
    streams_.erase(stream);
  });
  bool draining = false;
  {
    absl::MutexLock lock(&mutex_);
    streams_.insert(std::move(stream));
    draining = draining_;
  }
  call->Begin();
  if (draining) call->BeginDrain();
  return call;
}

void EncoderServiceImpl::BeginDrain() {
  std::set<std::shared_ptr<EncodeStreamCall>> streams;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    streams = streams_;
  }
  for (const auto& stream : streams) stream->BeginDrain();
}

}  // namespace attnd
