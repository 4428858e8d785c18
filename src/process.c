/*
 * Children: waiting for them, signals to them, their handles.
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
        return task__process_look(process) ? process->status : -EBADF;
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
    result = task__process_look(process)
                 ? -ESRCH
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

static void free_process(struct task_process *process)
{
    close_streams(process);
    process->is_freed = true;
    if (process->has_ended) {
        task__process_release(process);
        return;
    }
    wake_all(&process->waiters, -EBADF);
    if (task__process_look(process))
        return;
    process->child.kind->send(&process->child, SIGKILL);
    if (process->child.fd < 0)
        task__process_await_end(process);
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
            task__process_await_end(process_at(node));
    }
}

void task__processes_abandon(struct loop *loop)
{
    struct list_node *node = loop->processes.first;

    for (; node; node = node->next)
        if (!process_at(node)->has_ended)
            process_at(node)->child.kind->abandon(&process_at(node)->child);
}
