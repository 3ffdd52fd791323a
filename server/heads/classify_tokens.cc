#include "server/heads/classify_tokens.h"

#include <algorithm>
#include <utility>

#include "core/base/strings.h"
#include "server/heads/abilities.h"
#include "server/heads/text_offsets.h"
#include "server/heads/token_spans.h"
#include "server/validate/encode.h"
#include "server/validate/error.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

constexpr char kOutside[] = "O";
// Upper bound of what a LabelSpan takes on the wire besides its label and its text: five int32,
// a float, and tags and lengths.
constexpr int64_t kLabelSpanBytes = 64;

absl::StatusOr<v1::SpanAggregation> ReadAggregation(v1::SpanAggregation aggregation) {
  if (aggregation == v1::SPAN_AGGREGATION_UNSPECIFIED) return v1::SPAN_AGGREGATION_SIMPLE;
  if (v1::SpanAggregation_IsValid(aggregation)) return aggregation;
  return UnknownChoice("aggregation", aggregation);
}

// A label may be named with its B- or I-, and without.
absl::StatusOr<std::set<std::string>> ReadIgnored(const v1::ClassifyTokensOptions& options,
                                                  const ModelInfo& info) {
  const auto count = static_cast<size_t>(options.ignored_labels_size());
  if (count > 2 * info.labels.size()) {
    return Refuse(v1::ERROR_REASON_OVER_LIMIT, "options.ignored_labels",
                  StrCat(count, " labels are more than twice the ", info.labels.size(),
                         " that the model has"));
  }
  std::set<std::string> ignored;
  for (const std::string& label : options.ignored_labels()) {
    if (label.size() > kNameBytesMax) {
      return Refuse(v1::ERROR_REASON_OVER_LIMIT, "options.ignored_labels",
                    StrCat("a label of ", label.size(), " bytes; the limit is ", kNameBytesMax));
    }
    ignored.insert(label);
  }
  if (options.keep_all()) return std::set<std::string>();
  if (ignored.empty()) ignored.insert(kOutside);
  return ignored;
}

// With a span for each token: its text is its own bytes, which tokens of one character share, or
// its string. Spans of several have the blanks between them as well.
absl::Status CheckClassifyTokensReply(const ClassifyTokensPlan& plan, const ModelInfo& info,
                                      const Limits& limits) {
  size_t longest = 0;
  for (const std::string& label : info.labels) longest = std::max(longest, label.size());
  int64_t bytes = kHeadReplyBytes;
  for (const auto& [first, second] : plan.texts) {
    bytes += static_cast<int64_t>(first.size() + second.size());
  }
  for (const HeadInput& input : plan.inputs) {
    bytes += kInputReplyBytes + input.rows * (kLabelSpanBytes + static_cast<int64_t>(longest));
    for (const auto& [start, end] : input.tokens.offsets) bytes += end - start;
    for (const std::string& token : input.tokens.strings) {
      bytes += static_cast<int64_t>(token.size());
    }
  }
  return CheckReplyBytes(bytes, limits, "inputs", "Send fewer or shorter inputs.");
}

// The strings of tokens that have no text.
std::string JoinStrings(const Tokenized& tokens, const LabelledSpan& span) {
  std::string text;
  for (int32_t token = span.first_token; token < span.end_token; ++token) {
    if (!text.empty()) text += ' ';
    if (!tokens.strings.empty()) text += tokens.strings[token];
  }
  return text;
}

void WriteSpan(const LabelledSpan& span, const Tokenized& tokens,
               const std::array<TextOffsets, 2>& texts, v1::LabelSpan& to) {
  to.set_label(span.label);
  to.set_score(static_cast<float>(span.score));
  to.set_first_token(span.first_token);
  to.set_end_token(span.end_token);
  const int32_t first = span.first_token;
  const int32_t text_index = tokens.text_indices[first];
  if (text_index < 0) {
    to.set_text(JoinStrings(tokens, span));
    return;
  }
  const TextOffsets& text = texts[text_index];
  const Tokenized::Offset bytes = text.Whole(
      {.start = tokens.offsets[first].start, .end = tokens.offsets[span.end_token - 1].end});
  const Tokenized::Offset place = text.InUnit(bytes);
  to.set_start(place.start);
  to.set_end(place.end);
  to.set_text_index(text_index);
  to.set_text(text.Text(bytes));
}

}  // namespace

absl::StatusOr<ClassifyTokensPlan> PlanClassifyTokens(const v1::ClassifyTokensRequest& request,
                                                      const ServedModel& model,
                                                      const Limits& limits) {
  RETURN_IF_ERROR(CheckCan(Ability::kClassifyTokens, model));
  const v1::ClassifyTokensOptions& options = request.options();
  ClassifyTokensPlan plan;
  ASSIGN_OR_RETURN(plan.aggregation, ReadAggregation(options.aggregation()));
  ASSIGN_OR_RETURN(plan.offset_unit, ReadOffsetUnit(options.offset_unit()));
  ASSIGN_OR_RETURN(plan.ignored_labels, ReadIgnored(options, model.info));
  InputChoices choices{.describe_ids = true};
  ASSIGN_OR_RETURN(choices.tokenize, ReadTokenizeOptions(options, model.info));
  choices.tokenize.return_strings = true;
  choices.tokenize.offset_unit = OffsetUnit::kByte;
  ASSIGN_OR_RETURN(
      static_cast<HeadPlan&>(plan),
      PlanHeadInputs(request.inputs(), InputKinds::kWithTokens, choices, model, limits,
                     [](EncodeTask&, const std::string&) { return absl::OkStatus(); }));
  for (const v1::Input& input : request.inputs()) {
    if (input.has_text_pair()) {
      plan.texts.push_back({input.text_pair().first(), input.text_pair().second()});
    } else {
      plan.texts.push_back({input.text(), ""});
    }
    plan.bytes += static_cast<int64_t>(plan.texts.back()[0].size() + plan.texts.back()[1].size());
  }
  RETURN_IF_ERROR(CheckClassifyTokensReply(plan, model.info, limits));
  return plan;
}

v1::ClassifyTokensResponse ClassifyTokensReply(const ClassifyTokensPlan& plan, DoneJobs jobs,
                                               const ServedModel& model) {
  v1::ClassifyTokensResponse response;
  WriteModel(model, *response.mutable_model());
  for (size_t i = 0; i < jobs.size(); ++i) {
    v1::TokenClassification& classification = *response.add_classifications();
    classification.set_input_index(static_cast<int32_t>(i));
    WriteInput(plan.inputs[i], *jobs[i], classification);
    const Tokenized& tokens = plan.inputs[i].tokens;
    const std::array texts = {TextOffsets(plan.texts[i][0], plan.offset_unit),
                              TextOffsets(plan.texts[i][1], plan.offset_unit)};
    for (const LabelledSpan& span :
         FindSpans(LogitsOf(*jobs[i]), tokens, model.info.labels, plan.aggregation)) {
      if (plan.ignored_labels.contains(span.label)) continue;
      WriteSpan(span, tokens, texts, *classification.add_spans());
    }
  }
  return response;
}

}  // namespace attnd
