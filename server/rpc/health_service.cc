#include "server/rpc/health_service.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "attnd/v1/attention.pb.h"
#include "attnd/v1/encoder.pb.h"
#include "attnd/v1/model.pb.h"
#include "server/rpc/health_watch.h"
#include "server/rpc/message.h"
#include "server/rpc/unary_call.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr std::array<std::string_view, 9> kServices = {"",
                                                       "attnd.v1.EncoderService",
                                                       "attnd.v1.AttentionService",
                                                       "attnd.v1.ModelService",
                                                       "attnd.v1.ClassifierService",
                                                       "attnd.v1.RerankService",
                                                       "attnd.v1.FillMaskService",
                                                       "attnd.v1.AnswerService",
                                                       "attnd.v1.TokenizerService"};

// What a model is called by, before its name.
constexpr std::string_view kModels = "models/";

}  // namespace

bool HealthServiceImpl::IsKnown(std::string_view name) const {
  if (std::find(kServices.begin(), kServices.end(), name) != kServices.end()) return true;
  if (name.substr(0, kModels.size()) != kModels) return false;
  name.remove_prefix(kModels.size());
  return !name.empty() && service_.FindModel(name).ok();
}

grpc::ServerUnaryReactor* HealthServiceImpl::Check(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* reply) {
  return UnaryCall::Start<HealthCheckRequest>(
      service_, Method::kCheck, context, request, reply,
      [this](UnaryCall& call, const HealthCheckRequest& message) -> absl::Status {
        // As the protocol says it: no details of ours.
        if (!IsKnown(message.service())) return absl::NotFoundError("no such service");
        HealthCheckResponse response;
        absl::MutexLock lock(&mutex_);
        response.set_status(serving_ ? HealthCheckResponse::SERVING
                                     : HealthCheckResponse::NOT_SERVING);
        call.Reply(response);
        return absl::OkStatus();
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* HealthServiceImpl::Watch(
    grpc::CallbackServerContext*, const grpc::ByteBuffer* request) {
  auto watch = std::make_shared<HealthWatch>();
  HealthWatch* call = watch.get();
  call->set_on_done([this, watch] {
    absl::MutexLock lock(&mutex_);
    watches_.erase(watch);
  });
  HealthCheckRequest message;
  const absl::Status parsed = ParseMessage(*request, service_.limits, message);
  if (!parsed.ok()) {
    call->End(parsed);
    return call;
  }
  HealthWatch::State state = HealthCheckResponse::SERVICE_UNKNOWN;
  bool full = false, ending = false;
  {
    absl::MutexLock lock(&mutex_);
    full = watches_.size() >= kWatchesMax;
    ending = ending_;
    if (IsKnown(message.service())) {
      state = serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
    }
    if (!full) {
      watches_.insert(watch);
      call->Show(state);  // With the lock held, so that no later state comes first.
    }
  }
  if (full) {
    call->End(absl::ResourceExhaustedError("too many open Watches"));
    return call;
  }
  if (ending) call->End(WithReason(absl::UnavailableError("")));
  return call;
}

std::set<std::shared_ptr<HealthWatch>> HealthServiceImpl::watches() const {
  absl::MutexLock lock(&mutex_);
  return watches_;
}

void HealthServiceImpl::SetNotServing() {
  {
    absl::MutexLock lock(&mutex_);
    serving_ = false;
  }
  for (const auto& watch : watches()) watch->ShowChange(HealthCheckResponse::NOT_SERVING);
}

void HealthServiceImpl::EndWatches() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  for (const auto& watch : watches()) watch->End(WithReason(absl::UnavailableError("")));
}

}  // namespace attnd
