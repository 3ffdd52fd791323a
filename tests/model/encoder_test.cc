// Goal: the stack is the transformer encoder of the papers, for whole batches, whatever else is in
// them. Method: a naive implementation in double precision over seeded random weights; every answer
// alone and among neighbours, bit for bit, with a workspace full of NaN before each run.
#include "core/model/encoder.h"

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/base/strings.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using Vector = std::vector<double>;
using Rows = std::vector<Vector>;

constexpr int32_t kHidden = 24, kHeads = 3, kInner = 40, kLayers = 2, kVocabulary = 50;

ArchSpec Arch() {
  ArchSpec arch;
  arch.family = "test";
  arch.hidden = kHidden;
  arch.vocabulary = kVocabulary;
  arch.length_max = 299;
  arch.norm_epsilon = 1e-6f;
  arch.embed = {.positions = 300, .position_offset = 1, .token_types = 2};
  arch.encoder = {
      .layers = kLayers, .heads = kHeads, .head_size = kHidden / kHeads, .inner = kInner};
  return arch;
}

// Gives each tensor numbers of its own and remembers them.
class RandomWeights {
 public:
  absl::Status Read(std::string_view name, std::span<const int64_t> shape, std::span<float> out) {
    const double spread = shape.size() == 2 ? 1.0 / std::sqrt(static_cast<double>(shape[1])) : 0.5;
    std::normal_distribution<double> normal(0, spread);
    for (float& value : out) value = static_cast<float>(normal(random_));
    tensors_[std::string(name)].assign(out.begin(), out.end());
    return absl::OkStatus();
  }
  const std::vector<float>& operator[](const std::string& name) const { return tensors_.at(name); }

 private:
  std::mt19937 random_{11};
  std::map<std::string, std::vector<float>> tensors_;
};

class NaiveEncoder {
 public:
  explicit NaiveEncoder(const RandomWeights& weights) : weights_(weights) {}

  // The embedding's output, then each layer's.
  std::vector<Rows> Run(const std::vector<int32_t>& ids, const std::vector<int32_t>& types) const {
    Rows x;
    for (size_t row = 0; row < ids.size(); ++row) {
      Vector sum(kHidden);
      for (int32_t i = 0; i < kHidden; ++i) {
        sum[i] = double{weights_["embed.tokens.weight"][ids[row] * kHidden + i]} +
                 weights_["embed.positions.weight"][(row + 1) * kHidden + i] +
                 weights_["embed.types.weight"][(types.empty() ? 0 : types[row]) * kHidden + i];
      }
      x.push_back(Norm("embed.norm", sum));
    }
    std::vector<Rows> outputs{x};
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      outputs.push_back(RunLayer(StrCat("encoder.", layer, "."), outputs.back()));
    }
    return outputs;
  }

  Vector Dense(const std::string& name, const Vector& x, size_t out) const {
    Vector y(out);
    for (size_t i = 0; i < out; ++i) {
      y[i] = weights_[name + ".bias"][i];
      for (size_t k = 0; k < x.size(); ++k) {
        y[i] += x[k] * weights_[name + ".weight"][i * x.size() + k];
      }
    }
    return y;
  }

 private:
  Vector Norm(const std::string& name, const Vector& x) const {
    double mean = 0, variance = 0;
    for (const double value : x) mean += value / kHidden;
    for (const double value : x) variance += (value - mean) * (value - mean) / kHidden;
    Vector y(kHidden);
    for (int32_t i = 0; i < kHidden; ++i) {
      y[i] = (x[i] - mean) / std::sqrt(variance + 1e-6) * weights_[name + ".weight"][i] +
             weights_[name + ".bias"][i];
    }
    return y;
  }

  static Vector Sum(const Vector& a, const Vector& b) {
    Vector y(a);
    for (size_t i = 0; i < y.size(); ++i) y[i] += b[i];
    return y;
  }

  Vector AttendRow(const Vector& query, const Rows& keys, const Rows& values) const {
    constexpr int32_t kSize = kHidden / kHeads;
    Vector context(kHidden, 0.0);
    for (int32_t head = 0; head < kHeads; ++head) {
      Vector weights(keys.size(), 0.0);
      double sum = 0;
      for (size_t key = 0; key < keys.size(); ++key) {
        for (int32_t i = head * kSize; i < (head + 1) * kSize; ++i) {
          weights[key] += query[i] * keys[key][i] / std::sqrt(double{kSize});
        }
        sum += weights[key] = std::exp(weights[key]);
      }
      for (size_t key = 0; key < keys.size(); ++key) {
        for (int32_t i = head * kSize; i < (head + 1) * kSize; ++i) {
          context[i] += weights[key] / sum * values[key][i];
        }
      }
    }
    return context;
  }

  Rows RunLayer(const std::string& prefix, const Rows& x) const {
    Rows queries, keys, values, out;
    for (const Vector& row : x) {
      queries.push_back(Dense(prefix + "attention.q", row, kHidden));
      keys.push_back(Dense(prefix + "attention.k", row, kHidden));
      values.push_back(Dense(prefix + "attention.v", row, kHidden));
    }
    for (size_t row = 0; row < x.size(); ++row) {
      const Vector context = AttendRow(queries[row], keys, values);
      const Vector attended = Norm(prefix + "attention.norm",
                                   Sum(x[row], Dense(prefix + "attention.out", context, kHidden)));
      Vector inner = Dense(prefix + "ffn.up", attended, kInner);
      for (double& value : inner) value = 0.5 * value * (1 + std::erf(value / std::sqrt(2.0)));
      out.push_back(
          Norm(prefix + "ffn.norm", Sum(attended, Dense(prefix + "ffn.down", inner, kHidden))));
    }
    return out;
  }

  const RandomWeights& weights_;
};

class EncoderTest : public ::testing::Test {
 protected:
  EncoderTest() {
    auto encoder = Encoder::Load(
        Arch(), {.batch_rows_max = 1024, .pooler = true},
        [&](auto name, auto shape, auto out) { return weights_.Read(name, shape, out); });
    EXPECT_TRUE(encoder.ok()) << encoder.status();
    encoder_ = *std::move(encoder);
  }

  EncodeTask Task(int32_t length, uint32_t seed) {
    std::mt19937 random(seed);
    EncodeTask task;
    for (int32_t i = 0; i < length; ++i) {
      task.ids.push_back(static_cast<int32_t>(random() % kVocabulary));
      task.types.push_back(static_cast<int32_t>(random() % 2));
    }
    task.return_rows = true;
    task.pooling = Pooling::kMean;
    task.hidden_layers = {0, kLayers};
    task.rows_out.resize(static_cast<size_t>(length) * kHidden);
    task.hidden_out.resize(2 * task.rows_out.size());
    task.pooled_out.resize(kHidden);
    return task;
  }

  void Run(std::vector<EncodeTask*> tasks) {
    Encoder::Scratch scratch(*encoder_);
    scratch.workspace().Poison();
    const absl::Status status = encoder_->Run(tasks, scratch);
    ASSERT_TRUE(status.ok()) << status;
  }

  RandomWeights weights_;
  std::unique_ptr<const Encoder> encoder_;
};

TEST_F(EncoderTest, AgreesWithTheNaiveTransformerLayerByLayer) {
  for (const int32_t length : {1, 2, 9, 31, 130, 299}) {
    EncodeTask task = Task(length, static_cast<uint32_t>(length));
    task.hidden_layers = {0, 1, 2};
    task.hidden_out.resize(3 * task.rows_out.size());
    Run({&task});
    const auto expected = NaiveEncoder(weights_).Run(task.ids, task.types);
    for (size_t layer = 0; layer < expected.size(); ++layer) {
      for (int32_t row = 0; row < length; ++row) {
        for (int32_t i = 0; i < kHidden; ++i) {
          const size_t place = (layer * length + row) * kHidden + i;
          ASSERT_NEAR(task.hidden_out[place], expected[layer][row][i], 2e-5)
              << "length " << length << ", layer " << layer << ", row " << row;
        }
      }
    }
    const size_t last = kLayers * task.rows_out.size();
    EXPECT_TRUE(std::equal(task.rows_out.begin(), task.rows_out.end(),
                           task.hidden_out.begin() + static_cast<int64_t>(last)));
  }
}

TEST_F(EncoderTest, PoolsEachWayAndNormalizes) {
  EncodeTask plain = Task(5, 3);
  Run({&plain});
  const auto row = [&](int32_t index) {
    return std::vector<float>(plain.rows_out.begin() + index * kHidden,
                              plain.rows_out.begin() + (index + 1) * kHidden);
  };
  const auto pooled = [&](Pooling pooling, bool normalize) {
    EncodeTask task = Task(5, 3);
    task.pooling = pooling;
    task.normalize = normalize;
    Run({&task});
    return task.pooled_out;
  };
  EXPECT_EQ(pooled(Pooling::kCls, false), row(0));
  EXPECT_EQ(pooled(Pooling::kLast, false), row(4));
  const auto mean = pooled(Pooling::kMean, false), largest = pooled(Pooling::kMax, false);
  double length = 0;
  for (const float value : pooled(Pooling::kMean, true)) length += double{value} * value;
  EXPECT_NEAR(length, 1, 1e-6);
  for (int32_t i = 0; i < kHidden; ++i) {
    double sum = 0;
    float most = -1e30f;
    for (int32_t r = 0; r < 5; ++r) {
      sum += row(r)[i];
      most = std::max(most, row(r)[i]);
    }
    EXPECT_NEAR(mean[i], sum / 5, 1e-6);
    EXPECT_EQ(largest[i], most);
  }
}

TEST_F(EncoderTest, ThePoolerIsATanhLayerOnTheFirstRowOfEachOfManyTasks) {
  std::vector<EncodeTask> tasks;
  std::vector<EncodeTask*> pointers;
  for (uint32_t i = 0; i < 11; ++i) {  // More than one group of kRowStep.
    tasks.push_back(Task(3 + static_cast<int32_t>(i), i));
    if (i != 4) tasks.back().pooling = Pooling::kPooler;
  }
  for (EncodeTask& task : tasks) pointers.push_back(&task);
  Run(pointers);
  for (const EncodeTask& task : tasks) {
    if (task.pooling != Pooling::kPooler) continue;
    const Vector first(task.rows_out.begin(), task.rows_out.begin() + kHidden);
    const Vector expected = NaiveEncoder(weights_).Dense("pooler", first, kHidden);
    for (int32_t i = 0; i < kHidden; ++i) {
      EXPECT_NEAR(task.pooled_out[i], std::tanh(expected[i]), 1e-5);
    }
  }
}

TEST_F(EncoderTest, AnAnswerDoesNotDependOnItsNeighbours) {
  std::vector<EncodeTask> alone, together;
  std::vector<EncodeTask*> pointers;
  for (uint32_t i = 0; i < 20; ++i) {
    const int32_t length = 1 + static_cast<int32_t>((i * 37) % 90);
    alone.push_back(Task(length, i));
    together.push_back(Task(length, i));
  }
  for (EncodeTask& task : alone) Run({&task});
  for (EncodeTask& task : together) pointers.push_back(&task);
  Run(pointers);
  for (size_t i = 0; i < alone.size(); ++i) {
    EXPECT_EQ(alone[i].rows_out, together[i].rows_out) << "task " << i;
    EXPECT_EQ(alone[i].pooled_out, together[i].pooled_out) << "task " << i;
    EXPECT_EQ(alone[i].hidden_out, together[i].hidden_out) << "task " << i;
  }
}

TEST_F(EncoderTest, WordEmbeddingsOfTheCallerStandForIds) {
  EncodeTask by_id = Task(7, 5), by_row = Task(7, 5);
  for (const int32_t id : by_row.ids) {
    const float* row = weights_["embed.tokens.weight"].data() + id * kHidden;
    by_row.embeddings.insert(by_row.embeddings.end(), row, row + kHidden);
  }
  by_row.ids.clear();
  Run({&by_id, &by_row});
  EXPECT_EQ(by_id.rows_out, by_row.rows_out);
}

// Alone, and says after so many layers that nobody waits.
class Impatient : public Alone {
 public:
  Impatient(Workspace& workspace, int layers) : Alone(workspace), layers_(layers) {}
  bool abandoned() const override { return ++asked_ >= layers_; }
  int asked() const { return asked_; }

 private:
  const int layers_;
  mutable int asked_ = 0;
};

TEST_F(EncoderTest, AnAbandonedBatchEndsBetweenTwoLayers) {
  EncodeTask task = Task(5, 1), alone = Task(5, 1);
  EncodeTask* const tasks[] = {&task};
  Encoder::Scratch scratch(*encoder_);
  Impatient team(scratch.workspace(), 1);
  EXPECT_TRUE(absl::IsCancelled(encoder_->Run(tasks, scratch, team)));
  EXPECT_EQ(team.asked(), 1);
  // The scratch is as good as new.
  EXPECT_TRUE(encoder_->Run(tasks, scratch).ok());
  Run({&alone});
  EXPECT_EQ(task.rows_out, alone.rows_out);
}

TEST_F(EncoderTest, AFullBatchFitsTheWorkspace) {
  std::vector<EncodeTask> tasks;
  std::vector<EncodeTask*> pointers;
  for (uint32_t i = 0; i < 4; ++i) tasks.push_back(Task(256, i));
  for (EncodeTask& task : tasks) pointers.push_back(&task);
  Run(pointers);
  EncodeTask alone = Task(256, 2);
  Run({&alone});
  EXPECT_EQ(alone.rows_out, tasks[2].rows_out);
}

}  // namespace
}  // namespace attnd
