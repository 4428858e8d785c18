/*
 * What a trace is made of, before it is text.
 */
#ifndef TASK_SRC_RECORD_H
#define TASK_SRC_RECORD_H

#include "base.h"

#include <task/time.h>

enum record_kind {
    RECORD_TRACK,   /* what a track is called */
    RECORD_CREATED, /* a task */
    RECORD_SPAN,    /* something took a while: a step, a look */
    RECORD_WAIT,    /* the same; then it was woken */
    RECORD_ENDED    /* a task */
};

/* Tracks are tasks, by their ids; or these; or nobody's. */
#define TRACK_NOBODY UINT64_C(0)
#define TRACK_CALLBACKS (UINT64_MAX - 2)
#define TRACK_TIMERS (UINT64_MAX - 1)
#define TRACK_POLLS UINT64_MAX

struct record {
    uint8_t kind;
    int32_t number; /* created: the line; ended: the status */
    uint64_t track;
    union {
        char name[48]; /* of a track, cut off; empty: a task's default one */
        struct {
            task_time at;
            uint64_t by;   /* a track */
            char file[32]; /* its end */
        } created;
        struct {
            task_time from;
            task_time to;     /* later, by a nanosecond at least */
            const char *what; /* a constant */
            uint64_t by;      /* the track of who woke it */
        } span;
        task_time ended_at;
    };
};

_Static_assert(sizeof(struct record) == 64, "a record is a cache line");

#endif
