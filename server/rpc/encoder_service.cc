#include "server/rpc/encoder_service.h"

#include <array>
#include <span>
#include <utility>

#include "core/base/status_macros.h"
#include "server/heads/plan.h"
#include "server/represent/encoding.h"
#include "server/represent/outputs.h"
#include "server/rpc/encode_run.h"
#include "server/rpc/encode_stream.h"
#include "server/rpc/unary_call.h"
#include "server/validate/encode.h"
#include "server/validate/similarity.h"

namespace attnd {
namespace {

absl::Status HandleEncode(UnaryCall& call, const v1::EncodeRequest& request) {
  RETURN_IF_ERROR(call.CheckRoom());
  ASSIGN_OR_RETURN(const ModelContext* model, call.FindModel(request.model()));
  ASSIGN_OR_RETURN(EncodePlan plan,
                   PlanEncode(request, model->served, model->limits, ReplyForm::kOneMessage));
  auto owned = std::make_shared<EncodeRun>(call.service(), *model, std::move(plan));
  EncodeRun* run = owned.get();
  call.Keep(std::move(owned));
  return run->Submit(call.terms(), [&call, run](absl::Status status) {
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

void WriteCosines(EncodeRun& run, size_t sources, size_t targets, v1::Tensor& tensor) {
  const std::vector<std::span<const float>> vectors = run.PooledVectors();
  const auto first = std::span(vectors).first(sources);
  const auto second = targets == 0 ? first : std::span(vectors).subspan(sources, targets);
  const std::vector<float> cosines = Cosines(first, second);
  const auto rows = static_cast<int64_t>(first.size());
  const auto columns = static_cast<int64_t>(second.size());
  SetShape(VectorEncoding::kFloat32, std::array{rows, columns}, tensor);
  AppendVectors({cosines.data(), rows, columns, columns}, VectorEncoding::kFloat32, tensor);
}

absl::Status HandleSimilarity(UnaryCall& call, const v1::SimilarityRequest& request) {
  RETURN_IF_ERROR(call.CheckRoom());
  ASSIGN_OR_RETURN(const ModelContext* model, call.FindModel(request.model()));
  ASSIGN_OR_RETURN(SimilarityPlan plan, PlanSimilarity(request, model->served, model->limits));
  auto owned = std::make_shared<EncodeRun>(call.service(), *model, std::move(plan.encode));
  EncodeRun* run = owned.get();
  call.Keep(std::move(owned));
  const auto done = [&call, run, sources = plan.sources,
                     targets = plan.targets](absl::Status status) {
    call.Guard([&] {
      if (status.ok()) {
        v1::SimilarityResponse response;
        WriteModel(run->model().served, *response.mutable_model());
        WriteCosines(*run, sources, targets, *response.mutable_similarities());
        call.Reply(response);
      }
      return status;
    });
  };
  return run->Submit(call.terms(), done);
}

}  // namespace

grpc::ServerUnaryReactor* EncoderServiceImpl::Similarity(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request,
                                                         grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::SimilarityRequest>(service_, Method::kSimilarity, context, request,
                                                 reply, &HandleSimilarity);
}

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
