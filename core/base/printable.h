#pragma once

#include <string>
#include <string_view>

namespace attnd {

// Untrusted text (a tensor's name, a path out of a file) made fit for a one-line message: control
// characters and bytes beyond ASCII are escaped, and what exceeds 100 bytes is cut.
std::string Printable(std::string_view text);

}  // namespace attnd
