/*
 * Looking up names: task_getaddrinfo.
 *
 * What is numeric is asked of the system. Names are looked up by a function here
 * that a test has wait, and that tells by the name what comes out.
 */

/* The linker wraps: getaddrinfo freeaddrinfo task__workers_finish */

#include "bodies.h"
#include "cancel_points.h"
#include "descriptors.h"
#include "peers.h"
#include "record.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Of the look-ups, guarded by the mutex. */
static struct {
    bool is_shut; /* they wait */
    int n_begun;
    int n_ended;
    char host[64]; /* of the last one, when it ended */
    char service[64];
    int family;
    bool is_elsewhere; /* in another thread than the first */
    int n_lists;       /* not freed */
} world;

static pthread_t loop_thread;

/* What a name stands for. */
static const struct outcome {
    const char *name;
    int error;
    int system_error;
    int status;
} outcomes[] = {
    {"none", EAI_NONAME, 0, -ENOENT},
    {"nodata", EAI_NODATA, 0, -ENOENT},
    {"addrfamily", EAI_ADDRFAMILY, 0, -ENOENT},
    {"service", EAI_SERVICE, 0, -ENOENT},
    {"again", EAI_AGAIN, 0, -EAGAIN},
    {"memory", EAI_MEMORY, 0, -ENOMEM},
    {"flags", EAI_BADFLAGS, 0, -EINVAL},
    {"family", EAI_FAMILY, 0, -EINVAL},
    {"socktype", EAI_SOCKTYPE, 0, -EINVAL},
    {"overflow", EAI_OVERFLOW, 0, -EINVAL},
    {"fail", EAI_FAIL, 0, -EIO},
    {"emfile", EAI_SYSTEM, EMFILE, -EMFILE},
    {"nothing", EAI_SYSTEM, 0, -EIO},
};

int __real_getaddrinfo(const char *host, const char *service,
                       const struct addrinfo *hints, struct addrinfo **result);
int __wrap_getaddrinfo(const char *host, const char *service,
                       const struct addrinfo *hints, struct addrinfo **result);
void __real_freeaddrinfo(struct addrinfo *list);
void __wrap_freeaddrinfo(struct addrinfo *list);

static const struct outcome *outcome_of(const char *name)
{
    size_t n = sizeof outcomes / sizeof *outcomes;

    for (size_t i = 0; name && i < n; i++)
        if (!strcmp(outcomes[i].name, name))
            return &outcomes[i];
    return NULL;
}

static void copy(char to[64], const char *from)
{
    snprintf(to, 64, "%s", from ? from : "NULL");
}

/* Wait as long as it is shut; then look at what was asked for. */
static void pass(const char *host, const char *service,
                 const struct addrinfo *hints)
{
    pthread_mutex_lock(&mutex);
    world.n_begun++;
    pthread_cond_broadcast(&changed);
    while (world.is_shut)
        pthread_cond_wait(&changed, &mutex);
    copy(world.host, host);
    copy(world.service, service);
    world.family = hints ? hints->ai_family : -1;
    world.is_elsewhere = !pthread_equal(pthread_self(), loop_thread);
    world.n_ended++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void count_list(int n)
{
    pthread_mutex_lock(&mutex);
    world.n_lists += n;
    pthread_mutex_unlock(&mutex);
}

int __wrap_getaddrinfo(const char *host, const char *service,
                       const struct addrinfo *hints, struct addrinfo **result)
{
    static atomic_int n_interrupted;
    const struct outcome *outcome;
    int error;

    if (!hints || !(hints->ai_flags & AI_NUMERICSERV)) {
        pass(host, service, hints);
        outcome = outcome_of(host);
        if (outcome && outcome->system_error == EMFILE &&
            n_interrupted++ % 3 < 2) {
            errno = EINTR; /* which is nothing to speak of */
            return EAI_SYSTEM;
        }
        if (outcome && outcome->system_error)
            errno = outcome->system_error;
        if (outcome)
            return outcome->error;
        host = "127.0.0.1";
        service = "80";
    }
    error = __real_getaddrinfo(host, service, hints, result);
    if (!error)
        count_list(1);
    return error;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    count_list(-1);
    __real_freeaddrinfo(list);
}

static void begin_world(bool is_shut)
{
    memset(&world, 0, sizeof world);
    world.is_shut = is_shut;
    loop_thread = pthread_self();
}

static void open_up(void)
{
    pthread_mutex_lock(&mutex);
    world.is_shut = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* Until a worker is at work. The loop does not run meanwhile. */
static void await_begun(int n)
{
    pthread_mutex_lock(&mutex);
    while (world.n_begun < n)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void await_ended(int n)
{
    pthread_mutex_lock(&mutex);
    while (world.n_ended < n)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static int look_up(const char *host, const char *service)
{
    struct addrinfo *list = NULL;
    int status = task_getaddrinfo(host, service, NULL, &list);

    CHECK(!list == !!status);
    if (list)
        freeaddrinfo(list);
    return status;
}

static int looks_up(void *arg)
{
    return look_up(arg, "80");
}

/* Tests. */

static int what_is_numeric_needs_no_thread(void *arg)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    uint64_t turns = turns_now();

    (void)arg;
    begin_world(false);
    CHECK_STATUS(look_up("127.0.0.1", "80"), 0);
    CHECK_STATUS(look_up("::1", "80"), 0);
    CHECK_STATUS(look_up("127.0.0.1", ""), 0);
    CHECK_STATUS(look_up("127.0.0.1", NULL), 0);
    CHECK_STATUS(look_up(NULL, "80"), 0);
    CHECK_STATUS(task_getaddrinfo("192.0.2.7", "4711", &hints, &list), 0);
    CHECK(!list->ai_next && list->ai_family == AF_INET);
    CHECK(((struct sockaddr_in *)(void *)list->ai_addr)->sin_port ==
          htons(4711));
    freeaddrinfo(list);
    CHECK_STATUS(world.n_begun, 0);
    CHECK_STATUS(world.n_lists, 0);
    CHECK(turns_now() == turns);
    return 0;
}

static int names_are_looked_up_in_a_thread(void *arg)
{
    struct addrinfo hints = {.ai_family = AF_INET};
    struct addrinfo *list = NULL;

    (void)arg;
    begin_world(false);
    errno = E2BIG;
    CHECK_STATUS(task_getaddrinfo("name", "http", &hints, &list), 0);
    CHECK_STATUS(errno, E2BIG);
    CHECK(list != NULL);
    freeaddrinfo(list);
    CHECK(world.is_elsewhere);
    CHECK(!strcmp(world.host, "name") && !strcmp(world.service, "http"));
    CHECK_STATUS(world.family, AF_INET);
    CHECK_STATUS(look_up("name", NULL), 0);
    CHECK(!strcmp(world.service, "NULL"));
    CHECK_STATUS(world.family, -1);
    CHECK_STATUS(look_up(NULL, "http"), 0);
    CHECK(!strcmp(world.host, "NULL"));
    CHECK_STATUS(look_up("127.0.0.1", "http"), 0);
    CHECK_STATUS(world.n_begun, 4);
    CHECK_STATUS(world.n_lists, 0);
    return 0;
}

static int failures_have_codes(void *arg)
{
    (void)arg;
    begin_world(false);
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        CHECK_STATUS(look_up(outcomes[i].name, "80"), outcomes[i].status);
    return 0;
}

static int what_cannot_be_is_refused(void *arg)
{
    struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo wrong = {.ai_family = 4711};
    struct addrinfo *list = NULL;

    (void)arg;
    begin_world(false);
    CHECK_STATUS(task_getaddrinfo(NULL, NULL, NULL, &list), -EINVAL);
    CHECK_STATUS(task_getaddrinfo(NULL, "", NULL, &list), -EINVAL);
    CHECK_STATUS(task_getaddrinfo("127.0.0.1", "80", NULL, NULL), -EINVAL);
    CHECK_STATUS(task_getaddrinfo("127.0.0.1", "65536", NULL, &list), -EINVAL);
    CHECK_STATUS(
        task_getaddrinfo("127.0.0.1", "99999999999999999999", NULL, &list),
        -EINVAL);
    CHECK_STATUS(task_getaddrinfo("127.0.0.1", "80", &wrong, &list), -EINVAL);
    CHECK_STATUS(task_getaddrinfo("name", "80", &numeric, &list), -ENOENT);
    CHECK(!list);
    CHECK_STATUS(world.n_begun, 0);
    return 0;
}

static int a_request_is_taken_first(void *arg)
{
    (void)arg;
    begin_world(false);
    task_cancel(task_current());
    CHECK_STATUS(look_up("127.0.0.1", "80"), -ECANCELED);
    task_cancel(task_current());
    CHECK_STATUS(look_up("name", "80"), -ECANCELED);
    CHECK_STATUS(world.n_begun, 0);
    return 0;
}

/* And then what it was asked for may be gone. */
static int a_cancel_does_not_wait(void *arg)
{
    char *host = strdup("name");
    struct task *task;

    (void)arg;
    begin_world(true);
    task = test_start(looks_up, host, "looks up");
    await_begun(1);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    memset(host, 'x', 4);
    free(host);
    CHECK_STATUS(world.n_ended, 0);
    open_up();
    await_ended(1);
    while (stats().tasks > 1) /* until the loop has heard of it */
        CHECK_STATUS(task_yield(), 0);
    CHECK(!strcmp(world.host, "name"));
    CHECK_STATUS(world.n_lists, 0);
    return 0;
}

static int a_time_out_does_not_wait(void *arg)
{
    struct task_timeout timeout;
    task_time start = loop_time();
    int status;

    (void)arg;
    begin_world(true);
    task_timeout_begin(&timeout, 10 * TASK_MILLISECOND);
    status = look_up("name", "80");
    CHECK_STATUS(task_timeout_end(&timeout, status), -ETIMEDOUT);
    CHECK(loop_time() - start < 5 * TASK_SECOND);
    open_up();
    return 0;
}

/* The virtual clock stands still as long as there are jobs. */
static void a_time_out_does_not_wait_in_real_time(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(run_with(options, a_time_out_does_not_wait, NULL), 0);
    assert_int_equal(world.n_lists, 0);
}

/* The loop has one worker for names, which is at work. */
static int one_that_has_not_begun_is_taken_back(void *arg)
{
    struct task *first;
    struct task *second;

    (void)arg;
    begin_world(true);
    first = test_start(looks_up, text("first"), "first");
    second = test_start(looks_up, text("second"), "second");
    await_begun(1);
    CHECK_STATUS(task_cancel_await(second), -ECANCELED);
    open_up();
    CHECK_STATUS(task_await(first), 0);
    CHECK_STATUS(world.n_begun, 1);
    return 0;
}

static void one_that_has_not_begun_never_begins(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.worker_threads = 1;
    assert_int_equal(
        run_with(options, one_that_has_not_begun_is_taken_back, NULL), 0);
}

static int looks_up_and_keeps(void *arg)
{
    return task_getaddrinfo("name", "80", NULL, arg);
}

/* The result and the cancel come in one turn: whichever is first counts. */
static int a_result_that_was_granted_is_delivered(void *arg)
{
    (void)arg;
    for (unsigned n_turns = 0; n_turns < 6; n_turns++) {
        struct addrinfo *list = NULL;
        struct task *task;
        int status;

        begin_world(false);
        task = test_start(looks_up_and_keeps, &list, "looks up");
        await_ended(1);
        for (unsigned i = 0; i < n_turns; i++)
            CHECK_STATUS(task_yield(), 0);
        task_cancel(task);
        status = task_await(task);
        CHECK(status == 0 || status == -ECANCELED);
        CHECK(!list == !!status);
        if (list)
            freeaddrinfo(list);
        while (stats().tasks > 1)
            CHECK_STATUS(task_yield(), 0);
        CHECK_STATUS(world.n_lists, 0);
    }
    return 0;
}

/* Nor is it told that a look-up has failed which nobody waits for any more. */
static int a_failure_is_nobody_s_after_a_cancel(void *arg)
{
    struct task *task;

    (void)arg;
    for (unsigned n_turns = 0; n_turns < 6; n_turns++) {
        begin_world(false);
        task = test_start(looks_up, text("none"), "looks up");
        await_ended(1);
        for (unsigned i = 0; i < n_turns; i++)
            CHECK_STATUS(task_yield(), 0);
        task_cancel(task);
        (void)task_await(task);
        while (stats().tasks > 1)
            CHECK_STATUS(task_yield(), 0);
    }
    begin_world(true);
    task = test_start(looks_up, text("none"), "looks up");
    await_begun(1);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    open_up();
    await_ended(1);
    while (stats().tasks > 1)
        CHECK_STATUS(task_yield(), 0);
    CHECK_RECORD("");
    return 0;
}

static int leaves_a_look_up(void *arg)
{
    struct task *task = test_start(looks_up, arg, "looks up");

    await_begun(1);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    open_up();
    return 0;
}

static void the_end_of_the_loop_waits_for_one_that_is_left(void **state)
{
    (void)state;
    begin_world(true);
    assert_int_equal(run_virtual(leaves_a_look_up, text("name")), 0);
    assert_int_equal(world.n_ended, 1);
    assert_int_equal(world.n_lists, 0);
}

static bool opens_up_late;

void __real_task__workers_finish(struct loop *loop);
void __wrap_task__workers_finish(struct loop *loop);

/* By now the tasks that are left have been dropped. */
void __wrap_task__workers_finish(struct loop *loop)
{
    if (opens_up_late)
        open_up();
    opens_up_late = false;
    __real_task__workers_finish(loop);
}

static int drops_a_look_up(void *arg)
{
    test_start(looks_up, arg, "looks up");
    await_begun(1);
    return 0;
}

/* A worker is at it, and its task does not live to see the end. */
static void the_result_of_one_that_was_dropped_is_freed(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    begin_world(true);
    options.clock = LOOP_CLOCK_REAL; /* virtual time waits for jobs */
    options.shutdown_timeout = 1;
    opens_up_late = true;
    assert_int_equal(run_with(options, drops_a_look_up, text("name")), 0);
    assert_record("shutdown(look-up of a name, -110)");
    assert_int_equal(world.n_ended, 1);
    assert_int_equal(world.n_lists, 0);
}

static int looks_up_twice(void *arg)
{
    int status = look_up("name", "80");

    (void)arg;
    if (!status)
        status = look_up("127.0.0.1", "http");
    return status;
}

static void check_lists(void *arg)
{
    (void)arg;
    await_ended(world.n_begun);
}

static void a_cancel_at_any_point_leaks_nothing(void **state)
{
    (void)state;
    begin_world(false);
    cancel_at_every_point(looks_up_twice, check_lists, NULL);
    assert_int_equal(world.n_lists, 0);
}

static bool run_with_little_memory(size_t fail_at)
{
    struct memory_count count = {.fail_at = fail_at};
    struct loop_options options = test_options(&count);
    struct loop *loop = loop_new(&options);
    int status;

    if (!loop)
        return true;
    begin_world(false);
    status = loop_run_main(loop, looks_up_twice, NULL);
    assert_true(!status || (status == -ENOMEM && !count.fail_at));
    fail_at = count.fail_at;
    test_loop_free(loop, &count);
    assert_int_equal(world.n_lists, 0);
    return !fail_at;
}

static void memory_that_is_short_is_told(void **state)
{
    size_t fail_at = 1;

    (void)state;
    while (run_with_little_memory(fail_at))
        fail_at++;
    assert_true(fail_at > 5);
}

/* Users of it. */

static int connecting_looks_names_up(void *arg)
{
    (void)arg;
    begin_world(false);
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        const char *name = outcomes[i].name;
        struct task_server *server = NULL;
        struct task_stream *stream = NULL;
        int status = outcomes[i].status;

        CHECK_STATUS(task_tcp_connect(name, "80"), status);
        CHECK_STATUS(task_open_connection(&stream, name, "80"), status);
        CHECK_STATUS(task_tcp_listen(name, "80", 1), status);
        CHECK_STATUS(task_udp_open(name, "80"), status);
        CHECK_STATUS(task_start_server(&server, name, "80", echoes, NULL),
                     status);
        CHECK(!server && !stream);
    }
    return 0;
}

static int localhost_is_this_machine(void *arg)
{
    struct task_server *server = NULL;
    char service[16];
    int fd;

    (void)arg;
    begin_world(false);
    CHECK_STATUS(task_start_server(&server, "127.0.0.1", "0", echoes, NULL), 0);
    snprintf(service, sizeof service, "%d", task_server_port(server));
    fd = task_tcp_connect(NULL, service);
    expect_echo(fd);
    CHECK_STATUS(task_server_shutdown(server, TASK_SECOND), 0);
    task_server_free(server);
    CHECK_STATUS(world.n_lists, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_main(what_is_numeric_needs_no_thread),
        in_main(names_are_looked_up_in_a_thread),
        in_main(failures_have_codes),
        in_main(what_cannot_be_is_refused),
        in_main(a_request_is_taken_first),
        in_main(a_cancel_does_not_wait),
        in_main(a_failure_is_nobody_s_after_a_cancel),
        behaviour(a_time_out_does_not_wait_in_real_time),
        behaviour(one_that_has_not_begun_never_begins),
        in_main(a_result_that_was_granted_is_delivered),
        behaviour(the_end_of_the_loop_waits_for_one_that_is_left),
        behaviour(the_result_of_one_that_was_dropped_is_freed),
        behaviour(a_cancel_at_any_point_leaks_nothing),
        behaviour(memory_that_is_short_is_told),
        in_main(connecting_looks_names_up),
        in_main(localhost_is_this_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
