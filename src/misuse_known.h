/*
 * What a loop has been told of already: each misuse is told of once a place.
 */
#ifndef TASK_SRC_MISUSE_KNOWN_H
#define TASK_SRC_MISUSE_KNOWN_H

#include "base.h"

#include <stdbool.h>

struct loop;
struct misuses;

struct known_misuse {
    const char *why;
    uintptr_t key; /* of the place */
};

/* Whether it is the first time; without memory it always is. `misuses`: those
 * of the loop, or of other threads with it. */
bool task__misuse_note(struct loop *loop, struct misuses **misuses,
                       const struct known_misuse *new);

#endif
