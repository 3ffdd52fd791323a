// Goal: each command of attnctl prints what its help promises and exits 0 only when all went well.
// Method: whole command lines against a fake server, with strings for the terminal.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "client/commands/attend_json.h"
#include "client/commands/similarity.h"
#include "nlohmann/json.hpp"
#include "tests/client/fake_server.h"
#include "tests/client/run_attnctl.h"

namespace attnd::client {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(AttnctlEncode, PrintsTokensVectorsAndSimilarities) {
  FakeServer server;
  const Outcome outcome = Attnctl({"encode", "--target", server.target(), "one", "three"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out, HasSubstr("[CLS]"));
  EXPECT_THAT(outcome.out, HasSubstr("[0,4)"));
  EXPECT_THAT(outcome.out, HasSubstr("0.1000"));
  EXPECT_THAT(outcome.out, HasSubstr("pooled (1)"));
  EXPECT_THAT(outcome.out, HasSubstr("cosine similarity"));
  EXPECT_THAT(outcome.out, HasSubstr("1.000"));
}

TEST(AttnctlEncode, OneTextHasNoSimilarities) {
  FakeServer server;
  const Outcome outcome = Attnctl({"encode", "--target", server.target(), "--no-vectors", "one"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out, Not(HasSubstr("similarity")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("0.1000")));
}

TEST(AttnctlEncode, WhatNoFlagNamesIsLeftToTheServer) {
  FakeServer server;
  EXPECT_EQ(Attnctl({"encode", "--target", server.target(), "one"}).code, 0);
  v1::EncodeOptions expected;
  expected.set_return_tokens(true);
  expected.set_return_token_vectors(true);
  EXPECT_EQ(server.encoder.last_options().ShortDebugString(), expected.ShortDebugString());
}

TEST(AttnctlEncode, FlagsBecomeOptions) {
  FakeServer server;
  EXPECT_EQ(Attnctl({"encode", "--target", server.target(), "--pooling", "cls", "--no-normalize",
                     "--truncate", "left", "--max-length", "9", "--no-special-tokens", "--offsets",
                     "utf16", "--no-vectors", "one"})
                .code,
            0);
  v1::EncodeOptions expected;
  expected.set_return_tokens(true);
  expected.set_return_token_vectors(false);
  expected.set_pooling(v1::POOLING_CLS);
  expected.set_normalize(false);
  expected.set_truncation(v1::TRUNCATION_LEFT);
  expected.set_max_length(9);
  expected.set_add_special_tokens(false);
  expected.set_offset_unit(v1::OFFSET_UNIT_UTF16);
  EXPECT_EQ(server.encoder.last_options().ShortDebugString(), expected.ShortDebugString());
  EXPECT_EQ(Attnctl({"encode", "--target", server.target(), "--normalize", "one"}).code, 0);
  EXPECT_TRUE(server.encoder.last_options().normalize());
}

TEST(AttnctlEncode, RepresentationFlagsBecomeOptions) {
  FakeServer server;
  const auto options = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"encode", "--target", server.target(), "--no-vectors"});
    flags.emplace_back("one");
    const Outcome outcome = Attnctl(flags);
    EXPECT_EQ(outcome.code, 0) << outcome.error;
    v1::EncodeOptions sent = server.encoder.last_options();
    sent.clear_return_tokens();
    sent.clear_return_token_vectors();
    return sent.ShortDebugString();
  };
  EXPECT_EQ(options({"--layers", "0,-1", "--combine", "mean"}),
            "hidden_layers { layers: 0 layers: -1 combination: LAYER_COMBINATION_MEAN }");
  EXPECT_EQ(options({"--layers", "3"}), "hidden_layers { layers: 3 }");
  EXPECT_EQ(options({"--spans", "words"}), "spans { kind: SPAN_KIND_WORDS }");
  EXPECT_EQ(options({"--spans", "sentences"}), "spans { kind: SPAN_KIND_SENTENCES }");
  EXPECT_EQ(options({"--spans", "chunks:8"}), "spans { kind: SPAN_KIND_CHUNKS chunk_tokens: 8 }");
  EXPECT_EQ(options({"--spans", "chunks:8:2"}),
            "spans { kind: SPAN_KIND_CHUNKS chunk_tokens: 8 chunk_overlap: 2 }");
  EXPECT_EQ(options({"--windows"}), "windows { }");
  EXPECT_EQ(options({"--window-length", "64", "--stride", "16"}),
            "windows { length: 64 stride: 16 }");
  EXPECT_EQ(options({"--encoding", "bf16", "--dimensions", "64", "--prompt-name", "query"}),
            "vector_encoding: VECTOR_ENCODING_BFLOAT16 dimensions: 64 prompt_name: \"query\"");
  EXPECT_EQ(options({"--prompt", ""}), "prompt: \"\"");
  EXPECT_EQ(options({"--sparse", "--multi-vector", "--drop-special"}),
            "return_sparse: true return_multi_vector: true drop_special_tokens: true");
}

TEST(AttnctlEncode, PrintsWhatWasAskedForBesides) {
  FakeServer server;
  const Outcome outcome =
      Attnctl({"encode", "--target", server.target(), "--layers", "0,3", "--spans", "words",
               "--windows", "--sparse", "--multi-vector", "one"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out, HasSubstr("  windows [0,1) [0,2)\n"));
  EXPECT_THAT(outcome.out, HasSubstr("  hidden states 2 of 2 (2 x 1)\n"
                                     "    [CLS]  [  3.0000]\n"
                                     "    caf\u00e9   [  3.5000]\n"));
  EXPECT_THAT(outcome.out, HasSubstr("  spans (1)\n    caf\u00e9  [0,4)  [  0.2500   0.7500]\n"));
  EXPECT_THAT(outcome.out,
              HasSubstr("  multi-vectors (1 x 2)\n    caf\u00e9  [  0.0000   1.0000]\n"));
  EXPECT_THAT(outcome.out, HasSubstr("  sparse (2 weights, the largest 2)\n"
                                     "    token9  9  1.1250\n"
                                     "    token5  5  0.6250\n"));
}

TEST(AttnctlEncode, JsonlHasWhatWasAskedForBesidesAndNothingElse) {
  FakeServer server;
  const std::string line = "{\"text\": \"a\"}\n";
  const Outcome plain = Attnctl({"encode", "--target", server.target(), "--jsonl"}, line);
  std::vector<std::string> keys;
  const json plain_answer = json::parse(plain.out);
  for (const auto& [key, value] : plain_answer.items()) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("id", "ids", "offsets", "pooled", "special", "tokens", "truncated",
                                "vectors"));
  const Outcome full = Attnctl({"encode", "--target", server.target(), "--jsonl", "--layers", "0,3",
                                "--spans", "words", "--windows", "--sparse", "--multi-vector"},
                               line);
  const json answer = json::parse(full.out);
  EXPECT_EQ(answer["hidden_layers"], json::parse("[[[0],[0.5]],[[3],[3.5]]]"));
  EXPECT_EQ(answer["spans"], json::parse(R"([{"start": 0, "end": 4, "text_index": 0,
                                              "first_token": 1, "end_token": 2}])"));
  EXPECT_EQ(answer["span_vectors"], json::parse("[[0.25,0.75]]"));
  EXPECT_EQ(answer["sparse"], json::parse(R"({"ids": [5, 9], "weights": [0.625, 1.125],
                                              "tokens": ["token5", "token9"]})"));
  EXPECT_EQ(answer["multi_vectors"], json::parse("[[0,1]]"));
  EXPECT_EQ(answer["kept_tokens"], json({1}));
  EXPECT_EQ(answer["windows"], json::parse("[[0,1],[0,2]]"));
}

TEST(AttnctlEncode, ARefusedTextIsPrintedWithItsReasonAndFields) {
  FakeServer server;
  const Outcome outcome = Attnctl({"encode", "--target", server.target(), "one", "refuse"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("\"one\""));
  EXPECT_THAT(outcome.error, HasSubstr("INVALID_ARGUMENT (TOO_LONG): inputs[0] has 600 tokens"));
  EXPECT_THAT(outcome.error, HasSubstr("inputs[0].text: 600 tokens"));
}

TEST(AttnctlEncode, AStreamThatFailsAfterItsLastAnswerIsPrinted) {
  FakeServer server;
  const Outcome outcome = Attnctl({"encode", "--target", server.target(), "last"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.error, HasSubstr("shutting down"));
}

TEST(AttnctlEncode, TextsHaveADeadlineAndLinesOnlyOneThatIsGiven) {
  FakeServer server;
  EXPECT_EQ(Attnctl({"encode", "--target", server.target(), "one"}).code, 0);
  EXPECT_TRUE(server.encoder.stream_had_deadline);
  const std::string line = "{\"text\": \"one\"}\n";
  EXPECT_EQ(Attnctl({"encode", "--jsonl", "--target", server.target()}, line).code, 0);
  EXPECT_FALSE(server.encoder.stream_had_deadline);
  EXPECT_EQ(
      Attnctl({"encode", "--jsonl", "--deadline", "60", "--target", server.target()}, line).code,
      0);
  EXPECT_TRUE(server.encoder.stream_had_deadline);
}

TEST(AttnctlEncode, WhatIsNotAnsweredByTheDeadlineIsPrintedAsThat) {
  FakeServer server;
  server.encoder.reverse_group = 2;  // The first answer waits for the second text, which waits.
  const Outcome outcome = Attnctl(
      {"encode", "--target", server.target(), "--window", "1", "--deadline", "0.05", "one", "two"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.error, HasSubstr("DEADLINE_EXCEEDED"));
}

TEST(AttnctlEncode, JsonlAnswersEachLineInOrder) {
  FakeServer server;
  server.encoder.reverse_group = 3;
  const Outcome outcome =
      Attnctl({"encode", "--target", server.target(), "--jsonl"},
              "{\"text\": \"a\", \"id\": 1}\n{\"ids\": [4, 5, 6], \"id\": \"two\"}\n"
              "{\"text\": \"\", \"text_pair\": \"seven 7\"}\n");
  EXPECT_EQ(outcome.code, 0) << outcome.out;
  std::istringstream lines(outcome.out);
  std::string line;
  std::vector<json> answers;
  while (std::getline(lines, line)) answers.push_back(json::parse(line));
  ASSERT_EQ(answers.size(), 3U);
  EXPECT_EQ(answers[0]["id"], 1);
  EXPECT_EQ(answers[0]["pooled"], json({1}));
  EXPECT_EQ(answers[0]["vectors"].size(), 2U);
  EXPECT_EQ(answers[1]["id"], "two");
  EXPECT_EQ(answers[1]["pooled"], json({3}));
  EXPECT_EQ(answers[2]["pooled"], json({7}));
}

TEST(AttnctlEncode, JsonlExitsWithOneIfAnyLineIsAnError) {
  FakeServer server;
  const Outcome outcome =
      Attnctl({"encode", "--target", server.target(), "--jsonl"},
              "{\"text\": \"a\"}\nnonsense\n{\"text\": \"refuse\", \"id\": 3}\n");
  EXPECT_EQ(outcome.code, 1);
  std::istringstream lines(outcome.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_TRUE(json::parse(line).contains("pooled"));
  std::getline(lines, line);
  EXPECT_THAT(json::parse(line)["error"]["message"].get<std::string>(), HasSubstr("line 2"));
  std::getline(lines, line);
  EXPECT_EQ(json::parse(line)["error"]["reason"], "TOO_LONG");
  EXPECT_EQ(json::parse(line)["id"], 3);
}

TEST(AttnctlHealth, ExitsWithZeroOnlyIfServing) {
  FakeServer server;
  EXPECT_EQ(Attnctl({"health", "--target", server.target()}).code, 0);
  EXPECT_EQ(Attnctl({"health", "--target", server.target(), "--service", "x"}).code, 1);
  server.health.serving = false;
  const Outcome outcome = Attnctl({"health", "--target", server.target()});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, "NOT_SERVING\n");
  EXPECT_EQ(Attnctl({"health", "--target", "unix:/nowhere/attnd.sock"}).code, 1);
}

TEST(AttnctlHealth, WatchPrintsEachChange) {
  FakeServer server;
  const Outcome outcome = Attnctl({"health", "--watch", "--target", server.target()});
  EXPECT_EQ(outcome.out, "SERVING\nNOT_SERVING\n");
  EXPECT_EQ(outcome.code, 1);
}

TEST(AttnctlModels, PrintsWhatIsServed) {
  FakeServer server;
  const Outcome outcome = Attnctl({"models", "--target", server.target()});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out, HasSubstr("fake"));
  EXPECT_THAT(outcome.out, HasSubstr("ffn.up: jit_1x1:avx2"));
  EXPECT_THAT(outcome.out, HasSubstr("compute     int8 on "));
  EXPECT_THAT(outcome.out,
              HasSubstr("accuracy    cosine to f32 0.99912 on average, 0.99750 at least, "
                        "ranking agreement 0.9950 over 40 texts\n"));
  EXPECT_THAT(outcome.out, HasSubstr("worst text  caf\u00e9 au lait\n"));
  EXPECT_THAT(outcome.out, HasSubstr("32 inputs a request"));
  EXPECT_THAT(outcome.out, HasSubstr("1024 bytes held"));
  EXPECT_THAT(outcome.out, HasSubstr("deadline 1.5 s by default"));
  EXPECT_THAT(outcome.out, HasSubstr("head        sequence labels (classify)\n"));
  EXPECT_THAT(outcome.out, HasSubstr("labels      NEGATIVE, POSITIVE (2)\n"));
  EXPECT_THAT(outcome.out, HasSubstr("scores      softmax\n"));
  EXPECT_THAT(outcome.out, HasSubstr("projection  128 dimensions"));
  EXPECT_THAT(outcome.out, HasSubstr("prompt      passage: \"search_document: \" (default)\n"));
  EXPECT_THAT(outcome.out, HasSubstr("prompt      query: \"search_query: \"\n"));
  EXPECT_EQ(Attnctl({"models", "other", "--target", server.target()}).code, 1);
}

TEST(AttnctlAttend, ReadsNestedArraysAndPrintsThem) {
  FakeServer server;
  const Outcome outcome =
      Attnctl({"attend", "--target", server.target()},
              R"({"query": [[1, 0]], "key": [[1, 0]], "value": [[0.5, "-inf"]], "scale": 2})");
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(json::parse(outcome.out),
            json::parse(R"({"output": [[[[0.5, "-inf"]]]], "weights": [2]})"));
  EXPECT_EQ(Attnctl({"attend", "--demo", "--target", server.target()}).code, 0);
  const Outcome bad =
      Attnctl({"attend", "--target", server.target()}, R"({"query": [[1], [2, 3]]})");
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.error, HasSubstr("\"query\" is not a nested array of equal rows"));
}

TEST(AttnctlLoad, PrintsCountsThatAddUp) {
  FakeServer server;
  const Outcome outcome = Attnctl({"load", "--target", server.target(), "--concurrency", "4",
                                   "--duration", "0.2", "--warmup", "0", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report["sent"].get<int>(), server.encoder.requests);
  EXPECT_EQ(report["sent"].get<int>(), report["codes"]["OK"].get<int>());
  EXPECT_EQ(report["failed"], 0);
  EXPECT_GT(report["latency_ms"]["p99"].get<double>(), 0);
}

TEST(AttnctlLoad, AsksForTheLengthThatItSendsAndRefusesWhatNoModelTakes) {
  FakeServer server;
  const auto load = [&](const std::string& length) {
    return Attnctl({"load", "--target", server.target(), "--concurrency", "1", "--duration", "0.1",
                    "--warmup", "0", "--length", length});
  };
  EXPECT_EQ(load("300").code, 0);
  EXPECT_EQ(server.encoder.last_options().max_length(), 512);
  const Outcome refused = load("513");
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.error, HasSubstr("--length 513 is more than the model's limit of 512"));
}

TEST(Attnctl, AWrongCommandLineExitsWithTwo) {
  EXPECT_EQ(Attnctl({}).code, 2);
  EXPECT_EQ(Attnctl({"sing"}).code, 2);
  EXPECT_EQ(Attnctl({"encode", "--pooling", "best", "x"}).code, 2);
  for (const char* spans :
       {"chunks", "chunks:0", "chunks:3:3", "chunks:2:-1", "chunks:a", "lines"}) {
    const Outcome bad = Attnctl({"encode", "--spans", spans, "x"});
    EXPECT_EQ(bad.code, 2) << spans;
    EXPECT_THAT(bad.error, HasSubstr(std::string("--spans: ") + spans + " is none of words"));
  }
  EXPECT_EQ(Attnctl({"encode", "--layers", "0,x", "x"}).code, 2);
  EXPECT_EQ(Attnctl({"encode", "--combine", "mean", "x"}).code, 2);
  EXPECT_EQ(Attnctl({"encode", "--prompt", "a", "--prompt-name", "b", "x"}).code, 2);
  EXPECT_EQ(Attnctl({"load", "--rate", "1", "--concurrency", "1"}).code, 2);
  const Outcome help = Attnctl({"encode", "--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("--jsonl"));
}

TEST(Similarity, IsTheCosine) {
  const std::vector<float> x = {3, 0};
  const std::vector<float> y = {0, 2};
  const std::vector<float> diagonal = {1, 1};
  EXPECT_DOUBLE_EQ(CosineSimilarity(x, x), 1);
  EXPECT_DOUBLE_EQ(CosineSimilarity(x, y), 0);
  EXPECT_NEAR(CosineSimilarity(x, diagonal), std::sqrt(0.5), 1e-12);
  EXPECT_EQ(CosineSimilarity(x, std::vector<float>{0, 0}), 0);
  EXPECT_THAT(CosineSimilarities({x, y}), ElementsAre(1, 0, 0, 1));
}

TEST(Similarity, LongTextsAreCutBetweenCharacters) {
  std::ostringstream out;
  std::string text;
  for (int i = 0; i < 50; ++i) text += "\u00e9";
  PrintSimilarities({text, "b"}, {{1}, {1}}, out);
  EXPECT_THAT(out.str(), HasSubstr("\u00e9..."));
  EXPECT_THAT(out.str(), Not(HasSubstr("\xc3...")));
}

TEST(ParseAttention, ReadsEveryFieldOfARequest) {
  const auto parsed = ParseAttention(R"({
      "query": [[[1, 2], [3, 4]]], "key": [[[1, 2]]], "value": [[[7]]], "causal": true,
      "window": 3, "key_mask": [true], "mask": [[1], [0]], "bias": [["-inf"], [0]],
      "fully_masked": "uniform", "return_weights": true, "allow_non_finite": true})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto& request = std::get<AttendRequest>(*parsed);
  EXPECT_THAT(request.query.shape, ElementsAre(1, 1, 2, 2));
  EXPECT_THAT(request.query.values, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(request.key_mask->shape, ElementsAre(1, 1));
  EXPECT_THAT(request.mask->shape, ElementsAre(1, 1, 2, 1));
  EXPECT_THAT(request.mask->values, ElementsAre(1, 0));
  EXPECT_EQ(request.bias->values[0], -std::numeric_limits<float>::infinity());
  EXPECT_EQ(request.fully_masked, FullyMasked::kUniform);
  EXPECT_EQ(request.window, 3);
  EXPECT_FALSE(request.scale.has_value());
  EXPECT_TRUE(request.causal && request.return_weights && request.allow_non_finite);
}

TEST(ParseAttention, SelfAttentionIsKnownByItsInput) {
  const auto parsed = ParseAttention(
      R"({"input": [[1, 2]], "w_q": [[1], [0]], "w_k": [[1], [0]], "w_v": [[1], [0]],
          "w_o": [[1]], "heads": 1, "positions": "sinusoidal"})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const auto& request = std::get<SelfAttentionRequest>(*parsed);
  EXPECT_THAT(request.w_q.shape, ElementsAre(2, 1));
  EXPECT_EQ(request.positions, Positions::kSinusoidal);
}

TEST(ParseAttention, AnErrorNamesTheField) {
  const auto message = [](std::string_view text) {
    return std::string(ParseAttention(text).status().message());
  };
  EXPECT_THAT(message("{}"), HasSubstr("\"query\" is missing"));
  EXPECT_THAT(message("[]"), HasSubstr("JSON object"));
  EXPECT_THAT(message(R"({"input": [["a"]]})"), HasSubstr("\"input\""));
  const std::string tensors = R"("query": [[1]], "key": [[1]], "value": [[1]])";
  EXPECT_THAT(message("{" + tensors + R"(, "causal": 1})"), HasSubstr("\"causal\""));
  EXPECT_THAT(message("{" + tensors + R"(, "window": 1e10})"), HasSubstr("\"window\""));
  EXPECT_THAT(message("{" + tensors + R"(, "mask": [[2]]})"), HasSubstr("\"mask\""));
  EXPECT_THAT(message("{" + tensors + R"(, "fully_masked": "no"})"), HasSubstr("zero, uniform"));
}

}  // namespace
}  // namespace attnd::client
