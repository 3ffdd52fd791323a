#include "tests/support/tiny_model.h"

#include <filesystem>

#include "tests/support/bytes.h"

namespace attnd::testing {
namespace {

using Json = nlohmann::json;

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
