/*
 * base.h: what every public header of libtask starts from.
 *
 * The two kinds of functions that a user writes, the mark of calls that may
 * switch tasks, and the names of the opaque structs. It declares no function.
 */
#ifndef TASK_BASE_H
#define TASK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Around the declarations of each header, for C++ includers.
 */
#ifdef __cplusplus
#define TASK_BEGIN_DECLS extern "C" {
#define TASK_END_DECLS }
#else
#define TASK_BEGIN_DECLS
#define TASK_END_DECLS
#endif

/**
 * Marks a declaration whose call may switch to another task.
 *
 * Nothing without the mark does. The mark means nothing to the compiler: it is
 * for the reader, and for tools that look for it. Called outside a task, such
 * a function returns -EPERM, or NULL if it returns a pointer.
 */
#define TASK_SUSPENDS

/**
 * Marks a function like printf(), whose arguments compilers then check.
 */
#define TASK_PRINTF_LIKE(which, first)                                         \
    __attribute__((__format__(__printf__, which, first)))

TASK_BEGIN_DECLS

/**
 * A task, or a future: opaque, reached through handles. See <task/core.h>.
 */
struct task;

/**
 * An event loop: opaque, belongs to the thread that runs it. See <task/loop.h>.
 */
struct loop;

/**
 * A list, such as that of the tasks that wait for a lock: a part of locks,
 * queues, groups and the like. All zero: empty. The library goes through it as
 * a list of its own, hence the attribute.
 */
struct __attribute__((__may_alias__)) task_list {
    /* private */
    void *first;
    void *last;
};

/**
 * A deadline: a part of time-outs. As with struct task_list, what it is only
 * the library knows.
 */
struct __attribute__((__may_alias__)) task_timer {
    /* private */
    void *place[3];
    int64_t when;
    uint64_t order;
    void *fire;
};

/**
 * A coroutine's body: runs as a task, may suspend.
 *
 * @param arg  what was given at the creation; the library never looks at it
 *
 * @return the task's status, passed on unchanged: >= 0 for success, a negative
 *         errno for failure, -ECANCELED for *cancelled*.
 */
typedef int task_fn(void *arg);

/**
 * A callback: runs on the loop's own stack, where no task is current. It may
 * not suspend (a suspending call returns -EPERM), but create tasks, cancel
 * them, complete futures, and set further callbacks.
 *
 * @param arg  what was given when it was set
 */
typedef void loop_fn(void *arg);

TASK_END_DECLS

#endif
