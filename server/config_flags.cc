#include "server/config_flags.h"

#include <algorithm>
#include <limits>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "core/base/strings.h"
#include "server/address.h"
#include "server/auth/caller_keys.h"

namespace attnd {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

std::string Text(std::chrono::nanoseconds duration) {
  return absl::FormatDuration(absl::FromChrono(duration));
}

}  // namespace

ConfigFlags::ConfigFlags(CLI::App& app, Config& config) : app_(app), config_(config) {
  app.set_config("--config", "", "A file of lines `flag = value`, without the dashes.");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_flag("--check-config", check_only_,
               "Check the configuration, the model directory (all but the weights' numbers), the "
               "calibration texts, the API keys and the certificates, print the configuration, and "
               "exit.")
      ->configurable(false);
  AddModels();
  AddPrecision();
  AddAddresses();
  AddKeys();
  AddTls();
  AddEngine();
  AddLimits();
  AddHeadLimits();
  AddConnection();
  AddShutdownAndLog();
}

// Gives an option its name in the environment.
CLI::Option* ConfigFlags::Named(CLI::Option* option) const {
  return option->envname("ATTND_" + absl::AsciiStrToUpper(absl::StrReplaceAll(
                                        option->get_single_name(), {{"-", "_"}})));
}

template <typename Number>
void ConfigFlags::AddNumber(const char* flag, Number& target, Range range, const char* help) {
  const auto check = [range](const std::string& text) -> std::string {
    int64_t value = 0;
    // As it is written in full: CLI11 would take 017 for 15.
    const bool is_number = absl::SimpleAtoi(text, &value) && StrCat(value) == text;
    if (is_number && value >= range.least && value <= range.most) return {};
    return StrCat("\"", text, "\" is not a whole number from ", range.least, " to ", range.most);
  };
  Named(app_.add_option(flag, target, help))
      ->check(CLI::Validator(check, StrCat(range.least, " to ", range.most)))
      ->capture_default_str();
}

void ConfigFlags::AddDuration(const char* flag, Nanoseconds& target, Nanoseconds least,
                              Nanoseconds most, const char* help) {
  const auto check = [least, most](const std::string& text) -> std::string {
    absl::Duration value;
    if (absl::ParseDuration(text, &value) && value >= absl::FromChrono(least) &&
        value <= absl::FromChrono(most)) {
      return {};
    }
    return StrCat("\"", text, "\" is not a time from ", Text(least), " to ", Text(most),
                  ", such as 1.5s or 20ms");
  };
  durations_.push_back({.text = Text(target), .target = &target});
  Named(app_.add_option(flag, durations_.back().text, help))
      ->check(CLI::Validator(check, StrCat(Text(least), " to ", Text(most))))
      ->capture_default_str();
}

void ConfigFlags::AddAddresses() {
  Named(app_.add_option("--listen", config_.listen,
                        "Where gRPC is served. unix:PATH is a socket; port 0 lets the system "
                        "choose, and the log says which."))
      ->type_name("HOST:PORT")
      ->capture_default_str();
  Named(app_.add_option("--metrics-listen", config_.metrics_listen,
                        "Where /metrics is served, over HTTP. Empty: nowhere."))
      ->type_name("HOST:PORT")
      ->capture_default_str();
  Named(app_.add_flag("--insecure", config_.insecure,
                      "Allow plaintext at addresses that others can reach: --listen without "
                      "--tls-certificate, and --metrics-listen. Put a proxy or a network policy "
                      "before it."));
  Named(app_.add_flag("--reflection", config_.reflection,
                      "Serve gRPC reflection, so that grpcurl needs no proto files."));
}

void ConfigFlags::AddKeys() {
  Named(app_.add_option(
            "--api-keys", config_.api_keys,
            StrCat("A file of who may call: {\"callers\": [{\"name\": \"search\", "
                   "\"key_sha256\": [\"64 hexadecimal digits\"], \"requests_in_flight_max\": 8}]}; "
                   "at most ",
                   kKeyFileCallersMax, " callers of 1 to ", kKeysOfCallerMax,
                   " keys, the limit on requests is optional, and only its owner may write to the "
                   "file. Every call but health checks then needs one of these keys, as "
                   "`authorization: Bearer KEY`, and reflection is not served. Empty: whoever "
                   "reaches attnd may call.")))
      ->type_name("FILE")
      ->capture_default_str();
  AddDuration("--api-keys-refresh", config_.api_keys_refresh, milliseconds(10), hours(1),
              "How often that file is looked at for changes. A key that was taken out of it is "
              "valid for as long; a file that is wrong changes nothing.");
}

void ConfigFlags::AddEngine() {
  AddNumber("--workers", config_.workers, {0, 1024},
            "Threads that compute; 0: as many as the CPU quota and set allow. More than there are "
            "CPUs makes all of them slower.");
  AddNumber("--batch-tokens", config_.limits.batch_tokens, {16, 65'536},
            "Tokens in one batch; no less than the model's longest sequence. More raises "
            "throughput a little, and memory and the wait behind a batch in proportion.");
  AddDuration("--batch-delay", config_.batch_delay, milliseconds(0), milliseconds(100),
              "How long a batch that is not full waits for more. 0 is best for latency.");
  AddNumber("--queue-tokens", config_.limits.queue_tokens, kQueueTokens,
            "Tokens that wait for one model; what would pass it is refused with "
            "RESOURCE_EXHAUSTED. Longer "
            "queues refuse less and let everybody wait longer.");
  AddNumber("--queue-requests", config_.limits.queue_requests, kQueueRequests,
            "Inputs that wait for one model, each input of a call by itself.");
  AddNumber("--queue-bytes", config_.limits.queue_bytes, kQueueBytes,
            "Bytes of input and output that the waiting inputs of one model keep alive, and that "
            "one stream may have in flight.");
  AddDuration(
      "--queue-wait", config_.limits.queue_wait, milliseconds(1), hours(1),
      "How long what waits before a request may be expected to take, by what batches took of "
      "late; a request that would wait longer is refused with RESOURCE_EXHAUSTED, and a "
      "stream is read no further. Longer refuses less and lets everybody wait longer; what "
      "cannot be done before its own deadline is refused in any case.");
  AddNumber("--held-bytes", config_.limits.held_bytes, {1 << 20, int64_t{1} << 40},
            "Bytes of input and output of all requests that are not answered yet, queued or not. "
            "Beyond it calls are refused with RESOURCE_EXHAUSTED, and streams are read no further; "
            "no less than queue-bytes. All models share it.");
  Named(app_.add_flag(
            "--share-identical,!--no-share-identical", config_.share_identical,
            "Compute equal inputs that are in flight at the same time once. A caller can tell "
            "that another sent the very same input at that moment."))
      ->default_str("true");
  AddNumber("--result-cache-bytes", config_.result_cache_bytes, {0, int64_t{1} << 40},
            "Bytes of results to keep, of all models together, for inputs that come again; what "
            "was not asked for longest makes room, and what is larger than an eighth of it is not "
            "kept. 0: none. Whoever can call the server can tell "
            "by the time that it takes whether an input was there before.");
}

void ConfigFlags::AddLimits() {
  Limits& limits = config_.limits;
  AddNumber("--inputs-per-request", limits.inputs_per_request, {1, 4096},
            "Inputs in one request; more are refused.");
  AddNumber("--text-bytes", limits.text_bytes, {1, 4 << 20},
            "Bytes of one input's text, or of a pair's two; longer ones are refused before they "
            "are tokenized, which happens on gRPC's threads.");
  AddNumber("--request-text-bytes", limits.request_text_bytes, {1, 256 << 20},
            "Bytes of all texts of one request; more are refused before any is tokenized. More "
            "lets one call keep others, health checks too, waiting for gRPC's threads longer.");
  AddNumber("--message-bytes", limits.message_bytes, {64 << 10, 256 << 20},
            "Bytes of a request, and of a reply or a part of one. Clients accept 4 MiB unless "
            "told otherwise.");
  AddNumber("--stream-requests", limits.stream_requests, {1, 4096},
            "Requests in flight on one stream before it is read no further.");
  AddNumber("--attention-scores", limits.attention_scores, {1, 1 << 30},
            "Scores (batch x heads x queries x keys) of one call to AttentionService; 4 bytes "
            "each.");
  AddNumber("--attention-flops", limits.attention_flops, {1, int64_t{1} << 50},
            "Floating-point operations of one call to AttentionService; a call holds a worker for "
            "as long as they take.");
  AddNumber("--layers-per-request", limits.layers_per_request, {1, 1024},
            "Layers whose hidden states, and layers whose attention, one request to Encode may "
            "name; each costs memory and reply bytes for every token.");
  AddNumber("--attention-map-scores", limits.attention_map_scores, {1, 1 << 30},
            "Attention scores (layers x heads x tokens x tokens) of one input of Encode; 4 bytes "
            "each, and twice that with the scores before the softmax.");
  AddNumber("--spans-per-input", limits.spans_per_input, {1, 65'536},
            "Words, sentences, ranges or chunks of one input that get a vector of their own.");
  AddDuration("--default-deadline", limits.default_deadline, milliseconds(1), hours(1),
              "When work is dropped whose client set no deadline.");
  AddDuration("--deadline-cap", limits.deadline_cap, milliseconds(1), hours(1),
              "The latest deadline that work gets, whatever its client asks for.");
}

void ConfigFlags::AddHeadLimits() {
  Limits& limits = config_.limits;
  AddNumber("--documents-per-request", limits.documents_per_request, {1, 4096},
            "Documents of one call to Rerank, each of which is an input with the query; more are "
            "refused. So are pairs of more than queue-tokens tokens together, which many long "
            "documents reach first.");
  AddNumber("--candidates-per-mask", limits.candidates_per_mask, {1, 10'000},
            "Candidates that FillMask may be asked for, of each mask; more make replies larger.");
  AddNumber("--answers-per-question", limits.answers_per_question, {1, 10'000},
            "Answers that Answer may be asked for, of each question; more make replies larger.");
}

void ConfigFlags::AddConnection() {
  ConnectionLimits& limits = config_.connection;
  AddNumber("--connection-streams", limits.streams, {1, 65'536},
            "Calls open at once on one connection; further ones wait at the client.");
  AddNumber("--metadata-bytes", limits.metadata_bytes, {1 << 10, 1 << 20},
            "Bytes of a call's metadata; more are refused.");
  AddDuration("--handshake-timeout", limits.handshake_timeout, milliseconds(100), minutes(10),
              "A connection that has not spoken HTTP/2 by then is closed.");
  AddDuration("--keepalive-interval", limits.keepalive_interval, seconds(1), hours(24),
              "A silent connection is pinged this often.");
  AddDuration("--keepalive-timeout", limits.keepalive_timeout, milliseconds(100), hours(1),
              "A ping not answered by then closes the connection.");
  AddDuration("--client-ping-interval-min", limits.client_ping_interval_min, milliseconds(100),
              hours(1), "A client that pings more often, twice, is sent away.");
  AddDuration("--connection-idle-max", limits.idle_max, seconds(1), hours(24),
              "A connection without calls is closed after this time.");
  AddDuration("--connection-age-max", limits.age_max, seconds(1), hours(24 * 7),
              "A connection takes no calls after this time, so that load spreads anew.");
  AddDuration("--connection-age-grace", limits.age_grace, seconds(1), hours(24),
              "Calls still open this long after that are cancelled, streams too.");
}

void ConfigFlags::AddShutdownAndLog() {
  AddDuration("--shutdown-delay", config_.shutdown_delay, milliseconds(0), minutes(10),
              "How long to serve after SIGTERM while health says NOT_SERVING, so that balancers "
              "look elsewhere before anything is refused.");
  AddDuration("--drain-timeout", config_.drain_timeout, milliseconds(0), hours(1),
              "How long to finish what was accepted after that; the rest is cancelled.");
  Named(app_.add_option("--log-format", log_format_, "text, or json: an object a line."))
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  Named(app_.add_option("--log-level", config_.log_level, "The least level that is logged."))
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
}

std::string ConfigFlags::CheckAddress(const char* flag, const std::string& text,
                                      Served served) const {
  const bool may_be_unix = served == Served::kGrpc;
  const bool encrypted = served == Served::kGrpc && config_.tls.enabled();
  const std::optional<Address> address = ParseAddress(text);
  if (!address || (address->is_unix && !may_be_unix)) {
    return StrCat(flag, ": \"", text, "\" is not HOST:PORT", may_be_unix ? " or unix:PATH" : "",
                  " with a port from 0 to 65535");
  }
  if (!address->IsLocal() && !encrypted && !config_.insecure) {
    return StrCat(flag, ": \"", text,
                  "\" can be reached by others, and attnd speaks plaintext there: listen on "
                  "127.0.0.1, ",
                  served == Served::kGrpc ? "pass --tls-certificate, " : "",
                  "or pass --insecure if the network protects it");
  }
  return {};
}

std::string ConfigFlags::Finish() {
  config_.precision = *ParsePrecision(precision_);
  config_.log_format = log_format_ == "json" ? LogFormat::kJson : LogFormat::kText;
  for (const Duration& duration : durations_) {
    absl::Duration value;
    absl::ParseDuration(duration.text, &value);  // Its check has passed.
    *duration.target = absl::ToChronoNanoseconds(value);
  }
  if (std::string wrong = FinishModels(); !wrong.empty()) return wrong;
  if (std::string wrong = FinishTls(); !wrong.empty()) return wrong;
  if (std::string wrong = CheckAddress("--listen", config_.listen, Served::kGrpc); !wrong.empty()) {
    return wrong;
  }
  if (!config_.metrics_listen.empty()) {
    std::string wrong = CheckAddress("--metrics-listen", config_.metrics_listen, Served::kMetrics);
    if (!wrong.empty()) return wrong;
  }
  if (config_.reflection && !config_.api_keys.empty()) {
    return "--reflection: it would answer callers without a key, which --api-keys is to keep out";
  }
  const Limits& limits = config_.limits;
  if (limits.default_deadline > limits.deadline_cap) {
    return StrCat("--default-deadline: ", Text(limits.default_deadline),
                  " is above --deadline-cap ", Text(limits.deadline_cap));
  }
  if (limits.queue_tokens < limits.batch_tokens) {
    return StrCat("--queue-tokens: ", limits.queue_tokens, " is below --batch-tokens ",
                  limits.batch_tokens);
  }
  if (limits.held_bytes < limits.queue_bytes) {
    return StrCat("--held-bytes: ", limits.held_bytes, " is below --queue-bytes ",
                  limits.queue_bytes);
  }
  for (const ModelSource& model : config_.models) {
    if (model.queue_tokens.value_or(limits.batch_tokens) < limits.batch_tokens) {
      return StrCat("--model-queue-tokens: ", model.name, "=", *model.queue_tokens,
                    " is below --batch-tokens ", limits.batch_tokens);
    }
    if (model.queue_bytes.value_or(0) > limits.held_bytes) {
      return StrCat("--model-queue-bytes: ", model.name, "=", *model.queue_bytes,
                    " is above --held-bytes ", limits.held_bytes);
    }
  }
  return {};
}

}  // namespace attnd
