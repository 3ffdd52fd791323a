// Goal: every option and every output of Encode means in the client what it means in the contract,
// and a damaged reply is an error. Method: messages built by hand, one damage at a time.

#include "client/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>

#include "client/convert_encode.h"
#include "client/convert_heads.h"
#include "client/convert_tensor.h"

namespace attnd::client {
namespace {

using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;

v1::Tensor MakeTensor(v1::DataType type, const std::vector<int64_t>& shape,
                      const std::vector<uint8_t>& bytes) {
  v1::Tensor tensor;
  tensor.set_dtype(type);
  tensor.mutable_shape()->Add(shape.begin(), shape.end());
  tensor.mutable_data()->assign(bytes.begin(), bytes.end());
  return tensor;
}

v1::Tensor Floats(const std::vector<int64_t>& shape, const std::vector<float>& values) {
  return ToProto(Tensor{.shape = shape, .values = values});
}

TEST(ConvertRequest, EveryRequestThatIsComputedHasItsPriority) {
  constexpr Priority kHigh = Priority::kHigh;
  const std::vector<Input> inputs{"a"};
  const auto high = v1::PRIORITY_HIGH;
  EXPECT_EQ(ToProto(inputs, EncodeOptions{.priority = kHigh}).priority(), high);
  EXPECT_EQ(ToProto(inputs, inputs, EncodeOptions{.priority = kHigh}).priority(), high);
  EXPECT_EQ(ToProto(inputs, ClassifyOptions{.priority = kHigh}).priority(), high);
  EXPECT_EQ(ToProto(inputs, ClassifyTokensOptions{.priority = kHigh}).priority(), high);
  EXPECT_EQ(ToProto("q", {"d"}, RerankOptions{.priority = kHigh}).priority(), high);
  EXPECT_EQ(ToProto(inputs, FillMaskOptions{.priority = kHigh}).priority(), high);
  EXPECT_EQ(ToProto({Question{}}, AnswerOptions{.priority = kHigh}).priority(), high);
  EXPECT_EQ(ToProto(AttendRequest{.priority = kHigh}).priority(), high);
  EXPECT_EQ(ToProto(SelfAttentionRequest{.priority = kHigh}).priority(), high);
  EXPECT_EQ(ToProto(inputs, EncodeOptions{}).priority(), v1::PRIORITY_UNSPECIFIED);
}

TEST(ConvertTensor, HalvesAreReadExactly) {
  const auto read = [](v1::DataType type, uint16_t bits) {
    const auto low = static_cast<uint8_t>(bits & 0xFF);
    const auto tensor = FromProto(MakeTensor(type, {1}, {low, static_cast<uint8_t>(bits >> 8)}));
    return tensor.ok() ? tensor->values.at(0) : std::nanf("");
  };
  EXPECT_EQ(read(v1::DATA_TYPE_FLOAT16, 0x3C00), 1);
  EXPECT_EQ(read(v1::DATA_TYPE_FLOAT16, 0xC000), -2);
  EXPECT_EQ(read(v1::DATA_TYPE_FLOAT16, 0x3555), 0.333251953125F);
  EXPECT_EQ(read(v1::DATA_TYPE_FLOAT16, 0x7BFF), 65504);
  EXPECT_EQ(read(v1::DATA_TYPE_FLOAT16, 0x0001), std::ldexp(1.0F, -24));
  EXPECT_EQ(read(v1::DATA_TYPE_FLOAT16, 0x0400), std::ldexp(1.0F, -14));
  EXPECT_TRUE(std::signbit(read(v1::DATA_TYPE_FLOAT16, 0x8000)));
  EXPECT_EQ(read(v1::DATA_TYPE_FLOAT16, 0xFC00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(read(v1::DATA_TYPE_FLOAT16, 0x7E00)));
  EXPECT_EQ(read(v1::DATA_TYPE_BFLOAT16, 0x3F80), 1);
  EXPECT_EQ(read(v1::DATA_TYPE_BFLOAT16, 0xC040), -3);
}

TEST(ConvertTensor, EightBitNumbersAreTimesTheScaleOfTheirRow) {
  v1::Tensor tensor = MakeTensor(v1::DATA_TYPE_INT8, {2, 2}, {127, 0x81, 1, 0});
  tensor.add_scales(0.5F);
  tensor.add_scales(2);
  const auto read = FromProto(tensor);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->values, ElementsAre(63.5F, -63.5F, 2, 0));
  tensor.add_scales(1);
  EXPECT_THAT(std::string(FromProto(tensor).status().message()), HasSubstr("3 scales for 2 rows"));
}

TEST(ConvertTensor, BitsAreSignsAndEachRowBeginsAByte) {
  const auto read = FromProto(MakeTensor(v1::DATA_TYPE_BIT, {2, 9}, {0xA0, 0x80, 0x01, 0x00}));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->values, ElementsAre(1, -1, 1, -1, -1, -1, -1, -1, 1,  //
                                        -1, -1, -1, -1, -1, -1, -1, 1, -1));
}

TEST(ConvertTensor, BytesThatDoNotFitTheTypeAreRefused) {
  for (const v1::DataType type :
       {v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT16, v1::DATA_TYPE_BFLOAT16, v1::DATA_TYPE_BIT}) {
    EXPECT_EQ(FromProto(MakeTensor(type, {3, 9}, {1, 2, 3})).status().code(),
              absl::StatusCode::kInternal)
        << type;
    EXPECT_TRUE(FromProto(MakeTensor(type, {3, 0}, {})).ok()) << type;
  }
  EXPECT_THAT(std::string(FromProto(MakeTensor(v1::DATA_TYPE_INT64, {1}, {0, 0, 0, 0, 0, 0, 0, 0}))
                              .status()
                              .message()),
              HasSubstr("data type"));
}

TEST(ConvertEncode, EveryOptionIsSent) {
  const v1::EncodeRequest request = ToProto(
      {"a"},
      {.hidden_layers =
           HiddenLayers{.layers = {0, -1}, .combination = LayerCombination::kConcatenation},
       .attention =
           AttentionMapOptions{
               .layers = {2}, .heads = {0, 3}, .return_weights = false, .return_scores = true},
       .spans = SpanOptions{.kind = SpanKind::kRanges,
                            .pooling = Pooling::kMax,
                            .ranges = {{{.begin = 1, .end = 4, .text_index = 1}}}},
       .windows = WindowOptions{.length = 128, .stride = 32},
       .vector_encoding = VectorEncoding::kInt8,
       .dimensions = 64,
       .prompt_name = "query",
       .prompt = "",
       .return_sparse = true,
       .sparse_top_k = 100,
       .return_multi_vector = true,
       .drop_special_tokens = true});
  EXPECT_EQ(request.ShortDebugString(),
            "inputs { text: \"a\" } options { hidden_layers { layers: 0 layers: -1 combination: "
            "LAYER_COMBINATION_CONCATENATION } attention { layers: 2 heads: 0 heads: 3 "
            "return_weights: false return_scores: true } spans { kind: SPAN_KIND_RANGES pooling: "
            "POOLING_MAX } windows { length: 128 stride: 32 } vector_encoding: "
            "VECTOR_ENCODING_INT8 dimensions: 64 prompt_name: \"query\" prompt: \"\" "
            "return_sparse: true return_multi_vector: true drop_special_tokens: true "
            "sparse_top_k: 100 } ranges { ranges { start: 1 end: 4 text_index: 1 } }");
}

TEST(ConvertEncode, ChunksAreSentWithTheirSizes) {
  const v1::EncodeRequest request = ToProto(
      {"a"},
      {.spans = SpanOptions{.kind = SpanKind::kChunks, .chunk_tokens = 8, .chunk_overlap = 2}});
  EXPECT_EQ(request.options().spans().ShortDebugString(),
            "kind: SPAN_KIND_CHUNKS chunk_tokens: 8 chunk_overlap: 2");
}

// An encoding of two tokens with everything.
v1::Encoding FullEncoding() {
  v1::Encoding encoding;
  *encoding.add_hidden_layers() = Floats({2, 3}, {1, 2, 3, 4, 5, 6});
  v1::AttentionMap& map = *encoding.add_attention();
  map.set_layer(4);
  map.add_heads(7);
  *map.mutable_weights() = Floats({1, 2, 2}, {0.5F, 0.5F, 1, 0});
  *map.mutable_scores() = Floats({1, 2, 2}, {1, 1, 3, -1});
  v1::Span& span = *encoding.add_spans();
  span.set_start(1);
  span.set_end(3);
  span.set_text_index(1);
  span.set_first_token(2);
  span.set_end_token(4);
  *encoding.mutable_span_vectors() = Floats({1, 2}, {7, 8});
  encoding.mutable_sparse()->add_ids(9);
  encoding.mutable_sparse()->add_weights(0.5F);
  encoding.mutable_sparse()->add_tokens("nine");
  *encoding.mutable_multi_vectors() = Floats({1, 2}, {0, 1});
  encoding.add_kept_tokens(1);
  encoding.add_windows()->set_end_token(5);
  return encoding;
}

TEST(ConvertEncode, EveryOutputIsRead) {
  const auto read = FromProto(FullEncoding());
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->hidden_layers.size(), 1U);
  EXPECT_THAT(read->hidden_layers[0].shape, ElementsAre(2, 3));
  ASSERT_EQ(read->attention.size(), 1U);
  EXPECT_EQ(read->attention[0].layer, 4);
  EXPECT_THAT(read->attention[0].heads, ElementsAre(7));
  EXPECT_THAT(read->attention[0].weights.values, ElementsAre(0.5F, 0.5F, 1, 0));
  EXPECT_THAT(read->attention[0].scores.values, ElementsAre(1, 1, 3, -1));
  ASSERT_EQ(read->spans.size(), 1U);
  EXPECT_EQ(read->spans[0].begin, 1);
  EXPECT_EQ(read->spans[0].end, 3);
  EXPECT_EQ(read->spans[0].text_index, 1);
  EXPECT_EQ(read->spans[0].first_token, 2);
  EXPECT_EQ(read->spans[0].end_token, 4);
  EXPECT_THAT(read->span_vectors.values, ElementsAre(7, 8));
  ASSERT_EQ(read->sparse.size(), 1U);
  EXPECT_EQ(read->sparse[0].id, 9);
  EXPECT_EQ(read->sparse[0].token, "nine");
  EXPECT_THAT(read->sparse[0].weight, FloatEq(0.5F));
  EXPECT_THAT(read->multi_vectors.shape, ElementsAre(1, 2));
  EXPECT_THAT(read->kept_tokens, ElementsAre(1));
  ASSERT_EQ(read->windows.size(), 1U);
  EXPECT_EQ(read->windows[0].end_token, 5);
}

TEST(ConvertEncode, EachDamageIsAnError) {
  const std::function<void(v1::Encoding&)> damages[] = {
      [](v1::Encoding& e) {
        *e.mutable_hidden_layers(0) = Floats({6}, {1, 2, 3, 4, 5, 6});
      },
      [](v1::Encoding& e) { e.mutable_attention(0)->add_heads(8); },
      [](v1::Encoding& e) {
        *e.mutable_attention(0)->mutable_scores() = Floats({1, 1, 4}, {1, 1, 1, 1});
      },
      [](v1::Encoding& e) {
        e.mutable_attention(0)->mutable_weights()->mutable_data()->pop_back();
      },
      [](v1::Encoding& e) { e.add_spans(); },
      [](v1::Encoding& e) { *e.mutable_span_vectors() = Floats({1}, {1}); },
      [](v1::Encoding& e) { e.mutable_sparse()->add_ids(3); },
      [](v1::Encoding& e) {
        e.mutable_sparse()->add_ids(3);
        e.mutable_sparse()->add_weights(3);
      },
      [](v1::Encoding& e) {
        *e.mutable_multi_vectors() = Floats({1, 1, 1}, {1});
      },
      [](v1::Encoding& e) {
        e.mutable_tokens()->add_ids(1);
        e.mutable_tokens()->add_word_ids(1);
        e.mutable_tokens()->add_word_ids(2);
      }};
  int number = 0;
  for (const auto& damage : damages) {
    v1::Encoding encoding = FullEncoding();
    damage(encoding);
    EXPECT_EQ(FromProto(encoding).status().code(), absl::StatusCode::kInternal) << number;
    ++number;
  }
}

TEST(ConvertModel, ReadsWhatTheModelCanDo) {
  v1::ModelInfo info;
  info.set_head(v1::HEAD_VOCABULARY);
  info.add_labels("a");
  info.set_score_function(v1::SCORE_FUNCTION_SIGMOID);
  (*info.mutable_prompts())["query"] = "q: ";
  info.set_default_prompt_name("query");
  info.set_projection_size(96);
  const ModelInfo read = FromProto(info);
  EXPECT_EQ(read.head, Head::kVocabulary);
  EXPECT_THAT(read.labels, ElementsAre("a"));
  EXPECT_EQ(read.score_function, ScoreFunction::kSigmoid);
  EXPECT_EQ(read.prompts.at("query"), "q: ");
  EXPECT_EQ(read.default_prompt_name, "query");
  EXPECT_EQ(read.projection_size, 96);
}

TEST(ConvertModel, TellsWhatItsTypeCostsIfTheServerDoes) {
  v1::ModelInfo info;
  info.set_dtype("f32");
  EXPECT_FALSE(FromProto(info).accuracy.has_value());
  info.set_dtype("int8");
  info.mutable_accuracy()->set_texts(40);
  info.mutable_accuracy()->set_cosine_mean(0.999);
  info.mutable_accuracy()->set_cosine_min(0.995);
  info.mutable_accuracy()->set_worst_text("line 7");
  info.mutable_accuracy()->set_ranking_agreement(0.98);
  const ModelInfo read = FromProto(info);
  EXPECT_EQ(read.dtype, "int8");
  ASSERT_TRUE(read.accuracy.has_value());
  EXPECT_EQ(read.accuracy->texts, 40);
  EXPECT_EQ(read.accuracy->cosine_mean, 0.999);
  EXPECT_EQ(read.accuracy->cosine_min, 0.995);
  EXPECT_EQ(read.accuracy->worst_text, "line 7");
  EXPECT_EQ(read.accuracy->ranking_agreement, 0.98);
}

}  // namespace
}  // namespace attnd::client
