#include "client/commands/jsonl.h"

#include <limits>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/commands/json_text.h"
#include "client/commands/representation_json.h"
#include "client/error.h"
#include "nlohmann/json.hpp"

namespace attnd::client {
namespace {

absl::StatusOr<std::vector<int32_t>> ReadIdArray(const nlohmann::json& value,
                                                 const std::string& key) {
  if (!value.is_array()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" is not an array of integers"));
  }
  std::vector<int32_t> ids;
  ids.reserve(value.size());
  for (const nlohmann::json& element : value) {
    constexpr int64_t kMin = std::numeric_limits<int32_t>::min();
    constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
    const bool integer = element.is_number_integer() &&
                         !(element.is_number_unsigned() && element.get<uint64_t>() > kMax);
    if (!integer || element.get<int64_t>() < kMin || element.get<int64_t>() > kMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", key, "\"[", ids.size(), "] is not a 32-bit integer"));
    }
    ids.push_back(element.get<int32_t>());
  }
  return ids;
}

absl::StatusOr<Input> ReadTokenIds(const nlohmann::json& object) {
  auto ids = ReadIdArray(object["ids"], "ids");
  if (!ids.ok()) return ids.status();
  TokenIds token_ids{.ids = *std::move(ids), .type_ids = {}};
  if (object.contains("type_ids")) {
    auto types = ReadIdArray(object["type_ids"], "type_ids");
    if (!types.ok()) return types.status();
    token_ids.type_ids = *std::move(types);
  }
  return Input(std::move(token_ids));
}

absl::StatusOr<Input> ReadInput(const nlohmann::json& object) {
  const bool has_text = object.contains("text");
  const bool has_pair = object.contains("text_pair");
  if (object.contains("ids")) {
    if (has_text || has_pair) {
      return absl::InvalidArgumentError("\"ids\" and a text exclude each other");
    }
    return ReadTokenIds(object);
  }
  if (!has_text) return absl::InvalidArgumentError("neither \"text\" nor \"ids\" is there");
  if (!object["text"].is_string()) return absl::InvalidArgumentError("\"text\" is not a string");
  if (!has_pair) return Input(object["text"].get<std::string>());
  if (!object["text_pair"].is_string()) {
    return absl::InvalidArgumentError("\"text_pair\" is not a string");
  }
  return Input(TextPair{.first = object["text"].get<std::string>(),
                        .second = object["text_pair"].get<std::string>()});
}

absl::Status AtLine(int64_t line_number, const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("line ", line_number, ": ", message));
}

// Appends `,"key":[...]` with one element for each token.
template <typename AppendElement>
void AppendTokens(const std::string& key, const std::vector<Token>& tokens,
                  const AppendElement& append_element, std::string& out) {
  absl::StrAppend(&out, ",\"", key, "\":[");
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    append_element(tokens[i]);
  }
  out += ']';
}

bool HasSecondText(const std::vector<Token>& tokens) {
  for (const Token& token : tokens) {
    if (token.text_index > 0) return true;
  }
  return false;
}

}  // namespace

JsonlLine ParseJsonl(std::string_view line, int64_t line_number) {
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  JsonlLine result{.id_json = "null", .input = absl::UnknownError("")};
  if (object.is_discarded() || !object.is_object()) {
    result.input = AtLine(line_number, "not a JSON object in UTF-8");
    return result;
  }
  if (object.contains("id")) {
    const nlohmann::json& id = object["id"];
    if (!id.is_string() && !id.is_number() && !id.is_null()) {
      result.input = AtLine(line_number, "\"id\" is neither a string nor a number");
      return result;
    }
    result.id_json = id.dump();
  }
  result.input = ReadInput(object);
  if (!result.input.ok())
    result.input = AtLine(line_number, std::string(result.input.status().message()));
  return result;
}

std::string FormatJsonl(const std::string& id_json, const Encoding& encoding) {
  std::string out = absl::StrCat("{\"id\":", id_json);
  const std::vector<Token>& tokens = encoding.tokens;
  if (!tokens.empty()) {
    AppendTokens(
        "ids", tokens, [&](const Token& t) { absl::StrAppend(&out, t.id); }, out);
    AppendTokens(
        "tokens", tokens, [&](const Token& t) { AppendJson(t.text, out); }, out);
    AppendTokens(
        "offsets", tokens,
        [&](const Token& t) { absl::StrAppend(&out, "[", t.begin, ",", t.end, "]"); }, out);
    AppendTokens(
        "special", tokens, [&](const Token& t) { out += t.special ? '1' : '0'; }, out);
    if (HasSecondText(tokens)) {
      AppendTokens(
          "text_indices", tokens, [&](const Token& t) { absl::StrAppend(&out, t.text_index); },
          out);
    }
  }
  if (!encoding.pooled.empty()) {
    out += ",\"pooled\":";
    AppendJson(encoding.pooled, out);
  }
  if (encoding.token_vectors.shape.size() == 2) {
    const size_t width = static_cast<size_t>(encoding.token_vectors.shape[1]);
    const std::span<const float> values = encoding.token_vectors.values;
    out += ",\"vectors\":[";
    for (size_t begin = 0; begin < values.size(); begin += width) {
      if (begin > 0) out += ',';
      AppendJson(values.subspan(begin, width), out);
    }
    out += ']';
  }
  AppendRepresentations(encoding, out);
  absl::StrAppend(&out, ",\"truncated\":", encoding.truncated ? "true" : "false", "}");
  return out;
}

std::string FormatJsonlError(const std::string& id_json, const absl::Status& status) {
  std::string out = absl::StrCat("{\"id\":", id_json, ",\"error\":{\"code\":");
  AppendJson(absl::StatusCodeToString(status.code()), out);
  out += ",\"reason\":";
  AppendJson(ErrorReason(status), out);
  out += ",\"message\":";
  AppendJson(std::string(status.message()), out);
  out += "}}";
  return out;
}

LineRead ReadLine(std::istream& in, size_t bytes_max, std::string& line) {
  line.clear();
  std::streambuf& buffer = *in.rdbuf();
  bool any = false;
  bool too_long = false;
  for (int next = buffer.sbumpc(); next != std::char_traits<char>::eof(); next = buffer.sbumpc()) {
    any = true;
    if (next == '\n') return too_long ? LineRead::kTooLong : LineRead::kLine;
    if (line.size() < bytes_max) {
      line.push_back(static_cast<char>(next));
    } else {
      too_long = true;
    }
  }
  if (too_long) return LineRead::kTooLong;
  return any ? LineRead::kLine : LineRead::kEnd;
}

}  // namespace attnd::client
