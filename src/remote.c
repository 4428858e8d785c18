/*
 * Calls into a loop from other threads.
 */
#include "remote.h"

#include "aside.h"
#include "loop.h"
#include "loop_above.h"
#include "remote_slots.h"

#include <errno.h>
#include <stdlib.h>

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

int task__remote_refusal(const struct loop_remote *remote)
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

_Static_assert(sizeof(struct own_call) <= 2 * sizeof(union inbox_slot),
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

/* Not any more in the child, where a call has forked. */
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
    struct remote_calls *calls =
        container_of(ready, struct remote_calls, ready);
    struct inbox_row *row = calls->first;
    size_t n = calls->n_rows;

    calls->n_rows = 0;
    while (n-- && is_current(loop)) {
        struct inbox_row *next = (struct inbox_row *)row->next;

        run_row(loop, row);
        row = next;
    }
}

void task__remote_receive(struct inbox_row *row)
{
    struct loop *loop = loop_current();
    struct remote_calls *calls = &loop->calls[loop->calls_joined];

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
    int error = remote ? task__remote_refusal(remote) : 0;

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
    int error = task__remote_refusal(remote);

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
    if (task__remote_refusal(remote) ||
        !task__inbox_post(inbox, &remote->closing))
        free_remote(remote);
    task__inbox_release(inbox);
}
