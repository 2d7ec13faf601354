#include "kernels/cuda/cublaslt_library.h"

#include <dlfcn.h>

#include <future>
#include <string>

#include "core/error.h"

namespace linea::cuda {
namespace {

// As the loader finds libraries, or else where the compiler's toolkit has it.
void* open_library() {
  const std::string name = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  void* library = ::dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (!library) library = ::dlopen((std::string(LINEA_CUDA_LIBRARIES "/") + name).c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (!library) {
    const char* why = ::dlerror();
    throw Error(ErrorKind::kDevice, why ? why : name + " cannot be opened",
                "install cuBLAS " + std::to_string(CUBLAS_VER_MAJOR) + ", or choose --device cpu");
  }
  return library;
}

template <class Function> void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (!function) throw Error(ErrorKind::kDevice, std::string("cuBLASLt has no ") + name, "install another version of cuBLAS");
}

CublasLt load() {
  void* library = open_library();
  CublasLt lt;
  find(library, "cublasLtCreate", lt.create);
  find(library, "cublasLtDestroy", lt.destroy);
  find(library, "cublasLtGetVersion", lt.version);
  find(library, "cublasLtGetStatusString", lt.status_string);
  find(library, "cublasLtMatmul", lt.matmul);
  find(library, "cublasLtMatmulAlgoCheck", lt.algorithm_check);
  find(library, "cublasLtMatmulAlgoGetHeuristic", lt.algorithm_heuristic);
  find(library, "cublasLtMatmulDescCreate", lt.operation_create);
  find(library, "cublasLtMatmulDescDestroy", lt.operation_destroy);
  find(library, "cublasLtMatmulDescSetAttribute", lt.operation_set);
  find(library, "cublasLtMatmulPreferenceCreate", lt.preference_create);
  find(library, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy);
  find(library, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set);
  find(library, "cublasLtMatrixLayoutCreate", lt.layout_create);
  find(library, "cublasLtMatrixLayoutDestroy", lt.layout_destroy);
  return lt;
}

const std::shared_future<CublasLt>& library() {
  static const std::shared_future<CublasLt> opened = std::async(std::launch::async, load).share();
  return opened;
}

}  // namespace

void open_cublas_lt() { library(); }

const CublasLt& cublas_lt() { return library().get(); }

}  // namespace linea::cuda
