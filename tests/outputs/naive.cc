#include "tests/outputs/naive.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

namespace attnd::golden {
namespace {

// The code points of a text in UTF-8.
std::u32string CodePoints(const std::string& text) {
  std::u32string points;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if ((byte & 0xC0) == 0x80) {
      points.back() = points.back() << 6 | (byte & 0x3F);
    } else {
      points.push_back(byte >= 0xF0   ? byte & 0x07
                       : byte >= 0xE0 ? byte & 0x0F
                       : byte >= 0xC0 ? byte & 0x1F
                                      : byte);
    }
  }
  return points;
}

bool IsOneOf(char32_t c, std::u32string_view set) { return set.find(c) != set.npos; }
bool IsBlank(char32_t c) { return IsOneOf(c, U" \n"); }
bool IsCloser(char32_t c) { return IsOneOf(c, U"\"')]}\u201D\u2019"); }

// Whether a sentence ends before text[i]. No text here has a blank line.
bool EndsSentence(const std::u32string& text, size_t i) {
  size_t stop = i;
  while (stop > 0 && IsCloser(text[stop - 1])) --stop;
  if (i == text.size()) return true;
  if (stop == 0) return false;
  if (IsOneOf(text[stop - 1], U"\u3002\uFF01\uFF1F")) return !IsCloser(text[i]);
  return IsOneOf(text[stop - 1], U".!?\u2026") && IsBlank(text[i]);
}

std::vector<size_t> TokensOverlapping(const std::vector<TokenPlace>& places, const Part& part) {
  std::vector<size_t> tokens;
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].text == part.text && places[i].start < part.end && places[i].end > part.start) {
      tokens.push_back(i);
    }
  }
  return tokens;
}

// From the first token to the last.
Part PartOf(const std::vector<TokenPlace>& places, std::vector<size_t> tokens) {
  const TokenPlace& first = places[tokens.front()];
  return {.start = first.start,
          .end = places[tokens.back()].end,
          .text = first.text,
          .tokens = std::move(tokens)};
}

}  // namespace

Vector Pool(const Vectors& rows, v1::Pooling pooling) {
  if (pooling == v1::POOLING_CLS) return rows.front();
  if (pooling == v1::POOLING_LAST) return rows.back();
  Vector pooled = rows.front();
  for (size_t column = 0; column < pooled.size(); ++column) {
    double sum = 0;
    for (const Vector& row : rows) {
      sum += row[column];
      pooled[column] = std::max(pooled[column], row[column]);
    }
    if (pooling == v1::POOLING_MEAN) pooled[column] = sum / static_cast<double>(rows.size());
  }
  return pooled;
}

Vector FirstOf(const Vector& vector, size_t dimensions) {
  return {vector.begin(), vector.begin() + static_cast<int64_t>(dimensions)};
}

Vector Normalized(Vector vector) {
  double squares = 0;
  for (const double value : vector) squares += value * value;
  if (squares == 0) return vector;
  for (double& value : vector) value /= std::sqrt(squares);
  return vector;
}

Vectors FirstOf(Vectors vectors, size_t dimensions) {
  for (Vector& vector : vectors) vector = FirstOf(vector, dimensions);
  return vectors;
}

Vectors Normalized(Vectors vectors) {
  for (Vector& vector : vectors) vector = Normalized(std::move(vector));
  return vectors;
}

Vector Sparse(const Vectors& logits) {
  Vector weights = Pool(logits, v1::POOLING_MAX);
  for (double& weight : weights) weight = std::log(1 + std::max(weight, 0.0));
  return weights;
}

std::string TextOf(const v1::Input& input, int32_t text) {
  if (input.has_text()) return input.text();
  return text == 0 ? input.text_pair().first() : input.text_pair().second();
}

int32_t CountTexts(const v1::Input& input) { return input.has_text_pair() ? 2 : 1; }

int32_t CountCodePoints(const std::string& text) {
  return static_cast<int32_t>(CodePoints(text).size());
}

std::vector<Part> Words(const std::vector<TokenPlace>& places) {
  std::map<std::pair<int32_t, int32_t>, std::vector<size_t>> tokens_of;  // By text and word.
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].text >= 0) tokens_of[{places[i].text, places[i].word}].push_back(i);
  }
  std::vector<Part> words;
  for (auto& [word, tokens] : tokens_of) words.push_back(PartOf(places, std::move(tokens)));
  return words;
}

std::vector<Part> Sentences(const GoldenInput& input) {
  std::vector<Part> sentences;
  for (int32_t text = 0; text < CountTexts(input.input); ++text) {
    const std::u32string points = CodePoints(TextOf(input.input, text));
    size_t begin = 0;
    for (size_t i = 1; i <= points.size(); ++i) {
      if (!EndsSentence(points, i)) continue;
      size_t end = i;
      while (begin < end && IsBlank(points[begin])) ++begin;
      while (begin < end && IsBlank(points[end - 1])) --end;
      if (begin == end) continue;
      Part part{static_cast<int32_t>(begin), static_cast<int32_t>(end), text};
      part.tokens = TokensOverlapping(input.places, part);
      sentences.push_back(std::move(part));
      begin = i;
    }
  }
  return sentences;
}

std::vector<Part> SomeRanges(const GoldenInput& input) {
  std::vector<Part> ranges;
  for (int32_t text = 0; text < CountTexts(input.input); ++text) {
    const int32_t length = CountCodePoints(TextOf(input.input, text));
    for (const auto& [start, end] : {std::pair(0, length),
                                     {0, 1},
                                     {length - 1, length},
                                     {length / 3, length / 3 + 1},
                                     {length / 3, (length + 1) / 2},
                                     {length / 4, (3 * length + 3) / 4}}) {
      Part part{start, end, text};
      if (start >= end) continue;
      part.tokens = TokensOverlapping(input.places, part);
      ranges.push_back(std::move(part));
    }
  }
  return ranges;
}

std::vector<Part> Chunks(const GoldenInput& input, const Chunking& chunking) {
  std::vector<Part> chunks;
  for (int32_t text = 0; text < 2; ++text) {
    std::vector<size_t> tokens;
    for (size_t i = 0; i < input.places.size(); ++i) {
      if (input.places[i].text == text) tokens.push_back(i);
    }
    for (size_t begin = 0; begin < tokens.size(); begin += chunking.tokens - chunking.overlap) {
      const size_t end = std::min(begin + chunking.tokens, tokens.size());
      chunks.push_back(PartOf(
          input.places, {&tokens[begin], &tokens[begin] + static_cast<int64_t>(end - begin)}));
      if (!input.has_text()) chunks.back().text = -1;
      if (end == tokens.size()) break;
    }
  }
  return chunks;
}

Vectors PoolParts(const Vectors& rows, const std::vector<Part>& parts, v1::Pooling pooling) {
  Vectors pooled;
  for (const Part& part : parts) {
    Vectors of_part;
    for (const size_t token : part.tokens) of_part.push_back(rows[token]);
    pooled.push_back(of_part.empty() ? Vector(rows.front().size(), 0.0) : Pool(of_part, pooling));
  }
  return pooled;
}

std::vector<Window> CutWindows(const GoldenInput& input, size_t length, size_t stride) {
  size_t begin = input.places.size(), end = 0, special = 0;
  for (size_t i = 0; i < input.places.size(); ++i) {
    if (input.places[i].text < 0) {
      ++special;
    } else {
      begin = std::min(begin, i);
      end = i + 1;
    }
  }
  std::vector<Window> windows;
  for (;; begin += stride) {
    windows.push_back({begin, std::min(begin + length - special, end)});
    if (windows.back().end == end) return windows;
  }
}

Vectors Merge(const GoldenInput& input, const std::vector<Window>& windows,
              const std::vector<Vectors>& parts) {
  Vectors merged;
  const size_t count = input.places.size(), prefix = windows.front().begin;
  for (size_t token = 0; token < count; ++token) {
    if (token < prefix) {
      merged.push_back(parts.front()[token]);
      continue;
    }
    if (token >= windows.back().end) {
      merged.push_back(parts.back()[parts.back().size() - (count - token)]);
      continue;
    }
    std::vector<size_t> distances;  // From an edge, counted from 1; 0 in a window without it.
    for (const Window& window : windows) {
      const bool holds = token >= window.begin && token < window.end;
      distances.push_back(holds ? std::min(token - window.begin + 1, window.end - token) : 0);
    }
    const auto best = std::max_element(distances.begin(), distances.end()) - distances.begin();
    merged.push_back(parts[best][prefix + token - windows[best].begin]);
  }
  return merged;
}

}  // namespace attnd::golden
