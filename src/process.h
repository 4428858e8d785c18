/*
 * A child's handle.
 *
 *     running   its end is observed, and its status not taken
 *     ended     `status` is what every wait returns
 *
 * Both before and after task_process_free(): then a running one is killed, and
 * goes with its end. All are in a list of their loop's.
 */
#ifndef TASK_SRC_PROCESS_H
#define TASK_SRC_PROCESS_H

#include "child.h"
#include "fd.h"
#include "misuse.h"
#include "stream.h"

#include <task/process.h>

struct task_process {
    struct list_node node; /* in the loop's list */
    struct loop *loop;
    struct child child;
    struct observer observer; /* of its end */
    struct list waiters;
    const char *file; /* where it was started; NULL: not known */
    int line;
    int status;
    bool has_ended;
    bool is_freed;     /* the handle is gone */
    bool communicates; /* a task is at it */
    struct stream_owner streams[3];
};

#define NOT_THIS_LOOPS "the process is NULL, or of another loop"

/* A handle of no child yet. NULL: out of memory. */
struct task_process *task__process_new(struct loop *loop);

/* process_watch.c: it has one now, which was started. 0; or a negative errno,
 * and the child is gone. */
int task__process_begin(struct task_process *process, pid_t pid, int pidfd);

/* Find out whether it has ended. The handle may be no more then. */
bool task__process_look(struct task_process *process);

/* Wait for its end, which holds the loop, and take its status. */
void task__process_await_end(struct task_process *process);

/* process.c: free the handle if the user has, the child has ended, and no call
 * is under way. */
void task__process_release(struct task_process *process);

/* Free that of a child that never was. */
void task__process_destroy(struct task_process *process);

/* That of a pipe; NULL: it is none, or closed. */
struct task_stream *task__process_stream(const struct task_process *process,
                                         int number);

#endif
