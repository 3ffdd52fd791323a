#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace attnd {

// The vocabulary that architectures are described in. A family (core/model/families.cc) is a
// function from a config.json to an ArchSpec, and a table of weight names; no code below knows a
// family's name.

enum class Activation { kNone, kGeluErf, kGeluTanh, kRelu, kTanh };
enum class NormAt { kAfter };

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
  int32_t positions = 0;        // Length of the position table.
  int32_t position_offset = 0;  // RoBERTa starts counting at 2.
  int32_t token_types = 0;      // BERT has 2; most have none.
};

struct StackSpec {
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t head_size = 0;
  int32_t inner = 0;  // Width of the feed-forward layer.
  NormAt norm_at = NormAt::kAfter;
  Activation activation = Activation::kGeluErf;
};

// "Our name <- their name", with {i} for the layer's number and a trailing `*` for `weight` and
// `bias`.
struct NameRule {
  std::string_view ours;
  std::string_view theirs;
};

struct ArchSpec {
  std::string_view family;  // "bert"; for people.
  int32_t hidden = 0;
  int32_t vocabulary = 0;
  float norm_epsilon = 1e-5f;
  EmbedSpec embed;
  StackSpec encoder;
  std::span<const NameRule> names;
  // What a checkpoint may put before their names: nothing, or the name of the part in another
  // task's model.
  std::span<const std::string_view> prefixes;
};

}  // namespace attnd
