/*
 * Waiting by poll, with time-outs to the millisecond.
 *
 * Those that are waited for are in a list. It is gone through at each wait,
 * which is no more than poll does, and then those are dropped for which nobody
 * waits any more.
 *
 * poll knows numbers only. That one has become another open file is known by
 * its inode, which is looked at when somebody begins to wait, and before
 * anybody is told of an event: what has none of its own (an eventfd, a timerfd)
 * is like its kin.
 */
#include "poller.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>

enum { REFUSED_WAIT = 5 }; /* milliseconds */

/*
 * What has told of an error alone, twice in a row, goes on telling: something
 * is in its error queue, for nobody to read. It is left out then, for so long.
 */
#define ERROR_WAIT (5 * TASK_MILLISECOND)
enum { ERRORS = 2 };

struct poll_poller {
    struct poller poller;
    struct list watched;
    size_t n_watched;      /* at the most */
    struct pollfd *polled; /* room for all of `watched`, and the waker */
    size_t room;
    int waker;         /* -1: none */
    size_t n_left_out; /* for a while */
};

static struct poll_poller *self_of(struct poller *poller)
{
    return container_of(poller, struct poll_poller, poller);
}

static void init(struct poller *poller)
{
    self_of(poller)->waker = -1;
    poller->trusted = POLLER_TRUSTS_NOTHING;
}

static void destroy(struct poller *poller)
{
    memory_free(poller->descriptors.allocator, self_of(poller)->polled);
    self_of(poller)->polled = NULL;
    self_of(poller)->room = 0;
}

/* Have room for n, so that no wait needs memory. */
static int reserve(struct poll_poller *self, size_t n)
{
    size_t room = 2 * self->room > n ? 2 * self->room : n;
    struct pollfd *polled;

    if (n <= self->room)
        return 0;
    polled = memory_resize(self->poller.descriptors.allocator, self->polled,
                           room * sizeof *polled);
    if (!polled)
        return -ENOMEM;
    self->polled = polled;
    self->room = room;
    return 0;
}

/* Whoever waits for a file that was closed has to go, if the number is another
 * one now. 0; -EBADF; -EPERM: it never makes anybody wait. */
static int check(struct descriptor *descriptor)
{
    struct stat stat;

    if (fstat(descriptor->fd, &stat))
        return -errno;
    if (descriptor->is_listed && descriptor->watched != stat.st_ino) {
        task__descriptor_refute(descriptor);
        descriptor->registered = 0;
    }
    descriptor->watched = stat.st_ino;
    return S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode) ||
                   S_ISBLK(stat.st_mode)
               ? -EPERM
               : 0;
}

static int watch(struct poller *poller, struct descriptor *descriptor)
{
    struct poll_poller *self = self_of(poller);
    int error = check(descriptor);

    descriptor->is_doubtful = false;
    if (error)
        return error;
    if (!descriptor->is_listed) {
        if (reserve(self, self->n_watched + 2))
            return -ENOMEM;
        descriptor_list(descriptor, &self->watched);
        self->n_watched++;
    }
    task__descriptor_confirm(descriptor);
    return 0;
}

static void unwatch(struct poller *poller, struct descriptor *descriptor)
{
    (void)poller;
    descriptor_unlist(descriptor);
}

static void ask_for(struct pollfd *polled, int fd, short events)
{
    polled->fd = fd;
    polled->events = events;
    polled->revents = 0;
}

/* Whether it is left out this time. How many errors there were is in
 * `registered`, which says nothing else here. */
static bool leave_out(struct descriptor *descriptor)
{
    if (descriptor->registered < ERRORS)
        return false;
    descriptor->registered--;
    return true;
}

/* List what is waited for, and then the waker; how many descriptors. Nothing
 * but the waker needs no room. */
static nfds_t list_watched(struct poll_poller *self, struct pollfd *polled)
{
    struct list_node *node = self->watched.first;
    nfds_t n = 0;

    self->n_left_out = 0;
    while (node) {
        struct descriptor *descriptor =
            container_of(node, struct descriptor, node);

        node = node->next;
        if (descriptor_is_idle(descriptor))
            descriptor_unlist(descriptor);
        else if (leave_out(descriptor))
            self->n_left_out++;
        else
            ask_for(&polled[n++], descriptor->fd, descriptor_asked(descriptor));
    }
    self->n_watched = n + self->n_left_out;
    ask_for(&polled[n], self->waker, POLLIN);
    return n;
}

static void hear(struct poller *poller, const struct pollfd *polled)
{
    struct descriptor *descriptor =
        descriptors_find(&poller->descriptors, polled->fd);

    if ((polled->revents & POLLNVAL) || check(descriptor) == -EBADF) {
        task__descriptor_lose(descriptor);
        return;
    }
    descriptor->registered =
        polled->revents == POLLERR ? descriptor->registered + 1 : 0;
    task__descriptor_ready(descriptor, polled->revents);
}

/* Poll; how many of them are ready. A poll that is refused (they are more than
 * RLIMIT_NOFILE by now, or there is no memory) can tell of nobody: all are to
 * look for themselves, after a while. */
static int poll_all(struct pollfd *polled, nfds_t n, int milliseconds)
{
    int ready = poll(polled, n, milliseconds);

    if (likely(ready >= 0) || errno == EINTR)
        return ready;
    poll(NULL, 0,
         (unsigned)milliseconds < REFUSED_WAIT ? milliseconds : REFUSED_WAIT);
    for (nfds_t i = 0; i < n; i++)
        polled[i].revents = (short)(polled[i].events & ~POLLRDHUP);
    return (int)n;
}

static void wait_until(struct poller *poller, task_time now, task_time until)
{
    struct poll_poller *self = self_of(poller);
    struct pollfd waker;
    struct pollfd *polled = self->polled ? self->polled : &waker;
    nfds_t n = list_watched(self, polled);
    int ready;

    if (self->n_left_out && until - now > ERROR_WAIT)
        until = now + ERROR_WAIT;
    ready = poll_all(polled, n + (self->waker >= 0),
                     poller_milliseconds(now, until));
    for (nfds_t i = 0; i < n && ready > 0; i++)
        if (self->polled[i].revents)
            hear(poller, &self->polled[i]);
}

static int wake_by(struct poller *poller, int fd)
{
    self_of(poller)->waker = fd;
    return 0;
}

static int no_fd(struct poller *poller)
{
    (void)poller;
    return -ENOTSUP;
}

static void alarm_at(struct poller *poller, task_time until)
{
    (void)poller;
    (void)until;
}

const struct poller_backend task__poller_poll = {
    .size = sizeof(struct poll_poller),
    .init = init,
    .destroy = destroy,
    .watch = watch,
    .unwatch = unwatch,
    .wait = wait_until,
    .wake_by = wake_by,
    .fd = no_fd,
    .alarm = alarm_at,
};
