/*
 * The jobs of tasks: begun, waited for, taken back.
 */
#include "worker.h"

#include "loop_above.h"
#include "worker_pool.h"

static void count_job(struct loop *loop, int by)
{
    loop->n_jobs += (size_t)by;
    loop->n_sources += (size_t)by;
}

/* Take it back, so that nothing is waited for any more; false: it is at
 * work. */
static bool withdraw_job(struct waiter *waiter)
{
    struct job *job = container_of(waiter, struct job, waiter);

    if (!task__pool_take_back(job))
        return false;
    count_job(loop_of_task(waiter->task), -1);
    task__inbox_release(job->inbox);
    return true;
}

void task__workers_withdraw(struct loop *loop)
{
    size_t n = loop->n_jobs ? task__pool_take_back_all(loop->shares) : 0;

    for (size_t i = 0; i < n; i++) {
        count_job(loop, -1);
        task__inbox_release(loop->inbox);
    }
}

static void withdraw(struct waiter *waiter, struct task_chain *requests)
{
    if (withdraw_job(waiter))
        waiter_refuse(waiter);
    else
        waiter_defer(waiter, requests);
}

bool task__worker_revoke(struct task *task, int status)
{
    struct waiter *waiter = task->waiter;

    if (!waiter) /* it was woken */
        return true;
    if (!withdraw_job(waiter))
        return false;
    task__wake(waiter, status);
    return true;
}

static const struct wait_kind KINDS[N_LANES] = {
    [LANE_NAMES] = {.verb = "looking up a name", .cancel = withdraw},
    [LANE_FILES] = {.verb = "waiting for a file", .cancel = withdraw},
    [LANE_USERS] = {.verb = "running in a thread", .cancel = withdraw},
};

static void finish(struct post *post)
{
    struct job *job = container_of(post, struct job, post);

    count_job(loop_of_task(job->waiter.task), -1);
    task__wake(&job->waiter, job->status);
}

static int join_pool(struct loop *loop)
{
    int error = task__loop_open_inbox(loop);

    if (error || loop->has_workers)
        return error;
    task__pool_join();
    loop->has_workers = true;
    return 0;
}

int task__worker_run(enum lane lane, task_fn *fn, void *arg)
{
    struct job job = {.lane = lane, .fn = fn, .arg = arg};
    struct task *self;
    struct loop *loop;
    int error = task_enter_in(&self, "task_to_thread");

    if (error)
        return error;
    loop = loop_of_task(self);
    error = join_pool(loop);
    if (error)
        return error;
    waiter_init(&job.waiter, self, &KINDS[lane]);
    job.post.run = finish;
    job.inbox = loop->inbox;
    job.share = &loop->shares[lane];
    task__inbox_retain(job.inbox);
    error = task__pool_submit(&job);
    if (error) {
        task__inbox_release(job.inbox);
        return error;
    }
    count_job(loop, 1);
    return task__park(&job.waiter);
}
