// Goal: Answer finds the best spans of a context however many windows it takes, and refuses every
// wrong field by name. Method: a server on a real port whose stub head likes answers that begin
// with a cat and end with a dog; expected windows, scores and places are worked out by hand.

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "attnd/v1/answer.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/heads/answer.h"
#include "tests/server/head_server.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::ExpectRefused;
using testing::HeadServer;
using testing::kCatId;
using testing::kCls;
using testing::kDogId;
using testing::kSep;
using testing::LetterId;
using testing::StubHead;
using testing::TestServer;
using ::testing::UnorderedElementsAre;
using testing::WrongRequest;

// A cat's start and a dog's end have logit 3, [CLS] has 1 for both, and all others 0.
StubHead Spans() {
  return {.kind = HeadKind::kSpan, .fill = [](EncodeTask& task) {
            for (size_t row = 0; row < task.ids.size(); ++row) {
              const float first = task.ids[row] == kCls ? 1 : 0;
              task.logits_out[2 * row] = task.ids[row] == kCatId ? 3 : first;
              task.logits_out[2 * row + 1] = task.ids[row] == kDogId ? 3 : first;
            }
          }};
}

v1::AnswerRequest Ask(const std::string& context, const std::string& question = "q") {
  v1::AnswerRequest request;
  request.add_questions()->set_question(question);
  request.mutable_questions(0)->set_context(context);
  return request;
}

grpc::Status Answer(TestServer& server, const v1::AnswerRequest& request,
                    v1::AnswerResponse* response = nullptr) {
  grpc::ClientContext context;
  v1::AnswerResponse ignored;
  return v1::AnswerService::NewStub(server.channel())
      ->Answer(&context, request, response ? response : &ignored);
}

// "[start,end) text" of each answer.
std::vector<std::string> Told(const v1::QuestionAnswers& question) {
  std::vector<std::string> told;
  for (const v1::Answer& answer : question.answers()) {
    told.push_back("[" + std::to_string(answer.start()) + "," + std::to_string(answer.end()) +
                   ") " + answer.text());
  }
  return told;
}

// The share of a logit among `others` of 0.
double Share(double logit, int others) { return std::exp(logit) / (std::exp(logit) + others); }

TEST(AnswerTest, TheBestSpanOfTheContextIsTheAnswer) {
  HeadServer server(Spans());
  v1::AnswerRequest request = Ask("a Cat and  Dog b", "where is the cat and dog");
  *request.add_questions() = Ask("dog cat").questions(0);
  v1::AnswerResponse response;
  ASSERT_TRUE(Answer(server, request, &response).ok());
  EXPECT_EQ(response.model().name(), "stub");
  ASSERT_EQ(response.questions_size(), 2);
  const v1::QuestionAnswers& first = response.questions(0);
  EXPECT_THAT(Told(first), ElementsAre("[2,14) Cat and  Dog"));
  // a Cat a ##n ##d Dog b: the question's cat and dog take no part.
  EXPECT_FLOAT_EQ(first.answers(0).score(), static_cast<float>(Share(3, 6) * Share(3, 6)));
  EXPECT_EQ(first.window_count(), 1);
  EXPECT_GT(first.timings().batch_tokens(), 0);
  // An answer does not end before it begins: "dog", "dog cat" and "cat" are the spans.
  EXPECT_EQ(response.questions(1).question_index(), 1);
  EXPECT_EQ(response.questions(1).token_count(), 6);
  EXPECT_THAT(Told(response.questions(1)), ElementsAre("[0,3) dog"));
}

TEST(AnswerTest, TheRequestChoosesHowManyAndHowLong) {
  HeadServer server(Spans());
  v1::AnswerRequest request = Ask("cat a dog");
  request.mutable_options()->set_top_k(10);
  v1::AnswerResponse response;
  ASSERT_TRUE(Answer(server, request, &response).ok());
  EXPECT_THAT(Told(response.questions(0)),
              ElementsAre("[0,9) cat a dog", "[0,3) cat", "[0,5) cat a", "[4,9) a dog", "[6,9) dog",
                          "[4,5) a"));
  request.mutable_options()->set_max_answer_tokens(2);
  request.mutable_options()->set_top_k(1);
  ASSERT_TRUE(Answer(server, request, &response).ok());
  EXPECT_THAT(Told(response.questions(0)), ElementsAre("[0,3) cat"));
}

TEST(AnswerTest, NoAnswerIsAmongThemWhereItIsAllowed) {
  HeadServer server(Spans());
  v1::AnswerRequest request = Ask("a b");
  request.mutable_options()->set_top_k(2);
  request.mutable_options()->set_allow_no_answer(true);
  v1::AnswerResponse response;
  ASSERT_TRUE(Answer(server, request, &response).ok());
  const v1::QuestionAnswers& question = response.questions(0);
  EXPECT_THAT(Told(question), ElementsAre("[0,0) ", "[0,1) a"));
  EXPECT_FLOAT_EQ(question.answers(0).score(), static_cast<float>(Share(1, 2) * Share(1, 2)));
  const double other = 1 / (std::exp(1.0) + 2);
  EXPECT_FLOAT_EQ(question.answers(1).score(), static_cast<float>(other * other));
}

// The question and three special tokens leave room for 4 of the context's 9 tokens, of which 2 are
// shared: [0,4) [2,6) [4,8) [6,9).
TEST(AnswerTest, ALongContextIsReadInWindowsThatOverlap) {
  StubHead head = Spans();
  absl::Mutex mutex;
  std::vector<std::vector<int32_t>> ids, types;
  head.fill = [&, fill = head.fill](EncodeTask& task) {
    fill(task);
    absl::MutexLock lock(&mutex);
    ids.push_back(task.ids);
    types.push_back(task.types);
  };
  HeadServer server(head);
  v1::AnswerRequest request = Ask("a b c cat dog d e f g");
  request.mutable_options()->set_max_length(8);
  request.mutable_options()->set_stride(2);
  request.mutable_options()->set_top_k(3);
  v1::AnswerResponse response;
  ASSERT_TRUE(Answer(server, request, &response).ok());
  const v1::QuestionAnswers& question = response.questions(0);
  EXPECT_EQ(question.window_count(), 4);
  EXPECT_EQ(question.token_count(), 8 + 8 + 8 + 7);
  const auto letter = [](char c) { return LetterId(c); };
  EXPECT_THAT(
      ids,
      ElementsAre(
          ElementsAre(kCls, letter('q'), kSep, letter('a'), letter('b'), letter('c'), kCatId, kSep),
          ElementsAre(kCls, letter('q'), kSep, letter('c'), kCatId, kDogId, letter('d'), kSep),
          ElementsAre(kCls, letter('q'), kSep, kDogId, letter('d'), letter('e'), letter('f'), kSep),
          ElementsAre(kCls, letter('q'), kSep, letter('e'), letter('f'), letter('g'), kSep)));
  EXPECT_THAT(types[1], ElementsAre(0, 0, 0, 1, 1, 1, 1, 1));
  EXPECT_THAT(types[3], ElementsAre(0, 0, 0, 1, 1, 1, 1));
  // "cat" and "dog" are in two windows each, and each place is among the answers once.
  ASSERT_EQ(question.answers_size(), 3);
  EXPECT_THAT(Told(question)[0], "[6,13) cat dog");
  EXPECT_FLOAT_EQ(question.answers(0).score(), static_cast<float>(Share(3, 3) * Share(3, 3)));
  // Where one of them stands without the other, its other end is any of four.
  EXPECT_THAT(std::vector<std::string>({Told(question)[1], Told(question)[2]}),
              UnorderedElementsAre("[6,9) cat", "[10,13) dog"));
  for (const int rank : {1, 2}) {
    EXPECT_FLOAT_EQ(question.answers(rank).score(), static_cast<float>(Share(3, 3) / 4));
  }
}

TEST(AnswerTest, NoAnswerHasTheLowestScoreOfAllWindows) {
  HeadServer server(Spans());
  v1::AnswerRequest request = Ask("a b cat dog");
  request.mutable_options()->set_max_length(6);
  request.mutable_options()->set_stride(0);
  request.mutable_options()->set_top_k(100);
  request.mutable_options()->set_allow_no_answer(true);
  v1::AnswerResponse response;
  ASSERT_TRUE(Answer(server, request, &response).ok());
  EXPECT_EQ(response.questions(0).window_count(), 2);
  double score = -1;
  for (const v1::Answer& answer : response.questions(0).answers()) {
    if (answer.text().empty()) score = answer.score();
  }
  const double first = std::exp(1.0) / (std::exp(1.0) + std::exp(3.0) + 1);
  EXPECT_FLOAT_EQ(static_cast<float>(score), static_cast<float>(first * first));
}

TEST(AnswerTest, WithoutStrideWindowsShareHalfOfWhatFits) {
  HeadServer server(Spans());
  v1::AnswerRequest request = Ask("a b c d e f g h");
  request.mutable_options()->set_max_length(8);  // Room for 4; a step of 2.
  v1::AnswerResponse response;
  ASSERT_TRUE(Answer(server, request, &response).ok());
  EXPECT_EQ(response.questions(0).window_count(), 3);
}

TEST(AnswerTest, PlacesAreInTheUnitAskedFor) {
  HeadServer server(Spans());
  v1::AnswerRequest request = Ask("\u00E9 \U0001F600 cat dog");
  const std::map<v1::OffsetUnit, std::string> kPlaces = {
      {v1::OFFSET_UNIT_UNSPECIFIED, "[4,11) cat dog"},
      {v1::OFFSET_UNIT_BYTE, "[8,15) cat dog"},
      {v1::OFFSET_UNIT_UTF16, "[5,12) cat dog"}};
  for (const auto& [unit, place] : kPlaces) {
    request.mutable_options()->set_offset_unit(unit);
    v1::AnswerResponse response;
    ASSERT_TRUE(Answer(server, request, &response).ok());
    EXPECT_THAT(Told(response.questions(0)), ElementsAre(place));
  }
}

TEST(AnswerTest, EveryWrongFieldIsRefusedByName) {
  Config config = TestServer::DefaultConfig();
  config.limits.answers_per_question = 7;
  HeadServer server(Spans(), config);
  using Request = v1::AnswerRequest;
  const std::vector<WrongRequest<Request>> kWrong = {
      {[](Request& r) { r.clear_questions(); }, {.reason = "MISSING_FIELD", .field = "questions"}},
      {[](Request& r) {
         for (int i = 0; i < 32; ++i) *r.add_questions() = r.questions(0);
       },
       {.reason = "OVER_LIMIT", .field = "questions", .says = "33 questions"}},
      {[](Request& r) { r.add_questions()->set_context("a"); },
       {.reason = "MISSING_FIELD", .field = "questions[1].question"}},
      {[](Request& r) { r.mutable_questions(0)->clear_context(); },
       {.reason = "MISSING_FIELD", .field = "questions[0].context"}},
      {[](Request& r) { r.mutable_questions(0)->set_context(" \n"); },
       {.reason = "INVALID_VALUE", .field = "questions[0].context", .says = "no tokens"}},
      {[](Request& r) { r.mutable_questions(0)->set_context(std::string(70'000, 'a')); },
       {.reason = "OVER_LIMIT", .field = "questions[0]", .says = "text-bytes"}},
      {[](Request& r) {
         r.mutable_questions(0)->set_context(std::string(60'000, 'a'));
         for (int i = 0; i < 4; ++i) *r.add_questions() = r.questions(0);
       },
       {.reason = "OVER_LIMIT", .field = "questions", .says = "request-text-bytes"}},
      {[](Request& r) {
         r.mutable_questions(0)->set_question("a b c d e");
         r.mutable_options()->set_max_length(8);
       },
       {.reason = "TOO_LONG", .field = "questions[0].question", .says = "8, leave no room"}},
      {[](Request& r) { r.mutable_options()->set_stride(-1); },
       {.reason = "INVALID_VALUE", .field = "options.stride", .says = "between 0 and 27"}},
      {[](Request& r) { r.mutable_options()->set_stride(28); },
       {.reason = "INVALID_VALUE", .field = "options.stride", .says = "room for 28 tokens"}},
      {[](Request& r) { r.mutable_options()->set_top_k(0); },
       {.reason = "INVALID_VALUE", .field = "options.top_k", .says = "at least 1"}},
      {[](Request& r) { r.mutable_options()->set_top_k(8); },
       {.reason = "OVER_LIMIT", .field = "options.top_k", .says = "answers-per-question"}},
      {[](Request& r) { r.mutable_options()->set_max_answer_tokens(0); },
       {.reason = "INVALID_VALUE", .field = "options.max_answer_tokens"}},
      {[](Request& r) { r.mutable_options()->set_offset_unit(static_cast<v1::OffsetUnit>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.offset_unit"}},
      {[](Request& r) { r.mutable_options()->set_max_length(65); },
       {.reason = "INVALID_VALUE", .field = "options.max_length"}},
  };
  for (const auto& [change, refusal] : kWrong) {
    Request request = Ask("a");
    change(request);
    SCOPED_TRACE(refusal.field + " " + refusal.reason);
    ExpectRefused(Answer(server, request), refusal);
  }
  EXPECT_EQ(server.model().computed(), 0);
}

TEST(AnswerTest, MoreWindowsThanTheQueueEverTakesAreRefusedBeforeTheyAreMade) {
  HeadServer server(Spans());
  std::string text;
  for (int i = 0; i < 30'000; ++i) text += "a ";
  v1::AnswerRequest request = Ask(text);
  request.mutable_options()->set_stride(27);  // A window for each token.
  ExpectRefused(Answer(server, request), {.reason = "OVER_LIMIT",
                                          .field = "questions[0].context",
                                          .says = "29973 windows; with the 0 before"});
  // Fewer, but of too many tokens together.
  request.mutable_options()->set_stride(0);
  ExpectRefused(Answer(server, request),
                {.reason = "OVER_LIMIT", .field = "questions[0].context", .says = "1072 windows"});
  request.mutable_questions(0)->set_context(text.substr(0, 50'000));
  ExpectRefused(Answer(server, request),
                {.reason = "OVER_LIMIT", .field = "questions[0]", .says = "queue-tokens"});
  EXPECT_EQ(server.model().computed(), 0);
}

TEST(AnswerTest, AReplyThatCouldNotBeSentIsRefusedBeforeItIsComputed) {
  Config config = TestServer::DefaultConfig();
  config.limits.message_bytes = 2000;
  HeadServer server(Spans(), config);
  v1::AnswerRequest request = Ask("a b c d e f g h");
  request.mutable_options()->set_top_k(36);
  ExpectRefused(Answer(server, request),
                {.reason = "REPLY_TOO_LARGE",
                 .field = "questions",
                 .says = "Ask for fewer answers (top_k) or shorter ones (max_answer_tokens)"});
  EXPECT_EQ(server.model().computed(), 0);
  request.mutable_options()->set_top_k(10);
  EXPECT_TRUE(Answer(server, request).ok());
}

// The least message that a plan believes to be large enough is, and not by far too large. Tokens
// are of one byte, and of a code point of several, which is unknown.
TEST(AnswerTest, TheBoundOfAReplyIsAboveItAndNear) {
  HeadServer server(Spans());
  for (const char* context : {"a b c d e f", "\U0001F600 \U0001F601 \U0001F602 cat a dog"}) {
    v1::AnswerRequest request = Ask(context);
    for (const int32_t tokens : {1, 3, 100}) {
      request.mutable_options()->set_top_k(21);
      request.mutable_options()->set_max_answer_tokens(tokens);
      v1::AnswerResponse response;
      ASSERT_TRUE(Answer(server, request, &response).ok());
      const int answers = response.questions(0).answers_size();
      request.mutable_options()->set_top_k(answers);
      const auto bytes = static_cast<int64_t>(response.ByteSizeLong());
      EXPECT_FALSE(PlanAnswer(request, server.served(), {.message_bytes = bytes - 1}).ok());
      EXPECT_TRUE(PlanAnswer(request, server.served(), {.message_bytes = 3 * bytes + 1000}).ok());
    }
  }
}

}  // namespace
}  // namespace attnd
