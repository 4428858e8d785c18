#include "record.h"

#include "base.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Thread_local char *events;
static _Thread_local size_t length;
static _Thread_local size_t capacity;

static atomic_int failed_checks;
static uint64_t seed_now;

static void make_room(size_t n)
{
    if (length + n <= capacity)
        return;
    capacity = 2 * (length + n);
    events = realloc(events, capacity);
    if (!events)
        abort();
}

void record(const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    make_room((size_t)n + 3);
    if (length)
        length += (size_t)sprintf(events + length, ", ");
    va_start(arguments, format);
    vsnprintf(events + length, (size_t)n + 1, format, arguments);
    va_end(arguments);
    length += (size_t)n;
}

void record_clear(void)
{
    free(events);
    events = NULL;
    length = 0;
    capacity = 0;
}

/* Whether it is the record, which is cleared; complain if it is not. */
static bool is_record(const char *expected, const char *file, int line)
{
    const char *actual = events ? events : "";
    bool same = !strcmp(actual, expected);

    if (!same)
        fprintf(stderr, "%s:%d: the record is\n  %s\ninstead of\n  %s\n", file,
                line, actual, expected);
    record_clear();
    return same;
}

void record_compare(const char *expected, const char *file, int line)
{
    if (!is_record(expected, file, line))
        _fail(file, line);
}

void record_check(const char *expected, const char *file, int line)
{
    failed_checks += !is_record(expected, file, line);
}

void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    failed_checks++;
}

void check_status(long long actual, long long expected, const char *what,
                  const char *file, int line)
{
    if (actual == expected)
        return;
    fprintf(stderr, "%s:%d: %s is %lld (%s) instead of %lld (%s)\n", file, line,
            what, actual, task_strerror((int)actual), expected,
            task_strerror((int)expected));
    failed_checks++;
}

bool checks_failed(void)
{
    return failed_checks;
}

void assert_checks(void)
{
    assert_int_equal(atomic_exchange(&failed_checks, 0), 0);
}

int record_setup(void **state)
{
    (void)state;
    record_clear();
    failed_checks = 0;
    return 0;
}

int record_teardown(void **state)
{
    (void)state;
    assert_checks();
    assert_record("");
    return 0;
}

/* What lies before each block of counted memory. */
union block {
    size_t size;
    max_align_t align;
};

static bool is_refused(struct memory_count *count)
{
    count->allocations++;
    return count->fail_at && !--count->fail_at;
}

static void *counted(void *pointer, size_t size, void *arg)
{
    struct memory_count *count = arg;
    union block *old = pointer ? (union block *)pointer - 1 : NULL;
    size_t old_size = old ? old->size : 0;
    union block *block;

    if (!size) {
        count->blocks -= old != NULL;
        count->bytes -= old_size;
        free(old);
        return NULL;
    }
    block = is_refused(count) ? NULL : realloc(old, sizeof *block + size);
    if (!block)
        return NULL;
    count->blocks += !old;
    count->bytes += size - old_size;
    block->size = size;
    return block + 1;
}

/* With TASK_DEBUG=1 the tests show that debug mode changes nothing else. */
static bool is_of_debug_mode(enum loop_error_kind kind)
{
    return kind == LOOP_ERROR_SLOW_STEP || kind == LOOP_ERROR_MISUSE ||
           kind == LOOP_ERROR_LEAK || kind == LOOP_ERROR_IGNORED_CANCEL;
}

static void record_report(const struct loop_error *error, void *arg)
{
    static const char *const names[] = {
        [LOOP_ERROR_UNAWAITED] = "unawaited",
        [LOOP_ERROR_DEADLOCK] = "deadlock",
        [LOOP_ERROR_SLOW_STEP] = "slow step",
        [LOOP_ERROR_STALL] = "stall",
        [LOOP_ERROR_MISUSE] = "misuse",
        [LOOP_ERROR_LEAK] = "leak",
        [LOOP_ERROR_IGNORED_CANCEL] = "ignored cancel",
        [LOOP_ERROR_HANDLER] = "handler",
        [LOOP_ERROR_SHUTDOWN] = "shutdown",
        [LOOP_ERROR_ACCEPT] = "accept",
        [LOOP_ERROR_LOST] = "lost",
        [LOOP_ERROR_HOOK] = "hook",
    };
    size_t kind = error->kind;
    const char *name =
        kind < sizeof names / sizeof *names ? names[kind] : "report";

    (void)arg;
    if (is_of_debug_mode(error->kind) && getenv("TASK_DEBUG"))
        return;
    if (error->task_name)
        record("%s(%s, %d)", name, error->task_name, error->status);
    else
        record("%s(%d)", name, error->status);
}

static enum loop_backend backend_asked_for(void)
{
    const char *name = getenv("TASK_BACKEND");

    if (name && !strcmp(name, "poll"))
        return LOOP_BACKEND_POLL;
    if (name && !strcmp(name, "epoll"))
        return LOOP_BACKEND_EPOLL;
    return LOOP_BACKEND_DEFAULT;
}

struct loop_options test_options(struct memory_count *count)
{
    return (struct loop_options){.clock = LOOP_CLOCK_VIRTUAL,
                                 .slow_step = TASK_HOUR,
                                 .backend = backend_asked_for(),
                                 .on_error = record_report,
                                 .alloc = count ? counted : NULL,
                                 .alloc_arg = count};
}

struct loop *test_loop_new(struct memory_count *count)
{
    struct loop_options options = test_options(count);
    struct loop *loop = loop_new(&options);

    assert_non_null(loop);
    return loop;
}

void test_loop_free(struct loop *loop, struct memory_count *count)
{
    assert_int_equal(loop_free(loop), 0);
    if (count) {
        assert_int_equal(count->blocks, 0);
        assert_int_equal(count->bytes, 0);
    }
    assert_checks();
}

int run_with(struct loop_options options, task_fn *fn, void *arg)
{
    struct memory_count count = {0};
    struct loop *loop;
    int status;

    options.alloc = counted;
    options.alloc_arg = &count;
    loop = loop_new(&options);
    assert_non_null(loop);
    status = loop_run_main(loop, fn, arg);
    test_loop_free(loop, &count);
    return status;
}

int run_virtual(task_fn *fn, void *arg)
{
    return run_with(test_options(NULL), fn, arg);
}

int run_seeded(uint64_t seed, task_fn *fn, void *arg)
{
    struct loop_options options = test_options(NULL);

    options.seed = seed;
    return run_with(options, fn, arg);
}

void run_in_main(void **state)
{
    task_fn **fn = *state;

    assert_int_equal(run_virtual(*fn, NULL), 0);
    assert_record("");
}

void run_in_main_seeded(void **state)
{
    task_fn **fn = *state;

    for (unsigned i = 0; i < test_rounds(100); i++) {
        int status;

        seed_now = test_seed(i);
        status = run_seeded(seed_now, *fn, NULL);
        if (status)
            print_error("TASK_TEST_SEED=%llu: %d\n",
                        (unsigned long long)seed_now, status);
        assert_int_equal(status, 0);
        assert_record("");
    }
}

struct task *test_start(task_fn *fn, void *arg, const char *name)
{
    return task_create_with(
        fn, arg, &(struct task_options){.name = name, .eager = true});
}

uint64_t turns_now(void)
{
    struct loop_stats stats;

    loop_get_stats(loop_current(), &stats);
    return stats.turns;
}

unsigned test_rounds(unsigned n)
{
    if (getenv("TASK_TEST_VALGRIND") || HAVE_TSAN)
        n /= 50;
    return n ? n : 1;
}

uint64_t test_seed(unsigned i)
{
    const char *first = getenv("TASK_TEST_SEED");

    return (first ? strtoull(first, NULL, 0) : 1) + i;
}

uint64_t test_seed_now(void)
{
    return seed_now;
}

size_t resident_bytes(void)
{
    bool is_honest = !HAVE_ASAN && !HAVE_TSAN && !getenv("TASK_TEST_VALGRIND");
    FILE *file = is_honest ? fopen("/proc/self/statm", "r") : NULL;
    size_t size = 0;
    size_t resident = 0;

    if (!file || fscanf(file, "%zu %zu", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}
