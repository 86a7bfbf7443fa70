/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a state's pair: room for them, moving them to more of it, in and out of flat memory. */
#include <string.h>

#include "runtime/state.h"

enum { ROOM_MIN = 16 };

void rows_shape(const struct rows *r, const struct pair *p, size_t *runs, size_t *row)
{
    *runs = 1;
    *row = dtype_size(p->dtype);
    for (int k = 0; k < p->rank; k++) {
        if (k < p->axis)
            *runs *= (size_t)r->dims[k];
        else if (k > p->axis)
            *row *= (size_t)r->dims[k];
    }
}

int rows_make(struct rows *r, const struct pair *p, const int64_t *dims, int64_t capacity,
              struct budget *b, struct err *e)
{
    int64_t room[TENSOR_RANK_MAX], count;
    size_t bytes;
    memcpy(room, dims, (size_t)p->rank * sizeof(*dims));
    room[p->axis] = capacity;
    if (!dims_count(room, p->rank, &count) || !size_mul((size_t)count, dtype_size(p->dtype), &bytes) ||
        bytes > SIZE_MAX / 4)
        return err_set(e, ERR_LIMIT, "state '%.100s' would have too many elements", p->past);
    struct buffer *made = buffer_new(b, bytes, e);
    if (!made)
        return e ? e->code : ERR_MEMORY;
    memcpy(r->dims, dims, (size_t)p->rank * sizeof(*dims));
    r->buffer = made;
    r->capacity = capacity;
    return 0;
}

static void copy_runs(char *to, size_t to_step, const char *from, size_t from_step, size_t runs, size_t bytes)
{
    for (size_t i = 0; bytes && i < runs; i++)
        memcpy(to + i * to_step, from + i * from_step, bytes);
}

size_t rows_export(const struct rows *r, const struct pair *p, void *flat)
{
    size_t runs, row, length = (size_t)r->dims[p->axis];
    rows_shape(r, p, &runs, &row);
    if (flat)
        copy_runs(flat, length * row, r->buffer->data, (size_t)r->capacity * row, runs, length * row);
    return runs * length * row;
}

size_t rows_import(struct rows *r, const struct pair *p, const void *flat)
{
    size_t runs, row, length = (size_t)r->dims[p->axis];
    rows_shape(r, p, &runs, &row);
    copy_runs(r->buffer->data, (size_t)r->capacity * row, flat, length * row, runs, length * row);
    return runs * length * row;
}

/* The same rows in another buffer. */
static int move(struct rows *r, const struct pair *p, int64_t capacity, struct budget *b, struct err *e)
{
    struct rows made = {0};
    size_t runs, row;
    int rc = rows_make(&made, p, r->dims, capacity, b, e);
    if (rc < 0)
        return rc;
    rows_shape(r, p, &runs, &row);
    copy_runs(made.buffer->data, (size_t)capacity * row, r->buffer->data, (size_t)r->capacity * row, runs,
              (size_t)r->dims[p->axis] * row);
    buffer_unref(r->buffer);
    r->buffer = made.buffer;
    r->capacity = capacity;
    return 0;
}

int rows_reserve(struct rows *r, const struct pair *p, int64_t length, struct budget *b, struct err *e)
{
    /* A fork that let go of the buffer has read it before: acquire. */
    bool shared = atomic_load_explicit(&r->buffer->refs, memory_order_acquire) != 1;
    struct err first = {0};
    if (!shared && length <= r->capacity)
        return 0;
    int64_t more = r->capacity < INT64_MAX / 2 ? 2 * r->capacity : length;
    more = more < ROOM_MIN ? ROOM_MIN : more;
    more = length <= r->capacity ? r->capacity : more < length ? length : more;
    int rc = move(r, p, more, b, &first);
    if (rc < 0 && more > length) /* to be short of memory is no reason to fail yet */
        rc = move(r, p, length, b, e);
    else if (rc < 0)
        err_set(e, (enum err_code)rc, "%s", first.msg);
    return rc;
}
