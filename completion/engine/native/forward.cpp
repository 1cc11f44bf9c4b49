// The forward pass of Llama-family decoders in one call, for the new tokens of several sequences.
//
// Plain C at the border: memory belongs to the caller, nothing is thrown. One call at a time runs;
// others wait. Linear layers go over all tokens together, attention goes over each sequence's own
// cache. See completion/engine/int8.py for the other side of these structures.

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>

#include "attention.h"
#include "linear.h"
#include "pool.h"

struct Layer {
    const float* attention_norm;
    const float* mlp_norm;
    Linear qkv, output, gate_up, down;  // gate_up: a panel of gate, then the same one of up, ...
};

struct Model {
    const Layer* stack;
    const float* norm;
    const float* cos;  // [context][head_dim / 2]
    const float* sin;
    Linear embedding, head;
    int32_t layers, heads, kv_heads, head_dim, hidden, intermediate;
    float eps;
};

// One sequence's new tokens. Strides of its cache are in elements.
struct Part {
    const int32_t* tokens;
    uint16_t* keys;
    uint16_t* values;
    int64_t layer_stride, head_stride;
    int32_t count, start;
};

namespace {

std::mutex busy;
Pool* pool = new Pool(1);  // never taken down: at exit a thread may still be in it

// Memory that only grows, aligned for whole vectors.
template <class T> class Scratch {
  public:
    T* need(size_t count) {
        if (count > size_) {
            std::free(data_);
            data_ = static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64));
            if (!data_) throw std::bad_alloc();
            size_ = count;
        }
        return data_;
    }

  private:
    T* data_ = nullptr;
    size_t size_ = 0;
};

struct {
    Scratch<float> x, wide, heads, scales, attention;
    Scratch<int8_t> bytes;
    Scratch<int32_t> offsets;
    Scratch<int> rows;
} scratch;

Rows rows_for(int count, const Linear& l) {
    const int tile = kTile / l.parts, tiles = (count + tile - 1) / tile;
    Rows rows{nullptr, nullptr, nullptr, blocks_of(l.inputs) * kSpans, l.parts, tile,
              std::min(count, tile) * l.parts};
    const size_t spans = size_t(tiles) * rows.spans * rows.lines;
    rows.bytes = scratch.bytes.need(spans * kSpan);
    rows.scales = scratch.scales.need(spans);
    rows.offsets = scratch.offsets.need(spans);
    return rows;
}

// Work on rows is shared in pieces of this many; fewer are not worth waking anybody.
constexpr int kRowPiece = 8;

template <class Task> void each_row(int rows, const Task& task) {
    pool->run((rows + kRowPiece - 1) / kRowPiece, [&](int piece, int) {
        const int end = std::min(rows, (piece + 1) * kRowPiece);
        for (int r = piece * kRowPiece; r < end; ++r) task(r);
    });
}

Rows quantised(const float* x, int count, int stride, const Linear& l) {
    const Rows rows = rows_for(count, l);
    each_row(count, [&](int r) {
        const float* row = x + size_t(r) * stride;
        quantise(rows, r, l.inputs, [&](int i) { return load(row + i); });
    });
    return rows;
}

// Root mean square normalisation (Zhang & Sennrich 2019), then int8.
Rows normed(const float* x, int count, const float* weight, float eps, const Linear& l) {
    const Rows rows = rows_for(count, l);
    const int n = l.inputs;
    each_row(count, [&](int r) {
        const float* row = x + size_t(r) * n;
        Floats squares = splat(0.0f);
        for (int i = 0; i < n; i += kLanes) squares = fma(load(row + i), load(row + i), squares);
        const Floats scale = splat(1.0f / std::sqrt(sum(squares) / float(n) + eps));
        quantise(rows, r, n, [&](int i) { return load(row + i) * scale * load(weight + i); });
    });
    return rows;
}

// Panels are handed out in pieces: several for each thread, so that a slow one holds up nobody.
template <class Task> void each_panel(int panels, const Task& task) {
    const int pieces = std::min(panels, pool->threads() == 1 ? 1 : pool->threads() * 6);
    pool->run(pieces, [&](int piece, int) {
        const int end = int(int64_t(panels) * (piece + 1) / pieces);
        for (int p = int(int64_t(panels) * piece / pieces); p < end; ++p) task(p);
    });
}

template <class Take>
void panel_of(const Linear& l, int index, const Rows& rows, int first, int end, const Take& take) {
    if (l.parts == 2)
        panel<2>(l, index, rows, first, end, take);
    else
        panel<1>(l, index, rows, first, end, take);
}

void store_some(float* to, Floats x, int count) {
    if (count >= kLanes) return store(to, x);
    float all[kLanes];
    store(all, x);
    std::copy(all, all + count, to);
}

void product(const Linear& l, const Rows& rows, int count, float* out, int stride) {
    each_panel(panels_of(l.outputs), [&](int p) {
        panel_of(l, p, rows, 0, count, [&](int r, Floats sums) {
            const int at = p * kLanes;
            store_some(out + size_t(r) * stride + at, sums, l.outputs - at);
        });
    });
}

void add_product(const Linear& l, const Rows& rows, int count, float* x) {
    each_panel(panels_of(l.outputs), [&](int p) {
        panel_of(l, p, rows, 0, count, [&](int r, Floats sums) {
            float* to = x + size_t(r) * l.outputs + p * kLanes;
            store(to, load(to) + sums);
        });
    });
}

// silu(gate) * up
void gated_product(const Linear& l, const Rows& rows, int count, float* out) {
    const int panels = panels_of(l.outputs) / 2, stride = panels * kLanes;
    each_panel(panels, [&](int p) {
        // By tiles, so that a gate is still at hand when its up comes.
        for (int first = 0; first < count; first += rows.tile) {
            const int end = std::min(count, first + rows.tile);
            Floats gates[kTile];
            panel_of(l, 2 * p, rows, first, end, [&](int r, Floats sums) { gates[r - first] = sums; });
            panel_of(l, 2 * p + 1, rows, first, end, [&](int r, Floats up) {
                const Floats gate = gates[r - first];
                const Floats silu = gate / (splat(1.0f) + exponential(splat(0.0f) - gate));
                store(out + size_t(r) * stride + p * kLanes, silu * up);
            });
        }
    });
}

void embed(const Model& m, const Part* parts, int count, float* x) {
    for (int s = 0; s < count; ++s)
        for (int i = 0; i < parts[s].count; ++i, x += m.hidden)
            unpack_row(m.embedding, parts[s].tokens[i], x);
}

// The tokens of one sequence that are attended together for one key-value head.
struct Piece {
    int part, row, first, count;
};

class Attention {
  public:
    Attention(const Model& m, const Part* parts, int count)
        : m_(m), parts_(parts), group_(m.heads / m.kv_heads), width_(padded(m.head_dim)),
          tokens_(std::max(1, 24 / group_)) {
        int row = 0, end = 0;
        for (int s = 0; s < count; ++s) {
            for (int first = 0; first < parts[s].count; first += tokens_)
                pieces_.push_back({s, row, first, std::min(tokens_, parts[s].count - first)});
            single_.push_back(parts[s].count <= tokens_);
            row += parts[s].count;
            end = std::max(end, parts[s].start + parts[s].count);
        }
        rows_ = tokens_ * group_;
        share_ = size_t(rows_) * (padded(end) + 2 * width_) + 16;
        scratch.attention.need(share_ * pool->threads());
        scratch.rows.need(size_t(rows_) * pool->threads());
    }

    // qkv [rows][stride] is changed: rotated. out [rows][heads * head_dim].
    void run(int layer, float* qkv, int stride, float* out) const {
        const int heads = m_.kv_heads, pieces = int(pieces_.size());
        if (pieces > int(single_.size())) {
            pool->run(pieces, [&](int i, int) {
                for (int h = 0; h < heads; ++h) append(pieces_[i], layer, h, qkv, stride);
            });
        }
        pool->run(pieces * heads, [&](int unit, int thread) {
            // Late tokens see most: they come first, so that no long piece is left for the end.
            const Piece& piece = pieces_[pieces - 1 - unit / heads];
            const int head = unit % heads;
            if (pieces == int(single_.size())) append(piece, layer, head, qkv, stride);
            attend_piece(piece, layer, head, qkv, stride, out, thread);
        });
    }

  private:
    HeadCache cache(const Piece& piece, int layer, int head) const {
        const Part& part = parts_[piece.part];
        const size_t at = size_t(layer) * part.layer_stride + size_t(head) * part.head_stride;
        return {part.keys + at, part.values + at, width_};
    }

    void append(const Piece& piece, int layer, int head, float* qkv, int stride) const {
        const HeadCache to = cache(piece, layer, head);
        const int dim = m_.head_dim, half = dim / 2;
        for (int i = 0; i < piece.count; ++i) {
            const int position = parts_[piece.part].start + piece.first + i;
            const float* cos = m_.cos + size_t(position) * half;
            const float* sin = m_.sin + size_t(position) * half;
            float* row = qkv + size_t(piece.row + piece.first + i) * stride;
            for (int g = 0; g < group_; ++g) rotate(row + (head * group_ + g) * dim, cos, sin, dim);
            float* key = row + (m_.heads + head) * dim;
            rotate(key, cos, sin, dim);
            to.put(position, key, row + (m_.heads + m_.kv_heads + head) * dim, dim);
        }
    }

    void attend_piece(const Piece& piece, int layer, int head, const float* qkv, int stride,
                      float* out, int thread) const {
        const int dim = m_.head_dim, rows = piece.count * group_;
        const int start = parts_[piece.part].start + piece.first, end = start + piece.count;
        float* queries = scratch.attention.need(0) + share_ * thread;
        float* mixed = queries + size_t(rows_) * width_;
        float* scores = mixed + size_t(rows_) * width_;
        int* lengths = scratch.rows.need(0) + size_t(rows_) * thread;
        const float scale = 1.0f / std::sqrt(float(dim));
        for (int r = 0; r < rows; ++r) {
            const int token = r / group_;
            const float* from = qkv + size_t(piece.row + piece.first + token) * stride
                                + (head * group_ + r % group_) * dim;
            for (int i = 0; i < width_; ++i) queries[r * width_ + i] = i < dim ? from[i] * scale : 0;
            lengths[r] = start + token + 1;
        }
        attend(cache(piece, layer, head), queries, lengths, rows, end, scores, mixed);
        for (int r = 0; r < rows; ++r) {
            const int token = piece.row + piece.first + r / group_;
            float* to = out + (size_t(token) * m_.heads + head * group_ + r % group_) * dim;
            std::copy(mixed + r * width_, mixed + r * width_ + dim, to);
        }
    }

    const Model& m_;
    const Part* parts_;
    const int group_, width_, tokens_;
    int rows_ = 0;
    size_t share_ = 0;
    std::vector<Piece> pieces_;
    std::vector<bool> single_;
};

void forward(const Model& m, const Part* parts, int count, float* x) {
    int rows = 0;
    for (int s = 0; s < count; ++s) rows += parts[s].count;
    const int heads = m.heads * m.head_dim, fused = padded(m.layers ? m.stack[0].qkv.outputs : 0);
    float* wide = scratch.wide.need(size_t(rows) * std::max(fused, padded(m.intermediate)));
    float* mixed = scratch.heads.need(size_t(rows) * heads);
    embed(m, parts, count, x);
    const Attention attention(m, parts, count);
    for (int n = 0; n < m.layers; ++n) {
        const Layer& l = m.stack[n];
        product(l.qkv, normed(x, rows, l.attention_norm, m.eps, l.qkv), rows, wide, fused);
        attention.run(n, wide, fused, mixed);
        add_product(l.output, quantised(mixed, rows, heads, l.output), rows, x);
        gated_product(l.gate_up, normed(x, rows, l.mlp_norm, m.eps, l.gate_up), rows, wide);
        add_product(l.down, quantised(wide, rows, padded(m.intermediate), l.down), rows, x);
    }
}

// 0, or 1 if memory ran out: no exception may leave through C.
template <class Task> int guarded(const Task& task) {
    const std::lock_guard lock(busy);
    try {
        task();
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}

}  // namespace

extern "C" {

const char* tandem_level() { return kLevel; }

// Bytes of the structures above, so that the two sides can be held against each other.
void tandem_sizes(int32_t* sizes) {
    sizes[0] = sizeof(Linear);
    sizes[1] = sizeof(Layer);
    sizes[2] = sizeof(Model);
    sizes[3] = sizeof(Part);
}

int tandem_threads(int32_t threads) {
    return guarded([&] {
        if (threads == pool->threads()) return;
        Pool* next = new Pool(threads);
        delete pool;
        pool = next;
    });
}

// Rows of a float32 matrix into the packed matrix's rows `first` and on. With `gap` every second
// panel is left out, for the other of two matrices whose panels alternate.
int tandem_pack(const float* w, int32_t rows, int32_t inputs, int32_t first, int32_t gap,
                uint8_t* weights, uint16_t* scales) {
    return guarded([&] {
        each_row(rows, [&](int r) {
            const int at = first + r, row = gap ? at + at / kLanes * kLanes : at;
            pack_row(w + size_t(r) * inputs, inputs, row, weights, scales);
        });
    });
}

int tandem_unpack(const Linear* l, int32_t row, float* w) {
    return guarded([&] { unpack_row(*l, row, w); });
}

// x [rows][inputs] times a matrix: out [rows][outputs].
int tandem_product(const Linear* l, const float* x, int32_t rows, float* out) {
    return guarded([&] {
        product(*l, quantised(x, rows, l->inputs, *l), rows, out, l->outputs);
    });
}

// Appends to each sequence's cache. hidden [all new tokens][hidden], sequence after sequence.
int tandem_forward(const Model* m, const Part* parts, int32_t count, float* hidden) {
    return guarded([&] { forward(*m, parts, count, hidden); });
}

int tandem_logits(const Model* m, const float* hidden, int32_t rows, float* logits) {
    return guarded([&] {
        const Linear& head = m->head;
        product(head, normed(hidden, rows, m->norm, m->eps, head), rows, logits, head.outputs);
    });
}
}
