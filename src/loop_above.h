/*
 * What a loop and its tasks call in modules above them, which have a part in how
 * these begin and end. It is all that goes that way.
 */
#ifndef TASK_SRC_LOOP_ABOVE_H
#define TASK_SRC_LOOP_ABOVE_H

#include "loop.h"

/* A task ends, or goes on after all. */

/* lock.c: it leaves its locks to the next. */
void task__locks_abandon(struct task *task);

/* scope.c: a request to it was taken back. */
void task__scopes_forget(const struct task *task);

/* scope.c: it is dropped in the midst of its scopes. */
void task__scopes_abandon(struct task *task);

/* A run begins and ends. */

/* signals_interrupt.c: the first SIGINT cancels this main, from now on; and
 * what the run returns. */
void task__interrupt_begin(struct loop *loop, struct task *task);
int task__interrupt_end(struct loop *loop, struct task *task, int status);

/* signals_wait.c: this thread goes on with the loop, and another one ran it
 * before: what tasks wait for is unblocked here too. */
void task__signals_move(struct loop *loop);

/* In a turn. */

/* remote.c: calls have come. */
void task__remote_receive(struct inbox_row *row);

/* A loop is freed: from now on nobody may come. */

/* server.c: stop listening. */
void task__servers_stop(struct loop *loop);

/* What could end has ended. */

/* worker.c: take back the jobs that no thread has begun, since nobody waits for
 * them any more. worker_threads.c: wait for the others, and be done with the
 * pool. */
void task__workers_withdraw(struct loop *loop);
void task__workers_finish(struct loop *loop);

/* remote_run.c: those that wait for a task of a loop that is no more. */
void task__remotes_refuse(struct loop *loop);

/* Its tasks will not run again. */

/* stream_close.c: what they were at in streams is over. */
void task__streams_abandon(struct loop *loop);

/* server.c, process.c, stream_close.c: the user is told of what they have left,
 * and may free some of it. */
void task__servers_tell(struct loop *loop);
void task__processes_tell(struct loop *loop);
void task__streams_tell(struct loop *loop);

/* They are gone, and the user is told of nothing any more: close and free what
 * they have left. */

/* stream_close.c */
void task__streams_destroy(struct loop *loop);

/* resolve.c: what came of look-ups whose tasks were dropped. */
void task__lookups_destroy(struct loop *loop);

/* fd_close.c: numbers that stayed open for jobs of tasks that were dropped. */
void task__fds_destroy(struct loop *loop);

/* server.c, signals.c, process.c */
void task__servers_destroy(struct loop *loop);
void task__signals_destroy(struct loop *loop);
void task__processes_destroy(struct loop *loop);

/* In a forked child: process.c: leave the parent's alone. */
void task__processes_abandon(struct loop *loop);

#endif
