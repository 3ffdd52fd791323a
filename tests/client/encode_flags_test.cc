// Goal: flags of `attnctl encode` that stand for several fields of a request become them, or are
// refused by their name. Method: whole command lines against a fake server that keeps the request.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/fake_server.h"
#include "tests/client/run_attnctl.h"

namespace attnd::client {
namespace {

using testing::HasSubstr;

TEST(EncodeFlagsTest, EverySpanRangeIsSentWithEveryText) {
  FakeServer server;
  for (const char* text : {"one", "three"}) {
    const Outcome outcome = Attnctl({"encode", "--target", server.target(), "--span-range", "0-3",
                                     "--span-range", "1-2", "--offsets", "byte", text});
    EXPECT_EQ(outcome.code, 0) << outcome.error;
    const v1::EncodeRequest request = server.encoder.last_streamed.Get();
    EXPECT_EQ(request.inputs(0).text(), text);
    EXPECT_EQ(request.options().spans().ShortDebugString(), "kind: SPAN_KIND_RANGES");
    ASSERT_EQ(request.ranges_size(), 1);
    EXPECT_EQ(request.ranges(0).ShortDebugString(), "ranges { end: 3 } ranges { start: 1 end: 2 }");
  }
}

TEST(EncodeFlagsTest, ASpanRangeThatIsNoneIsRefused) {
  for (const char* range : {"3", "3-", "-3", "3-3", "4-3", "a-b", "1-2-3", "1-9999999999", ""}) {
    const Outcome outcome = Attnctl({"encode", "--span-range", range, "one"});
    EXPECT_NE(outcome.code, 0) << range;
    EXPECT_THAT(outcome.error, HasSubstr("--span-range")) << range;
  }
  EXPECT_THAT(Attnctl({"encode", "--spans", "words", "--span-range", "0-3", "one"}).error,
              HasSubstr("excludes"));
}

TEST(EncodeFlagsTest, APriorityIsSentByItsName) {
  FakeServer server;
  const auto send = [&](const std::string& name) {
    return Attnctl({"encode", "--target", server.target(), "--priority", name, "one"});
  };
  EXPECT_EQ(send("low").code, 0);
  EXPECT_EQ(server.encoder.last_streamed.Get().priority(), v1::PRIORITY_LOW);
  EXPECT_EQ(send("high").code, 0);
  EXPECT_EQ(server.encoder.last_streamed.Get().priority(), v1::PRIORITY_HIGH);
  EXPECT_THAT(send("urgent").error, HasSubstr("--priority"));
}

TEST(EncodeFlagsTest, SparseWeightsCanBeBound) {
  FakeServer server;
  const Outcome outcome =
      Attnctl({"encode", "--target", server.target(), "--sparse", "--sparse-top-k", "7", "one"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(server.encoder.last_streamed.Get().options().sparse_top_k(), 7);
  EXPECT_THAT(Attnctl({"encode", "--sparse-top-k", "7", "one"}).error, HasSubstr("--sparse"));
  EXPECT_NE(Attnctl({"encode", "--sparse", "--sparse-top-k", "0", "one"}).code, 0);
}

}  // namespace
}  // namespace attnd::client
