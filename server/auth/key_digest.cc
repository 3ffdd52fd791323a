#include "server/auth/key_digest.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/ascii.h"
#include "core/base/check.h"
#include "core/base/sha256.h"

namespace attnd {

KeyDigest DigestOf(std::string_view key) {
  Sha256 sha256;
  sha256.Update(key);
  const std::optional<KeyDigest> digest = ParseDigest(sha256.Finish());
  CHECK_THAT(digest.has_value());
  return *digest;
}

std::optional<KeyDigest> ParseDigest(std::string_view text) {
  KeyDigest digest;
  const auto is_digit = [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); };
  if (text.size() != digest.size() || !std::all_of(text.begin(), text.end(), is_digit)) {
    return std::nullopt;
  }
  std::transform(text.begin(), text.end(), digest.begin(),
                 [](char c) { return absl::ascii_tolower(static_cast<unsigned char>(c)); });
  return digest;
}

bool AreEqual(const KeyDigest& a, const KeyDigest& b) {
  // OpenSSL's CRYPTO_memcmp goes byte by byte, which is 40 ns; a file may have 2,048 keys.
  uint64_t difference = 0;
  for (size_t i = 0; i < a.size(); i += sizeof(uint64_t)) {
    uint64_t of_a = 0, of_b = 0;
    std::memcpy(&of_a, a.data() + i, sizeof(of_a));
    std::memcpy(&of_b, b.data() + i, sizeof(of_b));
    difference |= of_a ^ of_b;
    asm volatile("" : "+r"(difference));  // The compiler knows nothing that could end the loop.
  }
  return difference == 0;
}

}  // namespace attnd
