/*
 * Coroutines and the tasks that they run, batches, requests to end.
 */
#include "scheduler.h"

#include "switch.h"

#include <string.h>

THREAD_LOCAL struct scheduler *task__scheduler_current;
THREAD_LOCAL uintptr_t task__scheduler_thread;

/* Above the frames of a coroutine: what Valgrind knows its stack by. */
enum { ABOVE_FRAMES = CACHE_LINE };

static inline unsigned *stack_id_of(const struct stack *stack)
{
    return (unsigned *)(void *)(stack->top - ABOVE_FRAMES);
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

COLD struct ready *task__scheduler_shuffle(struct scheduler *scheduler,
                                           struct ready *first)
{
    size_t n = 0;

    for (struct ready *ready = first; ready; ready = ready->next)
        n++;
    return n ? shuffle(scheduler, &first, n) : NULL;
}

/*
 * To read the ticks takes as long as two switches. So when the last few turns
 * were that short, those of the next few steps are taken on trust: should one of
 * them be long, the others come before it is noticed, and no more.
 */
enum { STEPS_ON_TRUST = 8, SHORT_TURNS = 64 };

NEVER_INLINE bool task__scheduler_is_patient(struct scheduler *scheduler)
{
    uint64_t now = clock_ticks();
    uint64_t since = now - scheduler->counted_at;

    scheduler->counted_at = now;
    if (since < scheduler->patience / SHORT_TURNS)
        scheduler->trusted = scheduler->switches + STEPS_ON_TRUST;
    return (int64_t)(now - scheduler->looked_at) < (int64_t)scheduler->patience;
}

static void run_tasks(void *arg);

/* Begin a coroutine on a stack that has none: what runs one task after the other
 * there, and waits for the next while the stack is free and warm. */
static COLD void begin_coroutine(struct stack *stack)
{
    char *low = task__stack_low(stack);
    size_t size = (size_t)(stack->top - low) - ABOVE_FRAMES;

    *stack_id_of(stack) =
        task__context_begin(&stack->context, low, size, run_tasks, NULL);
}

/* Many stacks are not in the cache: of one, the line of the task's first frames, below
 * the coroutine's, is sent for while some others begin. */
static ALWAYS_INLINE void prefetch_stack(const struct stacks *stacks)
{
    const struct stack *stack = stacks_ahead(stacks, TASKS_AHEAD);

    if (stack)
        __builtin_prefetch((char *)stack->context.sp - 1, 1);
}

struct context *task__scheduler_start(struct task *task)
{
    struct stacks *stacks = task->stacks;
    struct stack *stack = stacks_take(stacks);

    if (unlikely(context_is_new(&stack->context)))
        begin_coroutine(stack);
    task->stack = stack;
    context_mark_begun(&task->context);
    if (unlikely(stacks_are_many(stacks)))
        prefetch_stack(stacks);
    return &stack->context;
}

void task__step_aside(struct task *self)
{
    struct scheduler *scheduler = scheduler_current();

    PROBE1(task_yields, self);
    ready_append(&scheduler->ready, &self->ready);
    leave_task(scheduler, self);
}

/*
 * A loop may go on in another thread, whose current scheduler is elsewhere. An x86-64
 * asks its thread each time; others, and sanitizers, need an address, which a compiler
 * may keep.
 */
#if defined(__x86_64__) && !HAVE_ASAN && !HAVE_TSAN
#define scheduler_current_anew() scheduler_current()
#else
static NEVER_INLINE struct scheduler *scheduler_current_anew(void)
{
    __asm__ volatile("");
    return scheduler_current();
}
#endif

/*
 * The end of a yield. Its frame is as small as can be: of a function that yields right
 * away, all that is kept meanwhile is in one line of the cache. Hence what is called
 * before (to give a new task its stack) is not called from that frame, and nothing is
 * kept in it: who comes back asks its thread. That is also sooner there than what comes
 * by the context, if many tasks are not in the cache.
 */
static NEVER_INLINE int yield_to(struct context *from, struct context *to)
{
    struct scheduler *scheduler;
    struct task *self;

    context_switch(from, to);
    scheduler = scheduler_current_anew();
    self = scheduler->current;
    restore_errno(scheduler, &self->context);
    if (likely(!self->undelivered))
        return 0;
    task_take_requests(self);
    return -ECANCELED;
}

/* If the next one is no task that has begun. */
static NEVER_INLINE int yield_otherwise(struct scheduler *scheduler,
                                        struct task *self)
{
    return yield_to(&self->context,
                    context_of(scheduler, choose_next(scheduler)));
}

int task__yield(struct task *self)
{
    struct scheduler *scheduler = scheduler_current();
    struct ready *next = scheduler->batch;

    PROBE1(task_yields, self);
    ready_append(&scheduler->ready, &self->ready);
    save_errno(scheduler, &self->context);
    if (unlikely(!next || next->run || is_new(task_of(next))))
        return yield_otherwise(scheduler, self);
    return yield_to(&self->context, &run_first_task(scheduler)->context);
}

COLD void task__scheduler_clean_next(struct stacks *stacks)
{
    struct stack *stack = stacks_next(stacks);

    if (stack && !stack_is_cold(stack))
        task__stack_clean(stack, context_floor(&stack->context));
}

static COLD void end_coroutine(struct stack *stack)
{
    task__context_end(&stack->context, *stack_id_of(stack));
}

void task__scheduler_destroy_stacks(struct stacks *stacks)
{
    task__stacks_visit(stacks, end_coroutine);
    task__stacks_destroy(stacks);
}

void task__scheduler_cool_stacks(struct stacks *stacks)
{
    task__stacks_cool(stacks, end_coroutine);
}

static void give_back(struct scheduler *scheduler, struct stacks *stacks,
                      struct stack *stack)
{
    if (unlikely(stacks_give(stacks, stack, scheduler->time)))
        task__scheduler_cool_stacks(stacks);
}

/* To the next task: right here, if that one is new and has stacks of the same size. */
static ALWAYS_INLINE void go_on(struct scheduler *scheduler,
                                struct stack *stack)
{
    struct stacks *stacks = stack->slab->stacks;
    struct task *next = choose_next(scheduler);

    if (unlikely(stacks_are_many(stacks)))
        prefetch_rest(scheduler->batch);
    if (next && is_new(next) && next->stacks == stacks) {
        stacks_unreserve(stacks);
        next->stack = stack;
        context_mark_begun(&next->context);
    } else {
        give_back(scheduler, stacks, stack);
        context_switch(&stack->context, context_of(scheduler, next));
    }
}

/*
 * Every coroutine's body: run the task that is current, end it, and go on.
 *
 * Nothing is kept in its frame from one task to the next: that would be one more line
 * of the cache. And its frame ends where a line does, for the sake of what is aligned
 * in it, so that the task's frames are in no more lines than they need.
 *
 * A fork in the task leaves a child in which no loop is current. When it comes
 * back here it goes home, for good: there the inherited run ends.
 */
static void run_tasks(void *arg)
{
    _Alignas(CACHE_LINE) char aligned[CACHE_LINE];

    (void)arg;
    __asm__ volatile("" : : "r"(aligned));
    for (;;) {
        struct scheduler *scheduler = scheduler_current_anew();
        struct task *task = scheduler->current;
        struct stack *stack = task->stack;

        *scheduler->errno_location = 0;
        context_reset_modes(&task->context, &scheduler->home);

        int status = task->fn(task->arg);

        if (likely(scheduler_current_anew() == scheduler))
            scheduler->ended(task, status); /* which calls the user, too */
        if (likely(scheduler_current_anew() == scheduler))
            go_on(scheduler, stack);
        else
            context_switch(&stack->context, &scheduler->home);
    }
}

static void run_ready(struct scheduler *scheduler)
{
    struct ready *ready = scheduler->batch;

    batch_pop(scheduler);
    ready->run(ready);
}

/* What stands before the rest of a batch so that a task comes home. While it does
 * not, it runs nothing. */
static void stop_here(struct ready *ready)
{
    ready->run = NULL;
}

bool task__scheduler_has_batch(const struct scheduler *scheduler)
{
    const struct ready *ready = scheduler->batch;

    while (ready && ready->run == stop_here)
        ready = ready->next;
    return ready;
}

static ALWAYS_INLINE void run_in_step(struct scheduler *scheduler,
                                      struct ready *ready)
{
    struct ready home = {.next = ready->next, .run = stop_here};

    scheduler->is_stepping = true;
    if (ready->run) {
        run_ready(scheduler);
    } else {
        ready->next = &home;
        leave(scheduler, &scheduler->home);
        scheduler->batch = home.next;
    }
    scheduler->is_stepping = false;
}

/*
 * Steps are watched by having each come home, where the next one is begun: so
 * the switch knows nothing of it, and costs what it does.
 */
static ALWAYS_INLINE void run_step(struct scheduler *scheduler,
                                   struct ready *ready)
{
    struct timed_step step;
    bool is_task = !ready->run;

    if (ready->run == stop_here) {
        run_ready(scheduler);
        return;
    }
    scheduler->step_begins(scheduler, &step, ready);
    run_in_step(scheduler, ready);
    if (scheduler_current() != scheduler)
        return;
    scheduler->step_ends(scheduler, &step);
    /* As the task would have done. */
    if (is_task && !scheduler->batch && may_go_on(scheduler))
        begin_batch(scheduler);
}

/*
 * Nothing returns between a switch home and the next one away: processors predict
 * returns by the calls before, which would then be those of the task. So neither
 * its returns nor ours are mispredicted, which took a third of a traced step.
 */
static NEVER_INLINE void run_steps(struct scheduler *scheduler)
{
    while (scheduler->batch && scheduler->watches &&
           scheduler_current() == scheduler)
        run_step(scheduler, scheduler->batch);
}

void task__scheduler_run_other(struct scheduler *scheduler)
{
    if (unlikely(scheduler->watches))
        run_steps(scheduler);
    else
        run_ready(scheduler);
}

void task__scheduler_watch(struct scheduler *scheduler, bool watches)
{
    scheduler->watches = watches;
    if (!watches || !scheduler->current || scheduler->is_stepping ||
        scheduler->stop.run)
        return;
    scheduler->stop = (struct ready){scheduler->batch, stop_here};
    scheduler->batch = &scheduler->stop;
}

/* Run the task before the rest of the batch; then `self`, or the caller at
 * home, goes on. */
static void run_first(struct scheduler *scheduler, struct task *self,
                      struct task *task)
{
    struct ready home = {.run = stop_here};
    struct ready *then = self ? &self->ready : &home;
    struct ready *ahead = scheduler->ahead;

    then->next = scheduler->batch;
    task->ready.next = then;
    scheduler->batch = &task->ready;
    scheduler->ahead = NULL; /* as none of the rest runs meanwhile */
    leave(scheduler, self ? &self->context : &scheduler->home);
    scheduler->ahead = ahead;
    if (self)
        return;
    if (scheduler->batch == &scheduler->stop)
        scheduler->stop.run = NULL;
    scheduler->batch = home.next;
}

void task__scheduler_run_now(struct scheduler *scheduler, struct task *task)
{
    struct task *self = scheduler->current;
    struct timed_step step;

    if (likely(!scheduler->watches)) {
        run_first(scheduler, self, task);
        return;
    }
    scheduler->step_begins(scheduler, &step, &task->ready);
    run_first(scheduler, self, task);
    if (scheduler_current() == scheduler)
        scheduler->step_ends(scheduler, &step);
}

int task__park(struct waiter *waiter)
{
    return waiter_park(waiter);
}

static void time_out(struct timer *timer)
{
    waiter_wake(waiter_of(timer), -ETIMEDOUT);
}

int task__park_until(struct waiter *waiter, task_time when)
{
    waiter_arm(waiter, when, time_out);
    return waiter_park(waiter);
}

void task__wake(struct waiter *waiter, int result)
{
    waiter_wake_any(waiter, result);
}

void task__chain_request(struct task_chain *requests, struct task *task)
{
    if (!task->done && task_chain_append(requests, task))
        task->cancelling++;
}

/*
 * A future ends by being asked to; a task when it has heard of it.
 */
static void deliver(struct task *task, struct task_chain *requests)
{
    struct waiter *waiter = task->waiter;

    if (task->future)
        task->scheduler->ended(task, -ECANCELED);
    else if (!waiter)
        task->undelivered += !task->refused;
    else if (waiter->kind->cancel)
        waiter->kind->cancel(waiter, requests);
    else
        waiter_refuse(waiter);
}

void task__chain_run(struct task_chain *requests)
{
    for (struct task *task = requests->first; task; task = task->next)
        if (!task->done)
            deliver(task, requests);
    while (task_chain_pop(requests))
        continue;
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
    while (task_chain_pop(&needed))
        continue;
    return found;
}
