/* Reader-writer locks: one order for both, and nobody held back for nothing. */
#include "cancel_points.h"
#include "random.h"
#include "record.h"

static struct task_rwlock lock;

static void begin(void)
{
    lock = (struct task_rwlock){.readers = 0};
}

static const char *name(void)
{
    return task_name(task_current());
}

/* These have the lock for a turn, and say with what result they got it, and
 * what a yield returned then. */

static int reads(void *arg)
{
    int status = task_rwlock_read_acquire(&lock);
    int then = task_yield();

    (void)arg;
    record("%s %d, then %d", name(), status, then);
    if (!status || status == -EOWNERDEAD)
        CHECK_STATUS(task_rwlock_read_release(&lock), 0);
    return status;
}

static int writes(void *arg)
{
    int status = task_rwlock_write_acquire(&lock);
    int then = task_yield();

    (void)arg;
    record("%s %d, then %d", name(), status, then);
    if (task_rwlock_writer(&lock) == task_current())
        CHECK_STATUS(task_rwlock_write_release(&lock), 0);
    return status;
}

/* Ends as the writer. */
static int keeps(void *arg)
{
    int status = task_rwlock_write_acquire(&lock);

    (void)arg;
    task_yield();
    return status;
}

static struct task *start_reader(const char *task_name)
{
    return test_start(reads, NULL, task_name);
}

static struct task *start_writer(const char *task_name)
{
    return test_start(writes, NULL, task_name);
}

/* The main task as a reader and as a writer. */

static void begin_read(void)
{
    CHECK_STATUS(task_rwlock_read_acquire(&lock), 0);
}

static void end_read(void)
{
    CHECK_STATUS(task_rwlock_read_release(&lock), 0);
}

static void begin_write(void)
{
    CHECK_STATUS(task_rwlock_write_acquire(&lock), 0);
}

static void end_write(void)
{
    CHECK_STATUS(task_rwlock_write_release(&lock), 0);
}

static void join(struct task *tasks[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
}

static int any_number_read_together(void *arg)
{
    struct task *tasks[2];

    (void)arg;
    begin_read();
    tasks[0] = start_reader("a");
    tasks[1] = start_reader("b");
    CHECK(task_rwlock_readers(&lock) == 3);
    CHECK(!task_rwlock_writer(&lock));
    CHECK(!task_rwlock_waiting(&lock));
    CHECK_STATUS(task_rwlock_try_read_acquire(&lock), 0);
    CHECK(task_rwlock_readers(&lock) == 4);
    end_read();
    end_read();
    join(tasks, 2);
    CHECK_RECORD("a 0, then 0, b 0, then 0");
    CHECK(task_rwlock_readers(&lock) == 0);
    return 0;
}

static int one_writes_alone(void *arg)
{
    struct task *tasks[2];

    (void)arg;
    begin_write();
    CHECK(task_rwlock_writer(&lock) == task_current());
    CHECK(task_rwlock_readers(&lock) == 0);
    tasks[0] = start_reader("reader");
    tasks[1] = start_writer("writer");
    CHECK(task_rwlock_waiting(&lock) == 2);
    CHECK_STATUS(task_rwlock_try_read_acquire(&lock), -EAGAIN);
    CHECK_STATUS(task_rwlock_try_write_acquire(&lock), -EAGAIN);
    end_write();
    CHECK(!task_rwlock_writer(&lock));
    CHECK(task_rwlock_readers(&lock) == 1); /* it was handed over */
    join(tasks, 2);
    CHECK_RECORD("reader 0, then 0, writer 0, then 0");
    CHECK_STATUS(task_rwlock_try_write_acquire(&lock), 0);
    end_write();
    return 0;
}

static int a_waiting_writer_holds_newer_readers_back(void *arg)
{
    struct task *tasks[3];

    (void)arg;
    begin_read();
    tasks[0] = start_writer("writer");
    tasks[1] = start_reader("a");
    tasks[2] = start_reader("b");
    CHECK(task_rwlock_waiting(&lock) == 3);
    CHECK_STATUS(task_rwlock_try_read_acquire(&lock), -EAGAIN);
    CHECK_STATUS(task_rwlock_try_write_acquire(&lock), -EAGAIN);
    end_read();
    CHECK(task_rwlock_writer(&lock) == tasks[0]);
    join(tasks, 3);
    CHECK_RECORD("writer 0, then 0, a 0, then 0, b 0, then 0");
    return 0;
}

static int the_last_reader_lets_the_writer_in(void *arg)
{
    struct task *writer;

    (void)arg;
    begin_read();
    begin_read();
    writer = start_writer("writer");
    end_read();
    CHECK(!task_rwlock_writer(&lock));
    end_read();
    CHECK(task_rwlock_writer(&lock) == writer);
    CHECK_STATUS(task_await(writer), 0);
    CHECK_RECORD("writer 0, then 0");
    return 0;
}

static int a_writer_lets_in_all_readers_up_to_the_next_writer(void *arg)
{
    struct task *tasks[5];

    (void)arg;
    begin_write();
    tasks[0] = start_reader("a");
    tasks[1] = start_reader("b");
    tasks[2] = start_writer("w");
    tasks[3] = start_reader("c");
    tasks[4] = start_writer("x");
    end_write();
    CHECK(task_rwlock_readers(&lock) == 2);
    CHECK(task_rwlock_waiting(&lock) == 3);
    join(tasks, 5);
    CHECK_RECORD("a 0, then 0, b 0, then 0, w 0, then 0, c 0, then 0, "
                 "x 0, then 0");
    return 0;
}

static int nobody_comes_before_the_one_it_was_handed_to(void *arg)
{
    struct task *writer;

    (void)arg;
    begin_write();
    writer = start_writer("writer");
    end_write();
    CHECK_STATUS(task_rwlock_try_read_acquire(&lock), -EAGAIN);
    CHECK_STATUS(task_rwlock_try_write_acquire(&lock), -EAGAIN);
    begin_write();
    CHECK_RECORD("writer 0, then 0");
    end_write();
    return task_await(writer);
}

/* Cancels. */

static int a_cancelled_writer_lets_in_those_it_held_back(void *arg)
{
    struct task *tasks[4];
    struct task *first;

    (void)arg;
    begin_read();
    first = start_writer("first");
    tasks[0] = start_reader("a");
    tasks[1] = start_reader("b");
    tasks[2] = start_writer("second");
    tasks[3] = start_reader("c");
    CHECK(task_cancel(first));
    CHECK(task_rwlock_readers(&lock) == 3); /* at once */
    CHECK(task_rwlock_waiting(&lock) == 2);
    CHECK_STATUS(task_await(first), -ECANCELED);
    end_read();
    join(tasks, 4);
    CHECK_RECORD("first -125, then 0, a 0, then 0, b 0, then 0, "
                 "second 0, then 0, c 0, then 0");
    return 0;
}

static int one_cancelled_further_behind_lets_nobody_in(void *arg)
{
    struct task *tasks[3];
    struct task *second;

    (void)arg;
    begin_read();
    tasks[0] = start_writer("first");
    tasks[1] = start_reader("a");
    second = start_writer("second");
    tasks[2] = start_reader("b");
    CHECK(task_cancel(second));
    CHECK(task_rwlock_readers(&lock) == 1);
    CHECK(task_rwlock_waiting(&lock) == 3);
    end_read();
    CHECK_STATUS(task_await(second), -ECANCELED);
    join(tasks, 3);
    CHECK_RECORD("second -125, then 0, first 0, then 0, a 0, then 0, "
                 "b 0, then 0");
    return 0;
}

static int cancelled_while_another_writes_it_lets_nobody_in(void *arg)
{
    struct task *writer;
    struct task *reader;

    (void)arg;
    begin_write();
    writer = start_writer("writer");
    reader = start_reader("reader");
    CHECK(task_cancel(writer));
    CHECK(task_rwlock_readers(&lock) == 0);
    end_write();
    CHECK(task_rwlock_readers(&lock) == 1);
    CHECK_STATUS(task_await(writer), -ECANCELED);
    CHECK_STATUS(task_await(reader), 0);
    CHECK_RECORD("writer -125, then 0, reader 0, then 0");
    return 0;
}

static int a_cancelled_reader_is_not_let_in(void *arg)
{
    struct task *tasks[2];
    struct task *reader;

    (void)arg;
    begin_write();
    reader = start_reader("cancelled");
    tasks[0] = start_reader("reader");
    tasks[1] = start_writer("writer");
    CHECK(task_cancel(reader));
    end_write();
    CHECK(task_rwlock_readers(&lock) == 1);
    CHECK_STATUS(task_await(reader), -ECANCELED);
    join(tasks, 2);
    CHECK_RECORD("cancelled -125, then 0, reader 0, then 0, writer 0, then 0");
    return 0;
}

static int those_cancelled_after_they_were_let_in_are_in(void *arg)
{
    struct task *reader;
    struct task *writer;

    (void)arg;
    begin_write();
    reader = start_reader("reader");
    end_write();
    CHECK(task_cancel(reader));
    CHECK(task_rwlock_readers(&lock) == 1);
    CHECK_STATUS(task_await(reader), 0);
    begin_read();
    writer = start_writer("writer");
    end_read();
    CHECK(task_cancel(writer));
    CHECK(task_rwlock_writer(&lock) == writer);
    CHECK_STATUS(task_await(writer), 0);
    CHECK_RECORD("reader 0, then -125, writer 0, then -125");
    return 0;
}

static int a_waiting_request_is_delivered_before_a_free_lock_is_taken(void *arg)
{
    (void)arg;
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_rwlock_read_acquire(&lock), -ECANCELED);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_rwlock_write_acquire(&lock), -ECANCELED);
    CHECK_STATUS(task_rwlock_destroy(&lock), 0);
    CHECK(task_cancel(task_current()));
    CHECK_STATUS(task_rwlock_try_read_acquire(&lock), 0);
    end_read();
    CHECK_STATUS(task_rwlock_try_write_acquire(&lock), 0);
    end_write();
    CHECK_STATUS(task_yield(), -ECANCELED);
    return 0;
}

/* Misuse. */

static int ends_to_write(void *arg)
{
    (void)arg;
    return task_rwlock_write_release(&lock);
}

static int only_the_writer_ends_to_write(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_rwlock_write_release(&lock), -EPERM);
    CHECK_STATUS(task_rwlock_read_release(&lock), -EPERM);
    begin_write();
    CHECK_STATUS(task_rwlock_read_release(&lock), -EPERM);
    CHECK_STATUS(task_await(test_start(ends_to_write, NULL, "other")), -EPERM);
    end_write();
    begin_read();
    CHECK_STATUS(task_rwlock_write_release(&lock), -EPERM);
    end_read();
    CHECK_STATUS(task_rwlock_read_release(&lock), -EPERM);
    return 0;
}

static int the_writer_would_wait_for_itself(void *arg)
{
    (void)arg;
    begin_write();
    CHECK_STATUS(task_rwlock_write_acquire(&lock), -EDEADLK);
    CHECK_STATUS(task_rwlock_read_acquire(&lock), -EDEADLK);
    CHECK_STATUS(task_rwlock_try_write_acquire(&lock), -EAGAIN);
    CHECK_STATUS(task_rwlock_try_read_acquire(&lock), -EAGAIN);
    end_write();
    return 0;
}

static void uses_it(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_rwlock_read_acquire(&lock), -EPERM);
    CHECK_STATUS(task_rwlock_write_acquire(&lock), -EPERM);
    CHECK_STATUS(task_rwlock_try_read_acquire(&lock), -EPERM);
    CHECK_STATUS(task_rwlock_try_write_acquire(&lock), -EPERM);
    CHECK_STATUS(task_rwlock_read_release(&lock), -EPERM);
    CHECK_STATUS(task_rwlock_write_release(&lock), -EPERM);
    record("used");
}

static int only_tasks_can_have_it(void *arg)
{
    (void)arg;
    begin_read();
    CHECK(loop_call_soon(uses_it, NULL) > 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("used");
    CHECK(task_rwlock_readers(&lock) == 1);
    end_read();
    return 0;
}

static int a_writer_that_ends_leaves_it_to_the_next(void *arg)
{
    struct task *owner = test_start(keeps, NULL, "owner");
    struct task *a = start_reader("a");
    struct task *b = start_reader("b");
    struct task *writer = start_writer("writer");

    (void)arg;
    CHECK_STATUS(task_await(owner), 0);
    CHECK_STATUS(task_await(a), -EOWNERDEAD);
    CHECK_STATUS(task_await(b), 0);
    CHECK_STATUS(task_await(writer), 0);
    CHECK_RECORD("a -130, then 0, b 0, then 0, writer 0, then 0");

    owner = test_start(keeps, NULL, "owner");
    writer = start_writer("writer");
    CHECK_STATUS(task_await(owner), 0);
    CHECK_STATUS(task_await(writer), -EOWNERDEAD);
    CHECK_RECORD("writer -130, then 0");

    CHECK_STATUS(task_await(test_start(keeps, NULL, "owner")), 0);
    CHECK_STATUS(task_rwlock_try_read_acquire(&lock), -EOWNERDEAD);
    CHECK_STATUS(task_rwlock_try_read_acquire(&lock), 0);
    end_read();
    end_read();
    return 0;
}

static int debug_mode_reports_a_writer_that_ends(void *arg)
{
    (void)arg;
    begin();
    loop_set_debug(loop_current(), true);
    CHECK_STATUS(task_await(test_start(keeps, NULL, "forgetful")), 0);
    CHECK_RECORD("leak(forgetful, 0)");
    begin();
    return 0;
}

static int one_that_somebody_has_cannot_be_destroyed(void *arg)
{
    struct task *writer;

    (void)arg;
    begin_read();
    CHECK_STATUS(task_rwlock_destroy(&lock), -EBUSY);
    writer = start_writer("writer");
    end_read();
    CHECK_STATUS(task_rwlock_destroy(&lock), -EBUSY);
    CHECK_STATUS(task_await(writer), 0);
    CHECK_STATUS(task_rwlock_destroy(&lock), 0);
    CHECK_RECORD("writer 0, then 0");
    return 0;
}

/* What a request does at any point. */

static int has_it_a_while(bool to_write)
{
    int status = to_write ? task_rwlock_write_acquire(&lock)
                          : task_rwlock_read_acquire(&lock);

    task_yield();
    task_yield();
    if (!status)
        CHECK_STATUS(to_write ? task_rwlock_write_release(&lock)
                              : task_rwlock_read_release(&lock),
                     0);
    return status;
}

static int reads_a_while(void *arg)
{
    (void)arg;
    return has_it_a_while(false);
}

static int writes_a_while(void *arg)
{
    (void)arg;
    return has_it_a_while(true);
}

/* With a reader before it, and one of either kind behind it. */
static int is_one_of_four(void *arg)
{
    struct task *others[3];

    begin();
    others[0] = task_create(reads_a_while, NULL);
    task_yield();
    others[1] = task_create(reads_a_while, NULL);
    others[2] = task_create(writes_a_while, NULL);
    has_it_a_while(*(bool *)arg);
    for (int i = 0; i < 3; i++)
        task_await(others[i]);
    return 0;
}

static void it_is_free(void *arg)
{
    (void)arg;
    CHECK(!task_rwlock_writer(&lock));
    CHECK(!task_rwlock_readers(&lock));
    CHECK(!task_rwlock_waiting(&lock));
}

static void a_cancel_at_any_point_leaves_it_free(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        bool to_write = i;

        assert_true(
            cancel_at_every_point(is_one_of_four, it_is_free, &to_write) >= 4);
    }
}

/* Many tasks at random. */

enum { CROWD = 8, ROUNDS = 20 };

static struct random random_now;
static int n_reading;
static int n_writing;
static int n_rounds;

static void dawdle(void)
{
    for (size_t n = random_below(&random_now, 3); n; n--)
        task_yield();
}

static void competes_once(bool to_write)
{
    int *n_inside = to_write ? &n_writing : &n_reading;
    int status = to_write ? task_rwlock_write_acquire(&lock)
                          : task_rwlock_read_acquire(&lock);

    CHECK(status == 0 || status == -ECANCELED);
    if (status)
        return;
    ++*n_inside;
    CHECK(n_writing + !!n_reading <= 1);
    dawdle();
    --*n_inside;
    CHECK_STATUS(to_write ? task_rwlock_write_release(&lock)
                          : task_rwlock_read_release(&lock),
                 0);
}

static int competes(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        competes_once(!random_below(&random_now, 3));
        CHECK(task_rwlock_writer(&lock) || task_rwlock_readers(&lock) ||
              !task_rwlock_waiting(&lock));
        n_rounds++;
        dawdle();
    }
    return 0;
}

static int readers_or_one_writer_whatever_is_cancelled(void *arg)
{
    struct task *crowd[CROWD];

    (void)arg;
    begin();
    random_now.state = test_seed_now();
    n_reading = n_writing = n_rounds = 0;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = task_create(competes, NULL);
    while (n_rounds < CROWD * ROUNDS) {
        task_cancel(crowd[random_below(&random_now, CROWD)]);
        dawdle();
        CHECK_STATUS(task_yield(), 0);
    }
    join(crowd, CROWD);
    it_is_free(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(any_number_read_together),
        in_main(one_writes_alone),
        in_main(a_waiting_writer_holds_newer_readers_back),
        in_main(the_last_reader_lets_the_writer_in),
        in_main(a_writer_lets_in_all_readers_up_to_the_next_writer),
        in_main(nobody_comes_before_the_one_it_was_handed_to),
        in_main(a_cancelled_writer_lets_in_those_it_held_back),
        in_main(one_cancelled_further_behind_lets_nobody_in),
        in_main(cancelled_while_another_writes_it_lets_nobody_in),
        in_main(a_cancelled_reader_is_not_let_in),
        in_main(those_cancelled_after_they_were_let_in_are_in),
        in_main(a_waiting_request_is_delivered_before_a_free_lock_is_taken),
        in_main(only_the_writer_ends_to_write),
        in_main(the_writer_would_wait_for_itself),
        in_main(only_tasks_can_have_it),
        in_main(a_writer_that_ends_leaves_it_to_the_next),
        in_main(debug_mode_reports_a_writer_that_ends),
        in_main(one_that_somebody_has_cannot_be_destroyed),
        behaviour(a_cancel_at_any_point_leaves_it_free),
        in_main_seeded(readers_or_one_writer_whatever_is_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
