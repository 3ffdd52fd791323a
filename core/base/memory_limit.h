#pragma once

#include <cstdint>
#include <string>

namespace attnd {

// The bytes of memory that this process may use: the least of the machine's memory and the limits
// of its control groups (version 1 and 2). `root` is put before /proc and /sys, for tests; what
// cannot be read does not limit.
uint64_t MemoryLimitBytes(const std::string& root = "");

}  // namespace attnd
