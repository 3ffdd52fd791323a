// attnd: a model directory in, contextualized representations out, over gRPC.

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/printable.h"
#include "core/base/status_macros.h"
#include "core/batch/model_executor.h"
#include "core/model/model.h"
#include "server/api_keys.h"
#include "server/calibration.h"
#include "server/config.h"
#include "server/cpu_quota.h"
#include "server/observe/log.h"
#include "server/serve_model.h"
#include "server/server.h"
#include "server/tls/handshake_log.h"
#include "server/tls/identity.h"

namespace attnd {
namespace {

constexpr size_t kLeftoversLogged = 20;
constexpr int kFailed = 1;

// SIGUSR1 is our own: the thread that drains says with it that it is done.
sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGUSR1);
  return signals;
}

// One line a decision. `worst_text` describes the one that the model's accuracy is worst at.
void LogModel(const ModelEntry& entry, const std::string& worst_text, spdlog::logger& log) {
  const ServedModel& model = entry.model;
  const ModelInfo& info = model.info;
  log.info("model {}: {}, version {}, {} layers, hidden size {}, {} heads, vocabulary {}",
           model.name, info.family, info.version, info.layers, info.hidden, info.heads,
           info.vocabulary);
  log.info("model {}: checkpoint {}, computed in {}, {} MiB of packed weights", model.name,
           info.checkpoint_dtype, info.dtype, info.weight_bytes >> 20);
  if (info.accuracy) {
    log.info(
        "model {}: cosine of {} to f32 over {} calibration texts: {:.5f} on average, {:.5f} at "
        "least, at {}; ranking agreement {:.4f}",
        model.name, info.dtype, info.accuracy->inputs, info.accuracy->cosine_mean,
        info.accuracy->cosine_min, worst_text, info.accuracy->ranking_agreement);
  }
  log.info("model {}: at most {} tokens, {} by default", model.name, info.length_max,
           info.length_default);
  log.info(
      "model {}: batches of at most {} tokens; queue {} tokens, {} inputs, {} bytes; weight {}",
      model.name, entry.limits.batch_tokens, entry.limits.queue_tokens, entry.limits.queue_requests,
      entry.limits.queue_bytes, entry.weight);
  // Names out of the checkpoint are anybody's text.
  for (size_t i = 0; i < std::min(info.leftovers.size(), kLeftoversLogged); ++i) {
    log.info("model {}: nothing uses the checkpoint's {}", model.name,
             Printable(info.leftovers[i]));
  }
  if (info.leftovers.size() > kLeftoversLogged) {
    log.info("model {}: nor {} more", model.name, info.leftovers.size() - kLeftoversLogged);
  }
  log.info("model {}: kernels of oneDNN {} on {}", model.name, model.onednn_version, model.isa);
  for (const KernelChoice& kernel : info.kernels) {
    log.info("model {}: {} runs on {}: {}", model.name, kernel.layer, kernel.implementation,
             kernel.reason);
  }
}

void LogLimits(const Config& config, const CpuQuota& quota, spdlog::logger& log) {
  log.info("workers: {} of one thread each; {}", config.workers,
           fmt::format("{} CPUs by {}", quota.cpus, quota.source));
  const Limits& limits = config.limits;
  log.info("limits: batch {} tokens, queue {} tokens, {} inputs, {} bytes; {} bytes held",
           limits.batch_tokens, limits.queue_tokens, limits.queue_requests, limits.queue_bytes,
           limits.held_bytes);
  log.info(
      "limits: {} inputs a request, {} bytes a text, {} bytes of text a request, {} bytes a "
      "message, {} in flight a stream",
      limits.inputs_per_request, limits.text_bytes, limits.request_text_bytes, limits.message_bytes,
      limits.stream_requests);
  log.info(
      "limits: {} attention scores, {} attention operations; {} of work waiting, deadlines {} by "
      "default, {} at most",
      limits.attention_scores, limits.attention_flops,
      absl::FormatDuration(absl::FromChrono(limits.queue_wait)),
      absl::FormatDuration(absl::FromChrono(limits.default_deadline)),
      absl::FormatDuration(absl::FromChrono(limits.deadline_cap)));
  log.info("limits: {} layers a request, {} scores of attention maps and {} spans an input",
           limits.layers_per_request, limits.attention_map_scores, limits.spans_per_input);
  log.info("limits: {} documents a request, {} candidates a mask, {} answers a question",
           limits.documents_per_request, limits.candidates_per_mask, limits.answers_per_question);
  log.info("results: equal inputs in flight are computed {}; {} bytes are kept",
           config.share_identical ? "once" : "each by itself", config.result_cache_bytes);
}

void LogDoors(const Config& config, spdlog::logger& log) {
  const TlsOptions& tls = config.tls;
  if (tls.enabled()) {
    log.info("tls: {}, looked at every {}; clients need {}", tls.certificate,
             absl::FormatDuration(absl::FromChrono(tls.reload_interval)),
             tls.client_ca.empty() ? "no certificate"
                                   : fmt::format("a certificate by {}", tls.client_ca));
  }
  if (!tls.client_names.empty()) {
    log.info("tls: clients need a name of: {}", absl::StrJoin(tls.client_names, ", "));
  }
  if (config.api_keys.empty() && tls.client_ca.empty()) {
    log.info("api keys: none; whoever reaches this server may call");
  }
  if (config.insecure) {
    log.warn("insecure: others may reach {}, in plaintext",
             tls.enabled() ? "the metrics" : "this server");
  }
}

// From the first signal to the end: NOT_SERVING, a while of serving on, then the drain. A second
// signal ends the while, or the drain.
void ShutDown(const Config& config, Server& server, spdlog::logger& log) {
  sigset_t signals = Signals();
  server.SetNotServing();
  log.info("shutdown: health is NOT_SERVING; serving on for {}",
           absl::FormatDuration(absl::FromChrono(config.shutdown_delay)));
  const timespec delay = absl::ToTimespec(absl::FromChrono(config.shutdown_delay));
  sigtimedwait(&signals, nullptr, &delay);

  log.info("shutdown: draining {} requests", server.requests_in_flight());
  std::atomic<int64_t> lost = 0;
  const pthread_t waiting = pthread_self();
  std::thread drain([&] {
    lost = server.Drain(Clock::now() +
                        std::chrono::duration_cast<Clock::duration>(config.drain_timeout));
    pthread_kill(waiting, SIGUSR1);
  });
  int signal = 0;
  sigwait(&signals, &signal);
  if (signal != SIGUSR1) {
    const int64_t in_flight = server.requests_in_flight();
    log.warn("shutdown: a second signal; {} requests are lost", in_flight);
    log.flush();
    _exit(in_flight > 0 ? kFailed : 0);
  }
  drain.join();
  if (lost > 0) {
    log.warn("shutdown: {} requests were not done within drain-timeout and are lost", lost.load());
  } else {
    log.info("shutdown: everything accepted was answered");
  }
}

ModelEntry MakeEntry(const ModelSource& source, const Limits& limits, const LoadedModel& loaded) {
  const Model* model = loaded.model.get();
  return {.model = Serve(source.name, loaded),
          .executors = ModelExecutors(model->encoder()),
          .limits = LimitsOf(source, limits, model->info().length_max),
          .weight = source.weight};
}

// Says which of the models it is.
absl::Status InModel(const ModelSource& source, const absl::Status& status) {
  return absl::Status(status.code(),
                      fmt::format("--model: {}: {}", source.name, std::string(status.message())));
}

absl::StatusOr<CalibrationTexts> ReadTexts(const Config& config) {
  if (config.calibration_texts.empty()) return CalibrationTexts::BuiltIn();
  return CalibrationTexts::Read(config.calibration_texts);
}

// Memory holds the keys of calls, and whatever is sent: it stays out of core files, and out of
// reach of debuggers of the same user.
void KeepMemoryPrivate() {
  const rlimit none{};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
}

// core/layers/kernels.cc is compiled for these.
absl::Status CheckCpu() {
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this CPU has no AVX2 and FMA, which is the least that attnd runs on");
}

Precision PrecisionOf(const ModelSource& source, const Config& config) {
  return source.precision.value_or(config.precision);
}

// Before anything is loaded for it.
absl::Status CheckPrecisions(const Config& config) {
  for (const ModelSource& source : config.models) {
    const absl::Status status = CheckComputed(PrecisionOf(source, config));
    if (status.ok()) continue;
    return absl::Status(
        status.code(), fmt::format("{}: {}", source.precision ? "--model-precision" : "--precision",
                                   std::string(status.message())));
  }
  return absl::OkStatus();
}

absl::Status CheckTls(const TlsOptions& tls) {
  if (!tls.enabled()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const TlsFiles files, ReadTlsFiles(tls));
  return CheckTlsFiles(tls, files, absl::Now()).status();
}

absl::Status Run(Config config, std::shared_ptr<spdlog::logger> log) {
  // Before a key is read.
  if (!config.api_keys.empty() || config.tls.enabled()) KeepMemoryPrivate();
  RETURN_IF_ERROR(CheckCpu());
  RETURN_IF_ERROR(CheckPrecisions(config));
  RETURN_IF_ERROR(CheckTls(config.tls));
  const CpuQuota quota = ReadCpuQuota();
  if (config.workers == 0) config.workers = quota.cpus;

  LogLimits(config, quota, *log);
  LogDoors(config, *log);
  AccuracyDemand demand{.cosine_min = config.accuracy_min};
  ASSIGN_OR_RETURN(demand.texts, ReadTexts(config));
  std::vector<LoadedModel> loaded;  // Outlives the server.
  for (const ModelSource& source : config.models) {
    auto model = LoadModel(source.path,
                           {.batch_rows_max = config.limits.batch_tokens,
                            .precision = PrecisionOf(source, config),
                            .load_threads = config.workers},
                           demand);
    if (!model.ok()) return InModel(source, model.status());
    loaded.push_back(*std::move(model));
  }
  std::vector<ModelEntry> entries;
  for (size_t i = 0; i < loaded.size(); ++i) {
    entries.push_back(MakeEntry(config.models[i], config.limits, loaded[i]));
    LogModel(entries.back(), loaded[i].worst_description, *log);
  }
  ASSIGN_OR_RETURN(auto server, Server::Start(config, std::move(entries), log));
  if (!config.metrics_listen.empty()) {
    log->info("metrics: port {} ({})", server->metrics_port(), config.metrics_listen);
  }
  log->info("serving: port {} ({})", server->port(), config.listen);

  sigset_t signals = Signals();
  int signal = 0;
  sigwait(&signals, &signal);
  ShutDown(config, *server, *log);
  return absl::OkStatus();
}

absl::Status Check(const Config& config) {
  RETURN_IF_ERROR(ReadTexts(config).status());
  RETURN_IF_ERROR(ApiKeys::Open(config).status());
  RETURN_IF_ERROR(CheckPrecisions(config));
  RETURN_IF_ERROR(CheckTls(config.tls));
  for (const ModelSource& source : config.models) {
    const absl::Status status = CheckModel(source.path);
    if (!status.ok()) return InModel(source, status);
  }
  return absl::OkStatus();
}

// --check-config: prints the configuration, or what is wrong with a file that it names.
int PrintCheck(const ConfigCheck& check) {
  if (const absl::Status status = Check(check.config); !status.ok()) {
    std::fprintf(stderr, "attnd: %s\n", std::string(status.message()).c_str());
    return kBadConfig;
  }
  std::printf("%s\n", check.text.c_str());
  return 0;
}

}  // namespace
}  // namespace attnd

int main(int argc, char** argv) {
  // Before any thread is made, so that all of them inherit it and the signals wait for sigwait.
  sigset_t signals = attnd::Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto config = attnd::ReadConfig(argc, argv);
  if (const auto* exit = std::get_if<attnd::ConfigExit>(&config)) {
    std::fprintf(exit->code == 0 ? stdout : stderr, "%s\n", exit->text.c_str());
    return exit->code;
  }
  if (const auto* check = std::get_if<attnd::ConfigCheck>(&config)) {
    return attnd::PrintCheck(*check);
  }
  auto& ready = std::get<attnd::Config>(config);
  auto log = attnd::MakeLogger(ready.log_format, ready.log_level);
  attnd::TakeGrpcLog();
  const absl::Status status = attnd::Run(std::move(ready), log);
  if (!status.ok()) {
    log->error("attnd cannot start: {}", std::string(status.message()));
    return attnd::kFailed;
  }
  return 0;
}
