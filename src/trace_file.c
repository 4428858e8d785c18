/*
 * A trace from its start to its file.
 */
#include "own_fd.h"
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A stream's room for records, and the least of a ring's. */
enum { STREAM_RECORDS = 256, RING_RECORDS = 16 };

/* At first a ring has wakes by a span that it has lost: so by nobody. */
static void forget_wakers(struct trace *trace)
{
    for (size_t i = 0; i < trace->capacity; i++) {
        struct record *record =
            &trace->records[(trace->next + i) % trace->capacity];

        if (record->kind == RECORD_SPAN)
            return;
        if (record->kind == RECORD_WAIT)
            record->span.by = TRACK_NOBODY;
    }
}

void task__trace_write(struct trace *trace)
{
    size_t end = trace->next;

    if (trace->is_full)
        forget_wakers(trace);
    if (trace->is_full)
        for (size_t i = end; i < trace->capacity; i++)
            task__chrome_add(&trace->file, &trace->records[i]);
    for (size_t i = 0; i < end; i++)
        task__chrome_add(&trace->file, &trace->records[i]);
    trace->next = 0;
    trace->is_full = false;
}

/* What is said of tasks that have not ended, when all records are written. */
static void write_live(struct trace *trace)
{
    struct task *task = NULL;

    while ((task = task__next_live(trace->loop, task))) {
        struct record name = {.kind = RECORD_TRACK, .track = task->id};
        struct record wait = {.kind = RECORD_WAIT, .track = task->id};

        task__trace_copy_name(&name, task);
        if (trace->is_ring || task->name)
            task__chrome_add(&trace->file, &name);
        if (is_new(task) || !task->stack->waits)
            continue;
        wait.span.from = task->stack->since;
        wait.span.to = trace->now;
        wait.span.what = task->stack->waits;
        task__chrome_add(&trace->file, &wait);
    }
}

/* Write what there is, and end the file: 0, or why it is not complete. */
static int write_all(struct trace *trace)
{
    bool is_whole = trace->loop->is_tracing;

    task__trace_end(trace);
    if (is_whole) {
        task__trace_write(trace);
        write_live(trace);
    }
    if (!trace->is_ended)
        trace->file.error = task__chrome_end(&trace->file);
    trace->is_ended = true;
    return trace->file.error;
}

void task__trace_die(struct loop *loop)
{
    if (loop->trace && !loop_is_inherited(loop))
        write_all(loop->trace);
}

void task__trace_fail(struct loop *loop)
{
    if (loop->is_tracing && loop->trace->is_ring)
        write_all(loop->trace);
}

/* A descriptor for the file, emptied; a pipe would block the loop, or kill. */
static int open_file(const char *path)
{
    int fd = own_fd(open(
        path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        0666));
    struct stat status;
    int error = 0;

    if (fd < 0) /* of a pipe that nobody reads, and of a socket, ENXIO */
        return errno == ENXIO ? -ESPIPE : -errno;
    if (fstat(fd, &status))
        error = -errno;
    else if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode))
        error = -ESPIPE;
    if (error)
        close(fd);
    return error ? error : fd;
}

static ALWAYS_INLINE int check_start(struct loop *loop, const char *path,
                                     const char *call)
{
    if (!loop || !path)
        return misuse_about(loop, call, -EINVAL,
                            "the loop or the path is NULL");
    if (loop_refuses(loop, call))
        return -EPERM;
    if (loop->freed)
        return -ESHUTDOWN;
    if (loop->trace)
        return misuse_about(loop, call, -EALREADY,
                            "the loop has a trace already");
    return 0;
}

static int start(struct loop *loop, const char *path, size_t capacity,
                 bool is_ring)
{
    struct trace *trace;
    int fd;

    trace = capacity <= SIZE_MAX / 2 / sizeof(struct record)
                ? memory_get(&loop->allocator,
                             sizeof *trace + capacity * sizeof(struct record))
                : NULL;
    if (!trace)
        return -ENOMEM;
    fd = open_file(path);
    if (fd < 0) {
        memory_free(&loop->allocator, trace);
        return fd;
    }
    memset(trace, 0, sizeof *trace);
    trace->loop = loop;
    trace->is_ring = is_ring;
    trace->capacity = capacity;
    loop->trace = trace;
    task__chrome_begin(&trace->file, fd);
    task__trace_clock_init(&trace->clock);
    task__trace_begin(trace);
    return 0;
}

int loop_trace_start(struct loop *loop, const char *path)
{
    int error = check_start(loop, path, __func__);

    return error ? error : start(loop, path, STREAM_RECORDS, false);
}

int loop_trace_ring(struct loop *loop, const char *path, size_t bytes)
{
    size_t capacity = bytes / sizeof(struct record);
    int error = check_start(loop, path, __func__);

    if (capacity < RING_RECORDS)
        capacity = RING_RECORDS;
    return error ? error : start(loop, path, capacity, true);
}

int loop_trace_stop(struct loop *loop)
{
    int error;

    if (!loop)
        return MISUSE(-EINVAL, "the loop is NULL");
    if (LOOP_REFUSES(loop))
        return -EPERM;
    if (!loop->trace)
        return -ENOENT;
    error = write_all(loop->trace);
    if (close(loop->trace->file.fd) && !error)
        error = -errno;
    memory_free(&loop->allocator, loop->trace);
    loop->trace = NULL;
    return error;
}

void task__trace_destroy(struct loop *loop)
{
    if (loop->trace && loop_is_inherited(loop))
        close(loop->trace->file.fd);
    else if (loop->trace)
        loop_trace_stop(loop);
}
