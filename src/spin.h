/*
 * Watching a word, for a moment, before sleeping until another thread changes
 * it. Threads that wait for each other by turns are a hundred times quicker so,
 * and take a tenth of the processors' time, as none has to be woken. If only one
 * waits, to see what comes within WORTH takes about as much time of both as to
 * sleep and be woken by it.
 *
 * It is watched for longer, as cores that do not fall asleep answer each other
 * sooner and sooner. But where that does not happen, spins become rare: each
 * that is in vain doubles how many waits go by without one, up to 1023, and so
 * does the last of some in a row that took longer than WORTH; each that did not
 * halves it. So a thread whose word is changed on its own processor, or every
 * 20 us, spins next to never.
 *
 * Karlin, Li, Manasse, Owicki: Empirical Studies of Competitive Spinning for a
 * Shared-Memory Multiprocessor (SOSP 1991).
 */
#ifndef TASK_SRC_SPIN_H
#define TASK_SRC_SPIN_H

#include "base.h"

#include <stdbool.h>
#include <task/time.h>

#define SPIN_WORTH (10 * TASK_MICROSECOND)
#define SPIN_TIME (50 * TASK_MICROSECOND) /* at the most */

/* How they went; zero is a new one. */
struct spin {
    unsigned n_slow;    /* in a row */
    unsigned n_skipped; /* waits that go by without one after a vain one */
    unsigned n_left;    /* of these, from now on */
};

/* False: the word is still `former`, or it was not even looked at. Its thread
 * changes it by an atomic store; what was stored before is to be acquired. */
bool task__spin_while(struct spin *spin, const uintptr_t *word,
                      uintptr_t former);

/* How one went that ended after so long, by the word's change or not. */
void task__spin_note(struct spin *spin, task_time took, bool has_changed);

#endif
