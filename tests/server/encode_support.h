#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "server/validate/encode_size.h"
#include "tests/server/test_server.h"

namespace attnd::testing {

// Numbers that tell tokens, places and columns apart, all of them exact in float.
inline constexpr StubNumbers kNumbers{.column_step = 0.25f, .row_step = 0.5f};

// A model with every head that Encode reads, and a pooler.
inline void GiveHeads(ServedModel& model) {
  model.info.head = HeadKind::kVocabulary;
  model.info.projection = 3;
  model.info.has_pooler = true;
  model.vocabulary_bytes = VocabularyBytes(model);
}

// A server whose stub has kNumbers.
class NumberedServer : public TestServer {
 public:
  explicit NumberedServer(const Config& config = DefaultConfig(),
                          const std::function<void(ServedModel&)>& change = GiveHeads)
      : TestServer(config, change) {
    model().set_numbers(kNumbers);
  }
};

inline std::vector<float> FloatsOf(const v1::Tensor& tensor) {
  EXPECT_EQ(tensor.dtype(), v1::DATA_TYPE_FLOAT32);
  std::vector<float> values(tensor.data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.data().data(), tensor.data().size());
  return values;
}

// The reply to a request of one input.
inline v1::Encoding EncodeOne(TestServer& server, const v1::EncodeRequest& request) {
  v1::EncodeResponse response;
  const grpc::Status status = Encode(server, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.encodings_size() == 1 ? response.encodings(0) : v1::Encoding();
}

// The last layer's rows of these ids, [ids, kHidden], and the same with an offset for a layer.
inline std::vector<float> NaiveRows(const std::vector<int32_t>& ids, float offset = 0) {
  std::vector<float> rows;
  for (size_t row = 0; row < ids.size(); ++row) {
    for (int column = 0; column < kHidden; ++column) {
      rows.push_back(offset + static_cast<float>(ids[row]) +
                     kNumbers.row_step * static_cast<float>(row) +
                     kNumbers.column_step * static_cast<float>(column));
    }
  }
  return rows;
}
inline float LayerOffset(int layer) { return static_cast<float>(1000 * (layer + 1)); }

}  // namespace attnd::testing
