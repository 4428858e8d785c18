/*
 * Calls that were made wrongly: each returns an error, and debug mode tells of
 * each place of the program that does so, once.
 */
#ifndef TASK_SRC_MISUSE_H
#define TASK_SRC_MISUSE_H

#include "base.h"

struct loop;

/* A public function, by its name, and where it was called: its return
 * address. */
struct call_site {
    const char *call;
    uintptr_t from;
};

/* In the public function itself, or always inline in it: so that the address is
 * the user's, however many functions of the library's a build has inlined. */
static ALWAYS_INLINE struct call_site site_here(const char *call)
{
    return (struct call_site){call, (uintptr_t)__builtin_return_address(0)};
}

/*
 * Tell of one, by the hook of the loop that runs in this thread; returns the
 * status, which is negative. One that misuse does not cause may come here too:
 * it is not told of.
 */
COLD int task__misuse(struct call_site site, int status, const char *why);

/* The same, of which compilers know that it is no success. */
static ALWAYS_INLINE int misuse_at(struct call_site site, int status,
                                   const char *why)
{
    int error = task__misuse(site, status, why);

    if (error >= 0)
        __builtin_unreachable();
    return error;
}

/*
 * Tell of one that is about a loop (NULL: about none): where none runs in this
 * thread, by the hook of that, unless it runs in another.
 */
COLD int task__misuse_about(struct loop *loop, struct call_site site,
                            int status, const char *why);

/* The same of a descriptor (-1: none), which was opened there (NULL: it is not
 * known where). */
COLD int task__misuse_of(struct loop *loop, struct call_site site, int status,
                         const char *why, int fd, const char *file, int line);

/* Where site_here() may stand. */
static ALWAYS_INLINE int misuse(const char *call, int status, const char *why)
{
    return misuse_at(site_here(call), status, why);
}

static ALWAYS_INLINE int misuse_about(struct loop *loop, const char *call,
                                      int status, const char *why)
{
    return task__misuse_about(loop, site_here(call), status, why);
}

/* In the public function itself. */
#define MISUSE(status, why) misuse(__func__, status, why)
#define MISUSE_ABOUT(loop, status, why)                                        \
    misuse_about(loop, __func__, status, why)

void task__misuses_destroy(struct loop *loop);

/* While the process forks. */
void task__misuse_lock(void);
void task__misuse_unlock(void);

#define OUTSIDE_A_TASK "it was called outside a task"

#endif
