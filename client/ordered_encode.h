#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/types.h"

namespace attnd::client {

// The next input to encode; an error takes its place in the order and is delivered as it is;
// nullopt ends.
using NextInput = std::function<std::optional<absl::StatusOr<Input>>()>;
// Called once for each input, in order, never twice at a time; from either of two threads.
using DeliverEncoding = std::function<void(absl::StatusOr<Encoding>)>;

struct OrderedEncodeOptions {
  EncodeOptions encode;
  // Inputs taken and not delivered: what is kept in memory, and what the server may batch.
  int32_t window = 64;
  // As that of StreamOptions: for all inputs together.
  std::optional<std::chrono::milliseconds> deadline = {};
};

// Encodes inputs of any number over one stream and delivers in the order of the inputs. An input
// fails alone. If the connection breaks, what is not answered and what follows is delivered with
// the error that broke it, which is returned as well; `next` is still called to its end, so that
// each input has its answer.
absl::Status EncodeInOrder(const Client& client, const OrderedEncodeOptions& options,
                           const NextInput& next, const DeliverEncoding& deliver);

}  // namespace attnd::client
