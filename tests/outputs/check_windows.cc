// A text in windows: what the reply says of it is what the windows' own vectors say, merged.
#include "core/base/strings.h"
#include "gtest/gtest.h"
#include "tests/outputs/checks.h"
#include "tests/outputs/naive.h"
#include "tests/outputs/tensor_check.h"

namespace attnd::golden {
namespace {

constexpr v1::DataType kFloat32 = v1::DATA_TYPE_FLOAT32;
constexpr Chunking kChunking{.tokens = 7, .overlap = 3};
constexpr int32_t kLayer = 1;

// What each window alone has.
struct WindowOutputs {
  std::vector<Vectors> last, layer;
  Vectors sparse;  // [windows, vocabulary]; empty without a vocabulary's head.
  Vector pooler;   // Of the first window; empty without one.
  Tolerance rows;  // Of vectors that are taken as they are;
  Tolerance made;  // and of those that are made of them.
};

class WindowChecker {
 public:
  WindowChecker(ServedEncoder& encoder, const GoldenWindows& given, const WindowOutputs& outputs)
      : encoder_(encoder),
        given_(given),
        outputs_(outputs),
        windows_(CutWindows(given.whole, given.length, given.stride)),
        merged_(Merge(given.whole, windows_, outputs.last)) {}

  void CheckRows() {
    const v1::Encoding encoding = AskInWindows([&](v1::EncodeOptions& options) {
      options.set_return_token_vectors(true);
      options.set_return_multi_vector(true);
      options.mutable_hidden_layers()->add_layers(kLayer);
      options.set_return_sparse(!outputs_.sparse.empty());
    });
    ASSERT_EQ(encoding.windows_size(), static_cast<int>(windows_.size()));
    for (int i = 0; i < encoding.windows_size(); ++i) {
      EXPECT_EQ(encoding.windows(i).first_token(), static_cast<int>(windows_[i].begin));
      EXPECT_EQ(encoding.windows(i).end_token(), static_cast<int>(windows_[i].end));
    }
    EXPECT_EQ(Difference(encoding.token_vectors(), kFloat32, merged_, outputs_.rows), "");
    EXPECT_EQ(Difference(encoding.multi_vectors(), kFloat32, Normalized(merged_), outputs_.made),
              "");
    ASSERT_EQ(encoding.hidden_layers_size(), 1);
    EXPECT_EQ(Difference(encoding.hidden_layers(0), kFloat32,
                         Merge(given_.whole, windows_, outputs_.layer), outputs_.rows),
              "");
    if (outputs_.sparse.empty()) return;
    const Vector largest = Pool(outputs_.sparse, v1::POOLING_MAX);
    EXPECT_EQ(Difference(encoding.sparse(), largest, outputs_.rows), "");
  }

  void CheckPooled() {
    for (const auto pooling :
         {v1::POOLING_CLS, v1::POOLING_MEAN, v1::POOLING_MAX, v1::POOLING_LAST}) {
      CheckPooledAs(pooling, Pool(merged_, pooling));
    }
    if (!outputs_.pooler.empty()) CheckPooledAs(v1::POOLING_POOLER, outputs_.pooler);
  }

  void CheckParts() {
    CheckKind(v1::SPAN_KIND_WORDS, Words(given_.whole.places));
    CheckKind(v1::SPAN_KIND_SENTENCES, Sentences(given_.whole));
    CheckKind(v1::SPAN_KIND_CHUNKS, Chunks(given_.whole, kChunking));
  }

 private:
  template <typename Change>
  v1::Encoding AskInWindows(const Change& change) {
    const auto encodings = Ask(encoder_, {given_.whole}, [&](v1::EncodeRequest& request) {
      request.mutable_options()->mutable_windows()->set_length(given_.length);
      request.mutable_options()->mutable_windows()->set_stride(given_.stride);
      change(*request.mutable_options());
    });
    return encodings.empty() ? v1::Encoding() : encodings.front();
  }

  void CheckPooledAs(v1::Pooling pooling, const Vector& expected) {
    const v1::Encoding encoding = AskInWindows([&](v1::EncodeOptions& options) {
      options.set_return_pooled(true);
      options.set_pooling(pooling);
      options.set_normalize(false);
    });
    EXPECT_EQ(Difference(encoding.pooled(), kFloat32, expected, outputs_.made), "")
        << v1::Pooling_Name(pooling);
  }

  void CheckKind(v1::SpanKind kind, const std::vector<Part>& parts) {
    SCOPED_TRACE(v1::SpanKind_Name(kind));
    const v1::Encoding encoding = AskInWindows([&](v1::EncodeOptions& options) {
      options.set_normalize(true);
      options.mutable_spans()->set_kind(kind);
      if (kind != v1::SPAN_KIND_CHUNKS) return;
      options.mutable_spans()->set_chunk_tokens(kChunking.tokens);
      options.mutable_spans()->set_chunk_overlap(kChunking.overlap);
    });
    CheckSpansAre(encoding, parts);
    EXPECT_EQ(Difference(encoding.span_vectors(), kFloat32,
                         Normalized(PoolParts(merged_, parts, v1::POOLING_MEAN)), outputs_.made),
              "");
  }

  ServedEncoder& encoder_;
  const GoldenWindows& given_;
  const WindowOutputs& outputs_;
  const std::vector<Window> windows_;
  const Vectors merged_;
};

void CheckAll(ServedEncoder& encoder, const GoldenWindows& given, const WindowOutputs& outputs) {
  SCOPED_TRACE(
      StrCat(given.whole.name, ": windows of ", given.length, ", ", given.stride, " apart"));
  WindowChecker checker(encoder, given, outputs);
  checker.CheckRows();
  checker.CheckPooled();
  checker.CheckParts();
}

// The window as an input of its own: its tokens between the special ones of the whole.
GoldenInput WindowInput(const GoldenInput& whole, const Window& window, const Window& run) {
  GoldenInput input{.name = whole.name};
  const auto slice = [&](size_t begin, size_t end) {
    input.ids.insert(input.ids.end(), whole.ids.begin() + static_cast<int64_t>(begin),
                     whole.ids.begin() + static_cast<int64_t>(end));
  };
  slice(0, run.begin);
  slice(window.begin, window.end);
  slice(run.end, whole.ids.size());
  input.input.mutable_token_ids()->mutable_ids()->Assign(input.ids.begin(), input.ids.end());
  input.places.resize(input.ids.size());
  return input;
}

Vector Dense(const v1::SparseVector& sparse, size_t vocabulary) {
  Vector weights(vocabulary, 0.0);
  for (int i = 0; i < sparse.ids_size(); ++i) weights[sparse.ids(i)] = sparse.weights(i);
  return weights;
}

}  // namespace

void CheckWindows(ServedEncoder& encoder, const GoldenWindows& windows) {
  WindowOutputs outputs{.rows = windows.whole.tolerance, .made = windows.whole.tolerance};
  outputs.pooler = windows.windows.front().pooler;
  for (const GoldenInput& window : windows.windows) {
    outputs.last.push_back(window.last);
    outputs.layer.push_back(window.layers.at(kLayer));
    if (!window.logits.empty()) outputs.sparse.push_back(Sparse(window.logits));
  }
  CheckAll(encoder, windows, outputs);
}

void CheckPlainWindows(ServedEncoder& encoder, const GoldenInput& input, size_t vocabulary) {
  constexpr size_t kTokensMin = 6;  // Enough for windows that overlap.
  const Window run = CutWindows(input, input.ids.size(), 1).front();
  const size_t tokens = run.end - run.begin, special = input.ids.size() - tokens;
  if (tokens < kTokensMin) return;
  const size_t room = tokens / 3 + 1;
  GoldenWindows given{.whole = input,
                      .length = static_cast<int32_t>(special + room),
                      .stride = static_cast<int32_t>((room + 1) / 2)};
  for (const Window& window : CutWindows(input, special + room, (room + 1) / 2)) {
    given.windows.push_back(WindowInput(input, window, run));
  }
  const auto encodings = Ask(encoder, given.windows, [&](v1::EncodeRequest& request) {
    request.mutable_options()->set_return_token_vectors(true);
    request.mutable_options()->mutable_hidden_layers()->add_layers(kLayer);
    request.mutable_options()->set_return_sparse(vocabulary > 0);
  });
  WindowOutputs outputs{.rows = {}, .made = input.tolerance};
  for (const v1::Encoding& encoding : encodings) {
    outputs.last.push_back(ReadFloats(encoding.token_vectors()));
    outputs.layer.push_back(ReadFloats(encoding.hidden_layers(0)));
    if (vocabulary > 0) outputs.sparse.push_back(Dense(encoding.sparse(), vocabulary));
  }
  if (!encodings.empty()) CheckAll(encoder, given, outputs);
}

}  // namespace attnd::golden
