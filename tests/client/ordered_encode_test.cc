// Goal: a stream gives each request its answer once, whole and (EncodeInOrder) in order, whatever
// the server's order; when it breaks, everything still has an answer. Method: a fake server that
// answers backwards, in parts, or hangs up.

#include "client/ordered_encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/client.h"
#include "tests/client/fake_server.h"

namespace attnd::client {
namespace {

using testing::ElementsAre;

// Encodes `texts` in order; an empty text stands for an input that could not be read.
struct Outcome {
  absl::Status status;
  std::vector<float> pooled;  // -1 for an error.
  std::vector<absl::Status> errors;
};
Outcome EncodeTexts(const FakeServer& server, const std::vector<std::string>& texts, int window) {
  const Client client({.target = server.target()});
  Outcome outcome;
  size_t next = 0;
  outcome.status = EncodeInOrder(
      client, {.encode = {}, .window = window},
      [&]() -> std::optional<absl::StatusOr<Input>> {
        if (next == texts.size()) return std::nullopt;
        const std::string& text = texts[next++];
        if (text.empty()) return absl::DataLossError("unreadable");
        return Input(text);
      },
      [&](absl::StatusOr<Encoding> encoding) {
        outcome.pooled.push_back(encoding.ok() ? encoding->pooled.at(0) : -1);
        if (!encoding.ok()) outcome.errors.push_back(encoding.status());
      });
  return outcome;
}

TEST(EncodeStream, AReplyInPartsArrivesWhole) {
  FakeServer server;
  const Client client({.target = server.target()});
  const auto stream = client.OpenEncodeStream();
  ASSERT_TRUE(
      stream->Send("x", {"parts"}, {.return_token_vectors = true, .return_tokens = true}).ok());
  stream->CloseSend();
  StreamReply reply;
  ASSERT_TRUE(stream->Receive(reply));
  EXPECT_EQ(reply.id, "x");
  ASSERT_TRUE(reply.result.ok()) << reply.result.status();
  ASSERT_EQ(reply.result->encodings.size(), 1U);
  const Encoding& encoding = reply.result->encodings[0];
  EXPECT_THAT(encoding.token_vectors.shape, ElementsAre(2, 2));
  EXPECT_THAT(encoding.token_vectors.values, ElementsAre(0.1F, 1, 2, 3));
  EXPECT_THAT(encoding.pooled, ElementsAre(5));
  EXPECT_EQ(encoding.tokens.size(), 2U);
  EXPECT_FALSE(stream->Receive(reply));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(EncodeStream, PartsMayBringTheirOutputsAtAnyTime) {
  FakeServer server;
  const Client client({.target = server.target()});
  const auto stream = client.OpenEncodeStream();
  ASSERT_TRUE(stream
                  ->Send("x", {"parts"},
                         {.return_token_vectors = true,
                          .hidden_layers = HiddenLayers{.layers = {1, 2}},
                          .spans = SpanOptions{}})
                  .ok());
  stream->CloseSend();
  StreamReply reply;
  ASSERT_TRUE(stream->Receive(reply));
  ASSERT_TRUE(reply.result.ok()) << reply.result.status();
  const Encoding& encoding = reply.result->encodings.at(0);
  EXPECT_THAT(encoding.token_vectors.shape, ElementsAre(2, 2));
  EXPECT_EQ(encoding.hidden_layers.size(), 2U);  // Of the first part.
  EXPECT_EQ(encoding.spans.size(), 1U);          // Of the last.
  EXPECT_THAT(encoding.span_vectors.values, ElementsAre(0.25F, 0.75F));
}

TEST(EncodeStream, ABadRequestFailsAloneWithItsReason) {
  FakeServer server;
  const Client client({.target = server.target()});
  const auto stream = client.OpenEncodeStream();
  ASSERT_TRUE(stream->Send("bad", {"refuse"}).ok());
  ASSERT_TRUE(stream->Send("good", {"four"}).ok());
  stream->CloseSend();
  StreamReply reply;
  ASSERT_TRUE(stream->Receive(reply));
  EXPECT_EQ(reply.id, "bad");
  EXPECT_EQ(ErrorReason(reply.result.status()), "TOO_LONG");
  ASSERT_TRUE(stream->Receive(reply));
  EXPECT_EQ(reply.id, "good");
  EXPECT_TRUE(reply.result.ok());
  EXPECT_FALSE(stream->Receive(reply));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(EncodeStream, OneThatIsLeftOpenIsCancelled) {
  FakeServer server;
  const Client client({.target = server.target()});
  const auto stream = client.OpenEncodeStream();
  ASSERT_TRUE(stream->Send("x", {"four"}).ok());
}

TEST(EncodeInOrder, AnswersComeInTheOrderOfTheInputs) {
  FakeServer server;
  server.encoder.reverse_group = 5;
  std::vector<std::string> texts;
  std::vector<float> sizes;
  for (int i = 1; i <= 103; ++i) {
    texts.push_back(std::string(i, 'x'));
    sizes.push_back(static_cast<float>(i));
  }
  const Outcome outcome = EncodeTexts(server, texts, 8);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.pooled, sizes);
}

TEST(EncodeInOrder, AnErrorTakesThePlaceOfItsInput) {
  FakeServer server;
  server.encoder.reverse_group = 2;
  const Outcome outcome = EncodeTexts(server, {"a", "", "bb", "refuse", "ccc", ""}, 4);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.pooled, ElementsAre(1, -1, 2, -1, 3, -1));
  ASSERT_EQ(outcome.errors.size(), 3U);
  EXPECT_EQ(outcome.errors[0].code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(outcome.errors[1].code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(outcome.errors[1]), "TOO_LONG");
}

TEST(EncodeInOrder, NoInputsAreNoError) {
  FakeServer server;
  const Outcome outcome = EncodeTexts(server, {}, 4);
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_TRUE(outcome.pooled.empty());
}

TEST(EncodeInOrder, AStreamThatBreaksLeavesNoInputWithoutAnAnswer) {
  FakeServer server;
  std::vector<std::string> texts(40, "four");
  texts[3] = "break";
  const Outcome outcome = EncodeTexts(server, texts, 4);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kUnavailable);
  ASSERT_EQ(outcome.pooled.size(), texts.size());
  for (size_t i = 3; i < texts.size(); ++i) EXPECT_EQ(outcome.pooled[i], -1) << i;
  for (const absl::Status& error : outcome.errors) {
    EXPECT_EQ(error.code(), absl::StatusCode::kUnavailable) << error;
  }
}

TEST(EncodeInOrder, ADeadlineEndsWhatIsNotAnswered) {
  FakeServer server;
  server.encoder.reverse_group = 2;  // Answers only when a second input comes, which waits.
  const Client client({.target = server.target()});
  int left = 3;
  std::vector<absl::Status> errors;
  const absl::Status status = EncodeInOrder(
      client, {.window = 1, .deadline = std::chrono::milliseconds(50)},
      [&]() -> std::optional<absl::StatusOr<Input>> {
        if (left-- == 0) return std::nullopt;
        return Input("text");
      },
      [&](absl::StatusOr<Encoding> encoding) { errors.push_back(encoding.status()); });
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(errors, std::vector<absl::Status>(3, status));
}

TEST(EncodeInOrder, WithoutAServerEveryInputHasTheError) {
  const Client client({.target = "unix:/nowhere/attnd.sock"});
  int left = 10;
  int errors = 0;
  const absl::Status status = EncodeInOrder(
      client, {.encode = {}, .window = 2},
      [&]() -> std::optional<absl::StatusOr<Input>> {
        if (left-- == 0) return std::nullopt;
        return Input("text");
      },
      [&](absl::StatusOr<Encoding> encoding) { errors += encoding.ok() ? 0 : 1; });
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(errors, 10);
}

}  // namespace
}  // namespace attnd::client
