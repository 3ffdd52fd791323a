// Goal: tasks have equal content keys only if they ask for the same. Method: each member of a task
// changed alone.
#include "core/model/task.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace attnd {
namespace {

EncodeTask Base() {
  EncodeTask task;
  task.ids = {1, 2, 3};
  task.hidden_layers = {1};
  task.attention_layers = {1};
  task.attention_heads = {0};
  task.logit_rows = {1};
  return task;
}

TEST(TaskTest, EveryInputAndOptionChangesTheKey) {
  const std::vector<std::function<void(EncodeTask&)>> changes = {
      [](EncodeTask& task) {
        task.ids = {1, 2};
      },
      [](EncodeTask& task) {
        task.ids = {1, 3, 2};
      },
      [](EncodeTask& task) {
        task.types = {0, 0, 1};
      },
      [](EncodeTask& task) { task.embeddings = {1}; },
      [](EncodeTask& task) { task.return_rows = true; },
      [](EncodeTask& task) { task.pooling = Pooling::kCls; },
      [](EncodeTask& task) { task.pooling = Pooling::kMean; },
      [](EncodeTask& task) { task.normalize = true; },
      [](EncodeTask& task) { task.hidden_layers = {2}; },
      [](EncodeTask& task) { task.attention_layers = {2}; },
      [](EncodeTask& task) { task.attention_heads = {1}; },
      [](EncodeTask& task) { task.return_attention_weights = true; },
      [](EncodeTask& task) { task.return_attention_scores = true; },
      [](EncodeTask& task) { task.return_logits = true; },
      [](EncodeTask& task) { task.logit_rows = {2}; },
      [](EncodeTask& task) { task.return_sparse = true; },
      [](EncodeTask& task) { task.return_projection = true; },
  };
  std::set<std::string> keys = {ContentKey(Base())};
  for (size_t i = 0; i < changes.size(); ++i) {
    EncodeTask task = Base();
    changes[i](task);
    EXPECT_TRUE(keys.insert(ContentKey(task)).second) << "change " << i;
  }
}

TEST(TaskTest, WhatIsNextToEachOtherDoesNotRunTogether) {
  EncodeTask ids = Base(), types = Base();
  ids.ids = {1, 2, 3, 4};
  types.types = {4};
  EXPECT_NE(ContentKey(ids), ContentKey(types));
}

TEST(TaskTest, OutputsDoNotChangeTheKey) {
  EncodeTask task = Base();
  for (const auto member : kEncodeOutputs) task.*member = {1, 2};
  EXPECT_EQ(ContentKey(task), ContentKey(Base()));
}

}  // namespace
}  // namespace attnd
