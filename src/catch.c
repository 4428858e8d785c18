/*
 * Catching signals: receivers, the C handler, and forks.
 */
#include "catch.h"

#include "cancelling.h"
#include "catch_disposition.h"
#include "scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

/* States of struct caught: the first signal's is kept until it is taken. */
enum { NOTHING, BEING_KEPT, KEPT };

static struct receiver *receivers; /* the last made first */

/* What handlers and receivers share is ordered as if one came after the
 * other. */

static bool load(const unsigned *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static void store(unsigned *flag, bool value)
{
    __atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}

static bool exchange(unsigned *flag, bool value)
{
    return __atomic_exchange_n(flag, value, __ATOMIC_SEQ_CST);
}

/* The handler. */

static void keep(struct caught *caught, const siginfo_t *info)
{
    int expected = NOTHING;

    if (!__atomic_compare_exchange_n(&caught->state, &expected, BEING_KEPT,
                                     false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    caught->info = *info;
    __atomic_store_n(&caught->state, KEPT, __ATOMIC_RELEASE);
}

/* A signal that was blocked is to be so again when the handler returns: so
 * those that come now stay with the system. */
static void block_again(int signo, ucontext_t *interrupted)
{
    sigaddset(&interrupted->uc_sigmask, signo);
}

static bool is_reblocked_here(const struct receiver *receiver, int signo)
{
    uintptr_t thread =
        __atomic_load_n(&receiver->reblocked[signo], __ATOMIC_SEQ_CST);

    return thread && thread == task__scheduler_thread;
}

static void tell(struct receiver *receiver, int signo, const siginfo_t *info,
                 ucontext_t *interrupted)
{
    keep(&receiver->caught[signo], info);
    store(&receiver->pending[signo], true);
    if (is_reblocked_here(receiver, signo))
        block_again(signo, interrupted);
    if (!exchange(&receiver->is_posted, true))
        task__inbox_answer(receiver->inbox, &receiver->post);
}

static void tell_all(int signo, const siginfo_t *info, ucontext_t *interrupted)
{
    struct receiver *receiver = __atomic_load_n(&receivers, __ATOMIC_ACQUIRE);

    for (; receiver; receiver = receiver->next) {
        if (!load(&receiver->wanted[signo]))
            continue;
        __atomic_fetch_add(&receiver->handlers, 1, __ATOMIC_SEQ_CST);
        if (load(&receiver->wanted[signo]))
            tell(receiver, signo, info, interrupted);
        __atomic_fetch_sub(&receiver->handlers, 1, __ATOMIC_SEQ_CST);
    }
}

/* Whoever is told waits until all handlers are done. */
void task__catch_signal(int signo, siginfo_t *info, void *interrupted)
{
    int saved_errno = errno;
    struct cancelling former = cancelling_stop();

    if (task__disposition_is_for_loops(signo, info, interrupted))
        tell_all(signo, info, interrupted);
    errno = saved_errno;
    cancelling_restore(former);
}

/* Those in this thread have returned; others run on. */
static void await_handlers(struct receiver *receiver)
{
    while (__atomic_load_n(&receiver->handlers, __ATOMIC_SEQ_CST))
        sched_yield();
}

/* Nobody has wanted anything of it for a while: handlers look, and no more. */
static void empty(struct receiver *receiver)
{
    receiver->is_used = false;
    receiver->inbox = NULL;
    receiver->is_posted = false;
    for (int signo = 1; signo < NSIG; signo++) {
        receiver->pending[signo] = false;
        receiver->reblocked[signo] = 0;
        receiver->caught[signo].state = NOTHING;
    }
}

/* Forks. */

static sigset_t mask_at_fork;

static void before_fork(void)
{
    sigset_t all;
    sigset_t mask;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    pthread_mutex_lock(&task__catch_mutex);
    mask_at_fork = mask;
}

static void after_fork(void)
{
    sigset_t mask = mask_at_fork;

    pthread_mutex_unlock(&task__catch_mutex);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* Whom the parent's receiver has told, or is telling, is of no use here. */
static void forget(struct receiver *receiver)
{
    for (int signo = 1; signo < NSIG; signo++)
        if (is_reblocked_here(receiver, signo))
            sigaddset(&mask_at_fork, signo);
    for (int signo = 1; signo < NSIG; signo++)
        receiver->n_wants[signo] = receiver->wanted[signo] = 0;
    receiver->handlers = 0;
    empty(receiver);
}

static void be_forked(void)
{
    task__disposition_give_all_back();
    for (struct receiver *at = receivers; at; at = at->next)
        forget(at);
    after_fork();
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, be_forked);
}

/* Receivers. */

static int left_alone;

void task__catch_leave_alone(int signo)
{
    __atomic_store_n(&left_alone, signo, __ATOMIC_RELAXED);
}

bool task__catch_can(int signo)
{
    static const int never[] = {SIGKILL, SIGSTOP, SIGSEGV,
                                SIGBUS,  SIGFPE,  SIGILL};
    struct sigaction now;

    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (signo == never[i])
            return false;
    if (signo == __atomic_load_n(&left_alone, __ATOMIC_RELAXED))
        return false;
    return signo > 0 && signo < NSIG && !sigaction(signo, NULL, &now);
}

/* One that is not used, or a new one; under the mutex. */
static struct receiver *get(void)
{
    struct receiver *receiver = receivers;

    while (receiver && receiver->is_used)
        receiver = receiver->next;
    if (receiver)
        return receiver;
    receiver = aligned_alloc(_Alignof(struct receiver), sizeof *receiver);
    if (receiver) {
        *receiver = (struct receiver){.next = receivers};
        __atomic_store_n(&receivers, receiver, __ATOMIC_RELEASE);
    }
    return receiver;
}

struct receiver *task__catch_open(struct inbox *inbox,
                                  void (*run)(struct post *post))
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct receiver *receiver;

    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&task__catch_mutex);
    receiver = get();
    if (receiver) {
        receiver->is_used = true;
        receiver->inbox = inbox;
        receiver->post.run = run;
    }
    pthread_mutex_unlock(&task__catch_mutex);
    return receiver;
}

void task__catch_close(struct receiver *receiver)
{
    await_handlers(receiver);
    pthread_mutex_lock(&task__catch_mutex);
    empty(receiver);
    pthread_mutex_unlock(&task__catch_mutex);
}

/* It is wanted before it is caught, so that none is lost. */
int task__catch_begin(struct receiver *receiver, int signo, bool once)
{
    int error;

    if (!receiver->n_wants[signo])
        store(&receiver->wanted[signo], true);
    pthread_mutex_lock(&task__catch_mutex);
    error = task__disposition_take(signo, once);
    pthread_mutex_unlock(&task__catch_mutex);
    if (!error)
        receiver->n_wants[signo]++;
    else if (!receiver->n_wants[signo])
        store(&receiver->wanted[signo], false);
    return error;
}

void task__catch_end(struct receiver *receiver, int signo, bool once)
{
    pthread_mutex_lock(&task__catch_mutex);
    task__disposition_give_back(signo, once);
    pthread_mutex_unlock(&task__catch_mutex);
    if (--receiver->n_wants[signo])
        return;
    store(&receiver->wanted[signo], false);
    await_handlers(receiver);
}

void task__catch_look(struct receiver *receiver)
{
    exchange(&receiver->is_posted, false);
}

/* What is known may be of an earlier one; of one that comes now nothing is. */
bool task__catch_take(struct receiver *receiver, int signo, siginfo_t *info)
{
    struct caught *caught = &receiver->caught[signo];

    if (!load(&receiver->pending[signo]) ||
        !exchange(&receiver->pending[signo], false))
        return false;
    memset(info, 0, sizeof *info);
    info->si_signo = signo;
    if (__atomic_load_n(&caught->state, __ATOMIC_ACQUIRE) == KEPT) {
        *info = caught->info;
        __atomic_store_n(&caught->state, NOTHING, __ATOMIC_RELEASE);
    }
    return true;
}

void task__catch_reblock(struct receiver *receiver, int signo)
{
    __atomic_store_n(&receiver->reblocked[signo], task__scheduler_thread,
                     __ATOMIC_SEQ_CST);
}

bool task__catch_reblock_no_more(struct receiver *receiver, int signo)
{
    bool is_here = is_reblocked_here(receiver, signo);

    __atomic_store_n(&receiver->reblocked[signo], 0, __ATOMIC_SEQ_CST);
    return is_here;
}
