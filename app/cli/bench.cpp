// linea bench: times beside their floors.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "app/cli/bench_lm.h"
#include "app/cli/bench_loading.h"
#include "app/cli/bench_memory.h"
#include "app/cli/bench_picture.h"
#include "app/cli/bench_random.h"
#include "app/cli/bench_states.h"
#include "app/cli/commands.h"
#include "app/cli/lm_options.h"
#include "app/cli/options.h"
#include "core/threads.h"
#include "kernels/backend.h"
#include "kernels/bench/sana_cases.h"

namespace linea::cli {
namespace {

const std::vector<std::string> kSuites = {"picture",      "step-mini", "decoder-mini", "step-600m", "step-1600m", "decoder-512",
                                          "decoder-1024", "memory",    "loading",      "lm",        "context",    "states"};

constexpr const char* kBenchFooter = R"(Suites:
  picture       whole stages of a picture with --model: text, denoising step, decode (the default)
  step-mini, step-600m, step-1600m    every op of a denoising step with guidance, by shape
  decoder-mini, decoder-512, decoder-1024    every op of an autoencoder's decoder
  memory        one picture under each limit of --vram: plan (resident, offloaded, streamed; text/transformer/decoder), planned and observed
                peak, times, and whether its bits are the same
  loading       how fast the weights of --model come from the disk, the file cache and pinned memory to a GPU, beside what these give
  lm            reading and answering of the language model --model
  context       the same at every power of two up to --tokens, with the memory of the process
  states        the states of published language models, with random numbers: copying, going back, saving, loading

With --model random:NAME (sana-0.6b, sana-1.6b, sana-4.8b) the picture suite takes the published configuration with random weights made in
memory, and times every op of every stage.

The floor is the larger of FLOPs over the measured GEMM rate and bytes over the measured copy rate of this device, in this run.
Example:
  linea bench picture --model ~/models/Sana_600M_1024px --dtype fp32 --threads 2)";

struct BenchOptions {
  RunOptions run;
  std::string suite = "picture", size, steps = "6", strip_rows = "0", tokens = "262144", batch = "1";
  std::vector<std::string> stages, vram = {"0"};
  bool json = false, compare = false;
};

void print_rows(const std::vector<RateRow>& rows, const bench::Rates& rates, const std::string& title, bool json) {
  if (json) {
    nlohmann::ordered_json all = {
        {"suite", title}, {"threads", thread_count()}, {"gemm_flops", rates.gemm_flops}, {"copy_bytes", rates.copy_bytes}};
    for (const RateRow& r : rows) {
      all["rows"].push_back({{"name", r.name},
                             {"seconds", r.seconds},
                             {"flops", r.flops},
                             {"floor_seconds", r.floor},
                             {"ratio", r.floor > 0 ? r.seconds / r.floor : 0}});
      if (r.reference > 0) all["rows"].back()["reference_seconds"] = r.reference;
    }
    std::printf("%s\n", all.dump(2).c_str());
    return;
  }
  std::printf("%d threads: GEMM %.0f GFLOP/s, copy %.1f GB/s\n", thread_count(), 1e-9 * rates.gemm_flops, 1e-9 * rates.copy_bytes);
  std::printf("%-34s %12s %12s %12s %7s\n", title.c_str(), "time", "GFLOP", "floor", "ratio");
  for (const RateRow& r : rows) {
    std::printf("%-34s %9.1f ms %12.1f %9.1f ms %7.2f", r.name.c_str(), 1e3 * r.seconds, 1e-9 * r.flops, 1e3 * r.floor,
                r.floor > 0 ? r.seconds / r.floor : 0);
    if (r.reference > 0) std::printf("   reference %.1f ms, %.2f times that", 1e3 * r.reference, r.reference / r.seconds);
    std::printf("\n");
  }
}

std::vector<RateRow> bench_ops(Context& ctx, const std::string& suite, const bench::Rates& rates) {
  using namespace bench;
  const std::vector<Case> cases = suite == "step-mini"      ? transformer_step(ctx, kBuiltIn512)
                                  : suite == "step-600m"    ? transformer_step(ctx, kSana600M1024)
                                  : suite == "step-1600m"   ? transformer_step(ctx, kSana1600M1024)
                                  : suite == "decoder-mini" ? decoder_picture(ctx, built_in_decoder())
                                  : suite == "decoder-512"  ? decoder_picture(ctx, dc_ae_decoder(512))
                                                            : decoder_picture(ctx, dc_ae_decoder(1024));
  std::vector<RateRow> rows;
  RateRow total{"all", 0, 0, 0};
  for (const Case& c : cases) {
    const Result r = measure(ctx, c, rates);
    rows.push_back({std::to_string(r.count) + "× " + r.name, r.seconds, r.flops, r.floor_seconds});
    total.seconds += r.count * r.seconds;
    total.flops += r.count * r.flops;
    total.floor += r.count * r.floor_seconds;
  }
  rows.push_back(total);
  return rows;
}

// One op's part of a stage; the floor counts what it computes and what it moves.
double floor_of(const bench::OpTotal& op, const bench::Rates& rates) {
  return std::max(op.flops / (op.f32_math ? rates.gemm_flops_f32 : rates.gemm_flops), op.bytes / rates.copy_bytes);
}

void print_stages(const std::vector<StageTimes>& stages, const bench::Rates& rates, const std::string& title, bool json) {
  if (json) {
    nlohmann::ordered_json all = {{"suite", title}, {"gemm_flops", rates.gemm_flops}, {"copy_bytes", rates.copy_bytes}};
    for (const StageTimes& stage : stages) {
      nlohmann::ordered_json row = {
          {"name", stage.name},   {"seconds", stage.best_seconds},        {"median_seconds", stage.median_seconds},
          {"flops", stage.flops}, {"floor_seconds", stage.floor_seconds}, {"activation_bytes", stage.activation_bytes}};
      for (const bench::OpTotal& op : stage.ops) {
        row["ops"].push_back({{"name", op.name},
                              {"calls", op.calls},
                              {"seconds", op.seconds},
                              {"flops", op.flops},
                              {"bytes", op.bytes},
                              {"floor_seconds", floor_of(op, rates)}});
      }
      all["stages"].push_back(row);
    }
    std::printf("%s\n", all.dump(2).c_str());
    return;
  }
  std::printf("%s: GEMM %.1f TFLOP/s, copy %.0f GB/s\n", title.c_str(), 1e-12 * rates.gemm_flops, 1e-9 * rates.copy_bytes);
  for (const StageTimes& stage : stages) {
    std::printf("%-50s %9.3f ms (median %.3f), floor %.3f, ratio %.2f, activations %.0f MB\n", stage.name.c_str(), 1e3 * stage.best_seconds,
                1e3 * stage.median_seconds, 1e3 * stage.floor_seconds, stage.best_seconds / stage.floor_seconds,
                1e-6 * static_cast<double>(stage.activation_bytes));
    std::vector<bench::OpTotal> ops = stage.ops;
    std::sort(ops.begin(), ops.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
    for (const bench::OpTotal& op : ops) {
      if (op.seconds < 0.004 * stage.best_seconds) continue;
      std::printf("  %4d× %-46s %8.3f ms %7.1f TFLOP/s %6.0f GB/s %6.2f\n", op.calls, op.name.c_str(), 1e3 * op.seconds,
                  1e-12 * op.flops / op.seconds, 1e-9 * op.bytes / op.seconds, op.seconds / floor_of(op, rates));
    }
  }
}

int bench_random_model(Context& ctx, const std::string& model, const BenchOptions& o, const bench::Rates& rates) {
  PictureSize size = o.size.empty() ? PictureSize{1024, 1024} : parse_size(o.size);
  if (size.width % 32 != 0 || size.height % 32 != 0) throw Error(ErrorKind::kUsage, "--size: must be multiples of 32 for random models");
  const int64_t strip = parse_integer("--strip-rows", o.strip_rows, 0, 1 << 20);
  const std::string title = model + ", " + std::to_string(size.width) + "×" + std::to_string(size.height) + ", " + dtype_name(ctx.dtype);
  print_stages(time_random_model(ctx, model, size, strip, o.stages, rates), rates, title, o.json);
  return 0;
}

// A prompt that fills the model's positions, so that the plan is made for what is run.
int run_bench_memory(const BenchOptions& o, const PipelineOptions& options) {
  PictureRequest request;
  for (int i = 0; i < kPromptPositions; ++i) request.prompt += "a red apple ";
  request.negative = request.prompt;
  request.steps = static_cast<int>(parse_integer("--steps", o.steps, 1, 1000));
  request.use_bins = false;
  request.seed = 1;
  if (!o.size.empty()) request.size = parse_size(o.size);
  return bench_memory(o.run.model, options, request, o.vram, o.json);
}

std::vector<RateRow> run_bench_picture(const BenchOptions& o, const PipelineOptions& options, const bench::Rates& rates) {
  PictureRequest request;
  request.prompt = "a red apple on a blue background";
  request.steps = static_cast<int>(parse_integer("--steps", o.steps, 1, 1000));
  request.use_bins = false;
  request.seed = 1;
  if (!o.size.empty()) request.size = parse_size(o.size);
  return bench_picture(o.run.model, options, request, o.compare, rates);
}

int run_bench(const BenchOptions& o) {
  parse_choice("suite", o.suite, kSuites);
  RunOptions run = o.run;
  if (o.suite == "lm") run.dtype = "auto";  // language models have types of their own
  const PipelineOptions options = run.pipeline_options();
  if (o.suite == "memory") return run_bench_memory(o, options);
  const int64_t tokens = parse_integer("--tokens", o.tokens, 1, 1 << 30);
  if (o.suite == "states") return bench_states(o.json);
  if (o.suite == "context") return bench_context(o.run.model, options.device, options.dtype, tokens, o.json);
  Context ctx;
  ctx.backend = &backend_of(options.device);  // before any memory of the device is asked for
  Arena arena(options.device, int64_t{1} << 30);
  ctx.arena = &arena;
  ctx.dtype = options.dtype.value_or(ctx.backend->preferred_dtype());
  ctx.fp8 = ctx.dtype == DType::kF8E4M3;
  if (ctx.fp8) ctx.dtype = DType::kBF16;
  if (o.suite == "loading") return bench_loading(ctx, o.run.model, options, o.json);
  const bench::Rates rates = bench::measure_rates(ctx);
  if (o.suite == "lm") {
    const int64_t batch = parse_integer("--batch", o.batch, 1, 4096);
    return bench_language_model({o.run.model, options.device, parse_language_model_dtype(o.run.dtype), batch, o.json}, rates);
  }
  if (const auto model = random_model_name(o.run.model); model && o.suite == "picture") return bench_random_model(ctx, *model, o, rates);
  const std::vector<RateRow> rows = o.suite == "picture" ? run_bench_picture(o, options, rates) : bench_ops(ctx, o.suite, rates);
  print_rows(rows, rates, o.suite + ", " + dtype_name(ctx.dtype), o.json);
  return 0;
}

}  // namespace

Action add_bench(CLI::App& app) {
  CLI::App* command = app.add_subcommand("bench", "Time the hot paths beside their floors");
  const auto o = std::make_shared<BenchOptions>();
  command->add_option("suite", o->suite, "what to time")->type_name("SUITE");
  command->add_option("-s,--size", o->size, "of the picture suite; default: the model's own")->type_name("SIZE");
  command->add_option("--steps", o->steps, "of the picture suite")->type_name("N");
  command->add_option("--stages", o->stages, "of a random model: text, step, decode; default: all")->delimiter(',')->type_name("LIST");
  command->add_option("--strip-rows", o->strip_rows, "of a random model's decode; 0 = the whole map")->type_name("N");
  command->add_option("--tokens", o->tokens, "of the context suite")->type_name("N");
  command->add_flag("--compare", o->compare, "of the picture suite with a model folder: time the Python reference beside it");
  command->add_option("--vram", o->vram, "limits of the memory suite, such as 24GiB,8GiB; 0 = what is free")
      ->delimiter(',')
      ->type_name("LIST");
  command->add_option("--batch", o->batch, "of the lm suite: texts that are continued together")->type_name("N");
  command->add_flag("--json", o->json, "as JSON");
  o->run.add_to(*command);
  command->footer(kBenchFooter);
  return [o] { return run_bench(*o); };
}

}  // namespace linea::cli
