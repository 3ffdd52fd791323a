#include "server/observe/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"

namespace attnd {
namespace {

std::string ReadAll(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

double BootTimeSeconds() {
  std::ifstream file("/proc/stat");
  std::string word;
  double seconds = 0;
  while (file >> word) {
    if (word == "btime" && file >> seconds) return seconds;
  }
  return 0;
}

double CountOpenFiles() {
  std::error_code error;
  const std::filesystem::directory_iterator files("/proc/self/fd", error);
  if (error) return 0;
  // One of them is the directory that is being read.
  return static_cast<double>(std::distance(begin(files), end(files)) - 1);
}

}  // namespace

ProcessUsage ParseProcessStat(std::string_view stat, double ticks_per_second, double page_bytes,
                              double boot_time_seconds) {
  ProcessUsage usage;
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return usage;
  std::istringstream rest{std::string(stat.substr(name_end + 1))};
  const std::vector<std::string> words(std::istream_iterator<std::string>(rest), {});
  // proc(5) counts from 1 and the first word here is its field 3.
  const auto field = [&](size_t number) {
    double value = 0;
    return number - 3 < words.size() && absl::SimpleAtod(words[number - 3], &value) ? value : 0.0;
  };
  usage.cpu_seconds = (field(14) + field(15)) / ticks_per_second;
  usage.threads = field(20);
  usage.start_time_seconds = boot_time_seconds + field(22) / ticks_per_second;
  usage.virtual_bytes = field(23);
  usage.resident_bytes = field(24) * page_bytes;
  return usage;
}

ProcessUsage ReadProcessUsage() {
  ProcessUsage usage =
      ParseProcessStat(ReadAll("/proc/self/stat"), static_cast<double>(sysconf(_SC_CLK_TCK)),
                       static_cast<double>(sysconf(_SC_PAGESIZE)), BootTimeSeconds());
  usage.open_files = CountOpenFiles();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    usage.open_files_max = static_cast<double>(limit.rlim_cur);
  }
  return usage;
}

}  // namespace attnd
