/* SPDX-License-Identifier: Apache-2.0 */
/* An open hash table with linear probing, at most half full. A slot holds the hash of a string, or
 * the bits of a number: integers as they are, floats as doubles. */
#include "ops/ml/lookup.h"

#include <string.h>
#include <sys/random.h>

struct slot {
    uint64_t word;
    int64_t place; /* + 1; 0: free */
};

struct lookup {
    struct slot *slots;
    uint64_t mask, seed;
    const struct str *strings; /* the keys, where they are strings */
    bool texts, floats;
};

int list_one(const struct list *lists, int k, const char *what, struct list *out, struct err *e)
{
    int full = 0;
    *out = (struct list){0};
    for (int i = 0; i < k; i++) {
        full += lists[i].n > 0;
        if (lists[i].dtype != DTYPE_NONE && (out->dtype == DTYPE_NONE || lists[i].n > 0))
            *out = lists[i];
    }
    return full > 1 ? err_set(e, ERR_MODEL, "several of %s are given", what) : 0;
}

static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

static uint64_t hash_str(uint64_t seed, struct str s)
{
    uint64_t h = seed ^ s.size, word;
    size_t i = 0;
    for (; i + 8 <= s.size; i += 8) {
        memcpy(&word, s.data + i, 8);
        h = mix(h ^ word) + seed;
    }
    word = 0;
    if (i < s.size)
        memcpy(&word, s.data + i, s.size - i);
    return mix(h ^ word);
}

/* Equal numbers have equal bits. */
static uint64_t float_word(double v)
{
    uint64_t word;
    v = v == 0 ? 0 : v;
    memcpy(&word, &v, sizeof word);
    return v != v ? UINT64_C(0x7ff8000000000000) : word;
}

/* What slots hold for elements [first, first + n) of x. */
static void words(const struct lookup *l, enum dtype t, const void *x, int64_t first, int64_t n,
                  uint64_t *out)
{
    if (l->texts) {
        for (int64_t i = 0; i < n; i++)
            out[i] = hash_str(l->seed, ((const struct str *)x)[first + i]);
    } else if (l->floats) {
        double v[CHUNK_ELEMS];
        elems_to_f64(t, x, first, n, v);
        for (int64_t i = 0; i < n; i++)
            out[i] = float_word(v[i]);
    } else {
        elems_to_i64(t, x, first, n, (int64_t *)out);
    }
}

static bool same_str(struct str a, struct str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The slot of a key, or the free one where it would be. */
static struct slot *find(const struct lookup *l, uint64_t word, const struct str *s)
{
    uint64_t at = (l->texts ? word : mix(word ^ l->seed)) & l->mask;
    for (; l->slots[at].place; at = (at + 1) & l->mask)
        if (l->slots[at].word == word && (!s || same_str(l->strings[l->slots[at].place - 1], *s)))
            break;
    return &l->slots[at];
}

struct lookup *lookup_new(struct arena *a, const struct list *keys, bool last, struct err *e)
{
    struct lookup *l = arena_alloc(a, sizeof *l, e);
    uint64_t chunk[CHUNK_ELEMS], slots = 16;
    if (!l)
        return NULL;
    while (slots < 2 * (uint64_t)keys->n)
        slots *= 2;
    *l = (struct lookup){.mask = slots - 1,
                         .strings = keys->data,
                         .texts = keys->dtype == DTYPE_STRING,
                         .floats = dtype_is_float(keys->dtype)};
    /* Keys of a hostile model shall not be able to fall into one place. */
    if (getrandom(&l->seed, sizeof l->seed, GRND_NONBLOCK) != sizeof l->seed)
        l->seed = (uintptr_t)l;
    l->slots = arena_array(a, slots, sizeof *l->slots, e);
    if (!l->slots)
        return NULL;
    for (int64_t i = 0; i < keys->n; i += CHUNK_ELEMS) {
        int64_t n = keys->n - i < CHUNK_ELEMS ? keys->n - i : CHUNK_ELEMS;
        words(l, keys->dtype, keys->data, i, n, chunk);
        for (int64_t k = 0; k < n; k++) {
            struct slot *s = find(l, chunk[k], l->texts ? &l->strings[i + k] : NULL);
            if (!s->place || last)
                *s = (struct slot){chunk[k], i + k + 1};
        }
    }
    return l;
}

void lookup_places(const struct lookup *l, enum dtype t, const void *x, int64_t first, int64_t n,
                   int64_t *places)
{
    uint64_t chunk[CHUNK_ELEMS];
    words(l, t, x, first, n, chunk);
    for (int64_t i = 0; i < n; i++)
        places[i] = find(l, chunk[i], l->texts ? (const struct str *)x + first + i : NULL)->place - 1;
}
