// Decoding and reading speed of language models of published sizes with random weights, beside the time that their bytes need.
//
//   linea_lm_bench DEVICE MODEL [TYPE [PROMPT [BATCH [profile]]]]
//   MODEL   rwkv7-0.4b, rwkv7-2.9b, rwkv7-7.2b, mamba2-130m, mamba2-2.7b
//   TYPE    f32, f16 (default), bf16, fp8, or f16 with matrices in blocks: int8 (Q8_0), int4 (Q4_K), q4_0, q5_k, q6_k
//   PROMPT  tokens, 4096; BATCH sequences that are decoded together, 1 = no such measurement
//
// All weights are views of one block of random numbers, so that a model costs the host little memory; the device gets a copy of each.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <random>

#include "core/error.h"
#include "core/quantized.h"
#include "kernels/bench/bench.h"
#include "kernels/bench/profile.h"
#include "kernels/replay.h"
#include "lm/convert.h"
#include "lm/mamba2.h"
#include "lm/rwkv7.h"

namespace linea {
namespace {

constexpr int kWarmUps = 4, kSteps = 64, kPrefills = 3;

// `count` values of a type, a pattern that repeats.
Tensor random_block(DType type, int64_t count) {
  constexpr int64_t kPattern = int64_t{1} << 18;
  std::minstd_rand engine(1);
  std::normal_distribution<float> normal(0, 0.02f);
  Tensor pattern({kPattern}, DType::kF32);
  for (int64_t i = 0; i < kPattern; ++i) pattern.data<float>()[i] = normal(engine);
  pattern = is_quantized(type) ? quantized(pattern, type) : pattern.to(type);
  Tensor block({count}, type);
  for (int64_t done = 0; done < block.bytes(); done += pattern.bytes()) {
    std::memcpy(static_cast<char*>(block.raw()) + done, pattern.raw(),
                static_cast<size_t>(std::min(pattern.bytes(), block.bytes() - done)));
  }
  return block;
}

class RandomTensors {
 public:
  // Matrices of `matrix_type`, which may be quantised, the rest of `type`.
  RandomTensors(DType type, DType matrix_type, int64_t largest) : matrix_type_(matrix_type), largest_(largest) {
    blocks_[type] = random_block(type, largest);
    type_ = type;
  }
  void add(const std::string& name, Shape shape) {
    const DType type = is_matrix(name, shape) && is_quantized(matrix_type_) ? type_of_matrix(name, shape, matrix_type_) : type_;
    if (!blocks_.contains(type)) blocks_[type] = random_block(type, largest_);
    tensors_[name] = blocks_[type].slice(0, 0, shape.elements()).reshape(shape);
  }
  Checkpoint checkpoint() const { return Checkpoint::of_tensors("random", tensors_); }
  // Of everything that a token reads: all but the embedding.
  int64_t bytes_a_token(const std::string& embedding) const {
    int64_t sum = 0;
    for (const auto& [name, tensor] : tensors_) sum += name == embedding ? 0 : tensor.bytes();
    return sum;
  }
  int64_t parameters(const std::string& embedding) const {
    int64_t sum = 0;
    for (const auto& [name, tensor] : tensors_) sum += name == embedding ? 0 : tensor.elements();
    return sum;
  }

 private:
  DType type_ = DType::kF32, matrix_type_;
  int64_t largest_;
  std::map<DType, Tensor> blocks_;
  std::map<std::string, Tensor> tensors_;
};

struct Rwkv7Size {
  int64_t layers, channels, decay, rate, value, gate;
};

RandomTensors rwkv7_tensors(DType type, DType matrix_type, const Rwkv7Size& size) {
  constexpr int64_t kVocabulary = 65536, kHead = 64;
  const int64_t C = size.channels, F = 4 * C;
  RandomTensors t(type, matrix_type, kVocabulary * C);
  t.add("emb.weight", {kVocabulary, C});
  t.add("head.weight", {kVocabulary, C});
  for (const char* name : {"blocks.0.ln0", "ln_out"}) t.add(std::string(name) + ".weight", {C}), t.add(std::string(name) + ".bias", {C});
  for (int64_t i = 0; i < size.layers; ++i) {
    const std::string block = "blocks." + std::to_string(i) + ".", att = block + "att.";
    for (const char* name : {"ln1", "ln2", "att.ln_x"}) t.add(block + name + ".weight", {C}), t.add(block + name + ".bias", {C});
    for (const char* name : {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"}) t.add(att + name, {C});
    const std::map<std::string, int64_t> ranks = {{"w", size.decay}, {"a", size.rate}, {"v", size.value}, {"g", size.gate}};
    for (const auto& [name, rank] : ranks) {
      if (name != "g") t.add(att + name + "0", {C});
      t.add(att + name + "1", {C, rank});
      t.add(att + name + "2", {rank, C});
    }
    t.add(att + "k_k", {C});
    t.add(att + "k_a", {C});
    t.add(att + "r_k", {C / kHead, kHead});
    for (const char* name : {"receptance", "key", "value", "output"}) t.add(att + name + ".weight", {C, C});
    t.add(block + "ffn.x_k", {C});
    t.add(block + "ffn.key.weight", {F, C});
    t.add(block + "ffn.value.weight", {C, F});
  }
  return t;
}

RandomTensors mamba2_tensors(DType type, DType matrix_type, int64_t layers, int64_t channels) {
  constexpr int64_t kVocabulary = 50288, kState = 128, kHead = 64, kTaps = 4;
  const int64_t D = channels, inner = 2 * D, heads = inner / kHead, convolved = inner + 2 * kState;
  RandomTensors t(type, matrix_type, kVocabulary * D);
  t.add("backbone.embeddings.weight", {kVocabulary, D});
  t.add("lm_head.weight", {kVocabulary, D});
  t.add("backbone.norm_f.weight", {D});
  for (int64_t i = 0; i < layers; ++i) {
    const std::string layer = "backbone.layers." + std::to_string(i) + ".", mixer = layer + "mixer.";
    t.add(layer + "norm.weight", {D});
    t.add(mixer + "in_proj.weight", {inner + convolved + heads, D});
    t.add(mixer + "conv1d.weight", {convolved, 1, kTaps});
    t.add(mixer + "conv1d.bias", {convolved});
    for (const char* name : {"dt_bias", "A_log", "D"}) t.add(mixer + name, {heads});
    t.add(mixer + "norm.weight", {inner});
    t.add(mixer + "out_proj.weight", {D, inner});
  }
  return t;
}

struct Loaded {
  std::unique_ptr<LanguageModel> model;
  int64_t bytes_a_token, parameters;
};

Loaded load(Context& ctx, const std::string& name, DType matrix_type) {
  const std::map<std::string, Rwkv7Size> rwkv7 = {{"rwkv7-0.4b", {24, 1024, 64, 64, 32, 128}},
                                                  {"rwkv7-2.9b", {32, 2560, 96, 96, 64, 320}},
                                                  {"rwkv7-7.2b", {32, 4096, 128, 128, 96, 480}}};
  if (const auto found = rwkv7.find(name); found != rwkv7.end()) {
    const RandomTensors tensors = rwkv7_tensors(ctx.dtype, matrix_type, found->second);
    return {std::make_unique<Rwkv7>(Rwkv7::load(ctx, tensors.checkpoint())), tensors.bytes_a_token("emb.weight"),
            tensors.parameters("emb.weight")};
  }
  const std::map<std::string, std::pair<int64_t, int64_t>> mamba2 = {{"mamba2-130m", {24, 768}}, {"mamba2-2.7b", {64, 2560}}};
  if (const auto found = mamba2.find(name); found != mamba2.end()) {
    const RandomTensors tensors = mamba2_tensors(ctx.dtype, matrix_type, found->second.first, found->second.second);
    return {std::make_unique<Mamba2>(Mamba2::load(ctx, tensors.checkpoint(), Mamba2Config{})),
            tensors.bytes_a_token("backbone.embeddings.weight"), tensors.parameters("backbone.embeddings.weight")};
  }
  throw Error(ErrorKind::kUsage, "unknown model " + name, "rwkv7-0.4b, rwkv7-2.9b, rwkv7-7.2b, mamba2-130m, mamba2-2.7b");
}

double seconds_of(Context& ctx, const std::function<void()>& work) {
  ctx.backend->synchronize();
  const auto begin = std::chrono::steady_clock::now();
  work();
  ctx.backend->synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void print_ops(const std::vector<bench::OpTotal>& ops, const bench::Rates& rates) {
  double total = 0;
  for (const bench::OpTotal& op : ops) total += op.seconds;
  for (const bench::OpTotal& op : ops) {
    if (op.seconds < 0.01 * total) continue;
    const double floor = std::max(op.bytes / rates.copy_bytes, op.f32_math ? 0.0 : op.flops / rates.gemm_flops);
    std::printf("  %7.2f ms %4.1f %% %4d x %7.1f us, floor %7.1f  %.70s\n", op.seconds * 1e3, op.seconds / total * 100, op.calls,
                op.seconds / op.calls * 1e6, floor / op.calls * 1e6, op.name.c_str());
  }
}

class Bench {
 public:
  Bench(Context& ctx, const LanguageModel& model, int64_t prompt, int64_t batch)
      : ctx_(ctx), model_(model), tokens_(static_cast<size_t>(prompt), 1), state_(model.initial_state(ctx)) {
    Arena plan = Arena::planning(ctx.backend->device());
    Context planner = ctx;
    planner.arena = &plan;
    const auto row = planner.allocate({1 + batch, model.vocabulary_size()}, DType::kF32);
    const std::vector<int32_t> most(static_cast<size_t>(std::max(prompt, batch)), 1);
    model.prefill(planner, most, state_, row.slice(0, 0, 1));
    arena_ = std::make_unique<Arena>(ctx.backend->device(), plan.peak());
    ctx_.arena = arena_.get();
    logits_ = ctx_.allocate({1, model.vocabulary_size()}, DType::kF32);
    for (size_t i = 0; i < tokens_.size(); ++i) tokens_[i] = static_cast<int32_t>(i * 31 % 50000);
  }

  double step_seconds(bool captured) { return steps_seconds(captured, state_, logits_); }
  double batch_seconds(int64_t sequences) {
    const Arena::Scope scope(*ctx_.arena);
    const Tensor logits = ctx_.allocate({sequences, model_.vocabulary_size()}, DType::kF32);
    State states = State::repeated(state_, sequences);
    return steps_seconds(true, states, logits);
  }
  int64_t state_bytes() const { return state_.bytes(); }
  double prefill_seconds() {
    double best = 1e30;
    for (int i = 0; i < kPrefills; ++i) best = std::min(best, seconds_of(ctx_, [&] { model_.prefill(ctx_, tokens_, state_, logits_); }));
    return best;
  }
  void print_profiles(const bench::Rates& rates, int64_t sequences) {
    const auto first = std::span(tokens_).first(1);
    print_profile("step by op (launched one by one)", rates, first, state_, logits_);
    if (sequences > 1) {
      const Arena::Scope scope(*ctx_.arena);
      const Tensor logits = ctx_.allocate({sequences, model_.vocabulary_size()}, DType::kF32);
      State states = State::repeated(state_, sequences);
      print_profile("step of all texts by op", rates, std::vector<int32_t>(static_cast<size_t>(sequences), 7), states, logits);
    }
    print_profile("prompt by op", rates, tokens_, state_, logits_);
  }

 private:
  double steps_seconds(bool captured, State& state, const Tensor& logits) {
    ReplayCache replays;
    std::vector<int32_t> ids(static_cast<size_t>(logits.dim(0)), 7);
    ctx_.replays = captured ? &replays : nullptr;
    for (int i = 0; i < kWarmUps; ++i) model_.prefill(ctx_, ids, state, logits);
    const double seconds = seconds_of(ctx_, [&] {
      for (int i = 0; i < kSteps; ++i) model_.prefill(ctx_, ids, state, logits);
    });
    ctx_.replays = nullptr;
    return seconds / kSteps;
  }

  void print_profile(const char* title, const bench::Rates& rates, std::span<const int32_t> tokens, State& state, const Tensor& logits) {
    bench::ProfilingBackend profiler(*ctx_.backend);
    Context profiled = ctx_;
    profiled.backend = &profiler;
    std::printf("%s\n", title);
    model_.prefill(profiled, tokens, state, logits);
    print_ops(profiler.take(), rates);
  }

  Context ctx_;
  const LanguageModel& model_;
  std::vector<int32_t> tokens_;
  State state_;
  std::unique_ptr<Arena> arena_;
  Tensor logits_;
};

struct Options {
  std::string device, model, type = "f16";
  int64_t prompt = 4096, batch = 1;
  bool profile = false;
};

DType matrix_type_of(const std::string& type) {
  if (type == "int8") return DType::kQ8_0;
  if (type == "int4") return DType::kQ4_K;
  return type.starts_with('q') ? parse_weight_type("TYPE", type) : DType::kF16;
}

void run(const Options& o) {
  Backend& backend = backend_of(parse_device(o.device));
  Arena measuring(backend.device(), int64_t{1} << 30);
  Context ctx;
  ctx.backend = &backend;
  ctx.arena = &measuring;
  ctx.dtype = o.type == "f32" ? DType::kF32 : o.type == "bf16" ? DType::kBF16 : DType::kF16;
  ctx.fp8 = o.type == "fp8";
  const bench::Rates rates = bench::measure_rates(ctx);
  const Loaded loaded = load(ctx, o.model, matrix_type_of(o.type));
  Bench bench(ctx, *loaded.model, o.prompt, o.batch);
  const auto parameters = static_cast<double>(loaded.parameters), state = static_cast<double>(bench.state_bytes());
  const double bytes = ctx.fp8 ? parameters : static_cast<double>(loaded.bytes_a_token), floor = bytes / rates.copy_bytes;
  std::printf("%s %s: %.2f GB a token, state %.3f GB, copy %.0f GB/s, GEMM %.0f TFLOPS, floor %.0f tokens/s\n", o.model.c_str(),
              o.type.c_str(), bytes / 1e9, state / 1e9, rates.copy_bytes / 1e9, rates.gemm_flops / 1e12, 1 / floor);
  for (const bool captured : {false, true}) {
    const double step = bench.step_seconds(captured);
    std::printf("decode %-10s %8.3f ms %7.1f tokens/s, %.1f %% of the floor's\n", captured ? "captured" : "op by op", step * 1e3, 1 / step,
                100 * floor / step);
  }
  if (o.batch > 1) {
    const auto count = static_cast<double>(o.batch);
    const double step = bench.batch_seconds(o.batch), least = floor + 2 * count * state / rates.copy_bytes;
    std::printf("decode %ld together %8.3f ms %7.0f tokens/s, %.1f %% of the floor's with states\n", static_cast<long>(o.batch), step * 1e3,
                count / step, 100 * least / step);
  }
  const double prefill = bench.prefill_seconds(), prompt = static_cast<double>(o.prompt);
  std::printf("prompt of %ld  %8.1f ms %7.0f tokens/s, %.0f TFLOPS\n", static_cast<long>(o.prompt), prefill * 1e3, prompt / prefill,
              2 * parameters * prompt / prefill / 1e12);
  if (o.profile) bench.print_profiles(rates, o.batch);
}

}  // namespace
}  // namespace linea

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  if (words.size() < 2) {
    std::fprintf(stderr, "usage: linea_lm_bench DEVICE MODEL [TYPE [PROMPT [BATCH [profile]]]]\n");
    return 2;
  }
  try {
    linea::Options options = {.device = words[0], .model = words[1]};
    if (words.size() > 2) options.type = words[2];
    if (words.size() > 3) options.prompt = std::stol(words[3]);
    if (words.size() > 4) options.batch = std::stol(words[4]);
    options.profile = words.size() > 5;
    linea::run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "linea_lm_bench: %s\n", error.what());
    return 1;
  }
}
