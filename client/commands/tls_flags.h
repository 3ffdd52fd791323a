#pragma once

#include "CLI/CLI.hpp"
#include "client/commands/connection.h"

namespace attnd::client {

// Adds --tls and what it takes to a command. The files are read with the command line, and what is
// wrong with them is a mistake in it.
void AddTlsFlags(CLI::App& command, ConnectionFlags& flags);

// After parsing: that what the files hold fits together. Throws CLI::ValidationError with the
// flag's name; gRPC would only say that it has no addresses.
void CheckTls(const TlsOptions& tls);

}  // namespace attnd::client
