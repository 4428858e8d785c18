/*
 * Spinning, as long as it pays.
 */
#include "spin.h"

#include "clock.h"

enum {
    LOOKS = 16,        /* between two readings of the clock */
    SLOW_IN_A_ROW = 8, /* that are as good as one in vain */
    MOST_SKIPPED = 1023
};

void task__spin_note(struct spin *spin, task_time took, bool has_changed)
{
    bool is_slow = took > SPIN_WORTH;

    if (has_changed && !is_slow) {
        spin->n_slow = 0;
        spin->n_skipped /= 2;
    } else if (!has_changed || ++spin->n_slow == SLOW_IN_A_ROW) {
        spin->n_slow = 0;
        if (spin->n_skipped < MOST_SKIPPED)
            spin->n_skipped = 2 * spin->n_skipped + 1;
        spin->n_left = spin->n_skipped;
    }
}

/* Whether the word has changed, LOOKS times. */
static bool look(const uintptr_t *word, uintptr_t former)
{
    for (int i = 0; i < LOOKS; i++) {
        if (__atomic_load_n(word, __ATOMIC_RELAXED) != former)
            return true;
        CPU_RELAX();
    }
    return false;
}

bool task__spin_while(struct spin *spin, const uintptr_t *word,
                      uintptr_t former)
{
    task_time began, took = 0;
    bool has_come = false;

    if (spin->n_left) {
        spin->n_left--;
        return false;
    }
    began = task__clock_monotonic();
    while (!has_come && took < SPIN_TIME) {
        has_come = look(word, former);
        took = task__clock_monotonic() - began;
    }
    task__spin_note(spin, took, has_come);
    return has_come;
}
