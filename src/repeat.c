/*
 * Queued, called, and freed.
 */
#include "repeat.h"

static void run(struct ready *ready)
{
    struct repeated_call *call =
        container_of(ready, struct repeated_call, ready);

    call->is_queued = false;
    call->loop->n_queued--;
    if (!call->fn) {
        task__repeat_release(call);
        return;
    }
    loop_calls(call->loop, (uintptr_t)call->fn);
    call->fn(call->arg);
}

void task__repeat_init(struct repeated_call *call, struct loop *loop,
                       loop_fn *fn, void *arg)
{
    *call = (struct repeated_call){
        .ready = {.run = run}, .fn = fn, .arg = arg, .loop = loop};
}

void task__repeat_queue(struct repeated_call *call)
{
    if (call->is_queued)
        return;
    call->is_queued = true;
    loop_queue(call->loop, &call->ready);
}

void task__repeat_release(struct repeated_call *call)
{
    call->fn = NULL;
    if (!call->is_queued)
        pool_put(&call->loop->record_pool, call);
}
