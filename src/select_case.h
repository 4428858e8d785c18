/*
 * The cases of a task_select(): what each kind of them waits for, and how.
 */
#ifndef TASK_SRC_SELECT_CASE_H
#define TASK_SRC_SELECT_CASE_H

#include "fd.h"
#include "queue.h"

#include <task/select.h>

struct selecting;

/* What waits for a case. */
struct choice {
    union {
        struct queue_waiter waiter; /* `from` and `to`: for queues only */
        struct descriptor_waiter polling;
    };
    union {
        struct watcher watcher; /* of a task */
        struct descriptor *descriptor;
    };
    uint32_t uses; /* of the descriptor, when the wait began */
    struct selecting *selecting;
};

_Static_assert(offsetof(struct queue_waiter, waiter) ==
                   offsetof(struct descriptor_waiter, waiter),
               "whatever it is for, a choice is found by its waiter");

struct case_kind {
    /* What it waits for, in a dump. */
    void (*describe)(const struct task_select_case *one, struct text *text);

    /* Why it can be none: a sentence, or NULL. NULL: any can. */
    const char *(*refuse)(const struct task *self,
                          const struct task_select_case *one);

    /* Fire, if it need not wait: 0 or -EPIPE; -EAGAIN: it has to. Others are
     * why it cannot. */
    int (*fire)(const struct task *self, struct task_select_case *one);

    /* Have the choice, whose waiter is initialised, in the queue of what it
     * waits for; or say why not. */
    int (*enter)(struct choice *choice, struct task *self,
                 struct task_select_case *one);

    /* The wait is over, and the choice in no queue of waiters any more. NULL:
     * that is all. */
    void (*leave)(struct choice *choice, struct loop *loop,
                  struct task_select_case *one);

    /* It was woken with that result: as `fire`. NULL: that is what came of
     * it. */
    int (*conclude)(const struct choice *choice, struct task_select_case *one,
                    int result);
};

/* By enum task_select_kind. */
extern const struct case_kind *const task__case_kinds[];

static inline const struct case_kind *
case_kind_of(const struct task_select_case *one)
{
    return task__case_kinds[one->kind];
}

/* The reason of the one that is -EDEADLK. */
extern const char task__case_is_caller[];

/* select.c: a task that is waited for has ended. */
void task__choice_wake(struct choice *choice);

#endif
