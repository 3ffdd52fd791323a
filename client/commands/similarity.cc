#include "client/commands/similarity.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "client/show/utf8.h"

namespace attnd::client {
namespace {

double Dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// At most `characters` code points, cut where one begins.
std::string Beginning(const std::string& text, int characters) {
  size_t end = 0;
  for (; end < text.size(); ++end) {
    const bool starts_character = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
    if (starts_character && characters-- == 0) return text.substr(0, end) + "...";
  }
  return text;
}

}  // namespace

double CosineSimilarity(std::span<const float> a, std::span<const float> b) {
  const double length_product = std::sqrt(Dot(a, a)) * std::sqrt(Dot(b, b));
  return length_product > 0 ? Dot(a, b) / length_product : 0;
}

std::vector<double> CosineSimilarities(const std::vector<std::vector<float>>& vectors) {
  std::vector<double> table;
  table.reserve(vectors.size() * vectors.size());
  for (const auto& row : vectors) {
    for (const auto& column : vectors) table.push_back(CosineSimilarity(row, column));
  }
  return table;
}

void PrintSimilarities(const std::vector<std::string>& texts,
                       const std::vector<std::vector<float>>& vectors, std::ostream& out) {
  PrintSimilarityTable(texts, {}, CosineSimilarities(vectors), out);
}

void PrintSimilarityTable(const std::vector<std::string>& rows,
                          const std::vector<std::string>& columns, std::span<const double> table,
                          std::ostream& out) {
  constexpr int kCharactersMax = 40;
  const size_t column_count = columns.empty() ? rows.size() : columns.size();
  out << "cosine similarity\n     ";
  for (size_t column = 0; column < column_count; ++column) {
    out << absl::StrFormat("%7d", column + 1);
  }
  out << "\n";
  for (size_t row = 0; row < rows.size(); ++row) {
    out << absl::StrFormat("%5d", row + 1);
    for (size_t column = 0; column < column_count; ++column) {
      out << absl::StrFormat("%7.3f", table[row * column_count + column]);
    }
    out << "  " << OneLine(Beginning(rows[row], kCharactersMax)) << "\n";
  }
  if (columns.empty()) return;
  out << "columns\n";
  for (size_t column = 0; column < columns.size(); ++column) {
    out << absl::StrFormat("%5d", column + 1) << "  "
        << OneLine(Beginning(columns[column], kCharactersMax)) << "\n";
  }
}

}  // namespace attnd::client
