#pragma once

#include <string>

#include "client/show/heat_map.h"

namespace attnd::client {

// The map in characters, for a terminal: a line for each row with its number, its label, a shade
// for each value, and the column with the largest. Columns are numbered as rows are. Up to 40
// columns are two characters wide, more are one.
std::string DrawText(const HeatMap& map);

}  // namespace attnd::client
