#pragma once

#include <span>
#include <string_view>
#include <variant>

#include "server/auth/key_digest.h"

namespace attnd {

// Why a call is denied. Callers get one answer for all of them; metrics and the debug log tell them
// apart.
enum class Denial {
  kMissing,    // No `authorization` in the call's metadata.
  kMalformed,  // Not one `Bearer KEY` with a KEY of 1 to kKeyBytesMax visible ASCII characters.
  kUnknown     // A key that the key file does not have, or has no more.
};
inline constexpr size_t kDenials = 3;

// "missing", "malformed", "unknown".
std::string_view DenialName(Denial denial);

inline constexpr size_t kKeyBytesMax = 512;

// The key in the values that a call has for `authorization`, by its digest: what needs the key
// itself ends here. Whether the key is known is the keyring's to say.
std::variant<KeyDigest, Denial> ReadAuthorization(std::span<const std::string_view> values);

}  // namespace attnd
