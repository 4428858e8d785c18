/* Callbacks: soon, later, at a time; cancelled; ids; what they may not do. */
#include "record.h"

#include <stdlib.h>
#include <string.h>
#include <task/io.h>
#include <unistd.h>

static void note(void *arg)
{
    record("%s", (const char *)arg);
}

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static void never(void *arg)
{
    (void)arg;
    CHECK_NOT_REACHED();
}

static size_t timers(void)
{
    struct loop_stats stats;

    loop_get_stats(loop_current(), &stats);
    return stats.timers;
}

/* Order. */

static int call_three(void *arg)
{
    (void)arg;
    CHECK(loop_call_soon(note, text("a")) > 0);
    CHECK(loop_call_soon(note, text("b")) > 0);
    CHECK(loop_call_soon(note, text("c")) > 0);
    record("main");
    return task_yield();
}

static void callbacks_run_first_in_first_out(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(call_three, NULL), 0);
    assert_record("main, a, b, c");
}

static void call_three_more(void *arg)
{
    note(arg);
    CHECK(loop_call_soon(note, text("x")) > 0);
    CHECK(loop_call_soon(note, text("y")) > 0);
    CHECK(loop_call_soon(note, text("z")) > 0);
}

static int call_from_a_callback(void *arg)
{
    (void)arg;
    CHECK(loop_call_soon(call_three_more, text("a")) > 0);
    CHECK(loop_call_soon(note, text("b")) > 0);
    CHECK_STATUS(task_yield(), 0);
    record("main");
    return task_yield();
}

static void callbacks_of_callbacks_run_in_the_next_turn(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(call_from_a_callback, NULL), 0);
    assert_record("a, b, main, x, y, z");
}

static int note_task(void *arg)
{
    note(arg);
    return 0;
}

static int mix_with_tasks(void *arg)
{
    (void)arg;
    CHECK(loop_call_soon(note, text("1")) > 0);
    task_detach(task_create(note_task, text("2")));
    CHECK(loop_call_soon(note, text("3")) > 0);
    task_detach(task_create(note_task, text("4")));
    return task_yield();
}

static void callbacks_and_tasks_stand_in_one_queue(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(mix_with_tasks, NULL), 0);
    assert_record("1, 2, 3, 4");
}

static void note_time(void *arg)
{
    record("%s at %lld", (const char *)arg, (long long)loop_time());
}

static int call_later(void *arg)
{
    (void)arg;
    CHECK(loop_call_later(30, note_time, text("c")) > 0);
    CHECK(loop_call_later(10, note_time, text("a")) > 0);
    CHECK(loop_call_at(loop_time() + 20, note_time, text("b")) > 0);
    CHECK(loop_call_at(40, note_time, text("d")) > 0);
    return task_sleep(50);
}

static void timers_fire_in_the_order_of_deadlines(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(call_later, NULL), 0);
    assert_record("a at 10, b at 20, c at 30, d at 40");
}

static struct task_event event;

static void set_and_note(void *timeout)
{
    record("set, %sexpired", task_timeout_expired(timeout) ? "" : "not ");
    task_event_set(&event);
}

static int sets_before_a_timeout(void *by)
{
    struct task_timeout timeout;
    int status;

    event = (struct task_event){0};
    CHECK(loop_call_later(TASK_SECOND, set_and_note, &timeout) > 0);
    task_timeout_begin(&timeout, 2 * TASK_SECOND);
    loop_advance(loop_current(), *(task_time *)by);
    status = task_event_wait(&event);
    return task_timeout_end(&timeout, status);
}

static void a_timeout_of_the_same_look_acts_before_the_call(void **state)
{
    static task_time by[] = {TASK_SECOND, 2 * TASK_SECOND};

    (void)state;
    assert_int_equal(run_virtual(sets_before_a_timeout, &by[0]), 0);
    assert_record("set, not expired");
    assert_int_equal(run_virtual(sets_before_a_timeout, &by[1]), -ETIMEDOUT);
    assert_record("set, expired");
}

static int call_in_the_past(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(loop_call_later(0, note, text("now")) > 0);
    CHECK(loop_call_later(-1, note, text("-1")) > 0);
    CHECK(loop_call_later(-2, note, text("-2")) > 0);
    CHECK(loop_call_at(5, note, text("at 5")) > 0);
    CHECK(loop_call_at(-5, note, text("at -5")) > 0);
    CHECK(loop_call_later(INT64_MIN, note, text("min")) > 0);
    CHECK(loop_call_at(INT64_MIN, note, text("at min")) > 0);
    CHECK(loop_call_soon(note, text("soon")) > 0);
    record("main");
    CHECK_STATUS(task_yield(), 0);
    record("main again");
    return task_yield();
}

static void negative_delays_are_deadlines_in_the_past(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(call_in_the_past, NULL), 0);
    assert_record("main, soon, main again, at min, min, at -5, at 5, -2, "
                  "-1, now");
}

static int look_at_the_past(void *arg)
{
    (void)arg;
    CHECK(loop_call_at(INT64_MIN, note, text("min")) > 0);
    CHECK_STATUS(loop_next_timeout(loop_current()), 0);
    loop_stop(loop_current());
    return task_yield();
}

static void a_deadline_at_the_beginning_of_time_is_due(void **state)
{
    struct loop *loop = test_loop_new(NULL);

    (void)state;
    loop_advance(loop, TASK_HOUR);
    assert_int_equal(loop_run_main(loop, look_at_the_past, NULL), -EAGAIN);
    assert_int_equal(loop_next_timeout(loop), 0);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_record("min");
    test_loop_free(loop, NULL);
}

enum { EQUALS = 1000 };

struct numbered {
    unsigned *next;
    unsigned number;
};

static void come_next(void *arg)
{
    struct numbered *self = arg;

    CHECK_STATUS(self->number, *self->next);
    ++*self->next;
}

static int call_equals(void *arg)
{
    static struct numbered calls[EQUALS];

    for (unsigned i = 0; i < EQUALS; i++) {
        calls[i] = (struct numbered){arg, i};
        CHECK(loop_call_at(TASK_SECOND, come_next, &calls[i]) > 0);
    }
    return task_sleep(2 * TASK_SECOND);
}

static void equal_deadlines_fire_in_the_order_of_setting(void **state)
{
    unsigned next = 0;

    (void)state;
    assert_int_equal(run_virtual(call_equals, &next), 0);
    assert_int_equal(next, EQUALS);
}

static void note_and_sleep_no_more(void *arg)
{
    struct task *future = arg;

    record("callback");
    CHECK_STATUS(task_future_complete(future, 0), 0);
}

static int sleep_beside_a_callback(void *arg)
{
    CHECK_STATUS(task_sleep_until(TASK_SECOND), 0);
    return note_task(arg);
}

static int mix_sleepers_and_callbacks(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    task_detach(task_create(sleep_beside_a_callback, text("a")));
    CHECK_STATUS(task_yield(), 0);
    CHECK(loop_call_at(TASK_SECOND, note_and_sleep_no_more, future) > 0);
    task_detach(task_create(sleep_beside_a_callback, text("b")));
    CHECK_STATUS(task_await(task_retain(future)), 0);
    task_detach(future);
    return 0;
}

static void sleepers_and_callbacks_share_one_order(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(mix_sleepers_and_callbacks, NULL), 0);
    assert_record("a, callback, b");
}

static int never_call(void *arg)
{
    (void)arg;
    CHECK(loop_call_later(TASK_FOREVER, never, NULL) > 0);
    CHECK(loop_call_at(TASK_FOREVER, never, NULL) > 0);
    CHECK_STATUS((long long)timers(), 0);
    loop_advance(loop_current(), TASK_FOREVER);
    CHECK(loop_call_later(TASK_FOREVER - 1, never, NULL) > 0);
    CHECK_STATUS((long long)timers(), 0);
    CHECK_STATUS(loop_call_cancel(loop_call_later(TASK_FOREVER, never, NULL)),
                 0);
    return task_yield();
}

static void for_ever_sets_no_timer(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(never_call, NULL), 0);
}

/* Misuse. */

static int call_nothing(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_call_soon(NULL, NULL), -EINVAL);
    CHECK_STATUS(loop_call_later(0, NULL, NULL), -EINVAL);
    CHECK_STATUS(loop_call_later(TASK_FOREVER, NULL, NULL), -EINVAL);
    CHECK_STATUS(loop_call_at(0, NULL, NULL), -EINVAL);
    return task_yield();
}

static void no_function_is_invalid(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(call_nothing, NULL), 0);
}

static void outside_a_loop_nothing_is_called(void **state)
{
    (void)state;
    assert_int_equal(loop_call_soon(never, NULL), -EPERM);
    assert_int_equal(loop_call_later(0, never, NULL), -EPERM);
    assert_int_equal(loop_call_at(0, never, NULL), -EPERM);
    assert_int_equal(loop_call_cancel(1), -ENOENT);
}

static void try_to_suspend(void *arg)
{
    struct task *task = task_create(note_task, text("task"));

    CHECK(task_current() == NULL);
    CHECK(loop_current() != NULL);
    CHECK_STATUS(task_sleep(0), -EPERM);
    CHECK_STATUS(task_sleep(TASK_SECOND), -EPERM);
    CHECK_STATUS(task_sleep_until(0), -EPERM);
    CHECK_STATUS(task_yield(), -EPERM);
    CHECK_STATUS(task_await(task), -EPERM);
    CHECK_STATUS(task_await(NULL), -EPERM);
    CHECK_STATUS(task_cancel_await(task), -EPERM);
    CHECK_STATUS(task_wait_all_blocked(), -EPERM);
    CHECK_STATUS(task_cancelling(task), 0);
    task_detach(task);
    note(arg);
}

static int call_one_that_suspends(void *arg)
{
    CHECK(loop_call_soon(try_to_suspend, arg) > 0);
    CHECK(loop_call_later(0, try_to_suspend, text("later")) > 0);
    CHECK_STATUS(task_yield(), 0);
    return task_sleep(1);
}

static void a_callback_cannot_suspend(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(call_one_that_suspends, text("soon")), 0);
    assert_record("soon, later, task, task");
}

static void create_eagerly(void *arg)
{
    struct task_options eager = {.eager = true};

    record("callback");
    task_detach(task_create_with(note_task, arg, &eager));
    CHECK(task_current() == NULL);
    record("callback again");
}

static int call_one_that_creates(void *arg)
{
    CHECK(loop_call_soon(create_eagerly, arg) > 0);
    CHECK(loop_call_soon(note, text("next")) > 0);
    return task_yield();
}

static void a_callback_may_create_an_eager_task(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(call_one_that_creates, text("task")), 0);
    assert_record("callback, task, callback again, next");
}

/* Cancelling. */

static int cancel_before(void *arg)
{
    int64_t ids[] = {loop_call_soon(never, NULL),
                     loop_call_later(0, never, NULL),
                     loop_call_later(TASK_SECOND, never, NULL),
                     loop_call_later(TASK_HOUR, never, NULL),
                     loop_call_at(-7, never, NULL),
                     loop_call_at(TASK_FOREVER, never, NULL)};

    (void)arg;
    CHECK_STATUS((long long)timers(), 4);
    for (size_t i = 0; i < 6; i++) {
        CHECK_STATUS(loop_call_cancel(ids[i]), 0);
        CHECK_STATUS(loop_call_cancel(ids[i]), -ENOENT);
    }
    CHECK_STATUS((long long)timers(), 0);
    CHECK_STATUS(task_sleep(2 * TASK_HOUR), 0);
    for (size_t i = 0; i < 6; i++)
        CHECK_STATUS(loop_call_cancel(ids[i]), -ENOENT);
    return 0;
}

static void a_cancelled_callback_is_never_called(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(cancel_before, NULL), 0);
}

static int cancel_after(void *arg)
{
    int64_t soon = loop_call_soon(note, text("soon"));
    int64_t later = loop_call_later(TASK_SECOND, note, text("later"));

    (void)arg;
    CHECK_STATUS(task_sleep(2 * TASK_SECOND), 0);
    CHECK_STATUS(loop_call_cancel(soon), -ENOENT);
    CHECK_STATUS(loop_call_cancel(later), -ENOENT);
    return 0;
}

static void one_that_ran_cannot_be_cancelled(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(cancel_after, NULL), 0);
    assert_record("soon, later");
}

static void cancel_self(void *arg)
{
    CHECK_STATUS(loop_call_cancel(*(int64_t *)arg), -ENOENT);
    record("self");
}

static int cancel_inside(void *arg)
{
    int64_t soon = loop_call_soon(cancel_self, &soon);
    int64_t later = loop_call_later(TASK_SECOND, cancel_self, &later);

    (void)arg;
    CHECK(soon > 0 && later > 0);
    return task_sleep(2 * TASK_SECOND);
}

static void one_that_runs_cannot_cancel_itself(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(cancel_inside, NULL), 0);
    assert_record("self, self");
}

static void cancel_other(void *arg)
{
    CHECK_STATUS(loop_call_cancel(*(int64_t *)arg), 0);
    CHECK_STATUS(loop_call_cancel(*(int64_t *)arg), -ENOENT);
    record("cancelled");
}

static int cancel_in_the_batch(void *arg)
{
    int64_t other;

    (void)arg;
    CHECK(loop_call_soon(cancel_other, &other) > 0);
    other = loop_call_soon(never, NULL);
    CHECK(loop_call_soon(note, text("last")) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(loop_call_at(TASK_SECOND, cancel_other, &other) > 0);
    other = loop_call_at(TASK_SECOND, never, NULL);
    CHECK(loop_call_at(TASK_SECOND, note, text("last timer")) > 0);
    return task_sleep(2 * TASK_SECOND);
}

static void one_of_the_same_batch_can_be_cancelled(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(cancel_in_the_batch, NULL), 0);
    assert_record("cancelled, last, cancelled, last timer");
}

/* The place of one cancelled in its batch is used again before its turn. */
static int reuse_in_the_batch(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        int64_t first = loop_call_soon(never, NULL);
        int64_t second;

        CHECK_STATUS(loop_call_cancel(first), 0);
        second = loop_call_soon(note, text("new"));
        CHECK(second > 0 && second != first);
        CHECK_STATUS(loop_call_cancel(first), -ENOENT);
    }
    return task_yield();
}

static void a_cancelled_one_is_not_mixed_up_with_its_successor(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(reuse_in_the_batch, NULL), 0);
    assert_record("new, new, new");
}

/* Identity. */

static int cancel_nonsense(void *arg)
{
    static const int64_t ids[] = {
        0, -1, 1, 2, 63, 64, 65, INT64_MIN, INT64_MAX, INT32_MAX, UINT32_MAX};
    unsigned called = 0;
    int64_t id = loop_call_soon(count, &called);

    (void)arg;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i] != id)
            CHECK_STATUS(loop_call_cancel(ids[i]), -ENOENT);
    CHECK_STATUS(loop_call_cancel(id + 1), -ENOENT);
    CHECK_STATUS(loop_call_cancel(id - 1), -ENOENT);
    CHECK_STATUS(loop_call_cancel(id ^ (INT64_C(1) << 32)), -ENOENT);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(called, 1);
    return 0;
}

static void an_id_that_never_was_is_harmless(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(cancel_nonsense, NULL), 0);
}

static int compare_ids(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

static int reuse_places(void *arg)
{
    unsigned n = test_rounds(100000);
    int64_t *ids = calloc(n, sizeof *ids);
    unsigned called = 0;

    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        ids[i] = i % 2 ? loop_call_soon(count, &called)
                       : loop_call_later(-1, count, &called);
        CHECK(ids[i] > 0);
        if (i % 7 == 6)
            CHECK_STATUS(task_yield(), 0);
    }
    CHECK_STATUS(task_sleep(1), 0);
    CHECK_STATUS(called, n);
    CHECK(loop_call_later(TASK_HOUR, count, &called) > 0);
    for (unsigned i = 0; i < n; i++)
        CHECK_STATUS(loop_call_cancel(ids[i]), -ENOENT);
    qsort(ids, n, sizeof *ids, compare_ids);
    for (unsigned i = 1; i < n; i++)
        CHECK(ids[i] != ids[i - 1]);
    CHECK_STATUS(task_sleep(2 * TASK_HOUR), 0);
    CHECK_STATUS(called, n + 1);
    free(ids);
    return 0;
}

static void stale_ids_are_harmless(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(reuse_places, NULL), 0);
}

static int64_t former_id;

static int call_and_keep_the_id(void *arg)
{
    former_id = loop_call_soon(note, arg);
    return task_yield();
}

static int cancel_what_is_kept(void *arg)
{
    int64_t id = loop_call_soon(note, arg);

    CHECK(id != former_id);
    CHECK_STATUS(loop_call_cancel(former_id), -ENOENT);
    return task_yield();
}

static void an_id_of_another_loop_is_harmless(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(call_and_keep_the_id, text("one")), 0);
    assert_int_equal(run_virtual(cancel_what_is_kept, text("two")), 0);
    assert_record("one, two");
}

/* Many. */

static int call_many(void *arg)
{
    unsigned n = test_rounds(100000);
    int64_t *ids = calloc(n, sizeof *ids);
    unsigned called = 0;

    (void)arg;
    for (unsigned i = 0; i < n; i++)
        ids[i] = loop_call_later(i % 1000, count, &called);
    CHECK_STATUS((long long)timers(), n);
    for (unsigned i = 0; i < n; i += 2)
        CHECK_STATUS(loop_call_cancel(ids[i]), 0);
    CHECK_STATUS((long long)timers(), n / 2);
    CHECK_STATUS(task_sleep(2000), 0);
    CHECK_STATUS(called, n / 2);
    for (unsigned i = 0; i < n; i++)
        CHECK_STATUS(loop_call_cancel(ids[i]), -ENOENT);
    free(ids);
    return 0;
}

static void any_number_can_be_set_and_cancelled(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(call_many, NULL), 0);
}

static int set_and_cancel(void *arg)
{
    const struct memory_count *memory = arg;
    size_t bytes = 0;

    CHECK(loop_call_later(TASK_HOUR, never, NULL) > 0);
    for (unsigned i = 0; i < test_rounds(1000000); i++) {
        int64_t id = loop_call_later(TASK_SECOND + i, never, NULL);

        CHECK(id > 0);
        CHECK_STATUS(loop_call_cancel(id), 0);
        if (i == 100)
            bytes = memory->bytes;
    }
    CHECK_STATUS((long long)memory->bytes, (long long)bytes);
    CHECK_STATUS((long long)timers(), 1);
    return 0;
}

static void setting_and_cancelling_keeps_memory_flat(void **state)
{
    struct memory_count memory = {0};
    struct loop *loop = test_loop_new(&memory);

    (void)state;
    assert_int_equal(loop_run_main(loop, set_and_cancel, &memory), 0);
    test_loop_free(loop, &memory);
}

static int set_and_run(void *arg)
{
    const struct memory_count *memory = arg;
    size_t bytes = 0;
    unsigned called = 0;
    unsigned n = test_rounds(200000);

    for (unsigned i = 0; i < n; i++) {
        CHECK(loop_call_soon(count, &called) > 0);
        CHECK(loop_call_later(0, count, &called) > 0);
        CHECK_STATUS(task_yield(), 0);
        if (i == 100)
            bytes = memory->bytes;
    }
    CHECK_STATUS((long long)memory->bytes, (long long)bytes);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(called, 2 * n);
    return 0;
}

static void running_them_keeps_memory_flat(void **state)
{
    struct memory_count memory = {0};
    struct loop *loop = test_loop_new(&memory);

    (void)state;
    assert_int_equal(loop_run_main(loop, set_and_run, &memory), 0);
    test_loop_free(loop, &memory);
}

/* Cancelling at once, without a turn, must not pile up what waits for one. */
static int cancel_soon(void *arg)
{
    const struct memory_count *memory = arg;
    size_t bytes = 0;

    for (unsigned i = 0; i < test_rounds(200000); i++) {
        CHECK_STATUS(loop_call_cancel(loop_call_soon(never, NULL)), 0);
        if (i % 100 == 99)
            CHECK_STATUS(task_yield(), 0);
        if (i == 1000)
            bytes = memory->bytes;
    }
    CHECK_STATUS((long long)memory->bytes, (long long)bytes);
    return 0;
}

static void cancelling_ready_ones_keeps_memory_flat(void **state)
{
    struct memory_count memory = {0};
    struct loop *loop = test_loop_new(&memory);

    (void)state;
    assert_int_equal(loop_run_main(loop, cancel_soon, &memory), 0);
    test_loop_free(loop, &memory);
}

/* A period kept by absolute deadlines. */
struct period {
    task_time next;
    unsigned n;
};

static void tick(void *arg)
{
    struct period *period = arg;

    CHECK_STATUS(loop_time(), period->next);
    period->next += 333;
    if (--period->n)
        CHECK(loop_call_at(period->next, tick, period) > 0);
}

static int run_periods(void *arg)
{
    struct period period = {.next = 1000, .n = 10000};

    (void)arg;
    CHECK(loop_call_at(period.next, tick, &period) > 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(period.n, 0);
    CHECK_STATUS(period.next, 1000 + 333 * 10000);
    return 0;
}

static void periods_of_absolute_deadlines_do_not_drift(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(run_periods, NULL), 0);
}

/* Whoever ends, or waits, sends for what comes after the next: callbacks, too, of
 * which most is not set (Valgrind sees to it). */
enum { CROWD = 2100 };

static int call_between(void *called)
{
    CHECK_STATUS(task_yield(), 0);
    CHECK(loop_call_soon(count, called) > 0);
    return task_yield();
}

static int create_crowd(void *arg)
{
    static struct task *crowd[CROWD];
    unsigned called = 0;

    (void)arg;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = task_create(call_between, &called);
    for (int i = 0; i < CROWD; i++)
        CHECK_STATUS(task_await(crowd[i]), 0);
    CHECK_STATUS(called, CROWD);
    return 0;
}

static void callbacks_stand_between_the_tasks_of_a_crowd(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(create_crowd, NULL), 0);
}

static int read_one(void *arg)
{
    const int *ends = arg;
    char c;

    return (int)task_read(ends[0], &c, 1);
}

static int read_among_callbacks(void *arg)
{
    int ends[2];
    unsigned called = 0;
    struct task *reader;

    (void)arg;
    CHECK_STATUS(pipe(ends), 0);
    reader = task_create(read_one, ends);
    for (int i = 0; i < 3; i++)
        CHECK(loop_call_soon(count, &called) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(called, 3);
    CHECK_STATUS(task_write(ends[1], "x", 1), 1);
    CHECK_STATUS(task_await(reader), 1);
    CHECK_STATUS(task_close(ends[0]), 0);
    CHECK_STATUS(task_close(ends[1]), 0);
    return 0;
}

static void callbacks_stand_behind_a_task_that_waits_for_input(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(read_among_callbacks, NULL), 0);
}

static void set(void *arg)
{
    task_event_set(arg);
}

/* While poll() would wait for a descriptor, too. */
static int call_long_ago(void *arg)
{
    int ends[2];
    struct task *reader;
    struct task_event called = {0};

    (void)arg;
    CHECK_STATUS(pipe(ends), 0);
    reader = task_create(read_one, ends);
    CHECK_STATUS(task_yield(), 0);
    CHECK(loop_call_at(INT64_MIN, set, &called) > 0);
    CHECK_STATUS(task_event_wait(&called), 0);
    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    CHECK_STATUS(task_close(ends[0]), 0);
    return task_close(ends[1]);
}

static void a_deadline_long_ago_is_no_wait(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    for (int clock = LOOP_CLOCK_REAL; clock <= LOOP_CLOCK_VIRTUAL; clock++) {
        options.clock = (enum loop_clock)clock;
        options.backend = LOOP_BACKEND_POLL;
        assert_int_equal(run_with(options, call_long_ago, NULL), 0);
        options.backend = LOOP_BACKEND_DEFAULT;
        assert_int_equal(run_with(options, call_long_ago, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(callbacks_run_first_in_first_out),
        behaviour(callbacks_of_callbacks_run_in_the_next_turn),
        behaviour(callbacks_and_tasks_stand_in_one_queue),
        behaviour(timers_fire_in_the_order_of_deadlines),
        behaviour(a_timeout_of_the_same_look_acts_before_the_call),
        behaviour(negative_delays_are_deadlines_in_the_past),
        behaviour(a_deadline_at_the_beginning_of_time_is_due),
        behaviour(equal_deadlines_fire_in_the_order_of_setting),
        behaviour(sleepers_and_callbacks_share_one_order),
        behaviour(for_ever_sets_no_timer),
        behaviour(no_function_is_invalid),
        behaviour(outside_a_loop_nothing_is_called),
        behaviour(a_callback_cannot_suspend),
        behaviour(a_callback_may_create_an_eager_task),
        behaviour(a_cancelled_callback_is_never_called),
        behaviour(one_that_ran_cannot_be_cancelled),
        behaviour(one_that_runs_cannot_cancel_itself),
        behaviour(one_of_the_same_batch_can_be_cancelled),
        behaviour(a_cancelled_one_is_not_mixed_up_with_its_successor),
        behaviour(an_id_that_never_was_is_harmless),
        behaviour(stale_ids_are_harmless),
        behaviour(an_id_of_another_loop_is_harmless),
        behaviour(any_number_can_be_set_and_cancelled),
        behaviour(setting_and_cancelling_keeps_memory_flat),
        behaviour(running_them_keeps_memory_flat),
        behaviour(cancelling_ready_ones_keeps_memory_flat),
        behaviour(periods_of_absolute_deadlines_do_not_drift),
        behaviour(callbacks_stand_between_the_tasks_of_a_crowd),
        behaviour(callbacks_stand_behind_a_task_that_waits_for_input),
        behaviour(a_deadline_long_ago_is_no_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
