// What each option of a task costs over the plain pass, and how the cost of a local layer grows
// with the length beside that of a global one. One worker; prints tables in Markdown.
//
//   options_bench [REPEATS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/passes.h"
#include "bench/workload.h"
#include "core/base/check.h"
#include "core/model/encoder.h"
#include "core/tensor/onednn.h"

namespace attnd::bench {
namespace {

// MiniLM with a masked-language model's head, so that every output can be asked for.
ArchSpec MiniLm() {
  ArchSpec arch = BertArch(kMiniLm, /*length_max=*/512);
  arch.head = {.kind = HeadKind::kVocabulary,
               .outputs = kVocabulary,
               .dense = true,
               .activation = Activation::kGeluErf,
               .norm = true,
               .tied = true};
  return arch;
}

// One layer of ModernBERT-base's shape.
ArchSpec OneLayer(bool local) {
  ArchSpec arch;
  arch.hidden = 768;
  arch.vocabulary = 1000;
  arch.length_max = 8192;
  arch.encoder = {.layers = 1,
                  .heads = 12,
                  .head_size = 64,
                  .inner = 1152,
                  .norm_at = NormAt::kBefore,
                  .gated = true,
                  .first_norm = false,
                  .final_norm = true,
                  .theta = 160'000,
                  .local_theta = 10'000,
                  .window = 64,
                  .local_layers = {static_cast<uint8_t>(local)}};
  return arch;
}

EncodeTask TaskOf(int32_t length, int32_t vocabulary) {
  std::mt19937 random(static_cast<uint32_t>(length));
  EncodeTask task;
  for (int32_t i = 0; i < length; ++i) {
    task.ids.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(vocabulary)));
  }
  return task;
}

double Seconds(const Encoder& encoder, std::vector<EncodeTask>& tasks, Encoder::Scratch& scratch) {
  std::vector<EncodeTask*> pointers;
  for (EncodeTask& task : tasks) pointers.push_back(&task);
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THAT(encoder.Run(pointers, scratch).ok());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

struct Option {
  const char* name;
  void (*ask)(EncodeTask& task);
};
// What is asked for is sized as Model::SizeOutputs does.
const Option kOptions[] = {
    {"plain: mean pooling", [](EncodeTask&) {}},
    {"token vectors",
     [](EncodeTask& task) {
       task.return_rows = true;
       task.rows_out.resize(task.ids.size() * kMiniLm.hidden);
     }},
    {"all hidden layers",
     [](EncodeTask& task) {
       for (int32_t layer = 0; layer <= kMiniLm.layers; ++layer) {
         task.hidden_layers.push_back(layer);
       }
       task.hidden_out.resize(task.hidden_layers.size() * task.ids.size() * kMiniLm.hidden);
     }},
    {"attention weights, one layer",
     [](EncodeTask& task) {
       task.attention_layers = {kMiniLm.layers};
       task.return_attention_weights = true;
       task.attention_weights_out.resize(kMiniLm.heads * task.ids.size() * task.ids.size());
     }},
    {"attention weights and scores, all layers",
     [](EncodeTask& task) {
       for (int32_t layer = 1; layer <= kMiniLm.layers; ++layer) {
         task.attention_layers.push_back(layer);
       }
       task.return_attention_weights = task.return_attention_scores = true;
       const size_t size = kMiniLm.layers * kMiniLm.heads * task.ids.size() * task.ids.size();
       task.attention_weights_out.resize(size);
       task.attention_scores_out.resize(size);
     }},
    {"vocabulary logits of one row",
     [](EncodeTask& task) {
       task.return_logits = true;
       task.logit_rows = {0};
       task.logits_out.resize(kVocabulary);
     }},
    {"sparse weights",
     [](EncodeTask& task) {
       task.return_sparse = true;
       task.sparse_out.resize(kVocabulary);
     }},
};

void MeasureOptions(int repeats) {
  const auto encoder = RandomEncoder(MiniLm(), {.head = true});
  Encoder::Scratch scratch(*encoder);
  std::vector<std::vector<double>> seconds(std::size(kOptions));
  // Interleaved, so that a noisy machine moves every row alike.
  for (int repeat = 0; repeat <= repeats; ++repeat) {
    for (size_t i = 0; i < std::size(kOptions); ++i) {
      std::vector<EncodeTask> tasks;
      for (int count = 0; count < 8; ++count) {
        EncodeTask task = TaskOf(128, kVocabulary);
        task.pooling = Pooling::kMean;
        task.pooled_out.resize(kMiniLm.hidden);
        kOptions[i].ask(task);
        tasks.push_back(std::move(task));
      }
      const double elapsed = Seconds(*encoder, tasks, scratch);
      if (repeat > 0) seconds[i].push_back(elapsed);
    }
  }
  std::printf("8 x 128 tokens, MiniLM shape with a masked-language head, median of %d passes\n\n",
              repeats);
  std::printf("| asked for | median ms | of the plain pass |\n|---|---:|---:|\n");
  for (size_t i = 0; i < std::size(kOptions); ++i) {
    std::printf("| %s | %.2f | %.2f |\n", kOptions[i].name, Median(seconds[i]) * 1e3,
                Median(seconds[i]) / Median(seconds[0]));
  }
}

void MeasureGrowth(int repeats) {
  const int32_t lengths[] = {512, 1024, 2048, 4096, 8192};
  std::printf("\nOne layer of ModernBERT-base's shape, one sequence, window 64, median of %d\n\n",
              repeats);
  std::printf("| tokens | local, us a token | global, us a token |\n|---:|---:|---:|\n");
  const std::unique_ptr<const Encoder> encoders[] = {
      RandomEncoder(OneLayer(true), {.batch_rows_max = 8192}),
      RandomEncoder(OneLayer(false), {.batch_rows_max = 8192})};
  for (const int32_t length : lengths) {
    double micros[2];
    for (int kind = 0; kind < 2; ++kind) {
      Encoder::Scratch scratch(*encoders[kind]);
      std::vector<double> seconds;
      for (int repeat = 0; repeat <= repeats; ++repeat) {
        std::vector<EncodeTask> tasks{TaskOf(length, 1000)};
        const double elapsed = Seconds(*encoders[kind], tasks, scratch);
        if (repeat > 0) seconds.push_back(elapsed);
      }
      micros[kind] = Median(seconds) / length * 1e6;
    }
    std::printf("| %d | %.1f | %.1f |\n", length, micros[0], micros[1]);
  }
}

}  // namespace
}  // namespace attnd::bench

int main(int argc, char** argv) {
  const int repeats = argc > 1 ? std::atoi(argv[1]) : 5;
  attnd::onednn::UseOneThread();
  std::printf("oneDNN %s on %s\n\n", attnd::onednn::Version().c_str(),
              attnd::onednn::Isa().c_str());
  attnd::bench::MeasureOptions(repeats);
  attnd::bench::MeasureGrowth(std::max(1, repeats / 2));
}
