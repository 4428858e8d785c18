/*
 * A line about each task: in what, and for whom, it waits.
 */
#ifndef TASK_SRC_DUMP_H
#define TASK_SRC_DUMP_H

#include "base.h"

struct loop;
struct text;

/* Add a line for each task that is no daemon, or is awaited by one that
 * is none, as far as there is room. */
void task__dump_blocked(struct loop *loop, struct text *text);

/* The same of all, with more about them, to stderr. */
void task__dump_asked(struct loop *loop);

#endif
