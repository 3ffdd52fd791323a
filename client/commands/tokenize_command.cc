#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"
#include "client/commands/head_json.h"
#include "client/commands/option_flags.h"
#include "client/commands/text_inputs.h"
#include "client/show/text_table.h"
#include "client/show/utf8.h"

namespace attnd::client {
namespace {

struct TokenizeFlags {
  ConnectionFlags connection;
  TextFlags texts;  // Or ids, with `decode`.
  TokenizeOptions options;
  DetokenizeOptions decode_options;
  bool decode = false;
  bool json = false;
};

void PrintTokenization(size_t number, const Input& input, const Tokenization& result,
                       std::ostream& out) {
  out << InputHeading(number, input) << ": " << result.tokens.size() << " tokens"
      << (result.truncated ? ", truncated" : "") << "\n";
  TextTable table(
      {Align::kRight, Align::kLeft, Align::kRight, Align::kLeft, Align::kLeft, Align::kLeft});
  int place = 0;
  for (const Token& token : result.tokens) {
    table.AddRow({absl::StrCat(place++), token.text, absl::StrCat(token.id),
                  token.special ? "special" : absl::StrCat("[", token.begin, ",", token.end, ")"),
                  token.word_id < 0 ? "" : absl::StrCat("word ", token.word_id),
                  token.text_index == 1 ? "2nd text" : ""});
  }
  table.Print(2, out);
}

// Whole numbers with commas or blanks between.
absl::StatusOr<TokenIds> ParseIds(const std::string& text) {
  TokenIds ids;
  const std::vector<std::string> parts =
      absl::StrSplit(text, absl::ByAnyChar(", \t\r"), absl::SkipEmpty());
  for (const std::string& part : parts) {
    if (!absl::SimpleAtoi(part, &ids.ids.emplace_back())) {
      return absl::InvalidArgumentError(absl::StrCat("\"", OneLine(part), "\" is not a token id"));
    }
  }
  return ids;
}

// The arguments are one sequence; of a file, each line is one.
absl::StatusOr<std::vector<TokenIds>> ReadIds(const TextFlags& flags, std::istream& in) {
  auto lines = ReadTexts(flags, in);
  if (!lines.ok()) return lines.status();
  if (!flags.texts.empty()) lines = std::vector<std::string>{absl::StrJoin(flags.texts, " ")};
  std::vector<TokenIds> sequences;
  for (const std::string& line : *lines) {
    auto ids = ParseIds(line);
    if (!ids.ok()) return ids.status();
    sequences.push_back(*std::move(ids));
  }
  return sequences;
}

absl::Status Encode(const TokenizeFlags& flags, const Client& client, Streams& streams) {
  const auto inputs = ReadInputs(flags.texts, streams.in);
  if (!inputs.ok()) return inputs.status();
  return ForEachGroup<Input>(
      *inputs, flags.texts.group_size,
      [&](const std::vector<Input>& group, size_t first) -> absl::Status {
        const auto reply = client.Tokenize(group, flags.options);
        if (!reply.ok()) return reply.status();
        for (size_t i = 0; i < group.size(); ++i) {
          const Tokenization& result = reply->tokenizations[i];
          if (flags.json) {
            streams.out << FormatJson({.index = first + i, .input = group[i]}, result, *reply)
                        << "\n";
          } else {
            PrintTokenization(first + i + 1, group[i], result, streams.out);
          }
        }
        return absl::OkStatus();
      });
}

absl::Status Decode(const TokenizeFlags& flags, const Client& client, Streams& streams) {
  const auto sequences = ReadIds(flags.texts, streams.in);
  if (!sequences.ok()) return sequences.status();
  DetokenizeOptions options = flags.decode_options;
  options.model = flags.options.model;
  return ForEachGroup<TokenIds>(
      *sequences, flags.texts.group_size,
      [&](const std::vector<TokenIds>& group, size_t first) -> absl::Status {
        const auto reply = client.Detokenize(group, options);
        if (!reply.ok()) return reply.status();
        for (size_t i = 0; i < group.size(); ++i) {
          streams.out << (flags.json ? FormatJson(first + i, group[i], reply->texts[i], *reply)
                                     : OneLine(reply->texts[i]))
                      << "\n";
        }
        return absl::OkStatus();
      });
}

int RunTokenize(const TokenizeFlags& flags, Streams& streams) {
  const Client client(flags.connection.ToOptions());
  const absl::Status status =
      flags.decode ? Decode(flags, client, streams) : Encode(flags, client, streams);
  return status.ok() ? 0 : PrintError(status, streams.error);
}

void AddDecodeFlags(CLI::App& command, TokenizeFlags& flags) {
  CLI::Option* decode = command.add_flag("--decode", flags.decode,
                                         "The other way: token ids to a text. The arguments are "
                                         "one sequence (101 7592 102), each line "
                                         "of --file is one");
  AddSwitch(command, "--skip-special,!--keep-special", flags.decode_options.skip_special_tokens,
            "With --decode: leave special tokens out of the text; default: yes");
  command.get_option("--skip-special")->needs(decode);
  for (const char* name :
       {"--text-pair", "--special-tokens", "--truncate", "--max-length", "--offsets"}) {
    command.get_option(name)->excludes(decode);
  }
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "tokenize", "Texts to tokens: strings, ids, offsets, words; or (--decode) ids to texts");
  const auto flags = std::make_shared<TokenizeFlags>();
  AddConnectionFlags(*command, flags->connection);
  AddModelFlag(*command, flags->options.model);
  AddTextFlags(*command, flags->texts, "text", "Texts, or ids with --decode");
  AddGroupFlag(*command, flags->texts);
  AddPairFlag(*command, flags->texts);
  AddSwitch(*command, "--special-tokens,!--no-special-tokens", flags->options.add_special_tokens,
            "Add the model's special tokens to texts; default: yes");
  AddLengthFlags(*command, flags->options.truncation, flags->options.length_max);
  command->get_option("--max-length")->description("Tokens, special ones included; default: any");
  AddOffsetsFlag(*command, flags->options.offset_unit);
  AddDecodeFlags(*command, *flags);
  command->add_flag("--json", flags->json, "Print one JSON object a text, with everything");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunTokenize(*flags, streams); }; });
}

}  // namespace attnd::client
