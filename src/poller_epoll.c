/*
 * Waiting by epoll, and by a timerfd in it where a time-out would be late.
 */
#include "poller.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/*
 * A wait shorter than this goes by the timerfd: the time-outs of system calls
 * come up to 50 us late (the thread's timer slack), that of a timerfd does not.
 */
#define SHORT_WAIT (5 * TASK_MILLISECOND)

enum { EVENTS = 64 };

struct epoll_poller {
    struct poller poller;
    int epoll; /* -1: not open; so is then the other */
    int timer;
    task_time armed; /* what the timerfd is set to; TASK_FOREVER: it is not */
    bool is_coarse;  /* there is no epoll_pwait2: an old kernel, or a filter */
};

static struct epoll_poller *self_of(struct poller *poller)
{
    return container_of(poller, struct epoll_poller, poller);
}

static void init(struct poller *poller)
{
    struct epoll_poller *self = self_of(poller);

    self->epoll = -1;
    self->timer = -1;
}

static void close_all(struct epoll_poller *self)
{
    if (self->timer >= 0)
        close(self->timer);
    if (self->epoll >= 0)
        close(self->epoll);
    self->timer = -1;
    self->epoll = -1;
}

static void destroy(struct poller *poller)
{
    close_all(self_of(poller));
}

/* Open what is not open; 0, or a negative errno and nothing is open. */
static int open_all(struct epoll_poller *self)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    if (self->epoll >= 0)
        return 0;
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0)
        goto fail;
    self->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (self->timer < 0)
        goto fail;
    if (epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->timer, &event))
        goto fail;
    self->armed = TASK_FOREVER;
    return 0;

fail:;
    int error = errno;

    close_all(self);
    return -error;
}

static struct timespec timespec_of(task_time time)
{
    struct timespec spec = {.tv_sec = (time_t)(time / TASK_SECOND),
                            .tv_nsec = (long)(time % TASK_SECOND)};

    return spec;
}

/* Set the timerfd, which 0 would stop: what lies in the past is due at once. */
static void arm(struct epoll_poller *self, task_time until)
{
    struct itimerspec spec = {.it_value = {.tv_sec = 0}};

    if (until != TASK_FOREVER)
        spec.it_value = timespec_of(until > 0 ? until : 1);
    if (!timerfd_settime(self->timer, TFD_TIMER_ABSTIME, &spec, NULL))
        self->armed = until;
}

/* Wait by the time-out of a system call; all that there is without epoll. */
static void pause_until(task_time now, task_time until)
{
    struct timespec limit = timespec_of(until > now ? until - now : 0);

    ppoll(NULL, 0, until == TASK_FOREVER ? NULL : &limit, NULL);
}

/* Whether the timerfd, or nothing, is to end the wait. */
static bool has_timer(struct epoll_poller *self, task_time now, task_time until)
{
    bool wanted = until - now < SHORT_WAIT || self->is_coarse;

    if (wanted ? self->armed != until : self->armed < until)
        arm(self, wanted ? until : TASK_FOREVER);
    return self->armed == until;
}

static void wait_until(struct poller *poller, task_time now, task_time until)
{
    struct epoll_poller *self = self_of(poller);
    struct epoll_event events[EVENTS];
    struct timespec limit = timespec_of(until > now ? until - now : 0);

    if (open_all(self)) {
        pause_until(now, until);
    } else if (until <= now) {
        epoll_wait(self->epoll, events, EVENTS, 0);
    } else if (has_timer(self, now, until)) {
        epoll_wait(self->epoll, events, EVENTS, -1);
    } else if (self->is_coarse) {
        epoll_wait(self->epoll, events, EVENTS,
                   poller_milliseconds(now, until));
    } else if (epoll_pwait2(self->epoll, events, EVENTS, &limit, NULL) < 0 &&
               (errno == ENOSYS || errno == EPERM)) {
        self->is_coarse = true;
        wait_until(poller, now, until);
    }
}

static int wake_by(struct poller *poller, int fd)
{
    struct epoll_poller *self = self_of(poller);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int error = open_all(self);

    if (error)
        return error;
    return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int fd(struct poller *poller)
{
    struct epoll_poller *self = self_of(poller);
    int error = open_all(self);

    return error ? error : self->epoll;
}

static void alarm_at(struct poller *poller, task_time until)
{
    arm(self_of(poller), until);
}

const struct poller_backend task__poller_epoll = {
    .size = sizeof(struct epoll_poller),
    .init = init,
    .destroy = destroy,
    .wait = wait_until,
    .wake_by = wake_by,
    .fd = fd,
    .alarm = alarm_at,
};
