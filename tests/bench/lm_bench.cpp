// Decoding and reading speed of language models of published sizes with random weights, beside the time that their bytes need.
//
//   linea_lm_bench DEVICE MODEL [TYPE [PROMPT]]      MODEL: rwkv7-0.4b, rwkv7-2.9b, rwkv7-7.2b, mamba2-130m, mamba2-2.7b
//
// All weights are views of one block of random numbers, so that a model costs the host little memory; the device gets a copy of each.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <random>

#include "core/error.h"
#include "kernels/bench/bench.h"
#include "kernels/bench/profile.h"
#include "kernels/replay.h"
#include "lm/mamba2.h"
#include "lm/rwkv7.h"

namespace linea {
namespace {

constexpr int kWarmUps = 4, kSteps = 64, kPrefills = 3;

class RandomTensors {
 public:
  RandomTensors(DType type, int64_t largest) : block_({largest}, DType::kF32) {
    std::minstd_rand engine(1);
    std::normal_distribution<float> normal(0, 0.02f);
    std::vector<float> values(1 << 16);
    for (float& v : values) v = normal(engine);
    for (int64_t i = 0; i < largest; ++i) block_.data<float>()[i] = values[static_cast<size_t>((i * 7 + i / 65521) & 0xffff)];
    block_ = block_.to(type);
  }
  void add(const std::string& name, Shape shape) { tensors_[name] = block_.slice(0, 0, shape.elements()).reshape(shape); }
  Checkpoint checkpoint() const { return Checkpoint::of_tensors("random", tensors_); }
  // Of everything that a token reads: all but the embedding.
  int64_t bytes_a_token(const std::string& embedding) const {
    int64_t sum = 0;
    for (const auto& [name, tensor] : tensors_) sum += name == embedding ? 0 : tensor.bytes();
    return sum;
  }

 private:
  Tensor block_;
  std::map<std::string, Tensor> tensors_;
};

struct Rwkv7Size {
  int64_t layers, channels, decay, rate, value, gate;
};

RandomTensors rwkv7_tensors(DType type, const Rwkv7Size& size) {
  constexpr int64_t kVocabulary = 65536, kHead = 64;
  const int64_t C = size.channels, F = 4 * C;
  RandomTensors t(type, kVocabulary * C);
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

RandomTensors mamba2_tensors(DType type, int64_t layers, int64_t channels) {
  constexpr int64_t kVocabulary = 50288, kState = 128, kHead = 64, kTaps = 4;
  const int64_t D = channels, inner = 2 * D, heads = inner / kHead, convolved = inner + 2 * kState;
  RandomTensors t(type, kVocabulary * D);
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
  int64_t bytes_a_token;
};

Loaded load(Context& ctx, const std::string& name) {
  const std::map<std::string, Rwkv7Size> rwkv7 = {{"rwkv7-0.4b", {24, 1024, 64, 64, 32, 128}},
                                                  {"rwkv7-2.9b", {32, 2560, 96, 96, 64, 320}},
                                                  {"rwkv7-7.2b", {32, 4096, 128, 128, 96, 480}}};
  if (const auto found = rwkv7.find(name); found != rwkv7.end()) {
    const RandomTensors tensors = rwkv7_tensors(ctx.dtype, found->second);
    return {std::make_unique<Rwkv7>(Rwkv7::load(ctx, tensors.checkpoint())), tensors.bytes_a_token("emb.weight")};
  }
  const std::map<std::string, std::pair<int64_t, int64_t>> mamba2 = {{"mamba2-130m", {24, 768}}, {"mamba2-2.7b", {64, 2560}}};
  if (const auto found = mamba2.find(name); found != mamba2.end()) {
    const RandomTensors tensors = mamba2_tensors(ctx.dtype, found->second.first, found->second.second);
    return {std::make_unique<Mamba2>(Mamba2::load(ctx, tensors.checkpoint(), Mamba2Config{})),
            tensors.bytes_a_token("backbone.embeddings.weight")};
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

void print_ops(const std::vector<bench::OpTotal>& ops) {
  double total = 0;
  for (const bench::OpTotal& op : ops) total += op.seconds;
  for (const bench::OpTotal& op : ops) {
    if (op.seconds < 0.005 * total) continue;
    std::printf("  %6.2f ms %5.1f %% %5d calls %8.1f us each %7.0f GB/s %7.1f TFLOPS  %.90s\n", op.seconds * 1e3, op.seconds / total * 100,
                op.calls, op.seconds / op.calls * 1e6, op.bytes / op.seconds / 1e9, op.flops / op.seconds / 1e12, op.name.c_str());
  }
}

class Bench {
 public:
  Bench(Context& ctx, const LanguageModel& model, int64_t prompt)
      : ctx_(ctx), model_(model), tokens_(static_cast<size_t>(prompt), 1), state_(model.initial_state(ctx)) {
    Arena plan = Arena::planning(ctx.backend->device());
    Context planner = ctx;
    planner.arena = &plan;
    const auto row = planner.allocate({1, model.vocabulary_size()}, DType::kF32);
    model.prefill(planner, tokens_, state_, row);
    arena_ = std::make_unique<Arena>(ctx.backend->device(), plan.peak());
    ctx_.arena = arena_.get();
    logits_ = ctx_.allocate({1, model.vocabulary_size()}, DType::kF32);
    for (size_t i = 0; i < tokens_.size(); ++i) tokens_[i] = static_cast<int32_t>(i * 31 % 50000);
  }

  double step_seconds(bool captured) {
    ReplayCache replays;
    ctx_.replays = captured ? &replays : nullptr;
    for (int i = 0; i < kWarmUps; ++i) model_.step(ctx_, 7, state_, logits_);
    const double seconds = seconds_of(ctx_, [&] {
      for (int i = 0; i < kSteps; ++i) model_.step(ctx_, 7 + i, state_, logits_);
    });
    ctx_.replays = nullptr;
    return seconds / kSteps;
  }
  double prefill_seconds() {
    double best = 1e30;
    for (int i = 0; i < kPrefills; ++i) best = std::min(best, seconds_of(ctx_, [&] { model_.prefill(ctx_, tokens_, state_, logits_); }));
    return best;
  }
  void print_profiles() {
    bench::ProfilingBackend profiler(*ctx_.backend);
    Context profiled = ctx_;
    profiled.backend = &profiler;
    for (const bool whole : {false, true}) {
      std::printf(whole ? "prompt by op\n" : "step by op (launched one by one)\n");
      model_.prefill(profiled, whole ? std::span(tokens_) : std::span(tokens_).first(1), state_, logits_);
      print_ops(profiler.take());
    }
  }

 private:
  Context ctx_;
  const LanguageModel& model_;
  std::vector<int32_t> tokens_;
  State state_;
  std::unique_ptr<Arena> arena_;
  Tensor logits_;
};

void run(const std::string& device, const std::string& name, const std::string& type, int64_t prompt) {
  Backend& backend = backend_of(parse_device(device));
  Arena measuring(backend.device(), int64_t{1} << 30);
  Context ctx;
  ctx.backend = &backend;
  ctx.arena = &measuring;
  ctx.dtype = type == "f32" ? DType::kF32 : type == "f16" ? DType::kF16 : DType::kBF16;
  const double copy_rate = bench::measure_rates(ctx).copy_bytes;
  const Loaded loaded = load(ctx, name);
  Bench bench(ctx, *loaded.model, prompt);
  const double bytes = static_cast<double>(loaded.bytes_a_token), floor = bytes / copy_rate;
  std::printf("%s %s on %s: %.2f GB a token, copy rate %.0f GB/s, floor %.0f tokens/s\n", name.c_str(), type.c_str(), device.c_str(),
              bytes / 1e9, copy_rate / 1e9, 1 / floor);
  for (const bool captured : {false, true}) {
    const double step = bench.step_seconds(captured);
    std::printf("decode %-10s %8.3f ms %7.1f tokens/s, %.1f %% of the floor's\n", captured ? "captured" : "op by op", step * 1e3, 1 / step,
                100 * floor / step);
  }
  const double prefill = bench.prefill_seconds();
  std::printf("prompt of %ld  %8.1f ms %7.0f tokens/s, %.0f TFLOPS\n", static_cast<long>(prompt), prefill * 1e3,
              static_cast<double>(prompt) / prefill, bytes * static_cast<double>(prompt) / prefill / 1e12);
  bench.print_profiles();
}

}  // namespace
}  // namespace linea

int main(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "usage: linea_lm_bench DEVICE MODEL [f16|bf16|f32 [PROMPT]]\n");
    return 2;
  }
  try {
    linea::run(arguments[1], arguments[2], count > 3 ? arguments[3] : "f16", count > 4 ? std::stol(arguments[4]) : 4096);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "linea_lm_bench: %s\n", error.what());
    return 1;
  }
}
