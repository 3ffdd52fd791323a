// Goal: our digests are those that `sha256sum` prints. Method: the examples of FIPS 180-2, appendix
// B, in one piece and in many.
#include "core/base/sha256.h"

#include "gtest/gtest.h"

namespace attnd {
namespace {

std::string DigestOf(std::string_view bytes, size_t piece) {
  Sha256 digest;
  for (size_t at = 0; at < bytes.size(); at += piece) digest.Update(bytes.substr(at, piece));
  return digest.Finish();
}

TEST(Sha256Test, GivesThePublishedDigests) {
  EXPECT_EQ(DigestOf("", 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(DigestOf("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256Test, DoesNotDependOnThePieces) {
  const std::string million(1'000'000, 'a');
  for (const size_t piece : {1'000'000u, 4096u, 63u}) {
    EXPECT_EQ(DigestOf(million, piece),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}

}  // namespace
}  // namespace attnd
