// Goal: the path of a batch allocates nothing but what oneDNN makes for its arguments at each call,
// and no more of that than now. A guard that takes no time: what slows the path down mostly
// allocates. Method: this program's malloc counts; an encoder's second run of the same batch, by
// the number of primitives in it.
//
// Not under sanitizers, which have a malloc of their own.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/model/encoder.h"
#include "gtest/gtest.h"
#include "tests/support/precisions.h"

extern "C" {
// glibc's own, under the names that it has them for programs like this one.
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* block, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);
}

namespace {

thread_local int64_t allocations = 0;

void* Counted(void* block) {
  ++allocations;
  return block;
}

}  // namespace

extern "C" {
void* malloc(size_t bytes) { return Counted(__libc_malloc(bytes)); }
void* calloc(size_t count, size_t bytes) { return Counted(__libc_calloc(count, bytes)); }
void* realloc(void* block, size_t bytes) { return Counted(__libc_realloc(block, bytes)); }
void* memalign(size_t alignment, size_t bytes) {
  return Counted(__libc_memalign(alignment, bytes));
}
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** block, size_t alignment, size_t bytes) {
  *block = memalign(alignment, bytes);
  return *block == nullptr ? ENOMEM : 0;
}
}

namespace attnd {
namespace {

constexpr int32_t kLayers = 3;

// Per call of a primitive, of which each argument is an object with parts: 18 to 20 in
// oneDNN 2.6.3, 35 to 50 in 3.7.2.
int64_t PerPrimitiveMax() { return onednn::Version().starts_with("2.") ? 24 : 60; }

std::unique_ptr<const Encoder> RandomEncoder(Precision precision) {
  ArchSpec arch;
  arch.family = "bert";
  arch.hidden = 64;
  arch.vocabulary = 100;
  arch.norm_epsilon = 1e-12f;
  arch.length_max = 64;
  arch.embed = {.positions = 64, .token_types = 2};
  arch.encoder = {.layers = kLayers, .heads = 4, .head_size = 16, .inner = 128};
  std::mt19937 random(1);
  const auto read = [&](auto, auto, std::span<float> out) {
    for (float& value : out) value = static_cast<float>(random() % 1000) * 1e-4f - 0.05f;
    return absl::OkStatus();
  };
  auto encoder = Encoder::Load(arch, {.precision = precision}, read);
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  return *std::move(encoder);
}

class AllocationTest : public ::testing::TestWithParam<Precision> {
 protected:
  AllocationTest() {
    onednn::UseOneThread();
    encoder_ = RandomEncoder(GetParam());
    scratch_.emplace(*encoder_);
  }

  // What a run of sequences of 16 tokens allocates.
  int64_t CountRun(size_t sequences) {
    std::vector<EncodeTask> tasks(sequences);
    std::vector<EncodeTask*> pointers;
    for (EncodeTask& task : tasks) {
      task.ids.assign(16, 7);
      task.return_rows = true;
      task.rows_out.resize(16 * 64);
      pointers.push_back(&task);
    }
    for (int run = 0; run < 2; ++run) {  // The first makes kernels and fills vectors.
      const int64_t before = allocations;
      EXPECT_TRUE(encoder_->Run(pointers, *scratch_).ok());
      counted_ = allocations - before;
    }
    return counted_;
  }

  std::unique_ptr<const Encoder> encoder_;
  std::optional<Encoder::Scratch> scratch_;
  int64_t counted_ = 0;
};

TEST(AllocationCountTest, CountsWhatIsAllocated) {
  const int64_t before = allocations;
  // Where the compiler cannot see that nobody reads it.
  void* volatile block = std::malloc(100);
  std::free(block);
  EXPECT_EQ(allocations - before, 1);
}

TEST_P(AllocationTest, OnlyPrimitivesAllocate) {
  // A layer of 16 rows is four products with weights (in int8, an activation of its own) and for
  // each sequence three calls of attention, for all heads at once.
  const int64_t dense = GetParam() == Precision::kInt8 ? 5 : 4;
  const int64_t one = CountRun(1);
  RecordProperty("allocations", std::to_string(one));
  EXPECT_GT(one, 0);
  EXPECT_LE(one, kLayers * (dense + 3) * PerPrimitiveMax());
  // More rows are no more calls of dense layers than before, each, and three of attention; nothing
  // grows but with them.
  EXPECT_LE(CountRun(2), 2 * one);
  EXPECT_LE(CountRun(4), 4 * one);
}

INSTANTIATE_TEST_SUITE_P(Precisions, AllocationTest, ::testing::ValuesIn(testing::PrecisionsHere()),
                         [](const auto& one) { return std::string(NameOf(one.param)); });

}  // namespace
}  // namespace attnd
