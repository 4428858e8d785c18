/*
 * Time-outs, and the timerfd.
 */
#include "poller_timer.h"

#include "clock.h"
#include "own_fd.h"
#include "poller.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

enum { SLACK_SHARE = 1000, SLACK_UNKNOWN = -1 };
#define SLACK_USUAL (50 * TASK_MICROSECOND)
#define SLACK_MOST (100 * TASK_MILLISECOND) /* of the share */

void task__poller_timer_init(struct poller_timer *timer)
{
    timer->fd = -1;
    timer->slack = SLACK_UNKNOWN;
}

static COLD void find_slack(struct poller_timer *timer)
{
    /* By prctl(), which returns an int, 3 s would be less than nothing. */
    long slack = syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);

    timer->slack = slack >= 0 ? slack : SLACK_USUAL;
}

static task_time slack_of(struct poller_timer *timer)
{
    if (unlikely(timer->slack == SLACK_UNKNOWN))
        find_slack(timer);
    return timer->slack;
}

int task__poller_timer_open(struct poller_timer *timer)
{
    timer->armed = TASK_FOREVER;
    timer->fd =
        own_fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    return timer->fd < 0 ? -errno : 0;
}

/* 0 would stop it: what lies in the past is due at once. */
void task__poller_timer_set(struct poller_timer *timer, task_time until)
{
    struct itimerspec spec = {.it_value = {.tv_sec = 0}};

    if (until != TASK_FOREVER)
        spec.it_value = clock_timespec(until > 0 ? until : 1);
    if (!timerfd_settime(timer->fd, TFD_TIMER_ABSTIME, &spec, NULL))
        timer->armed = until;
}

bool task__poller_timer_sleep(struct poller_timer *timer, task_time now,
                              task_time until)
{
    bool was_early = timer->slept_until > now;
    task_time slack = slack_of(timer);
    struct timespec soon;
    int error;

    timer->slept_until = 0;
    if (was_early || until <= slack)
        return false;
    timer->slept_until = until;
    soon = clock_timespec(until - slack);
    error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &soon, NULL);
    return !error || error == EINTR;
}

void task__poller_timer_pause(task_time now, task_time until)
{
    struct timespec limit = clock_timespec(until > now ? until - now : 0);

    ppoll(NULL, 0, until == TASK_FOREVER ? NULL : &limit, NULL);
}

/* Whether the timerfd, or nothing, is to end the wait. */
static bool prepare(struct poller_timer *timer, task_time now, task_time until,
                    bool is_tick)
{
    bool wanted = until - now <= slack_of(timer) || is_tick || timer->is_coarse;
    bool is_in_the_way = timer->armed > now && timer->armed < until;

    if (wanted ? timer->armed != until : is_in_the_way)
        task__poller_timer_set(timer, wanted ? until : TASK_FOREVER);
    return timer->armed == until;
}

/* The time-out that ends after so long at the latest; or late, if that is less
 * than the slack, and the timerfd cannot be set. */
static task_time timeout_for(const struct poller_timer *timer, task_time wait)
{
    task_time slack = wait / (SLACK_SHARE + 1);

    if (!timer->slack)
        return wait;
    if (slack > SLACK_MOST)
        slack = SLACK_MOST;
    if (slack < timer->slack)
        slack = timer->slack;
    return wait > slack ? wait - slack : wait;
}

/* On every processor, for the kernel. */
struct kernel_time {
    int64_t seconds;
    int64_t nanoseconds;
};

/*
 * epoll_pwait2() is in glibc since 2.35, and a program that is linked with it
 * runs with no older one. As that is, this is where a thread may be cancelled.
 */
static int wait_exactly(int epoll, struct epoll_event events[POLLER_EVENTS],
                        task_time limit)
{
    struct timespec time = clock_timespec(limit);
    struct kernel_time wait = {time.tv_sec, time.tv_nsec};
    int former;
    int n;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &former);
    n = (int)syscall(SYS_epoll_pwait2, epoll, events, POLLER_EVENTS, &wait,
                     NULL, (size_t)0);
    pthread_setcanceltype(former, NULL);
    return n;
}

int task__poller_timer_wait(struct poller_timer *timer, int epoll,
                            struct epoll_event events[POLLER_EVENTS],
                            task_time now, task_time until, bool is_tick)
{
    int n;

    if (prepare(timer, now, until, is_tick))
        return epoll_wait(epoll, events, POLLER_EVENTS, -1);
    if (timer->is_coarse)
        return epoll_wait(epoll, events, POLLER_EVENTS,
                          poller_milliseconds(now, until));
    n = wait_exactly(epoll, events, timeout_for(timer, until - now));
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
        timer->is_coarse = true;
        return task__poller_timer_wait(timer, epoll, events, now, until,
                                       is_tick);
    }
    return n;
}
