/* Tasks: creation, handles, awaiting, outcomes, identity, stacks. */
#include "base.h"
#include "bodies.h"
#include "record.h"
#include "switch.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int says_twice(void *arg)
{
    record("%s 1", (const char *)arg);
    CHECK_STATUS(task_yield(), 0);
    record("%s 2", (const char *)arg);
    return 0;
}

/* Creation. */

static int create_never_runs_the_child(void *arg)
{
    struct task *child = task_create(says, text("child"));

    (void)arg;
    record("created");
    CHECK(!task_done(child));
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(child));
    CHECK_STATUS(task_await(child), 0);
    CHECK_RECORD("created, child");
    return 0;
}

static int ready_tasks_run_first_in_first_out(void *arg)
{
    struct task *a = task_create(says_twice, text("a"));
    struct task *b = task_create(says_twice, text("b"));
    struct task *c = task_create(says_twice, text("c"));

    (void)arg;
    CHECK_STATUS(task_await(a), 0);
    CHECK_STATUS(task_await(b), 0);
    CHECK_STATUS(task_await(c), 0);
    CHECK_RECORD("a 1, b 1, c 1, a 2, b 2, c 2");
    return 0;
}

static int creates_and_says(void *arg)
{
    task_detach(task_create(says, text("child")));
    return says(arg);
}

static int a_child_runs_in_the_turn_after_its_creator(void *arg)
{
    (void)arg;
    task_detach(task_create(creates_and_says, text("a")));
    task_detach(task_create(says, text("b")));
    CHECK_STATUS(task_yield(), 0);
    record("main");
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("a, b, main, child");
    return 0;
}

static int all_spellings_of_create_are_the_same(void *arg)
{
    static const struct task_options none = {0};

    (void)arg;
    CHECK_STATUS(task_await(create_task(says, text("a"))), 0);
    CHECK_STATUS(task_await((create_task)(says, text("b"))), 0);
    CHECK_STATUS(task_await((task_create)(says, text("c"))), 0);
    CHECK_STATUS(task_await(task_create_with(says, text("d"), NULL)), 0);
    CHECK_STATUS(task_await(task_create_with(says, text("e"), &none)), 0);
    CHECK_STATUS(task_await((task_create_with)(says, text("f"), &none)), 0);
    CHECK_STATUS(task_await(loop_create_task(loop_current(), says, text("g"))),
                 0);
    CHECK_STATUS(
        task_await((loop_create_task)(loop_current(), says, text("h"))), 0);
    CHECK_RECORD("a, b, c, d, e, f, g, h");
    return 0;
}

static int create_without_a_function_gives_null(void *arg)
{
    (void)arg;
    CHECK(!task_create(NULL, NULL));
    CHECK(!task_create_with(NULL, NULL, NULL));
    CHECK(!loop_create_task(loop_current(), NULL, NULL));
    CHECK(!loop_create_task(NULL, says, NULL));
    CHECK_STATUS(task_await(task_create(NULL, NULL)), -ENOMEM);
    return 0;
}

static void create_where_no_loop_runs_gives_null(void **state)
{
    (void)state;
    assert_null(task_create(says, text("never")));
    assert_null(create_task(says, text("never")));
    assert_null(task_create_with(says, text("never"),
                                 &(struct task_options){.eager = true}));
}

static void *create_elsewhere(void *arg)
{
    CHECK(!task_create(says, text("never")));
    CHECK(!task_current());
    CHECK(!loop_current());
    CHECK_STATUS(task_await(arg), -EPERM);
    return NULL;
}

static int create_in_another_thread_gives_null(void *arg)
{
    struct task *child = task_create(sleeps, NULL);
    pthread_t thread;

    (void)arg;
    CHECK_STATUS(pthread_create(&thread, NULL, create_elsewhere, child), 0);
    pthread_join(thread, NULL);
    CHECK(!task_done(child));
    return task_await(child);
}

static void create_in_callback(void *arg)
{
    struct task **child = arg;

    *child = task_create(says, text("child"));
    record("callback");
}

static int a_callback_may_create_tasks(void *arg)
{
    struct task *child = NULL;

    (void)arg;
    CHECK(loop_call_soon(create_in_callback, &child) > 0);
    CHECK_STATUS(task_yield(), 0);
    record("main");
    CHECK_STATUS(task_await(child), 0);
    CHECK_RECORD("callback, main, child");
    return 0;
}

static void a_task_created_before_the_loop_runs_starts_with_it(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *early = loop_create_task(loop, says, text("early"));

    (void)state;
    assert_non_null(early);
    assert_false(task_done(early));
    assert_record("");
    assert_int_equal(loop_run_main(loop, says, text("main")), 0);
    assert_record("early, main");
    assert_true(task_done(early));
    assert_int_equal(task_status(early), 0);
    test_loop_free(loop, &count);
}

static void a_task_created_and_never_run_runs_at_the_end(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_non_null(loop_create_task(loop, says, text("late")));
    test_loop_free(loop, &count);
    assert_record("late");
}

/* Awaiting. */

static int await_gives_exactly_what_was_returned(void *arg)
{
    int values[] = {0,    1,          7,      INT_MAX,      -1,
                    -EIO, -ECANCELED, -EPERM, -EINPROGRESS, INT_MIN};

    (void)arg;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        CHECK_STATUS(task_await(task_create(returns, &values[i])), values[i]);
    return 0;
}

static int await_suspends_while_others_run(void *arg)
{
    struct task *sleeper = task_create(sleeps, NULL);
    struct task *other = task_create(says_twice, text("other"));

    (void)arg;
    CHECK_STATUS(task_await(sleeper), 0);
    CHECK(loop_time() == TASK_SECOND);
    record("main");
    CHECK_STATUS(task_await(other), 0);
    CHECK_RECORD("other 1, other 2, main");
    return 0;
}

static int await_of_a_done_task_does_not_suspend(void *arg)
{
    int seven = 7;
    struct task *child = task_create(returns, &seven);
    uint64_t turn;

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    task_detach(task_create(says, text("other")));
    turn = turns_now();
    CHECK_STATUS(task_await(child), 7);
    CHECK(turns_now() == turn);
    CHECK_RECORD("");
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("other");
    return 0;
}

static struct task *awaiter(const char *name, struct task *task)
{
    return task_create_with(awaits_and_says, task_retain(task),
                            &(struct task_options){.name = name});
}

static int sleeps_and_returns(void *arg)
{
    int status = task_sleep(TASK_SECOND);

    return status ? status : *(int *)arg;
}

static int several_may_await_one_task(void *arg)
{
    int seven = 7;
    struct task *task = task_create(sleeps_and_returns, &seven);
    struct task *a = awaiter("a", task);
    struct task *b = awaiter("b", task);
    struct task *c = awaiter("c", task);

    (void)arg;
    CHECK_STATUS(task_await(task), 7);
    record("main");
    CHECK_STATUS(task_await(c), 7);
    CHECK_STATUS(task_await(b), 7);
    CHECK_STATUS(task_await(a), 7);
    CHECK_RECORD("main, a got 7, b got 7, c got 7");
    return 0;
}

static void says_done(struct task *task, void *arg)
{
    CHECK(task_done(task));
    CHECK(!task_current());
    record("%s", (const char *)arg);
}

static int awaiters_and_callbacks_are_served_in_order_of_registration(void *arg)
{
    int seven = 7;
    struct task *task = task_create(sleeps_and_returns, &seven);
    struct task *waiters[2];

    (void)arg;
    CHECK_STATUS(task_add_done_callback(task, says_done, text("first")), 0);
    waiters[0] = awaiter("a", task);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_add_done_callback(task, says_done, text("second")), 0);
    waiters[1] = awaiter("b", task);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_add_done_callback(task, says_done, text("third")), 0);
    CHECK_STATUS(task_await(task), 7);
    record("main");
    CHECK_RECORD("first, a got 7, second, b got 7, third, main");
    CHECK_STATUS(task_await(waiters[0]), 7);
    CHECK_STATUS(task_await(waiters[1]), 7);
    return 0;
}

static int notes_its_turn(void *arg)
{
    int status = task_yield();

    *(uint64_t *)arg = turns_now();
    return status;
}

static int an_awaiter_resumes_in_the_turn_after_the_end(void *arg)
{
    uint64_t turn = 0;

    (void)arg;
    CHECK_STATUS(task_await(task_create(notes_its_turn, &turn)), 0);
    CHECK(turns_now() == turn + 1);
    return 0;
}

static int null_stands_for_a_task_that_could_not_be_made(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_await(NULL), -ENOMEM);
    CHECK_STATUS(task_cancel_await(NULL), -ENOMEM);
    CHECK_STATUS(task_status(NULL), -ENOMEM);
    CHECK(task_done(NULL));
    CHECK(!task_cancelled(NULL));
    CHECK(!task_cancel(NULL));
    CHECK(task_cancelling(NULL) == 0);
    CHECK(task_uncancel(NULL) == 0);
    CHECK(task_id(NULL) == 0);
    CHECK(!strcmp(task_name(NULL), ""));
    CHECK(!task_retain(NULL));
    CHECK(task_stack_size(NULL) == 0);
    CHECK(task_stack_used(NULL) == 0);
    task_set_name(NULL, "nobody");
    task_detach(NULL);
    return 0;
}

static void await_of_another_loops_task_is_refused(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *foreign = loop_create_task(loop, says, text("foreign"));

    (void)state;
    assert_int_equal(run_virtual(awaits_foreign, foreign), 0);
    assert_record("");
    assert_int_equal(loop_run_main(loop, awaits_and_says, foreign), 0);
    assert_record("foreign, task-2 got 0");
    test_loop_free(loop, &count);
}

static void suspend_in_callback(void *arg)
{
    CHECK_STATUS(task_await(arg), -EPERM);
    CHECK_STATUS(task_cancel_await(arg), -EPERM);
    CHECK_STATUS(task_sleep(1), -EPERM);
    CHECK_STATUS(task_sleep(0), -EPERM);
    CHECK_STATUS(task_sleep_until(1), -EPERM);
    CHECK_STATUS(task_yield(), -EPERM);
    CHECK_STATUS(task_wait_all_blocked(), -EPERM);
    CHECK(task_cancelling(arg) == 0);
    record("callback");
}

static int suspending_calls_fail_in_a_callback(void *arg)
{
    struct task *child = task_create(sleeps, NULL);

    (void)arg;
    CHECK(loop_call_soon(suspend_in_callback, child) > 0);
    CHECK_STATUS(task_await(child), 0);
    CHECK_RECORD("callback");
    return 0;
}

static void suspending_calls_fail_where_no_loop_runs(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *task = loop_create_task(loop, says, text("task"));

    (void)state;
    suspend_in_callback(task);
    assert_record("callback");
    assert_false(task_done(task));
    assert_int_equal(loop_run_main(loop, awaits_and_says, task), 0);
    assert_record("task, task-2 got 0");
    test_loop_free(loop, &count);
}

/* Deadlocks. */

static int a_task_cannot_await_itself(void *arg)
{
    struct task *self = task_retain(task_current());

    (void)arg;
    CHECK_STATUS(task_await(self), -EDEADLK);
    CHECK_STATUS(task_cancel_await(self), -EDEADLK);
    CHECK(!task_done(self));
    CHECK(task_cancelling(self) == 0);
    task_detach(self); /* it is still ours */
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

/* One of a ring, in which each awaits the next. */
struct link {
    struct link *next;
    struct task *task;
    int status;
};

static int awaits_next(void *arg)
{
    struct link *link = arg;
    struct task *next = link->next->task;

    link->status = task_await(next);
    if (link->status == -EDEADLK) {
        CHECK(!task_done(next));
        CHECK_STATUS(task_cancel_await(next), -EDEADLK);
        CHECK(task_cancelling(next) == 0);
        task_detach(next);
        return 0;
    }
    return link->status + 1;
}

static int awaiting_in_a_ring_is_refused_to_the_last(void *arg)
{
    static const int sizes[] = {2, 3, 100};

    (void)arg;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int n = sizes[s];
        struct link *links = calloc((size_t)n, sizeof *links);
        struct task *first;

        for (int i = 0; i < n; i++) {
            links[i].task = task_create(awaits_next, &links[i]);
            links[i].next = &links[(i + 1) % n];
        }
        first = task_retain(links[0].task);
        CHECK_STATUS(task_await(first), n - 1);
        CHECK_STATUS(links[n - 1].status, -EDEADLK);
        for (int i = 0; i < n - 1; i++)
            CHECK_STATUS(links[i].status, n - 2 - i);
        free(links);
    }
    return 0;
}

static int awaiting_one_task_twice_over_is_no_ring(void *arg)
{
    int seven = 7;
    struct task *task = task_create(sleeps_and_returns, &seven);
    struct task *a = awaiter("a", task);
    struct task *b = awaiter("b", task);
    struct task *c = awaiter("c", a);

    (void)arg;
    task_detach(task);
    task_detach(a);
    CHECK_STATUS(task_await(b), 7);
    CHECK_STATUS(task_await(c), 7);
    CHECK_RECORD("a got 7, b got 7, c got 7");
    return 0;
}

static int awaits_creator(void *arg)
{
    struct task **tasks = arg;

    (void)task_yield();
    CHECK_STATUS(task_await(tasks[0]), -EDEADLK);
    return 5;
}

static int a_child_cannot_await_the_one_that_awaits_it(void *arg)
{
    struct task *self = task_current();

    (void)arg;
    CHECK_STATUS(task_await(task_create(awaits_creator, &self)), 5);
    return 0;
}

/* 10,000 awaits deep, each on a stack of its own. */
static int nests(void *arg)
{
    unsigned *left = arg;

    if (!*left)
        return 0;
    --*left;
    return 1 + task_await(task_create(nests, left));
}

static int awaits_may_be_nested_deeply(void *arg)
{
    unsigned depth = test_rounds(10000);
    unsigned left = depth;

    (void)arg;
    CHECK_STATUS(task_await(task_create(nests, &left)), depth);
    CHECK(stats().stacks_used == 1);
    return 0;
}

static int ends_early(void *arg)
{
    unsigned *left = arg;
    unsigned depth = (*left)--;
    struct task *inner = depth ? task_create(ends_early, left) : NULL;
    int status = depth ? task_await(inner) : task_sleep(TASK_SECOND);

    return status;
}

static int a_deep_chain_unwinds_one_turn_each(void *arg)
{
    unsigned depth = 100;
    struct task *outer = task_create(ends_early, &depth);
    uint64_t turn;

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND - 1), 0);
    turn = turns_now();
    CHECK_STATUS(task_await(outer), 0);
    CHECK(turns_now() - turn >= 101);
    CHECK(turns_now() - turn <= 104);
    return 0;
}

/* Handles. */

static int a_detached_task_runs_on(void *arg)
{
    (void)arg;
    task_detach(task_create(says_twice, text("detached")));
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_RECORD("detached 1, detached 2");
    return 0;
}

static int a_done_task_may_be_detached(void *arg)
{
    struct task *child = task_create(says, text("child"));

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    task_detach(child);
    CHECK_RECORD("child");
    return 0;
}

static int a_retained_handle_outlives_the_others(void *arg)
{
    int seven = 7;
    struct task *task = task_create(returns, &seven);
    struct task *second = task_retain(task);
    struct task *third = task_retain(second);

    (void)arg;
    CHECK(second == task);
    CHECK_STATUS(task_await(task), 7);
    CHECK(task_done(second));
    CHECK_STATUS(task_status(second), 7);
    CHECK_STATUS(task_await(second), 7);
    CHECK_STATUS(task_await(third), 7);
    return 0;
}

static int gives_a_handle(void *arg)
{
    struct task **handle = arg;

    *handle = task_retain(task_current());
    return task_sleep(TASK_SECOND);
}

static int a_task_may_give_out_handles_of_itself(void *arg)
{
    struct task *handle = NULL;

    (void)arg;
    task_detach(task_create(gives_a_handle, &handle));
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_await(handle), 0);
    CHECK(loop_time() == TASK_SECOND);
    return 0;
}

/* What a task was given: its own, and last, handle. */
static int ends_its_handle(void *arg)
{
    struct task **handle = arg;
    struct task *self = *handle;

    CHECK(self == task_current());
    task_detach(self);
    CHECK_STATUS(task_yield(), 0);
    CHECK(self == task_current());
    CHECK_STATUS(task_cancel(self), true);
    CHECK_STATUS(task_yield(), -ECANCELED);
    record("goes on");
    return 0;
}

static int a_task_may_end_the_last_handle_of_itself(void *arg)
{
    struct task *handle = NULL;

    (void)arg;
    handle = task_create(ends_its_handle, &handle);
    CHECK_STATUS(task_sleep(1), 0);
    CHECK(stats().tasks == 1);
    CHECK_RECORD("goes on");
    return 0;
}

static int a_handle_may_end_while_another_awaits(void *arg)
{
    int seven = 7;
    struct task *task = task_create(sleeps_and_returns, &seven);
    struct task *a = awaiter("a", task);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    task_detach(task);
    CHECK_STATUS(task_await(a), 7);
    CHECK_RECORD("a got 7");
    return 0;
}

static int awaits_borrowed(void *arg)
{
    struct task **tasks = arg;

    return task_await(tasks[0]);
}

static int the_awaited_handle_itself_may_be_the_last(void *arg)
{
    int failure = -EIO;
    struct task *task = task_create(sleeps_and_returns, &failure);
    struct task *a = task_create(awaits_borrowed, &task);

    (void)arg;
    CHECK_STATUS(task_await(a), -EIO);
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int children_left_behind(void *arg)
{
    (void)arg;
    (void)task_create(says_twice, text("a")); /* the loop ends the handle */
    task_detach(task_create(says_twice, text("b")));
    return task_yield();
}

static void what_main_leaves_goes_on_in_the_next_run(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, children_left_behind, NULL), 0);
    assert_record("a 1, b 1");
    assert_int_equal(loop_run_main(loop, nothing, NULL), 0);
    assert_record("a 2, b 2");
    test_loop_free(loop, &count);
}

/* Outcomes. */

static int status_done_and_cancelled_follow_the_task(void *arg)
{
    struct task *task = task_create(sleeps, NULL);

    (void)arg;
    CHECK(!task_done(task));
    CHECK(!task_cancelled(task));
    CHECK_STATUS(task_status(task), -EINPROGRESS);
    CHECK_STATUS(task_yield(), 0);
    CHECK(!task_done(task));
    CHECK_STATUS(task_status(task), -EINPROGRESS);
    CHECK_STATUS(task_sleep(2 * TASK_SECOND), 0);
    CHECK(task_done(task));
    CHECK(!task_cancelled(task));
    CHECK_STATUS(task_status(task), 0);
    CHECK_STATUS(task_await(task), 0);
    return 0;
}

static int a_returned_einprogress_is_told_by_done(void *arg)
{
    int status = -EINPROGRESS;
    struct task *task = task_create(returns, &status);

    (void)arg;
    CHECK_STATUS(task_status(task), -EINPROGRESS);
    CHECK(!task_done(task));
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_status(task), -EINPROGRESS);
    CHECK(task_done(task));
    return task_await(task) == -EINPROGRESS ? 0 : 1;
}

/* Reports of failures that nobody read. */

struct report {
    int n;
    enum loop_error_kind kind;
    int status;
    int line;
    uint64_t id;
    char name[32];
    char file[128];
    bool has_message;
};

static void keep_report(const struct loop_error *error, void *arg)
{
    struct report *report = arg;

    report->n++;
    report->kind = error->kind;
    report->status = error->status;
    report->line = error->line;
    report->id = error->task_id;
    report->has_message = error->message && *error->message;
    CHECK(error->loop != NULL);
    CHECK(error->fd == -1);
    CHECK(error->task && task_done(error->task));
    snprintf(report->name, sizeof report->name, "%s",
             error->task_name ? error->task_name : "");
    snprintf(report->file, sizeof report->file, "%s",
             error->file ? error->file : "");
}

struct blamed {
    struct report report;
    int line;
    uint64_t id;
};

static int leaves_a_failure(void *arg)
{
    struct blamed *blamed = arg;
    struct task *task;

    loop_set_error_handler(loop_current(), keep_report, &blamed->report);
    task = task_create_with(fails, NULL,
                            &(struct task_options){.name = "culprit"});
    blamed->line = __LINE__ - 1;
    blamed->id = task_id(task);
    task_detach(task);
    CHECK(blamed->report.n == 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(blamed->report.n == 1);
    return 0;
}

static void an_unread_failure_is_reported_with_name_and_place(void **state)
{
    struct blamed blamed = {.line = 0};

    (void)state;
    assert_int_equal(run_virtual(leaves_a_failure, &blamed), 0);
    assert_int_equal(blamed.report.n, 1);
    assert_int_equal(blamed.report.kind, LOOP_ERROR_UNAWAITED);
    assert_int_equal(blamed.report.status, -EIO);
    assert_int_equal(blamed.report.id, blamed.id);
    assert_string_equal(blamed.report.name, "culprit");
    assert_string_equal(blamed.report.file, __FILE__);
    assert_in_range(blamed.report.line, blamed.line - 1, blamed.line);
    assert_true(blamed.report.has_message);
}

static int a_failure_is_reported_when_a_done_task_is_detached(void *arg)
{
    struct task *task = task_create(fails, NULL);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("");
    task_detach(task);
    CHECK_RECORD("unawaited(task-2, -5)");
    return 0;
}

static int a_failure_is_reported_with_the_last_handle(void *arg)
{
    struct task *task = task_create(fails, NULL);
    struct task *second = task_retain(task);

    (void)arg;
    task_detach(task);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("");
    task_detach(second);
    CHECK_RECORD("unawaited(task-2, -5)");
    return 0;
}

static int leaves_handles(void *arg)
{
    struct task *read = task_create(fails, NULL);

    (void)arg;
    (void)task_create(fails, NULL);
    (void)task_create(nothing, NULL);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_status(read), -EIO);
    return 0;
}

static void a_failure_is_reported_at_the_end_of_the_loop(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_handles, NULL), 0);
    assert_record("unawaited(task-3, -5)");
}

static int looking_is_no_reading_but_status_is(void *arg)
{
    struct task *looked_at = task_create(fails, NULL);
    struct task *read = task_create(fails, NULL);

    (void)arg;
    CHECK_STATUS(task_status(read), -EINPROGRESS); /* is no reading yet */
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(looked_at) && !task_cancelled(looked_at));
    CHECK(!task_cancel(looked_at));
    CHECK_STATUS(task_status(read), -EIO);
    task_detach(read);
    CHECK_RECORD("");
    task_detach(looked_at);
    CHECK_RECORD("unawaited(task-2, -5)");
    return 0;
}

static int looking_too_early_is_no_reading(void *arg)
{
    struct task *task = task_create(fails, NULL);

    (void)arg;
    CHECK_STATUS(task_status(task), -EINPROGRESS);
    task_detach(task);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("unawaited(task-2, -5)");
    return 0;
}

static int an_awaited_failure_is_not_reported(void *arg)
{
    struct task *task = task_create(fails, NULL);
    struct task *second = task_retain(task);
    struct task *third = task_create(fails, NULL);

    (void)arg;
    CHECK_STATUS(task_await(task), -EIO);
    task_detach(second);
    CHECK_STATUS(task_cancel_await(third), -EIO);
    return 0;
}

static int success_and_cancellation_are_not_reported(void *arg)
{
    int values[] = {0, 1, INT_MAX, -ECANCELED};

    (void)arg;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        task_detach(task_create(returns, &values[i]));
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static void mains_own_failure_is_not_reported(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(fails, NULL), -EIO);
}

/* The current task. */

struct current {
    struct task *task;
    int steps;
};

static int checks_current(void *arg)
{
    struct current *current = arg;

    for (int i = 0; i < current->steps; i++) {
        CHECK(task_current() == current->task);
        CHECK_STATUS(i % 2 ? task_yield() : task_sleep(i), 0);
    }
    CHECK(task_current() == current->task);
    return 0;
}

static int the_current_task_is_right_after_each_suspension(void *arg)
{
    struct task *self = task_current();
    struct current a = {.steps = 10};
    struct current b = {.steps = 15};

    (void)arg;
    CHECK(self != NULL);
    a.task = task_create(checks_current, &a);
    b.task = task_create(checks_current, &b);
    CHECK(task_current() == self);
    CHECK_STATUS(task_await(a.task), 0);
    CHECK(task_current() == self);
    CHECK_STATUS(task_await(b.task), 0);
    CHECK(task_current() == self);
    return 0;
}

static void checks_no_current(void *arg)
{
    CHECK(!task_current());
    CHECK(loop_current() == arg);
    record("callback");
}

static int no_task_is_current_in_a_callback(void *arg)
{
    struct loop *loop = loop_current();

    (void)arg;
    CHECK(loop_call_soon(checks_no_current, loop) > 0);
    CHECK(loop_call_later(1, checks_no_current, loop) > 0);
    CHECK_STATUS(task_sleep(2), 0);
    CHECK(task_current() != NULL);
    CHECK_RECORD("callback, callback");
    return 0;
}

static void no_task_is_current_outside_a_run(void **state)
{
    (void)state;
    assert_null(task_current());
    assert_null(loop_current());
    assert_int_equal(run_virtual(nothing, NULL), 0);
    assert_null(task_current());
    assert_null(loop_current());
}

static int sets_errno(void *arg)
{
    int value = *(int *)arg;

    CHECK(errno == 0);
    for (int i = 0; i < 5; i++) {
        errno = value + i;
        CHECK_STATUS(i % 2 ? task_sleep(1) : task_yield(), 0);
        CHECK(errno == value + i);
    }
    return 0;
}

static int says_nothing(struct task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

static int yields_once(void *arg)
{
    (void)arg;
    return task_yield();
}

/* They have yielded in their first step, before the rest of the batch and in a step
 * of its own: errno is theirs, and so is a request that comes meanwhile. */
static int eager_tasks_yield_like_others(void *arg)
{
    struct task_options eager = {.eager = true};
    struct loop_hooks hooks = {.step_begins = says_nothing};

    (void)arg;
    for (int is_watched = 0; is_watched < 2; is_watched++) {
        int values[] = {10, 20};
        struct task *tasks[3];

        if (is_watched)
            CHECK_STATUS(loop_add_hooks(loop_current(), &hooks), 0);
        errno = 5;
        tasks[0] = task_create_with(sets_errno, &values[0], &eager);
        tasks[1] = task_create_with(yields_once, NULL, &eager);
        tasks[2] = task_create_with(sets_errno, &values[1], &eager);
        CHECK(errno == 5);
        CHECK(task_cancel(tasks[1]));
        CHECK_STATUS(task_await(tasks[1]), -ECANCELED);
        CHECK_STATUS(task_await(tasks[0]), 0);
        CHECK_STATUS(task_await(tasks[2]), 0);
        CHECK(errno == 5);
    }
    return loop_remove_hooks(loop_current(), &hooks);
}

static int errno_belongs_to_each_task(void *arg)
{
    int values[] = {10, 20};
    struct task *a = task_create(sets_errno, &values[0]);
    struct task *b = task_create(sets_errno, &values[1]);

    (void)arg;
    errno = 5;
    CHECK_STATUS(task_await(a), 0);
    CHECK_STATUS(task_await(b), 0);
    CHECK(errno == 5);
    return 0;
}

/* Identity. */

static int ids_count_from_one_and_are_never_used_twice(void *arg)
{
    uint64_t last = task_id(task_current());

    (void)arg;
    CHECK(last == 1);
    for (int i = 0; i < 10; i++) {
        struct task *task =
            i % 3 ? task_create(nothing, NULL) : task_future_create();

        CHECK(task_id(task) == last + 1);
        last = task_id(task);
        CHECK(task_cancel(task));
        CHECK_STATUS(task_await(task), i % 3 ? 0 : -ECANCELED);
    }
    return 0;
}

static int a_name_is_task_and_the_id_by_default(void *arg)
{
    struct task *task = task_create(nothing, NULL);

    (void)arg;
    CHECK(!strcmp(task_name(task_current()), "task-1"));
    CHECK(!strcmp(task_name(task), "task-2"));
    CHECK_STATUS(task_yield(), 0);
    CHECK(!strcmp(task_name(task), "task-2")); /* done, and still named */
    return task_await(task);
}

static int a_given_name_is_copied(void *arg)
{
    char name[] = "first";
    struct task *task =
        task_create_with(nothing, NULL, &(struct task_options){.name = name});

    (void)arg;
    name[0] = 'F';
    CHECK(!strcmp(task_name(task), "first"));
    task_set_name(task, name);
    name[0] = 'x';
    CHECK(!strcmp(task_name(task), "First"));
    task_set_name(task, NULL);
    CHECK(!strcmp(task_name(task), "task-2"));
    task_set_name(task, "");
    CHECK(!strcmp(task_name(task), ""));
    return task_await(task);
}

static int a_name_may_be_long_and_of_any_bytes(void *arg)
{
    static char name[100001];
    struct task *task = task_create(fails, NULL);

    (void)arg;
    memset(name, 'n', sizeof name - 1);
    task_set_name(task, name);
    CHECK(!strcmp(task_name(task), name));
    task_set_name(task, "größer \xf0\x9f\x90\xa2 \xff\x01%s\n");
    CHECK(!strcmp(task_name(task), "größer \xf0\x9f\x90\xa2 \xff\x01%s\n"));
    task_set_name(task, task_name(task)); /* from its own */
    CHECK(!strcmp(task_name(task), "größer \xf0\x9f\x90\xa2 \xff\x01%s\n"));
    task_set_name(task, name);
    CHECK_STATUS(task_yield(), 0);
    task_detach(task); /* a report has to live with it */
    record_clear();
    return 0;
}

/* The list of all tasks. */

static int all_lists_what_is_not_done_in_order_of_creation(void *arg)
{
    struct task *self = task_current();
    struct task *a = task_create(sleeps, NULL);
    struct task *future = task_future_create();
    struct task *b = task_create(nothing, NULL);
    struct task *c = task_create(sleeps, NULL);
    struct task *all[5] = {NULL};

    (void)arg;
    CHECK(task_all(all, 5) == 4);
    CHECK(all[0] == self && all[1] == a && all[2] == b && all[3] == c);
    CHECK(all[4] == NULL);
    CHECK_STATUS(task_await(b), 0);
    CHECK(task_all(all, 2) == 3);
    CHECK(all[0] == self && all[1] == a && all[2] == b); /* [2]: untouched */
    CHECK(task_all(NULL, 0) == 3);
    task_detach(a);
    CHECK(task_all(all, 5) == 3); /* whoever has handles */
    CHECK_STATUS(task_await(c), 0);
    CHECK(task_all(all, 5) == 1);
    task_detach(future);
    return 0;
}

static int all_is_in_order_of_creation_whatever_ended_before(void *arg)
{
    enum { N = 50 };
    struct task *tasks[2 * N];
    struct task *all[2 * N];
    int n = 0;

    (void)arg;
    for (int i = 0; i < N; i++)
        tasks[i] = task_create(sleeps, NULL);
    for (int i = 0; i < N; i += 2)
        CHECK_STATUS(task_cancel_await(tasks[i]), -ECANCELED);
    for (int i = N; i < 2 * N; i++)
        tasks[i] = task_create(sleeps, NULL);
    CHECK(task_all(all, 2 * N) == 1 + N / 2 + N);
    for (int i = 0; i < 2 * N; i++)
        if (i >= N || i % 2)
            CHECK(all[++n] == tasks[i]);
    CHECK(task_all(all, 3) == 1 + N / 2 + N);
    CHECK(all[0] == task_current() && all[1] == tasks[1] && all[2] == tasks[3]);
    for (int i = 1; i < 2 * N; i++)
        if (i >= N || i % 2)
            CHECK_STATUS(task_await(tasks[i]), 0);
    return 0;
}

static void all_lists_nothing_where_no_loop_runs(void **state)
{
    struct task *all[1];

    (void)state;
    assert_int_equal(task_all(all, 1), 0);
}

/* Eager start. */

static const struct task_options EAGER = {.eager = true};

static int an_eager_child_that_ends_is_done_at_return(void *arg)
{
    uint64_t turn = turns_now();
    struct task *all[3];
    struct task *child;

    (void)arg;
    task_detach(task_create(says, text("earlier")));
    child = task_create_with(says, text("eager"), &EAGER);
    record("main");
    CHECK(task_done(child));
    CHECK(turns_now() == turn);
    CHECK(task_all(all, 3) == 2); /* gone from there */
    CHECK(!task_cancel(child));
    CHECK_STATUS(task_await(child), 0);
    CHECK(turns_now() == turn);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("eager, main, earlier");
    return 0;
}

static int an_eager_child_that_suspends_returns_to_its_creator(void *arg)
{
    struct task *child;

    (void)arg;
    task_detach(task_create(says_twice, text("earlier")));
    child = task_create_with(says_twice, text("eager"), &EAGER);
    record("main");
    CHECK(!task_done(child));
    CHECK_STATUS(task_await(child), 0);
    CHECK_RECORD("eager 1, main, earlier 1, eager 2, earlier 2");
    return 0;
}

struct eager_check {
    struct task *creator;
    struct task *child;
    int suspends;
};

static int checks_eager(void *arg)
{
    struct eager_check *check = arg;
    struct task *self = task_current();
    struct task *all[8];
    size_t n = task_all(all, 8);

    CHECK(self && self != check->creator);
    CHECK(n == 2 && all[1] == self); /* listed while it runs */
    for (int i = 0; i < check->suspends; i++) {
        CHECK_STATUS(i % 2 ? task_yield() : task_sleep(1), 0);
        CHECK(task_current() == self);
        CHECK(check->child == self);
    }
    return 7;
}

static int the_current_task_is_right_around_an_eager_start(void *arg)
{
    struct task *self = task_current();
    struct task *all[3];

    (void)arg;
    for (int i = 0; i < 4; i++) {
        struct eager_check check = {.creator = self, .suspends = i};

        check.child = task_create_with(checks_eager, &check, &EAGER);
        CHECK(task_current() == self);
        CHECK(task_all(all, 3) == (i ? 2 : 1));
        CHECK_STATUS(task_await(check.child), 7);
        CHECK(task_current() == self);
    }
    return 0;
}

struct nest {
    int depth;
    bool suspends;
};

static int nests_eagerly(void *arg)
{
    struct nest nest = *(struct nest *)arg;
    struct task *self = task_current();
    struct task *child;
    int status;

    if (!nest.depth--)
        return nest.suspends ? task_sleep(1) : 0;
    child = task_create_with(nests_eagerly, &nest, &EAGER);
    CHECK(task_current() == self);
    CHECK(task_done(child) == !nest.suspends);
    if (nest.suspends)
        CHECK_STATUS(task_yield(), 0);
    status = task_await(child);
    CHECK(task_current() == self);
    return status < 0 ? status : status + 1;
}

static int eager_starts_may_be_nested(void *arg)
{
    struct nest ends = {.depth = 200, .suspends = false};
    struct nest suspends = {.depth = 200, .suspends = true};
    struct task *a = task_create_with(nests_eagerly, &ends, &EAGER);
    struct task *b = task_create_with(nests_eagerly, &suspends, &EAGER);

    (void)arg;
    CHECK(task_done(a));
    CHECK(!task_done(b));
    CHECK_STATUS(task_await(a), 200);
    CHECK_STATUS(task_await(b), 200);
    return 0;
}

static void creates_eagerly(void *arg)
{
    struct task **tasks = arg;

    CHECK(!task_current());
    tasks[0] = task_create_with(says, text("ends"), &EAGER);
    CHECK(!task_current());
    CHECK(task_done(tasks[0]));
    tasks[1] = task_create_with(says_twice, text("suspends"), &EAGER);
    CHECK(!task_current());
    CHECK(!task_done(tasks[1]));
    record("callback");
}

static int a_callback_may_start_eagerly(void *arg)
{
    struct task *tasks[2];

    (void)arg;
    CHECK(loop_call_soon(creates_eagerly, tasks) > 0);
    task_detach(task_create(says, text("later")));
    CHECK_STATUS(task_yield(), 0);
    record("main");
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_RECORD("ends, suspends 1, callback, later, main, suspends 2");
    return 0;
}

static int says_eagerly(void *arg)
{
    struct task *child = task_create_with(says_twice, arg, &EAGER);

    record("creator of %s", (const char *)arg);
    return task_await(child);
}

static int an_eager_start_does_not_disturb_the_others(void *arg)
{
    struct task *a = task_create(says_eagerly, text("a"));
    struct task *b = task_create(says_twice, text("b"));
    struct task *c = task_create(says_eagerly, text("c"));

    (void)arg;
    CHECK_STATUS(task_await(a), 0);
    CHECK_STATUS(task_await(b), 0);
    CHECK_STATUS(task_await(c), 0);
    CHECK_RECORD("a 1, creator of a, b 1, c 1, creator of c, a 2, b 2, c 2");
    return 0;
}

static int cancels(void *arg)
{
    return task_cancel(arg) ? 0 : 1;
}

/* How many of the batch are left before what is looked ahead to; -1: nothing is. */
static int distance_ahead(void)
{
    const struct scheduler *scheduler = scheduler_current();
    const struct ready *ready = scheduler->batch;
    int n = 0;

    for (; ready && ready != scheduler->ahead; ready = ready->next)
        n++;
    return ready ? n : -1;
}

/* Where steps are watched the loop itself stands in the batch, too. */
static void check_the_look_ahead(void)
{
    CHECK(distance_ahead() >= TASKS_AHEAD);
    CHECK(distance_ahead() <= TASKS_AHEAD + 1);
}

static int looks_ahead(void *arg)
{
    check_the_look_ahead();
    CHECK_STATUS(task_await(task_create_with(returns, arg, &EAGER)), 0);
    check_the_look_ahead();
    return 0;
}

static int a_batch_is_looked_ahead_in_whoever_runs_first(void *arg)
{
    enum { LOOKING = 8, ALL = LOOKING + 1 + TASKS_AHEAD };
    struct task *tasks[ALL];
    int zero = 0;

    (void)arg;
    for (int debug = 0; debug < 2; debug++) {
        loop_set_debug(loop_current(), debug);
        for (int i = 0; i < ALL; i++)
            tasks[i] = task_create(i < LOOKING ? looks_ahead : returns, &zero);
        for (int i = 0; i < ALL; i++)
            CHECK_STATUS(task_await(tasks[i]), 0);
    }
    loop_set_debug(loop_current(), false);
    return 0;
}

static int an_eager_child_may_cancel_its_creator(void *arg)
{
    struct task *child = task_create_with(cancels, task_current(), &EAGER);

    (void)arg;
    CHECK_STATUS(task_await(child), 0); /* done: no cancel point */
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int an_eager_child_that_awaits_its_creator_cannot_be_awaited(void *arg)
{
    struct task *self = task_retain(task_current());
    struct task *child = task_create_with(awaits, self, &EAGER);

    (void)arg;
    CHECK(!task_done(child));
    CHECK_STATUS(task_await(child), -EDEADLK);
    task_detach(child);
    return 0;
}

static int an_eager_failure_is_reported_when_detached(void *arg)
{
    struct task *child = task_create_with(fails, NULL, &EAGER);

    (void)arg;
    CHECK_RECORD("");
    task_detach(child);
    CHECK_RECORD("unawaited(task-2, -5)");
    return 0;
}

/* Daemons. */

static int says_when_cancelled(void *arg)
{
    int status = task_sleep(TASK_FOREVER);

    record("%s %d", (const char *)arg, status);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    record("%s ends", (const char *)arg);
    return status;
}

static int leaves_a_daemon(void *arg)
{
    (void)arg;
    task_detach(task_create_with(says_when_cancelled, text("daemon"),
                                 &(struct task_options){.daemon = true}));
    task_detach(task_create(says_when_cancelled, text("other")));
    return task_yield();
}

static void a_daemon_is_cancelled_after_all_others_have_ended(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_a_daemon, NULL), 0);
    assert_record("other -125, other ends, daemon -125, daemon ends");
}

/* Stacks. */

static int tells_its_place(void *arg)
{
    char here;

    *(uintptr_t *)arg = (uintptr_t)&here;
    return 0;
}

static int a_stack_size_is_rounded_up_to_pages(void *arg)
{
    static const size_t sizes[] = {TASK_STACK_MIN, TASK_STACK_MIN + 1, 100000,
                                   TASK_STACK_DEFAULT, 1 << 20};

    (void)arg;
    CHECK(task_stack_size(task_current()) >= TASK_STACK_DEFAULT);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct task *task = task_create_with(
            sleeps, NULL, &(struct task_options){.stack_size = sizes[i]});
        size_t size = task_stack_size(task);

        CHECK(size >= sizes[i] && size < sizes[i] + 65536);
        CHECK(size % 4096 == 0);
        CHECK_STATUS(task_yield(), 0);
        CHECK(task_stack_size(task) == size);
        CHECK(task_stack_used(task) > 0 && task_stack_used(task) <= size);
        CHECK(task_cancel(task));
        CHECK_STATUS(task_yield(), 0);
        CHECK(task_stack_size(task) == 0); /* done */
        CHECK(task_stack_used(task) == 0);
        CHECK_STATUS(task_await(task), -ECANCELED);
    }
    return 0;
}

/* One of the loop's own size has a stack of the loop's own, which is warm. */
static int stacks_of_one_size_are_together(void *arg)
{
    static const size_t sizes[] = {0, TASK_STACK_DEFAULT,
                                   TASK_STACK_DEFAULT - 1};
    uintptr_t place = 0;

    (void)arg;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uintptr_t other = 0;

        CHECK_STATUS(task_await(task_create_with(
                         tells_its_place, &other,
                         &(struct task_options){.stack_size = sizes[i]})),
                     0);
        CHECK(!i || other == place);
        place = other;
    }
    return 0;
}

static int too_small_or_too_large_a_stack_gives_null(void *arg)
{
    static const size_t sizes[] = {1, TASK_STACK_MIN - 1, SIZE_MAX,
                                   SIZE_MAX - 4096, SIZE_MAX / 2};
    size_t tasks = stats().tasks;

    (void)arg;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(
            !task_create_with(says, text("never"),
                              &(struct task_options){.stack_size = sizes[i]}));
    CHECK(stats().tasks == tasks);
    return 0;
}

static int uses_its_stack(void *arg)
{
    volatile char room[900 << 10];

    for (size_t i = 0; i < sizeof room; i += 512)
        room[i] = (char)i;
    CHECK_STATUS(task_yield(), 0);
    for (size_t i = 0; i < sizeof room; i += 512)
        CHECK(room[i] == (char)i);
    CHECK(task_stack_used(task_current()) >= sizeof room);
    return *(int *)arg;
}

static int all_of_a_large_stack_can_be_used(void *arg)
{
    int seven = 7;

    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(task_create_with(
                         uses_its_stack, &seven,
                         &(struct task_options){.stack_size = 1 << 20})),
                     7);
    return 0;
}

static int a_done_task_gives_its_stack_back_at_once(void *arg)
{
    enum { N = 100 };
    struct task *tasks[N];

    (void)arg;
    CHECK(stats().stacks_used == 1);
    for (int i = 0; i < N; i++)
        tasks[i] = task_create(i % 2 ? yields : nothing, NULL);
    CHECK_STATUS(task_yield(), 0);
    CHECK(stats().stacks_used == 1 + N / 2);
    CHECK(stats().tasks == 1 + N / 2);
    CHECK_STATUS(task_yield(), 0);
    CHECK(stats().stacks_used == 1); /* though the handles are held */
    CHECK(stats().tasks == 1);
    for (int i = 0; i < N; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    return 0;
}

static int stacks_of_every_size_are_counted(void *arg)
{
    static const struct task_options options = {.stack_size = 200000};
    struct task *task = task_create_with(yields, NULL, &options);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK(stats().stacks_used == 2);
    CHECK_STATUS(task_await(task), 0);
    CHECK(stats().stacks_used == 1);
    return 0;
}

#ifdef __OPTIMIZE__
#define IS_SLOW HAVE_ASAN
#else
#define IS_SLOW true
#endif

static int many_tasks_one_after_the_other_keep_memory_flat(void *arg)
{
    static const struct task_options options = {.stack_size = 32768,
                                                .name = "named"};
    unsigned n = test_rounds(IS_SLOW ? 600000 : 10000000);
    size_t before = 0;

    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        if (i == n / 100)
            before = resident_bytes();
        if (i % 8 == 3)
            CHECK_STATUS(task_await(task_create_with(nothing, NULL, &options)),
                         0);
        else if (i % 8 == 5)
            task_detach(task_create(yields, NULL));
        else
            CHECK_STATUS(task_await(task_create(nothing, NULL)), 0);
    }
    CHECK(resident_bytes() <= before + (2 << 20));
    return 0;
}

static int a_burst_of_tasks_can_be_created_and_awaited(void *arg)
{
    unsigned n = test_rounds(20000);
    struct task **tasks = calloc(n, sizeof *tasks);

    (void)arg;
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < n; i++)
            tasks[i] = task_create(yields, NULL);
        CHECK(stats().tasks == n + 1);
        for (unsigned i = 0; i < n; i++)
            CHECK_STATUS(task_await(tasks[i]), 0);
        CHECK(stats().stacks_used == 1);
    }
    free(tasks);
    return 0;
}

/* Anything at random, in shuffled batches: who awaits gets what was returned. */

struct plant {
    unsigned *seed;
    int depth;
};

static unsigned next(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16;
}

static int grows(void *arg)
{
    struct plant *plant = arg;
    struct plant branch = {plant->seed, plant->depth - 1};
    struct task *children[4];
    unsigned n = plant->depth ? next(plant->seed) % 5 : 0;
    int leaves = 1;

    for (unsigned i = 0; i < n; i++) {
        struct task_options options = {.eager = next(plant->seed) % 2};

        children[i] = i < 4 ? task_create_with(grows, &branch, &options) : NULL;
    }
    if (next(plant->seed) % 2)
        CHECK_STATUS(task_sleep(next(plant->seed) % 3), 0);
    for (unsigned i = 0; i < n && i < 4; i++) {
        struct task *again = task_retain(children[i]);
        int status = task_await(children[i]);

        CHECK(status > 0);
        CHECK_STATUS(task_await(again), status);
        leaves += status;
    }
    return leaves;
}

static int trees_of_tasks_come_to_their_end_in_any_order(void *arg)
{
    unsigned seed = (unsigned)test_seed_now();
    struct plant plant = {&seed, 4};

    (void)arg;
    for (int i = 0; i < 5; i++)
        CHECK(task_await(task_create(grows, &plant)) >= 1);
    CHECK(stats().tasks == 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(create_never_runs_the_child),
        in_main(ready_tasks_run_first_in_first_out),
        in_main(a_child_runs_in_the_turn_after_its_creator),
        in_main(all_spellings_of_create_are_the_same),
        in_main(create_without_a_function_gives_null),
        behaviour(create_where_no_loop_runs_gives_null),
        in_main(create_in_another_thread_gives_null),
        in_main(a_callback_may_create_tasks),
        behaviour(a_task_created_before_the_loop_runs_starts_with_it),
        behaviour(a_task_created_and_never_run_runs_at_the_end),
        in_main(await_gives_exactly_what_was_returned),
        in_main(await_suspends_while_others_run),
        in_main(await_of_a_done_task_does_not_suspend),
        in_main(several_may_await_one_task),
        in_main(awaiters_and_callbacks_are_served_in_order_of_registration),
        in_main(an_awaiter_resumes_in_the_turn_after_the_end),
        in_main(null_stands_for_a_task_that_could_not_be_made),
        behaviour(await_of_another_loops_task_is_refused),
        in_main(suspending_calls_fail_in_a_callback),
        behaviour(suspending_calls_fail_where_no_loop_runs),
        in_main(a_task_cannot_await_itself),
        in_main(awaiting_in_a_ring_is_refused_to_the_last),
        in_main(awaiting_one_task_twice_over_is_no_ring),
        in_main(a_child_cannot_await_the_one_that_awaits_it),
        in_main(awaits_may_be_nested_deeply),
        in_main(a_deep_chain_unwinds_one_turn_each),
        in_main(a_detached_task_runs_on),
        in_main(a_done_task_may_be_detached),
        in_main(a_retained_handle_outlives_the_others),
        in_main(a_task_may_give_out_handles_of_itself),
        in_main(a_task_may_end_the_last_handle_of_itself),
        in_main(a_handle_may_end_while_another_awaits),
        in_main(the_awaited_handle_itself_may_be_the_last),
        behaviour(what_main_leaves_goes_on_in_the_next_run),
        in_main(status_done_and_cancelled_follow_the_task),
        in_main(a_returned_einprogress_is_told_by_done),
        behaviour(an_unread_failure_is_reported_with_name_and_place),
        in_main(a_failure_is_reported_when_a_done_task_is_detached),
        in_main(a_failure_is_reported_with_the_last_handle),
        behaviour(a_failure_is_reported_at_the_end_of_the_loop),
        in_main(looking_is_no_reading_but_status_is),
        in_main(looking_too_early_is_no_reading),
        in_main(an_awaited_failure_is_not_reported),
        in_main(success_and_cancellation_are_not_reported),
        behaviour(mains_own_failure_is_not_reported),
        in_main(the_current_task_is_right_after_each_suspension),
        in_main(no_task_is_current_in_a_callback),
        behaviour(no_task_is_current_outside_a_run),
        in_main(errno_belongs_to_each_task),
        in_main(eager_tasks_yield_like_others),
        in_main(ids_count_from_one_and_are_never_used_twice),
        in_main(a_name_is_task_and_the_id_by_default),
        in_main(a_given_name_is_copied),
        in_main(a_name_may_be_long_and_of_any_bytes),
        in_main(all_lists_what_is_not_done_in_order_of_creation),
        in_main(all_is_in_order_of_creation_whatever_ended_before),
        behaviour(all_lists_nothing_where_no_loop_runs),
        in_main(an_eager_child_that_ends_is_done_at_return),
        in_main(an_eager_child_that_suspends_returns_to_its_creator),
        in_main(the_current_task_is_right_around_an_eager_start),
        in_main(eager_starts_may_be_nested),
        in_main(a_callback_may_start_eagerly),
        in_main(an_eager_start_does_not_disturb_the_others),
        in_main(a_batch_is_looked_ahead_in_whoever_runs_first),
        in_main(an_eager_child_may_cancel_its_creator),
        in_main(an_eager_child_that_awaits_its_creator_cannot_be_awaited),
        in_main(an_eager_failure_is_reported_when_detached),
        behaviour(a_daemon_is_cancelled_after_all_others_have_ended),
        in_main(a_stack_size_is_rounded_up_to_pages),
        in_main(stacks_of_one_size_are_together),
        in_main(too_small_or_too_large_a_stack_gives_null),
        in_main(all_of_a_large_stack_can_be_used),
        in_main(a_done_task_gives_its_stack_back_at_once),
        in_main(stacks_of_every_size_are_counted),
        in_main(many_tasks_one_after_the_other_keep_memory_flat),
        in_main(a_burst_of_tasks_can_be_created_and_awaited),
        in_main_seeded(trees_of_tasks_come_to_their_end_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
