#pragma once

#include <string>
#include <vector>

namespace attnd::client {

enum class Emphasis { kNormal, kMuted };

struct HeatMapLabel {
  std::string text;  // Any bytes: they are escaped and shortened where they are drawn.
  Emphasis emphasis = Emphasis::kNormal;
};

// Longer labels are shortened.
inline constexpr int kLabelColumnsMax = 16;

// A table of numbers to be drawn (heat_map_svg.h, heat_map_text.h): what each token takes from each
// other.
struct HeatMap {
  std::string title;
  std::string subtitle;
  std::string row_axis;     // What a row is, in a few words.
  std::string column_axis;  // What a column is.
  std::vector<HeatMapLabel> rows;
  std::vector<HeatMapLabel> columns;
  // [rows, columns], at least 0. What is no number above 0 is drawn as 0.
  std::vector<float> values;
};

// The largest value; 0 where there is none above.
float MaxOf(const HeatMap& map);

}  // namespace attnd::client
