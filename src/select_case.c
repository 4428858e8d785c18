/*
 * The kinds of cases, one after the other.
 */
#include "select_case.h"

#include "loop.h"
#include "text.h"

#include <errno.h>

/* None of its waiters needs more than the list that it is on. */
static int stand_in(struct task_list *waiters, struct choice *choice)
{
    list_append(list_of(waiters), &choice->waiter.waiter.node);
    return 0;
}

/* Getting from a queue. */

static void describe_get(const struct task_select_case *one, struct text *text)
{
    task__text_add(text, "queue %p, empty", (void *)one->queue);
}

static int fire_get(const struct task *self, struct task_select_case *one)
{
    (void)self;
    return task__queue_get_now(one->queue, one->to);
}

static int enter_get(struct choice *choice, struct task *self,
                     struct task_select_case *one)
{
    (void)self;
    choice->waiter.to = one->to;
    return stand_in(&one->queue->getters, choice);
}

static const struct case_kind GET = {
    .describe = describe_get,
    .fire = fire_get,
    .enter = enter_get,
};

/* Putting into one. */

static void describe_put(const struct task_select_case *one, struct text *text)
{
    task__text_add(text, "queue %p, full", (void *)one->queue);
}

static int fire_put(const struct task *self, struct task_select_case *one)
{
    (void)self;
    return task__queue_put_now(one->queue, one->from);
}

static int enter_put(struct choice *choice, struct task *self,
                     struct task_select_case *one)
{
    (void)self;
    choice->waiter.from = one->from;
    return stand_in(&one->queue->putters, choice);
}

static const struct case_kind PUT = {
    .describe = describe_put,
    .fire = fire_put,
    .enter = enter_put,
};

/* An event. */

static void describe_event(const struct task_select_case *one,
                           struct text *text)
{
    task__text_add(text, "event %p", (void *)one->event);
}

static int fire_event(const struct task *self, struct task_select_case *one)
{
    (void)self;
    return task_event_is_set(one->event) ? 0 : -EAGAIN;
}

static int enter_event(struct choice *choice, struct task *self,
                       struct task_select_case *one)
{
    (void)self;
    return stand_in(&one->event->waiters, choice);
}

static const struct case_kind EVENT = {
    .describe = describe_event,
    .fire = fire_event,
    .enter = enter_event,
};

/* The end of a task. */

const char task__case_is_caller[] = "a task is the caller";

static void describe_task(const struct task_select_case *one, struct text *text)
{
    task__text_add_task(text, one->task);
}

static const char *refuse_task(const struct task *self,
                               const struct task_select_case *one)
{
    if (!one->task)
        return NULL;
    if (one->task->scheduler != self->scheduler)
        return "a task is another loop's";
    return one->task == self ? task__case_is_caller : NULL;
}

static int fire_task(const struct task *self, struct task_select_case *one)
{
    (void)self;
    return task_done(one->task) ? 0 : -EAGAIN;
}

static void task_ended(struct watcher *watcher, struct task *task)
{
    (void)task;
    task__choice_wake(container_of(watcher, struct choice, watcher));
}

static int enter_task(struct choice *choice, struct task *self,
                      struct task_select_case *one)
{
    (void)self;
    choice->watcher.ended = task_ended;
    choice->watcher.waiter = NULL;
    choice->watcher.node.list = NULL;
    one->task->references += TASK_PIN;
    list_append(&one->task->watchers, &choice->watcher.node);
    return 0;
}

static void leave_task(struct choice *choice, struct loop *loop,
                       struct task_select_case *one)
{
    (void)loop;
    list_remove(&choice->watcher.node);
    task__unpin(one->task);
}

static const struct case_kind TASK = {
    .describe = describe_task,
    .refuse = refuse_task,
    .fire = fire_task,
    .enter = enter_task,
    .leave = leave_task,
};

/* A descriptor. */

static void describe_fd(const struct task_select_case *one, struct text *text)
{
    task__text_add(text, "fd %d", one->fd);
}

static const char *refuse_fd(const struct task *self,
                             const struct task_select_case *one)
{
    (void)self;
    return one->events & ~FD_EVENTS_ASKED ? "there are no such events" : NULL;
}

/* Of those that nobody waits for. */
static int fire_fd(const struct task *self, struct task_select_case *one)
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

static int enter_fd(struct choice *choice, struct task *self,
                    struct task_select_case *one)
{
    short events = one->events & FD_EVENTS;
    struct descriptor *descriptor;
    int error = fd_get(loop_of_task(self), one->fd, &descriptor);

    if (!error && descriptor_is_busy(descriptor, events))
        error = -EBUSY; /* it is another case's */
    if (!error)
        error = task__fd_enter(self, descriptor, &choice->polling, events,
                               choice->waiter.waiter.kind);
    if (error)
        return error == -EPERM ? -EOPNOTSUPP : error;
    choice->descriptor = descriptor;
    choice->uses = descriptor->uses;
    return 0;
}

static void leave_fd(struct choice *choice, struct loop *loop,
                     struct task_select_case *one)
{
    (void)one;
    task__fd_leave(loop, choice->descriptor);
}

/* What has woken it may be past: then it waits on; and the number may be
 * another file's by now. */
static int conclude_fd(const struct choice *choice,
                       struct task_select_case *one, int result)
{
    if (result >= 0 && choice->descriptor->uses != choice->uses)
        result = -EBADF;
    if (result >= 0)
        result = fire_fd(choice->waiter.waiter.task, one);
    choice->descriptor->is_doubtful |= result == -EAGAIN;
    return result;
}

static const struct case_kind FD = {
    .describe = describe_fd,
    .refuse = refuse_fd,
    .fire = fire_fd,
    .enter = enter_fd,
    .leave = leave_fd,
    .conclude = conclude_fd,
};

const struct case_kind *const task__case_kinds[] = {
    [TASK_SELECT_KIND_GET] = &GET,     [TASK_SELECT_KIND_PUT] = &PUT,
    [TASK_SELECT_KIND_EVENT] = &EVENT, [TASK_SELECT_KIND_TASK] = &TASK,
    [TASK_SELECT_KIND_FD] = &FD,
};
