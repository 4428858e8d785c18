#include "mask.h"

#include <stdbool.h>
#include <string.h>

/* Whether the text goes on like that. */
static bool goes_on(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

void mask(char *text)
{
    const char *from = text;
    char *to = text;

    while (*from) {
        if (goes_on(from, "; created at ") || goes_on(from, "; stack ")) {
            from += 1 + strcspn(from + 1, ";\n");
        } else if (goes_on(from, "0x")) {
            *to++ = *from++;
            *to++ = *from++;
            from += strspn(from, "0123456789abcdef");
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}
