#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"

namespace attnd::testing {

// An attnd of the test's own that serves one model, asked by the contract itself: what a test reads
// is what a client gets. The only file here that knows how a server is started.
class ServedEncoder {
 public:
  // `model` is a model's directory.
  static absl::StatusOr<std::unique_ptr<ServedEncoder>> Start(const std::string& model);
  ~ServedEncoder();

  absl::StatusOr<v1::EncodeResponse> Encode(const v1::EncodeRequest& request);

 private:
  struct Parts;
  explicit ServedEncoder(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace attnd::testing
