#pragma once

#include "attnd/v1/answer.grpc.pb.h"
#include "attnd/v1/classifier.grpc.pb.h"
#include "attnd/v1/fill_mask.grpc.pb.h"
#include "attnd/v1/rerank.grpc.pb.h"
#include "server/rpc/service_context.h"

namespace attnd {

// The services that answer with what a model's head says, one head each. All are as thin: plan,
// run, reply (server/heads).

class ClassifierServiceImpl : public v1::ClassifierService::WithRawCallbackMethod_Classify<
                                  v1::ClassifierService::WithRawCallbackMethod_ClassifyTokens<
                                      v1::ClassifierService::Service>> {
 public:
  explicit ClassifierServiceImpl(const ServiceContext& service) : service_(service) {}

  grpc::ServerUnaryReactor* Classify(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* reply) override;
  grpc::ServerUnaryReactor* ClassifyTokens(grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer* request,
                                           grpc::ByteBuffer* reply) override;

 private:
  const ServiceContext& service_;
};

class RerankServiceImpl
    : public v1::RerankService::WithRawCallbackMethod_Rerank<v1::RerankService::Service> {
 public:
  explicit RerankServiceImpl(const ServiceContext& service) : service_(service) {}

  grpc::ServerUnaryReactor* Rerank(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* reply) override;

 private:
  const ServiceContext& service_;
};

class FillMaskServiceImpl
    : public v1::FillMaskService::WithRawCallbackMethod_FillMask<v1::FillMaskService::Service> {
 public:
  explicit FillMaskServiceImpl(const ServiceContext& service) : service_(service) {}

  grpc::ServerUnaryReactor* FillMask(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* reply) override;

 private:
  const ServiceContext& service_;
};

class AnswerServiceImpl
    : public v1::AnswerService::WithRawCallbackMethod_Answer<v1::AnswerService::Service> {
 public:
  explicit AnswerServiceImpl(const ServiceContext& service) : service_(service) {}

  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* reply) override;

 private:
  const ServiceContext& service_;
};

}  // namespace attnd
