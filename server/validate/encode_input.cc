#include "server/validate/encode_input.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/represent/text.h"
#include "server/validate/encode_size.h"
#include "server/validate/error.h"
#include "server/validate/input.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

bool HasText(const v1::Input& input) { return input.has_text() || input.has_text_pair(); }

absl::StatusOr<CheckedInput> ReadWithPrompt(const GivenInput& given, const std::string& prompt,
                                            const InputChoices& reading, const ServedModel& model,
                                            const Limits& limits) {
  const std::string text = StrCat(prompt, given.input.text());
  const std::string field = StrCat(given.field, ".text");
  const int32_t prompt_length = TextLength(prompt, reading.tokenize.offset_unit);
  ASSIGN_OR_RETURN(CheckedInput read, ReadText(text, std::nullopt, reading, model, limits, field));
  int32_t first_word = FirstWordBehindPrompt(prompt_length, read.tokens);
  if (read.truncated && reading.tokenize.truncation == Truncation::kLeft &&
      reading.tokenize.return_strings) {
    // The text's first word may be among what was dropped.
    TokenizeOptions whole = reading.tokenize;
    whole.length_max = std::numeric_limits<int32_t>::max();
    ASSIGN_OR_RETURN(const Tokenized all,
                     TokenizeText(text, std::nullopt, whole, model, limits, field));
    first_word = FirstWordBehindPrompt(prompt_length, all);
  }
  RemovePrompt(prompt_length, first_word, read.tokens);
  return read;
}

absl::StatusOr<CheckedInput> ReadGiven(const GivenInput& given, const EncodeChoices& choices,
                                       const ServedModel& model, const Limits& limits) {
  InputChoices reading{.tokenize = choices.tokenize, .describe_ids = choices.return_tokens};
  const v1::Input& input = given.input;
  const std::string& prompt = choices.prompt.text;
  if (!input.has_text()) {
    if (choices.prompt.is_asked_for && input.kind_case() != v1::Input::KIND_NOT_SET) {
      return Refuse(v1::ERROR_REASON_INVALID_VALUE, given.field,
                    "a prompt is asked for, which only a single text can have");
    }
    return ReadInput(input, reading, model, limits, given.field);
  }
  // Cut into windows later on.
  if (choices.windows) reading.tokenize.length_max = std::numeric_limits<int32_t>::max();
  if (prompt.empty()) return ReadInput(input, reading, model, limits, given.field);
  return ReadWithPrompt(given, prompt, reading, model, limits);
}

absl::StatusOr<std::vector<TextRange>> ReadRanges(const GivenInput& given, OffsetUnit unit) {
  const bool is_pair = given.input.has_text_pair();
  const v1::TextPair& pair = given.input.text_pair();
  const int32_t lengths[] = {TextLength(is_pair ? pair.first() : given.input.text(), unit),
                             TextLength(pair.second(), unit)};
  std::vector<TextRange> ranges;
  for (int i = 0; i < given.ranges->ranges_size(); ++i) {
    const v1::Range& range = given.ranges->ranges(i);
    const auto invalid = [&](std::string_view part, std::string_view what) {
      return Refuse(v1::ERROR_REASON_INVALID_VALUE,
                    StrCat(given.ranges_field, ".ranges[", i, "]", part), what);
    };
    const int32_t texts = is_pair ? 2 : 1;
    if (range.text_index() < 0 || range.text_index() >= texts) {
      return invalid(".text_index",
                     StrCat(range.text_index(), " is not between 0 and ", texts - 1));
    }
    if (range.start() < 0 || range.start() >= range.end()) {
      return invalid("", StrCat("[", range.start(), ", ", range.end(),
                                ") does not begin at 0 or behind it and end after that"));
    }
    if (range.end() > lengths[range.text_index()]) {
      return invalid(".end", StrCat(range.end(), " is beyond the text's length ",
                                    lengths[range.text_index()]));
    }
    ranges.push_back(
        {.start = range.start(), .end = range.end(), .text_index = range.text_index()});
  }
  return ranges;
}

std::vector<TextRange> SentencesOf(const v1::Input& input, OffsetUnit unit) {
  if (input.has_text()) return SplitSentences(input.text(), unit, 0);
  std::vector<TextRange> sentences = SplitSentences(input.text_pair().first(), unit, 0);
  const std::vector<TextRange> second = SplitSentences(input.text_pair().second(), unit, 1);
  sentences.insert(sentences.end(), second.begin(), second.end());
  return sentences;
}

absl::StatusOr<std::vector<TokenSpan>> FindSpans(const GivenInput& given, const CheckedInput& read,
                                                 const SpanChoices& spans, OffsetUnit unit) {
  if (!HasText(given.input)) {
    if (spans.kind == SpanKind::kChunks) return ChunkSpans(read.rows, spans.chunking);
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, given.field,
                  "without a text it has no spans but SPAN_KIND_CHUNKS");
  }
  switch (spans.kind) {
    case SpanKind::kWords:
      return WordSpans(read.tokens);
    case SpanKind::kChunks:
      return ChunkSpans(read.tokens, spans.chunking);
    case SpanKind::kSentences:
      return RangeSpans(read.tokens, SentencesOf(given.input, unit));
    case SpanKind::kRanges:
      break;
  }
  ASSIGN_OR_RETURN(const std::vector<TextRange> ranges, ReadRanges(given, unit));
  return RangeSpans(read.tokens, ranges);
}

absl::Status CheckSpanCount(int64_t count, const Limits& limits, std::string_view field) {
  if (count <= limits.spans_per_input) return absl::OkStatus();
  return Refuse(v1::ERROR_REASON_OVER_LIMIT, field,
                StrCat(count, " spans are more than the limit of ", limits.spans_per_input,
                       " (spans-per-input)"));
}

absl::Status PlanSpans(const GivenInput& given, const CheckedInput& read,
                       const EncodeChoices& choices, const Limits& limits, PlannedInput& planned) {
  if (!choices.spans) return absl::OkStatus();
  // Before the ranges are looked at one by one.
  if (given.ranges != nullptr) {
    RETURN_IF_ERROR(CheckSpanCount(given.ranges->ranges_size(), limits, given.ranges_field));
  }
  ASSIGN_OR_RETURN(planned.spans,
                   FindSpans(given, read, *choices.spans, choices.tokenize.offset_unit));
  return CheckSpanCount(static_cast<int64_t>(planned.spans.size()), limits, given.field);
}

// How a text is cut, and whether it has to be.
absl::StatusOr<WindowCut> ReadCut(const Tokenized& tokens, const WindowChoices& windows) {
  const auto special = std::count(tokens.special.begin(), tokens.special.end(), 1);
  const auto prefix = std::find(tokens.special.begin(), tokens.special.end(), 0);
  WindowCut cut{.tokens = static_cast<int32_t>(tokens.ids.size()),
                .prefix = static_cast<int32_t>(prefix - tokens.special.begin())};
  cut.suffix = static_cast<int32_t>(special) - cut.prefix;
  cut.room = windows.length - static_cast<int32_t>(special);
  if (cut.room < 1) {
    return Refuse(
        v1::ERROR_REASON_INVALID_VALUE, "options.windows.length",
        StrCat(windows.length, " tokens leave no room beside the ", special, " special tokens"));
  }
  cut.stride = windows.stride.value_or(std::max(cut.room / 2, 1));
  if (cut.stride > cut.room) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options.windows.stride",
                  StrCat(cut.stride, " is not between 1 and ", cut.room,
                         ", the tokens that a window holds besides special ones"));
  }
  return cut;
}

// The tasks of the input, one for each window; the outputs are still to be asked for.
absl::StatusOr<std::vector<EncodeTask>> CutTasks(const GivenInput& given, CheckedInput& read,
                                                 const EncodeChoices& choices, const Limits& limits,
                                                 PlannedInput& planned) {
  std::vector<EncodeTask> tasks;
  if (choices.windows && given.input.has_text()) {
    ASSIGN_OR_RETURN(const WindowCut cut, ReadCut(read.tokens, *choices.windows));
    if (CountWindows(cut) > 1) {
      RETURN_IF_ERROR(CheckFitsQueue({.jobs = CountWindows(cut), .tokens = CountWindowTokens(cut)},
                                     limits, given.field));
      planned.windows = CutWindows(cut);
      planned.merge_order = MergeOrder(cut, planned.windows);
      for (const TokenWindow& window : planned.windows) {
        tasks.push_back(WindowTask(read.tokens, cut, window));
      }
      return tasks;
    }
  }
  tasks.push_back(std::move(read.task));
  return tasks;
}

// What the engine is to return. Vectors that depend on more than one window, or are cut before they
// are scaled, are finished once the jobs are done (FinishPooled).
void AskFor(const EncodeChoices& choices, const PlannedInput& planned, const ModelInfo& info,
            std::vector<EncodeTask>& tasks) {
  const bool one_window = tasks.size() == 1;
  const bool pools =
      choices.pooled.pooling && (one_window || choices.pooled.pooling == Pooling::kPooler);
  for (EncodeTask& task : tasks) {
    task.return_rows = choices.return_token_vectors || !planned.spans.empty() ||
                       (choices.pooled.pooling && !pools);
    // The first window has the first token, which a pooler reads.
    if (pools && &task == &tasks.front()) task.pooling = choices.pooled.pooling;
    task.normalize =
        task.pooling && choices.pooled.normalize && choices.pooled.dimensions == info.hidden;
    task.hidden_layers = choices.hidden_layers;
    task.attention_layers = choices.attention_layers;
    task.attention_heads = choices.attention_heads;
    task.return_attention_weights = choices.return_attention_weights;
    task.return_attention_scores = choices.return_attention_scores;
    task.return_sparse = choices.return_sparse;
    task.return_projection = choices.return_multi_vector;
  }
}

absl::Status CheckAttentionScores(const EncodeChoices& choices, int64_t rows, const Limits& limits,
                                  std::string_view field) {
  const auto maps =
      static_cast<int64_t>(choices.attention_layers.size() * choices.attention_heads.size());
  if (maps * rows * rows <= limits.attention_map_scores) return absl::OkStatus();
  return Refuse(
      v1::ERROR_REASON_OVER_LIMIT, field,
      StrCat(choices.attention_layers.size(), " layers of ", choices.attention_heads.size(),
             " heads of ", rows, " x ", rows, " attention scores are more than the limit of ",
             limits.attention_map_scores, " (attention-map-scores)"));
}

std::optional<std::vector<int32_t>> KeptTokens(const Tokenized& tokens) {
  std::vector<int32_t> kept;
  for (size_t i = 0; i < tokens.special.size(); ++i) {
    if (tokens.special[i] == 0) kept.push_back(static_cast<int32_t>(i));
  }
  if (kept.size() == tokens.special.size()) return std::nullopt;
  return kept;
}

}  // namespace

absl::StatusOr<InputPlan> PlanInput(const GivenInput& given, const EncodeChoices& choices,
                                    const ServedModel& model, const Limits& limits) {
  ASSIGN_OR_RETURN(CheckedInput read, ReadGiven(given, choices, model, limits));
  InputPlan plan;
  PlannedInput& planned = plan.input;
  planned.token_count = read.rows;
  planned.truncated = read.truncated;
  if (!choices.attention_layers.empty()) {
    RETURN_IF_ERROR(CheckAttentionScores(choices, read.rows, limits, given.field));
  }
  RETURN_IF_ERROR(PlanSpans(given, read, choices, limits, planned));
  if (choices.drop_special_tokens) planned.kept_tokens = KeptTokens(read.tokens);
  ASSIGN_OR_RETURN(std::vector<EncodeTask> tasks, CutTasks(given, read, choices, limits, planned));
  AskFor(choices, planned, model.info, tasks);

  if (choices.return_tokens) {
    planned.tokens = std::move(read.tokens);
    planned.held_bytes = TokensBytes(planned.tokens);
  }
  if (tasks.size() > 1) planned.held_bytes += TaskBytes(tasks[0], planned.token_count, model.info);
  planned.fixed_bytes = FixedBytes(planned, choices, model);
  for (EncodeTask& task : tasks) {
    auto job = std::make_unique<Job>();
    job->rows = planned.windows.empty() ? read.rows : static_cast<int32_t>(task.ids.size());
    job->bytes = static_cast<uint64_t>(TaskBytes(task, job->rows, model.info));
    job->task = std::move(task);
    plan.jobs.push_back(std::move(job));
  }
  return plan;
}

}  // namespace attnd
