/*
 * A loop that is driven by another one, here a plain poll(): loop_run_turn,
 * loop_fd, loop_next_timeout.
 */
#include "bodies.h"
#include "record.h"
#include "stack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* So long a poll waits in vain before the test fails. */
enum { TOO_LONG = 20000 };

static struct loop *real_loop(struct memory_count *count)
{
    struct loop_options options = test_options(count);
    struct loop *loop;

    options.clock = LOOP_CLOCK_REAL;
    loop = loop_new(&options);
    assert_non_null(loop);
    return loop;
}

/* Whether the loop's descriptor is readable within so many milliseconds. */
static bool is_readable(struct loop *loop, int timeout)
{
    struct pollfd fd = {.fd = loop_fd(loop), .events = POLLIN};

    return poll(&fd, 1, timeout) == 1 && fd.revents == POLLIN;
}

/* Only epoll has a descriptor. Skips, and frees the loop of the test. */
static void need_descriptor(struct loop *loop, struct memory_count *count)
{
    struct loop *probe = real_loop(NULL);
    bool has_none = loop_fd(probe) == -ENOTSUP;

    test_loop_free(probe, NULL);
    if (!has_none)
        return;
    test_loop_free(loop, count);
    skip();
}

static int milliseconds(task_time time)
{
    if (time == TASK_FOREVER)
        return TOO_LONG;
    return (int)((time + TASK_MILLISECOND - 1) / TASK_MILLISECOND);
}

/* The foreign loop: until nothing is alive; how many turns it took. */
static int drive(struct loop *loop)
{
    struct pollfd fd = {.fd = loop_fd(loop), .events = POLLIN};
    int turns = 1;

    while (loop_run_turn(loop, 0) > 0) {
        if (fd.fd >= 0)
            assert_int_equal(poll(&fd, 1, TOO_LONG), 1);
        else
            poll(NULL, 0, milliseconds(loop_next_timeout(loop)));
        turns++;
    }
    return turns;
}

static int note(void *arg)
{
    record("%s", (const char *)arg);
    return 0;
}

static void note_call(void *arg)
{
    record("%s", (const char *)arg);
}

static int yield_twice(void *arg)
{
    note(arg);
    CHECK_STATUS(task_yield(), 0);
    note(arg);
    CHECK_STATUS(task_yield(), 0);
    return note(arg);
}

static int sleep_for(void *arg)
{
    task_time delay = *(const task_time *)arg;
    task_time start = loop_time();
    int status = task_sleep(delay);

    CHECK(status || loop_time() - start >= delay);
    return status;
}

static task_time hour = TASK_HOUR;
static task_time for_ever = TASK_FOREVER;

/* On time, without spinning. */

static int sleep_often(void *arg)
{
    const task_time *delay = arg;

    for (int i = 0; i < 10; i++) {
        task_time start = loop_time();

        CHECK_STATUS(task_sleep(*delay), 0);
        CHECK(loop_time() - start >= *delay);
    }
    return 0;
}

static void sleeps_happen_on_time_without_spinning(void **state)
{
    task_time delays[] = {200 * TASK_MICROSECOND, 2 * TASK_MILLISECOND,
                          7 * TASK_MILLISECOND};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct memory_count count = {0};
        struct loop *loop = real_loop(&count);
        task_time start = loop_time();

        task_detach(loop_create_task(loop, sleep_often, &delays[i]));
        assert_in_range(drive(loop), 11, 40);
        assert_true(loop_time() - start >= 10 * delays[i]);
        test_loop_free(loop, &count);
    }
}

static void many_sleepers_are_driven_to_their_end(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    task_time delays[200];

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        delays[i] = (task_time)(i * 7919 % 200) * 50 * TASK_MICROSECOND;
        task_detach(loop_create_task(loop, sleep_for, &delays[i]));
    }
    assert_in_range(drive(loop), 2, 800);
    test_loop_free(loop, &count);
}

static void the_descriptor_is_not_readable_before_a_deadline(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    task_time delay = 20 * TASK_MILLISECOND;
    task_time start = loop_time();

    (void)state;
    need_descriptor(loop, &count);
    task_detach(loop_create_task(loop, sleep_for, &delay));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_true(is_readable(loop, TOO_LONG));
    assert_true(loop_time() - start >= delay);
    assert_int_equal(loop_next_timeout(loop), 0);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_true(is_readable(loop, 0));
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_false(is_readable(loop, 0));
    test_loop_free(loop, &count);
}

/* One poll for two loops and a pipe that a task of one of them writes to. */

static int write_later(void *arg)
{
    CHECK_STATUS(task_sleep(3 * TASK_MILLISECOND), 0);
    CHECK(write(*(const int *)arg, "!", 1) == 1);
    return task_sleep(3 * TASK_MILLISECOND);
}

static bool run_if_readable(struct loop *loop, const struct pollfd *fd)
{
    return !(fd->revents & POLLIN) || loop_run_turn(loop, 0) > 0;
}

static void one_poll_drives_loops_and_other_descriptors(void **state)
{
    struct memory_count counts[2] = {{0}, {0}};
    struct loop *a = real_loop(&counts[0]);
    struct loop *b = real_loop(&counts[1]);
    task_time delay = 2 * TASK_MILLISECOND;
    struct pollfd fds[3] = {{.fd = loop_fd(a)}, {.fd = loop_fd(b)}};
    bool alive[2] = {true, true};
    char byte = 0;
    int ends[2];

    (void)state;
    if (fds[0].fd < 0)
        test_loop_free(b, &counts[1]);
    need_descriptor(a, &counts[0]);
    assert_int_equal(pipe(ends), 0);
    fds[2].fd = ends[0];
    for (int i = 0; i < 3; i++)
        fds[i].events = POLLIN;
    task_detach(loop_create_task(a, sleep_often, &delay));
    task_detach(loop_create_task(b, write_later, &ends[1]));
    for (int n = 0; alive[0] || alive[1]; n++) {
        assert_true(poll(fds, 3, TOO_LONG) > 0);
        alive[0] = alive[0] && run_if_readable(a, &fds[0]);
        alive[1] = alive[1] && run_if_readable(b, &fds[1]);
        if (fds[2].revents & POLLIN)
            assert_int_equal(read(ends[0], &byte, 1), 1);
        assert_true(n < 100);
    }
    assert_int_equal(byte, '!');
    close(ends[0]);
    close(ends[1]);
    test_loop_free(a, &counts[0]);
    test_loop_free(b, &counts[1]);
}

/* Another loop of the library's. */

static int waits_until_readable(void *arg)
{
    return task_wait_fd(*(int *)arg, POLLIN);
}

/* A loop that watched itself would never sleep. */
static int waits_for_itself(void *arg)
{
    int fd = loop_fd(loop_current());

    (void)arg;
    CHECK_STATUS(loop_add_reader(fd, note_call, NULL), -ELOOP);
    CHECK_STATUS(task_wait_fd(fd, POLLIN), -ELOOP);
    return 0;
}

/* A pipe that it reads from, and timers. */
static int writes_to_itself(void *arg)
{
    int *ends = arg;
    struct task *writer = task_create(write_later, &ends[1]);
    char byte;

    CHECK_STATUS(task_read(ends[0], &byte, 1), 1);
    return task_await(writer);
}

static void another_loop_waits_for_it(void **state)
{
    static const enum loop_backend backends[] = {LOOP_BACKEND_EPOLL,
                                                 LOOP_BACKEND_POLL};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct memory_count count = {0};
        struct loop *loop = real_loop(&count);
        struct loop_options options = test_options(NULL);
        int ends[2];
        int fd;

        need_descriptor(loop, &count);
        options.clock = LOOP_CLOCK_REAL;
        options.backend = backends[i];
        fd = loop_fd(loop);
        assert_int_equal(pipe(ends), 0);
        task_detach(loop_create_task(loop, writes_to_itself, ends));
        while (loop_run_turn(loop, 0) > 0)
            assert_int_equal(run_with(options, waits_until_readable, &fd),
                             POLLIN);
        close(ends[0]);
        close(ends[1]);
        test_loop_free(loop, &count);
    }
}

static void a_loop_does_not_wait_for_itself(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);

    (void)state;
    need_descriptor(loop, &count);
    assert_int_equal(loop_run_main(loop, waits_for_itself, NULL), 0);
    test_loop_free(loop, &count);
}

/* One turn. */

static int set_three_callbacks(void *arg)
{
    (void)arg;
    CHECK(loop_call_later(-1, note_call, text("a")) > 0);
    CHECK(loop_call_later(0, note_call, text("b")) > 0);
    CHECK(loop_call_later(1, note_call, text("c")) > 0);
    return 0;
}

static void a_timer_fires_once_however_turns_are_run(void **state)
{
    static const task_time waits[] = {0, 1, TASK_FOREVER};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct memory_count count = {0};
        struct loop *loop = real_loop(&count);

        task_detach(loop_create_task(loop, set_three_callbacks, NULL));
        while (loop_run_turn(loop, waits[i]) > 0)
            continue;
        assert_int_equal(loop_run_turn(loop, waits[i]), 0);
        assert_record("a, b, c");
        test_loop_free(loop, &count);
    }
}

static void a_turn_is_one_batch(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    task_detach(loop_create_task(loop, yield_twice, text("a")));
    task_detach(loop_create_task(loop, yield_twice, text("b")));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_record("a, b");
    assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 1);
    assert_record("a, b");
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_record("a, b");
    test_loop_free(loop, &count);
}

static void a_real_turn_is_one_batch_too(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);

    (void)state;
    task_detach(loop_create_task(loop, yield_twice, text("a")));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(loop_run_turn(loop, TASK_FOREVER), i < 2);
        assert_record("a");
    }
    test_loop_free(loop, &count);
}

static int set_callbacks(void *arg)
{
    (void)arg;
    CHECK(loop_call_soon(note_call, text("soon")) > 0);
    CHECK(loop_call_later(TASK_SECOND, note_call, text("later")) > 0);
    return 0;
}

static void a_turn_tells_whether_anything_is_alive(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 0);
    task_detach(loop_create_task(loop, set_callbacks, NULL));
    assert_true(loop_run_turn(loop, 0) > 0);
    assert_record("");
    assert_true(loop_run_turn(loop, 0) > 0);
    assert_record("soon");
    assert_true(loop_run_turn(loop, TASK_FOREVER) > 0);
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_record("later");
    test_loop_free(loop, &count);
}

static void note_end(struct task *task, void *arg)
{
    record("%s %d", (const char *)arg, task_status(task));
}

static void what_is_queued_is_alive(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *task = loop_create_task(loop, note, text("ran"));

    (void)state;
    assert_int_equal(task_add_done_callback(task, note_end, text("done")), 0);
    task_detach(task);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_record("ran");
    assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 0);
    assert_record("done 0");
    test_loop_free(loop, &count);
}

static int set_callbacks_for_never(void *arg)
{
    int64_t id = loop_call_later(TASK_FOREVER, note_call, arg);

    CHECK(id > 0);
    CHECK(loop_call_at(TASK_FOREVER, note_call, arg) > 0);
    CHECK_STATUS(loop_call_cancel(id), 0);
    id = loop_call_later(TASK_HOUR, note_call, arg);
    CHECK(id > 0);
    CHECK_STATUS(loop_call_cancel(id), 0);
    return 0;
}

static void what_is_due_never_is_not_alive(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    task_detach(loop_create_task(loop, set_callbacks_for_never, NULL));
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 0);
    test_loop_free(loop, &count);
}

static int leave_a_daemon(void *arg)
{
    struct task_options daemon = {.daemon = true};

    task_detach(task_create_with(sleep_for, arg, &daemon));
    return 0;
}

static void a_daemon_does_not_keep_a_loop_alive(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, leave_a_daemon, &for_ever), 0);
    assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 0);
    assert_int_equal(loop_run_turn(loop, 0), 0);
    test_loop_free(loop, &count);
}

static void assert_deadlock_reported(void)
{
    char expected[40];

    snprintf(expected, sizeof expected, "deadlock(%d)", -EDEADLK);
    assert_record(expected);
}

static void a_deadlock_is_told_and_reported_once(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *task = loop_create_task(loop, sleep_for, &for_ever);

    (void)state;
    assert_int_equal(loop_run_turn(loop, 0), -EDEADLK);
    assert_int_equal(loop_run_turn(loop, TASK_FOREVER), -EDEADLK);
    assert_deadlock_reported();
    assert_false(task_done(task));
    assert_true(task_cancel(task));
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_true(task_done(task));
    assert_int_equal(task_status(task), -ECANCELED);
    task_detach(task);
    test_loop_free(loop, &count);
}

static int stop_in_a_turn(void *arg)
{
    loop_stop(loop_current());
    CHECK_STATUS(task_yield(), 0);
    note(arg);
    loop_stop(loop_current());
    return 0;
}

static void a_stop_in_a_turn_ends_with_it(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    task_detach(loop_create_task(loop, stop_in_a_turn, text("went on")));
    assert_true(loop_run_turn(loop, TASK_FOREVER) > 0);
    assert_int_equal(loop_run_forever(loop), 0);
    assert_record("went on");
    test_loop_free(loop, &count);
}

/* Time-outs. */

static void a_turn_waits_no_longer_than_told(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    task_time start = loop_time();

    (void)state;
    task_detach(loop_create_task(loop, sleep_for, &hour));
    assert_true(loop_run_turn(loop, 0) > 0);
    assert_true(loop_run_turn(loop, -1) > 0);
    assert_true(loop_run_turn(loop, INT64_MIN) > 0);
    assert_true(loop_run_turn(loop, 0) > 0);
    assert_true(loop_run_turn(loop, 300 * TASK_MICROSECOND) > 0);
    assert_true(loop_run_turn(loop, 6 * TASK_MILLISECOND) > 0);
    assert_true(loop_time() - start >= 6300 * TASK_MICROSECOND);
    assert_true(loop_time() - start < TOO_LONG * TASK_MILLISECOND);
    test_loop_free(loop, &count);
}

static void a_turn_waits_for_the_next_thing_due(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    task_time delay = 10 * TASK_MILLISECOND;
    task_time start = loop_time();

    (void)state;
    task_detach(loop_create_task(loop, sleep_for, &delay));
    for (int turns = 0; loop_run_turn(loop, TASK_FOREVER) > 0; turns++)
        assert_true(turns < 5);
    assert_true(loop_time() - start >= delay);
    test_loop_free(loop, &count);
}

static void a_virtual_wait_is_a_jump_no_farther_than_told(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    task_detach(loop_create_task(loop, sleep_for, &hour));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_true(loop_next_timeout(loop) == TASK_HOUR);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_int_equal(loop_run_turn(loop, -5), 1);
    assert_true(loop_next_timeout(loop) == TASK_HOUR);
    assert_int_equal(loop_run_turn(loop, TASK_MINUTE), 1);
    assert_true(loop_next_timeout(loop) == 59 * TASK_MINUTE);
    assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 1);
    assert_true(loop_next_timeout(loop) == 0);
    assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 0);
    assert_true(loop_next_timeout(loop) == TASK_FOREVER);
    test_loop_free(loop, &count);
}

static void an_advance_between_turns_makes_timers_due(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    task_detach(loop_create_task(loop, sleep_for, &hour));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    loop_advance(loop, TASK_HOUR - 1);
    assert_true(loop_next_timeout(loop) == 1);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    loop_advance(loop, 5);
    assert_true(loop_next_timeout(loop) == 0);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_int_equal(loop_run_turn(loop, 0), 0);
    test_loop_free(loop, &count);
}

static int look_at_the_timeout(void *arg)
{
    struct loop *loop = loop_current();

    (void)arg;
    CHECK(loop_next_timeout(loop) == TASK_FOREVER);
    CHECK(loop_call_later(TASK_SECOND, note_call, text("later")) > 0);
    CHECK(loop_next_timeout(loop) == TASK_SECOND);
    CHECK(loop_call_later(TASK_FOREVER, note_call, text("never")) > 0);
    CHECK(loop_next_timeout(loop) == TASK_SECOND);
    loop_advance(loop, 2 * TASK_SECOND);
    CHECK(loop_next_timeout(loop) == 0);
    CHECK(loop_call_soon(note_call, text("soon")) > 0);
    CHECK(loop_next_timeout(loop) == 0);
    return task_sleep(1);
}

static void the_next_timeout_is_told_in_a_task_too(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(look_at_the_timeout, NULL), 0);
    assert_record("soon, later");
}

static void the_next_timeout_is_zero_while_something_is_ready(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);

    (void)state;
    assert_true(loop_next_timeout(loop) == TASK_FOREVER);
    task_detach(loop_create_task(loop, sleep_for, &hour));
    assert_true(loop_next_timeout(loop) == 0);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_true(loop_next_timeout(loop) > TASK_HOUR / 2);
    assert_true(loop_next_timeout(loop) <= TASK_HOUR);
    test_loop_free(loop, &count);
    assert_true(loop_next_timeout(NULL) == TASK_FOREVER);
}

/* The descriptor. */

static void the_descriptor_stays_the_same(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    int fd;

    (void)state;
    need_descriptor(loop, &count);
    fd = loop_fd(loop);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    task_detach(loop_create_task(loop, sleep_for, &hour));
    assert_int_equal(loop_run_turn(loop, TASK_MILLISECOND), 1);
    assert_int_equal(loop_fd(loop), fd);
    test_loop_free(loop, &count);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void a_loop_on_poll_has_no_descriptor(void **state)
{
    struct loop_options options = {.backend = LOOP_BACKEND_POLL};
    struct loop *loop = loop_new(&options);
    task_time delay = TASK_MILLISECOND;

    (void)state;
    assert_non_null(loop);
    assert_int_equal(loop_fd(loop), -ENOTSUP);
    task_detach(loop_create_task(loop, sleep_for, &delay));
    assert_in_range(drive(loop), 3, 10);
    assert_int_equal(loop_fd(loop), -ENOTSUP);
    test_loop_free(loop, NULL);
}

/* A loop whose tasks are all parked, and whose descriptor is silent. */
static struct task *park_one(struct loop *loop, task_time *delay,
                             struct memory_count *count)
{
    struct task *task;

    need_descriptor(loop, count);
    task = loop_create_task(loop, sleep_for, delay);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_false(is_readable(loop, 0));
    return task;
}

static void a_task_created_between_turns_makes_it_readable(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    struct task *sleeper = park_one(loop, &hour, &count);

    (void)state;
    task_detach(loop_create_task(loop, note, text("ran")));
    assert_true(is_readable(loop, 0));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_record("ran");
    assert_false(is_readable(loop, 0));
    task_detach(sleeper);
    test_loop_free(loop, &count);
}

static void a_task_created_before_it_was_asked_for_counts(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);

    (void)state;
    need_descriptor(loop, &count);
    task_detach(loop_create_task(loop, note, text("ran")));
    assert_true(is_readable(loop, 0));
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_record("ran");
    assert_false(is_readable(loop, 0));
    test_loop_free(loop, &count);
}

static void a_cancel_between_turns_makes_it_readable(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    struct task *sleeper = park_one(loop, &hour, &count);

    (void)state;
    assert_true(task_cancel(sleeper));
    assert_true(is_readable(loop, 0));
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_true(task_cancelled(sleeper));
    assert_false(is_readable(loop, 0));
    task_detach(sleeper);
    test_loop_free(loop, &count);
}

static struct task *future;

static int await_a_future(void *arg)
{
    future = task_future_create();
    CHECK_STATUS(loop_call_later(TASK_HOUR, note_call, arg) > 0, true);
    return task_await(task_retain(future));
}

static void a_future_completed_between_turns_makes_it_readable(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    struct task *task;

    (void)state;
    need_descriptor(loop, &count);
    task = loop_create_task(loop, await_a_future, text("never"));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_false(is_readable(loop, 0));
    assert_int_equal(task_future_complete(future, 77), 0);
    assert_true(is_readable(loop, 0));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_int_equal(task_status(task), 77);
    assert_false(is_readable(loop, 0));
    assert_int_equal(task_add_done_callback(future, note_end, text("future")),
                     0);
    assert_true(is_readable(loop, 0));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_record("future 77");
    task_detach(task);
    task_detach(future);
    test_loop_free(loop, &count);
}

static void what_a_turn_leaves_ready_keeps_it_readable(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);

    (void)state;
    need_descriptor(loop, &count);
    task_detach(loop_create_task(loop, yield_twice, text("step")));
    for (int i = 0; i < 3; i++) {
        assert_true(is_readable(loop, 0));
        assert_true(is_readable(loop, 0));
        assert_int_equal(loop_run_turn(loop, 0), i < 2);
        assert_record("step");
    }
    assert_false(is_readable(loop, 0));
    test_loop_free(loop, &count);
}

static int sleep_in_a_run(void *arg)
{
    CHECK(loop_fd(loop_current()) >= 0);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK_STATUS(task_sleep(6 * TASK_MILLISECOND), 0);
    return sleep_often(arg);
}

static void a_plain_run_after_it_was_asked_for_sleeps_on_time(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    task_time delay = TASK_MILLISECOND;

    (void)state;
    need_descriptor(loop, &count);
    assert_int_equal(loop_run_main(loop, sleep_in_a_run, &delay), 0);
    assert_false(is_readable(loop, 0));
    test_loop_free(loop, &count);
}

static void a_virtual_deadline_makes_it_readable(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    int turns = 0;

    (void)state;
    need_descriptor(loop, &count);
    task_detach(loop_create_task(loop, sleep_often, &hour));
    do
        assert_true(is_readable(loop, 0));
    while (++turns < 100 && loop_run_turn(loop, TASK_FOREVER) > 0);
    assert_in_range(turns, 11, 20);
    test_loop_free(loop, &count);
}

static int create_in_the_other(void *arg)
{
    struct loop *other = arg;

    task_detach(loop_create_task(other, note, text("there")));
    CHECK(is_readable(other, 0));
    return note(text("here"));
}

static void a_task_created_from_another_loop_makes_it_readable(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);

    (void)state;
    need_descriptor(loop, &count);
    assert_false(is_readable(loop, 0));
    assert_int_equal(run_virtual(create_in_the_other, loop), 0);
    assert_true(is_readable(loop, 0));
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_record("here, there");
    test_loop_free(loop, &count);
}

static void end_by_signal(void *arg)
{
    (void)arg;
    fail();
}

static int have_a_handler_for_a_moment(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, end_by_signal, NULL), 0);
    raise(SIGUSR1);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    return 0;
}

static void a_signal_that_nobody_wants_any_more_is_seen_once(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);

    (void)state;
    need_descriptor(loop, &count);
    task_detach(loop_create_task(loop, have_a_handler_for_a_moment, NULL));
    assert_in_range(drive(loop), 1, 2);
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_false(is_readable(loop, 0));
    assert_true(loop_next_timeout(loop) == TASK_FOREVER);
    test_loop_free(loop, &count);
}

static int wait_beside_a_remote(void *arg)
{
    static struct task_event never;

    *(struct loop_remote **)arg = loop_remote_open();
    return task_event_wait(&never);
}

static void a_deadlock_by_the_last_close_makes_it_readable(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    struct loop_remote *remote;

    (void)state;
    need_descriptor(loop, &count);
    task_detach(loop_create_task(loop, wait_beside_a_remote, &remote));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_false(is_readable(loop, 0));
    loop_remote_close(remote);
    assert_true(is_readable(loop, 0));
    assert_int_equal(loop_run_turn(loop, 0), -EDEADLK);
    assert_deadlock_reported();
    test_loop_free(loop, &count);
}

static void one_deadlock_after_another_is_reported(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct task *task = loop_create_task(loop, sleep_for, &for_ever);

        assert_int_equal(loop_run_turn(loop, 0), -EDEADLK);
        assert_deadlock_reported();
        assert_true(task_cancel(task));
        if (i) /* another one begins in the turn in which that ends */
            task_detach(loop_create_task(loop, sleep_for, &for_ever));
        assert_int_equal(loop_run_turn(loop, 0), i ? -EDEADLK : 0);
        task_detach(task);
    }
    assert_deadlock_reported();
    test_loop_free(loop, &count);
}

/* What is left to be told of when nobody waits for it any more. */

static int returns_in_a_thread(void *arg)
{
    (void)arg;
    return 0;
}

static int has_a_job(void *arg)
{
    return task_to_thread(returns_in_a_thread, arg);
}

static int opens_a_remote(void *arg)
{
    *(struct loop_remote **)arg = loop_remote_open();
    return 0;
}

static int gives_up_a_pipe(void *arg)
{
    const int *ends = arg;
    struct task_timeout timeout;
    char byte;

    task_timeout_begin(&timeout, TASK_MICROSECOND);
    CHECK_STATUS(task_timeout_end(&timeout, (int)task_read(ends[0], &byte, 1)),
                 -ETIMEDOUT);
    CHECK(write(ends[1], "x", 1) == 1);
    return 0;
}

static int waits_for_nothing(void *arg)
{
    return task_event_wait(arg);
}

/* Whether its descriptor is silent soon, when turns are run as it asks for. */
static bool is_soon_silent(struct loop *loop)
{
    for (int i = 0; i < 10 && is_readable(loop, 20); i++)
        loop_run_turn(loop, 0);
    return !is_readable(loop, 0);
}

static struct task_event never;

/* Beside one that is parked for ever, so that nothing can come, or an hour. */
static void check_silence_after(task_fn *fn, void *arg, bool deadlocks)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    struct task *task;

    need_descriptor(loop, &count);
    if (deadlocks)
        task_detach(loop_create_task(loop, waits_for_nothing, &never));
    else
        task_detach(loop_create_task(loop, sleep_for, &hour));
    task = loop_create_task(loop, fn, arg);
    while (!task_done(task)) {
        assert_true(is_readable(loop, TOO_LONG));
        loop_run_turn(loop, 0);
    }
    assert_true(is_soon_silent(loop));
    if (deadlocks)
        assert_deadlock_reported();
    task_detach(task);
    test_loop_free(loop, &count);
}

static void a_job_that_is_over_is_told_of_once(void **state)
{
    (void)state;
    check_silence_after(has_a_job, NULL, false);
    check_silence_after(has_a_job, NULL, true);
}

static void a_descriptor_that_was_given_up_is_told_of_once(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        int ends[2];

        assert_int_equal(pipe(ends), 0);
        check_silence_after(gives_up_a_pipe, ends, i);
        close(ends[0]);
        close(ends[1]);
    }
}

/* The stacks of a crowd are given back in turns that it asks for, also when
 * nothing is left, or is deadlocked: then it is silent. */
static void check_silence_after_a_crowd(bool deadlocks)
{
    struct loop *loop = real_loop(NULL);
    struct loop_stats stats;

    need_descriptor(loop, NULL);
    for (int i = 0; i < STACKS_WARM + 1000; i++)
        task_detach(loop_create_task(loop, yields, NULL));
    if (deadlocks)
        task_detach(loop_create_task(loop, waits_for_nothing, &never));
    for (int i = 0; i < 1000 && is_readable(loop, 3000); i++)
        loop_run_turn(loop, 0);
    assert_false(is_readable(loop, 0));
    loop_get_stats(loop, &stats);
    assert_in_range(stats.stacks_cached, 1, STACKS_WARM + 1);
    if (deadlocks)
        assert_deadlock_reported();
    test_loop_free(loop, NULL);
}

static void a_crowds_stacks_are_given_back_in_its_turns(void **state)
{
    (void)state;
    check_silence_after_a_crowd(false);
    check_silence_after_a_crowd(true);
}

static void a_remote_that_is_closed_is_told_of_once(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = real_loop(&count);
    struct loop_remote *remote;

    (void)state;
    need_descriptor(loop, &count);
    task_detach(loop_create_task(loop, sleep_for, &hour));
    task_detach(loop_create_task(loop, opens_a_remote, &remote));
    assert_true(is_soon_silent(loop));
    assert_int_equal(loop_remote_call(remote, note_call, text("called")), 0);
    loop_remote_close(remote);
    assert_true(is_readable(loop, 0));
    assert_true(is_soon_silent(loop));
    assert_record("called");
    test_loop_free(loop, &count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(sleeps_happen_on_time_without_spinning),
        behaviour(many_sleepers_are_driven_to_their_end),
        behaviour(the_descriptor_is_not_readable_before_a_deadline),
        behaviour(one_poll_drives_loops_and_other_descriptors),
        behaviour(another_loop_waits_for_it),
        behaviour(a_loop_does_not_wait_for_itself),
        behaviour(a_timer_fires_once_however_turns_are_run),
        behaviour(a_turn_is_one_batch),
        behaviour(a_real_turn_is_one_batch_too),
        behaviour(a_turn_tells_whether_anything_is_alive),
        behaviour(what_is_queued_is_alive),
        behaviour(what_is_due_never_is_not_alive),
        behaviour(a_daemon_does_not_keep_a_loop_alive),
        behaviour(a_deadlock_is_told_and_reported_once),
        behaviour(one_deadlock_after_another_is_reported),
        behaviour(a_stop_in_a_turn_ends_with_it),
        behaviour(a_turn_waits_no_longer_than_told),
        behaviour(a_turn_waits_for_the_next_thing_due),
        behaviour(a_virtual_wait_is_a_jump_no_farther_than_told),
        behaviour(an_advance_between_turns_makes_timers_due),
        behaviour(the_next_timeout_is_told_in_a_task_too),
        behaviour(the_next_timeout_is_zero_while_something_is_ready),
        behaviour(the_descriptor_stays_the_same),
        behaviour(a_loop_on_poll_has_no_descriptor),
        behaviour(a_task_created_between_turns_makes_it_readable),
        behaviour(a_task_created_before_it_was_asked_for_counts),
        behaviour(a_cancel_between_turns_makes_it_readable),
        behaviour(a_future_completed_between_turns_makes_it_readable),
        behaviour(what_a_turn_leaves_ready_keeps_it_readable),
        behaviour(a_plain_run_after_it_was_asked_for_sleeps_on_time),
        behaviour(a_virtual_deadline_makes_it_readable),
        behaviour(a_task_created_from_another_loop_makes_it_readable),
        behaviour(a_signal_that_nobody_wants_any_more_is_seen_once),
        behaviour(a_deadlock_by_the_last_close_makes_it_readable),
        behaviour(a_job_that_is_over_is_told_of_once),
        behaviour(a_crowds_stacks_are_given_back_in_its_turns),
        behaviour(a_remote_that_is_closed_is_told_of_once),
        behaviour(a_descriptor_that_was_given_up_is_told_of_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
