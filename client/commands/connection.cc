#include "client/commands/connection.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "absl/strings/ascii.h"
#include "client/channel.h"
#include "client/commands/tls_flags.h"

namespace attnd::client {
namespace {

constexpr char kApiKeyVariable[] = "ATTND_API_KEY";
constexpr char kNoApiKey[] = "it does not hold a key of 1 to 512 visible ASCII characters";

// Sets `key` to the file's, whose line may end. What is wrong, or nothing.
std::string ReadApiKey(const std::string& path, std::string& key) {
  constexpr size_t kFileBytesMax = 4096;
  std::ifstream file(path, std::ios::binary);
  if (!file) return "cannot open " + path;
  std::string text(kFileBytesMax, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  absl::StripTrailingAsciiWhitespace(&text);
  if (!IsApiKey(text)) return kNoApiKey;
  key = text;
  return {};
}

}  // namespace

ConnectOptions ConnectionFlags::ToOptions() const {
  return {.target = target,
          .tls = use_tls ? std::optional(tls) : std::nullopt,
          .deadline = std::chrono::milliseconds(static_cast<int64_t>(deadline_seconds * 1000)),
          .reply_bytes_max = reply_mebibytes_max * 1024 * 1024,
          .api_key = api_key};
}

void AddConnectionFlags(CLI::App& command, ConnectionFlags& flags) {
  command.add_option("--target", flags.target, "Where attnd listens: HOST:PORT, or unix:PATH")
      ->capture_default_str();
  command.add_option("--deadline", flags.deadline_seconds, "Seconds that a call may take")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  command
      .add_option("--reply-max", flags.reply_mebibytes_max,
                  "Largest reply accepted, MiB (attnd sends 4 at most by default)")
      ->check(CLI::Range(1, 2047))
      ->capture_default_str();
  AddTlsFlags(command, flags);
  command
      .add_option("--api-key-file",
                  "A file with the API key to send; default: the key in the environment's "
                  "ATTND_API_KEY, if there is one")
      ->type_name("FILE")
      ->check([&flags](const std::string& path) { return ReadApiKey(path, flags.api_key); });
  command.parse_complete_callback([&flags] {
    CheckTls(flags.tls);
    // Read before there is a second thread.
    const char* key = std::getenv(kApiKeyVariable);  // NOLINT(concurrency-mt-unsafe)
    if (!flags.api_key.empty() || key == nullptr || *key == 0) return;
    if (!IsApiKey(key)) throw CLI::ValidationError(kApiKeyVariable, kNoApiKey);
    flags.api_key = key;
  });
}

int PrintError(const absl::Status& status, std::ostream& error) {
  error << "attnctl: " << absl::StatusCodeToString(status.code());
  const std::string reason = ErrorReason(status);
  if (!reason.empty()) error << " (" << reason << ")";
  // gRPC itself says nothing of a method that it does not know: an older server.
  const bool no_method = absl::IsUnimplemented(status) && status.message().empty();
  error << ": " << (no_method ? "the server has no such method" : status.message()) << "\n";
  for (const FieldViolation& violation : FieldViolations(status)) {
    error << "  " << violation.field << ": " << violation.description << "\n";
  }
  return 1;
}

}  // namespace attnd::client
