/*
 * The ready queue, and who is current.
 *
 * A batch is what stood in the ready queue when a turn began; what becomes
 * ready meanwhile belongs to the next one. A task that parks switches straight
 * to the next task of the batch. It goes through the loop's own context when a
 * callback is next, or when the batch is over and the loop wants to look at
 * descriptors and timers.
 *
 * Knows no queues, locks or descriptors, and no loop.
 */
#ifndef TASK_SRC_SCHEDULER_H
#define TASK_SRC_SCHEDULER_H

#include "clock.h"
#include "misuse.h"
#include "probes.h"
#include "scheduler_task.h"
#include "scheduler_trail.h"

/* What a coroutine between two tasks needs of its stack. */
enum { COROUTINE_KEPT = CONTEXT_ROOM + 1536 };

/*
 * A step, from a switch to the next, that is watched: in the frame of whoever
 * runs it. That of an eager task interrupts its creator's.
 */
struct timed_step {
    struct timed_step *outer;
    struct task *task;  /* pinned; NULL: a callback */
    uintptr_t function; /* that the callback calls; 0: not known */
    uint64_t number;    /* among those that hooks are told of; 0: it is not */
    bool is_timed;      /* what follows is kept */
    task_time resumed;  /* when it went on the last time */
    task_time resumed_cpu;
    task_time time; /* how long it has run until then */
    task_time cpu;
};

struct ready_queue {
    struct ready *first;
    struct ready **end; /* where the next one goes */
};

/* How far the ready queue was looked at: see ready_since(). */
struct ready_mark {
    struct ready **end;
    uint64_t turn;
};

struct scheduler {
    struct task *current;     /* NULL: the loop itself or a callback runs */
    struct ready *batch;      /* what is left of this turn's batch */
    struct ready *ahead;      /* of that, what is prefetched next, or NULL */
    struct ready_queue ready; /* what belongs to the next one */
    int *errno_location;      /* of the thread that runs the loop */
    struct context home;      /* the loop's own context, while a task runs */

    /* Turns may follow each other without a look at the clock and descriptors
     * until `patience` ticks have gone by since `looked_at`. */
    uint64_t looked_at;
    uint64_t patience;
    uint64_t counted_at; /* when that was last found out */
    uint64_t counted;    /* ... and how many switches there had been */
    uint64_t trusted;    /* not again until there were so many */

    /* Many tasks have run between the last two counts: so few of those that run
     * in a turn are in the cache, and those that yield leave a trail. */
    bool is_crowded;
    struct trail trail;

    struct timers *timers;
    struct clock *clock;
    size_t n_parked;
    task_time time; /* what the clock said when it was looked at last */
    uint64_t turns;
    uint64_t scope_asks; /* scope.c's: how many have asked their task to end */
    uint64_t switches;
    uint64_t random; /* the state of the shuffling; 0: first in, first out */
    void (*ended)(struct task *task, int status); /* a coroutine returned */
    void (*stirred)(struct scheduler *scheduler); /* a wake from outside */

    bool watches;      /* each step is told of, when it begins and ends */
    bool is_stepping;  /* such a step is under way */
    struct ready stop; /* brings a task home, if none was watched so far; while
                          it is in the batch it has a function */
    void (*step_begins)(struct scheduler *scheduler, struct timed_step *step,
                        struct ready *ready);
    void (*step_ends)(struct scheduler *scheduler, struct timed_step *step);
};

/* The one that runs in this thread, or NULL. */
extern THREAD_LOCAL struct scheduler *task__scheduler_current;

/* What this thread is known by, among all that there have ever been; 0: it has
 * not run a loop. */
extern THREAD_LOCAL uintptr_t task__scheduler_thread;

void task__scheduler_init(struct scheduler *scheduler, struct clock *clock,
                          struct timers *timers, uint64_t seed);

/* Watch the steps after this one, or do so no more. */
void task__scheduler_watch(struct scheduler *scheduler, bool watches);

/* Whether there is anything left of the batch. */
bool task__scheduler_has_batch(const struct scheduler *scheduler);

/* Unmap stacks, with the coroutines that are on them; none may be running. */
void task__scheduler_destroy_stacks(struct stacks *stacks);

/* Too many are warm: some are emptied. */
void task__scheduler_cool_stacks(struct stacks *stacks);

/* Empty the stack that the next task of these will begin on, so that what it
 * uses can be told from what others did. */
void task__scheduler_clean_next(struct stacks *stacks);

/* No turn begins before the loop itself has had its say. */
static inline void scheduler_hurry(struct scheduler *scheduler)
{
    scheduler->patience = 0;
    scheduler->trusted = 0;
}

/*
 * Run a new task now, until it first suspends or ends; then the caller, a task
 * or a callback, goes on.
 */
void task__scheduler_run_now(struct scheduler *scheduler, struct task *task);

/*
 * Let the others run once. Whoever yields was granted nothing: a request that
 * comes meanwhile is taken: -ECANCELED.
 */
int task__yield(struct task *self);

/* The same for one that has something to tell first: a request comes next. */
void task__step_aside(struct task *self);

static ALWAYS_INLINE struct scheduler *scheduler_current(void)
{
    return task__scheduler_current;
}

/* The same after a switch: a loop may go on in another thread, whose current
 * scheduler is elsewhere. */
struct scheduler *task__scheduler_current_anew(void);
static ALWAYS_INLINE struct scheduler *scheduler_current_anew(void)
{
    return ASKS_ITS_THREAD ? scheduler_current()
                           : task__scheduler_current_anew();
}

/* The current task, or NULL. */
static ALWAYS_INLINE struct task *scheduler_self(void)
{
    struct scheduler *scheduler = scheduler_current();

    return scheduler ? scheduler->current : NULL;
}

static ALWAYS_INLINE void ready_append(struct ready_queue *queue,
                                       struct ready *ready)
{
    ready->next = NULL;
    *queue->end = ready;
    queue->end = &ready->next;
}

/* Make something ready; a wake from outside the run is told of. */
static ALWAYS_INLINE void ready_push(struct scheduler *scheduler,
                                     struct ready *ready)
{
    ready_append(&scheduler->ready, ready);
    if (unlikely(scheduler != scheduler_current()))
        scheduler->stirred(scheduler);
}

/* Deliver what is undelivered. */
static inline void task_take_requests(struct task *task)
{
    task->undelivered = 0;
    task_count_delivery(task);
}

/* Take a waiting request: -ECANCELED; 0: there is none. */
static ALWAYS_INLINE int task_check_requests(struct task *task)
{
    if (likely(!task->undelivered))
        return 0;
    task_take_requests(task);
    return -ECANCELED;
}

/*
 * What every suspending call does first: take a waiting request.
 *
 * Returns 0 and the current task; -ECANCELED; or -EPERM outside a task.
 */
#define task_enter(self) task_enter_in(self, __func__)

static ALWAYS_INLINE int task_enter_at(struct task **self,
                                       struct call_site site)
{
    struct task *task = scheduler_self();

    *self = task;
    if (unlikely(!task))
        return misuse_at(site, -EPERM, OUTSIDE_A_TASK);
    return task_check_requests(task);
}

/* In a function that is always inline in the public one, which is `call`. */
static ALWAYS_INLINE int task_enter_in(struct task **self, const char *call)
{
    return task_enter_at(self, site_here(call));
}

#endif
