#include "client/commands/input_json.h"

#include <variant>

#include "absl/strings/str_cat.h"

namespace attnd::client {

void AddInput(const Input& input, JsonObject& object) {
  if (const auto* text = std::get_if<std::string>(&input.kind)) {
    object.Add("text", *text);
  } else if (const auto* pair = std::get_if<TextPair>(&input.kind)) {
    object.Add("text", pair->first).Add("text_pair", pair->second);
  } else if (const auto* ids = std::get_if<TokenIds>(&input.kind)) {
    object.Add("ids", JsonArray(ids->ids, [](int32_t id) { return id; }));
  }
}

RawJson OffsetsJson(const Token& token) {
  return {.text = absl::StrCat("[", token.begin, ",", token.end, "]")};
}

int SpecialJson(const Token& token) { return token.special ? 1 : 0; }

}  // namespace attnd::client
