// cuBLASLt is column-major: our row-major y [rows, out] is its yᵀ [out, rows] = W xᵀ with W transposed as it lies in memory.
#include "kernels/cuda/matmul.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/cuda/check.h"

namespace linea::cuda {
namespace {

constexpr const char* kOp = "linear";
constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what the library recommends for Hopper

cudaDataType_t data_type(DType type) { return type == DType::kF32 ? CUDA_R_32F : type == DType::kBF16 ? CUDA_R_16BF : CUDA_R_16F; }

// The largest power of two, up to 256, that divides an address.
uint32_t alignment_of(const void* pointer) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer) | 256;
  return static_cast<uint32_t>(address & (~address + 1));
}

template <class Value> void set(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
  check(cublasLtMatmulDescSetAttribute(descriptor, attribute, &value, sizeof value), kOp, "cublasLtMatmulDescSetAttribute");
}

template <class Value> void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const Value& value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value), kOp, "cublasLtMatmulPreferenceSetAttribute");
}

class Layout {
 public:
  Layout(DType type, int64_t rows, int64_t columns, int64_t pitch) {
    check(cublasLtMatrixLayoutCreate(&layout_, data_type(type), static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), pitch), kOp,
          "cublasLtMatrixLayoutCreate");
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  operator cublasLtMatrixLayout_t() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

class Operation {
 public:
  Operation() { check(cublasLtMatmulDescCreate(&descriptor_, CUBLAS_COMPUTE_32F, CUDA_R_32F), kOp, "cublasLtMatmulDescCreate"); }
  ~Operation() { cublasLtMatmulDescDestroy(descriptor_); }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  operator cublasLtMatmulDesc_t() const { return descriptor_; }

 private:
  cublasLtMatmulDesc_t descriptor_ = nullptr;
};

class Preference {
 public:
  Preference() { check(cublasLtMatmulPreferenceCreate(&preference_), kOp, "cublasLtMatmulPreferenceCreate"); }
  ~Preference() { cublasLtMatmulPreferenceDestroy(preference_); }
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
      : w(call.dtype, call.in, call.out, call.in),
        x(call.dtype, call.in, rows, call.x_pitch),
        c(call.dtype, call.out, rows, call.residual ? call.residual_pitch : call.y_pitch),
        y(call.dtype, call.out, rows, call.y_pitch) {
    set(operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(operation, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
    cublasLtEpilogue_t epilogue = call.relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
    if (call.bias) {
      epilogue = call.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
      set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, call.bias);
    }
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  }
};

Matmul::Matmul(int index) {
  check(cublasLtCreate(&handle_), kOp, "cublasLtCreate");
  const cudaError_t status = cudaMalloc(&workspace_, kWorkspaceBytes);
  if (status != cudaSuccess) cublasLtDestroy(handle_);
  check(status, ("cuda:" + std::to_string(index)).c_str(), "cudaMalloc of the matrix products' workspace");
}

Matmul::~Matmul() {
  cudaFree(workspace_);
  cublasLtDestroy(handle_);
}

std::optional<cublasLtMatmulAlgo_t> Matmul::find(const Descriptors& d, const MatmulCall& call) const {
  const Preference preference;
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  // Split sums are added in f32, whatever the type of y.
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(call.w));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(call.x));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(call.residual ? call.residual : call.y));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(call.y));
  cublasLtMatmulHeuristicResult_t result = {};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, d.operation, d.w, d.x, d.c, d.y, preference, 1, &result, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && found == 0)) return std::nullopt;
  check(status, kOp, "cublasLtMatmulAlgoGetHeuristic");
  return result.algo;
}

std::optional<cublasLtMatmulAlgo_t> Matmul::choose(const Descriptors& d, const MatmulCall& call) {
  const Key key = {static_cast<int64_t>(call.dtype),
                   call.rows,
                   call.member_rows,
                   call.in,
                   call.out,
                   call.x_pitch,
                   call.residual_pitch,
                   call.y_pitch,
                   (call.residual ? 1 : 0) + (call.bias ? 2 : 0) + (call.relu ? 4 : 0) + (call.residual == call.y ? 8 : 0),
                   alignment_of(call.w),
                   alignment_of(call.x),
                   alignment_of(call.residual),
                   alignment_of(call.y),
                   alignment_of(call.bias)};
  const std::lock_guard lock(mutex_);
  const auto known = algorithms_.find(key);
  if (known != algorithms_.end()) return known->second;

  std::optional<cublasLtMatmulAlgo_t> algorithm;
  if (call.member_rows < call.rows) {
    algorithm = find(Descriptors(call, call.member_rows), call);
    cublasLtMatmulHeuristicResult_t checked = {};
    const bool fits = algorithm &&
                      cublasLtMatmulAlgoCheck(handle_, d.operation, d.w, d.x, d.c, d.y, &*algorithm, &checked) == CUBLAS_STATUS_SUCCESS &&
                      checked.workspaceSize <= kWorkspaceBytes;
    if (!fits) algorithm.reset();
  }
  if (!algorithm) algorithm = find(d, call);
  algorithms_.emplace(key, algorithm);
  return algorithm;
}

bool Matmul::run(const MatmulCall& call, cudaStream_t stream) {
  LINEA_ASSERT(!(call.relu && call.residual) && (!call.bias || call.dtype == DType::kF32));
  const Descriptors d(call, call.rows);
  const std::optional<cublasLtMatmulAlgo_t> algorithm = choose(d, call);
  if (!algorithm) return false;
  const float one = 1.0f, zero = 0.0f;
  check(cublasLtMatmul(handle_, d.operation, &one, call.w, d.w, call.x, d.x, call.residual ? &one : &zero,
                       call.residual ? call.residual : call.y, d.c, call.y, d.y, &*algorithm, workspace_, kWorkspaceBytes, stream),
        kOp, "cublasLtMatmul");
  return true;
}

}  // namespace linea::cuda
