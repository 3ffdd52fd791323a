// Layers, pooled vectors, encodings, multi-vectors and sparse vectors.
#include <algorithm>
#include <set>

#include "core/base/strings.h"
#include "gtest/gtest.h"
#include "tests/outputs/checks.h"
#include "tests/outputs/naive.h"
#include "tests/outputs/tensor_check.h"

namespace attnd::golden {
namespace {

constexpr v1::DataType kFloat32 = v1::DATA_TYPE_FLOAT32;

// Numbers of layers that some input has, rising.
std::vector<int32_t> LayersOf(const std::vector<GoldenInput>& inputs) {
  std::set<int32_t> layers;
  for (const GoldenInput& input : inputs) {
    for (const auto& [layer, rows] : input.layers) layers.insert(layer);
  }
  return {layers.begin(), layers.end()};
}

bool HasAll(const GoldenInput& input, const std::vector<int32_t>& layers) {
  return std::ranges::all_of(layers, [&](int32_t layer) { return input.layers.contains(layer); });
}

// One matrix for the layers: their mean, or side by side.
Vectors Combine(const GoldenInput& input, const std::vector<int32_t>& layers,
                v1::LayerCombination combination) {
  Vectors combined;
  for (size_t token = 0; token < input.last.size(); ++token) {
    Vectors of_token;
    Vector side_by_side;
    for (const int32_t layer : layers) {
      const Vector& row = input.layers.at(layer)[token];
      of_token.push_back(row);
      side_by_side.insert(side_by_side.end(), row.begin(), row.end());
    }
    const bool is_mean = combination == v1::LAYER_COMBINATION_MEAN;
    combined.push_back(is_mean ? Pool(of_token, v1::POOLING_MEAN) : side_by_side);
  }
  return combined;
}

void CheckCombined(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs,
                   const std::vector<int32_t>& layers, v1::LayerCombination combination) {
  const auto encodings = Ask(encoder, inputs, [&](v1::EncodeRequest& request) {
    v1::HiddenLayers& hidden = *request.mutable_options()->mutable_hidden_layers();
    hidden.mutable_layers()->Assign(layers.begin(), layers.end());
    hidden.set_combination(combination);
  });
  for (size_t i = 0; i < encodings.size(); ++i) {
    ASSERT_EQ(encodings[i].hidden_layers_size(), 1);
    if (!HasAll(inputs[i], layers)) continue;
    EXPECT_EQ(Difference(encodings[i].hidden_layers(0), kFloat32,
                         Combine(inputs[i], layers, combination), inputs[i].tolerance),
              "")
        << inputs[i].name << ": " << v1::LayerCombination_Name(combination);
  }
}

// What vectors are asked for at once, and how.
struct VectorRequest {
  v1::VectorEncoding encoding = v1::VECTOR_ENCODING_FLOAT32;
  size_t dimensions = 0;  // 0: all.
};
constexpr Chunking kChunking{.tokens = 5, .overlap = 2};

std::vector<v1::Encoding> AskForVectors(ServedEncoder& encoder,
                                        const std::vector<GoldenInput>& inputs,
                                        const VectorRequest& wanted) {
  return Ask(encoder, inputs, [&](v1::EncodeRequest& request) {
    v1::EncodeOptions& options = *request.mutable_options();
    options.set_return_pooled(true);
    options.set_pooling(v1::POOLING_MEAN);
    options.set_normalize(true);
    options.set_return_token_vectors(true);
    options.set_return_multi_vector(true);
    options.mutable_spans()->set_kind(v1::SPAN_KIND_CHUNKS);
    options.mutable_spans()->set_chunk_tokens(kChunking.tokens);
    options.mutable_spans()->set_chunk_overlap(kChunking.overlap);
    options.set_vector_encoding(wanted.encoding);
    if (wanted.dimensions > 0) options.set_dimensions(static_cast<int32_t>(wanted.dimensions));
  });
}

v1::DataType TypeOf(v1::VectorEncoding encoding) {
  switch (encoding) {
    case v1::VECTOR_ENCODING_FLOAT16:
      return v1::DATA_TYPE_FLOAT16;
    case v1::VECTOR_ENCODING_BFLOAT16:
      return v1::DATA_TYPE_BFLOAT16;
    case v1::VECTOR_ENCODING_INT8:
      return v1::DATA_TYPE_INT8;
    case v1::VECTOR_ENCODING_BINARY:
      return v1::DATA_TYPE_BIT;
    default:
      return kFloat32;
  }
}

// By the definition of what AskForVectors asks for.
void CheckAgainstReference(const v1::Encoding& encoding, const GoldenInput& input,
                           const VectorRequest& wanted) {
  const size_t all = input.last.front().size();
  const size_t dimensions = wanted.dimensions > 0 ? wanted.dimensions : all;
  const v1::DataType type = TypeOf(wanted.encoding);
  const Tolerance& tolerance = input.tolerance;
  const Vector pooled = FirstOf(Pool(input.last, v1::POOLING_MEAN), dimensions);
  EXPECT_EQ(Difference(encoding.pooled(), type, Normalized(pooled), tolerance), "") << "pooled";
  EXPECT_EQ(Difference(encoding.token_vectors(), type, FirstOf(input.last, dimensions), tolerance),
            "")
      << "token vectors";
  const Vectors chunks = PoolParts(input.last, Chunks(input, kChunking), v1::POOLING_MEAN);
  EXPECT_EQ(
      Difference(encoding.span_vectors(), type, Normalized(FirstOf(chunks, dimensions)), tolerance),
      "")
      << "span vectors";
  EXPECT_EQ(Difference(encoding.multi_vectors(), type, Normalized(input.last), tolerance), "")
      << "multi-vectors";
}

// To the last bit what the encoding allows, of the numbers that are sent in FLOAT32.
void CheckAgainstPlain(const v1::Encoding& encoding, const v1::Encoding& plain, v1::DataType type) {
  EXPECT_EQ(Difference(encoding.pooled(), type, ReadFloats(plain.pooled()).front(), {}), "");
  EXPECT_EQ(Difference(encoding.token_vectors(), type, ReadFloats(plain.token_vectors()), {}), "");
  EXPECT_EQ(Difference(encoding.span_vectors(), type, ReadFloats(plain.span_vectors()), {}), "");
  EXPECT_EQ(Difference(encoding.multi_vectors(), type, ReadFloats(plain.multi_vectors()), {}), "");
}

}  // namespace

void CheckLayers(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs,
                 int32_t layer_count) {
  const std::vector<int32_t> rising = LayersOf(inputs);
  const std::vector<int32_t> falling(rising.rbegin(), rising.rend());
  for (const bool from_the_end : {false, true}) {
    const std::vector<int32_t>& layers = from_the_end ? falling : rising;
    const auto encodings = Ask(encoder, inputs, [&](v1::EncodeRequest& request) {
      for (const int32_t layer : layers) {
        request.mutable_options()->mutable_hidden_layers()->add_layers(
            from_the_end ? layer - (layer_count + 1) : layer);
      }
    });
    for (size_t i = 0; i < encodings.size(); ++i) {
      ASSERT_EQ(encodings[i].hidden_layers_size(), static_cast<int>(layers.size()));
      for (int at = 0; at < encodings[i].hidden_layers_size(); ++at) {
        const auto expected = inputs[i].layers.find(layers[at]);
        if (expected == inputs[i].layers.end()) continue;
        EXPECT_EQ(Difference(encodings[i].hidden_layers(at), kFloat32, expected->second,
                             inputs[i].tolerance),
                  "")
            << inputs[i].name << ": layer " << layers[at] << (from_the_end ? " from the end" : "");
      }
    }
  }
  // The last and the first alone, and all, in another order than theirs.
  CheckCombined(encoder, inputs, {falling.front()}, v1::LAYER_COMBINATION_MEAN);
  CheckCombined(encoder, inputs, falling, v1::LAYER_COMBINATION_MEAN);
  CheckCombined(encoder, inputs, falling, v1::LAYER_COMBINATION_CONCATENATION);
}

void CheckPooling(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs) {
  const auto check = [&](v1::Pooling pooling, bool normalize) {
    const auto encodings = Ask(encoder, inputs, [&](v1::EncodeRequest& request) {
      request.mutable_options()->set_return_pooled(true);
      request.mutable_options()->set_pooling(pooling);
      request.mutable_options()->set_normalize(normalize);
    });
    for (size_t i = 0; i < encodings.size(); ++i) {
      const bool pooler = pooling == v1::POOLING_POOLER;
      const Vector pooled = pooler ? inputs[i].pooler : Pool(inputs[i].last, pooling);
      if (pooled.empty()) continue;
      EXPECT_EQ(Difference(encodings[i].pooled(), kFloat32, normalize ? Normalized(pooled) : pooled,
                           inputs[i].tolerance),
                "")
          << inputs[i].name << ": " << v1::Pooling_Name(pooling) << (normalize ? " scaled" : "");
    }
  };
  const bool has_pooler =
      std::ranges::any_of(inputs, [](const GoldenInput& input) { return !input.pooler.empty(); });
  for (const bool normalize : {false, true}) {
    for (const auto pooling :
         {v1::POOLING_CLS, v1::POOLING_MEAN, v1::POOLING_MAX, v1::POOLING_LAST}) {
      check(pooling, normalize);
    }
    if (has_pooler) check(v1::POOLING_POOLER, normalize);
  }
}

void CheckEncodings(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs) {
  // An odd number, which no byte of bits ends with.
  const size_t part = (inputs.front().last.front().size() / 3) | 1;
  for (const size_t dimensions : {size_t{0}, part}) {
    const auto plain = AskForVectors(encoder, inputs, {.dimensions = dimensions});
    for (const auto encoding :
         {v1::VECTOR_ENCODING_FLOAT32, v1::VECTOR_ENCODING_FLOAT16, v1::VECTOR_ENCODING_BFLOAT16,
          v1::VECTOR_ENCODING_INT8, v1::VECTOR_ENCODING_BINARY}) {
      const VectorRequest wanted{.encoding = encoding, .dimensions = dimensions};
      const auto encodings = AskForVectors(encoder, inputs, wanted);
      for (size_t i = 0; i < encodings.size() && i < plain.size(); ++i) {
        SCOPED_TRACE(StrCat(inputs[i].name, ": ", v1::VectorEncoding_Name(encoding), " of ",
                            dimensions, " dimensions"));
        CheckAgainstReference(encodings[i], inputs[i], wanted);
        CheckAgainstPlain(encodings[i], plain[i], TypeOf(encoding));
      }
    }
  }
}

void CheckKeptTokens(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs) {
  const auto encodings = Ask(encoder, inputs, [&](v1::EncodeRequest& request) {
    request.mutable_options()->set_return_token_vectors(true);
    request.mutable_options()->set_return_multi_vector(true);
    request.mutable_options()->set_drop_special_tokens(true);
  });
  for (size_t i = 0; i < encodings.size(); ++i) {
    const v1::Encoding& encoding = encodings[i];
    const GoldenInput& input = inputs[i];
    SCOPED_TRACE(input.name);
    std::vector<int32_t> kept;
    Vectors rows;
    const v1::Tokens& tokens = encoding.tokens();
    ASSERT_EQ(tokens.starts_size(), static_cast<int>(input.places.size()));
    for (int token = 0; token < tokens.starts_size(); ++token) {
      const TokenPlace& place = input.places[token];
      EXPECT_EQ(tokens.ids(token), input.ids[token]);
      EXPECT_EQ(tokens.starts(token), place.start);
      EXPECT_EQ(tokens.ends(token), place.end);
      EXPECT_EQ(tokens.word_ids(token), place.word);
      EXPECT_EQ(tokens.text_indices(token), input.has_text() ? place.text : -1);
      EXPECT_EQ(tokens.special(token), place.text < 0);
      if (place.text < 0) continue;
      kept.push_back(token);
      rows.push_back(input.last[token]);
    }
    if (!input.has_text()) kept.clear();  // All of them, which is said by saying nothing.
    EXPECT_EQ(std::vector<int32_t>(encoding.kept_tokens().begin(), encoding.kept_tokens().end()),
              kept);
    EXPECT_EQ(Difference(encoding.token_vectors(), kFloat32, rows, input.tolerance), "");
    EXPECT_EQ(Difference(encoding.multi_vectors(), kFloat32, Normalized(rows), input.tolerance),
              "");
  }
}

void CheckSparse(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs) {
  const auto encodings = Ask(encoder, inputs, [&](v1::EncodeRequest& request) {
    request.mutable_options()->set_return_sparse(true);
  });
  for (size_t i = 0; i < encodings.size(); ++i) {
    if (inputs[i].logits.empty()) continue;
    EXPECT_EQ(Difference(encodings[i].sparse(), Sparse(inputs[i].logits), inputs[i].tolerance), "")
        << inputs[i].name;
  }
}

}  // namespace attnd::golden
