#include "server/represent/windows.h"

#include <algorithm>

#include "core/base/check.h"

namespace attnd {
namespace {

int32_t RunLength(const WindowCut& cut) { return cut.tokens - cut.prefix - cut.suffix; }

void AppendSlice(const std::vector<int32_t>& from, int32_t begin, int32_t end,
                 std::vector<int32_t>& to) {
  to.insert(to.end(), from.begin() + begin, from.begin() + end);
}

size_t RowsOf(const EncodeTask& task) { return task.ids.size(); }

// Merges matrices of [layers, rows, width], one a window, to [layers, order.size(), width].
std::vector<float> MergeRows(std::span<const RowSource> order, std::span<const EncodeTask> parts,
                             std::vector<float> EncodeTask::*member, size_t layers) {
  const size_t first_size = (parts[0].*member).size();
  if (first_size == 0) return {};
  const size_t width = first_size / layers / RowsOf(parts[0]);
  std::vector<float> merged;
  merged.reserve(layers * order.size() * width);
  for (size_t layer = 0; layer < layers; ++layer) {
    for (const RowSource& source : order) {
      const EncodeTask& part = parts[source.window];
      const auto row = (part.*member).begin() +
                       static_cast<int64_t>((layer * RowsOf(part) + source.row) * width);
      merged.insert(merged.end(), row, row + static_cast<int64_t>(width));
    }
  }
  return merged;
}

}  // namespace

int64_t CountWindows(const WindowCut& cut) {
  CHECK_THAT(cut.room >= 1 && cut.stride >= 1 && cut.stride <= cut.room);
  const int64_t beyond = std::max(RunLength(cut) - cut.room, 0);
  return 1 + (beyond + cut.stride - 1) / cut.stride;
}

int64_t CountWindowTokens(const WindowCut& cut) {
  const int64_t before_last = CountWindows(cut) - 1;
  const int64_t others = cut.prefix + cut.suffix;
  return before_last * (others + cut.room) + cut.tokens - before_last * cut.stride;
}

std::vector<TokenWindow> CutWindows(const WindowCut& cut) {
  std::vector<TokenWindow> windows;
  const auto count = static_cast<int32_t>(CountWindows(cut));
  const int32_t text_end = cut.prefix + RunLength(cut);
  for (int32_t i = 0; i < count; ++i) {
    const int32_t begin = cut.prefix + i * cut.stride;
    windows.push_back({.begin = begin, .end = begin + std::min(cut.room, text_end - begin)});
  }
  return windows;
}

EncodeTask WindowTask(const Tokenized& tokens, const WindowCut& cut, const TokenWindow& window) {
  EncodeTask task;
  const auto slice = [&](const std::vector<int32_t>& from, std::vector<int32_t>& to) {
    AppendSlice(from, 0, cut.prefix, to);
    AppendSlice(from, window.begin, window.end, to);
    AppendSlice(from, cut.tokens - cut.suffix, cut.tokens, to);
  };
  slice(tokens.ids, task.ids);
  if (!tokens.types.empty()) slice(tokens.types, task.types);
  return task;
}

std::vector<RowSource> MergeOrder(const WindowCut& cut, std::span<const TokenWindow> windows) {
  std::vector<RowSource> order(static_cast<size_t>(cut.tokens));
  std::vector<int32_t> distances(order.size(), -1);  // From an edge, of the best window so far.
  for (int32_t w = 0; w < static_cast<int32_t>(windows.size()); ++w) {
    const TokenWindow& window = windows[w];
    for (int32_t token = window.begin; token < window.end; ++token) {
      const int32_t distance = std::min(token - window.begin, window.end - 1 - token);
      if (distance <= distances[token]) continue;
      distances[token] = distance;
      order[token] = {.window = w, .row = cut.prefix + token - window.begin};
    }
  }
  for (int32_t token = 0; token < cut.prefix; ++token) order[token] = {.window = 0, .row = token};
  const TokenWindow& last = windows.back();
  for (int32_t i = 0; i < cut.suffix; ++i) {
    order[cut.tokens - cut.suffix + i] = {.window = static_cast<int32_t>(windows.size()) - 1,
                                          .row = cut.prefix + last.end - last.begin + i};
  }
  return order;
}

EncodeTask MergeWindows(std::span<const RowSource> order, std::span<const EncodeTask> parts) {
  EncodeTask merged = parts[0];
  merged.rows_out = MergeRows(order, parts, &EncodeTask::rows_out, 1);
  merged.hidden_out =
      MergeRows(order, parts, &EncodeTask::hidden_out, parts[0].hidden_layers.size());
  merged.projection_out = MergeRows(order, parts, &EncodeTask::projection_out, 1);
  for (const EncodeTask& part : parts) {
    for (size_t i = 0; i < part.sparse_out.size(); ++i) {
      merged.sparse_out[i] = std::max(merged.sparse_out[i], part.sparse_out[i]);
    }
  }
  return merged;
}

}  // namespace attnd
