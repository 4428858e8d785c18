/* Both kinds of wake-up, by themselves. */

/* The linker wraps: eventfd pipe2 fcntl read */

#include "record.h"

#include "wakeup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What fails. */
static struct {
    int eventfd_error; /* 0: it does not fail */
    int pipe_error;
    unsigned fcntls;      /* until one fails; 0: none does */
    unsigned interrupted; /* so many reads are */
} faults;

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __real_pipe2(int fds[2], int flags);
int __wrap_pipe2(int fds[2], int flags);
int __real_fcntl(int fd, int command, int arg);
int __wrap_fcntl(int fd, int command, int arg);
ssize_t __real_read(int fd, void *buf, size_t n);
ssize_t __wrap_read(int fd, void *buf, size_t n);

int __wrap_eventfd(unsigned value, int flags)
{
    errno = faults.eventfd_error;
    return faults.eventfd_error ? -1 : __real_eventfd(value, flags);
}

int __wrap_pipe2(int fds[2], int flags)
{
    errno = faults.pipe_error;
    return faults.pipe_error ? -1 : __real_pipe2(fds, flags);
}

int __wrap_fcntl(int fd, int command, int arg)
{
    errno = EMFILE;
    return faults.fcntls && !--faults.fcntls ? -1
                                             : __real_fcntl(fd, command, arg);
}

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
    errno = EINTR;
    return faults.interrupted && faults.interrupted-- ? -1
                                                      : __real_read(fd, buf, n);
}

static const struct wakeup_kind *const kinds[] = {WAKEUP_BEST,
                                                  &task__wakeup_pipe};

enum { KINDS = sizeof kinds / sizeof *kinds };

static struct wakeup open_kind(const struct wakeup_kind *kind)
{
    struct wakeup wakeup = {.kind = kind};

    assert_int_equal(kind->open(&wakeup.reader, &wakeup.writer), 0);
    return wakeup;
}

static bool is_readable(const struct wakeup *wakeup)
{
    struct pollfd polled = {.fd = wakeup->reader, .events = POLLIN};

    return poll(&polled, 1, 0) == 1;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD, 0) >= 0;
}

static void waking_makes_it_readable_until_it_is_drained(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct wakeup wakeup = open_kind(kinds[i]);

        assert_false(is_readable(&wakeup));
        wakeup.kind->wake(wakeup.writer);
        assert_true(is_readable(&wakeup));
        assert_int_equal(wakeup.kind->drain(wakeup.reader, 1), 1);
        assert_false(is_readable(&wakeup));
        task__wakeup_close(&wakeup);
    }
}

static void draining_tells_how_often_it_was_woken(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct wakeup wakeup = open_kind(kinds[i]);

        assert_int_equal(wakeup.kind->drain(wakeup.reader, 3), 0);
        for (int n = 0; n < 200; n++)
            wakeup.kind->wake(wakeup.writer);
        assert_int_equal(wakeup.kind->drain(wakeup.reader, 300), 200);
        assert_int_equal(wakeup.kind->drain(wakeup.reader, 300), 0);
        task__wakeup_close(&wakeup);
    }
}

static void a_descriptor_is_not_inherited_and_never_blocks(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct wakeup wakeup = open_kind(kinds[i]);
        int fds[] = {wakeup.reader, wakeup.writer};

        for (int j = 0; j < 2; j++) {
            assert_true(fcntl(fds[j], F_GETFD, 0) & FD_CLOEXEC);
            assert_true(fcntl(fds[j], F_GETFL, 0) & O_NONBLOCK);
        }
        task__wakeup_close(&wakeup);
    }
}

/* Another thread may fork and exec at any time. */
static void nor_is_it_for_a_moment(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct wakeup wakeup;

        faults.fcntls = 1; /* were a flag set later */
        wakeup = open_kind(kinds[i]);
        faults.fcntls = 0;
        task__wakeup_close(&wakeup);
    }
}

static void errno_is_left_alone(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct wakeup wakeup = open_kind(kinds[i]);

        errno = ENOTTY;
        wakeup.kind->drain(wakeup.reader, 1);
        assert_int_equal(errno, ENOTTY);
        wakeup.kind->wake(wakeup.writer);
        assert_int_equal(errno, ENOTTY);
        task__wakeup_close(&wakeup);
        wakeup.kind->wake(-1);
        assert_int_equal(errno, ENOTTY);
        errno = 0;
    }
}

static void draining_goes_on_when_it_is_interrupted(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct wakeup wakeup = open_kind(kinds[i]);

        wakeup.kind->wake(wakeup.writer);
        wakeup.kind->wake(wakeup.writer);
        faults.interrupted = 3;
        errno = ENOTTY;
        assert_int_equal(wakeup.kind->drain(wakeup.reader, 10), 2);
        assert_int_equal(errno, ENOTTY);
        assert_int_equal(faults.interrupted, 0);
        assert_false(is_readable(&wakeup));
        task__wakeup_close(&wakeup);
        errno = 0;
    }
}

static void a_full_pipe_loses_no_wakeup_and_does_not_block(void **state)
{
    struct wakeup wakeup = open_kind(&task__wakeup_pipe);
    size_t n = 0;

    (void)state;
    while (write(wakeup.writer, "", 1) == 1)
        n++;
    assert_int_equal(errno, EAGAIN);
    wakeup.kind->wake(wakeup.writer);
    assert_true(is_readable(&wakeup));
    assert_int_equal(wakeup.kind->drain(wakeup.reader, n + 10), n);
    assert_false(is_readable(&wakeup));
    task__wakeup_close(&wakeup);
}

static void closing_closes_all_and_may_come_again(void **state)
{
    (void)state;
    for (int i = 0; i < KINDS; i++) {
        struct wakeup wakeup = open_kind(kinds[i]);
        int reader = wakeup.reader;
        int writer = wakeup.writer;

        task__wakeup_close(&wakeup);
        assert_false(is_open(reader));
        assert_false(is_open(writer));
        task__wakeup_close(&wakeup);
        assert_int_equal(wakeup.reader, -1);
    }
}

static void the_best_kind_is_opened(void **state)
{
    struct wakeup wakeup;

    (void)state;
    assert_int_equal(task__wakeup_open(&wakeup), 0);
    assert_ptr_equal(wakeup.kind, WAKEUP_BEST);
    task__wakeup_close(&wakeup);
}

static void without_eventfd_there_is_a_pipe(void **state)
{
    static const int errors[] = {ENOSYS, EPERM, EINVAL};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct wakeup wakeup;

        faults.eventfd_error = errors[i];
        assert_int_equal(task__wakeup_open(&wakeup), 0);
        assert_ptr_equal(wakeup.kind, &task__wakeup_pipe);
        wakeup.kind->wake(wakeup.writer);
        assert_true(is_readable(&wakeup));
        task__wakeup_close(&wakeup);
    }
    faults.eventfd_error = 0;
}

static void a_failure_is_passed_on_and_leaves_nothing_open(void **state)
{
    struct wakeup wakeup;
    int next = dup(0);

    (void)state;
    close(next);
    faults.eventfd_error = EMFILE;
    assert_int_equal(task__wakeup_open(&wakeup),
                     WAKEUP_BEST == &task__wakeup_pipe ? 0 : -EMFILE);
    task__wakeup_close(&wakeup);
    assert_int_equal(wakeup.reader, -1);
    faults.eventfd_error = ENOSYS;
    faults.pipe_error = ENFILE;
    assert_int_equal(task__wakeup_open(&wakeup), -ENFILE);
    assert_int_equal(wakeup.writer, -1);
    faults.pipe_error = 0;
    faults.eventfd_error = 0;
    assert_int_equal(dup(0), next);
    close(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(waking_makes_it_readable_until_it_is_drained),
        behaviour(draining_tells_how_often_it_was_woken),
        behaviour(a_descriptor_is_not_inherited_and_never_blocks),
        behaviour(nor_is_it_for_a_moment),
        behaviour(errno_is_left_alone),
        behaviour(draining_goes_on_when_it_is_interrupted),
        behaviour(a_full_pipe_loses_no_wakeup_and_does_not_block),
        behaviour(closing_closes_all_and_may_come_again),
        behaviour(the_best_kind_is_opened),
        behaviour(without_eventfd_there_is_a_pipe),
        behaviour(a_failure_is_passed_on_and_leaves_nothing_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
