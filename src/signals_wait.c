/*
 * Tasks that wait for signals.
 *
 * A wait ends when the task is woken, before it runs: so that a signal that
 * comes meanwhile has its usual effect, or stays with the system.
 */
#include "debugger.h"
#include "fd.h"
#include "loop_above.h"
#include "signals.h"
#include "text.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

struct signal_waiter {
    struct waiter waiter;
    struct signals *signals;
    const sigset_t *set;
    siginfo_t *info;
};

/* The last wait for a signal has it blocked again, if it was. */
void task__signals_end_wait(struct signals *signals, int signo)
{
    sigset_t one;

    task__catch_end(signals->receiver, signo, false);
    if (--signals->n_waits[signo] ||
        !task__catch_reblock_no_more(signals->receiver, signo))
        return;
    sigemptyset(&one);
    sigaddset(&one, signo);
    pthread_sigmask(SIG_BLOCK, &one, NULL);
}

static struct signal_waiter *waiter_at(struct list_node *node)
{
    return container_of(node, struct signal_waiter, waiter.node);
}

static void end_waits(struct signals *signals, const sigset_t *set)
{
    for (int signo = 1; signo < NSIG; signo++)
        if (sigismember(set, signo) == 1)
            task__signals_end_wait(signals, signo);
}

static void wake(struct signal_waiter *waiter, int result)
{
    end_waits(waiter->signals, waiter->set);
    task__wake(&waiter->waiter, result);
}

/* All who wait know the same of it. To wake one takes just that one off the
 * list. */
void task__signals_wake(struct signals *signals, const siginfo_t *info)
{
    struct list_node *node = signals->waiters.first;

    while (node) {
        struct signal_waiter *waiter = waiter_at(node);

        node = node->next;
        if (sigismember(waiter->set, info->si_signo) != 1)
            continue;
        *waiter->info = *info;
        wake(waiter, info->si_signo);
    }
}

/* Those of a set that can be caught, or that this thread blocks and can. */
static int choose(const sigset_t *set, sigset_t *wanted, sigset_t *blocked)
{
    int n = 0;

    pthread_sigmask(SIG_BLOCK, NULL, blocked);
    sigemptyset(wanted);
    for (int signo = 1; signo < NSIG; signo++) {
        if (sigismember(set, signo) == 1 && task__catch_can(signo)) {
            sigaddset(wanted, signo);
            n++;
        } else {
            sigdelset(blocked, signo);
        }
    }
    return n;
}

/* The first that is pending with the system; 0: none. */
static int take_pending(const sigset_t *blocked, siginfo_t *info)
{
    static const struct timespec at_once = {0, 0};
    int signo;

    do
        signo = sigtimedwait(blocked, info, &at_once);
    while (signo < 0 && errno == EINTR);
    return signo < 0 ? 0 : signo;
}

static int begin_wait(struct signals *signals, int signo, bool is_blocked)
{
    int error = task__catch_begin(signals->receiver, signo, false);

    if (error)
        return error;
    signals->n_waits[signo]++;
    if (is_blocked)
        task__catch_reblock(signals->receiver, signo);
    return 0;
}

/* What the thread before had unblocked stays so: nobody else can block it
 * there. */
void task__signals_move(struct loop *loop)
{
    struct signals *signals = loop->signals;
    sigset_t blocked;

    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int signo = 1; signo < NSIG; signo++)
        if (!signals->n_waits[signo])
            sigdelset(&blocked, signo);
        else if (sigismember(&blocked, signo) == 1)
            task__catch_reblock(signals->receiver, signo);
    pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
}

/* Take the signals over, and unblock them; the set is what could be. */
static int begin_waits(struct signals *signals, sigset_t *wanted,
                       sigset_t *blocked)
{
    int error = -EINVAL;
    int n = 0;

    for (int signo = 1; signo < NSIG; signo++) {
        if (sigismember(wanted, signo) != 1)
            continue;
        error = begin_wait(signals, signo, sigismember(blocked, signo) == 1);
        if (error) {
            sigdelset(wanted, signo);
            sigdelset(blocked, signo);
        } else {
            n++;
        }
    }
    if (n)
        pthread_sigmask(SIG_UNBLOCK, blocked, NULL);
    return n ? 0 : error;
}

/* One of these that was caught, and that nobody else is going to be told of; 0:
 * none. */
static int take_caught(struct signals *signals, const sigset_t *set,
                       siginfo_t *info)
{
    for (int signo = 1; signo < NSIG; signo++)
        if (sigismember(set, signo) == 1 && !signals->n_waits[signo] &&
            !signals->handlers[signo] &&
            task__catch_take(signals->receiver, signo, info))
            return signo;
    return 0;
}

/* A signal that was caught before the request is what the wait returns. */
static void cancel_wait(struct waiter *base, struct task_chain *requests)
{
    struct signal_waiter *waiter =
        container_of(base, struct signal_waiter, waiter);
    int signo;

    (void)requests;
    list_remove(&base->node);
    end_waits(waiter->signals, waiter->set);
    signo = take_caught(waiter->signals, waiter->set, waiter->info);
    if (!signo) {
        waiter_refuse(base);
        return;
    }
    task_keep_request(base->task);
    task__wake(base, signo);
}

static void add_name(struct text *text, int signo)
{
    const char *name = SIGNAL_NAME(signo);

    if (name)
        task__text_add(text, "SIG%s", name);
    else if (signo >= SIGRTMIN && signo <= SIGRTMAX)
        task__text_add(text, "SIGRTMIN+%d", signo - SIGRTMIN);
    else
        task__text_add(text, "%d", signo);
}

/* Some, and how many more there are. */
static void describe(const struct waiter *waiter, struct text *text)
{
    enum { NAMES = 8 };
    const sigset_t *set =
        container_of(waiter, const struct signal_waiter, waiter)->set;
    int n = 0;

    for (int signo = 1; signo < NSIG; signo++) {
        if (sigismember(set, signo) != 1 || n++ >= NAMES)
            continue;
        if (n > 1)
            task__text_add(text, " or ");
        add_name(text, signo);
    }
    if (n > NAMES)
        task__text_add(text, " or %d more", n - NAMES);
}

static const struct debugger_number NUMBERS[] = {
    DEBUGGER_OFFSET(signal_waiter, set),
    {"", 0},
};

static const struct wait_kind WAITING = {
    .verb = "waiting for signal",
    .describe = describe,
    .numbers = NUMBERS,
    .cancel = cancel_wait,
};

static int wait_for(struct signals *signals, struct task *self,
                    const sigset_t *wanted, siginfo_t *info)
{
    struct signal_waiter waiter = {
        .signals = signals, .set = wanted, .info = info};
    int result;

    waiter_init(&waiter.waiter, self, &WAITING);
    list_append(&signals->waiters, &waiter.waiter.node);
    signals->loop->n_sources++;
    result = task__park(&waiter.waiter);
    signals->loop->n_sources--;
    return result;
}

/* A SIGINT that main would be told of is told by the next look: it has main's
 * wish for the first one renewed. */
static int take_kept(struct signals *signals, const sigset_t *wanted,
                     siginfo_t *info)
{
    sigset_t set = *wanted;

    if (signals->main && !signals->is_interrupted)
        sigdelset(&set, SIGINT);
    return take_caught(signals, &set, info);
}

static int wait_for_any(struct task *self, const sigset_t *set, siginfo_t *info)
{
    struct signals *signals;
    sigset_t wanted;
    sigset_t blocked;
    int result;

    if (!choose(set, &wanted, &blocked))
        return -EINVAL;
    result = task__signals_get(loop_of_task(self), &signals);
    if (!result)
        result = take_kept(signals, &wanted, info);
    if (!result)
        result = take_pending(&blocked, info);
    if (result)
        return result;
    result = begin_waits(signals, &wanted, &blocked);
    return result ? result : wait_for(signals, self, &wanted, info);
}

int task_signal_wait(const sigset_t *set, siginfo_t *info)
{
    struct task *self;
    siginfo_t told;
    int result = task_enter(&self);
    int saved_errno;

    if (result)
        return result;
    saved_errno = errno;
    result = set ? wait_for_any(self, set, &told) : -EINVAL;
    fd_restore_errno(self, saved_errno);
    if (result == -EINVAL)
        return MISUSE(result, "there is no signal that can be waited for");
    if (result > 0 && info)
        *info = told;
    return result;
}
