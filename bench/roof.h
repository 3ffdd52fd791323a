#pragma once

#include <string>

namespace attnd::bench {

// The best rate that oneDNN's f32 dense primitives reach here: the largest, over a sweep of shapes,
// of the sum of the rates of `workers` threads that each run one primitive on their own, all at
// once.
struct Roof {
  double flops_per_second = 0;
  std::string shape;  // "1x1 convolution, 512 rows, 768 -> 768"
};

// Takes about `seconds`.
Roof MeasureRoof(int workers, double seconds);

// The sweep, for people.
std::string DescribeSweep();

}  // namespace attnd::bench
