/*
 * Slabs: where stacks lie, and their guards.
 */
#include "stack_slab.h"

#include "pages.h"
#include "stack.h"

#include <string.h>
#include <sys/mman.h>

#ifndef MADV_NOHUGEPAGE
#define MADV_NOHUGEPAGE MADV_NORMAL
#endif
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

_Static_assert(HAVE_ASAN || HAVE_TSAN || sizeof(struct stack) <= CACHE_LINE,
               "a stack's struct is a line");

size_t task__stacks_stride(const struct stacks *stacks)
{
    return stacks->page + stacks->size + stacks->page;
}

size_t task__stack_size(const struct stack *stack)
{
    return stack->slab->stacks->size;
}

char *task__stack_low(const struct stack *stack)
{
    const struct stacks *stacks = stack->slab->stacks;

    return stack->slab->base +
           stack_index(stack) * task__stacks_stride(stacks) + stacks->page;
}

char *task__stack_end(const struct stack *stack)
{
    const struct stacks *stacks = stack->slab->stacks;

    return task__stack_low(stack) + stacks->size + stacks->page;
}

bool task__stack_guards(const struct stack *stack, uintptr_t address)
{
    size_t page = stack->slab->stacks->page;

    return address - ((uintptr_t)task__stack_low(stack) - page) < page;
}

struct stack *task__stacks_find(const struct stacks *stacks, uintptr_t address)
{
    for (struct list_node *node = stacks->slabs.first; node;
         node = node->next) {
        struct stack_slab *slab = container_of(node, struct stack_slab, node);
        uintptr_t place = address - (uintptr_t)slab->base;

        if (place < slab->length * task__stacks_stride(stacks))
            return &slab->stack[place / task__stacks_stride(stacks)];
    }
    return NULL;
}

/* What a slab of so many takes: whole pages for what is beside the stacks, and
 * then these. */
static size_t size_beside(const struct stacks *stacks, size_t length)
{
    return (length * STACK_BESIDE + stacks->page - 1) / stacks->page *
           stacks->page;
}

static size_t size_of_slab(const struct stacks *stacks, size_t length)
{
    return size_beside(stacks, length) + length * task__stacks_stride(stacks);
}

/* Map `length` guarded stacks; the first guard; NULL when there is no room. */
static char *map(const struct stacks *stacks, size_t length)
{
    size_t size = size_of_slab(stacks, length);
    void *start = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *base;

    if (start == MAP_FAILED)
        return NULL;
    base = (char *)start + size_beside(stacks, length);
    madvise(start, size, MADV_NOHUGEPAGE); /* refused: no huge pages anyhow */
    if (task__pages_guard(base, stacks->page, task__stacks_stride(stacks),
                          length)) {
        munmap(start, size);
        return NULL;
    }
    return base;
}

int task__slab_add(struct stacks *stacks, size_t length)
{
    size_t size = sizeof(struct stack_slab) + length * sizeof(struct stack);
    struct stack_slab *slab = task__memory_get_lines(stacks->allocator, size);

    if (!slab)
        return -ENOMEM;
    memset(slab, 0, size);
    slab->base = map(stacks, length);
    if (!slab->base) {
        task__memory_free_lines(stacks->allocator, slab);
        return -ENOMEM;
    }
    slab->beside = slab->base - size_beside(stacks, length);
    slab->stacks = stacks;
    slab->length = length;
    slab->n_listed = length;
    for (size_t i = 0; i * STACKS_ROW < length; i++)
        slab->row[i].stack = slab->stack + i * STACKS_ROW;
    for (size_t i = 0; i < length; i++) {
        slab->stack[i].slab = slab;
        slab->stack[i].top =
            task__stack_end(&slab->stack[i]) - i % COLORS * COLOR_STEP;
        list_append(&stacks->cold, &slab->stack[i].node);
    }
    list_append(&stacks->slabs, &slab->node);
    stacks->n_all += length;
    stacks->n_free += length;
    return 0;
}

static bool unmap(const struct stacks *stacks, const struct stack_slab *slab)
{
    size_t size = size_of_slab(stacks, slab->length);

    ASAN_UNPOISON(slab->beside, size);
    return !munmap(slab->beside, size);
}

static void free_slab(struct stacks *stacks, struct stack_slab *slab)
{
    list_remove(&slab->node);
    task__memory_free_lines(stacks->allocator, slab);
}

bool task__slab_remove(struct stacks *stacks, struct stack_slab *slab)
{
    if (!unmap(stacks, slab))
        return false;
    stacks->n_all -= slab->length;
    stacks->n_free -= slab->length;
    free_slab(stacks, slab);
    return true;
}

void task__slab_empty(const struct stacks *stacks,
                      const struct stack_slab *slab)
{
    madvise(slab->beside, size_of_slab(stacks, slab->length), MADV_DONTNEED);
}

void task__stacks_destroy(struct stacks *stacks)
{
    while (stacks->slabs.first) {
        struct stack_slab *slab =
            container_of(stacks->slabs.first, struct stack_slab, node);

        unmap(stacks, slab);
        free_slab(stacks, slab);
    }
}

void task__stacks_visit(const struct stacks *stacks,
                        void (*visit)(struct stack *stack))
{
    for (struct list_node *node = stacks->slabs.first; node;
         node = node->next) {
        struct stack_slab *slab = container_of(node, struct stack_slab, node);

        for (size_t i = 0; i < slab->length; i++)
            if (!stack_is_cold(&slab->stack[i]))
                visit(&slab->stack[i]);
    }
}
