/*
 * Tasks that yield, or run at once; steps that are watched.
 */
#include "scheduler.h"

#include "switch.h"

#include <string.h>
#include <task/scope.h>

THREAD_LOCAL struct scheduler *task__scheduler_current;
THREAD_LOCAL uintptr_t task__scheduler_thread;

void task__scheduler_init(struct scheduler *scheduler, struct clock *clock,
                          struct timers *timers, uint64_t seed)
{
    memset(scheduler, 0, sizeof *scheduler);
    scheduler->ready.end = &scheduler->ready.first;
    scheduler->clock = clock;
    scheduler->timers = timers;
    scheduler->random = seed;
}

/*
 * To read the ticks takes as long as two switches. So when the last few turns
 * were that short, those of the next few steps are taken on trust: should one
 * of them be long, the others come before it is noticed, and no more.
 *
 * When the last look was may come out too late, as it is told from the time. So
 * where it seems to be still to come, there is another one first.
 */
enum { STEPS_ON_TRUST = 8, SHORT_TURNS = 64 };

/* Of so many that run in a turn the first have left the cache when it ends.
 * (Turns that do not ask for patience add up: they are short.) */
enum { CROWD = 2000 };

NEVER_INLINE bool task__scheduler_is_patient(struct scheduler *scheduler)
{
    uint64_t now = clock_ticks();
    uint64_t since = now - scheduler->counted_at;

    scheduler->counted_at = now;
    scheduler->is_crowded = scheduler->switches - scheduler->counted > CROWD;
    scheduler->counted = scheduler->switches;
    if (since < scheduler->patience / SHORT_TURNS)
        scheduler->trusted = scheduler->switches + STEPS_ON_TRUST;
    return now - scheduler->looked_at < scheduler->patience;
}

NEVER_INLINE struct scheduler *task__scheduler_current_anew(void)
{
    __asm__ volatile("");
    return scheduler_current();
}

void task__forget_deliveries(struct task *task)
{
    enum { HALF = 1 << (DELIVERIES_BITS - 1) };
    struct task_scope *scope = task->scope;

    task->deliveries = HALF;
    for (; scope; scope = scope->outer) {
        scope->deliveries -= HALF;
        scope->before -= HALF;
    }
}

static ALWAYS_INLINE void append_self(struct scheduler *scheduler,
                                      struct task *self)
{
    ready_append(&scheduler->ready, &self->ready);
    if (HAS_TRAILS && unlikely(scheduler->is_crowded))
        trail_add(&scheduler->trail, scheduler->ready.first, self);
}

void task__step_aside(struct task *self)
{
    struct scheduler *scheduler = scheduler_current();

    PROBE1(task_yields, self);
    append_self(scheduler, self);
    leave_task(scheduler, self);
}

/*
 * The end of a yield, called last, so that its caller's frame is gone, and what
 * that has called (to give a new task its stack) was not deeper than this. It
 * keeps nothing: of a function that yields right away all that is on the stack
 * meanwhile is in one line of the cache. The scheduler is asked for anew, as
 * this thread's variable is in the cache after the switch, while the task's
 * context may not be.
 */
static NEVER_INLINE int yield_to(struct context *from, struct context *to)
{
    struct scheduler *scheduler;
    struct task *self;

    context_switch(from, to);
    scheduler = scheduler_current_anew();
    self = scheduler->current;
    restore_errno(scheduler, &self->context);
    return task_check_requests(self);
}

/* If the next one is no task that has begun: apart, so that task__yield calls
 * nothing before its end, and need not save registers. */
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
    struct task *next_task;

    PROBE1(task_yields, self);
    append_self(scheduler, self);
    save_errno(scheduler, &self->context);
    if (unlikely(!next || !ready_is_task(next) || is_new(task_of(next))))
        return yield_otherwise(scheduler, self);
    next_task = take_first_task(scheduler);
    trail_follow(next_task);
    return yield_to(&self->context, &next_task->context);
}

static void run_ready(struct scheduler *scheduler)
{
    struct ready *ready = scheduler->batch;

    batch_pop(scheduler);
    ready->run(ready);
}

/* What stands before the rest of a batch so that a task comes home. While it
 * does not, it runs nothing. */
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
    if (ready_is_task(ready)) {
        ready->next = &home;
        leave(scheduler, &scheduler->home);
        scheduler->batch = home.next;
    } else {
        run_ready(scheduler);
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
    bool is_task = ready_is_task(ready);

    if (ready->run == stop_here) {
        run_ready(scheduler);
        return;
    }
    scheduler->step_begins(scheduler, &step, ready);
    if (scheduler_current() == scheduler)
        run_in_step(scheduler, ready);
    if (scheduler_current() != scheduler)
        return;
    scheduler->step_ends(scheduler, &step);
    /* As the task would have done. */
    if (is_task && !scheduler->batch && may_go_on(scheduler))
        begin_batch(scheduler);
}

/*
 * Nothing returns between a switch home and the next one away: processors
 * predict returns by the calls before, which would then be those of the task.
 * So neither its returns nor ours are mispredicted, which took a third of a
 * traced step.
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
    scheduler->stop =
        (struct ready){.next = scheduler->batch, .run = stop_here};
    scheduler->batch = &scheduler->stop;
}

/* Steps may be watched since: whoever was to go on before home is reached does
 * so. */
static void come_home(struct scheduler *scheduler, struct ready *home)
{
    while (scheduler->batch == &scheduler->stop) {
        scheduler->stop.run = NULL;
        scheduler->batch = scheduler->stop.next;
        if (scheduler->batch != home)
            leave(scheduler, &scheduler->home);
    }
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
    if (!self) {
        come_home(scheduler, &home);
        scheduler->batch = home.next;
    }
    scheduler->ahead = ahead;
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
    if (scheduler_current() == scheduler)
        run_first(scheduler, self, task);
    if (scheduler_current() == scheduler)
        scheduler->step_ends(scheduler, &step);
}
