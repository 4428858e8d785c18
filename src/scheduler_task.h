/*
 * struct task, and what it waits with.
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
 */
#ifndef TASK_SRC_SCHEDULER_TASK_H
#define TASK_SRC_SCHEDULER_TASK_H

#include "context.h"
#include "list.h"
#include "stack.h"
#include "timer.h"

#include <errno.h>
#include <task/core.h>

/* What stands in the ready queue: a task, or something to be run by the
 * loop. */
struct ready {
    struct ready *next;
    union {
        void (*run)(struct ready *ready); /* NULL: a task */
        struct {
            int32_t task;
            uint32_t frame; /* with the highest bit set */
        } behind;           /* of a task that was told: scheduler_trail.h */
        int64_t number;
    };
};

/* Where the code of programs is in the lower half of the addresses, a task is
 * known by a number that is not positive. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(__LP64__) &&          \
    (defined(__x86_64__) || defined(__aarch64__))
#define HAS_TRAILS 1
#else
#define HAS_TRAILS 0
#endif

static ALWAYS_INLINE bool ready_is_task(const struct ready *ready)
{
    return HAS_TRAILS ? ready->number <= 0 : !ready->run;
}

/* How many deliveries are counted before half of them are forgotten. */
enum { DELIVERIES_BITS = 20 };

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
            bool
                hears : 1; /* it was woken with a request, and has not run since */
            bool done : 1;
            bool future : 1;
            bool was_read : 1; /* somebody has seen the status */
            bool daemon : 1;
            bool ending : 1;     /* asked to end since its loop does */
            bool chained : 1;    /* in a chain of tasks */
            bool is_above : 1;   /* in one of needs.c: the upper one */
            bool owns : 1;       /* it has had a scope or a local */
            bool is_awaited : 1; /* of tree.c: somebody waits for it ... */
            bool is_shared : 1;  /* ... and somebody else */
            bool is_shown : 1;   /* likewise: there is a line about it */
            uint32_t deliveries : DELIVERIES_BITS; /* of requests, so far */
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

/* Whether it has not begun, and so has no stack. */
static ALWAYS_INLINE bool is_new(const struct task *task)
{
    return context_is_new(&task->context);
}

/* Both kinds of reference in one number. */
#define TASK_HANDLE UINT64_C(1)
#define TASK_PIN (UINT64_C(1) << 32)

/* How many deliveries there were before the last one. */
static inline uint32_t task_deliveries_before(const struct task *task)
{
    return (uint32_t)task->deliveries - 1;
}

/*
 * The count has run over: forget half of it, here and in the task's scopes.
 * These have room for more, so what was noted long ago is not met again; and
 * the last delivery may still be undone.
 */
void task__forget_deliveries(struct task *task);

/* They are the highest bits of the flags, as debugger.h has it: the carry tells
 * that they have run over. */
static inline void task_count_delivery(struct task *task)
{
    const uint32_t one = UINT32_C(1) << (32 - DELIVERIES_BITS);

    if (unlikely(__builtin_add_overflow(task->flags, one, &task->flags)))
        task__forget_deliveries(task);
}

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

    /* It goes on only when all of these have ended: how many there are. NULL:
     * it may go on before. */
    size_t (*n_needed)(const struct waiter *waiter);

    /* NULL: a task has nothing to leave but the list of its waiter. Else it has
     * several waiters, of which this is any, or is counted: leave all of that,
     * as it is woken by another than it is parked with, or dropped, and return
     * the one that it is parked with. */
    struct waiter *(*leave)(struct waiter *waiter);

    /* What a debugger needs to describe it; the last is nameless. NULL: it
     * needs nothing besides what it knows of all. */
    const struct debugger_number *numbers;
};

/* What is said of its node and its timer is so while a task is parked with
 * it. */
struct waiter {
    const struct wait_kind *kind;
    struct task *task;     /* who is parked here */
    struct list_node node; /* in the queue of what it waits for, or in none */
    struct timer *timer;   /* NULL: no deadline, or it has come */
    task_time since;       /* the last look at the clock before it parked */
    int result;            /* what it was woken with */
};

/* The one timer that a task has for its waits: beside its stack. On it, each of
 * a crowd's would be in a page of its own. */
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

    /* The waiter of whoever waits by it, parked or not. NULL, or returning
     * that: nobody does. */
    const struct waiter *(*waiter)(const struct watcher *watcher);
};

#endif
