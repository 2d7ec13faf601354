// linea plan: what of a model would lie where, and how long a picture would take, without doing any of it.
#include <cstdio>
#include <memory>

#include "app/cli/commands.h"
#include "app/cli/memory_option.h"
#include "app/cli/options.h"
#include "app/engine/cost.h"
#include "app/engine/memory_budget.h"
#include "app/engine/model_folders.h"
#include "app/engine/plan.h"
#include "core/threads.h"

namespace linea::cli {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* kPlanFooter =
    R"(A part of the model is resident (loaded once), offloaded (loaded for its stage of every picture), or streamed (layer by layer while
it computes); the decoder works on the whole picture or on strips of rows. The pictures are the same, whatever the plan.
With --vram the device need not be here; models may be random:sana-0.6b, random:sana-1.6b, random:sana-4.8b (with -2k or -4k).
Example:
  linea plan --model random:sana-1.6b-4k --size 4096 --device cuda --vram 8GiB)";

struct PlanOptions {
  RunOptions run;
  std::string size, steps = "20", guidance = "4.5", count = "1", vram = "0";
  bool no_bins = false, json = false;
};

struct StageRow {
  const char* name;
  const StagePlan* stage;
  double seconds;
};

std::string gigabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", 1e-9 * static_cast<double>(bytes));
  return text;
}

std::string where(const StagePlan& stage) {
  std::string text = name_of(stage.weights);
  if (stage.resident_layers > 0) text += ", " + std::to_string(stage.resident_layers) + " layers stay";
  return text;
}

std::string strips(const StagePlan& stage, bool is_decoder) {
  if (!is_decoder) return "";
  if (stage.strip_rows == 0) return "whole";
  char text[48];
  std::snprintf(text, sizeof text, "%lld rows, %.2f× work", static_cast<long long>(stage.strip_rows), stage.strip_work);
  return text;
}

void print_table(const MemoryPlan& plan, const std::vector<StageRow>& rows, const std::string& title, int64_t limit,
                 const StageSeconds& seconds, int count) {
  std::printf("%s\n", title.c_str());
  std::printf("%-12s %10s  %-26s %11s  %-22s %10s %9s\n", "stage", "weights", "where", "activations", "strips", "peak", "time");
  for (const StageRow& row : rows) {
    const StagePlan& s = *row.stage;
    std::printf("%-12s %10s  %-26s %11s  %-22s %10s %7.2f s\n", row.name, gigabytes(s.weight_bytes).c_str(), where(s).c_str(),
                gigabytes(s.activation_bytes).c_str(), strips(s, row.stage == &plan.decoder).c_str(), gigabytes(s.peak_bytes).c_str(),
                row.seconds);
  }
  std::printf("peak %s of %s, %s of it for drivers and libraries; about %.2f s a picture", gigabytes(plan.peak()).c_str(),
              gigabytes(limit).c_str(), gigabytes(plan.library_bytes).c_str(), seconds.whole());
  if (count > 1) std::printf(", %.1f s for %d", seconds.whole() * count, count);
  std::printf("\n");
}

OrderedJson to_json(const MemoryPlan& plan, const std::vector<StageRow>& rows, int64_t limit, const StageSeconds& seconds) {
  OrderedJson json = {{"device", plan.device.name()}, {"width", plan.rendered.width}, {"height", plan.rendered.height},
                      {"limit_bytes", limit},         {"peak_bytes", plan.peak()},    {"library_bytes", plan.library_bytes},
                      {"seconds", seconds.whole()}};
  for (const StageRow& row : rows) {
    const StagePlan& s = *row.stage;
    json["stages"].push_back({{"name", row.name},
                              {"weights", name_of(s.weights)},
                              {"weight_bytes", s.weight_bytes},
                              {"loaded_bytes", s.loaded_bytes},
                              {"streamed_bytes", s.streamed_bytes},
                              {"resident_layers", s.resident_layers},
                              {"activation_bytes", s.activation_bytes},
                              {"strip_rows", s.strip_rows},
                              {"strip_work", s.strip_work},
                              {"peak_bytes", s.peak_bytes},
                              {"seconds", row.seconds}});
  }
  return json;
}

int plan_picture(const PlanOptions& o) {
  PipelineOptions options = o.run.pipeline_options();
  options.plans_only = true;
  const int64_t limit = vram_bytes(o.vram, options.device);
  SanaPipeline pipeline(find_picture_model(o.run.model), options);
  PictureRequest request;
  if (!o.size.empty()) request.size = parse_size(o.size);
  request.use_bins = !o.no_bins;
  request.steps = static_cast<int>(parse_integer("--steps", o.steps, 1, 1000));
  request.guidance = parse_number("--guidance", o.guidance, 0, 100);
  const int count = static_cast<int>(parse_integer("--count", o.count, 1, 100000));
  const MemoryPlan plan = pipeline.plan(request, limit);

  const StageSeconds seconds = expected_seconds(pipeline, request, plan, nominal_flops(options.device, pipeline.dtype()));
  const std::vector<StageRow> rows = {
      {"text", &plan.text, seconds.text}, {"transformer", &plan.transformer, seconds.steps}, {"decoder", &plan.decoder, seconds.decode}};
  if (o.json) {
    std::printf("%s\n", to_json(plan, rows, limit, seconds).dump(2).c_str());
    return 0;
  }
  const std::string title = pipeline.folder().filename().string() + ", " + std::to_string(plan.rendered.width) + "x" +
                            std::to_string(plan.rendered.height) + ", " + std::to_string(request.steps) + " steps, " +
                            (options.dtype == DType::kF8E4M3 ? "fp8" : dtype_name(pipeline.dtype())) + " on " + plan.device.name();
  print_table(plan, rows, title, limit, seconds, count);
  return 0;
}

}  // namespace

Action add_plan(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("plan", "Say what a picture takes of a device's memory, stage by stage, and how long it would take");
  const auto o = std::make_shared<PlanOptions>();
  command->add_option("-s,--size", o->size, "512 or WIDTHxHEIGHT; default: the model's own")->type_name("SIZE");
  command->add_option("--steps", o->steps, "denoising steps")->type_name("N");
  command->add_option("-g,--guidance", o->guidance, "guidance scale; 1 or less = off")->type_name("X");
  command->add_option("--count", o->count, "pictures")->type_name("N");
  add_vram_option(*command, o->vram);
  command->add_flag("--no-bins", o->no_bins, "exactly --size, not the nearest trained size");
  command->add_flag("--json", o->json, "as JSON");
  o->run.add_to(*command);
  command->footer(kPlanFooter);
  return [o] { return plan_picture(*o); };
}

}  // namespace linea::cli
