/*
 * Children: what they begin with, what they are told and say, their end. All in
 * both ways of starting and watching them.
 */
#include "bodies.h"
#include "cancel_points.h"
#include "child.h"
#include "descriptors.h"
#include "launch.h"
#include "leaks.h"
#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program; /* this one, which children are too */

/* What children of this program do: its first argument is the name. */

static int say_descriptors(void)
{
    const char *comma = "";

    for (int fd = 0; fd < 1000; fd++)
        if (fcntl(fd, F_GETFD) >= 0) {
            dprintf(1, "%s%d", comma, fd);
            comma = ",";
        }
    return 0;
}

static int check_signals(void)
{
    struct sigaction action;
    sigset_t blocked;

    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int signo = 1; signo < NSIG; signo++) {
        if (sigismember(&blocked, signo) == 1)
            return signo;
        if (!sigaction(signo, NULL, &action) && action.sa_handler != SIG_DFL &&
            (signo == SIGINT || signo == SIGPIPE || signo == SIGUSR1))
            return 100 + signo;
    }
    return 0;
}

static int check_session(void)
{
    return getsid(0) == getpid() && getpgrp() == getpid() ? 0 : 1;
}

/* What file each of 0, 1 and 2 is, to the descriptor that was passed. */
static int say_files(int to)
{
    struct stat files[3];

    memset(files, 0, sizeof files);
    for (int fd = 0; fd < 3; fd++)
        fstat(fd, &files[fd]);
    return write(to, files, sizeof files) != sizeof files;
}

static int be_child(const char *what, const char *how)
{
    if (!strcmp(what, "descriptors"))
        return say_descriptors();
    if (!strcmp(what, "files"))
        return say_files(atoi(how));
    if (!strcmp(what, "signals"))
        return check_signals();
    return check_session();
}

/* In the tasks. */

static struct task_process *begin(const char *const argv[],
                                  const struct task_process_options *options)
{
    struct task_process *process = NULL;

    CHECK_STATUS(task_process_exec(&process, argv, options), 0);
    return process;
}

static struct task_process *
begin_shell(const char *command, const struct task_process_options *options)
{
    struct task_process *process = NULL;

    CHECK_STATUS(task_process_shell(&process, command, options), 0);
    return process;
}

#define ARGV(...)                                                              \
    (const char *const[])                                                      \
    {                                                                          \
        __VA_ARGS__, NULL                                                      \
    }
#define OPTIONS(...)                                                           \
    &(struct task_process_options)                                             \
    {                                                                          \
        __VA_ARGS__                                                            \
    }

static int end(struct task_process *process)
{
    int status = task_process_wait(process);

    task_process_free(process);
    return status;
}

/* The status of a command that is run to its end. */
static int run_shell(const char *command)
{
    return end(begin_shell(command, NULL));
}

/* What a child says by standard output, to the record. */
static int record_output(struct task_process *process)
{
    struct task_buffer out = {0};

    CHECK_STATUS(task_process_communicate(process, NULL, 0, &out, NULL), 0);
    record("%s", out.size ? out.data : "nothing");
    task_buffer_free(&out);
    return end(process);
}

/* Wait until a child is a zombie. */
static void await_zombie(struct task_process *process)
{
    siginfo_t info;

    CHECK_STATUS(waitid(P_PID, (id_t)task_process_pid(process), &info,
                        WEXITED | WNOWAIT),
                 0);
}

static int waits_for(void *arg)
{
    int status = task_process_wait(arg);

    if (WIFEXITED(status) && status >= 0)
        record("%s got %d", task_name(task_current()), WEXITSTATUS(status));
    else
        record("%s got %d", task_name(task_current()), status);
    return status;
}

/* Starting and ending. */

static int an_exit_code_comes_to_whoever_waits(void *arg)
{
    (void)arg;
    for (int i = 0; i < 256; i += 51) {
        char command[20];
        int status;

        snprintf(command, sizeof command, "exit %d", i);
        status = run_shell(command);
        CHECK(WIFEXITED(status));
        CHECK_STATUS(WEXITSTATUS(status), i);
    }
    return 0;
}

static int a_signal_that_kills_comes_to_whoever_waits(void *arg)
{
    int status = run_shell("kill -TERM $$");

    (void)arg;
    CHECK(WIFSIGNALED(status));
    CHECK_STATUS(WTERMSIG(status), SIGTERM);
    return 0;
}

static int a_child_may_end_before_anybody_waits(void *arg)
{
    struct task_process *process = begin_shell("exit 3", NULL);

    (void)arg;
    await_zombie(process);
    CHECK_STATUS(WEXITSTATUS(end(process)), 3);
    process = begin_shell("exit 4", NULL);
    await_zombie(process);
    task_sleep(TASK_SECOND);
    CHECK_STATUS(WEXITSTATUS(task_process_wait(process)), 4);
    CHECK_STATUS(WEXITSTATUS(end(process)), 4);
    return 0;
}

static int all_who_wait_get_the_same(void *arg)
{
    struct task_process *process =
        begin_shell("read line; exit 9", OPTIONS(.stdin_mode = TASK_PIPE));
    struct task *a = test_start(waits_for, process, "a");
    struct task *b = test_start(waits_for, process, "b");
    struct task *c = test_start(waits_for, process, "c");

    (void)arg;
    CHECK(task_cancel(b));
    CHECK_STATUS(task_await(b), -ECANCELED);
    CHECK_STATUS(task_stream_write_eof(task_process_stdin(process)), 0);
    CHECK_STATUS(WEXITSTATUS(task_await(a)), 9);
    CHECK_STATUS(WEXITSTATUS(task_await(c)), 9);
    CHECK_STATUS(WEXITSTATUS(end(process)), 9);
    CHECK_RECORD("b got -125, a got 9, c got 9");
    return 0;
}

static int a_request_comes_before_the_status(void *arg)
{
    struct task_process *process = begin_shell("exit 1", NULL);

    (void)arg;
    CHECK_STATUS(WEXITSTATUS(task_process_wait(process)), 1);
    task_cancel(task_current());
    CHECK_STATUS(task_process_wait(process), -ECANCELED);
    CHECK_STATUS(WEXITSTATUS(end(process)), 1);
    return 0;
}

static int many_children_at_once(void *arg)
{
    enum { N = 200 };
    static struct task_process *processes[N];
    unsigned n = test_rounds(N) < 20 ? 20 : test_rounds(N);

    (void)arg;
    for (unsigned i = 0; i < n; i++) {
        char command[20];

        snprintf(command, sizeof command, "exit %u", i % 100);
        processes[i] = begin_shell(command, OPTIONS(.stdin_mode = TASK_DEVNULL,
                                                    .stdout_mode = TASK_PIPE));
    }
    for (unsigned i = n; i-- > 0;)
        CHECK_STATUS(WEXITSTATUS(end(processes[i])), (int)i % 100);
    CHECK(!has_children());
    return 0;
}

static int a_stopped_child_has_not_ended(void *arg)
{
    struct task_process *process =
        begin_shell("read line; exit 5", OPTIONS(.stdin_mode = TASK_PIPE));
    struct task *task = test_start(waits_for, process, "waiter");
    siginfo_t info;

    (void)arg;
    CHECK_STATUS(task_process_send_signal(process, SIGSTOP), 0);
    CHECK_STATUS(waitid(P_PID, (id_t)task_process_pid(process), &info,
                        WSTOPPED | WNOWAIT),
                 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(!task_done(task));
    CHECK_STATUS(task_process_send_signal(process, SIGCONT), 0);
    CHECK_STATUS(task_sleep(TASK_SECOND), 0);
    CHECK(!task_done(task));
    CHECK_STATUS(task_stream_write_eof(task_process_stdin(process)), 0);
    CHECK_STATUS(WEXITSTATUS(task_await(task)), 5);
    CHECK_RECORD("waiter got 5");
    task_process_free(process);
    return 0;
}

static int a_child_of_others_is_left_to_them(void *arg)
{
    char *const argv[] = {text("sh"), text("-c"), text("exit 6"), NULL};
    pid_t pid;
    int status;

    (void)arg;
    CHECK_STATUS(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
    CHECK_STATUS(WEXITSTATUS(run_shell("exit 7")), 7);
    CHECK_STATUS(waitpid(pid, &status, 0), pid);
    CHECK_STATUS(WEXITSTATUS(status), 6);
    return 0;
}

static int a_status_taken_by_others_is_told(void *arg)
{
    struct task_process *process = begin_shell("exit 1", NULL);

    (void)arg;
    CHECK_STATUS(waitpid(task_process_pid(process), NULL, 0),
                 task_process_pid(process));
    CHECK_STATUS(task_process_send_signal(process, SIGTERM), -ESRCH);
    CHECK_STATUS(task_process_wait(process), -ECHILD);
    CHECK_STATUS(end(process), -ECHILD);

    process = begin_shell("read line", OPTIONS(.stdin_mode = TASK_PIPE));
    struct task *task = test_start(waits_for, process, "waiter");

    CHECK_STATUS(task_stream_write_eof(task_process_stdin(process)), 0);
    CHECK_STATUS(waitpid(task_process_pid(process), NULL, 0),
                 task_process_pid(process));
    CHECK_STATUS(task_await(task), -ECHILD);
    CHECK_RECORD("waiter got -10");
    task_process_free(process);
    return 0;
}

static int ignored_sigchld_is_no_eternal_wait(void *arg)
{
    struct task_process *process;

    (void)arg;
    signal(SIGCHLD, SIG_IGN);
    CHECK_STATUS(run_shell("exit 1"), -ECHILD);
    process = begin_shell("exec sleep 100", NULL);
    CHECK_STATUS(task_process_kill(process), 0);
    CHECK_STATUS(task_process_wait(process), -ECHILD);
    task_process_free(process);
    process = begin_shell("exec sleep 100", NULL);
    task_process_free(process);
    signal(SIGCHLD, SIG_DFL);
    return 0;
}

static int a_child_is_a_source_like_a_descriptor(void *arg)
{
    struct task_process *process = begin_shell("exec sleep 100", NULL);
    task_time before = loop_time();

    (void)arg;
    CHECK_STATUS(task_sleep(TASK_HOUR), 0);
    CHECK_STATUS(loop_time() - before, TASK_HOUR);
    CHECK_STATUS(task_process_kill(process), 0);
    CHECK_STATUS(WTERMSIG(end(process)), SIGKILL);
    CHECK_STATUS(loop_time() - before, TASK_HOUR);
    return 0;
}

/* Signals. */

static int a_signal_is_sent(void *arg)
{
    static const int signals[] = {SIGTERM, SIGKILL, SIGUSR1};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct task_process *process = begin(ARGV("sleep", "100"), NULL);

        CHECK_STATUS(task_process_send_signal(process, 0), 0);
        CHECK_STATUS(i == 0   ? task_process_terminate(process)
                     : i == 1 ? task_process_kill(process)
                              : task_process_send_signal(process, SIGUSR1),
                     0);
        CHECK_STATUS(WTERMSIG(task_process_wait(process)), signals[i]);
        CHECK_STATUS(task_process_send_signal(process, signals[i]), -ESRCH);
        CHECK_STATUS(task_process_send_signal(process, 0), -ESRCH);
        task_process_free(process);
    }
    return 0;
}

static int no_signal_goes_to_one_that_has_ended(void *arg)
{
    struct task_process *process = begin_shell("exit 2", NULL);

    (void)arg;
    await_zombie(process);
    CHECK_STATUS(task_process_kill(process), -ESRCH);
    CHECK_STATUS(WEXITSTATUS(end(process)), 2);
    return 0;
}

static void kill_and_reap(pid_t pid)
{
    CHECK_STATUS(kill(pid, SIGKILL), 0);
    CHECK_STATUS(waitpid(pid, NULL, 0), pid);
}

/* A child of this process that gets a number; false: the system does not let us
 * choose, or others are always quicker. */
static bool fork_as(pid_t wanted)
{
    int last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    pid_t pid = 0;

    for (int i = 0; last >= 0 && pid != wanted && i < 100; i++) {
        if (pid > 0)
            kill_and_reap(pid);
        pid = dprintf(last, "%d", (int)wanted - 1) < 0 ? -1 : fork();
        while (!pid)
            pause();
    }
    if (pid > 0 && pid != wanted)
        kill_and_reap(pid);
    if (last >= 0)
        close(last);
    return pid == wanted;
}

static int no_signal_goes_to_another_with_the_same_number(void *arg)
{
    struct task_process *process = begin_shell("exit 2", NULL);
    struct pollfd end = {.fd = process->child.fd, .events = POLLIN};
    pid_t pid = task_process_pid(process);

    (void)arg;
    await_zombie(process);
    CHECK_STATUS(poll(&end, 1, -1), 1); /* and whoever watches it has seen it */
    CHECK_STATUS(waitpid(pid, NULL, 0), pid);
    if (fork_as(pid)) {
        CHECK_STATUS(task_process_kill(process), -ESRCH);
        CHECK_STATUS(task_process_wait(process), -ECHILD);
        CHECK_STATUS(waitpid(pid, NULL, WNOHANG), 0);
        kill_and_reap(pid);
    } else {
        print_message("there is no choosing of numbers: left out\n");
    }
    task_process_free(process);
    return 0;
}

static int there_are_no_other_signals(void *arg)
{
    struct task_process *process = begin_shell("exec sleep 100", NULL);

    (void)arg;
    CHECK_STATUS(task_process_send_signal(process, -1), -EINVAL);
    CHECK_STATUS(task_process_send_signal(process, NSIG), -EINVAL);
    CHECK_STATUS(task_process_send_signal(NULL, SIGTERM), -EINVAL);
    CHECK_STATUS(task_process_kill(process), 0);
    CHECK_STATUS(WTERMSIG(end(process)), SIGKILL);
    CHECK_STATUS(
        task_process_send_signal(process = begin_shell(":", NULL), NSIG),
        -EINVAL);
    end(process);
    return 0;
}

/* Handles. */

static int to_free_kills_and_the_loop_reaps(void *arg)
{
    struct task_process *process = begin_shell("exec sleep 100", NULL);
    pid_t pid = task_process_pid(process);
    struct task *task = test_start(waits_for, process, "waiter");

    (void)arg;
    task_process_free(process);
    CHECK(!kill(pid, 0)); /* it is reaped by the loop's next look */
    CHECK_STATUS(task_await(task), -EBADF);
    CHECK_RECORD("waiter got -9");
    while (has_children())
        CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(kill(pid, 0), -1);
    return 0;
}

static int what_is_freed_is_reaped_with_the_loop(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++)
        task_process_free(begin_shell("exec sleep 100", NULL));
    return 0;
}

static int to_free_one_that_has_ended_is_nothing(void *arg)
{
    struct task_process *process = begin_shell("exit 0", NULL);

    (void)arg;
    await_zombie(process);
    task_process_free(process);
    CHECK(!has_children());
    task_process_free(NULL);
    CHECK_STATUS(task_process_pid(NULL), 0);
    CHECK(!task_process_stdin(NULL));
    return 0;
}

static int leaves_children(void *arg)
{
    (void)arg;
    begin_shell("exec sleep 100", OPTIONS(.stdout_mode = TASK_PIPE));
    begin_shell("cat", OPTIONS(.stdin_mode = TASK_PIPE));
    end(begin_shell("exit 0", NULL));
    return 0;
}

static void a_loop_kills_what_is_left(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    assert_int_equal(run_virtual(leaves_children, NULL), 0);
    assert_false(has_children());
    options.debug = true;
    assert_int_equal(run_with(options, leaves_children, NULL), 0);
    assert_record("leak(0), leak(0)");
}

/* Tasks that are dropped in the midst of a wait, and of a talk. */

static int waits_in_spite_of_requests(void *arg)
{
    while (task_process_wait(arg) < 0)
        continue;
    return 0;
}

static int talks_in_spite_of_requests(void *arg)
{
    static char input[1 << 20];

    while (task_process_communicate(arg, input, sizeof input, NULL, NULL) < 0)
        continue;
    return 0;
}

static int leaves_those_that_do_not_end(void *arg)
{
    struct task_process *process =
        begin_shell("exec sleep 100",
                    OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE,
                            .stderr_mode = TASK_PIPE));

    (void)arg;
    task_detach(test_start(waits_in_spite_of_requests, process, "waits"));
    task_detach(test_start(talks_in_spite_of_requests, process, "talks"));
    return 0;
}

static void what_dropped_tasks_were_at_ends_with_the_loop(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.shutdown_timeout = TASK_SECOND;
    for (int i = 0; i < 2; i++) {
        options.debug = i;
        assert_int_equal(run_with(options, leaves_those_that_do_not_end, NULL),
                         0);
        assert_false(has_children());
        record_clear();
    }
}

static int another_loop_is_refused(void *arg)
{
    struct task_process *process = arg;

    CHECK_STATUS(task_process_wait(process), -EINVAL);
    CHECK_STATUS(task_process_communicate(process, NULL, 0, NULL, NULL),
                 -EINVAL);
    CHECK_STATUS(task_process_wait(NULL), -EINVAL);
    CHECK_STATUS(task_process_communicate(NULL, NULL, 0, NULL, NULL), -EINVAL);
    return 0;
}

static int begins(void *arg)
{
    *(struct task_process **)arg = begin_shell("exec sleep 100", NULL);
    return 0;
}

static void a_child_is_of_one_loop(void **state)
{
    struct task_process *process = NULL;
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, begins, &process), 0);
    assert_non_null(process);
    assert_int_equal(run_virtual(another_loop_is_refused, process), 0);
    assert_int_equal(task_process_wait(process), -EPERM);
    assert_int_equal(task_process_kill(process), 0);
    task_process_free(process);
    test_loop_free(loop, &count);
}

static int is_still_there(void *arg)
{
    CHECK_STATUS(task_process_send_signal(arg, 0), 0);
    CHECK_STATUS(task_process_kill(arg), 0);
    return WTERMSIG(end(arg));
}

/* A run ends with its main; and by turns a child is something alive. */
static void a_child_outlives_a_run(void **state)
{
    struct task_process *process = NULL;
    struct memory_count count = {0};
    struct loop *loop = test_loop_new(&count);

    (void)state;
    assert_int_equal(loop_run_main(loop, begins, &process), 0);
    assert_true(loop_run_turn(loop, 0) > 0);
    assert_int_equal(loop_run_main(loop, is_still_there, process), SIGKILL);
    assert_int_equal(loop_run_turn(loop, 0), 0);
    test_loop_free(loop, &count);
}

static void nothing_is_started_outside_a_loop(void **state)
{
    struct task_process *process = NULL;

    (void)state;
    assert_int_equal(task_process_exec(&process, ARGV("true"), NULL), -EPERM);
    assert_int_equal(task_process_shell(&process, ":", NULL), -EPERM);
    assert_null(process);
}

static int begins_a_reader(void *arg)
{
    *(struct task_process **)arg =
        begin_shell("read line; exit 8", OPTIONS(.stdin_mode = TASK_PIPE));
    return 0;
}

static int ends_a_reader(void *arg)
{
    CHECK_STATUS(task_stream_write_eof(task_process_stdin(arg)), 0);
    return WEXITSTATUS(end(arg));
}

struct inherited {
    struct loop *loop;
    struct task_process *process;
};

static void be_a_fork(void *arg)
{
    const struct inherited *inherited = arg;

    if (task_process_kill(inherited->process) != -EPERM)
        _exit(1);
    task_process_free(inherited->process);
    loop_free(inherited->loop);
}

static void the_fork_of_a_parent_has_no_children(void **state)
{
    /* Valgrind takes what is counted for lost in the fork. */
    struct inherited inherited = {test_loop_new(NULL), NULL};

    (void)state;
    assert_int_equal(
        loop_run_main(inherited.loop, begins_a_reader, &inherited.process), 0);
    assert_int_equal(child_run(be_a_fork, &inherited), 0);
    assert_int_equal(
        loop_run_main(inherited.loop, ends_a_reader, inherited.process), 8);
    test_loop_free(inherited.loop, NULL);
}

/* What cannot be started. */

/* Nothing is left, and nothing told, but the error. */
static void check_refused(const char *const argv[],
                          const struct task_process_options *options, int error)
{
    struct task_process *process = NULL;
    size_t before = descriptors_open();
    size_t after;

    errno = 0;
    CHECK_STATUS(task_process_exec(&process, argv, options), error);
    after = descriptors_open();
    CHECK_STATUS(errno, 0);
    CHECK(!process);
    CHECK(!has_children());
    CHECK_STATUS(after, before);
}

static int what_cannot_be_run_is_an_error_of_creation(void *arg)
{
    const struct task_process_options pipes = {.stdin_mode = TASK_PIPE,
                                               .stdout_mode = TASK_PIPE,
                                               .stderr_mode = TASK_PIPE};
    char long_name[300] = "";

    (void)arg;
    /* The poller opens its descriptors, and the way is found out. */
    CHECK_STATUS(run_shell(":"), 0);
    memset(long_name, 'x', sizeof long_name - 1);
    check_refused(ARGV("/no/such/program"), &pipes, -ENOENT);
    check_refused(ARGV("no-such-program"), &pipes, -ENOENT);
    check_refused(ARGV(""), &pipes, -ENOENT);
    check_refused(ARGV(long_name), &pipes, -ENOENT);
    check_refused(ARGV("/dev/null/true"), &pipes, -ENOTDIR);
    check_refused(ARGV("/dev/null"), &pipes, -EACCES);
    check_refused(ARGV("/"), &pipes, -EACCES);
    check_refused(ARGV("true"), OPTIONS(.cwd = "/no/such/folder"), -ENOENT);
    check_refused(ARGV("true"), OPTIONS(.cwd = "/dev/null"), -ENOTDIR);
    check_refused(ARGV("true"), OPTIONS(.stdin_mode = -4), -EINVAL);
    check_refused(ARGV("true"), OPTIONS(.stdin_mode = TASK_STDOUT), -EINVAL);
    check_refused(ARGV("true"), OPTIONS(.stdout_mode = TASK_STDOUT), -EINVAL);
    check_refused(ARGV("true"), OPTIONS(.stderr_mode = 999), -EBADF);
    check_refused(ARGV("true"),
                  OPTIONS(.pass_fds = (const int[]){0, 999}, .n_pass_fds = 2),
                  -EBADF);
    check_refused(ARGV("true"),
                  OPTIONS(.pass_fds = (const int[]){-1}, .n_pass_fds = 1),
                  -EBADF);
    check_refused(ARGV(NULL), &pipes, -EINVAL);
    check_refused(NULL, &pipes, -EINVAL);
    CHECK_STATUS(task_process_exec(NULL, ARGV("true"), NULL), -EINVAL);
    CHECK_STATUS(task_process_shell(NULL, NULL, NULL), -EINVAL);
    return 0;
}

/* A file of this name, with these bytes, that may be run or not. */
static void make_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    CHECK_STATUS(write(fd, text, strlen(text)), (long long)strlen(text));
    CHECK_STATUS(fchmod(fd, mode), 0);
    CHECK_STATUS(close(fd), 0);
}

/* A folder with programs, which is left when the test ends. */
static char folder[] = "/tmp/test_process.XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[4][100];
    static unsigned i;
    char *path = paths[i++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static void remove_folder(void)
{
    static const char *const names[] = {"data",   "denied", "script", "out",
                                        "sub/it", "it",     "sub"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(path_of(names[i]));
    CHECK_STATUS(rmdir(folder), 0);
}

static int what_is_no_program_is_an_error_of_creation(void *arg)
{
    char variable[100];
    const char *const env[] = {variable, NULL};

    (void)arg;
    CHECK_STATUS(run_shell(":"), 0);
    make_folder();
    make_file(path_of("data"), "no program\n", 0700);
    make_file(path_of("denied"), "#!/bin/sh\n", 0600);
    make_file(path_of("script"), "#!/no/such/interpreter\n", 0700);
    check_refused(ARGV(path_of("data")), NULL, -ENOEXEC);
    check_refused(ARGV(path_of("denied")), NULL, -EACCES);
    if (!getenv("TASK_TEST_VALGRIND")) /* it dies of that */
        check_refused(ARGV(path_of("script")), NULL, -ENOENT);
    snprintf(variable, sizeof variable, "PATH=/no/such:%s:/bin", folder);
    check_refused(ARGV("denied"), OPTIONS(.env = env), -EACCES);
    check_refused(ARGV("data"), OPTIONS(.env = env), -ENOEXEC);
    remove_folder();
    return 0;
}

static int too_few_descriptors_are_an_error_of_creation(void *arg)
{
    struct rlimit before;
    struct rlimit few;
    int fd;
    bool is_done = false;

    (void)arg;
    CHECK_STATUS(run_shell(":"), 0);
    fd = dup(0);
    close(fd);
    getrlimit(RLIMIT_NOFILE, &before);
    for (int n = fd; !is_done; n++) {
        struct task_process *process = NULL;
        int error;

        few = before;
        few.rlim_cur = (rlim_t)n;
        setrlimit(RLIMIT_NOFILE, &few);
        error = task_process_shell(&process, "exit 3",
                                   OPTIONS(.stdin_mode = TASK_PIPE,
                                           .stdout_mode = TASK_PIPE,
                                           .stderr_mode = TASK_DEVNULL));
        setrlimit(RLIMIT_NOFILE, &before);
        is_done = !error;
        if (error) {
            CHECK_STATUS(error, -EMFILE);
            CHECK(!process && !has_children());
            CHECK_STATUS(dup(0), fd);
            close(fd);
        } else {
            CHECK_STATUS(WEXITSTATUS(end(process)), 3);
            CHECK(n > fd + 4);
        }
    }
    return 0;
}

static int begins_without_memory(void *arg)
{
    struct memory_count *count = arg;
    struct task_process *process = NULL;
    int error;

    error = task_process_shell(&process, "exit 3",
                               OPTIONS(.stdin_mode = TASK_PIPE,
                                       .stdout_mode = TASK_PIPE,
                                       .stderr_mode = TASK_PIPE));
    count->fail_at = 0;
    CHECK(!!process == !error);
    CHECK(process || !has_children());
    return process ? WEXITSTATUS(end(process)) : error;
}

static void lack_of_memory_is_an_error_of_creation(void **state)
{
    int status = -ENOMEM;

    (void)state;
    for (size_t i = 1; status == -ENOMEM; i++) {
        struct memory_count count = {0};
        struct loop *loop = test_loop_new(&count);

        count.fail_at = i;
        status = loop_run_main(loop, begins_without_memory, &count);
        test_loop_free(loop, &count);
        assert_true(status == 3 || status == -ENOMEM);
    }
    assert_checks();
}

/* What a child begins with. */

static int signals_are_as_a_program_expects_them(void *arg)
{
    sigset_t blocked;
    sigset_t former;

    (void)arg;
    sigfillset(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &former);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    CHECK_STATUS(end(begin(ARGV(program, "signals"), NULL)), 0);
    CHECK_STATUS(signal(SIGPIPE, SIG_DFL) == SIG_IGN, 1);
    signal(SIGINT, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &former, &blocked);
    CHECK_STATUS(sigismember(&blocked, SIGTERM), 1);
    return 0;
}

static int a_session_is_its_own_if_wanted(void *arg)
{
    (void)arg;
    CHECK_STATUS(WEXITSTATUS(end(begin(ARGV(program, "session"), NULL))), 1);
    CHECK_STATUS(WEXITSTATUS(end(begin(ARGV(program, "session"),
                                       OPTIONS(.new_session = true)))),
                 0);
    return 0;
}

static int no_descriptor_is_inherited_unasked(void *arg)
{
    const struct task_process_options plain = {.stdout_mode = TASK_PIPE};
    struct task_process_options passing = plain;
    struct task_process *other = begin_shell(
        "cat", OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE));
    int open_one = dup(0);
    int closed_one = fcntl(0, F_DUPFD_CLOEXEC, 100);
    int high_one = fcntl(0, F_DUPFD, 500);
    const int passed[] = {closed_one, 0, high_one};

    (void)arg;
    record_output(begin(ARGV(program, "descriptors"), &plain));
    CHECK_RECORD("0,1,2");
    passing.pass_fds = passed;
    passing.n_pass_fds = 3;
    record_output(begin(ARGV(program, "descriptors"), &passing));
    CHECK_RECORD("0,1,2,100,500");
    CHECK(fcntl(closed_one, F_GETFD) == FD_CLOEXEC);
    close(open_one);
    close(closed_one);
    close(high_one);
    CHECK_STATUS(task_stream_write_eof(task_process_stdin(other)), 0);
    CHECK_STATUS(end(other), 0);
    return 0;
}

static int what_is_passed_works(void *arg)
{
    struct task_process *process;
    char command[40];
    char said[20] = "";
    int ends[2];

    (void)arg;
    CHECK_STATUS(pipe2(ends, O_CLOEXEC), 0);
    snprintf(command, sizeof command, "echo passed >&%d", ends[1]);
    /* As standard output too, and twice. */
    process = begin_shell(
        command, OPTIONS(.stdout_mode = ends[1],
                         .pass_fds = (const int[]){ends[1], 2, ends[1]},
                         .n_pass_fds = 3));
    close(ends[1]);
    CHECK_STATUS(end(process), 0);
    CHECK_STATUS(task_read(ends[0], said, sizeof said - 1), 7);
    CHECK(!strcmp(said, "passed\n"));
    CHECK_STATUS(task_read(ends[0], said, sizeof said), 0);
    CHECK_STATUS(task_close(ends[0]), 0);
    return 0;
}

static int folder_and_environment_are_as_told(void *arg)
{
    static const char *const none[] = {NULL};
    static const char *const one[] = {"COLOUR=red", NULL};
    struct task_process_options options = {.stdout_mode = TASK_PIPE};

    (void)arg;
    setenv("COLOUR", "blue", 1);
    options.cwd = "/proc";
    record_output(begin(ARGV("pwd"), &options));
    options.cwd = NULL;
    record_output(begin_shell("echo $COLOUR", &options));
    options.env = one;
    record_output(begin(ARGV("env"), &options));
    options.env = none;
    record_output(begin(ARGV("env"), &options));
    CHECK_RECORD("/proc\n, blue\n, COLOUR=red\n, nothing");
    unsetenv("COLOUR");
    return 0;
}

static int programs_are_looked_for_in_the_childs_path(void *arg)
{
    struct task_process_options options = {.stdout_mode = TASK_PIPE};
    char variable[100];
    const char *const env[] = {"X=1", variable, NULL};

    (void)arg;
    make_folder();
    CHECK_STATUS(mkdir(path_of("sub"), 0700), 0);
    make_file(path_of("it"), "#!/bin/sh\necho above\n", 0700);
    make_file(path_of("sub/it"), "#!/bin/sh\necho below\n", 0700);
    options.env = env;
    snprintf(variable, sizeof variable, "PATH=/no:%s/sub:%s", folder, folder);
    record_output(begin(ARGV("it"), &options));
    snprintf(variable, sizeof variable, "PATH=/no::%s", folder);
    options.cwd = path_of("sub");
    record_output(begin(ARGV("it"), &options)); /* an empty entry */
    record_output(begin(ARGV("./it"), &options));
    record_output(begin(ARGV("../it"), &options));
    CHECK_RECORD("below\n, below\n, below\n, above\n");
    remove_folder();
    return 0;
}

/* Standard input, output, error. */

static int each_may_be_dev_null(void *arg)
{
    struct task_process *process = begin_shell(
        "cat; echo out; echo err >&2",
        OPTIONS(.stdin_mode = TASK_DEVNULL, .stdout_mode = TASK_DEVNULL,
                .stderr_mode = TASK_DEVNULL));

    (void)arg;
    CHECK(!task_process_stdin(process) && !task_process_stdout(process) &&
          !task_process_stderr(process));
    CHECK_STATUS(task_process_communicate(process, "x", 1, NULL, NULL),
                 -EINVAL);
    CHECK_STATUS(task_process_communicate(process, NULL, 0, NULL, NULL), 0);
    CHECK_STATUS(end(process), 0);
    return 0;
}

static int errors_may_go_where_output_goes(void *arg)
{
    (void)arg;
    record_output(begin_shell(
        "echo out; echo err >&2",
        OPTIONS(.stdout_mode = TASK_PIPE, .stderr_mode = TASK_STDOUT)));
    CHECK_RECORD("out\nerr\n");
    return 0;
}

/* What a file has now, to the record. */
static void record_file(int fd)
{
    char text[100] = "";

    CHECK(pread(fd, text, sizeof text - 1, 0) >= 0);
    CHECK_STATUS(ftruncate(fd, 0), 0);
    CHECK_STATUS(lseek(fd, 0, SEEK_SET), 0);
    record("%s", text);
}

static int open_file(void)
{
    char path[] = "/tmp/test_process.XXXXXX";
    int fd = mkstemp(path);

    unlink(path);
    return fd;
}

static int a_given_descriptor_stays_the_callers(void *arg)
{
    const char *command = "echo out; echo err >&2";
    int one = open_file();
    int two = open_file();

    (void)arg;
    CHECK_STATUS(end(begin_shell(
                     command, OPTIONS(.stdout_mode = one, .stderr_mode = two))),
                 0);
    record_file(one);
    record_file(two);
    CHECK_STATUS(end(begin_shell(
                     command, OPTIONS(.stdout_mode = one, .stderr_mode = one))),
                 0);
    record_file(one);
    CHECK_STATUS(end(begin_shell(command, OPTIONS(.stdout_mode = one,
                                                  .stderr_mode = TASK_STDOUT))),
                 0);
    record_file(one);
    CHECK_RECORD("out\n, err\n, out\nerr\n, out\nerr\n");
    CHECK_STATUS(write(one, "input", 5), 5);
    CHECK_STATUS(lseek(one, 0, SEEK_SET), 0);
    record_output(begin(ARGV("cat"),
                        OPTIONS(.stdin_mode = one, .stdout_mode = TASK_PIPE)));
    CHECK_RECORD("input");
    CHECK_STATUS(close(one), 0);
    CHECK_STATUS(close(two), 0);
    return 0;
}

static const struct task_process_options swaps[] = {
    {.stdout_mode = 2, .stderr_mode = 1},
    {.stdout_mode = 2},
    {.stderr_mode = 1},
    {.stdout_mode = 1, .stderr_mode = 2},
    {.stderr_mode = TASK_STDOUT},
    {.stdout_mode = 2, .stderr_mode = TASK_STDOUT},
};
static const char *const swapped[][2] = {
    {"err\n", "out\n"}, {"", "out\nerr\n"}, {"out\nerr\n", ""},
    {"out\n", "err\n"}, {"out\nerr\n", ""}, {"", "out\nerr\n"},
};

static int swaps_them(void *arg)
{
    return end(begin_shell("echo out; echo err >&2", arg));
}

struct swap {
    int files[2];
    const struct task_process_options *options;
};

static void swap_them(void *arg)
{
    const struct swap *swap = arg;

    dup2(swap->files[0], 1);
    dup2(swap->files[1], 2);
    _exit(run_virtual(swaps_them,
                      (struct task_process_options *)(uintptr_t)swap->options));
}

static void output_and_errors_may_be_swapped(void **state)
{
    struct swap swap = {{open_file(), open_file()}, swaps};

    (void)state;
    for (size_t i = 0; i < sizeof swaps / sizeof *swaps; i++) {
        swap.options = &swaps[i];
        assert_int_equal(child_run(swap_them, &swap), 0);
        record_file(swap.files[0]);
        assert_record(swapped[i][0]);
        record_file(swap.files[1]);
        assert_record(swapped[i][1]);
    }
    close(swap.files[0]);
    close(swap.files[1]);
}

static int passes_what_is_closed_on_exec(void *arg)
{
    static const int passed[] = {1, 2};
    const char *command = "echo out; echo err >&2";
    int file = open_file();

    (void)arg;
    for (int fd = 1; fd < 3; fd++) {
        dup2(file, fd);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    CHECK(end(begin_shell(command, NULL)));
    CHECK_STATUS(
        end(begin_shell(command, OPTIONS(.stdout_mode = 1, .stderr_mode = 2))),
        0);
    CHECK_STATUS(
        end(begin_shell(command, OPTIONS(.pass_fds = passed, .n_pass_fds = 2))),
        0);
    record_file(file);
    CHECK_RECORD("out\nerr\nout\nerr\n");
    for (int fd = 1; fd < 3; fd++)
        CHECK_STATUS(fcntl(fd, F_GETFD), FD_CLOEXEC);
    return checks_failed();
}

static void pass_what_is_closed_on_exec(void *arg)
{
    (void)arg;
    _exit(run_virtual(passes_what_is_closed_on_exec, NULL));
}

static void what_is_passed_is_open_whatever_its_flags(void **state)
{
    (void)state;
    assert_int_equal(child_run(pass_what_is_closed_on_exec, NULL), 0);
}

/* In a process that has some of 0, 1 and 2 closed: bits of the argument. */
static void close_some(int which)
{
    for (int fd = 0; fd < 3; fd++)
        if (which & 1 << fd)
            close(fd);
}

static int talks_by_pipes(void *arg)
{
    struct task_process *process =
        begin_shell("cat; echo err >&2",
                    OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE,
                            .stderr_mode = TASK_PIPE));
    struct task_buffer out = {0};
    struct task_buffer err = {0};
    int bad = 0;

    (void)arg;
    if (!process || task_process_communicate(process, "in", 2, &out, &err))
        return 1;
    bad |= strcmp(out.data, "in") ? 2 : 0;
    bad |= strcmp(err.data, "err\n") ? 4 : 0;
    task_buffer_free(&out);
    task_buffer_free(&err);
    bad |= end(process) ? 8 : 0;
    for (int fd = 0; fd < 3; fd++)
        bad |= task_process_exec(&process, ARGV("true"),
                                 OPTIONS(.stdin_mode = TASK_DEVNULL)) ||
                       end(process)
                   ? 16
                   : 0;
    return bad;
}

static int lists_descriptors(void *arg)
{
    const int *which = arg;
    struct task_process_options options = {.stdout_mode = TASK_PIPE};
    struct task_buffer out = {0};
    struct task_process *process =
        begin(ARGV(program, "descriptors"), &options);
    char wanted[20] = "";

    for (int fd = 0; fd < 3; fd++)
        if (fd == 1 || !(*which & 1 << fd))
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted),
                     "%s%d", *wanted ? "," : "", fd);
    if (!process || task_process_communicate(process, NULL, 0, &out, NULL))
        return 1;
    int bad = strcmp(out.data, wanted) ? 2 : 0;

    task_buffer_free(&out);
    return bad | (end(process) ? 4 : 0);
}

static void talk_with_some_closed(void *arg)
{
    close_some(*(int *)arg);
    int bad = run_virtual(talks_by_pipes, NULL);

    _exit(bad ? bad : run_virtual(lists_descriptors, arg) * 32);
}

static void the_parents_0_to_2_may_be_closed(void **state)
{
    (void)state;
    for (int which = 1; which < 8; which++)
        assert_int_equal(WEXITSTATUS(child_run(talk_with_some_closed, &which)),
                         0);
}

/* There are numbers for a pipe, but only those of 0 to 2, until there are more. */
static int starts_with_few_descriptors(void *arg)
{
    int file = *(int *)arg;
    const struct task_process_options options = {
        .stdin_mode = file, .stdout_mode = file, .stderr_mode = file};
    struct task_process *process = NULL;
    struct rlimit limit;
    int error;

    if (run_shell(":"))
        return 1;
    close_some(7);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 3;
    do {
        setrlimit(RLIMIT_NOFILE, &limit);
        error = task_process_exec(&process, ARGV("/no/such"), &options);
        if (process || has_children())
            return 2;
    } while (error == -EMFILE && limit.rlim_cur++ < 100);
    return error == -ENOENT ? 0 : 4;
}

static void start_with_few_descriptors(void *arg)
{
    _exit(run_virtual(starts_with_few_descriptors, arg));
}

static void whatever_numbers_are_free_errors_are_told(void **state)
{
    int file = open_file();

    (void)state;
    assert_int_equal(WEXITSTATUS(child_run(start_with_few_descriptors, &file)),
                     0);
    close(file);
}

/* Mixes of what 0, 1 and 2 may be, with some of them closed here: a seventh of
 * all, in which each pair of ways comes. */

enum { INHERITED, PIPED, NULLED, GIVEN, N_WAYS, MERGED = N_WAYS };

struct mix {
    int ways[3];
    int closed; /* bits */
    int file;   /* what is given */
};

static int mode_of(const struct mix *mix, int number)
{
    static const int modes[] = {[INHERITED] = TASK_INHERIT,
                                [PIPED] = TASK_PIPE,
                                [NULLED] = TASK_DEVNULL,
                                [MERGED] = TASK_STDOUT};

    return mix->ways[number] == GIVEN ? mix->file : modes[mix->ways[number]];
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_mode == b->st_mode;
}

/* Whether that is what the child's descriptor has to be. */
static bool is_right(const struct mix *mix, int number,
                     const struct stat said[3],
                     const struct task_process *process)
{
    struct stat wanted;
    int fd = number;

    memset(&wanted, 0, sizeof wanted);
    switch (mix->ways[number]) {
    case MERGED:
        return is_same(&said[number], &said[1]);
    case NULLED:
        return !stat("/dev/null", &wanted) && is_same(&said[number], &wanted);
    case GIVEN:
        fd = mix->file;
        break;
    case PIPED:
        fd = task_stream_fd(task__process_stream(process, number));
        break;
    default:
        if (mix->closed & 1 << number)
            return !said[number].st_mode;
    }
    fstat(fd, &wanted);
    return is_same(&said[number], &wanted);
}

static int mixes(void *arg)
{
    const struct mix *mix = arg;
    int ends[2];
    char number[12];
    struct stat said[3];
    struct task_process *process;
    int bad = 0;

    if (pipe(ends))
        return 1;
    for (int i = 0; i < 2; i++) {
        int low = ends[i];

        ends[i] = fcntl(low, F_DUPFD_CLOEXEC, 10);
        close(low);
    }
    snprintf(number, sizeof number, "%d", ends[1]);
    process = begin(ARGV(program, "files", number),
                    OPTIONS(.stdin_mode = mode_of(mix, 0),
                            .stdout_mode = mode_of(mix, 1),
                            .stderr_mode = mode_of(mix, 2),
                            .pass_fds = &ends[1], .n_pass_fds = 1));
    close(ends[1]);
    if (!process || read(ends[0], said, sizeof said) != sizeof said)
        return 1;
    for (int i = 0; i < 3; i++)
        bad |= is_right(mix, i, said, process) ? 0 : 2 << i;
    close(ends[0]);
    return bad | (end(process) ? 16 : 0);
}

static int mixes_all(void *arg)
{
    struct mix *mix = arg;
    const unsigned all = N_WAYS * N_WAYS * (N_WAYS + 1);
    unsigned step = 7 * 50 / test_rounds(50);

    for (unsigned i = (unsigned)mix->closed; i < all; i += step) {
        int bad;

        mix->ways[0] = (int)(i % N_WAYS);
        mix->ways[1] = (int)(i / N_WAYS % N_WAYS);
        mix->ways[2] = (int)(i / N_WAYS / N_WAYS);
        bad = mixes(mix);
        if (bad)
            return bad;
    }
    return 0;
}

static void mix_all(void *arg)
{
    struct mix *mix = arg;

    close_some(mix->closed);
    _exit(run_virtual(mixes_all, mix));
}

static void any_mix_is_as_wanted(void **state)
{
    struct mix mix = {.file = open_file()};

    (void)state;
    for (mix.closed = 0; mix.closed < 8; mix.closed++)
        assert_int_equal(WEXITSTATUS(child_run(mix_all, &mix)), 0);
    close(mix.file);
}

/* Talking. */

static int a_stream_leads_to_each_pipe(void *arg)
{
    struct task_process *process =
        begin_shell("while read a; do echo \"<$a>\"; echo $a >&2; done; exit 5",
                    OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE,
                            .stderr_mode = TASK_PIPE));
    struct task_stream *in = task_process_stdin(process);
    struct task_stream *out = task_process_stdout(process);
    const char *line;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(task_stream_printf(in, "line %d\n", i), 0);
        CHECK_STATUS(task_stream_read_line(out, &line), 9);
        CHECK(line[0] == '<' && line[6] == (char)('0' + i));
        CHECK_STATUS(task_stream_read_line(task_process_stderr(process), &line),
                     7);
    }
    CHECK_STATUS(task_stream_close(in), 0);
    CHECK(!task_process_stdin(process));
    CHECK_STATUS(task_stream_read_line(out, &line), 0);
    CHECK_STATUS(WEXITSTATUS(task_process_wait(process)), 5);
    CHECK(task_process_stdout(process) == out);
    task_process_free(process);
    return 0;
}

static int reads_a_byte(void *arg)
{
    char byte;

    return (int)task_read(*(const int *)arg, &byte, 1);
}

/* Closed by close(), while a task waits for one. */
static int pipes_may_have_the_numbers_of_sockets(void *arg)
{
    struct task_process *process;
    struct task_buffer out = {0};
    struct task *reader;
    int fds[4];

    (void)arg;
    for (int i = 0; i < 4; i += 2)
        CHECK_STATUS(socketpair(AF_UNIX, SOCK_STREAM, 0, fds + i), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(write(fds[i ^ 1], "x", 1), 1);
        CHECK_STATUS(reads_a_byte(&fds[i]), 1);
    }
    reader = test_start(reads_a_byte, &fds[2], "reader");
    for (int i = 0; i < 4; i++)
        CHECK_STATUS(close(fds[i]), 0);
    process = begin(ARGV("cat"),
                    OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE));
    CHECK_STATUS(task_stream_fd(task_process_stdin(process)), fds[1]);
    CHECK_STATUS(task_stream_fd(task_process_stdout(process)), fds[2]);
    CHECK_STATUS(task_process_communicate(process, "line", 4, &out, NULL), 0);
    CHECK_STATUS(out.size, 4);
    CHECK_STATUS(task_cancel_await(reader), -EBADF);
    task_buffer_free(&out);
    task_process_free(process);
    return 0;
}

/* n bytes that repeat with a period of 251. */
static char *pattern(size_t n)
{
    char *bytes = malloc(n);

    for (size_t i = 0; bytes && i < n; i++)
        bytes[i] = (char)(i % 251);
    return bytes;
}

static int a_megabyte_each_way_does_not_stop_short(void *arg)
{
    const size_t n = 1 << 20;
    char *input = pattern(n);
    struct task_buffer out = {0};
    struct task_buffer err = {0};
    struct task_process *process =
        begin_shell("tee /dev/stderr",
                    OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE,
                            .stderr_mode = TASK_PIPE));

    (void)arg;
    CHECK_STATUS(task_process_communicate(process, input, n, &out, &err), 0);
    CHECK(out.size == n && !memcmp(out.data, input, n) && !out.data[n]);
    CHECK(err.size == n && !memcmp(err.data, input, n) && !err.data[n]);
    CHECK_STATUS(end(process), 0);
    task_buffer_free(&out);
    task_buffer_free(&err);
    CHECK(!out.data && !out.size && !out.capacity);
    free(input);
    return 0;
}

static int no_input_is_the_end_of_it(void *arg)
{
    struct task_process *process =
        begin_shell("cat; echo end",
                    OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE));

    (void)arg;
    CHECK_STATUS(record_output(process), 0);
    CHECK_RECORD("end\n");
    return 0;
}

static int both_outputs_in_one_buffer_are_refused(void *arg)
{
    struct task_process *process = begin_shell(
        "echo out; echo err >&2",
        OPTIONS(.stdout_mode = TASK_PIPE, .stderr_mode = TASK_PIPE));
    struct task_buffer both = {0};

    (void)arg;
    CHECK_STATUS(task_process_communicate(process, NULL, 0, &both, &both),
                 -EINVAL);
    CHECK(!both.data && !both.size);
    CHECK_STATUS(record_output(process), 0);
    CHECK_RECORD("out\n");
    return 0;
}

static int a_child_that_does_not_read_is_no_error(void *arg)
{
    const size_t n = 1 << 20;
    char *input = pattern(n);
    static const char *const commands[] = {"exec sleep 0.01", ":",
                                           "head -c 100000 >/dev/null",
                                           "exec <&-; sleep 0.01; echo said"};

    (void)arg;
    for (int i = 0; i < 4; i++) {
        struct task_buffer out = {0};
        struct task_process *process =
            begin_shell(commands[i], OPTIONS(.stdin_mode = TASK_PIPE,
                                             .stdout_mode = TASK_PIPE));

        CHECK_STATUS(task_process_communicate(process, input, n, &out, NULL),
                     0);
        CHECK_STATUS(out.size, i == 3 ? 5 : 0);
        CHECK_STATUS(end(process), 0);
        task_buffer_free(&out);
    }
    free(input);
    return 0;
}

static int writing_to_a_child_that_is_gone_fails(void *arg)
{
    struct task_process *process =
        begin_shell(":", OPTIONS(.stdin_mode = TASK_PIPE));
    char block[4096] = {0};
    int error = 0;

    (void)arg;
    CHECK_STATUS(task_process_wait(process), 0);
    for (int i = 0; !error && i < 100; i++) {
        error =
            task_stream_write(task_process_stdin(process), block, sizeof block);
        if (!error)
            error = task_stream_drain(task_process_stdin(process));
    }
    CHECK_STATUS(error, -EPIPE);
    task_process_free(process);
    return 0;
}

struct talk {
    struct task_process *process;
    struct task_buffer out;
    struct task_buffer err;
};

static int communicates(void *arg)
{
    struct talk *talk = arg;

    return task_process_communicate(talk->process, NULL, 0, &talk->out,
                                    &talk->err);
}

static int a_cancelled_talk_has_what_came(void *arg)
{
    struct talk talk = {
        begin_shell("printf out; printf err >&2; read a; printf more",
                    OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE,
                            .stderr_mode = TASK_PIPE)),
        {0},
        {0}};
    struct task_stream *in = task_process_stdin(talk.process);
    struct task *task;

    (void)arg;
    /* A pipe that communicate leaves alone, so that the child lives on. */
    talk.process->streams[0].stream = NULL;
    task = test_start(communicates, &talk, "talker");
    CHECK_STATUS(task_process_communicate(talk.process, NULL, 0, NULL, NULL),
                 -EBUSY);
    while (talk.out.size < 3 || talk.err.size < 3)
        CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK(!strcmp(talk.out.data, "out") && !strcmp(talk.err.data, "err"));
    CHECK_STATUS(task_process_send_signal(talk.process, 0), 0);
    task_cancel(task_current());
    CHECK_STATUS(communicates(&talk), -ECANCELED);
    CHECK_STATUS(task_stream_close(in), 0);
    CHECK_STATUS(communicates(&talk), 0);
    CHECK(!strcmp(talk.out.data, "outmore") && !strcmp(talk.err.data, "err"));
    CHECK(WIFEXITED(end(talk.process)));
    task_buffer_free(&talk.out);
    task_buffer_free(&talk.err);
    return 0;
}

static int reads_output(void *arg)
{
    char byte;

    return (int)task_stream_read(task_process_stdout(arg), &byte, 1);
}

/* Neither the input, nor the end of it, as long as another task reads. */
static int a_refused_talk_gives_the_child_nothing(void *arg)
{
    struct task_process *process =
        begin(ARGV("cat"),
              OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE));
    struct task *reader = test_start(reads_output, process, "reader");
    struct task_buffer out = {0};

    (void)arg;
    CHECK_STATUS(task_process_communicate(process, "word", 4, &out, NULL),
                 -EBUSY);
    CHECK_STATUS(task_process_communicate(process, NULL, 0, &out, NULL),
                 -EBUSY);
    CHECK_STATUS(task_cancel_await(reader), -ECANCELED);
    CHECK_STATUS(task_process_communicate(process, "word", 4, &out, NULL), 0);
    CHECK(out.size == 4 && !memcmp(out.data, "word", 4));
    CHECK_STATUS(end(process), 0);
    task_buffer_free(&out);
    return 0;
}

static int says_word(void *arg)
{
    struct talk *talk = arg;

    return task_process_communicate(talk->process, "word", 4, &talk->out,
                                    &talk->err);
}

/* Cancelled when it has begun, or not, it goes on with the same input. */
static int is_cancelled_and_goes_on(void *arg)
{
    struct talk talk = {begin(ARGV("cat"), OPTIONS(.stdin_mode = TASK_PIPE,
                                                   .stdout_mode = TASK_PIPE)),
                        {0},
                        {0}};
    struct task *task = task_create(says_word, &talk);

    (void)arg;
    CHECK_STATUS(task_yield(), 0);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(says_word(&talk), 0);
    CHECK(talk.out.size == 4 && !memcmp(talk.out.data, "word", 4));
    CHECK_STATUS(end(talk.process), 0);
    task_buffer_free(&talk.out);
    return 0;
}

/* In whatever order its tasks run. */
static void a_talk_that_goes_on_loses_no_input(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 24; seed++)
        assert_int_equal(run_with((struct loop_options){.seed = seed},
                                  is_cancelled_and_goes_on, NULL),
                         0);
}

static int feeds_for_ever(void *arg)
{
    static char input[1 << 20];

    return task_process_communicate(arg, input, sizeof input, NULL, NULL);
}

static int a_talk_with_one_that_does_not_listen_is_cancelled(void *arg)
{
    struct task_process *process =
        begin(ARGV("sleep", "100"),
              OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE));
    struct task *task = test_start(feeds_for_ever, process, "feeder");

    (void)arg;
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    CHECK_STATUS(task_process_terminate(process), 0);
    CHECK_STATUS(WTERMSIG(end(process)), SIGTERM);
    return 0;
}

static int to_free_ends_a_talk(void *arg)
{
    struct talk talk = {
        begin_shell("exec sleep 100",
                    OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE,
                            .stderr_mode = TASK_PIPE)),
        {0},
        {0}};
    struct task *task = test_start(communicates, &talk, "talker");

    (void)arg;
    task_process_free(talk.process);
    CHECK_STATUS(task_await(task), -EBADF);
    task_buffer_free(&talk.out);
    task_buffer_free(&talk.err);
    return 0;
}

static int output_is_read_after_the_end(void *arg)
{
    struct task_process *process =
        begin_shell("printf 'late words'", OPTIONS(.stdout_mode = TASK_PIPE));

    (void)arg;
    CHECK_STATUS(task_process_wait(process), 0);
    CHECK_STATUS(record_output(process), 0);
    CHECK_RECORD("late words");
    return 0;
}

static int what_was_read_before_is_not_read_again(void *arg)
{
    struct task_process *process = begin_shell(
        "echo one; echo two; echo three", OPTIONS(.stdout_mode = TASK_PIPE));
    const char *line;

    (void)arg;
    CHECK_STATUS(task_stream_read_line(task_process_stdout(process), &line), 4);
    CHECK_STATUS(record_output(process), 0);
    CHECK_RECORD("two\nthree\n");
    return 0;
}

static int a_grandchild_with_the_pipe_does_not_hold_up_a_wait(void *arg)
{
    struct task_process *process =
        begin_shell("sleep 100 & echo $!", OPTIONS(.stdout_mode = TASK_PIPE));
    struct task_buffer out = {0};
    const char *line = "0";

    (void)arg;
    CHECK_STATUS(task_process_wait(process), 0);
    CHECK(task_stream_read_line(task_process_stdout(process), &line) > 1);
    CHECK_STATUS(kill((pid_t)atoi(line), SIGKILL), 0);
    CHECK_STATUS(task_process_communicate(process, NULL, 0, &out, NULL), 0);
    CHECK_STATUS(out.size, 0);
    task_buffer_free(&out);
    task_process_free(process);
    return 0;
}

/* It has said as much as the pipe takes, and nobody has read. */
static int a_full_pipe_does_not_hold_up_a_wait(void *arg)
{
    enum { PIPE = 1 << 16 };
    struct task_process *process = begin_shell(
        "head -c 65536 /dev/zero", OPTIONS(.stdout_mode = TASK_PIPE));
    struct task_buffer out = {0};

    (void)arg;
    CHECK_STATUS(task_process_wait(process), 0);
    CHECK_STATUS(task_process_communicate(process, NULL, 0, &out, NULL), 0);
    CHECK_STATUS(out.size, PIPE);
    task_buffer_free(&out);
    task_process_free(process);
    return 0;
}

/* The same, and a stream's buffer is full, as its reader has stopped reading. */
static int who_stops_reading_loses_nothing(void *arg)
{
    struct task_process *process =
        begin_shell("echo first; head -c 50000 /dev/zero",
                    OPTIONS(.stdout_mode = TASK_PIPE));
    struct task_stream *out = task_process_stdout(process);
    static char bytes[50000];
    const char *line;
    char more;

    (void)arg;
    CHECK_STATUS(task_stream_read_line(out, &line), 6);
    CHECK_STATUS(task_process_wait(process), 0);
    CHECK_STATUS(task_stream_read_exactly(out, bytes, sizeof bytes), 0);
    CHECK_STATUS(task_stream_read(out, &more, 1), 0);
    task_process_free(process);
    return 0;
}

/* The number that a shell says by its output. */
static pid_t said_number(struct task_process *process)
{
    const char *line = "0";

    CHECK(task_stream_read_line(task_process_stdout(process), &line) > 1);
    return (pid_t)atoi(line);
}

/* A signal for the shell is none for what it has started. */
static int a_shells_children_outlive_it(void *arg)
{
    struct task_process *process = begin_shell(
        "sleep 100 & echo $!; wait", OPTIONS(.stdout_mode = TASK_PIPE));
    pid_t grandchild = said_number(process);
    char more;

    (void)arg;
    CHECK_STATUS(task_process_kill(process), 0);
    CHECK_STATUS(WTERMSIG(task_process_wait(process)), SIGKILL);
    CHECK_STATUS(kill(grandchild, SIGKILL), 0);
    CHECK_STATUS(task_stream_read(task_process_stdout(process), &more, 1), 0);
    task_process_free(process);
    return 0;
}

static int in_a_session_a_signal_reaches_all(void *arg)
{
    struct task_process *process =
        begin_shell("sleep 100 & echo $!; wait",
                    OPTIONS(.stdout_mode = TASK_PIPE, .new_session = true));
    char more;

    (void)arg;
    CHECK(said_number(process) > 1);
    CHECK_STATUS(kill(-task_process_pid(process), SIGTERM), 0);
    CHECK_STATUS(WTERMSIG(task_process_wait(process)), SIGTERM);
    /* The pipe has no writer any more. */
    CHECK_STATUS(task_stream_read(task_process_stdout(process), &more, 1), 0);
    task_process_free(process);
    return 0;
}

/* One that a request asks to end, and kills when that was in vain for a while. */
struct stopped {
    const char *command;
    task_time grace;
    struct task_event begun;
    int status;
};

static int runs_until_cancelled(void *arg)
{
    struct stopped *stopped = arg;
    struct task_process *process =
        begin_shell(stopped->command,
                    OPTIONS(.stdin_mode = TASK_PIPE, .stdout_mode = TASK_PIPE));
    struct task_timeout grace;

    CHECK_STATUS(said_number(process), 1);
    task_event_set(&stopped->begun);
    CHECK_STATUS(task_process_wait(process), -ECANCELED);
    CHECK_STATUS(task_process_terminate(process), 0);
    task_timeout_begin(&grace, stopped->grace);
    stopped->status = task_timeout_end(&grace, task_process_wait(process));
    if (stopped->status == -ETIMEDOUT) {
        CHECK_STATUS(task_process_kill(process), 0);
        stopped->status = task_process_wait(process);
    }
    task_process_free(process);
    return -ECANCELED;
}

static int stops(void *arg)
{
    struct stopped *stopped = arg;
    struct task *task = task_create(runs_until_cancelled, stopped);

    CHECK_STATUS(task_event_wait(&stopped->begun), 0);
    CHECK_STATUS(task_cancel_await(task), -ECANCELED);
    return stopped->status;
}

static void who_asks_one_to_end_may_kill_it_later(void **state)
{
    struct loop_options options = test_options(NULL);
    struct stopped willing = {.command = "echo 1; read line",
                              .grace = TASK_HOUR};
    struct stopped deaf = {.command = "trap '' TERM; echo 1; read line",
                           .grace = 10 * TASK_MILLISECOND};

    (void)state;
    options.clock = LOOP_CLOCK_REAL;
    assert_int_equal(WTERMSIG(run_with(options, stops, &willing)), SIGTERM);
    assert_int_equal(WTERMSIG(run_with(options, stops, &deaf)), SIGKILL);
}

static int talks(void *arg)
{
    struct talk *talk = arg;
    int status;

    *talk = (struct talk){.process = NULL};
    if (task_process_shell(&talk->process, "cat; echo x >&2",
                           OPTIONS(.stdin_mode = TASK_PIPE,
                                   .stdout_mode = TASK_PIPE,
                                   .stderr_mode = TASK_PIPE)))
        return -EIO;
    status = task_process_communicate(talk->process, "abc", 3, &talk->out,
                                      &talk->err);
    if (!status)
        status = task_process_wait(talk->process);
    task_process_free(talk->process);
    task_buffer_free(&talk->out);
    task_buffer_free(&talk->err);
    return status;
}

static void a_talk_may_be_cancelled_anywhere(void **state)
{
    struct talk talk;

    (void)state;
    cancel_at_every_point(talks, NULL, &talk);
}

static int the_library_does_without_its_descriptor(void *arg)
{
    struct task_process *process =
        begin_shell("read a; exit 4", OPTIONS(.stdin_mode = TASK_PIPE));
    struct task *task = test_start(waits_for, process, "waiter");

    (void)arg;
    task_close(process->child.fd);
    CHECK_STATUS(task_await(task), -EBADF);
    CHECK_STATUS(task_process_wait(process), -EBADF);
    CHECK_STATUS(task_process_send_signal(process, 0), 0);
    CHECK_STATUS(task_stream_write_eof(task_process_stdin(process)), 0);
    await_zombie(process);
    CHECK_STATUS(WEXITSTATUS(end(process)), 4);
    process = begin_shell("exec sleep 100", NULL);
    task_close(process->child.fd);
    task_process_free(process);
    CHECK(!has_children());
    CHECK_RECORD("waiter got -9");
    return 0;
}

static struct task_process *two_left[2];

static int leaves_two(void *arg)
{
    (void)arg;
    two_left[0] = begin_shell("exec sleep 100", NULL);
    two_left[1] = begin_shell("exit 0", NULL);
    CHECK_STATUS(task_process_wait(two_left[1]), 0);
    return 0;
}

static void free_both(const struct loop_error *error, void *arg)
{
    (void)arg;
    record("leak %d", error->kind == LOOP_ERROR_LEAK);
    for (int i = 0; i < 2; i++)
        task_process_free(two_left[i]);
}

static void a_hook_may_free_what_was_left(void **state)
{
    struct loop_options options = test_options(NULL);

    (void)state;
    options.debug = true;
    options.on_error = free_both;
    assert_int_equal(run_with(options, leaves_two, NULL), 0);
    assert_false(has_children());
    assert_record("leak 1");
}

static const struct CMUnitTest tests[] = {
    leakless_in_main(an_exit_code_comes_to_whoever_waits),
    leakless_in_main(a_signal_that_kills_comes_to_whoever_waits),
    leakless_in_main(a_child_may_end_before_anybody_waits),
    leakless_in_main(all_who_wait_get_the_same),
    leakless_in_main(a_request_comes_before_the_status),
    leakless_in_main(many_children_at_once),
    leakless_in_main(a_stopped_child_has_not_ended),
    leakless_in_main(a_child_of_others_is_left_to_them),
    leakless_in_main(a_status_taken_by_others_is_told),
    leakless_in_main(ignored_sigchld_is_no_eternal_wait),
    leakless_in_main(a_child_is_a_source_like_a_descriptor),
    leakless_in_main(a_signal_is_sent),
    leakless_in_main(no_signal_goes_to_one_that_has_ended),
    leakless_in_main(no_signal_goes_to_another_with_the_same_number),
    leakless_in_main(there_are_no_other_signals),
    leakless_in_main(to_free_kills_and_the_loop_reaps),
    leakless_in_main(what_is_freed_is_reaped_with_the_loop),
    leakless_in_main(to_free_one_that_has_ended_is_nothing),
    leakless(a_loop_kills_what_is_left),
    leakless(a_hook_may_free_what_was_left),
    leakless(what_dropped_tasks_were_at_ends_with_the_loop),
    leakless(a_child_is_of_one_loop),
    leakless(a_child_outlives_a_run),
    leakless(nothing_is_started_outside_a_loop),
    leakless(the_fork_of_a_parent_has_no_children),
    leakless_in_main(what_cannot_be_run_is_an_error_of_creation),
    leakless_in_main(what_is_no_program_is_an_error_of_creation),
    leakless_in_main(too_few_descriptors_are_an_error_of_creation),
    leakless(lack_of_memory_is_an_error_of_creation),
    leakless_in_main(signals_are_as_a_program_expects_them),
    leakless_in_main(a_session_is_its_own_if_wanted),
    leakless_in_main(no_descriptor_is_inherited_unasked),
    leakless_in_main(what_is_passed_works),
    leakless_in_main(folder_and_environment_are_as_told),
    leakless_in_main(programs_are_looked_for_in_the_childs_path),
    leakless_in_main(each_may_be_dev_null),
    leakless_in_main(errors_may_go_where_output_goes),
    leakless_in_main(a_given_descriptor_stays_the_callers),
    leakless(output_and_errors_may_be_swapped),
    leakless(what_is_passed_is_open_whatever_its_flags),
    leakless(the_parents_0_to_2_may_be_closed),
    leakless(whatever_numbers_are_free_errors_are_told),
    leakless(any_mix_is_as_wanted),
    leakless_in_main(a_stream_leads_to_each_pipe),
    leakless_in_main(pipes_may_have_the_numbers_of_sockets),
    leakless_in_main(a_megabyte_each_way_does_not_stop_short),
    leakless_in_main(no_input_is_the_end_of_it),
    leakless_in_main(both_outputs_in_one_buffer_are_refused),
    leakless_in_main(a_child_that_does_not_read_is_no_error),
    leakless_in_main(writing_to_a_child_that_is_gone_fails),
    leakless_in_main(a_cancelled_talk_has_what_came),
    leakless_in_main(a_refused_talk_gives_the_child_nothing),
    leakless(a_talk_that_goes_on_loses_no_input),
    leakless_in_main(a_talk_with_one_that_does_not_listen_is_cancelled),
    leakless_in_main(to_free_ends_a_talk),
    leakless_in_main(output_is_read_after_the_end),
    leakless_in_main(what_was_read_before_is_not_read_again),
    leakless_in_main(a_grandchild_with_the_pipe_does_not_hold_up_a_wait),
    leakless_in_main(a_full_pipe_does_not_hold_up_a_wait),
    leakless_in_main(who_stops_reading_loses_nothing),
    leakless_in_main(a_shells_children_outlive_it),
    leakless_in_main(in_a_session_a_signal_reaches_all),
    leakless(who_asks_one_to_end_may_kill_it_later),
    leakless(a_talk_may_be_cancelled_anywhere),
    leakless_in_main(the_library_does_without_its_descriptor),
};

int main(int argc, char *argv[])
{
    int failed;

    program = argv[0];
    if (argc > 1)
        return be_child(argv[1], argv[argc - 1]);
    failed = cmocka_run_group_tests_name("the best way", tests, NULL, NULL);
    task__launch_way = task__launch_by_fork;
    task__child_best = &task__child_thread;
    failed +=
        cmocka_run_group_tests_name("every system's way", tests, NULL, NULL);
    return failed;
}
