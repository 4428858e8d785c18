/*
 * R. Tarjan, "Depth-first search and linear graph algorithms" (1972): tasks that
 * wait for each other are a strongly connected component.
 *
 *     front -> new  new  entered  new  entered  new ...
 *
 * A list takes the place of the recursion. The first, if new, is entered: it
 * stays, and whatever it waits for that is new moves to the front. When it is
 * the first again, all that it waits for has been left, and so it is.
 */
#include "cycles.h"

#include <stdlib.h>

struct search {
    struct suspect *suspects;
    size_t n;
    size_t n_entered;
    struct list front;
    struct suspect *pile; /* those entered whose component is not yet known */
    size_t lowest;        /* met by look_below */
};

static int compare(const void *id, const void *suspect)
{
    uint64_t x = *(const uint64_t *)id;
    uint64_t y = ((const struct suspect *)suspect)->task->id;

    return (x > y) - (x < y);
}

/* NULL: a future, which waits for nobody. */
static struct suspect *find(const struct search *search, uint64_t id)
{
    return bsearch(&id, search->suspects, search->n, sizeof(struct suspect),
                   compare);
}

static void each_awaited(const struct suspect *suspect, visit_fn *visit,
                         struct search *search)
{
    const struct waiter *waiter = suspect->task->waiter;

    if (waiter && waiter->kind->each_awaited)
        waiter->kind->each_awaited(waiter, visit, search);
}

static void move_to_front(struct task *task, void *arg)
{
    struct search *search = arg;
    struct suspect *suspect = find(search, task->id);

    if (!suspect || suspect->number)
        return;
    list_remove(&suspect->node);
    list_prepend(&search->front, &suspect->node);
}

static void enter(struct search *search, struct suspect *suspect)
{
    suspect->number = ++search->n_entered;
    suspect->lowest = suspect->number;
    suspect->below = search->pile;
    suspect->is_in_pile = true;
    search->pile = suspect;
    each_awaited(suspect, move_to_front, search);
}

static void look_below(struct task *task, void *arg)
{
    struct search *search = arg;
    const struct suspect *suspect = find(search, task->id);

    if (suspect && suspect->is_in_pile && suspect->lowest < search->lowest)
        search->lowest = suspect->lowest;
}

/* The pile down to this one is a component. */
static void take_component(struct search *search, struct suspect *last)
{
    bool is_cycle = search->pile != last;
    struct suspect *suspect;

    do {
        suspect = search->pile;
        search->pile = suspect->below;
        suspect->is_in_pile = false;
        suspect->is_in_cycle = is_cycle;
    } while (suspect != last);
}

static void leave(struct search *search, struct suspect *suspect)
{
    list_remove(&suspect->node);
    search->lowest = suspect->number;
    each_awaited(suspect, look_below, search);
    suspect->lowest = search->lowest;
    if (suspect->lowest == suspect->number)
        take_component(search, suspect);
}

void task__cycles_find(struct suspect suspects[], size_t n)
{
    struct search search = {.suspects = suspects, .n = n};

    for (size_t i = 0; i < n; i++)
        list_append(&search.front, &suspects[i].node);
    while (search.front.first) {
        struct suspect *suspect =
            container_of(search.front.first, struct suspect, node);

        if (suspect->number)
            leave(&search, suspect);
        else
            enter(&search, suspect);
    }
}
