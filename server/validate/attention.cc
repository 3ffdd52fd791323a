#include "server/validate/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/error.h"
#include "server/validate/tensor.h"

namespace attnd {
namespace {

// Upper bound of everything in a reply but the numbers.
constexpr double kReplyBytes = 256;

// What a call would cost. Doubles, because products of a caller's dimensions pass 64 bits, and the
// comparison with a limit needs no exact value.
struct Operations {
  double scores = 0;
  double flops = 0;
  double reply_floats = 0;
};

// Whole, without an exponent.
std::string Number(double value) { return absl::StrFormat("%.0f", value); }

// `field` is to blame for the work, `reply_field` for a large reply.
absl::Status CheckWork(const Operations& work, const Limits& limits, std::string_view field,
                       std::string_view reply_field) {
  const auto check = [](v1::ErrorReason reason, std::string_view blamed, double value,
                        int64_t limit, std::string_view what, std::string_view knob) {
    if (value <= static_cast<double>(limit)) return absl::OkStatus();
    return Refuse(
        reason, blamed,
        StrCat(Number(value), " ", what, " are more than the limit of ", limit, " (", knob, ")"));
  };
  RETURN_IF_ERROR(check(v1::ERROR_REASON_OVER_LIMIT, field, work.scores, limits.attention_scores,
                        "attention scores", "attention-scores"));
  RETURN_IF_ERROR(check(v1::ERROR_REASON_OVER_LIMIT, field, work.flops, limits.attention_flops,
                        "floating-point operations", "attention-flops"));
  return check(v1::ERROR_REASON_REPLY_TOO_LARGE, reply_field,
               kReplyBytes + work.reply_floats * sizeof(float), limits.message_bytes,
               "bytes of reply", "message-bytes");
}

absl::Status CheckPresent(bool present, std::string_view field) {
  if (present) return absl::OkStatus();
  return Refuse(v1::ERROR_REASON_MISSING_FIELD, field, "the tensor is needed");
}

// Query, key and value: types, ranks, and dimensions that agree.
absl::Status ReadShapes(const v1::AttendRequest& request, AttendTask& task) {
  RETURN_IF_ERROR(CheckPresent(request.has_query(), "query"));
  RETURN_IF_ERROR(CheckPresent(request.has_key(), "key"));
  RETURN_IF_ERROR(CheckPresent(request.has_value(), "value"));
  RETURN_IF_ERROR(CheckTensor(request.query(), v1::DATA_TYPE_FLOAT32, 4, "query"));
  RETURN_IF_ERROR(CheckTensor(request.key(), v1::DATA_TYPE_FLOAT32, 4, "key"));
  RETURN_IF_ERROR(CheckTensor(request.value(), v1::DATA_TYPE_FLOAT32, 4, "value"));
  task.batch = request.query().shape(0);
  task.query_heads = request.query().shape(1);
  task.query_length = request.query().shape(2);
  task.key_size = request.query().shape(3);
  task.key_heads = request.key().shape(1);
  task.key_length = request.key().shape(2);
  task.value_size = request.value().shape(3);
  if (task.query_heads % task.key_heads != 0) {
    return Refuse(
        v1::ERROR_REASON_INVALID_SHAPE, "key.shape[1]",
        StrCat(task.key_heads, " key heads do not divide ", task.query_heads, " query heads"));
  }
  RETURN_IF_ERROR(CheckShape(request.key(),
                             std::array{task.batch, task.key_heads, task.key_length, task.key_size},
                             "key"));
  return CheckShape(request.value(),
                    std::array{task.batch, task.key_heads, task.key_length, task.value_size},
                    "value");
}

Operations OperationsOf(const AttendTask& task) {
  const double rows = static_cast<double>(task.batch) * static_cast<double>(task.query_heads) *
                      static_cast<double>(task.query_length);
  Operations work;
  work.scores = rows * static_cast<double>(task.key_length);
  work.flops = 2 * work.scores * static_cast<double>(task.key_size + task.value_size);
  work.reply_floats =
      rows * static_cast<double>(task.value_size) + (task.return_weights ? work.scores : 0);
  return work;
}

// Each dimension of a mask or bias is the full one or 1.
absl::StatusOr<BroadcastShape> ReadBroadcast(const v1::Tensor& tensor, v1::DataType type,
                                             const AttendTask& task, std::string_view field) {
  RETURN_IF_ERROR(CheckTensor(tensor, type, 4, field));
  const std::array full{task.batch, task.query_heads, task.query_length, task.key_length};
  for (int i = 0; i < 4; ++i) {
    if (tensor.shape(i) != 1 && tensor.shape(i) != full[i]) {
      return Refuse(v1::ERROR_REASON_INVALID_SHAPE, StrCat(field, ".shape[", i, "]"),
                    StrCat(tensor.shape(i), " is neither 1 nor ", full[i]));
    }
  }
  return BroadcastShape{.batch = tensor.shape(0),
                        .heads = tensor.shape(1),
                        .queries = tensor.shape(2),
                        .keys = tensor.shape(3)};
}

absl::Status ReadMasks(const v1::AttendRequest& request, AttendTask& task) {
  if (request.has_key_mask()) {
    RETURN_IF_ERROR(CheckTensor(request.key_mask(), v1::DATA_TYPE_BOOL, 2, "key_mask"));
    RETURN_IF_ERROR(
        CheckShape(request.key_mask(), std::array{task.batch, task.key_length}, "key_mask"));
    ASSIGN_OR_RETURN(task.key_mask, ReadBools(request.key_mask(), "key_mask"));
  }
  if (request.has_mask()) {
    ASSIGN_OR_RETURN(task.mask_shape,
                     ReadBroadcast(request.mask(), v1::DATA_TYPE_BOOL, task, "mask"));
    ASSIGN_OR_RETURN(task.mask, ReadBools(request.mask(), "mask"));
  }
  if (request.has_bias()) {
    ASSIGN_OR_RETURN(task.bias_shape,
                     ReadBroadcast(request.bias(), v1::DATA_TYPE_FLOAT32, task, "bias"));
    ASSIGN_OR_RETURN(task.bias, ReadFloats(request.bias(), NonFinite::kNegativeInfinity, "bias"));
  }
  return absl::OkStatus();
}

absl::Status ReadChoices(const v1::AttendRequest& request, AttendTask& task) {
  task.causal = request.causal();
  task.return_weights = request.return_weights();
  task.scale =
      request.has_scale() ? request.scale() : 1 / std::sqrt(static_cast<float>(task.key_size));
  if (!std::isfinite(task.scale)) {
    return Refuse(v1::ERROR_REASON_NOT_FINITE, "scale", "NaN and Inf are no scale");
  }
  if (request.has_window()) {
    if (request.window() < 0) {
      return Refuse(v1::ERROR_REASON_INVALID_VALUE, "window",
                    StrCat(request.window(), " is below 0"));
    }
    task.window = request.window();
  }
  switch (request.fully_masked()) {
    case v1::FULLY_MASKED_UNSPECIFIED:
    case v1::FULLY_MASKED_ZERO:
      task.fully_masked = FullyMasked::kZero;
      return absl::OkStatus();
    case v1::FULLY_MASKED_UNIFORM:
      task.fully_masked = FullyMasked::kUniform;
      return absl::OkStatus();
    default:
      return Refuse(
          v1::ERROR_REASON_INVALID_VALUE, "fully_masked",
          StrCat(static_cast<int>(request.fully_masked()), " is no value that this server knows"));
  }
}

// Input and weights of SelfAttention: types, ranks, and dimensions that agree.
absl::Status ReadShapes(const v1::SelfAttentionRequest& request, SelfAttentionTask& task) {
  struct Field {
    bool present;
    const v1::Tensor& tensor;
    std::string_view name;
  };
  for (const Field& field : {Field{request.has_input(), request.input(), "input"},
                             Field{request.has_w_q(), request.w_q(), "w_q"},
                             Field{request.has_w_k(), request.w_k(), "w_k"},
                             Field{request.has_w_v(), request.w_v(), "w_v"},
                             Field{request.has_w_o(), request.w_o(), "w_o"}}) {
    RETURN_IF_ERROR(CheckPresent(field.present, field.name));
    RETURN_IF_ERROR(CheckTensor(field.tensor, v1::DATA_TYPE_FLOAT32, 2, field.name));
  }
  task.rows = request.input().shape(0);
  task.input_size = request.input().shape(1);
  task.inner_size = request.w_q().shape(1);
  task.output_size = request.w_o().shape(1);
  const std::array projection{task.input_size, task.inner_size};
  RETURN_IF_ERROR(CheckShape(request.w_q(), projection, "w_q"));
  RETURN_IF_ERROR(CheckShape(request.w_k(), projection, "w_k"));
  RETURN_IF_ERROR(CheckShape(request.w_v(), projection, "w_v"));
  return CheckShape(request.w_o(), std::array{task.inner_size, task.output_size}, "w_o");
}

absl::Status ReadChoices(const v1::SelfAttentionRequest& request, SelfAttentionTask& task) {
  task.causal = request.causal();
  task.return_scores = request.return_scores();
  if (!v1::Positions_IsValid(request.positions())) {
    return Refuse(
        v1::ERROR_REASON_INVALID_VALUE, "positions",
        StrCat(static_cast<int>(request.positions()), " is no value that this server knows"));
  }
  task.sinusoidal_positions = request.positions() == v1::POSITIONS_SINUSOIDAL;
  task.heads = request.has_heads() ? request.heads() : 1;
  if (task.heads < 1 || task.inner_size % task.heads != 0) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, "heads",
                  StrCat(task.heads, " heads do not divide the inner size ", task.inner_size));
  }
  return absl::OkStatus();
}

Operations OperationsOf(const SelfAttentionTask& task) {
  const auto rows = static_cast<double>(task.rows);
  const auto inner = static_cast<double>(task.inner_size);
  const double score_matrix = rows * rows;
  const double dense = static_cast<double>(3 * task.input_size + task.output_size);
  Operations work;
  work.scores = score_matrix * task.heads;
  work.flops = 2 * rows * inner * dense + 4 * score_matrix * inner;
  work.reply_floats =
      rows * static_cast<double>(task.output_size) + (task.return_scores ? 2 * work.scores : 0);
  return work;
}

int32_t ChargedRows(double rows, const Operations& work, const Limits& limits) {
  const double share = std::max(work.scores / static_cast<double>(limits.attention_scores),
                                work.flops / static_cast<double>(limits.attention_flops));
  const double charge = std::max(rows, std::ceil(share * limits.batch_tokens));
  return static_cast<int32_t>(std::clamp<double>(charge, 1, limits.batch_tokens));
}

template <typename... Vectors>
uint64_t FloatBytes(const Vectors&... vectors) {
  return (vectors.size() + ...) * sizeof(float);
}

}  // namespace

absl::StatusOr<AttendTask> PlanAttend(const v1::AttendRequest& request, const Limits& limits) {
  AttendTask task;
  RETURN_IF_ERROR(ReadShapes(request, task));
  RETURN_IF_ERROR(ReadChoices(request, task));
  RETURN_IF_ERROR(CheckWork(OperationsOf(task), limits, "query",
                            task.return_weights ? "return_weights" : "query"));
  RETURN_IF_ERROR(ReadMasks(request, task));
  const NonFinite allowed = request.allow_non_finite() ? NonFinite::kAll : NonFinite::kRefused;
  ASSIGN_OR_RETURN(task.query, ReadFloats(request.query(), allowed, "query"));
  ASSIGN_OR_RETURN(task.key, ReadFloats(request.key(), allowed, "key"));
  ASSIGN_OR_RETURN(task.value, ReadFloats(request.value(), allowed, "value"));
  return task;
}

absl::StatusOr<SelfAttentionTask> PlanSelfAttention(const v1::SelfAttentionRequest& request,
                                                    const Limits& limits) {
  SelfAttentionTask task;
  RETURN_IF_ERROR(ReadShapes(request, task));
  RETURN_IF_ERROR(ReadChoices(request, task));
  RETURN_IF_ERROR(CheckWork(OperationsOf(task), limits, "input",
                            task.return_scores ? "return_scores" : "input"));
  ASSIGN_OR_RETURN(task.input, ReadFloats(request.input(), NonFinite::kRefused, "input"));
  ASSIGN_OR_RETURN(task.w_q, ReadFloats(request.w_q(), NonFinite::kRefused, "w_q"));
  ASSIGN_OR_RETURN(task.w_k, ReadFloats(request.w_k(), NonFinite::kRefused, "w_k"));
  ASSIGN_OR_RETURN(task.w_v, ReadFloats(request.w_v(), NonFinite::kRefused, "w_v"));
  ASSIGN_OR_RETURN(task.w_o, ReadFloats(request.w_o(), NonFinite::kRefused, "w_o"));
  return task;
}

uint64_t TaskBytes(const AttendTask& task) {
  const auto outputs = static_cast<uint64_t>(OperationsOf(task).reply_floats) * sizeof(float);
  return FloatBytes(task.query, task.key, task.value, task.bias) + task.key_mask.size() +
         task.mask.size() + outputs;
}

uint64_t TaskBytes(const SelfAttentionTask& task) {
  const auto outputs = static_cast<uint64_t>(OperationsOf(task).reply_floats) * sizeof(float);
  return FloatBytes(task.input, task.w_q, task.w_k, task.w_v, task.w_o) + outputs;
}

int32_t BatchRows(const AttendTask& task, const Limits& limits) {
  const double rows = static_cast<double>(task.batch) * static_cast<double>(task.query_length);
  return ChargedRows(rows, OperationsOf(task), limits);
}

int32_t BatchRows(const SelfAttentionTask& task, const Limits& limits) {
  return ChargedRows(static_cast<double>(task.rows), OperationsOf(task), limits);
}

}  // namespace attnd
