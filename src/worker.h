/*
 * Worker threads: what would block the loop runs there, while the loop goes on.
 *
 * There is one pool in the process, for all loops. It has lanes, each with
 * threads of its own, so that none waits for what another is stuck in: a
 * hundred look-ups of names do not delay the reading of a file. Threads start
 * when there is work for them, block signals, and end when there was none for a
 * while, or when the last loop is freed that has had a job.
 *
 * In each lane up to loop_options.worker_threads jobs of one loop are at work
 * at once, in the order in which they came; the others wait.
 */
#ifndef TASK_SRC_WORKER_H
#define TASK_SRC_WORKER_H

#include "loop.h"

/* The jobs of one loop that are at work in one lane, unless options tell. */
enum { WORKERS_DEFAULT = 32 };

/*
 * Run a function in a worker thread: the body of a suspending call, which does
 * task_enter() first of all.
 *
 * A cancel takes a job back that no worker has taken: -ECANCELED, and `fn` was
 * not called. One that runs is waited for, and the request comes next: so `fn`
 * may use what is on the caller's stack.
 *
 * Returns what `fn` returned; or -ECANCELED; -EPERM outside a task; -EAGAIN:
 * there is no thread in the lane, and none could be started; -ENOMEM, -EMFILE,
 * -ENFILE: no means to be woken by another thread. `fn` was called in none of
 * these cases.
 */
TASK_SUSPENDS int task__worker_run(enum lane lane, task_fn *fn, void *arg);

/* Take back the job of a task that is in task__worker_run(), which returns
 * `status`. True also when it is done already; false: a worker has taken it. */
bool task__worker_revoke(struct task *task, int status);

/*
 * Around a wait of a worker thread for a loop: as long, another may do the jobs
 * that this wait may be for. Elsewhere they do nothing.
 */
void task__worker_pause(void);
void task__worker_resume(void);

/* For tests: how many threads there are; how long one waits for a job. */
size_t task__worker_threads(enum lane lane);
extern task_time task__worker_idle_time;

#endif
