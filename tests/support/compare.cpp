#include "tests/support/compare.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace linea::test {
namespace {

// Visits every element of a strided tensor in order, as a pointer to its storage.
template <class Visit> void for_each_element(const Tensor& t, Visit visit) {
  const int rank = t.rank();
  Shape index;
  for (int i = 0; i < rank; ++i) index.push_back(0);
  for (int64_t n = 0; n < t.elements(); ++n) {
    int64_t offset = 0;
    for (int i = 0; i < rank; ++i) offset += index[i] * t.stride(i);
    visit(static_cast<const char*>(t.raw()) + offset * bytes_of(t.dtype()), n);
    for (int i = rank - 1; i >= 0 && ++index[i] == t.dim(i); --i) index[i] = 0;
  }
}

}  // namespace

Tensor to_double(const Tensor& t) {
  Tensor result(t.shape(), DType::kF64);
  double* out = result.data<double>();
  for_each_element(t, [&](const char* element, int64_t n) { convert_elements(element, t.dtype(), out + n, DType::kF64, 1); });
  return result;
}

double relative_l2(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return std::numeric_limits<double>::infinity();
  const Tensor x = to_double(a), y = to_double(b);
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < x.elements(); ++i) {
    const double u = x.data<double>()[i], v = y.data<double>()[i];
    if (!std::isfinite(u) || !std::isfinite(v)) return std::numeric_limits<double>::infinity();
    difference += (u - v) * (u - v);
    norm += v * v;
  }
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

double max_abs_difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return std::numeric_limits<double>::infinity();
  const Tensor x = to_double(a), y = to_double(b);
  double worst = 0;
  for (int64_t i = 0; i < x.elements(); ++i) {
    const double d = std::abs(x.data<double>()[i] - y.data<double>()[i]);
    if (!(d <= std::numeric_limits<double>::max())) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, d);
  }
  return worst;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && a.is_contiguous() && b.is_contiguous() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.bytes())) == 0;
}

Tensor random_tensor(Shape shape, uint64_t seed, DType dtype, float scale) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<float> normal;
  Tensor values(shape, DType::kF32);
  for (int64_t i = 0; i < values.elements(); ++i) values.data<float>()[i] = normal(engine) * scale;
  return values.to(dtype);
}

}  // namespace linea::test
