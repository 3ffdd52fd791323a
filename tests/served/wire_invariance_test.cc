// Goal: over the wire, too, an answer does not depend on who is served beside it: not one bit
// differs. Method: ask a real attnd for each sequence alone, then for the same ones with 64
// requests in flight on one stream, and compare every number.
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "client/client.h"
#include "core/base/strings.h"
#include "gtest/gtest.h"
#include "tests/served/attnd_process.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using client::Encoding;
using client::Input;

constexpr int kSequences = 48;
constexpr int kComparisons = 600;
constexpr int kInFlight = 64;
const client::EncodeOptions kOptions = {
    .return_pooled = true, .return_token_vectors = true, .return_tokens = false};

int32_t Pick(std::mt19937& random, int32_t low, int32_t high) {
  return std::uniform_int_distribution<int32_t>(low, high)(random);
}

// Random ids: mostly short, as requests are, with the longest there is among them.
std::vector<Input> Sequences(std::mt19937& random) {
  std::vector<Input> sequences;
  for (int i = 0; i < kSequences; ++i) {
    const int32_t length = i == 0 ? 512 : i < 8 ? Pick(random, 65, 300) : Pick(random, 1, 64);
    client::TokenIds ids;
    for (int32_t j = 0; j < length; ++j) {
      ids.ids.push_back(Pick(random, 0, testing::TinyVocabularySize() - 1));
    }
    sequences.emplace_back(std::move(ids));
  }
  return sequences;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return !a.empty() && a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Tally {
  int compared = 0;
  int different = 0;
  int in_company = 0;  // Of the compared: their batch held more than themselves.
};

// Sends `kComparisons` requests over one stream, `kInFlight` at a time, and compares each answer.
Tally CompareInFlight(const Client& client, const std::vector<Input>& sequences,
                      const std::vector<Encoding>& alone, std::mt19937& random) {
  const auto stream = client.OpenEncodeStream({.in_flight_max = kInFlight});
  std::map<std::string, size_t> sequence_of;
  for (int i = 0; i < kComparisons; ++i) {
    sequence_of[StrCat("request-", i)] = static_cast<size_t>(Pick(random, 0, kSequences - 1));
  }
  std::thread sender([&] {
    for (const auto& [id, index] : sequence_of) {
      EXPECT_TRUE(stream->Send(id, {sequences[index]}, kOptions).ok());
    }
    stream->CloseSend();
  });
  Tally tally;
  client::StreamReply reply;
  while (stream->Receive(reply)) {
    EXPECT_TRUE(reply.result.ok()) << reply.result.status();
    if (!reply.result.ok()) continue;
    const Encoding& answer = reply.result->encodings.at(0);
    const Encoding& expected = alone[sequence_of.at(reply.id)];
    const bool same = SameBits(answer.token_vectors.values, expected.token_vectors.values) &&
                      SameBits(answer.pooled, expected.pooled);
    ++tally.compared;
    tally.different += same ? 0 : 1;
    tally.in_company += answer.timings.batch_tokens > answer.token_count ? 1 : 0;
  }
  sender.join();
  EXPECT_TRUE(stream->Finish().ok());
  return tally;
}

class WireInvarianceTest : public ::testing::TestWithParam<int> {};

TEST_P(WireInvarianceTest, AnAnswerAmong64InFlightHasTheBitsOfTheAnswerAlone) {
  testing::TempDir model;
  // MiniLM's sizes, so that its kernels are the ones that run; one layer, to be quick.
  testing::WriteTinyBert(
      model.path(), {.hidden = 384, .layers = 1, .heads = 12, .inner = 1536, .positions = 512});
  const auto attnd = testing::AttndProcess::Start(
      {.model = model.path(), .flags = {"--workers", StrCat(GetParam())}});
  ASSERT_TRUE(attnd.ok()) << attnd.status();
  const Client client({.target = (*attnd)->target(), .deadline = std::chrono::seconds(60)});

  std::mt19937 random(7);
  const std::vector<Input> sequences = Sequences(random);
  std::vector<Encoding> alone;
  for (const Input& sequence : sequences) {
    const auto reply = client.Encode({sequence}, kOptions);
    ASSERT_TRUE(reply.ok()) << reply.status();
    alone.push_back(reply->encodings.at(0));
    ASSERT_EQ(alone.back().timings.batch_tokens, alone.back().token_count);
  }
  const Tally tally = CompareInFlight(client, sequences, alone, random);
  EXPECT_EQ(tally.compared, kComparisons);
  EXPECT_EQ(tally.different, 0);
  EXPECT_GT(tally.in_company, kComparisons / 2);
  EXPECT_EQ((*attnd)->Stop(), 0);
}

INSTANTIATE_TEST_SUITE_P(Workers, WireInvarianceTest, ::testing::Values(1, 2));

}  // namespace
}  // namespace attnd
