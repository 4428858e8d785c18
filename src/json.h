/*
 * Bits of JSON, put into a buffer that has room: each function writes, and
 * returns where to go on. No locale, no stdio: so fast, and for signal
 * handlers.
 */
#ifndef TASK_SRC_JSON_H
#define TASK_SRC_JSON_H

#include "base.h"

#include <string.h>

static ALWAYS_INLINE char *json_bytes(char *at, const char *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

/* A text as it is, whose length the compiler knows. */
#define JSON(at, literal) json_bytes(at, literal, sizeof(literal) - 1)

/* Another one. */
static inline char *json_text(char *at, const char *text)
{
    return json_bytes(at, text, strlen(text));
}

/* 20 bytes at the most. */
char *task__json_number(char *at, uint64_t number);
char *task__json_signed(char *at, int64_t number);

/* A number of thousandths: 12.345. */
char *task__json_thousandths(char *at, uint64_t number);

/* All digits of one below a billion, the last three behind a point:
 * 000012.345 */
char *task__json_billionth(char *at, uint32_t number);

/* A string: 2 bytes, and 6 for each of the text's at the most. What is no UTF-8
 * is replaced. */
char *task__json_string(char *at, const char *text);

#endif
