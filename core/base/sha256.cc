#include "core/base/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "absl/strings/escaping.h"
#include "core/base/check.h"

namespace attnd {

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  CHECK_THAT(context_->evp != nullptr);
  CHECK_THAT(EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() = default;

void Sha256::Update(std::string_view bytes) {
  CHECK_THAT(EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::Finish() {
  std::array<char, 32> digest;
  unsigned int size = 0;
  CHECK_THAT(EVP_DigestFinal_ex(context_->evp, reinterpret_cast<unsigned char*>(digest.data()),
                                &size) == 1);
  CHECK_THAT(size == digest.size());
  return absl::BytesToHexString(absl::string_view(digest.data(), digest.size()));
}

}  // namespace attnd
