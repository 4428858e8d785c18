/*
 * The lock-free list of posts, and its sleep.
 *
 * Posts are pushed one by one and taken all at once: so none comes back to the
 * list while somebody compares with it.
 */
#include "inbox.h"

#include <errno.h>
#include <stdlib.h>

static struct post *post_of(uintptr_t word)
{
    return (struct post *)(word & ~(uintptr_t)INBOX_FLAGS);
}

/* Whether whoever changes this word has to write. */
static bool is_to_be_woken(uintptr_t word)
{
    return (word & (INBOX_ASLEEP | INBOX_WOKEN)) == INBOX_ASLEEP;
}

int task__inbox_open(struct inbox **inbox, struct poller *poller)
{
    struct inbox *new = calloc(1, sizeof *new);
    int error;

    if (!new)
        return -ENOMEM;
    error = task__wakeup_open(&new->wakeup);
    if (!error)
        error = poller->backend->wake_by(poller, new->wakeup.reader);
    if (error) {
        task__wakeup_close(&new->wakeup);
        free(new);
        return error;
    }
    new->references = 1;
    new->must_drain =
        new->wakeup.kind->overflows || !poller->backend->wakes_by_edge;
    *inbox = new;
    return 0;
}

void task__inbox_retain(struct inbox *inbox)
{
    __atomic_fetch_add(&inbox->references, 1, __ATOMIC_RELAXED);
}

void task__inbox_release(struct inbox *inbox)
{
    if (__atomic_sub_fetch(&inbox->references, 1, __ATOMIC_ACQ_REL))
        return;
    task__wakeup_close(&inbox->wakeup);
    free(inbox);
}

void task__inbox_abandon(struct inbox *inbox)
{
    task__wakeup_close(&inbox->wakeup);
}

static void wake(const struct inbox *inbox)
{
    inbox->wakeup.kind->wake(inbox->wakeup.writer);
}

/*
 * Append to what the word says, and wake; if it has changed, say so by it.
 *
 * What is posted may end the loop, and all others let go of the inbox, before
 * it has been woken: so it is held as long. Whoever need not wake touches
 * nothing of it any more.
 */
static ALWAYS_INLINE bool append(struct inbox *inbox, struct post *post,
                                 uintptr_t *word)
{
    bool wakes = is_to_be_woken(*word);
    bool done;

    if (unlikely(wakes))
        task__inbox_retain(inbox);
    done = __atomic_compare_exchange_n(
        &inbox->word, word, (uintptr_t)post | (*word & INBOX_CLOSED), true,
        __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    if (unlikely(wakes)) {
        if (done)
            wake(inbox);
        task__inbox_release(inbox);
    }
    return done;
}

/*
 * What a post is linked to, where this one is the last. If that is the one before
 * in its row nobody has taken it, unless the word has changed: then what is read
 * here may be wrong, and is not used.
 */
static ALWAYS_INLINE struct post *link_to(struct post *last,
                                          const struct post *before)
{
    struct post *next;

    if (last != before || !before)
        return last;
    next = __atomic_load_n(&before->next, __ATOMIC_RELAXED);
    if ((uintptr_t)next & POST_IN_ROW)
        return next;
    return (struct post *)((uintptr_t)last | POST_IN_ROW);
}

/* Push, unless the word has one of these flags. */
static ALWAYS_INLINE bool push(struct inbox *inbox, struct post *post,
                               const struct post *before, uintptr_t refused)
{
    uintptr_t word = __atomic_load_n(&inbox->word, __ATOMIC_RELAXED);

    assert(!((uintptr_t)post & INBOX_FLAGS));
    do {
        if (word & refused)
            return false;
        post->next = link_to(post_of(word), before);
    } while (!append(inbox, post, &word));
    return true;
}

bool task__inbox_post(struct inbox *inbox, struct post *post)
{
    return push(inbox, post, NULL, INBOX_CLOSED);
}

bool task__inbox_post_row(struct inbox *inbox, struct post *post,
                          const struct post *before)
{
    return push(inbox, post, before, INBOX_CLOSED);
}

void task__inbox_answer(struct inbox *inbox, struct post *post)
{
    push(inbox, post, NULL, 0);
}

/*
 * What the caller did before has to be seen by a loop that looks after this.
 * So this writes the word even if it has been woken: to read it would not do.
 */
bool task__inbox_wake(struct inbox *inbox)
{
    uintptr_t word =
        __atomic_fetch_or(&inbox->word, INBOX_WOKEN, __ATOMIC_ACQ_REL);

    if (is_to_be_woken(word))
        wake(inbox);
    return !(word & INBOX_CLOSED);
}

bool task__inbox_sleep(struct inbox *inbox)
{
    uintptr_t idle = inbox->closed;

    if (inbox->sleeps)
        return !inbox_is_stirred(inbox);
    inbox->sleeps =
        __atomic_compare_exchange_n(&inbox->word, &idle, idle | INBOX_ASLEEP,
                                    false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    return inbox->sleeps;
}

/* Awake and empty now; what was in it, the first row first. */
static struct post *take(struct inbox *inbox)
{
    uintptr_t word =
        __atomic_exchange_n(&inbox->word, inbox->closed, __ATOMIC_ACQ_REL);
    struct post *after = NULL;

    if (inbox->sleeps && !is_to_be_woken(word))
        inbox->n_due++;
    inbox->sleeps = false;
    for (struct post *last = post_of(word); last;) {
        struct post *first = post_first(last);
        struct post *before = first->next;

        __atomic_store_n(&first->next, after, __ATOMIC_RELAXED);
        after = last;
        last = before;
    }
    return after;
}

void task__inbox_run(struct inbox *inbox)
{
    struct post *post = take(inbox);

    if (inbox->must_drain && inbox->n_due)
        inbox->n_due -=
            inbox->wakeup.kind->drain(inbox->wakeup.reader, inbox->n_due);
    while (post) {
        struct post *next = post_first(post)->next;

        post->run(post);
        post = next;
    }
}

void task__inbox_close(struct inbox *inbox)
{
    inbox->closed = INBOX_CLOSED;
    task__inbox_run(inbox);
}
