/*
 * Requests to end, by chains of tasks.
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

struct passing {
    struct task_chain *requests;
    bool has_any;
};

static void pass_to(struct task *task, void *arg)
{
    struct passing *passing = arg;

    passing->has_any |= !task->done;
    task__chain_request(passing->requests, task);
}

bool task__waiter_pass_on(struct waiter *waiter, struct task_chain *requests)
{
    struct passing passing = {.requests = requests};

    waiter->kind->each_awaited(waiter, pass_to, &passing);
    if (!passing.has_any)
        waiter_defer(waiter, requests);
    return passing.has_any;
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
