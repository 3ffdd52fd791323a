#include "server/tls/identity.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "core/base/check.h"
#include "core/base/file_descriptor.h"
#include "core/base/printable.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

constexpr char kCertificateFlag[] = "--tls-certificate";
constexpr char kKeyFlag[] = "--tls-key";
constexpr char kClientCaFlag[] = "--tls-client-ca";
// A bundle of all public authorities has about 200 KiB.
constexpr size_t kPemBytesMax = 1 << 20;
// Files that change faster than they can be read are judged as they are.
constexpr int kReadingsMax = 5;

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
using SslContext = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;

// A file, by the flag that names it.
struct PemFile {
  const char* flag;
  const std::string& path;
  const std::string& text;

  absl::Status Refuse(std::string_view reason) const {
    return absl::InvalidArgumentError(StrCat(flag, ": ", Printable(path), ": ", reason));
  }
};

absl::StatusOr<std::string> ReadPem(const char* flag, const std::string& path) {
  std::string text;
  const PemFile file{.flag = flag, .path = path, .text = text};
  const auto failed = [&] { return file.Refuse(std::generic_category().message(errno)); };
  // Without waiting for the writer of a FIFO.
  const FileDescriptor opened(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!opened.valid()) return failed();
  struct stat about {};
  if (fstat(opened.get(), &about) != 0) return failed();
  if (!S_ISREG(about.st_mode)) return file.Refuse("is not a regular file");
  char bytes[16 << 10];
  while (text.size() <= kPemBytesMax) {
    const ssize_t count = read(opened.get(), bytes, sizeof(bytes));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed();
    if (count == 0) return text;
    text.append(bytes, static_cast<size_t>(count));
  }
  return file.Refuse(StrCat("has more than ", kPemBytesMax, " bytes, the limit"));
}

absl::StatusOr<TlsFiles> ReadOnce(const TlsOptions& options) {
  TlsFiles files;
  ASSIGN_OR_RETURN(files.certificate, ReadPem(kCertificateFlag, options.certificate));
  ASSIGN_OR_RETURN(files.key, ReadPem(kKeyFlag, options.key));
  if (!options.client_ca.empty()) {
    ASSIGN_OR_RETURN(files.client_ca, ReadPem(kClientCaFlag, options.client_ca));
  }
  return files;
}

// What OpenSSL found wrong last; its texts hold nothing of what was read.
std::string LastReason() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason == nullptr ? "unknown reason" : reason;
}

Bio Reader(const std::string& text) {
  Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  CHECK_THAT(bio != nullptr);
  return bio;
}

std::string Written(BIO& bio) {
  char* data = nullptr;
  const auto size = static_cast<size_t>(BIO_get_mem_data(&bio, &data));
  return {data, size};
}

// Half a file may well be some whole blocks and a part of one.
absl::Status CheckWhole(const PemFile& file) {
  const absl::string_view text = absl::StripAsciiWhitespace(file.text);
  const absl::string_view line = text.substr(text.rfind('\n') + 1);  // npos + 1 is 0.
  if (absl::StartsWith(line, "-----END ") && absl::EndsWith(line, "-----")) {
    return absl::OkStatus();
  }
  return file.Refuse("does not end with the end of a PEM block");
}

// All of a file, in order.
absl::StatusOr<std::vector<Certificate>> ParseCertificates(const PemFile& file) {
  RETURN_IF_ERROR(CheckWhole(file));
  const Bio bio = Reader(file.text);
  std::vector<Certificate> certificates;
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return file.Refuse(
        StrCat("certificate ", certificates.size() + 1, " cannot be read: ", LastReason()));
  }
  if (certificates.empty()) return file.Refuse("holds no certificate in PEM");
  return certificates;
}

std::string ToPem(const std::vector<Certificate>& certificates) {
  const Bio bio(BIO_new(BIO_s_mem()));
  for (const Certificate& certificate : certificates) {
    CHECK_THAT(PEM_write_bio_X509(bio.get(), certificate.get()) == 1);
  }
  return Written(*bio);
}

// Without it OpenSSL would ask at the terminal.
int NoPassword(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

absl::StatusOr<PrivateKey> ParseKey(const PemFile& file) {
  RETURN_IF_ERROR(CheckWhole(file));
  const Bio bio = Reader(file.text);
  bool password_asked = false;
  ERR_clear_error();
  PrivateKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, &password_asked));
  if (password_asked) return file.Refuse("is encrypted; attnd has no password for it");
  if (key == nullptr) return file.Refuse("holds no private key in PEM");
  return key;
}

std::string ToPem(EVP_PKEY& key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK_THAT(
      PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return Written(*bio);
}

// nullopt for what is no time.
std::optional<absl::Time> TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return absl::FromTM(parts, absl::UTCTimeZone());
}

// The end of its validity, which `now` is within.
absl::StatusOr<absl::Time> CheckValidity(const PemFile& file, const X509& certificate,
                                         absl::Time now) {
  const std::optional<absl::Time> begin = TimeOf(X509_get0_notBefore(&certificate));
  const std::optional<absl::Time> end = TimeOf(X509_get0_notAfter(&certificate));
  if (!begin || !end) return file.Refuse("the certificate's validity cannot be read");
  const auto text = [](absl::Time time) {
    return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone());
  };
  if (now < *begin) return file.Refuse(StrCat("is not valid before ", text(*begin)));
  if (now > *end) return file.Refuse(StrCat("expired at ", text(*end)));
  return *end;
}

// The key belongs to the certificate, and TLS takes both.
absl::Status CheckPair(const PemFile& certificate_file, X509& certificate, const PemFile& key_file,
                       EVP_PKEY& key) {
  if (X509_check_private_key(&certificate, &key) != 1) {
    return key_file.Refuse(
        StrCat("is not the key of ", kCertificateFlag, " ", Printable(certificate_file.path)));
  }
  const SslContext context(SSL_CTX_new(TLS_server_method()));
  CHECK_THAT(context != nullptr);
  ERR_clear_error();
  if (SSL_CTX_use_certificate(context.get(), &certificate) != 1) {
    return certificate_file.Refuse(StrCat("cannot be used: ", LastReason()));
  }
  if (SSL_CTX_use_PrivateKey(context.get(), &key) != 1) {
    return key_file.Refuse(StrCat("cannot be used: ", LastReason()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsOptions& options) {
  ASSIGN_OR_RETURN(TlsFiles files, ReadOnce(options));
  for (int readings = 2; readings <= kReadingsMax; ++readings) {
    ASSIGN_OR_RETURN(TlsFiles again, ReadOnce(options));
    if (again == files) break;
    files = std::move(again);
  }
  return files;
}

absl::StatusOr<Identity> CheckTlsFiles(const TlsOptions& options, const TlsFiles& files,
                                       absl::Time now) {
  const PemFile certificate_file{
      .flag = kCertificateFlag, .path = options.certificate, .text = files.certificate};
  const PemFile key_file{.flag = kKeyFlag, .path = options.key, .text = files.key};
  ASSIGN_OR_RETURN(const auto certificates, ParseCertificates(certificate_file));
  ASSIGN_OR_RETURN(const PrivateKey key, ParseKey(key_file));
  X509& leaf = *certificates.front();
  RETURN_IF_ERROR(CheckPair(certificate_file, leaf, key_file, *key));
  Identity identity;
  identity.expiry = absl::InfiniteFuture();
  for (const auto& certificate : certificates) {  // A chain is as good as its first to end.
    ASSIGN_OR_RETURN(const absl::Time end, CheckValidity(certificate_file, *certificate, now));
    identity.expiry = std::min(identity.expiry, end);
  }
  identity.certificate = ToPem(certificates);
  identity.key = ToPem(*key);
  if (!options.client_ca.empty()) {
    const PemFile authorities_file{
        .flag = kClientCaFlag, .path = options.client_ca, .text = files.client_ca};
    ASSIGN_OR_RETURN(const auto authorities, ParseCertificates(authorities_file));
    const auto is_valid = [&](const auto& one) {
      return CheckValidity(authorities_file, *one, now).ok();
    };
    // Old ones may stay in a bundle.
    if (std::none_of(authorities.begin(), authorities.end(), is_valid)) {
      return authorities_file.Refuse("holds no certificate that is valid now");
    }
    identity.client_ca = ToPem(authorities);
  }
  return identity;
}

}  // namespace attnd
