// Goal: an option never changes another's numbers, no reply is larger than it was said to be, and a
// stream's parts are the unary reply to the bit. Method: every pair of outputs under every option
// that changes how they are made, on a server on a real port, compared field by field as bytes.

#include <algorithm>
#include <functional>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/represent/encoding.h"
#include "server/validate/encode.h"
#include "server/validate/encode_size.h"
#include "tests/server/encode_support.h"

namespace attnd {
namespace {

using testing::NumberedServer;
using testing::TextRequest;

struct Option {
  const char* name;
  std::function<void(v1::EncodeOptions&)> set;
  // The fields of Encoding that it brings.
  std::vector<int> fields = {};
};

std::vector<Option> Outputs() {
  using E = v1::Encoding;
  return {
      {"pooled", [](auto& o) { o.set_return_pooled(true); }, {E::kPooledFieldNumber}},
      {"token vectors",
       [](auto& o) { o.set_return_token_vectors(true); },
       {E::kTokenVectorsFieldNumber}},
      {"tokens", [](auto& o) { o.set_return_tokens(true); }, {E::kTokensFieldNumber}},
      {"hidden layers",
       [](auto& o) {
         for (const int layer : {0, -1}) o.mutable_hidden_layers()->add_layers(layer);
       },
       {E::kHiddenLayersFieldNumber}},
      {"attention",
       [](auto& o) {
         o.mutable_attention()->add_layers(1);
         o.mutable_attention()->set_return_scores(true);
       },
       {E::kAttentionFieldNumber}},
      {"spans",
       [](auto& o) { o.mutable_spans()->set_kind(v1::SPAN_KIND_WORDS); },
       {E::kSpansFieldNumber, E::kSpanVectorsFieldNumber}},
      {"sparse", [](auto& o) { o.set_return_sparse(true); }, {E::kSparseFieldNumber}},
      {"multi-vectors",
       [](auto& o) { o.set_return_multi_vector(true); },
       {E::kMultiVectorsFieldNumber}},
  };
}

// What changes how the outputs are made.
std::vector<Option> Ways() {
  return {
      {"plain", [](auto&) {}},
      {"normalize", [](auto& o) { o.set_normalize(true); }},
      {"cls", [](auto& o) { o.set_pooling(v1::POOLING_CLS); }},
      {"pooler", [](auto& o) { o.set_pooling(v1::POOLING_POOLER); }},
      {"truncation",
       [](auto& o) {
         o.set_truncation(v1::TRUNCATION_LEFT);
         o.set_max_length(6);
       }},
      {"no special tokens", [](auto& o) { o.set_add_special_tokens(false); }},
      {"bytes", [](auto& o) { o.set_offset_unit(v1::OFFSET_UNIT_BYTE); }},
      {"windows", [](auto& o) { o.mutable_windows()->set_length(5); }},
      {"float16", [](auto& o) { o.set_vector_encoding(v1::VECTOR_ENCODING_FLOAT16); }},
      {"int8", [](auto& o) { o.set_vector_encoding(v1::VECTOR_ENCODING_INT8); }},
      {"binary", [](auto& o) { o.set_vector_encoding(v1::VECTOR_ENCODING_BINARY); }},
      {"dimensions",
       [](auto& o) {
         o.set_dimensions(3);
         o.set_normalize(true);
       }},
      {"prompt", [](auto& o) { o.set_prompt("on "); }},
      {"drop special tokens", [](auto& o) { o.set_drop_special_tokens(true); }},
  };
}

// The bytes of these fields alone, as the wire has them.
std::string BytesOf(const v1::Encoding& encoding, const std::vector<int>& fields) {
  v1::Encoding chosen;
  const auto* descriptor = v1::Encoding::descriptor();
  chosen.CopyFrom(encoding);
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* field = descriptor->field(i);
    if (std::find(fields.begin(), fields.end(), field->number()) == fields.end()) {
      chosen.GetReflection()->ClearField(&chosen, field);
    }
  }
  // These come along once tokens are returned.
  if (chosen.has_sparse()) chosen.mutable_sparse()->clear_tokens();
  return chosen.SerializeAsString();
}

v1::EncodeRequest Request(const std::vector<const Option*>& options) {
  v1::EncodeRequest request = TextRequest("the cats sat on mat");
  request.mutable_options()->set_return_pooled(false);
  for (const Option* option : options) option->set(*request.mutable_options());
  return request;
}

bool Excludes(const Option& way, const Option& output) {
  return std::string(way.name) == "windows" && std::string(output.name) == "attention";
}

class OptionsTest : public ::testing::Test {
 protected:
  // The reply, whose size is checked against what was planned for it.
  v1::Encoding Encode(const v1::EncodeRequest& request) {
    v1::EncodeResponse response;
    const grpc::Status status = testing::Encode(server_, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message() << request.ShortDebugString();
    const auto plan = PlanEncode(request, server_.served(), limits_, ReplyForm::kOneMessage);
    if (!plan.ok() || response.encodings_size() != 1) return {};
    const PlannedInput& input = plan->inputs[0];
    const int64_t rows = plan->choices.return_token_vectors ? input.rows_sent() : 0;
    EXPECT_LE(static_cast<int64_t>(response.ByteSizeLong()),
              kResponseBytes + input.fixed_bytes + rows * RowBytes(plan->choices))
        << request.ShortDebugString();
    return response.encodings(0);
  }
  NumberedServer server_;
  Limits limits_;
};

TEST_F(OptionsTest, AnOutputIsTheSameWhateverElseIsAskedForWithIt) {
  for (const Option& way : Ways()) {
    const std::vector<Option> outputs = Outputs();
    std::map<const Option*, std::string> alone;
    for (const Option& output : outputs) {
      if (Excludes(way, output)) continue;
      const v1::Encoding encoding = Encode(Request({&way, &output}));
      alone[&output] = BytesOf(encoding, output.fields);
      EXPECT_NE(alone[&output], "") << way.name << ", " << output.name;
    }
    for (const auto& [first, first_bytes] : alone) {
      for (const auto& [second, second_bytes] : alone) {
        if (first >= second) continue;
        const v1::Encoding both = Encode(Request({&way, first, second}));
        EXPECT_EQ(BytesOf(both, first->fields), first_bytes)
            << way.name << ": " << first->name << " with " << second->name;
        EXPECT_EQ(BytesOf(both, second->fields), second_bytes)
            << way.name << ": " << second->name << " with " << first->name;
      }
    }
  }
}

TEST_F(OptionsTest, WaysThatDoNotConcernAnOutputLeaveItAlone) {
  const std::vector<Option> outputs = Outputs();
  for (const Option& way : Ways()) {
    const std::string name = way.name;
    for (const Option& output : outputs) {
      const std::string what = output.name;
      const bool vectors = what == "pooled" || what == "token vectors" || what == "spans";
      const bool unconcerned =
          ((name == "normalize" || name == "dimensions") && !vectors) ||
          ((name == "cls" || name == "pooler") && what != "pooled") ||
          ((name == "float16" || name == "int8" || name == "binary") && !vectors &&
           what != "multi-vectors") ||
          (name == "drop special tokens" && what != "token vectors" && what != "multi-vectors") ||
          (name == "bytes");  // Of a text in ASCII.
      if (!unconcerned) continue;
      EXPECT_EQ(BytesOf(Encode(Request({&way, &output})), output.fields),
                BytesOf(Encode(Request({&output})), output.fields))
          << name << ", " << what;
    }
  }
}

// The vectors of a reply in FLOAT32, encoded here.
v1::Tensor Encoded(const v1::Tensor& plain, VectorEncoding encoding) {
  const std::vector<float> numbers = testing::FloatsOf(plain);
  const int64_t width = plain.shape(plain.shape_size() - 1);
  v1::Tensor tensor;
  SetShape(encoding, {plain.shape().data(), static_cast<size_t>(plain.shape_size())}, tensor);
  AppendVectors({numbers.data(), static_cast<int64_t>(numbers.size()) / width, width, width},
                encoding, tensor);
  return tensor;
}

TEST_F(OptionsTest, AnEncodingIsOfTheNumbersThatWouldBeSentWithoutIt) {
  for (const Option& way : Ways()) {
    v1::EncodeRequest request = Request({&way});
    v1::EncodeOptions& options = *request.mutable_options();
    if (options.vector_encoding() != v1::VECTOR_ENCODING_UNSPECIFIED) continue;
    options.set_return_pooled(true);
    options.set_return_token_vectors(true);
    options.set_return_multi_vector(true);
    options.mutable_spans()->set_kind(v1::SPAN_KIND_WORDS);
    const v1::Encoding plain = Encode(request);
    for (const auto& [wanted, encoding] :
         {std::pair(v1::VECTOR_ENCODING_FLOAT16, VectorEncoding::kFloat16),
          {v1::VECTOR_ENCODING_BFLOAT16, VectorEncoding::kBfloat16},
          {v1::VECTOR_ENCODING_INT8, VectorEncoding::kInt8},
          {v1::VECTOR_ENCODING_BINARY, VectorEncoding::kBit}}) {
      options.set_vector_encoding(wanted);
      const v1::Encoding sent = Encode(request);
      for (const auto& [from, to] : {std::pair(plain.token_vectors(), sent.token_vectors()),
                                     {plain.pooled(), sent.pooled()},
                                     {plain.span_vectors(), sent.span_vectors()},
                                     {plain.multi_vectors(), sent.multi_vectors()}}) {
        EXPECT_EQ(to.SerializeAsString(), Encoded(from, encoding).SerializeAsString()) << way.name;
      }
    }
  }
}

TEST_F(OptionsTest, AnyTwoWaysGoTogetherOrAreRefusedByName) {
  const std::vector<Option> ways = Ways();
  const std::vector<Option> outputs = Outputs();
  for (const Option& first : ways) {
    for (const Option& second : ways) {
      std::vector<const Option*> options = {&first, &second};
      for (const Option& output : outputs) {
        if (!Excludes(first, output) && !Excludes(second, output)) options.push_back(&output);
      }
      const v1::EncodeRequest request = Request(options);
      if (request.options().has_windows() && request.options().truncation() != 0) {
        const grpc::Status status = testing::Encode(server_, request);
        EXPECT_EQ(testing::FieldIn(status.error_details()), "options.windows");
      } else {
        EXPECT_TRUE(Encode(request).has_pooled()) << first.name << ", " << second.name;
      }
    }
  }
}

TEST_F(OptionsTest, AJobsBytesAreThoseOfItsInputAndOutputs) {
  const std::vector<Option> outputs = Outputs();
  for (const Option& way : Ways()) {
    for (const Option& output : outputs) {
      if (Excludes(way, output)) continue;
      const auto plan =
          PlanEncode(Request({&way, &output}), server_.served(), limits_, ReplyForm::kOneMessage);
      ASSERT_TRUE(plan.ok()) << plan.status();
      for (const auto& job : plan->jobs) {
        auto& task = std::get<EncodeTask>(job->task);
        EXPECT_EQ(task.rows_out.capacity() + task.hidden_out.capacity(), 0u);
        server_.served().size_outputs(task);
        const size_t numbers =
            task.ids.size() + task.types.size() + task.rows_out.size() + task.pooled_out.size() +
            task.hidden_out.size() + task.attention_weights_out.size() +
            task.attention_scores_out.size() + task.sparse_out.size() + task.projection_out.size();
        EXPECT_EQ(job->bytes, numbers * sizeof(float)) << way.name << ", " << output.name;
      }
    }
  }
}

// A stream's parts put together again: token vectors are continued, all else comes once.
std::vector<v1::Encoding> Joined(const std::vector<v1::EncodeStreamResponse>& parts) {
  std::vector<v1::Encoding> encodings;
  for (const v1::EncodeStreamResponse& part : parts) {
    for (const v1::Encoding& encoding : part.response().encodings()) {
      if (encoding.input_index() == static_cast<int>(encodings.size())) {
        encodings.push_back(encoding);
        continue;
      }
      v1::Encoding rest = encoding;
      v1::Tensor& all = *encodings.back().mutable_token_vectors();
      EXPECT_EQ(rest.first_row(), all.shape(0));
      all.set_shape(0, all.shape(0) + rest.token_vectors().shape(0));
      all.mutable_data()->append(rest.token_vectors().data());
      all.mutable_scales()->MergeFrom(rest.token_vectors().scales());
      rest.clear_token_vectors();
      rest.clear_first_row();
      rest.clear_input_index();
      EXPECT_EQ(rest.ByteSizeLong(), 0u) << "sent twice";
    }
  }
  return encodings;
}

TEST_F(OptionsTest, AStreamsPartsAreTheUnaryReplyToTheBit) {
  constexpr int64_t kMessageBytes = 3000;
  Config config = NumberedServer::DefaultConfig();
  config.limits.message_bytes = kMessageBytes;
  NumberedServer small(config);
  const std::vector<Option> outputs = Outputs();
  for (const Option& way : Ways()) {
    for (const Option& output : outputs) {
      if (Excludes(way, output)) continue;
      v1::EncodeRequest request = Request({&way, &output, &outputs[0], &outputs[1]});
      for (int i = 0; i < 4; ++i) *request.add_inputs() = request.inputs(0);
      request.mutable_inputs(2)->set_text(
          "a b c d e f g h i j k l m n o p q r s t u v w x y z the cat");
      request.mutable_options()->set_return_tokens(std::string(output.name) == "tokens");
      v1::EncodeResponse unary;
      const grpc::Status status = testing::Encode(server_, request, &unary);
      ASSERT_TRUE(status.ok()) << status.error_message();

      grpc::ClientContext context;
      auto stream = small.encoder().EncodeStream(&context);
      v1::EncodeStreamRequest message;
      message.set_id("1");
      *message.mutable_request() = request;
      stream->Write(message);
      stream->WritesDone();
      std::vector<v1::EncodeStreamResponse> parts;
      v1::EncodeStreamResponse part;
      while (stream->Read(&part)) {
        EXPECT_LE(static_cast<int64_t>(part.ByteSizeLong()), kMessageBytes);
        parts.push_back(part);
      }
      EXPECT_TRUE(stream->Finish().ok());
      const std::string names = std::string(way.name) + ", " + output.name;
      ASSERT_FALSE(parts.empty());
      if (parts[0].has_error()) {
        // Attention and sparse weights may be too much for a message this small, and say so.
        EXPECT_EQ(testing::ReasonIn(parts[0].error().status()), "REPLY_TOO_LARGE") << names;
        EXPECT_TRUE(std::string(output.name) == "attention" || std::string(output.name) == "tokens")
            << names;
        continue;
      }
      EXPECT_TRUE(parts.back().last());
      std::vector<v1::Encoding> encodings = Joined(parts);
      ASSERT_EQ(static_cast<int>(encodings.size()), unary.encodings_size()) << names;
      for (size_t i = 0; i < encodings.size(); ++i) {
        encodings[i].clear_timings();
        unary.mutable_encodings(static_cast<int>(i))->clear_timings();
        EXPECT_EQ(encodings[i].SerializeAsString(),
                  unary.encodings(static_cast<int>(i)).SerializeAsString())
            << names;
      }
    }
  }
}

}  // namespace
}  // namespace attnd
