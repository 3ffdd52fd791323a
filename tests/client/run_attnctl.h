#pragma once

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "client/commands/commands.h"

namespace attnd::client {

struct Outcome {
  int code = 0;
  std::string out;
  std::string error;
};

// Runs a whole command line with `input` as the standard input.
inline Outcome Attnctl(std::vector<std::string> arguments, const std::string& input = "") {
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream error;
  Streams streams{.in = in, .out = out, .error = error};
  const int code = RunAttnctl(std::move(arguments), streams);
  return {.code = code, .out = out.str(), .error = error.str()};
}

}  // namespace attnd::client
