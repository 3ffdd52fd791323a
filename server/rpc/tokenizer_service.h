#pragma once

#include "attnd/v1/tokenizer.grpc.pb.h"
#include "server/rpc/service_context.h"

namespace attnd {

class TokenizerServiceImpl
    : public v1::TokenizerService::WithRawCallbackMethod_Tokenize<
          v1::TokenizerService::WithRawCallbackMethod_Detokenize<v1::TokenizerService::Service>> {
 public:
  explicit TokenizerServiceImpl(const ServiceContext& service) : service_(service) {}

  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* reply) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* reply) override;

 private:
  const ServiceContext& service_;
};

}  // namespace attnd
