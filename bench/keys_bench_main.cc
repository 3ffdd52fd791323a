// What a look at an API key takes, and whether the time tells how near a wrong key is: 256 callers
// of 8 keys, keys of each kind in turn, so that a noisy machine moves all kinds. Two kinds are
// alike, and their difference is the noise. Prints a table in Markdown.
//
//   keys_bench [TRIES]      of each kind; default 100000
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "server/auth/authorization.h"
#include "server/auth/caller_keys.h"
#include "server/auth/keyring.h"

namespace attnd::bench {
namespace {

struct Kind {
  const char* name;
  std::string header;
  std::vector<double> nanoseconds = {};
};

std::string KeyOf(size_t caller, size_t key) {
  const KeyDigest digits = DigestOf(StrCat(caller, "/", key));
  return {digits.begin(), digits.end()};
}

void Fill(Keyring& keyring) {
  std::vector<CallerKeys> callers;
  for (size_t i = 0; i < kKeyFileCallersMax; ++i) {
    callers.push_back({.name = StrCat(i)});
    for (size_t j = 0; j < kKeysOfCallerMax; ++j) {
      callers.back().digests.push_back(DigestOf(KeyOf(i, j)));
    }
  }
  CHECK_THAT(keyring.Replace(callers).ok());
}

// With another character at the end of the first `same` ones.
std::string Near(std::string key, size_t same) {
  for (size_t i = same; i < key.size(); ++i) key[i] = key[i] == 'x' ? 'y' : 'x';
  return "Bearer " + key;
}

Caller* Look(const Keyring& keyring, std::string_view header) {
  const auto read = ReadAuthorization(std::array{header});
  return keyring.Find(std::get<KeyDigest>(read));
}

int Run(int tries) {
  Keyring keyring;
  Fill(keyring);
  const std::string key = KeyOf(0, 0);
  std::array kinds = {Kind{"wrong", Near(key, 0)},
                      Kind{"wrong too", "Bearer " + KeyOf(999, 0)},
                      Kind{"first half right", Near(key, key.size() / 2)},
                      Kind{"all but the last character right", Near(key, key.size() - 1)},
                      Kind{"the first of the keys", "Bearer " + key},
                      Kind{"the last of the keys", "Bearer " + KeyOf(255, 7)}};
  using Clock = std::chrono::steady_clock;
  size_t found = 0;
  for (int i = 0; i < tries; ++i) {
    for (size_t j = 0; j < kinds.size(); ++j) {
      Kind& kind = kinds[(j + static_cast<size_t>(i)) % kinds.size()];
      const auto start = Clock::now();
      found += Look(keyring, kind.header) != nullptr ? 1 : 0;
      const std::chrono::duration<double, std::nano> elapsed = Clock::now() - start;
      kind.nanoseconds.push_back(elapsed.count());
    }
  }
  CHECK_THAT(found == 2 * static_cast<size_t>(tries));
  std::printf("| key | median, ns | lower quartile | upper quartile |\n|---|---:|---:|---:|\n");
  for (Kind& kind : kinds) {
    std::sort(kind.nanoseconds.begin(), kind.nanoseconds.end());
    const auto at = [&](double part) {
      return kind.nanoseconds[static_cast<size_t>(part * (tries - 1))];
    };
    std::printf("| %s | %.0f | %.0f | %.0f |\n", kind.name, at(0.5), at(0.25), at(0.75));
  }
  return 0;
}

}  // namespace
}  // namespace attnd::bench

int main(int argc, char** argv) {
  const int tries = argc > 1 ? std::atoi(argv[1]) : 100'000;
  return tries > 0 ? attnd::bench::Run(tries) : 2;
}
