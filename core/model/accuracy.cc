#include "core/model/accuracy.h"

#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace attnd {
namespace {

constexpr double kTie = 0.01;

using Vector = std::vector<float>;

absl::StatusOr<std::vector<Vector>> Pool(const Encoder& encoder, Pooling pooling,
                                         std::span<const std::vector<int32_t>> inputs) {
  Encoder::Scratch scratch(encoder);
  std::vector<Vector> vectors;
  for (const std::vector<int32_t>& ids : inputs) {
    EncodeTask task;
    task.ids = ids;
    task.pooling = pooling;
    task.pooled_out.resize(static_cast<size_t>(encoder.arch().hidden));
    EncodeTask* tasks[] = {&task};
    RETURN_IF_ERROR(encoder.Run(tasks, scratch));
    vectors.push_back(std::move(task.pooled_out));
  }
  return vectors;
}

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

Similarities Compare(const std::vector<Vector>& vectors) {
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

absl::StatusOr<Accuracy> CompareToF32(const Encoder& encoder, const Encoder& f32, Pooling pooling,
                                      std::span<const std::vector<int32_t>> inputs) {
  CHECK_THAT(inputs.size() >= 3);
  ASSIGN_OR_RETURN(const std::vector<Vector> vectors, Pool(encoder, pooling, inputs));
  ASSIGN_OR_RETURN(const std::vector<Vector> expected, Pool(f32, pooling, inputs));
  Accuracy accuracy{.inputs = static_cast<int32_t>(inputs.size()), .cosine_min = 2};
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double cosine = Cosine(vectors[i], expected[i]);
    accuracy.cosine_mean += cosine / static_cast<double>(inputs.size());
    if (cosine >= accuracy.cosine_min) continue;
    accuracy.cosine_min = cosine;
    accuracy.worst = static_cast<int32_t>(i);
  }
  accuracy.ranking_agreement = RankingAgreement(Compare(vectors), Compare(expected));
  return accuracy;
}

}  // namespace attnd
