#pragma once

#include "absl/status/statusor.h"
#include "attnd/v1/tensor.pb.h"
#include "client/types.h"

// Tensors between client/types.h and the contract.
namespace attnd::client {

v1::Tensor ToProto(const Tensor& tensor);
v1::Tensor ToProto(const BoolTensor& tensor);

// As floats whatever they were sent as: FLOAT32, FLOAT16, BFLOAT16, INT8 with scales (number times
// the scale of its row), BIT (1 for a one, -1 for a zero). kInternal for any other type, and where
// the shape, the bytes and the scales disagree.
absl::StatusOr<Tensor> FromProto(const v1::Tensor& tensor);

}  // namespace attnd::client
