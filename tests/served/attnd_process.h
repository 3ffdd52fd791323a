#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/support/temp_dir.h"

namespace attnd::testing {

// A real attnd, started from the build folder on ports that the kernel picks; killed at the end if
// the test has not stopped it.
class AttndProcess {
 public:
  struct Options {
    std::string model;                     // A model directory.
    std::vector<std::string> flags;        // Further ones.
    std::vector<std::string> environment;  // NAME=VALUE, beside what the test has.
  };
  // Returns when it serves; an error holds the end of its log.
  static absl::StatusOr<std::unique_ptr<AttndProcess>> Start(const Options& options);
  ~AttndProcess();
  AttndProcess(const AttndProcess&) = delete;
  AttndProcess& operator=(const AttndProcess&) = delete;

  // HOST:PORT.
  const std::string& target() const { return target_; }
  // Sends SIGTERM; returns the exit code, or -1 if a signal ended it.
  int Stop();
  // What it has written to its standard output; whole after Stop.
  std::string Output() const { return files_.Read("stdout"); }
  // What it has logged; call it after Stop.
  const std::string& log() const { return log_; }

 private:
  AttndProcess() = default;
  absl::Status Spawn(const Options& options);
  absl::Status WaitUntilServing();
  // False at the end of the log.
  bool ReadLog();

  TempDir files_;
  pid_t pid_ = 0;      // 0: not running.
  int log_pipe_ = -1;  // The reading end of its standard error.
  std::string log_;
  std::thread log_reader_;  // After the start: keeps the pipe from filling up.
  std::string target_;
};

}  // namespace attnd::testing
