/*
 * A child that was started here: to be told of its end, to take its status, to
 * send it a signal; and nobody else's. One way a file: by a pidfd, and by a
 * thread that waits, which every POSIX system has.
 *
 * Its number is its own until its status was taken; so a signal goes to it, or
 * to nobody, as long as nobody else takes it.
 */
#ifndef TASK_SRC_CHILD_H
#define TASK_SRC_CHILD_H

#include "base.h"

#include <stdbool.h>
#include <sys/types.h>

struct child;

struct child_kind {
    /* Open the descriptor; 0, or a negative errno. -ESRCH: the child has ended,
     * and there is no status. */
    int (*open)(struct child *child);

    /* Close it, once the child has ended. */
    void (*close)(struct child *child);

    /* In the child of a fork: close what is a copy of the parent's. */
    void (*abandon)(const struct child *child);

    /* Take its status, after its end if told to wait. 0; -EAGAIN: it runs;
     * -ECHILD: it has ended, and there is no status any more. */
    int (*take)(const struct child *child, bool wait, int *status);

    /* 0, or a negative errno. */
    int (*send)(const struct child *child, int signo);
};

struct child {
    const struct child_kind *kind;
    pid_t pid;
    int fd; /* readable once it has ended; -1: somebody else has closed it */
    struct child_watch *at; /* the thread's; NULL: there is none */
};

extern const struct child_kind task__child_thread;
#ifdef TASK_HAVE_EPOLL
extern const struct child_kind task__child_pidfd;
#define CHILD_BEST (&task__child_pidfd)
#else
#define CHILD_BEST (&task__child_thread)
#endif

/* The kind that is opened if it can be; tests set it. */
extern const struct child_kind *task__child_best;

/* One that was started, with its pidfd or -1, which is taken over whatever
 * comes. 0, or a negative errno; -ESRCH as above. */
int task__child_open(struct child *child, pid_t pid, int pidfd);

/* Kill it, wait for its end, and take its status. */
void task__child_end(struct child *child);

#endif
