#pragma once

#include <cstdint>

namespace attnd {

// Takes gRPC's own log for the whole process, from now on: nothing of it is written, since any
// client can cause lines of it, and what concerns the server comes back as a status. Of handshakes
// that fail, gRPC 1.51 tells nobody but this log, so they are counted here.
void TakeGrpcLog();

// TLS handshakes that failed since TakeGrpcLog: no certificate or a wrong one, an old version, what
// is no TLS. Connections that said nothing, or went away, are not among them.
int64_t HandshakesFailed();

}  // namespace attnd
