// Goal: the keys are those of the file, soon after it changes; a bad file leaves the keys of
// before, and is told once. Method: files of a folder of the test's own, changed in the ways that
// editors and Kubernetes change them.

#include "server/auth/key_file.h"

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/auth/key_watch.h"
#include "tests/support/temp_dir.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempDir;

std::string FileOf(const std::string& name, const std::string& key) {
  const KeyDigest digest = DigestOf(key);
  return R"({"callers": [{"name": ")" + name + R"(", "key_sha256": [")" +
         std::string(digest.begin(), digest.end()) + "\"]}]}";
}

void SetMode(const TempDir& folder, const char* name, mode_t mode) {
  ASSERT_EQ(chmod((folder / name).c_str(), mode), 0);
}

// Whatever the umask, only the owner may write.
void Write(const TempDir& folder, const char* name, const std::string& text) {
  folder.Write(name, text);
  SetMode(folder, name, 0644);
}

std::string ErrorOf(const std::string& path) {
  const auto read = ReadKeyFile(path);
  EXPECT_FALSE(read.ok()) << path;
  return std::string(read.status().message());
}

TEST(ReadKeyFileTest, OnlyRegularFilesOfALimitedSizeAreRead) {
  const TempDir folder;
  Write(folder, "keys", "text");
  SetMode(folder, "keys", 0600);
  EXPECT_EQ(ReadKeyFile(folder / "keys")->text, "text");
  folder.Link("link", folder / "keys");
  EXPECT_EQ(ReadKeyFile(folder / "link")->text, "text");

  EXPECT_THAT(ErrorOf(folder / "missing"), HasSubstr("No such file"));
  EXPECT_THAT(ErrorOf(folder.path()), HasSubstr("not a regular file"));
  EXPECT_THAT(ErrorOf("/dev/null"), HasSubstr("not a regular file"));
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf(folder / "fifo"), HasSubstr("not a regular file"));

  Write(folder, "keys", std::string(kKeyFileBytesMax, ' '));
  EXPECT_TRUE(ReadKeyFile(folder / "keys").ok());
  Write(folder, "keys", std::string(kKeyFileBytesMax + 1, ' '));
  EXPECT_THAT(ErrorOf(folder / "keys"), HasSubstr("more than 1048576 bytes"));
}

TEST(ReadKeyFileTest, WhoMayWriteToItMattersAndWhoMayReadItIsSaid) {
  const TempDir folder;
  Write(folder, "keys", "text");
  for (const mode_t mode : {0400, 0440, 0600, 0640}) {
    SetMode(folder, "keys", mode);
    EXPECT_FALSE(ReadKeyFile(folder / "keys")->others_may_read) << mode;
  }
  for (const mode_t mode : {0444, 0604, 0644}) {
    SetMode(folder, "keys", mode);
    EXPECT_TRUE(ReadKeyFile(folder / "keys")->others_may_read) << mode;
  }
  for (const mode_t mode : {0620, 0602, 0660, 0666}) {
    SetMode(folder, "keys", mode);
    EXPECT_THAT(ErrorOf(folder / "keys"), HasSubstr("chmod go-w")) << mode;
  }
}

TEST(KeyFileTest, AChangeIsTakenOverAndABadOneIsToldOnce) {
  const TempDir folder;
  Write(folder, "keys", FileOf("a", "1"));
  SetMode(folder, "keys", 0644);
  KeyFile file(folder / "keys");
  auto change = file.Load();
  ASSERT_TRUE(change && change->status.ok());
  EXPECT_THAT(change->names, ElementsAre("a"));
  EXPECT_TRUE(change->others_may_read);
  EXPECT_FALSE(file.Load());

  const std::string whole = FileOf("b", "2");
  Write(folder, "keys", whole.substr(0, whole.size() / 2));  // Half written.
  change = file.Load();
  ASSERT_TRUE(change);
  EXPECT_THAT(std::string(change->status.message()), HasSubstr("keys: is no valid JSON"));
  EXPECT_FALSE(file.Load());
  EXPECT_NE(file.keyring().Find(DigestOf("1")), nullptr);

  folder.Remove("keys");
  change = file.Load();
  ASSERT_TRUE(change);
  EXPECT_THAT(std::string(change->status.message()), HasSubstr("keys: No such file"));
  EXPECT_FALSE(file.Load());
  EXPECT_NE(file.keyring().Find(DigestOf("1")), nullptr);

  Write(folder, "keys", whole);
  SetMode(folder, "keys", 0600);
  change = file.Load();
  ASSERT_TRUE(change && change->status.ok());
  EXPECT_EQ(file.keyring().Find(DigestOf("1")), nullptr);
  EXPECT_NE(file.keyring().Find(DigestOf("2")), nullptr);

  Write(folder, "keys", "canary");
  change = file.Load();
  ASSERT_TRUE(change);
  EXPECT_THAT(std::string(change->status.message()), ::testing::Not(HasSubstr("canary")));
}

TEST(KeyFileTest, ALinkThatTurnsElsewhereIsFollowed) {
  // As Kubernetes does it: keys -> ..data/keys, and ..data is exchanged.
  const TempDir folder;
  Write(folder, "1/keys", FileOf("a", "1"));
  Write(folder, "2/keys", FileOf("a", "2"));
  folder.Link("..data", "1");
  folder.Link("keys", "..data/keys");
  KeyFile file(folder / "keys");
  ASSERT_TRUE(file.Load()->status.ok());
  folder.Link("..new", "2");
  std::filesystem::rename(folder / "..new", folder / "..data");
  ASSERT_TRUE(file.Load()->status.ok());
  EXPECT_EQ(file.keyring().Find(DigestOf("1")), nullptr);
  EXPECT_NE(file.keyring().Find(DigestOf("2")), nullptr);
}

TEST(KeyWatchTest, AChangeComesByItselfAndTheWatchEndsAtOnce) {
  const TempDir folder;
  Write(folder, "keys", FileOf("a", "1"));
  KeyFile file(folder / "keys");
  ASSERT_TRUE(file.Load()->status.ok());
  absl::Notification changed;
  KeyWatch watch(file, std::chrono::milliseconds(1), [&](const KeyFile::Change& change) {
    if (change.status.ok()) changed.Notify();
  });
  // In one step, since half a file would be a change too.
  Write(folder, "new", FileOf("a", "2"));
  std::filesystem::rename(folder / "new", folder / "keys");
  changed.WaitForNotification();
  EXPECT_EQ(file.keyring().Find(DigestOf("1")), nullptr);
  KeyFile other(folder / "keys");
  const KeyWatch waiting(other, std::chrono::hours(1), [](const KeyFile::Change&) {});
}

}  // namespace
}  // namespace attnd
