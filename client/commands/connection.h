#pragma once

#include <ostream>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "client/client.h"

namespace attnd::client {

// What every command takes: where the server is, how to know it, and how long to wait for it.
struct ConnectionFlags {
  std::string target = "127.0.0.1:50051";
  double deadline_seconds = 10;
  int reply_mebibytes_max = 4;
  std::string api_key;  // Out of a file or the environment; a command line can be seen by others.
  bool use_tls = false;
  TlsOptions tls;

  ConnectOptions ToOptions() const;
};

void AddConnectionFlags(CLI::App& command, ConnectionFlags& flags);

// Prints "attnctl: CODE (REASON): message" and the fields to blame. Returns 1, the exit code.
int PrintError(const absl::Status& status, std::ostream& error);

}  // namespace attnd::client
