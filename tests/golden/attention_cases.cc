#include "tests/golden/attention_cases.h"

#include <cmath>
#include <string>
#include <utility>

#include "core/base/strings.h"

namespace attnd::golden {
namespace {

// The whole row of the last dimensions, as [b, h, q, k].
BroadcastShape ShapeOf(const Tensor& tensor) {
  const auto& shape = tensor.shape;
  return {.batch = shape[0], .heads = shape[1], .queries = shape[2], .keys = shape[3]};
}

AttendTask TaskOf(const CaseFile& file, const Json& item, CaseResult& result) {
  const Tensor query = file.TensorOf(item, "in.q", result);
  const Tensor key = file.TensorOf(item, "in.k", result);
  const Tensor value = file.TensorOf(item, "in.v", result);
  AttendTask task;
  if (query.shape.size() != 4 || key.shape.size() != 4 || value.shape.size() != 4) {
    result.Fail("in.q, in.k and in.v need four dimensions");
    return task;
  }
  task.batch = query.shape[0];
  task.query_heads = query.shape[1];
  task.query_length = query.shape[2];
  task.key_size = query.shape[3];
  task.key_heads = key.shape[1];
  task.key_length = key.shape[2];
  task.value_size = value.shape[3];
  task.query = query.AsFloats();
  task.key = key.AsFloats();
  task.value = value.AsFloats();
  const Json scale = item.value("scale", Json());
  task.scale = scale.is_number()
                   ? scale.get<float>()
                   : static_cast<float>(1 / std::sqrt(static_cast<double>(task.key_size)));
  if (item.at("full_mask") == "uniform") task.fully_masked = FullyMasked::kUniform;
  if (file.HasTensor(item, "in.bias")) {
    const Tensor bias = file.TensorOf(item, "in.bias", result);
    task.bias = bias.AsFloats();
    task.bias_shape = ShapeOf(bias);
  }
  task.return_weights = true;
  return task;
}

// Gives `task` the case's rules in place of its mask. False if it has none.
bool ApplyRules(const Json& item, AttendTask& task) {
  const bool padding_causal = IdOf(item) == "padding_causal";  // Causal only in its name.
  task.causal = item.value("causal", padding_causal);
  if (item.contains("window")) task.window = item.at("window").get<int32_t>();
  if (item.contains("lengths")) {
    for (int64_t length : item.at("lengths").get<std::vector<int64_t>>()) {
      for (int64_t j = 0; j < task.key_length; ++j) task.key_mask.push_back(j < length);
    }
  }
  return task.causal || task.window || !task.key_mask.empty();
}

void RunAndCheck(const CaseFile& file, const Json& item, std::string_view how, AttendTask task,
                 Backend& backend, CaseResult& result) {
  Task tasks[] = {std::move(task)};
  const absl::Status status = backend.Run(tasks);
  result.CheckOk(StrCat(how, ": run"), status);
  if (!status.ok()) return;
  const auto& done = std::get<AttendTask>(tasks[0]);
  const Tolerance tolerance = file.ToleranceOf(item, "");
  const auto shape = [&](int64_t columns) {
    return std::vector<int64_t>{done.batch, done.query_heads, done.query_length, columns};
  };
  result.CheckClose(StrCat(how, ": out.output"), {done.output, shape(done.value_size)},
                    file.TensorOf(item, "out.output", result), tolerance);
  if (file.HasTensor(item, "out.probs")) {
    result.CheckClose(StrCat(how, ": out.probs"), {done.weights, shape(done.key_length)},
                      file.TensorOf(item, "out.probs", result), tolerance);
  }
}

}  // namespace

CaseResult RunAttentionCase(const CaseFile& file, const Json& item, Backend& backend) {
  CaseResult result;
  AttendTask task = TaskOf(file, item, result);
  if (task.batch == 0) return result;
  AttendTask masked = task;
  if (file.HasTensor(item, "in.allowed")) {
    const Tensor mask = file.TensorOf(item, "in.allowed", result);
    masked.mask = mask.AsBools();
    masked.mask_shape = ShapeOf(mask);
  }
  RunAndCheck(file, item, "as mask", std::move(masked), backend, result);
  if (ApplyRules(item, task)) {
    RunAndCheck(file, item, "as rule", std::move(task), backend, result);
  }
  return result;
}

}  // namespace attnd::golden
