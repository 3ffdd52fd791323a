#include "server/auth/caller_keys.h"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/base/json.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

using Json = nlohmann::json;

constexpr char kCallersField[] = "callers";
constexpr char kNameField[] = "name";
constexpr char kDigestsField[] = "key_sha256";
constexpr char kRequestsField[] = "requests_in_flight_max";

absl::Status Wrong(std::string_view place, std::string_view what) {
  return absl::InvalidArgumentError(StrCat(place, ": ", what));
}

bool HasOnly(const Json& object, std::initializer_list<std::string_view> fields) {
  for (const auto& item : object.items()) {
    if (std::find(fields.begin(), fields.end(), item.key()) == fields.end()) return false;
  }
  return true;
}

absl::StatusOr<std::string> ReadName(const Json& caller, const std::string& place) {
  const auto found = caller.find(kNameField);
  const std::string name =
      found != caller.end() && found->is_string() ? found->get<std::string>() : "";
  const auto plain = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  };
  if (name.empty() || name.size() > kCallerNameBytesMax ||
      !std::all_of(name.begin(), name.end(), plain)) {
    return Wrong(StrCat(place, ".name"), StrCat("1 to ", kCallerNameBytesMax,
                                                " letters, digits, '-', '_' and '.' are wanted"));
  }
  if (name == kOtherCallers) {
    return Wrong(StrCat(place, ".name"),
                 StrCat("\"", kOtherCallers, "\" is what metrics call those without a name"));
  }
  return name;
}

absl::StatusOr<std::vector<KeyDigest>> ReadDigests(const Json& caller, const std::string& place) {
  static const KeyDigest nothing = DigestOf("");
  const auto found = caller.find(kDigestsField);
  if (found == caller.end() || !found->is_array() || found->empty() ||
      found->size() > kKeysOfCallerMax) {
    return Wrong(StrCat(place, ".", kDigestsField),
                 StrCat("a list of 1 to ", kKeysOfCallerMax, " digests is wanted"));
  }
  std::vector<KeyDigest> digests;
  for (const Json& item : *found) {
    const std::string at = StrCat(place, ".", kDigestsField, "[", digests.size(), "]");
    const auto digest = ParseDigest(item.is_string() ? item.get<std::string>() : "");
    if (!digest) {
      return Wrong(at, "64 hexadecimal digits are wanted: the key's SHA-256, never the key");
    }
    // As it comes out of sha256sum when the variable with the key is not set.
    if (*digest == nothing) return Wrong(at, "it is the digest of an empty text");
    digests.push_back(*digest);
  }
  return digests;
}

absl::StatusOr<CallerKeys> ReadCaller(const Json& caller, const std::string& place) {
  if (!caller.is_object() || !HasOnly(caller, {kNameField, kDigestsField, kRequestsField})) {
    return Wrong(place, StrCat("an object of ", kNameField, ", ", kDigestsField, " and ",
                               kRequestsField, " is wanted, and nothing else"));
  }
  CallerKeys keys;
  ASSIGN_OR_RETURN(keys.name, ReadName(caller, place));
  ASSIGN_OR_RETURN(keys.digests, ReadDigests(caller, place));
  if (const auto found = caller.find(kRequestsField); found != caller.end()) {
    const bool fits = found->is_number_unsigned() && found->get<uint64_t>() >= 1 &&
                      found->get<uint64_t>() <= kCallerRequestsMax;
    if (!fits) {
      return Wrong(StrCat(place, ".", kRequestsField),
                   StrCat("a whole number from 1 to ", kCallerRequestsMax, " is wanted"));
    }
    keys.requests_max = static_cast<int32_t>(found->get<uint64_t>());
  }
  return keys;
}

}  // namespace

absl::StatusOr<std::vector<CallerKeys>> ParseCallerKeys(std::string_view text) {
  const absl::StatusOr<Json> root = ParseJson(text, "");
  // What the parser says would quote the text.
  if (!root.ok()) return absl::InvalidArgumentError("is no valid JSON, or has a field twice");
  const auto found = root->is_object() ? root->find(kCallersField) : root->end();
  if (found == root->end() || !found->is_array() || !HasOnly(*root, {kCallersField})) {
    return absl::InvalidArgumentError(
        "an object with a list of \"callers\", and no more, is wanted");
  }
  if (found->size() > kKeyFileCallersMax) {
    return Wrong(kCallersField,
                 StrCat(found->size(), " are more than the limit of ", kKeyFileCallersMax));
  }
  std::vector<CallerKeys> callers;
  std::set<std::string> names;
  std::set<KeyDigest> digests;
  for (const Json& item : *found) {
    const std::string place = StrCat(kCallersField, "[", callers.size(), "]");
    ASSIGN_OR_RETURN(CallerKeys caller, ReadCaller(item, place));
    if (!names.insert(caller.name).second) {
      return Wrong(StrCat(place, ".name"), "another caller has this name");
    }
    for (const KeyDigest& digest : caller.digests) {
      if (!digests.insert(digest).second) {
        return Wrong(StrCat(place, ".", kDigestsField), "a digest is there twice");
      }
    }
    callers.push_back(std::move(caller));
  }
  return callers;
}

}  // namespace attnd
