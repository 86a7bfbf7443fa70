/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operators, made of ops.def, and looking one up. */
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "graph/op.h"
#include "ops/append.h"
#include "ops/copy.h"

#define OP(row) extern const struct op row;
#include "ops/ops.def"
#undef OP

static const struct op *const rows[] = {
#define OP(row) &row,
#include "ops/ops.def"
#undef OP
    &op_append,
    &op_copy_to_device,
    &op_copy_to_host,
};

enum { ROWS = sizeof rows / sizeof *rows, SLOTS = 1024 };
_Static_assert(ROWS < SLOTS / 2, "the hash table of operators is too small");

/* FNV-1a over the domain, a zero byte and the name. */
static uint32_t hash(const char *domain, const char *name)
{
    uint32_t h = 2166136261u;
    for (const char *p = domain; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    h *= 16777619u;
    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char)*p) * 16777619u;
    return h ^ h >> 15;
}

/* Open addressing; an entry is a row's number plus one. Built at the first look-up. */
static uint16_t slots[SLOTS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void build(void)
{
    for (size_t i = 0; i < ROWS; i++) {
        uint32_t h = hash(rows[i]->domain, rows[i]->name) % SLOTS;
        while (slots[h])
            h = (h + 1) % SLOTS;
        slots[h] = (uint16_t)(i + 1);
    }
}

const struct op *op_find(const char *domain, const char *name, int opset, int *newer)
{
    pthread_once(&once, build);
    if (newer)
        *newer = 0;
    if (strcmp(domain, "ai.onnx") == 0)
        domain = "";
    for (uint32_t h = hash(domain, name) % SLOTS; slots[h]; h = (h + 1) % SLOTS) {
        const struct op *op = rows[slots[h] - 1];
        if (strcmp(op->name, name) != 0 || strcmp(op->domain, domain) != 0)
            continue;
        if (opset >= op->since && (op->until == 0 || opset <= op->until)) {
            if (newer)
                *newer = 0;
            return op;
        }
        if (newer && (*newer == 0 || op->since < *newer))
            *newer = op->since;
    }
    return NULL;
}

const struct op *op_row(size_t i)
{
    return i < ROWS ? rows[i] : NULL;
}
