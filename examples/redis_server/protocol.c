#include "protocol.h"

/* Bytes in the arguments of a command. */
enum { LONGEST = 1 << 24 };

/* "<kind><number>\r\n": the number, and *at is behind it. */
static long parse_number(const char **at, const char *end, char kind, long most)
{
    const char *digit = *at;
    long number = 0;

    if (digit < end && *digit++ != kind)
        return WRONG;
    for (; digit < end && *digit >= '0' && *digit <= '9'; digit++) {
        number = 10 * number + (*digit - '0');
        if (number > most)
            return WRONG;
    }
    if (digit < end && (digit == *at + 1 || *digit != '\r'))
        return WRONG;
    if (end - digit < 2)
        return INCOMPLETE;
    *at = digit + 2;
    return digit[1] == '\n' ? number : WRONG;
}

/* The arguments of a command; how many bytes it takes. */
long parse_command(struct request *request, const char *text, const char *end)
{
    const char *at = text;
    long n = parse_number(&at, end, '*', ARGUMENTS);
    long room = LONGEST;

    request->n = 0;
    while (request->n < n) {
        long size = parse_number(&at, end, '$', room);

        if (size < 0)
            return size;
        if (end - at < size + 2)
            return INCOMPLETE;
        if (memcmp(at + size, "\r\n", 2) != 0)
            return WRONG;
        request->arguments[request->n++] = (struct word){at, (size_t)size};
        at += size + 2;
        room -= size;
    }
    return n < 0 ? n : at - text;
}
