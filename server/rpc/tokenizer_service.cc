#include "server/rpc/tokenizer_service.h"

#include "core/base/status_macros.h"
#include "server/heads/tokenize.h"
#include "server/rpc/unary_call.h"

namespace attnd {
namespace {

absl::Status HandleTokenize(UnaryCall& call, const v1::TokenizeRequest& request) {
  ASSIGN_OR_RETURN(const ModelContext* model, call.FindModel(request.model()));
  ASSIGN_OR_RETURN(const Tokenizations result, Tokenize(request, model->served, model->limits));
  for (const double seconds : result.tokenize_seconds) model->metrics.RecordTokenize(seconds);
  call.Reply(result.response);
  return absl::OkStatus();
}

absl::Status HandleDetokenize(UnaryCall& call, const v1::DetokenizeRequest& request) {
  ASSIGN_OR_RETURN(const ModelContext* model, call.FindModel(request.model()));
  ASSIGN_OR_RETURN(const v1::DetokenizeResponse response,
                   Detokenize(request, model->served, model->limits));
  call.Reply(response);
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* TokenizerServiceImpl::Tokenize(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request,
                                                         grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::TokenizeRequest>(service_, Method::kTokenize, context, request, reply,
                                               &HandleTokenize);
}

grpc::ServerUnaryReactor* TokenizerServiceImpl::Detokenize(grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer* request,
                                                           grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::DetokenizeRequest>(service_, Method::kDetokenize, context, request,
                                                 reply, &HandleDetokenize);
}

}  // namespace attnd
