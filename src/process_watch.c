/*
 * The end of a child: being told of it, finding out, waiting for it.
 */
#include "process.h"

#include <errno.h>

static struct descriptor *descriptor_of(const struct task_process *process)
{
    return descriptors_find(&process->loop->poller->descriptors,
                            process->child.fd);
}

/* Its end is no news any more. */
static void stop_observing(struct task_process *process)
{
    if (process->child.fd >= 0) {
        task__fd_observe_no_more(process->loop, descriptor_of(process),
                                 INCOMING);
        task__fd_forget(process->loop, process->child.fd);
    }
    process->child.kind->close(&process->child);
}

static void end(struct task_process *process, int status)
{
    stop_observing(process);
    process->has_ended = true;
    process->status = status;
    wake_all(&process->waiters, status);
    task__process_release(process);
}

bool task__process_look(struct task_process *process)
{
    int status;
    int error;

    if (process->has_ended)
        return true;
    error = process->child.kind->take(&process->child, false, &status);
    if (error == -EAGAIN)
        return false;
    end(process, error ? error : status);
    return true;
}

/* The descriptor was closed by somebody else: its end is found out only by
 * those who ask. */
static void lose(struct task_process *process)
{
    process->loop->n_sources--;
    process->child.fd = -1;
    if (!task__process_look(process))
        wake_all(&process->waiters, -EBADF);
}

static void be_ready(struct observer *observer, short events)
{
    struct task_process *process =
        container_of(observer, struct task_process, observer);

    if (events & POLLNVAL)
        lose(process);
    else
        task__process_look(process);
}

static int observe(struct task_process *process)
{
    struct loop *loop = process->loop;
    struct descriptor *descriptor;
    int error;

    task__fd_opened(loop, process->child.fd, DESCRIPTOR_OTHER);
    error = task__descriptors_get(&loop->poller->descriptors, process->child.fd,
                                  &descriptor);
    if (!error)
        error =
            task__fd_observe(loop, descriptor, INCOMING, &process->observer);
    return error;
}

static int begin_to_observe(struct task_process *process)
{
    int error;

    process->observer.ready = be_ready;
    error = observe(process);
    if (error) {
        task__child_end(&process->child);
        process->child.kind->close(&process->child);
    }
    return error;
}

int task__process_begin(struct task_process *process, pid_t pid, int pidfd)
{
    struct child *child = &process->child;
    int error = task__child_open(child, pid, pidfd);

    if (error == -ESRCH) {
        process->has_ended = true;
        process->status = -ECHILD;
        error = 0;
    } else if (error) {
        task__child_end(child);
    } else {
        error = begin_to_observe(process);
    }
    if (!error)
        list_append(&process->loop->processes, &process->node);
    return error;
}

void task__process_await_end(struct task_process *process)
{
    int status;
    int error = process->child.kind->take(&process->child, true, &status);

    end(process, error ? error : status);
}
