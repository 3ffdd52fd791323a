// Goal: every bad value of every option is refused with its status, reason, field and limit before
// anything is computed. Method: a server on a real port; one table row for each way to be wrong.

#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/encode_support.h"

namespace attnd {
namespace {

using testing::FieldIn;
using ::testing::HasSubstr;
using testing::IdsRequest;
using testing::NumberedServer;
using testing::ReasonIn;
using testing::TextRequest;

struct Wrong {
  std::function<void(v1::EncodeRequest&)> change;
  const char* reason;
  const char* field;
  const char* says;
};

class RefusalTest : public ::testing::Test {
 protected:
  static void ExpectRefused(NumberedServer& server, const Wrong& wrong) {
    v1::EncodeRequest request = TextRequest("a b c d e f");
    wrong.change(request);
    const grpc::Status status = Encode(server, request);
    const std::string shown = request.ShortDebugString();
    EXPECT_EQ(status.error_code(), std::string(wrong.reason) == "NOT_SUPPORTED_BY_MODEL"
                                       ? grpc::StatusCode::FAILED_PRECONDITION
                                       : grpc::StatusCode::INVALID_ARGUMENT)
        << shown;
    EXPECT_EQ(ReasonIn(status.error_details()), wrong.reason) << shown << status.error_message();
    EXPECT_EQ(FieldIn(status.error_details()), wrong.field) << shown << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(wrong.says));
    EXPECT_EQ(server.model().computed(), 0);
  }
  void ExpectAllRefused(const std::vector<Wrong>& table) {
    for (const Wrong& wrong : table) ExpectRefused(server_, wrong);
  }
  NumberedServer server_;
};

// Changes of the options alone.
std::function<void(v1::EncodeRequest&)> Options(std::function<void(v1::EncodeOptions&)> change) {
  return [change](v1::EncodeRequest& request) { change(*request.mutable_options()); };
}

std::function<void(v1::EncodeRequest&)> Hidden(std::vector<int> layers, int combination = 0) {
  return Options([=](auto& o) {
    for (const int layer : layers) o.mutable_hidden_layers()->add_layers(layer);
    o.mutable_hidden_layers()->set_combination(static_cast<v1::LayerCombination>(combination));
  });
}

TEST_F(RefusalTest, HiddenLayers) {
  ExpectAllRefused({
      {Options([](auto& o) { o.mutable_hidden_layers(); }), "MISSING_FIELD",
       "options.hidden_layers.layers", "at least one"},
      {Hidden({0, 3}), "INVALID_VALUE", "options.hidden_layers.layers[1]",
       "3 is not 0 to 2 or -3 to -1"},
      {Hidden({-4}), "INVALID_VALUE", "options.hidden_layers.layers[0]", "-4"},
      {Hidden({2147483647}), "INVALID_VALUE", "options.hidden_layers.layers[0]", "2147483647"},
      {Hidden({-2147483647 - 1}), "INVALID_VALUE", "options.hidden_layers.layers[0]",
       "-2147483648"},
      {Hidden({1, 1}), "INVALID_VALUE", "options.hidden_layers.layers[1]", "named before"},
      {Hidden({2, -1}), "INVALID_VALUE", "options.hidden_layers.layers[1]", "-1 is named before"},
      {Hidden({1}, 9), "INVALID_VALUE", "options.hidden_layers.combination", "9"},
      {Hidden(std::vector<int>(17, 1)), "OVER_LIMIT", "options.hidden_layers.layers",
       "17 layers are more than the limit of 16 (layers-per-request)"},
  });
}

std::function<void(v1::EncodeRequest&)> Attention(std::vector<int> layers, std::vector<int> heads) {
  return Options([=](auto& o) {
    for (const int layer : layers) o.mutable_attention()->add_layers(layer);
    for (const int head : heads) o.mutable_attention()->add_heads(head);
  });
}

TEST_F(RefusalTest, AttentionMaps) {
  ExpectAllRefused({
      {Attention({}, {0}), "MISSING_FIELD", "options.attention.layers", "at least one"},
      {Attention({0}, {}), "INVALID_VALUE", "options.attention.layers[0]",
       "0 is not 1 to 2 or -2 to -1"},
      {Attention({3}, {}), "INVALID_VALUE", "options.attention.layers[0]", "3"},
      {Attention({-3}, {}), "INVALID_VALUE", "options.attention.layers[0]", "-3"},
      {Attention({1, -2}, {}), "INVALID_VALUE", "options.attention.layers[1]", "named before"},
      {Attention({1}, {2}), "INVALID_VALUE", "options.attention.heads[0]", "2 is not 0 to 1"},
      {Attention({1}, {0, -1}), "INVALID_VALUE", "options.attention.heads[1]", "-1 is not 0 to 1"},
      {Attention({1}, {1, 1}), "INVALID_VALUE", "options.attention.heads[1]", "named before"},
      {Attention(std::vector<int>(17, 1), {}), "OVER_LIMIT", "options.attention.layers",
       "layers-per-request"},
      {Options([](auto& o) {
         o.mutable_attention()->add_layers(1);
         o.mutable_attention()->set_return_weights(false);
       }),
       "INVALID_VALUE", "options.attention", "neither"},
      {Options([](auto& o) {
         o.mutable_attention()->add_layers(1);
         o.mutable_windows();
       }),
       "INVALID_VALUE", "options.windows", "attention"},
  });
}

TEST_F(RefusalTest, AttentionScoresAreBoundForEachInput) {
  Config config = NumberedServer::DefaultConfig();
  config.limits.attention_map_scores = 2 * 2 * 8 * 8;
  NumberedServer server(config);
  v1::EncodeRequest request = TextRequest("a b c d e f");  // 8 tokens.
  Attention({1, 2}, {})(request);
  *request.add_inputs() = request.inputs(0);
  EXPECT_TRUE(Encode(server, request).ok());
  request.mutable_inputs(1)->set_text("a b c d e f g");
  const grpc::Status status = Encode(server, request);
  EXPECT_EQ(ReasonIn(status.error_details()), "OVER_LIMIT");
  EXPECT_EQ(FieldIn(status.error_details()), "inputs[1]");
  EXPECT_THAT(status.error_message(), HasSubstr("256 (attention-map-scores)"));
}

std::function<void(v1::EncodeRequest&)> SpansOf(std::function<void(v1::Spans&)> change) {
  return Options([change](auto& o) { change(*o.mutable_spans()); });
}

TEST_F(RefusalTest, Spans) {
  ExpectAllRefused({
      {SpansOf([](auto&) {}), "MISSING_FIELD", "options.spans.kind", "needed"},
      {SpansOf([](auto& s) { s.set_kind(static_cast<v1::SpanKind>(7)); }), "INVALID_VALUE",
       "options.spans.kind", "7"},
      {SpansOf([](auto& s) {
         s.set_kind(v1::SPAN_KIND_WORDS);
         s.set_pooling(v1::POOLING_POOLER);
       }),
       "INVALID_VALUE", "options.spans.pooling", "POOLING_POOLER"},
      {SpansOf([](auto& s) {
         s.set_kind(v1::SPAN_KIND_WORDS);
         s.set_pooling(static_cast<v1::Pooling>(77));
       }),
       "INVALID_VALUE", "options.spans.pooling", "77"},
      {SpansOf([](auto& s) {
         s.set_kind(v1::SPAN_KIND_WORDS);
         s.set_chunk_tokens(2);
       }),
       "INVALID_VALUE", "options.spans.chunk_tokens", "only SPAN_KIND_CHUNKS"},
      {SpansOf([](auto& s) {
         s.set_kind(v1::SPAN_KIND_SENTENCES);
         s.set_chunk_overlap(0);
       }),
       "INVALID_VALUE", "options.spans.chunk_overlap", "only SPAN_KIND_CHUNKS"},
      {SpansOf([](auto& s) { s.set_kind(v1::SPAN_KIND_CHUNKS); }), "MISSING_FIELD",
       "options.spans.chunk_tokens", "needs it"},
  });
  for (const auto& [tokens, overlap, field] : {std::tuple(0, 0, "options.spans.chunk_tokens"),
                                               {-1, 0, "options.spans.chunk_tokens"},
                                               {2, 2, "options.spans.chunk_overlap"},
                                               {2, -1, "options.spans.chunk_overlap"}}) {
    ExpectRefused(server_, {SpansOf([t = tokens, o = overlap](auto& s) {
                              s.set_kind(v1::SPAN_KIND_CHUNKS);
                              s.set_chunk_tokens(t);
                              s.set_chunk_overlap(o);
                            }),
                            "INVALID_VALUE", field, "is"});
  }
  for (const v1::SpanKind kind :
       {v1::SPAN_KIND_WORDS, v1::SPAN_KIND_SENTENCES, v1::SPAN_KIND_RANGES}) {
    ExpectRefused(server_, {[kind](auto& request) {
                              request = IdsRequest(5, 2);
                              request.mutable_options()->mutable_spans()->set_kind(kind);
                              if (kind == v1::SPAN_KIND_RANGES) request.add_ranges();
                            },
                            "INVALID_VALUE", "inputs[0]", "without a text"});
  }
}

std::function<void(v1::EncodeRequest&)> Ranges(int start, int end, int text) {
  return [=](v1::EncodeRequest& request) {
    request.mutable_options()->mutable_spans()->set_kind(v1::SPAN_KIND_RANGES);
    v1::Ranges& ranges = *request.add_ranges();
    ranges.add_ranges()->set_end(1);
    v1::Range& range = *ranges.add_ranges();
    range.set_start(start);
    range.set_end(end);
    range.set_text_index(text);
  };
}

TEST_F(RefusalTest, RangesOfTexts) {
  ExpectAllRefused({
      {[](auto& r) { r.add_ranges(); }, "INVALID_VALUE", "ranges", "only SPAN_KIND_RANGES"},
      {SpansOf([](auto& s) { s.set_kind(v1::SPAN_KIND_RANGES); }), "INVALID_SHAPE", "ranges",
       "0 are given for 1 inputs"},
      {Ranges(-1, 2, 0), "INVALID_VALUE", "ranges[0].ranges[1]", "[-1, 2)"},
      {Ranges(2, 2, 0), "INVALID_VALUE", "ranges[0].ranges[1]", "[2, 2)"},
      {Ranges(3, 2, 0), "INVALID_VALUE", "ranges[0].ranges[1]", "[3, 2)"},
      {Ranges(3, 12, 0), "INVALID_VALUE", "ranges[0].ranges[1].end",
       "12 is beyond the text's length 11"},
      {Ranges(0, 1, 1), "INVALID_VALUE", "ranges[0].ranges[1].text_index", "1 is not between 0"},
      {Ranges(0, 1, -1), "INVALID_VALUE", "ranges[0].ranges[1].text_index", "-1"},
  });
}

TEST_F(RefusalTest, SpansAreBoundForEachInput) {
  Config config = NumberedServer::DefaultConfig();
  config.limits.spans_per_input = 2;
  NumberedServer server(config);
  for (const v1::SpanKind kind :
       {v1::SPAN_KIND_WORDS, v1::SPAN_KIND_SENTENCES, v1::SPAN_KIND_CHUNKS, v1::SPAN_KIND_RANGES}) {
    const bool ranges = kind == v1::SPAN_KIND_RANGES;
    for (const int count : {2, 3}) {
      v1::EncodeRequest request = TextRequest(count == 2 ? "A.\n\nB" : "A\n\nB\n\nC");
      v1::Spans& spans = *request.mutable_options()->mutable_spans();
      spans.set_kind(kind);
      if (kind == v1::SPAN_KIND_WORDS && count == 2) request.mutable_inputs(0)->set_text("A B");
      if (kind == v1::SPAN_KIND_CHUNKS) spans.set_chunk_tokens(count == 2 ? 2 : 1);
      if (ranges) request.add_ranges();
      for (int i = 0; ranges && i < count; ++i) {
        request.mutable_ranges(0)->add_ranges()->set_end(1);
      }
      const grpc::Status status = Encode(server, request);
      if (count == 2) {
        EXPECT_TRUE(status.ok()) << status.error_message();
      } else {
        EXPECT_EQ(ReasonIn(status.error_details()), "OVER_LIMIT") << kind;
        EXPECT_EQ(FieldIn(status.error_details()), ranges ? "ranges[0]" : "inputs[0]");
        EXPECT_THAT(status.error_message(), HasSubstr("3 spans are more than the limit of 2"));
      }
    }
  }
}

std::function<void(v1::EncodeRequest&)> WindowsOf(int length, int stride) {
  return Options([=](auto& o) {
    o.mutable_windows()->set_length(length);
    o.mutable_windows()->set_stride(stride);
  });
}

TEST_F(RefusalTest, Windows) {
  ExpectAllRefused({
      {WindowsOf(0, 1), "INVALID_VALUE", "options.windows.length", "0 is not between 1 and 64"},
      {WindowsOf(65, 1), "INVALID_VALUE", "options.windows.length", "65"},
      {WindowsOf(6, 0), "INVALID_VALUE", "options.windows.stride", "0"},
      {WindowsOf(6, 7), "INVALID_VALUE", "options.windows.stride", "7 is not between 1 and 6"},
      {WindowsOf(6, 5), "INVALID_VALUE", "options.windows.stride", "5 is not between 1 and 4"},
      {WindowsOf(2, 1), "INVALID_VALUE", "options.windows.length", "2 special tokens"},
      {Options([](auto& o) {
         o.mutable_windows();
         o.set_truncation(v1::TRUNCATION_LEFT);
       }),
       "INVALID_VALUE", "options.windows", "truncation"},
      {[](auto& request) {
         request = IdsRequest(5, 33);
         request.mutable_options()->mutable_windows();
       },
       "TOO_LONG", "inputs[0].token_ids.ids", "33"},
  });
}

TEST_F(RefusalTest, WindowsAreBoundByTheQueueBeforeTheyAreMade) {
  for (const bool by_tokens : {false, true}) {
    Config config = NumberedServer::DefaultConfig();
    config.limits.batch_tokens = 64;
    (by_tokens ? config.limits.queue_tokens : config.limits.queue_requests) = by_tokens ? 64 : 3;
    NumberedServer server(config);
    // 16 letters, windows of 4, 3 apart: 0, 3, 6, 9, 12.
    v1::EncodeRequest request = TextRequest("a b c d e f g h i j k l m n o p");
    WindowsOf(6, 3)(request);
    if (by_tokens) WindowsOf(6, 1)(request);
    const grpc::Status status = Encode(server, request);
    EXPECT_EQ(ReasonIn(status.error_details()), "OVER_LIMIT");
    EXPECT_EQ(FieldIn(status.error_details()), "inputs[0]");
    EXPECT_THAT(status.error_message(), HasSubstr(by_tokens ? "78 tokens" : "5 inputs or windows"));
  }
}

TEST_F(RefusalTest, VectorsAndHeads) {
  ExpectAllRefused({
      {Options([](auto& o) { o.set_vector_encoding(static_cast<v1::VectorEncoding>(6)); }),
       "INVALID_VALUE", "options.vector_encoding", "6"},
      {Options([](auto& o) { o.set_sparse_top_k(5); }), "INVALID_VALUE", "options.sparse_top_k",
       "return_sparse is not asked for"},
      {Options([](auto& o) {
         o.set_return_sparse(true);
         o.set_sparse_top_k(0);
       }),
       "INVALID_VALUE", "options.sparse_top_k", "0 is not at least 1"},
      {Options([](auto& o) { o.set_dimensions(0); }), "INVALID_VALUE", "options.dimensions",
       "0 is not between 1 and 4"},
      {Options([](auto& o) { o.set_dimensions(-1); }), "INVALID_VALUE", "options.dimensions", "-1"},
      {Options([](auto& o) { o.set_dimensions(5); }), "INVALID_VALUE", "options.dimensions", "5"},
  });
  NumberedServer plain(NumberedServer::DefaultConfig(), [](ServedModel&) {});
  ExpectRefused(plain, {Options([](auto& o) { o.set_return_sparse(true); }),
                        "NOT_SUPPORTED_BY_MODEL", "options.return_sparse", "masked-language"});
}

TEST_F(RefusalTest, RepliesThatCannotFitAreRefusedAndSaysHowElse) {
  Config config = NumberedServer::DefaultConfig();
  config.limits.message_bytes = 1000;
  NumberedServer server(config);
  v1::EncodeRequest request = TextRequest("a b c d e f");
  Hidden({0})(request);
  EXPECT_TRUE(Encode(server, request).ok());
  *request.add_inputs() = request.inputs(0);
  *request.add_inputs() = request.inputs(0);
  grpc::Status status = Encode(server, request);
  EXPECT_EQ(ReasonIn(status.error_details()), "REPLY_TOO_LARGE");
  EXPECT_EQ(FieldIn(status.error_details()), "inputs");
  EXPECT_THAT(status.error_message(), HasSubstr("EncodeStream"));

  // Layers of one input alone are not sent in parts.
  Hidden({1, 2})(request);
  grpc::ClientContext context;
  auto stream = server.encoder().EncodeStream(&context);
  v1::EncodeStreamRequest message;
  message.set_id("1");
  *message.mutable_request() = request;
  stream->Write(message);
  stream->WritesDone();
  v1::EncodeStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(ReasonIn(response.error().status()), "REPLY_TOO_LARGE");
  EXPECT_EQ(FieldIn(response.error().status()), "inputs[0]");
  EXPECT_THAT(response.error().message(), HasSubstr("token vectors"));
  EXPECT_TRUE(stream->Finish().ok());
}

}  // namespace
}  // namespace attnd
