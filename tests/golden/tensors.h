#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tensor/weights.h"

namespace attnd::golden {

// One tensor of a case file. Every stored type is widened to double, which holds each f32, each
// token id and each bool exactly.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<double> values;

  std::vector<float> AsFloats() const { return {values.begin(), values.end()}; }
  std::vector<uint8_t> AsBools() const;
  std::vector<int32_t> AsInts() const;
};

// The tensors of a case file, `<case id>/<tensor>`, all in memory. Its header goes through the
// reader that weights go through.
class CaseTensors {
 public:
  CaseTensors() = default;  // No tensors.
  static absl::StatusOr<CaseTensors> Open(const std::string& path);

  bool Has(std::string_view name) const { return header_.contains(name); }
  // kNotFound if there is none; kUnimplemented for a type that no case file has.
  absl::StatusOr<Tensor> Read(std::string_view name) const;
  // What follows `<case id>/` in the names of that case's tensors, sorted.
  std::vector<std::string> NamesOf(std::string_view case_id) const;

 private:
  std::string data_;
  SafetensorsHeader header_;
};

}  // namespace attnd::golden
