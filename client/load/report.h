#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace attnd::client {

// One request of a load run. Times in seconds from the start of the run.
struct LoadSample {
  double intended = 0;  // When it should have been sent: latency counts from here.
  double sent = 0;
  double done = 0;
  int32_t code = 0;  // Of grpc::StatusCode; 0 is OK.
  int32_t tokens = 0;
  double queue_seconds = 0;    // As the server measured it.
  double compute_seconds = 0;  // Of the batch it was in, as the server measured it.
};

struct LatencySummary {
  double mean = 0;
  double p50 = 0;
  double p95 = 0;
  double p99 = 0;
  double max = 0;
};

struct LoadReport {
  int64_t sent = 0;  // Answered + failed, in the measured time; warm-up is left out of everything.
  int64_t answered = 0;
  int64_t failed = 0;
  int64_t tokens = 0;
  std::map<std::string, int64_t> requests_by_code;  // "OK", "RESOURCE_EXHAUSTED", ...
  double seconds = 0;  // From the end of the warm-up to the last answer.
  double requests_per_second = 0;
  double tokens_per_second = 0;
  LatencySummary latency;   // Of answered requests, seconds, from the intended time.
  LatencySummary failures;  // Of the others, seconds, from when they were sent.
  LatencySummary late;  // Sent after intended, seconds: high values mean the client was too slow.
  LatencySummary queue;
  LatencySummary compute;
};

// The nearest-rank percentile: the smallest value that at least `fraction` of the values do not
// exceed. 0 if there are none. REQUIRES: ascending order, 0 < fraction <= 1.
double Percentile(std::span<const double> sorted, double fraction);

LatencySummary SummarizeLatencies(std::vector<double> seconds);

LoadReport Summarize(std::span<const LoadSample> samples, double warmup_seconds);

std::string FormatReport(const LoadReport& report);

}  // namespace attnd::client
