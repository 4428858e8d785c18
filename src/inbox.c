/*
 * The lock-free list of posts, and its sleep.
 *
 * Posts are pushed one by one and taken all at once: so none comes back to the
 * list while somebody compares with it.
 */
#include "inbox.h"

#include "cancelling.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(sizeof(loop_fn *) == sizeof(size_t), "a head is told by it");

/* Without the state. */
static uintptr_t last_of(uintptr_t word)
{
    return word & ~(uintptr_t)INBOX_STATE;
}

static uintptr_t word_of(const union inbox_slot *slot)
{
    return (uintptr_t)slot | INBOX_CALL;
}

static union inbox_slot *slot_of(uintptr_t word)
{
    return (union inbox_slot *)(word - INBOX_CALL);
}

/* Whether whoever changes this word has to write. */
static bool is_to_be_woken(uintptr_t word)
{
    return (word & (INBOX_ASLEEP | INBOX_WOKEN)) == INBOX_ASLEEP;
}

int task__inbox_open(struct inbox **inbox, struct poller *poller,
                     void (*receive)(struct inbox_row *row))
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
    new->receive = receive;
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
    struct cancelling former;

    if (__atomic_sub_fetch(&inbox->references, 1, __ATOMIC_ACQ_REL))
        return;
    former = cancelling_stop();
    task__wakeup_close(&inbox->wakeup);
    free(inbox);
    cancelling_restore(former);
}

void task__inbox_abandon(struct inbox *inbox)
{
    task__wakeup_close(&inbox->wakeup);
}

/* No cancellation point: there would be a post that nobody has woken the loop
 * for, and that its thread does not know of. */
static void wake(const struct inbox *inbox)
{
    struct cancelling former = cancelling_stop();

    inbox->wakeup.kind->wake(inbox->wakeup.writer);
    cancelling_restore(former);
}

/*
 * Have this be what was posted last, in place of the word, and wake; if the
 * word has changed meanwhile, say so by it.
 *
 * What is posted may end the loop, and all others let go of the inbox, before
 * it has been woken: so it is held as long. Whoever need not wake touches
 * nothing of it any more.
 */
static ALWAYS_INLINE bool append(struct inbox *inbox, uintptr_t posted,
                                 uintptr_t *word)
{
    bool wakes = is_to_be_woken(*word);
    bool done;

    if (unlikely(wakes))
        task__inbox_retain(inbox);
    done = __atomic_compare_exchange_n(&inbox->word, word,
                                       posted | (*word & INBOX_CLOSED), false,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    if (unlikely(wakes)) {
        if (done)
            wake(inbox);
        task__inbox_release(inbox);
    }
    return done;
}

/* Push, unless the word has one of these flags. */
static bool push(struct inbox *inbox, struct post *post, uintptr_t refused)
{
    uintptr_t word = __atomic_load_n(&inbox->word, __ATOMIC_RELAXED);

    assert(!((uintptr_t)post & (INBOX_STATE | INBOX_CALL)));
    do {
        if (word & refused)
            return false;
        post->next = last_of(word);
    } while (!append(inbox, (uintptr_t)post, &word));
    return true;
}

bool task__inbox_post(struct inbox *inbox, struct post *post)
{
    return push(inbox, post, INBOX_CLOSED);
}

/* The word is not read before it is compared: then it comes to this processor
 * once. */
size_t task__inbox_call(struct inbox *inbox, union inbox_slot slots[2],
                        loop_fn *fn, void *arg)
{
    const uintptr_t in_row = word_of(slots) - sizeof *slots;
    uintptr_t word = in_row;
    union inbox_slot *slot = slots;

    assert(fn);
    slot->call = (struct inbox_call){fn, arg};
    while (!append(inbox, word_of(slot), &word)) {
        if (word & INBOX_CLOSED)
            return 0;
        slot = slots;
        if (last_of(word) != in_row)
            (slot++)->row = (struct inbox_row){.next = last_of(word)};
        slot->call = (struct inbox_call){fn, arg};
    }
    return (size_t)(slot - slots) + 1;
}

void task__inbox_answer(struct inbox *inbox, struct post *post)
{
    push(inbox, post, 0);
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

/* Of the row that ends by this call. */
static union inbox_slot *head_of(union inbox_slot *last)
{
    union inbox_slot *head = last;

    while (head->row.n)
        head--;
    head->row.n = (size_t)(last - head);
    return head;
}

static uintptr_t *next_of(uintptr_t posted)
{
    return posted & INBOX_CALL ? &slot_of(posted)->row.next
                               : &((struct post *)posted)->next;
}

/* Awake and empty now; what was in it, the first first, rows by their heads. */
static uintptr_t take(struct inbox *inbox)
{
    uintptr_t word =
        __atomic_exchange_n(&inbox->word, inbox->closed, __ATOMIC_ACQ_REL);
    uintptr_t last = last_of(word);
    uintptr_t first = 0;

    if (inbox->sleeps && !is_to_be_woken(word))
        inbox->n_due++;
    inbox->sleeps = false;
    while (last) {
        uintptr_t posted =
            last & INBOX_CALL ? word_of(head_of(slot_of(last))) : last;

        last = *next_of(posted);
        *next_of(posted) = first;
        first = posted;
    }
    return first;
}

static void run_posted(struct inbox *inbox, uintptr_t posted)
{
    struct post *post = (struct post *)posted;

    if (posted & INBOX_CALL)
        inbox->receive(&slot_of(posted)->row);
    else
        post->run(post);
}

void task__inbox_run(struct inbox *inbox)
{
    uintptr_t posted = take(inbox);

    if (inbox->must_drain && inbox->n_due)
        inbox->n_due -=
            inbox->wakeup.kind->drain(inbox->wakeup.reader, inbox->n_due);
    while (posted) {
        uintptr_t next = *next_of(posted);

        run_posted(inbox, posted);
        posted = next;
    }
}

void task__inbox_close(struct inbox *inbox)
{
    inbox->closed = INBOX_CLOSED;
    task__inbox_run(inbox);
}
