#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "server/tls/identity.h"
#include "server/tls/options.h"

namespace attnd {

// The identity that new connections get. A thread of its own looks at the files every
// `reload_interval`: changed ones that pass CheckTlsFiles take the place of the old, at once and
// together; others change nothing. What the content is decides, not a file's time or name, so that
// files may be written over, renamed into place or reached through links that move.
class CertificateStore {
 public:
  // OK: the identity is new. Else: why the files are not served, each time that they were looked at
  // and wrong; the identity is the one that goes on being served. Called by the thread, and by
  // nobody after the store has ended.
  using OnReload = std::function<void(const absl::Status& status, const Identity& served)>;

  // Fails if the files are wrong now.
  static absl::StatusOr<std::unique_ptr<CertificateStore>> Open(TlsOptions options,
                                                                OnReload on_reload);
  ~CertificateStore();

  // Shared, because handshakes outlast the replacement of what they began with.
  std::shared_ptr<const Identity> current() const;

 private:
  CertificateStore(TlsOptions options, OnReload on_reload)
      : options_(std::move(options)), on_reload_(std::move(on_reload)) {}

  // The new identity, or null where the files are those that are served.
  absl::StatusOr<std::shared_ptr<const Identity>> Look();
  void Reload();
  // False when the store ends.
  bool AwaitNextLook();

  const TlsOptions options_;
  const OnReload on_reload_;
  std::string digest_;  // Of the files that are served; the thread's own.
  mutable Mutex mutex_;
  Condition stop_;
  std::shared_ptr<const Identity> current_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace attnd
