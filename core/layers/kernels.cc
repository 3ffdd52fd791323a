#include "core/layers/kernels.h"

namespace attnd::kernels {

void LayerNorm(const float* x, float* y, long n, const float* gain, const float* bias,
               float epsilon) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (long i = 0; i < n; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(n);
  // A second pass: the one-pass formula loses digits when the mean is large.
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (long i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float variance = squares / static_cast<float>(n);
  const float scale = 1.0f / __builtin_sqrtf(variance + epsilon);
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
}

void RmsNorm(const float* x, float* y, long n, const float* gain, float epsilon) {
  const float scale = 1.0f / __builtin_sqrtf(SquaredLength(x, n) / static_cast<float>(n) + epsilon);
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = x[i] * scale * gain[i];
}

void Rotate(float* x, long heads, long half, const float* cosines, const float* sines) {
  for (long head = 0; head < heads; ++head) {
    float* first = x + head * 2 * half;
    float* second = first + half;
#pragma omp simd
    for (long i = 0; i < half; ++i) {
      const float a = first[i], b = second[i];
      first[i] = a * cosines[i] - b * sines[i];
      second[i] = b * cosines[i] + a * sines[i];
    }
  }
}

void Sum3(const float* a, const float* b, const float* c, float* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = a[i] + b[i] + c[i];
}

void Sum2(const float* a, const float* b, float* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

void Multiply(const float* x, float* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] *= x[i];
}

void Max(const float* x, float* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = x[i] > y[i] ? x[i] : y[i];
}

void Scale(float factor, float* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] *= factor;
}

void Quantize(const float* x, const float* factors, unsigned char* q, long n, float* scale,
              float* low) {
  // Becomes NaN where a number is NaN or infinite, and with it all that follows.
  float nothing = 0;
  float least = x[0] * factors[0], most = least;
#pragma omp simd reduction(min : least) reduction(max : most) reduction(+ : nothing)
  for (long i = 0; i < n; ++i) {
    const float value = x[i] * factors[i];
    nothing += value * 0;
    least = value < least ? value : least;
    most = value > most ? value : most;
  }
  constexpr float kSteps = 255;
  const float range = most - least;
  // A row of equal numbers, or nearly so, is its least.
  const float steps = range > 0 && kSteps / range < __FLT_MAX__ ? kSteps / range : 0.0f;
#pragma omp simd
  for (long i = 0; i < n; ++i) {
    const int step = static_cast<int>((x[i] * factors[i] - least) * steps + 0.5f);
    q[i] = static_cast<unsigned char>(step > 255 ? 255 : step < 0 ? 0 : step);
  }
  *scale = range / kSteps + nothing;
  *low = least;
}

void RoundToBf16(const float* x, unsigned short* y, long n) {
#pragma omp simd
  for (long i = 0; i < n; ++i) {
    const auto bits = __builtin_bit_cast(unsigned, x[i]);
    const unsigned rounded = bits + 0x7fff + ((bits >> 16) & 1);
    // Rounding could make infinity of a NaN, or worse.
    const unsigned kept = x[i] == x[i] ? rounded : bits | 0x400000;
    y[i] = static_cast<unsigned short>(kept >> 16);
  }
}

void ScaleSums(const float* sums, float* y, long n, const float* scales, const float* totals,
               const float* bias, float scale, float low) {
#pragma omp simd
  for (long i = 0; i < n; ++i) y[i] = scales[i] * (scale * sums[i]) + (low * totals[i] + bias[i]);
}

void ScaleSumsAndAdd(const float* sums, float* y, long n, const float* scales, const float* totals,
                     const float* bias, float scale, float low) {
#pragma omp simd
  for (long i = 0; i < n; ++i) {
    y[i] += scales[i] * (scale * sums[i]) + (low * totals[i] + bias[i]);
  }
}

float SquaredLength(const float* x, long n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (long i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

}  // namespace attnd::kernels
