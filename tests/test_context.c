#include "context.h"

#include "bodies.h"
#include "child.h"
#include "record.h"

#include <alloca.h>
#include <fenv.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Coroutines by the internal interface: each has a stack of its own, and a
 * function that is called each time it is resumed.
 */
enum { STACK = 64 << 10, N_COROUTINES = 3 };

struct coroutine {
    struct context context;
    char *stack;
    unsigned stack_id;
    void (*fn)(struct coroutine *self);
    size_t n_resumed;
};

static struct context home;
static struct coroutine coroutines[N_COROUTINES];

static void go_home(struct coroutine *self)
{
    context_switch(&self->context, &home);
}

static void resume(struct coroutine *coroutine)
{
    context_switch(&home, &coroutine->context);
}

static void run(void *arg)
{
    struct coroutine *self = arg;

    for (;;) {
        self->n_resumed++;
        self->fn(self);
        go_home(self);
    }
}

static void begin(struct coroutine *self, void (*fn)(struct coroutine *self))
{
    self->fn = fn;
    self->n_resumed = 0;
    self->stack_id =
        task__context_begin(&self->context, self->stack, STACK, run, self);
}

static void end(struct coroutine *self)
{
    task__context_end(&self->context, self->stack_id);
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_COROUTINES; i++) {
        void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (stack == MAP_FAILED)
            return -1;
        coroutines[i].stack = stack;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_COROUTINES; i++)
        munmap(coroutines[i].stack, STACK);
    return 0;
}

static void do_nothing(struct coroutine *self)
{
    (void)self;
}

static void a_coroutine_does_not_run_when_it_is_begun(void **state)
{
    (void)state;
    begin(&coroutines[0], do_nothing);
    assert_int_equal(coroutines[0].n_resumed, 0);
    end(&coroutines[0]);
}

static void a_coroutine_goes_on_where_it_left(void **state)
{
    size_t n = test_rounds(100000);

    (void)state;
    begin(&coroutines[0], do_nothing);
    for (size_t i = 0; i < n; i++)
        resume(&coroutines[0]);
    assert_int_equal(coroutines[0].n_resumed, n);
    end(&coroutines[0]);
}

static void go_to_the_next(struct coroutine *self)
{
    if (self + 1 < coroutines + N_COROUTINES)
        context_switch(&self->context, &self[1].context);
}

static void coroutines_switch_to_each_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_COROUTINES; i++)
        begin(&coroutines[i], go_to_the_next);
    resume(&coroutines[0]); /* who goes to 1, who goes to 2, who goes home */
    resume(&coroutines[0]); /* goes home by itself */
    resume(&coroutines[1]);
    for (size_t i = 0; i < N_COROUTINES; i++) {
        assert_int_equal(coroutines[i].n_resumed, 1);
        end(&coroutines[i]);
    }
}

static struct coroutine *begun_inside;

static void begin_another(struct coroutine *self)
{
    (void)self;
    begin(begun_inside, do_nothing);
}

static void a_coroutine_may_begin_another(void **state)
{
    (void)state;
    begun_inside = &coroutines[1];
    begin(&coroutines[0], begin_another);
    resume(&coroutines[0]);
    resume(&coroutines[1]);
    assert_int_equal(coroutines[0].n_resumed, 1);
    assert_int_equal(coroutines[1].n_resumed, 1);
    end(&coroutines[0]);
    end(&coroutines[1]);
}

static void a_stack_may_be_begun_on_again(void **state)
{
    (void)state;
    for (size_t i = 1; i <= 100; i++) {
        begin(&coroutines[0], do_nothing);
        resume(&coroutines[0]);
        assert_int_equal(coroutines[0].n_resumed, 1);
        end(&coroutines[0]);
    }
}

static const char *frame;

static void note_frame(struct coroutine *self)
{
    (void)self;
    frame = __builtin_frame_address(0);
}

static void a_coroutine_runs_at_the_top_of_its_stack(void **state)
{
    (void)state;
    begin(&coroutines[0], note_frame);
    resume(&coroutines[0]);
    assert_in_range((uintptr_t)frame,
                    (uintptr_t)coroutines[0].stack + STACK - 4096,
                    (uintptr_t)coroutines[0].stack + STACK);
    end(&coroutines[0]);
}

/*
 * More numbers that live across switches than there are registers that a call
 * keeps; optimised, they go to memory only if they must.
 */
static uint64_t sum;

static void count_in_registers(struct coroutine *self)
{
    uint64_t x = self->n_resumed + (uint64_t)(self - coroutines);
    uint64_t a = x, b = x + 1, c = x + 2, d = x + 3, e = x + 4, f = x + 5;
    uint64_t g = x + 6, h = x + 7, i = x + 8, j = x + 9;
    double p = (double)x, q = p + 1, r = p + 2, s = p + 3, t = p + 4;

    for (int n = 0; n < 100; n++) {
        go_home(self);
        a++, b += a, c ^= b, d += c, e ^= d, f += e, g ^= f, h += g, i ^= h;
        j += i, p += 1, q += 2, r += 3, s += 4, t += 5;
    }
    sum = a + b + c + d + e + f + g + h + i + j;
    sum += (uint64_t)(p + q + r + s + t);
}

/* The same without a switch. */
static uint64_t expected_sum(uint64_t x)
{
    uint64_t v[10];
    uint64_t total = 0;

    for (size_t k = 0; k < 10; k++)
        v[k] = x + k;
    for (int n = 0; n < 100; n++) {
        v[0]++;
        for (size_t k = 1; k < 10; k++)
            v[k] = k == 1 || k % 2 ? v[k] + v[k - 1] : v[k] ^ v[k - 1];
    }
    for (size_t k = 0; k < 10; k++)
        total += v[k];
    return total + 5 * x + 10 + 1500;
}

static void numbers_live_across_switches(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_COROUTINES; i++)
        begin(&coroutines[i], count_in_registers);
    for (int n = 0; n < 100; n++)
        for (size_t i = 0; i < N_COROUTINES; i++)
            resume(&coroutines[i]);
    for (size_t i = 0; i < N_COROUTINES; i++) {
        resume(&coroutines[i]);
        assert_int_equal(sum, expected_sum(1 + i));
        end(&coroutines[i]);
    }
}

static bool aligned;

static void check_alignment(struct coroutine *self)
{
    typedef float four __attribute__((vector_size(16)));
    _Alignas(16) volatile char sixteen[16];
    _Alignas(32) volatile char thirty_two[32];
    volatile four vector = {1, 2, 3, 4}; /* an aligned move, or a fault */

    (void)self;
    sixteen[0] = 0;
    thirty_two[0] = 0;
    vector = vector + vector;
    aligned = (uintptr_t)&sixteen % 16 == 0 && (uintptr_t)&vector % 16 == 0 &&
              (uintptr_t)&thirty_two % 32 == 0 && vector[3] == 8;
}

static void a_coroutine_begins_on_an_aligned_stack(void **state)
{
    (void)state;
    aligned = false;
    begin(&coroutines[0], check_alignment);
    resume(&coroutines[0]);
    assert_true(aligned);
    end(&coroutines[0]);
}

/* Tasks, through the public interface. */

/* Runs two of them at the same time; what went wrong is CHECKed. */
static int run_both(void *arg)
{
    task_fn *const *fns = arg;
    struct task *first = task_create(fns[0], NULL);
    struct task *second = task_create(fns[1], NULL);

    CHECK_STATUS(task_await(first), 0);
    CHECK_STATUS(task_await(second), 0);
    return 0;
}

static int run_pair(task_fn *first, task_fn *second)
{
    task_fn *fns[] = {first, second};

    return run_virtual(run_both, fns);
}

static int yield_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        CHECK_STATUS(task_yield(), 0);
    return 0;
}

static int align_in_task(void *arg)
{
    (void)arg;
    check_alignment(NULL);
    return aligned ? 0 : -EFAULT;
}

static void a_task_begins_on_an_aligned_stack(void **state)
{
    (void)state;
    aligned = false;
    assert_int_equal(run_pair(align_in_task, align_in_task), 0);
    assert_true(aligned);
}

/* Yields meanwhile if told to. */
static long double add_thirds(bool yields)
{
    volatile long double third = 1.0L / 3;
    long double total = 0;

    for (int i = 0; i < 300; i++) {
        total += third;
        if (yields)
            CHECK_STATUS(task_yield(), 0);
    }
    return total;
}

static int reckon(void *arg)
{
    long double total = add_thirds(true);

    (void)arg;
    CHECK(total > 99.99L && total == add_thirds(false));
    return 0;
}

static void long_doubles_live_across_switches(void **state)
{
    (void)state;
    assert_int_equal(run_pair(reckon, reckon), 0);
}

static int print_floats(void *arg)
{
    char text[256];

    (void)arg;
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "%f %.3Lf %g %d", 2.5 + i, 1.25L, 1e100, i);
        CHECK_STATUS(task_yield(), 0);
        CHECK(strtod(text, NULL) == 2.5 + i);
        CHECK(strstr(text, " 1.250 1e+100 ") != NULL);
    }
    return 0;
}

static void floats_are_printed_in_tasks(void **state)
{
    (void)state;
    assert_int_equal(run_pair(print_floats, print_floats), 0);
}

static bool holds_only(const unsigned char *bytes, size_t n, int value)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

static int use_alloca(void *arg)
{
    (void)arg;
    for (size_t n = 1; n < 40000; n *= 3) {
        unsigned char *bytes = alloca(n);

        memset(bytes, (int)n % 251, n);
        CHECK_STATUS(task_yield(), 0);
        CHECK(holds_only(bytes, n, (int)n % 251));
    }
    return 0;
}

static void alloca_lives_across_switches(void **state)
{
    (void)state;
    assert_int_equal(run_pair(use_alloca, use_alloca), 0);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wvla"

static int use_array(void *arg)
{
    (void)arg;
    for (size_t n = 1; n < 40000; n *= 3) {
        unsigned char bytes[n];

        memset(bytes, (int)n % 251, n);
        CHECK_STATUS(task_yield(), 0);
        CHECK(holds_only(bytes, n, (int)n % 251));
    }
    return 0;
}

#pragma GCC diagnostic pop

static void arrays_of_variable_length_live_across_switches(void **state)
{
    (void)state;
    assert_int_equal(run_pair(use_array, use_array), 0);
}

/* Goes down until so little of the stack is left, and yields there. */
static int descend(const char *base, size_t depth)
{
    volatile char here[256];
    size_t used = (size_t)(base - (const char *)__builtin_frame_address(0));

    here[0] = (char)depth;
    if (used > TASK_STACK_DEFAULT - 12 * 1024) {
        CHECK_STATUS(task_yield(), 0);
        return 0;
    }

    int status = descend(base, depth + 1);

    CHECK(here[0] == (char)depth);
    return status;
}

static int use_the_whole_stack(void *arg)
{
    (void)arg;
    return descend(__builtin_frame_address(0), 0);
}

static void recursion_goes_nearly_as_deep_as_the_stack(void **state)
{
    (void)state;
    assert_int_equal(run_pair(use_the_whole_stack, use_the_whole_stack), 0);
}

static volatile int depth_left = INT_MAX;

static int recurse_for_ever(void *arg)
{
    volatile char here[1024];

    (void)arg;
    here[0] = 1;
    return --depth_left ? recurse_for_ever(NULL) + here[0] : 0;
}

static void overflow(void *arg)
{
    (void)arg;
    loop_run(recurse_for_ever, NULL);
}

static void recursion_beyond_the_stack_kills_the_process(void **state)
{
    int status = child_run(overflow, NULL);

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static void leave_by_jump(jmp_buf *buffer, int value)
{
    CHECK_STATUS(task_yield(), 0);
    longjmp(*buffer, value);
}

static int jump(void *arg)
{
    jmp_buf buffer;
    volatile int n = 0;

    (void)arg;
    if (setjmp(buffer) < 10) {
        n++;
        CHECK_STATUS(task_yield(), 0);
        leave_by_jump(&buffer, n);
        CHECK(false);
    }
    CHECK_STATUS(n, 10);
    return 0;
}

static void longjmp_works_within_a_task(void **state)
{
    (void)state;
    assert_int_equal(run_pair(jump, jump), 0);
}

/*
 * How many kinds of arithmetic round up: x87 and SSE have modes of their own.
 * By way of integers, since these are what Valgrind rounds, too.
 */
static int count_rounding_up(void)
{
    volatile double number = 1.25;
    volatile long double long_number = 1.25L;

    return (lrint(number) == 2) + (lrintl(long_number) == 2);
}

static int round_up(void *arg)
{
    (void)arg;
    CHECK_STATUS(fegetround(), FE_TONEAREST);
    CHECK_STATUS(count_rounding_up(), 0);
    fesetround(FE_UPWARD);
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(task_yield(), 0);
        CHECK_STATUS(fegetround(), FE_UPWARD);
        CHECK_STATUS(count_rounding_up(), 2);
    }
    return 0;
}

static int round_to_nearest(void *arg)
{
    (void)arg;
    for (int i = 0; i < 15; i++) {
        CHECK_STATUS(fegetround(), FE_TONEAREST);
        CHECK_STATUS(count_rounding_up(), 0);
        CHECK_STATUS(task_yield(), 0);
    }
    return 0;
}

static void a_rounding_mode_is_the_tasks_own(void **state)
{
    (void)state;
    assert_int_equal(run_pair(round_up, round_to_nearest), 0);
    assert_int_equal(run_pair(round_to_nearest, round_up), 0);
    assert_int_equal(run_pair(round_up, round_up), 0);
}

static void a_rounding_mode_does_not_leave_the_loop(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(round_up, NULL), 0);
    assert_int_equal(fegetround(), FE_TONEAREST);
    assert_int_equal(count_rounding_up(), 0);
}

static int leave_it_rounding_up(void *arg)
{
    (void)arg;
    fesetround(FE_UPWARD);
    return 0;
}

static int round_up_then_others(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(task_await(task_create(leave_it_rounding_up, NULL)), 0);
        CHECK_STATUS(task_await(task_create(round_to_nearest, NULL)), 0);
    }
    return 0;
}

static void a_rounding_mode_ends_with_its_task(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(round_up_then_others, NULL), 0);
}

static void check_rounding_in_callback(void *arg)
{
    (void)arg;
    CHECK_STATUS(fegetround(), FE_TONEAREST);
    record("called");
}

static int round_up_and_call(void *arg)
{
    (void)arg;
    fesetround(FE_UPWARD);
    CHECK(loop_call_soon(check_rounding_in_callback, NULL) > 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(fegetround(), FE_UPWARD);
    return 0;
}

static void a_callback_has_the_loops_rounding_mode(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(round_up_and_call, NULL), 0);
    assert_record("called");
}

static int tell_rounding(void *arg)
{
    (void)arg;
    return fegetround();
}

static int tell_childs_rounding(void *arg)
{
    int own = fegetround();
    int childs;

    (void)arg;
    fesetround(FE_TONEAREST);
    childs = task_await(task_create(tell_rounding, NULL));
    return own == childs ? own : -EFAULT;
}

static void a_new_task_has_the_rounding_mode_of_the_loop(void **state)
{
    int mode;

    (void)state;
    fesetround(FE_DOWNWARD);
    mode = run_virtual(tell_childs_rounding, NULL);
    fesetround(FE_TONEAREST);
    assert_int_equal(mode, FE_DOWNWARD);
}

#if defined(__SSE__)

enum { FLUSH_TO_ZERO = 0x8000 };

static int leave_it_flushing_to_zero(void *arg)
{
    (void)arg;
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | FLUSH_TO_ZERO);
    return 0;
}

static int check_that_nothing_is_flushed(void *arg)
{
    (void)arg;
    CHECK(!(__builtin_ia32_stmxcsr() & FLUSH_TO_ZERO));
    return 0;
}

static int flush_then_another(void *arg)
{
    CHECK_STATUS(task_await(task_create(leave_it_flushing_to_zero, arg)), 0);
    return task_await(task_create(check_that_nothing_is_flushed, arg));
}

/* x87's modes are the loop's all the time. */
static void what_sse_has_of_its_own_ends_with_its_task(void **state)
{
    int status;

    (void)state;
    fesetround(FE_DOWNWARD);
    status = run_virtual(flush_then_another, NULL);
    fesetround(FE_TONEAREST);
    assert_int_equal(status, 0);
}

#endif

static int keep_errno(void *arg)
{
    static int last;
    int number = ++last;

    (void)arg;
    CHECK_STATUS(errno, 0);
    errno = number;
    for (int i = 0; i < 10; i++) {
        CHECK_STATUS(task_sleep(i), 0);
        CHECK_STATUS(errno, number);
    }
    return 0;
}

static void errno_is_the_tasks_own(void **state)
{
    (void)state;
    assert_int_equal(run_pair(keep_errno, keep_errno), 0);
}

static int set_errno(void *arg)
{
    (void)arg;
    errno = ERANGE;
    return 0;
}

static int create_beside_errno(void *arg)
{
    struct task *task;

    (void)arg;
    errno = EDOM;
    task = task_create(set_errno, NULL);
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(errno, EDOM);
    task =
        task_create_with(set_errno, NULL, &(struct task_options){.eager = 1});
    CHECK_STATUS(errno, EDOM);
    CHECK_STATUS(task_await(task), 0);
    return 0;
}

static void another_tasks_errno_is_not_seen_after_an_await(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(create_beside_errno, NULL), 0);
}

static int block_a_signal(void *arg)
{
    sigset_t set;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK_STATUS(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    return yield_often(NULL);
}

static int see_it_blocked(void *arg)
{
    sigset_t set;

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(sigprocmask(SIG_BLOCK, NULL, &set), 0);
    CHECK(sigismember(&set, SIGUSR2));
    return 0;
}

static void the_signal_mask_is_the_threads(void **state)
{
    sigset_t before;

    (void)state;
#if defined(CONTEXT_IS_UCONTEXT)
    skip(); /* swapcontext has one for each task */
#endif
    sigprocmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(run_pair(block_a_signal, see_it_blocked), 0);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* The end of the process. */

static int exit_pipe[2];

static void tell_of_exit(void)
{
    _exit(write(exit_pipe[1], "!", 1) == 1 ? 7 : 8);
}

static int leave_the_process(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    exit(3);
}

static int exit_in_a_task(void *arg)
{
    (void)arg;
    return task_await(task_create(leave_the_process, NULL));
}

static void run_to_exit(void *arg)
{
    if (arg)
        atexit(tell_of_exit);
    loop_run(exit_in_a_task, NULL);
}

static void exit_in_a_task_runs_what_atexit_was_told(void **state)
{
    char byte = 0;
    int status;

    (void)state;
    assert_int_equal(pipe(exit_pipe), 0);
    status = child_run(run_to_exit, exit_pipe);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_int_equal(read(exit_pipe[0], &byte, 1), 1);
    assert_int_equal(byte, '!');
    close(exit_pipe[0]);
    close(exit_pipe[1]);
}

static void exit_in_a_task_gives_the_status(void **state)
{
    int status;

    (void)state;
#if HAVE_ASAN
    skip(); /* at exit it looks for leaks, on the task's stack only */
#endif
    status = child_run(run_to_exit, NULL);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
}

static int print_and_exit(void *arg)
{
    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    printf("unfinished line");
    exit(3);
}

static void run_into_a_pipe(void *arg)
{
    (void)arg;
    dup2(exit_pipe[1], STDOUT_FILENO);
    loop_run(print_and_exit, NULL);
}

static void exit_in_a_task_writes_what_stdio_holds(void **state)
{
    char text[20] = "";

    (void)state;
#if HAVE_ASAN
    skip(); /* as above */
#endif
    assert_int_equal(pipe(exit_pipe), 0);
    assert_true(WIFEXITED(child_run(run_into_a_pipe, NULL)));
    close(exit_pipe[1]);
    assert_int_equal(read(exit_pipe[0], text, sizeof text - 1), 15);
    assert_string_equal(text, "unfinished line");
    close(exit_pipe[0]);
}

/* AddressSanitizer's shadow of memory outlives the memory. */
static void run_where_frames_were(void *arg)
{
    size_t size = (size_t)64 << 20;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)arg;
    ASAN_POISON(memory, size);
    if (munmap(memory, size) || loop_run(yields, NULL))
        abort();
}

static void stacks_may_lie_where_frames_were(void **state)
{
    (void)state;
    assert_int_equal(child_run(run_where_frames_were, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_coroutine_does_not_run_when_it_is_begun),
        TEST(a_coroutine_goes_on_where_it_left),
        TEST(coroutines_switch_to_each_other),
        TEST(a_coroutine_may_begin_another),
        TEST(a_stack_may_be_begun_on_again),
        TEST(a_coroutine_runs_at_the_top_of_its_stack),
        TEST(numbers_live_across_switches),
        TEST(a_coroutine_begins_on_an_aligned_stack),
        behaviour(stacks_may_lie_where_frames_were),
        behaviour(a_task_begins_on_an_aligned_stack),
        behaviour(long_doubles_live_across_switches),
        behaviour(floats_are_printed_in_tasks),
        behaviour(alloca_lives_across_switches),
        behaviour(arrays_of_variable_length_live_across_switches),
        behaviour(recursion_goes_nearly_as_deep_as_the_stack),
        behaviour(recursion_beyond_the_stack_kills_the_process),
        behaviour(longjmp_works_within_a_task),
        behaviour(a_rounding_mode_is_the_tasks_own),
        behaviour(a_rounding_mode_does_not_leave_the_loop),
        behaviour(a_rounding_mode_ends_with_its_task),
        behaviour(a_callback_has_the_loops_rounding_mode),
        behaviour(a_new_task_has_the_rounding_mode_of_the_loop),
#if defined(__SSE__)
        behaviour(what_sse_has_of_its_own_ends_with_its_task),
#endif
        behaviour(errno_is_the_tasks_own),
        behaviour(another_tasks_errno_is_not_seen_after_an_await),
        behaviour(the_signal_mask_is_the_threads),
        behaviour(exit_in_a_task_runs_what_atexit_was_told),
        behaviour(exit_in_a_task_gives_the_status),
        behaviour(exit_in_a_task_writes_what_stdio_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
