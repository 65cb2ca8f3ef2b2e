/* The buckets that all movers of an execution draw from: see migmond.wire.budget, which says what the words mean. */
#include <stdint.h>

#define SECOND_NS 1e9
#define TRIES 1000 /* a writer takes nanoseconds; one that was killed in between is not waited for */

struct bucket {
    uint64_t sequence, anchor_ns;
    double allowed, rate, burst;
    uint64_t piece, unused[2];
    uint64_t taken; /* in a cache line of its own: the only word that movers write */
    uint64_t unused_too[7];
};
_Static_assert(sizeof(struct bucket) == 128, "migmond.wire.budget.BUCKET_BYTES");

static struct bucket terms_of(const struct bucket *b) {
    struct bucket found = {0};
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = __atomic_load_n(&b->sequence, __ATOMIC_ACQUIRE);
        found.anchor_ns = b->anchor_ns;
        found.allowed = b->allowed;
        found.rate = b->rate;
        found.burst = b->burst;
        found.piece = b->piece;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(before & 1) && before == __atomic_load_n(&b->sequence, __ATOMIC_RELAXED)) break;
    }
    return found;
}

static double allowed_at(const struct bucket *terms, uint64_t now_ns) {
    return terms->allowed + terms->rate * ((double)(int64_t)(now_ns - terms->anchor_ns) / SECOND_NS);
}

/* Take so much; returns the mark that has to be allowed before more may be done. */
uint64_t migmond_take(struct bucket *b, uint64_t amount, uint64_t now_ns) {
    struct bucket terms = terms_of(b);
    double least = allowed_at(&terms, now_ns) - terms.burst;
    uint64_t floor = least > 0 ? (uint64_t)least : 0;
    uint64_t taken = __atomic_load_n(&b->taken, __ATOMIC_RELAXED), mark;
    do {
        mark = (taken > floor ? taken : floor) + amount;
    } while (!__atomic_compare_exchange_n(&b->taken, &taken, mark, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return mark;
}

/* Nanoseconds until a mark is allowed as things are now; 0 when it is, or nothing is limited. */
uint64_t migmond_left_ns(const struct bucket *b, uint64_t mark, uint64_t now_ns) {
    struct bucket terms = terms_of(b);
    if (!(terms.rate > 0)) return 0;
    double left = ((double)mark - allowed_at(&terms, now_ns)) / terms.rate * SECOND_NS;
    return left > 0 ? (left < 1e18 ? (uint64_t)left + 1 : (uint64_t)1e18) : 0;
}

int migmond_limited(const struct bucket *b) { return terms_of(b).rate > 0; }

/* Bytes that may be moved at once, 0 for as many as there are. */
uint64_t migmond_piece(const struct bucket *b) {
    struct bucket terms = terms_of(b);
    return terms.rate > 0 ? terms.piece : 0;
}
