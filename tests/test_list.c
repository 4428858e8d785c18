#include "list.h"
#include "random.h"
#include "record.h"

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

/* A model: what stands in a list, in order. */
enum { N_NODES = 24 };

struct model {
    struct list list;
    struct list_node *nodes[N_NODES];
    size_t n;
};

static void model_insert(struct model *model, size_t at, struct list_node *node)
{
    for (size_t i = model->n++; i > at; i--)
        model->nodes[i] = model->nodes[i - 1];
    model->nodes[at] = node;
}

static bool model_remove(struct model *model, const struct list_node *node)
{
    size_t i = 0;

    while (i < model->n && model->nodes[i] != node)
        i++;
    if (i == model->n)
        return false;
    for (model->n--; i < model->n; i++)
        model->nodes[i] = model->nodes[i + 1];
    return true;
}

static void assert_as_model(const struct model *model)
{
    const struct list_node *node = model->list.first;
    const struct list_node *before = NULL;

    assert_int_equal(list_empty(&model->list), model->n == 0);
    for (size_t i = 0; i < model->n; i++) {
        assert_ptr_equal(node, model->nodes[i]);
        assert_ptr_equal(node->prev, before);
        assert_ptr_equal(node->list, &model->list);
        before = node;
        node = node->next;
    }
    assert_null(node);
    assert_ptr_equal(model->list.last, before);
}

static void all_zero_is_an_empty_list(void **state)
{
    struct list list = {0};

    (void)state;
    assert_true(list_empty(&list));
    assert_null(list_pop(&list));
}

static void all_zero_is_a_node_on_no_list(void **state)
{
    struct list_node node = {0};

    (void)state;
    assert_false(list_has(&node));
    list_remove(&node);
    assert_false(list_has(&node));
}

static void appended_nodes_are_popped_first_in_first_out(void **state)
{
    struct list list = {0};
    struct list_node nodes[3];

    (void)state;
    for (size_t i = 0; i < N_OF(nodes); i++)
        list_append(&list, &nodes[i]);
    for (size_t i = 0; i < N_OF(nodes); i++)
        assert_ptr_equal(list_pop(&list), &nodes[i]);
    assert_true(list_empty(&list));
}

static void prepended_nodes_are_popped_last_in_first_out(void **state)
{
    struct list list = {0};
    struct list_node nodes[3];

    (void)state;
    for (size_t i = 0; i < N_OF(nodes); i++)
        list_prepend(&list, &nodes[i]);
    for (size_t i = N_OF(nodes); i-- > 0;)
        assert_ptr_equal(list_pop(&list), &nodes[i]);
    assert_true(list_empty(&list));
}

static void a_node_knows_whether_it_is_on_a_list(void **state)
{
    struct list list = {0};
    struct list_node node = {0};

    (void)state;
    list_append(&list, &node);
    assert_true(list_has(&node));
    list_remove(&node);
    assert_false(list_has(&node));
    list_prepend(&list, &node);
    assert_ptr_equal(list_pop(&list), &node);
    assert_false(list_has(&node));
}

static void a_removed_node_may_be_removed_again(void **state)
{
    struct list list = {0};
    struct list_node nodes[2] = {0};

    (void)state;
    list_append(&list, &nodes[0]);
    list_append(&list, &nodes[1]);
    list_remove(&nodes[0]);
    list_remove(&nodes[0]);
    assert_ptr_equal(list.first, &nodes[1]);
    assert_ptr_equal(list.last, &nodes[1]);
}

static void an_emptied_list_may_move(void **state)
{
    struct list list = {0};
    struct list moved;
    struct list_node node;

    (void)state;
    list_append(&list, &node);
    list_remove(&node);
    moved = list;
    list_prepend(&moved, &node);
    assert_ptr_equal(moved.first, &node);
    assert_ptr_equal(moved.last, &node);
}

/* One random step on a node: off whatever list it is on, or onto one. */
static void step(struct model models[2], struct list_node *node, size_t choice)
{
    struct model *model = &models[choice & 1];

    if (list_has(node)) {
        bool was_there =
            model_remove(&models[0], node) || model_remove(&models[1], node);

        list_remove(node);
        assert_true(was_there);
    } else if (choice & 2) {
        list_append(&model->list, node);
        model_insert(model, model->n, node);
    } else {
        list_prepend(&model->list, node);
        model_insert(model, 0, node);
    }
}

static void step_pop(struct model *model)
{
    struct list_node *first = model->n ? model->nodes[0] : NULL;

    assert_ptr_equal(list_pop(&model->list), first);
    if (first)
        model_remove(model, first);
}

static void two_lists_do_as_their_models_under_random_operations(void **state)
{
    struct random random = {test_seed(1)};
    struct model models[2] = {0};
    struct list_node nodes[N_NODES] = {0};

    (void)state;
    for (unsigned i = test_rounds(50000); i > 0; i--) {
        size_t choice = random_below(&random, 32);

        if (choice < 4)
            step_pop(&models[choice & 1]);
        else
            step(models, &nodes[random_below(&random, N_NODES)], choice);
        assert_as_model(&models[0]);
        assert_as_model(&models[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_zero_is_an_empty_list),
        cmocka_unit_test(all_zero_is_a_node_on_no_list),
        cmocka_unit_test(appended_nodes_are_popped_first_in_first_out),
        cmocka_unit_test(prepended_nodes_are_popped_last_in_first_out),
        cmocka_unit_test(a_node_knows_whether_it_is_on_a_list),
        cmocka_unit_test(a_removed_node_may_be_removed_again),
        cmocka_unit_test(an_emptied_list_may_move),
        cmocka_unit_test(two_lists_do_as_their_models_under_random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
