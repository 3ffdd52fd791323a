// Goal: no tokenizer.json, however made, and no text with it, ends in more than a refusal of one
// line: no panic passes the border to the Rust library, and what comes across it is what the header
// promises, for C++ indexes tables and texts by it. Method: the input is a tokenizer.json, a text
// and perhaps a second one; what loads encodes them in three ways and decodes what came of it.
#include <algorithm>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/input/tokenizer.h"
#include "tests/fuzz/json_mutator.h"
#include "tests/fuzz/parts.h"

namespace attnd {
namespace {

constexpr size_t kPartsMax = 3;  // The file, a text, a second one.

void CheckRefusal(const absl::Status& status) {
  const std::string message(status.message());
  CHECK_THAT(!message.empty() && message.size() <= 1300);
  CHECK_THAT(std::none_of(message.begin(), message.end(),
                          [](char c) { return static_cast<unsigned char>(c) < ' '; }));
}

// Of UTF-8.
int32_t LengthIn(OffsetUnit unit, std::string_view text) {
  size_t length = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool begins = (byte & 0xC0) != 0x80;
    if (unit == OffsetUnit::kByte) {
      length += 1;
    } else if (begins) {
      length += unit == OffsetUnit::kUtf16 && byte >= 0xF0 ? 2 : 1;
    }
  }
  return static_cast<int32_t>(length);
}

struct Texts {
  std::string first;
  std::optional<std::string> second;
};

void CheckPlaces(const Tokenized& tokens, const Texts& texts, OffsetUnit unit) {
  const size_t count = tokens.ids.size();
  CHECK_THAT(tokens.strings.size() == count && tokens.offsets.size() == count);
  CHECK_THAT(tokens.word_ids.size() == count);
  const int32_t lengths[] = {LengthIn(unit, texts.first),
                             LengthIn(unit, texts.second.value_or(""))};
  for (size_t i = 0; i < count; ++i) {
    CHECK_THAT(tokens.word_ids[i] >= -1);
    const Tokenized::Offset& offset = tokens.offsets[i];
    const int32_t text = tokens.text_indices[i];
    CHECK_THAT(0 <= offset.start && offset.start <= offset.end);
    CHECK_THAT(offset.end <= (text < 0 ? 0 : lengths[text]));
  }
}

void CheckTokens(const Tokenized& tokens, const Tokenizer& tokenizer, const Texts& texts,
                 const TokenizeOptions& options) {
  const size_t count = tokens.ids.size();
  CHECK_THAT(count <= static_cast<size_t>(options.length_max));
  CHECK_THAT(tokens.types.size() == count && tokens.text_indices.size() == count);
  CHECK_THAT(tokens.special.size() == count);
  CHECK_THAT(tokens.length_before_truncation >= static_cast<int32_t>(count));
  CHECK_THAT(tokens.truncated == (tokens.length_before_truncation > static_cast<int32_t>(count)));
  const int32_t texts_end = texts.second.value_or("").empty() ? 1 : 2;
  for (size_t i = 0; i < count; ++i) {
    CHECK_THAT(0 <= tokens.ids[i] && tokens.ids[i] < tokenizer.id_end());
    CHECK_THAT(tokens.special[i] <= 1);
    CHECK_THAT(-1 <= tokens.text_indices[i] && tokens.text_indices[i] < texts_end);
  }
  if (options.return_strings) CheckPlaces(tokens, texts, options.offset_unit);
}

void Encode(const Tokenizer& tokenizer, const Texts& texts, const TokenizeOptions& options) {
  const auto tokens = tokenizer.Encode(texts.first, texts.second, options);
  if (!tokens.ok()) return CheckRefusal(tokens.status());
  CheckTokens(*tokens, tokenizer, texts, options);
  if (tokens->ids.empty()) return;
  const auto text = tokenizer.Decode(tokens->ids, options.add_special_tokens);
  if (!text.ok()) CheckRefusal(text.status());
  const auto token = tokenizer.TokenOf(tokens->ids.front());
  if (token) (void)tokenizer.IdOf(*token);  // Several ids may have one token.
}

// One way with places, one that cuts, one without strings, each chosen by the input itself: all of
// them together would take several times as long as to load the file.
void EncodeInSomeWays(const Tokenizer& tokenizer, const Texts& texts, size_t choice) {
  constexpr OffsetUnit kUnits[] = {OffsetUnit::kCodePoint, OffsetUnit::kByte, OffsetUnit::kUtf16};
  constexpr PairTruncation kPairs[] = {PairTruncation::kLongestFirst, PairTruncation::kFirst,
                                       PairTruncation::kSecond};
  Encode(tokenizer, texts, {.offset_unit = kUnits[choice % 3]});
  Encode(tokenizer, texts,
         {.truncation = choice / 3 % 2 == 0 ? Truncation::kLeft : Truncation::kRight,
          .pair_truncation = kPairs[choice / 6 % 3],
          .length_max = static_cast<int32_t>(1 + choice / 18 % 8),
          .offset_unit = kUnits[choice / 2 % 3]});
  Encode(tokenizer, texts,
         {.add_special_tokens = false, .length_max = 64, .return_strings = false});
}

void Run(std::string_view input) {
  const std::vector<std::string> parts = SplitParts(input, kPartsMax);
  const auto tokenizer = Tokenizer::Load(parts[0]);
  if (!tokenizer.ok()) return CheckRefusal(tokenizer.status());
  CHECK_THAT((*tokenizer)->id_end() > 0 && (*tokenizer)->vocabulary_size() > 0);
  CHECK_THAT(!(*tokenizer)->Decode(std::vector<int32_t>{(*tokenizer)->id_end()}, false).ok());
  Texts texts;
  if (parts.size() > 1) texts.first = parts[1];
  if (parts.size() > 2) texts.second = parts[2];
  EncodeInSomeWays(**tokenizer, texts, std::hash<std::string_view>()(input));
}

}  // namespace
}  // namespace attnd

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,
                                          unsigned seed) {
  std::minstd_rand random(seed);
  return attnd::MutateParts(data, size, size_max, attnd::kPartsMax, random,
                            [&](size_t index, std::string_view part, size_t part_size_max) {
                              return index == 0 ? attnd::MutateJson(part, part_size_max, random)
                                                : attnd::MutateBytes(part, part_size_max);
                            });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attnd::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
