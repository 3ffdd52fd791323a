// Goal: a tokenizer.json that is cut, lying or hostile ends in one line of Status, never in a
// crash, a hang or an unusable tokenizer. Method: the small BERT file with one thing changed; then
// 500 random changes with a fixed seed.
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/input/tokenizer_fixture.h"

namespace attnd {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

json Bert() { return json::parse(BertJson()); }

// The message of the refusal; one line of a sensible length.
std::string Refusal(const std::string& text) {
  const auto tokenizer = Tokenizer::Load(text);
  EXPECT_FALSE(tokenizer.ok());
  if (tokenizer.ok()) return "";
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(tokenizer.status().message());
  EXPECT_FALSE(message.empty());
  EXPECT_THAT(message, Not(HasSubstr("\n")));
  EXPECT_LE(message.size(), 1300u);
  return message;
}
std::string Refusal(const json& value) { return Refusal(value.dump()); }

TEST(TokenizerLoadTest, WhatIsNoTokenizerJsonIsRefused) {
  for (const char* text : {"", " ", "{", "[]", "null", "{}", "{\"version\": \"1.0\"}", "\xff\xfe",
                           "{\"model\": 3}", "{\"model\": {\"type\": \"WordPiece\"}}"}) {
    SCOPED_TRACE(text);
    Refusal(std::string(text));
  }
  Refusal(std::string(1000, '\0'));
}

TEST(TokenizerLoadTest, EveryTruncationIsRefused) {
  const std::string text = BertJson();
  for (size_t size = 0; size + 2 < text.size(); size += 97) Refusal(text.substr(0, size));
}

// A sequence of one normalizer, `levels` times.
json NestedNormalizer(int levels) {
  std::string text = R"({"type": "Lowercase"})";
  for (int i = 0; i < levels; ++i) {
    text = R"({"type": "Sequence", "normalizers": [)" + text + "]}";
  }
  return json::parse(text);
}

TEST(TokenizerLoadTest, DeepNestingIsRefusedBeforeItIsParsed) {
  json file = Bert();
  file["normalizer"] = NestedNormalizer(30);
  EXPECT_EQ(Refusal(file), "has 62 levels of nesting, more than 12");
  EXPECT_THAT(Refusal(std::string(5'000'000, '[')), HasSubstr("has 5000000 levels of nesting"));
}

TEST(TokenizerLoadTest, ShallowNestingIsFineAndBracketsInStringsDoNotCount) {
  json file = Bert();
  file["normalizer"] = NestedNormalizer(5);
  file["model"]["vocab"]["\\\"" + std::string(100, '[')] = 1000;
  const auto tokenizer = LoadOrFail(file.dump());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->id_end(), 1001);
}

TEST(TokenizerLoadTest, TooManyObjectsOrStringsAreRefusedBeforeTheyAreParsed) {
  std::string objects = "[{}";
  for (int i = 1; i < 100'001; ++i) objects += ",{}";
  EXPECT_EQ(Refusal(objects + "]"), "has 100001 objects, more than 100000");
  std::string strings = "[\"\"";
  for (int i = 1; i < 2'000'001; ++i) strings += ",\"\"";
  EXPECT_EQ(Refusal(strings + "]"), "has 2000001 strings, more than 2000000");
}

TEST(TokenizerLoadTest, IdsThatDoNotFitAreRefused) {
  json file = Bert();
  file["model"]["vocab"]["zebra"] = 4294967295u;
  EXPECT_THAT(Refusal(file), HasSubstr("4294967295"));
  file["model"]["vocab"]["zebra"] = 4294967296u;
  Refusal(file);
  file["model"]["vocab"]["zebra"] = -1;
  Refusal(file);
  file["model"]["vocab"]["zebra"] = 1e300;
  Refusal(file);
  file["model"]["vocab"] = json::object();
  file["added_tokens"] = json::array();
  EXPECT_EQ(Refusal(file), "the vocabulary is empty");
}

TEST(TokenizerLoadTest, TheIdEndCoversWhatTheTemplateAdds) {
  json file = Bert();
  file["post_processor"]["special_tokens"]["[SEP]"]["ids"][0] = 5000;
  const auto tokenizer = LoadOrFail(file.dump());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->id_end(), 5001);
  EXPECT_EQ(tokenizer->vocabulary_size(), 1000);

  file["post_processor"]["special_tokens"]["[SEP]"]["ids"][0] = 2147483647;
  EXPECT_THAT(Refusal(file), HasSubstr("2147483647"));
}

TEST(TokenizerLoadTest, TemplatesThatRepeatOrDropATextAreRefused) {
  const std::string text = R"({"Sequence": {"id": "A", "type_id": 0}})";
  const std::string other = R"({"Sequence": {"id": "B", "type_id": 1}})";
  const std::string separator = R"({"SpecialToken": {"id": "[SEP]", "type_id": 0}})";
  const auto times = [](int count, const std::string& piece) {
    std::string pieces = piece;
    for (int i = 1; i < count; ++i) pieces += "," + piece;
    return pieces;
  };
  const std::pair<std::string, std::string> kTemplates[] = {
      {"single", ""},
      {"single", text + "," + text},
      {"single", separator},
      {"single", other},
      {"single", text + "," + other},
      {"single", times(30'000, text)},
      {"single", times(300, separator) + "," + text},
      {"single", text + R"(,{"SpecialToken": {"id": "[X]"}})"},
      {"single", text + ",{}"},
      {"pair", text},
      {"pair", other + "," + separator},
      {"pair", text + "," + other + "," + other},
      {"pair", times(300, separator) + "," + text + "," + other},
  };
  for (const auto& [name, pieces] : kTemplates) {
    SCOPED_TRACE(name + " " + pieces.substr(0, 200));
    json file = Bert();
    file["post_processor"][name] = json::parse("[" + pieces + "]");
    Refusal(file);
  }
}

// Found by fuzzing: the arrays that cross the border had different lengths.
TEST(TokenizerLoadTest, ASpecialTokenHasAsManyIdsAsTokens) {
  for (const char* name : {"[CLS]", "[SEP]"}) {
    for (const char* array : {"ids", "tokens"}) {
      json file = Bert();
      json& values = file["post_processor"]["special_tokens"][name][array];
      const json value = values[0];
      values.push_back(value);
      values.push_back(value);
      EXPECT_EQ(Refusal(file), "post_processor adds other numbers of ids and tokens");
    }
  }
  json file = Bert();
  json& special = file["post_processor"]["special_tokens"]["[SEP]"];
  special["ids"] = {3, 2};
  special["tokens"] = {"[SEP]", "[CLS]"};
  const auto tokenizer = LoadOrFail(file.dump());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->Encode("a", std::nullopt, {})->strings.back(), "[CLS]");
}

// Unicode outside the vocabulary would fail at the first request otherwise.
TEST(TokenizerLoadTest, ATokenizerWithoutItsUnknownTokenIsRefused) {
  json file = Bert();
  file["model"]["unk_token"] = "[NONE]";
  EXPECT_THAT(Refusal(file), HasSubstr("Missing [UNK] token"));
}

TEST(TokenizerLoadTest, RandomTokenizationIsRefused) {
  json file = Bert();
  file["model"] = json::parse(R"({"type": "BPE", "dropout": 0.5, "unk_token": "[UNK]",
    "vocab": {"a": 0, "b": 1, "ab": 2, "[UNK]": 3}, "merges": ["a b"]})");
  file["post_processor"] = nullptr;
  EXPECT_THAT(Refusal(file), HasSubstr("dropout"));
  file["model"]["dropout"] = nullptr;
  EXPECT_NE(LoadOrFail(file.dump()), nullptr);
}

TEST(TokenizerLoadTest, ATokenizerWithoutPostProcessorAddsNothing) {
  json file = Bert();
  file["post_processor"] = nullptr;
  const auto tokenizer = LoadOrFail(file.dump());
  ASSERT_NE(tokenizer, nullptr);
  const auto encoded = tokenizer->Encode("the list", "or a", {});
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_THAT(encoded->strings, ::testing::ElementsAre("the", "list", "or", "a"));
  EXPECT_THAT(encoded->text_indices, ::testing::ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(encoded->types, ::testing::ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(encoded->special, ::testing::ElementsAre(0, 0, 0, 0));
}

// One random change: bytes flipped, cut out, repeated, or a number or word replaced by a hostile
// one.
std::string Mutate(const std::string& text, std::mt19937& random) {
  // The file's first 1,500 bytes hold all but the vocabulary; its last 1,000 end it.
  const size_t at = random() % 4 == 0 ? random() % text.size() : random() % 2500;
  const size_t position = at < 1500 ? at : text.size() - (at - 1499) % text.size();
  const size_t length = std::min<size_t>(random() % 40, text.size() - position);
  static constexpr const char* kHostile[] = {
      "4294967295", "-1",          "1e999",         "99999999999999999999",
      "null",       "true",        "\"\"",          "[]",
      "{}",         "[[[[",        "}}}}",          "\"\\ud800\"",
      "\"BPE\"",    "\"Unigram\"", "\"ByteLevel\"", "\"Sequence\""};
  std::string mutated = text;
  switch (random() % 4) {
    case 0:
      mutated[position] = static_cast<char>(random());
      break;
    case 1:
      mutated.erase(position, length);
      break;
    case 2:
      mutated.insert(position, text.substr(position, length));
      break;
    default: {
      const size_t end = text.find_first_of(",}]", position);
      const size_t begin = text.find_last_of(":[,", position);
      if (end == std::string::npos || begin == std::string::npos || end <= begin) break;
      mutated.replace(begin + 1, end - begin - 1, kHostile[random() % std::size(kHostile)]);
    }
  }
  return mutated;
}

TEST(TokenizerLoadTest, FiveHundredMutationsNeverCrashLoadOrEncode) {
  const std::string text = BertJson();
  std::mt19937 random(20261123);
  int loaded = 0;
  for (int i = 0; i < 500; ++i) {
    const auto tokenizer = Tokenizer::Load(Mutate(text, random));
    if (!tokenizer.ok()) {
      EXPECT_THAT(std::string(tokenizer.status().message()), Not(HasSubstr("\n")));
      continue;
    }
    ++loaded;
    const auto encoded = (*tokenizer)->Encode("The list, or \U0001F600 returns", "a pair", {});
    if (!encoded.ok()) continue;
    for (const int32_t id : encoded->ids) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, (*tokenizer)->id_end());
    }
    EXPECT_EQ(encoded->strings.size(), encoded->ids.size());
    EXPECT_TRUE((*tokenizer)->Decode(encoded->ids, false).ok());
  }
  // Both ways must be met for the test to mean anything.
  EXPECT_GT(loaded, 25);
  EXPECT_LT(loaded, 475);
}

}  // namespace
}  // namespace attnd
