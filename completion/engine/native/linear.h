// Products with int8 weights.
//
// Weights [outputs, inputs] lie in panels of 16 outputs: inputs in fours, for each four the 16
// outputs' bytes side by side, w + 128. Each 64 inputs of an output share a bfloat16 scale.
// Activations are int8 in blocks of the same 64, each with its own float32 scale: one large value
// then spoils its block, not its row. Integer sums are exact and blocks are added in one order,
// so that a row's result is the same to the bit whatever rows are computed beside it.
#pragma once

#include "simd.h"

constexpr int kBlock = 64;

inline int blocks_of(int inputs) { return (inputs + kBlock - 1) / kBlock; }
inline int panels_of(int outputs) { return (outputs + kLanes - 1) / kLanes; }
inline size_t panel_bytes(int inputs) { return size_t(blocks_of(inputs)) * kBlock * kLanes; }

struct Linear {
    const uint8_t* weights;  // [panels][blocks][kBlock / 4][16][4]
    const uint16_t* scales;  // [panels][blocks][16]
    const float* bias;       // [panels * 16], or null
    int32_t outputs, inputs;
    int32_t parts;           // of the activations it is given: 2 if wide, else 1
};

// Rows of activations. Wide ones have a second row of int8, which holds what the first left over.
struct Rows {
    int8_t* bytes;     // [rows][parts][blocks * kBlock]
    float* scales;     // [rows][parts][blocks]
    int32_t* offsets;  // what the sum of a block begins with
    int blocks;
    int parts;         // 2 if wide, else 1
};

// Quantise one block of float weights, of one output, into its panel.
inline void pack_block(const float* w, int count, uint8_t* block, uint16_t* scale, int lane) {
    float most = 0;
    for (int i = 0; i < count; ++i) most = std::fmax(most, std::fabs(w[i]));
    const uint16_t half = to_half(most / 127.0f);
    scale[lane] = half;
    const uint32_t bits = uint32_t(half) << 16;
    float step;
    std::memcpy(&step, &bits, sizeof step);
    const float inverse = step > 0 ? 1.0f / step : 0.0f;
    for (int i = 0; i < kBlock; ++i) {
        float q = i < count ? std::nearbyintf(w[i] * inverse) : 0.0f;
        q = q > 127.0f ? 127.0f : q < -127.0f ? -127.0f : q;
        block[(i / 4) * 4 * kLanes + 4 * lane + i % 4] = uint8_t(int(q) + 128);
    }
}

// One row of a float matrix into row `output` of the packed one.
inline void pack_row(const float* w, int inputs, int output, uint8_t* weights, uint16_t* scales) {
    const int blocks = blocks_of(inputs), panel = output / kLanes, lane = output % kLanes;
    uint8_t* bytes = weights + panel * panel_bytes(inputs);
    uint16_t* scale = scales + size_t(panel) * blocks * kLanes;
    for (int b = 0; b < blocks; ++b) {
        const int rest = inputs - b * kBlock;
        pack_block(w + b * kBlock, rest < kBlock ? rest : kBlock,
                   bytes + size_t(b) * kBlock * kLanes, scale + b * kLanes, lane);
    }
}

inline void unpack_row(const Linear& l, int output, float* w) {
    const int blocks = blocks_of(l.inputs), panel = output / kLanes, lane = output % kLanes;
    const uint8_t* bytes = l.weights + panel * panel_bytes(l.inputs);
    const uint16_t* scales = l.scales + size_t(panel) * blocks * kLanes;
    for (int i = 0; i < l.inputs; ++i) {
        const uint32_t bits = uint32_t(scales[i / kBlock * kLanes + lane]) << 16;
        float step;
        std::memcpy(&step, &bits, sizeof step);
        w[i] = step * float(int(bytes[size_t(i / 4) * 4 * kLanes + 4 * lane + i % 4]) - 128);
    }
}

// Quantise one row. value(i) gives inputs i to i + 15; `inputs` is a multiple of 16.
template <class Value> void quantise(const Rows& rows, int row, int inputs, const Value& value) {
    constexpr int kParts = kBlock / kLanes;
    for (int b = 0; b < rows.blocks; ++b) {
        Floats x[kParts], most = splat(0.0f);
        for (int j = 0; j < kParts; ++j) {
            const int i = b * kBlock + j * kLanes;
            x[j] = i < inputs ? value(i) : splat(0.0f);
            most = larger(most, magnitude(x[j]));
        }
        float step = largest(most) / 127.0f;
        for (int part = 0; part < rows.parts; ++part) {
            const Floats inverse = splat(step > 1e-30f ? 1.0f / step : 0.0f);
            const size_t at = (size_t(row) * rows.parts + part) * rows.blocks + b;
            Ints total = splat_int(0);
            for (int j = 0; j < kParts; ++j) {
                const Ints q = to_ints(x[j] * inverse);
                store_bytes(rows.bytes + at * kBlock + j * kLanes, q);
                total = total + q;
                x[j] = x[j] - to_floats(q) * splat(step);
            }
            rows.scales[at] = step;
            rows.offsets[at] = -kOffset * sum(total);
            step /= 254.0f;  // half a step is left over at most
        }
    }
}

// sums[r] += panel . row r, for kRows rows that begin at `first`.
template <int kRows, int kParts>
void multiply(const uint8_t* w, const uint16_t* scales, const Rows& rows, int first, Floats* sums) {
    const int blocks = rows.blocks;
    const size_t start = size_t(first) * kParts * blocks;
    const int8_t* bytes = rows.bytes + start * kBlock;
    for (int b = 0; b < blocks; ++b, w += kBlock * kLanes, scales += kLanes) {
        Ints exact[kRows * kParts];
        for (int r = 0; r < kRows * kParts; ++r)
            exact[r] = splat_int(rows.offsets[start + size_t(r) * blocks + b]);
        for (int i = 0; i < kBlock; i += 4) {
            const Weights panel = load_weights(w + i * kLanes);
            for (int r = 0; r < kRows * kParts; ++r) {
                int32_t four;
                std::memcpy(&four, bytes + (size_t(r) * blocks + b) * kBlock + i, sizeof four);
                exact[r] = dot(exact[r], panel, four);
            }
        }
        const Floats step = load_half(scales);
        for (int r = 0; r < kRows; ++r)
            for (int part = 0; part < kParts; ++part) {
                const int at = r * kParts + part;
                const Floats scale = splat(rows.scales[start + size_t(at) * blocks + b]);
                sums[r] = fma(to_floats(exact[at]) * step, scale, sums[r]);
            }
    }
}

// One panel's outputs for all rows: take(row, sums) gets each row's 16.
template <int kParts, int kRows = kTile / kParts, class Take>
void panel(const Linear& l, int index, const Rows& rows, int first, int end, const Take& take) {
    const uint8_t* w = l.weights + index * panel_bytes(l.inputs);
    const uint16_t* scales = l.scales + size_t(index) * rows.blocks * kLanes;
    const Floats begin = l.bias ? load(l.bias + index * kLanes) : splat(0.0f);
    for (; first + kRows <= end; first += kRows) {
        Floats sums[kRows];
        for (int r = 0; r < kRows; ++r) sums[r] = begin;
        multiply<kRows, kParts>(w, scales, rows, first, sums);
        for (int r = 0; r < kRows; ++r) take(first + r, sums[r]);
    }
    if constexpr (kRows > 1)
        if (first < end) panel<kParts, kRows - 1>(l, index, rows, first, end, take);
}
