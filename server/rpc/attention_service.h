#pragma once

#include "attnd/v1/attention.grpc.pb.h"
#include "server/rpc/service_context.h"

namespace attnd {

// The attention operation on the caller's tensors, by the same workers as the models' requests, in
// a lane of its own, so that neither starves the other.
class AttentionServiceImpl : public v1::AttentionService::WithRawCallbackMethod_Attend<
                                 v1::AttentionService::WithRawCallbackMethod_SelfAttention<
                                     v1::AttentionService::Service>> {
 public:
  explicit AttentionServiceImpl(const ServiceContext& service) : service_(service) {}

  grpc::ServerUnaryReactor* Attend(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* reply) override;
  grpc::ServerUnaryReactor* SelfAttention(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* reply) override;

 private:
  const ServiceContext& service_;
};

}  // namespace attnd
