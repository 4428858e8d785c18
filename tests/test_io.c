/* Waiting for descriptors, reading and writing: io.h. */
#include "record.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void make_pair(int pair[2])
{
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void close_pair(const int pair[2])
{
    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_close(pair[1]), 0);
}

static int reads(void *arg)
{
    char buf[16] = {0};
    ssize_t n = task_read(*(int *)arg, buf, sizeof buf - 1);

    record("read %d %s", (int)n, buf);
    return (int)n;
}

static int a_reader_waits_and_others_run(void *arg)
{
    int pair[2];
    struct task *task;

    (void)arg;
    make_pair(pair);
    task = test_start(reads, &pair[0], "reader");
    record("main");
    CHECK_STATUS(task_write(pair[1], "hello", 5), 5);
    CHECK_STATUS(task_await(task), 5);
    task = test_start(reads, &pair[0], "reader");
    CHECK_STATUS(shutdown(pair[1], SHUT_WR), 0);
    CHECK_STATUS(task_await(task), 0);
    CHECK_RECORD("main, read 5 hello, read 0 ");
    close_pair(pair);
    return 0;
}

static int a_second_reader_is_refused(void *arg)
{
    int pair[2];
    struct task *task;
    char byte;

    (void)arg;
    make_pair(pair);
    task = test_start(reads, &pair[0], "reader");
    CHECK_STATUS(task_read(pair[0], &byte, 1), -EBUSY);
    CHECK_STATUS(task_write(pair[0], "x", 1), 1);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(task_write(pair[1], "y", 1), 1);
    CHECK_STATUS(task_read(pair[0], &byte, 1), 1);
    CHECK_RECORD("read -125 ");
    close_pair(pair);
    return 0;
}

static int closing_wakes_the_reader(void *arg)
{
    int pair[2];
    struct task *task;

    (void)arg;
    make_pair(pair);
    task = test_start(reads, &pair[0], "reader");
    close_pair(pair);
    CHECK_STATUS(task_await(task), -EBADF);
    CHECK_STATUS(task_close(pair[0]), -EBADF);
    CHECK_RECORD("read -9 ");
    return 0;
}

/* Drain it by a short read, so that the next one would wait at once. */
static void drain(const int pair[2])
{
    char buf[8];

    CHECK_STATUS(write(pair[1], "abc", 3), 3);
    CHECK_STATUS(task_read(pair[0], buf, sizeof buf), 3);
}

static int start_to_wait_and_cancel(int fd)
{
    struct task *task = test_start(reads, &fd, "reader");

    return task_cancel_await(task);
}

static int a_reused_number_is_found_out(void *arg)
{
    int pair[2];
    int again[2];
    char buf[8];

    (void)arg;
    make_pair(pair);
    drain(pair);
    CHECK_STATUS(start_to_wait_and_cancel(pair[0]), -ECANCELED);
    record_clear();
    close(pair[0]);
    close(pair[1]);
    make_pair(again);
    CHECK_STATUS(again[0], pair[0]);
    CHECK_STATUS(write(again[1], "new", 3), 3);
    CHECK_STATUS(task_read(again[0], buf, sizeof buf), 3);
    close_pair(again);
    return 0;
}

static void a_reused_number_is_found_out_in_real_time(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(run_with(options, a_reused_number_is_found_out, NULL), 0);
}

static int a_blocking_pipe_blocks_nobody(void *arg)
{
    int fds[2];
    static char block[200000];
    struct task *task;
    ssize_t n;

    (void)arg;
    CHECK_STATUS(pipe(fds), 0);
    task = test_start(reads, &fds[0], "reader");
    CHECK_STATUS(task_write(fds[1], "x", 1), 1);
    CHECK_STATUS(task_await(task), 1);
    n = task_write(fds[1], block, sizeof block);
    CHECK(n > 0 && n < (ssize_t)sizeof block);
    CHECK_STATUS(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    CHECK_STATUS(task_close(fds[0]), 0);
    CHECK_STATUS(task_write(fds[1], "x", 1), -EPIPE);
    CHECK_STATUS(task_close(fds[1]), 0);
    CHECK_RECORD("read 1 x");
    return 0;
}

static int a_file_is_always_ready(void *arg)
{
    char name[] = "/tmp/task-test-XXXXXX";
    int fd = mkstemp(name);
    char buf[8];

    (void)arg;
    unlink(name);
    CHECK_STATUS(task_wait_fd(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_STATUS(task_write(fd, "file", 4), 4);
    CHECK_STATUS(task_read(fd, buf, 8), 0);
    CHECK_STATUS(task_pread(fd, buf, 8, 1), 3);
    CHECK_STATUS(task_close(fd), 0);
    return 0;
}

static int reader_fd;

static void note_readable(void *arg)
{
    char byte;

    CHECK_STATUS(read(reader_fd, &byte, 1), 1);
    record("%s %c", (const char *)arg, byte);
}

static int a_callback_is_called_while_it_is_ready(void *arg)
{
    int pair[2];

    (void)arg;
    make_pair(pair);
    reader_fd = pair[0];
    CHECK_STATUS(loop_add_reader(pair[0], note_readable, text("in")), 0);
    CHECK_STATUS(write(pair[1], "abc", 3), 3);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_RECORD("in a, in b, in c");
    CHECK_STATUS(loop_remove_reader(pair[0]), 0);
    CHECK_STATUS(loop_remove_reader(pair[0]), -ENOENT);
    close_pair(pair);
    return 0;
}

static int main_waits_for_events(void *arg)
{
    int pair[2];

    (void)arg;
    make_pair(pair);
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN | POLLOUT), POLLOUT);
    CHECK_STATUS(task_wait_fd(pair[0], 1 << 14), -EINVAL);
    CHECK_STATUS(task_wait_fd(-1, POLLIN), -EBADF);
    CHECK_STATUS(write(pair[1], "ab", 2), 2);
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN), POLLIN);
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN), POLLIN);
    CHECK_STATUS(close(pair[1]), 0);
    CHECK_STATUS(task_wait_fd(pair[0], POLLIN), POLLIN | POLLHUP);
    CHECK_STATUS(task_close(pair[0]), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_reader_waits_and_others_run),
        in_main(a_second_reader_is_refused),
        in_main(closing_wakes_the_reader),
        in_main(a_reused_number_is_found_out),
        behaviour(a_reused_number_is_found_out_in_real_time),
        in_main(a_blocking_pipe_blocks_nobody),
        in_main(a_file_is_always_ready),
        in_main(a_callback_is_called_while_it_is_ready),
        in_main(main_waits_for_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
