// wkv7.cu: the RWKV-7 recurrence for training, forward and backward, head size 64.
//
//   S_t = S_{t-1} (diag(exp l_t) + a_t b_t^T) + v_t k_t^T,   y_t = S_t r_t        state [value][key], zero at the start
//
// All sequences are [B, T, H, 64]; l is float, the others bfloat16; T is a multiple of 16. One block of 64 threads a (sequence, head).
// Forward: thread i owns row i (a value channel) and keeps the state after every 16 tokens. Backward walks from state to state by
// undoing the update; there a thread owns one row of dS, and one column of S and of dS, because gradients are sums over either.
#include <cuda_bf16.h>

namespace {

constexpr int N = 64;
constexpr int kKept = 16;  // tokens between kept states

using Half = __nv_bfloat16;

struct Inputs {
  const Half* r;
  const float* l;
  const Half* k;
  const Half* v;
  const Half* a;
  const Half* b;
};

struct Gradients {
  Half* r;
  float* l;
  Half* k;
  Half* v;
  Half* a;
  Half* b;
};

// One token's values of one channel, fetched while the token before is computed.
struct Token {
  float r, w, k, v, a, b;

  __device__ static Token read(const Inputs& in, size_t at) {
    return {__bfloat162float(in.r[at]), expf(in.l[at]), __bfloat162float(in.k[at]), __bfloat162float(in.v[at]), __bfloat162float(in.a[at]),
            __bfloat162float(in.b[at])};
  }
};

__global__ void __launch_bounds__(N) forward(int T, int H, Inputs in, Half* y, float* states, float* sa) {
  __shared__ float r[2][N], w[2][N], k[2][N], a[2][N], b[2][N];
  const int i = threadIdx.x, head = blockIdx.x, sequence = blockIdx.y;
  const size_t stride = static_cast<size_t>(H) * N;
  size_t at = (static_cast<size_t>(sequence) * T * H + head) * N + i;
  float* kept = states + (static_cast<size_t>(sequence) * H + head) * (T / kKept) * N * N + i;
  float S[N] = {};
  Token next = Token::read(in, at);
  for (int t = 0; t < T; ++t, at += stride) {
    const int p = t & 1;
    const float v = next.v;
    r[p][i] = next.r, w[p][i] = next.w, k[p][i] = next.k, a[p][i] = next.a, b[p][i] = next.b;
    __syncthreads();
    if (t + 1 < T) next = Token::read(in, at + stride);
    float removed = 0, out = 0;
#pragma unroll
    for (int j = 0; j < N; ++j) removed += S[j] * a[p][j];
#pragma unroll
    for (int j = 0; j < N; ++j) {
      S[j] = S[j] * w[p][j] + removed * b[p][j] + v * k[p][j];
      out += S[j] * r[p][j];
    }
    sa[at] = removed;
    y[at] = __float2bfloat16(out);
    if ((t + 1) % kKept == 0) {
#pragma unroll
      for (int j = 0; j < N; ++j) kept[j * N] = S[j];
      kept += N * N;
    }
  }
}

__global__ void __launch_bounds__(N)
    backward(int T, int H, Inputs in, const Half* dy_, const float* states, const float* sa_, Gradients out) {
  __shared__ float r[N], w[N], k[N], v[N], a[N], b[N], dy[N], sa[N], dsa[N];
  const int i = threadIdx.x, head = blockIdx.x, sequence = blockIdx.y;
  const size_t stride = static_cast<size_t>(H) * N;
  const float* kept = states + (static_cast<size_t>(sequence) * H + head) * (T / kKept) * N * N + static_cast<size_t>(i) * N;
  size_t at = (static_cast<size_t>(sequence) * T * H + static_cast<size_t>(T - 1) * H + head) * N + i;
  float column[N], drow[N] = {}, dcolumn[N] = {};  // S[.][i], dS[i][.], dS[.][i]
  for (int t = T - 1; t >= 0; --t, at -= stride) {
    const Token token = Token::read(in, at);
    const float my_dy = __bfloat162float(dy_[at]);
    __syncthreads();
    r[i] = token.r, w[i] = token.w, k[i] = token.k, v[i] = token.v, a[i] = token.a, b[i] = token.b, dy[i] = my_dy, sa[i] = sa_[at];
    __syncthreads();
    if ((t + 1) % kKept == 0) {
#pragma unroll
      for (int j = 0; j < N; ++j) column[j] = kept[static_cast<size_t>(t / kKept) * N * N + j];
    }
    const float inverse = 1.0f / token.w;
    float dr = 0, dw = 0, dk = 0, dv = 0, db = 0, my_dsa = 0, da = 0;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      dr += column[j] * dy[j];
      column[j] = (column[j] - sa[j] * token.b - v[j] * token.k) * inverse;  // S_{t-1}
      drow[j] += my_dy * r[j];
      dcolumn[j] += token.r * dy[j];
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      dw += dcolumn[j] * column[j];
      dk += dcolumn[j] * v[j];
      db += dcolumn[j] * sa[j];
      dv += drow[j] * k[j];
      my_dsa += drow[j] * b[j];
    }
    dsa[i] = my_dsa;
    __syncthreads();
#pragma unroll
    for (int j = 0; j < N; ++j) {
      da += column[j] * dsa[j];
      drow[j] = drow[j] * w[j] + my_dsa * a[j];
      dcolumn[j] = dcolumn[j] * token.w + dsa[j] * token.a;
    }
    out.r[at] = __float2bfloat16(dr);
    out.l[at] = dw * token.w;
    out.k[at] = __float2bfloat16(dk);
    out.v[at] = __float2bfloat16(dv);
    out.a[at] = __float2bfloat16(da);
    out.b[at] = __float2bfloat16(db);
  }
}

}  // namespace

extern "C" int wkv7_forward(void* stream, int B, int T, int H, const void* r, const void* l, const void* k, const void* v, const void* a,
                            const void* b, void* y, void* states, void* sa) {
  const Inputs in{static_cast<const Half*>(r), static_cast<const float*>(l), static_cast<const Half*>(k),
                  static_cast<const Half*>(v), static_cast<const Half*>(a),  static_cast<const Half*>(b)};
  forward<<<dim3(H, B), N, 0, static_cast<cudaStream_t>(stream)>>>(T, H, in, static_cast<Half*>(y), static_cast<float*>(states),
                                                                   static_cast<float*>(sa));
  return cudaGetLastError();
}

extern "C" int wkv7_backward(void* stream, int B, int T, int H, const void* r, const void* l, const void* k, const void* v, const void* a,
                             const void* b, const void* dy, const void* states, const void* sa, void* dr, void* dl, void* dk, void* dv,
                             void* da, void* db) {
  const Inputs in{static_cast<const Half*>(r), static_cast<const float*>(l), static_cast<const Half*>(k),
                  static_cast<const Half*>(v), static_cast<const Half*>(a),  static_cast<const Half*>(b)};
  const Gradients out{static_cast<Half*>(dr), static_cast<float*>(dl), static_cast<Half*>(dk),
                      static_cast<Half*>(dv), static_cast<Half*>(da),  static_cast<Half*>(db)};
  backward<<<dim3(H, B), N, 0, static_cast<cudaStream_t>(stream)>>>(T, H, in, static_cast<const Half*>(dy),
                                                                    static_cast<const float*>(states), static_cast<const float*>(sa), out);
  return cudaGetLastError();
}
