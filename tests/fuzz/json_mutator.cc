#include "tests/fuzz/json_mutator.h"

#include <algorithm>
#include <vector>

namespace attnd {
namespace {

// Numbers at and around the limits of types and of ours, and values of each kind.
constexpr std::string_view kHostile[] = {"0",
                                         "1",
                                         "2",
                                         "-1",
                                         "7",
                                         "64",
                                         "1.5",
                                         "4096",
                                         "65536",
                                         "65537",
                                         "16777217",
                                         "2147483647",
                                         "2147483648",
                                         "4294967295",
                                         "4294967296",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "18446744073709551615",
                                         "18446744073709551616",
                                         "-9223372036854775808",
                                         "1e308",
                                         "1e999",
                                         "1e-320",
                                         "-0.0",
                                         "null",
                                         "true",
                                         "false",
                                         "\"\"",
                                         "\"\\u0000\"",
                                         "\"\\ud83d\\ude00\"",
                                         "\"\\n\\u001b[2J\"",
                                         "[]",
                                         "{}",
                                         "[[[[[[[[]]]]]]]]"};

struct Value {
  size_t begin = 0;
  size_t end = 0;
};

bool IsBlank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

size_t StringEnd(std::string_view json, size_t begin) {
  size_t at = begin + 1;
  while (at < json.size() && json[at] != '"') at += json[at] == '\\' ? 2 : 1;
  return std::min(at + 1, json.size());
}

// Every value in the text, containers and keys too, as far as brackets match.
std::vector<Value> FindValues(std::string_view json) {
  constexpr std::string_view kEnds = ",:[]{}\" \n\t\r";
  std::vector<Value> values;
  std::vector<size_t> open;
  size_t at = 0;
  while (at < json.size()) {
    const char c = json[at];
    if (c == '{' || c == '[') {
      open.push_back(at++);
    } else if (c == '}' || c == ']') {
      ++at;
      if (open.empty()) continue;
      values.push_back({open.back(), at});
      open.pop_back();
    } else if (c == ',' || c == ':' || IsBlank(c)) {
      ++at;
    } else {
      const size_t end =
          c == '"' ? StringEnd(json, at) : std::min(json.find_first_of(kEnds, at), json.size());
      values.push_back({at, end});
      at = end;
    }
  }
  return values;
}

// Drops a value with the comma or the key before it.
void Drop(Value value, std::string& json) {
  size_t begin = value.begin;
  while (begin > 0 && json[begin - 1] != ',' && json[begin - 1] != '[' && json[begin - 1] != '{') {
    --begin;
  }
  size_t end = value.end;
  if (begin > 0 && json[begin - 1] == ',') {
    --begin;
  } else if (const size_t next = json.find_first_not_of(" \n\t\r", end);
             next != std::string::npos && json[next] == ',') {
    end = next + 1;
  }
  json.erase(begin, end - begin);
}

void ChangeOne(std::string& json, std::minstd_rand& random) {
  const std::vector<Value> values = FindValues(json);
  if (values.empty()) return;
  const Value value = values[random() % values.size()];
  const size_t size = value.end - value.begin;
  switch (random() % 5) {
    case 0:
      Drop(value, json);
      return;
    case 1: {
      std::string repeated;
      for (size_t i = random() % 3; i < 3; ++i) repeated += "," + json.substr(value.begin, size);
      json.insert(value.end, repeated);
      return;
    }
    case 2: {
      const Value other = values[random() % values.size()];
      json.replace(value.begin, size, json.substr(other.begin, other.end - other.begin));
      return;
    }
    default:
      json.replace(value.begin, size, kHostile[random() % std::size(kHostile)]);
  }
}

}  // namespace

std::string MutateBytes(std::string_view text, size_t size_max) {
  std::string bytes(text.substr(0, size_max));
  const size_t size = bytes.size();
  bytes.resize(size_max);
  bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), size, size_max));
  return bytes;
}

std::string MutateJson(std::string_view json, size_t size_max, std::minstd_rand& random) {
  if (random() % 4 == 0 || FindValues(json).empty()) return MutateBytes(json, size_max);
  std::string changed(json);
  const size_t changes = 1 + random() % 3;
  for (size_t i = 0; i < changes; ++i) ChangeOne(changed, random);
  changed.resize(std::min(changed.size(), size_max));
  return changed;
}

}  // namespace attnd
