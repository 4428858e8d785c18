/*
 * Sentences made without malloc and stdio, so that a signal handler may make
 * them too. What does not fit is left out.
 */
#ifndef TASK_SRC_SAY_H
#define TASK_SRC_SAY_H

#include "base.h"

#include <stdbool.h>

/* So much of a task's name is said, in bytes. */
enum { NAME_SHOWN = 64 };

struct sentence {
    size_t length;
    char chars[1000]; /* always ended by a 0 byte */
};

static inline void sentence_clear(struct sentence *sentence)
{
    sentence->length = 0;
    sentence->chars[0] = '\0';
}

void task__say(struct sentence *sentence, const char *text);

/* No more than so many bytes of it. */
void task__say_part(struct sentence *sentence, const char *text, size_t n);

void task__say_number(struct sentence *sentence, uint64_t number);
void task__say_address(struct sentence *sentence, uintptr_t address);

/* Of a text what has room, and a 0 byte; no part of a character (UTF-8). */
void task__say_cut(char *out, size_t size, const char *text);

/* The same in one line: control characters are question marks. */
void task__say_cut_line(char *out, size_t size, const char *text);

/* Write that to stderr. */
void task__say_bytes(const char *bytes, size_t n);

/* Write a line of ours to stderr, without stdio: that takes 8 KB of stack for
 * it. */
void task__say_line(const char *text);

/* Write it to stderr, and forget it. */
void task__say_out(struct sentence *sentence);

#endif
