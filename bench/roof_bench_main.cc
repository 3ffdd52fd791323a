// The roofs of this machine, as one JSON object on one line:
//
//   roof_bench [--threads N] [--seconds S]      about S seconds for each roof (default 2)
//
// Rates are of all threads together: operations a second (a multiplication and an addition are two)
// and bytes a second. What the CPU has no instruction for is null.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "bench/peaks.h"
#include "bench/roof.h"
#include "core/tensor/onednn.h"

namespace attnd::bench {
namespace {

void PrintPeak(const char* name, const Peak& peak) {
  if (peak.instruction.empty()) {
    std::printf("\"%s\": null, ", name);
  } else {
    std::printf("\"%s\": {\"rate\": %.6g, \"how\": \"%s\"}, ", name, peak.operations_per_second,
                peak.instruction.c_str());
  }
}

int Run(int argc, char** argv) {
  int threads = 1;
  double seconds = 2;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--threads") threads = std::atoi(argv[i + 1]);
    if (name == "--seconds") seconds = std::atof(argv[i + 1]);
  }
  if (threads < 1 || seconds <= 0) {
    std::fprintf(stderr, "roof_bench: --threads and --seconds must be above 0\n");
    return 1;
  }
  std::printf("{\"onednn\": \"%s\", \"isa\": \"%s\", \"threads\": %d, ", onednn::Version().c_str(),
              onednn::Isa().c_str(), threads);
  PrintPeak("fma_f32", MeasureFma(threads, seconds));
  PrintPeak("dot_int8", MeasureInt8Dot(threads, seconds));
  PrintPeak("dot_bf16", MeasureBf16Dot(threads, seconds));
  const Roof gemm = MeasureRoof(threads, seconds);
  PrintPeak("gemm_f32", {gemm.flops_per_second, gemm.shape});
  std::printf("\"read\": {\"rate\": %.6g, \"how\": \"256 MiB a thread\"}}\n",
              MeasureReadBandwidth(threads, seconds));
  return 0;
}

}  // namespace
}  // namespace attnd::bench

int main(int argc, char** argv) { return attnd::bench::Run(argc, argv); }
