/*
 * What a debugger finds the loops by, and reads them with: see task-gdb.py.
 */
#ifndef TASK_SRC_DEBUGGER_H
#define TASK_SRC_DEBUGGER_H

#include "list.h"

#include <stddef.h>

struct loop;

/* An offset or a size in bytes, or a bit; 40 bytes on every machine. A table
 * ends in a nameless one, unless it is counted. */
struct debugger_number {
    char name[36];
    uint32_t value;
};

#define DEBUGGER_NUMBER(its_name, its_value)                                   \
    {                                                                          \
        .name = its_name, .value = (its_value)                                 \
    }
#define DEBUGGER_OFFSET(type, field)                                           \
    DEBUGGER_NUMBER(#type "." #field, offsetof(struct type, field))

/* The bits of struct task's flags. */
enum { DEBUGGER_DONE = 1 << 1, DEBUGGER_FUTURE = 1 << 2 };

struct debugger {
    struct list loops; /* of all threads, in the order of making */
    const struct debugger_number *numbers;
    size_t n_numbers;
};

extern struct debugger task__debugger;

/* Once, before the first loop. */
void task__debugger_watch_forks(void);

void task__debugger_add(struct loop *loop);

/* A loop of this process, not one inherited over fork. */
void task__debugger_remove(struct loop *loop);

#endif
