/*
 * trace.h: what happens in a loop, written down (traces), told to functions of
 * the user's (hooks) and to tools (probes).
 */
#ifndef TASK_TRACE_H
#define TASK_TRACE_H

#include <task/base.h>

TASK_BEGIN_DECLS

/* Traces. */

/**
 * Trace what a loop does into a file, for Perfetto (ui.perfetto.dev) or
 * chrome://tracing.
 *
 * Each task has a track: when it was created, where and by whom, when it ran,
 * how it waited and how long, with an arrow from whoever woke it, and how it
 * ended. Timers, looks at descriptors (which also bring what other threads
 * have sent) and callbacks have tracks of their own. A wake and a creation have
 * the time of the end of the step that caused them. Times are those of the
 * monotonic clock, also where the loop's is virtual.
 *
 * What happens is kept in memory first, which takes some 50 ns each time that a
 * task runs; and written when 32 KiB of text have come together: the loop waits
 * for the file then. The file grows by 400 bytes each time that a task waits.
 * Where it cannot be written any more the trace ends, and holds what was
 * written until then. While no trace is made all this costs nothing.
 *
 * @param loop  a loop, whether it runs or not: a task may trace its own
 * @param path  is created, or emptied: a file, not a pipe
 *
 * @return 0, or
 *         -EALREADY  a trace of the loop was started and not stopped,
 *         -EINVAL    @p loop or @p path is NULL,
 *         -EPERM     the loop was inherited over fork, or runs in another
 *                    thread,
 *         -ESPIPE    @p path is a pipe or a socket,
 *         -ESHUTDOWN the loop is being freed,
 *         -ENOMEM    out of memory,
 *         or an errno of open().
 */
int loop_trace_start(struct loop *loop, const char *path);

/**
 * Trace what a loop does, and keep only the last of it.
 *
 * As loop_trace_start(), but nothing is written before loop_trace_stop(), the
 * end of the loop, or a failure, which ends the trace: a deadlock, a stack that
 * a task ran over, another fault that kills the process, misuse that aborts. So
 * the file shows what came before that, however long the loop has run.
 *
 * @param path   is created, or emptied, at once
 * @param bytes  of memory to keep it in, 1024 at the least: 64 for each time
 *               that a task runs, and for each that it waits
 *
 * @return as loop_trace_start().
 */
int loop_trace_ring(struct loop *loop, const char *path, size_t bytes);

/**
 * End a trace, and write what was not written yet.
 *
 * loop_free() and the end of loop_run() do so too.
 *
 * @return 0, or
 *         -ENOENT  the loop is not traced,
 *         -EINVAL  @p loop is NULL,
 *         -EPERM   the loop was inherited over fork, or runs in another thread,
 *         or what has failed since the start: -ENOSPC, or another errno of
 *         write(); the trace has ended all the same.
 */
int loop_trace_stop(struct loop *loop);

/* Hooks. */

/**
 * Functions that are told what happens in a loop. All zero = none; those that
 * are NULL are not called. Which ones are must stay as it is while they are
 * added.
 *
 * They run in the loop's thread, each where it says, on any stack; they may not
 * suspend (-EPERM), run or free the loop. One that returns a negative status
 * ends all of its struct, which is reported once (LOOP_ERROR_HOOK); the others'
 * go on.
 */
struct loop_hooks {
    /** A run begins, or a turn of loop_run_turn(); and it ends. loop_free() runs
     *  the loop once more. */
    int (*run_begins)(struct loop *loop, void *arg);
    int (*run_ends)(struct loop *loop, void *arg);

    /** Before and after a look at descriptors, whether that waits or not. */
    int (*poll_begins)(struct loop *loop, void *arg);
    int (*poll_ends)(struct loop *loop, void *arg);

    /** A task was made; then, and each time that it was woken or has yielded, it
     *  is ready. What a step has done so is told when that has ended, in the order
     *  in which it was done. */
    int (*task_created)(struct task *task, void *arg);
    int (*task_ready)(struct task *task, void *arg);

    /** A task runs, up to where it suspends or ends; NULL: a callback does. The
     *  step of an eager task lies in that of its creator. */
    int (*step_begins)(struct task *task, void *arg);
    int (*step_ends)(struct task *task, void *arg);

    /** A task has ended, by itself: after its last step. */
    int (*task_ended)(struct task *task, void *arg);

    /** Is passed to each. */
    void *arg;

    /* private */
    struct loop *loop;
    struct loop_hooks *next;
    uint64_t since;
};

/**
 * Have hooks called from the next step on, after those that were added before.
 * Adding them again changes nothing. While there are none all this costs
 * nothing; those that are told of nothing but runs and polls cost steps
 * nothing.
 *
 * @param loop   a loop, whether it runs or not
 * @param hooks  the caller's; must stay until they are removed, or the loop freed
 *
 * @return 0, or
 *         -EBUSY   they are another loop's,
 *         -EINVAL  @p loop or @p hooks is NULL,
 *         -ESHUTDOWN
 *                  the loop is being freed,
 *         -EPERM   the loop was inherited over fork, or runs in another thread.
 *
 * Source: trio.lowlevel.add_instrument
 */
int loop_add_hooks(struct loop *loop, struct loop_hooks *hooks);

/**
 * Have hooks called no more, from this moment on; also by one of them.
 *
 * @return as loop_add_hooks(), but for -EBUSY and -ESHUTDOWN; 0 too if they are
 *         not the loop's.
 */
int loop_remove_hooks(struct loop *loop, struct loop_hooks *hooks);

/*
 * Probes.
 *
 * Built where there is <sys/sdt.h> (and unless CMake is told
 * -DTASK_PROBES=OFF), the library has static probes for perf, bpftrace,
 * SystemTap and gdb, of the provider "libtask". Each is a nop, which costs next
 * to nothing, until such a tool looks at it.
 *
 *     loop_enters(loop)             a run begins, or a turn of loop_run_turn()
 *     loop_leaves(loop)             and ends
 *     poll_begins(loop, time)       a look at descriptors, which waits for so many
 *     poll_ends(loop)               nanoseconds at the most; and its end
 *     task_created(task, id, fn)
 *     task_runs(task)               a step begins; NULL: the loop itself goes on
 *     task_parks(task, kind)        a step ends: it waits; at `kind` stands the
 *                                   address of a string that tells for what
 *     task_yields(task)             a step ends: it is ready
 *     task_woken(task, status)      it is ready; what it waited for returns that
 *     task_ended(task, status)
 *
 * Tasks are known by their addresses, which are used again when they have
 * ended. For example, how long tasks wait, by what for:
 *
 *     bpftrace -e 'usdt:./program:libtask:task_parks {
 *             @since[arg0] = nsecs; @what[arg0] = str(*(uint64 *)arg1); }
 *         usdt:./program:libtask:task_woken /@since[arg0]/ {
 *             @[@what[arg0]] = hist(nsecs - @since[arg0]); }'
 */

TASK_END_DECLS

#endif
