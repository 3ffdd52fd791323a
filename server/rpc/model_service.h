#pragma once

#include "attnd/v1/model.grpc.pb.h"
#include "server/rpc/service_context.h"

namespace attnd {

class ModelServiceImpl
    : public v1::ModelService::WithRawCallbackMethod_ListModels<
          v1::ModelService::WithRawCallbackMethod_GetModel<v1::ModelService::Service>> {
 public:
  explicit ModelServiceImpl(const ServiceContext& service) : service_(service) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* reply) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* reply) override;

 private:
  const ServiceContext& service_;
};

}  // namespace attnd
