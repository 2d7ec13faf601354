// Reading and decoding speed of llama.cpp, measured as linea_lm_speed measures Linea's. See compare.sh.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "llama.h"

static double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Reads ids and waits for the logits after the last.
static double seconds_to_read(llama_context* context, std::vector<llama_token> ids) {
  const auto begin = std::chrono::steady_clock::now();
  if (llama_decode(context, llama_batch_get_one(ids.data(), static_cast<int32_t>(ids.size()))) != 0) std::exit(1);
  if (!llama_get_logits_ith(context, -1)) std::exit(1);
  return seconds_since(begin);
}

int main(int count, char** arguments) {
  if (count != 5) {
    std::fprintf(stderr, "usage: llama_speed MODEL THREADS PROMPT STEPS\n");
    return 2;
  }
  const int threads = std::atoi(arguments[2]), prompt = std::atoi(arguments[3]), steps = std::atoi(arguments[4]);
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_backend_init();
  llama_model* model = llama_model_load_from_file(arguments[1], llama_model_default_params());
  if (!model) return 1;
  llama_context_params parameters = llama_context_default_params();
  parameters.n_ctx = 4096;
  parameters.n_batch = 2048;
  parameters.n_threads = parameters.n_threads_batch = threads;
  parameters.no_perf = true;
  llama_context* context = llama_init_from_model(model, parameters);
  if (!context) return 1;
  std::vector<llama_token> ids(static_cast<size_t>(prompt));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<llama_token>((7 + i * 7919) % 50000);
  seconds_to_read(context, ids);  // touches every page of the weights
  const double prefill = seconds_to_read(context, ids);
  std::vector<double> seconds;
  for (int i = 0; i < steps; ++i) seconds.push_back(seconds_to_read(context, {7 + i * 31 % 1000}));
  std::nth_element(seconds.begin(), seconds.begin() + steps / 2, seconds.end());
  std::printf("%.2f %.2f\n", prompt / prefill, 1 / seconds[static_cast<size_t>(steps / 2)]);
}
