#pragma once

#include <functional>
#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"

// The commands of attnctl. Each adds itself to the command line; when it is the one chosen, it puts
// what to do into `run`, which main calls and whose result is the exit code: 0 done, 1 failed.
namespace attnd::client {

// Where a command reads and writes, so that tests can stand in for the terminal.
struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& error;
};

using Run = std::function<int(Streams&)>;

void AddEncodeCommand(CLI::App& app, Run& run);
void AddSimilarityCommand(CLI::App& app, Run& run);
void AddAttentionCommand(CLI::App& app, Run& run);
void AddClassifyCommand(CLI::App& app, Run& run);
void AddRerankCommand(CLI::App& app, Run& run);
void AddFillMaskCommand(CLI::App& app, Run& run);
void AddAnswerCommand(CLI::App& app, Run& run);
void AddTokenizeCommand(CLI::App& app, Run& run);
void AddAttendCommand(CLI::App& app, Run& run);
void AddModelsCommand(CLI::App& app, Run& run);
void AddHealthCommand(CLI::App& app, Run& run);
void AddLoadCommand(CLI::App& app, Run& run);

// Parses the command line (without the program's name) and runs it: attnctl, less its process.
int RunAttnctl(std::vector<std::string> arguments, Streams& streams);

}  // namespace attnd::client
