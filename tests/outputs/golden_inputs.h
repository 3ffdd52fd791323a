#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/input.pb.h"
#include "tests/golden/case_file.h"

namespace attnd::golden {

using Vector = std::vector<double>;
using Vectors = std::vector<Vector>;

// Where a token stands in its text, [start, end) in code points, and the word that it is of. Text
// and word of a special token are -1.
struct TokenPlace {
  int32_t start = 0, end = 0;
  int32_t text = 0;
  int32_t word = -1;
};

// One input, and what the reference makes of it.
struct GoldenInput {
  std::string name;      // "bert-a/text0", "bert-a/batch[1]"
  v1::Input input;       // A text, a pair, or ids.
  std::vector<int> ids;  // Of its tokens, special ones included.
  // One a token. Token ids, which have no text, are all of text 0, at [0, 0), and none is special.
  std::vector<TokenPlace> places;
  Vectors last;                       // [tokens, hidden]
  std::map<int32_t, Vectors> layers;  // Those that the case has, [tokens, hidden] each.
  Vector pooler;                      // [hidden]; empty if the case has none.
  Vectors logits;  // [tokens, vocabulary], of a masked-language model; empty if the case has none.
  Tolerance tolerance;

  bool has_text() const { return !input.has_token_ids(); }
};

// A text that is read in windows, and what the reference makes of each.
struct GoldenWindows {
  GoldenInput whole;  // Without what the reference makes of it, but for the tolerance.
  int32_t length = 0, stride = 0;
  std::vector<GoldenInput> windows;
};

// What a case file has for one model.
struct GoldenModel {
  std::string directory;
  int32_t layer_count = 0;
  std::vector<GoldenInput> texts;  // Texts and pairs.
  std::vector<GoldenInput> ids;
  std::vector<GoldenWindows> windows;
};

// Reads a case file of a folder with cases/ and models/. Cases without token vectors are left out.
// An error if a text's tokens are not in `tokens`, which is tests/data/tokens.json.
absl::StatusOr<GoldenModel> LoadGoldenModel(const std::string& folder, const std::string& name,
                                            const Json& tokens);

}  // namespace attnd::golden
