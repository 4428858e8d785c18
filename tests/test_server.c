/* Servers: server.h. */
#include "bodies.h"
#include "cancel_points.h"
#include "child.h"
#include "descriptors.h"
#include "peers.h"
#include "record.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Start one at any port of 127.0.0.1. */
static struct task_server *start_with(struct task_server_options options)
{
    struct task_server *server = NULL;

    if (!options.host && !options.path && !options.fd)
        options.host = "127.0.0.1";
    CHECK_STATUS(task_start_server_with(&server, &options), 0);
    return server;
}

static struct task_server *start_echo(void)
{
    return start_with((struct task_server_options){.handler = echoes});
}

static int port(const struct task_server *server)
{
    return task_server_port(server);
}

/* End it, with its handlers. */
static void finish(struct task_server *server)
{
    task_server_close(server);
    CHECK_STATUS(task_server_wait_closed(server), 0);
    task_server_free(server);
}

static int waits_closed(void *arg)
{
    int status = task_server_wait_closed(arg);

    record("closed %d", status);
    return status;
}

static int serves(void *arg)
{
    int status = task_server_serve_forever(arg);

    record("served %d", status);
    return status;
}

/* The beginning. */

static int each_connection_has_a_task_and_a_stream(void *arg)
{
    struct task_server *server = start_echo();
    int fds[3];

    (void)arg;
    CHECK(port(server) > 0);
    for (int i = 0; i < 3; i++)
        fds[i] = dial(port(server));
    for (int i = 0; i < 3; i++)
        send_text(fds[i], i ? "other\n" : "first\n");
    for (int i = 3; i--;)
        expect_text(fds[i], i ? "other\n" : "first\n");
    CHECK_STATUS(stats().tasks, 4);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_close(fds[i]), 0);
    finish(server);
    CHECK_STATUS(stats().tasks, 1);
    return 0;
}

static int a_stream_of_a_connection_echoes(void *arg)
{
    struct task_server *server = start_echo();
    struct task_stream *stream;
    char service[8];
    const char *line;

    (void)arg;
    snprintf(service, sizeof service, "%d", port(server));
    CHECK_STATUS(task_open_connection(&stream, "127.0.0.1", service), 0);
    CHECK_STATUS(task_stream_printf(stream, "line %d\n", 1), 0);
    CHECK_STATUS(task_stream_read_line(stream, &line), 7);
    CHECK(!memcmp(line, "line 1\n", 7));
    CHECK_STATUS(task_stream_close(stream), 0);
    finish(server);
    CHECK_STATUS(task_open_connection(&stream, "127.0.0.1", service),
                 -ECONNREFUSED);
    CHECK_STATUS(task_open_connection(NULL, "127.0.0.1", service), -EINVAL);
    return 0;
}

static int what_contradicts_itself_is_refused(void *arg)
{
    const struct task_server_options wrong[] = {
        {.handler = echoes},
        {.host = "127.0.0.1", .service = "0"},
        {.handler = echoes, .host = "127.0.0.1", .path = "/tmp/x"},
        {.handler = echoes, .service = "0", .fd = 3},
        {.handler = echoes, .path = "/tmp/x", .fd = 3},
        {.handler = echoes, .fd = -3},
        {.handler = echoes, .service = "0", .stack_size = 100},
        {.handler = echoes, .path = ""},
        {.handler = echoes, .service = "65536"},
    };
    struct task_server *server = NULL;

    (void)arg;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_STATUS(task_start_server_with(&server, &wrong[i]), -EINVAL);
    CHECK_STATUS(task_start_server_with(NULL, &wrong[0]), -EINVAL);
    CHECK_STATUS(task_start_server_with(&server, NULL), -EINVAL);
    CHECK_STATUS(task_start_server(&server, NULL, NULL, echoes, NULL), -EINVAL);
    CHECK_STATUS(task_start_unix_server(&server, NULL, echoes, NULL), -EINVAL);
    CHECK(!server);
    return 0;
}

/* Those of the interface; what was added comes after them. */
static int options_have_an_order(void *arg)
{
    struct task_server *server = start_with(
        (struct task_server_options){"127.0.0.1", "0", NULL, 0, 5, true, 3,
                                     1 << 16, echoes, arg, .keep_path = false});

    expect_echo(dial(port(server)));
    finish(server);
    return 0;
}

static int no_server_is_no_harm(void *arg)
{
    (void)arg;
    task_server_close(NULL);
    task_server_close_clients(NULL);
    task_server_abort_clients(NULL);
    task_server_free(NULL);
    CHECK_STATUS(task_server_port(NULL), -EINVAL);
    CHECK_STATUS(task_server_fd(NULL, 0), -EINVAL);
    CHECK_STATUS(task_server_wait_closed(NULL), -EINVAL);
    CHECK_STATUS(task_server_serve_forever(NULL), -EINVAL);
    CHECK_STATUS(task_server_shutdown(NULL, 0), -EINVAL);
    return 0;
}

static int a_server_without_a_host_has_both_families(void *arg)
{
    struct task_server *server = NULL;
    char service[8];
    int fd;

    (void)arg;
    CHECK_STATUS(task_start_server(&server, NULL, "0", echoes, NULL), 0);
    snprintf(service, sizeof service, "%d", port(server));
    CHECK_STATUS(port_of_fd(task_server_fd(server, 0)), port(server));
    if (task_server_fd(server, 1) >= 0) /* not where there is no IPv6 */
        CHECK_STATUS(port_of_fd(task_server_fd(server, 1)), port(server));
    CHECK_STATUS(task_server_fd(server, 2), -ENOENT);
    expect_echo(dial(port(server)));
    fd = task_tcp_connect("::1", service);
    if (task_server_fd(server, 1) >= 0)
        expect_echo(fd);
    finish(server);
    return 0;
}

/* Two servers at one port. It is chosen where most ports are taken: by all the
 * clients that there have been, of other tests as well. */
static int start_both(struct task_server **v6, struct task_server **v4)
{
    int status = -EADDRINUSE;
    char service[8];

    for (int i = 0; i < 100 && status == -EADDRINUSE; i++) {
        CHECK_STATUS(task_start_server(v4, "0.0.0.0", "0", echoes, NULL), 0);
        snprintf(service, sizeof service, "%d", port(*v4));
        status = task_start_server(v6, "::", service, echoes, NULL);
        if (status)
            task_server_free(*v4);
    }
    return status;
}

static int each_family_may_have_a_server_of_its_own(void *arg)
{
    struct task_server *v6 = NULL;
    struct task_server *v4 = NULL;
    int status;

    (void)arg;
    status = start_both(&v6, &v4);
    CHECK(status != -EADDRINUSE);
    if (status) /* where there is no IPv6 */
        return 0;
    expect_echo(dial(port(v4)));
    task_server_close(v4);
    CHECK_STATUS(try_port(port(v6)), -ECONNREFUSED);
    finish(v6);
    finish(v4);
    return 0;
}

static int a_port_can_be_had_again_at_once(void *arg)
{
    struct task_server *server = start_echo();
    struct task_server *again = NULL;
    char service[8];
    int fd = dial(port(server));

    (void)arg;
    snprintf(service, sizeof service, "%d", port(server));
    send_text(fd, "x\n");
    expect_text(fd, "x\n");
    CHECK_STATUS(task_start_server(&again, "127.0.0.1", service, echoes, NULL),
                 -EADDRINUSE);
    task_server_close(server);
    task_server_close_clients(server); /* so that this end is in TIME_WAIT */
    expect_end(fd, 0);
    CHECK_STATUS(task_server_wait_closed(server), 0);
    task_server_free(server);
    CHECK_STATUS(task_start_server(&again, "127.0.0.1", service, echoes, NULL),
                 0);
    CHECK(port(again) == atoi(service));
    finish(again);
    return 0;
}

static int a_port_is_shared_on_request(void *arg)
{
    struct task_server *one = start_with(
        (struct task_server_options){.handler = echoes, .reuse_port = true});
    struct task_server *other = NULL;
    char service[8];

    (void)arg;
    snprintf(service, sizeof service, "%d", port(one));
    CHECK_STATUS(task_start_server_with(
                     &other, &(struct task_server_options){.host = "127.0.0.1",
                                                           .service = service,
                                                           .handler = echoes,
                                                           .reuse_port = true}),
                 0);
    for (int i = 0; i < 8; i++)
        expect_echo(dial(port(one)));
    finish(one);
    finish(other);
    return 0;
}

/* A socket bound to 127.0.0.1, and no more. */
static int bound_socket(int type)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type, 0);

    CHECK_STATUS(bind(fd, (void *)&name, sizeof name), 0);
    return fd;
}

static int a_descriptor_is_taken_over(void *arg)
{
    int fd = bound_socket(SOCK_STREAM);
    struct task_server *server =
        start_with((struct task_server_options){.fd = fd, .handler = echoes});

    (void)arg;
    CHECK_STATUS(port(server), port_of_fd(fd));
    expect_echo(dial(port(server)));
    finish(server);
    CHECK_STATUS(fcntl(fd, F_GETFD), -1);
    return 0;
}

static int accepts_one(void *arg)
{
    return task_accept(*(int *)arg, NULL, NULL);
}

static int a_wrong_descriptor_stays_the_callers(void *arg)
{
    struct task_server_options options = {.handler = echoes};
    struct task_server *server = NULL;
    struct task *task;
    int pipe_fds[2];

    (void)arg;
    options.fd = bound_socket(SOCK_DGRAM);
    CHECK_STATUS(task_start_server_with(&server, &options), -EINVAL);
    CHECK_STATUS(task_close(options.fd), 0);
    CHECK_STATUS(task_start_server_with(&server, &options), -EBADF);
    CHECK_STATUS(pipe(pipe_fds), 0);
    options.fd = pipe_fds[0];
    CHECK_STATUS(task_start_server_with(&server, &options), -ENOTSOCK);
    CHECK_STATUS(task_close(pipe_fds[0]), 0);
    CHECK_STATUS(task_close(pipe_fds[1]), 0);
    options.fd = bound_socket(SOCK_STREAM);
    CHECK_STATUS(listen(options.fd, 1), 0);
    task = test_start(accepts_one, &options.fd, "accepts");
    CHECK_STATUS(task_start_server_with(&server, &options), -EBUSY);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(task_close(options.fd), 0);
    CHECK(!server);
    return 0;
}

static void a_server_is_started_in_a_task_only(void **state)
{
    struct task_server *server = NULL;

    (void)state;
    assert_int_equal(task_start_server(&server, NULL, "0", echoes, NULL),
                     -EPERM);
    assert_int_equal(task_start_unix_server(&server, "/tmp/x", echoes, NULL),
                     -EPERM);
    assert_int_equal(task_server_wait_closed(NULL), -EPERM);
    assert_int_equal(task_server_serve_forever(NULL), -EPERM);
    assert_int_equal(task_server_shutdown(NULL, 0), -EPERM);
}

static int a_request_is_taken_before_a_start(void *arg)
{
    struct task_server *server = NULL;

    (void)arg;
    task_cancel(task_current());
    CHECK_STATUS(task_start_server(&server, NULL, "0", echoes, NULL),
                 -ECANCELED);
    CHECK(!server);
    server = start_echo();
    task_cancel(task_current());
    CHECK_STATUS(task_server_wait_closed(server), -ECANCELED);
    finish(server);
    return 0;
}

/* Handlers. */

static int tells_what_it_has(struct task_stream *stream, void *arg)
{
    int on = 0;
    socklen_t size = sizeof on;
    int fd = task_stream_fd(stream);

    CHECK_STATUS(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    record("%s, no delay %d, flags %d %d", (const char *)arg, on != 0,
           (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0,
           (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    record("stack %zu", task_stack_size(task_current()));
    return 0;
}

static int a_handler_has_what_was_asked_for(void *arg)
{
    struct task_server *server = start_with(
        (struct task_server_options){.handler = tells_what_it_has,
                                     .arg = text("arg"),
                                     .stack_size = 2 * TASK_STACK_DEFAULT});

    (void)arg;
    expect_end(dial(port(server)), 0);
    CHECK_RECORD("arg, no delay 1, flags 1 1, stack 131072");
    finish(server);
    return 0;
}

static int says_its_name(struct task_stream *stream, void *arg)
{
    (void)stream;
    snprintf(arg, 64, "%s", task_name(task_current()));
    return 0;
}

static int a_handlers_task_has_a_name_in_debug_mode(void *arg)
{
    char name[64];
    char expected[64];
    struct task_server *server = start_with(
        (struct task_server_options){.handler = says_its_name, .arg = name});

    (void)arg;
    loop_set_debug(loop_current(), true);
    expect_end(dial(port(server)), 0);
    expect_end(dial(port(server)), 0);
    snprintf(expected, sizeof expected, "server :%d client 2", port(server));
    CHECK(!strcmp(name, expected));
    finish(server);
    loop_set_debug(loop_current(), false);
    return 0;
}

static int writes_and_fails(struct task_stream *stream, void *arg)
{
    CHECK_STATUS(task_stream_write(stream, "bye", 3), 0);
    return *(int *)arg;
}

static int a_handler_that_fails_is_reported_once(void *arg)
{
    int status = -EIO;
    struct task_server *server = start_with((struct task_server_options){
        .handler = writes_and_fails, .arg = &status});
    int fd = dial(port(server));

    (void)arg;
    expect_text(fd, "bye");
    expect_end(fd, 0);
    CHECK_RECORD("handler(task-2, -5)");
    status = -ECANCELED;
    fd = dial(port(server));
    expect_text(fd, "bye");
    expect_end(fd, 0);
    finish(server);
    return 0;
}

enum { LARGE = 16000000 };

static char large[LARGE];

static int writes_much(struct task_stream *stream, void *arg)
{
    (void)arg;
    CHECK_STATUS(task_stream_set_write_limits(stream, SIZE_MAX, 0), 0);
    return task_stream_write(stream, large, LARGE);
}

/* Read all there is, slowly; how much. */
static size_t read_all(int fd)
{
    static char buf[10000];
    size_t n_all = 0;
    ssize_t n;

    while ((n = task_read(fd, buf, sizeof buf)) > 0)
        n_all += (size_t)n;
    CHECK_STATUS(n, 0);
    CHECK_STATUS(task_close(fd), 0);
    return n_all;
}

static int what_a_handler_has_written_is_sent_after_it(void *arg)
{
    struct task_server *server =
        start_with((struct task_server_options){.handler = writes_much});
    int fd = dial(port(server));

    (void)arg;
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_close(server);
    CHECK_STATUS(read_all(fd), LARGE);
    CHECK_STATUS(task_server_wait_closed(server), 0);
    task_server_free(server);
    return 0;
}

static int writes_much_and_is_cancelled(struct task_stream *stream, void *arg)
{
    int status = writes_much(stream, arg);

    task_cancel(task_current());
    return status;
}

/* By a request that the handler did not hear, as it did not look. */
static int what_a_handler_has_written_outlives_a_request(void *arg)
{
    struct task_server *server = start_with(
        (struct task_server_options){.handler = writes_much_and_is_cancelled});

    (void)arg;
    CHECK_STATUS(read_all(dial(port(server))), LARGE);
    finish(server);
    return 0;
}

static int what_a_handler_has_written_is_dropped_by_a_later_request(void *arg)
{
    struct task_server *server = start_with(
        (struct task_server_options){.handler = writes_much_and_is_cancelled});
    int fd = dial(port(server));

    (void)arg;
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_STATUS(task_server_shutdown(server, TASK_SECOND), 0);
    CHECK(loop_time() == TASK_SECOND);
    task_server_free(server);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int ends_its_stream(struct task_stream *stream, void *arg)
{
    if (*(bool *)arg)
        task_stream_abort(stream);
    else
        CHECK_STATUS(task_stream_close(stream), 0);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int a_handler_may_end_its_stream_itself(void *arg)
{
    bool aborts = false;
    struct task_server *server = start_with((struct task_server_options){
        .handler = ends_its_stream, .arg = &aborts});

    (void)arg;
    expect_end(dial(port(server)), 0);
    aborts = true;
    expect_end(dial(port(server)), 0);
    finish(server);
    return 0;
}

static int a_peer_that_is_gone_before_it_was_accepted_is_no_harm(void *arg)
{
    struct task_server *server = start_echo();
    int fds[3];

    (void)arg;
    for (int i = 0; i < 3; i++)
        fds[i] = dial_at_once(port(server));
    reset(fds[0]);
    CHECK_STATUS(task_close(fds[1]), 0);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    expect_echo(fds[2]);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    record_clear(); /* the one that was reset may have failed */
    finish(server);
    return 0;
}

static int many_wait_in_the_backlog(void *arg)
{
    struct task_server *server = start_with(
        (struct task_server_options){.handler = echoes, .max_connections = 2});
    int fds[5];

    (void)arg;
    for (int i = 0; i < 5; i++) {
        fds[i] = dial(port(server));
        send_text(fds[i], "here\n");
    }
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_STATUS(stats().tasks, 3);
    expect_text(fds[0], "here\n");
    expect_text(fds[1], "here\n");
    CHECK_STATUS(task_wait_fd(fds[4], POLLOUT), POLLOUT);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(task_close(fds[i]), 0);
        expect_text(fds[i + 2], "here\n");
        CHECK_STATUS(stats().tasks, i < 2 ? 3 : 2 + 1);
    }
    CHECK_STATUS(task_close(fds[3]), 0);
    CHECK_STATUS(task_close(fds[4]), 0);
    expect_echo(dial(port(server)));
    finish(server);
    return 0;
}

/* The end. */

static int a_closed_server_refuses_and_goes_on_serving(void *arg)
{
    struct task_server *server = start_echo();
    int fd = dial(port(server));
    int listener = task_server_fd(server, 0);
    int closed_port = port(server);
    struct task *waiter;

    (void)arg;
    send_text(fd, "one\n");
    expect_text(fd, "one\n");
    waiter = test_start(waits_closed, server, "waiter");
    task_server_close(server);
    task_server_close(server);
    CHECK_STATUS(fcntl(listener, F_GETFD), -1);
    CHECK_STATUS(task_server_fd(server, 0), -ENOENT);
    CHECK_STATUS(port(server), closed_port);
    CHECK_STATUS(try_port(closed_port), -ECONNREFUSED);
    expect_echo(fd);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("closed 0");
    CHECK_STATUS(task_server_wait_closed(server), 0);
    task_server_free(server);
    return 0;
}

static int what_waits_in_the_backlog_is_refused(void *arg)
{
    struct task_server *server = start_with((struct task_server_options){
        .handler = holds_on, .max_connections = 1});
    int fds[2];

    (void)arg;
    fds[0] = dial(port(server));
    fds[1] = dial(port(server));
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_close(server);
    expect_end(fds[1], -ECONNRESET);
    CHECK_STATUS(task_close(fds[0]), 0);
    CHECK_STATUS(task_server_wait_closed(server), 0);
    task_server_free(server);
    return 0;
}

static int ends_when_told(struct task_stream *stream, void *arg)
{
    (void)stream;
    CHECK_STATUS(task_event_wait(arg), 0);
    record("handler ends");
    return 0;
}

/* The last handler ends in the turn in which the server is closed, before or
 * after that, and in which somebody begins to wait. */
static int no_end_is_missed(void *arg)
{
    (void)arg;
    for (int order = 0; order < 4; order++) {
        struct task_event event = {0};
        struct task_server *server = start_with((struct task_server_options){
            .handler = ends_when_told, .arg = &event});
        int fd = dial(port(server));
        struct task *waiter = NULL;

        CHECK_STATUS(task_wait_all_blocked(), 0);
        if (order & 1)
            waiter = test_start(waits_closed, server, "waiter");
        if (order & 2)
            task_event_set(&event);
        else
            task_server_close(server);
        if (!(order & 1))
            waiter = task_create(waits_closed, server);
        if (order & 2)
            task_server_close(server);
        else
            task_event_set(&event);
        CHECK_STATUS(task_await(waiter), 0);
        CHECK_RECORD("handler ends, closed 0");
        task_server_free(server);
        CHECK_STATUS(task_close(fd), 0);
    }
    return 0;
}

static int waits_for_itself(struct task_stream *stream, void *arg)
{
    struct task_server *server = *(struct task_server **)arg;

    (void)stream;
    CHECK_STATUS(task_server_wait_closed(server), -EDEADLK);
    CHECK_STATUS(task_server_serve_forever(server), -EDEADLK);
    CHECK_STATUS(task_server_shutdown(server, 0), -EDEADLK);
    return 0;
}

static int a_handler_does_not_wait_for_itself(void *arg)
{
    struct task_server *server;

    (void)arg;
    server = start_with((struct task_server_options){
        .handler = waits_for_itself, .arg = &server});
    expect_end(dial(port(server)), 0);
    finish(server);
    return 0;
}

/* Servers: the handler's own, and another one. */
static int has_others_wait(struct task_stream *stream, void *arg)
{
    struct task_server **servers = arg;

    (void)stream;
    task_detach(task_create(waits_closed, servers[0]));
    task_detach(task_create_with(waits_closed, servers[0],
                                 &(struct task_options){.eager = true}));
    CHECK_STATUS(task_server_wait_closed(servers[0]), -EDEADLK);
    return waits_closed(servers[1]);
}

static int what_a_handler_creates_may_wait_and_it_for_other_servers(void *arg)
{
    struct task_server *servers[2];
    int fd;

    (void)arg;
    servers[0] = start_with((struct task_server_options){
        .handler = has_others_wait, .arg = servers});
    servers[1] = start_echo();
    fd = dial(port(servers[0]));
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_RECORD("");
    finish(servers[1]);
    expect_end(fd, 0);
    CHECK_RECORD("closed 0");
    finish(servers[0]);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("closed 0, closed 0");
    return 0;
}

static int closes_or_frees(struct task_stream *stream, void *arg)
{
    struct task_server *server = *(struct task_server **)arg;

    task_server_close(server);
    CHECK_STATUS(task_stream_write(stream, "closed", 6), 0);
    task_server_free(server);
    CHECK_STATUS(task_yield(), 0);
    return task_stream_write(stream, ", freed", 7);
}

static int a_server_may_be_freed_in_a_handler(void *arg)
{
    struct task_server *server;
    struct task *waiter;
    int fd;

    (void)arg;
    server = start_with((struct task_server_options){.handler = closes_or_frees,
                                                     .arg = &server});
    waiter = test_start(waits_closed, server, "waiter");
    fd = dial(port(server));
    expect_text(fd, "closed, freed");
    expect_end(fd, 0);
    CHECK_STATUS(task_await(waiter), 0);
    CHECK_RECORD("closed 0");
    return 0;
}

static int a_server_may_be_freed_at_once(void *arg)
{
    struct task_server *server = start_echo();
    int fd = dial_at_once(port(server));

    (void)arg;
    task_server_free(server); /* before it has accepted that */
    expect_end(fd, -ECONNRESET);
    return 0;
}

static int serving_ends_by_a_cancel(void *arg)
{
    struct task_server *server = start_echo();
    struct task *task = test_start(serves, server, "serves");
    int fd = dial(port(server));

    (void)arg;
    CHECK_STATUS(task_server_serve_forever(server), -EBUSY);
    send_text(fd, "x\n");
    expect_text(fd, "x\n");
    task_cancel(task);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK(!task_done(task));
    CHECK_STATUS(try_port(port(server)), -ECONNREFUSED);
    expect_echo(fd);
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_STATUS(task_server_serve_forever(server), 0);
    CHECK_RECORD("served -125");
    task_server_free(server);
    return 0;
}

static int a_request_that_was_there_ends_what_another_task_serves(void *arg)
{
    struct task_server *server = start_echo();
    struct task *first = test_start(serves, server, "first");
    struct task *second = task_create(serves, server);

    (void)arg;
    task_cancel(second);
    CHECK_STATUS(task_await(second), -ECANCELED);
    CHECK_STATUS(try_port(port(server)), -ECONNREFUSED);
    CHECK_STATUS(task_cancel_await(first), 0);
    CHECK_RECORD("served -125, served 0");
    task_server_free(server);
    return 0;
}

/* Before it has begun: then too the end is waited for. */
static int serving_ends_by_a_request_that_was_there(void *arg)
{
    struct task_server *server = start_echo();
    int fd = dial(port(server));
    struct task *task;

    (void)arg;
    send_text(fd, "x\n");
    expect_text(fd, "x\n");
    task = task_create(serves, server);
    task_cancel(task);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK(!task_done(task));
    CHECK_STATUS(try_port(port(server)), -ECONNREFUSED);
    expect_echo(fd);
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_RECORD("served -125");
    task_server_free(server);
    return 0;
}

static int a_second_cancel_does_not_wait(void *arg)
{
    struct task_server *server = start_echo();
    struct task *task = test_start(serves, server, "serves");
    int fd = dial(port(server));

    (void)arg;
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_cancel(task);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_RECORD("served -125");
    task_server_free(server);
    expect_echo(fd); /* the handler goes on without it */
    return 0;
}

static int serving_ends_when_somebody_closes(void *arg)
{
    struct task_server *server = start_echo();
    struct task *task = test_start(serves, server, "serves");

    (void)arg;
    task_server_close(server);
    CHECK_STATUS(task_await(task), 0);
    CHECK_RECORD("served 0");
    task_server_free(server);
    return 0;
}

static int clients_are_closed_after_what_they_were_sent(void *arg)
{
    struct task_server *server =
        start_with((struct task_server_options){.handler = writes_much});
    int fds[3];

    (void)arg;
    for (int i = 0; i < 3; i++)
        fds[i] = dial(port(server));
    CHECK_STATUS(task_wait_all_blocked(), 0);
    reset(fds[1]);
    task_server_close_clients(server);
    task_server_close_clients(server);
    CHECK_STATUS(read_all(fds[0]), LARGE);
    CHECK_STATUS(read_all(fds[2]), LARGE);
    finish(server);
    return 0;
}

static int reads_and_says(struct task_stream *stream, void *arg)
{
    const char *line;
    int status;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        status = (int)task_stream_read_line(stream, &line);
        record("read %d", status);
    }
    record("write %d", task_stream_write(stream, "x", 1));
    return 0;
}

static int handlers_read_the_end_when_clients_are_closed(void *arg)
{
    struct task_server *server =
        start_with((struct task_server_options){.handler = reads_and_says});
    int fd = dial(port(server));

    (void)arg;
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_close_clients(server);
    expect_end(fd, 0);
    fd = dial(port(server));
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_RECORD("read 0, read 0, write -32");
    send_text(fd, "came\n");
    task_server_close_clients(server);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_RECORD("read 5, read 0, write -32");
    CHECK_STATUS(task_close(fd), 0);
    finish(server);
    return 0;
}

struct phase {
    struct task_event event;
    size_t n_read;
};

/* Reads to the end, and leaves the stream open until it is told. */
static int writes_much_and_reads(struct task_stream *stream, void *arg)
{
    struct phase *phase = arg;
    char byte;
    ssize_t n;

    CHECK_STATUS(writes_much(stream, NULL), 0);
    while ((n = task_stream_read(stream, &byte, 1)) > 0)
        phase->n_read++;
    CHECK_STATUS(n, 0);
    CHECK(task_stream_at_eof(stream));
    record("%zu read", phase->n_read);
    return task_event_wait(&phase->event);
}

/* That of a peer that goes on sending as it does not know yet. */
static int nothing_is_lost_to_clients_that_go_on_sending(void *arg)
{
    struct phase phase = {.n_read = 0};
    struct task_server *server = start_with((struct task_server_options){
        .handler = writes_much_and_reads, .arg = &phase});
    int fd = dial(port(server));

    (void)arg;
    send_text(fd, "ab");
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_close_clients(server);
    task_server_close_clients(server);
    for (int i = 0; i < 3; i++) {
        send_text(fd, "c");
        CHECK_STATUS(task_wait_all_blocked(), 0);
    }
    CHECK_RECORD("2 read");
    CHECK_STATUS(read_all(fd), LARGE);
    task_event_set(&phase.event);
    finish(server);
    return 0;
}

static int reads_when_told(struct task_stream *stream, void *arg)
{
    static char buf[1000000];
    ssize_t n;

    CHECK_STATUS(task_event_wait(arg), 0);
    CHECK_STATUS(task_stream_read(stream, buf, 10), 10);
    CHECK_STATUS(task_stream_read_exactly(stream, buf, sizeof buf), -ENODATA);
    n = task_stream_read(stream, buf, sizeof buf);
    record("read %d", (int)n);
    record("then %d", (int)task_stream_read(stream, buf, sizeof buf));
    return 0;
}

/* What comes later does not go before it, nor after it. */
static int handlers_read_what_had_come_when_clients_are_closed(void *arg)
{
    struct task_event event = {0};
    struct task_server *server = start_with((struct task_server_options){
        .handler = reads_when_told, .arg = &event});
    int fd = dial(port(server));

    (void)arg;
    CHECK_STATUS(task_write_all(fd, large, 30000), 30000);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_close_clients(server);
    CHECK_STATUS(task_write_all(fd, large, 5000), 5000);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_event_set(&event);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_RECORD("read 29990, then 0");
    CHECK_STATUS(task_close(fd), 0);
    finish(server);
    return 0;
}

static int handlers_are_woken_when_clients_are_aborted(void *arg)
{
    struct task_server *server =
        start_with((struct task_server_options){.handler = reads_and_says});
    int fds[2];

    (void)arg;
    for (int i = 0; i < 2; i++)
        fds[i] = dial(port(server));
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_abort_clients(server);
    task_server_abort_clients(server);
    task_server_close_clients(server);
    expect_end(fds[0], 0);
    expect_end(fds[1], 0);
    finish(server);
    CHECK_RECORD("read -103, read -103, write -103, "
                 "read -103, read -103, write -103");
    return 0;
}

static int flushes(struct task_stream *stream, void *arg)
{
    int status = task_stream_write(stream, large, LARGE);

    (void)arg;
    record("wrote %d", status);
    return 0;
}

static int writers_are_woken_when_clients_are_aborted(void *arg)
{
    struct task_server *server =
        start_with((struct task_server_options){.handler = flushes});
    int fd = dial(port(server));

    (void)arg;
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_abort_clients(server);
    finish(server);
    CHECK_RECORD("wrote -103");
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int reads_until_it_fails(struct task_stream *stream, void *arg)
{
    ssize_t n;
    char c;

    (void)arg;
    do
        n = task_stream_read(stream, &c, 1);
    while (n > 0);
    CHECK_STATUS(n, -ECONNABORTED);
    return (int)n;
}

/* It says what the server has done to it. */
static int who_was_aborted_has_not_failed(void *arg)
{
    struct task_server *server = start_with(
        (struct task_server_options){.handler = reads_until_it_fails});
    int fds[] = {dial(port(server)), dial(port(server))};
    int other = -ECONNABORTED;
    struct task_server *failing = start_with((struct task_server_options){
        .handler = writes_and_fails, .arg = &other});

    (void)arg;
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_abort_clients(server);
    finish(server);
    CHECK_RECORD("");
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(task_close(fds[i]), 0);
    expect_text(fds[0] = dial(port(failing)), "bye");
    expect_end(fds[0], 0);
    finish(failing);
    CHECK_RECORD("handler(task-4, -103)");
    return 0;
}

/* The handlers have returned, and what they have written is not sent. */
static int connections_that_are_being_closed_are_aborted_too(void *arg)
{
    struct task_server *server =
        start_with((struct task_server_options){.handler = writes_much});
    int fd = dial(port(server));
    struct task_timeout timeout;
    int status;

    (void)arg;
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_close(server);
    task_server_close_clients(server); /* which they are already */
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_STATUS(stats().tasks, 2);
    task_server_abort_clients(server);
    task_timeout_begin(&timeout, TASK_SECOND);
    status = task_server_wait_closed(server);
    CHECK_STATUS(task_timeout_end(&timeout, status), 0);
    task_server_free(server);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

/* A handler by what its peer sends: "e3\n" ends in 3 s, "c\n" ends when it is
 * cancelled, "s\n" swallows that and reads on, "x\n" does not end before 100 s. */
static int behaves(struct task_stream *stream, void *arg)
{
    const char *line;
    int status;

    (void)arg;
    if (task_stream_read_line(stream, &line) < 2)
        return 0;
    switch (line[0]) {
    case 'e':
        status = task_sleep((line[1] - '0') * TASK_SECOND);
        break;
    case 'c':
        status = task_sleep(TASK_HOUR);
        break;
    case 's':
        CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
        status = (int)task_stream_read_line(stream, &line);
        break;
    default:
        CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
        status = task_sleep(100 * TASK_SECOND);
    }
    record("%d at %d", status, (int)(loop_time() / TASK_SECOND));
    return 0;
}

static struct task_server *start_behaving(const char *const lines[], int fds[],
                                          size_t n)
{
    struct task_server *server =
        start_with((struct task_server_options){.handler = behaves});

    for (size_t i = 0; i < n; i++) {
        fds[i] = dial(port(server));
        send_text(fds[i], lines[i]);
    }
    CHECK_STATUS(task_wait_all_blocked(), 0);
    return server;
}

static void close_fds(const int fds[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_STATUS(task_close(fds[i]), 0);
}

static int a_shutdown_waits_for_those_that_end(void *arg)
{
    static const char *const lines[] = {"e1\n", "e3\n"};
    int fds[2];
    struct task_server *server = start_behaving(lines, fds, 2);

    (void)arg;
    CHECK_STATUS(task_server_shutdown(server, 5 * TASK_SECOND), 0);
    CHECK_RECORD("0 at 1, 0 at 3");
    CHECK_STATUS(try_port(port(server)), -ECONNREFUSED);
    task_server_free(server);
    close_fds(fds, 2);
    return 0;
}

static int a_shutdown_cancels_and_aborts_in_the_end(void *arg)
{
    static const char *const lines[] = {"e1\n", "c\n", "s\n", "x\n"};
    int fds[4];
    struct task_server *server = start_behaving(lines, fds, 4);

    (void)arg;
    CHECK_STATUS(task_server_shutdown(server, 5 * TASK_SECOND), 2);
    CHECK(loop_time() == 10 * TASK_SECOND);
    CHECK_STATUS(task_server_wait_closed(server), 0);
    CHECK_RECORD("0 at 1, -125 at 5, -103 at 10, 0 at 105");
    CHECK_STATUS(task_server_shutdown(server, 5 * TASK_SECOND), 0);
    task_server_free(server);
    close_fds(fds, 4);
    return 0;
}

static int a_shutdown_without_grace_takes_a_turn(void *arg)
{
    static const char *const lines[] = {"c\n", "s\n"};
    int fds[2];
    struct task_server *server = start_behaving(lines, fds, 2);

    (void)arg;
    CHECK_STATUS(task_server_shutdown(server, 0), 1);
    CHECK_STATUS(task_server_wait_closed(server), 0);
    CHECK_RECORD("-125 at 0, -103 at 0");
    task_server_free(server);
    close_fds(fds, 2);
    return 0;
}

/* Connections are in the backlog, accepted, or served already. */
static int a_shutdown_may_come_in_any_turn(void *arg)
{
    (void)arg;
    for (int turns = 0; turns < 8; turns++) {
        struct task_server *server = start_echo();
        int fds[3];
        int status;

        for (int i = 0; i < 3; i++)
            fds[i] = dial_at_once(port(server));
        for (int i = 0; i < turns; i++)
            CHECK_STATUS(task_yield(), 0);
        status = task_server_shutdown(server, turns % 2 ? 0 : TASK_SECOND);
        CHECK_STATUS(status, 0);
        CHECK_STATUS(stats().tasks, 1);
        CHECK_STATUS(task_server_wait_closed(server), 0);
        task_server_free(server);
        close_fds(fds, 3);
    }
    return 0;
}

static int shuts_down(void *arg)
{
    int status = task_server_shutdown(arg, 5 * TASK_SECOND);

    record("shut down %d", status);
    return status;
}

static int a_shutdown_that_is_cancelled_stops_there(void *arg)
{
    static const char *const lines[] = {"c\n", "e8\n"};
    int fds[2];
    struct task_server *server = start_behaving(lines, fds, 2);
    struct task *task = test_start(shuts_down, server, "shutdown");

    (void)arg;
    CHECK_STATUS(task_sleep(2 * TASK_SECOND), 0);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(task_sleep(7 * TASK_SECOND), 0);
    task = test_start(shuts_down, server, "shutdown");
    CHECK_STATUS(task_sleep(6 * TASK_SECOND), 0);
    CHECK_STATUS(task_await(task), 0);
    CHECK_RECORD("shut down -125, 0 at 8, -125 at 14, shut down 0");
    task_server_free(server);
    close_fds(fds, 2);
    return 0;
}

/* It waits for the task that shuts down: so that is asked when it is. */
static int quits(struct task_stream *stream, void *arg)
{
    (void)stream;
    return task_await(task_create(shuts_down, *(struct task_server **)arg));
}

static int a_shutdown_for_which_a_handler_waits_is_cancelled_with_it(void *arg)
{
    struct task_server *server = NULL;
    int fd;

    (void)arg;
    server = start_with(
        (struct task_server_options){.handler = quits, .arg = &server});
    fd = dial(port(server));
    CHECK_STATUS(task_server_wait_closed(server), 0);
    CHECK(loop_time() == 5 * TASK_SECOND);
    CHECK_RECORD("shut down -125");
    task_server_free(server);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

/* The end of the loop. */

static int leaves_a_server(void *arg)
{
    struct task_server *server = start_echo();

    *(int *)arg = dial(port(server));
    send_text(*(int *)arg, "x\n");
    expect_text(*(int *)arg, "x\n");
    task_detach(task_create(serves, server));
    return task_yield();
}

static void the_end_of_the_loop_ends_its_servers(void **state)
{
    size_t n_open = descriptors_open();
    int fd = -1;

    (void)state;
    assert_int_equal(run_virtual(leaves_a_server, &fd), 0);
    assert_record("served -125");
    assert_int_equal(close(fd), 0);
    assert_int_equal(descriptors_open(), n_open);
}

static int leaves_a_server_that_writes(void *arg)
{
    struct task_server *server =
        start_with((struct task_server_options){.handler = flushes});

    *(int *)arg = dial(port(server));
    CHECK_STATUS(task_wait_all_blocked(), 0);
    task_server_free(server);
    return 0;
}

/* A write that has begun is complete, and its handler has not heard of the end. */
static void the_end_of_the_loop_does_not_wait_for_peers(void **state)
{
    int fd = -1;

    (void)state;
    assert_int_equal(run_virtual(leaves_a_server_that_writes, &fd), 0);
    assert_record("wrote 0");
    assert_int_equal(close(fd), 0);
}

static void a_server_that_was_not_closed_is_reported(void **state)
{
    struct loop_options options = test_options(NULL);
    int fd = -1;

    (void)state;
    options.debug = true;
    assert_int_equal(run_with(options, leaves_a_server, &fd), 0);
    assert_record("served -125");
    assert_int_equal(close(fd), 0);
}

static int leaves_an_open_server(void *arg)
{
    *(struct task_server **)arg = start_echo();
    return 0;
}

static void note_leak(const struct loop_error *error, void *arg)
{
    (void)arg;
    record("leak %d %d %d", error->kind == LOOP_ERROR_LEAK,
           strstr(error->file, "test_server.c") != NULL, error->line > 0);
}

static void only_those_that_nobody_closed_are_leaks(void **state)
{
    struct loop_options options = test_options(NULL);
    struct task_server *server;

    (void)state;
    options.debug = true;
    options.on_error = note_leak;
    assert_int_equal(run_with(options, leaves_an_open_server, &server), 0);
    assert_record("leak 1 1 1");
}

static int misuses(void *arg)
{
    struct task_server *server = start_echo();
    struct task *task = test_start(serves, server, "serves");
    struct task_server *other = NULL;

    (void)arg;
    CHECK_STATUS(task_server_serve_forever(server), -EBUSY);
    CHECK_STATUS(task_server_wait_closed(NULL), -EINVAL);
    CHECK_STATUS(task_start_server(&other, NULL, NULL, echoes, NULL), -EINVAL);
    CHECK_STATUS(task_open_connection(NULL, "127.0.0.1", "1"), -EINVAL);
    CHECK_STATUS(task_tcp_listen(NULL, NULL, 1), -EINVAL);
    CHECK_STATUS(task_tcp_connect("127.0.0.1", NULL), -EINVAL);
    task_server_free(server);
    return task_await(task);
}

static void misuse_is_reported_in_debug_mode(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.debug = true;
    assert_int_equal(run_with(options, misuses, NULL), 0);
    assert_record(
        "misuse(task-1, -16), misuse(task-1, -22), misuse(task-1, -22), "
        "misuse(task-1, -22), misuse(task-1, -22), misuse(task-1, -22), "
        "served 0");
}

static int drops_a_handler(void *arg)
{
    struct task_server *server =
        start_with((struct task_server_options){.handler = behaves});

    *(int *)arg = dial(port(server));
    send_text(*(int *)arg, "x\n");
    return task_wait_all_blocked();
}

static void a_handler_may_be_dropped(void **state)
{
    struct loop_options options = test_options(NULL);
    size_t n_open = descriptors_open();
    int fd = -1;

    (void)state;
    options.shutdown_timeout = TASK_SECOND;
    assert_int_equal(run_with(options, drops_a_handler, &fd), 0);
    assert_record("shutdown(task-2, -110)");
    assert_int_equal(close(fd), 0);
    assert_int_equal(descriptors_open(), n_open);
}

static void between_runs_a_server_may_be_freed(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task_server *server = NULL;

    (void)state;
    assert_int_equal(loop_run_main(loop, leaves_an_open_server, &server), 0);
    task_server_close(server);
    assert_int_equal(task_server_fd(server, 0), -ENOENT);
    task_server_free(server);
    test_loop_free(loop, &count);
}

static void use_inherited(void *arg)
{
    struct task_server *server = arg;

    task_server_close(server);
    task_server_close_clients(server);
    task_server_abort_clients(server);
    task_server_free(server);
    if (task_server_fd(server, 0) < 0)
        abort();
}

static int forks(void *arg)
{
    struct task_server *server = start_echo();

    (void)arg;
    CHECK_STATUS(child_run(use_inherited, server), 0);
    expect_echo(dial(port(server)));
    finish(server);
    return 0;
}

/* The loop is in a variable of its own: leak checkers look for it in the child. */
static void an_inherited_server_is_left_alone(void **state)
{
    static struct loop *loop;

    (void)state;
    loop = test_loop_new(NULL);
    assert_int_equal(loop_run_main(loop, forks, NULL), 0);
    test_loop_free(loop, NULL);
}

/* Cancels. */

static size_t n_open_before;

static void check_open(void *arg)
{
    (void)arg;
    CHECK_STATUS(descriptors_open(), n_open_before);
}

static int starts_serves_and_stops(void *arg)
{
    struct task_server *server = NULL;
    int fd = -1;
    int status = task_start_server(&server, "127.0.0.1", "0", echoes, NULL);

    (void)arg;
    open_poller();
    if (!status)
        fd = status = task_tcp_connect("127.0.0.1", "1");
    if (status == -ECONNREFUSED)
        status = task_server_shutdown(server, TASK_SECOND);
    if (!status)
        status = task_server_wait_closed(server);
    if (fd >= 0)
        task_close(fd);
    task_server_free(server);
    return status;
}

static void a_cancel_at_any_point_leaves_nothing(void **state)
{
    (void)state;
    n_open_before = descriptors_open();
    cancel_at_every_point(starts_serves_and_stops, NULL, NULL);
    check_open(NULL);
}

static int talks(void *arg)
{
    int fd = dial(*(int *)arg);

    for (int i = 0; i < 10; i++) {
        send_text(fd, "talk\n");
        expect_text(fd, "talk\n");
    }
    return task_close(fd);
}

static int a_thousand_talk_at_once(void *arg)
{
    struct task_server *server = start_echo();
    struct task_group group;
    int to = port(server);
    unsigned n = test_rounds(500);

    (void)arg;
    task_group_begin(&group);
    for (unsigned i = 0; i < n; i++)
        CHECK_STATUS(task_group_start(&group, talks, &to), 0);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    finish(server);
    return 0;
}

static void free_it(const struct loop_error *error, void *arg)
{
    struct task_server **server = arg;

    record("leak %d", error->kind == LOOP_ERROR_LEAK);
    task_server_free(*server);
}

static void a_hook_may_free_what_was_not_closed(void **state)
{
    struct loop_options options = test_options(NULL);
    struct task_server *server;

    (void)state;
    options.debug = true;
    options.on_error = free_it;
    options.on_error_arg = &server;
    assert_int_equal(run_with(options, leaves_an_open_server, &server), 0);
    assert_record("leak 1");
}

/* Its stream is the hook's to abort: it is not looked at any more. */
static struct task_stream *of_failure;

static int fails_with_its_stream(struct task_stream *stream, void *arg)
{
    (void)arg;
    of_failure = stream;
    return -EIO;
}

static void abort_its_stream(const struct loop_error *error, void *arg)
{
    (void)arg;
    record("handler %d", error->kind == LOOP_ERROR_HANDLER);
    task_stream_abort(of_failure);
}

static int a_hook_may_abort_a_connection_that_failed(void *arg)
{
    struct task_server *server = start_with(
        (struct task_server_options){.handler = fails_with_its_stream});
    int fd;

    (void)arg;
    loop_set_error_handler(loop_current(), abort_its_stream, NULL);
    fd = dial(port(server));
    expect_end(fd, 0);
    CHECK_RECORD("handler 1");
    finish(server);
    return 0;
}

static int errno_is_kept_where_an_address_is_left_out(void *arg)
{
    struct task_server *server = NULL;

    (void)arg;
    errno = 0; /* "localhost" may be 127.0.0.1 twice, and ::1 */
    CHECK_STATUS(task_start_server(&server, "localhost", "0", echoes, NULL), 0);
    CHECK_STATUS(errno, 0);
    finish(server);
    return 0;
}

/* Two done callbacks stand in the ready queue when the time to end is up, the last one
 * of the future that was made first; then the hook queues one more. */
static struct task *first_made;

static void is_not_called(struct task *task, void *arg)
{
    (void)task;
    (void)arg;
}

static int ends_when_asked(void *arg)
{
    (void)arg;
    task_sleep(TASK_HOUR);
    return 0;
}

static int completes_when_asked(void *arg)
{
    task_sleep(TASK_HOUR);
    task_future_complete(first_made, 0);
    usleep(20000); /* longer than all may take */
    return arg ? 1 : 0;
}

static int never_ends(void *arg)
{
    while (!arg)
        task_sleep(TASK_HOUR);
    return 0;
}

static int leaves_callbacks_and_a_server(void *arg)
{
    struct task *task;

    first_made = task_future_create();
    CHECK_STATUS(task_add_done_callback(first_made, is_not_called, NULL), 0);
    task = task_create(ends_when_asked, NULL);
    CHECK_STATUS(task_add_done_callback(task, is_not_called, NULL), 0);
    task_detach(task);
    task_detach(task_create(completes_when_asked, NULL));
    task_detach(task_create(never_ends, NULL));
    *(struct task_server **)arg = start_echo();
    return task_sleep(TASK_MILLISECOND);
}

static void is_not_run(void *arg)
{
    (void)arg;
}

static void queue_one_more(const struct loop_error *error, void *arg)
{
    (void)arg;
    if (!strncmp(error->message, "a server", 8))
        record("%d", loop_call_soon(is_not_run, NULL) > 0);
}

static void what_is_queued_at_the_end_stays_where_it_is(void **state)
{
    struct loop_options options = test_options(NULL);
    struct task_server *server;

    (void)state;
    options.debug = true;
    options.clock = LOOP_CLOCK_REAL;
    options.shutdown_timeout = 2 * TASK_MILLISECOND;
    options.on_error = queue_one_more;
    assert_int_equal(run_with(options, leaves_callbacks_and_a_server, &server),
                     0);
    assert_record("1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(each_connection_has_a_task_and_a_stream),
        in_main(a_stream_of_a_connection_echoes),
        in_main(options_have_an_order),
        in_main(what_contradicts_itself_is_refused),
        in_main(no_server_is_no_harm),
        in_main(a_server_without_a_host_has_both_families),
        in_main(each_family_may_have_a_server_of_its_own),
        in_main(a_port_can_be_had_again_at_once),
        in_main(a_port_is_shared_on_request),
        in_main(a_descriptor_is_taken_over),
        in_main(a_wrong_descriptor_stays_the_callers),
        behaviour(a_server_is_started_in_a_task_only),
        in_main(a_request_is_taken_before_a_start),
        in_main(a_handler_has_what_was_asked_for),
        in_main(a_handlers_task_has_a_name_in_debug_mode),
        in_main(a_handler_that_fails_is_reported_once),
        in_main(what_a_handler_has_written_is_sent_after_it),
        in_main(what_a_handler_has_written_outlives_a_request),
        in_main(what_a_handler_has_written_is_dropped_by_a_later_request),
        in_main(a_handler_may_end_its_stream_itself),
        in_main(a_peer_that_is_gone_before_it_was_accepted_is_no_harm),
        in_main(many_wait_in_the_backlog),
        in_main(a_closed_server_refuses_and_goes_on_serving),
        in_main(what_waits_in_the_backlog_is_refused),
        in_main(no_end_is_missed),
        in_main(a_handler_does_not_wait_for_itself),
        in_main(what_a_handler_creates_may_wait_and_it_for_other_servers),
        in_main(a_server_may_be_freed_in_a_handler),
        in_main(a_server_may_be_freed_at_once),
        in_main(serving_ends_by_a_cancel),
        in_main(serving_ends_by_a_request_that_was_there),
        in_main(a_request_that_was_there_ends_what_another_task_serves),
        in_main(a_second_cancel_does_not_wait),
        in_main(serving_ends_when_somebody_closes),
        in_main(clients_are_closed_after_what_they_were_sent),
        in_main(handlers_read_the_end_when_clients_are_closed),
        in_main(nothing_is_lost_to_clients_that_go_on_sending),
        in_main(handlers_read_what_had_come_when_clients_are_closed),
        in_main(handlers_are_woken_when_clients_are_aborted),
        in_main(writers_are_woken_when_clients_are_aborted),
        in_main(who_was_aborted_has_not_failed),
        in_main(connections_that_are_being_closed_are_aborted_too),
        in_main(a_shutdown_waits_for_those_that_end),
        in_main(a_shutdown_cancels_and_aborts_in_the_end),
        in_main(a_shutdown_without_grace_takes_a_turn),
        in_main(a_shutdown_may_come_in_any_turn),
        in_main(a_shutdown_that_is_cancelled_stops_there),
        in_main(a_shutdown_for_which_a_handler_waits_is_cancelled_with_it),
        behaviour(the_end_of_the_loop_ends_its_servers),
        behaviour(the_end_of_the_loop_does_not_wait_for_peers),
        behaviour(a_server_that_was_not_closed_is_reported),
        behaviour(only_those_that_nobody_closed_are_leaks),
        behaviour(misuse_is_reported_in_debug_mode),
        behaviour(a_handler_may_be_dropped),
        behaviour(between_runs_a_server_may_be_freed),
        behaviour(an_inherited_server_is_left_alone),
        behaviour(a_cancel_at_any_point_leaves_nothing),
        in_main(a_thousand_talk_at_once),
        behaviour(a_hook_may_free_what_was_not_closed),
        in_main(a_hook_may_abort_a_connection_that_failed),
        in_main(errno_is_kept_where_an_address_is_left_out),
        behaviour(what_is_queued_at_the_end_stays_where_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
