/*
 * Buffers of streams.
 */
#include "stream_buffer.h"

#include <errno.h>

/* How many are kept spare. */
enum { SPARE = 64 };

static char *get_block(struct loop *loop)
{
    void *block = loop->stream_buffers;

    if (unlikely(!block))
        return memory_get(&loop->allocator, STREAM_BLOCK);
    loop->stream_buffers = *(void **)block;
    loop->n_stream_buffers--;
    return block;
}

static void give_block(struct loop *loop, void *block)
{
    if (unlikely(loop->n_stream_buffers >= SPARE)) {
        memory_free(&loop->allocator, block);
        return;
    }
    *(void **)block = loop->stream_buffers;
    loop->stream_buffers = block;
    loop->n_stream_buffers++;
}

void task__stream_buffer_release(struct loop *loop,
                                 struct stream_buffer *buffer)
{
    if (buffer->capacity == STREAM_BLOCK)
        give_block(loop, buffer->data);
    else
        memory_free(&loop->allocator, buffer->data);
    *buffer = (struct stream_buffer){0};
}

/* Move the bytes into other memory, with room for n more, and for as many as
 * there are: so what is moved was doubled since. */
static int move(struct loop *loop, struct stream_buffer *buffer, size_t n)
{
    size_t size = buffer_size(buffer);
    struct stream_buffer other = {.end = size, .capacity = STREAM_BLOCK};

    if (n > SIZE_MAX / 2 - size)
        return -ENOMEM;
    if (2 * size + n > STREAM_BLOCK)
        other.capacity = 2 * size + n;
    other.data = other.capacity == STREAM_BLOCK
                     ? get_block(loop)
                     : memory_get(&loop->allocator, other.capacity);
    if (!other.data)
        return -ENOMEM;
    if (size)
        memcpy(other.data, buffer_begin(buffer), size);
    if (buffer->data)
        task__stream_buffer_release(loop, buffer);
    *buffer = other;
    return 0;
}

/* Bytes are moved within their block only if as many were taken since, so that
 * each is moved once at the most. */
int task__stream_buffer_reserve(struct loop *loop, struct stream_buffer *buffer,
                                size_t n)
{
    size_t size = buffer_size(buffer);

    if (likely(buffer->data && buffer_room(buffer) >= n))
        return 0;
    if (buffer->capacity - size < n || buffer->begin < size || !buffer->data)
        return move(loop, buffer, n);
    memmove(buffer->data, buffer_begin(buffer), size);
    buffer->begin = 0;
    buffer->end = size;
    return 0;
}

void task__stream_buffers_destroy(struct loop *loop)
{
    while (loop->stream_buffers)
        memory_free(&loop->allocator, get_block(loop));
}
