/* The report of a deadlock: who waits for whom, and who is in a cycle. */
#include "base.h"
#include "bodies.h"
#include "child.h"
#include "mask.h"
#include "record.h"
#include "say.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What was reported last. */
static char *report;

static void keep_report(const struct loop_error *error, void *arg)
{
    (void)arg;
    if (error->kind == LOOP_ERROR_SHUTDOWN) {
        record("dropped %s", error->task_name);
        return;
    }
    CHECK_STATUS(error->kind, LOOP_ERROR_DEADLOCK);
    free(report);
    report = strdup(error->message);
    if (report)
        mask(report);
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
    compare_report(gathers_two,
                   "deadlock: 2 tasks can never be woken:\n"
                   "  task 1 \"task-1\", parked 0 us: gathering 2 tasks\n"
                   "    task 2 \"sleeper\", parked 0 us: sleeping for ever\n"
                   "    future 3 \"task-3\", not done");
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
    compare_report(races_two,
                   "deadlock: 1 task can never be woken:\n"
                   "  task 1 \"task-1\", parked 0 us: racing 2 tasks\n"
                   "    future 2 \"task-2\", not done\n"
                   "    future 3 \"task-3\", not done");
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
    compare_report(
        waits_for_one_in,
        "deadlock: 1 task can never be woken:\n"
        "  task 1 \"task-1\", parked 0 us: waiting for future 3 \"task-3\"\n"
        "    future 3 \"task-3\", not done");
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
                          "  task 1 \"task-1\", parked 0 us: waiting for the "
                          "next of future 2 \"task-2\"; in 1 scope\n"
                          "    future 2 \"task-2\", not done");
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
    compare_report(
        awaits_for,
        "deadlock: 2 tasks can never be woken:\n"
        "  task 1 \"task-1\", parked 0 us: awaiting task 2 \"shielder\"\n"
        "    task 2 \"shielder\", parked 0 us: awaiting (shielded) future 3 "
        "\"task-3\"\n"
        "      future 3 \"task-3\", not done");
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
                   "  task 1 \"task-1\", parked 0 us: ending a group with 2 "
                   "tasks; in 1 scope\n"
                   "    task 2 \"task-2\", parked 0 us: sleeping for ever\n"
                   "    task 3 \"task-3\", parked 0 us: sleeping for ever");
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
        "  a cycle: task 1 \"task-1\" -> task 3 \"task-3\" -> task 1 "
        "\"task-1\"\n"
        "  task 2 \"outsider\", parked 0 us: awaiting task 1 \"task-1\"\n"
        "    task 1 \"task-1\", parked 0 us: ending a group with 2 tasks; in 1 "
        "scope; awaited by tasks 2, 3\n"
        "      task 3 \"task-3\", parked 0 us: awaiting task 1 \"task-1\"\n"
        "        task 1 \"task-1\", a cycle of 2: 1 -> 3 -> 1\n"
        "      task 4 \"task-4\", parked 0 us: sleeping for ever");
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
        "  a cycle: task 1 \"task-1\" -> task 2 \"other\" -> task 1 "
        "\"task-1\"\n"
        "  task 1 \"task-1\", parked 0 us: waiting for task 2 \"other\"\n"
        "    task 2 \"other\", parked 0 us: awaiting task 1 \"task-1\"\n"
        "      task 1 \"task-1\", a cycle of 2: 1 -> 2 -> 1");
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
    char last[80] = "";
    unsigned n_left = n > 1000 ? n - 1000 : 0;

    (void)state;
    if (n_left)
        snprintf(last, sizeof last, "\n  ... and %u tasks more", n_left);
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

/* A line is a line, whatever tasks are called; and no character is cut in two. */
static int has_failed_with_such_a_name(void *arg)
{
    char name[100] = "evil\nlibtask: fine \033[31m";
    struct task *task = task_create(fails, NULL);

    (void)arg;
    task_set_name(task, name);
    CHECK_STATUS(task_yield(), 0);
    task_detach(task);
    memset(name, 'x', 63);
    memcpy(name + 63, "\303\251", 3);
    task = task_create(fails, NULL);
    task_set_name(task, name);
    CHECK_STATUS(task_yield(), 0);
    task_detach(task);
    return 0;
}

static char messages[2][400];

static void keep_messages(const struct loop_error *error, void *arg)
{
    int *n = arg;

    CHECK(*n < 2);
    snprintf(messages[(*n)++], sizeof *messages, "%s", error->message);
}

static void names_are_told_in_a_line_and_no_character_is_cut(void **state)
{
    struct loop_options options = test_options(NULL);
    int n = 0;

    (void)state;
    options.on_error = keep_messages;
    options.on_error_arg = &n;
    assert_int_equal(run_with(options, has_failed_with_such_a_name, NULL), 0);
    assert_int_equal(n, 2);
    assert_non_null(strstr(messages[0], "\"evil?libtask: fine ?[31m\""));
    assert_non_null(strstr(messages[1], "xxx\", "));
    assert_null(strchr(messages[1], '\303'));
}

/* What is left of the smallest stack does, also where stdio would need 8 KB. */
static int fails_on_a_small_stack(void *arg)
{
    volatile char room[9000];

    for (size_t i = 0; i < sizeof room; i++)
        room[i] = (char)i;
    task_detach(
        task_create_with(fails, arg, &(struct task_options){.eager = true}));
    return room[0];
}

static int starts_on_a_small_stack(void *arg)
{
    return task_await(
        task_create_with(fails_on_a_small_stack, arg,
                         &(struct task_options){.stack_size = TASK_STACK_MIN}));
}

static void report_on_a_small_stack(void *arg)
{
    if (loop_run(starts_on_a_small_stack, arg))
        _exit(1);
}

static void a_report_needs_little_stack(void **state)
{
    char said[2000];

    (void)state;
    if (HAVE_ASAN || HAVE_TSAN)
        skip(); /* their frames are larger */
    assert_int_equal(
        child_listen(report_on_a_small_stack, NULL, said, sizeof said), 0);
    assert_non_null(strstr(said, "libtask: task 3"));
    assert_non_null(strstr(said, "nobody awaited it"));
}

static int leaves_a_failure(void *arg)
{
    task_detach(task_create(fails, arg));
    raise(SIGUSR1);
    return task_yield();
}

/* Nobody will ever read what is said. */
static void speak_to_nobody(void *arg)
{
    struct sentence sentence;
    int ends[2];

    signal(SIGPIPE, SIG_DFL);
    if (pipe(ends) || dup2(ends[1], STDERR_FILENO) < 0 || close(ends[0]))
        _exit(1);
    sentence_clear(&sentence);
    task__say(&sentence, "a sentence\n");
    errno = 0;
    task__say_out(&sentence);
    if (errno || task_dump_on_signal(SIGUSR1) ||
        loop_run(leaves_a_failure, arg))
        _exit(2);
}

static void a_report_that_nobody_reads_ends_no_process(void **state)
{
    (void)state;
    assert_int_equal(child_run(speak_to_nobody, NULL), 0);
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
        behaviour(a_group_whose_child_awaits_its_owner_is_a_cycle),
        behaviour(a_cycle_may_go_through_those_who_only_look_on),
        behaviour(a_long_row_of_awaiting_tasks_is_reported_quickly),
        behaviour(without_memory_the_report_ends_early),
        behaviour(names_are_told_in_a_line_and_no_character_is_cut),
        behaviour(a_report_needs_little_stack),
        behaviour(a_report_that_nobody_reads_ends_no_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
