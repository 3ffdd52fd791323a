// Goal: what a Frame took is given back, aligned and within the block. Method: nested frames on a
// small workspace.
#include "core/tensor/workspace.h"

#include <cmath>
#include <cstdint>

#include "gtest/gtest.h"

namespace attnd {
namespace {

TEST(WorkspaceTest, FramesNestAndGiveBackInReverse) {
  Workspace workspace(1024);
  Workspace::Frame outer(workspace);
  void* first = outer.TakeBytes(10);
  void* second = nullptr;
  {
    Workspace::Frame inner(workspace);
    second = inner.TakeBytes(10);
    EXPECT_NE(second, first);
  }
  EXPECT_EQ(outer.TakeBytes(10), second);
  EXPECT_EQ(workspace.peak(), 128u);
}

TEST(WorkspaceTest, EverythingTakenIsAligned) {
  Workspace workspace(4096);
  Workspace::Frame frame(workspace);
  for (const size_t bytes : {1, 63, 64, 65}) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(frame.TakeBytes(bytes)) % 64, 0u);
  }
}

TEST(WorkspaceTest, PoisonIsNan) {
  Workspace workspace(256);
  workspace.Poison();
  Workspace::Frame frame(workspace);
  EXPECT_TRUE(std::isnan(frame.TakeMatrix(2, 3).row(1)[2]));
}

TEST(WorkspaceDeathTest, RunningOutIsOurBug) {
  Workspace workspace(128);
  Workspace::Frame frame(workspace);
  frame.TakeBytes(64);
  EXPECT_DEATH(frame.TakeBytes(65), "check failed");
  EXPECT_DEATH(frame.TakeBytes(SIZE_MAX), "check failed");
}

}  // namespace
}  // namespace attnd
