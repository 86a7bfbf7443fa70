/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "ops/contrib/activation.h"

#include "kernels/binary.h"

/* Names as ONNX's operators, with the defaults of their numbers. */
static const struct known {
    const char *name;
    enum unary_op op;
    float param[2];
} known[] = {
    {"Relu", UNARY_RELU, {0}},
    {"Tanh", UNARY_TANH, {0}},
    {"Sigmoid", UNARY_SIGMOID, {0}},
    {"LeakyRelu", UNARY_LEAKY_RELU, {0.01f}},
    {"Clip", UNARY_CLIP, {-3.402823466e+38f, 3.402823466e+38f}},
    {"HardSigmoid", UNARY_HARD_SIGMOID, {0.2f, 0.5f}},
    {"HardSwish", UNARY_HARD_SWISH, {0}},
    {"Elu", UNARY_ELU, {1}},
    {"Celu", UNARY_CELU, {1}},
    {"Selu", UNARY_SELU, {1.67326319217681884765625f, 1.05070102214813232421875f}},
    {"Softplus", UNARY_SOFTPLUS, {0}},
    {"Softsign", UNARY_SOFTSIGN, {0}},
    {"ThresholdedRelu", UNARY_THRESHOLDED_RELU, {1}},
    {"Mish", UNARY_MISH, {0}},
    {"Gelu", UNARY_GELU, {0}},
    {"FastGelu", UNARY_GELU_TANH, {0}},
    {"Silu", UNARY_SILU, {0}},
    {"QuickGelu", UNARY_SWISH, {1.702f}},
    {"Exp", UNARY_EXP, {0}},
    {"Erf", UNARY_ERF, {0}},
    {"Sqrt", UNARY_SQRT, {0}},
};

int activation_read(struct str name, const float *given, int64_t n, struct activation *out,
                    struct err *e)
{
    *out = (struct activation){.some = false};
    if (name.size == 0)
        return 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!text_is(name, known[i].name))
            continue;
        *out = (struct activation){true, known[i].op, {known[i].param[0], known[i].param[1]}};
        for (unsigned k = 0; k < unary_params(out->op) && (int64_t)k < n; k++)
            out->param[k] = isnan(given[k]) ? out->param[k] : given[k];
        return 0;
    }
    return err_set(e, ERR_MODEL, "activation '%.*s' is not known",
                   (int)(name.size < 32 ? name.size : 32), name.data);
}

void activation_f32(const struct activation *a, const float *x, const float *bias, float *y,
                    int64_t n)
{
    if (bias) {
        binary_f32_pick(BINARY_ADD)(x, bias, 0, y, (size_t)n);
        x = y;
    }
    if (a->some)
        unary_f32_pick(a->op)(x, y, (size_t)n, a->param);
    else if (x != y)
        memcpy(y, x, (size_t)n * sizeof *y);
}

void activation_f64(const struct activation *a, const double *x, const double *bias, double *y,
                    int64_t n)
{
    double param[2] = {a->param[0], a->param[1]};
    if (bias) {
        binary_f64_pick(BINARY_ADD)(x, bias, 0, y, (size_t)n);
        x = y;
    }
    if (a->some)
        unary_f64_pick(a->op)(x, y, (size_t)n, param);
    else if (x != y)
        memcpy(y, x, (size_t)n * sizeof *y);
}

/* ---- finishing an output --------------------------------------------------------------------- */

enum { FINISH_COST = 4 };

struct finish {
    struct call *call;
    const struct activation *activation;
    const struct tensor *z;
};

static int finish_tasks(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct finish *f = arg;
    struct tensor *y = call_out(f->call, 0);
    struct span s = span_out(f->call, begin, end, FINISH_COST);
    float v[CHUNK_ELEMS], w[CHUNK_ELEMS];
    for (int64_t i = s.first, n; i < s.last; i += n) {
        n = s.last - i < CHUNK_ELEMS ? s.last - i : CHUNK_ELEMS;
        void *at = tensor_at(y, i);
        const void *z = f->z ? tensor_at(f->z, i) : NULL;
        if (y->dtype == DTYPE_F32) {
            activation_f32(f->activation, at, z, at, n);
        } else if (y->dtype == DTYPE_F64) {
            activation_f64(f->activation, at, z, at, n);
        } else {
            elems_to_f32(y->dtype, y->data, i, n, v);
            if (z)
                elems_to_f32(y->dtype, f->z->data, i, n, w);
            activation_f32(f->activation, v, z ? w : NULL, v, n);
            elems_from_f32(y->dtype, y->data, i, n, v);
        }
    }
    return 0;
}

int activation_finish(struct call *c, const struct activation *a, const struct tensor *z,
                      struct err *e)
{
    struct finish f = {c, a, z};
    if ((!a->some && !z) || tensor_count(call_out(c, 0)) == 0)
        return 0;
    return call_tasks(c, span_tasks(c, FINISH_COST), finish_tasks, &f, e);
}
