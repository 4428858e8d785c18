/* Hooks: what they are told, in which order; added, removed, failing. */
#include "bodies.h"
#include "loop.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

static const char *name_of(const struct task *task)
{
    return task ? task_name(task) : "callback";
}

/* Each says its letter, which is its argument, where there is more than one. */
#define SAY(format, ...)                                                       \
    do {                                                                       \
        CHECK(!task_current());                                                \
        CHECK_STATUS(task_yield(), -EPERM);                                    \
        record("%s" format, (const char *)arg, __VA_ARGS__);                   \
    } while (0)

static int say_run_begins(struct loop *loop, void *arg)
{
    CHECK(loop == loop_current());
    SAY("%s", "run");
    return 0;
}

static int say_run_ends(struct loop *loop, void *arg)
{
    CHECK(loop == loop_current());
    SAY("%s", "end");
    return 0;
}

static int say_poll_begins(struct loop *loop, void *arg)
{
    CHECK(loop == loop_current());
    SAY("%s", "poll");
    return 0;
}

static int say_poll_ends(struct loop *loop, void *arg)
{
    CHECK(loop == loop_current());
    SAY("%s", "polled");
    return 0;
}

static int say_created(struct task *task, void *arg)
{
    SAY("created %s", name_of(task));
    return 0;
}

static int say_ready(struct task *task, void *arg)
{
    SAY("ready %s", name_of(task));
    return 0;
}

static int say_begins(struct task *task, void *arg)
{
    SAY("%s(", name_of(task));
    return 0;
}

static int say_ends(struct task *task, void *arg)
{
    SAY(")%s", name_of(task));
    return 0;
}

static int say_ended(struct task *task, void *arg)
{
    SAY("ended %s %d", name_of(task), task_status(task));
    return 0;
}

static struct loop_hooks hooks_that_say(const char *prefix)
{
    return (struct loop_hooks){
        .run_begins = say_run_begins,
        .run_ends = say_run_ends,
        .poll_begins = say_poll_begins,
        .poll_ends = say_poll_ends,
        .task_created = say_created,
        .task_ready = say_ready,
        .step_begins = say_begins,
        .step_ends = say_ends,
        .task_ended = say_ended,
        .arg = text(prefix),
    };
}

static struct task *make(task_fn *fn, void *arg, const char *name)
{
    return task_create_with(fn, arg, &(struct task_options){.name = name});
}

static int awaits_two_children(void *arg)
{
    struct task *child = make(sleeps, NULL, "sleeper");

    (void)arg;
    task_set_name(task_current(), "main");
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_await(make(returns, &(int){3}, "quick")), 3);
    return task_await(child);
}

static void all_is_told_in_its_order(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_hooks hooks = hooks_that_say("");

    (void)state;
    assert_int_equal(loop_add_hooks(loop, &hooks), 0);
    assert_int_equal(loop_add_hooks(loop, &hooks), 0);
    assert_int_equal(loop_run_main(loop, awaits_two_children, NULL), 0);
    assert_record(
        "run, created task-1, ready task-1, "
        "task-1(, )main, created sleeper, ready sleeper, ready main, "
        "poll, polled, "
        "sleeper(, )sleeper, main(, )main, created quick, ready quick, "
        "poll, polled, "
        "quick(, )quick, ended quick 3, ready main, "
        "poll, polled, "
        "main(, )main, poll, polled, ready sleeper, "
        "sleeper(, )sleeper, ended sleeper 0, ready main, "
        "poll, polled, "
        "main(, )main, ended main 0, end");
    assert_int_equal(loop_remove_hooks(loop, &hooks), 0);
    assert_int_equal(loop_remove_hooks(loop, &hooks), 0);
    assert_int_equal(loop_run_main(loop, sleeps, NULL), 0);
    assert_record("");
    test_loop_free(loop, NULL);
}

static void quiet(void *arg)
{
    (void)arg;
}

static struct loop_hooks steps_only(const char *prefix)
{
    struct loop_hooks all = hooks_that_say(prefix);

    return (struct loop_hooks){.task_created = say_created,
                               .step_begins = say_begins,
                               .step_ends = say_ends,
                               .arg = all.arg};
}

static int has_a_callback_and_an_eager_task(void *arg)
{
    struct task_options options = {.name = "eager", .eager = true};
    struct task *eager;

    (void)arg;
    CHECK(loop_call_soon(quiet, NULL) > 0);
    eager = task_create_with(yields, NULL, &options);
    CHECK_STATUS(task_yield(), 0);
    return task_await(eager);
}

static void callbacks_and_eager_tasks_have_steps(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_hooks hooks = steps_only("");

    (void)state;
    assert_int_equal(loop_add_hooks(loop, &hooks), 0);
    assert_int_equal(
        loop_run_main(loop, has_a_callback_and_an_eager_task, NULL), 0);
    assert_record("created task-1, task-1(, created eager, eager(, )eager, "
                  ")task-1, callback(, )callback, eager(, )eager, task-1(, "
                  ")task-1");
    test_loop_free(loop, NULL);
}

/* Several. */

static void several_are_told_in_the_order_of_adding(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_hooks a = steps_only("a:");
    struct loop_hooks b = steps_only("b:");

    (void)state;
    assert_int_equal(loop_add_hooks(loop, &a), 0);
    assert_int_equal(loop_add_hooks(loop, &b), 0);
    assert_int_equal(loop_run_main(loop, returns, &(int){0}), 0);
    assert_record("a:created task-1, b:created task-1, a:task-1(, b:task-1(, "
                  "a:)task-1, b:)task-1");
    test_loop_free(loop, NULL);
    assert_ptr_equal(a.loop, NULL);
}

static int fail_to_begin(struct task *task, void *arg)
{
    say_begins(task, arg);
    return -EIO;
}

static void one_that_fails_is_called_no_more_and_the_others_go_on(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_hooks a = steps_only("a:");
    struct loop_hooks b = steps_only("b:");

    (void)state;
    a.step_begins = fail_to_begin;
    assert_int_equal(loop_add_hooks(loop, &a), 0);
    assert_int_equal(loop_add_hooks(loop, &b), 0);
    assert_int_equal(loop_run_main(loop, yields, NULL), 0);
    assert_record("a:created task-1, b:created task-1, a:task-1(, hook(-5), "
                  "b:task-1(, b:)task-1, b:task-1(, b:)task-1");
    assert_true(loop->scheduler.watches);
    b.step_begins = fail_to_begin;
    assert_int_equal(loop_run_main(loop, yields, NULL), 0);
    assert_record("b:created task-2, b:task-2(, hook(-5)");
    assert_false(loop->scheduler.watches);
    test_loop_free(loop, NULL);
}

/* Those of tasks come and go beside those of polls, which need no steps watched. */
static int has_hooks_of_tasks_for_a_while(void *arg)
{
    struct loop *loop = loop_current();
    struct loop_hooks hooks = steps_only("");
    struct task *before = make(yields, NULL, "before");

    (void)arg;
    task_set_name(task_current(), "main");
    CHECK(!loop->scheduler.watches);
    CHECK_STATUS(loop_add_hooks(loop, &hooks), 0);
    CHECK(loop->scheduler.watches);
    CHECK_STATUS(task_await(make(returns, &(int){0}, "meanwhile")), 0);
    CHECK_STATUS(loop_remove_hooks(loop, &hooks), 0);
    CHECK(!loop->scheduler.watches);
    CHECK_STATUS(task_await(make(yields, NULL, "after")), 0);
    CHECK_STATUS(loop_add_hooks(loop, &hooks), 0);
    CHECK_STATUS(task_await(make(returns, &(int){0}, "again")), 0);
    CHECK_STATUS(loop_remove_hooks(loop, &hooks), 0);
    return task_await(before);
}

static int cancel_main(struct loop *loop, void *arg)
{
    struct task **main = arg;

    (void)loop;
    if (*main)
        task_cancel(*main);
    return 0;
}

static int stop_the_loop(struct loop *loop, void *arg)
{
    (void)arg;
    loop_stop(loop);
    return 0;
}

static int ignore(struct task *task, void *arg)
{
    (void)task;
    (void)arg;
    return 0;
}

static void ignore_report(const struct loop_error *error, void *arg)
{
    (void)error;
    (void)arg;
}

static int64_t last_timer;

static int cancel_the_timer(struct loop *loop, void *arg)
{
    (void)loop;
    (void)arg;
    if (last_timer > 0)
        CHECK_STATUS(loop_call_cancel(last_timer), 0);
    last_timer = 0;
    return 0;
}

static int sets_a_timer(void *arg)
{
    last_timer = loop_call_later(TASK_HOUR, quiet, arg);
    return last_timer > 0 ? task_sleep(TASK_FOREVER) : -ENOMEM;
}

/* What is left can never end: it is not waited for. */
static void a_timer_that_is_cancelled_before_a_poll_was_the_last(void **state)
{
    struct loop_options options = {.on_error = ignore_report};
    struct loop *loop = loop_new(&options);
    struct loop_hooks hooks = {.poll_begins = cancel_the_timer};

    (void)state;
    assert_non_null(loop);
    assert_int_equal(loop_add_hooks(loop, &hooks), 0);
    assert_int_equal(loop_run_main(loop, sets_a_timer, NULL), -EDEADLK);
    assert_int_equal(loop_free(loop), 0);
}

static int n_told[8][2]; /* of each task: ready, steps */

static int count_ready(struct task *task, void *arg)
{
    (void)arg;
    n_told[task_id(task)][0]++;
    return 0;
}

static int count_steps(struct task *task, void *arg)
{
    (void)arg;
    n_told[task_id(task)][1]++;
    return 0;
}

static int yields_and_sleeps(void *arg)
{
    (void)arg;
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(i % 2 ? task_sleep(1000) : task_yield(), 0);
    return 0;
}

static int starts_six(void *arg)
{
    struct task *tasks[6];

    for (int i = 0; i < 6; i++)
        tasks[i] = task_create(yields_and_sleeps, arg);
    return task_gather(tasks, 6, NULL);
}

/* Each is told of as ready once a step, in whatever order a batch is. */
static void shuffled_tasks_are_ready_once_a_step(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct loop_options options = {.clock = LOOP_CLOCK_VIRTUAL,
                                       .seed = seed};
        struct loop_hooks hooks = {.task_ready = count_ready,
                                   .step_begins = count_steps};
        struct loop *loop = loop_new(&options);

        assert_non_null(loop);
        memset(n_told, 0, sizeof n_told);
        assert_int_equal(loop_add_hooks(loop, &hooks), 0);
        assert_int_equal(loop_run_main(loop, starts_six, NULL), 0);
        for (int id = 1; id <= 7; id++)
            assert_int_equal(n_told[id][0], n_told[id][1]);
        assert_int_equal(n_told[2][1], 5);
        assert_int_equal(loop_free(loop), 0);
    }
}

static struct loop_hooks steps_begin;
static bool went_on;

static int watches_steps(void *arg)
{
    (void)arg;
    return loop_add_hooks(loop_current(), &steps_begin);
}

static int has_an_eager_child(void *arg)
{
    struct task_options eager = {.eager = true};

    (void)arg;
    task_detach(task_create_with(watches_steps, NULL, &eager));
    went_on = true;
    return 0;
}

static void starts_an_eager_task(void *arg)
{
    struct task_options eager = {.eager = true};

    (void)arg;
    task_detach(task_create_with(has_an_eager_child, NULL, &eager));
    CHECK(went_on);
}

static int calls_what_starts_one(void *arg)
{
    CHECK(!loop_current()->scheduler.watches);
    steps_begin = (struct loop_hooks){.step_begins = ignore};
    went_on = false;
    CHECK(loop_call_soon(starts_an_eager_task, arg) > 0);
    CHECK_STATUS(task_sleep(1), 0);
    CHECK(went_on);
    return loop_remove_hooks(loop_current(), &steps_begin);
}

/* The outer one, which a callback started, goes on. */
static void an_eager_task_in_another_may_have_steps_watched(void **state)
{
    struct loop *loop =
        loop_new(&(struct loop_options){.clock = LOOP_CLOCK_VIRTUAL});

    (void)state;
    assert_non_null(loop);
    assert_int_equal(loop_run_main(loop, calls_what_starts_one, NULL), 0);
    assert_int_equal(loop_free(loop), 0);
}

static int sleeps_for_an_hour(void *arg)
{
    *(struct task **)arg = task_current();
    return task_sleep(TASK_HOUR);
}

/* As if they had done so before the wait began: else this takes an hour. */
static void what_is_woken_before_a_poll_is_not_waited_for(void **state)
{
    struct task *main = NULL;
    struct loop *loop = loop_new(&(struct loop_options){.debug = false});
    struct loop_hooks cancels = {.poll_begins = cancel_main, .arg = &main};
    struct loop_hooks stops = {.poll_begins = stop_the_loop};

    (void)state;
    assert_non_null(loop);
    assert_int_equal(loop_add_hooks(loop, &cancels), 0);
    assert_int_equal(loop_run_main(loop, sleeps_for_an_hour, &main),
                     -ECANCELED);
    assert_int_equal(loop_remove_hooks(loop, &cancels), 0);
    assert_int_equal(loop_add_hooks(loop, &stops), 0);
    assert_int_equal(loop_run_main(loop, sleeps_for_an_hour, &main), -EAGAIN);
    assert_int_equal(loop_free(loop), 0);
}

/* Long enough for the first look to tell how long a turn takes. */
static int yields_on_and_on(void *n_steps)
{
    task_time begin = loop_time();
    int *n = n_steps;

    while (loop_time() < begin + 20 * TASK_MICROSECOND)
        continue;
    while (*n < 100000 && !task_yield())
        ++*n;
    return 0;
}

/* On the real clock, where a batch may follow another without a look. */
static void a_stop_in_a_look_leaves_the_run_one_batch(void **state)
{
    struct loop_hooks stops[] = {{.poll_begins = stop_the_loop},
                                 {.poll_ends = stop_the_loop}};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct loop *loop = loop_new(&(struct loop_options){.debug = false});
        int n = 0;

        assert_non_null(loop);
        assert_int_equal(loop_add_hooks(loop, &stops[i]), 0);
        assert_int_equal(loop_run_main(loop, yields_on_and_on, &n), -EAGAIN);
        assert_int_equal(n, 1);
        assert_int_equal(loop_free(loop), 0);
    }
}

static void those_of_polls_alone_leave_steps_unwatched(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_hooks polls = {.poll_begins = say_poll_begins, .arg = text("")};

    (void)state;
    assert_int_equal(loop_add_hooks(loop, &polls), 0);
    assert_int_equal(loop_run_main(loop, has_hooks_of_tasks_for_a_while, NULL),
                     0);
    assert_record("poll, created meanwhile, before(, )before, "
                  "meanwhile(, )meanwhile, poll, before(, )before, main(, "
                  "poll, poll, poll, poll, created again, again(, )again, "
                  "poll, main(");
    test_loop_free(loop, NULL);
}

static struct loop_hooks first;
static struct loop_hooks second;
static struct loop_hooks third;

static int remove_both(struct task *task, void *arg)
{
    say_begins(task, arg);
    CHECK_STATUS(loop_remove_hooks(loop_current(), &first), 0);
    CHECK_STATUS(loop_remove_hooks(loop_current(), &second), 0);
    CHECK_STATUS(loop_add_hooks(loop_current(), &third), 0);
    return 0;
}

static void one_may_remove_itself_and_others_and_add_some(void **state)
{
    struct loop *loop = test_loop_new(NULL);

    (void)state;
    first = steps_only("a:");
    second = steps_only("b:");
    third = steps_only("c:");
    first.step_begins = remove_both;
    assert_int_equal(loop_add_hooks(loop, &first), 0);
    assert_int_equal(loop_add_hooks(loop, &second), 0);
    assert_int_equal(loop_run_main(loop, returns, &(int){0}), 0);
    assert_record("a:created task-1, b:created task-1, a:task-1(");
    assert_int_equal(loop_run_main(loop, returns, &(int){0}), 0);
    assert_record("c:created task-2, c:task-2(, "
                  "c:)task-2");
    test_loop_free(loop, NULL);
}

/* Steps are watched anyway: what is told begins with the next one all the same. */
static int adds_and_starts_one_at_once(void *arg)
{
    struct task_options eager = {.name = "eager", .eager = true};
    struct loop_hooks *hooks = arg;
    struct task *task;

    task_set_name(task_current(), "main");
    CHECK(loop_current()->scheduler.watches);
    CHECK_STATUS(loop_add_hooks(loop_current(), hooks), 0);
    task = task_create_with(yields, NULL, &eager);
    CHECK_STATUS(task_yield(), 0);
    return task_await(task);
}

static void those_added_in_a_step_are_not_told_of_its_end(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_hooks others = {.step_begins = ignore};
    struct loop_hooks hooks = steps_only("");

    (void)state;
    hooks.task_ended = say_ended;
    assert_int_equal(loop_add_hooks(loop, &others), 0);
    assert_int_equal(loop_run_main(loop, adds_and_starts_one_at_once, &hooks),
                     0);
    assert_record("created eager, eager(, )eager, eager(, )eager, "
                  "ended eager 0, main(, )main, ended main 0");
    assert_int_equal(loop_free(loop), 0);
}

/* What a loop is told of while it does not run. */

static struct loop_hooks ready_only(const char *prefix)
{
    struct loop_hooks all = hooks_that_say(prefix);

    return (struct loop_hooks){.run_begins = say_run_begins,
                               .task_created = say_created,
                               .task_ready = say_ready,
                               .step_begins = say_begins,
                               .arg = all.arg};
}

static int cancel_the_sleeper(struct loop *loop, void *arg)
{
    (void)loop;
    task_cancel(*(struct task **)arg);
    return 0;
}

static struct task *begin_to_sleep(struct loop *loop)
{
    static struct task *current;
    struct task *task = loop_create_task(loop, sleeps_for_an_hour, &current);

    task_set_name(task, "sleeper");
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_record("run, created sleeper, ready sleeper, sleeper(");
    task_detach(task);
    return task;
}

static void what_is_woken_between_turns_is_told_of(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_hooks hooks = ready_only("");
    struct task *task;
    struct loop_hooks cancels = {.run_begins = cancel_the_sleeper,
                                 .arg = &task};

    (void)state;
    assert_int_equal(loop_add_hooks(loop, &hooks), 0);
    task = begin_to_sleep(loop);
    task_cancel(task);
    assert_record("");
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_record("run, ready sleeper, sleeper(");

    task = begin_to_sleep(loop);
    assert_int_equal(loop_add_hooks(loop, &cancels), 0);
    assert_int_equal(loop_run_turn(loop, 0), 0);
    assert_record("run, ready sleeper, sleeper(");
    assert_int_equal(loop_remove_hooks(loop, &cancels), 0);

    begin_to_sleep(loop);
    test_loop_free(loop, NULL); /* which cancels it */
    assert_record("run, ready sleeper, sleeper(");
}

/* A hook makes a task when it hears of one that was made before an eager one. */

static bool made_another;

static int quick(void *arg)
{
    (void)arg;
    return 0;
}

static int make_another(struct task *task, void *arg)
{
    say_created(task, arg);
    if (!made_another && (made_another = true))
        task_detach(make(quick, NULL, "another"));
    return 0;
}

static int has_one_and_an_eager_one(void *arg)
{
    struct task_options options = {.name = "eager", .eager = true};

    (void)arg;
    task_set_name(task_current(), "main");
    CHECK_STATUS(task_yield(), 0);
    made_another = false;
    task_detach(make(quick, NULL, "one"));
    task_detach(task_create_with(yields, NULL, &options));
    return task_sleep(1);
}

static void an_eager_task_is_told_of_whatever_hooks_make(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_hooks hooks = ready_only("");

    (void)state;
    hooks.run_begins = NULL;
    hooks.task_created = make_another;
    made_another = true;
    assert_int_equal(loop_add_hooks(loop, &hooks), 0);
    assert_int_equal(loop_run_main(loop, has_one_and_an_eager_one, NULL), 0);
    assert_record("created task-1, ready task-1, task-1(, ready main, main(, "
                  "created one, ready one, created another, ready another, "
                  "created eager, ready eager, eager(, ready eager, "
                  "one(, another(, eager(, ready main, main(");
    test_loop_free(loop, NULL);
}

/* In the midst of a step. */
static int adds_and_removes(void *arg)
{
    struct loop_hooks hooks = steps_only("");
    struct task *other = make(yields, NULL, "other");

    (void)arg;
    CHECK_STATUS(loop_add_hooks(loop_current(), &hooks), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(loop_remove_hooks(loop_current(), &hooks), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("other(, )other, task-1(, )task-1, other(, )other, task-1(");
    return task_await(other);
}

static int cancel_it_when_ready(struct task *task, void *arg)
{
    struct task **victim = arg;

    if (*victim && task != *victim) {
        CHECK(task_cancel(*victim));
        *victim = NULL;
    }
    return 0;
}

static int has_one_that_cancels(void *arg)
{
    struct task *task = test_start(sleeps_for_ever, NULL, "victim");
    struct task *victim = task;
    struct loop_hooks hooks = {.task_ready = cancel_it_when_ready,
                               .arg = &victim};

    (void)arg;
    CHECK_STATUS(loop_add_hooks(loop_current(), &hooks), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_await(task), -ECANCELED);
    return loop_remove_hooks(loop_current(), &hooks);
}

static int wrong_calls_are_refused(void *arg)
{
    struct loop_hooks hooks = {.arg = arg};
    struct loop *other = test_loop_new(NULL);

    CHECK_STATUS(loop_add_hooks(NULL, &hooks), -EINVAL);
    CHECK_STATUS(loop_add_hooks(loop_current(), NULL), -EINVAL);
    CHECK_STATUS(loop_remove_hooks(NULL, &hooks), -EINVAL);
    CHECK_STATUS(loop_add_hooks(other, &hooks), 0);
    CHECK_STATUS(loop_add_hooks(loop_current(), &hooks), -EBUSY);
    CHECK_STATUS(loop_remove_hooks(loop_current(), &hooks), 0);
    CHECK(hooks.loop == other);
    CHECK_STATUS(loop_remove_hooks(other, &hooks), 0);
    CHECK_STATUS(loop_add_hooks(loop_current(), &hooks), 0);
    return loop_remove_hooks(loop_current(), &hooks);
}

/* The same as without, with all else that watches steps. */
static int says_and_yields(void *arg)
{
    for (int i = 0; i < 3; i++) {
        record("%s%d", (const char *)arg, i);
        task_yield();
    }
    return 0;
}

static int runs_three(void *arg)
{
    struct task *tasks[3];

    (void)arg;
    for (int i = 0; i < 3; i++)
        tasks[i] = task_create(says_and_yields, text(&"a\0b\0c"[2 * i]));
    return task_gather(tasks, 3, NULL);
}

static void nothing_happens_in_another_order(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct loop_options options = test_options(NULL);
        struct loop_hooks hooks = {.step_begins = ignore};
        struct loop *loop;

        options.debug = i & 1;
        loop = loop_new(&options);
        assert_non_null(loop);
        if (i & 2)
            assert_int_equal(loop_add_hooks(loop, &hooks), 0);
        assert_int_equal(loop->scheduler.watches, i != 0);
        assert_int_equal(loop_run_main(loop, runs_three, NULL), 0);
        assert_record("a0, b0, c0, a1, b1, c1, a2, b2, c2");
        if (i & 1)
            loop_set_debug(loop, false); /* says nothing at the end */
        assert_int_equal(loop_free(loop), 0);
    }
}

/* Once it has removed itself its struct may be gone. */
static int fails_as_it_goes(struct task *task, void *arg)
{
    struct loop_hooks **hooks = arg;

    (void)task;
    CHECK_STATUS(loop_remove_hooks(loop_current(), *hooks), 0);
    free(*hooks);
    record("gone");
    return -EIO;
}

static int one_that_goes_and_fails_is_not_told_of(void *arg)
{
    struct loop_hooks *hooks = calloc(1, sizeof *hooks);

    (void)arg;
    hooks->step_begins = fails_as_it_goes;
    hooks->arg = &hooks;
    CHECK_STATUS(loop_add_hooks(loop_current(), hooks), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("gone");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(all_is_told_in_its_order),
        behaviour(callbacks_and_eager_tasks_have_steps),
        behaviour(several_are_told_in_the_order_of_adding),
        behaviour(one_that_fails_is_called_no_more_and_the_others_go_on),
        behaviour(those_of_polls_alone_leave_steps_unwatched),
        behaviour(what_is_woken_before_a_poll_is_not_waited_for),
        behaviour(a_stop_in_a_look_leaves_the_run_one_batch),
        behaviour(a_timer_that_is_cancelled_before_a_poll_was_the_last),
        behaviour(shuffled_tasks_are_ready_once_a_step),
        behaviour(an_eager_task_in_another_may_have_steps_watched),
        behaviour(one_may_remove_itself_and_others_and_add_some),
        behaviour(those_added_in_a_step_are_not_told_of_its_end),
        behaviour(what_is_woken_between_turns_is_told_of),
        behaviour(an_eager_task_is_told_of_whatever_hooks_make),
        in_main(adds_and_removes),
        in_main(one_that_goes_and_fails_is_not_told_of),
        in_main(has_one_that_cancels),
        in_main(wrong_calls_are_refused),
        behaviour(nothing_happens_in_another_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
