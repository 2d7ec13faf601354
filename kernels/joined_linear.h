// kernels/joined_linear.h: several matrices that multiply the same input, their outputs side by side.
#pragma once

#include <string>
#include <vector>

#include "kernels/weight_loader.h"

namespace linea {

// One matrix of all rows where a device gains by it (a GPU, which one small product does not fill) or copies matrices anyway, else the
// checkpoint's own: joining would cost a copy of what is mapped from a file.
struct JoinedLinear {
  struct Part {
    Weight weight;
    Tensor bias{};  // [out] f32, may be undefined
  };
  std::vector<Part> parts;
  int64_t outputs = 0;  // of all matrices

  // Matrices `name`.weight [outs[i], in] and, if they have any, vectors `name`.bias.
  static JoinedLinear load(const WeightLoader& w, const std::vector<std::string>& names, const std::vector<int64_t>& outs, int64_t in,
                           bool has_bias = false);
};

// x [rows, in], y [rows, outputs].
void joined_linear(Context& ctx, const ProductRows& x, const JoinedLinear& w, const Tensor& y);

}  // namespace linea
