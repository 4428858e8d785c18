/*
 * Who holds a loop: in a signal handler of the thread that runs it.
 */
#ifndef TASK_SRC_HOLDER_H
#define TASK_SRC_HOLDER_H

#include "base.h"

struct loop;
struct sentence;

/* Say whose step is under way, and where it is; `context` is the handler's
 * third argument. */
void task__holder_tell(const struct loop *loop, const void *context);

/* Only where. */
void task__holder_tell_frames(struct sentence *sentence, const void *context);

#endif
