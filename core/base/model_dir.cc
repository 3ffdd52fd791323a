#include "core/base/model_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include "core/base/printable.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

constexpr int kLinksMax = 8;
constexpr size_t kComponentsMax = 64;
constexpr int kDirectoryFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
// A FIFO or a device opened without O_NONBLOCK could wait for ever, before fstat can tell what it
// is.
constexpr int kFileFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

absl::Status Refuse(std::string_view name, std::string_view reason) {
  return absl::InvalidArgumentError(StrCat(Printable(name), ": ", reason));
}

absl::Status FromErrno(std::string_view name, int error) {
  const std::string message = StrCat(Printable(name), ": ", std::generic_category().message(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(StrCat(Printable(name), ": not found"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case ENXIO:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnavailableError(message);
  }
}

std::string_view KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "is a directory, not a regular file";
  if (S_ISFIFO(mode)) return "is a FIFO, not a regular file";
  if (S_ISSOCK(mode)) return "is a socket, not a regular file";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "is a device, not a regular file";
  return "is not a regular file";
}

std::vector<std::string_view> Components(std::string_view path) {
  std::vector<std::string_view> components;
  for (size_t begin = 0, end = 0; end != std::string_view::npos; begin = end + 1) {
    end = path.find('/', begin);
    components.push_back(path.substr(begin, end - begin));
  }
  return components;
}

// Walks a name from `root`, following links itself, and never leaves `root` but into `blobs`.
class Walk {
 public:
  Walk(std::string_view name, const std::string& root_path, int root, int blobs)
      : name_(name), root_path_(root_path), root_(root), blobs_(blobs) {}

  absl::StatusOr<FileDescriptor> Run() {
    RETURN_IF_ERROR(Push(name_));
    while (!rest_.empty()) {
      const std::string component = std::move(rest_.back());
      rest_.pop_back();
      if (component.empty() || component == ".") continue;
      if (component == "..") {
        if (directories_.empty()) return OpenBlob();
        directories_.pop_back();
        continue;
      }
      ASSIGN_OR_RETURN(std::optional<FileDescriptor> file, Step(component));
      if (file.has_value()) return *std::move(file);
    }
    return Refuse(name_, KindOf(S_IFDIR));
  }

 private:
  // Puts the components of `path` in front of what is left to walk.
  absl::Status Push(std::string_view path) {
    const std::vector<std::string_view> components = Components(path);
    if (rest_.size() + components.size() > kComponentsMax) {
      return Refuse(name_, StrCat("path has more than ", kComponentsMax, " components"));
    }
    for (auto it = components.rbegin(); it != components.rend(); ++it) rest_.emplace_back(*it);
    return absl::OkStatus();
  }

  int directory() const { return directories_.empty() ? root_ : directories_.back().get(); }

  bool AtLast() const {
    return std::all_of(rest_.begin(), rest_.end(),
                       [](const auto& c) { return c.empty() || c == "."; });
  }

  // Goes one component down: into a directory, into a link's target, or to the file, which is
  // returned.
  absl::StatusOr<std::optional<FileDescriptor>> Step(const std::string& component) {
    struct stat info;
    if (fstatat(directory(), component.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT && links_ > 0) {
        return absl::NotFoundError(StrCat(Printable(name_), ": is a link to nothing"));
      }
      return FromErrno(name_, errno);
    }
    if (S_ISLNK(info.st_mode)) {
      RETURN_IF_ERROR(Follow(component));
      return std::nullopt;
    }
    if (AtLast()) {
      // Asked before the file is opened, because opening some devices has effects.
      if (!S_ISREG(info.st_mode)) return Refuse(name_, KindOf(info.st_mode));
      ASSIGN_OR_RETURN(FileDescriptor file, OpenAt(directory(), component, kFileFlags));
      return std::make_optional(std::move(file));
    }
    if (!S_ISDIR(info.st_mode)) return Refuse(name_, "a part of the path is not a directory");
    ASSIGN_OR_RETURN(FileDescriptor next, OpenAt(directory(), component, kDirectoryFlags));
    directories_.push_back(std::move(next));
    return std::nullopt;
  }

  absl::Status Follow(const std::string& component) {
    if (++links_ > kLinksMax)
      return Refuse(name_, StrCat("follows more than ", kLinksMax, " links"));
    char target[PATH_MAX];
    const ssize_t size = readlinkat(directory(), component.c_str(), target, sizeof(target));
    if (size < 0) return FromErrno(name_, errno);
    std::string_view path(target, static_cast<size_t>(size));
    if (path.empty() || path.size() == sizeof(target))
      return Refuse(name_, "is a link with no usable target");
    if (path.front() != '/') return Push(path);
    // An absolute link is followed where its text already says that it stays; it then starts over
    // from the root.
    if (!path.starts_with(root_path_) || path.substr(root_path_.size()).substr(0, 1) != "/") {
      return Refuse(name_, "is a link that leaves the model directory");
    }
    directories_.clear();
    return Push(path.substr(root_path_.size()));
  }

  // Called one level above the root, snapshots/, where only `../blobs/NAME` may follow.
  absl::StatusOr<FileDescriptor> OpenBlob() {
    if (blobs_ < 0 || links_ == 0 || rest_.size() != 3 || rest_[2] != ".." || rest_[1] != "blobs" ||
        rest_[0].empty() || rest_[0] == "." || rest_[0] == "..") {
      return Refuse(name_, "is a link that leaves the model directory");
    }
    struct stat info;
    if (fstatat(blobs_, rest_[0].c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT)
        return absl::NotFoundError(StrCat(Printable(name_), ": its blob is missing"));
      return FromErrno(name_, errno);
    }
    if (S_ISLNK(info.st_mode)) return Refuse(name_, "its blob is a link");
    if (!S_ISREG(info.st_mode)) return Refuse(name_, KindOf(info.st_mode));
    return OpenAt(blobs_, rest_[0], kFileFlags);
  }

  absl::StatusOr<FileDescriptor> OpenAt(int at, const std::string& component, int flags) {
    FileDescriptor opened(openat(at, component.c_str(), flags));
    if (!opened.valid()) return FromErrno(name_, errno);
    return opened;
  }

  std::string_view name_;
  const std::string& root_path_;
  int root_;
  int blobs_;
  std::vector<std::string> rest_;  // What is left to walk, the next component last.
  std::vector<FileDescriptor> directories_;
  int links_ = 0;
};

bool IsPlainRelative(std::string_view name) {
  if (name.empty() || name.size() > PATH_MAX || name.find('\0') != std::string_view::npos)
    return false;
  for (std::string_view component : Components(name)) {
    if (component.empty() || component == "." || component == "..") return false;
  }
  return true;
}

// Of ".../models--owner--name/snapshots/REVISION": ".../models--owner--name/blobs". Empty for other
// paths.
std::string BlobsPath(std::string_view path) {
  const size_t revision = path.rfind('/');
  if (revision == std::string_view::npos) return {};
  const std::string_view snapshots = path.substr(0, revision);
  constexpr std::string_view kSnapshots = "/snapshots";
  if (!snapshots.ends_with(kSnapshots)) return {};
  return StrCat(snapshots.substr(0, snapshots.size() - kSnapshots.size()), "/blobs");
}

}  // namespace

absl::Status ModelFile::ReadAt(uint64_t offset, uint64_t bytes, void* out) const {
  if (offset > size_ || bytes > size_ - offset) {
    return absl::DataLossError(
        StrCat(name_, ": ", bytes, " bytes at ", offset, " lie beyond its end at ", size_));
  }
  char* to = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got =
        pread(fd_.get(), to, std::min<uint64_t>(bytes, 1u << 30), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FromErrno(name_, errno);
    if (got == 0)
      return absl::DataLossError(StrCat(name_, ": was cut to ", offset, " bytes while being read"));
    to += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelDir> ModelDir::Open(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(path.c_str(), nullptr),
                                                             &std::free);
  if (resolved == nullptr) return FromErrno(path, errno);
  std::string real(resolved.get());
  FileDescriptor root(open(real.c_str(), kDirectoryFlags));
  if (!root.valid()) {
    if (errno == ENOTDIR) return Refuse(path, "is not a directory");
    return FromErrno(path, errno);
  }
  FileDescriptor blobs;
  // None is no error: a folder may be called snapshots for other reasons.
  if (const std::string blobs_path = BlobsPath(real); !blobs_path.empty()) {
    blobs = FileDescriptor(open(blobs_path.c_str(), kDirectoryFlags));
  }
  return ModelDir(std::move(real), std::move(root), std::move(blobs));
}

absl::StatusOr<ModelFile> ModelDir::OpenFile(std::string_view name, uint64_t bytes_max) const {
  if (!IsPlainRelative(name)) return Refuse(name, "is not a name within the model directory");
  ASSIGN_OR_RETURN(FileDescriptor file, Walk(name, path_, root_.get(), blobs_.get()).Run());
  struct stat info;
  if (fstat(file.get(), &info) != 0) return FromErrno(name, errno);
  // It may have been replaced since the walk looked at it; this look is at what is open.
  if (!S_ISREG(info.st_mode)) return Refuse(name, KindOf(info.st_mode));
  const uint64_t size = static_cast<uint64_t>(info.st_size);
  if (size > bytes_max)
    return Refuse(name, StrCat("has ", size, " bytes; the limit is ", bytes_max));
  return ModelFile(std::move(file), size, Printable(name));
}

absl::StatusOr<std::string> ModelDir::ReadFile(std::string_view name, uint64_t bytes_max) const {
  ASSIGN_OR_RETURN(const ModelFile file, OpenFile(name, bytes_max));
  std::string content(file.size(), '\0');
  RETURN_IF_ERROR(file.ReadAt(0, content.size(), content.data()));
  return content;
}

bool ModelDir::Has(std::string_view name) const {
  if (!IsPlainRelative(name)) return false;
  struct stat info;
  if (fstatat(root_.get(), std::string(name).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return true;
  return errno != ENOENT && errno != ENOTDIR;
}

}  // namespace attnd
