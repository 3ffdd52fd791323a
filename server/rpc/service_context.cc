#include "server/rpc/service_context.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "core/base/strings.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

// A message stays short whatever the number of models.
constexpr size_t kNamesInMessage = 8;

}  // namespace

absl::StatusOr<const ModelContext*> ServiceContext::FindModel(std::string_view name) const {
  if (name.empty()) return &models.front();
  for (const ModelContext& model : models) {
    if (model.served.name == name) return &model;
  }
  const auto shown = std::span(models).first(std::min(models.size(), kNamesInMessage));
  const auto quote = [](std::string* out, const ModelContext& model) {
    out->append(Quote(model.served.name));
  };
  return Refuse(
      v1::ERROR_REASON_UNKNOWN_MODEL, "model",
      StrCat("no model ", Quote(name), " is served; there is ", absl::StrJoin(shown, ", ", quote),
             models.size() > shown.size() ? ", ... (ListModels)" : ""));
}

}  // namespace attnd
