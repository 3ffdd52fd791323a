// Goal: Similarity answers with the cosines of the vectors that Encode would pool, and refuses what
// it does not return. Method: a server on a real port; cosines of Encode's own replies in the test.

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/encode_support.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::FieldIn;
using testing::FloatsOf;
using ::testing::HasSubstr;
using testing::NumberedServer;
using testing::ReasonIn;
using testing::TestServer;

grpc::Status Similarity(TestServer& server, const v1::SimilarityRequest& request,
                        v1::SimilarityResponse* response = nullptr) {
  grpc::ClientContext context;
  v1::SimilarityResponse ignored;
  return server.encoder().Similarity(&context, request, response ? response : &ignored);
}

v1::SimilarityRequest Texts(const std::vector<std::string>& sources,
                            const std::vector<std::string>& targets) {
  v1::SimilarityRequest request;
  for (const std::string& text : sources) request.add_sources()->set_text(text);
  for (const std::string& text : targets) request.add_targets()->set_text(text);
  return request;
}

// By Encode, and the formula.
std::vector<float> Expected(TestServer& server, const v1::SimilarityRequest& request) {
  v1::EncodeRequest encode;
  *encode.mutable_options() = request.options();
  for (const auto& input : request.sources()) *encode.add_inputs() = input;
  const auto& targets = request.targets().empty() ? request.sources() : request.targets();
  for (const auto& input : targets) *encode.add_inputs() = input;
  v1::EncodeResponse response;
  EXPECT_TRUE(Encode(server, encode, &response).ok());
  std::vector<float> cosines;
  for (int i = 0; i < request.sources_size(); ++i) {
    for (int j = 0; j < targets.size(); ++j) {
      const std::vector<float> a = FloatsOf(response.encodings(i).pooled());
      const std::vector<float> b =
          FloatsOf(response.encodings(request.sources_size() + j).pooled());
      double product = 0, aa = 0, bb = 0;
      for (size_t k = 0; k < a.size(); ++k) {
        product += double{a[k]} * b[k];
        aa += double{a[k]} * a[k];
        bb += double{b[k]} * b[k];
      }
      cosines.push_back(static_cast<float>(product / std::sqrt(aa * bb)));
    }
  }
  return cosines;
}

TEST(SimilarityTest, EachSourceWithEachTarget) {
  NumberedServer server;
  const v1::SimilarityRequest request = Texts({"the cat", "dogs"}, {"a mat", "cat", "x y z"});
  v1::SimilarityResponse response;
  ASSERT_TRUE(Similarity(server, request, &response).ok());
  EXPECT_EQ(response.model().name(), "stub");
  EXPECT_THAT(response.similarities().shape(), ElementsAre(2, 3));
  const std::vector<float> cosines = FloatsOf(response.similarities());
  const std::vector<float> expected = Expected(server, request);
  for (size_t i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(cosines[i], expected[i]);
}

TEST(SimilarityTest, WithoutTargetsTheSourcesAreCompared) {
  NumberedServer server;
  v1::SimilarityResponse response;
  ASSERT_TRUE(Similarity(server, Texts({"the cat", "dogs", "a"}, {}), &response).ok());
  EXPECT_EQ(server.model().computed(), 3);
  EXPECT_THAT(response.similarities().shape(), ElementsAre(3, 3));
  const std::vector<float> cosines = FloatsOf(response.similarities());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(cosines[i * 3 + i], 1);
    for (int j = 0; j < 3; ++j) EXPECT_EQ(cosines[i * 3 + j], cosines[j * 3 + i]);
  }
}

TEST(SimilarityTest, OptionsOfThePooledVectorHold) {
  NumberedServer server;
  v1::SimilarityRequest request = Texts({"a b c d e f g"}, {"x"});
  auto& options = *request.mutable_options();
  options.mutable_windows()->set_length(5);
  options.set_pooling(v1::POOLING_LAST);
  options.set_dimensions(2);
  options.set_prompt("on ");
  options.set_normalize(true);
  v1::SimilarityResponse response;
  ASSERT_TRUE(Similarity(server, request, &response).ok());
  EXPECT_GT(server.model().computed(), 2);
  EXPECT_FLOAT_EQ(FloatsOf(response.similarities())[0], Expected(server, request)[0]);
}

TEST(SimilarityTest, AVectorOfLengthZeroIsLikeNoOther) {
  TestServer server;
  v1::SimilarityRequest request;
  request.add_sources()->mutable_token_ids()->add_ids(0);
  request.add_sources()->mutable_token_ids()->add_ids(7);
  v1::SimilarityResponse response;
  ASSERT_TRUE(Similarity(server, request, &response).ok());
  EXPECT_THAT(FloatsOf(response.similarities()), ElementsAre(0, 0, 0, 1));
}

TEST(SimilarityTest, WhatIsWrongIsNamed) {
  NumberedServer server;
  const auto expect = [&](const v1::SimilarityRequest& request, const std::string& reason,
                          const std::string& field, const std::string& says) {
    const grpc::Status status = Similarity(server, request);
    EXPECT_EQ(ReasonIn(status.error_details()), reason) << status.error_message();
    EXPECT_EQ(FieldIn(status.error_details()), field) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(says));
    EXPECT_EQ(server.model().computed(), 0);
  };
  expect({}, "MISSING_FIELD", "sources", "at least one");
  expect(Texts({}, {"a"}), "MISSING_FIELD", "sources", "at least one");
  expect(Texts(std::vector<std::string>(33, "a"), {}), "OVER_LIMIT", "sources", "33 sources");
  expect(Texts({"a"}, std::vector<std::string>(32, "a")), "OVER_LIMIT", "targets",
         "33 sources and targets");
  v1::SimilarityRequest request = Texts({"a"}, {"b"});
  request.set_model("other");
  expect(request, "UNKNOWN_MODEL", "model", "other");
  request.clear_model();
  request.add_targets();
  expect(request, "MISSING_FIELD", "targets[1]", "no kind");
  request.mutable_targets(1)->mutable_token_ids()->add_ids(-1);
  expect(request, "ID_OUT_OF_RANGE", "targets[1].token_ids.ids[0]", "-1");
  *request.mutable_sources(0) = request.targets(1);
  expect(request, "ID_OUT_OF_RANGE", "sources[0].token_ids.ids[0]", "-1");
}

TEST(SimilarityTest, OtherOutputsAreRefused) {
  NumberedServer server;
  const std::vector<std::pair<const char*, std::function<void(v1::EncodeOptions&)>>> wrong = {
      {"return_pooled", [](auto& o) { o.set_return_pooled(false); }},
      {"return_token_vectors", [](auto& o) { o.set_return_token_vectors(true); }},
      {"return_tokens", [](auto& o) { o.set_return_tokens(true); }},
      {"hidden_layers", [](auto& o) { o.mutable_hidden_layers(); }},
      {"attention", [](auto& o) { o.mutable_attention(); }},
      {"spans", [](auto& o) { o.mutable_spans(); }},
      {"vector_encoding", [](auto& o) { o.set_vector_encoding(v1::VECTOR_ENCODING_INT8); }},
      {"return_sparse", [](auto& o) { o.set_return_sparse(true); }},
      {"return_multi_vector", [](auto& o) { o.set_return_multi_vector(true); }},
      {"drop_special_tokens", [](auto& o) { o.set_drop_special_tokens(true); }},
  };
  for (const auto& [field, change] : wrong) {
    v1::SimilarityRequest request = Texts({"a"}, {"b"});
    change(*request.mutable_options());
    const grpc::Status status = Similarity(server, request);
    EXPECT_EQ(ReasonIn(status.error_details()), "INVALID_VALUE") << field;
    EXPECT_EQ(FieldIn(status.error_details()), std::string("options.") + field);
  }
  v1::SimilarityRequest request = Texts({"a"}, {"b"});
  request.mutable_options()->set_return_pooled(true);
  request.mutable_options()->set_vector_encoding(v1::VECTOR_ENCODING_FLOAT32);
  EXPECT_TRUE(Similarity(server, request).ok());
}

TEST(SimilarityTest, AMatrixLargerThanAMessageIsRefused) {
  Config config = TestServer::DefaultConfig();
  config.limits.message_bytes = 2000;
  NumberedServer server(config);
  v1::SimilarityRequest request;
  for (int i = 0; i < 18; ++i) request.add_sources()->mutable_token_ids()->add_ids(5);
  EXPECT_TRUE(Similarity(server, request).ok());
  for (int i = 0; i < 2; ++i) request.add_sources()->mutable_token_ids()->add_ids(5);
  const grpc::Status status = Similarity(server, request);
  EXPECT_EQ(ReasonIn(status.error_details()), "REPLY_TOO_LARGE");
  EXPECT_EQ(FieldIn(status.error_details()), "sources");
}

}  // namespace
}  // namespace attnd
