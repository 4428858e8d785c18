/*
 * Whether the loop gets on is told by what every switch and turn changes
 * anyhow: so the loop itself does nothing for it, but rouse the watchdog after
 * a wait.
 */
#include "watchdog.h"

#include "loop.h"
#include "own_thread.h"
#include "symbols.h"
#include "watchdog_catch.h"
#include "watchdog_signal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* Where a loop is; the same twice: it is still in the same step. */
struct sight {
    uint64_t turns;
    uint64_t switches;
    const void *batch;
};

struct watchdog {
    struct loop *loop;
    task_time limit;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t stirred;

    /* Under the mutex. */
    bool quits;
    bool runs; /* the loop, in this thread: */
    pthread_t target;
    bool was_blocked; /* our signal, there */

    int sleeps; /* until the loop has waited: read and written at once */

    /* Set before the signal is sent; read by its handler, while `asks` is true:
     * until that has answered, or the loop's thread has gone on without. */
    struct sight suspect;
    task_time held;
    unsigned asks; /* a word: every processor can exchange that */

    /* Set by the handler; read by the loop, in the same thread. */
    struct caught_step caught;
    bool has_caught;
};

/* The loop's thread writes meanwhile: what is read may be torn, and then
 * differs from what is read the next time. */
NO_TSAN static struct sight look(const struct loop *loop)
{
    const volatile struct scheduler *scheduler = &loop->scheduler;

    return (struct sight){scheduler->turns, scheduler->switches,
                          (const void *)scheduler->batch};
}

static bool same(const struct sight *a, const struct sight *b)
{
    return a->turns == b->turns && a->switches == b->switches &&
           a->batch == b->batch;
}

/* In the signal handler: the loop may have got on meanwhile, or its thread run
 * another one. */
void task__watchdog_hear(int number, siginfo_t *info, void *context)
{
    struct scheduler *scheduler = scheduler_current();
    struct watchdog *watchdog = scheduler ? loop_of(scheduler)->watchdog : NULL;
    int saved_errno = errno;
    struct sight sight;

    (void)number;
    (void)info;
    if (watchdog && __atomic_load_n(&watchdog->asks, __ATOMIC_ACQUIRE)) {
        sight = look(watchdog->loop);
        if (same(&sight, &watchdog->suspect)) {
            task__watchdog_catch(watchdog->loop, watchdog->held, context,
                                 &watchdog->caught);
            __atomic_store_n(&watchdog->has_caught, true, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&watchdog->asks, false, __ATOMIC_RELEASE);
    }
    errno = saved_errno;
}

/* The watchdog's own thread. */

static bool is_idle(const struct loop *loop)
{
    return __atomic_load_n(&loop->ask->is_waiting, __ATOMIC_RELAXED);
}

/* While the loop waits, or nobody runs it, there is nothing to look at. */
static void sleep_while_idle(struct watchdog *watchdog)
{
    __atomic_exchange_n(&watchdog->sleeps, 1, __ATOMIC_ACQ_REL);
    while (!watchdog->quits && (!watchdog->runs || is_idle(watchdog->loop)))
        pthread_cond_wait(&watchdog->stirred, &watchdog->mutex);
    __atomic_store_n(&watchdog->sleeps, 0, __ATOMIC_RELEASE);
}

static void pause_until(struct watchdog *watchdog, task_time when)
{
    struct timespec time = clock_timespec(when);

    pthread_cond_timedwait(&watchdog->stirred, &watchdog->mutex, &time);
}

/* False: to be tried again. It was asked before, and the loop has not come to
 * it; or the system has no room for one more signal. */
static bool ask(struct watchdog *watchdog, const struct sight *sight,
                task_time held)
{
    if (__atomic_load_n(&watchdog->asks, __ATOMIC_ACQUIRE))
        return false;
    watchdog->suspect = *sight;
    watchdog->held = held;
    __atomic_store_n(&watchdog->asks, true, __ATOMIC_RELEASE);
    if (task__watchdog_signal_send(watchdog->target))
        return true;
    __atomic_store_n(&watchdog->asks, false, __ATOMIC_RELAXED);
    return false;
}

static void *watch(void *arg)
{
    struct watchdog *watchdog = arg;
    struct sight last = {0};
    task_time since = task__clock_monotonic();
    bool asked = false;

    pthread_mutex_lock(&watchdog->mutex);
    while (!watchdog->quits) {
        task_time time = task__clock_monotonic();
        struct sight sight = look(watchdog->loop);

        if (!watchdog->runs || is_idle(watchdog->loop)) {
            sleep_while_idle(watchdog);
            since = task__clock_monotonic();
            continue;
        }
        if (!same(&sight, &last)) {
            last = sight;
            since = time;
            asked = false;
        } else if (!asked && time - since >= watchdog->limit) {
            asked = ask(watchdog, &sight, time - since);
        }
        pause_until(watchdog, time + watchdog->limit / 4 + 1);
    }
    pthread_mutex_unlock(&watchdog->mutex);
    return NULL;
}

/* The step that it asked about is over, and had the signal blocked, or took it
 * for itself: what was sent comes now, and means nothing. */
static void withdraw(struct watchdog *watchdog)
{
    if (!__atomic_exchange_n(&watchdog->asks, false, __ATOMIC_ACQ_REL))
        return;
    pthread_mutex_lock(&watchdog->mutex); /* until it is sent */
    pthread_mutex_unlock(&watchdog->mutex);
    if (task__watchdog_signal_mask(SIG_UNBLOCK))
        task__watchdog_signal_mask(SIG_BLOCK);
}

/* For the loop. */

static int init(struct watchdog *watchdog, struct loop *loop)
{
    pthread_condattr_t attributes;
    int error;

    memset(watchdog, 0, sizeof *watchdog);
    watchdog->loop = loop;
    watchdog->limit = loop->options.stall_timeout;
    pthread_mutex_init(&watchdog->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(&watchdog->stirred, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

int task__watchdog_start(struct loop *loop)
{
    struct watchdog *watchdog = memory_get(&loop->allocator, sizeof *watchdog);

    if (!watchdog)
        return -ENOMEM;
    if (init(watchdog, loop))
        goto fail;
    if (task__watchdog_signal_get())
        goto fail_condition;
    task__symbols_prepare();
    if (own_thread(&watchdog->thread, watch, watchdog))
        goto fail_signal;
    loop->watchdog = watchdog;
    return 0;

fail_signal:
    task__watchdog_signal_put();
fail_condition:
    pthread_cond_destroy(&watchdog->stirred);
fail:
    memory_free(&loop->allocator, watchdog);
    return -ENOMEM;
}

void task__watchdog_enter(struct watchdog *watchdog)
{
    watchdog->was_blocked = task__watchdog_signal_mask(SIG_UNBLOCK);
    pthread_mutex_lock(&watchdog->mutex);
    watchdog->runs = true;
    watchdog->target = pthread_self();
    pthread_cond_signal(&watchdog->stirred);
    pthread_mutex_unlock(&watchdog->mutex);
}

/* Of the two that write to `sleeps` and read, one is the later: this, and it
 * sees that the watchdog sleeps; or that, and it sees that the loop waits no
 * more. */
void task__watchdog_rouse(struct watchdog *watchdog)
{
    if (!__atomic_fetch_or(&watchdog->sleeps, 0, __ATOMIC_ACQ_REL))
        return;
    pthread_mutex_lock(&watchdog->mutex);
    pthread_cond_signal(&watchdog->stirred);
    pthread_mutex_unlock(&watchdog->mutex);
}

bool task__watchdog_has_news(const struct watchdog *watchdog)
{
    return __atomic_load_n(&watchdog->has_caught, __ATOMIC_RELAXED) ||
           __atomic_load_n(&watchdog->asks, __ATOMIC_RELAXED);
}

/* A copy, as the hook may hold the loop, too. Nothing is caught meanwhile: the
 * question is withdrawn. */
static void tell(struct watchdog *watchdog)
{
    struct caught_step caught;

    if (!__atomic_load_n(&watchdog->has_caught, __ATOMIC_RELAXED))
        return;
    caught = watchdog->caught;
    __atomic_store_n(&watchdog->has_caught, false, __ATOMIC_RELAXED);
    task__watchdog_report(watchdog->loop, &caught);
}

void task__watchdog_tell(struct watchdog *watchdog)
{
    withdraw(watchdog);
    tell(watchdog);
}

void task__watchdog_leave(struct watchdog *watchdog)
{
    pthread_mutex_lock(&watchdog->mutex);
    watchdog->runs = false;
    pthread_mutex_unlock(&watchdog->mutex);
    withdraw(watchdog);
    if (watchdog->was_blocked)
        task__watchdog_signal_mask(SIG_BLOCK);
    tell(watchdog);
}

void task__watchdog_stop(struct loop *loop)
{
    struct watchdog *watchdog = loop->watchdog;

    if (!watchdog)
        return;
    pthread_mutex_lock(&watchdog->mutex);
    watchdog->quits = true;
    pthread_cond_signal(&watchdog->stirred);
    pthread_mutex_unlock(&watchdog->mutex);
    pthread_join(watchdog->thread, NULL);
    task__watchdog_signal_put();
    pthread_cond_destroy(&watchdog->stirred);
    pthread_mutex_destroy(&watchdog->mutex);
    loop->watchdog = NULL;
    memory_free(&loop->allocator, watchdog);
}
