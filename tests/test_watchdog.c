/* A step that holds the loop is caught while it does; nothing else is. */
#include "bodies.h"
#include "child.h"
#include "record.h"

#include "base.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Milliseconds; LONG where a busy machine must not make a stall of nothing. */
enum { LIMIT = 40, LONG = 200 };

/* The former, or what is as long under Valgrind. */
static int limit(void)
{
    return getenv("TASK_TEST_VALGRIND") ? 10 * LIMIT : LIMIT;
}

static task_time real_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (task_time)now.tv_sec * TASK_SECOND + now.tv_nsec;
}

static NEVER_INLINE void spin(int milliseconds)
{
    task_time end = real_time() + milliseconds * TASK_MILLISECOND;

    while (real_time() < end)
        __asm__ volatile("");
    __asm__ volatile(""); /* no tail call of what is above */
}

static struct loop_options stall_options(void)
{
    struct loop_options options = test_options(NULL);

    options.clock = LOOP_CLOCK_REAL;
    options.stall_timeout = limit() * TASK_MILLISECOND;
    return options;
}

/* What a child wrote to stderr, with masked times. */
static char said[1 << 14];

static void say_report(const struct loop_error *error, void *arg)
{
    (void)arg;
    fprintf(stderr, "%d %s %llu %s: %s\n", error->kind == LOOP_ERROR_STALL,
            error->task_name ? error->task_name : "none",
            (unsigned long long)error->task_id, error->task ? "there" : "gone",
            error->message);
}

struct run {
    struct loop_options options;
    task_fn *fn;
    bool unblocks; /* what the first run has blocked */
    task_fn *then; /* in a second run; NULL: there is none */
};

static sigset_t mask_at_first;

static void unblock(void)
{
    pthread_sigmask(SIG_SETMASK, &mask_at_first, NULL);
}

static void run(void *arg)
{
    const struct run *run = arg;
    struct loop *loop = loop_new(&run->options);
    int status;

    pthread_sigmask(SIG_BLOCK, NULL, &mask_at_first);
    status = loop_run_main(loop, run->fn, NULL);
    if (run->unblocks)
        unblock();
    if (!status && run->then)
        status = loop_run_main(loop, run->then, NULL);
    loop_free(loop);
    if (status || checks_failed())
        _exit(1);
}

static void listen_to_run(struct run what)
{
    char *to = said;

    what.options = stall_options();
    what.options.on_error = say_report;
    what.options.on_error_arg = NULL;
    if (child_listen(run, &what, said, sizeof said))
        fail_msg("%s", said);
    masked(said);
    for (const char *from = said; *from; from++)
        if (!strncmp(from, "ms", 2) || !strchr("0123456789", *from) ||
            strncmp(from + strspn(from, "0123456789"), " ms", 3) != 0)
            *to++ = *from;
    *to = '\0';
}

static void listen_to(task_fn *fn)
{
    listen_to_run((struct run){.fn = fn});
}

/* The lines from this one on begin like that. */
static void assert_lines(const char *const lines[], size_t n)
{
    const char *at = said;

    for (size_t i = 0; i < n; i++) {
        const char *found = strstr(at, lines[i]);

        if (!found)
            print_error("no \"%s\" in:\n%s", lines[i], said);
        assert_non_null(found);
        at = found + strlen(lines[i]);
    }
}

/* Where nothing but the order of lines counts. */
#define assert_said(...)                                                       \
    assert_lines((const char *const[]){__VA_ARGS__},                           \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static NEVER_INLINE int holds(void *arg)
{
    (void)arg;
    spin(3 * limit());
    return task_yield();
}

static int awaits_a_holder(void *arg)
{
    return task_await(
        task_create_with(holds, arg, &(struct task_options){.name = "holder"}));
}

static void the_task_that_holds_the_loop_is_caught(void **state)
{
    (void)state;
    listen_to(awaits_a_holder);
    assert_said("libtask: task 2 \"holder\", created at test_watchdog.c:",
                ", has held the loop for  ms:\n", "    at spin+0x\n",
                "    at holds+0x\n",
                "1 holder 2 there: task 2 \"holder\", created at "
                "test_watchdog.c:",
                ", held the loop for more than  ms\n");
}

static int ends_late(void *arg)
{
    (void)arg;
    spin(3 * limit());
    return 0;
}

static int detaches_one_that_ends_late(void *arg)
{
    task_detach((task_create)(ends_late, arg));
    CHECK_STATUS(task_yield(), 0);
    return task_yield();
}

static void a_task_that_is_gone_meanwhile_is_still_named(void **state)
{
    (void)state;
    listen_to(detaches_one_that_ends_late);
    assert_said("libtask: task 2 \"task-2\" has held the loop for  ms:\n",
                "    at spin+0x\n", "    at ends_late+0x\n",
                "1 task-2 2 gone: task 2 \"task-2\" held the loop for more "
                "than  ms\n");
}

static void hold_in_callback(void *arg)
{
    (void)arg;
    spin(3 * limit());
    __asm__ volatile("");
}

static int calls_a_holder(void *arg)
{
    CHECK(loop_call_soon(hold_in_callback, arg) > 0);
    CHECK_STATUS(task_yield(), 0);
    return task_yield();
}

static void a_callback_that_holds_the_loop_is_caught(void **state)
{
    (void)state;
    listen_to(calls_a_holder);
    assert_said("libtask: a callback has held the loop for  ms:\n",
                "    at spin+0x\n", "    at hold_in_callback+0x\n",
                "1 none 0 gone: a callback held the loop for more than  ms\n");
}

static int holds_as_main(void *arg)
{
    (void)arg;
    spin(3 * limit());
    return 0;
}

static void a_main_that_ends_so_is_reported(void **state)
{
    (void)state;
    listen_to(holds_as_main);
    assert_said("libtask: task 1 \"task-1\" has held the loop for  ms:\n",
                "    at spin+0x\n", "    at holds_as_main+0x\n",
                "1 task-1 1 gone: task 1 \"task-1\" held the loop");
}

static int sleeps_outright(void *arg)
{
    (void)arg;
    CHECK_STATUS(usleep(500 * (useconds_t)limit()), 0);
    CHECK_STATUS(task_yield(), 0);
    usleep(3000 * (useconds_t)limit());
    return task_yield();
}

static void a_sleep_is_interrupted_only_when_it_is_a_stall(void **state)
{
    (void)state;
    listen_to(sleeps_outright);
    assert_said("libtask: task 1 \"task-1\" has held the loop for  ms:\n",
                "    at sleeps_outright+0x\n", "1 task-1 1 there: ");
    assert_null(strstr(strstr(said, "1 task-1 1") + 1, "1 task-1 1"));
}

static int holds_twice(void *arg)
{
    holds(arg);
    return holds(arg);
}

static void each_such_step_is_caught_once(void **state)
{
    const char *second;

    (void)state;
    listen_to(holds_twice);
    second = strstr(strstr(said, "1 task-1 1") + 1, "1 task-1 1");
    assert_non_null(second);
    assert_null(strstr(second + 1, "1 task-1 1"));
}

/* Steps that keep the signal from the watchdog. */

static sigset_t all_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    return all;
}

static int holds_with_all_blocked(void *arg)
{
    sigset_t all = all_signals();

    (void)arg;
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    spin(3 * limit());
    return 0;
}

static int unblocks_and_holds(void *arg)
{
    unblock();
    CHECK_STATUS(task_yield(), 0);
    return holds(arg);
}

static void a_step_that_blocks_signals_spoils_no_later_run(void **state)
{
    (void)state;
    if (HAVE_TSAN || getenv("TASK_TEST_VALGRIND"))
        skip(); /* they have masks of their own */
    for (int unblocks = 0; unblocks < 2; unblocks++) {
        listen_to_run((struct run){.fn = holds_with_all_blocked,
                                   .unblocks = unblocks,
                                   .then = unblocks_and_holds});
        assert_said("libtask: task 2 \"task-2\" has held the loop for  ms:\n",
                    "    at holds+0x\n", "1 task-2 2 there: ");
        assert_null(strstr(said, "a callback"));
        assert_null(strstr(said, "task-1"));
    }
}

static int takes_the_signal_itself(void *arg)
{
    sigset_t all = all_signals();

    holds_with_all_blocked(arg);
    CHECK(sigwaitinfo(&all, NULL) >= SIGRTMIN);
    unblock();
    CHECK_STATUS(task_yield(), 0);
    return holds(arg);
}

static void a_step_that_takes_the_signal_spoils_no_later_one(void **state)
{
    (void)state;
    if (HAVE_TSAN || getenv("TASK_TEST_VALGRIND"))
        skip();
    listen_to(takes_the_signal_itself);
    assert_said("libtask: task 1 \"task-1\" has held the loop for  ms:\n",
                "    at holds+0x\n", "1 task-1 1 there: ");
}

static int waits_for_all_signals(void *arg)
{
    sigset_t all = all_signals();

    (void)arg;
    return task_signal_wait(&all, NULL);
}

static int holds_while_another_waits_for_signals(void *arg)
{
    struct task *waiting = task_create(waits_for_all_signals, NULL);

    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(holds(arg), 0);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_cancel_await(waiting), -ECANCELED);
    return 0;
}

static void a_wait_for_all_signals_leaves_the_watchdog_its_own(void **state)
{
    (void)state;
    listen_to(holds_while_another_waits_for_signals);
    assert_said("libtask: task 1 \"task-1\" has held the loop for  ms:\n",
                "    at holds+0x\n", "1 task-1 1 there: ");
}

/* What is no stall. */

static struct loop_options patient_options(void)
{
    struct loop_options options = stall_options();

    options.stall_timeout = LONG * TASK_MILLISECOND;
    return options;
}

static int is_idle_and_busy(void *arg)
{
    task_time end;

    (void)arg;
    CHECK_STATUS(task_sleep(3 * LONG / 2 * TASK_MILLISECOND), 0);
    end = real_time() + 3 * LONG / 2 * TASK_MILLISECOND;
    while (real_time() < end)
        CHECK_STATUS(task_yield(), 0);
    return 0;
}

static void neither_idleness_nor_many_short_steps_are_stalls(void **state)
{
    (void)state;
    if (getenv("TASK_TEST_VALGRIND"))
        skip();
    assert_int_equal(run_with(patient_options(), is_idle_and_busy, NULL), 0);
    assert_record("");
}

static void call_briefly(void *arg)
{
    (void)arg;
    spin(LONG / 8);
}

static int calls_many(void *arg)
{
    for (int i = 0; i < 12; i++)
        CHECK(loop_call_soon(call_briefly, arg) > 0);
    CHECK_STATUS(task_yield(), 0);
    return task_yield();
}

static void callbacks_of_one_batch_are_steps_of_their_own(void **state)
{
    (void)state;
    if (getenv("TASK_TEST_VALGRIND"))
        skip();
    assert_int_equal(run_with(patient_options(), calls_many, NULL), 0);
    assert_record("");
}

static void a_loop_that_nobody_runs_is_not_stalled(void **state)
{
    struct loop_options options = patient_options();
    struct memory_count count = {0};
    struct loop *loop;

    (void)state;
    options.alloc = test_options(&count).alloc;
    options.alloc_arg = &count;
    loop = loop_new(&options);
    assert_non_null(loop);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop_run_main(loop, yields, NULL), 0);
        spin(2 * LONG);
    }
    test_loop_free(loop, &count);
    assert_record("");
}

/* The signal. */

static int free_signals(void)
{
    struct sigaction action;
    int n = 0;

    for (int i = SIGRTMIN; i <= SIGRTMAX; i++) {
        sigaction(i, NULL, &action);
        n += action.sa_handler == SIG_DFL;
    }
    return n;
}

static void note_signal(int signo)
{
    (void)signo;
}

static int free_at_first;

static int counts_signals(void *arg)
{
    sigset_t mask;

    (void)arg;
    CHECK_STATUS(free_signals(), free_at_first - 1);
    CHECK_STATUS(loop_add_signal_handler(SIGRTMAX - 1, call_briefly, NULL),
                 -EINVAL);
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    CHECK(sigismember(&mask, SIGRTMAX));
    CHECK(!sigismember(&mask, SIGRTMAX - 1));
    return 0;
}

static void a_signal_that_is_in_use_is_left_alone(void **state)
{
    sigset_t all;
    sigset_t before;
    sigset_t after;

    (void)state;
    if (HAVE_TSAN || getenv("TASK_TEST_VALGRIND"))
        skip(); /* they have signals, or masks, of their own */
    signal(SIGRTMAX, note_signal);
    free_at_first = free_signals();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    assert_int_equal(run_with(stall_options(), counts_signals, NULL), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_true(sigismember(&after, SIGRTMAX - 1));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(free_signals(), free_at_first);
    signal(SIGRTMAX, SIG_DFL);
}

static void *run_another(void *arg)
{
    struct loop_options options = stall_options();
    struct loop *loop = loop_new(&options);

    if (loop_run_main(loop, yields, NULL) || loop_free(loop))
        return arg;
    return NULL;
}

static int holds_beside_another(void *arg)
{
    pthread_t thread;
    void *result = said;

    (void)arg;
    CHECK(!pthread_create(&thread, NULL, run_another, said));
    CHECK(!pthread_join(thread, &result));
    CHECK(!result);
    spin(3 * limit());
    return task_yield();
}

static void each_thread_has_a_watchdog_of_its_own(void **state)
{
    (void)state;
    listen_to(holds_beside_another);
    assert_said("libtask: task 1 \"task-1\" has held the loop for  ms:\n",
                "    at holds_beside_another+0x\n", "1 task-1 1 there: ");
}

static int forks(void *arg)
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        struct loop_options options = stall_options();
        struct loop *loop = loop_new(&options);

        _exit(loop_run_main(loop, yields, arg) || loop_free(loop) ||
              loop_free(*(struct loop **)arg));
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    if (!getenv("TASK_TEST_VALGRIND")) /* which sees the parent's memory leak */
        CHECK_STATUS(status, 0);
    return 0;
}

static struct loop *parents;

static int forks_in(void *arg)
{
    (void)arg;
    parents = loop_current();
    return forks(&parents);
}

static void a_child_of_a_fork_has_none_and_may_have_its_own(void **state)
{
    (void)state;
    if (HAVE_TSAN) /* no threads in a child of several */
        skip();
    assert_int_equal(run_with(patient_options(), forks_in, NULL), 0);
}

static void without_memory_the_run_is_refused(void **state)
{
    bool refused = false;

    (void)state;
    for (size_t fail_at = 1; fail_at < 8; fail_at++) {
        struct memory_count count = {0};
        struct loop_options options = stall_options();
        struct loop *loop;
        int status;

        options.alloc = test_options(&count).alloc;
        options.alloc_arg = &count;
        loop = loop_new(&options);
        assert_non_null(loop);
        count.fail_at = fail_at;
        status = loop_run_main(loop, yields, NULL);
        refused |= status == -ENOMEM;
        assert_true(!status || status == -ENOMEM);
        count.fail_at = 0;
        assert_int_equal(loop_run_main(loop, yields, NULL), 0);
        test_loop_free(loop, &count);
    }
    assert_true(refused);
}

/* A signal that the system refuses is sent again. */
static int holds_without_room_for_signals(void *arg)
{
    struct rlimit before;
    struct rlimit none;

    CHECK(!getrlimit(RLIMIT_SIGPENDING, &before));
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    CHECK(!setrlimit(RLIMIT_SIGPENDING, &none));
    spin(3 * limit());
    CHECK(!setrlimit(RLIMIT_SIGPENDING, &before));
    return holds(arg);
}

static void a_step_is_caught_when_there_is_room_for_signals(void **state)
{
    (void)state;
    listen_to(holds_without_room_for_signals);
    assert_said("libtask: task 1 \"task-1\" has held the loop for  ms:\n");
}

/* How many of the real-time signals cannot ask for dumps: Valgrind keeps one. */
static int n_without_dumps(void)
{
    int n = 0;

    for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++)
        n += task_dump_on_signal(signo) == -EINVAL;
    return n;
}

static int asks_for_dumps_by_all(void *arg)
{
    (void)arg;
    return n_without_dumps();
}

static void ask_with_a_watchdog_and_without(void *arg)
{
    struct loop_options options = stall_options();
    int n;

    (void)arg;
    options.stall_timeout = TASK_HOUR;
    n = run_with(options, asks_for_dumps_by_all, NULL);
    if (n != n_without_dumps() + 1)
        _exit(1);
}

static void its_signal_is_no_one_elses(void **state)
{
    (void)state;
    assert_int_equal(child_run(ask_with_a_watchdog_and_without, NULL), 0);
}

static int spins_at_its_end(void *arg)
{
    int status = task_sleep(TASK_HOUR);

    (void)arg;
    spin(4 * limit());
    return status;
}

static int leaves_one_that_spins(void *arg)
{
    task_detach(task_create(spins_at_its_end, arg));
    return task_yield();
}

static void a_stall_at_the_end_of_the_loop_is_told(void **state)
{
    (void)state;
    listen_to(leaves_one_that_spins);
    assert_said("libtask: task 2 \"task-2\", created at test_watchdog.c:",
                "1 task-2 2 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(the_task_that_holds_the_loop_is_caught),
        behaviour(a_task_that_is_gone_meanwhile_is_still_named),
        behaviour(a_callback_that_holds_the_loop_is_caught),
        behaviour(a_main_that_ends_so_is_reported),
        behaviour(a_sleep_is_interrupted_only_when_it_is_a_stall),
        behaviour(each_such_step_is_caught_once),
        behaviour(a_step_that_blocks_signals_spoils_no_later_run),
        behaviour(a_step_that_takes_the_signal_spoils_no_later_one),
        behaviour(a_wait_for_all_signals_leaves_the_watchdog_its_own),
        behaviour(neither_idleness_nor_many_short_steps_are_stalls),
        behaviour(callbacks_of_one_batch_are_steps_of_their_own),
        behaviour(a_loop_that_nobody_runs_is_not_stalled),
        behaviour(a_signal_that_is_in_use_is_left_alone),
        behaviour(each_thread_has_a_watchdog_of_its_own),
        behaviour(a_child_of_a_fork_has_none_and_may_have_its_own),
        behaviour(without_memory_the_run_is_refused),
        behaviour(a_step_is_caught_when_there_is_room_for_signals),
        behaviour(its_signal_is_no_one_elses),
        behaviour(a_stall_at_the_end_of_the_loop_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
