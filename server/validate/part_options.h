#pragma once

#include "absl/status/status.h"
#include "attnd/v1/encoder.pb.h"
#include "server/validate/encode_options.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"

namespace attnd {

// Each checks one part of EncodeOptions, which is there, and writes it into `choices`. Errors name
// `options.FIELD`.
absl::Status ReadHiddenLayers(const v1::HiddenLayers& given, const ModelInfo& info,
                              const Limits& limits, EncodeChoices& choices);
absl::Status ReadAttention(const v1::AttentionMaps& given, const ModelInfo& info,
                           const Limits& limits, EncodeChoices& choices);
absl::Status ReadSpans(const v1::Spans& given, EncodeChoices& choices);
// The maximum length must have been read.
absl::Status ReadWindows(const v1::Windows& given, const ModelInfo& info, EncodeChoices& choices);

}  // namespace attnd
