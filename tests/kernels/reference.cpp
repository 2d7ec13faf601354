#include "tests/kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/linear_attention/reference.h"
#include "tests/support/compare.h"

namespace linea::reference {
namespace {

using test::to_double;

// A contiguous f64 tensor with indices written as in the formulas.
class Array {
 public:
  explicit Array(Shape shape) : tensor_(shape, DType::kF64) { std::fill_n(tensor_.data<double>(), tensor_.elements(), 0.0); }
  explicit Array(const Tensor& t) : tensor_(to_double(t)) {}

  template <class... Index> double& operator()(Index... index) const {
    int64_t offset = 0;
    int i = 0;
    ((offset += static_cast<int64_t>(index) * tensor_.stride(i++)), ...);
    return tensor_.data<double>()[offset];
  }
  int64_t dim(int i) const { return tensor_.dim(i); }
  const Tensor& tensor() const { return tensor_; }
  Array rows() const { return Array(tensor_.reshape({tensor_.rows(), tensor_.dim(-1)}), 0); }

 private:
  Array(const Tensor& t, int) : tensor_(t) {}
  Tensor tensor_;
};

Tensor shaped_like(const Array& rows, const Tensor& t) {
  Shape shape = t.shape();
  shape[-1] = rows.dim(1);
  return rows.tensor().reshape(shape);
}

}  // namespace

double activation(double x, Activation kind) {
  switch (kind) {
    case Activation::kNone: return x;
    case Activation::kRelu: return std::max(x, 0.0);
    case Activation::kSilu: return x / (1.0 + std::exp(-x));
    case Activation::kGeluTanh: return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  }
  return x;
}

Tensor linear(const Tensor& x_tensor, const Tensor& w_tensor, const LinearArgs& args) {
  const Array x = Array(x_tensor).rows(), w(w_tensor);
  const int64_t rows = x.dim(0), in = x.dim(1), out = w.dim(0);
  Array y({rows, out});
  const Array bias = args.bias.defined() ? Array(args.bias) : Array({out});
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = bias(o);
      for (int64_t i = 0; i < in; ++i) sum += x(r, i) * w(o, i);
      y(r, o) = activation(sum, args.activation);
    }
  }
  if (args.gate.defined()) {
    const Array gate(args.gate);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t o = 0; o < out; ++o) y(r, o) *= gate(r / (rows / gate.dim(0)), o);
    }
  }
  if (args.residual.defined()) {
    const Array residual = Array(args.residual).rows();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t o = 0; o < out; ++o) y(r, o) += residual(r, o);
    }
  }
  return shaped_like(y, x_tensor);
}

Tensor grouped_linear(const Tensor& x_tensor, const Tensor& w_tensor) {
  const Array x = Array(x_tensor).rows(), w(w_tensor);
  const int64_t d = w.dim(1);
  Array y({x.dim(0), x.dim(1)});
  for (int64_t r = 0; r < x.dim(0); ++r) {
    for (int64_t c = 0; c < x.dim(1); ++c) {
      for (int64_t j = 0; j < d; ++j) y(r, c) += w(c, j) * x(r, c / d * d + j);
    }
  }
  return shaped_like(y, x_tensor);
}

Tensor conv2d(const Tensor& x_tensor, const Tensor& w_tensor, const Conv2dArgs& args) {
  const Array x(x_tensor), w(w_tensor);
  const int64_t kernel = w.dim(2), half = kernel / 2, scale = args.upsample_nearest ? 2 : 1;
  const int64_t top = args.pad_top < 0 ? half : args.pad_top, bottom = args.pad_bottom < 0 ? half : args.pad_bottom;
  const int64_t height = x.dim(1) * scale, width = x.dim(2) * scale;
  Array y({x.dim(0), (height + top + bottom - kernel) / args.stride + 1, (width + 2 * half - kernel) / args.stride + 1, w.dim(0)});
  const Array bias = args.bias.defined() ? Array(args.bias) : Array({w.dim(0)});
  for (int64_t b = 0; b < y.dim(0); ++b) {
    for (int64_t h = 0; h < y.dim(1); ++h) {
      for (int64_t v = 0; v < y.dim(2); ++v) {
        for (int64_t o = 0; o < y.dim(3); ++o) {
          double sum = bias(o);
          for (int64_t ky = 0; ky < kernel; ++ky) {
            for (int64_t kx = 0; kx < kernel; ++kx) {
              const int64_t row = h * args.stride + ky - top, column = v * args.stride + kx - half;
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              for (int64_t i = 0; i < x.dim(3); ++i) sum += w(o, i, ky, kx) * x(b, row / scale, column / scale, i);
            }
          }
          y(b, h, v, o) = activation(sum, args.activation);
        }
      }
    }
  }
  return args.residual.defined() ? add(y.tensor(), args.residual) : y.tensor();
}

Tensor depthwise_conv2d(const Tensor& x_tensor, const Tensor& w_tensor, const DepthwiseArgs& args) {
  const Array x(x_tensor), w(w_tensor);
  const int64_t kernel = w.dim(0), half = kernel / 2, channels = x.dim(3);
  const int64_t top = args.pad_top < 0 ? half : args.pad_top, bottom = args.pad_bottom < 0 ? half : args.pad_bottom;
  Array u({x.dim(0), x.dim(1) + top + bottom - 2 * half, x.dim(2), channels});
  const Array bias = args.bias.defined() ? Array(args.bias) : Array({channels});
  for (int64_t b = 0; b < u.dim(0); ++b) {
    for (int64_t h = 0; h < u.dim(1); ++h) {
      for (int64_t v = 0; v < u.dim(2); ++v) {
        for (int64_t c = 0; c < channels; ++c) {
          u(b, h, v, c) = bias(c);
          for (int64_t ky = 0; ky < kernel; ++ky) {
            for (int64_t kx = 0; kx < kernel; ++kx) {
              const int64_t row = h + ky - top, column = v + kx - half;
              if (row < 0 || row >= x.dim(1) || column < 0 || column >= x.dim(2)) continue;
              u(b, h, v, c) += w(ky, kx, c) * x(b, row, column, c);
            }
          }
        }
      }
    }
  }
  if (!args.gated) return u.tensor();
  const Tensor value = u.tensor().slice(3, 0, channels / 2), gate = u.tensor().slice(3, channels / 2, channels / 2);
  return multiply_activated(gate, value, Activation::kSilu);
}

Tensor modulated_layer_norm(const Tensor& x_tensor, const Tensor& scale_tensor, const Tensor& shift_tensor, double eps) {
  const Array x(x_tensor), scale(scale_tensor), shift(shift_tensor);
  Array y(x_tensor.shape());
  const double dim = static_cast<double>(x.dim(2));
  for (int64_t b = 0; b < x.dim(0); ++b) {
    for (int64_t n = 0; n < x.dim(1); ++n) {
      double mean = 0, variance = 0;
      for (int64_t c = 0; c < x.dim(2); ++c) mean += x(b, n, c) / dim;
      for (int64_t c = 0; c < x.dim(2); ++c) variance += (x(b, n, c) - mean) * (x(b, n, c) - mean) / dim;
      for (int64_t c = 0; c < x.dim(2); ++c) {
        y(b, n, c) = (x(b, n, c) - mean) / std::sqrt(variance + eps) * (1.0 + scale(b, c)) + shift(b, c);
      }
    }
  }
  return y.tensor();
}

Tensor rms_norm(const Tensor& x_tensor, const Tensor& w_tensor, const RmsNormArgs& args) {
  const Array x = Array(x_tensor).rows(), w(w_tensor);
  Array y({x.dim(0), x.dim(1)});
  const Array bias = args.bias.defined() ? Array(args.bias) : Array({x.dim(1)});
  for (int64_t r = 0; r < x.dim(0); ++r) {
    double squares = 0;
    for (int64_t c = 0; c < x.dim(1); ++c) squares += x(r, c) * x(r, c);
    const double rstd = 1.0 / std::sqrt(squares / static_cast<double>(x.dim(1)) + static_cast<double>(args.eps));
    for (int64_t c = 0; c < x.dim(1); ++c) {
      y(r, c) = activation(x(r, c) * rstd * (w(c) + (args.unit_offset ? 1.0 : 0.0)) + bias(c), args.activation);
    }
  }
  const Tensor normal = shaped_like(y, x_tensor);
  return args.residual.defined() ? add(normal, args.residual) : normal;
}

Tensor relu_linear_attention(const Tensor& q, const Tensor& k, const Tensor& v, double eps) {
  const int64_t tokens = q.dim(1), d = q.dim(3);
  Array y(q.shape());
  const auto head = [&](const Tensor& t, int64_t b, int64_t h) {
    const Tensor one = to_double(t.select(0, b).select(1, h));
    return Doubles(one.data<double>(), one.data<double>() + tokens * d);
  };
  for (int64_t b = 0; b < q.dim(0); ++b) {
    for (int64_t h = 0; h < q.dim(2); ++h) {
      const Doubles out = relu_linear_attention(head(q, b, h), head(k, b, h), head(v, b, h), tokens, d, eps);
      for (int64_t n = 0; n < tokens; ++n) {
        for (int64_t c = 0; c < d; ++c) y(b, n, h, c) = out[static_cast<size_t>(n * d + c)];
      }
    }
  }
  return y.tensor();
}

Tensor softmax_attention(const Tensor& q_tensor, const Tensor& k_tensor, const Tensor& v_tensor, const AttentionArgs& args) {
  const Array q(q_tensor), k(k_tensor), v(v_tensor);
  const int64_t batch = q.dim(0), heads = q.dim(2), d = q.dim(3);
  Array y(q_tensor.shape());
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t first = args.key_offsets.empty() ? k.dim(0) * b / batch : args.key_offsets[static_cast<size_t>(b)];
    const int64_t last = args.key_offsets.empty() ? k.dim(0) * (b + 1) / batch : args.key_offsets[static_cast<size_t>(b + 1)];
    for (int64_t n = 0; n < q.dim(1); ++n) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kv_head = h / (heads / k.dim(1));
        std::vector<double> weights;
        std::vector<int64_t> keys;
        for (int64_t m = 0; m < last - first; ++m) {
          if ((args.causal && m > n) || (args.window > 0 && n - m >= args.window)) continue;
          double s = 0;
          for (int64_t c = 0; c < d; ++c) s += q(b, n, h, c) * k(first + m, kv_head, c);
          s *= static_cast<double>(args.scale);
          if (args.softcap > 0) s = static_cast<double>(args.softcap) * std::tanh(s / static_cast<double>(args.softcap));
          weights.push_back(s);
          keys.push_back(first + m);
        }
        if (keys.empty()) continue;
        const double maximum = *std::max_element(weights.begin(), weights.end());
        double total = 0;
        for (double& weight : weights) total += weight = std::exp(weight - maximum);
        for (size_t i = 0; i < keys.size(); ++i) {
          for (int64_t c = 0; c < d; ++c) y(b, n, h, c) += weights[i] / total * v(keys[i], kv_head, c);
        }
      }
    }
  }
  return y.tensor();
}

Tensor rotary_embedding(const Tensor& x_tensor, int64_t first_position, double theta) {
  const Array x(x_tensor);
  Array y(x_tensor.shape());
  const int64_t half = x.dim(2) / 2;
  for (int64_t n = 0; n < x.dim(0); ++n) {
    for (int64_t h = 0; h < x.dim(1); ++h) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle =
            static_cast<double>(first_position + n) * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(2 * half));
        y(n, h, i) = x(n, h, i) * std::cos(angle) - x(n, h, i + half) * std::sin(angle);
        y(n, h, i + half) = x(n, h, i + half) * std::cos(angle) + x(n, h, i) * std::sin(angle);
      }
    }
  }
  return y.tensor();
}

Tensor embedding_lookup(const Tensor& table_tensor, const std::vector<int32_t>& ids, double scale) {
  const Array table(table_tensor);
  Array y({static_cast<int64_t>(ids.size()), table.dim(1)});
  for (int64_t n = 0; n < y.dim(0); ++n) {
    for (int64_t c = 0; c < y.dim(1); ++c) y(n, c) = table(ids[static_cast<size_t>(n)], c) * scale;
  }
  return y.tensor();
}

Tensor activate(const Tensor& x, Activation kind) {
  const Tensor y = to_double(x);
  for (int64_t i = 0; i < y.elements(); ++i) y.data<double>()[i] = activation(y.data<double>()[i], kind);
  return y;
}

Tensor multiply_activated(const Tensor& gate, const Tensor& up, Activation kind) {
  const Tensor y = activate(gate, kind), factor = to_double(up);
  for (int64_t i = 0; i < y.elements(); ++i) y.data<double>()[i] *= factor.data<double>()[i];
  return y;
}

Tensor add(const Tensor& a, const Tensor& b) {
  const Tensor y = to_double(a), other = to_double(b);
  for (int64_t i = 0; i < y.elements(); ++i) y.data<double>()[i] += other.data<double>()[i];
  return y;
}

Tensor add_rows(const Tensor& x, const Tensor& rows) {
  const Tensor y = to_double(x), other = to_double(rows);
  for (int64_t i = 0; i < y.elements(); ++i) y.data<double>()[i] += other.data<double>()[i % other.elements()];
  return y;
}

Tensor pixel_shuffle(const Tensor& x_tensor) {
  const Array x(x_tensor);
  Array y({x.dim(0), 2 * x.dim(1), 2 * x.dim(2), x.dim(3) / 4});
  for (int64_t b = 0; b < y.dim(0); ++b) {
    for (int64_t h = 0; h < y.dim(1); ++h) {
      for (int64_t w = 0; w < y.dim(2); ++w) {
        for (int64_t c = 0; c < y.dim(3); ++c) y(b, h, w, c) = x(b, h / 2, w / 2, 4 * c + 2 * (h % 2) + w % 2);
      }
    }
  }
  return y.tensor();
}

Tensor pixel_unshuffle(const Tensor& x_tensor) {
  const Array x(x_tensor);
  Array y({x.dim(0), x.dim(1) / 2, x.dim(2) / 2, x.dim(3) * 4});
  for (int64_t b = 0; b < x.dim(0); ++b) {
    for (int64_t h = 0; h < x.dim(1); ++h) {
      for (int64_t w = 0; w < x.dim(2); ++w) {
        for (int64_t c = 0; c < x.dim(3); ++c) y(b, h / 2, w / 2, 4 * c + 2 * (h % 2) + w % 2) = x(b, h, w, c);
      }
    }
  }
  return y.tensor();
}

Tensor add_downsample_shortcut(const Tensor& x, const Tensor& y) {
  const Tensor unshuffled = pixel_unshuffle(x);
  const Tensor mean = add_channel_mean(unshuffled, y);
  return mean;
}

Tensor add_upsample_shortcut(const Tensor& x_tensor, const Tensor& y_tensor) {
  const Array x(x_tensor), y(y_tensor);
  const int64_t repeat = 4 * y.dim(3) / x.dim(3);
  for (int64_t b = 0; b < y.dim(0); ++b) {
    for (int64_t h = 0; h < y.dim(1); ++h) {
      for (int64_t w = 0; w < y.dim(2); ++w) {
        for (int64_t c = 0; c < y.dim(3); ++c) y(b, h, w, c) += x(b, h / 2, w / 2, (4 * c + 2 * (h % 2) + w % 2) / repeat);
      }
    }
  }
  return y.tensor();
}

Tensor add_channel_mean(const Tensor& x_tensor, const Tensor& y_tensor) {
  const Array x = Array(x_tensor).rows(), y = Array(y_tensor).rows();
  const int64_t group = x.dim(1) / y.dim(1);
  for (int64_t r = 0; r < y.dim(0); ++r) {
    for (int64_t c = 0; c < y.dim(1); ++c) {
      for (int64_t m = 0; m < group; ++m) y(r, c) += x(r, c * group + m) / static_cast<double>(group);
    }
  }
  return y.tensor().reshape(y_tensor.shape());
}

Tensor add_channel_repeat(const Tensor& x_tensor, const Tensor& y_tensor) {
  const Array x = Array(x_tensor).rows(), y = Array(y_tensor).rows();
  for (int64_t r = 0; r < y.dim(0); ++r) {
    for (int64_t c = 0; c < y.dim(1); ++c) y(r, c) += x(r, c * x.dim(1) / y.dim(1));
  }
  return y.tensor().reshape(y_tensor.shape());
}

}  // namespace linea::reference
