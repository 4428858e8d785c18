/*
 * producers_consumers: find primes, with producers of numbers and consumers
 * that test them, and a small queue between them.
 *
 * The queue holds the producers back when the consumers are slower. The last
 * producer shuts it down; the consumers take what is left, and end.
 *
 * usage: producers_consumers [numbers [producers [consumers]]]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <task.h>

enum { CAPACITY = 16, MAX_TASKS = 100 };

struct search {
    long numbers;
    long n_producers;
    long n_consumers;
    long n_started;          /* producers */
    long n_producing;        /* of these: not at their end */
    struct task_queue queue; /* of long */
    size_t longest;          /* the queue at its longest */
    long n_primes;
    long largest;
};

/* The i-th of n producers brings the numbers i, i + n, i + 2 n ... */
static int producer(void *arg)
{
    struct search *search = arg;
    long number = ++search->n_started;
    int status = 0;

    for (; !status && number <= search->numbers;
         number += search->n_producers) {
        status = task_queue_put(&search->queue, &number);
        if (task_queue_size(&search->queue) > search->longest)
            search->longest = task_queue_size(&search->queue);
    }
    if (--search->n_producing == 0)
        task_queue_shutdown(&search->queue, false);
    return status;
}

static bool is_prime(long number)
{
    for (long divisor = 2; divisor <= number / divisor; divisor++)
        if (number % divisor == 0)
            return false;
    return number > 1;
}

static int consumer(void *arg)
{
    struct search *search = arg;
    long number;
    int status;

    while ((status = task_queue_get(&search->queue, &number)) == 0)
        if (is_prime(number)) {
            search->n_primes++;
            if (number > search->largest)
                search->largest = number;
        }
    return status == -EPIPE ? 0 : status; /* shut down, and nothing is left */
}

static int run(void *arg)
{
    struct search *search = arg;
    struct task_group tasks; /* all, or none */
    long n = search->n_producers + search->n_consumers;
    int status = 0;

    search->n_producing = search->n_producers;
    task_group_begin(&tasks);
    for (long i = 0; i < n && !status; i++)
        status = task_group_start(
            &tasks, i < search->n_producers ? producer : consumer, search);
    return task_group_end(&tasks, status);
}

/* From 1 to a limit; what is not given stays as it is. */
static bool parse(const char *text, long limit, long *value)
{
    char *end;

    if (!text)
        return true;
    *value = strtol(text, &end, 10);
    return end != text && *end == '\0' && *value >= 1 && *value <= limit;
}

int main(int argc, char *argv[])
{
    struct search search = {
        .numbers = 10000, .n_producers = 3, .n_consumers = 2};

    if (argc > 4 ||
        !parse(argc > 1 ? argv[1] : NULL, 100000000, &search.numbers) ||
        !parse(argc > 2 ? argv[2] : NULL, MAX_TASKS, &search.n_producers) ||
        !parse(argc > 3 ? argv[3] : NULL, MAX_TASKS, &search.n_consumers)) {
        fprintf(stderr, "usage: %s [numbers [producers [consumers]]]\n",
                argv[0]);
        return 2;
    }
    task_queue_init(&search.queue, sizeof(long), CAPACITY);
    int status = loop_run(run, &search);
    task_queue_destroy(&search.queue);
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
        return EXIT_FAILURE;
    }
    printf("%ld primes, the largest is %ld; %zu numbers in the queue at most\n",
           search.n_primes, search.largest, search.longest);
    if (fflush(stdout) != 0) {
        perror(argv[0]);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
