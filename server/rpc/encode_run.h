#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "attnd/v1/encoder.pb.h"
#include "server/rpc/service_context.h"
#include "server/validate/encode.h"

namespace attnd {

void SetModel(const ServedModel& model, v1::ModelRef& ref);

// One EncodeRequest on its way through the engine: a job for each input, or for each window of one,
// submitted together, and one outcome when the last of them is done.
class EncodeRun {
 public:
  EncodeRun(const ServiceContext& service, EncodePlan plan);

  // Gives the jobs to the engine: all or none. On OK, `done` is called once, from whatever thread
  // the last job ends on: with OK if all jobs were computed, else with the first that failed. On
  // error `done` is not called, and Submit may be tried again. The run must outlive `done`.
  absl::Status Submit(Clock::time_point deadline,
                      std::shared_ptr<const std::atomic<bool>> cancelled,
                      const std::function<void(absl::Status)>& done);

  // Input and output, in bytes.
  uint64_t bytes() const { return bytes_; }

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

  // Whether the queue has room now, so that outputs are not allocated for nothing.
  bool FitsQueue() const;
  void JobDone(size_t index, std::unique_ptr<Job> job, const absl::Status& status);
  // Takes the outputs of the next input that has not been finished; inputs are finished in order.
  const Finished& FinishNext();
  // Writes all of an Encoding but its token vectors.
  void WriteBegin(size_t index, v1::Encoding& encoding);

  const ServiceContext& service_;
  EncodePlan plan_;
  const size_t count_;  // Of jobs.
  uint64_t bytes_ = 0;
  int64_t rows_ = 0;
  std::optional<HeldBytes> held_;
  std::function<void(absl::Status)> on_done_;

  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Job>> done_;  // By job; written under mutex_ until all are done.
  size_t remaining_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);

  // Used once all jobs are done.
  std::vector<Finished> finished_;  // By input, as far as they are.
  size_t finished_jobs_ = 0;        // Of those inputs.
  // Where the next part begins.
  size_t next_input_ = 0;
  int64_t next_row_ = 0;
};

}  // namespace attnd
