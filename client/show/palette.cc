#include "client/show/palette.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>

#include "absl/strings/str_format.h"

namespace attnd::client {
namespace {

// Equally far apart; between two of them colours are mixed.
constexpr Rgb kLight[] = {{245, 247, 250}, {209, 226, 243}, {147, 196, 224},
                          {82, 149, 201},  {39, 97, 168},   {24, 48, 107}};
constexpr Rgb kDark[] = {{30, 33, 41},   {57, 42, 99},   {118, 47, 124},
                         {189, 66, 104}, {240, 125, 69}, {252, 220, 113}};

int Mix(int from, int to, float fraction) {
  return from + static_cast<int>(std::lround(static_cast<float>(to - from) * fraction));
}

}  // namespace

int LevelOf(float value, float max) {
  if (!(value > 0) || !(max > 0)) return 0;
  return static_cast<int>(std::lround(std::min(value / max, 1.0F) * kLevelMax));
}

Rgb ColorOf(int level, Theme theme) {
  const std::span<const Rgb> stops = theme == Theme::kLight ? kLight : kDark;
  const float place = static_cast<float>(level) / kLevelMax * static_cast<float>(stops.size() - 1);
  const size_t below = std::min(static_cast<size_t>(place), stops.size() - 2);
  const float fraction = place - static_cast<float>(below);
  const Rgb& from = stops[below];
  const Rgb& to = stops[below + 1];
  return {.red = Mix(from.red, to.red, fraction),
          .green = Mix(from.green, to.green, fraction),
          .blue = Mix(from.blue, to.blue, fraction)};
}

std::string HexOf(const Rgb& color) {
  return absl::StrFormat("#%02x%02x%02x", color.red, color.green, color.blue);
}

}  // namespace attnd::client
