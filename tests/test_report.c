/* The report of a deadlock: who waits for whom, and who is in a cycle. */
#include "bodies.h"
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was reported last, without the places of creation. */
static char *report;

static void keep_report(const struct loop_error *error, void *arg)
{
    const char *from = error->message;
    char *to;

    (void)arg;
    if (error->kind == LOOP_ERROR_SHUTDOWN) {
        record("dropped %s", error->task_name);
        return;
    }
    CHECK_STATUS(error->kind, LOOP_ERROR_DEADLOCK);
    free(report);
    report = to = malloc(strlen(from) + 1);
    while (to && *from) {
        if (!strncmp(from, ", created at ", 13))
            from = strchr(from + 2, ',') + 1;
        else
            *to++ = *from++;
    }
    if (to)
        *to = '\0';
}

/* Fail unless main can never be woken, and that is the report. */
static void compare_report(task_fn *fn, const char *expected)
{
    struct loop_options options = test_options(NULL);

    options.on_error = keep_report;
    assert_int_equal(run_with(options, fn, NULL), -EDEADLK);
    assert_non_null(report);
    assert_string_equal(report, expected);
    free(report);
    report = NULL;
}

/* Each way of waiting. */

static int gathers_two(void *arg)
{
    struct task *tasks[] = {test_start(sleeps_for_ever, NULL, "sleeper"),
                            task_future_create(), NULL};

    (void)arg;
    return task_gather(tasks, 3, NULL);
}

static void a_gathering_task_is_reported_with_those_it_gathers(void **state)
{
    (void)state;
    compare_report(gathers_two, "deadlock: 2 tasks can never be woken:\n"
                                "  task 1 \"task-1\" gathering task 2 "
                                "\"sleeper\", future 3 \"task-3\"\n"
                                "  task 2 \"sleeper\" sleeping");
}

static int races_two(void *arg)
{
    struct task *tasks[] = {task_future_create(), task_future_create()};

    (void)arg;
    return task_race(tasks, 2, NULL);
}

static void a_racing_task_is_reported_with_those_it_races(void **state)
{
    (void)state;
    compare_report(races_two, "deadlock: 1 task can never be woken:\n"
                              "  task 1 \"task-1\" racing future 2 \"task-2\", "
                              "future 3 \"task-3\"");
}

static int waits_for_one_in(void *arg)
{
    struct task *tasks[] = {task_future_create(), task_future_create()};

    (void)arg;
    CHECK_STATUS(task_future_complete(tasks[0], 1), 0);
    CHECK_STATUS(task_wait(tasks, 2, TASK_ALL_DONE, TASK_FOREVER), -ECANCELED);
    task_detach(tasks[0]);
    task_detach(tasks[1]);
    return -ECANCELED;
}

static void those_who_are_done_are_not_named(void **state)
{
    (void)state;
    compare_report(waits_for_one_in,
                   "deadlock: 1 task can never be woken:\n"
                   "  task 1 \"task-1\" waiting for future 3 \"task-3\"");
}

static int walks(void *arg)
{
    struct task *task = task_future_create();
    struct task_as_completed it;

    (void)arg;
    CHECK_STATUS(task_as_completed_begin(&it, &task, 1), 0);
    CHECK(!task_as_completed_next(&it));
    task_detach(task);
    return task_as_completed_end(&it, 0);
}

static void a_walking_task_is_reported_with_those_to_come(void **state)
{
    (void)state;
    compare_report(walks, "deadlock: 1 task can never be woken:\n"
                          "  task 1 \"task-1\" waiting for the next of "
                          "future 2 \"task-2\"");
}

static int shields(void *arg)
{
    struct task *task = arg ? arg : task_future_create();
    int status = task_shield(task);

    task_detach(task);
    return status;
}

static int awaits_for(void *arg)
{
    (void)arg;
    return task_await_for(test_start(shields, NULL, "shielder"), TASK_FOREVER);
}

static void awaiting_and_shielding_tasks_are_reported(void **state)
{
    (void)state;
    compare_report(awaits_for,
                   "deadlock: 2 tasks can never be woken:\n"
                   "  task 1 \"task-1\" awaiting task 2 \"shielder\"\n"
                   "  task 2 \"shielder\" awaiting (shielded) "
                   "future 3 \"task-3\"");
}

static int ends_a_group(void *arg)
{
    struct task_group group = {0};

    (void)arg;
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, sleeps_for_ever, NULL), 0);
    CHECK_STATUS(task_group_start(&group, sleeps_for_ever, NULL), 0);
    return task_group_end(&group, 0);
}

static void the_end_of_a_group_is_reported_with_its_children(void **state)
{
    (void)state;
    compare_report(ends_a_group,
                   "deadlock: 3 tasks can never be woken:\n"
                   "  task 1 \"task-1\" waiting for the children of its group "
                   "task 2 \"task-2\", task 3 \"task-3\"\n"
                   "  task 2 \"task-2\" sleeping\n"
                   "  task 3 \"task-3\" sleeping");
}

static int gathers_many(void *arg)
{
    struct task *tasks[11];

    (void)arg;
    for (size_t i = 0; i < 11; i++)
        tasks[i] = task_future_create();
    return task_gather(tasks, 11, NULL);
}

static void of_many_only_some_are_named(void **state)
{
    (void)state;
    compare_report(
        gathers_many,
        "deadlock: 1 task can never be woken:\n"
        "  task 1 \"task-1\" gathering future 2 \"task-2\", future 3 "
        "\"task-3\", "
        "future 4 \"task-4\", future 5 \"task-5\", future 6 \"task-6\", "
        "future 7 \"task-7\", future 8 \"task-8\", future 9 \"task-9\" and 3 "
        "more");
}

/* Cycles. */

static int ends_a_group_that_awaits_it(void *arg)
{
    struct task_group group = {0};

    (void)arg;
    task_group_begin(&group);
    task_detach(test_start(awaits, task_retain(task_current()), "outsider"));
    CHECK_STATUS(task_group_start(&group, awaits, task_retain(task_current())),
                 0);
    CHECK_STATUS(task_group_start(&group, sleeps_for_ever, NULL), 0);
    task_yield();
    return task_group_end(&group, 0);
}

static void a_group_whose_child_awaits_its_owner_is_a_cycle(void **state)
{
    (void)state;
    compare_report(
        ends_a_group_that_awaits_it,
        "deadlock: 4 tasks can never be woken:\n"
        "  task 1 \"task-1\" waiting for the children of its group "
        "task 3 \"task-3\", task 4 \"task-4\" (in a cycle)\n"
        "  task 2 \"outsider\" awaiting task 1 \"task-1\"\n"
        "  task 3 \"task-3\" awaiting task 1 \"task-1\" (in a cycle)\n"
        "  task 4 \"task-4\" sleeping");
    /* A request that goes round has nobody to wake. */
    assert_record("dropped task-1, dropped outsider, dropped task-3");
}

static int waits_for_its_awaiter(void *arg)
{
    struct task *task =
        test_start(awaits, task_retain(task_current()), "other");
    int status = task_wait(&task, 1, TASK_FIRST_DONE, TASK_FOREVER);

    (void)arg;
    task_detach(task);
    return status;
}

static void a_cycle_may_go_through_those_who_only_look_on(void **state)
{
    (void)state;
    compare_report(
        waits_for_its_awaiter,
        "deadlock: 2 tasks can never be woken:\n"
        "  task 1 \"task-1\" waiting for task 2 \"other\" "
        "(in a cycle)\n"
        "  task 2 \"other\" awaiting task 1 \"task-1\" (in a cycle)");
}

/* Many. */

static int awaits_the_next(void *arg)
{
    unsigned *n = arg;

    if (!--*n)
        return task_sleep(TASK_FOREVER);
    return task_await(task_create(awaits_the_next, n));
}

static void a_long_row_of_awaiting_tasks_is_reported_quickly(void **state)
{
    unsigned n = test_rounds(20000);
    struct loop_options options = test_options(NULL);
    char last[80];

    (void)state;
    snprintf(last, sizeof last, "\n  task %u \"task-%u\" sleeping", n, n);
    options.on_error = keep_report;
    assert_int_equal(run_with(options, awaits_the_next, &n), -EDEADLK);
    assert_non_null(report);
    assert_non_null(strstr(report, last));
    assert_null(strstr(report, "cycle"));
    free(report);
    report = NULL;
}

static struct memory_count memory;

static int gathers_without_memory(void *arg)
{
    struct task *tasks[] = {test_start(sleeps_for_ever, NULL, "sleeper"),
                            task_future_create()};

    memory.fail_at = *(size_t *)arg;
    return task_gather(tasks, 2, NULL);
}

static void without_memory_the_report_ends_early(void **state)
{
    size_t fail_at = 0;

    (void)state;
    do {
        struct loop_options options = test_options(&memory);
        struct loop *loop;

        memory = (struct memory_count){0};
        options.on_error = keep_report;
        loop = loop_new(&options);
        assert_non_null(loop);
        fail_at++;
        assert_int_equal(loop_run_main(loop, gathers_without_memory, &fail_at),
                         -EDEADLK);
        assert_non_null(report);
        assert_memory_equal(report, "deadlock", 8);
        free(report);
        report = NULL;
        test_loop_free(loop, &memory);
    } while (!memory.fail_at);
    assert_true(fail_at > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(a_gathering_task_is_reported_with_those_it_gathers),
        behaviour(a_racing_task_is_reported_with_those_it_races),
        behaviour(those_who_are_done_are_not_named),
        behaviour(a_walking_task_is_reported_with_those_to_come),
        behaviour(awaiting_and_shielding_tasks_are_reported),
        behaviour(the_end_of_a_group_is_reported_with_its_children),
        behaviour(of_many_only_some_are_named),
        behaviour(a_group_whose_child_awaits_its_owner_is_a_cycle),
        behaviour(a_cycle_may_go_through_those_who_only_look_on),
        behaviour(a_long_row_of_awaiting_tasks_is_reported_quickly),
        behaviour(without_memory_the_report_ends_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
