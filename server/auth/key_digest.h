#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace attnd {

// All that the server keeps of a key: its SHA-256, as 64 lowercase hexadecimal digits.
using KeyDigest = std::array<char, 64>;

KeyDigest DigestOf(std::string_view key);

// nullopt: `text` is not 64 hexadecimal digits. Capitals are taken.
std::optional<KeyDigest> ParseDigest(std::string_view text);

// Does the same work whether and wherever they differ.
bool AreEqual(const KeyDigest& a, const KeyDigest& b);

}  // namespace attnd
