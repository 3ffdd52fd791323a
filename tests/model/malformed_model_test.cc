// Goal: no model directory, however made, does more than be refused: one line that names the file
// and the reason, and no large allocation. Method: a tiny model that loads, with one thing wrong at
// a time.
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <limits>

#include "core/base/strings.h"
#include "core/model/model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::json;
using testing::RawTensor;
using testing::SafetensorsFile;
using testing::TempDir;

// Sanitizers keep what is freed, and shadow all of it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int64_t kGrowthKibMax = 4096 * 1024;
#else
constexpr int64_t kGrowthKibMax = 96 * 1024;
#endif

int64_t PeakMemoryKib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

struct Damage {
  friend void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

  std::string name;
  std::function<void(const TempDir&)> apply;
  std::string file;    // What the message begins with.
  std::string reason;  // What it says.
};

// Changes one tensor of the tiny model's weights.
std::function<void(const TempDir&)> ChangeTensor(const std::string& name,
                                                 const std::function<void(RawTensor&)>& change) {
  return [=](const TempDir& dir) {
    std::vector<RawTensor> tensors = testing::TinyBertTensors({});
    for (RawTensor& tensor : tensors) {
      if (tensor.name == name) change(tensor);
    }
    dir.Write("model.safetensors", SafetensorsFile(tensors));
  };
}

std::function<void(const TempDir&)> ChangeConfig(const Json& changes) {
  return [=](const TempDir& dir) {
    Json config = testing::TinyBertConfig({});
    config.merge_patch(changes);
    dir.Write("config.json", config.dump());
  };
}

// Replaces the header, keeping the data.
std::function<void(const TempDir&)> ChangeHeader(const std::function<void(Json&)>& change) {
  return [=](const TempDir& dir) {
    std::string file = dir.Read("model.safetensors");
    uint64_t header_bytes = 0;
    file.copy(reinterpret_cast<char*>(&header_bytes), sizeof(header_bytes));
    Json header = Json::parse(file.substr(8, header_bytes));
    change(header);
    std::string changed = SafetensorsFile(header.dump(), 0);
    dir.Write("model.safetensors", changed + file.substr(8 + header_bytes));
  };
}

std::function<void(const TempDir&)> Cut(const std::string& name, uint64_t bytes) {
  return [=](const TempDir& dir) { std::filesystem::resize_file(dir / name, bytes); };
}

std::function<void(const TempDir&)> Write(const std::string& name, const std::string& content) {
  return [=](const TempDir& dir) { dir.Write(name, content); };
}

std::function<void(const TempDir&)> Remove(const std::string& name) {
  return [=](const TempDir& dir) { dir.Remove(name); };
}

std::function<void(const TempDir&)> LinkTo(const std::string& name, const std::string& target) {
  return [=](const TempDir& dir) {
    dir.Remove(name);
    dir.Link(name, target);
  };
}

std::function<void(const TempDir&)> Fifo(const std::string& name) {
  return [=](const TempDir& dir) {
    dir.Remove(name);
    ASSERT_EQ(mkfifo((dir / name).c_str(), 0600), 0);
  };
}

std::function<void(const TempDir&)> Folder(const std::string& name) {
  return [=](const TempDir& dir) {
    dir.Remove(name);
    std::filesystem::create_directory(dir / name);
  };
}

// As many values as fit into the size limit of a config.
std::string ManyValues() {
  std::string text = "[";
  while (text.size() < (1u << 20) - 4) text += "0,";
  return text + "0]";
}

const char* const kWeights = "model.safetensors";
const char* const kWords = "embeddings.word_embeddings.weight";

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
      {"pooling_is_fifo", Fifo("1_Pooling/config.json"), "1_Pooling/config.json", "is a FIFO"},
      {"length_zero", Write("sentence_bert_config.json", R"({"max_seq_length": 0})"),
       "sentence_bert_config.json", "max_seq_length is 0"},
      {"length_beyond", Write("sentence_bert_config.json", R"({"max_seq_length": 65})"),
       "sentence_bert_config.json", "max_seq_length is 65"},
  };
}

std::vector<Damage> DamagedHeaders() {
  const auto lie_about_length = [](uint64_t length) {
    return [=](const TempDir& dir) {
      std::string file = dir.Read(kWeights);
      file.replace(0, 8, reinterpret_cast<const char*>(&length), 8);
      dir.Write(kWeights, file);
    };
  };
  return {
      {"weights_empty", Cut(kWeights, 0), kWeights, "has 0 bytes"},
      {"weights_cut_in_length", Cut(kWeights, 7), kWeights, "has 7 bytes"},
      {"weights_cut_in_header", Cut(kWeights, 1000), kWeights, "header claims"},
      {"weights_rewritten", ChangeHeader([](Json&) {}), "none", ""},
      {"weights_cut_in_data", Cut(kWeights, 8000), kWeights, "has data_offsets"},
      {"weights_longer", [](const TempDir& dir) { dir.Write(kWeights, dir.Read(kWeights) + "x"); },
       kWeights, "tensors cover"},
      {"length_of_zero", lie_about_length(0), kWeights, "header does not begin with {"},
      {"length_of_all", lie_about_length(UINT64_MAX), kWeights,
       "header claims 18446744073709551615 bytes"},
      {"length_of_limit_and_one",
       [=](const TempDir& dir) {
         lie_about_length((8u << 20) + 1)(dir);
         std::filesystem::resize_file(dir / kWeights, 16u << 20);
       },
       kWeights, "the limit is 8388608"},
      {"header_not_json", Write(kWeights, SafetensorsFile("{nonsense}", 0)), kWeights,
       "header is no valid JSON"},
      {"header_deep", Write(kWeights, SafetensorsFile(std::string(8u << 20, '{'), 0)), kWeights,
       "header is no valid JSON"},
      {"header_lists", Write(kWeights, SafetensorsFile("{\"a\":" + std::string(1u << 20, '['), 0)),
       kWeights, "another kind than"},
      {"header_of_nothing", Write(kWeights, SafetensorsFile("{}", 0)), kWeights,
       "tensor embeddings.word_embeddings.weight is missing"},
  };
}

std::vector<Damage> DamagedEntries() {
  return {
      {"tensor_overlap", ChangeHeader([](Json& h) {
         h["pooler.dense.bias"]["data_offsets"] = {0, 64};
       }),
       kWeights, "over another tensor"},
      {"tensor_hole", ChangeHeader([](Json& h) { h.erase("pooler.dense.weight"); }), kWeights,
       "after a hole"},
      {"tensor_beyond", ChangeHeader([](Json& h) {
         h["pooler.dense.bias"]["data_offsets"] = {1 << 30, (1 << 30) + 64};
       }),
       kWeights, "has data_offsets 1073741824 to 1073741888"},
      {"tensor_backwards", ChangeHeader([](Json& h) {
         h["pooler.dense.bias"]["data_offsets"] = {64, 0};
       }),
       kWeights, "has data_offsets 64 to 0"},
      {"tensor_wraps", ChangeHeader([](Json& h) {
         h[kWords]["shape"] = {int64_t{1} << 60, 16};
       }),
       kWeights, "a shape whose size overflows"},
      {"tensor_wraps_to_its_size",
       ChangeHeader([](Json& h) { h["pooler.dense.bias"]["shape"] = {16 + (int64_t{1} << 62)}; }),
       kWeights, "a shape whose size overflows"},
      {"tensor_too_small", ChangeHeader([](Json& h) {
         h[kWords]["shape"] = {1, 16};
       }),
       kWeights, "its shape and dtype take 64"},
      {"tensor_of_unknown_type", ChangeHeader([](Json& h) { h[kWords]["dtype"] = "F33"; }),
       kWeights, "unknown dtype F33"},
      {"tensor_of_rank_9",
       ChangeHeader([](Json& h) { h[kWords]["shape"] = {1, 1, 1, 1, 1, 1, 1, 1, 1}; }), kWeights,
       "more than 8 dimensions"},
      {"tensor_twice",
       Write(kWeights, SafetensorsFile(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                                 "a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                       2)),
       kWeights, "tensor a appears twice"},
  };
}

std::vector<Damage> DamagedTensors() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::string nan_bytes(reinterpret_cast<const char*>(&nan), sizeof(nan));
  return {
      {"tensor_missing",
       ChangeTensor("encoder.layer.1.output.dense.bias", [](RawTensor& t) { t.name = "other"; }),
       kWeights, "tensor encoder.layer.1.output.dense.bias is missing"},
      {"tensor_transposed",
       ChangeTensor("encoder.layer.0.output.dense.weight",
                    [](RawTensor& t) {
                      t.shape = {32, 16};
                    }),
       kWeights, "has shape [32, 16]; [16, 32] is wanted"},
      {"tensor_of_integers", ChangeTensor(kWords, [](RawTensor& t) { t.dtype = "I32"; }), kWeights,
       "has dtype I32"},
      {"tensor_with_nan",
       ChangeTensor(kWords, [=](RawTensor& t) { t.bytes.replace(0, 4, nan_bytes); }), kWeights,
       "tensor embeddings.word_embeddings.weight holds NaN or Inf"},
      {"tensor_with_nan_in_the_last_layer",
       ChangeTensor("encoder.layer.1.output.LayerNorm.bias",
                    [=](RawTensor& t) { t.bytes.replace(60, 4, nan_bytes); }),
       kWeights, "tensor encoder.layer.1.output.LayerNorm.bias holds NaN or Inf"},
      {"config_of_another_size", ChangeConfig({{"hidden_size", 32}}), "1_Pooling/config.json",
       "word_embedding_dimension is 16"},
      {"config_with_more_layers", ChangeConfig({{"num_hidden_layers", 3}}), kWeights,
       "tensor encoder.layer.2.attention.self.query.weight is missing"},
      {"config_with_more_words", ChangeConfig({{"vocab_size", 1 << 24}}), kWeights, "has shape ["},
      // A header that agrees with the config, for terabytes that no file has.
      {"everything_huge",
       [](const TempDir& dir) {
         ChangeConfig({{"vocab_size", 1 << 24}})(dir);
         ChangeHeader([](Json& h) { h[kWords]["shape"] = {1 << 24, 16}; })(dir);
       },
       kWeights, "its shape and dtype take 1073741824"},
      {"index_to_nowhere",
       [](const TempDir& dir) {
         dir.Remove(kWeights);
         dir.Write("model.safetensors.index.json", R"({"weight_map": {"w": "../../etc/passwd"}})");
       },
       "model.safetensors.index.json", "is no file name without slashes"},
      {"shard_missing",
       [](const TempDir& dir) {
         dir.Remove(kWeights);
         dir.Write("model.safetensors.index.json",
                   R"({"weight_map": {"w": "model-00001-of-00002.safetensors"}})");
       },
       "model-00001-of-00002.safetensors", "not found"},
      {"shard_is_device",
       [](const TempDir& dir) {
         dir.Remove(kWeights);
         dir.Link("shard", "/dev/zero");
         dir.Write("model.safetensors.index.json", R"({"weight_map": {"w": "shard"}})");
       },
       "shard", "leaves the model directory"},
  };
}

class MalformedModelTest : public ::testing::TestWithParam<Damage> {
 protected:
  MalformedModelTest() {
    testing::WriteTinyBert(dir_.path());
    testing::WriteSentenceTransformersFiles(dir_.path());
  }
  TempDir dir_;
};

TEST_P(MalformedModelTest, IsRefusedInOneLineWithoutALargeAllocation) {
  const Damage& damage = GetParam();
  damage.apply(dir_);
  // Of the whole program: what one directory made it take is never given back to this measure.
  static const int64_t before = PeakMemoryKib();
  const absl::StatusOr<ModelDir> dir = ModelDir::Open(dir_.path());
  ASSERT_TRUE(dir.ok()) << dir.status();
  const absl::Status status = Model::Load(*dir, {.batch_rows_max = 64}).status();
  EXPECT_LT(PeakMemoryKib() - before, kGrowthKibMax);
  if (damage.file == "none") {
    EXPECT_TRUE(status.ok()) << status;  // What the damage is made with does not damage by itself.
    return;
  }
  const std::string message(status.message());
  EXPECT_THAT(message, StartsWith(damage.file + ": "));
  EXPECT_THAT(message, HasSubstr(damage.reason));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_LT(message.size(), 400u);
}

std::string NameOf(const ::testing::TestParamInfo<Damage>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Files, MalformedModelTest, ::testing::ValuesIn(DamagedFiles()), NameOf);
INSTANTIATE_TEST_SUITE_P(Configs, MalformedModelTest, ::testing::ValuesIn(DamagedConfigs()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Headers, MalformedModelTest, ::testing::ValuesIn(DamagedHeaders()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Entries, MalformedModelTest, ::testing::ValuesIn(DamagedEntries()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Tensors, MalformedModelTest, ::testing::ValuesIn(DamagedTensors()),
                         NameOf);

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
