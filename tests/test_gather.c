/* task_gather and task_race: until all that was begun has ended. */
#include "bodies.h"
#include "moment.h"
#include "record.h"
#include "scheduler.h"

/* Bodies. */

static int shields(void *arg)
{
    return task_shield(arg);
}

static struct task *create_sleeper(int *seconds)
{
    return task_create(sleeps_for, seconds);
}

/* A caller that can be cancelled while it waits for these. */
struct several {
    struct task **tasks;
    size_t n;
    int *statuses;
};

static int gathers(void *arg)
{
    struct several *several = arg;
    int status = task_gather(several->tasks, several->n, several->statuses);
    int next = task_yield();

    record("gather %d then %d", status, next);
    return 0;
}

static int races(void *arg)
{
    struct several *several = arg;
    int status = task_race(several->tasks, several->n, several->statuses);
    int next = task_yield();

    record("race %d then %d", status, next);
    return 0;
}

/* Awaits the argument, a future, and then yields. */
static int awaits_and_yields(void *arg)
{
    int status = task_await(task_retain(arg));

    record("await %d then %d", status, task_yield());
    return status;
}

static void
cancel_one_that_waits_for_a_future_and_its_awaiter(task_fn *waits,
                                                   struct several *several)
{
    struct task *task = start(waits, several);

    CHECK(task_cancel(task));
    CHECK(task_cancel(task)); /* is delivered with the first */
    CHECK_STATUS(task_await(task), 0);
}

/* Whoever comes first: the future, or the one that hears of its own request by it. */
static int a_request_comes_once_to_whoever_awaits_another_of_them(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++) {
        struct task *future = task_future_create();
        struct task *awaiter = start(awaits_and_yields, future);
        struct task *tasks[] = {i % 2 ? future : awaiter,
                                i % 2 ? awaiter : future};
        struct several several = {tasks, 2, NULL};

        task_retain(future);
        cancel_one_that_waits_for_a_future_and_its_awaiter(
            i < 2 ? gathers : races, &several);
        CHECK_RECORD(i < 2 ? "await -125 then 0, gather -125 then 0"
                           : "await -125 then 0, race -125 then 0");
        task_detach(future);
    }
    return 0;
}

static int the_losers_of_a_race_are_asked_once(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct task *future = task_future_create();
        struct task *awaiter = start(awaits_and_yields, future);
        struct task *tasks[] = {done(1), i ? future : awaiter,
                                i ? awaiter : future};

        task_retain(future);
        CHECK_STATUS(task_race(tasks, 3, NULL), 0);
        CHECK_RECORD("await -125 then 0");
        task_detach(future);
    }
    return 0;
}

/* Gather. */

static int statuses_stand_in_the_order_of_the_array(void *arg)
{
    int seconds[] = {3, 1, 2};
    struct task *tasks[3];
    int statuses[3];
    uint64_t switches;

    (void)arg;
    for (size_t i = 0; i < 3; i++)
        tasks[i] = create_sleeper(&seconds[i]);
    switches = stats().switches;
    CHECK_STATUS(task_gather(tasks, 3, statuses), 0);
    CHECK(stats().switches ==
          switches + 3 + 3 + 1); /* one wake is the caller's */
    CHECK(loop_time() == 3 * TASK_SECOND);
    for (size_t i = 0; i < 3; i++)
        CHECK_STATUS(statuses[i], seconds[i]);
    return 0;
}

static int statuses_may_be_left_out(void *arg)
{
    int seconds[] = {1, -2};
    struct task *tasks[] = {create_sleeper(&seconds[0]),
                            create_sleeper(&seconds[1])};

    (void)arg;
    CHECK_STATUS(task_gather(tasks, 2, NULL), -2);
    return 0;
}

static int the_first_failure_in_time_is_returned_when_all_are_done(void *arg)
{
    int seconds[] = {-3, 4, -2, 1};
    struct task *tasks[4];
    int statuses[4];

    (void)arg;
    for (size_t i = 0; i < 4; i++)
        tasks[i] = create_sleeper(&seconds[i]);
    CHECK_STATUS(task_gather(tasks, 4, statuses), -2);
    CHECK(loop_time() == 4 * TASK_SECOND);
    for (size_t i = 0; i < 4; i++)
        CHECK_STATUS(statuses[i], seconds[i]);
    return 0;
}

static int a_failure_that_was_there_is_the_first(void *arg)
{
    struct task *tasks[] = {task_future_create(), done(-EIO), done(-EPIPE)};

    (void)arg;
    CHECK(loop_call_later(1, cancel_it, tasks[0]) > 0);
    CHECK_STATUS(task_gather(tasks, 3, NULL), -EIO);
    return 0;
}

static int a_child_that_is_cancelled_is_just_one_of_them(void *arg)
{
    int second = 1;
    struct task *tasks[] = {start(sleeps_long, NULL), create_sleeper(&second)};
    int statuses[2];

    (void)arg;
    CHECK(task_cancel(tasks[0]));
    CHECK_STATUS(task_gather(tasks, 2, statuses), -ECANCELED);
    CHECK_STATUS(statuses[0], -ECANCELED);
    CHECK_STATUS(statuses[1], 1);
    CHECK(task_cancelling(task_current()) == 0);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int a_failure_counts_before_an_earlier_cancel(void *arg)
{
    int second = -1;
    struct task *tasks[] = {start(sleeps_long, NULL), create_sleeper(&second)};

    (void)arg;
    CHECK(task_cancel(tasks[0]));
    CHECK_STATUS(task_gather(tasks, 2, NULL), -1);
    return 0;
}

static int what_is_done_already_does_not_suspend(void *arg)
{
    struct task *tasks[] = {done(1), done(2)};
    int statuses[2];
    uint64_t turn = turns_now();

    (void)arg;
    CHECK_STATUS(task_gather(tasks, 2, statuses), 0);
    CHECK_STATUS(statuses[0], 1);
    CHECK_STATUS(statuses[1], 2);
    CHECK_STATUS(task_gather(NULL, 0, NULL), 0);
    CHECK(turns_now() == turn);
    return 0;
}

static int a_task_that_is_there_twice_is_ended_once(void *arg)
{
    int second = 1;
    struct task *task = task_retain(create_sleeper(&second));
    struct task *other = create_sleeper(&second);
    struct task *tasks[] = {task, other, task, task, other};
    int statuses[5];

    (void)arg;
    CHECK_STATUS(task_gather(tasks, 5, statuses), 0);
    for (size_t i = 0; i < 5; i++)
        CHECK_STATUS(statuses[i], 1);
    CHECK(is_left_alone(task)); /* the other handle */
    task_detach(task);
    return 0;
}

static int entries_that_are_null_have_failed(void *arg)
{
    int second = 1;
    struct task *tasks[] = {NULL, create_sleeper(&second), NULL};
    int statuses[3];

    (void)arg;
    CHECK_STATUS(task_gather(tasks, 3, statuses), -ENOMEM);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_STATUS(statuses[0], -ENOMEM);
    CHECK_STATUS(statuses[1], 1);
    CHECK_STATUS(statuses[2], -ENOMEM);
    CHECK_STATUS(task_gather(tasks, 1, statuses), -ENOMEM);
    return 0;
}

static int gathering_ends_the_handles_and_reads_the_statuses(void *arg)
{
    int seconds[] = {-1, -2, -3};
    struct task *tasks[3];

    (void)arg;
    for (size_t i = 0; i < 3; i++)
        tasks[i] = task_retain(create_sleeper(&seconds[i]));
    CHECK_STATUS(task_gather(tasks, 3, NULL), -1);
    for (size_t i = 0; i < 3; i++) {
        CHECK(is_left_alone(tasks[i]));
        task_detach(tasks[i]);
    }
    CHECK_RECORD(""); /* nothing was unawaited */
    return 0;
}

/* Gather, cancelled. */

static int a_request_is_passed_on_to_each_that_is_not_done(void *arg)
{
    struct task *tasks[] = {start(cleans_up, NULL), done(1),
                            start(sleeps_long, NULL), start(swallows, NULL),
                            task_future_create()};
    struct task *kept[5];
    int statuses[5];
    struct task *caller;

    (void)arg;
    for (size_t i = 0; i < 5; i++)
        kept[i] = task_retain(tasks[i]);
    caller = start(gathers, &(struct several){tasks, 5, statuses});
    CHECK(task_cancel(caller));
    for (size_t i = 0; i < 5; i++)
        CHECK(task_cancelling(kept[i]) == (i != 1));
    CHECK_STATUS(task_await(caller), 0);
    CHECK(loop_time() == TASK_SECOND);
    for (size_t i = 0; i < 5; i++) {
        CHECK(task_done(kept[i]));
        CHECK_STATUS(statuses[i], task_status(kept[i]));
        task_detach(kept[i]);
    }
    CHECK_STATUS(statuses[1], 1);
    CHECK_STATUS(statuses[3], 7);
    CHECK_RECORD("clean up, clean, gather -125 then 0");
    return 0;
}

static int a_request_is_the_callers_also_if_all_swallow_it(void *arg)
{
    struct task *tasks[] = {start(swallows, NULL),
                            start(fails_when_cancelled, NULL)};
    int statuses[2];
    struct task *caller = start(gathers, &(struct several){tasks, 2, statuses});

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_await(caller), 0);
    CHECK_STATUS(statuses[0], 7);
    CHECK_STATUS(statuses[1], -EIO);
    CHECK_RECORD("gather -125 then 0");
    return 0;
}

/* Needs two requests to end. */
static int is_stubborn(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    return 8;
}

static int a_second_request_is_passed_on_too(void *arg)
{
    struct task *tasks[] = {start(is_stubborn, NULL), start(swallows, NULL)};
    struct task *kept = task_retain(tasks[1]);
    int statuses[2];
    struct task *caller = start(gathers, &(struct several){tasks, 2, statuses});

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(task_done(kept) && !task_done(caller));
    CHECK(task_cancel(caller));
    CHECK(task_cancelling(caller) == 2);
    CHECK(task_cancelling(kept) == 1); /* it was done */
    CHECK_STATUS(task_await(caller), 0);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_STATUS(statuses[0], 8);
    CHECK_RECORD("gather -125 then 0");
    task_detach(kept);
    return 0;
}

static int gathers_futures(void *arg)
{
    struct task **futures = arg;
    int statuses[2];
    int status = task_gather(futures, 2, statuses);
    int next = task_yield();

    record("%d then %d", status, next);
    return 0;
}

static int ends_and_requests_at_one_moment_are_told_apart(void *arg)
{
    (void)arg;
    moment_run("ABX", gathers_futures);
    moment_run("AXB", gathers_futures); /* the second is cancelled */
    moment_run("XAB", gathers_futures);
    CHECK_RECORD("0 then -125, -125 then 0, -125 then 0");
    moment_run("FBX", gathers_futures);
    moment_run("FXB", gathers_futures);
    moment_run("BXF", gathers_futures);
    CHECK_RECORD("-5 then -125, -125 then 0, -125 then 0");
    return 0;
}

/* With a request that waits on entry. */
static int gather_asked(struct task *a, struct task *b, int statuses[])
{
    struct task *tasks[] = {a, b};

    task_cancel(task_current());
    return task_gather(tasks, 2, statuses);
}

static int a_request_on_entry_is_passed_on_unless_all_are_done(void *arg)
{
    int statuses[2];

    (void)arg;
    CHECK_STATUS(gather_asked(done(1), done(2), statuses), 0);
    CHECK_STATUS(statuses[1], 2);
    CHECK_STATUS(task_yield(), -ECANCELED);

    CHECK_STATUS(gather_asked(done(1), start(cleans_up, NULL), statuses),
                 -ECANCELED);
    CHECK_STATUS(statuses[0], 1);
    CHECK_STATUS(statuses[1], -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("clean up, clean");

    CHECK_STATUS(
        gather_asked(task_future_create(), start(swallows, NULL), statuses),
        -ECANCELED);
    CHECK_STATUS(statuses[0], -ECANCELED);
    CHECK_STATUS(statuses[1], 7);
    CHECK_STATUS(task_yield(), 0);

    uint64_t turn = turns_now();

    CHECK_STATUS(
        gather_asked(task_future_create(), task_future_create(), statuses),
        -ECANCELED);
    CHECK(turns_now() == turn); /* futures end at once */
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(gather_asked(NULL, NULL, statuses), -ENOMEM);
    CHECK_STATUS(task_yield(), -ECANCELED);
    return 0;
}

static int shields_are_cancelled_and_what_they_shield_goes_on(void *arg)
{
    int second = 1;
    struct task *inner = create_sleeper(&second);
    struct task *tasks[] = {start(shields, inner), start(shields, inner)};
    struct task *caller = start(gathers, &(struct several){tasks, 2, NULL});

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_await(caller), 0);
    CHECK_RECORD("gather -125 then 0");
    CHECK(task_cancelling(inner) == 0);
    CHECK_STATUS(task_await(inner), 1);
    return 0;
}

static int gathers_sleepers(void *arg)
{
    int seconds[] = {1, 2};
    struct task *tasks[] = {create_sleeper(&seconds[0]),
                            create_sleeper(&seconds[1])};

    (void)arg;
    return task_gather(tasks, 2, NULL);
}

static int a_gather_may_be_shielded(void *arg)
{
    struct task *gather = start(gathers_sleepers, NULL);
    struct task *caller = start(shields, gather);

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_await(caller), -ECANCELED);
    CHECK_STATUS(task_await(gather), 0);
    CHECK(loop_time() == 2 * TASK_SECOND);
    return 0;
}

/* Race. */

static int the_first_to_end_wins_and_the_rest_is_cancelled(void *arg)
{
    int seconds[] = {3, 1, 2};
    struct task *tasks[3];
    int status = 0;

    (void)arg;
    for (size_t i = 0; i < 3; i++)
        tasks[i] = task_retain(create_sleeper(&seconds[i]));
    CHECK_STATUS(task_race(tasks, 3, &status), 1);
    CHECK_STATUS(status, 1);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_STATUS(task_status(tasks[0]), -ECANCELED);
    CHECK_STATUS(task_status(tasks[1]), 1);
    CHECK_STATUS(task_status(tasks[2]), -ECANCELED);
    for (size_t i = 0; i < 3; i++) {
        CHECK(task_cancelling(tasks[i]) == (i != 1));
        task_detach(tasks[i]);
    }
    return 0;
}

static int losers_are_waited_for(void *arg)
{
    int second = 1;
    struct task *tasks[] = {task_create(cleans_up, NULL),
                            create_sleeper(&second),
                            task_create(fails_when_cancelled, NULL)};
    int status = 0;

    (void)arg;
    CHECK_STATUS(task_race(tasks, 3, &status), 1);
    CHECK_STATUS(status, 1);
    CHECK(loop_time() == 2 * TASK_SECOND);
    CHECK_RECORD("clean up, clean"); /* and no failure unread */
    return 0;
}

static int a_failure_may_win(void *arg)
{
    int second = -1;
    struct task *tasks[] = {task_create(sleeps_long, NULL),
                            create_sleeper(&second)};
    int status = 0;

    (void)arg;
    CHECK_STATUS(task_race(tasks, 2, &status), 1);
    CHECK_STATUS(status, -1);
    return 0;
}

static int a_task_that_was_cancelled_may_win(void *arg)
{
    struct task *tasks[] = {start(sleeps_long, NULL), start(sleeps_long, NULL)};

    (void)arg;
    CHECK(task_cancel(tasks[1]));
    CHECK_STATUS(task_race(tasks, 2, NULL), 1);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int two_that_end_in_the_same_batch_have_one_winner(void *arg)
{
    int second = 1;
    int failure = -1;
    struct task *tasks[] = {task_create(sleeps_long, NULL),
                            create_sleeper(&second), create_sleeper(&failure)};
    int status = 0;

    (void)arg;
    CHECK_STATUS(task_race(tasks, 3, &status), 1);
    CHECK_STATUS(status, 1);
    return 0;
}

static int of_those_that_are_done_the_first_in_the_array_wins(void *arg)
{
    struct task *tasks[] = {start(sleeps_long, NULL), done(5), done(6)};
    int status = 0;

    (void)arg;
    CHECK_STATUS(task_race(tasks, 3, &status), 1);
    CHECK_STATUS(status, 5);
    return 0;
}

static int an_entry_that_is_null_wins_at_once(void *arg)
{
    struct task *tasks[] = {start(cleans_up, NULL), NULL};
    int status = 0;

    (void)arg;
    CHECK_STATUS(task_race(tasks, 2, &status), 1);
    CHECK_STATUS(status, -ENOMEM);
    CHECK_RECORD("clean up, clean");
    CHECK_STATUS(task_race(tasks + 1, 1, &status), 0);
    return 0;
}

static int of_a_task_that_is_there_twice_the_first_place_wins(void *arg)
{
    int second = 1;
    struct task *slow = task_create(sleeps_long, NULL);
    struct task *fast = task_retain(create_sleeper(&second));
    struct task *tasks[] = {slow, fast, slow, fast};

    (void)arg;
    CHECK_STATUS(task_race(tasks, 4, NULL), 1);
    CHECK(is_left_alone(fast));
    task_detach(fast);
    return 0;
}

static int one_alone_wins(void *arg)
{
    int second = 1;
    struct task *task = create_sleeper(&second);
    struct task *future = done(-EIO);
    int status;
    uint64_t turn;

    (void)arg;
    CHECK_STATUS(task_race(&task, 1, &status), 0);
    CHECK_STATUS(status, 1);
    turn = turns_now();
    CHECK_STATUS(task_race(&future, 1, &status), 0);
    CHECK_STATUS(status, -EIO);
    CHECK(turns_now() == turn);
    return 0;
}

static int a_race_that_is_cancelled_has_no_winner(void *arg)
{
    struct task *tasks[] = {start(cleans_up, NULL), start(swallows, NULL)};
    struct task *kept = task_retain(tasks[1]);
    int status = 99;
    struct task *caller = start(races, &(struct several){tasks, 2, &status});

    (void)arg;
    CHECK(task_cancel(caller));
    CHECK_STATUS(task_await(caller), 0);
    CHECK(task_cancelling(kept) == 1);
    CHECK_STATUS(task_await(kept), 7);
    CHECK_STATUS(status, 99);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_RECORD("clean up, clean, race -125 then 0");
    return 0;
}

static int a_request_to_a_race_that_is_decided_comes_next(void *arg)
{
    struct task *tasks[] = {task_create(cleans_up, NULL), task_future_create()};
    struct task *kept = task_retain(tasks[0]);
    int status = 99;
    struct task *future = task_retain(tasks[1]);
    struct task *caller = start(races, &(struct several){tasks, 2, &status});

    (void)arg;
    CHECK_STATUS(task_future_complete(future, 3), 0);
    for (int i = 0; i < 5; i++)
        CHECK_STATUS(task_yield(), 0);
    CHECK(!task_done(kept));
    CHECK(task_cancel(caller));
    CHECK(task_cancelling(kept) == 1); /* the clean-up is not disturbed */
    CHECK_STATUS(task_await(caller), 0);
    CHECK_STATUS(status, 3);
    CHECK_RECORD("clean up, clean, race 1 then -125");
    task_detach(kept);
    task_detach(future);
    return 0;
}

static int races_futures(void *arg)
{
    struct task **futures = arg;
    int winner = task_race(futures, 2, NULL);
    int next = task_yield();

    record("%d then %d", winner, next);
    return 0;
}

static int a_winner_and_a_request_at_one_moment(void *arg)
{
    (void)arg;
    moment_run("AXB", races_futures);
    moment_run("BXA", races_futures);
    moment_run("ABX", races_futures);
    moment_run("BAX", races_futures);
    CHECK_RECORD("0 then -125, 1 then -125, 0 then -125, 1 then -125");
    moment_run("XAB", races_futures);
    moment_run("XBA", races_futures);
    CHECK_RECORD("-125 then 0, -125 then 0");
    moment_run("AB", races_futures);
    moment_run("BA", races_futures);
    CHECK_RECORD("0 then 0, 1 then 0");
    return 0;
}

static int race_asked(struct task *a, struct task *b)
{
    struct task *tasks[] = {a, b};

    task_cancel(task_current());
    return task_race(tasks, 2, NULL);
}

static int
a_request_before_the_race_leaves_no_winner_unless_all_are_done(void *arg)
{
    (void)arg;
    CHECK_STATUS(race_asked(done(1), done(2)), 0);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(race_asked(NULL, done(2)), 0);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(race_asked(done(1), start(cleans_up, NULL)), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("clean up, clean");
    CHECK_STATUS(race_asked(task_future_create(), task_future_create()),
                 -ECANCELED);
    CHECK_STATUS(race_asked(start(swallows, NULL), start(swallows, NULL)),
                 -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int racing_ends_the_handles_and_reads_the_statuses(void *arg)
{
    int second = -1;
    struct task *tasks[] = {
        task_retain(create_sleeper(&second)),
        task_retain(task_create(fails_when_cancelled, NULL))};

    (void)arg;
    CHECK_STATUS(task_race(tasks, 2, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK(tasks[i]->references == TASK_HANDLE);
        task_detach(tasks[i]);
    }
    CHECK_RECORD("");
    return 0;
}

/* Misuse; what is refused leaves the handles. */

static void both_refuse(struct task *const tasks[], size_t n, int error)
{
    int statuses[16] = {99, 99};

    CHECK_STATUS(task_gather(tasks, n, statuses), error);
    CHECK_STATUS(task_race(tasks, n, &statuses[1]), error);
    CHECK(statuses[0] == 99 && statuses[1] == 99);
}

static int a_race_of_none_is_refused(void *arg)
{
    int status = 99;

    (void)arg;
    CHECK_STATUS(task_race(NULL, 0, &status), -EINVAL);
    CHECK_STATUS(status, 99);
    return 0;
}

static int waits_for_foreign(void *arg)
{
    struct task *tasks[] = {start(sleeps_long, NULL), arg};

    both_refuse(tasks, 2, -EINVAL);
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

    both_refuse(&task, 1, -EPERM);
    CHECK_STATUS(task_gather(NULL, 0, NULL), -EPERM);
    CHECK_STATUS(task_race(NULL, 0, NULL), -EPERM);
    CHECK(is_left_alone(task));
    record("refused");
}

static int outside_a_task_they_are_refused(void *arg)
{
    struct task *task = start(sleeps_long, NULL);

    (void)arg;
    CHECK(loop_call_soon(wait_in_callback, task) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("refused");
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    return 0;
}

static int waiting_for_oneself_is_refused(void *arg)
{
    struct task *tasks[] = {start(sleeps_long, NULL),
                            task_retain(task_current())};

    (void)arg;
    both_refuse(tasks, 2, -EDEADLK);
    CHECK(is_left_alone(tasks[0]));
    task_detach(tasks[0]);
    task_detach(tasks[1]);
    return 0;
}

/* Ways of waiting for one task, for cycles. */

static int gathers_one(void *arg)
{
    struct task *tasks[] = {task_future_create(), arg};

    return task_gather(tasks, 2, NULL);
}

static int races_one(void *arg)
{
    struct task *tasks[] = {task_future_create(), arg};

    return task_race(tasks, 2, NULL);
}

static int awaits_for_long(void *arg)
{
    return task_await_for(arg, TASK_HOUR);
}

static int ends_group(void *arg)
{
    struct task_group group = {0};

    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, awaits, arg), 0);
    return task_group_end(&group, 0);
}

static int cycles_through_any_ways_of_waiting_are_refused(void *arg)
{
    task_fn *const ways[] = {awaits,    shields,         gathers_one,
                             races_one, awaits_for_long, ends_group};
    size_t n_ways = sizeof ways / sizeof *ways;

    (void)arg;
    for (size_t i = 0; i < n_ways * n_ways; i++) {
        struct task *self = task_retain(task_current());
        struct task *nearer = start(ways[i / n_ways], self);
        struct task *tasks[] = {task_future_create(),
                                start(ways[i % n_ways], nearer)};
        struct task_as_completed it;

        CHECK_STATUS(task_yield(), 0);
        both_refuse(tasks, 2, -EDEADLK);
        CHECK_STATUS(task_await(tasks[1]), -EDEADLK);
        CHECK_STATUS(task_await_for(tasks[1], 1), -EDEADLK);
        CHECK_STATUS(task_shield(tasks[1]), -EDEADLK);
        CHECK_STATUS(task_as_completed_begin(&it, tasks, 2), -EDEADLK);
        CHECK_STATUS(task_as_completed_end(&it, 0), -EDEADLK);
        CHECK(is_left_alone(tasks[0]) && is_left_alone(tasks[1]));
        task_detach(tasks[0]);
        task_detach(tasks[1]);
    }
    record_clear();
    return 0;
}

static int awaits_the_gatherer(void *arg)
{
    int status = task_await(arg);

    record("%s %d", task_name(task_current()), status);
    if (status == -EDEADLK)
        task_detach(arg);
    return 0;
}

static int a_task_that_is_gathered_cannot_await_the_gatherer(void *arg)
{
    int second = 1;
    struct task *tasks[] = {
        task_create(awaits_the_gatherer, task_retain(task_current())),
        create_sleeper(&second)};

    (void)arg;
    CHECK_STATUS(task_gather(tasks, 2, NULL), 0);
    CHECK_RECORD("task-2 -35");
    return 0;
}

static int ends_at_once(void *arg)
{
    (void)arg;
    return 0;
}

/* Also between the end of the winner and the next step of the one who races:
 * that waits for the others then. */
static int a_loser_cannot_await_the_one_who_races(void *arg)
{
    struct task *tasks[] = {
        task_create(ends_at_once, NULL),
        task_create(awaits_the_gatherer, task_retain(task_current()))};

    (void)arg;
    CHECK_STATUS(task_race(tasks, 2, NULL), 0);
    CHECK_RECORD("task-3 -35");
    return 0;
}

static struct task *racer;

static int awaits_a_future_and_the_racer(void *arg)
{
    CHECK_STATUS(task_await(task_retain(arg)), 0);
    return awaits_the_gatherer(task_retain(racer));
}

static int completes(void *arg)
{
    return task_future_complete(arg, 0);
}

/* Who awaits the future before the race does runs first. */
static int nor_when_a_future_wins(void *arg)
{
    struct task *future = task_future_create();
    struct task *tasks[] = {start(awaits_a_future_and_the_racer, future),
                            task_retain(future)};
    struct task *completer = task_create(completes, future);

    (void)arg;
    racer = task_current();
    CHECK_STATUS(task_race(tasks, 2, NULL), 1);
    CHECK_STATUS(task_await(completer), 0);
    task_detach(future);
    CHECK_RECORD("task-3 -35");
    return 0;
}

static int awaits_what_is_cancelled_and_the_racer(void *arg)
{
    CHECK_STATUS(task_await(task_retain(arg)), -ECANCELED);
    return awaits_the_gatherer(task_retain(racer));
}

/* It wins in the midst of a request, within which no other one is made. */
static int nor_when_a_future_wins_by_being_cancelled(void *arg)
{
    struct task *future = task_future_create();
    struct task *tasks[] = {
        start(awaits_what_is_cancelled_and_the_racer, future), future};

    (void)arg;
    racer = task_current();
    CHECK(loop_call_soon(cancel_it, future) > 0);
    CHECK_STATUS(task_race(tasks, 2, NULL), 1);
    CHECK_RECORD("task-3 -35");
    return 0;
}

static int sleeps_on_and_on(void *arg)
{
    while (!task_sleep(TASK_SECOND))
        continue;
    return *(int *)arg = (int)(loop_time() / TASK_SECOND);
}

/* Others end before the losers are asked, or there are none to be asked. */
static int a_future_that_is_cancelled_leaves_losers_or_none(void *arg)
{
    int ended_at = -1;
    struct task *tasks[] = {task_future_create(), task_future_create(),
                            start(sleeps_on_and_on, &ended_at)};

    (void)arg;
    CHECK(loop_call_later(TASK_SECOND / 2, cancel_it, tasks[1]) > 0);
    CHECK(loop_call_later(TASK_SECOND / 2, cancel_it, tasks[0]) > 0);
    CHECK_STATUS(task_race(tasks, 3, NULL), 1);
    CHECK_STATUS(ended_at, 0);
    tasks[0] = task_future_create();
    tasks[1] = task_future_create();
    CHECK(loop_call_soon(cancel_it, tasks[0]) > 0);
    CHECK(loop_call_soon(cancel_it, tasks[1]) > 0);
    CHECK_STATUS(task_race(tasks, 2, NULL), 0);
    tasks[0] = task_future_create();
    CHECK(loop_call_soon(cancel_it, tasks[0]) > 0);
    CHECK_STATUS(task_race(tasks, 1, NULL), 0);
    CHECK(loop_time() < TASK_SECOND);
    return 0;
}

static struct task *winner;

static int sleeps_for_seven(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return 7;
}

/* Ways of waiting for one task, which give its status. */

static int awaits_within_an_hour(struct task *task)
{
    return task_await_for(task, TASK_HOUR);
}

static int gathers_it(struct task *task)
{
    int its_status;
    int status = task_gather(&task, 1, &its_status);

    return status ? status : its_status;
}

static int races_it(struct task *task)
{
    int its_status;
    int status = task_race(&task, 1, &its_status);

    return status ? status : its_status;
}

static int races_it_and_another(struct task *task)
{
    struct task *tasks[] = {task, task_create(sleeps_long, NULL)};
    int its_status;
    int status = task_race(tasks, 2, &its_status);

    return status ? status : its_status;
}

static int outlasts_the_winner(void *arg)
{
    int (*await)(struct task *) = *(int (**)(struct task *))arg;
    int status = await(task_retain(winner));

    record("%d then %d", status, task_sleep(TASK_HOUR));
    return 0;
}

/* The race hears first of the winner's end. */
static int a_loser_that_awaits_the_winner_is_asked_after_it(void *arg)
{
    int (*awaits[])(struct task *) = {task_await, awaits_within_an_hour,
                                      gathers_it, races_it,
                                      races_it_and_another};

    (void)arg;
    for (size_t i = 0; i < sizeof awaits / sizeof *awaits; i++) {
        task_time began = loop_time();
        struct task *tasks[] = {task_create(sleeps_for_seven, NULL),
                                task_create(outlasts_the_winner, &awaits[i])};

        winner = tasks[0];
        CHECK_STATUS(task_race(tasks, 2, NULL), 0);
        CHECK(loop_time() - began < TASK_HOUR);
        CHECK_RECORD("7 then -125");
    }
    return 0;
}

/* Each race is between two futures, of which the next has the second, too: when
 * the first of all is given, one request brings the next, on and on. */

enum { ROW = 3000 };

static struct task *futures[ROW + 1];

static int races_two(void *arg)
{
    struct task **first = arg;
    struct task *both[] = {task_retain(first[0]), task_retain(first[1])};

    return task_race(both, 2, NULL);
}

static int a_row_of_races_needs_no_deep_stack(void *arg)
{
    static struct task *races[ROW];

    (void)arg;
    for (int i = 0; i <= ROW; i++)
        futures[i] = task_future_create();
    for (int i = 0; i < ROW; i++)
        races[i] = task_create(races_two, &futures[i]);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_future_complete(futures[0], 7), 0);
    for (int i = 0; i < ROW; i++)
        CHECK_STATUS(task_await(races[i]), 0);
    for (int i = 0; i <= ROW; i++)
        task_detach(futures[i]);
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
        tasks[i] = task_create(swallows, NULL);
    CHECK_STATUS(task_yield(), 0);
    allocations = memory.allocations;
    memory.fail_at = 1;
    CHECK_STATUS(task_gather(tasks, 9, NULL), -ENOMEM);
    memory.fail_at = 1;
    CHECK_STATUS(task_race(tasks, 9, NULL), -ENOMEM);
    CHECK(memory.allocations == allocations + 2);
    for (size_t i = 0; i < 9; i++)
        CHECK(is_left_alone(tasks[i]));
    for (size_t i = 0; i < 9; i++)
        CHECK(task_cancel(tasks[i]));
    CHECK_STATUS(task_gather(tasks, 4, NULL), 0);
    CHECK_STATUS(task_race(tasks + 4, 5, NULL), 0);
    CHECK(memory.allocations == allocations + 2);
    return 0;
}

static void only_more_than_eight_need_memory(void **state)
{
    struct loop *loop;

    (void)state;
    memory = (struct memory_count){0};
    loop = test_loop_new(&memory);
    assert_int_equal(loop_run_main(loop, waits_without_memory, NULL), 0);
    test_loop_free(loop, &memory);
}

static int many_are_gathered_and_raced(void *arg)
{
    enum { N = 5000 };
    static int statuses[N];
    static struct task *tasks[N];
    size_t n = test_rounds(N);
    int second = 1;

    (void)arg;
    for (size_t i = 0; i < n; i++)
        tasks[i] = create_sleeper(&second);
    CHECK_STATUS(task_gather(tasks, n, statuses), 0);
    for (size_t i = 0; i < n; i++)
        CHECK_STATUS(statuses[i], 1);
    for (size_t i = 0; i < n; i++)
        tasks[i] =
            i == n / 2 ? create_sleeper(&second) : task_create(sleeps_long, 0);
    CHECK_STATUS(task_race(tasks, n, NULL), (int)n / 2);
    CHECK(loop_time() == 2 * TASK_SECOND);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(statuses_stand_in_the_order_of_the_array),
        in_main(statuses_may_be_left_out),
        in_main(the_first_failure_in_time_is_returned_when_all_are_done),
        in_main(a_failure_that_was_there_is_the_first),
        in_main(a_child_that_is_cancelled_is_just_one_of_them),
        in_main(a_failure_counts_before_an_earlier_cancel),
        in_main(what_is_done_already_does_not_suspend),
        in_main(a_task_that_is_there_twice_is_ended_once),
        in_main(entries_that_are_null_have_failed),
        in_main(gathering_ends_the_handles_and_reads_the_statuses),
        in_main(a_request_is_passed_on_to_each_that_is_not_done),
        in_main(a_request_is_the_callers_also_if_all_swallow_it),
        in_main(a_second_request_is_passed_on_too),
        in_main(ends_and_requests_at_one_moment_are_told_apart),
        in_main(a_request_on_entry_is_passed_on_unless_all_are_done),
        in_main(shields_are_cancelled_and_what_they_shield_goes_on),
        in_main(a_gather_may_be_shielded),
        in_main(the_first_to_end_wins_and_the_rest_is_cancelled),
        in_main(losers_are_waited_for),
        in_main(a_failure_may_win),
        in_main(a_task_that_was_cancelled_may_win),
        in_main(two_that_end_in_the_same_batch_have_one_winner),
        in_main(of_those_that_are_done_the_first_in_the_array_wins),
        in_main(an_entry_that_is_null_wins_at_once),
        in_main(of_a_task_that_is_there_twice_the_first_place_wins),
        in_main(one_alone_wins),
        in_main(a_race_that_is_cancelled_has_no_winner),
        in_main(a_request_to_a_race_that_is_decided_comes_next),
        in_main(a_winner_and_a_request_at_one_moment),
        in_main(a_request_before_the_race_leaves_no_winner_unless_all_are_done),
        in_main(racing_ends_the_handles_and_reads_the_statuses),
        in_main(a_race_of_none_is_refused),
        behaviour(another_loops_task_is_refused),
        in_main(outside_a_task_they_are_refused),
        in_main(waiting_for_oneself_is_refused),
        in_main(cycles_through_any_ways_of_waiting_are_refused),
        in_main(a_task_that_is_gathered_cannot_await_the_gatherer),
        in_main(a_loser_cannot_await_the_one_who_races),
        in_main(nor_when_a_future_wins),
        in_main(nor_when_a_future_wins_by_being_cancelled),
        in_main(a_future_that_is_cancelled_leaves_losers_or_none),
        in_main(a_loser_that_awaits_the_winner_is_asked_after_it),
        in_main(a_row_of_races_needs_no_deep_stack),
        behaviour(only_more_than_eight_need_memory),
        in_main(many_are_gathered_and_raced),
        in_main(a_request_comes_once_to_whoever_awaits_another_of_them),
        in_main(the_losers_of_a_race_are_asked_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
