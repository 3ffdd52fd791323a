#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace attnd {

enum class Truncation { kError, kLeft, kRight };
// Which text of a pair loses tokens: the longer one until both are equally long, or always the same
// one (which keeps at least one token, or the input is refused).
enum class PairTruncation { kLongestFirst, kFirst, kSecond };
enum class OffsetUnit { kCodePoint, kByte, kUtf16 };

struct TokenizeOptions {
  bool add_special_tokens = true;
  Truncation truncation = Truncation::kError;
  PairTruncation pair_truncation = PairTruncation::kLongestFirst;
  int32_t length_max = 512;  // Special tokens count.
  OffsetUnit offset_unit = OffsetUnit::kCodePoint;
  bool return_strings = true;  // Strings, offsets and word ids are filled only if asked for.
};

// One tokenized input, as parallel arrays.
struct Tokenized {
  struct Offset {
    int32_t start = 0, end = 0;
    bool operator==(const Offset&) const = default;
  };
  std::vector<int32_t> ids;
  std::vector<int32_t> types;
  std::vector<Offset> offsets;        // {0, 0} for special tokens.
  std::vector<int32_t> text_indices;  // 0, 1, or -1 for special tokens.
  std::vector<uint8_t> special;       // 1 for special tokens.
  std::vector<int32_t> word_ids;      // The word, counted in each text; -1 for special tokens.
  std::vector<std::string> strings;
  bool truncated = false;
  int32_t length_before_truncation = 0;
};

// Why Tokenizer::Encode refused an input.
enum class TokenizeFailure { kNone, kNotUtf8, kTooLong, kOther };
TokenizeFailure ReasonOf(const absl::Status& status);

// A Hugging Face `tokenizer.json`, run by the tokenizers crate. Const after Load and safe to use
// from many threads. Truncation and padding that the file asks for are switched off; the options
// decide.
class Tokenizer {
 public:
  // `json` is the file's content. Errors say what is wrong with it, in one line.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Load(std::string_view json);
  ~Tokenizer();

  // `text` (and `pair`) must be UTF-8: kInvalidArgument with the byte position if not. A text with
  // more tokens than length_max is kInvalidArgument with both numbers under Truncation::kError; so
  // is a limit that cannot be met because the special tokens alone need more. Messages go on from
  // the input's name ("inputs[3]" + " has 700 tokens, …") and quote no text; ReasonOf tells the
  // kinds apart. An empty pair is no pair, as in transformers.
  absl::StatusOr<Tokenized> Encode(std::string_view text, std::optional<std::string_view> pair,
                                   const TokenizeOptions& options) const;

  // The token string of an id; nullopt if there is none.
  std::optional<std::string> TokenOf(int32_t id) const;
  // The id of a token string, added tokens included; nullopt if there is none.
  std::optional<int32_t> IdOf(std::string_view token) const;
  // The text of `ids`; kInvalidArgument if one is outside [0, id_end).
  absl::StatusOr<std::string> Decode(std::span<const int32_t> ids, bool skip_special_tokens) const;
  // Added tokens included.
  int32_t vocabulary_size() const;
  // One above the largest id. A model whose embedding table is smaller does not belong to this
  // tokenizer.
  int32_t id_end() const;

 private:
  struct Handle;
  explicit Tokenizer(std::unique_ptr<const Handle> handle);
  std::unique_ptr<const Handle> handle_;
};

}  // namespace attnd
