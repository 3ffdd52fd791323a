#include "client/commands/representation_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/show/text_table.h"
#include "client/show/utf8.h"

namespace attnd::client {
namespace {

std::span<const float> RowOf(const Tensor& matrix, size_t row) {
  const size_t width = static_cast<size_t>(matrix.shape[1]);
  return std::span(matrix.values).subspan(row * width, width);
}

size_t RowCount(const Tensor& matrix) {
  return matrix.shape.size() == 2 ? static_cast<size_t>(matrix.shape[0]) : 0;
}

std::string Offsets(const Span& span) {
  return absl::StrCat(span.text_index == 1 ? "2nd " : "", "[", span.begin, ",", span.end, ")");
}

// The tokens of the rows of vectors: those kept, or all.
std::vector<int32_t> RowTokens(const Encoding& encoding, size_t row_count) {
  if (encoding.kept_tokens.size() == row_count) return encoding.kept_tokens;
  std::vector<int32_t> tokens(row_count);
  for (size_t i = 0; i < row_count; ++i) tokens[i] = static_cast<int32_t>(i);
  return tokens;
}

std::string TokenText(const Encoding& encoding, int32_t token) {
  if (token < 0 || static_cast<size_t>(token) >= encoding.tokens.size()) {
    return absl::StrCat("#", token);
  }
  return encoding.tokens[static_cast<size_t>(token)].text;
}

// `matrix` with the tokens that its rows are of.
void PrintRows(const Encoding& encoding, const Tensor& matrix, const std::vector<int32_t>& tokens,
               int numbers, std::ostream& out) {
  TextTable table({Align::kLeft, Align::kLeft});
  for (size_t row = 0; row < RowCount(matrix); ++row) {
    table.AddRow({TokenText(encoding, tokens[row]), FirstNumbers(RowOf(matrix, row), numbers)});
  }
  table.Print(4, out);
}

void PrintHiddenLayers(const Encoding& encoding, int numbers, std::ostream& out) {
  for (size_t i = 0; i < encoding.hidden_layers.size(); ++i) {
    const Tensor& layer = encoding.hidden_layers[i];
    out << "  hidden states " << i + 1 << " of " << encoding.hidden_layers.size() << " ("
        << layer.shape[0] << " x " << layer.shape[1] << ")\n";
    // Of all tokens: dropping special ones concerns other vectors.
    PrintRows(encoding, layer, RowTokens(Encoding{}, RowCount(layer)), numbers, out);
  }
}

void PrintSpans(const Encoding& encoding, int numbers, std::ostream& out) {
  if (encoding.spans.empty()) return;
  constexpr int kTextColumnsMax = 32;
  out << "  spans (" << encoding.spans.size() << ")\n";
  TextTable table({Align::kLeft, Align::kLeft, Align::kLeft});
  for (size_t i = 0; i < encoding.spans.size(); ++i) {
    const Span& span = encoding.spans[i];
    std::string text;
    for (int32_t token = span.first_token; token < span.end_token; ++token) {
      absl::StrAppend(&text, text.empty() ? "" : " ", TokenText(encoding, token));
      if (text.size() > kTextColumnsMax * 4) break;  // Cut below anyway.
    }
    table.AddRow({Shorten(text, kTextColumnsMax), Offsets(span),
                  i < RowCount(encoding.span_vectors)
                      ? FirstNumbers(RowOf(encoding.span_vectors, i), numbers)
                      : ""});
  }
  table.Print(4, out);
}

void PrintSparse(std::vector<SparseWeight> sparse, std::ostream& out) {
  if (sparse.empty()) return;
  constexpr size_t kShownMax = 10;
  std::stable_sort(sparse.begin(), sparse.end(),
                   [](const auto& a, const auto& b) { return a.weight > b.weight; });
  const size_t shown = std::min(sparse.size(), kShownMax);
  out << "  sparse (" << sparse.size() << " weights, the largest " << shown << ")\n";
  TextTable table({Align::kLeft, Align::kRight, Align::kRight});
  for (const SparseWeight& entry : std::span(sparse).first(shown)) {
    table.AddRow({entry.token, absl::StrCat(entry.id), absl::StrFormat("%.4f", entry.weight)});
  }
  table.Print(4, out);
}

}  // namespace

std::string FirstNumbers(std::span<const float> values, int numbers) {
  std::string out = "[";
  for (size_t i = 0; i < values.size() && i < static_cast<size_t>(numbers); ++i) {
    absl::StrAppendFormat(&out, "%s%8.4f", i > 0 ? " " : "", values[i]);
  }
  if (values.size() > static_cast<size_t>(numbers)) out += " ...";
  return absl::StrCat(out, "]");
}

void PrintTokens(const Encoding& encoding, int numbers, std::ostream& out) {
  const Tensor& vectors = encoding.token_vectors;
  std::vector<std::string> of_token(encoding.tokens.size());
  const std::vector<int32_t> rows = RowTokens(encoding, RowCount(vectors));
  for (size_t row = 0; row < rows.size(); ++row) {
    if (rows[row] < 0 || static_cast<size_t>(rows[row]) >= of_token.size()) continue;
    of_token[static_cast<size_t>(rows[row])] = FirstNumbers(RowOf(vectors, row), numbers);
  }
  TextTable table({Align::kLeft, Align::kRight, Align::kLeft, Align::kLeft});
  for (size_t i = 0; i < encoding.tokens.size(); ++i) {
    const Token& token = encoding.tokens[i];
    table.AddRow({token.text, absl::StrCat(token.id),
                  token.special ? "" : absl::StrCat("[", token.begin, ",", token.end, ")"),
                  of_token[i]});
  }
  table.Print(2, out);
}

void PrintRepresentations(const Encoding& encoding, int numbers, std::ostream& out) {
  if (!encoding.windows.empty()) {
    out << "  windows";
    for (const Window& window : encoding.windows) {
      out << " [" << window.first_token << "," << window.end_token << ")";
    }
    out << "\n";
  }
  PrintHiddenLayers(encoding, numbers, out);
  PrintSpans(encoding, numbers, out);
  if (const size_t rows = RowCount(encoding.multi_vectors); rows > 0) {
    out << "  multi-vectors (" << rows << " x " << encoding.multi_vectors.shape[1] << ")\n";
    PrintRows(encoding, encoding.multi_vectors, RowTokens(encoding, rows), numbers, out);
  }
  PrintSparse(encoding.sparse, out);
}

}  // namespace attnd::client
