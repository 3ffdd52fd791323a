#include "core/layers/attend.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "core/base/check.h"
#include "core/tensor/onednn.h"
#include "core/tensor/workspace.h"

namespace attnd {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Queries are taken in tiles, so that the scores of long sequences stay in the cache and scratch
// stays bounded.
constexpr int64_t kTileRows = 128;

onednn::View3 DenseView(int64_t rows, int64_t columns) {
  return {.shape = {1, rows, columns}, .strides = {rows * columns, columns, 1}};
}

// [columns, rows], read from a dense [rows, columns].
onednn::View3 TransposedView(int64_t rows, int64_t columns) {
  return {.shape = {1, columns, rows}, .strides = {rows * columns, 1, columns}};
}

template <typename Primitive>
Primitive Must(absl::StatusOr<Primitive> primitive) {
  CHECK_THAT(primitive.ok());  // oneDNN has f32 kernels for every shape.
  return *std::move(primitive);
}

// The primitives for one head's tile of `rows` queries.
struct TileKernels {
  TileKernels(const AttendTask& task, int64_t tile_rows)
      : rows(tile_rows),
        scores(Must(onednn::Matmul::Make(DenseView(rows, task.key_size),
                                         TransposedView(task.key_length, task.key_size),
                                         DenseView(rows, task.key_length)))),
        softmax(Must(onednn::InPlace::Make(onednn::SoftmaxSpec{rows, task.key_length}))),
        sum(Must(onednn::Matmul::Make(DenseView(rows, task.key_length),
                                      DenseView(task.key_length, task.value_size),
                                      DenseView(rows, task.value_size)))) {}

  size_t scratchpad_bytes() const {
    return std::max(
        {scores.scratchpad_bytes(), softmax.scratchpad_bytes(), sum.scratchpad_bytes()});
  }

  int64_t rows;
  onednn::Matmul scores;
  onednn::InPlace softmax;
  onednn::Matmul sum;
};

// A place in [batch, query_heads, query_length].
struct Place {
  int64_t batch = 0, head = 0, query = 0;
};

// The row of keys at `place` in a broadcast array. Stride 0 repeats one element.
template <typename T>
struct BroadcastRow {
  BroadcastRow(const std::vector<T>& values, const BroadcastShape& shape, const Place& place)
      : data(values.data()), stride(shape.keys == 1 ? 0 : 1) {
    const int64_t batch = shape.batch == 1 ? 0 : place.batch;
    const int64_t head = shape.heads == 1 ? 0 : place.head;
    const int64_t query = shape.queries == 1 ? 0 : place.query;
    data += ((batch * shape.heads + head) * shape.queries + query) * shape.keys;
  }
  T operator[](int64_t key) const { return data[key * stride]; }

  const T* data;
  int64_t stride;
};

enum class RowKind { kOrdinary, kFullyMasked, kNotFinite };

// Which keys the query at `place` attends to: 1 for those, 0 for the masked.
void MarkAttended(const AttendTask& task, const Place& place, std::span<uint8_t> attended) {
  const int64_t keys = task.key_length;
  // The last query stands at the last key.
  const int64_t position = place.query + keys - task.query_length;
  const int64_t reach = task.window ? *task.window : keys + task.query_length;
  const int64_t begin = std::clamp<int64_t>(position - reach, 0, keys);
  const int64_t last = task.causal ? position : position + reach;
  const int64_t end = std::clamp<int64_t>(last + 1, begin, keys);
  std::ranges::fill(attended, uint8_t{0});
  std::ranges::fill(attended.subspan(begin, end - begin), uint8_t{1});

  if (!task.key_mask.empty()) {
    const uint8_t* mask = task.key_mask.data() + place.batch * keys;
    for (int64_t j = 0; j < keys; ++j) attended[j] &= uint8_t{mask[j] != 0};
  }
  if (!task.mask.empty()) {
    const BroadcastRow<uint8_t> mask(task.mask, task.mask_shape, place);
    for (int64_t j = 0; j < keys; ++j) attended[j] &= uint8_t{mask[j] != 0};
  }
  if (!task.bias.empty()) {
    const BroadcastRow<float> bias(task.bias, task.bias_shape, place);
    for (int64_t j = 0; j < keys; ++j) attended[j] &= uint8_t{bias[j] != -kInfinity};
  }
}

// Turns the products of one query with all keys into scores: scaled, biased, and -Inf where masked,
// whatever the product was.
RowKind ScoreRow(const AttendTask& task, const Place& place, std::span<const uint8_t> attended,
                 std::span<float> row) {
  for (float& score : row) score *= task.scale;
  if (!task.bias.empty()) {
    const BroadcastRow<float> bias(task.bias, task.bias_shape, place);
    for (int64_t j = 0; j < task.key_length; ++j) row[j] += bias[j];
  }
  // Keys are counted, because an Inf in a query or key makes scores of -Inf that are not masked.
  int64_t count = 0;
  bool finite = true;
  float highest = -kInfinity;
  for (int64_t j = 0; j < task.key_length; ++j) {
    if (!attended[j]) {
      row[j] = -kInfinity;
      continue;
    }
    ++count;
    finite &= row[j] < kInfinity;  // False for NaN as well.
    highest = std::max(highest, row[j]);
  }
  if (count == 0) return RowKind::kFullyMasked;
  return finite && highest > -kInfinity ? RowKind::kOrdinary : RowKind::kNotFinite;
}

// The weight that a row which is not ordinary has everywhere.
float SpecialWeight(const AttendTask& task, RowKind kind) {
  if (kind == RowKind::kNotFinite) return kNaN;
  return task.fully_masked == FullyMasked::kZero ? 0.f : 1.f / static_cast<float>(task.key_length);
}

// One head's values; the task's array must outlive them. 0 * NaN is NaN, so what is not finite is
// taken out of the matrix product, and added to the rows that attend to it.
class Values {
 public:
  Values(const AttendTask& task, const float* values)
      : columns_(task.value_size),
        keys_(task.key_length),
        all_(values, keys_ * columns_),
        data_(values) {
    const auto finite = [](float value) { return std::isfinite(value); };
    if (std::ranges::all_of(all_, finite)) return;
    finite_.assign(all_.begin(), all_.end());
    for (size_t i = 0; i < finite_.size(); ++i) {
      if (finite(finite_[i])) continue;
      others_.push_back(static_cast<int64_t>(i));
      finite_[i] = 0;
    }
    data_ = finite_.data();
  }
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;

  const float* data() const { return data_; }

  // `weights` [rows, keys], `output` [rows, columns].
  void AddOthers(int64_t rows, const float* weights, float* output) const {
    for (int64_t index : others_) {
      const int64_t key = index / columns_, column = index % columns_;
      for (int64_t i = 0; i < rows; ++i) {
        const float weight = weights[i * keys_ + key];
        if (weight != 0) output[i * columns_ + column] += weight * all_[index];
      }
    }
  }

 private:
  int64_t columns_, keys_;
  std::span<const float> all_;
  const float* data_;
  std::vector<float> finite_;    // A copy with zeros for what is not finite; empty if all is.
  std::vector<int64_t> others_;  // Where those stand.
};

struct Scratch {
  float* scores;  // [kTileRows, key_length]
  void* scratchpad;
  std::vector<uint8_t> attended;  // [key_length]
};

// Turns the tile's scores into weights, in place. The softmax sees finite rows and -Inf for masked
// entries only.
void WeighTile(AttendTask& task, const TileKernels& kernels, const Place& first, Scratch& scratch) {
  const int64_t keys = task.key_length;
  const auto row_of = [&](int64_t i) { return std::span<float>(scratch.scores + i * keys, keys); };
  const int64_t begin =
      (first.batch * task.query_heads + first.head) * task.query_length + first.query;
  std::array<RowKind, kTileRows> kinds;
  for (int64_t i = 0; i < kernels.rows; ++i) {
    const Place place{first.batch, first.head, first.query + i};
    MarkAttended(task, place, scratch.attended);
    kinds[i] = ScoreRow(task, place, scratch.attended, row_of(i));
  }
  if (task.return_scores) {
    std::copy_n(scratch.scores, kernels.rows * keys, task.scores.data() + begin * keys);
  }
  for (int64_t i = 0; i < kernels.rows; ++i) {
    if (kinds[i] != RowKind::kOrdinary) std::ranges::fill(row_of(i), 0.f);
  }
  kernels.softmax.Run(scratch.scores, scratch.scratchpad);
  for (int64_t i = 0; i < kernels.rows; ++i) {
    if (kinds[i] == RowKind::kOrdinary) continue;
    std::ranges::fill(row_of(i), SpecialWeight(task, kinds[i]));
  }
  if (task.return_weights) {
    std::copy_n(scratch.scores, kernels.rows * keys, task.weights.data() + begin * keys);
  }
}

// The kernels for whole tiles and for the last one, which may be shorter.
struct Kernels {
  explicit Kernels(const AttendTask& task)
      : whole(task, std::min(kTileRows, task.query_length)),
        last(task, (task.query_length - 1) % whole.rows + 1) {}
  TileKernels whole, last;
};

// One head of one batch item.
void AttendHead(AttendTask& task, const Kernels& kernels, const Place& head, Scratch& scratch) {
  const int64_t key_head =
      head.batch * task.key_heads + head.head / (task.query_heads / task.key_heads);
  const float* key = task.key.data() + key_head * task.key_length * task.key_size;
  const Values values(task, task.value.data() + key_head * task.key_length * task.value_size);
  const int64_t begin = (head.batch * task.query_heads + head.head) * task.query_length;

  int64_t rows = 0;
  for (int64_t first = 0; first < task.query_length; first += rows) {
    const bool whole = first + kernels.whole.rows <= task.query_length;
    const TileKernels& tile = whole ? kernels.whole : kernels.last;
    rows = tile.rows;
    const float* query = task.query.data() + (begin + first) * task.key_size;
    float* output = task.output.data() + (begin + first) * task.value_size;
    tile.scores.Run(query, key, scratch.scores, scratch.scratchpad);
    WeighTile(task, tile, {head.batch, head.head, first}, scratch);
    tile.sum.Run(scratch.scores, values.data(), output, scratch.scratchpad);
    values.AddOthers(rows, scratch.scores, output);
  }
}

}  // namespace

void RunAttend(AttendTask& task) {
  const int64_t rows = task.batch * task.query_heads * task.query_length;
  task.output.resize(rows * task.value_size);
  task.weights.resize(task.return_weights ? rows * task.key_length : 0);
  task.scores.resize(task.return_scores ? rows * task.key_length : 0);

  const Kernels kernels(task);
  const int64_t score_count = kernels.whole.rows * task.key_length;
  const size_t scratchpad_bytes =
      std::max(kernels.whole.scratchpad_bytes(), kernels.last.scratchpad_bytes());
  constexpr size_t kAlignment = 64;
  Workspace workspace(score_count * sizeof(float) + scratchpad_bytes + 2 * kAlignment);
  Workspace::Frame frame(workspace);
  Scratch scratch{.scores = frame.TakeFloats(score_count),
                  .scratchpad = frame.TakeBytes(scratchpad_bytes),
                  .attended = std::vector<uint8_t>(task.key_length)};
  for (int64_t batch = 0; batch < task.batch; ++batch) {
    for (int64_t head = 0; head < task.query_heads; ++head) {
      AttendHead(task, kernels, {.batch = batch, .head = head}, scratch);
    }
  }
}

}  // namespace attnd
