#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"
#include "client/commands/jsonl.h"
#include "client/commands/load_json.h"
#include "client/commands/option_flags.h"
#include "client/convert_encode.h"
#include "client/load/generator.h"

namespace attnd::client {
namespace {

struct LoadFlags {
  ConnectionFlags connection;
  LoadOptions load;
  EncodeOptions encode;
  int concurrency = 0;
  int in_flight_max = 4096;
  int inputs = 1;
  std::string texts_path;
  LengthMix mix;
  int length = 0;
  bool vectors = false;
  bool json = false;
};

// The mix of 256 lengths that the benchmarks use, as token ids, so that lengths are exact.
// Sets the longest length that the server then takes.
absl::StatusOr<std::vector<Input>> MakeIdInputs(LoadFlags& flags) {
  const Client client(flags.connection.ToOptions());
  const absl::StatusOr<ModelInfo> model = client.GetModel(flags.encode.model);
  if (!model.ok()) return model.status();
  if (flags.length > model->length_limit) {
    return absl::InvalidArgumentError(absl::StrCat("--length ", flags.length,
                                                   " is more than the model's limit of ",
                                                   model->length_limit, " tokens"));
  }
  flags.encode.length_max = model->length_limit;
  IdRange range;
  range.id_end = std::min(range.id_end, model->vocabulary_size);
  if (range.id_end <= range.id_min) range = {.first = 0, .last = 0, .id_min = 0, .id_end = 1};
  LengthMix mix = flags.mix;
  mix.length_max = std::min(mix.length_max, model->length_limit);
  constexpr int32_t kCount = 256;
  std::vector<int32_t> lengths = MixLengths(kCount, mix);
  if (flags.length > 0) std::fill(lengths.begin(), lengths.end(), flags.length);
  std::mt19937 random(mix.seed);
  std::vector<Input> inputs;
  for (const int32_t length : lengths) {
    inputs.emplace_back(TokenIds{.ids = RandomIds(length, range, random), .type_ids = {}});
  }
  return inputs;
}

absl::StatusOr<std::vector<Input>> ReadTextInputs(const std::string& path) {
  constexpr size_t kLinesMax = 100'000;
  constexpr size_t kLineBytesMax = size_t{1} << 20;
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot open ", path));
  std::vector<Input> inputs;
  std::string line;
  while (inputs.size() < kLinesMax) {
    const LineRead read = ReadLine(file, kLineBytesMax, line);
    if (read == LineRead::kEnd) break;
    if (read == LineRead::kTooLong) {
      return absl::InvalidArgumentError(absl::StrCat(path, ", line ", inputs.size() + 1,
                                                     ": longer than ", kLineBytesMax, " bytes"));
    }
    inputs.emplace_back(line);
  }
  if (inputs.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " has no lines"));
  return inputs;
}

// One request for each input, which begins with it and goes on with those that follow.
std::vector<v1::EncodeRequest> MakeRequests(const std::vector<Input>& inputs, int inputs_each,
                                            const EncodeOptions& options) {
  std::vector<v1::EncodeRequest> requests;
  for (size_t begin = 0; begin < inputs.size(); ++begin) {
    std::vector<Input> chosen;
    for (int i = 0; i < inputs_each; ++i) {
      chosen.push_back(inputs[(begin * inputs_each + i) % inputs.size()]);
    }
    requests.push_back(ToProto(chosen, options));
  }
  return requests;
}

int RunLoad(LoadFlags flags, Streams& streams) {
  const ConnectOptions connect = flags.connection.ToOptions();
  flags.load.target = connect.target;
  flags.load.tls = connect.tls;
  flags.load.deadline = connect.deadline;
  flags.load.reply_bytes_max = connect.reply_bytes_max;
  flags.load.api_key = connect.api_key;
  flags.load.in_flight_max = flags.load.rate > 0 ? flags.in_flight_max : flags.concurrency;
  if (flags.load.rate <= 0 && flags.concurrency <= 0) {
    streams.error << "attnctl load: give --rate or --concurrency\n";
    return 1;
  }
  flags.encode.return_token_vectors = flags.vectors;
  flags.encode.return_tokens = false;
  const auto inputs =
      flags.texts_path.empty() ? MakeIdInputs(flags) : ReadTextInputs(flags.texts_path);
  if (!inputs.ok()) return PrintError(inputs.status(), streams.error);
  const auto samples = GenerateLoad(flags.load, MakeRequests(*inputs, flags.inputs, flags.encode));
  if (!samples.ok()) return PrintError(samples.status(), streams.error);
  const LoadReport report = Summarize(*samples, flags.load.warmup_seconds);
  streams.out << (flags.json ? FormatReportJson(report) : FormatReport(report));
  return report.failed == 0 && report.answered > 0 ? 0 : 1;
}

void AddScheduleFlags(CLI::App& command, LoadFlags& flags) {
  CLI::Option* rate = command.add_option(
      "--rate", flags.load.rate, "Requests a second, sent whatever the answers do (open loop)");
  rate->check(CLI::Range(0.001, 1e6));
  command
      .add_option("--concurrency", flags.concurrency,
                  "Requests in flight; each answer lets the next go (closed loop)")
      ->check(CLI::Range(1, 65536))
      ->excludes(rate);
  command.add_option("--arrival", flags.load.arrival, "poisson (the default) or fixed gaps")
      ->type_name("NAME")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, Arrival>{{"poisson", Arrival::kPoisson},
                                                                 {"fixed", Arrival::kFixed}})
              .description(""));
  command.add_option("--seed", flags.load.seed, "Seed of the arrival times")->capture_default_str();
  command.add_option("--duration", flags.load.measured_seconds, "Seconds measured")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  command.add_option("--warmup", flags.load.warmup_seconds, "Seconds before, not measured")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command.add_option("--connections", flags.load.connections, "TCP connections")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command
      .add_option("--in-flight-max", flags.in_flight_max,
                  "With --rate: requests in flight at most; beyond it sending waits, which counts "
                  "as latency")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
}

void AddContentFlags(CLI::App& command, LoadFlags& flags) {
  AddModelFlag(command, flags.encode.model);
  AddPriorityFlag(command, flags.encode.priority);
  command.add_option("--inputs", flags.inputs, "Inputs a request")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--texts", flags.texts_path,
                     "A file of texts, one a line, sent in turn, instead of token ids");
  command.add_option("--length", flags.length, "Tokens of each input; default: the mix")
      ->check(CLI::Range(2, 65536));
  command.add_option("--length-median", flags.mix.median, "The mix: median of token counts")
      ->check(CLI::Range(2.0, 65536.0))
      ->capture_default_str();
  command.add_option("--length-sigma", flags.mix.sigma, "The mix: standard deviation of their log")
      ->check(CLI::Range(0.0, 4.0))
      ->capture_default_str();
  command.add_flag("--vectors", flags.vectors, "Ask for the vector of each token too");
}

}  // namespace

void AddLoadCommand(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "load", "Send load and measure: requests/s, tokens/s, latency percentiles, codes");
  const auto flags = std::make_shared<LoadFlags>();
  AddConnectionFlags(*command, flags->connection);
  AddScheduleFlags(*command, *flags);
  AddContentFlags(*command, *flags);
  command->add_flag("--json", flags->json, "Print the report as one JSON object");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunLoad(*flags, streams); }; });
}

}  // namespace attnd::client
