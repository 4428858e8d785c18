/*
 * What other threads post to a loop: a lock-free list, which the loop takes as a
 * whole and turns round, so that it has the posts of each thread in their order.
 *
 * One word holds the last post and the state of the loop:
 *
 *     ASLEEP   it waits, or is about to, and must be woken. Only an empty
 *              inbox is asleep: so whoever makes it something else, and nobody
 *              else, has to write to the wake-up descriptor.
 *     WOKEN    somebody wants it to look, and has posted nothing
 *     CLOSED   the loop is as good as gone: it takes no more calls
 *
 * Whatever changes the word reads it in the same step, and so all changes are in
 * one order. Therefore
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
#include "wakeup.h"

/*
 * Something that is run in the loop's thread, in its next look at the world.
 *
 * Posts of one kind that lie in a row, and come one after the other, may be posted
 * as a row: they are run by one call, that of the last. So however many have piled
 * up, the loop touches each once, when it does what it is for.
 *
 * `next` is, of the first in its row, the last of another row: in the inbox of the
 * one before, taken out of it of the one after. Of the others it is the first in
 * their row, and POST_IN_ROW.
 */
struct post {
    _Alignas(8) struct post *next; /* which leaves room for the flags */
    void (*run)(struct post *last);
};

#define POST_IN_ROW ((uintptr_t)1)

enum {
    INBOX_ASLEEP = 1,
    INBOX_WOKEN = 2,
    INBOX_CLOSED = 4,
    INBOX_FLAGS = 7,
};

struct inbox {
    uintptr_t word; /* the last post, and flags */
    unsigned references;
    uintptr_t thread; /* the number of who runs the loop, or did so last */
    struct wakeup wakeup;

    /* Of the loop's thread only. */
    uintptr_t closed; /* INBOX_CLOSED once it is */
    bool sleeps;      /* it has set ASLEEP, and not looked since */
    bool must_drain;  /* what was written has to be read */
    size_t n_due;     /* writes not yet read */
};

/* A new inbox, whose wake-ups end the poller's waits; one reference is the
 * caller's. 0, or a negative errno. */
int task__inbox_open(struct inbox **inbox, struct poller *poller);

void task__inbox_retain(struct inbox *inbox);
void task__inbox_release(struct inbox *inbox);

/* In the child of a fork: what is woken by the descriptor is not ours. */
void task__inbox_abandon(struct inbox *inbox);

/* From any thread. */

/* Append; async-signal-safe. False: it is closed. */
bool task__inbox_post(struct inbox *inbox, struct post *post);

/* The same, in a row with the one before, if nothing has come between. That one
 * was posted last by the same thread, and is not posted again until this has
 * returned. NULL: none. */
bool task__inbox_post_row(struct inbox *inbox, struct post *post,
                          const struct post *before);

/* The same for what the loop is going to wait for, also when it is closed. */
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

/* The first in the row of which this is the last. */
static inline struct post *post_first(struct post *last)
{
    uintptr_t next = (uintptr_t)last->next;

    return next & POST_IN_ROW ? (struct post *)(next - POST_IN_ROW) : last;
}

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

/* From now on whoever posts wakes. False: the loop may not wait, as there is
 * something already. */
bool task__inbox_sleep(struct inbox *inbox);

/* Be awake, and run all that is there. */
void task__inbox_run(struct inbox *inbox);

/* The same at the end: posts are refused from now on. */
void task__inbox_close(struct inbox *inbox);

#endif
