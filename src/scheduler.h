/*
 * struct task, the ready queue, who is current: park and wake.
 *
 * A task is
 *
 *     running   current; on no list
 *     ready     in the ready queue, once
 *     parked    `waiter` is set: that waiter is on at most one queue of what
 *               it waits for, and has at most one timer
 *     done      on no list; its stack has been given back
 *
 * and all are in the loop's pool.
 *
 * A batch is what stood in the ready queue when a turn began; what becomes
 * ready meanwhile belongs to the next one. A task that parks switches straight
 * to the next task of the batch. It goes through the loop's own context when a
 * callback is next, or when the batch is over and the loop wants to look at
 * descriptors and timers.
 *
 * Everything that blocks is made of this: a struct waiter on the stack of the
 * task, put on the list of what it waits for; then park. Whoever has something
 * for it calls wake, which takes the waiter off its list and moves the task to
 * the ready queue, and never switches. What cancels acts only on what is still
 * parked: so whatever was granted is delivered.
 *
 * Knows no queues, locks or descriptors, and no loop.
 */
#ifndef TASK_SRC_SCHEDULER_H
#define TASK_SRC_SCHEDULER_H

#include "clock.h"
#include "context.h"
#include "list.h"
#include "misuse.h"
#include "probes.h"
#include "stack.h"
#include "timer.h"

#include <errno.h>
#include <task/core.h>

/* What stands in the ready queue: a task, or something to be run by the loop. */
struct ready {
    struct ready *next;
    void (*run)(struct ready *ready); /* NULL: a task */
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

/*
 * A task, or a future, which nobody runs and which is completed from outside.
 *
 * Requests are counted twice: `cancelling` until somebody takes them back,
 * `undelivered` until the task has heard of them. What is undelivered is
 * delivered as one.
 */
struct task {
    /* What a switch touches. */
    struct ready ready;
    struct context context; /* marked new until it starts */
    struct waiter *waiter;  /* NULL: not parked */
    union {
        uint32_t flags;
        struct {
            bool refused : 1; /* a request woke it, and it has not run since */
            bool done : 1;
            bool future : 1;
            bool was_read : 1; /* somebody has seen the status */
            bool daemon : 1;
            bool ending : 1;          /* asked to end since its loop does */
            bool chained : 1;         /* in a chain of tasks */
            bool owns : 1;            /* it has had a scope or a local */
            bool is_awaited : 1;      /* of tree.c: somebody waits for it ... */
            bool is_shared : 1;       /* ... and somebody else */
            bool is_shown : 1;        /* likewise: there is a line about it */
            uint32_t deliveries : 21; /* of requests, so far */
        };
    };
    union {
        unsigned undelivered; /* requests, while not done */
        int status;           /* when done */
    };

    struct scheduler *scheduler;
    union {
        struct stacks *stacks; /* while new: where its stack will come from */
        struct stack *stack;   /* then, until done */
    };
    task_fn *fn;
    void *arg;
    uint64_t references;  /* handles of the user's, and pins of ours: it runs,
                           * or is looked at */
    struct list watchers; /* whoever wants to know of its end, in order */
    struct task_lock *locks; /* that it holds, the last taken first */

    /* What hardly anybody looks at. */
    struct task_scope *scope; /* the innermost open one */
    struct local_value *locals;
    uint64_t id;
    char *name;       /* NULL: made when asked for */
    const char *file; /* where it was created; NULL: not known */
    union {
        unsigned place; /* for the debugger: the line, in 24 bits */
        struct {
            unsigned line : 24;
            unsigned parks : 8; /* in debug mode: since one was delivered */
        };
    };
    unsigned cancelling;
    struct task *next; /* in a chain */
};

/* Both kinds of reference in one number. */
#define TASK_HANDLE UINT64_C(1)
#define TASK_PIN (UINT64_C(1) << 32)

static inline bool task_has_handle(const struct task *task)
{
    return (uint32_t)task->references;
}

/* Tasks in a row, each at most once, and in one chain at a time. */
struct task_chain {
    struct task *first;
    struct task **end;
};

/* What *failed* means: cancelled is not. */
static inline bool is_failure(int status)
{
    return status < 0 && status != -ECANCELED;
}

typedef void visit_fn(struct task *task, void *arg);

struct text;
struct debugger_number;

/*
 * A way of waiting: one constant for each call that parks.
 */
struct wait_kind {
    const char *verb; /* "sleeping", "awaiting" */

    /* Add to a text what it waits for: `event 0x55d0`. NULL: the tasks whose
     * end it waits for; or, if there can be none, time alone. */
    void (*describe)(const struct waiter *waiter, struct text *text);

    /*
     * What a request does to a task that is parked in this way. NULL: it is
     * delivered by waking the task with -ECANCELED. Else this may pass it on,
     * by task__chain_request, to those that the task waits for; keep it for the
     * next suspending call, by waiter_defer; or deliver it, by waiter_refuse.
     */
    void (*cancel)(struct waiter *waiter, struct task_chain *requests);

    /* Visit every task whose end, or doing, it waits for; NULL: none. */
    void (*each_awaited)(const struct waiter *waiter, visit_fn *visit,
                         void *arg);
    bool needs_all; /* it goes on only when all of these have ended */

    /* The task has several waiters, of which this is chosen, or the one that it
     * is parked with (also when the task is dropped): take all off their lists,
     * and return the latter. */
    struct waiter *(*choose)(struct waiter *waiter);

    /* What a debugger needs to describe it; the last is nameless. NULL: it needs
     * nothing besides what it knows of all. */
    const struct debugger_number *numbers;
};

/* What is said of its node and its timer is so while a task is parked with it. */
struct waiter {
    const struct wait_kind *kind;
    struct task *task;     /* who is parked here */
    struct list_node node; /* in the queue of what it waits for, or in none */
    struct timer *timer;   /* NULL: no deadline, or it has come */
    task_time since;       /* the last look at the clock before it parked */
    int result;            /* what it was woken with */
};

/* The one timer that a task has for its waits: beside its stack. On it, each of a
 * crowd's would be in a page of its own. */
struct wait_timer {
    struct timer timer;
    struct task *task;
};

_Static_assert(sizeof(struct wait_timer) <= STACK_BESIDE, "it fits");

/* Whose timer has fired. */
static inline struct task *sleeper_of(struct timer *timer)
{
    return container_of(timer, struct wait_timer, timer)->task;
}

/* With which that is parked. */
static inline struct waiter *waiter_of(struct timer *timer)
{
    return sleeper_of(timer)->waiter;
}

/* Something that is told when a task has ended; on the task's `watchers`. */
struct watcher {
    struct list_node node;
    void (*ended)(struct watcher *watcher, struct task *task);
};

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
    uint64_t trusted;    /* not again until there were so many switches */

    struct timers *timers;
    struct clock *clock;
    size_t n_parked;
    task_time time; /* what the clock said when it was looked at last */
    uint64_t turns;
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

/* The same after a switch: a loop may go on in another thread, whose current scheduler
 * is elsewhere. */
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
    task->deliveries++;
}

/*
 * What every suspending call does first: take a waiting request.
 *
 * Returns 0 and the current task; -ECANCELED; or -EPERM outside a task.
 */
#define task_enter(self) task_enter_in(self, __func__)

/* In a function that is not public itself: `call` is the public one. */
static ALWAYS_INLINE int task_enter_in(struct task **self, const char *call)
{
    struct task *task = scheduler_self();

    *self = task;
    if (unlikely(!task))
        return misuse(call, -EPERM, OUTSIDE_A_TASK);
    if (unlikely(task->undelivered)) {
        task_take_requests(task);
        return -ECANCELED;
    }
    return 0;
}

/* Prepare a waiter; then put `node` where it belongs, and park. */
static inline void waiter_init(struct waiter *waiter, struct task *self,
                               const struct wait_kind *kind)
{
    waiter->kind = kind;
    waiter->task = self;
    waiter->node.list = NULL;
    waiter->timer = NULL;
}

/* When a time-out that begins now is over. */
static inline task_time scheduler_deadline(const struct scheduler *scheduler,
                                           task_time timeout)
{
    return timeout == TASK_FOREVER
               ? TASK_FOREVER
               : clock_after(task__clock_now(scheduler->clock), timeout);
}

/* Have a function called then, unless it is TASK_FOREVER, or the task was woken
 * before: park with this waiter next. */
static inline void waiter_arm(struct waiter *waiter, task_time when,
                              void (*fire)(struct timer *timer))
{
    struct task *task = waiter->task;
    struct wait_timer *timer;

    if (when == TASK_FOREVER)
        return;
    assert(!waiter->timer && !task->waiter);
    timer = stack_beside(task->stack);
    timer_init(&timer->timer, fire);
    timer->task = task;
    waiter->timer = &timer->timer;
    task__timer_arm(task->scheduler->timers, &timer->timer, when);
}

/* Suspend until woken; what it was woken with. */
int task__park(struct waiter *waiter);

/* The same, and wake with -ETIMEDOUT then, unless it is TASK_FOREVER. */
int task__park_until(struct waiter *waiter, task_time when);

/* Whether the task still waits in this way: it was neither woken nor refused. */
static inline bool waiter_is_parked(const struct waiter *waiter)
{
    return waiter->task->waiter == waiter;
}

/* Make a parked task ready; its park returns `result`. The waiter may be one of
 * several of its task's. */
void task__wake(struct waiter *waiter, int result);

/* A task is parked no more, and ready. The result, which is the waiter's already, is
 * for the probe. */
static ALWAYS_INLINE void task_unpark(struct scheduler *scheduler,
                                      struct task *task, int result)
{
    (void)result;
    PROBE2(task_woken, task, result);
    task->waiter = NULL;
    scheduler->n_parked--;
    ready_push(scheduler, &task->ready);
}

/* The same for the one that the task is parked with. */
static ALWAYS_INLINE void waiter_wake(struct waiter *waiter, int result)
{
    struct task *task = waiter->task;
    struct scheduler *scheduler = task->scheduler;

    assert(task->waiter == waiter);
    waiter->result = result;
    list_remove(&waiter->node);
    if (unlikely(waiter->timer)) {
        task__timer_cancel(scheduler->timers, waiter->timer);
        waiter->timer = NULL;
    }
    task_unpark(scheduler, task, result);
}

/* task__wake, inline. */
static ALWAYS_INLINE void waiter_wake_any(struct waiter *waiter, int result)
{
    if (unlikely(waiter->task->waiter != waiter))
        waiter = waiter->kind->choose(waiter);
    waiter_wake(waiter, result);
}

/* Wake the first waiter of a queue, if there is one. */
static inline bool wake_first(struct list *queue, int result)
{
    if (list_empty(queue))
        return false;
    task__wake(container_of(queue->first, struct waiter, node), result);
    return true;
}

/*
 * Requests to end go from task to task, since each that is asked may pass it on:
 * a chain of those that are asked, and no recursion. Each stays in it until all
 * have been asked: so a request comes to each once, by whatever ways, and goes
 * round no cycle.
 */

/* Put a task at the end of a chain. False: it is in one. */
static inline bool task_chain_append(struct task_chain *chain,
                                     struct task *task)
{
    if (task->chained)
        return false;
    task->chained = true;
    task->next = NULL;
    *(chain->first ? chain->end : &chain->first) = task;
    chain->end = &task->next;
    return true;
}

/* The first task, in no chain now, or NULL. */
static inline struct task *task_chain_pop(struct task_chain *chain)
{
    struct task *task = chain->first;

    if (task) {
        chain->first = task->next;
        task->chained = false;
    }
    return task;
}

/* Have one more asked; nothing happens if it is done, or in the chain. */
void task__chain_request(struct task_chain *requests, struct task *task);

/* Ask all in a chain, and whoever they pass the request on to. */
void task__chain_run(struct task_chain *requests);

/* Ask a task, and whoever it passes the request on to. False: it was done. */
bool task__request(struct task *task);

/* Deliver a request to a task that is parked. */
static inline void waiter_refuse(struct waiter *waiter)
{
    waiter->task->refused = true;
    waiter->task->deliveries++;
    task__wake(waiter, -ECANCELED);
}

/* Before a waiter parks: a request that was there already does what one does that
 * comes later. What is waited for may have come by that. */
void task__waiter_take_requests(struct waiter *waiter);

/* A request that was not, or cannot be, delivered now comes next. */
static inline void task_keep_request(struct task *task)
{
    task->undelivered++;
}

/* What a request does to a task whose wait nothing may end. */
static inline void waiter_defer(struct waiter *waiter,
                                struct task_chain *requests)
{
    (void)requests;
    task_keep_request(waiter->task);
}

bool task__needs_parked(struct task *task, const struct task *self);

/*
 * Whether the task cannot go on before `self` has ended, at some remove. If it
 * is not parked it can; and if nobody watches `self`, nobody needs it: so a row
 * of tasks is not walked again by each that is put before it.
 */
static ALWAYS_INLINE bool task_needs(struct task *task, const struct task *self)
{
    if (unlikely(task == self))
        return true;
    return task->waiter && !list_empty(&self->watchers) &&
           task__needs_parked(task, self);
}

#endif
