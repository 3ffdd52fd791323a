#include <memory>

#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"

namespace attnd::client {
namespace {

struct HealthFlags {
  ConnectionFlags connection;
  std::string service;
  bool watch = false;
};

std::string_view StatusName(ServingStatus status) {
  switch (status) {
    case ServingStatus::kServing:
      return "SERVING";
    case ServingStatus::kNotServing:
      return "NOT_SERVING";
    case ServingStatus::kServiceUnknown:
      return "SERVICE_UNKNOWN";
    case ServingStatus::kUnknown:
      break;
  }
  return "UNKNOWN";
}

int RunHealth(const HealthFlags& flags, Streams& streams) {
  const Client client(flags.connection.ToOptions());
  if (!flags.watch) {
    const auto status = client.Health(flags.service);
    if (!status.ok()) return PrintError(status.status(), streams.error);
    streams.out << StatusName(*status) << "\n";
    return *status == ServingStatus::kServing ? 0 : 1;
  }
  ServingStatus last = ServingStatus::kUnknown;
  const absl::Status ended = client.WatchHealth(flags.service, [&](ServingStatus status) {
    last = status;
    streams.out << StatusName(status) << std::endl;  // At once: somebody waits for it.
    return true;
  });
  if (!ended.ok()) return PrintError(ended, streams.error);
  return last == ServingStatus::kServing ? 0 : 1;
}

}  // namespace

void AddHealthCommand(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("health", "Whether attnd serves: exit code 0 if SERVING, else 1");
  const auto flags = std::make_shared<HealthFlags>();
  AddConnectionFlags(*command, flags->connection);
  command->add_option("--service", flags->service,
                      "Ask for one service (attnd.v1.EncoderService); default: the server");
  command->add_flag("--watch", flags->watch, "Print each change until the server goes away");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunHealth(*flags, streams); }; });
}

}  // namespace attnd::client
