#include "server/auth/authorization.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

// Its letters may be of either case (RFC 9110, 11.1).
constexpr std::string_view kScheme = "Bearer ";

}  // namespace

std::string_view DenialName(Denial denial) {
  switch (denial) {
    case Denial::kMissing:
      return "missing";
    case Denial::kMalformed:
      return "malformed";
    case Denial::kUnknown:
      break;
  }
  return "unknown";
}

std::variant<KeyDigest, Denial> ReadAuthorization(std::span<const std::string_view> values) {
  if (values.empty()) return Denial::kMissing;
  // Of several, a proxy may have checked another one than we would.
  if (values.size() > 1) return Denial::kMalformed;
  std::string_view key = values.front();
  if (!absl::StartsWithIgnoreCase(ToAbsl(key), ToAbsl(kScheme))) return Denial::kMalformed;
  key.remove_prefix(kScheme.size());
  const auto is_visible = [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); };
  if (key.empty() || key.size() > kKeyBytesMax ||
      !std::all_of(key.begin(), key.end(), is_visible)) {
    return Denial::kMalformed;
  }
  return DigestOf(key);
}

}  // namespace attnd
