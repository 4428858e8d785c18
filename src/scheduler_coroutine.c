/*
 * Coroutines: each runs one task after the other on its stack, and waits there
 * for the next while the stack is warm.
 */
#include "scheduler.h"
#include "switch.h"

/* Above the frames of a coroutine: what Valgrind knows its stack by. */
enum { ABOVE_FRAMES = CACHE_LINE };

static inline unsigned *stack_id_of(const struct stack *stack)
{
    return (unsigned *)(void *)(stack->top - ABOVE_FRAMES);
}

static void run_tasks(void *arg);

/* Begin a coroutine on a stack that has none: what runs one task after the
 * other there, and waits for the next while the stack is free and warm. */
static COLD void begin_coroutine(struct stack *stack)
{
    char *low = task__stack_low(stack);
    size_t size = (size_t)(stack->top - low) - ABOVE_FRAMES;

    ASAN_UNPOISON(stack_id_of(stack), ABOVE_FRAMES);
    *stack_id_of(stack) =
        task__context_begin(&stack->context, low, size, run_tasks, NULL);
}

/* Many stacks are not in the cache: of one, the line of the task's first
 * frames, below the coroutine's, is sent for while some others begin. */
static ALWAYS_INLINE void prefetch_stack(const struct stacks *stacks)
{
    const struct stack *stack = stacks_ahead(stacks, TASKS_AHEAD);

    if (stack)
        __builtin_prefetch((char *)stack->context.sp - 1, 1);
}

struct context *task__scheduler_start(struct task *task)
{
    struct stacks *stacks = task->stacks;
    struct stack *stack = stacks_take(stacks);

    if (unlikely(context_is_new(&stack->context)))
        begin_coroutine(stack);
    task->stack = stack;
    context_mark_begun(&task->context, &stack->context);
    if (unlikely(stacks_are_many(stacks)))
        prefetch_stack(stacks);
    return &stack->context;
}

COLD void task__scheduler_clean_next(struct stacks *stacks)
{
    struct stack *stack = stacks_next(stacks);

    if (stack && !stack_is_cold(stack))
        task__stack_clean(stack, context_floor(&stack->context));
}

static COLD void end_coroutine(struct stack *stack)
{
    task__context_end(&stack->context, *stack_id_of(stack));
}

void task__scheduler_destroy_stacks(struct stacks *stacks)
{
    task__stacks_visit(stacks, end_coroutine);
    task__stacks_destroy(stacks);
}

void task__scheduler_cool_stacks(struct stacks *stacks)
{
    task__stacks_cool(stacks, end_coroutine);
}

static void give_back(struct scheduler *scheduler, struct stacks *stacks,
                      struct stack *stack)
{
    if (unlikely(stacks_give(stacks, stack, scheduler->time)))
        task__scheduler_cool_stacks(stacks);
}

/* To the next task: right here, if that one is new and has stacks of the same
 * size. */
static ALWAYS_INLINE void go_on(struct scheduler *scheduler,
                                struct stack *stack)
{
    struct stacks *stacks = stack->slab->stacks;
    struct task *next = choose_next(scheduler);

    if (unlikely(stacks_are_many(stacks)))
        prefetch_rest(scheduler->batch);
    if (next && is_new(next) && next->stacks == stacks) {
        stacks_unreserve(stacks);
        next->stack = stack;
        context_mark_begun(&next->context, &stack->context);
    } else {
        give_back(scheduler, stacks, stack);
        context_switch(&stack->context, context_of(scheduler, next));
    }
}

/*
 * Every coroutine's body: run the task that is current, end it, and go on.
 *
 * Nothing is kept in its frame from one task to the next: that would be one
 * more line of the cache. And its frame ends where a line does, for the sake of
 * what is aligned in it, so that the task's frames are in no more lines than
 * they need.
 *
 * A fork in the task leaves a child in which no loop is current. When it comes
 * back here it goes home, for good: there the inherited run ends.
 */
static void run_tasks(void *arg)
{
    _Alignas(CACHE_LINE) char aligned[CACHE_LINE];

    (void)arg;
    __asm__ volatile("" : : "r"(aligned));
    for (;;) {
        struct scheduler *scheduler = scheduler_current_anew();
        struct task *task = scheduler->current;
        struct stack *stack = task->stack;

        *scheduler->errno_location = 0;
        context_reset_modes(&task->context, &scheduler->home);

        int status = task->fn(task->arg);

        if (likely(scheduler_current_anew() == scheduler))
            scheduler->ended(task, status); /* which calls the user, too */
        if (likely(scheduler_current_anew() == scheduler))
            go_on(scheduler, stack);
        else
            context_switch(&stack->context, &scheduler->home);
    }
}
