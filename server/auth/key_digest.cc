#include "server/auth/key_digest.h"

#include <openssl/crypto.h>

#include <algorithm>
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
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace attnd
