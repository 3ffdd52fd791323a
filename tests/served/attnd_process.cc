#include "tests/served/attnd_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <regex>

#include "absl/status/status.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

extern char** environ;

namespace attnd::testing {
namespace {

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AttndProcess>> AttndProcess::Start(const Options& options) {
  std::unique_ptr<AttndProcess> process(new AttndProcess);
  RETURN_IF_ERROR(process->Spawn(options));
  RETURN_IF_ERROR(process->WaitUntilServing());
  process->log_reader_ = std::thread([started = process.get()] {
    while (started->ReadLog()) {
    }
  });
  return process;
}

absl::Status AttndProcess::Spawn(const Options& options) {
  const std::string binary = StrCat(std::getenv("ATTND_BINARY_DIR"), "/server/attnd");
  std::vector<std::string> arguments = {binary,        "--model",          options.model,
                                        "--listen",    "127.0.0.1:0",      "--metrics-listen",
                                        "127.0.0.1:0", "--shutdown-delay", "0s"};
  arguments.insert(arguments.end(), options.flags.begin(), options.flags.end());
  std::vector<std::string> environment = options.environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::InternalError("no pipe");
  log_pipe_ = ends[0];
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, (files_ / "stdout").c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  const int error = posix_spawn(&pid_, binary.c_str(), &actions, nullptr,
                                Pointers(arguments).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error == 0) return absl::OkStatus();
  pid_ = 0;
  return absl::NotFoundError(StrCat(binary, ": cannot be started, error ", error));
}

bool AttndProcess::ReadLog() {
  char bytes[4096];
  const ssize_t count = read(log_pipe_, bytes, sizeof(bytes));
  if (count <= 0) return false;
  log_.append(bytes, static_cast<size_t>(count));
  return true;
}

absl::Status AttndProcess::WaitUntilServing() {
  static const std::regex kServing(R"(serving: port (\d+))");
  // One that never serves is ended by the time limit of the whole test.
  while (ReadLog()) {
    std::smatch match;
    if (!std::regex_search(log_, match, kServing)) continue;
    target_ = StrCat("127.0.0.1:", match[1].str());
    return absl::OkStatus();
  }
  return absl::InternalError(StrCat("attnd ended: ", log_));
}

int AttndProcess::Stop() {
  if (pid_ == 0) return -1;
  kill(pid_, SIGTERM);
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = 0;
  if (log_reader_.joinable()) log_reader_.join();
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

AttndProcess::~AttndProcess() {
  if (pid_ != 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (log_reader_.joinable()) log_reader_.join();
  if (log_pipe_ >= 0) close(log_pipe_);
}

}  // namespace attnd::testing
