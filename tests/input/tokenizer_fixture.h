#pragma once

#include <cstdlib>
#include <fstream>
#include <memory>
#include <ostream>
#include <sstream>
#include <string>

#include "core/input/tokenizer.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace attnd {

// For GoogleTest's messages.
inline void PrintTo(const Tokenized::Offset& offset, std::ostream* out) {
  *out << "[" << offset.start << ", " << offset.end << ")";
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

inline std::string TestDataDir() {
  const char* source_dir = std::getenv("ATTND_SOURCE_DIR");
  EXPECT_NE(source_dir, nullptr) << "ATTND_SOURCE_DIR is set by ctest";
  return std::string(source_dir == nullptr ? "." : source_dir) + "/tests/data";
}

// The file of a BERT tokenizer with 1000 tokens: [CLS] is 2, [SEP] is 3.
inline std::string BertJson() { return ReadFile(TestDataDir() + "/models/bert-a/tokenizer.json"); }

inline std::unique_ptr<const Tokenizer> LoadOrFail(const std::string& json) {
  auto tokenizer = Tokenizer::Load(json);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

}  // namespace attnd
