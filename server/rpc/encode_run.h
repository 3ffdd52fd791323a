#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "attnd/v1/encoder.pb.h"
#include "server/rpc/jobs_run.h"
#include "server/rpc/service_context.h"
#include "server/validate/encode.h"

namespace attnd {

// One EncodeRequest on its way through the engine: a job for each input, or for each window of one,
// submitted together, and one outcome when the last of them is done.
class EncodeRun {
 public:
  EncodeRun(const ServiceContext& service, const ModelContext& model, EncodePlan plan);

  // As JobsRun::Submit.
  absl::Status Submit(const JobTerms& terms, std::function<void(absl::Status)> done) {
    return run_.Submit(terms, std::move(done));
  }

  const ModelContext& model() const { return model_; }
  // Input and output, in bytes.
  int64_t bytes() const { return run_.bytes(); }

  // Once done with OK, one of these: writes the reply; or its next part of at most
  // limits.message_bytes with `reserved_bytes` kept free, true if that was the last; or gives the
  // pooled vectors of all inputs, which the run keeps.
  void WriteAll(v1::EncodeResponse& response);
  bool WritePart(int64_t reserved_bytes, v1::EncodeResponse& response);
  std::vector<std::span<const float>> PooledVectors();

 private:
  // What an input's jobs have become.
  struct Finished {
    EncodeTask task;  // With the outputs of all of its windows.
    JobTimings timings;
  };

  // Takes the outputs of the next input that has not been finished; inputs are finished in order.
  const Finished& FinishNext();
  // Writes all of an Encoding but its token vectors.
  void WriteBegin(size_t index, v1::Encoding& encoding);

  const ModelContext& model_;
  EncodePlan plan_;
  JobsRun run_;

  // Used once all jobs are done.
  std::vector<Finished> finished_;  // By input, as far as they are.
  size_t finished_jobs_ = 0;        // Of those inputs.
  // Where the next part begins.
  size_t next_input_ = 0;
  int64_t next_row_ = 0;
};

}  // namespace attnd
