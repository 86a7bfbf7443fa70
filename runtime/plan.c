/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/plan.h"

#include <string.h>

#include "gpu/device.h"

struct range range_bucket(int64_t value)
{
    if (value <= 1)
        return (struct range){value, value};
    int64_t low = 2, high = 2;
    while (high < value) {
        bool power = (high & (high - 1)) == 0;
        int64_t step = high < 4 ? 1 : power ? high / 2 : high / 3;
        if (high > INT64_MAX - step) /* no bucket ends beyond */
            return (struct range){value, value};
        low = high + 1;
        high += step;
    }
    return (struct range){low, high};
}

/* ---- free list --------------------------------------------------------------------------------- */

struct hole {
    size_t offset, bytes;
};

/* Memory of one device while a program's steps are walked: holes sorted by offset. */
struct space {
    struct hole *holes;
    size_t n, capacity, end;
    struct budget *budget;
};

/* Best fit: the smallest hole that is large enough; else the end grows. */
static size_t space_take(struct space *s, size_t bytes)
{
    size_t best = s->n;
    for (size_t i = 0; i < s->n; i++)
        if (s->holes[i].bytes >= bytes && (best == s->n || s->holes[i].bytes < s->holes[best].bytes))
            best = i;
    size_t offset;
    if (best < s->n) {
        offset = s->holes[best].offset;
        s->holes[best].offset += bytes;
        s->holes[best].bytes -= bytes;
        if (s->holes[best].bytes == 0)
            memmove(&s->holes[best], &s->holes[best + 1], (--s->n - best) * sizeof(*s->holes));
        return offset;
    }
    /* A hole that touches the end is extended instead of wasted. */
    if (s->n && s->holes[s->n - 1].offset + s->holes[s->n - 1].bytes == s->end) {
        offset = s->holes[--s->n].offset;
        s->end = offset + bytes;
        return offset;
    }
    offset = s->end;
    s->end += bytes;
    return offset;
}

static int space_give(struct space *s, size_t offset, size_t bytes, struct err *e)
{
    size_t i = 0;
    while (i < s->n && s->holes[i].offset < offset)
        i++;
    bool joins_left = i > 0 && s->holes[i - 1].offset + s->holes[i - 1].bytes == offset;
    bool joins_right = i < s->n && offset + bytes == s->holes[i].offset;
    if (joins_left && joins_right) {
        s->holes[i - 1].bytes += bytes + s->holes[i].bytes;
        memmove(&s->holes[i], &s->holes[i + 1], (--s->n - i) * sizeof(*s->holes));
    } else if (joins_left) {
        s->holes[i - 1].bytes += bytes;
    } else if (joins_right) {
        s->holes[i].offset = offset;
        s->holes[i].bytes += bytes;
    } else {
        if (mem_grow(s->budget, (void **)&s->holes, s->n, &s->capacity, sizeof(*s->holes), e) < 0)
            return ERR_MEMORY;
        memmove(&s->holes[i + 1], &s->holes[i], (s->n++ - i) * sizeof(*s->holes));
        s->holes[i] = (struct hole){offset, bytes};
    }
    return 0;
}

/* ---- sizes ------------------------------------------------------------------------------------- */

struct sizer {
    const struct syms *syms;
    const int64_t *low, *high; /* by expression index, for symbols */
};

/* The most bytes a slot can take, rounded up to MEM_ALIGN, with guards around; PLAN_HEAP if that has no
 * bound. */
static size_t slot_bytes(const struct sizer *z, const struct slot *s)
{
    const struct type *t = &s->value->fact.type;
    size_t bytes = dtype_size(t->dtype);
    for (int k = 0; k < t->rank; k++) {
        int64_t low, high;
        if (!sym_bounds(z->syms, t->dims[k], z->low, z->high, &low, &high) ||
            !size_mul(bytes, high < 0 ? 0 : (size_t)high, &bytes))
            return PLAN_HEAP;
    }
    if (bytes > (size_t)1 << 46 || !size_align(bytes ? bytes : 1, MEM_ALIGN, &bytes))
        return PLAN_HEAP;
    return bytes + 2 * GUARD_BYTES;
}

static bool planned(const struct plan *plan, const struct slot *s)
{
    return s->place == PLACE_ARENA || (plan->state && s->present >= 0);
}

/* The step after which a planned slot's memory is free. */
static int death(const struct slot *s)
{
    return s->present >= 0 ? s->spent : s->last;
}

/* Offsets of one program, above `base`; the ends go back into base. */
static int place_program(struct plan *plan, const struct program *p, const struct sizer *z,
                         size_t base[2], struct budget *b, struct err *e)
{
    size_t *offsets = arena_array(&plan->memory, p->n_slots, sizeof(*offsets), e);
    size_t *bytes = mem_calloc(b, p->n_slots ? p->n_slots : 1, sizeof(*bytes), e);
    uint32_t *dying = mem_calloc(b, (size_t)p->n_slots + 1, sizeof(*dying), e), n_dying;
    uint32_t *first_dying = mem_calloc(b, (size_t)p->n_steps + 2, sizeof(*first_dying), e);
    struct space spaces[2] = {{.end = base[0], .budget = b}, {.end = base[1], .budget = b}};
    int rc = offsets && bytes && dying && first_dying ? 0 : ERR_MEMORY;
    plan->offsets[p->index] = offsets;
    if (rc < 0)
        goto out;
    /* Roots sorted by the step at which they die (counting sort). */
    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct slot *s = &p->slots[i];
        offsets[i] = PLAN_HEAP;
        if (planned(plan, s) && s->root == i && !s->late) {
            bytes[i] = slot_bytes(z, s);
            if (bytes[i] != PLAN_HEAP)
                first_dying[death(s) + 1]++;
        }
    }
    for (int i = 0; i <= p->n_steps; i++)
        first_dying[i + 1] += first_dying[i];
    n_dying = first_dying[p->n_steps + 1];
    for (uint32_t i = p->n_slots; i-- > 0;)
        if (bytes[i] && bytes[i] != PLAN_HEAP)
            dying[--first_dying[death(&p->slots[i]) + 1]] = i;
    uint32_t next = 0;
    for (int at = 0; at < p->n_steps && rc == 0; at++) {
        const struct step *s = &p->steps[at];
        for (int j = 0; j < s->node->n_out; j++) {
            uint32_t r = s->out[j];
            if (r == SLOT_NONE || p->slots[r].root != r || !bytes[r] || bytes[r] == PLAN_HEAP)
                continue;
            offsets[r] = space_take(&spaces[p->slots[r].device], bytes[r]) + GUARD_BYTES;
        }
        while (next < n_dying && death(&p->slots[dying[next]]) <= at && rc == 0) {
            uint32_t r = dying[next++];
            rc = space_give(&spaces[p->slots[r].device], offsets[r] - GUARD_BYTES, bytes[r], e);
        }
    }
    base[0] = spaces[0].end;
    base[1] = spaces[1].end;
out:
    mem_free(bytes);
    mem_free(dying);
    mem_free(first_dying);
    mem_free(spaces[0].holes);
    mem_free(spaces[1].holes);
    return rc;
}

struct plan *plan_new(const struct programs *programs, const struct syms *syms, const uint32_t *symbols,
                      uint32_t n_symbols, const struct range *ranges, bool state, struct budget *b,
                      struct err *e)
{
    struct plan *p = mem_calloc(b, 1, sizeof(*p), e);
    if (!p)
        return NULL;
    atomic_init(&p->refs, 1);
    arena_init(&p->memory, b);
    p->state = state;
    p->n_symbols = n_symbols;
    p->ranges = arena_array(&p->memory, n_symbols ? n_symbols : 1, sizeof(*p->ranges), e);
    p->offsets = arena_array(&p->memory, programs->n, sizeof(*p->offsets), e);
    int64_t *low = mem_calloc(b, 2 * (size_t)programs->n_exprs, sizeof(*low), e);
    int rc = p->ranges && p->offsets && low ? 0 : ERR_MEMORY;
    if (rc == 0) {
        int64_t *high = low + programs->n_exprs;
        for (uint32_t i = 0; i < programs->n_exprs; i++) {
            low[i] = INT64_MIN;
            high[i] = INT64_MAX;
        }
        for (uint32_t i = 0; i < n_symbols; i++) {
            p->ranges[i] = ranges[i];
            low[symbols[i]] = ranges[i].low;
            high[symbols[i]] = ranges[i].high;
        }
        struct sizer z = {syms, low, high};
        for (uint32_t i = 0; i < programs->n && rc == 0; i++)
            rc = place_program(p, programs->list[i], &z, p->arena_bytes, b, e);
    }
    mem_free(low);
    if (rc < 0) {
        plan_unref(p);
        return NULL;
    }
    return p;
}

bool plan_holds(const struct plan *p, const int64_t *values, bool state)
{
    if (p->state != state)
        return false;
    for (uint32_t i = 0; i < p->n_symbols; i++)
        if (values[i] < p->ranges[i].low || values[i] > p->ranges[i].high)
            return false;
    return true;
}

struct plan *plan_ref(struct plan *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void plan_unref(struct plan *p)
{
    if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) {
        arena_clear(&p->memory);
        mem_free(p);
    }
}
