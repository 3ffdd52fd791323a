#pragma once

#include <ostream>
#include <span>
#include <string>
#include <vector>

namespace attnd::client {

// a . b / (|a| |b|), summed in double; 0 if one is all zero. REQUIRES: equal sizes.
double CosineSimilarity(std::span<const float> a, std::span<const float> b);

// All pairs, row by row: [vectors, vectors].
std::vector<double> CosineSimilarities(const std::vector<std::vector<float>>& vectors);

// One row a text: its number, its similarity to each text, its first characters.
void PrintSimilarities(const std::vector<std::string>& texts,
                       const std::vector<std::vector<float>>& vectors, std::ostream& out);

// The same of numbers that are there already, [rows, columns]. No `columns`: they are the rows;
// else they are listed below, as they are numbered.
void PrintSimilarityTable(const std::vector<std::string>& rows,
                          const std::vector<std::string>& columns, std::span<const double> table,
                          std::ostream& out);

}  // namespace attnd::client
