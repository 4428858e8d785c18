/*
 * What other threads post to a loop: a lock-free list, which the loop takes as
 * a whole and turns round, so that it has the posts of each thread in their
 * order.
 *
 * One word holds the last post and the state of the loop:
 *
 *     ASLEEP   it waits, or is about to, and must be woken. Only an empty
 *              inbox is asleep: so whoever makes it something else, and nobody
 *              else, has to write to the wake-up descriptor.
 *     WOKEN    somebody wants it to look, and has posted nothing
 *     CLOSED   the loop is as good as gone: it takes no more calls
 *
 * Whatever changes the word reads it in the same step, and so all changes are
 * in one order. Therefore
 *
 *     a post is released by its push, and each later change passes that on: who
 *     takes the list, and acquires, sees all that was done before any of them;
 *
 *     a post comes before the loop falls asleep, which fails then, or after it,
 *     and sees ASLEEP: nothing falls between the look and the sleep, and no fence
 *     between two words is needed;
 *
 *     one change, and one only, ends a sleep: there is one write for each;
 *
 *     the last posts are taken, and others refused from then on, in one step.
 *
 * An inbox is counted, and its descriptor open, until all have let go of it: so
 * nobody wakes a loop by a descriptor that was closed meanwhile.
 */
#ifndef TASK_SRC_INBOX_H
#define TASK_SRC_INBOX_H

#include "poller.h"
#include "spin.h"
#include "wakeup.h"

#include <task/base.h>

/*
 * What is posted is one of two: a post, or a row of calls. They are linked by
 * words that have the flag CALL for the latter, and room for those of the
 * state: so both are aligned to 16, also where the allocator would not care.
 */

/* Something that is run in the loop's thread, in its next look at the world. */
struct post {
    _Alignas(16) uintptr_t next;
    void (*run)(struct post *post);
};

/*
 * Calls that one thread makes, and no other thread between them, lie one after
 * the other in memory, behind the head of their row: two words for each, which
 * the loop runs where they lie. It is told of the last of a row, and goes back
 * to the head, whose `n` is 0 where a call has its function.
 */
struct inbox_call {
    loop_fn *fn; /* not NULL */
    void *arg;
};

struct inbox_row {
    size_t n; /* calls; 0 until they are taken */
    uintptr_t next;
};

union inbox_slot {
    _Alignas(16) struct inbox_call call;
    struct inbox_row row;
};

enum {
    INBOX_ASLEEP = 1,
    INBOX_WOKEN = 2,
    INBOX_CLOSED = 4,
    INBOX_STATE = 7,
    INBOX_CALL = 8, /* the last is a call */
};

struct inbox {
    uintptr_t word; /* what was posted last, and flags */
    unsigned references;
    uintptr_t thread; /* the number of who runs the loop, or did so last */
    struct wakeup wakeup;
    void (*receive)(struct inbox_row *row); /* in the loop's thread */

    /* Of the loop's thread only. */
    uintptr_t closed; /* INBOX_CLOSED once it is */
    bool sleeps;      /* it has set ASLEEP, and not looked since */
    bool must_drain;  /* what was written has to be read */
    size_t n_due;     /* writes not yet read */
    struct spin spin; /* of its waits */
};

/* A new inbox, whose wake-ups end the poller's waits, and which gives rows to
 * `receive`; one reference is the caller's. 0, or a negative errno. */
int task__inbox_open(struct inbox **inbox, struct poller *poller,
                     void (*receive)(struct inbox_row *row));

void task__inbox_retain(struct inbox *inbox);
void task__inbox_release(struct inbox *inbox);

/* In the child of a fork: what is woken by the descriptor is not ours. */
void task__inbox_abandon(struct inbox *inbox);

/* From any thread. */

/* Append; async-signal-safe. False: it is closed. */
bool task__inbox_post(struct inbox *inbox, struct post *post);

/*
 * Post a call. If what is in the slot before these two was posted last, it is
 * in a row with that, and written to the first of them; else to the second, and
 * the head of its row to the first. A slot is posted once, by the thread that
 * has these; where there is none before them, nothing that is posted lies
 * there. Returns how many slots it took; 0: it is closed.
 */
size_t task__inbox_call(struct inbox *inbox, union inbox_slot slots[2],
                        loop_fn *fn, void *arg);

/* Append what the loop is going to wait for, also when it is closed. */
void task__inbox_answer(struct inbox *inbox, struct post *post);

/* Have the loop look, even if it is not waiting now; async-signal-safe. False:
 * it is closed. */
bool task__inbox_wake(struct inbox *inbox);

static inline bool inbox_is_closed(const struct inbox *inbox)
{
    return __atomic_load_n(&inbox->word, __ATOMIC_ACQUIRE) & INBOX_CLOSED;
}

static inline bool inbox_is_of_thread(const struct inbox *inbox,
                                      uintptr_t thread)
{
    return __atomic_load_n(&inbox->thread, __ATOMIC_RELAXED) == thread;
}

/* In the loop's thread. */

/* Whether there is something to be run or to be looked at. */
static inline bool inbox_is_stirred(const struct inbox *inbox)
{
    return __atomic_load_n(&inbox->word, __ATOMIC_RELAXED) &
           ~(uintptr_t)(INBOX_ASLEEP | INBOX_CLOSED);
}

/* This thread runs the loop. */
static inline void inbox_set_thread(struct inbox *inbox, uintptr_t thread)
{
    __atomic_store_n(&inbox->thread, thread, __ATOMIC_RELAXED);
}

/* Whether it is awake, and nothing is there. */
static inline bool inbox_is_quiet(const struct inbox *inbox)
{
    return __atomic_load_n(&inbox->word, __ATOMIC_RELAXED) == inbox->closed;
}

/* Spin for a post, which need not wake the loop then. Whether there is one;
 * false, too, if it is asleep still. */
static inline bool inbox_spin(struct inbox *inbox)
{
    return !inbox->sleeps &&
           task__spin_while(&inbox->spin, &inbox->word, inbox->closed);
}

/* Note that the loop slept so long, if a post has ended that. */
static inline void inbox_note_sleep(struct inbox *inbox, task_time took)
{
    if (inbox_is_stirred(inbox))
        task__spin_note_sleep(&inbox->spin, took);
}

/* From now on whoever posts wakes. False: the loop may not wait, as there is
 * something already. */
bool task__inbox_sleep(struct inbox *inbox);

/* Both for a loop that may have none. */
static inline bool inbox_has_any(const struct inbox *inbox)
{
    return inbox && inbox_is_stirred(inbox);
}

static inline bool inbox_try_sleep(struct inbox *inbox)
{
    return !inbox || task__inbox_sleep(inbox);
}

/* Be awake, and run all that is there. */
void task__inbox_run(struct inbox *inbox);

/* The same at the end: posts are refused from now on. */
void task__inbox_close(struct inbox *inbox);

#endif
