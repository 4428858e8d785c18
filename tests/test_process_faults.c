/*
 * Children whose system calls fail.
 *
 * Each system call by which a child is started, watched and waited for comes
 * through here, also those that it makes itself before it has its program. A
 * sweep starts one over and over, and each time another call fails: the first,
 * the second ..., until there are no more. Either it is told, and there is no
 * child; or there is, and all goes well. Nothing is left behind.
 */

/* The linker wraps: fork clone pipe2 dup2 chdir setsid execve epoll_ctl */
/* The linker wraps: waitid waitpid read write open fcntl syscall */
/* The linker wraps: pthread_create malloc */

#include "launch.h"
#include "leaks.h"
#include "process.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Faults. */

enum group { STARTS, WAITS, N_GROUPS };

/* In memory that children share. */
static struct faults {
    bool is_on;
    enum group group; /* of these calls */
    int fail_at;      /* the call that fails, the first being 1; 0: none */
    int error;        /* with that */
    int n;            /* calls so far */
    int n_failed;
    const char *failed; /* the last that did */
} * faults;

static void set_on(bool is_on)
{
    __atomic_store_n(&faults->is_on, is_on, __ATOMIC_RELEASE);
}

static bool fails(enum group group, const char *call)
{
    if (!faults || !__atomic_load_n(&faults->is_on, __ATOMIC_ACQUIRE) ||
        group != faults->group ||
        __atomic_add_fetch(&faults->n, 1, __ATOMIC_ACQ_REL) != faults->fail_at)
        return false;
    faults->n_failed++;
    faults->failed = call;
    errno = faults->error;
    return true;
}

#define WRAP(group, type, name, parameters, arguments)                         \
    type __real_##name parameters;                                             \
    type __wrap_##name parameters;                                             \
    type __wrap_##name parameters                                              \
    {                                                                          \
        return fails(group, #name) ? -1 : __real_##name arguments;             \
    }

WRAP(STARTS, pid_t, fork, (void), ())
WRAP(STARTS, int, pipe2, (int ends[2], int flags), (ends, flags))
WRAP(STARTS, int, dup2, (int from, int to), (from, to))
WRAP(STARTS, int, chdir, (const char *path), (path))
WRAP(STARTS, pid_t, setsid, (void), ())
WRAP(STARTS, int, execve,
     (const char *path, char *const argv[], char *const env[]),
     (path, argv, env))
WRAP(STARTS, int, epoll_ctl,
     (int epoll, int operation, int fd, struct epoll_event *event),
     (epoll, operation, fd, event))
WRAP(WAITS, int, waitid, (idtype_t type, id_t id, siginfo_t *info, int options),
     (type, id, info, options))
WRAP(WAITS, pid_t, waitpid, (pid_t pid, int *status, int options),
     (pid, status, options))
WRAP(WAITS, ssize_t, read, (int fd, void *buf, size_t n), (fd, buf, n))
WRAP(WAITS, ssize_t, write, (int fd, const void *buf, size_t n), (fd, buf, n))

int __real_open(const char *path, int flags, int mode);
int __wrap_open(const char *path, int flags, int mode);
int __wrap_open(const char *path, int flags, int mode)
{
    return fails(STARTS, "open") ? -1 : __real_open(path, flags, mode);
}

int __real_fcntl(int fd, int command, int value);
int __wrap_fcntl(int fd, int command, int value);
int __wrap_fcntl(int fd, int command, int value)
{
    return fails(STARTS, "fcntl") ? -1 : __real_fcntl(fd, command, value);
}

/* pidfd_open, pidfd_send_signal, close_range ... */
long __real_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    return fails(STARTS, "syscall") ? -1
                                    : __real_syscall(number, a, b, c, d, e, f);
}

int __real_clone(int (*fn)(void *arg), void *stack, int flags, void *arg,
                 int *pidfd);
int __wrap_clone(int (*fn)(void *arg), void *stack, int flags, void *arg,
                 int *pidfd);
int __wrap_clone(int (*fn)(void *arg), void *stack, int flags, void *arg,
                 int *pidfd)
{
    return fails(STARTS, "clone") ? -1
                                  : __real_clone(fn, stack, flags, arg, pidfd);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*fn)(void *arg), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*fn)(void *arg), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*fn)(void *arg), void *arg)
{
    return fails(STARTS, "pthread_create")
               ? faults->error
               : __real_pthread_create(thread, attributes, fn, arg);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return fails(STARTS, "malloc") ? NULL : __real_malloc(size);
}

/* A child with everything. */

static const struct child_kind *best;

/* Whatever has failed, it is tried again the next time. */
static void restore_ways(void)
{
    __atomic_store_n(&task__child_best, best, __ATOMIC_RELAXED);
}

static int start(struct task_process **process)
{
    static const char *const argv[] = {"cat", NULL};
    const int passed[] = {0, 2};

    return task_process_exec(
        process, argv,
        &(struct task_process_options){.stdin_mode = TASK_PIPE,
                                       .stdout_mode = TASK_PIPE,
                                       .stderr_mode = TASK_DEVNULL,
                                       .cwd = "/",
                                       .new_session = true,
                                       .pass_fds = passed,
                                       .n_pass_fds = 2});
}

/* What a failure is told as: one of malloc has no errno, and who only asks what
 * a descriptor is takes it for another one. */
static bool is_told(int error)
{
    bool is_vague =
        !strcmp(faults->failed, "malloc") || !strcmp(faults->failed, "fcntl");

    return error == -faults->error ||
           (is_vague &&
            (error == -ENOMEM || error == -EBADF || error == -ENOTSUP));
}

/* It is heard to the end; or, if a pipe fails, killed. */
static void use(struct task_process *process)
{
    struct task_buffer out = {0};
    int status = task_process_communicate(process, "words", 5, &out, NULL);

    if (!status) {
        CHECK(out.size == 5 && !memcmp(out.data, "words", 5));
        CHECK_STATUS(task_process_wait(process), 0);
    } else {
        CHECK(faults->n_failed == 1 && is_told(status));
        task_process_kill(process);
        task_process_wait(process);
    }
    task_process_free(process);
    task_buffer_free(&out);
}

static int starts_and_ends(void *arg)
{
    struct task_process *process = NULL;
    int error;

    (void)arg;
    set_on(true);
    error = start(&process);
    if (!error) {
        use(process);
    } else {
        CHECK(!process);
        CHECK(faults->n_failed == 1 && is_told(error));
    }
    set_on(false);
    CHECK(!has_children());
    if (checks_failed())
        fprintf(stderr, "call %d, %s, failed with %d; told was %d\n",
                faults->fail_at, faults->failed, faults->error, error);
    return error;
}

static void sweep(enum group group, int error)
{
    size_t before = descriptors_open();

    *faults = (struct faults){.group = group, .error = error};
    do {
        faults->fail_at++;
        faults->n = faults->n_failed = 0;
        run_virtual(starts_and_ends, NULL);
        restore_ways();
        assert_int_equal(descriptors_open(), before);
    } while (faults->n_failed);
    assert_true(faults->fail_at > 1);
    record_clear();
}

static void whatever_fails_as_one_is_started_is_told(void **state)
{
    static const int errors[] = {ENOMEM, EMFILE, EPERM};
    unsigned n = test_rounds(3);

    (void)state;
    for (unsigned i = 0; i < n; i++)
        sweep(STARTS, errors[i]);
}

static void what_was_interrupted_is_tried_again(void **state)
{
    (void)state;
    sweep(WAITS, EINTR);
}

static const struct CMUnitTest tests[] = {
    leakless(whatever_fails_as_one_is_started_is_told),
    leakless(what_was_interrupted_is_tried_again),
};

int main(void)
{
    int failed;

    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (faults == MAP_FAILED)
        return 1;
    best = task__child_best;
    failed = cmocka_run_group_tests_name("the best way", tests, NULL, NULL);
    task__launch_way = task__launch_by_fork;
    failed += cmocka_run_group_tests_name("by fork", tests, NULL, NULL);
    best = &task__child_thread;
    restore_ways();
    failed += cmocka_run_group_tests_name("by threads", tests, NULL, NULL);
    return failed;
}
