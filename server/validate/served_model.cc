#include "server/validate/served_model.h"

namespace attnd {

void WriteModel(const ServedModel& model, v1::ModelRef& ref) {
  ref.set_name(model.name);
  ref.set_version(model.info.version);
}

}  // namespace attnd
