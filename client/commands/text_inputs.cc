#include "client/commands/text_inputs.h"

#include <fstream>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/commands/jsonl.h"
#include "client/show/utf8.h"

namespace attnd::client {
namespace {

// No longer text would fit into a request.
constexpr size_t kTextBytesMax = size_t{8} << 20;

// Calls `read` with the stream that `path` names.
absl::Status WithStream(const std::string& path, std::istream& in,
                        const std::function<absl::Status(std::istream&)>& read) {
  if (path == "-") return read(in);
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot open ", path));
  return read(file);
}

}  // namespace

void AddTextFlags(CLI::App& command, TextFlags& flags, const std::string& name,
                  const std::string& help) {
  CLI::Option* texts = command.add_option(name, flags.texts, help);
  command
      .add_option("--file", flags.path,
                  "Read them from a file instead, one a line; -: the standard input")
      ->type_name("PATH")
      ->excludes(texts);
}

void AddPairFlag(CLI::App& command, TextFlags& flags) {
  command
      .add_option("--text-pair", flags.seconds,
                  "The second text of a pair; once for each text, in their order")
      ->allow_extra_args(false);
}

void AddGroupFlag(CLI::App& command, TextFlags& flags) {
  command.add_option("--inputs", flags.group_size, "Inputs a request")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
}

absl::StatusOr<std::vector<std::string>> ReadTexts(const TextFlags& flags, std::istream& in) {
  if (!flags.texts.empty()) return flags.texts;
  if (flags.path.empty()) return absl::InvalidArgumentError("give texts, or --file");
  std::vector<std::string> texts;
  absl::Status status = WithStream(flags.path, in, [&](std::istream& stream) {
    std::string line;
    for (;;) {
      const LineRead read = ReadLine(stream, kTextBytesMax, line);
      if (read == LineRead::kEnd) return absl::OkStatus();
      if (read == LineRead::kTooLong) {
        return absl::InvalidArgumentError(absl::StrCat(flags.path, ", line ", texts.size() + 1,
                                                       ": longer than ", kTextBytesMax, " bytes"));
      }
      texts.push_back(line);
    }
  });
  if (!status.ok()) return status;
  if (texts.empty()) return absl::InvalidArgumentError(absl::StrCat(flags.path, " has no lines"));
  return texts;
}

absl::StatusOr<std::string> ReadWhole(const std::string& path, std::istream& in) {
  std::string text;
  absl::Status status = WithStream(path, in, [&](std::istream& stream) {
    char block[65536];
    while (stream.read(block, sizeof(block)) || stream.gcount() > 0) {
      text.append(block, static_cast<size_t>(stream.gcount()));
      if (text.size() > kTextBytesMax) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, " is longer than ", kTextBytesMax, " bytes"));
      }
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return text;
}

absl::StatusOr<std::vector<Input>> ReadInputs(const TextFlags& flags, std::istream& in) {
  absl::StatusOr<std::vector<std::string>> texts = ReadTexts(flags, in);
  if (!texts.ok()) return texts.status();
  if (flags.seconds.empty()) return std::vector<Input>(texts->begin(), texts->end());
  if (flags.seconds.size() != texts->size()) {
    return absl::InvalidArgumentError(absl::StrCat("--text-pair is there ", flags.seconds.size(),
                                                   " times for ", texts->size(), " texts"));
  }
  std::vector<Input> pairs;
  for (size_t i = 0; i < texts->size(); ++i) {
    pairs.emplace_back(TextPair{.first = (*texts)[i], .second = flags.seconds[i]});
  }
  return pairs;
}

std::string InputHeading(size_t number, const Input& input) {
  constexpr int kColumnsMax = 60;
  if (const auto* text = std::get_if<std::string>(&input.kind)) {
    return absl::StrCat(number, ". \"", Shorten(*text, kColumnsMax), "\"");
  }
  if (const auto* pair = std::get_if<TextPair>(&input.kind)) {
    return absl::StrCat(number, ". \"", Shorten(pair->first, kColumnsMax), "\" / \"",
                        Shorten(pair->second, kColumnsMax), "\"");
  }
  if (const auto* ids = std::get_if<TokenIds>(&input.kind)) {
    return absl::StrCat(number, ". ", Shorten(absl::StrJoin(ids->ids, " "), kColumnsMax));
  }
  return absl::StrCat(number, ".");
}

}  // namespace attnd::client
