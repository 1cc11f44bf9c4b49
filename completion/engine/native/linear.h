// Products with int8 weights.
//
// Weights [outputs, inputs] lie in panels of 16 outputs: inputs in fours, for each four the 16
// outputs' bytes side by side, w + 128. Each 64 inputs of an output share a bfloat16 scale.
// Activations are int8 in spans of 32, each with its own float32 scale: one large value then spoils
// its span, not its row. Integer sums are exact and spans are added in one order, so that a row's
// result is the same to the bit whatever rows are computed beside it.
#pragma once

#include "simd.h"

constexpr int kBlock = 64;  // inputs that share a weights' scale
constexpr int kSpan = 32;   // inputs that share an activations' scale
constexpr int kSpans = kBlock / kSpan;

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

// Rows of activations. Wide ones are two lines of int8, the second holds what the first left over.
// Lines lie in tiles, as many as are multiplied together: what they need next is side by side.
struct Rows {
    int8_t* bytes;     // [tiles][blocks * kBlock / 4][lines][4]
    float* scales;     // [tiles][spans][lines]
    int32_t* offsets;  // [tiles][spans][lines], what the sum of a span begins with
    int spans;
    int parts;         // 2 if wide, else 1
    int tile;          // rows
    int lines;         // of a tile; fewer rows than a tile lie closer
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
    constexpr int kPieces = kSpan / kLanes;
    const int lines = rows.lines;
    const size_t tile = size_t(row / rows.tile) * rows.spans;
    for (int s = 0; s < rows.spans; ++s) {
        Floats x[kPieces], most = splat(0.0f);
        for (int j = 0; j < kPieces; ++j) {
            const int i = s * kSpan + j * kLanes;
            x[j] = i < inputs ? value(i) : splat(0.0f);
            most = larger(most, magnitude(x[j]));
        }
        float step = largest(most) / 127.0f;
        for (int part = 0; part < rows.parts; ++part) {
            const Floats inverse = splat(step > 1e-30f ? 1.0f / step : 0.0f);
            const size_t line = row % rows.tile * rows.parts + part;
            int8_t* to = rows.bytes + ((tile + s) * kSpan / 4 * lines + line) * 4;
            Ints total = splat_int(0);
            for (int j = 0; j < kPieces; ++j) {
                const Ints q = to_ints(x[j] * inverse);
                int8_t bytes[kLanes];
                store_bytes(bytes, q);
                for (int i = 0; i < kLanes; i += 4, to += 4 * lines) std::memcpy(to, bytes + i, 4);
                total = total + q;
                x[j] = x[j] - to_floats(q) * splat(step);
            }
            rows.scales[(tile + s) * lines + line] = step;
            rows.offsets[(tile + s) * lines + line] = -kOffset * sum(total);
            step /= 254.0f;  // half a step is left over at most
        }
    }
}

// sums[r] += panel . row r, for kRows rows that begin at `first`, where a tile does.
template <int kRows, int kParts>
void multiply(const uint8_t* w, const uint16_t* scales, const Rows& rows, int first, Floats* to) {
    constexpr int kUsed = kRows * kParts;
    const int lines = rows.lines;
    const size_t begin = size_t(first / rows.tile) * rows.spans * lines;
    const int8_t* bytes = rows.bytes + begin * kSpan;
    const float* steps = rows.scales + begin;
    const int32_t* offsets = rows.offsets + begin;
    Floats sums[kRows];  // in registers: the compiler cannot know that nothing else is at `to`
    for (int r = 0; r < kRows; ++r) sums[r] = to[r];
    for (int s = 0; s < rows.spans; ++s, steps += lines, offsets += lines) {
        Ints exact[kUsed];
        for (int r = 0; r < kUsed; ++r) exact[r] = splat_int(offsets[r]);
        for (int i = 0; i < kSpan; i += 4, w += 4 * kLanes, bytes += 4 * lines) {
            const Weights panel = load_weights(w);
            for (int r = 0; r < kUsed; ++r) {
                int32_t four;
                std::memcpy(&four, bytes + 4 * r, sizeof four);
                exact[r] = dot(exact[r], panel, four);
            }
        }
        const Floats step = load_half(scales + s / kSpans * kLanes);
        for (int r = 0; r < kUsed; ++r) {
            Floats& sum = sums[r / kParts];
            sum = fma(to_floats(exact[r]) * step, splat(steps[r]), sum);
        }
    }
    for (int r = 0; r < kRows; ++r) to[r] = sums[r];
}

// One panel's outputs for all rows: take(row, sums) gets each row's 16.
template <int kParts, int kRows = kTile / kParts, class Take>
void panel(const Linear& l, int index, const Rows& rows, int first, int end, const Take& take) {
    const uint8_t* w = l.weights + index * panel_bytes(l.inputs);
    const uint16_t* scales = l.scales + size_t(index) * blocks_of(l.inputs) * kLanes;
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
