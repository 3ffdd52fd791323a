#pragma once

#include <string>

// The colours of a heat map: from nearly the background for 0 to the strongest colour for the
// largest value. Along the way lightness falls (light theme) or rises (dark theme) all the time, so
// that the picture also reads in grey.
namespace attnd::client {

constexpr int kLevelMax = 64;  // Levels go from 0 to this.

// The level of `value` where `max` is the largest; 0 for what is not a number above 0.
int LevelOf(float value, float max);

enum class Theme { kLight, kDark };

struct Rgb {
  int red = 0;
  int green = 0;
  int blue = 0;
};

// REQUIRES: 0 <= level <= kLevelMax.
Rgb ColorOf(int level, Theme theme);

// "#1b2a63".
std::string HexOf(const Rgb& color);

}  // namespace attnd::client
