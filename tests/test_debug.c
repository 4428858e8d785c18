/* What debug mode reports, in which words; and that each is reported once. */
#include "bodies.h"
#include "child.h"
#include "gate.h"
#include "record.h"

#include "base.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Reports go to the record in full; times, places and offsets are masked. */
static void record_message(const struct loop_error *error, void *arg)
{
    char text[1200];
    char *to = text;

    (void)arg;
    snprintf(text, sizeof text, "%s", error->message);
    masked(text);
    for (const char *from = text; *from; from++) {
        bool is_number =
            isdigit((unsigned char)*from) &&
            (strstr(from, " ms") == from + strspn(from, "0123456789.") ||
             (from > text && from[-1] == ':'));

        if (is_number) {
            from += strspn(from, "0123456789.") - 1;
            *to++ = 'N';
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    record("%s", text);
    if (error->task) {
        CHECK(error->task_id == task_id(error->task));
        CHECK(error->task_name == task_name(error->task));
    }
    CHECK(error->loop != NULL);
}

static struct loop_options debug_options(void)
{
    struct loop_options options = test_options(NULL);

    options.debug = true;
    options.on_error = record_message;
    options.slow_step = TASK_HOUR;
    return options;
}

static int run_debug(task_fn *fn, void *arg)
{
    return run_with(debug_options(), fn, arg);
}

static task_time real_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (task_time)now.tv_sec * TASK_SECOND + now.tv_nsec;
}

/* Slow steps: in milliseconds, with room for a busy machine. */

enum { SLOW = 80, LIMIT = 60 };

static void hold(task_time time)
{
    task_time end = real_time() + time;

    while (real_time() < end)
        continue;
}

static int holds(void *arg)
{
    (void)arg;
    hold(SLOW * TASK_MILLISECOND);
    return task_yield();
}

static int runs_a_slow_one(void *arg)
{
    struct task *task =
        task_create_with(holds, arg, &(struct task_options){.name = "slow"});

    return task_await(task);
}

static struct loop_options slow_options(void)
{
    struct loop_options options = debug_options();

    options.slow_step = LIMIT * TASK_MILLISECOND;
    return options;
}

static void a_slow_step_is_reported_each_time(void **state)
{
    (void)state;
    assert_int_equal(run_with(slow_options(), runs_a_slow_one, NULL), 0);
    assert_record("task 2 \"slow\", created at test_debug.c:N, held the loop "
                  "for N ms (N ms on the processor)");
    assert_int_equal(run_with(slow_options(), holds, NULL), 0);
    assert_record("task 1 \"task-1\" held the loop for N ms (N ms on the "
                  "processor)");
}

static int holds_twice(void *arg)
{
    holds(arg);
    return holds(arg);
}

static void each_slow_step_is_one_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(run_with(slow_options(), holds_twice, NULL), 0);
    assert_record("task 1 \"task-1\" held the loop for N ms (N ms on the "
                  "processor), task 1 \"task-1\" held the loop for N ms (N ms "
                  "on the processor)");
}

static void hold_as_callback(void *arg)
{
    (void)arg;
    hold(SLOW * TASK_MILLISECOND);
}

static void hold_when_done(struct task *task, void *arg)
{
    (void)task;
    hold_as_callback(arg);
}

static int has_slow_callbacks(void *arg)
{
    struct task *task = task_create(returns, &(int){0});

    CHECK(loop_call_soon(hold_as_callback, arg) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(loop_call_later(TASK_SECOND, hold_as_callback, arg) > 0);
    CHECK_STATUS(task_sleep(2 * TASK_SECOND), 0);
    CHECK_STATUS(task_add_done_callback(task, hold_when_done, arg), 0);
    CHECK_STATUS(task_yield(), 0);
    return task_await(task);
}

static void slow_callbacks_are_named(void **state)
{
    (void)state;
    assert_int_equal(run_with(slow_options(), has_slow_callbacks, NULL), 0);
    assert_record("callback hold_as_callback held the loop for N ms (N ms on "
                  "the processor), callback hold_as_callback held the loop for "
                  "N ms (N ms on the processor), callback hold_when_done held "
                  "the loop for N ms (N ms on the processor)");
}

static void *calls_a_slow_one(void *arg)
{
    CHECK_STATUS(loop_remote_call(arg, hold_as_callback, NULL), 0);
    return NULL;
}

static int has_slow_calls_by_a_remote(void *arg)
{
    struct loop_remote *remote = loop_remote_open();

    (void)arg;
    thread_join(thread_start(calls_a_slow_one, remote));
    calls_a_slow_one(remote);
    loop_set_debug(loop_current(), true); /* this step may be slow itself */
    CHECK_STATUS(task_yield(), 0);
    loop_remote_close(remote);
    return 0;
}

static void slow_calls_by_a_remote_are_named(void **state)
{
    struct loop_options options = slow_options();

    (void)state;
    options.debug = false;
    assert_int_equal(run_with(options, has_slow_calls_by_a_remote, NULL), 0);
    assert_record("callback hold_as_callback held the loop for N ms (N ms on "
                  "the processor), callback hold_as_callback held the loop for "
                  "N ms (N ms on the processor)");
}

static int starts_eagerly(void *arg)
{
    struct task *task = test_start(holds, arg, "eager");

    CHECK_STATUS(task_yield(), 0);
    return task_await(task);
}

static void an_eager_step_is_not_its_creators(void **state)
{
    (void)state;
    assert_int_equal(run_with(slow_options(), starts_eagerly, NULL), 0);
    assert_record(
        "task 2 \"eager\", created at record.c:N, held the loop for N "
        "ms (N ms on the processor)");
}

static int switches_on(void *arg)
{
    loop_set_debug(loop_current(), true);
    record("%s", (const char *)arg);
    return 0;
}

static int switches_on_twice(void *arg)
{
    struct task_options eager = {.eager = true};

    loop_set_debug(loop_current(), true);
    CHECK_STATUS(task_await(task_create_with(switches_on, arg, &eager)), 0);
    return 0;
}

/* In the midst of a batch, of which nobody is lost. */
static int switches_on_in_a_batch(void *arg)
{
    (void)arg;
    task_detach(task_create(switches_on_twice, text("eager")));
    task_detach(task_create(says, text("b")));
    task_detach(task_create(says, text("c")));
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("eager, b, c");
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static void it_may_be_switched_on_again_by_an_eager_task(void **state)
{
    struct loop_options options = debug_options();

    (void)state;
    options.debug = false;
    assert_int_equal(run_with(options, switches_on_in_a_batch, NULL), 0);
    assert_record("");
}

static char message[1200];
static enum loop_error_kind kind;

static void keep_message(const struct loop_error *error, void *arg)
{
    (void)arg;
    snprintf(message, sizeof message, "%s", error->message);
    kind = error->kind;
}

static int naps(void *arg)
{
    (void)arg;
    return usleep(120000);
}

static void wall_and_processor_time_are_told_apart(void **state)
{
    struct loop_options options = debug_options();
    const char *part;

    (void)state;
    options.slow_step = 0; /* what it is by default: 100 ms */
    options.on_error = keep_message;
    assert_int_equal(run_with(options, naps, NULL), 0);
    assert_int_equal(kind, LOOP_ERROR_SLOW_STEP);
    part = strstr(message, "for ");
    assert_non_null(part);
    assert_true(atof(part + 4) >= 120);
    part = strchr(message, '(');
    assert_non_null(part);
    assert_true(atof(part + 1) < 100);
}

static int measures_steps(void *arg)
{
    struct loop_stats before = stats();
    struct loop_stats after;

    holds(arg);
    after = stats();
    CHECK(before.longest_step < LIMIT * TASK_MILLISECOND);
    CHECK(after.longest_step >= SLOW * TASK_MILLISECOND);
    return 0;
}

static void the_longest_step_is_measured(void **state)
{
    struct loop_options options = debug_options();

    (void)state;
    assert_int_equal(run_with(options, measures_steps, NULL), 0);
    options.debug = false;
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(run_with(options, measures_steps, NULL), 0);
}

/* Handles. */

static int leaves_handles(void *arg)
{
    int seven = 7;

    (void)arg;
    (void)task_create(returns, &seven);
    (void)task_future_create();
    task_detach(task_create(returns, &seven));
    return task_yield();
}

static void a_handle_that_nobody_ended_is_reported_with_its_loop(void **state)
{
    (void)state;
    assert_int_equal(run_debug(leaves_handles, NULL), 0);
    assert_record("task 2 \"task-2\", created at test_debug.c:N, was neither "
                  "awaited nor detached, future 3 \"task-3\", created at "
                  "test_debug.c:N, was neither awaited nor detached");
}

static int leaves_a_failed_handle(void *arg)
{
    (void)task_create(fails, arg);
    return task_yield();
}

static void a_failure_that_was_reported_is_no_leak_as_well(void **state)
{
    (void)state;
    assert_int_equal(run_debug(leaves_a_failed_handle, NULL), 0);
    assert_record("task 2 \"task-2\", created at test_debug.c:N, failed and "
                  "nobody awaited it: Input/output error (-5)");
}

static int ends_handles(void *arg)
{
    struct task *tasks[] = {task_create(yields, arg), task_create(yields, arg)};
    struct task_group group = {0};

    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, yields, arg), 0);
    CHECK_STATUS(task_await(task_group_create(&group, yields, arg)), 0);
    CHECK_STATUS(task_gather(tasks, 2, NULL), 0);
    task_detach(task_create(sleeps_for_ever, arg));
    return task_group_end(&group, 0);
}

static void what_is_right_is_not_reported(void **state)
{
    (void)state;
    assert_int_equal(run_debug(ends_handles, NULL), 0);
    assert_record("");
}

/* Requests to cancel. */

static int ignores(void *arg)
{
    int n = *(int *)arg;

    task_sleep(TASK_FOREVER);
    for (int i = 0; i < n; i++)
        CHECK_STATUS(i % 2 ? task_yield() : task_sleep(1), 0);
    return 0;
}

static int cancels_one_that_ignores(void *arg)
{
    struct task *task = test_start(ignores, arg, "stubborn");

    CHECK_STATUS(task_yield(), 0);
    return task_cancel_await(task);
}

static void a_task_that_ignores_a_request_is_reported_once(void **state)
{
    int n = 500;

    (void)state;
    assert_int_equal(run_debug(cancels_one_that_ignores, &n), 0);
    assert_record("task 2 \"stubborn\", created at record.c:N, was cancelled, "
                  "and has been suspended 101 times since");
}

static void a_hundred_suspensions_are_allowed(void **state)
{
    struct loop_options options = debug_options();
    int n = 100;

    (void)state;
    assert_int_equal(run_debug(cancels_one_that_ignores, &n), 0);
    assert_record("");
    options.on_error = keep_message;
    n = 101;
    assert_int_equal(run_with(options, cancels_one_that_ignores, &n), 0);
    assert_int_equal(kind, LOOP_ERROR_IGNORED_CANCEL);
}

static int takes_back(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    task_uncancel(task_current());
    for (int i = 0; i < 200; i++)
        CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int cancels_one_that_takes_back(void *arg)
{
    struct task *task = test_start(takes_back, arg, "relieved");

    CHECK_STATUS(task_yield(), 0);
    return task_cancel_await(task);
}

static void a_request_that_was_taken_back_is_not_ignored(void **state)
{
    (void)state;
    assert_int_equal(run_debug(cancels_one_that_takes_back, NULL), 0);
    assert_record("");
}

static int times_out_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++) {
        struct task_timeout timeout = {0};

        task_timeout_begin(&timeout, TASK_SECOND);
        CHECK_STATUS(task_timeout_end(&timeout, task_sleep(TASK_HOUR)),
                     -ETIMEDOUT);
    }
    return 0;
}

static void time_outs_are_no_requests_from_outside(void **state)
{
    (void)state;
    assert_int_equal(run_debug(times_out_often, NULL), 0);
    assert_record("");
}

/* Misuse. */

static struct task_lock nobodys;

static NEVER_INLINE void release(void)
{
    CHECK_STATUS(task_lock_release(&nobodys), -EPERM);
    CHECK_STATUS(task_lock_release(&nobodys), -EPERM);
}

static int releases(void *arg)
{
    (void)arg;
    release();
    release();
    return 0;
}

static void misuse_is_reported_once_for_each_place(void **state)
{
    (void)state;
    assert_int_equal(run_debug(releases, NULL), 0);
    assert_record("task_lock_release: the caller does not own the lock "
                  "(-EPERM); called by task 1 \"task-1\" in release+0x, "
                  "task_lock_release: the caller does not own the lock "
                  "(-EPERM); called by task 1 \"task-1\" in release+0x");
    assert_int_equal(run_debug(releases, NULL), 0);
    record_clear();
}

static void misuse_in_callback(void *arg)
{
    struct task *future = arg;

    CHECK_STATUS(task_yield(), -EPERM);
    CHECK_STATUS(task_await(future), -EPERM);
    CHECK_STATUS(task_local_set(&(struct task_local){NULL, NULL}, arg), -EPERM);
}

static int misuses_in_a_callback(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK(loop_call_soon(misuse_in_callback, future) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_future_complete(future, 0), 0);
    CHECK_STATUS(task_future_complete(future, 0), -EALREADY);
    return task_await(future);
}

static void outside_a_task_misuse_names_the_place(void **state)
{
    (void)state;
    assert_int_equal(run_debug(misuses_in_a_callback, NULL), 0);
    assert_record(
        "task_yield: it was called outside a task (-EPERM); called in "
        "misuse_in_callback+0x, "
        "task_await: it was called outside a task (-EPERM); called in "
        "misuse_in_callback+0x, "
        "task_local_set: it was called outside a task (-EPERM); called in "
        "misuse_in_callback+0x, "
        "task_future_complete: the future is done (-EALREADY); called by task "
        "1 \"task-1\" in misuses_in_a_callback+0x");
}

static int misuses_much(void *arg)
{
    struct task *self = task_current();
    struct task_barrier barrier;
    struct task_semaphore semaphore;
    struct task_queue queue;
    struct task_lock lock = {0};
    struct task_condition condition = {0};
    struct task_rwlock rwlock = {0};

    (void)arg;
    CHECK_STATUS(task_await(self), -EDEADLK);
    CHECK_STATUS(task_cancel_await(self), -EDEADLK);
    CHECK_STATUS(task_gather(&self, 1, NULL), -EDEADLK);
    CHECK_STATUS(task_race(&self, 0, NULL), -EINVAL);
    CHECK_STATUS(task_wait(&self, 0, TASK_ALL_DONE, 0), -EINVAL);
    CHECK_STATUS(task_barrier_init(&barrier, 0), -EINVAL);
    CHECK_STATUS(task_semaphore_init(&semaphore, -1), -EINVAL);
    CHECK_STATUS(task_queue_init_priority(&queue, 1, 1, NULL), -EINVAL);
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK_STATUS(task_lock_acquire(&lock), -EDEADLK);
    CHECK_STATUS(task_lock_destroy(&lock), -EBUSY);
    CHECK_STATUS(task_lock_release(&lock), 0);
    CHECK_STATUS(task_condition_wait(&condition, &lock), -EPERM);
    CHECK_STATUS(task_rwlock_write_release(&rwlock), -EPERM);
    CHECK_STATUS(task_rwlock_read_release(&rwlock), -EPERM);
    CHECK_STATUS(loop_run(yields, NULL), -EBUSY);
    CHECK_STATUS(loop_free(loop_current()), -EBUSY);
    CHECK_STATUS(loop_call_soon(NULL, NULL), -EINVAL);
    CHECK(!task_create(NULL, NULL));
    CHECK_STATUS(task_select(NULL, 0, 0), -EINVAL);
    return 0;
}

/* The calls and statuses that the messages begin with. */
static void record_misuse(const struct loop_error *error, void *arg)
{
    const char *at = error->message;

    (void)arg;
    CHECK_STATUS(error->kind, LOOP_ERROR_MISUSE);
    CHECK(error->status < 0 && strstr(at, "(-E"));
    CHECK(error->task == task_current() || !task_current());
    record("%.*s", (int)strcspn(at, ":"), at);
}

static void every_misuse_names_its_call(void **state)
{
    struct loop_options options = debug_options();

    (void)state;
    options.on_error = record_misuse;
    assert_int_equal(run_with(options, misuses_much, NULL), 0);
    assert_record("task_await, task_cancel_await, task_gather, task_race, "
                  "task_wait, task_barrier_init, task_semaphore_init, "
                  "task_queue_init_priority, task_lock_acquire, "
                  "task_lock_destroy, task_condition_wait, "
                  "task_rwlock_write_release, task_rwlock_read_release, "
                  "loop_run, loop_free, loop_call_soon, task_create, "
                  "task_select");
}

static void without_debug_mode_nothing_is_reported(void **state)
{
    struct loop_options options = debug_options();
    int n = 500;

    if (getenv("TASK_DEBUG"))
        skip();
    (void)state;
    options.debug = false;
    options.slow_step = 1;
    assert_int_equal(run_with(options, misuses_much, NULL), 0);
    assert_int_equal(run_with(options, leaves_handles, NULL), 0);
    assert_int_equal(run_with(options, cancels_one_that_ignores, &n), 0);
    assert_record("");
}

static int switches_it_on_and_off(void *arg)
{
    struct loop *loop = loop_current();

    releases(arg);
    loop_set_debug(loop, true);
    CHECK_STATUS(task_yield(), 0);
    hold(SLOW * TASK_MILLISECOND);
    CHECK_STATUS(task_yield(), 0);
    loop_set_debug(loop, false);
    CHECK_STATUS(task_yield(), 0);
    releases(arg);
    hold(SLOW * TASK_MILLISECOND);
    return task_yield();
}

static void it_is_switched_on_and_off_at_any_time(void **state)
{
    struct loop_options options = debug_options();

    (void)state;
    options.debug = false;
    options.slow_step = LIMIT * TASK_MILLISECOND;
    assert_int_equal(run_with(options, switches_it_on_and_off, NULL), 0);
    assert_record("task 1 \"task-1\" held the loop for N ms (N ms on the "
                  "processor)");
}

/* Other threads. */

static struct task *victim;
static struct loop *victims_loop;
static char foreign[8][1000];
static int n_foreign;

static void keep_foreign(const struct loop_error *error, void *arg)
{
    (void)arg;
    CHECK_STATUS(error->kind, LOOP_ERROR_MISUSE);
    CHECK_STATUS(error->status,
                 strstr(error->message, "loop_run") ? -EBUSY : -EPERM);
    CHECK(error->loop == victims_loop);
    if (n_foreign < 8)
        masked(strcpy(foreign[n_foreign++], error->message));
}

static NEVER_INLINE void intrude(void)
{
    CHECK(!task_cancel(victim));
    CHECK_STATUS(task_future_complete(victim, 0), -EPERM);
    CHECK_STATUS(task_await(victim), -EPERM);
    CHECK(!loop_create_task(victims_loop, yields, NULL));
    loop_stop(victims_loop);
    CHECK_STATUS(loop_run_forever(victims_loop), -EBUSY);
}

static void *intrude_twice(void *arg)
{
    intrude();
    intrude();
    return arg;
}

static int has_an_intruder(void *arg)
{
    pthread_t thread;

    victim = task_future_create();
    victims_loop = loop_current();
    CHECK(!pthread_create(&thread, NULL, intrude_twice, arg));
    CHECK(!pthread_join(thread, NULL));
    CHECK(!task_done(victim));
    CHECK_STATUS(task_cancelling(victim), 0);
    task_detach(victim);
    return task_yield();
}

static void calls_from_another_thread_are_refused_and_reported(void **state)
{
    static const char *const wanted[] = {
        "task_cancel: the loop runs in another thread (-EPERM); called in "
        "intrude+0x",
        "task_future_complete: the loop runs in another thread (-EPERM); "
        "called in intrude+0x",
        "task_await: the loop runs in another thread (-EPERM); called in "
        "intrude+0x",
        "loop_create_task: the loop runs in another thread (-EPERM); called in "
        "intrude+0x",
        "loop_stop: the loop runs in another thread (-EPERM); called in "
        "intrude+0x",
        "loop_run_forever: the loop runs in another thread (-EBUSY); called in "
        "intrude+0x",
    };
    struct loop_options options = debug_options();

    (void)state;
    n_foreign = 0;
    options.on_error = keep_foreign;
    assert_int_equal(run_with(options, has_an_intruder, NULL), 0);
    for (int i = 0; i < n_foreign && i < 6; i++)
        assert_string_equal(foreign[i], wanted[i]);
    assert_int_equal(n_foreign, 6);
}

/* What knows no loop. */

static struct task_event gong;

static NEVER_INLINE void strike(void)
{
    task_event_set(&gong);
    CHECK(task_event_is_set(&gong)); /* so it is no tail call */
}

static NEVER_INLINE void strike_elsewhere(void)
{
    strike();
    CHECK(task_event_is_set(&gong));
}

static void *strikes(void *arg)
{
    void (*const *strike_in)(void) = arg;

    (*strike_in)();
    return NULL;
}

static int waits_for_the_gong(void *arg)
{
    return task_event_wait(arg);
}

static int is_struck_by_others(void *arg)
{
    static void (*const ways[])(void) = {strike, strike, strike_elsewhere};

    (void)arg;
    victims_loop = loop_current();
    for (int i = 0; i < 3; i++) {
        struct task *task = task_create(waits_for_the_gong, &gong);
        pthread_t thread;

        CHECK_STATUS(task_yield(), 0);
        CHECK(!pthread_create(&thread, NULL, strikes,
                              (void *)(uintptr_t)&ways[i]));
        CHECK(!pthread_join(thread, NULL));
        CHECK_STATUS(task_await(task), 0);
        task_event_clear(&gong);
    }
    return 0;
}

static void a_wake_from_another_thread_is_told_with_its_callers(void **state)
{
    static const char begin[] = "a call from another thread: it woke a task of "
                                "a loop that runs (-EPERM); called in ";
    struct loop_options options = debug_options();

    (void)state;
    n_foreign = 0;
    options.on_error = keep_foreign;
    assert_int_equal(run_with(options, is_struck_by_others, NULL), 0);
    /* The second one is of the first one's place. */
    assert_int_equal(n_foreign, 2);
    for (int i = 0; i < n_foreign; i++) {
        assert_memory_equal(foreign[i], begin, strlen(begin));
        assert_non_null(strstr(foreign[i], " from strike+0x"));
    }
    assert_null(strstr(foreign[0], " from strike_elsewhere+0x"));
    assert_non_null(strstr(foreign[1], " from strike_elsewhere+0x"));
}

/* On stderr. */

static char said[1 << 14];

static int uses_much(void *arg)
{
    volatile char much[20000];

    (void)arg;
    for (size_t i = 0; i < sizeof much; i++)
        much[i] = (char)i;
    return much[7] == 7 ? 0 : -1;
}

static int starts_many(void *arg)
{
    for (int i = 0; i < 1203; i++)
        CHECK_STATUS(task_await(task_create(yields, arg)), 0);
    CHECK_STATUS(task_await(task_create(uses_much, arg)), 0);
    return task_await(task_create(yields, arg));
}

static void run_by_default(void *arg)
{
    struct loop *loop = loop_new(&(struct loop_options){.debug = true});

    loop_run_main(loop, starts_many, arg);
    loop_free(loop);
    if (checks_failed())
        _exit(1);
}

/* In the line about this function: the kilobytes used at the most; and that it
 * goes on like this. */
static double kilobytes(const char *function, const char *rest)
{
    char opening[100];
    const char *line;

    snprintf(opening, sizeof opening, "  %s: at most ", function);
    line = strstr(said, opening);
    assert_non_null(line);
    line += strlen(opening);
    assert_memory_equal(line + strcspn(line, " "), rest, strlen(rest));
    return atof(line);
}

static void the_use_of_stacks_is_told_at_the_end(void **state)
{
    double much;
    double little;

    (void)state;
    assert_int_equal(child_listen(run_by_default, NULL, said, sizeof said), 0);
    masked(said);
    much = kilobytes("uses_much", " KiB of 64 KiB in 1 task\n");
    little = kilobytes("yields", " KiB of 64 KiB in 1,204 tasks\n");
    kilobytes("starts_many", " KiB of 64 KiB in 1 task\n");
    assert_true(much > 19.5 && much < 40);
    if (!HAVE_ASAN && !HAVE_TSAN)
        assert_true(little > 0.1 && little < 4);
}

static size_t used_before;
static size_t used_after;

static int looks_at_its_stack(void *arg)
{
    size_t *used = arg;

    *used = task_stack_used(task_current());
    return 0;
}

static int compares_stacks(void *arg)
{
    (void)arg;
    task_await(task_create(looks_at_its_stack, &used_before));
    task_await(task_create(uses_much, NULL));
    return task_await(task_create(looks_at_its_stack, &used_after));
}

static void a_tasks_figure_is_its_own(void **state)
{
    (void)state;
    assert_int_equal(run_debug(compares_stacks, NULL), 0);
    assert_true(used_before > 0);
    assert_true(used_after < used_before + 2048);
}

static int leaves_all(void *arg)
{
    releases(arg);
    return leaves_handles(arg);
}

static void misuse_without_hook(void *arg)
{
    setenv("TASK_DEBUG", "1", 1);
    loop_run(leaves_all, arg);
    CHECK_STATUS(task_yield(), -EPERM);
    CHECK(!loop_remote_open());
}

static void without_a_hook_each_is_a_line_on_stderr(void **state)
{
    (void)state;
    assert_int_equal(child_listen(misuse_without_hook, NULL, said, sizeof said),
                     0);
    masked(said);
    assert_non_null(strstr(said, "libtask: task_lock_release: the caller does "
                                 "not own the lock (-EPERM); called by task 1 "
                                 "\"task-1\" in release+0x\n"));
    assert_non_null(strstr(said, "was neither awaited nor detached\n"));
    assert_non_null(strstr(said, "libtask: task_yield: it was called outside a "
                                 "task (-EPERM); called in "
                                 "misuse_without_hook+0x\n"));
    assert_non_null(strstr(said, "libtask: loop_remote_open: no loop runs in "
                                 "this thread (-EPERM); called in "
                                 "misuse_without_hook+0x\n"));
}

static void say_misuse(const struct loop_error *error, void *arg)
{
    (void)arg;
    fprintf(stderr, "%s\n", error->message);
}

static void misuse_in_spite_of_the_environment(void *arg)
{
    struct loop *loop;

    setenv("TASK_DEBUG", "1", 1);
    loop = loop_new(NULL);
    loop_set_error_handler(loop, say_misuse, NULL);
    loop_set_debug(loop, false);
    CHECK_STATUS(loop_run_main(loop, NULL, arg), -EINVAL);
    CHECK_STATUS(loop_run_main(loop, leaves_all, arg), 0);
    CHECK_STATUS(loop_free(loop), 0);
}

static void switched_off_it_is_off_whatever_the_environment_says(void **state)
{
    (void)state;
    assert_int_equal(child_listen(misuse_in_spite_of_the_environment, NULL,
                                  said, sizeof said),
                     0);
    assert_string_equal(masked(said), "");
}

/* Faults. */

static int goes_through_much(void *arg)
{
    struct memory_count *count = arg;

    misuses_much(NULL);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_yield(), 0);
    count->fail_at = 0;
    return 0;
}

static void nothing(const struct loop_error *error, void *arg)
{
    (void)error;
    (void)arg;
}

static void without_memory_it_goes_on(void **state)
{
    (void)state;
    for (size_t fail_at = 1; fail_at < 12; fail_at++) {
        struct memory_count count = {0};
        struct loop_options options = test_options(&count);
        struct loop *loop;

        options.debug = true;
        options.on_error = nothing;
        loop = loop_new(&options);
        assert_non_null(loop);
        count.fail_at = fail_at;
        loop_run_main(loop, goes_through_much, &count);
        count.fail_at = 0;
        test_loop_free(loop, &count);
    }
}

static int switches_much(void *arg)
{
    struct task *tasks[10];

    for (size_t i = 0; i < 10; i++)
        tasks[i] = task_create(says, arg);
    return task_gather(tasks, 10, NULL);
}

static void the_order_is_the_same(void **state)
{
    (void)state;
    assert_int_equal(run_debug(switches_much, text("x")), 0);
    assert_record("x, x, x, x, x, x, x, x, x, x");
}

/* Between runs. */

static void free_it(const struct loop_error *error, void *arg)
{
    record("%s", error->message[0] == 'l' ? "told" : error->message);
    CHECK_STATUS(loop_free(error->loop), -EBUSY);
    CHECK_STATUS(loop_run_turn(error->loop, 0), -EBUSY);
    (void)arg;
}

static void a_hook_between_runs_does_not_free_its_loop(void **state)
{
    struct loop_options options = debug_options();
    struct loop *loop;

    (void)state;
    options.on_error = free_it;
    loop = loop_new(&options);
    assert_int_equal(loop_run_main(loop, NULL, NULL), -EINVAL);
    assert_record("told");
    assert_int_equal(loop_free(loop), 0);
}

#define HERE "; called in between_runs_the_loop_that_it_is_about_is_told+0x"

static void between_runs_the_loop_that_it_is_about_is_told(void **state)
{
    struct loop_options options = debug_options();
    struct loop *loop = loop_new(&options);
    struct loop *other = loop_new(&options);
    struct loop_hooks hooks = {0};
    struct task *task = loop_create_task(loop, sleeps_for_ever, NULL);

    (void)state;
    assert_int_equal(loop_run_main(loop, NULL, NULL), -EINVAL);
    assert_record("loop_run_main: the function is NULL (-EINVAL)" HERE);
    assert_null(loop_create_task(loop, NULL, NULL));
    assert_record("loop_create_task: the function is NULL (-EINVAL)" HERE);
    assert_int_equal(loop_trace_start(loop, NULL), -EINVAL);
    assert_record(
        "loop_trace_start: the loop or the path is NULL (-EINVAL)" HERE);
    assert_int_equal(task_future_complete(task, 0), -EPERM);
    assert_record("task_future_complete: the task is no future (-EPERM)" HERE);
    assert_int_equal(task_add_done_callback(task, NULL, NULL), -EINVAL);
    assert_record(
        "task_add_done_callback: the function is NULL (-EINVAL)" HERE);
    assert_int_equal(loop_add_hooks(other, &hooks), 0);
    assert_int_equal(loop_add_hooks(loop, &hooks), -EBUSY);
    assert_record("loop_add_hooks: the hooks are another loop's (-EBUSY)" HERE);
    assert_int_equal(task_await(task), -EPERM);
    assert_record("task_await: it was called outside a task (-EPERM)" HERE);
    task_detach(task);
    loop_free(loop);
    loop_free(other);
}

#undef HERE

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(a_slow_step_is_reported_each_time),
        behaviour(each_slow_step_is_one_of_its_own),
        behaviour(slow_callbacks_are_named),
        behaviour(slow_calls_by_a_remote_are_named),
        behaviour(an_eager_step_is_not_its_creators),
        behaviour(it_may_be_switched_on_again_by_an_eager_task),
        behaviour(wall_and_processor_time_are_told_apart),
        behaviour(the_longest_step_is_measured),
        behaviour(a_handle_that_nobody_ended_is_reported_with_its_loop),
        behaviour(a_failure_that_was_reported_is_no_leak_as_well),
        behaviour(what_is_right_is_not_reported),
        behaviour(a_task_that_ignores_a_request_is_reported_once),
        behaviour(a_hundred_suspensions_are_allowed),
        behaviour(a_request_that_was_taken_back_is_not_ignored),
        behaviour(time_outs_are_no_requests_from_outside),
        behaviour(misuse_is_reported_once_for_each_place),
        behaviour(outside_a_task_misuse_names_the_place),
        behaviour(every_misuse_names_its_call),
        behaviour(without_debug_mode_nothing_is_reported),
        behaviour(it_is_switched_on_and_off_at_any_time),
        behaviour(calls_from_another_thread_are_refused_and_reported),
        behaviour(a_wake_from_another_thread_is_told_with_its_callers),
        behaviour(the_use_of_stacks_is_told_at_the_end),
        behaviour(a_tasks_figure_is_its_own),
        behaviour(without_a_hook_each_is_a_line_on_stderr),
        behaviour(switched_off_it_is_off_whatever_the_environment_says),
        behaviour(between_runs_the_loop_that_it_is_about_is_told),
        behaviour(a_hook_between_runs_does_not_free_its_loop),
        behaviour(without_memory_it_goes_on),
        behaviour(the_order_is_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
