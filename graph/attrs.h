/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that passes read: the structures behind node->attrs of the operators they know.
 *
 * An operator of this page uses exactly its structure here (as op->attrs_size and in its attribute
 * table), so that passes and the operator agree on it; any other operator keeps its own structure
 * in its file. Fields are named as in ONNX. They hold the newest version's meaning after `fix`;
 * lists that are absent have a NULL v, optional integers are ATTR_ABSENT. What a newer version
 * made an input (axes, pads, ratio, ...) is an input here. Data only; the lists lie in the model's
 * arena.
 */
#pragma once

#include "graph/op.h"

/* ---- dims and layout ---- */

struct attrs_transpose {
    struct ints perm; /* absent: reversed */
};
struct attrs_reshape {
    int64_t allowzero;
};
struct attrs_flatten {
    int64_t axis;
};
struct attrs_concat {
    int64_t axis;
};
struct attrs_split {
    int64_t axis;        /* 0 */
    int64_t num_outputs; /* ATTR_ABSENT; the lengths are input 1 */
};
struct attrs_gather { /* Gather and GatherElements */
    int64_t axis;
};
struct attrs_pad {
    struct str mode; /* "constant" */
};
struct attrs_shape {
    int64_t start, end; /* 0, ATTR_ABSENT */
};
struct attrs_depth_to_space { /* and SpaceToDepth */
    int64_t blocksize;
    struct str mode; /* "DCR" */
};

/* ---- types ---- */

struct attrs_cast {
    int64_t to;            /* an enum dtype */
    int64_t saturate;      /* 1 */
    struct str round_mode; /* "up" */
};
struct attrs_cast_like {
    int64_t saturate;
    struct str round_mode;
};
struct attrs_quantize { /* QuantizeLinear and DequantizeLinear */
    int64_t axis;       /* 1 */
    int64_t block_size; /* 0 */
    int64_t saturate;   /* 1 */
    int64_t output_dtype, precision; /* an enum dtype or 0 */
};

/* ---- convolution, pooling ---- */

struct attrs_conv { /* Conv, ConvInteger, QLinearConv */
    struct str auto_pad; /* "NOTSET" */
    struct ints kernel_shape, strides, pads, dilations;
    int64_t group; /* 1 */
};
struct attrs_conv_transpose {
    struct str auto_pad;
    struct ints kernel_shape, strides, pads, dilations;
    int64_t group;
    struct ints output_padding, output_shape;
};
struct attrs_pool { /* MaxPool, AveragePool, LpPool */
    struct str auto_pad;
    struct ints kernel_shape, strides, pads, dilations;
    int64_t ceil_mode;
    int64_t count_include_pad; /* AveragePool */
    int64_t storage_order;     /* MaxPool */
    int64_t p;                 /* LpPool: 2 */
};

/* ---- normalisation ---- */

struct attrs_batchnorm {
    float epsilon, momentum; /* 1e-5, 0.9 */
    int64_t training_mode;   /* 0 */
    int64_t spatial;         /* versions below 9 only: 1 */
};
struct attrs_layernorm { /* LayerNormalization, RMSNormalization */
    int64_t axis;        /* -1 */
    float epsilon;       /* 1e-5 */
    int64_t stash_type;  /* 1 */
};
struct attrs_groupnorm {
    float epsilon;
    int64_t num_groups;
    int64_t stash_type;
};
struct attrs_instancenorm {
    float epsilon;
};

/* ---- products, reductions ---- */

struct attrs_gemm {
    float alpha, beta; /* 1 */
    int64_t transA, transB;
};
struct attrs_reduce { /* every ReduceX; the axes are input 1 */
    int64_t keepdims; /* 1 */
    int64_t noop_with_empty_axes;
};
struct attrs_arg { /* ArgMax, ArgMin */
    int64_t axis, keepdims, select_last_index;
};

/* ---- activations ---- */

struct attrs_softmax { /* Softmax, LogSoftmax, Hardmax; below opset 13 dims from axis on are one */
    int64_t axis;      /* -1; 1 below opset 13 */
};
struct attrs_alpha { /* LeakyRelu, Elu, Celu, ThresholdedRelu, Swish */
    float alpha;
};
struct attrs_alpha_beta { /* HardSigmoid */
    float alpha, beta;
};
struct attrs_alpha_gamma { /* Selu */
    float alpha, gamma;
};
struct attrs_gelu {
    struct str approximate; /* "none" or "tanh" */
};

/* ---- others ---- */

struct attrs_dropout { /* ratio and training_mode are inputs 1 and 2 */
    int64_t seed;      /* ATTR_ABSENT */
    int64_t is_test;   /* versions below 7 only: 0, and the node trains unless it is 1 */
};
struct attrs_attention {
    int64_t is_causal, q_num_heads, kv_num_heads; /* ATTR_ABSENT where left out */
    int64_t qk_matmul_output_mode, softmax_precision;
    float scale; /* 0 where left out: 1 / sqrt(head size) */
    float softcap;
    int64_t left_window_size, right_window_size; /* -1 */
};
struct attrs_rotary {
    int64_t interleaved, num_heads, rotary_embedding_dim;
};
