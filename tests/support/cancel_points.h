/*
 * A task that is cancelled at each of its suspensions in turn.
 */
#ifndef TESTS_SUPPORT_CANCEL_POINTS_H
#define TESTS_SUPPORT_CANCEL_POINTS_H

#include <task.h>

/*
 * Run a body again and again, each time as a task of a new loop on the virtual
 * clock, and cancel it once in each run:
 *
 *     before it begins;
 *     at its k-th suspension, parked or yielding, before anything else runs;
 *     at its k-th suspension, when all that was ready has run: it may have been
 *     granted by now what it waits for;
 *
 * and not at all in the last runs, in which it suspends fewer than k times.
 *
 * After each run every task has to have ended by itself, the record to be as
 * it was (so nothing was reported, also not a lock that is still held), and the
 * loop's memory to be free. `check` (NULL: none) is told `arg` then, outside of
 * the loop, and says by CHECK what else has to hold.
 *
 * The body has to end by itself, also if it is not cancelled; to begin with a
 * fresh `arg`, so it fills that in itself; and to end what it starts, also when
 * it is cancelled. Its own status does not matter.
 *
 * To be called from a test (behaviour() in record.h), not in a loop.
 *
 * Returns how often the body suspends when it is not cancelled.
 */
unsigned cancel_at_every_point(task_fn *body, void (*check)(void *arg),
                               void *arg);

#endif
