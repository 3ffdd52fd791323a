#include "server/server.h"

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/batch/attention_executor.h"
#include "core/batch/result_cache.h"
#include "google/protobuf/stubs/logging.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "prometheus/exposer.h"
#include "server/address.h"
#include "server/api_keys.h"
#include "server/grpc_options.h"
#include "server/observe/metrics.h"
#include "server/rpc/attention_service.h"
#include "server/rpc/encoder_service.h"
#include "server/rpc/head_services.h"
#include "server/rpc/health_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/tokenizer_service.h"
#include "server/tls/certificate_store.h"
#include "server/tls/credentials.h"
#include "server/tls/handshake_log.h"
#include "server/validate/encode_size.h"

namespace attnd {
namespace {

// A scrape that is slow to ask or to read gives its thread back after this time; there are few.
constexpr char kScrapeTimeoutMilliseconds[] = "2000";
constexpr char kScrapeThreads[] = "4";

std::vector<std::string> NamesOf(const std::vector<ModelEntry>& models) {
  std::vector<std::string> names;
  for (const ModelEntry& entry : models) names.push_back(entry.model.name);
  return names;
}

Engine::Options EngineOptions(const Config& config, Metrics& metrics, spdlog::logger& log) {
  Engine::Options options;
  options.workers = config.workers;
  options.on_batch = [&metrics, &log](const BatchReport& report) {
    metrics.of_lane(report.lane).RecordBatch(report);
    if (report.status.ok() || absl::IsCancelled(report.status)) return;
    log.error("a batch failed: {}", std::string(report.status.message()));
  };
  return options;
}

Engine::Lane MakeLane(const Config& config, const Limits& limits) {
  Engine::Lane lane;
  lane.batch.rows_max = limits.batch_tokens;
  lane.batch.delay_max = std::chrono::duration_cast<Clock::duration>(config.batch_delay);
  lane.queue.rows_max = limits.queue_tokens;
  lane.queue.jobs_max = limits.queue_requests;
  lane.queue.bytes_max = limits.queue_bytes;
  lane.queue.wait_max = std::chrono::duration_cast<Clock::duration>(limits.queue_wait);
  return lane;
}

// One for each model, in their order, and the last for attention operations.
std::vector<Engine::Lane> MakeLanes(const Config& config, std::vector<ModelEntry>& models) {
  std::vector<Engine::Lane> lanes;
  for (ModelEntry& entry : models) {
    lanes.push_back(MakeLane(config, entry.limits));
    lanes.back().weight = entry.weight;
    lanes.back().executors = std::move(entry.executors);
  }
  lanes.push_back(MakeLane(config, config.limits));
  lanes.back().row_a_pair = 0;  // Its rows are what operations cost.
  lanes.back().executors = [](int) { return std::make_unique<AttentionExecutor>(); };
  return lanes;
}

absl::StatusOr<std::unique_ptr<prometheus::Exposer>> Expose(const std::string& address) {
  try {
    return std::make_unique<prometheus::Exposer>(std::vector<std::string>{
        "listening_ports", address, "num_threads", kScrapeThreads, "request_timeout_ms",
        kScrapeTimeoutMilliseconds, "enable_keep_alive", "no"});
  } catch (const std::exception&) {
    return absl::UnavailableError(StrCat("cannot listen on ", address, " (metrics-listen)"));
  }
}

// With what follows from the rest of it.
ServedModel Completed(ServedModel model) {
  model.vocabulary_bytes = VocabularyBytes(model);
  return model;
}

std::vector<ModelContext> MakeContexts(std::vector<ModelEntry>& models, Metrics& metrics) {
  std::vector<ModelContext> contexts;
  for (ModelEntry& entry : models) {
    const int lane = static_cast<int>(contexts.size());
    contexts.push_back({.served = Completed(std::move(entry.model)),
                        .limits = entry.limits,
                        .weight = entry.weight,
                        .lane = lane,
                        .metrics = metrics.of_lane(lane)});
    metrics.SetModel(contexts.back().served);
  }
  return contexts;
}

std::unique_ptr<ResultCache> MakeCache(const Config& config) {
  if (config.result_cache_bytes == 0) return nullptr;
  return std::make_unique<ResultCache>(config.result_cache_bytes);
}

}  // namespace

struct Server::Parts {
  Parts(const Config& given, std::vector<ModelEntry> entries,
        std::shared_ptr<spdlog::logger> logger, std::unique_ptr<ApiKeys> api_keys)
      : config(given),
        log(std::move(logger)),
        metrics(NamesOf(entries)),
        models(MakeContexts(entries, metrics)),
        cache(MakeCache(config)),
        engine(EngineOptions(config, metrics, *log), MakeLanes(config, entries)),
        scraped(std::make_shared<ScrapedMetrics>(ScrapedMetrics::Source{
            .queues = [this] { return Queues(); },
            .cache = [this] { return cache ? cache->usage() : ResultCache::Usage{}; },
            .certificate_expiry = [this] { return CertificateExpiry(); },
            .handshakes_failed = HandshakesFailed})),
        keys(std::move(api_keys)) {
    if (keys != nullptr) keys->Watch(config.api_keys_refresh, metrics, *log);
  }

  int attention_lane() const { return static_cast<int>(models.size()); }

  ScrapedMetrics::Queue QueueOf(const std::string& model, int lane) const {
    return {.model = model,
            .depth = engine.depth(lane),
            .expected_seconds = engine.expected_seconds(lane)};
  }
  std::vector<ScrapedMetrics::Queue> Queues() const {
    std::vector<ScrapedMetrics::Queue> queues;
    for (const ModelContext& model : models) {
      queues.push_back(QueueOf(model.served.name, model.lane));
    }
    queues.push_back(QueueOf("", attention_lane()));
    return queues;
  }

  // Makes `credentials`.
  absl::Status OpenCertificates();
  double CertificateExpiry() const {
    return certificates ? static_cast<double>(absl::ToUnixSeconds(certificates->current()->expiry))
                        : 0;
  }

  const Config config;
  const std::shared_ptr<spdlog::logger> log;
  Metrics metrics;
  std::unique_ptr<CertificateStore> certificates;  // With TLS.
  // Shared, as gRPC wants it.
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  const std::vector<ModelContext> models;
  const std::unique_ptr<ResultCache> cache;
  Engine engine;
  // Shared, because the exposer holds a weak pointer to it.
  std::shared_ptr<ScrapedMetrics> scraped;
  std::unique_ptr<prometheus::Exposer> exposer;
  const std::unique_ptr<ApiKeys> keys;

  std::atomic<int64_t> held_bytes = 0;
  const ServiceContext context{.models = models,
                               .limits = config.limits,
                               .engine = engine,
                               .attention_lane = attention_lane(),
                               .metrics = metrics,
                               .log = *log,
                               .held_bytes = held_bytes,
                               .share_identical = config.share_identical,
                               .cache = cache.get(),
                               .keyring = keys ? &keys->keyring() : nullptr};
  EncoderServiceImpl encoder{context};
  AttentionServiceImpl attention{context};
  ClassifierServiceImpl classifier{context};
  RerankServiceImpl reranker{context};
  FillMaskServiceImpl fill_mask{context};
  AnswerServiceImpl answers{context};
  TokenizerServiceImpl tokenizer{context};
  ModelServiceImpl model_service{context};
  HealthServiceImpl health{context};
  std::unique_ptr<grpc::Server> grpc;
  int port = 0;
};

absl::Status Server::Parts::OpenCertificates() {
  if (!config.tls.enabled()) return absl::OkStatus();
  const auto on_reload = [this](const absl::Status& status, const Identity& served) {
    metrics.CertificateReloaded(status);
    const std::string expiry =
        absl::FormatTime(absl::RFC3339_sec, served.expiry, absl::UTCTimeZone());
    if (status.ok()) {
      log->info("tls: a new certificate is served, which expires at {}", expiry);
    } else {
      log->warn("tls: the old certificate stays, which expires at {}: {}", expiry,
                std::string(status.message()));
    }
  };
  ASSIGN_OR_RETURN(certificates, CertificateStore::Open(config.tls, on_reload));
  credentials = MakeTlsCredentials(*certificates, config.tls.client_names,
                                   [this] { metrics.ClientNameRefused(); });
  return absl::OkStatus();
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() { Drain(Clock::now()); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config,
                                                      std::vector<ModelEntry> models,
                                                      std::shared_ptr<spdlog::logger> log) {
  CHECK_THAT(!models.empty());
  // Protobuf would log a line for every message that does not parse: ours are answered instead.
  google::protobuf::SetLogHandler(nullptr);
  ASSIGN_OR_RETURN(std::unique_ptr<ApiKeys> keys, ApiKeys::Open(config));
  auto parts = std::make_unique<Parts>(config, std::move(models), std::move(log), std::move(keys));
  RETURN_IF_ERROR(parts->engine.status());
  RETURN_IF_ERROR(parts->OpenCertificates());
  if (!config.metrics_listen.empty()) {
    ASSIGN_OR_RETURN(parts->exposer, Expose(config.metrics_listen));
    parts->exposer->RegisterCollectable(parts->metrics.registry());
    parts->exposer->RegisterCollectable(parts->scraped);
  }
  const std::optional<Address> address = ParseAddress(config.listen);
  if (address && address->is_unix && IsUnixSocketServed(address->host)) {
    return absl::UnavailableError(StrCat(config.listen, " is served by another process (listen)"));
  }
  grpc::ServerBuilder builder;
  SetOptions(config, builder);
  builder.AddListeningPort(config.listen, parts->credentials, &parts->port);
  const auto services = std::to_array<grpc::Service*>(
      {&parts->encoder, &parts->attention, &parts->classifier, &parts->reranker, &parts->fill_mask,
       &parts->answers, &parts->tokenizer, &parts->model_service, &parts->health});
  for (grpc::Service* service : services) builder.RegisterService(service);
  parts->grpc = builder.BuildAndStart();
  if (parts->grpc == nullptr || parts->port == 0) {
    return absl::UnavailableError(StrCat("cannot listen on ", config.listen, " (listen)"));
  }
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

int Server::port() const { return parts_->port; }

int Server::metrics_port() const {
  if (parts_->exposer == nullptr) return 0;
  const std::vector<int> ports = parts_->exposer->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

void Server::SetNotServing() { parts_->health.SetNotServing(); }

int64_t Server::requests_in_flight() const { return parts_->metrics.requests_in_flight(); }

QueueDepth Server::queue_depth(int model) const { return parts_->engine.depth(model); }

int64_t Server::Drain(Clock::time_point deadline) {
  if (parts_->grpc == nullptr) return 0;
  parts_->health.SetNotServing();
  parts_->health.EndWatches();
  parts_->encoder.BeginDrain();
  const double dropped_before = parts_->metrics.dropped();
  parts_->grpc->Shutdown(std::chrono::system_clock::now() + (deadline - Clock::now()));
  const auto lost = static_cast<int64_t>(parts_->metrics.dropped() - dropped_before);
  parts_->engine.Drain(Clock::now());
  parts_->grpc.reset();
  return lost;
}

}  // namespace attnd
