// linea_kernels_bench [f32|bf16|f16] [cpu-time] [step600m|step1600m|builtin|decoder|dcae512]...: ops of SANA beside their floors, on the
// CPU. Threads by OMP_NUM_THREADS; on a busy machine take one, and cpu-time.
#include <cstdio>
#include <cstring>

#include "core/threads.h"
#include "kernels/backend.h"
#include "kernels/bench/sana_cases.h"

namespace linea::bench {
namespace {

std::vector<Case> suite(Context& ctx, const std::string& name) {
  if (name == "step600m") return transformer_step(ctx, kSana600M1024);
  if (name == "step1600m") return transformer_step(ctx, kSana1600M1024);
  if (name == "builtin") return transformer_step(ctx, kBuiltIn512);
  if (name == "decoder") return decoder_picture(ctx, built_in_decoder());
  if (name == "dcae512") return decoder_picture(ctx, dc_ae_decoder(512));
  throw Error(ErrorKind::kUsage, "unknown suite '" + name + "'", "use step600m, step1600m, builtin, decoder or dcae512");
}

void run(const std::vector<std::string>& arguments) {
  Arena arena(kCpuDevice, int64_t{1} << 30);
  Context ctx;
  ctx.backend = &backend_of(kCpuDevice);
  ctx.arena = &arena;
  std::vector<std::string> suites;
  Clock clock = Clock::kWall;
  for (const std::string& argument : arguments) {
    if (argument == "f32" || argument == "bf16" || argument == "f16") {
      ctx.dtype = parse_float_dtype(argument);
    } else if (argument == "cpu-time") {
      clock = Clock::kCpu;
    } else {
      suites.push_back(argument);
    }
  }
  if (suites.empty()) suites = {"builtin", "decoder", "step600m"};
  const Rates rates = measure_rates(ctx, clock);
  std::printf("%d threads, %s: GEMM %.0f GFLOP/s (f32 %.0f), copy %.1f GB/s\n", thread_count(), std::string(name_of(ctx.dtype)).c_str(),
              1e-9 * rates.gemm_flops, 1e-9 * rates.gemm_flops_f32, 1e-9 * rates.copy_bytes);
  for (const std::string& name : suites) {
    std::vector<Result> results;
    for (const Case& benchmark : suite(ctx, name)) results.push_back(measure(ctx, benchmark, rates, clock));
    std::fputs(format_table(name, results).c_str(), stdout);
  }
}

}  // namespace
}  // namespace linea::bench

int main(int argc, char** argv) {
  try {
    linea::bench::run({argv + 1, argv + argc});
  } catch (const linea::Error& e) {
    std::fprintf(stderr, "%s\n%s\n", e.what(), e.hint().c_str());
    return linea::exit_code(e.kind());
  }
}
