#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/encoder.h"

namespace attnd {
namespace {

// Each holds a layer's weights once more while it packs them.
constexpr int kLoadThreadsMax = 4;

onednn::Epilogue EpilogueOf(Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return onednn::Epilogue::kNone;
    case Activation::kGeluErf:
      return onednn::Epilogue::kGeluErf;
    case Activation::kGeluTanh:
      return onednn::Epilogue::kGeluTanh;
    case Activation::kRelu:
      return onednn::Epilogue::kRelu;
    case Activation::kSilu:
      return onednn::Epilogue::kSilu;
    case Activation::kTanh:
      return onednn::Epilogue::kTanh;
  }
  CHECK_THAT(false);
}

}  // namespace

// Reads tensors by our names and makes layers of them.
class Encoder::Loader {
 public:
  Loader(Encoder& encoder, TensorReader read)
      : encoder_(encoder), arch_(encoder.arch_), stack_(encoder.arch_.encoder), read_(read) {}

  absl::Status LoadAll() {
    RETURN_IF_ERROR(LoadPositions());
    RETURN_IF_ERROR(MakeKernels());
    RETURN_IF_ERROR(LoadEmbedAndLayers());
    if (stack_.final_norm) {
      ASSIGN_OR_RETURN(encoder_.final_norm_, LoadNorm("encoder.norm", stack_.norm_bias));
    }
    if (encoder_.options_.pooler) {
      ASSIGN_OR_RETURN(
          encoder_.pooler_,
          LoadLinear("pooler", {arch_.hidden, arch_.hidden, onednn::Epilogue::kTanh}, Bias::kYes));
    }
    if (encoder_.options_.head) RETURN_IF_ERROR(LoadHead());
    if (encoder_.options_.projection > 0) RETURN_IF_ERROR(LoadProjection());
    return WarmAttention();
  }

 private:
  absl::Status InParallel(int64_t count, absl::FunctionRef<absl::Status(int64_t)> part) {
    const int threads = std::min(encoder_.options_.load_threads, kLoadThreadsMax);
    return ParallelFor(count, threads, [&](int64_t index) {
      // As on the thread that called Load.
      onednn::UseOneThread();
      return part(index);
    });
  }

  // Ahead of the layers, so that shapes are probed side by side.
  absl::Status MakeKernels() {
    std::vector<DenseKernels::Shape> shapes = {DownShape(), UpShape(), QkvShape(), OutShape()};
    if (stack_.gated) shapes.push_back(GateShape());
    return InParallel(static_cast<int64_t>(shapes.size()), [&](int64_t index) {
      return encoder_.dense_kernels_->Get(shapes[static_cast<size_t>(index)]).status();
    });
  }

  absl::Status LoadEmbedAndLayers() {
    std::vector<std::optional<Layer>> layers(static_cast<size_t>(stack_.layers));
    RETURN_IF_ERROR(InParallel(stack_.layers + 1, [&](int64_t part) {
      return part == 0
                 ? LoadEmbed()
                 : LoadLayer(static_cast<int32_t>(part - 1), layers[static_cast<size_t>(part - 1)]);
    }));
    encoder_.layers_.reserve(layers.size());
    for (std::optional<Layer>& layer : layers) encoder_.layers_.push_back(*std::move(layer));
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<float>> Read(std::string_view name, std::vector<int64_t> shape) {
    int64_t size = 1;
    for (const int64_t extent : shape) size *= extent;
    std::vector<float> values(static_cast<size_t>(size));
    RETURN_IF_ERROR(read_(name, shape, values));
    return values;
  }

  absl::StatusOr<AlignedBuffer> ReadTable(std::string_view name, int32_t rows) {
    AlignedBuffer table(static_cast<size_t>(rows) * static_cast<size_t>(arch_.hidden) *
                        sizeof(float));
    const std::array<int64_t, 2> shape{rows, arch_.hidden};
    RETURN_IF_ERROR(read_(name, shape, table.floats()));
    return table;
  }

  absl::StatusOr<std::vector<float>> ReadBias(std::string_view name, int64_t size, Bias bias) {
    if (bias == Bias::kNo) return std::vector<float>(static_cast<size_t>(size));
    return Read(StrCat(name, ".bias"), {size});
  }

  absl::StatusOr<Norm> LoadNorm(std::string_view name, Bias with_bias) {
    ASSIGN_OR_RETURN(auto gain, Read(StrCat(name, ".weight"), {arch_.hidden}));
    if (stack_.norm == NormKind::kRms) return Norm::Rms(std::move(gain), arch_.norm_epsilon);
    ASSIGN_OR_RETURN(auto bias, ReadBias(name, arch_.hidden, with_bias));
    return Norm(std::move(gain), std::move(bias), arch_.norm_epsilon);
  }

  // Of a layer's Linear, which has the encoder's precision.
  DenseKernels::Shape LayerShape(int64_t in, int64_t out,
                                 onednn::Epilogue epilogue = onednn::Epilogue::kNone) const {
    return {in, out, epilogue, encoder_.options_.precision};
  }

  DenseKernels::Shape QkvShape() const { return LayerShape(arch_.hidden, 3 * stack_.width()); }
  DenseKernels::Shape OutShape() const {
    return LayerShape(stack_.width(), arch_.hidden, onednn::Epilogue::kAddToOutput);
  }
  DenseKernels::Shape UpShape() const {
    return LayerShape(arch_.hidden, stack_.inner, EpilogueOf(stack_.activation));
  }
  DenseKernels::Shape GateShape() const { return LayerShape(arch_.hidden, stack_.inner); }
  DenseKernels::Shape DownShape() const {
    return LayerShape(stack_.inner, arch_.hidden, onednn::Epilogue::kAddToOutput);
  }

  // Empty if they are not known, and for what is no layer's.
  std::span<const float> InputRangesOf(std::string_view name) const {
    const InputRanges* ranges = encoder_.options_.input_ranges;
    if (ranges == nullptr) return {};
    const auto found = ranges->find(std::string(name));
    return found == ranges->end() ? std::span<const float>() : std::span(found->second);
  }

  absl::StatusOr<Linear> LoadLinear(std::string_view name, const DenseKernels::Shape& shape,
                                    Bias with_bias) {
    ASSIGN_OR_RETURN(const DenseKernels* kernels, encoder_.dense_kernels_->Get(shape));
    ASSIGN_OR_RETURN(const auto weight, Read(StrCat(name, ".weight"), {shape.out, shape.in}));
    ASSIGN_OR_RETURN(const auto bias, ReadBias(name, shape.out, with_bias));
    return Linear(kernels, weight, bias, InputRangesOf(name));
  }

  absl::Status LoadEmbed() {
    const EmbedSpec& spec = arch_.embed;
    Embed::Tables tables;
    ASSIGN_OR_RETURN(tables.tokens, ReadTable("embed.tokens.weight", arch_.vocabulary));
    if (spec.positions > 0) {
      ASSIGN_OR_RETURN(tables.positions, ReadTable("embed.positions.weight", spec.positions));
    }
    if (spec.token_types > 0) {
      ASSIGN_OR_RETURN(tables.types, ReadTable("embed.types.weight", spec.token_types));
    }
    std::optional<Norm> norm;
    if (spec.norm) {
      ASSIGN_OR_RETURN(norm, LoadNorm("embed.norm", stack_.norm_bias));
    }
    encoder_.embed_.emplace(std::move(tables),
                            Embed::Spec{.hidden = arch_.hidden,
                                        .position_offset = spec.position_offset,
                                        .unplaced_token = spec.unplaced_token},
                            std::move(norm));
    return absl::OkStatus();
  }

  // What attention knows of positions.
  absl::Status LoadPositions() {
    if (stack_.relative.buckets > 0) {
      ASSIGN_OR_RETURN(const auto weight, Read("encoder.relative_bias.weight",
                                               {stack_.relative.buckets, stack_.heads}));
      encoder_.relative_bias_.emplace(
          RelativeBias::Spec{.heads = stack_.heads,
                             .buckets = stack_.relative.buckets,
                             .distance_max = stack_.relative.distance_max,
                             .positions = arch_.length_max},
          weight);
    }
    const auto rotary = [this](float theta) {
      return Rotary({.heads = stack_.heads,
                     .head_size = stack_.head_size,
                     .positions = arch_.length_max,
                     .theta = theta});
    };
    if (stack_.theta > 0) encoder_.rotary_ = rotary(stack_.theta);
    if (stack_.local_theta > 0) encoder_.local_rotary_ = rotary(stack_.local_theta);
    return absl::OkStatus();
  }

  // Q, K and V side by side, one matrix; Q carries the scale 1/sqrt(head size), so that scores need
  // no pass of their own for it. With a head size that is a power of 4 this changes no bit.
  absl::StatusOr<Linear> LoadQkv(const std::string& prefix) {
    const int64_t hidden = arch_.hidden, width = stack_.width();
    ASSIGN_OR_RETURN(const DenseKernels* kernels, encoder_.dense_kernels_->Get(QkvShape()));
    std::vector<float> weight, bias;
    weight.reserve(static_cast<size_t>(3 * width * hidden));
    const float scale =
        stack_.scaled ? 1.0f / std::sqrt(static_cast<float>(stack_.head_size)) : 1.0f;
    for (const char* part : {"q", "k", "v"}) {
      ASSIGN_OR_RETURN(auto w, Read(StrCat(prefix, part, ".weight"), {width, hidden}));
      ASSIGN_OR_RETURN(auto b, ReadBias(prefix + part, width, stack_.attention_bias));
      if (*part == 'q') {
        for (float& value : w) value *= scale;
        for (float& value : b) value *= scale;
      }
      weight.insert(weight.end(), w.begin(), w.end());
      bias.insert(bias.end(), b.begin(), b.end());
    }
    return Linear(kernels, weight, bias, InputRangesOf(prefix + "qkv"));
  }

  absl::StatusOr<FeedForward> LoadFeedForward(const std::string& prefix) {
    const Bias bias = stack_.ffn_bias;
    ASSIGN_OR_RETURN(Linear up, LoadLinear(prefix + "up", UpShape(), bias));
    std::unique_ptr<const Linear> gate;
    if (stack_.gated) {
      ASSIGN_OR_RETURN(Linear loaded, LoadLinear(prefix + "gate", GateShape(), bias));
      gate = std::make_unique<const Linear>(std::move(loaded));
    }
    ASSIGN_OR_RETURN(Linear down, LoadLinear(prefix + "down", DownShape(), bias));
    return FeedForward(std::move(up), std::move(gate), std::move(down));
  }

  absl::Status LoadLayer(int32_t index, std::optional<Layer>& layer) {
    const std::string prefix = StrCat("encoder.", index, ".");
    ASSIGN_OR_RETURN(Linear qkv, LoadQkv(prefix + "attention."));
    ASSIGN_OR_RETURN(Linear out,
                     LoadLinear(prefix + "attention.out", OutShape(), stack_.attention_bias));
    std::optional<Norm> attention_norm;
    if (index > 0 || stack_.first_norm) {
      ASSIGN_OR_RETURN(attention_norm, LoadNorm(prefix + "attention.norm", stack_.norm_bias));
    }
    ASSIGN_OR_RETURN(FeedForward ffn, LoadFeedForward(prefix + "ffn."));
    ASSIGN_OR_RETURN(Norm ffn_norm, LoadNorm(prefix + "ffn.norm", stack_.norm_bias));
    layer.emplace(Layer{stack_.is_local(index), std::move(qkv), std::move(out),
                        std::move(attention_norm), std::move(ffn), std::move(ffn_norm)});
    return absl::OkStatus();
  }

  // The output layer as slabs, the last one filled up with zeros. `weight` is [outputs, hidden].
  absl::StatusOr<std::vector<Linear>> MakeSlabs(std::span<const float> weight,
                                                std::span<const float> bias) {
    const int64_t hidden = arch_.hidden, outputs = static_cast<int64_t>(bias.size());
    const int64_t slab = Head::SlabOutputs(outputs);
    ASSIGN_OR_RETURN(const DenseKernels* kernels,
                     encoder_.dense_kernels_->Get({hidden, slab, onednn::Epilogue::kNone}));
    std::vector<Linear> slabs;
    for (int64_t first = 0; first < outputs; first += slab) {
      const int64_t count = std::min(slab, outputs - first);
      std::vector<float> w(static_cast<size_t>(slab * hidden)), b(static_cast<size_t>(slab));
      std::copy_n(weight.begin() + first * hidden, count * hidden, w.begin());
      std::copy_n(bias.begin() + first, count, b.begin());
      slabs.emplace_back(kernels, w, b);
    }
    return slabs;
  }

  absl::Status LoadHead() {
    const HeadSpec& spec = arch_.head;
    Head::Layers layers;
    if (spec.dense) {
      ASSIGN_OR_RETURN(
          layers.dense,
          LoadLinear("head.dense", {arch_.hidden, arch_.hidden, EpilogueOf(spec.activation)},
                     spec.dense_bias));
    }
    if (spec.norm) {
      ASSIGN_OR_RETURN(layers.norm, LoadNorm("head.norm", spec.norm_bias));
    }
    ASSIGN_OR_RETURN(const auto bias, ReadBias("head.out", spec.outputs, spec.out_bias));
    if (spec.tied) {
      ASSIGN_OR_RETURN(layers.slabs, MakeSlabs(encoder_.embed_->tokens(), bias));
    } else {
      ASSIGN_OR_RETURN(const auto weight, Read("head.out.weight", {spec.outputs, arch_.hidden}));
      ASSIGN_OR_RETURN(layers.slabs, MakeSlabs(weight, bias));
    }
    encoder_.head_.emplace(std::move(layers), spec.outputs);
    return absl::OkStatus();
  }

  absl::Status LoadProjection() {
    const int32_t width = encoder_.options_.projection;
    ASSIGN_OR_RETURN(const auto weight, Read("projection.weight", {width, arch_.hidden}));
    ASSIGN_OR_RETURN(auto slabs, MakeSlabs(weight, std::vector<float>(static_cast<size_t>(width))));
    encoder_.projection_.emplace(Head::Layers{.slabs = std::move(slabs)}, width);
    return absl::OkStatus();
  }

  absl::Status WarmAttention() {
    for (const auto* cache :
         {encoder_.attention_kernels_.get(), encoder_.local_attention_kernels_.get()}) {
      if (cache == nullptr) continue;
      RETURN_IF_ERROR(InParallel(std::min(kWarmLengths, arch_.length_max), [cache](int64_t index) {
        return cache->Get(static_cast<int32_t>(index + 1)).status();
      }));
      // The longest must work too, and is better refused now than by a request.
      RETURN_IF_ERROR(cache->Get(arch_.length_max).status());
    }
    return absl::OkStatus();
  }

  Encoder& encoder_;
  const ArchSpec& arch_;
  const StackSpec& stack_;
  TensorReader read_;
};

Encoder::Encoder(const ArchSpec& arch, const Options& options)
    : arch_(arch), options_(options), dense_kernels_(std::make_unique<DenseKernelCache>()) {
  const StackSpec& stack = arch_.encoder;
  AttentionKernels::Shape shape{.heads = stack.heads, .head_size = stack.head_size};
  attention_kernels_ = std::make_unique<AttentionKernelCache>(shape);
  const auto is_one = [](uint8_t local) { return local != 0; };
  if (std::none_of(stack.local_layers.begin(), stack.local_layers.end(), is_one)) return;
  shape.window = stack.window;
  local_attention_kernels_ = std::make_unique<AttentionKernelCache>(shape);
}

absl::StatusOr<std::unique_ptr<const Encoder>> Encoder::Load(const ArchSpec& arch,
                                                             const Options& options,
                                                             TensorReader read) {
  // The scratchpads of primitives depend on the number of threads when they are made.
  onednn::UseOneThread();
  std::unique_ptr<Encoder> encoder(new Encoder(arch, options));
  RETURN_IF_ERROR(Loader(*encoder, read).LoadAll());
  encoder->options_.input_ranges = nullptr;  // The caller's, and not needed any more.
  return std::unique_ptr<const Encoder>(std::move(encoder));
}

size_t Encoder::WorkspaceBytes() const {
  const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float) + 64; };
  const StackSpec& stack = arch_.encoder;
  const int64_t rows = RoundUpRows(options_.batch_rows_max);
  const int64_t hidden = arch_.hidden;
  const size_t batch =
      floats(rows * hidden) + floats(rows * 3 * stack.width()) + floats(rows * stack.width());
  // Attention, the rest of a layer and what follows the layers take turns.
  const size_t attention = AttentionKernels::WorkspaceBytesMax(options_.batch_rows_max);
  const size_t normed =
      stack.norm_at == NormAt::kBefore ? floats(FeedForward::kTileRows * hidden) : 0;
  const size_t ffn = normed + FeedForward::WorkspaceBytes(rows, stack.inner,
                                                          stack.gated ? FeedForward::Kind::kGated
                                                                      : FeedForward::Kind::kPlain);
  const size_t pooler = 2 * floats(kRowStep * hidden);
  const int64_t outputs = head_ ? head_->outputs() : 0;
  const size_t head =
      Head::WorkspaceBytes(hidden, std::max<int64_t>(outputs, hidden)) +
      floats(Head::kTileRows * hidden) + floats(rows) +
      (arch_.head.kind == HeadKind::kSequenceLabels ? floats(Head::kTileRows * outputs) : 0);
  return batch + std::max({attention, ffn, pooler, head}) + dense_kernels_->workspace_bytes() + 64;
}

size_t Encoder::weight_bytes() const {
  size_t bytes = embed_->bytes() + (pooler_ ? pooler_->bytes() : 0) + (head_ ? head_->bytes() : 0) +
                 (projection_ ? projection_->bytes() : 0) +
                 (relative_bias_ ? relative_bias_->bytes() : 0) + (rotary_ ? rotary_->bytes() : 0) +
                 (local_rotary_ ? local_rotary_->bytes() : 0);
  for (const Layer& layer : layers_) {
    bytes += layer.qkv.bytes() + layer.out.bytes() + layer.ffn.bytes();
  }
  return bytes;
}

}  // namespace attnd
