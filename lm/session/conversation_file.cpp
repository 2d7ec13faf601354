// Conversations with their states as files: a safetensors container, whose metadata holds the tree.
#include <cmath>
#include <cstring>

#include "core/safetensors.h"
#include "core/text.h"
#include "core/threads.h"
#include "core/whole_number.h"
#include "lm/session/chat_session.h"

namespace linea {
namespace {

constexpr const char* kFormat = "linea.conversation/1";

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

std::string name_of_part(size_t snapshot, int64_t layer, size_t part) {
  return "snapshot." + std::to_string(snapshot) + ".layer." + std::to_string(layer) + "." + std::to_string(part);
}

// Of the tensors' bytes, in words of eight: a file that was damaged on the disk shows.
class Checksum {
 public:
  void add(const Tensor& tensor) {
    const auto* bytes = static_cast<const char*>(tensor.raw());
    const int64_t rest = tensor.bytes() % 8, whole = tensor.bytes() - rest;
    for (int64_t at = 0; at < whole; at += 8) {
      uint64_t word;
      std::memcpy(&word, bytes + at, 8);
      add(word);
    }
    uint64_t last = 0;
    std::memcpy(&last, bytes + whole, static_cast<size_t>(rest));
    if (rest > 0) add(last);
  }
  std::string text() const {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(sum_));
    return digits;
  }

 private:
  void add(uint64_t word) {
    sum_ = (sum_ ^ word) * 0xff51afd7ed558ccdu;
    sum_ ^= sum_ >> 32;
  }

  uint64_t sum_ = 0x9e3779b97f4a7c15u;
};

std::string checksum(const NamedTensors& tensors) {
  Checksum sum;
  for (const auto& [name, tensor] : tensors) sum.add(tensor);
  return sum.text();
}

void add_snapshot(const Snapshot& snapshot, size_t index, NamedTensors& tensors) {
  for (int64_t layer = 0; layer < snapshot.state.layers(); ++layer) {
    const std::vector<Tensor>& parts = snapshot.state.layer(layer);
    for (size_t part = 0; part < parts.size(); ++part) tensors.emplace_back(name_of_part(index, layer, part), parts[part].to(kCpuDevice));
  }
  const Tensor logits({static_cast<int64_t>(snapshot.logits.size())}, DType::kF32);
  std::memcpy(logits.raw(), snapshot.logits.data(), snapshot.logits.size() * sizeof(float));
  tensors.emplace_back("snapshot." + std::to_string(index) + ".logits", logits);
}

class ConversationReader {
 public:
  ConversationReader(const std::filesystem::path& path, const State& example, int64_t vocabulary)
      : source_(path.string()), file_(path), example_(example), vocabulary_(vocabulary) {}

  std::string metadata(const char* key) const {
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end()) fail("is not a saved conversation");
    return found->second;
  }

  [[noreturn]] void fail(const std::string& what) const { throw Error(ErrorKind::kBadFile, source_ + ": " + what); }

  // The tensors in the order in which they were summed.
  void check_sum(size_t snapshots) const {
    NamedTensors tensors;
    for (size_t i = 0; i < snapshots; ++i) {
      for (int64_t layer = 0; layer < example_.layers(); ++layer) {
        for (size_t part = 0; part < example_.layer(layer).size(); ++part) {
          const std::string name = name_of_part(i, layer, part);
          tensors.emplace_back(name, find(name, example_.layer(layer)[part].shape()));
        }
      }
      const std::string name = "snapshot." + std::to_string(i) + ".logits";
      tensors.emplace_back(name, find(name, {vocabulary_}));
    }
    if (tensors.size() != file_.tensors().size()) fail("holds tensors that belong to no state");
    if (checksum(tensors) != metadata("checksum")) fail("is damaged: its checksum does not fit");
  }

  Snapshot snapshot(size_t index, int64_t tokens) const {
    Snapshot result;
    result.state = example_.unfilled();
    result.tokens = tokens;
    std::vector<std::pair<std::string, Tensor>> parts;
    for (int64_t layer = 0; layer < example_.layers(); ++layer) {
      for (size_t part = 0; part < example_.layer(layer).size(); ++part) {
        parts.emplace_back(name_of_part(index, layer, part), result.state.layer(layer)[part]);
      }
    }
    const auto copy = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto& [name, to] = parts[static_cast<size_t>(i)];
        allocator_of(to.device()).copy_from_host(to.raw(), finite(name, to.shape()).raw(), to.bytes());
      }
    };
    const auto count = static_cast<int64_t>(parts.size());
    example_.part(0, 0).device().is_cpu() ? parallel_for(count, 1, copy) : copy(0, count);
    const Tensor& logits = finite("snapshot." + std::to_string(index) + ".logits", {vocabulary_});
    result.logits.assign(logits.data<float>(), logits.data<float>() + vocabulary_);
    return result;
  }

 private:
  const Tensor& find(const std::string& name, const Shape& shape) const {
    const auto found = file_.tensors().find(name);
    if (found == file_.tensors().end()) fail(name + " is missing");
    const Tensor& tensor = found->second;
    if (tensor.shape() != shape || tensor.dtype() != DType::kF32)
      fail(name + ": expected " + shape.to_string() + " f32, found " + tensor.describe());
    return tensor;
  }

  const Tensor& finite(const std::string& name, const Shape& shape) const {
    const Tensor& tensor = find(name, shape);
    const float* values = tensor.data<float>();
    bool all = true;
    for (int64_t i = 0; i < tensor.elements(); ++i) all &= std::isfinite(values[i]);
    if (!all) fail(name + ": holds a value that is not a number");
    return tensor;
  }

  std::string source_;
  SafetensorsFile file_;
  const State& example_;
  int64_t vocabulary_;
};

}  // namespace

void ChatSession::save(const std::filesystem::path& file, int64_t most_bytes) const {
  NamedTensors tensors;
  Json snapshots = Json::array();
  int64_t bytes = 0;
  for (auto key = kept_.rbegin(); key != kept_.rend(); ++key) {
    const PrefixCache::SnapshotPtr snapshot = parts_.cache->find(*key);
    if (!snapshot || bytes + snapshot->bytes() > most_bytes) continue;
    bytes += snapshot->bytes();
    add_snapshot(*snapshot, snapshots.size(), tensors);
    snapshots.push_back({{"low", key->low}, {"high", key->high}, {"length", key->length}, {"tokens", snapshot->tokens}});
  }
  write_safetensors(file, tensors,
                    {{"format", kFormat},
                     {"model", parts_.model_hash},
                     {"conversation", conversation_.to_json().dump(-1, ' ', false, Json::error_handler_t::replace)},
                     {"snapshots", snapshots.dump()},
                     {"checksum", checksum(tensors)}});
}

void ChatSession::load(const std::filesystem::path& path) {
  const Snapshot example = parts_.runner->start();
  try {
    const ConversationReader reader(path, example.state, parts_.runner->model().vocabulary_size());
    if (const std::string format = reader.metadata("format"); format != kFormat)
      reader.fail("has the format '" + printable(format, 40) + "', expected " + kFormat);
    if (reader.metadata("model") != parts_.model_hash) reader.fail("belongs to another model");
    Conversation conversation =
        Conversation::from_json(parse_json(reader.metadata("conversation"), path.string(), ErrorKind::kBadFile), path.string());
    const Json list = parse_json(reader.metadata("snapshots"), path.string(), ErrorKind::kBadFile);
    if (!list.is_array()) reader.fail("its list of states is not one");
    reader.check_sum(list.size());
    std::vector<PrefixKey> kept;
    for (size_t i = list.size(); i-- > 0;) {  // the oldest first, as they were kept
      const auto number = [&](const char* name) { return whole_number<uint64_t>(list[i].at(name), path.string() + ": " + name); };
      const PrefixKey key = {number("low"), number("high"), number("length")};
      const auto tokens = whole_number<int64_t>(list[i].at("tokens"), path.string() + ": tokens");
      if (tokens < 0 || tokens > (int64_t{1} << 60)) reader.fail("a state's number of tokens is impossible");
      parts_.cache->insert(key, std::make_shared<const Snapshot>(reader.snapshot(i, tokens)));
      kept.push_back(key);
    }
    for (const MessageNode& node : conversation.nodes()) {
      for (const int32_t id : node.answer_ids) {
        if (id < 0 || id >= parts_.vocabulary->size()) reader.fail("an answer holds a token that the model does not have");
      }
    }
    conversation_ = std::move(conversation);
    kept_ = std::move(kept);
    waiting_.clear();
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::kBadFile, path.string() + ": its list of states is broken: " + printable(error.what(), 120));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kModel) throw Error(ErrorKind::kBadFile, error.what(), error.hint());
    throw;
  }
}

}  // namespace linea
