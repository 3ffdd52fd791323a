#pragma once

// The C interface of the Rust library in this folder; only core/input/tokenizer.cc includes it.
// Every function may be called from any thread, returns instead of unwinding, and accepts null
// where it says so.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct AttndTokenizer AttndTokenizer;

// Bytes that Rust owns until attnd_text_free.
typedef struct {
  char* data;
  size_t size;
  size_t capacity;
} AttndText;

// What a call returns; any but the first fills its `message`: one line, without payload.
enum {
  ATTND_TOKENIZER_OK = 0,
  ATTND_TOKENIZER_NOT_UTF8 = 1,
  ATTND_TOKENIZER_TOO_LONG = 2,
  ATTND_TOKENIZER_INVALID = 3,   // Another argument, or the file, is not usable.
  ATTND_TOKENIZER_INTERNAL = 4,  // The library failed on a valid input.
};

enum {
  ATTND_TRUNCATION_ERROR = 0,
  ATTND_TRUNCATION_LEFT = 1,
  ATTND_TRUNCATION_RIGHT = 2,
};

// Which text of a pair loses tokens.
enum {
  ATTND_PAIR_TRUNCATION_LONGEST_FIRST = 0,
  ATTND_PAIR_TRUNCATION_FIRST = 1,
  ATTND_PAIR_TRUNCATION_SECOND = 2,
};

enum {
  ATTND_OFFSETS_NONE = 0,  // Neither offsets nor strings nor words.
  ATTND_OFFSETS_CODE_POINT = 1,
  ATTND_OFFSETS_BYTE = 2,
  ATTND_OFFSETS_UTF16 = 3,
};

typedef struct {
  int32_t add_special_tokens;
  int32_t truncation;
  int32_t pair_truncation;
  int32_t offsets;
  int32_t length_max;
} AttndEncodeOptions;

// Parallel arrays of `length` elements, which live until attnd_encoding_free.
typedef struct {
  const int32_t* ids;
  const int32_t* types;
  const int32_t* text_indices;  // -1: special token.
  const uint8_t* special;
  const int32_t* word_ids;  // -1: special token. Null with ATTND_OFFSETS_NONE, like the next three.
  const int32_t* offsets;   // [length, 2]
  const char* strings;      // End to end, without separators.
  const size_t* string_ends;  // [length], within `strings`.
  size_t length;
  size_t length_before_truncation;
  void* owner;
} AttndEncoding;

int32_t attnd_tokenizer_load(const char* json, size_t json_size, AttndTokenizer** tokenizer,
                             AttndText* message);
void attnd_tokenizer_free(AttndTokenizer* tokenizer);  // Null is allowed.

// `pair` may be null: one text.
int32_t attnd_tokenizer_encode(const AttndTokenizer* tokenizer, const char* text, size_t text_size,
                               const char* pair, size_t pair_size,
                               const AttndEncodeOptions* options, AttndEncoding* encoding,
                               AttndText* message);
void attnd_encoding_free(AttndEncoding* encoding);

int32_t attnd_tokenizer_decode(const AttndTokenizer* tokenizer, const int32_t* ids, size_t id_count,
                               int32_t skip_special_tokens, AttndText* text, AttndText* message);
// `text` holds the id's token; ATTND_TOKENIZER_INVALID if there is none.
int32_t attnd_tokenizer_token(const AttndTokenizer* tokenizer, int32_t id, AttndText* text,
                              AttndText* message);
// The id of a token; -1 if there is none, or if it is not UTF-8.
int32_t attnd_tokenizer_id(const AttndTokenizer* tokenizer, const char* token, size_t token_size);
int32_t attnd_tokenizer_vocabulary_size(const AttndTokenizer* tokenizer);
int32_t attnd_tokenizer_id_end(const AttndTokenizer* tokenizer);

void attnd_text_free(AttndText* text);

#ifdef __cplusplus
}
#endif
