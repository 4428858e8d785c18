/* Streams: opened, closed, aborted; what they may be made of: stream.h. */
#include "streams.h"

#include "bodies.h"
#include "cancel_points.h"
#include "child.h"
#include "peers.h"
#include "stream.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

/* Bodies: the argument is a stream, where nothing else is said. */

static int reads(void *arg)
{
    char byte;

    return (int)task_stream_read(arg, &byte, 1);
}

static int reads_lines(void *arg)
{
    const char *line;

    return (int)task_stream_read_line(arg, &line);
}

static int reads_much(void *arg)
{
    static char much[100000];

    return task_stream_read_exactly(arg, much, sizeof much);
}

static int writes_much(void *arg)
{
    return write_row(arg, 0, 200000);
}

static int drains(void *arg)
{
    return task_stream_drain(arg);
}

static int flushes(void *arg)
{
    return task_stream_flush(arg);
}

static int closes(void *arg)
{
    return task_stream_close(arg);
}

/* Opening. */

static int what_is_not_open_makes_no_stream(void *arg)
{
    int fds[2];

    (void)arg;
    CHECK(!task_stream_open(-1));
    CHECK_STATUS(pipe(fds), 0);
    close(fds[0]);
    close(fds[1]);
    errno = 7;
    CHECK(!task_stream_open(fds[0]));
    CHECK_STATUS(errno, 7);
    return 0;
}

static int reads_raw(void *arg)
{
    char byte;

    return (int)task_read(*(int *)arg, &byte, 1);
}

static int what_is_waited_for_makes_no_stream(void *arg)
{
    int fds[2];
    struct task *task;

    (void)arg;
    CHECK_STATUS(pipe(fds), 0);
    task = start(reads_raw, &fds[0]);
    CHECK(!task_stream_open(fds[0]));
    CHECK_STATUS(task_write(fds[1], "x", 1), 1);
    CHECK_STATUS(task_await(task), 1);
    CHECK_STATUS(task_stream_close(task_stream_open(fds[0])), 0);
    CHECK_STATUS(close(fds[1]), 0);
    return 0;
}

static int without_memory_there_is_no_stream(void *arg)
{
    struct memory_count *count = arg;
    struct half half = socket_half();
    int fd = dup(half.fd);

    count->fail_at = 1;
    CHECK(!task_stream_open(fd));
    CHECK(!count->fail_at);
    CHECK_STATUS(close(fd), 0); /* it has stayed ours */
    close_half(half);
    return 0;
}

/* It was connected, and is closed again. */
static int without_memory_there_is_no_connection(void *arg)
{
    struct memory_count *count = arg;
    int listener = task_tcp_listen("127.0.0.1", "0", 5);
    struct task_stream *const untouched = arg;
    struct task_stream *s = untouched;
    int fd = dup(listener); /* the next number */
    char service[8];

    CHECK_STATUS(close(fd), 0);
    snprintf(service, sizeof service, "%d", port_of_fd(listener));
    count->fail_at = 1;
    CHECK_STATUS(task_open_connection(&s, "127.0.0.1", service), -ENOMEM);
    CHECK(!count->fail_at && s == untouched);
    CHECK_STATUS(fcntl(fd, F_GETFD), -1);
    CHECK_STATUS(task_open_connection(&s, "127.0.0.1", service), 0);
    CHECK_STATUS(task_stream_close(s), 0);
    CHECK_STATUS(task_close(listener), 0);
    return 0;
}

static void a_stream_needs_memory(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(
        loop_run_main(loop, without_memory_there_is_no_stream, &count), 0);
    assert_int_equal(
        loop_run_main(loop, without_memory_there_is_no_connection, &count), 0);
    test_loop_free(loop, &count);
}

static void outside_of_a_loop_there_is_no_stream(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_null(task_stream_open(fds[0]));
    close(fds[0]);
    close(fds[1]);
}

static int small_messages_leave_at_once(void *arg)
{
    struct half half = tcp_half();
    int on = 0;
    socklen_t size = sizeof on;

    (void)arg;
    CHECK_STATUS(getsockopt(task_stream_fd(half.s), IPPROTO_TCP, TCP_NODELAY,
                            &on, &size),
                 0);
    CHECK(on);
    close_half(half);
    return 0;
}

static int flags_stay_as_they_are(void *arg)
{
    int fds[2];
    struct task_stream *s;
    struct task *task;

    (void)arg;
    CHECK_STATUS(pipe(fds), 0);
    s = task_stream_open(fds[1]);
    task = start(writes_much, s);
    CHECK(!task_done(task));
    CHECK_STATUS(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    task_stream_abort(s);
    CHECK_STATUS(task_await(task), -EBADF);
    close(fds[0]);
    return 0;
}

static int both_ends_have_addresses(void *arg)
{
    struct pair pair = tcp_pair();
    struct pair other = pipe_pair();
    struct sockaddr_in a;
    struct sockaddr_in b;
    socklen_t size = sizeof a;

    (void)arg;
    CHECK_STATUS(task_stream_peername(pair.a, (void *)&a, &size), 0);
    CHECK_STATUS(size, sizeof a);
    CHECK_STATUS(task_stream_sockname(pair.b, (void *)&b, &size), 0);
    CHECK(a.sin_port == b.sin_port && a.sin_family == AF_INET);
    CHECK_STATUS(task_stream_peername(other.a, (void *)&a, &size), -ENOTSOCK);
    CHECK_STATUS(task_stream_sockname(NULL, (void *)&a, &size), -EINVAL);
    close_pair(pair);
    close_pair(other);
    return 0;
}

static int no_stream_is_refused(void *arg)
{
    const char *data;
    char byte;

    (void)arg;
    CHECK_STATUS(task_stream_read(NULL, &byte, 1), -EINVAL);
    CHECK_STATUS(task_stream_read_exactly(NULL, &byte, 1), -EINVAL);
    CHECK_STATUS(task_stream_read_until(NULL, "x", 1, &data), -EINVAL);
    CHECK_STATUS(task_stream_read_line(NULL, &data), -EINVAL);
    CHECK_STATUS(task_stream_write(NULL, "x", 1), -EINVAL);
    CHECK_STATUS(task_stream_printf(NULL, "x"), -EINVAL);
    CHECK_STATUS(task_stream_drain(NULL), -EINVAL);
    CHECK_STATUS(task_stream_flush(NULL), -EINVAL);
    CHECK_STATUS(task_stream_close(NULL), -EINVAL);
    CHECK_STATUS(task_stream_set_limit(NULL, 1), -EINVAL);
    CHECK_STATUS(task_stream_set_write_limits(NULL, 1, 1), -EINVAL);
    CHECK_STATUS(task_stream_fd(NULL), -EINVAL);
    CHECK(!task_stream_at_eof(NULL));
    task_stream_abort(NULL);
    return 0;
}

/* Outside a task. */

static void tries_all(void *arg)
{
    struct task_stream *s = arg;
    const char *data;
    char byte;

    CHECK_STATUS(task_stream_read(s, &byte, 1), -EPERM);
    CHECK_STATUS(task_stream_read_exactly(s, &byte, 1), -EPERM);
    CHECK_STATUS(task_stream_read_until(s, "x", 1, &data), -EPERM);
    CHECK_STATUS(task_stream_read_line(s, &data), -EPERM);
    CHECK_STATUS(task_stream_write(s, "x", 1), -EPERM);
    CHECK_STATUS(task_stream_printf(s, "x"), -EPERM);
    CHECK_STATUS(task_stream_drain(s), -EPERM);
    CHECK_STATUS(task_stream_flush(s), -EPERM);
    CHECK_STATUS(task_stream_close(s), -EPERM);
    CHECK(!task_stream_at_eof(s));
    CHECK(task_stream_fd(s) >= 0);
    task_stream_abort(s);
    record("aborted");
}

static int a_callback_may_abort_but_not_suspend(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    CHECK(loop_call_soon(tries_all, half.s) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("aborted");
    CHECK_STATUS(read(half.fd, &(char){0}, 1), 0);
    close(half.fd);
    return 0;
}

static int opens_one(void *arg)
{
    *(struct half *)arg = socket_half();
    return 0;
}

static int is_refused_a_foreign_one(void *arg)
{
    char byte;

    CHECK_STATUS(task_stream_read(arg, &byte, 1), -EINVAL);
    CHECK_STATUS(task_stream_write(arg, "x", 1), -EINVAL);
    CHECK_STATUS(task_stream_printf(arg, "x"), -EINVAL);
    CHECK_STATUS(task_stream_drain(arg), -EINVAL);
    CHECK_STATUS(task_stream_close(arg), -EINVAL);
    return 0;
}

static void a_stream_belongs_to_its_loop(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct half half;

    (void)state;
    assert_int_equal(loop_run_main(loop, opens_one, &half), 0);
    assert_int_equal(run_virtual(is_refused_a_foreign_one, half.s), 0);
    test_loop_free(loop, &count); /* closes it */
    assert_int_equal(read(half.fd, &(char){0}, 1), 0);
    close(half.fd);
}

/* Closing. */

static int closing_sends_what_is_left(void *arg)
{
    struct choked choked = choked_half();
    struct task *task;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
    task = start(closes, choked.s);
    CHECK(!task_done(task));
    choked_read_all(&choked);
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(choked.got, 60000);
    CHECK_STATUS(read(choked.fd, &(char){0}, 1), 0);
    close(choked.fd);
    return 0;
}

static int a_cancelled_close_drops_the_rest(void *arg)
{
    struct choked choked = choked_half();
    struct task *task;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
    task = start(closes, choked.s);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    choked_read_all(&choked);
    CHECK(choked.got < 60000);
    CHECK_STATUS(read(choked.fd, &(char){0}, 1), 0);
    close(choked.fd);
    return 0;
}

/* The last is sent, and the task asked before it runs. */
static int a_close_that_is_done_is_not_cancelled(void *arg)
{
    struct choked choked = choked_half();
    struct task *task;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 100), 0);
    task = start(closes, choked.s);
    while (task->waiter) {
        choked_read(&choked);
        CHECK_STATUS(task_yield(), 0);
    }
    task_cancel(task);
    CHECK_STATUS(task_await(task), 0);
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 100);
    close(choked.fd);
    return 0;
}

static int a_waiting_request_stays_if_close_need_not_wait(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    CHECK_STATUS(task_stream_write(half.s, "last", 4), 0);
    task_cancel(task_current());
    CHECK_STATUS(task_stream_close(half.s), 0);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(drain_raw(half.fd), 4);
    close(half.fd);
    return 0;
}

static int a_waiting_request_drops_what_close_would_wait_for(void *arg)
{
    struct choked choked = choked_half();

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
    task_cancel(task_current());
    CHECK_STATUS(task_stream_close(choked.s), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    close(choked.fd);
    return 0;
}

static int aborting_drops_what_is_left(void *arg)
{
    struct choked choked = choked_half();

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
    task_stream_abort(choked.s);
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 0);
    CHECK_STATUS(read(choked.fd, &(char){0}, 1), 0);
    close(choked.fd);
    return 0;
}

static int with_unread_bytes_it_closes_as_well(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    say(half.fd, "unread\nunread");
    CHECK_STATUS(reads_lines(half.s), 7);
    close_half(half);
    return 0;
}

static int aborting_with_linger_resets(void *arg)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    struct half half = tcp_half();

    (void)arg;
    CHECK_STATUS(setsockopt(task_stream_fd(half.s), SOL_SOCKET, SO_LINGER,
                            &linger, sizeof linger),
                 0);
    task_stream_abort(half.s);
    CHECK_STATUS(task_read(half.fd, &(char){0}, 1), -ECONNRESET);
    close(half.fd);
    return 0;
}

/* All calls of others end, whatever they wait for. */
static task_fn *const OTHERS[] = {reads,       reads_lines, reads_much,
                                  writes_much, drains,      flushes};
enum { N_OTHERS = sizeof OTHERS / sizeof *OTHERS };

static int calls_of_others_end_when_it_is_aborted(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OTHERS; i++) {
        struct choked choked = choked_half();
        struct task *task;

        CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
        task = start(OTHERS[i], choked.s);
        CHECK(!task_done(task));
        task_stream_abort(choked.s);
        CHECK_STATUS(task_await(task), -EBADF);
        close(choked.fd);
    }
    return 0;
}

static int calls_of_others_end_when_it_is_closed(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OTHERS; i++) {
        struct choked choked = choked_half();
        struct task *task;
        struct task *closer;

        CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
        choked.got = 0;
        task = start(i == 3 ? drains : OTHERS[i], choked.s);
        CHECK(!task_done(task));
        closer = start(closes, choked.s);
        CHECK_STATUS(task_await(task), -EBADF);
        CHECK(!task_done(closer));
        choked_read_all(&choked);
        CHECK_STATUS(task_await(closer), 0);
        CHECK_STATUS(choked.got, 60000);
        close(choked.fd);
    }
    return 0;
}

static int what_others_were_writing_is_sent(void *arg)
{
    struct choked choked = choked_half();
    struct task *writer = start(writes_much, choked.s);
    struct task *closer = start(closes, choked.s);

    (void)arg;
    CHECK_STATUS(task_await(writer), -EBADF);
    choked_read_all(&choked);
    CHECK_STATUS(task_await(closer), 0);
    CHECK_STATUS(choked.got, 200000);
    close(choked.fd);
    return 0;
}

static int what_others_were_writing_is_lost_without_memory(void *arg)
{
    struct memory_count *count = arg;
    struct choked choked = choked_half();
    struct task *writer = start(writes_much, choked.s);

    count->fail_at = 1;
    CHECK_STATUS(task_stream_close(choked.s), -ENOMEM);
    CHECK_STATUS(task_await(writer), -EBADF);
    close(choked.fd);
    return 0;
}

static void without_memory_a_close_says_so(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(
        loop_run_main(loop, what_others_were_writing_is_lost_without_memory,
                      &count),
        0);
    test_loop_free(loop, &count);
}

/* The reader was told of bytes, but has not run, when the stream is closed and
 * its number used again. */
static int a_late_reader_does_not_touch_the_next_descriptor(void *arg)
{
    (void)arg;
    for (int drained = 0; drained < 2; drained++) {
        struct half half = socket_half();
        int fd = task_stream_fd(half.s);
        struct task *task = start(reads, half.s);
        struct half next;

        say(half.fd, "old");
        while (task->waiter)
            CHECK_STATUS(task_yield(), 0);
        task_stream_abort(half.s);
        next = socket_half();
        CHECK_STATUS(task_stream_fd(next.s), fd);
        say(next.fd, "n");
        if (drained)
            CHECK_STATUS(task_stream_read(next.s, (char[8]){0}, 8), 1);
        CHECK_STATUS(task_await(task), -EBADF);
        if (!drained)
            CHECK_STATUS(task_stream_read(next.s, (char[8]){0}, 8), 1);
        close(half.fd);
        close_half(next);
    }
    return 0;
}

static int the_second_of_two_that_close_is_refused(void *arg)
{
    struct choked choked = choked_half();
    struct task *first;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
    first = start(closes, choked.s);
    CHECK_STATUS(task_stream_close(choked.s), -EBADF);
    choked_read_all(&choked);
    CHECK_STATUS(task_await(first), 0);
    CHECK_STATUS(choked.got, 60000);
    close(choked.fd);
    return 0;
}

static int an_abort_ends_a_close(void *arg)
{
    struct choked choked = choked_half();
    struct task *first;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
    first = start(closes, choked.s);
    task_stream_abort(choked.s);
    CHECK_STATUS(task_await(first), -EBADF);
    close(choked.fd);
    return 0;
}

static int a_peer_that_is_lost_ends_a_close(void *arg)
{
    struct choked choked = choked_half();
    struct task *task;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
    task = start(closes, choked.s);
    close(choked.fd);
    CHECK_STATUS(task_await(task), -EPIPE);
    return 0;
}

/* The number is closed behind its back, by the call that tells. */
static int a_stream_that_loses_its_descriptor_breaks(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OTHERS; i++) {
        struct choked choked = choked_half();
        int fd = task_stream_fd(choked.s);
        struct task *task;

        CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
        task = start(OTHERS[i], choked.s);
        CHECK_STATUS(task_close(fd), 0);
        CHECK_STATUS(open("/dev/null", O_RDWR), fd);
        CHECK_STATUS(task_await(task), -EBADF);
        CHECK_STATUS(task_stream_write(choked.s, "x", 1), -EBADF);
        CHECK_STATUS(task_stream_fd(choked.s), -EBADF);
        CHECK_STATUS(task_stream_close(choked.s), -EBADF);
        CHECK_STATUS(close(fd), 0); /* it was not ours to close */
        close(choked.fd);
    }
    return 0;
}

/* The same when nobody waits: it is found out by the next call. */
static int a_descriptor_lost_meanwhile_is_not_touched(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++) {
        struct half half = socket_half();
        int fd = task_stream_fd(half.s);
        struct half next;

        say(half.fd, "old");
        CHECK_STATUS(task_close(fd), 0);
        next = socket_half();
        CHECK_STATUS(task_stream_fd(next.s), fd);
        say(next.fd, "new");
        if (i == 0)
            CHECK_STATUS(reads(half.s), -EBADF);
        else if (i == 1)
            CHECK_STATUS(task_stream_write(half.s, "x", 1), -EBADF);
        else if (i == 2)
            CHECK_STATUS(task_stream_write_eof(half.s), -EBADF);
        CHECK_STATUS(task_stream_close(half.s), i < 3 ? -EBADF : 0);
        CHECK_STATUS(task_stream_write(next.s, "y", 1), 0);
        CHECK_STATUS(drain_raw(next.fd), 1);
        CHECK_STATUS(task_stream_read(next.s, (char[8]){0}, 8), 3);
        close_half(next);
        close(half.fd);
    }
    return 0;
}

/* The same when the reader was told of bytes already. */
static int a_descriptor_lost_after_an_event_is_not_read(void *arg)
{
    struct half half = socket_half();
    int fd = task_stream_fd(half.s);
    struct task *task = start(reads, half.s);
    struct half next;

    (void)arg;
    say(half.fd, "old");
    while (task->waiter)
        CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_close(fd), 0);
    next = socket_half();
    CHECK_STATUS(task_stream_fd(next.s), fd);
    say(next.fd, "new");
    CHECK_STATUS(task_await(task), -EBADF);
    CHECK_STATUS(task_stream_close(half.s), -EBADF);
    CHECK_STATUS(task_stream_read(next.s, (char[8]){0}, 8), 3);
    close_half(next);
    close(half.fd);
    return 0;
}

/* Bodies that let the others run before they are through. */

static int reads_on(void *arg)
{
    static char piece[STREAM_BLOCK];
    ssize_t n = 1;

    for (int i = 0; i < 100 && n > 0; i++)
        n = task_stream_read(arg, piece, sizeof piece);
    return (int)n;
}

static int writes_on(void *arg)
{
    int status = 0;

    for (int i = 0; i < 100 && !status; i++)
        status = task_stream_write(arg, "x", 1);
    return status;
}

static task_fn *const GO_ON[] = {reads_on, writes_on};

static int a_descriptor_lost_between_turns_is_not_touched(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int fd = open("/dev/zero", O_RDWR);
        struct task_stream *s = task_stream_open(fd);
        struct task *task = test_start(GO_ON[i], s, NULL);

        CHECK(!task_done(task));
        CHECK_STATUS(task_close(fd), 0);
        CHECK_STATUS(open("/dev/zero", O_RDWR), fd);
        CHECK_STATUS(task_await(task), -EBADF);
        CHECK_STATUS(task_stream_close(s), -EBADF);
        CHECK_STATUS(close(fd), 0);
    }
    return 0;
}

/* A request, and the end of the stream. */

static int a_request_that_came_first_is_delivered(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OTHERS; i++) {
        struct choked choked = choked_half();
        struct task *task;

        CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
        task = start(OTHERS[i], choked.s);
        task_cancel(task);
        task_stream_abort(choked.s);
        CHECK_STATUS(task_await(task),
                     OTHERS[i] == writes_much ? 0 : -ECANCELED);
        close(choked.fd);
    }
    for (int i = 0; i < 2; i++) {
        struct task_stream *s = task_stream_open(open("/dev/zero", O_RDWR));
        struct task *task = test_start(GO_ON[i], s, NULL);

        CHECK(!task_done(task));
        task_cancel(task);
        task_stream_abort(s);
        CHECK_STATUS(task_await(task), -ECANCELED);
    }
    return 0;
}

static int reads_and_yields(void *arg)
{
    int status = reads(arg);

    record("%d %d", status, task_yield());
    return 0;
}

static int a_request_that_came_second_comes_next(void *arg)
{
    struct half half = socket_half();
    struct task *task = start(reads_and_yields, half.s);

    (void)arg;
    task_stream_abort(half.s);
    task_cancel(task);
    CHECK_STATUS(task_await(task), 0);
    CHECK_RECORD("-9 -125");
    close(half.fd);
    return 0;
}

/* What servers do. */

static int a_broken_stream_has_its_handle(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_OTHERS; i++) {
        struct choked choked = choked_half();
        struct stream_owner owner = {NULL};
        const char *line;
        struct task *task;

        say(choked.fd, "line\n");
        CHECK_STATUS(task_stream_read_line(choked.s, &line), 5);
        CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
        stream_set_owner(choked.s, &owner);
        task = start(OTHERS[i], choked.s);
        CHECK_STATUS(task__stream_break(owner.stream, -ECONNABORTED), 0);
        CHECK(i < 3 || !memcmp(line, "line\n", 5));
        CHECK_STATUS(task_await(task), -ECONNABORTED);
        CHECK_STATUS(reads(choked.s), -ECONNABORTED);
        CHECK_STATUS(task_stream_write(choked.s, "x", 1), -ECONNABORTED);
        CHECK_STATUS(task_stream_flush(choked.s), -ECONNABORTED);
        CHECK_STATUS(task_stream_write_eof(choked.s), -ECONNABORTED);
        CHECK(owner.stream == choked.s);
        CHECK_STATUS(task_stream_close(choked.s), -ECONNABORTED);
        CHECK(!owner.stream);
        close(choked.fd);
    }
    return 0;
}

static int a_close_may_be_broken(void *arg)
{
    struct choked choked = choked_half();
    struct stream_owner owner = {NULL};
    struct task *task;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 60000), 0);
    stream_set_owner(choked.s, &owner);
    task = start(closes, choked.s);
    CHECK(owner.stream && owner.stream->is_gone);
    task__stream_break(owner.stream, -ECONNABORTED);
    CHECK_STATUS(task_await(task), -ECONNABORTED);
    CHECK(!owner.stream);
    close(choked.fd);
    return 0;
}

/* The end of the loop. */

static int leaves_streams_open(void *arg)
{
    struct pair pair = socket_pair();
    struct choked choked = choked_half();

    *(int *)arg = choked.fd;
    CHECK_STATUS(task_stream_write(pair.a, "x\ny", 3), 0);
    CHECK_STATUS(reads_lines(pair.b), 2);
    return write_row(choked.s, 0, 60000);
}

static void the_end_of_the_loop_closes_streams(void **state)
{
    int fd = -1;

    (void)state;
    assert_int_equal(run_virtual(leaves_streams_open, &fd), 0);
    close(fd);
}

static int leaves_one_open(void *arg)
{
    struct half half = tcp_half();
    struct pair pair = socket_pair();

    *(int *)arg = half.fd;
    close_pair(pair);
    return 0;
}

static void note_report(const struct loop_error *error, void *arg)
{
    (void)arg;
    record("%d %s%d", error->kind == LOOP_ERROR_LEAK,
           strstr(error->file, "streams.c"), error->line > 0);
    CHECK(strstr(error->message, "127.0.0.1:"));
    CHECK(strstr(error->message, "streams.c:"));
    CHECK(fcntl(error->fd, F_GETFD) >= 0);
}

static void a_stream_that_was_not_closed_is_told_of(void **state)
{
    struct loop_options options = test_options(NULL);
    int fd = -1;

    (void)state;
    options.debug = true;
    options.on_error = note_report;
    assert_int_equal(run_with(options, leaves_one_open, &fd), 0);
    assert_record("1 streams.c1");
    assert_int_equal(read(fd, &(char){0}, 1), 0);
    close(fd);
}

static int waits_and_does_not_listen(void *arg)
{
    while (task_stream_read(arg, &(char){0}, 1) != 1)
        continue;
    return 0;
}

static int writes_and_does_not_listen(void *arg)
{
    static const char much[200000];
    int status;

    do {
        status = task_stream_write(arg, much, sizeof much);
    } while (!status || status == -ECANCELED);
    return 0;
}

static int leaves_tasks_in_a_stream(void *arg)
{
    struct choked choked = choked_half();

    *(int *)arg = choked.fd;
    task_detach(start(waits_and_does_not_listen, choked.s));
    task_detach(start(writes_and_does_not_listen, choked.s));
    return 0;
}

static void tasks_that_are_dropped_leave_their_streams(void **state)
{
    struct loop_options options = test_options(NULL);
    int fd = -1;

    (void)state;
    options.shutdown_timeout = TASK_SECOND;
    assert_int_equal(run_with(options, leaves_tasks_in_a_stream, &fd), 0);
    close(fd);
    record_clear();
}

static int a_forked_child_leaves_streams_alone(void *arg)
{
    struct choked choked = choked_half();
    pid_t child;
    int status;

    (void)arg;
    CHECK_STATUS(write_row(choked.s, 0, 1000), 0);
    child = fork();
    if (!child) {
        bool fine = task_stream_read(choked.s, &(char){0}, 1) == -EPERM &&
                    task_stream_write_eof(choked.s) == -EPERM &&
                    task_stream_set_limit(choked.s, 9) == -EPERM &&
                    task_stream_set_write_limits(choked.s, 9, 9) == -EPERM;

        task_stream_abort(choked.s);
        fine = fine && fcntl(task_stream_fd(choked.s), F_GETFD) >= 0;
        (void)raise(fine ? SIGKILL : SIGTERM); /* no look for leaks */
    }
    CHECK_STATUS(waitpid(child, &status, 0), child);
    CHECK_STATUS(status, SIGKILL);
    choked_read_all(&choked);
    CHECK_STATUS(choked.got, 1000);
    close_choked(&choked);
    return 0;
}

/* Files. */

static int open_file(void)
{
    char name[] = "/tmp/task-test-XXXXXX";
    int fd = mkstemp(name);

    CHECK(fd >= 0);
    unlink(name);
    return fd;
}

static int a_file_is_a_stream(void *arg)
{
    int fd = open_file();
    int again = dup(fd);
    struct task_stream *s = task_stream_open(fd);
    static char got[200000];
    const char *line;

    (void)arg;
    CHECK_STATUS(task_stream_printf(s, "%s\n%s\n", "first", "second"), 0);
    CHECK_STATUS(write_row(s, 0, sizeof got), 0);
    CHECK_STATUS(task_stream_flush(s), 0);
    CHECK_STATUS(task_stream_drain(s), 0);
    CHECK_STATUS(task_stream_write_eof(s), -ENOTSUP);
    CHECK_STATUS(task_stream_close(s), 0);
    CHECK_STATUS(lseek(again, 0, SEEK_SET), 0);
    s = task_stream_open(again);
    CHECK_STATUS(task_stream_read_line(s, &line), 6);
    CHECK(!memcmp(line, "first\n", 6));
    CHECK_STATUS(task_stream_read_line(s, &line), 7);
    CHECK_STATUS(task_stream_read_exactly(s, got, sizeof got), 0);
    CHECK(are_bytes(got, sizeof got, 0));
    CHECK_STATUS(task_stream_read(s, got, 1), 0);
    CHECK(task_stream_at_eof(s));
    CHECK_STATUS(task_stream_close(s), 0);
    return 0;
}

static int a_long_line_of_a_file_is_dropped(void *arg)
{
    int fd = open_file();
    struct task_stream *s = task_stream_open(fd);
    const char *line;

    (void)arg;
    CHECK_STATUS(task_stream_printf(s, "%100000d\nnext\n", 1), 0);
    CHECK_STATUS(lseek(fd, 0, SEEK_SET), 0);
    CHECK_STATUS(task_stream_read_line(s, &line), -EMSGSIZE);
    CHECK_STATUS(task_stream_read_line(s, &line), 5);
    CHECK(!memcmp(line, "next\n", 5));
    CHECK_STATUS(task_stream_close(s), 0);
    return 0;
}

/* A file of so many 0 bytes and a short line. */
static struct task_stream *open_long_line(off_t size)
{
    int fd = open_file();

    CHECK_STATUS(ftruncate(fd, size), 0);
    CHECK_STATUS(pwrite(fd, "\nnext\n", 6, size), 6);
    return task_stream_open(fd);
}

static int the_longest_line_of_a_file_is_dropped(void *arg)
{
    struct task_stream *s = open_long_line(40 << 20);
    const char *line = "";

    (void)arg;
    CHECK_STATUS(task_stream_read_line(s, &line), -EMSGSIZE);
    CHECK_STATUS(task_stream_read_line(s, &line), 5);
    CHECK(!strncmp(line, "next\n", 5));
    CHECK_STATUS(task_stream_close(s), 0);
    return 0;
}

static int drops_line(void *arg)
{
    const char *line;

    return (int)task_stream_read_line(arg, &line);
}

/* It would take a minute. */
static int a_request_ends_the_dropping_of_a_line(void *arg)
{
    const off_t size = sizeof(off_t) > 4 ? (off_t)1 << 36 : INT32_MAX;
    struct task_stream *s = open_long_line(size);
    struct task *task = start(drops_line, s);

    (void)arg;
    while (lseek(task_stream_fd(s), 0, SEEK_CUR) <= 2 * TASK_STREAM_LIMIT)
        CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_cancel_await(task), -EMSGSIZE);
    CHECK_STATUS(task_stream_close(s), 0);
    return 0;
}

struct piece {
    struct task_stream *s;
    size_t first;
};

static int writes_piece(void *arg)
{
    const struct piece *piece = arg;

    return write_row(piece->s, piece->first, 30000);
}

static int several_may_write_to_a_file(void *arg)
{
    enum { N = 5 };
    int fd = open_file();
    struct task_stream *s = task_stream_open(fd);
    static char got[N * 30000];
    struct piece pieces[N];
    struct task *tasks[N];

    (void)arg;
    for (size_t i = 0; i < N; i++) {
        pieces[i] = (struct piece){s, i * 30000};
        tasks[i] = task_create(writes_piece, &pieces[i]);
    }
    CHECK_STATUS(task_gather(tasks, N, NULL), 0);
    CHECK_STATUS(lseek(fd, 0, SEEK_SET), 0);
    CHECK_STATUS(task_stream_read_exactly(s, got, sizeof got), 0);
    CHECK(are_bytes(got, sizeof got, 0));
    CHECK_STATUS(task_stream_close(s), 0);
    return 0;
}

static int a_file_open_for_writing_may_be_ended(void *arg)
{
    char name[] = "/tmp/task-test-XXXXXX";
    int fd = mkstemp(name);
    struct task_stream *s = task_stream_open(open(name, O_WRONLY));

    (void)arg;
    unlink(name);
    close(fd);
    CHECK_STATUS(task_stream_write(s, "x", 1), 0);
    CHECK_STATUS(task_stream_read(s, &(char){0}, 1), -EBADF);
    CHECK_STATUS(task_stream_write_eof(s), 0);
    CHECK_STATUS(task_stream_fd(s), -EBADF);
    CHECK_STATUS(task_stream_write(s, "x", 1), -EPIPE);
    CHECK_STATUS(task_stream_close(s), 0);
    return 0;
}

static int a_full_disk_is_told(void *arg)
{
    struct task_stream *s = task_stream_open(open("/dev/full", O_WRONLY));

    (void)arg;
    CHECK_STATUS(task_stream_write(s, "x", 1), -ENOSPC);
    CHECK_STATUS(task_stream_write(s, "x", 1), -ENOSPC);
    CHECK_STATUS(task_stream_close(s), -ENOSPC);
    return 0;
}

static int a_folder_cannot_be_read(void *arg)
{
    struct task_stream *s = task_stream_open(open("/tmp", O_RDONLY));

    (void)arg;
    CHECK_STATUS(reads(s), -EISDIR);
    CHECK_STATUS(task_stream_close(s), 0);
    return 0;
}

/* Terminals. */

struct terminal {
    struct task_stream *s;
    int fd; /* the program's side, raw */
};

static struct terminal open_terminal(void)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY);
    struct terminal terminal;
    struct termios modes;

    CHECK_STATUS(grantpt(fd), 0);
    CHECK_STATUS(unlockpt(fd), 0);
    terminal.fd = open(ptsname(fd), O_RDWR | O_NOCTTY | O_NONBLOCK);
    CHECK(terminal.fd >= 0);
    CHECK_STATUS(tcgetattr(terminal.fd, &modes), 0);
    cfmakeraw(&modes);
    CHECK_STATUS(tcsetattr(terminal.fd, TCSANOW, &modes), 0);
    terminal.s = task_stream_open(fd);
    return terminal;
}

static int the_end_of_a_terminal_is_an_end(void *arg)
{
    struct terminal terminal = open_terminal();
    struct task *task = start(reads_lines, terminal.s);
    char buf[8];

    (void)arg;
    say(terminal.fd, "out\nrest");
    CHECK_STATUS(task_await(task), 4);
    task = start(reads_much, terminal.s);
    CHECK_STATUS(close(terminal.fd), 0);
    CHECK_STATUS(task_await(task), -ENODATA);
    CHECK_STATUS(task_stream_read(terminal.s, buf, sizeof buf), 4);
    CHECK_STATUS(task_stream_read(terminal.s, buf, sizeof buf), 0);
    CHECK(task_stream_at_eof(terminal.s));
    CHECK_STATUS(task_stream_close(terminal.s), 0);
    return 0;
}

static int a_terminal_goes_both_ways_at_once(void *arg)
{
    struct terminal terminal = open_terminal();
    struct task *reader = start(reads_lines, terminal.s);
    struct task *writer = task_create(writes_much, terminal.s);
    static char buf[200000];
    size_t got = 0;

    (void)arg;
    for (long n; got<sizeof buf; got += n> 0 ? (size_t)n : 0) {
        n = hear(terminal.fd, buf + got, sizeof buf - got);
        CHECK_STATUS(task_sleep(1), 0);
    }
    CHECK(are_bytes(buf, sizeof buf, 0));
    CHECK_STATUS(task_await(writer), 0);
    CHECK(!task_done(reader));
    say(terminal.fd, "x\n");
    CHECK_STATUS(task_await(reader), 2);
    CHECK_STATUS(task_stream_write_eof(terminal.s), -ENOTSUP);
    CHECK_STATUS(task_stream_close(terminal.s), 0);
    close(terminal.fd);
    return 0;
}

/* Cancelled anywhere, the descriptors are closed. */

static int listens(void *arg)
{
    while (!task_sleep(1))
        choked_read(arg);
    return 0;
}

static int closes_in_the_midst(void *arg)
{
    struct choked choked = choked_half();
    struct task *tasks[] = {test_start(writes_much, choked.s, NULL),
                            test_start(reads, choked.s, NULL),
                            test_start(listens, &choked, NULL)};
    int status = task_stream_close(choked.s);

    (void)arg;
    for (int i = 0; i < 3; i++)
        (void)task_cancel_await(tasks[i]);
    close(choked.fd);
    return status;
}

static int awaits_one_that_closes(void *arg)
{
    struct choked choked = choked_half();
    struct task *listener = test_start(listens, &choked, NULL);
    int status = write_row(choked.s, 0, 20000);

    (void)arg;
    status = task_await(test_start(closes, choked.s, NULL));
    (void)task_cancel_await(listener);
    close(choked.fd);
    return status;
}

static void closing_may_be_cancelled_anywhere(void **state)
{
    (void)state;
    assert_true(cancel_at_every_point(closes_in_the_midst, NULL, NULL) >= 2);
    assert_true(cancel_at_every_point(awaits_one_that_closes, NULL, NULL) >= 2);
}

/* What is left open, and a hook that deals with it. */
static struct {
    struct task_stream *s[2];
    unsigned n_told;
} left;

static int leaves_two_open(void *arg)
{
    for (int i = 0; i < 2; i++) {
        struct half half = socket_half();

        left.s[i] = half.s;
        CHECK_STATUS(task_stream_write(half.s, "x", 1), 0);
        ((int *)arg)[i] = half.fd;
    }
    return 0;
}

static void abort_all_left(const struct loop_error *error, void *arg)
{
    (void)arg;
    CHECK_STATUS(error->kind, LOOP_ERROR_LEAK);
    left.n_told++;
    for (int i = 0; i < 2; i++)
        task_stream_abort(left.s[i]);
}

static void a_hook_may_abort_what_was_not_closed(void **state)
{
    struct loop_options options = test_options(NULL);
    int fds[2] = {-1, -1};

    (void)state;
    options.debug = true;
    options.on_error = abort_all_left;
    assert_int_equal(run_with(options, leaves_two_open, fds), 0);
    assert_int_equal(left.n_told, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(close(fds[i]), 0);
}

/* Of a task that was in a call nothing is left. */
static int leaves_a_reader(void *arg)
{
    struct half half = socket_half();

    left.s[0] = left.s[1] = half.s;
    *(int *)arg = half.fd;
    task_detach(start(waits_and_does_not_listen, half.s));
    return 0;
}

static void abort_what_is_left(const struct loop_error *error, void *arg)
{
    (void)arg;
    left.n_told++;
    if (error->kind == LOOP_ERROR_LEAK)
        task_stream_abort(left.s[0]);
}

/* A main that leaves a stream and a task in it: the hook is told of both. */
static void check_hook(task_fn *leaves, loop_error_fn *hook)
{
    struct loop_options options = test_options(NULL);
    int fd = -1;

    left.n_told = 0;
    options.debug = true;
    options.shutdown_timeout = TASK_SECOND;
    options.on_error = hook;
    assert_int_equal(run_with(options, leaves, &fd), 0);
    assert_int_equal(left.n_told, 2);
    assert_int_equal(close(fd), 0);
}

static void a_hook_may_abort_a_stream_whose_reader_was_dropped(void **state)
{
    (void)state;
    check_hook(leaves_a_reader, abort_what_is_left);
}

/* Nor of what it was writing. */
static int leaves_a_writer(void *arg)
{
    struct choked choked = choked_half();

    left.s[0] = left.s[1] = choked.s;
    *(int *)arg = choked.fd;
    task_detach(start(writes_and_does_not_listen, choked.s));
    return 0;
}

static void have_all_kept(const struct loop_error *error, void *arg)
{
    size_t before = buffer_size(&left.s[0]->out);

    (void)error;
    (void)arg;
    left.n_told++;
    task_stream_set_write_limits(left.s[0], SIZE_MAX, SIZE_MAX);
    CHECK(before && before == buffer_size(&left.s[0]->out));
}

static void a_hook_finds_nothing_of_a_writer_that_was_dropped(void **state)
{
    (void)state;
    check_hook(leaves_a_writer, have_all_kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_streams(what_is_not_open_makes_no_stream),
        in_streams(what_is_waited_for_makes_no_stream),
        behaviour_of_streams(a_stream_needs_memory),
        behaviour_of_streams(outside_of_a_loop_there_is_no_stream),
        in_streams(small_messages_leave_at_once),
        in_streams(flags_stay_as_they_are),
        in_streams(both_ends_have_addresses),
        in_streams(no_stream_is_refused),
        in_streams(a_callback_may_abort_but_not_suspend),
        behaviour_of_streams(a_stream_belongs_to_its_loop),
        in_streams(closing_sends_what_is_left),
        in_streams(a_cancelled_close_drops_the_rest),
        in_streams(a_close_that_is_done_is_not_cancelled),
        in_streams(a_waiting_request_stays_if_close_need_not_wait),
        in_streams(a_waiting_request_drops_what_close_would_wait_for),
        in_streams(aborting_drops_what_is_left),
        in_streams(with_unread_bytes_it_closes_as_well),
        in_streams(aborting_with_linger_resets),
        in_streams(calls_of_others_end_when_it_is_aborted),
        in_streams(calls_of_others_end_when_it_is_closed),
        in_streams(what_others_were_writing_is_sent),
        behaviour_of_streams(without_memory_a_close_says_so),
        in_streams(a_late_reader_does_not_touch_the_next_descriptor),
        in_streams(the_second_of_two_that_close_is_refused),
        in_streams(an_abort_ends_a_close),
        in_streams(a_peer_that_is_lost_ends_a_close),
        in_streams(a_stream_that_loses_its_descriptor_breaks),
        in_streams(a_descriptor_lost_meanwhile_is_not_touched),
        in_streams(a_descriptor_lost_after_an_event_is_not_read),
        in_streams(a_descriptor_lost_between_turns_is_not_touched),
        in_streams(a_request_that_came_first_is_delivered),
        in_streams(a_request_that_came_second_comes_next),
        in_streams(a_broken_stream_has_its_handle),
        in_streams(a_close_may_be_broken),
        behaviour_of_streams(the_end_of_the_loop_closes_streams),
        behaviour_of_streams(a_stream_that_was_not_closed_is_told_of),
        behaviour_of_streams(tasks_that_are_dropped_leave_their_streams),
        in_streams(a_forked_child_leaves_streams_alone),
        in_streams(a_file_is_a_stream),
        in_streams(a_long_line_of_a_file_is_dropped),
        in_streams(the_longest_line_of_a_file_is_dropped),
        in_streams(a_request_ends_the_dropping_of_a_line),
        in_streams(several_may_write_to_a_file),
        in_streams(a_file_open_for_writing_may_be_ended),
        in_streams(a_full_disk_is_told),
        in_streams(a_folder_cannot_be_read),
        in_streams(the_end_of_a_terminal_is_an_end),
        in_streams(a_terminal_goes_both_ways_at_once),
        behaviour_of_streams(closing_may_be_cancelled_anywhere),
        behaviour(a_hook_may_abort_what_was_not_closed),
        behaviour(a_hook_may_abort_a_stream_whose_reader_was_dropped),
        behaviour(a_hook_finds_nothing_of_a_writer_that_was_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
