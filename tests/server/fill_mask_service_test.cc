// Goal: FillMask answers with the best tokens of each mask, and refuses every wrong field by name.
// Method: a server on a real port whose stub head prefers known tokens; expected scores come from
// the formula.

#include <cmath>
#include <string>
#include <vector>

#include "attnd/v1/fill_mask.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/heads/fill_mask.h"
#include "server/validate/encode_size.h"
#include "tests/server/head_server.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::ExpectRefused;
using testing::HeadServer;
using testing::kCatId;
using testing::kDogId;
using testing::LetterId;
using testing::StubHead;
using testing::TestServer;
using testing::WrongRequest;

// Every mask wants a dog most, then a cat: logits 3 and 2, and at the row `r` an "a" of r / 8.
StubHead Vocabulary() {
  return {.kind = HeadKind::kVocabulary, .fill = [](EncodeTask& task) {
            const size_t vocabulary = task.logits_out.size() / task.logit_rows.size();
            for (size_t mask = 0; mask < task.logit_rows.size(); ++mask) {
              float* logits = &task.logits_out[mask * vocabulary];
              logits[kCatId] = 2;
              logits[kDogId] = 3;
              logits[LetterId('a')] = static_cast<float>(task.logit_rows[mask]) / 8;
            }
          }};
}

v1::FillMaskRequest TextRequest(const std::string& text) {
  v1::FillMaskRequest request;
  request.add_inputs()->set_text(text);
  return request;
}

grpc::Status FillMask(TestServer& server, const v1::FillMaskRequest& request,
                      v1::FillMaskResponse* response = nullptr) {
  grpc::ClientContext context;
  v1::FillMaskResponse ignored;
  return v1::FillMaskService::NewStub(server.channel())
      ->FillMask(&context, request, response ? response : &ignored);
}

std::vector<int32_t> IdsOf(const v1::FilledMask& mask) {
  std::vector<int32_t> ids;
  for (const v1::TokenCandidate& candidate : mask.candidates()) ids.push_back(candidate.id());
  return ids;
}

TEST(FillMaskTest, EachMaskHasItsBestTokens) {
  HeadServer server(Vocabulary());
  v1::FillMaskResponse response;
  ASSERT_TRUE(FillMask(server, TextRequest("the [MASK] sat on [MASK]"), &response).ok());
  EXPECT_EQ(response.model().name(), "stub");
  const v1::FilledInput& input = response.inputs(0);
  EXPECT_EQ(input.token_count(), 7);
  EXPECT_GT(input.timings().batch_tokens(), 0);
  ASSERT_EQ(input.masks_size(), 2);
  EXPECT_EQ(input.masks(0).token_index(), 2);
  EXPECT_EQ(input.masks(0).start(), 4);
  EXPECT_EQ(input.masks(0).end(), 10);
  EXPECT_EQ(input.masks(1).token_index(), 5);
  EXPECT_EQ(input.masks(1).start(), 18);
  for (const v1::FilledMask& mask : input.masks()) {
    // After the three that differ, equal ones by id.
    EXPECT_THAT(IdsOf(mask), ElementsAre(kDogId, kCatId, LetterId('a'), 0, 1));
    EXPECT_EQ(mask.candidates(0).token(), "dog");
    EXPECT_EQ(mask.candidates(0).text(), "dog");
    EXPECT_FALSE(mask.candidates(0).has_logit());
    const double letter = std::exp(mask.token_index() / 8.0);
    const double sum = std::exp(2.0) + std::exp(3.0) + letter + (testing::TinyVocabularySize() - 3);
    EXPECT_FLOAT_EQ(mask.candidates(0).score(), static_cast<float>(std::exp(3.0) / sum));
    EXPECT_FLOAT_EQ(mask.candidates(2).score(), static_cast<float>(letter / sum));
    EXPECT_FLOAT_EQ(mask.candidates(4).score(), static_cast<float>(1 / sum));
  }
}

TEST(FillMaskTest, TheRequestChoosesNumberLogitsAndUnit) {
  HeadServer server(Vocabulary());
  v1::FillMaskRequest request = TextRequest("\U0001F600 [MASK]");
  request.mutable_options()->set_top_k(1);
  request.mutable_options()->set_return_logits(true);
  request.mutable_options()->set_offset_unit(v1::OFFSET_UNIT_UTF16);
  v1::FillMaskResponse response;
  ASSERT_TRUE(FillMask(server, request, &response).ok());
  const v1::FilledMask& mask = response.inputs(0).masks(0);
  EXPECT_THAT(IdsOf(mask), ElementsAre(kDogId));
  EXPECT_EQ(mask.candidates(0).logit(), 3);
  EXPECT_EQ(mask.start(), 3);
  EXPECT_EQ(mask.end(), 9);
  request.mutable_options()->set_offset_unit(v1::OFFSET_UNIT_BYTE);
  ASSERT_TRUE(FillMask(server, request, &response).ok());
  EXPECT_EQ(response.inputs(0).masks(0).start(), 5);
}

TEST(FillMaskTest, MoreCandidatesThanTokensAreAllTokens) {
  HeadServer server(Vocabulary());
  v1::FillMaskRequest request = TextRequest("[MASK]");
  request.mutable_options()->set_top_k(100);
  v1::FillMaskResponse response;
  ASSERT_TRUE(FillMask(server, request, &response).ok());
  EXPECT_EQ(response.inputs(0).masks(0).candidates_size(), testing::TinyVocabularySize());
  // A piece of a word is itself as text too.
  EXPECT_EQ(response.inputs(0).masks(0).candidates(91).token(), "##ing");
}

TEST(FillMaskTest, TokenIdsHaveMasksWithoutPlaces) {
  HeadServer server(Vocabulary());
  v1::FillMaskRequest request;
  auto& ids = *request.add_inputs()->mutable_token_ids();
  for (const int32_t id : {testing::kCls, testing::kMask, testing::kSep}) ids.add_ids(id);
  v1::FillMaskResponse response;
  ASSERT_TRUE(FillMask(server, request, &response).ok());
  ASSERT_EQ(response.inputs(0).masks_size(), 1);
  EXPECT_EQ(response.inputs(0).masks(0).token_index(), 1);
  EXPECT_EQ(response.inputs(0).masks(0).end(), 0);
}

TEST(FillMaskTest, EveryWrongFieldIsRefusedByName) {
  Config config = TestServer::DefaultConfig();
  config.limits.candidates_per_mask = 7;
  HeadServer server(Vocabulary(), config);
  using Request = v1::FillMaskRequest;
  const std::vector<WrongRequest<Request>> kWrong = {
      {[](Request& r) { r.clear_inputs(); }, {.reason = "MISSING_FIELD", .field = "inputs"}},
      {[](Request& r) {
         for (int i = 0; i < 32; ++i) r.add_inputs()->set_text("[MASK]");
       },
       {.reason = "OVER_LIMIT", .field = "inputs", .says = "33 inputs"}},
      {[](Request& r) { r.add_inputs()->set_text("no mask"); },
       {.reason = "INVALID_VALUE", .field = "inputs[1]", .says = "\"[MASK]\" with id 4"}},
      {[](Request& r) {  // The mask is what is cut.
         r.mutable_inputs(0)->set_text("a b c [MASK]");
         r.mutable_options()->set_truncation(v1::TRUNCATION_RIGHT);
         r.mutable_options()->set_max_length(5);
       },
       {.reason = "INVALID_VALUE", .field = "inputs[0]", .says = "none of its 5 tokens"}},
      {[](Request& r) { r.mutable_inputs(0)->mutable_input_embeddings(); },
       {.reason = "INVALID_VALUE", .field = "inputs[0].input_embeddings"}},
      {[](Request& r) { r.mutable_options()->set_top_k(0); },
       {.reason = "INVALID_VALUE", .field = "options.top_k", .says = "at least 1"}},
      {[](Request& r) { r.mutable_options()->set_top_k(8); },
       {.reason = "OVER_LIMIT", .field = "options.top_k", .says = "candidates-per-mask"}},
      {[](Request& r) { r.mutable_options()->set_offset_unit(static_cast<v1::OffsetUnit>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.offset_unit"}},
      {[](Request& r) { r.mutable_options()->set_truncation(static_cast<v1::Truncation>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.truncation"}},
      {[](Request& r) { r.mutable_options()->set_max_length(65); },
       {.reason = "INVALID_VALUE", .field = "options.max_length"}},
  };
  for (const auto& [change, refusal] : kWrong) {
    Request request = TextRequest("[MASK]");
    change(request);
    SCOPED_TRACE(refusal.field + " " + refusal.reason);
    ExpectRefused(FillMask(server, request), refusal);
  }
  EXPECT_EQ(server.model().computed(), 0);
}

TEST(FillMaskTest, MoreLogitsThanTheQueueEverTakesAreRefused) {
  Config config = TestServer::DefaultConfig();
  config.limits.queue_bytes = 1000;  // A mask's logits are 368 bytes.
  HeadServer server(Vocabulary(), config);
  EXPECT_TRUE(FillMask(server, TextRequest("[MASK] [MASK]")).ok());
  ExpectRefused(FillMask(server, TextRequest("[MASK] [MASK] [MASK]")),
                {.reason = "OVER_LIMIT", .field = "inputs", .says = "queue-bytes"});
}

TEST(FillMaskTest, AReplyThatCouldNotBeSentIsRefusedBeforeItIsComputed) {
  Config config = TestServer::DefaultConfig();
  config.limits.message_bytes = 3000;
  HeadServer server(Vocabulary(), config);
  v1::FillMaskRequest request = TextRequest("[MASK] [MASK]");
  request.mutable_options()->set_top_k(100);
  ExpectRefused(
      FillMask(server, request),
      {.reason = "REPLY_TOO_LARGE", .field = "inputs", .says = "Ask for fewer candidates (top_k)"});
  EXPECT_EQ(server.model().computed(), 0);
  request.mutable_options()->set_top_k(10);
  EXPECT_TRUE(FillMask(server, request).ok());
}

// The least message that a plan believes to be large enough is, and not by far too large.
TEST(FillMaskTest, TheBoundOfAReplyIsAboveItAndNear) {
  HeadServer server(Vocabulary());
  ServedModel model = server.served();
  model.vocabulary_bytes = VocabularyBytes(model);
  v1::FillMaskRequest request = TextRequest("[MASK] a [MASK]");
  request.mutable_options()->set_return_logits(true);
  for (const int32_t top_k : {1, 3, 92, 100}) {
    request.mutable_options()->set_top_k(top_k);
    v1::FillMaskResponse response;
    ASSERT_TRUE(FillMask(server, request, &response).ok());
    const auto bytes = static_cast<int64_t>(response.ByteSizeLong());
    EXPECT_FALSE(PlanFillMask(request, model, {.message_bytes = bytes - 1}).ok());
    EXPECT_TRUE(PlanFillMask(request, model, {.message_bytes = 2 * bytes + 1000}).ok());
  }
}

}  // namespace
}  // namespace attnd
