/* Misuse of descriptors and streams, told of in debug mode: by which call, where
 * it was made, and once. */
#include "bodies.h"
#include "child.h"
#include "everywhere.h"
#include "streams.h"

#include "base.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Put N for the numbers of descriptors and lines. */
static void hide_numbers(char *text)
{
    char last[3] = "";
    char *to = text;

    for (const char *from = text; *from;) {
        size_t n = strspn(from, "0123456789");
        bool is_hidden =
            n && (last[2] == ':' || !memcmp(last, "fd ", sizeof last));

        memmove(last, last + 1, 2);
        last[2] = *from;
        *to++ = is_hidden ? 'N' : *from;
        from += is_hidden ? n : 1;
    }
    *to = '\0';
}

static void record_report(const struct loop_error *error, void *arg)
{
    char text[1200];

    (void)arg;
    CHECK_STATUS(error->kind, LOOP_ERROR_MISUSE);
    CHECK(error->status < 0);
    snprintf(text, sizeof text, "%s", error->message);
    hide_numbers(masked(text));
    record("%s", text);
}

/* Its debug mode begins in the run: run_everywhere() makes the loop. */
static void begin_debug(void)
{
    loop_set_error_handler(loop_current(), record_report, NULL);
    loop_set_debug(loop_current(), true);
}

/* Each call in the midst of a callback, where none is allowed. */

static const char *const CALLS[] = {
    "task_wait_fd",
    "task_read",
    "task_write",
    "task_readv",
    "task_writev",
    "task_read_full",
    "task_write_all",
    "task_pread",
    "task_pwrite",
    "task_recv",
    "task_send",
    "task_recvfrom",
    "task_sendto",
    "task_recvmsg",
    "task_sendmsg",
    "task_accept",
    "task_connect",
    "task_sendfile",
    "task_stream_read",
    "task_stream_read_exactly",
    "task_stream_read_until",
    "task_stream_read_line",
    "task_stream_write",
    "task_stream_printf",
    "task_stream_drain",
    "task_stream_flush",
    "task_stream_close",
    "task_to_thread",
};

enum { N_CALLS = sizeof CALLS / sizeof CALLS[0] };

static void make_calls(void *arg)
{
    char c = 0;
    const char *at;
    struct iovec part = {&c, 1};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    const struct sockaddr address = {.sa_family = AF_UNIX};
    struct task_stream *s = arg;
    off_t offset = 0;
    const long long results[N_CALLS] = {
        task_wait_fd(0, POLLIN),
        task_read(0, &c, 1),
        task_write(0, &c, 1),
        task_readv(0, &part, 1),
        task_writev(0, &part, 1),
        task_read_full(0, &c, 1),
        task_write_all(0, &c, 1),
        task_pread(0, &c, 1, 0),
        task_pwrite(0, &c, 1, 0),
        task_recv(0, &c, 1, 0),
        task_send(0, &c, 1, 0),
        task_recvfrom(0, &c, 1, 0, NULL, NULL),
        task_sendto(0, &c, 1, 0, NULL, 0),
        task_recvmsg(0, &header, 0),
        task_sendmsg(0, &header, 0),
        task_accept(0, NULL, NULL),
        task_connect(0, &address, sizeof address),
        task_sendfile(1, 0, &offset, 1),
        task_stream_read(s, &c, 1),
        task_stream_read_exactly(s, &c, 1),
        task_stream_read_until(s, "x", 1, &at),
        task_stream_read_line(s, &at),
        task_stream_write(s, &c, 1),
        task_stream_printf(s, "x"),
        task_stream_drain(s),
        task_stream_flush(s),
        task_stream_close(s),
        task_to_thread(returns, &(int){0}),
    };

    for (int i = 0; i < N_CALLS; i++)
        CHECK_STATUS(results[i], -EPERM);
}

static int n_reports;

static void check_report(const struct loop_error *error, void *arg)
{
    char wanted[200];

    (void)arg;
    snprintf(wanted, sizeof wanted,
             "%s: it was called outside a task (-EPERM); called in make_calls+",
             n_reports < N_CALLS ? CALLS[n_reports] : "");
    if (strncmp(error->message, wanted, strlen(wanted)) != 0)
        check_failed(error->message, __FILE__, __LINE__);
    n_reports++;
}

static int each_call_tells_its_name_and_caller(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    n_reports = 0;
    loop_set_error_handler(loop_current(), check_report, NULL);
    loop_set_debug(loop_current(), true);
    for (int i = 0; i < 2; i++) {
        CHECK(loop_call_soon(make_calls, half.s) > 0);
        CHECK_STATUS(task_yield(), 0);
    }
    CHECK_STATUS(n_reports, N_CALLS);
    close_half(half);
    return 0;
}

/* Descriptors. */

static NEVER_INLINE int reads_quietly(void *arg)
{
    char c;
    volatile int result = (int)task_read(*(int *)arg, &c, 1);

    return result;
}

static int two_that_wait_for_the_same_are_told_of(void *arg)
{
    int pair[2];
    struct task *first;

    make_local(pair);
    begin_debug();
    first = start(reads_quietly, &pair[0]);
    for (int i = 0; i < 2; i++) {
        struct task *second = start(reads_quietly, &pair[0]);

        CHECK_STATUS(task_await(second), -EBUSY);
    }
    CHECK_RECORD("task_read: others wait for the same descriptor (-EBUSY); "
                 "fd N; called by task 3 \"task-3\", created at bodies.c:N, in "
                 "reads_quietly+0x");
    CHECK_STATUS(loop_add_reader(pair[0], cancel_it, arg), -EBUSY);
    CHECK_RECORD("loop_add_reader: others wait for the same descriptor "
                 "(-EBUSY); fd N; called by task 1 \"task-1\" in "
                 "two_that_wait_for_the_same_are_told_of+0x");
    CHECK_STATUS(task_cancel_await(first), -ECANCELED);
    close_both(pair);
    return 0;
}

/* By close(), while it is waited for; others get to know in their own time. */
static int a_number_that_is_closed_by_others_is_told_of(void *arg)
{
    (void)arg;
    begin_debug();
    for (int i = 0; i < 2; i++) {
        int pair[2];
        struct task *task;

        make_local(pair);
        task = start(reads_quietly, &pair[0]);
        CHECK_STATUS(close(pair[0]), 0);
        if (is_epoll() && !is_real()) /* time stands still: nobody looks */
            CHECK_STATUS(reads_quietly(&pair[0]), -EBADF);
        CHECK_STATUS(task_await(task), -EBADF);
        CHECK_STATUS(task_close(pair[1]), 0);
        if (!i)
            CHECK_RECORD("fd N was closed, and not by task_close(), while task "
                         "2 \"task-2\", created at bodies.c:N, waited for it "
                         "(-EBADF)");
    }
    CHECK_RECORD(""); /* the same function's */
    return 0;
}

static int reads_all(void *fd)
{
    char bytes[16];

    while (task_read(*(int *)fd, bytes, sizeof bytes) > 0)
        continue;
    return 0;
}

/* Others are heard of all the time; the clock has to be real. */
static int a_number_is_told_of_while_there_is_traffic(void *arg)
{
    int quiet[2];
    int busy[2];
    struct task *loser;
    struct task *reader;

    (void)arg;
    if (!is_real())
        return 0;
    begin_debug();
    make_local(quiet);
    make_local(busy);
    loser = start(reads_quietly, &quiet[0]);
    reader = start(reads_all, &busy[0]);
    for (int i = 0; i < 200 && !task_done(loser); i++) {
        if (i == 5) /* it has been looked at, and was there */
            CHECK_STATUS(close(quiet[0]), 0);
        CHECK_STATUS(task_write(busy[1], "x", 1), 1);
        CHECK_STATUS(task_sleep(15 * TASK_MILLISECOND), 0);
    }
    CHECK(task_done(loser));
    CHECK_STATUS(task_await(loser), -EBADF);
    CHECK_RECORD("fd N was closed, and not by task_close(), while task 2 "
                 "\"task-2\", created at bodies.c:N, waited for it (-EBADF)");
    CHECK_STATUS(task_close(quiet[1]), 0);
    CHECK_STATUS(task_close(busy[1]), 0);
    CHECK_STATUS(task_await(reader), 0);
    return task_close(busy[0]);
}

static void never(void *arg)
{
    (void)arg;
    CHECK_NOT_REACHED();
}

/* What the loop watches for a callback, it waits for itself. */
static int a_number_of_a_callback_s_is_told_of(void *arg)
{
    int pair[2];
    int pair_of_others[2];

    (void)arg;
    begin_debug();
    make_local(pair);
    CHECK_STATUS(loop_add_reader(pair[0], never, NULL), 0);
    CHECK_STATUS(close(pair[0]), 0);
    make_local_at(pair[0], pair_of_others);
    CHECK_STATUS(loop_add_reader(pair_of_others[0], never, NULL), 0);
    CHECK_STATUS(loop_remove_reader(pair_of_others[0]), 0);
    record_clear(); /* whether that is found out is not certain */
    CHECK_STATUS(loop_add_reader(pair_of_others[0], never, NULL), 0);
    CHECK_STATUS(task_close(pair_of_others[0]), 0);
    CHECK_RECORD("");
    CHECK_STATUS(task_close(pair_of_others[1]), 0);
    return task_close(pair[1]);
}

static int what_is_closed_rightly_is_not_told_of(void *arg)
{
    int pair[2];
    struct task *task;

    (void)arg;
    begin_debug();
    make_local(pair);
    task = start(reads_quietly, &pair[0]);
    close_both(pair);
    CHECK_STATUS(task_await(task), -EBADF);
    CHECK_RECORD("");
    return 0;
}

static int a_bad_argument_is_told_of(void *arg)
{
    off_t offset = -1;
    struct iovec part = {&offset, 0};

    (void)arg;
    begin_debug();
    CHECK_STATUS(task_wait_fd(0, POLLNVAL), -EINVAL);
    CHECK_STATUS(task_readv(0, &part, -1), -EINVAL);
    CHECK_STATUS(task_pread(0, &offset, 1, -1), -EINVAL);
    CHECK_STATUS(task_sendfile(1, 0, &offset, 1), -EINVAL);
    CHECK_STATUS(loop_add_writer(0, NULL, NULL), -EINVAL);
    CHECK_RECORD(
        "task_wait_fd: there are no such events (-EINVAL); called by task 1 "
        "\"task-1\" in a_bad_argument_is_told_of+0x, "
        "task_readv: there are less than no parts (-EINVAL); called by task 1 "
        "\"task-1\" in a_bad_argument_is_told_of+0x, "
        "task_pread: the offset is negative (-EINVAL); called by task 1 "
        "\"task-1\" in a_bad_argument_is_told_of+0x, "
        "task_sendfile: the offset is negative (-EINVAL); called by task 1 "
        "\"task-1\" in a_bad_argument_is_told_of+0x, "
        "loop_add_writer: the function is NULL (-EINVAL); called by task 1 "
        "\"task-1\" in a_bad_argument_is_told_of+0x");
    return 0;
}

/* Streams. */

static struct task_stream *open_stream(int pair[2])
{
    make_local(pair);
    return task_stream_open(pair[0]);
}

static int reads_stream(void *arg)
{
    volatile int result = (int)task_stream_read(arg, &(char){0}, 1);

    return result;
}

static int two_readers_of_a_stream_are_told_of(void *arg)
{
    int pair[2];
    struct task_stream *s;
    struct task *first;

    (void)arg;
    begin_debug();
    s = open_stream(pair);
    first = start(reads_stream, s);
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(task_await(start(reads_stream, s)), -EBUSY);
    CHECK_RECORD(
        "task_stream_read: another task reads (-EBUSY); fd N; it was opened "
        "at test_misuse.c:N; called by task 3 \"task-3\", created at "
        "bodies.c:N, in reads_stream+0x");
    CHECK_STATUS(task_cancel_await(first), -ECANCELED);
    CHECK_STATUS(task_stream_close(s), 0);
    return task_close(pair[1]);
}

static int n_closed;

static void check_closed(const struct loop_error *error, void *arg)
{
    static const char text[] =
        ": the stream was closed (-EBADF); it was opened "
        "at ";
    const char *at = strstr(error->message, text);

    (void)arg;
    CHECK(at && strstr(at, "; called by task 1 \"task-1\" in use_it+"));
    CHECK(error->file && strstr(error->file, "test_misuse.c"));
    CHECK(error->line > 0);
    CHECK_STATUS(error->status, -EBADF);
    record("%.*s", (int)strcspn(error->message, ":"), error->message);
    n_closed++;
}

static NEVER_INLINE void use_it(struct task_stream *s)
{
    char c = 0;
    const char *at;

    CHECK_STATUS(task_stream_read(s, &c, 1), -EBADF);
    CHECK_STATUS(task_stream_read_exactly(s, &c, 1), -EBADF);
    CHECK_STATUS(task_stream_read_until(s, "x", 1, &at), -EBADF);
    CHECK_STATUS(task_stream_read_line(s, &at), -EBADF);
    CHECK_STATUS(task_stream_write(s, &c, 1), -EBADF);
    CHECK_STATUS(task_stream_printf(s, "x"), -EBADF);
    CHECK_STATUS(task_stream_drain(s), -EBADF);
    CHECK_STATUS(task_stream_flush(s), -EBADF);
    CHECK_STATUS(task_stream_write_eof(s), -EBADF);
    CHECK_STATUS(task_stream_set_limit(s, 1), -EBADF);
    CHECK_STATUS(task_stream_set_write_limits(s, 2, 1), -EBADF);
    CHECK_STATUS(task_stream_fd(s), -EBADF);
    CHECK_STATUS(task_stream_close(s), -EBADF);
    task_stream_abort(s);
    CHECK(!task_stream_at_eof(s));
}

static int a_stream_used_after_its_end_is_told_of(void *arg)
{
    struct task_stream *streams[2];

    (void)arg;
    loop_set_error_handler(loop_current(), check_closed, NULL);
    loop_set_debug(loop_current(), true);
    for (int i = 0; i < 2; i++) {
        int pair[2];

        streams[i] = open_stream(pair);
        if (i)
            task_stream_abort(streams[i]);
        else
            CHECK_STATUS(task_stream_close(streams[i]), 0);
        CHECK_STATUS(task_close(pair[1]), 0);
    }
    use_it(streams[0]);
    use_it(streams[1]);
    CHECK_RECORD(
        "task_stream_read, task_stream_read_exactly, task_stream_read_until, "
        "task_stream_read_line, task_stream_write, task_stream_printf, "
        "task_stream_drain, task_stream_flush, task_stream_write_eof, "
        "task_stream_set_limit, task_stream_set_write_limits, task_stream_fd, "
        "task_stream_close, task_stream_abort");
    return 0;
}

/* They are kept to tell that, but not for ever. */
static int opens_and_closes(void *arg)
{
    size_t n = *(size_t *)arg;

    for (size_t i = 0; i < n; i++) {
        int pair[2];
        struct task_stream *s = open_stream(pair);

        CHECK_STATUS(task_stream_close(s), 0);
        CHECK_STATUS(task_close(pair[1]), 0);
    }
    return 0;
}

static void few_closed_streams_are_kept(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    size_t before;
    size_t few = 100;
    size_t many = 500;

    (void)state;
    loop_set_debug(loop, true);
    assert_int_equal(loop_run_main(loop, opens_and_closes, &few), 0);
    before = count.blocks;
    assert_int_equal(loop_run_main(loop, opens_and_closes, &many), 0);
    assert_true(count.blocks <= before);
    test_loop_free(loop, &count);
}

static int a_stream_that_is_none_is_told_of(void *arg)
{
    const char *line;

    (void)arg;
    begin_debug();
    CHECK_STATUS(task_stream_read_line(NULL, &line), -EINVAL);
    CHECK_STATUS(task_stream_write_eof(NULL), -EINVAL);
    CHECK_RECORD(
        "task_stream_read_line: the stream is NULL, or of another loop "
        "(-EINVAL); called by task 1 \"task-1\" in "
        "a_stream_that_is_none_is_told_of+0x, "
        "task_stream_write_eof: the stream is NULL, or of another loop "
        "(-EINVAL); called by task 1 \"task-1\" in "
        "a_stream_that_is_none_is_told_of+0x");
    return 0;
}

/* Found out by the next call; the number is another file by then. */
static int a_stream_whose_number_is_closed_is_told_of(void *arg)
{
    int pair[2];
    int other[2];
    struct task_stream *s;

    (void)arg;
    begin_debug();
    s = open_stream(pair);
    CHECK_STATUS(task_close(pair[0]), 0);
    make_local_at(pair[0], other);
    CHECK_STATUS(task_stream_write(s, "x", 1), -EBADF);
    CHECK_STATUS(task_stream_close(s), -EBADF);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("fd N was closed, and not by task_close(), while a stream had "
                 "it (-EBADF); it was opened at test_misuse.c:N");
    close_both(other);
    return task_close(pair[1]);
}

/* The write that fails first is the first to hear of it; then the program could
 * know. */
static int writes_in_vain_are_told_of_the_fifth_time(void *arg)
{
    int pair[2];
    struct task_stream *s;

    (void)arg;
    begin_debug();
    s = open_stream(pair);
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(task_stream_write(s, "x", 1), -EPIPE);
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(task_stream_write(s, "x", 1), -EPIPE);
    CHECK_RECORD("");
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(task_stream_printf(s, "x"), -EPIPE);
    CHECK_RECORD(
        "task_stream_printf: writing has failed, and this is the fifth "
        "call since (-EPIPE); fd N; it was opened at test_misuse.c:N; "
        "called by task 1 \"task-1\" in "
        "writes_in_vain_are_told_of_the_fifth_time+0x");
    CHECK_STATUS(task_stream_close(s), -EPIPE);
    return 0;
}

static void record_leak(const struct loop_error *error, void *arg)
{
    (void)arg;
    CHECK_STATUS(error->kind, LOOP_ERROR_LEAK);
    CHECK(error->line > 0);
    record("%.8s %s", error->message,
           error->file ? strrchr(error->file, '/') : "nowhere");
}

static int leaves_open(void *arg)
{
    static const char *const argv[] = {"sleep", "100", NULL};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct task_stream *s;
    struct task_process *process;

    (void)arg;
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/task-misuse-%d",
             (int)getpid());
    CHECK_STATUS(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_STATUS(listen(fd, 1), 0);
    CHECK_STATUS(task_open_unix_connection(&s, address.sun_path), 0);
    CHECK_STATUS(task_process_exec(&process, argv, NULL), 0);
    unlink(address.sun_path);
    return task_close(fd);
}

static void what_is_left_open_tells_its_place(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.debug = true;
    options.on_error = record_leak;
    assert_int_equal(run_with(options, leaves_open, NULL), 0);
    assert_record("a proces /test_misuse.c, a stream /test_misuse.c");
}

static int without_debug_mode_nothing_is_told(void *arg)
{
    int pair[2];
    struct task *first;
    struct task_stream *s;

    (void)arg;
    loop_set_debug(loop_current(), false);
    loop_set_error_handler(loop_current(), record_report, NULL);
    make_local(pair);
    first = start(reads_quietly, &pair[0]);
    CHECK_STATUS(task_await(start(reads_quietly, &pair[0])), -EBUSY);
    CHECK_STATUS(close(pair[0]), 0);
    CHECK_STATUS(reads_quietly(&pair[0]), -EBADF);
    CHECK_STATUS(task_await(first), -EBADF);
    CHECK_STATUS(task_close(pair[1]), 0);
    s = open_stream(pair);
    first = start(reads_stream, s);
    CHECK_STATUS(task_await(start(reads_stream, s)), -EBUSY);
    CHECK_STATUS(task_cancel_await(first), -ECANCELED);
    CHECK_STATUS(task_stream_close(s), 0);
    CHECK_RECORD("");
    return task_close(pair[1]);
}

static void note_fd(const struct loop_error *error, void *arg)
{
    (void)arg;
    record("fd %d", error->fd);
}

static int the_lost_number_is_told_though_it_is_0(void *arg)
{
    int spare = dup(0);
    int ends[2];
    int zero = 0;
    struct task *loser;

    (void)arg;
    make_local_at(0, ends);
    begin_debug();
    loop_set_error_handler(loop_current(), note_fd, NULL);
    loser = start(reads_quietly, &zero);
    CHECK_STATUS(close(0), 0);
    if (is_epoll() && !is_real()) /* time stands still: nobody looks */
        CHECK_STATUS(reads_quietly(&zero), -EBADF);
    CHECK_STATUS(task_await(loser), -EBADF);
    CHECK_RECORD("fd 0");
    CHECK_STATUS(task_close(ends[1]), 0);
    if (spare >= 0) {
        CHECK_STATUS(dup2(spare, 0), 0);
        CHECK_STATUS(close(spare), 0);
    }
    return 0;
}

static unsigned n_lost;

static void closes_it(const struct loop_error *error, void *arg)
{
    (void)arg;
    n_lost++;
    CHECK_STATUS(task_close(error->fd), 0);
}

static void count_call(void *n)
{
    ++*(unsigned *)n;
}

/* The hook may do anything to it, as what has found it out is over. */
static int a_hook_may_close_the_number_that_was_lost(void *arg)
{
    int lost[2];
    int other[2];
    unsigned n_calls = 0;

    (void)arg;
    n_lost = 0;
    begin_debug();
    loop_set_error_handler(loop_current(), closes_it, NULL);
    make_local(lost);
    CHECK_STATUS(loop_add_writer(lost[0], count_call, &n_calls), 0);
    while (!n_calls)
        CHECK_STATUS(task_yield(), 0);
    make_local_at(lost[0], other); /* by dup2(), which closes it */
    CHECK_STATUS(task_wait_fd(other[0], POLLIN), -EBADF);
    CHECK_STATUS(n_lost, 1);
    CHECK_STATUS(task_close(other[1]), 0);
    return task_close(lost[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_streams(each_call_tells_its_name_and_caller),
        everywhere(two_that_wait_for_the_same_are_told_of),
        everywhere(a_number_that_is_closed_by_others_is_told_of),
        everywhere(a_number_is_told_of_while_there_is_traffic),
        everywhere(a_number_of_a_callback_s_is_told_of),
        everywhere(what_is_closed_rightly_is_not_told_of),
        everywhere(a_bad_argument_is_told_of),
        everywhere(two_readers_of_a_stream_are_told_of),
        everywhere(a_stream_used_after_its_end_is_told_of),
        behaviour(few_closed_streams_are_kept),
        everywhere(a_stream_that_is_none_is_told_of),
        everywhere(a_stream_whose_number_is_closed_is_told_of),
        everywhere(writes_in_vain_are_told_of_the_fifth_time),
        behaviour(what_is_left_open_tells_its_place),
        everywhere(without_debug_mode_nothing_is_told),
        everywhere(the_lost_number_is_told_though_it_is_0),
        everywhere(a_hook_may_close_the_number_that_was_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
