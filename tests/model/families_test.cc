// Goal: each family's config.json, as transformers 4.x and 5.x write it, is described as they mean
// it, or refused by the name of the field that no block computes. Method: a tiny config of each
// family with some fields changed.
#include "core/model/families.h"

#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/tiny_families.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Json = nlohmann::json;
using testing::TinyModel;
using testing::TinyModels;

// The tiny config with fields replaced by `changes`; null takes a field out.
absl::StatusOr<ArchSpec> Describe(const TinyModel& model, const Json& changes = Json::object()) {
  Json config = TinyConfig(model);
  config.merge_patch(changes);
  return DescribeArch(config, "config.json");
}

std::string ErrorOf(const TinyModel& model, const Json& changes) {
  const absl::StatusOr<ArchSpec> arch = Describe(model, changes);
  return arch.ok() ? "none" : std::string(arch.status().message());
}

ArchSpec Described(const TinyModel& model, const Json& changes = Json::object()) {
  const absl::StatusOr<ArchSpec> arch = Describe(model, changes);
  EXPECT_TRUE(arch.ok()) << arch.status();
  return arch.value_or(ArchSpec{});
}

TEST(FamiliesTest, EveryFamilyIsKnownByItsModelTypeWithEveryHead) {
  for (const TinyModel& model : TinyModels()) {
    SCOPED_TRACE(NameOf(model));
    const ArchSpec arch = Described(model);
    EXPECT_EQ(arch.family, model.family);
    EXPECT_EQ(arch.hidden, model.hidden);
    EXPECT_EQ(arch.vocabulary, testing::TinyVocabularySize());
    EXPECT_EQ(arch.encoder.layers, model.layers);
    EXPECT_EQ(arch.encoder.heads, model.heads);
    EXPECT_EQ(arch.encoder.inner, model.inner);
    EXPECT_EQ(arch.head.kind, model.head);
    EXPECT_EQ(arch.length_max, model.family == "t5" ? 512 : model.positions);
  }
}

TEST(FamiliesTest, AnUnknownModelTypeIsRefusedWithTheKnownOnes) {
  EXPECT_THAT(ErrorOf({}, {{"model_type", "deberta-v2"}}), HasSubstr("config.json: model_type"));
  EXPECT_THAT(ErrorOf({}, {{"model_type", "deberta-v2"}}), HasSubstr("modernbert"));
  EXPECT_THAT(ErrorOf({}, {{"model_type", nullptr}}), HasSubstr("model_type"));
}

TEST(FamiliesTest, WhatWouldChangeAnswersIsRefusedByNameInEveryFamily) {
  for (const TinyModel& model : TinyModels()) {
    SCOPED_TRACE(NameOf(model));
    const bool t5 = model.family == "t5";
    EXPECT_THAT(ErrorOf(model, {{"quantization_config", {{"bits", 4}}}}),
                HasSubstr("config.json: quantization_config"));
    EXPECT_THAT(ErrorOf(model, {{"is_decoder", true}}), HasSubstr("is_decoder"));
    const char* activation = t5                             ? "feed_forward_proj"
                             : model.family == "modernbert" ? "hidden_activation"
                             : model.family == "distilbert" ? "activation"
                                                            : "hidden_act";
    EXPECT_THAT(ErrorOf(model, {{activation, "laplace"}}), HasSubstr(activation));
    if (t5) continue;
    // The reference reads it in these alone; mmBERT, a ModernBERT, says "sans_pos".
    const bool reads_it = model.family == "bert" || model.family.ends_with("roberta");
    EXPECT_THAT(ErrorOf(model, {{"position_embedding_type", "relative_key"}}),
                HasSubstr(reads_it ? "position_embedding_type" : "none"));
    const char* heads = model.family == "distilbert" ? "n_heads" : "num_attention_heads";
    EXPECT_THAT(ErrorOf(model, {{heads, 3}}), HasSubstr(heads));
  }
}

TEST(FamiliesTest, ActivationsAreTheReferences) {
  const std::pair<const char*, Activation> known[] = {{"gelu", Activation::kGeluErf},
                                                      {"gelu_new", Activation::kGeluTanh},
                                                      {"gelu_pytorch_tanh", Activation::kGeluTanh},
                                                      {"relu", Activation::kRelu}};
  for (const auto& [name, activation] : known) {
    EXPECT_EQ(Described({}, {{"hidden_act", name}}).encoder.activation, activation);
    EXPECT_EQ(Described({.family = "distilbert"}, {{"activation", name}}).encoder.activation,
              activation);
    EXPECT_EQ(Described({.family = "modernbert"}, {{"hidden_activation", name}}).encoder.activation,
              activation);
  }
}

TEST(FamiliesTest, RobertaCountsFromBehindThePaddingToken) {
  for (const char* family : {"roberta", "xlm-roberta"}) {
    const ArchSpec arch = Described({.family = family});
    EXPECT_EQ(arch.embed.positions, 66);
    EXPECT_EQ(arch.embed.position_offset, 2);
    EXPECT_EQ(arch.embed.unplaced_token, 1);
    EXPECT_EQ(arch.embed.token_types, 1);
    EXPECT_EQ(arch.norm_epsilon, 1e-5f);
    EXPECT_TRUE(arch.pooler);
    const ArchSpec other = Described({.family = family}, {{"pad_token_id", 5}});
    EXPECT_EQ(other.embed.position_offset, 6);
    EXPECT_EQ(other.length_max, 60);
    EXPECT_THAT(ErrorOf({.family = family}, {{"max_position_embeddings", 2}}),
                HasSubstr("max_position_embeddings"));
    // The reference's class has BERT's defaults, whatever its checkpoints say.
    const ArchSpec absent = Described(
        {.family = family},
        {{"layer_norm_eps", nullptr}, {"pad_token_id", nullptr}, {"type_vocab_size", nullptr}});
    EXPECT_EQ(absent.norm_epsilon, 1e-12f);
    EXPECT_EQ(absent.embed.token_types, 2);
    EXPECT_EQ(absent.embed.position_offset, 2);
  }
}

TEST(FamiliesTest, DistilBertHasNeitherTypesNorPooler) {
  const ArchSpec arch = Described({.family = "distilbert"});
  EXPECT_EQ(arch.embed.token_types, 0);
  EXPECT_EQ(arch.embed.position_offset, 0);
  EXPECT_EQ(arch.norm_epsilon, 1e-12f);
  EXPECT_FALSE(arch.pooler);
}

TEST(FamiliesTest, MpnetHasTheBucketsOfTheReferenceAndNoOthers) {
  const ArchSpec arch = Described({.family = "mpnet"});
  EXPECT_EQ(arch.encoder.relative.buckets, 32);
  EXPECT_EQ(arch.encoder.relative.distance_max, 128);
  EXPECT_EQ(arch.embed.position_offset, 2);
  EXPECT_EQ(arch.embed.token_types, 0);
  EXPECT_THAT(ErrorOf({.family = "mpnet"}, {{"relative_attention_num_buckets", 16}}),
              HasSubstr("relative_attention_num_buckets"));
}

constexpr char kModern[] = "modernbert";

// What transformers 5.x writes in place of 4.x's three fields.
Json NewStyle() {
  return {{"global_attn_every_n_layers", nullptr},
          {"global_rope_theta", nullptr},
          {"local_rope_theta", nullptr},
          {"layer_types",
           {"sliding_attention", "full_attention", "full_attention", "sliding_attention"}},
          {"rope_parameters",
           {{"full_attention", {{"rope_theta", 80000.0}, {"rope_type", "default"}}},
            {"sliding_attention", {{"rope_theta", 5000.0}, {"rope_type", "default"}}}}}};
}

TEST(ModernBertTest, TheConfigOfTransformers4IsRead) {
  const ArchSpec arch = Described({.family = kModern, .layers = 5, .local_attention = 12},
                                  {{"global_attn_every_n_layers", 2},
                                   {"global_rope_theta", 1000.0},
                                   {"local_rope_theta", 100.0}});
  EXPECT_THAT(arch.encoder.local_layers, ElementsAre(0, 1, 0, 1, 0));
  EXPECT_EQ(arch.encoder.theta, 1000);
  EXPECT_EQ(arch.encoder.local_theta, 100);
  EXPECT_EQ(arch.encoder.window, 6);
  EXPECT_TRUE(arch.encoder.gated);
  EXPECT_FALSE(arch.encoder.first_norm);
  EXPECT_TRUE(arch.encoder.final_norm);
  EXPECT_EQ(arch.encoder.attention_bias, Bias::kNo);
  EXPECT_EQ(arch.embed.positions, 0);
}

TEST(ModernBertTest, TheConfigOfTransformers5IsRead) {
  const ArchSpec arch = Described({.family = kModern, .layers = 4}, NewStyle());
  EXPECT_THAT(arch.encoder.local_layers, ElementsAre(1, 0, 0, 1));
  EXPECT_EQ(arch.encoder.theta, 80000);
  EXPECT_EQ(arch.encoder.local_theta, 5000);
}

TEST(ModernBertTest, AbsentFieldsHaveTheReferencesDefaults) {
  const ArchSpec arch =
      Described({.family = kModern, .layers = 4}, {{"attention_bias", nullptr},
                                                   {"global_attn_every_n_layers", nullptr},
                                                   {"global_rope_theta", nullptr},
                                                   {"hidden_activation", nullptr},
                                                   {"local_attention", nullptr},
                                                   {"local_rope_theta", nullptr},
                                                   {"norm_eps", nullptr}});
  EXPECT_THAT(arch.encoder.local_layers, ElementsAre(0, 1, 1, 0));
  EXPECT_EQ(arch.encoder.theta, 160000);
  EXPECT_EQ(arch.encoder.local_theta, 10000);
  EXPECT_EQ(arch.encoder.window, 64);
  EXPECT_EQ(arch.encoder.activation, Activation::kGeluErf);
  EXPECT_EQ(arch.norm_epsilon, 1e-5f);
}

TEST(ModernBertTest, OtherRotaryPositionsAreRefused) {
  const TinyModel model{.family = kModern, .layers = 4};
  EXPECT_THAT(ErrorOf(model, {{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}),
              HasSubstr("rope_scaling"));
  Json scaled = NewStyle();
  scaled["rope_parameters"]["sliding_attention"]["rope_type"] = "yarn";
  EXPECT_THAT(ErrorOf(model, scaled), HasSubstr("rope_parameters"));
  EXPECT_THAT(ErrorOf(model, scaled), HasSubstr("yarn"));
  // Not sorted by kind of layer: whose it is, nobody says.
  Json flat = NewStyle();
  flat["rope_parameters"] = {{"rope_theta", 10000.0}, {"rope_type", "linear"}, {"factor", 2.0}};
  Json whole = TinyConfig(model);
  whole["rope_parameters"] = flat["rope_parameters"];
  const absl::StatusOr<ArchSpec> arch = DescribeArch(whole, "config.json");
  EXPECT_THAT(arch.status().message(), HasSubstr("rope_parameters"));
  whole["rope_parameters"] = "default";
  EXPECT_THAT(DescribeArch(whole, "config.json").status().message(), HasSubstr("rope_parameters"));
  EXPECT_THAT(ErrorOf(model, {{"global_rope_theta", 0.0}}), HasSubstr("global_rope_theta"));
}

TEST(ModernBertTest, LayersMustBeNamedOneByOne) {
  const TinyModel model{.family = kModern, .layers = 4};
  Json changes = NewStyle();
  changes["layer_types"].erase(0);
  EXPECT_THAT(ErrorOf(model, changes), HasSubstr("layer_types"));
  changes["layer_types"].push_back("chunked_attention");
  EXPECT_THAT(ErrorOf(model, changes), HasSubstr("layer_types"));
  changes["layer_types"] = "full_attention";
  EXPECT_THAT(ErrorOf(model, changes), HasSubstr("layer_types"));
}

TEST(ModernBertTest, ItsHeadPoolsAsTheConfigSays) {
  const TinyModel model{.family = kModern, .head = HeadKind::kSequenceLabels};
  EXPECT_EQ(Described(model).head.pooling, Pooling::kMean);
  EXPECT_EQ(Described(model, {{"classifier_pooling", "cls"}}).head.pooling, Pooling::kCls);
  EXPECT_EQ(Described(model, {{"classifier_pooling", nullptr}}).head.pooling, Pooling::kCls);
  EXPECT_THAT(ErrorOf(model, {{"classifier_pooling", "max"}}), HasSubstr("classifier_pooling"));
  EXPECT_THAT(ErrorOf(model, {{"classifier_activation", "laplace"}}),
              HasSubstr("classifier_activation"));
}

TEST(T5Test, TheFeedForwardLayerIsWhatItsNameSays) {
  struct {
    const char* name;
    Activation activation;
    bool gated;
  } const known[] = {{"relu", Activation::kRelu, false},
                     {"gated-gelu", Activation::kGeluTanh, true},
                     {"gated-relu", Activation::kRelu, true},
                     {"gated-silu", Activation::kSilu, true}};
  for (const auto& [name, activation, gated] : known) {
    const ArchSpec arch = Described({.family = "t5"}, {{"feed_forward_proj", name}});
    EXPECT_EQ(arch.encoder.activation, activation) << name;
    EXPECT_EQ(arch.encoder.gated, gated) << name;
  }
  EXPECT_THAT(ErrorOf({.family = "t5"}, {{"feed_forward_proj", "gated"}}),
              HasSubstr("feed_forward_proj"));
}

TEST(T5Test, ItHasDistancesInPlaceOfPositions) {
  const ArchSpec arch = Described({.family = "t5"});
  EXPECT_EQ(arch.encoder.relative.buckets, 16);
  EXPECT_EQ(arch.encoder.relative.distance_max, 24);
  EXPECT_EQ(arch.encoder.head_size, 16);
  EXPECT_EQ(arch.encoder.norm, NormKind::kRms);
  EXPECT_FALSE(arch.encoder.scaled);
  EXPECT_EQ(arch.norm_epsilon, 1e-6f);
  EXPECT_GE(arch.length_max, 512);
  // Configs before transformers 4.17 lack it.
  EXPECT_EQ(Described({.family = "t5"}, {{"relative_attention_max_distance", nullptr}})
                .encoder.relative.distance_max,
            128);
  EXPECT_THAT(ErrorOf({.family = "t5"}, {{"relative_attention_num_buckets", 7}}),
              HasSubstr("relative_attention_num_buckets"));
  EXPECT_THAT(ErrorOf({.family = "t5"}, {{"relative_attention_max_distance", 2}}),
              HasSubstr("relative_attention_max_distance"));
}

TEST(HeadTest, TheClassInArchitecturesDecides) {
  EXPECT_EQ(Described({}, {{"architectures", nullptr}}).head.kind, HeadKind::kNone);
  EXPECT_EQ(Described({}, {{"architectures", Json::array()}}).head.kind, HeadKind::kNone);
  EXPECT_EQ(Described({}, {{"architectures", {"BertForPreTraining"}}}).head.kind,
            HeadKind::kVocabulary);
  EXPECT_THAT(ErrorOf({}, {{"architectures", "BertModel"}}), HasSubstr("architectures"));
  EXPECT_THAT(ErrorOf({}, {{"architectures", {1}}}), HasSubstr("architectures"));
}

TinyModel WithHead(HeadKind head) { return {.head = head}; }

TEST(HeadTest, LabelsComeFromId2labelInTheOrderOfTheIds) {
  Json labels;
  for (int i = 0; i < 12; ++i) labels[std::to_string(i)] = StrCat("L", i);
  for (const HeadKind kind : {HeadKind::kSequenceLabels, HeadKind::kTokenLabels}) {
    const ArchSpec arch = Described(WithHead(kind), {{"id2label", labels}});
    ASSERT_THAT(arch.labels, SizeIs(12));
    EXPECT_EQ(arch.labels[2], "L2");
    EXPECT_EQ(arch.labels[11], "L11");
    EXPECT_EQ(arch.head.outputs, 12);
    EXPECT_THAT(Described(WithHead(kind), {{"id2label", nullptr}}).labels,
                ElementsAre("LABEL_0", "LABEL_1"));
    EXPECT_THAT(ErrorOf(WithHead(kind), {{"id2label", {{"1", 7}}}}), HasSubstr("bytes for 1"));
    EXPECT_THAT(ErrorOf(WithHead(kind), {{"id2label", {{"1", std::string(257, 'x')}}}}),
                HasSubstr("256 bytes for 1"));
    EXPECT_THAT(ErrorOf(WithHead(kind), {{"id2label", {{"POSITIVE", "1"}}}}),
                HasSubstr("POSITIVE, which is no id"));
  }
  EXPECT_THAT(Described(WithHead(HeadKind::kSpan)).labels, SizeIs(0));
}

// As many as id2label has entries, which is transformers' num_labels.
TEST(HeadTest, LabelsWithoutANameAreCalledByTheirId) {
  const auto labels = [](const Json& by_id) {
    Json config = TinyConfig(WithHead(HeadKind::kTokenLabels));
    config["id2label"] = by_id;
    const auto arch = DescribeArch(config, "config.json");
    EXPECT_TRUE(arch.ok()) << arch.status();
    return arch.ok() ? arch->labels : std::vector<std::string>();
  };
  EXPECT_THAT(labels({{"0", "a"}, {"2", "c"}, {"3", "d"}}), ElementsAre("a", "LABEL_1", "c"));
  EXPECT_THAT(labels({{"1", "a"}, {"2", "b"}}), ElementsAre("LABEL_0", "a"));
  EXPECT_THAT(labels({{"0", nullptr}, {"1", "b"}}), ElementsAre("LABEL_0", "b"));
}

TEST(HeadTest, ScoresAreMadeAsTheReferencesPipelineMakesThem) {
  const TinyModel three = WithHead(HeadKind::kSequenceLabels);
  EXPECT_EQ(Described(three).score_function, ScoreFunction::kSoftmax);
  const auto of = [&](const char* type) {
    return Described(three, {{"problem_type", type}}).score_function;
  };
  EXPECT_EQ(of("single_label_classification"), ScoreFunction::kSoftmax);
  EXPECT_EQ(of("multi_label_classification"), ScoreFunction::kSigmoid);
  EXPECT_EQ(of("regression"), ScoreFunction::kNone);
  EXPECT_THAT(ErrorOf(three, {{"problem_type", "ranking"}}), HasSubstr("problem_type"));
  EXPECT_EQ(Described({.head = HeadKind::kSequenceLabels, .labels = 1}).score_function,
            ScoreFunction::kSigmoid);
}

TEST(HeadTest, TheVocabularysMatrixIsTheTokenTableUnlessTheConfigSaysOtherwise) {
  for (TinyModel model : TinyModels()) {
    if (model.head != HeadKind::kVocabulary) continue;
    SCOPED_TRACE(NameOf(model));
    EXPECT_TRUE(Described(model).head.tied);
    EXPECT_TRUE(Described(model, {{"tie_word_embeddings", true}}).head.tied);
    EXPECT_FALSE(Described(model, {{"tie_word_embeddings", false}}).head.tied);
    EXPECT_THAT(ErrorOf(model, {{"tie_word_embeddings", "yes"}}), HasSubstr("tie_word_embeddings"));
    EXPECT_EQ(Described(model).head.outputs, testing::TinyVocabularySize());
  }
}

}  // namespace
}  // namespace attnd
