// Goal: the same ids, offsets and decoded texts as the reference, on random Unicode. Method: the
// tokenizer fuzz files of the golden folder's format: the one in tests/data always, and with
// ATTND_GOLDEN_DIR set each one there whose tokenizer.json lies beside it (or, for
// all-MiniLM-L6-v2, in the directory ATTND_MODEL).
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tests/input/tokenizer_fixture.h"

namespace attnd {
namespace {

namespace fs = std::filesystem;

using Offset = Tokenized::Offset;

// Where each code point begins, by byte; the end of the text too.
std::vector<int32_t> CodePointStarts(std::string_view text) {
  std::vector<int32_t> starts;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || (text[i] & 0xC0) != 0x80) starts.push_back(static_cast<int32_t>(i));
  }
  return starts;
}

int32_t Utf16Units(std::string_view text) {
  int32_t units = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    units += (byte & 0xC0) == 0x80 ? 0 : byte >= 0xF0 ? 2 : 1;
  }
  return units;
}

// Byte and UTF-16 offsets come from the library another way than code points; each converts to the
// others.
void ExpectUnitsAgree(const Tokenizer& tokenizer, const std::string& text,
                      const std::vector<Offset>& code_points) {
  const auto bytes = tokenizer.Encode(text, std::nullopt,
                                      {.length_max = 1 << 20, .offset_unit = OffsetUnit::kByte});
  const auto utf16 = tokenizer.Encode(text, std::nullopt,
                                      {.length_max = 1 << 20, .offset_unit = OffsetUnit::kUtf16});
  ASSERT_TRUE(bytes.ok() && utf16.ok());
  ASSERT_EQ(bytes->offsets.size(), code_points.size());
  ASSERT_EQ(utf16->offsets.size(), code_points.size());
  const std::vector<int32_t> starts = CodePointStarts(text);
  const auto utf16_of = [&](int32_t byte) {
    return Utf16Units(std::string_view(text).substr(0, byte));
  };
  for (size_t i = 0; i < code_points.size(); ++i) {
    const Offset expected{starts.at(code_points[i].start), starts.at(code_points[i].end)};
    EXPECT_EQ(bytes->offsets[i], expected) << "token " << i;
    EXPECT_EQ(utf16->offsets[i], (Offset{utf16_of(expected.start), utf16_of(expected.end)}));
  }
}

void RunCase(const Tokenizer& tokenizer, const nlohmann::json& fuzz_case) {
  SCOPED_TRACE("case " + fuzz_case["id"].get<std::string>());
  const auto text = fuzz_case["text"].get<std::string>();
  const auto encoded = tokenizer.Encode(text, std::nullopt, {.length_max = 1 << 20});
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(encoded->ids, fuzz_case["ids"].get<std::vector<int32_t>>());
  std::vector<Offset> offsets;
  for (const auto& pair : fuzz_case["offsets"]) offsets.push_back({pair[0], pair[1]});
  EXPECT_EQ(encoded->offsets, offsets);
  EXPECT_EQ(*tokenizer.Decode(encoded->ids, true), fuzz_case["skip"].get<std::string>());
  EXPECT_EQ(*tokenizer.Decode(encoded->ids, false), fuzz_case["raw"].get<std::string>());
  ExpectUnitsAgree(tokenizer, text, encoded->offsets);
}

// Returns the number of cases.
size_t RunFile(const fs::path& file, const fs::path& tokenizer_json) {
  SCOPED_TRACE(file.string());
  const auto tokenizer = LoadOrFail(ReadFile(tokenizer_json));
  const auto cases = nlohmann::json::parse(ReadFile(file))["cases"];
  if (tokenizer == nullptr) return 0;
  for (const auto& fuzz_case : cases) RunCase(*tokenizer, fuzz_case);
  std::cout << file.filename().string() << ": " << cases.size() << " cases\n";
  return cases.size();
}

TEST(TokenizerGoldenTest, TheSmallBertMatchesTheReference) {
  const fs::path data = TestDataDir();
  EXPECT_EQ(RunFile(data / "cases/fuzz-wp1000.json", data / "models/bert-a/tokenizer.json"), 300u);
}

TEST(TokenizerGoldenTest, EveryTokenizerOfTheGoldenFolderMatchesTheReference) {
  const char* golden = std::getenv("ATTND_GOLDEN_DIR");
  if (golden == nullptr || *golden == 0) GTEST_SKIP() << "ATTND_GOLDEN_DIR is not set";
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(golden) / "cases")) {
    const std::string name = entry.path().filename();
    if (name.rfind("fuzz-", 0) != 0 || entry.path().extension() != ".json") continue;
    const auto model = nlohmann::json::parse(ReadFile(entry.path()))["model"].get<std::string>();
    fs::path tokenizer_json = fs::path(golden) / model / "tokenizer.json";
    if (model == "models/all-MiniLM-L6-v2" && std::getenv("ATTND_MODEL") != nullptr) {
      tokenizer_json = fs::path(std::getenv("ATTND_MODEL")) / "tokenizer.json";
    }
    if (!fs::exists(tokenizer_json)) {
      std::cout << name << ": left out, there is no " << model << "\n";
      continue;
    }
    EXPECT_GT(RunFile(entry.path(), tokenizer_json), 0u);
    ++files;
  }
  EXPECT_GE(files, 1u);
}

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// Keys like "only_first_16": the ids of the pair when cut to 16 tokens; null if that cannot be
// done.
void ExpectPairTruncations(const Tokenizer& tokenizer, const nlohmann::json& pair_case) {
  static const std::pair<std::string, PairTruncation> kStrategies[] = {
      {"longest_first_", PairTruncation::kLongestFirst},
      {"only_first_", PairTruncation::kFirst},
      {"only_second_", PairTruncation::kSecond}};
  for (const auto& [strategy, pair_truncation] : kStrategies) {
    for (const int32_t limit : {16, 33, 64}) {
      const std::string key = strategy + std::to_string(limit);
      SCOPED_TRACE(key);
      const auto cut = tokenizer.Encode(pair_case["text"].get<std::string>(),
                                        pair_case["text_pair"].get<std::string>(),
                                        {.truncation = Truncation::kRight,
                                         .pair_truncation = pair_truncation,
                                         .length_max = limit});
      EXPECT_EQ(cut.ok(), !pair_case.at(key).is_null());
      if (!cut.ok()) continue;
      EXPECT_EQ(cut->ids, pair_case[key].get<std::vector<int32_t>>());
    }
  }
}

void RunTextCase(const Tokenizer& tokenizer, const nlohmann::json& text_case) {
  SCOPED_TRACE(text_case["id"].get<std::string>());
  const std::string kind = text_case["kind"];
  if (kind == "invalid_utf8") {
    const auto refused = tokenizer.Encode(FromHex(text_case["hex"]), std::nullopt, {});
    EXPECT_EQ(ReasonOf(refused.status()), TokenizeFailure::kNotUtf8);
    return;
  }
  const auto text = text_case["text"].get<std::string>();
  const auto pair = text_case.value("text_pair", std::string());
  const auto encoded =
      tokenizer.Encode(text, pair,
                       {.truncation = Truncation::kRight,
                        .length_max = text_case.value("max_length", int32_t{1} << 20)});
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(encoded->ids, text_case["ids"].get<std::vector<int32_t>>());
  if (kind == "truncation") {
    EXPECT_EQ(encoded->length_before_truncation, text_case["untruncated_length"].get<int32_t>());
    const Offset last = encoded->offsets.at(encoded->offsets.size() - 2);
    EXPECT_EQ(last.start, text_case["last_offset"][0].get<int32_t>());
    EXPECT_EQ(last.end, text_case["last_offset"][1].get<int32_t>());
    return;
  }
  EXPECT_EQ(encoded->types, text_case["type_ids"].get<std::vector<int32_t>>());
  EXPECT_EQ(encoded->strings, text_case["tokens"].get<std::vector<std::string>>());
  std::vector<Offset> offsets;
  for (const auto& offset : text_case["offsets"]) offsets.push_back({offset[0], offset[1]});
  EXPECT_EQ(encoded->offsets, offsets);
  if (kind == "pair") ExpectPairTruncations(tokenizer, text_case);
}

TEST(TokenizerGoldenTest, TheDefaultModelsTextsPairsAndTruncationsMatchTheReference) {
  const char* golden = std::getenv("ATTND_GOLDEN_DIR");
  const char* model = std::getenv("ATTND_MODEL");
  if (golden == nullptr || *golden == 0 || model == nullptr || *model == 0) {
    GTEST_SKIP() << "ATTND_GOLDEN_DIR or ATTND_MODEL is not set";
  }
  const auto tokenizer = LoadOrFail(ReadFile(fs::path(model) / "tokenizer.json"));
  ASSERT_NE(tokenizer, nullptr);
  int count = 0;
  const auto file = nlohmann::json::parse(ReadFile(fs::path(golden) / "cases/minilm.json"));
  for (const auto& text_case : file["cases"]) {
    if (!text_case.contains("ids")) continue;  // Batches and similarities have no tokens.
    RunTextCase(*tokenizer, text_case);
    ++count;
  }
  EXPECT_EQ(count, 187);
}

}  // namespace
}  // namespace attnd
