#include "core/base/json.h"

#include <cmath>
#include <utility>
#include <vector>

#include "core/base/printable.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

using Json = nlohmann::json;

// Builds the value while it watches the limits, which nlohmann's own builder lacks.
class Builder : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Add(nullptr); }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(value); }
  bool number_unsigned(number_unsigned_t value) override { return Add(value); }
  bool number_float(number_float_t value, const string_t&) override { return Add(value); }
  bool string(string_t& value) override { return Add(std::move(value)); }
  bool binary(binary_t&) override { return Fail("holds binary data"); }

  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& key) override {
    auto [slot, is_new] = open_.back()->get_ref<Json::object_t&>().try_emplace(key);
    if (!is_new) return Fail(StrCat("key \"", Printable(key), "\" appears twice"));
    slot_ = &slot->second;
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    return Fail(StrCat("is no valid JSON: ", JsonErrorReason(error.what())));
  }

  Json TakeRoot() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  bool Fail(std::string reason) {
    error_ = std::move(reason);
    return false;
  }

  // Where the next value goes: after its key, at the end of the open array, or at the root.
  bool Add(Json value) {
    if (++values_ > kJsonValuesMax)
      return Fail(StrCat("has more than ", kJsonValuesMax, " values"));
    if (open_.empty()) {
      root_ = std::move(value);
      last_ = &root_;
    } else if (open_.back()->is_object()) {
      *slot_ = std::move(value);
      last_ = slot_;
    } else {
      auto& array = open_.back()->get_ref<Json::array_t&>();
      array.push_back(std::move(value));
      last_ = &array.back();
    }
    return true;
  }

  bool Open(Json container) {
    if (open_.size() >= kJsonDepthMax) return Fail(StrCat("is nested deeper than ", kJsonDepthMax));
    if (!Add(std::move(container))) return false;
    open_.push_back(last_);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  // The containers being filled, outermost first. An array that grows moves its elements, but only
  // while none of them is open.
  std::vector<Json*> open_;
  Json* slot_ = nullptr;
  Json* last_ = nullptr;
  size_t values_ = 0;
  std::string error_;
};

std::string Shown(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  return Printable(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

std::string JsonErrorReason(std::string_view what) {
  // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
  if (const size_t end = what.find("] "); end != std::string_view::npos)
    what.remove_prefix(end + 2);
  return Printable(what);
}

absl::StatusOr<Json> ParseJson(std::string_view text, std::string_view name) {
  // nlohmann's lexer takes a NUL byte for the end of the text, and would not see what follows.
  if (text.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(StrCat(name, ": is no valid JSON: it holds a NUL byte"));
  }
  Builder builder;
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(StrCat(name, ": ", builder.error()));
  }
  return builder.TakeRoot();
}

JsonFields::JsonFields(const Json& object, std::string name)
    : object_(object), name_(std::move(name)) {
  if (!object_.is_object()) {
    status_ = absl::InvalidArgumentError(StrCat(name_, ": is ", Shown(object_), ", not an object"));
  }
}

void JsonFields::Fail(std::string_view key, std::string_view message) {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(StrCat(name_, ": ", key, " ", message));
}

const Json* JsonFields::Find(std::string_view key) const {
  if (!object_.is_object()) return nullptr;
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

const Json* JsonFields::Require(std::string_view key) {
  const Json* value = Find(key);
  if (value == nullptr) Fail(key, "is missing");
  return value;
}

bool JsonFields::Has(std::string_view key) const { return Find(key) != nullptr; }

bool JsonFields::IsNull(std::string_view key) const {
  return object_.is_object() && object_.contains(key) && object_.find(key)->is_null();
}

int64_t JsonFields::IntOf(const Json& value, std::string_view key, int64_t min, int64_t max) {
  const auto wanted = [&] {
    return StrCat("is ", Shown(value), "; a whole number from ", min, " to ", max, " is wanted");
  };
  const bool fits = value.is_number_unsigned() ? std::in_range<int64_t>(value.get<uint64_t>())
                                               : value.is_number_integer();
  if (!fits || value.get<int64_t>() < min || value.get<int64_t>() > max) {
    Fail(key, wanted());
    return min;
  }
  return value.get<int64_t>();
}

double JsonFields::NumberOf(const Json& value, std::string_view key, double min, double max) {
  if (value.is_number()) {
    const double number = value.get<double>();
    if (number >= min && number <= max) return number;
  }
  Fail(key, StrCat("is ", Shown(value), "; a number from ", min, " to ", max, " is wanted"));
  return min;
}

std::string JsonFields::StringOf(const Json& value, std::string_view key) {
  if (value.is_string()) return value.get<std::string>();
  Fail(key, StrCat("is ", Shown(value), "; a string is wanted"));
  return {};
}

int64_t JsonFields::Int(std::string_view key, int64_t min, int64_t max) {
  const Json* value = Require(key);
  return value == nullptr ? min : IntOf(*value, key, min, max);
}

int64_t JsonFields::IntOr(std::string_view key, int64_t min, int64_t max, int64_t fallback) {
  const Json* value = Find(key);
  return value == nullptr ? fallback : IntOf(*value, key, min, max);
}

double JsonFields::Number(std::string_view key, double min, double max) {
  const Json* value = Require(key);
  return value == nullptr ? min : NumberOf(*value, key, min, max);
}

double JsonFields::NumberOr(std::string_view key, double min, double max, double fallback) {
  const Json* value = Find(key);
  return value == nullptr ? fallback : NumberOf(*value, key, min, max);
}

bool JsonFields::BoolOr(std::string_view key, bool fallback) {
  const Json* value = Find(key);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  Fail(key, StrCat("is ", Shown(*value), "; true or false is wanted"));
  return fallback;
}

std::string JsonFields::String(std::string_view key) {
  const Json* value = Require(key);
  return value == nullptr ? std::string() : StringOf(*value, key);
}

std::string JsonFields::StringOr(std::string_view key, std::string_view fallback) {
  const Json* value = Find(key);
  return value == nullptr ? std::string(fallback) : StringOf(*value, key);
}

}  // namespace attnd
