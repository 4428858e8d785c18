/*
 * What a filter of system calls, an old kernel or one that only looks like Linux
 * refuses, or answers in its own way, each time: all goes well without it.
 */

/* The linker wraps: clone syscall fcntl madvise mincore preadv2 pwritev2 */

#include "leaks.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <task.h>
#include <unistd.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* What is refused, and by what; 0: nothing. */
static int pidfds;
static int pidfd_signals;
static int closing_ranges;
static int listing;     /* what is in a folder */
static int giving_back; /* memory */
static int not_waiting; /* to read and write so */

static bool all_is_resident; /* as it seems */

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
    int refusal = number == SYS_pidfd_send_signal ? pidfd_signals
                  : number == SYS_close_range     ? closing_ranges
                  : number == SYS_getdents64      ? listing
                                                  : 0;

    return is_refused(refusal) ? -1 : __real_syscall(number, a, b, c, d, e, f);
}

/* Those of a child that shares our memory, too. */
static int n_fcntl;

int __real_fcntl(int fd, int command, int value);
int __wrap_fcntl(int fd, int command, int value);
int __wrap_fcntl(int fd, int command, int value)
{
    n_fcntl++;
    return __real_fcntl(fd, command, value);
}

int __real_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice);
int __wrap_madvise(void *address, size_t size, int advice)
{
    return advice == MADV_DONTNEED && is_refused(giving_back)
               ? -1
               : __real_madvise(address, size, advice);
}

int __real_mincore(void *address, size_t size, unsigned char *pages);
int __wrap_mincore(void *address, size_t size, unsigned char *pages);
int __wrap_mincore(void *address, size_t size, unsigned char *pages)
{
    int result = __real_mincore(address, size, pages);

    if (all_is_resident)
        memset(pages, 1, (size + 4095) / 4096);
    return result;
}

#define WRAP_PARTS(name)                                                       \
    ssize_t __real_##name(int fd, const struct iovec *parts, int n,            \
                          off_t offset, int flags);                            \
    ssize_t __wrap_##name(int fd, const struct iovec *parts, int n,            \
                          off_t offset, int flags);                            \
    ssize_t __wrap_##name(int fd, const struct iovec *parts, int n,            \
                          off_t offset, int flags)                             \
    {                                                                          \
        return is_refused(not_waiting)                                         \
                   ? -1                                                        \
                   : __real_##name(fd, parts, n, offset, flags);               \
    }

WRAP_PARTS(preadv2)
WRAP_PARTS(pwritev2)

/* Children. */

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

/* 200 is open here, too. */
static int only_what_is_passed_is_open(void *arg)
{
    static const char *const argv[] = {
        "sh", "-c", "test -e /proc/$$/fd/201 -a ! -e /proc/$$/fd/200", NULL};
    static const int passed[] = {201};
    struct task_process_options options = {.pass_fds = passed, .n_pass_fds = 1};
    struct task_process *process = NULL;

    (void)arg;
    CHECK_STATUS(task_process_exec(&process, argv, &options), 0);
    CHECK_STATUS(task_process_wait(process), 0);
    task_process_free(process);
    return 0;
}

static void pass_one_of_two(void)
{
    n_refused = n_fcntl = 0;
    assert_int_equal(dup2(1, 200), 200);
    assert_int_equal(dup2(1, 201), 201);
    run_virtual(only_what_is_passed_is_open, NULL);
    close(200);
    close(201);
}

static void descriptors_are_kept_from_children_without_ranges(void **state)
{
    struct rlimit few;
    struct rlimit many;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &few), 0);
    many = (struct rlimit){few.rlim_max, few.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &many), 0);
    closing_ranges = ENOSYS;
    pass_one_of_two();
    assert_in_range(n_fcntl, 0, 100); /* not one for each that there may be */
    listing = EPERM;
    pass_one_of_two();
    closing_ranges = listing = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

/* Stacks. */

static int looks_at_its_stack(void *arg)
{
    *(size_t *)arg = task_stack_used(task_current());
    return 0;
}

static int uses_much(void *arg)
{
    volatile char room[40 << 10];

    for (size_t i = 0; i < sizeof room; i += sizeof(void *))
        room[i] = 1;
    return looks_at_its_stack(arg);
}

static void use_stacks(size_t *little, size_t *much, size_t *little_again)
{
    CHECK_STATUS(task_await(task_create(looks_at_its_stack, little)), 0);
    CHECK_STATUS(task_await(task_create(uses_much, much)), 0);
    CHECK_STATUS(task_await(task_create(looks_at_its_stack, little_again)), 0);
}

static int uses_stacks(void *arg)
{
    size_t little;
    size_t much;
    size_t little_again;

    (void)arg;
    use_stacks(&little, &much, &little_again);
    CHECK(little > 0 && little < 20 << 10);
    CHECK(much > 40 << 10 && much <= 64 << 10);
    CHECK(little_again < little + 2048);
    return 0;
}

/* Where memory that is given back is refused with an errno, if that is not 0. */
static void use_stacks_where(bool is_resident, int refusal)
{
    struct loop_options options = test_options(NULL);

    options.debug = true;
    all_is_resident = is_resident;
    giving_back = refusal;
    assert_int_equal(run_with(options, uses_stacks, NULL), 0);
    all_is_resident = false;
    giving_back = 0;
}

static void the_use_of_stacks_is_known_where_all_is_resident(void **state)
{
    (void)state;
    use_stacks_where(true, 0);
}

static void the_use_of_stacks_is_known_where_no_memory_goes(void **state)
{
    (void)state;
    use_stacks_where(false, EINVAL); /* as of locked memory */
}

/* Descriptors. */

static int uses_the_wrong_ends(void *arg)
{
    int *ends = arg;
    char byte = 0;

    CHECK_STATUS(task_read(ends[1], &byte, 1), -EBADF);
    CHECK_STATUS(task_write(ends[0], &byte, 1), -EBADF);
    CHECK_STATUS(task_write(ends[1], "x", 1), 1);
    CHECK_STATUS(task_read(ends[0], &byte, 1), 1);
    CHECK(byte == 'x');
    return 0;
}

static void a_pipes_wrong_end_is_told_where_it_is_asked_first(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    not_waiting = ENOSYS;
    assert_int_equal(run_virtual(uses_the_wrong_ends, ends), 0);
    not_waiting = 0;
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        leakless(descriptors_are_kept_from_children_without_ranges),
        leakless(children_are_signalled_where_pidfds_cannot_be),
        leakless(programs_run_where_clone_gives_no_pidfd),
        leakless(a_pipes_wrong_end_is_told_where_it_is_asked_first),
        leakless(the_use_of_stacks_is_known_where_all_is_resident),
        leakless(the_use_of_stacks_is_known_where_no_memory_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
