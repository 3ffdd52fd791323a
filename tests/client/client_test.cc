// Goal: what a program sends and reads through attnd::Client is what the messages hold, errors
// included. Method: a fake server on a loopback port whose answers are known; damaged replies as
// messages.

#include "client/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/convert.h"
#include "client/convert_encode.h"
#include "client/convert_tensor.h"
#include "tests/client/fake_server.h"

namespace attnd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Client, EncodesTextsPairsAndIdsInTheirOrder) {
  FakeServer server;
  const Client client({.target = server.target()});
  const auto reply = client.Encode({"four", TextPair{.first = "a", .second = "seven 7"},
                                    TokenIds{.ids = {101, 5, 102}}, std::string("is six")});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->model, "fake");
  EXPECT_EQ(reply->model_version, "v1");
  ASSERT_EQ(reply->encodings.size(), 4U);
  EXPECT_THAT(reply->encodings[0].pooled, ElementsAre(4));
  EXPECT_THAT(reply->encodings[1].pooled, ElementsAre(7));
  EXPECT_THAT(reply->encodings[2].pooled, ElementsAre(3));
  EXPECT_THAT(reply->encodings[3].pooled, ElementsAre(6));
}

TEST(Client, ReadsTokensAndTheirVectors) {
  FakeServer server;
  const Client client({.target = server.target()});
  const auto reply = client.Encode(
      {"text"},
      {.return_token_vectors = true, .return_tokens = true, .truncation = Truncation::kRight});
  ASSERT_TRUE(reply.ok()) << reply.status();
  const Encoding& encoding = reply->encodings.at(0);
  EXPECT_TRUE(encoding.truncated);
  EXPECT_THAT(encoding.token_vectors.shape, ElementsAre(2, 2));
  EXPECT_THAT(encoding.token_vectors.values, ElementsAre(0.1F, 1, 2, 3));
  ASSERT_EQ(encoding.tokens.size(), 2U);
  EXPECT_TRUE(encoding.tokens[0].special);
  EXPECT_EQ(encoding.tokens[0].text_index, -1);
  EXPECT_EQ(encoding.tokens[1].text, "caf\u00e9");
  EXPECT_EQ(encoding.tokens[1].end, 4);
}

TEST(Client, AnErrorKeepsCodeMessageReasonAndFields) {
  FakeServer server;
  const Client client({.target = server.target()});
  const absl::Status status = client.Encode({"refuse"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "inputs[0] has 600 tokens");
  EXPECT_EQ(ErrorReason(status), "TOO_LONG");
  const auto violations = FieldViolations(status);
  ASSERT_EQ(violations.size(), 1U);
  EXPECT_EQ(violations[0].field, "inputs[0].text");
  EXPECT_THAT(violations[0].description, HasSubstr("512"));
}

TEST(Client, AnErrorThatIsNotOfAttndHasNoReason) {
  const Client client({.target = "unix:/nowhere/attnd.sock"});
  const absl::Status status = client.Encode({"text"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(status), "");
  EXPECT_TRUE(FieldViolations(status).empty());
}

TEST(Client, DetailsThatDoNotParseLeaveCodeAndMessage) {
  const absl::Status status = WithDetails(3, "bad", "\xff\xff not a message");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "bad");
  EXPECT_EQ(ErrorReason(status), "");
}

TEST(Client, AttendsAndSelfAttends) {
  FakeServer server;
  const Client client({.target = server.target()});
  const Tensor value{.shape = {1, 1, 2, 1}, .values = {5, 6}};
  const auto reply = client.Attend({.query = value, .key = value, .value = value, .scale = 0.25F});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(reply->output.shape, ElementsAre(1, 1, 2, 1));
  EXPECT_THAT(reply->output.values, ElementsAre(5, 6));
  EXPECT_THAT(reply->weights.values, ElementsAre(0.25F));

  const auto self = client.SelfAttention({.input = {.shape = {1, 2}, .values = {8, 9}}});
  ASSERT_TRUE(self.ok()) << self.status();
  EXPECT_THAT(self->output.values, ElementsAre(8, 9));
  EXPECT_TRUE(self->scores.values.empty());
}

TEST(Client, ListsAndGetsModels) {
  FakeServer server;
  const Client client({.target = server.target()});
  const auto models = client.ListModels();
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 1U);
  EXPECT_EQ(models->front().pooling, Pooling::kMean);
  EXPECT_EQ(models->front().kernels.at(0).implementation, "jit_1x1:avx2");
  EXPECT_EQ(client.GetModel()->length_default, 256);
  EXPECT_EQ(client.GetModel("other").status().code(), absl::StatusCode::kNotFound);
}

TEST(Client, TellsHealthOfTheServerAndOfAService) {
  FakeServer server;
  const Client client({.target = server.target()});
  EXPECT_EQ(client.Health().value(), ServingStatus::kServing);
  EXPECT_EQ(client.Health("who").value(), ServingStatus::kServiceUnknown);
  server.health.serving = false;
  EXPECT_EQ(client.Health().value(), ServingStatus::kNotServing);
}

TEST(Client, WatchesHealthToTheEndOrUntilToldToStop) {
  FakeServer server;
  const Client client({.target = server.target()});
  std::vector<ServingStatus> seen;
  EXPECT_TRUE(client
                  .WatchHealth("",
                               [&](ServingStatus status) {
                                 seen.push_back(status);
                                 return true;
                               })
                  .ok());
  EXPECT_THAT(seen, ElementsAre(ServingStatus::kServing, ServingStatus::kNotServing));
  int calls = 0;
  EXPECT_TRUE(client.WatchHealth("", [&](ServingStatus) { return ++calls < 1; }).ok());
  EXPECT_EQ(calls, 1);
}

TEST(Convert, ATensorWhoseBytesDoNotFitItsShapeIsRefused) {
  v1::Tensor tensor = FakeEncoder::Floats({2, 2}, {1, 2, 3});
  EXPECT_EQ(FromProto(tensor).status().code(), absl::StatusCode::kInternal);
  tensor.clear_shape();
  tensor.add_shape(int64_t{1} << 62);
  tensor.add_shape(8);
  EXPECT_EQ(FromProto(tensor).status().code(), absl::StatusCode::kInternal);
  tensor.clear_shape();
  tensor.add_shape(-3);
  tensor.add_shape(-1);
  EXPECT_EQ(FromProto(tensor).status().code(), absl::StatusCode::kInternal);
  tensor = FakeEncoder::Floats({1}, {1});
  tensor.set_dtype(v1::DATA_TYPE_INT64);
  EXPECT_THAT(std::string(FromProto(tensor).status().message()), HasSubstr("data type"));
}

TEST(Convert, TokensOfDifferentNumbersAreRefused) {
  v1::Encoding encoding;
  encoding.mutable_tokens()->add_ids(1);
  encoding.mutable_tokens()->add_ids(2);
  encoding.mutable_tokens()->add_strings("one");
  EXPECT_EQ(FromProto(encoding).status().code(), absl::StatusCode::kInternal);
}

TEST(Convert, OptionsThatAreNotSetStayAbsent) {
  const v1::EncodeRequest bare = ToProto({"a"}, EncodeOptions{});
  EXPECT_EQ(bare.options().ByteSizeLong(), 0U);
  const v1::EncodeRequest full = ToProto({"a"}, {.return_pooled = false,
                                                 .pooling = Pooling::kPooler,
                                                 .normalize = false,
                                                 .length_max = 9,
                                                 .add_special_tokens = false,
                                                 .offset_unit = OffsetUnit::kUtf16});
  EXPECT_TRUE(full.options().has_return_pooled());
  EXPECT_TRUE(full.options().has_normalize());
  EXPECT_EQ(full.options().pooling(), v1::POOLING_POOLER);
  EXPECT_EQ(full.options().max_length(), 9);
  EXPECT_EQ(full.options().offset_unit(), v1::OFFSET_UNIT_UTF16);
}

}  // namespace
}  // namespace attnd::client
