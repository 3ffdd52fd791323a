// How time grows: with sequences in the queue, with their length, with workers. MiniLM's shape.
// Prints tables in Markdown.
//
//   growth_bench [REPEATS]      default 5
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "bench/passes.h"

namespace attnd::bench {
namespace {

constexpr int32_t kLengthMax = 4096;
const int kSplitRows = Engine::Options().split_rows;

double MedianSeconds(Engine& engine, const std::vector<int32_t>& lengths, int repeats) {
  std::vector<double> seconds;
  for (int i = 0; i <= repeats; ++i) {
    const double elapsed = RunOnce(engine, lengths, kMiniLm.hidden);
    if (i > 0) seconds.push_back(elapsed);
  }
  return Median(seconds);
}

// All of them wait at once.
void PrintQueue(Engine& engine, int repeats) {
  std::printf("| sequences of 24 tokens in the queue | us a token |\n|---:|---:|\n");
  for (const size_t count : {1, 4, 16, 64, 256, 1024, 4096}) {
    const std::vector<int32_t> lengths(count, 24);
    const double seconds = MedianSeconds(engine, lengths, count > 256 ? 3 : 4 * repeats);
    std::printf("| %zu | %.1f |\n", count, 1e6 * seconds / (24.0 * static_cast<double>(count)));
  }
}

// Attention's time is its scores, softmax and weighted sums; for a token it grows with the length,
// and the rest does not.
void PrintLengths(const Encoder& encoder) {
  std::printf(
      "\n| tokens | us a token | of them attention | a token and 1,000 keys | all else |\n");
  std::printf("|---:|---:|---:|---:|---:|\n");
  for (const int32_t length : {64, 128, 256, 512, 1024, 2048, 4096}) {
    const std::vector<int32_t> lengths(static_cast<size_t>(kLengthMax / length), length);
    const Profile profile = MeasureProfile(encoder, lengths);
    const auto micros = [&](double seconds) {
      return 1e6 * seconds / (kProfilePasses * kLengthMax);
    };
    const auto of = [&](Stage stage) { return profile.seconds[static_cast<size_t>(stage)]; };
    const double all = micros(std::accumulate(profile.seconds.begin(), profile.seconds.end(), 0.0));
    const double attention =
        micros(of(Stage::kScores) + of(Stage::kSoftmax) + of(Stage::kWeightedSum));
    std::printf("| %d | %.1f | %.1f | %.1f | %.1f |\n", length, all, attention,
                attention * 1000 / length, all - attention);
  }
}

// One worker and several in turn, so that a noisy machine moves both.
void PrintWorkers(const Encoder& encoder, int repeats) {
  std::printf("\n| workload | 1 worker, ms | 2 workers, ms | ratio |\n|---|---:|---:|---:|\n");
  for (const char* workload : kWorkloads) {
    const std::vector<int32_t> lengths = WorkloadLengths(workload);
    std::vector<double> one, two;
    for (int i = 0; i < repeats; ++i) {
      one.push_back(MedianSeconds(*StartEngine(encoder, 1, kSplitRows), lengths, 1));
      two.push_back(MedianSeconds(*StartEngine(encoder, 2, kSplitRows), lengths, 1));
    }
    std::printf("| %s | %.1f | %.1f | %.2f |\n", workload, 1e3 * Median(one), 1e3 * Median(two),
                Median(one) / Median(two));
  }
}

void Run(int repeats) {
  const auto encoder = RandomEncoder(BertArch(kMiniLm, kLengthMax), {});
  std::printf("Two workers:\n\n");
  PrintQueue(*StartEngine(*encoder, 2, kSplitRows), repeats);
  std::printf("\nOne thread, 4,096 tokens at a time:\n");
  PrintLengths(*encoder);
  PrintWorkers(*encoder, repeats);
}

}  // namespace
}  // namespace attnd::bench

int main(int argc, char** argv) {
  attnd::bench::Run(argc > 1 ? std::max(std::atoi(argv[1]), 1) : 5);
}
