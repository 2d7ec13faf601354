// kernels/cuda/recurrence_chunks.h: the recurrence of linear attentions in chunks of sixteen tokens on tensor cores.
#pragma once

#include "kernels/cuda/device/recurrence.cuh"

namespace linea::cuda {

// Launches it where there are kernels for it and tokens enough to pay, and says whether: 16-bit types, values in multiples of 64, and
// - heads of 64 keys with the delta rule and decays of at least `least_log_decay` for each channel (RWKV-7),
// - heads of 64 keys with decays for each channel, read before the write (RWKV-5 and 6),
// - heads of 64 or 128 keys with one decay (Mamba-2).
bool launch_chunks(const RecurrenceParams& p, float least_log_decay, int64_t heads, int64_t sequences, int device, cudaStream_t stream);

}  // namespace linea::cuda
