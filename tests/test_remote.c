/*
 * Calls into a loop from other threads and signal handlers. All of it is run by
 * an eventfd, where there is one, and then by a pipe.
 */

/* The linker wraps: eventfd pipe2 calloc aligned_alloc posix_memalign */
/* The linker wraps: task__spin_while task__spin_note_sleep */
/* The linker wraps: pthread_setcancelstate */

#include "bodies.h"
#include "gate.h"
#include "record.h"
#include "spins.h"

#include "loop.h"
#include "remote_slots.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* Faults. */

static struct {
    bool has_no_eventfd;
    int descriptor_error; /* what all descriptors for wake-ups give; 0: none */
    bool memory_fails;
    bool blocks_fail;
} faults;

static unsigned n_blocks; /* of calls, made so far; atomic */

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __real_pipe2(int fds[2], int flags);
int __wrap_pipe2(int fds[2], int flags);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
int __real_posix_memalign(void **block, size_t align, size_t size);
int __wrap_posix_memalign(void **block, size_t align, size_t size);

int __wrap_eventfd(unsigned value, int flags)
{
    errno = faults.descriptor_error ? faults.descriptor_error : ENOSYS;
    return faults.descriptor_error || faults.has_no_eventfd
               ? -1
               : __real_eventfd(value, flags);
}

int __wrap_pipe2(int fds[2], int flags)
{
    errno = faults.descriptor_error;
    return faults.descriptor_error ? -1 : __real_pipe2(fds, flags);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return faults.memory_fails ? NULL : __real_calloc(n, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return faults.memory_fails ? NULL : __real_aligned_alloc(align, size);
}

int __wrap_posix_memalign(void **block, size_t align, size_t size)
{
    if (faults.blocks_fail)
        return ENOMEM;
    __atomic_fetch_add(&n_blocks, 1, __ATOMIC_RELAXED);
    return __real_posix_memalign(block, align, size);
}

/* Spins, begun or skipped. */

/* Atomic. */
static unsigned n_loop_spins;
static unsigned n_other_spins; /* of other threads */

bool __wrap_task__spin_while(struct spin *spin, const uintptr_t *word,
                             uintptr_t former)
{
    if (loop_current())
        __atomic_fetch_add(&n_loop_spins, 1, __ATOMIC_RELAXED);
    else
        __atomic_fetch_add(&n_other_spins, 1, __ATOMIC_RELAXED);
    return __real_task__spin_while(spin, word, former);
}

/* Sleeps that are noted. Atomic. */
static unsigned n_loop_sleeps;
static unsigned n_other_sleeps;

void __wrap_task__spin_note_sleep(struct spin *spin, task_time took)
{
    CHECK(took >= 0);
    if (loop_current())
        __atomic_fetch_add(&n_loop_sleeps, 1, __ATOMIC_RELAXED);
    else
        __atomic_fetch_add(&n_other_sleeps, 1, __ATOMIC_RELAXED);
    __real_task__spin_note_sleep(spin, took);
}

/* The thread may lose its processor, and have no time left to spin in. */
static int sleep_until_a_spin(void)
{
    int status = 0;

    n_loop_spins = 0;
    for (int i = 0; i < 1000 && !n_loop_spins && !status; i++)
        status = task_sleep(TASK_MILLISECOND);
    return status;
}

/* Of this thread, as soon as it may not be cancelled. */
static _Thread_local bool is_to_be_cancelled;

int __real_pthread_setcancelstate(int state, int *former);
int __wrap_pthread_setcancelstate(int state, int *former);

int __wrap_pthread_setcancelstate(int state, int *former)
{
    int error = __real_pthread_setcancelstate(state, former);

    if (is_to_be_cancelled && state == PTHREAD_CANCEL_DISABLE) {
        is_to_be_cancelled = false;
        pthread_cancel(pthread_self());
    }
    return error;
}

static struct loop_options real_clock(void)
{
    struct loop_options options = test_options(NULL);

    options.clock = LOOP_CLOCK_REAL;
    return options;
}

/* A remote of the running loop, and what comes by it. */

struct table {
    struct loop_remote *remote;
    struct task_event event;
    struct gate gate;
    struct task *task;
    task_fn *fn;
    void *arg;
    task_time timeout;
    int status;
    unsigned n; /* calls */
};

static struct table open_table(void)
{
    struct table table = {.remote = loop_remote_open(), .gate = GATE_INIT};

    CHECK(table.remote != NULL);
    return table;
}

static void says_it(void *arg)
{
    record("%s", (const char *)arg);
}

static void counts(void *arg)
{
    ((struct table *)arg)->n++;
}

static void sets(void *arg)
{
    struct table *table = arg;

    table->n++;
    CHECK(loop_current() != NULL);
    CHECK(task_current() == NULL);
    task_event_set(&table->event);
}

static void *calls_sets(void *arg)
{
    CHECK_STATUS(loop_remote_call(((struct table *)arg)->remote, sets, arg), 0);
    return NULL;
}

static void *waits_and_calls_sets(void *arg)
{
    usleep(3000);
    return calls_sets(arg);
}

static void *closes(void *arg)
{
    usleep(3000);
    loop_remote_close(((struct table *)arg)->remote);
    return NULL;
}

/* Calls. */

static int wait_for_a_call(void *arg)
{
    struct table table = open_table();
    pthread_t thread = thread_start(waits_and_calls_sets, &table);

    (void)arg;
    CHECK_STATUS(task_event_wait(&table.event), 0);
    CHECK(table.n == 1);
    thread_join(thread);
    loop_remote_close(table.remote);
    return 0;
}

static int a_call_wakes_a_sleeping_loop(void *arg)
{
    return wait_for_a_call(arg);
}

static void a_call_wakes_a_loop_on_the_real_clock(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_clock(), wait_for_a_call, NULL), 0);
}

/* Spins. */

static int sleeps_with_a_remote(void *arg)
{
    struct loop_remote *remote = loop_remote_open();

    (void)arg;
    n_loop_spins = 0;
    CHECK_STATUS(task_sleep(SPIN_TIME / 2), 0); /* too short to spin in */
    CHECK(n_loop_spins == 0);
    CHECK_STATUS(sleep_until_a_spin(), 0);
    CHECK(n_loop_sleeps == 0);
    loop_remote_close(remote);
    return 0;
}

static void a_loop_spins_before_it_sleeps(void **state)
{
    (void)state;
    n_loop_sleeps = 0;
    assert_int_equal(run_with(real_clock(), sleeps_with_a_remote, NULL), 0);
    assert_true(n_loop_spins > 0);
}

/* The call may come before the loop sleeps. */
static void a_sleep_that_a_call_ends_is_noted(void **state)
{
    (void)state;
    n_loop_sleeps = 0;
    for (int i = 0; i < 1000 && !n_loop_sleeps; i++)
        assert_int_equal(run_with(real_clock(), wait_for_a_call, NULL), 0);
    assert_int_equal(n_loop_sleeps, 1);
}

/* How long the poller was asked to wait, the last time. */
static const struct poller_backend *backend;
static task_time waits_for;

static void note_wait(struct poller *poller, task_time now, task_time until)
{
    waits_for = until - now;
    backend->wait(poller, now, until);
}

static int notes_a_wait_after_a_spin(void *arg)
{
    struct loop_remote *remote = loop_remote_open();
    struct poller *poller = loop_current()->poller;
    struct poller_backend noting = *poller->backend;

    (void)arg;
    waits_for = TASK_FOREVER;
    backend = poller->backend;
    noting.wait = note_wait;
    poller->backend = &noting;
    CHECK_STATUS(sleep_until_a_spin(), 0);
    poller->backend = backend;
    CHECK(waits_for <= TASK_MILLISECOND - SPIN_TIME);
    loop_remote_close(remote);
    return 0;
}

static void a_sleep_is_shorter_by_its_spin(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_clock(), notes_a_wait_after_a_spin, NULL),
                     0);
}

static int sleeps_with_none(void *arg)
{
    (void)arg;
    loop_remote_close(loop_remote_open());
    return task_sleep(TASK_MILLISECOND);
}

static void a_loop_that_nobody_calls_does_not_spin(void **state)
{
    (void)state;
    n_loop_spins = 0;
    assert_int_equal(run_with(real_clock(), sleeps_with_none, NULL), 0);
    assert_int_equal(n_loop_spins, 0);
}

static int a_loop_on_a_virtual_clock_does_not_spin(void *arg)
{
    struct table table = open_table();
    pthread_t thread = thread_start(waits_and_calls_sets, &table);

    (void)arg;
    n_loop_spins = 0;
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(task_event_wait(&table.event), 0);
    CHECK(n_loop_spins == 0);
    thread_join(thread);
    loop_remote_close(table.remote);
    return 0;
}

/* To wake a loop that sleeps is no cancellation point. */
static void *calls_sets_and_is_cancelled(void *arg)
{
    usleep(3000);
    pthread_cancel(pthread_self());
    calls_sets(arg);
    ((struct table *)arg)->status = 1;
    pthread_testcancel();
    return arg;
}

static int a_thread_that_is_cancelled_calls_all_the_same(void *arg)
{
    struct table table = open_table();
    pthread_t thread = thread_start(calls_sets_and_is_cancelled, &table);
    void *end;

    (void)arg;
    CHECK_STATUS(task_event_wait(&table.event), 0);
    CHECK(table.n == 1);
    CHECK(!pthread_join(thread, &end));
    CHECK(end == PTHREAD_CANCELED);
    CHECK(table.status == 1);
    task_event_clear(&table.event);
    thread = thread_start(calls_sets, &table);
    CHECK_STATUS(task_event_wait(&table.event), 0);
    CHECK(table.n == 2);
    thread_join(thread);
    loop_remote_close(table.remote);
    return 0;
}

static int many_calls_one_by_one(void *arg)
{
    struct table table = open_table();
    unsigned n = test_rounds(1000);

    (void)arg;
    for (unsigned i = 1; i <= n; i++) {
        pthread_t thread = thread_start(calls_sets, &table);

        CHECK_STATUS(task_event_wait(&table.event), 0);
        CHECK(table.n == i);
        task_event_clear(&table.event);
        thread_join(thread);
    }
    loop_remote_close(table.remote);
    return 0;
}

static int keeps_busy(void *arg)
{
    const struct table *table = arg;

    while (!table->n)
        CHECK_STATUS(task_yield(), 0);
    return 0;
}

/* The loop never sleeps. */
static int a_call_comes_to_a_busy_loop(void *arg)
{
    struct table table = open_table();
    struct task *tasks[] = {start(keeps_busy, &table),
                            start(keeps_busy, &table)};
    pthread_t thread = thread_start(waits_and_calls_sets, &table);

    (void)arg;
    CHECK_STATUS(task_gather(tasks, 2, NULL), 0);
    thread_join(thread);
    loop_remote_close(table.remote);
    return 0;
}

static void a_call_comes_to_a_busy_loop_on_the_real_clock(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_clock(), a_call_comes_to_a_busy_loop, NULL),
                     0);
}

/* Many threads, many calls. */

enum { THREADS = 4, CALLS = 100000 };

struct caller {
    struct table *table;
    unsigned n;
    unsigned *next; /* of the calls' numbers, to come */
    struct numbered {
        struct caller *caller;
        unsigned number;
    } * calls;
};

static void takes_number(void *arg)
{
    const struct numbered *call = arg;
    struct caller *caller = call->caller;

    CHECK(call->number == *caller->next);
    ++*caller->next;
    if (++caller->table->n == THREADS * caller->n)
        task_event_set(&caller->table->event);
}

static void *calls_often(void *arg)
{
    struct caller *caller = arg;

    for (unsigned i = 0; i < caller->n; i++) {
        caller->calls[i] = (struct numbered){caller, i};
        CHECK_STATUS(loop_remote_call(caller->table->remote, takes_number,
                                      &caller->calls[i]),
                     0);
    }
    return NULL;
}

static int the_calls_of_each_thread_keep_their_order(void *arg)
{
    struct table table = open_table();
    struct caller callers[THREADS];
    pthread_t threads[THREADS];
    unsigned next[THREADS] = {0};
    unsigned n = test_rounds(CALLS);

    (void)arg;
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){&table, n, &next[i],
                                     __real_calloc(n, sizeof(struct numbered))};
        threads[i] = thread_start(calls_often, &callers[i]);
    }
    CHECK_STATUS(task_event_wait(&table.event), 0);
    for (int i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
        CHECK(next[i] == n);
        free(callers[i].calls);
    }
    CHECK(table.n == THREADS * n);
    loop_remote_close(table.remote);
    return 0;
}

static int own_calls_keep_their_order_with_call_soon(void *arg)
{
    struct table table = open_table();

    (void)arg;
    CHECK(loop_call_soon(says_it, text("a")) > 0);
    CHECK_STATUS(loop_remote_call(table.remote, says_it, text("b")), 0);
    CHECK(loop_call_soon(says_it, text("c")) > 0);
    CHECK_STATUS(loop_remote_call(table.remote, says_it, text("d")), 0);
    CHECK(stats().ready == 4);
    CHECK_RECORD("");
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("a, b, c, d");
    CHECK(stats().ready == 0);
    loop_remote_close(table.remote);
    return 0;
}

static struct loop_remote *left_open;

static int opens_one(void *arg)
{
    left_open = loop_remote_open();
    CHECK(left_open != NULL);
    (void)arg;
    return 0;
}

static int calls_b(void *arg)
{
    CHECK_STATUS(loop_remote_call(left_open, says_it, text("b")), 0);
    CHECK_RECORD("");
    CHECK_STATUS(task_yield(), 0);
    (void)arg;
    return 0;
}

/* The first call was posted, the second one is made where the loop runs. */
static void calls_before_the_run_come_before_those_in_it(void **state)
{
    struct loop *loop = test_loop_new(NULL);

    (void)state;
    assert_int_equal(loop_run_main(loop, opens_one, NULL), 0);
    assert_int_equal(loop_remote_call(left_open, says_it, text("a")), 0);
    assert_int_equal(loop_run_main(loop, calls_b, NULL), 0);
    assert_record("a, b");
    loop_remote_close(left_open);
    test_loop_free(loop, NULL);
}

static int calls_b_at_its_end(void *arg)
{
    (void)arg;
    return loop_remote_call(left_open, says_it, text("b"));
}

static int calls_d(struct loop *loop, void *arg)
{
    (void)loop;
    (void)arg;
    return loop_remote_call(left_open, says_it, text("d"));
}

/* Two calls stand in the ready queue, and the third one comes by the inbox. */
static void calls_between_runs_come_after_those_before(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct loop_hooks hooks = {.run_begins = calls_d};

    (void)state;
    assert_int_equal(loop_run_main(loop, opens_one, NULL), 0);
    assert_int_equal(loop_remote_call(left_open, says_it, text("a")), 0);
    assert_int_equal(loop_run_main(loop, calls_b_at_its_end, NULL), 0);
    assert_int_equal(loop_remote_call(left_open, says_it, text("c")), 0);
    assert_record("");
    assert_int_equal(loop_add_hooks(loop, &hooks), 0);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_record("a, b, c, d");
    assert_int_equal(loop_remove_hooks(loop, &hooks), 0);
    loop_remote_close(left_open);
    test_loop_free(loop, NULL);
}

static void calls_before_a_loop_is_freed_keep_their_order(void **state)
{
    struct loop *loop = test_loop_new(NULL);

    (void)state;
    assert_int_equal(loop_run_main(loop, opens_one, NULL), 0);
    assert_int_equal(loop_remote_call(left_open, says_it, text("a")), 0);
    assert_int_equal(loop_run_main(loop, calls_b_at_its_end, NULL), 0);
    assert_int_equal(loop_remote_call(left_open, says_it, text("c")), 0);
    loop_remote_close(left_open);
    test_loop_free(loop, NULL);
    assert_record("a, b, c");
}

static void calls_again(void *arg)
{
    struct table *table = arg;

    record("%u", table->n);
    if (table->n++ < 3)
        CHECK_STATUS(loop_remote_call(table->remote, calls_again, table), 0);
    else
        task_event_set(&table->event);
}

static int a_call_may_call(void *arg)
{
    struct table table = open_table();
    uint64_t turns = turns_now();

    (void)arg;
    CHECK_STATUS(loop_remote_call(table.remote, calls_again, &table), 0);
    CHECK_STATUS(task_event_wait(&table.event), 0);
    CHECK(turns_now() - turns >= 4);
    CHECK_RECORD("0, 1, 2, 3");
    loop_remote_close(table.remote);
    return 0;
}

static void *calls_in_a_shuffle(void *arg)
{
    struct table *table = arg;

    for (int i = 0; i < 9; i++)
        CHECK_STATUS(loop_remote_call(table->remote, counts, table), 0);
    return calls_sets(arg);
}

static int a_loop_with_a_seed_runs_all_calls(void *arg)
{
    struct table table = open_table();
    pthread_t thread = thread_start(calls_in_a_shuffle, &table);

    (void)arg;
    CHECK_STATUS(task_event_wait(&table.event), 0);
    thread_join(thread);
    loop_remote_close(table.remote);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK(table.n == 10);
    return 0;
}

static int wrong_calls_are_refused(void *arg)
{
    struct table table = open_table();

    (void)arg;
    CHECK_STATUS(loop_remote_call(NULL, counts, &table), -EINVAL);
    CHECK_STATUS(loop_remote_call(table.remote, NULL, &table), -EINVAL);
    CHECK_STATUS(loop_remote_run(NULL, returns, &table, 0), -EINVAL);
    CHECK_STATUS(loop_remote_run(table.remote, NULL, &table, 0), -EINVAL);
    CHECK_STATUS(loop_remote_wake(NULL), -EINVAL);
    loop_remote_close(table.remote);
    loop_remote_close(NULL);
    return 0;
}

static void no_remote_is_opened_where_no_loop_runs(void **state)
{
    (void)state;
    assert_null(loop_remote_open());
}

/* Deadlocks. */

static int wait_until_it_is_closed(void *arg)
{
    struct table table = open_table();
    pthread_t thread = thread_start(closes, &table);

    (void)arg;
    CHECK_STATUS(task_event_wait(&table.event), -ECANCELED);
    thread_join(thread);
    return 0;
}

static void
a_loop_is_not_deadlocked_until_its_last_remote_is_closed(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(wait_until_it_is_closed, NULL), -EDEADLK);
    assert_record("deadlock(-35)");
    assert_int_equal(run_with(real_clock(), wait_until_it_is_closed, NULL),
                     -EDEADLK);
    assert_record("deadlock(-35)");
}

static int each_remote_counts(void *arg)
{
    struct table first = open_table();
    struct table second = open_table();
    pthread_t thread;

    (void)arg;
    CHECK(first.remote != second.remote);
    loop_remote_close(first.remote);
    thread = thread_start(waits_and_calls_sets, &second);
    CHECK_STATUS(task_event_wait(&second.event), 0);
    thread_join(thread);
    loop_remote_close(second.remote);
    return 0;
}

static int time_goes_by_while_a_remote_is_open(void *arg)
{
    struct table table = open_table();

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), 0);
    CHECK(loop_time() == TASK_HOUR);
    loop_remote_close(table.remote);
    return 0;
}

/* Records. */

static void *calls_and_closes(void *arg)
{
    struct table *table = arg;

    CHECK_STATUS(loop_remote_call(table->remote, counts, table), 0);
    loop_remote_close(table->remote);
    return NULL;
}

/* Its block would be used again. */
static int nothing_is_kept_when_the_last_remote_is_closed(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct table table = open_table();
        unsigned before = n_blocks;

        thread_join(thread_start(calls_and_closes, &table));
        CHECK_STATUS(task_yield(), 0);
        CHECK_STATUS(task_yield(), 0);
        CHECK(table.n == 1);
        CHECK(n_blocks == before + 1);
    }
    return 0;
}

struct hoarder {
    struct table *table;
    struct gate gates[2];
};

enum { MANY_BLOCKS = 4 * REMOTE_BLOCK / sizeof(union inbox_slot) };

/* What was put back after the first calls it takes all at once. */
static void *calls_much_and_waits(void *arg)
{
    struct hoarder *hoarder = arg;

    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < MANY_BLOCKS >> i; n++)
            CHECK_STATUS(loop_remote_call(hoarder->table->remote, counts,
                                          hoarder->table),
                         0);
        gate_pass(&hoarder->gates[i]);
    }
    return NULL;
}

static int what_a_thread_has_goes_when_it_ends_later(void *arg)
{
    struct table table = open_table();
    struct hoarder hoarder = {&table, {GATE_INIT, GATE_INIT}};
    pthread_t thread = thread_start(calls_much_and_waits, &hoarder);

    for (unsigned i = 0, n = 0; i < 2; i++) {
        gate_await(&hoarder.gates[i], 1);
        n += (unsigned)MANY_BLOCKS >> i;
        while (table.n < n)
            CHECK_STATUS(task_yield(), 0);
        if (i)
            loop_remote_close(table.remote);
        CHECK_STATUS(task_sleep(0), 0);
        gate_open(&hoarder.gates[i]);
    }
    thread_join(thread);
    return nothing_is_kept_when_the_last_remote_is_closed(arg);
}

/* The end of the loop. */

static void *calls_until_it_is_refused(void *arg)
{
    struct table *table = arg;
    unsigned n = 0;
    int status;

    do {
        status = loop_remote_call(table->remote, counts, table);
        n += !status;
        if (n == 10)
            gate_pass(&table->gate);
    } while (!status);
    CHECK_STATUS(status, -ESHUTDOWN);
    CHECK_STATUS(loop_remote_call(table->remote, NULL, table), -ESHUTDOWN);
    CHECK_STATUS(loop_remote_wake(table->remote), -ESHUTDOWN);
    CHECK_STATUS(loop_remote_run(table->remote, returns, table, 0), -ESHUTDOWN);
    table->status = (int)n;
    return NULL;
}

static int opens_for_the_argument(void *arg)
{
    struct table *table = arg;

    table->remote = loop_remote_open();
    return 0;
}

static void what_was_accepted_runs_and_no_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < test_rounds(100); i++) {
        struct table table = {.gate = GATE_INIT};
        struct loop_options options = test_options(NULL);
        struct loop *loop;
        pthread_t thread;

        options.clock = i % 2 ? LOOP_CLOCK_REAL : LOOP_CLOCK_VIRTUAL;
        loop = loop_new(&options);
        assert_int_equal(loop_run_main(loop, opens_for_the_argument, &table),
                         0);
        thread = thread_start(calls_until_it_is_refused, &table);
        gate_await(&table.gate, 1);
        assert_int_equal(table.n, 0);
        gate_open(&table.gate);
        test_loop_free(loop, NULL);
        thread_join(thread);
        assert_int_equal(table.n, table.status);
        assert_true(table.n >= 10);
        loop_remote_close(table.remote);
    }
}

static int calls_at_its_end(void *arg)
{
    struct table *table = arg;

    table->remote = loop_remote_open();
    CHECK_STATUS(loop_remote_call(table->remote, counts, table), 0);
    return 0;
}

static void an_own_call_runs_also_when_main_has_ended(void **state)
{
    struct table table = {.n = 0};

    (void)state;
    assert_int_equal(run_virtual(calls_at_its_end, &table), 0);
    assert_int_equal(table.n, 1);
    loop_remote_close(table.remote);
}

static int opens_one_more_and_stays(void *arg)
{
    CHECK(!loop_remote_open());
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    record("%s", (const char *)arg);
    return task_sleep(TASK_FOREVER);
}

static void leaves_one_that_opens(void *arg)
{
    task_detach(task_create(opens_one_more_and_stays, arg));
}

static int makes_such_a_last_call(void *arg)
{
    struct loop_remote *remote = loop_remote_open();

    CHECK_STATUS(loop_remote_call(remote, leaves_one_that_opens, arg), 0);
    loop_remote_close(remote);
    return 0;
}

static void who_opens_one_too_late_does_not_keep_the_loop(void **state)
{
    char expected[80];

    (void)state;
    assert_int_equal(run_virtual(makes_such_a_last_call, text("stays")), 0);
    snprintf(expected, sizeof expected,
             "stays, deadlock(%d), shutdown(task-2, %d)", -EDEADLK, -ETIMEDOUT);
    assert_record(expected);
}

static void leaves_one_when_done(struct task *task, void *arg)
{
    CHECK(task_done(task));
    leaves_one_that_opens(arg);
}

static int leaves_one_by_done_callback(void *arg)
{
    return task_add_done_callback(task_current(), leaves_one_when_done, arg);
}

static void nor_does_it_where_there_was_none_before(void **state)
{
    char expected[80];

    (void)state;
    assert_int_equal(run_virtual(leaves_one_by_done_callback, text("stays")),
                     0);
    snprintf(expected, sizeof expected,
             "stays, deadlock(%d), shutdown(task-2, %d)", -EDEADLK, -ETIMEDOUT);
    assert_record(expected);
}

static int cleans_up_at_the_end(void *arg)
{
    struct table *table = arg;

    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(task_to_thread(passes, &table->gate), 7);
    CHECK_STATUS(loop_remote_call(table->remote, counts, table), -ESHUTDOWN);
    record("cleaned up");
    return -ECANCELED;
}

static void creates_one(void *arg)
{
    task_detach(task_create(cleans_up_at_the_end, arg));
}

static void a_last_call_may_create_a_task_which_may_use_workers(void **state)
{
    struct table table = {.gate = GATE_INIT};
    struct loop *loop = test_loop_new(NULL);

    (void)state;
    gate_open(&table.gate);
    assert_int_equal(loop_run_main(loop, opens_for_the_argument, &table), 0);
    assert_int_equal(loop_remote_call(table.remote, creates_one, &table), 0);
    test_loop_free(loop, NULL);
    assert_record("cleaned up");
    loop_remote_close(table.remote);
}

static int n_open(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD, 0) >= 0;
    return n;
}

static void says_the_last(void *arg)
{
    struct table *table = arg;

    loop_remote_close(table->remote);
    task_event_set(&table->event);
}

static void *calls_the_last(void *arg)
{
    CHECK_STATUS(
        loop_remote_call(((struct table *)arg)->remote, says_the_last, arg), 0);
    return NULL;
}

static int wait_for_the_last(void *arg)
{
    struct table table = open_table();

    *(pthread_t *)arg = thread_start(calls_the_last, &table);
    return task_event_wait(&table.event);
}

static void *is_cancelled_and_closes(void *arg)
{
    struct table *table = arg;

    pthread_cancel(pthread_self());
    loop_remote_close(table->remote);
    table->status = 1;
    pthread_testcancel();
    return NULL;
}

/* Which closes a descriptor, too. */
static void the_last_close_is_no_cancellation_point(void **state)
{
    struct table table = {.status = 0};

    (void)state;
    assert_int_equal(run_virtual(opens_for_the_argument, &table), 0);
    assert_int_equal(
        pthread_join(thread_start(is_cancelled_and_closes, &table), NULL), 0);
    assert_int_equal(table.status, 1);
}

/* The loop may be gone before the call of whoever has woken it returns. */
static void what_is_called_may_close_the_remote(void **state)
{
    (void)state;
    for (unsigned i = 0; i < test_rounds(500); i++) {
        pthread_t thread;

        assert_int_equal(run_with(real_clock(), wait_for_the_last, &thread), 0);
        thread_join(thread);
    }
}

static void the_descriptor_goes_with_the_last_remote(void **state)
{
    int before = n_open();
    struct table table = {.n = 0};

    (void)state;
    assert_int_equal(run_virtual(opens_for_the_argument, &table), 0);
    assert_true(n_open() > before);
    assert_int_equal(loop_remote_wake(table.remote), -ESHUTDOWN);
    loop_remote_close(table.remote);
    assert_int_equal(n_open(), before);
}

static int waits_for_nothing_that_comes(void *arg)
{
    (void)arg;
    while (task_sleep(TASK_FOREVER))
        continue;
    return 0;
}

/* Nobody is left in the dark about a coroutine that was dropped. */
static void *runs_forever(void *arg)
{
    struct table *table = arg;

    table->status = loop_remote_run(table->remote, waits_for_nothing_that_comes,
                                    NULL, TASK_FOREVER);
    return NULL;
}

static int counts_a_job(void *arg)
{
    return (int)++((struct table *)arg)->n;
}

static int passes_its_gate(void *arg)
{
    return task_to_thread(passes, &((struct table *)arg)->gate);
}

static int insists_on_its_job(void *arg)
{
    while (task_to_thread(counts_a_job, arg) == -ECANCELED)
        continue;
    return 0;
}

/* Which is when the loop has dropped what is left. */
static void *opens_when_it_is_refused(void *arg)
{
    struct table *table = arg;

    runs_forever(table);
    gate_open(&table->gate);
    return NULL;
}

static pthread_t refused;

static int leaves_a_job_that_waits_its_turn(void *arg)
{
    struct table *table = arg;

    table->remote = loop_remote_open();
    task_detach(start(passes_its_gate, table));
    gate_await(&table->gate, 1);
    task_detach(start(insists_on_its_job, table));
    CHECK(stats().jobs == 2);
    refused = thread_start(opens_when_it_is_refused, table);
    while (stats().tasks < 4)
        CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    return 0;
}

static void a_job_of_one_that_is_dropped_is_not_begun(void **state)
{
    struct loop_options options = real_clock();
    struct table table = {.gate = GATE_INIT};

    (void)state;
    options.worker_threads = 1;
    options.shutdown_timeout = 5 * TASK_MILLISECOND;
    assert_int_equal(
        run_with(options, leaves_a_job_that_waits_its_turn, &table), 0);
    thread_join(refused);
    loop_remote_close(table.remote);
    assert_int_equal(table.status, -ESHUTDOWN);
    assert_int_equal(table.n, 0);
    record_clear();
}

static int serves_a_while(void *arg)
{
    struct table *table = arg;
    pthread_t *thread = table->arg;

    table->remote = loop_remote_open();
    *thread = thread_start(runs_forever, table);
    return task_sleep(5 * TASK_MILLISECOND);
}

static void who_waits_for_a_task_that_is_dropped_hears_of_it(void **state)
{
    struct loop_options options = real_clock();
    pthread_t thread;
    struct table table = {.arg = &thread};

    (void)state;
    options.shutdown_timeout = TASK_MILLISECOND;
    assert_int_equal(run_with(options, serves_a_while, &table), 0);
    thread_join(thread);
    assert_int_equal(table.status, -ESHUTDOWN);
    record_clear();
    loop_remote_close(table.remote);
}

static int runs_forever_in_a_job(void *arg)
{
    runs_forever(arg);
    return 0;
}

static int has_a_job_that_runs_forever(void *arg)
{
    return task_to_thread(runs_forever_in_a_job, arg);
}

static int works_a_while(void *arg)
{
    ((struct table *)arg)->remote = loop_remote_open();
    task_detach(task_create(has_a_job_that_runs_forever, arg));
    while (stats().tasks < 3)
        CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    return 0;
}

static void so_does_a_worker_for_which_the_loop_waits(void **state)
{
    struct loop_options options = real_clock();
    struct table table = {.n = 0};

    (void)state;
    options.shutdown_timeout = TASK_MILLISECOND;
    assert_int_equal(run_with(options, works_a_while, &table), 0);
    assert_int_equal(table.status, -ESHUTDOWN);
    record_clear();
    loop_remote_close(table.remote);
}

/* Coroutines. */

static void *runs_it(void *arg)
{
    struct table *table = arg;

    table->status =
        loop_remote_run(table->remote, table->fn, table->arg, table->timeout);
    CHECK_STATUS(loop_remote_call(table->remote, sets, table), 0);
    return NULL;
}

/* What comes of a coroutine that another thread runs here. */
static int run_by_another(task_fn *fn, void *arg, task_time timeout)
{
    struct table table = open_table();
    pthread_t thread;

    table.fn = fn;
    table.arg = arg;
    table.timeout = timeout;
    thread = thread_start(runs_it, &table);
    CHECK_STATUS(task_event_wait(&table.event), 0);
    thread_join(thread);
    loop_remote_close(table.remote);
    return table.status;
}

static int is_a_task(void *arg)
{
    CHECK(task_current() != NULL);
    CHECK(loop_current() != NULL);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    return *(int *)arg;
}

static int another_thread_runs_a_coroutine(void *arg)
{
    int values[] = {0, 5, -EIO, -ECANCELED, -ETIMEDOUT};

    (void)arg;
    for (int i = 0; i < 5; i++)
        CHECK_STATUS(run_by_another(is_a_task, &values[i], TASK_FOREVER),
                     values[i]);
    CHECK(loop_time() == 5 * TASK_SECOND);
    CHECK(stats().timers == 0);
    return 0;
}

static int who_waits_for_a_coroutine_spins(void *arg)
{
    int value = 7;

    (void)arg;
    __atomic_store_n(&n_other_spins, 0, __ATOMIC_RELAXED);
    CHECK_STATUS(run_by_another(is_a_task, &value, TASK_FOREVER), 7);
    CHECK(n_other_spins == 1);
    return 0;
}

static int sleeps_for_a_while(void *arg)
{
    (void)arg;
    return task_sleep(TASK_MILLISECOND);
}

static int has_another_run_it(void *arg)
{
    (void)arg;
    return run_by_another(sleeps_for_a_while, NULL, TASK_FOREVER);
}

/* The answer may come before its thread sleeps. */
static void who_sleeps_until_a_coroutine_ends_notes_it(void **state)
{
    (void)state;
    n_other_sleeps = 0;
    for (int i = 0; i < 1000 && !n_other_sleeps; i++)
        assert_int_equal(run_with(real_clock(), has_another_run_it, NULL), 0);
    assert_int_equal(n_other_sleeps, 1);
}

static int takes_a_while_and_sets(void *arg)
{
    struct table *table = arg;
    int status = task_sleep(TASK_MILLISECOND);

    __atomic_store_n(&table->status, 1, __ATOMIC_RELEASE);
    task_event_set(&table->event);
    return status;
}

/* The key's destructor, as the thread ends: has the coroutine? */
static void counts_if_it_has_ended(void *arg)
{
    struct table *table = arg;

    if (__atomic_load_n(&table->status, __ATOMIC_ACQUIRE) == 1)
        table->n++;
}

static void *runs_it_and_is_cancelled_as_it_wakes_the_loop(void *arg)
{
    struct table *table = arg;
    pthread_key_t key;
    int type;

    CHECK(!pthread_key_create(&key, counts_if_it_has_ended));
    pthread_setspecific(key, table);
    usleep(3000);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    is_to_be_cancelled = true;
    loop_remote_run(table->remote, takes_a_while_and_sets, arg, TASK_FOREVER);
    return NULL;
}

/* What the loop knows of a coroutine is on the stack of who waits for it. (What
 * a thread that is cancelled so leaves on its stack, ASan takes for bugs.) */
static int who_waits_for_a_coroutine_is_cancelled_only_then(void *arg)
{
    struct table table = {.n = 0};
    pthread_t thread;
    void *end;

    (void)arg;
    if (HAVE_ASAN)
        return 0;
    table = open_table();
    thread =
        thread_start(runs_it_and_is_cancelled_as_it_wakes_the_loop, &table);
    CHECK_STATUS(task_event_wait(&table.event), 0);
    CHECK(!pthread_join(thread, &end));
    CHECK(end == PTHREAD_CANCELED);
    CHECK(table.n == 1);
    loop_remote_close(table.remote);
    return 0;
}

static int one_that_is_in_time_is_not_cancelled(void *arg)
{
    int six = 6;

    (void)arg;
    CHECK_STATUS(run_by_another(is_a_task, &six, TASK_SECOND + 1), 6);
    CHECK(stats().timers == 0);
    return 0;
}

static int cleans_up_and_says(void *arg)
{
    int status = task_sleep(TASK_HOUR);

    (void)arg;
    record("%d", status);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    record("cleaned up");
    return status;
}

static int one_that_is_late_is_cancelled_and_awaited(void *arg)
{
    (void)arg;
    CHECK_STATUS(run_by_another(cleans_up_and_says, NULL, TASK_MINUTE),
                 -ETIMEDOUT);
    CHECK_RECORD("-125, cleaned up");
    CHECK(loop_time() == TASK_MINUTE + TASK_SECOND);
    CHECK_STATUS(run_by_another(swallows, NULL, TASK_SECOND), 7);
    CHECK_STATUS(run_by_another(fails_when_cancelled, NULL, TASK_SECOND), -EIO);
    return 0;
}

static int without_any_time_it_is_cancelled_before_it_begins(void *arg)
{
    int six = 6;

    (void)arg;
    CHECK_STATUS(run_by_another(cleans_up_and_says, NULL, 0), -ETIMEDOUT);
    CHECK_RECORD("-125, cleaned up");
    CHECK_STATUS(run_by_another(returns, &six, -1), 6);
    return 0;
}

static int run_in_real_time(void *arg)
{
    (void)arg;
    CHECK_STATUS(run_by_another(sleeps_for_ever, NULL, TASK_MILLISECOND),
                 -ETIMEDOUT);
    return 0;
}

static void the_real_clock_ends_it_too(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_clock(), run_in_real_time, NULL), 0);
}

static int cancels_itself(void *arg)
{
    (void)arg;
    task_cancel(task_current());
    return task_sleep(TASK_SECOND);
}

static int one_that_is_cancelled_otherwise_is_not_late(void *arg)
{
    (void)arg;
    CHECK_STATUS(run_by_another(cancels_itself, NULL, TASK_HOUR), -ECANCELED);
    return 0;
}

static int runs_another_loop(void *arg)
{
    struct table *table = arg;
    int six = 6;

    return loop_remote_run(table->remote, returns, &six, TASK_FOREVER);
}

static int a_worker_may_run_a_coroutine(void *arg)
{
    struct table table = open_table();

    (void)arg;
    CHECK_STATUS(task_to_thread(runs_another_loop, &table), 6);
    loop_remote_close(table.remote);
    return 0;
}

static struct task_local local;

static int has_no_local(void *arg)
{
    (void)arg;
    return task_local_get(&local) ? 1 : 0;
}

/* It is there when a task makes a call, which does not become its creator. */
static int it_inherits_nothing_from_who_runs_meanwhile(void *arg)
{
    struct table table = open_table();
    pthread_t thread;

    (void)arg;
    table.fn = has_no_local;
    table.timeout = TASK_FOREVER;
    CHECK_STATUS(task_local_set(&local, &table), 0);
    thread = thread_start(runs_it, &table);
    while (!inbox_is_stirred(loop_current()->inbox))
        sched_yield();
    CHECK_STATUS(loop_remote_call(table.remote, counts, &table), 0);
    CHECK(task_current() != NULL);
    CHECK_STATUS(task_event_wait(&table.event), 0);
    thread_join(thread);
    CHECK_STATUS(table.status, 0);
    loop_remote_close(table.remote);
    return 0;
}

static void *runs_another_loop_in_a_loop(void *arg)
{
    CHECK_STATUS(run_virtual(runs_another_loop, arg), 6);
    return calls_sets(arg);
}

static int a_task_of_another_loop_may_run_one(void *arg)
{
    struct table table = open_table();
    pthread_t thread = thread_start(runs_another_loop_in_a_loop, &table);

    (void)arg;
    CHECK_STATUS(task_event_wait(&table.event), 0);
    thread_join(thread);
    loop_remote_close(table.remote);
    return 0;
}

static void runs_in_a_callback(void *arg)
{
    CHECK_STATUS(loop_remote_run(arg, returns, NULL, TASK_FOREVER), -EDEADLK);
}

static int opens_and_runs(void *arg)
{
    left_open = loop_remote_open();
    CHECK_STATUS(loop_remote_run(left_open, returns, NULL, TASK_FOREVER),
                 -EDEADLK);
    CHECK(loop_call_soon(runs_in_a_callback, left_open) > 0);
    (void)arg;
    return task_yield();
}

static void the_loops_own_thread_does_not_wait_for_itself(void **state)
{
    struct loop *loop = test_loop_new(NULL);

    (void)state;
    assert_int_equal(loop_run_main(loop, opens_and_runs, NULL), 0);
    assert_int_equal(loop_remote_run(left_open, returns, NULL, TASK_FOREVER),
                     -EDEADLK);
    loop_remote_close(left_open);
    test_loop_free(loop, NULL);
}

static void *runs_loop(void *arg)
{
    CHECK_STATUS(loop_run_main(arg, opens_one, NULL), 0);
    return NULL;
}

static bool has_returned; /* atomic */

static void *runs_in_the_next_thread(void *arg)
{
    int five = 5;

    CHECK_STATUS(loop_remote_run(arg, returns, &five, TASK_FOREVER), 5);
    __atomic_store_n(&has_returned, true, __ATOMIC_RELEASE);
    return NULL;
}

static int yields_until_it_has_returned(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&has_returned, __ATOMIC_ACQUIRE))
        CHECK_STATUS(task_yield(), 0);
    return 0;
}

/* Though all that it has may lie where that of the former one lay. */
static void a_thread_is_not_taken_for_one_that_has_ended(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    pthread_t thread;

    (void)state;
    has_returned = false;
    thread_join(thread_start(runs_loop, loop));
    thread = thread_start(runs_in_the_next_thread, left_open);
    while (!inbox_is_stirred(loop->inbox) &&
           !__atomic_load_n(&has_returned, __ATOMIC_ACQUIRE))
        sched_yield();
    assert_int_equal(loop_run_main(loop, yields_until_it_has_returned, NULL),
                     0);
    thread_join(thread);
    loop_remote_close(left_open);
    test_loop_free(loop, NULL);
}

static void debug_mode_tells_of_one_that_would_wait_for_itself(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.debug = true;
    assert_int_equal(run_with(options, opens_and_runs, NULL), 0);
    assert_record("misuse(task-1, -35), misuse(-35)");
    loop_remote_close(left_open);
}

/* A thread is told that its coroutine was cancelled with the loop. */
static void *runs_to_the_end(void *arg)
{
    struct table *table = arg;

    table->status = loop_remote_run(table->remote, cleans_up, NULL, TASK_HOUR);
    return NULL;
}

static int serves_one(void *arg)
{
    struct table *table = arg;
    pthread_t *thread = table->arg;

    table->remote = loop_remote_open();
    *thread = thread_start(runs_to_the_end, table);
    while (stats().tasks < 2)
        CHECK_STATUS(task_sleep(1), 0);
    return 0;
}

static void the_end_of_the_loop_cancels_it(void **state)
{
    pthread_t thread;
    struct table table = {.arg = &thread};

    (void)state;
    assert_int_equal(run_virtual(serves_one, &table), 0);
    thread_join(thread);
    assert_record("clean up, clean");
    assert_int_equal(table.status, -ECANCELED);
    loop_remote_close(table.remote);
}

static bool memory_fails;

static void *allocate(void *pointer, size_t size, void *arg)
{
    (void)arg;
    if (size)
        return memory_fails ? NULL : realloc(pointer, size);
    free(pointer);
    return NULL;
}

static int fill_memory(void *arg)
{
    struct task *tasks[1000];
    size_t n = 0;

    (void)arg;
    CHECK_STATUS(run_by_another(yields, NULL, TASK_FOREVER), 0);
    memory_fails = true;
    while (n < 1000 && (tasks[n] = task_create(sleeps_for_ever, NULL)))
        n++;
    CHECK_STATUS(run_by_another(yields, NULL, TASK_FOREVER), -ENOMEM);
    memory_fails = false;
    CHECK_STATUS(run_by_another(yields, NULL, TASK_FOREVER), 0);
    detach_all(tasks, n);
    return 0;
}

static void without_memory_for_its_task_it_fails(void **state)
{
    struct loop_options options = test_options(NULL);
    struct loop *loop;

    (void)state;
    options.alloc = allocate;
    loop = loop_new(&options);
    assert_int_equal(loop_run_main(loop, fill_memory, NULL), 0);
    test_loop_free(loop, NULL);
}

/* Wakes. */

static void *wakes_soon(void *arg)
{
    usleep(3000);
    CHECK_STATUS(loop_remote_wake(arg), 0);
    return NULL;
}

static void a_wake_ends_a_turn(void **state)
{
    struct loop_options options = real_clock();

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct loop *loop;
        pthread_t thread;

        options.clock = i ? LOOP_CLOCK_VIRTUAL : LOOP_CLOCK_REAL;
        loop = loop_new(&options);
        assert_int_equal(loop_run_main(loop, opens_one, NULL), 0);
        thread = thread_start(wakes_soon, left_open);
        assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 1);
        thread_join(thread);
        loop_remote_close(left_open);
        assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 0);
        test_loop_free(loop, NULL);
    }
}

static void a_wake_before_the_wait_is_not_lost_nor_kept(void **state)
{
    struct loop_options options = real_clock();
    struct loop *loop = loop_new(&options);
    static const struct clock monotonic = {0};
    task_time began;

    (void)state;
    assert_int_equal(loop_run_main(loop, opens_one, NULL), 0);
    assert_int_equal(loop_remote_wake(left_open), 0);
    assert_int_equal(loop_remote_wake(left_open), 0);
    assert_int_equal(loop_next_timeout(loop), 0);
    assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 1);
    assert_true(loop_next_timeout(loop) == TASK_FOREVER);
    began = task__clock_now(&monotonic);
    assert_int_equal(loop_run_turn(loop, 3 * TASK_MILLISECOND), 1);
    assert_true(task__clock_now(&monotonic) - began >= 2 * TASK_MILLISECOND);
    loop_remote_close(left_open);
    test_loop_free(loop, NULL);
}

static struct loop_remote *woken_by_signals;
static atomic_int n_signals;

static void wake_in_handler(int signo)
{
    int saved_errno = errno;

    (void)signo;
    n_signals++;
    if (loop_remote_wake(woken_by_signals) || errno != saved_errno)
        abort();
}

/* One after the other, to a thread. */
struct sender {
    pthread_t to;
    int n;
    atomic_bool is_over;
};

static void *send_signals(void *arg)
{
    struct sender *sender = arg;

    for (int i = 1; i <= sender->n && !sender->is_over; i++) {
        pthread_kill(sender->to, SIGUSR1);
        while (n_signals < i && !sender->is_over)
            sched_yield();
    }
    return NULL;
}

static struct sigaction handle_signals(void)
{
    struct sigaction action = {.sa_handler = wake_in_handler,
                               .sa_flags = SA_RESTART};
    struct sigaction former;

    n_signals = 0;
    sigaction(SIGUSR1, &action, &former);
    return former;
}

static void a_signal_handler_may_wake(void **state)
{
    struct loop_options options = real_clock();
    struct loop *loop = loop_new(&options);
    struct sender sender = {.to = pthread_self(), .n = 100};
    struct sigaction former;
    pthread_t thread;

    (void)state;
    assert_int_equal(loop_run_main(loop, opens_one, NULL), 0);
    woken_by_signals = left_open;
    former = handle_signals();
    thread = thread_start(send_signals, &sender);
    while (n_signals < 100)
        assert_int_equal(loop_run_turn(loop, TASK_FOREVER), 1);
    thread_join(thread);
    sigaction(SIGUSR1, &former, NULL);
    loop_remote_close(left_open);
    test_loop_free(loop, NULL);
}

static int works_under_signals(void *arg)
{
    struct table table = open_table();
    struct sender sender = {.to = pthread_self(), .n = INT_MAX};
    struct sigaction former;
    unsigned n = test_rounds(300);
    pthread_t thread;

    (void)arg;
    woken_by_signals = table.remote;
    former = handle_signals();
    thread = thread_start(send_signals, &sender);
    for (unsigned i = 1; i <= n; i++) {
        pthread_t caller = thread_start(calls_sets, &table);

        CHECK_STATUS(task_event_wait(&table.event), 0);
        task_event_clear(&table.event);
        thread_join(caller);
        CHECK(table.n == i);
    }
    sender.is_over = true;
    thread_join(thread);
    sigaction(SIGUSR1, &former, NULL);
    loop_remote_close(table.remote);
    return 0;
}

/* The handler may interrupt whatever the loop is doing. */
static void wakes_of_handlers_disturb_no_call(void **state)
{
    (void)state;
    assert_int_equal(run_with(real_clock(), works_under_signals, NULL), 0);
}

/* Embedding. */

static bool is_readable_soon(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};

    return poll(&polled, 1, 5000) == 1;
}

static bool is_readable_now(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};

    return poll(&polled, 1, 0) == 1;
}

static void a_call_makes_the_loops_descriptor_readable(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    int fd = loop_fd(loop);

    (void)state;
    if (fd == -ENOTSUP) {
        test_loop_free(loop, NULL);
        skip();
    }
    assert_int_equal(loop_run_main(loop, opens_one, NULL), 0);
    for (int i = 0; i < 3; i++) {
        while (is_readable_now(fd))
            assert_int_equal(loop_run_turn(loop, 0), 1);
        assert_true(loop_next_timeout(loop) == TASK_FOREVER);
        assert_int_equal(loop_remote_call(left_open, says_it, text("call")), 0);
        assert_true(is_readable_soon(fd));
        assert_int_equal(loop_next_timeout(loop), 0);
        assert_int_equal(loop_run_turn(loop, 0), 1);
        assert_int_equal(loop_run_turn(loop, 0), 1);
        assert_record("call");
    }
    loop_remote_close(left_open);
    assert_int_equal(loop_run_turn(loop, 0), 0);
    test_loop_free(loop, NULL);
}

/* Faults. */

static int a_remote_that_cannot_be_had_is_null(void *arg)
{
    struct table table;

    (void)arg;
    faults.descriptor_error = EMFILE;
    CHECK(loop_remote_open() == NULL);
    faults.descriptor_error = 0;
    faults.memory_fails = true;
    CHECK(loop_remote_open() == NULL);
    faults.memory_fails = false;
    table = open_table();
    faults.memory_fails = true;
    CHECK(loop_remote_open() == NULL);
    faults.memory_fails = false;
    loop_remote_close(table.remote);
    return 0;
}

/* Some calls find memory that others have left. */
static void *calls_without_memory(void *arg)
{
    struct table *table = arg;
    unsigned n = 0;
    int status;

    faults.blocks_fail = true;
    while (!(status = loop_remote_call(table->remote, counts, table)))
        n++;
    CHECK_STATUS(status, -ENOMEM);
    CHECK_STATUS(loop_remote_wake(table->remote), 0);
    faults.blocks_fail = false;
    CHECK_STATUS(loop_remote_call(table->remote, counts, table), 0);
    faults.blocks_fail = true;
    calls_sets(table);
    faults.blocks_fail = false;
    table->status = (int)n + 2;
    return NULL;
}

static int a_call_without_memory_is_refused(void *arg)
{
    struct table table = open_table();
    pthread_t thread = thread_start(calls_without_memory, &table);

    (void)arg;
    thread_join(thread); /* so that no slot is put back meanwhile */
    CHECK_STATUS(task_event_wait(&table.event), 0);
    CHECK_STATUS(table.n, table.status);
    loop_remote_close(table.remote);
    return 0;
}

/* fork. */

#define EXPECT(condition) ((condition) ? (void)0 : _exit(1))

static bool went_well(pid_t pid)
{
    int status = -1;

    return waitpid(pid, &status, 0) == pid && status == 0;
}

static int fork_with_a_remote(void *arg)
{
    struct table table = open_table();
    uint64_t polls;
    pid_t pid;

    (void)arg;
    pid = fork();
    if (!pid) {
        alarm(20);
        EXPECT(loop_remote_call(table.remote, counts, &table) == -EPERM);
        EXPECT(loop_remote_run(table.remote, returns, &table, 0) == -EPERM);
        EXPECT(loop_remote_wake(table.remote) == -EPERM);
        if (!HAVE_TSAN) /* which has no threads after a fork */
            EXPECT(run_virtual(wait_for_a_call, NULL) == 0);
        loop_remote_close(table.remote);
        _exit(checks_failed());
    }
    CHECK(went_well(pid));
    CHECK_STATUS(task_yield(), 0);
    polls = stats().polls;
    CHECK_STATUS(task_sleep(3 * TASK_MILLISECOND), 0);
    CHECK(stats().polls - polls <= 2);
    CHECK_STATUS(wait_for_a_call(NULL), 0);
    loop_remote_close(table.remote);
    return 0;
}

/* Memory is not counted: the child's copy lies as it is. */
static void a_child_does_not_touch_the_parents_remote(void **state)
{
    struct loop_options options = real_clock();
    struct loop *loop = loop_new(&options);

    (void)state;
    assert_int_equal(loop_run_main(loop, fork_with_a_remote, NULL), 0);
    test_loop_free(loop, NULL);
}

static void a_remote_without_a_loop_is_closed_in_the_child(void **state)
{
    struct table table = {.n = 0};
    pid_t pid;

    (void)state;
    assert_int_equal(run_virtual(opens_for_the_argument, &table), 0);
    pid = fork();
    if (!pid) {
        EXPECT(loop_remote_call(table.remote, counts, &table) == -ESHUTDOWN);
        loop_remote_close(table.remote);
        _exit(0);
    }
    assert_true(went_well(pid));
    loop_remote_close(table.remote);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_call_wakes_a_sleeping_loop),
        behaviour(a_call_wakes_a_loop_on_the_real_clock),
        behaviour(a_loop_spins_before_it_sleeps),
        behaviour(a_sleep_that_a_call_ends_is_noted),
        behaviour(a_sleep_is_shorter_by_its_spin),
        behaviour(a_loop_that_nobody_calls_does_not_spin),
        in_main(a_loop_on_a_virtual_clock_does_not_spin),
        in_main(a_thread_that_is_cancelled_calls_all_the_same),
        behaviour(the_last_close_is_no_cancellation_point),
        in_main(many_calls_one_by_one),
        in_main(a_call_comes_to_a_busy_loop),
        behaviour(a_call_comes_to_a_busy_loop_on_the_real_clock),
        in_main(the_calls_of_each_thread_keep_their_order),
        in_main(own_calls_keep_their_order_with_call_soon),
        behaviour(calls_before_the_run_come_before_those_in_it),
        behaviour(calls_between_runs_come_after_those_before),
        behaviour(calls_before_a_loop_is_freed_keep_their_order),
        in_main(a_call_may_call),
        in_main_seeded(a_loop_with_a_seed_runs_all_calls),
        in_main(wrong_calls_are_refused),
        behaviour(no_remote_is_opened_where_no_loop_runs),
        behaviour(a_loop_is_not_deadlocked_until_its_last_remote_is_closed),
        in_main(each_remote_counts),
        in_main(time_goes_by_while_a_remote_is_open),
        in_main(nothing_is_kept_when_the_last_remote_is_closed),
        in_main(what_a_thread_has_goes_when_it_ends_later),
        behaviour(what_was_accepted_runs_and_no_more),
        behaviour(an_own_call_runs_also_when_main_has_ended),
        behaviour(a_last_call_may_create_a_task_which_may_use_workers),
        behaviour(who_opens_one_too_late_does_not_keep_the_loop),
        behaviour(nor_does_it_where_there_was_none_before),
        behaviour(what_is_called_may_close_the_remote),
        behaviour(the_descriptor_goes_with_the_last_remote),
        behaviour(who_waits_for_a_task_that_is_dropped_hears_of_it),
        behaviour(so_does_a_worker_for_which_the_loop_waits),
        behaviour(a_job_of_one_that_is_dropped_is_not_begun),
        in_main(another_thread_runs_a_coroutine),
        in_main(who_waits_for_a_coroutine_spins),
        behaviour(who_sleeps_until_a_coroutine_ends_notes_it),
        in_main(who_waits_for_a_coroutine_is_cancelled_only_then),
        in_main(one_that_is_in_time_is_not_cancelled),
        in_main(one_that_is_late_is_cancelled_and_awaited),
        in_main(without_any_time_it_is_cancelled_before_it_begins),
        behaviour(the_real_clock_ends_it_too),
        in_main(one_that_is_cancelled_otherwise_is_not_late),
        in_main(a_worker_may_run_a_coroutine),
        in_main(it_inherits_nothing_from_who_runs_meanwhile),
        in_main(a_task_of_another_loop_may_run_one),
        behaviour(the_loops_own_thread_does_not_wait_for_itself),
        behaviour(a_thread_is_not_taken_for_one_that_has_ended),
        behaviour(debug_mode_tells_of_one_that_would_wait_for_itself),
        behaviour(the_end_of_the_loop_cancels_it),
        behaviour(without_memory_for_its_task_it_fails),
        behaviour(a_wake_ends_a_turn),
        behaviour(a_wake_before_the_wait_is_not_lost_nor_kept),
        behaviour(a_signal_handler_may_wake),
        behaviour(wakes_of_handlers_disturb_no_call),
        behaviour(a_call_makes_the_loops_descriptor_readable),
        in_main(a_remote_that_cannot_be_had_is_null),
        in_main(a_call_without_memory_is_refused),
        behaviour(a_child_does_not_touch_the_parents_remote),
        behaviour(a_remote_without_a_loop_is_closed_in_the_child),
    };
    int failed = cmocka_run_group_tests_name("by the best", tests, NULL, NULL);

    faults.has_no_eventfd = true;
    return failed | cmocka_run_group_tests_name("by a pipe", tests, NULL, NULL);
}
