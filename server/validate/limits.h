#pragma once

#include <chrono>
#include <cstdint>

namespace attnd {

// What a caller may ask for. Every bound has a flag of the same name (server/config.h), which says
// its unit, range and consequence.
struct Limits {
  int32_t inputs_per_request = 32;
  int64_t text_bytes = 64 << 10;  // Of one input's text, or of both texts of a pair.
  int64_t request_text_bytes = 256 << 10;
  int64_t message_bytes = 4 << 20;  // Of a request, and of a reply or a part of one.
  int32_t stream_requests = 64;     // In flight on one stream before it is no longer read.
  int32_t batch_tokens = 4096;
  int64_t queue_tokens = 16'384;
  int64_t queue_requests = 1024;  // Inputs, each of which is a job.
  int64_t queue_bytes = 64 << 20;
  std::chrono::nanoseconds queue_wait = std::chrono::seconds(2);
  int64_t held_bytes = 512 << 20;  // Of all requests that are not answered yet.
  int64_t attention_scores = 16 << 20;
  int64_t attention_flops = 4'000'000'000;
  int32_t layers_per_request = 16;         // Of hidden layers, and of attention maps.
  int64_t attention_map_scores = 1 << 20;  // Of one input's attention maps.
  int32_t spans_per_input = 512;
  int32_t documents_per_request = 256;
  int32_t candidates_per_mask = 100;
  int32_t answers_per_question = 100;
  std::chrono::nanoseconds default_deadline = std::chrono::seconds(10);
  std::chrono::nanoseconds deadline_cap = std::chrono::seconds(30);
};

// Of a model's name and of a stream's request id; they come back in replies and messages.
inline constexpr size_t kNameBytesMax = 256;

}  // namespace attnd
