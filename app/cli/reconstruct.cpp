// linea reconstruct: an image through the autoencoder and back.
#include <cstdio>
#include <memory>

#include "app/cli/commands.h"
#include "app/cli/options.h"
#include "app/cli/signals.h"
#include "app/cli/trace_file.h"
#include "app/engine/model_folders.h"
#include "core/atomic_file.h"

namespace linea::cli {
namespace {

struct ReconstructOptions {
  RunOptions run;
  std::string input, output, trace;
  bool json = false;
};

Image crop(const Image& image, int64_t width, int64_t height) {
  Image result{width, height, 3, {}};
  for (int64_t y = 0; y < height; ++y) {
    const auto row = image.pixels.begin() + y * image.width * 3;
    result.pixels.insert(result.pixels.end(), row, row + width * 3);
  }
  return result;
}

int reconstruct(const ReconstructOptions& o) {
  const PipelineOptions pipeline_options = o.run.pipeline_options();
  image_format_of(o.output);
  check_output_path(o.output);
  const Image input = read_image(o.input);
  SanaPipeline pipeline(find_picture_model(o.run.model), pipeline_options);

  ProgressView view(o.run.progress_style());
  TraceFile trace(o.trace);
  trace.check();
  GenerateCallbacks callbacks;
  callbacks.cancel = install_signal_handlers();
  callbacks.progress = [&](const Progress& p) { view.show(p); };
  if (trace.enabled()) callbacks.trace = [&](const std::string& name, const Tensor& value) { trace.add(name, value); };
  const Image output = pipeline.reconstruct(input, callbacks);
  write_image(o.output, output);
  trace.write();
  view.clear();

  const bool cropped = output.width != input.width || output.height != input.height;
  const double decibels = psnr(crop(input, output.width, output.height), output);
  if (o.json) {
    const nlohmann::ordered_json line = {{"file", o.output}, {"width", output.width}, {"height", output.height}, {"psnr", decibels}};
    std::printf("%s\n", line.dump().c_str());
  } else if (!o.run.quiet) {
    std::printf("%s  PSNR %.2f dB\n", o.output.c_str(), decibels);
    if (cropped) {
      print_warning("cropped to " + std::to_string(output.width) + "x" + std::to_string(output.height) + ", whole latents of " +
                    std::to_string(pipeline.vae_config().compression()) + " pixels");
    }
  }
  return 0;
}

}  // namespace

Action add_reconstruct(CLI::App& app) {
  CLI::App* command = app.add_subcommand("reconstruct", "Pass an image through the autoencoder and back");
  const auto o = std::make_shared<ReconstructOptions>();
  command->add_option("input", o->input, "image (PNG, JPEG, WebP)")->required()->type_name("IMAGE");
  command->add_option("-o,--output", o->output, "file to write")->required()->type_name("IMAGE");
  command->add_flag("--json", o->json, "print the result as JSON");
  command->add_option("--trace", o->trace, "write image, latent, latent_scaled and reconstruction to DIR/trace.safetensors")
      ->type_name("DIR");
  o->run.add_to(*command);
  command->footer("Example:\n  linea reconstruct photo.jpg -o again.png");
  return [o] { return reconstruct(*o); };
}

}  // namespace linea::cli
