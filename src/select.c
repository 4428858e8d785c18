/*
 * Waiting for the first of several things.
 *
 * The task parks with one waiter; each case has another, in the queue of what
 * it waits for, where it is served like any. Whoever wakes it chooses that
 * case: then the others are taken off their queues before anything else can
 * happen.
 */
#include "fd.h"
#include "queue.h"
#include "text.h"
#include "waiters.h"

#include <errno.h>

struct choice {
    union {
        struct queue_waiter waiter; /* `from` and `to`: for queues only */
        struct descriptor_waiter polling;
    };
    union {
        struct watcher watcher;        /* of a task */
        struct descriptor *descriptor; /* NULL: it is not waited for */
    };
    uint32_t uses; /* of the descriptor, when the wait began */
    struct selecting *selecting;
};

_Static_assert(offsetof(struct queue_waiter, waiter) ==
                   offsetof(struct descriptor_waiter, waiter),
               "whatever it is for, a choice is found by its waiter");

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

static void describe_case(const struct task_select_case *one, struct text *text)
{
    switch (one->kind) {
    case TASK_SELECT_KIND_GET:
        task__text_add(text, "queue %p, empty", (void *)one->queue);
        break;
    case TASK_SELECT_KIND_PUT:
        task__text_add(text, "queue %p, full", (void *)one->queue);
        break;
    case TASK_SELECT_KIND_EVENT:
        task__text_add(text, "event %p", (void *)one->event);
        break;
    case TASK_SELECT_KIND_FD:
        task__text_add(text, "fd %d", one->fd);
        break;
    default:
        task__text_add_task(text, one->task);
    }
}

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct selecting *selecting = selecting_of(waiter);

    for (size_t i = 0; i < selecting->n && i < FEW; i++) {
        if (i)
            task__text_add(text, " or ");
        describe_case(&selecting->cases[i], text);
    }
    if (selecting->n > FEW)
        task__text_add(text, " or %zu more", selecting->n - FEW);
}

static struct waiter *choose_none(struct waiter *waiter)
{
    leave_queues(selecting_of(waiter));
    return waiter;
}

static const struct wait_kind SELECTING = {
    .verb = "selecting",
    .describe = describe,
    .cancel = refuse,
    .choose = choose_none,
    .each_awaited = name_tasks,
};

static const struct wait_kind CHOICE = {.verb = "selecting", .choose = choose};

static void task_ended(struct watcher *watcher, struct task *task)
{
    struct choice *choice = container_of(watcher, struct choice, watcher);

    (void)task;
    if (waiter_is_parked(&choice->selecting->waiter))
        task__wake(&choice->waiter.waiter, 0);
}

static const char ITSELF[] = "a task is the caller";

/* Why a case can be none; else NULL. */
static const char *check(const struct task *self,
                         const struct task_select_case *one)
{
    if ((unsigned)one->kind - TASK_SELECT_KIND_GET >
        TASK_SELECT_KIND_FD - TASK_SELECT_KIND_GET)
        return "a case is of no kind";
    if (one->kind == TASK_SELECT_KIND_FD && (one->events & ~FD_EVENTS_ASKED))
        return "there are no such events";
    if (one->kind != TASK_SELECT_KIND_TASK || !one->task)
        return NULL;
    if (one->task->scheduler != self->scheduler)
        return "a task is another loop's";
    return one->task == self ? ITSELF : NULL;
}

/* Of those that nobody waits for. */
static int poll_now(const struct task *self, struct task_select_case *one)
{
    short events = one->events & FD_EVENTS;
    struct descriptor *descriptor;
    int result = fd_get(loop_of_task(self), one->fd, &descriptor);

    if (!result)
        result = task__fd_check_free(loop_of_task(self), descriptor, events);
    if (!result)
        result = task__fd_poll(one->fd, events);
    if (result <= 0)
        return result ? result : -EAGAIN;
    one->revents = (short)result;
    return 0;
}

/* Fire a case, if it need not wait: 0 or -EPIPE; -EAGAIN: it has to. Others are
 * why it cannot. */
static int fire_now(const struct task *self, struct task_select_case *one)
{
    switch (one->kind) {
    case TASK_SELECT_KIND_GET:
        return task__queue_get_now(one->queue, one->to);
    case TASK_SELECT_KIND_PUT:
        return task__queue_put_now(one->queue, one->from);
    case TASK_SELECT_KIND_EVENT:
        return task_event_is_set(one->event) ? 0 : -EAGAIN;
    case TASK_SELECT_KIND_FD:
        return poll_now(self, one);
    default:
        return task_done(one->task) ? 0 : -EAGAIN;
    }
}

/* The index of the first that fires; -EAGAIN: none; or why one cannot. */
static int fire_first(const struct task *self, struct task_select_case cases[],
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int status = fire_now(self, &cases[i]);

        if (status == -EAGAIN)
            continue;
        if (status && status != -EPIPE)
            return status;
        cases[i].status = status;
        return (int)i;
    }
    return -EAGAIN;
}

static int enter_descriptor(struct choice *choice, struct task *self,
                            const struct task_select_case *one)
{
    short events = one->events & FD_EVENTS;
    struct descriptor *descriptor;
    int error = fd_get(loop_of_task(self), one->fd, &descriptor);

    if (!error && descriptor_is_busy(descriptor, events))
        error = -EBUSY; /* it is another case's */
    if (!error)
        error =
            task__fd_enter(self, descriptor, &choice->polling, events, &CHOICE);
    if (error)
        return error == -EPERM ? -EOPNOTSUPP : error;
    choice->descriptor = descriptor;
    choice->uses = descriptor->uses;
    return 0;
}

/* Stand in the queue of what a case waits for. */
static void enter_queue(struct choice *choice, struct task_select_case *one)
{
    struct list_node *node = &choice->waiter.waiter.node;

    switch (one->kind) {
    case TASK_SELECT_KIND_GET:
        choice->waiter.to = one->to;
        list_append(list_of(&one->queue->getters), node);
        break;
    case TASK_SELECT_KIND_PUT:
        choice->waiter.from = one->from;
        list_append(list_of(&one->queue->putters), node);
        break;
    case TASK_SELECT_KIND_EVENT:
        list_append(list_of(&one->event->waiters), node);
        break;
    default:
        choice->watcher.ended = task_ended;
        one->task->references += TASK_PIN;
        list_append(&one->task->watchers, &choice->watcher.node);
    }
}

/* In all queues; or in none, and why not. */
static int enter_queues(struct selecting *selecting, struct task *self)
{
    for (size_t i = 0; i < selecting->n; i++) {
        struct task_select_case *one = &selecting->cases[i];
        struct choice *choice = &selecting->choices[i];
        int error = 0;

        waiter_init(&choice->waiter.waiter, self, &CHOICE);
        choice->watcher.node.list = NULL;
        choice->selecting = selecting;
        if (one->kind == TASK_SELECT_KIND_FD)
            error = enter_descriptor(choice, self, one);
        else
            enter_queue(choice, one);
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
        const struct task_select_case *one = &selecting->cases[i];
        struct choice *choice = &selecting->choices[i];

        if (one->kind == TASK_SELECT_KIND_FD) {
            task__fd_leave(loop, choice->descriptor);
        } else if (one->kind == TASK_SELECT_KIND_TASK) {
            list_remove(&choice->watcher.node);
            task__unpin(one->task);
        }
    }
}

/* What has woken a descriptor's case may be past: then it waits on; and the
 * number may be another file's by now. */
static int fire_descriptor(const struct choice *choice,
                           struct task_select_case *one, int result)
{
    if (result >= 0 && choice->descriptor->uses != choice->uses)
        result = -EBADF;
    if (result >= 0)
        result = poll_now(choice->waiter.waiter.task, one);
    choice->descriptor->is_doubtful |= result == -EAGAIN;
    return result;
}

/* The index of the case that fired; -EAGAIN: it was in vain; or why none
 * did. */
static int park(struct selecting *selecting, struct task *self, task_time when)
{
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
    fired = &selecting->cases[selecting->fired];
    if (fired->kind == TASK_SELECT_KIND_FD)
        result = fire_descriptor(&selecting->choices[selecting->fired], fired,
                                 result);
    if (fired->kind == TASK_SELECT_KIND_FD && result)
        return result;
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
        if (result == -EAGAIN)
            result = self->undelivered ? (task_take_requests(self), -ECANCELED)
                                       : wait(cases, n, self, when);
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
        return MISUSE(why == ITSELF ? -EDEADLK : -EINVAL, why);
    saved_errno = errno;
    if (timeout > 0) {
        result = select_until(cases, n, self,
                              scheduler_deadline(self->scheduler, timeout));
    } else {
        result = fire_first(self, cases, n);
        result = result == -EAGAIN ? -ETIMEDOUT : result;
    }
    fd_restore_errno(self, saved_errno);
    return (int)fd_result(-1, result, __func__);
}
