/*
 * Waiting for the first of several things.
 *
 * The task parks with one waiter; each case has another, in the queue of what
 * it waits for, where it is served like any. Whoever wakes it chooses that
 * case: then the others are taken off their queues before anything else can
 * happen.
 */
#include "select_case.h"

#include "loop.h"
#include "text.h"

#include <errno.h>

enum { FEW = 8 };

struct selecting {
    struct waiter waiter;
    struct task_select_case *cases;
    struct choice *choices;
    size_t n;
    size_t fired; /* n: none yet */
    struct choice few[FEW];
};

static struct selecting *selecting_of(const struct waiter *waiter)
{
    return container_of(waiter, struct selecting, waiter);
}

/* Nobody serves it any more. */
static void leave_queues(struct selecting *selecting)
{
    for (size_t i = 0; i < selecting->n; i++)
        list_remove(&selecting->choices[i].waiter.waiter.node);
}

static void refuse(struct waiter *waiter, struct task_chain *requests)
{
    (void)requests;
    leave_queues(selecting_of(waiter));
    waiter_refuse(waiter);
}

static void time_out(struct timer *timer)
{
    struct waiter *waiter = waiter_of(timer);

    leave_queues(selecting_of(waiter));
    waiter_wake(waiter, -ETIMEDOUT);
}

static struct waiter *choose(struct waiter *waiter)
{
    struct choice *choice = container_of(waiter, struct choice, waiter.waiter);
    struct selecting *selecting = choice->selecting;

    selecting->fired = (size_t)(choice - selecting->choices);
    leave_queues(selecting);
    return &selecting->waiter;
}

static void name_tasks(const struct waiter *waiter, visit_fn *visit, void *arg)
{
    const struct selecting *selecting = selecting_of(waiter);

    for (size_t i = 0; i < selecting->n; i++)
        if (selecting->cases[i].kind == TASK_SELECT_KIND_TASK)
            visit(selecting->cases[i].task, arg);
}

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct selecting *selecting = selecting_of(waiter);

    for (size_t i = 0; i < selecting->n && i < FEW; i++) {
        const struct task_select_case *one = &selecting->cases[i];

        if (i)
            task__text_add(text, " or ");
        case_kind_of(one)->describe(one, text);
    }
    if (selecting->n > FEW)
        task__text_add(text, " or %zu more", selecting->n - FEW);
}

static struct waiter *leave(struct waiter *waiter)
{
    leave_queues(selecting_of(waiter));
    return waiter;
}

static const struct wait_kind SELECTING = {
    .verb = "selecting",
    .describe = describe,
    .cancel = refuse,
    .leave = leave,
    .each_awaited = name_tasks,
};

static const struct wait_kind CHOICE = {.verb = "selecting", .leave = choose};

void task__choice_wake(struct choice *choice)
{
    if (waiter_is_parked(&choice->selecting->waiter))
        task__wake(&choice->waiter.waiter, 0);
}

/* Why a case can be none; else NULL. */
static const char *check(const struct task *self,
                         const struct task_select_case *one)
{
    if (one->kind < TASK_SELECT_KIND_GET || one->kind > TASK_SELECT_KIND_FD)
        return "a case is of no kind";
    return case_kind_of(one)->refuse ? case_kind_of(one)->refuse(self, one)
                                     : NULL;
}

/* The index of the first that fires; -EAGAIN: none; or why one cannot. */
static int fire_first(const struct task *self, struct task_select_case cases[],
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int status = case_kind_of(&cases[i])->fire(self, &cases[i]);

        if (status == -EAGAIN)
            continue;
        if (status && status != -EPIPE)
            return status;
        cases[i].status = status;
        return (int)i;
    }
    return -EAGAIN;
}

/* In all queues; or in none, and why not. */
static int enter_queues(struct selecting *selecting, struct task *self)
{
    for (size_t i = 0; i < selecting->n; i++) {
        struct task_select_case *one = &selecting->cases[i];
        struct choice *choice = &selecting->choices[i];
        int error;

        waiter_init(&choice->waiter.waiter, self, &CHOICE);
        choice->selecting = selecting;
        error = case_kind_of(one)->enter(choice, self, one);
        if (error) {
            selecting->n = i;
            leave_queues(selecting);
            return error;
        }
    }
    return 0;
}

static void watch_no_more(struct selecting *selecting, struct loop *loop)
{
    for (size_t i = 0; i < selecting->n; i++) {
        struct task_select_case *one = &selecting->cases[i];

        if (case_kind_of(one)->leave)
            case_kind_of(one)->leave(&selecting->choices[i], loop, one);
    }
}

/* The index of the case that fired; -EAGAIN: it was in vain; or why none
 * did. */
static int park(struct selecting *selecting, struct task *self, task_time when)
{
    const struct choice *choice;
    struct task_select_case *fired;
    int result;

    waiter_init(&selecting->waiter, self, &SELECTING);
    result = enter_queues(selecting, self);
    if (!result) {
        waiter_arm(&selecting->waiter, when, time_out);
        result = task__park(&selecting->waiter);
    }
    watch_no_more(selecting, loop_of_task(self));
    if (selecting->fired >= selecting->n)
        return result;
    choice = &selecting->choices[selecting->fired];
    fired = &selecting->cases[selecting->fired];
    if (case_kind_of(fired)->conclude) {
        result = case_kind_of(fired)->conclude(choice, fired, result);
        if (result)
            return result;
    }
    fired->status = result;
    return (int)selecting->fired;
}

static int wait(struct task_select_case cases[], size_t n, struct task *self,
                task_time when)
{
    struct blocks *blocks = &loop_of_task(self)->blocks;
    struct selecting selecting;
    int result;

    selecting.cases = cases;
    selecting.choices = selecting.few;
    selecting.n = n;
    selecting.fired = n;
    if (n > FEW)
        selecting.choices =
            task__blocks_get(blocks, n, sizeof *selecting.choices);
    if (!selecting.choices)
        return -ENOMEM;
    result = park(&selecting, self, when);
    if (selecting.choices != selecting.few)
        task__blocks_free(blocks, selecting.choices);
    return result;
}

static int select_until(struct task_select_case cases[], size_t n,
                        struct task *self, task_time when)
{
    int result;

    do {
        result = fire_first(self, cases, n);
        if (result == -EAGAIN && task_check_requests(self))
            result = -ECANCELED;
        if (result == -EAGAIN)
            result = wait(cases, n, self, when);
    } while (result == -EAGAIN);
    return result;
}

int task_select(struct task_select_case cases[], size_t n, task_time timeout)
{
    const char *why = NULL;
    struct task *self;
    int result = task_enter(&self);
    int saved_errno;

    if (result)
        return result;
    if (!n)
        return MISUSE(-EINVAL, "there are no cases");
    for (size_t i = 0; i < n && !why; i++)
        why = check(self, &cases[i]);
    if (why)
        return MISUSE(why == task__case_is_caller ? -EDEADLK : -EINVAL, why);
    saved_errno = errno;
    if (timeout > 0) {
        result = select_until(cases, n, self,
                              scheduler_deadline(self->scheduler, timeout));
    } else {
        result = fire_first(self, cases, n);
        result = result == -EAGAIN ? -ETIMEDOUT : result;
    }
    fd_restore_errno(self, saved_errno);
    return (int)fd_tell_busy(-1, result, __func__);
}
