// The CPU backend's rearrangements: see simd/rearrange.cpp.
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu_backend.h"

namespace linea {

using namespace cpu;

namespace {

using Rearrange = void (*)(const RearrangeParams&, int64_t, int64_t);
using ChannelOp = void (*)(const ChannelParams&, int64_t, int64_t);

void rearrange(Rearrange kernel, const Tensor& x, const Tensor& y) {
  const Tensor& coarse = x.dim(1) < y.dim(1) ? x : y;
  const RearrangeParams p = {
      .x = x.raw(), .y = y.raw(), .width = coarse.dim(2), .in_channels = x.dim(3), .out_channels = y.dim(3), .type = element_of(x)};
  parallel_for(coarse.dim(0) * coarse.dim(1), grain_of(4 * p.width * p.in_channels),
               [&](int64_t begin, int64_t end) { kernel(p, begin, end); });
}

void channel_op(ChannelOp kernel, const Tensor& x, const Tensor& y) {
  const ChannelParams p = {.x = x.raw(),
                           .y = y.raw(),
                           .x_pitch = x.row_pitch(),
                           .y_pitch = y.row_pitch(),
                           .in = x.dim(-1),
                           .out = y.dim(-1),
                           .type = element_of(x)};
  parallel_for(x.rows(), grain_of(std::max(p.in, p.out)), [&](int64_t begin, int64_t end) { kernel(p, begin, end); });
}

}  // namespace

void CpuBackend::pixel_shuffle(Context&, const Tensor& x, const Tensor& y) { rearrange(kernels_.pixel_shuffle, x, y); }
void CpuBackend::pixel_unshuffle(Context&, const Tensor& x, const Tensor& y) { rearrange(kernels_.pixel_unshuffle, x, y); }
void CpuBackend::add_downsample_shortcut(Context&, const Tensor& x, const Tensor& y) { rearrange(kernels_.add_downsample_shortcut, x, y); }
void CpuBackend::add_upsample_shortcut(Context&, const Tensor& x, const Tensor& y) { rearrange(kernels_.add_upsample_shortcut, x, y); }
void CpuBackend::add_channel_mean(Context&, const Tensor& x, const Tensor& y) { channel_op(kernels_.add_channel_mean, x, y); }
void CpuBackend::add_channel_repeat(Context&, const Tensor& x, const Tensor& y) { channel_op(kernels_.add_channel_repeat, x, y); }

}  // namespace linea
