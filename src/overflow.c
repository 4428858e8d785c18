/*
 * A task that runs over its stack: the fault on its guard page is told of, with
 * the task's name, before the process dies of it as it would have done.
 *
 * The handlers of SIGSEGV and SIGBUS belong to the process. Ours stand there
 * from the first run of a loop until the last loop is gone, with the mask and
 * flags of those that were there before, to which every fault is passed on.
 * Whoever sets a handler later has it: then ours are left out, for good, since
 * nobody can tell whether that one passes faults on to ours.
 *
 * There is no room for a handler on a stack that is full: each thread that runs
 * a loop, and has no alternate stack for signals, gets the loop's meanwhile.
 */
#include "overflow.h"

#include "handler.h"
#include "loop.h"
#include "say_task.h"
#include "symbols.h"
#include "trace.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

struct trap {
    int signo;
    struct sigaction former;
    bool is_set;
    bool is_replaced; /* somebody else has set a handler over ours */
};

static struct trap traps[] = {{.signo = SIGSEGV}, {.signo = SIGBUS}};
enum { TRAPS = sizeof traps / sizeof traps[0] };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t n_loops; /* that have run and are not freed */

enum { SIGNAL_ROOM = 64 << 10 };

static bool is_stack_of(const struct task *task, const struct stack *stack)
{
    return task && !task->done && !task->future && !is_new(task) &&
           task->stack == stack;
}

static struct stack *find_stack(const struct loop *loop, uintptr_t address)
{
    struct stack *stack = NULL;

    for (const struct stacks *at = &loop->stacks; at && !stack; at = at->next)
        stack = task__stacks_find(at, address);
    return stack;
}

/* Who runs there, current or in the midst of a switch; NULL: a task that has
 * ended, and what its end causes. */
static const struct task *find_task(const struct loop *loop,
                                    const struct stack *stack)
{
    const struct task *task = loop->scheduler.current;

    if (is_stack_of(task, stack))
        return task;
    for (task = NULL; (task = task__next_live(loop, task));)
        if (is_stack_of(task, stack))
            return task;
    return NULL;
}

/*
 * The stack that this address is the guard of, if it is the one that is run on.
 * In the midst of a switch that need not be the current task's: the stack
 * pointer tells it from one that something wild has hit.
 */
static const struct stack *find_full(const struct loop *loop, uintptr_t address,
                                     uintptr_t sp)
{
    const struct stack *stack = find_stack(loop, address);

    if (stack && task__stack_guards(stack, address) &&
        (find_stack(loop, sp) == stack ||
         is_stack_of(loop->scheduler.current, stack)))
        return stack;
    return NULL;
}

/*
 * The current task's stack, if it is run on no more: a frame that is larger
 * than the guard page has skipped that, and whatever lies below was not there.
 */
static const struct stack *find_left(const struct loop *loop, uintptr_t address,
                                     uintptr_t sp)
{
    enum { FRAME = 64 << 20, BELOW_SP = 4096 };
    const struct task *task = loop->scheduler.current;
    uintptr_t low;

    if (!task || !is_stack_of(task, task->stack))
        return NULL;
    low = (uintptr_t)task__stack_low(task->stack);
    return sp < low && low - sp < FRAME && address < low &&
                   address >= sp - BELOW_SP
               ? task->stack
               : NULL;
}

static void tell(const struct task *task, const struct stack *stack,
                 uintptr_t pc)
{
    struct sentence sentence;

    sentence_clear(&sentence);
    task__say(&sentence, "libtask: ");
    if (task)
        task__say_task(&sentence, task);
    else
        task__say(&sentence, "what the end of a task called");
    task__say(&sentence, " ran over its stack of ");
    task__say_number(&sentence, task__stack_size(stack) >> 10);
    task__say(&sentence, " KiB");
    if (task) {
        task__say(&sentence, "; its function is ");
        task__symbols_say(&sentence, (uintptr_t)task->fn);
    }
    if (pc) {
        task__say(&sentence, task ? ", it was in " : "; it was in ");
        task__symbols_say(&sentence, pc);
    }
    task__say(&sentence, "\n");
    task__say_out(&sentence);
}

/* Once for a stack: whoever is told of the fault may have it happen again. */
static void look_for_overflow(struct loop *loop, const siginfo_t *info,
                              const void *context)
{
    uintptr_t sp = SIGNAL_SP(context);
    const struct stack *stack = find_full(loop, (uintptr_t)info->si_addr, sp);

    if (!stack)
        stack = find_full(loop, sp, sp);
    if (!stack)
        stack = find_left(loop, (uintptr_t)info->si_addr, sp);
    if (!stack || stack == loop->overflowed)
        return;
    loop->overflowed = stack;
    tell(find_task(loop, stack), stack, SIGNAL_PC(context));
    task__trace_die(loop);
}

/*
 * What the former handler would have done. A fault comes again when this
 * returns: so its default effect is had by leaving that in force. So is being
 * ignored, which the kernel does not do to a fault.
 */
static void pass_on(struct trap *trap, siginfo_t *info, void *context,
                    bool is_sent)
{
    struct sigaction former = trap->former;

    if ((unsigned)former.sa_flags & SA_RESETHAND &&
        former.sa_handler != SIG_IGN)
        trap->former = (struct sigaction){.sa_handler = SIG_DFL};
    if (handler_call(&former, trap->signo, info, context))
        return;
    if (former.sa_handler == SIG_DFL || !is_sent) {
        if (scheduler_current())
            task__trace_die(loop_of(scheduler_current()));
        sigaction(trap->signo, &former, NULL);
        if (is_sent)
            raise(trap->signo);
    }
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    struct scheduler *scheduler = scheduler_current();
    bool is_sent = info->si_code <= 0;
    int saved_errno = errno;

    if (scheduler && !is_sent)
        look_for_overflow(loop_of(scheduler), info, context);
    errno = saved_errno;
    for (size_t i = 0; i < TRAPS; i++)
        if (traps[i].signo == signo)
            pass_on(&traps[i], info, context, is_sent);
}

static void set(struct trap *trap)
{
    struct sigaction ours = {.sa_sigaction = on_fault};
    struct sigaction now;

    if (sigaction(trap->signo, NULL, &now) || handler_is(&now, on_fault) ||
        (trap->is_replaced && now.sa_handler != SIG_DFL))
        return;
    trap->former = now;
    ours.sa_mask = now.sa_mask;
    ours.sa_flags =
        (now.sa_flags & (SA_NODEFER | SA_RESTART)) | SA_SIGINFO | SA_ONSTACK;
    trap->is_set = !sigaction(trap->signo, &ours, NULL);
}

static void unset(struct trap *trap)
{
    struct sigaction now;

    if (!trap->is_set || sigaction(trap->signo, NULL, &now))
        return;
    trap->is_replaced = !handler_is(&now, on_fault);
    if (!trap->is_replaced)
        trap->is_set = sigaction(trap->signo, &trap->former, NULL);
}

static void count_loop(struct loop *loop)
{
    loop->is_trapped = true;
    pthread_mutex_lock(&mutex);
    if (!n_loops++)
        for (size_t i = 0; i < TRAPS; i++)
            set(&traps[i]);
    pthread_mutex_unlock(&mutex);
}

/* NULL: no memory; then the process dies of an overflow without a word. */
static void *map_signal_stack(void)
{
    void *stack = mmap(NULL, SIGNAL_ROOM, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return stack == MAP_FAILED ? NULL : stack;
}

void task__overflow_enter(struct loop *loop)
{
    stack_t now;

    if (!loop->is_trapped)
        count_loop(loop);
    loop->lends_signal_stack = false;
    if (sigaltstack(NULL, &now) || !(now.ss_flags & SS_DISABLE))
        return;
    if (!loop->signal_stack)
        loop->signal_stack = map_signal_stack();
    if (!loop->signal_stack)
        return;
    now = (stack_t){.ss_sp = loop->signal_stack, .ss_size = SIGNAL_ROOM};
    loop->lends_signal_stack = !sigaltstack(&now, NULL);
}

void task__overflow_leave(struct loop *loop)
{
    const stack_t none = {.ss_flags = SS_DISABLE, .ss_size = SIGNAL_ROOM};
    stack_t now;

    if (loop->lends_signal_stack && !sigaltstack(NULL, &now) &&
        now.ss_sp == loop->signal_stack)
        sigaltstack(&none, NULL);
    loop->lends_signal_stack = false;
}

void task__overflow_forget(struct loop *loop)
{
    if (!loop->is_trapped)
        return;
    loop->is_trapped = false;
    pthread_mutex_lock(&mutex);
    if (!--n_loops)
        for (size_t i = 0; i < TRAPS; i++)
            unset(&traps[i]);
    pthread_mutex_unlock(&mutex);
}

void task__overflow_destroy(struct loop *loop)
{
    task__overflow_forget(loop);
    if (loop->signal_stack)
        munmap(loop->signal_stack, SIGNAL_ROOM);
}

void task__overflow_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void task__overflow_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}
