#include <iterator>
#include <memory>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/client.h"
#include "client/commands/attend_json.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"
#include "client/commands/jsonl.h"

namespace attnd::client {
namespace {

struct AttendFlags {
  ConnectionFlags connection;
  bool demo = false;
};

void PrintTensor(std::string_view name, const Tensor& tensor, std::ostream& out) {
  if (tensor.shape.empty()) return;
  out << name << "\n";
  const size_t width = static_cast<size_t>(tensor.shape.back());
  for (size_t i = 0; i < tensor.values.size(); ++i) {
    out << absl::StrFormat(" %8.4f", tensor.values[i]) << ((i + 1) % width == 0 ? "\n" : "");
  }
}

int RunDemo(const Client& client, Streams& streams) {
  const AttendRequest request = DemoAttention();
  const auto reply = client.Attend(request);
  if (!reply.ok()) return PrintError(reply.status(), streams.error);
  streams.out << "softmax(query key^T / sqrt(2)) value, one head\n";
  PrintTensor("query", request.query, streams.out);
  PrintTensor("key", request.key, streams.out);
  PrintTensor("value", request.value, streams.out);
  PrintTensor("weights", reply->weights, streams.out);
  PrintTensor("output", reply->output, streams.out);
  return 0;
}

int RunAttend(const AttendFlags& flags, Streams& streams) {
  const Client client(flags.connection.ToOptions());
  if (flags.demo) return RunDemo(client, streams);
  constexpr size_t kInputBytesMax = size_t{64} << 20;
  std::string text;
  char block[65536];
  while (streams.in.read(block, sizeof(block)) || streams.in.gcount() > 0) {
    text.append(block, static_cast<size_t>(streams.in.gcount()));
    if (text.size() > kInputBytesMax) {
      return PrintError(absl::InvalidArgumentError(
                            absl::StrCat("the input is longer than ", kInputBytesMax, " bytes")),
                        streams.error);
    }
  }
  const auto request = ParseAttention(text);
  if (!request.ok()) return PrintError(request.status(), streams.error);
  const auto answer = [&](const auto& chosen) -> absl::StatusOr<std::string> {
    if constexpr (std::is_same_v<std::decay_t<decltype(chosen)>, AttendRequest>) {
      const auto reply = client.Attend(chosen);
      if (!reply.ok()) return reply.status();
      return FormatAttention(*reply);
    } else {
      const auto reply = client.SelfAttention(chosen);
      if (!reply.ok()) return reply.status();
      return FormatAttention(*reply);
    }
  };
  const absl::StatusOr<std::string> line = std::visit(answer, *request);
  if (!line.ok()) return PrintError(line.status(), streams.error);
  streams.out << *line << "\n";
  return 0;
}

}  // namespace

void AddAttendCommand(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand(
      "attend",
      "Attention on your own numbers: reads a JSON object from the standard input, {\"query\", "
      "\"key\", \"value\"} as nested arrays with the options of AttendRequest, or {\"input\", "
      "\"w_q\", \"w_k\", \"w_v\", \"w_o\"} with those of SelfAttentionRequest");
  const auto flags = std::make_shared<AttendFlags>();
  AddConnectionFlags(*command, flags->connection);
  command->add_flag("--demo", flags->demo, "Three tokens of size 2, shown as tables");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunAttend(*flags, streams); }; });
}

}  // namespace attnd::client
