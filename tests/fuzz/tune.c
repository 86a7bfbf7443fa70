/* SPDX-License-Identifier: Apache-2.0 */
/* The tuning cache's text, as it is and with the checksums of its lines made right: whatever it says, a
 * choice is one of the candidates, and all memory is given back. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "runtime/tune.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char machine[] = "t1\t0\tcpu\tc\t1/2/3\t1";
static const char *const names[] = {"auto", "half", "tall"};

static void look(const char *text, size_t size)
{
    static const int64_t dims[][TUNE_DIMS] = {
        {TUNE_ANY, TUNE_ANY}, {TUNE_ANY, 768}, {128, 768}, {1, TUNE_ANY}};
    struct tune_case cases[TUNE_CASES];
    struct budget b;
    budget_init(&b, 64u << 20, NULL);
    struct tune_cache *c = tune_cache_parse(text, size, machine, &b);
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        struct tune_ask a = {.op = "MatMul", .layout = "packed", .epilogue = "none", .dtype = DTYPE_F32,
                             .letters = "mn", .n_dims = 2, .n_names = 3, .names = names};
        memcpy(a.dims, dims[i], sizeof a.dims);
        int n = tune_cache_find(c, &a, cases, TUNE_CASES);
        if (n < 0 || n > TUNE_CASES)
            abort();
        for (int k = 0; k < n; k++)
            if (cases[k].choice < 0 || cases[k].choice >= a.n_names)
                abort();
    }
    tune_cache_free(c);
    if (b.used)
        abort();
}

/* Put the right checksum behind the last tab of each line that has room for it. */
static void mend(char *text, size_t size)
{
    for (char *s = text, *end; (end = memchr(s, '\n', size - (size_t)(s - text))); s = end + 1) {
        size_t n = (size_t)(end - s);
        char sum[16];
        if (n < 9 || end[-9] != '\t')
            continue;
        snprintf(sum, sizeof sum, "%08lx", crc32(crc32(0, NULL, 0), (const Bytef *)s, (uInt)(n - 9)));
        memcpy(end - 8, sum, 8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    look(text, size);
    mend(text, size);
    look(text, size);
    free(text);
    return 0;
}
