#include "bodies.h"

#include "record.h"
#include "scheduler.h"

struct loop_stats stats(void)
{
    struct loop_stats now;

    loop_get_stats(loop_current(), &now);
    return now;
}

unsigned requests(void)
{
    return task_cancelling(task_current());
}

bool is_left_alone(const struct task *task)
{
    uint64_t pins = task_done(task) || task->future ? 0 : TASK_PIN;

    return list_empty(&task->watchers) && !task_cancelling(task) &&
           task->references == TASK_HANDLE + pins;
}

struct task *start(task_fn *fn, void *arg)
{
    struct task *task = task_create(fn, arg);

    CHECK_STATUS(task_yield(), 0);
    return task;
}

struct task *done(int status)
{
    struct task *future = task_future_create();

    CHECK_STATUS(task_future_complete(future, status), 0);
    return future;
}

void detach_all(struct task *const tasks[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        task_detach(tasks[i]);
}

void run_with_foreign(task_fn *main_fn)
{
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);
    struct task *foreign = loop_create_task(loop, sleeps, NULL);

    assert_int_equal(run_virtual(main_fn, foreign), 0);
    assert_true(is_left_alone(foreign));
    task_detach(foreign);
    test_loop_free(loop, &count);
}

void cancel_it(void *arg)
{
    CHECK(task_cancel(arg));
}

void run_it(void *arg)
{
    (void)loop_run(*(task_fn **)arg, NULL);
}

int returns(void *arg)
{
    return *(int *)arg;
}

int fails(void *arg)
{
    (void)arg;
    return -EIO;
}

int says(void *arg)
{
    record("%s", (const char *)arg);
    return 0;
}

int yields(void *arg)
{
    (void)arg;
    return task_yield();
}

int sleeps(void *arg)
{
    (void)arg;
    return task_sleep(TASK_SECOND);
}

int sleeps_long(void *arg)
{
    (void)arg;
    return task_sleep(TASK_HOUR);
}

int sleeps_for_ever(void *arg)
{
    (void)arg;
    return task_sleep(TASK_FOREVER);
}

int sleeps_for(void *arg)
{
    int n = *(int *)arg;
    int status = task_sleep((n < 0 ? -n : n) * TASK_SECOND);

    return status ? status : n;
}

int awaits(void *arg)
{
    return task_await(arg);
}

int awaits_a_future(void *arg)
{
    (void)arg;
    return task_await(task_future_create());
}

int awaits_and_says(void *arg)
{
    int status = task_await(arg);

    record("%s got %d", task_name(task_current()), status);
    return status;
}

int awaits_foreign(void *arg)
{
    CHECK_STATUS(task_await(arg), -EINVAL);
    CHECK_STATUS(task_cancel_await(arg), -EINVAL);
    CHECK(!task_done(arg));
    CHECK(task_cancelling(arg) == 0);
    return 0;
}

int detaches(void *arg)
{
    task_detach(arg);
    return 0;
}

int swallows(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    return 7;
}

int fails_when_cancelled(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    return -EIO;
}

int cleans_up(void *arg)
{
    int status = task_sleep(TASK_HOUR);

    (void)arg;
    record("clean up");
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    record("clean");
    return status;
}
