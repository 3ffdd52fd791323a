// Goal: whatever Encode returns - layers, spans, chunks, windows, every encoding, multi-vectors,
// sparse vectors - is what the reference's hidden states make it, for every encoder there is a case
// of; and no option changes another's numbers. Method: a real attnd on each model, asked over the
// wire for the inputs of its cases; what is expected is computed here, by definition and in double
// precision, within the tolerance of the case. The cases in tests/data always; those of
// ATTND_GOLDEN_DIR where it is set.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "core/base/strings.h"
#include "gtest/gtest.h"
#include "tests/outputs/checks.h"
#include "tests/outputs/tensor_check.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd::golden {
namespace {

namespace fs = std::filesystem;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}
std::string DataFolder() { return Environment("ATTND_SOURCE_DIR") + "/tests/data"; }

// A case file.
struct Source {
  std::string folder;
  std::string name;
};
std::ostream& operator<<(std::ostream& out, const Source& source) {
  return out << source.folder << "/" << source.name;
}

// The repository's encoders, and those of the golden folder, none of which may be missing there.
std::vector<Source> Sources() {
  constexpr const char* kGolden[] = {
      "minilm",    "bert-a",           "bert-a-f16",         "bert-a-bf16",     "bert-a-mlm",
      "bert-a-qa", "bert-a-seqcls",    "bert-a-tokcls",      "cross-encoder-a", "roberta-a",
      "xlmr-a",    "roberta-a-seqcls", "distilbert-a",       "mpnet-a",         "modernbert-a",
      "t5enc-a",   "modernbert-a-mlm", "distilbert-a-seqcls"};
  std::vector<Source> sources;
  const std::vector<std::string> names = ListCaseFiles(DataFolder()).value();
  for (const std::string& name : names) {
    if (!name.starts_with("fuzz-") && name != "attention") sources.push_back({DataFolder(), name});
  }
  const std::string golden = Environment("ATTND_GOLDEN_DIR");
  for (const char* name : kGolden) {
    if (!golden.empty()) sources.push_back({golden, name});
  }
  return sources;
}

std::string NameOf(const ::testing::TestParamInfo<Source>& info) {
  std::string name = info.param.name;
  std::ranges::replace(name, '-', '_');
  return name + (info.param.folder == DataFolder() ? "_of_the_repository" : "_of_the_folder");
}

Json ReadTokens() {
  std::ifstream stream(DataFolder() + "/tokens.json");
  return Json::parse(stream);
}

// The size of a masked-language model's vocabulary; 0 for another model.
size_t VocabularyOf(const GoldenModel& model) {
  for (const auto* inputs : {&model.texts, &model.ids}) {
    for (const GoldenInput& input : *inputs) {
      if (!input.logits.empty()) return input.logits.front().size();
    }
  }
  return 0;
}

class OutputsTest : public ::testing::TestWithParam<Source> {};

TEST_P(OutputsTest, AreWhatTheReferencesHiddenStatesMakeThem) {
  const auto model = LoadGoldenModel(GetParam().folder, GetParam().name, ReadTokens());
  ASSERT_TRUE(model.ok()) << model.status();
  const auto encoder = ServedEncoder::Start(model->directory);
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  const size_t vocabulary = VocabularyOf(*model);
  ASSERT_FALSE(model->texts.empty() && model->ids.empty());
  for (const auto* inputs : {&model->texts, &model->ids}) {
    if (inputs->empty()) continue;
    CheckLayers(**encoder, *inputs, model->layer_count);
    CheckPooling(**encoder, *inputs);
    CheckEncodings(**encoder, *inputs);
    CheckKeptTokens(**encoder, *inputs);
    CheckSpans(**encoder, *inputs);
    if (vocabulary > 0) CheckSparse(**encoder, *inputs);
    CheckCombinations(**encoder, inputs->front(), vocabulary);
  }
  for (const GoldenInput& input : model->texts) {
    if (input.input.has_text()) CheckPlainWindows(**encoder, input, vocabulary);
  }
  for (const GoldenWindows& windows : model->windows) CheckWindows(**encoder, windows);
}

INSTANTIATE_TEST_SUITE_P(Models, OutputsTest, ::testing::ValuesIn(Sources()), NameOf);

// A ColBERT checkpoint: a model's own, and `linear.weight`.
void AddProjection(const fs::path& model, const Vectors& weight) {
  std::ifstream stream(model / "model.safetensors", std::ios::binary);
  const std::string file{std::istreambuf_iterator<char>(stream), {}};
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  std::string data = file.substr(8 + header_bytes);
  Json header = Json::parse(file.substr(8, header_bytes));
  const size_t begin = data.size();
  for (const Vector& row : weight) {
    for (const double value : row) {
      const auto number = static_cast<float>(value);
      data.append(reinterpret_cast<const char*>(&number), sizeof(number));
    }
  }
  header["linear.weight"] = {{"dtype", "F32"},
                             {"shape", {weight.size(), weight.front().size()}},
                             {"data_offsets", {begin, data.size()}}};
  const std::string text = header.dump();
  const uint64_t text_bytes = text.size();
  std::ofstream out(model / "model.safetensors", std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(&text_bytes), sizeof(text_bytes));
  out << text << data;
}

TEST(ProjectionTest, MultiVectorsAreTheProjectedTokensScaledToLengthOne) {
  const auto model = LoadGoldenModel(DataFolder(), "bert-a", ReadTokens());
  ASSERT_TRUE(model.ok()) << model.status();
  const testing::TempDir folder;
  fs::copy(model->directory, folder.path(), fs::copy_options::recursive);
  std::mt19937 random(5);
  Vectors weight(16, Vector(model->texts.front().last.front().size()));
  for (Vector& row : weight) {
    // Numbers that a float holds.
    for (double& value : row) value = static_cast<double>(random() >> 16) / 65536 - 0.5;
  }
  AddProjection(folder.path(), weight);
  const auto encoder = ServedEncoder::Start(folder.path());
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  const auto encodings = Ask(**encoder, model->texts, [&](v1::EncodeRequest& request) {
    request.mutable_options()->set_return_multi_vector(true);
    request.mutable_options()->set_drop_special_tokens(true);
  });
  ASSERT_EQ(encodings.size(), model->texts.size());
  for (size_t i = 0; i < encodings.size(); ++i) {
    const GoldenInput& input = model->texts[i];
    Vectors projected;
    for (size_t token = 0; token < input.last.size(); ++token) {
      if (input.places[token].text < 0) continue;
      Vector sums;
      for (const Vector& row : weight) {
        double sum = 0;
        for (size_t c = 0; c < row.size(); ++c) sum += row[c] * input.last[token][c];
        sums.push_back(sum);
      }
      projected.push_back(Normalized(sums));
    }
    EXPECT_EQ(
        Difference(encodings[i].multi_vectors(), v1::DATA_TYPE_FLOAT32, projected, input.tolerance),
        "")
        << input.name;
  }
}

}  // namespace
}  // namespace attnd::golden
