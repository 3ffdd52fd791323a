#include "server/config.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_split.h"
#include "server/config_flags.h"

namespace attnd {
namespace {

constexpr char kMetricsFlag[] = "--metrics-listen";
// Of several values in one variable of the environment.
constexpr char kSeparator = ';';

// By any of its names: what turns a flag off has one of its own.
bool IsGiven(const std::vector<std::string>& arguments, const CLI::Option& option) {
  const auto names = [&](const std::string& argument) {
    return std::any_of(option.get_lnames().begin(), option.get_lnames().end(),
                       [&](const std::string& name) {
                         const std::string flag = "--" + name;
                         return argument == flag || argument.rfind(flag + "=", 0) == 0;
                       });
  };
  return std::any_of(arguments.begin(), arguments.end(), names);
}

// What the environment sets becomes a flag, unless that is given. Empty is not set, but for the one
// flag that empty means something to. CLI11 by itself would let the
// config file win over the environment.
void AddEnvironment(const CLI::App& app, std::vector<std::string>& arguments) {
  for (const CLI::Option* option : app.get_options()) {
    const std::string flag = option->get_name();
    if (option->get_envname().empty()) continue;
    // Read before there is a second thread.
    const char* value =
        std::getenv(option->get_envname().c_str());  // NOLINT(concurrency-mt-unsafe)
    if (value == nullptr || IsGiven(arguments, *option)) continue;
    if (*value != 0 && option->get_expected_max() > 1) {
      // A flag that may be given several times.
      for (const auto& one : absl::StrSplit(value, kSeparator)) {
        arguments.push_back(flag + "=" + std::string(one));
      }
    } else if (*value != 0) {
      arguments.push_back(flag + "=" + value);
    } else if (flag == kMetricsFlag) {
      arguments.insert(arguments.end(), {flag, ""});
    }
  }
}

}  // namespace

Limits LimitsOf(const ModelSource& model, const Limits& limits, int32_t length_max) {
  Limits own = limits;
  own.batch_tokens = std::max(limits.batch_tokens, length_max);
  own.queue_tokens =
      std::max<int64_t>(model.queue_tokens.value_or(limits.queue_tokens), own.batch_tokens);
  own.queue_requests = model.queue_requests.value_or(limits.queue_requests);
  own.queue_bytes = model.queue_bytes.value_or(limits.queue_bytes);
  return own;
}

std::variant<Config, ConfigCheck, ConfigExit> ReadConfig(int count, const char* const* arguments) {
  CLI::App app("attnd: contextualized representations over gRPC.", "attnd");
  Config config;
  ConfigFlags flags(app, config);
  try {
    std::vector<std::string> given(arguments + 1, arguments + count);
    AddEnvironment(app, given);
    std::reverse(given.begin(), given.end());  // CLI11 takes them from the back.
    app.parse(given);
  } catch (const CLI::CallForHelp&) {
    return ConfigExit{.text = app.help(), .code = 0};
  } catch (const CLI::ParseError& error) {
    return ConfigExit{.text = std::string("attnd: ") + error.what(), .code = kBadConfig};
  }
  if (std::string wrong = flags.Finish(); !wrong.empty()) {
    return ConfigExit{.text = "attnd: " + wrong, .code = kBadConfig};
  }
  if (flags.check_only()) {
    std::string text = app.config_to_str(/*default_also=*/true, /*write_description=*/false);
    return ConfigCheck{.config = std::move(config), .text = std::move(text)};
  }
  return config;
}

}  // namespace attnd
