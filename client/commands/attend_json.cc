#include "client/commands/attend_json.h"

#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/commands/json_text.h"
#include "nlohmann/json.hpp"

namespace attnd::client {
namespace {

using Shape = std::vector<int64_t>;

constexpr size_t kRankMax = 8;  // Of a Tensor.

// Reads the fields of one object; the first error is kept, and the rest are defaults.
class FieldReader {
 public:
  explicit FieldReader(const nlohmann::json& object) : object_(object) {}

  const absl::Status& status() const { return status_; }

  Tensor RequiredTensor(const char* key, size_t rank) {
    if (!object_.contains(key)) Fail(key, "is missing");
    return OptionalTensor(key, rank).value_or(Tensor{});
  }

  std::optional<Tensor> OptionalTensor(const char* key, size_t rank) {
    Tensor tensor;
    if (!ReadArray(key, rank, tensor.shape, [&](const nlohmann::json& leaf) {
          const std::optional<float> value = Number(leaf);
          tensor.values.push_back(value.value_or(0));
          return value.has_value();
        })) {
      return std::nullopt;
    }
    return tensor;
  }

  std::optional<BoolTensor> OptionalBools(const char* key, size_t rank) {
    BoolTensor tensor;
    if (!ReadArray(key, rank, tensor.shape, [&](const nlohmann::json& leaf) {
          const bool number = leaf == 0 || leaf == 1;
          tensor.values.push_back(leaf == true || leaf == 1 ? 1 : 0);
          return leaf.is_boolean() || number;
        })) {
      return std::nullopt;
    }
    return tensor;
  }

  bool Flag(const char* key) {
    if (!object_.contains(key)) return false;
    if (!object_[key].is_boolean()) Fail(key, "is neither true nor false");
    return object_[key] == true;
  }

  std::optional<int32_t> Int(const char* key) {
    if (!object_.contains(key)) return std::nullopt;
    const nlohmann::json& value = object_[key];
    if (!value.is_number_integer() || value > std::numeric_limits<int32_t>::max() ||
        value < std::numeric_limits<int32_t>::min()) {
      Fail(key, "is not a 32-bit integer");
      return std::nullopt;
    }
    return value.get<int32_t>();
  }

  std::optional<float> Float(const char* key) {
    if (!object_.contains(key)) return std::nullopt;
    const std::optional<float> value = Number(object_[key]);
    if (!value.has_value()) Fail(key, "is not a number");
    return value;
  }

  // The value's place in `names`, plus 1; 0 if absent.
  int Choice(const char* key, std::span<const std::string> names) {
    if (!object_.contains(key)) return 0;
    for (size_t i = 0; i < names.size(); ++i) {
      if (object_[key] == names[i]) return static_cast<int>(i) + 1;
    }
    Fail(key, absl::StrCat("is none of ", absl::StrJoin(names, ", ")));
    return 0;
  }

 private:
  static std::optional<float> Number(const nlohmann::json& leaf) {
    if (leaf.is_number()) return leaf.get<float>();
    if (leaf == "inf") return std::numeric_limits<float>::infinity();
    if (leaf == "-inf") return -std::numeric_limits<float>::infinity();
    if (leaf == "nan") return std::numeric_limits<float>::quiet_NaN();
    return std::nullopt;
  }

  // False if the key is absent or was wrong. Pads the shape with leading ones up to `rank`.
  template <typename AddLeaf>
  bool ReadArray(const char* key, size_t rank, Shape& shape, const AddLeaf& add_leaf) {
    if (!object_.contains(key)) return false;
    const nlohmann::json* inner = &object_[key];
    while (inner->is_array() && shape.size() < kRankMax) {
      shape.push_back(static_cast<int64_t>(inner->size()));
      if (inner->empty()) break;
      inner = &inner->front();
    }
    if (!AddLeaves(object_[key], shape, 0, add_leaf)) {
      Fail(key, "is not a nested array of equal rows");
      return false;
    }
    while (shape.size() < rank) shape.insert(shape.begin(), 1);
    return true;
  }

  template <typename AddLeaf>
  static bool AddLeaves(const nlohmann::json& value, const Shape& shape, size_t depth,
                        const AddLeaf& add_leaf) {
    if (depth == shape.size()) return !value.is_array() && add_leaf(value);
    if (!value.is_array() || static_cast<int64_t>(value.size()) != shape[depth]) return false;
    for (const nlohmann::json& element : value) {
      if (!AddLeaves(element, shape, depth + 1, add_leaf)) return false;
    }
    return true;
  }

  void Fail(const std::string& key, const std::string& message) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat("\"", key, "\" ", message));
    }
  }

  const nlohmann::json& object_;
  absl::Status status_;
};

AttendRequest ReadAttend(FieldReader& fields) {
  const std::string names[] = {"zero", "uniform"};
  return {.query = fields.RequiredTensor("query", 4),
          .key = fields.RequiredTensor("key", 4),
          .value = fields.RequiredTensor("value", 4),
          .scale = fields.Float("scale"),
          .causal = fields.Flag("causal"),
          .window = fields.Int("window"),
          .key_mask = fields.OptionalBools("key_mask", 2),
          .mask = fields.OptionalBools("mask", 4),
          .bias = fields.OptionalTensor("bias", 4),
          .fully_masked = static_cast<FullyMasked>(fields.Choice("fully_masked", names)),
          .return_weights = fields.Flag("return_weights"),
          .allow_non_finite = fields.Flag("allow_non_finite")};
}

SelfAttentionRequest ReadSelfAttention(FieldReader& fields) {
  const std::string names[] = {"none", "sinusoidal"};
  return {.input = fields.RequiredTensor("input", 2),
          .w_q = fields.RequiredTensor("w_q", 2),
          .w_k = fields.RequiredTensor("w_k", 2),
          .w_v = fields.RequiredTensor("w_v", 2),
          .w_o = fields.RequiredTensor("w_o", 2),
          .heads = fields.Int("heads"),
          .positions = static_cast<Positions>(fields.Choice("positions", names)),
          .causal = fields.Flag("causal"),
          .return_scores = fields.Flag("return_scores")};
}

// JSON has no Inf and NaN; they are written as ParseAttention reads them.
void AppendComponent(float value, std::string& out) {
  if (std::isnan(value)) {
    out += "\"nan\"";
  } else if (std::isinf(value)) {
    out += value > 0 ? "\"inf\"" : "\"-inf\"";
  } else {
    AppendJson(value, out);
  }
}

void AppendRows(const Tensor& tensor, size_t depth, size_t& next, std::string& out) {
  if (depth == tensor.shape.size()) {
    AppendComponent(tensor.values[next++], out);
    return;
  }
  out += '[';
  for (int64_t i = 0; i < tensor.shape[depth]; ++i) {
    if (i > 0) out += ',';
    AppendRows(tensor, depth + 1, next, out);
  }
  out += ']';
}

void AppendTensor(const std::string& key, const Tensor& tensor, std::string& out) {
  if (tensor.shape.empty()) return;  // Not asked for.
  absl::StrAppend(&out, out.size() > 1 ? "," : "", "\"", key, "\":");
  size_t next = 0;
  AppendRows(tensor, 0, next, out);
}

}  // namespace

absl::StatusOr<std::variant<AttendRequest, SelfAttentionRequest>> ParseAttention(
    std::string_view text) {
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded() || !object.is_object()) {
    return absl::InvalidArgumentError("not a JSON object");
  }
  FieldReader fields(object);
  std::variant<AttendRequest, SelfAttentionRequest> request;
  if (object.contains("input")) {
    request = ReadSelfAttention(fields);
  } else {
    request = ReadAttend(fields);
  }
  if (!fields.status().ok()) return fields.status();
  return request;
}

std::string FormatAttention(const AttendReply& reply) {
  std::string out = "{";
  AppendTensor("output", reply.output, out);
  AppendTensor("weights", reply.weights, out);
  return out + "}";
}

std::string FormatAttention(const SelfAttentionReply& reply) {
  std::string out = "{";
  AppendTensor("output", reply.output, out);
  AppendTensor("scores", reply.scores, out);
  AppendTensor("weights", reply.weights, out);
  return out + "}";
}

AttendRequest DemoAttention() {
  // The third token asks for what the first offers.
  return {.query = {.shape = {1, 1, 3, 2}, .values = {0, 0, 0, 1, 4, 0}},
          .key = {.shape = {1, 1, 3, 2}, .values = {2, 0, 0, 2, 0, 0}},
          .value = {.shape = {1, 1, 3, 2}, .values = {1, 0, 0, 1, -1, -1}},
          .return_weights = true};
}

}  // namespace attnd::client
