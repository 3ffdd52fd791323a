#include "server/rpc/door.h"

#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/strings.h"
#include "server/auth/authorization.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

// Metadata names are in lower case.
constexpr char kAuthorization[] = "authorization";

absl::Status Deny(const ServiceContext& service, Denial denial) {
  service.metrics.Denied(denial);
  service.log.debug("a call was denied: its API key is {}", DenialName(denial));
  return Refuse(v1::ERROR_REASON_UNAUTHENTICATED, "",
                "a valid API key is needed, as `authorization: Bearer KEY`");
}

}  // namespace

absl::StatusOr<Entrant> Enter(const ServiceContext& service,
                              const grpc::CallbackServerContext& context) {
  if (service.keyring == nullptr) return Entrant{};
  std::vector<std::string_view> values;
  const auto [begin, end] = context.client_metadata().equal_range(kAuthorization);
  for (auto it = begin; it != end; ++it) values.emplace_back(it->second.data(), it->second.size());
  const auto read = ReadAuthorization(values);
  if (const Denial* denial = std::get_if<Denial>(&read)) return Deny(service, *denial);
  const auto& key = std::get<KeyDigest>(read);
  Caller* caller = service.keyring->Find(key);
  if (caller == nullptr) return Deny(service, Denial::kUnknown);
  return Entrant{.caller = caller, .key = key};
}

absl::Status CheckStillValid(const ServiceContext& service, const Entrant& entrant) {
  if (entrant.caller == nullptr) return absl::OkStatus();
  // Somebody else's by now is as good as nobody's.
  if (service.keyring->Find(entrant.key) == entrant.caller) return absl::OkStatus();
  return Deny(service, Denial::kUnknown);
}

absl::StatusOr<CallerPlace> TakePlace(const ServiceContext& service, const Entrant& entrant) {
  if (entrant.caller == nullptr) return CallerPlace();
  if (auto place = CallerPlace::Take(*entrant.caller)) {
    service.metrics.CallerStarted(entrant.number());
    return *std::move(place);
  }
  return Refuse(v1::ERROR_REASON_CALLER_LIMIT, "",
                StrCat(entrant.caller->requests_max(), " requests of \"", entrant.caller->name(),
                       "\" are in flight, as many as may be (requests_in_flight_max)"));
}

}  // namespace attnd
