// Goal: prompts are put before single texts and leave offsets, spans and other inputs alone.
// Method: a server on a real port with a model that has prompts, and the same texts with the prompt
// written into them.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/encode_support.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::EncodeOne;
using testing::FieldIn;
using ::testing::HasSubstr;
using testing::IdsRequest;
using testing::NumberedServer;
using testing::ReasonIn;
using testing::TextRequest;

void GivePrompts(ServedModel& model) {
  model.info.prompts = {{"query", "the "}, {"document", "on mat "}, {"none", ""}};
  model.info.default_prompt_name = "query";
}

v1::EncodeRequest Request(std::string_view text) {
  v1::EncodeRequest request = TextRequest(text);
  request.mutable_options()->set_return_tokens(true);
  return request;
}

class PromptTest : public ::testing::Test {
 protected:
  // The ids and the pooled vector are those of `text` without any prompt.
  void ExpectSameAs(const v1::EncodeRequest& request, std::string_view text) {
    v1::EncodeRequest plain = Request(text);
    plain.mutable_options()->set_prompt("");
    const v1::Encoding given = EncodeOne(server_, request), expected = EncodeOne(server_, plain);
    EXPECT_EQ(std::vector<int32_t>(given.tokens().ids().begin(), given.tokens().ids().end()),
              std::vector<int32_t>(expected.tokens().ids().begin(), expected.tokens().ids().end()));
    EXPECT_EQ(given.pooled().data(), expected.pooled().data());
  }
  NumberedServer server_{NumberedServer::DefaultConfig(), GivePrompts};
};

TEST_F(PromptTest, TheDefaultTheNamedAndTheCallersOwnArePutBeforeTheText) {
  v1::EncodeRequest request = Request("cat");
  ExpectSameAs(request, "the cat");
  request.mutable_options()->set_prompt_name("document");
  ExpectSameAs(request, "on mat cat");
  request.mutable_options()->set_prompt_name("none");
  ExpectSameAs(request, "cat");
  request.mutable_options()->clear_prompt_name();
  request.mutable_options()->set_prompt("dog: ");
  ExpectSameAs(request, "dog: cat");
  request.mutable_options()->set_prompt("");
  ExpectSameAs(request, "cat");
}

TEST_F(PromptTest, OffsetsWordsAndSpansAreThoseOfTheTextAlone) {
  for (const auto& [unit, length] : {std::pair(v1::OFFSET_UNIT_BYTE, 4),
                                     {v1::OFFSET_UNIT_CODE_POINT, 1},
                                     {v1::OFFSET_UNIT_UTF16, 2}}) {
    v1::EncodeRequest request = Request("\xF0\x9F\x98\x80 cats");
    auto& options = *request.mutable_options();
    options.set_prompt("\xF0\x9F\x98\x80 on ");
    options.set_offset_unit(unit);
    options.mutable_spans()->set_kind(v1::SPAN_KIND_WORDS);
    // [CLS] [UNK] on [UNK] cat ##s [SEP]
    const v1::Encoding encoding = EncodeOne(server_, request);
    const v1::Tokens& tokens = encoding.tokens();
    EXPECT_THAT(tokens.starts(), ElementsAre(0, 0, 0, 0, length + 1, length + 4, 0));
    EXPECT_THAT(tokens.ends(), ElementsAre(0, 0, 0, length, length + 4, length + 5, 0));
    EXPECT_THAT(tokens.text_indices(), ElementsAre(-1, -1, -1, 0, 0, 0, -1));
    EXPECT_THAT(tokens.word_ids(), ElementsAre(-1, -1, -1, 0, 1, 1, -1));
    EXPECT_THAT(tokens.special(), ElementsAre(true, false, false, false, false, false, true));
    ASSERT_EQ(encoding.spans_size(), 2);
    EXPECT_EQ(encoding.spans(0).first_token(), 3);
    EXPECT_EQ(encoding.spans(1).start(), length + 1);
    EXPECT_EQ(encoding.spans(1).end(), length + 5);
  }
}

// The tokenizer's own word numbers, which truncation leaves as they are.
TEST(PromptWordsTest, AreCountedFromTheTextsFirstWordEvenWhereItIsDropped) {
  const auto tokenizer = Tokenizer::Load(testing::TinyTokenizer());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  NumberedServer server(NumberedServer::DefaultConfig(), [&](ServedModel& model) {
    model.tokenize = [&](auto text, auto pair, const TokenizeOptions& options) {
      return (*tokenizer)->Encode(text, pair, options);
    };
  });
  v1::EncodeRequest request = Request("a b cats");
  auto& options = *request.mutable_options();
  options.set_truncation(v1::TRUNCATION_LEFT);
  const auto words = [&](const char* prompt, int32_t length) {
    options.set_prompt(prompt);
    options.set_max_length(length);
    const auto ids = EncodeOne(server, request).tokens().word_ids();
    return std::vector<int32_t>(ids.begin(), ids.end());
  };
  // [CLS] the on a b cat ##s [SEP]
  EXPECT_THAT(words("the on ", 8), ElementsAre(-1, -1, -1, 0, 1, 2, 2, -1));
  EXPECT_THAT(words("the on ", 7), ElementsAre(-1, -1, 0, 1, 2, 2, -1));
  EXPECT_THAT(words("the on ", 5), ElementsAre(-1, 1, 2, 2, -1));
  EXPECT_THAT(words("the on ", 3), ElementsAre(-1, 2, -1));
  EXPECT_THAT(words("", 4), ElementsAre(-1, 2, 2, -1));
  options.set_truncation(v1::TRUNCATION_RIGHT);
  EXPECT_THAT(words("the on ", 6), ElementsAre(-1, -1, -1, 0, 1, -1));
}

TEST_F(PromptTest, RangesAreCheckedAgainstTheTextAlone) {
  v1::EncodeRequest request = Request("cat");
  request.mutable_options()->mutable_spans()->set_kind(v1::SPAN_KIND_RANGES);
  v1::Range& range = *request.add_ranges()->add_ranges();
  range.set_end(3);
  EXPECT_EQ(EncodeOne(server_, request).spans(0).first_token(), 2);
  range.set_end(4);
  EXPECT_EQ(FieldIn(Encode(server_, request).error_details()), "ranges[0].ranges[0].end");
}

TEST_F(PromptTest, OtherInputsHaveNoneUnlessOneIsAskedFor) {
  v1::EncodeRequest pair;
  pair.add_inputs()->mutable_text_pair()->set_first("a");
  v1::EncodeRequest embeddings;
  v1::Tensor& tensor = *embeddings.add_inputs()->mutable_input_embeddings();
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  tensor.add_shape(1);
  tensor.add_shape(testing::kHidden);
  tensor.set_data(std::string(testing::kHidden * sizeof(float), '\0'));
  for (v1::EncodeRequest request : {IdsRequest(5, 2), pair, embeddings}) {
    const v1::Encoding plain = EncodeOne(server_, request);
    request.mutable_options()->set_prompt("");
    EXPECT_EQ(EncodeOne(server_, request).pooled().data(), plain.pooled().data());
    request.mutable_options()->set_prompt("x");
    grpc::Status status = Encode(server_, request);
    EXPECT_EQ(ReasonIn(status.error_details()), "INVALID_VALUE");
    EXPECT_EQ(FieldIn(status.error_details()), "inputs[0]");
    request.mutable_options()->clear_prompt();
    request.mutable_options()->set_prompt_name("query");
    EXPECT_EQ(FieldIn(Encode(server_, request).error_details()), "inputs[0]");
  }
}

TEST_F(PromptTest, NamesThatAreNoneAreRefused) {
  v1::EncodeRequest request = Request("cat");
  request.mutable_options()->set_prompt_name("other");
  grpc::Status status = Encode(server_, request);
  EXPECT_EQ(ReasonIn(status.error_details()), "INVALID_VALUE");
  EXPECT_EQ(FieldIn(status.error_details()), "options.prompt_name");
  EXPECT_THAT(status.error_message(), HasSubstr("\"other\""));
  request.mutable_options()->set_prompt_name("query");
  request.mutable_options()->set_prompt("x");
  EXPECT_EQ(FieldIn(Encode(server_, request).error_details()), "options.prompt");

  NumberedServer without;
  request.mutable_options()->clear_prompt();
  status = Encode(without, request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonIn(status.error_details()), "NOT_SUPPORTED_BY_MODEL");
}

TEST_F(PromptTest, APromptCountsAsText) {
  Config config = NumberedServer::DefaultConfig();
  config.limits.text_bytes = 10;
  config.limits.request_text_bytes = 12;
  NumberedServer server(config, GivePrompts);
  v1::EncodeRequest request = Request("abcdef");
  EXPECT_TRUE(Encode(server, request).ok());
  request.mutable_inputs(0)->set_text("abcdefg");
  EXPECT_EQ(FieldIn(Encode(server, request).error_details()), "inputs[0].text");
  request.mutable_inputs(0)->set_text("ab");
  *request.add_inputs() = request.inputs(0);
  EXPECT_TRUE(Encode(server, request).ok());
  request.mutable_inputs(0)->set_text("abc");
  EXPECT_EQ(FieldIn(Encode(server, request).error_details()), "inputs");
}

TEST_F(PromptTest, ModelsSayWhichTheyHave) {
  v1::ListModelsResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(server_.models().ListModels(&context, {}, &response).ok());
  EXPECT_EQ(response.models(0).prompts().at("document"), "on mat ");
  EXPECT_EQ(response.models(0).default_prompt_name(), "query");
  EXPECT_EQ(response.models(0).limits().layers_per_request(), 16);
  EXPECT_EQ(response.models(0).limits().attention_map_scores(), 1 << 20);
  EXPECT_EQ(response.models(0).limits().spans_per_input(), 512);
}

}  // namespace
}  // namespace attnd
