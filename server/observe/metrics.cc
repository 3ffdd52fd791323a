#include "server/observe/metrics.h"

#include <chrono>
#include <utility>

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

prometheus::MetricFamily One(const char* name, const char* help, prometheus::MetricType type,
                             double value) {
  prometheus::ClientMetric metric;
  if (type == prometheus::MetricType::Counter) metric.counter.value = value;
  if (type == prometheus::MetricType::Gauge) metric.gauge.value = value;
  return {.name = name, .help = help, .type = type, .metric = {metric}};
}

}  // namespace

Metrics::Metrics() : registry_(std::make_shared<prometheus::Registry>()) {
  prometheus::Registry& r = *registry_;
  auto& requests = BuildCounter()
                       .Name("attnd_requests_total")
                       .Help(
                           "Requests answered, by method and status code. Each message of a "
                           "stream is a request.")
                       .Register(r);
  auto& seconds = BuildHistogram()
                      .Name("attnd_request_duration_seconds")
                      .Help("From a request's arrival to its reply, by method.")
                      .Register(r);
  for (size_t method = 0; method < kMethods; ++method) {
    AddByCode(requests, {{"method", kMethodNames[method]}}, requests_[method]);
    request_seconds_[method] = &seconds.Add({{"method", kMethodNames[method]}}, SecondsBuckets());
  }

  auto& rejected = BuildCounter()
                       .Name("attnd_rejected_total")
                       .Help("Requests not answered with a result, by ErrorInfo reason.")
                       .Register(r);
  for (int reason = 1; reason < v1::ErrorReason_ARRAYSIZE; ++reason) {
    rejected_[reason] =
        &rejected.Add({{"reason", ReasonName(static_cast<v1::ErrorReason>(reason))}});
  }

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

  const auto histogram = [&](const char* name, const char* help, Buckets buckets) {
    return &BuildHistogram().Name(name).Help(help).Register(r).Add({}, std::move(buckets));
  };
  tokenize_seconds_ = histogram("attnd_tokenize_duration_seconds",
                                "Checking and tokenizing one input.", SecondsBuckets());
  queue_seconds_ =
      histogram("attnd_queue_duration_seconds", "One input's wait for a worker.", SecondsBuckets());
  compute_seconds_ = histogram("attnd_compute_duration_seconds", "One input's time with a worker.",
                               SecondsBuckets());
  batch_compute_seconds_ = histogram("attnd_batch_compute_duration_seconds",
                                     "The engine's time for one batch.", SecondsBuckets());
  batch_tokens_ = histogram("attnd_batch_tokens", "Tokens in a batch.", CountBuckets(65'536));
  batch_sequences_ = histogram("attnd_batch_sequences", "Inputs in a batch.", CountBuckets(1024));
  batches_failed_ = &BuildCounter()
                         .Name("attnd_batches_failed_total")
                         .Help("Batches that failed; the log says why.")
                         .Register(r)
                         .Add({});
  model_info_ =
      &BuildGauge().Name("attnd_model_info").Help("The served model; always 1.").Register(r);
}

void Metrics::RequestStarted() { in_flight_->Increment(); }

void Metrics::RequestFinished(Method method, const absl::Status& status, double seconds) {
  const auto index = static_cast<size_t>(method);
  requests_[index][static_cast<size_t>(status.code())]->Increment();
  request_seconds_[index]->Observe(seconds);
  const v1::ErrorReason reason = ErrorReasonOf(status);
  if (reason != v1::ERROR_REASON_UNSPECIFIED) rejected_[reason]->Increment();
  in_flight_->Decrement();
}

double Metrics::dropped() const {
  double sum = 0;
  for (const CodeCounters& counters : requests_) {
    sum += counters[static_cast<size_t>(absl::StatusCode::kCancelled)]->Value();
    sum += counters[static_cast<size_t>(absl::StatusCode::kDeadlineExceeded)]->Value();
  }
  return sum;
}

void Metrics::StreamStarted() { streams_open_->Increment(); }

void Metrics::StreamFinished(const absl::Status& status) {
  streams_[static_cast<size_t>(status.code())]->Increment();
  streams_open_->Decrement();
}

void Metrics::RecordTokenize(double seconds) { tokenize_seconds_->Observe(seconds); }

void Metrics::RecordJob(const JobTimings& timings) {
  queue_seconds_->Observe(Seconds(timings.started - timings.submitted));
  compute_seconds_->Observe(Seconds(timings.finished - timings.started));
}

void Metrics::RecordBatch(const BatchReport& report) {
  batch_compute_seconds_->Observe(report.compute_seconds);
  batch_tokens_->Observe(report.rows);
  batch_sequences_->Observe(report.sequences);
  if (!report.status.ok()) batches_failed_->Increment();
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
  const QueueDepth depth = depth_();
  const ProcessUsage usage = ReadProcessUsage();
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  return {
      One("attnd_queue_requests", "Inputs waiting for a worker.", kGauge, number(depth.jobs)),
      One("attnd_queue_tokens", "Tokens waiting for a worker.", kGauge, number(depth.rows)),
      One("attnd_queue_bytes", "Bytes that waiting inputs keep alive.", kGauge,
          number(depth.bytes)),
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
