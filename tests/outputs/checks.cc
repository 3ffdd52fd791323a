#include "tests/outputs/checks.h"

#include "gtest/gtest.h"

namespace attnd::golden {

std::vector<v1::Encoding> Ask(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs,
                              const std::function<void(v1::EncodeRequest&)>& change) {
  v1::EncodeRequest request;
  request.mutable_options()->set_return_pooled(false);
  for (const GoldenInput& input : inputs) *request.add_inputs() = input.input;
  change(request);
  const auto response = encoder.Encode(request);
  if (!response.ok()) {
    ADD_FAILURE() << inputs.front().name << ": " << response.status() << "\n"
                  << request.options().ShortDebugString();
    return {};
  }
  EXPECT_EQ(response->encodings_size(), static_cast<int>(inputs.size()));
  std::vector<v1::Encoding> encodings(response->encodings().begin(), response->encodings().end());
  encodings.resize(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(encodings[i].input_index(), static_cast<int>(i));
    EXPECT_EQ(encodings[i].token_count(), static_cast<int>(inputs[i].ids.size()));
  }
  return encodings;
}

}  // namespace attnd::golden
