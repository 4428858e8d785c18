/*
 * fetch: get many URLs at once, within one deadline for all.
 *
 * For each a line with its status, its size, and how long it took, in the order
 * in which they end; and at the deadline one for each that has not.
 *
 * usage: fetch [-t seconds] <http url>...
 *
 * Exits with 1 if any has failed.
 */
#include "fetch/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool all_well = true;

/* What is to be got, and what has come of it. */
struct fetching {
    const char *url;
    struct page page;
};

static int fetch(void *arg)
{
    struct fetching *fetching = arg;
    const char *url = fetching->url;
    struct page *page = &fetching->page;
    task_time begun = loop_time();
    int status = get_page(page, url);
    double took = (double)(loop_time() - begun) / TASK_SECOND;

    if (status == -ECANCELED)
        printf("late  %10llu bytes %7.3f s  %s\n", page->size, took, url);
    else if (status < 0)
        printf("error %s  %s\n", task_strerror(status), url);
    else
        printf("%4d  %10llu bytes %7.3f s  %s\n", page->code, page->size, took,
               url);
    all_well = all_well && status == 0 && page->code < 400;
    return status == -ECANCELED ? status : 0;
}

struct job {
    char **urls;
    int n;
    task_time limit;
};

static int fetch_all(void *arg)
{
    const struct job *job = arg;
    struct fetching *all = calloc((size_t)job->n, sizeof *all);
    struct task_timeout timeout;
    struct task_group group;
    int status = all ? 0 : -ENOMEM;

    task_timeout_begin(&timeout, job->limit);
    task_group_begin(&group);
    for (int i = 0; i < job->n && !status; i++) {
        all[i].url = job->urls[i];
        status = task_group_start(&group, fetch, &all[i]);
    }
    status = task_timeout_end(&timeout, task_group_end(&group, status));
    free(all);
    return status == -ETIMEDOUT ? 0 : status;
}

/* Seconds, up to a day; 0 if the text is no such number. */
static task_time parse_seconds(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds > 0 && seconds <= 86400))
        return 0;
    return (task_time)(seconds * TASK_SECOND);
}

int main(int argc, char *argv[])
{
    struct job job = {argv + 1, argc - 1, 30 * TASK_SECOND};
    int status;

    if (argc > 1 && !strcmp(argv[1], "-t"))
        job = (struct job){argv + 3, argc - 3,
                           argc > 2 ? parse_seconds(argv[2]) : 0};
    if (job.n < 1 || !job.limit) {
        fprintf(stderr, "usage: %s [-t seconds] <http url>...\n", argv[0]);
        return 2;
    }
    status = loop_run(fetch_all, &job);
    if (!status && (fflush(stdout) != 0 || ferror(stdout)))
        status = -EIO;
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    return status < 0 || !all_well ? EXIT_FAILURE : EXIT_SUCCESS;
}
