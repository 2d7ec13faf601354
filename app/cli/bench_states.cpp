#include "app/cli/bench_states.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "app/cli/bench_times.h"
#include "app/cli/options.h"
#include "core/threads.h"
#include "kernels/backend.h"
#include "lm/session/chat_session.h"

namespace linea::cli {
namespace {

constexpr int64_t kHead = 64, kCacheBytes = int64_t{6} << 30;
constexpr int kExchanges = 8, kRepetitions = 3;
constexpr std::chrono::seconds kBetweenMessages(1);  // nobody writes faster
constexpr int64_t kLargeState = 16'000'000;          // bytes: memory for the next one is made ready meanwhile
constexpr int64_t kInMemory = 4;                     // states, where the others are on the disk

struct PublishedSize {
  std::string name;
  int64_t layers;
  std::vector<Shape> parts;  // of a layer's state
  int64_t vocabulary;
};

PublishedSize rwkv4(const std::string& size, int64_t layers, int64_t C) { return {"RWKV-4 " + size, layers, {{C}, {3, C}, {C}}, 50277}; }

PublishedSize rwkv(const std::string& name, int64_t layers, int64_t C) {
  return {"RWKV-" + name, layers, {{C}, {C / kHead, kHead, kHead}, {C}}, 65536};
}

PublishedSize mamba1(const std::string& size, int64_t layers, int64_t D) {
  return {"Mamba " + size, layers, {{3, 2 * D}, {16, 2 * D}}, 50280};
}

PublishedSize mamba2(const std::string& name, int64_t layers, int64_t D, int64_t groups = 1, int64_t vocabulary = 50288) {
  constexpr int64_t kStates = 128;
  return {name, layers, {{3, 2 * D + 2 * groups * kStates}, {2 * D / kHead, kStates, kHead}}, vocabulary};
}

std::vector<PublishedSize> published_sizes() {
  return {rwkv4("169M", 12, 768),
          rwkv4("430M", 24, 1024),
          rwkv4("1.5B", 24, 2048),
          rwkv4("3B", 32, 2560),
          rwkv4("7B", 32, 4096),
          rwkv4("14B", 40, 5120),
          rwkv("5 0.4B", 24, 1024),
          rwkv("5 1.5B", 24, 2048),
          rwkv("5 3B", 32, 2560),
          rwkv("5 7B", 32, 4096),
          rwkv("6 1.6B", 24, 2048),
          rwkv("6 3B", 32, 2560),
          rwkv("6 7B", 32, 4096),
          rwkv("6 14B", 61, 4096),
          rwkv("7 0.1B", 12, 768),
          rwkv("7 0.4B", 24, 1024),
          rwkv("7 1.5B", 24, 2048),
          rwkv("7 2.9B", 32, 2560),
          rwkv("7 7.2B", 32, 4096),
          rwkv("7 13.3B", 61, 4096),
          mamba1("130m", 24, 768),
          mamba1("370m", 48, 1024),
          mamba1("790m", 48, 1536),
          mamba1("1.4b", 48, 2048),
          mamba1("2.8b", 64, 2560),
          mamba2("Mamba-2 130m", 24, 768),
          mamba2("Mamba-2 370m", 48, 1024),
          mamba2("Mamba-2 780m", 48, 1536),
          mamba2("Mamba-2 1.3b", 48, 2048),
          mamba2("Mamba-2 2.7b", 64, 2560),
          mamba2("Mamba-Codestral 7B", 64, 4096, 8, 32768)};
}

// Has a published model's state, filled with random numbers, and no weights: what is timed around it is the session's work alone.
class StateOnly final : public LanguageModel {
 public:
  explicit StateOnly(const PublishedSize& size) : size_(size) {}
  int64_t vocabulary_size() const override { return size_.vocabulary; }
  int64_t layers() const override { return size_.layers; }
  State initial_state(Context& ctx) const override {
    State state(size_.layers, size_.parts, ctx.backend->device());
    std::minstd_rand random(1);
    for (int64_t i = 0; i < state.layers(); ++i) {
      for (const Tensor& part : state.layer(i)) {
        for (int64_t j = 0; j < part.elements(); ++j) part.data<float>()[j] = static_cast<float>(random()) * 1e-9f;
      }
    }
    return state;
  }
  void prefill(Context& ctx, std::span<const int32_t> tokens, State& state, const Tensor& logits) const override {
    if (ctx.planning()) return;
    state.own();
    std::fill_n(logits.data<float>(), logits.elements(), 0.0f);
    logits.data<float>()['a'] = 50;  // what it answers
    state.part(0, 0).data<float>()[0] += static_cast<float>(tokens.size());
  }

 private:
  PublishedSize size_;
};

// A token a byte; 0 ends a text.
class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() { special_.eos = 0; }
  std::vector<int32_t> encode_without_template(std::string_view text) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const int32_t> ids, bool) const override {
    std::string text;
    for (const int32_t id : ids) text += token_bytes(id);
    return text;
  }
  std::string token_bytes(int32_t id) const override { return id > 0 && id < 256 ? std::string(1, static_cast<char>(id)) : ""; }
  int32_t vocabulary_size() const override { return 256; }
  int32_t id_of(std::string_view piece) const override { return piece.size() == 1 ? static_cast<unsigned char>(piece[0]) : -1; }
};

double median_seconds(const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i < kRepetitions; ++i) seconds.push_back(seconds_of(work));
  return median(std::move(seconds));
}

// In seconds, of all depths.
struct OfDepths {
  double usual = 0, slowest = 0;
};

struct Undos {
  OfDepths undo, message_after;
};

struct Times {
  double state_bytes = 0, file_bytes = 0;
  double branch = 0, save = 0, load = 0;  // seconds
  Undos in_memory;
  std::optional<Undos> from_disk;  // none where a state is too small to be worth a place there
  OfDepths copy;
};

// What the message after an undo waits for at least: a bare copy of as much memory that was written before.
class BareCopy {
 public:
  explicit BareCopy(int64_t bytes) : from_({bytes}, DType::kI8), to_({bytes}, DType::kI8) {
    std::memset(from_.raw(), 1, static_cast<size_t>(bytes));
    std::memset(to_.raw(), 1, static_cast<size_t>(bytes));
  }
  void run() const {
    parallel_for(from_.bytes(), kPiece, [&](int64_t begin, int64_t end) {
      std::memcpy(to_.data<int8_t>() + begin, from_.data<int8_t>() + begin, static_cast<size_t>(end - begin));
    });
  }

 private:
  static constexpr int64_t kPiece = int64_t{1} << 20;
  Tensor from_, to_;
};

// A model's state alone, in conversations that are long over.
class StateBench {
 public:
  explicit StateBench(const PublishedSize& size) : model_(size), vocabulary_(tokenizer_, size.vocabulary, {0}) {
    context_.backend = &backend_of(kCpuDevice);
    runner_ = std::make_unique<Runner>(model_, context_);
  }

  Times run(const std::filesystem::path& file) {
    Times times;
    {
      PrefixCache cache(kCacheBytes);
      ChatSession chat = session(cache);
      exchange(chat, cache);
      const Snapshot here = *chat.read_path({}).snapshot;
      times.state_bytes = static_cast<double>(here.state.bytes());
      int64_t copied = 0;
      times.branch = median_seconds([&] { copied += Snapshot(here).bytes(); });
      times.save = median_seconds([&] { chat.save(file, here.bytes()); });
      times.file_bytes = static_cast<double>(std::filesystem::file_size(file));
      times.load = median_seconds([&] {
        PrefixCache empty(kCacheBytes);
        session(empty).load(file);
      });
      std::filesystem::remove(file);
      times.in_memory = undos(chat, cache);
    }
    const int64_t one = runner_->start().bytes() + model_.vocabulary_size() * static_cast<int64_t>(sizeof(float));
    PrefixCache small(kInMemory * one, std::make_unique<StateShelf>(file.parent_path(), 4 * kExchanges * (one + 8192)));
    ChatSession chat = session(small);
    exchange(chat, small);
    if (small.shelved() > 0) times.from_disk = undos(chat, small);
    times.copy = summary(copies_);
    return times;
  }

 private:
  ChatSession session(PrefixCache& cache) { return ChatSession({runner_.get(), &vocabulary_, &template_, &cache, "random numbers"}); }

  // What does not stay in memory is on the disk when the next message comes.
  void exchange(ChatSession& chat, const PrefixCache& cache) const {
    for (int i = 0; i < kExchanges; ++i) {
      chat.say("question " + std::to_string(i));
      chat.answer({.sampling = {.temperature = 0}, .max_tokens = 3}, {});
      while (cache.size() > cache.shelved() + static_cast<size_t>(cache.bytes() / std::max<int64_t>(runner_->start().bytes(), 1)))
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // Undo: until the state of the earlier message is at hand. The message after it: until that is read, by a copy of the state, which it
  // changes. A bare copy follows.
  Undos undos(ChatSession& chat, PrefixCache& cache) {
    std::vector<double> undo, message;
    const BareCopy bare(runner_->start().bytes());
    for (int depth = 1; depth < kExchanges; ++depth) {
      if (runner_->start().bytes() > kLargeState) std::this_thread::sleep_for(kBetweenMessages);
      undo.push_back(seconds_of([&] {
        chat.undo();
        if (!cache.longest_prefix(chat.prompt_text()).snapshot) throw Error(ErrorKind::kInternal, "an earlier state was lost");
      }));
      message.push_back(seconds_of([&] {
        chat.say("another");
        chat.read_path({});
      }));
      copies_.push_back(seconds_of([&] { bare.run(); }));
      chat.undo();
    }
    return {summary(undo), summary(message)};
  }

  static OfDepths summary(const std::vector<double>& seconds) {
    return {median(seconds), *std::max_element(seconds.begin(), seconds.end())};
  }

  StateOnly model_;
  Context context_;
  std::unique_ptr<Runner> runner_;
  ByteTokenizer tokenizer_;
  Vocabulary vocabulary_;
  ChatTemplate template_ = ChatTemplate::named("world");
  std::vector<double> copies_;  // seconds of each
};

nlohmann::ordered_json as_json(const PublishedSize& size, const Times& t) {
  using Json = nlohmann::ordered_json;
  const auto of = [](const OfDepths& d) { return Json({{"median_seconds", d.usual}, {"slowest_seconds", d.slowest}}); };
  return {{"model", size.name},
          {"state_bytes", t.state_bytes},
          {"branch_seconds", t.branch},
          {"undo", of(t.in_memory.undo)},
          {"message_after", of(t.in_memory.message_after)},
          {"undo_from_disk", t.from_disk ? of(t.from_disk->undo) : Json()},
          {"message_after_from_disk", t.from_disk ? of(t.from_disk->message_after) : Json()},
          {"bare_copy", of(t.copy)},
          {"file_bytes", t.file_bytes},
          {"save_seconds", t.save},
          {"load_seconds", t.load}};
}

void print_heading() {
  std::puts(
      "Usual and slowest times of all depths. Undo: until the earlier state is at hand, on the disk as a mapping. Message: the one after,\n"
      "until it is read, its copy of the state included and a model's own work left out. Bare copy: of as much memory, beside it.");
  std::printf("%-20s %9s %10s %15s %15s %15s %15s %15s %9s %9s %9s\n", "model", "state, MB", "branch, ms", "undo, ms", "message, ms",
              "undo, disk, ms", "message, ms", "bare copy, ms", "file, MB", "save, ms", "load, ms");
}

void print_row(const PublishedSize& size, const Times& t) {
  std::printf("%-20s %9.2f %10.3f", size.name.c_str(), 1e-6 * t.state_bytes, 1e3 * t.branch);
  const auto print = [](const OfDepths& d) { std::printf(" %7.2f %7.2f", 1e3 * d.usual, 1e3 * d.slowest); };
  print(t.in_memory.undo);
  print(t.in_memory.message_after);
  if (t.from_disk) {
    print(t.from_disk->undo);
    print(t.from_disk->message_after);
  } else {
    std::printf(" %15s %15s", "-", "-");
  }
  print(t.copy);
  std::printf(" %9.2f %9.1f %9.1f\n", 1e-6 * t.file_bytes, 1e3 * t.save, 1e3 * t.load);
  std::fflush(stdout);
}

}  // namespace

int bench_states(bool json) {
  const std::filesystem::path file = std::filesystem::temp_directory_path() / ("linea-bench-" + std::to_string(getpid()) + ".conversation");
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  if (!json) print_heading();
  for (const PublishedSize& size : published_sizes()) {
    const Times t = StateBench(size).run(file);
    rows.push_back(as_json(size, t));
    if (!json) print_row(size, t);
  }
  if (json) std::printf("%s\n", nlohmann::ordered_json({{"suite", "states"}, {"rows", rows}}).dump(2).c_str());
  return 0;
}

}  // namespace linea::cli
