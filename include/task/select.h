/*
 * select.h: wait for the first of several things: items, room, events, tasks,
 * descriptors.
 *
 *     struct task_select_case cases[] = {
 *         TASK_SELECT_GET(&jobs, &job),
 *         TASK_SELECT_EVENT(&stop),
 *     };
 *
 *     switch (task_select(cases, 2, TASK_SECOND)) {
 *     case 0: ...
 *
 * Exactly one case fires, and the others leave no trace: an item is taken or
 * put if its case fires, and only then.
 */
#ifndef TASK_SELECT_H
#define TASK_SELECT_H

#include <task/base.h>
#include <task/core.h>
#include <task/queue.h>
#include <task/sync.h>
#include <task/time.h>

TASK_BEGIN_DECLS

/** What a case waits for. */
enum task_select_kind {
    TASK_SELECT_KIND_GET = 1,
    TASK_SELECT_KIND_PUT,
    TASK_SELECT_KIND_EVENT,
    TASK_SELECT_KIND_TASK,
    TASK_SELECT_KIND_FD
};

/**
 * A case: made by one of the macros below, which are expressions and
 * initialisers.
 */
struct task_select_case {
    enum task_select_kind kind;

    /** Of the case that fired: 0, or -EPIPE of a queue that was shut down. */
    int status;

    struct task_queue *queue;
    const void *from;
    void *to;
    struct task_event *event;
    struct task *task;
    int fd;

    /** As of task_wait_fd(). */
    short events;

    /** Of a descriptor's case that fired: those of its events that have come,
     *  and POLLERR and POLLHUP if they have. */
    short revents;
};

#ifdef __cplusplus
#define TASK_SELECT_CASE task_select_case
#define TASK_SELECT_EVENTS(events) static_cast<short>(events)
#else
#define TASK_SELECT_CASE (struct task_select_case)
#define TASK_SELECT_EVENTS(events) (short)(events)
#endif

/** Get an item from a queue, as task_queue_get(). */
#define TASK_SELECT_GET(queue, item)                                           \
    TASK_SELECT_CASE                                                           \
    {                                                                          \
        TASK_SELECT_KIND_GET, 0, (queue), NULL, (item), NULL, NULL, -1, 0, 0   \
    }

/** Put an item into a queue, as task_queue_put(). */
#define TASK_SELECT_PUT(queue, item)                                           \
    TASK_SELECT_CASE                                                           \
    {                                                                          \
        TASK_SELECT_KIND_PUT, 0, (queue), (item), NULL, NULL, NULL, -1, 0, 0   \
    }

/** An event is set, as task_event_wait(). */
#define TASK_SELECT_EVENT(event)                                               \
    TASK_SELECT_CASE                                                           \
    {                                                                          \
        TASK_SELECT_KIND_EVENT, 0, NULL, NULL, NULL, (event), NULL, -1, 0, 0   \
    }

/** A task is done; NULL is. Its handle stays, and its status counts as
 * unread. */
#define TASK_SELECT_TASK(task)                                                 \
    TASK_SELECT_CASE                                                           \
    {                                                                          \
        TASK_SELECT_KIND_TASK, 0, NULL, NULL, NULL, NULL, (task), -1, 0, 0     \
    }

/** A descriptor is ready, as task_wait_fd(); see `revents`. */
#define TASK_SELECT_FD(fd, events)                                             \
    TASK_SELECT_CASE                                                           \
    {                                                                          \
        TASK_SELECT_KIND_FD, 0, NULL, NULL, NULL, NULL, NULL, (fd),            \
            TASK_SELECT_EVENTS(events), 0                                      \
    }

/**
 * Wait until one of several cases can go on, and have it do so.
 *
 * Of those that can at once, the first in the array fires. One that waits is
 * served in its turn like any other task that waits for the same thing.
 *
 * @param cases    @p n cases; the `status` of the one that fires is set
 * @param n        at least 1; up to 8 need no memory, but for descriptors that
 *                 were not waited for before
 * @param timeout  nanoseconds; 0 or less only looks; TASK_FOREVER: no limit
 *
 * Suspends, unless a case fires at once. A cancel ends it; one that comes after
 * a case has fired comes next.
 *
 * @return the index of the case that fired, or
 *         -ETIMEDOUT  none did in that time,
 *         -ECANCELED  a request was waiting, or came before any fired,
 *         -EBADF      a descriptor is not open, or was closed meanwhile; nothing
 *                     fired,
 *         -EBUSY      somebody, or another case, waits for the same at a
 *                     descriptor,
 *         -EDEADLK    a task is the caller,
 *         -EINVAL     @p n is 0, a case is of no kind, a task is another
 *                     loop's, or a descriptor's events have others,
 *         -EMFILE, -ENFILE
 *                     no descriptor is left for the loop's own,
 *         -ENOMEM     out of memory; nothing fired,
 *         -ENOSPC     the user has too many descriptors watched by epoll,
 *         -EOPNOTSUPP a descriptor never gives the events, as a file no POLLPRI,
 *         -EPERM      called outside a task.
 *
 * Source: Go's select, with the order of the cases
 */
TASK_SUSPENDS int task_select(struct task_select_case cases[], size_t n,
                              task_time timeout);

TASK_END_DECLS

#endif
