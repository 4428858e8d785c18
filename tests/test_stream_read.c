/* Reading by a stream: stream.h. */
#include "streams.h"

#include "bodies.h"
#include "cancel_points.h"
#include "random.h"
#include "stream.h"

#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bodies: the argument is a stream. */

static int reads(void *arg)
{
    char buf[16] = {0};
    ssize_t n = task_stream_read(arg, buf, sizeof buf - 1);

    record("read %d %s", (int)n, buf);
    return (int)n;
}

static int reads_exactly_4(void *arg)
{
    char buf[5] = {0};
    int result = task_stream_read_exactly(arg, buf, 4);

    record("exactly %d %s", result, result ? "" : buf);
    return result;
}

static void record_text(const char *verb, ssize_t n, const char *data)
{
    record("%s %d %.*s", verb, (int)n, n > 0 ? (int)n : 0, data);
}

static int reads_until_end(void *arg)
{
    const char *data = NULL;
    ssize_t n = task_stream_read_until(arg, "END", 3, &data);

    record_text("until", n, data);
    return (int)n;
}

static int reads_line(void *arg)
{
    const char *line = NULL;
    ssize_t n = task_stream_read_line(arg, &line);

    record("line %d %.*s", (int)n, n > 1 ? (int)n - 1 : 0, line);
    return (int)n;
}

/* All that wait when nothing is there. */
static task_fn *const WAYS[] = {reads, reads_exactly_4, reads_until_end,
                                reads_line};
enum { N_WAYS = sizeof WAYS / sizeof *WAYS };

/* read. */

static int a_read_gives_what_there_is(void *arg)
{
    struct half half = socket_half();
    struct task *task = start(reads, half.s);

    (void)arg;
    say(half.fd, "abc");
    CHECK_STATUS(task_await(task), 3);
    say(half.fd, "more than what was asked for");
    CHECK_STATUS(reads(half.s), 15);
    CHECK_STATUS(reads(half.s), 13);
    CHECK_RECORD("read 3 abc, read 15 more than what , read 13 was asked for");
    close_half(half);
    return 0;
}

static int a_read_of_nothing_returns_at_once(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    CHECK_STATUS(task_stream_read(half.s, NULL, 0), 0);
    CHECK_STATUS(task_stream_read_exactly(half.s, NULL, 0), 0);
    say(half.fd, "ab");
    CHECK_STATUS(task_stream_read(half.s, NULL, 0), 0);
    CHECK_STATUS(reads(half.s), 2);
    CHECK(!task_stream_at_eof(half.s));
    task_cancel(task_current());
    CHECK_STATUS(task_stream_read(half.s, NULL, 0), -ECANCELED);
    CHECK_STATUS(task_stream_read(half.s, NULL, 0), 0);
    CHECK_RECORD("read 2 ab");
    close_half(half);
    return 0;
}

static int the_end_is_told_again_and_again(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    say(half.fd, "ab");
    CHECK_STATUS(shutdown(half.fd, SHUT_WR), 0);
    CHECK(!task_stream_at_eof(half.s));
    CHECK_STATUS(reads(half.s), 2);
    CHECK(!task_stream_at_eof(half.s));
    CHECK_STATUS(reads(half.s), 0);
    CHECK(task_stream_at_eof(half.s));
    CHECK_STATUS(reads(half.s), 0);
    CHECK_STATUS(reads_line(half.s), 0);
    CHECK_STATUS(reads_exactly_4(half.s), -ENODATA);
    CHECK_STATUS(reads_until_end(half.s), -ENODATA);
    record_clear();
    CHECK_STATUS(task_stream_write(half.s, "still", 5), 0);
    close_half(half);
    return 0;
}

static int the_end_wakes_whoever_waits(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_WAYS; i++) {
        struct half half = socket_half();
        struct task *task = start(WAYS[i], half.s);

        CHECK_STATUS(shutdown(half.fd, SHUT_WR), 0);
        (void)task_await(task);
        close_half(half);
    }
    CHECK_RECORD("read 0 , exactly -61 , until -61 , line 0 ");
    return 0;
}

/* What is asked for in large pieces does not go by the buffer. */
static int a_large_read_takes_no_memory(void *arg)
{
    struct memory_count *count = arg;
    struct half half = socket_half();
    static char sent[8192];
    static char got[8192];
    size_t bytes;

    fill_bytes(sent, sizeof sent, 0);
    CHECK_STATUS(task_wait_fd(half.fd, POLLOUT), POLLOUT);
    bytes = count->bytes;
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(write(half.fd, sent, sizeof sent), sizeof sent);
        CHECK_STATUS(task_stream_read(half.s, got, sizeof got), sizeof got);
        CHECK(are_bytes(got, sizeof got, 0));
    }
    CHECK(count->bytes == bytes);
    close_half(half);
    return 0;
}

static void run_counted(task_fn *fn, struct memory_count *count)
{
    struct loop *loop = test_loop_new(count);

    assert_int_equal(loop_run_main(loop, fn, count), 0);
    test_loop_free(loop, count);
}

static void large_reads_take_no_memory(void **state)
{
    struct memory_count count = {0};

    (void)state;
    run_counted(a_large_read_takes_no_memory, &count);
}

static struct {
    struct half halves[2];
    struct task *readers[2];
} moving;

static int reads_full(void *arg)
{
    char buf[8];

    return (int)task_read_full(*(int *)arg, buf, sizeof buf);
}

static int wait_in_one_thread(void *arg)
{
    static int fd;

    (void)arg;
    moving.halves[0] = tcp_half();
    moving.readers[0] = task_create(reads, moving.halves[0].s);
    moving.halves[1] = tcp_half();
    fd = task_stream_fd(moving.halves[1].s);
    moving.readers[1] = task_create(reads_full, &fd);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int fail_in_another(void *arg)
{
    struct linger at_once = {.l_onoff = 1};

    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct half half = moving.halves[i];

        CHECK_STATUS(setsockopt(half.fd, SOL_SOCKET, SO_LINGER, &at_once,
                                sizeof at_once),
                     0);
        close(half.fd);
        CHECK_STATUS(task_await(moving.readers[i]), -ECONNRESET);
        task_stream_abort(half.s);
    }
    return 0;
}

static void *fail_in_this_thread(void *loop)
{
    int status = loop_run_main(loop, fail_in_another, NULL);

    record_clear();
    return (void *)(intptr_t)status;
}

/* Whose errno is another one than where the call began. */
static void an_error_is_of_the_thread_that_runs_now(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    pthread_t thread;
    void *status;

    (void)state;
    assert_int_equal(loop_run_main(loop, wait_in_one_thread, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, fail_in_this_thread, loop),
                     0);
    pthread_join(thread, &status);
    assert_int_equal((intptr_t)status, 0);
    assert_checks();
    test_loop_free(loop, &count);
}

/* Those that wait for nothing hold no buffer. */
static int idle_streams_are_small(void *arg)
{
    enum { N = 100 };
    struct memory_count *count = arg;
    static struct half halves[N];
    static struct task *tasks[N];
    size_t bytes;

    for (int i = 0; i < N; i++)
        halves[i] = socket_half();
    for (int i = 0; i < N; i++)
        tasks[i] = task_create(i % 2 ? reads : reads_line, halves[i].s);
    CHECK_STATUS(task_yield(), 0);
    bytes = count->bytes;
    for (int i = 0; i < N; i++)
        say(halves[i].fd, "a\n");
    for (int i = 0; i < N; i++)
        CHECK_STATUS(task_await(tasks[i]), 2);
    for (int i = 0; i < N; i++)
        tasks[i] = task_create(i % 2 ? reads : reads_line, halves[i].s);
    CHECK_STATUS(task_yield(), 0);
    CHECK(count->bytes - bytes <= 64 * (STREAM_BLOCK + 64));
    for (int i = 0; i < N; i++) {
        CHECK(!halves[i].s->in.data);
        task_cancel_await(tasks[i]);
        close_half(halves[i]);
    }
    record_clear();
    return 0;
}

static void idle_streams_hold_no_buffers(void **state)
{
    struct memory_count count = {0};

    (void)state;
    run_counted(idle_streams_are_small, &count);
}

/* Who reads. */

static int a_second_reader_is_refused(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_WAYS; i++) {
        struct half half = socket_half();
        struct task *first = start(WAYS[i], half.s);

        for (int j = 0; j < N_WAYS; j++)
            CHECK_STATUS(WAYS[j](half.s), -EBUSY);
        CHECK_STATUS(task_stream_write(half.s, "x", 1), 0);
        CHECK_STATUS(task_cancel_await(first), -ECANCELED);
        record_clear();
        say(half.fd, "y");
        CHECK_STATUS(reads(half.s), 1);
        CHECK_RECORD("read 1 y");
        close_half(half);
    }
    return 0;
}

static int reads_raw(void *arg)
{
    char byte;

    return (int)task_read(*(int *)arg, &byte, 1);
}

static int a_reader_beside_the_stream_is_found_out(void *arg)
{
    struct half half = socket_half();
    int fd = task_stream_fd(half.s);
    struct task *task = start(reads_raw, &fd);

    (void)arg;
    CHECK_STATUS(reads(half.s), -EBUSY);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    say(half.fd, "x");
    CHECK_STATUS(reads(half.s), 1);
    CHECK_RECORD("read -16 , read 1 x");
    close_half(half);
    return 0;
}

/* Cancel and time-outs. */

static int a_cancelled_read_loses_no_byte(void *arg)
{
    (void)arg;
    for (int i = 1; i < N_WAYS; i++) {
        struct half half = socket_half();
        struct task *task = start(WAYS[i], half.s);

        say(half.fd, "ab");
        CHECK_STATUS(task_yield(), 0);
        CHECK_STATUS(task_yield(), 0);
        CHECK_STATUS(task_cancel_await(task), -ECANCELED);
        say(half.fd, "END\n");
        record_clear();
        CHECK_STATUS(reads_until_end(half.s), 5);
        CHECK_RECORD("until 5 abEND");
        close_half(half);
    }
    return 0;
}

/* The bytes are there, and the reader is told, before it is cancelled. */
static int bytes_before_the_request_are_delivered(void *arg)
{
    struct half half = socket_half();
    struct task *task = start(reads, half.s);

    (void)arg;
    say(half.fd, "ab");
    while (task->waiter)
        CHECK_STATUS(task_yield(), 0);
    task_cancel(task);
    CHECK_STATUS(task_await(task), 2);
    CHECK_RECORD("read 2 ab");
    close_half(half);
    return 0;
}

static int bytes_after_the_request_stay(void *arg)
{
    struct half half = socket_half();
    struct task *task = start(reads, half.s);

    (void)arg;
    task_cancel(task);
    say(half.fd, "ab");
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_STATUS(reads(half.s), 2);
    CHECK_RECORD("read -125 , read 2 ab");
    close_half(half);
    return 0;
}

static int a_waiting_request_comes_before_bytes_that_are_there(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_WAYS; i++) {
        struct half half = socket_half();

        say(half.fd, "abEND\n");
        CHECK_STATUS(task_stream_read(half.s, &(char){0}, 1), 1);
        task_cancel(task_current());
        CHECK_STATUS(WAYS[i](half.s), -ECANCELED);
        record_clear();
        CHECK_STATUS(reads_line(half.s), 5);
        CHECK_RECORD("line 5 bEND");
        close_half(half);
    }
    return 0;
}

static int a_read_in_a_timeout_loses_no_byte(void *arg)
{
    struct half half = socket_half();
    struct task_timeout timeout;
    char buf[8];
    int status;

    (void)arg;
    say(half.fd, "abc");
    task_timeout_begin(&timeout, TASK_SECOND);
    status = task_stream_read_exactly(half.s, buf, 4);
    CHECK_STATUS(task_timeout_end(&timeout, status), -ETIMEDOUT);
    say(half.fd, "d");
    CHECK_STATUS(task_stream_read_exactly(half.s, buf, 4), 0);
    CHECK(!memcmp(buf, "abcd", 4));
    close_half(half);
    return 0;
}

/* Errors. */

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    CHECK_STATUS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger),
                 0);
    CHECK_STATUS(close(fd), 0);
}

static int an_error_wakes_the_reader_and_stays(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_WAYS; i++) {
        struct half half = tcp_half();
        struct task *task = start(WAYS[i], half.s);

        reset(half.fd);
        CHECK_STATUS(task_await(task), -ECONNRESET);
        for (int j = 0; j < N_WAYS; j++)
            CHECK_STATUS(WAYS[j](half.s), -ECONNRESET);
        CHECK(!task_stream_at_eof(half.s));
        task_stream_abort(half.s);
    }
    record_clear();
    return 0;
}

static int what_came_before_an_error_is_read_first(void *arg)
{
    struct half half = tcp_half();

    (void)arg;
    say(half.fd, "one\ntwo\nthree");
    CHECK_STATUS(reads_line(half.s), 4);
    reset(half.fd);
    CHECK_STATUS(reads_line(half.s), 4);
    CHECK_STATUS(reads_line(half.s), -ECONNRESET);
    CHECK_STATUS(reads_line(half.s), -ECONNRESET);
    CHECK_STATUS(reads(half.s), 5);
    CHECK_STATUS(reads(half.s), -ECONNRESET);
    CHECK_RECORD("line 4 one, line 4 two, line -104 , line -104 , "
                 "read 5 three, read -104 ");
    task_stream_abort(half.s);
    return 0;
}

/* The system tells one call of it, be it of reading or of writing. */
static int an_error_that_writing_has_met_is_told_to_readers(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_WAYS; i++) {
        struct half half = tcp_half();

        say(half.fd, "abc");
        reset(half.fd);
        CHECK_STATUS(task_stream_write(half.s, "x", 1), -ECONNRESET);
        CHECK_STATUS(reads(half.s), 3);
        CHECK_STATUS(WAYS[i](half.s), -ECONNRESET);
        CHECK_STATUS(reads(half.s), -ECONNRESET);
        CHECK(!task_stream_at_eof(half.s));
        task_stream_abort(half.s);
    }
    record_clear();
    return 0;
}

static int flushes(void *arg)
{
    return task_stream_flush(arg);
}

/* What is not sent is, or fails, in the loop's context: before the reader,
 * which is woken by the same event. */
static int an_error_that_sending_has_met_is_told_to_readers(void *arg)
{
    enum { SIZE = 32 << 20 };
    char *data = calloc(1, SIZE);

    (void)arg;
    for (int i = 0; i < N_WAYS; i++) {
        struct half half = tcp_half();
        struct task *reader = start(WAYS[i], half.s);
        struct task *flusher;

        CHECK_STATUS(task_stream_set_write_limits(half.s, SIZE_MAX, 0), 0);
        CHECK_STATUS(task_stream_write(half.s, data, SIZE), 0);
        flusher = start(flushes, half.s);
        reset(half.fd);
        CHECK_STATUS(task_await(reader), -ECONNRESET);
        CHECK_STATUS(task_await(flusher), -ECONNRESET);
        CHECK(!task_stream_at_eof(half.s));
        task_stream_abort(half.s);
    }
    record_clear();
    free(data);
    return 0;
}

/* The peer has ended its writing, and is gone since. */
static int an_end_that_came_before_an_error_stays_one(void *arg)
{
    struct half half = tcp_half();

    (void)arg;
    say(half.fd, "abc");
    CHECK_STATUS(shutdown(half.fd, SHUT_WR), 0);
    reset(half.fd);
    CHECK_STATUS(task_stream_write(half.s, "x", 1), -EPIPE);
    CHECK_STATUS(reads(half.s), 3);
    CHECK_STATUS(reads(half.s), 0);
    CHECK(task_stream_at_eof(half.s));
    CHECK_RECORD("read 3 abc, read 0 ");
    task_stream_abort(half.s);
    return 0;
}

static int a_reader_whose_request_came_first_does_not_meet_the_error(void *arg)
{
    struct half half = tcp_half();
    struct task *task = start(reads, half.s);

    (void)arg;
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    reset(half.fd);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(reads(half.s), -ECONNRESET);
    CHECK_RECORD("read -125 , read -104 ");
    task_stream_abort(half.s);
    return 0;
}

/* A time stamp of what was sent waits in the socket's error queue, and as long as
 * it does the kernel tells of an error. */
static int an_error_stays(void *arg)
{
    int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    struct half half = tcp_half();
    struct task *task = start(reads, half.s);
    task_time start_time = loop_time();
    uint64_t polls;

    (void)arg;
    CHECK_STATUS(setsockopt(task_stream_fd(half.s), SOL_SOCKET, SO_TIMESTAMPING,
                            &flags, sizeof flags),
                 0);
    CHECK_STATUS(task_stream_write(half.s, "x", 1), 0);
    polls = stats().polls;
    CHECK_STATUS(task_sleep(20 * TASK_MILLISECOND), 0);
    CHECK(stats().polls - polls <=
          20 + (uint64_t)((loop_time() - start_time) / TASK_MILLISECOND));
    say(half.fd, "ab");
    CHECK_STATUS(task_await(task), 2);
    CHECK_RECORD("read 2 ab");
    close_half(half);
    return 0;
}

static void an_error_that_stays_does_not_make_the_loop_spin(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(run_with(options, an_error_stays, NULL), 0);
}

static int what_is_not_open_for_reading_says_so(void *arg)
{
    struct half half = pipe_writer_half();

    (void)arg;
    CHECK_STATUS(reads(half.s), -EBADF);
    CHECK_STATUS(task_stream_write(half.s, "x", 1), 0);
    CHECK_RECORD("read -9 ");
    close_half(half);
    return 0;
}

/* read_exactly. */

static int exactly_waits_for_all(void *arg)
{
    struct half half = socket_half();
    struct task *task = start(reads_exactly_4, half.s);

    (void)arg;
    for (const char *at = "abc"; *at; at++) {
        CHECK_STATUS(write(half.fd, at, 1), 1);
        CHECK_STATUS(task_sleep(1), 0);
        CHECK(!task_done(task));
    }
    say(half.fd, "defgh");
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(reads_exactly_4(half.s), 0);
    CHECK_RECORD("exactly 0 abcd, exactly 0 efgh");
    close_half(half);
    return 0;
}

static int exactly_at_the_end_leaves_what_came(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    say(half.fd, "abc");
    CHECK_STATUS(shutdown(half.fd, SHUT_WR), 0);
    CHECK_STATUS(reads_exactly_4(half.s), -ENODATA);
    CHECK_STATUS(reads_exactly_4(half.s), -ENODATA);
    CHECK(!task_stream_at_eof(half.s));
    CHECK_STATUS(reads(half.s), 3);
    CHECK(task_stream_at_eof(half.s));
    CHECK_RECORD("exactly -61 , exactly -61 , read 3 abc");
    close_half(half);
    return 0;
}

/* More than any buffer. */
enum { LARGE = 300000 };
static char large[LARGE];

static int writes_large(void *arg)
{
    static char all[LARGE];

    fill_bytes(all, LARGE, 0);
    return task_stream_write(arg, all, LARGE);
}

static int reads_large(void *arg)
{
    return task_stream_read_exactly(arg, large, LARGE);
}

static int exactly_may_be_more_than_the_limit(void *arg)
{
    struct pair pair = socket_pair();
    struct task *writer;

    (void)arg;
    CHECK_STATUS(task_stream_set_limit(pair.a, 3), 0);
    CHECK_STATUS(task_stream_write(pair.b, "x", 1), 0);
    CHECK_STATUS(task_stream_write(pair.b, "y", 1), 0);
    writer = start(writes_large, pair.b);
    CHECK_STATUS(task_stream_read(pair.a, &(char){0}, 1), 1);
    CHECK_STATUS(task_stream_read(pair.a, &(char){0}, 1), 1);
    CHECK_STATUS(reads_large(pair.a), 0);
    CHECK(are_bytes(large, LARGE, 0));
    CHECK_STATUS(task_await(writer), 0);
    close_pair(pair);
    return 0;
}

static int a_large_exactly_at_the_end_leaves_what_came(void *arg)
{
    struct pair pair = socket_pair();
    char *some = calloc(1, 100000);

    (void)arg;
    fill_bytes(some, 100000, 0);
    CHECK_STATUS(task_stream_write(pair.b, some, 100000), 0);
    CHECK_STATUS(task_stream_write_eof(pair.b), 0);
    CHECK_STATUS(task_stream_read_exactly(pair.a, large, 100), 0);
    CHECK_STATUS(reads_large(pair.a), -ENODATA);
    memset(some, 0, 100000);
    CHECK_STATUS(task_stream_read_exactly(pair.a, some, 99900), 0);
    CHECK(are_bytes(some, 99900, 100));
    CHECK(task_stream_at_eof(pair.a));
    free(some);
    close_pair(pair);
    return 0;
}

static int a_large_exactly_that_is_cancelled_loses_no_byte(void *arg)
{
    struct half half = socket_half();
    static char all[LARGE];
    struct task *reader;

    (void)arg;
    fill_bytes(all, LARGE, 0);
    for (size_t i = 0; i < 3; i++) {
        CHECK_STATUS(write(half.fd, all + i * 20000, 20000), 20000);
        reader = start(reads_large, half.s);
        CHECK_STATUS(task_sleep(1), 0);
        CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    }
    reader = start(reads_large, half.s);
    CHECK_STATUS(task_write_all(half.fd, all + 60000, LARGE - 60000),
                 LARGE - 60000);
    CHECK_STATUS(task_await(reader), 0);
    CHECK(are_bytes(large, LARGE, 0));
    close_half(half);
    return 0;
}

/* read_until. */

static int a_separator_is_found_wherever_it_is_split(void *arg)
{
    static const char text[] = "--bou--bound--boundary tail";
    static const char separator[] = "--boundary";
    size_t n = strlen(text);

    (void)arg;
    for (size_t first = 0; first <= n; first++) {
        for (size_t second = first; second <= n; second++) {
            struct half half = socket_half();
            const char *data = NULL;
            size_t at[] = {0, first, second, n};
            ssize_t result = -ECANCELED;
            char tail[5];

            for (int i = 0; i < 3; i++) {
                struct task_timeout timeout;

                CHECK_STATUS(write(half.fd, text + at[i], at[i + 1] - at[i]),
                             at[i + 1] - at[i]);
                if (result >= 0)
                    continue;
                task_timeout_begin(&timeout, 1);
                result = task_stream_read_until(half.s, separator,
                                                strlen(separator), &data);
                if (result >= 0)
                    CHECK(!memcmp(data, text, 22));
                (void)task_timeout_end(&timeout, (int)result);
            }
            CHECK_STATUS(result, 22);
            CHECK_STATUS(task_stream_read_exactly(half.s, tail, 5), 0);
            CHECK(!memcmp(tail, " tail", 5));
            close_half(half);
        }
    }
    return 0;
}

/* The same with one call that waits for each byte. */
static int reads_until_boundary(void *arg)
{
    const char *data = NULL;
    ssize_t n = task_stream_read_until(arg, "--boundary", 10, &data);

    record_text("until", n, data);
    return (int)n;
}

static int a_separator_may_come_byte_by_byte(void *arg)
{
    struct half half = socket_half();
    struct task *task = start(reads_until_boundary, half.s);

    (void)arg;
    for (const char *at = "----bou--bound--boundary"; *at; at++) {
        CHECK(!task_done(task));
        CHECK_STATUS(write(half.fd, at, 1), 1);
        CHECK_STATUS(task_sleep(1), 0);
    }
    CHECK_STATUS(task_await(task), 24);
    CHECK_RECORD("until 24 ----bou--bound--boundary");
    close_half(half);
    return 0;
}

static int until_at_the_end_leaves_what_came(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    say(half.fd, "aEND bEN");
    CHECK_STATUS(shutdown(half.fd, SHUT_WR), 0);
    CHECK_STATUS(reads_until_end(half.s), 4);
    CHECK_STATUS(reads_until_end(half.s), -ENODATA);
    CHECK_STATUS(reads_until_end(half.s), -ENODATA);
    CHECK_STATUS(reads(half.s), 4);
    CHECK_STATUS(reads_until_end(half.s), -ENODATA);
    CHECK_RECORD("until 4 aEND, until -61 , until -61 , read 4  bEN, "
                 "until -61 ");
    close_half(half);
    return 0;
}

static int an_empty_separator_is_refused(void *arg)
{
    struct half half = socket_half();
    const char *data = "untouched";

    (void)arg;
    CHECK_STATUS(task_stream_read_until(half.s, "", 0, &data), -EINVAL);
    CHECK_STATUS(task_stream_read_until(half.s, NULL, 1, &data), -EINVAL);
    CHECK(!strcmp(data, "untouched"));
    CHECK_STATUS(task_stream_set_limit(half.s, 0), -EINVAL);
    say(half.fd, "x");
    CHECK_STATUS(reads(half.s), 1);
    CHECK_RECORD("read 1 x");
    close_half(half);
    return 0;
}

static int until_at_the_limit_is_fine(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    CHECK_STATUS(task_stream_set_limit(half.s, 7), 0);
    say(half.fd, "1234567END12345678END");
    CHECK_STATUS(reads_until_end(half.s), 10);
    CHECK_STATUS(reads_until_end(half.s), -EMSGSIZE);
    CHECK_STATUS(reads_until_end(half.s), -EMSGSIZE);
    CHECK_STATUS(task_stream_set_limit(half.s, 8), 0);
    CHECK_STATUS(reads_until_end(half.s), 11);
    CHECK_RECORD("until 10 1234567END, until -90 , until -90 , "
                 "until 11 12345678END");
    close_half(half);
    return 0;
}

static int until_beyond_the_limit_does_not_wait(void *arg)
{
    struct half half = socket_half();
    struct task *task;

    (void)arg;
    CHECK_STATUS(task_stream_set_limit(half.s, 7), 0);
    say(half.fd, "1234567EN");
    task = start(reads_until_end, half.s);
    CHECK_STATUS(task_sleep(1), 0);
    CHECK(!task_done(task));
    say(half.fd, "E");
    CHECK_STATUS(task_await(task), -EMSGSIZE);
    CHECK_STATUS(reads(half.s), 10);
    CHECK_RECORD("until -90 , read 10 1234567ENE");
    close_half(half);
    return 0;
}

/* Lines. */

static int lines_are_read_one_by_one(void *arg)
{
    struct half half = socket_half();
    struct task *task = start(reads_line, half.s);

    (void)arg;
    say(half.fd, "one\n\ntw");
    CHECK_STATUS(task_await(task), 4);
    CHECK_STATUS(reads_line(half.s), 1);
    task = start(reads_line, half.s);
    say(half.fd, "o\nrest");
    CHECK_STATUS(task_await(task), 4);
    CHECK_STATUS(shutdown(half.fd, SHUT_WR), 0);
    CHECK_STATUS(reads_line(half.s), 4);
    CHECK_STATUS(reads_line(half.s), 0);
    CHECK(task_stream_at_eof(half.s));
    CHECK_RECORD("line 4 one, line 1 , line 4 two, line 4 res, line 0 ");
    close_half(half);
    return 0;
}

static int a_line_is_in_place_until_the_next_read(void *arg)
{
    struct half half = socket_half();
    const char *line = NULL;

    (void)arg;
    say(half.fd, "one\n");
    CHECK_STATUS(task_stream_read_line(half.s, &line), 4);
    say(half.fd, "two\n");
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(task_stream_write(half.s, line, 4), 0);
    CHECK(!memcmp(line, "one\n", 4));
    CHECK_STATUS(task_stream_read_line(half.s, &line), 4);
    CHECK(!memcmp(line, "two\n", 4));
    close_half(half);
    return 0;
}

static int a_line_at_the_limit_is_fine(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    CHECK_STATUS(task_stream_set_limit(half.s, 7), 0);
    say(half.fd, "1234567\n12345678\nnext\n");
    CHECK_STATUS(reads_line(half.s), 8);
    CHECK_STATUS(reads_line(half.s), -EMSGSIZE);
    CHECK_STATUS(reads_line(half.s), 5);
    CHECK_RECORD("line 8 1234567, line -90 , line 5 next");
    close_half(half);
    return 0;
}

static int a_line_too_long_without_its_newline_clears_the_buffer(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    CHECK_STATUS(task_stream_set_limit(half.s, 7), 0);
    say(half.fd, "12345678");
    CHECK_STATUS(reads_line(half.s), -EMSGSIZE);
    say(half.fd, "next\n");
    CHECK_STATUS(reads_line(half.s), 5);
    CHECK_RECORD("line -90 , line 5 next");
    close_half(half);
    return 0;
}

static int a_line_too_long_is_dropped_as_far_as_it_has_arrived(void *arg)
{
    struct half half = socket_half();
    static char line[100000];

    (void)arg;
    memset(line, 'x', sizeof line);
    CHECK_STATUS(write(half.fd, line, sizeof line), sizeof line);
    say(half.fd, "\nnext\n");
    CHECK_STATUS(reads_line(half.s), -EMSGSIZE);
    CHECK_STATUS(reads_line(half.s), 5);
    CHECK_RECORD("line -90 , line 5 next");
    close_half(half);
    return 0;
}

static int a_line_too_long_at_the_end_is_dropped(void *arg)
{
    struct half half = socket_half();

    (void)arg;
    CHECK_STATUS(task_stream_set_limit(half.s, 7), 0);
    say(half.fd, "12345678");
    CHECK_STATUS(shutdown(half.fd, SHUT_WR), 0);
    CHECK_STATUS(reads_line(half.s), -EMSGSIZE);
    CHECK_STATUS(reads_line(half.s), 0);
    CHECK(task_stream_at_eof(half.s));
    CHECK_RECORD("line -90 , line 0 ");
    close_half(half);
    return 0;
}

static int a_line_may_be_longer_than_a_block(void *arg)
{
    struct pair pair = socket_pair();
    const char *line = NULL;

    (void)arg;
    for (size_t n = 10; n <= TASK_STREAM_LIMIT; n = n * 5 / 2) {
        memset(large, 'y', n);
        large[n - 1] = '\n';
        CHECK_STATUS(task_stream_write(pair.b, large, n), 0);
        CHECK_STATUS(task_stream_read_line(pair.a, &line), n);
        CHECK(!memcmp(line, large, n));
    }
    close_pair(pair);
    return 0;
}

/* Nobody reads when nobody asks: the sender is held back. */
static int a_fast_sender_is_held_back(void *arg)
{
    struct memory_count *count = arg;
    struct half half = socket_half();
    const char *data;
    size_t before = count->bytes;
    size_t sent;

    say(half.fd, "one\n");
    CHECK_STATUS(reads_line(half.s), 4);
    sent = 0;
    memset(large, 'z', LARGE);
    for (ssize_t n; (n = write(half.fd, large, LARGE)) > 0;)
        sent += (size_t)n;
    CHECK(sent > 0);
    CHECK_STATUS(task_stream_read_until(half.s, "\n", 1, &data), -EMSGSIZE);
    CHECK(count->bytes - before < 2 * TASK_STREAM_LIMIT + 2 * STREAM_BLOCK);
    CHECK_RECORD("line 4 one");
    close_half(half);
    return 0;
}

static void memory_is_bounded_with_a_fast_sender(void **state)
{
    struct memory_count count = {0};

    (void)state;
    run_counted(a_fast_sender_is_held_back, &count);
}

/* Any mixture of calls gives the bytes in their order. */

static int sends_at_random(void *arg)
{
    struct task_stream *s = arg;
    struct random random = {test_seed_now() + 1000};
    char piece[3000];

    for (size_t sent = 0; sent < LARGE;) {
        size_t n =
            1 + random_below(&random, random_below(&random, 2) ? 8 : 3000);

        n = n > LARGE - sent ? LARGE - sent : n;
        fill_bytes(piece, n, sent);
        CHECK_STATUS(task_stream_write(s, piece, n), 0);
        sent += n;
        if (!random_below(&random, 4))
            CHECK_STATUS(task_sleep(1), 0);
    }
    return task_stream_write_eof(s);
}

/* One call at random; how many bytes it took, which have to be the next ones. */
static ssize_t take_some(struct task_stream *s, struct random *random,
                         size_t at)
{
    static char buf[40000];
    const char *data = buf;
    char separator[3];
    size_t n = random_below(random, random_below(random, 3) ? 10 : 40000);
    ssize_t result = 0;

    switch (random_below(random, 4)) {
    case 0:
        result = task_stream_read(s, buf, n);
        break;
    case 1:
        result = task_stream_read_exactly(s, buf, n);
        result = result ? result : (ssize_t)n;
        break;
    case 2:
        n = 1 + random_below(random, sizeof separator);
        fill_bytes(separator, n, at + random_below(random, 5000));
        result = task_stream_read_until(s, separator, n, &data);
        if (result > 0)
            CHECK(!memcmp(data + (size_t)result - n, separator, n));
        break;
    default:
        result = task_stream_read_line(s, &data);
        break;
    }
    if (result > 0)
        CHECK(are_bytes(data, (size_t)result, at));
    return result;
}

static int calls_in_any_mixture_give_the_bytes_in_order(void *arg)
{
    struct random random = {test_seed_now()};
    struct pair pair = random_below(&random, 2) ? socket_pair() : pipe_pair();
    struct task *task = task_create(sends_at_random, pair.b);
    size_t at = 0;

    (void)arg;
    CHECK_STATUS(task_stream_set_limit(pair.a, LARGE), 0);
    for (ssize_t n = 0; !task_stream_at_eof(pair.a);
         at += n > 0 ? (size_t)n : 0)
        n = take_some(pair.a, &random, at);
    CHECK_STATUS(at, LARGE);
    CHECK_STATUS(task_await(task), 0);
    close_pair(pair);
    return 0;
}

/* A reader that never has to wait lets the others run. */

static int counts_turns(void *arg)
{
    while (!task_yield())
        ++*(int *)arg;
    return 0;
}

static int a_fast_reader_lets_others_run(void *arg)
{
    int zero = open("/dev/zero", O_RDONLY);
    struct task_stream *s = task_stream_open(zero);
    int n = 0;
    struct task *other = start(counts_turns, &n);

    (void)arg;
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(task_stream_read_exactly(s, large, 10000), 0);
    CHECK(n >= 10);
    CHECK_STATUS(task_cancel_await(other), 0);
    CHECK_STATUS(task_stream_close(s), 0);
    return 0;
}

/* Cancelled anywhere, nothing leaks and nothing is lost. */

static int reads_in_every_way(void *arg)
{
    struct pair pair = socket_pair();
    struct task *writer = task_create(writes_large, pair.b);
    const char *data;
    char buf[100];
    int status = task_stream_read_exactly(pair.a, buf, sizeof buf);

    (void)arg;
    if (status >= 0)
        status = (int)task_stream_read_until(pair.a, "\x01\x02\x03", 3, &data);
    if (status >= 0)
        status = (int)task_stream_read_line(pair.a, &data);
    if (status >= 0)
        status = task_stream_read_exactly(pair.a, large, 100000);
    if (status >= 0)
        status = (int)task_stream_read(pair.a, buf, sizeof buf);
    task_cancel_await(writer);
    task_stream_abort(pair.b);
    task_stream_abort(pair.a);
    return status;
}

static void readers_may_be_cancelled_anywhere(void **state)
{
    (void)state;
    assert_true(cancel_at_every_point(reads_in_every_way, NULL, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_streams(a_read_gives_what_there_is),
        in_streams(a_read_of_nothing_returns_at_once),
        in_streams(the_end_is_told_again_and_again),
        in_streams(the_end_wakes_whoever_waits),
        behaviour_of_streams(large_reads_take_no_memory),
        behaviour_of_streams(an_error_is_of_the_thread_that_runs_now),
        behaviour_of_streams(idle_streams_hold_no_buffers),
        in_streams(a_second_reader_is_refused),
        in_streams(a_reader_beside_the_stream_is_found_out),
        in_streams(a_cancelled_read_loses_no_byte),
        in_streams(bytes_before_the_request_are_delivered),
        in_streams(bytes_after_the_request_stay),
        in_streams(a_waiting_request_comes_before_bytes_that_are_there),
        in_streams(a_read_in_a_timeout_loses_no_byte),
        in_streams(an_error_wakes_the_reader_and_stays),
        in_streams(what_came_before_an_error_is_read_first),
        in_streams(an_error_that_writing_has_met_is_told_to_readers),
        in_streams(an_error_that_sending_has_met_is_told_to_readers),
        in_streams(an_end_that_came_before_an_error_stays_one),
        in_streams(a_reader_whose_request_came_first_does_not_meet_the_error),
        behaviour_of_streams(an_error_that_stays_does_not_make_the_loop_spin),
        in_streams(what_is_not_open_for_reading_says_so),
        in_streams(exactly_waits_for_all),
        in_streams(exactly_at_the_end_leaves_what_came),
        in_streams(exactly_may_be_more_than_the_limit),
        in_streams(a_large_exactly_at_the_end_leaves_what_came),
        in_streams(a_large_exactly_that_is_cancelled_loses_no_byte),
        in_streams(a_separator_is_found_wherever_it_is_split),
        in_streams(a_separator_may_come_byte_by_byte),
        in_streams(until_at_the_end_leaves_what_came),
        in_streams(an_empty_separator_is_refused),
        in_streams(until_at_the_limit_is_fine),
        in_streams(until_beyond_the_limit_does_not_wait),
        in_streams(lines_are_read_one_by_one),
        in_streams(a_line_is_in_place_until_the_next_read),
        in_streams(a_line_at_the_limit_is_fine),
        in_streams(a_line_too_long_without_its_newline_clears_the_buffer),
        in_streams(a_line_too_long_is_dropped_as_far_as_it_has_arrived),
        in_streams(a_line_too_long_at_the_end_is_dropped),
        in_streams(a_line_may_be_longer_than_a_block),
        behaviour_of_streams(memory_is_bounded_with_a_fast_sender),
        in_main_seeded(calls_in_any_mixture_give_the_bytes_in_order),
        in_streams(a_fast_reader_lets_others_run),
        behaviour_of_streams(readers_may_be_cancelled_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
