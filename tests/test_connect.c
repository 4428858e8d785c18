/*
 * Connecting by TCP, to addresses that do not exist: what becomes of each is
 * told by its last byte, and its socket is replaced by one of a pair that is
 * full until it is to be connected.
 */

/* The linker wraps: socket connect getsockopt getsockname setsockopt close */

#include "bodies.h"
#include "cancel_points.h"
#include "descriptors.h"
#include "random.h"
#include "record.h"

#include "loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What becomes of an address. */
struct fate {
    int delay; /* ms; 0: at once; negative: never */
    int error; /* then; 0: it is connected */

    int fd; /* of the socket that is under way; -1: none */
    int peer;
};

enum { ADDRESSES = 20, LIST = 40 };

/* The list that is connected to, and what becomes of it: the i-th address ends
 * with byte i. */
static struct {
    struct fate fates[ADDRESSES];
    struct addrinfo list[LIST];
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } addresses[LIST];
    size_t n;
    bool is_simulated;
    bool is_quiet;

    int socket_error; /* what calls fail with; 0: they do not */
    int option_error;
    int own_name_error;
    size_t meets_itself; /* this address + 1 */
    size_t n_open;       /* descriptors, before */
} world;

static unsigned now_ms(void)
{
    return (unsigned)(loop_time() / TASK_MILLISECOND);
}

static void note(const char *what, size_t i)
{
    if (!world.is_quiet)
        record("%s %zu at %u", what, i, now_ms());
}

/* System calls. */

int __real_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __real_getsockopt(int fd, int level, int name, void *value,
                      socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value,
                      socklen_t *size);
int __real_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int __real_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t size);
int __real_close(int fd);
int __wrap_close(int fd);

/* Whether a call fails. */
static bool fails_with(int error)
{
    if (error)
        errno = error;
    return error;
}

/* Which address a socket is for; ADDRESSES: none. */
static size_t address_of(int fd)
{
    size_t i = 0;

    while (i < ADDRESSES && (world.fates[i].fd != fd || fd < 0))
        i++;
    return i;
}

static void drain(int fd)
{
    char buf[4096];

    while (read(fd, buf, sizeof buf) > 0)
        continue;
}

/* The time has come, unless it was closed meanwhile. */
static void complete(void *arg)
{
    struct fate *fate = arg;

    if (fate->fd >= 0)
        drain(fate->peer);
}

static void fill(int fd)
{
    static const char bytes[4096];

    while (write(fd, bytes, sizeof bytes) > 0)
        continue;
}

/* From now on the number is a socket that is not writable. */
static void go_under_way(struct fate *fate, int fd)
{
    int pair[2];

    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
                            0, pair),
                 0);
    fill(pair[0]);
    CHECK_STATUS(dup2(pair[0], fd), fd);
    __real_close(pair[0]);
    fate->fd = fd;
    fate->peer = pair[1];
    if (fate->delay > 0)
        loop_call_later(fate->delay * TASK_MILLISECOND, complete, fate);
}

static size_t index_of(const struct sockaddr *addr)
{
    size_t i = 0;

    while (&world.addresses[i].any != addr)
        i++;
    return i;
}

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    struct fate *fate;
    size_t i;

    if (!world.is_simulated)
        return __real_connect(fd, addr, len);
    i = index_of(addr);
    fate = &world.fates[i];
    note("connect", i);
    go_under_way(fate, fd);
    if (fate->delay) {
        errno = EINPROGRESS;
        return -1;
    }
    drain(fate->peer);
    return fails_with(fate->error) ? -1 : 0;
}

int __wrap_socket(int family, int type, int protocol)
{
    if (fails_with(world.socket_error))
        return -1;
    return __real_socket(family, type, protocol);
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    size_t i = address_of(fd);

    if (fails_with(world.option_error))
        return -1;
    if (i == ADDRESSES || name != SO_ERROR)
        return __real_getsockopt(fd, level, name, value, size);
    memcpy(value, &world.fates[i].error, sizeof(int));
    return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    size_t i = address_of(fd);

    if (fails_with(world.own_name_error))
        return -1;
    if (i == ADDRESSES || world.meets_itself != i + 1)
        return __real_getsockname(fd, addr, len);
    memcpy(addr, world.list[i].ai_addr, world.list[i].ai_addrlen);
    *len = world.list[i].ai_addrlen;
    return 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t size)
{
    size_t i = address_of(fd);

    if (i == ADDRESSES)
        return __real_setsockopt(fd, level, name, value, size);
    CHECK(level == IPPROTO_TCP && name == TCP_NODELAY);
    note("no delay", i);
    errno = ENOPROTOOPT;
    return -1;
}

int __wrap_close(int fd)
{
    size_t i = address_of(fd);

    if (i < ADDRESSES) {
        note("close", i);
        __real_close(world.fates[i].peer);
        world.fates[i].fd = -1;
    }
    return __real_close(fd);
}

/* The world. */

static void do_nothing(void *arg)
{
    (void)arg;
}

/* Have the loop open what it needs itself. */
static void open_poller(void)
{
    int pair[2];

    if (!loop_current())
        return;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_STATUS(loop_add_reader(pair[0], do_nothing, NULL), 0);
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_close(pair[1]), 0);
}

static void begin_world(void)
{
    open_poller();
    memset(&world, 0, sizeof world);
    for (size_t i = 0; i < ADDRESSES; i++)
        world.fates[i].fd = -1;
    world.is_simulated = true;
    world.n_open = descriptors_open();
}

static void add(int family, int type)
{
    size_t i = world.n++;
    struct addrinfo *entry = &world.list[i];

    if (i)
        world.list[i - 1].ai_next = entry;
    entry->ai_family = family;
    entry->ai_socktype = type;
    entry->ai_addr = &world.addresses[i].any;
    entry->ai_addr->sa_family = (sa_family_t)family;
    entry->ai_addrlen = family == AF_INET ? sizeof(struct sockaddr_in)
                                          : sizeof(struct sockaddr_in6);
}

/* An address that is connected, or fails, after so many ms. */
static void add_fate(int family, int delay, int error)
{
    world.fates[world.n].delay = delay;
    world.fates[world.n].error = error;
    add(family, SOCK_STREAM);
}

/* Close what was connected, and see that nothing else is left open. */
static void end_connection(int fd)
{
    world.is_quiet = true;
    CHECK(fd >= 0);
    CHECK_STATUS(task_close(fd), 0);
}

static int connects(void *arg)
{
    (void)arg;
    return task_tcp_connect_list(world.list);
}

/* Tests. */

static int the_first_that_answers_is_taken(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET6, 100, 0);
    add_fate(AF_INET, 1, 0);
    end_connection(task_tcp_connect_list(world.list));
    CHECK_RECORD("connect 0 at 0, no delay 0 at 100");
    return 0;
}

static int one_that_is_connected_at_once_needs_no_wait(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET, 0, 0);
    errno = E2BIG;
    end_connection(task_tcp_connect_list(world.list));
    CHECK(errno == E2BIG);
    CHECK_RECORD("connect 0 at 0, no delay 0 at 0");
    return 0;
}

static int families_take_turns(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET6, 0, ENETUNREACH);
    add_fate(AF_INET6, 0, ENETUNREACH);
    add_fate(AF_INET6, 0, ENETUNREACH);
    add_fate(AF_INET, 0, ECONNREFUSED);
    add_fate(AF_INET, 0, ECONNREFUSED);
    CHECK_STATUS(task_tcp_connect_list(world.list), -ENETUNREACH);
    CHECK_RECORD("connect 0 at 0, close 0 at 0, connect 3 at 0, close 3 at 0, "
                 "connect 1 at 0, close 1 at 0, connect 4 at 0, close 4 at 0, "
                 "connect 2 at 0, close 2 at 0");
    return 0;
}

static int the_next_begins_after_a_quarter_of_a_second(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET6, -1, 0);
    add_fate(AF_INET6, 300, 0);
    add_fate(AF_INET, -1, 0);
    add_fate(AF_INET, -1, 0);
    end_connection(task_tcp_connect_list(world.list));
    CHECK_RECORD("connect 0 at 0, connect 2 at 250, connect 1 at 500, "
                 "connect 3 at 750, close 0 at 800, close 2 at 800, "
                 "close 3 at 800, no delay 1 at 800");
    return 0;
}

static int the_next_begins_at_once_when_one_fails(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET, -1, 0);
    add_fate(AF_INET, 10, ECONNREFUSED);
    add_fate(AF_INET, -1, 0);
    add_fate(AF_INET, 50, 0);
    end_connection(task_tcp_connect_list(world.list));
    CHECK_RECORD("connect 0 at 0, connect 1 at 250, close 1 at 260, "
                 "connect 2 at 260, connect 3 at 510, close 0 at 560, "
                 "close 2 at 560, no delay 3 at 560");
    return 0;
}

static int an_early_one_may_win_late(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET, 700, 0);
    add_fate(AF_INET, 1000, 0);
    add_fate(AF_INET, 1000, 0);
    end_connection(task_tcp_connect_list(world.list));
    CHECK_RECORD("connect 0 at 0, connect 1 at 250, connect 2 at 500, "
                 "close 1 at 700, close 2 at 700, no delay 0 at 700");
    return 0;
}

static int one_of_two_that_succeed_at_once_is_closed(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET, 500, 0);
    add_fate(AF_INET, 250, 0);
    end_connection(task_tcp_connect_list(world.list));
    CHECK_RECORD("connect 0 at 0, connect 1 at 250, close 1 at 500, "
                 "no delay 0 at 500");
    return 0;
}

static int a_connection_comes_before_a_failure_of_the_same_moment(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET, 490, ECONNREFUSED);
    add_fate(AF_INET, 240, 0);
    add_fate(AF_INET, 0, 0);
    end_connection(task_tcp_connect_list(world.list));
    CHECK_RECORD("connect 0 at 0, connect 1 at 250, close 0 at 490, "
                 "no delay 1 at 490");
    return 0;
}

static int when_all_fail_the_first_family_tells_why(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET6, 400, ETIMEDOUT);
    add_fate(AF_INET6, 10, EHOSTUNREACH);
    add_fate(AF_INET, 500, ECONNREFUSED);
    CHECK_STATUS(task_tcp_connect_list(world.list), -EHOSTUNREACH);
    CHECK_RECORD("connect 0 at 0, connect 2 at 250, close 0 at 400, "
                 "connect 1 at 400, close 1 at 410, close 2 at 750");
    CHECK(descriptors_open() == world.n_open);
    return 0;
}

static int what_is_no_stream_is_left_out(void *arg)
{
    (void)arg;
    begin_world();
    CHECK_STATUS(task_tcp_connect_list(NULL), -EINVAL);
    add(AF_INET, SOCK_DGRAM);
    add(AF_UNIX, SOCK_STREAM);
    CHECK_STATUS(task_tcp_connect_list(world.list), -EINVAL);
    add(AF_INET, 0);
    add(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    world.fates[2] = (struct fate){.delay = 1, .error = ECONNREFUSED, .fd = -1};
    end_connection(task_tcp_connect_list(world.list));
    CHECK_RECORD("connect 2 at 0, close 2 at 1, connect 3 at 1, "
                 "no delay 3 at 1");
    return 0;
}

static int many_addresses_are_tried(void *arg)
{
    (void)arg;
    begin_world();
    world.is_quiet = true;
    for (int i = 0; i < ADDRESSES; i++)
        add_fate(i % 3 ? AF_INET : AF_INET6, -1, 0);
    world.fates[13].delay = 20 * 250;
    end_connection(task_tcp_connect_list(world.list));
    CHECK(descriptors_open() == world.n_open);
    return 0;
}

static int a_connection_to_itself_is_refused(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET, 1, 0);
    add_fate(AF_INET6, 0, 0);
    world.meets_itself = 1;
    world.is_quiet = true;
    end_connection(task_tcp_connect_list(world.list));
    world.list[0].ai_next = NULL;
    CHECK_STATUS(task_tcp_connect_list(world.list), -ECONNREFUSED);
    world.meets_itself = 2;
    CHECK_STATUS(task_tcp_connect_list(&world.list[1]), -ECONNREFUSED);
    return 0;
}

static int failing_calls_are_told(void *arg)
{
    (void)arg;
    begin_world();
    world.is_quiet = true;
    add_fate(AF_INET, 1, 0);
    add_fate(AF_INET, 1, 0);
    world.socket_error = EMFILE;
    CHECK_STATUS(task_tcp_connect_list(world.list), -EMFILE);
    world.socket_error = 0;
    world.option_error = ENOBUFS;
    CHECK_STATUS(task_tcp_connect_list(world.list), -ENOBUFS);
    world.option_error = 0;
    world.own_name_error = ENOBUFS; /* which is no reason to fail */
    end_connection(task_tcp_connect_list(world.list));
    CHECK(descriptors_open() == world.n_open);
    return 0;
}

static int a_cancel_closes_all(void *arg)
{
    struct task *task;

    (void)arg;
    begin_world();
    add_fate(AF_INET6, -1, 0);
    add_fate(AF_INET, -1, 0);
    add_fate(AF_INET, -1, 0);
    task = task_create(connects, NULL);
    CHECK_STATUS(task_await_for(task, 300 * TASK_MILLISECOND), -ETIMEDOUT);
    CHECK_RECORD("connect 0 at 0, connect 1 at 250, close 0 at 300, "
                 "close 1 at 300");
    CHECK(descriptors_open() == world.n_open);
    return 0;
}

static int a_request_is_taken_before_anything_is_opened(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET, 0, 0);
    task_cancel(task_current());
    CHECK_STATUS(task_tcp_connect_list(world.list), -ECANCELED);
    task_cancel(task_current());
    CHECK_STATUS(task_tcp_connect("127.0.0.1", "1"), -ECANCELED);
    end_connection(task_tcp_connect_list(world.list));
    CHECK_RECORD("connect 0 at 0, no delay 0 at 0");
    return 0;
}

static int a_cancel_that_comes_late_comes_next(void *arg)
{
    struct task *task;
    int fd;

    (void)arg;
    begin_world();
    world.is_quiet = true;
    add_fate(AF_INET, 1, 0);
    task = test_start(connects, NULL, "connects");
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK_STATUS(task_yield(), 0); /* and it has heard of it, and not run */
    task_cancel(task);
    fd = task_await(task);
    end_connection(fd);
    CHECK(descriptors_open() == world.n_open);
    return 0;
}

/* It is woken by a failure, and cancelled before it runs. */
static void fail_and_cancel(void *arg)
{
    drain(world.fates[0].peer);
    task_cancel(arg);
}

static int a_cancel_that_meets_a_failure_is_delivered(void *arg)
{
    struct task *task;

    (void)arg;
    begin_world();
    world.is_quiet = true;
    add_fate(AF_INET, 10, ECONNREFUSED);
    add_fate(AF_INET, -1, 0);
    task = test_start(connects, NULL, "connects");
    loop_call_later(10 * TASK_MILLISECOND, fail_and_cancel, task);
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK(descriptors_open() == world.n_open);
    return 0;
}

static int connects_and_closes(void *arg)
{
    int fd;

    (void)arg;
    begin_world();
    world.is_quiet = true;
    add_fate(AF_INET6, 500, 0);
    add_fate(AF_INET, 10, ECONNREFUSED);
    add_fate(AF_INET, 250, 0);
    fd = task_tcp_connect_list(world.list);
    if (fd >= 0)
        task_close(fd);
    return fd < 0 ? fd : 0;
}

static void check_closed(void *arg)
{
    (void)arg;
    CHECK(descriptors_open() <= world.n_open);
}

static void a_cancel_at_any_point_leaks_nothing(void **state)
{
    (void)state;
    assert_int_equal(
        cancel_at_every_point(connects_and_closes, check_closed, NULL), 3);
}

static int nothing_leaks_of_many_that_are_cancelled(void *arg)
{
    struct random random = {test_seed_now()};

    (void)arg;
    for (int round = 0; round < 100; round++) {
        struct task *task;
        int fd;

        begin_world();
        world.is_quiet = true;
        for (int i = 0; i < 5; i++)
            add_fate(random_below(&random, 2) ? AF_INET : AF_INET6,
                     (int)random_below(&random, 700) - 20,
                     random_below(&random, 2) ? ECONNREFUSED : 0);
        task = task_create(connects, NULL);
        CHECK_STATUS(task_sleep((task_time)random_below(&random, 900) *
                                TASK_MILLISECOND),
                     0);
        task_cancel(task);
        fd = task_await(task);
        if (fd >= 0)
            CHECK_STATUS(task_close(fd), 0);
        CHECK(descriptors_open() == world.n_open);
    }
    return 0;
}

/* Events of the first address come, of which nothing is true. */
static void stir(void *arg)
{
    struct descriptor *descriptor = descriptors_find(
        &loop_current()->poller->descriptors, world.fates[0].fd);

    (void)arg;
    task__descriptor_ready(descriptor, POLLIN | POLLOUT);
}

static int an_event_in_vain_is_no_connection(void *arg)
{
    (void)arg;
    begin_world();
    add_fate(AF_INET, 100, 0);
    loop_call_later(10 * TASK_MILLISECOND, stir, NULL);
    loop_call_later(20 * TASK_MILLISECOND, stir, NULL);
    end_connection(task_tcp_connect_list(world.list));
    CHECK_RECORD("connect 0 at 0, no delay 0 at 100");
    return 0;
}

static int somebody_else_closes_its_descriptor(void *arg)
{
    struct task *task;

    (void)arg;
    begin_world();
    world.is_quiet = true;
    add_fate(AF_INET, -1, 0);
    task = test_start(connects, NULL, "connects");
    CHECK_STATUS(task_close(world.fates[0].fd), 0);
    CHECK_STATUS(task_await(task), -EBADF);
    CHECK(descriptors_open() == world.n_open);
    return 0;
}

/* One run in which an allocation is refused. False: there are not so many. */
static bool run_with_little_memory(size_t fail_at)
{
    struct memory_count count = {.fail_at = fail_at};
    struct loop_options options = test_options(&count);
    struct loop *loop = loop_new(&options);
    int status;

    if (!loop)
        return true;
    begin_world();
    world.is_quiet = true;
    for (int i = 0; i < 12; i++)
        add_fate(AF_INET, 1, 0);
    status = loop_run_main(loop, connects, NULL);
    assert_true(status >= 0 || (status == -ENOMEM && !count.fail_at));
    if (status >= 0)
        assert_int_equal(close(status), 0);
    fail_at = count.fail_at;
    test_loop_free(loop, &count);
    assert_int_equal(descriptors_open(), world.n_open);
    return !fail_at;
}

static void memory_that_is_short_is_told(void **state)
{
    size_t fail_at = 1;

    (void)state;
    while (run_with_little_memory(fail_at))
        fail_at++;
    assert_true(fail_at > 5);
}

static void a_connection_is_made_of_a_callback_never(void **state)
{
    (void)state;
    assert_int_equal(task_tcp_connect("127.0.0.1", "1"), -EPERM);
    assert_int_equal(task_tcp_connect("127.0.0.1", NULL), -EPERM);
    assert_int_equal(task_open_connection(NULL, NULL, NULL), -EPERM);
    assert_int_equal(task_open_unix_connection(NULL, NULL), -EPERM);
    assert_int_equal(task_tcp_connect_list(NULL), -EPERM);
}

static int a_request_comes_before_what_is_wrong(void *arg)
{
    (void)arg;
    task_cancel(task_current());
    CHECK_STATUS(task_tcp_connect("127.0.0.1", NULL), -ECANCELED);
    task_cancel(task_current());
    CHECK_STATUS(task_open_connection(NULL, "127.0.0.1", "1"), -ECANCELED);
    task_cancel(task_current());
    CHECK_STATUS(task_open_unix_connection(NULL, "/"), -ECANCELED);
    CHECK_STATUS(task_tcp_connect("127.0.0.1", NULL), -EINVAL);
    CHECK_STATUS(task_open_connection(NULL, "127.0.0.1", "1"), -EINVAL);
    CHECK_STATUS(task_open_unix_connection(NULL, "/"), -EINVAL);
    return 0;
}

/* In truth. */

/* A port of this machine; whoever listens there, or -1. */
static int listen_at(int family, const char *host, char port[8])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
    } name;
    socklen_t size = sizeof name;
    int fd = task_tcp_listen(host, "0", 1);

    CHECK(fd >= 0);
    CHECK_STATUS(getsockname(fd, &name.any, &size), 0);
    CHECK(name.any.sa_family == family);
    snprintf(port, 8, "%d", ntohs(name.v4.sin_port));
    return fd;
}

static int a_listener_is_connected_to(void *arg)
{
    char port[8];
    char byte = 0;
    int on = 0;
    socklen_t size = sizeof on;
    int listener;
    int fd;
    int peer;

    (void)arg;
    begin_world();
    world.is_simulated = false;
    listener = listen_at(AF_INET, "127.0.0.1", port);
    fd = task_tcp_connect("127.0.0.1", port);
    peer = task_accept(listener, NULL, NULL);
    CHECK_STATUS(task_write(fd, "x", 1), 1);
    CHECK_STATUS(task_read(peer, &byte, 1), 1);
    CHECK(byte == 'x');
    CHECK_STATUS(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    CHECK(on);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK_STATUS(task_close(fd), 0);
    CHECK_STATUS(task_close(peer), 0);
    CHECK_STATUS(task_close(listener), 0);
    CHECK_STATUS(task_tcp_connect("127.0.0.1", port), -ECONNREFUSED);
    CHECK(descriptors_open() == world.n_open);
    return 0;
}

static int an_address_without_a_port_is_none(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_tcp_connect("127.0.0.1", NULL), -EINVAL);
    CHECK_STATUS(task_tcp_connect("127.0.0.1", ""), -EINVAL);
    CHECK_STATUS(task_tcp_connect(NULL, NULL), -EINVAL);
    CHECK_STATUS(task_tcp_connect("127.0.0.1", "65536"), -EINVAL);
    return 0;
}

/* A time-out ends the wait for a peer that does not answer. */
static int a_full_backlog_is_waited_for(void *arg)
{
    char port[8];
    int fds[16];
    struct task_timeout timeout;
    int n = 0;
    int status = 0;
    int listener;

    (void)arg;
    begin_world();
    world.is_simulated = false;
    listener = listen_at(AF_INET, "127.0.0.1", port);
    while (!status && n < 16) {
        task_timeout_begin(&timeout, 50 * TASK_MILLISECOND);
        fds[n] = task_tcp_connect("127.0.0.1", port);
        status = task_timeout_end(&timeout, fds[n] < 0 ? fds[n] : 0);
        n += !status;
    }
    CHECK_STATUS(status, -ETIMEDOUT);
    while (n--)
        CHECK_STATUS(task_close(fds[n]), 0);
    CHECK_STATUS(task_close(listener), 0);
    CHECK(descriptors_open() == world.n_open);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(the_first_that_answers_is_taken),
        in_main(one_that_is_connected_at_once_needs_no_wait),
        in_main(families_take_turns),
        in_main(the_next_begins_after_a_quarter_of_a_second),
        in_main(the_next_begins_at_once_when_one_fails),
        in_main(an_early_one_may_win_late),
        in_main(one_of_two_that_succeed_at_once_is_closed),
        in_main(a_connection_comes_before_a_failure_of_the_same_moment),
        in_main(when_all_fail_the_first_family_tells_why),
        in_main(what_is_no_stream_is_left_out),
        in_main(many_addresses_are_tried),
        in_main(a_connection_to_itself_is_refused),
        in_main(failing_calls_are_told),
        in_main(a_cancel_closes_all),
        in_main(a_request_is_taken_before_anything_is_opened),
        in_main(a_cancel_that_comes_late_comes_next),
        in_main(a_cancel_that_meets_a_failure_is_delivered),
        behaviour(a_cancel_at_any_point_leaks_nothing),
        in_main_seeded(nothing_leaks_of_many_that_are_cancelled),
        in_main(an_event_in_vain_is_no_connection),
        in_main(somebody_else_closes_its_descriptor),
        behaviour(memory_that_is_short_is_told),
        behaviour(a_connection_is_made_of_a_callback_never),
        in_main(a_request_comes_before_what_is_wrong),
        in_main(a_listener_is_connected_to),
        in_main(an_address_without_a_port_is_none),
        in_main(a_full_backlog_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
