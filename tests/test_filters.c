/*
 * What a filter of system calls, an old kernel or one that only looks like Linux
 * refuses, each time: all goes well without it.
 */
#include "leaks.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <task.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

/* What is refused, and by what; 0: nothing. */
static int pidfds;
static int pidfd_signals;

static int n_refused;

static bool is_refused(int error)
{
    n_refused += error != 0;
    errno = error ? error : errno;
    return error;
}

int __real_clone(int (*fn)(void *arg), void *stack, int flags, void *arg,
                 int *pidfd);
int __wrap_clone(int (*fn)(void *arg), void *stack, int flags, void *arg,
                 int *pidfd);
int __wrap_clone(int (*fn)(void *arg), void *stack, int flags, void *arg,
                 int *pidfd)
{
    return (flags & CLONE_PIDFD) && is_refused(pidfds)
               ? -1
               : __real_clone(fn, stack, flags, arg, pidfd);
}

long __real_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    return number == SYS_pidfd_send_signal && is_refused(pidfd_signals)
               ? -1
               : __real_syscall(number, a, b, c, d, e, f);
}

static struct task_process *begin(const char *const argv[])
{
    struct task_process *process = NULL;

    CHECK_STATUS(task_process_exec(&process, argv, NULL), 0);
    return process;
}

static int runs_true(void *arg)
{
    const char *const argv[] = {"true", NULL};
    struct task_process *process = begin(argv);

    (void)arg;
    CHECK_STATUS(task_process_wait(process), 0);
    task_process_free(process);
    return 0;
}

static int kills_a_sleeper(void *arg)
{
    const char *const argv[] = {"sleep", "1000", NULL};
    struct task_process *process = begin(argv);

    (void)arg;
    CHECK_STATUS(task_process_send_signal(process, SIGTERM), 0);
    CHECK_STATUS(task_process_wait(process), SIGTERM);
    task_process_free(process);
    return 0;
}

/* Last of the children's: what was found out holds for the process. */
static void programs_run_where_clone_gives_no_pidfd(void **state)
{
    (void)state;
    pidfds = EINVAL;
    n_refused = 0;
    run_virtual(runs_true, NULL);
    run_virtual(runs_true, NULL);
    assert_in_range(n_refused, 0, 1); /* by fork none is asked for */
    pidfds = 0;
}

static void children_are_signalled_where_pidfds_cannot_be(void **state)
{
    static const int errors[] = {EPERM, ENOSYS};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        pidfd_signals = errors[i];
        run_virtual(kills_a_sleeper, NULL);
    }
    pidfd_signals = 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        leakless(children_are_signalled_where_pidfds_cannot_be),
        leakless(programs_run_where_clone_gives_no_pidfd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
