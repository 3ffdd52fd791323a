#pragma once

#include <cstdint>

namespace attnd {

// What a batch's time depends on: dense layers take theirs by the row, attention by the pairs of
// rows of a sequence.
struct Work {
  double rows = 0;
  double pairs = 0;  // The sum of rows² over the sequences.

  static Work OfSequence(int32_t rows);
  Work& operator+=(const Work& other);
  Work& operator-=(const Work& other);
};

// What a lane's batches take, learned while they run: seconds of one worker = a·rows + b·pairs.
// Least squares over the batches, of which older ones count less and less, drawn a little towards
// b = `row_a_pair`·a: batches of equal sequences alone cannot tell rows from pairs. Pure: no clock,
// no lock.
class CostModel {
 public:
  // Between what MiniLM's attention and BERT-base's cost (bench/RESULTS.md, the shares of W4).
  static constexpr double kRowAPair = 1.0 / 2048;

  // `row_a_pair` is what a pair costs, in rows, until something else is learned. 0: pairs cost
  // nothing, ever.
  explicit CostModel(double row_a_pair = kRowAPair) : row_a_pair_(row_a_pair) {}

  // Of one worker. 0 until the first batch was learned.
  double Seconds(const Work& work) const { return a_ * work.rows + b_ * work.pairs; }
  // A batch took `seconds`, waiting for nobody. A batch that took several times what was expected
  // says more about the machine than about the next one, and is believed only so far.
  void Learn(const Work& work, double seconds);
  // Others have spent `seconds` on the batch that the next Learn is told of.
  void Help(double seconds) { helped_ += seconds; }

 private:
  void Solve();

  const double row_a_pair_;
  double a_ = 0, b_ = 0;
  double helped_ = 0;
  int64_t batches_ = 0;
  // Sums over batches of products of rows, pairs and seconds, older ones decayed.
  double rows_rows_ = 0, rows_pairs_ = 0, pairs_pairs_ = 0, rows_seconds_ = 0, pairs_seconds_ = 0;
};

}  // namespace attnd
