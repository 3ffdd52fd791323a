#include "tests/golden/runner.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "tests/golden/attention_cases.h"
#include "tests/golden/backend.h"
#include "tests/golden/case_file.h"
#include "tests/golden/encoder_cases.h"
#include "tests/golden/tokenizer_cases.h"

namespace attnd::golden {
namespace {

constexpr std::string_view kDefaultModel = "all-MiniLM-L6-v2";

bool IsAttention(const CaseFile& file) {
  return file.header.value("operator", "") == "scaled dot product attention";
}
bool IsFuzz(const CaseFile& file) { return file.header.value("kind", "") == "tokenizer fuzz"; }

// True for the classes of the reference whose checkpoints this engine loads. They are named one by
// one, so that a model that ought to load and does not is a failure.
bool IsSupported(std::string_view architecture) {
  constexpr std::string_view kFamilies[] = {"Bert",       "Roberta", "XLMRoberta",
                                            "DistilBert", "MPNet",   "ModernBert"};
  constexpr std::string_view kTasks[] = {"Model", "ForMaskedLM", "ForQuestionAnswering",
                                         "ForSequenceClassification", "ForTokenClassification"};
  for (const std::string_view family : kFamilies) {
    for (const std::string_view task : kTasks) {
      if (architecture == StrCat(family, task)) return true;
    }
  }
  return architecture == "T5EncoderModel";
}

// Why a file has no cases for this engine; nullopt if it has.
std::optional<std::string> ReasonToSkip(const CaseFile& file) {
  if (IsAttention(file) || IsFuzz(file)) return std::nullopt;
  const std::string architecture = file.header.value("architecture", "no model");
  if (!IsSupported(architecture)) return StrCat(architecture, " is not supported yet");
  for (const Json& item : file.cases) {
    const std::string item_kind = item.at("kind");
    if (!IsEncoderKind(item_kind)) {
      return StrCat("cases of kind ", item_kind, " are not supported yet");
    }
  }
  return std::nullopt;
}

// Where the model lies that the file names. The operators need none, but run on an engine that
// serves one.
absl::StatusOr<std::string> FindModel(const CaseFile& file, const RunOptions& options) {
  const std::string named = file.model().empty() ? "models/bert-a" : file.model();
  const std::filesystem::path inside = std::filesystem::path(options.directory) / named;
  if (std::filesystem::exists(inside)) return inside.string();
  if (inside.filename() != kDefaultModel) {
    return absl::NotFoundError(StrCat(inside.string(), " does not exist"));
  }
  if (std::filesystem::exists(options.default_model)) return options.default_model;
  return absl::NotFoundError(StrCat("the default model is not at ", options.default_model,
                                    " (scripts/get-model.sh puts it there)"));
}

using RunCase = absl::FunctionRef<CaseResult(const Json& item)>;

Totals RunCases(const CaseFile& file, RunCase run_case, std::ostream& out) {
  Totals totals;
  for (const Json& item : file.cases) {
    const CaseResult result = run_case(item);
    if (result.passed()) {
      ++totals.passed;
      continue;
    }
    ++totals.failed;
    out << "FAIL " << file.name << "/" << IdOf(item) << ": " << result.Summary() << "\n";
  }
  return totals;
}

absl::StatusOr<Totals> RunFile(const CaseFile& file, const RunOptions& options, std::ostream& out) {
  ASSIGN_OR_RETURN(const std::string model, FindModel(file, options));
  if (IsFuzz(file)) {
    ASSIGN_OR_RETURN(const auto tokenizer, OpenTokenizer(model));
    return RunCases(
        file, [&](const Json& item) { return RunFuzzCase(item, *tokenizer); }, out);
  }
  ASSIGN_OR_RETURN(const auto backend, Backend::Open(model, options.workers));
  const bool is_operator = IsAttention(file);
  return RunCases(
      file,
      [&](const Json& item) {
        return is_operator ? RunAttentionCase(file, item, *backend)
                           : RunEncoderCase(file, item, *backend);
      },
      out);
}

}  // namespace

absl::StatusOr<Totals> RunGolden(const RunOptions& options, std::ostream& out) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListCaseFiles(options.directory));
  for (const std::string& name : options.only) {
    if (std::ranges::find(names, name) != names.end()) continue;
    return absl::NotFoundError(StrCat(options.directory, " has no cases ", name));
  }
  if (!options.only.empty()) names = options.only;

  Totals totals;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(const CaseFile file, LoadCaseFile(options.directory, name));
    const auto count = static_cast<int64_t>(file.cases.size());
    if (const auto reason = ReasonToSkip(file)) {
      out << "SKIP " << name << ": " << count << " cases: " << *reason << "\n";
      totals.skipped += count;
      continue;
    }
    absl::StatusOr<Totals> of_file = RunFile(file, options, out);
    if (!of_file.ok()) {
      out << "FAIL " << name << ": all cases: " << of_file.status().message() << "\n";
      of_file = Totals{.failed = count};
    }
    out << name << ": " << of_file->passed << " passed, " << of_file->failed << " failed"
        << std::endl;
    totals.passed += of_file->passed;
    totals.failed += of_file->failed;
  }
  return totals;
}

}  // namespace attnd::golden
