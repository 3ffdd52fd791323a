#include "server/validate/similarity.h"

#include <string_view>
#include <vector>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/encode_size.h"
#include "server/validate/error.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

absl::Status CheckOptions(const v1::EncodeOptions& options) {
  struct Other {
    bool is_set;
    std::string_view field;
  };
  const Other others[] = {
      {options.has_return_pooled() && !options.return_pooled(), "return_pooled"},
      {options.return_token_vectors(), "return_token_vectors"},
      {options.return_tokens(), "return_tokens"},
      {options.has_hidden_layers(), "hidden_layers"},
      {options.has_attention(), "attention"},
      {options.has_spans(), "spans"},
      {options.vector_encoding() != v1::VECTOR_ENCODING_UNSPECIFIED &&
           options.vector_encoding() != v1::VECTOR_ENCODING_FLOAT32,
       "vector_encoding"},
      {options.return_sparse(), "return_sparse"},
      {options.return_multi_vector(), "return_multi_vector"},
      {options.drop_special_tokens(), "drop_special_tokens"},
  };
  for (const Other& other : others) {
    if (!other.is_set) continue;
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, StrCat("options.", other.field),
                  "Similarity returns the cosines of pooled vectors alone");
  }
  return absl::OkStatus();
}

absl::Status CheckMatrixSize(const SimilarityPlan& plan, const Limits& limits) {
  const auto cosines =
      static_cast<int64_t>(plan.sources * (plan.targets == 0 ? plan.sources : plan.targets));
  const int64_t bytes =
      kResponseBytes + kEncodingBytes + cosines * static_cast<int64_t>(sizeof(float));
  if (bytes <= limits.message_bytes) return absl::OkStatus();
  return Refuse(v1::ERROR_REASON_REPLY_TOO_LARGE, "sources",
                StrCat("the reply's ", cosines, " numbers could take ", bytes,
                       " bytes; the limit is ", limits.message_bytes, " (message-bytes)"));
}

}  // namespace

absl::StatusOr<SimilarityPlan> PlanSimilarity(const v1::SimilarityRequest& request,
                                              const ServedModel& model, const Limits& limits) {
  SimilarityPlan plan{.sources = static_cast<size_t>(request.sources_size()),
                      .targets = static_cast<size_t>(request.targets_size())};
  RETURN_IF_ERROR(CheckNumberOfInputs(request.sources_size(), limits, "sources"));
  RETURN_IF_ERROR(CheckCount(static_cast<int64_t>(plan.sources + plan.targets),
                             {.most = limits.inputs_per_request,
                              .what = "sources and targets",
                              .knob = "inputs-per-request"},
                             "targets"));
  RETURN_IF_ERROR(CheckMatrixSize(plan, limits));
  RETURN_IF_ERROR(CheckOptions(request.options()));
  ASSIGN_OR_RETURN(const EncodeChoices choices, ReadOptions(request.options(), model, limits));
  std::vector<GivenInput> inputs;
  for (int i = 0; i < request.sources_size(); ++i) {
    inputs.push_back({.input = request.sources(i), .field = StrCat("sources[", i, "]")});
  }
  for (int i = 0; i < request.targets_size(); ++i) {
    inputs.push_back({.input = request.targets(i), .field = StrCat("targets[", i, "]")});
  }
  ASSIGN_OR_RETURN(plan.encode,
                   PlanInputs(inputs, choices, model, limits, ReplyForm::kStay, "sources"));
  return plan;
}

}  // namespace attnd
