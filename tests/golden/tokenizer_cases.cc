#include "tests/golden/tokenizer_cases.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "core/base/strings.h"

namespace attnd::golden {
namespace {

constexpr int32_t kNoLimit = 1 << 20;

using Offsets = std::vector<Tokenized::Offset>;

Offsets OffsetsOf(const Json& json) {
  Offsets offsets;
  for (const Json& pair : json) {
    offsets.push_back({.start = pair.at(0).get<int32_t>(), .end = pair.at(1).get<int32_t>()});
  }
  return offsets;
}

absl::StatusOr<Tokenized> EncodeItem(const Json& item, const Tokenizer& tokenizer,
                                     const TokenizeOptions& options) {
  const std::string text = item.at("text");
  const std::string pair = item.value("text_pair", "");
  return tokenizer.Encode(
      text, item.contains("text_pair") ? std::optional<std::string_view>(pair) : std::nullopt,
      options);
}

void CheckDecode(const Json& item, std::string_view field, bool skip_special_tokens,
                 const Tokenizer& tokenizer, CaseResult& result) {
  const auto text =
      tokenizer.Decode(item.at("ids").get<std::vector<int32_t>>(), skip_special_tokens);
  result.CheckOk(field, text.status());
  if (text.ok()) result.CheckEqual(field, *text, item.at(field).get<std::string>());
}

}  // namespace

Tokenized CheckTokens(const Json& item, const Tokenizer& tokenizer, const TokenizeOptions& options,
                      CaseResult& result) {
  absl::StatusOr<Tokenized> encoded = EncodeItem(item, tokenizer, options);
  result.CheckOk("encode", encoded.status());
  if (!encoded.ok()) return {};
  if (item.contains("ids")) {
    result.CheckEqual("ids", encoded->ids, item.at("ids").get<std::vector<int32_t>>());
  }
  if (item.contains("type_ids")) {
    result.CheckEqual("type_ids", encoded->types, item.at("type_ids").get<std::vector<int32_t>>());
  }
  if (item.contains("offsets")) {
    result.CheckEqual("offsets", encoded->offsets, OffsetsOf(item.at("offsets")));
  }
  if (item.contains("tokens")) {
    result.CheckEqual("tokens", encoded->strings,
                      item.at("tokens").get<std::vector<std::string>>());
  }
  return *std::move(encoded);
}

CaseResult RunFuzzCase(const Json& item, const Tokenizer& tokenizer) {
  CaseResult result;
  CheckTokens(item, tokenizer, {.length_max = kNoLimit}, result);
  CheckDecode(item, "skip", /*skip_special_tokens=*/true, tokenizer, result);
  CheckDecode(item, "raw", /*skip_special_tokens=*/false, tokenizer, result);
  return result;
}

// absl::HexStringToBytes has another signature in later releases.
std::string BytesOfHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

CaseResult RunInvalidUtf8Case(const Json& item, const Tokenizer& tokenizer) {
  CaseResult result;
  const std::string bytes = BytesOfHex(item.at("hex").get<std::string>());
  const absl::Status refused = tokenizer.Encode(bytes, std::nullopt, {}).status();
  result.CheckEqual("status code", refused.code(), absl::StatusCode::kInvalidArgument);
  result.CheckEqual("reason", ReasonOf(refused), TokenizeFailure::kNotUtf8);
  return result;
}

void CheckPairTruncation(const Json& item, const Tokenizer& tokenizer, CaseResult& result) {
  constexpr std::pair<std::string_view, PairTruncation> kStrategies[] = {
      {"longest_first_", PairTruncation::kLongestFirst},
      {"only_first_", PairTruncation::kFirst},
      {"only_second_", PairTruncation::kSecond}};
  for (const auto& [strategy, truncation] : kStrategies) {
    for (const int32_t length_max : {16, 33, 64}) {
      const std::string field = StrCat(strategy, length_max);
      if (!item.contains(field)) continue;
      const auto encoded = EncodeItem(item, tokenizer,
                                      {.truncation = Truncation::kRight,
                                       .pair_truncation = truncation,
                                       .length_max = length_max});
      if (item.at(field).is_null()) {
        result.CheckEqual(field, ReasonOf(encoded.status()), TokenizeFailure::kTooLong);
        continue;
      }
      result.CheckOk(field, encoded.status());
      if (!encoded.ok()) continue;
      result.CheckEqual(field, encoded->ids, item.at(field).get<std::vector<int32_t>>());
    }
  }
}

}  // namespace attnd::golden
