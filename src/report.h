/*
 * What is told by the error hook, or to stderr.
 */
#ifndef TASK_SRC_REPORT_H
#define TASK_SRC_REPORT_H

#include "base.h"

#include <stdbool.h>
#include <task/core.h>

struct loop;
struct loop_error;
struct sentence;
struct timed_step;

void task__report(struct loop *loop, struct loop_error *error);

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
void task__report_held(struct task *task); /* in debug mode */
void task__report_handler(const struct task *task, int status);
void task__report_accept(struct loop *loop, int fd, int status);
void task__report_deadlock(struct loop *loop);

/* Say what a task did that cannot go on, and abort. */
void task__abort(const struct task *task, const char *what) NORETURN;

/* task 7 "name", created at file.c:12, */
void task__say_place(struct sentence *sentence, const char *file, int line);
void task__say_name(struct sentence *sentence, const struct task *task);
void task__say_task(struct sentence *sentence, const struct task *task);

/* it was opened at file.c:12 */
void task__say_opened(struct sentence *sentence, const char *file, int line);

bool task__debug_is_asked_for(void); /* in the environment */

/* debug.c: what only debug mode reports. What was not closed is told of by
 * whoever finds it at the end of the loop: `what` is "a server", say. */
void task__report_slow(struct loop *loop, const struct timed_step *step);
void task__report_ignored(struct task *task);
void task__report_handle(struct task *task);
void task__report_leak(struct loop *loop, const char *what, const char *file,
                       int line);

/* misuse.c: the same; another thread has woken a task. */
void task__report_foreign_wake(struct loop *loop);

/* misuse_lost.c: the same; a number that a task (NULL: the loop), or a stream,
 * was in the midst of using was closed by somebody else. */
void task__report_lost(int fd, const struct task *task);
void task__report_lost_stream(struct loop *loop, int fd, const char *file,
                              int line);

#endif
