/* What tasks of a crowd that yields tell each other. */
#include "record.h"

#include "loop.h"

#include <string.h>

enum { QUEUE = 3 * TRAIL };

/* A ready queue of tasks, whose frames are as far apart as stacks are. */
static struct queue {
    struct {
        _Alignas(CACHE_LINE) struct task task; /* whole lines */
    } places[QUEUE];
    struct ready others[QUEUE]; /* that are no tasks */
    struct ready_queue ready;
    struct trail trail;
} queue;

static void run_other(struct ready *ready)
{
    (void)ready;
}

static void empty_queue(void)
{
    if (!HAS_TRAILS)
        skip();
    memset(&queue, 0, sizeof queue);
    queue.ready.end = &queue.ready.first;
}

static void yield(int n)
{
    struct task *task = &queue.places[n].task;

    task->context.sp = (char *)0x7f0000001000 + n * 73664;
    ready_append(&queue.ready, &task->ready);
    trail_add(&queue.trail, queue.ready.first, task);
}

/* How many places behind a task what it was told of is; 0: it was told of
 * nothing. */
static long told(int n)
{
    const struct ready *ready = &queue.places[n].task.ready;
    long distance = ready->behind.task * (long)CACHE_LINE;
    long frames = (int32_t)(ready->behind.frame << 1) / 2 * (long)FRAME_UNIT;

    assert_true(ready_is_task(ready));
    if (!(ready->behind.frame & TRAIL_IS_TOLD))
        return 0;
    assert_int_equal(distance % (long)sizeof *queue.places, 0);
    distance /= (long)sizeof *queue.places;
    assert_int_equal(frames, distance * 73664);
    return distance;
}

static void each_is_told_of_the_one_that_comes_so_many_later(void **state)
{
    (void)state;
    empty_queue();
    for (int n = 0; n < QUEUE; n++)
        yield(n);
    for (int n = 0; n < QUEUE; n++)
        assert_int_equal(told(n), n < QUEUE - TRAIL ? TRAIL : 0);
}

static void those_may_stand_before_it_in_memory(void **state)
{
    (void)state;
    empty_queue();
    for (int n = QUEUE; n--;)
        yield(n);
    for (int n = 0; n < QUEUE; n++)
        assert_int_equal(told(n), n < TRAIL ? 0 : -TRAIL);
}

static void what_is_no_task_is_left_alone(void **state)
{
    (void)state;
    empty_queue();
    for (int n = 0; n < QUEUE; n++) {
        queue.others[n].run = run_other;
        ready_append(&queue.ready, &queue.others[n]);
        yield(n);
    }
    for (int n = 0; n < QUEUE; n++) {
        assert_ptr_equal(queue.others[n].run, run_other);
        assert_false(ready_is_task(&queue.others[n]));
        (void)told(n);
    }
}

static void who_follows_forgets(void **state)
{
    (void)state;
    empty_queue();
    for (int n = 0; n < QUEUE; n++)
        yield(n);
    for (int n = 0; n < QUEUE; n++) {
        trail_follow(&queue.places[n].task);
        assert_int_equal(told(n), 0);
        assert_ptr_equal(queue.places[n].task.ready.run, NULL);
    }
}

/* Tasks that yield in a loop. */
enum { CROWD = 2500, TURNS = 6 };

static struct crowd {
    struct task *tasks[CROWD];
    long next;   /* who has to be next */
    long n_told; /* while it ran */
    long n_called;
} crowd;

static void be_called(void *arg)
{
    (void)arg;
    crowd.n_called++;
}

/* From its second turn on, when it is known to be one, it is told. */
static int yields_in_turn(void *arg)
{
    long n = (struct task **)arg - crowd.tasks;

    for (int turn = 0; turn < TURNS; turn++) {
        const struct task *other = crowd.tasks[(n + CROWD / 2) % CROWD];

        CHECK(crowd.next == n);
        crowd.next = (n + 1) % CROWD;
        if (n % 100 == 0)
            CHECK(loop_call_soon(be_called, NULL) > 0);
        if (turn > 0 && turn < TURNS - 1)
            crowd.n_told += other->ready.number < 0;
        CHECK_STATUS(task_yield(), 0);
    }
    return 0;
}

static int has_a_crowd(void *arg)
{
    (void)arg;
    memset(&crowd, 0, sizeof crowd);
    for (int n = 0; n < CROWD; n++)
        CHECK(crowd.tasks[n] = task_create(yields_in_turn, &crowd.tasks[n]));
    for (int n = 0; n < CROWD; n++)
        CHECK_STATUS(task_await(crowd.tasks[n]), 0);
    CHECK_STATUS(crowd.n_called, CROWD / 100 * TURNS);
    return 0;
}

static int a_crowd_yields_in_order_and_is_told(void *arg)
{
    CHECK_STATUS(has_a_crowd(arg), 0);
    if (HAS_TRAILS)
        CHECK(crowd.n_told > CROWD * (TURNS - 4));
    return 0;
}

/* Also after a crowd. */
static int a_few_are_no_crowd(void *arg)
{
    has_a_crowd(arg);
    crowd.n_told = 0;
    CHECK(loop_current()->scheduler.is_crowded);
    for (int turn = 0; turn < 100; turn++)
        CHECK_STATUS(task_yield(), 0);
    CHECK(!loop_current()->scheduler.is_crowded);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(each_is_told_of_the_one_that_comes_so_many_later),
        behaviour(those_may_stand_before_it_in_memory),
        behaviour(what_is_no_task_is_left_alone),
        behaviour(who_follows_forgets),
        in_main(a_crowd_yields_in_order_and_is_told),
        in_main(a_few_are_no_crowd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
