/*
 * signal.h: signals as callbacks and as something that a task waits for.
 *
 * While anybody has a handler of a signal or waits for it, the library has it
 * caught, in the whole process; a former handler, or the default effect, is
 * back when nobody does any more, unless somebody else has set another one
 * meanwhile. Then it goes to all loops, of whatever thread, that have asked for
 * it: each calls its handler, in its own thread, and wakes those of its tasks
 * that wait.
 *
 * Signals of the same kind that come faster than a loop runs count as one;
 * different ones are never confused or lost. System calls elsewhere that a
 * signal interrupts are restarted (SA_RESTART), errno is kept, and a thread's
 * alternate stack is used if there is one (SA_ONSTACK).
 *
 * In the child of a fork everything is as if the library had caught nothing.
 *
 * No signal here may be SIGKILL or SIGSTOP, which nobody can catch, nor
 * SIGSEGV, SIGBUS, SIGFPE or SIGILL, after which their thread cannot go on; nor
 * that of loop_options.stall_timeout, while there is a loop with it.
 */
#ifndef TASK_SIGNAL_H
#define TASK_SIGNAL_H

#include <signal.h>
#include <task/base.h>

TASK_BEGIN_DECLS

/**
 * Have a function called for each signal of a kind.
 *
 * It is called as by loop_call_soon(), in the turn after the signal was
 * noticed, which a loop that waits does at once. While a handler is set the
 * loop is not deadlocked. It stays, over runs, until it is removed or the loop
 * is freed.
 *
 * @param signo  the signal; a second handler of the loop's replaces the first, and
 *               is called for what has come and was not told
 * @param fn     called in the loop's thread: it may not suspend
 * @param arg    passed to @p fn
 *
 * @return 0, or
 *         -EINVAL  @p fn is NULL, or @p signo is none, or one that cannot be
 *                  handled (see above),
 *         -ENOMEM  out of memory,
 *         -EMFILE, -ENFILE
 *                  no descriptor for wake-ups,
 *         -ENOSPC  the user has too many descriptors watched by epoll,
 *         -ESHUTDOWN
 *                  the loop is being freed,
 *         -EPERM   called outside a loop.
 *
 * Source: asyncio's loop.add_signal_handler
 */
int loop_add_signal_handler(int signo, loop_fn *fn, void *arg);

/**
 * Remove the handler of a signal.
 *
 * It is not called any more, also if the signal has come already.
 *
 * @return 0, or
 *         -ENOENT  the loop has none, or no loop runs in this thread.
 *
 * Source: asyncio's loop.remove_signal_handler
 */
int loop_remove_signal_handler(int signo);

/* With -std=c11 alone <signal.h> has no types for it. */
#ifdef SI_USER

/**
 * Wait for one of several signals.
 *
 * They are taken over while it waits: none of them has its usual effect. One
 * that is blocked in this thread works too, as with sigwaitinfo(): one that is
 * pending is taken at once; else it is unblocked in this thread meanwhile. In a
 * loop that goes on in another thread it is unblocked in that one too, and
 * blocked again there when the wait ends; the mask of the first stays as it is
 * then. If several are pending the lowest number comes first, and the others
 * with the next waits. All tasks that wait for the one that has come get it.
 *
 * To lose none that comes while nobody waits, block them, in all threads, as
 * for sigwaitinfo(); or have a handler.
 *
 * @param set   the signals; those that cannot be handled (see above) are left
 *              out
 * @param info  receives what is known about it; may be NULL
 *
 * Suspends until one has come. A cancel ends it.
 *
 * @return the signal's number, or
 *         -ECANCELED  a request was waiting, or came before a signal,
 *         -EINVAL     @p set is NULL, or no signal is left,
 *         -ENOMEM     out of memory,
 *         -EMFILE, -ENFILE
 *                     no descriptor for wake-ups,
 *         -ENOSPC     the user has too many descriptors watched by epoll,
 *         -EPERM      called outside a task.
 *
 * Source: sigwaitinfo(2)
 */
TASK_SUSPENDS int task_signal_wait(const sigset_t *set, siginfo_t *info);

#endif

TASK_END_DECLS

#endif
