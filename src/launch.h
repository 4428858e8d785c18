/*
 * Starting a program in a child of this process. One way a file: by clone, in
 * this process's memory, and by fork, which every POSIX system has.
 *
 * The time that fork takes grows with the memory of the process, whose page
 * tables it copies. A child that shares the memory until it has another program
 * takes always the same; and it tells by a variable why it got none.
 */
#ifndef TASK_SRC_LAUNCH_H
#define TASK_SRC_LAUNCH_H

#include "base.h"

#include <stdbool.h>
#include <sys/types.h>

enum { LAUNCH_AS_IT_IS = -1, LAUNCH_CLOSED = -2 };

/* What a child is to be. What is relative of `file` and `path` counts from
 * `cwd`. */
struct launch {
    const char *file; /* without a slash: looked for in `path` */
    const char *path;
    char *const *argv;
    char *const *env;
    const char *cwd; /* NULL: ours */
    bool new_session;
    int stdio[3]; /* what is to be 0, 1 and 2; or one of the values above */
    const int *pass_fds;
    size_t n_pass_fds;
};

/* What the child works with until it has a program. */
struct launch_room {
    _Alignas(16) char stack[12 << 10];
    char path[4096 + 256];
};

struct launched {
    pid_t pid;
    int pidfd; /* -1: there is none */
};

/* Start it: 0; or a negative errno, and there is no child. All signals are
 * blocked. */
typedef int launch_fn(const struct launch *launch, struct launch_room *room,
                      struct launched *launched);

extern launch_fn task__launch_by_fork;
#ifdef TASK_HAVE_EPOLL
extern launch_fn task__launch_by_clone;
#define LAUNCH_BEST task__launch_by_clone
#else
#define LAUNCH_BEST task__launch_by_fork
#endif

/* The way that is taken; tests set it. */
extern launch_fn *task__launch_way;

/* The same with signals blocked for the time. */
int task__launch(const struct launch *launch, struct launch_room *room,
                 struct launched *launched);

/*
 * In the child: become the program. Returns only if that cannot be: an errno.
 * Allocates nothing, and changes no memory but errno and what is in `room`.
 */
int task__launch_become(const struct launch *launch, struct launch_room *room);

/* Wait for a child that has become nothing. */
void task__launch_bury(pid_t pid);

/* In the child: have all descriptors from 3 on closed on exec. */
void task__launch_seal_each(void);
#ifdef TASK_HAVE_EPOLL
void task__launch_seal_all(void);
#define LAUNCH_SEAL task__launch_seal_all
#else
#define LAUNCH_SEAL task__launch_seal_each
#endif

/* A pipe that is closed on exec, by numbers above 2; 0, or a negative errno. */
int task__launch_pipe(int ends[2]);

#endif
