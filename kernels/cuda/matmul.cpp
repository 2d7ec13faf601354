// cuBLASLt is column-major: our row-major y [rows, out] is its yᵀ [out, rows] = W xᵀ with W transposed as it lies in memory.
#include "kernels/cuda/matmul.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "core/memory_use.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/cublaslt_library.h"
#include "kernels/cuda/initcheck.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "linear";
constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what the library recommends for Hopper

cudaDataType_t data_type(DType type) { return type == DType::kF32 ? CUDA_R_32F : type == DType::kBF16 ? CUDA_R_16BF : CUDA_R_16F; }

// A few microseconds at most: what another algorithm could save is less than it takes to have its kernel from the disk, 2 ms each, once for
// every start of the program without kept choices. Not where a side is short: there the library's first proposal is far from its best (1024
// rows of 32, 2240 outputs: 50 µs).
bool is_small(const MatmulCall& call) {
  constexpr int64_t kProducts = int64_t{1} << 30, kWeights = int64_t{1} << 19, kShort = 64;
  return call.in * call.out <= kWeights && call.rows * call.in * call.out <= kProducts && std::min(call.in, call.out) >= kShort;
}

cudaDataType_t operand_type(const MatmulCall& call) { return call.is_fp8() ? CUDA_R_8F_E4M3 : data_type(call.dtype); }

// The largest power of two, up to 256, that divides a number of bytes, or an address.
uint32_t alignment_of(uintptr_t bytes) { return static_cast<uint32_t>((bytes | 256) & (~(bytes | 256) + 1)); }
uint32_t alignment_of(const void* pointer) { return alignment_of(reinterpret_cast<uintptr_t>(pointer)); }

// The same of every member of a batch, so that none has an algorithm of its own: they lie member_rows · pitch elements from each other.
uint32_t alignment_of(const void* pointer, const MatmulCall& call, int64_t pitch, int64_t size) {
  return std::min(alignment_of(pointer), alignment_of(static_cast<uintptr_t>(call.member_rows * pitch * size)));
}
uint32_t x_alignment(const MatmulCall& call) { return alignment_of(call.x, call, call.x_pitch, bytes_of(call.x_type())); }
uint32_t y_alignment(const MatmulCall& call) { return alignment_of(call.y, call, call.y_pitch, bytes_of(call.y_type())); }
uint32_t residual_alignment(const MatmulCall& call) {
  return alignment_of(call.residual, call, call.residual_pitch, bytes_of(call.y_type()));
}

template <class Value> void set(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
  check(cublas_lt().operation_set(descriptor, attribute, &value, sizeof value), kOp, "cublasLtMatmulDescSetAttribute");
}

template <class Value> void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const Value& value) {
  check(cublas_lt().preference_set(preference, attribute, &value, sizeof value), kOp, "cublasLtMatmulPreferenceSetAttribute");
}

cublasLtEpilogue_t epilogue_of(const MatmulCall& call) {
  switch (call.activation) {
    case Activation::kRelu: return call.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    case Activation::kGeluTanh: return call.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    default: return call.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
  }
}

class Layout {
 public:
  Layout(cudaDataType_t type, int64_t rows, int64_t columns, int64_t pitch) {
    check(cublas_lt().layout_create(&layout_, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), pitch), kOp,
          "cublasLtMatrixLayoutCreate");
  }
  ~Layout() { cublas_lt().layout_destroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  operator cublasLtMatrixLayout_t() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

class Operation {
 public:
  Operation() { check(cublas_lt().operation_create(&descriptor_, CUBLAS_COMPUTE_32F, CUDA_R_32F), kOp, "cublasLtMatmulDescCreate"); }
  ~Operation() { cublas_lt().operation_destroy(descriptor_); }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  operator cublasLtMatmulDesc_t() const { return descriptor_; }

 private:
  cublasLtMatmulDesc_t descriptor_ = nullptr;
};

class Preference {
 public:
  Preference() { check(cublas_lt().preference_create(&preference_), kOp, "cublasLtMatmulPreferenceCreate"); }
  ~Preference() { cublas_lt().preference_destroy(preference_); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  operator cublasLtMatmulPreference_t() const { return preference_; }

 private:
  cublasLtMatmulPreference_t preference_ = nullptr;
};

}  // namespace

struct Matmul::Descriptors {
  Operation operation;
  Layout w, x, c, y;

  Descriptors(const MatmulCall& call, int64_t rows)
      : w(operand_type(call), call.in, call.out, call.in),
        x(operand_type(call), call.in, rows, call.x_pitch),
        c(data_type(call.y_type()), call.out, rows, call.residual ? call.residual_pitch : call.y_pitch),
        y(data_type(call.y_type()), call.out, rows, call.y_pitch) {
    set(operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(operation, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(call));
    if (call.is_fp8()) {
      set(operation, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
      set(operation, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
      set(operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, call.w_scales);
      set(operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, call.x_scales);
      set(operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1});
    }
    if (call.bias) {
      set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, call.bias);
      set(operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(call.y_type()));
    }
  }
};

Matmul::Matmul(int index) : cache_(index) {
  check(cublas_lt().create(&handle_), kOp, "cublasLtCreate");
  const cudaError_t status = cudaMalloc(&workspace_, kWorkspaceBytes);
  if (status != cudaSuccess) cublas_lt().destroy(handle_);
  check(status, ("cuda:" + std::to_string(index)).c_str(), "cudaMalloc of the matrix products' workspace");
}

Matmul::~Matmul() {
  cudaFree(workspace_);
  cublas_lt().destroy(handle_);
}

std::vector<Matmul::Algorithm> Matmul::propose(const Descriptors& d, const MatmulCall& call, int count) const {
  const Preference preference;
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  // Split sums are added in f32, whatever the type of y.
  const uint32_t reduction = call.member_rows > 0 ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(call.w));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, x_alignment(call));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, call.residual ? residual_alignment(call) : y_alignment(call));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, y_alignment(call));
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(count));
  int found = 0;
  const cublasStatus_t status =
      cublas_lt().algorithm_heuristic(handle_, d.operation, d.w, d.x, d.c, d.y, preference, count, results.data(), &found);
  std::vector<Algorithm> algorithms;
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return algorithms;
  check(status, kOp, "cublasLtMatmulAlgoGetHeuristic");
  for (int i = 0; i < found; ++i) {
    if (results[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(results[static_cast<size_t>(i)].algo);
  }
  return algorithms;
}

cublasStatus_t Matmul::submit(const Descriptors& d, const MatmulCall& call, const Algorithm& algorithm, cudaStream_t stream) const {
  const float one = 1.0f, zero = 0.0f;
  if (marks_results()) check(cudaMemsetAsync(workspace_, 0, kWorkspaceBytes, stream), kOp, "cudaMemsetAsync");
  if (marks_results() && call.residual != call.y) {
    const auto size = static_cast<size_t>(bytes_of(call.y_type()));
    check(cudaMemset2DAsync(call.y, static_cast<size_t>(call.y_pitch) * size, 0, static_cast<size_t>(call.out) * size,
                            static_cast<size_t>(call.rows), stream),
          kOp, "cudaMemset2DAsync");
  }
  return cublas_lt().matmul(handle_, d.operation, &one, call.w, d.w, call.x, d.x, call.residual ? &one : &zero,
                            call.residual ? call.residual : call.y, d.c, call.y, d.y, &algorithm, workspace_, kWorkspaceBytes, stream);
}

// Runs a call into memory of its own, so that a residual that is y keeps its values.
class Matmul::Trial {
 public:
  Trial(const Matmul& matmul, const MatmulCall& call, cudaStream_t stream)
      : matmul_(matmul), call_(call), stream_(stream), size_(bytes_of(call.y_type())) {
    const int64_t bytes = ((call.rows - 1) * call.y_pitch + call.out) * size_;
    int device = 0;
    check(cudaGetDevice(&device), kOp, "cudaGetDevice");
    if (!memory_meter({DeviceKind::kCuda, device}).has_room_for(bytes + 256)) return;  // the memory plan has none to spare
    if (cudaMalloc(&y_, static_cast<size_t>(bytes) + 256) != cudaSuccess) {
      cudaGetLastError();
      y_ = nullptr;
      return;
    }
    check(cudaEventCreate(&begin_), kOp, "cudaEventCreate");
    check(cudaEventCreate(&end_), kOp, "cudaEventCreate");
    const uintptr_t offset = reinterpret_cast<uintptr_t>(call.y) % 256;  // algorithms depend on alignment
    call_.y = static_cast<char*>(y_) + offset;
  }
  ~Trial() {
    if (begin_) cudaEventDestroy(begin_);
    if (end_) cudaEventDestroy(end_);
    cudaFree(y_);
  }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  bool ready() const { return y_ != nullptr; }

  // The first rows of the result as bits; empty when the algorithm does not run.
  std::vector<char> result(const Algorithm& algorithm, int64_t rows) {
    constexpr int64_t kCompared = 256;
    MatmulCall call = call_;
    call.rows = rows;
    const Descriptors d(call, rows);
    if (matmul_.submit(d, call, algorithm, stream_) != CUBLAS_STATUS_SUCCESS) return {};
    const int64_t compared = std::min(kCompared, rows), width = call.out * size_;
    std::vector<char> bits(static_cast<size_t>(compared * width));
    check(cudaMemcpy2DAsync(bits.data(), static_cast<size_t>(width), call.y, static_cast<size_t>(call.y_pitch * size_),
                            static_cast<size_t>(width), static_cast<size_t>(compared), cudaMemcpyDeviceToHost, stream_),
          kOp, "cudaMemcpy2DAsync");
    check(cudaStreamSynchronize(stream_), kOp, "cudaStreamSynchronize");
    return bits;
  }

  float milliseconds(const Algorithm& algorithm) {
    constexpr int kRuns = 4;
    const Descriptors d(call_, call_.rows);
    float time = std::numeric_limits<float>::infinity();
    if (matmul_.submit(d, call_, algorithm, stream_) != CUBLAS_STATUS_SUCCESS) return time;
    check(cudaEventRecord(begin_, stream_), kOp, "cudaEventRecord");
    for (int i = 0; i < kRuns; ++i) check(matmul_.submit(d, call_, algorithm, stream_), kOp, "cublasLtMatmul");
    check(cudaEventRecord(end_, stream_), kOp, "cudaEventRecord");
    check(cudaEventSynchronize(end_), kOp, "cudaEventSynchronize");
    check(cudaEventElapsedTime(&time, begin_, end_), kOp, "cudaEventElapsedTime");
    return time;
  }

 private:
  const Matmul& matmul_;
  MatmulCall call_;
  cudaStream_t stream_;
  int64_t size_;
  void* y_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// What the result must be, to the bit: that of the proposal for one member alone.
Matmul::Algorithm Matmul::expected(const std::vector<Algorithm>& proposals, const MatmulCall& call) const {
  if (call.member_rows == 0 || call.member_rows == call.rows) return proposals.front();
  const std::vector<Algorithm> alone = propose(Descriptors(call, call.member_rows), call, 1);
  return alone.empty() ? proposals.front() : alone.front();
}

std::optional<Matmul::Algorithm> Matmul::fastest(const Descriptors& d, const std::vector<Algorithm>& proposals, const Algorithm& expected,
                                                 const MatmulCall& call, cudaStream_t stream) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &capture), kOp, "cudaStreamIsCapturing");
  if (capture != cudaStreamCaptureStatusNone) return std::nullopt;
  Trial trial(*this, call, stream);
  if (!trial.ready()) return std::nullopt;
  const int64_t member_rows = call.member_rows > 0 ? call.member_rows : call.rows;
  const std::vector<char> bits = call.member_rows > 0 ? trial.result(expected, member_rows) : std::vector<char>();
  const auto is_like_alone = [&](const Algorithm& algorithm) {
    if (call.member_rows == 0) return true;
    const std::vector<char> found = trial.result(algorithm, call.rows);
    return found.size() >= bits.size() && std::memcmp(found.data(), bits.data(), bits.size()) == 0;
  };
  if (is_small(call) && is_usable(d, expected) && is_like_alone(expected)) return expected;
  Algorithm best = expected;
  float best_time = std::numeric_limits<float>::infinity();
  for (const Algorithm& algorithm : proposals) {
    if (!is_like_alone(algorithm)) continue;
    const float time = trial.milliseconds(algorithm);
    if (time >= best_time) continue;
    best_time = time;
    best = algorithm;
  }
  // None like it: it takes the whole batch itself, if it can.
  const bool none = best_time == std::numeric_limits<float>::infinity();
  return none && trial.result(expected, call.rows).empty() ? proposals.front() : best;
}

Matmul::Key Matmul::key_of(const MatmulCall& call) {
  return {static_cast<int64_t>(call.is_fp8() ? DType::kF8E4M3 : call.dtype),
          call.rows,
          call.member_rows,
          call.in,
          call.out,
          call.x_pitch,
          call.residual_pitch,
          call.y_pitch,
          (call.residual ? 1 : 0) + (call.bias ? 2 : 0) + (call.residual == call.y ? 4 : 0) + (call.f32_output ? 8 : 0) +
              16 * static_cast<int64_t>(call.activation),
          alignment_of(call.w),
          x_alignment(call),
          residual_alignment(call),
          y_alignment(call),
          alignment_of(call.bias)};
}

std::optional<Matmul::Algorithm> Matmul::choose(const Descriptors& d, const MatmulCall& call, cudaStream_t stream) {
  constexpr int kProposals = 8;
  const Key key = key_of(call);
  const std::lock_guard lock(mutex_);
  const auto known = algorithms_.find(key);
  if (known != algorithms_.end()) return known->second;
  std::optional<Algorithm> algorithm;
  const std::optional<Algorithm>* kept = cache_.find(key);
  if (kept && (!*kept || is_usable(d, **kept))) {
    algorithm = *kept;
  } else {
    const std::vector<Algorithm> proposals = propose(d, call, kProposals);
    bool tried = true;
    if (!proposals.empty()) {
      const Algorithm like = expected(proposals, call);
      algorithm = fastest(d, proposals, like, call, stream);
      tried = algorithm.has_value();
      if (!tried) algorithm = is_usable(d, like) ? like : proposals.front();
    }
    if (tried) cache_.add(key, algorithm);
  }
  algorithms_.emplace(key, algorithm);
  return algorithm;
}

// What a file says of an algorithm is checked before it is run.
bool Matmul::is_usable(const Descriptors& d, const Algorithm& algorithm) const {
  cublasLtMatmulHeuristicResult_t result;
  return cublas_lt().algorithm_check(handle_, d.operation, d.w, d.x, d.c, d.y, &algorithm, &result) == CUBLAS_STATUS_SUCCESS &&
         result.workspaceSize <= kWorkspaceBytes;
}

void Matmul::keep_choices() {
  const std::lock_guard lock(mutex_);
  cache_.save();
}

bool Matmul::run(const MatmulCall& call, cudaStream_t stream) {
  LINEA_ASSERT(call.activation == Activation::kNone || !call.residual);
  const Descriptors d(call, call.rows);
  const std::optional<Algorithm> algorithm = choose(d, call, stream);
  if (!algorithm) return false;
  check(submit(d, call, *algorithm, stream), kOp, "cublasLtMatmul");
  return true;
}

}  // namespace linea::cuda
