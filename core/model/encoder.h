#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/packed_batch.h"
#include "core/layers/attention.h"
#include "core/layers/embed.h"
#include "core/layers/feed_forward.h"
#include "core/layers/head.h"
#include "core/layers/norm.h"
#include "core/layers/relative_bias.h"
#include "core/layers/rotary.h"
#include "core/model/arch.h"
#include "core/model/model_info.h"
#include "core/model/task.h"
#include "core/tensor/team.h"
#include "core/tensor/workspace.h"

namespace attnd {

// Reads the tensor of that name ("encoder.3.ffn.up.weight", see weight_names.h), of that shape,
// into `out`.
using TensorReader = absl::FunctionRef<absl::Status(
    std::string_view name, std::span<const int64_t> shape, std::span<float> out)>;

// The largest magnitude of each input channel of the layers' Linears, by what the Linear is called
// ("encoder.3.ffn.down").
using InputRanges = std::map<std::string, std::vector<float>>;

// A stack of transformer layers as an ArchSpec describes it: rows in, contextualized rows out.
// Const after Load and shared by all workers; what changes is in each worker's Scratch.
class Encoder {
 public:
  struct Options {
    int32_t batch_rows_max = 4096;  // The most rows that one Run is given.
    bool pooler = false;            // Load the pooler's weights.
    bool head = false;              // Load the head that the ArchSpec describes.
    int32_t projection = 0;         // Load a projection of this width; 0: there is none.
    // Of the layers' products with weights. Attention, norms, pooler, heads and projection are
    // always f32.
    Precision precision = Precision::kF32;
    // In int8: what those products are given (ObserveInputs of the same checkpoint in f32). Null:
    // not known.
    const InputRanges* input_ranges = nullptr;
    // That Load works on, up to 4 of them; what it loads does not depend on it. `read` must be fit
    // for that many.
    int load_threads = 1;
  };
  static absl::StatusOr<std::unique_ptr<const Encoder>> Load(const ArchSpec& arch,
                                                             const Options& options,
                                                             TensorReader read);

  // What one worker needs besides the model; sized once, so that Run allocates nothing of its own.
  class Scratch {
   public:
    explicit Scratch(const Encoder& encoder);
    Workspace& workspace() { return workspace_; }

   private:
    friend class Encoder;
    Workspace workspace_;
    PackedBatch batch_;
    // One for each sequence; of local layers too, where the model has those.
    std::vector<std::shared_ptr<const AttentionKernels>> attention_, local_attention_;
    // Of each sequence, where its parts of a layer's attention end.
    std::vector<int64_t> part_ends_;
  };

  // Runs the tasks as one packed batch and fills their outputs, which have their sizes. A task's
  // answer is the same, bit for bit, whoever shares the batch. kResourceExhausted if oneDNN cannot
  // make a kernel for a new length; kCancelled, with outputs in any state, if the team says between
  // two layers that the batch is abandoned.
  absl::Status Run(std::span<EncodeTask* const> tasks, Scratch& scratch) const;
  // The same, by a team. Its members' workspaces are those of Scratches of this encoder. No bit
  // depends on who computes what.
  absl::Status Run(std::span<EncodeTask* const> tasks, Scratch& scratch, Team& team) const;

  const ArchSpec& arch() const { return arch_; }
  bool has_pooler() const { return pooler_.has_value(); }
  // Of each kind of layer that the model has, in the order in which they run; local attention comes
  // behind that over all rows.
  std::vector<KernelChoice> Kernels() const;
  size_t weight_bytes() const;
  // The layers' Linears, as InputRanges calls them.
  std::map<std::string, const Linear*> LayerLinears() const;

 private:
  struct Layer {
    bool local = false;
    Linear qkv, out;
    std::optional<Norm> attention_norm;
    FeedForward ffn;
    Norm ffn_norm;
  };
  class Loader;
  struct Pass;

  // Lengths whose attention kernels are made at load: most inputs are shorter, and a new length
  // costs a part of a millisecond once.
  static constexpr int32_t kWarmLengths = 128;

  Encoder(const ArchSpec& arch, const Options& options);
  size_t WorkspaceBytes() const;
  absl::Status Prepare(std::span<EncodeTask* const> tasks, Scratch& scratch) const;
  void EmbedBatch(std::span<EncodeTask* const> tasks, const PackedBatch& batch, Matrix x) const;
  void ProjectRows(int32_t index, const Pass& pass, int64_t begin, int64_t end,
                   Workspace& workspace) const;
  void Rotate(const Rotary& rotary, const Pass& pass, int64_t begin, int64_t end) const;
  void Attend(int32_t index, const Pass& pass) const;
  void FinishRows(int32_t index, const Pass& pass, int64_t begin, int64_t end,
                  Workspace& workspace) const;

  // encoder_outputs.cc: what tasks want of the rows.
  void TakeHidden(std::span<EncodeTask* const> tasks, const PackedBatch& batch, int32_t layer,
                  ConstMatrix x) const;
  void TakeOutputs(std::span<EncodeTask* const> tasks, Scratch& scratch, ConstMatrix x) const;
  void RunPooler(std::span<EncodeTask* const> tasks, Scratch& scratch, ConstMatrix x) const;
  void RunSequenceHead(std::span<EncodeTask* const> tasks, Scratch& scratch, ConstMatrix x) const;
  void RunRowHeads(EncodeTask& task, ConstMatrix rows, Workspace& workspace) const;

  ArchSpec arch_;
  Options options_;
  std::unique_ptr<DenseKernelCache> dense_kernels_;
  std::unique_ptr<AttentionKernelCache> attention_kernels_;
  std::unique_ptr<AttentionKernelCache> local_attention_kernels_;  // Null without local layers.
  std::optional<Embed> embed_;
  std::optional<RelativeBias> relative_bias_;
  std::optional<Rotary> rotary_, local_rotary_;
  std::vector<Layer> layers_;
  std::optional<Norm> final_norm_;
  std::optional<Linear> pooler_;
  std::optional<Head> head_;
  std::optional<Head> projection_;
};

}  // namespace attnd
