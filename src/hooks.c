/*
 * Hooks: functions of the user's that are told what happens in a loop.
 *
 * The switch, waking and making tasks know nothing of them: while there are any
 * that are told of tasks, each step comes home, and what was added to the ready
 * queue meanwhile tells who was made or woken.
 */
#include "aside.h"
#include "loop.h"
#include "report.h"
#include "step.h"
#include "switch.h"

#include <errno.h>
#include <stdio.h>

/* Where a struct is pointed to; its end if it is not there. */
static struct loop_hooks **find(struct loop *loop,
                                const struct loop_hooks *hooks)
{
    struct loop_hooks **at = &loop->hooks.first;

    while (*at && *at != hooks)
        at = &(*at)->next;
    return at;
}

static bool is_told_of_tasks(const struct loop_hooks *hooks)
{
    return hooks->task_created || hooks->task_ready || hooks->step_begins ||
           hooks->step_ends || hooks->task_ended;
}

/* After some have come or gone: whether steps are watched for them. */
static void look_who_is_told(struct loop *loop)
{
    const struct loop_hooks *hooks = loop->hooks.first;

    while (hooks && !is_told_of_tasks(hooks))
        hooks = hooks->next;
    if (hooks && !loop->hooks.steps_wanted)
        loop->hooks.looked = ready_mark(&loop->scheduler);
    loop->hooks.steps_wanted = hooks != NULL;
    task__steps_watch(loop);
}

/* Whoever is being told goes on with the one after it. */
static void take_off(struct loop *loop, struct loop_hooks *hooks)
{
    if (loop->hooks.next == hooks)
        loop->hooks.next = hooks->next;
    *find(loop, hooks) = hooks->next;
    hooks->next = NULL;
    hooks->loop = NULL;
    look_who_is_told(loop);
}

/* In the child of a fork no other is told. */
static struct loop_hooks *take_next(struct loop *loop)
{
    struct loop_hooks *hooks =
        loop_is_inherited(loop) ? NULL : loop->hooks.next;

    if (hooks)
        loop->hooks.next = hooks->next;
    return hooks;
}

static COLD void give_up(struct loop *loop, struct loop_hooks *hooks,
                         const char *name, int status)
{
    char message[200];
    struct loop_error error = {
        .kind = LOOP_ERROR_HOOK, .message = message, .status = status};

    /* It has been taken off, and may be gone. */
    if (*find(loop, hooks) != hooks)
        return;
    take_off(loop, hooks);
    snprintf(message, sizeof message,
             "the hook %s failed, and is called no more: %s (%d)", name,
             task_strerror(status), status);
    task__report(loop, &error);
}

/* Call one hook of each struct that was there when this step began. */
#define TELL_OF_STEP(loop, step, hook, subject)                                \
    do {                                                                       \
        struct aside before = aside_begin(loop);                               \
                                                                               \
        loop->hooks.next = loop->hooks.first;                                  \
        for (struct loop_hooks * at; (at = take_next(loop));) {                \
            int status = at->hook && at->since < (step)                        \
                             ? at->hook(subject, at->arg)                      \
                             : 0;                                              \
                                                                               \
            if (unlikely(status < 0))                                          \
                give_up(loop, at, #hook, status);                              \
        }                                                                      \
        aside_end(loop, before);                                               \
    } while (0)

/* Call one hook of each struct. */
#define TELL(loop, hook, subject) TELL_OF_STEP(loop, UINT64_MAX, hook, subject)

void task__hooks_run_begins(struct loop *loop)
{
    TELL(loop, run_begins, loop);
}

void task__hooks_run_ends(struct loop *loop)
{
    TELL(loop, run_ends, loop);
}

void task__hooks_poll_begins(struct loop *loop)
{
    TELL(loop, poll_begins, loop);
}

void task__hooks_poll_ends(struct loop *loop)
{
    TELL(loop, poll_ends, loop);
}

static void tell_made(struct loop *loop, struct task *task)
{
    TELL(loop, task_created, task);
    TELL(loop, task_ready, task);
}

/* What hooks add themselves comes at the end, and is told of as well. */
void task__hooks_look(struct loop *loop)
{
    struct ready *ready = ready_since(&loop->scheduler, &loop->hooks.looked);

    for (; ready; ready = ready->next)
        if (!ready_is_task(ready))
            continue;
        else if (is_new(task_of(ready)))
            tell_made(loop, task_of(ready));
        else
            TELL(loop, task_ready, task_of(ready));
    loop->hooks.looked = ready_mark(&loop->scheduler);
}

/* Whether a step is of a task that never was in the ready queue. */
static bool is_eager(const struct loop *loop, const struct task *task)
{
    return is_new(task) && loop->scheduler.batch != &task->ready;
}

void task__hooks_step_begins(struct loop *loop, struct timed_step *step)
{
    struct task *task = step->task;

    task__hooks_look(loop);
    if (task && is_eager(loop, task))
        tell_made(loop, task);
    step->number = ++loop->hooks.n_steps;
    TELL_OF_STEP(loop, step->number, step_begins, task);
}

void task__hooks_step_ends(struct loop *loop, const struct timed_step *step)
{
    TELL_OF_STEP(loop, step->number, step_ends, step->task);
    if (step->task && step->task->done)
        TELL_OF_STEP(loop, step->number, task_ended, step->task);
}

int loop_add_hooks(struct loop *loop, struct loop_hooks *hooks)
{
    if (!loop || !hooks)
        return MISUSE_ABOUT(loop, -EINVAL, "the loop or the hooks are NULL");
    if (LOOP_REFUSES(loop))
        return -EPERM;
    if (hooks->loop && hooks->loop != loop)
        return MISUSE_ABOUT(loop, -EBUSY, "the hooks are another loop's");
    if (hooks->loop)
        return 0;
    if (loop->freed)
        return -ESHUTDOWN;
    hooks->loop = loop;
    hooks->next = NULL;
    hooks->since = loop->hooks.n_steps;
    *find(loop, NULL) = hooks;
    look_who_is_told(loop);
    return 0;
}

int loop_remove_hooks(struct loop *loop, struct loop_hooks *hooks)
{
    if (!loop || !hooks)
        return MISUSE_ABOUT(loop, -EINVAL, "the loop or the hooks are NULL");
    if (LOOP_REFUSES(loop))
        return -EPERM;
    if (hooks->loop == loop)
        take_off(loop, hooks);
    return 0;
}

void task__hooks_destroy(struct loop *loop)
{
    while (loop->hooks.first)
        take_off(loop, loop->hooks.first);
}
