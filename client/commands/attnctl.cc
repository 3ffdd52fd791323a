#include <algorithm>
#include <vector>

#include "client/commands/commands.h"

namespace attnd::client {

int RunAttnctl(std::vector<std::string> arguments, Streams& streams) {
  CLI::App app("attnctl: calls attnd from the command line", "attnctl");
  app.require_subcommand(1);
  Run run;
  AddEncodeCommand(app, run);
  AddSimilarityCommand(app, run);
  AddAttentionCommand(app, run);
  AddClassifyCommand(app, run);
  AddRerankCommand(app, run);
  AddFillMaskCommand(app, run);
  AddAnswerCommand(app, run);
  AddTokenizeCommand(app, run);
  AddAttendCommand(app, run);
  AddModelsCommand(app, run);
  AddHealthCommand(app, run);
  AddLoadCommand(app, run);
  try {  // CLI11 reports by exception; none leaves this function.
    std::reverse(arguments.begin(), arguments.end());  // The order that CLI11 takes a vector in.
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, streams.out, streams.error);
    return code == 0 ? 0 : 2;
  }
  return run(streams);
}

}  // namespace attnd::client
