/* Groups: children that fail, are cancelled, come late; who hears of it. */
#include "bodies.h"
#include "child.h"
#include "record.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The group is over without a trace: no task, no timer, no request. */
static void check_no_trace(void)
{
    CHECK(stats().tasks == 1);
    CHECK(stats().timers == 0);
    CHECK(requests() == 0);
    CHECK_STATUS(task_yield(), 0);
}

static void cancel_group(void *arg)
{
    task_group_cancel(arg);
}

/* What most children do. */
struct plan {
    const char *name;
    task_time delay; /* then it ends */
    int status;
    task_time clean_up; /* after a request */
    int instead;        /* of -ECANCELED, if it is not 0 */
};

static int follows(void *arg)
{
    const struct plan *plan = arg;
    int status = task_sleep(plan->delay);

    if (!status) {
        record("%s ends", plan->name);
        return plan->status;
    }
    record("%s cancelled", plan->name);
    if (plan->clean_up)
        CHECK_STATUS(task_sleep(plan->clean_up), 0);
    return plan->instead ? plan->instead : status;
}

static void add(struct task_group *group, struct plan *plan)
{
    CHECK_STATUS(task_group_start(group, follows, plan), 0);
}

static struct plan quick = {"quick", TASK_SECOND, 0, 0, 0};
static struct plan slow = {"slow", TASK_HOUR, 0, 0, 0};
static struct plan failing = {"failing", TASK_SECOND, -EIO, 0, 0};
static struct plan tidy = {"tidy", TASK_HOUR, 0, TASK_MINUTE, 0};
static struct plan clumsy = {"clumsy", TASK_HOUR, 0, TASK_SECOND, -EPIPE};
static struct plan stubborn = {"stubborn", TASK_HOUR, 0, TASK_SECOND, 7};

/* The failures of a group, as "2 -5 task-3, ...". */
static void record_failures(const struct task_group *group)
{
    struct task_failure failures[TASK_GROUP_FAILURES];
    size_t n = task_group_failures(group, failures, TASK_GROUP_FAILURES);

    record("%zu failed", n);
    for (size_t i = 0; i < n && i < TASK_GROUP_FAILURES; i++)
        record("%s %d", failures[i].name, failures[i].status);
}

/* Children that end well. */

static int the_end_waits_for_all_children(void *arg)
{
    struct task_group group;
    int three = 3;
    struct task *task;

    (void)arg;
    task_group_begin(&group);
    add(&group, &slow);
    add(&group, &quick);
    task = task_group_create(&group, returns, &three);
    record("body");
    CHECK_STATUS(task_group_end(&group, 7), 7);
    CHECK(loop_time() == TASK_HOUR);
    CHECK_RECORD("body, quick ends, slow ends");
    CHECK(task_group_failures(&group, NULL, 0) == 0);
    CHECK_STATUS(task_await(task), 3); /* the handle outlives the group */
    check_no_trace();
    return 0;
}

static int an_empty_group_ends_at_once(void *arg)
{
    static const int statuses[] = {0, 7, -EIO, -ECANCELED};
    struct task_group group;

    (void)arg;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        uint64_t turn = turns_now();

        task_group_begin(&group);
        CHECK_STATUS(task_group_end(&group, statuses[i]), statuses[i]);
        CHECK(turns_now() == turn);
        CHECK(task_group_failures(&group, NULL, 0) == (statuses[i] == -EIO));
    }
    check_no_trace();
    return 0;
}

static int what_the_memory_held_does_not_matter(void *arg)
{
    struct task_group group;

    (void)arg;
    for (int i = 0; i < 256; i++) {
        memset(&group, i, sizeof group);
        task_group_begin(&group);
        add(&group, &quick);
        CHECK_STATUS(task_group_end(&group, 0), 0);
        CHECK_RECORD("quick ends");
    }
    check_no_trace();
    return 0;
}

static int a_group_need_not_be_initialised(void *arg)
{
    struct task_group *group = malloc(sizeof *group); /* Valgrind looks on */

    (void)arg;
    if (!group)
        return -ENOMEM;
    task_group_begin(group);
    add(group, &quick);
    CHECK_STATUS(task_group_end(group, 0), 0);
    CHECK_RECORD("quick ends");
    free(group);
    return 0;
}

/* Creates two of the next generation. */
struct generation {
    struct task_group *group;
    int n;
    int *count;
};

static int multiplies(void *arg)
{
    struct generation own = *(struct generation *)arg;
    struct generation next = {own.group, own.n - 1, own.count};

    ++*own.count;
    if (!own.n)
        return 0;
    for (int i = 0; i < 2; i++)
        CHECK_STATUS(task_group_start(own.group, multiplies, &next), 0);
    return task_sleep(TASK_SECOND); /* they have copied it by then */
}

static int children_make_children_while_the_end_waits(void *arg)
{
    struct task_group group;
    int count = 0;
    struct generation first = {&group, 6, &count};

    (void)arg;
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, multiplies, &first), 0);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    CHECK(count == 127);
    check_no_trace();
    return 0;
}

static int adds_quick(void *arg)
{
    add(arg, &quick);
    return 0;
}

static void adds_failing(void *arg)
{
    add(arg, &failing);
}

static int anyone_may_make_children(void *arg)
{
    struct task_group group;
    struct task *other;

    (void)arg;
    task_group_begin(&group);
    other = start(adds_quick, &group);
    CHECK(loop_call_later(TASK_MINUTE, adds_failing, &group) > 0);
    add(&group, &slow);
    CHECK_STATUS(task_group_end(&group, 0), -EIO);
    CHECK_STATUS(task_await(other), 0);
    CHECK_RECORD("quick ends, failing ends, slow cancelled");
    CHECK(loop_time() == TASK_MINUTE + TASK_SECOND);
    check_no_trace();
    return 0;
}

/* The last child ends; before the owner runs, there is another. */

struct late {
    struct task_group *group;
    struct task *owner;
    bool cancels;
};

static int comes_late(void *arg)
{
    const struct late *late = arg;
    int status = task_yield();

    CHECK_STATUS(status, late->cancels ? -ECANCELED : 0);
    record("late");
    return status;
}

/* Stands behind the last child in the queue. */
static int adds_a_late_one(void *arg)
{
    struct late *late = arg;

    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    if (task_done(late->owner)) /* shuffled: it was too late */
        return 0;
    if (task_group_start(late->group, comes_late, late))
        return 0;
    if (late->cancels)
        CHECK(task_cancel(late->owner));
    return 0;
}

static int owns_for_late(void *arg)
{
    struct late *late = arg;
    struct task_group group;
    int status;

    late->group = &group;
    task_group_begin(&group);
    add(&group, &quick);
    CHECK_STATUS(task_yield(), 0);
    status = task_group_end(&group, 0);
    record("end %d", status);
    return status;
}

static int a_child_that_comes_when_the_last_has_ended_is_waited_for(void *arg)
{
    (void)arg;
    for (int cancels = 0; cancels < 2; cancels++) {
        struct late late = {.cancels = cancels};
        struct task *adder;

        late.owner = start(owns_for_late, &late);
        adder = start(adds_a_late_one, &late);
        CHECK_STATUS(task_await(late.owner), cancels ? -ECANCELED : 0);
        CHECK_STATUS(task_await(adder), 0);
        CHECK_RECORD(cancels ? "quick ends, late, end -125"
                             : "quick ends, late, end 0");
    }
    return 0;
}

static int yields_and_returns(void *arg)
{
    (void)arg;
    return 0;
}

static int adds_a_short_one(void *arg)
{
    struct late *late = arg;

    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    if (!task_done(late->owner))
        (void)task_group_start(late->group, yields_and_returns, NULL);
    return 0;
}

/* In shuffled batches that one may even end before the owner runs. */
static int a_child_may_come_and_go_before_the_owner_runs(void *arg)
{
    struct late late = {.cancels = false};
    struct task *adders[3];

    (void)arg;
    late.owner = start(owns_for_late, &late);
    for (int i = 0; i < 3; i++)
        adders[i] = task_create(adds_a_short_one, &late);
    CHECK_STATUS(task_gather(adders, 3, NULL), 0);
    CHECK_STATUS(task_await(late.owner), 0);
    record_clear();
    return 0;
}

/* Children that are cancelled on their own. */

static int a_child_cancelled_alone_is_no_failure(void *arg)
{
    struct task_group group;
    struct task *child;

    (void)arg;
    task_group_begin(&group);
    child = task_group_create(&group, follows, &slow);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_cancel(child));
    CHECK_STATUS(task_sleep(TASK_MINUTE), 0);
    add(&group, &quick);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    CHECK(task_cancelled(child));
    task_detach(child);
    CHECK_RECORD("slow cancelled, quick ends");
    check_no_trace();
    return 0;
}

static int a_child_that_returns_ecanceled_by_itself_is_no_failure(void *arg)
{
    struct task_group group;
    int canceled = -ECANCELED;

    (void)arg;
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, returns, &canceled), 0);
    add(&group, &quick);
    CHECK_STATUS(task_sleep(TASK_MINUTE), 0);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    CHECK_RECORD("quick ends");
    CHECK(task_group_failures(&group, NULL, 0) == 0);
    check_no_trace();
    return 0;
}

/* Children that fail. */

static int a_failure_interrupts_the_body_and_the_siblings(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &slow);
    add(&group, &failing);
    add(&group, &tidy);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(loop_time() == TASK_SECOND);
    CHECK(requests() == 1);
    CHECK_STATUS(task_group_end(&group, -ECANCELED), -EIO);
    CHECK(loop_time() == TASK_SECOND + TASK_MINUTE);
    CHECK_RECORD("failing ends, slow cancelled, tidy cancelled");
    record_failures(&group);
    CHECK_RECORD("1 failed, task-3 -5");
    check_no_trace();
    return 0;
}

static int a_failure_is_noticed_while_the_end_waits(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &slow);
    add(&group, &slow);
    add(&group, &failing);
    CHECK_STATUS(task_group_end(&group, 0), -EIO);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_RECORD("failing ends, slow cancelled, slow cancelled");
    check_no_trace();
    return 0;
}

static int awaits_a_future_and_cleans_up(void *arg)
{
    int status = task_await(task_retain(arg));

    record("told %u, clean up %d", requests(), task_sleep(1));
    return status;
}

/* By the abort, and by the body's await, there is one request. */
static int a_child_that_the_body_waits_for_is_asked_once(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct task_group group;
        struct task *future = task_future_create();
        struct task *child;

        task_group_begin(&group);
        add(&group, &failing);
        child =
            task_group_create(&group, awaits_a_future_and_cleans_up, future);
        CHECK_STATUS(task_group_end(&group, i ? task_gather(&child, 1, NULL)
                                              : task_await(child)),
                     -EIO);
        CHECK_RECORD("failing ends, told 1, clean up 0");
        task_detach(future);
        check_no_trace();
    }
    return 0;
}

static int fails_soon(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return -ENXIO;
}

/* Whose end is asked for by an outer scope, and who fails instead. */
static void end_a_group_that_fails_in_its_clean_up(void)
{
    struct task_group group;

    task_group_begin(&group);
    add(&group, &clumsy);
    CHECK_STATUS(task_group_end(&group, 0), -EPIPE);
    CHECK_RECORD("clumsy cancelled");
}

/* The inner group has the outer scope's request delivered anew, which that takes back:
 * what was delivered before is not meant. */
static int a_request_delivered_long_ago_is_not_delivered_for_a_scope(void *arg)
{
    struct task_timeout timeout;
    struct task_group group;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_yield(), -ECANCELED);
    end_a_group_that_fails_in_its_clean_up();
    CHECK_STATUS(task_timeout_end(&timeout, -EPIPE), -EPIPE);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_uncancel(task_current()) == 0);
    check_no_trace();

    task_group_begin(&group);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_await(task_create(swallows, NULL)), 7);
    CHECK_STATUS(task_group_start(&group, fails_soon, NULL), 0);
    end_a_group_that_fails_in_its_clean_up();
    CHECK_STATUS(task_group_end(&group, -EPIPE), -EPIPE);
    CHECK_STATUS(task_yield(), 0);
    CHECK(task_uncancel(task_current()) == 0);
    check_no_trace();
    return 0;
}

static int one_taken_back_undelivered_does_not_come_after_the_group(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    task_group_cancel(&group);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK(task_cancel(task_current()));
    CHECK(task_uncancel(task_current()) == 1);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    CHECK_STATUS(task_yield(), 0);
    check_no_trace();
    return 0;
}

/* What was swallowed before a scope is taken back in it: that is no other one. */
static int a_request_that_comes_after_one_was_taken_back_is_delivered(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct task_timeout timeout;
        struct task_group group;

        CHECK(task_cancel(task_current()));
        CHECK_STATUS(task_yield(), -ECANCELED);
        task_timeout_begin(&timeout, i ? TASK_HOUR : TASK_SECOND);
        task_group_begin(&group);
        CHECK(task_uncancel(task_current()) == 0);
        if (i)
            CHECK_STATUS(task_group_start(&group, fails_soon, NULL), 0);
        CHECK_STATUS(task_sleep(TASK_MINUTE), -ECANCELED);
        CHECK(task_cancel(task_current()));
        CHECK_STATUS(task_group_end(&group, -EIO), -EIO);
        CHECK_STATUS(task_timeout_end(&timeout, -EIO), -EIO);
        CHECK_STATUS(task_yield(), -ECANCELED);
        CHECK(task_uncancel(task_current()) == 0);
        check_no_trace();
    }
    return 0;
}

static int the_body_may_go_on_after_a_failure(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &failing);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_MINUTE), 0);
    CHECK_STATUS(task_group_end(&group, 5), -EIO);
    CHECK_RECORD("failing ends");
    check_no_trace();
    return 0;
}

static int a_body_that_has_not_heard_of_a_failure_is_not_told_later(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &failing);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_sleep_until(TASK_SECOND), 0); /* the child runs first */
    CHECK(requests() == 1);
    CHECK_STATUS(task_group_end(&group, 0), -EIO);
    CHECK_RECORD("failing ends");
    check_no_trace();
    return 0;
}

static int the_first_failure_in_time_is_the_groups(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &clumsy);
    add(&group, &failing);
    CHECK_STATUS(task_group_end(&group, 0), -EIO);
    CHECK_RECORD("failing ends, clumsy cancelled");
    record_failures(&group);
    CHECK_RECORD("2 failed, task-3 -5, task-2 -32");
    check_no_trace();
    return 0;
}

static int the_bodys_own_failure_comes_first_and_all_are_listed(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &failing);
    add(&group, &clumsy);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_group_end(&group, -EAGAIN), -EAGAIN);
    CHECK_RECORD("failing ends, clumsy cancelled");
    record_failures(&group);
    CHECK_RECORD("3 failed, task-2 -5, task-1 -11, task-3 -32");
    check_no_trace();
    return 0;
}

static int a_body_that_fails_cancels_the_children(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &slow);
    add(&group, &tidy);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_group_end(&group, -EAGAIN), -EAGAIN);
    CHECK(loop_time() == TASK_MINUTE);
    CHECK_RECORD("slow cancelled, tidy cancelled");
    record_failures(&group);
    CHECK_RECORD("1 failed, task-1 -11");
    check_no_trace();
    return 0;
}

static int children_that_have_not_begun_run_to_their_first_call(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &slow);
    add(&group, &quick);
    CHECK_STATUS(task_group_end(&group, -EAGAIN), -EAGAIN);
    CHECK(loop_time() == 0);
    CHECK_RECORD("slow cancelled, quick cancelled");
    check_no_trace();
    return 0;
}

static int a_failure_without_a_handle_is_not_reported_as_unread(void *arg)
{
    struct task_group group;
    int failure = -EIO;
    struct task *child;

    (void)arg;
    task_group_begin(&group);
    child = task_group_create(&group, returns, &failure);
    CHECK_STATUS(task_group_start(&group, returns, &failure), 0);
    CHECK_STATUS(task_group_end(&group, 0), -EIO);
    task_detach(child);
    CHECK_RECORD("");
    return 0;
}

/* Whoever awaits a child that fails. */

static int awaits_a_child(void *arg)
{
    int status = task_await(arg);

    record("await %d, then %d", status, task_yield());
    return -ECANCELED;
}

static int gathers(void *arg)
{
    struct task *task = arg;
    int status = task_gather(&task, 1, NULL);

    record("gather %d, then %d", status, task_yield());
    return -ECANCELED;
}

static int races(void *arg)
{
    struct task *task = arg;
    int status = -1;
    int index = task_race(&task, 1, &status);

    record("race %d %d, then %d", index, status, task_yield());
    return -ECANCELED;
}

static int watches(void *arg)
{
    struct task *task = arg;
    int n = task_wait(&task, 1, TASK_ALL_DONE, TASK_FOREVER);

    record("wait %d, then %d", n, task_yield());
    task_detach(task);
    return -ECANCELED;
}

static int a_child_awaited_by_the_body_gives_its_status_first(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    CHECK_STATUS(task_await(task_group_create(&group, follows, &failing)),
                 -EIO);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_group_end(&group, -ECANCELED), -EIO);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_RECORD("failing ends");
    check_no_trace();
    return 0;
}

static int a_child_awaited_by_a_sibling_gives_its_status_first(void *arg)
{
    static task_fn *const ways[] = {awaits_a_child, gathers, races, watches};
    struct task_group group;
    struct task *child;

    (void)arg;
    task_group_begin(&group);
    child = task_group_create(&group, follows, &failing);
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(task_group_start(&group, ways[i], task_retain(child)), 0);
    task_detach(child);
    CHECK_STATUS(task_group_end(&group, 0), -EIO);
    CHECK_RECORD("failing ends, await -5, then -125, gather -5, then -125, "
                 "race 0 -5, then -125, wait 1, then -125");
    check_no_trace();
    return 0;
}

/* Cancelled from outside. */

struct family {
    struct task_group group;
    struct plan **plans; /* NULL ends them */
    bool sleeps;         /* in the body */
    int body;            /* its status; 0: what its sleep returned */
};

static int owns(void *arg)
{
    struct family *family = arg;
    int status = 0;

    task_group_begin(&family->group);
    for (struct plan **plan = family->plans; *plan; plan++)
        add(&family->group, *plan);
    if (family->sleeps) {
        status = task_sleep(TASK_HOUR);
        record("body %d", status);
    }
    status = family->body ? family->body : status;
    status = task_group_end(&family->group, status);
    record("end %d count %u", status, requests());
    record("then %d", task_yield());
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

/* Run one; cancel it after half a second `n` times. */
static void cancel_family(struct family *family, int n)
{
    struct task *owner = start(owns, family);

    CHECK_STATUS(task_sleep(TASK_SECOND / 2), 0);
    while (n--)
        CHECK(task_cancel(owner));
    CHECK_STATUS(task_await(owner), 0);
}

static int a_request_in_the_end_is_passed_on_to_all_children(void *arg)
{
    struct plan *plans[] = {&slow, &tidy, NULL};
    struct family family = {.plans = plans};

    (void)arg;
    cancel_family(&family, 1);
    CHECK(loop_time() == TASK_MINUTE + TASK_SECOND / 2);
    CHECK_RECORD("slow cancelled, tidy cancelled, end -125 count 1, then 0");
    CHECK(task_group_failures(&family.group, NULL, 0) == 0);
    return 0;
}

static int a_request_in_the_body_cancels_the_children_at_the_end(void *arg)
{
    struct plan *plans[] = {&slow, &tidy, NULL};
    struct family family = {.plans = plans, .sleeps = true};

    (void)arg;
    cancel_family(&family, 1);
    CHECK_RECORD("body -125, slow cancelled, tidy cancelled, "
                 "end -125 count 1, then 0");
    return 0;
}

static int children_that_swallow_a_request_do_not_undo_it(void *arg)
{
    struct plan *plans[] = {&stubborn, NULL};
    struct family family = {.plans = plans};

    (void)arg;
    cancel_family(&family, 1);
    CHECK_RECORD("stubborn cancelled, end -125 count 1, then 0");
    return 0;
}

static int
a_failure_in_the_clean_up_leaves_and_the_request_comes_next(void *arg)
{
    struct plan *plans[] = {&slow, &clumsy, NULL};
    struct family family = {.plans = plans};

    (void)arg;
    cancel_family(&family, 1); /* in the end */
    CHECK_RECORD("slow cancelled, clumsy cancelled, end -32 count 1, "
                 "then -125");
    family.sleeps = true;
    cancel_family(&family, 1); /* in the body */
    CHECK_RECORD("body -125, slow cancelled, clumsy cancelled, "
                 "end -32 count 1, then -125");
    return 0;
}

static int a_body_that_turns_a_request_into_a_failure_has_used_it_up(void *arg)
{
    struct plan *plans[] = {&slow, NULL};
    struct family family = {.plans = plans, .sleeps = true, .body = -EAGAIN};

    (void)arg;
    cancel_family(&family, 1);
    CHECK_RECORD("body -125, slow cancelled, end -11 count 1, then 0");
    return 0;
}

static int a_body_that_swallows_a_request_waits_for_its_children(void *arg)
{
    struct plan *plans[] = {&slow, NULL};
    struct family family = {.plans = plans, .sleeps = true, .body = 5};

    (void)arg;
    cancel_family(&family, 1);
    CHECK_RECORD("body -125, slow ends, end 5 count 1, then 0");
    return 0;
}

static int ends_a_group_of_one(void *child)
{
    struct task_group group = {0};
    int status;

    task_group_begin(&group);
    *(struct task **)child = task_group_create(&group, follows, &quick);
    status = task_group_end(&group, 0);
    record("%d then %d", status, task_sleep(TASK_HOUR));
    return 0;
}

/* A race is told of the child's end before the group, and asks the owner. */
static int a_request_as_the_last_child_ends_comes_next(void *arg)
{
    struct task *tasks[2];

    (void)arg;
    tasks[1] = start(ends_a_group_of_one, &tasks[0]);
    CHECK_STATUS(task_race(tasks, 2, NULL), 0);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_RECORD("quick ends, 0 then -125");
    check_no_trace();
    return 0;
}

static int a_second_request_reaches_the_clean_up_of_the_children(void *arg)
{
    struct plan *plans[] = {&slow, NULL};
    struct family family = {.plans = plans};
    struct task *owner = start(owns, &family);

    (void)arg;
    CHECK(task_cancel(owner));
    CHECK(task_cancel(owner)); /* one wake tells both */
    CHECK_STATUS(task_await(owner), 0);
    CHECK_RECORD("slow cancelled, end -125 count 2, then 0");
    return 0;
}

static int cancels_itself_before_the_end(void *arg)
{
    struct family *family = arg;
    uint64_t turn;
    int status;

    task_group_begin(&family->group);
    for (struct plan **plan = family->plans; *plan; plan++)
        add(&family->group, *plan);
    CHECK(task_cancel(task_current()));
    turn = turns_now();
    status = task_group_end(&family->group, 3);
    record("end %d%s", status, turn == turns_now() ? " at once" : "");
    record("then %d", task_yield());
    return 0;
}

static int
a_request_there_on_entry_is_passed_on_if_there_are_children(void *arg)
{
    struct plan *plans[] = {&slow, NULL};
    struct family family = {.plans = plans};

    (void)arg;
    CHECK_STATUS(task_await(start(cancels_itself_before_the_end, &family)), 0);
    CHECK_RECORD("slow cancelled, end -125, then 0");
    family.plans = plans + 1;
    CHECK_STATUS(task_await(start(cancels_itself_before_the_end, &family)), 0);
    CHECK_RECORD("end 3 at once, then -125");
    return 0;
}

/* A request and a failure in one turn, in both orders. */

struct clash {
    struct family *family;
    struct task *owner;
    struct task *child;
    bool request_first;
};

static int clashes(void *arg)
{
    struct clash *clash = arg;

    CHECK_STATUS(task_sleep(TASK_SECOND / 2), 0);
    if (clash->request_first)
        CHECK(task_cancel(clash->owner));
    return -EIO; /* the group hears of it now */
}

static void cancel_after(void *arg)
{
    struct clash *clash = arg;

    CHECK(task_cancel(clash->owner));
}

static int owns_a_clash(void *arg)
{
    struct clash *clash = arg;
    struct task_group group;
    int status;

    task_group_begin(&group);
    clash->child = task_group_create(&group, clashes, clash);
    task_detach(clash->child);
    if (!clash->request_first) /* runs in the batch of the child, after it */
        CHECK(loop_call_later(TASK_SECOND / 2, cancel_after, clash) > 0);
    status = task_sleep(TASK_HOUR);
    record("body %d", status);
    status = task_group_end(&group, status);
    record("end %d count %u", status, requests());
    record("then %d", task_yield());
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int a_request_and_a_failure_in_one_turn_are_both_told(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct clash clash = {.request_first = i};

        clash.owner = task_create(owns_a_clash, &clash);
        CHECK_STATUS(task_await(clash.owner), 0);
        CHECK_RECORD("body -125, end -5 count 1, then -125");
    }
    return 0;
}

/* Nested. */

static int inner_children_that_fail_when_cancelled_from_outside(void *arg)
{
    struct plan *plans[] = {&clumsy, NULL};
    struct family family = {.plans = plans};
    struct task_group outer;
    struct task *owner;

    (void)arg;
    task_group_begin(&outer);
    add(&outer, &slow);
    owner = task_group_create(&outer, owns, &family);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_group_end(&outer, 0), -ECANCELED);
    CHECK_STATUS(task_await(owner), 0);
    CHECK_RECORD("slow cancelled, clumsy cancelled, end -32 count 1, "
                 "then -125");
    CHECK(requests() == 1);
    CHECK_STATUS(task_yield(), 0);
    return 0;
}

/* Both groups of one task fail in one turn. */
static int two_nested_groups_fail_in_one_turn(void *arg)
{
    struct plan other = {"other", TASK_SECOND, -EAGAIN, 0, 0};
    struct task_group outer;
    struct task_group inner;

    (void)arg;
    for (int inner_first = 0; inner_first < 2; inner_first++) {
        task_group_begin(&outer);
        task_group_begin(&inner);
        if (inner_first)
            add(&inner, &other);
        add(&outer, &failing);
        if (!inner_first)
            add(&inner, &other);
        CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
        CHECK(requests() == 2);
        CHECK_STATUS(task_group_end(&inner, -ECANCELED), -EAGAIN);
        CHECK(requests() == 1); /* the outer one's, which is to come */
        if (inner_first)
            CHECK_STATUS(task_yield(), -ECANCELED);
        CHECK_STATUS(task_group_end(&outer, 0), -EIO);
        CHECK_RECORD(inner_first ? "other ends, failing ends"
                                 : "failing ends, other ends");
        check_no_trace();
    }
    return 0;
}

static int an_outer_failure_ends_the_wait_of_an_inner_end(void *arg)
{
    struct task_group outer;
    struct task_group inner;

    (void)arg;
    task_group_begin(&outer);
    add(&outer, &failing);
    task_group_begin(&inner);
    add(&inner, &tidy);
    CHECK_STATUS(task_group_end(&inner, 0), -ECANCELED);
    CHECK(loop_time() == TASK_SECOND + TASK_MINUTE);
    CHECK_STATUS(task_group_end(&outer, -ECANCELED), -EIO);
    CHECK_RECORD("failing ends, tidy cancelled");
    check_no_trace();
    return 0;
}

/* Refusals. */

static int never(void *arg)
{
    (void)arg;
    check_failed("never run", __FILE__, __LINE__);
    return 0;
}

static void check_refused(struct task_group *group, int error)
{
    CHECK_STATUS(task_group_start(group, never, NULL), error);
    CHECK_STATUS((task_group_start)(group, never, NULL), error);
    CHECK(!task_group_create(group, never, NULL));
    CHECK(!(task_group_create)(group, never, NULL));
}

static int tries_to_add(void *arg)
{
    int status = task_sleep(TASK_HOUR);

    check_refused(arg, -ESHUTDOWN);
    return status;
}

static int a_group_that_is_ending_early_takes_no_children(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group); /* after a failure */
    add(&group, &failing);
    CHECK_STATUS(task_group_start(&group, tries_to_add, &group), 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    check_refused(&group, -ESHUTDOWN);
    CHECK_STATUS(task_group_end(&group, -ECANCELED), -EIO);
    CHECK_RECORD("failing ends");

    task_group_begin(&group); /* after a failure of the body */
    CHECK_STATUS(task_group_start(&group, tries_to_add, &group), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_group_end(&group, -EAGAIN), -EAGAIN);

    task_group_begin(&group); /* after a cancel */
    CHECK_STATUS(task_group_start(&group, tries_to_add, &group), 0);
    task_group_cancel(&group);
    check_refused(&group, -ESHUTDOWN);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    check_no_trace();

    task_group_begin(&group); /* after a request to the owner */
    CHECK_STATUS(task_group_start(&group, tries_to_add, &group), 0);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_group_end(&group, 0), -ECANCELED);
    return 0;
}

static int a_group_that_is_not_open_takes_no_children(void *arg)
{
    struct task_group group = {.n_failures = 0};

    (void)arg;
    check_refused(&group, -EINVAL);
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, NULL, NULL), -EINVAL);
    CHECK(!task_group_create(&group, NULL, NULL));
    CHECK_STATUS(task_group_end(&group, 0), 0);
    check_refused(&group, -EINVAL);
    check_no_trace();
    return 0;
}

static int stops_with_an_open_group(void *arg)
{
    task_group_begin(arg);
    loop_stop(loop_current());
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_group_end(arg, -ECANCELED), -ECANCELED); /* the loop's */
    return 0;
}

static int may_not_use(void *arg)
{
    CHECK_STATUS(task_group_start(arg, never, NULL), -EINVAL);
    return 0;
}

static void a_group_belongs_to_its_loop(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task_group group;

    (void)state;
    assert_int_equal(loop_run_main(loop, stops_with_an_open_group, &group),
                     -EAGAIN);
    assert_int_equal(task_group_start(&group, never, NULL), -EPERM);
    assert_int_equal(run_virtual(may_not_use, &group), 0);
    task_group_cancel(&group); /* allowed between runs, as task_cancel is */
    test_loop_free(loop, &count);
    assert_record("");
}

static int fails_or_multiplies(void *arg)
{
    struct generation own = *(struct generation *)arg;
    int error = 0;

    ++*own.count;
    if (*own.count == 100)
        return -EIO;
    for (int i = 0; i < 2; i++)
        error = task_group_start(own.group, fails_or_multiplies, arg);
    CHECK(!error || error == -ESHUTDOWN);
    return task_sleep(TASK_SECOND);
}

static int children_that_keep_multiplying_end_after_a_failure(void *arg)
{
    struct task_group group;
    int count = 0;
    struct generation first = {&group, 0, &count};

    (void)arg;
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, fails_or_multiplies, &first), 0);
    CHECK_STATUS(task_group_end(&group, 0), -EIO);
    CHECK(task_group_failures(&group, NULL, 0) == 1);
    CHECK(count < 300);
    check_no_trace();
    return 0;
}

/* Cancelling a group. */

static int a_cancelled_group_ends_with_success(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &slow);
    add(&group, &tidy);
    CHECK(loop_call_later(TASK_SECOND, cancel_group, &group) > 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK(loop_time() == TASK_SECOND);
    CHECK_STATUS(task_group_end(&group, -ECANCELED), 0);
    CHECK(loop_time() == TASK_SECOND + TASK_MINUTE);
    CHECK_RECORD("slow cancelled, tidy cancelled");
    check_no_trace();
    return 0;
}

static int cancels_it(void *arg)
{
    task_group_cancel(arg);
    task_group_cancel(arg);
    return 0;
}

static int a_child_may_cancel_its_group_while_the_end_waits(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &slow);
    CHECK_STATUS(task_group_start(&group, cancels_it, &group), 0);
    CHECK_STATUS(task_group_end(&group, 5), 5);
    CHECK_RECORD("slow cancelled");
    CHECK(loop_time() == 0);
    check_no_trace();
    return 0;
}

static int a_group_cancelled_by_its_owner_interrupts_it(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &tidy);
    CHECK_STATUS(task_yield(), 0);
    task_group_cancel(&group);
    task_group_cancel(&group);
    CHECK(requests() == 1);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_yield(), 0);
    task_group_cancel(&group);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_group_end(&group, -ECANCELED), 0);
    CHECK_RECORD("tidy cancelled");
    task_group_cancel(&group); /* after its end: nothing */
    task_group_begin(&group);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    check_no_trace();
    return 0;
}

static int a_group_may_be_cancelled_before_it_begins(void *arg)
{
    struct task_group group = {.n_failures = 0};
    struct task_group other = {.n_failures = 0};

    (void)arg;
    task_group_cancel(&group);
    task_group_cancel(&group);
    task_group_begin(&other);
    CHECK_STATUS(task_yield(), 0);
    task_group_begin(&group);
    check_refused(&group, -ESHUTDOWN);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_group_end(&group, -ECANCELED), 0);
    CHECK_STATUS(task_group_end(&other, 0), 0);
    task_group_begin(&group); /* once only */
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    check_no_trace();
    return 0;
}

static int cancel_and_failure_in_one_turn(void *arg)
{
    int failure = -EIO;
    struct task_group group;

    (void)arg;
    for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
        task_group_begin(&group);
        if (cancel_first)
            CHECK_STATUS(task_group_start(&group, cancels_it, &group), 0);
        CHECK_STATUS(task_group_start(&group, returns, &failure), 0);
        if (!cancel_first)
            CHECK_STATUS(task_group_start(&group, cancels_it, &group), 0);
        CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
        CHECK_STATUS(task_group_end(&group, -ECANCELED), -EIO);
        CHECK(task_group_failures(&group, NULL, 0) == 1);
        check_no_trace();
    }
    return 0;
}

/* The group's cancel and one from outside, in both orders, and in both places.
 */
static int cancel_and_request_in_one_turn(void *arg)
{
    struct plan *plans[] = {&slow, NULL};

    (void)arg;
    for (int i = 0; i < 4; i++) {
        struct family family = {.plans = plans, .sleeps = i & 1};
        struct task *owner = start(owns, &family);

        CHECK_STATUS(task_yield(), 0);
        if (i & 2)
            CHECK(task_cancel(owner));
        task_group_cancel(&family.group);
        if (!(i & 2))
            CHECK(task_cancel(owner));
        CHECK_STATUS(task_await(owner), 0);
        if (i == 1) /* the children are asked before the owner */
            CHECK_RECORD("slow cancelled, body -125, end -125 count 1, then 0");
        else
            CHECK_RECORD(i == 3 ? "body -125, slow cancelled, "
                                  "end -125 count 1, then 0"
                                : "slow cancelled, end -125 count 1, then 0");
    }
    return 0;
}

/* The owner was woken by the group's cancel through what it awaits; the request
 * from outside is told by the group's end, and not once more. */
static int awaits_in_a_group(void *arg)
{
    struct family *family = arg;
    int status;

    task_group_begin(&family->group);
    status = task_await(task_future_create());
    status = task_group_end(&family->group, status);
    record("end %d count %u, then %d", status, requests(), task_yield());
    return 0;
}

static int a_request_after_a_granted_cancel_is_told_once(void *arg)
{
    struct family family = {.plans = NULL};
    struct task *owner = start(awaits_in_a_group, &family);

    (void)arg;
    task_group_cancel(&family.group);
    CHECK(task_cancel(owner));
    CHECK_STATUS(task_await(owner), 0);
    CHECK_RECORD("end -125 count 1, then 0");
    return 0;
}

/* Time-outs around groups, and in them. */

static int a_time_out_around_a_group_is_one_time_out(void *arg)
{
    struct task_timeout timeout;
    struct task_group group;

    (void)arg;
    for (int in_body = 0; in_body < 2; in_body++) {
        task_time began = loop_time();
        int status = 0;

        task_timeout_begin(&timeout, TASK_SECOND);
        task_group_begin(&group);
        add(&group, &slow);
        add(&group, &tidy);
        if (in_body)
            status = task_sleep(TASK_HOUR);
        status = task_group_end(&group, status);
        CHECK_STATUS(status, -ECANCELED);
        CHECK_STATUS(task_timeout_end(&timeout, status), -ETIMEDOUT);
        CHECK(loop_time() == began + TASK_SECOND + TASK_MINUTE);
        CHECK_RECORD("slow cancelled, tidy cancelled");
        check_no_trace();
    }
    return 0;
}

static int fails_when_it_has_cleaned_up(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    task_sleep(TASK_MINUTE);
    return -EIO;
}

/* The time-out has asked meanwhile, and takes back its own request only. */
static int a_request_that_a_failure_hides_survives_an_outer_time_out(void *arg)
{
    struct task_timeout timeout;
    struct task_group group;
    int status;

    (void)arg;
    for (task_time limit = TASK_SECOND; limit <= TASK_HOUR;
         limit += TASK_HOUR - TASK_SECOND) {
        CHECK(task_cancel(task_current()));
        task_timeout_begin(&timeout, limit);
        task_group_begin(&group);
        CHECK_STATUS(
            task_group_start(&group, fails_when_it_has_cleaned_up, NULL), 0);
        status = task_sleep(TASK_HOUR);
        CHECK_STATUS(status, -ECANCELED);
        status = task_group_end(&group, status);
        CHECK_STATUS(status, -EIO);
        CHECK_STATUS(task_timeout_end(&timeout, status), -EIO);
        CHECK(task_timeout_expired(&timeout) == (limit == TASK_SECOND));
        CHECK_STATUS(task_yield(), -ECANCELED);
        CHECK_STATUS(task_yield(), 0);
        CHECK_STATUS(task_uncancel(task_current()), 0);
    }
    return 0;
}

static int a_failure_in_the_clean_up_leaves_instead_of_the_time_out(void *arg)
{
    struct task_timeout timeout;
    struct task_group group;

    (void)arg;
    for (int in_body = 0; in_body < 2; in_body++) {
        int status = 0;

        task_timeout_begin(&timeout, TASK_SECOND);
        task_group_begin(&group);
        add(&group, &clumsy);
        if (in_body)
            status = task_sleep(TASK_HOUR);
        status = task_group_end(&group, status);
        CHECK_STATUS(status, -EPIPE);
        CHECK(requests() == 1); /* the time-out's, which is to come */
        CHECK_STATUS(task_timeout_end(&timeout, status), -EPIPE);
        CHECK(task_timeout_expired(&timeout));
        CHECK_RECORD("clumsy cancelled");
        check_no_trace();
    }
    return 0;
}

static int a_re_armed_time_out_is_delivered_between_the_two_ends(void *arg)
{
    struct task_timeout timeout;
    struct task_group group;

    (void)arg;
    task_timeout_begin(&timeout, TASK_SECOND);
    task_group_begin(&group);
    add(&group, &clumsy);
    CHECK_STATUS(task_group_end(&group, 0), -EPIPE);
    CHECK_STATUS(task_yield(), -ECANCELED);
    CHECK_STATUS(task_timeout_end(&timeout, -ECANCELED), -ETIMEDOUT);
    CHECK_RECORD("clumsy cancelled");
    check_no_trace();
    return 0;
}

static int a_time_out_in_a_group_leaves_the_children_alone(void *arg)
{
    struct task_timeout timeout;
    struct task_group group;
    int status;

    (void)arg;
    task_group_begin(&group);
    add(&group, &slow);
    task_timeout_begin(&timeout, TASK_SECOND);
    status = task_timeout_end(&timeout, task_sleep(TASK_MINUTE));
    CHECK_STATUS(status, -ETIMEDOUT);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    CHECK_RECORD("slow ends");
    check_no_trace();
    return 0;
}

static int a_failure_and_an_inner_deadline_in_one_turn(void *arg)
{
    struct task_timeout timeout;
    struct task_group group;
    int status;

    (void)arg;
    task_group_begin(&group);
    add(&group, &failing);
    CHECK_STATUS(task_yield(), 0);
    task_timeout_begin_at(&timeout, TASK_SECOND);
    status = task_timeout_end(&timeout, task_sleep(TASK_MINUTE));
    /* The deadline came first: the failure is told by the next call. */
    CHECK(task_timeout_expired(&timeout));
    CHECK_STATUS(status, -ECANCELED);
    CHECK_STATUS(task_group_end(&group, status), -EIO);
    CHECK_RECORD("failing ends");
    check_no_trace();
    return 0;
}

/* The list of failures. */

static int the_first_failures_are_kept_and_all_are_counted(void *arg)
{
    struct task_failure failures[12];
    struct task_group group;
    int statuses[11];

    (void)arg;
    task_group_begin(&group);
    for (int i = 0; i < 11; i++) {
        statuses[i] = -(i + 1);
        CHECK_STATUS(task_group_start(&group, returns, &statuses[i]), 0);
    }
    CHECK_STATUS(task_group_end(&group, 0), -1);
    memset(failures, 0xff, sizeof failures);
    CHECK(task_group_failures(&group, failures, 12) == 11);
    for (int i = 0; i < TASK_GROUP_FAILURES; i++) {
        CHECK(failures[i].status == -(i + 1));
        CHECK(failures[i].id == (uint64_t)i + 2);
    }
    CHECK(failures[TASK_GROUP_FAILURES].status == -1); /* untouched */
    memset(failures, 0xff, sizeof failures);
    CHECK(task_group_failures(&group, failures, 2) == 11);
    CHECK(failures[1].status == -2 && failures[2].status == -1);
    CHECK(task_group_failures(&group, NULL, 0) == 11);
    task_group_begin(&group);
    CHECK(task_group_failures(&group, failures, 12) == 0);
    return task_group_end(&group, 0);
}

static int failures_have_names_shortened_to_fit(void *arg)
{
    static const char *const names[] = {
        "short", "", "exactly thirty-one characters..",
        "these are thirty-two characters.", NULL};
    struct task_failure failures[5];
    struct task_group group;
    int failure = -EIO;

    (void)arg;
    task_group_begin(&group);
    for (int i = 0; i < 5; i++) {
        struct task *child = task_group_create(&group, returns, &failure);

        task_set_name(child, names[i]);
        task_detach(child);
    }
    CHECK_STATUS(task_group_end(&group, 0), -EIO);
    CHECK(task_group_failures(&group, failures, 5) == 5);
    for (int i = 0; i < 3; i++)
        CHECK(!strcmp(failures[i].name, names[i]));
    CHECK(!strcmp(failures[3].name, "these are thirty-two characters"));
    CHECK(!strcmp(failures[4].name, "task-6"));
    return 0;
}

/* Memory. */

static int is_short(void *arg)
{
    ++*(unsigned *)arg;
    return 0;
}

struct counted {
    struct memory_count *count;
    unsigned n;
};

static int has_many_short_children(void *arg)
{
    struct counted *counted = arg;
    struct task_group group;
    size_t bytes = 0;
    unsigned run = 0;

    task_group_begin(&group);
    for (unsigned i = 0; i < counted->n; i += 1000) {
        for (int j = 0; j < 1000; j++)
            CHECK_STATUS(task_group_start(&group, is_short, &run), 0);
        CHECK_STATUS(task_yield(), 0);
        if (!bytes)
            bytes = counted->count->bytes;
    }
    CHECK(counted->count->bytes == bytes);
    CHECK(run >= counted->n);
    return task_group_end(&group, 0);
}

static void a_million_short_children_keep_memory_flat(void **state)
{
    struct memory_count count = {0};
    struct counted counted = {&count, test_rounds(1000000)};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, has_many_short_children, &counted), 0);
    test_loop_free(loop, &count);
}

/* With the k-th allocation refused; 0: it was not reached. */

static int ends_at_once(void *arg)
{
    ++*(int *)arg;
    return task_sleep(TASK_SECOND);
}

enum { N_CHILDREN = 300 };

static int starts_children_while_memory_is_short(void *arg)
{
    struct memory_count *count = arg;
    struct task_group group;
    int n_made = 0;
    int n_run = 0;

    task_group_begin(&group);
    for (int i = 0; i < N_CHILDREN; i++) {
        int error = task_group_start(&group, ends_at_once, &n_run);

        CHECK(!error || error == -ENOMEM);
        n_made += !error;
    }
    CHECK(n_made >= N_CHILDREN - 1);
    CHECK_STATUS(task_group_start(&group, ends_at_once, &n_run), 0); /* again */
    CHECK_STATUS(task_group_end(&group, 0), 0);
    CHECK(n_run == n_made + 1);
    CHECK(stats().tasks == 1);
    return count->fail_at ? 0 : 1;
}

static int arms_and_starts(void *arg)
{
    struct memory_count *count = *(struct memory_count **)arg;

    count->fail_at = ((size_t *)arg)[1];
    return starts_children_while_memory_is_short(count);
}

static void a_refused_allocation_refuses_one_child(void **state)
{
    size_t k = 0;
    int failed = 1;

    (void)state;
    for (; failed; k++) {
        struct memory_count count = {0};
        struct loop *loop = test_loop_new(&count);
        size_t arg[2] = {(size_t)&count, k + 1};

        failed = loop_run_main(loop, arms_and_starts, arg);
        count.fail_at = 0;
        test_loop_free(loop, &count);
    }
    assert_true(k > 3);
}

/* A name cannot be made for the list: it has one all the same. */
static int fails_while_memory_is_short(void *arg)
{
    struct memory_count *count = arg;
    struct task_failure failure;
    struct task_group group;
    int status = -EIO;

    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, returns, &status), 0);
    count->fail_at = 1;
    CHECK_STATUS(task_group_end(&group, 0), -EIO);
    CHECK(task_group_failures(&group, &failure, 1) == 1);
    CHECK(!strcmp(failure.name, "task"));
    return 0;
}

static void a_failure_is_listed_when_memory_is_short(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, fails_while_memory_is_short, &count),
                     0);
    test_loop_free(loop, &count);
}

/* Misuse. */

static void a_group_begun_outside_a_loop_says_so_at_its_end(void **state)
{
    struct task_group group;

    (void)state;
    memset(&group, 0xff, sizeof group);
    task_group_begin(&group);
    assert_int_equal(task_group_start(&group, never, NULL), -EPERM);
    assert_null(task_group_create(&group, never, NULL));
    task_group_cancel(&group);
    assert_int_equal(task_group_failures(&group, NULL, 0), 0);
    assert_int_equal(task_group_end(&group, 7), -EPERM);
}

static void begin_in_callback(void *arg)
{
    task_group_begin(arg);
    CHECK_STATUS(task_group_start(arg, never, NULL), -EINVAL);
}

static int a_group_begun_in_a_callback_says_so_at_its_end(void *arg)
{
    struct task_group group;

    (void)arg;
    CHECK(loop_call_soon(begin_in_callback, &group) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_group_start(&group, never, NULL), -EINVAL);
    CHECK_STATUS(task_group_end(&group, 7), -EPERM);
    check_no_trace();
    return 0;
}

static int begins_and_ends(void *arg)
{
    task_group_begin(arg);
    return task_group_end(arg, 7);
}

static void begin_and_end_in_callback(void *arg)
{
    task_group_begin(arg);
    CHECK_STATUS(task_group_end(arg, 7), -EPERM);
}

static int a_group_begun_while_it_is_anothers_is_left_alone(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &failing);
    CHECK_STATUS(task_await(task_create(begins_and_ends, &group)), -EALREADY);
    CHECK(loop_call_soon(begin_and_end_in_callback, &group) > 0);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_group_end(&group, -ECANCELED), -EIO);
    CHECK(task_group_failures(&group, NULL, 0) == 1);
    CHECK_RECORD("failing ends");
    check_no_trace();
    return 0;
}

static int a_group_begun_again_while_it_is_open_says_so(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    add(&group, &failing);
    task_group_begin(&group);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    task_group_begin(&group); /* forgets nothing */
    CHECK_STATUS(task_group_end(&group, 0), -EALREADY);
    CHECK(task_group_failures(&group, NULL, 0) == 1);
    CHECK_STATUS(task_group_end(&group, -ECANCELED), -EALREADY);
    CHECK_STATUS(task_group_end(&group, -ECANCELED), -EIO);
    CHECK_RECORD("failing ends");
    check_no_trace();
    return 0;
}

static int ends_out_of_order(void *arg)
{
    struct task_group outer;
    struct task_group inner;

    (void)arg;
    task_group_begin(&outer);
    task_group_begin(&inner);
    return task_group_end(&outer, 0);
}

static int ends_within_a_time_out(void *arg)
{
    struct task_group outer;
    struct task_timeout inner;

    (void)arg;
    task_group_begin(&outer);
    task_timeout_begin(&inner, 1);
    return task_group_end(&outer, 0);
}

static int ends_twice(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    (void)task_group_end(&group, 0);
    return task_group_end(&group, 0);
}

static int ends_its_own(void *arg)
{
    return task_group_end(arg, 0);
}

static int has_a_child_that_ends_it(void *arg)
{
    struct task_group group;

    (void)arg;
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, ends_its_own, &group), 0);
    return task_group_end(&group, 0);
}

static int leaves_open(void *arg)
{
    task_group_begin(arg);
    return 0;
}

static int has_a_task_that_leaves_one_open(void *arg)
{
    struct task_group group;

    (void)arg;
    return task_await(task_create(leaves_open, &group));
}

static void what_cannot_go_on_aborts_and_says_why(void **state)
{
    static const struct {
        task_fn *fn;
        const char *sentence;
    } cases[] = {
        {ends_out_of_order, "ended a scope that is not its innermost\n"},
        {ends_within_a_time_out, "ended a scope that is not its innermost\n"},
        {ends_twice, "ended a scope that is not open\n"},
        {has_a_child_that_ends_it, "task 2 \"task-2\", created at "},
        {has_a_child_that_ends_it, "ended a scope of another task's\n"},
        {has_a_task_that_leaves_one_open, "ended in the midst of a scope\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        task_fn *fn = cases[i].fn;

        assert_true(child_aborts(run_it, &fn, cases[i].sentence));
    }
}

/* A child awaits the owner, which waits for its children. */

struct circle {
    struct task *owner;
    int status;
};

static int awaits_its_owner(void *arg)
{
    struct circle *circle = arg;

    circle->status = task_await(task_retain(circle->owner));
    return circle->status;
}

static int is_awaited_by_its_child(void *arg)
{
    struct circle *circle = arg;
    struct task_group group;
    int status;

    circle->owner = task_current();
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, awaits_its_owner, circle), 0);
    if (circle->status)
        CHECK_STATUS(task_yield(), 0); /* it waits before we do */
    status = task_group_end(&group, 0);
    CHECK_STATUS(status, -EDEADLK);
    return 0;
}

static int a_child_cannot_await_an_owner_that_waits_for_it(void *arg)
{
    struct circle circle = {.status = 0};

    (void)arg;
    CHECK_STATUS(task_await(task_create(is_awaited_by_its_child, &circle)), 0);
    CHECK_STATUS(circle.status, -EDEADLK);
    return 0;
}

static int awaits_a_circle(void *arg)
{
    struct task *task = task_create(is_awaited_by_its_child, arg);

    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(task_cancel(task)); /* each is asked once: it comes to an end */
    CHECK(task_cancelling(task) == 1);
    task_detach(task);
    return 0;
}

static void an_owner_that_waits_for_its_awaiter_is_a_deadlock(void **state)
{
    struct circle circle = {.status = 1};

    (void)state;
    assert_int_equal(run_virtual(awaits_a_circle, &circle), 0);
    assert_record("deadlock(-35), shutdown(task-2, -110), "
                  "shutdown(task-3, -110)");
}

/* A group whose owner was dropped with its loop. */

static struct task_group lasting;

static int ignores_all(void *arg)
{
    (void)arg;
    for (;;)
        task_sleep(TASK_HOUR);
    return 0;
}

static int stays_in_a_group(void *ends)
{
    task_group_begin(&lasting);
    CHECK_STATUS(task_group_start(&lasting, ignores_all, NULL), 0);
    return ends ? task_group_end(&lasting, 0) : ignores_all(NULL);
}

static int leaves_a_group(void *ends)
{
    task_detach(task_create(stays_in_a_group, ends));
    return task_yield();
}

static int returns_five(void *arg)
{
    (void)arg;
    return 5;
}

static int begins_it_anew(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_group_start(&lasting, returns_five, NULL), -EINVAL);
    CHECK(!task_group_create(&lasting, returns_five, NULL));
    task_group_cancel(&lasting);
    task_group_begin(&lasting);
    CHECK_STATUS(task_await(task_group_create(&lasting, returns_five, NULL)),
                 5);
    return task_group_end(&lasting, 6);
}

static void a_group_whose_owner_is_dropped_is_over(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.shutdown_timeout = TASK_MINUTE;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run_with(options, leaves_a_group, i ? &options : NULL),
                         0);
        assert_record("shutdown(task-2, -110), shutdown(task-3, -110)");
        assert_int_equal(run_virtual(begins_it_anew, NULL), 6);
    }
}

static struct task_group moved;

static int cancels_it_early(void *arg)
{
    (void)arg;
    task_group_cancel(&moved);
    return 0;
}

static int begins_it(void *arg)
{
    (void)arg;
    task_group_begin(&moved);
    check_refused(&moved, -ESHUTDOWN);
    CHECK_STATUS(task_yield(), -ECANCELED);
    return task_group_end(&moved, -ECANCELED);
}

static void *run_begins_it(void *loop)
{
    return (void *)(intptr_t)loop_run_main(loop, begins_it, NULL);
}

static void a_cancel_before_the_begin_is_known_in_any_thread(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    pthread_t thread;
    void *status = loop;

    (void)state;
    moved = (struct task_group){.n_failures = 0};
    assert_int_equal(loop_run_main(loop, cancels_it_early, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_begins_it, loop), 0);
    assert_int_equal(pthread_join(thread, &status), 0);
    assert_int_equal((intptr_t)status, 0);
    test_loop_free(loop, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(the_end_waits_for_all_children),
        in_main(an_empty_group_ends_at_once),
        in_main(what_the_memory_held_does_not_matter),
        in_main(a_group_need_not_be_initialised),
        in_main(children_make_children_while_the_end_waits),
        in_main(anyone_may_make_children),
        in_main(a_child_that_comes_when_the_last_has_ended_is_waited_for),
        in_main_seeded(a_child_may_come_and_go_before_the_owner_runs),
        in_main(a_child_cancelled_alone_is_no_failure),
        in_main(a_child_that_returns_ecanceled_by_itself_is_no_failure),
        in_main(a_failure_interrupts_the_body_and_the_siblings),
        in_main(a_failure_is_noticed_while_the_end_waits),
        in_main(a_child_that_the_body_waits_for_is_asked_once),
        in_main(a_request_delivered_long_ago_is_not_delivered_for_a_scope),
        in_main(one_taken_back_undelivered_does_not_come_after_the_group),
        in_main(a_request_that_comes_after_one_was_taken_back_is_delivered),
        in_main(the_body_may_go_on_after_a_failure),
        in_main(a_body_that_has_not_heard_of_a_failure_is_not_told_later),
        in_main(the_first_failure_in_time_is_the_groups),
        in_main(the_bodys_own_failure_comes_first_and_all_are_listed),
        in_main(a_body_that_fails_cancels_the_children),
        in_main(children_that_have_not_begun_run_to_their_first_call),
        in_main(a_failure_without_a_handle_is_not_reported_as_unread),
        in_main(a_child_awaited_by_the_body_gives_its_status_first),
        in_main(a_child_awaited_by_a_sibling_gives_its_status_first),
        in_main(a_request_in_the_end_is_passed_on_to_all_children),
        in_main(a_request_in_the_body_cancels_the_children_at_the_end),
        in_main(children_that_swallow_a_request_do_not_undo_it),
        in_main(a_failure_in_the_clean_up_leaves_and_the_request_comes_next),
        in_main(a_body_that_turns_a_request_into_a_failure_has_used_it_up),
        in_main(a_body_that_swallows_a_request_waits_for_its_children),
        in_main(a_request_as_the_last_child_ends_comes_next),
        in_main(a_second_request_reaches_the_clean_up_of_the_children),
        in_main(a_request_there_on_entry_is_passed_on_if_there_are_children),
        in_main(a_request_and_a_failure_in_one_turn_are_both_told),
        in_main(inner_children_that_fail_when_cancelled_from_outside),
        in_main(two_nested_groups_fail_in_one_turn),
        in_main(an_outer_failure_ends_the_wait_of_an_inner_end),
        in_main(a_group_that_is_ending_early_takes_no_children),
        in_main(a_group_that_is_not_open_takes_no_children),
        behaviour(a_group_belongs_to_its_loop),
        in_main(children_that_keep_multiplying_end_after_a_failure),
        in_main(a_cancelled_group_ends_with_success),
        in_main(a_child_may_cancel_its_group_while_the_end_waits),
        in_main(a_group_cancelled_by_its_owner_interrupts_it),
        in_main(a_group_may_be_cancelled_before_it_begins),
        behaviour(a_cancel_before_the_begin_is_known_in_any_thread),
        in_main(cancel_and_failure_in_one_turn),
        in_main(cancel_and_request_in_one_turn),
        in_main(a_request_after_a_granted_cancel_is_told_once),
        in_main(a_time_out_around_a_group_is_one_time_out),
        in_main(a_request_that_a_failure_hides_survives_an_outer_time_out),
        in_main(a_failure_in_the_clean_up_leaves_instead_of_the_time_out),
        in_main(a_re_armed_time_out_is_delivered_between_the_two_ends),
        in_main(a_time_out_in_a_group_leaves_the_children_alone),
        in_main(a_failure_and_an_inner_deadline_in_one_turn),
        in_main(the_first_failures_are_kept_and_all_are_counted),
        in_main(failures_have_names_shortened_to_fit),
        behaviour(a_million_short_children_keep_memory_flat),
        behaviour(a_refused_allocation_refuses_one_child),
        behaviour(a_failure_is_listed_when_memory_is_short),
        behaviour(a_group_begun_outside_a_loop_says_so_at_its_end),
        in_main(a_group_begun_in_a_callback_says_so_at_its_end),
        in_main(a_group_begun_while_it_is_anothers_is_left_alone),
        in_main(a_group_begun_again_while_it_is_open_says_so),
        behaviour(what_cannot_go_on_aborts_and_says_why),
        in_main(a_child_cannot_await_an_owner_that_waits_for_it),
        behaviour(an_owner_that_waits_for_its_awaiter_is_a_deadlock),
        behaviour(a_group_whose_owner_is_dropped_is_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
