#include "protocol.h"

#include <limits.h>

/* Bytes in the arguments of a command. */
enum { LONGEST = 1 << 24 };

/* "<kind><number>\r\n": the number, and *at is behind it. As in Redis there are
 * no zeros before it, so that it ends soon or is too large. */
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
    if (digit - *at > 2 && (*at)[1] == '0')
        return WRONG;
    if (digit < end && (digit == *at + 1 || *digit != '\r'))
        return WRONG;
    if (end - digit < 2)
        return INCOMPLETE;
    *at = digit + 2;
    return digit[1] == '\n' ? number : WRONG;
}

/* "*<number>\r\n": of arguments; Redis takes less than 0 for none. */
static long parse_count(const char **at, const char *end)
{
    long n;

    if (end - *at < 2 || memcmp(*at, "*-", 2) != 0)
        return parse_number(at, end, '*', ARGUMENTS);
    ++*at;
    n = parse_number(at, end, '-', INT_MAX);
    return n > 0 ? 0 : n < 0 ? n : WRONG;
}

static long refuse(struct request *request, const char *line)
{
    reply(request, line);
    return WRONG;
}

long parse_command(struct request *request, const char *text, const char *end)
{
    const char *at = text;
    long n = parse_count(&at, end);
    long room = LONGEST;

    if (n == WRONG)
        return refuse(request, "-ERR Protocol error: invalid multibulk length");
    request->n = 0;
    while (request->n < n) {
        long size = parse_number(&at, end, '$', room);

        if (size == INCOMPLETE || end - at < size + 2)
            return INCOMPLETE;
        if (size == WRONG || memcmp(at + size, "\r\n", 2) != 0)
            return refuse(request, "-ERR Protocol error: invalid bulk length");
        request->arguments[request->n++] = (struct word){at, (size_t)size};
        at += size + 2;
        room -= size;
    }
    return n == INCOMPLETE ? INCOMPLETE : at - text;
}
