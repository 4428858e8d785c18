/*
 * The watchdog of a loop: a thread that looks now and then whether the loop
 * gets on, and has the loop's thread say where it is when it does not.
 *
 * A timer signal could sample the loop's thread without another one; but it
 * would cut short each sleep and wait of a task's own that it meets, also where
 * nothing is wrong. This sends a signal only when a step has taken too long
 * already.
 */
#ifndef TASK_SRC_WATCHDOG_H
#define TASK_SRC_WATCHDOG_H

#include "base.h"

#include <stdbool.h>
#include <task/time.h>

struct loop;
struct watchdog;

/* -ENOMEM: there is no memory, thread or signal left for one. */
int task__watchdog_start(struct loop *loop);

/* This thread runs the loop from now on; or no more, and what was caught is
 * told. */
void task__watchdog_enter(struct watchdog *watchdog);
void task__watchdog_leave(struct watchdog *watchdog);

/* The loop goes on after a wait: see that the watchdog is awake. */
void task__watchdog_rouse(struct watchdog *watchdog);

/* Whether a step was caught that is over now, or is over and was not. */
bool task__watchdog_has_news(const struct watchdog *watchdog);

/* Report it through the error hook; a question without an answer is done
 * with. */
void task__watchdog_tell(struct watchdog *watchdog);

void task__watchdog_stop(struct loop *loop);

/* Around a fork; its child has no watchdogs. */
void task__watchdog_lock(void);
void task__watchdog_unlock(void);
void task__watchdog_note_fork(void);

#endif
