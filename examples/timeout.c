/*
 * timeout: take steps one after the other, with a limit for each of them, and
 * one for all.
 *
 * usage: timeout all each seconds...
 *
 * A step that takes longer than `each` is left out, and the next one begins;
 * after `all` seconds the rest is. What is begun is always cleaned up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <task.h>

struct plan {
    task_time all;
    task_time each;
    task_time *steps;
    size_t n;
};

/* Some work that takes its time; here, a sleep. */
static int work(task_time length)
{
    int status = task_sleep(length);

    /* This is where to clean up: it may wait, for the deadline is told once. */
    if (status < 0)
        puts("  cleaning up");
    return status;
}

static int take_step(const struct plan *plan, size_t i)
{
    struct task_timeout timeout;

    printf("step %zu\n", i + 1);
    task_timeout_begin(&timeout, plan->each);
    int status = work(plan->steps[i]);
    status = task_timeout_end(&timeout, status);

    if (status == -ETIMEDOUT) {
        puts("  took too long");
        return 0; /* it was this limit, and no other: go on */
    }
    if (status == 0)
        puts("  done");
    return status;
}

static int run(void *arg)
{
    const struct plan *plan = arg;
    struct task_timeout timeout;
    int status = 0;

    task_timeout_begin(&timeout, plan->all);
    for (size_t i = 0; i < plan->n && status == 0; i++)
        status = take_step(plan, i);
    status = task_timeout_end(&timeout, status);
    if (status == -ETIMEDOUT)
        puts("no time left");
    return status;
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

static bool parse_plan(struct plan *plan, int argc, char *argv[])
{
    bool good = argc > 3 && parse_seconds(argv[1], &plan->all) &&
                parse_seconds(argv[2], &plan->each);

    for (int i = 3; good && i < argc; i++)
        good = parse_seconds(argv[i], &plan->steps[plan->n++]);
    return good;
}

int main(int argc, char *argv[])
{
    struct plan plan = {.steps = calloc((size_t)argc + 1, sizeof(task_time))};

    if (!plan.steps) {
        perror(argv[0]);
        return EXIT_FAILURE;
    }
    if (!parse_plan(&plan, argc, argv)) {
        fprintf(stderr, "usage: %s all each seconds...\n", argv[0]);
        free(plan.steps);
        return 2;
    }
    int status = loop_run(run, &plan);
    free(plan.steps);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    if (fflush(stdout) != 0) {
        perror(argv[0]);
        return EXIT_FAILURE;
    }
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
