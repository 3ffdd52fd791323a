// Goal: a golden run reports what is wrong with the engine, and does not hide what it left out.
// Method: copy the cases of this repository, falsify one thing in the copy, and count.
#include "tests/golden/runner.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <sstream>

#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/golden/case_file.h"
#include "tests/support/temp_dir.h"

namespace attnd::golden {
namespace {

using ::testing::HasSubstr;

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() {
    const std::string source = StrCat(std::getenv("ATTND_SOURCE_DIR"), "/tests/data");
    std::filesystem::copy(source, folder_.path(), std::filesystem::copy_options::recursive);
  }

  Totals Run(const std::string& name) {
    out_.str("");
    const auto totals = RunGolden({.directory = folder_.path(), .only = {name}}, out_);
    EXPECT_TRUE(totals.ok()) << totals.status();
    return totals.value_or(Totals{});
  }

  Json Read(const std::string& name) {
    return Json::parse(folder_.Read(StrCat("cases/", name, ".json")));
  }
  void Write(const std::string& name, const Json& cases) {
    folder_.Write(StrCat("cases/", name, ".json"), cases.dump());
  }

  // Puts `value` in the place of the first element of a tensor.
  void Falsify(const std::string& file, const std::string& tensor, float value) {
    const std::string path = StrCat("cases/", file, ".safetensors");
    std::string bytes = folder_.Read(path);
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
    const Json header = Json::parse(bytes.substr(8, header_bytes));
    const uint64_t begin = header.at(tensor).at("data_offsets").at(0);
    const double wide = value;
    if (header.at(tensor).at("dtype") == "F64") {
      std::memcpy(&bytes[8 + header_bytes + begin], &wide, sizeof(wide));
    } else {
      std::memcpy(&bytes[8 + header_bytes + begin], &value, sizeof(value));
    }
    folder_.Write(path, bytes);
  }

  testing::TempDir folder_;
  std::ostringstream out_;
};

TEST_F(RunnerTest, EveryCaseOfTheRepositoryPasses) {
  const auto names = ListCaseFiles(folder_.path());
  ASSERT_TRUE(names.ok()) << names.status();
  for (const std::string& name : *names) {
    const Totals totals = Run(name);
    EXPECT_EQ(totals.passed, static_cast<int64_t>(Read(name).at("cases").size())) << name;
    EXPECT_EQ(totals.failed, 0) << out_.str();
    EXPECT_EQ(totals.skipped, 0);
  }
}

TEST_F(RunnerTest, OneWrongValueInAnyOutputFailsThatCaseAndNoOther) {
  struct {
    std::string file, id, tensor;
  } const places[] = {
      {"bert-a", "text0", "out.last_hidden_state"},  {"bert-a", "text0", "out.pooler_output"},
      {"bert-a", "text0", "hidden_states.0"},        {"bert-a", "text0", "hidden_states.2"},
      {"bert-a", "text0", "hidden_states.3"},        {"bert-a", "text0", "attentions.0"},
      {"bert-a", "text0", "attentions.2"},           {"tiny-bert-seqcls", "rows5", "out.logits"},
      {"tiny-bert-tokcls", "rows5", "out.logits"},   {"tiny-bert-mlm", "rows5", "out.logits"},
      {"tiny-bert-qa", "rows5", "out.start_logits"}, {"tiny-bert-qa", "rows5", "out.end_logits"},
  };
  for (const auto& [file, id, tensor] : places) {
    SCOPED_TRACE(StrCat(file, " ", tensor));
    const int64_t passed = Run(file).passed;
    const std::string path = StrCat("cases/", file, ".safetensors");
    const std::string before = folder_.Read(path);
    Falsify(file, StrCat(id, "/", tensor), 100);
    const Totals totals = Run(file);
    EXPECT_EQ(totals.passed, passed - 1);
    EXPECT_EQ(totals.failed, 1);
    EXPECT_THAT(out_.str(), HasSubstr(StrCat("FAIL ", file, "/", id, ": ", tensor, "[0]: 1 of ")));
    folder_.Write(path, before);
  }
}

TEST_F(RunnerTest, AnExpectedNaNIsNotMatchedByANumber) {
  Falsify("bert-a", "pair0/out.pooler_output", std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(Run("bert-a").failed, 1);
}

TEST_F(RunnerTest, AWrongValueInOneItemOfABatchFailsTheBatch) {
  Falsify("bert-a", "batch/out.last_hidden_state", 100);
  EXPECT_EQ(Run("bert-a").failed, 1);
  EXPECT_THAT(out_.str(), HasSubstr("FAIL bert-a/batch: out.last_hidden_state[0]: 1 of "));
}

TEST_F(RunnerTest, AWrongAttentionOutputOrWeightFailsUnderTheMaskAndUnderTheRule) {
  Falsify("attention", "causal_B2_H3_S5_D8/out.probs", 0.5f);
  EXPECT_EQ(Run("attention").failed, 1);
  EXPECT_THAT(out_.str(), HasSubstr("as mask: out.probs: 1 of "));
  EXPECT_THAT(out_.str(), HasSubstr("as rule: out.probs: 1 of "));
}

TEST_F(RunnerTest, AWrongWindowIsNoticed) {
  Json cases = Read("attention");
  for (Json& item : cases["cases"]) {
    if (item["id"] == "window") item["window"] = item["window"].get<int>() + 1;
  }
  Write("attention", cases);
  EXPECT_EQ(Run("attention").failed, 1);
  EXPECT_THAT(out_.str(), HasSubstr("FAIL attention/window: as rule: out.output: "));
}

TEST_F(RunnerTest, AWrongIdOffsetOrDecodedTextFailsAFuzzCase) {
  const Json right = Read("fuzz-wp1000");
  for (const char* field : {"ids", "offsets", "skip", "raw"}) {
    SCOPED_TRACE(field);
    Json wrong = right;
    Json& value = wrong["cases"][3][field];
    if (value.is_string()) {
      value = value.get<std::string>() + "x";
    } else {
      value.erase(value.begin());
    }
    Write("fuzz-wp1000", wrong);
    EXPECT_EQ(Run("fuzz-wp1000").failed, 1);
    EXPECT_THAT(out_.str(), HasSubstr("FAIL fuzz-wp1000/3: "));
  }
}

TEST_F(RunnerTest, TextThatIsUtf8FailsAsACaseOfInvalidUtf8) {
  Json cases = Read("bert-a");
  cases["cases"] = Json::array({{{"id", "bad"}, {"kind", "invalid_utf8"}, {"hex", "ff"}},
                                {{"id", "good"}, {"kind", "invalid_utf8"}, {"hex", "41"}}});
  Write("bert-a", cases);
  const Totals totals = Run("bert-a");
  EXPECT_EQ(totals.passed, 1);
  EXPECT_EQ(totals.failed, 1);
  EXPECT_THAT(out_.str(), HasSubstr("FAIL bert-a/good"));
}

TEST_F(RunnerTest, ATensorThatNothingComparesFailsItsCase) {
  std::string bytes = folder_.Read("cases/bert-a.safetensors");
  const std::string name = "text0/out.pooler_output";
  bytes.replace(bytes.find(name), name.size(), "text0/out.pooler_outpuX");
  folder_.Write("cases/bert-a.safetensors", bytes);
  EXPECT_EQ(Run("bert-a").failed, 1);
  EXPECT_THAT(out_.str(), HasSubstr("nothing compares the tensor out.pooler_outpuX"));
}

TEST_F(RunnerTest, AnArchitectureThatIsNotSupportedIsSkippedByName) {
  Json cases = Read("bert-a");
  cases["architecture"] = "NovelModel";
  Write("bert-a", cases);
  const Totals totals = Run("bert-a");
  EXPECT_EQ(totals.skipped, static_cast<int64_t>(cases["cases"].size()));
  EXPECT_EQ(totals.passed + totals.failed, 0);
  EXPECT_THAT(out_.str(), HasSubstr("SKIP bert-a: 6 cases: NovelModel is not supported yet"));
}

TEST_F(RunnerTest, AMissingOrBrokenModelFailsAllItsCases) {
  folder_.Remove("models/bert-a/model.safetensors");
  EXPECT_EQ(Run("bert-a").failed, 6);
  folder_.Remove("models/bert-a");
  EXPECT_EQ(Run("bert-a").failed, 6);
  EXPECT_EQ(Run("bert-a").passed, 0);
}

TEST_F(RunnerTest, AFolderWithoutCasesOrAFileThatIsNotThereIsAnError) {
  EXPECT_FALSE(RunGolden({.directory = folder_ / "models"}, out_).ok());
  EXPECT_FALSE(RunGolden({.directory = folder_.path(), .only = {"bert-z"}}, out_).ok());
}

}  // namespace
}  // namespace attnd::golden
