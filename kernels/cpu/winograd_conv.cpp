#include "kernels/cpu/winograd_conv.h"

#include <algorithm>

#include "kernels/cpu/common.h"
#include "kernels/cpu/onednn.h"

namespace linea::cpu {
namespace {

constexpr int64_t kLine = 16;  // floats of a cache line

int64_t round_to(int64_t n, int64_t unit) { return ceil_div(n, unit) * unit; }
int64_t panel_of(const Kernels& kernels) { return 2 * kernels.lanes; }
int64_t patch_of(bool enlarging) { return enlarging ? 3 : 4; }

// G g of simd/winograd.cpp for three values, `step` apart, to patch_of(enlarging) values.
template <class T> void transform_three(const T* g, int64_t step, bool enlarging, double* to, int64_t to_step) {
  const double first = g[0], middle = g[step], last = g[2 * step];
  if (enlarging) {
    to[0] = first, to[to_step] = first + middle + last, to[2 * to_step] = last;
  } else {
    to[0] = first, to[to_step] = (first + middle + last) / 2, to[2 * to_step] = (first - middle + last) / 2, to[3 * to_step] = last;
  }
}

// One filter, [3, 3] → [patch, patch]: rounded once, at the end.
void transform_filter(const float* g, bool enlarging, double* u) {
  const int64_t patch = patch_of(enlarging);
  double rows[3 * 4];
  for (int64_t i = 0; i < 3; ++i) transform_three(g + 3 * i, 1, enlarging, rows + i * patch, 1);
  for (int64_t j = 0; j < patch; ++j) transform_three(rows + j, patch, enlarging, u + j, patch);
}

// [position, panel, in, panel's outputs], zeros beyond the last output.
Tensor transform_bank(const Kernels& kernels, const Tensor& plain, bool enlarging) {
  const int64_t out = plain.dim(0), in = plain.dim(1), width = panel_of(kernels), panels = ceil_div(out, width);
  const int64_t positions = patch_of(enlarging) * patch_of(enlarging);
  const Tensor bank({positions, panels, in, width}, DType::kF32);
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      for (int64_t i = 0; i < in; ++i) {
        float* const to = bank.data<float>() + (panel * in + i) * width;
        for (int64_t lane = 0; lane < width; ++lane) {
          const int64_t o = panel * width + lane;
          double u[16] = {};
          if (o < out) transform_filter(plain.data<float>() + (o * in + i) * 9, enlarging, u);
          for (int64_t position = 0; position < positions; ++position) {
            to[position * panels * in * width + lane] = static_cast<float>(u[position]);
          }
        }
      }
    }
  });
  return bank;
}

// Floats from one position of the scratch to the next: an odd number of lines, so that a channel's positions fall into different sets of
// the first-level cache.
int64_t position_pitch(int64_t tiles, int64_t pitch) { return (tiles * pitch / kLine | 1) * kLine; }

// Tasks of one map: enough for all threads, of at most kTiles tiles. For each of them the whole filter bank comes from the third-level
// cache or from memory, hence not too few (24 take 1.2 times as long with 512 channels, 192 no less), and scratch is of kTiles.
int64_t tasks_of(int64_t tiles, int64_t batch) {
  constexpr int64_t kTiles = 72;  // whole register tiles of 6 and of 8 rows
  return std::clamp<int64_t>(ceil_div(thread_count(), batch), ceil_div(tiles, kTiles), tiles);
}

}  // namespace

bool convolves_bf16(const Kernels& kernels) { return kernels.lanes == 16 && onednn::is_native(Element::kBF16); }

bool uses_winograd(const Kernels& kernels, Element type, int64_t in, bool enlarging) {
  // Moving an output's 16 products costs as much as adding up those of so many channels, measured: 3 → 128 takes 1.7 times as long in tiles
  // with AVX2, 8 → 8 1.4 times, 16 → 16 0.8 times.
  constexpr int64_t kFewChannels = 16;
  if (in < kFewChannels && !enlarging) return false;
  return type != Element::kBF16 || !convolves_bf16(kernels);
}

int64_t winograd_filter_bytes(const Kernels& kernels, int64_t out, int64_t in, bool enlarging) {
  return patch_of(enlarging) * patch_of(enlarging) * round_to(out, panel_of(kernels)) * in * bytes_of(Element::kF32);
}

const float* WinogradFilter::transformed(const Kernels& kernels, bool enlarging) {
  std::call_once(once_[enlarging], [&] { transformed_[enlarging] = transform_bank(kernels, plain_, enlarging); });
  return transformed_[enlarging].data<float>();
}

void WinogradFilter::convolve(Context& ctx, const Kernels& kernels, const Tensor& x, const Tensor& y, const Conv2dArgs& args) {
  const bool enlarging = args.upsample_nearest;
  const int64_t batch = x.dim(0), positions = patch_of(enlarging) * patch_of(enlarging);
  const int64_t pad_top = args.pad_top < 0 ? 1 : args.pad_top;
  LINEA_ASSERT(args.stride == 1 && y.dim(1) > 0 && pad_top <= 1);
  // Of an enlarged map, the rows of x say where tiles begin.
  const int64_t odd = enlarging ? (1 - pad_top) & 1 : args.first_row & 1;
  WinogradParams p = {.x = x.raw(),
                      .residual = args.residual.raw(),
                      .y = y.raw(),
                      .filter = nullptr,
                      .bias = floats(args.bias),
                      .height = x.dim(1),
                      .width = x.dim(2),
                      .in = x.dim(3),
                      .out_height = y.dim(1),
                      .out_width = y.dim(2),
                      .out = y.dim(3),
                      .odd = odd,
                      .top = enlarging ? (1 - pad_top - odd) / 2 - 1 : -odd - pad_top,
                      .tile_columns = ceil_div(y.dim(2), 2),
                      .in_pitch = round_to(x.dim(3), kLine) + kLine,
                      .in_position = 0,
                      .out_pitch = round_to(y.dim(3), std::max(panel_of(kernels), kLine)) + kLine,
                      .out_position = 0,
                      .enlarges = enlarging,
                      .act = act_of(args.activation),
                      .type = element_of(x)};
  const int64_t tiles = ceil_div(p.out_height + odd, 2) * p.tile_columns;
  const int64_t tasks = tasks_of(tiles, batch), count = ceil_div(tiles, tasks);
  p.in_position = position_pitch(count, p.in_pitch);
  p.out_position = position_pitch(count, p.out_pitch);
  const Arena::Scope scope(*ctx.arena);
  const ThreadBuffers buffers(ctx, p.in_pitch + positions * (p.in_position + p.out_position));
  if (ctx.planning()) return;

  p.filter = transformed(kernels, enlarging);
  parallel_for(batch * tasks, 1, [&](int64_t begin, int64_t end) {
    float* const scratch = buffers.take();
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / tasks, first = task % tasks * count, y_offset = b * p.out_height * p.out_width * p.out;
      if (first >= tiles) continue;  // of tasks that were rounded up
      WinogradParams member = p;
      member.x = offset(p.x, b * p.height * p.width * p.in, p.type);
      member.residual = offset(p.residual, y_offset, p.type);
      member.y = offset(p.y, y_offset, p.type);
      kernels.winograd(member, first, std::min(count, tiles - first), scratch);
    }
  });
}

}  // namespace linea::cpu
