#include "server/heads/answer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "core/base/strings.h"
#include "server/heads/abilities.h"
#include "server/heads/best_answers.h"
#include "server/heads/text_offsets.h"
#include "server/represent/spans.h"
#include "server/validate/encode.h"
#include "server/validate/error.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

constexpr int32_t kDefaultAnswerTokens = 15;
constexpr int32_t kDefaultStride = 128;

// Upper bound of what an Answer takes on the wire besides its text: a float, two int32, tags and
// lengths.
constexpr int64_t kAnswerBytes = 32;
// What widening a text to whole code points adds at most.
constexpr int64_t kWidenedBytes = 2 * 3;

// How the windows of every question are cut.
struct AnswerWindows {
  int32_t length_max = 0;
  std::optional<int32_t> stride;
};

absl::Status CheckQuestions(const v1::AnswerRequest& request, const Limits& limits) {
  RETURN_IF_ERROR(CheckNumberOfInputs(request.questions_size(), limits, "questions"));
  size_t bytes = 0;
  for (int i = 0; i < request.questions_size(); ++i) {
    const v1::Question& question = request.questions(i);
    bytes += question.question().size() + question.context().size();
    for (const auto& [name, text] : {std::pair(".question", &question.question()),
                                     std::pair(".context", &question.context())}) {
      if (text->empty()) {
        return Refuse(v1::ERROR_REASON_MISSING_FIELD, StrCat("questions[", i, "]", name),
                      "it is empty");
      }
    }
  }
  return CheckTextBytes(static_cast<int64_t>(bytes), limits, "questions");
}

absl::StatusOr<WindowCut> ChooseCut(const CheckedInput& pair, const TokenRun& context,
                                    const AnswerWindows& choices, const std::string& field) {
  const int32_t others = pair.rows - (context.end - context.begin);
  const int32_t room = choices.length_max - others;
  if (context.begin == context.end) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, StrCat(field, ".context"), "it has no tokens");
  }
  if (room < 1) {
    return Refuse(
        v1::ERROR_REASON_TOO_LONG, StrCat(field, ".question"),
        StrCat("its tokens and the special ones, ", others,
               ", leave no room for the context within the maximum length ", choices.length_max));
  }
  const int32_t shared = choices.stride.value_or(std::min(kDefaultStride, room / 2));
  if (shared < 0 || shared >= room) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options.stride",
                  StrCat(shared, " is not between 0 and ", room - 1, ": a window has room for ",
                         room, " tokens of the context of ", field));
  }
  return WindowCut{.tokens = pair.rows,
                   .prefix = context.begin,
                   .suffix = pair.rows - context.end,
                   .room = room,
                   .stride = room - shared};
}

// Before windows are made: a small step makes very many of them.
absl::Status CheckWindowCount(int64_t windows, int64_t windows_before, const Limits& limits,
                              const std::string& field) {
  if (windows_before + windows <= limits.queue_requests) return absl::OkStatus();
  return Refuse(v1::ERROR_REASON_OVER_LIMIT, StrCat(field, ".context"),
                StrCat("it takes ", windows, " windows; with the ", windows_before,
                       " before, they are more than the queue ever takes, ", limits.queue_requests,
                       " (queue-requests). A larger max_length or a smaller stride needs fewer."));
}

// Each window has a copy of what stands around the context: counted before any is made.
absl::Status CheckWindowTokens(const WindowCut& cut, const AnswerPlan& plan, const Limits& limits,
                               std::string_view field) {
  int64_t tokens = CountWindowTokens(cut);
  for (const auto& job : plan.jobs) tokens += job->rows;
  if (tokens <= limits.queue_tokens) return absl::OkStatus();
  return Refuse(
      v1::ERROR_REASON_OVER_LIMIT, field,
      StrCat("its ", CountWindows(cut), " windows bring the request to ", tokens,
             " tokens, more than the queue ever takes, ", limits.queue_tokens, " (queue-tokens)"));
}

absl::Status AppendQuestion(const v1::Question& question, const AnswerWindows& window_choices,
                            const InputChoices& choices, const ServedModel& model,
                            const Limits& limits, AnswerPlan& plan) {
  const auto begin = Clock::now();
  const std::string field = StrCat("questions[", plan.questions.size(), "]");
  ASSIGN_OR_RETURN(const CheckedInput pair, ReadText(question.question(), question.context(),
                                                     choices, model, limits, field));
  const TokenRun context = RunOf(pair.tokens, 1);
  ASSIGN_OR_RETURN(const WindowCut cut, ChooseCut(pair, context, window_choices, field));
  RETURN_IF_ERROR(
      CheckWindowCount(CountWindows(cut), static_cast<int64_t>(plan.jobs.size()), limits, field));
  RETURN_IF_ERROR(CheckWindowTokens(cut, plan, limits, field));
  PlannedQuestion planned{.context = question.context(),
                          .offsets = {pair.tokens.offsets.begin() + context.begin,
                                      pair.tokens.offsets.begin() + context.end},
                          .rows_before = context.begin,
                          .windows = CutWindows(cut),
                          .first_job = plan.jobs.size()};
  HeadInput input;
  for (const TokenWindow& window : planned.windows) {
    EncodeTask task = WindowTask(pair.tokens, cut, window);
    const auto rows = static_cast<int32_t>(task.ids.size());
    plan.jobs.push_back(MakeJob(std::move(task), rows, model.info));
    input.rows += rows;
  }
  input.tokenize_seconds = SecondsSince(begin);
  plan.inputs.push_back(std::move(input));
  plan.bytes += static_cast<int64_t>(planned.context.size() +
                                     planned.offsets.size() * sizeof(Tokenized::Offset));
  plan.questions.push_back(std::move(planned));
  return absl::OkStatus();
}

// The most bytes of a context that so many of its tokens span.
int64_t LongestSpan(std::span<const Tokenized::Offset> offsets, int32_t tokens_max) {
  int64_t longest = 0;
  int32_t end = 0;  // Of all tokens up to `last`.
  for (size_t first = 0, last = 0; first < offsets.size(); ++first) {
    const size_t stop = std::min(offsets.size(), first + static_cast<size_t>(tokens_max));
    for (; last < stop; ++last) end = std::max(end, offsets[last].end);
    longest = std::max<int64_t>(longest, end - offsets[first].start);
  }
  return longest;
}

// With as many answers as are asked for, each of the longest span.
absl::Status CheckAnswerReply(const AnswerPlan& plan, const Limits& limits) {
  int64_t bytes = kHeadReplyBytes;
  for (const PlannedQuestion& question : plan.questions) {
    bytes +=
        kInputReplyBytes + plan.top_k * (kAnswerBytes + kWidenedBytes +
                                         LongestSpan(question.offsets, plan.max_answer_tokens));
  }
  return CheckReplyBytes(bytes, limits, "questions",
                         "Ask for fewer answers (top_k) or shorter ones (max_answer_tokens), or "
                         "send fewer questions.");
}

std::vector<ScoredAnswer> FindAnswers(const PlannedQuestion& question, const AnswerPlan& plan,
                                      DoneJobs jobs) {
  BestAnswers best(plan.top_k);
  double no_answer = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < question.windows.size(); ++i) {
    const TokenWindow& window = question.windows[i];
    const int32_t tokens = window.end - window.begin;
    const SpanScores scores =
        ScoreSpans(LogitsOf(*jobs[i]), question.rows_before, question.rows_before + tokens,
                   plan.allow_no_answer ? NoAnswer::kAllowed : NoAnswer::kExcluded);
    best.AddWindow(scores,
                   std::span(question.offsets).subspan(window.begin - question.rows_before, tokens),
                   plan.max_answer_tokens);
    no_answer = std::min(no_answer, scores.no_answer);
  }
  if (plan.allow_no_answer) best.Add({}, no_answer);
  return best.Ranked();
}

// The timings of the window that was done last.
const JobTimings& SlowestOf(DoneJobs jobs) {
  return (*std::max_element(jobs.begin(), jobs.end(),
                            [](const auto& a, const auto& b) {
                              return a->timings.finished < b->timings.finished;
                            }))
      ->timings;
}

}  // namespace

absl::StatusOr<AnswerPlan> PlanAnswer(const v1::AnswerRequest& request, const ServedModel& model,
                                      const Limits& limits) {
  RETURN_IF_ERROR(CheckCan(Ability::kAnswer, model));
  RETURN_IF_ERROR(CheckQuestions(request, limits));
  const v1::AnswerOptions& options = request.options();
  AnswerPlan plan;
  ASSIGN_OR_RETURN(plan.top_k, ReadCount("top_k", IfSet(options.has_top_k(), options.top_k()), 1));
  RETURN_IF_ERROR(CheckCount(
      plan.top_k,
      {.most = limits.answers_per_question, .what = "answers", .knob = "answers-per-question"},
      "options.top_k"));
  ASSIGN_OR_RETURN(plan.max_answer_tokens,
                   ReadCount("max_answer_tokens",
                             IfSet(options.has_max_answer_tokens(), options.max_answer_tokens()),
                             kDefaultAnswerTokens));
  plan.allow_no_answer = options.allow_no_answer();
  ASSIGN_OR_RETURN(plan.offset_unit, ReadOffsetUnit(options.offset_unit()));
  AnswerWindows windows{.stride = IfSet(options.has_stride(), options.stride())};
  ASSIGN_OR_RETURN(
      windows.length_max,
      ReadMaxLength(IfSet(options.has_max_length(), options.max_length()), model.info));
  InputChoices choices;
  // The pair as one sequence of any length: what stands around the context is the tokenizer's.
  choices.tokenize.length_max = std::numeric_limits<int32_t>::max();
  choices.tokenize.offset_unit = OffsetUnit::kByte;
  for (const v1::Question& question : request.questions()) {
    RETURN_IF_ERROR(AppendQuestion(question, windows, choices, model, limits, plan));
  }
  RETURN_IF_ERROR(CheckFitsQueue(NeedOf(plan.jobs), limits, "questions",
                                 "Send fewer questions or shorter contexts"));
  RETURN_IF_ERROR(CheckAnswerReply(plan, limits));
  return plan;
}

v1::AnswerResponse AnswerReply(const AnswerPlan& plan, DoneJobs jobs, const ServedModel& model) {
  v1::AnswerResponse response;
  WriteModel(model, *response.mutable_model());
  for (size_t i = 0; i < plan.questions.size(); ++i) {
    const PlannedQuestion& question = plan.questions[i];
    const DoneJobs windows = jobs.subspan(question.first_job, question.windows.size());
    v1::QuestionAnswers& answers = *response.add_questions();
    answers.set_question_index(static_cast<int32_t>(i));
    answers.set_token_count(plan.inputs[i].rows);
    answers.set_window_count(static_cast<int32_t>(windows.size()));
    WriteTimings(SlowestOf(windows), plan.inputs[i].tokenize_seconds, *answers.mutable_timings());
    const TextOffsets context(question.context, plan.offset_unit);
    for (const ScoredAnswer& found : FindAnswers(question, plan, windows)) {
      const Tokenized::Offset bytes = context.Whole(found.place);
      const Tokenized::Offset place = context.InUnit(bytes);
      v1::Answer& answer = *answers.add_answers();
      answer.set_text(context.Text(bytes));
      answer.set_score(static_cast<float>(found.score));
      answer.set_start(place.start);
      answer.set_end(place.end);
    }
  }
  return response;
}

}  // namespace attnd
