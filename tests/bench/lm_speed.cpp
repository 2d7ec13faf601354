// Reading and decoding speed of one checkpoint on the CPU: Linea's half of tests/bench/llama_cpp/compare.sh.
//
//   linea_lm_speed MODEL THREADS PROMPT STEPS      prints "PREFILL DECODE" in tokens a second: of one prompt, and of the median step
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "kernels/backend.h"
#include "lm/model_folder.h"
#include "lm/session/runner.h"

namespace linea {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void run(const std::string& file, int threads, int prompt, int steps) {
  set_thread_count(threads);
  Context ctx;
  ctx.backend = &backend_of(kCpuDevice);
  const LanguageModelFolder folder = open_language_model(ctx, file);
  Runner runner(*folder.model, ctx);
  Snapshot snapshot = runner.start();
  std::vector<int32_t> ids(static_cast<size_t>(prompt));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((7 + i * 7919) % 50000);
  runner.read(ids, snapshot);  // touches every page of the weights
  const double prefill = seconds_of([&] { runner.read(ids, snapshot); });
  std::vector<double> seconds;
  for (int i = 0; i < steps; ++i) {
    const int32_t id = 7 + i * 31 % 1000;
    seconds.push_back(seconds_of([&] { runner.read(std::span(&id, 1), snapshot); }));
  }
  std::nth_element(seconds.begin(), seconds.begin() + steps / 2, seconds.end());
  std::printf("%.2f %.2f\n", prompt / prefill, 1 / seconds[static_cast<size_t>(steps / 2)]);
}

}  // namespace
}  // namespace linea

int main(int count, char** arguments) {
  if (count != 5) {
    std::fprintf(stderr, "usage: linea_lm_speed MODEL THREADS PROMPT STEPS\n");
    return 2;
  }
  try {
    linea::run(arguments[1], std::stoi(arguments[2]), std::stoi(arguments[3]), std::stoi(arguments[4]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "linea_lm_speed: %s\n", error.what());
    return 1;
  }
}
