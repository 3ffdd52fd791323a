#pragma once

#include "core/model/arch.h"
#include "core/tensor/matrix.h"

namespace attnd {

// Makes one vector, `out` [columns], of at least one row. Not for Pooling::kPooler, which needs
// weights.
void PoolRows(ConstMatrix rows, Pooling pooling, float* out);

}  // namespace attnd
