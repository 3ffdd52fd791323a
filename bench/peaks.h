#pragma once

#include <string>

// What the machine can do at most, measured with instructions alone: no library, no memory traffic
// but where that is what is measured. The instruction sets are those of the CPU, held to
// ONEDNN_MAX_CPU_ISA like oneDNN's own kernels.
namespace attnd::bench {

// Operations a second of all threads together; a multiplication and an addition are two.
struct Peak {
  double operations_per_second = 0;
  std::string instruction;  // "vdpbusd, 512 bits". Empty: the CPU has none that is measured here.
};

// Fused multiply-add, f32.
Peak MeasureFma(int threads, double seconds);
// 8-bit products summed in 32 bits: vpdpbusd, or vpmaddubsw, vpmaddwd and vpaddd where that is all.
// AMX tiles are not measured.
Peak MeasureInt8Dot(int threads, double seconds);
// bf16 products summed in f32: vdpbf16ps. AMX tiles are not measured.
Peak MeasureBf16Dot(int threads, double seconds);

// Bytes a second that all threads together read, each from 256 MiB of its own.
double MeasureReadBandwidth(int threads, double seconds);

}  // namespace attnd::bench
