#include "scheduler.h"

#include <string.h>

/*
 * What stands at the top of a stack: the coroutine that runs one task after
 * the other there, and waits in `context` while the stack is free and warm.
 */
struct coroutine {
    struct context context;
    struct stack *stack;
    struct scheduler *scheduler;
    unsigned stack_id; /* Valgrind's */
};

enum { COROUTINE_ROOM = (sizeof(struct coroutine) + 63) / 64 * 64 };

THREAD_LOCAL struct scheduler *task__scheduler_current;

static ALWAYS_INLINE struct task *task_of(struct ready *ready)
{
    return container_of(ready, struct task, ready);
}

static inline struct coroutine *coroutine_of(const struct stack *stack)
{
    return (struct coroutine *)(void *)(task__stack_top(stack) -
                                        COROUTINE_ROOM);
}

void task__scheduler_init(struct scheduler *scheduler, struct clock *clock,
                          struct timers *timers, uint64_t seed)
{
    memset(scheduler, 0, sizeof *scheduler);
    scheduler->ready.end = &scheduler->ready.first;
    scheduler->clock = clock;
    scheduler->timers = timers;
    scheduler->random = seed;
}

/* xorshift64*: S. Vigna, "An experimental exploration of Marsaglia's xorshift
 * generators, scrambled" (2016). */
static uint64_t next_random(struct scheduler *scheduler)
{
    uint64_t x = scheduler->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    scheduler->random = x;
    return x * UINT64_C(2685821657736338717);
}

/* Merge two shuffled lists so that every order is equally likely. */
static struct ready *riffle(struct scheduler *scheduler, struct ready *a,
                            size_t n_a, struct ready *b, size_t n_b)
{
    struct ready *merged = NULL;
    struct ready **end = &merged;

    while (n_a && n_b) {
        bool from_a = next_random(scheduler) % (n_a + n_b) < n_a;
        struct ready **list = from_a ? &a : &b;

        *end = *list;
        end = &(*list)->next;
        *list = *end;
        *(from_a ? &n_a : &n_b) -= 1;
    }
    *end = n_a ? a : b;
    return merged;
}

/* Shuffle the first n of a list, which are cut off it. Depth: log2(n). */
static struct ready *shuffle(struct scheduler *scheduler, struct ready **list,
                             size_t n)
{
    struct ready *first = *list;

    if (n == 1) {
        *list = first->next;
        first->next = NULL;
        return first;
    }

    struct ready *a = shuffle(scheduler, list, n / 2);
    struct ready *b = shuffle(scheduler, list, n - n / 2);

    return riffle(scheduler, a, n / 2, b, n - n / 2);
}

static void begin_batch(struct scheduler *scheduler)
{
    struct ready_queue *ready = &scheduler->ready;

    scheduler->turns++;
    scheduler->batch = ready->first;
    if (unlikely(scheduler->random) && ready->n > 1)
        scheduler->batch = shuffle(scheduler, &ready->first, ready->n);
    ready->first = NULL;
    ready->end = &ready->first;
    ready->n = 0;
}

/* Whether the next turn may begin at once, without a look at the world. */
static ALWAYS_INLINE bool may_go_on(const struct scheduler *scheduler)
{
    return scheduler->ready.first &&
           clock_ticks() - scheduler->looked_at < scheduler->patience;
}

static void run_task(void *arg);

/* Give a new task its stack; returns where to switch to. */
static struct context *start(struct task *task)
{
    struct stack *stack = task__stacks_take(task->stacks);
    struct coroutine *coroutine = coroutine_of(stack);

    task->stack = stack;
    if (unlikely(!stack->warm)) {
        char *low = task__stack_low(stack);
        unsigned stack_id =
            task__context_begin(&coroutine->context, low,
                                (size_t)((char *)coroutine - low), run_task,
                                coroutine);

        coroutine->stack_id = stack_id;
    }
    coroutine->stack = stack;
    coroutine->scheduler = task->scheduler;
    return &coroutine->context;
}

/*
 * The next two of a batch are on their way into the cache while this one runs:
 * the second's struct, and the first's saved frame, which its struct tells.
 */
static ALWAYS_INLINE void prefetch(const struct ready *first)
{
#if !HAVE_ASAN
    if (likely(first)) {
        __builtin_prefetch(first->next, 1);
#if !defined(CONTEXT_IS_UCONTEXT)
        __builtin_prefetch(
            container_of(first, const struct task, ready)->context.sp, 1);
#endif
    }
#else
    (void)first;
#endif
}

/* Decide who is next, and make it current; returns where to switch to. */
static ALWAYS_INLINE struct context *next_context(struct scheduler *scheduler)
{
    if (unlikely(!scheduler->batch) && may_go_on(scheduler))
        begin_batch(scheduler);

    struct ready *next = scheduler->batch;

    if (unlikely(!next || next->run)) {
        scheduler->current = NULL;
        return &scheduler->home;
    }
    scheduler->batch = next->next;
    prefetch(next->next);

    struct task *task = task_of(next);

    scheduler->current = task;
    scheduler->switches++;
    return likely(task->stack) ? &task->context : start(task);
}

/* Leave by `from` for whoever is next; returns when `from` is resumed. */
static ALWAYS_INLINE void leave(struct scheduler *scheduler,
                                struct context *from)
{
    int saved_errno = *scheduler->errno_location;

    context_switch(from, next_context(scheduler));
    *scheduler->errno_location = saved_errno;
}

void task__scheduler_leave(struct scheduler *scheduler, struct task *self)
{
    leave(scheduler, &self->context);
}

static void give_back(struct stacks *stacks, struct stack *stack)
{
    struct stack *too_many = task__stacks_give(stacks, stack);

    if (unlikely(too_many)) {
        struct coroutine *coroutine = coroutine_of(too_many);

        task__context_end(&coroutine->context, coroutine->stack_id);
        task__stack_cool(stacks, too_many);
    }
}

/*
 * Every coroutine's body: run the task that is current, end it, and go to the
 * next; which goes on right here when it is new, since the stack given back
 * last is the first to be taken again.
 *
 * A fork in the task leaves a child in which no loop is current. When it comes
 * back here it goes home: there the inherited run ends.
 */
static void run_task(void *arg)
{
    struct coroutine *coroutine = arg;

    for (;;) {
        struct scheduler *scheduler = coroutine->scheduler;
        struct task *task = scheduler->current;
        struct stacks *stacks = task->stacks;

        *scheduler->errno_location = 0;
        context_reset_modes(&scheduler->home);

        int status = task->fn(task->arg);

        if (unlikely(scheduler_current() != scheduler)) {
            context_switch(&coroutine->context, &scheduler->home);
            continue;
        }
        task->stack = NULL;
        scheduler->ended(task, status);
        give_back(stacks, coroutine->stack);

        struct context *next = next_context(scheduler);

        if (next != &coroutine->context)
            context_switch(&coroutine->context, next);
    }
}

static void run_ready(struct scheduler *scheduler, struct ready *ready)
{
    scheduler->batch = ready->next;
    ready->run(ready);
}

void task__scheduler_run_batch(struct scheduler *scheduler)
{
    begin_batch(scheduler);
    while (scheduler->batch && scheduler_current() == scheduler) {
        if (scheduler->batch->run)
            run_ready(scheduler, scheduler->batch);
        else
            leave(scheduler, &scheduler->home);
    }
}

/* What stands before the rest of a batch so that a task comes home. */
static void stop_here(struct ready *ready)
{
    (void)ready;
}

void task__scheduler_run_now(struct scheduler *scheduler, struct task *task)
{
    struct task *self = scheduler->current;
    struct ready home = {.run = stop_here};
    struct ready *then = self ? &self->ready : &home;

    then->next = scheduler->batch;
    task->ready.next = then;
    scheduler->batch = &task->ready;
    leave(scheduler, self ? &self->context : &scheduler->home);
    if (!self)
        scheduler->batch = home.next;
}

int task__park(struct waiter *waiter)
{
    struct task *self = waiter->task;

    self->waiter = waiter;
    self->scheduler->n_parked++;
    task__scheduler_leave(self->scheduler, self);
    return waiter->result;
}

static void time_out(struct timer *timer)
{
    task__wake(container_of(timer, struct waiter, timer), -ETIMEDOUT);
}

int task__park_until(struct waiter *waiter, task_time when)
{
    if (when != TASK_FOREVER) {
        waiter->timer.fire = time_out;
        task__timer_arm(waiter->task->scheduler->timers, &waiter->timer, when);
    }
    return task__park(waiter);
}

void task__wake(struct waiter *waiter, int result)
{
    struct task *task = waiter->task;
    struct scheduler *scheduler = task->scheduler;

    assert(task->waiter == waiter);
    waiter->result = result;
    task->waiter = NULL;
    scheduler->n_parked--;
    list_remove(&waiter->node);
    task__timer_cancel(scheduler->timers, &waiter->timer);
    ready_push(scheduler, &task->ready);
}

void task__requests_add(struct requests *requests, struct task *task)
{
    task->cancelling++;
    if (task->done || task->in_requests)
        return;
    task->in_requests = true;
    task->next_request = NULL;
    *requests->end = task;
    requests->end = &task->next_request;
}

/* A future ends by being asked to; a task when it has heard of it. */
static void deliver(struct task *task, struct requests *requests)
{
    struct waiter *waiter = task->waiter;

    if (!task->stacks)
        task->scheduler->ended(task, -ECANCELED);
    else if (!waiter)
        task->requested = true;
    else if (waiter->kind->cancel)
        waiter->kind->cancel(waiter, requests);
    else
        waiter_refuse(waiter);
}

bool task__request(struct task *task)
{
    struct requests requests = {.end = &requests.first};

    if (task->done)
        return false;
    task__requests_add(&requests, task);
    while ((task = requests.first)) {
        requests.first = task->next_request;
        if (!requests.first)
            requests.end = &requests.first;
        task->in_requests = false;
        deliver(task, &requests);
    }
    return true;
}
