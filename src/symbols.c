/*
 * Names for addresses: from the program's own table of symbols, else from what
 * the dynamic linker knows.
 */
#include "symbols.h"

#include <dlfcn.h>

/* Where it is not in the C library, addresses stay numbers. */
#pragma weak dladdr

void task__symbols_prepare(void)
{
    void *frame;

    (void)BACKTRACE(&frame, 1);
}

size_t task__symbols_backtrace(uintptr_t frames[], size_t n)
{
    return (size_t)BACKTRACE((void **)frames, (int)n);
}

static void say_offset(struct sentence *sentence, uintptr_t offset)
{
    if (!offset)
        return;
    task__say(sentence, "+");
    task__say_address(sentence, offset);
}

static const char *last_part(const char *path)
{
    const char *part = path;

    for (; *path; path++)
        if (*path == '/')
            part = path + 1;
    return part;
}

/* A symbol of a shared object, or the object and the place in it. */
static bool say_dynamic(struct sentence *sentence, uintptr_t address)
{
    Dl_info info;

    if (!dladdr || !dladdr((void *)address, &info) || !info.dli_fname)
        return false;
    if (info.dli_sname) {
        task__say(sentence, info.dli_sname);
        say_offset(sentence, address - (uintptr_t)info.dli_saddr);
    } else {
        task__say_address(sentence, address - (uintptr_t)info.dli_fbase);
    }
    task__say(sentence, " (");
    task__say(sentence, last_part(info.dli_fname));
    task__say(sentence, ")");
    return true;
}

void task__symbols_say(struct sentence *sentence, uintptr_t address)
{
    uintptr_t offset;

    if (task__symbols_find(sentence, address, &offset))
        say_offset(sentence, offset);
    else if (!say_dynamic(sentence, address))
        task__say_address(sentence, address);
}
