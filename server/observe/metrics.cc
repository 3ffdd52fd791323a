#include "server/observe/metrics.h"

#include <chrono>
#include <utility>

#include "server/auth/caller_keys.h"
#include "server/observe/process.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

constexpr std::array<const char*, kMethods> kMethodNames = {
    "Encode",     "EncodeStream", "Similarity", "Attend",   "SelfAttention",
    "ListModels", "GetModel",     "Check",      "Classify", "ClassifyTokens",
    "Rerank",     "FillMask",     "Answer",     "Tokenize", "Detokenize"};

// 100 us to 52 s, doubling: from a short text on a fast core to a stuck queue.
Buckets SecondsBuckets() {
  Buckets bounds;
  for (double seconds = 1e-4; seconds < 60; seconds *= 2) bounds.push_back(seconds);
  return bounds;
}

// 1 to `last`, doubling.
Buckets CountBuckets(double last) {
  Buckets bounds;
  for (double count = 1; count <= last; count *= 2) bounds.push_back(count);
  return bounds;
}

// Status codes as gRPC spells them: "INVALID_ARGUMENT".
std::string CodeName(size_t code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

template <size_t kCount>
void AddByCode(prometheus::Family<Counter>& family, prometheus::Labels labels,
               std::array<Counter*, kCount>& counters) {
  for (size_t code = 0; code < kCount; ++code) {
    labels["code"] = CodeName(code);
    counters[code] = &family.Add(labels);
  }
}

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// A gauge of each queue.
template <typename Value>
prometheus::MetricFamily OfQueues(const char* name, const char* help,
                                  const std::vector<ScrapedMetrics::Queue>& queues, Value value) {
  prometheus::MetricFamily family{
      .name = name, .help = help, .type = prometheus::MetricType::Gauge, .metric = {}};
  for (const ScrapedMetrics::Queue& queue : queues) {
    prometheus::ClientMetric metric;
    metric.label = {{.name = "model", .value = queue.model}};
    metric.gauge.value = static_cast<double>(value(queue));
    family.metric.push_back(std::move(metric));
  }
  return family;
}

prometheus::MetricFamily One(const char* name, const char* help, prometheus::MetricType type,
                             double value) {
  prometheus::ClientMetric metric;
  if (type == prometheus::MetricType::Counter) metric.counter.value = value;
  if (type == prometheus::MetricType::Gauge) metric.gauge.value = value;
  return {.name = name, .help = help, .type = type, .metric = {metric}};
}

}  // namespace

void ModelMetrics::RequestFinished(Method method, const absl::Status& status, double seconds) {
  const auto index = static_cast<size_t>(method);
  requests_[index][static_cast<size_t>(status.code())]->Increment();
  request_seconds_[index]->Observe(seconds);
  const v1::ErrorReason reason = ErrorReasonOf(status);
  if (reason != v1::ERROR_REASON_UNSPECIFIED) rejected_[reason]->Increment();
  in_flight_->Decrement();
}

void ModelMetrics::RecordTokenize(double seconds) { tokenize_seconds_->Observe(seconds); }

void ModelMetrics::RecordJob(const JobTimings& timings) {
  queue_seconds_->Observe(Seconds(timings.started - timings.submitted));
  compute_seconds_->Observe(Seconds(timings.finished - timings.started));
  if (timings.shared) shared_->Increment();
}

void ModelMetrics::RecordLookup(bool found) { (found ? cache_hits_ : cache_misses_)->Increment(); }

void ModelMetrics::RecordBatch(const BatchReport& report) {
  batch_compute_seconds_->Observe(report.compute_seconds);
  batch_tokens_->Observe(report.rows);
  batch_sequences_->Observe(report.sequences);
  if (absl::IsCancelled(report.status)) {
    batches_abandoned_->Increment();
  } else if (!report.status.ok()) {
    batches_failed_->Increment();
  }
}

Metrics::Metrics(const std::vector<std::string>& models)
    : registry_(std::make_shared<prometheus::Registry>()),
      names_([&] {
        auto names = models;
        names.emplace_back();
        return names;
      }()),
      models_(names_.size()) {
  prometheus::Registry& r = *registry_;
  AddRequests();
  AddInputsAndBatches();
  AddKeys();
  AddTls();
  AddByCode(BuildCounter()
                .Name("attnd_streams_total")
                .Help("EncodeStream calls ended, by status code.")
                .Register(r),
            {}, streams_);
  const auto gauge = [&](const char* name, const char* help) {
    return &BuildGauge().Name(name).Help(help).Register(r).Add({});
  };
  in_flight_ = gauge("attnd_requests_in_flight", "Requests accepted and not yet answered.");
  streams_open_ = gauge("attnd_streams_open", "EncodeStream calls open now.");
  for (ModelMetrics& model : models_) model.in_flight_ = in_flight_;
  model_info_ =
      &BuildGauge().Name("attnd_model_info").Help("A served model; always 1.").Register(r);
}

void Metrics::AddRequests() {
  auto& requests = BuildCounter()
                       .Name("attnd_requests_total")
                       .Help(
                           "Requests answered, by model, method and status code. Each message of "
                           "a stream is a request.")
                       .Register(*registry_);
  auto& seconds = BuildHistogram()
                      .Name("attnd_request_duration_seconds")
                      .Help("From a request's arrival to its reply, by model and method.")
                      .Register(*registry_);
  auto& rejected = BuildCounter()
                       .Name("attnd_rejected_total")
                       .Help("Requests not answered with a result, by model and ErrorInfo reason.")
                       .Register(*registry_);
  for (size_t lane = 0; lane < names_.size(); ++lane) {
    ModelMetrics& model = models_[lane];
    for (size_t method = 0; method < kMethods; ++method) {
      const prometheus::Labels labels{{"method", kMethodNames[method]}, {"model", names_[lane]}};
      AddByCode(requests, labels, model.requests_[method]);
      model.request_seconds_[method] = &seconds.Add(labels, SecondsBuckets());
    }
    for (int reason = 1; reason < v1::ErrorReason_ARRAYSIZE; ++reason) {
      model.rejected_[reason] = &rejected.Add(
          {{"reason", ReasonName(static_cast<v1::ErrorReason>(reason))}, {"model", names_[lane]}});
    }
  }
}

void Metrics::AddHistogram(const char* name, const char* help, const Buckets& buckets,
                           Histogram* ModelMetrics::*member) {
  auto& family = BuildHistogram().Name(name).Help(help).Register(*registry_);
  for (size_t lane = 0; lane < names_.size(); ++lane) {
    models_[lane].*member = &family.Add({{"model", names_[lane]}}, buckets);
  }
}

void Metrics::AddCounter(const char* name, const char* help, Counter* ModelMetrics::*member) {
  auto& family = BuildCounter().Name(name).Help(help).Register(*registry_);
  for (size_t lane = 0; lane < names_.size(); ++lane) {
    models_[lane].*member = &family.Add({{"model", names_[lane]}});
  }
}

void Metrics::AddInputsAndBatches() {
  AddHistogram("attnd_tokenize_duration_seconds", "Checking and tokenizing one input.",
               SecondsBuckets(), &ModelMetrics::tokenize_seconds_);
  AddHistogram("attnd_queue_duration_seconds", "One input's wait for a worker.", SecondsBuckets(),
               &ModelMetrics::queue_seconds_);
  AddHistogram("attnd_compute_duration_seconds", "One input's time with a worker.",
               SecondsBuckets(), &ModelMetrics::compute_seconds_);
  AddCounter("attnd_inputs_shared_total",
             "Inputs that were computed with an equal one that was in flight.",
             &ModelMetrics::shared_);
  AddCounter("attnd_result_cache_hits_total", "Inputs whose result was kept from before.",
             &ModelMetrics::cache_hits_);
  AddCounter("attnd_result_cache_misses_total",
             "Inputs that were looked for among the kept results, and not there.",
             &ModelMetrics::cache_misses_);
  AddHistogram("attnd_batch_compute_duration_seconds", "The engine's time for one batch.",
               SecondsBuckets(), &ModelMetrics::batch_compute_seconds_);
  AddHistogram("attnd_batch_tokens", "Tokens in a batch.", CountBuckets(65'536),
               &ModelMetrics::batch_tokens_);
  AddHistogram("attnd_batch_sequences", "Inputs in a batch.", CountBuckets(1024),
               &ModelMetrics::batch_sequences_);
  AddCounter("attnd_batches_failed_total", "Batches that failed; the log says why.",
             &ModelMetrics::batches_failed_);
  AddCounter("attnd_batches_abandoned_total",
             "Batches ended between two layers, because nobody waited for them any more.",
             &ModelMetrics::batches_abandoned_);
}

void Metrics::AddKeys() {
  auto& denied = BuildCounter()
                     .Name("attnd_calls_denied_total")
                     .Help("Calls without a valid API key, by what was wrong with it.")
                     .Register(*registry_);
  for (const Denial denial : {Denial::kMissing, Denial::kMalformed, Denial::kUnknown}) {
    denied_[static_cast<size_t>(denial)] =
        &denied.Add({{"reason", std::string(DenialName(denial))}});
  }
  auto& reloads = BuildCounter()
                      .Name("attnd_api_key_reloads_total")
                      .Help("Times that the file of API keys had changed, by what came of it.")
                      .Register(*registry_);
  keys_reloaded_ = &reloads.Add({{"result", "ok"}});
  keys_refused_ = &reloads.Add({{"result", "failed"}});
  keys_stale_ = &BuildGauge()
                     .Name("attnd_api_keys_stale")
                     .Help("1 while the file of API keys is bad, and the keys of before hold.")
                     .Register(*registry_)
                     .Add({});
}

void Metrics::Denied(Denial denial) { denied_[static_cast<size_t>(denial)]->Increment(); }

void Metrics::SetCallers(const std::vector<std::string>& names) {
  auto& requests =
      BuildCounter()
          .Name("attnd_caller_requests_total")
          .Help("Requests let in, by caller: a name of the key file at start, or other.")
          .Register(*registry_);
  auto& rejected = BuildCounter()
                       .Name("attnd_caller_rejected_total")
                       .Help("Requests refused because their caller had as many as it may.")
                       .Register(*registry_);
  const auto add = [&](const std::string& name) {
    const prometheus::Labels labels{{"caller", name}};
    callers_.push_back({.requests = &requests.Add(labels), .rejected = &rejected.Add(labels)});
  };
  for (const std::string& name : names) add(name);
  add(std::string(kOtherCallers));
}

const Metrics::CallerCounters& Metrics::OfCaller(int32_t caller) const {
  const auto place = static_cast<size_t>(caller) - 1;
  return place < callers_.size() ? callers_[place] : callers_.back();
}

void Metrics::CallerStarted(int32_t caller) { OfCaller(caller).requests->Increment(); }

void Metrics::CallerRejected(int32_t caller) { OfCaller(caller).rejected->Increment(); }

void Metrics::KeysReloaded(const absl::Status& status) {
  (status.ok() ? keys_reloaded_ : keys_refused_)->Increment();
  keys_stale_->Set(status.ok() ? 0 : 1);
}

void Metrics::AddTls() {
  auto& reloads = BuildCounter()
                      .Name("attnd_tls_certificate_reloads_total")
                      .Help(
                          "Looks at changed certificate files, by result: ok is served from then "
                          "on, failed is not, and the old certificate goes on.")
                      .Register(*registry_);
  certificates_reloaded_ = &reloads.Add({{"result", "ok"}});
  certificates_failed_ = &reloads.Add({{"result", "failed"}});
  client_names_refused_ = &BuildCounter()
                               .Name("attnd_tls_client_names_refused_total")
                               .Help("Calls refused for the names in their client's certificate.")
                               .Register(*registry_)
                               .Add({});
}

void Metrics::CertificateReloaded(const absl::Status& status) {
  (status.ok() ? certificates_reloaded_ : certificates_failed_)->Increment();
}

void Metrics::RequestStarted() { in_flight_->Increment(); }

double Metrics::dropped() const {
  double sum = 0;
  for (const ModelMetrics& model : models_) {
    for (const CodeCounters& counters : model.requests_) {
      sum += counters[static_cast<size_t>(absl::StatusCode::kCancelled)]->Value();
      sum += counters[static_cast<size_t>(absl::StatusCode::kDeadlineExceeded)]->Value();
    }
  }
  return sum;
}

void Metrics::StreamStarted() { streams_open_->Increment(); }

void Metrics::StreamFinished(const absl::Status& status) {
  streams_[static_cast<size_t>(status.code())]->Increment();
  streams_open_->Decrement();
}

void Metrics::SetModel(const ServedModel& model) {
  model_info_
      ->Add({{"model", model.name},
             {"version", model.info.version},
             {"family", model.info.family},
             {"dtype", model.info.dtype},
             {"isa", model.isa},
             {"onednn", model.onednn_version}})
      .Set(1);
}

std::vector<prometheus::MetricFamily> ScrapedMetrics::Collect() const {
  constexpr auto kGauge = prometheus::MetricType::Gauge;
  constexpr auto kCounter = prometheus::MetricType::Counter;
  const std::vector<Queue> queues = source_.queues();
  const ResultCache::Usage cache = source_.cache();
  const ProcessUsage usage = ReadProcessUsage();
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  return {
      OfQueues("attnd_queue_requests",
               "Inputs waiting, for a worker or for the result of an equal one.", queues,
               [](const Queue& queue) { return queue.depth.jobs; }),
      OfQueues("attnd_queue_tokens", "Tokens waiting for a worker.", queues,
               [](const Queue& queue) { return queue.depth.rows; }),
      OfQueues("attnd_queue_bytes", "Bytes that waiting inputs keep alive.", queues,
               [](const Queue& queue) { return queue.depth.bytes; }),
      OfQueues("attnd_queue_expected_seconds",
               "How long what waits would keep all workers busy, as expected.", queues,
               [](const Queue& queue) { return queue.expected_seconds; }),
      One("attnd_result_cache_bytes", "Bytes of kept results.", kGauge, number(cache.bytes)),
      One("attnd_result_cache_entries", "Kept results.", kGauge, number(cache.entries)),
      One("attnd_result_cache_evictions_total", "Kept results that made room for others.", kCounter,
          number(cache.evictions)),
      One("attnd_tls_certificate_expiry_timestamp_seconds",
          "When the certificate that is served expires, since the epoch; 0 without TLS.", kGauge,
          source_.certificate_expiry()),
      One("attnd_tls_handshakes_failed_total",
          "Connections refused in their TLS handshake: certificates, versions, what is no TLS.",
          kCounter, number(source_.handshakes_failed())),
      One("process_cpu_seconds_total", "User and system CPU time.", kCounter, usage.cpu_seconds),
      One("process_resident_memory_bytes", "Resident memory.", kGauge, usage.resident_bytes),
      One("process_virtual_memory_bytes", "Virtual memory.", kGauge, usage.virtual_bytes),
      One("process_threads", "Threads.", kGauge, usage.threads),
      One("process_start_time_seconds", "Start time since the epoch.", kGauge,
          usage.start_time_seconds),
      One("process_open_fds", "Open file descriptors.", kGauge, usage.open_files),
      One("process_max_fds", "Most file descriptors that may be open.", kGauge,
          usage.open_files_max),
  };
}

}  // namespace attnd
