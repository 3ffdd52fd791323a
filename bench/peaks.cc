#include "bench/peaks.h"

#include <immintrin.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "core/tensor/aligned_buffer.h"
#include "core/tensor/onednn.h"

namespace attnd::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Enough independent sums to hide an instruction's latency (4 cycles, two a cycle) twice, and few
// enough to stay in 16 registers.
constexpr int kSums = 12;
constexpr int64_t kRounds = 4096;

// A kernel runs kRounds rounds of kSums instructions. What this touches is unknown to the compiler
// afterwards, at no cost, so that neither merging equal sums nor hoisting leaves out work.
#define OPAQUE(operand) __asm__ volatile("" : "+x"(operand))

__attribute__((target("avx2,fma"))) void FmaAvx2() {
  __m256 sums[kSums] = {}, a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  for (auto& sum : sums) OPAQUE(sum);
  for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm256_fmadd_ps(sum, a, b);
  }
  for (auto& sum : sums) OPAQUE(sum);
}

__attribute__((target("avx512f"))) void FmaAvx512() {
  __m512 sums[kSums] = {}, a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (auto& sum : sums) OPAQUE(sum);
  for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, a, b);
  }
  for (auto& sum : sums) OPAQUE(sum);
}

__attribute__((target("avx2"))) void Int8Avx2() {
  __m256i sums[kSums] = {}, a = _mm256_set1_epi8(3);
  const __m256i b = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
  for (auto& sum : sums) OPAQUE(sum);
  for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      OPAQUE(a);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
    }
  }
  for (auto& sum : sums) OPAQUE(sum);
}

__attribute__((target("avx512f,avx512vnni"))) void Int8Avx512Vnni() {
  __m512i sums[kSums] = {};
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (auto& sum : sums) OPAQUE(sum);
  for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
  }
  for (auto& sum : sums) OPAQUE(sum);
}

__attribute__((target("avx2,avxvnni"))) void Int8AvxVnni() {
  __m256i sums[kSums] = {};
  const __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  for (auto& sum : sums) OPAQUE(sum);
  for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm256_dpbusd_avx_epi32(sum, a, b);
  }
  for (auto& sum : sums) OPAQUE(sum);
}

__attribute__((target("avx512f,avx512bf16"))) void Bf16Avx512() {
  __m512 sums[kSums] = {};
  const __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f00), b = (__m512bh)_mm512_set1_epi16(0x3e80);
  for (auto& sum : sums) OPAQUE(sum);
  for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, a, b);
  }
  for (auto& sum : sums) OPAQUE(sum);
}
constexpr size_t kBufferBytes = size_t{256} << 20;

// Four sums, so that additions never hold up the loads.
__attribute__((target("avx2"))) void ReadAll(const float* data) {
  __m256 sums[4] = {};
  for (size_t i = 0; i < kBufferBytes / sizeof(float); i += 32) {
    for (size_t j = 0; j < 4; ++j) {
      sums[j] = _mm256_add_ps(sums[j], _mm256_load_ps(data + i + 8 * j));
    }
  }
  for (auto& sum : sums) OPAQUE(sum);
}
#undef OPAQUE

// Calls a second of all threads, each from the moment that all are ready until `seconds` are over.
template <typename MakeCall>
double CallsPerSecondOnce(int threads, double seconds, const MakeCall& make_call) {
  std::barrier ready(threads);
  std::vector<double> rates(static_cast<size_t>(threads));
  std::vector<std::thread> running;
  for (double& rate : rates) {
    running.emplace_back([&] {
      auto call = make_call();
      call();
      ready.arrive_and_wait();
      const auto begin = Clock::now();
      double elapsed = 0;
      int64_t calls = 0;
      for (; elapsed < seconds; ++calls) {
        call();
        elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
      }
      rate = static_cast<double>(calls) / elapsed;
    });
  }
  for (std::thread& thread : running) thread.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

// The best of some tries: what disturbs only ever slows down.
template <typename MakeCall>
double CallsPerSecond(int threads, double seconds, const MakeCall& make_call) {
  constexpr int kTries = 5;
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    best = std::max(best, CallsPerSecondOnce(threads, seconds / kTries, make_call));
  }
  return best;
}

// `operations`: of one of the kSums steps of a round.
Peak Measure(int threads, double seconds, void (*kernel)(), int operations, const char* name) {
  const double calls = CallsPerSecond(threads, seconds, [kernel] { return kernel; });
  return {calls * static_cast<double>(kRounds * kSums * operations), name};
}

}  // namespace

Peak MeasureFma(int threads, double seconds) {
  if (onednn::HasAvx512()) {
    return Measure(threads, seconds, FmaAvx512, 32, "vfmadd, 512 bits");
  }
  return Measure(threads, seconds, FmaAvx2, 16, "vfmadd, 256 bits");
}

Peak MeasureInt8Dot(int threads, double seconds) {
  // What oneDNN is held to, it names; what this CPU has, the compiler's check knows.
  if (onednn::HasAvx512() && __builtin_cpu_supports("avx512vnni")) {
    return Measure(threads, seconds, Int8Avx512Vnni, 128, "vpdpbusd, 512 bits");
  }
  if (onednn::Isa() == "avx2_vnni") {
    return Measure(threads, seconds, Int8AvxVnni, 64, "vpdpbusd, 256 bits");
  }
  return Measure(threads, seconds, Int8Avx2, 64, "vpmaddubsw + vpmaddwd + vpaddd, 256 bits");
}

Peak MeasureBf16Dot(int threads, double seconds) {
  if (!onednn::HasAvx512() || !__builtin_cpu_supports("avx512bf16")) return {};
  return Measure(threads, seconds, Bf16Avx512, 64, "vdpbf16ps, 512 bits");
}

double MeasureReadBandwidth(int threads, double seconds) {
  const double calls = CallsPerSecond(threads, seconds, [] {
    AlignedBuffer buffer(kBufferBytes);
    for (float& value : buffer.floats()) value = 1.0f;  // Pages of its own, not the zero page.
    return [buffer = std::move(buffer)]() { ReadAll(buffer.floats().data()); };
  });
  return calls * static_cast<double>(kBufferBytes);
}

}  // namespace attnd::bench
