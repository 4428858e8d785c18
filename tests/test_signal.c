/*
 * Signals: callbacks, tasks that wait, SIGINT of a run; and what is left of it
 * in the process.
 */

/* The linker wraps: sigismember syscall */

#include "base.h"
#include "bodies.h"
#include "cancel_points.h"
#include "child.h"
#include "leaks.h"
#include "loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How often a set is looked at, in all threads. */

static atomic_uint n_looks;

int __real_sigismember(const sigset_t *set, int signo);
int __wrap_sigismember(const sigset_t *set, int signo);
int __wrap_sigismember(const sigset_t *set, int signo)
{
    n_looks++;
    return __real_sigismember(set, signo);
}

/* A thread that is cancelled in the midst of its next write. */

static _Thread_local bool is_to_be_cancelled;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long args[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        args[i] = va_arg(list, long);
    va_end(list);
    if (is_to_be_cancelled && number == SYS_write) {
        is_to_be_cancelled = false;
        pthread_cancel(pthread_self());
    }
    return __real_syscall(number, args[0], args[1], args[2], args[3], args[4],
                          args[5]);
}

/* Dispositions. */

static struct sigaction disposition(int signo)
{
    struct sigaction now = {.sa_handler = SIG_DFL};

    sigaction(signo, NULL, &now);
    return now;
}

static bool is_default(int signo)
{
    return disposition(signo).sa_handler == SIG_DFL;
}

static bool is_blocked(int signo)
{
    sigset_t mask;

    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    return sigismember(&mask, signo) == 1;
}

static sigset_t set_of(int a, int b)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, a);
    if (b)
        sigaddset(&set, b);
    return set;
}

static void block(int signo)
{
    sigset_t set = set_of(signo, 0);

    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void unblock(int signo)
{
    sigset_t set = set_of(signo, 0);

    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void ignore(int signo)
{
    (void)signo;
}

/* ThreadSanitizer keeps a signal back until what it has interrupted calls the
 * C library, and loses it with its thread. */
static void let_through(void)
{
    const struct timespec at_once = {0, 0};

    nanosleep(&at_once, NULL);
}

/* Another thread that sends signals, a little later. */

struct sender {
    pthread_t thread;
    int signo;
    unsigned n;
};

static void *send_signals(void *arg)
{
    const struct sender *sender = arg;
    const struct timespec delay = {0, 5000000};

    nanosleep(&delay, NULL);
    for (unsigned i = 0; i < sender->n; i++)
        kill(getpid(), sender->signo);
    let_through();
    return NULL;
}

static void begin_to_send(struct sender *sender)
{
    CHECK_STATUS(pthread_create(&sender->thread, NULL, send_signals, sender),
                 0);
}

static void end_sending(struct sender *sender)
{
    CHECK_STATUS(pthread_join(sender->thread, NULL), 0);
}

static void queue(int signo, int value)
{
    sigqueue(getpid(), signo, (union sigval){.sival_int = value});
    let_through();
}

/* Callbacks. */

static void say(void *arg)
{
    record("%s", (char *)arg);
}

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static void complete(void *arg)
{
    CHECK(!task_current());
    CHECK_STATUS(task_future_complete(arg, 7), 0);
}

/* Let what was caught be looked at, and called. */
static void let_run(void)
{
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_sleep(TASK_SECOND), 0);
}

static int a_handler_runs_as_a_callback(void *arg)
{
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(
        loop_add_signal_handler(SIGUSR1, complete, task_retain(future)), 0);
    raise(SIGUSR1);
    CHECK(!task_done(future));
    CHECK_STATUS(task_await(task_retain(future)), 7);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    task_detach(future);
    task_detach(future);
    return 0;
}

static int a_signal_ends_the_wait_of_a_loop(void *arg)
{
    struct sender sender = {.signo = SIGUSR1, .n = 1};
    struct task *future = task_future_create();

    (void)arg;
    CHECK_STATUS(
        loop_add_signal_handler(SIGUSR1, complete, task_retain(future)), 0);
    begin_to_send(&sender);
    /* Nothing else could wake it: and that is no deadlock. */
    CHECK_STATUS(task_await(task_retain(future)), 7);
    end_sending(&sender);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    task_detach(future);
    task_detach(future);
    return 0;
}

static int without_a_handler_nothing_can_come(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("no")), 0);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    return task_sleep(TASK_FOREVER);
}

static void a_handler_alone_makes_the_difference(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(without_a_handler_nothing_can_come, NULL),
                     -EDEADLK);
    record_clear();
}

static int a_second_handler_replaces_the_first(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("first")), 0);
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("second")), 0);
    raise(SIGUSR1);
    let_run();
    CHECK_RECORD("second");
    raise(SIGUSR1); /* which is for the one that is there when it is called */
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("third")), 0);
    let_run();
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), -ENOENT);
    CHECK(is_default(SIGUSR1));
    CHECK_RECORD("third");
    return 0;
}

static void *storm(void *arg)
{
    while (!__atomic_load_n((bool *)arg, __ATOMIC_ACQUIRE))
        kill(getpid(), SIGUSR1);
    let_through();
    return NULL;
}

static int replaces_often(void *arg)
{
    bool is_over = false;
    pthread_t thread;
    unsigned n[2] = {0, 0};

    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, count, &n[0]), 0);
    CHECK_STATUS(pthread_create(&thread, NULL, storm, &is_over), 0);
    for (unsigned i = 0; i < test_rounds(2000) || n[0] + n[1] == 0; i++) {
        CHECK_STATUS(loop_add_signal_handler(SIGUSR1, count, &n[i % 2]), 0);
        CHECK_STATUS(task_yield(), 0);
        let_through();
    }
    __atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
    CHECK_STATUS(pthread_join(thread, NULL), 0);
    let_run();
    return checks_failed();
}

static void replace_often(void *arg)
{
    (void)arg;
    _exit(run_virtual(replaces_often, NULL));
}

/* It would have its default effect, and kill. */
static void no_signal_slips_by_while_a_handler_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(child_run(replace_often, NULL), 0);
}

static int a_removed_handler_is_not_called(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("caught")), 0);
    raise(SIGUSR1);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    let_run();
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("queued")), 0);
    let_run();
    CHECK_RECORD("");
    raise(SIGUSR1);
    CHECK_STATUS(task_yield(), 0);
    loop_remove_signal_handler(SIGUSR1);
    let_run();
    record_clear();
    return 0;
}

static void remove_it(void *arg)
{
    record("%s", (char *)arg);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
}

static int a_handler_may_remove_itself(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, remove_it, text("once")), 0);
    raise(SIGUSR1);
    let_run();
    CHECK(is_default(SIGUSR1));
    CHECK_RECORD("once");
    return 0;
}

static int the_former_disposition_comes_back(void *arg)
{
    (void)arg;
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, ignore);
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("1")), 0);
    CHECK_STATUS(loop_add_signal_handler(SIGUSR2, say, text("2")), 0);
    CHECK(disposition(SIGUSR1).sa_flags & SA_RESTART);
    CHECK(disposition(SIGUSR1).sa_flags & SA_ONSTACK ||
          getenv("TASK_TEST_VALGRIND"));
    raise(SIGUSR2);
    raise(SIGUSR1);
    let_run();
    CHECK_RECORD("1, 2");
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR2), 0);
    CHECK(disposition(SIGUSR1).sa_handler == SIG_IGN);
    CHECK(disposition(SIGUSR2).sa_handler == ignore);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    return 0;
}

static int a_handler_of_others_is_left_alone(void *arg)
{
    (void)arg;
    signal(SIGUSR2, ignore);
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("1")), 0);
    CHECK(disposition(SIGUSR2).sa_handler == ignore);
    signal(SIGUSR1, ignore);
    raise(SIGUSR1);
    let_run();
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    CHECK(disposition(SIGUSR1).sa_handler == ignore);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    CHECK_RECORD("");
    return 0;
}

static int what_is_no_signal_is_refused(void *arg)
{
    static const int bad[] = {0,       -1,      NSIG,   NSIG + 1, SIGKILL,
                              SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,   SIGILL};

    (void)arg;
    errno = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_STATUS(loop_add_signal_handler(bad[i], say, NULL), -EINVAL);
        CHECK_STATUS(loop_remove_signal_handler(bad[i]), -ENOENT);
    }
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, NULL, NULL), -EINVAL);
    CHECK(is_default(SIGUSR1));
    CHECK_STATUS(errno, 0);
    return 0;
}

static void outside_a_loop_all_is_refused(void **state)
{
    sigset_t set = set_of(SIGUSR1, 0);

    (void)state;
    assert_int_equal(loop_add_signal_handler(SIGUSR1, say, NULL), -EPERM);
    assert_int_equal(loop_remove_signal_handler(SIGUSR1), -ENOENT);
    assert_int_equal(task_signal_wait(&set, NULL), -EPERM);
}

static int different_signals_are_all_told(void *arg)
{
    static const int signals[] = {SIGHUP,  SIGINT,  SIGUSR1, SIGUSR2,
                                  SIGTERM, SIGCHLD, SIGWINCH};
    enum { N = sizeof signals / sizeof *signals };
    unsigned n[N] = {0};

    (void)arg;
    for (size_t i = 0; i < N; i++)
        CHECK_STATUS(loop_add_signal_handler(signals[i], count, &n[i]), 0);
    for (size_t i = N; i-- > 0;)
        raise(signals[i]);
    raise(SIGHUP);
    let_run();
    for (size_t i = 0; i < N; i++) {
        CHECK(n[i] == 1 || (!i && n[i] == 2));
        CHECK_STATUS(loop_remove_signal_handler(signals[i]), 0);
    }
    return 0;
}

static int errno_is_kept(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("x")), 0);
    errno = 77;
    raise(SIGUSR1);
    CHECK_STATUS(errno, 77);
    let_run();
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    CHECK_STATUS(errno, 77);
    CHECK_RECORD("x");
    return 0;
}

static int a_storm_neither_blocks_nor_is_lost(void *arg)
{
    unsigned n = test_rounds(100000);
    struct sender sender = {.signo = SIGUSR2, .n = n};
    unsigned usr1 = 0;
    unsigned usr2 = 0;

    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, count, &usr1), 0);
    CHECK_STATUS(loop_add_signal_handler(SIGUSR2, count, &usr2), 0);
    for (unsigned i = 0; i < n; i++)
        raise(SIGUSR1);
    let_run();
    CHECK(usr1 >= 1 && usr1 < 5);
    begin_to_send(&sender);
    while (!usr2) {
        CHECK_STATUS(task_yield(), 0);
        let_through();
    }
    end_sending(&sender);
    usr2 = 0;
    raise(SIGUSR2); /* the last one counts */
    let_run();
    CHECK(usr2 >= 1);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR2), 0);
    return 0;
}

static void *wait_to_be_told(void *arg)
{
    while (!__atomic_load_n((bool *)arg, __ATOMIC_ACQUIRE))
        sched_yield();
    return NULL;
}

static void stop(void *arg)
{
    __atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
}

static int a_signal_of_another_thread_reaches_the_loop(void *arg)
{
    bool is_told = false;
    pthread_t thread;

    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, stop, &is_told), 0);
    CHECK_STATUS(pthread_create(&thread, NULL, wait_to_be_told, &is_told), 0);
    CHECK_STATUS(pthread_kill(thread, SIGUSR1), 0);
    while (!__atomic_load_n(&is_told, __ATOMIC_ACQUIRE)) {
        CHECK_STATUS(task_yield(), 0);
        let_through();
    }
    CHECK_STATUS(pthread_join(thread, NULL), 0);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    return 0;
}

/* A thread that blocks in a read, and what that has returned. */
struct blocked {
    int pipe[2];
    pid_t id; /* atomic; 0: it has not begun */
    ssize_t result;
};

static void *read_one(void *arg)
{
    struct blocked *blocked = arg;
    char byte;

    __atomic_store_n(&blocked->id, (pid_t)__real_syscall(SYS_gettid),
                     __ATOMIC_RELEASE);
    blocked->result = read(blocked->pipe[0], &byte, 1);
    return NULL;
}

/* As the kernel says; if it does not say, after a moment. */
static void await_sleep(const struct blocked *blocked)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    char name[64];
    char line[512];

    for (int i = 0; i < 1000; i++) {
        pid_t id = __atomic_load_n(&blocked->id, __ATOMIC_ACQUIRE);
        FILE *file;

        snprintf(name, sizeof name, "/proc/self/task/%d/stat", (int)id);
        file = id ? fopen(name, "r") : NULL;
        if (file) {
            char *end =
                fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;

            fclose(file);
            if (end && end[2] == 'S')
                return;
        }
        nanosleep(&moment, NULL);
    }
}

static int a_read_of_another_thread_goes_on_after_its_signal(void *arg)
{
    struct blocked blocked = {.result = -1};
    pthread_t thread;
    unsigned n = 0;

    (void)arg;
    if (HAVE_TSAN) /* it keeps signals until the read returns */
        return 0;
    CHECK_STATUS(pipe(blocked.pipe), 0);
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, count, &n), 0);
    CHECK_STATUS(pthread_create(&thread, NULL, read_one, &blocked), 0);
    await_sleep(&blocked);
    CHECK_STATUS(pthread_kill(thread, SIGUSR1), 0);
    while (!n) {
        CHECK_STATUS(task_yield(), 0);
        let_through();
    }
    CHECK_STATUS(write(blocked.pipe[1], "", 1), 1);
    CHECK_STATUS(pthread_join(thread, NULL), 0);
    CHECK_STATUS(blocked.result, 1);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    close(blocked.pipe[0]);
    close(blocked.pipe[1]);
    return 0;
}

static int adds_a_handler(void *arg)
{
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, arg), 0);
    return 0;
}

static int lets_run(void *arg)
{
    (void)arg;
    let_run();
    return 0;
}

static void a_handler_stays_over_runs_and_goes_with_its_loop(void **state)
{
    struct memory_count memory = {0};
    struct loop *loop = test_loop_new(&memory);

    (void)state;
    assert_int_equal(loop_run_main(loop, adds_a_handler, text("told")), 0);
    raise(SIGUSR1);
    assert_int_equal(loop_run_main(loop, lets_run, NULL), 0);
    assert_record("told");
    raise(SIGUSR1);
    test_loop_free(loop, &memory);
    assert_true(is_default(SIGUSR1));
    assert_record("");
}

/* Waits. */

static int waits(void *arg)
{
    siginfo_t info = {0};
    int result = task_signal_wait(arg, &info);

    record("%s got %d", task_name(task_current()), result);
    CHECK(result < 0 || info.si_signo == result);
    return result;
}

static int a_task_waits_for_a_signal(void *arg)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2);
    struct sender sender = {.signo = SIGUSR2, .n = 1};
    struct task *task;

    (void)arg;
    task = test_start(waits, &set, "waiter");
    begin_to_send(&sender);
    CHECK_STATUS(task_await(task), SIGUSR2);
    end_sending(&sender);
    CHECK(is_default(SIGUSR1) && is_default(SIGUSR2));
    CHECK_RECORD("waiter got 12");
    return 0;
}

static int what_is_known_of_a_signal_is_told(void *arg)
{
    sigset_t set = set_of(SIGRTMIN, 0);
    struct task *task;
    siginfo_t info;

    (void)arg;
    task = test_start(waits, &set, "waiter");
    queue(SIGRTMIN, 42);
    CHECK_STATUS(task_signal_wait(&set, &info), SIGRTMIN);
    CHECK_STATUS(info.si_value.sival_int, 42);
    CHECK_STATUS(info.si_pid, getpid());
    CHECK_STATUS(task_await(task), SIGRTMIN);
    record_clear();
    return 0;
}

static int a_blocked_signal_works_too(void *arg)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2);
    struct sender sender = {.signo = SIGUSR1, .n = 1};
    siginfo_t info;

    (void)arg;
    block(SIGUSR1);
    raise(SIGUSR1);
    CHECK_STATUS(task_signal_wait(&set, &info), SIGUSR1);
    CHECK_STATUS(info.si_pid, getpid());
    CHECK(is_blocked(SIGUSR1));
    begin_to_send(&sender);
    CHECK_STATUS(task_signal_wait(&set, NULL), SIGUSR1);
    end_sending(&sender);
    CHECK(is_blocked(SIGUSR1) && !is_blocked(SIGUSR2));
    CHECK(is_default(SIGUSR1) && is_default(SIGUSR2));
    unblock(SIGUSR1);
    return 0;
}

/* Those that were queued by the system come one by one, in order. */
static int blocked_signals_that_queue_are_all_told(void *arg)
{
    sigset_t set = set_of(SIGRTMIN, 0);
    struct task *task;
    siginfo_t info;

    (void)arg;
    block(SIGRTMIN);
    for (int i = 0; i < 3; i++)
        queue(SIGRTMIN, i);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(task_signal_wait(&set, &info), SIGRTMIN);
        CHECK_STATUS(info.si_value.sival_int, i);
    }
    task = test_start(waits, &set, "waiter");
    for (int i = 0; i < 3; i++)
        queue(SIGRTMIN, i);
    CHECK_STATUS(task_await(task), SIGRTMIN);
    CHECK(is_blocked(SIGRTMIN));
    /* Tools forget what a handler does to the mask. */
    for (int i = 1; i < 3 && !HAVE_TSAN && !getenv("TASK_TEST_VALGRIND"); i++) {
        CHECK_STATUS(task_signal_wait(&set, &info), SIGRTMIN);
        CHECK_STATUS(info.si_value.sival_int, i);
    }
    unblock(SIGRTMIN);
    record_clear();
    return 0;
}

static int two_signals_at_once_are_two_waits(void *arg)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2);

    (void)arg;
    for (int is_blocking = 0; is_blocking < 2; is_blocking++) {
        struct task *task;

        if (is_blocking) {
            block(SIGUSR1);
            block(SIGUSR2);
        }
        task = test_start(waits, &set, "waiter");
        raise(SIGUSR2);
        raise(SIGUSR1);
        CHECK_STATUS(task_await(task), SIGUSR1);
        CHECK_STATUS(waits(&set), SIGUSR2);
    }
    CHECK(is_blocked(SIGUSR1) && is_blocked(SIGUSR2));
    unblock(SIGUSR1);
    unblock(SIGUSR2);
    record_clear();
    return 0;
}

static int all_who_wait_and_the_handler_are_told(void *arg)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2);
    sigset_t other = set_of(SIGUSR2, 0);
    struct task *a = test_start(waits, &set, "a");
    struct task *b = test_start(waits, &other, "b");
    struct task *c = test_start(waits, &set, "c");

    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("handler")), 0);
    raise(SIGUSR1);
    let_run();
    CHECK_RECORD("handler, a got 10, c got 10");
    CHECK(is_default(SIGUSR1) == false);
    raise(SIGUSR1);
    let_run();
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    CHECK_STATUS(task_cancel_await(b), -ECANCELED);
    CHECK_RECORD("handler, b got -125");
    CHECK_STATUS(task_await(a), SIGUSR1);
    CHECK_STATUS(task_await(c), SIGUSR1);
    CHECK(is_default(SIGUSR1) && is_default(SIGUSR2));
    return 0;
}

enum { CROWD = 200 };

/* To find those who wait; besides, each wait ends with a look at its set. */
static int each_of_a_crowd_is_looked_at_once(void *arg)
{
    sigset_t sets[2] = {set_of(SIGUSR2, 0), set_of(SIGUSR1, 0)};
    struct task *crowd[2 * CROWD];
    unsigned before;

    (void)arg;
    for (int i = 0; i < 2 * CROWD; i++)
        crowd[i] = task_create(waits, &sets[i / CROWD]);
    CHECK_STATUS(task_yield(), 0);
    before = n_looks;
    raise(SIGUSR1);
    let_run();
    CHECK(n_looks - before < (NSIG + 10) * CROWD);
    for (int i = 0; i < CROWD; i++)
        CHECK(!task_done(crowd[i]) && task_done(crowd[CROWD + i]));
    for (int i = 2 * CROWD; i--;)
        CHECK_STATUS(task_cancel_await(crowd[i]),
                     i < CROWD ? -ECANCELED : SIGUSR1);
    record_clear();
    return 0;
}

static int a_wait_has_a_deadline(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0);
    struct task_timeout timeout;
    int status;

    (void)arg;
    block(SIGUSR1);
    task_timeout_begin(&timeout, TASK_SECOND);
    status = task_signal_wait(&set, NULL);
    CHECK_STATUS(task_timeout_end(&timeout, status), -ETIMEDOUT);
    CHECK(is_blocked(SIGUSR1) && is_default(SIGUSR1));
    unblock(SIGUSR1);
    return 0;
}

/* Whichever comes first, none is lost. */
static int a_request_and_a_signal_at_once(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0);
    struct task *task = test_start(waits, &set, "waiter");

    (void)arg;
    raise(SIGUSR1);
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), SIGUSR1);
    task = test_start(waits, &set, "waiter");
    CHECK(task_cancel(task));
    CHECK(is_default(SIGUSR1));
    CHECK_STATUS(task_await(task), -ECANCELED);
    CHECK_RECORD("waiter got 10, waiter got -125");
    return 0;
}

static int waits_then_sleeps(void *arg)
{
    waits(arg);
    return task_sleep(TASK_HOUR);
}

static int the_request_after_a_signal_comes_next(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0);
    struct task *task = test_start(waits_then_sleeps, &set, "waiter");

    (void)arg;
    raise(SIGUSR1);
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), -ECANCELED);
    task_cancel(task_current());
    raise(SIGCHLD);
    CHECK_STATUS(task_signal_wait(&set, NULL), -ECANCELED);
    CHECK_RECORD("waiter got 10");
    return 0;
}

static int what_cannot_be_waited_for_is_left_out(void *arg)
{
    void (*before[NSIG])(int);
    sigset_t set = set_of(SIGKILL, SIGSEGV);
    struct task *task;

    (void)arg;
    for (int signo = 1; signo < NSIG; signo++)
        before[signo] = disposition(signo).sa_handler;
    CHECK_STATUS(task_signal_wait(&set, NULL), -EINVAL);
    sigemptyset(&set);
    CHECK_STATUS(task_signal_wait(&set, NULL), -EINVAL);
    CHECK_STATUS(task_signal_wait(NULL, NULL), -EINVAL);
    sigfillset(&set);
    task = test_start(waits, &set, "all");
    raise(SIGTERM);
    CHECK_STATUS(task_await(task), SIGTERM);
    for (int signo = 1; signo < NSIG; signo++)
        CHECK(disposition(signo).sa_handler == before[signo]);
    CHECK_RECORD("all got 15");
    return 0;
}

static int waits_with_a_signal(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0);
    struct sender sender = {.signo = SIGUSR1, .n = 1};
    int result;

    (void)arg;
    block(SIGUSR1);
    begin_to_send(&sender);
    result = task_signal_wait(&set, NULL);
    end_sending(&sender);
    if (result < 0) {
        struct timespec at_once = {0, 0};

        sigtimedwait(&set, NULL, &at_once);
    }
    CHECK(is_blocked(SIGUSR1) && is_default(SIGUSR1));
    unblock(SIGUSR1);
    return result;
}

static void a_wait_may_be_cancelled_anywhere(void **state)
{
    (void)state;
    cancel_at_every_point(waits_with_a_signal, NULL, NULL);
    assert_true(is_default(SIGUSR1));
}

/* A task that is dropped in the midst of a wait. */
static int ignores_requests(void *arg)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2);

    (void)arg;
    while (task_signal_wait(&set, NULL) < 0)
        continue;
    return 0;
}

static int leaves_one_that_ignores(void *arg)
{
    (void)arg;
    task_detach(test_start(ignores_requests, NULL, "deaf"));
    return 0;
}

static void a_dropped_wait_leaves_nothing(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.shutdown_timeout = TASK_SECOND;
    block(SIGUSR1);
    assert_int_equal(run_with(options, leaves_one_that_ignores, NULL), 0);
    assert_true(is_default(SIGUSR1) && is_default(SIGUSR2));
    assert_true(is_blocked(SIGUSR1) && !is_blocked(SIGUSR2));
    unblock(SIGUSR1);
    record_clear();
}

/* Tasks that come with the last calls of other threads wait as all others do. */

static int waits_in_spite_of_a_request(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0);

    (void)arg;
    CHECK_STATUS(task_signal_wait(&set, NULL), -ECANCELED);
    record("got %d", task_signal_wait(&set, NULL));
    return 0;
}

static int sends_late(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        task_yield();
    raise(SIGUSR1);
    let_through();
    return 0;
}

static void begin_late(void *arg)
{
    (void)arg;
    task_detach(task_create(waits_in_spite_of_a_request, NULL));
    task_detach(task_create(sends_late, NULL));
}

static int leaves_a_call(void *arg)
{
    struct loop_remote *remote = loop_remote_open();

    (void)arg;
    CHECK_STATUS(loop_remote_call(remote, begin_late, NULL), 0);
    loop_remote_close(remote);
    return 0;
}

static void signals_come_until_the_last_task_has_ended(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_a_call, NULL), 0);
    assert_record("got 10");
}

static int waits_without_memory(void *arg)
{
    struct memory_count *memory = arg;
    sigset_t set = set_of(SIGUSR1, 0);
    int result;

    raise(SIGCHLD);
    memory->fail_at = 1;
    result = loop_add_signal_handler(SIGUSR1, say, NULL);
    CHECK_STATUS(result, -ENOMEM);
    CHECK(is_default(SIGUSR1));
    memory->fail_at = 1;
    CHECK_STATUS(task_signal_wait(&set, NULL), -ENOMEM);
    memory->fail_at = 2;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, NULL), -ENOMEM);
    CHECK(is_default(SIGUSR1));
    memory->fail_at = 0;
    return 0;
}

static void lack_of_memory_is_told(void **state)
{
    struct memory_count memory = {0};
    struct loop *loop = test_loop_new(&memory);

    (void)state;
    assert_int_equal(loop_run_main(loop, waits_without_memory, &memory), 0);
    test_loop_free(loop, &memory);
}

/* Several loops. */

struct thread_of_loop {
    pthread_t thread;
    const struct ask_target *ask; /* is never freed */
    int result;
};

static int n_ready;

static int tells_and_waits(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0);
    struct task *task = test_start(waits, &set, "waiter");
    struct thread_of_loop *self = arg;

    self->ask = loop_current()->ask;
    __atomic_fetch_add(&n_ready, 1, __ATOMIC_ACQ_REL);
    return task_await(task);
}

static void *run_a_loop(void *arg)
{
    struct thread_of_loop *self = arg;

    self->result = run_virtual(tells_and_waits, self);
    record_clear();
    return NULL;
}

/* Until each waits in its poller. ThreadSanitizer keeps a signal with the task that it
 * interrupts, and tells it when that goes on: here, never. */
static void await_waits(const struct thread_of_loop threads[], int n)
{
    while (__atomic_load_n(&n_ready, __ATOMIC_ACQUIRE) < n)
        sched_yield();
    for (int i = 0; i < n; i++)
        while (!__atomic_load_n(&threads[i].ask->is_waiting, __ATOMIC_RELAXED))
            sched_yield();
}

static void a_signal_goes_to_all_loops(void **state)
{
    struct thread_of_loop threads[4];

    (void)state;
    n_ready = 0;
    for (int round = 0; round < 2; round++) {
        n_ready = 0;
        if (round)
            block(SIGUSR1);
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i].thread, NULL,
                                            run_a_loop, &threads[i]),
                             0);
        await_waits(threads, 4);
        assert_false(is_default(SIGUSR1));
        kill(getpid(), SIGUSR1);
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i].thread, NULL);
            assert_int_equal(threads[i].result, SIGUSR1);
        }
        assert_true(is_default(SIGUSR1));
    }
    unblock(SIGUSR1);
}

/* A thread that may be cancelled at any time is so in the handler. */
static void *is_cancelled_in_the_handler(void *loop)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    await_waits(loop, 1);
    is_to_be_cancelled = true;
    raise(SIGUSR1);
    for (;;)
        pause();
    return NULL;
}

static void nobody_waits_for_a_handler_that_was_cancelled(void **state)
{
    struct thread_of_loop loop;
    pthread_t thread;

    (void)state;
    n_ready = 0;
    assert_int_equal(pthread_create(&loop.thread, NULL, run_a_loop, &loop), 0);
    assert_int_equal(
        pthread_create(&thread, NULL, is_cancelled_in_the_handler, &loop), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_join(loop.thread, NULL), 0);
    assert_int_equal(loop.result, SIGUSR1);
    assert_true(is_default(SIGUSR1));
}

/* A loop that goes on in another thread. */

static int begins_a_wait(void *arg)
{
    static sigset_t set;

    set = set_of(SIGUSR1, 0);
    *(struct task **)arg = test_start(waits, &set, "waiter");
    return 0;
}

struct beginning {
    struct loop *loop;
    struct task *task;
};

/* In a thread of its own, which has the signal blocked. */
static void *begin_a_wait(void *arg)
{
    struct beginning *beginning = arg;

    block(SIGUSR1);
    CHECK_STATUS(
        loop_run_main(beginning->loop, begins_a_wait, &beginning->task), 0);
    CHECK(!is_blocked(SIGUSR1));
    return NULL;
}

static int cancels_and_awaits(void *arg)
{
    CHECK_STATUS(task_cancel_await(arg), -ECANCELED);
    return 0;
}

static struct beginning begun_in_a_thread(void)
{
    struct beginning beginning = {.loop = test_loop_new(NULL)};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, begin_a_wait, &beginning),
                     0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(beginning.task);
    return beginning;
}

static void a_wait_that_goes_on_in_another_thread_has_its_mask(void **state)
{
    struct beginning beginning = begun_in_a_thread();

    (void)state;
    block(SIGUSR1);
    kill(getpid(), SIGUSR1);
    let_through();
    assert_int_equal(loop_run_main(beginning.loop, lets_run, NULL), 0);
    assert_record("waiter got 10");
    assert_int_equal(task_status(beginning.task), SIGUSR1);
    assert_true(is_blocked(SIGUSR1) && is_default(SIGUSR1));
    task_detach(beginning.task);
    test_loop_free(beginning.loop, NULL);
    unblock(SIGUSR1);
}

static void a_wait_blocks_nothing_where_it_has_unblocked_nothing(void **state)
{
    struct beginning beginning = begun_in_a_thread();

    (void)state;
    assert_int_equal(
        loop_run_main(beginning.loop, cancels_and_awaits, beginning.task), 0);
    assert_record("waiter got -125");
    assert_false(is_blocked(SIGUSR1));
    test_loop_free(beginning.loop, NULL);
}

/* Forks. */

static int uses_signals(void *arg)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2);
    struct task *task;

    (void)arg;
    task = test_start(waits, &set, "child's");
    kill(getpid(), SIGUSR1);
    let_through();
    return task_await(task) == SIGUSR1 && is_default(SIGUSR1) ? 0 : 1;
}

static void be_a_fork(void *arg)
{
    struct loop *loop = arg;

    if (!is_default(SIGUSR1) || !is_default(SIGUSR2) || !is_blocked(SIGUSR2))
        _exit(1);
    unblock(SIGUSR2);
    /* ThreadSanitizer loses signals in the child of a fork. */
    if (!HAVE_TSAN && run_virtual(uses_signals, NULL))
        _exit(2);
    loop_free(loop);
    if (!is_default(SIGUSR1))
        _exit(3);
    kill(getpid(), SIGUSR1);
    _exit(4);
}

static int begins_to_wait(void *arg)
{
    static sigset_t set;

    set = set_of(SIGUSR2, 0);
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("parent's")), 0);
    *(struct task **)arg = test_start(waits, &set, "parent's");
    return 0;
}

static int lets_run_and_awaits(void *arg)
{
    let_run();
    CHECK_RECORD("");
    raise(SIGUSR1);
    let_run();
    CHECK_RECORD("parent's");
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    CHECK_STATUS(task_cancel_await(arg), -ECANCELED);
    CHECK_RECORD("parent's got -125");
    return 0;
}

static void a_fork_has_nothing_of_it(void **state)
{
    struct loop *loop = test_loop_new(NULL);
    struct task *task = NULL;
    int status;

    (void)state;
    block(SIGUSR2);
    assert_int_equal(loop_run_main(loop, begins_to_wait, &task), 0);
    assert_false(is_blocked(SIGUSR2));
    status = child_run(be_a_fork, loop);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGUSR1);
    assert_int_equal(loop_run_main(loop, lets_run_and_awaits, task), 0);
    assert_true(is_blocked(SIGUSR2));
    unblock(SIGUSR2);
    test_loop_free(loop, NULL);
}

/* SIGINT of a run. */

static int run_interruptible(task_fn *fn, void *arg)
{
    struct loop_options options = test_options(NULL);

    options.handle_sigint = true;
    return run_with(options, fn, arg);
}

static int is_interrupted(void *arg)
{
    int status;

    (void)arg;
    raise(SIGINT);
    status = task_sleep(TASK_HOUR);
    record("woken with %d", status);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    record("cleaned up");
    return status;
}

static void sigint_cancels_main(void **state)
{
    (void)state;
    assert_int_equal(run_interruptible(is_interrupted, NULL), -EINTR);
    assert_record("woken with -125, cleaned up");
    assert_true(is_default(SIGINT));
    assert_int_equal(run_interruptible(is_interrupted, NULL), -EINTR);
    assert_record("woken with -125, cleaned up");
}

static int waits_for_nothing_but_sigint(void *arg)
{
    static struct task_event never;

    (void)arg;
    raise(SIGINT);
    return task_event_wait(&never);
}

static void a_wait_that_only_sigint_ends_is_no_deadlock(void **state)
{
    (void)state;
    assert_int_equal(run_interruptible(waits_for_nothing_but_sigint, NULL),
                     -EINTR);
    assert_record("");
}

static int waits_to_be_interrupted(void *arg)
{
    struct sender sender = {.signo = SIGINT, .n = 1};
    int status;

    begin_to_send(&sender);
    status =
        *(bool *)arg ? sleeps(NULL) : task_await(task_create(sleeps, NULL));
    end_sending(&sender);
    return status;
}

static void sigint_ends_the_wait_of_the_loop(void **state)
{
    struct loop_options options = test_options(NULL);
    bool is_alone = true;

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    options.handle_sigint = true;
    assert_int_equal(run_with(options, waits_to_be_interrupted, &is_alone),
                     -EINTR);
    is_alone = false;
    assert_int_equal(run_with(options, waits_to_be_interrupted, &is_alone),
                     -EINTR);
}

static int returns_all_the_same(void *arg)
{
    (void)arg;
    raise(SIGINT);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    return 5;
}

static int fails_all_the_same(void *arg)
{
    (void)arg;
    raise(SIGINT);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    return -EIO;
}

static int is_cancelled_too(void *arg)
{
    (void)arg;
    raise(SIGINT);
    task_cancel(task_current());
    return task_sleep(TASK_HOUR);
}

static int takes_it_back(void *arg)
{
    int status;

    (void)arg;
    raise(SIGINT);
    status = task_sleep(TASK_HOUR);
    CHECK_STATUS(task_uncancel(task_current()), 0);
    return status;
}

static void interrupted_is_only_what_ends_by_sigint_alone(void **state)
{
    (void)state;
    assert_int_equal(run_interruptible(returns_all_the_same, NULL), 5);
    assert_int_equal(run_interruptible(fails_all_the_same, NULL), -EIO);
    assert_int_equal(run_interruptible(is_cancelled_too, NULL), -ECANCELED);
    assert_int_equal(run_interruptible(takes_it_back, NULL), -ECANCELED);
    assert_int_equal(run_interruptible(returns, &(int){-ECANCELED}),
                     -ECANCELED);
    assert_true(is_default(SIGINT));
}

static int ignores_sigint(void *arg)
{
    (void)arg;
    raise(SIGINT);
    CHECK_STATUS(task_sleep(TASK_HOUR), -ECANCELED);
    raise(SIGINT);
    return 0;
}

static int is_busy(void *arg)
{
    (void)arg;
    raise(SIGINT);
    raise(SIGINT);
    return 0;
}

static void run_in_child(void *arg)
{
    run_interruptible(*(task_fn **)arg, NULL);
}

static void a_second_sigint_has_its_default_effect(void **state)
{
    task_fn *bodies[] = {ignores_sigint, is_busy};

    (void)state;
    for (int i = 0; i < 2; i++) {
        int status = child_run(run_in_child, &bodies[i]);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGINT);
    }
}

/* Two loops; one does not come to it. */

static int is_stuck(void *arg)
{
    stop(arg);
    while (pause() < 0)
        continue;
    return 0;
}

static void *run_stuck(void *arg)
{
    run_interruptible(is_stuck, arg);
    return NULL;
}

static int is_sent_sigint(void *arg)
{
    (void)arg;
    kill(getpid(), SIGINT);
    return task_sleep(TASK_HOUR);
}

static void interrupt_two_loops(void *arg)
{
    struct loop_options options = test_options(NULL);
    bool is_there = false;
    pthread_t thread;

    (void)arg;
    options.clock = LOOP_CLOCK_REAL;
    options.handle_sigint = true;
    pthread_create(&thread, NULL, run_stuck, &is_there);
    wait_to_be_told(&is_there);
    if (run_with(options, is_sent_sigint, NULL) != -EINTR)
        _exit(1);
    kill(getpid(), SIGINT);
    sleep(10); /* with Valgrind it takes a while */
    _exit(2);
}

static void a_loop_that_is_stuck_holds_up_no_second_sigint(void **state)
{
    int status = child_run(interrupt_two_loops, NULL);

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

static int ends_with_sigint(void *arg)
{
    raise(SIGINT);
    return *(int *)arg;
}

static void a_sigint_that_main_does_not_hear_of_counts(void **state)
{
    (void)state;
    assert_int_equal(run_interruptible(ends_with_sigint, &(int){5}), 5);
    assert_int_equal(run_interruptible(ends_with_sigint, &(int){-ECANCELED}),
                     -EINTR);
    assert_true(is_default(SIGINT));
}

/* A run that ends before main has. */

static int stops_then_raises(void *arg)
{
    (void)arg;
    loop_stop(loop_current());
    raise(SIGINT);
    record("woken with %d", task_sleep(TASK_HOUR));
    return 0;
}

static int raises_then_stops(void *arg)
{
    (void)arg;
    raise(SIGINT);
    loop_stop(loop_current());
    record("woken with %d", task_sleep(TASK_HOUR));
    return 0;
}

static void a_sigint_at_the_end_of_a_run_is_main_s_in_the_next(void **state)
{
    task_fn *const mains[] = {stops_then_raises, raises_then_stops};
    struct loop_options options = test_options(NULL);

    (void)state;
    options.handle_sigint = true;
    for (size_t i = 0; i < sizeof mains / sizeof *mains; i++) {
        struct loop *loop = loop_new(&options);

        assert_non_null(loop);
        assert_int_equal(loop_run_main(loop, mains[i], NULL), -EAGAIN);
        assert_true(is_default(SIGINT));
        assert_record("");
        assert_int_equal(loop_run_main(loop, lets_run, NULL), 0);
        assert_record("woken with -125");
        test_loop_free(loop, NULL);
    }
}

static int n_caught;

static void note(int signo)
{
    (void)signo;
    n_caught++;
}

static int raises_and_returns(void *arg)
{
    (void)arg;
    raise(SIGINT);
    return task_sleep(TASK_SECOND);
}

static int handles_it_once(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, say, text("told")), 0);
    raise(SIGUSR1);
    let_run();
    return loop_remove_signal_handler(SIGUSR1);
}

/* As a handler leaves it that was reset when it was called. */
static void a_default_effect_may_have_flags(void **state)
{
    const struct sigaction former = {.sa_handler = SIG_DFL,
                                     .sa_flags = SA_SIGINFO};

    (void)state;
    sigaction(SIGUSR1, &former, NULL);
    assert_int_equal(run_virtual(handles_it_once, NULL), 0);
    assert_record("told");
    signal(SIGUSR1, SIG_DFL);
}

static void a_users_own_handler_is_left_alone(void **state)
{
    (void)state;
    n_caught = 0;
    signal(SIGINT, note);
    assert_int_equal(run_interruptible(raises_and_returns, NULL), 0);
    assert_int_equal(n_caught, 1);
    assert_true(disposition(SIGINT).sa_handler == note);
    signal(SIGINT, SIG_IGN);
    assert_int_equal(run_interruptible(raises_and_returns, NULL), 0);
    assert_true(disposition(SIGINT).sa_handler == SIG_IGN);
    signal(SIGINT, SIG_DFL);
}

static int handles_it_itself(void *arg)
{
    sigset_t set = set_of(SIGINT, 0);
    struct task *task;

    (void)arg;
    CHECK_STATUS(loop_add_signal_handler(SIGINT, say, text("own")), 0);
    raise(SIGINT);
    let_run();
    raise(SIGINT);
    let_run();
    CHECK_STATUS(loop_remove_signal_handler(SIGINT), 0);
    task = test_start(waits, &set, "waiter");
    raise(SIGINT);
    CHECK_STATUS(task_await(task), SIGINT);
    CHECK_RECORD("own, own, waiter got 2");
    CHECK(!is_default(SIGINT));
    raise(SIGINT);
    return task_sleep(TASK_HOUR);
}

static int raises_before_it_waits(void *arg)
{
    sigset_t set = set_of(SIGINT, 0);

    (void)arg;
    raise(SIGINT);
    CHECK_STATUS(waits(&set), SIGINT);
    CHECK_RECORD("task-1 got 2");
    CHECK_STATUS(task_yield(), 0);
    raise(SIGINT);
    return task_sleep(TASK_HOUR);
}

static void a_sigint_that_a_wait_has_taken_is_not_main_s_first(void **state)
{
    (void)state;
    assert_int_equal(run_interruptible(raises_before_it_waits, NULL), -EINTR);
    assert_true(is_default(SIGINT));
}

static void handlers_and_waits_come_before_main(void **state)
{
    (void)state;
    assert_int_equal(run_interruptible(handles_it_itself, NULL), -EINTR);
    assert_true(is_default(SIGINT));
}

static int is_busy_for_a_while(void *arg)
{
    int status = 0;
    long n = 0;

    (void)arg;
    raise(SIGINT);
    while (!status && n++ < 1000000)
        status = task_yield();
    return status;
}

static void sigint_comes_at_the_next_suspension(void **state)
{
    (void)state;
    assert_int_equal(run_interruptible(is_busy_for_a_while, NULL), -EINTR);
}

static int waits_for_ever_to_be_interrupted(void *arg)
{
    struct sender sender = {.signo = SIGINT, .n = 1};
    int status;

    begin_to_send(&sender);
    status = *(bool *)arg ? sleeps_for_ever(NULL)
                          : task_await(task_create(sleeps_for_ever, NULL));
    end_sending(&sender);
    return status;
}

/* It may come, so nothing is a deadlock before. */
static void a_run_lasts_until_sigint(void **state)
{
    (void)state;
    for (int is_alone = 0; is_alone < 2; is_alone++) {
        assert_int_equal(run_interruptible(waits_for_ever_to_be_interrupted,
                                           &(bool){is_alone}),
                         -EINTR);
        assert_record("");
    }
}

static int waits_for_another(void *arg)
{
    CHECK_STATUS(waits_for_ever_to_be_interrupted(arg), -ECANCELED);
    return sleeps_for_ever(NULL);
}

/* Nor is there a second one that the run would live to see. */
static void a_deadlock_is_one_after_sigint(void **state)
{
    char expected[40];

    (void)state;
    snprintf(expected, sizeof expected, "deadlock(%d)", -EDEADLK);
    assert_int_equal(run_interruptible(waits_for_another, &(bool){true}),
                     -EDEADLK);
    assert_record(expected);
    assert_true(is_default(SIGINT));
    assert_int_equal(run_interruptible(is_interrupted, NULL), -EINTR);
    assert_record("woken with -125, cleaned up");
}

static const struct CMUnitTest tests[] = {
    leakless_in_main(a_handler_runs_as_a_callback),
    leakless_in_main(a_signal_ends_the_wait_of_a_loop),
    leakless(a_handler_alone_makes_the_difference),
    leakless_in_main(a_second_handler_replaces_the_first),
    leakless(no_signal_slips_by_while_a_handler_is_replaced),
    leakless_in_main(a_removed_handler_is_not_called),
    leakless_in_main(a_handler_may_remove_itself),
    leakless_in_main(the_former_disposition_comes_back),
    leakless_in_main(a_handler_of_others_is_left_alone),
    leakless_in_main(what_is_no_signal_is_refused),
    leakless(outside_a_loop_all_is_refused),
    leakless_in_main(different_signals_are_all_told),
    leakless_in_main(errno_is_kept),
    leakless_in_main(a_storm_neither_blocks_nor_is_lost),
    leakless_in_main(a_signal_of_another_thread_reaches_the_loop),
    leakless_in_main(a_read_of_another_thread_goes_on_after_its_signal),
    leakless(a_handler_stays_over_runs_and_goes_with_its_loop),
    leakless_in_main(a_task_waits_for_a_signal),
    leakless_in_main(what_is_known_of_a_signal_is_told),
    leakless_in_main(a_blocked_signal_works_too),
    leakless_in_main(blocked_signals_that_queue_are_all_told),
    leakless_in_main(two_signals_at_once_are_two_waits),
    leakless_in_main(all_who_wait_and_the_handler_are_told),
    leakless_in_main(each_of_a_crowd_is_looked_at_once),
    leakless_in_main(a_wait_has_a_deadline),
    leakless_in_main(a_request_and_a_signal_at_once),
    leakless_in_main(the_request_after_a_signal_comes_next),
    leakless_in_main(what_cannot_be_waited_for_is_left_out),
    leakless(a_wait_may_be_cancelled_anywhere),
    leakless(a_dropped_wait_leaves_nothing),
    leakless(signals_come_until_the_last_task_has_ended),
    leakless(lack_of_memory_is_told),
    leakless(a_signal_goes_to_all_loops),
    leakless(nobody_waits_for_a_handler_that_was_cancelled),
    leakless(a_wait_that_goes_on_in_another_thread_has_its_mask),
    leakless(a_wait_blocks_nothing_where_it_has_unblocked_nothing),
    leakless(a_fork_has_nothing_of_it),
    leakless(sigint_cancels_main),
    leakless(a_wait_that_only_sigint_ends_is_no_deadlock),
    leakless(sigint_ends_the_wait_of_the_loop),
    leakless(interrupted_is_only_what_ends_by_sigint_alone),
    leakless(a_second_sigint_has_its_default_effect),
    leakless(a_loop_that_is_stuck_holds_up_no_second_sigint),
    leakless(a_sigint_that_main_does_not_hear_of_counts),
    leakless(a_sigint_at_the_end_of_a_run_is_main_s_in_the_next),
    leakless(a_default_effect_may_have_flags),
    leakless(a_users_own_handler_is_left_alone),
    leakless(handlers_and_waits_come_before_main),
    leakless(a_sigint_that_a_wait_has_taken_is_not_main_s_first),
    leakless(sigint_comes_at_the_next_suspension),
    leakless(a_run_lasts_until_sigint),
    leakless(a_deadlock_is_one_after_sigint),
};

int main(void)
{
    signal(SIGINT, SIG_DFL); /* a shell's background job has it ignored */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
