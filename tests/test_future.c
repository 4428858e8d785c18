/* Futures, and the done callbacks of futures and tasks. */
#include "bodies.h"
#include "record.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void says_call(void *arg)
{
    record("%s", (const char *)arg);
}

static void says_done(struct task *task, void *arg)
{
    CHECK(task_done(task));
    CHECK(!task_current());
    record("%s %d", (const char *)arg, task_status(task));
}

static struct task *start_awaiter(const char *name, struct task *task)
{
    struct task *awaiter =
        task_create_with(awaits_and_says, task_retain(task),
                         &(struct task_options){.name = name, .eager = true});

    CHECK(!task_done(awaiter));
    return awaiter;
}

static int returns_seven(void *arg)
{
    (void)arg;
    return 7;
}

/* States. */

static int a_new_future_is_not_done(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK(future != NULL);
    CHECK(!task_done(future));
    CHECK(!task_cancelled(future));
    CHECK_STATUS(task_status(future), -EINPROGRESS);
    CHECK(task_cancelling(future) == 0);
    task_detach(future);
    future = (task_future_create)();
    CHECK_STATUS(task_status(future), -EINPROGRESS);
    task_detach(future);
    return 0;
}

static void a_future_needs_a_running_loop(void **state)
{
    (void)state;
    assert_null(task_future_create());
}

static int a_completed_future_has_exactly_that_status(void *arg)
{
    int values[] = {0, 1, INT_MAX, -1, -ECANCELED, -EIO, -EINPROGRESS, INT_MIN};

    (void)arg;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct task *future = task_future_create();

        CHECK_STATUS(task_future_complete(future, values[i]), 0);
        CHECK(task_done(future));
        CHECK(task_cancelled(future) == (values[i] == -ECANCELED));
        CHECK_STATUS(task_status(future), values[i]);
        CHECK_STATUS(task_await(future), values[i]);
    }
    return 0;
}

static int the_first_status_of_a_future_is_kept(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_future_complete(future, 4), -EALREADY);
    CHECK(!task_cancel(future));
    CHECK(task_cancelling(future) == 0);
    CHECK_STATUS(task_await(future), 3);
    return 0;
}

static int a_cancelled_future_is_done_at_once(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK(task_cancel(future));
    CHECK(task_done(future));
    CHECK(task_cancelled(future));
    CHECK(task_cancelling(future) == 1);
    CHECK(!task_cancel(future));
    /* Whoever is late to complete it is told, and does no harm. */
    CHECK_STATUS(task_future_complete(future, 3), -EALREADY);
    CHECK_STATUS(task_await(future), -ECANCELED);
    return 0;
}

static int only_a_future_can_be_completed(void *arg)
{
    struct task *task = task_create(sleeps, NULL);
    struct task *done = task_create(returns_seven, NULL);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_future_complete(task, 1), -EPERM);
    CHECK_STATUS(task_future_complete(done, 1), -EPERM);
    CHECK_STATUS(task_future_complete(task_current(), 1), -EPERM);
    CHECK_STATUS(task_future_complete(NULL, 1), -ENOMEM);
    CHECK(!task_done(task));
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(task_await(done), 7);
    return 0;
}

static int a_future_is_no_task(void *arg)
{
    struct loop_stats before;
    struct loop_stats after;
    struct task *all[2];
    struct task *future;

    (void)arg;
    loop_get_stats(loop_current(), &before);
    future = task_future_create();
    loop_get_stats(loop_current(), &after);
    CHECK(after.tasks == before.tasks);
    CHECK(after.stacks_used == before.stacks_used);
    CHECK(task_all(all, 2) == 1 && all[0] == task_current());
    CHECK(task_stack_size(future) == 0);
    CHECK(task_stack_used(future) == 0);
    task_detach(future);
    return 0;
}

static int a_future_is_named_and_numbered_like_a_task(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK(task_id(future) == task_id(task_current()) + 1);
    CHECK(!strcmp(task_name(future), "task-2"));
    task_set_name(future, "answer");
    CHECK(!strcmp(task_name(future), "answer"));
    task_detach(future);
    return 0;
}

/* Awaiting. */

static int an_awaiter_of_a_future_resumes_in_the_next_turn(void *arg)
{
    struct task *future = task_future_create();
    struct task *awaiter = start_awaiter("awaiter", future);

    (void)arg;
    task_detach(task_create(says, text("earlier")));
    CHECK_STATUS(task_future_complete(future, 3), 0);
    record("completed");
    CHECK_STATUS(task_await(awaiter), 3);
    CHECK_RECORD("completed, earlier, awaiter got 3");
    task_detach(future);
    return 0;
}

static int all_awaiters_of_a_future_resume_in_order(void *arg)
{
    struct task *future = task_future_create();
    struct task *a = start_awaiter("a", future);
    struct task *b = start_awaiter("b", future);
    struct task *c = start_awaiter("c", future);

    (void)arg;
    CHECK_STATUS(task_future_complete(future, -EIO), 0);
    CHECK_STATUS(task_await(c), -EIO);
    CHECK_STATUS(task_await(b), -EIO);
    CHECK_STATUS(task_await(a), -EIO);
    CHECK_RECORD("a got -5, b got -5, c got -5");
    task_detach(future);
    return 0;
}

static int a_done_future_is_awaited_without_suspending(void *arg)
{
    struct task *future = task_future_create();
    uint64_t turn = turns_now();

    (void)arg;
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_await(future), 3); /* and it is no cancel point */
    CHECK(turns_now() == turn);
    CHECK_STATUS(task_yield(), -ECANCELED);
    return 0;
}

static void complete_with_nine(void *arg)
{
    CHECK_STATUS(task_future_complete(arg, 9), 0);
}

static int a_callback_or_a_timer_may_complete_a_future(void *arg)
{
    struct task *soon = task_future_create();
    struct task *later = task_future_create();

    (void)arg;
    CHECK(loop_call_later(TASK_SECOND, complete_with_nine, later) > 0);
    CHECK(loop_call_soon(complete_with_nine, soon) > 0);
    CHECK_STATUS(task_await(task_retain(soon)), 9);
    CHECK(loop_time() == 0);
    CHECK_STATUS(task_await(task_retain(later)), 9);
    CHECK(loop_time() == TASK_SECOND);
    task_detach(soon);
    task_detach(later);
    return 0;
}

static int leaves_an_awaiter(void *arg)
{
    struct task **future = arg;

    *future = task_future_create();
    task_detach(start_awaiter("awaiter", *future));
    return 0;
}

static void a_future_may_be_completed_between_two_runs(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *future = NULL;

    (void)state;
    assert_int_equal(loop_run_main(loop, leaves_an_awaiter, &future), 0);
    assert_int_equal(task_future_complete(future, 3), 0);
    assert_record("");
    assert_int_equal(loop_run_main(loop, yields, NULL), 0);
    assert_record("awaiter got 3");
    task_detach(future);
    test_loop_free(loop, &count);
}

static int creates_a_future(void *arg)
{
    *(struct task **)arg = task_future_create();
    return 0;
}

static void a_future_of_another_loop_is_not_awaited(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *future = NULL;

    (void)state;
    assert_int_equal(loop_run_main(loop, creates_a_future, &future), 0);
    assert_int_equal(run_virtual(awaits_foreign, future), 0);
    test_loop_free(loop, &count); /* with the handle */
}

static void a_future_that_nobody_completes_is_a_deadlock(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *future = NULL;

    (void)state;
    assert_int_equal(loop_run_main(loop, creates_a_future, &future), 0);
    assert_int_equal(loop_run_main(loop, awaits_and_says, future), -EDEADLK);
    assert_record("deadlock(-35)");
    test_loop_free(loop, &count);
    assert_record("task-3 got -125");
}

static int leaves_futures(void *arg)
{
    struct task *completed = task_future_create();

    (void)arg;
    (void)task_future_create();
    CHECK_STATUS(task_future_complete(completed, 3), 0);
    return 0;
}

static void a_future_keeps_no_loop_running(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_futures, NULL), 0);
}

/* Handles. */

static int handles_of_a_future_end_one_by_one(void *arg)
{
    struct task *future = task_future_create();
    struct task *second = task_retain(future);
    struct task *third = task_retain(future);

    (void)arg;
    task_detach(future);
    CHECK(!task_done(second));
    CHECK_STATUS(task_future_complete(second, 3), 0);
    CHECK_STATUS(task_await(second), 3);
    CHECK_STATUS(task_await(third), 3);
    return 0;
}

static int a_future_lives_while_it_is_awaited(void *arg)
{
    struct task *future = task_future_create();
    struct task *awaiter = start_awaiter("awaiter", future);

    (void)arg;
    task_detach(future);
    CHECK(task_cancel(awaiter));
    CHECK_STATUS(task_await(awaiter), -ECANCELED);
    CHECK_RECORD("awaiter got -125");
    return 0;
}

static int an_abandoned_future_forgets_its_callbacks(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, says_done, text("never")), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, text("never")), 0);
    task_detach(future);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int many_futures_keep_memory_flat(void *arg)
{
    unsigned n = test_rounds(300000);
    size_t before = 0;

    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        struct task *future = task_future_create();

        if (i == n / 100)
            before = resident_bytes();
        if (i % 4 == 0)
            task_set_name(future, "a future with a name");
        if (i % 4 == 1)
            CHECK_STATUS(
                task_add_done_callback(future, says_done, text("never")), 0);
        if (i % 4 < 2) {
            task_detach(future);
        } else {
            CHECK_STATUS(task_future_complete(future, 3), 0);
            CHECK_STATUS(task_await(future), 3);
        }
    }
    CHECK(resident_bytes() <= before + (1 << 20));
    return 0;
}

/* Reports. */

static int a_failure_that_nobody_read_is_reported_once(void *arg)
{
    struct task *future = task_future_create();
    struct task *second = task_retain(future);

    (void)arg;
    CHECK_STATUS(task_future_complete(future, -EIO), 0);
    task_detach(future);
    CHECK_RECORD("");
    task_detach(second);
    CHECK_RECORD("unawaited(task-2, -5)");
    return 0;
}

static int leaves_a_failed_future(void *arg)
{
    (void)arg;
    return task_future_complete(task_future_create(), -EIO);
}

static void a_failure_left_behind_is_reported_at_the_end(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_a_failed_future, NULL), 0);
    assert_record("unawaited(task-2, -5)");
}

static int a_failure_that_was_read_is_not_reported(void *arg)
{
    struct task *looked_at = task_future_create();
    struct task *awaited = task_future_create();
    struct task *second = task_retain(awaited);

    (void)arg;
    CHECK_STATUS(task_future_complete(looked_at, -EIO), 0);
    CHECK_STATUS(task_future_complete(awaited, -EIO), 0);
    CHECK_STATUS(task_status(looked_at), -EIO);
    CHECK_STATUS(task_await(awaited), -EIO);
    task_detach(looked_at);
    task_detach(second);
    return 0;
}

static int what_did_not_fail_is_not_reported(void *arg)
{
    struct task *pending = task_future_create();
    struct task *good = task_future_create();
    struct task *cancelled = task_future_create();
    struct task *abandoned = task_future_create();

    (void)arg;
    CHECK_STATUS(task_future_complete(good, 3), 0);
    CHECK_STATUS(task_future_complete(abandoned, -ECANCELED), 0);
    CHECK(task_cancel(cancelled));
    task_detach(pending);
    task_detach(good);
    task_detach(cancelled);
    task_detach(abandoned);
    return 0;
}

struct place {
    const char *file;
    int line;
    int n;
};

static void keep_place(const struct loop_error *error, void *arg)
{
    struct place *place = arg;

    CHECK(error->kind == LOOP_ERROR_UNAWAITED);
    place->file = error->file;
    place->line = error->line;
    place->n++;
}

static int a_report_names_the_place_of_creation(void *arg)
{
    struct place place = {NULL, 0, 0};
    struct task *future = task_future_create();
    int line = __LINE__ - 1;

    (void)arg;
    loop_set_error_handler(loop_current(), keep_place, &place);
    CHECK_STATUS(task_future_complete(future, -EIO), 0);
    task_detach(future);
    CHECK(place.n == 1);
    CHECK(place.file && !strcmp(place.file, __FILE__));
    CHECK(place.line == line);
    return 0;
}

/* Done callbacks. */

static int callbacks_run_in_the_turn_after_the_end_in_order(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, says_done, text("a")), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, text("b")), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, text("c")), 0);
    CHECK(loop_call_soon(says_call, text("earlier")) > 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    record("completed"); /* none has run inside of that */
    CHECK(loop_call_soon(says_call, text("later")) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("completed, earlier, a 3, b 3, c 3, later");
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD(""); /* each once */
    task_detach(future);
    return 0;
}

static int callbacks_of_a_task_run_in_the_turn_after_its_end(void *arg)
{
    struct task *task = task_create(returns_seven, NULL);

    (void)arg;
    CHECK_STATUS(task_add_done_callback(task, says_done, text("done")), 0);
    CHECK(loop_call_soon(says_call, text("same turn")) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_done(task));
    CHECK_RECORD("same turn");
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("done 7");
    return task_await(task) == 7 ? 0 : 1;
}

static int callbacks_of_a_cancelled_future_run_too(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, says_done, text("a")), 0);
    CHECK(task_cancel(future));
    CHECK_RECORD("");
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("a -125");
    task_detach(future);
    return 0;
}

static int callbacks_and_awaiters_share_one_order(void *arg)
{
    struct task *future = task_future_create();
    struct task *awaiter;

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, says_done, text("a")), 0);
    awaiter = start_awaiter("b", future);
    CHECK_STATUS(task_add_done_callback(future, says_done, text("c")), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_await(awaiter), 3);
    CHECK_RECORD("a 3, b got 3, c 3");
    task_detach(future);
    return 0;
}

static int a_callback_added_when_done_runs_in_the_next_turn(void *arg)
{
    struct task *future = task_future_create();
    struct task *task = task_create(returns_seven, NULL);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, text("a")), 0);
    CHECK_STATUS(task_add_done_callback(task, says_done, text("b")), 0);
    CHECK_RECORD("");
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("a 3, b 7");
    task_detach(future);
    return task_await(task) == 7 ? 0 : 1;
}

static int one_callback_may_be_added_several_times(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_add_done_callback(future, says_done, text("a")), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("a 3, a 3, a 3");
    task_detach(future);
    return 0;
}

static void says_done_too(struct task *task, void *arg)
{
    says_done(task, arg);
}

static int remove_removes_all_with_that_function_and_argument(void *arg)
{
    struct task *future = task_future_create();
    char *a = text("a");
    char *b = text("b");
    struct task *awaiter;

    (void)arg;
    CHECK_STATUS(task_remove_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, b), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, a), 0);
    awaiter = start_awaiter("awaiter", future);
    CHECK_STATUS(task_add_done_callback(future, says_done_too, a), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_remove_done_callback(future, says_done, a), 3);
    CHECK_STATUS(task_remove_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_await(awaiter), 3);
    CHECK_RECORD("b 3, awaiter got 3, a 3");
    task_detach(future);
    return 0;
}

static int remove_removes_queued_callbacks_too(void *arg)
{
    struct task *future = task_future_create();
    char *a = text("a");

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, text("b")), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_remove_done_callback(future, says_done, a), 2);
    CHECK_STATUS(task_remove_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("b 3");
    CHECK_STATUS(task_remove_done_callback(future, says_done, text("b")), 0);
    task_detach(future);
    return 0;
}

static int a_removed_callback_does_not_keep_a_detached_future(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, says_done, NULL), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_remove_done_callback(future, says_done, NULL), 1);
    task_detach(future);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int callbacks_are_refused_without_function_or_task(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, NULL, NULL), -EINVAL);
    CHECK_STATUS(task_add_done_callback(NULL, says_done, NULL), -ENOMEM);
    CHECK_STATUS(task_remove_done_callback(NULL, says_done, NULL), 0);
    task_detach(future);
    return 0;
}

static void checks_callback(struct task *task, void *arg)
{
    CHECK(task == *(struct task **)arg);
    CHECK(!task_current());
    CHECK(loop_current() != NULL);
    CHECK_STATUS(task_await(task), -EPERM);
    CHECK_STATUS(task_yield(), -EPERM);
    record("checked");
}

static int a_callback_cannot_suspend(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, checks_callback, &future), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("checked");
    task_detach(future);
    return 0;
}

static void adds_another(struct task *task, void *arg)
{
    record("first");
    CHECK_STATUS(task_add_done_callback(task, says_done, arg), 0);
}

static int a_callback_may_add_another_for_the_next_turn(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, adds_another, text("new")), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, text("second")), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("first, second 3");
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("new 3");
    task_detach(future);
    return 0;
}

static void removes_the_others(struct task *task, void *arg)
{
    record("removed %d", task_remove_done_callback(task, says_done, arg));
    record("itself %d",
           task_remove_done_callback(task, removes_the_others, arg));
}

static int a_callback_may_remove_those_after_it(void *arg)
{
    struct task *future = task_future_create();
    char *a = text("a");

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_add_done_callback(future, removes_the_others, a), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, text("b")), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, a), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("a 3, removed 2, itself 0, b 3");
    task_detach(future);
    return 0;
}

static void detaches_in_callback(struct task *task, void *arg)
{
    (void)arg;
    record("detached");
    task_detach(task);
}

static int a_callback_may_end_the_last_handle(void *arg)
{
    struct task *future = task_future_create();
    struct task *task = task_create(returns_seven, NULL);

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, detaches_in_callback, NULL), 0);
    CHECK_STATUS(task_add_done_callback(future, says_done, text("a")), 0);
    CHECK_STATUS(task_add_done_callback(task, detaches_in_callback, NULL), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("detached, a 3, detached");
    return 0;
}

static int the_handle_may_end_before_the_callback_runs(void *arg)
{
    struct task *future = task_future_create();
    struct task *task = task_create(returns_seven, NULL);

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, says_done, text("a")), 0);
    CHECK_STATUS(task_add_done_callback(task, says_done, text("b")), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    task_detach(future);
    task_detach(task);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("a 3, b 7");
    return 0;
}

static void only_says(struct task *task, void *arg)
{
    (void)task;
    record("%s", (const char *)arg);
}

static int a_callback_is_no_reading_but_its_status_call_is(void *arg)
{
    struct task *unread = task_create(fails, NULL);
    struct task *read = task_create(fails, NULL);

    (void)arg;
    CHECK_STATUS(task_add_done_callback(unread, only_says, text("a")), 0);
    CHECK_STATUS(task_add_done_callback(read, says_done, text("b")), 0);
    task_detach(unread);
    task_detach(read);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("a, unawaited(task-2, -5), b -5");
    return 0;
}

static void completes_the_next(struct task *task, void *arg)
{
    struct task **next = arg;

    CHECK_STATUS(task_future_complete(next[1], task_status(task) + 1), 0);
}

static int a_chain_of_futures_completes_one_turn_after_the_other(void *arg)
{
    enum { N = 100 };
    struct task *futures[N];
    uint64_t turn = turns_now();

    (void)arg;
    for (int i = 0; i < N; i++)
        futures[i] = task_future_create();
    for (int i = 0; i < N - 1; i++)
        CHECK_STATUS(
            task_add_done_callback(futures[i], completes_the_next, &futures[i]),
            0);
    CHECK_STATUS(task_future_complete(futures[0], 0), 0);
    CHECK_STATUS(task_await(futures[N - 1]), N - 1);
    CHECK(turns_now() - turn == N);
    for (int i = 0; i < N - 1; i++)
        task_detach(futures[i]);
    return 0;
}

/* At the end of the loop. */

static int sleeps_twice(void *arg)
{
    int seconds = *(const int *)arg;

    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_sleep(seconds * TASK_SECOND), 0);
    return seconds;
}

static int swallows_all(void *arg)
{
    struct task *self = task_current();

    CHECK_STATUS(task_add_done_callback(self, says_done, text("dropped")), 0);
    for (;;)
        task_sleep(TASK_SECOND);
    return arg != NULL;
}

static int leaves_callbacks(void *arg)
{
    struct task *completed = task_future_create();

    CHECK_STATUS(task_add_done_callback(task_future_create(), says_done, arg),
                 0);
    CHECK_STATUS(task_add_done_callback(completed, says_done, arg), 0);
    CHECK_STATUS(task_future_complete(completed, 3), 0);
    CHECK_STATUS(task_add_done_callback(task_current(), says_done, arg), 0);
    return 0;
}

static void callbacks_left_at_the_end_leak_nothing(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_callbacks, text("left")), 0);
    assert_record("left 3, left 0");
}

static int leaves_two_tasks(void *arg)
{
    static int one = 1;
    static int two = 2;
    struct task *tasks[] = {start(sleeps_twice, &one),
                            start(sleeps_twice, &two)};

    for (int i = 0; i < 2; i++)
        CHECK_STATUS(task_add_done_callback(tasks[i], says_done, arg), 0);
    CHECK_STATUS(task_add_done_callback(task_current(), says_done, arg), 0);
    detach_all(tasks, 2);
    return 7;
}

static void callbacks_of_what_ends_last_are_called(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_two_tasks, text("end")), 7);
    assert_record("end 7, end 1, end 2");
}

static int leaves_a_chain_of_futures(void *arg)
{
    struct task **futures = arg;

    for (int i = 0; i < 5; i++)
        futures[i] = task_future_create();
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(
            task_add_done_callback(futures[i], completes_the_next, &futures[i]),
            0);
    CHECK_STATUS(task_add_done_callback(futures[4], says_done, text("last")),
                 0);
    return task_future_complete(futures[0], 0);
}

static void callbacks_at_the_end_bring_about_others(void **state)
{
    struct task *futures[5];

    (void)state;
    assert_int_equal(run_virtual(leaves_a_chain_of_futures, futures), 0);
    assert_record("last 4");
}

static void goes_on_with_a_task(struct task *task, void *arg)
{
    struct task *next = task_create(sleeps_for_ever, NULL);

    record("%d, then %s", task_status(task), next ? "another" : "none");
    CHECK_STATUS(task_add_done_callback(next, goes_on_with_a_task, arg),
                 next ? 0 : -ENOMEM);
    task_detach(next);
}

static void goes_on_with_a_future(struct task *task, void *arg)
{
    struct task *next = task_future_create();

    record("%d, then %s", task_status(task), next ? "another" : "none");
    if (!next)
        CHECK_STATUS(task_add_done_callback(task, goes_on_with_a_future, arg),
                     -ESHUTDOWN);
    else
        CHECK_STATUS(task_add_done_callback(next, goes_on_with_a_future, arg),
                     0);
    task_future_complete(next, 2);
    task_detach(next);
}

static int leaves_one_that_goes_on(void *arg)
{
    task_done_fn **goes_on = arg;

    CHECK_STATUS(task_add_done_callback(task_current(), *goes_on, NULL), 0);
    return 1;
}

static void who_goes_on_with_every_end_does_not_keep_the_loop(void **state)
{
    task_done_fn *goes_on = goes_on_with_a_task;
    char expected[80];

    (void)state;
    assert_int_equal(run_virtual(leaves_one_that_goes_on, &goes_on), 1);
    snprintf(expected, sizeof expected, "1, then another, %d, then none",
             -ECANCELED);
    assert_record(expected);
    goes_on = goes_on_with_a_future;
    assert_int_equal(run_virtual(leaves_one_that_goes_on, &goes_on), 1);
    assert_record("1, then another, 2, then none");
}

static void is_called_too_late(void *arg)
{
    (void)arg;
    CHECK_NOT_REACHED();
}

/* When nothing can be made any more: another one follows. */
static void calls_soon_and_completes(struct task *task, void *arg)
{
    (void)task;
    record("calls soon");
    CHECK(!task_future_create());
    CHECK(loop_call_soon(is_called_too_late, NULL) > 0);
    CHECK_STATUS(loop_call_cancel(loop_call_soon(is_called_too_late, NULL)), 0);
    CHECK_STATUS(task_future_complete(arg, 0), 0);
}

static void completes_both(struct task *task, void *arg)
{
    struct task *first = task_future_create();
    struct task *second = task_future_create();

    (void)task;
    CHECK_STATUS(
        task_add_done_callback(first, calls_soon_and_completes, second), 0);
    CHECK_STATUS(task_add_done_callback(second, says_done, arg), 0);
    CHECK_STATUS(task_future_complete(first, 0), 0);
    task_detach(first);
}

static int leaves_one_that_completes_both(void *arg)
{
    return task_add_done_callback(task_current(), completes_both, arg);
}

static void what_the_last_callbacks_call_soon_is_not_called(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_one_that_completes_both, text("2nd")),
                     0);
    assert_record("calls soon, 2nd 0");
}

static int leaves_one_that_stays(void *arg)
{
    struct task *task = task_create(sleeps_for_ever, NULL);

    task_detach(start(swallows_all, NULL));
    CHECK_STATUS(task_add_done_callback(task, says_done, arg), 0);
    task_detach(task);
    return 0;
}

static void callbacks_of_what_was_dropped_are_not_called(void **state)
{
    struct loop_options options = test_options(NULL);
    char expected[80];

    (void)state;
    options.shutdown_timeout = 3 * TASK_SECOND;
    assert_int_equal(run_with(options, leaves_one_that_stays, text("end")), 0);
    snprintf(expected, sizeof expected, "end %d, shutdown(task-3, %d)",
             -ECANCELED, -ETIMEDOUT);
    assert_record(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_new_future_is_not_done),
        behaviour(a_future_needs_a_running_loop),
        in_main(a_completed_future_has_exactly_that_status),
        in_main(the_first_status_of_a_future_is_kept),
        in_main(a_cancelled_future_is_done_at_once),
        in_main(only_a_future_can_be_completed),
        in_main(a_future_is_no_task),
        in_main(a_future_is_named_and_numbered_like_a_task),
        in_main(an_awaiter_of_a_future_resumes_in_the_next_turn),
        in_main(all_awaiters_of_a_future_resume_in_order),
        in_main(a_done_future_is_awaited_without_suspending),
        in_main(a_callback_or_a_timer_may_complete_a_future),
        behaviour(a_future_may_be_completed_between_two_runs),
        behaviour(a_future_of_another_loop_is_not_awaited),
        behaviour(a_future_that_nobody_completes_is_a_deadlock),
        behaviour(a_future_keeps_no_loop_running),
        in_main(handles_of_a_future_end_one_by_one),
        in_main(a_future_lives_while_it_is_awaited),
        in_main(an_abandoned_future_forgets_its_callbacks),
        in_main(many_futures_keep_memory_flat),
        in_main(a_failure_that_nobody_read_is_reported_once),
        behaviour(a_failure_left_behind_is_reported_at_the_end),
        in_main(a_failure_that_was_read_is_not_reported),
        in_main(what_did_not_fail_is_not_reported),
        in_main(a_report_names_the_place_of_creation),
        in_main(callbacks_run_in_the_turn_after_the_end_in_order),
        in_main(callbacks_of_a_task_run_in_the_turn_after_its_end),
        in_main(callbacks_of_a_cancelled_future_run_too),
        in_main(callbacks_and_awaiters_share_one_order),
        in_main(a_callback_added_when_done_runs_in_the_next_turn),
        in_main(one_callback_may_be_added_several_times),
        in_main(remove_removes_all_with_that_function_and_argument),
        in_main(remove_removes_queued_callbacks_too),
        in_main(a_removed_callback_does_not_keep_a_detached_future),
        in_main(callbacks_are_refused_without_function_or_task),
        in_main(a_callback_cannot_suspend),
        in_main(a_callback_may_add_another_for_the_next_turn),
        in_main(a_callback_may_remove_those_after_it),
        in_main(a_callback_may_end_the_last_handle),
        in_main(the_handle_may_end_before_the_callback_runs),
        in_main(a_callback_is_no_reading_but_its_status_call_is),
        in_main(a_chain_of_futures_completes_one_turn_after_the_other),
        behaviour(callbacks_left_at_the_end_leak_nothing),
        behaviour(callbacks_of_what_ends_last_are_called),
        behaviour(callbacks_at_the_end_bring_about_others),
        behaviour(who_goes_on_with_every_end_does_not_keep_the_loop),
        behaviour(what_the_last_callbacks_call_soon_is_not_called),
        behaviour(callbacks_of_what_was_dropped_are_not_called),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
