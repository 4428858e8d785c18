/*
 * gather: compute factorials at the same time, and wait for all of them.
 *
 * usage: gather [-p seconds] number...
 *
 * Each coroutine pauses after every multiplication: for 0 seconds, or as long
 * as -p says.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>

/* What a coroutine works on; it lives as long as the task that gathers. */
struct job {
    int number;
    task_time pause;
    uint64_t result;
};

static int factorial(void *arg)
{
    struct job *job = arg;
    uint64_t product = 1;

    for (int i = 2; i <= job->number; i++) {
        if (product > UINT64_MAX / (uint64_t)i)
            return -ERANGE;
        printf("%d!: multiplying by %d\n", job->number, i);
        product *= (uint64_t)i;
        int status = task_sleep(job->pause);
        if (status < 0)
            return status;
    }
    job->result = product;
    return 0;
}

struct work {
    struct job *jobs;
    struct task **tasks;
    int *statuses;
    size_t n;
};

static void print_result(const struct job *job, int status)
{
    if (status == -ERANGE)
        printf("%d! is too large\n", job->number);
    else if (status < 0)
        printf("%d! failed: %s\n", job->number, task_strerror(status));
    else
        printf("%d! = %" PRIu64 "\n", job->number, job->result);
}

static int run(void *arg)
{
    struct work *work = arg;

    for (size_t i = 0; i < work->n; i++)
        work->tasks[i] = task_create(factorial, &work->jobs[i]);

    /* A task that could not be created has the status -ENOMEM. */
    int status = task_gather(work->tasks, work->n, work->statuses);

    for (size_t i = 0; i < work->n; i++)
        print_result(&work->jobs[i], work->statuses[i]);
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

static bool parse_number(const char *text, int *number)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end != '\0' || value < 0 || value > 1000)
        return false;
    *number = (int)value;
    return true;
}

static bool make_work(struct work *work, size_t n)
{
    *work = (struct work){calloc(n, sizeof *work->jobs),
                          calloc(n, sizeof(struct task *)),
                          calloc(n, sizeof *work->statuses), n};
    return work->jobs && work->tasks && work->statuses;
}

static void free_work(struct work *work)
{
    free(work->jobs);
    free(work->tasks);
    free(work->statuses);
}

int main(int argc, char *argv[])
{
    bool has_pause = argc > 2 && strcmp(argv[1], "-p") == 0;
    char **numbers = argv + (has_pause ? 3 : 1);
    struct work work;
    task_time pause = 0;
    bool good = *numbers && (!has_pause || parse_seconds(argv[2], &pause));

    if (!make_work(&work, (size_t)argc)) {
        perror(argv[0]);
        free_work(&work);
        return EXIT_FAILURE;
    }
    for (work.n = 0; good && numbers[work.n]; work.n++) {
        work.jobs[work.n].pause = pause;
        good = parse_number(numbers[work.n], &work.jobs[work.n].number);
    }
    if (!good) {
        fprintf(stderr, "usage: %s [-p seconds] number...\n", argv[0]);
        free_work(&work);
        return 2;
    }
    int status = loop_run(run, &work);
    free_work(&work);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    if (fflush(stdout) != 0) {
        perror(argv[0]);
        return EXIT_FAILURE;
    }
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
