#pragma once

#include <optional>
#include <string_view>

namespace attnd {

// How many CPUs this process may use, and which limit said so.
struct CpuQuota {
  int cpus = 1;
  std::string_view source = "affinity";  // Or "cgroup v2", "cgroup v1".
};

// The least of the CPU set and the cgroup's quota, at least 1: not the host's count, which a
// container with a quota would be throttled for.
CpuQuota ReadCpuQuota();

// Pure. Whole CPUs of "QUOTA PERIOD" (cgroup v2's cpu.max), at least 1; nullopt for "max PERIOD" or
// anything else.
std::optional<int> ParseCpuMax(std::string_view text);

// Pure. The cgroup v2 path of this process ("/a/b") in the content of /proc/self/cgroup.
std::optional<std::string_view> FindCgroupV2(std::string_view text);

}  // namespace attnd
