#include "tests/support/certificates.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <memory>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "core/base/check.h"

namespace attnd::testing {
namespace {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using BigNumber = std::unique_ptr<BIGNUM, Free<BN_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION_free>>;

struct Signer {
  X509* certificate;
  EVP_PKEY* key;
};

std::string Written(BIO& bio) {
  char* data = nullptr;
  const auto size = static_cast<size_t>(BIO_get_mem_data(&bio, &data));
  return {data, size};
}

std::string ToPem(EVP_PKEY& key, const EVP_CIPHER* cipher = nullptr) {
  const Bio bio(BIO_new(BIO_s_mem()));
  const char password[] = "password";
  CHECK_THAT(PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, cipher, password,
                                           cipher == nullptr ? 0 : sizeof(password), nullptr,
                                           nullptr) == 1);
  return Written(*bio);
}

Key ReadKey(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
}

void AddExtension(X509& certificate, int kind, const std::string& value) {
  const Extension extension(X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()));
  CHECK_THAT(extension != nullptr);
  X509_add_ext(&certificate, extension.get(), -1);
}

std::string Hexadecimal(const BIGNUM& number) {
  char* digits = BN_bn2hex(&number);
  std::string text = digits;
  OPENSSL_free(digits);
  return text;
}

void SetName(X509_NAME* name, const std::string& common_name) {
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
}

// `signer` null: itself. `names` empty: an authority.
KeyPair Make(const Key& key, const CertificateOptions& options, const Signer* signer) {
  CHECK_THAT(key != nullptr);
  const Certificate certificate(X509_new());
  X509* x509 = certificate.get();
  X509_set_version(x509, X509_VERSION_3);
  const BigNumber number(BN_new());
  BN_rand(number.get(), 64, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY);
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509));
  const std::time_t now = absl::ToTimeT(absl::Now());
  ASN1_TIME_set(X509_getm_notBefore(x509), now + absl::ToInt64Seconds(options.begin));
  ASN1_TIME_set(X509_getm_notAfter(x509), now + absl::ToInt64Seconds(options.end));
  // Of two authorities of one name, OpenSSL would look at one only.
  const std::string serial = Hexadecimal(*number);
  SetName(X509_get_subject_name(x509), (options.names.empty() ? "authority " : "test ") + serial);
  X509_set_issuer_name(x509, signer == nullptr ? X509_get_subject_name(x509)
                                               : X509_get_subject_name(signer->certificate));
  X509_set_pubkey(x509, key.get());
  if (options.names.empty()) {
    AddExtension(*x509, NID_basic_constraints, "critical,CA:TRUE");
  } else {
    AddExtension(*x509, NID_subject_alt_name, absl::StrJoin(options.names, ","));
  }
  CHECK_THAT(X509_sign(x509, signer == nullptr ? key.get() : signer->key, EVP_sha256()) > 0);
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), x509);
  return {.certificate = Written(*bio), .key = ToPem(*key), .serial = serial};
}

Key NewKey() { return Key(EVP_EC_gen("P-256")); }

}  // namespace

Authority::Authority() : own_(Make(NewKey(), {.names = {}}, nullptr)) {}

KeyPair Authority::Issue(const CertificateOptions& options) const {
  const Bio bio(
      BIO_new_mem_buf(own_.certificate.data(), static_cast<int>(own_.certificate.size())));
  const Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  const Key key = ReadKey(own_.key);
  const Signer signer{.certificate = certificate.get(), .key = key.get()};
  return Make(NewKey(), options, &signer);
}

KeyPair SelfSigned(const CertificateOptions& options) { return Make(NewKey(), options, nullptr); }

std::string Encrypted(const std::string& key) { return ToPem(*ReadKey(key), EVP_aes_128_cbc()); }

KeyPair WeakSelfSigned() { return Make(Key(EVP_RSA_gen(1024)), {}, nullptr); }

}  // namespace attnd::testing
