/*
 * Servers whose system calls fail: accepting, and opening.
 */

/* The linker wraps: socket bind listen accept4 setsockopt getsockopt */
/* The linker wraps: getsockname fcntl */

#include "bodies.h"
#include "descriptors.h"
#include "peers.h"
#include "record.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum call {
    SOCKET,
    BIND,
    LISTEN,
    ACCEPT,
    SET_OPTION,
    GET_OPTION,
    GET_NAME,
    FCNTL,
    N_CALLS
};

/* What calls fail with, and which ones of a kind: first to last; 0: none. */
static struct {
    int errors[N_CALLS];
    size_t first[N_CALLS];
    size_t last[N_CALLS];
    size_t n[N_CALLS]; /* so far */
    int option;        /* that is refused; 0: any */
    int backlog;       /* of the last listen */
} faults;

static void no_faults(void)
{
    memset(&faults, 0, sizeof faults);
}

/* Calls of this kind fail, from the first-th from now to the last-th. */
static void refuse(enum call call, int error, size_t first, size_t last)
{
    faults.errors[call] = error;
    faults.first[call] = first;
    faults.last[call] = last;
    faults.n[call] = 0;
}

static void refuse_for_ever(enum call call, int error)
{
    refuse(call, error, 1, SIZE_MAX);
}

static bool is_refused(enum call call)
{
    size_t n = ++faults.n[call];

    if (n < faults.first[call] || n > faults.last[call])
        return false;
    errno = faults.errors[call];
    return true;
}

#define WRAP(name, call, parameters, arguments)                                \
    int __real_##name parameters;                                              \
    int __wrap_##name parameters;                                              \
    int __wrap_##name parameters                                               \
    {                                                                          \
        return is_refused(call) ? -1 : __real_##name arguments;                \
    }

WRAP(socket, SOCKET, (int family, int type, int protocol),
     (family, type, protocol))
WRAP(bind, BIND, (int fd, const struct sockaddr *addr, socklen_t len),
     (fd, addr, len))
WRAP(accept4, ACCEPT,
     (int fd, struct sockaddr *addr, socklen_t *len, int flags),
     (fd, addr, len, flags))
WRAP(getsockopt, GET_OPTION,
     (int fd, int level, int name, void *value, socklen_t *size),
     (fd, level, name, value, size))
WRAP(getsockname, GET_NAME, (int fd, struct sockaddr *addr, socklen_t *len),
     (fd, addr, len))

int __real_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value,
                      socklen_t size)
{
    bool is_meant = !faults.option || faults.option == name;

    return is_meant && is_refused(SET_OPTION)
               ? -1
               : __real_setsockopt(fd, level, name, value, size);
}

int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog)
{
    faults.backlog = backlog;
    return is_refused(LISTEN) ? -1 : __real_listen(fd, backlog);
}

/* All that is called here takes an int, or nothing. */
int __real_fcntl(int fd, int command, int value);
int __wrap_fcntl(int fd, int command, int value);
int __wrap_fcntl(int fd, int command, int value)
{
    if (command == F_GETFL && is_refused(FCNTL))
        return -1;
    return __real_fcntl(fd, command, value);
}

/* Servers. */

static struct task_server *start_with(struct task_server_options options)
{
    struct task_server *server = NULL;

    no_faults();
    options.host = "127.0.0.1";
    CHECK_STATUS(task_start_server_with(&server, &options), 0);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    return server;
}

static struct task_server *start_echo(void)
{
    return start_with((struct task_server_options){.handler = echoes});
}

static void finish(struct task_server *server)
{
    task_server_close(server);
    CHECK_STATUS(task_server_wait_closed(server), 0);
    task_server_free(server);
    no_faults();
}

static int port(const struct task_server *server)
{
    return task_server_port(server);
}

/* Accepting. */

static int errors_of_connections_are_ignored(void *arg)
{
    static const int errors[] = {
        EAGAIN,       EINTR,       ECONNABORTED, EPROTO,
        EPERM,        ENETDOWN,    EHOSTDOWN,    ENOPROTOOPT,
        EHOSTUNREACH, ENETUNREACH, ECONNRESET,   ETIMEDOUT,
    };
    struct task_server *server = start_echo();

    (void)arg;
    for (size_t i = 1; i < sizeof errors / sizeof *errors; i++) {
        int fd = dial_at_once(port(server));

        refuse(ACCEPT, errors[i], 1, 3);
        expect_echo(fd);
    }
    CHECK(loop_time() == 0);
    finish(server);
    return 0;
}

/* Not even without end do they keep the others from running, or the processor
 * at work. */
static int endless_errors_of_connections_are_endured(void *arg)
{
    struct task_server *server = start_echo();
    int fd = dial_at_once(port(server));

    (void)arg;
    refuse_for_ever(ACCEPT, EPERM);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(faults.n[ACCEPT] <= 11 * 64);
    CHECK_RECORD("accept(-1)");
    no_faults();
    expect_echo(fd);
    finish(server);
    return 0;
}

static int a_shortage_pauses_and_is_reported_once(void *arg)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    struct task_server *server = start_echo();
    int old = dial(port(server));

    (void)arg;
    send_text(old, "x\n");
    expect_text(old, "x\n");
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        task_time start = loop_time();
        uint64_t polls = stats().polls;
        int fd = dial_at_once(port(server));

        refuse_for_ever(ACCEPT, errors[i]);
        CHECK_STATUS(task_sleep(TASK_SECOND + TASK_MILLISECOND), 0);
        CHECK_STATUS(faults.n[ACCEPT], 11);
        CHECK(stats().polls - polls < 40);
        record("then");
        send_text(old, "x\n"); /* the others go on */
        expect_text(old, "x\n");
        no_faults();
        expect_echo(fd);
        CHECK(loop_time() - start <= 1100 * TASK_MILLISECOND);
    }
    CHECK_RECORD("accept(-24), then, accept(-23), then, accept(-105), then, "
                 "accept(-12), then");
    CHECK_STATUS(task_close(old), 0);
    finish(server);
    return 0;
}

static int a_server_that_pauses_can_be_closed(void *arg)
{
    struct task_server *server = start_echo();
    int fd = dial_at_once(port(server));

    (void)arg;
    refuse_for_ever(ACCEPT, EMFILE);
    CHECK_STATUS(task_sleep(10 * TASK_MILLISECOND), 0);
    finish(server);
    expect_end(fd, -ECONNRESET);
    CHECK_STATUS(stats().timers, 0);
    CHECK_RECORD("accept(-24)");
    return 0;
}

static void lower_limit(struct rlimit *former, rlim_t to)
{
    struct rlimit low;

    CHECK_STATUS(getrlimit(RLIMIT_NOFILE, former), 0);
    low = *former;
    low.rlim_cur = to;
    CHECK_STATUS(setrlimit(RLIMIT_NOFILE, &low), 0);
}

/* With no descriptor left in truth; those that wait are served when there is.
 * Under Valgrind, which has no room for the descriptor, they are lost. */
static int those_that_wait_are_served_after_a_shortage(void *arg)
{
    struct task_server *server;
    struct rlimit former;
    int fds[4];

    (void)arg;
    if (getenv("TASK_TEST_VALGRIND"))
        return 0;
    server = start_echo();
    for (int i = 0; i < 4; i++)
        fds[i] = dial_at_once(port(server));
    lower_limit(&former, (rlim_t)fds[3] + 1);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_RECORD("accept(-24)");
    CHECK_STATUS(setrlimit(RLIMIT_NOFILE, &former), 0);
    for (int i = 0; i < 4; i++)
        expect_echo(fds[i]);
    finish(server);
    return 0;
}

static int waits_closed(void *arg)
{
    return task_server_wait_closed(arg);
}

static int serves(void *arg)
{
    return task_server_serve_forever(arg);
}

static int another_error_ends_the_server(void *arg)
{
    struct task_server *server = start_echo();
    struct task *waiter = test_start(waits_closed, server, "waiter");
    struct task *serving = test_start(serves, server, "serving");
    int old = dial(port(server));
    int fd;

    (void)arg;
    send_text(old, "x\n");
    expect_text(old, "x\n");
    fd = dial_at_once(port(server));
    refuse(ACCEPT, EIO, 1, 1);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_STATUS(try_port(port(server)), -ECONNREFUSED);
    expect_echo(old);
    CHECK_STATUS(task_await(waiter), -EIO);
    CHECK_STATUS(task_await(serving), -EIO);
    CHECK_STATUS(task_server_wait_closed(server), -EIO);
    CHECK_STATUS(task_server_shutdown(server, 0), 0);
    expect_end(fd, -ECONNRESET);
    task_server_free(server);
    return 0;
}

static int a_listener_that_is_closed_by_others_ends_the_server(void *arg)
{
    struct task_server *server = start_echo();
    struct task *waiter = test_start(waits_closed, server, "waiter");
    int fd = task_server_fd(server, 0);
    int other;

    (void)arg;
    CHECK_STATUS(task_close(fd), 0);
    other = open("/dev/null", O_RDONLY);
    CHECK_STATUS(other, fd);
    CHECK_STATUS(task_await(waiter), -EBADF);
    CHECK_STATUS(task_server_fd(server, 0), -ENOENT);
    task_server_free(server);
    CHECK_STATUS(close(other), 0);
    return 0;
}

/* By close(), while it is full, and its number is used again, by a connection or
 * by what is no socket. */
static int a_number_that_is_reused_is_left_alone(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct task_server *server = start_with((struct task_server_options){
            .handler = echoes, .max_connections = 1});
        int number = task_server_fd(server, 0);
        int fd = dial(port(server));
        int pair[2];

        send_text(fd, "x\n");
        expect_text(fd, "x\n");
        CHECK_STATUS(i ? pipe(pair) : socketpair(AF_UNIX, SOCK_STREAM, 0, pair),
                     0);
        CHECK_STATUS(dup2(pair[0], number), number);
        CHECK_STATUS(close(pair[0]), 0);
        CHECK_STATUS(task_close(fd), 0); /* there is room for another one */
        CHECK_STATUS(task_server_wait_closed(server), -EBADF);
        CHECK_STATUS(task_server_fd(server, 0), -ENOENT);
        task_server_free(server);
        CHECK_STATUS(write(pair[1], "y", 1), 1);
        CHECK_STATUS(read(number, &(char){0}, 1), 1);
        CHECK_STATUS(close(number), 0);
        CHECK_STATUS(close(pair[1]), 0);
    }
    return 0;
}

/* The same by another server's socket; or while it pauses. */
static int a_number_that_another_server_has_is_left_alone(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct task_server *server = start_with((struct task_server_options){
            .handler = echoes, .max_connections = i ? 0 : 1});
        struct task *waiter = test_start(waits_closed, server, "waiter");
        int number = task_server_fd(server, 0);
        struct task_server *other;
        int fd;

        if (i)
            refuse(ACCEPT, EMFILE, 1, 1);
        fd = dial(port(server));
        CHECK_STATUS(task_wait_all_blocked(), 0);
        CHECK_STATUS(close(number), 0);
        other = start_echo();
        CHECK_STATUS(task_server_fd(other, 0), number);
        CHECK_STATUS(task_close(fd), 0);
        CHECK_STATUS(task_sleep(i * TASK_SECOND), 0);
        CHECK_STATUS(task_wait_all_blocked(), 0);
        CHECK(task_done(waiter));
        CHECK_STATUS(task_server_fd(server, 0), -ENOENT);
        task_server_free(server);
        CHECK_STATUS(task_await(waiter), -EBADF);
        expect_echo(dial(port(other)));
        finish(other);
    }
    CHECK_RECORD("accept(-24)");
    return 0;
}

/* A listening socket that is not the library's, at a free port. */
static int listen_elsewhere(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_STATUS(bind(fd, (const struct sockaddr *)&any, sizeof any), 0);
    CHECK_STATUS(listen(fd, 1), 0);
    return fd;
}

/* To accept there would block, too. */
static int nor_is_one_accepted_by_that_is_reused_after_an_event(void *arg)
{
    struct task_server *server = start_echo();
    struct task *waiter = test_start(waits_closed, server, "waiter");
    int number = task_server_fd(server, 0);
    int fds[3];

    (void)arg;
    fds[0] = dial_at_once(port(server));
    CHECK_STATUS(task_yield(), 0); /* the server runs after us */
    CHECK_STATUS(close(number), 0);
    CHECK_STATUS(listen_elsewhere(), number);
    fds[1] = dial_at_once(port_of_fd(number));
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK(task_done(waiter));
    CHECK_STATUS(task_await(waiter), -EBADF);
    task_server_free(server);
    fds[2] = accept4(number, NULL, NULL, SOCK_NONBLOCK);
    CHECK(fds[2] >= 0);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_close(fds[i]), 0);
    CHECK_STATUS(close(number), 0);
    return 0;
}

static int accepted_in_the_end(struct task_stream *stream, void *arg)
{
    char byte;

    (void)arg;
    record("served");
    return (int)task_stream_read(stream, &byte, 1);
}

static void note_turn(void *arg)
{
    int *n = arg;

    record("turn");
    if (--*n)
        loop_call_soon(note_turn, n);
}

/* Four connections are there at once. */
static int others_run_after_a_backlog_was_accepted(void *arg)
{
    struct task_server *server = start_with((struct task_server_options){
        .handler = accepted_in_the_end, .backlog = 3});
    int fds[4];
    int n = 3;

    (void)arg;
    for (int i = 0; i < 4; i++)
        fds[i] = dial_at_once(port(server));
    loop_call_soon(note_turn, &n);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_RECORD("turn, turn, served, served, served, turn, served");
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(task_close(fds[i]), 0);
    finish(server);
    return 0;
}

static int a_connection_costs_one_more_call_at_the_most(void *arg)
{
    struct task_server *server = start_echo();
    size_t before = faults.n[ACCEPT];

    (void)arg;
    for (int i = 0; i < 10; i++)
        expect_echo(dial(port(server)));
    CHECK(faults.n[ACCEPT] - before <= 20);
    finish(server);
    return 0;
}

static int backlogs_are_clamped(void *arg)
{
    static const int backlogs[] = {0, -1, 5, 65535, 65536, INT32_MAX};
    static const int listened[] = {65535, 65535, 5, 65535, 65535, 65535};

    (void)arg;
    for (size_t i = 0; i < sizeof backlogs / sizeof *backlogs; i++) {
        int fd = task_tcp_listen("127.0.0.1", "0", backlogs[i]);

        CHECK(fd >= 0);
        CHECK_STATUS(faults.backlog, listened[i]);
        CHECK_STATUS(task_close(fd), 0);
        finish(start_with((struct task_server_options){
            .handler = echoes, .backlog = backlogs[i]}));
    }
    return 0;
}

/* Opening. */

static int starts_and_stops(void *arg)
{
    struct task_server *server = NULL;
    int status = task_start_server(&server, arg, "0", echoes, NULL);

    CHECK(!server == !!status);
    task_server_free(server);
    return status;
}

/* Each call of each kind fails once: what it failed with is returned, and nothing
 * is left open. */
static int calls_that_fail_leave_nothing_open(void *arg)
{
    static const enum call calls[] = {SOCKET, BIND, LISTEN, SET_OPTION,
                                      GET_NAME};
    size_t n_open;

    (void)arg;
    open_poller();
    n_open = descriptors_open();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int status = -1;
        size_t n = 0;

        while (status) {
            no_faults();
            refuse(calls[i], EDOM, n + 1, n + 1);
            status = starts_and_stops(text("127.0.0.1"));
            CHECK(!status || status == -EDOM);
            CHECK_STATUS(descriptors_open(), n_open);
            n++;
        }
        CHECK(n > 1);
    }
    no_faults();
    return 0;
}

static int a_system_without_reuse_port_says_so(void *arg)
{
    struct task_server_options options = {
        .host = "127.0.0.1", .handler = echoes, .reuse_port = true};
    struct task_server *server = NULL;
    size_t n_open;

    (void)arg;
    open_poller();
    n_open = descriptors_open();
    no_faults();
    faults.option = SO_REUSEPORT;
    refuse_for_ever(SET_OPTION, ENOPROTOOPT);
    CHECK_STATUS(task_start_server_with(&server, &options), -ENOPROTOOPT);
    CHECK(!server);
    CHECK_STATUS(descriptors_open(), n_open);
    options.reuse_port = false;
    CHECK_STATUS(task_start_server_with(&server, &options), 0);
    finish(server);
    return 0;
}

/* Else there is but one address without a host. */
static bool has_ipv6(void)
{
    int fd = task_tcp_listen("::1", "0", 1);

    if (fd >= 0)
        CHECK_STATUS(task_close(fd), 0);
    return fd >= 0;
}

/* With two addresses, and the port taken at the second one. */
static int all_addresses_or_none_are_listened_to(void *arg)
{
    size_t n_open;
    struct task_server *server = NULL;

    (void)arg;
    no_faults();
    if (!has_ipv6())
        return 0;
    open_poller();
    n_open = descriptors_open();
    no_faults();
    refuse(BIND, EADDRINUSE, 2, SIZE_MAX);
    CHECK_STATUS(task_start_server(&server, NULL, "0", echoes, NULL),
                 -EADDRINUSE);
    CHECK(faults.n[BIND] > 10); /* any port would have done */
    CHECK_STATUS(descriptors_open(), n_open);
    no_faults();
    refuse(BIND, EADDRINUSE, 2, SIZE_MAX);
    CHECK_STATUS(task_start_server(&server, NULL, "59999", echoes, NULL),
                 -EADDRINUSE);
    CHECK(faults.n[BIND] <= 2);
    no_faults();
    refuse(BIND, EADDRINUSE, 2, 5);
    CHECK_STATUS(task_start_server(&server, NULL, "0", echoes, NULL), 0);
    CHECK_STATUS(port_of_fd(task_server_fd(server, 0)),
                 port_of_fd(task_server_fd(server, 1)));
    finish(server);
    return 0;
}

static int what_the_machine_does_not_have_is_left_out(void *arg)
{
    static const int errors[] = {EAFNOSUPPORT, EADDRNOTAVAIL};
    struct task_server *server = NULL;

    (void)arg;
    no_faults();
    if (!has_ipv6())
        return 0;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        no_faults();
        refuse(i ? BIND : SOCKET, errors[i], 2, 2);
        CHECK_STATUS(task_start_server(&server, NULL, "0", echoes, NULL), 0);
        CHECK(task_server_fd(server, 0) >= 0);
        CHECK_STATUS(task_server_fd(server, 1), -ENOENT);
        finish(server);
        refuse(BIND, errors[i], 1, 2);
        CHECK_STATUS(task_start_server(&server, NULL, "0", echoes, NULL),
                     -errors[i]);
    }
    no_faults();
    return 0;
}

static int a_descriptor_stays_the_callers_when_calls_fail(void *arg)
{
    static const enum call calls[] = {GET_OPTION, FCNTL, LISTEN};
    struct task_server_options options = {.handler = echoes};
    struct task_server *server = NULL;

    (void)arg;
    no_faults();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        options.fd = task_tcp_listen("127.0.0.1", "0", 1);
        refuse(calls[i], EDOM, 1, 1);
        CHECK_STATUS(task_start_server_with(&server, &options), -EDOM);
        no_faults();
        CHECK_STATUS(task_close(options.fd), 0);
    }
    CHECK(!server);
    return 0;
}

static int serves_a_few(void *arg)
{
    struct task_server *server = NULL;
    int status;
    int fds[3];
    int n;

    (void)arg;
    no_faults();
    status = task_start_server(&server, "127.0.0.1", "0", echoes, NULL);
    if (status)
        return status;
    for (n = 0; n < 3; n++)
        fds[n] = dial_at_once(port(server));
    status = task_sleep(TASK_SECOND);
    record_clear(); /* it may have been short of memory */
    for (n = 0; n < 3; n++)
        CHECK_STATUS(close(fds[n]), 0);
    if (!status)
        status = task_server_shutdown(server, TASK_SECOND);
    task_server_free(server);
    record_clear();
    return status;
}

static int says_hello(struct task_stream *stream, void *arg)
{
    return task_stream_write(stream, arg, strlen(arg));
}

/* Each is served sooner or later, and once. */
static int serves_each(void *arg)
{
    struct task_server *server = NULL;
    char buf[16];
    int status;
    int fds[3];
    int n;

    (void)arg;
    no_faults();
    status =
        task_start_server(&server, "127.0.0.1", "0", says_hello, text("hello"));
    if (status)
        return status;
    for (n = 0; n < 3; n++)
        fds[n] = dial_at_once(port(server));
    status = task_sleep(TASK_SECOND);
    for (n = 0; n < 3; n++) {
        if (!status)
            CHECK_STATUS(recv(fds[n], buf, sizeof buf, MSG_DONTWAIT), 5);
        CHECK_STATUS(close(fds[n]), 0);
    }
    task_server_free(server);
    record_clear(); /* it may have been short of memory */
    return status;
}

/* Closed while it keeps one, or not. */
static int serves_nobody(void *arg)
{
    struct task_server *server = NULL;
    int status;
    int fd;

    (void)arg;
    no_faults();
    status =
        task_start_server(&server, "127.0.0.1", "0", says_hello, text("hello"));
    if (status)
        return status;
    fd = dial_at_once(port(server));
    status = task_sleep(10 * TASK_MILLISECOND);
    task_server_free(server);
    CHECK_STATUS(close(fd), 0);
    record_clear();
    return status;
}

/* One run in which an allocation is refused. False: there are not so many. */
static bool run_with_little_memory(task_fn *fn, size_t fail_at)
{
    struct memory_count count = {.fail_at = fail_at};
    struct loop_options options = test_options(&count);
    size_t n_open = descriptors_open();
    struct loop *loop = loop_new(&options);
    int status;

    if (!loop)
        return true;
    status = loop_run_main(loop, fn, NULL);
    assert_true(!status || (status == -ENOMEM && !count.fail_at));
    fail_at = count.fail_at;
    test_loop_free(loop, &count);
    assert_int_equal(descriptors_open(), n_open);
    return !fail_at;
}

static void memory_that_is_short_loses_no_connection(void **state)
{
    task_fn *const fns[] = {serves_a_few, serves_each, serves_nobody};

    (void)state;
    for (int i = 0; i < 3; i++) {
        size_t fail_at = 1;

        while (run_with_little_memory(fns[i], fail_at))
            fail_at++;
        assert_true(fail_at > 5);
    }
}

/* While another one has the lowest number; then that is free. */
static struct {
    int low;
    bool is_free;
    unsigned n_lowered;
} kept;

static int looks_at_its_number(struct task_stream *stream, void *arg)
{
    (void)arg;
    CHECK_STATUS(task_stream_fd(stream) == kept.low, kept.is_free);
    kept.n_lowered += kept.is_free;
    return 0;
}

static int serves_by_another_number(void *arg)
{
    struct task_server *server = NULL;
    int status;
    int fd;

    (void)arg;
    no_faults();
    status =
        task_start_server(&server, "127.0.0.1", "0", looks_at_its_number, NULL);
    if (status)
        return status;
    kept.is_free = false;
    kept.low = dup(0);
    fd = dial_at_once(port(server));
    status = task_sleep(TASK_MILLISECOND);
    CHECK_STATUS(close(kept.low), 0);
    kept.is_free = true;
    if (!status)
        status = task_sleep(TASK_SECOND);
    if (!status)
        expect_end(fd, 0);
    else
        CHECK_STATUS(close(fd), 0);
    task_server_free(server);
    record_clear();
    return status;
}

/* Low numbers need no more memory, high ones do. */
static void one_that_is_kept_goes_on_by_a_low_number(void **state)
{
    size_t fail_at = 1;

    (void)state;
    kept.n_lowered = 0;
    while (run_with_little_memory(serves_by_another_number, fail_at))
        fail_at++;
    assert_true(kept.n_lowered > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(errors_of_connections_are_ignored),
        in_main(endless_errors_of_connections_are_endured),
        in_main(a_shortage_pauses_and_is_reported_once),
        in_main(a_server_that_pauses_can_be_closed),
        in_main(those_that_wait_are_served_after_a_shortage),
        in_main(another_error_ends_the_server),
        in_main(a_listener_that_is_closed_by_others_ends_the_server),
        in_main(a_number_that_is_reused_is_left_alone),
        in_main(a_number_that_another_server_has_is_left_alone),
        in_main(nor_is_one_accepted_by_that_is_reused_after_an_event),
        in_main(others_run_after_a_backlog_was_accepted),
        in_main(a_connection_costs_one_more_call_at_the_most),
        in_main(backlogs_are_clamped),
        in_main(calls_that_fail_leave_nothing_open),
        in_main(a_system_without_reuse_port_says_so),
        in_main(all_addresses_or_none_are_listened_to),
        in_main(what_the_machine_does_not_have_is_left_out),
        in_main(a_descriptor_stays_the_callers_when_calls_fail),
        behaviour(memory_that_is_short_loses_no_connection),
        behaviour(one_that_is_kept_goes_on_by_a_low_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
