#pragma once

#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/batch/engine.h"
#include "core/input/tokenizer.h"
#include "core/model/model.h"

namespace attnd::golden {

// What the server is made of, without the server: tokenizer, model, and the engine with its
// workers.
class Backend {
 public:
  // The model in `directory`, on an engine of that many workers.
  static absl::StatusOr<std::unique_ptr<Backend>> Open(const std::string& directory, int workers);

  const Model& model() const { return *model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

  // Submits the tasks together, waits for all, and puts the finished tasks in their places. The
  // first error, if any.
  absl::Status Run(std::span<Task> tasks);

 private:
  Backend() = default;

  std::unique_ptr<const Model> model_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<Engine> engine_;
};

// The tokenizer in `directory` alone.
absl::StatusOr<std::unique_ptr<const Tokenizer>> OpenTokenizer(const std::string& directory);

}  // namespace attnd::golden
