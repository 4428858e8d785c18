/*
 * The uses of a number: opened, closed; and not closed as long as a worker
 * thread is about to use it.
 */
#include "fd.h"

#include "loop_above.h"
#include "worker.h"

#include <errno.h>
#include <unistd.h>

static void unwatch(struct loop *loop, struct descriptor *descriptor)
{
    struct poller *poller = loop->poller;

    if (descriptor_is_level(descriptor))
        poller->backend->unwatch(poller, descriptor);
}

static void forget(struct loop *loop, struct descriptor *descriptor)
{
    unwatch(loop, descriptor);
    task__descriptor_renew(descriptor);
}

void task__fd_opened(struct loop *loop, int fd, enum descriptor_kind kind)
{
    struct descriptor *descriptor =
        descriptors_find(&loop->poller->descriptors, fd);

    if (!descriptor &&
        task__descriptors_get(&loop->poller->descriptors, fd, &descriptor))
        return;
    unwatch(loop, descriptor);
    task__descriptor_lose(descriptor);
    descriptor->kind = (uint8_t)kind;
}

void task__fd_forget(struct loop *loop, int fd)
{
    struct descriptor *descriptor =
        descriptors_find(&loop->poller->descriptors, fd);

    if (descriptor)
        forget(loop, descriptor);
}

static int close_now(int fd)
{
    int result = close(fd) ? -errno : 0;

    return result == -EINTR ? 0 : result;
}

void task__fd_begin_job(struct task *self, struct descriptor *descriptor,
                        struct fd_job *job)
{
    job->task = self;
    job->descriptor = descriptor;
    list_append(&descriptor->jobs, &job->node);
}

/* Somebody may have had the number be another file, by dup2(). */
bool task__fd_is_closing(const struct descriptor *descriptor)
{
    return descriptor->is_closing &&
           descriptor->inode == task__fd_inode(descriptor->fd);
}

/* The last job has ended. */
static void close_late(struct descriptor *descriptor)
{
    if (task__fd_is_closing(descriptor))
        (void)close_now(descriptor->fd);
    descriptor->is_closing = false;
}

void task__fd_end_job(struct fd_job *job)
{
    struct descriptor *descriptor = job->descriptor;

    list_remove(&job->node);
    if (unlikely(descriptor->is_closing) && list_empty(&descriptor->jobs))
        close_late(descriptor);
}

static void end(struct descriptor *descriptor, void *arg)
{
    (void)arg;
    close_late(descriptor);
}

void task__fds_destroy(struct loop *loop)
{
    task__descriptors_each(&loop->poller->descriptors, end, NULL);
}

/* Whether a worker uses the number; whoever waits for one is told that it is
 * closed. */
static bool has_jobs_at_work(const struct descriptor *descriptor)
{
    struct list_node *node = descriptor->jobs.first;
    bool has = false;

    for (; node; node = node->next)
        has |= !task__worker_revoke(
            container_of(node, struct fd_job, node)->task, -EBADF);
    return has;
}

static COLD int close_with_jobs(struct descriptor *descriptor)
{
    if (!has_jobs_at_work(descriptor))
        return close_now(descriptor->fd);
    descriptor->inode = task__fd_inode(descriptor->fd);
    descriptor->is_closing = true;
    return 0;
}

int task__fd_close(struct loop *loop, int fd)
{
    struct descriptor *descriptor =
        descriptors_find(&loop->poller->descriptors, fd);

    if (!descriptor)
        return close_now(fd);
    if (task__fd_is_closing(descriptor))
        return -EBADF;
    forget(loop, descriptor);
    return likely(list_empty(&descriptor->jobs)) ? close_now(fd)
                                                 : close_with_jobs(descriptor);
}

int task_close(int fd)
{
    struct loop *loop = loop_current();
    int saved_errno = errno;
    int result = loop ? task__fd_close(loop, fd) : close_now(fd);

    errno = saved_errno;
    return result;
}
