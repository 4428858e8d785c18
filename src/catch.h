/*
 * Signals, caught for whoever wants them: what the C handler does, and when the
 * system has it.
 *
 * A loop that wants any has a receiver. As long as one receiver wants a signal,
 * its disposition is ours, in the whole process; then the former one is back.
 * The handler notes the signal in each receiver that wants it, and posts to the
 * receiver's inbox, unless that post is on its way. So it neither allocates nor
 * blocks, and a storm of signals is one post.
 *
 * Handlers may run in any thread, at any time, also while receivers come and
 * go. So the memory of receivers is never given back, but used again; and
 * whoever ends to want a signal waits for the handlers that are at work with
 * its receiver.
 *
 * A fork's child has neither our dispositions nor receivers.
 */
#ifndef TASK_SRC_CATCH_H
#define TASK_SRC_CATCH_H

#include "inbox.h"

#include <signal.h>

/* What is known of a signal that somebody wants to know of. */
struct caught {
    int state;
    siginfo_t info;
};

struct receiver {
    struct receiver *next; /* of all that there have ever been */
    struct inbox *inbox;
    struct post post;
    bool is_used;

    /* What handlers see and change: flags of whole words, which every processor
     * can exchange. */
    unsigned wanted[NSIG];
    unsigned pending[NSIG];    /* caught, and not taken */
    uintptr_t reblocked[NSIG]; /* once caught, block it in this thread; 0: no */
    unsigned is_posted;
    unsigned handlers; /* that are at work with it */
    struct caught caught[NSIG];

    /* The loop's. */
    unsigned n_wants[NSIG];
};

/* Whether a signal can be caught. */
bool task__catch_can(int signo);

/* This one is the library's own, and cannot; 0: none is. */
void task__catch_leave_alone(int signo);

/* One for this inbox, by which `run` is called in its loop's thread; NULL: no
 * memory. */
struct receiver *task__catch_open(struct inbox *inbox,
                                  void (*run)(struct post *post));

/* It wants nothing any more, and is another's. */
void task__catch_close(struct receiver *receiver);

/*
 * Want a signal, once more; 0, or a negative errno.
 *
 * Wanted by nobody but those who want it once, it has its default effect when
 * it comes a second time. They do not want it if somebody else has a handler of
 * it: -EBUSY.
 */
int task__catch_begin(struct receiver *receiver, int signo, bool once);
void task__catch_end(struct receiver *receiver, int signo, bool once);

/* Before what was posted is looked at: from now on there is a new post. */
void task__catch_look(struct receiver *receiver);

/* Take a signal that was caught, and what is known of the first of them. */
bool task__catch_take(struct receiver *receiver, int signo, siginfo_t *info);

/* This thread has unblocked a signal for the time that it is waited for: once
 * caught in it, it is blocked again there, so that later ones stay with the
 * system. No more of that: whether this is the thread. */
void task__catch_reblock(struct receiver *receiver, int signo);
bool task__catch_reblock_no_more(struct receiver *receiver, int signo);

#endif
