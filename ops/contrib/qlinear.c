/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/contrib/qlinear.h"

static int check_one(struct infer *c, int i, const char *what, struct err *e)
{
    for (int k = 0; k < infer_rank(c, i); k++)
        if (sym_differ(c->syms, infer_dim(c, i, k), 1))
            return err_set(e, c->syms ? ERR_MODEL : ERR_INPUT, "%s is not one number", what);
    return 0;
}

int qlinear_infer(struct infer *c, int like, int scale, int zero, struct err *e)
{
    int r = infer_dtypes(c, like, DT_BYTES, e);
    if (r)
        return r;
    if (!infer_has(c, scale))
        return err_set(e, ERR_MODEL, "input %d, a scale, is missing", scale);
    if ((r = infer_dtypes(c, scale, DT(F32), e)) || (r = check_one(c, scale, "a scale", e)))
        return r;
    if (!infer_has(c, zero))
        return 0;
    if ((r = infer_same_dtype(c, like, zero, e)))
        return r;
    return check_one(c, zero, "a zero point", e);
}

int qlinear_read(const struct call *c, int like, int scale, int zero, struct qlinear *q,
                 struct err *e)
{
    const struct tensor *s = call_in(c, scale), *z = call_in(c, zero);
    if (tensor_count(s) != 1 || (z && tensor_count(z) != 1))
        return err_set(e, ERR_INPUT, "a scale or zero point is not one number");
    q->scale = *(const float *)s->data;
    q->is_signed = call_in(c, like)->dtype == DTYPE_I8;
    q->zero = z ? (float)qlinear_int(q, *(const uint8_t *)z->data) : 0;
    return 0;
}

struct infer qlinear_pick(const struct infer *c, const int *which, int n, const struct fact **in)
{
    struct infer one = *c;
    for (int i = 0; i < n; i++)
        in[i] = which[i] < c->n_in ? c->in[which[i]] : NULL;
    one.in = in;
    one.n_in = n;
    return one;
}

void qlinear_load(const struct qlinear *q, const uint8_t *bytes, int64_t n, float *out)
{
    const int8_t *s = (const int8_t *)bytes;
    if (q->is_signed)
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)s[i] - q->zero;
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)bytes[i] - q->zero;
}

void qlinear_table(const struct qlinear *x, const struct qlinear *y, uint8_t table[256])
{
    for (int i = 0; i < 256; i++)
        table[i] = qlinear_byte(y, qlinear_value(x, (uint8_t)i));
}
