/*
 * Waiting for one task: await, await_for, shield, cancel_await.
 */
#include "loop.h"
#include "needs.h"
#include "switch.h"

#include <errno.h>

struct awaiting {
    struct waiter waiter;
    struct watcher watcher;
    struct task *target;
    bool is_asked; /* a request was passed on */
    bool is_late;  /* the time was up, and the target was asked to end */
};

static struct awaiting *awaiting_of(const struct waiter *waiter)
{
    return container_of(waiter, struct awaiting, waiter);
}

static void pass_on(struct waiter *waiter, struct task_chain *requests)
{
    awaiting_of(waiter)->is_asked |= task__waiter_pass_on(waiter, requests);
}

static void name_target(const struct waiter *waiter, visit_fn *visit, void *arg)
{
    visit(awaiting_of(waiter)->target, arg);
}

static size_t one(const struct waiter *waiter)
{
    (void)waiter;
    return 1;
}

static const struct wait_kind AWAITING = {
    .verb = "awaiting",
    .cancel = pass_on,
    .each_awaited = name_target,
    .n_needed = one,
};

static const struct wait_kind SHIELDING = {
    .verb = "awaiting (shielded)",
    .each_awaited = name_target,
    .n_needed = one,
};

static void wake_awaiter(struct watcher *watcher, struct task *task)
{
    struct awaiting *awaiting = container_of(watcher, struct awaiting, watcher);

    list_remove(&watcher->node);
    if (!waiter_is_parked(&awaiting->waiter))
        return;
    if (unlikely(task->status == -ECANCELED) && awaiting->is_asked)
        waiter_hears(&awaiting->waiter);
    waiter_wake(&awaiting->waiter, task->status);
}

static const struct waiter *waiter_of_awaiter(const struct watcher *watcher)
{
    return &container_of(watcher, struct awaiting, watcher)->waiter;
}

/* Why the caller cannot wait for the task; 0 and the caller: it can. */
static ALWAYS_INLINE int check_await_in(struct task *task, struct task **self,
                                        const char *call)
{
    *self = scheduler_self();
    if (unlikely(!*self))
        return misplaced(task ? loop_of_task(task) : NULL, call);
    if (unlikely(!task))
        return -ENOMEM;
    if (unlikely(task->scheduler != (*self)->scheduler))
        return misuse(call, -EINVAL, "the task is another loop's");
    if (unlikely(!task->done && task_needs(task, *self)))
        return misuse(call, -EDEADLK,
                      "the task is the caller, or waits for it");
    return 0;
}

#define check_await(task, self) check_await_in(task, self, __func__)

/* Watch a task that is not done. */
static ALWAYS_INLINE void begin(struct awaiting *awaiting, struct task *self,
                                struct task *target,
                                const struct wait_kind *kind)
{
    waiter_init(&awaiting->waiter, self, kind);
    awaiting->watcher.ended = wake_awaiter;
    awaiting->watcher.waiter = waiter_of_awaiter;
    awaiting->target = target;
    awaiting->is_asked = false;
    awaiting->is_late = false;
    list_append(&target->watchers, &awaiting->watcher.node);
}

static ALWAYS_INLINE void begin_awaiting(struct awaiting *awaiting,
                                         struct task *self, struct task *target)
{
    begin(awaiting, self, target, &AWAITING);
    if (unlikely(self->undelivered))
        task__waiter_take_requests(&awaiting->waiter);
}

/* The handle of a task that is waited for is a pin: nobody can end it twice. */
static ALWAYS_INLINE void take_handle(struct task *task)
{
    task->references +=
        task_has_handle(task) ? TASK_PIN - TASK_HANDLE : TASK_PIN;
}

/* Read the status of a task that is done, and end the handle taken. */
static ALWAYS_INLINE int end_handle(struct task *task)
{
    int status = task->status;

    task->was_read = true;
    task__unpin(task);
    return status;
}

int task_await(struct task *task)
{
    struct awaiting awaiting;
    struct task *self;
    int error = check_await(task, &self);

    if (unlikely(error))
        return error;
    take_handle(task);
    if (!task->done) {
        begin_awaiting(&awaiting, self, task);
        if (likely(!task->done))
            waiter_park(&awaiting.waiter);
    }
    return end_handle(task);
}

int task_cancel_await(struct task *task)
{
    struct task *self;
    int error = check_await(task, &self);

    if (error)
        return error;
    task__request(task);
    return task_await(task);
}

/* The time is up. That does not wake the task: the end of the other will. */
static void end_late(struct awaiting *awaiting)
{
    awaiting->is_late = true;
    task__request(awaiting->target);
}

static void time_out(struct timer *timer)
{
    struct waiter *waiter = waiter_of(timer);

    waiter->timer = NULL;
    end_late(awaiting_of(waiter));
}

/* Wait for the end of the target, which is asked to end after the time-out. */
static void wait_for_end(struct awaiting *awaiting, task_time timeout)
{
    const struct scheduler *scheduler = awaiting->waiter.task->scheduler;

    if (timeout <= 0)
        end_late(awaiting);
    else
        waiter_arm(&awaiting->waiter, scheduler_deadline(scheduler, timeout),
                   time_out);
    if (!awaiting->target->done)
        task__park(&awaiting->waiter);
}

int task_await_for(struct task *task, task_time timeout)
{
    struct awaiting awaiting = {.is_late = false};
    struct task *self;
    int error = check_await(task, &self);
    int status;

    if (error)
        return error;
    take_handle(task);
    if (!task->done) {
        begin_awaiting(&awaiting, self, task);
        if (!task->done)
            wait_for_end(&awaiting, timeout);
    }
    status = end_handle(task);
    return status == -ECANCELED && awaiting.is_late && !awaiting.is_asked
               ? -ETIMEDOUT
               : status;
}

int task_shield(struct task *task)
{
    struct awaiting awaiting;
    struct task *self;
    int error = scheduler_self() ? task_enter(&self) : 0;
    int status;

    if (!error)
        error = check_await(task, &self);
    if (error)
        return error;
    if (task->done) {
        task->was_read = true;
        return task->status;
    }
    task->references += TASK_PIN;
    begin(&awaiting, self, task, &SHIELDING);
    status = task__park(&awaiting.waiter);
    list_remove(&awaiting.watcher.node);
    if (task->done)
        task->was_read |= status == task->status;
    task__unpin(task);
    return status;
}
