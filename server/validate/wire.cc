#include "server/validate/wire.h"

#include <map>

#include "absl/strings/strip.h"
#include "core/base/strings.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Our messages nest 5 deep.
constexpr int kDepthMax = 16;

CodedInputStream Reader(std::string_view bytes) {
  return CodedInputStream(reinterpret_cast<const uint8_t*>(bytes.data()),
                          static_cast<int>(bytes.size()));
}

// One length-delimited field; a view into the message's bytes.
std::optional<std::string_view> ReadBlock(CodedInputStream& reader, std::string_view bytes) {
  uint32_t length = 0;
  if (!reader.ReadVarint32(&length)) return std::nullopt;
  const auto begin = static_cast<size_t>(reader.CurrentPosition());
  if (length > bytes.size() - begin || !reader.Skip(static_cast<int>(length))) return std::nullopt;
  return bytes.substr(begin, length);
}

std::string Join(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : StrCat(path, ".", name);
}

// The path of the first string in the message that isn't UTF-8; nullopt if there is none as far as
// the message can be read.
std::optional<std::string> FindBadText(std::string_view bytes, const Descriptor& type,
                                       std::string_view path, int depth) {
  if (depth > kDepthMax) return std::nullopt;
  std::map<int, int> repeated_counts;
  CodedInputStream reader = Reader(bytes);
  while (const uint32_t tag = reader.ReadTag()) {
    const int number = WireFormatLite::GetTagFieldNumber(tag);
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&reader, tag)) return std::nullopt;
      continue;
    }
    const auto block = ReadBlock(reader, bytes);
    if (!block.has_value()) return std::nullopt;
    const FieldDescriptor* field = type.FindFieldByNumber(number);
    if (field == nullptr) continue;
    std::string name = Join(path, field->name());
    if (field->is_repeated()) name = StrCat(name, "[", repeated_counts[number]++, "]");
    if (field->type() == FieldDescriptor::TYPE_STRING && !IsUtf8(*block)) return name;
    if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
      if (auto found = FindBadText(*block, *field->message_type(), name, depth + 1)) return found;
    }
  }
  return std::nullopt;
}

}  // namespace

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<uint8_t>(text[at]);
    if (lead < 0x80) {
      ++at;
      continue;
    }
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || text.size() - at <= static_cast<size_t>(more)) return false;
    uint32_t code = lead & (0x3F >> more);
    for (int i = 1; i <= more; ++i) {
      const auto next = static_cast<uint8_t>(text[at + i]);
      if ((next & 0xC0) != 0x80) return false;
      code = code << 6 | (next & 0x3F);
    }
    const uint32_t least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
    at += static_cast<size_t>(more) + 1;
  }
  return true;
}

absl::Status ExplainParseFailure(std::string_view bytes, const Descriptor& type) {
  if (const auto path = FindBadText(bytes, type, "", 0)) {
    // A stream's fields are named from the request on, as those of a single call.
    const std::string_view field = ToStd(absl::StripPrefix(*path, "request."));
    return Refuse(v1::ERROR_REASON_INVALID_UTF8, field, "the text is not UTF-8");
  }
  return Refuse(
      v1::ERROR_REASON_MALFORMED_REQUEST, "",
      StrCat("the request's ", bytes.size(), " bytes are no message of type ", type.full_name()));
}

std::optional<std::string> FindField(std::string_view bytes, int number) {
  std::optional<std::string> found;
  CodedInputStream reader = Reader(bytes);
  while (const uint32_t tag = reader.ReadTag()) {
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&reader, tag)) break;
      continue;
    }
    const auto block = ReadBlock(reader, bytes);
    if (!block.has_value()) break;
    if (WireFormatLite::GetTagFieldNumber(tag) == number) found = std::string(*block);
  }
  return found;
}

}  // namespace attnd
