// Goal: ClassifyTokens answers with spans of the text, placed in the unit asked for, and refuses
// every wrong field by name. Method: a server on a real port whose stub head labels tokens by their
// ids; expected spans are written out.

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "attnd/v1/classifier.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/head_server.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::ExpectRefused;
using testing::HeadServer;
using ::testing::IsEmpty;
using testing::LetterId;
using testing::StubHead;
using testing::TestServer;
using testing::WrongRequest;

// "cat" begins a person, "dog" goes on with one, "the" begins a place; all else is outside.
StubHead People() {
  return {.kind = HeadKind::kTokenLabels,
          .labels = {"O", "B-PER", "I-PER", "B-LOC"},
          .fill = [](EncodeTask& task) {
            static const std::map<int32_t, size_t> kLabels = {
                {testing::kCatId, 1}, {testing::kDogId, 2}, {testing::kTheId, 3}};
            for (size_t row = 0; row < task.ids.size(); ++row) {
              const auto known = kLabels.find(task.ids[row]);
              task.logits_out[row * 4 + (known == kLabels.end() ? 0 : known->second)] = 2;
            }
          }};
}

// The softmax of 2 among three zeros.
const float kScore = static_cast<float>(std::exp(2.0) / (std::exp(2.0) + 3));

v1::ClassifyTokensRequest TextRequest(const std::string& text) {
  v1::ClassifyTokensRequest request;
  request.add_inputs()->set_text(text);
  return request;
}

grpc::Status ClassifyTokens(TestServer& server, const v1::ClassifyTokensRequest& request,
                            v1::ClassifyTokensResponse* response = nullptr) {
  grpc::ClientContext context;
  v1::ClassifyTokensResponse ignored;
  return v1::ClassifierService::NewStub(server.channel())
      ->ClassifyTokens(&context, request, response ? response : &ignored);
}

// "label [start,end) text" of each span.
std::vector<std::string> Told(const v1::TokenClassification& classification) {
  std::vector<std::string> told;
  for (const v1::LabelSpan& span : classification.spans()) {
    told.push_back(span.label() + " [" + std::to_string(span.start()) + "," +
                   std::to_string(span.end()) + ") " + span.text());
  }
  return told;
}

TEST(ClassifyTokensTest, NeighboursAreJoinedAndOutsideIsLeftOut) {
  HeadServer server(People());
  v1::ClassifyTokensResponse response;
  ASSERT_TRUE(ClassifyTokens(server, TextRequest("a Cat  dog sat. The"), &response).ok());
  EXPECT_EQ(response.model().name(), "stub");
  const v1::TokenClassification& classification = response.classifications(0);
  EXPECT_THAT(Told(classification), ElementsAre("PER [2,10) Cat  dog", "LOC [16,19) The"));
  const v1::LabelSpan& person = classification.spans(0);
  EXPECT_FLOAT_EQ(person.score(), kScore);
  EXPECT_EQ(person.first_token(), 2);
  EXPECT_EQ(person.end_token(), 4);
  EXPECT_EQ(person.text_index(), 0);
  EXPECT_EQ(classification.token_count(), 8);
  EXPECT_FALSE(classification.truncated());
  EXPECT_GT(classification.timings().batch_tokens(), 0);
}

TEST(ClassifyTokensTest, TheRequestChoosesAggregationAndWhatIsIgnored) {
  HeadServer server(People());
  v1::ClassifyTokensRequest request = TextRequest("cat dog a");
  v1::ClassifyTokensOptions& options = *request.mutable_options();
  v1::ClassifyTokensResponse response;
  options.set_aggregation(v1::SPAN_AGGREGATION_NONE);
  ASSERT_TRUE(ClassifyTokens(server, request, &response).ok());
  EXPECT_THAT(Told(response.classifications(0)), ElementsAre("B-PER [0,3) cat", "I-PER [4,7) dog"));

  options.add_ignored_labels("B-PER");
  ASSERT_TRUE(ClassifyTokens(server, request, &response).ok());
  EXPECT_THAT(Told(response.classifications(0)), ElementsAre("I-PER [4,7) dog", "O [8,9) a"));

  options.set_keep_all(true);
  ASSERT_TRUE(ClassifyTokens(server, request, &response).ok());
  EXPECT_EQ(response.classifications(0).spans_size(), 3);

  options.set_keep_all(false);
  options.set_aggregation(v1::SPAN_AGGREGATION_SIMPLE);
  *options.mutable_ignored_labels(0) = "PER";  // Aggregated labels have no prefix.
  ASSERT_TRUE(ClassifyTokens(server, request, &response).ok());
  EXPECT_THAT(Told(response.classifications(0)), ElementsAre("O [8,9) a"));
}

// "dxyz" is d, ##x, ##y, ##z.
TEST(ClassifyTokensTest, AWordIsOneWhereAggregationIsByWord) {
  StubHead head = People();
  head.fill = [](EncodeTask& task) {  // The first piece begins a place, all others are outside.
    for (size_t row = 0; row < task.ids.size(); ++row) {
      task.logits_out[row * 4 + (task.ids[row] == LetterId('d') ? 3 : 0)] = 2;
    }
  };
  HeadServer server(head);
  v1::ClassifyTokensRequest request = TextRequest("dxyz a");
  v1::ClassifyTokensResponse response;
  ASSERT_TRUE(ClassifyTokens(server, request, &response).ok());
  EXPECT_THAT(Told(response.classifications(0)), ElementsAre("LOC [0,1) d"));
  for (const auto& [aggregation, told] : std::map<v1::SpanAggregation, std::vector<std::string>>{
           {v1::SPAN_AGGREGATION_FIRST, {"LOC [0,4) dxyz"}},
           {v1::SPAN_AGGREGATION_MAX, {"LOC [0,4) dxyz"}},  // The first of equals.
           {v1::SPAN_AGGREGATION_AVERAGE, {}}}) {
    request.mutable_options()->set_aggregation(aggregation);
    ASSERT_TRUE(ClassifyTokens(server, request, &response).ok());
    EXPECT_EQ(Told(response.classifications(0)), told) << aggregation;
  }
}

TEST(ClassifyTokensTest, PlacesAreInTheUnitAskedFor) {
  HeadServer server(People());
  v1::ClassifyTokensRequest request = TextRequest("\u00E9 \U0001F600 cat");
  const std::map<v1::OffsetUnit, std::string> kPlaces = {
      {v1::OFFSET_UNIT_UNSPECIFIED, "PER [4,7) cat"},
      {v1::OFFSET_UNIT_CODE_POINT, "PER [4,7) cat"},
      {v1::OFFSET_UNIT_BYTE, "PER [8,11) cat"},
      {v1::OFFSET_UNIT_UTF16, "PER [5,8) cat"}};
  for (const auto& [unit, place] : kPlaces) {
    request.mutable_options()->set_offset_unit(unit);
    v1::ClassifyTokensResponse response;
    ASSERT_TRUE(ClassifyTokens(server, request, &response).ok());
    EXPECT_THAT(Told(response.classifications(0)), ElementsAre(place));
  }
}

TEST(ClassifyTokensTest, PairsHaveTwoTextsAndIdsHaveNone) {
  HeadServer server(People());
  v1::ClassifyTokensRequest request;
  request.add_inputs()->mutable_text_pair()->set_first("cat");
  request.mutable_inputs(0)->mutable_text_pair()->set_second("a dog");
  auto& ids = *request.add_inputs()->mutable_token_ids();
  for (const int32_t id : {testing::kCatId, testing::kDogId, LetterId('a')}) ids.add_ids(id);
  v1::ClassifyTokensResponse response;
  ASSERT_TRUE(ClassifyTokens(server, request, &response).ok());
  EXPECT_THAT(Told(response.classifications(0)),
              ElementsAre("PER [0,3) cat", "PER [2,5) dog"));  // Not one of both texts.
  EXPECT_EQ(response.classifications(0).spans(1).text_index(), 1);
  EXPECT_THAT(Told(response.classifications(1)), ElementsAre("PER [0,0) cat dog"));
  EXPECT_EQ(response.classifications(1).spans(0).end_token(), 2);
}

TEST(ClassifyTokensTest, AnEmptyTextHasNoSpans) {
  HeadServer server(People());
  v1::ClassifyTokensRequest request = TextRequest("");
  request.mutable_options()->set_keep_all(true);
  v1::ClassifyTokensResponse response;
  ASSERT_TRUE(ClassifyTokens(server, request, &response).ok());
  EXPECT_THAT(response.classifications(0).spans(), IsEmpty());
}

TEST(ClassifyTokensTest, EveryWrongFieldIsRefusedByName) {
  HeadServer server(People());
  using Request = v1::ClassifyTokensRequest;
  const std::vector<WrongRequest<Request>> kWrong = {
      {[](Request& r) { r.clear_inputs(); }, {.reason = "MISSING_FIELD", .field = "inputs"}},
      {[](Request& r) {
         for (int i = 0; i < 9; ++i) r.mutable_options()->add_ignored_labels("O");
       },
       {.reason = "OVER_LIMIT", .field = "options.ignored_labels", .says = "twice the 4"}},
      {[](Request& r) { r.mutable_options()->add_ignored_labels(std::string(257, 'O')); },
       {.reason = "OVER_LIMIT", .field = "options.ignored_labels", .says = "257 bytes"}},
      {[](Request& r) {
         for (int i = 0; i < 32; ++i) r.add_inputs()->set_text("a");
       },
       {.reason = "OVER_LIMIT", .field = "inputs", .says = "33 inputs"}},
      {[](Request& r) { r.mutable_inputs(0)->mutable_input_embeddings(); },
       {.reason = "INVALID_VALUE",
        .field = "inputs[0].input_embeddings",
        .says = "embeddings have no tokens"}},
      {[](Request& r) { r.mutable_inputs(0)->mutable_token_ids(); },
       {.reason = "MISSING_FIELD", .field = "inputs[0].token_ids.ids"}},
      {[](Request& r) {
         r.mutable_options()->set_aggregation(static_cast<v1::SpanAggregation>(9));
       },
       {.reason = "INVALID_VALUE", .field = "options.aggregation"}},
      {[](Request& r) { r.mutable_options()->set_offset_unit(static_cast<v1::OffsetUnit>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.offset_unit"}},
      {[](Request& r) { r.mutable_options()->set_truncation(static_cast<v1::Truncation>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.truncation"}},
      {[](Request& r) { r.mutable_options()->set_max_length(65); },
       {.reason = "INVALID_VALUE", .field = "options.max_length"}},
  };
  for (const auto& [change, refusal] : kWrong) {
    Request request = TextRequest("a");
    change(request);
    SCOPED_TRACE(refusal.field + " " + refusal.reason);
    ExpectRefused(ClassifyTokens(server, request), refusal);
  }
  EXPECT_EQ(server.model().computed(), 0);
}

}  // namespace
}  // namespace attnd
