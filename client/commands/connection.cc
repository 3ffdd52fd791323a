#include "client/commands/connection.h"

#include <cerrno>
#include <chrono>
#include <fstream>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace attnd::client {
namespace {

constexpr size_t kPemBytesMax = size_t{1} << 20;

// Puts what is in a file of PEM in the place of its name; what is wrong with it, or nothing.
std::string ReadPemFile(std::string& value) {
  const std::string path = value;
  const auto wrong = [&](const std::string& reason) { return absl::StrCat(path, ": ", reason); };
  std::ifstream file(path, std::ios::binary);
  if (!file) return wrong(std::generic_category().message(errno));
  value.assign(kPemBytesMax + 1, '\0');
  file.read(value.data(), static_cast<std::streamsize>(value.size()));
  if (file.bad()) return wrong("cannot be read");
  value.resize(static_cast<size_t>(file.gcount()));
  if (value.size() > kPemBytesMax) {
    return wrong(absl::StrCat("more than ", kPemBytesMax, " bytes, the limit"));
  }
  return value.find("-----BEGIN ") == std::string::npos ? wrong("holds no PEM") : "";
}

void AddTlsFlags(CLI::App& command, ConnectionFlags& flags) {
  CLI::Option* use = command.add_flag(
      "--tls", flags.use_tls, "Speak TLS, and only to a server whose certificate is trusted");
  const auto file = [&](const char* flag, std::string& pem, const char* help) {
    return command.add_option(flag, pem, help)
        ->type_name("FILE")
        ->transform(CLI::Validator(ReadPemFile, ""))
        ->needs(use);
  };
  file("--tls-ca", flags.tls.ca, "Authorities to trust, PEM; default: the system's");
  CLI::Option* certificate =
      file("--tls-certificate", flags.tls.certificate,
           "This client's certificate and the chain behind it, PEM, where the server asks for one");
  CLI::Option* key = file("--tls-key", flags.tls.key, "Its private key, PEM, not encrypted");
  certificate->needs(key);
  key->needs(certificate);
  command
      .add_option("--tls-server-name", flags.tls.server_name,
                  "The name that the server's certificate must have; default: the target's host")
      ->type_name("NAME")
      ->needs(use);
}

}  // namespace

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
