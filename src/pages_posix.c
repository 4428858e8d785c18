/*
 * Guards by mprotect, which splits a mapping at each of them.
 */
#include "pages.h"

#include <errno.h>
#include <sys/mman.h>

int task__pages_guard(char *first, size_t size, size_t stride, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (mprotect(first + i * stride, size, PROT_NONE))
            return -ENOMEM;
    return 0;
}

void task__pages_populate(char *first, size_t size, size_t stride, size_t n)
{
    (void)first;
    (void)size;
    (void)stride;
    (void)n;
}
