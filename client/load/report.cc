#include "client/load/report.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace attnd::client {
namespace {

void AppendLatency(std::string_view name, const LatencySummary& summary, std::string& out) {
  absl::StrAppendFormat(&out, "%-10s ms  mean %9.3f  p50 %9.3f  p95 %9.3f  p99 %9.3f  max %9.3f\n",
                        name, summary.mean * 1e3, summary.p50 * 1e3, summary.p95 * 1e3,
                        summary.p99 * 1e3, summary.max * 1e3);
}

}  // namespace

double Percentile(std::span<const double> sorted, double fraction) {
  if (sorted.empty()) return 0;
  // The small number keeps 0.99 * 100 = 99.00000000000001 at rank 99.
  const double rank = std::ceil(fraction * static_cast<double>(sorted.size()) - 1e-9);
  const size_t index = static_cast<size_t>(std::max(rank, 1.0)) - 1;
  return sorted[std::min(index, sorted.size() - 1)];
}

LatencySummary SummarizeLatencies(std::vector<double> seconds) {
  if (seconds.empty()) return {};
  std::sort(seconds.begin(), seconds.end());
  double sum = 0;
  for (const double value : seconds) sum += value;
  return {.mean = sum / static_cast<double>(seconds.size()),
          .p50 = Percentile(seconds, 0.50),
          .p95 = Percentile(seconds, 0.95),
          .p99 = Percentile(seconds, 0.99),
          .max = seconds.back()};
}

LoadReport Summarize(std::span<const LoadSample> samples, double warmup_seconds) {
  LoadReport report;
  std::vector<double> latency;
  std::vector<double> failures;
  std::vector<double> late;
  std::vector<double> queue;
  std::vector<double> compute;
  for (const LoadSample& sample : samples) {
    if (sample.intended < warmup_seconds) continue;
    ++report.sent;
    ++report.requests_by_code[absl::StatusCodeToString(static_cast<absl::StatusCode>(sample.code))];
    late.push_back(sample.sent - sample.intended);
    if (sample.code != 0) {
      ++report.failed;
      failures.push_back(sample.done - sample.sent);
      continue;
    }
    ++report.answered;
    report.tokens += sample.tokens;
    report.seconds = std::max(report.seconds, sample.done - warmup_seconds);
    latency.push_back(sample.done - sample.intended);
    queue.push_back(sample.queue_seconds);
    compute.push_back(sample.compute_seconds);
  }
  if (report.seconds > 0) {
    report.requests_per_second = static_cast<double>(report.answered) / report.seconds;
    report.tokens_per_second = static_cast<double>(report.tokens) / report.seconds;
  }
  report.latency = SummarizeLatencies(std::move(latency));
  report.failures = SummarizeLatencies(std::move(failures));
  report.late = SummarizeLatencies(std::move(late));
  report.queue = SummarizeLatencies(std::move(queue));
  report.compute = SummarizeLatencies(std::move(compute));
  return report;
}

std::string FormatReport(const LoadReport& report) {
  std::string out = absl::StrFormat(
      "sent %d = answered %d + failed %d in %.2f s\n"
      "%.1f requests/s, %.0f tokens/s\n",
      report.sent, report.answered, report.failed, report.seconds, report.requests_per_second,
      report.tokens_per_second);
  AppendLatency("latency", report.latency, out);
  if (report.failed > 0) AppendLatency("failures", report.failures, out);
  AppendLatency("queue", report.queue, out);
  AppendLatency("compute", report.compute, out);
  AppendLatency("sent late", report.late, out);
  for (const auto& [code, count] : report.requests_by_code) {
    absl::StrAppend(&out, code, " ", count, "\n");
  }
  return out;
}

}  // namespace attnd::client
