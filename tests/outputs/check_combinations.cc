// Outputs together, and how they are wanted.
#include "core/base/strings.h"
#include "gtest/gtest.h"
#include "tests/outputs/checks.h"

namespace attnd::golden {
namespace {

// An output: how it is asked for, and its bytes in a reply.
struct Output {
  const char* name;
  std::function<void(v1::EncodeOptions&)> ask;
  std::function<std::string(const v1::Encoding&)> bytes;
};

std::vector<Output> OutputsOf(const GoldenInput& input, size_t vocabulary) {
  const v1::SpanKind kind = input.has_text() ? v1::SPAN_KIND_WORDS : v1::SPAN_KIND_CHUNKS;
  std::vector<Output> outputs = {
      {"pooled", [](auto& o) { o.set_return_pooled(true); },
       [](const auto& e) { return e.pooled().SerializeAsString(); }},
      {"token vectors", [](auto& o) { o.set_return_token_vectors(true); },
       [](const auto& e) { return e.token_vectors().SerializeAsString(); }},
      {"hidden layers", [](auto& o) { o.mutable_hidden_layers()->add_layers(1); },
       [](const auto& e) { return e.hidden_layers(0).SerializeAsString(); }},
      {"attention", [](auto& o) { o.mutable_attention()->add_layers(-1); },
       [](const auto& e) { return e.attention(0).SerializeAsString(); }},
      {"spans",
       [kind](auto& o) {
         o.mutable_spans()->set_kind(kind);
         if (kind == v1::SPAN_KIND_CHUNKS) o.mutable_spans()->set_chunk_tokens(3);
       },
       [](const auto& e) { return e.span_vectors().SerializeAsString(); }},
      {"multi-vectors", [](auto& o) { o.set_return_multi_vector(true); },
       [](const auto& e) { return e.multi_vectors().SerializeAsString(); }},
  };
  if (vocabulary > 0) {
    outputs.push_back({"sparse", [](auto& o) { o.set_return_sparse(true); },
                       [](v1::Encoding e) {
                         e.mutable_sparse()->clear_tokens();  // They come with token vectors.
                         return e.sparse().SerializeAsString();
                       }});
  }
  return outputs;
}

// How all of them are wanted.
struct Way {
  const char* name;
  std::function<void(v1::EncodeOptions&)> set;
};

std::vector<Way> Ways() {
  return {
      {"plain", [](auto&) {}},
      {"scaled and cut",
       [](auto& o) {
         o.set_normalize(true);
         o.set_dimensions(7);
       }},
      {"int8 of the largest, without special tokens",
       [](auto& o) {
         o.set_vector_encoding(v1::VECTOR_ENCODING_INT8);
         o.set_pooling(v1::POOLING_MAX);
         o.set_drop_special_tokens(true);
       }},
  };
}

}  // namespace

void CheckCombinations(ServedEncoder& encoder, const GoldenInput& input, size_t vocabulary) {
  const std::vector<Output> outputs = OutputsOf(input, vocabulary);
  for (const Way& way : Ways()) {
    SCOPED_TRACE(StrCat(input.name, ", ", way.name));
    const auto ask = [&](const std::vector<const Output*>& wanted) {
      const auto encodings = Ask(encoder, {input}, [&](v1::EncodeRequest& request) {
        way.set(*request.mutable_options());
        for (const Output* output : wanted) output->ask(*request.mutable_options());
      });
      std::vector<std::string> bytes;
      for (const v1::Encoding& encoding : encodings) {
        for (const Output* output : wanted) bytes.push_back(output->bytes(encoding));
      }
      return bytes;
    };
    std::vector<const Output*> all;
    std::vector<std::string> alone;
    for (const Output& output : outputs) {
      const std::vector<std::string> bytes = ask({&output});
      ASSERT_EQ(bytes.size(), 1u) << output.name;
      ASSERT_FALSE(bytes.front().empty()) << output.name;
      all.push_back(&output);
      alone.push_back(bytes.front());
    }
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t j = i + 1; j < all.size(); ++j) {
        EXPECT_TRUE(ask({all[i], all[j]}) == (std::vector{alone[i], alone[j]}))
            << all[i]->name << " with " << all[j]->name;
      }
    }
    EXPECT_TRUE(ask(all) == alone) << "all at once";
  }
}

}  // namespace attnd::golden
