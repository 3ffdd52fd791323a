#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace attnd::client {

enum class Align { kLeft, kRight };

// Rows of cells for a terminal: each column is as wide as its widest cell, two blanks between.
class TextTable {
 public:
  explicit TextTable(std::vector<Align> columns) : columns_(std::move(columns)) {}

  // Cells are printed in one line each (OneLine). What is missing of a row is empty.
  // REQUIRES: no more cells than columns.
  void AddRow(std::vector<std::string> cells);

  // Each row after `indent` blanks, without blanks at its end.
  void Print(int indent, std::ostream& out) const;

 private:
  std::vector<Align> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace attnd::client
