#include <algorithm>
#include <memory>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/connection.h"
#include "client/commands/models_json.h"
#include "client/show/utf8.h"

namespace attnd::client {
namespace {

struct ModelsFlags {
  ConnectionFlags connection;
  std::string name;
  bool json = false;
};

// The head, and the commands that it can answer.
std::string_view DescribeHead(const ModelInfo& model) {
  switch (model.head) {
    case Head::kSequenceLabels:
      return model.labels.size() == 1 ? "sequence labels (classify, rerank)"
                                      : "sequence labels (classify)";
    case Head::kTokenLabels:
      return "token labels (classify --tokens)";
    case Head::kSpan:
      return "span (answer)";
    case Head::kVocabulary:
      return "vocabulary (fill-mask, encode --sparse)";
    case Head::kNone:
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
      << "              " << limits.layers_per_request << " layers a request, "
      << limits.attention_map_scores << " scores of attention maps and " << limits.spans_per_input
      << " spans an input\n"
      << "              " << limits.documents_per_request << " documents a request, "
      << limits.candidates_per_mask << " candidates a mask, " << limits.answers_per_question
      << " answers a question\n"
      << "              " << limits.queue_wait_seconds << " s of work waiting, deadline "
      << limits.default_deadline_seconds << " s by default, " << limits.deadline_cap_seconds
      << " s at most\n";
}

void PrintHead(const ModelInfo& model, std::ostream& out) {
  out << "  head        " << DescribeHead(model) << "\n";
  if (!model.labels.empty()) {
    constexpr size_t kLabelsMax = 20;
    const size_t shown = std::min(model.labels.size(), kLabelsMax);
    const auto end = model.labels.begin() + static_cast<std::ptrdiff_t>(shown);
    out << "  labels      " << OneLine(absl::StrJoin(model.labels.begin(), end, ", "))
        << (shown < model.labels.size() ? ", ..." : "") << " (" << model.labels.size() << ")\n";
  }
  if (model.head == Head::kSequenceLabels) {
    out << "  scores      " << ScoreFunctionName(model.score_function) << "\n";
  }
  if (model.projection_size > 0) {
    out << "  projection  " << model.projection_size << " dimensions (encode --multi-vector)\n";
  }
  for (const auto& [name, text] : model.prompts) {
    out << "  prompt      " << OneLine(name) << ": \"" << OneLine(text) << "\""
        << (name == model.default_prompt_name ? " (default)" : "") << "\n";
  }
}

// What the type that is computed in costs.
void PrintAccuracy(const Accuracy& accuracy, std::ostream& out) {
  out << absl::StrFormat(
      "  accuracy    cosine to f32 %.5f on average, %.5f at least, ranking agreement %.4f over %d "
      "texts\n",
      accuracy.cosine_mean, accuracy.cosine_min, accuracy.ranking_agreement, accuracy.texts);
  constexpr int kColumnsMax = 80;
  out << "  worst text  " << Shorten(accuracy.worst_text, kColumnsMax) << "\n";
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
  if (model.accuracy) PrintAccuracy(*model.accuracy, out);
  PrintLimits(model.limits, out);
  PrintHead(model, out);
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
  for (const ModelInfo& model : models) {
    if (flags.json) {
      streams.out << FormatModelJson(model) << "\n";
    } else {
      PrintModel(model, streams.out);
    }
  }
  return 0;
}

}  // namespace

void AddModelsCommand(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("models", "What is served: dimensions, limits, kernels in use");
  const auto flags = std::make_shared<ModelsFlags>();
  AddConnectionFlags(*command, flags->connection);
  command->add_option("name", flags->name, "Only this model");
  command->add_flag("--json", flags->json, "Print one JSON object a model, with everything");
  command->callback(
      [flags, &run] { run = [flags](Streams& streams) { return RunModels(*flags, streams); }; });
}

}  // namespace attnd::client
