/* SPDX-License-Identifier: Apache-2.0 */
/* NonMaxSuppression: of each batch and class, boxes by falling score (equal ones by index), each
 * taken unless it overlaps a taken one too much.
 */
#include "ops/layout.h"

struct nms_attrs {
    int64_t center_point_box;
};

static int nms_infer(struct infer *c, struct err *e)
{
    const struct nms_attrs *a = c->attrs;
    static const uint32_t types[] = {DT(F32), DT(F32), DT(I64), DT(F32), DT(F32)};
    int64_t dims[2] = {infer_fresh(c), 3};
    for (int i = 0; i < c->n_in; i++) {
        int r = infer_has(c, i) ? infer_dtypes(c, i, types[i], e) : 0;
        if (r)
            return r;
        if (i < 2 && infer_rank(c, i) >= 0 && infer_rank(c, i) != 3)
            return err_set(e, ERR_MODEL, "input %d has rank %d, expected 3", i, infer_rank(c, i));
    }
    if (a->center_point_box != 0 && a->center_point_box != 1)
        return err_set(e, ERR_MODEL, "center_point_box is %lld", (long long)a->center_point_box);
    return infer_set(c, 0, DTYPE_I64, 2, dims, e);
}

struct box {
    float x0, y0, x1, y1, area;
};

/* Corners in order, from two opposite corners (y, x) or from centre (x, y) and size. */
static struct box read_box(const float *p, bool center)
{
    struct box b;
    if (center) {
        float w = p[2] / 2, h = p[3] / 2;
        b = (struct box){p[0] - w, p[1] - h, p[0] + w, p[1] + h, 0};
    } else {
        b.y0 = p[0] < p[2] ? p[0] : p[2];
        b.y1 = p[0] < p[2] ? p[2] : p[0];
        b.x0 = p[1] < p[3] ? p[1] : p[3];
        b.x1 = p[1] < p[3] ? p[3] : p[1];
    }
    b.area = (b.x1 - b.x0) * (b.y1 - b.y0);
    return b;
}

static bool overlaps(const struct box *a, const struct box *b, float limit)
{
    float x0 = a->x0 > b->x0 ? a->x0 : b->x0, x1 = a->x1 < b->x1 ? a->x1 : b->x1;
    float y0 = a->y0 > b->y0 ? a->y0 : b->y0, y1 = a->y1 < b->y1 ? a->y1 : b->y1;
    if (!(x1 > x0) || !(y1 > y0) || !(a->area > 0) || !(b->area > 0))
        return false;
    float common = (x1 - x0) * (y1 - y0);
    return common / (a->area + b->area - common) > limit;
}

struct scored {
    float score;
    int64_t index;
};

static bool before(const struct scored *a, const struct scored *b)
{
    return a->score != b->score ? a->score > b->score : a->index < b->index;
}

static void sink(struct scored *h, int64_t n, int64_t i, struct scored v)
{
    for (int64_t k; (k = 2 * i + 1) < n; i = k) {
        if (k + 1 < n && before(&h[k], &h[k + 1]))
            k++;
        if (!before(&v, &h[k]))
            break;
        h[i] = h[k];
    }
    h[i] = v;
}

static void sort_scores(struct scored *h, int64_t n)
{
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sink(h, n, i, h[i]);
    for (int64_t i = n - 1; i > 0; i--) {
        struct scored v = h[i];
        h[i] = h[0];
        sink(h, i, 0, v);
    }
}

struct nms {
    const float *boxes, *scores; /* of the batch, of the batch and class */
    int64_t count, max;
    float iou, score;
    bool has_score, center;
    struct scored *order; /* count places each */
    struct box *taken;
};

/* The taken boxes' indices, best first, in order[0..n) of the result. */
static int64_t select_boxes(struct nms *s)
{
    int64_t n = 0, taken = 0;
    for (int64_t i = 0; i < s->count; i++)
        if (!s->has_score || s->scores[i] > s->score)
            s->order[n++] = (struct scored){s->scores[i], i};
    sort_scores(s->order, n);
    for (int64_t i = 0; i < n && taken < s->max; i++) {
        struct box b = read_box(s->boxes + 4 * s->order[i].index, s->center);
        bool keep = true;
        for (int64_t k = 0; k < taken && keep; k++)
            keep = !overlaps(&b, &s->taken[k], s->iou);
        if (!keep)
            continue;
        s->taken[taken] = b;
        s->order[taken++] = s->order[i];
    }
    return taken;
}

struct list {
    int64_t *rows, count, capacity; /* of three */
};

static int append(struct call *c, struct list *l, int64_t batch, int64_t class, int64_t box,
                  struct err *e)
{
    if (l->count == l->capacity) {
        int64_t more = l->capacity ? 2 * l->capacity : 64;
        int64_t *rows = mem_realloc(c->budget, l->rows, (size_t)more * 3 * sizeof *rows, e);
        if (!rows)
            return e && e->code ? e->code : ERR_MEMORY;
        l->rows = rows;
        l->capacity = more;
    }
    int64_t *row = l->rows + 3 * l->count++;
    row[0] = batch;
    row[1] = class;
    row[2] = box;
    return 0;
}

static int all_classes(struct call *c, struct nms *s, struct list *l, struct err *e)
{
    const struct tensor *boxes = call_in(c, 0), *scores = call_in(c, 1);
    int64_t classes = scores->dims[1];
    for (int64_t k = 0; k < scores->dims[0] * classes; k++) {
        int r = call_poll(c, e);
        s->boxes = (const float *)boxes->data + k / classes * s->count * 4;
        s->scores = (const float *)scores->data + k * s->count;
        int64_t n = r ? 0 : select_boxes(s);
        for (int64_t i = 0; i < n && !r; i++)
            r = append(c, l, k / classes, k % classes, s->order[i].index, e);
        if (r)
            return r;
    }
    return 0;
}

static int scalar(const struct call *c, int i, const struct tensor **t, struct err *e)
{
    *t = call_in(c, i);
    if (*t && tensor_count(*t) != 1)
        return err_set(e, ERR_INPUT, "input %d has %lld elements, expected one", i,
                       (long long)tensor_count(*t));
    return 0;
}

static int nms_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct nms_attrs *a = c->attrs;
    const struct tensor *boxes = call_in(c, 0), *scores = call_in(c, 1), *max, *iou, *score;
    struct nms s = {.count = boxes->dims[1], .center = a->center_point_box != 0};
    struct list l = {0};
    int r = scalar(c, 2, &max, e);
    if (!r)
        r = scalar(c, 3, &iou, e);
    if (!r)
        r = scalar(c, 4, &score, e);
    if (!r && (boxes->dims[2] != 4 || boxes->dims[0] != scores->dims[0] ||
               boxes->dims[1] != scores->dims[2]))
        r = err_set(e, ERR_INPUT, "boxes [%lld,%lld,%lld] do not fit scores [%lld,%lld,%lld]",
                    (long long)boxes->dims[0], (long long)boxes->dims[1], (long long)boxes->dims[2],
                    (long long)scores->dims[0], (long long)scores->dims[1],
                    (long long)scores->dims[2]);
    if (r)
        return r;
    s.max = max ? *(const int64_t *)max->data : 0;
    s.iou = iou ? *(const float *)iou->data : 0;
    s.has_score = score != NULL;
    s.score = score ? *(const float *)score->data : 0;
    if (!(s.iou >= 0 && s.iou <= 1))
        return err_set(e, ERR_INPUT, "iou_threshold is %g, expected 0 to 1", (double)s.iou);
    s.order = mem_calloc(c->budget, (size_t)s.count, sizeof *s.order, e);
    s.taken = s.order ? mem_calloc(c->budget, (size_t)s.count, sizeof *s.taken, e) : NULL;
    r = !s.order || !s.taken ? (e && e->code ? e->code : ERR_MEMORY) : 0;
    if (!r && s.max > 0)
        r = all_classes(c, &s, &l, e);
    if (!r)
        r = call_output(c, 0, DTYPE_I64, 2, (const int64_t[]){l.count, 3}, e);
    if (!r && l.count && call_out(c, 0))
        memcpy(call_out(c, 0)->data, l.rows, (size_t)l.count * 3 * sizeof *l.rows);
    mem_free(l.rows);
    mem_free(s.taken);
    mem_free(s.order);
    return r;
}

static const struct attr nms_attr_rows[] = {
    {"center_point_box", ATTR_INT, offsetof(struct nms_attrs, center_point_box)},
    {NULL},
};

const struct op op_nonmaxsuppression = {
    .domain = "",
    .name = "NonMaxSuppression",
    .since = 10,
    .in_min = 2,
    .in_max = 5,
    .out_min = 1,
    .out_max = 1,
    .flags = OP_PURE | OP_DYNAMIC,
    .attrs = nms_attr_rows,
    .attrs_size = sizeof(struct nms_attrs),
    .infer = nms_infer,
    .run = nms_run,
};
