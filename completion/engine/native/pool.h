// Threads that share a loop's pieces, for a machine that others use too.
//
// Whoever is free takes the next piece, the caller too, and the caller waits only for pieces that
// somebody has begun. A thread that was not given a core therefore costs nothing but its help. Who
// waits turns a few microseconds and then sleeps: turning on would take the core from a compiler,
// or from the very thread that is waited for.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
inline void relax() { _mm_pause(); }
#else
inline void relax() { std::this_thread::yield(); }
#endif

class Pool {
  public:
    explicit Pool(int threads) {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    }

    ~Pool() {
        stop_ = true;
        calls_.fetch_add(1);
        calls_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }

    int threads() const { return int(workers_.size()) + 1; }

    // task(piece, thread) for each piece from 0 to pieces - 1. Not reentrant: one caller.
    template <class Task> void run(int pieces, const Task& task) {
        if (pieces <= 1 || workers_.empty()) {
            for (int i = 0; i < pieces; ++i) task(i, 0);
            return;
        }
        call_.store([](const void* t, int i, int n) { (*static_cast<const Task*>(t))(i, n); },
                    std::memory_order_relaxed);
        task_.store(&task, std::memory_order_relaxed);
        left_.store(uint32_t(pieces), std::memory_order_relaxed);
        round_ = (round_ + 1) & 0xffffff;
        ticket_.store(round_ << 40 | uint64_t(pieces) << 20, std::memory_order_seq_cst);
        calls_.fetch_add(1, std::memory_order_seq_cst);
        if (asleep_.load(std::memory_order_seq_cst) > 0) calls_.notify_all();
        while (take(0)) {}
        for (int turns = 0; left_.load(std::memory_order_acquire) != 0; ++turns) {
            if (turns < kTurns) { relax(); continue; }
            const uint32_t left = left_.load(std::memory_order_acquire);
            if (left != 0) left_.wait(left, std::memory_order_acquire);
        }
    }

  private:
    static constexpr int kTurns = 1000;

    // The ticket holds the round, the number of pieces and the next one, so that a thread which
    // looked away can neither take a piece of a later round nor one that is not there.
    bool take(int thread) {
        uint64_t ticket = ticket_.load(std::memory_order_acquire);
        for (;;) {
            const uint32_t pieces = ticket >> 20 & 0xfffff, next = ticket & 0xfffff;
            if (next >= pieces) return false;
            const auto call = call_.load(std::memory_order_relaxed);
            const void* task = task_.load(std::memory_order_relaxed);
            if (ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {
                call(task, int(next), thread);
                if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_one();
                return true;
            }
        }
    }

    void work(int thread) {
        uint32_t seen = calls_.load();
        int turns = 0;
        while (!stop_) {
            if (take(thread)) { turns = 0; continue; }
            const uint32_t now = calls_.load(std::memory_order_acquire);
            if (now != seen) { seen = now; turns = 0; continue; }
            if (turns < kTurns) { ++turns; relax(); continue; }
            asleep_.fetch_add(1, std::memory_order_seq_cst);
            calls_.wait(seen, std::memory_order_seq_cst);
            asleep_.fetch_sub(1, std::memory_order_seq_cst);
        }
    }

    using Call = void (*)(const void*, int, int);
    alignas(64) std::atomic<uint64_t> ticket_{0};
    std::atomic<Call> call_{nullptr};
    std::atomic<const void*> task_{nullptr};
    alignas(64) std::atomic<uint32_t> left_{0};
    alignas(64) std::atomic<uint32_t> calls_{0};
    std::atomic<int> asleep_{0};
    std::atomic<bool> stop_{false};
    uint64_t round_ = 0;
    std::vector<std::thread> workers_;
};
