#include "server/server.h"

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "google/protobuf/stubs/logging.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "prometheus/exposer.h"
#include "server/address.h"
#include "server/grpc_options.h"
#include "server/observe/metrics.h"
#include "server/rpc/attention_service.h"
#include "server/rpc/encoder_service.h"
#include "server/rpc/head_services.h"
#include "server/rpc/health_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/tokenizer_service.h"
#include "server/validate/encode_size.h"

namespace attnd {
namespace {

// A scrape that is slow to ask or to read gives its thread back after this time; there are few.
constexpr char kScrapeTimeoutMilliseconds[] = "2000";
constexpr char kScrapeThreads[] = "4";

Engine::Options EngineOptions(const Config& config, Metrics& metrics, spdlog::logger& log) {
  Engine::Options options;
  options.workers = config.workers;
  options.batch.rows_max = config.limits.batch_tokens;
  options.batch.delay_max = std::chrono::duration_cast<Clock::duration>(config.batch_delay);
  options.queue.rows_max = config.limits.queue_tokens;
  options.queue.jobs_max = config.limits.queue_requests;
  options.queue.bytes_max = config.limits.queue_bytes;
  options.on_batch = [&metrics, &log](const BatchReport& report) {
    metrics.RecordBatch(report);
    if (!report.status.ok()) log.error("a batch failed: {}", std::string(report.status.message()));
  };
  return options;
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

}  // namespace

struct Server::Parts {
  Parts(const Config& given, ServedModel served, ExecutorFactory executors,
        std::shared_ptr<spdlog::logger> logger)
      : config(given),
        model(Completed(std::move(served))),
        log(std::move(logger)),
        engine(EngineOptions(config, metrics, *log), std::move(executors)),
        scraped(std::make_shared<ScrapedMetrics>([this] { return engine.depth(); })) {}

  const Config config;
  const ServedModel model;
  const std::shared_ptr<spdlog::logger> log;
  Metrics metrics;
  Engine engine;
  // Shared, because the exposer holds a weak pointer to it.
  std::shared_ptr<ScrapedMetrics> scraped;
  std::unique_ptr<prometheus::Exposer> exposer;

  std::atomic<int64_t> held_bytes = 0;
  const ServiceContext context{model, config.limits, engine, metrics, *log, held_bytes};
  EncoderServiceImpl encoder{context};
  AttentionServiceImpl attention{context};
  ClassifierServiceImpl classifier{context};
  RerankServiceImpl reranker{context};
  FillMaskServiceImpl fill_mask{context};
  AnswerServiceImpl answers{context};
  TokenizerServiceImpl tokenizer{context};
  ModelServiceImpl models{context};
  HealthServiceImpl health{context};
  std::unique_ptr<grpc::Server> grpc;
  int port = 0;
};

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() { Drain(Clock::now()); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config, ServedModel model,
                                                      ExecutorFactory executors,
                                                      std::shared_ptr<spdlog::logger> log) {
  // Protobuf would log a line for every message that does not parse: ours are answered instead.
  google::protobuf::SetLogHandler(nullptr);
  auto parts =
      std::make_unique<Parts>(config, std::move(model), std::move(executors), std::move(log));
  RETURN_IF_ERROR(parts->engine.status());
  parts->metrics.SetModel(parts->model);
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
  builder.AddListeningPort(config.listen, grpc::InsecureServerCredentials(), &parts->port);
  const auto services = std::to_array<grpc::Service*>(
      {&parts->encoder, &parts->attention, &parts->classifier, &parts->reranker, &parts->fill_mask,
       &parts->answers, &parts->tokenizer, &parts->models, &parts->health});
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

QueueDepth Server::queue_depth() const { return parts_->engine.depth(); }

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
