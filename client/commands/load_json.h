#pragma once

#include <string>

#include "client/load/report.h"

namespace attnd::client {

// The report as one line of JSON; times in milliseconds, as their keys say.
std::string FormatReportJson(const LoadReport& report);

}  // namespace attnd::client
