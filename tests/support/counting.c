#include "counting.h"

#include <stdlib.h>
#include <string.h>

/* What stands before each block. */
struct head {
    _Alignas(max_align_t) size_t size;
};

static void give_back(struct counting *counting, struct head *head)
{
    counting->n_blocks--;
    counting->n_bytes -= head->size;
    memset(head + 1, 0xdd, head->size);
    free(head);
}

void *counting_alloc(void *pointer, size_t size, void *arg)
{
    struct counting *counting = arg;
    struct head *old = pointer ? (struct head *)pointer - 1 : NULL;
    struct head *head = NULL;

    if (size && ++counting->n_calls != counting->fail_at)
        head = malloc(sizeof *head + size);
    if (size && !head)
        return NULL;
    if (head) {
        head->size = size;
        memset(head + 1, 0xaa, size);
        counting->n_blocks++;
        counting->n_bytes += size;
    }
    if (head && old)
        memcpy(head + 1, old + 1, old->size < size ? old->size : size);
    if (old)
        give_back(counting, old);
    return head ? head + 1 : NULL;
}
