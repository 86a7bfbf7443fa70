/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, LogSoftmax, Hardmax along an axis; below opset 13 over all dims from the axis on. */
#include <math.h>
#include <string.h>

#include "tests/op/op_test.h"

/* exp within 2 ulp of a difference that was rounded (the error counts up to |x| times), a sum and a
 * quotient; more where |x| or the row is large. */
#define TOL 24

static void softmax(struct op_run *r)
{
    const struct op_tensor *x = &r->in[0];
    struct op_tensor *y = op_out_like(r, 0, 0);
    bool old = r->row->opset && r->row->opset < 13;
    int axis = op_axis(op_int(r, "axis", old ? 1 : -1), x->rank);
    int64_t outer = op_product(x->dims, 0, axis), n = x->dims[axis];
    int64_t inner = old ? 1 : op_product(x->dims, axis + 1, x->rank);
    bool log_form = strcmp(r->row->name, "LogSoftmax") == 0;
    double *scale = log_form ? op_scale(y) : NULL;
    if (old)
        n = op_product(x->dims, axis, x->rank);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const double *from = x->v + o * n * inner + i;
            double *to = y->v + o * n * inner + i, most = -INFINITY, sum = 0;
            int64_t at = 0;
            for (int64_t k = 0; k < n; k++)
                if (from[k * inner] > most)
                    most = from[k * inner], at = k;
            for (int64_t k = 0; k < n; k++)
                sum += exp(from[k * inner] - most);
            for (int64_t k = 0; k < n; k++) {
                double d = from[k * inner] - most;
                to[k * inner] = log_form ? d - log(sum) : exp(d) / sum;
                if (scale) /* a difference of numbers of this size; a sum above 1 was rounded */
                    scale[o * n * inner + i + k * inner] = 1 + fabs(d) + fabs(log(sum));
                if (strcmp(r->row->name, "Hardmax") == 0)
                    to[k * inner] = k == at;
            }
        }
}

#define FLOATS .types = "f32 f64 f16 bf16"

static const struct op_case rows[] = {
    {.name = "Softmax", .in = "T[B,7]", FLOATS, .ref = softmax, .tol = TOL},
    {.name = "Softmax", .in = "T[B,5,33]:-9:9", FLOATS, .ref = softmax, .tol = TOL},
    {.name = "Softmax", .in = "T[B,5,6]:-30:30", .attrs = "axis=1", FLOATS, .ref = softmax,
     .tol = 64},
    {.name = "Softmax", .in = "f32[4,130]", .attrs = "axis=0", .ref = softmax, .tol = TOL},
    {.name = "Softmax", .in = "f32[B,64,1000]", .ref = softmax, .tol = 64},
    {.name = "Softmax", .in = "f32[B,1]", .ref = softmax, .tol = TOL},
    {.name = "Softmax", .in = "f32[2,3]=1e30,-1e30,0,-inf,2,3", .ref = softmax, .tol = TOL},
    {.name = "Softmax", .in = "f32[B,3,4,5]", .opset = 11, .attrs = "axis=1", .ref = softmax,
     .tol = TOL},
    {.name = "Softmax", .in = "f32[B,3,4]", .opset = 11, .ref = softmax, .tol = TOL},
    {.name = "LogSoftmax", .in = "T[B,7]", FLOATS, .ref = softmax, .tol = TOL},
    {.name = "LogSoftmax", .in = "T[B,19,6]:-20:20", .attrs = "axis=1", FLOATS, .ref = softmax,
     .tol = TOL},
    {.name = "LogSoftmax", .in = "f32[B,1000]", .ref = softmax, .tol = 64},
    {.name = "LogSoftmax", .in = "f32[B,3,4,5]", .opset = 11, .attrs = "axis=2", .ref = softmax,
     .tol = TOL},
    {.name = "Hardmax", .in = "T[B,7]", FLOATS, .ref = softmax},
    {.name = "Hardmax", .in = "f32[B,6,5]=1,2,2,0,3,3", .attrs = "axis=1", .ref = softmax},
    {.name = "Hardmax", .in = "f32[B,4,5]", .opset = 11, .ref = softmax},
};

OP_MAIN("op softmax", OP_TABLE(rows))
