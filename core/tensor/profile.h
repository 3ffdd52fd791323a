#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>

namespace attnd {

// What the time of a forward pass goes to.
enum class Stage {
  kEmbed,   // Sum of tables, and its norm.
  kNorm,    // Of the layers.
  kQkv,     // Queries, keys and values, turned where a model does that.
  kScores,  // Q K^T, with bias and window.
  kSoftmax,
  kWeightedSum,  // Softmax V.
  kOutput,       // The attention's last product, and its residual.
  kFeedForward,  // With its residual.
  kTake,         // What tasks want of the rows: copies, pooling, heads.
};
inline constexpr std::array<std::string_view, 9> kStageNames = {
    "embed", "norm", "qkv", "scores", "softmax", "weighted sum", "output", "feed-forward", "take"};

// The seconds of each stage on one thread.
struct Profile {
  std::array<double, kStageNames.size()> seconds{};
};

// Adds the time that it lives to a stage. Without a profile it does nothing; while serving there is
// none.
class StageTimer {
 public:
  StageTimer(Profile* profile, Stage stage) : profile_(profile), stage_(stage) {
    if (profile_ != nullptr) begin_ = Clock::now();
  }
  ~StageTimer() {
    if (profile_ == nullptr) return;
    const std::chrono::duration<double> time = Clock::now() - begin_;
    profile_->seconds[static_cast<size_t>(stage_)] += time.count();
  }
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  Profile* const profile_;
  const Stage stage_;
  Clock::time_point begin_;
};

}  // namespace attnd
