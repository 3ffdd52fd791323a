#pragma once

#include "CLI/CLI.hpp"
#include "client/commands/connection.h"

namespace attnd::client {

// Adds --tls and what it takes to a command. The files are read with the command line, and what is
// wrong with them is a mistake in it.
void AddTlsFlags(CLI::App& command, ConnectionFlags& flags);

}  // namespace attnd::client
