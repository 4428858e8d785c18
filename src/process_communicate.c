/*
 * Talking with a child until it has said all: one task a pipe.
 */
#include "process.h"

#include <errno.h>
#include <stdlib.h>

/* Room for so much is made before each read. */
enum { READ_SIZE = 4096 };

void task_buffer_free(struct task_buffer *buffer)
{
    if (!buffer)
        return;
    free(buffer->data);
    *buffer = (struct task_buffer){NULL, 0, 0};
}

/* Room for READ_SIZE bytes and a 0. */
static bool make_room(struct task_buffer *buffer)
{
    size_t capacity = 2 * buffer->capacity + READ_SIZE;
    char *data;

    if (buffer->data && buffer->capacity - buffer->size >= READ_SIZE)
        return true;
    data = realloc(buffer->data, capacity + 1);
    if (!data)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    data[buffer->size] = '\0';
    return true;
}

/* A part of the conversation: a pipe, and what goes through it. The stream may
 * be gone whenever another task has run. */
struct part {
    struct task_process *process;
    int number;
    const void *input;
    size_t n;
    struct task_buffer *buffer; /* NULL: nobody wants it */
};

static struct task_stream *stream_of(const struct part *part)
{
    return task__process_stream(part->process, part->number);
}

/* How many bytes; 0: the end. */
static ssize_t read_some(const struct part *part)
{
    struct task_stream *s = stream_of(part);
    struct task_buffer *buffer = part->buffer;
    char dropped[1024];
    ssize_t n;

    if (!s)
        return -EBADF;
    if (!buffer)
        return task_stream_read(s, dropped, sizeof dropped);
    if (!make_room(buffer))
        return -ENOMEM;
    n = task_stream_read(s, buffer->data + buffer->size,
                         buffer->capacity - buffer->size);
    if (n > 0) {
        buffer->size += (size_t)n;
        buffer->data[buffer->size] = '\0';
    }
    return n;
}

/* Read to the end. */
static int hear(void *arg)
{
    ssize_t n;

    do
        n = read_some(arg);
    while (n > 0);
    return (int)n;
}

/* A child that does not want to know is no error. */
static int excuse(int error)
{
    return error == -EPIPE || error == -ECONNRESET ? 0 : error;
}

/* Let it see the end of its input. */
static int end_input(const struct part *part, int error)
{
    struct task_stream *s = stream_of(part);
    int ended = s ? task_stream_write_eof(s) : 0;

    return excuse(error ? error : ended);
}

/* Its input comes as a whole: where nothing was taken it has not ended. */
static int feed(void *arg)
{
    struct part *part = arg;
    struct task_stream *s = stream_of(part);
    int error = s ? task_stream_write(s, part->input, part->n) : -EBADF;

    if (error)
        return excuse(error);
    if ((s = stream_of(part)))
        error = task_stream_flush(s);
    return end_input(part, error);
}

/* The caller hears the one, and a child of the group the other. */
static int talk(struct task_group *group, struct part parts[3])
{
    bool has_out = stream_of(&parts[1]);
    bool has_err = stream_of(&parts[2]);
    int error = parts[0].n ? (task_group_start)(group, feed, &parts[0])
                           : end_input(&parts[0], 0);

    if (!error && has_out && has_err)
        error = (task_group_start)(group, hear, &parts[2]);
    if (!error && (has_out || has_err))
        error = hear(has_out ? &parts[1] : &parts[2]);
    return error;
}

static int communicate(struct task_process *process, const void *input,
                       size_t n, struct task_buffer *out,
                       struct task_buffer *err)
{
    struct part parts[] = {
        {process, 0, .input = input, .n = n},
        {process, 1, .buffer = out},
        {process, 2, .buffer = err},
    };
    struct task_group group = {0};

    task_group_begin(&group);
    return task_group_end(&group, talk(&group, parts));
}

/* Whether a task is at it already: at this, or reading. */
static bool is_busy(const struct task_process *process)
{
    const struct task_stream *out = task__process_stream(process, 1);
    const struct task_stream *err = task__process_stream(process, 2);

    return process->communicates || (out && out->is_read) ||
           (err && err->is_read);
}

int task_process_communicate(struct task_process *process, const void *input,
                             size_t n, struct task_buffer *out,
                             struct task_buffer *err)
{
    struct task *self;
    int error = task_enter_for(&self, process ? process->loop : NULL, __func__);

    if (error)
        return error;
    if (!process || process->loop != loop_of_task(self))
        return MISUSE(-EINVAL, NOT_THIS_LOOPS);
    if (n && !(input && task__process_stream(process, 0)))
        return MISUSE(-EINVAL, "there is no input, or no pipe for it");
    if (out && out == err)
        return MISUSE(-EINVAL, "there is one buffer for both outputs");
    if (is_busy(process))
        return MISUSE(-EBUSY, "another call is under way, or a task reads");
    process->communicates = true;
    error = communicate(process, input, n, out, err);
    process->communicates = false;
    task__process_release(process);
    return error;
}
