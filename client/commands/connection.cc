#include "client/commands/connection.h"

#include <chrono>
#include <optional>

#include "client/commands/tls_flags.h"

namespace attnd::client {

ConnectOptions ConnectionFlags::ToOptions() const {
  return {.target = target,
          .tls = use_tls ? std::optional(tls) : std::nullopt,
          .deadline = std::chrono::milliseconds(static_cast<int64_t>(deadline_seconds * 1000)),
          .reply_bytes_max = reply_mebibytes_max * 1024 * 1024};
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
