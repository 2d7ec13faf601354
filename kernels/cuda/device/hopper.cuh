// kernels/cuda/device/hopper.cuh: what sm_90a adds: barriers in shared memory, the bulk tensor copy engine and warpgroup matrix products.
//
// Everything here exists in code for sm_90a alone; kernels wrap their bodies in LINEA_HOPPER_CODE.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/device/mma.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define LINEA_HOPPER_CODE 1
#else
#define LINEA_HOPPER_CODE 0
#endif

namespace linea::cuda {

#if LINEA_HOPPER_CODE

// ---- Barriers: a phase ends when `count` threads have arrived and all announced bytes are there --------------------------------------

__device__ inline void init_barrier(uint64_t* barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
__device__ inline void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ inline void arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
__device__ inline void arrive(uint64_t* barrier, int times) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(times) : "memory");
}
__device__ inline void arrive_expecting(uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}
// At the barrier that lies at the same place in block `rank` of the cluster, by a thread that has only read: nothing that it wrote has to
// be seen there, so no memory barrier comes with it.
__device__ inline void release_at(uint64_t* barrier, int rank) {
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, [there];\n"
      "}\n" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}
// Whether the phase with this parity (0 for the first) has ended.
__device__ inline bool has_phase(uint64_t* barrier, int parity) {
  int done;
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "mbarrier.test_wait.parity.shared::cta.b64 done, [%1], %2;\n"
      "selp.b32 %0, 1, 0, done;\n"
      "}\n"
      : "=r"(done)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
  return done != 0;
}
// Until it has.
__device__ inline void wait_phase(uint64_t* barrier, int parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra end;\n"
      "bra again;\n"
      "end:\n"
      "}\n" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// ---- Clusters ------------------------------------------------------------------------------------------------------------------------

__device__ inline int cluster_rank() {
  int rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ inline void arrive_at_cluster() { asm volatile("barrier.cluster.arrive.release;" ::: "memory"); }
__device__ inline void wait_for_cluster() { asm volatile("barrier.cluster.wait.acquire;" ::: "memory"); }

// ---- Copies of boxes; what lies outside the tensor becomes zeros -----------------------------------------------------------------------

__device__ inline void copy_box(void* to, const CUtensorMap& map, uint64_t* barrier, int c0, int c1) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1)
      : "memory");
}
__device__ inline void copy_box(void* to, const CUtensorMap& map, uint64_t* barrier, int c0, int c1, int c2, int c3) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(
                   shared_address(to)),
               "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
               : "memory");
}

// By one thread, a multiple of 16 bytes into shared memory; they arrive at the barrier.
__device__ inline void copy_bytes(void* to, const void* from, int bytes, uint64_t* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
}

// Into the second-level cache alone.
__device__ inline void prefetch_box(const CUtensorMap& map, int c0, int c1) {
  asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %2}];" ::"l"(&map), "r"(c0), "r"(c1) : "memory");
}

// The same into all blocks of the cluster that `mask` names, at the same place and for the same barrier in each.
__device__ inline void copy_box_to_all(void* to, const CUtensorMap& map, uint64_t* barrier, int c0, int c1, int mask) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::
          "r"(shared_address(to)),
      "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "h"(static_cast<unsigned short>(mask))
      : "memory");
}

// From shared memory; what lies outside the tensor is left out. The thread that stores also waits until its boxes have been read.
__device__ inline void store_box(const CUtensorMap& map, const void* from, int c0, int c1, int c2, int c3) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(&map), "r"(shared_address(from)),
               "r"(c0), "r"(c1), "r"(c2), "r"(c3)
               : "memory");
}
__device__ inline void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
__device__ inline void wait_stores_read() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }

// ---- Products of a warpgroup: [64, 16] × [16, 128] from shared memory ------------------------------------------------------------------

// Rows of 64 16-bit elements (128 bytes) as the copy engine writes them, swizzled by the address; 16 elements further is 2 more. Eight
// rows lie together, and the next eight `group_bytes` further; the first may be any row.
__device__ inline uint64_t matrix_descriptor(const void* tile, int group_bytes = 1024) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62, kUnused = uint64_t{1} << 16;
  return kSwizzle128 | static_cast<uint64_t>(group_bytes >> 4) << 32 | kUnused | ((shared_address(tile) & 0x3ffff) >> 4);
}

// Makes a thread's ordinary writes to shared memory (cp.async's too) visible to products and to the copy engine; a barrier follows.
__device__ inline void publish_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending> __device__ inline void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// The text and the operands of a product, which inline assembly wants spelt out.
#define LINEA_PLACES_64                                                              \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LINEA_PLACES_40                                                              \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39"
#define LINEA_PLACES_48 LINEA_PLACES_40 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define LINEA_PLACES_52 LINEA_PLACES_48 ", %48, %49, %50, %51"
#define LINEA_PLACES_72 LINEA_PLACES_64 ", %64, %65, %66, %67, %68, %69, %70, %71"
#define LINEA_PLACES_128                                                                         \
  LINEA_PLACES_64                                                                                \
  ", "                                                                                           \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define LINEA_SUMS_8(i) \
  "+f"(c[i]), "+f"(c[(i) + 1]), "+f"(c[(i) + 2]), "+f"(c[(i) + 3]), "+f"(c[(i) + 4]), "+f"(c[(i) + 5]), "+f"(c[(i) + 6]), "+f"(c[(i) + 7])
#define LINEA_SUMS_64(i)                                                                                                                  \
  LINEA_SUMS_8(i), LINEA_SUMS_8((i) + 8), LINEA_SUMS_8((i) + 16), LINEA_SUMS_8((i) + 24), LINEA_SUMS_8((i) + 32), LINEA_SUMS_8((i) + 40), \
      LINEA_SUMS_8((i) + 48), LINEA_SUMS_8((i) + 56)
#define LINEA_SUMS_40(i) LINEA_SUMS_8(i), LINEA_SUMS_8((i) + 8), LINEA_SUMS_8((i) + 16), LINEA_SUMS_8((i) + 24), LINEA_SUMS_8((i) + 32)
#define LINEA_SUMS_4(i) "+f"(c[i]), "+f"(c[(i) + 1]), "+f"(c[(i) + 2]), "+f"(c[(i) + 3])
#define LINEA_PRODUCT(shape, type, places, descriptors, ...)                                    \
  asm volatile(                                                                                 \
      "{\n"                                                                                     \
      ".reg .pred adds;\n"                                                                      \
      "setp.eq.u32 adds, 1, 1;\n"                                                               \
      "wgmma.mma_async.sync.aligned." shape ".f32." type "." type " {" places "}, " descriptors \
      ", adds, 1, 1, 0, 0;\n"                                                                   \
      "}\n"                                                                                     \
      : __VA_ARGS__                                                                             \
      : "l"(a), "l"(b))

#define LINEA_GROUP_PRODUCT(count, columns, places, descriptors, ...)                                  \
  template <class T> __device__ inline void multiply_group(float(&c)[count], uint64_t a, uint64_t b) { \
    if constexpr (std::is_same_v<T, __nv_bfloat16>) {                                                  \
      LINEA_PRODUCT("m64n" columns "k16", "bf16", places, descriptors, __VA_ARGS__);                   \
    } else {                                                                                           \
      LINEA_PRODUCT("m64n" columns "k16", "f16", places, descriptors, __VA_ARGS__);                    \
    }                                                                                                  \
  }

// c += a bᵀ with 80 to 256 columns, twice as many as a thread has sums. It holds of c, for each 8 columns j: rows 16·(warp mod 4) + lane /
// 4 (c[4j], c[4j+1]) and 8 more (c[4j+2], c[4j+3]), columns 8j + 2·(lane mod 4) and the next.
LINEA_GROUP_PRODUCT(40, "80", LINEA_PLACES_40, "%40, %41", LINEA_SUMS_40(0))
LINEA_GROUP_PRODUCT(48, "96", LINEA_PLACES_48, "%48, %49", LINEA_SUMS_40(0), LINEA_SUMS_8(40))
LINEA_GROUP_PRODUCT(52, "104", LINEA_PLACES_52, "%52, %53", LINEA_SUMS_40(0), LINEA_SUMS_8(40), LINEA_SUMS_4(48))
LINEA_GROUP_PRODUCT(64, "128", LINEA_PLACES_64, "%64, %65", LINEA_SUMS_64(0))
LINEA_GROUP_PRODUCT(72, "144", LINEA_PLACES_72, "%72, %73", LINEA_SUMS_64(0), LINEA_SUMS_8(64))
LINEA_GROUP_PRODUCT(128, "256", LINEA_PLACES_128, "%128, %129", LINEA_SUMS_64(0), LINEA_SUMS_64(64))

// ---- Products of a warpgroup whose left side lies in registers: [64, 16] × [16, 8 kBlocks] ---------------------------------------------

// A matrix [rows, n] whose rows are the product's depth, in column blocks of 64 elements (128 bytes, swizzled) that lie `block_bytes`
// apart; eight rows lie together, and 16 rows further is 2048 bytes more.
__device__ inline uint64_t transposed_descriptor(const void* tile, int block_bytes) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62, kEightRows = 1024;
  return kSwizzle128 | (kEightRows >> 4) << 32 | static_cast<uint64_t>(block_bytes >> 4) << 16 | ((shared_address(tile) & 0x3ffff) >> 4);
}

#define LINEA_PLACES_56 \
  LINEA_PLACES_40       \
  ", %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55"
#define LINEA_BLOCK(j) "+f"(c[j][0]), "+f"(c[j][1]), "+f"(c[j][2]), "+f"(c[j][3])
#define LINEA_BLOCKS_10                                                                                                           \
  LINEA_BLOCK(0), LINEA_BLOCK(1), LINEA_BLOCK(2), LINEA_BLOCK(3), LINEA_BLOCK(4), LINEA_BLOCK(5), LINEA_BLOCK(6), LINEA_BLOCK(7), \
      LINEA_BLOCK(8), LINEA_BLOCK(9)
#define LINEA_BLOCKS_14 LINEA_BLOCKS_10, LINEA_BLOCK(10), LINEA_BLOCK(11), LINEA_BLOCK(12), LINEA_BLOCK(13)
#define LINEA_REGISTER_PRODUCT(shape, type, places, operands, ...)                                          \
  asm volatile("wgmma.mma_async.sync.aligned." shape ".f32." type "." type " {" places "}, " operands ";\n" \
               : __VA_ARGS__                                                                                \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(kAdds), "n"(kTransposed))

// c = a b, or += where kAdds is 1; a as an mma's (a warp holds 16 rows of it), b from shared memory: rows of depth (matrix_descriptor), or
// where kTransposed is 1 the depth runs over rows (transposed_descriptor). c[j] holds 8 columns: rows 16·warp + lane / 4 in its first two
// sums, 8 more in the others.
template <class T, int kTransposed, int kAdds>
__device__ inline void multiply_registers(float (&c)[10][4], const uint32_t (&a)[4], uint64_t b) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    LINEA_REGISTER_PRODUCT("m64n80k16", "bf16", LINEA_PLACES_40, "{%40, %41, %42, %43}, %44, %45, 1, 1, %46", LINEA_BLOCKS_10);
  } else {
    LINEA_REGISTER_PRODUCT("m64n80k16", "f16", LINEA_PLACES_40, "{%40, %41, %42, %43}, %44, %45, 1, 1, %46", LINEA_BLOCKS_10);
  }
}
template <class T, int kTransposed, int kAdds>
__device__ inline void multiply_registers(float (&c)[14][4], const uint32_t (&a)[4], uint64_t b) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    LINEA_REGISTER_PRODUCT("m64n112k16", "bf16", LINEA_PLACES_56, "{%56, %57, %58, %59}, %60, %61, 1, 1, %62", LINEA_BLOCKS_14);
  } else {
    LINEA_REGISTER_PRODUCT("m64n112k16", "f16", LINEA_PLACES_56, "{%56, %57, %58, %59}, %60, %61, 1, 1, %62", LINEA_BLOCKS_14);
  }
}

#undef LINEA_REGISTER_PRODUCT
#undef LINEA_BLOCKS_14
#undef LINEA_BLOCKS_10
#undef LINEA_BLOCK
#undef LINEA_PLACES_56
#undef LINEA_GROUP_PRODUCT
#undef LINEA_PRODUCT
#undef LINEA_SUMS_40
#undef LINEA_SUMS_64
#undef LINEA_SUMS_8
#undef LINEA_SUMS_4
#undef LINEA_PLACES_128
#undef LINEA_PLACES_72
#undef LINEA_PLACES_52
#undef LINEA_PLACES_48
#undef LINEA_PLACES_40
#undef LINEA_PLACES_64

// Four 8×8 matrices of sums, rounded and packed in pairs of a row, become columns in shared memory; lane i gives the address of column i
// mod 8 of matrix i / 8.
__device__ inline void store_matrices_transposed(void* column, const uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(shared_address(column)), "r"(r[0]), "r"(r[1]),
               "r"(r[2]), "r"(r[3])
               : "memory");
}

#endif

}  // namespace linea::cuda
