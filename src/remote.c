/*
 * Calls into a loop from other threads.
 */
#include "loop.h"
#include "remote_record.h"
#include "worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct loop_remote {
    struct inbox *inbox;
    unsigned forks;      /* of this process, when it was opened */
    struct post closing; /* of it, on its way to the loop */
};

/* A coroutine that another thread waits for, on that one's stack. */
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
    bool has_ended;
    int status;
};

struct loop_remote *loop_remote_open(void)
{
    struct loop *loop = loop_current();
    struct loop_remote *remote;

    if (!loop || task__loop_open_inbox(loop))
        return NULL;
    remote = calloc(1, sizeof *remote);
    if (!remote || !task__remote_records_open()) {
        free(remote);
        return NULL;
    }
    remote->inbox = loop->inbox;
    remote->forks = task__loop_forks;
    task__inbox_retain(remote->inbox);
    loop->n_sources++;
    loop->n_remotes++;
    return remote;
}

/* Why the loop cannot be called; async-signal-safe. */
static int refusal(const struct loop_remote *remote)
{
    if (unlikely(!remote))
        return -EINVAL;
    if (unlikely(inbox_is_closed(remote->inbox)))
        return -ESHUTDOWN;
    return unlikely(remote->forks != task__loop_forks) ? -EPERM : 0;
}

static bool is_of_current(const struct loop_remote *remote)
{
    struct scheduler *scheduler = scheduler_current();

    return scheduler && loop_of(scheduler)->inbox == remote->inbox;
}

static struct remote_record *record_of(struct post *post)
{
    return container_of(post, struct remote_record, at.post);
}

static void run_own(struct ready *ready)
{
    struct remote_record *record =
        container_of(ready, struct remote_record, at.ready);
    loop_fn *fn = record->fn;
    void *arg = record->arg;

    loop_current()->n_calls--;
    task__remote_records_put(record, 1);
    loop_calls(loop_current(), (uintptr_t)fn);
    fn(arg);
}

static size_t row_length(const struct remote_record *first,
                         const struct remote_record *last)
{
    return (size_t)(last - first) + 1;
}

/* It is not in the child of a fork in a call. */
static bool is_current(const struct loop *loop)
{
    return scheduler_current() == &loop->scheduler;
}

static void run_row(struct loop *loop, struct remote_record *first,
                    struct remote_record *last)
{
    struct remote_record *record = first;

    do {
        loop->n_calls--;
        loop_calls(loop, (uintptr_t)record->fn);
        record->fn(record->arg);
    } while (record++ != last && is_current(loop));
    task__remote_records_put(last, row_length(first, last));
}

static void run_received(struct ready *ready)
{
    struct loop *loop = loop_current();
    struct post *last = loop->calls.first;
    size_t n = loop->calls.n_rows;

    (void)ready;
    loop->calls.n_rows = 0;
    while (n-- && is_current(loop)) {
        struct post *first = post_first(last);
        struct post *next = first->next;

        run_row(loop, record_of(first), record_of(last));
        last = next;
    }
}

static void receive(struct post *last)
{
    struct loop *loop = loop_current();
    struct remote_calls *calls = &loop->calls;
    struct post *first = post_first(last);

    if (!calls->n_rows++) {
        calls->end = &calls->first;
        calls->ready.run = run_received;
        ready_push(&loop->scheduler, &calls->ready);
    }
    __atomic_store_n(calls->end, last, __ATOMIC_RELAXED); /* as in the inbox */
    calls->end = &first->next;
    loop->n_calls += row_length(record_of(first), record_of(last));
}

/* In the loop's own thread: after what came before, which has nothing to do with
 * the task that is current. */
static void call_own(struct loop *loop, struct remote_record *record)
{
    if (inbox_is_stirred(loop->inbox)) {
        struct aside before = aside_begin(loop);

        task__inbox_run(loop->inbox);
        aside_end(loop, before);
    }
    record->at.ready.run = run_own;
    ready_push(&loop->scheduler, &record->at.ready);
    loop->n_calls++;
}

int loop_remote_call(struct loop_remote *remote, loop_fn *fn, void *arg)
{
    struct remote_record *record;
    const struct post *before;
    int error = refusal(remote);

    if (error)
        return error;
    if (!fn)
        return MISUSE(-EINVAL, "the function is NULL");
    record = task__remote_record_get(&before);
    if (!record)
        return -ENOMEM;
    record->fn = fn;
    record->arg = arg;
    record->at.post.run = receive;
    if (is_of_current(remote)) {
        call_own(loop_current(), record);
    } else if (!task__inbox_post_row(remote->inbox, &record->at.post, before)) {
        task__remote_records_put(record, 1);
        return -ESHUTDOWN;
    }
    return 0;
}

int loop_remote_wake(struct loop_remote *remote)
{
    int error = refusal(remote);

    if (error)
        return error;
    return task__inbox_wake(remote->inbox) ? 0 : -ESHUTDOWN;
}

static void free_remote(struct loop_remote *remote)
{
    task__inbox_release(remote->inbox);
    free(remote);
    task__remote_records_close();
}

static void receive_closing(struct post *post)
{
    loop_current()->n_sources--;
    loop_current()->n_remotes--;
    free_remote(container_of(post, struct loop_remote, closing));
}

/* The loop may be done with the remote before this has woken it. */
void loop_remote_close(struct loop_remote *remote)
{
    struct inbox *inbox;

    if (!remote)
        return;
    inbox = remote->inbox;
    task__inbox_retain(inbox);
    remote->closing.run = receive_closing;
    if (refusal(remote) || !task__inbox_post(inbox, &remote->closing))
        free_remote(remote);
    task__inbox_release(inbox);
}

static void answer(struct remote_run *run, int status)
{
    pthread_mutex_lock(&run->mutex);
    run->status = status;
    run->has_ended = true;
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

/* What waits is on this stack: so nothing may end the thread meanwhile. */
static void wait_for_answer(struct remote_run *run)
{
    int former;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &former);
    task__worker_pause();
    pthread_mutex_lock(&run->mutex);
    while (!run->has_ended)
        pthread_cond_wait(&run->ended, &run->mutex);
    pthread_mutex_unlock(&run->mutex);
    task__worker_resume();
    pthread_setcancelstate(former, NULL);
}

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
    };

    if (!task__inbox_post(remote->inbox, &run.post))
        return -ESHUTDOWN;
    wait_for_answer(&run);
    pthread_cond_destroy(&run.ended);
    pthread_mutex_destroy(&run.mutex);
    return run.status;
}

int loop_remote_run(struct loop_remote *remote, task_fn *fn, void *arg,
                    task_time timeout)
{
    int error = refusal(remote);

    if (error)
        return error;
    if (!fn)
        return MISUSE(-EINVAL, "the function is NULL");
    if (inbox_is_of_thread(remote->inbox, task__scheduler_thread))
        return MISUSE(-EDEADLK, "it is the loop's own thread");
    return run_there(remote, fn, arg, timeout);
}
