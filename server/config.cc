#include "server/config.h"

#include "CLI/CLI.hpp"
#include "server/config_flags.h"

namespace attnd {
namespace {

constexpr int kBadConfig = 2;

}  // namespace

std::variant<Config, ConfigExit> ReadConfig(int count, const char* const* arguments) {
  CLI::App app("attnd: contextualized representations over gRPC.", "attnd");
  Config config;
  ConfigFlags flags(app, config);
  try {
    app.parse(count, const_cast<char**>(arguments));
  } catch (const CLI::CallForHelp&) {
    return ConfigExit{.text = app.help(), .code = 0};
  } catch (const CLI::ParseError& error) {
    return ConfigExit{.text = std::string("attnd: ") + error.what(), .code = kBadConfig};
  }
  if (std::string wrong = flags.Finish(); !wrong.empty()) {
    return ConfigExit{.text = "attnd: " + wrong, .code = kBadConfig};
  }
  if (flags.check_only()) {
    return ConfigExit{.text = app.config_to_str(/*default_also=*/true, /*write_description=*/false),
                      .code = 0};
  }
  return config;
}

}  // namespace attnd
