/*
 * Guards by MADV_GUARD_INSTALL, which splits no mapping (Linux 6.13), or by
 * mprotect; and where a process may advise of its own memory by
 * process_madvise(2) (6.15), many pages by one system call.
 */
#include "pages.h"

#include "base.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

/* PIDFD_SELF, in place of a descriptor of this process. */
enum { SELF = -10000 };

/* So many by one call: they are told of on the stack. */
enum { BATCH = 32 };

/* Advise of them; returns of how many, from the first on, it was done.
 * (Valgrind complains of a call that it does not know.) */
static size_t advise(char *first, size_t size, size_t stride, size_t n,
                     int advice)
{
    struct iovec ranges[BATCH];
    size_t n_done = 0;
    int saved_errno = errno;

    while (!RUNNING_ON_VALGRIND && n_done < n) {
        size_t length = n - n_done < BATCH ? n - n_done : BATCH;
        long bytes;

        for (size_t i = 0; i < length; i++)
            ranges[i] = (struct iovec){first + (n_done + i) * stride, size};
        bytes = syscall(SYS_process_madvise, SELF, ranges, length, advice, 0);
        if (bytes < (long)size)
            break;
        n_done += (size_t)bytes / size;
    }
    errno = saved_errno;
    return n_done;
}

/*
 * Whether the kernel knows light guards. One that accepts any advice (an
 * emulator) is not believed.
 */
static bool has_light_guards(char *page, size_t size)
{
    static int known; /* 1: yes, -1: no; every thread finds the same */
    int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);

    if (!answer) {
        answer = madvise(page, size, 0x7fffffff) &&
                         !madvise(page, size, MADV_GUARD_INSTALL)
                     ? 1
                     : -1;
        __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
    }
    return answer > 0;
}

int task__pages_guard(char *first, size_t size, size_t stride, size_t n)
{
    bool is_light = has_light_guards(first, size);
    size_t n_done =
        is_light ? advise(first, size, stride, n, MADV_GUARD_INSTALL) : 0;

    for (; n_done < n; n_done++) {
        char *page = first + n_done * stride;

        if (is_light && !madvise(page, size, MADV_GUARD_INSTALL))
            continue;
        if (mprotect(page, size, PROT_NONE))
            return -ENOMEM;
    }
    return 0;
}

void task__pages_populate(char *first, size_t size, size_t stride, size_t n)
{
    advise(first, size, stride, n, MADV_POPULATE_WRITE);
}
