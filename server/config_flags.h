#pragma once

#include <chrono>
#include <deque>
#include <string>

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

  void AddAddresses();
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
  std::string CheckAddress(const char* flag, const std::string& text, bool may_be_unix) const;

  CLI::App& app_;
  Config& config_;
  std::deque<Duration> durations_;
  std::string model_;
  std::string log_format_ = "text";
  bool check_only_ = false;
};

}  // namespace attnd
