#pragma once

#include <memory>
#include <set>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/rpc/service_context.h"

namespace attnd {

class HealthWatch;

// grpc.health.v1 for "", each of our services, and each model as "models/NAME"; all are in one
// state, for a server that runs has all of its models. Our own, because
// gRPC's cannot end its open Watches, and those hold a shutdown for the whole of its limit.
class HealthServiceImpl : public grpc::health::v1::Health::WithRawCallbackMethod_Check<
                              grpc::health::v1::Health::WithRawCallbackMethod_Watch<
                                  grpc::health::v1::Health::Service>> {
 public:
  // More open Watches are refused.
  static constexpr size_t kWatchesMax = 1024;

  explicit HealthServiceImpl(const ServiceContext& service) : service_(service) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* reply) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Watch(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request) override;

  // From now on NOT_SERVING, which open Watches say at once.
  void SetNotServing();
  // Ends open Watches, and new ones after their first message.
  void EndWatches();

 private:
  bool IsKnown(std::string_view name) const;
  std::set<std::shared_ptr<HealthWatch>> watches() const;

  const ServiceContext& service_;
  mutable absl::Mutex mutex_;
  bool serving_ ABSL_GUARDED_BY(mutex_) = true;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  // Shared, because SetNotServing speaks to watches that may be ending.
  std::set<std::shared_ptr<HealthWatch>> watches_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd
