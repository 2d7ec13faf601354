#include "app/cli/bench_picture.h"

#include <algorithm>
#include <map>

#include "app/cli/bench_compare.h"
#include "app/cli/bench_times.h"
#include "app/cli/signals.h"
#include "app/engine/cost.h"
#include "app/engine/model_folders.h"
#include "dit/pipeline/model_source.h"

namespace linea::cli {
namespace {

// Other words each time, since prompts that are known are not encoded again; the first time touches the weights' pages.
RateRow time_text(SanaPipeline& pipeline, const bench::Rates& rates) {
  GenerateCallbacks callbacks;
  callbacks.cancel = install_signal_handlers();
  std::vector<double> seconds;
  int64_t tokens = 0;
  for (const char* word : {"red ", "blue ", "green ", "black "}) {
    PictureRequest request;
    for (int64_t i = 0; i < kPromptPositions; ++i) request.prompt += word;
    request.guidance = 1;  // one text
    seconds.push_back(seconds_of([&] { tokens = pipeline.encode(request, callbacks).offsets.back(); }));
  }
  seconds.erase(seconds.begin());
  const double flops = text_flops(PictureModelSource::open(pipeline.folder()).text_config(), tokens);
  return {"text, " + std::to_string(tokens) + " tokens", median(std::move(seconds)), flops, flops / rates.gemm_flops};
}

// Renders twice and keeps the second run's times: the first one touches every weight's page.
std::vector<RateRow> time_picture(SanaPipeline& pipeline, const PictureRequest& request, const bench::Rates& rates) {
  std::map<std::string, double> seconds;
  std::vector<double> steps;
  double before = 0;
  int64_t tokens = 0;
  GenerateCallbacks callbacks;
  callbacks.cancel = install_signal_handlers();
  callbacks.trace = [&](const std::string& name, const Tensor& value) {
    if (name.ends_with("_mask")) tokens += std::count(value.data<int64_t>(), value.data<int64_t>() + value.elements(), 1);
  };
  callbacks.progress = [&](const Progress& p) {
    seconds[p.stage] = p.seconds;
    if (p.stage == "denoise" && p.step > 0) steps.push_back(p.seconds - before);
    before = p.seconds;
  };
  pipeline.generate(request, callbacks);
  steps.clear();
  tokens = 0;
  pipeline.generate(request, callbacks);

  const auto [width, height] = pipeline.resolve_size(request).rendered;
  const SanaConfig& dit = pipeline.transformer_config();
  const int64_t f = pipeline.vae_config().compression() * dit.patch_size;
  const double step_flops = transformer_step_flops(dit, height / f, width / f, tokens / 2, 2);
  const double decode_flops = decoder_flops(pipeline.vae_config(), height, width);
  return {{"denoising step, guidance pair", median(std::move(steps)), step_flops, step_flops / rates.gemm_flops},
          {"decode", seconds.at("decode"), decode_flops, decode_flops / rates.gemm_flops}};
}

}  // namespace

std::vector<RateRow> bench_picture(const std::string& model, const PipelineOptions& options, const PictureRequest& request, bool compare,
                                   const bench::Rates& rates) {
  PipelineOptions plain = options;
  plain.instruction = "";
  std::vector<RateRow> rows;
  std::string folder;
  DType dtype{};
  PictureSize size;
  {
    SanaPipeline pipeline(find_picture_model(model), plain);
    folder = pipeline.folder().string();
    dtype = pipeline.dtype();
    size = pipeline.resolve_size(request).rendered;
    rows = time_picture(pipeline, request, rates);
    rows.insert(rows.begin(), time_text(pipeline, rates));
  }  // the reference has the memory for itself
  if (compare) {
    const std::map<std::string, double> reference = reference_seconds(folder, size, options.device, dtype);
    rows[0].reference = reference.at("text");
    rows[1].reference = reference.at("step");
    rows[2].reference = reference.at("decode");
  }
  return rows;
}

}  // namespace linea::cli
