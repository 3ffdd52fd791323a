#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/file_descriptor.h"

namespace attnd {

// An open regular file of a model directory. Movable; closes on destruction.
class ModelFile {
 public:
  ModelFile(FileDescriptor fd, uint64_t size, std::string name)
      : fd_(std::move(fd)), size_(size), name_(std::move(name)) {}

  uint64_t size() const { return size_; }
  // The name inside the directory, for messages.
  const std::string& name() const { return name_; }

  // Reads exactly `bytes` bytes at `offset` into `out`. kDataLoss if the file ends before (it was
  // cut since it was opened). May be called from several threads.
  absl::Status ReadAt(uint64_t offset, uint64_t bytes, void* out) const;

 private:
  FileDescriptor fd_;
  uint64_t size_ = 0;
  std::string name_;
};

// A model directory: untrusted content at a trusted place. It is resolved once; every file is
// opened below it, is a regular file, and is no larger than the caller's limit. Links may point
// within the directory or, where the directory is a snapshot of a Hugging Face cache
// (.../snapshots/REVISION), at a file of that repository's `blobs/`; any other is refused. Names
// are walked one component at a time from an open directory, so that nothing that is renamed or
// linked meanwhile leads outside.
class ModelDir {
 public:
  static absl::StatusOr<ModelDir> Open(const std::string& path);

  // Absolute, without links.
  const std::string& path() const { return path_; }

  // `name` is relative, without `..`: "config.json", "1_Pooling/config.json".
  // kNotFound if there is none; kInvalidArgument if it is no regular file, leaves the directory, or
  // is too large. Every message names the file.
  absl::StatusOr<ModelFile> OpenFile(std::string_view name, uint64_t bytes_max) const;
  absl::StatusOr<std::string> ReadFile(std::string_view name, uint64_t bytes_max) const;
  // False only if nothing has that name; a dangling link or a directory counts as there (and then
  // fails to open).
  bool Has(std::string_view name) const;

 private:
  ModelDir(std::string path, FileDescriptor root, FileDescriptor blobs)
      : path_(std::move(path)), root_(std::move(root)), blobs_(std::move(blobs)) {}

  std::string path_;
  FileDescriptor root_;
  FileDescriptor blobs_;  // None unless the directory is a snapshot of a Hugging Face cache.
};

}  // namespace attnd
