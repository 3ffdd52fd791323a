#include "core/model/accuracy.h"

#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace attnd {
namespace {

constexpr double kTie = 0.01;

using Vector = std::vector<float>;

double Cosine(const Vector& a, const Vector& b) {
  double product = 0, square_a = 0, square_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    square_a += double{a[i]} * a[i];
    square_b += double{b[i]} * b[i];
  }
  const double cosine = product / std::sqrt(square_a * square_b);
  // What is not a number is as far away as can be.
  return std::isnan(cosine) ? -1 : cosine;
}

using Similarities = std::vector<std::vector<double>>;

Similarities Compare(const Vectors& vectors) {
  Similarities similarities;
  for (const Vector& a : vectors) {
    auto& row = similarities.emplace_back();
    for (const Vector& b : vectors) row.push_back(Cosine(a, b));
  }
  return similarities;
}

double RankingAgreement(const Similarities& one, const Similarities& f32) {
  int64_t asked = 0, alike = 0;
  for (size_t anchor = 0; anchor < f32.size(); ++anchor) {
    for (size_t a = 0; a < f32.size(); ++a) {
      for (size_t b = 0; b < a; ++b) {
        const double difference = f32[anchor][a] - f32[anchor][b];
        if (a == anchor || b == anchor || std::abs(difference) < kTie) continue;
        ++asked;
        alike += (one[anchor][a] > one[anchor][b]) == (difference > 0);
      }
    }
  }
  return asked == 0 ? 1 : static_cast<double>(alike) / static_cast<double>(asked);
}

}  // namespace

absl::StatusOr<Vectors> PoolEach(const Encoder& encoder, Pooling pooling,
                                 std::span<const std::vector<int32_t>> inputs,
                                 Encoder::Scratch& scratch,
                                 absl::FunctionRef<void(size_t tokens)> begin) {
  Vectors vectors;
  for (const std::vector<int32_t>& ids : inputs) {
    EncodeTask task;
    task.ids = ids;
    task.pooling = pooling;
    task.pooled_out.resize(static_cast<size_t>(encoder.arch().hidden));
    EncodeTask* tasks[] = {&task};
    begin(ids.size());
    RETURN_IF_ERROR(encoder.Run(tasks, scratch));
    vectors.push_back(std::move(task.pooled_out));
  }
  return vectors;
}

Accuracy CompareToF32(const Vectors& vectors, const Vectors& f32) {
  CHECK_THAT(vectors.size() >= 3 && vectors.size() == f32.size());
  Accuracy accuracy{.inputs = static_cast<int32_t>(vectors.size()), .cosine_min = 2};
  for (size_t i = 0; i < vectors.size(); ++i) {
    const double cosine = Cosine(vectors[i], f32[i]);
    accuracy.cosine_mean += cosine / static_cast<double>(vectors.size());
    if (cosine >= accuracy.cosine_min) continue;
    accuracy.cosine_min = cosine;
    accuracy.worst = static_cast<int32_t>(i);
  }
  accuracy.ranking_agreement = RankingAgreement(Compare(vectors), Compare(f32));
  return accuracy;
}

}  // namespace attnd
