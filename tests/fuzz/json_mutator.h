#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

// libFuzzer's own mutations, which it offers to a target's mutator.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t size_max);

namespace attnd {

// A text after libFuzzer's own mutations, of at most `size_max` bytes.
std::string MutateBytes(std::string_view text, size_t size_max);

// Changes a JSON text at one or a few of its values, so that it mostly stays one: a value becomes a
// hostile one or that of another place, is repeated, or is dropped with what stands before it. One
// time in four, and where there is no value, its bytes are mutated as they are.
std::string MutateJson(std::string_view json, size_t size_max, std::minstd_rand& random);

}  // namespace attnd
