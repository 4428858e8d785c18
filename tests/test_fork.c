/*
 * fork: the child has no loop, may run new ones where it stands, and leaves the
 * parent's alone.
 */

/* The linker wraps: eventfd */

#include "loop.h"
#include "process.h"
#include "record.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * In the child of a fork in a task, ThreadSanitizer sees no more what the
 * switches order, and takes that for races; and it wants no threads there.
 */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "report_bugs=0:die_after_fork=0";
}

/* In a child: say what is not so, and end. */
#define EXPECT(condition)                                                      \
    ((condition) ? (void)0 : expected(#condition, __LINE__))

static void expected(const char *condition, int line)
{
    fprintf(stderr, "%s:%d: in the child: not so: %s\n", __FILE__, line,
            condition);
    _exit(1);
}

static void end_child(void)
{
    fflush(NULL);
    _exit(0);
}

/* A child that hangs is killed. */
static pid_t fork_child(void)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (!pid)
        alarm(30);
    return pid;
}

/* Whether a child has ended well. */
static bool went_well(pid_t pid)
{
    int status = -1;

    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int return_number(void *arg)
{
    return *(const int *)arg;
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return task_sleep(TASK_FOREVER);
}

static int sleep_a_while(void *arg)
{
    (void)arg;
    return task_sleep(100 * TASK_MILLISECOND);
}

static int unreached(void *arg)
{
    (void)arg;
    EXPECT(false);
    return 0;
}

static void unreached_call(void *arg)
{
    (void)arg;
    EXPECT(false);
}

static void unreached_end(struct task *task, void *arg)
{
    (void)task;
    unreached_call(arg);
}

/* What a test shares with its main. */
struct forked {
    struct loop *loop;
    struct task *parked;
    struct task *future;
    pid_t pid;
    void (*in_child)(struct forked *forked);
    void (*in_parent)(struct forked *forked); /* after its end; NULL: nothing */
    int pipe[2];
    pid_t program;
    char path[40];
    enum loop_error_kind kind; /* the report to fork in; 0: none */
    bool in_destructor;        /* of a local */
    unsigned reports;
};

static void count_report(const struct loop_error *error, void *arg)
{
    (void)error;
    ((struct forked *)arg)->reports++;
}

static struct loop *make_loop(struct forked *forked, enum loop_clock clock)
{
    struct loop_options options = test_options(NULL);

    options.clock = clock;
    options.on_error = count_report;
    options.on_error_arg = forked;
    forked->loop = loop_new(&options);
    assert_non_null(forked->loop);
    return forked->loop;
}

/* What a child may expect of itself, and of the loop that it inherited. */

static void have_no_loop(struct forked *forked)
{
    (void)forked;
    EXPECT(loop_current() == NULL);
    EXPECT(task_current() == NULL);
    EXPECT(task_sleep(0) == -EPERM);
    EXPECT(task_yield() == -EPERM);
    EXPECT(task_sleep(TASK_FOREVER) == -EPERM);
    EXPECT(task_wait_all_blocked() == -EPERM);
    EXPECT(loop_call_soon(unreached_call, NULL) == -EPERM);
    EXPECT(loop_call_later(0, unreached_call, NULL) == -EPERM);
    EXPECT(loop_call_at(0, unreached_call, NULL) == -EPERM);
    EXPECT(loop_call_cancel(1) == -ENOENT);
    EXPECT(task_create(unreached, NULL) == NULL);
    EXPECT(task_future_create() == NULL);
    EXPECT(task_all(NULL, 0) == 0);
}

static void cannot_use_the_loop(struct forked *forked)
{
    struct loop *loop = forked->loop;

    EXPECT(loop_run_main(loop, unreached, NULL) == -EPERM);
    EXPECT(loop_run_forever(loop) == -EPERM);
    EXPECT(loop_run_turn(loop, 0) == -EPERM);
    EXPECT(loop_run_turn(loop, TASK_FOREVER) == -EPERM);
    EXPECT(loop_fd(loop) == -EPERM);
    EXPECT(loop_create_task(loop, unreached, NULL) == NULL);
    EXPECT(loop_next_timeout(loop) == TASK_FOREVER);
    loop_stop(loop);
    loop_advance(loop, TASK_HOUR);
}

static void cannot_use_its_tasks(struct forked *forked)
{
    struct task *parked = forked->parked;

    EXPECT(task_await(parked) == -EPERM);
    EXPECT(task_cancel_await(parked) == -EPERM);
    EXPECT(!task_cancel(parked));
    EXPECT(!task_retain(parked));
    EXPECT(!task_done(parked));
    EXPECT(task_status(parked) == -EINPROGRESS);
    EXPECT(task_add_done_callback(parked, unreached_end, NULL) == -EPERM);
    EXPECT(task_remove_done_callback(parked, unreached_end, NULL) == -EPERM);
    EXPECT(task_future_complete(forked->future, 1) == -EPERM);
    EXPECT(!task_done(forked->future));
    task_set_name(parked, "other");
    task_detach(parked);
    task_detach(forked->future);
}

static int work(void *arg)
{
    int numbers[] = {3, 4};
    struct task *sleeper = task_create(sleep_a_while, NULL);

    EXPECT(task_await(task_create(return_number, &numbers[0])) == 3);
    EXPECT(task_await(task_create(return_number, &numbers[1])) == 4);
    EXPECT(task_await(sleeper) == 0);
    EXPECT(task_cancel_await(task_create(sleep_for_ever, NULL)) == -ECANCELED);
    EXPECT(loop_run(return_number, &numbers[0]) == -EBUSY);
    return return_number(arg);
}

static void can_run_new_loops(struct forked *forked)
{
    int number = 66;

    EXPECT(loop_run(work, &number) == 66);
    EXPECT(run_virtual(work, &number) == 66);
    EXPECT(loop_run(work, &number) == 66);
    have_no_loop(forked);
    cannot_use_the_loop(forked);
}

static int await_a_program(void *arg)
{
    struct task_process *process = NULL;
    int status;

    (void)arg;
    EXPECT(task_process_shell(&process, "exit 3", NULL) == 0);
    status = task_process_wait(process);
    task_process_free(process);
    EXPECT(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void can_run_programs(struct forked *forked)
{
    (void)forked;
    EXPECT(loop_run(await_a_program, NULL) == 3);
    task__child_best = &task__child_thread;
    EXPECT(loop_run(await_a_program, NULL) == 3);
}

static void can_free_the_loop(struct forked *forked)
{
    EXPECT(loop_free(forked->loop) == 0);
    EXPECT(forked->reports == 0);
    have_no_loop(forked);
}

static void can_free_the_loop_and_run_new_ones(struct forked *forked)
{
    int number = 67;

    can_free_the_loop(forked);
    EXPECT(loop_run(work, &number) == 67);
    EXPECT(run_virtual(work, &number) == 67);
}

/* Fork in a task; the child returns from it. */

static int fork_in_a_task(void *arg)
{
    struct forked *forked = arg;

    forked->parked = task_create(sleep_for_ever, NULL);
    forked->future = task_future_create();
    CHECK_STATUS(task_yield(), 0);
    forked->pid = fork_child();
    if (!forked->pid) {
        forked->in_child(forked);
        return 55;
    }
    CHECK(loop_current() == forked->loop);
    CHECK(went_well(forked->pid));
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK_STATUS(task_await(task_create(sleep_a_while, NULL)), 0);
    CHECK_STATUS(task_future_complete(forked->future, 9), 0);
    CHECK_STATUS(task_await(forked->future), 9);
    CHECK_STATUS(task_cancel_await(forked->parked), -ECANCELED);
    return 7;
}

static void check_fork_in_a_task(void (*in_child)(struct forked *),
                                 enum loop_clock clock)
{
    struct forked forked = {.pid = -1, .in_child = in_child};
    struct loop *loop = make_loop(&forked, clock);
    int status = loop_run_main(loop, fork_in_a_task, &forked);

    if (!forked.pid) {
        EXPECT(status == -EPERM);
        EXPECT(loop_current() == NULL);
        end_child();
    }
    assert_int_equal(status, 7);
    test_loop_free(loop, NULL);
    assert_int_equal(forked.reports, 0);
}

static void do_nothing(struct forked *forked)
{
    (void)forked;
}

static void
a_task_that_returns_in_the_child_ends_the_inherited_run(void **state)
{
    (void)state;
    check_fork_in_a_task(do_nothing, LOOP_CLOCK_VIRTUAL);
    check_fork_in_a_task(do_nothing, LOOP_CLOCK_REAL);
}

static void in_the_child_no_loop_is_current(void **state)
{
    (void)state;
    check_fork_in_a_task(have_no_loop, LOOP_CLOCK_VIRTUAL);
    check_fork_in_a_task(have_no_loop, LOOP_CLOCK_REAL);
}

static void the_inherited_loop_cannot_be_used(void **state)
{
    (void)state;
    check_fork_in_a_task(cannot_use_the_loop, LOOP_CLOCK_VIRTUAL);
    check_fork_in_a_task(cannot_use_the_loop, LOOP_CLOCK_REAL);
}

static void inherited_tasks_cannot_be_used(void **state)
{
    (void)state;
    check_fork_in_a_task(cannot_use_its_tasks, LOOP_CLOCK_VIRTUAL);
}

static void a_new_loop_runs_on_the_stack_of_an_inherited_task(void **state)
{
    (void)state;
    check_fork_in_a_task(can_run_new_loops, LOOP_CLOCK_VIRTUAL);
    check_fork_in_a_task(can_run_new_loops, LOOP_CLOCK_REAL);
}

static void a_loop_of_the_child_runs_programs(void **state)
{
    (void)state;
    check_fork_in_a_task(can_run_programs, LOOP_CLOCK_REAL);
}

static void
freeing_the_inherited_loop_touches_nothing_of_the_parents(void **state)
{
    (void)state;
    check_fork_in_a_task(can_free_the_loop, LOOP_CLOCK_VIRTUAL);
    check_fork_in_a_task(can_free_the_loop_and_run_new_ones, LOOP_CLOCK_REAL);
}

static void exit_at_once(struct forked *forked)
{
    (void)forked;
    end_child();
}

static void a_child_that_exits_leaves_the_parent_alone(void **state)
{
    (void)state;
    check_fork_in_a_task(exit_at_once, LOOP_CLOCK_REAL);
}

static int fork_in_an_own_loop(void *arg)
{
    ((struct forked *)arg)->loop = loop_current();
    return fork_in_a_task(arg);
}

static void write_stderr_to_a_file(struct forked *forked)
{
    FILE *file = tmpfile();

    EXPECT(file && dup2(fileno(file), STDERR_FILENO) >= 0);
    have_no_loop(forked);
}

/*
 * The child of a plain loop_run, which frees what it inherited by itself, and
 * has nothing to report: stderr is a file that stays empty.
 */
static void the_inherited_loop_run_returns_in_the_child(void **state)
{
    struct forked forked = {.pid = -1, .in_child = write_stderr_to_a_file};
    int status = loop_run(fork_in_an_own_loop, &forked);

    (void)state;
    if (!forked.pid) {
        fflush(stderr);
        EXPECT(lseek(STDERR_FILENO, 0, SEEK_END) == 0);
        EXPECT(status == -EPERM);
        end_child();
    }
    assert_int_equal(status, 7);
}

static int fork_eagerly(void *arg)
{
    struct forked *forked = arg;

    forked->pid = fork_child();
    if (!forked->pid)
        have_no_loop(forked);
    return 55;
}

static int create_one_that_forks(void *arg)
{
    struct forked *forked = arg;
    struct task_options eager = {.eager = true};
    struct task *task = task_create_with(fork_eagerly, arg, &eager);

    if (!forked->pid)
        EXPECT(false);
    CHECK(went_well(forked->pid));
    return task_await(task);
}

static void check_that_the_run_ends_in_the_child(task_fn *fn, int status)
{
    struct forked forked = {.pid = -1};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_VIRTUAL);
    int found = loop_run_main(loop, fn, &forked);

    if (!forked.pid) {
        EXPECT(found == -EPERM);
        end_child();
    }
    assert_int_equal(found, status);
    test_loop_free(loop, NULL);
}

static void a_fork_in_an_eager_task_ends_the_inherited_run(void **state)
{
    (void)state;
    check_that_the_run_ends_in_the_child(create_one_that_forks, 55);
}

/* Fork in what is called when a task has returned. */

static void fork_at_the_end(void *value)
{
    ((struct forked *)value)->pid = fork_child();
}

static struct task_local forks_at_the_end = {.destroy = fork_at_the_end};

static int end_with_a_fork(void *arg)
{
    return task_local_set(&forks_at_the_end, arg);
}

static int run_in_the_parent(void *arg)
{
    const struct forked *forked = arg;

    EXPECT(forked->pid != 0);
    return 8;
}

static int create_one_that_ends_with_a_fork(void *arg)
{
    struct forked *forked = arg;
    struct task *task = task_create(end_with_a_fork, arg);
    struct task *next = task_create(run_in_the_parent, arg);

    CHECK_STATUS(task_await(task), 0);
    EXPECT(forked->pid != 0);
    CHECK(went_well(forked->pid));
    return task_await(next);
}

static void a_fork_when_a_task_has_returned_ends_the_inherited_run(void **state)
{
    (void)state;
    check_that_the_run_ends_in_the_child(create_one_that_ends_with_a_fork, 8);
}

/* Fork in a callback. */

static void fork_in_a_callback(void *arg)
{
    struct forked *forked = arg;

    forked->pid = fork_child();
    if (!forked->pid)
        forked->in_child(forked);
}

static int wait_for_a_fork(void *arg)
{
    struct forked *forked = arg;

    forked->parked = task_create(sleep_for_ever, NULL);
    forked->future = task_future_create();
    CHECK_STATUS(task_yield(), 0);
    CHECK(loop_call_soon(fork_in_a_callback, arg) > 0);
    CHECK_STATUS(task_yield(), 0);
    if (!forked->pid)
        EXPECT(false);
    CHECK(went_well(forked->pid));
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK_STATUS(task_cancel_await(forked->parked), -ECANCELED);
    return 7;
}

static void check_fork_in_a_callback(void (*in_child)(struct forked *))
{
    struct forked forked = {.pid = -1, .in_child = in_child};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_REAL);
    int status = loop_run_main(loop, wait_for_a_fork, &forked);

    if (!forked.pid) {
        EXPECT(status == -EPERM);
        end_child();
    }
    assert_int_equal(status, 7);
    test_loop_free(loop, NULL);
    assert_int_equal(forked.reports, 0);
}

static void a_fork_in_a_callback_ends_the_inherited_run(void **state)
{
    (void)state;
    check_fork_in_a_callback(have_no_loop);
    check_fork_in_a_callback(cannot_use_the_loop);
    check_fork_in_a_callback(cannot_use_its_tasks);
    check_fork_in_a_callback(can_run_new_loops);
}

static void the_inherited_loop_can_be_freed_in_a_callback(void **state)
{
    (void)state;
    check_fork_in_a_callback(can_free_the_loop);
    check_fork_in_a_callback(can_free_the_loop_and_run_new_ones);
}

/* Fork outside a run. */

static void a_loop_that_does_not_run_is_inherited_too(void **state)
{
    struct forked forked = {.pid = -1};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_REAL);
    int number = 5;

    (void)state;
    forked.parked = loop_create_task(loop, sleep_for_ever, NULL);
    assert_int_equal(loop_run_main(loop, return_number, &number), 5);
    forked.pid = fork_child();
    if (!forked.pid) {
        cannot_use_the_loop(&forked);
        can_run_new_loops(&forked);
        can_free_the_loop_and_run_new_ones(&forked);
        end_child();
    }
    assert_true(went_well(forked.pid));
    assert_int_equal(loop_run_main(loop, return_number, &number), 5);
    assert_false(task_done(forked.parked));
    test_loop_free(loop, NULL);
    assert_int_equal(forked.reports, 0);
}

/* The timer of the parent's descriptor is shared with the child. */
static void the_childs_doings_do_not_move_the_parents_alarm(void **state)
{
    struct forked forked = {.pid = -1};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_REAL);
    struct pollfd fd = {.fd = loop_fd(loop), .events = POLLIN};

    (void)state;
    if (fd.fd < 0) {
        test_loop_free(loop, NULL);
        skip();
    }
    task_detach(loop_create_task(loop, sleep_a_while, NULL));
    assert_int_equal(loop_run_turn(loop, 0), 1);
    forked.pid = fork_child();
    if (!forked.pid) {
        cannot_use_the_loop(&forked);
        can_free_the_loop_and_run_new_ones(&forked);
        end_child();
    }
    assert_true(went_well(forked.pid));
    assert_int_equal(poll(&fd, 1, 20000), 1);
    assert_int_equal(loop_run_turn(loop, 0), 1);
    assert_int_equal(loop_run_turn(loop, 0), 0);
    test_loop_free(loop, NULL);
}

/* Fork in what the loop calls outside of its batches. */

/* The child goes on; the parent does so after its end. */
static void fork_once(struct forked *forked)
{
    if (forked->pid >= 0)
        return;
    forked->pid = fork_child();
    if (!forked->pid)
        return;
    CHECK(went_well(forked->pid));
    if (forked->in_parent)
        forked->in_parent(forked);
}

static int fork_in_a_hook(struct loop *loop, void *arg)
{
    (void)loop;
    fork_once(arg);
    return 0;
}

static void fork_in_a_report(const struct loop_error *error, void *arg)
{
    struct forked *forked = arg;

    EXPECT(forked->pid != 0);
    forked->reports++;
    if (error->kind == forked->kind)
        fork_once(forked);
}

static void fork_in_reports(struct forked *forked, enum loop_error_kind kind)
{
    forked->kind = kind;
    loop_set_error_handler(forked->loop, fork_in_a_report, forked);
}

static void write_a_byte(struct forked *forked)
{
    CHECK(write(forked->pipe[1], "", 1) == 1);
}

/* Nothing comes before the child has ended. */
static int read_a_byte(void *arg)
{
    struct forked *forked = arg;
    char byte;

    return (int)task_read(forked->pipe[0], &byte, 1);
}

static void free_in_the_child(struct forked *forked)
{
    EXPECT(loop_current() == NULL);
    EXPECT(loop_free(forked->loop) == 0);
    end_child();
}

/* A run of this main, which returns `status`, and in the child -EPERM. */
static void check_fork_in_a_hook(struct loop_hooks hooks, task_fn *main_fn,
                                 int status)
{
    struct forked forked = {.pid = -1, .in_parent = write_a_byte};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_REAL);
    int found;

    hooks.arg = &forked;
    assert_int_equal(pipe(forked.pipe), 0);
    assert_int_equal(loop_add_hooks(loop, &hooks), 0);
    found = loop_run_main(loop, main_fn, &forked);
    if (!forked.pid) {
        EXPECT(found == -EPERM);
        free_in_the_child(&forked);
    }
    assert_int_equal(found, status);
    assert_true(forked.pid > 0);
    test_loop_free(loop, NULL);
    close(forked.pipe[0]);
    close(forked.pipe[1]);
    assert_int_equal(forked.reports, 0);
    assert_checks();
}

static void a_fork_as_a_run_begins_ends_it_in_the_child(void **state)
{
    (void)state;
    check_fork_in_a_hook((struct loop_hooks){.run_begins = fork_in_a_hook},
                         read_a_byte, 1);
}

static void a_fork_as_a_run_ends_is_known_by_its_result(void **state)
{
    (void)state;
    check_fork_in_a_hook((struct loop_hooks){.run_ends = fork_in_a_hook},
                         sleep_a_while, 0);
}

static void the_child_of_a_fork_as_a_wait_begins_does_not_wait(void **state)
{
    (void)state;
    check_fork_in_a_hook((struct loop_hooks){.poll_begins = fork_in_a_hook},
                         read_a_byte, 1);
}

static void a_fork_when_a_wait_is_over_ends_the_inherited_run(void **state)
{
    (void)state;
    check_fork_in_a_hook((struct loop_hooks){.poll_ends = fork_in_a_hook},
                         sleep_a_while, 0);
}

static int fork_before_a_ready_task(struct task *task, void *arg)
{
    (void)task;
    fork_once(arg);
    return 0;
}

static void a_fork_when_a_task_was_made_ends_the_inherited_run(void **state)
{
    (void)state;
    check_fork_in_a_hook(
        (struct loop_hooks){.task_created = fork_before_a_ready_task},
        read_a_byte, 1);
}

/* So many steps go before the one at whose beginning it forks. */
static int steps_left;

static int fork_before_a_step(struct task *task, void *arg)
{
    (void)task;
    if (steps_left-- == 0)
        fork_once(arg);
    return 0;
}

static int yield_and_read(void *arg)
{
    CHECK_STATUS(task_yield(), 0);
    return read_a_byte(arg);
}

static int have_another_read(void *arg)
{
    const struct task_options eager = {.eager = true};

    return task_await(task_create_with(read_a_byte, arg, &eager));
}

/* One that begins, one that goes on, and one within another. */
static void the_child_of_a_fork_before_a_step_runs_none(void **state)
{
    static task_fn *const mains[] = {read_a_byte, yield_and_read,
                                     have_another_read};

    (void)state;
    for (int i = 0; i < 3; i++) {
        steps_left = i > 0;
        check_fork_in_a_hook(
            (struct loop_hooks){.step_begins = fork_before_a_step}, mains[i],
            1);
    }
}

static void a_fork_in_a_hook_ends_the_inherited_turn(void **state)
{
    struct loop_hooks all[] = {{.run_begins = fork_in_a_hook},
                               {.poll_begins = fork_in_a_hook},
                               {.poll_ends = fork_in_a_hook},
                               {.run_ends = fork_in_a_hook}};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct forked forked = {.pid = -1};
        struct loop *loop = make_loop(&forked, LOOP_CLOCK_REAL);
        int status;

        all[i].arg = &forked;
        task_detach(loop_create_task(loop, sleep_a_while, NULL));
        assert_int_equal(loop_add_hooks(loop, &all[i]), 0);
        status = loop_run_turn(loop, 0);
        if (!forked.pid) {
            EXPECT(status == -EPERM);
            free_in_the_child(&forked);
        }
        assert_int_equal(status, 1);
        test_loop_free(loop, NULL);
        assert_checks();
    }
}

static int expect_the_parent(struct loop *loop, void *arg)
{
    (void)loop;
    EXPECT(((struct forked *)arg)->pid != 0);
    return 0;
}

static void in_the_child_no_other_hooks_are_called(void **state)
{
    struct forked forked = {.pid = -1};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_VIRTUAL);
    struct loop_hooks first = {.poll_begins = fork_in_a_hook, .arg = &forked};
    struct loop_hooks other = {.poll_begins = expect_the_parent,
                               .poll_ends = expect_the_parent,
                               .run_ends = expect_the_parent,
                               .arg = &forked};
    int status;

    (void)state;
    assert_int_equal(loop_add_hooks(loop, &first), 0);
    assert_int_equal(loop_add_hooks(loop, &other), 0);
    status = loop_run_main(loop, sleep_a_while, NULL);
    if (!forked.pid) {
        EXPECT(status == -EPERM);
        free_in_the_child(&forked);
    }
    assert_int_equal(status, 0);
    test_loop_free(loop, NULL);
    assert_checks();
}

static int run_until_deadlock(struct loop *loop)
{
    return loop_run_main(loop, sleep_for_ever, NULL);
}

static int turn_until_deadlock(struct loop *loop)
{
    task_detach(loop_create_task(loop, sleep_for_ever, NULL));
    return loop_run_turn(loop, TASK_FOREVER);
}

static void check_fork_in_a_deadlock(int (*run)(struct loop *loop))
{
    struct forked forked = {.pid = -1};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_VIRTUAL);
    int status;

    fork_in_reports(&forked, LOOP_ERROR_DEADLOCK);
    status = run(loop);
    if (!forked.pid) {
        EXPECT(status == -EPERM);
        free_in_the_child(&forked);
    }
    assert_int_equal(status, -EDEADLK);
    test_loop_free(loop, NULL);
    assert_checks();
}

static void a_fork_in_the_report_of_a_deadlock_ends_the_run(void **state)
{
    (void)state;
    check_fork_in_a_deadlock(run_until_deadlock);
    check_fork_in_a_deadlock(turn_until_deadlock);
}

/* Long enough for the watchdog, which may have to wait for a processor. */
static int hold_the_loop_and_read(void *arg)
{
    const struct watchdog *watchdog = loop_current()->watchdog;
    task_time end = loop_time() + 200 * TASK_MILLISECOND;

    while (loop_time() < end || !task__watchdog_has_news(watchdog))
        continue;
    return read_a_byte(arg);
}

static void a_fork_in_the_report_of_a_stall_ends_the_run(void **state)
{
    struct forked forked = {.pid = -1, .in_parent = write_a_byte};
    struct loop_options options = test_options(NULL);
    int status;

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    options.stall_timeout = 20 * TASK_MILLISECOND;
    forked.loop = loop_new(&options);
    assert_non_null(forked.loop);
    assert_int_equal(pipe(forked.pipe), 0);
    fork_in_reports(&forked, LOOP_ERROR_STALL);
    status = loop_run_main(forked.loop, hold_the_loop_and_read, &forked);
    if (!forked.pid) {
        EXPECT(status == -EPERM);
        free_in_the_child(&forked);
    }
    assert_int_equal(status, 1);
    assert_true(forked.pid > 0);
    test_loop_free(forked.loop, NULL);
    close(forked.pipe[0]);
    close(forked.pipe[1]);
    assert_checks();
}

/* Fork as a loop is freed. */

static void fork_in_a_destructor(void *value)
{
    struct forked *forked = value;

    EXPECT(forked->pid != 0);
    if (forked->in_destructor)
        fork_once(forked);
}

static int failure = -EIO;
static struct task_local some = {.destroy = fork_in_a_destructor};
static struct task_local others = {.destroy = fork_in_a_destructor};

/* Nor by a request. */
static int never_end_with_locals(void *arg)
{
    CHECK_STATUS(task_local_set(&some, arg), 0);
    CHECK_STATUS(task_local_set(&others, arg), 0);
    while (task_sleep(TASK_FOREVER))
        continue;
    return 0;
}

static int close_at_once(struct task_stream *stream, void *arg)
{
    (void)arg;
    return task_stream_close(stream);
}

/* What the end of the loop tells of, and ends. */
static int leave_much(void *arg)
{
    struct forked *forked = arg;
    struct task_process *process;
    struct task_server *server;

    CHECK_STATUS(task_process_shell(&process, "exec sleep 100", NULL), 0);
    forked->program = task_process_pid(process);
    CHECK_STATUS(
        task_start_unix_server(&server, forked->path, close_at_once, NULL), 0);
    CHECK(task_create(return_number, &failure) != NULL);
    task_detach(task_create(never_end_with_locals, arg));
    return task_yield();
}

/* Nobody has killed it before. */
static void end_the_program(struct forked *forked)
{
    siginfo_t info = {0};

    CHECK(kill(forked->program, SIGTERM) == 0);
    CHECK(waitid(P_PID, (id_t)forked->program, &info, WEXITED | WNOWAIT) == 0);
    CHECK_STATUS(info.si_status, SIGTERM);
}

static void look_for_the_socket(struct forked *forked)
{
    CHECK(access(forked->path, F_OK) == 0);
    end_the_program(forked);
}

/* In a report, a local's destructor, or one of the hooks (NULL: there are
 * none). */
static void check_fork_at_the_end(struct forked forked,
                                  struct loop_hooks *hooks)
{
    struct loop_options options = test_options(NULL);
    int status;

    options.debug = true;
    options.shutdown_timeout = TASK_SECOND;
    options.on_error = fork_in_a_report;
    options.on_error_arg = &forked;
    forked.pid = -1;
    forked.loop = loop_new(&options);
    snprintf(forked.path, sizeof forked.path, "/tmp/task-fork-%d",
             (int)getpid());
    assert_non_null(forked.loop);
    assert_int_equal(loop_run_main(forked.loop, leave_much, &forked), 0);
    if (hooks) {
        hooks->arg = &forked;
        assert_int_equal(loop_add_hooks(forked.loop, hooks), 0);
    }
    status = loop_free(forked.loop);
    if (!forked.pid) {
        EXPECT(status == -EPERM);
        free_in_the_child(&forked);
    }
    assert_int_equal(status, 0);
    assert_true(forked.pid > 0);
    assert_true(forked.reports >= 4);
    assert_checks();
}

static void a_fork_in_the_last_reports_leaves_the_parents_alone(void **state)
{
    enum loop_error_kind kinds[] = {LOOP_ERROR_UNAWAITED, LOOP_ERROR_SHUTDOWN,
                                    LOOP_ERROR_LEAK};

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        check_fork_at_the_end(
            (struct forked){.in_parent = end_the_program, .kind = kinds[i]},
            NULL);
}

static void a_fork_as_a_local_is_dropped_leaves_the_parents_alone(void **state)
{
    (void)state;
    check_fork_at_the_end(
        (struct forked){.in_parent = end_the_program, .in_destructor = true},
        NULL);
}

static void a_fork_in_the_last_hook_leaves_the_parents_alone(void **state)
{
    struct loop_hooks hooks = {.run_ends = fork_in_a_hook};

    (void)state;
    check_fork_at_the_end((struct forked){.in_parent = end_the_program},
                          &hooks);
}

static void a_fork_as_the_last_run_begins_leaves_the_parents_alone(void **state)
{
    struct loop_hooks hooks = {.run_begins = fork_in_a_hook};

    (void)state;
    check_fork_at_the_end((struct forked){.in_parent = look_for_the_socket},
                          &hooks);
}

static int remember_the_loop(void *arg)
{
    struct forked *forked = arg;

    forked->loop = loop_current();
    fork_in_reports(forked, LOOP_ERROR_UNAWAITED);
    CHECK(task_create(return_number, &failure) != NULL);
    return task_yield();
}

static void
a_fork_as_loop_run_frees_its_loop_is_known_by_its_result(void **state)
{
    struct forked forked = {.pid = -1};
    int status = loop_run(remember_the_loop, &forked);

    (void)state;
    if (!forked.pid) {
        EXPECT(status == -EPERM);
        end_child();
    }
    assert_int_equal(status, 0);
    assert_checks();
}

/* Generations. */

static int fork_again(void *arg)
{
    struct forked forked = {.loop = loop_current()};

    forked.pid = fork_child();
    if (!forked.pid) {
        have_no_loop(&forked);
        cannot_use_the_loop(&forked);
        can_run_new_loops(&forked);
        end_child();
    }
    EXPECT(went_well(forked.pid));
    EXPECT(task_sleep(TASK_MILLISECOND) == 0);
    return return_number(arg);
}

static void run_one_that_forks(struct forked *forked)
{
    int number = 68;

    EXPECT(loop_run(fork_again, &number) == 68);
    have_no_loop(forked);
}

static void a_child_may_fork_again(void **state)
{
    (void)state;
    check_fork_in_a_task(run_one_that_forks, LOOP_CLOCK_REAL);
}

/* Scopes that are open where the process forks. */

static void cannot_use(struct task_timeout *timeout, struct task_group *group)
{
    EXPECT(task_deadline() == TASK_FOREVER);
    EXPECT(task_timeout_reschedule(timeout, 1) == -EINVAL);
    EXPECT(task_group_start(group, unreached, NULL) == -EPERM);
    EXPECT(task_group_create(group, unreached, NULL) == NULL);
    task_group_cancel(group);
    EXPECT(task_group_end(group, 8) == -EPERM);
    EXPECT(task_timeout_end(timeout, 8) == -EPERM);
}

static int fork_in_scopes(void *arg)
{
    struct forked *forked = arg;
    struct task_timeout timeout;
    struct task_group group;

    task_timeout_begin(&timeout, TASK_HOUR);
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, sleep_a_while, NULL), 0);
    forked->pid = fork_child();
    if (!forked->pid) {
        cannot_use(&timeout, &group);
        return 55;
    }
    CHECK(went_well(forked->pid));
    CHECK_STATUS(task_group_end(&group, 8), 8);
    return task_timeout_end(&timeout, 7);
}

static void scopes_of_an_inherited_task_cannot_be_used(void **state)
{
    struct forked forked = {.pid = -1};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_VIRTUAL);
    int status = loop_run_main(loop, fork_in_scopes, &forked);

    (void)state;
    if (!forked.pid)
        end_child();
    assert_int_equal(status, 7);
    test_loop_free(loop, NULL);
}

/* What is run once, while the process forks. */

static struct task_once once;
static int three = 3;
static int four = 4;
static int five = 5;

static int run_it(void *status)
{
    return task_once_run(&once, return_number, status);
}

static int fork_in_once(void *arg)
{
    struct forked *forked = arg;

    CHECK_STATUS(task_yield(), 0);
    CHECK(task_once_waiting(&once) == 1);
    CHECK_STATUS(task_once_destroy(&once), -EBUSY);
    forked->pid = fork_child();
    if (!forked->pid) {
        forked->in_child(forked);
        return four;
    }
    CHECK(went_well(forked->pid));
    return three;
}

static int run_what_forks(void *arg)
{
    struct forked *forked = arg;
    struct task *waiter = task_create(run_it, &five);
    int status = task_once_run(&once, fork_in_once, forked);

    if (!forked->pid)
        return status;
    CHECK_STATUS(task_await(waiter), three);
    return status;
}

static void check_fork_in_once(void (*in_child)(struct forked *),
                               int status_in_child)
{
    struct forked forked = {.pid = -1, .in_child = in_child};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_VIRTUAL);
    int status;

    once = (struct task_once){0};
    status = loop_run_main(loop, run_what_forks, &forked);
    if (!forked.pid) {
        EXPECT(status == -EPERM);
        EXPECT(loop_run(run_it, &three) == status_in_child);
        end_child();
    }
    assert_int_equal(status, three);
    test_loop_free(loop, NULL);
}

static void run_it_in_a_new_loop(struct forked *forked)
{
    (void)forked;
    EXPECT(task_once_waiting(&once) == 0);
    EXPECT(loop_run(run_it, &five) == 5);
    EXPECT(task_once_done(&once));
}

static void make_it_ready(struct forked *forked)
{
    (void)forked;
    EXPECT(task_once_destroy(&once) == 0);
}

static void in_the_child_of_a_fork_nobody_runs_it(void **state)
{
    (void)state;
    check_fork_in_once(run_it_in_a_new_loop, 5);
    check_fork_in_once(make_it_ready, 3);
}

static void unless_the_runner_goes_on_there(void **state)
{
    (void)state;
    check_fork_in_once(do_nothing, 4);
}

/* Descriptors. */

static bool refuses_eventfd;

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags)
{
    errno = ENOSYS;
    return refuses_eventfd ? -1 : __real_eventfd(value, flags);
}

/* How many are open that exec would keep, and how many are open. */
static size_t kept_by_exec(size_t *n_open)
{
    size_t n = 0;

    *n_open = 0;
    for (int fd = STDERR_FILENO + 1; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);

        *n_open += flags >= 0;
        n += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return n;
}

static void open_process(struct task_process **process)
{
    const struct task_process_options options = {.stdin_mode = TASK_PIPE,
                                                 .stdout_mode = TASK_PIPE,
                                                 .stderr_mode = TASK_PIPE};

    CHECK_STATUS(task_process_shell(process, "read line", &options), 0);
}

/* The poller's, its timer's, and the outer one; an inbox's, which remotes,
 * workers and signals share; a process's, of which there is a watch and three
 * pipes; and a trace's. */
static int open_all_sorts(void *arg)
{
    size_t *before = arg;
    size_t n_open;
    struct loop *loop = loop_current();
    struct loop_remote *remote = loop_remote_open();
    struct task_process *process;

    CHECK(remote != NULL);
    CHECK_STATUS(loop_trace_start(loop, "/dev/null"), 0);
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, unreached_call, NULL), 0);
    CHECK_STATUS(task_to_thread(return_number, &three), 3);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK_STATUS(task_sleep(6 * TASK_MILLISECOND), 0);
    open_process(&process);
    (void)loop_fd(loop); /* there may be none */
    CHECK_STATUS((long long)kept_by_exec(&n_open), (long long)before[0]);
    CHECK(n_open >= before[1] + 6);
    task_process_free(process);
    loop_remote_close(remote);
    return loop_remove_signal_handler(SIGUSR1);
}

static void check_what_survives_exec(void)
{
    struct forked forked = {.pid = -1};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_REAL);
    size_t before[2];

    before[0] = kept_by_exec(&before[1]);
    assert_int_equal(loop_run_main(loop, open_all_sorts, before), 0);
    test_loop_free(loop, NULL);
    assert_checks();
}

static void descriptors_of_a_loop_do_not_survive_exec(void **state)
{
    (void)state;
    check_what_survives_exec();
}

static void nor_do_those_that_others_are_replaced_by(void **state)
{
    const struct child_kind *best = task__child_best;

    (void)state;
    task__child_best = &task__child_thread;
    refuses_eventfd = true;
    check_what_survives_exec();
    task__child_best = best;
    refuses_eventfd = false;
}

/* Another thread ran it, and was about to publish them. */
static void stats_of_an_inherited_loop_are_no_eternal_wait(void **state)
{
    struct forked forked = {.pid = -1};
    struct loop *loop = make_loop(&forked, LOOP_CLOCK_VIRTUAL);
    struct loop_stats stats;
    pid_t pid;

    (void)state;
    loop->published.version++;
    pid = fork_child();
    if (!pid) {
        alarm(10);
        loop_get_stats(loop, &stats);
        end_child();
    }
    assert_true(went_well(pid));
    loop->published.version--;
    test_loop_free(loop, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(a_task_that_returns_in_the_child_ends_the_inherited_run),
        behaviour(in_the_child_no_loop_is_current),
        behaviour(the_inherited_loop_cannot_be_used),
        behaviour(inherited_tasks_cannot_be_used),
        behaviour(a_new_loop_runs_on_the_stack_of_an_inherited_task),
        behaviour(a_loop_of_the_child_runs_programs),
        behaviour(freeing_the_inherited_loop_touches_nothing_of_the_parents),
        behaviour(a_child_that_exits_leaves_the_parent_alone),
        behaviour(the_inherited_loop_run_returns_in_the_child),
        behaviour(a_fork_in_an_eager_task_ends_the_inherited_run),
        behaviour(a_fork_when_a_task_has_returned_ends_the_inherited_run),
        behaviour(a_fork_in_a_callback_ends_the_inherited_run),
        behaviour(the_inherited_loop_can_be_freed_in_a_callback),
        behaviour(a_loop_that_does_not_run_is_inherited_too),
        behaviour(the_childs_doings_do_not_move_the_parents_alarm),
        behaviour(a_fork_as_a_run_begins_ends_it_in_the_child),
        behaviour(a_fork_as_a_run_ends_is_known_by_its_result),
        behaviour(the_child_of_a_fork_as_a_wait_begins_does_not_wait),
        behaviour(a_fork_when_a_wait_is_over_ends_the_inherited_run),
        behaviour(a_fork_when_a_task_was_made_ends_the_inherited_run),
        behaviour(the_child_of_a_fork_before_a_step_runs_none),
        behaviour(a_fork_in_a_hook_ends_the_inherited_turn),
        behaviour(in_the_child_no_other_hooks_are_called),
        behaviour(a_fork_in_the_report_of_a_deadlock_ends_the_run),
        behaviour(a_fork_in_the_report_of_a_stall_ends_the_run),
        behaviour(a_fork_in_the_last_reports_leaves_the_parents_alone),
        behaviour(a_fork_as_a_local_is_dropped_leaves_the_parents_alone),
        behaviour(a_fork_in_the_last_hook_leaves_the_parents_alone),
        behaviour(a_fork_as_the_last_run_begins_leaves_the_parents_alone),
        behaviour(a_fork_as_loop_run_frees_its_loop_is_known_by_its_result),
        behaviour(a_child_may_fork_again),
        behaviour(scopes_of_an_inherited_task_cannot_be_used),
        behaviour(in_the_child_of_a_fork_nobody_runs_it),
        behaviour(unless_the_runner_goes_on_there),
        behaviour(descriptors_of_a_loop_do_not_survive_exec),
        behaviour(nor_do_those_that_others_are_replaced_by),
        behaviour(stats_of_an_inherited_loop_are_no_eternal_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
