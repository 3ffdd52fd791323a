#pragma once

#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/model/model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

// A tiny model's directory with one thing wrong, and what is said about it.
namespace attnd::testing {

using Json = nlohmann::json;

// Sanitizers keep what is freed, and shadow all of it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int64_t kGrowthKibMax = 4096 * 1024;
#else
inline constexpr int64_t kGrowthKibMax = 96 * 1024;
#endif

inline constexpr char kNone[] = "none";  // Of a damage that is none.
inline constexpr char kPermissionDenied[] = "Permission denied";

inline int64_t PeakMemoryKib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// Makes one thing wrong.
using Damaging = std::function<void(const TempDir&)>;

struct Damage {
  friend void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

  std::string name;
  Damaging apply;
  std::string file;    // What the message begins with.
  std::string reason;  // What it says.
};

// Changes one tensor of the tiny model's weights.
inline Damaging ChangeTensor(const std::string& name,
                             const std::function<void(RawTensor&)>& change) {
  return [=](const TempDir& dir) {
    std::vector<RawTensor> tensors = TinyBertTensors({});
    for (RawTensor& tensor : tensors) {
      if (tensor.name == name) change(tensor);
    }
    dir.Write("model.safetensors", SafetensorsFile(tensors));
  };
}

inline Damaging ChangeConfig(const Json& changes) {
  return [=](const TempDir& dir) {
    Json config = TinyBertConfig({});
    config.merge_patch(changes);
    dir.Write("config.json", config.dump());
  };
}

// Replaces the header, keeping the data.
inline Damaging ChangeHeader(const std::function<void(Json&)>& change) {
  return [=](const TempDir& dir) {
    std::string file = dir.Read("model.safetensors");
    uint64_t header_bytes = 0;
    file.copy(reinterpret_cast<char*>(&header_bytes), sizeof(header_bytes));
    Json header = Json::parse(file.substr(8, header_bytes));
    change(header);
    std::string changed = SafetensorsFile(header.dump(), 0);
    dir.Write("model.safetensors", changed + file.substr(8 + header_bytes));
  };
}

inline Damaging Cut(const std::string& name, uint64_t bytes) {
  return [=](const TempDir& dir) { std::filesystem::resize_file(dir / name, bytes); };
}

inline Damaging Write(const std::string& name, const std::string& content) {
  return [=](const TempDir& dir) { dir.Write(name, content); };
}

inline Damaging Remove(const std::string& name) {
  return [=](const TempDir& dir) { dir.Remove(name); };
}

inline Damaging LinkTo(const std::string& name, const std::string& target) {
  return [=](const TempDir& dir) {
    dir.Remove(name);
    dir.Link(name, target);
  };
}

inline Damaging Fifo(const std::string& name) {
  return [=](const TempDir& dir) {
    dir.Remove(name);
    ASSERT_EQ(mkfifo((dir / name).c_str(), 0600), 0);
  };
}

inline Damaging Folder(const std::string& name) {
  return [=](const TempDir& dir) {
    dir.Remove(name);
    std::filesystem::create_directory(dir / name);
  };
}

inline Damaging Socket(const std::string& name) {
  return [=](const TempDir& dir) {
    dir.Remove(name);
    sockaddr_un address{.sun_family = AF_UNIX};
    std::strncpy(address.sun_path, (dir / name).c_str(), sizeof(address.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    close(fd);
  };
}

inline Damaging Unreadable(const std::string& name) {
  return [=](const TempDir& dir) {
    std::filesystem::permissions(dir / name, std::filesystem::perms::none);
    std::filesystem::permissions(dir.path(), static_cast<std::filesystem::perms>(0755));
  };
}

// The tiny model with its sentence-transformers files.
inline void WriteWholeModel(const TempDir& dir) {
  WriteTinyBert(dir.path());
  WriteSentenceTransformersFiles(dir.path());
}

inline absl::Status Load(const TempDir& dir) {
  const absl::StatusOr<ModelDir> opened = ModelDir::Open(dir.path());
  if (!opened.ok()) return opened.status();
  return Model::Load(*opened, {.batch_rows_max = 64}).status();
}

// One line that begins with the file and says why.
inline void ExpectRefused(const absl::Status& status, const std::string& file,
                          const std::string& reason) {
  const std::string message(status.message());
  EXPECT_THAT(message, ::testing::StartsWith(file + ": "));
  EXPECT_THAT(message, ::testing::HasSubstr(reason));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_LT(message.size(), 400u);
}

// Applies the damage to a whole model, and expects no more of loading it than a refusal.
inline void ExpectHarmless(const Damage& damage) {
  const TempDir dir;
  WriteWholeModel(dir);
  damage.apply(dir);
  // Of the whole program: what one directory made it take is never given back to this measure.
  static const int64_t before = PeakMemoryKib();
  // To root no file is unreadable; to a user who owns none, it is.
  constexpr uid_t kNobody = 65534;
  const int own = setfsuid(damage.reason == kPermissionDenied ? kNobody : geteuid());
  const absl::Status status = Load(dir);
  setfsuid(static_cast<uid_t>(own));
  EXPECT_LT(PeakMemoryKib() - before, kGrowthKibMax);
  if (damage.file == kNone) {
    EXPECT_TRUE(status.ok()) << status;  // What the damage is made with does not damage by itself.
  } else {
    ExpectRefused(status, damage.file, damage.reason);
  }
}

inline std::string NameOf(const ::testing::TestParamInfo<Damage>& info) { return info.param.name; }

}  // namespace attnd::testing
