#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <istream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/types.h"

// Where commands get their texts from, and how they send them.
namespace attnd::client {

struct TextFlags {
  std::vector<std::string> texts;
  std::vector<std::string> seconds;  // The second texts of pairs; none, or one for each text.
  std::string path;                  // A file of texts, one a line; "-": the standard input.
  int group_size = 32;
};

// The texts themselves (as the command's arguments, called `name`) and --file.
void AddTextFlags(CLI::App& command, TextFlags& flags, const std::string& name,
                  const std::string& help);
// --text-pair.
void AddPairFlag(CLI::App& command, TextFlags& flags);
// --inputs, for ForEachGroup.
void AddGroupFlag(CLI::App& command, TextFlags& flags);

// The texts given, else the lines of the file. kInvalidArgument if there are none, or if a line is
// longer than 8 MiB; kNotFound if the file cannot be opened.
absl::StatusOr<std::vector<std::string>> ReadTexts(const TextFlags& flags, std::istream& in);

// The whole of a file, "-" being `in`; at most 8 MiB.
absl::StatusOr<std::string> ReadWhole(const std::string& path, std::istream& in);

// ReadTexts as inputs: pairs where there are second texts. kInvalidArgument if their numbers
// differ.
absl::StatusOr<std::vector<Input>> ReadInputs(const TextFlags& flags, std::istream& in);

// Calls `send` with `group_size` inputs at a time and the number of those before them, until it
// fails.
template <typename Element>
absl::Status ForEachGroup(
    const std::vector<Element>& inputs, int group_size,
    const std::function<absl::Status(const std::vector<Element>&, size_t first)>& send) {
  for (size_t first = 0; first < inputs.size(); first += static_cast<size_t>(group_size)) {
    const size_t count = std::min(static_cast<size_t>(group_size), inputs.size() - first);
    const auto begin = inputs.begin() + static_cast<std::ptrdiff_t>(first);
    const absl::Status status = send({begin, begin + static_cast<std::ptrdiff_t>(count)}, first);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// "1. "text"", or "1. "first" / "second"", shortened, for the head of what is printed of an input;
// `number` counts from 1.
std::string InputHeading(size_t number, const Input& input);

}  // namespace attnd::client
