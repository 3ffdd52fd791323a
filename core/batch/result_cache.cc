#include "core/batch/result_cache.h"

#include <utility>

namespace attnd {
namespace {

constexpr int64_t kLargestPart = 8;
// Of the list's and the map's nodes, the key's two copies and the vectors themselves, with what the
// allocator adds.
constexpr int64_t kEntryOverheadBytes = 640;

int64_t BytesOf(const EncodeTask& task) {
  size_t floats = 0;
  for (const auto member : kEncodeOutputs) floats += (task.*member).size();
  return static_cast<int64_t>(floats * sizeof(float));
}

}  // namespace

bool ResultCache::Find(const std::string& key, EncodeTask& task) {
  std::shared_ptr<const Outputs> outputs;
  {
    MutexLock lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return false;
    entries_.splice(entries_.begin(), entries_, found->second);
    outputs = found->second->outputs;
  }
  for (size_t i = 0; i < kEncodeOutputs.size(); ++i) task.*kEncodeOutputs[i] = (*outputs)[i];
  return true;
}

void ResultCache::Insert(const std::string& key, const EncodeTask& task) {
  const int64_t bytes = BytesOf(task) + kEntryOverheadBytes;
  if (bytes > bytes_max_ / kLargestPart) return;
  auto outputs = std::make_shared<Outputs>();
  for (const auto member : kEncodeOutputs) outputs->push_back(task.*member);
  MutexLock lock(mutex_);
  if (by_key_.find(key) != by_key_.end()) return;
  entries_.push_front({.key = key, .outputs = std::move(outputs), .bytes = bytes});
  by_key_[key] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > bytes_max_) EvictLast();
}

void ResultCache::EvictLast() {
  bytes_ -= entries_.back().bytes;
  by_key_.erase(entries_.back().key);
  entries_.pop_back();
  ++evictions_;
}

ResultCache::Usage ResultCache::usage() const {
  MutexLock lock(mutex_);
  return {
      .entries = static_cast<int64_t>(entries_.size()), .bytes = bytes_, .evictions = evictions_};
}

}  // namespace attnd
