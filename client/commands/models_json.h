#pragma once

#include <string>
#include <string_view>

#include "client/types.h"

namespace attnd::client {

// What the command line calls them; "none" and "unknown" for what the model does not say.
std::string_view PoolingName(Pooling pooling);
std::string_view ScoreFunctionName(ScoreFunction function);
// "sequence_labels", "token_labels", "span", "vocabulary" or "none".
std::string_view HeadName(Head head);

// All of the model in one line of JSON, without a newline; the keys are those of ModelInfo in
// model.proto.
std::string FormatModelJson(const ModelInfo& model);

}  // namespace attnd::client
