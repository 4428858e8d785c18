/*
 * A stream's buffer: one block of memory, and the bytes in the midst of it.
 *
 *     data [ taken | bytes | room ]
 *                  ^ begin ^ end  ^ capacity
 *
 * Most are of one size, and few are needed at a time, though there may be many
 * streams: an empty one is given back at once. The loop keeps some spare, and
 * whoever needs one gets the one that was used last.
 */
#ifndef TASK_SRC_STREAM_BUFFER_H
#define TASK_SRC_STREAM_BUFFER_H

#include "loop.h"

#include <string.h>

enum { STREAM_BLOCK = 16384 };

/* All zero: empty, without memory. */
struct stream_buffer {
    char *data;
    size_t begin;
    size_t end;
    size_t capacity;
};

static ALWAYS_INLINE size_t buffer_size(const struct stream_buffer *buffer)
{
    return buffer->end - buffer->begin;
}

static inline char *buffer_begin(const struct stream_buffer *buffer)
{
    return buffer->data ? buffer->data + buffer->begin : NULL;
}

static inline char *buffer_end(const struct stream_buffer *buffer)
{
    return buffer->data + buffer->end;
}

static inline size_t buffer_room(const struct stream_buffer *buffer)
{
    return buffer->capacity - buffer->end;
}

/* Have room for n more; 0 or -ENOMEM. The bytes may be moved. */
int task__stream_buffer_reserve(struct loop *loop, struct stream_buffer *buffer,
                                size_t n);

/* Give its memory back, and the bytes with it. */
void task__stream_buffer_release(struct loop *loop,
                                 struct stream_buffer *buffer);

/* The loop ends: free the spare ones. */
void task__stream_buffers_destroy(struct loop *loop);

/* For which room was reserved. */
static inline void buffer_append(struct stream_buffer *buffer, const void *data,
                                 size_t n)
{
    assert(n <= buffer_room(buffer));
    if (n)
        memcpy(buffer_end(buffer), data, n);
    buffer->end += n;
}

static inline void buffer_tidy(struct loop *loop, struct stream_buffer *buffer)
{
    if (buffer->data && !buffer_size(buffer))
        task__stream_buffer_release(loop, buffer);
}

/* Take away the first n. */
static inline void buffer_consume(struct loop *loop,
                                  struct stream_buffer *buffer, size_t n)
{
    assert(n <= buffer_size(buffer));
    buffer->begin += n;
    buffer_tidy(loop, buffer);
}

#endif
