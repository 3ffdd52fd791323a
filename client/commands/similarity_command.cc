#include <memory>

#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"
#include "client/commands/encode_flags.h"
#include "client/commands/head_json.h"
#include "client/commands/similarity.h"
#include "client/commands/text_inputs.h"

namespace attnd::client {
namespace {

struct SimilarityFlags {
  ConnectionFlags connection;
  TextFlags sources;
  std::vector<std::string> targets;
  EncodeOptions options;
  bool json = false;
};

int RunSimilarity(const SimilarityFlags& flags, Streams& streams) {
  const auto sources = ReadTexts(flags.sources, streams.in);
  if (!sources.ok()) return PrintError(sources.status(), streams.error);
  const Client client(flags.connection.ToOptions());
  const auto reply = client.Similarity({sources->begin(), sources->end()},
                                       {flags.targets.begin(), flags.targets.end()}, flags.options);
  if (!reply.ok()) return PrintError(reply.status(), streams.error);
  if (flags.json) {
    for (size_t row = 0; row < sources->size(); ++row) {
      streams.out << FormatJson(row, (*sources)[row], *reply) << "\n";
    }
    return 0;
  }
  const std::vector<float>& values = reply->similarities.values;
  PrintSimilarityTable(*sources, flags.targets, std::vector<double>(values.begin(), values.end()),
                       streams.out);
  return 0;
}

}  // namespace

void AddSimilarityCommand(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "similarity", "The cosine of each text with each other, or with each --to, by the server");
  const auto flags = std::make_shared<SimilarityFlags>();
  AddConnectionFlags(*command, flags->connection);
  AddPooledVectorFlags(*command, flags->options);
  AddTextFlags(*command, flags->sources, "text", "Texts to compare");
  command
      ->add_option("--to", flags->targets,
                   "Compare each text with this one; may be repeated; default: with each text")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command->add_flag("--json", flags->json, "Print one JSON object a text, with everything");
  command->callback([flags, &run] {
    run = [flags](Streams& streams) { return RunSimilarity(*flags, streams); };
  });
}

}  // namespace attnd::client
