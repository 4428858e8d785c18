/*
 * What a debugger finds the loops by. That gdb can, gdb_tasks.sh tests.
 */
#include "bodies.h"
#include "child.h"
#include "debugger.h"
#include "loop.h"
#include "record.h"

#include <string.h>

static size_t count_loops(void)
{
    const struct list_node *node = task__debugger.loops.first;
    size_t n = 0;

    for (; node; node = node->next)
        n++;
    return n;
}

static uint32_t number(const char *name)
{
    for (size_t i = 0; i < task__debugger.n_numbers; i++)
        if (!strcmp(task__debugger.numbers[i].name, name))
            return task__debugger.numbers[i].value;
    fail_msg("no number %s", name);
    return 0;
}

static void loops_are_listed_from_their_making_to_their_end(void **state)
{
    (void)state;
    struct loop *first = loop_new(NULL);
    struct loop *second = loop_new(NULL);

    assert_int_equal(count_loops(), 2);
    assert_ptr_equal(task__debugger.loops.first, &first->node);
    loop_free(first);
    assert_ptr_equal(task__debugger.loops.first, &second->node);
    loop_free(second);
    assert_int_equal(count_loops(), 0);
}

static void free_inherited(void *loop)
{
    bool none = !count_loops();
    struct loop *own = loop_new(NULL);
    bool one = count_loops() == 1;

    loop_free(loop);
    loop_free(own);
    _exit(none && one && !count_loops() ? 0 : 1);
}

static void a_forked_child_lists_none_of_its_parents(void **state)
{
    (void)state;
    struct loop *loop = loop_new(NULL);

    assert_int_equal(child_run(free_inherited, loop), 0);
    assert_int_equal(count_loops(), 1);
    loop_free(loop);
}

static void *alloc_until(void *pointer, size_t size, void *left)
{
    if (size && !(*(int *)left)--)
        return NULL;
    return task__memory_libc(pointer, size, NULL);
}

static void a_loop_that_cannot_be_made_is_not_listed(void **state)
{
    (void)state;

    for (int n = 0; n < 3; n++) {
        int left = n;
        struct loop_options options = {.alloc = alloc_until,
                                       .alloc_arg = &left};
        struct loop *loop = loop_new(&options);

        assert_int_equal(count_loops(), loop != NULL);
        loop_free(loop);
    }
}

static void the_bits_of_flags_are_those_of_the_fields(void **state)
{
    (void)state;
    struct task task = {.done = true};

    assert_int_equal(task.flags, number("task.flags.done"));
    task.flags = 0;
    task.future = true;
    assert_int_equal(task.flags, number("task.flags.future"));
}

static void a_number_has_the_size_that_the_script_knows(void **state)
{
    (void)state;

    assert_int_equal(sizeof(struct debugger_number), 40);
    assert_int_equal(offsetof(struct debugger_number, value), 36);
    assert_int_equal(offsetof(struct debugger, numbers), 2 * sizeof(void *));
    assert_int_equal(offsetof(struct debugger, n_numbers), 3 * sizeof(void *));
}

static void the_name_of_each_number_ends(void **state)
{
    (void)state;

    for (size_t i = 0; i < task__debugger.n_numbers; i++)
        assert_non_null(memchr(task__debugger.numbers[i].name, 0,
                               sizeof task__debugger.numbers[i].name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops_are_listed_from_their_making_to_their_end),
        cmocka_unit_test(a_forked_child_lists_none_of_its_parents),
        cmocka_unit_test(a_loop_that_cannot_be_made_is_not_listed),
        cmocka_unit_test(the_bits_of_flags_are_those_of_the_fields),
        cmocka_unit_test(a_number_has_the_size_that_the_script_knows),
        cmocka_unit_test(the_name_of_each_number_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
