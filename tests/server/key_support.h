#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "nlohmann/json.hpp"
#include "server/auth/key_digest.h"
#include "tests/server/test_server.h"
#include "tests/support/temp_dir.h"

namespace attnd::testing {

// A caller of a key file, by its keys themselves.
struct KeyedCaller {
  std::string name;
  std::vector<std::string> keys;
  int32_t requests_max = 0;  // 0: no limit.
};

using Callers = std::vector<KeyedCaller>;

inline std::string KeyFileText(const Callers& callers) {
  auto list = nlohmann::json::array();
  for (const KeyedCaller& caller : callers) {
    nlohmann::json item = {{"name", caller.name}, {"key_sha256", nlohmann::json::array()}};
    for (const std::string& key : caller.keys) {
      const KeyDigest digest = DigestOf(key);
      item["key_sha256"].push_back(std::string(digest.begin(), digest.end()));
    }
    if (caller.requests_max > 0) item["requests_in_flight_max"] = caller.requests_max;
    list.push_back(item);
  }
  return nlohmann::json{{"callers", list}}.dump();
}

// A server that asks for the keys of a file, which is looked at every few milliseconds.
class KeyedServer {
 public:
  explicit KeyedServer(const Callers& callers, const std::string& log_level = "error")
      : server_(Written(callers, log_level)) {}

  // In one step, as whoever cares does it.
  void WriteKeys(const std::string& text) {
    folder_.Write("new", text);
    std::filesystem::permissions(folder_ / "new", std::filesystem::perms::owner_read);
    std::filesystem::rename(folder_ / "new", folder_ / "keys");
  }
  void WriteKeys(const Callers& callers) { WriteKeys(KeyFileText(callers)); }

  Client ClientWith(const std::string& key) {
    return Client({.target = "127.0.0.1:" + std::to_string(server_.server().port()),
                   .deadline = std::chrono::seconds(60),
                   .api_key = key});
  }

  TestServer& operator*() { return server_; }
  TestServer* operator->() { return &server_; }
  int metrics_port() { return server_.server().metrics_port(); }

 private:
  Config Written(const Callers& callers, const std::string& log_level) {
    WriteKeys(callers);
    Config config = TestServer::DefaultConfig();
    config.metrics_listen = "127.0.0.1:0";
    config.log_level = log_level;
    config.api_keys = folder_ / "keys";
    config.api_keys_refresh = std::chrono::milliseconds(5);
    return config;
  }

  const TempDir folder_;
  TestServer server_;
};

struct RawReply {
  grpc::Status status;
  std::string bytes;
  bool has_pushback = false;
};

// Sends `bytes` as they are to "/SERVICE/METHOD", of whatever kind, with these values of
// `authorization`.
inline RawReply CallRaw(TestServer& server, const std::string& method, const std::string& bytes,
                        const std::vector<std::string>& authorization) {
  grpc::GenericStub stub(server.channel());
  grpc::ClientContext context;
  for (const std::string& value : authorization) context.AddMetadata("authorization", value);
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  RawReply reply;
  absl::Notification done;
  stub.UnaryCall(&context, method, {}, &request, &response, [&](grpc::Status result) {
    reply.status = std::move(result);
    done.Notify();
  });
  done.WaitForNotification();
  reply.has_pushback = context.GetServerTrailingMetadata().count("grpc-retry-pushback-ms") > 0;
  std::vector<grpc::Slice> slices;
  if (response.Valid() && response.Dump(&slices).ok()) {
    for (const grpc::Slice& part : slices) {
      reply.bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
    }
  }
  return reply;
}

}  // namespace attnd::testing
