/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/nbits.h"

#include <string.h>

enum { PANEL = NBITS_PANEL };

static size_t divide_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static size_t zero_bytes(const struct nbits *w)
{
    return w->zero == NBITS_ZERO_ONE     ? 0
           : w->zero == NBITS_ZERO_BYTES ? PANEL
                                         : PANEL * sizeof(float);
}

bool nbits_init(struct nbits *w, size_t k, size_t n, size_t block, unsigned bits,
                enum nbits_zero zero)
{
    size_t bytes, each = bits ? 32 / bits : 1;
    if ((bits != 2 && bits != 4 && bits != 8) || block == 0 || block % each != 0 ||
        k > SIZE_MAX / 64 || n > SIZE_MAX / 64)
        return false;
    if (block > k)
        block = divide_up(k > 0 ? k : 1, each) * each;
    *w = (struct nbits){.k = k, .n = n, .block = block, .bits = bits, .zero = zero,
                        .mid = (float)(1u << (bits - 1))};
    return !__builtin_mul_overflow(nbits_block_bytes(w), nbits_blocks(w), &bytes) &&
           !__builtin_mul_overflow(bytes, nbits_panels(w), &bytes) && bytes <= PTRDIFF_MAX;
}

size_t nbits_blocks(const struct nbits *w)
{
    return divide_up(w->k, w->block);
}

size_t nbits_panels(const struct nbits *w)
{
    return divide_up(w->n, PANEL);
}

size_t nbits_block_bytes(const struct nbits *w)
{
    return PANEL * sizeof(float) + zero_bytes(w) +
           w->block * w->bits / 32 * PANEL * sizeof(uint32_t);
}

size_t nbits_bytes(const struct nbits *w)
{
    return nbits_block_bytes(w) * nbits_blocks(w) * nbits_panels(w);
}

/* ---- packing --------------------------------------------------------------------------------- */

static char *block_at(const struct nbits *w, size_t panel, size_t block, void *data)
{
    return (char *)data + (panel * nbits_blocks(w) + block) * nbits_block_bytes(w);
}

void nbits_clear(const struct nbits *w, size_t panel, void *data)
{
    memset(block_at(w, panel, 0, data), 0, nbits_block_bytes(w) * nbits_blocks(w));
}

void nbits_put_codes(const struct nbits *w, size_t column, size_t block, size_t first,
                     const uint8_t *codes, size_t size, void *data)
{
    char *to = block_at(w, column / PANEL, block, data) + PANEL * sizeof(float) + zero_bytes(w) +
               (first / 4 * PANEL + column % PANEL) * sizeof(uint32_t);
    const size_t bytes = w->block * w->bits / 8, most = first < bytes ? bytes - first : 0;
    size = size < most ? size : most;
    for (size_t i = 0; i < size; i += 4, to += PANEL * sizeof(uint32_t)) {
        uint32_t word = 0;
        for (size_t b = 0; b < 4 && i + b < size; b++)
            word |= (uint32_t)codes[i + b] << 8 * b;
        memcpy(to, &word, sizeof word);
    }
}

void nbits_put_scale(const struct nbits *w, size_t column, size_t block, float scale, float zero,
                     void *data)
{
    char *to = block_at(w, column / PANEL, block, data);
    memcpy(to + column % PANEL * sizeof scale, &scale, sizeof scale);
    to += PANEL * sizeof scale;
    if (w->zero == NBITS_ZERO_BYTES)
        to[column % PANEL] = (char)(unsigned char)zero;
    else if (w->zero == NBITS_ZERO_FLOATS)
        memcpy(to + column % PANEL * sizeof zero, &zero, sizeof zero);
}

/* ---- plain C --------------------------------------------------------------------------------- */

/* The zero points of a block of a panel, and where its words start. */
static const char *zeros_load(const struct nbits *w, const char *block, float zero[PANEL])
{
    const char *from = block + PANEL * sizeof(float);
    for (unsigned j = 0; j < PANEL; j++)
        zero[j] = w->zero == NBITS_ZERO_BYTES ? (float)(unsigned char)from[j] : w->mid;
    if (w->zero == NBITS_ZERO_FLOATS)
        memcpy(zero, from, PANEL * sizeof *zero);
    return from + zero_bytes(w);
}

static void block_sum(const struct nbits *w, const float *a, size_t k, const char *words,
                      const float zero[PANEL], float sum[PANEL])
{
    const unsigned bits = w->bits, each = 32 / bits, mask = (1u << bits) - 1;
    for (size_t p = 0; p < k; p++) {
        uint32_t row[PANEL];
        memcpy(row, words + p / each * sizeof row, sizeof row);
        const unsigned shift = (unsigned)(p % each) * bits;
        for (unsigned j = 0; j < PANEL; j++) {
            const unsigned code = row[j] >> shift & mask;
            sum[j] += a[p] * ((w->codes ? w->codes[code] : (float)code) - zero[j]);
        }
    }
}

static void nbits_run(const struct nbits *w, const float *a, size_t a_row, size_t m, size_t from,
                      size_t to, float *c, size_t c_row)
{
    const size_t blocks = nbits_blocks(w), step = nbits_block_bytes(w);
    for (size_t panel = from; panel < to; panel++) {
        const size_t n = w->n - panel * PANEL < PANEL ? w->n - panel * PANEL : PANEL;
        for (size_t i = 0; i < m; i++) {
            const char *block = (const char *)w->data + panel * blocks * step;
            float total[PANEL] = {0};
            for (size_t b = 0; b < blocks; b++, block += step) {
                const size_t left = w->k - b * w->block;
                float scale[PANEL], zero[PANEL], sum[PANEL] = {0};
                const char *words = zeros_load(w, block, zero);
                memcpy(scale, block, sizeof scale);
                block_sum(w, a + i * a_row + b * w->block, left < w->block ? left : w->block, words,
                          zero, sum);
                for (unsigned j = 0; j < PANEL; j++)
                    total[j] += scale[j] * sum[j];
            }
            memcpy(c + i * c_row + (panel - from) * PANEL, total, n * sizeof *total);
        }
    }
}

static const struct nbits_kernel nbits_c = {.name = "c", .level = CPU_C, .fn = nbits_run};

const struct nbits_kernel *const nbits_kernels[] = {
    &nbits_c,
#if defined(__x86_64__)
    &nbits_avx2,
    &nbits_avx512,
#elif defined(__aarch64__)
    &nbits_neon,
#endif
};
const unsigned nbits_kernel_count = sizeof(nbits_kernels) / sizeof(*nbits_kernels);

const struct nbits_kernel *nbits_pick(void)
{
    unsigned i = nbits_kernel_count - 1;
    while (i > 0 && !cpu_has(nbits_kernels[i]->level))
        i--;
    return nbits_kernels[i];
}
