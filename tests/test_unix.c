/*
 * Unix sockets: connecting, listening, their files, and servers with a path.
 */

/* The linker wraps: socket bind listen connect unlink */

#include "bodies.h"
#include "cancel_points.h"
#include "descriptors.h"
#include "peers.h"
#include "record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* A folder of this process, and the path in it that all use. */
static char folder[] = "/tmp/task-unix-XXXXXX";
static char path[64];
static char other_path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(other_path, sizeof other_path, "%s/other", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static bool exists(const char *at)
{
    struct stat stat;

    return !lstat(at, &stat);
}

/* Faults: the n-th call of one kind from now on fails. */

enum call { SOCKET, BIND, LISTEN, CONNECT, UNLINK, N_CALLS };

static struct {
    enum call call;
    size_t n; /* 0: none fails */
} fault;

static bool is_refused(enum call call)
{
    if (fault.call != call || !fault.n || --fault.n)
        return false;
    errno = EDOM;
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
WRAP(listen, LISTEN, (int fd, int backlog), (fd, backlog))
WRAP(connect, CONNECT, (int fd, const struct sockaddr *addr, socklen_t len),
     (fd, addr, len))
WRAP(unlink, UNLINK, (const char *at), (at))

/* Sockets. */

static int connects(void *arg)
{
    return task_unix_connect(arg);
}

static void talk(int listener, const char *at)
{
    int fd = task_unix_connect(at);
    int peer = task_accept(listener, NULL, NULL);

    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    send_text(fd, "hello");
    expect_text(peer, "hello");
    CHECK_STATUS(task_close(peer), 0);
    expect_end(fd, 0);
}

static int two_ends_of_a_path_talk(void *arg)
{
    int listener = task_unix_listen(path, 1);

    (void)arg;
    CHECK(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    talk(listener, path);
    CHECK_STATUS(task_close(listener), 0);
    CHECK_STATUS(task_unix_connect(path), -ECONNREFUSED);
    CHECK_STATUS(unlink(path), 0);
    CHECK_STATUS(task_unix_connect(path), -ENOENT);
    return 0;
}

static int an_abstract_name_is_in_no_folder(void *arg)
{
    char name[64];
    int listener;

    (void)arg;
    snprintf(name, sizeof name, "@task-test-%d", (int)getpid());
    listener = task_unix_listen(name, 1);
    talk(listener, name);
    CHECK(!exists(name));
    CHECK_STATUS(task_unix_listen(name, 1), -EADDRINUSE);
    CHECK_STATUS(task_close(listener), 0);
    CHECK_STATUS(task_unix_connect(name), -ECONNREFUSED);
    return 0;
}

static int paths_that_are_none_are_refused(void *arg)
{
    char longest[sizeof((struct sockaddr_un *)0)->sun_path + 1];

    (void)arg;
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    CHECK_STATUS(task_unix_connect(longest), -ENAMETOOLONG);
    CHECK_STATUS(task_unix_listen(longest, 1), -ENAMETOOLONG);
    longest[sizeof longest - 2] = 0;
    CHECK_STATUS(task_unix_connect(longest), -ENOENT);
    CHECK_STATUS(task_unix_connect(NULL), -EINVAL);
    CHECK_STATUS(task_unix_connect(""), -EINVAL);
    CHECK_STATUS(task_unix_listen(NULL, 1), -EINVAL);
    CHECK_STATUS(task_unix_listen("", 1), -EINVAL);
    CHECK_STATUS(task_unix_listen("/nowhere/socket", 1), -ENOENT);
    return 0;
}

static int what_is_no_socket_is_left_alone(void *arg)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);

    (void)arg;
    CHECK_STATUS(task_unix_connect(path), -ECONNREFUSED);
    CHECK_STATUS(task_unix_listen(path, 1), -EADDRINUSE);
    CHECK(exists(path));
    CHECK_STATUS(close(fd), 0);
    CHECK_STATUS(unlink(path), 0);
    CHECK_STATUS(symlink("/nowhere", path), 0);
    CHECK_STATUS(task_unix_listen(path, 1), -EADDRINUSE);
    CHECK_STATUS(unlink(path), 0);
    return 0;
}

static int bind_to_path(int type)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type, 0);

    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    CHECK_STATUS(bind(fd, (void *)&name, sizeof name), 0);
    return fd;
}

static int only_what_is_left_over_is_replaced(void *arg)
{
    int first = task_unix_listen(path, 1);
    int again;

    (void)arg;
    CHECK_STATUS(task_unix_listen(path, 1), -EADDRINUSE);
    CHECK_STATUS(task_close(task_accept(first, NULL, NULL)),
                 0); /* that asked */
    CHECK_STATUS(task_close(first), 0);
    again = task_unix_listen(path, 1);
    talk(again, path);
    CHECK_STATUS(task_close(again), 0);
    CHECK_STATUS(unlink(path), 0);
    first = bind_to_path(SOCK_DGRAM);
    CHECK_STATUS(task_unix_listen(path, 1), -EADDRINUSE);
    CHECK_STATUS(task_unix_connect(path), -EPROTOTYPE);
    CHECK_STATUS(close(first), 0);
    CHECK_STATUS(unlink(path), 0);
    return 0;
}

/* Others listen there, and do not accept. */
static int one_that_is_busy_is_not_left_over(void *arg)
{
    int first = task_unix_listen(path, 1);
    struct task *tasks[4];

    (void)arg;
    for (int i = 0; i < 4; i++)
        tasks[i] = test_start(connects, path, "connects");
    CHECK_STATUS(task_unix_listen(path, 1), -EADDRINUSE);
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(task_close(task_accept(first, NULL, NULL)), 0);
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(task_close(task_await(tasks[i])), 0);
    CHECK_STATUS(task_close(first), 0);
    CHECK_STATUS(unlink(path), 0);
    return 0;
}

static int a_full_backlog_is_waited_for(void *arg)
{
    int listener = task_unix_listen(path, 1);
    struct task *tasks[8];
    struct task *cancelled;
    size_t n_open;

    (void)arg;
    for (int i = 0; i < 8; i++)
        tasks[i] = test_start(connects, path, "connects");
    n_open = descriptors_open();
    cancelled = test_start(connects, path, "cancelled");
    CHECK(!task_done(tasks[7]));
    CHECK_STATUS(task_cancel_await(cancelled), -ECANCELED);
    CHECK_STATUS(descriptors_open(), n_open);
    for (int i = 0; i < 8; i++) {
        CHECK_STATUS(task_close(task_accept(listener, NULL, NULL)), 0);
        CHECK_STATUS(task_close(task_await(tasks[i])), 0);
    }
    CHECK_STATUS(task_close(listener), 0);
    CHECK_STATUS(unlink(path), 0);
    return 0;
}

static int a_request_is_taken_first(void *arg)
{
    (void)arg;
    task_cancel(task_current());
    CHECK_STATUS(task_unix_connect(path), -ECANCELED);
    CHECK_STATUS(task_unix_connect(path), -ENOENT);
    return 0;
}

static int errno_is_kept(void *arg)
{
    int fd;

    (void)arg;
    errno = E2BIG;
    CHECK_STATUS(task_unix_connect(path), -ENOENT);
    CHECK_STATUS(errno, E2BIG);
    fd = task_unix_listen(path, 1);
    CHECK_STATUS(task_unix_listen(path, 1), -EADDRINUSE);
    CHECK_STATUS(errno, E2BIG);
    CHECK_STATUS(task_close(fd), 0);
    CHECK_STATUS(unlink(path), 0);
    return 0;
}

/* Outside of tasks and loops. */
static void to_listen_needs_no_loop(void **state)
{
    int fd = task_unix_listen(path, 1);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(task_unix_connect(path), -EPERM);
}

/* With a socket that is left over, each call of each kind fails once. */
static int calls_that_fail_are_told(void *arg)
{
    size_t n_open = descriptors_open();

    (void)arg;
    for (int call = 0; call < N_CALLS; call++) {
        int fd = -1;

        for (size_t n = 1; fd < 0; n++) {
            CHECK_STATUS(close(bind_to_path(SOCK_STREAM)), 0);
            fault.call = (enum call)call;
            fault.n = n;
            fd = task_unix_listen(path, 1);
            fault.n = 0;
            CHECK(fd >= 0 || fd == -EDOM || fd == -EADDRINUSE);
            CHECK_STATUS(descriptors_open(), n_open + (fd >= 0));
            unlink(path);
        }
        CHECK_STATUS(close(fd), 0);
    }
    fault.call = CONNECT;
    fault.n = 1;
    CHECK_STATUS(task_unix_connect(path), -EDOM);
    fault.call = SOCKET;
    fault.n = 1;
    CHECK_STATUS(task_unix_connect(path), -EDOM);
    CHECK_STATUS(descriptors_open(), n_open);
    return 0;
}

/* Servers. */

static struct task_server *start_at_path(void)
{
    struct task_server *server = NULL;

    CHECK_STATUS(task_start_unix_server(&server, path, echoes, NULL), 0);
    return server;
}

static int a_server_has_a_path(void *arg)
{
    struct task_server *server = start_at_path();
    struct task_stream *stream;
    const char *line;

    (void)arg;
    CHECK_STATUS(task_server_port(server), -EAFNOSUPPORT);
    CHECK_STATUS(task_open_unix_connection(&stream, path), 0);
    CHECK_STATUS(task_stream_printf(stream, "hello\n"), 0);
    CHECK_STATUS(task_stream_read_line(stream, &line), 6);
    CHECK_STATUS(task_stream_close(stream), 0);
    task_server_close(server);
    CHECK(!exists(path));
    CHECK_STATUS(task_server_wait_closed(server), 0);
    task_server_free(server);
    CHECK_STATUS(task_open_unix_connection(&stream, path), -ENOENT);
    CHECK_STATUS(task_open_unix_connection(NULL, path), -EINVAL);
    return 0;
}

static int a_server_that_is_there_is_not_replaced(void *arg)
{
    struct task_server *server = start_at_path();
    struct task_server *other = NULL;

    (void)arg;
    CHECK_STATUS(task_start_unix_server(&other, path, echoes, NULL),
                 -EADDRINUSE);
    expect_echo(task_unix_connect(path));
    CHECK_STATUS(task_server_shutdown(server, TASK_SECOND), 0);
    task_server_free(server);
    return 0;
}

static int a_path_that_is_gone_is_no_harm(void *arg)
{
    struct task_server *server = start_at_path();

    (void)arg;
    CHECK_STATUS(unlink(path), 0);
    task_server_free(server);
    return 0;
}

static int a_path_that_is_anothers_now_is_left_alone(void *arg)
{
    struct task_server *server = start_at_path();
    struct task_server *other;

    (void)arg;
    CHECK_STATUS(unlink(path), 0);
    other = start_at_path();
    task_server_free(server);
    expect_echo(task_unix_connect(path));
    task_server_free(other);
    CHECK(!exists(path));
    return 0;
}

static int a_file_in_its_place_is_left_alone(void *arg)
{
    struct task_server *server = start_at_path();
    int fd;

    (void)arg;
    CHECK_STATUS(rename(path, other_path), 0);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    task_server_free(server);
    CHECK(exists(path));
    CHECK_STATUS(close(fd), 0);
    CHECK_STATUS(unlink(path), 0);
    CHECK_STATUS(unlink(other_path), 0);
    return 0;
}

static int a_path_is_kept_on_request(void *arg)
{
    struct task_server *server = NULL;

    (void)arg;
    CHECK_STATUS(task_start_server_with(
                     &server, &(struct task_server_options){.path = path,
                                                            .handler = echoes,
                                                            .keep_path = true}),
                 0);
    expect_echo(task_unix_connect(path));
    CHECK_STATUS(task_server_shutdown(server, TASK_SECOND), 0);
    task_server_free(server);
    CHECK(exists(path));
    CHECK_STATUS(unlink(path), 0);
    return 0;
}

static int leaves_a_server(void *arg)
{
    (void)arg;
    start_at_path();
    return 0;
}

static void the_end_of_the_loop_removes_the_path(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_a_server, NULL), 0);
    assert_false(exists(path));
}

/* In a child. */
static void close_inherited(struct task_server *server, struct loop *loop)
{
    (void)loop;
    task_server_close(server);
    task_server_free(server);
}

static void free_inherited(struct task_server *server, struct loop *loop)
{
    (void)server;
    loop_free(loop);
}

static int a_child_of_a_fork_leaves_the_server_and_its_path(void *arg)
{
    void (*fns[])(struct task_server *, struct loop *) = {close_inherited,
                                                          free_inherited};
    struct task_server *server = start_at_path();

    (void)arg;
    expect_echo(task_unix_connect(path)); /* the socket is watched */
    for (size_t i = 0; i < sizeof fns / sizeof fns[0]; i++) {
        struct loop *loop = loop_current();
        int status = -1;
        pid_t pid = fork();

        if (!pid) {
            fns[i](server, loop);
            _exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_STATUS(status, 0);
        CHECK(exists(path));
        expect_echo(task_unix_connect(path));
    }
    task_server_free(server);
    CHECK(!exists(path));
    return 0;
}

static int a_descriptor_may_be_a_unix_socket(void *arg)
{
    struct task_server_options options = {.handler = echoes};
    struct task_server *server = NULL;

    (void)arg;
    options.fd = task_unix_listen(path, 1);
    CHECK_STATUS(task_start_server_with(&server, &options), 0);
    CHECK_STATUS(task_server_port(server), -EAFNOSUPPORT);
    expect_echo(task_unix_connect(path));
    CHECK_STATUS(task_server_shutdown(server, TASK_SECOND), 0);
    task_server_free(server);
    CHECK(exists(path)); /* it is not known whose that is */
    CHECK_STATUS(unlink(path), 0);
    return 0;
}

static int calls_that_fail_leave_no_path(void *arg)
{
    size_t n_open = descriptors_open();

    (void)arg;
    for (int call = SOCKET; call <= LISTEN; call++) {
        struct task_server *server = NULL;

        fault.call = (enum call)call;
        fault.n = 1;
        CHECK_STATUS(task_start_unix_server(&server, path, echoes, NULL),
                     -EDOM);
        CHECK(!server && !exists(path));
        CHECK_STATUS(descriptors_open(), n_open);
    }
    return 0;
}

static int waits_closed(void *arg)
{
    return task_server_wait_closed(arg);
}

static int a_server_whose_socket_is_shut_down_ends(void *arg)
{
    struct task_server *server = start_at_path();
    struct task *waiter = task_create(waits_closed, server);

    (void)arg;
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_STATUS(shutdown(task_server_fd(server, 0), SHUT_RD), 0);
    CHECK_STATUS(task_sleep(10 * TASK_MILLISECOND), 0);
    CHECK_STATUS(task_cancel_await(waiter), -EINVAL);
    CHECK(!exists(path));
    task_server_free(server);
    return 0;
}

static int a_handlers_name_has_the_path(void *arg)
{
    struct task_server *server;
    struct task *tasks[2];
    char name[64];
    int fd;

    (void)arg;
    loop_set_debug(loop_current(), true);
    server = start_at_path();
    fd = task_unix_connect(path);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_STATUS(task_all(tasks, 2), 2);
    snprintf(name, sizeof name, "server %.40s client 1", path);
    CHECK(!strcmp(task_name(tasks[1]), name));
    CHECK_STATUS(task_close(fd), 0);
    CHECK_STATUS(task_server_shutdown(server, TASK_SECOND), 0);
    task_server_free(server);
    loop_set_debug(loop_current(), false);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(two_ends_of_a_path_talk),
        in_main(an_abstract_name_is_in_no_folder),
        in_main(paths_that_are_none_are_refused),
        in_main(what_is_no_socket_is_left_alone),
        in_main(only_what_is_left_over_is_replaced),
        in_main(one_that_is_busy_is_not_left_over),
        in_main(a_full_backlog_is_waited_for),
        in_main(a_request_is_taken_first),
        in_main(errno_is_kept),
        behaviour(to_listen_needs_no_loop),
        in_main(calls_that_fail_are_told),
        in_main(a_server_has_a_path),
        in_main(a_server_that_is_there_is_not_replaced),
        in_main(a_path_that_is_gone_is_no_harm),
        in_main(a_path_that_is_anothers_now_is_left_alone),
        in_main(a_file_in_its_place_is_left_alone),
        in_main(a_path_is_kept_on_request),
        behaviour(the_end_of_the_loop_removes_the_path),
        in_main(a_child_of_a_fork_leaves_the_server_and_its_path),
        in_main(a_descriptor_may_be_a_unix_socket),
        in_main(calls_that_fail_leave_no_path),
        in_main(a_server_whose_socket_is_shut_down_ends),
        in_main(a_handlers_name_has_the_path),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
