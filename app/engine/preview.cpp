#include "app/engine/preview.h"

#include <algorithm>
#include <cmath>

#include "app/engine/sha256.h"
#include "core/atomic_file.h"
#include "core/cache_folder.h"
#include "core/json.h"
#include "core/mapped_file.h"
#include "core/random.h"
#include "dit/pipeline/pixels.h"

namespace linea {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "linea.preview/1";
constexpr double kRidge = 1e-3;  // of the mean diagonal: keeps unused channels' weights small
constexpr int64_t kMaxChannels = 1024;
constexpr int64_t kMaxFileBytes = int64_t{64} << 20;

// Solves A X = B for symmetric positive definite A [n, n] and B [n, 3], by Cholesky's decomposition, in place.
void solve_positive(std::vector<double>& a, std::vector<double>& b, size_t n) {
  for (size_t j = 0; j < n; ++j) {
    for (size_t i = j; i < n; ++i) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(std::max(sum, 1e-30)) : sum / a[j * n + j];
    }
  }
  for (size_t c = 0; c < 3; ++c) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t k = 0; k < i; ++k) b[i * 3 + c] -= a[i * n + k] * b[k * 3 + c];
      b[i * 3 + c] /= a[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
      for (size_t k = i + 1; k < n; ++k) b[i * 3 + c] -= a[k * n + i] * b[k * 3 + c];
      b[i * 3 + c] /= a[i * n + i];
    }
  }
}

}  // namespace

Image preview_picture(const PreviewMap& map, const Tensor& latents) {
  const int64_t C = map.channels(), h = latents.dim(1), w = latents.dim(2);
  LINEA_ASSERT(latents.dim(3) == C);
  Image image{w, h, 3, std::vector<uint8_t>(static_cast<size_t>(h * w * 3))};
  const float* z = latents.data<float>();
  for (int64_t pixel = 0; pixel < h * w; ++pixel, z += C) {
    std::array<float, 3> rgb = map.rows[0];
    for (int64_t c = 0; c < C; ++c) {
      const std::array<float, 3>& row = map.rows[static_cast<size_t>(c + 1)];
      for (size_t k = 0; k < 3; ++k) rgb[k] += row[k] * z[c];
    }
    for (size_t k = 0; k < 3; ++k) {
      const float level = std::clamp(rgb[k] * 127.5f + 127.5f, 0.0f, 255.0f);
      image.pixels[static_cast<size_t>(pixel) * 3 + k] = static_cast<uint8_t>(std::lround(level));
    }
  }
  return image;
}

PreviewFit::PreviewFit(int64_t channels)
    : channels_(channels), gram_(static_cast<size_t>((channels + 1) * (channels + 1))), target_(static_cast<size_t>((channels + 1) * 3)) {}

void PreviewFit::add(const Tensor& latents, const Image& picture) {
  const int64_t h = latents.dim(1), w = latents.dim(2), f = picture.height / h;
  if (latents.dim(3) != channels_ || f < 1 || picture.height != h * f || picture.width != w * f) return;
  const size_t n = static_cast<size_t>(channels_ + 1);
  std::vector<double> z(n, 1.0);
  for (int64_t y = 0; y < h; ++y) {
    for (int64_t x = 0; x < w; ++x) {
      std::array<int64_t, 3> sums{};
      for (int64_t v = y * f; v < (y + 1) * f; ++v) {
        const uint8_t* pixel = picture.pixels.data() + (v * picture.width + x * f) * 3;
        for (int64_t u = 0; u < f; ++u, pixel += 3) {
          for (size_t k = 0; k < 3; ++k) sums[k] += pixel[k];
        }
      }
      const float* latent = latents.data<float>() + (y * w + x) * channels_;
      for (size_t i = 1; i < n; ++i) z[i] = static_cast<double>(latent[i - 1]);
      for (size_t i = 0; i < n; ++i) {
        for (size_t j = 0; j < n; ++j) gram_[i * n + j] += z[i] * z[j];
        for (size_t k = 0; k < 3; ++k) {
          target_[i * 3 + k] += z[i] * (static_cast<double>(sums[k]) / static_cast<double>(f * f) / 127.5 - 1.0);
        }
      }
      ++samples_;
    }
  }
}

PreviewMap PreviewFit::solve() const {
  const size_t n = static_cast<size_t>(channels_ + 1);
  std::vector<double> a = gram_, b = target_;
  double trace = 0;
  for (size_t i = 1; i < n; ++i) trace += a[i * n + i];
  const double ridge = kRidge * trace / static_cast<double>(n) + 1e-9;
  for (size_t i = 1; i < n; ++i) a[i * n + i] += ridge;
  a[0] += 1e-9;
  solve_positive(a, b, n);
  PreviewMap map;
  for (size_t i = 0; i < n; ++i) {
    map.rows.push_back({static_cast<float>(b[i * 3]), static_cast<float>(b[i * 3 + 1]), static_cast<float>(b[i * 3 + 2])});
  }
  return map;
}

void PreviewFit::save(const fs::path& path) const {
  const Json json = {{"format", kFormat}, {"channels", channels_}, {"samples", samples_}, {"gram", gram_}, {"target", target_}};
  write_file(path, json.dump());
}

std::optional<PreviewFit> PreviewFit::load(const fs::path& path, int64_t channels) {
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  try {
    const Json json = read_json_file(path, kMaxFileBytes, ErrorKind::kBadFile);
    if (json.at("format") != kFormat || json.at("channels") != channels || channels > kMaxChannels) return std::nullopt;
    PreviewFit fit(channels);
    const size_t gram = fit.gram_.size(), target = fit.target_.size();
    json.at("gram").get_to(fit.gram_);
    json.at("target").get_to(fit.target_);
    json.at("samples").get_to(fit.samples_);
    if (fit.gram_.size() != gram || fit.target_.size() != target || fit.samples_ < 1) return std::nullopt;
    return fit;
  } catch (const std::exception&) {  // a cache of another form is made anew
    return std::nullopt;
  }
}

// By names, sizes and times of the autoencoder's files: cheap, and another file gets another fit.
fs::path preview_fit_path(const fs::path& model_folder) {
  std::string identity;
  std::error_code error;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(model_folder / "vae", error)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    identity += file.filename().string() + " " + std::to_string(fs::file_size(file, error)) + " " +
                std::to_string(fs::last_write_time(file, error).time_since_epoch().count()) + "\n";
  }
  return cache_folder() / ("preview-" + sha256_of(identity).substr(0, 16) + ".json");
}

// Latents that vary slowly, as those of pictures do: coarse noise, enlarged. Two grids of 12 × 12 give 288 samples for 33 unknowns.
PreviewFit fit_preview(SanaPipeline& pipeline, const CancelToken& cancel) {
  constexpr int64_t kSide = 12, kCoarse = 4;
  const int64_t C = pipeline.vae_config().latent_channels;
  PreviewFit fit(C);
  GenerateCallbacks callbacks;
  callbacks.cancel = cancel;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    std::vector<float> coarse(static_cast<size_t>(kCoarse * kCoarse * C));
    TorchCpuGenerator(seed).normal(coarse);
    Tensor latents({1, kSide, kSide, C}, DType::kF32);
    for (int64_t y = 0; y < kSide; ++y) {
      for (int64_t x = 0; x < kSide; ++x) {
        const int64_t from = (y * kCoarse / kSide) * kCoarse + x * kCoarse / kSide;
        std::copy_n(coarse.begin() + from * C, C, latents.data<float>() + (y * kSide + x) * C);
      }
    }
    fit.add(latents, to_image(pipeline.decode_latents(latents, callbacks)));
  }
  return fit;
}

}  // namespace linea
