/*
 * Texts about tasks: built piece by piece, in a buffer of a fixed size, or in
 * memory that grows. What has no room is left out.
 */
#ifndef TASK_SRC_TEXT_H
#define TASK_SRC_TEXT_H

#include "memory.h"
#include "scheduler.h"

struct text {
    const struct allocator *allocator; /* NULL: it does not grow */
    char *chars;                       /* ends in a 0, if there are any */
    size_t length;
    size_t capacity;
    bool is_over; /* there was no room for something */
};

/* A text in this array. */
#define TEXT_IN(array)                                                         \
    {                                                                          \
        .chars = (array), .capacity = sizeof(array)                            \
    }

PRINTF_LIKE(2, 3)
void task__text_add(struct text *text, const char *format, ...);

/* task 7 "name", or future 8 "name"; on one line whatever is in the name. */
void task__text_add_task(struct text *text, const struct task *task);

/* 1.2 s, 350 ms, 2 h 30 min: rounded down. */
void task__text_add_time(struct text *text, task_time time);

#endif
