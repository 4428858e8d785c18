/* Reading and writing, waiting and closing: io.h. */
#include "everywhere.h"

#include "bodies.h"
#include "cancel_points.h"
#include "child.h"
#include "loop.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/net_tstamp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* What can be read from and written to; pair[0] is read from. */
static void (*const WAYS[])(int pair[2]) = {make_local, make_tcp, make_pipe};

enum { N_WAYS = 3 };

/* For each way, blocking and not. */
static int each_pair(int (*fn)(int pair[2]))
{
    int status = 0;

    for (int i = 0; i < 2 * N_WAYS && !status; i++) {
        int pair[2];

        WAYS[i / 2](pair);
        if (i % 2) {
            unblock(pair[0]);
            unblock(pair[1]);
        }
        status = fn(pair);
        task_close(pair[0]);
        task_close(pair[1]);
    }
    return status;
}

/* Let the kernel and the loop do what they have to. */
static void let_run(void)
{
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(is_real() ? task_sleep(TASK_MILLISECOND) : task_yield(),
                     0);
}

/* Until the only other task has been woken; it has not run yet. */
static void let_it_be_woken(void)
{
    while (!stats().ready)
        CHECK_STATUS(task_yield(), 0);
}

/* Reading. */

static int read_in_turn(int pair[2])
{
    struct task *reader = start(reads, &pair[0]);

    record("main");
    put(pair[1], "ab");
    CHECK_STATUS(task_await(reader), 2);
    put(pair[1], "cde");
    CHECK_STATUS(reads(&pair[0]), 3);
    reader = start(reads, &pair[0]);
    put(pair[1], "f");
    CHECK_STATUS(task_await(reader), 1);
    CHECK_RECORD("main, read 2 ab, read 3 cde, read 1 f");
    return 0;
}

static int a_reader_waits_and_others_run(void *arg)
{
    (void)arg;
    return each_pair(read_in_turn);
}

static int read_to_the_end(int pair[2])
{
    struct task *reader;

    put(pair[1], "ab");
    CHECK_STATUS(reads(&pair[0]), 2);
    reader = start(reads, &pair[0]);
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(task_await(reader), 0);
    CHECK_STATUS(reads(&pair[0]), 0);
    CHECK_RECORD("read 2 ab, read 0 , read 0 ");
    return 0;
}

static int the_end_is_read_again_and_again(void *arg)
{
    (void)arg;
    return each_pair(read_to_the_end);
}

/*
 * A short read has drained a socket, so that the next one waits without asking.
 * The end may have come by then, before or behind what was read.
 */
enum moment {
    BEFORE_THE_FIRST_WAIT,
    BEHIND_DATA,
    BEHIND_DATA_WATCHED,
    AFTER_A_LOOK,
    AFTER_THE_READ,
    N_MOMENTS
};

static void end_at(int pair[2], enum moment moment, enum moment now)
{
    if (moment == now)
        CHECK_STATUS(task_close(pair[1]), 0);
}

static int find_the_end(int pair[2], enum moment moment)
{
    struct task *reader = NULL;

    if (moment != BEFORE_THE_FIRST_WAIT)
        reader = start(reads, &pair[0]);
    put(pair[1], "ab");
    end_at(pair, moment, BEFORE_THE_FIRST_WAIT);
    end_at(pair, moment, BEHIND_DATA);
    if (reader)
        CHECK_STATUS(task_await(reader), 2);
    else
        CHECK_STATUS(reads(&pair[0]), 2);
    if (moment != BEFORE_THE_FIRST_WAIT && moment != BEHIND_DATA) {
        put(pair[1], "cd");
        end_at(pair, moment, BEHIND_DATA_WATCHED);
        if (moment == AFTER_A_LOOK)
            let_run();
        end_at(pair, moment, AFTER_A_LOOK);
        CHECK_STATUS(reads(&pair[0]), 2);
        end_at(pair, moment, AFTER_THE_READ);
    }
    CHECK_STATUS(reads(&pair[0]), 0);
    record_clear();
    return 0;
}

static int find_the_end_at_each_moment(int pair[2])
{
    static enum moment moment;

    find_the_end(pair, moment);
    moment = (moment + 1) % N_MOMENTS;
    return 0;
}

static int the_end_right_behind_data_is_found(void *arg)
{
    (void)arg;
    for (int i = 0; i < N_MOMENTS; i++)
        CHECK_STATUS(each_pair(find_the_end_at_each_moment), 0);
    return 0;
}

static int meet_half_an_end(int pair[2])
{
    struct task *reader = start(reads, &pair[0]);

    CHECK_STATUS(shutdown(pair[1], SHUT_WR), 0);
    CHECK_STATUS(task_await(reader), 0);
    CHECK_STATUS(task_write(pair[0], "x", 1), 1);
    take(pair[1], "x");
    CHECK_RECORD("read 0 ");
    return 0;
}

static int half_closed_it_can_be_written_to(void *arg)
{
    int pair[2];

    (void)arg;
    for (int i = 0; i < 2; i++) {
        WAYS[i](pair);
        meet_half_an_end(pair);
        close_both(pair);
    }
    return 0;
}

/* A local stream reads no further than to descriptors that were sent with it. */
static void send_with_descriptor(int fd, const char *bytes, int sent)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {text(bytes), strlen(bytes)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};

    memset(&control, 0, sizeof control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof sent);
    memcpy(CMSG_DATA(&control.header), &sent, sizeof sent);
    CHECK_STATUS(sendmsg(fd, &message, 0), (ssize_t)strlen(bytes));
}

static int more_may_lie_behind_what_was_sent_along(void *arg)
{
    int pair[2];
    struct task *reader;
    uint64_t polls;

    (void)arg;
    make_local(pair);
    reader = start(reads, &pair[0]);
    send_with_descriptor(pair[1], "ab", pair[1]);
    put(pair[1], "cd");
    CHECK_STATUS(task_await(reader), 2);
    polls = stats().polls;
    CHECK_STATUS(reads(&pair[0]), 2);
    CHECK_STATUS(stats().polls - polls, 0); /* it did not wait */
    send_with_descriptor(pair[1], "ef", pair[1]);
    put(pair[1], "gh");
    let_run();
    CHECK_STATUS(reads(&pair[0]), 2);
    polls = stats().polls;
    CHECK_STATUS(reads(&pair[0]), 2);
    CHECK_STATUS(stats().polls - polls, 0);
    CHECK_RECORD("read 2 ab, read 2 cd, read 2 ef, read 2 gh");
    close_both(pair);
    return 0;
}

static int more_may_lie_behind_urgent_data(void *arg)
{
    int pair[2];
    struct task *reader;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        make_tcp(pair);
        reader = start(reads, &pair[0]);
        put(pair[1], "ab");
        if (i)
            CHECK_STATUS(task_await(reader), 2);
        CHECK_STATUS(send(pair[1], "!", 1, MSG_OOB), 1);
        put(pair[1], "cd");
        if (!i)
            CHECK_STATUS(task_await(reader), 2);
        CHECK_STATUS(reads(&pair[0]), 2);
        CHECK_RECORD("read 2 ab, read 2 cd");
        close_both(pair);
    }
    return 0;
}

/* Others. */

static int be_refused(int pair[2])
{
    struct task *first = start(reads, &pair[0]);
    char byte;

    CHECK_STATUS(task_read(pair[0], &byte, 1), -EBUSY);
    CHECK_STATUS(task_read_full(pair[0], &byte, 1), -EBUSY);
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN), -EBUSY);
    put(pair[1], "a");
    CHECK_STATUS(task_read(pair[0], &byte, 1), -EBUSY);
    CHECK_STATUS(task_await(first), 1);
    fill(pair[1]);
    first = start(writes, &pair[1]);
    CHECK_STATUS(task_write(pair[1], &byte, 1), -EBUSY);
    CHECK_STATUS(task_write_all(pair[1], &byte, 1), -EBUSY);
    CHECK_STATUS(task_wait_fd(pair[1], POLLOUT), -EBUSY);
    CHECK_STATUS(task_cancel_await(first), -ECANCELED);
    CHECK_RECORD("read 1 a, wrote -125");
    return 0;
}

static int a_second_of_a_kind_is_refused(void *arg)
{
    (void)arg;
    return each_pair(be_refused);
}

static int reader_and_writer_wait_side_by_side(void *arg)
{
    int pair[2];

    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct task *reader;
        struct task *writer;
        char block[1 << 12];
        size_t n;

        WAYS[i](pair);
        n = fill(pair[0]);
        reader = start(reads, &pair[0]);
        writer = start(writes, &pair[0]);
        CHECK_STATUS(stats().watched_fds, 1);
        put(pair[1], "a");
        CHECK_STATUS(task_await(reader), 1);
        while (n) {
            ssize_t some =
                task_read(pair[1], block, n < sizeof block ? n : sizeof block);

            CHECK(some > 0);
            n -= (size_t)some;
        }
        CHECK_STATUS(task_await(writer), 1);
        CHECK_RECORD("read 1 a, wrote 1");
        close_both(pair);
    }
    return 0;
}

/* Closing. */

static int close_under_a_reader(int pair[2])
{
    struct task *reader = start(reads, &pair[0]);
    struct task *writer;
    int other = dup(pair[0]);

    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_await(reader), -EBADF);
    fill(pair[1]);
    writer = start(writes, &pair[1]);
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(task_close(pair[1]), -EBADF);
    CHECK_STATUS(task_await(writer), -EBADF);
    CHECK_STATUS(task_read(pair[0], pair, 1), -EBADF);
    CHECK_STATUS(task_write(pair[1], pair, 1), -EBADF);
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN), -EBADF);
    CHECK_RECORD("read -9 , wrote -9");
    CHECK_STATUS(task_close(other), 0);
    return 0;
}

static int closing_wakes_whoever_waits(void *arg)
{
    (void)arg;
    return each_pair(close_under_a_reader);
}

/* The reader has been woken, and before it runs its number is another file's. */
static int reuse_its_number(int pair[2])
{
    struct task *reader = start(reads, &pair[0]);
    int again[2];

    put(pair[1], "ab");
    let_it_be_woken();
    CHECK_STATUS(task_close(pair[0]), 0);
    make_local_at(pair[0], again);
    put(again[1], "new");
    CHECK_STATUS(task_await(reader), -EBADF);
    CHECK_STATUS(reads(&again[0]), 3);
    CHECK_RECORD("read -9 , read 3 new");
    CHECK_STATUS(task_close(again[1]), 0);
    return 0;
}

static int a_number_may_be_reused_before_the_reader_runs(void *arg)
{
    (void)arg;
    return each_pair(reuse_its_number);
}

/* All of many reads have something at once; each 64th lets the others run. */
static int close_between_reads(void *arg)
{
    int *pair = arg;
    int again[2];

    CHECK_STATUS(task_close(pair[0]), 0);
    make_local_at(pair[0], again);
    put(again[1], "new");
    pair[2] = again[1];
    return 0;
}

static int a_number_may_be_reused_while_the_reader_lets_others_run(void *arg)
{
    static const char bytes[256];
    int pair[3];
    struct task *closer;
    ssize_t n;
    char byte;

    (void)arg;
    make_local(pair);
    CHECK_STATUS(write(pair[1], bytes, sizeof bytes), sizeof bytes);
    closer = task_create(close_between_reads, pair);
    do
        n = task_read(pair[0], &byte, 1);
    while (n == 1 && !task_done(closer));
    CHECK_STATUS(n, -EBADF);
    CHECK_STATUS(task_await(closer), 0);
    CHECK_STATUS(reads(&pair[0]), 3);
    CHECK_RECORD("read 3 new");
    CHECK_STATUS(task_close(pair[2]), 0);
    close_both(pair);
    return 0;
}

static void outside_a_task_there_is_only_closing(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    errno = EDOM;
    assert_int_equal(task_close(fds[0]), 0);
    assert_int_equal(task_close(fds[0]), -EBADF);
    assert_int_equal(task_close(fds[1]), 0);
    assert_int_equal(task_close(-1), -EBADF);
    assert_int_equal(task_read(0, fds, 1), -EPERM);
    assert_int_equal(task_write(1, fds, 1), -EPERM);
    assert_int_equal(task_wait_fd(0, POLLIN), -EPERM);
    assert_int_equal(task_pread(0, fds, 1, 0), -EPERM);
    assert_int_equal(errno, EDOM);
}

static int closes(void *arg)
{
    return task_close(*(int *)arg);
}

static int a_waiting_request_does_not_keep_it_open(void *arg)
{
    int pair[2];
    struct task *task;

    (void)arg;
    make_pipe(pair);
    task = task_create(closes, &pair[0]);
    task_cancel(task);
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(task_close(pair[0]), -EBADF);
    CHECK_STATUS(task_close(pair[1]), 0);
    return 0;
}

/* Cancelling. */

static int cancel_and_read_again(int pair[2])
{
    struct task *reader = start(reads, &pair[0]);

    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    CHECK_STATUS(stats().watched_fds, 0);
    put(pair[1], "ab");
    CHECK_STATUS(reads(&pair[0]), 2);
    reader = start(reads, &pair[0]);
    task_cancel(reader);
    put(pair[1], "cd");
    CHECK_STATUS(task_await(reader), -ECANCELED);
    CHECK_STATUS(reads(&pair[0]), 2);
    CHECK_RECORD("read -125 , read 2 ab, read -125 , read 2 cd");
    return 0;
}

static int a_cancelled_reader_takes_nothing(void *arg)
{
    (void)arg;
    return each_pair(cancel_and_read_again);
}

/* Nobody waits for the descriptor when it becomes readable, and the loop sleeps. */
static int read_after_a_sleep(int pair[2])
{
    struct task *reader = start(reads, &pair[0]);

    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    put(pair[1], "ab");
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    reader = start(reads, &pair[0]);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(reader));
    CHECK_STATUS(task_await(reader), 2);
    CHECK_RECORD("read -125 , read 2 ab");
    return 0;
}

static int sleep_and_read(void *arg)
{
    (void)arg;
    return each_pair(read_after_a_sleep);
}

static void what_comes_while_the_loop_sleeps_is_there(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    if (options.backend == LOOP_BACKEND_POLL)
        skip(); /* it hears of what is waited for */
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(run_with(options, sleep_and_read, NULL), 0);
}

static int reads_twice(void *arg)
{
    reads(arg);
    return reads(arg);
}

/* The reader was woken, so it reads; what it was asked for comes next. */
static int cancel_behind_the_event(int pair[2])
{
    struct task *reader = start(reads_twice, &pair[0]);

    put(pair[1], "ab");
    let_it_be_woken();
    task_cancel(reader);
    CHECK_STATUS(task_await(reader), -ECANCELED);
    CHECK_RECORD("read 2 ab, read -125 ");
    return 0;
}

static int bytes_are_told_before_a_request(void *arg)
{
    (void)arg;
    return each_pair(cancel_behind_the_event);
}

/* What it was woken for is gone when it runs, and it was asked to end. */
static int rob_the_reader(int pair[2])
{
    struct task *reader = start(reads, &pair[0]);

    put(pair[1], "ab");
    let_it_be_woken();
    take(pair[0], "ab");
    task_cancel(reader);
    CHECK_STATUS(task_await(reader), -ECANCELED);
    reader = start(reads, &pair[0]);
    put(pair[1], "cd");
    let_it_be_woken();
    take(pair[0], "cd");
    let_run();
    put(pair[1], "ef");
    CHECK_STATUS(task_await(reader), 2);
    CHECK_RECORD("read -125 , read 2 ef");
    return 0;
}

static int a_reader_woken_in_vain_hears_of_a_request(void *arg)
{
    (void)arg;
    return each_pair(rob_the_reader);
}

static struct {
    const struct descriptor *descriptor;
    const struct poller_backend *backend;
    bool was_doubtful;
} watched;

static int watch_and_note(struct poller *poller, struct descriptor *descriptor)
{
    if (descriptor == watched.descriptor)
        watched.was_doubtful |= descriptor->is_doubtful;
    return watched.backend->watch(poller, descriptor);
}

/* Until the ready ones have run: whether the descriptor is watched as doubtful. */
static bool is_doubted_when_they_run(int fd)
{
    struct poller *poller = loop_current()->poller;
    struct poller_backend backend = *poller->backend;

    watched.descriptor = descriptors_find(&poller->descriptors, fd);
    watched.backend = poller->backend;
    watched.was_doubtful = false;
    backend.watch = watch_and_note;
    poller->backend = &backend;
    let_run();
    poller->backend = watched.backend;
    return watched.was_doubtful;
}

static int waits_for_urgent_bytes(void *arg)
{
    return task_wait_fd(*(int *)arg, POLLPRI);
}

/* As above; whether or not others wait, the event may have been another file's. */
static int an_event_in_vain_is_doubted(void *arg)
{
    (void)arg;
    for (int with_another = 0; with_another < 2; with_another++) {
        struct task *reader;
        struct task *other = NULL;
        int pair[2];

        make_tcp(pair);
        reader = start(reads_twice, &pair[0]);
        put(pair[1], "ab");
        let_it_be_woken();
        let_run();
        if (with_another)
            other = start(waits_for_urgent_bytes, &pair[0]);
        put(pair[1], "cd");
        let_it_be_woken();
        take(pair[0], "cd");
        CHECK(is_doubted_when_they_run(pair[0]));
        put(pair[1], "ef");
        CHECK_STATUS(task_await(reader), 2);
        CHECK_RECORD("read 2 ab, read 2 ef");
        if (other) {
            task_cancel(other);
            CHECK_STATUS(task_await(other), -ECANCELED);
        }
        close_both(pair);
    }
    return 0;
}

/* A time stamp of what was sent waits in the socket's error queue, and as long as
 * it does the kernel tells of an error. */
static int an_error_that_stays_does_not_make_the_loop_spin(void *arg)
{
    int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    int pair[2];
    struct task *reader;
    uint64_t polls;
    task_time start_time;

    (void)arg;
    if (!is_real())
        return 0;
    make_tcp(pair);
    reader = start(reads, &pair[0]);
    CHECK_STATUS(
        setsockopt(pair[0], SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags),
        0);
    put(pair[0], "x");
    CHECK_STATUS(poll(&(struct pollfd){.fd = pair[0]}, 1, 0), 1);
    polls = stats().polls;
    start_time = loop_time();
    CHECK_STATUS(task_sleep(20 * TASK_MILLISECOND), 0);
    CHECK(stats().polls - polls <=
          20 + (uint64_t)((loop_time() - start_time) / TASK_MILLISECOND));
    put(pair[1], "ab");
    CHECK_STATUS(task_await(reader), 2);
    CHECK_RECORD("read 2 ab");
    close_both(pair);
    return 0;
}

static int reads_for_a_second(void *arg)
{
    struct task_timeout timeout;

    task_timeout_begin(&timeout, TASK_SECOND);
    return task_timeout_end(&timeout, reads(arg));
}

static int a_reader_may_be_timed_out(void *arg)
{
    int pair[2];
    struct task *reader;

    (void)arg;
    if (is_real())
        return 0;
    for (int i = 0; i < N_WAYS; i++) {
        WAYS[i](pair);
        reader = start(reads_for_a_second, &pair[0]);
        CHECK_STATUS(task_await(reader), -ETIMEDOUT);
        reader = start(reads_for_a_second, &pair[0]);
        put(pair[1], "ab");
        CHECK_STATUS(task_await(reader), 2);
        CHECK_RECORD("read -125 , read 2 ab");
        close_both(pair);
    }
    return 0;
}

/* In one look descriptors come first, so what is there then is read. */
static void put_a_byte(void *arg)
{
    put(*(int *)arg, "a");
}

static int what_is_there_at_a_time_out_is_read(void *arg)
{
    int pair[2];
    struct task *reader;

    (void)arg;
    if (is_real())
        return 0;
    for (int i = 0; i < N_WAYS; i++) {
        for (int late = 0; late < 2; late++) {
            WAYS[i](pair);
            CHECK(loop_call_later(TASK_SECOND - 1 + late, put_a_byte,
                                  &pair[1]) > 0);
            reader = start(reads_for_a_second, &pair[0]);
            CHECK_STATUS(task_await(reader), late ? -ETIMEDOUT : 1);
            record_clear();
            close_both(pair);
        }
    }
    return 0;
}

/* Writing. */

static int write_when_there_is_room(int pair[2])
{
    char block[1 << 12];
    size_t n = fill(pair[1]);
    struct task *writer = start(writes, &pair[1]);

    record("main");
    while (n) {
        ssize_t some =
            task_read(pair[0], block, n < sizeof block ? n : sizeof block);

        CHECK(some > 0);
        n -= (size_t)some;
    }
    CHECK_STATUS(task_await(writer), 1);
    take(pair[0], "x");
    CHECK_RECORD("main, wrote 1");
    return 0;
}

static int a_writer_waits_for_room(void *arg)
{
    (void)arg;
    return each_pair(write_when_there_is_room);
}

static int write_to_nobody(int pair[2])
{
    ssize_t n = 1;

    CHECK_STATUS(task_close(pair[0]), 0);
    for (int i = 0; i < 10 && n == 1; i++)
        n = task_write(pair[1], "x", 1); /* the first one may meet a reset */
    CHECK(n == -EPIPE || n == -ECONNRESET);
    CHECK_STATUS(task_write(pair[1], "x", 1), -EPIPE);
    CHECK_STATUS(task_writev(pair[1], &(struct iovec){text("x"), 1}, 1),
                 -EPIPE);
    CHECK_STATUS(task_write_all(pair[1], "x", 1), -EPIPE);
    return 0;
}

static int writes_to_nobody(void *arg)
{
    (void)arg;
    return each_pair(write_to_nobody);
}

static void run_writes_to_nobody(void *arg)
{
    signal(SIGPIPE, SIG_DFL);
    if (run_with(*(struct loop_options *)arg, writes_to_nobody, NULL) ||
        checks_failed())
        _exit(1);
}

static void a_broken_pipe_is_an_error_and_no_signal(void **state)
{
    struct loop_options options = test_options(NULL);
    int status;

    (void)state;
    for (int i = 0; i < 2; i++) {
        options.clock = i ? LOOP_CLOCK_REAL : LOOP_CLOCK_VIRTUAL;
        status = child_run(run_writes_to_nobody, &options);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* All of it. */

enum { LARGE = 3 << 20 };

struct bulk {
    int fd;
    char *bytes;
    size_t n;
};

static int writes_bulk(void *arg)
{
    struct bulk *bulk = arg;

    return (int)task_write_all(bulk->fd, bulk->bytes, bulk->n);
}

static int reads_bulk(void *arg)
{
    struct bulk *bulk = arg;

    return (int)task_read_full(bulk->fd, bulk->bytes, bulk->n);
}

static void fill_in(char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 7 + i / 251);
}

/* LARGE bytes to send, made once. */
static char *much(void)
{
    static char bytes[LARGE];
    static bool is_made;

    if (!is_made)
        fill_in(bytes, LARGE);
    is_made = true;
    return bytes;
}

static int move_bulk(int pair[2])
{
    static char got[LARGE];
    struct bulk from = {pair[1], much(), LARGE};
    struct bulk to = {pair[0], got, LARGE};
    struct task *writer;

    memset(got, 0, LARGE);
    writer = start(writes_bulk, &from);
    CHECK_STATUS(reads_bulk(&to), LARGE);
    CHECK_STATUS(task_await(writer), LARGE);
    CHECK(!memcmp(much(), got, LARGE));
    return 0;
}

static int all_of_much_is_moved(void *arg)
{
    (void)arg;
    return each_pair(move_bulk);
}

static int end_too_early(int pair[2])
{
    char buf[8];

    put(pair[1], "abc");
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(task_read_full(pair[0], buf, 8), 3);
    CHECK_STATUS(task_read_full(pair[0], buf, 8), 0);
    return 0;
}

static int a_full_read_tells_how_much_came_before_the_end(void *arg)
{
    (void)arg;
    return each_pair(end_too_early);
}

static int stopped;

static int reads_in_full(void *arg)
{
    char buf[8];
    int n = (int)task_read_full(*(int *)arg, buf, 8);

    stopped = task_yield();
    return n;
}

static int cancel_a_full_read(int pair[2])
{
    struct task *reader = start(reads_in_full, &pair[0]);

    put(pair[1], "abc");
    let_run();
    task_cancel(reader);
    CHECK_STATUS(task_await(reader), 3);
    CHECK_STATUS(stopped, -ECANCELED);
    reader = start(reads_in_full, &pair[0]);
    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    CHECK_STATUS(stopped, 0);
    reader = start(reads_in_full, &pair[0]);
    put(pair[1], "abc");
    let_it_be_woken();
    task_cancel(reader);
    CHECK_STATUS(task_await(reader), 3);
    CHECK_STATUS(stopped, -ECANCELED);
    return 0;
}

static int a_cancelled_full_read_tells_what_it_has(void *arg)
{
    (void)arg;
    return each_pair(cancel_a_full_read);
}

static int writes_in_full(void *arg)
{
    int n = writes_bulk(arg);

    stopped = task_yield();
    return n;
}

static int cancel_a_full_write(int pair[2])
{
    static char got[LARGE];
    struct bulk bulk = {pair[1], much(), LARGE};
    struct task *writer;
    int n;

    writer = start(writes_in_full, &bulk);
    let_run();
    task_cancel(writer);
    n = task_await(writer);
    CHECK(n > 0 && n < LARGE);
    CHECK_STATUS(stopped, -ECANCELED);
    bulk.bytes += n;
    bulk.n -= (size_t)n;
    writer = start(writes_in_full, &bulk);
    bulk = (struct bulk){pair[0], got, LARGE};
    CHECK_STATUS(task_read_full(pair[0], got, (size_t)n), n);
    CHECK_STATUS(task_read_full(pair[0], got + n, LARGE - (size_t)n),
                 LARGE - n);
    CHECK_STATUS(task_await(writer), LARGE - n);
    CHECK(!memcmp(much(), got, LARGE));
    return 0;
}

static int a_cancelled_full_write_can_be_gone_on_with(void *arg)
{
    (void)arg;
    return each_pair(cancel_a_full_write);
}

static int reads_pieces(void *arg)
{
    struct bulk *bulk = arg;
    int n = (int)task_read_full(bulk->fd, bulk->bytes, bulk->n);

    record("read %d, then %d", n > 0, task_yield());
    return n;
}

/* A seqpacket gives a record at a time, so that a full read of many never has to
 * wait, and lets others run after 64. */
static int a_request_in_the_middle_of_a_full_read_comes_next(void *arg)
{
    int pair[2];
    char buf[100];
    struct bulk bulk = {.bytes = buf, .n = sizeof buf};
    struct task *reader;

    (void)arg;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
                 0);
    bulk.fd = pair[0];
    for (size_t i = 0; i < sizeof buf; i++)
        put(pair[1], "a");
    reader = start(reads_pieces, &bulk);
    CHECK(!task_done(reader));
    task_cancel(reader);
    CHECK(task_await(reader) > 0);
    CHECK_RECORD("read 1, then -125");
    close_both(pair);
    return 0;
}

static int an_error_behind_some_bytes_comes_next(void *arg)
{
    struct linger at_once = {.l_onoff = 1};
    int pair[2];
    char buf[8];
    struct bulk bulk = {.bytes = buf, .n = sizeof buf};

    (void)arg;
    for (int way = 0; way < 3; way++) {
        struct task *reader;

        make_tcp(pair);
        bulk.fd = pair[0];
        reader = start(reads_bulk, &bulk);
        put(pair[1], "abc");
        let_run();
        CHECK_STATUS(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &at_once,
                                sizeof at_once),
                     0);
        CHECK_STATUS(task_close(pair[1]), 0);
        CHECK_STATUS(task_await(reader), 3);
        if (way == 0)
            CHECK_STATUS(task_read(pair[0], buf, 1), -ECONNRESET);
        else if (way == 1)
            CHECK_STATUS(task_recv(pair[0], buf, 1, 0), -ECONNRESET);
        else
            CHECK_STATUS(task_read_full(pair[0], buf, 1), -ECONNRESET);
        CHECK_STATUS(task_read(pair[0], buf, 1), 0);
        CHECK_STATUS(task_close(pair[0]), 0);
    }
    return 0;
}

/* Nor does it become that of the next file which has the number. */
static int an_error_stays_with_its_file(void *arg)
{
    struct linger at_once = {.l_onoff = 1};
    char buf[8];
    struct bulk bulk = {.bytes = buf, .n = sizeof buf};
    int pair[2];
    int again[2];
    struct task *reader;

    (void)arg;
    make_tcp(pair);
    bulk.fd = pair[0];
    reader = start(reads_bulk, &bulk);
    put(pair[1], "abc");
    let_run();
    setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    CHECK_STATUS(task_close(pair[1]), 0);
    CHECK_STATUS(task_await(reader), 3);
    CHECK_STATUS(close(pair[0]), 0);
    make_local_at(pair[0], again);
    put(again[1], "new");
    CHECK_STATUS(reads(&again[0]), 3);
    CHECK_RECORD("read 3 new");
    close_both(again);
    return 0;
}

/* Parts, and none. */

static int many_parts_are_moved(void *arg)
{
    enum { N = IOV_MAX + 10 };

    static char from[N];
    static char to[N];
    static struct iovec parts[N];
    int pair[2];

    (void)arg;
    fill_in(from, N);
    for (int way = 0; way < N_WAYS; way++) {
        WAYS[way](pair);
        for (int i = 0; i < N; i++)
            parts[i] = (struct iovec){&from[i], 1};
        CHECK_STATUS(task_writev(pair[1], parts, N), IOV_MAX);
        CHECK_STATUS(task_write_all(pair[1], from + IOV_MAX, 10), 10);
        memset(to, 0, N);
        for (int i = 0; i < N; i++)
            parts[i] = (struct iovec){&to[i], 1};
        CHECK_STATUS(task_readv(pair[0], parts, N), IOV_MAX);
        CHECK_STATUS(task_readv(pair[0], parts + IOV_MAX, 10), 10);
        CHECK(!memcmp(from, to, N));
        for (int i = 0; i < IOV_MAX; i++) /* 0 would be the end */
            parts[i].iov_len = 0;
        CHECK_STATUS(task_writev(pair[1], parts, N), 10);
        CHECK_STATUS(task_readv(pair[0], parts, N), 10);
        CHECK_STATUS(task_readv(pair[0], parts, -1), -EINVAL);
        CHECK_STATUS(task_writev(pair[1], parts, -1), -EINVAL);
        close_both(pair);
    }
    return 0;
}

static int move_nothing(int pair[2])
{
    struct iovec none = {NULL, 0};
    struct task *reader = start(reads, &pair[0]);

    CHECK_STATUS(task_read(pair[0], NULL, 0), 0);
    CHECK_STATUS(task_write(pair[1], NULL, 0), 0);
    CHECK_STATUS(task_readv(pair[0], NULL, 0), 0);
    CHECK_STATUS(task_readv(pair[0], &none, 1), 0);
    CHECK_STATUS(task_writev(pair[1], &none, 1), 0);
    CHECK_STATUS(task_read_full(pair[0], NULL, 0), 0);
    CHECK_STATUS(task_write_all(pair[1], NULL, 0), 0);
    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    CHECK_STATUS(task_read(-1, NULL, 0), -EBADF);
    CHECK_STATUS(task_write_all(-1, NULL, 0), -EBADF);
    CHECK_RECORD("read -125 ");
    return 0;
}

static int moves_nothing(void *arg)
{
    int *fd = arg;

    CHECK_STATUS(task_read(*fd, NULL, 0), -ECANCELED);
    return (int)task_read(*fd, NULL, 0);
}

static int nothing_is_moved_at_once_and_is_a_checkpoint(void *arg)
{
    int pair[2];
    struct task *task;

    (void)arg;
    CHECK_STATUS(each_pair(move_nothing), 0);
    make_pipe(pair);
    task = task_create(moves_nothing, &pair[0]);
    task_cancel(task);
    CHECK_STATUS(task_await(task), 0);
    close_both(pair);
    return 0;
}

static int a_waiting_request_comes_before_bytes(int pair[2])
{
    struct task *task = task_create(reads_twice, &pair[0]);

    put(pair[1], "ab");
    task_cancel(task);
    CHECK_STATUS(task_await(task), 2);
    CHECK_RECORD("read -125 , read 2 ab");
    return 0;
}

static int a_request_is_heard_before_anything_is_moved(void *arg)
{
    (void)arg;
    return each_pair(a_waiting_request_comes_before_bytes);
}

static int errors_leave_errno_alone(int pair[2])
{
    char byte = 0;
    struct task *reader = start(reads, &pair[0]);

    errno = EDOM;
    CHECK_STATUS(task_read(pair[0], &byte, 1), -EBUSY);
    CHECK_STATUS(task_write(pair[1], "a", 1), 1);
    CHECK_STATUS(task_await(reader), 1);
    CHECK_STATUS(task_read(-1, &byte, 1), -EBADF);
    CHECK_STATUS(task_read(1 << 20, &byte, 1), -EBADF);
    CHECK_STATUS(task_pread(pair[0], &byte, 1, 0), -ESPIPE);
    CHECK_STATUS(task_pwrite(pair[1], &byte, 1, 0), -ESPIPE);
    CHECK_STATUS(task_wait_fd(-1, POLLIN), -EBADF);
    CHECK_STATUS(task_close(-1), -EBADF);
    CHECK_STATUS(errno, EDOM);
    CHECK_RECORD("read 1 a");
    return 0;
}

static int errno_is_left_alone(void *arg)
{
    (void)arg;
    return each_pair(errors_leave_errno_alone);
}

/* What else there is. */

static int files_are_read_and_written(void *arg)
{
    int fd = make_file("abc");
    char buf[8];

    (void)arg;
    CHECK_STATUS(task_wait_fd(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_STATUS(task_wait_fd(fd, POLLOUT), POLLOUT);
    CHECK_STATUS(task_wait_fd(fd, POLLPRI), -EOPNOTSUPP);
    CHECK_STATUS(task_wait_fd(fd, POLLERR | POLLHUP), -EOPNOTSUPP);
    CHECK_STATUS(task_wait_fd(fd, 0), -EOPNOTSUPP);
    CHECK_STATUS(reads(&fd), 3);
    CHECK_STATUS(reads(&fd), 0);
    CHECK_STATUS(task_write(fd, "def", 3), 3);
    CHECK_STATUS(task_write_all(fd, "gh", 2), 2);
    CHECK_STATUS(task_pread(fd, buf, 8, 1), 7);
    CHECK(!memcmp(buf, "bcdefgh", 7));
    CHECK_STATUS(task_pread(fd, buf, 8, 8), 0);
    CHECK_STATUS(task_pread(fd, buf, 8, 100), 0);
    CHECK_STATUS(task_pread(fd, buf, 8, -1), -EINVAL);
    CHECK_STATUS(task_pwrite(fd, "x", 1, -1), -EINVAL);
    CHECK_STATUS(task_pwrite(fd, "X", 1, 2), 1);
    CHECK_STATUS(lseek(fd, 0, SEEK_SET), 0);
    CHECK_STATUS(task_read_full(fd, buf, 8), 8);
    CHECK(!memcmp(buf, "abXdefgh", 8));
    CHECK_STATUS(task_read_full(fd, buf, 8), 0);
    CHECK_RECORD("read 3 abc, read 0 ");
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int folders_cannot_be_read(void *arg)
{
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char byte = 0;

    (void)arg;
    CHECK_STATUS(task_read(fd, &byte, 1), -EISDIR);
    CHECK_STATUS(task_write(fd, &byte, 1), -EBADF);
    CHECK_STATUS(task_wait_fd(fd, POLLIN), POLLIN);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int devices_are_read_and_written(void *arg)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    char buf[8] = "12345678";

    (void)arg;
    CHECK_STATUS(task_read(null, buf, 8), 0);
    CHECK_STATUS(task_write(null, buf, 8), 8);
    CHECK_STATUS(task_wait_fd(null, POLLIN), POLLIN);
    CHECK_STATUS(task_read(zero, buf, 8), 8);
    CHECK(!memcmp(buf, "\0\0\0\0\0\0\0\0", 8));
    CHECK_STATUS(task_read_full(zero, buf, 8), 8);
    CHECK_STATUS(task_write_all(zero, buf, 8), 8);
    CHECK_STATUS(task_wait_fd(zero, POLLOUT), POLLOUT);
    CHECK_STATUS(task_close(null), 0);
    CHECK_STATUS(task_close(zero), 0);
    return 0;
}

static int reads_a_count(void *arg)
{
    uint64_t count = 0;
    ssize_t n = task_read(*(int *)arg, &count, sizeof count);

    return n == sizeof count ? (int)count : (int)n;
}

static int event_descriptors_are_read_and_written(void *arg)
{
    uint64_t most = UINT64_MAX - 1;
    uint64_t one = 1;
    uint64_t count;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        int fd = eventfd(0, EFD_CLOEXEC | (i ? EFD_NONBLOCK : 0));
        struct task *reader = start(reads_a_count, &fd);

        CHECK_STATUS(task_write(fd, &one, sizeof one), 8);
        CHECK_STATUS(task_await(reader), 1);
        CHECK_STATUS(task_read(fd, &one, 4), -EINVAL);
        CHECK_STATUS(task_write(fd, &most, sizeof most), 8);
        CHECK_STATUS(task_wait_fd(fd, POLLIN), POLLIN);
        CHECK_STATUS(task_wait_fd(fd, POLLIN | POLLOUT), POLLIN);
        CHECK_STATUS(task_read(fd, &count, 8), 8);
        CHECK(count == most);
        CHECK_STATUS(task_wait_fd(fd, POLLIN | POLLOUT), POLLOUT);
        CHECK_STATUS(task_close(fd), 0);
    }
    return 0;
}

static int timers_are_read(void *arg)
{
    struct itimerspec once = {.it_value = {.tv_nsec = 1000000}};

    (void)arg;
    for (int i = 0; i < 2; i++) {
        int fd = timerfd_create(CLOCK_MONOTONIC,
                                TFD_CLOEXEC | (i ? TFD_NONBLOCK : 0));

        CHECK_STATUS(timerfd_settime(fd, 0, &once, NULL), 0);
        CHECK_STATUS(reads_a_count(&fd), 1);
        CHECK_STATUS(timerfd_settime(fd, 0, &once, NULL), 0);
        CHECK_STATUS(task_wait_fd(fd, POLLIN), POLLIN);
        CHECK_STATUS(reads_a_count(&fd), 1);
        CHECK_STATUS(task_close(fd), 0);
    }
    return 0;
}

static int reads_a_notice(void *arg)
{
    char buf[sizeof(struct inotify_event) + NAME_MAX + 1];

    return task_read(*(int *)arg, buf, sizeof buf) >=
           (ssize_t)sizeof(struct inotify_event);
}

static int notices_are_read(void *arg)
{
    char folder[] = "/tmp/task-test-XXXXXX";
    char file[64];
    struct task *reader;

    (void)arg;
    CHECK(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/file", folder);
    for (int i = 0; i < 2; i++) {
        int fd = inotify_init1(IN_CLOEXEC | (i ? IN_NONBLOCK : 0));

        CHECK(inotify_add_watch(fd, folder, IN_CREATE) >= 0);
        reader = start(reads_a_notice, &fd);
        CHECK_STATUS(close(open(file, O_CREAT | O_RDWR | O_CLOEXEC, 0600)), 0);
        CHECK_STATUS(unlink(file), 0);
        CHECK_STATUS(task_await(reader), 1);
        CHECK_STATUS(task_close(fd), 0);
    }
    CHECK_STATUS(rmdir(folder), 0);
    return 0;
}

static void make_terminal(int pair[2])
{
    struct termios raw;

    CHECK_STATUS(openpty(&pair[1], &pair[0], NULL, NULL, NULL), 0);
    CHECK_STATUS(tcgetattr(pair[0], &raw), 0);
    cfmakeraw(&raw);
    CHECK_STATUS(tcsetattr(pair[0], TCSANOW, &raw), 0);
}

static int terminals_are_read_and_written(void *arg)
{
    int pair[2];

    (void)arg;
    for (int i = 0; i < 2; i++) {
        make_terminal(pair);
        if (i) {
            unblock(pair[0]);
            unblock(pair[1]);
        }
        read_in_turn(pair);
        CHECK_STATUS(task_write(pair[0], "ab", 2), 2);
        CHECK_STATUS(reads(&pair[1]), 2);
        CHECK_RECORD("read 2 ab");
        CHECK_STATUS(!(fcntl(pair[0], F_GETFL) & O_NONBLOCK), !i);
        close_both(pair);
    }
    return 0;
}

/* It would wait for ten bytes, 2 s after each. */
static int a_terminal_that_waits_for_more_blocks_nobody(void *arg)
{
    int pair[2];
    struct termios patient;
    struct task *reader;
    struct timespec begin;
    struct timespec end;

    (void)arg;
    make_terminal(pair);
    CHECK_STATUS(tcgetattr(pair[0], &patient), 0);
    patient.c_cc[VMIN] = 10;
    patient.c_cc[VTIME] = 20;
    CHECK_STATUS(tcsetattr(pair[0], TCSANOW, &patient), 0);
    reader = start(reads, &pair[0]);
    let_run();
    clock_gettime(CLOCK_MONOTONIC, &begin);
    put(pair[1], "abc");
    CHECK_STATUS(task_await(reader), 3);
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK(end.tv_sec - begin.tv_sec < 2);
    CHECK_RECORD("read 3 abc");
    close_both(pair);
    return 0;
}

/* A terminal that is stopped takes some bytes, and then no more. */
static int a_stopped_terminal_blocks_nobody(void *arg)
{
    static char block[1 << 16];
    int pair[2];
    struct bulk bulk = {.bytes = block, .n = sizeof block};
    struct task *writer;
    size_t n = 0;

    (void)arg;
    make_terminal(pair);
    bulk.fd = pair[0];
    writer = start(writes_bulk, &bulk);
    while (n < sizeof block) {
        char buf[1 << 12];
        ssize_t some = task_read(pair[1], buf, sizeof buf);

        CHECK(some > 0);
        n += some > 0 ? (size_t)some : sizeof block;
    }
    CHECK_STATUS(task_await(writer), sizeof block);
    close_both(pair);
    return 0;
}

/* It writes a newline as two characters, for which it may have no room where it
 * has some for others. */
static int a_terminal_that_changes_newlines_blocks_nobody(void *arg)
{
    static char block[1 << 16];
    int pair[2];
    struct bulk bulk = {.bytes = block, .n = sizeof block};
    char line[5];
    struct termios modes;
    struct task *writer;
    size_t n = 0;

    (void)arg;
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = i % 2 ? '\n' : 'x';
    make_terminal(pair);
    CHECK_STATUS(tcgetattr(pair[0], &modes), 0);
    modes.c_oflag |= OPOST | ONLCR;
    CHECK_STATUS(tcsetattr(pair[0], TCSANOW, &modes), 0);
    CHECK_STATUS(task_write(pair[0], "a\tb\n", 4), 4);
    CHECK_STATUS(task_read_full(pair[1], line, 5), 5);
    CHECK(!memcmp(line, "a\tb\r\n", 5));
    bulk.fd = pair[0];
    writer = start(writes_bulk, &bulk);
    while (n < sizeof block / 2 * 3) {
        char buf[1 << 12];
        ssize_t some = task_read(pair[1], buf, sizeof buf);

        CHECK(some > 0);
        n += some > 0 ? (size_t)some : sizeof block;
    }
    CHECK_STATUS(n, sizeof block / 2 * 3);
    CHECK_STATUS(task_await(writer), sizeof block);
    close_both(pair);
    return 0;
}

/* There is some room in it, and then none for ever. */
static int a_terminal_that_nobody_reads_any_more_fails(void *arg)
{
    static char block[1 << 12];

    (void)arg;
    for (int i = 0; i < 2; i++) {
        ssize_t n = 1;
        int pair[2];

        make_terminal(pair);
        if (i)
            unblock(pair[1]);
        CHECK_STATUS(task_close(pair[0]), 0);
        for (int k = 0; k < 1000 && n > 0; k++)
            n = task_write(pair[1], block, sizeof block);
        CHECK_STATUS(n, -EIO);
        CHECK_STATUS(task_close(pair[1]), 0);
    }
    return 0;
}

/* Waiting. */

static int wait_for_what_is_there(int pair[2])
{
    CHECK_STATUS(task_wait_fd(pair[1], POLLOUT), POLLOUT);
    CHECK_STATUS(task_wait_fd(pair[1], POLLOUT | POLLERR | POLLHUP), POLLOUT);
    CHECK_STATUS(task_wait_fd(pair[1], POLLNVAL), -EINVAL);
    CHECK_STATUS(task_wait_fd(pair[1], 1 << 14), -EINVAL);
    put(pair[1], "ab");
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN), POLLIN);
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN), POLLIN);
    take(pair[0], "a");
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN), POLLIN);
    CHECK_STATUS(reads(&pair[0]), 1);
    CHECK_RECORD("read 1 b");
    return 0;
}

static int waits_for(void *arg)
{
    int *wait = arg;

    return task_wait_fd(wait[0], (short)wait[1]);
}

static int wait_for_what_comes(int pair[2])
{
    int in[] = {pair[0], POLLIN};
    int hang[] = {pair[0], 0};
    struct task *first = start(waits_for, in);
    struct task *second = start(waits_for, hang);
    int result;

    CHECK_STATUS(stats().watched_fds, 1);
    put(pair[1], "a");
    CHECK_STATUS(task_await(first), POLLIN);
    CHECK(!task_done(second));
    CHECK_STATUS(task_close(pair[1]), 0);
    result = task_wait_fd(pair[0], POLLIN);
    CHECK(result == POLLIN || result == (POLLIN | POLLHUP));
    if (task_done(second) || result & POLLHUP)
        CHECK_STATUS(task_await(second), POLLHUP);
    else
        CHECK_STATUS(task_cancel_await(second), -ECANCELED);
    return 0;
}

static int readiness_is_waited_for(void *arg)
{
    (void)arg;
    CHECK_STATUS(each_pair(wait_for_what_is_there), 0);
    return each_pair(wait_for_what_comes);
}

/* With only one direction waited for, the end of the other is told. */
static int waits_until_closed(void *arg)
{
    int result;

    do
        result = task_wait_fd(*(int *)arg, POLLOUT);
    while (result == POLLOUT);
    return result;
}

/* One that is ready all the time starves nobody, and may be closed meanwhile. */
static int whoever_need_not_wait_lets_others_run(void *arg)
{
    int old[2];
    int new[2];
    struct task *task;

    (void)arg;
    make_local(old);
    task = start(waits_until_closed, &old[0]);
    CHECK(!task_done(task));
    CHECK_STATUS(task_close(old[0]), 0);
    make_local_at(old[0], new);
    CHECK_STATUS(task_await(task), -EBADF);
    task = start(waits_until_closed, &new[0]);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(task_close(old[1]), 0);
    close_both(new);
    return 0;
}

/* Also while there is something to be read, and by TCP, where it is no
 * hang-up. */
static int a_peer_that_is_gone_is_told_of(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        int pair[2];
        int gone[2] = {0, POLLRDHUP};
        int told = i ? POLLRDHUP : POLLRDHUP | POLLHUP;
        struct task *waiter;
        struct task *reader;

        (i ? make_tcp : make_local)(pair);
        gone[0] = pair[0];
        waiter = start(waits_for, gone);
        reader = start(reads, &pair[0]);
        let_run();
        put(pair[1], "ab");
        CHECK_STATUS(task_await(reader), 2);
        put(pair[1], "cd");
        let_run();
        CHECK(!task_done(waiter));
        CHECK_STATUS(task_close(pair[1]), 0);
        CHECK_STATUS(task_await(waiter), told);
        CHECK_STATUS(task_wait_fd(pair[0], POLLRDHUP), told);
        CHECK_STATUS(reads(&pair[0]), 2);
        CHECK_STATUS(reads(&pair[0]), 0);
        CHECK_RECORD("read 2 ab, read 2 cd, read 0 ");
        CHECK_STATUS(task_close(pair[0]), 0);
    }
    return 0;
}

static int hanging_up_wakes_a_writer(void *arg)
{
    int pair[2];
    struct task *writer;
    struct task *waiter;
    int out[2];

    (void)arg;
    for (int i = 0; i < N_WAYS; i++) {
        int result;

        WAYS[i](pair);
        fill(pair[1]);
        writer = start(writes, &pair[1]);
        CHECK_STATUS(task_close(pair[0]), 0);
        result = task_await(writer);
        CHECK(result == -EPIPE || result == -ECONNRESET);
        CHECK_STATUS(task_close(pair[1]), 0);
        record_clear();

        WAYS[i](pair);
        fill(pair[1]);
        out[0] = pair[1];
        out[1] = POLLOUT;
        waiter = start(waits_for, out);
        CHECK_STATUS(task_close(pair[0]), 0);
        result = task_await(waiter);
        CHECK(result & (POLLERR | POLLHUP));
        CHECK_STATUS(task_close(pair[1]), 0);
    }
    return 0;
}

static int urgent_data_is_told_apart(void *arg)
{
    int pair[2];
    int urgent[2] = {0, POLLPRI};
    struct task *task;
    char byte;

    (void)arg;
    make_tcp(pair);
    urgent[0] = pair[0];
    task = start(waits_for, urgent);
    put(pair[1], "a");
    let_run();
    CHECK(!task_done(task));
    CHECK_STATUS(send(pair[1], "!", 1, MSG_OOB), 1);
    CHECK_STATUS(task_await(task), POLLPRI);
    CHECK_STATUS(task_recv(pair[0], &byte, 1, MSG_OOB), 1);
    CHECK_STATUS(byte, '!');
    CHECK_STATUS(reads(&pair[0]), 1);
    CHECK_RECORD("read 1 a");
    close_both(pair);
    return 0;
}

/* Flags. */

struct family {
    int to_child[2];
    int from_child[2];
};

/* The child's standard input is our pipe's, and it blocks there. */
static void be_the_child(void *arg)
{
    struct family *family = arg;
    char byte;

    if (fcntl(family->to_child[0], F_GETFL) & O_NONBLOCK)
        _exit(1);
    if (read(family->to_child[0], &byte, 1) != 1)
        _exit(2);
}

static int a_shared_descriptor_keeps_its_flags(void *arg)
{
    struct family family;
    struct task *reader;
    char byte;

    (void)arg;
    make_pipe(family.to_child);
    reader = start(reads, &family.to_child[0]);
    CHECK_STATUS(fcntl(family.to_child[0], F_GETFL) & O_NONBLOCK, 0);
    CHECK_STATUS(fcntl(family.to_child[1], F_GETFL) & O_NONBLOCK, 0);
    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    CHECK_STATUS(task_write(family.to_child[1], "ab", 2), 2);
    CHECK_STATUS(child_run(be_the_child, &family), 0);
    CHECK_STATUS(task_read(family.to_child[0], &byte, 1), 1);
    CHECK_RECORD("read -125 ");
    close_both(family.to_child);
    return 0;
}

/* Signals. */

static volatile sig_atomic_t n_signals;

static void count_signal(int signo)
{
    (void)signo;
    n_signals++;
}

static void set_alarms(long microseconds)
{
    struct itimerval interval = {{0, microseconds}, {0, microseconds}};

    CHECK_STATUS(setitimer(ITIMER_REAL, &interval, NULL), 0);
}

static int move_much_under_fire(void *arg)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct sigaction before;

    (void)arg;
    n_signals = 0;
    CHECK_STATUS(sigaction(SIGALRM, &action, &before), 0);
    for (int i = 0; i < N_WAYS; i++) {
        int pair[2];

        WAYS[i](pair);
        set_alarms(200);
        do
            move_bulk(pair);
        while (n_signals < 50 * (i + 1));
        set_alarms(0);
        close_both(pair);
    }
    CHECK_STATUS(sigaction(SIGALRM, &before, NULL), 0);
    return 0;
}

static void signals_are_not_seen(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    if (test_rounds(100) == 100)
        assert_int_equal(run_with(options, move_much_under_fire, NULL), 0);
    assert_record("");
}

/* Time. */

/* Deadlines of less than a millisecond while somebody waits for a descriptor: not
 * early, and with epoll not late by a millisecond on the whole. */
static int sleeps_are_exact_beside_a_reader(void *arg)
{
    int pair[2];
    struct task *reader;
    task_time late = 0;

    (void)arg;
    make_local(pair);
    reader = start(reads, &pair[0]);
    for (int i = 0; i < 20; i++) {
        task_time due = loop_time() + 300 * TASK_MICROSECOND;
        uint64_t polls = stats().polls;

        CHECK_STATUS(task_sleep_until(due), 0);
        CHECK(loop_time() >= due);
        CHECK(stats().polls - polls < 10);
        if (!late || loop_time() - due < late)
            late = loop_time() - due;
    }
    CHECK(!is_epoll() || late < 500 * TASK_MICROSECOND);
    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    CHECK_RECORD("read -125 ");
    close_both(pair);
    return 0;
}

static int an_idle_reader_costs_few_looks(void *arg)
{
    int pair[2];
    struct task *reader;
    uint64_t polls;

    (void)arg;
    make_local(pair);
    reader = start(reads, &pair[0]);
    polls = stats().polls;
    CHECK_STATUS(task_sleep(50 * TASK_MILLISECOND), 0);
    CHECK(stats().polls - polls < 10);
    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    CHECK_RECORD("read -125 ");
    close_both(pair);
    return 0;
}

/* Slow readers. */

enum { TEN_MEGABYTES = 10 << 20 };

struct slow {
    int fd;
    size_t n;
};

static int reads_slowly(void *arg)
{
    struct slow *slow = arg;
    static char block[1 << 18];
    size_t n = 0;

    while (n < slow->n) {
        ssize_t some = task_read(slow->fd, block, sizeof block);

        if (some <= 0)
            return (int)some;
        for (ssize_t i = 0; i < some; i++, n++)
            if (block[i] != (char)(n * 7 + n / 251))
                return -EILSEQ;
        CHECK_STATUS(task_sleep(TASK_MICROSECOND), 0);
    }
    return 0;
}

static int counts_turns(void *arg)
{
    size_t *n = arg;

    while (!task_sleep(TASK_MICROSECOND))
        ++*n;
    return 0;
}

static int much_goes_both_ways_past_slow_readers(void *arg)
{
    static char bytes[TEN_MEGABYTES];
    size_t size = test_rounds(100) == 100 ? TEN_MEGABYTES : 1 << 20;
    int pair[2];

    (void)arg;
    fill_in(bytes, size);
    for (int i = 0; i < 2; i++) {
        struct bulk bulk[2];
        struct slow slow[2];
        struct task *tasks[4];
        size_t n_turns = 0;
        struct task *counter = start(counts_turns, &n_turns);

        WAYS[i](pair);
        for (int j = 0; j < 2; j++) {
            bulk[j] = (struct bulk){pair[j], bytes, size};
            slow[j] = (struct slow){pair[j], size};
            tasks[j] = task_create(writes_bulk, &bulk[j]);
            tasks[2 + j] = task_create(reads_slowly, &slow[j]);
        }
        CHECK_STATUS(task_await(tasks[0]), (int)size);
        CHECK_STATUS(task_await(tasks[1]), (int)size);
        CHECK_STATUS(task_await(tasks[2]), 0);
        CHECK_STATUS(task_await(tasks[3]), 0);
        CHECK_STATUS(task_cancel_await(counter), 0);
        CHECK(n_turns > size >> 21);
        close_both(pair);
    }
    return 0;
}

/* Cancelled everywhere. */

struct traffic {
    int pair[2];
};

static int answers(void *arg)
{
    struct traffic *traffic = arg;
    char buf[4];
    ssize_t n;

    while ((n = task_read(traffic->pair[1], buf, sizeof buf)) > 0)
        if (task_write_all(traffic->pair[1], buf, (size_t)n) != n)
            break;
    return (int)n;
}

static int asks_and_listens(void *arg)
{
    struct traffic *traffic = arg;
    struct task *answerer;
    char buf[4];
    int status = 0;

    make_local(traffic->pair);
    answerer = task_create(answers, traffic);
    for (int i = 0; i < 3 && status >= 0; i++) {
        status = (int)task_write_all(traffic->pair[0], "ping", 4);
        if (status >= 0)
            status = (int)task_read_full(traffic->pair[0], buf, 4);
        if (status >= 0)
            status = task_wait_fd(traffic->pair[0], POLLOUT);
    }
    task_close(traffic->pair[0]);
    task_await(answerer);
    CHECK_STATUS(task_close(traffic->pair[1]), 0);
    return 0;
}

static void everything_may_be_cancelled_anywhere(void **state)
{
    struct traffic traffic;

    (void)state;
    assert_true(cancel_at_every_point(asks_and_listens, NULL, &traffic) >= 3);
}

/* Stops. */

static int leaves_a_reader_parked(void *pair)
{
    task_detach(start(reads, pair));
    return 0;
}

static int writes_and_stops(void *pair)
{
    put(((int *)pair)[1], "b");
    loop_stop(loop_current());
    return task_yield();
}

/* What came between the runs is there; so is what came as the loop stopped. */
static void read_across_a_stop(enum loop_backend backend)
{
    struct loop_options options = test_options(NULL);
    struct loop *loop;
    int pair[2];

    make_local(pair);
    options.backend = backend;
    loop = loop_new(&options);
    assert_non_null(loop);
    assert_int_equal(loop_run_main(loop, leaves_a_reader_parked, pair), 0);
    put(pair[1], "a");
    assert_int_equal(loop_run_main(loop, sleeps, NULL), 0);
    assert_record("read 1 a");
    assert_int_equal(loop_run_main(loop, leaves_a_reader_parked, pair), 0);
    assert_int_equal(loop_run_main(loop, writes_and_stops, pair), -EAGAIN);
    assert_record("");
    assert_int_equal(loop_run_main(loop, sleeps, NULL), 0);
    assert_record("read 1 b");
    test_loop_free(loop, NULL);
    close(pair[0]);
    close(pair[1]);
}

static void a_reader_goes_on_in_the_next_run(void **state)
{
    (void)state;
    read_across_a_stop(LOOP_BACKEND_DEFAULT);
    read_across_a_stop(LOOP_BACKEND_POLL);
}

/* The end. */

static int leaves_a_reader(void *arg)
{
    make_local(arg);
    task_detach(start(reads, arg));
    return 0;
}

static void readers_end_with_their_loop(void **state)
{
    int pair[2];

    (void)state;
    assert_int_equal(run_virtual(leaves_a_reader, pair), 0);
    assert_record("read -125 ");
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(a_reader_waits_and_others_run),
        everywhere(the_end_is_read_again_and_again),
        everywhere(the_end_right_behind_data_is_found),
        everywhere(half_closed_it_can_be_written_to),
        everywhere(more_may_lie_behind_what_was_sent_along),
        everywhere(more_may_lie_behind_urgent_data),
        everywhere(a_second_of_a_kind_is_refused),
        everywhere(reader_and_writer_wait_side_by_side),
        everywhere(closing_wakes_whoever_waits),
        everywhere(a_number_may_be_reused_before_the_reader_runs),
        everywhere(a_number_may_be_reused_while_the_reader_lets_others_run),
        behaviour(outside_a_task_there_is_only_closing),
        everywhere(a_waiting_request_does_not_keep_it_open),
        everywhere(a_cancelled_reader_takes_nothing),
        behaviour(what_comes_while_the_loop_sleeps_is_there),
        everywhere(bytes_are_told_before_a_request),
        everywhere(a_reader_woken_in_vain_hears_of_a_request),
        everywhere(an_event_in_vain_is_doubted),
        everywhere(an_error_that_stays_does_not_make_the_loop_spin),
        everywhere(a_reader_may_be_timed_out),
        everywhere(what_is_there_at_a_time_out_is_read),
        everywhere(a_writer_waits_for_room),
        behaviour(a_broken_pipe_is_an_error_and_no_signal),
        everywhere(all_of_much_is_moved),
        everywhere(a_full_read_tells_how_much_came_before_the_end),
        everywhere(a_cancelled_full_read_tells_what_it_has),
        everywhere(a_cancelled_full_write_can_be_gone_on_with),
        everywhere(a_request_in_the_middle_of_a_full_read_comes_next),
        everywhere(an_error_behind_some_bytes_comes_next),
        everywhere(an_error_stays_with_its_file),
        everywhere(many_parts_are_moved),
        everywhere(nothing_is_moved_at_once_and_is_a_checkpoint),
        everywhere(a_request_is_heard_before_anything_is_moved),
        everywhere(errno_is_left_alone),
        everywhere(files_are_read_and_written),
        everywhere(folders_cannot_be_read),
        everywhere(devices_are_read_and_written),
        everywhere(event_descriptors_are_read_and_written),
        everywhere(timers_are_read),
        everywhere(notices_are_read),
        everywhere(terminals_are_read_and_written),
        everywhere(a_terminal_that_waits_for_more_blocks_nobody),
        everywhere(a_stopped_terminal_blocks_nobody),
        everywhere(a_terminal_that_changes_newlines_blocks_nobody),
        everywhere(a_terminal_that_nobody_reads_any_more_fails),
        everywhere(readiness_is_waited_for),
        everywhere(whoever_need_not_wait_lets_others_run),
        everywhere(a_peer_that_is_gone_is_told_of),
        everywhere(hanging_up_wakes_a_writer),
        everywhere(urgent_data_is_told_apart),
        everywhere(a_shared_descriptor_keeps_its_flags),
        behaviour(signals_are_not_seen),
        everywhere(sleeps_are_exact_beside_a_reader),
        everywhere(an_idle_reader_costs_few_looks),
        everywhere(much_goes_both_ways_past_slow_readers),
        behaviour(everything_may_be_cancelled_anywhere),
        behaviour(a_reader_goes_on_in_the_next_run),
        behaviour(readers_end_with_their_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
