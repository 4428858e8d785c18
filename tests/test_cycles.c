/* Cycles of waiting, found in graphs of tasks that were never run. */
#include "cycles.h"
#include "random.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

/* Tasks 0 to n - 1, with ids 1 to n; a future n, which waits for nobody. */
enum { MOST = 12 };

struct graph;

struct point {
    struct graph *graph;
    struct waiter waiter;
    bool waits_for[MOST + 1];
};

struct graph {
    size_t n;
    struct task tasks[MOST + 1];
    struct point points[MOST];
};

static void each_in_graph(const struct waiter *waiter, visit_fn *visit,
                          void *arg)
{
    const struct point *point = container_of(waiter, struct point, waiter);

    for (size_t i = 0; i <= point->graph->n; i++)
        if (point->waits_for[i])
            visit(&point->graph->tasks[i], arg);
}

static const struct wait_kind IN_GRAPH = {.verb = "waiting",
                                          .each_awaited = each_in_graph};

static void make_graph(struct graph *graph, size_t n)
{
    memset(graph, 0, sizeof *graph);
    graph->n = n;
    for (size_t i = 0; i <= n; i++)
        graph->tasks[i].id = i + 1;
    for (size_t i = 0; i < n; i++) {
        graph->points[i].graph = graph;
        graph->points[i].waiter.kind = &IN_GRAPH;
        graph->tasks[i].waiter = &graph->points[i].waiter;
    }
}

/* Those in a cycle, as bits. */
static unsigned find_cycles(struct graph *graph)
{
    struct suspect suspects[MOST] = {0};
    unsigned found = 0;

    for (size_t i = 0; i < graph->n; i++)
        suspects[i].task = &graph->tasks[i];
    task__cycles_find(suspects, graph->n);
    for (size_t i = 0; i < graph->n; i++)
        found |= (unsigned)(suspects[i].leader != NULL) << i;
    return found;
}

/* The same, by looking at who reaches whom (S. Warshall, 1962). */
static unsigned find_slowly(const struct graph *graph)
{
    bool reaches[MOST][MOST];
    unsigned found = 0;

    for (size_t i = 0; i < graph->n; i++)
        memcpy(reaches[i], graph->points[i].waits_for, sizeof reaches[i]);
    for (size_t k = 0; k < graph->n; k++)
        for (size_t i = 0; i < graph->n; i++)
            for (size_t j = 0; j < graph->n; j++)
                reaches[i][j] |= reaches[i][k] && reaches[k][j];
    for (size_t i = 0; i < graph->n; i++)
        found |= (unsigned)reaches[i][i] << i;
    return found;
}

static void nobody_is_in_a_cycle_of_none(void **state)
{
    (void)state;
    task__cycles_find(NULL, 0);
}

static void two_that_wait_for_each_other_are_a_cycle(void **state)
{
    struct graph graph;

    (void)state;
    make_graph(&graph, 3);
    graph.points[0].waits_for[2] = true;
    graph.points[2].waits_for[0] = true;
    assert_int_equal(find_cycles(&graph), 1 << 0 | 1 << 2);
}

static void who_waits_for_a_cycle_is_in_none(void **state)
{
    struct graph graph;

    (void)state;
    make_graph(&graph, 6);
    graph.points[0].waits_for[1] = true; /* a cycle of two ... */
    graph.points[1].waits_for[0] = true;
    graph.points[1].waits_for[2] = true; /* ... waits for one ... */
    graph.points[2].waits_for[3] = true; /* ... that waits for another */
    graph.points[3].waits_for[4] = true;
    graph.points[4].waits_for[3] = true;
    graph.points[5].waits_for[0] = true;
    assert_int_equal(find_cycles(&graph), 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4);
}

static void futures_and_tasks_that_are_not_parked_wait_for_nobody(void **state)
{
    struct graph graph;

    (void)state;
    make_graph(&graph, 3);
    graph.points[0].waits_for[1] = true;
    graph.points[1].waits_for[0] = true;
    graph.points[2].waits_for[3] = true;
    graph.tasks[1].waiter = NULL;
    assert_int_equal(find_cycles(&graph), 0);
}

static void cycles_of_random_graphs_are_found(void **state)
{
    struct random random = {test_seed(0)};
    struct graph graph;

    (void)state;
    for (unsigned round = 0; round < test_rounds(20000); round++) {
        make_graph(&graph, 1 + random_below(&random, MOST));
        for (size_t edges = random_below(&random, 2 * graph.n + 1); edges--;) {
            size_t i = random_below(&random, graph.n);
            size_t j = random_below(&random, graph.n + 1);

            graph.points[i].waits_for[j] |= i != j;
        }
        assert_int_equal(find_cycles(&graph), find_slowly(&graph));
    }
}

/* A row: each waits for the next, and the last for the first, or nobody. */
struct link {
    struct task task;
    struct waiter waiter;
    struct task *next;
};

static void next_in_row(const struct waiter *waiter, visit_fn *visit, void *arg)
{
    const struct link *link = container_of(waiter, struct link, waiter);

    if (link->next)
        visit(link->next, arg);
}

static const struct wait_kind IN_ROW = {.verb = "waiting",
                                        .each_awaited = next_in_row};

static size_t count_in_row(size_t n, bool is_closed, bool backwards)
{
    struct link *links = calloc(n, sizeof *links);
    struct suspect *suspects = calloc(n, sizeof *suspects);
    size_t n_found = 0;

    assert_true(links && suspects);
    for (size_t i = 0; i < n; i++) {
        size_t place = backwards ? n - 1 - i : i;
        size_t next = backwards ? place - 1 : place + 1;

        links[place].task.id = place + 1;
        links[place].task.waiter = &links[place].waiter;
        links[place].waiter.kind = &IN_ROW;
        if (i < n - 1)
            links[place].next = &links[next].task;
        else if (is_closed)
            links[place].next = &links[backwards ? n - 1 : 0].task;
        suspects[place].task = &links[place].task;
    }
    task__cycles_find(suspects, n);
    for (size_t i = 0; i < n; i++)
        n_found += suspects[i].leader != NULL;
    free(suspects);
    free(links);
    return n_found;
}

static void long_rows_need_neither_recursion_nor_quadratic_time(void **state)
{
    size_t n = test_rounds(200000);

    (void)state;
    assert_int_equal(count_in_row(n, false, false), 0);
    assert_int_equal(count_in_row(n, false, true), 0);
    assert_int_equal(count_in_row(n, true, false), n);
    assert_int_equal(count_in_row(n, true, true), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(nobody_is_in_a_cycle_of_none),
        behaviour(two_that_wait_for_each_other_are_a_cycle),
        behaviour(who_waits_for_a_cycle_is_in_none),
        behaviour(futures_and_tasks_that_are_not_parked_wait_for_nobody),
        behaviour(cycles_of_random_graphs_are_found),
        behaviour(long_rows_need_neither_recursion_nor_quadratic_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
