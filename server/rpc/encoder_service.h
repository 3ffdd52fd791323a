#pragma once

#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "attnd/v1/encoder.grpc.pb.h"
#include "server/rpc/service_context.h"

namespace attnd {

class EncodeStreamCall;

// Raw methods, because gRPC 1.51's typed ones answer UNIMPLEMENTED with no message to a request
// that does not parse.
class EncoderServiceImpl
    : public v1::EncoderService::WithRawCallbackMethod_Encode<
          v1::EncoderService::WithRawCallbackMethod_EncodeStream<
              v1::EncoderService::WithRawCallbackMethod_Similarity<v1::EncoderService::Service>>> {
 public:
  explicit EncoderServiceImpl(const ServiceContext& service) : service_(service) {}

  grpc::ServerUnaryReactor* Encode(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* reply) override;
  grpc::ServerUnaryReactor* Similarity(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* reply) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* EncodeStream(
      grpc::CallbackServerContext* context) override;

  // Open streams take no more requests, and end once what they accepted is answered.
  void BeginDrain();

 private:
  const ServiceContext& service_;
  absl::Mutex mutex_;
  // Shared, because BeginDrain speaks to streams that may be ending.
  std::set<std::shared_ptr<EncodeStreamCall>> streams_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace attnd
