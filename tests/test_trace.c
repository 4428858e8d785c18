/*
 * Traces: what they say, and what becomes of them when something fails. That a
 * file is one that Perfetto reads, trace.sh tests.
 */

/* The linker wraps: write ftruncate */

#include "bodies.h"
#include "child.h"
#include "loop.h"
#include "record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/test_trace.XXXXXX";
static char *said; /* the file, as it was read last */

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    free(said);
    return unlink(path);
}

/* Read the trace. */
static const char *file(void)
{
    FILE *in = fopen(path, "r");
    long size = in && !fseek(in, 0, SEEK_END) ? ftell(in) : -1;

    free(said);
    said = size >= 0 ? calloc(1, (size_t)size + 1) : NULL;
    if (said) {
        rewind(in);
        if (fread(said, 1, (size_t)size, in) < (size_t)size)
            said[0] = '\0';
    }
    if (in)
        fclose(in);
    return said ? said : "";
}

static size_t count_in(const char *text, const char *word)
{
    size_t n = 0;

    while ((text = strstr(text, word))) {
        n++;
        text += strlen(word);
    }
    return n;
}

/* How often the trace has this. */
static size_t count(const char *word)
{
    return count_in(file(), word);
}

/* Blanks may stand before the end: they fill pages. */
static bool is_whole(void)
{
    const char *text = file();
    size_t n = strlen(text);

    if (n < 10 || strncmp(text, "[\n{", 3) || strcmp(text + n - 3, "\n]\n"))
        return false;
    n -= 3;
    while (text[n - 1] == ' ')
        n--;
    return text[n - 1] == '}';
}

/* The name of each span of a task, in order, to the record. */
static void record_spans(unsigned id)
{
    char track[32];
    const char *at = file();

    snprintf(track, sizeof track, "\"tid\":%u,", id);
    while ((at = strstr(at, "{\"ph\":\"X\",\"name\":\""))) {
        const char *name = at + strlen("{\"ph\":\"X\",\"name\":\"");
        const char *end = strchr(at, '\n');
        const char *tid = strstr(at, track);

        if (end && tid && tid < end)
            record("%.*s", (int)strcspn(name, "\""), name);
        at = name;
    }
}

static struct loop *loop_now(void)
{
    return loop_current();
}

/* Starting and stopping. */

static int a_trace_tells_of_each_task(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_await(task_create(sleeps, NULL));
    CHECK_STATUS(task_await(task_create_with(
                     fails, NULL, &(struct task_options){.name = "it"})),
                 -EIO);
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    CHECK(is_whole());
    CHECK(count("{\"name\":\"task-2\"}") == 1);
    CHECK(count("{\"name\":\"it\"}") == 2); /* at its begin and end */
    CHECK(count("\"created\"") == 2);
    CHECK(count("\"by\":1,\"file\":\"") == 2);
    CHECK(count("{\"status\":0}") == 1);
    CHECK(count("{\"status\":-5,\"text\":\"Input/output error\"}") == 1);
    CHECK(count("\"ph\":\"s\"") == 3 && count("\"ph\":\"f\"") == 3);
    record_spans(1);
    CHECK_RECORD("run, awaiting, run, awaiting, run");
    record_spans(2);
    CHECK_RECORD("run, sleeping, run");
    return 0;
}

static int gets(void *queue)
{
    int item;

    return task_queue_get(queue, &item);
}

static int a_span_names_what_is_waited_for(void *arg)
{
    struct task_queue queue;
    struct task *task;
    int item = 1;

    (void)arg;
    task_queue_init(&queue, sizeof item, 1);
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task = task_create(gets, &queue);
    task_yield();
    task_queue_put(&queue, &item);
    CHECK_STATUS(task_await(task), 0);
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    record_spans(2);
    CHECK_RECORD("run, getting from queue, run");
    task_queue_destroy(&queue);
    return 0;
}

static int waits(void *event)
{
    return task_event_wait(event);
}

static int what_still_waits_is_told_of_when_a_trace_stops(void *arg)
{
    struct task_event event = {0};
    struct task *task = task_create(waits, &event);

    (void)arg;
    task_yield();
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_yield();
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    record_spans(2);
    CHECK_RECORD("waiting for event");
    task_event_set(&event);
    return task_await(task);
}

static int
a_task_that_is_new_when_a_trace_starts_was_not_created_in_it(void *arg)
{
    struct task *task = task_create(yields, NULL);

    (void)arg;
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_await(task);
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    CHECK(count("\"created\"") == 0);
    CHECK(count("\"task-2\"") == 1);
    record_spans(2);
    CHECK_RECORD("run, run");
    return 0;
}

static int an_eager_task_interrupts_its_creator(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_yield(); /* from now on each step is watched */
    task_await(
        task_create_with(sleeps, NULL, &(struct task_options){.eager = true}));
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    record_spans(1);
    CHECK_RECORD("run, run, run, awaiting, run");
    record_spans(2);
    CHECK_RECORD("run, sleeping, run");
    CHECK(count("\"created\"") == 1 && count("\"by\":1") == 1);
    return 0;
}

static int starts(void *arg)
{
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    return yields(arg);
}

static int an_eager_task_may_start_a_trace(void *arg)
{
    struct task *other = task_create(yields, NULL);
    struct task *task;

    (void)arg;
    task =
        task_create_with(starts, NULL, &(struct task_options){.eager = true});
    task_yield();
    task_await(other);
    task_await(task);
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    record_spans(2);
    CHECK_RECORD("run, run");
    record_spans(3);
    CHECK_RECORD("run, run");
    return 0;
}

static void start_and_create(void *arg)
{
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_detach(
        task_create_with(yields, arg, &(struct task_options){.eager = true}));
}

static int a_callback_may_start_a_trace(void *arg)
{
    (void)arg;
    loop_call_soon(start_and_create, NULL);
    task_sleep(TASK_SECOND);
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    record_spans(2);
    CHECK_RECORD("run, run");
    return 0;
}

static int callbacks_and_timers_have_tracks(void *arg)
{
    struct task *task = task_create(sleeps, NULL);

    (void)arg;
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_yield();
    loop_call_soon(cancel_it, task);
    task_await(task);
    task_sleep(TASK_SECOND);
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    CHECK(count("\"callback\"") == 1);
    CHECK(count("\"timers\"") == 2); /* its name, and once */
    CHECK(count("\"poll\"") >= 1);
    return 0;
}

static int a_trace_starts_again_in_the_same_step(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
        CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    }
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_yield();
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_yield();
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    record_spans(1);
    CHECK_RECORD("run, run");
    CHECK(is_whole());
    return 0;
}

static int a_name_is_made_one_of_json(void *arg)
{
    struct task *task = task_create(yields, NULL);

    (void)arg;
    task_set_name(
        task,
        "\"\\\n\x01 \xc3\xa4 \xc0\xaf \xed\xa0\x80 \xf0\x9f\x98\x80 \xff");
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_await(task);
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    CHECK(count("\"\\u0022\\u005c\\u000a\\u0001 \xc3\xa4 \\ufffd\\ufffd "
                "\\ufffd\\ufffd\\ufffd \xf0\x9f\x98\x80 \\ufffd\"") == 2);
    return 0;
}

static int a_long_name_is_cut_off(void *arg)
{
    char name[301];
    struct task *task = task_create(yields, NULL);

    (void)arg;
    memset(name, 'n', 300);
    name[300] = '\0';
    task_set_name(task, name);
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_await(task);
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    CHECK(count("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\"") == 2);
    return 0;
}

static void a_trace_may_start_before_the_loop_runs(void **state)
{
    (void)state;
    struct memory_count count_of_memory = {0};
    struct loop *loop = test_loop_new(&count_of_memory);

    assert_int_equal(loop_trace_start(loop, path), 0);
    task_detach(loop_create_task(loop, yields, NULL));
    assert_int_equal(loop_run_main(loop, sleeps, NULL), 0);
    assert_int_equal(loop_run_main(loop, sleeps, NULL), 0);
    assert_int_equal(loop_trace_stop(loop), 0);
    assert_true(is_whole());
    assert_int_equal(count("\"created\""), 3);
    assert_int_equal(count("\"by\":0"), 3);
    test_loop_free(loop, &count_of_memory);
}

static int leaves_it(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    task_detach(task_create(sleeps_for_ever, NULL));
    return task_yield();
}

static void the_end_of_a_loop_ends_its_trace(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_it, NULL), 0);
    assert_true(is_whole());
    assert_int_equal(count("{\"status\":-125"), 1);
}

/* The order of things. */

static char order[100];

static void note(void *name)
{
    strncat(order, name, sizeof order - strlen(order) - 1);
}

static int notes(void *name)
{
    for (int i = 0; i < 2; i++) {
        note(name);
        task_yield();
    }
    return 0;
}

static int in_some_order(void *traced)
{
    static char names[6][2] = {"a", "b", "c", "d", "e", "f"};
    struct task *tasks[6];

    order[0] = '\0';
    if (traced)
        CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    for (int i = 0; i < 6; i++) {
        tasks[i] = task_create_with(
            notes, names[i], &(struct task_options){.eager = i % 3 == 2});
        loop_call_soon(note, text("-"));
        loop_call_later(i % 2, note, text("+"));
    }
    return task_gather(tasks, 6, NULL);
}

static void nothing_happens_in_another_order_for_being_traced(void **state)
{
    (void)state;
    char plain[sizeof order];

    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(run_seeded(test_seed(i), in_some_order, NULL), 0);
        memcpy(plain, order, sizeof order);
        assert_int_equal(run_seeded(test_seed(i), in_some_order, path), 0);
        assert_string_equal(order, plain);
    }
}

static int in_debug_mode(void *arg)
{
    loop_set_debug(loop_now(), true);
    CHECK_STATUS(in_some_order(arg), 0);
    loop_set_debug(loop_now(), false);
    task_yield();
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    loop_set_debug(loop_now(), true);
    task_yield();
    loop_set_debug(loop_now(), false);
    return task_yield();
}

static void debug_mode_and_a_trace_do_not_mind_each_other(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(in_debug_mode, path), 0);
    record_clear();
    assert_true(is_whole());
}

static int errno_is_kept(void *arg)
{
    (void)arg;
    errno = 1234;
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    CHECK(errno == 1234);
    CHECK_STATUS(loop_trace_start(loop_now(), "/nowhere/at/all"), -EALREADY);
    for (int i = 0; i < 3000; i++)
        task_yield();
    CHECK(errno == 1234);
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    CHECK(errno == 1234);
    return 0;
}

/* Rings. */

static int a_ring_keeps_the_last(void *arg)
{
    char name[24];

    (void)arg;
    CHECK_STATUS(loop_trace_ring(loop_now(), path, 100 * 64), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "task %d", i);
        task_await(task_create_with(yields, NULL,
                                    &(struct task_options){.name = name}));
    }
    CHECK(count("task") == 0); /* not yet */
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    CHECK(is_whole());
    CHECK(count("\"task 999\"") == 1 && count("\"task 900\"") == 0);
    CHECK(count("\"task-1\"") == 1); /* it lives */
    CHECK(count("\n") < 300);
    return 0;
}

static int a_small_ring_has_some_room(void *arg)
{
    (void)arg;
    CHECK_STATUS(loop_trace_ring(loop_now(), path, 0), 0);
    for (int i = 0; i < 100; i++)
        task_yield();
    CHECK_STATUS(loop_trace_stop(loop_now()), 0);
    CHECK(count("\"run\"") >= 8);
    return 0;
}

static int deadlocks(void *arg)
{
    CHECK_STATUS(loop_trace_ring(loop_now(), path, 1 << 16), 0);
    return awaits_a_future(arg);
}

static void a_deadlock_ends_a_ring(void **state)
{
    (void)state;
    struct memory_count count_of_memory = {0};
    struct loop *loop = test_loop_new(&count_of_memory);

    assert_int_equal(loop_run_main(loop, deadlocks, NULL), -EDEADLK);
    record_clear();
    assert_true(is_whole());
    record_spans(1);
    assert_record("run, awaiting");
    assert_int_equal(loop_trace_start(loop, path), -EALREADY);
    assert_int_equal(loop_trace_stop(loop), 0);
    assert_int_equal(loop_trace_stop(loop), -ENOENT);
    test_loop_free(loop, &count_of_memory);
    record_clear();
}

static int misuses(void *arg)
{
    struct task_group group;

    (void)arg;
    loop_trace_ring(loop_now(), path, 1 << 16);
    task_yield();
    task_group_begin(&group);
    return 0; /* in the midst of it */
}

static int misuses_streamed(void *arg)
{
    struct task_group group;

    (void)arg;
    loop_trace_start(loop_now(), path);
    task_yield();
    task_group_begin(&group);
    return 0;
}

static void misuse_that_aborts_ends_a_trace(void **state)
{
    (void)state;
    static task_fn *const mains[] = {misuses, misuses_streamed};

    for (size_t i = 0; i < 2; i++) {
        assert_true(child_aborts(run_it, &(task_fn *){mains[i]}, "scope"));
        assert_true(is_whole());
        record_spans(1);
        assert_record("run, run");
    }
}

static int *volatile nowhere = (int *)16;

static int faults(void *arg)
{
    (void)arg;
    loop_trace_ring(loop_now(), path, 1 << 16);
    task_yield();
    return *nowhere;
}

static void fault(void *arg)
{
    loop_run(faults, arg);
}

static void a_fault_that_kills_ends_a_trace(void **state)
{
    (void)state;

    if (HAVE_ASAN || HAVE_TSAN || getenv("TASK_TEST_VALGRIND"))
        skip(); /* they have handlers */
    assert_true(WIFSIGNALED(child_run(fault, NULL)));
    assert_true(is_whole());
    record_spans(1);
    assert_record("run, run");
}

/* What is refused. */

static void what_is_no_loop_or_path_is_refused(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);

    assert_int_equal(loop_trace_start(NULL, path), -EINVAL);
    assert_int_equal(loop_trace_start(loop, NULL), -EINVAL);
    assert_int_equal(loop_trace_ring(NULL, path, 1 << 16), -EINVAL);
    assert_int_equal(loop_trace_ring(loop, NULL, 1 << 16), -EINVAL);
    assert_int_equal(loop_trace_ring(loop, path, SIZE_MAX), -ENOMEM);
    assert_int_equal(loop_trace_stop(NULL), -EINVAL);
    assert_int_equal(loop_trace_stop(loop), -ENOENT);
    assert_int_equal(loop_trace_start(loop, "/nowhere/at/all"), -ENOENT);
    assert_int_equal(loop_trace_start(loop, "/tmp"), -EISDIR);
    assert_int_equal(loop_trace_start(loop, ""), -ENOENT);
    assert_int_equal(loop_trace_stop(loop), -ENOENT);
    assert_int_equal(loop_trace_start(loop, path), 0);
    assert_int_equal(loop_trace_start(loop, path), -EALREADY);
    assert_int_equal(loop_trace_ring(loop, path, 1 << 16), -EALREADY);
    assert_int_equal(loop_trace_stop(loop), 0);
    loop_free(loop);
}

static void a_pipe_is_refused(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);
    char name[64];
    int reader;

    snprintf(name, sizeof name, "%s.pipe", path);
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_int_equal(loop_trace_start(loop, name), -ESPIPE);
    reader = open(name, O_RDONLY | O_NONBLOCK);
    assert_int_equal(loop_trace_start(loop, name), -ESPIPE);
    close(reader);
    unlink(name);
    loop_free(loop);
}

static int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 100; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void want_of_memory_is_told_and_leaves_nothing(void **state)
{
    (void)state;
    struct memory_count count_of_memory = {0};
    struct loop *loop = test_loop_new(&count_of_memory);
    int n = open_descriptors();

    count_of_memory.fail_at = 1;
    assert_int_equal(loop_trace_start(loop, path), -ENOMEM);
    count_of_memory.fail_at = 0;
    assert_int_equal(open_descriptors(), n);
    assert_int_equal(loop_trace_start(loop, path), 0);
    assert_int_equal(open_descriptors(), n + 1);
    test_loop_free(loop, &count_of_memory);
    assert_int_equal(open_descriptors(), n);
}

/* Writing. */

static struct {
    bool is_on;
    size_t room; /* for so many bytes */
    size_t most; /* at once; 0: as many as there are */
    int interruptions;
} disk;

ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    if (!disk.is_on)
        return __real_write(fd, bytes, n);
    if (disk.interruptions && disk.interruptions--) {
        errno = EINTR;
        return -1;
    }
    if (disk.most && n > disk.most)
        n = disk.most;
    if (n && !disk.room) {
        errno = ENOSPC;
        return -1;
    }
    if (n > disk.room)
        n = disk.room;
    disk.room -= n;
    return __real_write(fd, bytes, n);
}

int __real_ftruncate(int fd, off_t length);
int __wrap_ftruncate(int fd, off_t length);

int __wrap_ftruncate(int fd, off_t length)
{
    struct stat status;

    if (!fstat(fd, &status) && status.st_size > length)
        disk.room += (size_t)(status.st_size - length);
    return __real_ftruncate(fd, length);
}

static int yields_often(void *arg)
{
    for (int i = 0; i < 5000; i++)
        CHECK_STATUS(yields(arg), 0);
    return 0;
}

static int sees_whole_pages(void *arg)
{
    struct stat status;

    CHECK_STATUS(yields_often(arg), 0);
    CHECK_STATUS(stat(path, &status), 0);
    CHECK(status.st_size > 0);
    CHECK_STATUS(status.st_size % 4096, 0);
    return 0;
}

static void a_stream_is_written_in_whole_pages(void **state)
{
    struct loop *loop = test_loop_new(NULL);

    (void)state;
    assert_int_equal(loop_trace_start(loop, path), 0);
    assert_int_equal(loop_run_main(loop, sees_whole_pages, NULL), 0);
    assert_int_equal(loop_trace_stop(loop), 0);
    assert_true(is_whole());
    loop_free(loop);
    assert_checks();
}

static int trace_with_room(size_t room)
{
    struct loop *loop = test_loop_new(NULL);
    int status;

    disk.room = room;
    disk.is_on = true;
    assert_int_equal(loop_trace_start(loop, path), 0);
    assert_int_equal(loop_run_main(loop, yields, NULL), 0);
    status = loop_trace_stop(loop);
    disk.is_on = false;
    loop_free(loop);
    return status;
}

/* The times in it, and so its length, are others each time. */
static void a_trace_without_room_for_its_end_is_not_complete(void **state)
{
    enum { AROUND = 32 };
    struct stat status;
    int n_whole = 0;

    (void)state;
    assert_int_equal(trace_with_room(1 << 20), 0);
    assert_int_equal(stat(path, &status), 0);
    for (int i = -AROUND; i <= AROUND; i++)
        if (trace_with_room((size_t)(status.st_size + i)) == 0) {
            assert_true(is_whole());
            n_whole++;
        }
    assert_in_range(n_whole, 1, 2 * AROUND);
}

/* Disks are full where a block ends, and so does a part of the trace. */
static void a_full_disk_ends_a_trace_and_not_the_loop(void **state)
{
    static const size_t rooms[] = {0,     4,     10000, 32768,
                                   40009, 65536, 98304, 160036};

    (void)state;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        size_t room = rooms[i];
        struct memory_count count_of_memory = {0};
        struct loop *loop = test_loop_new(&count_of_memory);

        disk.room = room;
        disk.is_on = true;
        assert_int_equal(loop_trace_start(loop, path), 0);
        assert_int_equal(loop_run_main(loop, yields_often, NULL), 0);
        assert_int_equal(loop->scheduler.watches, false);
        assert_int_equal(loop_trace_stop(loop), -ENOSPC);
        disk.is_on = false;
        assert_true(room < 32768 ? strlen(file()) <= 4 : is_whole());
        if (room >= 4 && room < 32768)
            assert_string_equal(file(), "[\n]\n");
        assert_true(strlen(file()) <= room);
        test_loop_free(loop, &count_of_memory);
    }
}

static void a_full_device_is_told_of_when_the_trace_stops(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);

    if (access("/dev/full", W_OK))
        skip();
    assert_int_equal(loop_trace_ring(loop, "/dev/full", 1 << 16), 0);
    assert_int_equal(loop_run_main(loop, yields, NULL), 0);
    assert_int_equal(loop_trace_stop(loop), -ENOSPC);
    loop_free(loop);
}

static void writes_may_be_interrupted_and_short(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);

    disk.room = SIZE_MAX / 2;
    disk.most = 777;
    disk.interruptions = 3;
    disk.is_on = true;
    assert_int_equal(loop_trace_start(loop, path), 0);
    assert_int_equal(loop_run_main(loop, yields_often, NULL), 0);
    assert_int_equal(loop_trace_stop(loop), 0);
    disk.is_on = false;
    assert_int_equal(disk.interruptions, 0);
    assert_true(is_whole());
    assert_int_equal(count("\"run\""), 5001);
    loop_free(loop);
}

/* Forks, and several loops. */

static int forks(void *arg)
{
    struct loop *loop = loop_now();
    pid_t pid;
    int status = -1;

    (void)arg;
    CHECK_STATUS(loop_trace_start(loop, path), 0);
    CHECK_STATUS(yields_often(NULL), 0);
    pid = fork();
    if (!pid) {
        bool is_refused = loop_trace_stop(loop) == -EPERM &&
                          loop_trace_start(loop, path) == -EPERM;
        int n = open_descriptors();

        loop_free(loop);
        _exit(is_refused && open_descriptors() < n &&
                      loop_run(yields, NULL) == 0
                  ? 0
                  : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK_STATUS(loop_trace_stop(loop), 0);
    CHECK(is_whole());
    CHECK(count("\"run\"") == 5001);
    return 0;
}

/* Memory is not counted: the child's copy lies as it is. */
static void a_child_leaves_its_parents_trace_alone(void **state)
{
    (void)state;
    struct loop *loop = test_loop_new(NULL);

    assert_int_equal(loop_run_main(loop, forks, NULL), 0);
    test_loop_free(loop, NULL);
}

static void two_loops_have_a_trace_each(void **state)
{
    (void)state;
    struct loop *loops[2] = {loop_new(NULL), loop_new(NULL)};
    char other[64];

    snprintf(other, sizeof other, "%s.other", path);
    assert_int_equal(loop_trace_start(loops[0], path), 0);
    assert_int_equal(loop_trace_ring(loops[1], other, 1 << 16), 0);
    for (int i = 0; i < 2; i++)
        task_detach(loop_create_task(loops[i], yields, NULL));
    for (int i = 0; i < 8; i++)
        loop_run_turn(loops[i % 2], 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop_trace_stop(loops[i]), 0);
        loop_free(loops[i]);
    }
    for (int i = 0; i < 2; i++) {
        assert_true(is_whole());
        record_spans(1);
        assert_record("run, run");
        assert_int_equal(rename(other, path), i ? -1 : 0);
    }
}

static int stop_trace(struct task *task, void *arg)
{
    if (task == arg)
        return 0;
    (void)loop_trace_stop(loop_now());
    return 0;
}

/* Its stack is none yet. */
static int a_hook_may_stop_it_before_a_task_begins(void *arg)
{
    struct loop_hooks hooks = {.step_begins = stop_trace,
                               .arg = task_current()};
    struct loop_stats before;
    struct loop_stats after;

    (void)arg;
    loop_get_stats(loop_now(), &before);
    CHECK_STATUS(loop_add_hooks(loop_now(), &hooks), 0);
    CHECK_STATUS(loop_trace_start(loop_now(), path), 0);
    CHECK_STATUS(task_await(task_create(yields, NULL)), 0);
    CHECK_STATUS(loop_remove_hooks(loop_now(), &hooks), 0);
    CHECK_STATUS(loop_trace_stop(loop_now()), -ENOENT);
    loop_get_stats(loop_now(), &after);
    CHECK(after.stacks_used == before.stacks_used);
    CHECK(is_whole());
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_trace_tells_of_each_task),
        in_main(a_span_names_what_is_waited_for),
        in_main(what_still_waits_is_told_of_when_a_trace_stops),
        in_main(a_task_that_is_new_when_a_trace_starts_was_not_created_in_it),
        in_main(an_eager_task_interrupts_its_creator),
        in_main(an_eager_task_may_start_a_trace),
        in_main(a_callback_may_start_a_trace),
        in_main(a_hook_may_stop_it_before_a_task_begins),
        in_main(callbacks_and_timers_have_tracks),
        in_main(a_trace_starts_again_in_the_same_step),
        in_main(a_name_is_made_one_of_json),
        in_main(a_long_name_is_cut_off),
        behaviour(a_trace_may_start_before_the_loop_runs),
        behaviour(the_end_of_a_loop_ends_its_trace),
        behaviour(nothing_happens_in_another_order_for_being_traced),
        behaviour(debug_mode_and_a_trace_do_not_mind_each_other),
        in_main(errno_is_kept),
        in_main(a_ring_keeps_the_last),
        in_main(a_small_ring_has_some_room),
        behaviour(a_deadlock_ends_a_ring),
        behaviour(misuse_that_aborts_ends_a_trace),
        behaviour(a_fault_that_kills_ends_a_trace),
        behaviour(what_is_no_loop_or_path_is_refused),
        behaviour(a_pipe_is_refused),
        behaviour(want_of_memory_is_told_and_leaves_nothing),
        behaviour(a_stream_is_written_in_whole_pages),
        behaviour(a_trace_without_room_for_its_end_is_not_complete),
        behaviour(a_full_disk_ends_a_trace_and_not_the_loop),
        behaviour(a_full_device_is_told_of_when_the_trace_stops),
        behaviour(writes_may_be_interrupted_and_short),
        behaviour(a_child_leaves_its_parents_trace_alone),
        behaviour(two_loops_have_a_trace_each),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
