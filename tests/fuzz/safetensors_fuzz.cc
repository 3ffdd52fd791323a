// Goal: no file, however made, gets the safetensors reader to believe something false about it.
// Method: the input is a whole file. What the reader accepts is checked against the format's rules,
// computed here in 128 bits, and then read as weights, which touches every byte that the header
// says is there.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/tensor/safetensors.h"
#include "core/tensor/weights.h"

// libFuzzer's own mutations, which it offers to a target's mutator.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t size_max);

namespace attnd {
namespace {

uint64_t TypeBytes(std::string_view type) {
  if (type == "F64" || type == "I64" || type == "U64") return 8;
  if (type == "F32" || type == "I32" || type == "U32") return 4;
  if (type == "F16" || type == "BF16" || type == "I16" || type == "U16") return 2;
  return 1;
}

void CheckEntry(const TensorEntry& entry, uint64_t data_bytes) {
  CHECK_THAT(entry.begin <= entry.end && entry.end <= data_bytes);
  CHECK_THAT(entry.shape.size() <= kSafetensorsRankMax);
  const bool empty = std::find(entry.shape.begin(), entry.shape.end(), 0) != entry.shape.end();
  unsigned __int128 bytes = empty ? 0 : TypeBytes(entry.type_name);
  for (const int64_t size : entry.shape) {
    CHECK_THAT(size >= 0);
    bytes *= static_cast<uint64_t>(size);
    // Stops before 128 bits overflow as well: two factors below 2^64.
    CHECK_THAT(bytes <= entry.end - entry.begin || bytes == 0);
  }
  CHECK_THAT(bytes == entry.end - entry.begin);
}

void CheckHeader(const SafetensorsHeader& header, uint64_t data_bytes) {
  CHECK_THAT(header.size() <= kSafetensorsTensorsMax);
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& [name, entry] : header) {
    CheckEntry(entry, data_bytes);
    ranges.emplace_back(entry.begin, entry.end);
  }
  std::sort(ranges.begin(), ranges.end());
  uint64_t covered = 0;
  for (const auto& [begin, end] : ranges) {
    CHECK_THAT(begin == covered);
    covered = end;
  }
  CHECK_THAT(covered == data_bytes);
}

// The input as an open file. One descriptor serves all runs.
ModelFile FileOf(std::span<const uint8_t> input) {
  static const int memory = memfd_create("input", MFD_CLOEXEC);
  CHECK_THAT(memory >= 0);
  CHECK_THAT(ftruncate(memory, static_cast<off_t>(input.size())) == 0);
  CHECK_THAT(pwrite(memory, input.data(), input.size(), 0) == static_cast<ssize_t>(input.size()));
  return ModelFile(FileDescriptor(dup(memory)), input.size(), "input");
}

void ReadAll(const Weights& weights) {
  for (const std::string& name : weights.Names()) {
    const TensorEntry* entry = weights.Find(name);
    std::vector<float> values((entry->end - entry->begin) / TypeBytes(entry->type_name));
    (void)weights.Read(name, entry->shape,
                       values);  // Other types, NaN and Inf are refused, which is fine.
  }
}

void Run(std::span<const uint8_t> input) {
  bool accepted = false;
  std::array<std::byte, 8> length_field{};
  std::memcpy(length_field.data(), input.data(), std::min(input.size(), length_field.size()));
  if (const auto bytes = SafetensorsHeaderBytes(length_field, input.size()); bytes.ok()) {
    CHECK_THAT(*bytes <= input.size() - length_field.size());
    const uint64_t data_bytes = input.size() - length_field.size() - *bytes;
    const std::string_view json(reinterpret_cast<const char*>(input.data()) + length_field.size(),
                                *bytes);
    const auto header = ParseSafetensorsHeader(json, data_bytes);
    accepted = header.ok();
    if (accepted) CheckHeader(*header, data_bytes);
    if (!accepted) CHECK_THAT(!header.status().message().empty());
  }
  // What the parser refuses is not opened: system calls would take most of the time.
  if (!accepted && input.size() >= length_field.size()) return;
  const auto weights = Weights::OpenFile(FileOf(input));
  CHECK_THAT(weights.ok() == accepted);
  if (accepted) ReadAll(*weights);
}

// Sizes and offsets at and around the limits, and such whose products leave 64 bits.
constexpr std::string_view kNumbers[] = {"0",
                                         "1",
                                         "2",
                                         "3",
                                         "4",
                                         "8",
                                         "16",
                                         "255",
                                         "65536",
                                         "2147483648",
                                         "4294967295",
                                         "4294967296",
                                         "1152921504606846976",
                                         "2305843009213693952",
                                         "4611686018427387904",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "18446744073709551615",
                                         "18446744073709551616",
                                         "-1",
                                         "1.5"};

// Replaces one number of the JSON text by another; one time in two, the first that comes after a
// `shape`.
void ReplaceNumber(std::string& json, std::minstd_rand& random) {
  constexpr std::string_view kDigits = "0123456789";
  size_t from = random() % (json.size() + 1);
  if (random() % 2 == 0) from = std::min(json.find("shape", from), json.size());
  const size_t begin = json.find_first_of(kDigits, from);
  if (begin == std::string::npos) return;
  const size_t end = std::min(json.find_first_not_of(kDigits, begin), json.size());
  std::string number(kNumbers[random() % std::size(kNumbers)]);
  // Or by itself plus a power of two: what multiplies without a check cannot tell the two apart.
  uint64_t old = 0;
  std::from_chars(json.data() + begin, json.data() + end, old);
  if (random() % 2 == 0) number = std::to_string(old + (uint64_t{1} << (56 + random() % 8)));
  json.replace(begin, end - begin, number);
}

}  // namespace

// Mutates the header and makes the length field fit; one time in four, mutates the bytes of the
// file as they are.
size_t Mutate(uint8_t* data, size_t size, size_t size_max, unsigned seed) {
  constexpr size_t kLengthBytes = 8;
  std::minstd_rand random(seed);
  uint64_t json_bytes = 0;
  if (size >= kLengthBytes) std::memcpy(&json_bytes, data, kLengthBytes);
  if (size < kLengthBytes || json_bytes > size - kLengthBytes || random() % 4 == 0) {
    return LLVMFuzzerMutate(data, size, size_max);
  }
  const std::string tensors(reinterpret_cast<const char*>(data) + kLengthBytes + json_bytes,
                            size - kLengthBytes - json_bytes);
  std::string json(reinterpret_cast<const char*>(data) + kLengthBytes, json_bytes);
  for (size_t i = 0; i <= random() % 3; ++i) {
    if (random() % 2 == 0) {
      ReplaceNumber(json, random);
      continue;
    }
    const size_t before = json.size();
    json.resize(size_max);
    json.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(json.data()), before, size_max));
  }
  json_bytes = json.size();
  std::string file(reinterpret_cast<const char*>(&json_bytes), kLengthBytes);
  file = (file + json + tensors).substr(0, size_max);
  std::memcpy(data, file.data(), file.size());
  return file.size();
}

}  // namespace attnd

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,
                                          unsigned seed) {
  return attnd::Mutate(data, size, size_max, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attnd::Run({data, size});
  return 0;
}
