// DC-AE's rearrangements between a map and one of twice its size. Rows count over the whole batch: coarse row r lies on fine rows 2r, 2r+1.
//
// They move each byte once; the index arithmetic is lifted out of the inner loops, which run over channels.
#include "kernels/cpu/simd/declare.h"
#include "kernels/cpu/simd/vec.h"

namespace linea::cpu::LINEA_ISA {
namespace {

float to_float(float v) { return v; }
template <class T> float to_float(T v) {
  T lanes[kLanes] = {v};
  return load(lanes)[0];
}
template <class T> T from_float(float v) {
  T lanes[kLanes];
  store(lanes, splat(v));
  return lanes[0];
}

// y[c] += x[c]
template <class T> void add_row(const T* x, T* y, int64_t n) {
  for_vectors(n, [&](int64_t i, auto lanes) { store(y + i, load(y + i, lanes) + load(x + i, lanes), lanes); });
}

}  // namespace

void pixel_shuffle(const RearrangeParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const int64_t channels = p.out_channels;
    for (int64_t r = row_begin; r < row_end; ++r) {
      for (int64_t w = 0; w < p.width; ++w) {
        const T* x = static_cast<const T*>(p.x) + (r * p.width + w) * 4 * channels;
        for (int64_t i = 0; i < 2; ++i) {
          T* y = static_cast<T*>(p.y) + ((2 * r + i) * 2 * p.width + 2 * w) * channels;
          for (int64_t c = 0; c < channels; ++c) {
            y[c] = x[4 * c + 2 * i];
            y[channels + c] = x[4 * c + 2 * i + 1];
          }
        }
      }
    }
  });
}

void pixel_unshuffle(const RearrangeParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const int64_t channels = p.in_channels;
    for (int64_t r = row_begin; r < row_end; ++r) {
      for (int64_t w = 0; w < p.width; ++w) {
        T* y = static_cast<T*>(p.y) + (r * p.width + w) * 4 * channels;
        for (int64_t i = 0; i < 2; ++i) {
          const T* x = static_cast<const T*>(p.x) + ((2 * r + i) * 2 * p.width + 2 * w) * channels;
          for (int64_t c = 0; c < channels; ++c) {
            y[4 * c + 2 * i] = x[c];
            y[4 * c + 2 * i + 1] = x[channels + c];
          }
        }
      }
    }
  });
}

void add_downsample_shortcut(const RearrangeParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const int64_t in = p.in_channels, out = p.out_channels, group = 4 * in / out;
    const float share = 1.0f / static_cast<float>(group);
    for (int64_t r = row_begin; r < row_end; ++r) {
      for (int64_t w = 0; w < p.width; ++w) {
        const T* top = static_cast<const T*>(p.x) + (2 * r * 2 * p.width + 2 * w) * in;
        const T* bottom = top + 2 * p.width * in;
        T* y = static_cast<T*>(p.y) + (r * p.width + w) * out;
        if (group == 4) {  // the mean of a 2×2 window
          for_vectors(out, [&](int64_t c, auto lanes) {
            const F32s sum = (load(top + c, lanes) + load(top + in + c, lanes)) + (load(bottom + c, lanes) + load(bottom + in + c, lanes));
            store(y + c, load(y + c, lanes) + sum * share, lanes);
          });
          continue;
        }
        for (int64_t c = 0; c < out; ++c) {
          float sum = 0;
          for (int64_t u = c * group; u < (c + 1) * group; ++u) sum += to_float((u & 2 ? bottom : top)[(u & 1) * in + u / 4]);
          y[c] = from_float<T>(to_float(y[c]) + sum * share);
        }
      }
    }
  });
}

void add_upsample_shortcut(const RearrangeParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const int64_t in = p.in_channels, out = p.out_channels, repeat = 4 * out / in;
    for (int64_t r = row_begin; r < row_end; ++r) {
      for (int64_t w = 0; w < p.width; ++w) {
        const T* x = static_cast<const T*>(p.x) + (r * p.width + w) * in;
        for (int64_t i = 0; i < 2; ++i) {
          for (int64_t j = 0; j < 2; ++j) {
            T* y = static_cast<T*>(p.y) + ((2 * r + i) * 2 * p.width + 2 * w + j) * out;
            if (repeat == 4) {
              add_row(x, y, out);
              continue;
            }
            for (int64_t c = 0; c < out; ++c) y[c] = from_float<T>(to_float(y[c]) + to_float(x[(4 * c + 2 * i + j) / repeat]));
          }
        }
      }
    }
  });
}

void add_channel_mean(const ChannelParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const int64_t group = p.in / p.out;
    const float share = 1.0f / static_cast<float>(group);
    for (int64_t r = row_begin; r < row_end; ++r) {
      const T* x = static_cast<const T*>(p.x) + r * p.x_pitch;
      T* y = static_cast<T*>(p.y) + r * p.y_pitch;
      for (int64_t c = 0; c < p.out; ++c) {
        const float sum = sum_vectors(group, [&](int64_t i, auto lanes) { return load(x + c * group + i, lanes); });
        y[c] = from_float<T>(to_float(y[c]) + sum * share);
      }
    }
  });
}

void add_channel_repeat(const ChannelParams& p, int64_t row_begin, int64_t row_end) {
  with_type(p.type, [&](auto type) {
    using T = TypeOf<decltype(type)>;
    const int64_t repeat = p.out / p.in;
    for (int64_t r = row_begin; r < row_end; ++r) {
      const T* x = static_cast<const T*>(p.x) + r * p.x_pitch;
      T* y = static_cast<T*>(p.y) + r * p.y_pitch;
      for (int64_t c = 0; c < p.in; ++c) {
        const F32s value = splat(to_float(x[c]));
        T* group = y + c * repeat;
        for_vectors(repeat, [&](int64_t i, auto lanes) { store(group + i, load(group + i, lanes) + value, lanes); });
      }
    }
  });
}

}  // namespace linea::cpu::LINEA_ISA
