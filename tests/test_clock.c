/*
 * Time: the virtual clock, which jumps; the real one, which is never early and
 * costs nothing while nothing is due.
 */
#include "bodies.h"
#include "record.h"

#include "loop.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <task/thread.h>
#include <time.h>
#include <unistd.h>

static task_time monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (task_time)now.tv_sec * TASK_SECOND + now.tv_nsec;
}

static task_time processor_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (task_time)now.tv_sec * TASK_SECOND + now.tv_nsec;
}

static void note(void *arg)
{
    record("%s at %lld", (const char *)arg, (long long)loop_time());
}

static void never(void *arg)
{
    (void)arg;
    CHECK_NOT_REACHED();
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return task_sleep(TASK_FOREVER);
}

static void be_busy(task_time time)
{
    task_time end = monotonic() + time;

    while (monotonic() < end)
        continue;
}

/* The virtual clock. */

static int sleep_in_steps(void *arg)
{
    const task_time *step = arg;

    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(task_sleep(*step), 0);
    return 0;
}

static int sleep_a_million_seconds(void *arg)
{
    task_time steps[10];
    struct task *tasks[10];

    (void)arg;
    for (int i = 0; i < 10; i++) {
        steps[i] = 1000 * TASK_SECOND / (i + 1);
        tasks[i] = task_create(sleep_in_steps, &steps[i]);
    }
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    CHECK_STATUS(loop_time(), 1000000 * TASK_SECOND);
    return 0;
}

static void a_million_virtual_seconds_pass_in_no_time(void **state)
{
    task_time start = monotonic();

    (void)state;
    assert_int_equal(run_virtual(sleep_a_million_seconds, NULL), 0);
    assert_true(monotonic() - start < 20 * TASK_SECOND);
}

static int jump(void *arg)
{
    static const task_time delays[] = {1,
                                       2,
                                       999,
                                       TASK_MICROSECOND,
                                       TASK_MILLISECOND + 1,
                                       (1 << 20) - 1,
                                       1 << 20,
                                       TASK_SECOND - 1,
                                       77 * TASK_HOUR + 3,
                                       100000 * TASK_HOUR};
    task_time now = 0;

    (void)arg;
    CHECK_STATUS(loop_time(), 0);
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        CHECK_STATUS(task_sleep(delays[i]), 0);
        now += delays[i];
        CHECK_STATUS(loop_time(), now);
    }
    CHECK_STATUS(task_sleep_until(TASK_FOREVER - 1), 0);
    CHECK_STATUS(loop_time(), TASK_FOREVER - 1);
    CHECK_STATUS(task_sleep(0), 0);
    return 0;
}

static void the_clock_jumps_exactly_to_the_next_deadline(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(jump, NULL), 0);
}

static int sleep_and_note(void *arg)
{
    const int *seconds = arg;

    CHECK_STATUS(task_sleep(*seconds * TASK_SECOND), 0);
    record("%d at %lld", *seconds, (long long)(loop_time() / TASK_SECOND));
    return 0;
}

static int sleep_in_parallel(void *arg)
{
    int seconds[] = {30, 10, 20};
    struct task *tasks[3];

    (void)arg;
    for (int i = 0; i < 3; i++)
        tasks[i] = task_create(sleep_and_note, &seconds[i]);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    return 0;
}

static void sleepers_wake_in_deadline_order(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(sleep_in_parallel, NULL), 0);
    assert_record("10 at 10, 20 at 20, 30 at 30");
}

static int yield_beside_a_timer(void *arg)
{
    int64_t id = loop_call_later(1, never, NULL);

    (void)arg;
    for (int i = 0; i < 1000; i++)
        CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(loop_time(), 0);
    CHECK_STATUS(loop_call_cancel(id), 0);
    return 0;
}

static void the_clock_stands_still_while_anything_is_ready(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(yield_beside_a_timer, NULL), 0);
}

static int advance(void *arg)
{
    (void)arg;
    CHECK(loop_call_at(3, note, text("c")) > 0);
    CHECK(loop_call_at(1, note, text("a")) > 0);
    CHECK(loop_call_at(2, note, text("b")) > 0);
    CHECK(loop_call_at(11, note, text("d")) > 0);
    loop_advance(loop_current(), 10);
    CHECK_STATUS(loop_time(), 10);
    loop_advance(loop_current(), 0);
    loop_advance(loop_current(), -5);
    loop_advance(loop_current(), INT64_MIN);
    CHECK_STATUS(loop_time(), 10);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_yield(), 0);
    record("main");
    return task_sleep(1);
}

static void an_advance_makes_all_timers_due_that_it_passes(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(advance, NULL), 0);
    assert_record("a at 10, b at 10, c at 10, main, d at 11");
}

static int advance_over_a_sleep(void *arg)
{
    (void)arg;
    loop_advance(loop_current(), 1000);
    CHECK_STATUS(task_sleep(100), 0);
    CHECK_STATUS(loop_time(), 1100);
    CHECK_STATUS(task_sleep_until(1050), 0);
    CHECK_STATUS(loop_time(), 1100);
    loop_advance(loop_current(), TASK_FOREVER);
    CHECK_STATUS(loop_time(), TASK_FOREVER - 1);
    loop_advance(loop_current(), TASK_FOREVER);
    CHECK_STATUS(loop_time(), TASK_FOREVER - 1);
    return task_yield();
}

static void an_advance_stops_short_of_for_ever(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(advance_over_a_sleep, NULL), 0);
}

static int tell_time(void *arg)
{
    *(task_time *)arg = loop_time();
    return 0;
}

static void the_clock_can_be_set_before_the_run(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    task_time time = -1;

    (void)state;
    assert_int_equal(loop_run_main(loop, tell_time, &time), 0);
    assert_true(time == 0);
    loop_advance(loop, 42);
    assert_int_equal(loop_run_main(loop, tell_time, &time), 0);
    assert_true(time == 42);
    test_loop_free(loop, NULL);
}

static int advance_a_real_clock(void *arg)
{
    task_time before = loop_time();

    (void)arg;
    loop_advance(loop_current(), TASK_HOUR);
    CHECK(loop_time() - before < TASK_HOUR);
    return 0;
}

static struct loop_options real_options(void)
{
    struct loop_options options = test_options(NULL);

    options.clock = LOOP_CLOCK_REAL;
    return options;
}

static void a_real_clock_cannot_be_advanced(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), advance_a_real_clock, NULL), 0);
}

static int cancel_sleepers(void *arg)
{
    struct task *sleeper = task_create(sleep_for_ever, NULL);
    int hour = 3600;
    struct task *other = task_create(sleep_and_note, &hour);

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS((long long)stats().timers, 1);
    CHECK_STATUS(task_cancel_await(sleeper), -ECANCELED);
    CHECK_STATUS(task_await(other), 0);
    return 0;
}

static void sleeping_for_ever_sets_no_timer(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(cancel_sleepers, NULL), 0);
    assert_record("3600 at 3600");
}

static int sleep_until_the_past(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(loop_call_soon(note, text("soon")) > 0);
    CHECK_STATUS(task_sleep_until(5), 0);
    record("main");
    CHECK_STATUS(task_sleep_until(-5), 0);
    CHECK_STATUS(task_sleep_until(INT64_MIN), 0);
    CHECK_STATUS(task_sleep(INT64_MIN), 0);
    CHECK_STATUS(task_sleep_until(TASK_SECOND), 0);
    CHECK_STATUS(loop_time(), TASK_SECOND);
    CHECK_STATUS((long long)stats().timers, 0);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_sleep_until(5), -ECANCELED);
    return 0;
}

static void sleeping_until_the_past_lets_the_others_run_once(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(sleep_until_the_past, NULL), 0);
    assert_record("soon at 1000000000, main");
}

static int keep_a_period(void *arg)
{
    task_time when = 0;

    (void)arg;
    for (int i = 0; i < 10000; i++) {
        when += 333;
        CHECK_STATUS(task_sleep_until(when), 0);
        loop_advance(loop_current(), i % 7);
    }
    CHECK(loop_time() - when < 7);
    return 0;
}

static void a_period_of_absolute_deadlines_does_not_drift(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(keep_a_period, NULL), 0);
}

/* A loop in a test of a loop: the clock of each is its own. */
static void clocks_of_two_loops_are_their_own(void **state)
{
    struct loop *a = test_loop_new(NULL);
    struct loop *b = test_loop_new(NULL);
    task_time time = 0;

    (void)state;
    loop_advance(a, 10);
    loop_advance(b, 20);
    assert_int_equal(loop_run_main(a, tell_time, &time), 0);
    assert_true(time == 10);
    assert_int_equal(loop_run_main(b, tell_time, &time), 0);
    assert_true(time == 20);
    test_loop_free(a, NULL);
    test_loop_free(b, NULL);
}

/* The real clock. */

static int sleep_really(void *arg)
{
    static const task_time delays[] = {1,
                                       100,
                                       TASK_MICROSECOND,
                                       50 * TASK_MICROSECOND,
                                       200 * TASK_MICROSECOND,
                                       999 * TASK_MICROSECOND,
                                       TASK_MILLISECOND,
                                       TASK_MILLISECOND + 1,
                                       4999 * TASK_MICROSECOND,
                                       5 * TASK_MILLISECOND,
                                       5001 * TASK_MICROSECOND,
                                       12345 * TASK_MICROSECOND};

    (void)arg;
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        task_time start = monotonic();

        CHECK_STATUS(task_sleep(delays[i]), 0);
        CHECK(monotonic() - start >= delays[i]);
        start = loop_time();
        CHECK_STATUS(task_sleep_until(start + delays[i]), 0);
        CHECK(loop_time() >= start + delays[i]);
    }
    return 0;
}

static void no_sleep_is_too_short(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), sleep_really, NULL), 0);
}

static void check_deadline(void *arg)
{
    CHECK(loop_time() >= *(task_time *)arg);
}

static int call_really(void *arg)
{
    task_time deadlines[100];
    task_time start = loop_time();

    (void)arg;
    for (int i = 0; i < 100; i++) {
        deadlines[i] = start + (i * 7919 % 100) * 100 * TASK_MICROSECOND + i;
        CHECK(loop_call_at(deadlines[i], check_deadline, &deadlines[i]) > 0);
    }
    return task_sleep_until(start + 11 * TASK_MILLISECOND);
}

static void no_callback_is_too_early(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), call_really, NULL), 0);
}

static int watch_time(void *arg)
{
    task_time last = loop_time();

    (void)arg;
    CHECK(last >= *(task_time *)arg);
    for (unsigned i = 0; i < test_rounds(10000); i++) {
        task_time now = loop_time();

        CHECK(now >= last);
        last = now;
        if (i % 100 == 0)
            CHECK_STATUS(task_sleep(i % 1000 ? 0 : 1), 0);
    }
    CHECK(last <= monotonic());
    return 0;
}

static void time_never_goes_back(void **state)
{
    task_time start = loop_time();

    (void)state;
    assert_int_equal(run_with(real_options(), watch_time, &start), 0);
    assert_true(loop_time() >= start);
    assert_true(loop_time() <= monotonic());
}

/* Counted in turns and looks, not in time: a noisy machine changes nothing. */
static int sleep_shortly(void *arg)
{
    unsigned n = test_rounds(1000);
    struct loop_stats before = stats();
    task_time start = loop_time();
    task_time used = processor_time();

    (void)arg;
    for (unsigned i = 0; i < n; i++)
        CHECK_STATUS(task_sleep(200 * TASK_MICROSECOND), 0);
    used = processor_time() - used;
    CHECK(loop_time() - start >= n * 200 * TASK_MICROSECOND);

    struct loop_stats after = stats();

    CHECK(after.turns - before.turns <= 2 * n);
    CHECK(after.polls - before.polls <= 2 * n);
    if (n == 1000)
        CHECK(used < n * 100 * TASK_MICROSECOND);
    return 0;
}

static void a_short_sleep_does_not_spin(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), sleep_shortly, NULL), 0);
}

static int compare_times(const void *a, const void *b)
{
    const task_time *x = a;
    const task_time *y = b;

    return (*x > *y) - (*x < *y);
}

#define SHORT (200 * TASK_MICROSECOND)

/* How late a timer of the kernel is that nothing but a read waits for. */
static task_time sleep_by_the_kernel(int timer)
{
    task_time until = monotonic() + SHORT;
    struct itimerspec spec = {
        .it_value = {until / TASK_SECOND, until % TASK_SECOND}};
    uint64_t n;

    CHECK(!timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL));
    CHECK(read(timer, &n, sizeof n) == sizeof n);
    return monotonic() - until;
}

static task_time sleep_by_the_loop(void)
{
    task_time start = monotonic();

    CHECK_STATUS(task_sleep(SHORT), 0);
    return monotonic() - start - SHORT;
}

/* How late the better quarter of the loop's sleeps is, and of the kernel's, in
 * turn: others run on this machine too. */
static int compare_lateness(void *arg)
{
    enum { N = 500 };
    static task_time ours[N];
    static task_time theirs[N];
    task_time *late = arg;
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

    for (int i = 0; i < N; i++) {
        ours[i] = sleep_by_the_loop();
        theirs[i] = sleep_by_the_kernel(timer);
    }
    close(timer);
    qsort(ours, N, sizeof ours[0], compare_times);
    qsort(theirs, N, sizeof theirs[0], compare_times);
    late[0] = ours[N / 4];
    late[1] = theirs[N / 4];
    return 0;
}

/* Were it waited for in milliseconds, it would be later by four times itself. */
static void a_short_sleep_is_hardly_later_than_the_kernels(void **state)
{
    struct loop_options options = real_options();
    task_time late[2];

    (void)state;
    if (options.backend == LOOP_BACKEND_POLL || test_rounds(50) < 50)
        skip(); /* milliseconds; slow */
    assert_int_equal(run_with(options, compare_lateness, late), 0);
    assert_true(late[0] < late[1] + SHORT / 2);
}

#define SLACK (4 * TASK_MILLISECOND)

struct slack_test {
    bool listens; /* to another thread; else nothing but time ends a wait */
    task_time late;
};

/* How late the least late is of sleeps that are longer than the slack: on a machine
 * that is busy most are, by others' time slices. */
static int sleep_with_slack(void *arg)
{
    enum { N = 20 };
    struct slack_test *test = arg;
    struct loop_remote *remote = test->listens ? loop_remote_open() : NULL;

    test->late = TASK_FOREVER;
    CHECK(!test->listens || remote);
    for (int i = 0; i < N; i++) {
        task_time until = loop_time() + 2 * SLACK;

        CHECK_STATUS(task_sleep_until(until), 0);

        task_time late = monotonic() - until;

        CHECK(late >= 0);
        test->late = late < test->late ? late : test->late;
    }
    if (remote)
        loop_remote_close(remote);
    return 0;
}

/* A time-out of the kernel's may come at any time up to the slack, and comes at its
 * end where nothing else is going on. Even that may be longer than the machine has
 * been up. */
static void a_sleep_is_not_late_by_the_timer_slack(void **state)
{
    struct loop_options options = real_options();
    long usual = syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    static const long slacks[] = {SLACK, LONG_MAX};

    (void)state;
    if (options.backend == LOOP_BACKEND_POLL || test_rounds(50) < 50 ||
        usual <= 0)
        skip();
    for (int i = 0; i < 4; i++) {
        struct slack_test test = {.listens = i % 2};
        int status;

        if (syscall(SYS_prctl, PR_SET_TIMERSLACK, slacks[i / 2], 0, 0, 0))
            skip();
        status = run_with(options, sleep_with_slack, &test);
        syscall(SYS_prctl, PR_SET_TIMERSLACK, usual, 0, 0, 0);
        assert_int_equal(status, 0);
        assert_true(test.late < SLACK / 2);
    }
}

/* A loop does not wake for each of a crowd that is due soon. */

enum { CROWD = 1000, DUE_SOON = 400, OTHERS = 100 };

struct due {
    int n;
    struct task_event all;
};

static void count_due(void *arg)
{
    struct due *due = arg;

    if (++due->n == DUE_SOON)
        task_event_set(&due->all);
}

/* A crowd of callbacks that are not called. */
static int call_in_an_hour(void *arg)
{
    for (int i = 0; i < CROWD; i++)
        CHECK(loop_call_later(TASK_HOUR, count_due, arg) > 0);
    return 0;
}

static void let_time_pass(void *until)
{
    while (monotonic() <= *(task_time *)until)
        continue;
}

static int call_every_ten_microseconds(struct due *due, task_time after)
{
    for (int i = 1; i <= DUE_SOON; i++)
        CHECK(loop_call_at(after + i * 10 * TASK_MICROSECOND, count_due, due) >
              0);
    return 0;
}

static int wait_with_a_crowd(void *arg)
{
    struct due due = {0};
    task_time began;
    uint64_t polls, most;

    (void)arg;
    began = loop_time();
    CHECK_STATUS(call_every_ten_microseconds(&due, began), 0);
    polls = stats().polls;
    CHECK_STATUS(task_event_wait(&due.all), 0);
    polls = stats().polls - polls;
    most = (uint64_t)(loop_time() - began) / (100 * TASK_MICROSECOND) + 20;
    CHECK(polls <= most);
    polls = stats().polls;
    for (int i = 0; i < 100; i++) {
        task_time until = loop_time() + 1; /* due when it is looked at */

        CHECK(loop_call_soon(let_time_pass, &until) > 0);
        CHECK_STATUS(task_sleep_until(until), 0);
    }
    CHECK(stats().polls == polls);
    return 0;
}

static void many_timers_do_not_each_wake_the_loop(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), wait_with_a_crowd, NULL), 0);
}

/* When, and until when, the poller is asked to wait. */
static struct {
    const struct poller_backend *backend;
    task_time now;
    task_time until;
} asked;

static void wait_and_note(struct poller *poller, task_time now, task_time until)
{
    asked.now = now;
    asked.until = until;
    asked.backend->wait(poller, now, until);
}

/*
 * How much later than they end the loop waits for sleeps of 100 us, at the most:
 * of forty that did not end before it could wait. Where a crowd is about, of as
 * many more as it takes until one is late: the crowd may be due at another time
 * than these for long, if the machine is busy.
 */
static task_time longest_overrun(bool has_crowd)
{
    struct poller *poller = loop_current()->poller;
    struct poller_backend backend = *poller->backend;
    task_time longest = -TASK_HOUR;
    int n = 0;

    asked.backend = poller->backend;
    backend.wait = wait_and_note;
    poller->backend = &backend;
    while (n < 40 || (has_crowd && longest <= 0 && n < 4000)) {
        task_time until = monotonic() + 100 * TASK_MICROSECOND;

        asked.now = TASK_FOREVER;
        CHECK_STATUS(task_sleep_until(until), 0);
        if (asked.now >= until) /* not asked, or too late: others ran */
            continue;
        n++;
        if (asked.until - until > longest)
            longest = asked.until - until;
    }
    poller->backend = asked.backend;
    return longest;
}

static int sleep_again_and_again(void *arg)
{
    (void)arg;
    while (!task_sleep(TASK_MILLISECOND))
        continue;
    return -ECANCELED;
}

static int sleep_alone_and_in_a_crowd(void *arg)
{
    struct task *others[OTHERS];
    struct due due = {0};
    task_time longest;

    (void)arg;
    CHECK_STATUS(longest_overrun(false), 0);
    CHECK_STATUS(call_in_an_hour(&due), 0);
    CHECK_STATUS(longest_overrun(false), 0);
    for (int i = 0; i < OTHERS; i++)
        others[i] = task_create(sleep_again_and_again, NULL);
    longest = longest_overrun(true);
    CHECK(longest > 0 && longest < 1100 * TASK_MICROSECOND);
    for (int i = 0; i < OTHERS; i++)
        CHECK_STATUS(task_cancel_await(others[i]), -ECANCELED);
    return 0;
}

static void
a_crowd_is_waited_for_a_little_longer_and_others_are_not(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), sleep_alone_and_in_a_crowd, NULL),
                     0);
}

static int sleep_virtually_in_a_crowd(void *arg)
{
    struct due due = {0};
    task_time until;

    (void)arg;
    until = loop_time() + 5 * TASK_MICROSECOND;
    CHECK_STATUS(call_every_ten_microseconds(&due, loop_time()), 0);
    CHECK_STATUS(task_sleep_until(until), 0);
    CHECK(loop_time() == until);
    return 0;
}

static void virtual_time_is_exact_in_a_crowd(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(sleep_virtually_in_a_crowd, NULL), 0);
}

static int yield_without_timers(void *arg)
{
    uint64_t armed = loop_current()->timers.armed;

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_sleep(0), 0);
    CHECK_STATUS(task_sleep(-1), 0);
    CHECK_STATUS(task_sleep_until(0), 0);
    CHECK(loop_current()->timers.armed == armed);
    CHECK_STATUS(task_sleep(1), 0);
    CHECK(loop_current()->timers.armed == armed + 1);
    return 0;
}

static void to_let_the_others_run_takes_no_timer(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(yield_without_timers, NULL), 0);
    assert_int_equal(run_with(real_options(), yield_without_timers, NULL), 0);
}

static void note_name(void *arg)
{
    record("%s", (const char *)arg);
}

static int block_beside_timers(void *arg)
{
    task_time now = loop_time();

    (void)arg;
    CHECK(loop_call_at(now + 3 * TASK_MILLISECOND, note_name, text("c")) > 0);
    CHECK(loop_call_at(now + 1 * TASK_MILLISECOND, note_name, text("a")) > 0);
    CHECK(loop_call_at(now + 2 * TASK_MILLISECOND, note_name, text("b")) > 0);
    be_busy(10 * TASK_MILLISECOND);
    CHECK_STATUS(task_yield(), 0);
    record("main");
    CHECK_STATUS(task_yield(), 0);
    record("main again");
    return 0;
}

static void overdue_timers_fire_in_order_in_the_next_turn(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), block_beside_timers, NULL), 0);
    assert_record("main, a, b, c, main again");
}

static int sleep_after_a_block(void *arg)
{
    task_time start;

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    be_busy(10 * TASK_MILLISECOND);
    start = monotonic();
    CHECK_STATUS(task_sleep(5 * TASK_MILLISECOND), 0);
    CHECK(monotonic() - start >= 5 * TASK_MILLISECOND);
    return 0;
}

static void a_sleep_after_a_block_begins_now(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), sleep_after_a_block, NULL), 0);
}

/* A wait of 30 ms takes one look, and as good as no time of the processor. */
static int be_idle(void *arg)
{
    struct loop_stats before = stats();
    task_time used = processor_time();

    (void)arg;
    CHECK_STATUS(task_sleep(30 * TASK_MILLISECOND), 0);
    used = processor_time() - used;

    struct loop_stats after = stats();

    CHECK(after.polls - before.polls <= 2);
    CHECK(after.turns - before.turns <= 2);
    CHECK(after.idle_time > before.idle_time);
    CHECK(used < 25 * TASK_MILLISECOND);
    return 0;
}

static void an_idle_loop_looks_once(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), be_idle, NULL), 0);
}

/* What a crowd has left is given back though nothing happens; and then the loop
 * is idle. */
static int idles_after_a_crowd(void *arg)
{
    enum { MANY = STACKS_WARM + 1000 };
    struct task **tasks = malloc(MANY * sizeof(struct task *));
    struct loop_stats before;

    CHECK(tasks != NULL);
    for (int i = 0; i < MANY; i++)
        tasks[i] = task_create(yields, arg);
    CHECK_STATUS(task_gather(tasks, MANY, NULL), 0);
    free(tasks);
    CHECK(stats().stacks_cached > STACKS_WARM + 100);
    CHECK_STATUS(task_sleep(4 * STACKS_PERIOD), 0);
    CHECK(stats().stacks_cached <= STACKS_WARM + 1);
    before = stats();
    CHECK_STATUS(task_sleep(STACKS_PERIOD), 0);
    CHECK(stats().polls - before.polls <= 10); /* one that spins: thousands */
    return 0;
}

static void an_idle_loop_gives_a_crowds_stacks_back(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), idles_after_a_crowd, NULL), 0);
}

/* As many are taken, so time alone gives none back. */
static int idles_beside_a_crowd(void *arg)
{
    enum { MANY = STACKS_WARM + 100 };
    struct task **tasks = malloc(2 * MANY * sizeof(struct task *));
    struct loop_stats before;

    CHECK(tasks != NULL);
    for (int i = 0; i < 2 * MANY; i++)
        tasks[i] = task_create(i < MANY ? yields : sleep_for_ever, arg);
    CHECK_STATUS(task_gather(tasks, MANY, NULL), 0);
    before = stats();
    CHECK(before.stacks_cached > STACKS_WARM);
    CHECK_STATUS(task_sleep(4 * STACKS_PERIOD), 0);
    CHECK(stats().polls - before.polls <= 3);
    for (int i = MANY; i < 2 * MANY; i++)
        CHECK(task_cancel(tasks[i]));
    CHECK_STATUS(task_gather(tasks + MANY, MANY, NULL), -ECANCELED);
    free(tasks);
    return 0;
}

static void stacks_that_a_crowd_may_need_wake_nobody(void **state)
{
    (void)state;
    if (HAVE_TSAN)
        skip(); /* to it each stack is a thread: it has 8,128 */
    assert_int_equal(run_with(real_options(), idles_beside_a_crowd, NULL), 0);
}

static int cancel_the_earliest(void *arg)
{
    int64_t ids[50];
    struct task *sleeper = task_create(sleep_for_ever, NULL);
    task_time start = loop_time();
    struct loop_stats before;

    (void)arg;
    for (int i = 0; i < 50; i++)
        ids[i] = loop_call_later((i + 1) * TASK_MILLISECOND / 5, never, NULL);
    for (int i = 0; i < 50; i++)
        CHECK_STATUS(loop_call_cancel(ids[i]), 0);
    before = stats();
    CHECK_STATUS(task_sleep_until(start + 30 * TASK_MILLISECOND), 0);
    CHECK(stats().polls - before.polls <= 3);
    return task_cancel_await(sleeper);
}

static void a_cancelled_timer_wakes_nobody(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_options(), cancel_the_earliest, NULL),
                     -ECANCELED);
}

/*
 * System calls of an idle loop: this program runs itself under strace. The part
 * that counts stands between two writes to descriptor -1.
 */
enum { MARK = -1 };

static int idle_between_marks(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    (void)!write(MARK, "begin", 5);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_sleep(50 * TASK_MILLISECOND), 0);
    (void)!write(MARK, "end", 3);
    return 0;
}

static int count_calls(FILE *trace)
{
    char line[400];
    int n = -1;

    while (fgets(line, sizeof line, trace))
        if (strstr(line, "\"begin\""))
            n = 0;
        else if (strstr(line, "\"end\""))
            return n;
        else if (n >= 0 && strstr(line, "timerfd_settime"))
            n--; /* an early end: two calls more, this and a wait */
        else if (n >= 0 && !strstr(line, "sigprocmask")) /* swapcontext */
            n++;
    return -1;
}

static void an_idle_loop_makes_one_system_call_a_wait(void **state)
{
    char file[] = "/tmp/task-strace-XXXXXX";
    char self[400] = "";
    int fd = mkstemp(file);
    int status = -1;
    pid_t pid;
    FILE *trace;
    int n;

    (void)state;
    assert_true(fd >= 0);
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    pid = fork();
    if (!pid) {
        dup2(fd, STDERR_FILENO);
        execlp("strace", "strace", "-o", file, self, "idle", NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    trace = fdopen(fd, "r");
    n = count_calls(trace);
    fclose(trace);
    unlink(file);
    if (status || n < 0)
        skip();
    assert_in_range(n, 1, 6);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        behaviour(a_million_virtual_seconds_pass_in_no_time),
        behaviour(the_clock_jumps_exactly_to_the_next_deadline),
        behaviour(sleepers_wake_in_deadline_order),
        behaviour(the_clock_stands_still_while_anything_is_ready),
        behaviour(an_advance_makes_all_timers_due_that_it_passes),
        behaviour(an_advance_stops_short_of_for_ever),
        behaviour(the_clock_can_be_set_before_the_run),
        behaviour(a_real_clock_cannot_be_advanced),
        behaviour(sleeping_for_ever_sets_no_timer),
        behaviour(sleeping_until_the_past_lets_the_others_run_once),
        behaviour(a_period_of_absolute_deadlines_does_not_drift),
        behaviour(clocks_of_two_loops_are_their_own),
        behaviour(no_sleep_is_too_short),
        behaviour(no_callback_is_too_early),
        behaviour(time_never_goes_back),
        behaviour(a_short_sleep_does_not_spin),
        behaviour(a_short_sleep_is_hardly_later_than_the_kernels),
        behaviour(a_sleep_is_not_late_by_the_timer_slack),
        behaviour(many_timers_do_not_each_wake_the_loop),
        behaviour(a_crowd_is_waited_for_a_little_longer_and_others_are_not),
        behaviour(virtual_time_is_exact_in_a_crowd),
        behaviour(to_let_the_others_run_takes_no_timer),
        behaviour(overdue_timers_fire_in_order_in_the_next_turn),
        behaviour(a_sleep_after_a_block_begins_now),
        behaviour(an_idle_loop_looks_once),
        behaviour(an_idle_loop_gives_a_crowds_stacks_back),
        behaviour(stacks_that_a_crowd_may_need_wake_nobody),
        behaviour(a_cancelled_timer_wakes_nobody),
        behaviour(an_idle_loop_makes_one_system_call_a_wait),
    };

    if (argc > 1 && !strcmp(argv[1], "idle"))
        return run_with(real_options(), idle_between_marks, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
