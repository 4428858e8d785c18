/* task_select of descriptors. */
#include "record.h"

#include <fcntl.h>
#include <poll.h>
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

static int a_ready_descriptor_fires_at_once(void *arg)
{
    int pair[2];
    struct task_event event = {0};

    (void)arg;
    make_pair(pair);
    struct task_select_case cases[] = {
        TASK_SELECT_EVENT(&event),
        TASK_SELECT_FD(pair[0], POLLIN | POLLOUT),
    };

    CHECK_STATUS(task_select(cases, 2, 0), 1);
    CHECK_STATUS(cases[1].status, 0);
    CHECK_STATUS(cases[1].revents, POLLOUT);
    close_pair(pair);
    return 0;
}

static int writes_soon(void *arg)
{
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return (int)write(*(int *)arg, "x", 1);
}

static int a_descriptor_that_becomes_ready_fires(void *arg)
{
    int pair[2];
    struct task_event event = {0};
    char byte;

    (void)arg;
    make_pair(pair);
    struct task_select_case cases[] = {
        TASK_SELECT_EVENT(&event),
        TASK_SELECT_FD(pair[0], POLLIN),
    };
    struct task *task = task_create(writes_soon, &pair[1]);

    CHECK_STATUS(task_select(cases, 2, TASK_FOREVER), 1);
    CHECK_STATUS(cases[1].revents, POLLIN);
    CHECK_STATUS(loop_time(), TASK_SECOND);
    CHECK_STATUS(task_await(task), 1);
    CHECK_STATUS(task_read(pair[0], &byte, 1), 1);
    close_pair(pair);
    return 0;
}

static int those_that_do_not_fire_leave_no_trace(void *arg)
{
    int pair[2];
    char byte;

    (void)arg;
    make_pair(pair);
    struct task_select_case cases[] = {
        TASK_SELECT_FD(pair[0], POLLIN),
        TASK_SELECT_FD(pair[1], POLLIN),
    };

    CHECK_STATUS(task_select(cases, 2, TASK_SECOND), -ETIMEDOUT);
    CHECK_STATUS(write(pair[1], "x", 1), 1);
    CHECK_STATUS(task_select(cases, 2, TASK_SECOND), 0);
    CHECK_STATUS(task_read(pair[0], &byte, 1), 1);
    CHECK_STATUS(write(pair[0], "x", 1), 1);
    CHECK_STATUS(task_read(pair[1], &byte, 1), 1);
    struct loop_stats stats;

    loop_get_stats(loop_current(), &stats);
    CHECK_STATUS(stats.watched_fds, 0);
    close_pair(pair);
    return 0;
}

static int selects(void *arg)
{
    struct task_select_case one = TASK_SELECT_FD(*(int *)arg, POLLIN);

    return task_select(&one, 1, TASK_FOREVER);
}

static int a_second_one_is_refused_and_nothing_is_left(void *arg)
{
    int pair[2];
    struct task_event event = {0};

    (void)arg;
    make_pair(pair);
    struct task *task = test_start(selects, &pair[0], "first");
    struct task_select_case cases[] = {
        TASK_SELECT_EVENT(&event),
        TASK_SELECT_FD(pair[1], POLLIN),
        TASK_SELECT_FD(pair[0], POLLIN),
    };

    CHECK_STATUS(task_select(cases, 3, TASK_FOREVER), -EBUSY);
    CHECK_STATUS(task_event_waiting(&event), 0);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(task_select(cases, 3, TASK_SECOND), -ETIMEDOUT);
    close_pair(pair);
    return 0;
}

static int both_directions_of_one_may_be_cases(void *arg)
{
    static char block[1 << 16];
    int pair[2];

    (void)arg;
    make_pair(pair);
    CHECK_STATUS(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    while (write(pair[0], block, sizeof block) > 0)
        continue;
    struct task_select_case cases[] = {
        TASK_SELECT_FD(pair[0], POLLIN),
        TASK_SELECT_FD(pair[0], POLLOUT),
        TASK_SELECT_FD(pair[0], POLLOUT),
    };
    struct task *task = task_create(writes_soon, &pair[1]);

    CHECK_STATUS(task_select(cases, 3, TASK_FOREVER), -EBUSY);
    CHECK_STATUS(task_select(cases, 2, TASK_FOREVER), 0);
    CHECK_STATUS(task_await(task), 1);
    close_pair(pair);
    return 0;
}

static int closing_and_cancelling_end_it(void *arg)
{
    int pair[2];

    (void)arg;
    make_pair(pair);
    struct task *task = test_start(selects, &pair[0], "first");

    CHECK_STATUS(task_close(pair[0]), 0);
    CHECK_STATUS(task_await(task), -EBADF);
    task = test_start(selects, &pair[1], "second");
    CHECK_STATUS(task_await(task), 0); /* the other end is closed */
    CHECK_STATUS(task_close(pair[1]), 0);
    return 0;
}

static int what_is_none_is_refused(void *arg)
{
    struct task_select_case cases[] = {
        TASK_SELECT_FD(-1, POLLIN),
        TASK_SELECT_FD(0, 1 << 12),
    };

    (void)arg;
    CHECK_STATUS(task_select(cases, 1, TASK_FOREVER), -EBADF);
    CHECK_STATUS(task_select(cases + 1, 1, TASK_FOREVER), -EINVAL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_ready_descriptor_fires_at_once),
        in_main(a_descriptor_that_becomes_ready_fires),
        in_main(those_that_do_not_fire_leave_no_trace),
        in_main(a_second_one_is_refused_and_nothing_is_left),
        in_main(both_directions_of_one_may_be_cases),
        in_main(closing_and_cancelling_end_it),
        in_main(what_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
