#pragma once

#include <cstdint>
#include <random>
#include <vector>

// What a load run sends and when, as pure functions of their seeds: two runs with the same flags
// send the same.
namespace attnd::client {

// Token counts like those of real short texts: log-normal, rounded, clipped to [length_min,
// length_max].
struct LengthMix {
  double median = 24;
  double sigma = 0.9;
  int32_t length_min = 4;
  int32_t length_max = 512;
  uint32_t seed = 7;
};
// Bit for bit numpy.clip(numpy.rint(numpy.exp(numpy.random.RandomState(seed).normal(log(median),
// sigma, count))), ...), so that figures can be set beside those of Python programs.
std::vector<int32_t> MixLengths(int32_t count, const LengthMix& mix);

// Which ids the sequences are made of. The ends are fixed ([CLS] and [SEP] of BERT's vocabularies),
// the inside is uniform in [id_min, id_end).
struct IdRange {
  int32_t first = 101;
  int32_t last = 102;
  int32_t id_min = 1000;
  int32_t id_end = 30522;
};
std::vector<int32_t> RandomIds(int32_t length, const IdRange& range, std::mt19937& random);

enum class Arrival {
  kFixed,   // One every 1/rate seconds.
  kPoisson  // Exponential gaps with mean 1/rate: independent callers.
};

// The times to send at, in seconds from the start.
class ArrivalSchedule {
 public:
  ArrivalSchedule(Arrival arrival, double rate, uint32_t seed)
      : arrival_(arrival), rate_(rate), random_(seed) {}
  double NextSeconds();

 private:
  Arrival arrival_;
  double rate_;
  std::mt19937 random_;
  int64_t index_ = 0;
  double seconds_ = 0;
};

}  // namespace attnd::client
