/* libevent. usage: event timers */
#include "timers.h"

#include <event2/event.h>
#include <event2/event_struct.h>

static struct event_base *base;
static struct event timers[MANY];

static void expire(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    n_left--;
}

static void set_timer(long i, long ms)
{
    struct timeval delay = {ms / 1000, ms % 1000 * 1000};

    evtimer_add(&timers[i], &delay);
}

static void cancel_timer(long i)
{
    evtimer_del(&timers[i]);
}

static void expire_all(void)
{
    event_base_dispatch(base);
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "timers") != 0)
        return 2;
    base = event_base_new();
    for (long i = 0; i < MANY; i++)
        evtimer_assign(&timers[i], base, expire, NULL);
    measure_timers();
    return 0;
}
