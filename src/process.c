/*
 * Children: their end, signals to them, their handles.
 */
#include "process.h"

#include "debugger.h"
#include "loop_above.h"
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_process *process =
        container_of(waiter->node.list, const struct task_process, waiters);

    task__text_add(text, "%d", (int)process->child.pid);
}

static const struct debugger_number NUMBERS[] = {
    DEBUGGER_OFFSET(task_process, waiters),
    DEBUGGER_OFFSET(task_process, child.pid),
    {"", 0},
};

static const struct wait_kind WAITING = {
    .verb = "waiting for process",
    .describe = describe,
    .numbers = NUMBERS,
};

struct task_process *task__process_new(struct loop *loop)
{
    struct task_process *process =
        memory_get(&loop->allocator, sizeof *process);

    if (process) {
        memset(process, 0, sizeof *process);
        process->loop = loop;
    }
    return process;
}

static struct task_process *process_at(struct list_node *node)
{
    return container_of(node, struct task_process, node);
}

struct task_stream *task__process_stream(const struct task_process *process,
                                         int number)
{
    struct task_stream *s = process ? process->streams[number].stream : NULL;

    return s && !s->is_gone ? s : NULL;
}

static void close_streams(struct task_process *process)
{
    for (int i = 0; i < 3; i++) {
        struct task_stream *s = process->streams[i].stream;

        if (!s)
            continue;
        s->owner = NULL;
        process->streams[i].stream = NULL;
        if (!s->is_gone)
            task_stream_abort(s);
    }
}

void task__process_destroy(struct task_process *process)
{
    close_streams(process);
    list_remove(&process->node);
    memory_free(&process->loop->allocator, process);
}

void task__process_release(struct task_process *process)
{
    if (process->is_freed && process->has_ended && !process->communicates)
        task__process_destroy(process);
}

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

static void wake_waiters(struct task_process *process, int result)
{
    wake_all(&process->waiters, result);
}

static void end(struct task_process *process, int status)
{
    stop_observing(process);
    process->has_ended = true;
    process->status = status;
    wake_waiters(process, status);
    task__process_release(process);
}

/* Find out whether it has ended. The handle may be no more then. */
static bool look(struct task_process *process)
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
    if (!look(process))
        wake_waiters(process, -EBADF);
}

static void be_ready(struct observer *observer, short events)
{
    struct task_process *process =
        container_of(observer, struct task_process, observer);

    if (events & POLLNVAL)
        lose(process);
    else
        look(process);
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

int task_process_wait(struct task_process *process)
{
    struct task *self;
    int error = task_enter_for(&self, process ? process->loop : NULL, __func__);

    if (error)
        return error;
    if (!process || process->loop != loop_of_task(self))
        return MISUSE(-EINVAL, NOT_THIS_LOOPS);
    if (process->has_ended)
        return process->status;
    if (process->child.fd < 0)
        return look(process) ? process->status : -EBADF;
    return task__park_in(&process->waiters, self, &WAITING, TASK_FOREVER);
}

static ALWAYS_INLINE int send_signal(struct task_process *process, int signo,
                                     const char *call)
{
    int saved_errno = errno;
    int result;

    if (!process || signo < 0 || signo >= NSIG)
        return misuse_about(process ? process->loop : NULL, call, -EINVAL,
                            process ? "there is no such signal"
                                    : "the process is NULL");
    if (loop_refuses(process->loop, call))
        return -EPERM;
    result = look(process) ? -ESRCH
                           : process->child.kind->send(&process->child, signo);
    errno = saved_errno;
    return result;
}

int task_process_send_signal(struct task_process *process, int signo)
{
    return send_signal(process, signo, __func__);
}

int task_process_terminate(struct task_process *process)
{
    return send_signal(process, SIGTERM, __func__);
}

int task_process_kill(struct task_process *process)
{
    return send_signal(process, SIGKILL, __func__);
}

struct task_stream *task_process_stdin(struct task_process *process)
{
    return task__process_stream(process, 0);
}

struct task_stream *task_process_stdout(struct task_process *process)
{
    return task__process_stream(process, 1);
}

struct task_stream *task_process_stderr(struct task_process *process)
{
    return task__process_stream(process, 2);
}

pid_t task_process_pid(const struct task_process *process)
{
    return process ? process->child.pid : 0;
}

/* Take its status, after its end. */
static void await_end(struct task_process *process)
{
    int status;
    int error = process->child.kind->take(&process->child, true, &status);

    end(process, error ? error : status);
}

static void free_process(struct task_process *process)
{
    close_streams(process);
    process->is_freed = true;
    if (process->has_ended) {
        task__process_release(process);
        return;
    }
    wake_waiters(process, -EBADF);
    if (look(process))
        return;
    process->child.kind->send(&process->child, SIGKILL);
    if (process->child.fd < 0)
        await_end(process);
}

void task_process_free(struct task_process *process)
{
    int saved_errno = errno;

    if (process && !LOOP_REFUSES(process->loop))
        free_process(process);
    errno = saved_errno;
}

/* A task that was dropped may have been in one: they go with all other streams,
 * and wake nobody. */
static void disown_streams(struct task_process *process)
{
    for (int i = 0; i < 3; i++) {
        struct task_stream *s = process->streams[i].stream;

        if (!s)
            continue;
        s->owner = NULL;
        s->is_gone = true;
        s->calls = 1; /* the hook may still know of it, and abort it */
        process->streams[i].stream = NULL;
    }
}

/* The hook may free those that it is told of, and others: until all was told of
 * they stay, as while a task is at them. */
void task__processes_tell(struct loop *loop)
{
    struct list_node *node;

    for (node = loop->processes.first; node; node = node->next) {
        process_at(node)->communicates = true;
        disown_streams(process_at(node));
    }
    for (node = loop->processes.first; node; node = node->next)
        if (!process_at(node)->is_freed)
            task__report_leak(loop, "a process", process_at(node)->file,
                              process_at(node)->line);
}

/* All that have descriptors are killed before one of them is waited for. */
void task__processes_destroy(struct loop *loop)
{
    struct list_node *node;

    for (node = loop->processes.first; node; node = node->next)
        if (!process_at(node)->is_freed)
            free_process(process_at(node));
    while ((node = loop->processes.first)) {
        process_at(node)->communicates = false;
        if (process_at(node)->has_ended)
            task__process_release(process_at(node));
        else
            await_end(process_at(node));
    }
}

void task__processes_abandon(struct loop *loop)
{
    struct list_node *node = loop->processes.first;

    for (; node; node = node->next)
        if (!process_at(node)->has_ended)
            process_at(node)->child.kind->abandon(&process_at(node)->child);
}
