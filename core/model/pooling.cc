#include "core/model/pooling.h"

#include "core/base/check.h"
#include "core/layers/pool.h"

namespace attnd {

void PoolRows(ConstMatrix rows, Pooling pooling, float* out) {
  switch (pooling) {
    case Pooling::kCls:
      return PoolRow(rows, 0, out);
    case Pooling::kMean:
      return PoolMean(rows, out);
    case Pooling::kMax:
      return PoolMax(rows, out);
    case Pooling::kLast:
      return PoolRow(rows, rows.rows - 1, out);
    case Pooling::kPooler:
      break;
  }
  CHECK_THAT(false);
}

}  // namespace attnd
