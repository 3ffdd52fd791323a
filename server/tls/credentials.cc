#include "server/tls/credentials.h"

#include <set>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "grpc/grpc.h"
#include "grpc/grpc_security.h"

namespace attnd {
namespace {

// Through gRPC's C interface: that of C++ has no certificates that change, but for one that reads
// files itself, and which in 1.51 drops the old certificate before it knows whether the new one
// and its key fit.
class RotatingCredentials final : public grpc::ServerCredentials {
 public:
  RotatingCredentials(const CertificateStore& store, const std::vector<std::string>& client_names,
                      std::function<void()> on_refused)
      : store_(store),
        client_names_(client_names.begin(), client_names.end()),
        on_refused_(std::move(on_refused)) {
    const auto request = store.current()->client_ca.empty()
                             ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                             : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, Fetch, this));
    CHECK_THAT(credentials_ != nullptr);
    if (!client_names_.empty()) {
      grpc_server_credentials_set_auth_metadata_processor(
          credentials_, {.process = CheckName, .destroy = nullptr, .state = this});
    }
  }
  ~RotatingCredentials() override { grpc_server_credentials_release(credentials_); }

  // Has one of its own.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {
    CHECK_THAT(false);
  }

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // gRPC asks at the start and before each handshake, one at a time.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* credentials, grpc_ssl_server_certificate_config** config) {
    auto& self = *static_cast<RotatingCredentials*>(credentials);
    std::shared_ptr<const Identity> current = self.store_.current();
    if (current == self.served_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const grpc_ssl_pem_key_cert_pair pair = {.private_key = current->key.c_str(),
                                             .cert_chain = current->certificate.c_str()};
    // gRPC 1.51 wants some authority even where it asks no client for a certificate and so has
    // nothing to hold against it.
    const std::string& ca = current->client_ca.empty() ? current->certificate : current->client_ca;
    *config = grpc_ssl_server_certificate_config_create(ca.c_str(), &pair, 1);
    self.served_ = std::move(current);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  bool HasAllowedName(const grpc_auth_context* peer) const {
    grpc_auth_property_iterator names =
        grpc_auth_context_find_properties_by_name(peer, GRPC_X509_SAN_PROPERTY_NAME);
    while (const grpc_auth_property* name = grpc_auth_property_iterator_next(&names)) {
      if (client_names_.contains(std::string_view(name->value, name->value_length))) return true;
    }
    return false;
  }

  static void CheckName(void* credentials, grpc_auth_context* peer, const grpc_metadata*, size_t,
                        grpc_process_auth_metadata_done_cb done, void* call) {
    const auto& self = *static_cast<const RotatingCredentials*>(credentials);
    if (self.HasAllowedName(peer)) {
      done(call, nullptr, 0, nullptr, 0, GRPC_STATUS_OK, nullptr);
      return;
    }
    self.on_refused_();
    done(call, nullptr, 0, nullptr, 0, GRPC_STATUS_PERMISSION_DENIED,
         "no name of the client's certificate is one that this server allows");
  }

  const CertificateStore& store_;
  const std::set<std::string, std::less<>> client_names_;
  const std::function<void()> on_refused_;
  grpc_server_credentials* credentials_;
  std::shared_ptr<const Identity> served_;  // What gRPC has; only Fetch touches it.
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(
    const CertificateStore& store, const std::vector<std::string>& client_names,
    std::function<void()> on_refused) {
  return std::make_shared<RotatingCredentials>(store, client_names, std::move(on_refused));
}

}  // namespace attnd
