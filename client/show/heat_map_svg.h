#pragma once

#include <string>
#include <string_view>

#include "client/show/heat_map.h"

namespace attnd::client {

// The map as an SVG document that needs nothing else: title and subtitle, a coloured cell for each
// value with the number as its tooltip (and printed in it where there is room), labels at both
// sides, and a scale from 0 to the largest value. It is light or dark as its viewer prefers
// (prefers-color-scheme). Cells shrink with their number, from 44 to 4 pixels; labels are shortened
// to 16 columns, and only every so many are drawn where they would overlap.
//
// Well-formed XML whatever bytes the labels hold. About 150 bytes a cell up to 10,000 cells, then
// without tooltips about 70.
std::string DrawSvg(const HeatMap& map);

// `text` as XML character data: & < > " ' escaped, bytes that are not UTF-8 replaced, controls
// blanked.
std::string EscapeXml(std::string_view text);

}  // namespace attnd::client
