#include "client/show/heat_map_svg.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/show/palette.h"
#include "client/show/utf8.h"

namespace attnd::client {
namespace {

// Lengths in pixels.
constexpr double kMargin = 24;
constexpr double kTitleSize = 17;
constexpr double kSubtitleSize = 12.5;
constexpr double kGap = 8;              // Between labels and cells.
constexpr double kGlyphWidth = 0.602;   // Of monospaced letters, of their size.
constexpr double kUprightCellMax = 22;  // Smaller cells have upright column labels, others slanted.
constexpr double kMapSize = 900;        // What cells are made to fill.
constexpr double kLabelPitchMin = 13;   // Labels that are nearer than this overlap.
constexpr double kNumberCellMin = 34;   // Cells that have room for a number.
constexpr double kScaleHeight = 12;
constexpr size_t kTooltipCellsMax = 10'000;

struct Layout {
  double cell = 0;
  double label_size = 0;
  size_t label_step = 1;   // Every so many labels are drawn.
  int label_degrees = 45;  // By which column labels rise.
  double left = 0;         // Where the cells begin.
  double top = 0;
  double cells_width = 0;
  double cells_height = 0;
  double scale_width = 0;
  double scale_top = 0;
  double width = 0;  // Of the whole picture.
  double height = 0;
};

double LabelWidth(const HeatMapLabel& label, double size) {
  return DisplayWidth(Shorten(label.text, kLabelColumnsMax)) * kGlyphWidth * size;
}

std::string ScaleCaption(const HeatMap& map) {
  return absl::StrCat("row: ", map.row_axis, " \u00b7 column: ", map.column_axis);
}

Layout LayOut(const HeatMap& map) {
  Layout layout;
  const size_t longest = std::max({map.rows.size(), map.columns.size(), size_t{1}});
  layout.cell = std::clamp(std::floor(kMapSize / static_cast<double>(longest)), 4.0, 44.0);
  if (longest <= 60) layout.cell = std::max(layout.cell, 16.0);
  layout.label_step = static_cast<size_t>(std::ceil(kLabelPitchMin / layout.cell));
  const double pitch = layout.cell * static_cast<double>(layout.label_step);
  layout.label_size = std::clamp(std::floor(pitch * 0.7), 9.0, 13.0);
  layout.cells_width = layout.cell * static_cast<double>(map.columns.size());
  layout.cells_height = layout.cell * static_cast<double>(map.rows.size());

  if (layout.cell < kUprightCellMax) layout.label_degrees = 90;

  double row_label_width = 0;
  for (const HeatMapLabel& label : map.rows) {
    row_label_width = std::max(row_label_width, LabelWidth(label, layout.label_size));
  }
  double rise = 0;   // Of column labels above the cells.
  double right = 0;  // How far they reach to the right of where the cells begin.
  const double sine = layout.label_degrees == 90 ? 1 : 0.7071;
  const double cosine = layout.label_degrees == 90 ? 0 : 0.7071;
  for (size_t i = 0; i < map.columns.size(); ++i) {
    const double length = LabelWidth(map.columns[i], layout.label_size);
    rise = std::max(rise, length * sine);
    right = std::max(right, layout.cell * (static_cast<double>(i) + 0.5) + length * cosine);
  }
  layout.left = kMargin + row_label_width + kGap;
  layout.top = kMargin + kTitleSize + 8 + kSubtitleSize + 18 + rise + layout.label_size + kGap;
  layout.scale_width = std::clamp(layout.cells_width, 160.0, 280.0);
  layout.scale_top = layout.top + layout.cells_height + 26;
  // Proportional letters are about half as wide as high.
  const auto text_width = [](const std::string& text, double size) {
    return DisplayWidth(text) * 0.56 * size;
  };
  const double inner =
      std::max({layout.left - kMargin + std::max(layout.cells_width, right + 12),
                layout.left - kMargin + layout.scale_width + 20, text_width(map.title, kTitleSize),
                text_width(map.subtitle, kSubtitleSize),
                layout.left - kMargin + text_width(ScaleCaption(map), 11)});
  layout.width = std::ceil(inner + 2 * kMargin);
  layout.height = std::ceil(layout.scale_top + kScaleHeight + 20 + 20 + kMargin);
  return layout;
}

// Colours by class, so that the media query can change them all.
std::string ThemeRules(Theme theme) {
  const bool light = theme == Theme::kLight;
  std::string out = absl::StrCat(".attnd .page{fill:", light ? "#ffffff" : "#14161b",
                                 "}.attnd .title{fill:", light ? "#171c28" : "#f1f3f7",
                                 "}.attnd .label{fill:", light ? "#2b3342" : "#d7dce5",
                                 "}.attnd .muted{fill:", light ? "#6d7687" : "#8f98a8",
                                 "}.attnd .low{fill:", light ? "#1f2735" : "#eef0f4",
                                 "}.attnd .high{fill:", light ? "#ffffff" : "#14161b",
                                 "}.attnd .c:hover{stroke:", light ? "#e8590c" : "#ffffff", "}");
  for (int level = 0; level <= kLevelMax; ++level) {
    absl::StrAppend(&out, ".attnd .v", level, "{fill:", HexOf(ColorOf(level, theme)), "}");
  }
  return out;
}

void AppendStyle(std::string& out) {
  absl::StrAppend(
      &out,
      "<style>.attnd text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"
      "'DejaVu Sans Mono',monospace}.attnd .title,.attnd "
      ".plain{font-family:system-ui,-apple-system,"
      "'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif}.attnd .title{font-weight:600}"
      ".attnd .c:hover{stroke-width:2}\n",
      ThemeRules(Theme::kLight), "\n@media (prefers-color-scheme:dark){", ThemeRules(Theme::kDark),
      "}</style>\n");
}

struct TextStyle {
  std::string classes;
  double size = 12;
  std::string anchor = "start";
};

void AppendText(double x, double y, const TextStyle& style, std::string_view text,
                std::string& out) {
  absl::StrAppendFormat(
      &out,
      "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" font-size=\"%g\" text-anchor=\"%s\">%s</text>\n",
      style.classes, x, y, style.size, style.anchor, EscapeXml(text));
}

std::string ClassOf(const HeatMapLabel& label) {
  return label.emphasis == Emphasis::kMuted ? "muted" : "label";
}

void AppendLabels(const HeatMap& map, const Layout& layout, std::string& out) {
  const double cell = layout.cell;
  const double baseline = layout.label_size * 0.35;  // From the middle of the letters.
  for (size_t i = 0; i < map.rows.size(); i += layout.label_step) {
    AppendText(layout.left - kGap, layout.top + cell * (static_cast<double>(i) + 0.5) + baseline,
               {.classes = ClassOf(map.rows[i]), .size = layout.label_size, .anchor = "end"},
               Shorten(map.rows[i].text, kLabelColumnsMax), out);
  }
  for (size_t i = 0; i < map.columns.size(); i += layout.label_step) {
    const double x = layout.left + cell * (static_cast<double>(i) + 0.5) + baseline;
    absl::StrAppendFormat(&out,
                          "<text class=\"%s\" transform=\"translate(%.1f %.1f) rotate(-%d)\" "
                          "font-size=\"%g\">%s</text>\n",
                          ClassOf(map.columns[i]), x, layout.top - kGap, layout.label_degrees,
                          layout.label_size,
                          EscapeXml(Shorten(map.columns[i].text, kLabelColumnsMax)));
  }
}

void AppendCells(const HeatMap& map, const Layout& layout, std::string& out) {
  const float max = MaxOf(map);
  const bool tooltips = map.values.size() <= kTooltipCellsMax;
  const double gap = layout.cell >= 10 ? 1 : 0;
  const double side = layout.cell - gap;
  const double radius = layout.cell >= 20 ? 2 : 0;
  for (size_t i = 0; i < map.values.size(); ++i) {
    const size_t row = i / map.columns.size();
    const size_t column = i % map.columns.size();
    const double x = layout.left + layout.cell * static_cast<double>(column);
    const double y = layout.top + layout.cell * static_cast<double>(row);
    const int level = LevelOf(map.values[i], max);
    absl::StrAppendFormat(&out,
                          "<rect class=\"c v%d\" x=\"%.1f\" y=\"%.1f\" width=\"%g\" height=\"%g\"",
                          level, x, y, side, side);
    if (radius > 0) absl::StrAppendFormat(&out, " rx=\"%g\"", radius);
    if (tooltips) {
      absl::StrAppend(&out, "><title>", EscapeXml(map.rows[row].text), " \u2192 ",
                      EscapeXml(map.columns[column].text),
                      absl::StrFormat(": %.4f</title></rect>\n", map.values[i]));
    } else {
      out += "/>\n";
    }
    if (layout.cell >= kNumberCellMin && map.values[i] >= 0.005F) {
      // Above this level cells are dark in the light theme, and light in the dark one.
      constexpr int kContrastLevel = 36;
      AppendText(
          x + side / 2, y + side / 2 + 3.8,
          {.classes = level >= kContrastLevel ? "high" : "low", .size = 10.5, .anchor = "middle"},
          absl::StrFormat("%.2f", map.values[i]), out);
    }
  }
}

void AppendScale(const HeatMap& map, const Layout& layout, std::string& out) {
  const float max = MaxOf(map);
  const double step = layout.scale_width / (kLevelMax + 1);
  for (int level = 0; level <= kLevelMax; ++level) {
    // A little wider than the step, so that no gap shows between two.
    absl::StrAppendFormat(&out,
                          "<rect class=\"v%d\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%g\" "
                          "shape-rendering=\"crispEdges\"/>\n",
                          level, layout.left + step * level, layout.scale_top,
                          level < kLevelMax ? step + 0.5 : step, kScaleHeight);
  }
  const double y = layout.scale_top + kScaleHeight + 15;
  const auto tick = [&](double fraction, const std::string& anchor) {
    AppendText(layout.left + layout.scale_width * fraction, y,
               {.classes = "muted", .size = 11, .anchor = anchor},
               fraction == 0 ? "0" : absl::StrFormat("%.3g", max * fraction), out);
  };
  tick(0, "start");
  tick(0.5, "middle");
  tick(1, "end");
  AppendText(layout.left, y + 20, {.classes = "muted plain", .size = 11}, ScaleCaption(map), out);
}

}  // namespace

std::string EscapeXml(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char32_t code_point = Printable(NextCodePoint(text, at));
    switch (code_point) {
      case U'&':
        out += "&amp;";
        break;
      case U'<':
        out += "&lt;";
        break;
      case U'>':
        out += "&gt;";
        break;
      case U'"':
        out += "&quot;";
        break;
      case U'\'':
        out += "&#39;";
        break;
      default:
        AppendUtf8(code_point, out);
    }
  }
  return out;
}

std::string DrawSvg(const HeatMap& map) {
  const Layout layout = LayOut(map);
  const std::string name = EscapeXml(absl::StrCat(map.title, ", ", map.subtitle));
  std::string out = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"attnd\" width=\"%g\" height=\"%g\" "
      "viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s\">\n<title>%s</title>\n",
      layout.width, layout.height, layout.width, layout.height, name, name);
  AppendStyle(out);
  out += "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n";
  AppendText(kMargin, kMargin + kTitleSize, {.classes = "title", .size = kTitleSize}, map.title,
             out);
  AppendText(kMargin, kMargin + kTitleSize + 8 + kSubtitleSize,
             {.classes = "muted plain", .size = kSubtitleSize}, map.subtitle, out);
  AppendLabels(map, layout, out);
  AppendCells(map, layout, out);
  AppendScale(map, layout, out);
  return out + "</svg>\n";
}

}  // namespace attnd::client
