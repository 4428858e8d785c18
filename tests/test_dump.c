/* The tree of tasks: each way of waiting in words, its shape, its bounds. */
#include "bodies.h"
#include "child.h"
#include "mask.h"
#include "record.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What task_dump() says now, to be freed. */
static char *dump_whole(void)
{
    char *chars = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&chars, &size);

    CHECK(out);
    if (!out)
        return NULL;
    task_dump(out);
    CHECK_STATUS(fclose(out), 0);
    return chars;
}

static char *dump_masked(void)
{
    char *chars = dump_whole();

    if (chars)
        mask(chars);
    return chars;
}

static void compare(const char *dump, const char *expected, const char *file,
                    int line)
{
    if (dump && strcmp(dump, expected) == 0)
        return;
    check_failed("another dump", file, line);
    fprintf(stderr, "it is\n%s\ninstead of\n%s\n", dump ? dump : "NULL",
            expected);
}

static void check_dump(const char *expected, const char *file, int line)
{
    char *dump = dump_masked();

    compare(dump, expected, file, line);
    free(dump);
}

#define CHECK_DUMP(expected) check_dump((expected), __FILE__, __LINE__)

/* What follows the name "x" on the line about a task or future of that name. */
static void check_line(const char *expected, const char *file, int line)
{
    char *dump = dump_masked();
    char *found = dump ? strstr(dump, " \"x\", ") : NULL;

    if (found) {
        found += strlen(" \"x\", ");
        found[strcspn(found, "\n")] = '\0';
    }
    compare(found, expected, file, line);
    free(dump);
}

#define CHECK_LINE(expected) check_line((expected), __FILE__, __LINE__)

static size_t count_lines(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* A task that waits, and has done so for 1.2 seconds, has this line. */
static void check_wait(task_fn *fn, void *arg, const char *expected, int line)
{
    struct task *task = test_start(fn, arg, "x");

    CHECK_STATUS(task_sleep(1200 * TASK_MILLISECOND), 0);
    check_line(expected, __FILE__, line);
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), -ECANCELED);
}

#define CHECK_WAIT(fn, arg, expected) check_wait(fn, arg, expected, __LINE__)

/* Ways of waiting. */

static int a_sleep_tells_how_long_it_lasts(void *arg)
{
    (void)arg;
    CHECK_WAIT(sleeps_long, NULL, "parked 1.2 s: sleeping 59 min 58 s more");
    CHECK_WAIT(sleeps_for_ever, NULL, "parked 1.2 s: sleeping for ever");
    return 0;
}

static int sleeps_until(void *arg)
{
    return task_sleep_until(*(task_time *)arg);
}

static void looks_at_who_is_awake(void *arg)
{
    (void)arg;
    CHECK_LINE("ready");
}

static int one_whose_time_has_come_is_ready(void *arg)
{
    task_time when = loop_time() + TASK_SECOND;
    struct task *sleeper;

    (void)arg;
    CHECK(loop_call_at(when, looks_at_who_is_awake, NULL) > 0);
    sleeper = task_create(sleeps_until, &when);
    task_set_name(sleeper, "x");
    return task_await(sleeper);
}

static int waits_for_all_others(void *arg)
{
    (void)arg;
    return task_wait_all_blocked();
}

static int shows_one_that_waits_for_all_others(void *arg)
{
    struct task *task = test_start(waits_for_all_others, NULL, "x");

    (void)arg;
    CHECK_LINE("parked 0 us: waiting for all others");
    return task_await(task);
}

static int awaits_for_a_minute(void *arg)
{
    return task_await_for(task_retain(arg), TASK_MINUTE);
}

static int shields(void *arg)
{
    return task_shield(arg);
}

static int an_await_names_the_task(void *arg)
{
    struct task *task = test_start(sleeps_for_ever, NULL, "sleeper");

    (void)arg;
    CHECK_WAIT(awaits, task_retain(task),
               "parked 1.2 s: awaiting task 2 \"sleeper\"");
    CHECK_STATUS(task_await(task), -ECANCELED);
    return 0;
}

static int an_await_with_a_limit_tells_it(void *arg)
{
    struct task *task = test_start(sleeps_for_ever, NULL, "sleeper");

    (void)arg;
    CHECK_WAIT(awaits_for_a_minute, task,
               "parked 1.2 s: awaiting task 2 \"sleeper\"; time-out in 58.8 s");
    CHECK_STATUS(task_await(task), -ECANCELED);
    return 0;
}

static int ends_when_asked_twice(void *arg)
{
    CHECK_STATUS(sleeps_for_ever(arg), -ECANCELED);
    return sleeps_for_ever(arg);
}

static int awaits_for_a_second(void *arg)
{
    return task_await_for(task_retain(arg), TASK_SECOND);
}

static int an_await_whose_time_is_up_tells_of_no_limit(void *arg)
{
    struct task *task = test_start(ends_when_asked_twice, NULL, "sleeper");

    (void)arg;
    CHECK_WAIT(awaits_for_a_second, task,
               "parked 1.2 s: awaiting task 2 \"sleeper\"");
    CHECK_STATUS(task_await(task), -ECANCELED);
    return 0;
}

static int a_shield_names_the_task(void *arg)
{
    struct task *task = task_future_create();

    (void)arg;
    CHECK_WAIT(shields, task,
               "parked 1.2 s: awaiting (shielded) future 2 \"task-2\"");
    task_detach(task);
    return 0;
}

static int gathers(void *arg)
{
    struct task **tasks = arg;

    return task_gather(tasks, 2, NULL);
}

static int races(void *arg)
{
    struct task **tasks = arg;

    return task_race(tasks, 2, NULL);
}

static int waits_a_minute(void *arg)
{
    struct task **tasks = arg;

    return task_wait(tasks, 2, TASK_ALL_DONE, TASK_MINUTE);
}

static int walks(void *arg)
{
    struct task_as_completed it;

    CHECK_STATUS(task_as_completed_begin(&it, arg, 2), 0);
    CHECK(!task_as_completed_next(&it));
    return task_as_completed_end(&it, 0);
}

static int waits_for_several_tell_how_many(void *arg)
{
    struct task *tasks[2];

    (void)arg;
    for (int i = 0; i < 2; i++)
        tasks[i] = task_future_create();
    CHECK_WAIT(waits_a_minute, tasks,
               "parked 1.2 s: waiting for 2 tasks; time-out in 58.8 s");
    CHECK_WAIT(walks, tasks,
               "parked 1.2 s: waiting for the next of 2 tasks; in 1 scope");
    CHECK_WAIT(gathers, tasks, "parked 1.2 s: gathering 2 tasks");
    for (int i = 0; i < 2; i++)
        tasks[i] = task_future_create();
    CHECK_WAIT(races, tasks, "parked 1.2 s: racing 2 tasks");
    return 0;
}

static int ends_a_group(void *arg)
{
    struct task_group group = {0};

    (void)arg;
    task_group_begin(&group);
    CHECK_STATUS(task_group_start(&group, sleeps_for_ever, NULL), 0);
    CHECK_STATUS(task_group_start(&group, sleeps_for_ever, NULL), 0);
    return task_group_end(&group, 0);
}

static int the_end_of_a_group_tells_how_many_children_are_left(void *arg)
{
    (void)arg;
    CHECK_WAIT(ends_a_group, NULL,
               "parked 1.2 s: ending a group with 2 tasks; in 1 scope");
    return 0;
}

static int acquires(void *arg)
{
    return task_lock_acquire(arg);
}

static int holds(void *arg)
{
    CHECK_STATUS(task_lock_acquire(arg), 0);
    task_sleep(TASK_FOREVER);
    return task_lock_release(arg);
}

static int a_lock_names_its_owner(void *arg)
{
    struct task_lock lock = {0};
    struct task *owner = test_start(holds, &lock, "db");

    (void)arg;
    CHECK_WAIT(acquires, &lock,
               "parked 1.2 s: acquiring lock 0x held by task 2 \"db\"");
    return task_cancel_await(owner);
}

struct meeting {
    struct task_lock lock;
    struct task_condition condition;
};

static int waits_on_a_condition(void *arg)
{
    struct meeting *meeting = arg;
    int status = task_lock_acquire(&meeting->lock);

    CHECK_STATUS(status, 0);
    status = task_condition_wait(&meeting->condition, &meeting->lock);
    task_lock_release(&meeting->lock);
    return status;
}

static int a_condition_is_named_and_then_its_lock(void *arg)
{
    struct meeting meeting = {.lock = {0}};
    struct task *task;

    (void)arg;
    CHECK_WAIT(waits_on_a_condition, &meeting,
               "parked 1.2 s: waiting on condition 0x");
    task = test_start(waits_on_a_condition, &meeting, "x");
    CHECK_STATUS(task_lock_acquire(&meeting.lock), 0);
    task_condition_notify(&meeting.condition, 1);
    task_yield();
    CHECK_LINE("parked 0 us: reacquiring lock 0x held by task 1 "
               "\"task-1\"");
    CHECK_STATUS(task_lock_release(&meeting.lock), 0);
    return task_await(task);
}

static int waits_for_an_event(void *arg)
{
    return task_event_wait(arg);
}

static int takes_a_token(void *arg)
{
    return task_semaphore_acquire(arg);
}

static int comes_to_a_barrier(void *arg)
{
    return task_barrier_wait(arg);
}

static int events_semaphores_and_barriers_are_named(void *arg)
{
    struct task_event event = {0};
    struct task_semaphore semaphore = TASK_SEMAPHORE_INIT(0);
    struct task_barrier barrier = TASK_BARRIER_INIT(3);

    (void)arg;
    CHECK_WAIT(waits_for_an_event, &event,
               "parked 1.2 s: waiting for event 0x");
    CHECK_WAIT(takes_a_token, &semaphore,
               "parked 1.2 s: acquiring semaphore 0x");
    CHECK_WAIT(comes_to_a_barrier, &barrier,
               "parked 1.2 s: waiting at barrier 0x, 1 of 3 there");
    return 0;
}

static int reads(void *arg)
{
    return task_rwlock_read_acquire(arg);
}

static int writes(void *arg)
{
    return task_rwlock_write_acquire(arg);
}

static int an_rwlock_names_its_writer_or_counts_its_readers(void *arg)
{
    struct task_rwlock rwlock = {.readers = 0};

    (void)arg;
    CHECK_STATUS(task_rwlock_write_acquire(&rwlock), 0);
    CHECK_WAIT(reads, &rwlock,
               "parked 1.2 s: reading rwlock 0x held by task 1 \"task-1\"");
    CHECK_WAIT(writes, &rwlock,
               "parked 1.2 s: writing rwlock 0x held by task 1 \"task-1\"");
    CHECK_STATUS(task_rwlock_write_release(&rwlock), 0);
    CHECK_STATUS(task_rwlock_read_acquire(&rwlock), 0);
    CHECK_WAIT(writes, &rwlock,
               "parked 1.2 s: writing rwlock 0x held by 1 reader");
    CHECK_STATUS(task_rwlock_read_acquire(&rwlock), 0);
    CHECK_WAIT(writes, &rwlock,
               "parked 1.2 s: writing rwlock 0x held by 2 readers");
    CHECK_STATUS(task_rwlock_read_release(&rwlock), 0);
    return task_rwlock_read_release(&rwlock);
}

static int does_it_once(void *arg)
{
    return task_once_run(arg, sleeps_for_ever, NULL);
}

static int a_once_names_who_runs_it(void *arg)
{
    struct task_once once = {0};
    struct task *runner = test_start(does_it_once, &once, "first");

    (void)arg;
    CHECK_WAIT(does_it_once, &once,
               "parked 1.2 s: waiting for once 0x, run by task 2 \"first\"");
    CHECK_STATUS(task_cancel_await(runner), -ECANCELED);
    return task_once_destroy(&once);
}

static int gets(void *arg)
{
    int item;

    return task_queue_get(arg, &item);
}

static int puts_one(void *arg)
{
    int item = 1;

    return task_queue_put(arg, &item);
}

static int joins(void *arg)
{
    return task_queue_join(arg);
}

static int a_queue_is_empty_or_full_or_unfinished(void *arg)
{
    struct task_queue queue;
    int item = 1;

    (void)arg;
    CHECK_STATUS(task_queue_init(&queue, sizeof item, 2), 0);
    CHECK_WAIT(gets, &queue, "parked 1.2 s: getting from queue 0x, empty");
    CHECK_STATUS(task_queue_put(&queue, &item), 0);
    CHECK_STATUS(task_queue_put(&queue, &item), 0);
    CHECK_WAIT(puts_one, &queue,
               "parked 1.2 s: putting into queue 0x, full with 2");
    CHECK_WAIT(joins, &queue, "parked 1.2 s: joining queue 0x, 2 unfinished");
    return task_queue_destroy(&queue);
}

struct choices {
    struct task_select_case *cases;
    size_t n;
};

static int selects(void *arg)
{
    const struct choices *choices = arg;

    return task_select(choices->cases, choices->n, TASK_MINUTE);
}

static int a_select_names_its_cases(void *arg)
{
    struct task_queue empty;
    struct task_queue full;
    struct task_event event = {0};
    struct task *future = task_future_create();
    int item = 1;
    struct task_select_case cases[12] = {
        TASK_SELECT_GET(&empty, &item), TASK_SELECT_PUT(&full, &item),
        TASK_SELECT_EVENT(&event), TASK_SELECT_TASK(future)};

    (void)arg;
    CHECK_STATUS(task_queue_init(&empty, sizeof item, 1), 0);
    CHECK_STATUS(task_queue_init(&full, sizeof item, 1), 0);
    CHECK_STATUS(task_queue_put(&full, &item), 0);
    CHECK_WAIT(selects, (&(struct choices){cases, 4}),
               "parked 1.2 s: selecting queue 0x, empty or queue 0x, full or "
               "event 0x or future 2 \"task-2\"; time-out in 58.8 s");
    for (size_t i = 0; i < 12; i++)
        cases[i] = TASK_SELECT_EVENT(&event);
    CHECK_WAIT(selects, (&(struct choices){cases, 12}),
               "parked 1.2 s: selecting event 0x or event 0x or event 0x or "
               "event 0x or event 0x or event 0x or event 0x or event 0x or 4 "
               "more; time-out in 58.8 s");
    task_detach(future);
    CHECK_STATUS(task_queue_destroy(&empty), 0);
    return task_queue_destroy(&full);
}

/* Descriptors. */

static int reads_fd(void *arg)
{
    char c;

    return (int)task_read(*(int *)arg, &c, 1);
}

static int writes_fd(void *arg)
{
    static const char zeros[1 << 20];

    while (send(*(int *)arg, zeros, sizeof zeros, MSG_DONTWAIT) > 0)
        continue;
    return (int)task_write(*(int *)arg, zeros, sizeof zeros);
}

static int reads_more(void *arg)
{
    char chars[2];

    return (int)task_read_full(*(int *)arg, chars, 2);
}

static int polls(void *arg)
{
    return task_wait_fd(*(int *)arg, POLLIN);
}

static int accepts(void *arg)
{
    return task_accept(*(int *)arg, NULL, NULL);
}

/* The same as check_wait, but what it waits for has no end in virtual time. */
static void check_fd(task_fn *fn, int fd, const char *expected, int line)
{
    struct task *task = test_start(fn, &fd, "x");

    check_line(expected, __FILE__, line);
    CHECK(task_cancel(task));
    CHECK(task_await(task) != 0);
}

#define CHECK_FD(fn, fd, expected) check_fd(fn, fd, expected, __LINE__)

static int a_pipe_is_named_by_its_number(void *arg)
{
    int fds[2];
    char expected[80];

    (void)arg;
    CHECK_STATUS(pipe(fds), 0);
    snprintf(expected, sizeof expected, "parked 0 us: reading fd %d", fds[0]);
    CHECK_FD(reads_fd, fds[0], expected);
    snprintf(expected, sizeof expected, "parked 0 us: waiting for fd %d",
             fds[0]);
    CHECK_FD(polls, fds[0], expected);
    CHECK_STATUS(write(fds[1], "x", 1), 1);
    snprintf(expected, sizeof expected, "parked 0 us: reading fd %d", fds[0]);
    CHECK_FD(reads_more, fds[0], expected);
    task_close(fds[0]);
    return task_close(fds[1]);
}

static int a_socket_without_a_name_says_so(void *arg)
{
    int fds[2];
    char expected[80];

    (void)arg;
    CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    snprintf(expected, sizeof expected,
             "parked 0 us: reading fd %d (unix <- unix)", fds[0]);
    CHECK_FD(reads_fd, fds[0], expected);
    snprintf(expected, sizeof expected,
             "parked 0 us: writing fd %d (unix -> unix)", fds[0]);
    CHECK_FD(writes_fd, fds[0], expected);
    task_close(fds[0]);
    return task_close(fds[1]);
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address;

    CHECK_STATUS(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

/* A listening socket on the loopback address of a family; -1: there is none. */
static int listen_on(int family)
{
    struct sockaddr_in ip4 = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6,
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(family, SOCK_STREAM, 0);
    int error = family == AF_INET
                    ? bind(fd, (struct sockaddr *)&ip4, sizeof ip4)
                    : bind(fd, (struct sockaddr *)&ip6, sizeof ip6);

    if (!error && !listen(fd, 1))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void check_connection(int family, const char *host)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int listener = listen_on(family);
    int client = socket(family, SOCK_STREAM, 0);
    int server;
    char expected[120];

    if (listener < 0)
        return;
    snprintf(expected, sizeof expected,
             "parked 0 us: accepting from fd %d (%s:%u)", listener, host,
             port_of(listener));
    CHECK_FD(accepts, listener, expected);
    CHECK_STATUS(getsockname(listener, (struct sockaddr *)&address, &length),
                 0);
    CHECK_STATUS(connect(client, (struct sockaddr *)&address, length), 0);
    server = task_accept(listener, NULL, NULL);
    CHECK(server >= 0);
    snprintf(expected, sizeof expected,
             "parked 0 us: reading fd %d (%s:%u <- %s:%u)", server, host,
             port_of(server), host, port_of(client));
    CHECK_FD(reads_fd, server, expected);
    task_close(server);
    task_close(client);
    task_close(listener);
}

static int a_connection_is_named_by_its_addresses(void *arg)
{
    (void)arg;
    check_connection(AF_INET, "127.0.0.1");
    check_connection(AF_INET6, "[::1]");
    return 0;
}

static int a_local_socket_is_named_by_its_path(void *arg)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char expected[160];

    (void)arg;
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/task-dump-%d",
             (int)getpid());
    CHECK_STATUS(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_STATUS(listen(fd, 1), 0);
    snprintf(expected, sizeof expected,
             "parked 0 us: accepting from fd %d (%s)", fd, address.sun_path);
    CHECK_FD(accepts, fd, expected);
    unlink(address.sun_path);
    return task_close(fd);
}

/* Programs and signals. */

static int waits_for_process(void *arg)
{
    return task_process_wait(arg);
}

static int a_process_is_named_by_its_number(void *arg)
{
    static const char *const argv[] = {"sleep", "1000", NULL};
    struct task_process *process;
    char expected[80];
    struct task *task;

    (void)arg;
    CHECK_STATUS(task_process_exec(&process, argv, NULL), 0);
    snprintf(expected, sizeof expected, "parked 0 us: waiting for process %d",
             (int)task_process_pid(process));
    task = test_start(waits_for_process, process, "x");
    check_line(expected, __FILE__, __LINE__);
    task_process_free(process);
    CHECK_STATUS(task_await(task), -EBADF);
    return 0;
}

static int waits_for_signals(void *arg)
{
    return task_signal_wait(arg, NULL);
}

static void check_signals(const sigset_t *set, const char *expected, int line)
{
    sigset_t copy = *set;
    struct task *task = test_start(waits_for_signals, &copy, "x");

    check_line(expected, __FILE__, line);
    CHECK(task_cancel(task));
    CHECK_STATUS(task_await(task), -ECANCELED);
}

static int signals_are_named(void *arg)
{
    sigset_t set;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    check_signals(&set, "parked 0 us: waiting for signal SIGUSR1", __LINE__);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGRTMIN + 3);
    check_signals(&set,
                  "parked 0 us: waiting for signal SIGHUP or SIGUSR1 or "
                  "SIGRTMIN+3",
                  __LINE__);
    for (int i = 4; i < 12; i++)
        sigaddset(&set, SIGRTMIN + i);
    check_signals(&set,
                  "parked 0 us: waiting for signal SIGHUP or SIGUSR1 or "
                  "SIGRTMIN+3 or SIGRTMIN+4 or SIGRTMIN+5 or SIGRTMIN+6 or "
                  "SIGRTMIN+7 or SIGRTMIN+8 or 3 more",
                  __LINE__);
    return 0;
}

/* States. */

static void outside_of_a_loop_it_says_so(void **state)
{
    char *dump = dump_whole();

    (void)state;
    assert_string_equal(dump, "no loop runs in this thread\n");
    free(dump);
}

static int nothing_is_written_to_no_file(void *arg)
{
    (void)arg;
    task_dump(NULL);
    return 0;
}

static void nor_outside_of_a_loop(void **state)
{
    (void)state;
    task_dump(NULL);
}

static int every_state_has_its_word(void *arg)
{
    struct task *parked = test_start(sleeps_long, NULL, "parked");
    struct task *ready = test_start(yields, NULL, "ready");
    struct task *tasks[3] = {parked, ready, NULL};

    (void)arg;
    tasks[2] = task_create_with(sleeps_long, NULL,
                                &(struct task_options){.name = "new"});
    CHECK_DUMP(
        "loop 0x: 4 tasks, 1 running, 1 ready, 1 new, 1 parked, 1 timer\n"
        "  task 1 \"task-1\", running\n"
        "  task 2 \"parked\", parked 0 us: sleeping 1 h more\n"
        "  task 3 \"ready\", ready\n"
        "  task 4 \"new\", new\n");
    for (int i = 0; i < 3; i++)
        task_cancel_await(tasks[i]);
    CHECK_DUMP("loop 0x: 1 task, 1 running\n"
               "  task 1 \"task-1\", running\n");
    return 0;
}

static int a_daemon_is_called_one(void *arg)
{
    struct task_options options = {.name = "x", .daemon = true};
    struct task *task = task_create_with(sleeps_long, NULL, &options);

    (void)arg;
    CHECK_LINE("daemon, new");
    task_cancel_await(task);
    return 0;
}

static int requests_are_counted(void *arg)
{
    struct task *task = test_start(swallows, NULL, "x");

    (void)arg;
    CHECK(task_cancel(task));
    CHECK_LINE("ready; cancelling 1");
    CHECK(task_cancel(task));
    CHECK_LINE("ready; cancelling 2");
    CHECK_STATUS(task_await(task), 7);
    task = task_create_with(sleeps, NULL, &(struct task_options){.name = "x"});
    CHECK(task_cancel(task));
    CHECK_LINE("new; cancelling 1, not delivered");
    CHECK_STATUS(task_await(task), -ECANCELED);
    return 0;
}

static int sleeps_in_scopes(void *arg)
{
    struct task_timeout outer;
    struct task_timeout inner;
    int status;

    (void)arg;
    task_timeout_begin(&outer, TASK_SECOND);
    task_timeout_begin(&inner, TASK_MINUTE);
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    status = task_sleep(TASK_SECOND);
    status = task_timeout_end(&inner, status);
    return task_timeout_end(&outer, status);
}

static int waits_in_a_scope_of_old(void *arg)
{
    struct task_timeout timeout;

    (void)arg;
    task_timeout_begin_at(&timeout, INT64_MIN);
    CHECK_STATUS(task_sleep(TASK_FOREVER), -ECANCELED);
    return task_timeout_end(&timeout, task_sleep(TASK_FOREVER));
}

static int a_deadline_before_all_time_is_told(void *arg)
{
    struct task *task = test_start(waits_in_a_scope_of_old, NULL, "x");

    (void)arg;
    task_sleep(TASK_SECOND);
    CHECK_LINE("parked 1.0 s: sleeping for ever; cancelling 1; in 1 scope, "
               "time-out 1.0 s ago");
    task_cancel(task);
    task_await(task);
    return 0;
}

static int scopes_tell_their_nearest_deadline(void *arg)
{
    struct task *task = test_start(sleeps_in_scopes, NULL, "x");

    (void)arg;
    task_sleep(500 * TASK_MILLISECOND);
    CHECK_LINE("parked 500 ms: sleeping for ever; in 2 scopes, time-out in 500 "
               "ms");
    task_sleep(750 * TASK_MILLISECOND);
    CHECK_LINE("parked 250 ms: sleeping 750 ms more; cancelling 1; in 2 "
               "scopes, time-out 250 ms ago");
    task_cancel(task);
    task_await(task);
    return 0;
}

static int names_stay_on_their_line(void *arg)
{
    struct task *task = task_create(sleeps, NULL);

    (void)arg;
    task_set_name(task, "a\nb\t\x7f");
    CHECK_DUMP("loop 0x: 2 tasks, 1 running, 1 new\n"
               "  task 1 \"task-1\", running\n"
               "  task 2 \"a?b??\", new\n");
    return task_await(task);
}

static int the_place_and_the_stack_are_told(void *arg)
{
    struct task *task = task_create(sleeps, NULL);
    int line = __LINE__ - 1;
    struct task *begun = test_start(sleeps, NULL, "begun");
    char *dump = dump_whole();
    char expected[200];
    const char *used = dump ? strstr(dump, "task 3") : NULL;

    (void)arg;
    snprintf(expected, sizeof expected,
             "new; created at %s:%d; stack of 64 KiB\n", __FILE__, line);
    CHECK(dump && strstr(dump, expected));
    used = used ? strstr(used, "; stack ") : NULL;
    CHECK(used && strtod(used + 8, NULL) > 0 && strtod(used + 8, NULL) < 64);
    CHECK(used && strstr(used, " of 64 KiB\n"));
    free(dump);
    CHECK_STATUS(task_await(task), 0);
    return task_await(begun);
}

/* Shapes. */

static int awaits_two(void *arg)
{
    struct task **tasks = arg;
    struct task *both[] = {task_retain(tasks[0]), task_retain(tasks[1])};

    return task_gather(both, 2, NULL);
}

static int what_several_wait_for_is_shown_once(void *arg)
{
    struct task *tasks[] = {test_start(sleeps, NULL, "a"),
                            test_start(sleeps, NULL, "b")};
    struct task *one = test_start(awaits_two, tasks, "one");
    struct task *two = test_start(awaits_two, tasks, "two");
    struct task *three = test_start(awaits, task_retain(tasks[1]), "three");

    (void)arg;
    CHECK_DUMP("loop 0x: 6 tasks, 1 running, 5 parked, 2 timers\n"
               "  task 1 \"task-1\", running\n"
               "  task 4 \"one\", parked 0 us: gathering 2 tasks\n"
               "    task 2 \"a\", parked 0 us: sleeping 1.0 s more; awaited by "
               "tasks 4, 5\n"
               "    task 3 \"b\", parked 0 us: sleeping 1.0 s more; awaited by "
               "tasks 4, 5, 6\n"
               "  task 5 \"two\", parked 0 us: gathering 2 tasks\n"
               "    task 2 \"a\", see above\n"
               "    task 3 \"b\", see above\n"
               "  task 6 \"three\", parked 0 us: awaiting task 3 \"b\"\n");
    CHECK_STATUS(task_await(tasks[0]), 0);
    CHECK_STATUS(task_await(tasks[1]), 0);
    task_await(one);
    task_await(two);
    return task_await(three);
}

static int an_edge_goes_when_the_wait_ends(void *arg)
{
    struct task *future = task_future_create();
    struct task *task = test_start(shields, future, "awaiter");

    (void)arg;
    CHECK_DUMP(
        "loop 0x: 2 tasks, 1 running, 1 parked\n"
        "  task 1 \"task-1\", running\n"
        "  task 3 \"awaiter\", parked 0 us: awaiting (shielded) future 2 "
        "\"task-2\"\n"
        "    future 2 \"task-2\", not done\n");
    CHECK(task_cancel(task));
    CHECK_DUMP("loop 0x: 2 tasks, 1 running, 1 ready\n"
               "  task 1 \"task-1\", running\n"
               "  task 3 \"awaiter\", ready; cancelling 1\n");
    CHECK_STATUS(task_await(task), -ECANCELED);
    task_detach(future);
    return 0;
}

static int waits_for_its_awaiter(void *arg)
{
    struct task *other = *(struct task **)arg;

    return task_wait(&other, 1, TASK_FIRST_DONE, TASK_MINUTE);
}

static int a_cycle_is_shown_with_its_way(void *arg)
{
    struct task *tasks[3];
    struct task *last = task_future_create();

    (void)arg;
    tasks[0] = last;
    tasks[2] = test_start(waits_for_its_awaiter, &tasks[0], "c");
    task_cancel_await(tasks[2]);
    tasks[2] = task_create_with(waits_for_its_awaiter, &tasks[0],
                                &(struct task_options){.name = "c"});
    tasks[1] = task_create_with(awaits, task_retain(tasks[2]),
                                &(struct task_options){.name = "b"});
    tasks[0] = task_create_with(awaits, task_retain(tasks[1]),
                                &(struct task_options){.name = "a"});
    task_yield();
    CHECK_DUMP("loop 0x: 4 tasks, 1 running, 3 parked, 1 timer\n"
               "  task 1 \"task-1\", running\n"
               "  task 4 \"c\", parked 0 us: waiting for task 6 \"a\"; "
               "time-out in 1 min\n"
               "    task 6 \"a\", parked 0 us: awaiting task 5 \"b\"\n"
               "      task 5 \"b\", parked 0 us: awaiting task 4 \"c\"\n"
               "        task 4 \"c\", a cycle of 3: 4 -> 6 -> 5 -> 4\n");
    task_cancel(tasks[0]);
    for (int i = 0; i < 3; i++)
        task_await(tasks[i]);
    task_detach(last);
    return 0;
}

static int awaits_all_before(void *arg)
{
    struct task **task = arg;

    if (!*task)
        return task_sleep(TASK_SECOND);
    return task_shield(*task);
}

enum { ROW = 40 };

static int deep_ones_tell_how_deep_they_are(void *arg)
{
    struct task *row[ROW + 1] = {NULL};
    char *dump;
    char expected[300];

    (void)arg;
    for (int i = 0; i < ROW; i++)
        row[i + 1] = task_create(awaits_all_before, &row[i]);
    task_yield();
    dump = dump_masked();
    snprintf(expected, sizeof expected,
             "\n%*stask 11 \"task-11\", parked 0 us: awaiting (shielded) task "
             "10 \"task-10\"\n%*s[31] task 10 ",
             62, "", 62, "");
    CHECK(dump && strstr(dump, expected));
    free(dump);
    for (int i = 1; i <= ROW; i++)
        task_await(row[i]);
    return 0;
}

static int a_long_cycle_names_some(void *arg)
{
    struct task *row[ROW + 1] = {NULL};
    struct task *first;
    char *dump;

    (void)arg;
    first = task_create(waits_for_its_awaiter, &row[ROW]);
    row[0] = first;
    for (int i = 0; i < ROW; i++)
        row[i + 1] = task_create(awaits_all_before, &row[i]);
    task_yield();
    dump = dump_masked();
    CHECK(dump &&
          strstr(dump, "a cycle of 41: 2 -> 42 -> 41 -> 40 -> 39 -> 38 -> 37 "
                       "-> 36 -> ... -> 2\n"));
    free(dump);
    task_cancel(first);
    for (int i = 0; i <= ROW; i++)
        task_await(row[i]);
    return 0;
}

static int who_waits_for_one_is_named_up_to_a_few(void *arg)
{
    struct task *task = test_start(sleeps, NULL, "x");
    struct task *tasks[10];

    (void)arg;
    for (int i = 0; i < 10; i++)
        tasks[i] = test_start(awaits, task_retain(task), "awaiter");
    CHECK_LINE("parked 0 us: sleeping 1.0 s more; awaited by tasks 3, 4, 5, 6, "
               "7, 8, 9, 10 and 2 more");
    for (int i = 0; i < 10; i++)
        CHECK_STATUS(task_await(tasks[i]), 0);
    return task_await(task);
}

/* Bounds. */

static size_t check_bounded(size_t most, const char *last)
{
    char *dump = dump_masked();
    size_t n = dump ? count_lines(dump) : 0;
    size_t length = strlen(last);

    CHECK(n <= most);
    CHECK(dump && strlen(dump) > length &&
          strcmp(dump + strlen(dump) - length, last) == 0);
    free(dump);
    return n;
}

static int many_are_not_all_shown(void *arg)
{
    unsigned n = 4000;
    struct task **tasks = calloc(n, sizeof(struct task *));

    (void)arg;
    CHECK(tasks);
    for (unsigned i = 0; tasks && i < n; i++)
        tasks[i] = task_create(sleeps, NULL);
    task_yield();
    CHECK_STATUS(check_bounded(1002, "\n  ... and 3001 tasks more\n"), 1002);
    for (unsigned i = 0; tasks && i < n; i++)
        task_await(tasks[i]);
    free(tasks);
    return 0;
}

static struct task *gatherer;

static void dump_of_a_gather(void *arg)
{
    char *dump = dump_masked();
    const char *found =
        dump ? strstr(dump, "parked 0 us: gathering 4000 tasks\n") : NULL;

    (void)arg;
    CHECK(found);
    CHECK(dump && count_lines(dump) == 26);
    CHECK(dump && strstr(dump, "\n    ... and 3980 more\n"
                               "  task 4003 \"other\", parked 0 us: sleeping "
                               "1.0 s more\n"
                               "  ... and 3980 tasks more\n"));
    free(dump);
    task_cancel(gatherer);
}

static int gathers_four_thousand(void *arg)
{
    static struct task *tasks[4000];

    (void)arg;
    for (size_t i = 0; i < 4000; i++)
        tasks[i] = task_create(sleeps, NULL);
    return task_gather(tasks, 4000, NULL);
}

static int of_many_children_some_are_shown_and_the_others_after_them(void *arg)
{
    struct task *other;

    (void)arg;
    gatherer = task_create(gathers_four_thousand, NULL);
    task_yield();
    task_yield();
    other =
        task_create_with(sleeps, NULL, &(struct task_options){.name = "other"});
    task_yield();
    CHECK(loop_call_soon(dump_of_a_gather, NULL) > 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK_STATUS(task_await(other), 0);
    CHECK_STATUS(task_await(gatherer), -ECANCELED);
    return 0;
}

static int awaits_the_next(void *arg)
{
    unsigned *n = arg;

    if (!--*n) {
        check_bounded(1002, " tasks more\n");
        return 0;
    }
    return task_await(task_create(awaits_the_next, n));
}

static int a_long_row_needs_no_deep_stack(void *arg)
{
    unsigned n = test_rounds(100000);

    (void)arg;
    return task_await(task_create(awaits_the_next, &n));
}

static struct memory_count memory;

static int dumps_without_memory(void *arg)
{
    struct task *tasks[50];

    (void)arg;
    for (int i = 0; i < 50; i++)
        tasks[i] = task_create(sleeps, NULL);
    memory.fail_at = 1;
    CHECK_STATUS(check_bounded(26, "\n  ... and 27 tasks more\n"), 26);
    memory.fail_at = 0;
    for (int i = 0; i < 50; i++)
        task_await(tasks[i]);
    return 0;
}

static void without_memory_some_are_shown(void **state)
{
    struct loop *loop;

    (void)state;
    memory = (struct memory_count){0};
    loop = test_loop_new(&memory);
    assert_int_equal(loop_run_main(loop, dumps_without_memory, NULL), 0);
    assert_checks();
    test_loop_free(loop, &memory);
}

static int dumps(void *arg)
{
    char *dump = dump_masked();

    (void)arg;
    CHECK(dump && strstr(dump, "running"));
    free(dump);
    return 0;
}

static int the_smallest_stack_is_large_enough(void *arg)
{
    struct task_options options = {.stack_size = TASK_STACK_MIN};

    (void)arg;
    memory.fail_at = 1;
    return task_await(task_create_with(dumps, NULL, &options));
}

/* Where it is called. */

static void dump_in_callback(void *arg)
{
    CHECK_DUMP(arg);
}

static int a_callback_shows_that_nobody_runs(void *arg)
{
    (void)arg;
    CHECK(loop_call_soon(dump_in_callback,
                         text("loop 0x: 1 task, 1 parked, 1 timer\n"
                              "  task 1 \"task-1\", parked 0 us: sleeping 1.0 "
                              "s more\n")) > 0);
    return task_sleep(TASK_SECOND);
}

static void dump_in_hook(const struct loop_error *error, void *arg)
{
    record("kind %d", (int)error->kind);
    if (error->kind != LOOP_ERROR_SHUTDOWN)
        check_dump(arg, __FILE__, __LINE__);
}

static void run_with_hook(task_fn *fn, int expected, const char *dump)
{
    struct loop_options options = test_options(NULL);

    options.on_error = dump_in_hook;
    options.on_error_arg = text(dump);
    assert_int_equal(run_with(options, fn, NULL), expected);
}

static int leaves_a_failure(void *arg)
{
    struct task *task = test_start(fails, NULL, "failing");

    (void)arg;
    CHECK(task_done(task));
    task_detach(task);
    return 0;
}

static void in_the_error_hook_the_task_still_runs(void **state)
{
    (void)state;
    run_with_hook(leaves_a_failure, 0,
                  "loop 0x: 1 task, 1 running\n"
                  "  task 1 \"task-1\", running\n");
    assert_record("kind 1");
}

/* A request that goes from a task to a future, to one that fails for that. */
static int is_failed_by_a_future(void *arg)
{
    struct task *future = arg;

    task_future_complete(future, -EIO);
    task_detach(future);
    return 0;
}

static int awaits_to_the_end(void *arg)
{
    struct task *future = task_future_create();
    struct task *tasks[] = {task_create(is_failed_by_a_future, future), NULL};

    (void)arg;
    return task_gather(tasks, 1, NULL);
}

static void a_failure_of_nobody_s_is_told_in_the_midst_of_its_task(void **state)
{
    (void)state;
    run_with_hook(awaits_to_the_end, 0,
                  "loop 0x: 2 tasks, 1 running, 1 parked\n"
                  "  task 1 \"task-1\", parked 0 us: gathering task 3 "
                  "\"task-3\"\n"
                  "    task 3 \"task-3\", running\n");
    assert_record("kind 1");
}

static void in_a_deadlock_all_are_parked(void **state)
{
    (void)state;
    run_with_hook(sleeps_for_ever, -EDEADLK,
                  "loop 0x: 1 task, 1 parked\n"
                  "  task 1 \"task-1\", parked 0 us: sleeping for ever\n");
    assert_record("kind 2");
}

static int dumps_while_it_cleans_up(void *arg)
{
    (void)arg;
    task_sleep(TASK_FOREVER);
    CHECK_DUMP("loop 0x: 2 tasks, 1 running, 1 ready\n"
               "  task 2 \"cleaner\", running; cancelling 1\n"
               "  task 3 \"other\", ready; cancelling 1\n");
    return 0;
}

static int resists(void *arg)
{
    (void)arg;
    task_sleep(TASK_FOREVER);
    return task_sleep(TASK_SECOND);
}

static int leaves_two(void *arg)
{
    struct task *cleaner =
        task_create_with(dumps_while_it_cleans_up, NULL,
                         &(struct task_options){.name = "cleaner"});
    struct task *other = test_start(resists, NULL, "other");

    (void)arg;
    task_detach(cleaner);
    task_detach(other);
    return 0;
}

static void it_works_while_the_loop_ends(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_two, NULL), 0);
}

static void dump_at_the_end(void *value)
{
    CHECK_DUMP(value);
}

static struct task_local last_words = {.destroy = dump_at_the_end};

static int never_ends(void *arg)
{
    task_local_set(&last_words, arg);
    while (task_sleep(TASK_FOREVER))
        continue;
    return 0;
}

static int leaves_one_that_never_ends(void *arg)
{
    (void)arg;
    task_detach(
        test_start(never_ends,
                   text("loop 0x: 1 task, 1 ready\n"
                        "  task 2 \"stubborn\", dropped; cancelling 1\n"),
                   "stubborn"));
    return 0;
}

static void what_is_dropped_is_called_so(void **state)
{
    (void)state;
    assert_int_equal(run_virtual(leaves_one_that_never_ends, NULL), 0);
    assert_record("deadlock(-35), shutdown(stubborn, -110)");
}

static void end_quietly(struct task *task, void *arg)
{
    (void)task;
    (void)arg;
}

static int done_ones_have_a_status(void *arg)
{
    struct task *future = task_future_create();
    struct task *task = test_start(shields, future, "x");

    (void)arg;
    CHECK_STATUS(task_add_done_callback(future, end_quietly, NULL), 0);
    CHECK_STATUS(task_future_complete(future, 3), 0);
    CHECK_LINE("ready");
    CHECK_STATUS(task_await(task), 3);
    task_detach(future);
    return 0;
}

/* A stream whose writes are the user's. */

static ssize_t write_by_dumping(void *cookie, const char *chars, size_t n)
{
    (void)chars;
    if ((*(int *)cookie)++) {
        CHECK_STATUS(task_sleep(TASK_SECOND), -EPERM);
        CHECK_DUMP("loop 0x: 1 task, 1 running (a dump is under way)\n");
    }
    return (ssize_t)n;
}

static int what_a_dump_calls_can_neither_suspend_nor_dump(void *arg)
{
    int n = 0;
    FILE *out = fopencookie(&n, "w",
                            (cookie_io_functions_t){.write = write_by_dumping});

    (void)arg;
    CHECK(out);
    if (!out)
        return 0;
    setvbuf(out, NULL, _IONBF, 0);
    task_dump(out);
    fclose(out);
    CHECK_STATUS(n, 2);
    return 0;
}

static void dump_in_child(void *arg)
{
    (void)arg;
    char *dump = dump_whole();

    if (!dump || strcmp(dump, "no loop runs in this thread\n") != 0)
        _exit(1);
    kill(getpid(), SIGKILL); /* what is inherited is not lost */
}

static int in_a_forked_child_no_loop_runs(void *arg)
{
    (void)arg;
    CHECK_STATUS(child_run(dump_in_child, NULL), SIGKILL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(a_sleep_tells_how_long_it_lasts),
        in_main(one_whose_time_has_come_is_ready),
        in_main(shows_one_that_waits_for_all_others),
        in_main(an_await_names_the_task),
        in_main(an_await_with_a_limit_tells_it),
        in_main(an_await_whose_time_is_up_tells_of_no_limit),
        in_main(a_shield_names_the_task),
        in_main(waits_for_several_tell_how_many),
        in_main(the_end_of_a_group_tells_how_many_children_are_left),
        in_main(a_lock_names_its_owner),
        in_main(a_condition_is_named_and_then_its_lock),
        in_main(events_semaphores_and_barriers_are_named),
        in_main(an_rwlock_names_its_writer_or_counts_its_readers),
        in_main(a_once_names_who_runs_it),
        in_main(a_queue_is_empty_or_full_or_unfinished),
        in_main(a_select_names_its_cases),
        in_main(a_pipe_is_named_by_its_number),
        in_main(a_socket_without_a_name_says_so),
        in_main(a_connection_is_named_by_its_addresses),
        in_main(a_local_socket_is_named_by_its_path),
        in_main(a_process_is_named_by_its_number),
        in_main(signals_are_named),
        behaviour(outside_of_a_loop_it_says_so),
        in_main(nothing_is_written_to_no_file),
        behaviour(nor_outside_of_a_loop),
        in_main(every_state_has_its_word),
        in_main(a_daemon_is_called_one),
        in_main(requests_are_counted),
        in_main(scopes_tell_their_nearest_deadline),
        in_main(a_deadline_before_all_time_is_told),
        in_main(names_stay_on_their_line),
        in_main(the_place_and_the_stack_are_told),
        in_main(what_several_wait_for_is_shown_once),
        in_main(an_edge_goes_when_the_wait_ends),
        in_main(a_cycle_is_shown_with_its_way),
        in_main(deep_ones_tell_how_deep_they_are),
        in_main(a_long_cycle_names_some),
        in_main(who_waits_for_one_is_named_up_to_a_few),
        in_main(many_are_not_all_shown),
        in_main(of_many_children_some_are_shown_and_the_others_after_them),
        in_main(a_long_row_needs_no_deep_stack),
        behaviour(without_memory_some_are_shown),
        in_main(the_smallest_stack_is_large_enough),
        in_main(a_callback_shows_that_nobody_runs),
        behaviour(in_the_error_hook_the_task_still_runs),
        behaviour(a_failure_of_nobody_s_is_told_in_the_midst_of_its_task),
        behaviour(in_a_deadlock_all_are_parked),
        behaviour(it_works_while_the_loop_ends),
        behaviour(what_is_dropped_is_called_so),
        in_main(done_ones_have_a_status),
        in_main(what_a_dump_calls_can_neither_suspend_nor_dump),
        in_main(in_a_forked_child_no_loop_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
