/*
 * Reading and writing files.
 *
 * A first attempt takes what the page cache has, if it is not too much. If that
 * is a part, a second one tells whether the file ends there (0), or a worker
 * has to go on.
 */
#include "file.h"

#include "fd.h"
#include "nowait.h"
#include "worker.h"

#include <errno.h>
#include <string.h>

/* How many parts are kept for the second attempt; how much the loop may be held
 * up by, though it is in memory. */
enum { PARTS = 64, MOST = 1 << 20 };

typedef ssize_t move_fn(int fd, const struct iovec parts[], int n,
                        off_t offset);

struct file_job {
    move_fn *move;
    struct descriptor *descriptor;
    const struct iovec *parts;
    int n;
    off_t offset;
    ssize_t result;
};

static ssize_t read_now(int fd, const struct iovec parts[], int n, off_t offset)
{
    ssize_t result =
        offset < 0 ? readv(fd, parts, n) : preadv(fd, parts, n, offset);

    return result < 0 ? -errno : result;
}

static ssize_t write_now(int fd, const struct iovec parts[], int n,
                         off_t offset)
{
    ssize_t result =
        offset < 0 ? writev(fd, parts, n) : pwritev(fd, parts, n, offset);

    return result < 0 ? -errno : result;
}

static int work(void *arg)
{
    struct file_job *job = arg;

    do {
        job->result =
            job->move(job->descriptor->fd, job->parts, job->n, job->offset);
    } while (job->result == -EINTR);
    return 0;
}

/* By a worker. */
static ssize_t delegate(struct task *self, struct file_job *job)
{
    struct fd_job use;
    int status;

    task__fd_begin_job(self, job->descriptor, &use);
    status = task__worker_run(LANE_FILES, work, job);
    task__fd_end_job(&use);
    return status ? status : job->result;
}

static size_t size_of(const struct iovec parts[], int n)
{
    size_t size = 0;

    for (int i = 0; i < n; i++)
        size += parts[i].iov_len;
    return size;
}

/* What is left of the parts after so many bytes; how many parts. */
static int rest_of(const struct iovec parts[], int n, size_t moved,
                   struct iovec rest[PARTS])
{
    int i = 0;

    while (i < n && moved >= parts[i].iov_len)
        moved -= parts[i++].iov_len;
    n = n - i < PARTS ? n - i : PARTS;
    memcpy(rest, parts + i, (size_t)n * sizeof *rest);
    if (n) {
        rest->iov_base = (char *)rest->iov_base + moved;
        rest->iov_len -= moved;
    }
    return n;
}

/* Go on after a part; an error or a request comes with the next call. */
static ssize_t move_rest(struct task *self, struct file_job *job, ssize_t moved,
                         move_fn *attempt)
{
    struct iovec rest[PARTS];
    unsigned heard = self->cancelling;
    ssize_t more;

    job->n = rest_of(job->parts, job->n, (size_t)moved, rest);
    job->parts = rest;
    job->offset += job->offset < 0 ? 0 : moved;
    more = attempt(job->descriptor->fd, rest, job->n, job->offset);
    if (more == -EAGAIN && !self->undelivered)
        more = delegate(self, job);
    if (more == -ECANCELED)
        task_undeliver(self, heard);
    return more > 0 ? moved + more : moved;
}

/* What counts as a call of those after which others run. */
enum { CALL = 16 << 10 };

static ssize_t move_now(struct task *self, struct file_job *job, size_t size,
                        move_fn *attempt)
{
    ssize_t moved =
        attempt(job->descriptor->fd, job->parts, job->n, job->offset);

    if (moved == -EAGAIN || moved == -EINTR)
        return delegate(self, job);
    if (moved <= 0 || (size_t)moved == size)
        return moved;
    return move_rest(self, job, moved, attempt);
}

/* Where the open file is, one call at a time may read or write: the system has
 * the others wait, and so the loop. */
static bool is_for_a_worker(const struct file_job *job, size_t size)
{
    return size > MOST ||
           (job->offset < 0 && !list_empty(&job->descriptor->jobs));
}

static ssize_t move(struct task *self, int fd, struct file_job *job,
                    move_fn *attempt)
{
    size_t size = size_of(job->parts, job->n);
    ssize_t result = fd_get(loop_of_task(self), fd, &job->descriptor);

    if (!result && !is_for_a_worker(job, size))
        result = fd_take_turns(self, job->descriptor, 1 + size / CALL,
                               &task__reading);
    if (result)
        return result;
    return is_for_a_worker(job, size) ? delegate(self, job)
                                      : move_now(self, job, size, attempt);
}

ssize_t task__file_readv(struct task *self, int fd, const struct iovec parts[],
                         int n, off_t offset)
{
    struct file_job job = {read_now, NULL, parts, n, offset, 0};

    return move(self, fd, &job, task__nowait_preadv);
}

ssize_t task__file_writev(struct task *self, int fd, const struct iovec parts[],
                          int n, off_t offset)
{
    struct file_job job = {write_now, NULL, parts, n, offset, 0};

    return move(self, fd, &job, task__nowait_pwritev);
}
