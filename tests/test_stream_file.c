/*
 * Streams of files, whose reading and writing is left to worker threads: here to
 * calls that take a millisecond, and do little, or fail, when they are told to.
 */

/* The linker wraps: task__file_readv task__file_writev */

#include "streams.h"

#include "bodies.h"
#include "cancel_points.h"
#include "file.h"
#include "stream.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A worker: it begins after half a millisecond, and until then its job may be
 * cancelled; then the request comes next. */
static struct {
    size_t most; /* bytes that are moved at once; 0: all */
    int fail_at; /* the job that fails, the first being 1; 0: none */
    int error;   /* with that, negative */
    int n_at_work;
    int n_jobs;
} worker;

ssize_t __wrap_task__file_readv(struct task *self, int fd,
                                const struct iovec parts[], int n,
                                off_t offset);
ssize_t __wrap_task__file_writev(struct task *self, int fd,
                                 const struct iovec parts[], int n,
                                 off_t offset);

/* 0: now the job is to be done; or what it gives. */
static int begin_job(void)
{
    int result = task_sleep(TASK_MILLISECOND / 2);
    bool was_cancelled;

    if (result)
        return result;
    worker.n_at_work++;
    was_cancelled = task_sleep(TASK_MILLISECOND / 2) == -ECANCELED;
    worker.n_at_work--;
    if (was_cancelled)
        task_keep_request(task_current());
    return ++worker.n_jobs == worker.fail_at ? worker.error : 0;
}

static size_t size_of(const struct iovec *part)
{
    return worker.most && part->iov_len > worker.most ? worker.most
                                                      : part->iov_len;
}

ssize_t __wrap_task__file_readv(struct task *self, int fd,
                                const struct iovec parts[], int n, off_t offset)
{
    int result = begin_job();

    CHECK(self == task_current() && n == 1 && offset < 0);
    return result ? result : read(fd, parts->iov_base, size_of(parts));
}

ssize_t __wrap_task__file_writev(struct task *self, int fd,
                                 const struct iovec parts[], int n,
                                 off_t offset)
{
    int result = begin_job();

    CHECK(self == task_current() && n == 1 && offset < 0);
    return result ? result : write(fd, parts->iov_base, size_of(parts));
}

/* A file of no name, as a stream and once more. */
struct file {
    struct task_stream *s;
    int fd;
};

static struct file open_file(void)
{
    char name[] = "/tmp/task-test-XXXXXX";
    struct file file = {.fd = mkstemp(name)};

    memset(&worker, 0, sizeof worker);
    CHECK(file.fd >= 0);
    file.s = task_stream_open(open(name, O_RDWR));
    CHECK(file.s);
    unlink(name);
    return file;
}

/* How many bytes of the row are in it: all have to be of the row. */
static size_t look(const struct file *file)
{
    static char buf[300000];
    ssize_t n = pread(file->fd, buf, sizeof buf, 0);

    CHECK(n >= 0 && are_bytes(buf, (size_t)n, 0));
    return n > 0 ? (size_t)n : 0;
}

static void close_file(const struct file *file)
{
    CHECK_STATUS(task_stream_close(file->s), 0);
    CHECK_STATUS(close(file->fd), 0);
}

/* Bodies. */

struct writing {
    struct task_stream *s;
    size_t first;
    size_t n;
};

static int writes(void *arg)
{
    const struct writing *writing = arg;

    return write_row(writing->s, writing->first, writing->n);
}

static int writes_and_hears(void *arg)
{
    record("wrote %d", writes(arg));
    record("then %d", task_yield());
    return 0;
}

static int reads(void *arg)
{
    char buf[100];
    ssize_t n = task_stream_read(arg, buf, sizeof buf);

    if (n > 0)
        CHECK(are_bytes(buf, (size_t)n, 0));
    return (int)n;
}

static int closes(void *arg)
{
    return task_stream_close(arg);
}

/* Let a job begin: it is at work then. */
static void begin_work(void)
{
    CHECK_STATUS(task_sleep(TASK_MILLISECOND * 3 / 4), 0);
    CHECK_STATUS(worker.n_at_work, 1);
}

/* Order. */

static int writers_wait_for_each_other(void *arg)
{
    enum { N = 5 };
    struct file file = open_file();
    struct writing writings[N];
    struct task *tasks[N];

    (void)arg;
    worker.most = 1000;
    for (size_t i = 0; i < N; i++) {
        writings[i] = (struct writing){file.s, i * 3000, 3000};
        tasks[i] = task_create(writes, &writings[i]);
    }
    CHECK_STATUS(task_gather(tasks, N, NULL), 0);
    CHECK_STATUS(look(&file), N * 3000);
    CHECK_STATUS(worker.n_jobs, N * 3);
    close_file(&file);
    return 0;
}

static int a_writer_that_waits_for_its_turn_may_be_cancelled(void *arg)
{
    struct file file = open_file();
    struct writing first = {file.s, 0, 100};
    struct writing second = {file.s, 555, 100};
    struct writing third = {file.s, 100, 100};
    struct task *tasks[] = {start(writes, &first), start(writes, &second),
                            start(writes, &third)};

    (void)arg;
    CHECK_STATUS(task_cancel_await(tasks[1]), -ECANCELED);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[2]), 0);
    CHECK_STATUS(look(&file), 200);
    close_file(&file);
    return 0;
}

static struct task *next_writer;

static int writes_and_cancels_the_next(void *arg)
{
    int result = writes(arg);

    CHECK(!next_writer->waiter);
    task_cancel(next_writer);
    return result;
}

/* It has been given its turn, and has not run: nothing of it is written, and the
 * turn goes on. */
static int one_that_is_cancelled_passes_its_turn_on(void *arg)
{
    struct file file = open_file();
    struct writing first = {file.s, 0, 100};
    struct writing second = {file.s, 555, 100};
    struct writing third = {file.s, 100, 100};
    struct task *tasks[3];

    (void)arg;
    tasks[0] = start(writes_and_cancels_the_next, &first);
    tasks[1] = start(writes_and_hears, &second);
    tasks[2] = start(writes, &third);
    next_writer = tasks[1];
    CHECK_STATUS(task_gather(tasks, 3, NULL), 0);
    CHECK_RECORD("wrote -125, then 0");
    CHECK_STATUS(look(&file), 200);
    close_file(&file);
    return 0;
}

/* Cancel. */

static int a_job_that_has_not_begun_is_taken_back(void *arg)
{
    struct file file = open_file();
    struct writing writing = {file.s, 0, 100};

    (void)arg;
    CHECK_STATUS(task_cancel_await(start(writes, &writing)), -ECANCELED);
    CHECK_STATUS(look(&file), 0);
    CHECK_STATUS(task_cancel_await(start(reads, file.s)), -ECANCELED);
    CHECK_STATUS(write_row(file.s, 0, 100), 0);
    CHECK_STATUS(lseek(task_stream_fd(file.s), 0, SEEK_SET), 0);
    CHECK_STATUS(reads(file.s), 100);
    close_file(&file);
    return 0;
}

static int a_job_at_work_is_done_and_the_request_comes_next(void *arg)
{
    struct file file = open_file();
    struct writing writing = {file.s, 0, 100};
    struct task *task = start(writes_and_hears, &writing);

    (void)arg;
    begin_work();
    CHECK_STATUS(task_cancel_await(task), 0);
    CHECK_RECORD("wrote 0, then -125");
    CHECK_STATUS(look(&file), 100);
    close_file(&file);
    return 0;
}

/* Of many jobs the first is done already: the others are done too. */
static int a_write_that_has_begun_is_complete(void *arg)
{
    (void)arg;
    for (int late = 0; late < 2; late++) {
        struct file file = open_file();
        struct writing writing = {file.s, 0, 5000};
        struct task *task = start(writes_and_hears, &writing);

        worker.most = 1000;
        CHECK_STATUS(task_sleep(TASK_MILLISECOND * 9 / 4), 0);
        if (late)
            CHECK_STATUS(task_sleep(TASK_MILLISECOND / 2), 0);
        CHECK_STATUS(worker.n_jobs, 2);
        CHECK_STATUS(worker.n_at_work, late);
        task_cancel(task);
        task_cancel(task);
        CHECK_STATUS(task_await(task), 0);
        CHECK_RECORD("wrote 0, then -125");
        CHECK_STATUS(look(&file), 5000);
        close_file(&file);
    }
    return 0;
}

static int a_request_put_aside_may_be_taken_back(void *arg)
{
    struct file file = open_file();
    struct writing writing = {file.s, 0, 5000};
    struct task *task = start(writes_and_hears, &writing);

    (void)arg;
    worker.most = 1000;
    CHECK_STATUS(task_sleep(TASK_MILLISECOND * 11 / 4), 0);
    task_cancel(task);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND), 0);
    CHECK_STATUS(task_uncancel(task), 0);
    CHECK_STATUS(task_await(task), 0);
    CHECK_RECORD("wrote 0, then 0");
    CHECK_STATUS(look(&file), 5000);
    close_file(&file);
    return 0;
}

/* The first ends a job that has not begun, and is taken back at once. */
static int a_request_after_one_taken_back_is_not_lost(void *arg)
{
    struct file file = open_file();
    struct writing writing = {file.s, 0, 5000};
    struct task *task = start(writes_and_hears, &writing);

    (void)arg;
    worker.most = 1000;
    CHECK_STATUS(task_sleep(TASK_MILLISECOND * 9 / 4), 0);
    task_cancel(task);
    CHECK_STATUS(task_uncancel(task), 0);
    CHECK_STATUS(task_sleep(TASK_MILLISECOND * 3 / 4), 0);
    CHECK_STATUS(worker.n_at_work, 1);
    task_cancel(task);
    CHECK_STATUS(task_await(task), 0);
    CHECK_RECORD("wrote 0, then -125");
    CHECK_STATUS(look(&file), 5000);
    close_file(&file);
    return 0;
}

/* Reads a line that is too long, whenever it is cancelled, and the next one. */
static int reads_lines(void *arg)
{
    const char *line;
    ssize_t n;

    while ((n = task_stream_read_line(arg, &line)) == -ECANCELED)
        record("cancelled");
    record("read %d", (int)n);
    n = task_stream_read_line(arg, &line);
    record("then %d", (int)n);
    if (n == -ECANCELED)
        n = task_stream_read_line(arg, &line);
    record("%.4s", n == 5 ? line : "");
    return 0;
}

/* Either nothing of it is taken, or all is dropped. */
static int a_line_too_long_is_dropped_whole(void *arg)
{
    static char line[90000];

    (void)arg;
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 20; i++) {
        struct file file = open_file();
        struct task *task;
        bool is_early;

        CHECK_STATUS(write(file.fd, line, sizeof line), sizeof line);
        CHECK_STATUS(write(file.fd, "\nnext\n", 6), 6);
        worker.most = 10000;
        task = start(reads_lines, file.s);
        CHECK_STATUS(task_sleep((2 * i + 1) * TASK_MILLISECOND / 4), 0);
        is_early = worker.n_jobs + worker.n_at_work < 7;
        task_cancel(task);
        task_cancel(task);
        CHECK_STATUS(task_await(task), 0);
        CHECK_RECORD(is_early ? "cancelled, read -90, then 5, next"
                              : "read -90, then -125, next");
        close_file(&file);
    }
    return 0;
}

/* Errors. */

static int a_write_that_fails_breaks_the_writing(void *arg)
{
    struct file file = open_file();
    struct writing first = {file.s, 0, 3000};
    struct writing second = {file.s, 3000, 100};
    struct task *tasks[] = {start(writes, &first), start(writes, &second)};

    (void)arg;
    worker.most = 1000;
    worker.fail_at = 2;
    worker.error = -ENOSPC;
    CHECK_STATUS(task_await(tasks[0]), -ENOSPC);
    CHECK_STATUS(task_await(tasks[1]), -ENOSPC);
    CHECK_STATUS(write_row(file.s, 1000, 1), -ENOSPC);
    CHECK_STATUS(worker.n_jobs, 2);
    CHECK_STATUS(look(&file), 1000);
    CHECK_STATUS(lseek(task_stream_fd(file.s), 0, SEEK_SET), 0);
    CHECK_STATUS(reads(file.s), 100);
    CHECK_STATUS(task_stream_close(file.s), -ENOSPC);
    close(file.fd);
    return 0;
}

static int a_read_that_fails_breaks_the_reading(void *arg)
{
    struct file file = open_file();

    (void)arg;
    worker.fail_at = 1;
    worker.error = -EIO;
    CHECK_STATUS(reads(file.s), -EIO);
    CHECK_STATUS(reads(file.s), -EIO);
    CHECK_STATUS(worker.n_jobs, 1);
    CHECK_STATUS(write_row(file.s, 0, 10), 0);
    CHECK_STATUS(look(&file), 10);
    close_file(&file);
    return 0;
}

/* No thread can be had for a moment. */
static int what_was_not_begun_can_be_tried_again(void *arg)
{
    struct file file = open_file();

    (void)arg;
    worker.fail_at = 1;
    worker.error = -EAGAIN;
    CHECK_STATUS(write_row(file.s, 0, 10), -EAGAIN);
    CHECK_STATUS(write_row(file.s, 0, 10), 0);
    CHECK_STATUS(look(&file), 10);
    CHECK_STATUS(lseek(task_stream_fd(file.s), 0, SEEK_SET), 0);
    worker.fail_at = worker.n_jobs + 1;
    CHECK_STATUS(reads(file.s), -EAGAIN);
    CHECK_STATUS(reads(file.s), 10);
    close_file(&file);
    return 0;
}

/* The end while a job is at work, but a write that is closed: the descriptor stays
 * open as long, and nobody else gets its number. */
static int the_end_waits_for_no_job_and_takes_nothing_from_it(void *arg)
{
    (void)arg;
    for (int way = 0; way < 3; way++) {
        struct file file = open_file();
        int fd = task_stream_fd(file.s);
        struct writing writing = {file.s, 0, 100};
        struct task *task =
            way ? start(reads, file.s) : start(writes, &writing);
        struct task *closer = NULL;
        int other;

        begin_work();
        if (way < 2)
            task_stream_abort(file.s);
        else
            closer = start(closes, file.s);
        CHECK(!closer || task_done(closer));
        other = dup(file.fd);
        CHECK(other != fd);
        CHECK_STATUS(task_await(task), -EBADF);
        CHECK(fcntl(fd, F_GETFD) < 0);
        CHECK_STATUS(look(&file), way ? 0 : 100);
        if (closer)
            CHECK_STATUS(task_await(closer), 0);
        close(other);
        close(file.fd);
    }
    return 0;
}

/* Three writers of 300 bytes, 100 by each job, in the midst of their first one. */
struct writers {
    struct file file;
    struct writing writings[3];
    struct task *tasks[3];
};

static void start_writers(struct writers *writers)
{
    writers->file = open_file();
    worker.most = 100;
    for (size_t i = 0; i < 3; i++) {
        writers->writings[i] = (struct writing){writers->file.s, i * 300, 300};
        writers->tasks[i] = start(writes, &writers->writings[i]);
    }
    begin_work();
}

/* What they return; and how many bytes are in the file then. */
static void end_writers(const struct writers *writers, int status, size_t size)
{
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(writers->tasks[i]), status);
    CHECK_STATUS(look(&writers->file), size);
    CHECK_STATUS(close(writers->file.fd), 0);
}

static int closing_waits_for_the_writes_of_others(void *arg)
{
    struct writers writers;

    (void)arg;
    start_writers(&writers);
    CHECK_STATUS(task_stream_close(writers.file.s), 0);
    CHECK_STATUS(worker.n_jobs, 9);
    end_writers(&writers, -EBADF, 900);
    return 0;
}

static int closing_tells_that_a_write_of_others_has_failed(void *arg)
{
    struct writers writers;

    (void)arg;
    start_writers(&writers);
    worker.fail_at = 5;
    worker.error = -ENOSPC;
    CHECK_STATUS(task_stream_close(writers.file.s), -ENOSPC);
    CHECK_STATUS(task_await(writers.tasks[0]), -EBADF);
    CHECK_STATUS(task_await(writers.tasks[1]), -ENOSPC);
    CHECK_STATUS(task_await(writers.tasks[2]), -ENOSPC);
    CHECK_STATUS(look(&writers.file), 400);
    CHECK_STATUS(close(writers.file.fd), 0);
    return 0;
}

static int a_closing_that_is_cancelled_drops_the_writes_of_others(void *arg)
{
    struct writers writers;
    struct task *closer;

    (void)arg;
    start_writers(&writers);
    closer = start(closes, writers.file.s);
    CHECK_STATUS(task_sleep(2 * TASK_MILLISECOND), 0);
    CHECK_STATUS(task_cancel_await(closer), -ECANCELED);
    end_writers(&writers, -EBADF, 300);
    return 0;
}

static int a_request_before_closing_drops_the_writes_of_others(void *arg)
{
    struct writers writers;

    (void)arg;
    start_writers(&writers);
    task_cancel(task_current());
    CHECK_STATUS(task_stream_close(writers.file.s), -ECANCELED);
    end_writers(&writers, -EBADF, 100);
    return 0;
}

static int a_closing_that_is_aborted_hears_of_it(void *arg)
{
    struct writers writers;
    struct task *closer;

    (void)arg;
    start_writers(&writers);
    closer = start(closes, writers.file.s);
    task_stream_abort(writers.file.s);
    CHECK_STATUS(task_await(closer), -EBADF);
    end_writers(&writers, -EBADF, 100);
    return 0;
}

static int writers_that_wait_for_their_turn_hear_of_the_end(void *arg)
{
    struct file file = open_file();
    struct writing writing = {file.s, 0, 100};
    struct task *tasks[] = {start(writes, &writing), start(writes, &writing),
                            start(writes, &writing)};

    (void)arg;
    begin_work();
    task_stream_abort(file.s);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), -EBADF);
    CHECK_STATUS(look(&file), 100);
    CHECK_STATUS(worker.n_jobs, 1);
    close(file.fd);
    return 0;
}

/* The number is somebody else's when their turn comes. */
static int writers_whose_file_is_lost_write_to_no_other(void *arg)
{
    struct file file = open_file();
    struct writing writing = {file.s, 0, 100};
    struct task *tasks[] = {start(writes, &writing), start(writes, &writing)};
    int fd = task_stream_fd(file.s);

    (void)arg;
    begin_work();
    CHECK_STATUS(task_close(fd), 0);
    CHECK_STATUS(dup(file.fd), fd);
    for (int i = 0; i < 2; i++)
        (void)task_await(tasks[i]);
    CHECK_STATUS(look(&file), 100);
    CHECK_STATUS(worker.n_jobs, 1);
    CHECK_STATUS(task_stream_close(file.s), -EBADF);
    CHECK_STATUS(close(fd), 0);
    close(file.fd);
    return 0;
}

/* Of one that waits for its turn, and of one whose job has not begun. */
static int a_request_before_the_end_is_delivered(void *arg)
{
    struct file file = open_file();
    struct writing writing = {file.s, 0, 100};
    struct task *tasks[] = {start(writes, &writing), start(writes, &writing),
                            start(reads, file.s)};

    (void)arg;
    for (int i = 0; i < 3; i++)
        task_cancel(tasks[i]);
    task_stream_abort(file.s);
    for (int i = 0; i < 3; i++)
        CHECK_STATUS(task_await(tasks[i]), -ECANCELED);
    CHECK_STATUS(look(&file), 0);
    close(file.fd);
    return 0;
}

/* The end of writing waits for what was begun. */
static int an_end_comes_after_the_writes(void *arg)
{
    char name[] = "/tmp/task-test-XXXXXX";
    struct file file = {.fd = mkstemp(name)};
    struct writing first = {NULL, 0, 100};
    struct writing second = {NULL, 100, 100};
    struct task *tasks[2];

    (void)arg;
    memset(&worker, 0, sizeof worker);
    file.s = task_stream_open(open(name, O_WRONLY));
    unlink(name);
    first.s = second.s = file.s;
    tasks[0] = start(writes, &first);
    tasks[1] = start(writes, &second);
    CHECK_STATUS(task_stream_write_eof(file.s), 0);
    CHECK_STATUS(write_row(file.s, 200, 1), -EPIPE);
    CHECK(task_stream_fd(file.s) >= 0);
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    CHECK_STATUS(task_stream_fd(file.s), -EBADF);
    CHECK_STATUS(look(&file), 200);
    close_file(&file);
    return 0;
}

static int a_second_reader_of_a_file_is_refused(void *arg)
{
    struct file file = open_file();
    struct task *task = start(reads, file.s);

    (void)arg;
    CHECK_STATUS(reads(file.s), -EBUSY);
    CHECK_STATUS(task_await(task), 0);
    close_file(&file);
    return 0;
}

static int leaves_a_job(void *arg)
{
    struct file file = open_file();
    static struct writing writing;

    writing = (struct writing){file.s, 0, 100};
    *(int *)arg = file.fd;
    task_detach(start(writes, &writing));
    return 0;
}

static void the_end_of_the_loop_waits_for_jobs(void **state)
{
    int fd = -1;

    (void)state;
    assert_int_equal(run_virtual(leaves_a_job, &fd), 0);
    close(fd);
}

/* Cancelled anywhere. */

static int uses_a_file(void *arg)
{
    struct file file = open_file();
    struct writing beside = {file.s, 0, 2500};
    struct task *task = test_start(writes, &beside, NULL);
    const char *line;
    int status;

    (void)arg;
    worker.most = 1000;
    status = write_row(file.s, 2500, 2500);
    if (!status)
        CHECK_STATUS(look(&file), 5000);
    if (!status)
        (void)lseek(task_stream_fd(file.s), 0, SEEK_SET);
    if (!status)
        status = (int)task_stream_read_line(file.s, &line);
    if (status > 0)
        CHECK(are_bytes(line, (size_t)status, 0));
    (void)task_cancel_await(task);
    CHECK(look(&file) % 2500 == 0);
    (void)task_stream_close(file.s);
    close(file.fd);
    return status;
}

static void a_file_may_be_used_and_cancelled_anywhere(void **state)
{
    (void)state;
    assert_true(cancel_at_every_point(uses_a_file, NULL, NULL) >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_streams(writers_wait_for_each_other),
        in_streams(a_writer_that_waits_for_its_turn_may_be_cancelled),
        in_streams(one_that_is_cancelled_passes_its_turn_on),
        in_streams(a_job_that_has_not_begun_is_taken_back),
        in_streams(a_job_at_work_is_done_and_the_request_comes_next),
        in_streams(a_write_that_has_begun_is_complete),
        in_streams(a_request_put_aside_may_be_taken_back),
        in_streams(a_request_after_one_taken_back_is_not_lost),
        in_streams(a_line_too_long_is_dropped_whole),
        in_streams(a_write_that_fails_breaks_the_writing),
        in_streams(a_read_that_fails_breaks_the_reading),
        in_streams(what_was_not_begun_can_be_tried_again),
        in_streams(the_end_waits_for_no_job_and_takes_nothing_from_it),
        in_streams(closing_waits_for_the_writes_of_others),
        in_streams(closing_tells_that_a_write_of_others_has_failed),
        in_streams(a_closing_that_is_cancelled_drops_the_writes_of_others),
        in_streams(a_request_before_closing_drops_the_writes_of_others),
        in_streams(a_closing_that_is_aborted_hears_of_it),
        in_streams(writers_that_wait_for_their_turn_hear_of_the_end),
        in_streams(writers_whose_file_is_lost_write_to_no_other),
        in_streams(a_request_before_the_end_is_delivered),
        in_streams(an_end_comes_after_the_writes),
        in_streams(a_second_reader_of_a_file_is_refused),
        behaviour_of_streams(the_end_of_the_loop_waits_for_jobs),
        behaviour_of_streams(a_file_may_be_used_and_cancelled_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
