#pragma once

// Loops over one row of `n` numbers, in a fixed order, so that the same row gives the same bits
// wherever it stands. Compiled for AVX2 and FMA; see CMakeLists.txt. Pointers must not overlap
// unless they are equal.
namespace attnd::kernels {

// y = (x - mean) / sqrt(variance + epsilon) * gain + bias. Ba et al. 2016, "Layer Normalization",
// equation 4.
void LayerNorm(const float* x, float* y, long n, const float* gain, const float* bias,
               float epsilon);
// y = x / sqrt(mean of x^2 + epsilon) * gain. Zhang and Sennrich 2019, "Root Mean Square Layer
// Normalization", equation 4.
void RmsNorm(const float* x, float* y, long n, const float* gain, float epsilon);
// Turns each pair (x[i], x[i + half]) of each of `heads` heads, 2 * half wide, by the angle whose
// cosine and sine stand at i. Su et al. 2021, "RoFormer", equation 34, with the pairing of
// GPT-NeoX.
void Rotate(float* x, long heads, long half, const float* cosines, const float* sines);
// y = a + b + c.
void Sum3(const float* a, const float* b, const float* c, float* y, long n);
// y = a + b.
void Sum2(const float* a, const float* b, float* y, long n);
// y *= x.
void Multiply(const float* x, float* y, long n);
// y = max(y, x).
void Max(const float* x, float* y, long n);
// y *= factor.
void Scale(float factor, float* y, long n);
// factors * x = low + scale * q, as nearly as 256 steps allow; NaN if a number is not finite.
void Quantize(const float* x, const float* factors, unsigned char* q, long n, float* scale,
              float* low);
// The nearest bfloat16, the even one of two, as its 16 bits; NaN stays NaN.
void RoundToBf16(const float* x, unsigned short* y, long n);
// y = scales * (scale * sums) + low * totals + bias: what Linear makes of sums of integers.
void ScaleSums(const float* sums, float* y, long n, const float* scales, const float* totals,
               const float* bias, float scale, float low);
// y += that.
void ScaleSumsAndAdd(const float* sums, float* y, long n, const float* scales, const float* totals,
                     const float* bias, float scale, float low);
// The sum of squares.
float SquaredLength(const float* x, long n);

}  // namespace attnd::kernels
