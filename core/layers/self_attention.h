#pragma once

#include <cstdint>
#include <vector>

namespace attnd {

// The whole recipe on the caller's matrices (rows times W), all validated.
struct SelfAttentionTask {
  int64_t rows = 0, input_size = 0, inner_size = 0, output_size = 0;
  int32_t heads = 1;
  bool sinusoidal_positions = false;
  bool causal = false;
  bool return_scores = false;
  std::vector<float> input;          // [rows, input_size]
  std::vector<float> w_q, w_k, w_v;  // [input_size, inner_size]
  std::vector<float> w_o;            // [inner_size, output_size]

  std::vector<float> output;   // [rows, output_size]
  std::vector<float> scores;   // [heads, rows, rows]; empty unless asked for.
  std::vector<float> weights;  // As scores.
};

// SelfAttentionTask's positions: sin(position / 10000^(2i/size)) in column 2i, the cosine in column
// 2i + 1, added to `rows` [count, size] (Vaswani et al. 2017, section 3.5).
void AddSinusoidalPositions(int64_t count, int64_t size, std::vector<float>& rows);

// Sizes the outputs and allocates scratch of its own, as RunAttend does.
void RunSelfAttention(SelfAttentionTask& task);

}  // namespace attnd
