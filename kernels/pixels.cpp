#include "kernels/pixels.h"

#include <algorithm>
#include <atomic>
#include <bit>

#include "core/threads.h"
#include "kernels/backend.h"

namespace linea {

#if defined(LINEA_CUDA)
void round_on_cuda(const Tensor& values, const Tensor& pixels, const Tensor& not_numbers);  // kernels/cuda/pixels.cu
#else
static void round_on_cuda(const Tensor&, const Tensor&, const Tensor&) {
  throw Error(ErrorKind::kDevice, "this program was built without CUDA");
}
#endif

bool to_pixels(std::span<const float> values, std::span<uint8_t> pixels) {
  LINEA_ASSERT(values.size() == pixels.size());
  constexpr float kInteger = 0x1.8p23f;        // a sum with it is rounded to an integer, half to even, that its low bits hold
  constexpr uint32_t kExponent = 0x7f800000u;  // all ones in what is no number or infinite
  std::atomic<bool> all_numbers = true;
  parallel_for(static_cast<int64_t>(values.size()), int64_t{1} << 16, [&](int64_t begin, int64_t end) {
    uint32_t found = 0;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      found |= static_cast<uint32_t>((std::bit_cast<uint32_t>(values[i]) & kExponent) == kExponent);
      const float unit = std::clamp(values[i] * 0.5f + 0.5f, 0.0f, 1.0f);
      pixels[i] = static_cast<uint8_t>(std::bit_cast<uint32_t>(unit * 255.0f + kInteger));
    }
    if (found != 0) all_numbers = false;
  });
  return all_numbers;
}

bool download_pixels(Context& ctx, const Tensor& x, std::span<uint8_t> pixels) {
  LINEA_ASSERT(x.dtype() == DType::kF32 && x.is_contiguous());
  const Arena::Scope scope(*ctx.arena);
  const bool here = x.device().is_cpu();
  const Tensor rounded = here ? Tensor() : ctx.allocate(x.shape(), DType::kU8);
  const Tensor not_numbers = here ? Tensor() : ctx.allocate({1}, DType::kI32);
  if (ctx.planning()) return true;
  LINEA_ASSERT(static_cast<int64_t>(pixels.size()) == x.elements());
  if (!here) round_on_cuda(x, rounded, not_numbers);
  ctx.backend->synchronize();
  if (here) return to_pixels({x.data<float>(), static_cast<size_t>(x.elements())}, pixels);
  allocator_of(x.device()).copy_to_host(pixels.data(), rounded.raw(), rounded.bytes());
  int32_t found = 0;
  allocator_of(x.device()).copy_to_host(&found, not_numbers.raw(), sizeof(found));
  return found == 0;
}

}  // namespace linea
