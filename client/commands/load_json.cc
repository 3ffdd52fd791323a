#include "client/commands/load_json.h"

#include "nlohmann/json.hpp"

namespace attnd::client {
namespace {

nlohmann::ordered_json ToJson(const LatencySummary& summary) {
  return {{"mean", summary.mean * 1e3},
          {"p50", summary.p50 * 1e3},
          {"p95", summary.p95 * 1e3},
          {"p99", summary.p99 * 1e3},
          {"max", summary.max * 1e3}};
}

}  // namespace

std::string FormatReportJson(const LoadReport& report) {
  const nlohmann::ordered_json json = {
      {"sent", report.sent},
      {"answered", report.answered},
      {"failed", report.failed},
      {"codes", report.requests_by_code},
      {"seconds", report.seconds},
      {"requests_per_second", report.requests_per_second},
      {"tokens_per_second", report.tokens_per_second},
      {"latency_ms", ToJson(report.latency)},
      {"failure_ms", ToJson(report.failures)},
      {"queue_ms", ToJson(report.queue)},
      {"compute_ms", ToJson(report.compute)},
      {"sent_late_ms", ToJson(report.late)},
  };
  return json.dump() + "\n";
}

}  // namespace attnd::client
