/*
 * The tasks of a batch in a random order, of which the seed is the loop's.
 */
#include "scheduler.h"
#include "switch.h"

/* xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift
 * generators, scrambled" (2016). */
static uint64_t next_random(struct scheduler *scheduler)
{
    uint64_t x = scheduler->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    scheduler->random = x;
    return x * UINT64_C(2685821657736338717);
}

/* Merge two shuffled lists so that every order is equally likely. */
static struct ready *riffle(struct scheduler *scheduler, struct ready *a,
                            size_t n_a, struct ready *b, size_t n_b)
{
    struct ready *merged = NULL;
    struct ready **end = &merged;

    while (n_a && n_b) {
        bool from_a = next_random(scheduler) % (n_a + n_b) < n_a;
        struct ready **list = from_a ? &a : &b;

        *end = *list;
        end = &(*list)->next;
        *list = *end;
        *(from_a ? &n_a : &n_b) -= 1;
    }
    *end = n_a ? a : b;
    return merged;
}

/* Shuffle the first n of a list, which are cut off it. Depth: log2(n). */
static struct ready *shuffle(struct scheduler *scheduler, struct ready **list,
                             size_t n)
{
    struct ready *first = *list;

    if (n == 1) {
        *list = first->next;
        first->next = NULL;
        return first;
    }

    struct ready *a = shuffle(scheduler, list, n / 2);
    struct ready *b = shuffle(scheduler, list, n - n / 2);

    return riffle(scheduler, a, n / 2, b, n - n / 2);
}

COLD struct ready *task__scheduler_shuffle(struct scheduler *scheduler,
                                           struct ready *first)
{
    size_t n = 0;

    for (struct ready *ready = first; ready; ready = ready->next)
        n++;
    return n ? shuffle(scheduler, &first, n) : NULL;
}
