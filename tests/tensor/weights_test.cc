// Goal: a checkpoint's tensors arrive as the numbers that are in its files, and files that lie are
// refused. Method: small files written by the test, whole and sharded, and cut at every byte.
#include "core/tensor/weights.h"

#include <bit>
#include <cmath>
#include <filesystem>
#include <limits>

#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::RawTensor;
using testing::SafetensorsFile;
using testing::TempDir;

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

RawTensor Floats(const std::string& name, const std::vector<float>& values) {
  return {name, "F32", {static_cast<int64_t>(values.size())}, Bytes(values)};
}

absl::StatusOr<Weights> OpenWeights(const TempDir& temp) {
  const absl::StatusOr<ModelDir> dir = ModelDir::Open(temp.path());
  EXPECT_TRUE(dir.ok()) << dir.status();
  return Weights::Open(*dir);
}

std::string OpenError(const TempDir& temp) {
  const absl::StatusOr<Weights> weights = OpenWeights(temp);
  return weights.ok() ? "none" : std::string(weights.status().message());
}

absl::StatusOr<std::vector<float>> Read(const Weights& weights, std::string_view name,
                                        std::vector<int64_t> shape) {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  std::vector<float> values(count, -7);
  const absl::Status status = weights.Read(name, shape, values);
  if (!status.ok()) return status;
  return values;
}

// IEEE 754 binary16, by its definition.
float F16ByDefinition(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return static_cast<float>((bits & 0x8000) != 0 ? -magnitude : magnitude);
}

TEST(WeightsTest, ReadsFloatsAsTheyAre) {
  TempDir temp;
  const std::vector<float> values = {1.5f, -0.0f, 1e-42f, std::numeric_limits<float>::max()};
  temp.Write("model.safetensors",
             SafetensorsFile({Floats("other", {9}), {"w", "F32", {2, 2}, Bytes(values)}}));
  const auto weights = OpenWeights(temp);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const auto read = Read(*weights, "w", {2, 2});
  ASSERT_TRUE(read.ok()) << read.status();
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint32_t>((*read)[i]), std::bit_cast<uint32_t>(values[i]));
  }
}

TEST(WeightsTest, WidensEveryFiniteHalfExactly) {
  TempDir temp;
  std::vector<uint16_t> f16, bf16;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) != 0x7c00) f16.push_back(static_cast<uint16_t>(bits));
    if ((bits & 0x7f80) != 0x7f80) bf16.push_back(static_cast<uint16_t>(bits));
  }
  const auto count16 = static_cast<int64_t>(f16.size());
  const auto count_b16 = static_cast<int64_t>(bf16.size());
  temp.Write("model.safetensors", SafetensorsFile({{"f16", "F16", {count16}, Bytes(f16)},
                                                   {"bf16", "BF16", {count_b16}, Bytes(bf16)}}));
  const auto weights = OpenWeights(temp);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const auto from_f16 = Read(*weights, "f16", {count16});
  const auto from_bf16 = Read(*weights, "bf16", {count_b16});
  ASSERT_TRUE(from_f16.ok() && from_bf16.ok());
  for (size_t i = 0; i < f16.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>((*from_f16)[i]),
              std::bit_cast<uint32_t>(F16ByDefinition(f16[i])))
        << f16[i];
  }
  for (size_t i = 0; i < bf16.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>((*from_bf16)[i]), uint32_t{bf16[i]} << 16) << bf16[i];
  }
}

TEST(WeightsTest, ReadsTensorsLongerThanOneChunk) {
  TempDir temp;
  std::vector<float> values(700'000);
  std::vector<uint16_t> halves(700'000);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i);
    halves[i] = static_cast<uint16_t>(0x3f80 + i % 128);
  }
  temp.Write("model.safetensors",
             SafetensorsFile({Floats("w", values), {"h", "BF16", {700'000}, Bytes(halves)}}));
  const auto weights = OpenWeights(temp);
  ASSERT_TRUE(weights.ok());
  EXPECT_EQ(*Read(*weights, "w", {700'000}), values);
  const auto read = *Read(*weights, "h", {700'000});
  for (size_t i = 0; i < read.size(); ++i)
    ASSERT_EQ(read[i], 1.0f + static_cast<float>(i % 128) / 128);
}

TEST(WeightsTest, NaNAndInfinityAreRefusedWhereverTheyStand) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> late(300'000, 1.0f);
  late.back() = nan;
  for (const RawTensor& tensor : {Floats("w", {1, nan}), Floats("w", {-inf, 1}), Floats("w", late),
                                  RawTensor{"w", "F16", {1}, Bytes<uint16_t>({0x7c00})},
                                  RawTensor{"w", "F16", {2}, Bytes<uint16_t>({1, 0xfe00})},
                                  RawTensor{"w", "BF16", {1}, Bytes<uint16_t>({0x7f80})},
                                  RawTensor{"w", "BF16", {1}, Bytes<uint16_t>({0xffc0})}}) {
    TempDir temp;
    temp.Write("model.safetensors", SafetensorsFile({tensor}));
    const auto weights = OpenWeights(temp);
    ASSERT_TRUE(weights.ok());
    const absl::Status status = Read(*weights, "w", tensor.shape).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ToStd(status.message()), "model.safetensors: tensor w holds NaN or Inf")
        << tensor.dtype;
  }
}

TEST(WeightsTest, ReadRefusesOtherNamesShapesAndTypes) {
  TempDir temp;
  temp.Write("model.safetensors", SafetensorsFile({{"w", "F32", {2, 3}, std::string(24, '\0')},
                                                   {"i", "I64", {1}, std::string(8, '\0')}}));
  const auto weights = OpenWeights(temp);
  ASSERT_TRUE(weights.ok());
  const auto message = [&](std::string_view name, std::vector<int64_t> shape) {
    return std::string(Read(*weights, name, std::move(shape)).status().message());
  };
  EXPECT_EQ(Read(*weights, "v", {1}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(message("v", {1}), "model.safetensors: tensor v is missing");
  EXPECT_EQ(message("w", {3, 2}), "model.safetensors: tensor w has shape [2, 3]; [3, 2] is wanted");
  EXPECT_EQ(message("w", {6}), "model.safetensors: tensor w has shape [2, 3]; [6] is wanted");
  EXPECT_EQ(message("i", {1}),
            "model.safetensors: tensor i has dtype I64; F32, F16 or BF16 is wanted");
}

TEST(WeightsTest, SaysWhatTheCheckpointHolds) {
  TempDir temp;
  temp.Write("model.safetensors", SafetensorsFile({{"b", "BF16", {4, 5}, std::string(40, '\0')},
                                                   {"a", "F32", {2}, std::string(8, '\0')},
                                                   {"z", "F32", {0, 9}, ""}}));
  const auto weights = OpenWeights(temp);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_THAT(weights->Names(), ElementsAre("a", "b", "z"));
  EXPECT_EQ(weights->checkpoint_type(), "BF16");
  EXPECT_EQ(weights->element_count(), 22u);
  EXPECT_TRUE(weights->Has("a"));
  EXPECT_FALSE(weights->Has("c"));
  EXPECT_EQ(weights->Find("c"), nullptr);
  EXPECT_EQ(weights->Find("b")->shape, (std::vector<int64_t>{4, 5}));
  EXPECT_THAT(weights->file_names(), ElementsAre("model.safetensors"));
  EXPECT_TRUE(Read(*weights, "z", {0, 9}).ok());
}

TEST(WeightsTest, AFileCutAtAnyByteIsRefused) {
  const std::string whole = SafetensorsFile({Floats("w", {1, 2}), Floats("v", {3})});
  TempDir temp;
  temp.Write("model.safetensors", whole);
  EXPECT_EQ(OpenError(temp), "none");
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    temp.Write("model.safetensors", whole.substr(0, bytes));
    EXPECT_THAT(OpenError(temp), ::testing::StartsWith("model.safetensors: ")) << bytes;
  }
  temp.Write("model.safetensors", whole + "x");
  EXPECT_EQ(OpenError(temp), "model.safetensors: tensors cover 12 bytes of data; the file has 13");
}

TEST(WeightsTest, AFileThatIsCutAfterItWasOpenedIsDataLoss) {
  TempDir temp;
  temp.Write("model.safetensors", SafetensorsFile({Floats("w", {1, 2})}));
  const auto weights = OpenWeights(temp);
  ASSERT_TRUE(weights.ok());
  std::filesystem::resize_file(temp / "model.safetensors", 20);
  EXPECT_EQ(Read(*weights, "w", {2}).status().code(), absl::StatusCode::kDataLoss);
}

TEST(WeightsTest, ASparseFileOfATerabyteIsRefusedWithoutReadingIt) {
  TempDir temp;
  temp.Write("model.safetensors", SafetensorsFile({Floats("w", {1})}));
  std::filesystem::resize_file(temp / "model.safetensors", uint64_t{1} << 40);
  EXPECT_THAT(OpenError(temp),
              HasSubstr("model.safetensors: has 1099511627776 bytes; the limit is 68719476736"));
  std::filesystem::resize_file(temp / "model.safetensors", uint64_t{1} << 35);
  EXPECT_THAT(OpenError(temp), HasSubstr("model.safetensors: tensors cover 4 bytes of data"));
}

TEST(WeightsTest, WithoutWeightsItSaysWhatIsLookedFor) {
  TempDir temp;
  temp.Write("pytorch_model.bin", "x");
  EXPECT_EQ(OpenWeights(temp).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(OpenError(temp),
              HasSubstr("model.safetensors: not found, nor model.safetensors.index.json"));
}

// Two shards and their index.
class ShardedTest : public ::testing::Test {
 protected:
  ShardedTest() {
    temp_.Write("model-1.safetensors", SafetensorsFile({Floats("a", {1, 2}), Floats("c", {3})}));
    temp_.Write("model-2.safetensors", SafetensorsFile({Floats("b", {4})}));
    Index(
        R"({"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"})");
  }
  void Index(std::string_view weight_map) {
    temp_.Write("model.safetensors.index.json",
                StrCat(R"({"metadata": {"total_size": 16}, "weight_map": )", weight_map, "}"));
  }
  TempDir temp_;
};

TEST_F(ShardedTest, ReadsEachTensorFromItsShard) {
  const auto weights = OpenWeights(temp_);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_THAT(weights->Names(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(*Read(*weights, "a", {2}), ElementsAre(1, 2));
  EXPECT_THAT(*Read(*weights, "b", {1}), ElementsAre(4));
  EXPECT_THAT(*Read(*weights, "c", {1}), ElementsAre(3));
  EXPECT_EQ(weights->element_count(), 4u);
  EXPECT_THAT(weights->file_names(), ElementsAre("model-1.safetensors", "model-2.safetensors"));
}

TEST_F(ShardedTest, AWholeFileTakesPrecedenceOverTheIndex) {
  temp_.Write("model.safetensors", SafetensorsFile({Floats("only", {1})}));
  EXPECT_THAT(OpenWeights(temp_)->Names(), ElementsAre("only"));
}

TEST_F(ShardedTest, AnIndexThatDoesNotMatchItsShardsIsRefused) {
  const std::string index = "model.safetensors.index.json: ";
  for (const auto& [weight_map, error] : {
           std::pair(R"({"a": "model-2.safetensors", "b": "model-2.safetensors"})",
                     "tensor a is not in model-2.safetensors, where the index has it"),
           {R"({"a": "model-1.safetensors", "d": "model-1.safetensors"})",
            "tensor d is not in model-1.safetensors"},
           {R"({"a": "../model-1.safetensors"})",
            "the shard of tensor a is no file name without slashes"},
           {R"({"a": 1})", "the shard of tensor a is no file name without slashes"},
           {R"({"a": "x", "a": "y"})", "key \"a\" appears twice"},
           {"{}", "weight_map is empty"},
           {"[]", "weight_map is missing or no object"},
       }) {
    Index(weight_map);
    EXPECT_THAT(OpenError(temp_), HasSubstr(StrCat(index, error))) << weight_map;
  }
  temp_.Write("model.safetensors.index.json", "[1]");
  EXPECT_EQ(OpenError(temp_), index + "weight_map is missing or no object");
  temp_.Write("model.safetensors.index.json", "{");
  EXPECT_THAT(OpenError(temp_), HasSubstr(index + "is no valid JSON"));
}

TEST_F(ShardedTest, AShardThatIsMissingOrBadIsNamed) {
  Index(R"({"a": "model-3.safetensors"})");
  EXPECT_EQ(OpenError(temp_), "model-3.safetensors: not found");
  Index(R"({"a": ".."})");
  EXPECT_EQ(OpenError(temp_), "..: is not a name within the model directory");
  Index(R"({"a": "model-1.safetensors", "b": "model-2.safetensors"})");
  temp_.Write("model-2.safetensors", "short");
  EXPECT_EQ(OpenError(temp_), "model-2.safetensors: has 5 bytes; the length field alone has 8");
}

TEST_F(ShardedTest, ATensorInTwoShardsIsRefused) {
  temp_.Write("model-2.safetensors", SafetensorsFile({Floats("b", {4}), Floats("a", {5})}));
  EXPECT_EQ(OpenError(temp_), "model-2.safetensors: tensor a is in another shard already");
}

TEST_F(ShardedTest, TheNumberOfShardsIsBounded) {
  std::string weight_map = "{";
  for (size_t i = 0; i <= Weights::kShardsMax; ++i)
    weight_map += StrCat(i == 0 ? "" : ",", "\"", i, "\":\"", i, ".st\"");
  Index(weight_map + "}");
  EXPECT_THAT(OpenError(temp_), HasSubstr("names 1025 shards; the limit is 1024"));
}

}  // namespace
}  // namespace attnd
