// Numbers side by side, as many as one register of the processor holds, and the
// functions of them that the likelihood under selection needs.
//
// Everything here is of internal linkage: the file is compiled once for each kind of
// processor, and no function of one may be taken for that of another.
#ifndef PYROBMA_KERNEL_LANES_HPP
#define PYROBMA_KERNEL_LANES_HPP

#include <cstdint>
#include <cstring>

namespace {

constexpr int LANES = PYROBMA_LANES;

typedef double Lanes __attribute__((vector_size(LANES * sizeof(double))));
typedef std::uint64_t Bits __attribute__((vector_size(LANES * sizeof(double))));

#define PYROBMA_INLINE_MEMBER inline __attribute__((always_inline))
#define PYROBMA_INLINE static inline __attribute__((always_inline))

PYROBMA_INLINE Lanes all(double value) { return Lanes{} + value; }

PYROBMA_INLINE Lanes load(const double* from) {
  Lanes value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

PYROBMA_INLINE void store(double* to, Lanes value) {
  std::memcpy(to, &value, sizeof value);
}

PYROBMA_INLINE double sum(Lanes value) {
  double total = 0;
  for (int i = 0; i < LANES; ++i) total += value[i];
  return total;
}

PYROBMA_INLINE Bits bits(Lanes value) {
  Bits raw;
  std::memcpy(&raw, &value, sizeof raw);
  return raw;
}

PYROBMA_INLINE Lanes from_bits(Bits raw) {
  Lanes value;
  std::memcpy(&value, &raw, sizeof value);
  return value;
}

PYROBMA_INLINE Lanes magnitude(Lanes value) {
  return from_bits(bits(value) & UINT64_C(0x7fffffffffffffff));
}

// exp(x) for x <= 0; 0 below -708. The rest after multiples of log(2) is at most
// log(2) / 2 in size, where the Taylor series of degree 13 errs by less than 1e-17.
PYROBMA_INLINE Lanes exp_negative(Lanes x) {
  const double shift = 6755399441055744.0;  // 1.5 * 2^52: rounds to an integer
  const Lanes shifted = x * 1.4426950408889634074 + shift;
  const Lanes n = shifted - shift;
  Lanes r = x - n * 0.693147180369123816490;
  r = r - n * 1.90821492927058770002e-10;
  const Lanes r2 = r * r;
  const Lanes r4 = r2 * r2;
  // Estrin's scheme: short chains of operations that wait for each other.
  const Lanes a = 1.0 + r;
  const Lanes b = 1.0 / 2 + r * (1.0 / 6);
  const Lanes c = 1.0 / 24 + r * (1.0 / 120);
  const Lanes d = 1.0 / 720 + r * (1.0 / 5040);
  const Lanes e = 1.0 / 40320 + r * (1.0 / 362880);
  const Lanes f = 1.0 / 3628800 + r * (1.0 / 39916800);
  const Lanes g = 1.0 / 479001600 + r * (1.0 / 6227020800.0);
  const Lanes low = (a + r2 * b) + r4 * (c + r2 * d);
  const Lanes high = (e + r2 * f) + r4 * g;
  const Lanes value = low + (r4 * r4) * high;
  const Bits exponent = (bits(shifted) + UINT64_C(1023)) << 52;
  return x < -708.0 ? Lanes{} : value * from_bits(exponent);
}

// Polynomial of degree N - 1, even and odd powers apart: two short chains.
template <int N>
PYROBMA_INLINE Lanes polynomial(const double (&c)[N], Lanes x, Lanes x2) {
  Lanes one = all(c[N - 1]);
  Lanes other = all(c[N - 2]);
  for (int i = N - 3; i >= 0; i -= 2) one = one * x2 + c[i];
  for (int i = N - 4; i >= 0; i -= 2) other = other * x2 + c[i];
  return N % 2 == 1 ? one + x * other : other + x * one;
}

// exp(x^2) erfc(x) on [0, 28] as a ratio of polynomials, by weighted least squares on
// its relative error in 45 digits; the largest is 6e-17. All coefficients are positive,
// so that nothing cancels.
constexpr double ERFCX_ABOVE[] = {
    0.99999999999999994908, 2.1926089156546941101,
    2.3780927995223983635, 1.6386331509724638496,
    0.78280967247986315533, 0.26778013587917088608,
    0.065585400948986976444, 0.011128697093379110182,
    0.001196194311910936059, 0.000062963304428126482552};
constexpr double ERFCX_BELOW[] = {
    1, 3.3209880827501924095,
    5.1254265662708330796, 4.8533224061323440957,
    3.1319935117586787605, 1.444557402372658428,
    0.48443468757794641816, 0.11730719596015550042,
    0.01978090179748212526, 0.0021201992145317838508,
    0.00011159955139968085504};

// erfc(z), and exp(-z^2) on the way.
PYROBMA_INLINE Lanes erfc(Lanes z, Lanes& gauss) {
  Lanes a = magnitude(z);
  a = a > 28.0 ? all(28.0) : a;  // where exp(-a^2) has long been 0
  const Lanes a2 = a * a;
  gauss = exp_negative(-a2);
  const Lanes erfcx = polynomial(ERFCX_ABOVE, a, a2) / polynomial(ERFCX_BELOW, a, a2);
  const Lanes tail = gauss * erfcx;
  return z < 0 ? 2.0 - tail : tail;
}

// The logarithm of a product of many numbers in (0, 2]: mantissa and exponent apart, so
// that only one logarithm is taken.
struct Product {
  Lanes mantissa = all(1.0);
  Bits exponent = Bits{};

  PYROBMA_INLINE_MEMBER void times(Lanes factor) {
    const Bits raw = bits(mantissa * factor);
    exponent += (raw >> 52) - UINT64_C(1023);
    mantissa =
        from_bits((raw & UINT64_C(0x000fffffffffffff)) | UINT64_C(0x3ff0000000000000));
  }

  // log(mantissa) = log(root 2) + 2 atanh(s), whose series ends here with s^21 < 1e-16.
  Lanes log() const {
    const double root = 1.41421356237309504880;
    const Lanes s = (mantissa - root) / (mantissa + root);
    const Lanes s2 = s * s;
    Lanes series = all(2.0 / 21);
    for (int n = 19; n > 0; n -= 2) series = series * s2 + 2.0 / n;
    // Exponents are small integers, which this turns into numbers without a branch.
    const double shift = 6755399441055744.0;
    const Lanes whole = from_bits(bits(all(shift)) + exponent) - shift;
    return (whole + 0.5) * 0.69314718055994530942 + s * series;
  }
};

}  // namespace

#endif
