#include "core/input/mask_token.h"

#include <cstdint>

#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

// A tokenizer_config.json repeats thousands of added tokens, and may hold a chat template.
constexpr uint64_t kTokenizerConfigBytesMax = 8 << 20;
constexpr char kMaskToken[] = "mask_token";

}  // namespace

absl::StatusOr<std::optional<std::string>> ReadMaskToken(const ModelDir& dir) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!dir.Has(name)) continue;
    ASSIGN_OR_RETURN(const std::string text, dir.ReadFile(name, kTokenizerConfigBytesMax));
    ASSIGN_OR_RETURN(const nlohmann::json file, ParseJson(text, name));
    JsonFields fields(file, name);
    RETURN_IF_ERROR(fields.status());
    if (!fields.Has(kMaskToken)) continue;
    std::string token;
    if (const nlohmann::json& value = file[kMaskToken]; value.is_object()) {
      JsonFields added(value, StrCat(name, ": ", kMaskToken));
      token = added.String("content");
      RETURN_IF_ERROR(added.status());
    } else {
      token = fields.String(kMaskToken);
      RETURN_IF_ERROR(fields.status());
    }
    return token;
  }
  return std::nullopt;
}

}  // namespace attnd
