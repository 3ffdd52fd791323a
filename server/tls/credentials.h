#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/security/server_credentials.h"
#include "server/tls/certificate_store.h"

namespace attnd {

// For one address to listen on: TLS 1.2 and up, with the store's identity of the moment in which a
// connection is accepted. Where that has a client CA, a client without a certificate of it gets no
// connection; with `client_names`, one whose certificate has none of them among its subject
// alternative names (compared as they are, without wildcards) gets PERMISSION_DENIED to every call,
// before anything of it is read, and `on_refused` is called.
//
// The address must stand for one socket (an IP address or a unix socket, no name that resolves to
// several): gRPC replaces what it made of a certificate without a lock against other sockets.
//
// What comes back and `store` must outlive the gRPC server.
std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(
    const CertificateStore& store, const std::vector<std::string>& client_names,
    std::function<void()> on_refused);

}  // namespace attnd
