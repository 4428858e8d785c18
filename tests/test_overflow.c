/* Running over a stack: the task is named, and the process dies as ever. Other
 * faults are whose they were. */
#include "bodies.h"
#include "child.h"
#include "record.h"

#include "base.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Under AddressSanitizer its own handler is the former one, and ends a process
 * in its own way, after a report of its own. */
#define DIES_BY_ITSELF (HAVE_ASAN || HAVE_TSAN)

static char said[1 << 16];

/* Fail unless a child says this first, and dies of a signal. */
static void dies(void (*fn)(void *), void *arg, int signo, const char *sentence)
{
    int status = child_listen(fn, arg, said, sizeof said);

    masked(said);
    if (DIES_BY_ITSELF || getenv("TASK_TEST_VALGRIND")) {
        assert_true(!WIFEXITED(status) || WEXITSTATUS(status));
        assert_non_null(strstr(said, sentence));
        return;
    }
    assert_string_equal(said, sentence);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signo);
}

/* The same, for a child that returns. */
static void lives(void (*fn)(void *), void *arg, const char *sentence)
{
    int status = child_listen(fn, arg, said, sizeof said);

    assert_string_equal(masked(said), sentence);
    if (!getenv("TASK_TEST_VALGRIND")) /* which knows what is mended there */
        assert_int_equal(status, 0);
}

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        abort();
}

/* Run over a stack. */

static volatile int depth;

/* Nobody else's frame is the one that runs over. */
static NEVER_INLINE NO_TSAN int descend(volatile char *above)
{
    volatile char here[200];

    here[0] = above ? above[0] : 1;
    depth++;
    return depth ? descend(here) + here[0] : 0;
}

static int dives(void *arg)
{
    (void)arg;
    return descend(NULL);
}

static int awaits_a_diver(void *arg)
{
    const struct task_options *options = arg;

    return task_await((task_create_with)(dives, NULL, options));
}

static void dive(void *arg)
{
    loop_run(awaits_a_diver, arg);
}

static void the_task_that_overflows_is_named(void **state)
{
    struct task_options options = {.name = "diver"};

    (void)state;
    dies(dive, &options, SIGSEGV,
         "libtask: task 2 \"diver\" ran over its stack of 64 KiB; its function "
         "is dives, it was in descend+0x\n");
}

static void the_size_of_its_stack_is_told(void **state)
{
    struct task_options options = {.stack_size = 20000};

    (void)state;
    dies(
        dive, &options, SIGSEGV,
        "libtask: task 2 \"task-2\" ran over its stack of 20 KiB; its function "
        "is dives, it was in descend+0x\n");
}

static void an_eager_task_is_not_taken_for_its_creator(void **state)
{
    struct task_options options = {.name = "eager", .eager = true};

    (void)state;
    dies(dive, &options, SIGSEGV,
         "libtask: task 2 \"eager\" ran over its stack of 64 KiB; its function "
         "is dives, it was in descend+0x\n");
}

/* Beyond the guard page, where nothing is; no compiler knows in which part of the
 * frame. */
static int has_a_large_frame(void *arg)
{
    static volatile int somewhere;
    volatile char frame[40 << 20];

    (void)arg;
    frame[somewhere] = 1;
    return frame[somewhere];
}

static void leap(void *arg)
{
    loop_run(has_a_large_frame, arg);
}

static void a_frame_that_skips_the_guard_is_told_of(void **state)
{
    (void)state;
    if (HAVE_ASAN || HAVE_TSAN || getenv("TASK_TEST_VALGRIND"))
        skip();
    dies(
        leap, NULL, SIGSEGV,
        "libtask: task 1 \"task-1\" ran over its stack of 64 KiB; its function "
        "is has_a_large_frame, it was in has_a_large_frame+0x\n");
}

static int creation_line;

static int creates_a_diver(void *arg)
{
    struct task *task;

    (void)arg;
    creation_line = __LINE__ + 1;
    task = task_create(dives, NULL);
    return task_await(task);
}

static void run_creator(void *arg)
{
    loop_run(creates_a_diver, arg);
}

static void where_it_was_created_is_told(void **state)
{
    char wanted[300];

    (void)state;
    creates_a_diver(NULL); /* no loop runs: only the line is noted */
    snprintf(wanted, sizeof wanted,
             "libtask: task 2 \"task-2\", created at test_overflow.c:%d, ran "
             "over its stack of 64 KiB; its function is dives, it was in "
             "descend+0x\n",
             creation_line);
    dies(run_creator, NULL, SIGSEGV, wanted);
}

static int dives_later(void *arg)
{
    for (int i = 0; i < 3; i++)
        task_sleep(TASK_MILLISECOND);
    return dives(arg);
}

static int leaves_stacks_behind(void *arg)
{
    for (int i = 0; i < 100; i++)
        task_detach(task_create(yields, NULL));
    task_sleep(0);
    return dives_later(arg);
}

static void run_late_diver(void *arg)
{
    loop_run(leaves_stacks_behind, arg);
}

static void a_task_among_many_is_named(void **state)
{
    (void)state;
    dies(
        run_late_diver, NULL, SIGSEGV,
        "libtask: task 1 \"task-1\" ran over its stack of 64 KiB; its function "
        "is leaves_stacks_behind, it was in descend+0x\n");
}

static void *run_in_thread(void *arg)
{
    dive(arg);
    return NULL;
}

static void dive_in_thread(void *arg)
{
    pthread_t thread;

    if (!pthread_create(&thread, NULL, run_in_thread, arg))
        pthread_join(thread, NULL);
}

static void any_thread_that_runs_a_loop_can_tell(void **state)
{
    struct task_options options = {.name = "threaded"};

    (void)state;
    dies(dive_in_thread, &options, SIGSEGV,
         "libtask: task 2 \"threaded\" ran over its stack of 64 KiB; its "
         "function is dives, it was in descend+0x\n");
}

static void dives_in_hook(const struct loop_error *error, void *arg)
{
    (void)error;
    dives(arg);
}

static int leaves_a_failure(void *arg)
{
    loop_set_error_handler(loop_current(), dives_in_hook, NULL);
    task_detach((task_create)(fails, arg));
    return task_sleep(TASK_MILLISECOND);
}

static void run_hook(void *arg)
{
    loop_run(leaves_a_failure, arg);
}

static void the_error_hook_may_overflow_as_well(void **state)
{
    (void)state;
    dies(run_hook, NULL, SIGSEGV,
         "libtask: what the end of a task called ran over its stack of 64 KiB; "
         "it was in descend+0x\n");
}

static void dive_twice(void *arg)
{
    loop_run(yields, NULL);
    dive(arg);
}

static void later_loops_tell_as_well(void **state)
{
    (void)state;
    dies(
        dive_twice, NULL, SIGSEGV,
        "libtask: task 2 \"task-2\" ran over its stack of 64 KiB; its function "
        "is dives, it was in descend+0x\n");
}

static int forks_and_dives(void *arg)
{
    pid_t pid = fork();
    int status = 0;

    if (!pid) {
        dive(arg);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid || WIFEXITED(status))
        say("the child lives\n");
    return 0;
}

static void fork_and_dive(void *arg)
{
    loop_run(forks_and_dives, arg);
    raise(SIGSEGV);
}

static void a_child_of_a_fork_tells_of_its_own_loops(void **state)
{
    (void)state;
    dies(
        fork_and_dive, NULL, SIGSEGV,
        "libtask: task 2 \"task-2\" ran over its stack of 64 KiB; its function "
        "is dives, it was in descend+0x\n");
}

/* Other faults. */

/* Not NULL: compilers know that. */
static volatile int *volatile nowhere = (volatile int *)16;

static int strays(void *arg)
{
    (void)arg;
    return *nowhere;
}

static void stray(void *arg)
{
    loop_run(strays, arg);
}

static void another_fault_is_nothing_of_ours(void **state)
{
    (void)state;
    dies(stray, NULL, SIGSEGV, "");
}

static int hits_anothers_guard(void *arg)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    volatile char *page = (volatile char *)(here & ~(uintptr_t)4095);

    (void)arg;
    for (int i = 0; i < 100; i++) /* the next guard is the next stack's */
        *(page += 4096) = 1;
    return 0;
}

static void hit_a_guard(void *arg)
{
    struct loop *loop = loop_new(NULL);

    for (int i = 0; i < 3; i++)
        loop_create_task(loop, hits_anothers_guard, arg);
    loop_run_main(loop, sleeps_for_ever, NULL);
}

static void a_wild_pointer_to_a_guard_is_no_overflow(void **state)
{
    (void)state;
    dies(hit_a_guard, NULL, SIGSEGV, "");
}

static void kill_itself(void *arg)
{
    (void)arg;
    kill(getpid(), SIGSEGV);
}

static int calls(void *arg)
{
    void (**fn)(void *) = arg;

    (*fn)(NULL);
    say("went on\n");
    return 0;
}

static void run_calls(void *arg)
{
    loop_run(calls, arg);
}

static void a_signal_that_was_sent_has_its_default_effect(void **state)
{
    void (*fn)(void *) = kill_itself;

    (void)state;
    dies(run_calls, &fn, SIGSEGV, "");
}

static void ignore_and_run(void *arg)
{
    signal(SIGSEGV, SIG_IGN);
    signal(SIGBUS, SIG_IGN);
    run_calls(arg);
}

static void a_signal_that_was_sent_and_is_ignored_stays_so(void **state)
{
    void (*fn)(void *) = kill_itself;

    (void)state;
    lives(ignore_and_run, &fn, "went on\n");
}

static void stray_outright(void *arg)
{
    (void)arg;
    *nowhere = 1;
}

static void a_fault_cannot_be_ignored(void **state)
{
    void (*fn)(void *) = stray_outright;

    (void)state;
    dies(ignore_and_run, &fn, SIGSEGV, "");
}

/* Handlers of the user's. */

static void tell(int signo)
{
    sigset_t mask;

    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    say(signo == SIGSEGV ? "SIGSEGV" : "SIGBUS");
    say(sigismember(&mask, signo) ? ", itself blocked" : ", itself open");
    say(sigismember(&mask, SIGUSR1) ? ", USR1 blocked\n" : ", USR1 open\n");
}

static char *page;

static void open_page(int signo, siginfo_t *info, void *context)
{
    tell(signo);
    say(info->si_addr == page && context ? "at the page\n" : "elsewhere\n");
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void open_page_simply(int signo)
{
    tell(signo);
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

/* What is tried: a handler is set, and a page touched in a task. */
struct attempt {
    struct sigaction action;
    bool set_in_task;
    int times;
};

static void close_page(void)
{
    mprotect(page, 4096, PROT_NONE);
}

static int touches(void *arg)
{
    struct attempt *attempt = arg;

    if (attempt->set_in_task)
        sigaction(SIGSEGV, &attempt->action, NULL);
    for (int i = 0; i < attempt->times; i++) {
        close_page();
        *(volatile char *)page = 1;
        say("went on\n");
    }
    return 0;
}

static void attempt_it(void *arg)
{
    struct attempt *attempt = arg;
    struct sigaction now;

    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!attempt->set_in_task)
        sigaction(SIGSEGV, &attempt->action, NULL);
    loop_run(touches, attempt);
    sigaction(SIGSEGV, NULL, &now);
    if (memcmp(&now.sa_mask, &attempt->action.sa_mask, sizeof(long)) ||
        now.sa_handler != attempt->action.sa_handler ||
        (now.sa_flags ^ attempt->action.sa_flags) & 0xffff)
        say("it was not put back\n");
}

static void a_former_handler_gets_other_faults(void **state)
{
    struct attempt attempt = {
        .action = {.sa_sigaction = open_page, .sa_flags = SA_SIGINFO},
        .times = 2};

    (void)state;
    sigaddset(&attempt.action.sa_mask, SIGUSR1);
    lives(attempt_it, &attempt,
          "SIGSEGV, itself blocked, USR1 blocked\nat the page\nwent on\n"
          "SIGSEGV, itself blocked, USR1 blocked\nat the page\nwent on\n");
}

static void one_of_one_argument_gets_them_as_well(void **state)
{
    struct attempt attempt = {
        .action = {.sa_handler = open_page_simply, .sa_flags = SA_NODEFER},
        .times = 1};

    (void)state;
    if (HAVE_TSAN) /* which blocks all signals in a handler */
        skip();
    lives(attempt_it, &attempt, "SIGSEGV, itself open, USR1 open\nwent on\n");
}

static void a_former_handler_for_one_fault_is_called_once(void **state)
{
    struct attempt attempt = {
        .action = {.sa_sigaction = open_page,
                   .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND)},
        .times = 2};

    (void)state;
    if (HAVE_TSAN) /* which blocks all signals in a handler */
        skip();
    dies(attempt_it, &attempt, SIGSEGV,
         "SIGSEGV, itself blocked, USR1 open\nat the page\nwent on\n");
}

static void a_later_handler_wins(void **state)
{
    struct attempt attempt = {
        .action = {.sa_sigaction = open_page, .sa_flags = SA_SIGINFO},
        .set_in_task = true,
        .times = 1};

    (void)state;
    if (HAVE_TSAN) /* which blocks all signals in a handler */
        skip();
    lives(attempt_it, &attempt,
          "SIGSEGV, itself blocked, USR1 open\nat the page\nwent on\n");
}

static struct sigaction theirs;

static void pass_back(int signo, siginfo_t *info, void *context)
{
    static int n;

    if (n++ < 2)
        say("theirs\n");
    if (n > 2)
        _exit(3);
    theirs.sa_sigaction(signo, info, context);
}

static int replaces(void *arg)
{
    struct sigaction action = {.sa_sigaction = pass_back,
                               .sa_flags = SA_SIGINFO};

    (void)arg;
    return sigaction(SIGSEGV, &action, &theirs);
}

static void replace_and_stray(void *arg)
{
    loop_run(replaces, NULL);
    loop_run(yields, NULL);
    loop_run(strays, arg);
}

static void one_that_passes_on_to_ours_gets_nothing_back(void **state)
{
    if (DIES_BY_ITSELF)
        skip();
    (void)state;
    dies(replace_and_stray, NULL, SIGSEGV, "theirs\n");
}

static void end_all(int signo)
{
    say(signo == SIGSEGV ? "the end\n" : "?\n");
    _exit(7);
}

static void dive_with_a_handler(void *arg)
{
    static char room[1 << 16];
    const stack_t stack = {.ss_sp = room, .ss_size = sizeof room};
    stack_t now;
    struct sigaction action = {.sa_handler = end_all, .sa_flags = SA_ONSTACK};

    sigaltstack(&stack, NULL);
    loop_run(yields, NULL);
    if (sigaltstack(NULL, &now) || now.ss_sp != room)
        say("the stack is gone\n");
    sigaction(SIGSEGV, &action, NULL);
    dive(arg);
}

static void a_former_handler_is_told_of_an_overflow_too(void **state)
{
    int status = child_listen(dive_with_a_handler, NULL, said, sizeof said);

    (void)state;
    assert_string_equal(
        masked(said),
        "libtask: task 2 \"task-2\" ran over its stack of 64 KiB; its function "
        "is dives, it was in descend+0x\nthe end\n");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

/* What is left of it afterwards. */

static bool is_clean(void)
{
    struct sigaction segv;
    struct sigaction bus;
    stack_t stack;

    sigaction(SIGSEGV, NULL, &segv);
    sigaction(SIGBUS, NULL, &bus);
    sigaltstack(NULL, &stack);
    return segv.sa_handler == SIG_DFL && bus.sa_handler == SIG_DFL &&
           stack.ss_flags & SS_DISABLE;
}

static int looks(void *arg)
{
    (void)arg;
    return is_clean() ? 1 : 0;
}

static void run_and_look(void *arg)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    struct loop *loop;

    (void)arg;
    sigaltstack(&none, NULL);
    if (!is_clean())
        say("not clean to begin with\n");
    loop = loop_new(NULL);
    if (!is_clean())
        say("a loop that has not run\n");
    if (loop_run_main(loop, looks, NULL))
        say("nothing was set\n");
    loop_run(looks, NULL);
    loop_free(loop);
    if (!is_clean())
        say("something is left\n");
}

static void nothing_is_left_when_the_last_loop_is_gone(void **state)
{
    (void)state;
    lives(run_and_look, NULL, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(the_task_that_overflows_is_named),
        behaviour(the_size_of_its_stack_is_told),
        behaviour(a_frame_that_skips_the_guard_is_told_of),
        behaviour(an_eager_task_is_not_taken_for_its_creator),
        behaviour(where_it_was_created_is_told),
        behaviour(a_task_among_many_is_named),
        behaviour(any_thread_that_runs_a_loop_can_tell),
        behaviour(the_error_hook_may_overflow_as_well),
        behaviour(later_loops_tell_as_well),
        behaviour(a_child_of_a_fork_tells_of_its_own_loops),
        behaviour(another_fault_is_nothing_of_ours),
        behaviour(a_wild_pointer_to_a_guard_is_no_overflow),
        behaviour(a_signal_that_was_sent_has_its_default_effect),
        behaviour(a_signal_that_was_sent_and_is_ignored_stays_so),
        behaviour(a_fault_cannot_be_ignored),
        behaviour(a_former_handler_gets_other_faults),
        behaviour(one_of_one_argument_gets_them_as_well),
        behaviour(a_former_handler_for_one_fault_is_called_once),
        behaviour(a_later_handler_wins),
        behaviour(one_that_passes_on_to_ours_gets_nothing_back),
        behaviour(a_former_handler_is_told_of_an_overflow_too),
        behaviour(nothing_is_left_when_the_last_loop_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
