/* task_as_completed_*: tasks in the order in which they end. */
#include "bodies.h"
#include "child.h"
#include "moment.h"
#include "record.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Record what is left of a walk, by status; how many that is. */
static unsigned walk(struct task_as_completed *it)
{
    struct task *task;
    unsigned n = 0;

    for (; (task = task_as_completed_next(it)); n++)
        record("%d at %d s", task_status(task),
               (int)(loop_time() / TASK_SECOND));
    return n;
}

/* A whole walk. */
static int walk_all(struct task *const tasks[], size_t n)
{
    struct task_as_completed it;

    CHECK_STATUS(task_as_completed_begin(&it, tasks, n), 0);
    walk(&it);
    return task_as_completed_end(&it, 0);
}

/* The order. */

static int tasks_come_in_the_order_in_which_they_end(void *arg)
{
    int seconds[] = {3, 1, -4, 2};
    struct task *tasks[4];

    (void)arg;
    for (size_t i = 0; i < 4; i++)
        tasks[i] = task_create(sleeps_for, &seconds[i]);
    CHECK_STATUS(walk_all(tasks, 4), 0);
    CHECK_RECORD("1 at 1 s, 2 at 2 s, 3 at 3 s, -4 at 4 s");
    for (size_t i = 0; i < 4; i++)
        CHECK(is_left_alone(tasks[i]));
    detach_all(tasks, 4);
    return 0;
}

static int each_is_one_of_the_handles(void *arg)
{
    struct task *tasks[] = {task_future_create(), task_future_create()};
    struct task_as_completed it;

    (void)arg;
    CHECK_STATUS(task_as_completed_begin(&it, tasks, 2), 0);
    CHECK_STATUS(task_future_complete(tasks[1], 5), 0);
    CHECK(task_as_completed_next(&it) == tasks[1]);
    CHECK_STATUS(task_future_complete(tasks[0], 6), 0);
    CHECK(task_as_completed_next(&it) == tasks[0]);
    CHECK(!task_as_completed_next(&it));
    CHECK(!task_as_completed_next(&it));
    CHECK_STATUS(task_as_completed_end(&it, 0), 0);
    CHECK_STATUS(task_await(tasks[0]), 6);
    CHECK_STATUS(task_await(tasks[1]), 5);
    return 0;
}

static int those_done_already_come_first_in_the_order_of_the_array(void *arg)
{
    int second = 1;
    struct task *tasks[] = {task_create(sleeps_for, &second), done(5), done(6),
                            task_future_create(), done(7)};

    (void)arg;
    CHECK_STATUS(task_future_complete(tasks[3], 8), 0);
    CHECK_STATUS(walk_all(tasks, 5), 0);
    CHECK_RECORD("5 at 0 s, 6 at 0 s, 8 at 0 s, 7 at 0 s, 1 at 1 s");
    detach_all(tasks, 5);
    return 0;
}

static int those_that_end_in_one_batch_come_one_after_the_other(void *arg)
{
    int seconds[] = {1, 1, 2, 1};
    struct task *tasks[4];
    struct task_as_completed it;
    uint64_t turn;

    (void)arg;
    for (size_t i = 0; i < 4; i++)
        tasks[i] = task_create(sleeps_for, &seconds[i]);
    CHECK_STATUS(task_as_completed_begin(&it, tasks, 4), 0);
    CHECK(task_as_completed_next(&it) == tasks[0]);
    turn = turns_now();
    CHECK(task_as_completed_next(&it) == tasks[1]);
    CHECK(turns_now() == turn);
    CHECK_STATUS(task_sleep(TASK_MINUTE), 0); /* and none is lost meanwhile */
    turn = turns_now();
    CHECK(task_as_completed_next(&it) == tasks[3]);
    CHECK(task_as_completed_next(&it) == tasks[2]);
    CHECK(turns_now() == turn);
    CHECK_STATUS(task_as_completed_end(&it, 0), 0);
    detach_all(tasks, 4);
    return 0;
}

static int a_walk_over_none_gives_none(void *arg)
{
    uint64_t turn = turns_now();

    (void)arg;
    CHECK_STATUS(walk_all(NULL, 0), 0);
    CHECK(turns_now() == turn);
    return 0;
}

static int duplicates_come_once_and_nothing_not_at_all(void *arg)
{
    int second = 1;
    struct task *task = task_create(sleeps_for, &second);
    struct task *other = done(5);
    struct task *tasks[] = {NULL, task, other, task, NULL, other, task};

    (void)arg;
    CHECK_STATUS(walk_all(tasks, 7), 0);
    CHECK_RECORD("5 at 0 s, 1 at 1 s");
    CHECK(is_left_alone(task) && is_left_alone(other));
    CHECK_STATUS(walk_all(tasks, 1), 0);
    task_detach(task);
    task_detach(other);
    return 0;
}

static int a_walk_may_be_left_early(void *arg)
{
    int seconds[] = {1, 2, 3};
    struct task *tasks[3];
    struct task_as_completed it;

    (void)arg;
    for (size_t i = 0; i < 3; i++)
        tasks[i] = task_create(sleeps_for, &seconds[i]);
    CHECK_STATUS(task_as_completed_begin(&it, tasks, 3), 0);
    CHECK(task_as_completed_next(&it) == tasks[0]);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(task_as_completed_end(&it, -EIO), -EIO);
    for (size_t i = 0; i < 3; i++)
        CHECK(is_left_alone(tasks[i]));
    CHECK_STATUS(task_await(tasks[2]), 3);
    detach_all(tasks, 2);
    return 0;
}

static int walks_nest_and_a_struct_may_be_used_again(void *arg)
{
    struct task *tasks[] = {task_future_create(), task_future_create()};
    struct task_as_completed outer;
    struct task_as_completed inner;

    (void)arg;
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(task_as_completed_begin(&outer, tasks, 2), 0);
        CHECK_STATUS(task_as_completed_begin(&inner, tasks, 2), 0);
        task_future_complete(tasks[0], 1);
        task_future_complete(tasks[1], 2);
        CHECK(walk(&inner) == 2);
        CHECK_STATUS(task_as_completed_end(&inner, 0), 0);
        CHECK(walk(&outer) == 2);
        CHECK_STATUS(task_as_completed_end(&outer, 0), 0);
        record_clear();
    }
    CHECK(is_left_alone(tasks[0]) && is_left_alone(tasks[1]));
    detach_all(tasks, 2);
    return 0;
}

static int a_limit_around_a_walk_leaves_no_timer(void *arg)
{
    struct task *task = task_create(sleeps, NULL);
    struct task_as_completed it;
    struct task_timeout timeout;
    int status;

    (void)arg;
    task_timeout_begin(&timeout, TASK_MINUTE);
    status = walk_all(&task, 1);
    CHECK_STATUS(task_timeout_end(&timeout, status), 0);
    CHECK(stats().timers == 0);
    CHECK_RECORD("0 at 1 s");
    task_detach(task);

    task = task_future_create();
    task_timeout_begin(&timeout, TASK_MINUTE);
    CHECK_STATUS(task_as_completed_begin(&it, &task, 1), 0);
    CHECK(!task_as_completed_next(&it));
    status = task_as_completed_end(&it, 0);
    CHECK_STATUS(task_timeout_end(&timeout, status), -ETIMEDOUT);
    CHECK(is_left_alone(task));
    task_detach(task);
    return 0;
}

/* Handles. */

static int walking_reads_no_status(void *arg)
{
    int second = -1;
    struct task *task = task_create(sleeps_for, &second);
    struct task_as_completed it;

    (void)arg;
    CHECK_STATUS(task_as_completed_begin(&it, &task, 1), 0);
    CHECK(task_as_completed_next(&it) == task);
    CHECK_STATUS(task_as_completed_end(&it, 0), 0);
    task_detach(task);
    CHECK_RECORD("unawaited(task-2, -1)");
    return 0;
}

static int a_handle_may_be_ended_when_it_comes(void *arg)
{
    int seconds[] = {1, -2, 3};
    struct task *tasks[3];
    struct task_as_completed it;
    struct task *task;

    (void)arg;
    for (size_t i = 0; i < 3; i++)
        tasks[i] = task_create(sleeps_for, &seconds[i]);
    CHECK_STATUS(task_as_completed_begin(&it, tasks, 3), 0);
    while ((task = task_as_completed_next(&it)))
        record("%d", task_await(task));
    CHECK_STATUS(task_as_completed_end(&it, 0), 0);
    CHECK_RECORD("1, -2, 3");
    return 0;
}

/* Cancelling. */

static int a_request_on_entry_comes_first_and_takes_nothing(void *arg)
{
    struct task *tasks[] = {done(5), task_future_create()};
    struct task_as_completed it;

    (void)arg;
    task_cancel(task_current());
    CHECK_STATUS(task_as_completed_begin(&it, tasks, 1), 0);
    CHECK(!task_as_completed_next(&it)); /* though one is there */
    CHECK(task_as_completed_next(&it) == tasks[0]);
    CHECK(!task_as_completed_next(&it));
    CHECK_STATUS(task_as_completed_end(&it, 0), -ECANCELED);
    CHECK_STATUS(task_as_completed_begin(&it, tasks + 1, 1), 0);
    task_cancel(task_current());
    CHECK(!task_as_completed_next(&it));
    CHECK_STATUS(task_as_completed_end(&it, -EIO), -EIO);
    CHECK_STATUS(task_as_completed_begin(&it, NULL, 0), 0);
    task_cancel(task_current());
    CHECK(!task_as_completed_next(&it));
    CHECK_STATUS(task_as_completed_end(&it, 0), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    CHECK(is_left_alone(tasks[1]));
    detach_all(tasks, 2);
    return 0;
}

static int a_request_that_no_next_was_told_of_waits(void *arg)
{
    struct task *task = done(5);
    struct task_as_completed it;

    (void)arg;
    CHECK_STATUS(task_as_completed_begin(&it, &task, 1), 0);
    CHECK(task_as_completed_next(&it) == task);
    task_cancel(task_current());
    CHECK_STATUS(task_as_completed_end(&it, 0), 0);
    CHECK_STATUS(task_yield(), -ECANCELED);
    task_detach(task);
    return 0;
}

static int walks_on_after_a_request(void *arg)
{
    struct task **tasks = arg;
    struct task_as_completed it;

    CHECK_STATUS(task_as_completed_begin(&it, tasks, 2), 0);
    CHECK(!task_as_completed_next(&it));
    record("cancelled");
    CHECK(walk(&it) == 2);
    return task_as_completed_end(&it, 0);
}

static int a_cancel_ends_the_waiting_only(void *arg)
{
    int seconds[] = {1, 2};
    struct task *tasks[] = {start(sleeps_for, &seconds[0]),
                            start(sleeps_for, &seconds[1])};
    struct task *caller = start(walks_on_after_a_request, tasks);

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_await(caller), -ECANCELED);
    CHECK_RECORD("cancelled, 1 at 1 s, 2 at 2 s");
    CHECK(is_left_alone(tasks[0]) && is_left_alone(tasks[1]));
    detach_all(tasks, 2);
    return 0;
}

static int walks_over_futures(void *arg)
{
    struct task **futures = arg;
    struct task_as_completed it;
    struct task *first;
    struct task *second;
    int status;

    CHECK_STATUS(task_as_completed_begin(&it, futures, 2), 0);
    first = task_as_completed_next(&it);
    second = task_as_completed_next(&it);
    status = task_as_completed_end(&it, 0);
    record("%d %d %d", first ? task_status(first) : 0,
           second ? task_status(second) : 0, status);
    detach_all(futures, 2);
    return 0;
}

static int ends_and_a_request_at_one_moment(void *arg)
{
    (void)arg;
    moment_run("AB", walks_over_futures);
    moment_run("BA", walks_over_futures);
    CHECK_RECORD("1 2 0, 2 1 0");
    moment_run("ABX", walks_over_futures); /* granted one; the other waits */
    moment_run("BXA", walks_over_futures);
    CHECK_RECORD("1 0 -125, 2 0 -125");
    moment_run("XAB", walks_over_futures); /* nothing, then the first */
    moment_run("XBA", walks_over_futures);
    CHECK_RECORD("0 1 -125, 0 2 -125");
    return 0;
}

/* Misuse. */

static int begin_refused(struct task *const tasks[], size_t n, int error)
{
    struct task_as_completed it;

    CHECK_STATUS(task_as_completed_begin(&it, tasks, n), error);
    CHECK(!task_as_completed_next(&it));
    CHECK_STATUS(task_as_completed_end(&it, 0), error);
    CHECK_STATUS(task_as_completed_begin(&it, tasks, n), error);
    CHECK_STATUS(task_as_completed_end(&it, -EIO), error);
    return 0;
}

static int a_walk_cannot_be_over_what_waits_for_the_caller(void *arg)
{
    struct task *self = task_retain(task_current());
    struct task *tasks[] = {task_future_create(), self};

    (void)arg;
    begin_refused(tasks, 2, -EDEADLK);
    tasks[1] = start(awaits, self);
    begin_refused(tasks, 2, -EDEADLK);
    CHECK(is_left_alone(tasks[0]) && is_left_alone(tasks[1]));
    detach_all(tasks, 2);
    return 0;
}

static int walks_over_foreign(void *arg)
{
    struct task *tasks[] = {task_future_create(), arg};

    begin_refused(tasks, 2, -EINVAL);
    CHECK(is_left_alone(tasks[0]));
    task_detach(tasks[0]);
    return 0;
}

static void another_loops_task_is_refused(void **state)
{
    (void)state;
    run_with_foreign(walks_over_foreign);
}

static void walk_in_callback(void *arg)
{
    struct task *task = arg;

    begin_refused(&task, 1, -EPERM);
    CHECK(is_left_alone(task));
    record("refused");
}

static int outside_a_task_it_is_refused(void *arg)
{
    struct task *task = start(sleeps, NULL);

    (void)arg;
    CHECK(loop_call_soon(walk_in_callback, task) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("refused");
    CHECK_STATUS(task_await(task), 0);
    return 0;
}

static int takes_from_the_other(void *arg)
{
    CHECK(!task_as_completed_next(arg));
    return 0;
}

static int a_walk_is_its_tasks_own(void *arg)
{
    struct task *task = done(5);
    struct task_as_completed it;

    (void)arg;
    CHECK_STATUS(task_as_completed_begin(&it, &task, 1), 0);
    CHECK_STATUS(task_await(task_create(takes_from_the_other, &it)), 0);
    CHECK(task_as_completed_next(&it) == task);
    CHECK_STATUS(task_as_completed_end(&it, 0), 0);
    CHECK(!task_as_completed_next(&it));
    task_detach(task);
    return 0;
}

static int a_walk_that_is_open_cannot_begin(void *arg)
{
    struct task *tasks[] = {done(5), done(6)};
    struct task_as_completed it;

    (void)arg;
    CHECK_STATUS(task_as_completed_begin(&it, tasks, 1), 0);
    CHECK_STATUS(task_as_completed_begin(&it, tasks + 1, 1), -EALREADY);
    CHECK(task_as_completed_next(&it) == tasks[0]); /* of the first beginning */
    CHECK_STATUS(task_as_completed_end(&it, 0), -EALREADY);
    CHECK(!task_as_completed_next(&it));
    CHECK_STATUS(task_as_completed_end(&it, 0), 0);
    detach_all(tasks, 2);
    return 0;
}

static int ends_out_of_order(void *arg)
{
    struct task_as_completed it;
    struct task_timeout timeout;

    (void)arg;
    task_as_completed_begin(&it, NULL, 0);
    task_timeout_begin(&timeout, TASK_SECOND);
    return task_as_completed_end(&it, 0);
}

static void run_quietly(void *arg)
{
    close(STDERR_FILENO);
    loop_run(*(task_fn **)arg, NULL);
}

static void a_walk_that_is_ended_out_of_order_aborts(void **state)
{
    task_fn *fn = ends_out_of_order;
    int status = child_run(run_quietly, &fn);

    (void)state;
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* Memory and time. */

static struct memory_count memory;

static int walks_without_memory(void *arg)
{
    struct task *tasks[9];
    size_t blocks;

    (void)arg;
    for (size_t i = 0; i < 9; i++)
        tasks[i] = done((int)i);
    blocks = memory.blocks;
    for (size_t fail_at = 1; fail_at <= 2; fail_at++) {
        struct task_as_completed it;

        memory.fail_at = fail_at;
        CHECK_STATUS(task_as_completed_begin(&it, tasks, 9), -ENOMEM);
        CHECK(memory.fail_at == 0 && memory.blocks == blocks);
        CHECK(!task_as_completed_next(&it));
        CHECK_STATUS(task_as_completed_end(&it, 0), -ENOMEM);
    }
    for (size_t i = 0; i < 9; i++)
        CHECK(is_left_alone(tasks[i]));
    CHECK_STATUS(walk_all(tasks, 9), 0);
    record_clear();
    CHECK(memory.blocks == blocks);
    detach_all(tasks, 9);
    return 0;
}

static void without_memory_no_walk_begins(void **state)
{
    struct loop *loop;

    (void)state;
    memory = (struct memory_count){0};
    loop = test_loop_new(&memory);
    assert_int_equal(loop_run_main(loop, walks_without_memory, NULL), 0);
    test_loop_free(loop, &memory);
}

/* All end in one batch; or one a turn. */
static int each_of_many_comes_in_no_time(void *arg)
{
    enum { N = 50000 };
    size_t n = test_rounds(N);
    static struct task *tasks[N];
    struct task_as_completed it;

    (void)arg;
    for (size_t i = 0; i < n; i++)
        tasks[i] = task_future_create();
    CHECK_STATUS(task_as_completed_begin(&it, tasks, n), 0);
    for (size_t i = n; i-- > n / 2;)
        CHECK_STATUS(task_future_complete(tasks[i], 0), 0);

    uint64_t turn = turns_now();

    for (size_t i = n; i-- > n / 2;)
        CHECK(task_as_completed_next(&it) == tasks[i]);
    CHECK(turns_now() == turn);
    for (size_t i = 0; i < n / 2; i++) {
        CHECK_STATUS(task_future_complete(tasks[i], 0), 0);
        CHECK(task_as_completed_next(&it) == tasks[i]);
    }
    CHECK(!task_as_completed_next(&it));
    CHECK_STATUS(task_as_completed_end(&it, 0), 0);
    detach_all(tasks, n);
    return 0;
}

static int many_tasks_come_with_one_wake_a_batch(void *arg)
{
    enum { N = 5000 };
    static struct task *tasks[N];
    size_t n = test_rounds(N);
    struct task_as_completed it;
    uint64_t turn = turns_now();
    uint64_t switches = stats().switches;

    (void)arg;
    for (size_t i = 0; i < n; i++)
        tasks[i] = task_create(yields, NULL);
    CHECK_STATUS(task_as_completed_begin(&it, tasks, n), 0);
    for (size_t i = 0; i < n; i++)
        CHECK(task_as_completed_next(&it) == tasks[i]);
    CHECK_STATUS(task_as_completed_end(&it, 0), 0);
    CHECK(turns_now() - turn <= 4);
    CHECK(stats().switches - switches <= 2 * n + 2);
    detach_all(tasks, n);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(tasks_come_in_the_order_in_which_they_end),
        in_main(each_is_one_of_the_handles),
        in_main(those_done_already_come_first_in_the_order_of_the_array),
        in_main(those_that_end_in_one_batch_come_one_after_the_other),
        in_main(a_walk_over_none_gives_none),
        in_main(duplicates_come_once_and_nothing_not_at_all),
        in_main(a_walk_may_be_left_early),
        in_main(walks_nest_and_a_struct_may_be_used_again),
        in_main(a_limit_around_a_walk_leaves_no_timer),
        in_main(walking_reads_no_status),
        in_main(a_handle_may_be_ended_when_it_comes),
        in_main(a_request_on_entry_comes_first_and_takes_nothing),
        in_main(a_request_that_no_next_was_told_of_waits),
        in_main(a_cancel_ends_the_waiting_only),
        in_main(ends_and_a_request_at_one_moment),
        in_main(a_walk_cannot_be_over_what_waits_for_the_caller),
        behaviour(another_loops_task_is_refused),
        in_main(outside_a_task_it_is_refused),
        in_main(a_walk_is_its_tasks_own),
        in_main(a_walk_that_is_open_cannot_begin),
        behaviour(a_walk_that_is_ended_out_of_order_aborts),
        behaviour(without_memory_no_walk_begins),
        in_main(each_of_many_comes_in_no_time),
        in_main(many_tasks_come_with_one_wake_a_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
