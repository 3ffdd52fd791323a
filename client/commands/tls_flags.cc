#include "client/commands/tls_flags.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace attnd::client {
namespace {

constexpr size_t kPemBytesMax = size_t{1} << 20;

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

// Puts what is in a file in the place of its name; what is wrong with it, or nothing.
std::string ReadPemFile(std::string& value) {
  const std::string path = value;
  const auto wrong = [&](const std::string& reason) { return absl::StrCat(path, ": ", reason); };
  std::ifstream file(path, std::ios::binary);
  if (!file) return wrong(std::generic_category().message(errno));
  value.assign(kPemBytesMax + 1, '\0');
  file.read(value.data(), static_cast<std::streamsize>(value.size()));
  if (file.bad()) return wrong("cannot be read");
  value.resize(static_cast<size_t>(file.gcount()));
  if (value.size() > kPemBytesMax) {
    return wrong(absl::StrCat("more than ", kPemBytesMax, " bytes, the limit"));
  }
  return {};
}

Bio Reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Certificate ParseCertificate(const std::string& text) {
  return Certificate(PEM_read_bio_X509(Reader(text).get(), nullptr, nullptr, nullptr));
}

PrivateKey ParseKey(const std::string& text) {
  // Else OpenSSL would ask for the password of a key that has one.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  return PrivateKey(PEM_read_bio_PrivateKey(Reader(text).get(), nullptr, no_password, nullptr));
}

}  // namespace

void CheckTls(const TlsOptions& tls) {
  if (!tls.ca.empty() && ParseCertificate(tls.ca) == nullptr) {
    throw CLI::ValidationError("--tls-ca", "holds no certificate in PEM");
  }
  if (tls.certificate.empty()) return;
  const Certificate certificate = ParseCertificate(tls.certificate);
  if (certificate == nullptr) {
    throw CLI::ValidationError("--tls-certificate", "holds no certificate in PEM");
  }
  const PrivateKey key = ParseKey(tls.key);
  if (key == nullptr) {
    throw CLI::ValidationError("--tls-key", "holds no private key in PEM, or an encrypted one");
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    throw CLI::ValidationError("--tls-key", "is not the key of --tls-certificate");
  }
}

void AddTlsFlags(CLI::App& command, ConnectionFlags& flags) {
  CLI::Option* use = command.add_flag(
      "--tls", flags.use_tls, "Speak TLS, and only to a server whose certificate is trusted");
  const auto file = [&](const char* flag, std::string& pem, const char* help) {
    return command.add_option(flag, pem, help)
        ->type_name("FILE")
        ->transform(CLI::Validator(ReadPemFile, ""))
        ->needs(use);
  };
  file("--tls-ca", flags.tls.ca, "Authorities to trust, PEM; default: the system's");
  CLI::Option* certificate =
      file("--tls-certificate", flags.tls.certificate,
           "This client's certificate and the chain behind it, PEM, where the server asks for one");
  CLI::Option* key = file("--tls-key", flags.tls.key, "Its private key, PEM, not encrypted");
  certificate->needs(key);
  key->needs(certificate);
  command
      .add_option("--tls-server-name", flags.tls.server_name,
                  "The name that the server's certificate must have; default: the target's host")
      ->type_name("NAME")
      ->needs(use);
}

}  // namespace attnd::client
