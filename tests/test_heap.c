#include "heap.h"
#include "random.h"
#include "record.h"

#include <stdlib.h>

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

/* Items with keys that are often equal, and the order in which they came. */
struct item {
    struct heap_node node;
    int key;
    uint64_t order;
    bool inside;
};

static struct item *item_of(const struct heap_node *node)
{
    return container_of(node, struct item, node);
}

static bool comes_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct item *x = item_of(a);
    const struct item *y = item_of(b);

    return x->key != y->key ? x->key < y->key : x->order < y->order;
}

/* A heap, and as its model an array in which the least is looked for. */
enum { N_ITEMS = 200 };

struct fixture {
    struct heap heap;
    struct item items[N_ITEMS];
    size_t n;
    uint64_t inserted;
};

static struct item *model_least(struct fixture *fixture)
{
    struct item *least = NULL;

    for (size_t i = 0; i < N_ITEMS; i++) {
        struct item *item = &fixture->items[i];

        if (item->inside && (!least || comes_before(&item->node, &least->node)))
            least = item;
    }
    return least;
}

static void insert(struct fixture *fixture, struct item *item, int key)
{
    item->key = key;
    item->order = fixture->inserted++;
    item->inside = true;
    fixture->n++;
    task__heap_insert(&fixture->heap, &item->node);
}

static void remove_item(struct fixture *fixture, struct item *item)
{
    item->inside = false;
    fixture->n--;
    task__heap_remove(&fixture->heap, &item->node);
}

static void assert_least(struct fixture *fixture)
{
    const struct item *least = model_least(fixture);

    assert_ptr_equal(fixture->heap.root, least ? &least->node : NULL);
}

/* Whether siblings and all below them are linked, and come after `parent`;
 * how many there are. */
static size_t check_siblings(const struct heap_node *first,
                             const struct heap_node *parent)
{
    const struct heap_node *prev = parent;
    size_t n = 0;

    for (const struct heap_node *node = first; node; node = node->next) {
        assert_ptr_equal(node->prev, prev);
        assert_true(!parent || comes_before(parent, node));
        n += 1 + check_siblings(node->child, node);
        prev = node;
    }
    return n;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture)
        fixture->heap.before = comes_before;
    *state = fixture;
    return fixture ? 0 : -1;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void the_only_node_is_the_least(void **state)
{
    struct fixture *fixture = *state;

    insert(fixture, &fixture->items[0], 5);
    assert_ptr_equal(fixture->heap.root, &fixture->items[0].node);
}

static void a_heap_that_lost_its_only_node_is_empty(void **state)
{
    struct fixture *fixture = *state;

    insert(fixture, &fixture->items[0], 5);
    remove_item(fixture, &fixture->items[0]);
    assert_null(fixture->heap.root);
}

static void equal_keys_come_out_in_the_order_of_insertion(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < N_ITEMS; i++)
        insert(fixture, &fixture->items[i], 7);
    for (size_t i = 0; i < N_ITEMS; i++) {
        assert_ptr_equal(fixture->heap.root, &fixture->items[i].node);
        remove_item(fixture, &fixture->items[i]);
    }
    assert_null(fixture->heap.root);
}

/* Inserts the keys 0..N-1, stepping by `step`; pops them in order. */
static void sort(struct fixture *fixture, size_t step)
{
    for (size_t i = 0; i < N_ITEMS; i++) {
        size_t key = i * step % N_ITEMS;

        insert(fixture, &fixture->items[key], (int)key);
    }
    for (size_t i = 0; i < N_ITEMS; i++) {
        assert_ptr_equal(fixture->heap.root, &fixture->items[i].node);
        remove_item(fixture, &fixture->items[i]);
    }
}

static void keys_come_out_ascending_however_they_went_in(void **state)
{
    sort(*state, 1);
    sort(*state, N_ITEMS - 1); /* descending but for the first */
    sort(*state, 77);
}

static void a_removed_inner_node_leaves_its_children(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 5; i++)
        insert(fixture, &fixture->items[i], i);
    remove_item(fixture, &fixture->items[0]); /* melds: some have children */
    for (int i = 2; i < 4; i++) {
        remove_item(fixture, &fixture->items[i]);
        assert_least(fixture);
        assert_int_equal(check_siblings(fixture->heap.root, NULL), fixture->n);
    }
}

static void a_removed_node_may_be_inserted_with_another_key(void **state)
{
    struct fixture *fixture = *state;

    insert(fixture, &fixture->items[0], 3);
    insert(fixture, &fixture->items[1], 5);
    remove_item(fixture, &fixture->items[1]);
    insert(fixture, &fixture->items[1], 1);
    assert_ptr_equal(fixture->heap.root, &fixture->items[1].node);
}

/* Insert an idle item, or take it out; now and then take out the least. */
static void random_step(struct fixture *fixture, struct random *random,
                        size_t n_keys)
{
    struct item *item = &fixture->items[random_below(random, N_ITEMS)];

    if (fixture->n && random_below(random, 4) == 0)
        remove_item(fixture, item_of(fixture->heap.root));
    else if (item->inside)
        remove_item(fixture, item);
    else
        insert(fixture, item, (int)random_below(random, n_keys));
}

static void the_root_is_the_models_least_under_random_operations(void **state)
{
    struct fixture *fixture = *state;
    struct random random = {test_seed(2)};

    for (unsigned i = test_rounds(100000); i > 0; i--) {
        random_step(fixture, &random, i % 20000 < 10000 ? 8 : 100000);
        assert_least(fixture);
    }
}

static void all_links_are_whole_under_random_operations(void **state)
{
    struct fixture *fixture = *state;
    struct random random = {test_seed(3)};

    for (unsigned i = test_rounds(10000); i > 0; i--) {
        random_step(fixture, &random, 50);
        assert_int_equal(check_siblings(fixture->heap.root, NULL), fixture->n);
        assert_true(!fixture->heap.root || !fixture->heap.root->next);
    }
}

/* Sort some of the items that are not inside in front of those that were sorted before;
 * all their keys are below `key`. */
static struct heap_node *sort_some(struct fixture *fixture,
                                   struct random *random, int key,
                                   struct heap_node *rest)
{
    struct heap_node *list = NULL;

    for (size_t n = 1 + random_below(random, 40); n > 0; n--) {
        struct item *item = &fixture->items[fixture->n++];

        item->key = key - 1 - (int)random_below(random, 10);
        item->order = random_next(random);
        item->inside = true;
        item->node.next = list;
        list = &item->node;
    }
    return task__heap_sort(&fixture->heap, list, rest);
}

static void
what_is_sorted_is_a_heap_in_which_nobody_has_two_children(void **state)
{
    struct fixture *fixture = *state;
    struct random random = {test_seed(4)};
    struct heap_node *sorted = NULL;
    size_t n = 0;

    for (int i = 4; i > 0; i--)
        sorted = sort_some(fixture, &random, 100 + 10 * i, sorted);
    task__heap_insert_sorted(&fixture->heap, sorted);
    assert_least(fixture);
    assert_int_equal(check_siblings(sorted, NULL), fixture->n);
    for (; sorted; sorted = sorted->child) {
        assert_null(sorted->next);
        n++;
    }
    assert_int_equal(n, fixture->n);
}

static void what_is_sorted_goes_in_among_others(void **state)
{
    struct fixture *fixture = *state;
    struct random random = {test_seed(5)};

    for (int round = 0; round < 20; round++) {
        struct heap_node *sorted = NULL;

        while (fixture->n < 20) {
            struct item *item = &fixture->items[fixture->n];

            insert(fixture, item, 100 + (int)random_below(&random, 100));
        }
        for (int i = 4; i > 0; i--)
            sorted = sort_some(fixture, &random, 100 + 10 * i, sorted);
        task__heap_insert_sorted(&fixture->heap, sorted);
        assert_int_equal(check_siblings(fixture->heap.root, NULL), fixture->n);
        while (fixture->heap.root) {
            struct item *item =
                random_below(&random, 4)
                    ? item_of(fixture->heap.root)
                    : &fixture->items[random_below(&random, N_ITEMS)];

            assert_least(fixture);
            if (item->inside)
                remove_item(fixture, item);
            assert_int_equal(check_siblings(fixture->heap.root, NULL),
                             fixture->n);
        }
        assert_int_equal(fixture->n, 0);
    }
}

/* A heap as deep, then as wide, as it has nodes: nothing recurses. */
static void long_chains_take_no_stack(void **state)
{
    size_t n = test_rounds(100000);
    struct item *items = calloc(n, sizeof *items);
    struct heap heap = {.before = comes_before};
    size_t i = 0;

    (void)state;
    assert_non_null(items);
    for (i = n; i-- > 0;) { /* each becomes the root: a chain of children */
        items[i].key = (int)i;
        task__heap_insert(&heap, &items[i].node);
    }
    task__heap_remove(&heap, &items[n / 2].node);
    for (i = 0; heap.root; i++) {
        i += i == n / 2;
        assert_ptr_equal(item_of(heap.root), &items[i]);
        task__heap_remove(&heap, heap.root);
    }
    assert_int_equal(i, n);
    free(items);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_only_node_is_the_least),
        TEST(a_heap_that_lost_its_only_node_is_empty),
        TEST(equal_keys_come_out_in_the_order_of_insertion),
        TEST(keys_come_out_ascending_however_they_went_in),
        TEST(a_removed_inner_node_leaves_its_children),
        TEST(a_removed_node_may_be_inserted_with_another_key),
        TEST(the_root_is_the_models_least_under_random_operations),
        TEST(all_links_are_whole_under_random_operations),
        TEST(what_is_sorted_is_a_heap_in_which_nobody_has_two_children),
        TEST(what_is_sorted_goes_in_among_others),
        TEST(long_chains_take_no_stack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
