#pragma once

namespace attnd {

// Prints the condition and where it stands, then aborts.
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace attnd

// For what only a bug of ours can cause; kept in release builds, because a wrong answer is worse
// than a restart. Whatever a caller, a file or a peer can cause is an absl::Status instead.
#define CHECK_THAT(condition)                               \
  do {                                                      \
    if (!(condition)) [[unlikely]] {                        \
      ::attnd::CheckFailed(#condition, __FILE__, __LINE__); \
    }                                                       \
  } while (false)
