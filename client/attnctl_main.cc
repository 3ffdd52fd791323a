#include <iostream>
#include <string>
#include <vector>

#include "client/commands/commands.h"
#include "grpc/support/log.h"

int main(int argument_count, char** arguments) {
  std::ios::sync_with_stdio(false);
  // gRPC would write lines of its own beside the error that a command prints.
  gpr_set_log_function([](gpr_log_func_args*) {});
  attnd::client::Streams streams{.in = std::cin, .out = std::cout, .error = std::cerr};
  const int code = attnd::client::RunAttnctl({arguments + 1, arguments + argument_count}, streams);
  std::cout.flush();
  return code;
}
