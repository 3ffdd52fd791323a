#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bench/workload.h"
#include "core/batch/engine.h"
#include "core/model/encoder.h"
#include "core/tensor/profile.h"

// Forward passes through the engine that serves.
namespace attnd::bench {

inline constexpr int32_t kVocabulary = 30'522;  // BERT's.

ArchSpec BertArch(const ModelShape& shape, int32_t length_max);
// With seeded random weights. Ends the process, with the reason, if it cannot be made.
std::unique_ptr<const Encoder> RandomEncoder(const ArchSpec& arch, const Encoder::Options& options);

// With a queue without limits. `encoder` must outlive it.
std::unique_ptr<Engine> StartEngine(const Encoder& encoder, int workers, int split_rows);

// One pass: all sequences are submitted at once, in arrival order; the seconds until the last is
// done. `hidden` is the width of the vectors that each token gets.
double RunOnce(Engine& engine, const std::vector<int32_t>& lengths, int32_t hidden);

// The seconds of each stage in so many passes on this thread, in batches as they would be.
inline constexpr int kProfilePasses = 3;
Profile MeasureProfile(const Encoder& encoder, const std::vector<int32_t>& lengths);

// Of an odd count: the one in the middle; of an even one: the upper of two.
double Median(std::vector<double> values);

}  // namespace attnd::bench
