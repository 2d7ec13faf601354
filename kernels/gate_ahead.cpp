#include "kernels/gate_ahead.h"

#include "kernels/backend.h"

namespace linea {

#if defined(LINEA_CUDA)
std::shared_ptr<void> cuda_gate_ahead(Context& ctx, const Tensor& rows, const Weight& w, const LinearArgs& args);  // kernels/cuda
#else
std::shared_ptr<void> cuda_gate_ahead(Context&, const Tensor&, const Weight&, const LinearArgs&) { return nullptr; }
#endif

GateAhead::GateAhead(Context& ctx, const Tensor& rows, const Weight& w, const LinearArgs& args) {
  if (!ctx.backend->device().is_cpu()) made_ = cuda_gate_ahead(ctx, rows, w, args);
}

}  // namespace linea
