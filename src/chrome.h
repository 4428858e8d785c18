/*
 * Records as text: the "JSON array format" that Perfetto and chrome://tracing
 * read. Allocates nothing and calls no more than write(), so that a signal
 * handler may do it.
 *
 * "Trace event format", Google, 2016.
 */
#ifndef TASK_SRC_CHROME_H
#define TASK_SRC_CHROME_H

#include "record.h"

enum { CHROME_TEXT = 32 << 10, CHROME_HEADS = 16, CHROME_HEAD = 96 };

/* How events of one name begin, up to the number of their track. */
struct chrome_head {
    const char *name; /* NULL: none yet */
    char phase;
    uint8_t length;
    char text[CHROME_HEAD];
};

struct chrome_file {
    int fd;
    int error;    /* 0, or a negative errno: nothing more is written */
    char pid[24]; /* our number, in digits */
    size_t pid_length;
    struct chrome_head heads[CHROME_HEADS]; /* by their names' addresses */
    task_time second;                       /* that was told of last ... */
    char digits[24];                        /* ... so */
    size_t n_digits;                        /* 0: none was */
    uint64_t flows;                         /* arrows so far */
    uint64_t length; /* of what was written, up to the end of an event */
    uint64_t blanks; /* that were written behind it */
    size_t n;        /* of `text` */
    char text[CHROME_TEXT];
};

/* Begin an array of events in an empty file. */
void task__chrome_begin(struct chrome_file *file, int fd);

void task__chrome_add(struct chrome_file *file, const struct record *record);

/* Write what was added. When the disk is full, what was not written whole is
 * cut off again: the file stays one that can be read. */
void task__chrome_flush(struct chrome_file *file);

/* End the array; 0, or the first error. */
int task__chrome_end(struct chrome_file *file);

#endif
