/*
 * Spinning: watching a word for a moment, before sleeping until another thread
 * changes it. Where two threads do so by turns, neither has to be woken: a turn
 * takes a ninetieth of the time, and a thirtieth of the processors'. Where only
 * one of them waits, a spin costs both together about as much as a sleep and a
 * wake-up, if it ends within SPIN_WORTH (tests/bench/README.md).
 *
 * It may last longer, as cores that do not fall asleep answer each other sooner
 * and sooner. Where they do not, spins become rare: one in vain doubles how many
 * waits go by without a spin, up to 1023, and so does the eighth in a row that
 * took longer than SPIN_WORTH; one that took no longer halves it. So a thread
 * whose word is changed on its own processor, or every 20 us, hardly ever spins.
 * But where a sleep takes over three times as long as a spin, whoever changes the
 * word waits, too, and is slower to be woken: then a spin of any length pays.
 *
 * Karlin, Li, Manasse, Owicki: Empirical Studies of Competitive Spinning for a
 * Shared-Memory Multiprocessor (SOSP 1991).
 */
#ifndef TASK_SRC_SPIN_H
#define TASK_SRC_SPIN_H

#include "base.h"

#include <stdbool.h>
#include <task/time.h>

#define SPIN_WORTH (10 * TASK_MICROSECOND) /* what took longer did not pay */
#define SPIN_TIME (50 * TASK_MICROSECOND)  /* what one takes at the most */

/* How a thread's spins went; zero is a new one. */
struct spin {
    unsigned n_slow;    /* in a row that took longer than was worth it */
    unsigned n_skipped; /* waits without a spin, after one in vain */
    unsigned n_left;    /* of these, still to come */
    task_time asleep;   /* what the last sleep took; slow spins lessen it */
};

/*
 * Watch the word as long as it is `former`, for SPIN_TIME at the most. False: it
 * still is, or was not even looked at. The other thread changes it atomically;
 * what it stored before is the caller's to acquire, by a mutex or an exchange.
 */
bool task__spin_while(struct spin *spin, const uintptr_t *word,
                      uintptr_t former);

/* Note a spin that took so long, and saw the change or was in vain. */
void task__spin_note(struct spin *spin, task_time took, bool has_changed);

/* Note a sleep that took so long, until the word was changed. */
void task__spin_note_sleep(struct spin *spin, task_time took);

#endif
