/* libev. usage: ev timers | thread */
#include "posts.h"
#include "timers.h"

#include <ev.h>

static struct ev_loop *loop;
static ev_timer timers[MANY];
static ev_async wake_up;

static void expire(struct ev_loop *l, ev_timer *timer, int events)
{
    (void)l;
    (void)timer;
    (void)events;
    n_left--;
}

static void set_timer(long i, long ms)
{
    ev_timer_set(&timers[i], (double)ms * 1e-3, 0.);
    ev_timer_start(loop, &timers[i]);
}

static void cancel_timer(long i)
{
    ev_timer_stop(loop, &timers[i]);
}

static void expire_all(void)
{
    ev_run(loop, 0);
}

static void wake_loop(void)
{
    ev_async_send(loop, &wake_up);
}

static void run_loop(void)
{
    ev_run(loop, 0);
}

static void stop_loop(void)
{
    ev_break(loop, EVBREAK_ONE);
}

static void have_woken(struct ev_loop *l, ev_async *async, int events)
{
    (void)l;
    (void)async;
    (void)events;
    take_posted();
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    loop = ev_default_loop(EVBACKEND_EPOLL);
    if (!strcmp(what, "timers")) {
        for (long i = 0; i < MANY; i++)
            ev_timer_init(&timers[i], expire, 0., 0.);
        measure_timers();
    } else if (!strcmp(what, "thread")) {
        ev_async_init(&wake_up, have_woken);
        ev_async_start(loop, &wake_up);
        measure_posts();
    } else {
        return 2;
    }
    return 0;
}
