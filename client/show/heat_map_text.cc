#include "client/show/heat_map_text.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/show/utf8.h"

namespace attnd::client {
namespace {

constexpr const char* kShades[] = {" ", "\u2591", "\u2592", "\u2593", "\u2588"};
constexpr int kShadeMax = 4;
constexpr size_t kWideColumnsMax = 40;

int ShadeOf(float value, float max) {
  if (!(value > 0) || !(max > 0)) return 0;
  return static_cast<int>(std::lround(std::min(value / max, 1.0F) * kShadeMax));
}

std::string PadRight(const std::string& text, int columns) {
  return text + std::string(std::max(columns - DisplayWidth(text), 0), ' ');
}

// The numbers of the columns, a line for each decimal place; only the last is there for all.
std::string ColumnNumbers(size_t count, int cell_columns, int left_columns) {
  std::string out;
  for (size_t unit = count > 100 ? 100 : count > 10 ? 10 : 1; unit > 0; unit /= 10) {
    std::string line(left_columns, ' ');
    for (size_t column = 0; column < count; ++column) {
      const bool shown = unit == 1 || (column % unit == 0 && column > 0);
      const std::string digit = shown ? absl::StrCat(column / unit % 10) : " ";
      line += std::string(cell_columns - 1, ' ') + digit;
    }
    line.resize(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

std::string ShadeLegend(float max) {
  std::string out = "shades";
  for (int shade = 1; shade <= kShadeMax; ++shade) {
    const float value = max * static_cast<float>(shade) / kShadeMax;
    absl::StrAppend(&out, "  ", kShades[shade], absl::StrFormat(" %.3f", value));
  }
  return out + "\n";
}

}  // namespace

std::string DrawText(const HeatMap& map) {
  const size_t column_count = map.columns.size();
  const float max = MaxOf(map);
  const int cell_columns = column_count <= kWideColumnsMax ? 2 : 1;
  int label_columns = 0;
  for (const HeatMapLabel& label : map.rows) {
    label_columns = std::max(label_columns, DisplayWidth(Shorten(label.text, kLabelColumnsMax)));
  }
  std::string out = absl::StrCat(OneLine(map.title), "\n", OneLine(map.subtitle), "\n");
  absl::StrAppend(&out, "rows: ", map.row_axis, ", columns: ", map.column_axis, "\n");
  out += ColumnNumbers(column_count, cell_columns, label_columns + 5);
  for (size_t row = 0; row < map.rows.size(); ++row) {
    const auto values = std::span(map.values).subspan(row * column_count, column_count);
    absl::StrAppendFormat(&out, "%3d ", row);
    absl::StrAppend(&out, PadRight(Shorten(map.rows[row].text, kLabelColumnsMax), label_columns),
                    " ");
    for (const float value : values) {
      for (int i = 0; i < cell_columns; ++i) out += kShades[ShadeOf(value, max)];
    }
    if (!values.empty()) {
      const size_t best = std::max_element(values.begin(), values.end()) - values.begin();
      absl::StrAppend(&out, absl::StrFormat("  %.3f \u2192 %d ", values[best], best),
                      Shorten(map.columns[best].text, kLabelColumnsMax));
    }
    out += "\n";
  }
  return out + ShadeLegend(max);
}

}  // namespace attnd::client
