/* Misuse is told of for each place of the program, once, by the name of the call
 * that was made there: however many frames of the library's own there are. */
#include "child.h"
#include "everywhere.h"
#include "streams.h"

#include "base.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The reports of a call that was made wrongly in two places. */

static char told[4][1200];
static int n_told;

static void keep(const struct loop_error *error, void *arg)
{
    (void)arg;
    CHECK_STATUS(error->kind, LOOP_ERROR_MISUSE);
    if (n_told < 4)
        snprintf(told[n_told], sizeof told[0], "%s", error->message);
    n_told++;
}

static void begin_debug(void)
{
    n_told = 0;
    loop_set_error_handler(loop_current(), keep, NULL);
    loop_set_debug(loop_current(), true);
}

struct wrong {
    const char *call;
    const char *place;
    void (*make)(void);
};

static void check_told(int i, const struct wrong *wrong)
{
    char place[100];
    size_t n = strlen(wrong->call);

    snprintf(place, sizeof place, " in %s+0x", wrong->place);
    if (strncmp(told[i], wrong->call, n) != 0 || told[i][n] != ':' ||
        !strstr(told[i], place))
        check_failed(told[i], wrong->place, 0);
}

/* Each twice; and each is followed by the same call in another place. */
static void make_all(const struct wrong wrongs[], size_t n)
{
    for (size_t i = 0; i < n; i += 2) {
        n_told = 0;
        for (size_t k = 0; k < 4; k++)
            wrongs[i + k % 2].make();
        if (n_told != 2)
            check_status(n_told, 2, wrongs[i].call, __FILE__, __LINE__);
        for (int k = 0; k < n_told && k < 2; k++)
            check_told(k, &wrongs[i + (size_t)k]);
    }
}

/* What follows the call keeps it from being a jump, and the two from being one. */
static volatile int what_follows;

#define IN_TWO_PLACES(where, name, call)                                       \
    static NEVER_INLINE void first_##where##name(void)                         \
    {                                                                          \
        (void)(call);                                                          \
        what_follows = 1;                                                      \
    }                                                                          \
    static NEVER_INLINE void second_##where##name(void)                        \
    {                                                                          \
        (void)(call);                                                          \
        what_follows = 2;                                                      \
    }

#define TWO_ROWS(where, name, call)                                            \
    {#name, "first_" #where #name, first_##where##name},                       \
        {#name, "second_" #where #name, second_##where##name},

#define N(wrongs) (sizeof(wrongs) / sizeof(wrongs)[0])

static struct task_group group;
static struct task_timeout timeout;
static struct task_stream *stream;
static struct task_server *server;
static struct task_process *process;
static struct loop_remote *remote;
static struct task *future;
static char byte;

static int returns_0(void *arg)
{
    (void)arg;
    return 0;
}

static int serves(struct task_stream *s, void *arg)
{
    (void)s;
    (void)arg;
    return 0;
}

/* In a task; the scope is open. */

static struct task_group closed;

#define IN_A_TIMEOUT(X)                                                        \
    X(task_timeout_begin,                                                      \
      (task_timeout_begin(&timeout, 1), task_timeout_end(&timeout, 0)))        \
    X(task_timeout_begin_at,                                                   \
      (task_timeout_begin_at(&timeout, 1), task_timeout_end(&timeout, 0)))

#define IN_A_TASK(X)                                                           \
    X(task_group_start, task_group_start(&closed, returns_0, NULL))            \
    X(task_group_create, task_group_create(&closed, returns_0, NULL))          \
    X(task_group_begin, (task_group_begin(&group), task_group_end(&group, 0))) \
    X(task_create, task_create(NULL, NULL))                                    \
    X(task_create_with,                                                        \
      task_create_with(returns_0, NULL,                                        \
                       &(struct task_options){.stack_size = 1}))               \
    X(task_dump_on_signal, task_dump_on_signal(-1))                            \
    X(task_await, task_await(task_current()))                                  \
    X(task_cancel_await, task_cancel_await(task_current()))                    \
    X(task_shield, task_shield(task_current()))                                \
    X(task_stream_read, task_stream_read(NULL, &byte, 1))                      \
    X(task_stream_write, task_stream_write(NULL, &byte, 1))                    \
    X(task_stream_printf, task_stream_printf(NULL, "x"))                       \
    X(task_start_server, task_start_server(&server, "::1", "0", NULL, NULL))   \
    X(task_server_wait_closed, task_server_wait_closed(NULL))                  \
    X(task_server_serve_forever, task_server_serve_forever(NULL))              \
    X(task_server_shutdown, task_server_shutdown(NULL, 0))                     \
    X(task_tcp_connect, task_tcp_connect("::1", NULL))                         \
    X(task_tcp_listen, task_tcp_listen(NULL, NULL, 1))                         \
    X(task_udp_open, task_udp_open(NULL, NULL))                                \
    X(task_open_connection, task_open_connection(&stream, "::1", NULL))        \
    X(task_open_unix_connection, task_open_unix_connection(NULL, "/"))         \
    X(task_unix_connect, task_unix_connect(NULL))                              \
    X(task_unix_listen, task_unix_listen("", 1))                               \
    X(task_tcp_connect_list, task_tcp_connect_list(NULL))                      \
    X(task_server_port, task_server_port(NULL))                                \
    X(task_server_fd, task_server_fd(NULL, 0))                                 \
    X(task_process_terminate, task_process_terminate(NULL))                    \
    X(task_process_kill, task_process_kill(NULL))                              \
    X(loop_remote_call, loop_remote_call(remote, NULL, NULL))                  \
    X(loop_trace_start, loop_trace_start(NULL, "/"))                           \
    X(loop_trace_ring, loop_trace_ring(NULL, "/", 1))                          \
    X(loop_run, loop_run(returns_0, NULL))                                     \
    X(loop_run_main, loop_run_main(loop_current(), returns_0, NULL))           \
    X(loop_run_turn, loop_run_turn(loop_current(), 0))                         \
    X(loop_run_forever, loop_run_forever(loop_current()))                      \
    X(loop_free, loop_free(loop_current()))

#define PLACES(name, call) IN_TWO_PLACES(inside_, name, call)
#define ROWS(name, call) TWO_ROWS(inside_, name, call)

IN_A_TIMEOUT(PLACES)
IN_A_TASK(PLACES)

static int each_place_in_a_task_is_told_of(void *arg)
{
    static const struct wrong wrongs[] = {IN_A_TASK(ROWS)};
    static const struct wrong in_timeout[] = {IN_A_TIMEOUT(ROWS)};

    (void)arg;
    remote = loop_remote_open();
    CHECK(remote);
    begin_debug();
    task_timeout_begin(&timeout, TASK_FOREVER);
    make_all(in_timeout, N(in_timeout));
    CHECK_STATUS(task_timeout_end(&timeout, 0), 0);
    task_group_begin(&group);
    make_all(wrongs, N(wrongs));
    CHECK_STATUS(task_group_end(&group, 0), 0);
    loop_remote_close(remote);
    return 0;
}

#undef PLACES
#undef ROWS

/* In a callback. */

static struct task_group refused;
static struct task_timeout late;
static struct task_as_completed completed;
static struct task_as_completed another; /* main's */

#define OUTSIDE(X)                                                             \
    X(task_group_begin,                                                        \
      (task_group_begin(&refused), task_group_end(&refused, 0)))               \
    X(task_timeout_begin,                                                      \
      (task_timeout_begin(&late, 1), task_timeout_end(&late, 0)))              \
    X(task_timeout_begin_at,                                                   \
      (task_timeout_begin_at(&late, 1), task_timeout_end(&late, 0)))           \
    X(task_as_completed_begin, (task_as_completed_begin(&completed, NULL, 0),  \
                                task_as_completed_end(&completed, 0)))         \
    X(task_sleep, task_sleep(1))                                               \
    X(task_tcp_connect, task_tcp_connect("::1", "1"))                          \
    X(task_tcp_listen, task_tcp_listen("::1", "0", 1))                         \
    X(task_udp_open, task_udp_open("::1", "0"))                                \
    X(task_getaddrinfo, task_getaddrinfo("::1", "1", NULL, NULL))              \
    X(task_open_connection, task_open_connection(&stream, "::1", "1"))         \
    X(task_open_unix_connection, task_open_unix_connection(&stream, "/"))      \
    X(task_unix_connect, task_unix_connect("/"))                               \
    X(task_as_completed_next, task_as_completed_next(&another))                \
    X(task_start_server, task_start_server(&server, "::1", "0", serves, NULL)) \
    X(task_server_wait_closed, task_server_wait_closed(NULL))                  \
    X(task_stream_read, task_stream_read(NULL, &byte, 1))                      \
    X(task_process_wait, task_process_wait(NULL))

#define PLACES(name, call) IN_TWO_PLACES(outside_, name, call)
#define ROWS(name, call) TWO_ROWS(outside_, name, call)

OUTSIDE(PLACES)

static void make_outside(void *arg)
{
    static const struct wrong wrongs[] = {OUTSIDE(ROWS)};

    (void)arg;
    make_all(wrongs, N(wrongs));
}

static int each_place_in_a_callback_is_told_of(void *arg)
{
    begin_debug();
    CHECK_STATUS(task_as_completed_begin(&another, NULL, 0), 0);
    CHECK(loop_call_soon(make_outside, arg) > 0);
    CHECK_STATUS(task_yield(), 0);
    return task_as_completed_end(&another, 0);
}

#undef PLACES
#undef ROWS

/* In another thread: of what belongs to the loop. */

static struct loop *loop;

#define FOREIGN(X)                                                             \
    X(task_await, task_await(future))                                          \
    X(task_shield, task_shield(future))                                        \
    X(task_cancel, task_cancel(future))                                        \
    X(task_group_cancel, task_group_cancel(&group))                            \
    X(task_stream_read, task_stream_read(stream, &byte, 1))                    \
    X(task_stream_write, task_stream_write(stream, &byte, 1))                  \
    X(task_stream_printf, task_stream_printf(stream, "x"))                     \
    X(task_stream_flush, task_stream_flush(stream))                            \
    X(task_stream_close, task_stream_close(stream))                            \
    X(task_server_wait_closed, task_server_wait_closed(server))                \
    X(task_process_wait, task_process_wait(process))                           \
    X(task_process_kill, task_process_kill(process))                           \
    X(loop_trace_start, loop_trace_start(loop, "/"))                           \
    X(loop_trace_ring, loop_trace_ring(loop, "/", 1))                          \
    X(task_stream_abort, task_stream_abort(stream))                            \
    X(task_server_close, task_server_close(server))                            \
    X(task_server_free, task_server_free(server))                              \
    X(task_server_close_clients, task_server_close_clients(server))            \
    X(task_server_abort_clients, task_server_abort_clients(server))            \
    X(loop_run_turn, loop_run_turn(loop, 0))                                   \
    X(loop_free, loop_free(loop))

#define PLACES(name, call) IN_TWO_PLACES(foreign_, name, call)
#define ROWS(name, call) TWO_ROWS(foreign_, name, call)

FOREIGN(PLACES)

static void *make_foreign(void *arg)
{
    static const struct wrong wrongs[] = {FOREIGN(ROWS)};

    make_all(wrongs, N(wrongs));
    return arg;
}

static int each_place_in_another_thread_is_told_of(void *arg)
{
    struct half half = socket_half();
    pthread_t thread;

    begin_debug();
    loop = loop_current();
    future = task_future_create();
    stream = half.s;
    CHECK_STATUS(task_start_server(&server, "127.0.0.1", "0", serves, arg), 0);
    CHECK_STATUS(task_process_shell(&process, "exit 0", NULL), 0);
    task_group_begin(&group);
    CHECK(!pthread_create(&thread, NULL, make_foreign, arg));
    CHECK(!pthread_join(thread, NULL));
    CHECK_STATUS(task_group_start(&group, returns_0, NULL), 0);
    CHECK_STATUS(task_group_end(&group, 0), 0);
    CHECK_STATUS(task_process_wait(process), 0);
    task_process_free(process);
    task_server_free(server);
    close_half(half);
    task_detach(future);
    return 0;
}

#undef PLACES
#undef ROWS

/* In what the library calls: the innermost place is told, though the same function
 * was called further out. */

static void check_the_only(const char *call, const char *place)
{
    CHECK_STATUS(n_told, 1);
    check_told(0, &(struct wrong){call, place, NULL});
    n_told = 0;
}

static struct task_once once;
static struct task_lock lock;
static struct task_lock other;
static struct task_condition condition;

static int runs_once_more(void *arg)
{
    CHECK_STATUS(task_once_run(&once, returns_0, arg), -EDEADLK);
    return 0;
}

static bool waits_in_the_predicate(void *arg)
{
    CHECK_STATUS(task_condition_wait(&condition, arg), -EPERM);
    return true;
}

static bool lets_go(void *arg)
{
    CHECK_STATUS(task_lock_release(arg), 0);
    return false;
}

static void run_a_loop(void *arg)
{
    CHECK_STATUS(loop_run(returns_0, arg), -EBUSY);
    what_follows = 1;
}

static int the_innermost_place_is_told(void *arg)
{
    begin_debug();
    CHECK_STATUS(task_once_run(&once, runs_once_more, arg), 0);
    check_the_only("task_once_run", "runs_once_more");
    CHECK_STATUS(task_lock_acquire(&lock), 0);
    CHECK_STATUS(task_condition_wait_for(&condition, &lock,
                                         waits_in_the_predicate, &other),
                 0);
    check_the_only("task_condition_wait", "waits_in_the_predicate");
    CHECK_STATUS(task_condition_wait_for(&condition, &lock, lets_go, &lock),
                 -EPERM);
    check_the_only("task_condition_wait_for", "the_innermost_place_is_told");
    CHECK(loop_call_soon(run_a_loop, arg) > 0);
    CHECK_STATUS(task_yield(), 0);
    check_the_only("loop_run", "run_a_loop");
    return 0;
}

static int receives(void *arg)
{
    volatile int result = (int)task_recv(*(int *)arg, &byte, 1, MSG_WAITALL);

    return result;
}

static int a_call_that_is_made_by_another_is_not_told(void *arg)
{
    int pair[2];
    struct task *first;

    (void)arg;
    make_local(pair);
    begin_debug();
    first = test_start(receives, &pair[0], "first");
    CHECK_STATUS(task_await(test_start(receives, &pair[0], "second")), -EBUSY);
    check_the_only("task_recv", "receives");
    CHECK_STATUS(task_cancel_await(first), -ECANCELED);
    close_both(pair);
    return 0;
}

/* The hook's own. */

static int depth;

static void intrude(const struct loop_error *error, void *arg)
{
    CHECK_STATUS(depth++, 0);
    keep(error, arg);
    loop_stop(error->loop);
    depth--;
}

static void *cancel_the_future(void *arg)
{
    CHECK(!task_cancel(future));
    return arg;
}

static int has_an_intruder(void *arg)
{
    pthread_t thread;

    begin_debug();
    loop_set_error_handler(loop_current(), intrude, NULL);
    future = task_future_create();
    CHECK(!pthread_create(&thread, NULL, cancel_the_future, arg));
    CHECK(!pthread_join(thread, NULL));
    check_the_only("task_cancel", "cancel_the_future");
    task_detach(future);
    return 0;
}

static void run_with_an_intruder(void *arg)
{
    loop_run(has_an_intruder, arg);
    if (checks_failed())
        _exit(1);
}

static void what_a_hook_does_in_another_thread_goes_to_stderr(void **state)
{
    static char said[4000];

    (void)state;
    assert_int_equal(
        child_listen(run_with_an_intruder, NULL, said, sizeof said), 0);
    assert_non_null(strstr(said, "libtask: loop_stop: the loop runs in another "
                                 "thread (-EPERM); called in intrude+0x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(each_place_in_a_task_is_told_of),
        in_main(each_place_in_a_callback_is_told_of),
        in_streams(each_place_in_another_thread_is_told_of),
        in_main(the_innermost_place_is_told),
        everywhere(a_call_that_is_made_by_another_is_not_told),
        behaviour(what_a_hook_does_in_another_thread_goes_to_stderr),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
