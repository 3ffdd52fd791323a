#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
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

struct AnswerFlags {
  ConnectionFlags connection;
  TextFlags questions;
  std::string context;
  std::string context_path;
  AnswerOptions options;
  bool json = false;
};

void PrintAnswers(size_t number, const Question& question, const QuestionAnswers& result,
                  std::ostream& out) {
  out << InputHeading(number, question.question) << ": " << result.token_count << " tokens in "
      << result.window_count << (result.window_count == 1 ? " window" : " windows") << "\n";
  TextTable table({Align::kRight, Align::kRight, Align::kLeft, Align::kLeft});
  int rank = 0;
  for (const Answer& answer : result.answers) {
    constexpr int kAnswerColumnsMax = 72;
    const bool none = answer.text.empty() && answer.begin == answer.end;
    table.AddRow({absl::StrCat(++rank, "."), FormatScore(answer.score, StyleOf({&answer.score, 1})),
                  none ? "" : absl::StrCat("[", answer.begin, ",", answer.end, ")"),
                  none ? "(no answer)" : Shorten(answer.text, kAnswerColumnsMax)});
  }
  table.Print(2, out);
}

int RunAnswer(const AnswerFlags& flags, Streams& streams) {
  absl::StatusOr<std::string> context = flags.context;
  if (!flags.context_path.empty()) context = ReadWhole(flags.context_path, streams.in);
  if (!context.ok()) return PrintError(context.status(), streams.error);
  const auto texts = ReadTexts(flags.questions, streams.in);
  if (!texts.ok()) return PrintError(texts.status(), streams.error);
  std::vector<Question> questions;
  for (const std::string& text : *texts) {
    questions.push_back({.question = text, .context = *context});
  }
  const Client client(flags.connection.ToOptions());
  const absl::Status status = ForEachGroup<Question>(
      questions, flags.questions.group_size,
      [&](const std::vector<Question>& group, size_t first) -> absl::Status {
        const auto reply = client.Answer(group, flags.options);
        if (!reply.ok()) return reply.status();
        for (size_t i = 0; i < group.size(); ++i) {
          if (flags.json) {
            streams.out << FormatJson(first + i, group[i], reply->questions[i], *reply) << "\n";
          } else {
            PrintAnswers(first + i + 1, group[i], reply->questions[i], streams.out);
          }
        }
        return absl::OkStatus();
      });
  return status.ok() ? 0 : PrintError(status, streams.error);
}

void AddAnswerOptionFlags(CLI::App& command, AnswerOptions& options) {
  AddCount(command, "--top-k", options.top_k, "Answers a question; default: 1");
  AddCount(command, "--max-answer-tokens", options.answer_tokens_max,
           "The longest answer, in tokens; default: 15");
  command
      .add_option(
          "--stride", options.stride,
          "Tokens of the context that a window shares with the one before; default: 128, or "
          "half of what fits")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  AddCount(command, "--max-length", options.length_max,
           "Tokens of a window, question and special tokens included; default: the model's");
  AddSwitch(command, "--no-answer", options.allow_no_answer,
            "That there is no answer is among the answers");
  AddOffsetsFlag(command, options.offset_unit);
}

}  // namespace

void AddAnswerCommand(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("answer", "The parts of a text, of any length, that answer questions");
  const auto flags = std::make_shared<AnswerFlags>();
  AddConnectionFlags(*command, flags->connection);
  AddModelFlag(*command, flags->options.model);
  AddPriorityFlag(*command, flags->options.priority);
  AddTextFlags(*command, flags->questions, "question", "Questions about the context");
  AddGroupFlag(*command, flags->questions);
  CLI::Option_group* context = command->add_option_group("context");
  context->add_option("--context", flags->context, "The text to find answers in");
  context
      ->add_option("--context-file", flags->context_path,
                   "A file with that text; -: the standard "
                   "input")
      ->type_name("PATH");
  context->require_option(1);
  AddAnswerOptionFlags(*command, flags->options);
  command->add_flag("--json", flags->json, "Print one JSON object a question, with everything");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunAnswer(*flags, streams); }; });
}

}  // namespace attnd::client
