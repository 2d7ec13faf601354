#include "kernels/cuda/tensor_map.h"

#include <cuda_runtime_api.h>

#include <string>

#include "core/error.h"

namespace linea::cuda {
namespace {

// cuTensorMapEncodeTiled is the driver's, and the driver library is not linked.
using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

EncodeTiled encode_tiled() {
  static const EncodeTiled function = [] {
    void* entry = nullptr;
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &result) != cudaSuccess ||
        result != cudaDriverEntryPointSuccess) {
      cudaGetLastError();
      entry = nullptr;
    }
    return reinterpret_cast<EncodeTiled>(entry);
  }();
  return function;
}

CUtensorMapDataType data_type(DType type) {
  switch (type) {
    case DType::kBF16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case DType::kF16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    default: LINEA_ASSERT(bytes_of(type) == 1); return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  }
}

}  // namespace

bool has_tensor_maps() { return encode_tiled() != nullptr; }

CUtensorMap tensor_map(const char* op, DType type, const void* data, std::span<const int64_t> dims, std::span<const int64_t> pitches,
                       std::span<const int> box) {
  constexpr size_t kMostDims = 5;
  LINEA_ASSERT(has_tensor_maps() && dims.size() <= kMostDims && pitches.size() + 1 == dims.size() && box.size() == dims.size());
  CUtensorMap map;
  cuuint64_t sizes[kMostDims] = {}, strides[kMostDims] = {};
  cuuint32_t boxes[kMostDims] = {}, steps[kMostDims] = {};
  for (size_t i = 0; i < dims.size(); ++i) {
    sizes[i] = static_cast<cuuint64_t>(dims[i]);
    if (i + 1 < dims.size()) strides[i] = static_cast<cuuint64_t>(pitches[i]);
    boxes[i] = static_cast<cuuint32_t>(box[i]);
    steps[i] = 1;
  }
  const CUresult status = encode_tiled()(&map, data_type(type), static_cast<cuuint32_t>(dims.size()), const_cast<void*>(data), sizes,
                                         strides, boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                         CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw Error(ErrorKind::kDevice, std::string(op) + ": cuTensorMapEncodeTiled: error " + std::to_string(status));
  }
  return map;
}

}  // namespace linea::cuda
