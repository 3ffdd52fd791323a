#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"
#include "client/commands/head_json.h"
#include "client/commands/option_flags.h"
#include "client/commands/text_inputs.h"
#include "client/show/score_text.h"
#include "client/show/text_table.h"
#include "client/show/utf8.h"

namespace attnd::client {
namespace {

struct RerankFlags {
  ConnectionFlags connection;
  std::string query;
  TextFlags documents;
  RerankOptions options;
  bool json = false;
};

void PrintRanks(const std::string& query, const std::vector<std::string>& documents,
                const RerankReply& reply, std::ostream& out) {
  constexpr int kDocumentColumnsMax = 72;
  out << "\"" << Shorten(query, kDocumentColumnsMax) << "\": " << documents.size() << " documents, "
      << reply.token_count << " tokens\n";
  std::vector<float> scores;
  for (const RankedDocument& result : reply.results) scores.push_back(result.score);
  const ScoreStyle style = StyleOf(scores);
  TextTable table({Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kLeft});
  int rank = 0;
  for (const RankedDocument& result : reply.results) {
    const std::string& document = documents[static_cast<size_t>(result.index)];
    table.AddRow({absl::StrCat(++rank, "."), FormatScore(result.score, style),
                  result.logit ? absl::StrFormat("logit %.4f", *result.logit) : "",
                  absl::StrCat("[", result.index, "]"),
                  absl::StrCat(Shorten(document, kDocumentColumnsMax),
                               result.truncated ? " (truncated)" : "")});
  }
  table.Print(0, out);
}

int RunRerank(const RerankFlags& flags, Streams& streams) {
  const auto documents = ReadTexts(flags.documents, streams.in);
  if (!documents.ok()) return PrintError(documents.status(), streams.error);
  const Client client(flags.connection.ToOptions());
  const auto reply = client.Rerank(flags.query, *documents, flags.options);
  if (!reply.ok()) return PrintError(reply.status(), streams.error);
  if (flags.json) {
    streams.out << FormatJson(flags.query, *documents, *reply) << "\n";
  } else {
    PrintRanks(flags.query, *documents, *reply, streams.out);
  }
  return 0;
}

}  // namespace

void AddRerankCommand(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("rerank", "Documents in the order in which they answer a query");
  const auto flags = std::make_shared<RerankFlags>();
  AddConnectionFlags(*command, flags->connection);
  AddModelFlag(*command, flags->options.model);
  AddPriorityFlag(*command, flags->options.priority);
  command->add_option("--query", flags->query, "The query")->required();
  AddTextFlags(*command, flags->documents, "document", "Documents to rank");
  AddCount(*command, "--top-n", flags->options.top_n, "The best so many; default: all");
  AddScoreFlags(*command, flags->options.score_function, flags->options.return_logits);
  AddLengthFlags(*command, flags->options.truncation, flags->options.length_max);
  command->add_flag("--json", flags->json, "Print one JSON object, with everything");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunRerank(*flags, streams); }; });
}

}  // namespace attnd::client
