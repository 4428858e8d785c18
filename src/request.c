/*
 * Requests to end, by chains of tasks; and who waits for whom, by one, too.
 */
#include "request.h"

void task__chain_request(struct task_chain *requests, struct task *task)
{
    if (!task->done && task_chain_append(requests, task))
        task->cancelling++;
}

static void deliver(struct task *task, struct task_chain *requests)
{
    struct waiter *waiter = task->waiter;

    if (!waiter)
        task->undelivered += !task->hears;
    else if (waiter->kind->cancel)
        waiter->kind->cancel(waiter, requests);
    else
        waiter_refuse(waiter);
}

/* A task ends when it has heard of it, a future by being asked to: so futures
 * come last, as whoever awaits one hears of its own request by that. */
void task__chain_run(struct task_chain *requests)
{
    for (struct task *task = requests->first; task; task = task->next)
        if (!task->done && !task->future)
            deliver(task, requests);
    for (struct task *task = requests->first; task; task = task->next)
        if (!task->done && task->future)
            task->scheduler->ended(task, -ECANCELED);
    task_chain_clear(requests);
}

void task__waiter_take_requests(struct waiter *waiter)
{
    struct task_chain requests = {NULL, NULL};

    task_take_requests(waiter->task);
    waiter->kind->cancel(waiter, &requests);
    task__chain_run(&requests);
}

bool task__request(struct task *task)
{
    struct task_chain requests = {NULL, NULL};

    if (task->done)
        return false;
    task__chain_request(&requests, task);
    task__chain_run(&requests);
    return true;
}

static void look_at(struct task *task, void *chain)
{
    task_chain_append(chain, task);
}

/* Each that is needed is looked at once. */
bool task__needs_parked(struct task *task, const struct task *self)
{
    struct task_chain needed = {NULL, NULL};
    bool found = false;

    task_chain_append(&needed, task);
    for (struct task *at = task; at && !found; at = at->next) {
        const struct waiter *waiter = at->waiter;

        found = at == self;
        if (waiter && waiter->kind->needs_all)
            waiter->kind->each_awaited(waiter, look_at, &needed);
    }
    task_chain_clear(&needed);
    return found;
}
