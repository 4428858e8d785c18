/*
 * Random numbers that are the same in every run: test_seed tells where to begin.
 *
 * xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift
 * generators, scrambled" (2016).
 */
#ifndef TESTS_SUPPORT_RANDOM_H
#define TESTS_SUPPORT_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Any state but 0 begins a sequence of its own. */
struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t x = random->state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return x * UINT64_C(2685821657736338717);
}

/* 0 to n - 1. */
static inline size_t random_below(struct random *random, size_t n)
{
    return (size_t)(random_next(random) >> 11) % n;
}

#endif
