#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/model_dir.h"
#include "core/tensor/safetensors.h"

namespace attnd {

// The weights of a model directory: `model.safetensors`, or the shards that
// `model.safetensors.index.json` names where there is no such file. Opening reads headers only.
// Immutable after Open; Read may be called from several threads.
class Weights {
 public:
  static constexpr uint64_t kFileBytesMax = uint64_t{64} << 30;
  static constexpr size_t kShardsMax = 1024;

  static absl::StatusOr<Weights> Open(const ModelDir& dir);
  // The weights of one safetensors file alone, wherever it is.
  static absl::StatusOr<Weights> OpenFile(ModelFile file);

  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  // nullptr if there is none.
  const TensorEntry* Find(std::string_view name) const;
  // Every tensor's name, sorted.
  std::vector<std::string> Names() const;
  // The type of the largest tensor: what the checkpoint "is" ("F32", "F16", "BF16").
  std::string_view checkpoint_type() const { return checkpoint_type_; }
  // The sum of all tensors' elements.
  uint64_t element_count() const { return element_count_; }

  // OK if tensor `name` is there, has `shape`, and a type that Read takes. Reads no data.
  absl::Status Check(std::string_view name, std::span<const int64_t> shape) const;

  // Reads tensor `name` as f32 (F16 and BF16 are widened, exactly) into `out`, whose size is the
  // product of `shape`. kNotFound if there is none; kInvalidArgument for another shape or type. NaN
  // and Inf are refused.
  absl::Status Read(std::string_view name, std::span<const int64_t> shape,
                    std::span<float> out) const;

  // The weight files' names in the directory, for the digest and for messages.
  const std::vector<std::string>& file_names() const { return file_names_; }
  // The same files, open: what Read reads, even if the directory has changed since. Besides those,
  // sharded weights have their index, which decides nothing that the shards do not.
  const std::vector<ModelFile>& files() const { return files_; }

 private:
  struct Located {
    size_t file = 0;
    TensorEntry entry;
  };
  Weights() = default;
  absl::Status AddFile(ModelFile file);
  absl::Status OpenShards(const ModelDir& dir);
  void Summarize();

  std::vector<ModelFile> files_;
  std::vector<std::string> file_names_;
  std::vector<uint64_t> data_begins_;  // Where each file's data part begins.
  std::map<std::string, Located, std::less<>> tensors_;
  std::string checkpoint_type_;
  uint64_t element_count_ = 0;
};

}  // namespace attnd
