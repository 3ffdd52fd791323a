// Goal: hidden layers, attention, sparse and multi-vectors, and vectors of fewer dimensions come
// over the wire as the contract says. Method: a server on a real port whose stub has numbers that
// the test computes by itself.

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/encode_support.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::EncodeOne;
using testing::FloatsOf;
using testing::IdsRequest;
using ::testing::IsEmpty;
using testing::kHidden;
using testing::LayerOffset;
using testing::NaiveRows;
using testing::NumberedServer;
using testing::StubModel;
using testing::TextRequest;

const std::vector<int32_t> kIds = {2, 9, 40, 7, 3};

v1::EncodeRequest Ids() {
  v1::EncodeRequest request;
  auto& ids = *request.add_inputs()->mutable_token_ids();
  for (const int32_t id : kIds) ids.add_ids(id);
  return request;
}

TEST(HiddenLayersTest, LayersAreInTheOrderOfTheRequestAndCountFromTheEndToo) {
  NumberedServer server;
  v1::EncodeRequest request = Ids();
  auto& hidden = *request.mutable_options()->mutable_hidden_layers();
  for (const int layer : {-1, 0, -2}) hidden.add_layers(layer);
  const v1::Encoding encoding = EncodeOne(server, request);
  ASSERT_EQ(encoding.hidden_layers_size(), 3);
  const int layers[] = {2, 0, 1};
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(encoding.hidden_layers(i).shape(), ElementsAre(5, kHidden));
    EXPECT_EQ(FloatsOf(encoding.hidden_layers(i)), NaiveRows(kIds, LayerOffset(layers[i])));
  }
}

TEST(HiddenLayersTest, LayersAreCombinedOnRequest) {
  NumberedServer server;
  v1::EncodeRequest request = Ids();
  auto& hidden = *request.mutable_options()->mutable_hidden_layers();
  hidden.add_layers(2);
  hidden.add_layers(0);
  hidden.set_combination(v1::LAYER_COMBINATION_MEAN);
  v1::Encoding encoding = EncodeOne(server, request);
  ASSERT_EQ(encoding.hidden_layers_size(), 1);
  EXPECT_EQ(FloatsOf(encoding.hidden_layers(0)),
            NaiveRows(kIds, (LayerOffset(2) + LayerOffset(0)) / 2));

  hidden.set_combination(v1::LAYER_COMBINATION_CONCATENATION);
  encoding = EncodeOne(server, request);
  ASSERT_EQ(encoding.hidden_layers_size(), 1);
  EXPECT_THAT(encoding.hidden_layers(0).shape(), ElementsAre(5, 2 * kHidden));
  const std::vector<float> rows = FloatsOf(encoding.hidden_layers(0));
  const std::vector<float> first = NaiveRows(kIds, LayerOffset(2));
  const std::vector<float> second = NaiveRows(kIds, LayerOffset(0));
  for (size_t row = 0; row < kIds.size(); ++row) {
    for (size_t column = 0; column < kHidden; ++column) {
      EXPECT_EQ(rows[row * 2 * kHidden + column], first[row * kHidden + column]);
      EXPECT_EQ(rows[(row * 2 + 1) * kHidden + column], second[row * kHidden + column]);
    }
  }
}

TEST(AttentionMapsTest, WeightsOfAllHeadsAreTheDefault) {
  NumberedServer server;
  v1::EncodeRequest request = Ids();
  request.mutable_options()->mutable_attention()->add_layers(-1);
  const v1::Encoding encoding = EncodeOne(server, request);
  ASSERT_EQ(encoding.attention_size(), 1);
  const v1::AttentionMap& map = encoding.attention(0);
  EXPECT_EQ(map.layer(), 2);
  EXPECT_THAT(map.heads(), ElementsAre(0, 1));
  EXPECT_FALSE(map.has_scores());
  EXPECT_THAT(map.weights().shape(), ElementsAre(2, 5, 5));
  const std::vector<float> weights = FloatsOf(map.weights());
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_EQ(weights[i], StubModel::Attention(2, static_cast<int32_t>(i / 25), i / 5 % 5, i % 5));
  }
}

TEST(AttentionMapsTest, LayersAndHeadsAreThoseAskedForInTheirOrder) {
  NumberedServer server;
  v1::EncodeRequest request = Ids();
  auto& attention = *request.mutable_options()->mutable_attention();
  attention.add_layers(2);
  attention.add_layers(1);
  attention.add_heads(1);
  attention.set_return_weights(false);
  attention.set_return_scores(true);
  const v1::Encoding encoding = EncodeOne(server, request);
  ASSERT_EQ(encoding.attention_size(), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(encoding.attention(i).layer(), 2 - i);
    EXPECT_THAT(encoding.attention(i).heads(), ElementsAre(1));
    EXPECT_FALSE(encoding.attention(i).has_weights());
    const std::vector<float> scores = FloatsOf(encoding.attention(i).scores());
    ASSERT_EQ(scores.size(), 25u);
    for (size_t at = 0; at < 25; ++at) {
      EXPECT_EQ(scores[at], -StubModel::Attention(2 - i, 1, at / 5, at % 5));
    }
  }
}

TEST(SparseTest, WeightsAreByRisingIdWithTheirTokensWhereTokensAreReturned) {
  NumberedServer server;
  v1::EncodeRequest request = TextRequest("b a b");
  request.mutable_options()->set_return_sparse(true);
  const v1::Encoding encoding = EncodeOne(server, request);
  // [CLS] b a b [SEP]: the largest of b's two weights counts.
  EXPECT_THAT(encoding.sparse().ids(), ElementsAre(2, 3, 5, 6));
  EXPECT_THAT(encoding.sparse().weights(), ElementsAre(StubModel::Sparse(0), StubModel::Sparse(4),
                                                       StubModel::Sparse(2), StubModel::Sparse(3)));
  EXPECT_THAT(encoding.sparse().tokens(), IsEmpty());
  request.mutable_options()->set_return_tokens(true);
  EXPECT_THAT(EncodeOne(server, request).sparse().tokens(),
              ElementsAre("[CLS]", "[SEP]", "a", "b"));
  request.mutable_options()->set_sparse_top_k(2);
  EXPECT_THAT(EncodeOne(server, request).sparse().ids(), ElementsAre(3, 6));
  EXPECT_THAT(EncodeOne(server, request).sparse().tokens(), ElementsAre("[SEP]", "b"));
}

// 32 texts do not fit with the whole vocabulary of 92 tokens, whatever is in them.
TEST(SparseTest, ARequestForFewerWeightsIsServedWhereAllCouldNotBeSent) {
  Config config = NumberedServer::DefaultConfig();
  config.limits.message_bytes = 10'000;
  NumberedServer server(config);
  v1::EncodeRequest request;
  for (int i = 0; i < 32; ++i) request.add_inputs()->set_text("a");
  request.mutable_options()->set_return_pooled(false);
  request.mutable_options()->set_return_sparse(true);
  const grpc::Status status = Encode(server, request);
  EXPECT_EQ(testing::ReasonIn(status.error_details()), "REPLY_TOO_LARGE");
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr("A smaller options.sparse_top_k"));
  EXPECT_EQ(server.model().computed(), 0);
  request.mutable_options()->set_sparse_top_k(20);
  v1::EncodeResponse response;
  const grpc::Status few = Encode(server, request, &response);
  ASSERT_TRUE(few.ok()) << few.error_message();
  EXPECT_THAT(response.encodings(31).sparse().ids(), ElementsAre(2, 3, 5));
}

TEST(MultiVectorTest, RowsAreProjectedAndOfLengthOne) {
  NumberedServer server;
  v1::EncodeRequest request = Ids();
  request.mutable_options()->set_return_multi_vector(true);
  const v1::Encoding encoding = EncodeOne(server, request);
  EXPECT_THAT(encoding.multi_vectors().shape(), ElementsAre(5, 3));
  EXPECT_THAT(encoding.kept_tokens(), IsEmpty());
  const std::vector<float> vectors = FloatsOf(encoding.multi_vectors());
  const std::vector<float> rows = NaiveRows(kIds);
  for (size_t row = 0; row < kIds.size(); ++row) {
    double numbers[3], squares = 0;
    for (size_t column = 0; column < 3; ++column) {
      numbers[column] = StubModel::Projected(rows[row * kHidden], column);
      squares += numbers[column] * numbers[column];
    }
    for (size_t column = 0; column < 3; ++column) {
      EXPECT_NEAR(vectors[row * 3 + column], numbers[column] / std::sqrt(squares), 1e-6);
    }
  }
}

TEST(MultiVectorTest, WithoutAProjectionTheyAreTheTokenVectorsThemselves) {
  NumberedServer server(NumberedServer::DefaultConfig(), [](ServedModel&) {});
  v1::EncodeRequest request = Ids();
  request.mutable_options()->set_return_multi_vector(true);
  EXPECT_THAT(EncodeOne(server, request).multi_vectors().shape(), ElementsAre(5, kHidden));
}

TEST(DropSpecialTest, RowsOfSpecialTokensAreLeftOutAndTheOthersAreTheSame) {
  NumberedServer server;
  v1::EncodeRequest request = TextRequest("a b");
  request.mutable_options()->set_return_token_vectors(true);
  request.mutable_options()->set_return_multi_vector(true);
  const v1::Encoding all = EncodeOne(server, request);
  request.mutable_options()->set_drop_special_tokens(true);
  const v1::Encoding kept = EncodeOne(server, request);
  EXPECT_THAT(kept.kept_tokens(), ElementsAre(1, 2));
  EXPECT_THAT(kept.token_vectors().shape(), ElementsAre(2, kHidden));
  EXPECT_THAT(kept.multi_vectors().shape(), ElementsAre(2, 3));
  constexpr size_t kRow = kHidden * sizeof(float), kProjected = 3 * sizeof(float);
  EXPECT_EQ(kept.token_vectors().data(), all.token_vectors().data().substr(kRow, 2 * kRow));
  EXPECT_EQ(kept.multi_vectors().data(),
            all.multi_vectors().data().substr(kProjected, 2 * kProjected));
  // Neither what is pooled nor the tokens.
  EXPECT_EQ(kept.pooled().data(), all.pooled().data());
  EXPECT_EQ(kept.tokens().ids_size(), 4);
}

TEST(DropSpecialTest, NoRowsMayBeLeftAndIdsAreAllKept) {
  NumberedServer server;
  v1::EncodeRequest request = TextRequest("");
  request.mutable_options()->set_return_token_vectors(true);
  request.mutable_options()->set_drop_special_tokens(true);
  v1::Encoding encoding = EncodeOne(server, request);
  EXPECT_THAT(encoding.token_vectors().shape(), ElementsAre(0, kHidden));
  EXPECT_EQ(encoding.token_vectors().data(), "");
  EXPECT_THAT(encoding.kept_tokens(), IsEmpty());
  *request.mutable_inputs(0) = IdsRequest(2, 3).inputs(0);
  encoding = EncodeOne(server, request);
  EXPECT_THAT(encoding.token_vectors().shape(), ElementsAre(3, kHidden));
  EXPECT_THAT(encoding.kept_tokens(), IsEmpty());
}

TEST(DimensionsTest, VectorsAreCutAndThenScaled) {
  NumberedServer server;
  v1::EncodeRequest request = Ids();
  auto& options = *request.mutable_options();
  options.set_return_token_vectors(true);
  options.mutable_spans()->set_kind(v1::SPAN_KIND_CHUNKS);
  options.mutable_spans()->set_chunk_tokens(5);
  const v1::Encoding whole = EncodeOne(server, request);
  options.set_dimensions(3);
  const v1::Encoding cut = EncodeOne(server, request);
  options.set_normalize(true);
  const v1::Encoding scaled = EncodeOne(server, request);

  const std::vector<float> rows = NaiveRows(kIds);
  EXPECT_THAT(cut.token_vectors().shape(), ElementsAre(5, 3));
  const std::vector<float> cut_rows = FloatsOf(cut.token_vectors());
  for (size_t i = 0; i < cut_rows.size(); ++i) {
    EXPECT_EQ(cut_rows[i], rows[i / 3 * kHidden + i % 3]);
  }
  EXPECT_EQ(scaled.token_vectors().data(), cut.token_vectors().data());
  const std::vector<float> full = FloatsOf(whole.pooled());
  EXPECT_EQ(FloatsOf(cut.pooled()), std::vector<float>(full.begin(), full.begin() + 3));
  EXPECT_EQ(cut.span_vectors().data(), cut.pooled().data());  // One chunk of all tokens.
  const double length =
      std::sqrt(double{full[0]} * full[0] + double{full[1]} * full[1] + double{full[2]} * full[2]);
  for (const v1::Tensor& tensor : {scaled.pooled(), scaled.span_vectors()}) {
    const std::vector<float> vector = FloatsOf(tensor);
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(vector[i], full[i] / length, 1e-6);
  }
}

TEST(DimensionsTest, AllOfThemIsTheSameAsNone) {
  NumberedServer server;
  v1::EncodeRequest request = Ids();
  request.mutable_options()->set_normalize(true);
  const v1::Encoding plain = EncodeOne(server, request);
  request.mutable_options()->set_dimensions(kHidden);
  EXPECT_EQ(EncodeOne(server, request).pooled().SerializeAsString(),
            plain.pooled().SerializeAsString());
}

}  // namespace
}  // namespace attnd
