/* Dumps that a signal asks for: of loops that wait, run, or are held. */

/* The linker wraps: timer_settime pthread_kill task__spin_while */

#include "base.h"
#include "child.h"
#include "mask.h"
#include "record.h"
#include "spins.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OFTEN = 1000 }; /* milliseconds to wait for what should come at once */

static void sleep_milliseconds(int n)
{
    usleep((useconds_t)n * 1000);
}

/* What a function says on stderr, in a process of its own that has to exit with
 * 0, or to be killed where loops are left. Addresses and places are masked, and
 * times are T. */

struct saying {
    void (*fn)(void);
    FILE *file;
};

static void say(void *arg)
{
    const struct saying *saying = arg;

    dup2(fileno(saying->file), STDERR_FILENO);
    saying->fn();
}

static void mask_times(char *text)
{
    const char *from = text;
    char *to = text;

    while (*from) {
        size_t n = strspn(from, "0123456789.");
        const char *unit = from + n + (n && from[n] == ' ');

        if (n && unit > from + n &&
            (!strncmp(unit, "us", 2) || !strncmp(unit, "ms", 2) ||
             (unit[0] == 's' && !strchr("cehlpt", unit[1])))) {
            *to++ = 'T';
            from = unit + (unit[0] == 's' ? 1 : 2);
        } else {
            n += !n;
            memmove(to, from, n);
            to += n;
            from += n;
        }
    }
    *to = '\0';
}

static char *said_by(void (*fn)(void))
{
    struct saying saying = {fn, tmpfile()};
    static char said[1 << 16];
    int status;

    assert_non_null(saying.file);
    status = child_run(say, &saying);
    rewind(saying.file);
    said[fread(said, 1, sizeof said - 1, saying.file)] = '\0';
    fclose(saying.file);
    if (status != SIGKILL && status)
        fprintf(stderr, "status %#x: %s\n", (unsigned)status, said);
    assert_true(status == SIGKILL || status == 0);
    mask(said);
    mask_times(said);
    return said;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;

    while ((text = strstr(text, part))) {
        text += strlen(part);
        n++;
    }
    return n;
}

/* In the child. */

static void require(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "not so: %s\n", what);
        _exit(1);
    }
}

#define REQUIRE(condition) require(condition, #condition)

static off_t bytes_said(void)
{
    struct stat about;

    return fstat(STDERR_FILENO, &about) ? 0 : about.st_size;
}

/* How many tasks are about to do what they are there for. */
static int n_ready;

static void be_ready(void)
{
    __atomic_add_fetch(&n_ready, 1, __ATOMIC_RELAXED);
}

static void wait_for_ready(int n)
{
    while (__atomic_load_n(&n_ready, __ATOMIC_RELAXED) < n)
        sleep_milliseconds(1);
    sleep_milliseconds(20);
}

static bool is_ended;

static bool is_over(void)
{
    return __atomic_load_n(&is_ended, __ATOMIC_RELAXED);
}

/* Ask so many tasks for a dump, and end when so many bytes have come. */
static void ask_and_end(int n, off_t bytes)
{
    wait_for_ready(n);
    REQUIRE(!kill(getpid(), SIGUSR1));
    for (int i = 0; i < OFTEN && bytes_said() < bytes; i++)
        sleep_milliseconds(10);
    sleep_milliseconds(20);
    REQUIRE(bytes_said() >= bytes);
    kill(getpid(), SIGKILL);
}

static void *ask_from_thread(void *bytes)
{
    sigset_t set;

    sigemptyset(&set); /* the others have to take it */
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    ask_and_end(1, (off_t)(intptr_t)bytes);
    return NULL;
}

static void ask_soon(off_t bytes)
{
    pthread_t thread;

    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!pthread_create(&thread, NULL, ask_from_thread,
                            (void *)(intptr_t)bytes));
}

static int sleeps_a_minute(void *arg)
{
    (void)arg;
    be_ready();
    return task_sleep(TASK_MINUTE);
}

static void run_with_backend(task_fn *fn)
{
    struct loop_options options = test_options(NULL);
    struct loop *loop;

    options.clock = LOOP_CLOCK_REAL;
    loop = loop_new(&options);
    REQUIRE(loop);
    (void)loop_run_main(loop, fn, NULL);
    REQUIRE(!loop_free(loop));
}

/* Loops that wait. */

static void sleep_in_a_loop(void)
{
    ask_soon(50);
    run_with_backend(sleeps_a_minute);
}

static void a_loop_that_waits_dumps_at_once(void **state)
{
    (void)state;
    assert_string_equal(said_by(sleep_in_a_loop),
                        "loop 0x: 1 task, 1 parked, 1 timer\n"
                        "  task 1 \"task-1\", parked T: sleeping T more\n");
}

/* Signals come as loops spin, before they wait. */
static bool asks_in_spin;

bool __wrap_task__spin_while(struct spin *spin, const uintptr_t *word,
                             uintptr_t former)
{
    if (!asks_in_spin)
        return __real_task__spin_while(spin, word, former);
    asks_in_spin = false;
    REQUIRE(!raise(SIGUSR1));
    return false;
}

static int sleeps_with_a_remote(void *arg)
{
    struct loop_remote *remote = loop_remote_open();
    int status;

    (void)arg;
    asks_in_spin = true;
    status = task_sleep(30 * TASK_MILLISECOND);
    loop_remote_close(remote);
    return status;
}

static void ask_in_a_spin(void)
{
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    run_with_backend(sleeps_with_a_remote);
}

static void a_loop_that_spins_dumps_at_once(void **state)
{
    (void)state;
    assert_string_equal(said_by(ask_in_a_spin),
                        "loop 0x: 1 task, 1 parked, 1 timer\n"
                        "  task 1 \"task-1\", parked T: sleeping T more\n");
}

static void *run_in_thread(void *arg)
{
    (void)arg;
    run_with_backend(sleeps_a_minute);
    return NULL;
}

static void sleep_in_three_loops(void)
{
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        REQUIRE(!pthread_create(&threads[i], NULL, run_in_thread, NULL));
    wait_for_ready(3);
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    ask_and_end(3, 300);
}

static void loops_of_all_threads_dump_one_after_the_other(void **state)
{
    const char *said = said_by(sleep_in_three_loops);

    (void)state;
    assert_int_equal(count(said, "loop 0x: 1 task, 1 parked, 1 timer\n"
                                 "  task 1 \"task-1\", parked T: sleeping T "
                                 "more\n"),
                     3);
}

static int asks_and_yields(void *arg)
{
    (void)arg;
    REQUIRE(!raise(SIGUSR1));
    REQUIRE(!task_sleep(TASK_MILLISECOND));
    return 0;
}

static void ask_in_a_task(void)
{
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    run_with_backend(asks_and_yields);
}

static void a_loop_that_runs_dumps_when_it_looks(void **state)
{
    (void)state;
    assert_string_equal(said_by(ask_in_a_task),
                        "loop 0x: 1 task, 1 parked, 1 timer\n"
                        "  task 1 \"task-1\", parked T: sleeping T more\n");
}

static void ask_between_turns(void)
{
    struct loop *loop = loop_new(NULL);
    struct task *task = loop_create_task(loop, sleeps_a_minute, NULL);

    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(loop_run_turn(loop, 0) == 1);
    REQUIRE(!raise(SIGUSR1));
    REQUIRE(!bytes_said());
    REQUIRE(loop_run_turn(loop, 0) == 1);
    task_detach(task);
    REQUIRE(!loop_free(loop));
}

static void a_loop_that_is_embedded_dumps_in_its_next_turn(void **state)
{
    (void)state;
    assert_string_equal(said_by(ask_between_turns),
                        "loop 0x: 1 task, 1 parked, 1 timer\n"
                        "  task 1 \"task-1\", parked T: sleeping T more\n");
}

static void ask_before_a_loop(void)
{
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!raise(SIGUSR1));
    run_with_backend(asks_and_yields);
}

static void what_was_asked_before_is_not_a_new_loop_s(void **state)
{
    (void)state;
    assert_int_equal(count(said_by(ask_before_a_loop), "loop 0x"), 1);
}

/* Loops that are held. */

static bool held = true;

static void let_go(void)
{
    __atomic_store_n(&held, false, __ATOMIC_RELAXED);
}

/* Written after it was called, so that no call of it is a jump. */
static volatile sig_atomic_t n_spun;

static NEVER_INLINE int spin_on(void)
{
    be_ready();
    while (__atomic_load_n(&held, __ATOMIC_RELAXED))
        continue;
    return held;
}

static int spins(void *arg)
{
    int status = spin_on();

    (void)arg;
    n_spun++;
    REQUIRE(!task_yield());
    return status;
}

/* A task that spins until it is told of, and goes on then; by a thread that no
 * signal comes to. */

static void await_in_peace(void)
{
    sigset_t set;

    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    wait_for_ready(1);
}

static void *ask_and_let_go(void *arg)
{
    (void)arg;
    await_in_peace();
    REQUIRE(!kill(getpid(), SIGUSR1));
    for (int i = 0; i < OFTEN && !bytes_said(); i++)
        sleep_milliseconds(10);
    sleep_milliseconds(50);
    let_go();
    return NULL;
}

static pthread_t let_go_by(void *(*fn)(void *arg))
{
    pthread_t thread;

    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!pthread_create(&thread, NULL, fn, NULL));
    return thread;
}

static pthread_t let_go_soon(void)
{
    return let_go_by(ask_and_let_go);
}

static int starts_a_spinner(void *arg)
{
    (void)arg;
    return task_await(task_create_with(
        spins, NULL, &(struct task_options){.name = "spinner"}));
}

static void hold_a_loop(void)
{
    pthread_t thread = let_go_soon();

    run_with_backend(starts_a_spinner);
    REQUIRE(!pthread_join(thread, NULL));
}

/* What is told of the one that spins; and then its loop dumps. */
static void check_held(const char *said)
{
    static const char *const held_by = "libtask: loop 0x is held by ";
    const char *at;

    assert_non_null(strstr(said, held_by));
    assert_int_equal(count(said, held_by), 1);
    at = strstr(said, "    at spin_on");
    assert_non_null(at);
    assert_non_null(strstr(at, "    at spins"));
    assert_non_null(strstr(at, "loop 0x: 2 tasks, 1 ready, 1 parked\n"
                               "  task 1 \"task-1\", parked T: awaiting task 2 "
                               "\"spinner\"\n"
                               "    task 2 \"spinner\", ready\n"));
}

static void a_task_that_holds_its_loop_is_named_with_its_functions(void **state)
{
    const char *said;

    (void)state;
    if (HAVE_TSAN) /* it keeps signals until the task calls something */
        skip();
    said = said_by(hold_a_loop);
    assert_non_null(strstr(said, "is held by task 2 \"spinner\", created at "));
    assert_non_null(strstr(said, ", whose function is spins\n    at spin_on"));
    check_held(said);
}

static void *hold_in_thread(void *arg)
{
    (void)arg;
    run_with_backend(starts_a_spinner);
    return NULL;
}

static void hold_a_loop_elsewhere(void)
{
    pthread_t thread = let_go_soon();
    pthread_t holder;

    REQUIRE(!pthread_create(&holder, NULL, hold_in_thread, NULL));
    REQUIRE(!pthread_join(holder, NULL));
    REQUIRE(!pthread_join(thread, NULL));
}

static void a_loop_that_is_held_in_another_thread_is_told_of(void **state)
{
    (void)state;
    if (HAVE_TSAN)
        skip();
    check_held(said_by(hold_a_loop_elsewhere));
}

static void spin_in_callback(void *arg)
{
    (void)arg;
    REQUIRE(!spin_on());
    n_spun++;
}

static int calls_a_spinner(void *arg)
{
    (void)arg;
    REQUIRE(loop_call_soon(spin_in_callback, NULL) > 0);
    return task_sleep(TASK_MILLISECOND);
}

static void hold_a_loop_by_a_callback(void)
{
    pthread_t thread = let_go_soon();

    run_with_backend(calls_a_spinner);
    REQUIRE(!pthread_join(thread, NULL));
}

static void a_callback_that_holds_its_loop_is_told_of(void **state)
{
    const char *said;

    (void)state;
    if (HAVE_TSAN)
        skip();
    said = said_by(hold_a_loop_by_a_callback);
    assert_non_null(strstr(said, "libtask: loop 0x is held by a callback, or "
                                 "itself\n    at spin_on"));
    assert_non_null(strstr(said, "    at spin_in_callback"));
}

/* A signal comes while a loop does what the one before has asked for: in both
 * of a look's dumps. */

static int n_asks;

int __real_timer_settime(timer_t timer, int flags,
                         const struct itimerspec *value,
                         struct itimerspec *former);
int __wrap_timer_settime(timer_t timer, int flags,
                         const struct itimerspec *value,
                         struct itimerspec *former);
int __wrap_timer_settime(timer_t timer, int flags,
                         const struct itimerspec *value,
                         struct itimerspec *former)
{
    if (n_asks && !value->it_value.tv_nsec) {
        n_asks--;
        REQUIRE(!raise(SIGUSR1));
    }
    return __real_timer_settime(timer, flags, value, former);
}

static int asks_and_spins(void *arg)
{
    n_asks = 2;
    REQUIRE(!raise(SIGUSR1));
    REQUIRE(!task_yield());
    REQUIRE(n_asks == 0);
    return spins(arg);
}

static void *let_go_after_a_while(void *arg)
{
    (void)arg;
    await_in_peace();
    sleep_milliseconds(1000);
    let_go();
    return NULL;
}

static void hold_a_loop_that_is_asked_again(void)
{
    pthread_t thread = let_go_by(let_go_after_a_while);

    run_with_backend(asks_and_spins);
    REQUIRE(!pthread_join(thread, NULL));
}

static void a_loop_that_is_asked_while_it_dumps_is_told_of(void **state)
{
    const char *said;

    (void)state;
    if (HAVE_TSAN)
        skip();
    said = said_by(hold_a_loop_that_is_asked_again);
    assert_int_equal(count(said, "libtask: loop 0x is held by task 1"), 1);
    assert_int_equal(count(said, "loop 0x: 1 task"), 3);
}

/* A name that is freed: its memory may be anything's. */

static bool is_renamed;

static void *frees_then_asks(void *ptr, size_t size, void *arg)
{
    (void)arg;
    if (size)
        return realloc(ptr, size);
    if (is_renamed && ptr) {
        is_renamed = false;
        *(char *)ptr = '!';
        REQUIRE(!raise(SIGUSR1)); /* asks */
        REQUIRE(!raise(SIGUSR1)); /* and again: it is told who holds the loop */
    }
    free(ptr);
    return NULL;
}

static int is_renamed_twice(void *arg)
{
    static const char *const names[] = {"long", NULL};

    (void)arg;
    task_set_name(task_current(), "short");
    for (int i = 0; i < 2; i++) {
        is_renamed = true;
        task_set_name(task_current(), names[i]);
        REQUIRE(!is_renamed);
        REQUIRE(!task_sleep(TASK_MILLISECOND));
    }
    return 0;
}

static void ask_when_names_are_freed(void)
{
    struct loop *loop =
        loop_new(&(struct loop_options){.alloc = frees_then_asks});

    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!loop_run_main(loop, is_renamed_twice, NULL));
    REQUIRE(!loop_free(loop));
}

static void no_name_is_told_that_has_been_freed(void **state)
{
    const char *said = said_by(ask_when_names_are_freed);

    (void)state;
    assert_int_equal(count(said, "is held by task 1 \"long\""), 1);
    assert_int_equal(count(said, "is held by task 1 \"task-1\""), 1);
    assert_int_equal(count(said, "!"), 0);
}

/* The handler. */

static volatile sig_atomic_t n_former;
static volatile sig_atomic_t n_former_info;

static void note(int signo)
{
    REQUIRE(signo == SIGUSR1);
    errno = EXDEV;
    n_former++;
}

static void note_with_info(int signo, siginfo_t *info, void *context)
{
    REQUIRE(signo == SIGUSR2 && info->si_pid == getpid() && context);
    n_former_info++;
}

static void ask_over_others(void)
{
    struct sigaction action = {.sa_sigaction = note_with_info,
                               .sa_flags = SA_SIGINFO};

    REQUIRE(signal(SIGUSR1, note) != SIG_ERR);
    REQUIRE(!sigaction(SIGUSR2, &action, NULL));
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!task_dump_on_signal(SIGUSR2));
    errno = ENOTDIR;
    REQUIRE(!raise(SIGUSR1) && !raise(SIGUSR1) && !raise(SIGUSR2));
    REQUIRE(errno == ENOTDIR);
    REQUIRE(n_former == 2 && n_former_info == 1);
    run_with_backend(asks_and_yields);
    REQUIRE(n_former == 3);
}

static void a_former_handler_is_called_and_errno_is_kept(void **state)
{
    (void)state;
    assert_int_equal(count(said_by(ask_over_others), "loop 0x"), 1);
}

static int sleeps_till_the_end(void *arg)
{
    (void)arg;
    be_ready();
    while (!is_over())
        REQUIRE(!task_sleep(TASK_MILLISECOND));
    return 0;
}

static void *sleep_in_thread(void *arg)
{
    (void)arg;
    run_with_backend(sleeps_till_the_end);
    return NULL;
}

static unsigned n_passed_on;

static void note_from_threads(int signo)
{
    (void)signo;
    __atomic_add_fetch(&n_passed_on, 1, __ATOMIC_RELAXED);
}

static void *asks_itself_often(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < test_rounds(5000); i++)
        REQUIRE(!raise(SIGUSR1));
    return NULL;
}

static void ask_twice_at_once(void)
{
    pthread_t loops[4];
    pthread_t threads[2];

    REQUIRE(freopen("/dev/null", "w", stderr));
    REQUIRE(signal(SIGUSR1, note_from_threads) != SIG_ERR);
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    for (int i = 0; i < 4; i++)
        REQUIRE(!pthread_create(&loops[i], NULL, sleep_in_thread, NULL));
    wait_for_ready(4);
    for (int i = 0; i < 2; i++)
        REQUIRE(!pthread_create(&threads[i], NULL, asks_itself_often, NULL));
    for (int i = 0; i < 2; i++)
        REQUIRE(!pthread_join(threads[i], NULL));
    __atomic_store_n(&is_ended, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++)
        REQUIRE(!pthread_join(loops[i], NULL));
    REQUIRE(n_passed_on == 2 * test_rounds(5000));
}

static void a_former_handler_is_called_for_no_nudge(void **state)
{
    (void)state;
    if (HAVE_TSAN)
        skip();
    (void)said_by(ask_twice_at_once);
}

/* A thread that may be cancelled at any time is so in the handler. */

static _Thread_local bool is_to_be_cancelled;

int __real_pthread_kill(pthread_t thread, int signo);
int __wrap_pthread_kill(pthread_t thread, int signo);
int __wrap_pthread_kill(pthread_t thread, int signo)
{
    if (is_to_be_cancelled) {
        is_to_be_cancelled = false;
        pthread_cancel(pthread_self());
    }
    return __real_pthread_kill(thread, signo);
}

static void *is_cancelled_in_the_handler(void *arg)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    wait_for_ready(1);
    is_to_be_cancelled = true;
    REQUIRE(!raise(SIGUSR1));
    for (;;)
        pause();
    return arg;
}

static void cancel_a_thread_in_the_handler(void)
{
    pthread_t loop;
    pthread_t thread;

    alarm(10);
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!pthread_create(&loop, NULL, sleep_in_thread, NULL));
    REQUIRE(!pthread_create(&thread, NULL, is_cancelled_in_the_handler, NULL));
    REQUIRE(!pthread_join(thread, NULL));
    __atomic_store_n(&is_ended, true, __ATOMIC_RELAXED);
    REQUIRE(!pthread_join(loop, NULL));
}

static void no_loop_waits_for_a_handler_that_was_cancelled(void **state)
{
    (void)state;
    assert_int_equal(count(said_by(cancel_a_thread_in_the_handler), "loop 0x"),
                     1);
}

/* Loops that handle the signal too. */

static void count_call(void *arg)
{
    ++*(int *)arg;
}

static int adds_a_handler_then_asks(void *arg)
{
    int n = 0;

    (void)arg;
    REQUIRE(!loop_add_signal_handler(SIGUSR1, count_call, &n));
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!raise(SIGUSR1));
    REQUIRE(!task_sleep(TASK_MILLISECOND));
    REQUIRE(n == 1 && n_former == 0);
    REQUIRE(!loop_remove_signal_handler(SIGUSR1));
    REQUIRE(!raise(SIGUSR1));
    REQUIRE(!task_sleep(TASK_MILLISECOND));
    REQUIRE(n == 1 && n_former == 1);
    REQUIRE(!loop_add_signal_handler(SIGUSR1, count_call, &n));
    return 0;
}

static void ask_over_a_loop_s_handler(void)
{
    REQUIRE(signal(SIGUSR1, note) != SIG_ERR);
    run_with_backend(adds_a_handler_then_asks);
    REQUIRE(!raise(SIGUSR1) && n_former == 2);
}

static void a_former_handler_is_called_when_loops_have_none(void **state)
{
    (void)state;
    assert_int_equal(count(said_by(ask_over_a_loop_s_handler), "loop 0x"), 2);
}

/* What the one dump makes of signals to the other thread is nobody's. */
static int asks_with_a_handler(void *arg)
{
    int n = 0;

    (void)arg;
    REQUIRE(!loop_add_signal_handler(SIGUSR1, count_call, &n));
    for (int i = 1; i <= 2; i++) {
        REQUIRE(!raise(SIGUSR1));
        REQUIRE(!task_sleep(200 * TASK_MILLISECOND));
        REQUIRE(n == i);
    }
    return 0;
}

static void ask_in_two_loops_with_a_handler(void)
{
    pthread_t thread;

    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!pthread_create(&thread, NULL, run_in_thread, NULL));
    wait_for_ready(1);
    run_with_backend(asks_with_a_handler);
    kill(getpid(), SIGKILL);
}

static void loops_that_handle_the_signal_dump_too(void **state)
{
    (void)state;
    assert_int_equal(count(said_by(ask_in_two_loops_with_a_handler), "loop 0x"),
                     4);
}

static int starts_a_spinner_with_a_handler(void *arg)
{
    static int n;

    REQUIRE(!loop_add_signal_handler(SIGUSR1, count_call, &n));
    REQUIRE(!starts_a_spinner(arg));
    REQUIRE(!task_yield() && n == 1);
    return 0;
}

static void hold_a_loop_with_a_handler(void)
{
    pthread_t thread = let_go_soon();

    run_with_backend(starts_a_spinner_with_a_handler);
    REQUIRE(!pthread_join(thread, NULL));
}

static void a_loop_that_is_held_with_a_handler_is_told_of(void **state)
{
    (void)state;
    if (HAVE_TSAN)
        skip();
    check_held(said_by(hold_a_loop_with_a_handler));
}

static int asks_by_sigint(void *arg)
{
    (void)arg;
    REQUIRE(!task_dump_on_signal(SIGINT));
    REQUIRE(!raise(SIGINT) && !raise(SIGINT));
    return task_sleep(TASK_MINUTE);
}

static void ask_while_sigint_is_handled(void)
{
    struct loop_options options = test_options(NULL);
    struct loop *loop;

    options.clock = LOOP_CLOCK_REAL;
    options.handle_sigint = true;
    loop = loop_new(&options);
    REQUIRE(signal(SIGINT, SIG_DFL) != SIG_ERR);
    REQUIRE(loop_run_main(loop, asks_by_sigint, NULL) == -EINTR);
    REQUIRE(!loop_free(loop));
    REQUIRE(!raise(SIGINT));
}

static void a_dump_by_sigint_leaves_main_the_first(void **state)
{
    (void)state;
    assert_int_equal(count(said_by(ask_while_sigint_is_handled), "loop 0x: "),
                     1);
}

static void set_wrongly(void)
{
    REQUIRE(task_dump_on_signal(0) == -EINVAL);
    REQUIRE(task_dump_on_signal(-1) == -EINVAL);
    REQUIRE(task_dump_on_signal(1000) == -EINVAL);
    REQUIRE(task_dump_on_signal(SIGKILL) == -EINVAL);
    REQUIRE(task_dump_on_signal(SIGSTOP) == -EINVAL);
    REQUIRE(task_dump_on_signal(SIGSEGV) == -EINVAL);
    REQUIRE(task_dump_on_signal(SIGUSR1) == 0);
    REQUIRE(task_dump_on_signal(SIGUSR1) == 0);
    REQUIRE(signal(SIGUSR1, note) != SIG_ERR);
    REQUIRE(task_dump_on_signal(SIGUSR1) == -EBUSY);
    REQUIRE(!raise(SIGUSR1) && n_former == 1);
    REQUIRE(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
    REQUIRE(task_dump_on_signal(SIGUSR1) == 0);
    REQUIRE(!raise(SIGUSR1) && n_former == 1);
}

static void what_cannot_be_set_is_refused(void **state)
{
    (void)state;
    assert_string_equal(said_by(set_wrongly), "");
}

static int forks_and_asks(void *arg)
{
    pid_t pid = fork();
    int status;

    (void)arg;
    if (!pid) {
        REQUIRE(!raise(SIGUSR1)); /* no loop runs here */
        run_with_backend(asks_and_yields);
        _exit(0);
    }
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
    return task_sleep(TASK_MILLISECOND);
}

static void ask_in_a_fork(void)
{
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    run_with_backend(forks_and_asks);
}

static void a_forked_child_dumps_loops_of_its_own(void **state)
{
    (void)state;
    if (HAVE_TSAN)
        skip();
    assert_string_equal(said_by(ask_in_a_fork),
                        "loop 0x: 1 task, 1 parked, 1 timer\n"
                        "  task 1 \"task-1\", parked T: sleeping T more\n");
}

static int forks_and_spins(void *arg)
{
    pid_t pid = fork();
    int status;

    (void)arg;
    if (!pid) {
        hold_a_loop();
        _exit(0);
    }
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
    return 0;
}

static void hold_a_loop_in_a_fork(void)
{
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    run_with_backend(forks_and_spins);
}

static void a_loop_that_is_held_in_a_forked_child_is_told_of(void **state)
{
    (void)state;
    if (HAVE_TSAN)
        skip();
    check_held(said_by(hold_a_loop_in_a_fork));
}

static void hold_a_loop_in_a_first_fork(void)
{
    int status;
    pid_t pid;

    REQUIRE(!task_dump_on_signal(SIGUSR1));
    pid = fork();
    if (!pid) {
        hold_a_loop();
        _exit(0);
    }
    REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
}

static void a_process_may_fork_before_there_is_a_loop(void **state)
{
    (void)state;
    if (HAVE_TSAN)
        skip();
    check_held(said_by(hold_a_loop_in_a_first_fork));
}

/* At any instant. */

static int ends_at_once(void *arg)
{
    (void)arg;
    return 0;
}

static int comes_and_goes(void *arg)
{
    (void)arg;
    while (!is_over()) {
        struct task *tasks[3];

        for (int i = 0; i < 3; i++)
            tasks[i] = task_create_with(
                ends_at_once, NULL, &(struct task_options){.name = "short"});
        task_yield();
        for (int i = 0; i < 3; i++)
            task_await(tasks[i]);
        task_sleep(TASK_MICROSECOND);
    }
    return 0;
}

static void *runs_loops(void *arg)
{
    (void)arg;
    while (!is_over()) {
        run_with_backend(ends_at_once);
        run_with_backend(asks_and_yields);
    }
    return NULL;
}

static void *asks_often(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < test_rounds(2000); i++) {
        kill(getpid(), SIGUSR1);
        usleep(100);
    }
    __atomic_store_n(&is_ended, true, __ATOMIC_RELAXED);
    return NULL;
}

static void ask_at_any_instant(void)
{
    pthread_t threads[2];

    REQUIRE(freopen("/dev/null", "w", stderr));
    REQUIRE(!task_dump_on_signal(SIGUSR1));
    REQUIRE(!pthread_create(&threads[0], NULL, runs_loops, NULL));
    REQUIRE(!pthread_create(&threads[1], NULL, asks_often, NULL));
    run_with_backend(comes_and_goes);
    REQUIRE(!pthread_join(threads[0], NULL));
    REQUIRE(!pthread_join(threads[1], NULL));
}

static void it_may_be_asked_at_any_instant(void **state)
{
    (void)state;
    if (getenv("TASK_TEST_VALGRIND"))
        skip(); /* it knows one thread's stack pointer only, and finds frames invalid */
    assert_string_equal(said_by(ask_at_any_instant), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_that_waits_dumps_at_once),
        cmocka_unit_test(a_loop_that_spins_dumps_at_once),
        cmocka_unit_test(loops_of_all_threads_dump_one_after_the_other),
        cmocka_unit_test(a_loop_that_runs_dumps_when_it_looks),
        cmocka_unit_test(a_loop_that_is_embedded_dumps_in_its_next_turn),
        cmocka_unit_test(what_was_asked_before_is_not_a_new_loop_s),
        cmocka_unit_test(
            a_task_that_holds_its_loop_is_named_with_its_functions),
        cmocka_unit_test(a_loop_that_is_held_in_another_thread_is_told_of),
        cmocka_unit_test(a_callback_that_holds_its_loop_is_told_of),
        cmocka_unit_test(a_loop_that_is_asked_while_it_dumps_is_told_of),
        cmocka_unit_test(no_name_is_told_that_has_been_freed),
        cmocka_unit_test(a_former_handler_is_called_and_errno_is_kept),
        cmocka_unit_test(a_former_handler_is_called_for_no_nudge),
        cmocka_unit_test(no_loop_waits_for_a_handler_that_was_cancelled),
        cmocka_unit_test(a_former_handler_is_called_when_loops_have_none),
        cmocka_unit_test(loops_that_handle_the_signal_dump_too),
        cmocka_unit_test(a_loop_that_is_held_with_a_handler_is_told_of),
        cmocka_unit_test(a_dump_by_sigint_leaves_main_the_first),
        cmocka_unit_test(what_cannot_be_set_is_refused),
        cmocka_unit_test(a_forked_child_dumps_loops_of_its_own),
        cmocka_unit_test(a_loop_that_is_held_in_a_forked_child_is_told_of),
        cmocka_unit_test(a_process_may_fork_before_there_is_a_loop),
        cmocka_unit_test(it_may_be_asked_at_any_instant),
    };

    /* AddressSanitizer says once what it thinks of makecontext. */
    if (HAVE_ASAN && loop_run(ends_at_once, NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
