#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/model_dir.h"
#include "core/model/encoder.h"
#include "core/model/model_info.h"
#include "core/model/task.h"

namespace attnd {

// A checkpoint, loaded: const, shared by all workers, each with its own Encoder::Scratch.
class Model {
 public:
  struct Options {
    int32_t batch_rows_max =
        4096;  // The most rows that one batch holds; at least the longest sequence.
    Precision precision = Precision::kF32;
    // Sequences of ids, special tokens included, like those that will come: in int8 channels are
    // scaled by what they hold there, and in all but f32 the accuracy is measured over them. At
    // least 3, each of 1 to 512 ids and no longer than the model allows. Nothing in f32.
    std::vector<std::vector<int32_t>> calibration = {};
    int load_threads = 1;  // Threads that Load works on.
  };
  // Reads and checks config, pooling configuration and weights; packs the weights; makes and probes
  // the kernels. Errors name the file and the reason in one line.
  static absl::StatusOr<std::unique_ptr<const Model>> Load(const ModelDir& dir,
                                                           const Options& options);

  // All of that but what needs the weights' numbers: reads configuration and headers only, and
  // tells what they say (no version, no kernels).
  static absl::StatusOr<ModelInfo> Check(const ModelDir& dir);

  const ModelInfo& info() const { return info_; }
  const Encoder& encoder() const { return *encoder_; }

  // Gives the task's output vectors the sizes that its options and length ask for.
  void SizeOutputs(EncodeTask& task) const;

 private:
  size_t LogitsSize(const EncodeTask& task, size_t rows) const;

  Model(ModelInfo info, std::unique_ptr<const Encoder> encoder)
      : info_(std::move(info)), encoder_(std::move(encoder)) {}

  ModelInfo info_;
  std::unique_ptr<const Encoder> encoder_;
};

}  // namespace attnd
