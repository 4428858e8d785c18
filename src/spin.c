/*
 * Spinning, as long as it pays.
 */
#include "spin.h"

#include "clock.h"

enum {
    LOOKS = 16,        /* between two readings of the clock */
    SLOW_IN_A_ROW = 8, /* that are as good as one in vain */
    MOST_SKIPPED = 1023,
    SHORTER = 3, /* than a sleep: so a slow spin pays */
    FORGET = 128 /* slow spins, and next to nothing is left of what it took */
};

/* What is longer is a pause, and tells nothing of what waking takes. */
#define SLEEP_MOST (4 * SPIN_TIME)

/* Whether a sleep would take so much longer that both sides gain. That is
 * believed for some dozens of spins, until a sleep tells anew. */
static bool beats_sleep(struct spin *spin, task_time took)
{
    spin->asleep -= spin->asleep / FORGET;
    return SHORTER * took < spin->asleep;
}

void task__spin_note_sleep(struct spin *spin, task_time took)
{
    if (took <= SLEEP_MOST)
        spin->asleep = took;
}

void task__spin_note(struct spin *spin, task_time took, bool has_changed)
{
    bool is_slow = took > SPIN_WORTH && !beats_sleep(spin, took);

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
