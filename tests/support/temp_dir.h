#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "tests/support/bytes.h"

namespace attnd::testing {

// A folder of one test's own, removed with all it holds at the end.
class TempDir {
 public:
  TempDir() {
    std::string path = ::testing::TempDir() + "attnd.XXXXXX";
    if (mkdtemp(path.data()) == nullptr) std::abort();
    path_ = std::filesystem::canonical(path);
  }
  ~TempDir() {
    std::error_code ignored;  // The test's result does not depend on the clean-up.
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  // Writes a file, and the folders above it.
  void Write(std::string_view name, std::string_view content) const {
    WriteFile(path_ / name, content);
  }
  std::string Read(std::string_view name) const {
    std::ostringstream content;
    content << std::ifstream(path_ / name, std::ios::binary).rdbuf();
    return content.str();
  }
  void Link(std::string_view name, const std::filesystem::path& target) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::filesystem::create_symlink(target, path_ / name);
  }
  void Remove(std::string_view name) const { std::filesystem::remove_all(path_ / name); }

 private:
  std::filesystem::path path_;
};

}  // namespace attnd::testing
