#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/answer.pb.h"
#include "attnd/v1/classifier.pb.h"
#include "attnd/v1/encoder.pb.h"
#include "attnd/v1/fill_mask.pb.h"
#include "attnd/v1/rerank.pb.h"
#include "attnd/v1/tokenizer.pb.h"
#include "client/head_types.h"

// client/head_types.h and the contract's messages. Replies are checked: one that does not answer
// what was asked is kInternal.
namespace attnd::client {

v1::ClassifyRequest ToProto(const std::vector<Input>& inputs, const ClassifyOptions& options);
v1::ClassifyTokensRequest ToProto(const std::vector<Input>& inputs,
                                  const ClassifyTokensOptions& options);
v1::RerankRequest ToProto(std::string_view query, const std::vector<std::string>& documents,
                          const RerankOptions& options);
v1::FillMaskRequest ToProto(const std::vector<Input>& inputs, const FillMaskOptions& options);
v1::AnswerRequest ToProto(const std::vector<Question>& questions, const AnswerOptions& options);
v1::TokenizeRequest ToProto(const std::vector<Input>& inputs, const TokenizeOptions& options);
v1::DetokenizeRequest ToProto(const std::vector<TokenIds>& inputs,
                              const DetokenizeOptions& options);
v1::SimilarityRequest ToProto(const std::vector<Input>& sources, const std::vector<Input>& targets,
                              const EncodeOptions& options);

ClassifyReply FromProto(const v1::ClassifyResponse& response);
ClassifyTokensReply FromProto(const v1::ClassifyTokensResponse& response);
RerankReply FromProto(const v1::RerankResponse& response);
FillMaskReply FromProto(const v1::FillMaskResponse& response);
AnswerReply FromProto(const v1::AnswerResponse& response);
// kInternal if an input's arrays are of different lengths.
absl::StatusOr<TokenizeReply> FromProto(const v1::TokenizeResponse& response);
DetokenizeReply FromProto(const v1::DetokenizeResponse& response);
// kInternal unless the similarities are a matrix.
absl::StatusOr<SimilarityReply> FromProto(const v1::SimilarityResponse& response);

}  // namespace attnd::client
