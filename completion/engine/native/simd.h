// Sixteen lanes of float or int on whatever vectors the compiler was told this CPU has.
//
// Every level does the same sums in the same order with one rounding each (fma is always fused,
// or never on a level), so that a row's result does not depend on the loop around it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

constexpr int kLanes = 16;

#if defined(__AVX512VNNI__)

constexpr const char* kLevel = "avx512";
constexpr int kTile = 12;  // rows whose sums stay in registers, per panel of 16 outputs

struct Floats { __m512 v; };
struct Ints { __m512i v; };
// 16 outputs x 4 inputs of unsigned weights, as they lie in memory.
struct Weights { __m512i v; };

inline Floats splat(float x) { return {_mm512_set1_ps(x)}; }
inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Floats x) { _mm512_storeu_ps(p, x.v); }
inline Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats larger(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats smaller(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats magnitude(Floats a) { return {_mm512_abs_ps(a.v)}; }
inline float sum(Floats a) { return _mm512_reduce_add_ps(a.v); }
inline float largest(Floats a) { return _mm512_reduce_max_ps(a.v); }

inline Ints splat_int(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Ints to_ints(Floats a) { return {_mm512_cvtps_epi32(a.v)}; }  // to the nearest, ties to even
inline Floats to_floats(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Ints operator+(Ints a, Ints b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline int32_t sum(Ints a) { return _mm512_reduce_add_epi32(a.v); }
// 2^n for each n, within the exponents of normal numbers.
inline Floats power_of_two(Ints n) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n.v, _mm512_set1_epi32(127)), 23))};
}
inline void store_bytes(int8_t* p, Ints a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}

// bfloat16 as its 16 bits.
inline Floats load_half(const uint16_t* p) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16))};
}
// 16 pairs of neighbours: the first of each, and the second.
inline void load_half_pairs(const uint16_t* p, Floats& first, Floats& second) {
    const __m512i x = _mm512_loadu_si512(p);
    first = {_mm512_castsi512_ps(_mm512_slli_epi32(x, 16))};
    second = {_mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(int(0xffff0000))))};
}

// The products are of unsigned weights: what a block's activations add by that is taken off first.
constexpr int32_t kOffset = 128;
inline Weights load_weights(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline Ints dot(Ints sums, Weights w, int32_t four) {
    return {_mm512_dpbusd_epi32(sums.v, w.v, _mm512_set1_epi32(four))};
}

#elif defined(__AVX2__)

#if defined(__AVXVNNI__)
constexpr const char* kLevel = "avxvnni";
#else
constexpr const char* kLevel = "avx2";
#endif
constexpr int kTile = 3;

struct Floats { __m256 a, b; };
struct Ints { __m256i a, b; };

inline Floats splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Floats load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Floats x) { _mm256_storeu_ps(p, x.a); _mm256_storeu_ps(p + 8, x.b); }
inline Floats operator+(Floats x, Floats y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Floats operator-(Floats x, Floats y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Floats operator*(Floats x, Floats y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Floats operator/(Floats x, Floats y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Floats fma(Floats x, Floats y, Floats z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Floats larger(Floats x, Floats y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Floats smaller(Floats x, Floats y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Floats magnitude(Floats x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline float sum(Floats x) {
    const __m256 s = _mm256_add_ps(x.a, x.b);
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}
inline float largest(Floats x) {
    const __m256 s = _mm256_max_ps(x.a, x.b);
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

inline Ints splat_int(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline Ints to_ints(Floats x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
inline Floats to_floats(Ints x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline Ints operator+(Ints x, Ints y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline int32_t sum(Ints x) {
    const __m256i s = _mm256_add_epi32(x.a, x.b);
    __m128i t = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    t = _mm_add_epi32(t, _mm_unpackhi_epi64(t, t));
    return _mm_cvtsi128_si32(_mm_add_epi32(t, _mm_shuffle_epi32(t, 1)));
}
inline __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
inline Floats power_of_two(Ints n) { return {power_of_two(n.a), power_of_two(n.b)}; }
inline void store_bytes(int8_t* p, Ints x) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
    const __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(low, high));
}

inline __m256 widen_half(const uint16_t* p) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}
inline Floats load_half(const uint16_t* p) { return {widen_half(p), widen_half(p + 8)}; }
inline void load_half_pairs(const uint16_t* p, Floats& first, Floats& second) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16));
    const __m256i high = _mm256_set1_epi32(int(0xffff0000));
    first = {_mm256_castsi256_ps(_mm256_slli_epi32(x, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(y, 16))};
    second = {_mm256_castsi256_ps(_mm256_and_si256(x, high)), _mm256_castsi256_ps(_mm256_and_si256(y, high))};
}

#if defined(__AVXVNNI__)
struct Weights { __m256i a, b; };
constexpr int32_t kOffset = 128;
inline Weights load_weights(const uint8_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
inline Ints dot(Ints sums, Weights w, int32_t four) {
    const __m256i x = _mm256_set1_epi32(four);
    return {_mm256_dpbusd_avx_epi32(sums.a, w.a, x), _mm256_dpbusd_avx_epi32(sums.b, w.b, x)};
}
#else
// vpmaddubsw saturates at 16 bits: it is given magnitudes of weights and activations of at most
// 127, with the product's sign on the activation.
struct Weights { __m256i a, b, magnitude_a, magnitude_b; };
constexpr int32_t kOffset = 0;
inline Weights load_weights(const uint8_t* p) {
    const __m256i flip = _mm256_set1_epi8(char(0x80));
    const __m256i a = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), flip);
    const __m256i b = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32)), flip);
    return {a, b, _mm256_abs_epi8(a), _mm256_abs_epi8(b)};
}
inline __m256i dot(__m256i sums, __m256i w, __m256i magnitude, __m256i x) {
    const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline Ints dot(Ints sums, Weights w, int32_t four) {
    const __m256i x = _mm256_set1_epi32(four);
    return {dot(sums.a, w.a, w.magnitude_a, x), dot(sums.b, w.b, w.magnitude_b, x)};
}
#endif

#else

constexpr const char* kLevel = "portable";
constexpr int kTile = 2;

struct Floats { float v[kLanes]; };
struct Ints { int32_t v[kLanes]; };
struct Weights { uint8_t v[4 * kLanes]; };

template <class To, class F> inline To lanes(F f) {
    To out;
    for (int i = 0; i < kLanes; ++i) out.v[i] = f(i);
    return out;
}
inline Floats splat(float x) { return lanes<Floats>([&](int) { return x; }); }
inline Floats load(const float* p) { return lanes<Floats>([&](int i) { return p[i]; }); }
inline void store(float* p, Floats x) { std::memcpy(p, x.v, sizeof x.v); }
inline Floats operator+(Floats a, Floats b) { return lanes<Floats>([&](int i) { return a.v[i] + b.v[i]; }); }
inline Floats operator-(Floats a, Floats b) { return lanes<Floats>([&](int i) { return a.v[i] - b.v[i]; }); }
inline Floats operator*(Floats a, Floats b) { return lanes<Floats>([&](int i) { return a.v[i] * b.v[i]; }); }
inline Floats operator/(Floats a, Floats b) { return lanes<Floats>([&](int i) { return a.v[i] / b.v[i]; }); }
inline Floats fma(Floats a, Floats b, Floats c) { return a * b + c; }
inline Floats larger(Floats a, Floats b) {
    return lanes<Floats>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats smaller(Floats a, Floats b) {
    return lanes<Floats>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats magnitude(Floats a) { return lanes<Floats>([&](int i) { return std::fabs(a.v[i]); }); }
inline float sum(Floats a) {
    float total = 0;
    for (float x : a.v) total += x;
    return total;
}
inline float largest(Floats a) {
    float most = a.v[0];
    for (float x : a.v) most = x > most ? x : most;
    return most;
}

inline Ints splat_int(int32_t x) { return lanes<Ints>([&](int) { return x; }); }
inline Ints to_ints(Floats a) { return lanes<Ints>([&](int i) { return int32_t(std::nearbyintf(a.v[i])); }); }
inline Floats to_floats(Ints a) { return lanes<Floats>([&](int i) { return float(a.v[i]); }); }
inline Ints operator+(Ints a, Ints b) { return lanes<Ints>([&](int i) { return a.v[i] + b.v[i]; }); }
inline int32_t sum(Ints a) {
    int32_t total = 0;
    for (int32_t x : a.v) total += x;
    return total;
}
inline float float_of(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}
inline Floats power_of_two(Ints n) {
    return lanes<Floats>([&](int i) { return float_of(uint32_t(n.v[i] + 127) << 23); });
}
inline void store_bytes(int8_t* p, Ints a) {
    for (int i = 0; i < kLanes; ++i) p[i] = int8_t(a.v[i]);
}
inline Floats load_half(const uint16_t* p) {
    return lanes<Floats>([&](int i) { return float_of(uint32_t(p[i]) << 16); });
}
inline void load_half_pairs(const uint16_t* p, Floats& first, Floats& second) {
    first = lanes<Floats>([&](int i) { return float_of(uint32_t(p[2 * i]) << 16); });
    second = lanes<Floats>([&](int i) { return float_of(uint32_t(p[2 * i + 1]) << 16); });
}

constexpr int32_t kOffset = 128;
inline Weights load_weights(const uint8_t* p) {
    Weights w;
    std::memcpy(w.v, p, sizeof w.v);
    return w;
}
inline Ints dot(Ints sums, const Weights& w, int32_t four) {
    int8_t x[4];
    std::memcpy(x, &four, sizeof x);
    return lanes<Ints>([&](int i) {
        const uint8_t* p = w.v + 4 * i;
        return sums.v[i] + p[0] * x[0] + p[1] * x[1] + p[2] * x[2] + p[3] * x[3];
    });
}

#endif

// e^x, to about 2 units in the last place. Cody-Waite reduction, then Taylor's polynomial.
inline Floats exponential(Floats x) {
    x = larger(smaller(x, splat(88.0f)), splat(-87.0f));
    const Ints n = to_ints(x * splat(1.44269504f));
    const Floats whole = to_floats(n);
    Floats r = fma(whole, splat(-0.693145752f), x);
    r = fma(whole, splat(-1.42860677e-6f), r);
    Floats p = splat(1.0f / 720);
    p = fma(p, r, splat(1.0f / 120));
    p = fma(p, r, splat(1.0f / 24));
    p = fma(p, r, splat(1.0f / 6));
    p = fma(p, r, splat(0.5f));
    p = fma(p, r, splat(1.0f));
    p = fma(p, r, splat(1.0f));
    return p * power_of_two(n);
}

// To bfloat16, to the nearest, ties to even. Not for NaN.
inline uint16_t to_half(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
