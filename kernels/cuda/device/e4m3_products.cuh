// kernels/cuda/device/e4m3_products.cuh: warpgroup products of sm_90a with e4m3 operands in shared memory.
#pragma once

#include "kernels/cuda/device/hopper.cuh"

namespace linea::cuda {

#if LINEA_HOPPER_CODE

#define LINEA_SUMS_8(i) \
  "+f"(c[i]), "+f"(c[(i) + 1]), "+f"(c[(i) + 2]), "+f"(c[(i) + 3]), "+f"(c[(i) + 4]), "+f"(c[(i) + 5]), "+f"(c[(i) + 6]), "+f"(c[(i) + 7])

// c = a bᵀ of [64, 32] and [columns, 32], or c += a bᵀ where `adds` is not 0; a thread has half as many sums as there are columns. Layouts
// of operands (32 elements are 32 bytes) and sums: hopper.cuh.
__device__ inline void multiply_e4m3(float (&c)[72], uint64_t a, uint64_t b, int adds) {
  asm volatile(
      "{\n"
      ".reg .pred adds;\n"
      "setp.ne.b32 adds, %74, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n144k32.f32.e4m3.e4m3 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "
      "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, "
      "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, "
      "%60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71}, "
      "%72, %73, adds, 1, 1;\n"
      "}\n"
      : LINEA_SUMS_8(0), LINEA_SUMS_8(8), LINEA_SUMS_8(16), LINEA_SUMS_8(24), LINEA_SUMS_8(32), LINEA_SUMS_8(40), LINEA_SUMS_8(48),
        LINEA_SUMS_8(56), LINEA_SUMS_8(64)
      : "l"(a), "l"(b), "r"(adds));
}
__device__ inline void multiply_e4m3(float (&c)[88], uint64_t a, uint64_t b, int adds) {
  asm volatile(
      "{\n"
      ".reg .pred adds;\n"
      "setp.ne.b32 adds, %90, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n176k32.f32.e4m3.e4m3 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "
      "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, "
      "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, "
      "%60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, "
      "%72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, "
      "%84, %85, %86, %87}, "
      "%88, %89, adds, 1, 1;\n"
      "}\n"
      : LINEA_SUMS_8(0), LINEA_SUMS_8(8), LINEA_SUMS_8(16), LINEA_SUMS_8(24), LINEA_SUMS_8(32), LINEA_SUMS_8(40), LINEA_SUMS_8(48),
        LINEA_SUMS_8(56), LINEA_SUMS_8(64), LINEA_SUMS_8(72), LINEA_SUMS_8(80)
      : "l"(a), "l"(b), "r"(adds));
}

#undef LINEA_SUMS_8

#endif

}  // namespace linea::cuda
