#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"
#include "client/commands/encode_jsonl.h"
#include "client/commands/similarity.h"
#include "client/ordered_encode.h"

namespace attnd::client {
namespace {

struct EncodeFlags {
  ConnectionFlags connection;
  std::vector<std::string> texts;
  EncodeOptions options;
  bool jsonl = false;
  bool vectors = true;
  int numbers = 4;
  int window = 64;
  bool deadline_given = false;
};

OrderedEncodeOptions OrderedOptions(const EncodeFlags& flags) {
  OrderedEncodeOptions ordered{.encode = flags.options, .window = flags.window};
  // Lines may be of any number, so that no default fits them.
  if (!flags.jsonl || flags.deadline_given) {
    ordered.deadline = flags.connection.ToOptions().deadline;
  }
  return ordered;
}

std::string FirstNumbers(std::span<const float> values, int count) {
  std::string out = "[";
  for (size_t i = 0; i < values.size() && i < static_cast<size_t>(count); ++i) {
    absl::StrAppendFormat(&out, "%s%8.4f", i > 0 ? " " : "", values[i]);
  }
  if (values.size() > static_cast<size_t>(count)) out += " ...";
  return absl::StrCat(out, "]");
}

void PrintTokens(const Encoding& encoding, int numbers, std::ostream& out) {
  size_t text_width = 0;
  for (const Token& token : encoding.tokens) text_width = std::max(text_width, token.text.size());
  const Tensor& vectors = encoding.token_vectors;
  for (size_t i = 0; i < encoding.tokens.size(); ++i) {
    const Token& token = encoding.tokens[i];
    const std::string offsets =
        token.special ? "" : absl::StrCat("[", token.begin, ",", token.end, ")");
    out << absl::StrFormat("  %-*s %6d  %-9s", static_cast<int>(text_width), token.text, token.id,
                           offsets);
    if (vectors.shape.size() == 2 && static_cast<size_t>(vectors.shape[0]) > i) {
      const size_t width = static_cast<size_t>(vectors.shape[1]);
      out << " "
          << FirstNumbers(std::span<const float>(vectors.values).subspan(i * width, width),
                          numbers);
    }
    out << "\n";
  }
}

void PrintEncoding(const std::string& text, size_t number, const Encoding& encoding, int numbers,
                   std::ostream& out) {
  out << number << ". \"" << text << "\": " << encoding.token_count << " tokens"
      << (encoding.truncated ? ", truncated" : "")
      << absl::StrFormat(" (tokenize %.3f ms, queue %.3f ms, compute %.3f ms)\n",
                         encoding.timings.tokenize_seconds * 1e3,
                         encoding.timings.queue_seconds * 1e3,
                         encoding.timings.compute_seconds * 1e3);
  PrintTokens(encoding, numbers, out);
  if (!encoding.pooled.empty()) {
    out << "  pooled (" << encoding.pooled.size() << ") " << FirstNumbers(encoding.pooled, numbers)
        << "\n";
  }
}

int EncodeTexts(const EncodeFlags& flags, const Client& client, Streams& streams) {
  size_t next = 0;
  size_t done = 0;
  bool printed = false;  // An error.
  std::vector<std::string> pooled_texts;
  std::vector<std::vector<float>> pooled;
  const absl::Status status = EncodeInOrder(
      client, OrderedOptions(flags),
      [&]() -> std::optional<absl::StatusOr<Input>> {
        if (next == flags.texts.size()) return std::nullopt;
        return Input(flags.texts[next++]);
      },
      [&](absl::StatusOr<Encoding> encoding) {
        const std::string& text = flags.texts[done++];
        if (!encoding.ok()) {
          PrintError(encoding.status(), streams.error);
          printed = true;
          return;
        }
        PrintEncoding(text, done, *encoding, flags.numbers, streams.out);
        if (encoding->pooled.empty()) return;
        pooled_texts.push_back(text);
        pooled.push_back(std::move(encoding->pooled));
      });
  if (pooled.size() > 1) PrintSimilarities(pooled_texts, pooled, streams.out);
  // Inputs that the end of the stream leaves unanswered have printed it.
  if (!status.ok() && !printed) PrintError(status, streams.error);
  return status.ok() && !printed ? 0 : 1;
}

int RunEncode(const EncodeFlags& flags, Streams& streams) {
  const Client client(flags.connection.ToOptions());
  EncodeFlags resolved = flags;
  resolved.options.return_tokens = true;
  resolved.options.return_token_vectors = flags.vectors;
  if (!flags.jsonl) {
    if (flags.texts.empty()) {
      streams.error << "attnctl encode: give texts, or --jsonl to read lines\n";
      return 1;
    }
    return EncodeTexts(resolved, client, streams);
  }
  const absl::StatusOr<JsonlCounts> counts =
      EncodeJsonl(client, OrderedOptions(resolved), streams.in, streams.out);
  if (!counts.ok()) return PrintError(counts.status(), streams.error);
  return counts->errors == 0 ? 0 : 1;
}

// An option whose value is one of `names`, which its help text lists.
template <typename Enum>
void AddChoice(CLI::App& command, const std::string& flag, Enum& value,
               std::map<std::string, Enum> names, const std::string& help) {
  command.add_option(flag, value, help)
      ->type_name("NAME")
      ->transform(CLI::CheckedTransformer(std::move(names), CLI::ignore_case).description(""));
}

// A flag and its opposite; `value` stays absent where neither is given. (CLI11's own flags set it
// to false.)
void AddSwitch(CLI::App& command, const std::string& flags, std::optional<bool>& value,
               const std::string& help) {
  command.add_flag_function(
      flags, [&value](int64_t count) { value = count > 0; }, help);
}

void AddOptionFlags(CLI::App& command, EncodeOptions& options) {
  command.add_option("--model", options.model, "Which model; default: the only one served");
  AddChoice<Pooling>(command, "--pooling", options.pooling,
                     {{"cls", Pooling::kCls},
                      {"mean", Pooling::kMean},
                      {"max", Pooling::kMax},
                      {"last", Pooling::kLast},
                      {"pooler", Pooling::kPooler}},
                     "How token vectors become one: cls, mean, max, last, pooler; default: the "
                     "model's");
  AddSwitch(command, "--normalize,!--no-normalize", options.normalize,
            "Scale the pooled vector to length 1; default: the model's");
  AddChoice<Truncation>(
      command, "--truncate", options.truncation,
      {{"error", Truncation::kError}, {"left", Truncation::kLeft}, {"right", Truncation::kRight}},
      "What happens to an input that is too long: error (the default), left, right");
  command
      .add_option("--max-length", options.length_max,
                  "Tokens, special ones included; default: the model's")
      ->check(CLI::PositiveNumber);
  AddSwitch(command, "--special-tokens,!--no-special-tokens", options.add_special_tokens,
            "Add the model's special tokens to texts; default: yes");
  AddChoice<OffsetUnit>(command, "--offsets", options.offset_unit,
                        {{"code-point", OffsetUnit::kCodePoint},
                         {"byte", OffsetUnit::kByte},
                         {"utf16", OffsetUnit::kUtf16}},
                        "What offsets count: code-point (the default), byte, utf16");
}

}  // namespace

void AddEncodeCommand(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "encode", "Encode texts: tokens, their vectors, the pooled vector, similarities");
  const auto flags = std::make_shared<EncodeFlags>();
  AddConnectionFlags(*command, flags->connection);
  AddOptionFlags(*command, flags->options);
  command->add_flag(
      "--jsonl", flags->jsonl,
      "Read one JSON object a line ({\"text\"}, {\"text\", \"text_pair\"} or {\"ids\"}; "
      "optional \"id\"), write one a line in the same order");
  command->add_flag("--vectors,!--no-vectors", flags->vectors,
                    "Ask for the vector of each token; default: yes");
  command->add_option("--numbers", flags->numbers, "Numbers shown of each vector, without --jsonl")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("--window", flags->window, "Inputs in flight at most")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("text", flags->texts, "Texts to encode");
  command->get_option("--deadline")
      ->description("Seconds that all texts together may take; with --jsonl no limit unless given");
  command->callback([command, flags, &run] {
    flags->deadline_given = command->count("--deadline") > 0;
    run = [flags](Streams& streams) { return RunEncode(*flags, streams); };
  });
}

}  // namespace attnd::client
