#pragma once

#include <memory>
#include <string>

#include "spdlog/logger.h"

namespace attnd {

enum class LogFormat { kText, kJson };

// A logger to standard error, one line an event. Lines are facts about the server, never a caller's
// text, ids or numbers. As JSON, a line is an object of time, level and message.
// `level` is "debug", "info", "warn" or "error".
std::shared_ptr<spdlog::logger> MakeLogger(LogFormat format, const std::string& level);

// `text` as the inside of a JSON string.
std::string EscapeJson(std::string_view text);

}  // namespace attnd
