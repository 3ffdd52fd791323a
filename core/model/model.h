#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/model_dir.h"
#include "core/model/arch.h"
#include "core/model/task.h"
#include "core/tensor/workspace.h"

namespace attnd {

struct KernelChoice {
  std::string layer;           // "attention.qkv"
  std::string implementation;  // "jit_1x1:avx2"
  std::string reason;
};

// What was loaded, and how it is computed.
struct ModelInfo {
  std::string family;
  std::string version;  // Digest over all that changes an answer: 16 hexadecimal digits.
  int32_t hidden = 0;
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t vocabulary = 0;
  int32_t token_types = 0;
  int32_t length_max = 0;      // The position table's length.
  int32_t length_default = 0;  // sentence_bert_config.json, else length_max.
  Pooling pooling = Pooling::kMean;
  bool normalize = false;
  bool has_pooler = false;
  std::string dtype;             // "f32"
  std::string checkpoint_dtype;  // "F32", "F16", "BF16"
  std::vector<KernelChoice> kernels;
  std::vector<std::string> leftovers;  // Tensors of the checkpoint that nothing uses.
  uint64_t weight_bytes = 0;           // Of the packed weights.
};

// An encoder: const after Load, shared by all workers, each with its own Workspace.
class Model {
 public:
  // `batch_rows_max`: the most rows that one Encode will be given; kernels and workspaces are sized for it.
  struct Options {
    int32_t batch_rows_max = 4096;
  };
  static absl::StatusOr<std::unique_ptr<const Model>> Load(const ModelDir& dir, const Options& options);
  ~Model();

  const ModelInfo& info() const;

  // The bytes that a Workspace needs for batches of up to options.batch_rows_max rows.
  size_t WorkspaceBytes() const;

  // Gives the task's output vectors their sizes.
  void SizeOutputs(EncodeTask& task) const;

  // Runs the tasks as one packed batch and fills their outputs. The answer to a task is the same, bit for bit,
  // whoever shares the batch. The sum of rows is at most options.batch_rows_max.
  void Encode(std::span<EncodeTask* const> tasks, Workspace& workspace) const;

 private:
  class Impl;
  explicit Model(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace attnd
