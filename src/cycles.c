/*
 * R. Tarjan, "Depth-first search and linear graph algorithms" (1972): tasks
 * that wait for each other are a strongly connected component.
 *
 *     front -> new  new  entered  new  entered  new ...
 *
 * A list takes the place of the recursion. The first, if new, is entered: it
 * stays, and whatever it waits for that is new moves to the front. When it is
 * the first again, all that it waits for has been left, and so it is.
 */
#include "cycles.h"

#include "park.h"

#include <stdlib.h>

struct cycle_search {
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
static struct suspect *find(const struct cycle_search *search, uint64_t id)
{
    return bsearch(&id, search->suspects, search->n, sizeof(struct suspect),
                   compare);
}

static void move_to_front(struct task *task, void *arg)
{
    struct cycle_search *search = arg;
    struct suspect *suspect = find(search, task->id);

    if (!suspect || suspect->number)
        return;
    list_remove(&suspect->node);
    list_prepend(&search->front, &suspect->node);
}

static void enter(struct cycle_search *search, struct suspect *suspect)
{
    suspect->number = ++search->n_entered;
    suspect->lowest = suspect->number;
    suspect->below = search->pile;
    suspect->is_in_pile = true;
    search->pile = suspect;
    each_awaited(suspect->task, move_to_front, search);
}

static void look_below(struct task *task, void *arg)
{
    struct cycle_search *search = arg;
    const struct suspect *suspect = find(search, task->id);

    if (suspect && suspect->is_in_pile && suspect->lowest < search->lowest)
        search->lowest = suspect->lowest;
}

/* The first in the order of creation; NULL: they are all daemons. */
static struct suspect *find_leader(struct suspect *top,
                                   const struct suspect *last)
{
    struct suspect *leader = NULL;

    for (struct suspect *at = top; at != last->below; at = at->below)
        if (!at->task->daemon && (!leader || at < leader))
            leader = at;
    return leader;
}

/* The pile down to this one is a component. */
static void take_component(struct cycle_search *search, struct suspect *last)
{
    struct suspect *leader =
        search->pile != last ? find_leader(search->pile, last) : NULL;
    struct suspect *suspect;

    do {
        suspect = search->pile;
        search->pile = suspect->below;
        suspect->is_in_pile = false;
        suspect->leader = leader;
    } while (suspect != last);
}

static void leave(struct cycle_search *search, struct suspect *suspect)
{
    list_remove(&suspect->node);
    search->lowest = suspect->number;
    each_awaited(suspect->task, look_below, search);
    suspect->lowest = search->lowest;
    if (suspect->lowest == suspect->number)
        take_component(search, suspect);
}

void task__cycles_find(struct suspect suspects[], size_t n)
{
    struct cycle_search search = {.suspects = suspects, .n = n};

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

/* The first in the same cycle that one waits for. */
struct step {
    struct cycle_search search;
    const struct suspect *from;
    struct suspect *to;
};

static void look_around(struct task *task, void *arg)
{
    struct step *step = arg;
    struct suspect *suspect = step->to ? NULL : find(&step->search, task->id);

    if (suspect && suspect->leader == step->from->leader)
        step->to = suspect;
}

struct suspect *task__cycle_next(struct suspect suspects[], size_t n,
                                 const struct suspect *suspect)
{
    struct step step = {.search = {.suspects = suspects, .n = n},
                        .from = suspect};

    each_awaited(suspect->task, look_around, &step);
    assert(step.to);
    return step.to;
}

struct suspect *task__cycle_begin(struct suspect suspects[], size_t n,
                                  struct suspect *leader)
{
    struct suspect *at = leader;

    while (!at->is_met) {
        at->is_met = true;
        at = task__cycle_next(suspects, n, at);
    }
    return at;
}
