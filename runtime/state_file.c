/* SPDX-License-Identifier: Apache-2.0 */
/* States as files. Numbers are little-endian, nothing is padded:
 *
 *     magic[8]  version u32  pairs u32
 *     of each pair:
 *         length of past's name u32  of present's u32  axis u32  dtype u32 (as in ONNX)  rank u32
 *         dims i64[rank]  names  payload's length u64  payload: the rows, row-major
 *
 * A file may come from anywhere: every length is held against what is left, every name and dim against
 * the model. */
#include <string.h>

#include "core/file.h"
#include "runtime/model.h"
#include "runtime/state.h"

enum { VERSION = 1, NAME_BYTES = 1024, HEAD_BYTES = 16, PAIR_BYTES = 20 };
static const char magic[8] = {'I', 'N', 'F', 'S', 'T', 'A', 'T', 'E'};

/* ---- writing ------------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *at++ = (uint8_t)(v >> 8 * i);
    return at;
}

static uint8_t *put_text(uint8_t *at, const char *s)
{
    size_t n = strlen(s);
    memcpy(at, s, n);
    return at + n;
}

static uint8_t *put_pair(uint8_t *at, const struct pair *p, const struct rows *r)
{
    at = put(at, strlen(p->past), 4);
    at = put(at, strlen(p->present), 4);
    at = put(at, (uint64_t)p->axis, 4);
    at = put(at, (uint64_t)p->dtype, 4);
    at = put(at, (uint64_t)p->rank, 4);
    for (int k = 0; k < p->rank; k++)
        at = put(at, (uint64_t)r->dims[k], 8);
    at = put_text(put_text(at, p->past), p->present);
    at = put(at, rows_export(r, p, NULL), 8);
    return at + rows_export(r, p, at);
}

int infer_state_save(const struct infer_state *s, const char *path, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    const struct pairs *all = s->pairs;
    size_t bytes = HEAD_BYTES;
    for (int i = 0; i < all->n; i++) {
        const struct pair *p = &all->list[i];
        size_t head = PAIR_BYTES + 8 * (size_t)p->rank + strlen(p->past) + strlen(p->present) + 8;
        if (!size_add(bytes, head + rows_export(&s->rows[i], p, NULL), &bytes))
            return err_set(e, ERR_LIMIT, "the state is too large for a file");
    }
    uint8_t *file = mem_alloc(all->budget, bytes, e), *at = file;
    if (!file)
        return e->code;
    memcpy(at, magic, sizeof(magic));
    at = put(put(at + sizeof(magic), VERSION, 4), (uint64_t)all->n, 4);
    for (int i = 0; i < all->n; i++)
        at = put_pair(at, &all->list[i], &s->rows[i]);
    int rc = file_write(path, file, bytes, e);
    mem_free(file);
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *at;
    size_t left;
};

static const uint8_t *take(struct reader *r, uint64_t n)
{
    const uint8_t *at = r->at;
    if (n > r->left)
        return NULL;
    r->at += n;
    r->left -= (size_t)n;
    return at;
}

static bool get(struct reader *r, int bytes, uint64_t *v)
{
    const uint8_t *at = take(r, (uint64_t)bytes);
    *v = 0;
    for (int i = 0; at && i < bytes; i++)
        *v |= (uint64_t)at[i] << 8 * i;
    return at != NULL;
}

static int torn(struct err *e)
{
    return err_set(e, ERR_INPUT, "not a whole state file: it ends too early");
}

/* What the file says of one pair. */
struct entry {
    char past[NAME_BYTES], present[NAME_BYTES];
    int axis, rank;
    uint64_t dtype, bytes;
    int64_t dims[TENSOR_RANK_MAX];
    const uint8_t *payload;
};

static int get_name(struct reader *r, uint64_t n, char *name, struct err *e)
{
    const uint8_t *at = n < NAME_BYTES ? take(r, n) : NULL;
    if (!at || memchr(at, 0, (size_t)n))
        return err_set(e, ERR_INPUT, "not a state file: a name is longer than the file or %d bytes",
                       NAME_BYTES - 1);
    memcpy(name, at, (size_t)n);
    name[n] = 0;
    return 0;
}

static int get_entry(struct reader *r, struct entry *to, struct err *e)
{
    uint64_t past, present, axis, rank, dim;
    if (!get(r, 4, &past) || !get(r, 4, &present) || !get(r, 4, &axis) || !get(r, 4, &to->dtype) ||
        !get(r, 4, &rank))
        return torn(e);
    if (rank > TENSOR_RANK_MAX || axis >= rank)
        return err_set(e, ERR_INPUT, "not a state file: axis %llu of rank %llu",
                       (unsigned long long)axis, (unsigned long long)rank);
    to->axis = (int)axis;
    to->rank = (int)rank;
    for (int k = 0; k < to->rank; k++) {
        if (!get(r, 8, &dim))
            return torn(e);
        to->dims[k] = (int64_t)dim;
    }
    int rc = get_name(r, past, to->past, e);
    if (rc == 0)
        rc = get_name(r, present, to->present, e);
    if (rc < 0)
        return rc;
    if (!get(r, 8, &to->bytes) || !(to->payload = take(r, to->bytes)))
        return torn(e);
    return 0;
}

/* The entry against the pair that the model has under these names. */
static int check_entry(const struct infer_model *m, const struct entry *from, const struct pair *p,
                       struct err *e)
{
    const struct type *t = &m->graph->inputs[p->in]->fact.type;
    char have[160];
    int64_t count;
    bool fits = from->dtype == (uint64_t)p->dtype && from->rank == p->rank;
    for (int k = 0; k < p->rank && fits; k++)
        fits = from->dims[k] >= 0 &&
               (k == p->axis || !sym_is_number(t->dims[k]) || t->dims[k] == from->dims[k]);
    if (!fits)
        return err_set(e, ERR_INPUT, "the state's '%.100s' is of type %d and dims %s, the model takes %s",
                       p->past, (int)from->dtype, dims_describe(from->dims, from->rank, have, sizeof(have)),
                       m->inputs[p->in].text);
    size_t bytes;
    if (!dims_count(from->dims, from->rank, &count) ||
        !size_mul((size_t)count, dtype_size(p->dtype), &bytes) || bytes != from->bytes)
        return err_set(e, ERR_INPUT, "not a state file: '%.100s' with dims %s has %llu bytes", p->past,
                       dims_describe(from->dims, from->rank, have, sizeof(have)),
                       (unsigned long long)from->bytes);
    return 0;
}

static int get_head(struct reader *r, const struct infer_model *m, int *n, struct err *e)
{
    uint64_t version, pairs;
    const uint8_t *at = take(r, sizeof(magic));
    if (!at || memcmp(at, magic, sizeof(magic)) != 0)
        return err_set(e, ERR_INPUT, "not a state file");
    if (!get(r, 4, &version) || !get(r, 4, &pairs))
        return torn(e);
    if (version != VERSION)
        return err_set(e, ERR_INPUT, "a state file of version %llu, this library reads version %d",
                       (unsigned long long)version, VERSION);
    if (pairs < 1 || pairs > (uint64_t)m->n_inputs)
        return err_set(e, ERR_INPUT, "the state has %llu pairs, the model %d inputs",
                       (unsigned long long)pairs, m->n_inputs);
    *n = (int)pairs;
    return 0;
}

static struct infer_state *parse(const struct infer_model *m, const struct file *f, struct entry *entries,
                                 struct infer_state_pair *pairs, int n, struct reader r, struct err *e)
{
    for (int i = 0; i < n; i++) {
        if (get_entry(&r, &entries[i], e) < 0)
            return NULL;
        pairs[i] = (struct infer_state_pair){entries[i].past, entries[i].present, entries[i].axis};
    }
    if (r.left) {
        err_set(e, ERR_INPUT, "not a state file: %zu bytes of %zu follow its end", r.left, f->size);
        return NULL;
    }
    struct infer_state *s = state_alloc(m, pairs, n, e);
    if (!s) {
        e->code = e->code == ERR_USAGE ? ERR_INPUT : e->code; /* the file's fault, not the caller's */
        return NULL;
    }
    int rc = 0;
    for (int i = 0; i < n && rc == 0; i++) {
        const struct pair *p = &s->pairs->list[i];
        rc = check_entry(m, &entries[i], p, e);
        if (rc == 0)
            rc = rows_make(&s->rows[i], p, entries[i].dims, entries[i].dims[p->axis], m->budget, e);
        if (rc == 0)
            rows_import(&s->rows[i], p, entries[i].payload);
    }
    if (rc == 0)
        return s;
    infer_state_free(s);
    return NULL;
}

struct infer_state *infer_state_load(struct infer_model *m, const char *path, struct infer_error *error)
{
    struct err local = {0}, *e = error ? to_err(error) : &local;
    /* Read, not mapped: a file that shrinks meanwhile must not fault. */
    struct file *f = file_open(m->budget, path, true, e);
    struct infer_state *s = NULL;
    struct infer_state_pair *pairs = NULL;
    struct entry *entries = NULL;
    int n = 0;
    if (!f)
        return NULL;
    struct reader r = {f->data, f->size};
    if (get_head(&r, m, &n, e) == 0) {
        pairs = mem_calloc(m->budget, (size_t)n, sizeof(*pairs), e);
        entries = mem_calloc(m->budget, (size_t)n, sizeof(*entries), e);
        if (pairs && entries)
            s = parse(m, f, entries, pairs, n, r, e);
    }
    if (!s)
        err_at(e, e->code, "%.200s", path);
    mem_free(pairs);
    mem_free(entries);
    file_unref(f);
    return s;
}
