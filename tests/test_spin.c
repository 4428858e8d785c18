/* Spinning until another thread changes a word, as long as it pays. */
#include "gate.h"
#include "record.h"

#include "clock.h"
#include "spin.h"

#include <sched.h>

/* After so many spins in vain: how many waits go by without one. In these a word
 * that has changed is not even looked at. */
static int skipped_after(struct spin *spin, int n_vain)
{
    uintptr_t word = 7;
    int n = 0;

    for (int i = 0; i < n_vain; i++) {
        while (spin->n_left)
            assert_false(task__spin_while(spin, &word, 7));
        assert_false(task__spin_while(spin, &word, 7));
    }
    while (!task__spin_while(spin, &word, 8))
        n++;
    return n;
}

static void a_word_that_has_changed_is_seen_at_once(void **state)
{
    struct spin spin = {0};
    uintptr_t word = 7;

    (void)state;
    assert_true(task__spin_while(&spin, &word, 8));
    assert_true(task__spin_while(&spin, &word, 8));
}

static void one_in_vain_takes_its_time(void **state)
{
    struct spin spin = {0};
    uintptr_t word = 7;
    task_time began = task__clock_monotonic();

    (void)state;
    assert_false(task__spin_while(&spin, &word, 7));
    assert_true(task__clock_monotonic() - began >= SPIN_TIME);
}

static void those_that_are_in_vain_become_rare(void **state)
{
    static const int skipped[] = {0, 1, 3, 7, 15};

    (void)state;
    for (int n = 0; n < 5; n++) {
        struct spin spin = {0};

        assert_int_equal(skipped_after(&spin, n), skipped[n]);
    }
}

static void they_become_no_rarer_than_one_in_1024(void **state)
{
    struct spin spin = {0};

    (void)state;
    assert_int_equal(skipped_after(&spin, 14), 1023);
}

static void those_that_are_quick_make_up_for_it(void **state)
{
    static const unsigned skipped[] = {15, 7, 3, 1, 0, 0};
    struct spin spin = {.n_skipped = 31};

    (void)state;
    for (int i = 0; i < 6; i++) {
        task__spin_note(&spin, SPIN_WORTH, true);
        assert_int_equal(spin.n_skipped, skipped[i]);
    }
}

/* Slow ones: the first in a row are forgiven, as the next may be quicker. */

static struct spin after_slow(unsigned n_quick, unsigned n_slow)
{
    struct spin spin = {0};

    for (unsigned i = 0; i < n_quick; i++)
        task__spin_note(&spin, SPIN_WORTH, true);
    for (unsigned i = 0; i < n_slow; i++)
        task__spin_note(&spin, SPIN_WORTH + 1, true);
    return spin;
}

static void the_eighth_slow_one_in_a_row_is_as_good_as_vain(void **state)
{
    (void)state;
    assert_int_equal(after_slow(100, 0).n_left, 0);
    assert_int_equal(after_slow(0, 7).n_left, 0);
    assert_int_equal(after_slow(0, 8).n_left, 1);
    assert_int_equal(after_slow(0, 15).n_skipped, 1);
    assert_int_equal(after_slow(0, 16).n_left, 3);
}

static void a_quick_one_ends_the_row(void **state)
{
    struct spin spin = after_slow(0, 7);

    (void)state;
    task__spin_note(&spin, SPIN_WORTH, true);
    for (int i = 0; i < 7; i++)
        task__spin_note(&spin, SPIN_WORTH + 1, true);
    assert_int_equal(spin.n_left, 0);
}

static void a_vain_one_ends_the_row(void **state)
{
    struct spin spin = after_slow(0, 7);

    (void)state;
    task__spin_note(&spin, SPIN_TIME, false);
    assert_int_equal(spin.n_left, 1);
    task__spin_note(&spin, SPIN_WORTH + 1, true);
    assert_int_equal(spin.n_skipped, 1);
}

/* Slow ones beside sleeps. */

static struct spin after_slow_and_sleep(unsigned n_slow, task_time asleep)
{
    struct spin spin = {0};

    task__spin_note_sleep(&spin, asleep);
    for (unsigned i = 0; i < n_slow; i++)
        task__spin_note(&spin, 2 * SPIN_WORTH, true);
    return spin;
}

static void
slow_ones_pay_where_sleeps_take_over_three_times_as_long(void **state)
{
    (void)state;
    assert_int_equal(after_slow_and_sleep(8, 7 * SPIN_WORTH).n_left, 0);
    assert_int_equal(after_slow_and_sleep(8, 6 * SPIN_WORTH).n_left, 1);
}

static void a_slow_one_that_pays_makes_up_for_others(void **state)
{
    struct spin spin = {.n_skipped = 7, .asleep = 7 * SPIN_WORTH};

    (void)state;
    task__spin_note(&spin, 2 * SPIN_WORTH, true);
    assert_int_equal(spin.n_skipped, 3);
}

static void one_in_vain_never_pays(void **state)
{
    struct spin spin = {.asleep = 4 * SPIN_TIME};

    (void)state;
    task__spin_note(&spin, SPIN_TIME, false);
    assert_int_equal(spin.n_left, 1);
}

/* So a sleep is tried anew. */
static void what_a_sleep_took_is_forgotten(void **state)
{
    (void)state;
    assert_int_equal(after_slow_and_sleep(20, 8 * SPIN_WORTH).n_left, 0);
    assert_int_equal(after_slow_and_sleep(50, 8 * SPIN_WORTH).n_skipped, 1);
}

static void a_sleep_that_was_a_pause_is_not_noted(void **state)
{
    (void)state;
    assert_int_equal(after_slow_and_sleep(8, 4 * SPIN_TIME).n_left, 0);
    assert_int_equal(after_slow_and_sleep(8, 4 * SPIN_TIME + 1).n_left, 1);
}

/* Two threads take turns; a word says whose it is. */

static uintptr_t turn;

static void wait_for_turn(struct spin *spin, uintptr_t others)
{
    while (!task__spin_while(spin, &turn, others))
        sched_yield(); /* to the other one, if it has this processor */
}

static void *other_side(void *arg)
{
    struct spin spin = {0};
    const unsigned *trips = arg;

    for (unsigned i = 0; i < *trips; i++) {
        wait_for_turn(&spin, 0);
        __atomic_store_n(&turn, 0, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void another_thread_is_seen(void **state)
{
    struct spin spin = {0};
    unsigned trips = test_rounds(1000);
    pthread_t thread = thread_start(other_side, &trips);

    (void)state;
    for (unsigned i = 0; i < trips; i++) {
        __atomic_store_n(&turn, 1, __ATOMIC_RELAXED);
        wait_for_turn(&spin, 1);
    }
    thread_join(thread);
    assert_int_equal(turn, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(a_word_that_has_changed_is_seen_at_once),
        behaviour(one_in_vain_takes_its_time),
        behaviour(those_that_are_in_vain_become_rare),
        behaviour(they_become_no_rarer_than_one_in_1024),
        behaviour(those_that_are_quick_make_up_for_it),
        behaviour(the_eighth_slow_one_in_a_row_is_as_good_as_vain),
        behaviour(a_quick_one_ends_the_row),
        behaviour(a_vain_one_ends_the_row),
        behaviour(slow_ones_pay_where_sleeps_take_over_three_times_as_long),
        behaviour(a_slow_one_that_pays_makes_up_for_others),
        behaviour(one_in_vain_never_pays),
        behaviour(what_a_sleep_took_is_forgotten),
        behaviour(a_sleep_that_was_a_pause_is_not_noted),
        behaviour(another_thread_is_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
