// Attention of the query heads that share one key-value head, over that head's cache in bfloat16.
//
// Keys lie in blocks of 16 positions: for each pair of dimensions the 16 positions' pairs side by
// side, so that 16 scores are computed at once with no sum across lanes. Values lie position by
// position. `width` is the head's dimension rounded up to 16; the rest is zero.
#pragma once

#include "simd.h"

constexpr int kQueries = kTile;  // rows whose sums stay in registers

inline int padded(int n) { return (n + kLanes - 1) / kLanes * kLanes; }

struct HeadCache {
    uint16_t* keys;    // [capacity / 16][width / 2][16][2]
    uint16_t* values;  // [capacity][width]
    int width;

    void put(int position, const float* key, const float* value, int dim) const {
        uint16_t* k = keys + size_t(position / kLanes) * kLanes * width + position % kLanes * 2;
        uint16_t* v = values + size_t(position) * width;
        for (int i = 0; i < width; ++i) {
            k[size_t(i / 2) * 2 * kLanes + i % 2] = i < dim ? to_half(key[i]) : 0;
            v[i] = i < dim ? to_half(value[i]) : 0;
        }
    }
};

// Rotary position embedding (Su et al. 2021), halves paired; cos and sin are those of the first half.
inline void rotate(float* x, const float* cos, const float* sin, int dim) {
    const int half = dim / 2;
    for (int i = 0; i < half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a * cos[i] - b * sin[i];
        x[i + half] = b * cos[i] + a * sin[i];
    }
}

template <int kRows>
void score(const HeadCache& cache, const float* queries, int length, float* scores, int stride) {
    const int width = cache.width;
    for (int t = 0; t < length; t += kLanes) {
        const uint16_t* k = cache.keys + size_t(t) * width;
        Floats sums[kRows];
        for (int r = 0; r < kRows; ++r) sums[r] = splat(0.0f);
        for (int i = 0; i < width; i += 2, k += 2 * kLanes) {
            Floats first, second;
            load_half_pairs(k, first, second);
            for (int r = 0; r < kRows; ++r) {
                sums[r] = fma(splat(queries[r * width + i]), first, sums[r]);
                sums[r] = fma(splat(queries[r * width + i + 1]), second, sums[r]);
            }
        }
        for (int r = 0; r < kRows; ++r) store(scores + size_t(r) * stride + t, sums[r]);
    }
}

// Weights of the first `length` positions, the others of `end` become 0. Returns 1 / their sum.
inline float soften(float* scores, int length, int end) {
    const int whole = padded(length);
    for (int t = length; t < whole; ++t) scores[t] = scores[0];
    Floats most = load(scores);
    for (int t = kLanes; t < whole; t += kLanes) most = larger(most, load(scores + t));
    const Floats top = splat(largest(most));
    for (int t = 0; t < whole; t += kLanes) store(scores + t, exponential(load(scores + t) - top));
    for (int t = length; t < padded(end); ++t) scores[t] = 0;
    Floats total = splat(0.0f);
    for (int t = 0; t < whole; t += kLanes) total = total + load(scores + t);
    return 1.0f / sum(total);
}

template <int kRows, int kWide>
void mix(const HeadCache& cache, const float* scores, int stride, int end, int at, float* out) {
    const int width = cache.width;
    Floats sums[kRows][kWide];
    for (auto& row : sums)
        for (Floats& s : row) s = splat(0.0f);
    const uint16_t* v = cache.values + at;
    for (int t = 0; t < end; ++t, v += width) {
        Floats value[kWide];
        for (int i = 0; i < kWide; ++i) value[i] = load_half(v + i * kLanes);
        for (int r = 0; r < kRows; ++r) {
            const Floats weight = splat(scores[size_t(r) * stride + t]);
            for (int i = 0; i < kWide; ++i) sums[r][i] = fma(weight, value[i], sums[r][i]);
        }
    }
    for (int r = 0; r < kRows; ++r)
        for (int i = 0; i < kWide; ++i) store(out + r * width + at + i * kLanes, sums[r][i]);
}

// Rows of queries [rows][width], scaled; row r sees lengths[r] positions, at most `end`.
template <int kRows = kQueries>
void attend(const HeadCache& cache, const float* queries, const int* lengths, int rows, int end,
            float* scores, float* out) {
    const int stride = padded(end), width = cache.width;
    for (; rows >= kRows; rows -= kRows, queries += kRows * width, out += kRows * width, lengths += kRows) {
        score<kRows>(cache, queries, end, scores, stride);
        float shares[kRows];
        for (int r = 0; r < kRows; ++r) shares[r] = soften(scores + size_t(r) * stride, lengths[r], end);
        int at = 0;
        for (; at + 2 * kLanes <= width; at += 2 * kLanes)
            mix<kRows, 2>(cache, scores, stride, end, at, out);
        if (at < width) mix<kRows, 1>(cache, scores, stride, end, at, out);
        for (int r = 0; r < kRows; ++r)
            for (int i = 0; i < width; ++i) out[r * width + i] *= shares[r];
    }
    if constexpr (kRows > 1)
        if (rows > 0) attend<kRows - 1>(cache, queries, lengths, rows, end, scores, out);
}
