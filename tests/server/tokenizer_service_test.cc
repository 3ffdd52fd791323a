// Goal: Tokenize and Detokenize answer with what the tokenizer says, and refuse every wrong field
// by name. Method: a server on a real port with the tiny tokenizer; expected tokens are written
// out.

#include <string>
#include <vector>

#include "attnd/v1/tokenizer.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/head_server.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::ExpectRefused;
using ::testing::IsEmpty;
using testing::LetterId;
using testing::TestServer;
using testing::WrongRequest;

v1::TokenizeRequest TextRequest(const std::string& text) {
  v1::TokenizeRequest request;
  request.add_inputs()->set_text(text);
  return request;
}

grpc::Status Tokenize(TestServer& server, const v1::TokenizeRequest& request,
                      v1::TokenizeResponse* response = nullptr) {
  grpc::ClientContext context;
  v1::TokenizeResponse ignored;
  return v1::TokenizerService::NewStub(server.channel())
      ->Tokenize(&context, request, response ? response : &ignored);
}

v1::DetokenizeRequest IdsRequest(const std::vector<int32_t>& ids) {
  v1::DetokenizeRequest request;
  request.add_inputs()->mutable_ids()->Assign(ids.begin(), ids.end());
  return request;
}

grpc::Status Detokenize(TestServer& server, const v1::DetokenizeRequest& request,
                        v1::DetokenizeResponse* response = nullptr) {
  grpc::ClientContext context;
  v1::DetokenizeResponse ignored;
  return v1::TokenizerService::NewStub(server.channel())
      ->Detokenize(&context, request, response ? response : &ignored);
}

TEST(TokenizeTest, EverythingAboutTheTokensComesBack) {
  TestServer server;
  v1::TokenizeRequest request = TextRequest("the cats");
  request.add_inputs()->mutable_text_pair()->set_first("a");
  request.mutable_inputs(1)->mutable_text_pair()->set_second("\U0001F600 b");
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize(server, request, &response).ok());
  EXPECT_EQ(response.model().name(), "stub");
  ASSERT_EQ(response.tokenizations_size(), 2);
  const v1::Tokens& tokens = response.tokenizations(0).tokens();
  EXPECT_THAT(tokens.strings(), ElementsAre("[CLS]", "the", "cat", "##s", "[SEP]"));
  EXPECT_THAT(tokens.ids(), ElementsAre(2, 83, 84, LetterId('s') + 36, 3));
  EXPECT_THAT(tokens.starts(), ElementsAre(0, 0, 4, 7, 0));
  EXPECT_THAT(tokens.ends(), ElementsAre(0, 3, 7, 8, 0));
  EXPECT_THAT(tokens.special(), ElementsAre(true, false, false, false, true));
  EXPECT_THAT(tokens.word_ids(), ElementsAre(-1, 0, 1, 1, -1));
  EXPECT_FALSE(response.tokenizations(0).truncated());
  EXPECT_EQ(response.tokenizations(1).input_index(), 1);
  const v1::Tokens& pair = response.tokenizations(1).tokens();
  EXPECT_THAT(pair.strings(), ElementsAre("[CLS]", "a", "[SEP]", "[UNK]", "b", "[SEP]"));
  EXPECT_THAT(pair.type_ids(), ElementsAre(0, 0, 0, 1, 1, 1));
  EXPECT_THAT(pair.text_indices(), ElementsAre(-1, 0, -1, 1, 1, -1));
  EXPECT_THAT(pair.word_ids(), ElementsAre(-1, 0, -1, 0, 1, -1));
  EXPECT_THAT(pair.starts(), ElementsAre(0, 0, 0, 0, 2, 0));
}

TEST(TokenizeTest, TheRequestChoosesSpecialTokensLengthAndUnit) {
  TestServer server;
  v1::TokenizeRequest request = TextRequest("\U0001F600 b c d");
  request.mutable_options()->set_add_special_tokens(false);
  request.mutable_options()->set_truncation(v1::TRUNCATION_LEFT);
  request.mutable_options()->set_max_length(3);
  request.mutable_options()->set_offset_unit(v1::OFFSET_UNIT_BYTE);
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize(server, request, &response).ok());
  EXPECT_THAT(response.tokenizations(0).tokens().strings(), ElementsAre("b", "c", "d"));
  EXPECT_THAT(response.tokenizations(0).tokens().starts(), ElementsAre(5, 7, 9));
  EXPECT_TRUE(response.tokenizations(0).truncated());
}

TEST(TokenizeTest, WithoutMaximumAnyLengthIsFine) {
  TestServer server;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "a ";  // The model reads 64.
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize(server, TextRequest(text), &response).ok());
  EXPECT_EQ(response.tokenizations(0).tokens().ids_size(), 1002);
}

TEST(TokenizeTest, AnEmptyTextHasItsSpecialTokensOrNone) {
  TestServer server;
  v1::TokenizeRequest request = TextRequest("");
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize(server, request, &response).ok());
  EXPECT_THAT(response.tokenizations(0).tokens().ids(), ElementsAre(2, 3));
  request.mutable_options()->set_add_special_tokens(false);
  ASSERT_TRUE(Tokenize(server, request, &response).ok());
  EXPECT_THAT(response.tokenizations(0).tokens().ids(), IsEmpty());
}

TEST(TokenizeTest, EveryWrongFieldIsRefusedByName) {
  TestServer server;
  using Request = v1::TokenizeRequest;
  const std::vector<WrongRequest<Request>> kWrong = {
      {[](Request& r) { r.clear_inputs(); }, {.reason = "MISSING_FIELD", .field = "inputs"}},
      {[](Request& r) {
         for (int i = 0; i < 32; ++i) r.add_inputs()->set_text("a");
       },
       {.reason = "OVER_LIMIT", .field = "inputs", .says = "33 inputs"}},
      {[](Request& r) { r.add_inputs(); }, {.reason = "MISSING_FIELD", .field = "inputs[1]"}},
      {[](Request& r) { r.mutable_inputs(0)->mutable_token_ids()->add_ids(1); },
       {.reason = "INVALID_VALUE", .field = "inputs[0]", .says = "only a text"}},
      {[](Request& r) { r.mutable_inputs(0)->mutable_input_embeddings(); },
       {.reason = "INVALID_VALUE", .field = "inputs[0]"}},
      {[](Request& r) { r.mutable_inputs(0)->set_text(std::string(70'000, 'a')); },
       {.reason = "OVER_LIMIT", .field = "inputs[0].text", .says = "text-bytes"}},
      {[](Request& r) {
         for (int i = 0; i < 5; ++i) r.add_inputs()->set_text(std::string(60'000, 'a'));
       },
       {.reason = "OVER_LIMIT", .field = "inputs", .says = "request-text-bytes"}},
      {[](Request& r) { r.mutable_options()->set_max_length(2); },
       {.reason = "TOO_LONG", .field = "inputs[0].text", .says = "3 tokens"}},
      {[](Request& r) { r.mutable_options()->set_max_length(0); },
       {.reason = "INVALID_VALUE", .field = "options.max_length", .says = "at least 1"}},
      {[](Request& r) { r.mutable_options()->set_truncation(static_cast<v1::Truncation>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.truncation"}},
      {[](Request& r) { r.mutable_options()->set_offset_unit(static_cast<v1::OffsetUnit>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.offset_unit"}},
  };
  for (const auto& [change, refusal] : kWrong) {
    Request request = TextRequest("a");
    change(request);
    SCOPED_TRACE(refusal.field + " " + refusal.reason);
    ExpectRefused(Tokenize(server, request), refusal);
  }
}

// As DistilBERT, whose tokenizer says 1 of the second text all the same.
TEST(TokenizeTest, WhatAModelWithoutTokenTypesIsToldItTakes) {
  TestServer server(TestServer::DefaultConfig(),
                    [](ServedModel& model) { model.info.token_types = 0; });
  v1::TokenizeRequest request;
  request.add_inputs()->mutable_text_pair()->set_first("a");
  request.mutable_inputs(0)->mutable_text_pair()->set_second("b");
  v1::TokenizeResponse response;
  ASSERT_TRUE(Tokenize(server, request, &response).ok());
  const v1::Tokens& tokens = response.tokenizations(0).tokens();
  EXPECT_THAT(tokens.type_ids(), ElementsAre(0, 0, 0, 0, 0));
  v1::EncodeRequest encode;
  v1::TokenIds& ids = *encode.add_inputs()->mutable_token_ids();
  *ids.mutable_ids() = tokens.ids();
  *ids.mutable_type_ids() = tokens.type_ids();
  const grpc::Status status = Encode(server, encode);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(TokenizeTest, AReplyThatCannotBeSentIsRefused) {
  Config config = TestServer::DefaultConfig();
  config.limits.message_bytes = 65'536;
  TestServer server(config);
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "a ";
  ExpectRefused(Tokenize(server, TextRequest(text)),
                {.reason = "REPLY_TOO_LARGE", .field = "inputs[0]", .says = "65536"});
}

TEST(DetokenizeTest, IdsBecomeTextWithSpecialTokensOrWithout) {
  TestServer server;
  v1::DetokenizeRequest request = IdsRequest({2, 83, 84, LetterId('s') + 36, 3});
  *request.add_inputs() = IdsRequest({LetterId('a')}).inputs(0);
  request.mutable_inputs(1)->add_type_ids(77);  // Not looked at.
  v1::DetokenizeResponse response;
  ASSERT_TRUE(Detokenize(server, request, &response).ok());
  EXPECT_EQ(response.model().name(), "stub");
  EXPECT_THAT(response.texts(), ElementsAre("the cats", "a"));
  request.set_skip_special_tokens(false);
  ASSERT_TRUE(Detokenize(server, request, &response).ok());
  EXPECT_THAT(response.texts(), ElementsAre("[CLS] the cats [SEP]", "a"));
}

TEST(DetokenizeTest, EveryWrongFieldIsRefusedByName) {
  Config config = TestServer::DefaultConfig();
  config.limits.request_text_bytes = 100;
  TestServer server(config);
  ExpectRefused(Detokenize(server, {}), {.reason = "MISSING_FIELD", .field = "inputs"});
  ExpectRefused(Detokenize(server, IdsRequest({})),
                {.reason = "MISSING_FIELD", .field = "inputs[0].ids"});
  ExpectRefused(Detokenize(server, IdsRequest({5, -1})),
                {.reason = "ID_OUT_OF_RANGE", .field = "inputs[0].ids[1]", .says = "-1"});
  ExpectRefused(
      Detokenize(server, IdsRequest({testing::TinyVocabularySize()})),
      {.reason = "ID_OUT_OF_RANGE", .field = "inputs[0].ids[0]", .says = "between 0 and 91"});
  ExpectRefused(Detokenize(server, IdsRequest(std::vector<int32_t>(101, 5))),
                {.reason = "OVER_LIMIT", .field = "inputs", .says = "101 ids"});
  v1::DetokenizeRequest many;
  for (int i = 0; i < 33; ++i) many.add_inputs()->add_ids(5);
  ExpectRefused(Detokenize(server, many), {.reason = "OVER_LIMIT", .field = "inputs"});
}

TEST(DetokenizeTest, AnIdOfThePaddedVocabularyThatTheTokenizerLacksIsRefused) {
  TestServer server(TestServer::DefaultConfig(),
                    [](ServedModel& model) { model.info.vocabulary += 4; });
  ExpectRefused(Detokenize(server, IdsRequest({5, testing::TinyVocabularySize() + 1})),
                {.reason = "ID_OUT_OF_RANGE", .field = "inputs[0].ids", .says = "ids[1] is 93"});
}

TEST(TokenizerTest, AModelWithoutTokenizerSaysSo) {
  TestServer server(TestServer::DefaultConfig(), [](ServedModel& model) {
    model.tokenize = nullptr;
    model.decode = nullptr;
  });
  const testing::Refusal refusal = {.code = grpc::StatusCode::FAILED_PRECONDITION,
                                    .reason = "NOT_SUPPORTED_BY_MODEL",
                                    .field = "",
                                    .says = "no tokenizer, and can do: Encode"};
  ExpectRefused(Tokenize(server, TextRequest("a")), refusal);
  ExpectRefused(Detokenize(server, IdsRequest({1})), refusal);
}

}  // namespace
}  // namespace attnd
