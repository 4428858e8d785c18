/*
 * Watching a word, for a moment, before sleeping until another thread changes
 * it: where that comes soon, it takes less than a sleep and a wake-up do, of the
 * processor's time, too.
 *
 * A spin costs at the most about as much as what it may save. Those that are in
 * vain become rare: after n of them in a row, 2^n - 1 waits go by without one,
 * up to 1023. So a thread whose word is changed on its own processor, or later,
 * spins next to never.
 *
 * Karlin, Li, Manasse, Owicki: Empirical Studies of Competitive Spinning for a
 * Shared-Memory Multiprocessor (SOSP 1991).
 */
#ifndef TASK_SRC_SPIN_H
#define TASK_SRC_SPIN_H

#include "base.h"

#include <stdbool.h>
#include <task/time.h>

/* What it takes, and what it is measured by: to be woken in a virtual machine
 * is 10 to 35 us. */
#define SPIN_TIME (50 * TASK_MICROSECOND)

/* How they went; zero is a new one. */
struct spin {
    unsigned n_skipped; /* waits that go by without one after a vain one */
    unsigned n_left;    /* of these, from now on */
};

/* False: the word is still `former`, or it was not even looked at. Its thread
 * changes it by an atomic store; what was stored before is to be acquired. */
bool task__spin_while(struct spin *spin, const uintptr_t *word,
                      uintptr_t former);

#endif
