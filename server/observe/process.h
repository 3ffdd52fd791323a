#pragma once

#include <string>
#include <string_view>

namespace attnd {

// What Linux says about this process. What cannot be read is 0.
struct ProcessUsage {
  double cpu_seconds = 0;  // User and system.
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double threads = 0;
  double start_time_seconds = 0;  // Since the epoch.
  double open_files = 0;
  double open_files_max = 0;
};

ProcessUsage ReadProcessUsage();

// Pure. `stat` is the content of /proc/self/stat; fields are counted behind the command's name,
// which may itself hold blanks and parentheses.
ProcessUsage ParseProcessStat(std::string_view stat, double ticks_per_second, double page_bytes,
                              double boot_time_seconds);

}  // namespace attnd
