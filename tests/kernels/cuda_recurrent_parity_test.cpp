// The ops of recurrent models on the first CUDA device: against the CPU backend, and against themselves for any split of a sequence.
#include <algorithm>

#include "core/error.h"
#include "kernels/replay.h"
#include "tests/kernels/cuda_parity.h"

namespace linea::test {
namespace {

class CudaRecurrentParity : public CudaParity {
 protected:
  // f32 at most 0, as decays are.
  Pair decays(Shape shape, float scale = 1.0f) {
    Tensor values = random_tensor(shape, seed_++, DType::kF32, scale);
    for (int64_t i = 0; i < values.elements(); ++i) values.data<float>()[i] = -std::abs(values.data<float>()[i]);
    return both_devices(values);
  }

  // A sequence op on both devices: op(ctx, side, first token, count, state, y) computes a part of it.
  using SequenceOp = std::function<void(Context&, int side, int64_t first, int64_t count, const Tensor& state)>;
  // Runs the whole on both sides, then in pieces on the device alone. `y` is the output that op writes to.
  void run_sequence(const std::string& what, int64_t tokens, const Tensor& start, const Pair& y, const SequenceOp& op, double bound = 3e-6,
                    double state_bound = 3e-6) {
    const std::array<Tensor, 2> state = {copy(start), start.to(kCuda)};
    run([&](Context& ctx, int side) { op(ctx, side, 0, tokens, state[static_cast<size_t>(side)]); });
    expect_close(y, what, bound);
    EXPECT_LE(relative_l2(state[1].to(kCpuDevice), state[0]), state_bound) << what << " state";
    const Tensor whole = y.wide[1].to(kCpuDevice), last = state[1].to(kCpuDevice);
    for (const int64_t piece : {int64_t{1}, int64_t{3}, int64_t{16}, int64_t{37}}) {
      if (piece >= tokens) continue;
      const Tensor other = start.to(kCuda);
      Context ctx = context(1);
      for (int64_t first = 0; first < tokens; first += piece) op(ctx, 1, first, std::min(piece, tokens - first), other);
      expect_same_bits(y.wide[1], whole, what + " in pieces of " + std::to_string(piece));
      expect_same_bits(other, last, what + " state after pieces of " + std::to_string(piece));
    }
  }

  static Tensor copy(const Tensor& t) {
    Tensor result(t.shape(), t.dtype());
    std::memcpy(result.raw(), t.raw(), static_cast<size_t>(t.bytes()));
    return result;
  }

  uint64_t seed_ = 1000;
};

INSTANTIATE_TEST_SUITE_P(Cuda, CudaRecurrentParity, ::testing::Values(DType::kF32, DType::kBF16, DType::kF16), name_of_type);

// Products of a few rows, as decoding has them: sums of one warp and of several, and every ending.
TEST_P(CudaRecurrentParity, LinearOfFewRows) {
  for (const auto& [rows, in, out] :
       {std::array<int64_t, 3>{1, 4096, 40}, {2, 1040, 130}, {3, 2560, 9}, {4, 64, 8200}, {1, 256, 17}, {4, 72, 5}, {1, 2048, 4100}}) {
    const std::array<Weight, 2> w = linear_weight(out, in);
    const Pair x = pitched({rows, in}), bias = floats({out}), gate = floats({1, out});
    for (const int ending : {0, 1, 2}) {
      const Pair y = ending > 0 ? random({rows, out}) : pitched_output({rows, out});
      run([&](Context& ctx, int side) {
        LinearArgs args;
        if (ending > 0) args = {.bias = bias[side], .activation = Activation::kSilu, .residual = y[side]};
        if (ending == 2) args.gate = gate[side];
        linear(ctx, x[side], w[static_cast<size_t>(side)], y[side], args);
      });
      expect_close(y, "linear " + std::to_string(rows) + "x" + std::to_string(in) + "x" + std::to_string(out));
    }
    const Pair all = output({rows, out}), alone = output({1, out});
    Context ctx = context(1);
    linear(ctx, x[1], w[1], all[1]);
    for (int64_t r = 0; r < rows; ++r) {
      linear(ctx, x[1].slice(0, r, 1), w[1], alone[1]);
      expect_same_bits(alone[1], all[1].slice(0, r, 1), "row " + std::to_string(r));
    }
  }
}

TEST_P(CudaRecurrentParity, LinearRecurrence) {
  struct Family {
    const char* name;
    bool delta, per_channel, before, scaled, constant_decay;
    int64_t groups, heads, dk, dv, tokens;
  };
  for (const Family& f : {Family{"rwkv7", true, true, false, false, false, 3, 3, 64, 64, 83},
                          {"rwkv6", false, true, true, false, false, 2, 2, 64, 64, 60},
                          {"rwkv5", false, true, true, false, true, 2, 2, 32, 32, 21},
                          {"mamba2", false, false, false, true, false, 2, 4, 128, 64, 61},
                          {"deltanet", true, false, true, false, false, 1, 2, 128, 128, 19},
                          {"wide", true, true, false, true, false, 1, 1, 200, 36, 9},
                          {"odd", true, true, false, true, false, 1, 2, 7, 21, 40},
                          {"tiny", false, true, true, false, false, 1, 1, 1, 1, 3}}) {
    const int64_t T = f.tokens, K = f.heads * f.dk;
    const float unit = 1.0f / std::sqrt(static_cast<float>(f.dk));  // keys of about unit length keep the delta rule stable
    const Pair q = pitched({T, f.groups * f.dk}).reshape({T, f.groups, f.dk}),
               k = pitched({T, f.groups * f.dk}, unit).reshape({T, f.groups, f.dk});
    const Pair v = pitched({T, f.heads * f.dv}).reshape({T, f.heads, f.dv}), y = pitched_output({T, f.heads * f.dv});
    const Pair a = random({T, K}, unit).reshape({T, f.heads, f.dk}), b = random({T, K}, unit).reshape({T, f.heads, f.dk});
    const Pair decay = decays({f.constant_decay ? 1 : T, f.heads, f.per_channel ? f.dk : 1}, 0.3f);
    const Pair scale = floats({T, f.heads}), skip = floats({f.heads});
    const Tensor start = random_tensor({f.heads, f.dk, f.dv}, 9);
    run_sequence(f.name, T, start, y, [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
      const auto part = [&](const Pair& x) { return x[side].slice(0, first, count); };
      RecurrenceArgs args{.log_decay = f.constant_decay ? decay[side] : part(decay), .read_before_write = f.before};
      if (f.delta) args.a = part(a), args.b = part(b);
      if (f.scaled) args.value_scale = part(scale), args.skip = skip[side];
      linear_recurrence(ctx, part(q), part(k), part(v), args, state, part(y).reshape({count, f.heads, f.dv}));
    });
  }
}

TEST_P(CudaRecurrentParity, LinearRecurrenceWithoutDecay) {
  const Pair q = random({5, 2, 24}), k = random({5, 2, 24}), v = random({5, 2, 40}), y = output({5, 2, 40});
  run_sequence("no decay", 5, random_tensor({2, 24, 40}, 1), y,
               [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
                 const auto part = [&](const Pair& x) { return x[side].slice(0, first, count); };
                 linear_recurrence(ctx, part(q), part(k), part(v), {}, state, part(y));
               });
}

TEST_P(CudaRecurrentParity, SelectiveScan) {
  for (const auto& [T, C, N] : {std::array<int64_t, 3>{41, 96, 16}, {9, 85, 5}, {3, 8, 1}, {4, 33, 40}, {2, 9, 100}}) {
    const Pair x = pitched({T, C}), B = pitched({T, N}), c = pitched({T, N}), D = floats({C}), y = pitched_output({T, C});
    const Pair A = decays({N, C}), delta = both_devices([&] {
                                     const Tensor values = random_tensor({T, C}, 5);
                                     for (int64_t i = 0; i < values.elements(); ++i)
                                       values.data<float>()[i] = std::abs(values.data<float>()[i]);
                                     return values;
                                   }());
    run_sequence(
        "selective_scan", T, random_tensor({N, C}, 2), y, [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
          const auto part = [&](const Pair& whole) { return whole[side].slice(0, first, count); };
          selective_scan(ctx, part(x), {.delta = part(delta), .A = A[side], .B = part(B), .c = part(c), .D = D[side]}, state, part(y));
        });
  }
}

// Keys far apart: the sums must neither overflow nor vanish.
TEST_P(CudaRecurrentParity, WeightedAverage) {
  for (const auto& [T, C] : {std::array<int64_t, 2>{43, 85}, {1, 64}, {8, 1}}) {
    const Pair k = pitched({T, C}, 20.0f), v = pitched({T, C}), decay = decays({C}), u = floats({C}), y = pitched_output({T, C});
    const Tensor start({3, C}, DType::kF32);
    std::fill_n(start.data<float>(), 2 * C, 0.0f);
    std::fill_n(start.data<float>() + 2 * C, C, -1e30f);
    run_sequence("weighted_average", T, start, y, [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
      const auto part = [&](const Pair& whole) { return whole[side].slice(0, first, count); };
      weighted_average(ctx, part(k), part(v), decay[side], u[side], state, part(y));
    });
  }
}

TEST_P(CudaRecurrentParity, CausalConvolution) {
  for (const auto& [T, C, K] : {std::array<int64_t, 3>{45, 64, 4}, {40, 21, 4}, {2, 8, 4}, {1, 16, 2}, {5, 8, 1}, {60, 9, 30}}) {
    for (const Activation activation : {Activation::kNone, Activation::kSilu}) {
      const Pair x = pitched({T, C}), w = floats({K, C}), bias = floats({C}), y = pitched_output({T, C});
      run_sequence("causal_conv1d", T, random_tensor({K - 1, C}, 3), y,
                   [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
                     const auto part = [&](const Pair& whole) { return whole[side].slice(0, first, count); };
                     causal_conv1d(ctx, part(x), w[side], activation == Activation::kNone ? Tensor() : bias[side], state, part(y),
                                   activation);
                   });
    }
  }
}

TEST_P(CudaRecurrentParity, TokenShift) {
  for (const auto& [T, C] : {std::array<int64_t, 2>{40, 64}, {5, 37}, {1, 2560}}) {
    const Pair x = pitched({T, C}), y = pitched_output({T, C});
    run_sequence("token_shift", T, random_tensor({C}, 3), y,
                 [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
                   token_shift(ctx, x[side].slice(0, first, count), state, y[side].slice(0, first, count));
                 });
  }
}

TEST_P(CudaRecurrentParity, Lerp) {
  for (const auto& [rows, dim] : {std::array<int64_t, 2>{9, 64}, {3, 37}, {1, 2560}}) {
    const Pair a = pitched({rows, dim}), b = pitched({rows, dim});
    for (const Pair& m : {floats({dim}), pitched({rows, dim})}) {
      const Pair y = pitched_output({rows, dim});
      run([&](Context& ctx, int side) { lerp(ctx, a[side], b[side], m[side], y[side]); });
      expect_close(y, "lerp");
      const Pair inplace = random({rows, dim});
      run([&](Context& ctx, int side) { lerp(ctx, inplace[side], b[side], m[side], inplace[side]); });
      expect_close(inplace, "lerp in place");
    }
  }
}

TEST_P(CudaRecurrentParity, ElementwiseFunctions) {
  for (const int64_t dim : {1, 37, 2560}) {
    const Pair x = pitched({6, dim}), bias = floats({dim}), scale = floats({dim}), residual = pitched({6, dim});
    for (const Function function : {Function::kIdentity, Function::kExp, Function::kTanh, Function::kSigmoid, Function::kSilu,
                                    Function::kSoftplus, Function::kReluSquared}) {
      const std::string what = "elementwise " + std::to_string(static_cast<int>(function));
      Pair y = pitched_output({6, dim});
      run([&](Context& ctx, int side) { elementwise(ctx, x[side], y[side], {.function = function}); });
      expect_close(y, what);
      y = pitched_output({6, dim});
      run([&](Context& ctx, int side) {
        elementwise(ctx, x[side], y[side], {.function = function, .bias = bias[side], .scale = scale[side], .residual = residual[side]});
      });
      expect_close(y, what + " with bias, scale and residual");
      const Pair wide = floats({6, dim}), sum = floats({6, dim});  // what the residual stream does
      run([&](Context& ctx, int side) { elementwise(ctx, wide[side], sum[side], {.function = function, .residual = sum[side]}); });
      expect_close(sum, what + " of f32");
      const Pair mixed = floats({6, dim});
      run([&](Context& ctx, int side) { elementwise(ctx, x[side], mixed[side], {.function = function, .residual = mixed[side]}); });
      expect_close(mixed, what + " into f32");
    }
  }
}

TEST_P(CudaRecurrentParity, FunctionsFarOut) {
  const Tensor far({2, 9}, DType::kF32);
  const float values[] = {-200, -88, -40, -1e-6f, 0, 1e-6f, 40, 80, 200};
  for (int64_t i = 0; i < far.elements(); ++i) far.data<float>()[i] = values[i % 9];
  const Pair x = both_devices(far);
  for (const Function function : {Function::kTanh, Function::kSigmoid, Function::kSilu, Function::kSoftplus}) {
    const Pair y = output({2, 9}, DType::kF32);
    run([&](Context& ctx, int side) { elementwise(ctx, x[side], y[side], {.function = function}); });
    expect_close(y, "far " + std::to_string(static_cast<int>(function)));
  }
}

TEST_P(CudaRecurrentParity, GroupNorm) {
  for (const auto& [rows, groups, size] :
       {std::array<int64_t, 3>{5, 3, 64}, {4, 3, 19}, {2, 1, 4096}, {3, 2, 1029}, {7, 1, 256}, {2, 1, 1}}) {
    const int64_t dim = groups * size;
    const Pair x = pitched({rows, dim}), w = floats({dim}), bias = floats({dim});
    for (const bool centre : {false, true}) {
      if (centre && size == 1) continue;  // nothing but rounding is left
      for (const bool has_bias : {false, true}) {
        const auto args = [&](int side) {
          return GroupNormArgs{.bias = has_bias ? bias[side] : Tensor(), .groups = groups, .eps = 64e-5f, .centre = centre};
        };
        const Pair y = pitched_output({rows, dim}), inplace = random({rows, dim}), narrow = output({rows, dim}),
                   stream = floats({rows, dim});
        run([&](Context& ctx, int side) { group_norm(ctx, x[side], w[side], y[side], args(side)); });
        expect_close(y, "group_norm");
        run([&](Context& ctx, int side) { group_norm(ctx, inplace[side], w[side], inplace[side], args(side)); });
        expect_close(inplace, "group_norm in place");
        run([&](Context& ctx, int side) { group_norm(ctx, stream[side], w[side], narrow[side], args(side)); });
        expect_close(narrow, "group_norm of f32");
      }
    }
  }
}

TEST_P(CudaRecurrentParity, NormalizeHeadsAndBonus) {
  for (const auto& [rows, heads, size] : {std::array<int64_t, 3>{5, 3, 64}, {4, 2, 21}, {1, 40, 64}, {2, 2, 1024}, {3, 1, 264}}) {
    const int64_t dim = heads * size;
    const Pair x = pitched({rows, dim}), w = floats({dim}), y = pitched_output({rows, dim});
    run([&](Context& ctx, int side) { normalize_heads(ctx, x[side], w[side], y[side], heads); });
    expect_close(y, "normalize_heads");
    const Pair zeros = both_devices([&] {
      const Tensor host({rows, dim}, dtype());
      std::memset(host.raw(), 0, static_cast<size_t>(host.bytes()));
      return host;
    }());
    const Pair unit = output({rows, dim});
    run([&](Context& ctx, int side) { normalize_heads(ctx, zeros[side], w[side], unit[side], heads); });
    expect_close(unit, "normalize_heads of zeros");
    const float scale = 1.0f / std::sqrt(static_cast<float>(size));
    const Pair q = pitched({rows, dim}), k = pitched({rows, dim}, scale), v = pitched({rows, dim}), u = floats({heads, size});
    const Pair sum = random({rows, dim});
    run([&](Context& ctx, int side) { add_bonus(ctx, q[side], k[side], v[side], u[side], sum[side]); });
    expect_close(sum, "add_bonus", 1e-5);
  }
}

// Products side by side, few rows and many, into types of their own.
TEST_P(CudaRecurrentParity, Project) {
  for (const int64_t rows : {1, 3, 70}) {
    const std::array<Weight, 2> wide = linear_weight(160, 192), narrow = linear_weight(24, 192), up = linear_weight(136, 24);
    const Pair x = pitched({rows, 192}), z = random({rows, 192}), h = random({rows, 24}), bias = floats({136});
    const Pair a = pitched_output({rows, 160}), b = output({rows, 24}, DType::kF32), c = pitched_output({rows, 136}),
               d = floats({rows, 160});
    run([&](Context& ctx, int side) {
      const auto i = static_cast<size_t>(side);
      const Projection all[] = {{.x = x[side], .w = &wide[i], .y = a[side]},
                                {.x = z[side], .w = &narrow[i], .y = b[side], .function = Function::kTanh},
                                {.x = h[side], .w = &up[i], .y = c[side], .bias = bias[side], .function = Function::kSigmoid},
                                {.x = x[side], .w = &wide[i], .y = d[side], .function = Function::kReluSquared, .residual = d[side]}};
      project(ctx, all);
    });
    const std::string what = "project " + std::to_string(rows);
    expect_close(a, what);
    expect_close(b, what + " tanh", 1e-5);
    expect_close(c, what + " sigmoid");
    expect_close(d, what + " with residual", 1e-5);
  }
}

// A batch's rows: matrices that fill part of a tile, and sums that a cluster of blocks shares.
TEST_P(CudaRecurrentParity, ProjectBatch) {
  for (const auto& [rows, in, out] :
       {std::array<int64_t, 3>{5, 64, 40}, {17, 72, 130}, {33, 1040, 300}, {64, 2560, 264}, {64, 4096, 4096}}) {
    const std::array<Weight, 2> w = linear_weight(out, in), narrow = linear_weight(24, in);
    const float unit = 1.0f / std::sqrt(static_cast<float>(in));
    const Pair x = random({rows, in}, unit), z = random({rows, in}, unit), bias = floats({out});
    const Pair a = pitched_output({rows, out}), b = output({rows, 24}, DType::kF32), c = floats({rows, out});
    run([&](Context& ctx, int side) {
      const auto i = static_cast<size_t>(side);
      const Projection all[] = {{.x = x[side], .w = &w[i], .y = a[side], .bias = bias[side], .function = Function::kSigmoid},
                                {.x = z[side], .w = &narrow[i], .y = b[side], .function = Function::kTanh},
                                {.x = x[side], .w = &w[i], .y = c[side], .residual = c[side]}};
      project(ctx, all);
    });
    const std::string what = "project " + Shape{rows, in, out}.to_string();
    expect_close(a, what + " sigmoid", 1e-5);
    expect_close(b, what + " tanh", 1e-5);
    expect_close(c, what + " with residual", 1e-5);
    // A row alone among zeros keeps its bits.
    Context ctx = context(1);
    const Tensor others = Tensor(x[1].shape(), x[1].dtype(), kCpuDevice);
    std::memset(others.raw(), 0, static_cast<size_t>(others.bytes()));
    const Tensor host = x[1].to(kCpuDevice);
    const int64_t row = rows / 2, bytes = in * bytes_of(x[1].dtype());
    std::memcpy(static_cast<char*>(others.raw()) + row * bytes, static_cast<const char*>(host.raw()) + row * bytes,
                static_cast<size_t>(bytes));
    const Tensor own = others.to(kCuda), y = Tensor({rows, out}, a[1].dtype(), kCuda);
    const Pair skipped = output({rows, 24}, DType::kF32), sum = floats({rows, out});
    const Projection same[] = {{.x = own, .w = &w[1], .y = y, .bias = bias[1], .function = Function::kSigmoid},
                               {.x = z[1], .w = &narrow[1], .y = skipped[1], .function = Function::kTanh},
                               {.x = own, .w = &w[1], .y = sum[1], .residual = sum[1]}};
    project(ctx, same);
    if (dtype() != DType::kF32) expect_same_bits(y.slice(0, row, 1), a[1].slice(0, row, 1), what + " alone");
  }
}

TEST_P(CudaRecurrentParity, MixWithPrevious) {
  for (const auto& [T, C] : {std::array<int64_t, 2>{40, 64}, {5, 37}, {1, 2560}, {2, 4096}}) {
    const Pair x = floats({T, C}), w = floats({C}), bias = floats({C}), m = floats({C}), n = floats({C});
    const Pair y = pitched_output({T, C}), z = pitched_output({T, C});
    run_sequence("mix_with_previous", T, random_tensor({C}, 3), y,
                 [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
                   const auto part = [&](const Pair& whole) { return whole[side].slice(0, first, count); };
                   const Mix mixes[] = {{m[side], part(y)}, {n[side], part(z)}};
                   mix_with_previous(ctx, part(x), w[side], bias[side], state, mixes);
                 });
    expect_close(z, "second mix");
  }
}

TEST_P(CudaRecurrentParity, Rwkv7InputsAndOutputs) {
  for (const auto& [T, H, d] : {std::array<int64_t, 3>{9, 3, 64}, {1, 40, 64}, {4, 2, 21}, {2, 1, 264}}) {
    const int64_t C = H * d;
    const Pair k = random({T, C}), v = pitched({T, C}), rate = random({T, C}), decay = floats({T, C}), kk = pitched_output({T, C});
    const Pair v_first = random({T, C}), share = random({T, C}), k_k = floats({C}), k_a = floats({C});
    for (const bool shares : {false, true}) {
      run([&](Context& ctx, int side) {
        rwkv7_inputs(ctx, {.k = k[side],
                           .v = v[side],
                           .rate = rate[side],
                           .decay = decay[side],
                           .kk = kk[side],
                           .v_first = shares ? v_first[side] : Tensor(),
                           .share = shares ? share[side] : Tensor(),
                           .k_k = k_k[side],
                           .k_a = k_a[side],
                           .heads = H});
      });
      for (const Pair& changed : {k, v, rate, decay, kk}) expect_close(changed, "rwkv7_inputs", 1e-5);
    }
    const float scale = 1.0f / std::sqrt(static_cast<float>(d));
    const Pair q = pitched({T, C}), keys = random({T, C}, scale), g = random({T, C}), y = pitched({T, C}), u = floats({H, d});
    const Pair w = floats({C}), bias = floats({C});
    run([&](Context& ctx, int side) {
      rwkv7_outputs(ctx, {.q = q[side], .k = keys[side], .v = v_first[side], .g = g[side], .u = u[side], .w = w[side], .bias = bias[side]},
                    y[side]);
    });
    expect_close(y, "rwkv7_outputs", 1e-5);
  }
}

// Everything between RWKV-7's projections: one launch for single tokens, three for more, with the same bits.
TEST_P(CudaRecurrentParity, Rwkv7Heads) {
  for (const auto& [T, H, N] : {std::array<int64_t, 3>{37, 3, 64}, {5, 2, 32}, {3, 1, 7}}) {
    const int64_t A = H * N;
    const float unit = 1.0f / std::sqrt(static_cast<float>(N));
    const Pair k_k = floats({A}), k_a = floats({A}), u = floats({H, N}), w = floats({A}), bias = floats({A});
    const Pair q = random({T, A}), k = random({T, A}, unit), v = random({T, A}), g = random({T, A}), v_first = random({T, A});
    const Pair share = random({T, A}, 0.1f), rate = random({T, A}, 0.2f), y = output({T, A});
    const Pair decay = both_devices([&] {
      const Tensor values = random_tensor({T, A}, 77);
      for (int64_t i = 0; i < values.elements(); ++i) values.data<float>()[i] = 1 / (1 + std::exp(-values.data<float>()[i]));
      return values;
    }());
    run_sequence(
        "rwkv7_heads", T, random_tensor({H, N, N}, 3), y,
        [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
          const Device device = side == 0 ? kCpuDevice : kCuda;
          if (ctx.planning()) return;
          const auto part = [&](const Pair& t) { return t[side].slice(0, first, count); };
          const auto own = [&](const Pair& t) {  // the op replaces some of its inputs
            const Tensor host = t[0].slice(0, first, count).to(kCpuDevice);
            return device.is_cpu() ? copy(host) : copy(host).to(kCuda);
          };
          const Tensor keys = own(k), values = own(v);
          const Rwkv7Inputs in = {.k = keys,
                                  .v = values,
                                  .rate = own(rate),
                                  .decay = own(decay),
                                  .kk = own(k),
                                  .v_first = part(v_first),
                                  .share = part(share),
                                  .k_k = k_k[side],
                                  .k_a = k_a[side],
                                  .heads = H};
          rwkv7_heads(ctx, in, state, {.q = part(q), .k = keys, .v = values, .g = part(g), .u = u[side], .w = w[side], .bias = bias[side]},
                      part(y));
          ctx.backend->synchronize();
        },
        1e-5, dtype() == DType::kF32 ? 1e-5 : 1e-2);  // vectors in between are rounded to the type
  }
}

// Everything between Mamba-2's convolution and its gated norm, in one launch on the device.
TEST_P(CudaRecurrentParity, Mamba2Heads) {
  for (const auto& [T, G, H, N, P] : {std::array<int64_t, 5>{37, 1, 4, 128, 64}, {19, 2, 4, 16, 24}, {1, 1, 2, 64, 8}}) {
    const Mamba2Inputs in = mamba2_inputs(T, G, H, N, P, decays({H}));
    const Pair y = output({T, H, P});
    run_sequence(
        "mamba2_heads", T, random_tensor({H, N, P}, 3), y,
        [&](Context& ctx, int side, int64_t first, int64_t count, const Tensor& state) {
          mamba2_heads(ctx, in.of(side, first, count), state, y[side].slice(0, first, count));
        },
        1e-5, 1e-5);
  }
}

// Several sequences in one call: each gives the bits that it gives alone.
TEST_P(CudaRecurrentParity, SequencesDoNotMeet) {
  constexpr int64_t kMembers = 3, kHeads = 2, kDim = 64, kChannels = kHeads * kDim;
  for (const int64_t T : {1, 5, 21}) {
    const int64_t rows = kMembers * T;
    const Pair q = random({rows, kHeads, kDim}), k = random({rows, kHeads, kDim}, 0.1f), v = random({rows, kHeads, kDim});
    const Pair decay = decays({rows, kHeads, kDim}), x = random({rows, kChannels}), filter = floats({4, kChannels});
    const Pair w = floats({kChannels}), bias = floats({kChannels}), m = floats({kChannels});
    struct Run {
      Tensor memory, window, before, y, convolved, mixed;
    };
    const auto run_rows = [&](int64_t first, int64_t count, const Tensor& memory, const Tensor& window, const Tensor& before) {
      Context ctx = context(1);
      Run r = {memory, window, before, {}, {}, {}};
      r.y = Tensor({count, kHeads, kDim}, dtype(), kCuda);
      r.convolved = Tensor({count, kChannels}, dtype(), kCuda);
      r.mixed = Tensor({count, kChannels}, dtype(), kCuda);
      const auto part = [&](const Pair& t) { return t[1].slice(0, first, count); };
      linear_recurrence(ctx, part(q), part(k), part(v), {.log_decay = part(decay)}, r.memory, r.y);
      causal_conv1d(ctx, part(x), filter[1], bias[1], r.window, r.convolved, Activation::kSilu);
      const Mix mixes[] = {{m[1], r.mixed}};
      mix_with_previous(ctx, part(x), w[1], bias[1], r.before, mixes);
      return r;
    };
    const Tensor memory = random_tensor({kMembers, kHeads, kDim, kDim}, 4), window = random_tensor({kMembers, 3, kChannels}, 5),
                 before = random_tensor({kMembers, kChannels}, 6);
    const Run all = run_rows(0, rows, memory.to(kCuda), window.to(kCuda), before.to(kCuda));
    for (int64_t i = 0; i < kMembers; ++i) {
      const auto own = [&](const Tensor& t) { return copy(t.select(0, i)).to(kCuda); };
      const Run alone = run_rows(i * T, T, own(memory), own(window), own(before));
      const std::string what = " of member " + std::to_string(i);
      expect_same_bits(all.y.slice(0, i * T, T), alone.y, "recurrence" + what);
      expect_same_bits(all.convolved.slice(0, i * T, T), alone.convolved, "convolution" + what);
      expect_same_bits(all.mixed.slice(0, i * T, T), alone.mixed, "mix" + what);
      expect_same_bits(all.memory.select(0, i), alone.memory, "memory" + what);
      expect_same_bits(all.window.select(0, i), alone.window, "window" + what);
      expect_same_bits(all.before.select(0, i), alone.before, "row before" + what);
    }
  }
}

// Captured work does what it did when it was run op by op, and sees the values that its memory holds then.
TEST_P(CudaRecurrentParity, ReplayedWork) {
  const std::array<Weight, 2> w = linear_weight(64, 64);
  const Pair x = random({1, 64}), y = output({1, 64}), state = floats({64}), sum = floats({1, 64});
  Context ctx = context(1);
  ReplayCache replays;
  int calls = 0;
  const auto work = [&] {
    ++calls;
    const Arena::Scope scope(*ctx.arena);
    const Tensor h = ctx.allocate({1, 64});
    linear(ctx, x[1], w[1], h);
    token_shift(ctx, h, state[1], y[1]);
    elementwise(ctx, y[1], sum[1], {.residual = sum[1]});
  };
  const Tensor first = sum[1].to(kCpuDevice), start = state[1].to(kCpuDevice);
  for (int i = 0; i < 5; ++i) replays.run(ctx, {x[1].raw(), y[1].raw()}, work);
  EXPECT_EQ(calls, 2);
  const Tensor replayed = sum[1].to(kCpuDevice);
  const Tensor other_sum = first.to(kCuda), other_state = start.to(kCuda);
  for (int i = 0; i < 5; ++i) {
    const Arena::Scope scope(*ctx.arena);
    const Tensor h = ctx.allocate({1, 64});
    linear(ctx, x[1], w[1], h);
    token_shift(ctx, h, other_state, y[1]);
    elementwise(ctx, y[1], other_sum, {.residual = other_sum});
  }
  EXPECT_TRUE(same_bits(replayed, other_sum.to(kCpuDevice)));
}

// What throws while it is captured leaves the backend usable.
TEST_P(CudaRecurrentParity, CaptureThatThrows) {
  Context ctx = context(1);
  EXPECT_THROW(ctx.backend->capture([] { throw Error(ErrorKind::kCancelled, "cancelled"); }), Error);
  const Pair x = random({1, 64}), y = output({1, 64});
  run([&](Context& running, int side) { activate(running, x[side], y[side], Activation::kSilu); });
  expect_close(y, "after a capture that threw");
}

}  // namespace
}  // namespace linea::test
