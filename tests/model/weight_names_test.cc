// Goal: every tensor of a BERT checkpoint is found under our names, whatever it is wrapped in, and
// nothing is allocated for a checkpoint that does not fit its config. Method: tiny checkpoints in
// the layouts that exist.
#include "core/model/weight_names.h"

#include <algorithm>

#include "core/base/strings.h"
#include "core/model/families.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RawTensor;
using testing::TempDir;
using testing::TinyBert;

constexpr uint64_t kPlenty = 1 << 20;

// A checkpoint on disk, opened.
struct Checkpoint {
  explicit Checkpoint(const std::vector<RawTensor>& tensors, const TinyBert& model = {})
      : arch(*DescribeArch(testing::TinyBertConfig(model), "config.json")),
        weights(Write(tensors)) {}

  Weights Write(const std::vector<RawTensor>& tensors) {
    temp.Write("model.safetensors", testing::SafetensorsFile(tensors));
    return *Weights::Open(*ModelDir::Open(temp.path()));
  }
  std::string Error(uint64_t bytes_max = kPlenty) const {
    const absl::Status status = NamedWeights::Open(arch, weights, bytes_max).status();
    return status.ok() ? "none" : std::string(status.message());
  }

  TempDir temp;
  ArchSpec arch;
  Weights weights;
};

TEST(WeightNamesTest, ListsWhatTheConfigCallsFor) {
  const ArchSpec arch = *DescribeArch(testing::TinyBertConfig({}), "config.json");
  const std::vector<ExpectedTensor> tensors = RequiredTensors(arch);
  EXPECT_EQ(tensors.size(), 5u + 2 * 16u);
  EXPECT_EQ(tensors[1].name, "embed.positions.weight");
  EXPECT_THAT(tensors[1].shape, ElementsAre(64, 16));
  const auto up = std::find_if(tensors.begin(), tensors.end(),
                               [](const auto& t) { return t.name == "encoder.1.ffn.up.weight"; });
  ASSERT_NE(up, tensors.end());
  EXPECT_THAT(up->shape, ElementsAre(32, 16));
}

TEST(WeightNamesTest, FindsABareCheckpoint) {
  const Checkpoint checkpoint(testing::TinyBertTensors({}));
  const auto named = NamedWeights::Open(checkpoint.arch, checkpoint.weights, kPlenty);
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_TRUE(named->has_pooler());
  EXPECT_THAT(named->leftovers(), IsEmpty());
  EXPECT_EQ(named->CheckpointName("embed.tokens.weight"), "embeddings.word_embeddings.weight");
  EXPECT_EQ(named->CheckpointName("embed.norm.bias"), "embeddings.LayerNorm.bias");
  EXPECT_EQ(named->CheckpointName("encoder.1.attention.q.weight"),
            "encoder.layer.1.attention.self.query.weight");
  EXPECT_EQ(named->CheckpointName("encoder.1.attention.out.bias"),
            "encoder.layer.1.attention.output.dense.bias");
  EXPECT_EQ(named->CheckpointName("encoder.0.attention.norm.weight"),
            "encoder.layer.0.attention.output.LayerNorm.weight");
  EXPECT_EQ(named->CheckpointName("encoder.12.ffn.up.weight"),
            "encoder.layer.12.intermediate.dense.weight");
  EXPECT_EQ(named->CheckpointName("encoder.0.ffn.down.weight"),
            "encoder.layer.0.output.dense.weight");
  EXPECT_EQ(named->CheckpointName("encoder.0.ffn.norm.bias"),
            "encoder.layer.0.output.LayerNorm.bias");
  EXPECT_EQ(named->CheckpointName("pooler.weight"), "pooler.dense.weight");

  std::vector<float> values(16);
  const std::vector<int64_t> shape = {16};
  ASSERT_TRUE(named->Read("pooler.bias", shape, values).ok());
  std::vector<float> same(16);
  ASSERT_TRUE(checkpoint.weights.Read("pooler.dense.bias", shape, same).ok());
  EXPECT_EQ(values, same);
}

TEST(WeightNamesTest, FindsTheEncoderOfAnotherTasksCheckpoint) {
  std::vector<RawTensor> tensors = testing::TinyBertTensors({.prefix = "bert.", .pooler = false});
  tensors.push_back({"cls.predictions.bias", "F32", {2}, std::string(8, '\0')});
  tensors.push_back({"bert.embeddings.position_ids", "I64", {1, 2}, std::string(16, '\0')});
  const Checkpoint checkpoint(tensors);
  const auto named = NamedWeights::Open(checkpoint.arch, checkpoint.weights, kPlenty);
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_FALSE(named->has_pooler());
  EXPECT_THAT(named->leftovers(),
              ElementsAre("bert.embeddings.position_ids", "cls.predictions.bias"));
  EXPECT_EQ(named->CheckpointName("encoder.0.attention.k.bias"),
            "bert.encoder.layer.0.attention.self.key.bias");
}

TEST(WeightNamesTest, FindsNormsUnderTheirOlderNames) {
  std::vector<RawTensor> tensors = testing::TinyBertTensors({});
  for (RawTensor& tensor : tensors) {
    for (const auto& [name, older] :
         {std::pair<std::string, std::string>("LayerNorm.weight", "LayerNorm.gamma"),
          {"LayerNorm.bias", "LayerNorm.beta"}}) {
      if (tensor.name.ends_with(name))
        tensor.name.replace(tensor.name.size() - name.size(), name.size(), older);
    }
  }
  const Checkpoint checkpoint(tensors);
  const auto named = NamedWeights::Open(checkpoint.arch, checkpoint.weights, kPlenty);
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_THAT(named->leftovers(), IsEmpty());
  EXPECT_EQ(named->CheckpointName("encoder.1.ffn.norm.weight"),
            "encoder.layer.1.output.LayerNorm.gamma");
}

// No tensor vouches for what is made of the config alone.
TEST(WeightNamesTest, TablesAndTheLongestSequenceCountAsMemory) {
  Checkpoint checkpoint(testing::TinyBertTensors({}));
  checkpoint.arch.encoder.relative = {.buckets = 32, .distance_max = 128};
  checkpoint.arch.length_max = 1 << 16;
  EXPECT_THAT(checkpoint.Error(), HasSubstr("bytes of memory; the limit is"));
  checkpoint.arch.encoder.relative = {};
  checkpoint.arch.encoder.theta = 1000;
  EXPECT_THAT(checkpoint.Error(), HasSubstr("bytes of memory; the limit is"));
}

TEST(WeightNamesTest, AProjectionIsALinearLayerWithoutABias) {
  std::vector<RawTensor> tensors = testing::TinyBertTensors({});
  const auto add = [&](const char* name, std::vector<int64_t> shape) {
    size_t elements = 1;
    for (const int64_t extent : shape) elements *= static_cast<size_t>(extent);
    tensors.push_back({name, "F32", shape, std::string(4 * elements, '\0')});
  };
  const auto projection = [&] {
    const Checkpoint checkpoint(tensors);
    const auto named = NamedWeights::Open(checkpoint.arch, checkpoint.weights, kPlenty);
    EXPECT_TRUE(named.ok()) << named.status();
    return named.ok() ? named->projection() : -1;
  };
  EXPECT_EQ(projection(), 0);
  add("linear.weight", {8, 16});
  EXPECT_EQ(projection(), 8);
  add("linear.bias", {8});
  EXPECT_EQ(projection(), 0);
  tensors.resize(tensors.size() - 2);
  add("linear.weight", {8, 12});
  EXPECT_EQ(projection(), 0);
}

TEST(WeightNamesTest, HalfAPoolerIsNone) {
  std::vector<RawTensor> tensors = testing::TinyBertTensors({});
  std::erase_if(tensors,
                [](const RawTensor& tensor) { return tensor.name == "pooler.dense.bias"; });
  const Checkpoint checkpoint(tensors);
  const auto named = NamedWeights::Open(checkpoint.arch, checkpoint.weights, kPlenty);
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_FALSE(named->has_pooler());
  EXPECT_THAT(named->leftovers(), ElementsAre("pooler.dense.weight"));
}

TEST(WeightNamesTest, EveryRequiredTensorIsMissed) {
  const std::vector<RawTensor> whole = testing::TinyBertTensors({.pooler = false});
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<RawTensor> tensors = whole;
    tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(Checkpoint(tensors).Error(),
              StrCat("model.safetensors: tensor ", whole[i].name, " is missing"));
  }
}

TEST(WeightNamesTest, EveryTensorsShapeIsHeldAgainstTheConfig) {
  const std::vector<RawTensor> whole = testing::TinyBertTensors({});
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<RawTensor> tensors = whole;
    tensors[i].shape.push_back(1);
    EXPECT_THAT(Checkpoint(tensors).Error(),
                HasSubstr(StrCat("tensor ", whole[i].name, " has shape [")));
  }
}

TEST(WeightNamesTest, WeightsBeyondTheMemoryLimitAreRefusedBeforeTheyAreRead) {
  const Checkpoint checkpoint(testing::TinyBertTensors({}));
  uint64_t bytes = 0;
  for (const RawTensor& tensor : testing::TinyBertTensors({})) bytes += tensor.bytes.size();
  // A worker's rows for the longest sequence: x twice, Q, K, V and the context.
  bytes += 64 * (2 * 16 + 4 * 16) * sizeof(float);
  EXPECT_EQ(checkpoint.Error(bytes), "none");
  EXPECT_EQ(checkpoint.Error(bytes - 1), StrCat("model.safetensors: the model takes ", bytes,
                                                " bytes of memory; the limit is ", bytes - 1));
}

TEST(WeightNamesDeathTest, ANameThatTheFamilyLacksIsOurBug) {
  const Checkpoint checkpoint(testing::TinyBertTensors({}));
  const auto named = NamedWeights::Open(checkpoint.arch, checkpoint.weights, kPlenty);
  for (const char* name :
       {"encoder.0.attention.r.weight", "encoder.0.ffn.up.gain", "embed", "encoder.0", ""}) {
    EXPECT_DEATH((void)named->CheckpointName(name), "check failed") << name;
  }
}

}  // namespace
}  // namespace attnd
