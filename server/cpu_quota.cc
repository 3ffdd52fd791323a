#include "server/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>

namespace attnd {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

int AffinityCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(CPU_COUNT(&set), 1);
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

void Tighten(std::optional<int> cpus, std::string_view source, CpuQuota& quota) {
  if (cpus && *cpus < quota.cpus) quota = {.cpus = *cpus, .source = source};
}

}  // namespace

std::optional<int> ParseCpuMax(std::string_view text) {
  std::istringstream words{std::string(text)};
  long quota = 0, period = 0;
  if (!(words >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return static_cast<int>(std::max(quota / period, 1L));
}

std::optional<std::string_view> FindCgroupV2(std::string_view text) {
  constexpr std::string_view kPrefix = "0::";
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.substr(0, kPrefix.size()) == kPrefix) return line.substr(kPrefix.size());
    at = end + 1;
  }
  return std::nullopt;
}

CpuQuota ReadCpuQuota() {
  CpuQuota quota{.cpus = AffinityCpus()};
  // Each group on the way up may set a quota of its own; inside a container the path is "/".
  const std::string cgroups = ReadAll("/proc/self/cgroup");
  std::string path(FindCgroupV2(cgroups).value_or("/"));
  while (true) {
    Tighten(ParseCpuMax(ReadAll("/sys/fs/cgroup" + path + "/cpu.max")), "cgroup v2", quota);
    if (path.size() <= 1) break;
    path.resize(path.rfind('/'));
  }
  Tighten(ParseCpuMax(ReadAll("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") + " " +
                      ReadAll("/sys/fs/cgroup/cpu/cpu.cfs_period_us")),
          "cgroup v1", quota);
  return quota;
}

}  // namespace attnd
