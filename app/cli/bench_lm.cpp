#include "app/cli/bench_lm.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "app/cli/options.h"
#include "app/engine/chat_model.h"
#include "core/checkpoint.h"
#include "core/threads.h"
#include "lm/convert.h"
#include "lm/session/batch_runner.h"

namespace linea::cli {
namespace {

// Of all matrices that a token passes through: the embedding gives one row only, unless it is the head too.
struct Weights {
  double parameters = 0, bytes = 0;
};

Weights weights_of(const std::filesystem::path& path, DType dtype) {
  const Checkpoint checkpoint = open_model_source(path).checkpoint;
  Weights weights;
  const bool has_head = checkpoint.contains("head.weight") || checkpoint.contains("lm_head.weight");
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    const bool embedding =
        name == "emb.weight" || name.find("embeddings.weight") != std::string::npos || name.find("embedding.weight") != std::string::npos;
    if (embedding && has_head) continue;
    weights.parameters += static_cast<double>(tensor.elements());
    const bool quantised = is_quantized(dtype) && is_matrix(name, tensor.shape());
    const int64_t bytes = quantised ? bytes_for(type_of_matrix(name, tensor.shape(), dtype), tensor.elements()) : tensor.bytes();
    weights.bytes += static_cast<double>(dtype == DType::kF8E4M3 ? tensor.elements() : bytes);
  }
  return weights;
}

// The best of some repetitions within about a second.
double best_seconds(const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  run();
  double best = 1e30, total = 0;
  for (int i = 0; i < 3 || (total < 1 && i < 300); ++i) {
    const auto start = Clock::now();
    run();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

}  // namespace

int bench_language_model(const LanguageModelBench& o, const bench::Rates& rates) {
  const std::filesystem::path path = find_language_model(o.model);
  LoadedLanguageModel loaded(path, o.device, o.dtype);
  const Weights weights = weights_of(path, loaded.matrix_dtype());
  const bool json = o.json;
  Runner& runner = loaded.runner();
  Snapshot snapshot = runner.start();
  const auto state_bytes = static_cast<double>(snapshot.state.bytes());
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  if (!json) {
    std::printf("%s, %s, %d threads: GEMM %.0f GFLOP/s, copy %.1f GB/s; %.1f M parameters, %.1f MB of weights, state %.2f MB\n",
                loaded.folder().family.c_str(), dtype_name(loaded.dtype()).c_str(), thread_count(), 1e-9 * rates.gemm_flops,
                1e-9 * rates.copy_bytes, 1e-6 * weights.parameters, 1e-6 * weights.bytes, 1e-6 * state_bytes);
    std::printf("%-22s %12s %12s %12s %7s\n", "work", "time", "tokens/s", "floor", "ratio");
  }
  // `passes` over the weights, each of which reads and writes `states` states.
  const auto add_row = [&](const std::string& name, int64_t tokens, double passes, double states, const std::function<void()>& work) {
    const double seconds = best_seconds(work), count = static_cast<double>(tokens);
    const double floor =
        std::max(2 * weights.parameters * count / rates.gemm_flops, passes * (weights.bytes + 2 * states * state_bytes) / rates.copy_bytes);
    rows.push_back({{"name", name},
                    {"tokens", tokens},
                    {"seconds", seconds},
                    {"tokens_per_second", count / seconds},
                    {"floor_seconds", floor},
                    {"ratio", seconds / floor}});
    if (!json)
      std::printf("%-22s %9.3f ms %12.1f %9.3f ms %7.2f\n", name.c_str(), 1e3 * seconds, count / seconds, 1e3 * floor, seconds / floor);
  };
  for (const int64_t tokens : {1, 16, 256, 1024}) {
    const std::vector<int32_t> ids(static_cast<size_t>(tokens), 1);
    const double pieces = std::max(1.0, static_cast<double>(tokens) / static_cast<double>(runner.longest_piece()));
    add_row(tokens == 1 ? "decode" : "read " + std::to_string(tokens) + " tokens", tokens, pieces, 1, [&] { runner.read(ids, snapshot); });
  }
  if (o.batch > 1) {
    BatchRunner batch(runner.model(), runner.context(), o.batch);
    const std::vector<int32_t> ids(static_cast<size_t>(o.batch), 1);
    add_row("decode " + std::to_string(o.batch) + " together", o.batch, 1, static_cast<double>(o.batch), [&] { batch.step(ids); });
  }
  if (json) {
    const nlohmann::ordered_json all = {{"suite", "lm"},
                                        {"model", path.string()},
                                        {"family", loaded.folder().family},
                                        {"threads", thread_count()},
                                        {"gemm_flops", rates.gemm_flops},
                                        {"copy_bytes", rates.copy_bytes},
                                        {"parameters", weights.parameters},
                                        {"weight_bytes", weights.bytes},
                                        {"state_bytes", state_bytes},
                                        {"rows", rows}};
    std::printf("%s\n", all.dump(2).c_str());
  }
  return 0;
}

}  // namespace linea::cli
