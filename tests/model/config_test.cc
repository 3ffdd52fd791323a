// Goal: a model directory's settings are read as transformers and sentence-transformers mean them,
// or refused by name, and the version changes with everything that changes an answer. Method: a
// tiny BERT with one setting changed.
#include <set>

#include "core/base/strings.h"
#include "core/model/families.h"
#include "core/model/model_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using Json = nlohmann::json;
using testing::TempDir;
using testing::TinyBertConfig;

absl::StatusOr<ModelConfig> Read(const TempDir& temp) {
  const absl::StatusOr<ModelDir> dir = ModelDir::Open(temp.path());
  EXPECT_TRUE(dir.ok()) << dir.status();
  return ReadModelConfig(*dir);
}

std::string ErrorOf(const TempDir& temp) {
  const absl::StatusOr<ModelConfig> config = Read(temp);
  if (config.ok()) return "none";
  EXPECT_EQ(config.status().message().find('\n'), absl::string_view::npos);
  return std::string(config.status().message());
}

// The tiny config with fields replaced by `changes`; null takes a field out.
Json Changed(const Json& changes) {
  Json config = TinyBertConfig({});
  config.merge_patch(changes);
  return config;
}

std::string DescribeError(const Json& changes) {
  const absl::StatusOr<ArchSpec> arch = DescribeArch(Changed(changes), "config.json");
  return arch.ok() ? "none" : std::string(arch.status().message());
}

TEST(FamiliesTest, DescribesBert) {
  const absl::StatusOr<ArchSpec> arch = DescribeArch(TinyBertConfig({}), "config.json");
  ASSERT_TRUE(arch.ok()) << arch.status();
  EXPECT_EQ(arch->family, "bert");
  EXPECT_EQ(arch->hidden, 16);
  EXPECT_EQ(arch->vocabulary, testing::TinyVocabularySize());
  EXPECT_EQ(arch->norm_epsilon, 1e-12f);
  EXPECT_EQ(arch->embed.positions, 64);
  EXPECT_EQ(arch->embed.position_offset, 0);
  EXPECT_EQ(arch->embed.token_types, 2);
  EXPECT_EQ(arch->encoder.layers, 2);
  EXPECT_EQ(arch->encoder.heads, 2);
  EXPECT_EQ(arch->encoder.head_size, 8);
  EXPECT_EQ(arch->encoder.inner, 32);
  EXPECT_EQ(arch->encoder.activation, Activation::kGeluErf);
}

TEST(FamiliesTest, EpsilonIsTakenFromTheConfigAndDefaultsToBerts) {
  EXPECT_EQ(DescribeArch(Changed({{"layer_norm_eps", 1e-5}}), "c")->norm_epsilon, 1e-5f);
  EXPECT_EQ(DescribeArch(Changed({{"layer_norm_eps", nullptr}}), "c")->norm_epsilon, 1e-12f);
}

TEST(FamiliesTest, BothGenerationsOfTransformersAreRead) {
  EXPECT_EQ(DescribeError({{"torch_dtype", "float32"}, {"transformers_version", "4.41.0"}}),
            "none");
  EXPECT_EQ(DescribeError({{"dtype", "float16"},
                           {"transformers_version", "5.23.0"},
                           {"position_embedding_type", nullptr}}),
            "none");
}

TEST(FamiliesTest, ActivationsAreReadByName) {
  EXPECT_EQ(DescribeArch(Changed({{"hidden_act", "gelu_new"}}), "c")->encoder.activation,
            Activation::kGeluTanh);
  EXPECT_EQ(DescribeArch(Changed({{"hidden_act", "gelu_pytorch_tanh"}}), "c")->encoder.activation,
            Activation::kGeluTanh);
  EXPECT_EQ(DescribeArch(Changed({{"hidden_act", "relu"}}), "c")->encoder.activation,
            Activation::kRelu);
  EXPECT_EQ(DescribeArch(Changed({{"hidden_act", "silu"}}), "c")->encoder.activation,
            Activation::kSilu);
  EXPECT_EQ(DescribeError({{"hidden_act", "quick_gelu"}}),
            "config.json: hidden_act is quick_gelu; known are gelu, gelu_new, gelu_pytorch_tanh, "
            "relu, silu, swish, tanh");
}

TEST(FamiliesTest, WhatWouldGiveOtherAnswersIsRefusedByName) {
  EXPECT_EQ(DescribeError({{"model_type", "qwen9"}}),
            "config.json: model_type is qwen9; known are bert, roberta, xlm-roberta, camembert, "
            "distilbert, mpnet, modernbert, t5, mt5");
  EXPECT_EQ(DescribeError({{"model_type", nullptr}}), "config.json: model_type is missing");
  EXPECT_EQ(DescribeError({{"is_decoder", true}}),
            "config.json: is_decoder is true; only encoders are supported");
  EXPECT_EQ(DescribeError({{"add_cross_attention", true}}),
            "config.json: add_cross_attention is true; only encoders are supported");
  EXPECT_EQ(DescribeError({{"position_embedding_type", "relative_key"}}),
            "config.json: position_embedding_type is relative_key; only absolute is supported");
  EXPECT_EQ(DescribeError({{"quantization_config", {{"bits", 4}}}}),
            "config.json: quantization_config is present; quantized weights are not read");
  EXPECT_EQ(DescribeError({{"num_attention_heads", 3}}),
            "config.json: num_attention_heads is 3, which does not divide hidden_size, 16");
}

TEST(FamiliesTest, EverySizeHasARange) {
  for (const auto& [field, max] : {std::pair("hidden_size", int64_t{kHiddenMax}),
                                   {"num_attention_heads", kHiddenMax},
                                   {"num_hidden_layers", kLayersMax},
                                   {"intermediate_size", kInnerMax},
                                   {"vocab_size", kVocabularyMax},
                                   {"max_position_embeddings", kPositionsMax},
                                   {"type_vocab_size", kTokenTypesMax}}) {
    for (const Json& value :
         {Json(0), Json(-1), Json(max + 1), Json(16.0), Json("16"), Json(UINT64_MAX)}) {
      EXPECT_THAT(DescribeError({{field, value}}),
                  HasSubstr(StrCat("; a whole number from 1 to ", max, " is wanted")))
          << field << value;
    }
  }
  EXPECT_EQ(DescribeError({{"hidden_size", nullptr}}), "config.json: hidden_size is missing");
  for (const Json& value : {Json(0), Json(-1e-5), Json(1), Json("1e-5")}) {
    EXPECT_THAT(DescribeError({{"layer_norm_eps", value}}),
                HasSubstr("config.json: layer_norm_eps is "));
  }
}

// A tiny model with sentence-transformers files.
class ModelConfigTest : public ::testing::Test {
 protected:
  ModelConfigTest() {
    testing::WriteTinyBert(temp_.path());
    testing::WriteSentenceTransformersFiles(temp_.path());
  }
  void WritePooling(const Json& json) { temp_.Write("1_Pooling/config.json", json.dump()); }
  void WriteModules(const std::vector<std::pair<std::string, std::string>>& modules) {
    Json json = Json::array();
    for (const auto& [type, path] : modules)
      json.push_back({{"idx", json.size()}, {"path", path}, {"type", type}});
    temp_.Write("modules.json", json.dump());
  }
  TempDir temp_;
};

TEST_F(ModelConfigTest, ReadsTheSentenceTransformersSettings) {
  const absl::StatusOr<ModelConfig> config = Read(temp_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->pooling, Pooling::kMean);
  EXPECT_TRUE(config->normalize);
  EXPECT_EQ(config->length_default, 32);
  EXPECT_THAT(config->files, ElementsAre("1_Pooling/config.json", "config.json", "modules.json",
                                         "sentence_bert_config.json"));
}

TEST_F(ModelConfigTest, WithoutThemItIsTheMeanOfRowsUpToTheLastPosition) {
  for (const char* name : {"modules.json", "1_Pooling", "sentence_bert_config.json"})
    temp_.Remove(name);
  const absl::StatusOr<ModelConfig> config = Read(temp_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->pooling, Pooling::kMean);
  EXPECT_FALSE(config->normalize);
  EXPECT_EQ(config->length_default, 64);
  EXPECT_THAT(config->files, ElementsAre("config.json"));
}

TEST_F(ModelConfigTest, PoolingIsReadInBothForms) {
  for (const auto& [flag, mode, pooling] :
       {std::tuple("pooling_mode_cls_token", "cls", Pooling::kCls),
        {"pooling_mode_mean_tokens", "mean", Pooling::kMean},
        {"pooling_mode_max_tokens", "max", Pooling::kMax},
        {"pooling_mode_lasttoken", "lasttoken", Pooling::kLast}}) {
    Json flags = {{"word_embedding_dimension", 16},
                  {"pooling_mode_cls_token", false},
                  {"pooling_mode_mean_tokens", false}};
    flags[flag] = true;
    WritePooling(flags);
    EXPECT_EQ(Read(temp_)->pooling, pooling) << flag;
    WritePooling({{"embedding_dimension", 16}, {"pooling_mode", mode}, {"include_prompt", true}});
    EXPECT_EQ(Read(temp_)->pooling, pooling) << mode;
  }
}

TEST_F(ModelConfigTest, OtherPoolingsAreRefusedByName) {
  const std::string wanted = "; one of cls, mean, max and lasttoken is wanted";
  for (const auto& [json, error] :
       {std::pair(Json{{"pooling_mode", "weightedmean"}}, "is weightedmean" + wanted),
        {Json{{"pooling_mode_weightedmean_tokens", true}}, "is weightedmean" + wanted},
        {Json{{"pooling_mode_mean_sqrt_len_tokens", true}}, "is mean_sqrt_len_tokens" + wanted},
        {Json{{"pooling_mode_cls_token", true}, {"pooling_mode_max_tokens", true}},
         "is cls and max"},
        {Json{{"pooling_mode", "mean"}, {"pooling_mode_cls_token", true}}, "is cls and mean"},
        {Json{{"pooling_mode", "average"}}, "is average" + wanted},
        {Json{{"pooling_mode", {"cls", "mean"}}}, "is an array; a string is wanted"},
        {Json{{"pooling_mode_cls_token", false}}, "is not set" + wanted}}) {
    WritePooling(json);
    EXPECT_EQ(ErrorOf(temp_), StrCat("1_Pooling/config.json: pooling_mode ", error));
  }
  WritePooling({{"pooling_mode_mean_tokens", "yes"}});
  EXPECT_THAT(ErrorOf(temp_),
              HasSubstr("pooling_mode_mean_tokens is \\\"yes\\\"; true or false is wanted"));
  WritePooling({{"pooling_mode", "mean"}, {"word_embedding_dimension", 384}});
  EXPECT_EQ(
      ErrorOf(temp_),
      "1_Pooling/config.json: word_embedding_dimension is 384; the model's hidden size is 16");
}

TEST_F(ModelConfigTest, ModulesOfNewerReleasesAreKnownByTheirClass) {
  WriteModules(
      {{"sentence_transformers.base.modules.transformer.Transformer", ""},
       {"sentence_transformers.sentence_transformer.modules.pooling.Pooling", "1_Pooling/"}});
  const absl::StatusOr<ModelConfig> config = Read(temp_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->normalize);
}

TEST_F(ModelConfigTest, OtherModulesAndOrdersAreRefusedByName) {
  const std::string prefix = "sentence_transformers.models.";
  const std::string transformer = prefix + "Transformer";
  WriteModules(
      {{transformer, ""}, {prefix + "Pooling", "1_Pooling"}, {prefix + "Dense", "2_Dense"}});
  EXPECT_EQ(ErrorOf(temp_),
            "modules.json: module 2: type is sentence_transformers.models.Dense; "
            "Transformer, Pooling and Normalize are supported");
  WriteModules({{transformer, ""}, {prefix + "Normalize", ""}});
  EXPECT_EQ(
      ErrorOf(temp_),
      "modules.json: module 1: type is Normalize; the order is Transformer, Pooling, Normalize");
  WriteModules({{transformer, ""},
                {prefix + "Pooling", "1_Pooling"},
                {prefix + "Normalize", ""},
                {prefix + "Normalize", ""}});
  EXPECT_THAT(ErrorOf(temp_), HasSubstr("module 3: type is Normalize; the order is"));
  WriteModules({{transformer, "0_Transformer"}});
  EXPECT_EQ(ErrorOf(temp_),
            "modules.json: module 0: path is 0_Transformer; the transformer must be in the "
            "directory itself");
  WriteModules({});
  EXPECT_EQ(ErrorOf(temp_), "modules.json: is no list of modules");
  temp_.Write("modules.json", R"([{"idx": 0, "path": ""}])");
  EXPECT_EQ(ErrorOf(temp_), "modules.json: module 0: type is missing");
  temp_.Write("modules.json", "[1]");
  EXPECT_EQ(ErrorOf(temp_), "modules.json: module 0: is 1, not an object");
}

TEST_F(ModelConfigTest, AModulesPathStaysInTheDirectory) {
  temp_.Write("model/config.json", TinyBertConfig({}).dump());
  for (const std::string& path :
       {std::string("../1_Pooling"), (temp_ / "1_Pooling").string(), std::string("")}) {
    WriteModules({{"Transformer", ""}, {"Pooling", path}});
    std::filesystem::rename(temp_ / "modules.json", temp_ / "model/modules.json");
    const absl::StatusOr<ModelDir> dir = ModelDir::Open(temp_ / "model");
    ASSERT_TRUE(dir.ok());
    EXPECT_THAT(std::string(ReadModelConfig(*dir).status().message()),
                HasSubstr("is not a name within the model directory"));
  }
}

TEST_F(ModelConfigTest, SequenceLengthIsWithinThePositionTable) {
  temp_.Write("sentence_bert_config.json", R"({"max_seq_length": null})");
  EXPECT_EQ(Read(temp_)->length_default, 64);
  temp_.Write("sentence_bert_config.json", R"({"max_seq_length": 64})");
  EXPECT_EQ(Read(temp_)->length_default, 64);
  for (const char* length : {"0", "65", "-5", "1.5", "\"32\""}) {
    temp_.Write("sentence_bert_config.json", StrCat(R"({"max_seq_length": )", length, "}"));
    EXPECT_THAT(ErrorOf(temp_), HasSubstr("; a whole number from 1 to 64 is wanted")) << length;
  }
}

TEST_F(ModelConfigTest, LowerCasingOutsideTheTokenizerIsRefused) {
  temp_.Write("sentence_bert_config.json", R"({"max_seq_length": 32, "do_lower_case": true})");
  EXPECT_EQ(ErrorOf(temp_),
            "sentence_bert_config.json: do_lower_case is true; lower-casing is supported in "
            "tokenizer.json alone");
}

constexpr char kPromptsFile[] = "config_sentence_transformers.json";

TEST_F(ModelConfigTest, PromptsAreReadByNameWithTheirDefault) {
  EXPECT_TRUE(Read(temp_)->prompts.empty());
  temp_.Write(kPromptsFile, R"({"prompts": {"query": "query: ", "document": ""},
                                "default_prompt_name": "query", "similarity_fn_name": "dot"})");
  absl::StatusOr<ModelConfig> config = Read(temp_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->prompts, ElementsAre(Pair("document", ""), Pair("query", "query: ")));
  EXPECT_EQ(config->default_prompt_name, "query");
  EXPECT_THAT(config->files, Contains(kPromptsFile));

  for (const char* none :
       {"{}", R"({"prompts": null, "default_prompt_name": null})", R"({"prompts": {}})"}) {
    temp_.Write(kPromptsFile, none);
    config = Read(temp_);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_TRUE(config->prompts.empty());
    EXPECT_EQ(config->default_prompt_name, "");
  }
}

TEST_F(ModelConfigTest, PromptsThatAreNoneAreRefusedByName) {
  const auto error = [&](const Json& json) {
    temp_.Write(kPromptsFile, json.dump());
    return ErrorOf(temp_);
  };
  const std::string file = StrCat(kPromptsFile, ": ");
  EXPECT_EQ(error({1}), file + "is an array, not an object");
  EXPECT_EQ(error({{"prompts", "query: "}}), file + R"(prompts: is \"query: \", not an object)");
  EXPECT_EQ(error({{"prompts", {{"a\n", 5}}}}),
            file + R"(prompts: a\n is a number; a string is wanted)");
  EXPECT_EQ(error({{"prompts", {{"a", nullptr}}}}),
            file + "prompts: a is a null; a string is wanted");
  EXPECT_EQ(error({{"prompts", {{"a", "b"}}}, {"default_prompt_name", "c"}}),
            file + R"(default_prompt_name is "c", which is no prompt)");
  EXPECT_EQ(error({{"default_prompt_name", ""}}),
            file + R"(default_prompt_name is "", which is no prompt)");
  EXPECT_EQ(error({{"prompts", {{"a", "b"}}}, {"default_prompt_name", 3}}),
            file + "default_prompt_name is 3; a string is wanted");
  temp_.Write(kPromptsFile, R"({"prompts": {"a": "b")");
  EXPECT_THAT(ErrorOf(temp_), HasSubstr(file));
}

TEST_F(ModelConfigTest, PromptsAreBoundInNumberAndSize) {
  const auto read = [&](const Json& prompts) {
    temp_.Write(kPromptsFile, Json{{"prompts", prompts}}.dump());
    return ErrorOf(temp_);
  };
  Json many = Json::object();
  for (int i = 0; i < 64; ++i) many[std::to_string(i)] = "";
  EXPECT_EQ(read(many), "none");
  many["64"] = "";
  EXPECT_THAT(read(many), HasSubstr("65 prompts are more than the limit of 64"));
  EXPECT_EQ(read({{"a", std::string(4096, 'x')}}), "none");
  EXPECT_THAT(read({{"a", std::string(4097, 'x')}}), HasSubstr("a has 4097 bytes; the limit is"));
  EXPECT_EQ(read({{std::string(256, 'x'), ""}}), "none");
  EXPECT_THAT(read({{std::string(257, 'x'), ""}}), HasSubstr("a name of 257 bytes; the limit is"));
}

TEST_F(ModelConfigTest, TheDigestChangesWithEverythingThatChangesAnAnswerAndNothingElse) {
  const auto digest = [&](std::string_view precision = "f32", HeadKind head = HeadKind::kNone) {
    const absl::StatusOr<ModelDir> dir = ModelDir::Open(temp_.path());
    const absl::StatusOr<ModelConfig> config = ReadModelConfig(*dir);
    const absl::StatusOr<Weights> weights = Weights::Open(*dir);
    EXPECT_TRUE(config.ok() && weights.ok());
    const absl::StatusOr<std::string> hex =
        ModelDigest(*dir, *config, *weights, {.precision = precision, .head = head});
    EXPECT_TRUE(hex.ok()) << hex.status();
    EXPECT_EQ(hex->size(), 64u);
    return *hex;
  };
  const std::string first = digest();
  temp_.Write("README.md", "other");
  temp_.Write("tokenizer_config.json", "{}");
  EXPECT_EQ(digest(), first);

  std::set<std::string> digests = {first, digest("bf16")};
  temp_.Write(kPromptsFile, "{}");
  EXPECT_TRUE(digests.insert(digest()).second);
  temp_.Remove(kPromptsFile);
  for (const char* name : {"config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json",
                           "sentence_bert_config.json"}) {
    const std::string before = temp_.Read(name);
    temp_.Write(name, before + " ");
    EXPECT_TRUE(digests.insert(digest()).second) << name;
    temp_.Write(name, before);
  }
  testing::WriteTinyBert(temp_.path(), {.seed = 2});
  EXPECT_TRUE(digests.insert(digest()).second);
  testing::WriteTinyBert(temp_.path());
  EXPECT_EQ(digest(), first);
  temp_.Remove("sentence_bert_config.json");
  EXPECT_TRUE(digests.insert(digest()).second);

  // The mask token is theirs to name, and a head for the vocabulary reads it.
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    temp_.Write(name, R"({"mask_token": "[MASK]"})");
    const std::string before = digest("f32", HeadKind::kVocabulary);
    EXPECT_TRUE(digests.insert(before).second) << name;
    temp_.Write(name, R"({"mask_token": "<mask>"})");
    EXPECT_TRUE(digests.insert(digest("f32", HeadKind::kVocabulary)).second) << name;
    EXPECT_FALSE(digests.insert(digest("f32", HeadKind::kSpan)).second) << name;
  }
}

}  // namespace
}  // namespace attnd
