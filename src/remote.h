/*
 * The way into a loop from other threads.
 */
#ifndef TASK_SRC_REMOTE_H
#define TASK_SRC_REMOTE_H

#include "inbox.h"

struct loop_remote {
    struct inbox *inbox;
    unsigned forks;      /* of this process, when it was opened */
    struct post closing; /* of it, on its way to the loop */
};

/* Why the loop cannot be called; async-signal-safe. */
int task__remote_refusal(const struct loop_remote *remote);

#endif
