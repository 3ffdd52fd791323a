#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"
#include "client/commands/encode_flags.h"
#include "client/commands/encode_jsonl.h"
#include "client/commands/representation_text.h"
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

void PrintEncoding(const std::string& text, size_t number, const Encoding& encoding, int numbers,
                   std::ostream& out) {
  out << number << ". \"" << text << "\": " << encoding.token_count << " tokens"
      << (encoding.truncated ? ", truncated" : "")
      << absl::StrFormat(" (tokenize %.3f ms, queue %.3f ms, compute %.3f ms)\n",
                         encoding.timings.tokenize_seconds * 1e3,
                         encoding.timings.queue_seconds * 1e3,
                         encoding.timings.compute_seconds * 1e3);
  PrintTokens(encoding, numbers, out);
  PrintRepresentations(encoding, numbers, out);
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

}  // namespace

void AddEncodeCommand(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "encode", "Encode texts: tokens, their vectors, the pooled vector, similarities");
  const auto flags = std::make_shared<EncodeFlags>();
  AddConnectionFlags(*command, flags->connection);
  AddEncodeFlags(*command, flags->options);
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
