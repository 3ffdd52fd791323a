#include <memory>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"

namespace attnd::client {
namespace {

struct ModelsFlags {
  ConnectionFlags connection;
  std::string name;
};

std::string_view PoolingName(Pooling pooling) {
  switch (pooling) {
    case Pooling::kCls:
      return "cls";
    case Pooling::kMean:
      return "mean";
    case Pooling::kMax:
      return "max";
    case Pooling::kLast:
      return "last";
    case Pooling::kPooler:
      return "pooler";
    case Pooling::kDefault:
      break;
  }
  return "none";
}

void PrintLimits(const Limits& limits, std::ostream& out) {
  out << "  limits      " << limits.inputs_per_request << " inputs a request, " << limits.text_bytes
      << " bytes a text, " << limits.request_text_bytes << " bytes of text a request, "
      << limits.message_bytes << " bytes a message\n"
      << "              " << limits.batch_tokens << " tokens a batch; " << limits.queue_tokens
      << " tokens, " << limits.queue_requests << " inputs and " << limits.queue_bytes
      << " bytes queued; " << limits.held_bytes << " bytes held\n"
      << "              " << limits.stream_requests << " in flight a stream, "
      << limits.attention_scores << " attention scores, " << limits.attention_flops
      << " attention operations\n"
      << "              deadline " << limits.default_deadline_seconds << " s by default, "
      << limits.deadline_cap_seconds << " s at most\n";
}

void PrintModel(const ModelInfo& model, std::ostream& out) {
  out << model.name << "\n"
      << "  version     " << model.version << "\n"
      << "  family      " << model.family << ", checkpoint " << model.checkpoint_dtype << "\n"
      << "  dimensions  " << model.layers << " layers, hidden " << model.hidden_size << ", "
      << model.heads << " heads, vocabulary " << model.vocabulary_size << ", token types "
      << model.token_types << "\n"
      << "  length      " << model.length_default << " by default, " << model.length_limit
      << " at most\n"
      << "  pooling     " << PoolingName(model.pooling) << (model.normalize ? ", normalized" : "")
      << "\n"
      << "  compute     " << model.dtype << " on " << model.isa << ", oneDNN "
      << model.onednn_version << "\n";
  PrintLimits(model.limits, out);
  for (const Kernel& kernel : model.kernels) {
    out << "  kernel      " << kernel.layer << ": " << kernel.implementation;
    if (!kernel.reason.empty()) out << " (" << kernel.reason << ")";
    out << "\n";
  }
}

int RunModels(const ModelsFlags& flags, Streams& streams) {
  const Client client(flags.connection.ToOptions());
  std::vector<ModelInfo> models;
  if (flags.name.empty()) {
    auto listed = client.ListModels();
    if (!listed.ok()) return PrintError(listed.status(), streams.error);
    models = *std::move(listed);
  } else {
    auto model = client.GetModel(flags.name);
    if (!model.ok()) return PrintError(model.status(), streams.error);
    models.push_back(*std::move(model));
  }
  for (const ModelInfo& model : models) PrintModel(model, streams.out);
  return 0;
}

}  // namespace

void AddModelsCommand(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("models", "What is served: dimensions, limits, kernels in use");
  const auto flags = std::make_shared<ModelsFlags>();
  AddConnectionFlags(*command, flags->connection);
  command->add_option("name", flags->name, "Only this model");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunModels(*flags, streams); }; });
}

}  // namespace attnd::client
