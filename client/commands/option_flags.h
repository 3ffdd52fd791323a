#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "client/types.h"

// Flags that several commands have, so that they are spelled and explained alike.
namespace attnd::client {

// An option whose value is one of `names`, which its help text lists.
template <typename Enum>
void AddChoice(CLI::App& command, const std::string& flag, Enum& value,
               std::map<std::string, Enum> names, const std::string& help) {
  command.add_option(flag, value, help)
      ->type_name("NAME")
      ->transform(CLI::CheckedTransformer(std::move(names), CLI::ignore_case).description(""));
}

// A flag and its opposite ("--x,!--no-x"); `value` stays absent where neither is given. (CLI11's
// own flags set it to false.)
void AddSwitch(CLI::App& command, const std::string& flags, std::optional<bool>& value,
               const std::string& help);

// An option that takes a whole number of at least 1.
void AddCount(CLI::App& command, const std::string& flag, std::optional<int32_t>& value,
              const std::string& help);

// --model.
void AddModelFlag(CLI::App& command, std::string& model);
// --priority.
void AddPriorityFlag(CLI::App& command, Priority& priority);
// --truncate and --max-length.
void AddLengthFlags(CLI::App& command, Truncation& truncation, std::optional<int32_t>& length_max);
// --offsets.
void AddOffsetsFlag(CLI::App& command, OffsetUnit& unit);
// --scores and --logits.
void AddScoreFlags(CLI::App& command, ScoreFunction& function, std::optional<bool>& logits);

}  // namespace attnd::client
