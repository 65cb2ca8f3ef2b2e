/* Runs of zeros in an xxh3 hash (https://github.com/Cyan4973/xxHash/blob/v0.8.3/doc/xxhash_spec.md, "XXH3 Algorithm
 * Details"): what a hole reads as is known, so that nothing has to be read to hash it.
 *
 * xxh3 adds the product of the halves of (input xor secret) to eight sums, 64 bytes at a time, and scrambles them after
 * every 1,024. Of zeros these products are the secret's alone: they are added once for a whole block, and 1,024 bytes
 * cost eight additions and eight scramblings. The hash is the same as of the zeros themselves.
 */
#include <stdint.h>
#include <string.h>

#define LANES 8
#define STRIPE_BYTES 64
#define STRIPES 16      /* in a block: as the secret of 192 bytes moves on by 8 for each */
#define SECRET_STEP 8
#define PRIME32_1 0x9E3779B1U

/* XXH3_state_t of xxhash.h, which is the same since 0.8.0. */
struct xxh3_state {
    uint64_t sums[LANES];
    unsigned char custom_secret[192], buffer[256];
    uint32_t buffered, use_seed;
    uint64_t stripes_so_far; /* of the present block */
    uint64_t total_bytes, stripes_in_block, secret_limit, seed, reserved;
    const unsigned char *secret;
};
_Static_assert(sizeof(struct xxh3_state) == 576, "XXH3_state_t");

static uint64_t word(const unsigned char *at) {
    uint64_t found = 0;
    for (int i = 7; i >= 0; i--) found = found << 8 | at[i];
    return found;
}

static int all_zero(const unsigned char *from, uint64_t count) {
    unsigned char found = 0;
    for (uint64_t i = 0; i < count; i++) found |= from[i];
    return !found;
}

/* As if `blocks` times 1,024 zeros were hashed. The state must have taken in zeros already, so many that everything it
 * keeps of its input is zeros: then that is the same before and after. Returns 0, or -1 when that is not so, or the state
 * is none of those that are known here: nothing was done then. */
int migmond_hash_zeros(struct xxh3_state *state, uint64_t blocks) {
    uint64_t so_far = state->stripes_so_far, rest[LANES] = {0}, begun[LANES] = {0}, key[LANES], sums[LANES];
    if (state->stripes_in_block != STRIPES || state->secret_limit != 192 - STRIPE_BYTES || so_far >= STRIPES) return -1;
    if (!state->secret || state->buffered > sizeof state->buffer || state->total_bytes < 2 * sizeof state->buffer) return -1;
    if (!all_zero(state->buffer, state->buffered)) return -1;
    if (!all_zero(state->buffer + sizeof state->buffer - STRIPE_BYTES, STRIPE_BYTES)) return -1;
    for (int lane = 0; lane < LANES; lane++) {
        for (uint64_t stripe = 0; stripe < STRIPES; stripe++) {
            uint64_t secret = word(state->secret + stripe * SECRET_STEP + lane * 8);
            (stripe < so_far ? begun : rest)[lane] += (secret & UINT32_MAX) * (secret >> 32);
        }
        key[lane] = word(state->secret + state->secret_limit + lane * 8);
    }
    memcpy(sums, state->sums, sizeof sums);
    for (int lane = 0; lane < LANES; lane += 4) { /* four at a time are in registers */
        uint64_t a = sums[lane], b = sums[lane + 1], c = sums[lane + 2], d = sums[lane + 3];
        for (uint64_t block = 0; block < blocks; block++) {
            a += rest[lane];
            b += rest[lane + 1];
            c += rest[lane + 2];
            d += rest[lane + 3];
            a = (a ^ a >> 47 ^ key[lane]) * PRIME32_1 + begun[lane];
            b = (b ^ b >> 47 ^ key[lane + 1]) * PRIME32_1 + begun[lane + 1];
            c = (c ^ c >> 47 ^ key[lane + 2]) * PRIME32_1 + begun[lane + 2];
            d = (d ^ d >> 47 ^ key[lane + 3]) * PRIME32_1 + begun[lane + 3];
        }
        sums[lane] = a;
        sums[lane + 1] = b;
        sums[lane + 2] = c;
        sums[lane + 3] = d;
    }
    memcpy(state->sums, sums, sizeof sums);
    state->total_bytes += blocks * STRIPES * STRIPE_BYTES;
    return 0;
}
