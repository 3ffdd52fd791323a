// Goal: fields that few checkpoints have mean what the reference's code makes of them. Method: a
// tiny config of the family with such a field.
#include "core/model/families.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/tiny_families.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using testing::TinyConfig;
using testing::TinyModel;

// The tiny config with these fields set, to null too.
absl::StatusOr<ArchSpec> DescribeWith(const TinyModel& model, const Json& fields) {
  Json config = TinyConfig(model);
  for (const auto& [key, value] : fields.items()) config[key] = value;
  return DescribeArch(config, "config.json");
}

ArchSpec Described(const TinyModel& model, const Json& fields) {
  const absl::StatusOr<ArchSpec> arch = DescribeWith(model, fields);
  EXPECT_TRUE(arch.ok()) << arch.status();
  return arch.value_or(ArchSpec{});
}

std::string ErrorOf(const TinyModel& model, const Json& fields) {
  const absl::StatusOr<ArchSpec> arch = DescribeWith(model, fields);
  return arch.ok() ? "none" : std::string(arch.status().message());
}

TEST(T5DetailsTest, WhatIsDerivedFromTheProjectionCanBeSaidOutright) {
  const TinyModel model{.family = "t5"};
  const Json flan{
      {"feed_forward_proj", "gated-gelu"}, {"dense_act_fn", "gelu"}, {"is_gated_act", true}};
  EXPECT_EQ(Described(model, flan).encoder.activation, Activation::kGeluErf);
  EXPECT_TRUE(Described(model, flan).encoder.gated);
  const Json plain{{"feed_forward_proj", "gated-gelu"}, {"is_gated_act", false}};
  EXPECT_FALSE(Described(model, plain).encoder.gated);
  EXPECT_THAT(ErrorOf(model, {{"dense_act_fn", "laplace"}}), HasSubstr("dense_act_fn"));
}

TEST(T5DetailsTest, Mt5IsGatedUnlessItSaysOtherwise) {
  Json config = TinyConfig({.family = "t5"});
  for (const char* key : {"feed_forward_proj", "dense_act_fn", "is_gated_act"}) config.erase(key);
  EXPECT_FALSE(DescribeArch(config, "config.json")->encoder.gated);
  config["model_type"] = "mt5";
  EXPECT_TRUE(DescribeArch(config, "config.json")->encoder.gated);
}

TEST(ModernBertDetailsTest, AnglesComeFromWhereverTheReferenceLooks) {
  const TinyModel model{.family = "modernbert"};
  // Null, unlike absent: as the layers that see everything.
  const ArchSpec null =
      Described(model, {{"global_rope_theta", 500.0}, {"local_rope_theta", nullptr}});
  EXPECT_EQ(null.encoder.local_theta, 500);
  const Json nothing = Json::object({{"rope_type", "default"}});
  const ArchSpec old = Described(
      model, {{"global_rope_theta", 500.0},
              {"local_rope_theta", 50.0},
              {"rope_parameters", {{"full_attention", nothing}, {"sliding_attention", nothing}}}});
  EXPECT_EQ(old.encoder.theta, 500);
  EXPECT_EQ(old.encoder.local_theta, 50);
  const Json linear = Json::object({{"type", "linear"}});
  EXPECT_THAT(ErrorOf(model, {{"rope_parameters",
                               {{"full_attention", linear}, {"sliding_attention", linear}}}}),
              HasSubstr("linear"));
}

TEST(ModernBertDetailsTest, TheWindowMayHaveTwoNamesButOneSize) {
  const TinyModel model{.family = "modernbert"};
  EXPECT_EQ(Described(model, {{"local_attention", 12}, {"sliding_window", 6}}).encoder.window, 6);
  EXPECT_THAT(ErrorOf(model, {{"local_attention", 12}, {"sliding_window", 8}}),
              HasSubstr("sliding_window"));
}

TEST(HeadDetailsTest, ACrossEncodersOwnFunctionComesFirst) {
  const TinyModel model{.head = HeadKind::kSequenceLabels};
  const auto function = [&](const Json& fields) { return Described(model, fields).score_function; };
  EXPECT_EQ(function({{"sentence_transformers",
                       {{"activation_fn", "torch.nn.modules.linear.Identity"}}}}),
            ScoreFunction::kNone);
  EXPECT_EQ(
      function({{"sbert_ce_default_activation_function", "torch.nn.modules.activation.Sigmoid"}}),
      ScoreFunction::kSigmoid);
  EXPECT_THAT(ErrorOf(model, {{"sbert_ce_default_activation_function", "torch.nn.Softplus"}}),
              HasSubstr("activation_fn"));
}

}  // namespace
}  // namespace attnd
