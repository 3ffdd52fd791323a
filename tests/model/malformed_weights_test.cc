// Goal: no file of weights, however made, does more than be refused: one line that names the file
// and the reason, and no large allocation. Method: a tiny model that loads, with one thing wrong at
// a time in its weights, in their index, or in what config.json says of them.
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/base/strings.h"
#include "gtest/gtest.h"
#include "tests/model/damage.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using testing::ChangeConfig;
using testing::ChangeHeader;
using testing::ChangeTensor;
using testing::Cut;
using testing::Damage;
using testing::Damaging;
using testing::ExpectHarmless;
using testing::ExpectRefused;
using testing::Fifo;
using testing::Folder;
using testing::Json;
using testing::LinkTo;
using testing::Load;
using testing::NameOf;
using testing::RawTensor;
using testing::Remove;
using testing::SafetensorsFile;
using testing::TempDir;
using testing::Write;
using testing::WriteWholeModel;

const char* const kWeights = "model.safetensors";
const char* const kIndex = "model.safetensors.index.json";
const char* const kWords = "embeddings.word_embeddings.weight";
const std::string kShards[] = {"model-1.safetensors", "model-2.safetensors"};

// Each of the damages, in order.
Damaging Both(const Damaging& first, const Damaging& second) {
  return [=](const TempDir& dir) {
    first(dir);
    second(dir);
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
      {"weights_rewritten", ChangeHeader([](Json&) {}), testing::kNone, ""},
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
      {"tensor_of_negative_size", ChangeHeader([](Json& h) { h[kWords]["shape"][0] = -85; }),
       kWeights, "holds a negative number"},
      {"tensor_of_half_a_row", ChangeHeader([](Json& h) { h[kWords]["shape"][0] = 84.5; }),
       kWeights, "holds a number that is not a whole number of 64 bits"},
      {"tensor_of_a_size_above_64_bits",
       ChangeHeader([](Json& h) { h[kWords]["shape"][0] = UINT64_MAX; }), kWeights,
       "has a dimension of 18446744073709551615"},
      {"tensor_without_type", ChangeHeader([](Json& h) { h[kWords].erase("dtype"); }), kWeights,
       "tensor embeddings.word_embeddings.weight"},
      {"tensor_without_place", ChangeHeader([](Json& h) { h[kWords].erase("data_offsets"); }),
       kWeights, "tensor embeddings.word_embeddings.weight"},
      {"tensor_with_one_offset", ChangeHeader([](Json& h) { h[kWords]["data_offsets"].erase(1); }),
       kWeights, "tensor embeddings.word_embeddings.weight"},
      {"tensor_with_more", ChangeHeader([](Json& h) { h[kWords]["device"] = "cpu"; }), kWeights,
       "has the unknown field device"},
      {"metadata_of_numbers", ChangeHeader([](Json& h) {
         h["__metadata__"] = {{"a", 1}};
       }),
       kWeights, "another kind than"},
      {"metadata_is_text", ChangeHeader([](Json& h) { h["__metadata__"] = "pt"; }), kWeights,
       "another kind than"},
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
  const float infinity = std::numeric_limits<float>::infinity();
  const std::string infinity_bytes(reinterpret_cast<const char*>(&infinity), sizeof(infinity));
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
      {"tensor_of_doubles",
       ChangeTensor(kWords,
                    [](RawTensor& t) {
                      t.dtype = "F64";
                      t.bytes += t.bytes;
                    }),
       kWeights, "has dtype F64"},
      {"tensor_with_infinity",
       ChangeTensor("pooler.dense.bias",
                    [=](RawTensor& t) { t.bytes.replace(8, 4, infinity_bytes); }),
       kWeights, "tensor pooler.dense.bias holds NaN or Inf"},
      {"norm_missing",
       ChangeTensor("embeddings.LayerNorm.weight", [](RawTensor& t) { t.name = "other"; }),
       kWeights, "tensor embeddings.LayerNorm.weight is missing"},
  };
}

std::vector<Damage> DamagedAgreements() {
  return {
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
      {"positions_fewer_than_said", ChangeConfig({{"max_position_embeddings", 128}}), kWeights,
       "has shape [64, 16]; [128, 16] is wanted"},
      {"types_more_than_said", ChangeConfig({{"type_vocab_size", 1}}), kWeights,
       "has shape [2, 16]; [1, 16] is wanted"},
      {"inner_size_of_another_model", ChangeConfig({{"intermediate_size", 64}}), kWeights,
       "has shape [32, 16]; [64, 16] is wanted"},
      {"head_of_another_size",
       Both(ChangeConfig({{"architectures", Json::array({"BertForSequenceClassification"})}}),
            ChangeTensor("pooler.dense.bias", [](RawTensor& t) { t.name = "classifier.weight"; })),
       kWeights, "has shape [16]; [2, 16] is wanted"},
      {"family_of_other_names",
       ChangeConfig({{"model_type", "distilbert"},
                     {"dim", 16},
                     {"n_layers", 2},
                     {"n_heads", 2},
                     {"hidden_dim", 32}}),
       kWeights, "is missing"},
  };
}

// The tiny model in two files, the first of which has the embeddings, and their index, changed.
Damaging Shards(const std::function<void(Json& weight_map)>& change) {
  return [=](const TempDir& dir) {
    std::vector<RawTensor> parts[2];
    Json weight_map;
    for (RawTensor& tensor : testing::TinyBertTensors({})) {
      const int part = tensor.name.starts_with("embeddings") ? 0 : 1;
      weight_map[tensor.name] = kShards[part];
      parts[part].push_back(std::move(tensor));
    }
    for (int part = 0; part < 2; ++part) dir.Write(kShards[part], SafetensorsFile(parts[part]));
    dir.Remove(kWeights);
    change(weight_map);
    dir.Write(kIndex, Json{{"weight_map", weight_map}}.dump());
  };
}

Damaging Index(const std::string& text) {
  return [=](const TempDir& dir) {
    dir.Remove(kWeights);
    dir.Write(kIndex, text);
  };
}

std::vector<Damage> DamagedShards() {
  const Damaging shards = Shards([](Json&) {});
  Json many;
  for (int i = 0; i < 5000; ++i) many["w" + std::to_string(i)] = std::to_string(i);
  return {
      {"shards_undamaged", shards, testing::kNone, ""},
      {"index_to_nowhere", Index(R"({"weight_map": {"w": "../../etc/passwd"}})"), kIndex,
       "is no file name without slashes"},
      {"index_of_numbers", Index(R"({"weight_map": {"w": 1}})"), kIndex,
       "is no file name without slashes"},
      {"index_empty", Index(R"({"weight_map": {}})"), kIndex, "weight_map is empty"},
      {"index_without_map", Index(R"({"metadata": {}})"), kIndex, "weight_map is missing"},
      {"index_is_list", Index("[]"), kIndex, "weight_map is missing"},
      {"index_cut", Index(R"({"weight_map": {"w": "mod)"), kIndex, "is no valid JSON"},
      {"index_of_many_shards", Index(Json{{"weight_map", many}}.dump()), kIndex,
       "names 5000 shards"},
      {"index_is_fifo", Both(Index(""), Fifo(kIndex)), kIndex, "is a FIFO"},
      {"index_names_the_other_shard", Shards([](Json& map) { map[kWords] = kShards[1]; }), kIndex,
       "tensor embeddings.word_embeddings.weight is not in model-2.safetensors"},
      {"index_names_no_tensor", Shards([](Json& map) { map["more"] = kShards[1]; }), kIndex,
       "tensor more is not in model-2.safetensors"},
      {"shard_missing", Both(shards, Remove(kShards[1])), kShards[1], "not found"},
      {"shard_empty", Both(shards, Write(kShards[1], "")), kShards[1], "has 0 bytes"},
      {"shard_cut", Both(shards, Cut(kShards[1], 5000)), kShards[1], "has data_offsets"},
      {"shard_leaves_the_directory", Both(shards, LinkTo(kShards[0], "../" + kShards[0])),
       kShards[0], "leaves the model directory"},
      {"shard_is_device", Both(shards, LinkTo(kShards[0], "/dev/zero")), kShards[0],
       "leaves the model directory"},
      {"shard_is_folder", Both(shards, Folder(kShards[0])), kShards[0], "is a directory"},
      {"shard_twice", Both(shards, LinkTo(kShards[1], kShards[0])), kShards[1],
       "is in another shard already"},
      {"shard_of_a_name_of_two_lines", Index("{\"weight_map\": {\"w\": \"a\\nb\"}}"), R"(a\nb)",
       "not found"},
      {"shard_without_name", Index(R"({"weight_map": {"w": ""}})"), "",
       "is not a name within the model directory"},
  };
}

class MalformedWeightsTest : public ::testing::TestWithParam<Damage> {};

TEST_P(MalformedWeightsTest, AreRefusedInOneLineWithoutALargeAllocation) {
  ExpectHarmless(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Headers, MalformedWeightsTest, ::testing::ValuesIn(DamagedHeaders()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Entries, MalformedWeightsTest, ::testing::ValuesIn(DamagedEntries()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Tensors, MalformedWeightsTest, ::testing::ValuesIn(DamagedTensors()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Agreements, MalformedWeightsTest, ::testing::ValuesIn(DamagedAgreements()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Shards, MalformedWeightsTest, ::testing::ValuesIn(DamagedShards()),
                         NameOf);

TEST(MalformedWeightsTest, EveryTruncationIsRefused) {
  constexpr uint64_t kStep = 512;
  const TempDir dir;
  WriteWholeModel(dir);
  const uint64_t whole = std::filesystem::file_size(dir / kWeights);
  std::vector<uint64_t> sizes = {whole - 1};
  for (uint64_t bytes = whole / kStep * kStep; bytes > 0; bytes -= kStep) {
    sizes.insert(sizes.end(), {bytes + 1, bytes, bytes - 1});
  }
  for (uint64_t bytes = 16; bytes-- > 0;) sizes.push_back(bytes);
  for (const uint64_t bytes : sizes) {
    if (bytes >= whole) continue;
    SCOPED_TRACE(StrCat("cut to ", bytes, " bytes"));
    std::filesystem::resize_file(dir / kWeights, bytes);
    ExpectRefused(Load(dir), kWeights, "");
  }
}

}  // namespace
}  // namespace attnd
