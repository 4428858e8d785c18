/*
 * Which stacks are warm, cold, or given back.
 */
#include "stack.h"

#include "pages.h"
#include "stack_slab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <task/core.h>
#include <unistd.h>

/* Slabs double from the first of these to STACKS_SLAB_MAX, or to so many
 * bytes. */
enum { SLAB_FIRST = 16, SLAB_BYTES = 64 << 20 };

bool task__on_memcheck;

int task__stacks_init(struct stacks *stacks, const struct allocator *allocator,
                      size_t size, size_t kept)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    memset(stacks, 0, sizeof *stacks);
    if (size < TASK_STACK_MIN || size > SIZE_MAX / 4)
        return -EINVAL;
    stacks->allocator = allocator;
    stacks->page = page;
    __atomic_store_n(&task__on_memcheck, RUNNING_ON_MEMCHECK, __ATOMIC_RELAXED);
    stacks->kept = (kept + COLORS_SIZE + page - 1) / page * page;
    stacks->size = (size + page - 1) / page * page;
    stacks->n_whole = STACKS_HOT_BYTES / stacks->size;
    stacks->n_most[0] = STACKS_WARM;
    stacks->slab_length =
        task__stacks_stride(stacks) < SLAB_BYTES / SLAB_FIRST ? SLAB_FIRST : 1;
    return 0;
}

int task__stacks_grow(struct stacks *stacks)
{
    size_t length = stacks->slab_length;

    if (task__slab_add(stacks, length))
        return length > 1 ? task__slab_add(stacks, 1) : -ENOMEM;
    if (length < STACKS_SLAB_MAX &&
        length * task__stacks_stride(stacks) < SLAB_BYTES)
        stacks->slab_length = 2 * length;
    return 0;
}

/* The first pages of so many stacks come by one call, if they are taken one
 * after the other, and at least A_FEW of them. */
enum { AT_ONCE = 32, A_FEW = 8 };

/* It is taken, and so will be what is reserved. */
static NEVER_INLINE void populate(const struct stacks *stacks,
                                  const struct stack *stack)
{
    size_t most = stack->slab->length - stack_index(stack);
    const struct list_node *next = stacks->cold.first;
    size_t n = 1;

    if (most > AT_ONCE)
        most = AT_ONCE;
    for (; n < most && n <= stacks->n_reserved && next == &stack[n].node; n++)
        next = next->next;
    if (n >= A_FEW)
        task__pages_populate(task__stack_end(stack) - stacks->page,
                             stacks->page, task__stacks_stride(stacks), n);
}

struct stack *task__stacks_take_cold(struct stacks *stacks)
{
    struct stack *stack = container_of(stacks->cold.first, struct stack, node);

    list_remove(&stack->node);
    stack->slab->n_listed--;
    stack_row_of(stack)->used |= stack_bit_of(stack);
    context_mark_new(&stack->context);
    if (stack_index(stack) % AT_ONCE == 0)
        populate(stacks, stack);
    return stack;
}

/*
 * A line near the end of what a warm stack keeps is zero until something
 * reaches it. (A large frame may lie across it, unnoticed: then the stack keeps
 * what it grew to until it is cooled.) It is as far from the top of each stack,
 * and so in as many sets of the cache as those are; what reaches it and not the
 * page below is trimmed in vain.
 */
enum { LINE = CACHE_LINE / sizeof(uintptr_t) };

static uintptr_t *watched_line(const struct stacks *stacks,
                               const struct stack *stack)
{
    return (uintptr_t *)(void *)(stack->top - stacks->kept + COLORS_SIZE -
                                 COLOR_STEP);
}

static ALWAYS_INLINE bool is_zero(const uintptr_t *line)
{
    uintptr_t bits = 0;

    for (int i = 0; i < LINE; i++)
        bits |= line[i];
    return !bits;
}

/* What is read may be in no frame any more. */
static NEVER_INLINE bool is_zero_quietly(const uintptr_t *line)
{
    uintptr_t copy[LINE];

    VALGRIND_DISABLE_ERROR_REPORTING;
    memcpy(copy, line, sizeof copy);
    VALGRIND_ENABLE_ERROR_REPORTING;
    (void)VALGRIND_MAKE_MEM_DEFINED(copy, sizeof copy);
    return is_zero(copy);
}

/* Requests to Valgrind have their arguments on the stack that this runs on, in
 * four more lines of the cache. */
static bool has_grown(const struct stacks *stacks, const struct stack *stack)
{
    const uintptr_t *line = watched_line(stacks, stack);

    return on_memcheck() ? !is_zero_quietly(line) : !is_zero(line);
}

/*
 * To look costs a line of the cache of each, which a crowd notices. So where
 * none has grown for long, one in eight is looked at; and once that has, all
 * are again. Where one in twenty grows, in no order, four in five are looked
 * at.
 *
 * (Multiples of the golden ratio keep time with nothing: D. Knuth, TAOCP 6.4.)
 */
enum { LONG = 64, SHIFT_TO_EIGHTHS = 61 };

static ALWAYS_INLINE bool is_looked_at(uint64_t n_small)
{
    return n_small < LONG ||
           !(n_small * UINT64_C(11400714819323198485) >> SHIFT_TO_EIGHTHS);
}

/* Give back what a warm stack grew to, beyond what is kept. */
static void trim(const struct stacks *stacks, const struct stack *stack)
{
    uintptr_t *line = watched_line(stacks, stack);

    madvise(task__stack_low(stack), stacks->size + stacks->page - stacks->kept,
            MADV_DONTNEED);
    VALGRIND_DISABLE_ERROR_REPORTING;
    for (int i = 0; i < LINE; i++)
        line[i] = 0;
    VALGRIND_ENABLE_ERROR_REPORTING;
}

/* Whole pages go, unless they are locked; what is left is written over. */
void task__stack_clean(struct stack *stack, uintptr_t floor)
{
    const struct stacks *stacks = stack->slab->stacks;
    char *low = task__stack_low(stack);
    size_t size = (size_t)(floor - (uintptr_t)low);
    size_t whole = size / stacks->page * stacks->page;
    uintptr_t *word;

    if (madvise(low, whole, MADV_DONTNEED))
        whole = 0;
    word = (uintptr_t *)(void *)(low + whole);
    VALGRIND_DISABLE_ERROR_REPORTING;
    for (size_t n = (size - whole) / sizeof *word; n--; word++)
        *word = 0;
    VALGRIND_ENABLE_ERROR_REPORTING;
}

/* How many may be warm. Most are taken just before one is given back: so it is
 * enough to look at how many are then. */
static size_t most_warm(struct stacks *stacks, task_time now)
{
    size_t *n_most = stacks->n_most;
    size_t n_taken = stacks->n_all - stacks->n_free + 1;

    if (now - stacks->since >= STACKS_PERIOD) {
        stacks->since = now;
        n_most[1] = n_most[0];
        n_most[0] = STACKS_WARM;
    }
    if (n_most[0] < n_taken)
        n_most[0] = n_taken;
    return n_most[0] > n_most[1] ? n_most[0] : n_most[1];
}

bool task__stacks_are_too_many(struct stacks *stacks, task_time now)
{
    return stacks->n_warm > most_warm(stacks, now);
}

task_time task__stacks_next_look(struct stacks *stacks, task_time now)
{
    size_t n_taken = stacks->n_all - stacks->n_free;

    if (stacks->n_warm <= STACKS_WARM || stacks->n_warm <= n_taken + 1)
        return TASK_FOREVER;
    return task__stacks_are_too_many(stacks, now)
               ? now
               : stacks->since + STACKS_PERIOD;
}

/* The one that was hot is so no longer: it joins the warm ones. */
bool task__stacks_give_another(struct stacks *stacks, struct stack *stack,
                               task_time now)
{
    struct stack *hot = stacks->hot;
    struct stack_row *row;

    stacks->hot = stack;
    if (stacks->n_warm >= stacks->n_whole) {
        if (is_looked_at(stacks->n_small + 1))
            __builtin_prefetch(watched_line(stacks, stack));
        if (is_looked_at(stacks->n_small++) && has_grown(stacks, hot)) {
            trim(stacks, hot);
            stacks->n_small = 0;
        }
    }
    row = stack_row_of(hot);
    if (unlikely(!row->warm))
        list_prepend(&stacks->warm, &row->node);
    row->warm |= stack_bit_of(hot);
    hot->slab->n_listed++;
    return ++stacks->n_warm > most_warm(stacks, now);
}

static void cool(struct stacks *stacks, struct stack *stack,
                 void (*end)(struct stack *stack))
{
    struct stack_row *row = stack_row_of(stack);

    if (stack_is_cold(stack)) {
        list_remove(&stack->node);
        return;
    }
    stacks_leave_row(stacks, row, stack_bit_of(stack));
    end(stack);
    row->used &= ~stack_bit_of(stack);
}

/* Cold ones are used in the order of their addresses. */
static void cool_slab(struct stacks *stacks, struct stack_slab *slab,
                      void (*end)(struct stack *stack))
{
    for (size_t i = 0; i < slab->length; i++)
        cool(stacks, &slab->stack[i], end);
    if (stacks->n_free - slab->length >= stacks->n_reserved + slab->length &&
        task__slab_remove(stacks, slab))
        return;
    task__slab_empty(stacks, slab);
    for (size_t i = slab->length; i--;)
        list_prepend(&stacks->cold, &slab->stack[i].node);
}

/*
 * To empty a stack alone takes five times as long as its share of a slab: 1.5
 * us against 0.25.
 */
void task__stacks_cool(struct stacks *stacks, void (*end)(struct stack *stack))
{
    const struct stack_row *row =
        container_of(stacks->warm.last, struct stack_row, node);
    struct stack *stack = row_first(row, row->warm);

    if (stack->slab->n_listed == stack->slab->length) {
        cool_slab(stacks, stack->slab, end);
        return;
    }
    cool(stacks, stack, end);
    madvise(task__stack_low(stack), stacks->size + stacks->page, MADV_DONTNEED);
    list_prepend(&stacks->cold, &stack->node);
}

/* A word of a stack, which may be in no frame any more. */
static uintptr_t peek(const uintptr_t *word)
{
    uintptr_t value = *word;

    (void)VALGRIND_MAKE_MEM_DEFINED(&value, sizeof value);
    return value;
}

/* The lowest page that is resident, if any is besides the topmost, which is.
 * Between them may be some that are not: those of a large array. */
static char *lowest_page(const struct stack *stack)
{
    enum { MANY = 512 }; /* looked at by one call */
    size_t page = stack->slab->stacks->page;
    char *top = task__stack_end(stack) - page;
    unsigned char resident[MANY];

    for (char *low = task__stack_low(stack); low < top; low += MANY * page) {
        size_t n = (size_t)(top - low) / page;

        n = n < MANY ? n : MANY;
        if (mincore(low, n * page, resident))
            break;
        for (size_t i = 0; i < n; i++)
            if (resident[i] & 1)
                return low + i * page;
    }
    return top;
}

/* How far down a stack was written, told from a page on; most of it is
 * zeros. */
static size_t depth_from(const struct stack *stack, const char *from,
                         const char *end)
{
    const uintptr_t *word = (const uintptr_t *)(const void *)from;
    const uintptr_t *last = (const uintptr_t *)(const void *)end;

    VALGRIND_DISABLE_ERROR_REPORTING;
    while (word < last && !peek(word))
        word++;
    VALGRIND_ENABLE_ERROR_REPORTING;
    return word < last ? (size_t)(stack->top - (const char *)word) : 0;
}

/*
 * Pages that were never touched are not resident; and memory that was never
 * written holds zeros, but for a page that holds nothing else: something was
 * written there. Both are told from below. Where the lowest page is resident,
 * all may be, whether touched or not, as memory is locked or the kernel does
 * not tell: then zeros tell nothing.
 */
size_t task__stack_used(const struct stack *stack)
{
    const struct stacks *stacks = stack->slab->stacks;
    const char *low = lowest_page(stack);
    bool may_be_all = low == task__stack_low(stack);
    size_t used = depth_from(
        stack, low, may_be_all ? task__stack_end(stack) : low + stacks->page);

    if (!used && !may_be_all)
        used = (size_t)(stack->top - low);
    return used < stacks->size ? used : stacks->size;
}
