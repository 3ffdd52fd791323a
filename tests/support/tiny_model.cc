#include "tests/support/tiny_model.h"

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

namespace attnd::testing {
namespace {

using Json = nlohmann::json;

// Upper half of the bits of a float, cut: any BF16 value will do.
uint16_t ToBF16(float value) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16); }

// For normal values of F16 only: sign, exponent moved by 112, mantissa cut.
uint16_t ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t exponent = (bits >> 23) & 0xff;
  const uint32_t magnitude = exponent < 113 ? 0 : ((exponent - 112) << 10) | ((bits >> 13) & 0x3ff);
  return static_cast<uint16_t>(((bits >> 16) & 0x8000) | magnitude);
}

template <typename T>
void Append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::vector<std::string> TinyVocabulary() {
  std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  constexpr std::string_view kCharacters = "abcdefghijklmnopqrstuvwxyz0123456789";
  for (const char c : kCharacters) tokens.push_back(std::string(1, c));
  for (const char c : kCharacters) tokens.push_back(std::string("##") + c);
  for (const char c : std::string_view(".,!?'-")) tokens.push_back(std::string(1, c));
  for (const char* word : {"the", "cat", "dog", "sat", "on", "mat", "hello", "world", "##ing"})
    tokens.push_back(word);
  return tokens;
}

void WriteFile(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

class TensorMaker {
 public:
  explicit TensorMaker(const TinyBert& model) : model_(model), random_(model.seed) {}

  void Add(const std::string& name, std::vector<int64_t> shape, float center = 0) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    RawTensor tensor{model_.prefix + name, model_.dtype, std::move(shape), {}};
    for (int64_t i = 0; i < count; ++i) {
      // 24 bits, so that every platform draws the same numbers; between -0.25 and 0.25.
      const float value = center + static_cast<float>(random_() >> 8) * 0x1p-25f - 0.25f;
      if (model_.dtype == "F16") {
        Append(tensor.bytes, ToF16(value));
      } else if (model_.dtype == "BF16") {
        Append(tensor.bytes, ToBF16(value));
      } else {
        Append(tensor.bytes, value);
      }
    }
    tensors_.push_back(std::move(tensor));
  }
  void AddDense(const std::string& name, int64_t out, int64_t in) {
    Add(name + ".weight", {out, in});
    Add(name + ".bias", {out});
  }
  void AddNorm(const std::string& name) {
    Add(name + ".LayerNorm.weight", {model_.hidden}, 1);
    Add(name + ".LayerNorm.bias", {model_.hidden});
  }
  std::vector<RawTensor> Take() { return std::move(tensors_); }

 private:
  const TinyBert& model_;
  std::mt19937 random_;
  std::vector<RawTensor> tensors_;
};

}  // namespace

std::string SafetensorsFile(const std::vector<RawTensor>& tensors) {
  Json header = Json::object();
  std::string data;
  for (const RawTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  const std::string json = header.dump();
  std::string file;
  Append(file, static_cast<uint64_t>(json.size()));
  return file + json + data;
}

std::string SafetensorsFile(std::string_view header_json, uint64_t data_bytes) {
  std::string file;
  Append(file, static_cast<uint64_t>(header_json.size()));
  file += header_json;
  file.append(data_bytes, '\0');
  return file;
}

std::vector<RawTensor> TinyBertTensors(const TinyBert& model) {
  TensorMaker make(model);
  make.Add("embeddings.word_embeddings.weight", {TinyVocabularySize(), model.hidden});
  make.Add("embeddings.position_embeddings.weight", {model.positions, model.hidden});
  make.Add("embeddings.token_type_embeddings.weight", {2, model.hidden});
  make.AddNorm("embeddings");
  for (int32_t i = 0; i < model.layers; ++i) {
    const std::string layer = "encoder.layer." + std::to_string(i);
    make.AddDense(layer + ".attention.self.query", model.hidden, model.hidden);
    make.AddDense(layer + ".attention.self.key", model.hidden, model.hidden);
    make.AddDense(layer + ".attention.self.value", model.hidden, model.hidden);
    make.AddDense(layer + ".attention.output.dense", model.hidden, model.hidden);
    make.AddNorm(layer + ".attention.output");
    make.AddDense(layer + ".intermediate.dense", model.inner, model.hidden);
    make.AddDense(layer + ".output.dense", model.hidden, model.inner);
    make.AddNorm(layer + ".output");
  }
  if (model.pooler) make.AddDense("pooler.dense", model.hidden, model.hidden);
  return make.Take();
}

Json TinyBertConfig(const TinyBert& model) {
  return {{"architectures", {"BertModel"}},
          {"model_type", "bert"},
          {"hidden_act", "gelu"},
          {"hidden_size", model.hidden},
          {"intermediate_size", model.inner},
          {"is_decoder", false},
          {"layer_norm_eps", 1e-12},
          {"max_position_embeddings", model.positions},
          {"num_attention_heads", model.heads},
          {"num_hidden_layers", model.layers},
          {"pad_token_id", 0},
          {"position_embedding_type", "absolute"},
          {"type_vocab_size", 2},
          {"vocab_size", TinyVocabularySize()}};
}

int32_t TinyVocabularySize() { return static_cast<int32_t>(TinyVocabulary().size()); }

std::string TinyTokenizer() {
  Json vocabulary = Json::object();
  int id = 0;
  for (const std::string& token : TinyVocabulary()) vocabulary[token] = id++;
  Json added = Json::array();
  for (int special = 0; special < 5; ++special) {
    added.push_back({{"id", special},
                     {"content", TinyVocabulary()[static_cast<size_t>(special)]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const auto token = [](const char* name, int type) {
    return Json{{"SpecialToken", {{"id", name}, {"type_id", type}}}};
  };
  const auto text = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  const auto special = [](const char* name, int number) {
    return Json{{"id", name}, {"ids", {number}}, {"tokens", {name}}};
  };
  return Json{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer",
       {{"type", "BertNormalizer"},
        {"clean_text", true},
        {"handle_chinese_chars", true},
        {"strip_accents", nullptr},
        {"lowercase", true}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", Json::array({token("[CLS]", 0), text("A", 0), token("[SEP]", 0)})},
        {"pair", Json::array({token("[CLS]", 0), text("A", 0), token("[SEP]", 0), text("B", 1),
                              token("[SEP]", 1)})},
        {"special_tokens", {{"[CLS]", special("[CLS]", 2)}, {"[SEP]", special("[SEP]", 3)}}}}},
      {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
      {"model",
       {{"type", "WordPiece"},
        {"unk_token", "[UNK]"},
        {"continuing_subword_prefix", "##"},
        {"max_input_chars_per_word", 100},
        {"vocab", vocabulary}}}}
      .dump();
}

void WriteTinyBert(const std::string& dir, const TinyBert& model) {
  const std::filesystem::path path(dir);
  WriteFile(path / "config.json", TinyBertConfig(model).dump(2));
  WriteFile(path / "model.safetensors", SafetensorsFile(TinyBertTensors(model)));
  WriteFile(path / "tokenizer.json", TinyTokenizer());
}

void WriteSentenceTransformersFiles(const std::string& dir, const TinyBert& model,
                                    int32_t max_seq_length) {
  const std::filesystem::path path(dir);
  const auto module = [](int index, const char* folder, const std::string& type) {
    return Json{{"idx", index},
                {"name", std::to_string(index)},
                {"path", folder},
                {"type", "sentence_transformers.models." + type}};
  };
  WriteFile(path / "modules.json",
            Json::array({module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"),
                         module(2, "2_Normalize", "Normalize")})
                .dump(2));
  WriteFile(path / "1_Pooling/config.json", Json{{"word_embedding_dimension", model.hidden},
                                                 {"pooling_mode_cls_token", false},
                                                 {"pooling_mode_mean_tokens", true},
                                                 {"pooling_mode_max_tokens", false},
                                                 {"pooling_mode_mean_sqrt_len_tokens", false}}
                                                .dump(2));
  WriteFile(path / "sentence_bert_config.json",
            Json{{"max_seq_length", max_seq_length}, {"do_lower_case", false}}.dump(2));
}

}  // namespace attnd::testing
