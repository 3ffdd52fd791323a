#include <string>

#include "core/base/printable.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/families.h"
#include "core/model/families/common.h"

namespace attnd {
namespace {

struct Family {
  std::string_view name;  // config.json's "model_type".
  ArchSpec (*describe)(JsonFields&);
};
constexpr Family kFamilies[] = {
    {"bert", families::Bert},
    {"roberta", families::Roberta},
    {"xlm-roberta", families::Roberta},
    {"camembert", families::Roberta},
    {"distilbert", families::DistilBert},
    {"mpnet", families::Mpnet},
    {"modernbert", families::ModernBert},
    {"t5", families::T5Encoder},
    {"mt5", families::Mt5Encoder},
};

}  // namespace

absl::StatusOr<ArchSpec> DescribeArch(const nlohmann::json& config, const std::string& file_name) {
  JsonFields fields(config, file_name);
  const std::string model_type = fields.String("model_type");
  RETURN_IF_ERROR(fields.status());
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.name == model_type) {
      ArchSpec arch = family.describe(fields);
      RETURN_IF_ERROR(fields.status());
      arch.family = family.name;
      return arch;
    }
    known = StrCat(known, known.empty() ? "" : ", ", family.name);
  }
  fields.Fail("model_type", StrCat("is ", Printable(model_type), "; known are ", known));
  return fields.status();
}

}  // namespace attnd
