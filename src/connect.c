/*
 * Connecting by TCP: happy eyeballs (RFC 8305).
 *
 * All attempts are one task's, which waits for the first event of any, or for
 * the time of the next one. An event is noted in its attempt also when the task
 * is about to run already; so whoever goes on looks at all of them.
 */
#include "connect.h"

#include "address.h"
#include "attempt.h"
#include "endpoint.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <task/net.h>

/* How long an attempt is alone before the next one begins (RFC 8305, 8.). */
#define ATTEMPT_DELAY (250 * TASK_MILLISECOND)

enum { FEW = 8 };

struct tcp_race {
    struct waiter waiter; /* of the task */
    struct loop *loop;
    struct attempt *attempts;
    size_t n;
    size_t n_begun;
    size_t n_under_way;
    task_time due; /* when the next one begins */
    int error;     /* the last one, of the first family if there was one */
    struct attempt few[FEW];
};

/* The latest attempt that is under way. */
static void describe(const struct waiter *waiter, struct text *text)
{
    const struct tcp_race *race =
        container_of(waiter, const struct tcp_race, waiter);
    size_t i = race->n_begun;

    while (i-- && !attempt_is_under_way(&race->attempts[i]))
        continue;
    if (i < race->n_begun)
        task__endpoint_add(text, race->attempts[i].fd, "->");
    task__text_add(text, ", %zu at once", race->n_under_way);
}

static const struct wait_kind CONNECTING = {
    .verb = "connecting",
    .describe = describe,
};

static bool is_usable(const struct addrinfo *address)
{
    int type = address->ai_socktype & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);

    return (type == SOCK_STREAM || !type) && address->ai_addr &&
           (address->ai_family == AF_INET || address->ai_family == AF_INET6);
}

/* The next usable address that is of this family, or (not `same`) is not. */
static const struct addrinfo *next_of(const struct addrinfo *list, int family,
                                      bool same)
{
    while (list && !(is_usable(list) && (list->ai_family == family) == same))
        list = list->ai_next;
    return list;
}

static size_t count_usable(const struct addrinfo *list)
{
    size_t n = 0;

    for (; list; list = list->ai_next)
        n += is_usable(list);
    return n;
}

static void add(struct tcp_race *race, size_t i, const struct addrinfo *address)
{
    race->attempts[i] =
        (struct attempt){.waiter = &race->waiter, .address = address, .fd = -1};
}

/* List the addresses, one of the first family and one of another in turn. */
static void interleave(struct tcp_race *race, const struct addrinfo *list)
{
    const struct addrinfo *first = list;
    const struct addrinfo *other;
    int family;
    size_t i = 0;

    while (!is_usable(first))
        first = first->ai_next;
    family = first->ai_family;
    other = next_of(list, family, false);
    while (first || other) {
        if (first) {
            add(race, i++, first);
            first = next_of(first->ai_next, family, true);
        }
        if (other) {
            add(race, i++, other);
            other = next_of(other->ai_next, family, false);
        }
    }
}

/* Take note of one that has failed: the next one may begin. */
static void note_failure(struct tcp_race *race, const struct attempt *attempt,
                         int error)
{
    int first = race->attempts[0].address->ai_family;

    if (!race->error || attempt->address->ai_family == first)
        race->error = error;
    race->due = 0;
}

/* What has become of an attempt: a descriptor; or -EINPROGRESS, also when it
 * has failed. */
static int take_result(struct tcp_race *race, const struct attempt *attempt,
                       int result)
{
    if (result >= 0 || result == -EINPROGRESS)
        return result;
    note_failure(race, attempt, result);
    return -EINPROGRESS;
}

/* Deal with what is over: the descriptor of the first that is connected, or
 * -EINPROGRESS. */
static int settle(struct tcp_race *race)
{
    int result = -EINPROGRESS;

    for (size_t i = 0; i < race->n_begun && result < 0; i++) {
        struct attempt *attempt = &race->attempts[i];

        if (!attempt_is_under_way(attempt))
            continue;
        result = take_result(race, attempt, task__attempt_end(attempt));
        race->n_under_way -= !attempt_is_under_way(attempt);
    }
    return result;
}

/* Begin the next attempt: a descriptor that is connected at once, or
 * -EINPROGRESS. */
static int begin(struct tcp_race *race)
{
    struct attempt *attempt = &race->attempts[race->n_begun++];
    int result;

    race->due = clock_after(task__clock_now(race->loop->scheduler.clock),
                            ATTEMPT_DELAY);
    result = take_result(race, attempt, task__attempt_begin(attempt));
    race->n_under_way += attempt_is_under_way(attempt);
    return result;
}

/* Begin what is due. */
static int begin_due(struct tcp_race *race)
{
    int result = -EINPROGRESS;

    while (result == -EINPROGRESS && race->n_begun < race->n &&
           race->due <= task__clock_now(race->loop->scheduler.clock))
        result = begin(race);
    return result;
}

/* Until something comes of an attempt, or the next one is due. */
static int wait(struct tcp_race *race)
{
    struct task *self = race->waiter.task;
    int result = task_check_requests(self);

    if (result)
        return result;
    result = task__park_until(
        &race->waiter, race->n_begun < race->n ? race->due : TASK_FOREVER);
    return result == -ECANCELED ? result : 0;
}

/* One step: what is over, and what is due. */
static NEVER_INLINE int go_on(struct tcp_race *race)
{
    int saved_errno = errno;
    int result = settle(race);

    if (result == -EINPROGRESS)
        result = begin_due(race);
    if (result == -EINPROGRESS && !race->n_under_way)
        result = race->error;
    errno = saved_errno;
    return result;
}

static int run(struct tcp_race *race)
{
    int result = go_on(race);

    while (result == -EINPROGRESS) {
        result = wait(race);
        if (!result)
            result = go_on(race);
    }
    return result;
}

static void drop_all(struct tcp_race *race)
{
    for (size_t i = 0; i < race->n_begun; i++)
        if (attempt_is_under_way(&race->attempts[i]))
            task__attempt_drop(&race->attempts[i]);
}

/* The last that is done to it; where it cannot be had it does no harm. */
static NEVER_INLINE void finish(int fd)
{
    int saved_errno = errno;
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    errno = saved_errno;
}

static int race_to(struct task *self, const struct addrinfo *list, size_t n)
{
    struct loop *loop = loop_of_task(self);
    struct tcp_race race = {.loop = loop, .attempts = race.few, .n = n};
    int result;

    if (n > FEW)
        race.attempts =
            task__blocks_get(&loop->blocks, n, sizeof *race.attempts);
    if (!race.attempts)
        return -ENOMEM;
    waiter_init(&race.waiter, self, &CONNECTING);
    interleave(&race, list);
    result = run(&race);
    drop_all(&race);
    if (race.attempts != race.few)
        task__blocks_free(&loop->blocks, race.attempts);
    if (result >= 0)
        finish(result);
    return result;
}

int task_tcp_connect_list(const struct addrinfo *list)
{
    size_t n = count_usable(list);
    struct task *self;
    int error = task_enter(&self);

    if (error)
        return error;
    return n ? race_to(self, list, n)
             : MISUSE(-EINVAL, "there is no address in the list");
}

int task__tcp_connect(struct call_site site, const char *host,
                      const char *service)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    struct task *self;
    int result = task_enter_at(&self, site);

    if (result)
        return result;
    if (!address_name(service))
        return misuse_at(site, -EINVAL, "there is no service");
    result = task_getaddrinfo(host, service, &hints, &list);
    if (result)
        return result;
    result = task_tcp_connect_list(list);
    freeaddrinfo(list);
    return result;
}

int task_tcp_connect(const char *host, const char *service)
{
    return task__tcp_connect(site_here(__func__), host, service);
}
