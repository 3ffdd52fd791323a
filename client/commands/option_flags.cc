#include "client/commands/option_flags.h"

namespace attnd::client {

void AddSwitch(CLI::App& command, const std::string& flags, std::optional<bool>& value,
               const std::string& help) {
  command.add_flag_function(
      flags, [&value](int64_t count) { value = count > 0; }, help);
}

void AddCount(CLI::App& command, const std::string& flag, std::optional<int32_t>& value,
              const std::string& help) {
  command.add_option(flag, value, help)->type_name("N")->check(CLI::PositiveNumber);
}

void AddModelFlag(CLI::App& command, std::string& model) {
  command.add_option("--model", model, "Which model; default: the first served");
}

void AddPriorityFlag(CLI::App& command, Priority& priority) {
  AddChoice<Priority>(
      command, "--priority", priority,
      {{"high", Priority::kHigh}, {"normal", Priority::kNormal}, {"low", Priority::kLow}},
      "What goes first while others wait: high, normal (the default), low");
}

void AddLengthFlags(CLI::App& command, Truncation& truncation, std::optional<int32_t>& length_max) {
  AddChoice<Truncation>(
      command, "--truncate", truncation,
      {{"error", Truncation::kError}, {"left", Truncation::kLeft}, {"right", Truncation::kRight}},
      "What happens to an input that is too long: error (the default), left, right");
  command
      .add_option("--max-length", length_max, "Tokens, special ones included; default: the model's")
      ->check(CLI::PositiveNumber);
}

void AddOffsetsFlag(CLI::App& command, OffsetUnit& unit) {
  AddChoice<OffsetUnit>(command, "--offsets", unit,
                        {{"code-point", OffsetUnit::kCodePoint},
                         {"byte", OffsetUnit::kByte},
                         {"utf16", OffsetUnit::kUtf16}},
                        "What offsets count: code-point (the default), byte, utf16");
}

void AddScoreFlags(CLI::App& command, ScoreFunction& function, std::optional<bool>& logits) {
  AddChoice<ScoreFunction>(command, "--scores", function,
                           {{"softmax", ScoreFunction::kSoftmax},
                            {"sigmoid", ScoreFunction::kSigmoid},
                            {"none", ScoreFunction::kNone}},
                           "What makes scores of logits: softmax, sigmoid, none; default: the "
                           "model's");
  AddSwitch(command, "--logits", logits, "The logits as well");
}

}  // namespace attnd::client
