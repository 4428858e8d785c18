/*
 * Calls into a loop from other threads.
 */
#include "loop.h"
#include "remote_slots.h"
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

    if (!loop) {
        MISUSE(-EPERM, "no loop runs in this thread");
        return NULL;
    }
    if (loop->takes_no_calls || task__loop_open_inbox(loop))
        return NULL;
    remote = aligned_alloc(_Alignof(struct loop_remote), sizeof *remote);
    if (!remote || !task__remote_slots_open()) {
        free(remote);
        return NULL;
    }
    *remote = (struct loop_remote){loop->inbox, .forks = task__loop_forks};
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

/* A call in the loop's own thread, which waits in the ready queue. */
struct own_call {
    struct ready ready;
    struct inbox_call call;
};

static_assert(sizeof(struct own_call) <= 2 * sizeof(union inbox_slot),
              "it lies in two slots");

static void run_call(struct loop *loop, const struct inbox_call *call)
{
    loop->n_calls--;
    loop_calls(loop, (uintptr_t)call->fn);
    call->fn(call->arg);
}

static void run_own(struct ready *ready)
{
    struct inbox_call call = container_of(ready, struct own_call, ready)->call;

    task__remote_slots_put(ready, 2);
    run_call(loop_current(), &call);
}

/* It is not in the child of a fork in a call. */
static bool is_current(const struct loop *loop)
{
    return scheduler_current() == &loop->scheduler;
}

static void run_row(struct loop *loop, struct inbox_row *row)
{
    const union inbox_slot *head = container_of(row, union inbox_slot, row);

    for (size_t i = 1; i <= row->n && is_current(loop); i++)
        run_call(loop, &head[i].call);
    task__remote_slots_put(row, row->n + 1);
}

static void run_received(struct ready *ready)
{
    struct loop *loop = loop_current();
    struct inbox_row *row = loop->calls.first;
    size_t n = loop->calls.n_rows;

    (void)ready;
    loop->calls.n_rows = 0;
    while (n-- && is_current(loop)) {
        struct inbox_row *next = (struct inbox_row *)row->next;

        run_row(loop, row);
        row = next;
    }
}

void task__remote_receive(struct inbox_row *row)
{
    struct loop *loop = loop_current();
    struct remote_calls *calls = &loop->calls;

    if (calls->n_rows++)
        calls->last->next = (uintptr_t)row;
    else {
        calls->first = row;
        calls->ready.run = run_received;
        ready_push(&loop->scheduler, &calls->ready);
    }
    calls->last = row;
    loop->n_calls += row->n;
}

/* What other threads did before comes first, and has nothing to do with the
 * task that is current. */
static void catch_up(struct loop *loop)
{
    struct aside before = aside_begin(loop);

    task__inbox_run(loop->inbox);
    aside_end(loop, before);
}

static int call_own(struct loop *loop, loop_fn *fn, void *arg)
{
    struct own_call *own;

    if (loop->inbox->closed)
        return -ESHUTDOWN;
    if (inbox_is_stirred(loop->inbox))
        catch_up(loop);
    own = (void *)remote_slots_get();
    if (!own)
        return -ENOMEM;
    own->ready.run = run_own;
    own->call = (struct inbox_call){fn, arg};
    ready_push(&loop->scheduler, &own->ready);
    loop->n_calls++;
    remote_slots_cut(2);
    return 0;
}

static int call_there(struct inbox *inbox, loop_fn *fn, void *arg)
{
    union inbox_slot *slots = remote_slots_get();
    size_t n;

    if (!slots)
        return -ENOMEM;
    n = task__inbox_call(inbox, slots, fn, arg);
    remote_slots_cut(n);
    return n ? 0 : -ESHUTDOWN;
}

static COLD int refuse_call(const struct loop_remote *remote,
                            struct call_site site)
{
    int error = remote ? refusal(remote) : 0;

    return error
               ? error
               : misuse_at(site, -EINVAL, "the remote or the function is NULL");
}

/* Whether the loop is gone the inbox tells when it is called: to look at it
 * before costs as much as the call. */
int loop_remote_call(struct loop_remote *remote, loop_fn *fn, void *arg)
{
    if (unlikely(!remote || remote->forks != task__loop_forks || !fn))
        return refuse_call(remote, site_here(__func__));
    return is_of_current(remote) ? call_own(loop_current(), fn, arg)
                                 : call_there(remote->inbox, fn, arg);
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
    task__remote_slots_close();
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
