/*
 * loop.h: event loops: make one, run it, drive it by hand.
 *
 * A loop runs in turns. One turn is the batch, which is what stood in the ready
 * queue when it began, tasks and callbacks, first in, first out; then one look
 * at the descriptors; then the timers that are due. What these make ready
 * belongs to the next turn, so that none of the three starves another. While
 * tasks stay ready, turns that together take less than ~50 us may share one
 * look; where turns have been tiny, a step that suddenly takes long is noticed
 * eight steps later at the latest.
 *
 * A thread runs at most one loop at a time; several threads may run one each. A
 * loop belongs to the thread that runs it; while it does not run, it may be
 * used from any one. A call from another thread that would change something of
 * a loop that runs, or of its tasks, changes nothing and returns -EPERM, or
 * false or NULL (loop_run_...() and loop_free(): -EBUSY), where that is
 * noticed, which cannot be relied on; debug mode reports it. A thread must not
 * end while it runs a loop (LOOP_ERROR_LOST).
 *
 * While there is a loop that has run, faults (SIGSEGV, SIGBUS) pass through a
 * handler of the library's, which names the task that ran over its stack on
 * stderr, and leaves the fault to whoever handled it before: a handler, or the
 * default effect. A handler that is set meanwhile is left alone, and then no
 * task is named. The thread that runs a loop has an alternate stack for signals
 * meanwhile, unless it has one of its own.
 */
#ifndef TASK_LOOP_H
#define TASK_LOOP_H

#include <task/base.h>
#include <task/callback.h>
#include <task/core.h>
#include <task/debug.h>
#include <task/time.h>

TASK_BEGIN_DECLS

/* Options. */

/**
 * The clock of a loop.
 */
enum loop_clock {
    /** CLOCK_MONOTONIC. */
    LOOP_CLOCK_REAL = 0,

    /** Starts at 0, stands still while anything is ready, and jumps exactly to
     *  the next deadline when nothing is, no descriptor is ready and no job is
     *  under way. For tests. */
    LOOP_CLOCK_VIRTUAL
};

/**
 * How a loop asks the kernel for what is ready.
 */
enum loop_backend {
    /** The best that the system has. */
    LOOP_BACKEND_DEFAULT = 0,

    /** epoll. */
    LOOP_BACKEND_EPOLL,

    /** poll: everywhere, and slow with many descriptors. */
    LOOP_BACKEND_POLL
};

/**
 * What loop_new() may be told. A field that is zero is its default.
 */
struct loop_options {
    /** Usable bytes of each task's stack, rounded up to pages; 0:
     *  TASK_STACK_DEFAULT. Less than TASK_STACK_MIN is an error. */
    size_t stack_size;

    /** Start in debug mode; false: as TASK_DEBUG in the environment says. */
    bool debug;

    /** The clock. */
    enum loop_clock clock;

    /** 0: the ready queue is first in, first out. Else each batch is shuffled
     *  from this seed; the same seed gives the same sequence. */
    uint64_t seed;

    /** Debug mode reports a step of a task or a callback that takes longer, on
     *  the real clock; 0: 100 ms. */
    task_time slow_step;

    /** A step that takes longer, on the real clock, has its backtrace written to
     *  stderr while it lasts, a quarter of this later at the most, and is
     *  reported as LOOP_ERROR_STALL when it has ended; 0: off.
     *
     *  A thread of the library's watches the loop, and interrupts such a step
     *  with a signal: the highest real-time one that had no handler when the
     *  first such loop ran. It is unblocked in a thread while that runs the
     *  loop; a step that blocks it, or takes it, is not caught. A system call of
     *  such a step that is not restarted, as nanosleep(), fails with EINTR. Where
     *  nothing takes too long no signal is sent. */
    task_time stall_timeout;

    /** At the end: how long the tasks that were cancelled may take, on the
     *  loop's clock; then what is left is reported as LOOP_ERROR_SHUTDOWN, and
     *  dropped, but for jobs that run in worker threads: these are waited for.
     *  Those that wait their turn are not begun.
     *  0: wait for ever. */
    task_time shutdown_timeout;

    /** While loop_run_main() runs, the first SIGINT cancels main, and it returns
     *  -EINTR if main ended cancelled by that alone; a second has its default
     *  effect, at once. As long as the first may come the loop is not deadlocked:
     *  where nothing else can happen it waits for that, also on a virtual clock. A
     *  main that the run leaves behind hears in the next one of what came at the
     *  end. Callbacks and tasks of the loop that take SIGINT (signal.h) get it
     *  instead. Nothing is done if the program has a handler of its own, SIGINT is
     *  ignored, or there is no memory or descriptor for it. */
    bool handle_sigint;

    /** The largest number of jobs that worker threads do for this loop at once,
     *  in each lane (thread.h); 0: 32. One that waits in loop_remote_run() does
     *  not count: when it goes on they may be more for a while. */
    unsigned worker_threads;

    /** How to ask the kernel. */
    enum loop_backend backend;

    /** The error hook and its argument; NULL: a line on stderr. */
    loop_error_fn *on_error;
    void *on_error_arg;

    /** Where the loop takes its memory from, but for stacks, and for what other
     *  threads or signal handlers use too, or the user frees: as realloc() with
     *  @p size > 0, NULL if there is none, and as free() with size 0. NULL: the
     *  C library's. */
    void *(*alloc)(void *ptr, size_t size, void *arg);
    void *alloc_arg;
};

/* Running. */

/**
 * Run a function as the main task of a new loop, to its end.
 *
 * When it has returned, what is left is cancelled and run to its end, in as
 * many rounds as it takes, since what cleans up may create tasks too: first all
 * but the daemons, then these. A failure of theirs goes to the error hook, and
 * does not change the result. Then the loop is freed, and with it every handle
 * that is left. Nothing leaks.
 *
 * @param fn   the main task's body
 * @param arg  passed to @p fn
 *
 * @return what @p fn returned, or
 *         -EAGAIN   loop_stop() ended the run before main had ended: that was
 *                   cancelled, and has ended,
 *         -EDEADLK  nothing can wake main any more: nothing is ready, there is
 *                   no timer, descriptor, job, remote or signal handler; the
 *                   error hook was told who waits for what, main and the others
 *                   were cancelled and have ended,
 *         -EBUSY    a loop runs in this thread; @p fn was not called,
 *         -EINVAL   @p fn is NULL,
 *         -ENOMEM   no memory for the loop or main; @p fn was not called,
 *         -EPERM    this is the child of a fork in one of the tasks, or in any
 *                   other function of the program's that the loop has called.
 *
 * Source: asyncio.run
 */
int loop_run(task_fn *fn, void *arg);

/**
 * Make a loop.
 *
 * It opens no descriptor and takes no stack before one is needed.
 *
 * @param options  copied; NULL or all zero: the defaults
 *
 * @return a loop that the caller owns and frees by loop_free(); or NULL: out of
 *         memory, a stack size under TASK_STACK_MIN, or an unknown clock or
 *         back end.
 *
 * Source: asyncio.new_event_loop
 */
struct loop *loop_new(const struct loop_options *options);

/**
 * Run a function as the main task of a loop, until it has ended.
 *
 * May be called again. What main leaves behind stays, suspended where it is,
 * for the next run or loop_free(). A main that had not ended stays likewise.
 *
 * @param loop  a loop that does not run
 * @param fn    the main task's body
 * @param arg   passed to @p fn
 *
 * @return what @p fn returned, or
 *         -EAGAIN   loop_stop() ended the run before main had ended; it goes on
 *                   in the next run,
 *         -EDEADLK  as loop_run(), but nothing was cancelled; with
 *                   `handle_sigint` not before SIGINT has come,
 *         -EINTR    with `handle_sigint`: SIGINT came, its request was the only
 *                   one that main has had and not taken back, and main ended as
 *                   *cancelled*,
 *         -EBUSY    @p loop or its error hook runs, or another loop in this
 *                   thread; @p fn was not called,
 *         -EINVAL   @p loop or @p fn is NULL,
 *         -ENOMEM   no memory for main, or no memory, thread or signal for
 *                   `stall_timeout`; @p fn was not called,
 *         -EPERM    the loop was inherited over fork.
 *
 * Source: asyncio.Runner.run
 */
int loop_run_main(struct loop *loop, task_fn *fn, void *arg);

/**
 * Run a loop until loop_stop().
 *
 * @param loop  a loop that does not run
 *
 * @return 0         it was stopped, or
 *         -EDEADLK  nothing can happen any more, as in loop_run(); nothing was
 *                   cancelled,
 *         -EBUSY    @p loop or its error hook runs, or another loop in this
 *                   thread,
 *         -EINVAL   @p loop is NULL,
 *         -ENOMEM   no memory, thread or signal for `stall_timeout`,
 *         -EPERM    the loop was inherited over fork.
 *
 * Source: asyncio's loop.run_forever
 */
int loop_run_forever(struct loop *loop);

/**
 * Have the run of a loop return.
 *
 * The batch of this turn ends first. What it made ready, and all that is
 * suspended, stays for the next run. Called several times in one turn it stops
 * one run; called while the loop does not run, it makes the next run return
 * after one batch.
 *
 * @param loop  a loop; NULL does nothing
 *
 * Source: asyncio's loop.stop
 */
void loop_stop(struct loop *loop);

/**
 * Create a task in a loop, which need not run yet.
 *
 * As task_create() otherwise, also in that it is a function and a macro over
 * it.
 *
 * @param loop  a loop that runs in this thread, or does not run
 * @param fn    the coroutine's body
 * @param arg   passed to @p fn
 *
 * @return as task_create(); NULL also when @p loop is NULL or was inherited
 *         over fork.
 *
 * Source: asyncio's loop.create_task
 */
struct task *loop_create_task(struct loop *loop, task_fn *fn, void *arg);

/**
 * Create a task in a loop, with the place that reports will name.
 *
 * @param file  a string that outlives the task; NULL: no place is known
 * @param line  the line in @p file
 *
 * @return as loop_create_task().
 */
struct task *loop_create_task_at(struct loop *loop, task_fn *fn, void *arg,
                                 const char *file, int line);

#define loop_create_task(...)                                                  \
    loop_create_task_at(__VA_ARGS__, __FILE__, __LINE__)

/**
 * Free a loop.
 *
 * What is left is cancelled and run to its end first, as at the end of
 * loop_run(); callbacks whose time has not come are dropped, and what other
 * threads have called by a remote is run. Every handle of a task of the loop is
 * ended, and its pointer invalid. Of a loop inherited over fork nothing of the
 * parent's is touched, and nothing is run.
 *
 * When all that has ended, functions of the program's may still be called: the
 * last done callbacks, the error hook, other hooks, what destroys a local. Then
 * nothing can be made any more that the loop would have to end: calls for that
 * return -ESHUTDOWN, or NULL; callbacks may be set, and are not called.
 *
 * @param loop  a loop that does not run; NULL does nothing
 *
 * @return 0, or
 *         -EBUSY  @p loop or its error hook runs, or another loop in this
 *                 thread; it stays usable,
 *         -EPERM  this is the child of a fork in what was run or called here;
 *                 the loop is inherited, and may be freed as such.
 *
 * Source: asyncio's loop.close, asyncio.Runner.close
 */
int loop_free(struct loop *loop);

/**
 * Give the loop that runs in this thread.
 *
 * @return the loop, borrowed: in its tasks and callbacks; NULL outside, and in
 *         the child after fork.
 *
 * Source: asyncio.get_running_loop
 */
struct loop *loop_current(void);

/* Embedding. */

/**
 * Run one turn of a loop, to drive it from another loop.
 *
 * The batch, a look at the descriptors, which waits if nothing was ready, and
 * the timers that are due. A loop_stop() in the turn ends with it.
 *
 * @param loop     a loop that does not run
 * @param timeout  nanoseconds that it may wait at the most: 0 or less only
 *                 looks, TASK_FOREVER waits for the next thing due. On a
 *                 virtual clock the wait is a jump, no farther than this. It
 *                 may end early, to give memory back.
 *
 * @return > 0       something is alive: a task that is not done, a callback, a
 *                   timer, a descriptor watched, or
 *         0         nothing is; daemons do not count, nor callbacks due never,
 *         -EDEADLK  nothing can wake the tasks that are left, as in loop_run();
 *                   nothing was cancelled. Where what the other loop does will
 *                   wake them, have a remote open meanwhile (thread.h),
 *         -EBUSY    @p loop or its error hook runs, or another loop in this
 *                   thread,
 *         -EINVAL   @p loop is NULL,
 *         -ENOMEM   no memory, thread or signal for `stall_timeout`,
 *         -EPERM    the loop was inherited over fork.
 *
 * Source: libuv's uv_run(UV_RUN_ONCE)
 */
int loop_run_turn(struct loop *loop, task_time timeout);

/**
 * Give a descriptor that tells when a turn is due.
 *
 * It is readable while something is ready, a watched descriptor is, a deadline
 * has passed, or memory is to be given back: poll it from another loop, then call loop_run_turn()
 * with 0. Only polling is allowed.
 *
 * On a virtual clock time does not pass between turns: it is readable as long
 * as there is a deadline, and a turn with 0 does not come to that. There, call
 * loop_run_turn() with TASK_FOREVER, which jumps to the next one, or waits for
 * a job that is under way.
 *
 * @param loop  a loop
 *
 * @return the descriptor, owned by the loop and open until loop_free(), or
 *         -ENOTSUP  the loop uses LOOP_BACKEND_POLL, for which no descriptor
 *                   can stand,
 *         -EINVAL   @p loop is NULL,
 *         -EPERM    the loop was inherited over fork,
 *         -errno    it could not be opened: -EMFILE, -ENFILE, -ENOMEM,
 *                   -ENOSPC.
 *
 * Source: libuv's uv_backend_fd
 */
int loop_fd(struct loop *loop);

/**
 * Tell how long the loop could wait in its next turn.
 *
 * For a poll() of other descriptors where there is no loop_fd(): run a turn then
 * at the latest. What the loop itself waits for is seen in turns only.
 *
 * @param loop  a loop
 *
 * @return nanoseconds until the next deadline: 0 when it has passed or
 *         something is ready, TASK_FOREVER when nothing is set, and for NULL.
 *
 * Source: libuv's uv_backend_timeout
 */
task_time loop_next_timeout(const struct loop *loop);

TASK_END_DECLS

#endif
