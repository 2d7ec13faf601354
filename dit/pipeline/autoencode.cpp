// The pipeline's ways through the autoencoder: latents to a picture, and a picture to latents and back.
#include <algorithm>

#include "core/finite.h"
#include "core/layout.h"
#include "dit/pipeline/pipeline.h"
#include "dit/pipeline/pixels.h"
#include "dit/pipeline/stage_report.h"
#include "kernels/pixels.h"

namespace linea {
namespace {

// The high-resolution stages of the autoencoder run in strips of about this much memory a map: small enough for a modest machine at 4096²,
// large enough that the halo's repeated work stays small.
constexpr int64_t kStripMapBytes = int64_t{96} << 20;

int64_t strip_rows_for(int64_t width, int64_t channels, DType dtype) {
  return std::max<int64_t>(kStripMapBytes / (width * channels * bytes_of(dtype)), 32);
}

}  // namespace

int64_t SanaPipeline::strip_rows(int64_t width) const {
  return plan_ ? plan_->decoder.strip_rows : strip_rows_for(width, vae_config_.decoder[0].channels, wide_dtype_);
}

void SanaPipeline::decode_on(Context& ctx, const DcAutoencoder& vae, const Tensor& latents, int64_t strip_rows,
                             const TakeImage& take) const {
  const int64_t f = vae_config_.compression(), H = latents.dim(1) * f, W = latents.dim(2) * f;
  const Arena::Scope scope(*ctx.arena);
  const Tensor scaled = ctx.allocate(latents.shape(), DType::kF32), z = ctx.allocate(latents.shape());
  const Tensor image = ctx.allocate({1, H, W, 3}, DType::kF32);
  upload(ctx, {latents.data<float>(), static_cast<size_t>(latents.elements())}, scaled);
  const Term terms[] = {{static_cast<float>(1.0 / vae_config_.scaling_factor), scaled}};
  linear_combination(ctx, terms, scaled);
  cast(ctx, scaled, z);
  vae.decode(ctx, z, image, strip_rows);
  take(ctx, image);
}

int64_t SanaPipeline::plan_decode(const DcAutoencoder& vae, PictureSize latent, int64_t strip_rows, const TakeImage& take) const {
  Arena planning = Arena::planning(options_.device);
  Context plan = make_context(wide_dtype_, planning, {});
  decode_on(plan, vae, Tensor({1, latent.height, latent.width, vae_config_.latent_channels}, DType::kF32), strip_rows, take);
  return planning.peak();
}

void SanaPipeline::decode_into(const Tensor& latents, const GenerateCallbacks& callbacks, const TakeImage& take) {
  const StageReport stage(callbacks, "decode");
  stage.report(0, 1);
  std::shared_ptr<const DcAutoencoder> vae = autoencoder(DcAutoencoder::kDecoderOnly);
  const int64_t strip = strip_rows(latents.dim(2) * vae_config_.compression());
  const int64_t bytes = plan_decode(*vae, {latents.dim(1), latents.dim(2)}, strip, take);
  Context ctx = make_context(wide_dtype_, arena_for(bytes), callbacks.cancel);
  decode_on(ctx, *vae, latents, strip, take);
  vae.reset();
  end_stage(ModelPart::kAutoencoder);
  stage.report(1, 1);
}

void SanaPipeline::fail_decoded() const {
  throw Error(ErrorKind::kModel, "the autoencoder of " + folder_.string() + " gave values that are not numbers",
              "the checkpoint may be damaged");
}

Tensor SanaPipeline::decode_latents(const Tensor& latents, const GenerateCallbacks& callbacks) {
  Tensor values;
  decode_into(latents, callbacks, [&](Context& ctx, const Tensor& image) { values = download(ctx, image); });
  if (!all_finite({values.data<float>(), static_cast<size_t>(values.elements())})) fail_decoded();
  return values;
}

Image SanaPipeline::decode_pixels(const Tensor& latents, const GenerateCallbacks& callbacks) {
  Image result;
  decode_into(latents, callbacks, [&](Context& ctx, const Tensor& image) {
    // Its memory is asked for while a device is at work.
    if (!ctx.planning()) result = {image.dim(2), image.dim(1), 3, std::vector<uint8_t>(static_cast<size_t>(image.elements()))};
    if (!download_pixels(ctx, image, result.pixels)) fail_decoded();
  });
  return result;
}

Image SanaPipeline::reconstruct(const Image& source, const GenerateCallbacks& callbacks) {
  const int64_t f = vae_config_.compression(), H = source.height / f * f, W = source.width / f * f;
  if (H == 0 || W == 0) {
    throw Error(ErrorKind::kUsage,
                "the picture of " + to_text({source.height, source.width}) + " is smaller than " + std::to_string(f) + " pixels");
  }
  const Tensor pixels = from_image(source, {H, W});
  const StageReport stage(callbacks, "encode");
  stage.report(0, 1);
  const std::shared_ptr<const DcAutoencoder> vae = autoencoder(DcAutoencoder::kEncoderAndDecoder);
  const int64_t strip = strip_rows_for(W, vae_config_.encoder[0].channels, wide_dtype_);
  const Shape latent_shape{1, H / f, W / f, vae_config_.latent_channels};
  const auto run = [&](Context& ctx) {
    const Arena::Scope scope(*ctx.arena);
    const Tensor image32 = ctx.allocate(pixels.shape(), DType::kF32), image = ctx.allocate(pixels.shape());
    const Tensor z = ctx.allocate(latent_shape), z32 = ctx.allocate(latent_shape, DType::kF32);
    upload(ctx, {pixels.data<float>(), static_cast<size_t>(pixels.elements())}, image32);
    cast(ctx, image32, image);
    vae->encode(ctx, image, z, strip);
    cast(ctx, z, z32);
    return ctx.planning() ? Tensor() : download(ctx, z32);
  };
  Arena planning = Arena::planning(options_.device);
  Context plan = make_context(wide_dtype_, planning, callbacks.cancel);
  run(plan);
  Context ctx = make_context(wide_dtype_, arena_for(planning.peak()), callbacks.cancel);
  const Tensor latent = run(ctx);
  stage.report(1, 1);

  Tensor scaled(latent.shape(), DType::kF32);
  for (int64_t i = 0; i < latent.elements(); ++i) {
    scaled.data<float>()[i] = latent.data<float>()[i] * static_cast<float>(vae_config_.scaling_factor);
  }
  const Tensor image = decode_latents(scaled, callbacks);
  if (callbacks.trace) {
    trace(callbacks, "image", to_channel_major(pixels));
    trace(callbacks, "latent", to_channel_major(latent));
    trace(callbacks, "latent_scaled", to_channel_major(scaled));
    trace(callbacks, "reconstruction", to_channel_major(image));
  }
  return to_image(image);
}

}  // namespace linea
