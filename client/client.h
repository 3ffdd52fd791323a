#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/encode_stream.h"
#include "client/error.h"
#include "client/head_types.h"
#include "client/tls.h"
#include "client/types.h"

// Calls attnd from C++:
//
//   #include "client/client.h"
//
//   attnd::Client client({.target = "127.0.0.1:50051"});
//   auto reply = client.Encode({"The cat sat.", "A dog lay."}, {.return_token_vectors = true});
//   if (!reply.ok()) return Fail(reply.status());  // Code and message; ErrorReason() for programs.
//
//   for (const attnd::client::Encoding& encoding : reply->encodings) {
//     Use(encoding.pooled);         // One vector for the text.
//     Use(encoding.token_vectors);  // And one a token, as encoding.tokens has them.
//   }
//
// Link `attnd_client`. A Client is one connection, opened at the first call; it is safe to use from
// many threads, and cheap to share: make one a process, not one a call.
namespace attnd::client {

struct ConnectOptions {
  std::string target = "127.0.0.1:50051";  // HOST:PORT, or unix:PATH.
  std::optional<TlsOptions> tls = {};      // Without it: plaintext.
  // How long a call may take, waiting included. A stream has its own: see StreamOptions.
  std::chrono::milliseconds deadline{10'000};
  // The largest reply accepted; attnd sends at most its own limit (4 MiB by default).
  int32_t reply_bytes_max = 4 * 1024 * 1024;
  // Of attnd's --api-keys, sent with each call: 1 to 512 visible ASCII characters; any other text
  // is not sent. Whoever sees a plaintext connection sees the key.
  std::string api_key;
};

class Client {
 public:
  explicit Client(ConnectOptions options = {});
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // Waits until the server can be reached: kUnavailable, naming the target, if it cannot in time.
  // Not needed before a call; for scripts that start a server and its client together.
  absl::Status WaitForConnection(std::chrono::milliseconds time_max) const;

  // All inputs or none. An error's message names the input as `inputs[i]`.
  absl::StatusOr<EncodeReply> Encode(const std::vector<Input>& inputs,
                                     const EncodeOptions& options = {}) const;

  // Many requests over one stream, answered as they are done.
  std::unique_ptr<EncodeStream> OpenEncodeStream(const StreamOptions& options = {}) const;

  // Cosines of the pooled vectors of each source with each target; no targets: with each source.
  absl::StatusOr<SimilarityReply> Similarity(const std::vector<Input>& sources,
                                             const std::vector<Input>& targets = {},
                                             const EncodeOptions& options = {}) const;

  // The methods of a head: kFailedPrecondition if the model has another one (ModelInfo::head).
  // All inputs or none, as Encode.

  // Labels for texts or pairs, the best first.
  absl::StatusOr<ClassifyReply> Classify(const std::vector<Input>& inputs,
                                         const ClassifyOptions& options = {}) const;
  // Labels for parts of texts: names, places and the like, in the order of the text.
  absl::StatusOr<ClassifyTokensReply> ClassifyTokens(
      const std::vector<Input>& inputs, const ClassifyTokensOptions& options = {}) const;
  // Documents by how well they answer the query, the best first, by their place in `documents`.
  absl::StatusOr<RerankReply> Rerank(std::string_view query,
                                     const std::vector<std::string>& documents,
                                     const RerankOptions& options = {}) const;
  // What may stand at each mask token of the inputs.
  absl::StatusOr<FillMaskReply> FillMask(const std::vector<Input>& inputs,
                                         const FillMaskOptions& options = {}) const;
  // The part of each context that answers its question. Contexts may be longer than the model.
  absl::StatusOr<AnswerReply> Answer(const std::vector<Question>& questions,
                                     const AnswerOptions& options = {}) const;

  // Texts or pairs to tokens, and token ids to texts.
  absl::StatusOr<TokenizeReply> Tokenize(const std::vector<Input>& inputs,
                                         const TokenizeOptions& options = {}) const;
  absl::StatusOr<DetokenizeReply> Detokenize(const std::vector<TokenIds>& inputs,
                                             const DetokenizeOptions& options = {}) const;

  absl::StatusOr<AttendReply> Attend(const AttendRequest& request) const;
  absl::StatusOr<SelfAttentionReply> SelfAttention(const SelfAttentionRequest& request) const;

  absl::StatusOr<std::vector<ModelInfo>> ListModels() const;
  // An empty name: the only model served.
  absl::StatusOr<ModelInfo> GetModel(std::string_view name = "") const;

  // grpc.health.v1. An empty name asks for the whole server; "attnd.v1.EncoderService" for one
  // service.
  absl::StatusOr<ServingStatus> Health(std::string_view service = "") const;
  // Calls `changed` with the status now and at each change, until it returns false (OK) or the
  // server ends the watch.
  absl::Status WatchHealth(std::string_view service,
                           const std::function<bool(ServingStatus)>& changed) const;

 private:
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace attnd::client

namespace attnd {
using client::Client;
}  // namespace attnd
