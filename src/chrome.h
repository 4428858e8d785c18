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

#include <stdbool.h>

enum { CHROME_TEXT = 32 << 10 };

struct chrome_file {
    int fd;
    int error;    /* 0, or a negative errno: nothing more is written */
    char pid[24]; /* our number, in digits */
    size_t pid_length;
    uint64_t flows;  /* arrows so far */
    uint64_t length; /* of what was written, in whole events */
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
