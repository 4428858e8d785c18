/*
 * How much of their stacks the tasks of each function have used, for the end of
 * a loop in debug mode. A table with open addressing; where memory is short it
 * stays as it is.
 */
#include "marks.h"

#include "loop.h"
#include "symbols.h"

#include <stdlib.h>
#include <string.h>

struct mark {
    uintptr_t fn; /* 0: free */
    size_t size;  /* of the stacks */
    size_t used;  /* at the most */
    uint64_t n;   /* tasks */
};

enum { MARKS_FIRST = 32, MARKS_TOLD = 32 };

/* The place of a function in a table of 2^n, at least one of which is free. */
static struct mark *place_of(struct mark *marks, size_t n, uintptr_t fn,
                             size_t size)
{
    size_t i = (size_t)((fn ^ size) * UINT64_C(0x9e3779b97f4a7c15) >> 32);

    while (marks[i % n].fn &&
           (marks[i % n].fn != fn || marks[i % n].size != size))
        i++;
    return &marks[i % n];
}

static bool grow(struct loop *loop)
{
    size_t n = loop->marks ? 2 * loop->marks_room : MARKS_FIRST;
    struct mark *marks = memory_get(&loop->allocator, n * sizeof *marks);

    if (!marks)
        return false;
    memset(marks, 0, n * sizeof *marks);
    for (size_t i = 0; i < loop->marks_room; i++)
        if (loop->marks[i].fn)
            *place_of(marks, n, loop->marks[i].fn, loop->marks[i].size) =
                loop->marks[i];
    memory_free(&loop->allocator, loop->marks);
    loop->marks = marks;
    loop->marks_room = n;
    return true;
}

void task__marks_note(struct loop *loop, uintptr_t fn, size_t used, size_t size)
{
    struct mark *mark;

    if (2 * loop->n_marks >= loop->marks_room && !grow(loop))
        return;
    mark = place_of(loop->marks, loop->marks_room, fn, size);
    loop->n_marks += !mark->fn;
    mark->fn = fn;
    mark->size = size;
    mark->n++;
    if (used > mark->used)
        mark->used = used;
}

/* The fullest stacks first; free places last. */
static int compare_marks(const void *a, const void *b)
{
    const struct mark *x = a;
    const struct mark *y = b;

    if (!x->fn != !y->fn)
        return x->fn ? -1 : 1;
    return (x->used < y->used) - (x->used > y->used);
}

/* 12,345 */
static void say_grouped(struct sentence *sentence, uint64_t number)
{
    uint64_t unit = 1;

    while (number / unit >= 1000)
        unit *= 1000;
    task__say_number(sentence, number / unit);
    for (; unit > 1; unit /= 1000) {
        uint64_t part = number % unit / (unit / 1000);

        task__say(sentence, part < 10 ? ",00" : part < 100 ? ",0" : ",");
        task__say_number(sentence, part);
    }
}

/* "worker: at most 3.1 KiB of 64 KiB in 1,204 tasks" */
static void say_mark(struct sentence *sentence, const struct mark *mark)
{
    uint64_t tenths = (mark->used * UINT64_C(10) + 1023) / 1024;

    task__symbols_say(sentence, mark->fn);
    task__say(sentence, ": at most ");
    task__say_number(sentence, tenths / 10);
    task__say(sentence, ".");
    task__say_number(sentence, tenths % 10);
    task__say(sentence, " KiB of ");
    task__say_number(sentence, mark->size >> 10);
    task__say(sentence, " KiB in ");
    say_grouped(sentence, mark->n);
    task__say(sentence, mark->n == 1 ? " task" : " tasks");
}

void task__marks_tell(struct loop *loop)
{
    struct sentence sentence;

    if (!loop->n_marks)
        return;
    qsort(loop->marks, loop->marks_room, sizeof *loop->marks, compare_marks);
    sentence_clear(&sentence);
    task__say(&sentence, "libtask: stacks used:\n");
    for (size_t i = 0; i < loop->n_marks && i < MARKS_TOLD; i++) {
        task__say(&sentence, "  ");
        say_mark(&sentence, &loop->marks[i]);
        task__say(&sentence, "\n");
        task__say_out(&sentence);
    }
}

void task__marks_destroy(struct loop *loop)
{
    memory_free(&loop->allocator, loop->marks);
}
