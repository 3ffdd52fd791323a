// Goal: a model directory cannot lead outside itself, nor to anything but regular files. Method:
// real folders in a temporary place, each with one thing wrong, and the links of a Hugging Face
// cache.
#include "core/base/model_dir.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

ModelDir OpenDir(const std::filesystem::path& path) {
  absl::StatusOr<ModelDir> dir = ModelDir::Open(path);
  EXPECT_TRUE(dir.ok()) << dir.status();
  return *std::move(dir);
}

std::string ReadOrError(const ModelDir& dir, std::string_view name) {
  const absl::StatusOr<std::string> content = dir.ReadFile(name, 1000);
  return content.ok() ? *content : StrCat("error: ", content.status().message());
}

TEST(ModelDirTest, ReadsFilesOfTheDirectoryAndOfFoldersInIt) {
  TempDir temp;
  temp.Write("config.json", "{}");
  temp.Write("1_Pooling/config.json", "{1}");
  const ModelDir dir = OpenDir(temp.path());
  EXPECT_EQ(ReadOrError(dir, "config.json"), "{}");
  EXPECT_EQ(ReadOrError(dir, "1_Pooling/config.json"), "{1}");
  EXPECT_EQ(dir.path(), temp.path());
}

TEST(ModelDirTest, TheDirectoryItselfMayBeNamedByALink) {
  TempDir temp;
  temp.Write("real/config.json", "{}");
  temp.Link("alias", temp / "real");
  const ModelDir dir = OpenDir(temp / "alias");
  EXPECT_EQ(dir.path(), temp / "real");
  EXPECT_EQ(ReadOrError(dir, "config.json"), "{}");
}

TEST(ModelDirTest, TheDirectoryIsResolvedOnceAndForAll) {
  TempDir temp;
  temp.Write("one/config.json", "1");
  temp.Write("two/config.json", "2");
  temp.Link("alias", "one");
  const ModelDir dir = OpenDir(temp / "alias");
  temp.Remove("alias");
  temp.Link("alias", "two");
  std::filesystem::rename(temp / "one", temp / "renamed");
  EXPECT_EQ(ReadOrError(dir, "config.json"), "1");
}

TEST(ModelDirTest, APathThatIsNoDirectoryIsRefusedByName) {
  TempDir temp;
  temp.Write("file", "");
  EXPECT_EQ(ModelDir::Open(temp / "none").status().code(), absl::StatusCode::kNotFound);
  const absl::Status status = ModelDir::Open(temp / "file").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("file: is not a directory"));
}

TEST(ModelDirTest, AMissingFileIsNotFound) {
  TempDir temp;
  const absl::Status status = OpenDir(temp.path()).OpenFile("config.json", 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ToStd(status.message()), "config.json: not found");
}

TEST(ModelDirTest, NamesThatLeaveTheDirectoryAreRefused) {
  TempDir temp;
  temp.Write("secret", "s");
  temp.Write("model/a", "a");
  const ModelDir dir = OpenDir(temp / "model");
  const std::string with_nul("a\0b", 3);
  for (const std::string& name :
       {std::string("../secret"), (temp / "secret").string(), std::string(""), std::string("."),
        std::string("./a"), std::string("a/"), std::string("x/../../secret"), with_nul}) {
    EXPECT_THAT(ReadOrError(dir, name), HasSubstr("is not a name within the model directory"))
        << name;
    EXPECT_FALSE(dir.Has(name));
  }
}

TEST(ModelDirTest, LinksThatStayInTheDirectoryAreFollowed) {
  TempDir temp;
  temp.Write("data/file", "f");
  temp.Link("direct", "data/file");
  temp.Link("chain", "direct");
  temp.Link("folder", "data");
  temp.Link("data/up", "../direct");
  temp.Link("absolute", temp / "data/file");
  const ModelDir dir = OpenDir(temp.path());
  for (const char* name : {"direct", "chain", "folder/file", "data/up", "folder/up", "absolute"}) {
    EXPECT_EQ(ReadOrError(dir, name), "f") << name;
  }
}

TEST(ModelDirTest, LinksThatLeaveTheDirectoryAreRefused) {
  TempDir temp;
  temp.Write("secret", "s");
  temp.Write("model/a", "a");
  temp.Write("model-2/secret", "s");
  temp.Link("model/relative", "../secret");
  temp.Link("model/absolute", temp / "secret");
  temp.Link("model/chain", "relative");
  temp.Link("model/folder", "..");
  temp.Link("model/root", "/");
  temp.Link("model/zero", "/dev/zero");
  temp.Link("model/out_and_in", "../model/a");
  temp.Link("model/sibling", temp / "model-2/secret");
  temp.Link("model/dots", temp / "model/../secret");
  const ModelDir dir = OpenDir(temp / "model");
  for (const char* name : {"relative", "absolute", "chain", "folder/secret", "root/etc/passwd",
                           "zero", "out_and_in", "sibling", "dots"}) {
    EXPECT_EQ(ReadOrError(dir, name),
              StrCat("error: ", name, ": is a link that leaves the model directory"));
    EXPECT_TRUE(dir.Has(name) || std::strchr(name, '/') != nullptr) << name;
  }
}

TEST(ModelDirTest, DanglingAndEndlessLinksAreErrorsButThere) {
  TempDir temp;
  temp.Link("dangling", "nothing");
  temp.Link("loop", "loop");
  const ModelDir dir = OpenDir(temp.path());
  EXPECT_EQ(ReadOrError(dir, "dangling"), "error: dangling: is a link to nothing");
  EXPECT_EQ(ReadOrError(dir, "loop"), "error: loop: follows more than 8 links");
  EXPECT_TRUE(dir.Has("dangling"));
  EXPECT_TRUE(dir.Has("loop"));
  EXPECT_FALSE(dir.Has("nothing"));
}

TEST(ModelDirTest, OnlyRegularFilesOpenAndNothingBlocks) {
  TempDir temp;
  std::filesystem::create_directory(temp / "folder");
  ASSERT_EQ(mkfifo((temp / "fifo").c_str(), 0600), 0);
  temp.Link("to_fifo", "fifo");
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string path = temp / "socket";
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ASSERT_EQ(bind(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  close(server);

  const ModelDir dir = OpenDir(temp.path());
  EXPECT_EQ(ReadOrError(dir, "folder"), "error: folder: is a directory, not a regular file");
  EXPECT_EQ(ReadOrError(dir, "fifo"), "error: fifo: is a FIFO, not a regular file");
  EXPECT_EQ(ReadOrError(dir, "to_fifo"), "error: to_fifo: is a FIFO, not a regular file");
  EXPECT_EQ(ReadOrError(dir, "socket"), "error: socket: is a socket, not a regular file");
  EXPECT_TRUE(dir.Has("folder"));
}

TEST(ModelDirTest, ADeviceIsRefused) {
  // A directory of devices is at hand without the right to make one.
  EXPECT_EQ(ReadOrError(OpenDir("/dev"), "zero"), "error: zero: is a device, not a regular file");
}

TEST(ModelDirTest, AFileInPlaceOfAFolderIsRefused) {
  TempDir temp;
  temp.Write("1_Pooling", "x");
  const ModelDir dir = OpenDir(temp.path());
  EXPECT_EQ(ReadOrError(dir, "1_Pooling/config.json"),
            "error: 1_Pooling/config.json: a part of the path is not a directory");
}

TEST(ModelDirTest, AFileAboveTheLimitIsRefusedBeforeItIsRead) {
  TempDir temp;
  temp.Write("exact", std::string(1000, 'x'));
  temp.Write("large", std::string(1001, 'x'));
  const ModelDir dir = OpenDir(temp.path());
  EXPECT_EQ(ReadOrError(dir, "exact").size(), 1000u);
  EXPECT_EQ(ReadOrError(dir, "large"), "error: large: has 1001 bytes; the limit is 1000");
}

TEST(ModelDirTest, MessagesStayOnOneLineWhateverTheName) {
  TempDir temp;
  const std::string message = ReadOrError(OpenDir(temp.path()), "a\nb\x01" + std::string(500, 'c'));
  EXPECT_THAT(message, HasSubstr("a\\nb\\001ccc"));
  EXPECT_LT(message.size(), 200u);
}

TEST(ModelDirTest, ReadAtReadsAPartAndRefusesWhatLiesBeyondTheEnd) {
  TempDir temp;
  temp.Write("file", "0123456789");
  const ModelDir dir = OpenDir(temp.path());
  const absl::StatusOr<ModelFile> file = dir.OpenFile("file", 10);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->size(), 10u);
  char part[4] = {};
  EXPECT_TRUE(file->ReadAt(3, 4, part).ok());
  EXPECT_EQ(std::string_view(part, 4), "3456");
  EXPECT_EQ(file->ReadAt(7, 4, part).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(file->ReadAt(UINT64_MAX, 4, part).code(), absl::StatusCode::kDataLoss);
}

TEST(ModelDirTest, AFileThatWasCutWhileOpenIsDataLossAndNoCrash) {
  TempDir temp;
  temp.Write("file", "0123456789");
  const absl::StatusOr<ModelFile> file = OpenDir(temp.path()).OpenFile("file", 10);
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file(temp / "file", 5);
  char all[10];
  const absl::Status status = file->ReadAt(0, 10, all);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("file: was cut to 5 bytes"));
}

// A repository as huggingface_hub lays it out: every file of a snapshot is a link into blobs/.
class HuggingFaceCacheTest : public ::testing::Test {
 protected:
  HuggingFaceCacheTest() {
    temp_.Write("models--o--n/blobs/c0ffee", "blob");
    temp_.Write("models--o--n/refs/main", "abc");
    temp_.Write("models--o--m/blobs/beef", "another repository's");
    temp_.Link("models--o--n/blobs/link", "c0ffee");
    temp_.Write("models--o--n/blobs/folder/file", "deep");
    std::filesystem::create_directories(snapshot());
  }
  std::filesystem::path snapshot() const { return temp_ / "models--o--n/snapshots/abc"; }
  std::string Read(std::string_view target, const std::string& name = "file") {
    std::filesystem::create_directories((snapshot() / name).parent_path());
    std::filesystem::create_symlink(target, snapshot() / name);
    return ReadOrError(OpenDir(snapshot()), name);
  }
  TempDir temp_;
};

TEST_F(HuggingFaceCacheTest, LinksIntoBlobsAreFollowed) {
  EXPECT_EQ(Read("../../blobs/c0ffee", "config.json"), "blob");
  EXPECT_EQ(Read("../../../blobs/c0ffee", "1_Pooling/config.json"), "blob");
}

TEST_F(HuggingFaceCacheTest, LinksToOtherPlacesAreRefused) {
  int number = 0;
  for (const char* target :
       {"../../refs/main", "../../blobs/../refs/main", "../../../models--o--m/blobs/beef",
        "../abc/file", "../../blobs/folder/file", "../../blobs", "../../blobs/..",
        "../../../models--o--n/blobs/c0ffee", "/etc/passwd"}) {
    EXPECT_THAT(Read(target, StrCat("file", number++)),
                HasSubstr("is a link that leaves the model directory"))
        << target;
  }
}

TEST_F(HuggingFaceCacheTest, ABlobIsAFile) {
  EXPECT_EQ(Read("../../blobs/link", "a"), "error: a: its blob is a link");
  EXPECT_EQ(Read("../../blobs/folder", "b"), "error: b: is a directory, not a regular file");
  EXPECT_EQ(Read("../../blobs/none", "c"), "error: c: its blob is missing");
}

TEST_F(HuggingFaceCacheTest, AFolderThatOnlyLooksAlikeGetsNoBlobs) {
  temp_.Write("plain/blobs/c0ffee", "blob");
  temp_.Link("plain/other/abc/file", "../../blobs/c0ffee");
  EXPECT_THAT(ReadOrError(OpenDir(temp_ / "plain/other/abc"), "file"),
              HasSubstr("leaves the model directory"));
  // Nor does a snapshot whose blobs folder is itself a link.
  temp_.Link("linked/blobs", temp_ / "plain/blobs");
  temp_.Link("linked/snapshots/abc/file", "../../blobs/c0ffee");
  EXPECT_THAT(ReadOrError(OpenDir(temp_ / "linked/snapshots/abc"), "file"),
              HasSubstr("leaves the model directory"));
}

TEST_F(HuggingFaceCacheTest, ANameCannotReachBlobsWithoutALink) {
  EXPECT_THAT(ReadOrError(OpenDir(snapshot()), "../../blobs/c0ffee"),
              HasSubstr("is not a name within"));
}

}  // namespace
}  // namespace attnd
