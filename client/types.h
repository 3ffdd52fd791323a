#pragma once

#include <chrono>
#include <cstdint>
#include <map>
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
enum class LayerCombination { kDefault, kSeparate, kMean, kConcatenation };
enum class VectorEncoding { kDefault, kFloat32, kFloat16, kBfloat16, kInt8, kBinary };
enum class ScoreFunction { kDefault, kSoftmax, kSigmoid, kNone };
enum class FullyMasked { kDefault, kZero, kUniform };
enum class Positions { kDefault, kNone, kSinusoidal };
enum class ServingStatus { kUnknown, kServing, kNotServing, kServiceUnknown };

enum class SpanKind { kWords = 1, kSentences, kRanges, kChunks };
// What a checkpoint brings along behind the encoder; see Head in model.proto.
enum class Head { kNone, kSequenceLabels, kTokenLabels, kSpan, kVocabulary };

// Layers whose hidden states are returned. 0 is the embedding's output, N that of layer N, -1 the
// last.
struct HiddenLayers {
  std::vector<int32_t> layers;
  LayerCombination combination = LayerCombination::kDefault;
};

// Layers (1 is the first, -1 the last) and heads (0 is the first; empty: all) whose attention is
// returned.
struct AttentionMapOptions {
  std::vector<int32_t> layers;
  std::vector<int32_t> heads = {};
  std::optional<bool> return_weights = {};
  std::optional<bool> return_scores = {};
};

// [begin, end) of a text, in the unit of `offset_unit`.
struct TextRange {
  int32_t begin = 0;
  int32_t end = 0;
  int32_t text_index = 0;  // 1: the second text of a pair.
};

// Which parts of a text get a vector of their own.
struct SpanOptions {
  SpanKind kind = SpanKind::kWords;
  Pooling pooling = Pooling::kDefault;
  std::optional<int32_t> chunk_tokens = {};         // kChunks, which needs it.
  std::optional<int32_t> chunk_overlap = {};        // kChunks.
  std::vector<std::vector<TextRange>> ranges = {};  // kRanges: one list for each input.
};

// Reads texts longer than the model in windows that overlap. In tokens.
struct WindowOptions {
  std::optional<int32_t> length = {};
  std::optional<int32_t> stride = {};
};

// Which requests go first while others wait; see priority.proto.
enum class Priority { kDefault, kHigh, kNormal, kLow };

// What to return and how; see EncodeOptions in encoder.proto.
struct EncodeOptions {
  std::string model = {};  // Empty: the only one served.
  Priority priority = Priority::kDefault;
  std::optional<bool> return_pooled = {};
  std::optional<bool> return_token_vectors = {};
  std::optional<bool> return_tokens = {};
  Pooling pooling = Pooling::kDefault;
  std::optional<bool> normalize = {};
  Truncation truncation = Truncation::kDefault;
  std::optional<int32_t> length_max = {};
  std::optional<bool> add_special_tokens = {};
  OffsetUnit offset_unit = OffsetUnit::kDefault;
  std::optional<HiddenLayers> hidden_layers = {};
  std::optional<AttentionMapOptions> attention = {};
  std::optional<SpanOptions> spans = {};
  std::optional<WindowOptions> windows = {};
  // How vectors travel. They arrive as floats whatever it is: kInt8 as number * scale, kBinary as
  // 1 where the number was above 0 and -1 elsewhere, so that cosines still mean something.
  VectorEncoding vector_encoding = VectorEncoding::kDefault;
  std::optional<int32_t> dimensions = {};
  std::optional<std::string> prompt_name = {};
  std::optional<std::string> prompt = {};  // Empty: none, where the model has a default.
  std::optional<bool> return_sparse = {};
  std::optional<int32_t> sparse_top_k = {};  // Keeps the largest so many weights.
  std::optional<bool> return_multi_vector = {};
  std::optional<bool> drop_special_tokens = {};
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
  int32_t word_id = -1;  // The word that it is of, from 0 in each text; -1 where there is none.
};

// Where the time of an input went, in seconds.
struct Timings {
  double tokenize_seconds = 0;
  double queue_seconds = 0;
  double compute_seconds = 0;
  int32_t batch_tokens = 0;
};

// A part of the text that has a vector: [begin, end) of text `text_index`, in the unit asked for,
// and of the tokens [first_token, end_token).
struct Span {
  int32_t begin = 0;
  int32_t end = 0;
  int32_t text_index = 0;
  int32_t first_token = 0;
  int32_t end_token = 0;
};

// The attention of one layer: what each token (row) takes from each other (column).
struct AttentionMap {
  int32_t layer = 0;
  std::vector<int32_t> heads;
  Tensor weights;  // [heads, tokens, tokens]; a row sums to 1.
  Tensor scores;   // [heads, tokens, tokens], before the softmax; -Inf where masked.
};

// One entry of a sparse vector over the vocabulary.
struct SparseWeight {
  int32_t id = 0;
  float weight = 0;
  std::string token;  // Empty unless tokens were asked for.
};

// The tokens [first_token, end_token) that one window held, special ones not counted.
struct Window {
  int32_t first_token = 0;
  int32_t end_token = 0;
};

// The representation of one input. What was not asked for is empty.
struct Encoding {
  int32_t input_index = 0;
  int32_t token_count = 0;
  bool truncated = false;
  std::vector<Token> tokens;
  Tensor token_vectors;       // [tokens, dimensions].
  std::vector<float> pooled;  // [dimensions].
  Timings timings;
  std::vector<Tensor> hidden_layers;  // [tokens, hidden size] each; see HiddenLayers.
  std::vector<AttentionMap> attention;
  std::vector<Span> spans;
  Tensor span_vectors;               // [spans, dimensions].
  std::vector<SparseWeight> sparse;  // By rising id.
  Tensor multi_vectors;              // [tokens, dimensions of the projection].
  // Which tokens the rows of token_vectors and multi_vectors are of. Empty: all, in order.
  std::vector<int32_t> kept_tokens;
  std::vector<Window> windows;
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
  Priority priority = Priority::kDefault;
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
  Priority priority = Priority::kDefault;
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
  double queue_wait_seconds = 0;
  double deadline_cap_seconds = 0;
  int32_t documents_per_request = 0;
  int32_t candidates_per_mask = 0;
  int32_t answers_per_question = 0;
  int32_t layers_per_request = 0;
  int64_t attention_map_scores = 0;
  int32_t spans_per_input = 0;
};

// How near a model's pooled vectors are to those of the same checkpoint in f32.
struct Accuracy {
  int32_t texts = 0;  // That were compared.
  double cosine_mean = 0;
  double cosine_min = 0;
  std::string worst_text;        // Itself, or "line N" of a file of the server's operator.
  double ranking_agreement = 0;  // Part of the orders by similarity that are the same, 0 to 1.
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
  std::string dtype;                 // "f32", "bf16", "int8"
  std::optional<Accuracy> accuracy;  // Of what is not f32.
  std::string checkpoint_dtype;
  std::string isa;
  std::string onednn_version;
  std::vector<Kernel> kernels;
  Limits limits;
  Head head = Head::kNone;
  std::vector<std::string> labels;  // Of a classifier, by id.
  ScoreFunction score_function = ScoreFunction::kDefault;
  std::map<std::string, std::string> prompts;  // Texts put before an input, by name.
  std::string default_prompt_name;             // Empty: none.
  int32_t projection_size = 0;                 // Of a ColBERT projection; 0: none.
};

}  // namespace attnd::client
