#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/encoder.h"

namespace attnd {
namespace {

// Lengths whose attention kernels are made at load: most inputs are shorter, and a new length costs
// a part of a millisecond once.
constexpr int32_t kWarmLengths = 128;

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
      : encoder_(encoder), arch_(encoder.arch_), read_(read) {}

  absl::Status LoadAll() {
    RETURN_IF_ERROR(LoadEmbed());
    encoder_.layers_.reserve(static_cast<size_t>(arch_.encoder.layers));
    for (int32_t i = 0; i < arch_.encoder.layers; ++i) {
      RETURN_IF_ERROR(LoadLayer(StrCat("encoder.", i, ".")));
    }
    if (encoder_.options_.pooler) {
      ASSIGN_OR_RETURN(encoder_.pooler_,
                       LoadLinear("pooler", {arch_.hidden, arch_.hidden, onednn::Epilogue::kTanh}));
    }
    for (int32_t length = 1; length <= std::min(kWarmLengths, LengthMax()); ++length) {
      RETURN_IF_ERROR(encoder_.attention_kernels_->Get(length).status());
    }
    // The longest must work too, and is better refused now than by a request.
    return encoder_.attention_kernels_->Get(LengthMax()).status();
  }

 private:
  int32_t LengthMax() const { return arch_.embed.positions - arch_.embed.position_offset; }

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

  absl::StatusOr<Norm> LoadNorm(std::string_view name) {
    ASSIGN_OR_RETURN(auto gain, Read(StrCat(name, ".weight"), {arch_.hidden}));
    ASSIGN_OR_RETURN(auto bias, Read(StrCat(name, ".bias"), {arch_.hidden}));
    return Norm(std::move(gain), std::move(bias), arch_.norm_epsilon);
  }

  absl::StatusOr<Linear> LoadLinear(std::string_view name, const DenseKernels::Shape& shape) {
    ASSIGN_OR_RETURN(const DenseKernels* kernels, encoder_.dense_kernels_->Get(shape));
    ASSIGN_OR_RETURN(const auto weight, Read(StrCat(name, ".weight"), {shape.out, shape.in}));
    ASSIGN_OR_RETURN(const auto bias, Read(StrCat(name, ".bias"), {shape.out}));
    return Linear(kernels, weight, bias);
  }

  absl::Status LoadEmbed() {
    Embed::Tables tables;
    ASSIGN_OR_RETURN(tables.tokens, ReadTable("embed.tokens.weight", arch_.vocabulary));
    ASSIGN_OR_RETURN(tables.positions, ReadTable("embed.positions.weight", arch_.embed.positions));
    ASSIGN_OR_RETURN(tables.types, ReadTable("embed.types.weight", arch_.embed.token_types));
    ASSIGN_OR_RETURN(Norm norm, LoadNorm("embed.norm"));
    encoder_.embed_.emplace(std::move(tables), arch_.hidden, arch_.embed.position_offset,
                            std::move(norm));
    return absl::OkStatus();
  }

  // Q, K and V side by side, one matrix; Q carries the scale 1/sqrt(head size), so that scores need
  // no pass of their own for it. With a head size that is a power of 4 this changes no bit.
  absl::StatusOr<Linear> LoadQkv(const std::string& prefix) {
    const int64_t hidden = arch_.hidden;
    ASSIGN_OR_RETURN(const DenseKernels* kernels,
                     encoder_.dense_kernels_->Get({hidden, 3 * hidden, onednn::Epilogue::kNone}));
    std::vector<float> weight, bias;
    weight.reserve(static_cast<size_t>(3 * hidden * hidden));
    const float scale = 1.0f / std::sqrt(static_cast<float>(arch_.encoder.head_size));
    for (const char* part : {"q", "k", "v"}) {
      ASSIGN_OR_RETURN(auto w, Read(StrCat(prefix, part, ".weight"), {hidden, hidden}));
      ASSIGN_OR_RETURN(auto b, Read(StrCat(prefix, part, ".bias"), {hidden}));
      if (*part == 'q') {
        for (float& value : w) value *= scale;
        for (float& value : b) value *= scale;
      }
      weight.insert(weight.end(), w.begin(), w.end());
      bias.insert(bias.end(), b.begin(), b.end());
    }
    return Linear(kernels, weight, bias);
  }

  absl::Status LoadLayer(const std::string& prefix) {
    const int64_t hidden = arch_.hidden, inner = arch_.encoder.inner;
    constexpr auto kAdd = onednn::Epilogue::kAddToOutput;
    ASSIGN_OR_RETURN(Linear qkv, LoadQkv(prefix + "attention."));
    ASSIGN_OR_RETURN(Linear out, LoadLinear(prefix + "attention.out", {hidden, hidden, kAdd}));
    ASSIGN_OR_RETURN(Norm attention_norm, LoadNorm(prefix + "attention.norm"));
    ASSIGN_OR_RETURN(Linear up, LoadLinear(prefix + "ffn.up",
                                           {hidden, inner, EpilogueOf(arch_.encoder.activation)}));
    ASSIGN_OR_RETURN(Linear down, LoadLinear(prefix + "ffn.down", {inner, hidden, kAdd}));
    ASSIGN_OR_RETURN(Norm ffn_norm, LoadNorm(prefix + "ffn.norm"));
    encoder_.layers_.push_back({std::move(qkv), std::move(out), std::move(attention_norm),
                                FeedForward(std::move(up), std::move(down)), std::move(ffn_norm)});
    return absl::OkStatus();
  }

  Encoder& encoder_;
  const ArchSpec& arch_;
  TensorReader read_;
};

Encoder::Encoder(const ArchSpec& arch, const Options& options)
    : arch_(arch),
      options_(options),
      dense_kernels_(std::make_unique<DenseKernelCache>()),
      attention_kernels_(
          std::make_unique<AttentionKernelCache>(arch.encoder.heads, arch.encoder.head_size)) {}

absl::StatusOr<std::unique_ptr<const Encoder>> Encoder::Load(const ArchSpec& arch,
                                                             const Options& options,
                                                             TensorReader read) {
  // The scratchpads of primitives depend on the number of threads when they are made.
  onednn::UseOneThread();
  std::unique_ptr<Encoder> encoder(new Encoder(arch, options));
  RETURN_IF_ERROR(Loader(*encoder, read).LoadAll());
  return std::unique_ptr<const Encoder>(std::move(encoder));
}

size_t Encoder::WorkspaceBytes() const {
  const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float) + 64; };
  const int64_t rows = RoundUpRows(options_.batch_rows_max);
  const int64_t hidden = arch_.hidden;
  const size_t x = floats(rows * hidden);
  // Attention and the feed-forward half take turns.
  const size_t attention = floats(rows * 3 * hidden) + floats(rows * hidden) +
                           AttentionKernels::WorkspaceBytesMax(options_.batch_rows_max);
  const size_t ffn = floats(std::min(rows, FeedForward::kTileRows) * arch_.encoder.inner);
  const size_t pooler = 2 * floats(kRowStep * hidden);
  return x + std::max({attention, ffn, pooler}) + dense_kernels_->scratchpad_bytes() + 64;
}

size_t Encoder::weight_bytes() const {
  size_t bytes = embed_->bytes() + (pooler_ ? pooler_->bytes() : 0);
  for (const Layer& layer : layers_) {
    bytes += layer.qkv.bytes() + layer.out.bytes() + layer.ffn.bytes();
  }
  return bytes;
}

std::vector<KernelChoice> Encoder::Kernels() const {
  std::vector<KernelChoice> kernels;
  const auto dense = [&](std::string_view layer, const Linear& linear) {
    kernels.push_back(
        {std::string(layer), linear.kernels().implementation(), linear.kernels().reason()});
  };
  const Layer& layer = layers_.front();
  dense("attention.qkv", layer.qkv);
  dense("attention.out", layer.out);
  dense("ffn.up", layer.ffn.up());
  dense("ffn.down", layer.ffn.down());
  const auto attention = attention_kernels_->Get(std::min(kWarmLengths, arch_.embed.positions));
  if (attention.ok()) {
    const char* reason = "one call a sequence, by its own length";
    kernels.push_back(
        {"attention.scores", std::string((*attention)->scores_implementation()), reason});
    kernels.push_back(
        {"attention.softmax", std::string((*attention)->softmax_implementation()), reason});
    kernels.push_back(
        {"attention.weighted", std::string((*attention)->weighted_implementation()), reason});
  }
  return kernels;
}

}  // namespace attnd
