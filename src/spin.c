/*
 * Spinning, as long as it pays.
 */
#include "spin.h"

#include "clock.h"

enum {
    LOOKS = 16, /* between two readings of the clock: some 300 ns */
    MOST_SKIPPED = 1023
};

static bool watch(const uintptr_t *word, uintptr_t former)
{
    task_time began = task__clock_monotonic();

    do {
        for (int i = 0; i < LOOKS; i++) {
            if (__atomic_load_n(word, __ATOMIC_RELAXED) != former)
                return true;
            CPU_RELAX();
        }
    } while (task__clock_monotonic() - began < SPIN_TIME);
    return false;
}

bool task__spin_while(struct spin *spin, const uintptr_t *word,
                      uintptr_t former)
{
    if (spin->n_left) {
        spin->n_left--;
        return false;
    }
    if (watch(word, former)) {
        spin->n_skipped /= 2;
        return true;
    }
    if (spin->n_skipped < MOST_SKIPPED)
        spin->n_skipped = 2 * spin->n_skipped + 1;
    spin->n_left = spin->n_skipped;
    return false;
}
