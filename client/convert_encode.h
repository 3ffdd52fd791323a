#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "attnd/v1/input.pb.h"
#include "client/types.h"

// Inputs, tokens and encodings between client/types.h and the contract.
namespace attnd::client {

v1::Input ToProto(const Input& input);
v1::EncodeRequest ToProto(const std::vector<Input>& inputs, const EncodeOptions& options);
// Fills all of the message but `ranges`, which are the request's.
void FillOptions(const EncodeOptions& options, v1::EncodeOptions& proto);

Timings FromProto(const v1::Timings& timings);
// kInternal if the arrays are of different lengths.
absl::StatusOr<std::vector<Token>> FromProto(const v1::Tokens& tokens);
// kInternal where shapes and counts disagree.
absl::StatusOr<Encoding> FromProto(const v1::Encoding& encoding);
absl::StatusOr<EncodeReply> FromProto(const v1::EncodeResponse& response);

}  // namespace attnd::client
