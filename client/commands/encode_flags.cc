#include "client/commands/encode_flags.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/commands/option_flags.h"

namespace attnd::client {
namespace {

void AddLayerFlags(CLI::App& command, EncodeOptions& options) {
  command
      .add_option_function<std::vector<int32_t>>(
          "--layers",
          [&options](const std::vector<int32_t>& layers) {
            if (!options.hidden_layers) options.hidden_layers.emplace();
            options.hidden_layers->layers = layers;
          },
          "Hidden states of these layers, as 0,-1: 0 is the embedding, -1 the last")
      ->type_name("N,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      .add_option_function<std::string>(
          "--combine",
          [&options](const std::string& name) {
            if (!options.hidden_layers) options.hidden_layers.emplace();
            options.hidden_layers->combination = name == "mean" ? LayerCombination::kMean
                                                 : name == "concat"
                                                     ? LayerCombination::kConcatenation
                                                     : LayerCombination::kSeparate;
          },
          "With --layers: separate (the default), mean, concat")
      ->type_name("NAME")
      ->check(CLI::IsMember({"separate", "mean", "concat"}).description(""))
      ->needs("--layers");
}

void AddWindowFlags(CLI::App& command, EncodeOptions& options) {
  const auto windows = [&options]() -> WindowOptions& {
    if (!options.windows) options.windows.emplace();
    return *options.windows;
  };
  command.add_flag_callback(
      "--windows", [windows] { windows(); },
      "Read texts longer than the model in windows that overlap");
  command
      .add_option_function<int32_t>(
          "--window-length", [windows](int32_t tokens) { windows().length = tokens; },
          "Tokens of a window, special ones included; implies --windows; default: the model's")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command
      .add_option_function<int32_t>(
          "--stride", [windows](int32_t tokens) { windows().stride = tokens; },
          "Tokens by which a window begins after the one before; implies --windows; default: half "
          "of what one holds")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
}

void AddSpanFlags(CLI::App& command, EncodeOptions& options) {
  CLI::Option* kind =
      command
          .add_option_function<std::string>(
              "--spans",
              [&options](const std::string& text) {
                const auto spans = ParseSpans(text);
                if (!spans.ok()) {
                  throw CLI::ValidationError("--spans", std::string(spans.status().message()));
                }
                options.spans = *spans;
              },
              "A vector for each part of the text: words, sentences, chunks:TOKENS[:OVERLAP]")
          ->type_name("KIND");
  command
      .add_option_function<std::vector<std::string>>(
          "--span-range",
          [&options](const std::vector<std::string>& texts) {
            options.spans = SpanOptions{.kind = SpanKind::kRanges, .ranges = {{}}};
            for (const std::string& text : texts) {
              const auto range = ParseRange(text);
              if (!range.ok()) {
                throw CLI::ValidationError("--span-range", std::string(range.status().message()));
              }
              options.spans->ranges.front().push_back(*range);
            }
          },
          "A vector for this part of every text, from A up to before B, in what --offsets counts; "
          "may be given more than once")
      ->type_name("A-B")
      ->allow_extra_args(false)
      ->excludes(kind);
}

void AddRepresentationFlags(CLI::App& command, EncodeOptions& options) {
  AddLayerFlags(command, options);
  AddSpanFlags(command, options);
  AddChoice<VectorEncoding>(command, "--encoding", options.vector_encoding,
                            {{"f32", VectorEncoding::kFloat32},
                             {"f16", VectorEncoding::kFloat16},
                             {"bf16", VectorEncoding::kBfloat16},
                             {"int8", VectorEncoding::kInt8},
                             {"binary", VectorEncoding::kBinary}},
                            "How vectors travel: f32 (the default), f16, bf16, int8, binary (shown "
                            "as 1 and -1)");
  AddSwitch(command, "--sparse", options.return_sparse,
            "A weight for each token of the vocabulary (SPLADE)");
  AddCount(command, "--sparse-top-k", options.sparse_top_k,
           "With --sparse: keep the largest so many weights; default: all");
  command.get_option("--sparse-top-k")->needs("--sparse");
  AddSwitch(command, "--multi-vector", options.return_multi_vector,
            "A vector of length 1 for each token (ColBERT)");
  AddSwitch(command, "--drop-special", options.drop_special_tokens,
            "Leave special tokens out of token vectors and multi-vectors");
}

}  // namespace

absl::StatusOr<SpanOptions> ParseSpans(const std::string& text) {
  if (text == "words") return SpanOptions{.kind = SpanKind::kWords};
  if (text == "sentences") return SpanOptions{.kind = SpanKind::kSentences};
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  int32_t tokens = 0;
  int32_t overlap = 0;
  const bool chunks = parts[0] == "chunks" && (parts.size() == 2 || parts.size() == 3) &&
                      absl::SimpleAtoi(parts[1], &tokens) && tokens > 0 &&
                      (parts.size() == 2 ||
                       (absl::SimpleAtoi(parts[2], &overlap) && overlap >= 0 && overlap < tokens));
  if (!chunks) {
    return absl::InvalidArgumentError(absl::StrCat(
        text,
        " is none of words, sentences, chunks:TOKENS, chunks:TOKENS:OVERLAP (OVERLAP below "
        "TOKENS)"));
  }
  SpanOptions spans{.kind = SpanKind::kChunks, .chunk_tokens = tokens};
  if (parts.size() == 3) spans.chunk_overlap = overlap;
  return spans;
}

absl::StatusOr<TextRange> ParseRange(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '-');
  TextRange range;
  if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &range.begin) &&
      absl::SimpleAtoi(parts[1], &range.end) && range.begin < range.end) {
    return range;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(text, " is not A-B, two whole numbers of which the first is the smaller"));
}

void AddPooledVectorFlags(CLI::App& command, EncodeOptions& options) {
  AddModelFlag(command, options.model);
  AddPriorityFlag(command, options.priority);
  AddChoice<Pooling>(command, "--pooling", options.pooling,
                     {{"cls", Pooling::kCls},
                      {"mean", Pooling::kMean},
                      {"max", Pooling::kMax},
                      {"last", Pooling::kLast},
                      {"pooler", Pooling::kPooler}},
                     "How token vectors become one: cls, mean, max, last, pooler; default: the "
                     "model's");
  AddLengthFlags(command, options.truncation, options.length_max);
  AddWindowFlags(command, options);
  AddCount(command, "--dimensions", options.dimensions,
           "Keep the first so many dimensions of vectors (Matryoshka); default: all");
  CLI::Option* name = command.add_option("--prompt-name", options.prompt_name,
                                         "One of the model's prompts, put before each text; "
                                         "default: the model's default prompt");
  command.add_option("--prompt", options.prompt, "A prompt put before each text; \"\": none")
      ->excludes(name);
}

void AddEncodeFlags(CLI::App& command, EncodeOptions& options) {
  AddPooledVectorFlags(command, options);
  AddSwitch(command, "--normalize,!--no-normalize", options.normalize,
            "Scale the pooled vector to length 1; default: the model's");
  AddSwitch(command, "--special-tokens,!--no-special-tokens", options.add_special_tokens,
            "Add the model's special tokens to texts; default: yes");
  AddOffsetsFlag(command, options.offset_unit);
  AddRepresentationFlags(command, options);
}

}  // namespace attnd::client
