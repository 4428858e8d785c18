/*
 * record.h: what every test of the library starts from; brings in cmocka.
 *
 * A test runs a main task in a fresh loop on the virtual clock. Its tasks and
 * callbacks append to a record, and the test compares that afterwards:
 *
 *     static int sleeper(void *arg)
 *     {
 *         record("sleep");
 *         CHECK_STATUS(task_sleep(TASK_SECOND), 0);
 *         record("%s at %d s", (char *)arg, (int)(loop_time() / TASK_SECOND));
 *         return 7;
 *     }
 *
 *     static void a_sleeper_wakes_on_time(void **state)
 *     {
 *         (void)state;
 *         assert_int_equal(run_virtual(sleeper, text("up")), 7);
 *         assert_record("sleep, up at 1 s");
 *     }
 *
 *     const struct CMUnitTest tests[] = {behaviour(a_sleeper_wakes_on_time)};
 *
 * A test that is nothing but such a main may be one itself:
 *
 *     static int yield_runs_the_others(void *arg)
 *     {
 *         struct task *other = task_create(says, text("other"));
 *
 *         task_yield();
 *         record("main");
 *         CHECK_RECORD("other, main");
 *         return task_await(other);
 *     }
 *
 *     const struct CMUnitTest tests[] = {in_main(yield_runs_the_others)};
 *
 * Every such run also checks that the loop gave all its memory back, and that
 * nothing was reported that the test does not compare: reports of the error
 * hook go to the record too, as `unawaited(task-2, -5)`.
 *
 * Do not use cmocka's assertions in a task or callback: they jump off its stack
 * and leave the loop running. CHECK and CHECK_STATUS are for there: they say
 * what is wrong at once, and the test fails when the run has ended.
 *
 * The record belongs to its thread; CHECK may be used in any.
 */
#ifndef TASK_TESTS_RECORD_H
#define TASK_TESTS_RECORD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <task.h>

/* An entry of cmocka's table: the test fails if it leaves a record that it has
 * not compared, or something CHECKed was wrong. */
#define behaviour(test)                                                        \
    cmocka_unit_test_setup_teardown(test, record_setup, record_teardown)

/* An entry for a test that is a main task itself, and returns 0. */
#define in_main(test)                                                          \
    {                                                                          \
#test, run_in_main, record_setup, record_teardown, &(task_fn *)        \
        {                                                                      \
            test                                                               \
        }                                                                      \
    }

/* The same, run once for each of many seeds. */
#define in_main_seeded(test)                                                   \
    {                                                                          \
#test, run_in_main_seeded, record_setup, record_teardown, &(task_fn *) \
        {                                                                      \
            test                                                               \
        }                                                                      \
    }

void run_in_main(void **state);
void run_in_main_seeded(void **state);

int record_setup(void **state);
int record_teardown(void **state);

/* The record. */

/* Append an event: it is separated from the one before by a comma. */
void record(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fail unless that is the whole record ("" for none), and clear it. */
#define assert_record(expected) record_compare((expected), __FILE__, __LINE__)

/* The same, for tasks and callbacks: as a CHECK. */
#define CHECK_RECORD(expected) record_check((expected), __FILE__, __LINE__)

void record_compare(const char *expected, const char *file, int line);
void record_check(const char *expected, const char *file, int line);
void record_clear(void);

/* Checks inside of tasks and callbacks. */

#define CHECK(condition)                                                       \
    ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

#define CHECK_NOT_REACHED() check_failed("not reached", __FILE__, __LINE__)

#define CHECK_STATUS(actual, expected)                                         \
    check_status((long long)(actual), (long long)(expected), #actual,          \
                 __FILE__, __LINE__)

void check_failed(const char *what, const char *file, int line);
void check_status(long long actual, long long expected, const char *what,
                  const char *file, int line);

/* Fail if a CHECK has failed since the test began; every run_ does it. */
void assert_checks(void);

/* Whether one has. */
bool checks_failed(void);

/* Runs. */

/* Memory that a loop has taken and not given back; for faults: `fail_at` 1
 * refuses the next allocation, 2 the one after it ..., 0 none. */
struct memory_count {
    size_t blocks;
    size_t bytes;
    size_t allocations; /* since the beginning, refused ones included */
    size_t fail_at;
};

/*
 * Options of a loop for a test: the virtual clock, the poller that TASK_BACKEND
 * in the environment names (epoll or poll), reports to the record, but none of
 * slow steps, as the machine may be busy; and memory that is counted in `count`
 * (NULL: not counted).
 */
struct loop_options test_options(struct memory_count *count);

/* A new loop like that, and the end of it: loop_free succeeds, and leaves no
 * memory. */
struct loop *test_loop_new(struct memory_count *count);
void test_loop_free(struct loop *loop, struct memory_count *count);

/* Run a main in a loop of its own; what loop_run_main returned. */
int run_virtual(task_fn *fn, void *arg);
int run_seeded(uint64_t seed, task_fn *fn, void *arg);

/* The same with other options: what is told of memory in them is replaced. */
int run_with(struct loop_options options, task_fn *fn, void *arg);

/* A string literal as the argument of a task. */
static inline void *text(const char *literal)
{
    return (void *)(uintptr_t)literal;
}

/* A task that has run already: it has begun to wait, or ended. */
struct task *test_start(task_fn *fn, void *arg, const char *name);

/* How many turns the running loop has begun. */
uint64_t turns_now(void);

/* How much. */

/* n; a fiftieth (at least 1) if TASK_TEST_VALGRIND is set, and under
 * ThreadSanitizer, which knows 8,000 tasks at most. */
unsigned test_rounds(unsigned n);

/* The i-th of a row of seeds, which begins at TASK_TEST_SEED, else at 1. */
uint64_t test_seed(unsigned i);

/* That of the run of in_main_seeded that is under way. */
uint64_t test_seed_now(void);

/* What this process has in memory, in bytes; 0 where that tells nothing: under
 * sanitizers and Valgrind, which keep what was freed. */
size_t resident_bytes(void);

#endif
