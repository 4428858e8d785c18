/*
 * A short list a loop, and one for what other threads do to it.
 */
#include "misuse_known.h"

#include "loop.h"

/* What was told of; when there is too much of it the earliest is forgotten. */
enum { MISUSES = 64 };

struct misuses {
    unsigned n;
    struct known_misuse known[MISUSES];
};

/* Other threads leave the loop's allocator alone. */
static const struct allocator for_others = {.alloc = task__memory_libc};

static const struct allocator *allocator_of(struct loop *loop,
                                            struct misuses **misuses)
{
    return misuses == &loop->foreign ? &for_others : &loop->allocator;
}

bool task__misuse_note(struct loop *loop, struct misuses **misuses,
                       const struct known_misuse *new)
{
    if (!*misuses) {
        *misuses = memory_get(allocator_of(loop, misuses), sizeof **misuses);
        if (!*misuses)
            return true;
        (*misuses)->n = 0;
    }
    for (unsigned i = 0; i < (*misuses)->n && i < MISUSES; i++) {
        const struct known_misuse *known = &(*misuses)->known[i];

        if (known->why == new->why && known->key == new->key)
            return false;
    }
    (*misuses)->known[(*misuses)->n++ % MISUSES] = *new;
    return true;
}

void task__misuses_destroy(struct loop *loop)
{
    memory_free(&loop->allocator, loop->misuses);
    memory_free(&for_others, loop->foreign);
}
