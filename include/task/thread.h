/*
 * thread.h: other threads: run a function in one, and call a loop from one.
 *
 * A loop and its tasks belong to one thread. What would block them, such as a
 * long computation or a library that waits, runs in a worker thread meanwhile.
 * A thread of one's own calls a loop through a remote:
 *
 *     remote = loop_remote_open();            in a task, before the thread starts
 *     loop_remote_call(remote, fn, arg);      in the thread: fn runs in the loop
 *     loop_remote_run(remote, task, arg, t);  or a coroutine, and wait for it
 *     loop_remote_close(remote);              by whoever is the last to use it
 *
 * There is one pool of worker threads in the process, for all loops. It has
 * lanes, each with threads of its own: for what users run, for look-ups of
 * names, for files; so that none of them waits for what another is stuck in.
 * Threads start when there is work, and end when there was none for a while, or
 * when the last loop is freed that has used one. They block signals; the child
 * of a fork in one does so too, and gets none, for loops of its own either,
 * until it unblocks them.
 *
 * Who waits for another thread spins for up to 50 us before sleeping, as long as
 * the other mostly answers within 10 us: loop_remote_run(), an idle worker
 * thread, a loop on the real clock with an open remote or a job under way. That
 * takes processor time; what happens at the loop's descriptors meanwhile is seen
 * when it is over.
 */
#ifndef TASK_THREAD_H
#define TASK_THREAD_H

#include <task/base.h>
#include <task/time.h>

TASK_BEGIN_DECLS

/* Worker threads. */

/**
 * Run a function in a worker thread, and wait for it.
 *
 * Up to loop_options.worker_threads such functions of one loop run at once, in
 * the order of the calls; the others wait their turn. What is on the caller's
 * stack may be used: it is there until the function has returned.
 *
 * In the function no task is current: what needs one, or a loop, returns
 * -EPERM, this call too. It may run a loop of its own, call others by their
 * remotes, and read the locals of the task that waits for it
 * (task_local_get()).
 *
 * @param fn   called in another thread; no coroutine
 * @param arg  passed to @p fn
 *
 * Suspends until it has returned. A cancel takes back what no thread has begun;
 * else it is waited for, and the request comes next.
 *
 * @return what @p fn returned; -EOWNERDEAD if it did not, and ended its thread, as
 *         by pthread_exit(); or, without having called it,
 *         -ECANCELED  a request was waiting, or came before a thread was free,
 *         -EAGAIN     no thread could be started, and there is none, or all
 *                     wait for loops by loop_remote_run(), or this loop runs
 *                     in one itself,
 *         -EINVAL     @p fn is NULL,
 *         -ENOMEM     out of memory, at the first call in a loop,
 *         -EMFILE, -ENFILE
 *                     no descriptor for wake-ups, likewise,
 *         -ENOSPC     the user has too many descriptors watched by epoll,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio.to_thread
 */
TASK_SUSPENDS int task_to_thread(task_fn *fn, void *arg);

/* Remotes. */

/**
 * By which other threads reach a loop: opaque, opened by loop_remote_open().
 */
struct loop_remote;

/**
 * Open a remote of the running loop.
 *
 * While one is open the loop is not deadlocked: something may come by it. It
 * does not keep a loop from its end. It outlives the loop, and may be used by
 * any number of threads at once.
 *
 * @return a remote, which its owner ends by loop_remote_close(); or NULL: no
 *         loop runs in this thread, or it is about to be gone and takes no calls
 *         any more; out of memory; or there is no descriptor for wake-ups.
 */
struct loop_remote *loop_remote_open(void);

/**
 * Call a function in a remote's loop.
 *
 * It runs as by loop_call_soon(): as a callback, in the loop's thread, in the
 * turn after the loop has noticed. The calls of one thread run in their order
 * (but for a loop with a seed, which shuffles). What was accepted runs before
 * the loop is gone, also if the loop ends without having run again.
 *
 * May be called from any thread, the loop's own included; does not wait.
 *
 * @param remote  an open remote
 * @param fn      called in the loop's thread: it may not suspend
 * @param arg     passed to @p fn
 *
 * @return 0, or
 *         -ESHUTDOWN  the loop is gone, or about to be,
 *         -EINVAL     @p remote or @p fn is NULL,
 *         -ENOMEM     out of memory,
 *         -EPERM      the loop was inherited over fork.
 *
 * Source: asyncio's loop.call_soon_threadsafe
 */
int loop_remote_call(struct loop_remote *remote, loop_fn *fn, void *arg);

/**
 * Run a coroutine as a task of a remote's loop, and wait for it.
 *
 * It blocks the calling thread. When the time is up the task is cancelled, and
 * its end is awaited all the same, so that what is on the caller's stack may be
 * used. A task that is created always runs; so a loop that does not run keeps
 * the caller waiting, however long.
 *
 * May be called from any thread but the loop's own: the one that runs it or, as
 * long as none does, has run it last. In a worker thread it lets another job
 * take its place meanwhile; so the coroutine may use task_to_thread(). But on a
 * virtual clock time stands still while a job of the loop's is under way: one
 * that waits so for a coroutine that sleeps, or for its own @p timeout, waits
 * for ever.
 *
 * @param remote   an open remote
 * @param fn       the coroutine's body
 * @param arg      passed to @p fn
 * @param timeout  nanoseconds on the loop's clock, from now (on a virtual clock
 *                 from when the loop notices); 0 or less: the task is cancelled
 *                 before it begins
 *
 * @return what @p fn returned, or
 *         -ETIMEDOUT  the task was cancelled since its time was up, and ended as
 *                     *cancelled*,
 *         -ECANCELED  it was cancelled otherwise, as by the end of the loop,
 *         -ESHUTDOWN  the loop is gone, or about to be: @p fn was not called; or
 *                     it was, and dropped (LOOP_ERROR_SHUTDOWN),
 *         -EDEADLK    called in the loop's own thread,
 *         -EINVAL     @p remote or @p fn is NULL,
 *         -ENOMEM     out of memory for the task,
 *         -EPERM      the loop was inherited over fork.
 *
 * Source: asyncio.run_coroutine_threadsafe
 */
int loop_remote_run(struct loop_remote *remote, task_fn *fn, void *arg,
                    task_time timeout);

/**
 * Have a loop look at the world.
 *
 * The wait that it is in ends, or the next one does not begin: so
 * loop_run_turn() returns, and what the caller has written before is seen by
 * whoever looks at it then.
 *
 * May be called from any thread, and from a signal handler.
 *
 * @param remote  an open remote
 *
 * @return 0, or
 *         -ESHUTDOWN  the loop is gone, or about to be,
 *         -EINVAL     @p remote is NULL,
 *         -EPERM      the loop was inherited over fork.
 *
 * Source: libuv's uv_async_send
 */
int loop_remote_wake(struct loop_remote *remote);

/**
 * Close a remote.
 *
 * What was accepted still runs. Nobody may be using the remote, or use it
 * afterwards; but what was called by it may close it, if it was the last to be.
 *
 * May be called from any thread, also after the loop is gone.
 *
 * @param remote  an open remote; NULL does nothing
 */
void loop_remote_close(struct loop_remote *remote);

TASK_END_DECLS

#endif
