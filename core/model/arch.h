#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attnd {

// The vocabulary that architectures are described in. A family (core/model/families) is a function
// from a config.json to an ArchSpec, and tables of weight names; no code below knows a family's
// name.

enum class Activation { kNone, kGeluErf, kGeluTanh, kRelu, kSilu, kTanh };
enum class NormKind { kLayer, kRms };
enum class NormAt { kAfter, kBefore };  // The residual addition, or the sublayer.
enum class Bias { kNo, kYes };

enum class Pooling { kCls, kMean, kMax, kLast, kPooler };

// What a checkpoint has behind its encoder.
enum class HeadKind {
  kNone,
  kSequenceLabels,  // A score for each label, for the sequence.
  kTokenLabels,     // A score for each label, for each row.
  kSpan,            // Two scores for each row: an answer starts here, ends here.
  kVocabulary,      // A score for each token of the vocabulary, for each row.
};

// What makes scores of logits.
enum class ScoreFunction { kNone, kSigmoid, kSoftmax };

// How rows enter the stack.
struct EmbedSpec {
  int32_t positions = 0;        // Length of the position table; 0: there is none.
  int32_t position_offset = 0;  // RoBERTa starts counting at 2.
  // RoBERTa gives this token no place of its own: it has position_offset - 1, and is not counted.
  int32_t unplaced_token = -1;
  int32_t token_types = 0;  // BERT has 2; most have none.
  bool norm = true;
};

// What is added to scores by distance (core/layers/relative_bias.h); 0 buckets: nothing.
struct RelativeBiasSpec {
  int32_t buckets = 0;
  int32_t distance_max = 0;
};

struct StackSpec {
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t head_size = 0;
  int32_t inner = 0;  // Width of the feed-forward layer.
  NormKind norm = NormKind::kLayer;
  NormAt norm_at = NormAt::kAfter;
  Activation activation = Activation::kGeluErf;
  bool gated = false;
  bool scaled = true;  // Scores are divided by sqrt(head_size); not T5's.
  Bias attention_bias = Bias::kYes;
  Bias ffn_bias = Bias::kYes;
  Bias norm_bias = Bias::kYes;
  bool first_norm = true;   // kBefore: whether the first layer has a norm before attention.
  bool final_norm = false;  // kBefore: a norm after the last layer.
  RelativeBiasSpec relative;
  // Rotary positions: the angles' base, of layers that see everything and of local ones; 0: none.
  float theta = 0;
  float local_theta = 0;
  int32_t window = 0;                 // Places to either side that a local layer sees.
  std::vector<uint8_t> local_layers;  // 1 for each local layer; empty: none.

  bool is_local(int32_t layer) const { return !local_layers.empty() && local_layers[layer] != 0; }
  int32_t width() const { return heads * head_size; }
};

// scores = out(norm(activation(dense(x)))), where dense and norm may be missing.
struct HeadSpec {
  HeadKind kind = HeadKind::kNone;
  int32_t outputs = 0;
  bool dense = false;
  Activation activation = Activation::kNone;  // Of `dense`.
  Bias dense_bias = Bias::kYes;
  bool norm = false;
  Bias norm_bias = Bias::kYes;
  Bias out_bias = Bias::kYes;
  bool tied = false;                // `out` is the token table.
  Pooling pooling = Pooling::kCls;  // kSequenceLabels: what x is.
};

// "Our name <- their name", with {i} for the layer's number and a trailing `*` for `weight` and
// `bias`. The first rule whose tensor the checkpoint has is taken. Where theirs begins with `/`, it
// takes no prefix.
struct NameRule {
  std::string_view ours;
  std::string_view theirs;
  // Ours is the part-th of `parts` equal runs of their rows: ModernBERT stores Q, K and V as one.
  int32_t part = 0;
  int32_t parts = 1;
};

struct ArchSpec {
  std::string_view family;  // "bert"; for people.
  int32_t hidden = 0;
  int32_t vocabulary = 0;
  int32_t length_max = 0;  // The longest sequence, in rows.
  float norm_epsilon = 1e-5f;
  EmbedSpec embed;
  StackSpec encoder;
  HeadSpec head;
  bool pooler = false;              // The family may have BERT's pooler.
  bool projection = false;          // The checkpoint may have a ColBERT projection.
  std::vector<std::string> labels;  // Of the head, by id.
  ScoreFunction score_function = ScoreFunction::kNone;
  std::span<const NameRule> names;
  std::span<const NameRule> head_names;
  // What a checkpoint may put before their names: nothing, or the name of the part in another
  // task's model.
  std::span<const std::string_view> prefixes;
};

}  // namespace attnd
