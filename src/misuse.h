/*
 * Calls that were made wrongly: each returns an error, and debug mode tells of
 * each place of the program that does so, once.
 */
#ifndef TASK_SRC_MISUSE_H
#define TASK_SRC_MISUSE_H

#include "base.h"

/*
 * Tell of one, by the hook of the loop that runs in this thread; returns the
 * status, which is negative. One that misuse does not cause may come here too: it
 * is not told of.
 *
 * `call` is the name of the public function that this happens in; where that was
 * called is found out.
 */
COLD int task__misuse(const char *call, int status, const char *why);

/* The same of something that was opened there (NULL: it is not known where). */
COLD int task__misuse_of(const char *call, int status, const char *why,
                         const char *file, int line);

/* The same, as a tail call, of which compilers know that it is no success. */
static ALWAYS_INLINE int misuse(const char *call, int status, const char *why)
{
    int error = task__misuse(call, status, why);

    if (error >= 0)
        __builtin_unreachable();
    return error;
}

/* In the public function itself. */
#define MISUSE(status, why) misuse(__func__, status, why)

#define OUTSIDE_A_TASK "it was called outside a task"

#endif
