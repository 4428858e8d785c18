/*
 * Waiting by epoll: for descriptors. Whose instance it is, is
 * poller_instance.h's; how a wait ends in time, poller_timer.h's; and what is
 * not believed for ever, poller_doubts.h's.
 *
 * A descriptor is registered once, when it is first waited for, for both
 * directions and edge-triggered; close takes it out. Those with callbacks are
 * registered level-triggered, for what these want.
 *
 * A file that lives on elsewhere, by dup() or fork(), stays registered when its
 * number is closed, and without the number nothing can be done about it. Its
 * events are known by their generation. When there have been many of them, what
 * is needed is registered with a new epoll instance, and the old one closed.
 */
#include "poller.h"
#include "poller_doubts.h"
#include "poller_instance.h"

#include <errno.h>
#include <sys/epoll.h>

/* Events of what nobody knows, before a new instance is worth its while: so
 * many, and one for so many descriptors. */
enum { STRAYS = 64, STRAYS_SHARE = 8 };

/* Every SUSPECTS-th event of one that nobody waits for, or that is registered
 * as long as it is ready, may be the event of a file whose number was
 * closed. */
enum { SUSPECTS = 64 };

/* How many events are dealt with while the next one's memory comes. */
enum { AHEAD = 4 };

#define EDGES ((uint32_t)(EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET))

struct epoll_poller {
    struct poller poller;
    struct epoll_instance instance;
    bool listens; /* there was ever anything to hear of, but time */

    struct doubts doubts;
    size_t n_strays; /* events of what nobody knows */
    unsigned n_suspects;
};

static struct epoll_poller *self_of(struct poller *poller)
{
    return container_of(poller, struct epoll_poller, poller);
}

static void init(struct poller *poller)
{
    struct epoll_poller *self = self_of(poller);

    task__poller_instance_init(&self->instance);
    doubts_init(&self->doubts);
    /* On a virtual clock there is no tick in time: each wait asks the
     * kernel. */
    poller->trusted = poller->is_virtual ? POLLER_TRUSTS_NOTHING : EDGES;
}

static void destroy(struct poller *poller)
{
    task__poller_instance_close(&self_of(poller)->instance);
}

/* Do that to its registration; 0, or a negative errno. */
static int control(struct epoll_poller *self, int operation,
                   struct descriptor *descriptor, uint32_t registered)
{
    struct epoll_event event = {
        .events = registered,
        .data.u64 =
            (uint64_t)descriptor->generation << 32 | (uint32_t)descriptor->fd,
    };

    if (epoll_ctl(self->instance.epoll, operation, descriptor->fd, &event))
        return -errno;
    descriptor->registered = registered;
    return 0;
}

/* What it is to be registered for. */
static uint32_t registration_of(const struct descriptor *descriptor)
{
    /* POLLIN is EPOLLIN, and so on. */
    return descriptor_is_level(descriptor)
               ? (uint16_t)descriptor_asked(descriptor)
               : EDGES;
}

/*
 * Register it, whether it is or not; what is ready is told anew. That one which
 * is registered is not there, or is a regular file, tells that it was closed.
 * One that cannot be registered is looked after, as others may have waited for
 * it before.
 */
static int settle(struct epoll_poller *self, struct descriptor *descriptor)
{
    int operation = descriptor->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int error =
        control(self, operation, descriptor, registration_of(descriptor));

    if (descriptor->registered && (error == -ENOENT || error == -EPERM))
        task__descriptor_refute(descriptor);
    if (error == -ENOENT)
        error = control(self, EPOLL_CTL_ADD, descriptor,
                        registration_of(descriptor));
    else if (error == -EEXIST)
        error = control(self, EPOLL_CTL_MOD, descriptor,
                        registration_of(descriptor));
    if (operation == EPOLL_CTL_ADD) /* what is known may be of a former file */
        descriptor->kind = DESCRIPTOR_UNKNOWN;
    if (!error) {
        task__descriptor_confirm(descriptor);
        return 0;
    }
    descriptor->registered = 0;
    if (!descriptor_is_idle(descriptor))
        doubts_add(&self->doubts, descriptor);
    return error;
}

static int watch(struct poller *poller, struct descriptor *descriptor)
{
    struct epoll_poller *self = self_of(poller);
    int error = instance_open(&self->instance);

    if (error)
        return error;
    self->listens = true;
    if (descriptor->registered != poller->trusted || descriptor->is_doubtful ||
        descriptor_is_level(descriptor))
        return settle(self, descriptor);
    doubts_add(&self->doubts, descriptor);
    return 0;
}

static void unwatch(struct poller *poller, struct descriptor *descriptor)
{
    struct epoll_poller *self = self_of(poller);

    descriptor_unlist(descriptor);
    if (descriptor->registered)
        control(self, EPOLL_CTL_DEL, descriptor, 0);
    descriptor->registered = 0;
}

/* Find out whether it is registered still. Whoever waits for one that cannot
 * be, whatever for (they all do for errors), has to find out why; who cannot is
 * looked after again. */
static void verify(struct descriptor *descriptor, void *poller)
{
    int error = settle(poller, descriptor);

    if (!error)
        return;
    if (error == -EBADF) {
        task__descriptor_lose(descriptor);
        return;
    }
    descriptor->kind = DESCRIPTOR_UNKNOWN;
    task__descriptor_ready(descriptor, POLLIN | POLLOUT | POLLERR);
    descriptor->hung = false; /* it was no event */
}

/* Tell those who wait for it. */
static void hear_of(struct epoll_poller *self, struct descriptor *descriptor,
                    short events)
{
    bool is_suspect =
        descriptor->registered != EDGES || descriptor_is_idle(descriptor);

    doubts_hear(&self->doubts, descriptor);
    task__descriptor_ready(descriptor, events);
    if (likely(!is_suspect))
        return;
    if (descriptor->registered != registration_of(descriptor) ||
        ++self->n_suspects % SUSPECTS == 0)
        verify(descriptor, self);
}

static ALWAYS_INLINE struct descriptor *
descriptor_of(const struct epoll_poller *self, const struct epoll_event *event)
{
    return descriptors_find(&self->poller.descriptors,
                            (int)(uint32_t)event->data.u64);
}

static void hear(struct epoll_poller *self, const struct epoll_event *event)
{
    struct descriptor *descriptor = descriptor_of(self, event);

    if (unlikely(event->data.u64 == INSTANCE_OWN))
        return;
    if (likely(descriptor && descriptor->registered &&
               descriptor->generation == event->data.u64 >> 32))
        hear_of(self, descriptor, (short)event->events);
    else
        self->n_strays++;
}

/* While some are heard, what the others need is on its way into the cache:
 * first a descriptor, then who waits for it. */
static void hear_all(struct epoll_poller *self,
                     const struct epoll_event events[], int n)
{
    for (int i = 0; i < n; i++) {
        if (i + 2 * AHEAD < n)
            __builtin_prefetch(descriptor_of(self, &events[i + 2 * AHEAD]), 1);
        if (i + AHEAD < n) {
            const struct descriptor *descriptor =
                descriptor_of(self, &events[i + AHEAD]);

            if (likely(descriptor))
                descriptor_prefetch_waiter(descriptor);
        }
        hear(self, &events[i]);
    }
}

static void register_anew(struct descriptor *descriptor, void *poller)
{
    if (!descriptor->registered)
        return;
    descriptor->registered = 0;
    if (!descriptor_is_idle(descriptor))
        verify(descriptor, poller);
}

/* Get rid of what is registered and known to nobody. */
static COLD void replace_epoll(struct epoll_poller *self)
{
    self->n_strays = 0;
    if (task__poller_instance_replace(&self->instance))
        return;
    task__descriptors_each(&self->poller.descriptors, register_anew, self);
}

static bool has_too_many_strays(const struct epoll_poller *self)
{
    size_t n = (size_t)self->poller.descriptors.n_chunks * DESCRIPTORS_CHUNK;

    return self->n_strays >= STRAYS + n / STRAYS_SHARE;
}

static void wait_until(struct poller *poller, task_time now, task_time until)
{
    struct epoll_poller *self = self_of(poller);
    struct doubts *doubts = &self->doubts;
    struct epoll_event events[POLLER_EVENTS];
    int n;

    if (!self->listens && until > now && until != TASK_FOREVER &&
        task__poller_timer_sleep(&self->instance.timer, now, until))
        return;
    if (unlikely(instance_open(&self->instance))) {
        task__poller_timer_pause(now, until);
        return;
    }
    if (unlikely(doubts->tick_at <= now ||
                 (poller->is_virtual && doubts_any(doubts)))) {
        task__doubts_tick(doubts, &poller->descriptors, poller->is_wary, now,
                          verify, self);
        until = now; /* it may have told somebody */
    }
    doubts_set_tick(doubts,
                    poller->is_wary && !poller->is_virtual &&
                        poller->descriptors.n_watched > 0,
                    now);
    if (until > doubts->tick_at)
        until = doubts->tick_at;
    n = poller_timer_wait(&self->instance.timer, self->instance.epoll, events,
                          now, until, until == doubts->tick_at);
    hear_all(self, events, n);
    if (unlikely(has_too_many_strays(self)))
        replace_epoll(self);
}

static int wake_by(struct poller *poller, int fd)
{
    struct epoll_poller *self = self_of(poller);
    int error = instance_open(&self->instance);

    if (!error)
        error = task__poller_instance_wake_by(&self->instance, fd);
    self->listens |= !error;
    return error;
}

static int fd(struct poller *poller)
{
    return task__poller_instance_outer(&self_of(poller)->instance);
}

static void alarm_at(struct poller *poller, task_time until)
{
    struct epoll_poller *self = self_of(poller);

    task__poller_timer_set(&self->instance.timer, until < self->doubts.tick_at
                                                      ? until
                                                      : self->doubts.tick_at);
}

const struct poller_backend task__poller_epoll = {
    .size = sizeof(struct epoll_poller),
    .init = init,
    .destroy = destroy,
    .watch = watch,
    .unwatch = unwatch,
    .wait = wait_until,
    .wake_by = wake_by,
    .wakes_by_edge = true,
    .fd = fd,
    .alarm = alarm_at,
};
