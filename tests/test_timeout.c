/* Time-out scopes: in time, late, nested, cancelled, rescheduled, misused. */
#include "bodies.h"
#include "child.h"
#include "record.h"
#include "scope.h"

#include <stdlib.h>
#include <string.h>

/* The scope is over without a trace: no timer, no count, no request. */
static void check_no_trace(void)
{
    CHECK(stats().timers == 0);
    CHECK(requests() == 0);
    CHECK(task_deadline() == TASK_FOREVER);
    CHECK_STATUS(task_yield(), 0);
}

/* In time, and late. */

static int a_part_that_ends_in_time_keeps_its_status(void *arg)
{
    static const int statuses[] = {0, 7, -EIO, -ECANCELED, -ETIMEDOUT};
    struct task_timeout timeout;

    (void)arg;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        task_time began = loop_time();

        task_timeout_begin(&timeout, TASK_SECOND);
        CHECK(stats().timers == 1);
        CHECK_STATUS(task_sleep(TASK_SECOND - 1), 0);
        CHECK(!task_timeout_expired(&timeout));
        CHECK_STATUS(task_timeout_end(&timeout, statuses[i]), statuses[i]);
        CHECK(!task_timeout_expired(&timeout));
        CHECK(loop_time() == began + TASK_SECOND - 1);
        check_no_trace();
    }
    return 0;
}

static int a_late_part_is_cancelled_at_its_deadline(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    CHECK_STATUS(task_sleep(5), 0);
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(loop_time() == TASK_SECOND + 5);
    CHECK(task_timeout_expired(&timeout));
    CHECK(requests() == 1);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    CHECK(task_timeout_expired(&timeout));
    check_no_trace();
    return 0;
}

static int a_late_part_may_come_to_another_status(void *arg)
{
    static const int statuses[] = {0, 7, -EIO, -ETIMEDOUT};
    struct task_timeout timeout;

    (void)arg;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        task_timeout_begin(&timeout, TASK_SECOND);
        CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
        CHECK_STATUS(task_timeout_end(&timeout, statuses[i]), statuses[i]);
        CHECK(task_timeout_expired(&timeout));
        check_no_trace();
    }
    return 0;
}

static int the_deadline_is_told_once_so_that_clean_up_may_wait(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_MINUTE), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    CHECK(loop_time() == TASK_SECOND + TASK_MINUTE);
    check_no_trace();
    return 0;
}

static int a_part_that_does_not_suspend_is_not_stopped(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    loop_advance(loop_current(), TASK_HOUR);
    CHECK(!task_timeout_expired(&timeout));
    CHECK_STATUS(task_timeout_end(&timeout, 0), 0);
    CHECK(!task_timeout_expired(&timeout));
    check_no_trace();
    return 0;
}

static int a_part_that_is_late_hears_when_it_suspends(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    loop_advance(loop_current(), TASK_HOUR);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(loop_time() == TASK_HOUR);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    task_timeout_begin(&timeout, TASK_SECOND);
    loop_advance(loop_current(), TASK_HOUR);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

static int zero_or_less_is_too_late_in_the_next_turn(void *arg)
{
    static const task_time delays[] = {0, -1, -TASK_HOUR, INT64_MIN};
    struct task_timeout timeout;

    (void)arg;
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        uint64_t turn = turns_now();

        task_timeout_begin(&timeout, delays[i]);
        CHECK(!task_timeout_expired(&timeout));
        CHECK_STATUS(task_sleep(TASK_SECOND), -ECANCELED);
        CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
        CHECK(turns_now() == turn + 1);
        task_timeout_begin_at(&timeout, delays[i]);
        CHECK_STATUS(task_yield(), -ECANCELED);
        CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
        task_timeout_begin(&timeout, delays[i]);
        CHECK_STATUS(task_timeout_end(&timeout, 0), 0); /* did not suspend */
        CHECK(!task_timeout_expired(&timeout));
        CHECK(loop_time() == 0);
        check_no_trace();
    }
    return 0;
}

static int for_ever_sets_no_timer(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    CHECK_STATUS(task_sleep(1), 0);
    task_timeout_begin(&timeout, TASK_FOREVER);
    CHECK(stats().timers == 0);
    CHECK_STATUS(task_sleep(1000 * TASK_HOUR), 0);
    CHECK_STATUS(task_timeout_end(&timeout, 3), 3);
    task_timeout_begin_at(&timeout, TASK_FOREVER);
    CHECK(stats().timers == 0);
    CHECK_STATUS(task_timeout_end(&timeout, 3), 3);
    task_timeout_begin(&timeout, TASK_FOREVER - 1); /* beyond the end of time */
    CHECK(task_deadline() == TASK_FOREVER);
    CHECK_STATUS(task_timeout_end(&timeout, 3), 3);
    check_no_trace();
    return 0;
}

static int a_deadline_may_be_absolute(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    task_timeout_begin_at(&timeout, 3 * TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(loop_time() == 3 * TASK_SECOND);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

/* What the memory held before does not matter. */
static int a_scope_need_not_be_initialised_and_may_be_used_again(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    for (int i = 0; i < 256; i++) {
        memset(&timeout, i, sizeof timeout);
        task_timeout_begin(&timeout, 1);
        CHECK(!task_timeout_expired(&timeout));
        CHECK_STATUS(task_sleep(2), -ECANCELED);
        CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
        task_timeout_begin(&timeout, 2); /* not expired any more */
        CHECK(!task_timeout_expired(&timeout));
        CHECK_STATUS(task_sleep(1), 0);
        CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ECANCELED);
    }
    check_no_trace();
    return 0;
}

/* Every way of waiting is stopped, and leaves nothing. */

static int by_sleep_until(void *arg)
{
    (void)arg;
    return task_sleep_until(TASK_FOREVER);
}

static int by_yield(void *arg)
{
    int status = 0;

    (void)arg;
    loop_advance(loop_current(), TASK_SECOND);
    for (int i = 0; i < 3 && !status; i++)
        status = task_yield();
    return status;
}

static int by_await(void *arg)
{
    (void)arg;
    return task_await(task_create(sleeps_long, NULL));
}

static int by_await_for(void *arg)
{
    (void)arg;
    return task_await_for(task_create(sleeps_long, NULL), TASK_MINUTE);
}

static int by_shield(void *arg)
{
    struct task *task = task_create(sleeps_long, NULL);
    int status = task_shield(task);

    (void)arg;
    CHECK(!task_done(task));
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    return status;
}

static int by_gather(void *arg)
{
    struct task *tasks[] = {task_create(sleeps_long, NULL),
                            task_future_create()};

    (void)arg;
    return task_gather(tasks, 2, NULL);
}

static int by_race(void *arg)
{
    struct task *tasks[] = {task_create(sleeps_long, NULL),
                            task_future_create()};

    (void)arg;
    return task_race(tasks, 2, NULL);
}

static int by_wait(void *arg)
{
    struct task *task = task_create(sleeps_long, NULL);
    int status = task_wait(&task, 1, TASK_ALL_DONE, TASK_MINUTE);

    (void)arg;
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    return status;
}

static int by_group(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, sleeps_long, NULL), 0);
    return task_group_end(&group, 0);
}

static int every_way_of_waiting_is_stopped(void *arg)
{
    static task_fn *const ways[] = {sleeps_long, by_sleep_until,  by_yield,
                                    by_await,    awaits_a_future, by_await_for,
                                    by_shield,   by_gather,       by_race,
                                    by_wait,     by_group};

    (void)arg;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct task_timeout timeout;
        task_time began = loop_time();

        task_timeout_begin(&timeout, TASK_SECOND);
        CHECK_STATUS(task_timeout_end(&timeout, ways[i](NULL)), -ETIMEDOUT);
        CHECK(loop_time() == began + TASK_SECOND);
        CHECK(stats().tasks == 1);
        check_no_trace();
    }
    return 0;
}

/* Waiting for another task: it is asked, and waited for. */

static int cleans_up_for_a_minute(void *arg)
{
    int status = task_sleep(TASK_HOUR);

    CHECK_STATUS(status, -ECANCELED);
    for (int i = 0; i < 5; i++)
        CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_sleep(TASK_MINUTE), 0);
    record("clean");
    return arg ? *(int *)arg : status;
}

static int a_task_that_is_awaited_ends_before_its_awaiters_scope(void *arg)
{
    struct task_timeout timeout;
    int status;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    status = task_timeout_end(
        &timeout, task_await(task_create(cleans_up_for_a_minute, NULL)));
    CHECK_STATUS(status, -ETIMEDOUT);
    CHECK_RECORD("clean");
    CHECK(loop_time() == TASK_SECOND + TASK_MINUTE);
    check_no_trace();
    return 0;
}

static int what_a_late_task_comes_to_is_the_result(void *arg)
{
    static int results[] = {7, 0, -EIO};
    struct task_timeout timeout;

    (void)arg;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        int status;

        task_timeout_begin(&timeout, TASK_SECOND);
        status = task_await(task_create(cleans_up_for_a_minute, &results[i]));
        CHECK_STATUS(task_timeout_end(&timeout, status), results[i]);
        CHECK(task_timeout_expired(&timeout));
        CHECK_RECORD("clean");
        check_no_trace();
    }
    return 0;
}

static int an_ecanceled_by_coincidence_is_no_time_out(void *arg)
{
    struct task *sleeper = start(sleeps_long, NULL);
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK(task_cancel(sleeper));
    CHECK_STATUS(task_timeout_end(&timeout, task_await(sleeper)), -ECANCELED);
    CHECK(!task_timeout_expired(&timeout));
    check_no_trace();
    return 0;
}

/*
 * One turn: what is awaited completes (x), the task is cancelled from outside
 * (c), and its deadline passes (d), in any order.
 */

struct hit {
    struct task_timeout timeout;
    struct task *task;
    struct task *future;
    const char *after; /* the deadline */
};

static void strike(struct hit *hit, const char *blows)
{
    for (; *blows; blows++)
        if (*blows == 'x')
            (void)task_future_complete(hit->future, 5);
        else
            CHECK(task_cancel(hit->task));
}

static void strike_after(void *arg)
{
    struct hit *hit = arg;

    CHECK(task_timeout_expired(&hit->timeout));
    strike(hit, hit->after);
}

static int is_hit(void *arg)
{
    struct hit *hit = arg;
    int awaited;
    int ended;

    task_timeout_begin(&hit->timeout, TASK_FOREVER);
    awaited = task_await(task_retain(hit->future));
    ended = task_timeout_end(&hit->timeout, awaited);
    CHECK(task_timeout_expired(&hit->timeout));
    record("%d %d count %u", awaited, ended, requests());
    record("then %d", task_yield());
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

/* The blows before the deadline, and those after it but before the task runs. */
static void hit(const char *before, const char *after, const char *outcome)
{
    struct hit hit = {.future = task_future_create(), .after = after};

    hit.task = start(is_hit, &hit);
    strike(&hit, before);
    CHECK(loop_call_at(loop_time(), strike_after, &hit) > 0);
    CHECK_STATUS(task_timeout_reschedule(&hit.timeout, loop_time()), 0);
    CHECK_STATUS(task_await(hit.task), 0);
    task_detach(hit.future);
    CHECK_RECORD(outcome);
    CHECK(stats().timers == 0);
}

static int a_deadline_alone_is_a_time_out(void *arg)
{
    (void)arg;
    hit("", "", "-125 -110 count 0, then 0");
    return 0;
}

static int what_completed_before_the_deadline_is_delivered(void *arg)
{
    (void)arg;
    hit("x", "", "5 5 count 0, then 0");
    return 0;
}

static int what_completes_after_the_deadline_is_too_late(void *arg)
{
    (void)arg;
    hit("", "x", "-125 -110 count 0, then 0");
    return 0;
}

static int an_outside_request_wins_in_either_order(void *arg)
{
    (void)arg;
    hit("c", "", "-125 -125 count 1, then 0");
    hit("", "c", "-125 -125 count 1, then 0");
    hit("cc", "", "-125 -125 count 2, then 0");
    hit("", "cc", "-125 -125 count 2, then 0");
    return 0;
}

static int a_result_a_request_and_a_deadline_meet_in_any_order(void *arg)
{
    (void)arg;
    hit("xc", "", "5 5 count 1, then -125");
    hit("x", "c", "5 5 count 0, then -125"); /* it has run by then */
    hit("cx", "", "-125 -125 count 1, then 0");
    hit("", "cx", "-125 -125 count 1, then 0");
    hit("", "xc", "-125 -125 count 1, then 0");
    hit("c", "x", "-125 -125 count 1, then 0");
    return 0;
}

/* The same with a sleep, where a request wakes the task itself. */

static int sleeps_in_scope(void *arg)
{
    struct hit *hit = arg;
    int slept;
    int ended;

    task_timeout_begin(&hit->timeout, TASK_FOREVER);
    slept = task_sleep(TASK_HOUR);
    ended = task_timeout_end(&hit->timeout, slept);
    CHECK(task_timeout_expired(&hit->timeout));
    record("%d %d count %u", slept, ended, requests());
    record("then %d", task_yield());
    return 0;
}

static int a_sleeper_hears_of_a_request_and_a_deadline_once(void *arg)
{
    static const char *const blows[][2] = {
        {"c", ""}, {"", "c"}, {"cc", ""}, {"c", "c"}, {"", "cc"}};

    (void)arg;
    for (size_t i = 0; i < sizeof blows / sizeof *blows; i++) {
        struct hit hit = {.after = blows[i][1]};
        size_t n = strlen(blows[i][0]) + strlen(blows[i][1]);

        hit.task = start(sleeps_in_scope, &hit);
        strike(&hit, blows[i][0]);
        if (*hit.after)
            CHECK(loop_call_at(loop_time(), strike_after, &hit) > 0);
        CHECK_STATUS(task_timeout_reschedule(&hit.timeout, loop_time()), 0);
        CHECK_STATUS(task_await(hit.task), 0);
        if (i == 3) /* woken by the first, and gone when the last one comes */
            CHECK_RECORD("-125 -125 count 1, then -125");
        else
            CHECK_RECORD(n == 2 ? "-125 -125 count 2, then 0"
                                : "-125 -125 count 1, then 0");
    }
    return 0;
}

/* The sleep's end and the deadline at one time: in the order of setting. */
static int a_sleep_that_ends_at_the_deadline(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin_at(&timeout, TASK_SECOND);
    CHECK_STATUS(task_sleep_until(TASK_SECOND), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    task_timeout_begin_at(&timeout, 2 * TASK_SECOND + 1);
    CHECK_STATUS(task_sleep_until(2 * TASK_SECOND), 0);
    CHECK_STATUS(task_timeout_end(&timeout, 0), 0);
    CHECK(!task_timeout_expired(&timeout));
    task_timeout_begin_at(&timeout, 3 * TASK_SECOND - 1);
    CHECK_STATUS(task_sleep_until(3 * TASK_SECOND), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

static void put_off(void *arg)
{
    CHECK_STATUS(task_timeout_reschedule(arg, TASK_SECOND), 0);
}

static int a_sleep_that_ends_just_before_the_deadline_is_granted(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin_at(&timeout, TASK_HOUR);
    CHECK(loop_call_soon(put_off, &timeout) > 0); /* its timer is the later */
    CHECK_STATUS(task_sleep_until(TASK_SECOND), 0);
    CHECK(task_timeout_expired(&timeout));
    CHECK(requests() == 1);
    CHECK_STATUS(task_timeout_end(&timeout, 0), 0);
    check_no_trace(); /* the request that it has not heard of is taken back */
    return 0;
}

static int a_request_not_yet_heard_of_comes_at_the_next_call(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin_at(&timeout, TASK_HOUR);
    CHECK(loop_call_soon(put_off, &timeout) > 0);
    CHECK_STATUS(task_sleep_until(TASK_SECOND), 0);
    CHECK_STATUS(task_sleep(0), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

/* Counts. */

static int a_request_swallowed_before_is_not_the_scopes_business(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_yield(), -ECANCELED);
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(requests() == 2);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    CHECK(requests() == 1);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int a_request_swallowed_in_the_scope_is(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ECANCELED);
    CHECK(task_timeout_expired(&timeout));
    CHECK(requests() == 1);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int a_request_taken_back_in_the_scope_is_not(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK(task_uncancel(task_current()) == 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

/* After the scope's own was delivered: which of the two it was is known when
 * the scope takes back the other. */
static int one_taken_back_undelivered_does_not_come_after_the_scope(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(task_cancel(task_current()));
    CHECK(task_uncancel(task_current()) == 1);
    CHECK_STATUS(task_timeout_end(&timeout, 0), 0);
    CHECK_STATUS(task_yield(), 0);
    check_no_trace();
    return 0;
}

static void cancel_by_call(void *task)
{
    CHECK(task_cancel(task));
}

/* One that was heard before the scope is taken back in it: then the next one is
 * no old one. */
static int a_request_after_an_old_one_was_taken_back_is_from_outside(void *arg)
{
    for (int n_sleeps = 1; n_sleeps <= 2; n_sleeps++) {
        struct task_timeout timeout;

        CHECK(task_cancel(task_current()));
        CHECK_STATUS(task_yield(), -ECANCELED);
        task_timeout_begin(&timeout, 2 * TASK_SECOND);
        CHECK(task_uncancel(task_current()) == 0);
        CHECK(loop_call_later(TASK_SECOND, cancel_by_call, task_current()) > 0);
        for (int i = 0; i < n_sleeps; i++)
            CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
        CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ECANCELED);
        CHECK(requests() == 1);
        CHECK(task_uncancel(task_current()) == 0);
        check_no_trace();
    }
    (void)arg;
    return 0;
}

static int a_request_that_waits_on_entry_is_delivered_in_the_scope(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    CHECK(task_cancel(task_current()));
    task_timeout_begin(&timeout, 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(!task_timeout_expired(&timeout));
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ECANCELED);
    CHECK(requests() == 1);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int a_request_that_waits_on_entry_outlives_the_scope(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    CHECK(task_cancel(task_current()));
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_timeout_end(&timeout, 0), 0);
    CHECK(requests() == 1);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int swallows_the_first(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    record("%d", task_sleep(TASK_HOUR));
    return -ECANCELED;
}

static int a_request_passed_on_from_entry_is_not_the_deadline(void *arg)
{
    struct task *inner = start(swallows_the_first, NULL);
    struct task_timeout timeout;

    (void)arg;
    CHECK(task_cancel(task_current()));
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_timeout_end(&timeout, task_await(inner)), -ECANCELED);
    CHECK(task_timeout_expired(&timeout));
    CHECK(requests() == 1);
    CHECK_RECORD("-125");
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int a_request_on_entry_taken_back_leaves_the_deadline(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    CHECK(task_cancel(task_current()));
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(task_uncancel(task_current()) == 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

/* Nested: depth 0 is the outermost. */

enum { DEPTH = 3 };

static const int orders[][DEPTH] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
                                    {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};

enum { N_ORDERS = sizeof orders / sizeof *orders };

/* Begin a scope for each deadline, in seconds from `began`. */
static void begin_all(struct task_timeout timeouts[DEPTH], task_time began,
                      const int order[DEPTH])
{
    for (int i = 0; i < DEPTH; i++)
        task_timeout_begin_at(&timeouts[i], began + order[i] * TASK_SECOND);
}

static int the_first_of_nested_deadlines_ends_its_scope(void *arg)
{
    struct task_timeout timeouts[DEPTH];

    (void)arg;
    for (int n = 0; n < N_ORDERS; n++) {
        int status;

        begin_all(timeouts, loop_time(), orders[n]);
        status = task_sleep(TASK_HOUR);
        for (int i = DEPTH; i--;) {
            bool is_first = orders[n][i] == 1;

            CHECK(task_timeout_expired(&timeouts[i]) == is_first);
            status = task_timeout_end(&timeouts[i], status);
            CHECK_STATUS(status, is_first || status == -ETIMEDOUT ? -ETIMEDOUT
                                                                  : -ECANCELED);
        }
        CHECK_STATUS(status, -ETIMEDOUT);
        check_no_trace();
    }
    return 0;
}

static int an_expiry_that_was_dealt_with_leaves_the_outer_scope(void *arg)
{
    struct task_timeout outer;
    struct task_timeout inner;

    (void)arg;
    task_timeout_begin(&outer, 3 * TASK_SECOND);
    task_timeout_begin(&inner, TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&inner, -ECANCELED), -ETIMEDOUT);
    CHECK(!task_timeout_expired(&outer));
    CHECK(requests() == 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(loop_time() == 3 * TASK_SECOND);
    CHECK_STATUS(task_timeout_end(&outer, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

static int deadlines_that_all_passed_unnoticed_end_the_outermost(void *arg)
{
    struct task_timeout timeouts[DEPTH];

    (void)arg;
    for (int n = 0; n < N_ORDERS; n++) {
        int status;

        begin_all(timeouts, loop_time(), orders[n]);
        loop_advance(loop_current(), TASK_HOUR);
        status = task_sleep(TASK_HOUR);
        CHECK(requests() == DEPTH);
        for (int i = DEPTH; i--;) {
            CHECK(task_timeout_expired(&timeouts[i]));
            status = task_timeout_end(&timeouts[i], status);
            CHECK_STATUS(status, i ? -ECANCELED : -ETIMEDOUT);
            CHECK(requests() == (unsigned)i);
        }
        check_no_trace();
    }
    return 0;
}

/* An inner expiry that was dealt with does not hide the outer ones. */
static int an_outer_deadline_stops_who_goes_on(void *arg)
{
    struct task_timeout timeouts[DEPTH];

    (void)arg;
    for (int n = 0; n < N_ORDERS; n++) {
        task_time began = loop_time();

        begin_all(timeouts, began, orders[n]);
        loop_advance(loop_current(), TASK_HOUR);
        CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
        for (int i = DEPTH; i--;) {
            CHECK_STATUS(task_timeout_end(&timeouts[i], -ECANCELED),
                         i ? -ECANCELED : -ETIMEDOUT);
            CHECK(requests() == (unsigned)i);
            CHECK_STATUS(task_yield(), i ? -ECANCELED : 0);
            CHECK_STATUS(task_yield(), 0);
        }
        CHECK(loop_time() == began + TASK_HOUR);
        check_no_trace();
    }
    return 0;
}

/* The same, but the task was woken before, and has not heard of them. */

struct nest {
    const int *order;
    struct task *future;
};

static int is_woken_before_its_deadlines(void *arg)
{
    struct nest *nest = arg;
    struct task_timeout timeouts[DEPTH];

    begin_all(timeouts, loop_time(), nest->order);
    CHECK_STATUS(task_await(nest->future), 5);
    CHECK(requests() == DEPTH);
    CHECK_STATUS(task_timeout_end(&timeouts[2], 0), 0);
    CHECK(requests() == 2);
    CHECK_STATUS(task_yield(), -ECANCELED); /* both outer ones */
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_timeout_end(&timeouts[1], -ECANCELED), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeouts[0], -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

static int deadlines_not_heard_of_wait_for_the_next_call(void *arg)
{
    (void)arg;
    for (int n = 0; n < N_ORDERS; n++) {
        struct nest nest = {orders[n], task_future_create()};
        struct task *task = start(is_woken_before_its_deadlines, &nest);

        loop_advance(loop_current(), TASK_HOUR);
        CHECK_STATUS(task_future_complete(nest.future, 5), 0);
        CHECK_STATUS(task_await(task), 0);
    }
    return 0;
}

static int a_scope_in_the_clean_up_of_an_expired_one_has_its_own_end(void *arg)
{
    struct task_timeout outer;
    struct task_timeout inner;

    (void)arg;
    task_timeout_begin(&outer, TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    task_timeout_begin(&inner, TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(requests() == 2);
    CHECK_STATUS(task_timeout_end(&inner, -ECANCELED), -ETIMEDOUT);
    CHECK(requests() == 1);
    CHECK_STATUS(task_timeout_end(&outer, -ECANCELED), -ETIMEDOUT);
    CHECK(loop_time() == 2 * TASK_SECOND);
    check_no_trace();
    return 0;
}

/* The inner deadline ends what is awaited; then, before the task runs, the
 * outer one passes: that is told by the inner end, and once more to who goes on. */
static int an_outer_deadline_after_an_inner_one_is_not_missed(void *arg)
{
    struct task_timeout outer;
    struct task_timeout inner;

    (void)arg;
    task_timeout_begin_at(&outer, TASK_SECOND);
    task_timeout_begin_at(&inner, TASK_SECOND - 1);
    loop_advance(loop_current(), TASK_SECOND);
    CHECK_STATUS(task_await(task_future_create()), -ECANCELED);
    CHECK(task_timeout_expired(&outer) && task_timeout_expired(&inner));
    CHECK_STATUS(task_timeout_end(&inner, -ECANCELED), -ECANCELED);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_timeout_end(&outer, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

static int an_outer_deadline_that_was_heard_is_not_told_again(void *arg)
{
    struct task_timeout outer;
    struct task_timeout inner;

    (void)arg;
    task_timeout_begin(&outer, TASK_SECOND);
    task_timeout_begin(&inner, 2 * TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(requests() == 2);
    CHECK_STATUS(task_timeout_end(&inner, -ECANCELED), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_timeout_end(&outer, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

/* The scope's own request was delivered long ago, however often it was so to
 * others since: what it takes back is not one of these. The last of them comes
 * when the count of deliveries is what it was, in any number of bits. */
static int a_request_is_not_lost_after_millions_of_deliveries(void *arg)
{
    struct task *self = task_current();
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), -ECANCELED);
    for (unsigned n = test_rounds(1U << 21); --n;) {
        task_cancel(self);
        (void)task_yield();
        task_uncancel(self);
    }
    task_cancel(self);
    CHECK_STATUS(task_timeout_end(&timeout, 0), 0);
    CHECK_STATUS(task_cancelling(self), 1);
    CHECK_STATUS(task_yield(), -ECANCELED);
    return 0;
}

/* Half of the count is forgotten in the midst of what is told by it. */
static int the_count_of_deliveries_may_run_over_at_any_time(void *arg)
{
    enum { LAST = (1 << DELIVERIES_BITS) - 1 };
    struct task *self = task_current();

    (void)arg;
    for (unsigned n = 0; n < 4; n++) {
        struct task_timeout outer, inner;

        self->deliveries = (LAST - n) & LAST;
        task_timeout_begin(&outer, 0);
        task_timeout_begin(&inner, TASK_SECOND);
        CHECK_STATUS(task_sleep(TASK_SECOND), -ECANCELED);
        for (unsigned i = 0; i < 3; i++) {
            task_cancel(self);
            CHECK_STATUS(task_yield(), -ECANCELED);
            task_uncancel(self);
        }
        task_cancel(self);
        CHECK_STATUS(task_timeout_end(&inner, 0), 0);
        CHECK_STATUS(task_timeout_end(&outer, -ECANCELED), -ECANCELED);
        CHECK_STATUS(task_uncancel(self), 0);
        CHECK_STATUS(task_yield(), 0);
    }
    return 0;
}

static int every_nested_scope_restores_the_count_it_found(void *arg)
{
    struct task_timeout timeouts[DEPTH];

    (void)arg;
    for (unsigned before = 0; before < 3; before++) {
        CHECK(requests() == before);
        begin_all(timeouts, loop_time(), orders[before]);
        loop_advance(loop_current(), TASK_HOUR);
        CHECK_STATUS(task_sleep(1), -ECANCELED);
        for (int i = DEPTH; i--;) {
            CHECK(requests() == before + (unsigned)i + 1);
            (void)task_timeout_end(&timeouts[i], 0);
        }
        CHECK(requests() == before);
        CHECK_STATUS(task_yield(), 0);
        CHECK(task_cancel(task_current()));
        CHECK_STATUS(task_yield(), -ECANCELED);
    }
    return 0;
}

static int thousands_of_nested_scopes_expire_at_once(void *arg)
{
    size_t n = test_rounds(5000);
    struct task_timeout *timeouts = malloc(n * sizeof *timeouts);
    int status;

    (void)arg;
    if (!timeouts)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        task_timeout_begin(&timeouts[i], (task_time)(i % 7));
    loop_advance(loop_current(), TASK_SECOND);
    status = task_sleep(TASK_HOUR);
    CHECK(requests() == n);
    for (size_t i = n; i--;) {
        status = task_timeout_end(&timeouts[i], status);
        CHECK_STATUS(status, i ? -ECANCELED : -ETIMEDOUT);
    }
    free(timeouts);
    check_no_trace();
    return 0;
}

/* Another deadline. */

static int a_deadline_may_be_put_off_and_taken_away(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_timeout_reschedule(&timeout, TASK_MINUTE), 0);
    CHECK(task_deadline() == TASK_MINUTE);
    CHECK(stats().timers == 1);
    CHECK_STATUS(task_sleep(2 * TASK_SECOND), 0);
    CHECK_STATUS(task_timeout_reschedule(&timeout, TASK_FOREVER), 0);
    CHECK(task_deadline() == TASK_FOREVER);
    CHECK(stats().timers == 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), 0);
    CHECK_STATUS(task_timeout_reschedule(&timeout, 2 * TASK_HOUR), 0);
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    CHECK(loop_time() == 2 * TASK_HOUR);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

static void bring_forward(void *arg)
{
    CHECK_STATUS(task_timeout_reschedule(arg, loop_time() + TASK_SECOND), 0);
}

static int brings_forward(void *arg)
{
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    bring_forward(arg);
    return 0;
}

static int anyone_may_change_the_deadline_of_a_part_that_waits(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, TASK_HOUR);
    CHECK(loop_call_later(TASK_SECOND, bring_forward, &timeout) > 0);
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    CHECK(loop_time() == 2 * TASK_SECOND);
    task_timeout_begin(&timeout, TASK_FOREVER);
    task_detach(task_create(brings_forward, &timeout));
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    CHECK(loop_time() == 4 * TASK_SECOND);
    check_no_trace();
    return 0;
}

static int a_deadline_in_the_past_is_due_in_this_turn(void *arg)
{
    struct task_timeout timeout;
    uint64_t turn;

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    turn = turns_now();
    task_timeout_begin(&timeout, TASK_HOUR);
    CHECK_STATUS(task_timeout_reschedule(&timeout, 0), 0);
    CHECK(!task_timeout_expired(&timeout)); /* not before it suspends */
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(turns_now() == turn + 1);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

static int a_scope_of_no_use_any_more_takes_no_deadline(void *arg)
{
    struct task_timeout timeout = {.is_expired = false};

    (void)arg;
    CHECK_STATUS(task_timeout_reschedule(&timeout, 1), -EINVAL); /* before */
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_timeout_reschedule(&timeout, TASK_HOUR), -EINVAL);
    CHECK(task_deadline() == TASK_SECOND);
    CHECK(stats().timers == 0);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    CHECK_STATUS(task_timeout_reschedule(&timeout, TASK_HOUR), -EINVAL);
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK_STATUS(task_timeout_end(&timeout, 0), 0);
    CHECK_STATUS(task_timeout_reschedule(&timeout, TASK_HOUR), -EINVAL);
    check_no_trace();
    return 0;
}

static int stops_in_a_scope(void *arg)
{
    task_timeout_begin(arg, TASK_SECOND);
    loop_stop(loop_current());
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_timeout_end(arg, -ECANCELED), -ETIMEDOUT);
    return 0;
}

static int sleeps_two_seconds(void *arg)
{
    (void)arg;
    return task_sleep(2 * TASK_SECOND);
}

static void a_scope_stays_open_between_two_runs(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task_timeout timeout;

    (void)state;
    assert_int_equal(loop_run_main(loop, stops_in_a_scope, &timeout), -EAGAIN);
    assert_int_equal(task_timeout_reschedule(&timeout, 1), -EINVAL);
    assert_false(task_timeout_expired(&timeout));
    assert_int_equal(loop_run_main(loop, sleeps_two_seconds, NULL), 0);
    assert_true(task_timeout_expired(&timeout));
    test_loop_free(loop, &count);
    assert_record("");
}

/* When one has to be done. */

static void check_no_deadline(void *arg)
{
    (void)arg;
    CHECK(task_deadline() == TASK_FOREVER);
}

static int has_no_deadline(void *arg)
{
    check_no_deadline(arg);
    return 0;
}

static int the_nearest_of_nested_deadlines_is_told(void *arg)
{
    struct task_timeout timeouts[DEPTH];
    struct task_group group;

    (void)arg;
    CHECK(task_deadline() == TASK_FOREVER);
    for (int n = 0; n < N_ORDERS; n++) {
        task_time nearest = TASK_FOREVER;

        for (int i = 0; i < DEPTH; i++) {
            task_time when = orders[n][i] * TASK_SECOND;

            task_timeout_begin_at(&timeouts[i], when);
            nearest = when < nearest ? when : nearest;
            CHECK(task_deadline() == nearest);
        }
        task_group_begin(&group);
        CHECK(task_deadline() == nearest);
        CHECK_STATUS(task_group_end(&group, 0), 0);
        for (int i = DEPTH; i--;)
            CHECK_STATUS(task_timeout_end(&timeouts[i], 0), 0);
        CHECK(task_deadline() == TASK_FOREVER);
    }
    return 0;
}

static int a_deadline_is_the_tasks_own(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin_at(&timeout, TASK_SECOND);
    CHECK(loop_call_soon(check_no_deadline, NULL) > 0);
    CHECK_STATUS(task_await(task_create(has_no_deadline, NULL)), 0);
    CHECK(task_deadline() == TASK_SECOND);
    loop_advance(loop_current(), TASK_MINUTE);
    CHECK(task_deadline() == TASK_SECOND); /* which has passed */
    return task_timeout_end(&timeout, 0);
}

static void there_is_no_deadline_outside_a_loop(void **state)
{
    (void)state;
    assert_true(task_deadline() == TASK_FOREVER);
}

/* Misuse. */

static void a_scope_begun_outside_a_loop_says_so_at_its_end(void **state)
{
    struct task_timeout timeout;

    (void)state;
    memset(&timeout, 0xff, sizeof timeout);
    task_timeout_begin(&timeout, TASK_SECOND);
    assert_false(task_timeout_expired(&timeout));
    assert_int_equal(task_timeout_reschedule(&timeout, 1), -EINVAL);
    assert_int_equal(task_timeout_end(&timeout, 0), -EPERM);
    task_timeout_begin_at(&timeout, TASK_FOREVER);
    assert_int_equal(task_timeout_end(&timeout, -ECANCELED), -EPERM);
}

static void begin_in_callback(void *arg)
{
    struct task_timeout own;

    task_timeout_begin(arg, 0);
    task_timeout_begin(&own, 0);
    CHECK_STATUS(task_timeout_end(&own, 7), -EPERM);
}

static int a_scope_begun_in_a_callback_says_so_at_its_end(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    CHECK(loop_call_soon(begin_in_callback, &timeout) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(stats().timers == 0);
    CHECK_STATUS(task_timeout_reschedule(&timeout, 1), -EINVAL);
    CHECK_STATUS(task_timeout_end(&timeout, 7), -EPERM);
    check_no_trace();
    return 0;
}

static int begins_and_ends(void *arg)
{
    task_timeout_begin(arg, TASK_SECOND);
    CHECK_STATUS(task_sleep(1), 0);
    return task_timeout_end(arg, 7);
}

static void begin_and_end_in_callback(void *arg)
{
    task_timeout_begin(arg, TASK_SECOND);
    CHECK_STATUS(task_timeout_end(arg, 7), -EPERM);
}

/* Also where the owner has another one open in it; the deadline is what it was. */
static int a_scope_begun_while_it_is_anothers_is_left_alone(void *arg)
{
    struct task_timeout timeout;
    struct task_timeout inner;
    task_time began = loop_time();

    (void)arg;
    task_timeout_begin(&timeout, TASK_MINUTE);
    task_timeout_begin(&inner, TASK_HOUR);
    CHECK_STATUS(task_await(task_create(begins_and_ends, &timeout)), -EALREADY);
    CHECK(loop_call_soon(begin_and_end_in_callback, &timeout) > 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(loop_time() == began + TASK_MINUTE);
    CHECK_STATUS(task_timeout_end(&inner, -ECANCELED), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

static int a_copy_of_an_open_scope_is_not_open(void *arg)
{
    struct task_timeout timeout;
    struct task_timeout copies[2];

    (void)arg;
    task_timeout_begin(&timeout, TASK_MINUTE);
    copies[0] = copies[1] = timeout;
    CHECK_STATUS(task_await(task_create(begins_and_ends, &copies[0])), 7);
    CHECK_STATUS(begins_and_ends(&copies[1]), 7);
    CHECK_STATUS(task_timeout_end(&timeout, 5), 5);
    check_no_trace();
    return 0;
}

static int does_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* It took minutes where each was searched for in all tasks. */
static int what_seems_open_is_not_searched_for_in_all_tasks(void *arg)
{
    unsigned n = test_rounds(20000);
    struct task_timeout timeout;

    (void)arg;
    for (unsigned i = 0; i < n; i++)
        task_detach(task_create(does_nothing, NULL));
    for (unsigned i = 0; i < 50 * n; i++) {
        memset(&timeout, SCOPE_OPEN, sizeof timeout);
        task_timeout_begin(&timeout, TASK_FOREVER);
        CHECK_STATUS(task_timeout_end(&timeout, 7), 7);
    }
    check_no_trace();
    return 0;
}

static int a_scope_begun_again_while_it_is_open_says_so(void *arg)
{
    struct task_timeout timeout;
    struct task_timeout inner;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    task_timeout_begin(&timeout, TASK_HOUR);
    task_timeout_begin(&inner, TASK_HOUR);
    task_timeout_begin_at(&timeout, 0);
    CHECK_STATUS(task_timeout_end(&inner, 5), 5);
    CHECK(stats().timers == 1);
    CHECK(task_deadline() == TASK_SECOND); /* the first one's */
    CHECK_STATUS(task_timeout_end(&timeout, 0), -EALREADY);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, 0), -EALREADY);
    CHECK(task_timeout_expired(&timeout));
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    check_no_trace();
    return 0;
}

static int ends_out_of_order(void *arg)
{
    struct task_timeout outer;
    struct task_timeout inner;

    (void)arg;
    task_timeout_begin(&outer, 1);
    task_timeout_begin(&inner, 1);
    return task_timeout_end(&outer, 0);
}

static int ends_twice(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, 1);
    (void)task_timeout_end(&timeout, 0);
    return task_timeout_end(&timeout, 0);
}

static int ends_what_was_not_begun(void *arg)
{
    struct task_timeout timeout = {.is_expired = false};

    (void)arg;
    return task_timeout_end(&timeout, 0);
}

static int ends_anothers(void *arg)
{
    return task_timeout_end(arg, 0);
}

static int has_its_scope_ended(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, 1);
    return task_await(task_create(ends_anothers, &timeout));
}

static void ends_a_tasks(void *arg)
{
    (void)task_timeout_end(arg, 0);
}

static int has_its_scope_ended_by_a_callback(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin(&timeout, 1);
    CHECK(loop_call_soon(ends_a_tasks, &timeout) > 0);
    return task_sleep(1);
}

static int leaves_open(void *arg)
{
    task_timeout_begin(arg, 1);
    return 0;
}

static int ends_in_the_midst(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    return task_await(task_create_with(leaves_open, &timeout,
                                       &(struct task_options){.name = "it"}));
}

static void what_cannot_go_on_aborts_and_says_why(void **state)
{
    static const struct {
        task_fn *fn;
        const char *sentence;
    } cases[] = {
        {ends_out_of_order, "ended a scope that is not its innermost\n"},
        {ends_twice, "ended a scope that is not open\n"},
        {ends_what_was_not_begun, "ended a scope that is not open\n"},
        {has_its_scope_ended, "ended a scope of another task's\n"},
        {has_its_scope_ended_by_a_callback,
         "code outside of any task ended a scope of another task's\n"},
        {ends_in_the_midst, "libtask: task 2 \"it\", created at "},
        {ends_in_the_midst, " ended in the midst of a scope\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        task_fn *fn = cases[i].fn;

        assert_true(child_aborts(run_it, &fn, cases[i].sentence));
    }
}

/* A task that nothing wakes is dropped with its scopes. */

static int waits_in_a_scope_for_ever(void *arg)
{
    struct task_timeout timeout;
    struct task_group group;

    (void)arg;
    task_timeout_begin(&timeout, 100 * TASK_HOUR);
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, sleeps_long, NULL), 0);
    for (;;)
        CHECK(task_sleep(TASK_FOREVER) == -ECANCELED);
    return 0;
}

static int leaves_it(void *arg)
{
    (void)arg;
    task_detach(start(waits_in_a_scope_for_ever, NULL));
    return 0;
}

static void a_task_that_is_dropped_takes_its_scopes_along(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.shutdown_timeout = TASK_MINUTE;
    assert_int_equal(run_with(options, leaves_it, NULL), 0);
    assert_record("shutdown(task-2, -110)");
}

static struct task_timeout lasting;

static int stays_in_a_scope_that_lasts(void *arg)
{
    struct task_timeout inner;

    (void)arg;
    task_timeout_begin(&lasting, 100 * TASK_HOUR);
    task_timeout_begin(&inner, TASK_FOREVER);
    for (;;)
        CHECK(task_sleep(TASK_HOUR) <= 0);
    return 0;
}

static int leaves_one_that_lasts(void *arg)
{
    (void)arg;
    task_detach(start(stays_in_a_scope_that_lasts, NULL));
    return 0;
}

static void find_it_closed(const struct loop_error *error, void *arg)
{
    (void)arg;
    record("%s", error->task_name);
    CHECK_STATUS(task_timeout_reschedule(&lasting, 1), -EINVAL);
}

static int begins_it_anew(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_timeout_reschedule(&lasting, 1), -EINVAL);
    CHECK(!task_timeout_expired(&lasting));
    task_timeout_begin(&lasting, TASK_SECOND);
    CHECK_STATUS(task_timeout_reschedule(&lasting, 2 * TASK_SECOND), 0);
    CHECK_STATUS(task_timeout_end(&lasting, task_sleep(TASK_HOUR)), -ETIMEDOUT);
    CHECK(loop_time() == 2 * TASK_SECOND);
    check_no_trace();
    return 0;
}

static void what_a_dropped_task_has_left_open_is_over(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.shutdown_timeout = TASK_MINUTE;
    options.on_error = find_it_closed;
    assert_int_equal(run_with(options, leaves_one_that_lasts, NULL), 0);
    assert_record("task-2");
    assert_int_equal(run_virtual(begins_it_anew, NULL), 0);
}

/* Memory and timers. */

static int a_million_scopes_with_far_deadlines_leave_nothing(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    for (unsigned i = test_rounds(1000000); i; i--) {
        task_timeout_begin(&timeout, TASK_HOUR + (task_time)i * 1000);
        if (task_timeout_end(&timeout, 7) != 7)
            return -EIO;
    }
    CHECK(loop_next_timeout(loop_current()) == TASK_FOREVER);
    check_no_trace();
    return 0;
}

static int end_it(void *arg)
{
    struct task_timeout timeout;
    int status = 0;

    for (int i = 0; i < *(int *)arg && !status; i++) {
        task_timeout_begin(&timeout, TASK_SECOND);
        CHECK(task_timeout_expired(&timeout) == false);
        status = task_timeout_end(&timeout, task_sleep(TASK_MILLISECOND));
    }
    return status;
}

static int many_tasks_have_scopes_at_once(void *arg)
{
    struct task *tasks[50];
    int n = 20;

    (void)arg;
    for (int i = 0; i < 50; i++)
        tasks[i] = task_create(end_it, &n);
    CHECK_STATUS(task_gather(tasks, 50, NULL), 0);
    check_no_trace();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_part_that_ends_in_time_keeps_its_status),
        in_main(a_late_part_is_cancelled_at_its_deadline),
        in_main(a_late_part_may_come_to_another_status),
        in_main(the_deadline_is_told_once_so_that_clean_up_may_wait),
        in_main(a_part_that_does_not_suspend_is_not_stopped),
        in_main(a_part_that_is_late_hears_when_it_suspends),
        in_main(zero_or_less_is_too_late_in_the_next_turn),
        in_main(for_ever_sets_no_timer),
        in_main(a_deadline_may_be_absolute),
        in_main(a_scope_need_not_be_initialised_and_may_be_used_again),
        in_main(every_way_of_waiting_is_stopped),
        in_main(a_task_that_is_awaited_ends_before_its_awaiters_scope),
        in_main(what_a_late_task_comes_to_is_the_result),
        in_main(an_ecanceled_by_coincidence_is_no_time_out),
        in_main(a_deadline_alone_is_a_time_out),
        in_main(what_completed_before_the_deadline_is_delivered),
        in_main(what_completes_after_the_deadline_is_too_late),
        in_main(an_outside_request_wins_in_either_order),
        in_main(a_result_a_request_and_a_deadline_meet_in_any_order),
        in_main(a_sleeper_hears_of_a_request_and_a_deadline_once),
        in_main(a_sleep_that_ends_at_the_deadline),
        in_main(a_sleep_that_ends_just_before_the_deadline_is_granted),
        in_main(a_request_not_yet_heard_of_comes_at_the_next_call),
        in_main(a_request_swallowed_before_is_not_the_scopes_business),
        in_main(a_request_swallowed_in_the_scope_is),
        in_main(a_request_taken_back_in_the_scope_is_not),
        in_main(one_taken_back_undelivered_does_not_come_after_the_scope),
        in_main(a_request_after_an_old_one_was_taken_back_is_from_outside),
        in_main(a_request_that_waits_on_entry_is_delivered_in_the_scope),
        in_main(a_request_that_waits_on_entry_outlives_the_scope),
        in_main(a_request_passed_on_from_entry_is_not_the_deadline),
        in_main(a_request_on_entry_taken_back_leaves_the_deadline),
        in_main(the_first_of_nested_deadlines_ends_its_scope),
        in_main(an_expiry_that_was_dealt_with_leaves_the_outer_scope),
        in_main(deadlines_that_all_passed_unnoticed_end_the_outermost),
        in_main(an_outer_deadline_stops_who_goes_on),
        in_main(deadlines_not_heard_of_wait_for_the_next_call),
        in_main(a_scope_in_the_clean_up_of_an_expired_one_has_its_own_end),
        in_main(an_outer_deadline_after_an_inner_one_is_not_missed),
        in_main(an_outer_deadline_that_was_heard_is_not_told_again),
        in_main(a_request_is_not_lost_after_millions_of_deliveries),
        in_main(the_count_of_deliveries_may_run_over_at_any_time),
        in_main(every_nested_scope_restores_the_count_it_found),
        in_main(thousands_of_nested_scopes_expire_at_once),
        in_main(a_deadline_may_be_put_off_and_taken_away),
        in_main(anyone_may_change_the_deadline_of_a_part_that_waits),
        in_main(a_deadline_in_the_past_is_due_in_this_turn),
        in_main(a_scope_of_no_use_any_more_takes_no_deadline),
        behaviour(a_scope_stays_open_between_two_runs),
        in_main(the_nearest_of_nested_deadlines_is_told),
        in_main(a_deadline_is_the_tasks_own),
        behaviour(there_is_no_deadline_outside_a_loop),
        behaviour(a_scope_begun_outside_a_loop_says_so_at_its_end),
        in_main(a_scope_begun_in_a_callback_says_so_at_its_end),
        in_main(a_scope_begun_while_it_is_anothers_is_left_alone),
        in_main(a_copy_of_an_open_scope_is_not_open),
        in_main(what_seems_open_is_not_searched_for_in_all_tasks),
        in_main(a_scope_begun_again_while_it_is_open_says_so),
        behaviour(what_cannot_go_on_aborts_and_says_why),
        behaviour(a_task_that_is_dropped_takes_its_scopes_along),
        behaviour(what_a_dropped_task_has_left_open_is_over),
        in_main(a_million_scopes_with_far_deadlines_leave_nothing),
        in_main(many_tasks_have_scopes_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
