// Goal: what is served is computed by oneDNN's kernels: scores and weighted sums by matmul, weights
// by softmax, and nothing by a reference implementation. Method: a real attnd under
// ONEDNN_VERBOSE=1, which writes a line for each primitive that it runs.
#include <regex>
#include <sstream>

#include "client/client.h"
#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/served/attnd_process.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

// Sizes that occur nowhere else, so that a primitive is known by its shape.
constexpr int32_t kHeadSize = 24;
constexpr int32_t kHeads = 3;
constexpr int32_t kLength = 37;
constexpr int32_t kQueries = 11, kKeys = 13, kKeySize = 17, kValueSize = 19;

// One `exec` line: "...,exec,cpu,matmul,gemm:jit,...,BxMxK:BxKxN:BxMxN,0.01".
struct Executed {
  std::string primitive;       // "matmul", "softmax_v2"
  std::string implementation;  // "gemm:jit"
  std::string line;
};

std::vector<Executed> ExecutedPrimitives(const std::string& output) {
  static const std::regex kExec(R"(^(?:onednn|dnnl)_verbose,.*\bexec,cpu,([^,]+),([^,]+),)");
  std::vector<Executed> executed;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_search(line, match, kExec)) {
      executed.push_back({.primitive = match[1], .implementation = match[2], .line = line});
    }
  }
  return executed;
}

// The number of `primitive`s (a prefix) whose line has `shape`, a pattern.
int Count(const std::vector<Executed>& executed, const std::string& primitive,
          const std::string& shape) {
  const std::regex pattern(shape);
  int count = 0;
  for (const Executed& one : executed) {
    count += one.primitive.starts_with(primitive) && std::regex_search(one.line, pattern);
  }
  return count;
}

// [batch, m, k] x [batch, k, n] with any m: a tile of the queries. The result's shape may follow.
std::string Product(int32_t k, int32_t n) {
  return StrCat(R"(,\d+x\d+x)", k, R"(:\d+x)", k, "x", n, "[:,]");
}
std::string Rows(int32_t columns) { return StrCat(R"(,\d+x)", columns, ","); }

client::Tensor Ones(std::vector<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return {.shape = std::move(shape), .values = std::vector<float>(count, 1.f)};
}

class VerboseTest : public ::testing::Test {
 protected:
  // Starts attnd, lets `call` ask it, and returns all that oneDNN ran.
  template <typename Call>
  std::vector<Executed> RunUnderVerbose(Call call) {
    testing::TempDir model;
    testing::WriteTinyBert(model.path(), {.hidden = kHeads * kHeadSize,
                                          .layers = 1,
                                          .heads = kHeads,
                                          .inner = 160,
                                          .positions = 64});
    const auto attnd =
        testing::AttndProcess::Start({.model = model.path(), .environment = {"ONEDNN_VERBOSE=1"}});
    EXPECT_TRUE(attnd.ok()) << attnd.status();
    if (!attnd.ok()) return {};
    call(Client({.target = (*attnd)->target(), .deadline = std::chrono::seconds(60)}));
    EXPECT_EQ((*attnd)->Stop(), 0) << (*attnd)->log();
    const std::string output = (*attnd)->Output();
    EXPECT_THAT(output, ::testing::HasSubstr("_verbose,"));
    return ExecutedPrimitives(output);
  }

  static void ExpectNoReference(const std::vector<Executed>& executed) {
    for (const Executed& one : executed) {
      EXPECT_THAT(one.line, ::testing::Not(::testing::HasSubstr(",ref"))) << one.line;
      EXPECT_FALSE(one.implementation.starts_with("ref")) << one.line;
    }
  }
};

TEST_F(VerboseTest, AnEncodedSequenceIsAttendedToByMatmulAndSoftmax) {
  const auto executed = RunUnderVerbose([](const Client& client) {
    const auto reply = client.Encode({client::TokenIds{std::vector<int32_t>(kLength, 7)}});
    EXPECT_TRUE(reply.ok()) << reply.status();
  });
  EXPECT_GT(Count(executed, "matmul", Product(kHeadSize, kLength)), 0);  // Scores.
  EXPECT_GT(Count(executed, "softmax", Rows(kLength)), 0);               // Weights.
  EXPECT_GT(Count(executed, "matmul", Product(kLength, kHeadSize)), 0);  // Weighted sums.
  ExpectNoReference(executed);
}

TEST_F(VerboseTest, TheCallersOwnTensorsAreAttendedToByMatmulAndSoftmax) {
  const auto executed = RunUnderVerbose([](const Client& client) {
    const auto reply = client.Attend({.query = Ones({1, 2, kQueries, kKeySize}),
                                      .key = Ones({1, 2, kKeys, kKeySize}),
                                      .value = Ones({1, 2, kKeys, kValueSize})});
    EXPECT_TRUE(reply.ok()) << reply.status();
  });
  EXPECT_EQ(Count(executed, "matmul", Product(kKeySize, kKeys)), 2);  // One a head.
  EXPECT_EQ(Count(executed, "softmax", Rows(kKeys)), 2);
  EXPECT_EQ(Count(executed, "matmul", Product(kKeys, kValueSize)), 2);
  ExpectNoReference(executed);
}

}  // namespace
}  // namespace attnd
