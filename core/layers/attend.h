#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace attnd {

// Broadcast shape of a mask or bias against [batch, query_heads, query_length, key_length]: each
// that, or 1.
struct BroadcastShape {
  int64_t batch = 1, heads = 1, queries = 1, keys = 1;
};

enum class FullyMasked { kZero, kUniform };

// softmax(Q K^T * scale + bias + mask) V on the caller's tensors, all validated. See
// proto/attnd/v1/attention.proto.
//
// What is masked (by causal, window, either mask, or a bias of -Inf) takes no part, whatever it
// holds: a NaN in a masked key or value reaches nothing. A row whose remaining scores are NaN or
// +Inf, or all -Inf without being masked, is NaN as a whole. A NaN or Inf in a value reaches the
// rows that give it a weight above zero, and no other.
struct AttendTask {
  int64_t batch = 0, query_heads = 0, key_heads = 0;
  int64_t query_length = 0, key_length = 0, key_size = 0, value_size = 0;
  std::vector<float> query, key, value;
  float scale = 1;
  bool causal = false;
  std::optional<int32_t>
      window;  // The most places between a query and a key that it attends to; 0: itself alone.
  std::vector<uint8_t> key_mask;  // [batch, key_length]; empty: all there.
  std::vector<uint8_t> mask;      // mask_shape; empty: none.
  BroadcastShape mask_shape;
  std::vector<float> bias;  // bias_shape; empty: none.
  BroadcastShape bias_shape;
  FullyMasked fully_masked = FullyMasked::kZero;
  bool return_weights = false;
  bool return_scores = false;

  std::vector<float> output;  // [batch, query_heads, query_length, value_size]
  std::vector<float>
      weights;  // [batch, query_heads, query_length, key_length]; empty unless asked for.
  std::vector<float> scores;  // As weights: scaled and biased, -Inf where masked.
};

// Sizes the outputs and allocates scratch of its own: it is for the caller's arbitrary shapes, not
// for the serving path of a model. The work is O(query_length * key_length), bounded by validation.
void RunAttend(AttendTask& task);

}  // namespace attnd
