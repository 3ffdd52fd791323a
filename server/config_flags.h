#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "server/config.h"

namespace attnd {

// Declares every flag of `app` and writes what is given into `config`. Must outlive the parsing.
class ConfigFlags {
 public:
  ConfigFlags(CLI::App& app, Config& config);

  // After parsing: what needs more than one flag's text. Empty if all is well, else what is wrong,
  // beginning with the flag's name.
  std::string Finish();

  bool check_only() const { return check_only_; }

 private:
  using Nanoseconds = std::chrono::nanoseconds;
  struct Duration {
    std::string text;
    Nanoseconds* target;
  };
  struct Range {
    int64_t least, most;
  };
  static constexpr Range kQueueTokens{16, 1 << 24};
  static constexpr Range kQueueRequests{1, 1 << 20};
  static constexpr Range kQueueBytes{1 << 20, int64_t{1} << 36};

  void AddModels();
  void AddPrecision();
  void AddAddresses();
  void AddKeys();
  void AddTls();
  void AddLimits();
  void AddHeadLimits();
  void AddEngine();
  void AddConnection();
  void AddShutdownAndLog();
  template <typename Number>
  void AddNumber(const char* flag, Number& target, Range range, const char* help);
  void AddDuration(const char* flag, Nanoseconds& target, Nanoseconds least, Nanoseconds most,
                   const char* help);
  CLI::Option* Named(CLI::Option* option) const;
  // A flag that may be given several times.
  CLI::Option* AddList(const char* flag, std::vector<std::string>& target, const char* type,
                       const char* help);
  std::string FinishModels();
  std::string FinishModelOptions();
  std::string FinishTls();
  // Reads each "NAME=VALUE" with `read`, which says whether VALUE is good.
  std::string ForModels(const char* flag, const std::vector<std::string>& given, const char* what,
                        const std::function<bool(const std::string& value, ModelSource&)>& read);
  // What is spoken at an address, which decides who may reach it.
  enum class Served { kGrpc, kMetrics };
  std::string CheckAddress(const char* flag, const std::string& text, Served served) const;

  CLI::App& app_;
  Config& config_;
  std::deque<Duration> durations_;
  // As given: [NAME=]DIR, and NAME=VALUE.
  std::vector<std::string> models_, weights_, precisions_, queue_tokens_, queue_requests_,
      queue_bytes_;
  std::string precision_ = "f32";
  std::string log_format_ = "text";
  bool check_only_ = false;
};

}  // namespace attnd
