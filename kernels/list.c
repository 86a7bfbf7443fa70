/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/list.h"

#include "kernels/binary.h"
#include "kernels/cast.h"
#include "kernels/dwconv.h"
#include "kernels/gemm.h"
#include "kernels/nbits.h"
#include "kernels/norm.h"
#include "kernels/patch.h"
#include "kernels/pool.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"
#include "kernels/transpose.h"
#include "kernels/unary.h"

/* A family's table, by a function that reads one row of it. */
#define READ(word, row)                                                                               \
    static struct kernel_row word##_row(size_t i)                                                     \
    {                                                                                                 \
        return (struct kernel_row){#word, (row).name, (row).level};                                   \
    }
READ(gemm, gemm_f32_kernels[i])
READ(patch, patch_kernels[i])
READ(dwconv, dwconv_f32_kernels[i])
READ(unary, *unary_f32_kernels[i])
READ(binary, *binary_f32_kernels[i])
READ(softmax, *softmax_f32_kernels[i])
READ(nbits, *nbits_kernels[i])
READ(norm, *norm_f32_kernels[i])
READ(reduce, *reduce_f32_kernels[i])
READ(pool, *pool_f32_kernels[i])
READ(cast, *cast_kernels[i])
READ(transpose, *transpose_kernels[i])

static const struct {
    struct kernel_row (*read)(size_t i);
    const unsigned *count;
} families[] = {
    {gemm_row, &gemm_f32_kernel_count},       {patch_row, &patch_kernel_count},
    {dwconv_row, &dwconv_f32_kernel_count},   {unary_row, &unary_f32_kernel_count},
    {binary_row, &binary_f32_kernel_count},   {softmax_row, &softmax_f32_kernel_count},
    {norm_row, &norm_f32_kernel_count},       {reduce_row, &reduce_f32_kernel_count},
    {pool_row, &pool_f32_kernel_count},       {cast_row, &cast_kernel_count},
    {transpose_row, &transpose_kernel_count},   {nbits_row, &nbits_kernel_count},
};

bool kernel_row(size_t i, struct kernel_row *row)
{
    for (size_t f = 0; f < sizeof(families) / sizeof(*families); f++) {
        if (i < *families[f].count) {
            *row = families[f].read(i);
            return true;
        }
        i -= *families[f].count;
    }
    return false;
}
