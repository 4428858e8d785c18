#include "timer.h"

#include "random.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

enum { TICK_BITS = 20, N_TIMERS = 200 };

#define TICK ((task_time)1 << TICK_BITS)
#define YEAR (365 * 24 * TASK_HOUR)

/*
 * A wheel, and as its model an array in which the next one is looked for. What
 * fires is compared with the model at once, in the callback.
 */
struct item {
    struct timer timer;
    struct fixture *fixture;
    bool armed;
    task_time when;
    uint64_t order;
};

struct fixture {
    struct timers timers;
    task_time now;
    uint64_t armed;
    size_t n_fired;
    int fired[64];                   /* the first of them */
    void (*then)(struct item *item); /* done in each callback, if not NULL */
    struct random random;
    struct item items[N_TIMERS];
};

static struct item *model_next(struct fixture *fixture)
{
    struct item *next = NULL;

    for (size_t i = 0; i < N_TIMERS; i++) {
        struct item *item = &fixture->items[i];

        if (item->armed &&
            (!next || item->when < next->when ||
             (item->when == next->when && item->order < next->order)))
            next = item;
    }
    return next;
}

static void note_firing(struct timer *timer)
{
    struct item *item = container_of(timer, struct item, timer);
    struct fixture *fixture = item->fixture;

    assert_false(timer_armed(timer));
    assert_ptr_equal(item, model_next(fixture));
    assert_true(item->when <= fixture->now);
    item->armed = false;
    if (fixture->n_fired < N_OF(fixture->fired))
        fixture->fired[fixture->n_fired] = (int)(item - fixture->items);
    fixture->n_fired++;
    if (fixture->then)
        fixture->then(item);
}

static void arm(struct fixture *fixture, int i, task_time when)
{
    struct item *item = &fixture->items[i];

    item->armed = true;
    item->when = when;
    item->order = fixture->armed++;
    item->timer.fire = note_firing;
    task__timer_arm(&fixture->timers, &item->timer, when);
}

static void cancel(struct fixture *fixture, int i)
{
    fixture->items[i].armed = false;
    task__timer_cancel(&fixture->timers, &fixture->items[i].timer);
}

/* Let time pass; whatever was due has fired then. */
static void pass(struct fixture *fixture, task_time now)
{
    const struct item *left;

    fixture->now = now;
    task__timers_fire(&fixture->timers, now);
    left = model_next(fixture);
    assert_true(!left || left->when > now);
}

static size_t count_armed(const struct fixture *fixture)
{
    size_t n = 0;

    for (size_t i = 0; i < N_TIMERS; i++)
        n += fixture->items[i].armed;
    return n;
}

/* Of the tick that the wheel has come to, or earlier. */
static size_t count_due(const struct fixture *fixture)
{
    size_t n = 0;

    for (size_t i = 0; i < N_TIMERS; i++)
        n += fixture->items[i].armed &&
             timer_tick(fixture->items[i].when) <= fixture->timers.position;
    return n;
}

static void assert_next_is_the_models(struct fixture *fixture)
{
    const struct item *next = model_next(fixture);

    assert_int_equal(task__timers_next(&fixture->timers),
                     next ? next->when : TASK_FOREVER);
    assert_int_equal(timers_count(&fixture->timers), count_armed(fixture));
    assert_int_equal(timers_count_due(&fixture->timers), count_due(fixture));
}

static void assert_empty(struct timers *timers)
{
    assert_int_equal(timers_count(timers), 0);
    assert_int_equal(task__timers_next(timers), TASK_FOREVER);
    assert_null(timers->due.root);
    for (size_t i = 0; i < TIMER_LEVELS; i++)
        assert_int_equal(timers->used[i], 0);
}

static void assert_fired(const struct fixture *fixture, const int *wanted,
                         size_t n)
{
    assert_int_equal(fixture->n_fired, n);
    assert_memory_equal(fixture->fired, wanted, n * sizeof *wanted);
}

#define ASSERT_FIRED(fixture, ...)                                             \
    assert_fired(fixture, (const int[]){__VA_ARGS__},                          \
                 N_OF(((const int[]){__VA_ARGS__})))

/* Starts again, with no timer and at another time. */
static void begin(struct fixture *fixture, task_time now)
{
    memset(fixture->items, 0, sizeof fixture->items);
    for (size_t i = 0; i < N_TIMERS; i++)
        fixture->items[i].fixture = fixture;
    task__timers_init(&fixture->timers, now);
    fixture->armed = 0;
    fixture->n_fired = 0;
    fixture->now = now;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    begin(fixture, 0);
    fixture->random.state = test_seed(5);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* One timer. */

static void with_no_timer_the_next_is_never(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(task__timers_next(&fixture->timers), TASK_FOREVER);
}

static void all_zero_is_an_idle_timer(void **state)
{
    struct fixture *fixture = *state;
    struct timer timer = {0};

    assert_false(timer_armed(&timer));
    task__timer_cancel(&fixture->timers, &timer);
    assert_empty(&fixture->timers);
}

static void a_timer_fires_once(void **state)
{
    struct fixture *fixture = *state;

    arm(fixture, 0, 5 * TICK);
    pass(fixture, 5 * TICK);
    pass(fixture, 6 * TICK);
    pass(fixture, YEAR);
    ASSERT_FIRED(fixture, 0);
    assert_empty(&fixture->timers);
}

/* Deadlines at and beside the borders of ticks, and of the slots of each level. */
static size_t border_deadlines(task_time *whens, task_time from)
{
    size_t n = 0;

    for (unsigned bits = 0; bits < 63; bits++)
        for (task_time d = -1; d <= 1; d++) {
            task_time border = (task_time)1 << bits;

            if (border <= INT64_MAX - 2 - from)
                whens[n++] = ((from + border) & -border) + d;
        }
    whens[n++] = INT64_MAX - 1;
    return n;
}

static void
a_timer_fires_at_its_deadline_and_not_a_nanosecond_before(void **state)
{
    const task_time froms[] = {0, 1, TICK - 1, TICK, 12345678901234567};
    task_time whens[3 * 63 + 1];
    struct fixture *fixture = *state;

    for (size_t f = 0; f < N_OF(froms); f++) {
        size_t n = border_deadlines(whens, froms[f]);

        for (size_t i = 0; i < n; i++) {
            if (whens[i] <= froms[f])
                continue;
            begin(fixture, froms[f]);
            arm(fixture, 0, whens[i]);
            pass(fixture, whens[i] - 1);
            assert_int_equal(fixture->n_fired, 0);
            assert_int_equal(task__timers_next(&fixture->timers), whens[i]);
            pass(fixture, whens[i]);
            assert_int_equal(fixture->n_fired, 1);
        }
    }
}

static void a_deadline_in_the_past_is_due_at_once(void **state)
{
    const task_time pasts[] = {0, YEAR - 1, YEAR, -1, -YEAR, INT64_MIN};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < N_OF(pasts); i++) {
        begin(fixture, YEAR);
        arm(fixture, 0, pasts[i]);
        assert_int_equal(task__timers_next(&fixture->timers), pasts[i]);
        pass(fixture, YEAR);
        assert_int_equal(fixture->n_fired, 1);
    }
}

static void the_last_deadline_of_all_is_reached(void **state)
{
    struct fixture *fixture = *state;

    arm(fixture, 0, INT64_MAX - 1);
    pass(fixture, INT64_MAX - 2);
    assert_int_equal(task__timers_next(&fixture->timers), INT64_MAX - 1);
    pass(fixture, INT64_MAX - 1);
    ASSERT_FIRED(fixture, 0);
    assert_empty(&fixture->timers);
}

static void a_cancelled_timer_does_not_fire(void **state)
{
    const task_time whens[] = {-1, 1, TICK, 100 * TICK, YEAR, INT64_MAX - 1};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < N_OF(whens); i++) {
        begin(fixture, 0);
        arm(fixture, 0, whens[i]);
        cancel(fixture, 0);
        assert_false(timer_armed(&fixture->items[0].timer));
        assert_empty(&fixture->timers);
        pass(fixture, INT64_MAX - 1);
        assert_int_equal(fixture->n_fired, 0);
    }
}

static void a_timer_may_be_cancelled_twice(void **state)
{
    struct fixture *fixture = *state;

    arm(fixture, 0, TICK);
    arm(fixture, 1, TICK);
    cancel(fixture, 0);
    cancel(fixture, 0);
    assert_int_equal(timers_count(&fixture->timers), 1);
    pass(fixture, TICK);
    ASSERT_FIRED(fixture, 1);
}

static void a_timer_may_be_armed_anew_for_earlier_or_later(void **state)
{
    struct fixture *fixture = *state;

    arm(fixture, 0, YEAR);
    arm(fixture, 1, YEAR);
    cancel(fixture, 0);
    arm(fixture, 0, 2 * YEAR);
    cancel(fixture, 1);
    arm(fixture, 1, 1);
    pass(fixture, YEAR);
    ASSERT_FIRED(fixture, 1);
    pass(fixture, 2 * YEAR);
    ASSERT_FIRED(fixture, 1, 0);
}

/* Order. */

static void timers_fire_in_the_order_of_their_nanoseconds(void **state)
{
    struct fixture *fixture = *state;

    arm(fixture, 0, 3 * TICK + 2);
    arm(fixture, 1, 3 * TICK);
    arm(fixture, 2, 3 * TICK + 1);
    arm(fixture, 3, 3 * TICK - 1);
    pass(fixture, YEAR);
    ASSERT_FIRED(fixture, 3, 1, 2, 0);
}

static void equal_deadlines_fire_in_the_order_of_arming(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 50; i++)
        arm(fixture, i * 7 % 50, 9 * TICK + 5);
    pass(fixture, YEAR);
    assert_int_equal(fixture->n_fired, 50);
    for (int i = 0; i < 50; i++)
        assert_int_equal(fixture->fired[i], i * 7 % 50);
}

/* Random ones, then 1 to 10 deadlines of many each; the model compares. */
static void a_crowd_of_one_tick_fires_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct random *random = &fixture->random;

    for (int round = 0; round < 20; round++) {
        task_time tick = (fixture->now / TICK + 1 + 70 * (round % 2)) * TICK;
        task_time few = round - 9;

        for (int i = 0; i < N_TIMERS; i++)
            arm(fixture, i,
                tick + (round < 10 ? (task_time)random_below(random, TICK)
                                   : TICK * (i * 11 % few) / few));
        pass(fixture, tick - 1);
        assert_int_equal(fixture->n_fired, 0);
        pass(fixture, tick);
        for (int i = 0; i < N_TIMERS; i += 3) { /* taken out of the middle */
            cancel(fixture, i);
            assert_next_is_the_models(fixture);
        }
        pass(fixture, tick + TICK - 1);
        assert_empty(&fixture->timers);
        fixture->n_fired = 0;
    }
}

/* Armed later and later, the same deadline falls onto lower and lower levels,
 * and at last into the heap. */
static void equal_deadlines_fire_in_order_from_whatever_level(void **state)
{
    struct fixture *fixture = *state;
    task_time when = 3 * YEAR + 12345;
    int n = 0;

    for (task_time left = 3 * YEAR; left; left /= 50) {
        pass(fixture, when - left);
        arm(fixture, n++, when);
    }
    pass(fixture, when);
    assert_int_equal(fixture->n_fired, n);
    for (int i = 0; i < n; i++)
        assert_int_equal(fixture->fired[i], i);
}

static void to_arm_anew_goes_behind_equal_deadlines(void **state)
{
    struct fixture *fixture = *state;

    arm(fixture, 0, 5 * TICK);
    arm(fixture, 1, 5 * TICK);
    cancel(fixture, 0);
    arm(fixture, 0, 5 * TICK);
    pass(fixture, 5 * TICK);
    ASSERT_FIRED(fixture, 1, 0);
}

static void one_jump_over_all_levels_keeps_the_order(void **state)
{
    task_time whens[3 * 63 + 1];
    struct fixture *fixture = *state;
    size_t n = border_deadlines(whens, 0);

    for (size_t i = 0; i < n; i++)
        arm(fixture, (int)(i * 59 % n), whens[i * 59 % n]);
    pass(fixture, INT64_MAX - 1); /* compares with the model */
    assert_int_equal(fixture->n_fired, n);
    assert_empty(&fixture->timers);
}

static void a_clock_that_stands_still_fires_nothing_anew(void **state)
{
    struct fixture *fixture = *state;

    pass(fixture, 7 * TICK);
    arm(fixture, 0, 7 * TICK + 1);
    pass(fixture, 7 * TICK);
    assert_int_equal(fixture->n_fired, 0);
    pass(fixture, 7 * TICK + 1);
    ASSERT_FIRED(fixture, 0);
}

/* In callbacks. */

static void cancel_the_next_two(struct item *item)
{
    if (item != item->fixture->items)
        return;
    cancel(item->fixture, 1);
    cancel(item->fixture, 2);
}

static void a_callback_may_cancel_others_that_are_due(void **state)
{
    struct fixture *fixture = *state;

    fixture->then = cancel_the_next_two;
    arm(fixture, 0, TICK);
    arm(fixture, 1, TICK);
    arm(fixture, 2, TICK + 1);
    arm(fixture, 3, TICK + 2);
    pass(fixture, 2 * TICK);
    ASSERT_FIRED(fixture, 0, 3);
    assert_empty(&fixture->timers);
}

static void arm_anew_for_later(struct item *item)
{
    arm(item->fixture, (int)(item - item->fixture->items),
        item->fixture->now + TICK);
}

static void a_callback_may_arm_its_own_timer_anew(void **state)
{
    struct fixture *fixture = *state;

    fixture->then = arm_anew_for_later;
    arm(fixture, 0, TICK);
    for (task_time now = TICK; now <= 5 * TICK; now += TICK)
        pass(fixture, now);
    ASSERT_FIRED(fixture, 0, 0, 0, 0, 0);
    assert_int_equal(task__timers_next(&fixture->timers), 6 * TICK);
}

static void arm_two_others(struct item *item)
{
    if (item != item->fixture->items)
        return;
    arm(item->fixture, 2, item->fixture->now);
    arm(item->fixture, 3, item->when);
    arm(item->fixture, 4, item->fixture->now + 1);
}

static void what_a_callback_arms_and_is_due_fires_in_its_place(void **state)
{
    struct fixture *fixture = *state;

    fixture->then = arm_two_others;
    arm(fixture, 0, TICK);
    arm(fixture, 1, 2 * TICK);
    pass(fixture, 3 * TICK);
    ASSERT_FIRED(fixture, 0, 3, 1, 2);
    assert_int_equal(task__timers_next(&fixture->timers), 3 * TICK + 1);
}

/* Against the model. */

/* A deadline of some kind or other: near, far, equal, at a border, past. */
static task_time random_deadline(struct fixture *fixture)
{
    struct random *random = &fixture->random;
    task_time now = fixture->now;
    unsigned bits = (unsigned)random_below(random, 62);
    task_time delay = (task_time)(random_next(random) >> (64 - bits - 1));
    uint64_t border;

    switch (random_below(random, 8)) {
    case 0:
        return now - (task_time)random_below(random, 3 * TICK);
    case 1:
        return fixture->items[random_below(random, N_TIMERS)].when;
    case 2:
        return INT64_MAX - 1 - (task_time)random_below(random, 3);
    case 3:
    case 4: /* at the border of a part of a tick, of a tick, or of a slot */
        bits = TICK_BITS - 6 + 6 * (unsigned)random_below(random, 9);
        border = ((uint64_t)now >> bits) + random_below(random, 5);
        if (border > (uint64_t)INT64_MAX >> bits)
            return INT64_MAX - 1;
        return (task_time)(border << bits) - 1 +
               (task_time)random_below(random, 3);
    default:
        return delay < INT64_MAX - 1 - now ? now + delay : INT64_MAX - 1;
    }
}

/* Arm an idle timer; cancel an armed one; or arm it anew. */
static void random_operation(struct fixture *fixture)
{
    int i = (int)random_below(&fixture->random, N_TIMERS);
    bool was_armed = fixture->items[i].armed;

    if (was_armed)
        cancel(fixture, i);
    if (!was_armed || random_below(&fixture->random, 3) == 0)
        arm(fixture, i, random_deadline(fixture));
}

/* Not too often, or a callback would feed itself for ever. */
static void some_operations(struct item *item)
{
    if (random_below(&item->fixture->random, 4) == 0)
        random_operation(item->fixture);
}

/* Where time goes next: 1 ns to years on, to a deadline or just before it, to
 * a border; or nowhere. */
static task_time random_instant(struct fixture *fixture)
{
    static const task_time jumps[] = {
        0,         1,           1000,      TICK - 1, TICK,
        64 * TICK, TASK_SECOND, TASK_HOUR, YEAR,     100000000000000000};
    const struct item *next = model_next(fixture);
    size_t choice = random_below(&fixture->random, 4 + N_OF(jumps));
    task_time when = fixture->now;

    if (choice < 3 && next)
        when = next->when - (choice == 2);
    else if (choice == 3)
        when = (when / TICK + 1) * TICK;
    else if (choice > 3)
        when += (task_time)(random_next(&fixture->random) %
                            ((uint64_t)jumps[choice - 4] + 1));
    return when > fixture->now ? when : fixture->now;
}

static void the_wheel_does_as_its_model_under_random_operations(void **state)
{
    struct fixture *fixture = *state;

    fixture->then = some_operations;
    for (unsigned round = test_rounds(100); round > 0; round--) {
        begin(fixture, (task_time)(random_next(&fixture->random) >>
                                   random_below(&fixture->random, 60) >> 4));
        for (int i = 0; i < 1000; i++) {
            random_operation(fixture);
            assert_next_is_the_models(fixture);
            if (i % 8 == 0 && fixture->now < INT64_MAX / 2)
                pass(fixture, random_instant(fixture));
        }
        fixture->then = NULL;
        pass(fixture, INT64_MAX - 1);
        assert_empty(&fixture->timers);
        fixture->then = some_operations;
    }
}

/* As a loop does: sleeps until the next one, which then fires. */
static void each_wakeup_at_the_next_fires_something(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned round = test_rounds(300); round > 0; round--) {
        begin(fixture, (task_time)(random_next(&fixture->random) >> 5));
        for (int i = 0; i < N_TIMERS; i++)
            arm(fixture, i, random_deadline(fixture));
        while (timers_count(&fixture->timers)) {
            task_time next = task__timers_next(&fixture->timers);
            size_t n_fired = fixture->n_fired;

            pass(fixture, next > fixture->now ? next : fixture->now);
            assert_true(fixture->n_fired > n_fired);
            random_operation(fixture);
            if (fixture->n_fired > 2 * N_TIMERS)
                break;
        }
        assert_true(fixture->n_fired >= N_TIMERS / 2);
    }
}

/* Many. */

/* What 10^4 timers in one slot did. */
static struct {
    task_time now;
    task_time last;
    size_t n_fired;
} crowd_record;

static void note_crowd(struct timer *timer)
{
    assert_true(timer->when <= crowd_record.now);
    assert_true(timer->when >= crowd_record.last);
    crowd_record.last = timer->when;
    crowd_record.n_fired++;
}

/* Arms n timers for different times in ascending order, in one slot. */
static struct timer *arm_crowd(struct timers *timers, size_t n, task_time from)
{
    struct timer *crowd = calloc(n, sizeof *crowd);

    assert_non_null(crowd);
    memset(&crowd_record, 0, sizeof crowd_record);
    for (size_t i = 0; i < n; i++) {
        crowd[i].fire = note_crowd;
        task__timer_arm(timers, &crowd[i], from + (task_time)i);
    }
    return crowd;
}

static void the_next_is_exact_while_a_slot_is_short(void **state)
{
    struct fixture *fixture = *state;
    task_time from = (task_time)5 << 26;
    struct timer *crowd = arm_crowd(&fixture->timers, TIMER_SCAN + 1, from);

    for (int i = 0; i < TIMER_SCAN; i++) {
        assert_int_equal(task__timers_next(&fixture->timers), from + i);
        task__timer_cancel(&fixture->timers, &crowd[i]);
    }
    assert_int_equal(task__timers_next(&fixture->timers), from + TIMER_SCAN);
    free(crowd);
}

static void the_next_of_a_long_slot_is_never_too_late(void **state)
{
    struct fixture *fixture = *state;
    task_time from = (task_time)5 << 26;
    size_t n = test_rounds(10000);
    struct timer *crowd = arm_crowd(&fixture->timers, n, from);

    for (size_t i = 0; i < n; i++) {
        assert_true(task__timers_next(&fixture->timers) <= from + (task_time)i);
        task__timer_cancel(&fixture->timers, &crowd[i]);
    }
    assert_int_equal(task__timers_next(&fixture->timers), TASK_FOREVER);
    free(crowd);
}

static void a_long_slot_wakes_too_early_once_at_most(void **state)
{
    struct fixture *fixture = *state;
    task_time from = ((task_time)5 << 26) + TICK - 100; /* over a border */
    struct timer *crowd = arm_crowd(&fixture->timers, 5000, from);
    size_t n_early = 0;

    for (size_t i = 0; i < 1000; i++)
        task__timer_cancel(&fixture->timers, &crowd[i]);
    while (timers_count(&fixture->timers)) {
        size_t n_fired = crowd_record.n_fired;

        crowd_record.now = task__timers_next(&fixture->timers);
        task__timers_fire(&fixture->timers, crowd_record.now);
        n_early += crowd_record.n_fired == n_fired;
    }
    assert_true(n_early <= 1);
    assert_int_equal(crowd_record.n_fired, 4000);
    free(crowd);
}

static void a_million_armed_and_cancelled_leave_nothing(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned n = test_rounds(1000000); n > 0; n--) {
        uint64_t number = random_next(&fixture->random);
        struct item *item = &fixture->items[number % N_TIMERS];

        task__timer_cancel(&fixture->timers, &item->timer);
        task__timer_arm(&fixture->timers, &item->timer,
                        (task_time)(number >> (number >> 8) % 62 >> 1));
    }
    for (size_t i = 0; i < N_TIMERS; i++)
        task__timer_cancel(&fixture->timers, &fixture->items[i].timer);
    assert_empty(&fixture->timers);
    assert_int_equal(task__timers_next(&fixture->timers), TASK_FOREVER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(with_no_timer_the_next_is_never),
        TEST(all_zero_is_an_idle_timer),
        TEST(a_timer_fires_once),
        TEST(a_timer_fires_at_its_deadline_and_not_a_nanosecond_before),
        TEST(a_deadline_in_the_past_is_due_at_once),
        TEST(the_last_deadline_of_all_is_reached),
        TEST(a_cancelled_timer_does_not_fire),
        TEST(a_timer_may_be_cancelled_twice),
        TEST(a_timer_may_be_armed_anew_for_earlier_or_later),
        TEST(timers_fire_in_the_order_of_their_nanoseconds),
        TEST(equal_deadlines_fire_in_the_order_of_arming),
        TEST(a_crowd_of_one_tick_fires_in_order),
        TEST(equal_deadlines_fire_in_order_from_whatever_level),
        TEST(to_arm_anew_goes_behind_equal_deadlines),
        TEST(one_jump_over_all_levels_keeps_the_order),
        TEST(a_clock_that_stands_still_fires_nothing_anew),
        TEST(a_callback_may_cancel_others_that_are_due),
        TEST(a_callback_may_arm_its_own_timer_anew),
        TEST(what_a_callback_arms_and_is_due_fires_in_its_place),
        TEST(the_wheel_does_as_its_model_under_random_operations),
        TEST(each_wakeup_at_the_next_fires_something),
        TEST(the_next_is_exact_while_a_slot_is_short),
        TEST(the_next_of_a_long_slot_is_never_too_late),
        TEST(a_long_slot_wakes_too_early_once_at_most),
        TEST(a_million_armed_and_cancelled_leave_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
