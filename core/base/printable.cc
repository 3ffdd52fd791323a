#include "core/base/printable.h"

#include "absl/strings/escaping.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

constexpr size_t kBytesMax = 100;

}  // namespace

std::string Printable(std::string_view text) {
  if (text.size() <= kBytesMax) return absl::CEscape(ToAbsl(text));
  return StrCat(absl::CEscape(ToAbsl(text.substr(0, kBytesMax))), "... (", text.size(), " bytes)");
}

}  // namespace attnd
