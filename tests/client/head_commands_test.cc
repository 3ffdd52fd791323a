// Goal: the commands of the heads, the tokenizer, similarity and attention print what a person can
// read, with --json everything that the reply holds, and send what their flags say. Method: whole
// command lines against a fake server, with strings for the terminal.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "nlohmann/json.hpp"
#include "tests/client/fake_server.h"
#include "tests/client/run_attnctl.h"

namespace attnd::client {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class HeadCommands : public testing::Test {
 protected:
  // attnctl `command` --target ... `arguments`; a failure prints what it said.
  Outcome Run(const std::string& command, std::vector<std::string> arguments,
              const std::string& input = "") {
    arguments.insert(arguments.begin(), {command, "--target", server_.target()});
    return Attnctl(std::move(arguments), input);
  }

  static json ParseOnly(const Outcome& outcome) {
    EXPECT_EQ(outcome.code, 0) << outcome.error;
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
    return json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
  }

  FakeServer server_;
};

TEST_F(HeadCommands, ClassifyPrintsPercentagesAndBars) {
  const Outcome outcome = Run("classify", {"good", "bad"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  const std::string labels =
      "  POSITIVE  75.00 %  "
      "\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588"
      "\u2588\u2588\u2588\n"
      "  NEGATIVE  25.00 %  \u2588\u2588\u2588\u2588\u2588\n";
  EXPECT_EQ(outcome.out, "1. \"good\": 6 tokens\n" + labels + "2. \"bad\": 6 tokens\n" + labels);
}

TEST_F(HeadCommands, ClassifySendsItsFlagsAndPrintsJson) {
  const Outcome outcome =
      Run("classify", {"a", "--text-pair", "b", "--top-k", "2", "--scores", "sigmoid", "--logits",
                       "--truncate", "right", "--max-length", "9", "--model", "fake", "--json"});
  EXPECT_EQ(
      server_.classifier.last.Get().ShortDebugString(),
      "model: \"fake\" inputs { text_pair { first: \"a\" second: \"b\" } } options { top_k: 2 "
      "score_function: SCORE_FUNCTION_SIGMOID return_logits: true truncation: "
      "TRUNCATION_RIGHT max_length: 9 }");
  EXPECT_EQ(ParseOnly(outcome), json::parse(R"({"index": 0, "text": "a", "text_pair": "b",
      "labels": [{"label": "POSITIVE", "label_id": 1, "score": 0.75, "logit": 1.5},
                 {"label": "NEGATIVE", "label_id": 0, "score": 0.25, "logit": -0.5}],
      "token_count": 6, "truncated": false,
      "timings": {"tokenize_seconds": 0.0, "queue_seconds": 0.0, "compute_seconds": 0.25,
                  "batch_tokens": 0},
      "model": "fake", "model_version": "v1"})"));
}

TEST_F(HeadCommands, ClassifyTokensPrintsSpans) {
  const Outcome outcome = Run("classify", {"--tokens", "Angela lives in Berlin", "nothing"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(outcome.out,
            "1. \"Angela lives in Berlin\": 6 tokens\n"
            "  PER  99.00 %  [0,6)    Angela\n"
            "  LOC  50.00 %  [16,22)  Berlin\n"
            "2. \"nothing\": 6 tokens\n"
            "  nothing found\n");
}

TEST_F(HeadCommands, ClassifyTokensSendsItsFlagsAndPrintsJson) {
  const Outcome outcome = Run("classify", {"a", "--tokens", "--aggregation", "max", "--ignore", "O",
                                           "--ignore", "X", "--keep-all", "--offsets", "byte",
                                           "--truncate", "left", "--max-length", "9", "--json"});
  EXPECT_EQ(
      server_.classifier.last_tokens.Get().options().ShortDebugString(),
      "aggregation: SPAN_AGGREGATION_MAX ignored_labels: \"O\" ignored_labels: \"X\" keep_all: "
      "true truncation: TRUNCATION_LEFT max_length: 9 offset_unit: OFFSET_UNIT_BYTE");
  EXPECT_EQ(ParseOnly(outcome)["spans"][1], json::parse(R"({"label": "LOC", "score": 0.5,
      "start": 16, "end": 22, "text_index": 0, "first_token": 1, "end_token": 2,
      "text": "Berlin"})"));
}

TEST_F(HeadCommands, TextsOfAFileAreSentInGroups) {
  const Outcome outcome =
      Run("classify", {"--file", "-", "--inputs", "2", "--json"}, "a\nb\n\xff\n");
  EXPECT_EQ(outcome.code, 1);  // The third is no UTF-8, which gRPC's server refuses.
  const Outcome good = Run("classify", {"--file", "-", "--inputs", "2", "--json"}, "a\nb\nc\n");
  EXPECT_EQ(good.code, 0) << good.error;
  EXPECT_EQ(server_.classifier.last.Get().inputs_size(), 1);
  EXPECT_THAT(good.out, HasSubstr("{\"index\":2,\"text\":\"c\""));
}

TEST_F(HeadCommands, RerankPrintsRanksAndJson) {
  const Outcome outcome = Run("rerank", {"--query", "q", "first", "second\nline"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(outcome.out,
            "\"q\": 2 documents, 12 tokens\n"
            "1.  90.00 %  [1]  second line\n"
            "2.  80.00 %  [0]  first\n");
  const json line = ParseOnly(Run("rerank", {"--query", "q", "--top-n", "2", "--logits", "--scores",
                                             "none", "--json", "first", "second"}));
  EXPECT_EQ(server_.rerank.last.Get().options().ShortDebugString(),
            "top_n: 2 score_function: SCORE_FUNCTION_NONE return_logits: true");
  EXPECT_EQ(line["query"], "q");
  EXPECT_EQ(line["results"][0], json::parse(R"({"rank": 1, "index": 1, "score": 0.9, "logit": 2,
                                                "truncated": false, "document": "second"})"));
  EXPECT_EQ(line["results"][1]["rank"], 2);
  EXPECT_EQ(line["token_count"], 12);
}

TEST_F(HeadCommands, FillMaskPrintsCandidatesAndJson) {
  const Outcome outcome = Run("fill-mask", {"Paris is [MASK]."});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out, StartsWith("1. \"Paris is [MASK].\": 6 tokens\n"
                                      "  mask at [9,15), token 4\n"
                                      "    1.  75.00 %  capital  \u0120capital (3007)  \u2588"));
  EXPECT_THAT(outcome.out, HasSubstr("\n    2.  12.50 %  heart    \u0120heart (2540)    \u2588"));
  const json line = ParseOnly(Run("fill-mask", {"a", "--top-k", "2", "--logits", "--json"}));
  EXPECT_EQ(server_.fill_mask.last.Get().options().ShortDebugString(),
            "top_k: 2 return_logits: true");
  EXPECT_EQ(line["masks"][0]["start"], 9);
  EXPECT_EQ(line["masks"][0]["token_index"], 4);
  EXPECT_EQ(line["masks"][0]["candidates"][1],
            json::parse(R"({"id": 2540, "token": "\u0120heart", "text": "heart", "score": 0.125,
                            "logit": 7.5})"));
}

TEST_F(HeadCommands, AnswerPrintsAnswersAndJson) {
  const Outcome outcome = Run("answer", {"--context", "She is Berlin.", "--no-answer", "Where?"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(outcome.out,
            "1. \"Where?\": 40 tokens in 2 windows\n"
            "  1.  87.50 %  [7,13)  Berlin\n"
            "  2.   6.25 %          (no answer)\n");
  const json line = ParseOnly(Run("answer",
                                  {"--context-file", "-", "--top-k", "3", "--max-answer-tokens",
                                   "5", "--stride", "0", "--max-length", "9", "--json", "Who?"},
                                  "two\nlines"));
  EXPECT_EQ(server_.answer.last.Get().ShortDebugString(),
            "questions { question: \"Who?\" context: \"two\\nlines\" } options { top_k: 3 "
            "max_answer_tokens: 5 stride: 0 max_length: 9 }");
  EXPECT_EQ(line["question"], "Who?");
  EXPECT_EQ(line["window_count"], 2);
  EXPECT_EQ(line["answers"],
            json::parse(R"([{"text": "Berlin", "score": 0.875, "start": 7, "end": 13}])"));
}

TEST_F(HeadCommands, TokenizePrintsTokensAndJson) {
  const Outcome outcome = Run("tokenize", {"caf\u00e9"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(outcome.out,
            "1. \"caf\u00e9\": 2 tokens\n"
            "  0  [CLS]  101  special\n"
            "  1  caf\u00e9     7  [0,4)    word 0\n");
  const json line = ParseOnly(Run("tokenize", {"a", "--no-special-tokens", "--json"}));
  EXPECT_EQ(server_.tokenizer.last.Get().options().ShortDebugString(), "add_special_tokens: false");
  EXPECT_EQ(line, json::parse(R"({"index": 0, "text": "a", "ids": [101, 7],
      "tokens": ["[CLS]", "caf\u00e9"], "offsets": [[0, 0], [0, 4]], "text_indices": [-1, 0],
      "special": [1, 0], "type_ids": [0, 0], "word_ids": [-1, 0], "truncated": false,
      "model": "fake", "model_version": "v1"})"));
}

TEST_F(HeadCommands, TokenizeDecodesArgumentsAsOneSequenceAndLinesAsMany) {
  EXPECT_EQ(Run("tokenize", {"--decode", "5", "6,7"}).out, "5 6 7\n");
  EXPECT_FALSE(server_.tokenizer.last_ids.Get().has_skip_special_tokens());
  EXPECT_EQ(Run("tokenize", {"--decode", "--keep-special", "--file", "-"}, "5 6\n7\n").out,
            "5 6\n7\n");
  EXPECT_EQ(server_.tokenizer.last_ids.Get().ShortDebugString(),
            "inputs { ids: 5 ids: 6 } inputs { ids: 7 } skip_special_tokens: false");
  EXPECT_EQ(ParseOnly(Run("tokenize", {"--decode", "--json", "5"})),
            json::parse(R"({"index": 0, "ids": [5], "text": "5", "model": "fake",
                            "model_version": "v1"})"));
  const Outcome bad = Run("tokenize", {"--decode", "5", "x"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.error, HasSubstr("\"x\" is not a token id"));
}

TEST_F(HeadCommands, SimilarityPrintsATableAndJson) {
  const Outcome square = Run("similarity", {"one", "two"});
  EXPECT_EQ(square.code, 0) << square.error;
  EXPECT_EQ(square.out,
            "cosine similarity\n           1      2\n"
            "    1  1.000  0.500  one\n    2  0.500  1.000  two\n");
  const Outcome targets = Run("similarity", {"one", "--to", "a", "--to", "b", "--dimensions", "8",
                                             "--prompt", "p: ", "--windows"});
  EXPECT_EQ(server_.encoder.last_similarity.Get().ShortDebugString(),
            "sources { text: \"one\" } targets { text: \"a\" } targets { text: \"b\" } options { "
            "windows { } dimensions: 8 prompt: \"p: \" }");
  EXPECT_THAT(targets.out, HasSubstr("    1  1.000  0.500  one\ncolumns\n    1  a\n    2  b\n"));
  EXPECT_EQ(ParseOnly(Run("similarity", {"one", "--to", "a", "--to", "b", "--json"})),
            json::parse(R"({"index": 0, "text": "one", "similarities": [1, 0.5], "model": "fake",
                            "model_version": "v1"})"));
}

TEST_F(HeadCommands, AttentionDrawsTheMeanOfHeadsOrOne) {
  const Outcome mean = Run("attention", {"--text", "caf\u00e9"});
  EXPECT_EQ(mean.code, 0) << mean.error;
  EXPECT_EQ(
      server_.encoder.last_options().ShortDebugString(),
      "return_pooled: false return_tokens: true attention { layers: -1 return_weights: true }");
  EXPECT_THAT(mean.out, StartsWith("fake\nlayer 6 of 6, mean of 2 heads\n"));
  EXPECT_THAT(mean.out, HasSubstr("  0 [CLS] \u2588\u2588\u2591\u2591  0.800 \u2192 0 [CLS]\n"));
  const Outcome one = Run("attention", {"--text", "a", "--layer", "2", "--head", "1"});
  EXPECT_EQ(server_.encoder.last_options().attention().ShortDebugString(),
            "layers: 2 heads: 1 return_weights: true");
  EXPECT_THAT(one.out, HasSubstr("layer 2 of 6, head 1\n"));
  EXPECT_THAT(one.out, HasSubstr("0.700 \u2192 0 [CLS]"));
}

TEST_F(HeadCommands, AttentionWritesItsPictureAndJson) {
  const std::string path = testing::TempDir() + "/attnctl_attention.svg";
  const json line =
      ParseOnly(Run("attention", {"--text", "a", "--text-pair", "b", "--svg", path, "--json"}));
  EXPECT_EQ(line["text_pair"], "b");
  EXPECT_EQ(line["layer"], 6);
  EXPECT_EQ(line["head"], "mean");
  EXPECT_EQ(line["heads"], json({0, 1}));
  EXPECT_EQ(line["tokens"], json({"[CLS]", "caf\u00e9"}));
  EXPECT_EQ(line["weights"].size(), 2U);
  EXPECT_FLOAT_EQ(line["weights"][0][0].get<float>(), 0.8F);
  EXPECT_EQ(line["weights"][1], json::parse("[0.5,0.5]"));
  std::ifstream file(path);
  const std::string svg((std::istreambuf_iterator<char>(file)), {});
  std::filesystem::remove(path);
  EXPECT_THAT(svg, StartsWith("<svg "));
  EXPECT_THAT(svg, HasSubstr(">caf\u00e9</text>"));
  EXPECT_EQ(Run("attention", {"--text", "a", "--svg", "-"}).out,
            Run("attention", {"--text", "b", "--svg", "-", "--json"}).out);
}

TEST_F(HeadCommands, AttentionCanLeaveSpecialTokensOut) {
  const json line = ParseOnly(Run("attention", {"--text", "a", "--hide-special", "--json"}));
  EXPECT_EQ(line["tokens"], json({"caf\u00e9"}));
  EXPECT_EQ(line["weights"], json::parse("[[0.5]]"));
}

TEST_F(HeadCommands, ModelsPrintsJson) {
  const json line = ParseOnly(Run("models", {"--json"}));
  EXPECT_EQ(line["name"], "fake");
  EXPECT_EQ(line["layers"], 6);
  EXPECT_EQ(line["pooling"], "mean");
  EXPECT_EQ(line["dtype"], "int8");
  EXPECT_EQ(line["accuracy"],
            json::parse(R"({"texts": 40, "cosine_mean": 0.99912, "cosine_min": 0.9975,
                            "worst_text": "caf\u00e9\nau lait", "ranking_agreement": 0.995})"));
  EXPECT_EQ(line["head"], "sequence_labels");
  EXPECT_EQ(line["labels"], json({"NEGATIVE", "POSITIVE"}));
  EXPECT_EQ(line["score_function"], "softmax");
  EXPECT_EQ(line["prompts"], json::parse(R"({"passage": "search_document: ",
                                              "query": "search_query: "})"));
  EXPECT_EQ(line["default_prompt_name"], "passage");
  EXPECT_EQ(line["projection_size"], 128);
  EXPECT_EQ(line["limits"]["inputs_per_request"], 32);
  EXPECT_EQ(line["kernels"][0]["implementation"], "jit_1x1:avx2");
}

TEST_F(HeadCommands, AMethodThatTheServerHasNotIsSaid) {
  const Outcome outcome =
      Attnctl({"attend", "--target", server_.target()}, R"({"input": [[1]], "w_q": [[1]],
          "w_k": [[1]], "w_v": [[1]], "w_o": [[1]], "heads": 77})");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.error, "attnctl: UNIMPLEMENTED: the server has no such method\n");
}

TEST_F(HeadCommands, AnErrorOfTheServerIsPrintedAndExitsWithOne) {
  const Outcome outcomes[] = {Run("classify", {"refuse"}),
                              Run("classify", {"--tokens", "refuse"}),
                              Run("rerank", {"--query", "refuse", "d"}),
                              Run("fill-mask", {"refuse"}),
                              Run("answer", {"--context", "c", "refuse"}),
                              Run("tokenize", {"refuse"}),
                              Run("tokenize", {"--decode", "0"})};
  for (const Outcome& outcome : outcomes) {
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.error, "attnctl: FAILED_PRECONDITION: model \"fake\" has no such head\n");
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(HeadCommands, WhatCannotBeReadOrWrittenIsPrinted) {
  EXPECT_THAT(Run("classify", {}).error, HasSubstr("give texts, or --file"));
  EXPECT_THAT(Run("classify", {"--file", "/nowhere/x"}).error, HasSubstr("cannot open /nowhere/x"));
  EXPECT_THAT(Run("classify", {"--file", "-"}).error, HasSubstr("- has no lines"));
  EXPECT_THAT(Run("classify", {"a", "b", "--text-pair", "c"}).error,
              HasSubstr("--text-pair is there 1 times for 2 texts"));
  const Outcome svg = Run("attention", {"--text", "a", "--svg", "/nowhere/x.svg"});
  EXPECT_EQ(svg.code, 1);
  EXPECT_THAT(svg.error, HasSubstr("cannot write /nowhere/x.svg"));
}

TEST_F(HeadCommands, AWrongCommandLineExitsWithTwoAndSaysWhy) {
  const std::pair<std::vector<std::string>, std::string> lines[] = {
      {{"rerank", "d"}, "--query is required"},
      {{"answer", "q"}, "--context,--context-file"},
      {{"answer", "q", "--context", "a", "--context-file", "b"}, "--context"},
      {{"attention"}, "--text is required"},
      {{"attention", "--text", "a", "--head", "first"},
       "first is neither a head's number nor mean"},
      {{"attention", "--text", "a", "--head", "-1"}, "--head"},
      {{"classify", "a", "--top-k", "0"}, "--top-k"},
      {{"classify", "a", "--tokens", "--logits"}, "--logits excludes --tokens"},
      {{"classify", "a", "--aggregation", "max"}, "--aggregation requires --tokens"},
      {{"classify", "a", "--file", "b"}, "--file"},
      {{"tokenize", "--decode", "1", "--offsets", "byte"}, "--offsets excludes --decode"},
      {{"similarity", "a", "--pooling", "best"}, "--pooling"}};
  for (const auto& [line, message] : lines) {
    const Outcome outcome = Attnctl(line);
    EXPECT_EQ(outcome.code, 2) << message;
    EXPECT_THAT(outcome.error, HasSubstr(message));
  }
}

TEST_F(HeadCommands, WhatAServerSaysCannotMoveTheTerminal) {
  const Outcome outcome = Run("classify", {"a\x1b[2Jb"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace attnd::client
