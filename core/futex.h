/* SPDX-License-Identifier: Apache-2.0 */
/* Futexes: spin, then sleep, while a word has a value, and wake who sleeps on it. Wake-ups may be
 * spurious. */
#pragma once

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleep while *word is `value`, at most timeout_ns (0: without end). */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t value, int64_t timeout_ns)
{
    struct timespec t = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout_ns ? &t : NULL, NULL, 0);
}

static inline void futex_wake(_Atomic uint32_t *word, int most)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
}

static inline void futex_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spin while *word is `value`, about as long as a sleep and a wake-up take; true if it changed. */
static inline bool futex_spin(_Atomic uint32_t *word, uint32_t value)
{
    enum { SPIN_NS = 20000, LOOKS = 16 /* between two looks at the clock */ };
    struct timespec t;
    int64_t until = 0;
    for (unsigned i = 1;; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != value)
            return true;
        futex_relax();
        if (i % LOOKS)
            continue;
        clock_gettime(CLOCK_MONOTONIC, &t);
        int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
        if (!until)
            until = now + SPIN_NS;
        else if (now > until)
            return false;
    }
}
