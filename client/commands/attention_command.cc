#include <fstream>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/commands/attention_map.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"
#include "client/commands/option_flags.h"
#include "client/show/heat_map_svg.h"
#include "client/show/heat_map_text.h"

namespace attnd::client {
namespace {

struct AttentionFlags {
  ConnectionFlags connection;
  std::string text;
  std::optional<std::string> text_pair;
  int32_t layer = -1;
  std::optional<int32_t> head;  // Absent: the mean of all.
  EncodeOptions options;
  std::string svg_path;
  bool hide_special = false;
  bool json = false;
};

absl::StatusOr<TokenAttention> AskForAttention(const AttentionFlags& flags, const Input& input) {
  const Client client(flags.connection.ToOptions());
  const absl::StatusOr<ModelInfo> model = client.GetModel(flags.options.model);
  if (!model.ok()) return model.status();
  EncodeOptions options = flags.options;
  options.return_pooled = false;
  options.return_tokens = true;
  options.attention = AttentionMapOptions{.layers = {flags.layer}, .return_weights = true};
  if (flags.head) options.attention->heads.push_back(*flags.head);
  const absl::StatusOr<EncodeReply> reply = client.Encode({input}, options);
  if (!reply.ok()) return reply.status();
  auto attention = ReadAttention(*reply, {.layer_count = model->layers, .head = flags.head});
  if (!attention.ok() || !flags.hide_special) return attention;
  return WithoutSpecialTokens(*attention);
}

absl::Status WriteFile(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  file.close();
  if (!file) return absl::UnknownError(absl::StrCat("cannot write ", path));
  return absl::OkStatus();
}

int RunAttention(const AttentionFlags& flags, Streams& streams) {
  const Input input = flags.text_pair
                          ? Input(TextPair{.first = flags.text, .second = *flags.text_pair})
                          : Input(flags.text);
  const absl::StatusOr<TokenAttention> attention = AskForAttention(flags, input);
  if (!attention.ok()) return PrintError(attention.status(), streams.error);
  const HeatMap map = ToHeatMap(*attention);
  if (flags.svg_path == "-") {
    streams.out << DrawSvg(map);
    return 0;
  }
  if (!flags.svg_path.empty()) {
    const absl::Status written = WriteFile(flags.svg_path, DrawSvg(map));
    if (!written.ok()) return PrintError(written, streams.error);
  }
  constexpr size_t kColumnsMax = 120;
  if (flags.json) {
    streams.out << FormatAttentionMap(input, *attention) << "\n";
  } else if (map.columns.size() <= kColumnsMax) {
    streams.out << DrawText(map);
  } else if (flags.svg_path.empty()) {
    streams.out << map.columns.size() << " tokens, more than the " << kColumnsMax
                << " that fit a terminal: give --svg or --json\n";
  }
  return 0;
}

void AddChoiceFlags(CLI::App& command, AttentionFlags& flags) {
  command.add_option("--layer", flags.layer, "1 is the first, -1 the last")
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--head",
          [&flags](const std::string& text) {
            flags.head.reset();
            int32_t head = 0;
            if (text == "mean") return;
            if (!absl::SimpleAtoi(text, &head) || head < 0) {
              throw CLI::ValidationError("--head", text + " is neither a head's number nor mean");
            }
            flags.head = head;
          },
          "0 is the first; mean (the default) is that of all")
      ->type_name("N|mean");
  AddModelFlag(command, flags.options.model);
  AddLengthFlags(command, flags.options.truncation, flags.options.length_max);
  AddSwitch(command, "--special-tokens,!--no-special-tokens", flags.options.add_special_tokens,
            "Add the model's special tokens to texts; default: yes");
  command.add_flag("--hide-special", flags.hide_special,
                   "Leave special tokens, which take much of the attention, out of the picture");
}

}  // namespace

void AddAttentionCommand(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "attention", "What each token of a text takes from each other, as a heat map");
  const auto flags = std::make_shared<AttentionFlags>();
  AddConnectionFlags(*command, flags->connection);
  command->add_option("--text", flags->text, "The text")->required();
  command->add_option("--text-pair", flags->text_pair, "The second text of a pair");
  AddChoiceFlags(*command, *flags);
  command
      ->add_option("--svg", flags->svg_path,
                   "Draw it into this file; -: to the standard output, and nothing else")
      ->type_name("PATH");
  command->add_flag("--json", flags->json, "Print one JSON object, with everything");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunAttention(*flags, streams); }; });
}

}  // namespace attnd::client
