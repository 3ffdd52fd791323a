// Goal: a ranking case compares logits, scores and order, and each of them alone can fail it.
// Method: a tiny cross-encoder, whose own answers make a case that passes; then one thing is wrong.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/golden/encoding.h"
#include "tests/golden/runner.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_families.h"

namespace attnd::golden {
namespace {

using ::testing::HasSubstr;

constexpr char kQuery[] = "hello dog";
const std::vector<std::string> kDocuments = {"the cat sat", "a mat", "hello world", "dog"};

class RankingTest : public ::testing::Test {
 protected:
  // Ranks the documents by a model of that many labels.
  void Load(int32_t labels) {
    const std::string model = folder_ / "models/cross";
    testing::WriteTinyModel(model, {.head = HeadKind::kSequenceLabels, .labels = labels});
    const auto backend = Backend::Open(model, 1);
    ASSERT_TRUE(backend.ok()) << backend.status();
    std::vector<Input> inputs;
    for (const std::string& document : kDocuments) {
      const auto tokens = (*backend)->tokenizer().Encode(kQuery, document, {});
      ASSERT_TRUE(tokens.ok()) << tokens.status();
      inputs.push_back({.ids = tokens->ids, .types = tokens->types});
    }
    CaseResult result;
    logits_.clear();
    scores_.clear();
    for (const Encoding& encoding : Encode(inputs, {}, **backend, result)) {
      logits_.push_back(encoding.logits.at(0));
      scores_.push_back(1 / (1 + std::exp(-logits_.back())));
    }
    ASSERT_TRUE(result.passed()) << result.Summary();
    order_.resize(logits_.size());
    std::iota(order_.begin(), order_.end(), 0);
    std::ranges::sort(order_, [&](size_t a, size_t b) { return logits_[a] > logits_[b]; });
  }

  // The totals of a run over that one case, as text and failures.
  std::string Run() {
    const auto tensor = [](const char* name, const std::vector<float>& values) {
      return testing::RawTensor{
          StrCat("rank/", name),
          "F32",
          {static_cast<int64_t>(values.size())},
          {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}};
    };
    folder_.Write("cases/cross.safetensors",
                  testing::SafetensorsFile(
                      {tensor("out.logits", logits_), tensor("out.scores_sigmoid", scores_)}));
    const Json cases = {{{"id", "rank"},
                         {"kind", "ranking"},
                         {"query", kQuery},
                         {"documents", kDocuments},
                         {"order", order_}}};
    folder_.Write("cases/cross.json", Json{{"model", "models/cross"},
                                           {"architecture", "BertForSequenceClassification"},
                                           {"tolerance", {{"atol", 1e-5}, {"rtol", 1e-5}}},
                                           {"cases", cases}}
                                          .dump());
    std::ostringstream out;
    const auto totals = RunGolden({.directory = folder_.path()}, out);
    EXPECT_TRUE(totals.ok()) << totals.status();
    return out.str();
  }

  testing::TempDir folder_;
  std::vector<float> logits_, scores_;
  std::vector<size_t> order_;
};

TEST_F(RankingTest, TheModelsOwnAnswersPass) {
  Load(1);
  EXPECT_THAT(Run(), HasSubstr("cross: 1 passed, 0 failed"));
}

TEST_F(RankingTest, AWrongOrderAloneFails) {
  Load(1);
  std::swap(order_[1], order_[2]);
  EXPECT_THAT(Run(), HasSubstr("FAIL cross/rank: order differs, first at 1"));
}

TEST_F(RankingTest, AWrongLogitOrScoreAloneFails) {
  Load(1);
  logits_[3] += 0.01f;
  EXPECT_THAT(Run(), HasSubstr("FAIL cross/rank: out.logits: 1 of 4"));
  logits_[3] -= 0.01f;
  scores_[0] += 0.01f;
  EXPECT_THAT(Run(), HasSubstr("FAIL cross/rank: out.scores_sigmoid: 1 of 4"));
}

TEST_F(RankingTest, AModelOfSeveralLabelsDoesNotRank) {
  Load(2);
  EXPECT_THAT(Run(), HasSubstr("FAIL cross/rank: number of labels differs"));
}

}  // namespace
}  // namespace attnd::golden
