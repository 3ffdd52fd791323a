// Goal: what is drawn is well-formed whatever the labels hold, says what the numbers say, and lines
// up. Method: small maps and tables with known cells; a reader of tags that any unbalanced or
// unescaped one fails; every level of both themes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "client/show/heat_map_svg.h"
#include "client/show/heat_map_text.h"
#include "client/show/palette.h"
#include "client/show/score_text.h"
#include "client/show/text_table.h"
#include "client/show/utf8.h"

namespace attnd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Utf8, ReadsWhatItWritesAndReplacesTheRest) {
  for (const char32_t code_point : {U'a', U'\u00e9', U'\u4e2d', U'\U0001F600', U'\U0010FFFF'}) {
    std::string text;
    AppendUtf8(code_point, text);
    size_t at = 0;
    EXPECT_EQ(NextCodePoint(text, at), code_point);
    EXPECT_EQ(at, text.size());
  }
  // Overlong, a surrogate, beyond Unicode, a lone continuation, one cut short.
  for (const char* bad : {"\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80", "\xe4\xb8"}) {
    size_t at = 0;
    EXPECT_EQ(NextCodePoint(bad, at), U'\uFFFD') << bad;
    EXPECT_EQ(at, 1U);
  }
}

TEST(Utf8, ALineHasNothingThatMovesATerminal) {
  EXPECT_EQ(OneLine("a\n\x1b[2Jb\u202e\xff"), "a  [2Jb \uFFFD");
}

TEST(Utf8, WidthCountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("cafe\u0301"), 4);
  EXPECT_EQ(DisplayWidth("\u4e2d\u6587"), 4);
  EXPECT_EQ(Shorten("caf\u00e9", 4), "caf\u00e9");
  EXPECT_EQ(Shorten("caf\u00e9s", 4), "caf\u2026");
  EXPECT_EQ(Shorten("\u4e2d\u6587\u5b57", 5), "\u4e2d\u6587\u2026");
}

TEST(TextTable, ColumnsLineUpAndUnusedOnesVanish) {
  TextTable table({Align::kLeft, Align::kRight, Align::kLeft, Align::kLeft});
  table.AddRow({"caf\u00e9", "7", "", "x"});
  table.AddRow({"a", "100", "", "y\nz"});
  std::ostringstream out;
  table.Print(1, out);
  EXPECT_EQ(out.str(), " caf\u00e9    7  x\n a     100  y z\n");
}

TEST(ScoreText, ProbabilitiesArePercentagesAndLogitsAreNot) {
  EXPECT_EQ(StyleOf(std::vector<float>{0, 0.5F, 1}), ScoreStyle::kPercent);
  EXPECT_EQ(StyleOf(std::vector<float>{0.5F, 1.5F}), ScoreStyle::kNumber);
  EXPECT_EQ(StyleOf(std::vector<float>{std::nanf("")}), ScoreStyle::kNumber);
  EXPECT_EQ(FormatScore(0.9998F, ScoreStyle::kPercent), "99.98 %");
  EXPECT_EQ(FormatScore(-3.5F, ScoreStyle::kNumber), "-3.5000");
  EXPECT_EQ(ScoreBar(1, ScoreStyle::kPercent).size(), 20 * 3U);
  EXPECT_EQ(ScoreBar(0.05F, ScoreStyle::kPercent), "\u2588");
  EXPECT_EQ(ScoreBar(0.025F, ScoreStyle::kPercent), "\u258c");  // Half a column.
  EXPECT_EQ(ScoreBar(0, ScoreStyle::kPercent), "");
}

TEST(Palette, LevelsFollowTheValues) {
  EXPECT_EQ(LevelOf(0, 2), 0);
  EXPECT_EQ(LevelOf(1, 2), kLevelMax / 2);
  EXPECT_EQ(LevelOf(2, 2), kLevelMax);
  EXPECT_EQ(LevelOf(3, 2), kLevelMax);
  EXPECT_EQ(LevelOf(-1, 2), 0);
  EXPECT_EQ(LevelOf(std::nanf(""), 2), 0);
  EXPECT_EQ(LevelOf(1, 0), 0);
}

// Relative luminance (WCAG 2.1).
double Luminance(const Rgb& color) {
  const auto linear = [](int channel) {
    const double value = channel / 255.0;
    return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue);
}

TEST(Palette, LightnessIsMonotoneInBothThemes) {
  for (int level = 1; level <= kLevelMax; ++level) {
    EXPECT_LT(Luminance(ColorOf(level, Theme::kLight)),
              Luminance(ColorOf(level - 1, Theme::kLight)))
        << level;
    EXPECT_GT(Luminance(ColorOf(level, Theme::kDark)), Luminance(ColorOf(level - 1, Theme::kDark)))
        << level;
  }
  EXPECT_EQ(HexOf({.red = 0, .green = 10, .blue = 255}), "#000aff");
}

HeatMap SmallMap() {
  return {.title = "a model",
          .subtitle = "layer 1 of 6, head 0",
          .row_axis = "from",
          .column_axis = "to",
          .rows = {{.text = "[CLS]", .emphasis = Emphasis::kMuted}, {.text = "<b>&\"'\x01\xff"}},
          .columns = {{.text = "[CLS]", .emphasis = Emphasis::kMuted}, {.text = "<b>&\"'\x01\xff"}},
          .values = {0.8F, 0.2F, 0, 0.4F}};
}

HeatMap MapOf(size_t size) {
  HeatMap map = SmallMap();
  map.rows.assign(size, {.text = "token"});
  map.columns = map.rows;
  map.values.assign(size * size, 0.5F);
  return map;
}

int CountOf(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// The first thing that keeps `text` from being well-formed, as far as our documents go: elements
// that nest, attributes in quotes, no bare & or <, no control characters. Empty if there is none.
std::string XmlFault(const std::string& text) {
  std::vector<std::string> open;
  for (size_t at = 0; at < text.size(); ++at) {
    if (static_cast<unsigned char>(text[at]) < 0x20 && text[at] != '\n') return "a control";
    if (text[at] == '&') {
      const std::string entity = text.substr(at, text.find(';', at) - at + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;" &&
          entity != "&#39;") {
        return "a bare & at " + text.substr(at, 20);
      }
    }
    if (text[at] != '<') continue;
    const size_t end = text.find('>', at);
    if (end == std::string::npos) return "a tag without an end";
    const std::string tag = text.substr(at + 1, end - at - 1);
    if (CountOf(tag, "\"") % 2 != 0 || CountOf(tag, "<") > 0) return "a bad tag: " + tag;
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return "an end out of order: " + tag;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end;
  }
  return open.empty() ? "" : "an element without an end: " + open.back();
}

TEST(HeatMapSvg, IsWellFormedWhateverTheLabelsHold) {
  EXPECT_EQ(XmlFault(DrawSvg(SmallMap())), "");
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  HeatMap map = SmallMap();
  map.title = map.subtitle = map.row_axis = map.rows[0].text = map.columns[1].text = every_byte;
  EXPECT_EQ(XmlFault(DrawSvg(map)), "");
  EXPECT_NE(XmlFault("<a><b></a></b>"), "");
  EXPECT_NE(XmlFault("<a>R&D</a>"), "");
}

TEST(HeatMapSvg, EscapesEveryCharacterThatXmlReserves) {
  EXPECT_EQ(EscapeXml("<b>&\"'"), "&lt;b&gt;&amp;&quot;&#39;");
  EXPECT_EQ(EscapeXml("a\x01\xff\uFFFE"), "a \uFFFD ");
  EXPECT_THAT(DrawSvg(SmallMap()), Not(HasSubstr("<b>")));
}

TEST(HeatMapSvg, HasACellALabelAndATooltipForEverything) {
  const std::string svg = DrawSvg(SmallMap());
  EXPECT_THAT(svg, StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_EQ(CountOf(svg, "<rect class=\"c v"), 4);
  EXPECT_EQ(CountOf(svg, "rotate("), 2);
  EXPECT_THAT(svg, HasSubstr(">a model</text>"));
  EXPECT_THAT(svg, HasSubstr(">layer 1 of 6, head 0</text>"));
  EXPECT_THAT(svg, HasSubstr("<title>[CLS] \u2192 [CLS]: 0.8000</title>"));
  EXPECT_THAT(svg,
              HasSubstr("<title>&lt;b&gt;&amp;&quot;&#39; \uFFFD \u2192 [CLS]: 0.0000</title>"));
  EXPECT_THAT(svg, HasSubstr("row: from \u00b7 column: to"));
  // The scale: all levels from 0 to the largest value.
  EXPECT_EQ(CountOf(svg, "crispEdges"), kLevelMax + 1);
  EXPECT_THAT(svg, HasSubstr(">0</text>"));
  EXPECT_THAT(svg, HasSubstr(">0.8</text>"));
}

TEST(HeatMapSvg, ALargerValueHasAHigherLevel) {
  const std::string svg = DrawSvg(SmallMap());
  std::vector<int> levels;
  const std::string cell = "<rect class=\"c v";
  for (size_t at = svg.find(cell); at != std::string::npos; at = svg.find(cell, at + 1)) {
    levels.push_back(std::stoi(svg.substr(at + cell.size())));
  }
  EXPECT_THAT(levels, ElementsAre(kLevelMax, kLevelMax / 4, 0, kLevelMax / 2));
}

TEST(HeatMapSvg, BothThemesColourEveryLevel) {
  const std::string svg = DrawSvg(SmallMap());
  const size_t dark = svg.find("@media (prefers-color-scheme:dark)");
  ASSERT_NE(dark, std::string::npos);
  for (int level = 0; level <= kLevelMax; ++level) {
    for (const Theme theme : {Theme::kLight, Theme::kDark}) {
      const std::string rule =
          ".v" + std::to_string(level) + "{fill:" + HexOf(ColorOf(level, theme)) + "}";
      const size_t at = theme == Theme::kLight ? svg.find(rule) : svg.find(rule, dark);
      EXPECT_NE(at, std::string::npos) << rule;
      EXPECT_EQ(at < dark, theme == Theme::kLight) << rule;
    }
  }
}

TEST(HeatMapSvg, FiveToSixtyTokensHaveEveryLabelAndManyHaveSome) {
  for (const size_t size : {5U, 16U, 30U, 60U}) {
    EXPECT_EQ(CountOf(DrawSvg(MapOf(size)), "rotate("), static_cast<int>(size)) << size;
  }
  const int some = CountOf(DrawSvg(MapOf(200)), "rotate(");
  EXPECT_GT(some, 20);
  EXPECT_LT(some, 200);
}

TEST(HeatMapSvg, NumbersThatAreNoneAndEmptyMapsAreDrawn) {
  HeatMap map = SmallMap();
  map.values = {std::numeric_limits<float>::quiet_NaN(), -1,
                -std::numeric_limits<float>::infinity(), 0};
  EXPECT_EQ(CountOf(DrawSvg(map), "<rect class=\"c v0\""), 4);
  EXPECT_EQ(XmlFault(DrawSvg({})), "");
}

TEST(HeatMapText, ShadesRowsAndNamesTheLargestOfEach) {
  HeatMap map = SmallMap();
  map.rows[1].text = map.columns[1].text = "caf\u00e9";
  EXPECT_EQ(DrawText(map),
            "a model\nlayer 1 of 6, head 0\nrows: from, columns: to\n"
            "           0 1\n"
            "  0 [CLS] \u2588\u2588\u2591\u2591  0.800 \u2192 0 [CLS]\n"
            "  1 caf\u00e9    \u2592\u2592  0.400 \u2192 1 caf\u00e9\n"
            "shades  \u2591 0.200  \u2592 0.400  \u2593 0.600  \u2588 0.800\n");
}

TEST(HeatMapText, ManyColumnsAreNarrow) {
  const auto row_width = [](size_t size) {
    std::istringstream lines(DrawText(MapOf(size)));
    std::string line;
    while (std::getline(lines, line)) {
      if (line.find("\u2588") != std::string::npos) break;
    }
    return CountOf(line, "\u2588");
  };
  EXPECT_EQ(row_width(40), 80);
  EXPECT_EQ(row_width(41), 41);
}

}  // namespace
}  // namespace attnd::client
