/*
 * foreground_task: wait for a coroutine, and go on when it is done.
 *
 * usage: foreground_task [seconds]
 */
#include <stdio.h>
#include <stdlib.h>
#include <task.h>

static int coroutine(void *arg)
{
    const task_time *delay = arg;

    puts("Coroutine is running");
    int status = task_sleep(*delay);
    if (status == 0)
        puts("Coroutine is done");
    return status;
}

static int run(void *arg)
{
    return task_await(task_create(coroutine, arg));
}

/* From 0 seconds to a day. */
static bool parse_seconds(const char *text, task_time *delay)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 86400))
        return false;
    *delay = (task_time)(seconds * (double)TASK_SECOND);
    return true;
}

int main(int argc, char *argv[])
{
    task_time delay = 5 * TASK_SECOND;

    if (argc > 2 || (argc == 2 && !parse_seconds(argv[1], &delay))) {
        fprintf(stderr, "usage: %s [seconds]\n", argv[0]);
        return 2;
    }
    int status = loop_run(run, &delay);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    if (fflush(stdout) != 0) {
        perror(argv[0]);
        return EXIT_FAILURE;
    }
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
