#include "core/input/tokenizer.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/input/tokenizers_ffi/tokenizers_ffi.h"

namespace attnd {
namespace {

// Payload of the statuses that ReasonOf can tell apart.
constexpr char kReasonUrl[] = "attnd/tokenize-failure";
constexpr char kNotUtf8Reason[] = "not-utf8";
constexpr char kTooLongReason[] = "too-long";

// A string that Rust filled in and that goes back to it.
class RustText {
 public:
  RustText() = default;
  RustText(const RustText&) = delete;
  RustText& operator=(const RustText&) = delete;
  ~RustText() { attnd_text_free(&text_); }

  AttndText* out() { return &text_; }
  std::string str() const { return std::string(text_.data, text_.size); }

 private:
  AttndText text_ = {};
};

class RustEncoding {
 public:
  RustEncoding() = default;
  RustEncoding(const RustEncoding&) = delete;
  RustEncoding& operator=(const RustEncoding&) = delete;
  ~RustEncoding() { attnd_encoding_free(&encoding_); }

  AttndEncoding* out() { return &encoding_; }
  const AttndEncoding* operator->() const { return &encoding_; }

 private:
  AttndEncoding encoding_ = {};
};

absl::Status ToStatus(int32_t result, const RustText& message) {
  absl::Status status = result == ATTND_TOKENIZER_INTERNAL
                            ? absl::InternalError(message.str())
                            : absl::InvalidArgumentError(message.str());
  if (result == ATTND_TOKENIZER_NOT_UTF8) {
    status.SetPayload(kReasonUrl, absl::Cord(kNotUtf8Reason));
  } else if (result == ATTND_TOKENIZER_TOO_LONG) {
    status.SetPayload(kReasonUrl, absl::Cord(kTooLongReason));
  }
  return status;
}

int32_t ToRust(Truncation truncation) {
  switch (truncation) {
    case Truncation::kError:
      return ATTND_TRUNCATION_ERROR;
    case Truncation::kLeft:
      return ATTND_TRUNCATION_LEFT;
    case Truncation::kRight:
      return ATTND_TRUNCATION_RIGHT;
  }
  CHECK_THAT(false);
}

int32_t ToRust(PairTruncation truncation) {
  switch (truncation) {
    case PairTruncation::kLongestFirst:
      return ATTND_PAIR_TRUNCATION_LONGEST_FIRST;
    case PairTruncation::kFirst:
      return ATTND_PAIR_TRUNCATION_FIRST;
    case PairTruncation::kSecond:
      return ATTND_PAIR_TRUNCATION_SECOND;
  }
  CHECK_THAT(false);
}

int32_t ToRust(OffsetUnit unit) {
  switch (unit) {
    case OffsetUnit::kCodePoint:
      return ATTND_OFFSETS_CODE_POINT;
    case OffsetUnit::kByte:
      return ATTND_OFFSETS_BYTE;
    case OffsetUnit::kUtf16:
      return ATTND_OFFSETS_UTF16;
  }
  CHECK_THAT(false);
}

Tokenized Copy(const RustEncoding& encoding) {
  const size_t length = encoding->length;
  Tokenized result;
  result.ids.assign(encoding->ids, encoding->ids + length);
  result.types.assign(encoding->types, encoding->types + length);
  result.text_indices.assign(encoding->text_indices, encoding->text_indices + length);
  result.special.assign(encoding->special, encoding->special + length);
  result.length_before_truncation = static_cast<int32_t>(encoding->length_before_truncation);
  result.truncated = encoding->length_before_truncation > length;
  if (encoding->offsets == nullptr) return result;

  result.word_ids.assign(encoding->word_ids, encoding->word_ids + length);
  result.offsets.reserve(length);
  result.strings.reserve(length);
  size_t string_begin = 0;
  for (size_t i = 0; i < length; ++i) {
    result.offsets.push_back(
        {.start = encoding->offsets[2 * i], .end = encoding->offsets[2 * i + 1]});
    const size_t string_end = encoding->string_ends[i];
    result.strings.emplace_back(encoding->strings + string_begin, string_end - string_begin);
    string_begin = string_end;
  }
  return result;
}

}  // namespace

TokenizeFailure ReasonOf(const absl::Status& status) {
  if (status.ok()) return TokenizeFailure::kNone;
  const auto reason = status.GetPayload(kReasonUrl);
  if (!reason.has_value()) return TokenizeFailure::kOther;
  return *reason == kNotUtf8Reason ? TokenizeFailure::kNotUtf8 : TokenizeFailure::kTooLong;
}

struct Tokenizer::Handle {
  explicit Handle(AttndTokenizer* loaded) : rust(loaded) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { attnd_tokenizer_free(rust); }

  AttndTokenizer* const rust;
};

Tokenizer::Tokenizer(std::unique_ptr<const Handle> handle) : handle_(std::move(handle)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::Load(std::string_view json) {
  RustText message;
  AttndTokenizer* rust = nullptr;
  if (attnd_tokenizer_load(json.data(), json.size(), &rust, message.out()) != ATTND_TOKENIZER_OK) {
    return absl::InvalidArgumentError(message.str());
  }
  return std::unique_ptr<const Tokenizer>(new Tokenizer(std::make_unique<const Handle>(rust)));
}

absl::StatusOr<Tokenized> Tokenizer::Encode(std::string_view text,
                                            std::optional<std::string_view> pair,
                                            const TokenizeOptions& options) const {
  if (options.length_max < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("has a maximum length of ", options.length_max, ", below 1"));
  }
  const AttndEncodeOptions rust_options = {
      .add_special_tokens = options.add_special_tokens ? 1 : 0,
      .truncation = ToRust(options.truncation),
      .pair_truncation = ToRust(options.pair_truncation),
      .offsets = options.return_strings ? ToRust(options.offset_unit) : ATTND_OFFSETS_NONE,
      .length_max = options.length_max,
  };
  const std::string_view second = pair.value_or("");
  RustText message;
  RustEncoding encoding;
  const int32_t result = attnd_tokenizer_encode(
      handle_->rust, text.data(), text.size(), second.empty() ? nullptr : second.data(),
      second.size(), &rust_options, encoding.out(), message.out());
  if (result != ATTND_TOKENIZER_OK) return ToStatus(result, message);
  return Copy(encoding);
}

std::optional<std::string> Tokenizer::TokenOf(int32_t id) const {
  RustText text;
  RustText message;
  if (attnd_tokenizer_token(handle_->rust, id, text.out(), message.out()) != ATTND_TOKENIZER_OK) {
    return std::nullopt;
  }
  return text.str();
}

std::optional<int32_t> Tokenizer::IdOf(std::string_view token) const {
  const int32_t id = attnd_tokenizer_id(handle_->rust, token.data(), token.size());
  return id < 0 ? std::nullopt : std::optional(id);
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const int32_t> ids,
                                              bool skip_special_tokens) const {
  RustText text;
  RustText message;
  const int32_t result = attnd_tokenizer_decode(handle_->rust, ids.data(), ids.size(),
                                                skip_special_tokens, text.out(), message.out());
  if (result != ATTND_TOKENIZER_OK) return ToStatus(result, message);
  return text.str();
}

int32_t Tokenizer::vocabulary_size() const {
  return attnd_tokenizer_vocabulary_size(handle_->rust);
}

int32_t Tokenizer::id_end() const { return attnd_tokenizer_id_end(handle_->rust); }

}  // namespace attnd
