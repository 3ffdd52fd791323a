#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "attnd/v1/error.pb.h"
#include "core/batch/engine.h"
#include "core/batch/result_cache.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/auth/authorization.h"
#include "server/validate/served_model.h"

namespace attnd {

// The methods that requests are counted by. A message of a stream counts as a request.
enum class Method {
  kEncode,
  kEncodeStream,
  kSimilarity,
  kAttend,
  kSelfAttention,
  kListModels,
  kGetModel,
  kCheck,
  kClassify,
  kClassifyTokens,
  kRerank,
  kFillMask,
  kAnswer,
  kTokenize,
  kDetokenize
};
inline constexpr size_t kMethods = 15;

// What is counted for one model, or for what concerns none. Thread-safe.
class ModelMetrics {
 public:
  // `status` decides the code and, when it has a reason, what it is counted under as rejected.
  void RequestFinished(Method method, const absl::Status& status, double seconds);
  void RecordTokenize(double seconds);
  // Where the time of one input went between Submit and its reply.
  void RecordJob(const JobTimings& timings);
  // One input was looked up among the kept results.
  void RecordLookup(bool found);
  void RecordBatch(const BatchReport& report);

 private:
  friend class Metrics;
  static constexpr size_t kCodes = 17;
  using CodeCounters = std::array<prometheus::Counter*, kCodes>;

  std::array<CodeCounters, kMethods> requests_;
  std::array<prometheus::Histogram*, kMethods> request_seconds_;
  std::array<prometheus::Counter*, v1::ErrorReason_ARRAYSIZE> rejected_;
  prometheus::Gauge* in_flight_;  // Of all models.
  prometheus::Histogram* tokenize_seconds_;
  prometheus::Histogram* queue_seconds_;
  prometheus::Histogram* compute_seconds_;
  prometheus::Histogram* batch_compute_seconds_;
  prometheus::Histogram* batch_tokens_;
  prometheus::Histogram* batch_sequences_;
  prometheus::Counter* batches_failed_;
  prometheus::Counter* batches_abandoned_;
  prometheus::Counter* shared_;
  prometheus::Counter* cache_hits_;
  prometheus::Counter* cache_misses_;
};

// Every metric that this server exports, declared once. Nobody else spells a metric's name. Labels
// come from closed sets (methods, status codes, reasons, the served models), so that the number of
// series is fixed, and all of them are there at zero from the first scrape. Thread-safe.
class Metrics {
 public:
  // The names of the models by their lanes; the lane after them is for what concerns no model, and
  // has the empty name.
  explicit Metrics(const std::vector<std::string>& models);

  // What /metrics shows. Shared, because the exposer holds a weak pointer to it.
  const std::shared_ptr<prometheus::Registry>& registry() const { return registry_; }

  ModelMetrics& of_lane(int lane) { return models_.at(static_cast<size_t>(lane)); }

  void RequestStarted();
  int64_t requests_in_flight() const { return static_cast<int64_t>(in_flight_->Value()); }

  // Requests that ended with CANCELLED or DEADLINE_EXCEEDED.
  double dropped() const;

  void StreamStarted();
  void StreamFinished(const absl::Status& status);

  void SetModel(const ServedModel& model);

  // A call that was denied for want of a valid key.
  void Denied(Denial denial);
  // The names of callers 1, 2 and so on, once, before the first call. Whoever comes later is
  // counted as "other", so that the number of series stays as it is.
  void SetCallers(const std::vector<std::string>& names);
  void CallerStarted(int32_t caller);
  void CallerRejected(int32_t caller);
  // What came of a key file that changed.
  void KeysReloaded(const absl::Status& status);
  // The certificate's files were looked at and not as before: OK, or why they are not served.
  void CertificateReloaded(const absl::Status& status);
  // A call was refused for the names in its client's certificate.
  void ClientNameRefused() { client_names_refused_->Increment(); }

 private:
  // Of one caller.
  struct CallerCounters {
    prometheus::Counter* requests;
    prometheus::Counter* rejected;
  };

  using CodeCounters = ModelMetrics::CodeCounters;

  void AddRequests();
  void AddInputsAndBatches();
  void AddKeys();
  const CallerCounters& OfCaller(int32_t caller) const;
  void AddTls();
  // One series a lane.
  void AddHistogram(const char* name, const char* help, const std::vector<double>& buckets,
                    prometheus::Histogram* ModelMetrics::*member);
  void AddCounter(const char* name, const char* help, prometheus::Counter* ModelMetrics::*member);

  std::shared_ptr<prometheus::Registry> registry_;
  const std::vector<std::string> names_;  // By lane.
  std::vector<ModelMetrics> models_;      // By lane.
  CodeCounters streams_;
  prometheus::Gauge* in_flight_;
  prometheus::Gauge* streams_open_;
  prometheus::Family<prometheus::Gauge>* model_info_;
  std::array<prometheus::Counter*, kDenials> denied_;
  std::vector<CallerCounters> callers_;  // The last is of all others.
  prometheus::Counter* keys_reloaded_;
  prometheus::Counter* keys_refused_;
  prometheus::Gauge* keys_stale_;
  prometheus::Counter* certificates_reloaded_;
  prometheus::Counter* certificates_failed_;
  prometheus::Counter* client_names_refused_;
};

// What is read at each scrape instead of being counted: the queues, the kept results, the
// certificate and the process itself.
class ScrapedMetrics : public prometheus::Collectable {
 public:
  struct Queue {
    std::string model;
    QueueDepth depth;
    double expected_seconds = 0;  // Engine::expected_seconds.
  };
  struct Source {
    std::function<std::vector<Queue>()> queues;
    std::function<ResultCache::Usage()> cache;
    // Seconds since the epoch; 0 without a certificate.
    std::function<double()> certificate_expiry;
    std::function<int64_t()> handshakes_failed;  // Of the process.
  };
  explicit ScrapedMetrics(Source source) : source_(std::move(source)) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Source source_;
};

}  // namespace attnd
