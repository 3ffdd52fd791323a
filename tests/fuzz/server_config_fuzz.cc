// Goal: no flags and no config file, however made, give a configuration outside the documented
// ranges, or end otherwise than with a message and an exit code. Method: the input is flags, one a
// line, and the content of a config file. What --check-config prints is a config file: read again,
// it must say the same.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/check.h"
#include "server/config.h"
#include "tests/fuzz/parts.h"

namespace attnd {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// Of this process; removed at its end.
class ConfigFile {
 public:
  ConfigFile() : path_(std::filesystem::temp_directory_path() / "attnd_fuzz.XXXXXX") {
    std::string name = path_.string();
    const int file = mkstemp(name.data());
    CHECK_THAT(file >= 0 && close(file) == 0);
    path_ = name;
  }
  ~ConfigFile() { unlink(path_.c_str()); }
  ConfigFile(const ConfigFile&) = delete;
  ConfigFile& operator=(const ConfigFile&) = delete;

  std::string Write(std::string_view content) const {
    std::ofstream file(path_, std::ios::binary | std::ios::trunc);
    file << content;
    CHECK_THAT(file.flush().good());
    return path_.string();
  }

 private:
  std::filesystem::path path_;
};

using Answer = std::variant<Config, ConfigCheck, ConfigExit>;

Answer Read(const std::vector<std::string>& flags) {
  std::vector<const char*> arguments = {"attnd"};
  for (const std::string& flag : flags) arguments.push_back(flag.c_str());
  return ReadConfig(static_cast<int>(arguments.size()), arguments.data());
}

template <typename Number>
bool IsWithin(Number value, int64_t least, int64_t most) {
  return least <= static_cast<int64_t>(value) && static_cast<int64_t>(value) <= most;
}

void CheckLimits(const Limits& limits) {
  CHECK_THAT(IsWithin(limits.inputs_per_request, 1, 4096));
  CHECK_THAT(IsWithin(limits.text_bytes, 1, 4 << 20));
  CHECK_THAT(IsWithin(limits.request_text_bytes, 1, 256 << 20));
  CHECK_THAT(IsWithin(limits.message_bytes, 64 << 10, 256 << 20));
  CHECK_THAT(IsWithin(limits.stream_requests, 1, 4096));
  CHECK_THAT(IsWithin(limits.batch_tokens, 16, 65'536));
  CHECK_THAT(IsWithin(limits.queue_tokens, limits.batch_tokens, 1 << 24));
  CHECK_THAT(IsWithin(limits.queue_requests, 1, 1 << 20));
  CHECK_THAT(IsWithin(limits.queue_bytes, 1 << 20, int64_t{1} << 36));
  CHECK_THAT(IsWithin(limits.held_bytes, limits.queue_bytes, int64_t{1} << 40));
  CHECK_THAT(IsWithin(limits.attention_scores, 1, 1 << 30));
  CHECK_THAT(IsWithin(limits.attention_flops, 1, int64_t{1} << 50));
  CHECK_THAT(IsWithin(limits.layers_per_request, 1, 1024));
  CHECK_THAT(IsWithin(limits.attention_map_scores, 1, 1 << 30));
  CHECK_THAT(IsWithin(limits.spans_per_input, 1, 65'536));
  CHECK_THAT(IsWithin(limits.documents_per_request, 1, 4096));
  CHECK_THAT(IsWithin(limits.candidates_per_mask, 1, 10'000));
  CHECK_THAT(IsWithin(limits.answers_per_question, 1, 10'000));
  CHECK_THAT(limits.default_deadline >= milliseconds(1) &&
             limits.default_deadline <= limits.deadline_cap && limits.deadline_cap <= hours(1));
}

void CheckConnection(const ConnectionLimits& limits) {
  CHECK_THAT(IsWithin(limits.streams, 1, 65'536));
  CHECK_THAT(IsWithin(limits.metadata_bytes, 1 << 10, 1 << 20));
  for (const nanoseconds time :
       {limits.handshake_timeout, limits.keepalive_interval, limits.keepalive_timeout,
        limits.client_ping_interval_min, limits.idle_max, limits.age_max, limits.age_grace}) {
    CHECK_THAT(time >= milliseconds(100) && time <= hours(24 * 7));
  }
}

void CheckConfig(const Config& config) {
  CHECK_THAT(!config.models.empty());
  for (const ModelSource& model : config.models) {
    CHECK_THAT(!model.path.empty() && !model.name.empty() && model.name.size() <= 64);
    CHECK_THAT(model.weight >= 0.01 && model.weight <= 100);
    CHECK_THAT(IsWithin(model.queue_tokens.value_or(16), 16, 1 << 24));
    CHECK_THAT(IsWithin(model.queue_requests.value_or(1), 1, 1 << 20));
    CHECK_THAT(IsWithin(model.queue_bytes.value_or(1 << 20), 1 << 20, config.limits.held_bytes));
  }
  CHECK_THAT(IsWithin(config.workers, 0, 1024));
  CHECK_THAT(config.batch_delay >= nanoseconds(0) && config.batch_delay <= milliseconds(100));
  CHECK_THAT(IsWithin(config.result_cache_bytes, 0, int64_t{1} << 40));
  CHECK_THAT(config.accuracy_min >= -1 && config.accuracy_min <= 1);
  CHECK_THAT(config.shutdown_delay >= nanoseconds(0) && config.drain_timeout >= nanoseconds(0));
  CheckLimits(config.limits);
  CheckConnection(config.connection);
}

void CheckExit(const ConfigExit& exit) {
  CHECK_THAT(exit.code == 0 || exit.code == kBadConfig);
  CHECK_THAT(!exit.text.empty());
  CHECK_THAT(exit.code == 0 || exit.text.starts_with("attnd: "));
}

void CheckPrinted(const ConfigFile& file, const std::string& text) {
  const std::string path = file.Write(text);
  const Answer again = Read({"--config=" + path, "--check-config"});
  const auto* check = std::get_if<ConfigCheck>(&again);
  CHECK_THAT(check != nullptr);
  CHECK_THAT(check->text == text);
}

// Flags are a line each. None may name a file of this machine's to be read as the configuration.
std::vector<std::string> FlagsIn(std::string_view lines) {
  std::vector<std::string> flags;
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    std::string flag(lines.substr(0, end));
    lines.remove_prefix(std::min(end + 1, lines.size()));
    flag = flag.substr(0, flag.find('\0'));
    if (!flag.starts_with("--config")) flags.push_back(std::move(flag));
  }
  return flags;
}

void Run(std::string_view input) {
  static const ConfigFile file;
  const std::vector<std::string> parts = SplitParts(input, 2);
  std::vector<std::string> flags = FlagsIn(parts[0]);
  if (parts.size() > 1) flags.insert(flags.begin(), "--config=" + file.Write(parts[1]));
  const Answer answer = Read(flags);
  if (const auto* exit = std::get_if<ConfigExit>(&answer)) return CheckExit(*exit);
  if (const auto* config = std::get_if<Config>(&answer)) return CheckConfig(*config);
  const auto& check = std::get<ConfigCheck>(answer);
  CheckConfig(check.config);
  CheckPrinted(file, check.text);
}

}  // namespace
}  // namespace attnd

// Nobody's environment is part of an input.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  std::vector<std::string> names;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view entry(*variable);
    if (entry.starts_with("ATTND_")) names.emplace_back(entry.substr(0, entry.find('=')));
  }
  for (const std::string& name : names) unsetenv(name.c_str());
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attnd::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
