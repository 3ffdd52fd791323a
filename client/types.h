#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

// The client's view of proto/attnd/v1, without generated code: plain values to fill in and to read.
// The comments of the .proto files are the reference for limits and defaults; what is left unset
// here is left to the server.
namespace attnd::client {

// An array in row-major order; the product of `shape` is the number of values.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// As Tensor, of true (1) and false (0).
struct BoolTensor {
  std::vector<int64_t> shape;
  std::vector<uint8_t> values;
};

// Two texts encoded as one sequence.
struct TextPair {
  std::string first;
  std::string second;
};

// Token ids, used as given. `type_ids` is empty (all zero) or has one for each id.
struct TokenIds {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids = {};
};

// One input to encode: a text, a pair, token ids, or a Tensor [tokens, hidden size] of input
// embeddings. Converts from each, so that `client.Encode({"one text", "another"})` works.
struct Input {
  using Kind = std::variant<std::string, TextPair, TokenIds, Tensor>;
  // NOLINTBEGIN(google-explicit-constructor)
  Input(std::string text) : kind(std::move(text)) {}
  Input(const char* text) : kind(std::string(text)) {}
  Input(TextPair pair) : kind(std::move(pair)) {}
  Input(TokenIds token_ids) : kind(std::move(token_ids)) {}
  Input(Tensor embeddings) : kind(std::move(embeddings)) {}
  // NOLINTEND(google-explicit-constructor)

  Kind kind;
};

// The first value of each enum leaves the choice to the server: the model's default, or the one of
// the contract.
enum class Pooling { kDefault, kCls, kMean, kMax, kLast, kPooler };
enum class Truncation { kDefault, kError, kLeft, kRight };
enum class OffsetUnit { kDefault, kCodePoint, kByte, kUtf16 };
enum class FullyMasked { kDefault, kZero, kUniform };
enum class Positions { kDefault, kNone, kSinusoidal };
enum class ServingStatus { kUnknown, kServing, kNotServing, kServiceUnknown };

// What to return and how; see EncodeOptions in encoder.proto.
struct EncodeOptions {
  std::string model = {};  // Empty: the only one served.
  std::optional<bool> return_pooled = {};
  std::optional<bool> return_token_vectors = {};
  std::optional<bool> return_tokens = {};
  Pooling pooling = Pooling::kDefault;
  std::optional<bool> normalize = {};
  Truncation truncation = Truncation::kDefault;
  std::optional<int32_t> length_max = {};
  std::optional<bool> add_special_tokens = {};
  OffsetUnit offset_unit = OffsetUnit::kDefault;
};

// One token of an input, and where it stands in its text: [begin, end) in the unit asked for.
struct Token {
  int32_t id = 0;
  int32_t type_id = 0;
  std::string text;
  int32_t begin = 0;
  int32_t end = 0;
  int32_t text_index = -1;  // 0, or 1 for the second text of a pair; -1 where there is none.
  bool special = false;
};

struct Timings {
  double tokenize_seconds = 0;
  double queue_seconds = 0;
  double compute_seconds = 0;
  int32_t batch_tokens = 0;
};

// The representation of one input. What was not asked for is empty.
struct Encoding {
  int32_t input_index = 0;
  int32_t token_count = 0;
  bool truncated = false;
  std::vector<Token> tokens;
  Tensor token_vectors;       // [tokens, hidden size].
  std::vector<float> pooled;  // [hidden size].
  Timings timings;
};

struct EncodeReply {
  std::string model;
  std::string model_version;
  std::vector<Encoding> encodings;  // In the order of the inputs.
};

// softmax(Q K^T * scale + bias + mask) V; shapes as in attention.proto.
struct AttendRequest {
  Tensor query;  // [B, Hq, Sq, D].
  Tensor key;    // [B, Hk, Sk, D].
  Tensor value;  // [B, Hk, Sk, Dv].
  std::optional<float> scale = {};
  bool causal = false;
  std::optional<int32_t> window = {};
  std::optional<BoolTensor> key_mask = {};  // [B, Sk].
  std::optional<BoolTensor> mask = {};      // Broadcastable to [B, Hq, Sq, Sk].
  std::optional<Tensor> bias = {};          // Broadcastable to [B, Hq, Sq, Sk].
  FullyMasked fully_masked = FullyMasked::kDefault;
  bool return_weights = false;
  bool allow_non_finite = false;
};

struct AttendReply {
  Tensor output;   // [B, Hq, Sq, Dv].
  Tensor weights;  // [B, Hq, Sq, Sk], on request.
};

// Rows -> Q, K, V by learned weights -> attention -> output projection; shapes as in
// attention.proto.
struct SelfAttentionRequest {
  Tensor input;  // [S, E].
  Tensor w_q;    // [E, P], as w_k and w_v.
  Tensor w_k;
  Tensor w_v;
  Tensor w_o;  // [P, E_out].
  std::optional<int32_t> heads = {};
  Positions positions = Positions::kDefault;
  bool causal = false;
  bool return_scores = false;
};

struct SelfAttentionReply {
  Tensor output;   // [S, E_out].
  Tensor scores;   // [H, S, S], on request.
  Tensor weights;  // [H, S, S], on request.
};

struct Kernel {
  std::string layer;
  std::string implementation;
  std::string reason;
};

struct Limits {
  int32_t inputs_per_request = 0;
  int32_t batch_tokens = 0;
  int32_t queue_tokens = 0;
  int32_t queue_requests = 0;
  int32_t message_bytes = 0;
  int32_t stream_requests = 0;
  int32_t text_bytes = 0;
  int64_t attention_scores = 0;
  int64_t attention_flops = 0;
  int64_t queue_bytes = 0;
  int64_t held_bytes = 0;
  int64_t request_text_bytes = 0;
  double default_deadline_seconds = 0;
  double deadline_cap_seconds = 0;
};

struct ModelInfo {
  std::string name;
  std::string version;
  std::string family;
  int32_t hidden_size = 0;
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t vocabulary_size = 0;
  int32_t token_types = 0;
  int32_t length_limit = 0;    // The most that `length_max` may ask for.
  int32_t length_default = 0;  // What holds when a request sets none.
  Pooling pooling = Pooling::kDefault;
  bool normalize = false;
  std::string dtype;
  std::string checkpoint_dtype;
  std::string isa;
  std::string onednn_version;
  std::vector<Kernel> kernels;
  Limits limits;
};

}  // namespace attnd::client
