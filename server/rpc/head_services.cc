#include "server/rpc/head_services.h"

#include <utility>

#include "core/base/status_macros.h"
#include "server/heads/answer.h"
#include "server/heads/classify.h"
#include "server/heads/classify_tokens.h"
#include "server/heads/fill_mask.h"
#include "server/heads/rerank.h"
#include "server/rpc/jobs_run.h"
#include "server/rpc/unary_call.h"

namespace attnd {
namespace {

// A handler that plans with `kPlan` and answers with `kReply`.
template <auto kPlan, auto kReply, typename Request>
absl::Status Handle(UnaryCall& call, const Request& request) {
  RETURN_IF_ERROR(call.CheckRoom());
  ASSIGN_OR_RETURN(const ModelContext* model, call.FindModel(request.model()));
  ASSIGN_OR_RETURN(auto plan, kPlan(request, model->served, model->limits));
  return RunPlan(call, *model, std::move(plan), kReply);
}

}  // namespace

grpc::ServerUnaryReactor* ClassifierServiceImpl::Classify(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request,
                                                          grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::ClassifyRequest>(
      service_, Method::kClassify, context, request, reply,
      &Handle<&PlanClassify, &ClassifyReply, v1::ClassifyRequest>);
}

grpc::ServerUnaryReactor* ClassifierServiceImpl::ClassifyTokens(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::ClassifyTokensRequest>(
      service_, Method::kClassifyTokens, context, request, reply,
      &Handle<&PlanClassifyTokens, &ClassifyTokensReply, v1::ClassifyTokensRequest>);
}

grpc::ServerUnaryReactor* RerankServiceImpl::Rerank(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request,
                                                    grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::RerankRequest>(service_, Method::kRerank, context, request, reply,
                                             &Handle<&PlanRerank, &RerankReply, v1::RerankRequest>);
}

grpc::ServerUnaryReactor* FillMaskServiceImpl::FillMask(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::FillMaskRequest>(
      service_, Method::kFillMask, context, request, reply,
      &Handle<&PlanFillMask, &FillMaskReply, v1::FillMaskRequest>);
}

grpc::ServerUnaryReactor* AnswerServiceImpl::Answer(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request,
                                                    grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::AnswerRequest>(service_, Method::kAnswer, context, request, reply,
                                             &Handle<&PlanAnswer, &AnswerReply, v1::AnswerRequest>);
}

}  // namespace attnd
