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

float SquaredLength(const float* x, long n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (long i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

}  // namespace attnd::kernels
