#include "client/load/generator.h"

#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "attnd/v1/encoder.grpc.pb.h"
#include "client/channel.h"
#include "grpcpp/grpcpp.h"

namespace attnd::client {
namespace {

using Clock = std::chrono::steady_clock;

// The requests in flight, and what came of the others. Calls are finished on gRPC's threads.
class Recorder {
 public:
  explicit Recorder(Clock::time_point start) : start_(start) {}

  double Now() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  void AwaitBelow(int64_t limit) ABSL_LOCKS_EXCLUDED(mutex_) {
    const auto below = [this, limit]()
                           ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return in_flight_ < limit; };
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&below));
  }

  void Begin() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    ++in_flight_;
  }

  void End(const LoadSample& sample) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    samples_.push_back(sample);
    --in_flight_;
  }

  std::vector<LoadSample> Take() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return std::move(samples_);
  }

 private:
  const Clock::time_point start_;
  absl::Mutex mutex_;
  int64_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<LoadSample> samples_ ABSL_GUARDED_BY(mutex_);
};

// One request on its way; deletes itself when done.
struct Call {
  grpc::ClientContext context;
  v1::EncodeResponse response;
  LoadSample sample;
};

void Send(v1::EncoderService::Stub& stub, const v1::EncodeRequest& request, double intended,
          std::chrono::milliseconds deadline, Recorder& recorder) {
  auto owned = std::make_unique<Call>();
  owned->context.set_deadline(std::chrono::system_clock::now() + deadline);
  owned->sample.intended = intended;
  owned->sample.sent = recorder.Now();
  recorder.Begin();
  Call* call = owned.release();  // gRPC's callback takes copies: it must be copyable.
  stub.async()->Encode(&call->context, &request, &call->response,
                       [call, &recorder](const grpc::Status& status) {
                         std::unique_ptr<Call> finished(call);
                         LoadSample sample = finished->sample;
                         sample.done = recorder.Now();
                         sample.code = status.error_code();
                         for (const v1::Encoding& encoding : finished->response.encodings()) {
                           sample.tokens += encoding.token_count();
                           sample.queue_seconds = encoding.timings().queue_seconds();
                           sample.compute_seconds = encoding.timings().compute_seconds();
                         }
                         finished.reset();
                         recorder.End(sample);
                       });
}

absl::StatusOr<std::vector<std::unique_ptr<v1::EncoderService::Stub>>> Connect(
    const LoadOptions& options) {
  std::vector<std::unique_ptr<v1::EncoderService::Stub>> stubs;
  for (int32_t i = 0; i < options.connections; ++i) {
    const auto channel = OpenChannel({.target = options.target,
                                      .tls = options.tls,
                                      .reply_bytes_max = options.reply_bytes_max,
                                      .sharing = ConnectionSharing::kSeparate,
                                      .api_key = options.api_key});
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + options.connect_time_max)) {
      return absl::UnavailableError(absl::StrCat("no connection to ", options.target, " within ",
                                                 options.connect_time_max.count(), " ms"));
    }
    stubs.push_back(v1::EncoderService::NewStub(channel));
  }
  return stubs;
}

}  // namespace

absl::StatusOr<std::vector<LoadSample>> GenerateLoad(
    const LoadOptions& options, const std::vector<v1::EncodeRequest>& requests) {
  if (requests.empty()) return absl::InvalidArgumentError("no requests to send");
  const auto stubs = Connect(options);
  if (!stubs.ok()) return stubs.status();

  ArrivalSchedule schedule(options.arrival, options.rate, options.seed);
  const double end_seconds = options.warmup_seconds + options.measured_seconds;
  const Clock::time_point start = Clock::now();
  Recorder recorder(start);
  for (size_t i = 0;; ++i) {
    double intended = 0;
    if (options.rate > 0) {
      intended = schedule.NextSeconds();
      if (intended >= end_seconds) break;
      std::this_thread::sleep_until(start + std::chrono::duration_cast<Clock::duration>(
                                                std::chrono::duration<double>(intended)));
      recorder.AwaitBelow(options.in_flight_max);
    } else {
      recorder.AwaitBelow(options.in_flight_max);
      intended = recorder.Now();
      if (intended >= end_seconds) break;
    }
    Send(*(*stubs)[i % stubs->size()], requests[i % requests.size()], intended, options.deadline,
         recorder);
  }
  recorder.AwaitBelow(1);
  return recorder.Take();
}

}  // namespace attnd::client
