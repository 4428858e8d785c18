/* Sockets that are bound: task_tcp_listen, task_udp_open; and task_accept. */
#include "bodies.h"
#include "descriptors.h"
#include "peers.h"
#include "random.h"
#include "record.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *service_of(int fd)
{
    static char service[16];

    snprintf(service, sizeof service, "%d", port_of_fd(fd));
    return service;
}

static bool has_ipv6(void)
{
    int fd = task_tcp_listen("::1", "0", 1);

    if (fd >= 0)
        CHECK_STATUS(task_close(fd), 0);
    return fd >= 0;
}

static int accepts(void *arg)
{
    return task_accept(*(int *)arg, NULL, NULL);
}

/* Connect, and see that it is accepted there. */
static void meet(int listener, const char *host)
{
    int fd = task_tcp_connect(host, service_of(listener));
    int peer = task_accept(listener, NULL, NULL);

    CHECK(fcntl(peer, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(peer, F_GETFL) & O_NONBLOCK);
    send_text(fd, "hello");
    expect_text(peer, "hello");
    CHECK_STATUS(task_close(fd), 0);
    expect_end(peer, 0);
}

static int a_listener_is_as_it_should_be(void *arg)
{
    int fd = task_tcp_listen("127.0.0.1", "0", 5);
    int on = 0;
    socklen_t size = sizeof on;

    (void)arg;
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK_STATUS(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, &size), 0);
    CHECK(on);
    meet(fd, "127.0.0.1");
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int a_listener_without_a_host_has_both_families(void *arg)
{
    static const char *const hosts[] = {NULL, ""};

    (void)arg;
    for (int i = 0; i < 2; i++) {
        int fd = task_tcp_listen(hosts[i], i ? NULL : "0", 5);

        meet(fd, "127.0.0.1");
        if (has_ipv6())
            meet(fd, "::1");
        CHECK_STATUS(task_close(fd), 0);
    }
    return 0;
}

/* The port is chosen where most are taken: by all the clients that there have
 * been, of other tests as well. */
static int a_listener_of_ipv6_leaves_ipv4_alone(void *arg)
{
    int v4 = task_tcp_listen("0.0.0.0", "0", 5);
    int v6 = task_tcp_listen("::", service_of(v4), 5);

    (void)arg;
    for (int i = 0; i < 100 && v6 == -EADDRINUSE; i++) {
        CHECK_STATUS(task_close(v4), 0);
        v4 = task_tcp_listen("0.0.0.0", "0", 5);
        v6 = task_tcp_listen("::", service_of(v4), 5);
    }
    CHECK(v6 != -EADDRINUSE);
    meet(v4, "127.0.0.1");
    if (v6 >= 0) { /* else there is no IPv6 */
        meet(v6, "::1");
        CHECK_STATUS(task_close(v6), 0);
    }
    CHECK_STATUS(task_close(v4), 0);
    return 0;
}

static int what_cannot_be_bound_is_told(void *arg)
{
    int fd = task_tcp_listen("127.0.0.1", "0", 5);

    (void)arg;
    errno = E2BIG;
    CHECK_STATUS(task_tcp_listen("127.0.0.1", service_of(fd), 5), -EADDRINUSE);
    CHECK_STATUS(task_tcp_listen("192.0.2.1", "0", 5), -EADDRNOTAVAIL);
    CHECK_STATUS(task_tcp_listen(NULL, NULL, 5), -EINVAL);
    CHECK_STATUS(task_tcp_listen("127.0.0.1", "70000", 5), -EINVAL);
    CHECK_STATUS(task_udp_open(NULL, NULL), -EINVAL);
    CHECK_STATUS(task_udp_open("192.0.2.1", "0"), -EADDRNOTAVAIL);
    CHECK_STATUS(errno, E2BIG);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int a_scope_is_kept(void *arg)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    struct sockaddr_in6 name;

    (void)arg;
    if (task_getaddrinfo("fe80::1%1", "80", &hints, &list))
        return 0;
    memcpy(&name, list->ai_addr, sizeof name);
    CHECK_STATUS(name.sin6_scope_id, 1);
    freeaddrinfo(list);
    return 0;
}

static int udp_goes_both_ways(void *arg)
{
    static const char *const hosts[] = {"127.0.0.1", NULL};

    (void)arg;
    for (int i = 0; i < 2; i++) {
        int server = task_udp_open(hosts[i], "0");
        int client = task_udp_open("127.0.0.1", "0");
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        char buf[8];

        to.sin_port = htons((in_port_t)port_of_fd(server));
        CHECK_STATUS(task_sendto(client, "ping", 4, 0, (void *)&to, sizeof to),
                     4);
        CHECK_STATUS(
            task_recvfrom(server, buf, sizeof buf, 0, (void *)&from, &size), 4);
        CHECK_STATUS(task_sendto(server, "pong", 4, 0, (void *)&from, size), 4);
        CHECK_STATUS(task_recv(client, buf, sizeof buf, 0), 4);
        CHECK(!memcmp(buf, "pong", 4));
        CHECK_STATUS(task_udp_open("127.0.0.1", service_of(client)),
                     -EADDRINUSE);
        CHECK_STATUS(task_close(server), 0);
        CHECK_STATUS(task_close(client), 0);
    }
    return 0;
}

static int requests_are_taken_first(void *arg)
{
    size_t n_open = descriptors_open();

    (void)arg;
    task_cancel(task_current());
    CHECK_STATUS(task_tcp_listen("127.0.0.1", "0", 1), -ECANCELED);
    task_cancel(task_current());
    CHECK_STATUS(task_udp_open("127.0.0.1", "0"), -ECANCELED);
    CHECK_STATUS(descriptors_open(), n_open);
    return 0;
}

static void outside_of_tasks_nothing_is_opened(void **state)
{
    (void)state;
    assert_int_equal(task_tcp_listen("127.0.0.1", "0", 1), -EPERM);
    assert_int_equal(task_tcp_listen(NULL, NULL, 1), -EPERM);
    assert_int_equal(task_udp_open("127.0.0.1", "0"), -EPERM);
    assert_int_equal(task_udp_open(NULL, NULL), -EPERM);
    assert_int_equal(task_getaddrinfo("127.0.0.1", "0", NULL, NULL), -EPERM);
}

/* Accepting. */

static int a_cancelled_accept_leaves_nothing_behind(void *arg)
{
    int fd = task_tcp_listen("127.0.0.1", "0", 5);
    struct task *task = test_start(accepts, &fd, "accepts");

    (void)arg;
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(stats().watched_fds, 0);
    CHECK_STATUS(task_close(fd), 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return 0;
}

static int a_listener_that_is_closed_ends_an_accept(void *arg)
{
    int fd = task_tcp_listen("127.0.0.1", "0", 5);
    struct task *task = test_start(accepts, &fd, "accepts");

    (void)arg;
    CHECK_STATUS(task_close(fd), 0);
    CHECK_STATUS(task_await(task), -EBADF);
    return 0;
}

/* The connection comes in the turn in which it is cancelled, before or after. */
static int a_connection_is_not_lost_by_a_cancel(void *arg)
{
    int listener = task_tcp_listen("127.0.0.1", "0", 5);

    (void)arg;
    for (int order = 0; order < 3; order++) {
        struct task *task = test_start(accepts, &listener, "accepts");
        int fd;
        int peer;

        if (order == 0)
            task_cancel(task);
        fd = dial_at_once(port_of_fd(listener));
        if (order == 1)
            task_cancel(task);
        if (order == 2) { /* it has been woken */
            CHECK_STATUS(task_wait_fd(listener, POLLPRI | POLLIN), -EBUSY);
            CHECK_STATUS(task_yield(), 0);
            task_cancel(task);
        }
        peer = task_await(task);
        if (peer == -ECANCELED)
            peer = task_accept(listener, NULL, NULL);
        CHECK_STATUS(task_close(fd), 0);
        expect_end(peer, 0);
    }
    CHECK_STATUS(task_close(listener), 0);
    return 0;
}

static int a_refused_socket_stays_the_callers(void *arg)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = task_tcp_listen("127.0.0.1", "0", 5);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)arg;
    name.sin_port = htons((in_port_t)port_of_fd(listener));
    CHECK_STATUS(task_close(listener), 0);
    CHECK_STATUS(task_connect(fd, (void *)&name, sizeof name), -ECONNREFUSED);
    CHECK_STATUS(stats().watched_fds, 0);
    CHECK_STATUS(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int dials(void *arg)
{
    char service[16];

    snprintf(service, sizeof service, "%d", *(int *)arg);
    return task_tcp_connect("127.0.0.1", service);
}

/* By a reset, which leaves no port in TIME_WAIT. */
static void close_result(struct task *task)
{
    int fd = task_await(task);

    if (fd >= 0)
        reset(fd);
    else
        CHECK_STATUS(fd, -ECANCELED);
}

static void let_others_run(struct random *random)
{
    size_t n = random_below(random, 4);

    for (size_t i = 0; i < n; i++)
        CHECK_STATUS(task_yield(), 0);
}

/* Those that nobody has accepted. */
static void empty_backlog(int listener)
{
    int fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0)
        reset(fd);
}

/* Accepts and connects are cancelled at random; nothing is left open. */
static int nothing_leaks_of_many_that_are_cancelled(void *arg)
{
    struct random random = {test_seed(0)};
    unsigned n = test_rounds(10000);
    int listener = task_tcp_listen("127.0.0.1", "0", 50);
    int port = port_of_fd(listener);
    size_t n_open;

    (void)arg;
    open_poller();
    n_open = descriptors_open();
    for (unsigned i = 0; i < n; i++) {
        struct task *accepting = task_create(accepts, &listener);
        struct task *connecting = task_create(dials, &port);

        let_others_run(&random);
        if (random_below(&random, 2))
            task_cancel(accepting);
        let_others_run(&random);
        if (random_below(&random, 2))
            task_cancel(connecting);
        let_others_run(&random);
        task_cancel(accepting);
        close_result(connecting);
        close_result(accepting);
        empty_backlog(listener);
    }
    CHECK_STATUS(descriptors_open(), n_open);
    CHECK_STATUS(stats().watched_fds, 0);
    CHECK_STATUS(task_close(listener), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_listener_is_as_it_should_be),
        in_main(a_listener_without_a_host_has_both_families),
        in_main(a_listener_of_ipv6_leaves_ipv4_alone),
        in_main(what_cannot_be_bound_is_told),
        in_main(a_scope_is_kept),
        in_main(udp_goes_both_ways),
        in_main(requests_are_taken_first),
        behaviour(outside_of_tasks_nothing_is_opened),
        in_main(a_cancelled_accept_leaves_nothing_behind),
        in_main(a_listener_that_is_closed_ends_an_accept),
        in_main(a_connection_is_not_lost_by_a_cancel),
        in_main(a_refused_socket_stays_the_callers),
        in_main(nothing_leaks_of_many_that_are_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
