/* task_wait: until some or all of several tasks are done. */
#include "bodies.h"
#include "moment.h"
#include "record.h"
#include "scheduler.h"

static size_t count_watchers(const struct task *task)
{
    size_t n = 0;

    for (struct list_node *node = task->watchers.first; node; node = node->next)
        n++;
    return n;
}

/* Bodies. */

static int fails_late(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(2 * TASK_SECOND), 0);
    return -EIO;
}

/* What it waits for. */

static int all_are_waited_for_whatever_their_statuses(void *arg)
{
    struct task *tasks[] = {task_create(fails_late, NULL),
                            task_create(sleeps, NULL)};

    (void)arg;
    CHECK_STATUS(task_wait(tasks, 2, TASK_ALL_DONE, TASK_FOREVER), 2);
    CHECK(loop_time() == 2 * TASK_SECOND);
    CHECK_STATUS(task_await(tasks[0]), -EIO);
    CHECK_STATUS(task_await(tasks[1]), 0);
    return 0;
}

static int one_wake_is_enough_for_all(void *arg)
{
    enum { N = 50 };
    struct task *tasks[N];
    uint64_t switches = stats().switches;

    (void)arg;
    for (size_t i = 0; i < N; i++)
        tasks[i] = task_future_create();
    for (size_t i = 0; i < N; i++)
        CHECK(loop_call_later((task_time)i + 1, cancel_it, tasks[i]) > 0);
    CHECK_STATUS(task_wait(tasks, N, TASK_ALL_DONE, TASK_FOREVER), N);
    CHECK(loop_time() == N);
    CHECK(stats().switches == switches + 1);
    detach_all(tasks, N);
    return 0;
}

static int the_first_to_be_done_is_enough(void *arg)
{
    struct task *tasks[] = {task_create(sleeps_long, NULL),
                            task_create(sleeps, NULL)};

    (void)arg;
    CHECK_STATUS(task_wait(tasks, 2, TASK_FIRST_DONE, TASK_FOREVER), 1);
    CHECK(loop_time() == TASK_SECOND);
    CHECK(!task_done(tasks[0]) && task_done(tasks[1]));
    CHECK(is_left_alone(tasks[0]));
    CHECK_STATUS(task_cancel_await(tasks[0]), -ECANCELED);
    CHECK_STATUS(task_await(tasks[1]), 0);
    return 0;
}

static int whatever_ends_in_the_same_batch_counts(void *arg)
{
    struct task *tasks[] = {task_create(sleeps, NULL),
                            task_create(sleeps, NULL),
                            task_create(sleeps_long, NULL)};

    (void)arg;
    CHECK_STATUS(task_wait(tasks, 3, TASK_FIRST_DONE, TASK_FOREVER), 2);
    detach_all(tasks, 3);
    return 0;
}

static int the_first_failure_is_enough(void *arg)
{
    struct task *tasks[] = {task_create(sleeps_long, NULL),
                            task_create(sleeps, NULL),
                            task_create(fails_late, NULL)};

    (void)arg;
    CHECK_STATUS(task_wait(tasks, 3, TASK_FIRST_FAILED, TASK_FOREVER), 2);
    CHECK(loop_time() == 2 * TASK_SECOND);
    CHECK_STATUS(task_await(tasks[2]), -EIO);
    detach_all(tasks, 2);
    return 0;
}

static int one_that_was_cancelled_is_no_failure(void *arg)
{
    struct task *tasks[] = {start(sleeps_long, NULL), start(sleeps, NULL)};

    (void)arg;
    CHECK(task_cancel(tasks[0]));
    CHECK_STATUS(task_wait(tasks, 2, TASK_FIRST_FAILED, TASK_FOREVER), 2);
    CHECK(loop_time() == TASK_SECOND);
    detach_all(tasks, 2);
    return 0;
}

static int what_is_enough_already_does_not_suspend(void *arg)
{
    struct task *pending = task_future_create();
    struct task *seven[] = {pending, done(7)};
    struct task *failed[] = {pending, done(-EIO)};
    struct task *both[] = {seven[1], failed[1]};
    uint64_t turn = turns_now();

    (void)arg;
    CHECK_STATUS(task_wait(seven, 2, TASK_FIRST_DONE, TASK_FOREVER), 1);
    CHECK_STATUS(task_wait(failed, 2, TASK_FIRST_FAILED, TASK_FOREVER), 1);
    CHECK_STATUS(task_wait(both, 2, TASK_ALL_DONE, TASK_FOREVER), 2);
    CHECK_STATUS(task_wait(both, 2, TASK_FIRST_FAILED, TASK_FOREVER), 2);
    CHECK_STATUS(task_wait(seven, 2, TASK_FIRST_FAILED, TASK_SECOND), 1);
    CHECK(loop_time() == TASK_SECOND); /* 7 is no failure */
    CHECK(turns_now() > turn);
    CHECK(is_left_alone(pending) && is_left_alone(seven[1]));
    CHECK_STATUS(task_await(failed[1]), -EIO);
    detach_all(seven, 2);
    return 0;
}

static int tasks_that_end_one_after_the_other_are_all_seen(void *arg)
{
    struct task *tasks[] = {task_create(sleeps, NULL),
                            task_create(fails_late, NULL),
                            task_create(sleeps_long, NULL)};

    (void)arg;
    for (int i = 1; i <= 3; i++)
        CHECK_STATUS(task_wait(tasks + i - 1, (size_t)(4 - i), TASK_FIRST_DONE,
                               TASK_FOREVER),
                     1);
    CHECK(loop_time() == TASK_HOUR);
    CHECK_STATUS(task_await(tasks[1]), -EIO);
    task_detach(tasks[0]);
    task_detach(tasks[2]);
    return 0;
}

/* The time-out. */

static int when_the_time_is_up_the_tasks_go_on(void *arg)
{
    struct task *tasks[] = {task_create(sleeps, NULL),
                            task_create(sleeps_long, NULL)};

    (void)arg;
    CHECK_STATUS(task_wait(tasks, 2, TASK_ALL_DONE, 2 * TASK_SECOND), 1);
    CHECK(loop_time() == 2 * TASK_SECOND);
    CHECK(is_left_alone(tasks[1]));
    CHECK_STATUS(task_wait(tasks + 1, 1, TASK_ALL_DONE, TASK_SECOND), 0);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK(loop_time() == TASK_HOUR);
    return 0;
}

static int no_time_only_looks(void *arg)
{
    struct task *tasks[] = {start(sleeps, NULL), done(1)};
    uint64_t turn = turns_now();

    (void)arg;
    CHECK_STATUS(task_wait(tasks, 2, TASK_ALL_DONE, 0), 1);
    CHECK_STATUS(task_wait(tasks, 2, TASK_ALL_DONE, INT64_MIN), 1);
    CHECK_STATUS(task_wait(tasks, 1, TASK_FIRST_DONE, -1), 0);
    CHECK(turns_now() == turn);
    CHECK(is_left_alone(tasks[0]));
    detach_all(tasks, 2);
    return 0;
}

static int waits_for_ever(void *arg)
{
    return task_wait((struct task **)arg, 1, TASK_ALL_DONE, TASK_FOREVER);
}

static int waits_nearly_for_ever(void *arg)
{
    return task_wait((struct task **)arg, 1, TASK_ALL_DONE, TASK_FOREVER - 1);
}

static int waiting_for_ever_sets_no_timer(void *arg)
{
    struct task *future = task_future_create();
    struct task *for_ever = start(waits_for_ever, &future);

    (void)arg;
    CHECK(stats().timers == 0);
    struct task *nearly = start(waits_nearly_for_ever, &future);

    CHECK(stats().timers <= 1);
    CHECK_STATUS(task_future_complete(future, 0), 0);
    CHECK(stats().timers == 0);
    CHECK_STATUS(task_await(for_ever), 1);
    CHECK_STATUS(task_await(nearly), 1);
    task_detach(future);
    return 0;
}

/* Everything at once. */

static int waits_a_second(void *arg)
{
    struct task **futures = arg;
    int status = task_wait(futures, 2, TASK_FIRST_DONE, TASK_SECOND);
    int next = task_yield();

    record("%d then %d", status, next);
    CHECK(task_done(futures[0]));
    detach_all(futures, 2);
    return 0;
}

static int what_comes_first_at_one_moment_counts(void *arg)
{
    (void)arg;
    moment_run("ATX", waits_a_second);
    moment_run("AXT", waits_a_second);
    moment_run("TAX", waits_a_second); /* done when it looks */
    moment_run("TXA", waits_a_second);
    CHECK_RECORD("1 then -125, 1 then -125, 1 then -125, 1 then -125");
    moment_run("XAT", waits_a_second);
    moment_run("XTA", waits_a_second);
    CHECK_RECORD("-125 then 0, -125 then 0");
    moment_run("AT", waits_a_second);
    moment_run("TA", waits_a_second);
    CHECK_RECORD("1 then 0, 1 then 0");
    moment_run("TAB", waits_a_second);
    moment_run("ABT", waits_a_second);
    moment_run("ATXB", waits_a_second);
    CHECK_RECORD("2 then 0, 2 then 0, 2 then -125");
    return 0;
}

static int waits_for_a_failure(void *arg)
{
    struct task **futures = arg;
    int status = task_wait(futures, 2, TASK_FIRST_FAILED, TASK_FOREVER);
    int next = task_yield();

    record("%d then %d", status, next);
    CHECK_STATUS(task_status(futures[0]), -EIO);
    detach_all(futures, 2);
    return 0;
}

static int a_failure_and_a_request_at_one_moment(void *arg)
{
    (void)arg;
    moment_run("FX", waits_for_a_failure);
    moment_run("XF", waits_for_a_failure);
    moment_run("BFX", waits_for_a_failure);
    moment_run("BXF", waits_for_a_failure);
    CHECK_RECORD("1 then -125, -125 then 0, 2 then -125, -125 then 0");
    return 0;
}

/* Cancelling. */

static int waits_and_goes_on(void *arg)
{
    CHECK_STATUS(task_wait((struct task **)arg, 2, TASK_ALL_DONE, TASK_MINUTE),
                 -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return 5;
}

static int a_cancel_ends_the_waiting_only(void *arg)
{
    struct task *tasks[] = {start(sleeps, NULL), task_future_create()};
    struct task *caller = start(waits_and_goes_on, tasks);

    (void)arg;
    CHECK(count_watchers(tasks[0]) == 1 && count_watchers(tasks[1]) == 1);
    CHECK(task_cancel(caller));
    CHECK(stats().timers == 1); /* the sleeper's */
    CHECK_STATUS(task_yield(), 0);
    CHECK(is_left_alone(tasks[0]) && is_left_alone(tasks[1]));
    CHECK_STATUS(task_await(caller), 5);
    CHECK_STATUS(task_await(tasks[0]), 0);
    task_detach(tasks[1]);
    return 0;
}

static int a_request_that_waits_comes_before_anything(void *arg)
{
    struct task *tasks[] = {done(1), task_future_create()};

    (void)arg;
    for (int until = TASK_ALL_DONE; until <= TASK_FIRST_FAILED; until++)
        for (size_t n = 0; n < 3; n++) {
            /* 1: all are done; 2: some; the other: none. */
            struct task **some = n ? tasks : tasks + 1;

            task_cancel(task_current());
            CHECK_STATUS(task_wait(some, n ? n : 1, (enum task_until)until, 0),
                         -ECANCELED);
            task_cancel(task_current());
            CHECK_STATUS(task_wait(some, n ? n : 1, (enum task_until)until,
                                   TASK_FOREVER),
                         -ECANCELED);
            CHECK_STATUS(task_yield(), 0);
        }
    CHECK(is_left_alone(tasks[0]) && is_left_alone(tasks[1]));
    detach_all(tasks, 2);
    return 0;
}

/* Handles. */

static int waiting_reads_no_status(void *arg)
{
    int failure = -EIO;
    struct task *task = task_create(returns, &failure);

    (void)arg;
    CHECK_STATUS(task_wait(&task, 1, TASK_FIRST_FAILED, TASK_FOREVER), 1);
    CHECK(is_left_alone(task));
    task_detach(task);
    CHECK_RECORD("unawaited(task-2, -5)");
    return 0;
}

static int a_handle_that_ends_meanwhile_does_no_harm(void *arg)
{
    int failure = -EIO;
    struct task *tasks[] = {task_create(returns, &failure),
                            task_create(sleeps, NULL)};

    (void)arg;
    for (size_t i = 0; i < 2; i++)
        task_detach(task_create(detaches, tasks[i]));
    CHECK_STATUS(task_wait(tasks, 2, TASK_ALL_DONE, TASK_FOREVER), 2);
    CHECK_RECORD("unawaited(task-2, -5)"); /* and not before it was over */
    return 0;
}

static int entries_that_are_null_count_as_failed(void *arg)
{
    struct task *tasks[] = {NULL, task_future_create(), NULL};
    uint64_t turn = turns_now();

    (void)arg;
    CHECK_STATUS(task_wait(tasks, 1, TASK_ALL_DONE, TASK_FOREVER), 1);
    CHECK_STATUS(task_wait(tasks, 3, TASK_FIRST_DONE, TASK_FOREVER), 2);
    CHECK_STATUS(task_wait(tasks, 3, TASK_FIRST_FAILED, TASK_FOREVER), 2);
    CHECK(turns_now() == turn);
    CHECK_STATUS(task_wait(tasks, 3, TASK_ALL_DONE, TASK_SECOND), 2);
    CHECK(loop_time() == TASK_SECOND);
    task_detach(tasks[1]);
    return 0;
}

static int duplicates_are_watched_once_and_counted_each(void *arg)
{
    struct task *task = start(sleeps, NULL);
    struct task *tasks[] = {task, task, task_future_create(), task};
    struct task *other = start(waits_for_ever, &tasks[2]);

    (void)arg;
    CHECK_STATUS(task_wait(tasks, 4, TASK_ALL_DONE, 1), 0);
    CHECK_STATUS(task_wait(tasks, 4, TASK_FIRST_DONE, TASK_FOREVER), 3);
    CHECK(is_left_alone(task));
    CHECK_STATUS(task_future_complete(tasks[2], 0), 0);
    CHECK_STATUS(task_await(other), 1);
    task_detach(task);
    task_detach(tasks[2]);
    return 0;
}

static int says_wait(void *arg)
{
    CHECK_STATUS(task_wait((struct task **)arg, 1, TASK_ALL_DONE, TASK_FOREVER),
                 1);
    record("%s", task_name(task_current()));
    return 0;
}

static int those_who_wait_for_one_task_resume_in_their_order(void *arg)
{
    struct task *future = task_future_create();
    struct task *tasks[] = {start(says_wait, &future),
                            start(says_wait, &future),
                            start(says_wait, &future)};

    (void)arg;
    CHECK_STATUS(task_future_complete(future, 0), 0);
    CHECK_STATUS(task_wait(tasks, 3, TASK_ALL_DONE, TASK_FOREVER), 3);
    CHECK_RECORD("task-3, task-4, task-5");
    detach_all(tasks, 3);
    task_detach(future);
    return 0;
}

/* Misuse. */

static int bad_numbers_are_refused(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_wait(NULL, 0, TASK_ALL_DONE, TASK_FOREVER), -EINVAL);
    CHECK_STATUS(task_wait(&future, 0, TASK_FIRST_DONE, 0), -EINVAL);
    CHECK_STATUS(task_wait(&future, 1, (enum task_until)3, 0), -EINVAL);
    CHECK_STATUS(task_wait(&future, 1, (enum task_until) - 1, 0), -EINVAL);
    CHECK(is_left_alone(future));
    task_detach(future);
    return 0;
}

static int waiting_for_oneself_is_refused(void *arg)
{
    struct task *tasks[] = {task_future_create(), task_retain(task_current())};

    (void)arg;
    CHECK_STATUS(task_wait(tasks, 2, TASK_FIRST_DONE, TASK_SECOND), -EDEADLK);
    CHECK_STATUS(task_wait(tasks + 1, 1, TASK_ALL_DONE, 0), -EDEADLK);
    CHECK(is_left_alone(tasks[0]));
    detach_all(tasks, 2);
    return 0;
}

static int who_waits_for_some_time_may_be_awaited_meanwhile(void *arg)
{
    struct task *awaiter = start(awaits, task_retain(task_current()));

    (void)arg;
    CHECK_STATUS(task_wait(&awaiter, 1, TASK_ALL_DONE, TASK_SECOND), 0);
    task_detach(awaiter);
    return 0;
}

static int waits_for_foreign(void *arg)
{
    struct task *tasks[] = {task_future_create(), arg};

    CHECK_STATUS(task_wait(tasks, 2, TASK_FIRST_DONE, TASK_FOREVER), -EINVAL);
    CHECK(is_left_alone(tasks[0]));
    task_detach(tasks[0]);
    return 0;
}

static void another_loops_task_is_refused(void **state)
{
    (void)state;
    run_with_foreign(waits_for_foreign);
}

static void wait_in_callback(void *arg)
{
    struct task *task = arg;

    CHECK_STATUS(task_wait(&task, 1, TASK_ALL_DONE, 0), -EPERM);
    CHECK_STATUS(task_wait(NULL, 0, TASK_ALL_DONE, 0), -EPERM);
    record("refused");
}

static int outside_a_task_it_is_refused(void *arg)
{
    struct task *task = task_create(sleeps, NULL);

    (void)arg;
    CHECK(loop_call_soon(wait_in_callback, task) > 0);
    CHECK_STATUS(task_await(task), 0);
    CHECK_RECORD("refused");
    return 0;
}

/* Memory. */

static struct memory_count memory;

static int waits_without_memory(void *arg)
{
    struct task *tasks[9];
    size_t allocations;

    (void)arg;
    for (size_t i = 0; i < 9; i++)
        tasks[i] = task_future_create();
    allocations = memory.allocations;
    CHECK_STATUS(task_wait(tasks, 8, TASK_ALL_DONE, TASK_SECOND), 0);
    CHECK(memory.allocations == allocations);
    memory.fail_at = 1;
    CHECK_STATUS(task_wait(tasks, 9, TASK_ALL_DONE, TASK_SECOND), -ENOMEM);
    CHECK(memory.allocations == allocations + 1);
    for (size_t i = 0; i < 9; i++)
        CHECK(is_left_alone(tasks[i]));
    CHECK_STATUS(task_wait(tasks, 9, TASK_ALL_DONE, TASK_SECOND), 0);
    CHECK_STATUS(task_wait(tasks, SIZE_MAX / 2, (enum task_until)3, 0),
                 -EINVAL);
    detach_all(tasks, 9);
    return 0;
}

static int run_counted(task_fn *fn)
{
    struct loop *loop;
    int status;

    memory = (struct memory_count){0};
    loop = test_loop_new(&memory);
    status = loop_run_main(loop, fn, NULL);
    test_loop_free(loop, &memory);
    return status;
}

static void only_more_than_eight_need_memory(void **state)
{
    (void)state;
    assert_int_equal(run_counted(waits_without_memory), 0);
}

static int waits_again_and_again(void *arg)
{
    struct task *tasks[12];
    struct memory_count before;

    (void)arg;
    for (size_t i = 0; i < 12; i++)
        tasks[i] = i % 2 ? start(sleeps_long, NULL) : task_future_create();
    CHECK_STATUS(task_wait(tasks, 12, TASK_ALL_DONE, 1), 0);
    before = memory;
    for (unsigned i = 0; i < test_rounds(100000); i++)
        CHECK_STATUS(task_wait(tasks, i % 12 + 1, (enum task_until)(i % 3), 1),
                     0);
    CHECK(memory.blocks == before.blocks && memory.bytes == before.bytes);
    CHECK(stats().timers == 6);
    for (size_t i = 0; i < 12; i++)
        CHECK(is_left_alone(tasks[i]));
    detach_all(tasks, 12);
    return 0;
}

static void waiting_again_and_again_leaves_nothing_behind(void **state)
{
    (void)state;
    assert_int_equal(run_counted(waits_again_and_again), 0);
}

static int many_tasks_are_waited_for(void *arg)
{
    enum { N = 5000 };
    static struct task *tasks[N];
    size_t n = test_rounds(N);

    (void)arg;
    for (size_t i = 0; i < n; i++)
        tasks[i] = task_create(sleeps, NULL);
    CHECK_STATUS(task_wait(tasks, n, TASK_ALL_DONE, TASK_FOREVER), (int)n);
    detach_all(tasks, n);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(all_are_waited_for_whatever_their_statuses),
        in_main(one_wake_is_enough_for_all),
        in_main(the_first_to_be_done_is_enough),
        in_main(whatever_ends_in_the_same_batch_counts),
        in_main(the_first_failure_is_enough),
        in_main(one_that_was_cancelled_is_no_failure),
        in_main(what_is_enough_already_does_not_suspend),
        in_main(tasks_that_end_one_after_the_other_are_all_seen),
        in_main(when_the_time_is_up_the_tasks_go_on),
        in_main(no_time_only_looks),
        in_main(waiting_for_ever_sets_no_timer),
        in_main(what_comes_first_at_one_moment_counts),
        in_main(a_failure_and_a_request_at_one_moment),
        in_main(a_cancel_ends_the_waiting_only),
        in_main(a_request_that_waits_comes_before_anything),
        in_main(waiting_reads_no_status),
        in_main(a_handle_that_ends_meanwhile_does_no_harm),
        in_main(entries_that_are_null_count_as_failed),
        in_main(duplicates_are_watched_once_and_counted_each),
        in_main(those_who_wait_for_one_task_resume_in_their_order),
        in_main(bad_numbers_are_refused),
        in_main(waiting_for_oneself_is_refused),
        in_main(who_waits_for_some_time_may_be_awaited_meanwhile),
        behaviour(another_loops_task_is_refused),
        in_main(outside_a_task_it_is_refused),
        behaviour(only_more_than_eight_need_memory),
        behaviour(waiting_again_and_again_leaves_nothing_behind),
        in_main(many_tasks_are_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
