// kernels/bench/bench.h: times ops beside their floors. `linea bench` and tests/bench print what this measures.
//
// The floor of an op is the larger of its FLOPs over the GEMM rate and its bytes over the copy rate, both measured on the same device in
// the same run. Bytes count every operand once from memory; operands that fit a cache can beat that part of the floor.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace linea::bench {

struct Rates {
  double gemm_flops = 0;      // of the context's type, per second
  double gemm_flops_f32 = 0;  // what attention and depthwise convolutions compute in
  double copy_bytes = 0;      // read + written, per second
};

// kCpu is the process's CPU time: with one thread it stays right on a machine that others keep busy.
enum class Clock { kWall, kCpu };

Rates measure_rates(Context& ctx, Clock clock = Clock::kWall);

struct Case {
  std::string name;
  int count = 1;  // calls in one step or picture
  double flops = 0, bytes = 0;
  bool f32_math = false;
  std::function<void()> run;
};

struct Result {
  std::string name;
  int count = 1;
  double seconds = 0;  // of one call: the best of the repetitions, since other programs only ever add time
  double median_seconds = 0;
  double floor_seconds = 0;
  double flops = 0, bytes = 0;
  double ratio() const { return floor_seconds > 0 ? seconds / floor_seconds : 0; }
};
Result measure(Context& ctx, const Case& benchmark, const Rates& rates, Clock clock = Clock::kWall, double budget_seconds = 0.3);

// One line a result and a total weighted by the counts.
std::string format_table(const std::string& title, const std::vector<Result>& results);

}  // namespace linea::bench
