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
        T* rows[2];
        for (int64_t i = 0; i < 2; ++i) rows[i] = static_cast<T*>(p.y) + ((2 * r + i) * 2 * p.width + 2 * w) * channels;
        int64_t c = 0;
        for (; c + kLanes <= channels; c += kLanes) {
          F32s in[4];
          for (int v = 0; v < 4; ++v) in[v] = load(x + 4 * c + v * kLanes);
          for (int j = 0; j < 2; ++j) {
            const F32s low = every_second(in[0], in[1], j), high = every_second(in[2], in[3], j);
            for (int i = 0; i < 2; ++i) store(rows[i] + j * channels + c, every_second(low, high, i));
          }
        }
        for (; c < channels; ++c) {
          for (int i = 0; i < 4; ++i) rows[i / 2][(i % 2) * channels + c] = x[4 * c + i];
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
        const T* rows[2];
        for (int64_t i = 0; i < 2; ++i) rows[i] = static_cast<const T*>(p.x) + ((2 * r + i) * 2 * p.width + 2 * w) * channels;
        int64_t c = 0;
        for (; c + kLanes <= channels; c += kLanes) {
          for (int half = 0; half < 2; ++half) {
            F32s pairs[2];
            for (int j = 0; j < 2; ++j) {
              pairs[j] = in_turn(load(rows[0] + j * channels + c), load(rows[1] + j * channels + c), half);
            }
            for (int v = 0; v < 2; ++v) store(y + 4 * c + (2 * half + v) * kLanes, in_turn(pairs[0], pairs[1], v));
          }
        }
        for (; c < channels; ++c) {
          for (int i = 0; i < 4; ++i) y[4 * c + i] = rows[i / 2][(i % 2) * channels + c];
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
        int64_t c = 0;
        if (group == 2) {  // output 2i takes the upper pair of channel i, output 2i + 1 the lower
          for (; c + 2 * kLanes <= out; c += 2 * kLanes) {
            const F32s upper = (load(top + c / 2) + load(top + in + c / 2)) * share;
            const F32s lower = (load(bottom + c / 2) + load(bottom + in + c / 2)) * share;
            for (int v = 0; v < 2; ++v) store(y + c + v * kLanes, load(y + c + v * kLanes) + in_turn(upper, lower, v));
          }
        }
        for (; c < out; ++c) {
          float sum = 0;
          for (int64_t u = c * group; u < (c + 1) * group; ++u) {
            const T* line = u & 2 ? bottom : top;  // a name of its own: GCC 12's UBSan miscompiles (a ? b : c)[i]
            sum += to_float(line[(u & 1) * in + u / 4]);
          }
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
            int64_t c = 0;
            if (repeat == 2) {  // every second channel of x
              for (; c + kLanes <= out; c += kLanes) {
                const F32s taken = every_second(load(x + 2 * c), load(x + 2 * c + kLanes), static_cast<int>(i));
                store(y + c, load(y + c) + taken);
              }
            }
            for (; c < out; ++c) y[c] = from_float<T>(to_float(y[c]) + to_float(x[(4 * c + 2 * i + j) / repeat]));
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
