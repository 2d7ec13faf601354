#include "kernels/bench/bench.h"

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <ctime>

#include "core/checkpoint.h"
#include "kernels/backend.h"

namespace linea::bench {
namespace {

double now(Clock clock) {
  if (clock == Clock::kCpu) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds_of(Context& ctx, Clock clock, const std::function<void()>& run) {
  if (!ctx.backend->device().is_cpu()) {
    constexpr int kCalls = 5;  // in flight together, so that the host's part of a call hides behind the device's
    const auto begin = ctx.backend->mark_time();
    for (int i = 0; i < kCalls; ++i) run();
    const auto end = ctx.backend->mark_time();
    return begin->seconds_until(*end) / kCalls;
  }
  const double start = now(clock);
  run();
  ctx.backend->synchronize();
  return now(clock) - start;
}

std::vector<double> repeat(Context& ctx, Clock clock, const std::function<void()>& run, double budget_seconds) {
  constexpr int kMinimum = 5;
  constexpr size_t kMaximum = 2000;
  seconds_of(ctx, clock, run);  // warms caches and builds primitives
  std::vector<double> times;
  double total = 0;
  while (times.size() < kMinimum || (total < budget_seconds && times.size() < kMaximum)) {
    times.push_back(seconds_of(ctx, clock, run));
    total += times.back();
  }
  std::sort(times.begin(), times.end());
  return times;
}

double gemm_rate(Context& ctx, Clock clock, DType dtype) {
  const Device device = ctx.backend->device();
  const int64_t side = device.is_cpu() ? 512 : 8192;  // about a millisecond: fits between two interruptions
  const Tensor random = Checkpoint::random().load("matrix", {side, side}, dtype).to(device), y({side, side}, dtype, device);
  const Tensor left = random;
  const Weight weight = prepare_linear(ctx, random);
  return 2.0 * static_cast<double>(side * side * side) /
         repeat(
             ctx, clock, [&] { linear(ctx, left, weight, y); }, 0.5)
             .front();
}

std::string line(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return std::string(text) + "\n";
}

}  // namespace

Rates measure_rates(Context& ctx, Clock clock) {
  Rates rates;
  rates.gemm_flops_f32 = gemm_rate(ctx, clock, DType::kF32);
  rates.gemm_flops = ctx.dtype == DType::kF32 ? rates.gemm_flops_f32 : gemm_rate(ctx, clock, ctx.dtype);
  constexpr int64_t kRows = 64, kColumns = int64_t{1} << 20;  // 256 MB, beyond any cache
  const Tensor x({kRows, kColumns}, DType::kF32, ctx.backend->device()), y({kRows, kColumns}, DType::kF32, ctx.backend->device());
  cast(ctx, y, x);  // first touch
  rates.copy_bytes = 2.0 * static_cast<double>(x.bytes()) /
                     repeat(
                         ctx, clock, [&] { cast(ctx, x, y); }, 0.5)
                         .front();
  return rates;
}

Result measure(Context& ctx, const Case& benchmark, const Rates& rates, Clock clock, double budget_seconds) {
  const std::vector<double> times = repeat(ctx, clock, benchmark.run, budget_seconds);
  Result result;
  result.name = benchmark.name;
  result.count = benchmark.count;
  result.flops = benchmark.flops;
  result.bytes = benchmark.bytes;
  result.seconds = times.front();
  result.median_seconds = times[times.size() / 2];
  result.floor_seconds =
      std::max(benchmark.flops / (benchmark.f32_math ? rates.gemm_flops_f32 : rates.gemm_flops), benchmark.bytes / rates.copy_bytes);
  return result;
}

std::string format_table(const std::string& title, const std::vector<Result>& results) {
  std::string text = title + "\n";
  text += line("  %-44s %6s %9s %9s %9s %7s %9s %8s", "op", "calls", "best ms", "median", "floor ms", "ratio", "GFLOP/s", "GB/s");
  double seconds = 0, floor = 0;
  for (const Result& r : results) {
    text += line("  %-44s %6d %9.3f %9.3f %9.3f %7.2f %9.1f %8.1f", r.name.c_str(), r.count, 1e3 * r.seconds, 1e3 * r.median_seconds,
                 1e3 * r.floor_seconds, r.ratio(), 1e-9 * r.flops / r.seconds, 1e-9 * r.bytes / r.seconds);
    seconds += r.count * r.seconds;
    floor += r.count * r.floor_seconds;
  }
  text += line("  %-44s %6s %9.1f %9s %9.1f %7.2f", "all calls", "", 1e3 * seconds, "", 1e3 * floor, floor > 0 ? seconds / floor : 0);
  return text;
}

}  // namespace linea::bench
