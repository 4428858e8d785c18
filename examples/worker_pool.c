/*
 * worker_pool: sum up the files below a directory with a pool of workers.
 *
 * Each directory is a job, and brings more jobs: so the end has come when all
 * of them are done, which is what task_queue_join() waits for. What cannot be
 * read is told on stderr, and left out.
 *
 * usage: worker_pool [directory [workers]]
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <task.h>

enum { MAX_WORKERS = 100 };

struct walk {
    const char *root;
    long n_workers;
    struct task_queue jobs; /* paths, owned by whoever has taken them out */
    unsigned long long directories, files, bytes;
    bool failed;
};

static void complain(struct walk *walk, const char *path, int error)
{
    fprintf(stderr, "%s: %s\n", path, task_strerror(-error));
    walk->failed = true;
}

static void free_path(void *item)
{
    free(*(char **)item);
}

static void count_entry(struct walk *walk, char *path)
{
    struct stat status;
    int error = lstat(path, &status) == 0 ? 0 : errno;

    if (!error && S_ISDIR(status.st_mode)) {
        error = -task_queue_put(&walk->jobs, &path);
        if (!error)
            return; /* the path is the queue's now */
    } else if (!error) {
        walk->files++;
        walk->bytes += (unsigned long long)status.st_size;
    }
    if (error)
        complain(walk, path, error);
    free(path);
}

static void count_directory(struct walk *walk, const char *path)
{
    DIR *directory = opendir(path);

    if (!directory) {
        complain(walk, path, errno);
        return;
    }
    walk->directories++;
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t size = strlen(path) + strlen(entry->d_name) + 2;
        char *below;

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        below = malloc(size);
        if (!below) {
            complain(walk, entry->d_name, ENOMEM);
            continue;
        }
        snprintf(below, size, "%s/%s", path, entry->d_name);
        count_entry(walk, below);
    }
    closedir(directory);
}

static int worker(void *arg)
{
    struct walk *walk = arg;
    char *path;
    int status;

    do {
        status = task_queue_get(&walk->jobs, &path);
        if (status == 0) {
            count_directory(walk, path);
            free(path);
            task_queue_task_done(&walk->jobs);
            status = task_yield(); /* the others shall have theirs */
        }
    } while (status == 0);
    return status == -EPIPE ? 0 : status; /* shut down: no more work */
}

static int run(void *arg)
{
    struct walk *walk = arg;
    struct task_group workers; /* all, or none */
    char *root = strdup(walk->root);
    int status = 0;

    if (!root)
        return -ENOMEM;
    count_entry(walk, root);
    task_group_begin(&workers);
    for (long i = 0; i < walk->n_workers && !status; i++)
        status = task_group_start(&workers, worker, walk);
    if (!status)
        status = task_queue_join(&walk->jobs);
    task_queue_shutdown(&walk->jobs, true);
    return task_group_end(&workers, status);
}

static bool parse_workers(const char *text, long *n)
{
    char *end;

    *n = strtol(text, &end, 10);
    return end != text && *end == '\0' && *n >= 1 && *n <= MAX_WORKERS;
}

int main(int argc, char *argv[])
{
    struct walk walk = {.root = argc > 1 ? argv[1] : ".", .n_workers = 4};

    if (argc > 3 || (argc > 2 && !parse_workers(argv[2], &walk.n_workers))) {
        fprintf(stderr, "usage: %s [directory [workers]]\n", argv[0]);
        return 2;
    }
    task_queue_init(&walk.jobs, sizeof(char *), 0);
    task_queue_set_item_destructor(&walk.jobs, free_path);
    int status = loop_run(run, &walk);
    task_queue_destroy(&walk.jobs);
    if (status < 0)
        complain(&walk, argv[0], -status);
    else
        printf("%llu directories, %llu files, %llu bytes\n", walk.directories,
               walk.files, walk.bytes);
    if (fflush(stdout) != 0)
        complain(&walk, argv[0], errno);
    return walk.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
