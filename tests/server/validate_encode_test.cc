// Goal: every EncodeRequest that is wrong is refused with its reason, field and limit, and what is
// right becomes the tasks it means. Method: PlanEncode by itself, on a small tokenizer and a model
// that is only its facts; one table row for each way to be wrong.

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/input/tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/validate/encode.h"
#include "server/validate/error.h"
#include "server/validate/tensor.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kHidden = 4;

class ValidateEncodeTest : public ::testing::Test {
 protected:
  ValidateEncodeTest() {
    tokenizer_ = *Tokenizer::Load(testing::TinyTokenizer());
    const Tokenizer* tokenizer = tokenizer_.get();
    model_.name = "stub";
    model_.info.hidden = kHidden;
    model_.info.vocabulary = tokenizer->id_end();
    model_.info.token_types = 2;
    model_.info.length_max = 64;
    model_.info.length_default = 32;
    model_.info.pooling = Pooling::kCls;
    model_.info.normalize = true;
    model_.tokenize = [tokenizer](auto text, auto pair, const TokenizeOptions& options) {
      return tokenizer->Encode(text, pair, options);
    };
  }

  // Expects a refusal, and that its message begins with the field.
  void ExpectRefused(const v1::EncodeRequest& request, v1::ErrorReason reason,
                     const std::string& field, const std::string& says,
                     ReplyForm form = ReplyForm::kOneMessage) {
    const auto plan = PlanEncode(request, model_, limits_, form);
    ASSERT_FALSE(plan.ok()) << request.ShortDebugString();
    EXPECT_EQ(v1::ErrorReason_Name(ErrorReasonOf(plan.status())), v1::ErrorReason_Name(reason))
        << plan.status();
    EXPECT_EQ(plan.status().code(), CodeOf(reason));
    const std::string message(plan.status().message());
    EXPECT_EQ(message.substr(0, field.size() + 2), field + ": ") << message;
    EXPECT_THAT(message, HasSubstr(says));
  }

  v1::EncodeRequest Text(const std::string& text) {
    v1::EncodeRequest request;
    request.add_inputs()->set_text(text);
    return request;
  }
  v1::EncodeRequest Ids(const std::vector<int32_t>& ids) {
    v1::EncodeRequest request;
    auto* given = request.add_inputs()->mutable_token_ids();
    for (const int32_t id : ids) given->add_ids(id);
    return request;
  }
  v1::EncodeRequest Embeddings(int64_t rows, float value = 0.5f) {
    v1::EncodeRequest request;
    const std::vector<float> values(rows * kHidden, value);
    WriteFloats(values, std::vector<int64_t>{rows, kHidden},
                *request.add_inputs()->mutable_input_embeddings());
    return request;
  }

  std::unique_ptr<const Tokenizer> tokenizer_;
  ServedModel model_;
  Limits limits_;
};

const EncodeTask& TaskOf(const EncodePlan& plan, size_t index) {
  return std::get<EncodeTask>(plan.jobs[index]->task);
}

TEST_F(ValidateEncodeTest, DefaultsAreTheModelsAndAskForThePooledVectorAlone) {
  const auto plan = PlanEncode(Text("a b"), model_, limits_, ReplyForm::kOneMessage);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->jobs.size(), 1u);
  EXPECT_EQ(TaskOf(*plan, 0).pooling, Pooling::kCls);
  EXPECT_TRUE(TaskOf(*plan, 0).normalize);
  EXPECT_FALSE(TaskOf(*plan, 0).return_rows);
  EXPECT_FALSE(plan->choices.return_tokens);
  EXPECT_EQ(plan->jobs[0]->rows, 4);  // [CLS] a b [SEP]
}

TEST_F(ValidateEncodeTest, TokenVectorsBringTokensUnlessTheseAreDeclined) {
  v1::EncodeRequest request = Text("a");
  request.mutable_options()->set_return_token_vectors(true);
  EXPECT_TRUE(PlanEncode(request, model_, limits_, ReplyForm::kOneMessage)->choices.return_tokens);
  request.mutable_options()->set_return_tokens(false);
  EXPECT_FALSE(PlanEncode(request, model_, limits_, ReplyForm::kOneMessage)->choices.return_tokens);
}

TEST_F(ValidateEncodeTest, AnEmptyOrBlankTextIsItsSpecialTokens) {
  for (const char* text : {"", " ", "\n\t "}) {
    const auto plan = PlanEncode(Text(text), model_, limits_, ReplyForm::kOneMessage);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_THAT(TaskOf(*plan, 0).ids, ElementsAre(2, 3));
  }
}

TEST_F(ValidateEncodeTest, IdsAreUsedAsGivenAndCutOnRequestOnly) {
  const std::vector<int32_t> ids = {2, 5, 6, 7, 3};
  const auto whole = PlanEncode(Ids(ids), model_, limits_, ReplyForm::kOneMessage);
  EXPECT_EQ(TaskOf(*whole, 0).ids, ids);
  EXPECT_FALSE(whole->inputs[0].truncated);

  v1::EncodeRequest request = Ids(ids);
  request.mutable_options()->set_max_length(2);
  request.mutable_options()->set_truncation(v1::TRUNCATION_RIGHT);
  auto cut = PlanEncode(request, model_, limits_, ReplyForm::kOneMessage);
  EXPECT_THAT(TaskOf(*cut, 0).ids, ElementsAre(2, 5));
  EXPECT_TRUE(cut->inputs[0].truncated);
  request.mutable_options()->set_truncation(v1::TRUNCATION_LEFT);
  cut = PlanEncode(request, model_, limits_, ReplyForm::kOneMessage);
  EXPECT_THAT(TaskOf(*cut, 0).ids, ElementsAre(7, 3));
  request.mutable_options()->set_truncation(v1::TRUNCATION_ERROR);
  ExpectRefused(request, v1::ERROR_REASON_TOO_LONG, "inputs[0].token_ids.ids", "5 tokens");
}

TEST_F(ValidateEncodeTest, MaximumLengthReachesThePositionTableWhateverTheDefault) {
  ExpectRefused(Ids(std::vector<int32_t>(33, 5)), v1::ERROR_REASON_TOO_LONG,
                "inputs[0].token_ids.ids", "33 tokens are more than the maximum length 32");
  v1::EncodeRequest request = Ids(std::vector<int32_t>(64, 5));
  request.mutable_options()->set_max_length(64);
  EXPECT_TRUE(PlanEncode(request, model_, limits_, ReplyForm::kOneMessage).ok());
  for (const int32_t length : {0, -1, 65}) {
    request.mutable_options()->set_max_length(length);
    ExpectRefused(request, v1::ERROR_REASON_INVALID_VALUE, "options.max_length", "64");
  }
}

TEST_F(ValidateEncodeTest, WrongInputsAreRefusedByKind) {
  ExpectRefused({}, v1::ERROR_REASON_MISSING_FIELD, "inputs", "at least one");
  v1::EncodeRequest none;
  none.add_inputs();
  ExpectRefused(none, v1::ERROR_REASON_MISSING_FIELD, "inputs[0]", "no kind");

  v1::EncodeRequest unknown;  // Field 5, which no version knows yet.
  unknown.add_inputs()->ParseFromString(std::string("\x2a\x01x", 3));
  ExpectRefused(unknown, v1::ERROR_REASON_MISSING_FIELD, "inputs[0]", "does not know");

  ExpectRefused(Ids({}), v1::ERROR_REASON_MISSING_FIELD, "inputs[0].token_ids.ids", "one id");
  const int32_t end = model_.info.vocabulary;
  ExpectRefused(Ids({2, end}), v1::ERROR_REASON_ID_OUT_OF_RANGE, "inputs[0].token_ids.ids[1]",
                std::to_string(end) + " is not between 0 and " + std::to_string(end - 1));
  ExpectRefused(Ids({-1}), v1::ERROR_REASON_ID_OUT_OF_RANGE, "inputs[0].token_ids.ids[0]", "-1");

  v1::EncodeRequest types = Ids({2, 3});
  types.mutable_inputs(0)->mutable_token_ids()->add_type_ids(0);
  ExpectRefused(types, v1::ERROR_REASON_INVALID_SHAPE, "inputs[0].token_ids.type_ids", "1 type");
  types.mutable_inputs(0)->mutable_token_ids()->add_type_ids(2);
  ExpectRefused(types, v1::ERROR_REASON_ID_OUT_OF_RANGE, "inputs[0].token_ids.type_ids[1]", "2");
}

TEST_F(ValidateEncodeTest, TheSecondInputIsNamedWhenItIsTheOneThatIsWrong) {
  v1::EncodeRequest request = Text("a");
  request.add_inputs()->mutable_token_ids()->add_ids(-5);
  ExpectRefused(request, v1::ERROR_REASON_ID_OUT_OF_RANGE, "inputs[1].token_ids.ids[0]", "-5");
}

TEST_F(ValidateEncodeTest, TextsAreBoundInBytesBeforeAndInTokensAfterTokenization) {
  limits_.text_bytes = 10;
  bool tokenized = false;
  auto tokenize = model_.tokenize;
  model_.tokenize = [&](auto text, auto pair, const TokenizeOptions& options) {
    tokenized = true;
    return tokenize(text, pair, options);
  };
  ExpectRefused(Text("abcdefghijk"), v1::ERROR_REASON_OVER_LIMIT, "inputs[0].text",
                "11 bytes of text are more than the limit of 10");
  v1::EncodeRequest pair;
  pair.add_inputs()->mutable_text_pair()->set_first("abcdef");
  pair.mutable_inputs(0)->mutable_text_pair()->set_second("abcdef");
  ExpectRefused(pair, v1::ERROR_REASON_OVER_LIMIT, "inputs[0].text_pair", "12 bytes");
  EXPECT_FALSE(tokenized);

  v1::EncodeRequest request = Text("a b c");
  request.mutable_options()->set_max_length(4);
  ExpectRefused(request, v1::ERROR_REASON_TOO_LONG, "inputs[0].text", "4");
  request.mutable_options()->set_truncation(v1::TRUNCATION_RIGHT);
  EXPECT_TRUE(PlanEncode(request, model_, limits_, ReplyForm::kOneMessage)->inputs[0].truncated);
}

TEST_F(ValidateEncodeTest, NoTokensAtAllIsRefused) {
  v1::EncodeRequest request = Text("");
  request.mutable_options()->set_add_special_tokens(false);
  ExpectRefused(request, v1::ERROR_REASON_INVALID_VALUE, "inputs[0].text", "no tokens");
}

TEST_F(ValidateEncodeTest, EmbeddingsHaveTheModelsWidthAndAreFinite) {
  EXPECT_TRUE(PlanEncode(Embeddings(3), model_, limits_, ReplyForm::kOneMessage).ok());
  const std::string field = "inputs[0].input_embeddings";
  ExpectRefused(Embeddings(33), v1::ERROR_REASON_TOO_LONG, field, "33");
  ExpectRefused(Embeddings(2, std::nanf("")), v1::ERROR_REASON_NOT_FINITE, field + ".data",
                "element 0 is NaN");
  ExpectRefused(Embeddings(2, INFINITY), v1::ERROR_REASON_NOT_FINITE, field + ".data", "+Inf");
  const auto broken = [&](auto&& change) {
    v1::EncodeRequest request = Embeddings(2);
    change(*request.mutable_inputs(0)->mutable_input_embeddings());
    return request;
  };
  constexpr auto kShape = v1::ERROR_REASON_INVALID_SHAPE;
  ExpectRefused(broken([](auto& t) { t.set_dtype(v1::DATA_TYPE_INT8); }), kShape, field + ".dtype",
                "DATA_TYPE_INT8 is given");
  ExpectRefused(broken([](auto& t) { t.set_dtype(static_cast<v1::DataType>(77)); }), kShape,
                field + ".dtype", "77 is given");
  ExpectRefused(broken([](auto& t) { t.add_shape(1); }), kShape, field + ".shape", "3 dimensions");
  ExpectRefused(broken([](auto& t) { t.set_shape(0, 4), t.set_shape(1, 2); }), kShape,
                field + ".shape", "[4, 2] is given, [4, 4] wanted");
  ExpectRefused(broken([](auto& t) { t.set_shape(0, 0); }), kShape, field + ".shape[0]", "0");
  ExpectRefused(broken([](auto& t) { t.mutable_data()->pop_back(); }), kShape, field + ".data",
                "31 bytes");
  ExpectRefused(broken([](auto& t) { t.set_shape(0, std::numeric_limits<int64_t>::max()); }),
                kShape, field + ".data", "32 bytes");
}

TEST_F(ValidateEncodeTest, UnknownChoicesAreRefusedEachByItsName) {
  const auto with = [&](auto&& set) {
    v1::EncodeRequest request = Text("a");
    set(*request.mutable_options());
    return request;
  };
  constexpr auto kInvalid = v1::ERROR_REASON_INVALID_VALUE;
  ExpectRefused(with([](auto& o) { o.set_pooling(static_cast<v1::Pooling>(99)); }), kInvalid,
                "options.pooling", "99");
  ExpectRefused(with([](auto& o) { o.set_truncation(static_cast<v1::Truncation>(99)); }), kInvalid,
                "options.truncation", "99");
  ExpectRefused(with([](auto& o) { o.set_offset_unit(static_cast<v1::OffsetUnit>(99)); }), kInvalid,
                "options.offset_unit", "99");
  ExpectRefused(with([](auto& o) { o.set_return_pooled(false); }), kInvalid, "options",
                "to be returned");
  ExpectRefused(with([](auto& o) { o.set_pooling(v1::POOLING_POOLER); }),
                v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL, "options.pooling", "no pooler");
}

TEST_F(ValidateEncodeTest, AModelWithoutATokenizerTakesIdsOnly) {
  model_.tokenize = nullptr;
  ExpectRefused(Text("a"), v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL, "inputs[0].text",
                "no tokenizer");
  EXPECT_TRUE(PlanEncode(Ids({2}), model_, limits_, ReplyForm::kOneMessage).ok());
}

TEST_F(ValidateEncodeTest, CountsAndSizesBeyondALimitAreRefusedWithTheLimit) {
  v1::EncodeRequest request;
  for (int i = 0; i < 33; ++i) request.add_inputs()->set_text("a");
  ExpectRefused(request, v1::ERROR_REASON_OVER_LIMIT, "inputs", "33 inputs");
  request.mutable_inputs()->RemoveLast();
  EXPECT_TRUE(PlanEncode(request, model_, limits_, ReplyForm::kOneMessage).ok());
  limits_.queue_requests = 31;
  ExpectRefused(request, v1::ERROR_REASON_OVER_LIMIT, "inputs", "31 (queue-requests)");
  limits_.queue_requests = 32;
  limits_.queue_tokens = 95;
  ExpectRefused(request, v1::ERROR_REASON_OVER_LIMIT, "inputs", "96 tokens");
  limits_.queue_tokens = 96;
  limits_.queue_bytes = 100;
  ExpectRefused(request, v1::ERROR_REASON_OVER_LIMIT, "inputs", "queue-bytes");
}

TEST_F(ValidateEncodeTest, AReplyTooLargeForOneMessagePointsAtTheStream) {
  limits_.message_bytes = 2000;
  v1::EncodeRequest request = Ids(std::vector<int32_t>(32, 5));
  for (int i = 0; i < 3; ++i) *request.add_inputs() = request.inputs(0);
  request.mutable_options()->set_return_token_vectors(true);
  request.mutable_options()->set_return_tokens(false);
  ExpectRefused(request, v1::ERROR_REASON_REPLY_TOO_LARGE, "inputs", "EncodeStream");
  EXPECT_TRUE(PlanEncode(request, model_, limits_, ReplyForm::kParts).ok());
  limits_.message_bytes = 700;
  ExpectRefused(request, v1::ERROR_REASON_REPLY_TOO_LARGE, "inputs[0]", "message-bytes",
                ReplyForm::kParts);
}

TEST_F(ValidateEncodeTest, TextsAreBoundTogetherBeforeAnyIsTokenized) {
  limits_.request_text_bytes = 10;
  v1::EncodeRequest request = Text("abcde");
  request.add_inputs()->mutable_text_pair()->set_first("abc");
  request.mutable_inputs(1)->mutable_text_pair()->set_second("de");
  EXPECT_TRUE(PlanEncode(request, model_, limits_, ReplyForm::kOneMessage).ok());
  request.add_inputs()->set_text("a");
  model_.tokenize = [](auto, auto, const TokenizeOptions&) -> absl::StatusOr<Tokenized> {
    ADD_FAILURE() << "tokenized";
    return Tokenized{};
  };
  ExpectRefused(request, v1::ERROR_REASON_OVER_LIMIT, "inputs",
                "11 bytes of text are more than the limit of 10 (request-text-bytes)");
}

TEST_F(ValidateEncodeTest, OutputsAreCountedAndNotAllocated) {
  v1::EncodeRequest request = Ids({2, 5, 3});
  request.mutable_options()->set_return_token_vectors(true);
  const auto plan = PlanEncode(request, model_, limits_, ReplyForm::kOneMessage);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(TaskOf(*plan, 0).rows_out.capacity(), 0u);
  EXPECT_EQ(TaskOf(*plan, 0).pooled_out.capacity(), 0u);
  EXPECT_EQ(plan->jobs[0]->bytes, sizeof(float) * (3 + 3 * kHidden + kHidden));
}

TEST_F(ValidateEncodeTest, AReplyThatCannotFitStopsTheWorkForIt) {
  limits_.message_bytes = 2000;
  int tokenized = 0;
  auto tokenize = model_.tokenize;
  model_.tokenize = [&](auto text, auto pair, const TokenizeOptions& options) {
    ++tokenized;
    return tokenize(text, pair, options);
  };
  v1::EncodeRequest request;
  for (int i = 0; i < 32; ++i) request.add_inputs()->set_text("a a a a a a a a a a a a a a a a");
  request.mutable_options()->set_return_token_vectors(true);
  request.mutable_options()->set_return_tokens(false);
  ExpectRefused(request, v1::ERROR_REASON_REPLY_TOO_LARGE, "inputs", "EncodeStream");
  EXPECT_LT(tokenized, 8);
}

}  // namespace
}  // namespace attnd
