/*
 * How a coroutine begins, and what is out of line of the switch: floating-point
 * modes, the hooks of the sanitizers and of Valgrind.
 */
#include "context.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <ucontext.h>

#if HAVE_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if HAVE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* What a beginning coroutine finds when it is entered. */
static THREAD_LOCAL struct beginning {
    struct context *context;
    void (*entry)(void *arg);
    void *arg;
    ucontext_t *made;    /* by makecontext: where to enter */
    ucontext_t *here;    /* what swapcontext leaves */
    struct context back; /* where the coroutine was begun */
    bool entered;
} beginning;

#if HAVE_ASAN

/* The stack that this thread is on; of its first one ASan tells when left. */
static THREAD_LOCAL struct {
    const void *low;
    size_t size;
} stack;

static void leave_asan(struct context *from, struct context *to)
{
    from->low = stack.low;
    from->size = stack.size;
    stack.low = to->low;
    stack.size = to->size;
    __sanitizer_start_switch_fiber(&from->fake_stack, to->low, to->size);
}

static void arrive_asan(struct context *self, struct context *left)
{
    __sanitizer_finish_switch_fiber(self->fake_stack, left ? &left->low : NULL,
                                    left ? &left->size : NULL);
}

#else
#define leave_asan(from, to) ((void)(from), (void)(to))
#define arrive_asan(self, left) ((void)(self), (void)(left))
#endif

#if HAVE_ASAN || HAVE_TSAN

void task__context_leave(struct context *from, struct context *to)
{
    leave_asan(from, to);
#if HAVE_TSAN
    from->fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
}

void task__context_arrive(struct context *self)
{
    arrive_asan(self, NULL);
}

#endif

#if defined(CONTEXT_HAS_MODES)

/* The MXCSR of all that have the plain x87 modes, as far as it was seen. */
static THREAD_LOCAL uint32_t plain_mxcsr = 0x1f80;

void task__context_note_modes(void)
{
    uint16_t x87;

    __asm__ volatile("fnstcw %0" : "=m"(x87));
    if (x87 == X87_PLAIN)
        plain_mxcsr = __builtin_ia32_stmxcsr();
}

void task__context_set_modes(const struct context *model)
{
    /* Above what C can set there may be a mode of AMD's: it stays as it is. */
    uint32_t rest = __builtin_ia32_stmxcsr() & ~UINT32_C(0xffff);

    __asm__ volatile("fldcw %0" : : "m"(model->x87));
    __builtin_ia32_ldmxcsr(model->x87 == X87_PLAIN ? plain_mxcsr
                                                   : rest | model->mxcsr);
}

struct context *task__context_change_modes(struct context *from,
                                           struct context *to)
{
    uint32_t mxcsr = __builtin_ia32_stmxcsr();

    if (from->x87 == X87_PLAIN)
        plain_mxcsr = mxcsr;
    else
        from->mxcsr = (uint16_t)mxcsr;
    task__context_set_modes(to);
    return to;
}

#endif

#if defined(CONTEXT_IS_UCONTEXT)

THREAD_LOCAL fenv_t task__context_modes;
THREAD_LOCAL int task__context_rounding = FE_TONEAREST;

/* Never inlined: a ucontext_t is large, and has to be gone when this returns.
 * The signal mask goes along, which is the thread's. */
NEVER_INLINE void task__context_jump(struct context *from, struct context *to)
{
    ucontext_t here;
    ucontext_t *there;

    from->sp = &here;
    there = to->sp; /* which may be that one: to itself */
    pthread_sigmask(SIG_BLOCK, NULL, &there->uc_sigmask);
    swapcontext(&here, there);
}

#endif

static void enter(void)
{
    struct context *context = beginning.context;
    void (*entry)(void *) = beginning.entry;
    void *arg = beginning.arg;

    CONTEXT_END_OF_BACKTRACE();
    arrive_asan(context, &beginning.back);
    context_switch(context, &beginning.back);
    entry(arg);
    __builtin_trap();
}

/*
 * Enter a coroutine that was made by makecontext, until it comes back from
 * there for the first time.
 *
 * swapcontext saves a place that only swapcontext can go back to. So this
 * first switches to itself, which marks the place that `enter` comes back to:
 * the code below runs twice, and keeps nothing in its frame meanwhile.
 */
static NEVER_INLINE void enter_once(void)
{
    beginning.entered = false;
#if defined(CONTEXT_IS_UCONTEXT)
    beginning.back.sp = beginning.here;
#else
    context_jump(&beginning.back, &beginning.back);
#endif
    if (!beginning.entered) {
        beginning.entered = true;
        task__context_leave(&beginning.back, beginning.context);
        swapcontext(beginning.here, beginning.made);
        __asm__ volatile(""); /* a call, not a jump that gives the frame up */
    }
    task__context_arrive(&beginning.back);
}

unsigned task__context_begin(struct context *context, char *low, size_t size,
                             void (*entry)(void *arg), void *arg)
{
    ucontext_t made;
    ucontext_t here;

    memset(context, 0, sizeof *context);
    ASAN_UNPOISON(low, size);
#if HAVE_ASAN
    context->low = low;
    context->size = size;
#endif
#if HAVE_TSAN
    context->fiber = __tsan_create_fiber(0);
#endif
    unsigned stack_id = VALGRIND_STACK_REGISTER(low, low + size);

    getcontext(&made);
    made.uc_stack.ss_sp = low;
    made.uc_stack.ss_size = size;
    made.uc_link = NULL;
    makecontext(&made, enter, 0);

    beginning.context = context;
    beginning.entry = entry;
    beginning.arg = arg;
    beginning.made = &made;
    beginning.here = &here;
    enter_once();
    beginning.made = NULL;
    beginning.here = NULL;
    return stack_id;
}

void task__context_end(struct context *context, unsigned stack_id)
{
#if HAVE_TSAN
    __tsan_destroy_fiber(context->fiber);
#endif
    VALGRIND_STACK_DEREGISTER(stack_id);
    (void)context;
    (void)stack_id;
}
