#include "server/tls/certificate_store.h"

#include <utility>

#include "absl/time/clock.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

// Instead of a second copy of the key.
std::string FingerprintOf(const TlsFiles& files) {
  Sha256 hash;
  for (const std::string* text : {&files.certificate, &files.key, &files.client_ca}) {
    hash.Update(StrCat(text->size(), ":"));
    hash.Update(*text);
  }
  return hash.Finish();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CertificateStore>> CertificateStore::Open(TlsOptions options,
                                                                         OnReload on_reload) {
  std::unique_ptr<CertificateStore> store(
      new CertificateStore(std::move(options), std::move(on_reload)));
  ASSIGN_OR_RETURN(auto identity, store->Look());
  {
    MutexLock lock(store->mutex_);
    store->current_ = std::move(identity);
  }
  store->thread_ = std::thread([started = store.get()] {
    while (started->AwaitNextLook()) started->Reload();
  });
  return store;
}

CertificateStore::~CertificateStore() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<const Identity> CertificateStore::current() const {
  MutexLock lock(mutex_);
  return current_;
}

absl::StatusOr<std::shared_ptr<const Identity>> CertificateStore::Look() {
  ASSIGN_OR_RETURN(const TlsFiles files, ReadTlsFiles(options_));
  std::string digest = FingerprintOf(files);
  if (digest == digest_) return nullptr;
  ASSIGN_OR_RETURN(Identity identity, CheckTlsFiles(options_, files, absl::Now()));
  digest_ = std::move(digest);
  return std::make_shared<const Identity>(std::move(identity));
}

void CertificateStore::Reload() {
  auto identity = Look();
  if (identity.ok() && *identity == nullptr) return;
  if (identity.ok()) {
    MutexLock lock(mutex_);
    current_ = *identity;
  }
  on_reload_(identity.status(), *current());
}

bool CertificateStore::AwaitNextLook() {
  const auto wake =
      std::chrono::steady_clock::now() +
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(options_.reload_interval);
  MutexLock lock(mutex_);
  while (!stopping_ && std::chrono::steady_clock::now() < wake) stop_.WaitUntil(mutex_, wake);
  return !stopping_;
}

}  // namespace attnd
