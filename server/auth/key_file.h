#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/auth/keyring.h"

namespace attnd {

inline constexpr int64_t kKeyFileBytesMax = 1 << 20;

// What a key file says, and who else may read it.
struct KeyFileText {
  std::string text;
  bool others_may_read = false;
};

// A regular file, or a link to one as Kubernetes makes them, of at most kKeyFileBytesMax bytes. One
// that its group or others may write to is refused, as sshd does for authorized_keys: they could
// let themselves in. That others may read it, which is how Kubernetes mounts secrets, is for the
// caller to say: it holds digests.
absl::StatusOr<KeyFileText> ReadKeyFile(const std::string& path);

// Keeps a Keyring as a file says. Not thread-safe, but for the keyring.
class KeyFile {
 public:
  explicit KeyFile(std::string path) : path_(std::move(path)) {}

  // What came of reading a file that is new or has changed.
  struct Change {
    absl::Status status;             // Not OK: the keys of before are still valid.
    std::vector<std::string> names;  // Of the callers, in the file's order.
    bool others_may_read = false;
  };
  // nullopt: it is as it was the last time, or as bad.
  std::optional<Change> Load();

  const Keyring& keyring() const { return keyring_; }

 private:
  absl::Status Replace(std::string_view text, std::vector<std::string>& names);

  const std::string path_;
  std::string seen_;  // SHA-256 of what the file said, or of why it could not be read.
  Keyring keyring_;
};

}  // namespace attnd
