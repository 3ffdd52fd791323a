// Goal: bytes that no client of ours would send end in the exact status, whichever method they are
// sent to, and nothing of them reaches the engine. Method: a server on a real port; tables of what
// can be wrong with a message's bytes, with each of its texts, and with what surrounds it, each row
// for every method that it applies to.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attnd/v1/answer.pb.h"
#include "attnd/v1/classifier.pb.h"
#include "attnd/v1/fill_mask.pb.h"
#include "attnd/v1/rerank.pb.h"
#include "attnd/v1/tokenizer.pb.h"
#include "gtest/gtest.h"
#include "tests/server/test_server.h"

namespace attnd {
namespace {

using google::protobuf::Message;
using grpc::StatusCode;
using testing::FieldIn;
using testing::IdsRequest;
using testing::ReasonIn;
using testing::SendRaw;
using testing::TestServer;
using testing::TextRequest;

constexpr char kEncode[] = "/attnd.v1.EncoderService/Encode";
constexpr char kSimilarity[] = "/attnd.v1.EncoderService/Similarity";
constexpr char kAttend[] = "/attnd.v1.AttentionService/Attend";
constexpr char kSelfAttention[] = "/attnd.v1.AttentionService/SelfAttention";
constexpr char kClassify[] = "/attnd.v1.ClassifierService/Classify";
constexpr char kClassifyTokens[] = "/attnd.v1.ClassifierService/ClassifyTokens";
constexpr char kRerank[] = "/attnd.v1.RerankService/Rerank";
constexpr char kFillMask[] = "/attnd.v1.FillMaskService/FillMask";
constexpr char kAnswer[] = "/attnd.v1.AnswerService/Answer";
constexpr char kTokenize[] = "/attnd.v1.TokenizerService/Tokenize";
constexpr char kDetokenize[] = "/attnd.v1.TokenizerService/Detokenize";
constexpr char kListModels[] = "/attnd.v1.ModelService/ListModels";
constexpr char kGetModel[] = "/attnd.v1.ModelService/GetModel";
constexpr char kHealth[] = "/grpc.health.v1.Health/Check";
constexpr const char* kMethods[] = {kEncode,     kSimilarity, kAttend,   kSelfAttention,  kClassify,
                                    kRerank,     kFillMask,   kAnswer,   kClassifyTokens, kTokenize,
                                    kDetokenize, kListModels, kGetModel, kHealth};

std::string Repeat(const std::string& bytes, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += bytes;
  return all;
}

struct Expected {
  StatusCode code = StatusCode::INVALID_ARGUMENT;
  std::string reason;
  std::string field = {};
};

class HostileTest : public ::testing::Test {
 protected:
  void ExpectRefused(const char* method, const std::string& bytes, const Expected& expected) {
    const grpc::Status status = SendRaw(server_, method, bytes);
    EXPECT_EQ(status.error_code(), expected.code) << status.error_message();
    EXPECT_EQ(ReasonIn(status.error_details()), expected.reason) << status.error_message();
    EXPECT_EQ(FieldIn(status.error_details()), expected.field) << status.error_message();
    EXPECT_EQ(server_.model().computed(), 0);
  }
  // The control of every table: the same server answers what is right, if on a new connection.
  ~HostileTest() override {
    EXPECT_TRUE(testing::Eventually([&] { return Encode(server_, TextRequest("a")).ok(); }));
  }

  TestServer server_;
};

TEST_F(HostileTest, BytesThatAreNoMessage) {
  const std::pair<const char*, std::string> rows[] = {
      {"a cut key", "\x80"},
      {"a cut number", "\x08\x80"},
      {"a number of 11 bytes", "\x08" + Repeat("\xff", 10) + "\x01"},
      {"4 of the 8 bytes of a number", "\x09" + Repeat("\x01", 4)},
      {"2 of the 4 bytes of a number", "\x0d\x01\x01"},
      {"a text longer than the message",
       "\x0a\x05"
       "ab"},
      {"a text of 4 GiB", "\x0a\xff\xff\xff\xff\x0f"},
      {"a length of 11 bytes", "\x0a" + Repeat("\xff", 10) + "\x01"},
      {"field 0", std::string("\x02\x00", 2)},
      {"wire type 6", "\x0e"},
      {"wire type 7", "\x0f"},
      {"the end of a group that never began", "\x0c"},
      {"a group without its end", "\x0b\x08\x01"},
      {"a group with another's end", "\x0b\x14"},
      {"200 groups within each other", Repeat("\x7b", 200) + Repeat("\x7c", 200)},
      {"noise", Repeat("\xde\xad\xbe\xef", 1000)},
  };
  for (const auto& [what, bytes] : rows) {
    for (const char* method : kMethods) {
      SCOPED_TRACE(std::string(what) + " to " + method);
      ExpectRefused(method, bytes, {.reason = "MALFORMED_REQUEST"});
    }
  }
}

struct TextField {
  const char* method;
  const char* field;
  std::shared_ptr<const Message> request;  // Has kPlaceholder in the field.
};

constexpr char kPlaceholder[] = "placeholder";

template <typename Request>
std::shared_ptr<const Message> With(const std::function<void(Request&, std::string)>& set) {
  auto request = std::make_shared<Request>();
  set(*request, kPlaceholder);
  return request;
}

std::vector<TextField> EncoderTexts() {
  using v1::EncodeRequest;
  using v1::SimilarityRequest;
  return {
      {kEncode, "model", With<EncodeRequest>([](auto& r, auto s) { r.set_model(s); })},
      {kEncode, "inputs[0].text",
       With<EncodeRequest>([](auto& r, auto s) { r.add_inputs()->set_text(s); })},
      {kEncode, "inputs[1].text_pair.first", With<EncodeRequest>([](auto& r, auto s) {
         r.add_inputs()->set_text("a");
         r.add_inputs()->mutable_text_pair()->set_first(s);
       })},
      {kEncode, "inputs[0].text_pair.second", With<EncodeRequest>([](auto& r, auto s) {
         r.add_inputs()->mutable_text_pair()->set_second(s);
       })},
      {kEncode, "options.prompt",
       With<EncodeRequest>([](auto& r, auto s) { r.mutable_options()->set_prompt(s); })},
      {kEncode, "options.prompt_name",
       With<EncodeRequest>([](auto& r, auto s) { r.mutable_options()->set_prompt_name(s); })},
      {kSimilarity, "sources[0].text",
       With<SimilarityRequest>([](auto& r, auto s) { r.add_sources()->set_text(s); })},
      {kSimilarity, "targets[0].text_pair.first", With<SimilarityRequest>([](auto& r, auto s) {
         r.add_targets()->mutable_text_pair()->set_first(s);
       })},
      {kTokenize, "inputs[0].text",
       With<v1::TokenizeRequest>([](auto& r, auto s) { r.add_inputs()->set_text(s); })},
      {kDetokenize, "model", With<v1::DetokenizeRequest>([](auto& r, auto s) { r.set_model(s); })},
      {kGetModel, "model", With<v1::GetModelRequest>([](auto& r, auto s) { r.set_model(s); })},
  };
}

std::vector<TextField> HeadTexts() {
  return {
      {kClassify, "inputs[0].text",
       With<v1::ClassifyRequest>([](auto& r, auto s) { r.add_inputs()->set_text(s); })},
      {kClassifyTokens, "options.ignored_labels[1]",
       With<v1::ClassifyTokensRequest>([](auto& r, auto s) {
         r.mutable_options()->add_ignored_labels("O");
         r.mutable_options()->add_ignored_labels(s);
       })},
      {kRerank, "query", With<v1::RerankRequest>([](auto& r, auto s) { r.set_query(s); })},
      {kRerank, "documents[2]", With<v1::RerankRequest>([](auto& r, auto s) {
         r.add_documents("a");
         r.add_documents("");
         r.add_documents(s);
       })},
      {kFillMask, "inputs[0].text_pair.second", With<v1::FillMaskRequest>([](auto& r, auto s) {
         r.add_inputs()->mutable_text_pair()->set_second(s);
       })},
      {kAnswer, "questions[0].question",
       With<v1::AnswerRequest>([](auto& r, auto s) { r.add_questions()->set_question(s); })},
      {kAnswer, "questions[0].context",
       With<v1::AnswerRequest>([](auto& r, auto s) { r.add_questions()->set_context(s); })},
  };
}

TEST_F(HostileTest, TextsThatAreNotUtf8) {
  // As long as the placeholder, so that no length around it changes.
  const std::pair<const char*, std::string> rows[] = {
      {"a byte that begins nothing", "placehold\xffr"},
      {"a cut code point at the end", "placehold\xe2\x82"},
      {"a continuation alone", "place\x80older"},
      {"an overlong slash",
       "place\xc0\xaf"
       "lder"},
      {"half a surrogate pair", "plac\xed\xa0\x80lder"},
      {"beyond U+10FFFF",
       "plac\xf4\x90\x80\x80"
       "der"},
  };
  std::vector<TextField> fields = EncoderTexts();
  for (TextField& field : HeadTexts()) fields.push_back(std::move(field));
  for (const TextField& field : fields) {
    const std::string whole = field.request->SerializeAsString();
    for (const auto& [what, text] : rows) {
      SCOPED_TRACE(std::string(what) + " in " + field.field + " to " + field.method);
      ASSERT_EQ(text.size(), sizeof(kPlaceholder) - 1);
      std::string bytes = whole;
      bytes.replace(bytes.find(kPlaceholder), text.size(), text);
      ExpectRefused(field.method, bytes, {.reason = "INVALID_UTF8", .field = field.field});
    }
  }
}

TEST_F(HostileTest, NumbersAsAWireCanHaveThem) {
  const std::string minus_one = Repeat("\xff", 9) + "\x01";
  const std::string least = "\x80\x80\x80\x80\xf8" + Repeat("\xff", 4) + "\x01";
  const auto ids = [](const std::string& packed) {
    const auto size = [](size_t bytes) { return std::string(1, static_cast<char>(bytes)); };
    const std::string list = "\x0a" + size(packed.size()) + packed;
    const std::string input = "\x1a" + size(list.size()) + list;
    return "\x12" + size(input.size()) + input;
  };
  const std::string field = "inputs[0].token_ids.ids";
  const std::pair<std::string, Expected> rows[] = {
      {ids(minus_one), {.reason = "ID_OUT_OF_RANGE", .field = field + "[0]"}},
      {ids("\x05" + minus_one), {.reason = "ID_OUT_OF_RANGE", .field = field + "[1]"}},
      {ids(least), {.reason = "ID_OUT_OF_RANGE", .field = field + "[0]"}},
      {ids("\xff\xff\xff\xff\x07"), {.reason = "ID_OUT_OF_RANGE", .field = field + "[0]"}},
      {ids(""), {.reason = "MISSING_FIELD", .field = field}},
      {ids("\x05\x80"), {.reason = "MALFORMED_REQUEST"}},
      // 10^9 ids, of which there are two.
      {"\x12\x09\x1a\x07\x0a\x80\x94\xeb\xdc\x03\x05", {.reason = "MALFORMED_REQUEST"}},
      // The last of a oneof's members counts: a text, then ids.
      {"\x12\x0a\x0a\x01"
       "a\x1a\x05\x0a\x03\x05\xff\x7f",
       {.reason = "ID_OUT_OF_RANGE", .field = field + "[1]"}},
      // Messages that come twice are merged: lists grow.
      {"\x12\x0c\x1a\x03\x0a\x01\x05\x1a\x05\x0a\x03\x05\xff\x7f",
       {.reason = "ID_OUT_OF_RANGE", .field = field + "[2]"}},
      // max_length -1, 0, 65; return_pooled false, twice.
      {"\x12\x03\x0a\x01"
       "a\x1a\x0b\x38" +
           minus_one,
       {.reason = "INVALID_VALUE", .field = "options.max_length"}},
      {std::string("\x12\x03\x0a\x01"
                   "a\x1a\x02\x38\x00",
                   9),
       {.reason = "INVALID_VALUE", .field = "options.max_length"}},
      {"\x12\x03\x0a\x01"
       "a\x1a\x02\x38\x41",
       {.reason = "INVALID_VALUE", .field = "options.max_length"}},
      {std::string("\x12\x03\x0a\x01"
                   "a\x1a\x04\x08\x01\x08\x00",
                   11),
       {.reason = "INVALID_VALUE", .field = "options"}},
  };
  for (size_t i = 0; i < std::size(rows); ++i) {
    SCOPED_TRACE(i);
    ExpectRefused(kEncode, rows[i].first, rows[i].second);
  }
}

TEST_F(HostileTest, AMessageOfNothing) {
  const std::pair<const char*, Expected> rows[] = {
      {kEncode, {.reason = "MISSING_FIELD", .field = "inputs"}},
      {kSimilarity, {.reason = "MISSING_FIELD", .field = "sources"}},
      {kAttend, {.reason = "MISSING_FIELD", .field = "query"}},
      {kSelfAttention, {.reason = "MISSING_FIELD", .field = "input"}},
      {kTokenize, {.reason = "MISSING_FIELD", .field = "inputs"}},
      {kDetokenize, {.reason = "MISSING_FIELD", .field = "inputs"}},
      {kClassify, {StatusCode::FAILED_PRECONDITION, "NOT_SUPPORTED_BY_MODEL"}},
      {kClassifyTokens, {StatusCode::FAILED_PRECONDITION, "NOT_SUPPORTED_BY_MODEL"}},
      {kRerank, {StatusCode::FAILED_PRECONDITION, "NOT_SUPPORTED_BY_MODEL"}},
      {kFillMask, {StatusCode::FAILED_PRECONDITION, "NOT_SUPPORTED_BY_MODEL"}},
      {kAnswer, {StatusCode::FAILED_PRECONDITION, "NOT_SUPPORTED_BY_MODEL"}},
  };
  for (const auto& [method, expected] : rows) {
    SCOPED_TRACE(method);
    ExpectRefused(method, "", expected);
  }
}

TEST_F(HostileTest, AModelOfAnyName) {
  for (const std::string& name : {std::string("other"), std::string(1, '\0'), std::string("stub\n"),
                                  std::string("../stub"), std::string(257, 'x')}) {
    for (const char* method : {kEncode, kSimilarity, kClassify, kClassifyTokens, kRerank, kFillMask,
                               kAnswer, kTokenize, kDetokenize, kGetModel}) {
      SCOPED_TRACE(method);
      v1::GetModelRequest request;  // The model's name is field 1 of each of them.
      request.set_model(name);
      ExpectRefused(method, request.SerializeAsString(),
                    {StatusCode::NOT_FOUND, "UNKNOWN_MODEL", "model"});
    }
  }
}

TEST_F(HostileTest, SizesAtAndBeyondTheirLimits) {
  const Limits limits;
  const auto texts = [](int count, size_t bytes) {
    v1::EncodeRequest request;
    for (int i = 0; i < count; ++i) request.add_inputs()->set_text(std::string(bytes, 'a'));
    return request.SerializeAsString();
  };
  const auto bytes = static_cast<size_t>(limits.text_bytes);
  ExpectRefused(kEncode, texts(33, 1), {.reason = "OVER_LIMIT", .field = "inputs"});
  ExpectRefused(kEncode, texts(1, bytes + 1), {.reason = "OVER_LIMIT", .field = "inputs[0].text"});
  ExpectRefused(kEncode, texts(4, bytes) + texts(1, 1),
                {.reason = "OVER_LIMIT", .field = "inputs"});
  ExpectRefused(kEncode, IdsRequest(5, 33).SerializeAsString(),
                {.reason = "TOO_LONG", .field = "inputs[0].token_ids.ids"});
  ExpectRefused(kEncode, IdsRequest(5, 1'000'000).SerializeAsString(),
                {.reason = "TOO_LONG", .field = "inputs[0].token_ids.ids"});
  ExpectRefused(kEncode, texts(1, static_cast<size_t>(limits.message_bytes)),
                {.reason = "OVER_LIMIT"});
  // Far over it, gRPC refuses by itself.
  const grpc::Status status = SendRaw(server_, kEncode, texts(1, 64 << 20));
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
}

// 16 MiB of one letter, in 16 KiB: nothing is inflated.
TEST_F(HostileTest, ACompressedBomb) {
  for (const grpc_compression_algorithm algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    v1::EncodeResponse response;
    const auto bomb = TextRequest(std::string(16 << 20, 'a'));
    EXPECT_EQ(server_.encoder().Encode(&context, bomb, &response).error_code(),
              StatusCode::UNIMPLEMENTED);
  }
}

// gRPC ends the call, or the connection with it.
TEST_F(HostileTest, MetadataBeyondItsLimit) {
  for (const int count : {1, 100}) {
    grpc::ClientContext context;
    for (int i = 0; i < count; ++i) {
      context.AddMetadata("x-" + std::to_string(i), std::string(9'000 / count, 'a'));
    }
    v1::EncodeResponse response;
    const grpc::Status status = server_.encoder().Encode(&context, TextRequest("a"), &response);
    EXPECT_TRUE(status.error_code() == StatusCode::RESOURCE_EXHAUSTED ||
                status.error_code() == StatusCode::UNAVAILABLE)
        << status.error_code() << ": " << status.error_message();
    EXPECT_EQ(server_.model().computed(), 0);
  }
}

}  // namespace
}  // namespace attnd
