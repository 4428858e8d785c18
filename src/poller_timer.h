/*
 * How a wait by epoll ends in time: by a time-out of the system call, or by a
 * timerfd in the epoll instance; and how to wait for time alone.
 *
 * A time-out of a system call may come late, by the thread's timer slack or by
 * a thousandth of itself (proc(5); select_estimate_accuracy() of Linux; for a
 * thread that is niced by a 200th): it comes at the end of that, unless the
 * processor is interrupted before. So it is made shorter by as much: then it
 * comes at the right time or too early, and what is left is waited for again;
 * by the timerfd, which is not late, when it is no more than the slack.
 */
#ifndef TASK_SRC_POLLER_TIMER_H
#define TASK_SRC_POLLER_TIMER_H

#include "base.h"

#include <stdbool.h>
#include <sys/epoll.h>
#include <task/time.h>

/* How many events are told of at once. */
enum { POLLER_EVENTS = 256 };

struct poller_timer {
    int fd;          /* -1: not open */
    task_time armed; /* what it is set to; TASK_FOREVER: it is not */
    task_time slack; /* of the thread that waited first, then; 0: real-time */
    task_time slept_until; /* what the last sleep was for; 0: not asleep */
    bool is_coarse; /* there is no epoll_pwait2: an old kernel, or a filter */
};

void task__poller_timer_init(struct poller_timer *timer);

/* 0, or a negative errno. */
int task__poller_timer_open(struct poller_timer *timer);

/* Set the timerfd, or (TASK_FOREVER) stop it. */
void task__poller_timer_set(struct poller_timer *timer, task_time until);

/*
 * Wait for events until then, which is later than `now`, or a little less long.
 * `is_tick`: other waits are going to end then, too; the timerfd, set once,
 * serves all of them.
 *
 * Returns how many there are, or -1.
 */
int task__poller_timer_wait(struct poller_timer *timer, int epoll,
                            struct epoll_event events[POLLER_EVENTS],
                            task_time now, task_time until, bool is_tick);

/* The same for any time. As in io.h: where nothing has to be set, the system
 * call is made here. */
static ALWAYS_INLINE int
poller_timer_wait(struct poller_timer *timer, int epoll,
                  struct epoll_event events[POLLER_EVENTS], task_time now,
                  task_time until, bool is_tick)
{
    if (until > now && timer->armed != until)
        return task__poller_timer_wait(timer, epoll, events, now, until,
                                       is_tick);
    return epoll_wait(epoll, events, POLLER_EVENTS, until > now ? -1 : 0);
}

/*
 * Sleep until then, which is later than `now`, or a little less long: without
 * epoll, and on time by one system call however short it is, as the kernel
 * waits for the end of the slack, also where its beginning has passed. False:
 * it has not slept, and is to wait in another way. That is so after a sleep
 * that was too short, too: the slack is another one by now, or something has
 * come between.
 */
bool task__poller_timer_sleep(struct poller_timer *timer, task_time now,
                              task_time until);

/* Wait for time only, where nothing else can be had. */
void task__poller_timer_pause(task_time now, task_time until);

#endif
