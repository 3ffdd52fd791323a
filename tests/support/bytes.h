#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace attnd::testing {

// Adds the bytes of a number as memory has them.
template <typename T>
void Append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Writes a file, and the folders above it.
inline void WriteFile(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace attnd::testing
