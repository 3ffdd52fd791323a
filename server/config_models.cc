// The flags that say which models are served, in what precision, and what each has of its own.

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "core/base/strings.h"
#include "server/calibration.h"
#include "server/config_flags.h"

namespace attnd {
namespace {

constexpr size_t kModelNameBytesMax = 64;

bool IsModelName(const std::string& name) {
  const auto plain = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= kModelNameBytesMax &&
         std::all_of(name.begin(), name.end(), plain);
}

}  // namespace

CLI::Option* ConfigFlags::AddList(const char* flag, std::vector<std::string>& target,
                                  const char* type, const char* help) {
  // One value each time, so that no value is taken for this flag's that belongs elsewhere.
  return Named(app_.add_option(flag, target, help))
      ->type_name(type)
      ->allow_extra_args(false)
      ->take_all();
}

void ConfigFlags::AddModels() {
  AddList("--model", models_, "[NAME=]DIR",
          "A Hugging Face directory, and the name that requests call it by (default: the "
          "directory's last part). Give it again for each further model; requests that name none "
          "are for the first. In the environment: separated by ';'.")
      ->required();
  AddList("--model-weight", weights_, "NAME=WEIGHT",
          "A model's share of the workers' time while others have work too, 0.01 to 100 "
          "(default: 1). A model alone gets all of it, whatever its weight.");
  AddList("--model-precision", precisions_, "NAME=PRECISION", "precision of that model alone.");
  AddList("--model-queue-tokens", queue_tokens_, "NAME=TOKENS",
          "queue-tokens of that model alone.");
  AddList("--model-queue-requests", queue_requests_, "NAME=INPUTS",
          "queue-requests of that model alone.");
  AddList("--model-queue-bytes", queue_bytes_, "NAME=BYTES", "queue-bytes of that model alone.");
}

void ConfigFlags::AddPrecision() {
  Named(app_.add_option("--precision", precision_,
                        "What the layers' products with weights are computed in: f32; bf16, on "
                        "CPUs with instructions for it, which keeps those weights in half the "
                        "memory; or int8, in a quarter. Both move results a little (GetModel says "
                        "how far)."))
      ->check(CLI::IsMember({"f32", "bf16", "int8"}))
      ->capture_default_str();
  Named(app_.add_option(
            "--calibration-texts", config_.calibration_texts,
            StrCat("A file of texts like those that will come, one a line, UTF-8, ",
                   kCalibrationTextsMin, " to ", kCalibrationLinesMax, " lines, at most ",
                   kCalibrationBytesMax,
                   " bytes: int8 models are fitted to them, and models that are not f32 "
                   "measured over them, which takes the start as long as encoding them does. "
                   "Empty: texts that attnd brings along.")))
      ->type_name("FILE")
      ->capture_default_str();
  const auto check = [](const std::string& text) -> std::string {
    double value = 0;
    if (absl::SimpleAtod(text, &value) && value >= 0 && value <= 1) return {};
    return StrCat("\"", text, "\" is not a number from 0 to 1");
  };
  Named(app_.add_option("--accuracy-min", config_.accuracy_min,
                        "The least cosine of a calibration text's vector to that in f32; a model "
                        "that is not f32 and comes less near is not served."))
      ->check(CLI::Validator(check, "0 to 1"))
      ->capture_default_str();
}

std::string ConfigFlags::ForModels(
    const char* flag, const std::vector<std::string>& given, const char* what,
    const std::function<bool(const std::string& value, ModelSource&)>& read) {
  std::set<std::string> names;
  for (const std::string& text : given) {
    if (text.empty() && given.size() == 1) break;  // As --check-config prints none.
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const auto model = std::find_if(config_.models.begin(), config_.models.end(),
                                    [&](const ModelSource& one) { return one.name == name; });
    if (equals == std::string::npos || model == config_.models.end()) {
      return StrCat(flag, ": \"", text, "\" does not begin with a model's name and '='");
    }
    if (!names.insert(name).second) {
      return StrCat(flag, ": \"", text, "\" is not the first for that model");
    }
    if (!read(text.substr(equals + 1), *model)) {
      return StrCat(flag, ": \"", text, "\" is not ", what);
    }
  }
  return {};
}

std::string ConfigFlags::FinishModels() {
  std::set<std::string> names;
  for (const std::string& text : models_) {
    ModelSource model;
    const size_t equals = text.find('=');
    model.path = equals == std::string::npos ? text : text.substr(equals + 1);
    model.name = equals == std::string::npos
                     ? std::filesystem::path(model.path + "/").parent_path().filename().string()
                     : text.substr(0, equals);
    if (model.path.empty()) return "--model: the directory is empty";
    if (!IsModelName(model.name)) {
      return StrCat("--model: the name \"", model.name, "\" is not 1 to ", kModelNameBytesMax,
                    " letters, digits, '-', '_' and '.'; pass NAME=DIR");
    }
    if (!names.insert(model.name).second) {
      return StrCat("--model: two models have the name \"", model.name, "\"; pass NAME=DIR");
    }
    config_.models.push_back(std::move(model));
  }
  return FinishModelOptions();
}

std::string ConfigFlags::FinishModelOptions() {
  const auto number = [](Range range, std::optional<int64_t> ModelSource::*member) {
    return [range, member](const std::string& text, ModelSource& model) {
      int64_t value = 0;
      if (!absl::SimpleAtoi(text, &value) || value < range.least || value > range.most) {
        return false;
      }
      model.*member = value;
      return true;
    };
  };
  const auto weight = [](const std::string& text, ModelSource& model) {
    return absl::SimpleAtod(text, &model.weight) && model.weight >= 0.01 && model.weight <= 100;
  };
  const auto precision = [](const std::string& text, ModelSource& model) {
    model.precision = ParsePrecision(text);
    return model.precision.has_value();
  };
  std::string wrong = ForModels("--model-weight", weights_, "NAME=0.01 to 100", weight);
  if (wrong.empty()) {
    wrong =
        ForModels("--model-precision", precisions_, "NAME=f32, NAME=bf16 or NAME=int8", precision);
  }
  const auto numbers = [&](const char* flag, const std::vector<std::string>& given, Range range,
                           std::optional<int64_t> ModelSource::*member) {
    if (!wrong.empty()) return;
    const std::string what = StrCat("NAME=", range.least, " to ", range.most);
    wrong = ForModels(flag, given, what.c_str(), number(range, member));
  };
  numbers("--model-queue-tokens", queue_tokens_, kQueueTokens, &ModelSource::queue_tokens);
  numbers("--model-queue-requests", queue_requests_, kQueueRequests, &ModelSource::queue_requests);
  numbers("--model-queue-bytes", queue_bytes_, kQueueBytes, &ModelSource::queue_bytes);
  return wrong;
}

}  // namespace attnd
