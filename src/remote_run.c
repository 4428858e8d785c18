/*
 * Coroutines that other threads have run, and wait for.
 */
#include "cancelling.h"
#include "loop.h"
#include "loop_above.h"
#include "remote.h"
#include "spin.h"
#include "worker.h"

#include <errno.h>
#include <pthread.h>

/* One, on the stack of the thread that waits. */
struct remote_run {
    struct post post;
    task_fn *fn;
    void *arg;
    task_time called_at; /* on the monotonic clock */
    task_time timeout;

    /* The loop's. */
    struct list_node node;
    struct watcher end;
    struct timer timer;
    struct task *task;
    bool is_late; /* the time was up, and the task was asked to end */

    pthread_mutex_t mutex;
    pthread_cond_t ended;
    uintptr_t has_ended; /* 0 or 1; set atomically, under the mutex */
    int status;
};

/* How this thread's spins for answers went. */
static THREAD_LOCAL struct spin spin;

static void answer(struct remote_run *run, int status)
{
    pthread_mutex_lock(&run->mutex);
    run->status = status;
    __atomic_store_n(&run->has_ended, 1, __ATOMIC_RELAXED);
    pthread_cond_signal(&run->ended);
    pthread_mutex_unlock(&run->mutex);
}

static void end_run(struct watcher *watcher, struct task *task)
{
    struct remote_run *run = container_of(watcher, struct remote_run, end);
    bool has_timed_out = run->is_late && task->status == -ECANCELED;

    task->was_read = true;
    list_remove(&watcher->node);
    list_remove(&run->node);
    task__timer_cancel(task->scheduler->timers, &run->timer);
    answer(run, has_timed_out ? -ETIMEDOUT : task->status);
}

static void ask_to_end(struct timer *timer)
{
    struct remote_run *run = container_of(timer, struct remote_run, timer);

    run->is_late = true;
    task__request(run->task);
}

/* Time that went by before the loop looked counts, unless it stands still. */
static task_time deadline_of(const struct remote_run *run,
                             const struct loop *loop)
{
    if (run->timeout == TASK_FOREVER || loop->clock.is_virtual)
        return scheduler_deadline(&loop->scheduler, run->timeout);
    return clock_after(run->called_at, run->timeout);
}

static void receive_run(struct post *post)
{
    struct remote_run *run = container_of(post, struct remote_run, post);
    struct loop *loop = loop_current();
    task_time deadline = deadline_of(run, loop);

    run->task = task__create(loop, run->fn, run->arg);
    if (!run->task) {
        answer(run, -ENOMEM);
        return;
    }
    run->end.ended = end_run;
    run->end.waiter = NULL;
    run->timer.fire = ask_to_end;
    list_append(&run->task->watchers, &run->end.node);
    list_append(&loop->remote_runs, &run->node);
    task_detach(run->task);
    if (deadline <= task__clock_now(&loop->clock))
        ask_to_end(&run->timer);
    else if (deadline != TASK_FOREVER)
        task__timer_arm(&loop->timers, &run->timer, deadline);
}

void task__remotes_refuse(struct loop *loop)
{
    struct list_node *node;

    while ((node = list_pop(&loop->remote_runs))) {
        struct remote_run *run = container_of(node, struct remote_run, node);

        list_remove(&run->end.node);
        task__timer_cancel(&loop->timers, &run->timer);
        answer(run, -ESHUTDOWN);
    }
}

/* Returns how long that took. */
static task_time sleep_until_answered(struct remote_run *run)
{
    task_time began = task__clock_monotonic();

    pthread_mutex_lock(&run->mutex);
    while (!run->has_ended)
        pthread_cond_wait(&run->ended, &run->mutex);
    pthread_mutex_unlock(&run->mutex);
    return task__clock_monotonic() - began;
}

/* Under the mutex whoever answers has let go of the run. */
static void wait_for_answer(struct remote_run *run)
{
    task__worker_pause();
    if (task__spin_while(&spin, &run->has_ended, 0))
        sleep_until_answered(run);
    else
        task__spin_note_sleep(&spin, sleep_until_answered(run));
    task__worker_resume();
}

/* What is posted is on this stack: so nothing may end the thread until it is
 * answered. */
static NEVER_INLINE int run_there(struct loop_remote *remote, task_fn *fn,
                                  void *arg, task_time timeout)
{
    struct remote_run run = {
        .post.run = receive_run,
        .fn = fn,
        .arg = arg,
        .called_at = task__clock_monotonic(),
        .timeout = timeout,
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .ended = PTHREAD_COND_INITIALIZER,
        .status = -ESHUTDOWN,
    };
    struct cancelling former = cancelling_stop();

    if (task__inbox_post(remote->inbox, &run.post))
        wait_for_answer(&run);
    cancelling_restore(former);
    pthread_cond_destroy(&run.ended);
    pthread_mutex_destroy(&run.mutex);
    return run.status;
}

int loop_remote_run(struct loop_remote *remote, task_fn *fn, void *arg,
                    task_time timeout)
{
    int error = task__remote_refusal(remote);

    if (error)
        return error;
    if (!fn)
        return MISUSE(-EINVAL, "the function is NULL");
    if (inbox_is_of_thread(remote->inbox, task__scheduler_thread))
        return MISUSE(-EDEADLK, "it is the loop's own thread");
    return run_there(remote, fn, arg, timeout);
}
