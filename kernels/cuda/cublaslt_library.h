// kernels/cuda/cublaslt_library.h: the functions of cuBLASLt that Linea calls.
#pragma once

#include <cublasLt.h>

namespace linea::cuda {

// The library is opened for the first device and not when the program starts: it is so large that every start would take a tenth of a
// second longer, and a machine without it can do all that needs no GPU.
struct CublasLt {
  decltype(&::cublasLtCreate) create;
  decltype(&::cublasLtDestroy) destroy;
  decltype(&::cublasLtGetVersion) version;
  decltype(&::cublasLtGetStatusString) status_string;
  decltype(&::cublasLtMatmul) matmul;
  decltype(&::cublasLtMatmulAlgoCheck) algorithm_check;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) algorithm_heuristic;
  decltype(&::cublasLtMatmulDescCreate) operation_create;
  decltype(&::cublasLtMatmulDescDestroy) operation_destroy;
  decltype(&::cublasLtMatmulDescSetAttribute) operation_set;
  decltype(&::cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&::cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&::cublasLtMatrixLayoutCreate) layout_create;
  decltype(&::cublasLtMatrixLayoutDestroy) layout_destroy;
};

void open_cublas_lt();  // begins to, in the background; failures are told by cublas_lt()

// Opens it where that has not begun, and waits for it. Throws kDevice where it is missing or of another major version.
const CublasLt& cublas_lt();

}  // namespace linea::cuda
