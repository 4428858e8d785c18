/* The figures of a loop: its tasks by state. */
#include "bodies.h"
#include "record.h"

struct expected {
    size_t tasks;
    size_t running;
    size_t ready;
    size_t new_tasks;
    size_t parked;
    size_t daemons;
};

static void check(struct expected expected, int line)
{
    struct loop_stats now = stats();

    check_status((long long)now.tasks, (long long)expected.tasks, "tasks",
                 __FILE__, line);
    check_status((long long)now.running, (long long)expected.running, "running",
                 __FILE__, line);
    check_status((long long)now.ready, (long long)expected.ready, "ready",
                 __FILE__, line);
    check_status((long long)now.new_tasks, (long long)expected.new_tasks,
                 "new_tasks", __FILE__, line);
    check_status((long long)now.parked, (long long)expected.parked, "parked",
                 __FILE__, line);
    check_status((long long)now.daemons, (long long)expected.daemons, "daemons",
                 __FILE__, line);
}

#define CHECK_STATS(...) check((struct expected){__VA_ARGS__}, __LINE__)

static int each_task_is_in_one_state(void *arg)
{
    struct task_options daemon = {.daemon = true};
    struct task *tasks[4];

    (void)arg;
    CHECK_STATS(.tasks = 1, .running = 1);
    tasks[0] = task_create(sleeps, NULL);
    tasks[1] = task_create_with(sleeps, NULL, &daemon);
    CHECK_STATS(.tasks = 3, .running = 1, .ready = 2, .new_tasks = 2,
                .daemons = 1);
    CHECK_STATUS(task_yield(), 0);
    tasks[2] =
        task_create_with(yields, NULL, &(struct task_options){.eager = true});
    tasks[3] = task_create(sleeps, NULL);
    CHECK_STATS(.tasks = 5, .running = 1, .ready = 2, .new_tasks = 1,
                .parked = 2, .daemons = 1);
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    CHECK_STATS(.tasks = 1, .running = 1);
    return 0;
}

static int tasks_of_any_stack_size_are_counted(void *arg)
{
    struct task_options large = {.stack_size = 1 << 20};
    struct task *begun = test_start(sleeps, NULL, "begun");
    struct task *task = task_create_with(sleeps, NULL, &large);

    (void)arg;
    CHECK_STATS(.tasks = 3, .running = 1, .ready = 1, .new_tasks = 1,
                .parked = 1);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATS(.tasks = 3, .running = 1, .parked = 2);
    CHECK_STATUS(task_await(task), 0);
    return task_await(begun);
}

static void check_in_callback(void *arg)
{
    (void)arg;
    CHECK_STATS(.tasks = 1, .parked = 1);
}

static int in_a_callback_no_task_runs(void *arg)
{
    (void)arg;
    CHECK(loop_call_soon(check_in_callback, NULL) > 0);
    CHECK_STATS(.tasks = 1, .running = 1, .ready = 1);
    return task_sleep(TASK_SECOND);
}

static void check_in_hook(const struct loop_error *error, void *arg)
{
    (void)arg;
    CHECK_STATUS(error->kind, LOOP_ERROR_UNAWAITED);
    if (error->task_id == 2) /* told of by another task */
        CHECK_STATS(.tasks = 1, .running = 1);
    else /* in the midst of its end */
        CHECK_STATS(.tasks = 2, .parked = 1, .ready = 1, .new_tasks = 1);
    CHECK(stats().stacks_used == 1);
    record("task %d", (int)error->task_id);
}

static int does_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int leaves_failures(void *arg)
{
    struct task *task = test_start(fails, NULL, "told of");

    (void)arg;
    task_detach(task);
    task_detach(task_create(fails, NULL));
    task_detach(task_create(does_nothing, NULL));
    return task_sleep(TASK_SECOND);
}

static void in_the_error_hook_the_task_runs_unless_it_has_ended(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.on_error = check_in_hook;
    assert_int_equal(run_with(options, leaves_failures, NULL), 0);
    assert_record("task 2, task 3");
}

static int null_has_no_figures_and_takes_none(void *arg)
{
    struct loop_stats now = {.tasks = 77};

    (void)arg;
    loop_get_stats(NULL, &now);
    loop_get_stats(loop_current(), NULL);
    CHECK(now.tasks == 77);
    return 0;
}

static void nor_where_no_loop_runs(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_stats now = {.tasks = 77};

    (void)state;
    loop_get_stats(NULL, &now);
    loop_get_stats(NULL, NULL);
    loop_get_stats(loop, NULL);
    assert_int_equal(now.tasks, 77);
    test_loop_free(loop, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(each_task_is_in_one_state),
        in_main(tasks_of_any_stack_size_are_counted),
        in_main(in_a_callback_no_task_runs),
        behaviour(in_the_error_hook_the_task_runs_unless_it_has_ended),
        in_main(null_has_no_figures_and_takes_none),
        behaviour(nor_where_no_loop_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
