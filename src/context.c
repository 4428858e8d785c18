/*
 * How a coroutine begins, and what is out of line of the switch: floating-point
 * modes, the hooks of the sanitizers and of Valgrind.
 */
#include "context.h"

#include <pthread.h>
#include <signal.h>
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
    struct context back; /* where the coroutine was begun */
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

struct contexts task__context_change_modes(struct context *from,
                                           struct context *to)
{
    uint32_t mxcsr = __builtin_ia32_stmxcsr();

    if (from->x87 == X87_PLAIN)
        plain_mxcsr = mxcsr;
    else
        from->mxcsr = (uint16_t)mxcsr;
    task__context_set_modes(to);
    return (struct contexts){from, to};
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

/* Where a backtrace ends: in a function that nobody called. */
#if defined(__x86_64__)
#define END_OF_BACKTRACE() __asm__ volatile(".cfi_undefined rip")
#elif defined(__aarch64__)
#define END_OF_BACKTRACE() __asm__ volatile(".cfi_undefined x30")
#else
#define END_OF_BACKTRACE() ((void)0)
#endif

static void enter(void)
{
    struct context *context = beginning.context;
    void (*entry)(void *) = beginning.entry;
    void *arg = beginning.arg;

    END_OF_BACKTRACE();
    arrive_asan(context, &beginning.back);
    context_switch(context, &beginning.back);
    entry(arg);
    __builtin_trap();
}

/* Have it begin on that stack in `enter`. */
static void make(ucontext_t *made, char *low, size_t size)
{
    made->uc_stack.ss_sp = low;
    made->uc_stack.ss_size = size;
    made->uc_link = NULL;
    makecontext(made, enter, 0);
}

/* Enter it, until it comes back for the first time. */
#if defined(CONTEXT_IS_UCONTEXT)

static void begin(struct context *context, char *low, size_t size)
{
    ucontext_t made;
    ucontext_t here;

    getcontext(&made);
    make(&made, low, size);
    beginning.back.sp = &here;
    task__context_leave(&beginning.back, context);
    swapcontext(&here, &made);
    task__context_arrive(&beginning.back);
}

#else

/* What makecontext asks for, and puts nothing of into the frame: had once, as
 * it takes a system call. (So would swapcontext.) */
static ucontext_t blank;
static pthread_once_t blank_once = PTHREAD_ONCE_INIT;

static void get_blank(void)
{
    getcontext(&blank);
}

static void begin(struct context *context, char *low, size_t size)
{
    ucontext_t made;

    pthread_once(&blank_once, get_blank);
    made = blank;
    make(&made, low, size);
    context_take(context, &made);
    context_switch(&beginning.back, context);
}

#endif

unsigned task__context_begin(struct context *context, char *low, size_t size,
                             void (*entry)(void *arg), void *arg)
{
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

    beginning.context = context;
    beginning.entry = entry;
    beginning.arg = arg;
    begin(context, low, size);
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
