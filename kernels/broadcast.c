/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/broadcast.h"

#include <string.h>

/* Runs shorter than this are expanded into blocks, which then stay in the first cache; longer ones
 * too where that takes no gathering. A periodic input is laid out once, long enough for a block at
 * any phase. */
enum { RUN_SHORT = 16, BLOCK = 256, PERIOD_MAX = 256, SIZE_ELEMENT_MAX = 16 };

/* Where an expanded block of an input comes from. */
enum source { SOURCE_DIRECT, SOURCE_PERIODIC, SOURCE_GATHER };

static bool shape_usable(const struct broadcast_shape *s)
{
    if (s->rank > BROADCAST_RANK || s->size < 1 || s->size > SIZE_ELEMENT_MAX)
        return false;
    for (unsigned d = 0; d < s->rank; d++)
        if (s->dims[d] < 0)
            return false;
    return true;
}

/* Elements; 0 if a dim is 0, whatever the others. */
static bool shape_count(const struct broadcast_shape *s, size_t *count)
{
    const size_t most = PTRDIFF_MAX / SIZE_ELEMENT_MAX;

    *count = 1;
    for (unsigned d = 0; d < s->rank; d++) {
        if (s->dims[d] == 0) {
            *count = 0;
            return true;
        }
    }
    for (unsigned d = 0; d < s->rank; d++) {
        if ((uint64_t)s->dims[d] > most / *count)
            return false;
        *count *= (size_t)s->dims[d];
    }
    return true;
}

/* An input's dim under the output's dim d; 1 where it has none. */
static int64_t dim_under(const struct broadcast_shape *in, const struct broadcast_shape *out,
                         unsigned d)
{
    const unsigned missing = out->rank - in->rank;
    return d < missing ? 1 : in->dims[d - missing];
}

/* Append a dim, outermost first, merged with the one before it where every input allows. */
static void append(struct broadcast *b, size_t dim, const size_t *stride)
{
    bool merge = b->rank > 0;

    for (unsigned i = 0; i < b->inputs && merge; i++)
        merge = b->stride[i][b->rank - 1] == stride[i] * dim;
    if (!merge) {
        b->rank++;
        b->dims[b->rank - 1] = 1;
    }
    b->dims[b->rank - 1] *= dim;
    for (unsigned i = 0; i < b->inputs; i++)
        b->stride[i][b->rank - 1] = stride[i];
}

/* How input i repeats: from the innermost dim outwards it is contiguous for *period elements; if
 * it is broadcast in all dims further out it is periodic. */
static enum source source_of(const struct broadcast *b, unsigned i, size_t *period)
{
    unsigned d = b->rank;

    *period = 1;
    while (d > 0 && b->stride[i][d - 1] == *period)
        *period *= b->dims[--d];
    if (d == 0)
        return SOURCE_DIRECT;
    while (d > 0 && b->stride[i][d - 1] == 0)
        d--;
    return d == 0 && *period <= PERIOD_MAX ? SOURCE_PERIODIC : SOURCE_GATHER;
}

static bool worth_expanding(const struct broadcast *b)
{
    const size_t inner = b->dims[b->rank - 1];
    bool gathers = false;
    size_t period;

    for (unsigned i = 0; i < b->inputs; i++)
        gathers = gathers || source_of(b, i, &period) == SOURCE_GATHER;
    return b->rank > 1 && (inner < RUN_SHORT || (inner < BLOCK && !gathers));
}

bool broadcast_init(struct broadcast *b, const struct broadcast_shape *out, unsigned inputs,
                    const struct broadcast_shape *in)
{
    size_t left[BROADCAST_INPUTS];    /* elements of an input in the dims not yet seen */

    memset(b, 0, sizeof(*b));
    if (inputs < 1 || inputs > BROADCAST_INPUTS || !shape_usable(out) ||
        !shape_count(out, &b->count))
        return false;
    b->inputs = inputs;
    b->out_size = out->size;
    for (unsigned i = 0; i < inputs; i++) {
        if (!shape_usable(&in[i]) || in[i].rank > out->rank || !shape_count(&in[i], &left[i]))
            return false;
        for (unsigned d = 0; d < out->rank; d++) {
            const int64_t dim = dim_under(&in[i], out, d);
            if (dim != 1 && dim != out->dims[d])
                return false;
        }
        b->in_size[i] = in[i].size;
    }
    if (b->count == 0)
        return true;
    for (unsigned d = 0; d < out->rank; d++) {
        size_t stride[BROADCAST_INPUTS] = {0};
        if (out->dims[d] == 1)
            continue;
        for (unsigned i = 0; i < inputs; i++) {
            const size_t dim = (size_t)dim_under(&in[i], out, d);
            left[i] /= dim;
            stride[i] = dim == 1 ? 0 : left[i];
        }
        append(b, (size_t)out->dims[d], stride);
    }
    if (b->rank == 0) {
        b->rank = 1;
        b->dims[0] = 1;
    }
    b->expand = worth_expanding(b);
    return true;
}

/* A place in the output: its coordinates, and each input's element there. */
struct place {
    size_t at[BROADCAST_RANK], offset[BROADCAST_INPUTS];
};

static void place_set(const struct broadcast *b, struct place *p, size_t index)
{
    memset(p, 0, sizeof(*p));
    for (unsigned d = b->rank; d-- > 0;) {
        p->at[d] = index % b->dims[d];
        index /= b->dims[d];
        for (unsigned i = 0; i < b->inputs; i++)
            p->offset[i] += p->at[d] * b->stride[i][d];
    }
}

/* Forward by n in dim d, which stays within it; the dims further in are at 0. */
static void place_step(const struct broadcast *b, struct place *p, unsigned d, size_t n)
{
    p->at[d] += n;
    for (unsigned i = 0; i < b->inputs; i++)
        p->offset[i] += n * b->stride[i][d];
    while (p->at[d] == b->dims[d] && d > 0) {
        for (unsigned i = 0; i < b->inputs; i++)
            p->offset[i] += b->stride[i][d - 1] - b->dims[d] * b->stride[i][d];
        p->at[d--] = 0;
        p->at[d]++;
    }
}

/* `rows` times n elements, or n times one element, `stride` bytes apart in `from`. A constant size
 * makes each memcpy() one move. */
static inline __attribute__((always_inline)) void
rows_put_sized(unsigned char *to, const unsigned char *from, size_t size, size_t step, size_t n,
               size_t rows, size_t stride)
{
    for (; rows > 0; rows--, from += stride, to += n * size)
        for (size_t i = 0; i < n; i++)
            memcpy(to + i * size, from + i * step, size);
}

static void rows_put(unsigned char *to, const unsigned char *from, size_t size, bool repeat,
                     size_t n, size_t rows, size_t stride)
{
    const size_t step = repeat ? 0 : size;

    if (size == 4)
        rows_put_sized(to, from, 4, step, n, rows, stride);
    else if (size == 8)
        rows_put_sized(to, from, 8, step, n, rows, stride);
    else if (size == 2)
        rows_put_sized(to, from, 2, step, n, rows, stride);
    else if (size == 1)
        rows_put_sized(to, from, 1, step, n, rows, stride);
    else
        rows_put_sized(to, from, size, step, n, rows, stride);
}

/* Input i's elements under the output's [begin, begin + n): whole rows of the innermost dim
 * together, what begins or ends within a row alone. The output has two dims or more. */
static void gather(const struct broadcast *b, unsigned i, const unsigned char *in, size_t begin,
                   size_t n, unsigned char *to)
{
    const unsigned last = b->rank - 1;
    const size_t inner = b->dims[last], size = b->in_size[i],
                 stride = b->stride[i][last - 1] * size;
    const bool repeat = b->stride[i][last] == 0;
    struct place p;

    place_set(b, &p, begin);
    while (n > 0) {
        const unsigned char *from = in + p.offset[i] * size;
        size_t done;
        if (p.at[last] == 0 && n >= inner) {
            size_t rows = b->dims[last - 1] - p.at[last - 1];
            if (rows > n / inner)
                rows = n / inner;
            rows_put(to, from, size, repeat, inner, rows, stride);
            place_step(b, &p, last - 1, rows);
            done = rows * inner;
        } else {
            done = inner - p.at[last] < n ? inner - p.at[last] : n;
            rows_put(to, from, size, repeat, done, 1, 0);
            place_step(b, &p, last, done);
        }
        to += done * size;
        n -= done;
    }
}

static void run_expanded(const struct broadcast *b, const void *const *in, unsigned char *out,
                         size_t begin, size_t end, broadcast_fn *fn, void *arg)
{
    _Alignas(64) unsigned char block[BROADCAST_INPUTS][(BLOCK + PERIOD_MAX) * SIZE_ELEMENT_MAX];
    enum source source[BROADCAST_INPUTS];
    size_t period[BROADCAST_INPUTS];

    for (unsigned i = 0; i < b->inputs; i++) {
        source[i] = source_of(b, i, &period[i]);
        if (source[i] == SOURCE_PERIODIC) {
            const size_t most = end - begin < BLOCK ? end - begin : BLOCK;
            for (size_t k = 0; k < most + period[i]; k += period[i]) {
                const size_t rest = most + period[i] - k;
                memcpy(block[i] + k * b->in_size[i], in[i],
                       (rest < period[i] ? rest : period[i]) * b->in_size[i]);
            }
        }
    }
    for (size_t n; begin < end; begin += n) {
        const void *from[BROADCAST_INPUTS];
        n = end - begin < BLOCK ? end - begin : BLOCK;
        for (unsigned i = 0; i < b->inputs; i++) {
            const size_t size = b->in_size[i];
            if (source[i] == SOURCE_GATHER)
                gather(b, i, in[i], begin, n, block[i]);
            from[i] = source[i] == SOURCE_DIRECT ? (const unsigned char *)in[i] + begin * size
                      : source[i] == SOURCE_PERIODIC ? block[i] + begin % period[i] * size
                                                     : block[i];
        }
        fn(arg, from, 0, out + begin * b->out_size, n);
    }
}

void broadcast_run(const struct broadcast *b, const void *const *in, void *out, size_t begin,
                   size_t end, broadcast_fn *fn, void *arg)
{
    struct place p;
    unsigned scalar = 0;

    if (begin >= end)
        return;
    if (b->expand) {
        run_expanded(b, in, out, begin, end, fn, arg);
        return;
    }
    const unsigned last = b->rank - 1;
    for (unsigned i = 0; i < b->inputs; i++)
        scalar |= (unsigned)(b->stride[i][last] == 0) << i;
    place_set(b, &p, begin);
    while (begin < end) {
        const void *from[BROADCAST_INPUTS];
        size_t n = b->dims[last] - p.at[last];
        if (n > end - begin)
            n = end - begin;
        for (unsigned i = 0; i < b->inputs; i++)
            from[i] = (const unsigned char *)in[i] + p.offset[i] * b->in_size[i];
        fn(arg, from, scalar, (unsigned char *)out + begin * b->out_size, n);
        begin += n;
        place_step(b, &p, last, n);
    }
}
