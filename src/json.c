/*
 * Numbers and strings.
 */
#include "json.h"

#include <stdbool.h>

/* Two digits of each number below 100. */
static const char PAIRS[] =
    "00010203040506070809101112131415161718192021222324"
    "25262728293031323334353637383940414243444546474849"
    "50515253545556575859606162636465666768697071727374"
    "75767778798081828384858687888990919293949596979899";

static ALWAYS_INLINE char *put_pair(char *at, unsigned number)
{
    memcpy(at, PAIRS + 2 * number, 2);
    return at + 2;
}

static ALWAYS_INLINE char *put_four(char *at, unsigned number)
{
    return put_pair(put_pair(at, number / 100), number % 100);
}

/* Without zeros before. */
static ALWAYS_INLINE char *put_up_to_four(char *at, unsigned number)
{
    if (number > 99) {
        unsigned high = number / 100;

        if (high > 9)
            at = put_pair(at, high);
        else
            *at++ = (char)('0' + high);
        return put_pair(at, number % 100);
    }
    if (number > 9)
        return put_pair(at, number);
    *at++ = (char)('0' + number);
    return at;
}

char *task__json_number(char *at, uint64_t number)
{
    unsigned parts[5];
    int n = 0;

    for (; number > 9999; number /= 10000)
        parts[n++] = (unsigned)(number % 10000);
    at = put_up_to_four(at, (unsigned)number);
    while (n)
        at = put_four(at, parts[--n]);
    return at;
}

char *task__json_signed(char *at, int64_t number)
{
    if (number >= 0)
        return task__json_number(at, (uint64_t)number);
    return task__json_number(JSON(at, "-"), 0 - (uint64_t)number);
}

char *task__json_thousandths(char *at, uint64_t number)
{
    char *point = task__json_number(at, number / 1000);

    at = put_four(point, (unsigned)(number % 1000));
    *point = '.'; /* the first of four digits is a 0 */
    return at;
}

char *task__json_billionth(char *at, uint32_t number)
{
    unsigned thousands = number / 1000;

    at = put_pair(at, thousands / 10000);
    at = put_four(at, thousands % 10000);
    put_four(at, number % 1000);
    *at = '.';
    return at + 4;
}

/* How many bytes the character has that begins here; 0: it is none of UTF-8. */
static size_t utf8_length(const unsigned char *text)
{
    size_t n = text[0] < 0xc2   ? 0
               : text[0] < 0xe0 ? 2
               : text[0] < 0xf0 ? 3
               : text[0] < 0xf5 ? 4
                                : 0;
    unsigned char low = text[0] == 0xe0 ? 0xa0 : text[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = text[0] == 0xed ? 0x9f : text[0] == 0xf4 ? 0x8f : 0xbf;

    if (n && (text[1] < low || text[1] > high))
        return 0;
    for (size_t i = 2; i < n; i++)
        if (text[i] < 0x80 || text[i] > 0xbf)
            return 0;
    return n;
}

static char *put_escaped(char *at, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    char escape[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15], '\0'};

    return json_text(at, c < 0x80 ? escape : "\\ufffd");
}

char *task__json_string(char *at, const char *string)
{
    const unsigned char *text = (const unsigned char *)string;

    at = JSON(at, "\"");
    while (*text) {
        size_t n = *text < 0x80 ? 1 : utf8_length(text);

        if (!n || *text < ' ' || *text == '"' || *text == '\\') {
            at = put_escaped(at, *text++);
            continue;
        }
        at = json_bytes(at, (const char *)text, n);
        text += n;
    }
    return JSON(at, "\"");
}
