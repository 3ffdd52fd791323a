// Goal: no model directory, however made, does more than be refused: one line that names the file
// and the reason, and no large allocation. Method: a tiny model that loads, with one thing wrong at
// a time; here its files and what they say about it, in malformed_weights_test.cc its weights.
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/strings.h"
#include "core/model/model.h"
#include "gtest/gtest.h"
#include "tests/model/damage.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using testing::ChangeConfig;
using testing::Cut;
using testing::Damage;
using testing::ExpectHarmless;
using testing::ExpectRefused;
using testing::Fifo;
using testing::Folder;
using testing::Json;
using testing::LinkTo;
using testing::Load;
using testing::NameOf;
using testing::Remove;
using testing::Socket;
using testing::TempDir;
using testing::Unreadable;
using testing::Write;
using testing::WriteWholeModel;

// As many values as fit into the size limit of a config.
std::string ManyValues() {
  std::string text = "[";
  while (text.size() < (1u << 20) - 4) text += "0,";
  return text + "0]";
}

std::vector<Damage> DamagedFiles() {
  std::vector<Damage> all;
  for (const std::string name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    const std::string stem = name.substr(0, name.find('.'));
    all.push_back({stem + "_missing", Remove(name), name, "not found"});
    all.push_back({stem + "_is_fifo", Fifo(name), name, "is a FIFO, not a regular file"});
    all.push_back({stem + "_is_folder", Folder(name), name, "is a directory, not a regular file"});
    all.push_back(
        {stem + "_is_zero_device", LinkTo(name, "/dev/zero"), name, "leaves the model directory"});
    all.push_back(
        {stem + "_is_link_out", LinkTo(name, "../" + name), name, "leaves the model directory"});
    all.push_back({stem + "_is_absolute_link", LinkTo(name, "/etc/passwd"), name,
                   "leaves the model directory"});
    all.push_back({stem + "_is_loop", LinkTo(name, name), name, "follows more than 8 links"});
    all.push_back({stem + "_is_dangling", LinkTo(name, "nothing"), name, "is a link to nothing"});
    all.push_back({stem + "_is_socket", Socket(name), name, "is a socket, not a regular file"});
    all.push_back({stem + "_unreadable", Unreadable(name), name, testing::kPermissionDenied});
    all.push_back({stem + "_is_a_terabyte", Cut(name, uint64_t{1} << 40), name,
                   "has 1099511627776 bytes; the limit is"});
  }
  all.push_back({"link_through_folder",
                 [](const TempDir& dir) {
                   dir.Link("up", "..");
                   LinkTo("config.json", "up/config.json")(dir);
                 },
                 "config.json", "leaves the model directory"});
  all.push_back({"link_chain_out",
                 [](const TempDir& dir) {
                   dir.Link("first", "/etc/passwd");
                   LinkTo("config.json", "first")(dir);
                 },
                 "config.json", "leaves the model directory"});
  return all;
}

std::vector<Damage> DamagedConfigs() {
  const std::string file = "config.json";
  return {
      {"config_empty", Write(file, ""), file, "is no valid JSON"},
      {"config_cut", Cut(file, 100), file, "is no valid JSON"},
      {"config_is_list", Write(file, "[]"), file, "is an array, not an object"},
      {"config_deep", Write(file, std::string(1'000'000, '[')), file, "is nested deeper than 64"},
      {"config_key_twice", Write(file, R"({"hidden_size": 1, "hidden_size": 2})"), file,
       "\"hidden_size\" appears twice"},
      {"config_not_utf8", Write(file, "{\"a\": \"\xff\"}"), file, "is no valid JSON"},
      {"config_nul", Write(file, std::string("{}\0", 3)), file, "holds a NUL byte"},
      {"config_wide", Write(file, "[" + std::string(1'000'000, ' ') + "]"), file, "is an array"},
      {"config_many_values", Write(file, ManyValues()), file, "is an array"},
      {"config_hidden_huge", ChangeConfig({{"hidden_size", 1e15}}), file, "hidden_size is 1e+15"},
      {"config_hidden_negative", ChangeConfig({{"hidden_size", -16}}), file, "hidden_size is -16"},
      {"config_layers_many", ChangeConfig({{"num_hidden_layers", 1'000'000}}), file,
       "num_hidden_layers is 1000000"},
      {"config_vocabulary_huge", ChangeConfig({{"vocab_size", INT64_MAX}}), file,
       "vocab_size is 9223372036854775807"},
      {"config_family", ChangeConfig({{"model_type", "t9\n\x1b[2J"}}), file,
       "model_type is t9\\n\\033[2J"},
      {"config_heads_uneven", ChangeConfig({{"num_attention_heads", 3}}), file,
       "num_attention_heads is 3, which does not divide hidden_size, 16"},
      {"config_of_a_decoder", ChangeConfig({{"is_decoder", true}}), file, "only encoders"},
      {"config_hidden_is_text", ChangeConfig({{"hidden_size", "16"}}), file,
       R"(hidden_size is \"16\")"},
      {"config_hidden_missing", ChangeConfig({{"hidden_size", nullptr}}), file,
       "hidden_size is missing"},
      {"config_epsilon_zero", ChangeConfig({{"layer_norm_eps", 0}}), file, "layer_norm_eps is 0"},
      {"config_number_beyond_doubles", Write(file, R"({"hidden_size": 1e999})"), file,
       "is no valid JSON"},
      {"config_labels_many",
       ChangeConfig({{"architectures", Json::array({"BertForSequenceClassification"})},
                     {"num_labels", 1 << 20}}),
       file, "num_labels is 1048576"},
  };
}

std::vector<Damage> DamagedSentenceTransformersFiles() {
  return {
      {"modules_bad", Write("modules.json", "[{]"), "modules.json", "is no valid JSON"},
      {"modules_dense", Write("modules.json", R"([{"type": "Transformer"},
                                 {"type": "Pooling", "path": "1_Pooling"},
                                 {"type": "Dense"}])"),
       "modules.json", "type is Dense"},
      {"modules_path_out",
       Write("modules.json", R"([{"type": "Transformer"}, {"type": "Pooling", "path": "../.."}])"),
       "../../config.json", "is not a name within the model directory"},
      {"pooling_missing", Remove("1_Pooling"), "1_Pooling/config.json", "not found"},
      {"pooling_two",
       Write("1_Pooling/config.json",
             R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true})"),
       "1_Pooling/config.json", "is cls and mean"},
      {"pooling_is_below_a_file", LinkTo("1_Pooling", "modules.json"), "1_Pooling/config.json",
       "a part of the path is not a directory"},
      {"pooling_of_a_name_of_two_lines",
       [](const TempDir& dir) {
         dir.Write("a\nb/config.json", "[");
         dir.Write("modules.json", R"([{"type": "Transformer"},
                                       {"type": "Pooling", "path": "a\nb"}])");
       },
       R"(a\nb/config.json)", "is no valid JSON"},
      {"pooling_empty", Write("1_Pooling/config.json", "{}"), "1_Pooling/config.json",
       "pooling_mode is not set"},
      {"modules_in_another_order",
       Write("modules.json", R"([{"type": "Pooling", "path": "1_Pooling"}])"), "modules.json",
       "the order is Transformer, Pooling, Normalize"},
      {"prompts_of_another_kind",
       Write("config_sentence_transformers.json", R"({"prompts": {"a": 1}})"),
       "config_sentence_transformers.json", "a string is wanted"},
      {"prompt_default_missing",
       Write("config_sentence_transformers.json", R"({"default_prompt_name": "q"})"),
       "config_sentence_transformers.json", "which is no prompt"},
      {"pooling_is_fifo", Fifo("1_Pooling/config.json"), "1_Pooling/config.json", "is a FIFO"},
      {"length_zero", Write("sentence_bert_config.json", R"({"max_seq_length": 0})"),
       "sentence_bert_config.json", "max_seq_length is 0"},
      {"length_beyond", Write("sentence_bert_config.json", R"({"max_seq_length": 65})"),
       "sentence_bert_config.json", "max_seq_length is 65"},
  };
}

class MalformedModelTest : public ::testing::TestWithParam<Damage> {};

TEST_P(MalformedModelTest, IsRefusedInOneLineWithoutALargeAllocation) {
  ExpectHarmless(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Files, MalformedModelTest, ::testing::ValuesIn(DamagedFiles()), NameOf);
INSTANTIATE_TEST_SUITE_P(Configs, MalformedModelTest, ::testing::ValuesIn(DamagedConfigs()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(SentenceTransformers, MalformedModelTest,
                         ::testing::ValuesIn(DamagedSentenceTransformersFiles()), NameOf);

TEST(MalformedModelTest, EveryTruncationOfAConfigIsRefused) {
  for (const std::string file : {"config.json", "modules.json", "1_Pooling/config.json"}) {
    const TempDir dir;
    WriteWholeModel(dir);
    for (auto bytes = std::filesystem::file_size(dir / file); bytes-- > 0;) {
      SCOPED_TRACE(StrCat(file, " cut to ", bytes, " bytes"));
      std::filesystem::resize_file(dir / file, bytes);
      ExpectRefused(Load(dir), file, "is no valid JSON");
    }
  }
}

// The control of all of the above: undamaged, in each layout that exists, it loads.
TEST(WellFormedModelTest, ATinyModelLoadsInEveryTypeAndThroughACache) {
  for (const char* dtype : {"F32", "F16", "BF16"}) {
    TempDir temp;
    testing::WriteTinyBert(temp.path(), {.dtype = dtype});
    const auto model = Model::Load(*ModelDir::Open(temp.path()), {.batch_rows_max = 64});
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ((*model)->info().checkpoint_dtype, dtype);
    EXPECT_EQ((*model)->info().version.size(), 16u);
  }
  TempDir temp;
  std::filesystem::create_directories(temp / "models--a--b/snapshots/123");
  std::filesystem::create_directories(temp / "models--a--b/blobs");
  testing::WriteTinyBert(temp / "models--a--b/blobs");
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    temp.Link(StrCat("models--a--b/snapshots/123/", name), StrCat("../../blobs/", name));
  }
  const auto model =
      Model::Load(*ModelDir::Open(temp / "models--a--b/snapshots/123"), {.batch_rows_max = 64});
  EXPECT_TRUE(model.ok()) << model.status();
}

}  // namespace
}  // namespace attnd
