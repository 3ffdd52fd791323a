// Goal: no configuration of a model directory, however made, becomes an architecture outside the
// limits that what loads and computes it rests on, and a refusal is one line that names its file.
// Method: the input is the small files of a directory, one after another; they are written and read
// as when a model is loaded, and what is accepted is checked against the limits.
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "core/base/check.h"
#include "core/base/model_dir.h"
#include "core/input/mask_token.h"
#include "core/model/families.h"
#include "core/model/model_config.h"
#include "tests/fuzz/json_mutator.h"
#include "tests/fuzz/parts.h"

namespace attnd {
namespace {

// The parts of an input, in order. An empty one, or one that is not there, is no file.
constexpr std::array kFiles = {"config.json",
                               "modules.json",
                               "1_Pooling/config.json",
                               "sentence_bert_config.json",
                               "config_sentence_transformers.json",
                               "tokenizer_config.json",
                               "special_tokens_map.json"};

// A model directory that every run writes anew.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / "attnd_fuzz.XXXXXX") {
    std::string name = path_.string();
    CHECK_THAT(mkdtemp(name.data()) != nullptr);
    path_ = name;
    std::filesystem::create_directory(path_ / "1_Pooling");
  }
  ~Folder() {
    std::error_code ignored;  // No input depends on the clean-up.
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void Write(std::string_view input) {
    const std::vector<std::string> parts = SplitParts(input, kFiles.size());
    for (size_t i = 0; i < kFiles.size(); ++i) {
      const std::string part = i < parts.size() ? parts[i] : std::string();
      if (part == written_[i]) continue;
      if (part.empty()) {
        CHECK_THAT(std::filesystem::remove(path_ / kFiles[i]));
      } else {
        std::ofstream file(path_ / kFiles[i], std::ios::binary | std::ios::trunc);
        file << part;
        CHECK_THAT(file.flush().good());
      }
      written_[i] = part;
    }
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::array<std::string, kFiles.size()> written_;
};

bool IsWithin(int64_t value, int64_t least, int64_t most) {
  return least <= value && value <= most;
}

void CheckStack(const StackSpec& stack) {
  CHECK_THAT(IsWithin(stack.layers, 1, kLayersMax));
  CHECK_THAT(IsWithin(stack.heads, 1, kHiddenMax));
  CHECK_THAT(IsWithin(stack.head_size, 1, kHiddenMax));
  CHECK_THAT(IsWithin(int64_t{stack.heads} * stack.head_size, 1, kHiddenMax));
  CHECK_THAT(IsWithin(stack.inner, 1, kInnerMax));
  CHECK_THAT(stack.local_layers.empty() ||
             stack.local_layers.size() == static_cast<size_t>(stack.layers));
  CHECK_THAT(IsWithin(stack.window, 0, kPositionsMax));
  CHECK_THAT(std::isfinite(stack.theta) && stack.theta >= 0);
  CHECK_THAT(std::isfinite(stack.local_theta) && stack.local_theta >= 0);
  // Rotary positions pair the numbers of a head.
  CHECK_THAT(stack.theta == 0 || stack.head_size % 2 == 0);
  if (stack.relative.buckets == 0) return;
  // What core/layers/relative_bias takes logarithms of.
  CHECK_THAT(stack.relative.buckets % 4 == 0);
  CHECK_THAT(stack.relative.distance_max > stack.relative.buckets / 4);
}

void CheckArch(const ArchSpec& arch) {
  CHECK_THAT(!arch.family.empty() && !arch.names.empty());
  CHECK_THAT(IsWithin(arch.hidden, 1, kHiddenMax));
  CHECK_THAT(IsWithin(arch.vocabulary, 1, kVocabularyMax));
  CHECK_THAT(IsWithin(arch.length_max, 1, kPositionsMax));
  CHECK_THAT(std::isfinite(arch.norm_epsilon) && arch.norm_epsilon > 0);
  const EmbedSpec& embed = arch.embed;
  CHECK_THAT(IsWithin(embed.token_types, 0, kTokenTypesMax));
  // The longest sequence's last row of the table of positions is in the table.
  CHECK_THAT(embed.positions == 0 ||
             int64_t{arch.length_max} + embed.position_offset <= embed.positions);
  CHECK_THAT(IsWithin(embed.positions, 0, kPositionsMax) && embed.position_offset >= 0);
  CheckStack(arch.encoder);
  CHECK_THAT(arch.labels.size() <= kLabelsMax);
  const bool has_labels =
      arch.head.kind == HeadKind::kSequenceLabels || arch.head.kind == HeadKind::kTokenLabels;
  CHECK_THAT(has_labels == !arch.labels.empty());
  CHECK_THAT(!has_labels || arch.head.outputs == static_cast<int32_t>(arch.labels.size()));
  CHECK_THAT(arch.head.kind == HeadKind::kNone || arch.head.outputs > 0);
}

void CheckConfig(const ModelConfig& config) {
  CheckArch(config.arch);
  CHECK_THAT(IsWithin(config.length_default, 1, config.arch.length_max));
  CHECK_THAT(config.pooling != Pooling::kPooler);
  CHECK_THAT(config.prompts.size() <= kPromptsMax);
  for (const auto& [name, prompt] : config.prompts) {
    CHECK_THAT(name.size() <= kPromptNameBytesMax && prompt.size() <= kPromptBytesMax);
  }
  CHECK_THAT(config.default_prompt_name.empty() ||
             config.prompts.contains(config.default_prompt_name));
  CHECK_THAT(std::is_sorted(config.files.begin(), config.files.end()));
  CHECK_THAT(std::find(config.files.begin(), config.files.end(), "config.json") !=
             config.files.end());
}

// One line of printable characters that begins with a file's name.
void CheckRefusal(const absl::Status& status) {
  const std::string_view message(status.message().data(), status.message().size());
  CHECK_THAT(message.find(".json: ") != std::string_view::npos);
  CHECK_THAT(message.size() < 1000);
  for (const char c : message) CHECK_THAT(c >= ' ' && c <= '~');
}

void Run(std::string_view input) {
  static Folder folder;
  static const ModelDir dir = *ModelDir::Open(folder.path());
  folder.Write(input);
  const auto config = ReadModelConfig(dir);
  config.ok() ? CheckConfig(*config) : CheckRefusal(config.status());
  if (const auto token = ReadMaskToken(dir); !token.ok()) CheckRefusal(token.status());
}

}  // namespace
}  // namespace attnd

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,
                                          unsigned seed) {
  std::minstd_rand random(seed);
  return attnd::MutateParts(data, size, size_max, attnd::kFiles.size(), random,
                            [&](size_t, std::string_view part, size_t part_size_max) {
                              return attnd::MutateJson(part, part_size_max, random);
                            });
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attnd::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
