/*
 * A descriptor by which another thread, or a signal handler, ends the wait of a
 * loop. One kind a file: eventfd, and a pipe, which every POSIX system has.
 */
#ifndef TASK_SRC_WAKEUP_H
#define TASK_SRC_WAKEUP_H

#include <stdbool.h>
#include <stddef.h>

struct wakeup_kind {
    /* Open it: 0, or a negative errno. */
    int (*open)(int *reader, int *writer);

    /* Make the reader readable; async-signal-safe. Each time is an event for
     * whoever waits for edges, as long as it does not overflow. */
    void (*wake)(int writer);

    /* Read what was written: at the most `n` times, and return how many. */
    size_t (*drain)(int reader, size_t n);

    bool overflows; /* if it is never read */
};

extern const struct wakeup_kind task__wakeup_pipe;
#ifdef TASK_HAVE_EPOLL
extern const struct wakeup_kind task__wakeup_eventfd;
#define WAKEUP_BEST (&task__wakeup_eventfd)
#else
#define WAKEUP_BEST (&task__wakeup_pipe)
#endif

struct wakeup {
    const struct wakeup_kind *kind;
    int reader; /* -1: not open; so is then the other, which may be the same */
    int writer;
};

/* Open the best kind that the system lets us have; 0, or a negative errno. */
int task__wakeup_open(struct wakeup *wakeup);
void task__wakeup_close(struct wakeup *wakeup);

#endif
