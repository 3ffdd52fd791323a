#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"

namespace attnd::testing {

// One tensor of a safetensors file to be written.
struct RawTensor {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

// The file that holds `tensors`, in their order.
std::string SafetensorsFile(const std::vector<RawTensor>& tensors);
// A file of that header and that many zero bytes of data, whatever the header says.
std::string SafetensorsFile(std::string_view header_json, uint64_t data_bytes);

// A bare BERT small enough to make in a test, with random weights that depend on the seed alone.
// Other families and heads: tests/support/tiny_families.h.
struct TinyBert {
  int32_t hidden = 16;
  int32_t layers = 2;
  int32_t heads = 2;
  int32_t inner = 32;
  int32_t positions = 64;
  std::string dtype = "F32";  // F32, F16 or BF16.
  std::string prefix;         // "bert." as in another task's checkpoint.
  bool pooler = true;
  uint32_t seed = 1;
};

std::vector<RawTensor> TinyBertTensors(const TinyBert& model);
nlohmann::json TinyBertConfig(const TinyBert& model);
// A WordPiece tokenizer.json that lower-cases: [PAD] [UNK] [CLS] [SEP] [MASK] are 0 to 4; then
// letters, digits, their continuations, some punctuation and some words.
std::string TinyTokenizer();
int32_t TinyVocabularySize();

// Writes config.json, model.safetensors and tokenizer.json into `dir`, which exists.
void WriteTinyBert(const std::string& dir, const TinyBert& model = {});
// Adds modules.json, 1_Pooling (mean), 2_Normalize and sentence_bert_config.json.
void WriteSentenceTransformersFiles(const std::string& dir, const TinyBert& model = {},
                                    int32_t max_seq_length = 32);

}  // namespace attnd::testing
