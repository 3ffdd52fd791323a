#include "core/base/memory_limit.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>

namespace attnd {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// A file that holds one number; "max" and whatever else is no number is no limit.
uint64_t LimitIn(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  uint64_t bytes = kNoLimit;
  if (file >> text) std::from_chars(text.data(), text.data() + text.size(), bytes);
  return bytes;
}

// Each group from `group` up to the root may have a limit; the least counts.
uint64_t LeastLimit(const std::string& mount, std::string group, const std::string& file) {
  uint64_t limit = LimitIn(mount + "/" + file);
  while (group.size() > 1) {
    limit = std::min(limit, LimitIn(mount + group + "/" + file));
    group.resize(group.rfind('/'));
  }
  return limit;
}

}  // namespace

uint64_t MemoryLimitBytes(const std::string& root) {
  uint64_t limit =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  // Lines like "0::/group" (version 2) and "4:memory:/group" (version 1).
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t controllers = line.find(':');
    const size_t group = line.find(':', controllers + 1);
    if (controllers == std::string::npos || group == std::string::npos) continue;
    if (line[group + 1] != '/') continue;
    const std::string kind = line.substr(controllers + 1, group - controllers - 1);
    const std::string path = line.substr(group + 1);
    if (kind.empty())
      limit = std::min(limit, LeastLimit(root + "/sys/fs/cgroup", path, "memory.max"));
    if (kind == "memory") {
      limit = std::min(limit,
                       LeastLimit(root + "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
    }
  }
  return limit;
}

}  // namespace attnd
