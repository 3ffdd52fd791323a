#pragma once

// Loops over one row of `n` numbers, in a fixed order, so that the same row gives the same bits
// wherever it stands. Compiled for AVX2 and FMA; see CMakeLists.txt. Pointers must not overlap
// unless they are equal.
namespace attnd::kernels {

// x = (x - mean) / sqrt(variance + epsilon) * gain + bias. Ba et al. 2016, "Layer Normalization",
// equation 4.
void LayerNorm(float* x, long n, const float* gain, const float* bias, float epsilon);
// y = a + b + c.
void Sum3(const float* a, const float* b, const float* c, float* y, long n);
// y = a + b.
void Sum2(const float* a, const float* b, float* y, long n);
// y = max(y, x).
void Max(const float* x, float* y, long n);
// y *= factor.
void Scale(float factor, float* y, long n);
// The sum of squares.
float SquaredLength(const float* x, long n);

}  // namespace attnd::kernels
