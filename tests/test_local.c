/* Task locals: what children inherit, what is destroyed, when and in what. */
#include "random.h"
#include "record.h"

#include <stdio.h>
#include <stdlib.h>

/* A local without functions: nobody owns its values. */
static struct task_local plain;

/* Strings that are copied and freed, each of which is said. */

static int n_strings;

static char *new_string(const char *string)
{
    char *copy = malloc(32);

    if (!copy)
        abort();
    snprintf(copy, 32, "%s", string);
    n_strings++;
    return copy;
}

static void *copy_string(void *value)
{
    record("copy %s", (char *)value);
    return new_string(value);
}

static void free_string(void *value)
{
    record("free %s", (char *)value);
    free(value);
    n_strings--;
}

static struct task_local copied = {.inherit = copy_string,
                                   .destroy = free_string};
static struct task_local owned = {.destroy = free_string};

static void *copy_nothing(void *value)
{
    record("asked for %s", (char *)value);
    return NULL;
}

static struct task_local withheld = {.inherit = copy_nothing,
                                     .destroy = free_string};

static const char *get(struct task_local *local)
{
    const char *value = task_local_get(local);

    return value ? value : "none";
}

static void set(struct task_local *local, const char *value)
{
    CHECK_STATUS(task_local_set(local, value ? new_string(value) : NULL), 0);
}

/* A task's own. */

static int a_value_is_what_was_set_last(void *arg)
{
    int a = 1;
    int b = 2;

    (void)arg;
    CHECK(!task_local_get(&plain));
    CHECK_STATUS(task_local_set(&plain, &a), 0);
    CHECK(task_local_get(&plain) == &a);
    CHECK_STATUS(task_local_set(&plain, &b), 0);
    CHECK(task_local_get(&plain) == &b);
    CHECK(!task_local_get(&copied));
    CHECK_STATUS(task_local_set(&plain, NULL), 0);
    CHECK(!task_local_get(&plain));
    CHECK_STATUS(task_local_set(&plain, NULL), 0);
    CHECK_STATUS(task_local_set(&plain, &a), 0);
    CHECK(task_local_get(&plain) == &a);
    return 0;
}

static int sets_and_keeps(void *arg)
{
    CHECK_STATUS(task_local_set(&plain, arg), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(task_yield(), 0);
        CHECK(task_local_get(&plain) == arg);
    }
    return 0;
}

static int each_task_has_its_own(void *arg)
{
    int values[5];
    struct task *tasks[5];

    (void)arg;
    for (int i = 0; i < 5; i++)
        tasks[i] = task_create(sets_and_keeps, &values[i]);
    CHECK_STATUS(task_gather(tasks, 5, NULL), 0);
    CHECK(!task_local_get(&plain));
    return 0;
}

static int a_former_value_is_destroyed(void *arg)
{
    char *same = new_string("same");

    (void)arg;
    set(&copied, "a");
    set(&copied, "b");
    CHECK_RECORD("free a");
    set(&copied, NULL);
    CHECK_RECORD("free b");
    set(&copied, NULL);
    CHECK_RECORD("");
    CHECK_STATUS(task_local_set(&copied, same), 0);
    CHECK_STATUS(task_local_set(&copied, same), 0);
    CHECK_RECORD("");
    CHECK(task_local_get(&copied) == same);
    set(&copied, NULL);
    CHECK_RECORD("free same");
    return 0;
}

/* Inheritance. */

static int says_plain(void *arg)
{
    (void)arg;
    record("%s", get(&plain));
    CHECK_STATUS(task_local_set(&plain, text("child's")), 0);
    return task_yield();
}

static int says_after_a_yield(void *arg)
{
    CHECK_STATUS(task_yield(), 0);
    return says_plain(arg);
}

static int a_child_starts_with_its_creators_pointers(void *arg)
{
    struct task *before;
    struct task *after;

    (void)arg;
    before = task_create(says_after_a_yield, NULL);
    CHECK_STATUS(task_local_set(&plain, text("1")), 0);
    after = task_create(says_after_a_yield, NULL);
    CHECK_STATUS(task_local_set(&plain, text("2")), 0);
    CHECK_STATUS(task_await(before), 0);
    CHECK_STATUS(task_await(after), 0);
    CHECK_RECORD("none, 1");
    CHECK_STATUS(task_await(task_create(says_plain, NULL)), 0);
    record("%s", get(&plain));
    CHECK_RECORD("2, 2");
    return 0;
}

static int has_a_grandchild(void *arg)
{
    return task_await(task_create(says_plain, arg));
}

static int a_grandchild_inherits_what_its_parent_has(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_local_set(&plain, text("mine")), 0);
    CHECK_STATUS(task_await(task_create(has_a_grandchild, NULL)), 0);
    CHECK_RECORD("mine");
    return 0;
}

static int says_all(void *arg)
{
    (void)arg;
    record("%s %s %s", get(&copied), get(&owned), get(&withheld));
    return 0;
}

static int a_child_of_owned_values_gets_copies_or_none(void *arg)
{
    struct task *child;

    (void)arg;
    set(&copied, "a");
    child = task_create(says_all, NULL);
    CHECK_RECORD("copy a"); /* at its creation */
    CHECK_STATUS(task_await(child), 0);
    CHECK_RECORD("a none none, free a");
    set(&copied, NULL);
    CHECK_RECORD("free a");
    set(&owned, "b");
    set(&withheld, "c");
    CHECK_STATUS(task_await(task_create(says_all, NULL)), 0);
    CHECK_RECORD("asked for c, none none none");
    record("%s %s", get(&owned), get(&withheld));
    set(&owned, NULL);
    set(&withheld, NULL);
    CHECK_RECORD("b c, free b, free c");
    CHECK(n_strings == 0);
    return 0;
}

static void *never_called(void *value)
{
    check_failed("not called", __FILE__, __LINE__);
    return value;
}

static int inherit_alone_is_not_called(void *arg)
{
    static struct task_local local = {.inherit = never_called};
    int value;

    (void)arg;
    CHECK_STATUS(task_local_set(&local, &value), 0);
    return task_await(task_create(sets_and_keeps, &value));
}

static int an_eager_child_has_its_values_at_once(void *arg)
{
    struct task *child;

    (void)arg;
    CHECK_STATUS(task_local_set(&plain, text("mine")), 0);
    child = task_create_with(says_plain, NULL,
                             &(struct task_options){.eager = true});
    record("%s", get(&plain));
    CHECK_RECORD("mine, mine");
    return task_await(child);
}

static int creates_in(void *arg)
{
    CHECK_STATUS(task_local_set(&plain, text("creator's")), 0);
    return task_group_start(arg, says_plain, NULL);
}

static int a_child_of_a_group_inherits_from_who_creates_it(void *arg)
{
    struct task_group group;

    (void)arg;
    CHECK_STATUS(task_local_set(&plain, text("owner's")), 0);
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, says_plain, NULL), 0);
    CHECK_STATUS(task_await(task_create(creates_in, &group)), 0);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    CHECK_RECORD("owner's, creator's");
    return 0;
}

/* Outside of tasks. */

static void use_in_callback(void *arg)
{
    CHECK(!task_local_get(&plain));
    CHECK_STATUS(task_local_set(&plain, arg), -EPERM);
    task_detach(task_create(says_plain, NULL));
}

static void use_when_done(struct task *task, void *arg)
{
    (void)task;
    CHECK(!task_local_get(&plain));
    CHECK_STATUS(task_local_set(&plain, arg), -EPERM);
}

static int callbacks_have_none_and_hand_on_none(void *arg)
{
    int value;
    struct task *child;

    (void)arg;
    CHECK_STATUS(task_local_set(&plain, &value), 0);
    child = task_create(sets_and_keeps, &value);
    CHECK(loop_call_soon(use_in_callback, &value) > 0);
    CHECK_STATUS(task_add_done_callback(child, use_when_done, &value), 0);
    CHECK_STATUS(task_await(child), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("none");
    CHECK(task_local_get(&plain) == &value);
    return 0;
}

static int null_is_no_local(void *arg)
{
    int value;

    (void)arg;
    loop_set_debug(loop_current(), true);
    CHECK_STATUS(task_local_set(NULL, &value), -EINVAL);
    CHECK(task_local_get(NULL) == NULL);
    CHECK_RECORD("misuse(task-1, -22)");
    return 0;
}

static void outside_of_a_loop_there_are_none(void **state)
{
    int value;

    (void)state;
    assert_null(task_local_get(&plain));
    assert_int_equal(task_local_set(&plain, &value), -EPERM);
    assert_int_equal(task_local_set(&plain, NULL), -EPERM);
    assert_int_equal(task_local_set(NULL, &value), -EPERM);
    assert_null(task_local_get(NULL));
}

static void a_second_run_starts_with_none(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, says_plain, NULL), 0);
    assert_int_equal(loop_run_main(loop, says_plain, NULL), 0);
    assert_record("none, none");
    test_loop_free(loop, &count);
}

/* The end of a task. */

static int has_a_value(void *arg)
{
    set(&owned, "value");
    (void)task_sleep(TASK_SECOND);
    return *(int *)arg;
}

static void say_done(struct task *task, void *arg)
{
    (void)task;
    record("%s", (const char *)arg);
}

static int a_value_is_destroyed_before_anyone_hears_of_the_end(void *arg)
{
    static int statuses[] = {0, -EIO, -ECANCELED};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct task *task = task_create(has_a_value, &statuses[i]);

        CHECK_STATUS(task_add_done_callback(task, say_done, text("done")), 0);
        if (i == 2) {
            CHECK_STATUS(task_yield(), 0);
            CHECK(task_cancel(task));
        }
        CHECK_STATUS(task_await(task), statuses[i]);
        record("awaited");
        CHECK_RECORD("free value, done, awaited");
    }
    return 0;
}

static int a_detached_task_destroys_its_values_too(void *arg)
{
    int zero = 0;

    (void)arg;
    task_detach(task_create(has_a_value, &zero));
    CHECK_STATUS(task_sleep(TASK_MINUTE), 0);
    CHECK_RECORD("free value");
    return 0;
}

/* The error hook sees those of whom it is told of. */

static void say_whose(const struct loop_error *error, void *arg)
{
    const char *value = task_local_get(arg);

    record("hook %d %s", error->status, value ? value : "none");
}

static int fails_unheard(void *arg)
{
    CHECK_STATUS(task_local_set(&owned, new_string(arg)), 0);
    return -EIO;
}

static int the_hook_sees_a_detached_tasks_values(void *arg)
{
    (void)arg;
    loop_set_error_handler(loop_current(), say_whose, &owned);
    CHECK_STATUS(task_local_set(&owned, new_string("main's")), 0);
    task_detach(task_create(fails_unheard, text("its own")));
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("hook -5 its own, free its own");
    CHECK_STATUS(task_local_set(&owned, NULL), 0);
    CHECK_RECORD("free main's");
    return 0;
}

static int a_handle_has_no_values_when_it_is_dropped(void *arg)
{
    struct task *task = task_create(fails_unheard, text("value"));

    (void)arg;
    loop_set_error_handler(loop_current(), say_whose, &owned);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("free value");
    task_detach(task);
    CHECK_RECORD("hook -5 none");
    return 0;
}

static int ends_with_a_lock(void *arg)
{
    CHECK_STATUS(task_local_set(&plain, text("value")), 0);
    CHECK_STATUS(task_lock_acquire(arg), 0);
    return 0;
}

static int the_hook_sees_the_values_of_who_ends_with_a_lock(void *arg)
{
    struct task_lock lock = {0};

    (void)arg;
    loop_set_debug(loop_current(), true);
    loop_set_error_handler(loop_current(), say_whose, &plain);
    CHECK_STATUS(task_await(task_create(ends_with_a_lock, &lock)), 0);
    CHECK_RECORD("hook 0 value");
    loop_set_debug(loop_current(), false);
    return 0;
}

static void main_destroys_its_values_too(void **state)
{
    int seven = 7;

    (void)state;
    assert_int_equal(run_virtual(has_a_value, &seven), 7);
    assert_record("free value");
}

static int cancelled_before_it_begins(void *arg)
{
    return *(int *)arg;
}

static int what_a_task_inherits_is_destroyed_however_it_ends(void *arg)
{
    int zero = 0;
    struct task *task;

    (void)arg;
    set(&copied, "a");
    task = task_create(cancelled_before_it_begins, &zero);
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), 0);
    CHECK_RECORD("copy a, free a");
    task = task_create_with(cancelled_before_it_begins, &zero,
                            &(struct task_options){.eager = true});
    CHECK(task_done(task));
    CHECK_RECORD("copy a, free a"); /* the handle does not keep it */
    CHECK_STATUS(task_await(task), 0);
    set(&copied, NULL);
    CHECK_RECORD("free a");
    return 0;
}

static int ignores_all(void *arg)
{
    (void)arg;
    for (;;)
        CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    return 0;
}

static int leaves_one_that_ignores_all(void *arg)
{
    (void)arg;
    set(&copied, "a");
    task_detach(task_create(ignores_all, NULL));
    return 0;
}

static void a_dropped_task_loses_its_values(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_one_that_ignores_all, NULL), 0);
    assert_record("copy a, free a, deadlock(-35), shutdown(task-2, -110), "
                  "free a");
    assert_int_equal(n_strings, 0);
}

static void end_handle(void *value)
{
    struct task *task = value;

    record("%s", task_name(task));
    CHECK(!task_done(task));
    task_detach(task);
}

static struct task_local partner = {.destroy = end_handle};

static int keeps_a_handle(void *task)
{
    CHECK_STATUS(task_local_set(&partner, task), 0);
    return ignores_all(NULL);
}

static int leaves_one_with_a_handle(void *arg)
{
    (void)arg;
    task_detach(
        task_create(keeps_a_handle, test_start(ignores_all, NULL, "a")));
    return task_yield();
}

static void a_handle_that_is_a_value_is_good_when_all_is_dropped(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_one_with_a_handle, NULL), 0);
    assert_record("deadlock(-35), shutdown(a, -110), shutdown(task-3, -110), "
                  "a");
}

/* What destroy and inherit may do. */

static int n_started;

static int starts(void *arg)
{
    (void)arg;
    n_started++;
    CHECK(!task_local_get(&plain));
    return task_yield();
}

static void be_curious(void)
{
    int started = n_started;

    CHECK(!task_current());
    CHECK_STATUS(task_yield(), -EPERM);
    CHECK_STATUS(task_sleep(TASK_SECOND), -EPERM);
    CHECK(!task_local_get(&plain));
    CHECK_STATUS(task_local_set(&plain, &n_started), -EPERM);
    CHECK(task_deadline() == TASK_FOREVER);
    task_detach(task_create(starts, NULL));
    task_detach(
        task_create_with(starts, NULL, &(struct task_options){.eager = true}));
    CHECK(n_started == started); /* neither has begun */
    CHECK_STATUS(loop_run(starts, NULL), -EBUSY);
}

static void *inherit_curiously(void *value)
{
    be_curious();
    return value;
}

static void destroy_curiously(void *value)
{
    (void)value;
    be_curious();
}

static int a_locals_functions_are_like_callbacks(void *arg)
{
    static struct task_local curious = {inherit_curiously, destroy_curiously};
    struct task *self = task_current();

    (void)arg;
    n_started = 0;
    CHECK_STATUS(task_local_set(&plain, self), 0);
    CHECK_STATUS(task_local_set(&curious, self), 0);
    CHECK_STATUS(task_local_set(&curious, &n_started), 0); /* destroys */
    CHECK(task_current() == self);
    /* Inherits, and destroys in an end that goes on to another task. */
    CHECK_STATUS(task_await(task_create(sets_and_keeps, self)), 0);
    CHECK(task_current() == self);
    CHECK_STATUS(task_local_set(&curious, NULL), 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(n_started == 8);
    return 0;
}

static int its_values_die_in_an_eager_start(void *arg)
{
    static struct task_local curious = {inherit_curiously, destroy_curiously};

    CHECK_STATUS(task_local_set(&curious, arg), 0);
    return 0;
}

static int an_eager_task_that_ends_at_once_destroys_in_its_creator(void *arg)
{
    struct task *child;

    (void)arg;
    n_started = 0;
    child = task_create_with(its_values_die_in_an_eager_start, &n_started,
                             &(struct task_options){.eager = true});
    CHECK(task_done(child));
    CHECK_STATUS(task_await(child), 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(n_started == 2);
    return 0;
}

/* Memory. */

static int sets_while_memory_is_short(void *arg)
{
    struct memory_count *count = arg;
    char *value = new_string("b");

    set(&owned, "a");
    CHECK_STATUS(task_local_set(&owned, value), 0); /* in the same place */
    CHECK_RECORD("free a");
    count->fail_at = 1;
    CHECK_STATUS(task_local_set(&plain, &count), -ENOMEM);
    CHECK(!task_local_get(&plain));
    CHECK_STATUS(task_local_set(&plain, &count), 0);
    CHECK(task_local_get(&plain) == &count);
    CHECK(task_local_get(&owned) == value);
    return 0;
}

static void a_refused_set_changes_nothing(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, sets_while_memory_is_short, &count),
                     0);
    test_loop_free(loop, &count);
    assert_record("free b");
    assert_int_equal(n_strings, 0);
}

static int creates_while_memory_is_short(void *arg)
{
    struct memory_count *count = arg;
    int zero = 0;
    struct task_group group;

    set(&copied, "a");
    CHECK_STATUS(task_local_set(&plain, count), 0);
    CHECK_STATUS(task_await(task_create(cancelled_before_it_begins, &zero)), 0);
    record_clear();
    for (size_t k = 1; k <= 2; k++) { /* one for each value */
        size_t blocks = count->blocks;

        count->fail_at = k;
        CHECK(!task_create(cancelled_before_it_begins, &zero));
        CHECK(count->blocks == blocks);
        CHECK(n_strings == 1);
        count->fail_at = k;
        CHECK_STATUS(
            task_await(task_create_with(cancelled_before_it_begins, &zero,
                                        &(struct task_options){.eager = true})),
            -ENOMEM);
        task_group_begin(&group);
        count->fail_at = k;
        CHECK_STATUS(
            task_group_start(&group, cancelled_before_it_begins, &zero),
            -ENOMEM);
        CHECK_STATUS(task_group_end(&group, 0), 0);
        CHECK(task_all(NULL, 0) == 1);
    }
    record_clear();
    CHECK_STATUS(task_await(task_create(cancelled_before_it_begins, &zero)), 0);
    CHECK_RECORD("copy a, free a");
    return 0;
}

static void a_task_that_cannot_inherit_is_not_created(void **state)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, creates_while_memory_is_short, &count),
                     0);
    test_loop_free(loop, &count);
    assert_record("free a");
    assert_int_equal(n_strings, 0);
}

/* Many. */

enum { MANY = 1000 };

static struct task_local many[MANY];

static int checks_many(void *arg)
{
    for (int i = 0; i < MANY; i++)
        if (task_local_get(&many[i]) != (char *)arg + i)
            return -EIO;
    return 0;
}

static int a_thousand_locals(void *arg)
{
    static char values[MANY];

    (void)arg;
    for (int i = 0; i < MANY; i++)
        CHECK_STATUS(task_local_set(&many[i], &values[i]), 0);
    CHECK_STATUS(task_await(task_create(checks_many, values)), 0);
    CHECK_STATUS(checks_many(values), 0);
    for (int i = 0; i < MANY; i += 2)
        CHECK_STATUS(task_local_set(&many[i], NULL), 0);
    for (int i = 0; i < MANY; i++)
        CHECK(task_local_get(&many[i]) == (i % 2 ? &values[i] : NULL));
    return 0;
}

/* Against a model: trees of tasks that set, inherit and end at random. */

enum { N_LOCALS = 5 };

static int n_owned;

static void *count_copy(void *value)
{
    int *copy = malloc(sizeof *copy);

    if (!copy)
        abort();
    *copy = *(int *)value;
    n_owned++;
    return copy;
}

static void count_free(void *value)
{
    free(value);
    n_owned--;
}

static struct task_local random_locals[N_LOCALS] = {{count_copy, count_free},
                                                    {count_copy, count_free},
                                                    {count_copy, count_free},
                                                    {NULL, count_free},
                                                    {count_copy, count_free}};

struct model {
    struct random *random;
    int depth;
    int values[N_LOCALS]; /* 0: none */
};

static void check_model(const struct model *model)
{
    for (int i = 0; i < N_LOCALS; i++) {
        const int *value = task_local_get(&random_locals[i]);

        CHECK_STATUS(value ? *value : 0, model->values[i]);
    }
}

static int follows_the_model(void *arg)
{
    struct model own = *(struct model *)arg;
    struct task *children[3];
    size_t n = 0;

    check_model(&own);
    for (size_t step = random_below(own.random, 12); step; step--) {
        size_t i = random_below(own.random, N_LOCALS);
        struct model child = own;

        own.values[i] = (int)random_below(own.random, 3);
        CHECK_STATUS(
            task_local_set(&random_locals[i],
                           own.values[i] ? count_copy(&own.values[i]) : NULL),
            0);
        if (random_below(own.random, 3) == 0)
            CHECK_STATUS(task_yield(), 0);
        if (n == 3 || !own.depth || random_below(own.random, 3))
            continue;
        child = own;
        child.depth--;
        child.values[3] = 0; /* cannot be inherited */
        children[n++] = task_create_with(follows_the_model, &child,
                                         &(struct task_options){.eager = true});
    }
    check_model(&own);
    return n ? task_gather(children, n, NULL) : 0;
}

static int values_are_those_of_a_model(void *arg)
{
    struct random random = {test_seed_now()};
    struct model model = {&random, 4, {0}};

    (void)arg;
    CHECK_STATUS(task_await(task_create(follows_the_model, &model)), 0);
    CHECK(n_owned == 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_value_is_what_was_set_last),
        in_main(each_task_has_its_own),
        in_main(a_former_value_is_destroyed),
        in_main(a_child_starts_with_its_creators_pointers),
        in_main(a_grandchild_inherits_what_its_parent_has),
        in_main(a_child_of_owned_values_gets_copies_or_none),
        in_main(inherit_alone_is_not_called),
        in_main(an_eager_child_has_its_values_at_once),
        in_main(a_child_of_a_group_inherits_from_who_creates_it),
        in_main(callbacks_have_none_and_hand_on_none),
        in_main(null_is_no_local),
        behaviour(outside_of_a_loop_there_are_none),
        behaviour(a_second_run_starts_with_none),
        in_main(a_value_is_destroyed_before_anyone_hears_of_the_end),
        in_main(a_detached_task_destroys_its_values_too),
        in_main(the_hook_sees_a_detached_tasks_values),
        in_main(a_handle_has_no_values_when_it_is_dropped),
        in_main(the_hook_sees_the_values_of_who_ends_with_a_lock),
        behaviour(main_destroys_its_values_too),
        in_main(what_a_task_inherits_is_destroyed_however_it_ends),
        behaviour(a_dropped_task_loses_its_values),
        behaviour(a_handle_that_is_a_value_is_good_when_all_is_dropped),
        in_main(a_locals_functions_are_like_callbacks),
        in_main(an_eager_task_that_ends_at_once_destroys_in_its_creator),
        behaviour(a_refused_set_changes_nothing),
        behaviour(a_task_that_cannot_inherit_is_not_created),
        in_main(a_thousand_locals),
        in_main_seeded(values_are_those_of_a_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
