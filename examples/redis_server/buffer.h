/* A redis_server's memory, and buffers of bytes: added at the end, taken away
 * at the beginning. Without memory it does not go on, as Redis does not. */
#ifndef BUFFER_H
#define BUFFER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void *allocate(void *former, size_t n)
{
    void *memory = realloc(former, n);

    if (!memory) {
        perror("redis_server");
        exit(EXIT_FAILURE);
    }
    return memory;
}

enum { BUFFER_KEPT = 1 << 17 };

/* All zero: empty. */
struct buffer {
    char *data;
    size_t begin; /* of the bytes, after which comes a 0 byte */
    size_t end;
    size_t capacity;
};

static inline size_t buffer_size(const struct buffer *buffer)
{
    return buffer->end - buffer->begin;
}

/* Have room for n more, and one; where they go. */
static inline char *buffer_reserve(struct buffer *buffer, size_t n)
{
    size_t size = buffer_size(buffer);

    if (buffer->capacity - buffer->end <= n && buffer->begin) {
        memmove(buffer->data, buffer->data + buffer->begin, size);
        buffer->begin = 0;
        buffer->end = size;
    }
    if (buffer->capacity - buffer->end <= n) {
        buffer->capacity = 2 * size + n + 1;
        buffer->data = allocate(buffer->data, buffer->capacity);
    }
    return buffer->data + buffer->end;
}

/* So many are there now. */
static inline void buffer_extend(struct buffer *buffer, size_t n)
{
    buffer->end += n;
    buffer->data[buffer->end] = '\0';
}

/* Take all away; memory is kept, unless it is much. */
static inline void buffer_clear(struct buffer *buffer)
{
    buffer->begin = buffer->end = 0;
    if (buffer->capacity > BUFFER_KEPT) {
        free(buffer->data);
        *buffer = (struct buffer){0};
    }
}

#endif
