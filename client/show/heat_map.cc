#include "client/show/heat_map.h"

#include <cmath>

namespace attnd::client {

float MaxOf(const HeatMap& map) {
  float max = 0;
  for (const float value : map.values) {
    if (std::isfinite(value) && value > max) max = value;
  }
  return max;
}

}  // namespace attnd::client
