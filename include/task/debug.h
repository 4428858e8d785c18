/*
 * debug.h: what a loop reports, and how to look inside one.
 *
 * The error hook and its kinds of reports, statistics, the list of tasks,
 * dumps, the use of stacks, the texts of statuses, and the version; brings in
 * traces, hooks and probes.
 */
#ifndef TASK_DEBUG_H
#define TASK_DEBUG_H

#include <stdio.h>
#include <task/base.h>
#include <task/time.h>
#include <task/trace.h>

TASK_BEGIN_DECLS

/** The version of these headers; task_version() tells the library's. */
#define TASK_VERSION_MAJOR 0
#define TASK_VERSION_MINOR 1
#define TASK_VERSION_PATCH 0

/* Error hook. */

/**
 * What a report is about. Those marked (debug) are made in debug mode only,
 * each once for its cause.
 */
enum loop_error_kind {
    /** A task failed, and its last handle ended before anyone read that. */
    LOOP_ERROR_UNAWAITED = 1,

    /** Nothing can ever wake what is parked; the message names each task, what
     *  it waits for, and the cycles. Once for as long as it lasts, and in each
     *  loop_run_main() and loop_run_forever(). */
    LOOP_ERROR_DEADLOCK,

    /** (debug) A step of a task or a callback took longer than `slow_step`; how
     *  long, and how much of that on the processor. Each time. */
    LOOP_ERROR_SLOW_STEP,

    /** A step took longer than `stall_timeout`; its backtrace went to stderr at
     *  once, this report comes when it has ended, with the batch at the latest.
     *  The task may be gone by then: its id, name and place are told. */
    LOOP_ERROR_STALL,

    /** (debug) A call that returned -EPERM, -EINVAL, -EDEADLK, -EBUSY,
     *  -EALREADY, or -EBADF of a closed stream, since it was called wrongly, or
     *  from the wrong thread: which, why, and where. Once for each place of the
     *  program. The task is the one that called; the place that of the stream, if
     *  it is about one. (Of a number that is not open nothing is told: another
     *  task may have closed it.)
     *
     *  Events, queues and their kin know no loop, and are not asked who calls
     *  them: but that a call from another thread woke a task of a loop that runs
     *  is told, with the functions that led there.
     *
     *  Or the fifth call to write to a stream, to drain or flush it, since writing
     *  has failed, however: the status is -EPIPE.
     *
     *  And a descriptor that was closed, by close() say, while a task waited for
     *  it. Once for each function of tasks; the status is -EBADF. It is told in
     *  the turn after it was found out. */
    LOOP_ERROR_MISUSE,

    /** (debug) A handle neither awaited nor detached, a lock still held, a
     *  stream, server or process not closed. The hook may close those that it
     *  is told of, until all were; then they are gone. */
    LOOP_ERROR_LEAK,

    /** (debug) A task parked more than 100 times after a request was
     *  delivered to it. */
    LOOP_ERROR_IGNORED_CANCEL,

    /** The handler of a server failed. */
    LOOP_ERROR_HANDLER,

    /** A task that had not ended `shutdown_timeout` after it was cancelled at
     *  the end of the loop was dropped: its stack is gone, what it owned is
     *  not freed. Without a time-out too, where nothing can wake it any more:
     *  a LOOP_ERROR_DEADLOCK has told before what it waits for. */
    LOOP_ERROR_SHUTDOWN,

    /** A server has no descriptor or no memory for another connection, and has
     *  paused. Once, until it has accepted one again. */
    LOOP_ERROR_ACCEPT,

    /** The thread that runs the loop has ended in the midst of that, by
     *  pthread_exit() or since it was cancelled: in that task, or in none. The
     *  loop is lost: nothing of it runs any more, or is freed, and its remotes
     *  give -ESHUTDOWN. */
    LOOP_ERROR_LOST,

    /** A hook returned a negative status, and is called no more; see
     *  loop_add_hooks(). */
    LOOP_ERROR_HOOK
};

/**
 * A report. All of it is borrowed, and valid during the call of the hook only.
 */
struct loop_error {
    /** What it is about. */
    enum loop_error_kind kind;

    /** In words, without a newline at the end; a deadlock's has many lines. */
    const char *message;

    /** The status in question: that of a task, a handler or a hook, or of a
     *  call; why a server pauses; -EDEADLK of a deadlock; -ETIMEDOUT of a task
     *  that was dropped. 0: there is none. */
    int status;

    /** The task concerned, or NULL; then the id is 0 and the name NULL, but of
     *  a task that is gone (LOOP_ERROR_STALL). */
    const struct task *task;
    uint64_t task_id;
    const char *task_name;

    /** Where the task (or what was leaked) was created; NULL and 0 if that is
     *  not known. */
    const char *file;
    int line;

    /** The descriptor concerned, or -1. */
    int fd;

    /** The loop that reports; never NULL. */
    struct loop *loop;
};

/**
 * An error hook: is told what went wrong where no call could return it.
 *
 * Runs in the loop's thread, in the midst of what caused the report; but a call
 * from the wrong thread is reported in that one. It may
 * not suspend (-EPERM), run or free the loop; reports that it causes itself go
 * to stderr.
 *
 * @param error  borrowed for the call
 * @param arg    what was given with the hook
 */
typedef void loop_error_fn(const struct loop_error *error, void *arg);

/**
 * Set the function that is told of errors.
 *
 * @param loop  a loop; NULL does nothing
 * @param fn    NULL: the default, which writes a line to stderr
 * @param arg   passed to @p fn; has to live as long as the loop, or until the
 *              next call
 *
 * Source: asyncio's loop.set_exception_handler
 */
void loop_set_error_handler(struct loop *loop, loop_error_fn *fn, void *arg);

/**
 * Switch debug mode on or off.
 *
 * It costs time, and reports through the error hook what is marked (debug) in
 * enum loop_error_kind. A new loop starts with it if its option or TASK_DEBUG=1
 * in the environment says so; this call overrides both.
 *
 * @param loop  a loop; NULL does nothing
 *
 * Source: asyncio's loop.set_debug
 */
void loop_set_debug(struct loop *loop, bool debug);

/* Statistics. */

/**
 * Figures of a loop. More may be added at the end.
 */
struct loop_stats {
    /** Tasks that are not done; futures do not count. */
    size_t tasks;

    /** Tasks and callbacks in the ready queue. */
    size_t ready;

    /** Tasks that are suspended and not ready. */
    size_t parked;

    /** Timers that are set: sleeps, time-outs, callbacks. */
    size_t timers;

    /** Descriptors that a task or a callback waits for. */
    size_t watched_fds;

    /** Jobs of worker threads, waiting or under way. */
    size_t jobs;

    /** Since the loop was made: turns; switches into a task; looks at
     *  descriptors, whether they waited or not. */
    uint64_t turns;
    uint64_t switches;
    uint64_t polls;

    /** Nanoseconds spent waiting, also while it spins; in turns otherwise. */
    task_time idle_time;
    task_time busy_time;

    /** Nanoseconds that the longest step of a task or a callback took, on the
     *  real clock. Outside debug mode no step took longer, but one may have been
     *  shorter: what is measured is what ran between two looks at descriptors;
     *  and with a virtual clock it is 0. */
    task_time longest_step;

    /** Stacks kept for the next tasks; stacks of tasks that are not done. */
    size_t stacks_cached;
    size_t stacks_used;

    /** Of the tasks: those that have not begun, which are ready too; the one
     *  that runs, if one does; those that are daemons, in any state. */
    size_t new_tasks;
    size_t running;
    size_t daemons;
};

/**
 * Read the figures of a loop.
 *
 * May be called from any thread while the loop exists. From another one each
 * figure is right, but they may be of slightly different moments.
 *
 * @param loop   a loop; NULL does nothing
 * @param stats  is filled; NULL does nothing
 */
void loop_get_stats(const struct loop *loop, struct loop_stats *stats);

/**
 * List the tasks of the running loop that are not done, without the futures.
 *
 * A task that has ended is gone from the list before any that awaits it
 * resumes.
 *
 * @param out  is filled with up to @p n borrowed pointers, in the order of
 *             creation; may be NULL if @p n is 0
 * @param n    the room in @p out
 *
 * @return how many there are, which may be more than @p n; 0 where no loop
 *         runs.
 *
 * Source: asyncio.all_tasks
 */
size_t task_all(struct task *out[], size_t n);

/**
 * Wait until every other task is parked: nothing is ready but those that wait
 * here too. For tests.
 *
 * What is parked may be waiting for anything: a virtual clock does not jump
 * before this has returned.
 *
 * Always suspends, unless a request is waiting. A cancel ends it.
 *
 * @return 0, or
 *         -ECANCELED  a request was waiting, or came meanwhile,
 *         -EPERM      called outside a task.
 *
 * Source: trio.testing.wait_all_tasks_blocked
 */
TASK_SUSPENDS int task_wait_all_blocked(void);

/**
 * Write down the tasks of the running loop, as a tree.
 *
 *     loop 0x5581c0e0: 5 tasks, 1 running, 4 parked, 1 timers
 *       task 1 "main", parked 1.2 s: gathering 2 tasks; stack 1.1 of 64 KiB
 *         task 2 "reader", parked 1.2 s: getting from queue 0x7ffe10, empty; ...
 *         task 3 "writer", parked 1.2 s: sleeping 3.8 s more; ...
 *       task 4 "guard", running; cancelling 1; created at guard.c:12; ...
 *
 * Below each task stand those that it waits for: by awaiting them, or for what
 * they hold. One that several wait for is shown in full once. One that waits
 * for itself, at some remove, is shown with the tasks in between. A line tells
 * the state (new, ready, running, parked), since when it is parked (as of the
 * last time the loop looked at its clock), on what, the nearest time-outs,
 * requests to cancel, where the task was created, and how much of its stack it
 * has used.
 *
 * There are 1000 lines at the most, and a last one about what was left out.
 *
 * May be called in tasks, callbacks, and the error hook. Takes memory from the
 * loop's allocator, and makes do with two dozen lines if there is none. Until
 * it returns nothing can suspend.
 *
 * @param out  an open file; where no loop runs, one line says so; NULL does
 *             nothing
 *
 * Source: asyncio's print_call_graph, and python -m asyncio pstree
 */
void task_dump(FILE *out);

/* Dumps that a signal asks for. */

/**
 * Have a signal ask for a dump of all loops that run.
 *
 * Each loop writes its own to stderr, as task_dump() does, in its next look at
 * the world; its wait is ended for that. Where a loop has not come to it within
 * a tenth of a second, the task that holds it is named, with the functions that
 * it is in; and again with each further signal, until the loop goes on and
 * dumps. (One that is driven by loop_run_turn() does so in its next turn, which
 * the signal does not bring about.)
 *
 *     libtask: loop 0x5581c0e0 is held by task 7 "sum", created at sum.c:40,
 *     whose function is sum
 *         at add+0x12
 *         at sum+0x35
 *
 * The signal's handler is the process's, from now on; it calls the one that was
 * there before, unless a loop has taken the signal over (signal.h): that gets
 * it too, then. Threads that run loops must not block the signal. May be called
 * anywhere, before a loop runs too, and for several signals; again for the same
 * one it changes nothing. A child of a fork inherits it, for loops of its own.
 *
 * @param signo  a signal that can be caught, such as SIGUSR1; not that of a fault
 *
 * @return 0, or
 *         -EINVAL  there is no such signal, or it cannot be caught,
 *         -EBUSY   somebody else has set a handler over this one,
 *         -ENOMEM  out of memory.
 */
int task_dump_on_signal(int signo);

/* Stacks. */

/**
 * Tell the size of a task's stack.
 *
 * @return usable bytes: what was asked for, rounded up. 0 for a future, a
 *         task that is done (its stack was given back), or NULL.
 */
size_t task_stack_size(const struct task *task);

/**
 * Tell how much of its stack a task has used at the most so far.
 *
 * Asks the system which pages of the stack are there, by a call for each 2 MB
 * of its size. Stacks are used again with their contents: what earlier tasks
 * used of the same one, and was kept, counts. In debug mode it does not, if
 * that was on when the task began: then it is the task's own figure.
 *
 * At the end of a loop debug mode tells on stderr how much the tasks of each
 * function have used at the most.
 *
 * @return bytes; 0 as for task_stack_size().
 */
size_t task_stack_used(const struct task *task);

/* Texts. */

/**
 * Say in words what a status means.
 *
 * May be called from any thread.
 *
 * @param status  0 or more, or a negative errno
 *
 * @return a string that is never freed nor changed: for an unknown errno a
 *         general one; never NULL.
 */
const char *task_strerror(int status);

/**
 * Tell the version of the library.
 *
 * @return "0.1.0", in this form; never freed.
 */
const char *task_version(void);

TASK_END_DECLS

#endif
