/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/wire.h"

#include <string.h>

enum { WIRETYPE_VARINT, WIRETYPE_64, WIRETYPE_BYTES, WIRETYPE_GROUP, WIRETYPE_END, WIRETYPE_32 };

enum kind {
    DROP,   /* not of onnx.proto */
    INT,    /* a varint, or packed ones */
    F32,    /* four bytes, or packed ones */
    BYTES,
    STRING, /* bytes without NUL: unpacked, they end at the first one */
    MSG,
    RAW,    /* a payload, given once */
    INTS,   /* a payload of varints */
    F32S,   /* of floats */
    F64S,   /* of doubles */
};

struct field {
    unsigned char kind, child;
};

#define SUB(word) {MSG, WIRE_##word}

/* The fields that are kept, by message and number. */
static const struct field fields[WIRE_COUNT][32] = {
    [WIRE_MODEL] = {[1] = {INT},
                    [2] = {STRING},
                    [3] = {STRING},
                    [4] = {STRING},
                    [5] = {INT},
                    [6] = {BYTES},
                    [7] = SUB(GRAPH),
                    [8] = SUB(OPSET),
                    [14] = SUB(ENTRY),
                    [25] = SUB(FUNCTION)},
    [WIRE_OPSET] = {[1] = {STRING}, [2] = {INT}},
    [WIRE_ENTRY] = {[1] = {STRING}, [2] = {STRING}},
    [WIRE_GRAPH] = {[1] = SUB(NODE),
                    [2] = {STRING},
                    [5] = SUB(TENSOR),
                    [10] = {BYTES},
                    [11] = SUB(INFO),
                    [12] = SUB(INFO),
                    [13] = SUB(INFO),
                    [14] = SUB(ANNOTATION),
                    [15] = SUB(SPARSE),
                    [16] = SUB(ENTRY)},
    [WIRE_NODE] = {[1] = {STRING},
                   [2] = {STRING},
                   [3] = {STRING},
                   [4] = {STRING},
                   [5] = SUB(ATTR),
                   [6] = {BYTES},
                   [7] = {STRING},
                   [8] = {STRING},
                   [9] = SUB(ENTRY)},
    [WIRE_ATTR] = {[1] = {STRING},
                   [2] = {F32},
                   [3] = {INT},
                   [4] = {BYTES},
                   [5] = SUB(TENSOR),
                   [6] = SUB(GRAPH),
                   [7] = {F32},
                   [8] = {INT},
                   [9] = {BYTES},
                   [10] = SUB(TENSOR),
                   [11] = SUB(GRAPH),
                   [13] = {BYTES},
                   [14] = SUB(TYPE),
                   [15] = SUB(TYPE),
                   [20] = {INT},
                   [21] = {STRING},
                   [22] = SUB(SPARSE),
                   [23] = SUB(SPARSE)},
    [WIRE_TENSOR] =
        {[1] = {INT},
         [2] = {INT},
         [3] = SUB(SEGMENT),
         [4] = {F32S},
         [5] = {INTS},
         [6] = {BYTES},
         [7] = {INTS},
         [8] = {STRING},
         [9] = {RAW},
         [10] = {F64S},
         [11] = {INTS},
         [12] = {BYTES},
         [13] = SUB(ENTRY),
         [14] = {INT},
         [16] = SUB(ENTRY)},
    [WIRE_SEGMENT] = {[1] = {INT}, [2] = {INT}},
    [WIRE_SPARSE] = {[1] = SUB(TENSOR), [2] = SUB(TENSOR), [3] = {INT}},
    [WIRE_ANNOTATION] = {[1] = {STRING}, [2] = SUB(ENTRY)},
    [WIRE_INFO] = {[1] = {STRING}, [2] = SUB(TYPE), [3] = {BYTES}, [4] = SUB(ENTRY)},
    [WIRE_SHAPE] = {[1] = SUB(DIM)},
    [WIRE_DIM] = {[1] = {INT}, [2] = {STRING}, [3] = {STRING}},
    [WIRE_TYPE] = {[1] = SUB(TYPE_TENSOR),
                   [4] = SUB(TYPE_ELEM),
                   [5] = SUB(TYPE_MAP),
                   [6] = {STRING},
                   [7] = SUB(TYPE_OPAQUE),
                   [8] = SUB(TYPE_TENSOR),
                   [9] = SUB(TYPE_ELEM)},
    [WIRE_TYPE_TENSOR] = {[1] = {INT}, [2] = SUB(SHAPE)},
    [WIRE_TYPE_ELEM] = {[1] = SUB(TYPE)},
    [WIRE_TYPE_MAP] = {[1] = {INT}, [2] = SUB(TYPE)},
    [WIRE_TYPE_OPAQUE] = {[1] = {STRING}, [2] = {STRING}},
    [WIRE_FUNCTION] = {[1] = {STRING},
                       [4] = {STRING},
                       [5] = {STRING},
                       [6] = {STRING},
                       [7] = SUB(NODE),
                       [8] = {BYTES},
                       [9] = SUB(OPSET),
                       [10] = {STRING},
                       [11] = SUB(ATTR),
                       [12] = SUB(INFO),
                       [13] = {STRING},
                       [14] = SUB(ENTRY)},
    [WIRE_SEQUENCE] = {[1] = {STRING},
                       [2] = {INT},
                       [3] = SUB(TENSOR),
                       [4] = SUB(SPARSE),
                       [5] = SUB(SEQUENCE),
                       [6] = SUB(MAP),
                       [7] = SUB(OPTIONAL)},
    [WIRE_MAP] = {[1] = {STRING}, [2] = {INT}, [3] = {INT}, [4] = {BYTES}, [5] = SUB(SEQUENCE)},
    [WIRE_OPTIONAL] = {[1] = {STRING},
                       [2] = {INT},
                       [3] = SUB(TENSOR),
                       [4] = SUB(SPARSE),
                       [5] = SUB(SEQUENCE),
                       [6] = SUB(MAP),
                       [7] = SUB(OPTIONAL)},
};

/* Beyond this a reduced message is not a model any more. */
#define REDUCED_MAX ((size_t)1 << 30)

struct pass {
    struct wire *w;
    struct budget *budget;
    const uint8_t *data;
    size_t capacity;
    int depth, graphs;
};

struct item {
    size_t begin, body, end; /* of the field, of its contents */
    unsigned number, type;
};

static int reserve(struct pass *p, size_t more, struct err *e)
{
    size_t need;
    if (!size_add(p->w->size, more, &need) || need > REDUCED_MAX)
        return err_set(e, ERR_LIMIT, "a model with more than %zu bytes beside its tensors",
                       REDUCED_MAX);
    if (need <= p->capacity)
        return 0;
    size_t capacity = p->capacity ? p->capacity : 4096;
    while (capacity < need)
        capacity *= 2;
    uint8_t *data = mem_realloc(p->budget, p->w->data, capacity, e);
    if (!data)
        return ERR_MEMORY;
    p->w->data = data;
    p->capacity = capacity;
    return 0;
}

static int put(struct pass *p, size_t from, size_t to, struct err *e)
{
    int rc = reserve(p, to - from, e);
    if (rc)
        return rc;
    memcpy(p->w->data + p->w->size, p->data + from, to - from);
    p->w->size += to - from;
    return 0;
}

/* A varint in a fixed number of bytes, so that it can be written before its value is known. */
static void pad_varint(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++, v >>= 7)
        out[i] = (uint8_t)(v | 128);
    out[4] = (uint8_t)v;
}

static int bad(const struct pass *p, size_t at, const char *what, struct err *e)
{
    return err_set(e, ERR_MODEL, "not a valid ONNX file: %s at byte %zu", what, at);
}

/* Read the field at *at of a message that ends at `end`. */
static int next(const struct pass *p, size_t *at, size_t end, struct item *f, struct err *e)
{
    uint64_t tag, length = 0;
    f->begin = *at;
    if (!wire_varint(p->data, end, at, &tag) || tag > UINT32_MAX)
        return bad(p, f->begin, "a bad field tag", e);
    f->number = (unsigned)(tag >> 3);
    f->type = tag & 7;
    if (!f->number)
        return bad(p, f->begin, "field number 0", e);
    f->body = *at;
    switch (f->type) {
    case WIRETYPE_VARINT:
        if (!wire_varint(p->data, end, at, &length))
            return bad(p, f->body, "a bad varint", e);
        f->end = *at;
        return 0;
    case WIRETYPE_BYTES:
        if (!wire_varint(p->data, end, at, &length))
            return bad(p, f->body, "a bad length", e);
        f->body = *at;
        break;
    case WIRETYPE_64:
        length = 8;
        break;
    case WIRETYPE_32:
        length = 4;
        break;
    default:
        return bad(p, f->begin, f->type <= WIRETYPE_END ? "a group" : "a bad wire type", e);
    }
    if (length > end - f->body)
        return bad(p, f->body, "a length beyond the end", e);
    f->end = *at = f->body + (size_t)length;
    return 0;
}

/* A payload stays where it is: its number stands in its place. */
static int lift(struct pass *p, const struct item *f, struct err *e)
{
    struct wire *w = p->w;
    void *list = w->payloads;
    int rc = mem_grow(p->budget, &list, w->n_payloads, &w->cap_payloads, sizeof *w->payloads, e);
    if (rc)
        return rc;
    w->payloads = list;
    if (w->n_payloads == UINT32_MAX)
        return err_set(e, ERR_LIMIT, "too many tensors");
    rc = reserve(p, 8, e);
    if (rc)
        return rc;
    uint32_t tag = WIRE_PAYLOAD_FIELD << 3 | WIRETYPE_VARINT;
    uint8_t *out = w->data + w->size;
    for (; tag > 127; tag >>= 7)
        *out++ = (uint8_t)(tag | 128);
    *out++ = (uint8_t)tag;
    pad_varint(out, (uint32_t)w->n_payloads);
    w->size = (size_t)(out + 5 - w->data);
    w->payloads[w->n_payloads++] =
        (struct wire_payload){f->body, f->end - f->body, (int)f->number};
    return 0;
}

static bool type_fits(enum kind kind, unsigned type)
{
    switch (kind) {
    case INT:
    case INTS:
        return type == WIRETYPE_VARINT || type == WIRETYPE_BYTES;
    case F32:
    case F32S:
        return type == WIRETYPE_32 || type == WIRETYPE_BYTES;
    case F64S:
        return type == WIRETYPE_64 || type == WIRETYPE_BYTES;
    default:
        return type == WIRETYPE_BYTES;
    }
}

static int message(struct pass *p, enum wire_msg msg, size_t at, size_t end, struct err *e);

static int submessage(struct pass *p, enum wire_msg msg, const struct item *f, struct err *e)
{
    bool graph = msg == WIRE_GRAPH;
    if (p->depth >= WIRE_DEPTH_MAX || (graph && p->graphs >= WIRE_GRAPH_DEPTH_MAX))
        return bad(p, f->begin, "messages nested too deep", e);
    /* The tag without the length, whose bytes may be more than need be. */
    size_t tag_end = f->begin;
    uint64_t tag;
    if (!wire_varint(p->data, f->end, &tag_end, &tag))
        return bad(p, f->begin, "a bad field tag", e);
    int rc = put(p, f->begin, tag_end, e);
    if (!rc)
        rc = reserve(p, 5, e);
    if (rc)
        return rc;
    size_t length_at = p->w->size;
    p->w->size += 5;
    p->depth++;
    p->graphs += graph;
    rc = message(p, msg, f->body, f->end, e);
    p->depth--;
    p->graphs -= graph;
    if (!rc)
        pad_varint(p->w->data + length_at, (uint32_t)(p->w->size - length_at - 5));
    return rc;
}

/* Fields whose elements are payload come whole: in pieces they would have to be joined again. */
static int payload(struct pass *p, const struct item *f, int *lifted, uint32_t *seen, struct err *e)
{
    uint32_t bit = 1u << f->number;
    bool twice = *seen & bit;
    *seen |= bit;
    if (*lifted && (f->number == (unsigned)*lifted || f->end - f->body > WIRE_PAYLOAD_MIN))
        return bad(p, f->begin, "a tensor with its elements in two places", e);
    if (twice && (f->number == 9 || f->end - f->body > WIRE_PAYLOAD_MIN))
        return bad(p, f->begin, "a tensor's elements in several pieces", e);
    if (f->type != WIRETYPE_BYTES || f->end - f->body <= WIRE_PAYLOAD_MIN)
        return put(p, f->begin, f->end, e);
    *lifted = (int)f->number;
    return lift(p, f, e);
}

static int message(struct pass *p, enum wire_msg msg, size_t at, size_t end, struct err *e)
{
    int lifted = 0, rc = 0;
    uint32_t seen = 0;
    while (at < end && !rc) {
        struct item f = {0};
        rc = next(p, &at, end, &f, e);
        if (rc)
            return rc;
        struct field row = f.number < 32 ? fields[msg][f.number] : (struct field){DROP, 0};
        if (row.kind == DROP)
            continue;
        if (!type_fits(row.kind, f.type))
            return bad(p, f.begin, "a field of another type than its number says", e);
        if (row.kind == MSG)
            rc = submessage(p, row.child, &f, e);
        else if (row.kind >= RAW)
            rc = payload(p, &f, &lifted, &seen, e);
        else if (row.kind == STRING && f.end > f.body &&
                 memchr(p->data + f.body, 0, f.end - f.body))
            return bad(p, f.begin, "a string with a NUL in it", e);
        else
            rc = put(p, f.begin, f.end, e);
    }
    return rc;
}

int wire_reduce(struct wire *w, struct budget *b, enum wire_msg root, const uint8_t *data,
                size_t size, struct err *e)
{
    *w = (struct wire){0};
    struct pass p = {.w = w, .budget = b, .data = data, .graphs = root == WIRE_GRAPH};
    int rc = reserve(&p, 1, e);
    if (!rc)
        rc = message(&p, root, 0, size, e);
    if (rc)
        wire_clear(w);
    return rc;
}

void wire_clear(struct wire *w)
{
    mem_free(w->data);
    mem_free(w->payloads);
    *w = (struct wire){0};
}
