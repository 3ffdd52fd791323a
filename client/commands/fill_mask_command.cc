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

namespace attnd::client {
namespace {

struct FillMaskFlags {
  ConnectionFlags connection;
  TextFlags texts;
  FillMaskOptions options;
  bool json = false;
};

void PrintFilled(size_t number, const Input& input, const FilledInput& result, std::ostream& out) {
  out << InputHeading(number, input) << ": " << result.token_count << " tokens"
      << (result.truncated ? ", truncated" : "") << "\n";
  for (const FilledMask& mask : result.masks) {
    out << "  mask at [" << mask.begin << "," << mask.end << "), token " << mask.token_index
        << "\n";
    TextTable table(
        {Align::kRight, Align::kRight, Align::kLeft, Align::kRight, Align::kLeft, Align::kLeft});
    int rank = 0;
    for (const TokenCandidate& candidate : mask.candidates) {
      table.AddRow({absl::StrCat(++rank, "."), FormatScore(candidate.score, ScoreStyle::kPercent),
                    candidate.text,
                    candidate.logit ? absl::StrFormat("logit %.4f", *candidate.logit) : "",
                    absl::StrCat(candidate.token, " (", candidate.id, ")"),
                    ScoreBar(candidate.score, ScoreStyle::kPercent)});
    }
    table.Print(4, out);
  }
}

int RunFillMask(const FillMaskFlags& flags, Streams& streams) {
  const auto inputs = ReadInputs(flags.texts, streams.in);
  if (!inputs.ok()) return PrintError(inputs.status(), streams.error);
  const Client client(flags.connection.ToOptions());
  const absl::Status status =
      ForEachGroup<Input>(*inputs, flags.texts.group_size,
                          [&](const std::vector<Input>& group, size_t first) -> absl::Status {
                            const auto reply = client.FillMask(group, flags.options);
                            if (!reply.ok()) return reply.status();
                            for (size_t i = 0; i < group.size(); ++i) {
                              if (flags.json) {
                                streams.out << FormatJson({.index = first + i, .input = group[i]},
                                                          reply->inputs[i], *reply)
                                            << "\n";
                              } else {
                                PrintFilled(first + i + 1, group[i], reply->inputs[i], streams.out);
                              }
                            }
                            return absl::OkStatus();
                          });
  return status.ok() ? 0 : PrintError(status, streams.error);
}

}  // namespace

void AddFillMaskCommand(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "fill-mask", "What may stand at each mask token ([MASK], <mask>) of texts");
  const auto flags = std::make_shared<FillMaskFlags>();
  AddConnectionFlags(*command, flags->connection);
  AddModelFlag(*command, flags->options.model);
  AddPriorityFlag(*command, flags->options.priority);
  AddTextFlags(*command, flags->texts, "text", "Texts with at least one mask token each");
  AddGroupFlag(*command, flags->texts);
  AddPairFlag(*command, flags->texts);
  AddCount(*command, "--top-k", flags->options.top_k, "Candidates a mask; default: 5");
  AddSwitch(*command, "--logits", flags->options.return_logits, "The logits as well");
  AddLengthFlags(*command, flags->options.truncation, flags->options.length_max);
  AddOffsetsFlag(*command, flags->options.offset_unit);
  command->add_flag("--json", flags->json, "Print one JSON object a text, with everything");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunFillMask(*flags, streams); }; });
}

}  // namespace attnd::client
