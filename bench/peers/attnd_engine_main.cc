// attnd's engine as a worker of bench/peers: one process, one loaded model, one line in, one line
// of JSON out (the protocol is in bench/peers/README.md).
//
//   attnd_engine --model DIR [--precision f32|bf16|int8] [--threads N]
//
// In int8 a model with a tokenizer is calibrated on the texts that the server calibrates on.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <latch>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/check.h"
#include "core/base/model_dir.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/batch/engine.h"
#include "core/batch/model_executor.h"
#include "core/input/calibration_texts.h"
#include "core/input/tokenizer.h"
#include "core/model/model.h"
#include "core/tensor/onednn.h"
#include "nlohmann/json.hpp"

namespace attnd::bench {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;
using Rows = std::vector<std::vector<float>>;

constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr uint64_t kTokenizerBytesMax = 64 << 20;
constexpr int32_t kCalibrationTokensMax = 256;

struct Arguments {
  std::string model;
  std::string precision = "f32";
  int threads = 1;
};

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--model") arguments.model = argv[i + 1];
    if (name == "--precision") arguments.precision = argv[i + 1];
    if (name == "--threads") arguments.threads = std::atoi(argv[i + 1]);
  }
  return arguments;
}

absl::StatusOr<Sequences> TokenizeTexts(const ModelDir& dir) {
  ASSIGN_OR_RETURN(const std::string json, dir.ReadFile(kTokenizerFile, kTokenizerBytesMax));
  ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(json));
  Sequences inputs;
  for (const std::string_view text : BuiltInCalibrationTexts()) {
    ASSIGN_OR_RETURN(auto tokens, tokenizer->Encode(text, std::nullopt,
                                                    {.truncation = Truncation::kRight,
                                                     .length_max = kCalibrationTokensMax,
                                                     .return_strings = false}));
    inputs.push_back(std::move(tokens.ids));
  }
  return inputs;
}

absl::StatusOr<std::unique_ptr<const Model>> LoadModel(const Arguments& arguments) {
  if (arguments.threads < 1) return absl::InvalidArgumentError("--threads is not above 0");
  const auto precision = ParsePrecision(arguments.precision);
  if (!precision) {
    return absl::UnimplementedError(StrCat("attnd does not compute in ", arguments.precision));
  }
  ASSIGN_OR_RETURN(const ModelDir dir, ModelDir::Open(arguments.model));
  Model::Options options{.precision = *precision};
  if (*precision != Precision::kF32 && dir.Has(kTokenizerFile)) {
    ASSIGN_OR_RETURN(options.calibration, TokenizeTexts(dir));
  }
  return Model::Load(dir, options);
}

// The engine as the server makes it, with a queue that takes any workload whole.
std::unique_ptr<Engine> StartEngine(const Model& model, int workers) {
  Engine::Options options;
  options.workers = workers;
  Engine::Lane lane;
  lane.queue = {.rows_max = 1 << 24, .jobs_max = 1 << 20, .bytes_max = int64_t{1} << 40};
  lane.executors = ModelExecutors(model.encoder());
  return std::make_unique<Engine>(std::move(options), std::move(lane));
}

// One pass: every sequence becomes a job as in the server, all are submitted in arrival order, and
// the last hidden states of each come back in its place. Making the jobs and the room for their
// results is part of the time, as it is for the other engines.
double RunPass(Engine& engine, const Model& model, const Sequences& sequences, Rows& rows) {
  rows.assign(sequences.size(), {});
  std::latch left(static_cast<std::ptrdiff_t>(sequences.size()));
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::unique_ptr<Job>> jobs;
  for (size_t i = 0; i < sequences.size(); ++i) {
    EncodeTask task;
    task.ids = sequences[i];
    task.return_rows = true;
    model.SizeOutputs(task);
    auto job = std::make_unique<Job>();
    job->rows = static_cast<int32_t>(sequences[i].size());
    job->task = std::move(task);
    job->done = [&left, &out = rows[i]](std::unique_ptr<Job> done, absl::Status status) {
      CHECK_THAT(status.ok());
      out = std::move(std::get<EncodeTask>(done->task).rows_out);
      left.count_down();
    };
    jobs.push_back(std::move(job));
  }
  CHECK_THAT(engine.Submit(0, jobs).ok());
  left.wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// A sequence a line, ids between blanks; an empty line ends a batch, which means nothing here.
absl::StatusOr<Sequences> ReadSequences(const std::string& path, const ModelInfo& info) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(StrCat("cannot open ", path));
  Sequences sequences;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::vector<int32_t> ids;
    for (int32_t id = 0; fields >> id;) {
      if (id < 0 || id >= info.vocabulary) {
        return absl::InvalidArgumentError(StrCat(path, ": no id ", id, " in the vocabulary"));
      }
      ids.push_back(id);
    }
    if (ids.size() > static_cast<size_t>(info.length_max)) {
      return absl::InvalidArgumentError(StrCat(path, ": a sequence of ", ids.size(), " tokens; ",
                                               info.length_max, " are the most"));
    }
    if (!ids.empty()) sequences.push_back(std::move(ids));
  }
  if (sequences.empty()) return absl::InvalidArgumentError(StrCat(path, " has no sequences"));
  return sequences;
}

absl::Status WriteRows(const std::string& path, const Rows& rows) {
  std::ofstream file(path, std::ios::binary);
  for (const std::vector<float>& sequence : rows) {
    file.write(reinterpret_cast<const char*>(sequence.data()),
               static_cast<std::streamsize>(sequence.size() * sizeof(float)));
  }
  return file.flush() ? absl::OkStatus() : absl::UnavailableError(StrCat("cannot write ", path));
}

class Worker {
 public:
  Worker(std::unique_ptr<const Model> model, int threads)
      : model_(std::move(model)), engine_(StartEngine(*model_, threads)) {}

  const absl::Status& status() const { return engine_->status(); }

  nlohmann::json Greeting() const {
    return {{"version", model_->info().version},
            {"notes", StrCat("oneDNN ", onednn::Version(), " on ", onednn::Isa())}};
  }

  absl::StatusOr<nlohmann::json> Answer(const std::string& line) {
    std::istringstream fields(line);
    std::string command, name;
    fields >> command >> name;
    if (command == "workload") {
      std::string path;
      fields >> path;
      ASSIGN_OR_RETURN(workloads_[name], ReadSequences(path, model_->info()));
      return nlohmann::json::object();
    }
    const auto workload = workloads_.find(name);
    if (workload == workloads_.end()) {
      return absl::InvalidArgumentError(StrCat("no workload \"", name, "\" was given"));
    }
    if (command == "pass") {
      int count = 0;
      fields >> count;
      std::vector<double> seconds;
      for (int i = 0; i < count; ++i) {
        seconds.push_back(RunPass(*engine_, *model_, workload->second, rows_));
      }
      return nlohmann::json{{"seconds", seconds}};
    }
    if (command == "states") {
      std::string path;
      fields >> path;
      RunPass(*engine_, *model_, workload->second, rows_);
      RETURN_IF_ERROR(WriteRows(path, rows_));
      return nlohmann::json::object();
    }
    return absl::InvalidArgumentError(StrCat("unknown command \"", command, "\""));
  }

 private:
  const std::unique_ptr<const Model> model_;
  const std::unique_ptr<Engine> engine_;
  std::map<std::string, Sequences> workloads_;
  Rows rows_;  // Of the last pass, so that giving its memory back is no part of a pass.
};

nlohmann::json ErrorReply(const absl::Status& status) {
  return {{"error", std::string(status.message())}};
}

int Run(const Arguments& arguments) {
  auto model = LoadModel(arguments);
  if (!model.ok()) {
    std::cout << ErrorReply(model.status()) << std::endl;
    return 1;
  }
  Worker worker(*std::move(model), arguments.threads);
  if (!worker.status().ok()) {
    std::cout << ErrorReply(worker.status()) << std::endl;
    return 1;
  }
  std::cout << worker.Greeting() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const auto reply = worker.Answer(line);
    std::cout << (reply.ok() ? *reply : ErrorReply(reply.status())) << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace attnd::bench

int main(int argc, char** argv) { return attnd::bench::Run(attnd::bench::Parse(argc, argv)); }
