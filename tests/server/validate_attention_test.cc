// Goal: every request to AttentionService that is wrong is refused with its reason and field, and
// no caller's dimension is believed before it is checked. Method: the planning functions by
// themselves; a valid request, changed in one place a case.

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/validate/attention.h"
#include "server/validate/error.h"
#include "server/validate/tensor.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

v1::Tensor Floats(std::vector<int64_t> shape, float value = 0.5f) {
  int64_t count = 1;
  for (const int64_t dimension : shape) count *= dimension;
  v1::Tensor tensor;
  WriteFloats(std::vector<float>(count, value), shape, tensor);
  return tensor;
}

v1::Tensor Bools(std::vector<int64_t> shape, char value = 1) {
  int64_t count = 1;
  v1::Tensor tensor;
  for (const int64_t dimension : shape) {
    count *= dimension;
    tensor.add_shape(dimension);
  }
  tensor.set_dtype(v1::DATA_TYPE_BOOL);
  tensor.set_data(std::string(count, value));
  return tensor;
}

// B 2, Hq 4, Hk 2, Sq 3, Sk 5, D 6, Dv 7.
v1::AttendRequest ValidAttend() {
  v1::AttendRequest request;
  *request.mutable_query() = Floats({2, 4, 3, 6});
  *request.mutable_key() = Floats({2, 2, 5, 6});
  *request.mutable_value() = Floats({2, 2, 5, 7});
  return request;
}

v1::SelfAttentionRequest ValidSelfAttention() {
  v1::SelfAttentionRequest request;
  *request.mutable_input() = Floats({3, 4});
  *request.mutable_w_q() = Floats({4, 6});
  *request.mutable_w_k() = Floats({4, 6});
  *request.mutable_w_v() = Floats({4, 6});
  *request.mutable_w_o() = Floats({6, 5});
  return request;
}

void ExpectStatus(const absl::Status& status, v1::ErrorReason reason, const std::string& message) {
  EXPECT_EQ(v1::ErrorReason_Name(ErrorReasonOf(status)), v1::ErrorReason_Name(reason)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

void ExpectRefused(v1::ErrorReason reason, const std::string& message,
                   const std::function<void(v1::AttendRequest&)>& change,
                   const Limits& limits = {}) {
  v1::AttendRequest request = ValidAttend();
  change(request);
  ExpectStatus(PlanAttend(request, limits).status(), reason, message);
}

void ExpectSelfRefused(v1::ErrorReason reason, const std::string& message,
                       const std::function<void(v1::SelfAttentionRequest&)>& change,
                       const Limits& limits = {}) {
  v1::SelfAttentionRequest request = ValidSelfAttention();
  change(request);
  ExpectStatus(PlanSelfAttention(request, limits).status(), reason, message);
}

TEST(ValidateAttendTest, DefaultsAreTheScaleOfTheKeySizeAndNoMask) {
  const auto task = PlanAttend(ValidAttend(), {});
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_FLOAT_EQ(task->scale, 1 / std::sqrt(6.0f));
  EXPECT_TRUE(task->mask.empty() && task->key_mask.empty() && task->bias.empty());
  EXPECT_FALSE(task->causal || task->window || task->return_weights);
  EXPECT_EQ(task->key_heads, 2);
  EXPECT_EQ(task->value_size, 7);
}

TEST(ValidateAttendTest, ShapesThatDisagreeAreNamed) {
  constexpr auto kShape = v1::ERROR_REASON_INVALID_SHAPE;
  ExpectRefused(v1::ERROR_REASON_MISSING_FIELD, "query: ", [](auto& r) { r.clear_query(); });
  ExpectRefused(v1::ERROR_REASON_MISSING_FIELD, "key: ", [](auto& r) { r.clear_key(); });
  ExpectRefused(v1::ERROR_REASON_MISSING_FIELD, "value: ", [](auto& r) { r.clear_value(); });
  ExpectRefused(kShape, "query.shape: 3 dimensions", [](auto& r) {
    *r.mutable_query() = Floats({8, 3, 6});
  });
  ExpectRefused(kShape, "key.shape: [2, 2, 5, 5] is given, [2, 2, 5, 6] wanted", [](auto& r) {
    *r.mutable_key() = Floats({2, 2, 5, 5});
  });
  ExpectRefused(kShape, "key.shape[1]: 3 key heads do not divide 4", [](auto& r) {
    *r.mutable_key() = Floats({2, 3, 5, 6});
  });
  ExpectRefused(kShape, "value.shape", [](auto& r) { *r.mutable_value() = Floats({2, 2, 4, 7}); });
  ExpectRefused(kShape, "query.shape[0]: 0 is below 1", [](auto& r) {
    r.mutable_query()->set_shape(0, 0);
    r.mutable_query()->clear_data();
  });
  ExpectRefused(kShape, "query.dtype",
                [](auto& r) { r.mutable_query()->set_dtype(v1::DATA_TYPE_FLOAT16); });
}

TEST(ValidateAttendTest, DimensionsWhoseProductOverflowsAreRefused) {
  for (const int64_t huge :
       {std::numeric_limits<int64_t>::max(), int64_t{1} << 62, int64_t{1} << 33}) {
    ExpectRefused(v1::ERROR_REASON_INVALID_SHAPE, "query.data", [&](auto& r) {
      for (int i = 0; i < 4; ++i) r.mutable_query()->set_shape(i, huge);
    });
  }
}

TEST(ValidateAttendTest, MasksBroadcastAndHoldZerosAndOnes) {
  v1::AttendRequest request = ValidAttend();
  *request.mutable_mask() = Bools({1, 4, 1, 5});
  *request.mutable_key_mask() = Bools({2, 5});
  *request.mutable_bias() = Floats({2, 1, 3, 1}, -INFINITY);
  const auto task = PlanAttend(request, {});
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ(task->mask_shape.heads, 4);
  EXPECT_EQ(task->bias_shape.queries, 3);

  ExpectRefused(v1::ERROR_REASON_INVALID_SHAPE, "mask.shape[1]: 2 is neither 1 nor 4", [](auto& r) {
    *r.mutable_mask() = Bools({1, 2, 1, 5});
  });
  ExpectRefused(v1::ERROR_REASON_INVALID_VALUE, "mask.data: element 0 is 2", [](auto& r) {
    *r.mutable_mask() = Bools({1, 1, 1, 1}, 2);
  });
  ExpectRefused(v1::ERROR_REASON_INVALID_SHAPE, "mask.dtype", [](auto& r) {
    *r.mutable_mask() = Floats({1, 1, 1, 1});
  });
  ExpectRefused(v1::ERROR_REASON_INVALID_SHAPE, "key_mask.shape", [](auto& r) {
    *r.mutable_key_mask() = Bools({2, 4});
  });
}

TEST(ValidateAttendTest, NumbersThatAreNotFiniteAreRefusedWhereTheyMeanNothing) {
  constexpr auto kNotFinite = v1::ERROR_REASON_NOT_FINITE;
  const auto poison = [](v1::Tensor* tensor, float value) {
    std::vector<int64_t> shape(tensor->shape().begin(), tensor->shape().end());
    *tensor = Floats(shape, value);
  };
  ExpectRefused(kNotFinite, "query.data: element 0 is NaN",
                [&](auto& r) { poison(r.mutable_query(), NAN); });
  ExpectRefused(kNotFinite, "key.data", [&](auto& r) { poison(r.mutable_key(), INFINITY); });
  ExpectRefused(kNotFinite, "value.data: element 0 is -Inf",
                [&](auto& r) { poison(r.mutable_value(), -INFINITY); });
  ExpectRefused(kNotFinite, "bias.data: element 0 is +Inf", [](auto& r) {
    *r.mutable_bias() = Floats({1, 1, 1, 1}, INFINITY);
  });
  ExpectRefused(kNotFinite, "bias.data: element 0 is NaN", [](auto& r) {
    *r.mutable_bias() = Floats({1, 1, 1, 1}, NAN);
  });
  ExpectRefused(kNotFinite, "scale", [](auto& r) { r.set_scale(INFINITY); });

  v1::AttendRequest allowed = ValidAttend();
  poison(allowed.mutable_query(), NAN);
  allowed.set_allow_non_finite(true);
  EXPECT_TRUE(PlanAttend(allowed, {}).ok());
}

TEST(ValidateAttendTest, ChoicesOutsideTheirRangeAreRefused) {
  ExpectRefused(v1::ERROR_REASON_INVALID_VALUE, "window: -1", [](auto& r) { r.set_window(-1); });
  ExpectRefused(v1::ERROR_REASON_INVALID_VALUE, "fully_masked: 9",
                [](auto& r) { r.set_fully_masked(static_cast<v1::FullyMasked>(9)); });
}

TEST(ValidateAttendTest, WorkAndReplyAreBound) {
  const auto nothing = [](auto&) {};
  Limits limits;
  limits.attention_scores = 2 * 4 * 3 * 5;
  limits.attention_flops = 2 * limits.attention_scores * (6 + 7);
  EXPECT_TRUE(PlanAttend(ValidAttend(), limits).ok());
  --limits.attention_scores;
  ExpectRefused(v1::ERROR_REASON_OVER_LIMIT, "query: 120 attention scores", nothing, limits);
  ++limits.attention_scores;
  --limits.attention_flops;
  ExpectRefused(v1::ERROR_REASON_OVER_LIMIT, "attention-flops", nothing, limits);
  limits = {};
  limits.message_bytes = 900;
  ExpectRefused(v1::ERROR_REASON_REPLY_TOO_LARGE, "query: ", nothing, limits);
  ExpectRefused(
      v1::ERROR_REASON_REPLY_TOO_LARGE,
      "return_weights: ", [](auto& r) { r.set_return_weights(true); }, limits);
}

TEST(ValidateAttendTest, AWorkBeyondALimitIsSaidInWholeNumbers) {
  v1::AttendRequest request;
  for (v1::Tensor* tensor :
       {request.mutable_query(), request.mutable_key(), request.mutable_value()}) {
    *tensor = Floats({1, 1, 4100, 1});
  }
  ExpectStatus(PlanAttend(request, {}).status(), v1::ERROR_REASON_OVER_LIMIT,
               "query: 16810000 attention scores are more than the limit of 16777216");
}

TEST(ValidateSelfAttentionTest, EveryMatrixIsNeededAndAgrees) {
  EXPECT_TRUE(PlanSelfAttention(ValidSelfAttention(), {}).ok());
  ExpectSelfRefused(v1::ERROR_REASON_MISSING_FIELD, "w_o: ", [](auto& r) { r.clear_w_o(); });
  ExpectSelfRefused(v1::ERROR_REASON_MISSING_FIELD, "input: ", [](auto& r) { r.clear_input(); });
  ExpectSelfRefused(v1::ERROR_REASON_INVALID_SHAPE, "w_k.shape: [4, 5] is given, [4, 6] wanted",
                    [](auto& r) {
                      *r.mutable_w_k() = Floats({4, 5});
                    });
  ExpectSelfRefused(v1::ERROR_REASON_INVALID_SHAPE, "w_o.shape", [](auto& r) {
    *r.mutable_w_o() = Floats({5, 5});
  });
  ExpectSelfRefused(v1::ERROR_REASON_NOT_FINITE, "w_v.data", [](auto& r) {
    *r.mutable_w_v() = Floats({4, 6}, NAN);
  });
}

TEST(ValidateSelfAttentionTest, HeadsDivideTheInnerSizeAndWorkIsBound) {
  for (const int32_t heads : {0, -1, 4, 7}) {
    ExpectSelfRefused(v1::ERROR_REASON_INVALID_VALUE, "heads: " + std::to_string(heads),
                      [&](auto& r) { r.set_heads(heads); });
  }
  ExpectSelfRefused(v1::ERROR_REASON_INVALID_VALUE, "positions: 9",
                    [](auto& r) { r.set_positions(static_cast<v1::Positions>(9)); });
  Limits limits;
  limits.attention_flops = 800;
  ExpectSelfRefused(
      v1::ERROR_REASON_OVER_LIMIT, "input: ", [](auto&) {}, limits);
  limits = {};
  limits.attention_scores = 8;
  ExpectSelfRefused(
      v1::ERROR_REASON_OVER_LIMIT, "attention-scores", [](auto&) {}, limits);
  limits = {};
  limits.message_bytes = 256;
  ExpectSelfRefused(
      v1::ERROR_REASON_REPLY_TOO_LARGE, "message-bytes", [](auto&) {}, limits);
}

TEST(BatchRowsTest, ATaskCountsForItsRowsOrItsPartOfTheLargestCall) {
  Limits limits;
  limits.batch_tokens = 100;
  limits.attention_scores = 1'000;
  limits.attention_flops = 1'000'000;
  AttendTask task;
  task.batch = task.query_heads = task.key_length = task.key_size = task.value_size = 1;
  task.query_length = 30;
  EXPECT_EQ(BatchRows(task, limits), 30);  // 3 % of the scores.
  task.query_length = 5;
  task.key_length = 101;
  EXPECT_EQ(BatchRows(task, limits), 51);  // 50.5 % of the scores.
  task.key_size = 989;
  EXPECT_EQ(BatchRows(task, limits), 100);  // 100 % of the operations.
  task.query_length = 1'000'000;
  EXPECT_EQ(BatchRows(task, limits), 100);

  SelfAttentionTask self;
  self.rows = 10;
  self.heads = 5;
  self.input_size = self.inner_size = self.output_size = 5;
  EXPECT_EQ(BatchRows(self, limits), 50);  // 500 scores.
  self.heads = 1;
  EXPECT_EQ(BatchRows(self, limits), 10);
}

}  // namespace
}  // namespace attnd
