// Goal: a safetensors header is believed only if all of it holds. Method: a table of headers with
// one thing wrong each, their accepted neighbours, and the fuzz target's seeds read as tests.
#include "core/tensor/safetensors.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(std::string_view json, uint64_t data_bytes) {
  const absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(json, data_bytes);
  if (header.ok()) return "none";
  EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(header.status().message().find('\n'), absl::string_view::npos);
  return std::string(header.status().message());
}

TEST(SafetensorsTest, ReadsWhatAHeaderDeclares) {
  const auto header = ParseSafetensorsHeader(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},
          "a":{"data_offsets":[0,4],"shape":[],"dtype":"F32"},
          "c":{"dtype":"BF16","shape":[1],"data_offsets":[16,18]},
          "d":{"dtype":"I64","shape":[1,1],"data_offsets":[18,26]}}  )",
      26);
  ASSERT_TRUE(header.ok()) << header.status();
  ASSERT_EQ(header->size(), 4u);
  const TensorEntry& b = header->at("b");
  EXPECT_EQ(b.type, StoredType::kF16);
  EXPECT_EQ(b.type_name, "F16");
  EXPECT_EQ(b.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b.begin, 4u);
  EXPECT_EQ(b.end, 16u);
  EXPECT_EQ(header->at("a").type, StoredType::kF32);
  EXPECT_TRUE(header->at("a").shape.empty());
  EXPECT_EQ(header->at("c").type, StoredType::kBF16);
  EXPECT_EQ(header->at("d").type, StoredType::kOther);
  EXPECT_EQ(header->at("d").type_name, "I64");
}

struct BadHeader {
  const char* name;
  std::string json;
  uint64_t data_bytes;
  const char* error;
};

// One tensor called w, with those fields.
std::string One(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return StrCat(R"({"w":{"dtype":)", dtype, R"(,"shape":)", shape, R"(,"data_offsets":)", offsets,
                "}}");
}

class BadHeaderTest : public ::testing::TestWithParam<BadHeader> {};

TEST_P(BadHeaderTest, IsRefusedForItsReason) {
  EXPECT_THAT(ErrorOf(GetParam().json, GetParam().data_bytes), HasSubstr(GetParam().error));
}

const char* const kF32 = "\"F32\"";

INSTANTIATE_TEST_SUITE_P(
    Offsets, BadHeaderTest,
    ::testing::Values(
        BadHeader{"BeyondTheEnd", One(kF32, "[2]", "[0,8]"), 4,
                  "tensor w has data_offsets 0 to 8; the data has 4"},
        BadHeader{"Backwards", One(kF32, "[2]", "[8,0]"), 8, "tensor w has data_offsets 8 to 0"},
        BadHeader{"Huge", One(kF32, "[2]", "[18446744073709551608,18446744073709551615]"), 8,
                  "tensor w has data_offsets"},
        BadHeader{"TooLargeForTheShape", One(kF32, "[2]", "[0,12]"), 12,
                  "has 12 bytes of data; its shape and dtype take 8"},
        BadHeader{"TooSmallForTheShape", One(kF32, "[2]", "[0,4]"), 4,
                  "has 4 bytes of data; its shape and dtype take 8"},
        BadHeader{"HoleAtTheFront", One(kF32, "[1]", "[4,8]"), 8,
                  "begins at byte 4 of the data, after a hole (expected 0)"},
        BadHeader{"HoleAtTheEnd", One(kF32, "[1]", "[0,4]"), 8,
                  "tensors cover 4 bytes of data; the file has 8"},
        BadHeader{"NoTensorForTheData", "{}", 8, "tensors cover 0 bytes of data; the file has 8"},
        BadHeader{"Overlap",
                  R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                      "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                  12, "tensor b begins at byte 4 of the data, over another tensor (expected 8)"},
        BadHeader{"SameData",
                  R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                      "b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                  8, "over another tensor"},
        BadHeader{"HoleInTheMiddle",
                  R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                      "b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
                  6, "after a hole (expected 2)"},
        BadHeader{"One", One(kF32, "[1]", "[4]"), 4, "tensor w has fewer than two data_offsets"},
        BadHeader{"Three", One(kF32, "[1]", "[0,4,4]"), 4,
                  "tensor w has more than two data_offsets"}),
    [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Shapes, BadHeaderTest,
    ::testing::Values(
        BadHeader{"ProductWrapsToZero", One(kF32, "[4294967296,4294967296]", "[0,0]"), 0,
                  "a shape whose size overflows"},
        BadHeader{"ProductWrapsToTheSize", One(kF32, "[4611686018427387905]", "[0,4]"), 4,
                  "a shape whose size overflows"},
        BadHeader{"ProductWrapsBeforeAZero", One(kF32, "[4294967296,4294967296,0]", "[0,0]"), 0,
                  "size overflows"},
        BadHeader{"ProductWrapsAfterAZero", One(kF32, "[0,4294967296,4294967296]", "[0,0]"), 0,
                  "size overflows"},
        BadHeader{"AboveInt64", One(kF32, "[9223372036854775808]", "[0,0]"), 0,
                  "has a dimension of 9223372036854775808"},
        BadHeader{"AboveUint64", One(kF32, "[18446744073709551616]", "[0,0]"), 0,
                  "not a whole number of 64 bits"},
        BadHeader{"Negative", One(kF32, "[-1]", "[0,4]"), 4, "tensor w holds a negative number"},
        BadHeader{"Fraction", One(kF32, "[1.0]", "[0,4]"), 4, "not a whole number of 64 bits"},
        BadHeader{"Text", One(kF32, "[\"1\"]", "[0,4]"), 4,
                  "another kind than the format has, at w"},
        BadHeader{"Nested", One(kF32, "[[1]]", "[0,4]"), 4,
                  "another kind than the format has, at w"},
        BadHeader{"NotAList", One(kF32, "4", "[0,4]"), 4, "another kind than the format has, at w"},
        BadHeader{"Rank9", One(kF32, "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4,
                  "has more than 8 dimensions"}),
    [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Fields, BadHeaderTest,
    ::testing::Values(
        BadHeader{"UnknownType", One("\"F4\"", "[2]", "[0,1]"), 1,
                  "tensor w has the unknown dtype F4"},
        BadHeader{"TypeInLowerCase", One("\"f32\"", "[1]", "[0,4]"), 4,
                  "tensor w has the unknown dtype f32"},
        BadHeader{"TypeIsNull", One("null", "[1]", "[0,4]"), 4,
                  "another kind than the format has, at w"},
        BadHeader{"TypeIsAList", One("[]", "[1]", "[0,4]"), 4,
                  "another kind than the format has, at w"},
        BadHeader{"NoType", R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4,
                  "lacks one of dtype, shape and data_offsets"},
        BadHeader{"NoShape", R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4, "lacks one of"},
        BadHeader{"NoOffsets", R"({"w":{"dtype":"F32","shape":[1]}})", 4, "lacks one of"},
        BadHeader{"FieldTwice",
                  R"({"w":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}})", 4,
                  "tensor w has the field dtype twice"},
        BadHeader{"UnknownField",
                  R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"stride":[1]}})", 4,
                  "tensor w has the unknown field stride"},
        BadHeader{"TensorTwice",
                  R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                      "w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                  2, "tensor w appears twice"},
        BadHeader{"MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", 0,
                  "tensor __metadata__ appears twice"},
        BadHeader{"MetadataKeyTwice", R"({"__metadata__":{"a":"1","a":"2"}})", 0,
                  "__metadata__ has the key a twice"},
        BadHeader{"MetadataOfNumbers", R"({"__metadata__":{"a":1}})", 0,
                  "another kind than the format has"},
        BadHeader{"MetadataNested", R"({"__metadata__":{"a":{}}})", 0,
                  "another kind than the format has"},
        BadHeader{"MetadataIsText", R"({"__metadata__":"a"})", 0,
                  "another kind than the format has"},
        BadHeader{"TensorIsANumber", R"({"w":1})", 0, "another kind than the format has, at w"},
        BadHeader{"TensorIsTrue", R"({"w":true})", 0, "another kind than the format has, at w"},
        BadHeader{"TensorIsAList", R"({"w":[]})", 0, "another kind than the format has, at w"}),
    [](const auto& param) { return param.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Text, BadHeaderTest,
    ::testing::Values(
        BadHeader{"Empty", "", 0, "header does not begin with {"},
        BadHeader{"List", "[]", 0, "header does not begin with {"},
        BadHeader{"SpaceInFront", " {}", 0, "header does not begin with {"},
        BadHeader{"CutShort", R"({"w":{"dty)", 0, "header is no valid JSON: parse error"},
        BadHeader{"TwoObjects", "{}{}", 0, "header is no valid JSON: parse error"},
        BadHeader{"NulByte", std::string("{}\0x", 4), 0, "header holds a NUL byte"},
        BadHeader{"NotUtf8", "{\"\xff\":1}", 0, "header is no valid JSON: parse error"},
        BadHeader{"Deep", std::string(100'000, '{'), 0, "header is no valid JSON"},
        BadHeader{"DeepList", "{\"w\":" + std::string(100'000, '['), 0, "another kind than"}),
    [](const auto& param) { return param.param.name; });

TEST(SafetensorsTest, EveryWholeByteTypeHasItsSize) {
  for (const auto& [type, bytes] : {std::pair("F64", 8),
                                    {"F32", 4},
                                    {"F16", 2},
                                    {"BF16", 2},
                                    {"I64", 8},
                                    {"I32", 4},
                                    {"I16", 2},
                                    {"I8", 1},
                                    {"U64", 8},
                                    {"U32", 4},
                                    {"U16", 2},
                                    {"U8", 1},
                                    {"BOOL", 1},
                                    {"F8_E4M3", 1},
                                    {"F8_E5M2", 1},
                                    {"F8_E8M0", 1}}) {
    const std::string json = One(StrCat("\"", type, "\""), "[3]", StrCat("[0,", 3 * bytes, "]"));
    EXPECT_EQ(ErrorOf(json, static_cast<uint64_t>(3 * bytes)), "none") << type;
    EXPECT_NE(ErrorOf(json, static_cast<uint64_t>(3 * bytes + 1)), "none") << type;
  }
}

TEST(SafetensorsTest, TensorsOfNoElementsLieAnywhereBetweenOthers) {
  const char* json =
      R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},
          "b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
          "c":{"dtype":"F32","shape":[3,0,9],"data_offsets":[2,2]},
          "d":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},
          "e":{"dtype":"I8","shape":[0,0],"data_offsets":[3,3]}})";
  EXPECT_EQ(ErrorOf(json, 3), "none");
  EXPECT_THAT(ErrorOf(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                          "z":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}})",
                      2),
              HasSubstr("over another tensor"));
}

TEST(SafetensorsTest, TheNumberOfTensorsIsBounded) {
  std::string json = "{";
  for (size_t i = 0; i < kSafetensorsTensorsMax; ++i) {
    json += StrCat(R"("t)", i, R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)");
  }
  EXPECT_EQ(ErrorOf(StrCat(json, R"("__metadata__":{}})"), 0), "none");
  EXPECT_THAT(
      ErrorOf(StrCat(json, R"("last":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), 0),
      HasSubstr("declares more than 65536 tensors"));
}

TEST(SafetensorsTest, LongAndUnprintableNamesAreCutInMessages) {
  const std::string error = ErrorOf(R"({"a\n)" + std::string(10'000, 'x') + R"(":1})", 0);
  EXPECT_THAT(error, HasSubstr("a\\nxxx"));
  EXPECT_LT(error.size(), 300u);
}

std::string LengthError(uint64_t length, uint64_t file_bytes) {
  std::array<std::byte, 8> field;
  std::memcpy(field.data(), &length, sizeof(length));
  const absl::StatusOr<uint64_t> bytes = SafetensorsHeaderBytes(field, file_bytes);
  if (bytes.ok()) return StrCat(*bytes);
  return std::string(bytes.status().message());
}

TEST(SafetensorsTest, TheLengthFieldIsHeldAgainstTheFileAndTheLimit) {
  EXPECT_EQ(LengthError(2, 10), "2");
  EXPECT_EQ(LengthError(0, 8), "0");
  EXPECT_EQ(LengthError(kSafetensorsHeaderBytesMax, uint64_t{1} << 30), "8388608");
  EXPECT_THAT(LengthError(3, 10), HasSubstr("header claims 3 bytes; the file has 10"));
  EXPECT_THAT(LengthError(UINT64_MAX, 10), HasSubstr("header claims 18446744073709551615 bytes"));
  EXPECT_THAT(LengthError(UINT64_MAX - 7, UINT64_MAX),
              HasSubstr("header claims 18446744073709551608 bytes"));
  EXPECT_THAT(LengthError(0, 7), HasSubstr("header claims 0 bytes; the file has 7"));
  EXPECT_THAT(LengthError(kSafetensorsHeaderBytesMax + 1, uint64_t{1} << 30),
              HasSubstr("the limit is 8388608"));
}

TEST(SafetensorsTest, EverySeedOfTheFuzzTargetIsAValidFile) {
  const char* source_dir = std::getenv("ATTND_SOURCE_DIR");
  ASSERT_NE(source_dir, nullptr) << "run by ctest, which sets it";
  int count = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(StrCat(source_dir, "/tests/fuzz/corpus/safetensors"))) {
    std::ostringstream content;
    content << std::ifstream(file.path(), std::ios::binary).rdbuf();
    const std::string bytes = content.str();
    std::array<std::byte, 8> field;
    ASSERT_GE(bytes.size(), field.size()) << file.path();
    std::memcpy(field.data(), bytes.data(), field.size());
    const absl::StatusOr<uint64_t> header_bytes = SafetensorsHeaderBytes(field, bytes.size());
    ASSERT_TRUE(header_bytes.ok()) << file.path() << header_bytes.status();
    EXPECT_EQ(ErrorOf(bytes.substr(8, *header_bytes), bytes.size() - 8 - *header_bytes), "none")
        << file.path();
    ++count;
  }
  EXPECT_GE(count, 13);
}

}  // namespace
}  // namespace attnd
