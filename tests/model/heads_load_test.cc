// Goal: every family's checkpoint loads with every head, nothing of it is left over, and a tensor
// that is missing or has another shape is refused by its name. Method: tiny checkpoints with the
// names that the reference gives; one tensor taken out, renamed or resized.
#include <algorithm>
#include <memory>

#include "core/base/strings.h"
#include "core/model/model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_families.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RawTensor;
using testing::TinyModel;
using testing::TinyModels;

// Without the first tensor nobody knows which prefix a checkpoint has.
std::string WithoutPrefix(std::string name) {
  for (const char* prefix : {"bert.", "roberta.", "distilbert.", "mpnet.", "model."}) {
    if (name.starts_with(prefix)) return name.substr(std::string(prefix).size());
  }
  return name;
}

// What tells that a checkpoint has a head. An encoder is often saved with its training's class in
// config.json and without that class's head: such a model has none.
bool IsOutputOfHead(const std::string& name) {
  for (const char* output :
       {"classifier.weight", "classifier.out_proj.weight", "qa_outputs.weight",
        "cls.predictions.bias", "lm_head.bias", "vocab_projector.bias", "decoder.bias"}) {
    if (name == output) return true;
  }
  return false;
}

class HeadsLoadTest : public ::testing::Test {
 protected:
  HeadsLoadTest() { onednn::UseOneThread(); }

  absl::StatusOr<std::unique_ptr<const Model>> Load(const TinyModel& model,
                                                    const std::vector<RawTensor>& tensors,
                                                    const nlohmann::json& changes = {}) {
    testing::WriteTinyModel(dir_.path(), model);
    nlohmann::json config = TinyConfig(model);
    if (!changes.is_null()) config.merge_patch(changes);
    dir_.Write("config.json", config.dump());
    dir_.Write("model.safetensors", testing::SafetensorsFile(tensors));
    return Model::Load(*ModelDir::Open(dir_.path()), {.batch_rows_max = 256});
  }

  // Logits of the row `row` for ids 5, 6, 7.
  static std::vector<float> Logits(const Model& model) {
    EncodeTask task;
    task.ids = {5, 6, 7};
    task.return_logits = true;
    task.logit_rows = {1};
    model.SizeOutputs(task);
    Encoder::Scratch scratch(model.encoder());
    EncodeTask* tasks[] = {&task};
    const absl::Status status = model.encoder().Run(tasks, scratch);
    EXPECT_TRUE(status.ok()) << status;
    return task.logits_out;
  }

  testing::TempDir dir_;
};

TEST_F(HeadsLoadTest, EveryCheckpointLoadsWhole) {
  for (const TinyModel& shape : TinyModels()) {
    SCOPED_TRACE(NameOf(shape));
    const auto model = Load(shape, TinyTensors(shape));
    ASSERT_TRUE(model.ok()) << model.status();
    const ModelInfo& info = (*model)->info();
    EXPECT_EQ(info.family, shape.family);
    EXPECT_EQ(info.head, shape.head);
    EXPECT_EQ(info.layers, shape.layers);
    EXPECT_THAT(info.leftovers, IsEmpty());
    if (shape.head == HeadKind::kSequenceLabels || shape.head == HeadKind::kTokenLabels) {
      EXPECT_THAT(info.labels, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
    } else {
      EXPECT_THAT(info.labels, IsEmpty());
    }
  }
}

TEST_F(HeadsLoadTest, EveryTensorIsNeeded) {
  for (TinyModel shape : TinyModels()) {
    // The layers of some families are not all alike.
    shape.layers = shape.family == "t5" || shape.family == "modernbert" ? 2 : 1;
    if (shape.head == HeadKind::kNone && shape.family != "t5" && shape.family != "modernbert") {
      continue;  // Its pooler may be missing; the rest is in the checkpoints with heads.
    }
    const std::vector<RawTensor> whole = TinyTensors(shape);
    for (size_t i = 0; i < whole.size(); ++i) {
      SCOPED_TRACE(StrCat(NameOf(shape), " without ", whole[i].name));
      std::vector<RawTensor> tensors = whole;
      tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i));
      const auto model = Load(shape, tensors);
      if (IsOutputOfHead(whole[i].name)) {
        ASSERT_TRUE(model.ok()) << model.status();
        EXPECT_EQ((*model)->info().head, HeadKind::kNone);
        continue;
      }
      ASSERT_FALSE(model.ok());
      EXPECT_THAT(std::string(model.status().message()), HasSubstr(WithoutPrefix(whole[i].name)));
    }
  }
}

TEST_F(HeadsLoadTest, AHeadOfAnotherSizeThanItsLabelsIsRefused) {
  for (const HeadKind head : {HeadKind::kSequenceLabels, HeadKind::kTokenLabels}) {
    const TinyModel shape{.head = head};
    const auto model =
        Load(shape, TinyTensors(shape), {{"id2label", {{"0", "a"}, {"1", "b"}, {"2", nullptr}}}});
    EXPECT_THAT(model.status().message(), HasSubstr("classifier.weight"));
  }
}

TEST_F(HeadsLoadTest, AMatrixOfItsOwnIsReadWhereTheVocabularyIsNotTied) {
  const std::pair<const char*, const char*> names[] = {{"bert", "cls.predictions.decoder.weight"},
                                                       {"roberta", "lm_head.decoder.weight"},
                                                       {"distilbert", "vocab_projector.weight"},
                                                       {"modernbert", "decoder.weight"}};
  for (const auto& [family, name] : names) {
    SCOPED_TRACE(family);
    const TinyModel shape{.family = family, .head = HeadKind::kVocabulary};
    std::vector<RawTensor> tensors = TinyTensors(shape);
    const nlohmann::json untied = {{"tie_word_embeddings", false}};
    const auto without = Load(shape, tensors, untied);
    ASSERT_TRUE(without.ok()) << without.status();
    EXPECT_EQ((*without)->info().head, HeadKind::kNone);

    // The table again, under that name, gives the same scores; zeros in its place give others.
    const auto table = std::ranges::find_if(tensors, [](const RawTensor& tensor) {
      return tensor.name.ends_with("word_embeddings.weight") ||
             tensor.name.ends_with("tok_embeddings.weight");
    });
    RawTensor own = *table;
    own.name = name;
    const auto tied = Load(shape, tensors);
    ASSERT_TRUE(tied.ok()) << tied.status();
    const std::vector<float> scores = Logits(**tied);
    tensors.push_back(own);
    const auto same = Load(shape, tensors, untied);
    ASSERT_TRUE(same.ok()) << same.status();
    EXPECT_EQ(Logits(**same), scores);
    std::ranges::fill(tensors.back().bytes, '\0');
    const auto zero = Load(shape, tensors, untied);
    ASSERT_TRUE(zero.ok()) << zero.status();
    EXPECT_NE(Logits(**zero), scores);
  }
}

TEST_F(HeadsLoadTest, AGatedCheckpointIsNotTakenForOneWithoutGates) {
  const TinyModel gated{.family = "t5", .gated = true};
  EXPECT_THAT(Load(gated, TinyTensors(gated), {{"feed_forward_proj", "relu"}}).status().message(),
              HasSubstr("DenseReluDense.wi.weight"));
  const TinyModel plain{.family = "t5"};
  EXPECT_THAT(
      Load(plain, TinyTensors(plain), {{"feed_forward_proj", "gated-gelu"}}).status().message(),
      HasSubstr("DenseReluDense.wi_0.weight"));
}

TEST_F(HeadsLoadTest, AnEncoderIsTakenFromAnotherTasksCheckpoint) {
  for (const char* family :
       {"bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "modernbert"}) {
    SCOPED_TRACE(family);
    const TinyModel shape{.family = family, .head = HeadKind::kTokenLabels};
    TinyModel bare = shape;
    bare.head = HeadKind::kNone;
    const auto model =
        Load(shape, TinyTensors(shape), {{"architectures", TinyConfig(bare)["architectures"]}});
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ((*model)->info().head, HeadKind::kNone);
    EXPECT_FALSE((*model)->info().leftovers.empty());
  }
}

std::vector<std::string> LayersOf(const Model& model) {
  std::vector<std::string> layers;
  for (const KernelChoice& kernel : model.info().kernels) {
    EXPECT_FALSE(kernel.implementation.empty()) << kernel.layer;
    EXPECT_FALSE(kernel.reason.empty()) << kernel.layer;
    layers.push_back(kernel.layer);
  }
  return layers;
}

TEST_F(HeadsLoadTest, KernelsAreToldOfEveryKindOfLayer) {
  const TinyModel bare{};
  std::vector<RawTensor> tensors = TinyTensors(bare);
  tensors.push_back({"linear.weight", "F32", {8, 16}, std::string(8 * 16 * sizeof(float), '\0')});
  const auto projected = Load(bare, tensors);
  ASSERT_TRUE(projected.ok()) << projected.status();
  EXPECT_THAT(
      LayersOf(**projected),
      ElementsAre("attention.qkv", "attention.scores", "attention.softmax", "attention.weighted",
                  "attention.out", "ffn.up", "ffn.down", "pooler", "projection"));

  const TinyModel local{.family = "modernbert", .head = HeadKind::kVocabulary};
  const auto gated = Load(local, TinyTensors(local));
  ASSERT_TRUE(gated.ok()) << gated.status();
  EXPECT_THAT(
      LayersOf(**gated),
      ElementsAre("attention.qkv", "attention.scores", "attention.softmax", "attention.weighted",
                  "attention.local.scores", "attention.local.softmax", "attention.local.weighted",
                  "attention.out", "ffn.up", "ffn.gate", "ffn.down", "head.dense", "head.out"));
  EXPECT_THAT((*gated)->info().kernels[4].reason, HasSubstr("4 places to either side"));
}

TEST_F(HeadsLoadTest, FilesThatNameTheMaskCountInTheVersionWhereAHeadNeedsIt) {
  const auto version = [this](HeadKind head, const char* mask) {
    dir_.Write("tokenizer_config.json", StrCat(R"({"mask_token": ")", mask, R"("})"));
    const TinyModel shape{.head = head};
    const auto model = Load(shape, TinyTensors(shape));
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? (*model)->info().version : std::string();
  };
  EXPECT_NE(version(HeadKind::kVocabulary, "[MASK]"), version(HeadKind::kVocabulary, "<mask>"));
  EXPECT_EQ(version(HeadKind::kSpan, "[MASK]"), version(HeadKind::kSpan, "<mask>"));
}

}  // namespace
}  // namespace attnd
