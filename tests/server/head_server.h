#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/test_server.h"

namespace attnd::testing {

// A head that isn't there: `fill` writes the logits of a task, which have their size.
struct StubHead {
  HeadKind kind = HeadKind::kNone;
  std::vector<std::string> labels = {};
  ScoreFunction score_function = ScoreFunction::kNone;
  std::function<void(EncodeTask& task)> fill = {};
  int32_t token_types = 2;
};

// The tiny tokenizer's ids: 0 to 4 are [PAD] [UNK] [CLS] [SEP] [MASK], a letter is 5 and its place.
inline constexpr int32_t kCls = 2, kSep = 3, kMask = 4, kTheId = 83, kCatId = 84, kDogId = 85;
inline int32_t LetterId(char letter) { return 5 + letter - 'a'; }

// A TestServer whose model has that head.
class HeadServer : public TestServer {
 public:
  explicit HeadServer(const StubHead& head, const Config& config = DefaultConfig())
      : TestServer(config, [&head](ServedModel& served) { GiveHead(head, served); }) {
    model().FillWith(head.fill);
  }

 private:
  static void GiveHead(const StubHead& head, ServedModel& served) {
    served.info.head = head.kind;
    served.info.labels = head.labels;
    served.info.score_function = head.score_function;
    served.info.token_types = head.token_types;
    if (head.kind == HeadKind::kVocabulary) served.mask_id = kMask;
  }
};

struct Refusal {
  grpc::StatusCode code = grpc::StatusCode::INVALID_ARGUMENT;
  std::string reason;
  std::string field;  // Empty: none is to blame.
  std::string says = {};
};

inline void ExpectRefused(const grpc::Status& status, const Refusal& refusal) {
  EXPECT_EQ(status.error_code(), refusal.code) << status.error_message();
  EXPECT_EQ(ReasonIn(status.error_details()), refusal.reason) << status.error_message();
  EXPECT_EQ(FieldIn(status.error_details()), refusal.field) << status.error_message();
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr(refusal.says));
}

// A request that is wrong in one way, made of one that is right.
template <typename Request>
struct WrongRequest {
  std::function<void(Request& request)> change;
  Refusal refusal;
};

}  // namespace attnd::testing
