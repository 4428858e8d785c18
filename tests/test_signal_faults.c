/*
 * Signals where system calls fail: each in turn, until none is left. A handler
 * or a wait is refused then, or works; and nothing is different afterwards.
 */

/* The linker wraps: sigaction eventfd pipe2 epoll_ctl calloc aligned_alloc */

#include "leaks.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
    bool is_on;
    int fail_at; /* the call that fails, the first being 1 */
    int n;       /* calls so far */
    bool has_failed;
} faults;

static bool fails(void)
{
    if (!faults.is_on || ++faults.n != faults.fail_at)
        return false;
    faults.has_failed = true;
    errno = ENOMEM;
    return true;
}

int __real_sigaction(int signo, const struct sigaction *action,
                     struct sigaction *former);
int __wrap_sigaction(int signo, const struct sigaction *action,
                     struct sigaction *former);
int __wrap_sigaction(int signo, const struct sigaction *action,
                     struct sigaction *former)
{
    return fails() ? -1 : __real_sigaction(signo, action, former);
}

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags)
{
    return fails() ? -1 : __real_eventfd(value, flags);
}

int __real_pipe2(int ends[2], int flags);
int __wrap_pipe2(int ends[2], int flags);
int __wrap_pipe2(int ends[2], int flags)
{
    return fails() ? -1 : __real_pipe2(ends, flags);
}

int __real_epoll_ctl(int epoll, int operation, int fd,
                     struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd,
                     struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd,
                     struct epoll_event *event)
{
    return fails() ? -1 : __real_epoll_ctl(epoll, operation, fd, event);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(align, size);
}

static bool is_blocked(int signo)
{
    sigset_t mask;

    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    return sigismember(&mask, signo) == 1;
}

static void *disposition(int signo)
{
    struct sigaction now;

    __real_sigaction(signo, NULL, &now);
    return (void *)(uintptr_t)now.sa_handler;
}

static void ignore(int signo)
{
    (void)signo;
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static int waits(void *arg)
{
    return task_signal_wait(arg, NULL);
}

/* One that is refused is not caught; another may be, or not. */
static void check_result(int error)
{
    CHECK(!error || faults.has_failed);
}

static int handles_and_waits(void *arg)
{
    int n[2] = {0, 0};
    sigset_t set;
    struct task *task;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    faults.is_on = true;
    check_result(loop_add_signal_handler(SIGUSR1, count, &n[0]));
    check_result(loop_add_signal_handler(SIGUSR1, count, &n[1]));
    task = task_create(waits, &set);
    task_yield();
    if (!task_done(task)) /* those that it has are no longer blocked */
        CHECK(is_blocked(SIGUSR2) == (disposition(SIGUSR2) == NULL));
    if (task_cancel_await(task) != -ECANCELED)
        check_result(-ENOMEM);
    CHECK(is_blocked(SIGUSR1) && is_blocked(SIGUSR2));
    loop_remove_signal_handler(SIGUSR1);
    loop_remove_signal_handler(SIGUSR1);
    return 0;
}

/* What could not be given back is so the next time. */
static int handles_once_more(void *arg)
{
    int n = 0;

    CHECK_STATUS(loop_add_signal_handler(SIGUSR1, count, &n), 0);
    CHECK_STATUS(loop_remove_signal_handler(SIGUSR1), 0);
    return handles_and_waits(arg);
}

static void whatever_fails_is_told_and_changes_nothing(void **state)
{
    sigset_t both;
    sigset_t former;

    (void)state;
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &both, &former);
    signal(SIGUSR1, ignore);
    do {
        faults.fail_at++;
        faults.n = 0;
        faults.has_failed = false;
        run_virtual(handles_and_waits, NULL);
        faults.is_on = false;
        assert_checks();
    } while (faults.has_failed);
    assert_true(faults.fail_at > 8);
    faults.fail_at = 0;
    assert_int_equal(run_virtual(handles_once_more, NULL), 0);
    assert_true(disposition(SIGUSR1) == (void *)(uintptr_t)ignore);
    assert_null(disposition(SIGUSR2));
    signal(SIGUSR1, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
}

static const struct CMUnitTest tests[] = {
    leakless(whatever_fails_is_told_and_changes_nothing),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
