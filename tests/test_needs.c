/* Who may not wait for whom: in graphs of tasks that were never run, and in a
 * loop. */
#include "bodies.h"
#include "needs.h"
#include "random.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

/* Graphs. */

enum { MOST = 12, EDGES = 3 * MOST };

/* One waits for another, and watches that. */
struct edge {
    struct watcher watcher;
    struct point *from;
    struct point *to;
    struct edge *next; /* of those of `from` */
};

struct point {
    struct task task;
    struct waiter waiter;
    struct edge *edges;
    size_t n_edges;
};

/* How often a search has looked at a watcher, or at what one waits for. */
static size_t n_steps;

static const struct waiter *waiter_of_point(const struct watcher *watcher)
{
    n_steps++;
    return &container_of(watcher, struct edge, watcher)->from->waiter;
}

static const struct waiter *nobody(const struct watcher *watcher)
{
    (void)watcher;
    n_steps++;
    return NULL;
}

static struct point *point_of(const struct waiter *waiter)
{
    return container_of(waiter, struct point, waiter);
}

static size_t count_edges(const struct waiter *waiter)
{
    return point_of(waiter)->n_edges;
}

static void each_edge(const struct waiter *waiter, visit_fn *visit, void *arg)
{
    struct edge *edge = point_of(waiter)->edges;

    for (; edge; edge = edge->next) {
        n_steps++;
        visit(&edge->to->task, arg);
    }
}

static const struct wait_kind NEEDING = {
    .verb = "awaiting", .each_awaited = each_edge, .n_needed = count_edges};

static const struct wait_kind LOOKING = {.verb = "waiting",
                                         .each_awaited = each_edge};

/* Parked, and waiting for nobody. */
static void begin_point(struct point *point, const struct wait_kind *kind)
{
    memset(point, 0, sizeof *point);
    point->waiter.kind = kind;
    point->waiter.task = &point->task;
    point->task.waiter = &point->waiter;
}

static void add_edge(struct edge *edge, struct point *from, struct point *to)
{
    memset(edge, 0, sizeof *edge);
    edge->watcher.waiter = waiter_of_point;
    edge->from = from;
    edge->to = to;
    edge->next = from->edges;
    from->edges = edge;
    from->n_edges++;
    list_append(&to->task.watchers, &edge->watcher.node);
}

/* A watcher that does not wait. */
static void add_onlooker(struct edge *edge, struct point *to, bool is_group)
{
    memset(edge, 0, sizeof *edge);
    if (is_group)
        edge->watcher.waiter = nobody;
    list_append(&to->task.watchers, &edge->watcher.node);
}

/* Random ones, against a model. */

struct graph {
    size_t n;
    struct point points[MOST];
    struct edge edges[EDGES];
    bool needs[MOST][MOST];
};

static void make_edge(struct graph *graph, struct edge *edge, size_t i,
                      size_t j)
{
    struct point *from = &graph->points[i];

    if (i == j) {
        add_onlooker(edge, from, i % 2);
        return;
    }
    add_edge(edge, from, &graph->points[j]);
    graph->needs[i][j] |= from->task.waiter && from->waiter.kind == &NEEDING;
}

static void make_graph(struct graph *graph, struct random *random)
{
    memset(graph, 0, sizeof *graph);
    graph->n = 2 + random_below(random, MOST - 1);
    for (size_t i = 0; i < graph->n; i++) {
        begin_point(&graph->points[i],
                    random_below(random, 6) ? &NEEDING : &LOOKING);
        if (!random_below(random, 8))
            graph->points[i].task.waiter = NULL;
    }
    for (size_t i = random_below(random, EDGES + 1); i--;)
        make_edge(graph, &graph->edges[i], random_below(random, graph->n),
                  random_below(random, graph->n));
}

/* S. Warshall, 1962. */
static void close_over(struct graph *graph)
{
    for (size_t k = 0; k < graph->n; k++)
        for (size_t i = 0; i < graph->n; i++)
            for (size_t j = 0; j < graph->n; j++)
                graph->needs[i][j] |= graph->needs[i][k] && graph->needs[k][j];
}

static void check_nothing_is_marked(struct graph *graph)
{
    for (size_t i = 0; i < graph->n; i++)
        assert_true(!graph->points[i].task.chained &&
                    !graph->points[i].task.is_above);
}

/* The one that asks runs, as it does in a loop. */
static void check_one_that_asks(struct graph *graph, struct random *random,
                                size_t self)
{
    struct task *asks = &graph->points[self].task;
    struct task *tasks[MOST];
    size_t n = 0;
    bool expected = false;

    for (size_t i = 0; i < graph->n; i++) {
        assert_int_equal(task_needs(&graph->points[i].task, asks),
                         i == self || graph->needs[i][self]);
        check_nothing_is_marked(graph);
        if (i == self || random_below(random, 3))
            continue;
        tasks[n++] = random_below(random, 9) ? &graph->points[i].task : NULL;
        expected |= tasks[n - 1] && graph->needs[i][self];
    }
    assert_int_equal(task__any_needs(tasks, n, asks), expected);
    check_nothing_is_marked(graph);
}

static void random_graphs_are_searched_as_by_a_model(void **state)
{
    struct random random = {test_seed(0)};
    struct graph graph;

    (void)state;
    for (unsigned round = 0; round < test_rounds(20000); round++) {
        size_t self;

        make_graph(&graph, &random);
        self = random_below(&random, graph.n);
        for (size_t j = 0; j < graph.n; j++)
            graph.needs[self][j] = false;
        graph.points[self].task.waiter = NULL;
        close_over(&graph);
        check_one_that_asks(&graph, &random, self);
    }
}

/* Large ones: how much is looked at. */

struct crowd {
    size_t n;
    struct point *points; /* each is watched by two who do not wait */
    struct edge *edges;
    struct edge *onlookers;
};

static struct crowd make_crowd(size_t n)
{
    struct crowd crowd = {n, calloc(n, sizeof *crowd.points),
                          calloc(n, sizeof *crowd.edges),
                          calloc(2 * n, sizeof *crowd.onlookers)};

    assert_true(crowd.points && crowd.edges && crowd.onlookers);
    for (size_t i = 0; i < n; i++) {
        begin_point(&crowd.points[i], &NEEDING);
        add_onlooker(&crowd.onlookers[2 * i], &crowd.points[i], false);
        add_onlooker(&crowd.onlookers[2 * i + 1], &crowd.points[i], true);
    }
    n_steps = 0;
    return crowd;
}

static void free_crowd(struct crowd *crowd)
{
    free(crowd->points);
    free(crowd->edges);
    free(crowd->onlookers);
}

/* One asks, and then waits. */
static void ask_and_wait(struct crowd *crowd, size_t from, size_t to)
{
    struct point *point = &crowd->points[from];

    point->task.waiter = NULL;
    assert_false(task_needs(&crowd->points[to].task, &point->task));
    point->task.waiter = &point->waiter;
    add_edge(&crowd->edges[from], point, &crowd->points[to]);
}

static void a_row_is_not_walked_by_each_that_is_put_before_it(void **state)
{
    struct crowd crowd = make_crowd(test_rounds(100000));

    (void)state;
    for (size_t i = 1; i < crowd.n; i++)
        ask_and_wait(&crowd, i, i - 1);
    assert_true(n_steps <= 8 * crowd.n);
    free_crowd(&crowd);
}

static void a_row_is_not_walked_by_each_that_is_put_behind_it(void **state)
{
    struct crowd crowd = make_crowd(test_rounds(100000));

    (void)state;
    for (size_t i = 1; i < crowd.n; i++)
        ask_and_wait(&crowd, i - 1, i);
    assert_true(n_steps <= 8 * crowd.n);
    free_crowd(&crowd);
}

/* The shorter of two rows tells: each is in one that is at least twice as long
 * afterwards. */
static void rows_that_are_joined_are_walked_as_far_as_the_shorter(void **state)
{
    struct crowd crowd = make_crowd(1 << 16);

    (void)state;
    for (size_t size = 1; size < crowd.n; size *= 2)
        for (size_t i = size; i < crowd.n; i += 2 * size)
            ask_and_wait(&crowd, i, i - 1);
    assert_true(n_steps <= 8 * 16 * crowd.n);
    free_crowd(&crowd);
}

/* The first waits for half of them; the others, for the first. */
static void
a_crowd_is_not_looked_at_by_each_that_waits_for_its_hub(void **state)
{
    struct crowd crowd = make_crowd(test_rounds(50000));

    (void)state;
    for (size_t i = 1; i < crowd.n / 2; i++)
        add_edge(&crowd.edges[i], &crowd.points[0], &crowd.points[i]);
    for (size_t i = crowd.n / 2; i < crowd.n; i++)
        ask_and_wait(&crowd, i, 0);
    assert_true(n_steps <= 8 * crowd.n);
    free_crowd(&crowd);
}

static void
who_is_waited_for_by_a_crowd_asks_without_a_look_at_all(void **state)
{
    struct crowd crowd = make_crowd(test_rounds(50000));

    (void)state;
    for (size_t i = 2; i < crowd.n; i++)
        add_edge(&crowd.edges[i], &crowd.points[i], &crowd.points[0]);
    crowd.points[0].task.waiter = NULL;
    for (size_t i = 1; i < crowd.n; i++)
        assert_false(task_needs(&crowd.points[1].task, &crowd.points[0].task));
    assert_true(n_steps <= 8 * crowd.n);
    free_crowd(&crowd);
}

/* Of all that are in a row, one is asked for: each is looked at once. */
static void many_are_searched_from_at_once(void **state)
{
    struct crowd crowd = make_crowd(test_rounds(50000));
    struct task **tasks = calloc(crowd.n, sizeof(struct task *));
    struct edge edge;

    (void)state;
    assert_non_null(tasks);
    for (size_t i = 1; i < crowd.n - 1; i++) {
        add_edge(&crowd.edges[i], &crowd.points[i], &crowd.points[i - 1]);
        tasks[i] = &crowd.points[i].task;
    }
    crowd.points[crowd.n - 1].task.waiter = NULL;
    assert_false(
        task__any_needs(tasks, crowd.n - 1, &crowd.points[crowd.n - 1].task));
    add_edge(&edge, &crowd.points[0], &crowd.points[crowd.n - 1]);
    assert_true(
        task__any_needs(tasks, crowd.n - 1, &crowd.points[crowd.n - 1].task));
    assert_true(n_steps <= 8 * crowd.n);
    free(tasks);
    free_crowd(&crowd);
}

/* In a loop: each does what it is told to, and what the model allows. */

enum { N_NODES = 16, N_TARGETS = 3, N_ORDERS = 60 };

enum way { AWAIT, AWAIT_FOR, SHIELD, GATHER, RACE, WALK, WAIT, GROUP, N_WAYS };

struct node {
    struct world *world;
    struct task *task;
    struct task_event order;
    enum way way;
    size_t targets[N_TARGETS];
    size_t n_targets;
    bool is_busy;
    int result; /* of what it did last */
};

struct world {
    struct random random;
    size_t n;
    struct node nodes[N_NODES];
    bool needs[N_NODES][N_NODES];
};

static int run_node(void *arg);

static struct node *add_node(struct world *world)
{
    struct node *node = &world->nodes[world->n++];

    memset(node, 0, sizeof *node);
    node->world = world;
    return node;
}

/* The handles of those that are awaited are others' than main's. */
static void find_targets(const struct node *node, struct task *tasks[],
                         bool keeps)
{
    for (size_t i = 0; i < node->n_targets; i++) {
        tasks[i] = node->world->nodes[node->targets[i]].task;
        if (keeps)
            (void)task_retain(tasks[i]);
    }
}

static int walk(struct task *tasks[], size_t n)
{
    struct task_as_completed it;
    int status = task_as_completed_begin(&it, tasks, n);

    if (!status)
        (void)task_as_completed_next(&it);
    return task_as_completed_end(&it, status);
}

/* Its last target is a child of its own. */
static int end_group(struct node *node)
{
    struct node *child = &node->world->nodes[node->targets[0]];
    struct task_group group;

    task_group_begin(&group);
    child->task = task_group_create(&group, run_node, child);
    return task_group_end(&group, 0);
}

static int obey(struct node *node)
{
    bool keeps = node->way <= RACE && node->way != SHIELD;
    struct task *tasks[N_TARGETS];
    int status;

    if (node->way == GROUP)
        return end_group(node);
    find_targets(node, tasks, keeps);
    status = node->way == AWAIT       ? task_await(tasks[0])
             : node->way == AWAIT_FOR ? task_await_for(tasks[0], TASK_FOREVER)
             : node->way == SHIELD    ? task_shield(tasks[0])
             : node->way == GATHER ? task_gather(tasks, node->n_targets, NULL)
             : node->way == RACE   ? task_race(tasks, node->n_targets, NULL)
             : node->way == WALK   ? walk(tasks, node->n_targets)
                                   : task_wait(tasks, node->n_targets,
                                               TASK_ALL_DONE, TASK_FOREVER);
    if (keeps && status == -EDEADLK)
        detach_all(tasks, node->n_targets);
    return status;
}

/* Until it is cancelled while it has nothing to do, or what it awaits is. */
static int run_node(void *arg)
{
    struct node *node = arg;
    int status;

    while (!(status = task_event_wait(&node->order))) {
        task_event_clear(&node->order);
        node->result = 0;
        node->is_busy = true;
        node->result = obey(node);
        node->is_busy = false;
    }
    return status;
}

static bool reaches(const struct world *world, size_t from, size_t to)
{
    bool met[N_NODES] = {false};
    size_t pile[N_NODES];
    size_t n = 0;

    pile[n++] = from;
    met[from] = true;
    while (n) {
        size_t at = pile[--n];

        if (at == to)
            return true;
        for (size_t i = 0; i < world->n; i++)
            if (world->needs[at][i] && !met[i]) {
                met[i] = true;
                pile[n++] = i;
            }
    }
    return false;
}

/* Whether the call is to be refused. */
static bool is_refused(const struct world *world, size_t self)
{
    const struct node *node = &world->nodes[self];
    bool refused = false;

    for (size_t i = 0; i < node->n_targets && node->way != GROUP; i++)
        refused |= node->way == WAIT ? node->targets[i] == self
                                     : reaches(world, node->targets[i], self);
    return refused;
}

static void choose_way(struct node *node)
{
    struct world *world = node->world;

    node->way = (enum way)random_below(&world->random, N_WAYS);
    if (node->way == GROUP && world->n == N_NODES)
        node->way = AWAIT;
    node->n_targets = 1;
    if (node->way == GROUP) {
        node->targets[0] = world->n;
        add_node(world);
        return;
    }
    if (node->way >= GATHER)
        node->n_targets += random_below(&world->random, N_TARGETS);
    for (size_t i = 0; i < node->n_targets; i++)
        node->targets[i] = random_below(&world->random, world->n);
}

static void order(struct world *world, size_t self)
{
    struct node *node = &world->nodes[self];
    bool refused;

    choose_way(node);
    refused = is_refused(world, self);
    task_event_set(&node->order);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK(node->is_busy == !refused);
    CHECK_STATUS(node->result, refused ? -EDEADLK : 0);
    for (size_t i = 0; i < node->n_targets; i++)
        world->needs[self][node->targets[i]] |=
            !refused && node->way != WALK && node->way != WAIT;
}

/* Those that only look on leave off; nobody else hears of that. */
static void call_back(struct world *world, size_t self)
{
    struct node *node = &world->nodes[self];

    if (node->way != SHIELD && node->way != WAIT && node->way != WALK)
        return;
    task_cancel(node->task);
    CHECK_STATUS(task_wait_all_blocked(), 0);
    CHECK(!node->is_busy);
    CHECK_STATUS(node->result, -ECANCELED);
    memset(world->needs[self], 0, sizeof world->needs[self]);
}

static void ignore(struct task *task, void *arg)
{
    (void)task;
    (void)arg;
}

static void make_world(struct world *world)
{
    memset(world->needs, 0, sizeof world->needs);
    world->n = 0;
    while (world->n < N_NODES / 2) {
        struct node *node = add_node(world);

        node->task = task_create(run_node, node);
        if (world->n % 2)
            CHECK_STATUS(task_add_done_callback(node->task, ignore, NULL), 0);
    }
    CHECK_STATUS(task_wait_all_blocked(), 0);
}

static void end_world(struct world *world)
{
    bool all_done = false;

    while (!all_done && !checks_failed()) {
        all_done = true;
        for (size_t i = 0; i < world->n; i++) {
            all_done &= task_done(world->nodes[i].task);
            if (!world->nodes[i].is_busy || world->nodes[i].way > RACE)
                task_cancel(world->nodes[i].task);
        }
        CHECK_STATUS(task_wait_all_blocked(), 0);
    }
    for (size_t i = 0; i < world->n; i++)
        task_detach(world->nodes[i].task);
}

static int calls_are_refused_where_a_model_says_so(void *arg)
{
    struct world world = {.random = {test_seed_now()}};

    (void)arg;
    for (unsigned round = 0; round < 20 && !checks_failed(); round++) {
        make_world(&world);
        for (unsigned i = 0; i < N_ORDERS && !checks_failed(); i++) {
            size_t self = random_below(&world.random, world.n);

            if (world.nodes[self].is_busy)
                call_back(&world, self);
            else
                order(&world, self);
        }
        end_world(&world);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        behaviour(random_graphs_are_searched_as_by_a_model),
        behaviour(a_row_is_not_walked_by_each_that_is_put_before_it),
        behaviour(a_row_is_not_walked_by_each_that_is_put_behind_it),
        behaviour(rows_that_are_joined_are_walked_as_far_as_the_shorter),
        behaviour(a_crowd_is_not_looked_at_by_each_that_waits_for_its_hub),
        behaviour(who_is_waited_for_by_a_crowd_asks_without_a_look_at_all),
        behaviour(many_are_searched_from_at_once),
        in_main_seeded(calls_are_refused_where_a_model_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
