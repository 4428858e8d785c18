/*
 * What the system refuses: memory, address space, descriptors, guards, waits.
 *
 * Each allocation and each system call of the core comes through here, and is
 * counted. A sweep runs a program of all that the interface has over and over,
 * and each time another call is refused: the first, the second ..., until there
 * are no more.
 */

/* The linker wraps: realloc mmap munmap mprotect madvise syscall mincore */
/* The linker wraps: epoll_create1 epoll_ctl epoll_wait epoll_pwait poll */
/* The linker wraps: ppoll timerfd_create timerfd_settime eventfd */
/* The linker wraps: clock_nanosleep */

#include "child.h"
#include "record.h"

#include "loop.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

enum { GUARD_INSTALL = 102, PATIENT = 4 };

/* Faults. */

enum call {
    MEMORY,
    MAP,
    UNMAP,
    PROTECT,
    RESIDENT,
    ADVISE, /* but for guards */
    GUARD,
    ADVISE_MANY, /* of process_madvise: the same */
    GUARD_MANY,
    EPOLL_CREATE,
    EPOLL_CTL,
    EPOLL_WAIT,
    EPOLL_PWAIT,
    EPOLL_PWAIT2,
    POLL,
    PPOLL,
    NANOSLEEP,
    TIMER_CREATE,
    TIMER_SET,
    EVENTFD,
    N_CALLS
};

enum {
    GUARDS = 1 << PROTECT | 1 << GUARD | 1 << GUARD_MANY,
    WAITS = 1 << EPOLL_WAIT | 1 << EPOLL_PWAIT | 1 << EPOLL_PWAIT2 | 1 << POLL |
            1 << PPOLL | 1 << NANOSLEEP
};

static struct {
    size_t first; /* calls from this one on, the next being 1, are refused; */
    size_t last;  /* this is the last one; 0: none is */
    int kinds;    /* besides, each of these kinds, as bits */
    int error;    /* what they get; 0: what is usual */
    size_t most;  /* ranges that process_madvise takes at once; 0: all */
    size_t n;     /* calls so far */
    size_t n_refused;
    size_t counts[N_CALLS];
    size_t n_blocks; /* of memory, not given back */
    size_t mapped;   /* bytes */
    size_t stuck;    /* of these, bytes that could not be unmapped */
} faults;

static void no_faults(void)
{
    faults.first = 0;
    faults.last = 0;
    faults.kinds = 0;
    faults.error = 0;
    faults.most = 0;
}

/* Refuse the calls first, first + 1 ... last from now on. */
static void refuse(size_t first, size_t last)
{
    no_faults();
    faults.n = 0;
    faults.n_refused = 0;
    faults.first = first;
    faults.last = last;
}

/* Refuse all calls of these kinds. */
static void refuse_kinds(int kinds, int error)
{
    no_faults();
    faults.kinds = kinds;
    faults.error = error;
}

static bool is_refused(enum call call, int error)
{
    size_t n = ++faults.n;
    bool refused =
        (n >= faults.first && n <= faults.last) || faults.kinds >> call & 1;

    faults.counts[call]++;
    if (!refused)
        return false;
    faults.n_refused++;
    errno = faults.error ? faults.error : error;
    return true;
}

#define WRAP(name, call, error, parameters, arguments)                         \
    int __real_##name parameters;                                              \
    int __wrap_##name parameters;                                              \
    int __wrap_##name parameters                                               \
    {                                                                          \
        return is_refused(call, error) ? -1 : __real_##name arguments;         \
    }

WRAP(mprotect, PROTECT, ENOMEM, (void *address, size_t size, int protection),
     (address, size, protection))
WRAP(madvise, advice == GUARD_INSTALL ? GUARD : ADVISE, EINVAL,
     (void *address, size_t size, int advice), (address, size, advice))

long __real_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e,
                    long f);

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_process_madvise) {
        if (is_refused((int)d == GUARD_INSTALL ? GUARD_MANY : ADVISE_MANY,
                       EPERM))
            return -1;
        if (faults.most && (size_t)c > faults.most)
            c = (long)faults.most;
    }
    if (number == SYS_epoll_pwait2 && is_refused(EPOLL_PWAIT2, EINTR))
        return -1;
    return __real_syscall(number, a, b, c, d, e, f);
}

WRAP(mincore, RESIDENT, EAGAIN,
     (void *address, size_t size, unsigned char *pages), (address, size, pages))
WRAP(epoll_create1, EPOLL_CREATE, EMFILE, (int flags), (flags))
WRAP(epoll_ctl, EPOLL_CTL, ENOSPC,
     (int epoll, int operation, int fd, struct epoll_event *event),
     (epoll, operation, fd, event))
WRAP(epoll_wait, EPOLL_WAIT, EINTR,
     (int epoll, struct epoll_event *events, int n, int timeout),
     (epoll, events, n, timeout))
WRAP(epoll_pwait, EPOLL_PWAIT, EINTR,
     (int epoll, struct epoll_event *events, int n, int timeout,
      const sigset_t *mask),
     (epoll, events, n, timeout, mask))
WRAP(poll, POLL, EINTR, (struct pollfd * fds, nfds_t n, int timeout),
     (fds, n, timeout))
WRAP(ppoll, PPOLL, EINTR,
     (struct pollfd * fds, nfds_t n, const struct timespec *timeout,
      const sigset_t *mask),
     (fds, n, timeout, mask))

/* Where a filter knows it not, whoever waits for time only does so as others. */
static bool knows_nanosleep = true;

int __real_clock_nanosleep(clockid_t clock, int flags,
                           const struct timespec *time, struct timespec *rest);
int __wrap_clock_nanosleep(clockid_t clock, int flags,
                           const struct timespec *time, struct timespec *rest);
int __wrap_clock_nanosleep(clockid_t clock, int flags,
                           const struct timespec *time, struct timespec *rest)
{
    if (!knows_nanosleep)
        return ENOSYS;
    return is_refused(NANOSLEEP, EINTR)
               ? errno
               : __real_clock_nanosleep(clock, flags, time, rest);
}

static int forget_nanosleep(void **state)
{
    knows_nanosleep = false;
    return record_setup(state);
}

static int remember_nanosleep(void **state)
{
    knows_nanosleep = true;
    return record_teardown(state);
}

#define without_nanosleep(name)                                                \
    cmocka_unit_test_setup_teardown(name, forget_nanosleep, remember_nanosleep)

WRAP(timerfd_create, TIMER_CREATE, EMFILE, (int clock, int flags),
     (clock, flags))
WRAP(timerfd_settime, TIMER_SET, EINVAL,
     (int fd, int flags, const struct itimerspec *new, struct itimerspec *old),
     (fd, flags, new, old))
WRAP(eventfd, EVENTFD, EMFILE, (unsigned value, int flags), (value, flags))

void *__real_mmap(void *address, size_t size, int protection, int flags, int fd,
                  off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd,
                  off_t offset);
int __real_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd,
                  off_t offset)
{
    void *mapping = MAP_FAILED;

    if (!is_refused(MAP, ENOMEM))
        mapping = __real_mmap(address, size, protection, flags, fd, offset);
    if (mapping != MAP_FAILED)
        faults.mapped += size;
    return mapping;
}

int __wrap_munmap(void *address, size_t size)
{
    if (is_refused(UNMAP, ENOMEM)) {
        faults.stuck += size;
        return -1;
    }
    faults.mapped -= size;
    return __real_munmap(address, size);
}

/* What a loop without an allocator of its own takes its memory from. */
void *__wrap_realloc(void *pointer, size_t size)
{
    return is_refused(MEMORY, ENOMEM) ? NULL : __real_realloc(pointer, size);
}

static void *allocate(void *pointer, size_t size, void *arg)
{
    void *block = NULL;

    (void)arg;
    if (size && is_refused(MEMORY, ENOMEM))
        return NULL;
    if (size)
        block = __real_realloc(pointer, size);
    else
        free(pointer);
    faults.n_blocks += !pointer;
    faults.n_blocks -= !size;
    return block;
}

static size_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static size_t n_reports;

static void count_report(const struct loop_error *error, void *arg)
{
    (void)arg;
    CHECK(error->message && *error->message);
    CHECK(!error->task == !error->task_name);
    n_reports++;
}

static struct loop_options faulty_options(enum loop_clock clock)
{
    struct loop_options options = test_options(NULL);

    options.clock = clock;
    options.alloc = allocate;
    options.on_error = count_report;
    return options;
}

static struct loop_stats figures(void)
{
    struct loop_stats stats;

    loop_get_stats(loop_current(), &stats);
    return stats;
}

/*
 * The program of a sweep: steps, which return 0, or why they could not be done;
 * what they had begun is then undone.
 */

static int return_seven(void *arg)
{
    (void)arg;
    return 7;
}

static int yield_once(void *arg)
{
    (void)arg;
    return task_yield();
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    return task_sleep(TASK_FOREVER);
}

static int return_failure(void *arg)
{
    (void)arg;
    return -EIO;
}

static void ignore_end(struct task *task, void *arg)
{
    CHECK(task_done(task));
    ++*(size_t *)arg;
}

static void add_one(void *arg)
{
    ++*(size_t *)arg;
}

static int seven(int status)
{
    return status == 7 ? 0 : status;
}

static int create_one(void)
{
    return seven(task_await(task_create(return_seven, NULL)));
}

static int create_in_loop(void)
{
    return seven(
        task_await(loop_create_task(loop_current(), return_seven, NULL)));
}

/* So many that chunks, slabs and tables grow; or where that is slow, slabs. */
enum { MANY = 200, NOT_SO_MANY = 20 };

static size_t many(void)
{
    return test_rounds(MANY) == MANY ? MANY : NOT_SO_MANY;
}

static int create_many(void)
{
    struct task *tasks[MANY];
    size_t n = 0;

    while (n < many() && (tasks[n] = task_create(yield_once, NULL)))
        n++;
    CHECK(figures().tasks == n + 1);
    for (size_t i = 0; i < n; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    return n == many() ? 0 : -ENOMEM;
}

static int create_with_name(void)
{
    return seven(task_await(task_create_with(
        return_seven, NULL, &(struct task_options){.name = "a name"})));
}

/* With the size of the loop's own, of a slab of many, and of one. */
static int create_with_stacks(void)
{
    static const size_t sizes[] = {0, TASK_STACK_MIN, 200 << 10, 8 << 20};
    int status = 0;

    for (size_t i = 0; i < 4 && !status; i++)
        status = seven(task_await(
            task_create_with(return_seven, NULL,
                             &(struct task_options){.stack_size = sizes[i]})));
    return status;
}

static int create_eagerly(void)
{
    struct task_options options = {.eager = true, .name = "eager"};
    struct task *done = task_create_with(return_seven, NULL, &options);
    struct task *parked = task_create_with(sleep_for_ever, NULL, &options);
    int status = task_cancel_await(parked);

    CHECK(task_done(done));
    if (!done)
        return -ENOMEM;
    CHECK_STATUS(task_await(done), 7);
    return status == -ECANCELED ? 0 : status;
}

static int create_daemon(void)
{
    struct task_options options = {.daemon = true, .stack_size = 100 << 10};
    int status =
        task_cancel_await(task_create_with(sleep_for_ever, NULL, &options));

    return status == -ECANCELED ? 0 : status;
}

/* The old name stays when there is no room for the new one. */
static int set_name(void)
{
    struct task *self = task_current();
    char former[30];
    bool is_new;

    task_set_name(self, "the former");
    snprintf(former, sizeof former, "%s", task_name(self));
    task_set_name(self, "the latter");
    is_new = !strcmp(task_name(self), "the latter");
    CHECK(is_new || !strcmp(task_name(self), former));
    task_set_name(self, NULL);
    return is_new ? 0 : -ENOMEM;
}

/* One that cannot be made is "task". */
static int make_name(void)
{
    struct task *future = task_future_create();
    const char *name = task_name(future);
    char expected[30];
    bool is_made;

    snprintf(expected, sizeof expected, "task-%d", (int)task_id(future));
    is_made = !strcmp(name, expected);
    CHECK(is_made || !strcmp(name, future ? "task" : ""));
    task_detach(future);
    return is_made ? 0 : -ENOMEM;
}

static int complete_futures(void)
{
    struct task *futures[MANY];
    size_t n = 0;
    size_t n_called = 0;
    size_t n_added = 0;

    while (n < many() && (futures[n] = task_future_create()))
        n++;
    for (size_t i = 0; i < n; i++) {
        int status = task_add_done_callback(futures[i], ignore_end, &n_called);

        CHECK(!status || status == -ENOMEM);
        n_added += !status;
    }
    for (size_t i = 0; i < n; i++)
        CHECK_STATUS(task_future_complete(futures[i], 7), 0);
    for (size_t i = 0; i < n; i++)
        CHECK_STATUS(task_await(futures[i]), 7);
    CHECK_STATUS(task_yield(), 0);
    CHECK(n_called == n_added);
    return n_added == many() ? 0 : -ENOMEM;
}

static int remove_callbacks(void)
{
    struct task *future = task_future_create();
    size_t n_called = 0;
    size_t n = 0;

    while (n < many() && !task_add_done_callback(future, ignore_end, &n_called))
        n++;
    CHECK_STATUS(task_remove_done_callback(future, ignore_end, &n_called),
                 (int)n);
    task_cancel(future);
    task_detach(future);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS((int)n_called, 0);
    return n == many() ? 0 : -ENOMEM;
}

static int64_t call(size_t i, size_t *n_called)
{
    if (i % 4 == 0)
        return loop_call_soon(add_one, n_called);
    if (i % 4 == 1)
        return loop_call_at(0, add_one, n_called);
    return loop_call_later(i % 4 == 2 ? 0 : TASK_HOUR, add_one, n_called);
}

static int call_functions(void)
{
    int64_t ids[MANY];
    size_t n = 0;
    size_t n_called = 0;

    while (n < many() && (ids[n] = call(n, &n_called)) > 0)
        n++;
    CHECK(n == many() || ids[n] == -ENOMEM);
    for (size_t i = 3; i < n; i += 4)
        CHECK_STATUS(loop_call_cancel(ids[i]), 0);
    for (int i = 0; i < PATIENT; i++)
        CHECK_STATUS(task_yield(), 0);
    CHECK(n_called == n - n / 4);
    return n == many() ? 0 : -ENOMEM;
}

static int wait_in_every_way(void)
{
    task_time before = loop_time();

    CHECK_STATUS(task_sleep(100 * TASK_MICROSECOND), 0);
    CHECK(loop_time() - before >= 100 * TASK_MICROSECOND);
    CHECK_STATUS(task_sleep_until(before), 0);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK_STATUS((int)task_all(NULL, 0), 1);
    CHECK(task_stack_used(task_current()) > 0);
    return 0;
}

/* A failure is reported, even if there is no memory for it. */
static int report_failure(void)
{
    struct task *task = task_create(return_failure, NULL);
    size_t n = n_reports;

    task_detach(task);
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS((int)(n_reports - n), task != NULL);
    return n_reports == n ? -ENOMEM : 0;
}

static const struct step {
    const char *name;
    int (*fn)(void);
} steps[] = {
    {"create one", create_one},
    {"create in the loop", create_in_loop},
    {"create many", create_many},
    {"create with a name", create_with_name},
    {"create with stacks", create_with_stacks},
    {"create eagerly", create_eagerly},
    {"create a daemon", create_daemon},
    {"set the name", set_name},
    {"make a name", make_name},
    {"complete futures", complete_futures},
    {"remove callbacks", remove_callbacks},
    {"call functions", call_functions},
    {"wait", wait_in_every_way},
    {"report a failure", report_failure},
};

/* What a step must not leave: the main task alone is there, on its stack. */
static bool is_clean(const struct loop *loop)
{
    struct loop_stats now = figures();
    size_t n_reserved = 0;

    for (const struct stacks *at = &loop->stacks; at; at = at->next)
        n_reserved += at->n_reserved;
    return now.tasks == 1 && now.stacks_used == 1 && n_reserved == 0 &&
           now.parked + now.ready + now.timers == 0 &&
           loop->task_pool.n_all - loop->task_pool.n_free == 1 &&
           loop->record_pool.n_all == loop->record_pool.n_free;
}

/* If something was refused, it may fail with that code, and works then. */
static void try_step(const struct step *step)
{
    size_t n_refused = faults.n_refused;
    int status = step->fn();

    CHECK(is_clean(loop_current()));
    if (!status)
        return;
    check_status(status, -ENOMEM, step->name, __FILE__, __LINE__);
    CHECK(faults.n_refused > n_refused);
    no_faults();
    check_status(step->fn(), 0, step->name, __FILE__, __LINE__);
    CHECK(is_clean(loop_current()));
}

static int try_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        try_step(&steps[i]);
    return 7;
}

/* For loop_free: tasks, handles, futures, callbacks, names. */
static int leave_things_behind(void *arg)
{
    struct task *future = task_future_create();

    task_set_name(future, "a name");
    task_add_done_callback(future, ignore_end, arg);
    task_add_done_callback(task_create(return_seven, NULL), ignore_end, arg);
    task_create_with(sleep_for_ever, NULL,
                     &(struct task_options){.stack_size = 100 << 10});
    task_detach(task_create(sleep_for_ever, NULL));
    loop_call_soon(add_one, arg);
    loop_call_later(TASK_HOUR, add_one, arg);
    return 7;
}

static int stop_loop(void *arg)
{
    (void)arg;
    loop_stop(loop_current());
    return 0;
}

static struct loop *try_new(enum loop_clock clock)
{
    struct loop_options options = faulty_options(clock);
    struct loop *loop = loop_new(&options);

    if (!loop) {
        assert_int_equal(faults.n_blocks, 0);
        assert_true(faults.n_refused > 0);
        no_faults();
        loop = loop_new(&options);
    }
    assert_non_null(loop);
    return loop;
}

static void try_main(struct loop *loop, task_fn *fn, void *arg, int expected)
{
    size_t n_refused = faults.n_refused;
    int status = loop_run_main(loop, fn, arg);

    if (status != expected) {
        assert_int_equal(status, -ENOMEM);
        assert_true(faults.n_refused > n_refused);
        no_faults();
        assert_int_equal(loop_run_main(loop, fn, arg), expected);
    }
    assert_null(loop_current());
}

static void try_forever(struct loop *loop)
{
    struct task *task = loop_create_task(loop, stop_loop, NULL);

    if (!task) {
        no_faults();
        task = loop_create_task(loop, stop_loop, NULL);
    }
    assert_non_null(task);
    task_detach(task);
    assert_int_equal(loop_run_forever(loop), 0);
}

static void try_deadlock(struct loop *loop)
{
    n_reports = 0;
    try_main(loop, sleep_for_ever, NULL, -EDEADLK);
    assert_int_equal(n_reports, 1);
}

/* Whether anything of it was refused. */
static bool use_a_loop(void)
{
    struct loop *loop = try_new(LOOP_CLOCK_VIRTUAL);
    size_t n_called = 0;
    bool was_refused;

    try_main(loop, try_all, NULL, 7);
    try_forever(loop);
    try_deadlock(loop);
    try_main(loop, leave_things_behind, &n_called, 7);
    assert_int_equal(loop_free(loop), 0);
    was_refused = faults.n_refused > 0;
    no_faults();
    assert_checks();
    return was_refused;
}

static void sleep_on_time(task_time delay)
{
    task_time before = loop_time();

    CHECK_STATUS(task_sleep(delay), 0);
    CHECK(loop_time() - before >= delay);
}

static int sleep_on_a_real_clock(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++)
        sleep_on_time(100 * TASK_MICROSECOND);
    sleep_on_time(5100 * TASK_MICROSECOND);
    sleep_on_time(0);
    return 7;
}

static void try_fd(struct loop *loop)
{
    int fd = loop_fd(loop);

    if (fd < 0 && fd != -ENOTSUP) {
        assert_true(fd == -EMFILE || fd == -ENOSPC);
        assert_true(faults.n_refused > 0);
        no_faults();
        fd = loop_fd(loop);
    }
    assert_true(fd >= 0 || fd == -ENOTSUP);
}

static void try_turns(struct loop *loop)
{
    int status;

    task_detach(loop_create_task(loop, yield_once, NULL));
    for (int i = 0; (status = loop_run_turn(loop, 0)) > 0; i++)
        assert_true(i < PATIENT);
    assert_int_equal(status, 0);
}

static bool use_a_real_loop(void)
{
    struct loop *loop = try_new(LOOP_CLOCK_REAL);
    bool was_refused;

    try_main(loop, sleep_on_a_real_clock, NULL, 7);
    try_fd(loop);
    try_turns(loop);
    try_main(loop, sleep_on_a_real_clock, NULL, 7);
    assert_int_equal(loop_free(loop), 0);
    was_refused = faults.n_refused > 0;
    no_faults();
    assert_checks();
    return was_refused;
}

static int call_and_sleep(void *arg)
{
    ++*(int *)arg;
    CHECK(loop_call_soon(add_one, &(size_t){0}) != 0);
    return sleep_on_a_real_clock(NULL);
}

static bool use_loop_run(void)
{
    int n_calls = 0;
    int status = loop_run(call_and_sleep, &n_calls);
    bool was_refused = faults.n_refused > 0;

    assert_int_equal(n_calls, status == 7);
    if (status != 7) {
        assert_int_equal(status, -ENOMEM);
        assert_true(was_refused);
        no_faults();
        assert_int_equal(loop_run(call_and_sleep, &n_calls), 7);
    }
    no_faults();
    assert_null(loop_current());
    assert_checks();
    return was_refused;
}

/* Refuse n calls from the k-th on, for each k; where that is slow, for some. */
static void sweep(bool (*program)(void), size_t n)
{
    size_t n_descriptors = open_descriptors();
    size_t step = many() < MANY ? 7 : 1;
    bool was_refused = true;

    for (size_t k = 1; was_refused; k += step) {
        faults.stuck = 0;
        refuse(k, n < SIZE_MAX - k ? k + n - 1 : n);
        was_refused = program();
        if (faults.n_blocks || faults.mapped > faults.stuck ||
            open_descriptors() != n_descriptors)
            fail_msg("call %zu: %zu blocks, %zu of %zu bytes left", k,
                     faults.n_blocks, faults.mapped, faults.stuck);
        faults.mapped = 0; /* what is stuck is nobody's */
        assert_true(was_refused || k > 14);
    }
}

static void what_is_refused_is_told_and_can_be_tried_again(void **state)
{
    (void)state;
    sweep(use_a_loop, 1);
    sweep(use_a_loop, 2);
    sweep(use_a_loop, SIZE_MAX);
}

static void a_real_loop_lives_with_each_call_that_is_refused(void **state)
{
    (void)state;
    sweep(use_a_real_loop, 1);
    sweep(use_a_real_loop, SIZE_MAX);
}

static void loop_run_lives_with_each_call_that_is_refused(void **state)
{
    (void)state;
    sweep(use_loop_run, 1);
    sweep(use_loop_run, SIZE_MAX);
}

/* Guards. */

/* A process of its own, so that the kernel may end it. */
static void write_to(void *arg)
{
    *(volatile char *)arg = 1;
}

static bool is_guarded(const struct stack *stack)
{
    int status = child_run(write_to, task__stack_low(stack) - 1);

    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static const struct allocator libc = {.alloc = task__memory_libc};

/* Each looks at a child that dies, which takes long under Valgrind: every so manieth. */
static size_t guards_step(size_t usual)
{
    return test_rounds(50) < 50 ? 4 * usual : usual;
}

static void assert_first_are_guarded(struct stacks *stacks)
{
    assert_int_equal(stacks_reserve(stacks), 0);
    no_faults();
    for (size_t n = stacks->n_all; n-- > 0;) {
        assert_int_equal(n == stacks->n_all - 1 ? 0 : stacks_reserve(stacks),
                         0);
        struct stack *stack = stacks_take(stacks);

        if (n % guards_step(1) == 0)
            assert_true(is_guarded(stack));
    }
    task__stacks_destroy(stacks);
}

static void a_refused_light_guard_is_replaced_by_a_heavy_one(void **state)
{
    struct stacks stacks;

    (void)state;
    assert_int_equal(
        task__stacks_init(&stacks, &libc, TASK_STACK_DEFAULT, 4096), 0);
    refuse_kinds(1 << GUARD | 1 << GUARD_MANY, EINVAL);
    faults.counts[PROTECT] = 0;
    assert_first_are_guarded(&stacks);
    assert_true(faults.counts[PROTECT] > 0);
}

/* A kernel may take none of them by one call, or not all. */
static void guards_that_are_not_taken_at_once_are_there(void **state)
{
    struct stacks stacks;

    (void)state;
    if (test_rounds(50) < 50) /* Valgrind: by one call there is none */
        skip();
    for (size_t most = 0; most < 8; most += 3) {
        assert_int_equal(
            task__stacks_init(&stacks, &libc, TASK_STACK_DEFAULT, 4096), 0);
        refuse_kinds(most ? 0 : 1 << GUARD_MANY, EPERM);
        faults.most = most;
        assert_first_are_guarded(&stacks);
    }
}

static void without_any_guard_there_is_no_stack(void **state)
{
    struct stacks stacks;

    (void)state;
    assert_int_equal(
        task__stacks_init(&stacks, &libc, TASK_STACK_DEFAULT, 4096), 0);
    refuse_kinds(GUARDS, ENOMEM);
    assert_int_equal(stacks_reserve(&stacks), -ENOMEM);
    no_faults();
    assert_int_equal(stacks.n_all, 0);
    assert_int_equal(faults.mapped, 0);
    assert_int_equal(stacks_reserve(&stacks), 0);
    assert_true(is_guarded(stacks_take(&stacks)));
    task__stacks_destroy(&stacks);
}

/* Mappings run out in the midst of a slab, at one guard or another. */
static void what_stacks_there_are_have_a_guard(void **state)
{
    (void)state;
    for (size_t k = 1; k < 40; k += guards_step(4)) {
        struct stacks stacks;

        assert_int_equal(
            task__stacks_init(&stacks, &libc, TASK_STACK_DEFAULT, 4096), 0);
        refuse(k, k);
        faults.kinds = 1 << GUARD_MANY;
        if (stacks_reserve(&stacks))
            assert_int_equal(stacks_reserve(&stacks), 0);
        no_faults();
        assert_true(is_guarded(stacks_take(&stacks)));
        task__stacks_destroy(&stacks);
    }
    faults.mapped = 0;
}

static int create_without_guards(void *arg)
{
    struct task_options options = {.stack_size = 100 << 10};

    (void)arg;
    refuse_kinds(GUARDS, ENOMEM);
    CHECK(!task_create_with(return_seven, NULL, &options));
    no_faults();
    return task_await(task_create_with(return_seven, NULL, &options));
}

static void a_task_is_not_created_without_a_guard(void **state)
{
    struct loop_options options = faulty_options(LOOP_CLOCK_VIRTUAL);
    struct loop *loop = loop_new(&options);

    (void)state;
    assert_non_null(loop);
    refuse_kinds(GUARDS, ENOMEM);
    assert_null(loop_create_task(loop, return_seven, NULL));
    assert_int_equal(loop_run_main(loop, return_seven, NULL), -ENOMEM);
    no_faults();
    assert_int_equal(loop_run_main(loop, create_without_guards, NULL), 7);
    assert_int_equal(loop_free(loop), 0);
    assert_int_equal(faults.mapped, 0);
}

/* More than any machine has, and less than is refused at once. */
static void a_stack_beyond_the_address_space_cannot_be_had(void **state)
{
    struct loop_options options = faulty_options(LOOP_CLOCK_VIRTUAL);
    struct loop *loop;

    (void)state;
    options.stack_size = (size_t)1 << 50;
    loop = loop_new(&options);
    assert_non_null(loop);
    assert_null(loop_create_task(loop, return_seven, NULL));
    assert_int_equal(loop_run_main(loop, return_seven, NULL), -ENOMEM);
    assert_int_equal(loop_free(loop), 0);
    assert_int_equal(faults.n_blocks, 0);
}

static void end_nothing(struct stack *stack)
{
    assert_false(stack_is_cold(stack));
}

/* A slab that cannot be unmapped is kept, and used again. */
static void stacks_that_cannot_be_unmapped_are_used_again(void **state)
{
    enum { N = 3 * STACKS_WARM };
    static struct stack *taken[N];
    struct stacks stacks;
    task_time now = 0;
    size_t n_all;

    (void)state;
    assert_int_equal(task__stacks_init(&stacks, &libc, TASK_STACK_MIN, 4096),
                     0);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(stacks_reserve(&stacks), 0);
            taken[i] = stacks_take(&stacks);
        }
        if (round == 0)
            n_all = stacks.n_all;
        assert_int_equal(stacks.n_all, n_all);
        refuse_kinds(1 << UNMAP, ENOMEM);
        for (size_t i = 0; i < N; i++) {
            context_mark_begun(&taken[i]->context, &taken[i]->context);
            if (stacks_give(&stacks, taken[i], now += STACKS_PERIOD))
                task__stacks_cool(&stacks, end_nothing);
        }
        no_faults();
        assert_true(faults.stuck > 0);
        assert_int_equal(stacks.n_all, n_all);
        assert_int_equal(stacks.n_free, n_all);
    }
    task__stacks_destroy(&stacks);
    assert_int_equal(faults.mapped, 0);
}

/* Address space. */

#define REQUIRE(condition)                                                     \
    ((condition) ? (void)0 : give_up(#condition, __LINE__))

/* In a child, where a failed assertion would tell nobody. */
static void give_up(const char *condition, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, line, condition);
    _exit(1);
}

static void limit_address_space(size_t more)
{
    struct rlimit limit;
    FILE *file = fopen("/proc/self/statm", "r");
    size_t pages = 0;

    REQUIRE(file && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    limit.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + more;
    limit.rlim_max = limit.rlim_cur;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}

enum { LIMIT = 32 << 20, MOST = LIMIT / TASK_STACK_DEFAULT };

static int step_on(void *arg)
{
    size_t *n_steps = arg;

    while (!task_yield())
        ++*n_steps;
    return 7;
}

static size_t create_all(struct task *tasks[], size_t n_steps[])
{
    size_t n = 0;

    while (n < MOST && (tasks[n] = task_create(step_on, &n_steps[n])))
        n++;
    return n;
}

static int use_up_address_space(void *arg)
{
    static struct task *tasks[MOST];
    static size_t n_steps[MOST];
    size_t n = create_all(tasks, n_steps);

    (void)arg;
    REQUIRE(n > MOST / 4 && n < MOST);
    REQUIRE(!task_create(step_on, NULL));
    for (int i = 0; i < 4; i++)
        REQUIRE(task_yield() == 0);
    for (size_t i = 0; i < n; i++)
        REQUIRE(n_steps[i] == 3);
    for (size_t i = 0; i < n; i += 2)
        REQUIRE(task_cancel_await(tasks[i]) == 7);
    for (size_t i = 0; i < n; i += 2)
        REQUIRE((tasks[i] = task_create(step_on, &n_steps[i])) != NULL);
    REQUIRE(task_yield() == 0);
    for (size_t i = 0; i < n; i++)
        REQUIRE(task_cancel_await(tasks[i]) == 7);
    return 5;
}

static void run_without_address_space(void *arg)
{
    struct loop *loop = loop_new(NULL);

    (void)arg;
    limit_address_space(LIMIT);
    REQUIRE(loop_run_main(loop, use_up_address_space, NULL) == 5);
    REQUIRE(loop_run_main(loop, return_seven, NULL) == 7);
    REQUIRE(loop_free(loop) == 0);
    REQUIRE(loop_run(return_seven, NULL) == 7);
}

static void when_address_space_runs_out_the_living_go_on(void **state)
{
    (void)state;
    if (HAVE_ASAN || HAVE_TSAN || getenv("TASK_TEST_VALGRIND"))
        skip(); /* they need address space themselves */
    assert_int_equal(child_run(run_without_address_space, NULL), 0);
}

/* Descriptors. */

static rlim_t limit_descriptors(rlim_t most)
{
    struct rlimit limit;
    rlim_t before;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    before = limit.rlim_cur;
    limit.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

static struct loop *real_loop(void)
{
    struct loop_options options = faulty_options(LOOP_CLOCK_REAL);
    struct loop *loop = loop_new(&options);

    assert_non_null(loop);
    return loop;
}

static void end_real_loop(struct loop *loop)
{
    assert_int_equal(loop_free(loop), 0);
    assert_int_equal(faults.n_blocks, 0);
    assert_int_equal(faults.mapped, 0);
    assert_checks();
}

/* How many looks a few sleeps take. */
static int sleep_in_few_looks(void *arg)
{
    uint64_t polls = figures().polls;

    (void)arg;
    sleep_on_time(30 * TASK_MICROSECOND);
    sleep_on_time(300 * TASK_MICROSECOND);
    sleep_on_time(3 * TASK_MILLISECOND);
    sleep_on_time(7 * TASK_MILLISECOND);
    CHECK(figures().polls - polls <= 3 * PATIENT);
    return 7;
}

static void without_descriptors_a_loop_still_sleeps(void **state)
{
    struct loop *loop = real_loop();
    rlim_t most = limit_descriptors(0);
    int status = loop_run_main(loop, sleep_in_few_looks, NULL);
    int fd = loop_fd(loop);

    (void)state;
    limit_descriptors(most);
    assert_int_equal(status, 7);
    assert_true(fd == -EMFILE || fd == -ENOTSUP);
    fd = loop_fd(loop);
    assert_true(fd >= 0 || fd == -ENOTSUP);
    assert_int_equal(loop_run_main(loop, sleep_in_few_looks, NULL), 7);
    end_real_loop(loop);
}

static int fds[2];

static int write_later(void *arg)
{
    (void)arg;
    CHECK(task_sleep(2 * TASK_MILLISECOND) == 0);
    CHECK(write(fds[1], "x", 1) == 1);
    return 0;
}

/* With fewer descriptors allowed than are watched, poll refuses all of them. */
static int wait_for_a_pipe(void *arg)
{
    uint64_t polls = figures().polls;
    rlim_t most = limit_descriptors(0);
    char byte = 0;

    (void)arg;
    task_detach(task_create(write_later, NULL));
    CHECK(task_read(fds[0], &byte, 1) == 1 && byte == 'x');
    CHECK(figures().polls - polls <= 3 * PATIENT);
    limit_descriptors(most);
    return 7;
}

static void where_poll_is_refused_all_look_for_themselves(void **state)
{
    struct loop_options options = faulty_options(LOOP_CLOCK_REAL);
    struct loop *loop;

    (void)state;
    options.backend = LOOP_BACKEND_POLL;
    loop = loop_new(&options);
    assert_non_null(loop);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(loop_run_main(loop, wait_for_a_pipe, NULL), 7);
    close(fds[0]);
    close(fds[1]);
    end_real_loop(loop);
}

/* Waits. */

/* Of an old kernel, or where a filter knows no new calls. */
static void without_epoll_pwait2_a_loop_does_not_spin(void **state)
{
    static const int errors[] = {ENOSYS, EPERM};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct loop *loop = real_loop();

        refuse_kinds(1 << EPOLL_PWAIT2, errors[i]);
        assert_int_equal(loop_run_main(loop, sleep_in_few_looks, NULL), 7);
        no_faults();
        end_real_loop(loop);
    }
}

static void a_timer_that_cannot_be_set_is_not_waited_for(void **state)
{
    struct loop *loop = real_loop();

    (void)state;
    refuse_kinds(1 << TIMER_SET, EINVAL);
    assert_int_equal(loop_run_main(loop, sleep_in_few_looks, NULL), 7);
    no_faults();
    assert_int_equal(loop_run_main(loop, sleep_in_few_looks, NULL), 7);
    end_real_loop(loop);
}

static void note_order(void *arg)
{
    record("%s", (const char *)arg);
}

static int sleep_in_order(void *arg)
{
    task_time now = loop_time();

    (void)arg;
    CHECK(loop_call_at(now + 2 * TASK_MILLISECOND, note_order, text("b")) > 0);
    CHECK(loop_call_at(now + TASK_MILLISECOND, note_order, text("a")) > 0);
    CHECK(loop_call_at(now + 8 * TASK_MILLISECOND, note_order, text("c")) > 0);
    sleep_on_time(300 * TASK_MICROSECOND);
    sleep_on_time(10 * TASK_MILLISECOND);
    return 7;
}

static void waits_that_end_early_end_no_sleep(void **state)
{
    struct loop *loop = real_loop();

    (void)state;
    refuse_kinds(WAITS, EINTR);
    assert_int_equal(loop_run_main(loop, sleep_in_order, NULL), 7);
    no_faults();
    assert_record("a, b, c");
    end_real_loop(loop);
}

static int sleep_through_interruptions(void *arg)
{
    uint64_t polls = figures().polls;

    (void)arg;
    refuse(1, 5);
    sleep_on_time(20 * TASK_MILLISECOND);
    CHECK_STATUS((int)faults.n_refused, 5);
    CHECK(figures().polls - polls <= 5 + PATIENT);
    no_faults();
    return 7;
}

static void each_interruption_costs_one_look(void **state)
{
    struct loop *loop = real_loop();

    (void)state;
    assert_int_equal(loop_run_main(loop, sleep_on_a_real_clock, NULL), 7);
    assert_int_equal(loop_run_main(loop, sleep_through_interruptions, NULL), 7);
    end_real_loop(loop);
}

static volatile sig_atomic_t n_signals;

static void count_signal(int signo)
{
    (void)signo;
    n_signals++;
}

static void set_alarms(long microseconds)
{
    struct itimerval interval = {{0, microseconds}, {0, microseconds}};

    assert_int_equal(setitimer(ITIMER_REAL, &interval, NULL), 0);
}

static void signals_end_no_sleep(void **state)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct loop *loop = real_loop();

    (void)state;
    n_signals = 0;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    set_alarms(500);
    assert_int_equal(loop_run_main(loop, sleep_in_order, NULL), 7);
    set_alarms(0);
    assert_record("a, b, c");
    assert_true(n_signals > 0);
    end_real_loop(loop);
}

/* The descriptors of a poller are opened when they are needed. */
static size_t n_opening(void)
{
    return faults.counts[TIMER_CREATE] + faults.counts[EPOLL_CREATE] +
           faults.counts[EPOLL_CTL];
}

/* A sleep is one call. One that an interrupt ended too early takes two more: the
 * timer is set, and waited for. (Without epoll_pwait2 it is always these.) */
static void sleep_by_one_call_each(size_t n, task_time time, bool is_by_timer)
{
    const size_t *counts = faults.counts;
    size_t n_set = counts[TIMER_SET];
    size_t n_rests = counts[EPOLL_WAIT];
    size_t n_opened = n_opening();

    faults.n = 0;
    for (size_t i = 0; i < n; i++)
        sleep_on_time(time);
    n_set = counts[TIMER_SET] - n_set;
    n_rests = counts[EPOLL_WAIT] - n_rests;
    CHECK(n_set <= n_rests && n_rests <= n);
    if (!is_by_timer)
        CHECK(faults.n - n_set - n_rests - (n_opening() - n_opened) == n);
}

/* No matter how long it is: most, as some may be over before they are waited for. */
static void sleep_shortly_without_a_timer(void)
{
    size_t n = faults.counts[NANOSLEEP];

    for (size_t i = 0; i < 20; i++)
        sleep_on_time(40 * TASK_MICROSECOND);
    CHECK(faults.counts[NANOSLEEP] - n >= 10);
}

static int count_calls(void *arg)
{
    bool is_by_timer;

    (void)arg;
    sleep_on_time(7 * TASK_MILLISECOND); /* it may find out what there is not */
    memset(faults.counts, 0, sizeof faults.counts);
    sleep_on_time(7 * TASK_MILLISECOND);
    is_by_timer = !faults.counts[EPOLL_PWAIT2] && !faults.counts[PPOLL] &&
                  !faults.counts[NANOSLEEP];
    sleep_by_one_call_each(3, 20 * TASK_MILLISECOND, is_by_timer);
    sleep_by_one_call_each(20, TASK_MILLISECOND, is_by_timer);
    if (faults.counts[NANOSLEEP] && test_rounds(50) == 50)
        sleep_shortly_without_a_timer();
    return 7;
}

static void an_idle_loop_makes_one_call_a_wait(void **state)
{
    struct loop *loop = real_loop();

    (void)state;
    assert_int_equal(loop_run_main(loop, count_calls, NULL), 7);
    end_real_loop(loop);
}

static int yield_often(void *arg)
{
    for (int i = 0; i < 100000; i++)
        CHECK_STATUS(task_yield(), 0);
    (void)arg;
    return 7;
}

static int switch_often(void *arg)
{
    struct task *a = task_create(yield_often, NULL);
    struct task *b = task_create(yield_often, NULL);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    faults.n = 0;
    CHECK_STATUS(task_await(a), 7);
    CHECK_STATUS(task_await(b), 7);
    CHECK(faults.n == 0);
    return 7;
}

static void tasks_are_switched_without_any_call(void **state)
{
    struct loop *loop = real_loop();

    (void)state;
    assert_int_equal(loop_run_main(loop, switch_often, NULL), 7);
    end_real_loop(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(what_is_refused_is_told_and_can_be_tried_again),
        behaviour(a_real_loop_lives_with_each_call_that_is_refused),
        without_nanosleep(a_real_loop_lives_with_each_call_that_is_refused),
        behaviour(loop_run_lives_with_each_call_that_is_refused),
        without_nanosleep(loop_run_lives_with_each_call_that_is_refused),
        behaviour(a_refused_light_guard_is_replaced_by_a_heavy_one),
        behaviour(guards_that_are_not_taken_at_once_are_there),
        behaviour(without_any_guard_there_is_no_stack),
        behaviour(what_stacks_there_are_have_a_guard),
        behaviour(a_task_is_not_created_without_a_guard),
        behaviour(a_stack_beyond_the_address_space_cannot_be_had),
        behaviour(stacks_that_cannot_be_unmapped_are_used_again),
        behaviour(when_address_space_runs_out_the_living_go_on),
        behaviour(without_descriptors_a_loop_still_sleeps),
        without_nanosleep(without_descriptors_a_loop_still_sleeps),
        behaviour(where_poll_is_refused_all_look_for_themselves),
        behaviour(without_epoll_pwait2_a_loop_does_not_spin),
        without_nanosleep(without_epoll_pwait2_a_loop_does_not_spin),
        behaviour(a_timer_that_cannot_be_set_is_not_waited_for),
        without_nanosleep(a_timer_that_cannot_be_set_is_not_waited_for),
        behaviour(waits_that_end_early_end_no_sleep),
        without_nanosleep(waits_that_end_early_end_no_sleep),
        behaviour(each_interruption_costs_one_look),
        without_nanosleep(each_interruption_costs_one_look),
        behaviour(signals_end_no_sleep),
        without_nanosleep(signals_end_no_sleep),
        behaviour(an_idle_loop_makes_one_call_a_wait),
        without_nanosleep(an_idle_loop_makes_one_call_a_wait),
        behaviour(tasks_are_switched_without_any_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
