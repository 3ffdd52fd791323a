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

struct ClassifyFlags {
  ConnectionFlags connection;
  TextFlags texts;
  ClassifyOptions options;
  ClassifyTokensOptions token_options;  // Those that `options` has too are copied from there.
  bool tokens = false;
  bool json = false;
};

void PrintHeading(size_t number, const Input& input, int32_t token_count, bool truncated,
                  std::ostream& out) {
  out << InputHeading(number, input) << ": " << token_count << " tokens"
      << (truncated ? ", truncated" : "") << "\n";
}

void PrintLabels(const Classification& result, std::ostream& out) {
  std::vector<float> scores;
  for (const LabelScore& label : result.labels) scores.push_back(label.score);
  const ScoreStyle style = StyleOf(scores);
  TextTable table({Align::kLeft, Align::kRight, Align::kRight, Align::kLeft});
  for (const LabelScore& label : result.labels) {
    table.AddRow({label.label, FormatScore(label.score, style),
                  label.logit ? absl::StrFormat("logit %.4f", *label.logit) : "",
                  ScoreBar(label.score, style)});
  }
  table.Print(2, out);
}

void PrintLabelSpans(const TokenClassification& result, std::ostream& out) {
  if (result.spans.empty()) out << "  nothing found\n";
  TextTable table({Align::kLeft, Align::kRight, Align::kLeft, Align::kLeft, Align::kLeft});
  for (const LabelSpan& labelled : result.spans) {
    table.AddRow({labelled.label, FormatScore(labelled.score, StyleOf({&labelled.score, 1})),
                  absl::StrCat("[", labelled.span.begin, ",", labelled.span.end, ")"),
                  labelled.span.text_index == 1 ? "2nd text" : "", labelled.text});
  }
  table.Print(2, out);
}

absl::Status ClassifyTexts(const ClassifyFlags& flags, const std::vector<Input>& inputs,
                           size_t first, const Client& client, std::ostream& out) {
  const auto reply = client.Classify(inputs, flags.options);
  if (!reply.ok()) return reply.status();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Classification& result = reply->classifications[i];
    if (flags.json) {
      out << FormatJson({.index = first + i, .input = inputs[i]}, result, *reply) << "\n";
      continue;
    }
    PrintHeading(first + i + 1, inputs[i], result.token_count, result.truncated, out);
    PrintLabels(result, out);
  }
  return absl::OkStatus();
}

absl::Status ClassifyTokensOf(const ClassifyFlags& flags, const std::vector<Input>& inputs,
                              size_t first, const Client& client, std::ostream& out) {
  ClassifyTokensOptions options = flags.token_options;
  options.priority = flags.options.priority;
  options.model = flags.options.model;
  options.truncation = flags.options.truncation;
  options.length_max = flags.options.length_max;
  const auto reply = client.ClassifyTokens(inputs, options);
  if (!reply.ok()) return reply.status();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TokenClassification& result = reply->classifications[i];
    if (flags.json) {
      out << FormatJson({.index = first + i, .input = inputs[i]}, result, *reply) << "\n";
      continue;
    }
    PrintHeading(first + i + 1, inputs[i], result.token_count, result.truncated, out);
    PrintLabelSpans(result, out);
  }
  return absl::OkStatus();
}

int RunClassify(const ClassifyFlags& flags, Streams& streams) {
  const auto inputs = ReadInputs(flags.texts, streams.in);
  if (!inputs.ok()) return PrintError(inputs.status(), streams.error);
  const Client client(flags.connection.ToOptions());
  const absl::Status status = ForEachGroup<Input>(
      *inputs, flags.texts.group_size, [&](const std::vector<Input>& group, size_t first) {
        return flags.tokens ? ClassifyTokensOf(flags, group, first, client, streams.out)
                            : ClassifyTexts(flags, group, first, client, streams.out);
      });
  return status.ok() ? 0 : PrintError(status, streams.error);
}

void AddTokenFlags(CLI::App& command, ClassifyFlags& flags) {
  CLI::Option* tokens =
      command.add_flag("--tokens", flags.tokens, "Label parts of the texts: names, places, ...");
  AddChoice<SpanAggregation>(command, "--aggregation", flags.token_options.aggregation,
                             {{"none", SpanAggregation::kNone},
                              {"simple", SpanAggregation::kSimple},
                              {"first", SpanAggregation::kFirst},
                              {"average", SpanAggregation::kAverage},
                              {"max", SpanAggregation::kMax}},
                             "With --tokens, how tokens become spans: none, simple (the default), "
                             "first, average, max");
  command
      .add_option("--ignore", flags.token_options.ignored_labels,
                  "With --tokens: leave out spans with this label; may be repeated; default: O")
      ->allow_extra_args(false);
  AddSwitch(command, "--keep-all", flags.token_options.keep_all,
            "With --tokens: leave nothing out");
  AddOffsetsFlag(command, flags.token_options.offset_unit);
  for (const char* name : {"--aggregation", "--ignore", "--keep-all", "--offsets"}) {
    command.get_option(name)->needs(tokens);
  }
  for (const char* name : {"--top-k", "--scores", "--logits"}) {
    command.get_option(name)->excludes(tokens);
  }
}

}  // namespace

void AddClassifyCommand(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("classify", "Labels for texts or pairs, or (--tokens) for parts of texts");
  const auto flags = std::make_shared<ClassifyFlags>();
  AddConnectionFlags(*command, flags->connection);
  AddModelFlag(*command, flags->options.model);
  AddPriorityFlag(*command, flags->options.priority);
  AddTextFlags(*command, flags->texts, "text", "Texts to label");
  AddGroupFlag(*command, flags->texts);
  AddPairFlag(*command, flags->texts);
  AddCount(*command, "--top-k", flags->options.top_k, "The best so many labels; default: all");
  AddScoreFlags(*command, flags->options.score_function, flags->options.return_logits);
  AddLengthFlags(*command, flags->options.truncation, flags->options.length_max);
  AddTokenFlags(*command, *flags);
  command->add_flag("--json", flags->json, "Print one JSON object a text, with everything");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunClassify(*flags, streams); }; });
}

}  // namespace attnd::client
