/*
 * The handler of signals that ask for a dump, and whom it tells.
 */
#include "ask.h"

#include "cancelling.h"
#include "catch.h"
#include "catch_disposition.h"
#include "handler.h"
#include "holder.h"
#include "loop.h"
#include "symbols.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

/* A loop that has not reacted for so long is held; how often it is tried. */
enum { PATIENCE_MILLISECONDS = 100, TRIES = 20 };

/* A signal that asks, and what was there before. */
struct ask_signal {
    struct ask_signal *next;
    int signo;
    struct sigaction former;
};

unsigned task__asks;

static struct ask_target *targets;
static struct ask_signal *signals;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of whoever adds */

/* Tries again what was in vain. */
static timer_t timer;
static bool has_timer;
static int timer_signo;
static int tries_left;

/* That of the loop that runs in this thread, or ran there last; another loop
 * may have it by now. */
static THREAD_LOCAL struct ask_target *last;

/* Whether it is that of no other thread. */
static bool is_own(struct ask_target *target)
{
    pthread_t thread;

    if (!target)
        return false;
    __atomic_load(&target->thread, &thread, __ATOMIC_RELAXED);
    return pthread_equal(thread, pthread_self());
}

/* Targets. */

static bool take(struct ask_target *target)
{
    return !__atomic_exchange_n(&target->is_used, true, __ATOMIC_ACQUIRE);
}

static struct ask_target *make_target(void)
{
    struct ask_target *target = calloc(1, sizeof *target);

    if (!target)
        return NULL;
    target->is_used = true;
    target->next = __atomic_load_n(&targets, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&targets, &target->next, target, true,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        continue;
    return target;
}

static struct ask_target *first_target(void)
{
    return __atomic_load_n(&targets, __ATOMIC_ACQUIRE);
}

static void note(struct ask_target *target)
{
    __atomic_store_n(&target->n_seen,
                     __atomic_load_n(&task__asks, __ATOMIC_ACQUIRE),
                     __ATOMIC_RELAXED);
}

struct ask_target *task__ask_target_get(void)
{
    struct ask_target *target = first_target();

    while (target && !take(target))
        target = target->next;
    if (!target)
        target = make_target();
    if (target)
        note(target);
    return target;
}

void task__ask_target_put(struct ask_target *target)
{
    if (target)
        __atomic_store_n(&target->is_used, false, __ATOMIC_RELEASE);
}

/* The timer of a signal; without one only the next signal tries again. */
static void make_timer(int signo)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
                             .sigev_signo = signo,
                             .sigev_value.sival_ptr = &timer};

    if (__atomic_load_n(&has_timer, __ATOMIC_ACQUIRE))
        return;
    __atomic_store_n(&timer_signo, signo, __ATOMIC_RELAXED);
    if (!timer_create(CLOCK_MONOTONIC, &event, &timer))
        __atomic_store_n(&has_timer, true, __ATOMIC_RELEASE);
}

/* A child of a fork has no timer. */
static COLD void make_timer_again(void)
{
    pthread_mutex_lock(&mutex);
    make_timer(timer_signo);
    pthread_mutex_unlock(&mutex);
}

void task__ask_enter(struct ask_target *target)
{
    pthread_t self = pthread_self();

    if (unlikely(__atomic_load_n(&timer_signo, __ATOMIC_RELAXED) &&
                 !__atomic_load_n(&has_timer, __ATOMIC_RELAXED)))
        make_timer_again();
    if (!is_own(target)) /* what is on its way to another thread stays there */
        __atomic_store_n(&target->is_nudged, false, __ATOMIC_RELAXED);
    last = target;
    __atomic_store(&target->thread, &self, __ATOMIC_RELAXED);
    ask_set_waiting(target, false);
    __atomic_store_n(&target->is_running, true, __ATOMIC_SEQ_CST);
}

/* What was sent comes before the last of these calls returns: another loop that
 * this thread runs next knows nothing of it. */
void task__ask_leave(struct ask_target *target)
{
    __atomic_store_n(&target->is_running, false, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&target->users, __ATOMIC_SEQ_CST))
        sched_yield();
    if (unlikely(__atomic_load_n(&target->is_nudged, __ATOMIC_RELAXED)))
        sched_yield();
}

void task__ask_note_fork(void)
{
    struct ask_target *target = first_target();

    for (; target; target = target->next) {
        target->users = 0;
        target->is_running = false;
        target->is_nudged = false;
        target->is_used = false;
    }
    last = NULL;
    has_timer = false;
    mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* The handler. */

static void set_timer(long milliseconds)
{
    struct itimerspec when = {.it_value.tv_nsec =
                                  milliseconds * TASK_MILLISECOND};

    if (__atomic_load_n(&has_timer, __ATOMIC_ACQUIRE))
        timer_settime(timer, 0, &when, NULL);
}

/* Interrupt the wait of a loop in another thread. One signal at a time is on
 * its way there: of two, the second would be taken for somebody else's, if both
 * were sent before the first is known for what it is. One of long ago is lost:
 * somebody else had a handler then. */
static void nudge(struct ask_target *target, int signo, bool is_late,
                  bool is_again)
{
    bool is_sent;

    __atomic_add_fetch(&target->users, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&target->is_running, __ATOMIC_SEQ_CST)) {
        if (is_late)
            __atomic_store_n(&target->is_late, true, __ATOMIC_RELAXED);
        is_sent =
            __atomic_exchange_n(&target->is_nudged, true, __ATOMIC_ACQ_REL);
        if ((!is_sent || is_again) &&
            pthread_kill(target->thread, signo)) /* no room for one more */
            __atomic_store_n(&target->is_nudged, false, __ATOMIC_RELAXED);
    }
    __atomic_sub_fetch(&target->users, 1, __ATOMIC_SEQ_CST);
}

/* Whether a loop runs that has not begun what it was asked for. */
static bool is_behind(const struct ask_target *target)
{
    return __atomic_load_n(&target->is_running, __ATOMIC_ACQUIRE) &&
           ask_is_pending(target);
}

static bool any_is_behind(void)
{
    const struct ask_target *target = first_target();

    while (target && !is_behind(target))
        target = target->next;
    return target;
}

/* What is asked for just now may have set the timer before it is stopped. */
void task__ask_seen(struct ask_target *target)
{
    note(target);
    if (any_is_behind())
        return;
    set_timer(0);
    if (any_is_behind())
        set_timer(PATIENCE_MILLISECONDS);
}

/* Interrupt all other loops; is_again: only those that have not reacted. */
static bool nudge_others(int signo, bool is_again)
{
    struct ask_target *target = first_target();
    bool any = false;

    for (; target; target = target->next) {
        bool is_late = is_behind(target);

        any |= is_late;
        if (!is_own(target) && (is_late || !is_again))
            nudge(target, signo, is_late, is_again);
    }
    return any;
}

/* Tell who holds the loop of this thread, once for each time it was asked. */
static void tell_holder(const struct loop *loop, const void *context)
{
    unsigned asks = __atomic_load_n(&task__asks, __ATOMIC_RELAXED);

    if (!is_behind(last) || last->is_waiting || last->n_told == asks)
        return;
    last->n_told = asks;
    task__holder_tell(loop, context);
}

static void ask(int signo)
{
    __atomic_add_fetch(&task__asks, 1, __ATOMIC_RELEASE);
    nudge_others(signo, false);
    __atomic_store_n(&tries_left, TRIES, __ATOMIC_RELAXED);
    set_timer(PATIENCE_MILLISECONDS);
}

static void try_again(int signo)
{
    if (nudge_others(signo, true) &&
        __atomic_sub_fetch(&tries_left, 1, __ATOMIC_RELAXED) > 0)
        set_timer(PATIENCE_MILLISECONDS);
}

static void pass_on(int signo, siginfo_t *info, void *context)
{
    const struct ask_signal *signal =
        __atomic_load_n(&signals, __ATOMIC_ACQUIRE);

    while (signal && signal->signo != signo)
        signal = signal->next;
    if (signal)
        (void)handler_call(&signal->former, signo, info, context);
}

/* A nudge, if there was one since; whether the loop is late. */
static bool take_nudge(bool *is_late)
{
    if (!is_own(last) ||
        !__atomic_exchange_n(&last->is_nudged, false, __ATOMIC_ACQUIRE))
        return false;
    *is_late = __atomic_exchange_n(&last->is_late, false, __ATOMIC_RELAXED);
    return true;
}

/* False: it was our own, to have a loop look, or to try again. */
static bool hear(int signo, siginfo_t *info, void *context)
{
    struct scheduler *scheduler = scheduler_current();
    bool is_late = scheduler && ask_is_pending(last);
    bool is_timer =
        info->si_code == SI_TIMER && info->si_value.sival_ptr == &timer;
    bool is_asked = !is_timer && !take_nudge(&is_late);

    if (is_timer)
        try_again(signo);
    if (is_late && scheduler)
        tell_holder(loop_of(scheduler), context);
    if (is_asked)
        ask(signo);
    return is_asked;
}

/* A loop waits until nobody is about to nudge it. */
static void on_signal(int signo, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    struct cancelling former = cancelling_stop();
    bool is_asked = hear(signo, info, context);

    cancelling_restore(former);
    if (is_asked)
        pass_on(signo, info, context);
    errno = saved_errno;
}

/* Setting it. */

static struct ask_signal *find_signal(int signo)
{
    struct ask_signal *signal = signals;

    while (signal && signal->signo != signo)
        signal = signal->next;
    return signal;
}

static struct ask_signal *add_signal(int signo, const struct sigaction *former)
{
    struct ask_signal *signal = malloc(sizeof *signal);

    if (!signal)
        return NULL;
    *signal = (struct ask_signal){signals, signo, *former};
    __atomic_store_n(&signals, signal, __ATOMIC_RELEASE);
    return signal;
}

static int set(int signo)
{
    int flags = SA_SIGINFO | SA_RESTART | ON_SIGNAL_STACK;
    struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = flags};
    struct sigaction now;
    const struct ask_signal *signal = find_signal(signo);
    int error =
        task__catch_can(signo) ? task__catch_beneath(signo, &now) : -EINVAL;

    if (error)
        return error;
    if (handler_is(&now, on_signal))
        return 0;
    if (signal && now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)
        return -EBUSY;
    if (!signal && !add_signal(signo, &now))
        return -ENOMEM;
    ours.sa_mask = now.sa_mask;
    error = task__catch_put_beneath(signo, &ours, hear);
    if (!error)
        make_timer(signo);
    return error;
}

int task_dump_on_signal(int signo)
{
    int status;

    task__symbols_prepare();
    task__loop_watch_forks();
    pthread_mutex_lock(&mutex);
    status = set(signo);
    pthread_mutex_unlock(&mutex);
    if (status == -EINVAL)
        return MISUSE(status, "there is no such signal to be caught");
    return status;
}
