#include "client/channel.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "grpcpp/support/client_interceptor.h"

namespace attnd::client {
namespace {

constexpr size_t kApiKeyBytesMax = 512;

// On the channel and not on each call, so that no call can forget the key. Not call credentials,
// which gRPC has only for channels with TLS.
class SendApiKey : public grpc::experimental::Interceptor {
 public:
  explicit SendApiKey(std::string authorization) : authorization_(std::move(authorization)) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", authorization_);
    }
    methods->Proceed();
  }

 private:
  const std::string authorization_;
};

class SendApiKeyFactory : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit SendApiKeyFactory(const std::string& key) : authorization_("Bearer " + key) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new SendApiKey(authorization_);  // gRPC's, for the time of a call.
  }

 private:
  const std::string authorization_;
};

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const std::optional<TlsOptions>& tls) {
  if (!tls) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials(
      {.pem_root_certs = tls->ca, .pem_private_key = tls->key, .pem_cert_chain = tls->certificate});
}

}  // namespace

bool IsApiKey(std::string_view text) {
  const auto is_visible = [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); };
  return !text.empty() && text.size() <= kApiKeyBytesMax &&
         std::all_of(text.begin(), text.end(), is_visible);
}

std::shared_ptr<grpc::Channel> OpenChannel(const ChannelOptions& options) {
  // A silent peer is noticed within 80 s while a call is open; attnd accepts pings from 30 s up.
  constexpr int kKeepaliveMilliseconds = 60'000;
  constexpr int kKeepaliveTimeoutMilliseconds = 20'000;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.reply_bytes_max);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  if (options.sharing == ConnectionSharing::kSeparate) {
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  }
  if (options.tls && !options.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
  }
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (IsApiKey(options.api_key)) {
    interceptors.push_back(std::make_unique<SendApiKeyFactory>(options.api_key));
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      options.target, CredentialsOf(options.tls), arguments, std::move(interceptors));
}

}  // namespace attnd::client
