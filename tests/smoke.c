/*
 * smoke: the public interface on one page, for machines without cmocka, such as
 * an emulated one. What it checks is what a broken switch, stack or clock would
 * break first. Prints nothing and exits with 0 if all is well.
 */
#include <errno.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>

#define EXPECT(condition) expect((condition), #condition, __LINE__)

static void expect(bool holds, const char *condition, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, line, condition);
    exit(EXIT_FAILURE);
}

/* What the tasks of a test did, in order: a letter each. */
static char record[64];

static void note(char letter)
{
    size_t n = strlen(record);

    EXPECT(n + 1 < sizeof record);
    record[n] = letter;
    record[n + 1] = '\0';
}

static int return_number(void *arg)
{
    return *(const int *)arg;
}

static int create_and_await(void *arg)
{
    int numbers[] = {7, -EIO, 0};
    int n = (int)(sizeof numbers / sizeof *numbers);

    (void)arg;
    for (int i = 0; i < n; i++) {
        EXPECT(task_await(task_create(return_number, &numbers[i])) ==
               numbers[i]);
        EXPECT(task_await(create_task(return_number, &numbers[i])) ==
               numbers[i]);
    }
    EXPECT(task_await(NULL) == -ENOMEM);
    return 0;
}

static int note_twice(void *arg)
{
    const char *letter = arg;

    note(*letter);
    EXPECT(task_sleep(0) == 0);
    note(*letter);
    return 0;
}

static int take_turns(void *arg)
{
    char a = 'a';
    char b = 'b';
    struct task *first = task_create(note_twice, &a);
    struct task *second = task_create(note_twice, &b);

    (void)arg;
    note('m');
    EXPECT(task_await(first) == 0);
    EXPECT(task_await(second) == 0);
    EXPECT(strcmp(record, "mabab") == 0);
    return 0;
}

/* The only task that is ready suspends in its first step. */
static int yield_alone(void *arg)
{
    char c = 'c';

    (void)arg;
    record[0] = '\0';
    EXPECT(task_await(task_create(note_twice, &c)) == 0);
    EXPECT(strcmp(record, "cc") == 0);
    return 0;
}

static int sleep_for_ever(void *arg)
{
    (void)arg;
    EXPECT(task_sleep(TASK_FOREVER) == -ECANCELED);
    EXPECT(task_sleep(0) == 0); /* delivered once */
    return -ECANCELED;
}

static int cancel(void *arg)
{
    struct task *parked = task_create(sleep_for_ever, NULL);
    struct task *unstarted = task_create(sleep_for_ever, NULL);

    (void)arg;
    EXPECT(task_cancel(unstarted));
    EXPECT(task_await(unstarted) == -ECANCELED);
    EXPECT(!task_done(parked));
    EXPECT(task_cancel_await(parked) == -ECANCELED);
    return 0;
}

/*
 * Twelve doubles that live across switches: more than there are callee-saved
 * floating-point registers. The loop leaves them no time to go to memory.
 */
static int sum_across_switches(void *arg)
{
    double x = *(const int *)arg;
    double a = x + 1, b = x + 2, c = x + 3, d = x + 4, e = x + 5, f = x + 6;
    double g = x + 7, h = x + 8, i = x + 9, j = x + 10, k = x + 11, l = x + 12;

    for (int n = 0; n < 10; n++) {
        EXPECT(task_yield() == 0);
        a += 1, b += 1, c += 1, d += 1, e += 1, f += 1;
        g += 1, h += 1, i += 1, j += 1, k += 1, l += 1;
    }
    EXPECT(a + b + c + d + e + f + g + h + i + j + k + l ==
           12 * x + 78 + 12 * 10);
    return 0;
}

static int print_across_switches(void *arg)
{
    double number = *(const int *)arg + 0.25;
    long double precise = (long double)number * 3;
    char wanted[64];
    char text[64];

    snprintf(wanted, sizeof wanted, "%.3f %.3Lf", number, precise);
    EXPECT(task_yield() == 0);
    snprintf(text, sizeof text, "%.3f %.3Lf", number, precise);
    EXPECT(strcmp(text, wanted) == 0);
    return 0;
}

/* Runs n of them, with the numbers from 0, at once. */
static void run_many(task_fn *fn, int n)
{
    int *numbers = calloc((size_t)n, sizeof *numbers);
    struct task **tasks = calloc((size_t)n, sizeof(struct task *));

    EXPECT(numbers != NULL && tasks != NULL);
    for (int i = 0; i < n; i++) {
        numbers[i] = i;
        tasks[i] = task_create(fn, &numbers[i]);
    }
    for (int i = 0; i < n; i++)
        EXPECT(task_await(tasks[i]) == 0);
    free(tasks);
    free(numbers);
}

static int keep_registers(void *arg)
{
    (void)arg;
    run_many(sum_across_switches, 3);
    run_many(print_across_switches, 3);
    return 0;
}

static int sleep_backwards(void *arg)
{
    return task_sleep((1000 - *(const int *)arg) * TASK_MILLISECOND);
}

static int be_many(void *arg)
{
    (void)arg;
    run_many(sum_across_switches, 2000);
    run_many(sleep_backwards, 1000);
    return 0;
}

/* Fills a good part of a stack, so that stacks that overlap are found out. */
static int fill_stack(void *arg)
{
    volatile unsigned char area[32 * 1024];
    unsigned char mine = (unsigned char)(*(const int *)arg + 1);

    for (size_t i = 0; i < sizeof area; i++)
        area[i] = mine;
    EXPECT(task_yield() == 0);
    for (size_t i = 0; i < sizeof area; i++)
        EXPECT(area[i] == mine);
    return 0;
}

static int keep_stacks(void *arg)
{
    (void)arg;
    run_many(fill_stack, 50);
    return 0;
}

static int keep_errno(void *arg)
{
    int number = *(const int *)arg;

    errno = number;
    EXPECT(task_yield() == 0);
    EXPECT(errno == number);
    return 0;
}

static int have_errno_each(void *arg)
{
    (void)arg;
    run_many(keep_errno, 3);
    return 0;
}

/* The first that comes rounds up; whoever comes then finds the usual mode. */
static int keep_rounding(void *arg)
{
    int mode = *(const int *)arg;

    EXPECT(fegetround() == FE_TONEAREST);
    EXPECT(fesetround(mode) == 0);
    for (int i = 0; i < 3; i++) {
        EXPECT(task_yield() == 0);
        EXPECT(fegetround() == mode);
    }
    return 0;
}

static int have_rounding_each(void *arg)
{
    int modes[] = {FE_UPWARD, FE_TONEAREST, FE_TOWARDZERO};
    struct task *tasks[3];

    (void)arg;
    for (int i = 0; i < 3; i++)
        tasks[i] = task_create(keep_rounding, &modes[i]);
    EXPECT(task_gather(tasks, 3, NULL) == 0);
    EXPECT(fegetround() == FE_TONEAREST);
    EXPECT(task_await(task_create(keep_rounding, &modes[1])) == 0);
    return 0;
}

static int sleep_long(void *arg)
{
    task_time start = loop_time();

    (void)arg;
    EXPECT(task_sleep(1000 * TASK_HOUR) == 0);
    EXPECT(loop_time() - start == 1000 * TASK_HOUR);
    return 0;
}

static int sleep_really(void *arg)
{
    task_time start = loop_time();

    (void)arg;
    EXPECT(task_sleep(2 * TASK_MILLISECOND) == 0);
    EXPECT(loop_time() - start >= 2 * TASK_MILLISECOND);
    return 0;
}

static int wait_in_vain(void *arg)
{
    (void)arg;
    return task_sleep(TASK_FOREVER);
}

static void ignore_report(const struct loop_error *error, void *arg)
{
    (void)error;
    (void)arg;
}

int main(void)
{
    task_fn *const tests[] = {
        create_and_await,   take_turns, yield_alone, cancel,
        keep_registers,     be_many,    keep_stacks, have_errno_each,
        have_rounding_each, sleep_long};
    struct loop_options options = {.clock = LOOP_CLOCK_VIRTUAL,
                                   .on_error = ignore_report};
    struct loop *loop = loop_new(&options);

    EXPECT(loop != NULL);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        EXPECT(loop_run_main(loop, tests[i], NULL) == 0);
    EXPECT(loop_run_main(loop, wait_in_vain, NULL) == -EDEADLK);
    EXPECT(loop_free(loop) == 0);

    EXPECT(loop_run(yield_alone, NULL) == 0); /* in a fresh loop */
    EXPECT(loop_run(sleep_really, NULL) == 0);
    EXPECT(task_sleep(0) == -EPERM);
    EXPECT(loop_current() == NULL);
    return 0;
}
