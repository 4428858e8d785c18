/*
 * What is told by the error hook, or to stderr.
 */
#ifndef TASK_SRC_REPORT_H
#define TASK_SRC_REPORT_H

#include "base.h"

#include <stdbool.h>
#include <task/debug.h>

struct loop;
struct sentence;
struct timed_step;

void task__report(struct loop *loop, struct loop_error *error);

/* The same about a task. */
void task__report_task(const struct task *task, enum loop_error_kind kind,
                       int status, const struct sentence *sentence);

/* The same about a descriptor. */
void task__report_fd(struct loop *loop, struct loop_error *error, int fd);

void task__report_print(const struct loop_error *error); /* the default hook */

/* The same, of which the message is copied, in the turn that follows; without
 * memory at once, and to stderr. */
void task__report_later(struct loop *loop, const struct loop_error *error,
                        int fd);

/* What has not been told is not. */
void task__reports_destroy(struct loop *loop);

void task__report_unread(struct task *task); /* if that is the case */
void task__report_dropped(struct task *task);
void task__report_handler(const struct task *task, int status);
void task__report_accept(struct loop *loop, int fd, int status);
void task__report_deadlock(struct loop *loop);

/* Say what a task did that cannot go on, and abort. */
void task__abort(const struct task *task, const char *what) NORETURN;

/* debug.c: what only debug mode reports. What was not closed is told of by
 * whoever finds it at the end of the loop: `what` is "a server", say. */
void task__report_slow(struct loop *loop, const struct timed_step *step);
void task__report_ignored(struct task *task);
void task__report_handle(struct task *task);
void task__report_held(struct task *task);
void task__report_leak(struct loop *loop, const char *what, const char *file,
                       int line);

bool task__debug_is_asked_for(void); /* in the environment */

/* misuse.c: the same; another thread has woken a task. */
void task__report_foreign_wake(struct loop *loop);

/* misuse_lost.c: the same; a number that a task (NULL: the loop), or a stream,
 * was in the midst of using was closed by somebody else. */
void task__report_lost(int fd, const struct task *task);
void task__report_lost_stream(struct loop *loop, int fd, const char *file,
                              int line);

#endif
