#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

// The workloads that every engine is measured on; the same numbers as the peers' harness draws with
// NumPy.
namespace attnd::bench {

// Lengths in tokens, special ones included, in arrival order:
//   w1_16, w1_128, w1_512  one sequence: latency
//   w2                     32 x 128
//   w3                     256 log-normal lengths (median 24, sigma 0.9, clipped to 4..512, seed 7)
//   w4                     8 x 512
// Empty for any other name.
inline constexpr const char* kWorkloads[] = {"w1_16", "w1_128", "w1_512", "w2", "w3", "w4"};
std::vector<int32_t> WorkloadLengths(std::string_view name);

// The mix of w3 for another count and seed.
std::vector<int32_t> MixLengths(int32_t count, uint32_t seed);

struct ModelShape {
  int32_t layers = 0;
  int32_t hidden = 0;
  int32_t heads = 0;
  int32_t inner = 0;
};
inline constexpr ModelShape kMiniLm{6, 384, 12, 1536};
inline constexpr ModelShape kBertBase{12, 768, 12, 3072};

// Floating-point operations of the projections, the scores and the weighted sums over these
// sequences: two for each multiplication. Norms, softmax and activations count for nothing.
double ModelFlops(const ModelShape& shape, const std::vector<int32_t>& lengths);

}  // namespace attnd::bench
