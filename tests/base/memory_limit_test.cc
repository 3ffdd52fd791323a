// Goal: the memory limit of a container is seen. Method: small trees that look like /proc and /sys,
// for both versions of control groups.
#include "core/base/memory_limit.h"

#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace attnd {
namespace {

using testing::TempDir;

TEST(MemoryLimitTest, WithoutGroupsItIsTheMachinesMemory) {
  TempDir root;
  const uint64_t machine = MemoryLimitBytes(root.path());
  EXPECT_GT(machine, uint64_t{64} << 20);
  root.Write("proc/self/cgroup", "0::/\n");
  root.Write("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(MemoryLimitBytes(root.path()), machine);
  EXPECT_LE(MemoryLimitBytes(), machine);
}

TEST(MemoryLimitTest, TheLeastLimitAboveAGroupOfVersion2Counts) {
  TempDir root;
  root.Write("proc/self/cgroup", "0::/pod/container\n");
  root.Write("sys/fs/cgroup/pod/memory.max", "1000000\n");
  root.Write("sys/fs/cgroup/pod/container/memory.max", "max\n");
  EXPECT_EQ(MemoryLimitBytes(root.path()), 1'000'000u);
  root.Write("sys/fs/cgroup/pod/container/memory.max", "500000\n");
  EXPECT_EQ(MemoryLimitBytes(root.path()), 500'000u);
}

TEST(MemoryLimitTest, TheContainersOwnViewOfVersion2Counts) {
  TempDir root;
  root.Write("proc/self/cgroup", "0::/\n");
  root.Write("sys/fs/cgroup/memory.max", "700000\n");
  EXPECT_EQ(MemoryLimitBytes(root.path()), 700'000u);
}

TEST(MemoryLimitTest, AGroupOfVersion1Counts) {
  TempDir root;
  root.Write("proc/self/cgroup", "5:devices:/x\n4:memory:/docker/abc\n0::/\n");
  root.Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  root.Write("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "300000\n");
  EXPECT_EQ(MemoryLimitBytes(root.path()), 300'000u);
}

TEST(MemoryLimitTest, ATreeThatMakesNoSenseDoesNotLimit) {
  TempDir root;
  const uint64_t machine = MemoryLimitBytes(root.path());
  root.Write("proc/self/cgroup", "\n:\nx\n::\n0:memory\n4:memory:\n");
  root.Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "none\n");
  EXPECT_EQ(MemoryLimitBytes(root.path()), machine);
}

}  // namespace
}  // namespace attnd
