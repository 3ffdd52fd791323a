#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace attnd {

// Debian 12's Abseil has a string_view of its own, which a std::string_view does not convert to;
// elsewhere they are one type. These two make both cases read alike.
inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

// absl::StrCat that takes std::string_view too.
template <typename... Pieces>
std::string StrCat(const Pieces&... pieces) {
  const auto piece = [](const auto& value) -> decltype(auto) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string_view>) {
      return ToAbsl(value);
    } else {
      return (value);
    }
  };
  return absl::StrCat(piece(pieces)...);
}

}  // namespace attnd
