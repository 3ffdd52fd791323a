#include "server/auth/key_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/file_descriptor.h"
#include "core/base/printable.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/auth/caller_keys.h"

namespace attnd {
namespace {

// A FIFO opened without O_NONBLOCK would wait for a writer.
constexpr int kKeyFileFlags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

absl::Status FileError(std::string_view what) {
  return absl::FailedPreconditionError(ToAbsl(what));
}

absl::Status ErrnoError() { return FileError(std::generic_category().message(errno)); }

absl::StatusOr<KeyFileText> ReadAll(const FileDescriptor& file) {
  KeyFileText read_text;
  std::string& text = read_text.text;
  text.resize(kKeyFileBytesMax + 1);
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError();
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size == text.size()) {
    return FileError(StrCat("it has more than ", kKeyFileBytesMax, " bytes, the limit"));
  }
  text.resize(size);
  return read_text;
}

}  // namespace

absl::StatusOr<KeyFileText> ReadKeyFile(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), kKeyFileFlags));
  if (!file.valid()) return ErrnoError();
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return ErrnoError();
  if (!S_ISREG(info.st_mode)) return FileError("it is not a regular file");
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return FileError("its group or others may write to it, and so let themselves in (chmod go-w)");
  }
  ASSIGN_OR_RETURN(KeyFileText read, ReadAll(file));
  read.others_may_read = (info.st_mode & S_IROTH) != 0;
  return read;
}

std::optional<KeyFile::Change> KeyFile::Load() {
  const absl::StatusOr<KeyFileText> read = ReadKeyFile(path_);
  Sha256 sha256;
  // Not to be taken for each other: a file that says what an error says is no valid one.
  sha256.Update(read.ok() ? std::string_view(read->text) : ToStd(read.status().message()));
  std::string digest = sha256.Finish();
  if (digest == seen_) return std::nullopt;
  seen_ = std::move(digest);

  Change change;
  const absl::Status status = read.ok() ? Replace(read->text, change.names) : read.status();
  if (status.ok()) {
    change.others_may_read = read->others_may_read;
  } else {
    change.status =
        absl::Status(status.code(), StrCat(Printable(path_), ": ", ToStd(status.message())));
  }
  return change;
}

absl::Status KeyFile::Replace(std::string_view text, std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(const std::vector<CallerKeys> callers, ParseCallerKeys(text));
  RETURN_IF_ERROR(keyring_.Replace(callers));
  for (const CallerKeys& caller : callers) names.push_back(caller.name);
  return absl::OkStatus();
}

}  // namespace attnd
