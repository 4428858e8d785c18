/*
 * process.h: run other programs, talk to them by pipes, and wait for their end.
 *
 *     task_process_exec(&process, argv, &options);    starts it
 *     task_process_communicate(process, ...);         feeds it, reads all it says
 *     status = task_process_wait(process);            WIFEXITED(status) ...
 *     task_process_free(process);                     always
 *
 * A child begins with signals as a program expects them: none is blocked, none
 * ignored. It has of this process's descriptors what its options name, as 0, 1
 * and 2 and as `pass_fds`, and no others, whatever their flags. A program that
 * cannot be run is an error of task_process_exec(), and then there is no child.
 *
 * There is no handler of SIGCHLD, and only what was started here is waited for:
 * a descriptor for each child tells of its end (pidfd_open(2); where there is
 * none, a thread). Other children are left to whoever started them. Should
 * somebody else take the status of one that was started here, by
 * waitpid(-1, ...), or should SIGCHLD be ignored, so that the system keeps no
 * status, then its end is noticed all the same, and its status is -ECHILD.
 *
 * While a child runs its loop is not deadlocked. It is of the loop in which it
 * was started, and so are all calls about it. A loop that is freed kills those
 * that are left, and waits for their end.
 */
#ifndef TASK_PROCESS_H
#define TASK_PROCESS_H

#include <sys/types.h>
#include <task/base.h>

TASK_BEGIN_DECLS

struct task_stream;

/* Buffers. */

/**
 * Bytes that grow. All zero: empty.
 */
struct task_buffer {
    /** The bytes, and a 0 byte behind them, which does not count; NULL as long
     *  as there is no room. */
    char *data;

    /** How many there are, and for how many there is room. */
    size_t size, capacity;
};

/**
 * Free what is in a buffer; it is empty then.
 *
 * May be called anywhere.
 *
 * @param buffer  NULL does nothing
 */
void task_buffer_free(struct task_buffer *buffer);

/* Starting. */

/**
 * A child: opaque; made by task_process_exec() or task_process_shell(), ended
 * by task_process_free().
 */
struct task_process;

/**
 * What a child has as its standard input, output or error; or a descriptor that
 * is greater than 0, which stays the caller's.
 */
enum task_process_mode {
    /** What this process has; if that is closed, or closed on exec, the child
     *  has nothing. */
    TASK_INHERIT = 0,

    /** A pipe, whose other end is a stream here. */
    TASK_PIPE = -1,

    /** /dev/null. */
    TASK_DEVNULL = -2,

    /** For standard error only: the same as standard output. */
    TASK_STDOUT = -3
};

/**
 * How to start a child. A field that is zero is its default.
 */
struct task_process_options {
    /** One of enum task_process_mode, or a descriptor. These are of this
     *  process: 1 as `stderr_mode` and 2 as `stdout_mode` swap the two. */
    int stdin_mode, stdout_mode, stderr_mode;

    /** The folder it starts in, from which a relative path of its program counts
     *  too; NULL: that of this process. */
    const char *cwd;

    /** Its environment: "NAME=value" strings and a NULL; NULL: this process's.
     *  Its PATH is where the program is looked for. */
    const char *const *env;

    /** Start a session, and a process group, of its own: its terminal's signals
     *  do not come to it, and kill(-pid) reaches what it has started too. */
    bool new_session;

    /** Descriptors that it has, by the same numbers, even if they are to be
     *  closed on exec here. */
    const int *pass_fds;
    size_t n_pass_fds;
};

/**
 * Start a program.
 *
 * It runs when this returns. The calling thread, and so the loop, stands still
 * until the program is loaded: a few hundred microseconds, and on Linux however
 * large this process is. Other threads go on.
 *
 * May be called anywhere in the loop; does not suspend.
 *
 * @param process  receives the child, the caller's
 * @param argv     the program and its arguments, and a NULL. A program without a
 *                 slash is looked for in PATH, as execvp() does; but a file that
 *                 the system cannot run is not taken for a script of the shell.
 * @param options  NULL or all zero: the defaults
 *
 * @return 0, or, and then nothing is left behind,
 *         -ENOENT   there is no such program, interpreter or `cwd`,
 *         -EACCES   it may not be run, or its folder not be entered,
 *         -ENOEXEC, -E2BIG, -ENOTDIR, -ELOOP ...
 *                   what execve() or chdir() says,
 *         -EAGAIN   there are too many processes,
 *         -EBADF    a descriptor in @p options is not open,
 *         -EINVAL   there is no program in @p argv, a mode is none, or
 *                   @p process is NULL,
 *         -EMFILE, -ENFILE, -ENOSPC
 *                   there are too many descriptors, or watches of them,
 *         -ENOMEM   out of memory,
 *         -ESHUTDOWN
 *                   the loop is being freed,
 *         -EPERM    called outside a loop.
 *
 * Source: asyncio.create_subprocess_exec
 */
int task_process_exec(struct task_process **process, const char *const argv[],
                      const struct task_process_options *options);

/**
 * Start a command of the shell, /bin/sh.
 *
 * Signals come to the shell, not to what it has started; with `new_session` a
 * kill(-pid) reaches all. A command that does not exist is the shell's affair:
 * it exits with 127.
 *
 * @param command  what stands behind -c
 *
 * @return as task_process_exec().
 *
 * Source: asyncio.create_subprocess_shell
 */
int task_process_shell(struct task_process **process, const char *command,
                       const struct task_process_options *options);

/**
 * Start a program or a command, with the place that reports of one that was not
 * freed will name: what the macros of this header call.
 *
 * @param file  a string that outlives the handle; NULL: no place is known
 * @param line  the line in @p file
 *
 * @return as task_process_exec().
 */
int task_process_exec_at(struct task_process **process,
                         const char *const argv[],
                         const struct task_process_options *options,
                         const char *file, int line);
int task_process_shell_at(struct task_process **process, const char *command,
                          const struct task_process_options *options,
                          const char *file, int line);

#define task_process_exec(...)                                                 \
    task_process_exec_at(__VA_ARGS__, __FILE__, __LINE__)
#define task_process_shell(...)                                                \
    task_process_shell_at(__VA_ARGS__, __FILE__, __LINE__)

/* Talking. */

/**
 * Give the stream of what was asked for as TASK_PIPE.
 *
 * It is the child's handle that owns it, and ends it; whoever ends it before,
 * by task_stream_close(), does so for both. To let the child see the end of its
 * input there is task_stream_write_eof() as well.
 *
 * @return the stream, borrowed; NULL if it is no pipe, was closed, or
 *         @p process is NULL.
 */
struct task_stream *task_process_stdin(struct task_process *process);
struct task_stream *task_process_stdout(struct task_process *process);
struct task_stream *task_process_stderr(struct task_process *process);

/**
 * Feed a child its input, and read all it says, at the same time.
 *
 * Its input ends after @p n bytes, and at once if there are none. A child that
 * does not read all of it, or ends before, is no error. What it says is read to
 * the end; that comes when it, and whatever it has started with the same pipes,
 * has closed them. The child's own end is not waited for: see
 * task_process_wait().
 *
 * Bytes are appended to the buffers. What has come before an error, or a
 * cancel, is in them, and a further call with the same input goes on.
 *
 * @param input  @p n bytes, which must stay until it returns; if there are any,
 *               the standard input has to be a pipe
 * @param out    for what comes by standard output; NULL: it is dropped
 * @param err    the same for standard error; another buffer
 *
 * Suspends until the end of both. A cancel ends it, and leaves the child alone.
 *
 * @return 0, or
 *         -EBUSY      another call of this is under way, or a task reads from
 *                     one of the streams,
 *         -ECANCELED  a request was waiting, or came meanwhile,
 *         -EINVAL     there is input and no pipe for it; @p out is @p err; or
 *                     @p process is NULL or of another loop,
 *         -ENOMEM     out of memory,
 *         -EPERM      called outside a task;
 *         or another error of reading or writing.
 *
 * Source: asyncio's Process.communicate
 */
TASK_SUSPENDS int task_process_communicate(struct task_process *process,
                                           const void *input, size_t n,
                                           struct task_buffer *out,
                                           struct task_buffer *err);

/* Ending. */

/**
 * Wait until a child has ended.
 *
 * Any number of tasks may wait, again and again; all get the same. Neither its
 * streams nor what it has started matter. A child that is stopped has not
 * ended.
 *
 * Suspends until then. A cancel ends the waiting only.
 *
 * @return the status as of waitpid(), for WIFEXITED(), WEXITSTATUS(),
 *         WIFSIGNALED() and WTERMSIG() of <sys/wait.h>; or
 *         -ECHILD     it has ended, and its status was taken elsewhere, or
 *                     SIGCHLD is ignored,
 *         -EBADF      the handle was freed meanwhile, or the descriptor of the
 *                     library's that tells its end was closed by somebody else,
 *         -ECANCELED  a request was waiting, or came before the end,
 *         -EINVAL     @p process is NULL or of another loop,
 *         -EPERM      called outside a task.
 *
 * Source: asyncio's Process.wait
 */
TASK_SUSPENDS int task_process_wait(struct task_process *process);

/**
 * Send a signal to a child.
 *
 * Never to another process that has been given the same number since.
 *
 * May be called anywhere in the loop.
 *
 * @param signo  0: only find out whether there is a child
 *
 * @return 0, or
 *         -ESRCH   it has ended, whether or not anybody has heard of that,
 *         -EINVAL  there is no such signal, or @p process is NULL,
 *         -EPERM   this process may not, or the loop was inherited over fork.
 *
 * Source: asyncio's Process.send_signal
 */
int task_process_send_signal(struct task_process *process, int signo);

/**
 * Send SIGTERM, as task_process_send_signal().
 *
 * Source: asyncio's Process.terminate
 */
int task_process_terminate(struct task_process *process);

/**
 * Send SIGKILL, as task_process_send_signal().
 *
 * Source: asyncio's Process.kill
 */
int task_process_kill(struct task_process *process);

/**
 * Give the number of a child.
 *
 * It is its own until the child has ended.
 *
 * @return its number; 0 for NULL.
 */
pid_t task_process_pid(const struct task_process *process);

/**
 * End a handle.
 *
 * A child that still runs is killed, and the loop takes notice of its end, so
 * that nothing of it is left. Its streams are closed, what they hold is lost;
 * tasks that are waiting in one, or for the child, get -EBADF.
 *
 * May be called anywhere in the loop, or while it does not run.
 *
 * @param process  NULL does nothing
 */
void task_process_free(struct task_process *process);

TASK_END_DECLS

#endif
