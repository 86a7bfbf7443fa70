/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/wire.h"

#include "tests/unit/onnx_bytes.h"
#include "tests/unit/unit.h"

static int reduce(struct bytes *b, enum wire_msg msg, struct wire *w, struct err *e)
{
    *e = (struct err){0};
    return wire_reduce(w, NULL, msg, b->data, b->n, e);
}

static bool refused(struct bytes b, enum wire_msg msg, const char *what)
{
    struct wire w;
    struct err e;
    int rc = reduce(&b, msg, &w, &e);
    free(b.data);
    if (!rc)
        wire_clear(&w);
    return rc == ERR_MODEL && strstr(e.msg, what);
}

static void lifts(void)
{
    uint8_t raw[400] = {1, 2, 3};
    int64_t dims[] = {100};
    struct bytes g = {0};
    bytes_sub(&g, 5, tensor_bytes_of("small", 1, 1, dims, raw, 256));
    bytes_sub(&g, 5, tensor_bytes_of("large", 1, 1, dims, raw, 400));
    struct bytes m = model_bytes(g, 17);
    struct wire w;
    struct err e;
    if (CHECK(reduce(&m, WIRE_MODEL, &w, &e) == 0)) {
        CHECK(w.n_payloads == 1 && w.payloads[0].size == 400 && w.payloads[0].field == 9);
        CHECK(!memcmp(m.data + w.payloads[0].offset, raw, 400));
        CHECK(w.size < m.n - 300);
        wire_clear(&w);
    }
    free(m.data);
}

static void drops_unknown(void)
{
    struct bytes m = {0}, known = {0};
    bytes_text(&m, 2, "p");
    bytes_text(&known, 2, "p");
    bytes_text(&m, 1000, "x");
    bytes_int(&m, 15000, 7);
    struct wire w;
    struct err e;
    CHECK(reduce(&m, WIRE_MODEL, &w, &e) == 0);
    CHECK(w.size == known.n && !memcmp(w.data, known.data, known.n));
    wire_clear(&w);
    free(m.data);
    free(known.data);
}

/* A file must not bring a payload number of its own. */
static void drops_payload_number(void)
{
    struct bytes t = {0};
    bytes_int(&t, WIRE_PAYLOAD_FIELD, 3);
    struct wire w;
    struct err e;
    CHECK(reduce(&t, WIRE_TENSOR, &w, &e) == 0 && w.size == 0);
    wire_clear(&w);
    free(t.data);
}

static struct bytes literal(const char *p, size_t n)
{
    struct bytes b = {0};
    bytes_raw(&b, p, n);
    return b;
}
#define LITERAL(s) literal(s, sizeof s - 1)

static void refuses(void)
{
    CHECK(refused(LITERAL("\x02\x00"), WIRE_MODEL, "field number 0"));
    CHECK(refused(LITERAL("\x08"), WIRE_MODEL, "a bad varint at byte 1"));
    CHECK(
        refused(LITERAL("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), WIRE_MODEL, "varint"));
    CHECK(refused(LITERAL("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), WIRE_MODEL, "varint"));
    CHECK(refused(LITERAL("\x0b"), WIRE_MODEL, "a group"));
    CHECK(refused(LITERAL("\x0e"), WIRE_MODEL, "wire type"));
    CHECK(refused(LITERAL("\x12\x05"
                          "abc"),
                  WIRE_MODEL, "beyond the end"));
    CHECK(refused(LITERAL("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), WIRE_MODEL,
                  "beyond the end"));
    CHECK(refused(LITERAL("\x12\x03"
                          "a\0b"),
                  WIRE_MODEL, "NUL"));
    CHECK(refused(LITERAL("\x0a\x01x"), WIRE_OPSET, "x") == false);
    CHECK(refused(LITERAL("\x0d\0\0\0\0"), WIRE_MODEL, "another type"));
}

static void refuses_pieces(void)
{
    uint8_t raw[300] = {0};
    struct bytes t = {0};
    bytes_data(&t, 9, raw, 300);
    bytes_data(&t, 9, raw, 300);
    CHECK(refused(t, WIRE_TENSOR, "two places"));
    t = (struct bytes){0};
    bytes_data(&t, 4, raw, 300);
    bytes_data(&t, 9, raw, 300);
    CHECK(refused(t, WIRE_TENSOR, "two places"));
    t = (struct bytes){0};
    bytes_data(&t, 4, raw, 100);
    bytes_data(&t, 4, raw, 300);
    CHECK(refused(t, WIRE_TENSOR, "several pieces"));
}

static struct bytes nested_graph(int depth)
{
    struct bytes g = {0};
    bytes_text(&g, 2, "g");
    for (int i = 1; i < depth; i++) {
        struct bytes a = {0}, n = {0}, outer = {0};
        bytes_sub(&a, 6, g);
        bytes_sub(&n, 5, a);
        bytes_sub(&outer, 1, n);
        g = outer;
    }
    return g;
}

static void depth(void)
{
    struct wire w;
    struct err e;
    struct bytes m = model_bytes(nested_graph(WIRE_GRAPH_DEPTH_MAX), 17);
    if (CHECK(reduce(&m, WIRE_MODEL, &w, &e) == 0))
        wire_clear(&w);
    free(m.data);
    CHECK(refused(model_bytes(nested_graph(WIRE_GRAPH_DEPTH_MAX + 1), 17), WIRE_MODEL, "too deep"));
}

/* No prefix of a message and no message with a changed byte does harm. */
static void mutations(void)
{
    uint8_t raw[400] = {0};
    int64_t dims[] = {100};
    struct bytes g = {0};
    bytes_sub(&g, 5, tensor_bytes_of("w", 1, 1, dims, raw, 400));
    bytes_sub(&g, 1, node_bytes("Relu", NULL, NAMES("w"), NAMES("y")));
    bytes_sub(&g, 12, info_bytes("y", 1, 1, dims));
    struct bytes m = model_bytes(g, 17);
    for (size_t n = 0; n < m.n; n++) {
        struct bytes part = {m.data, n, n};
        struct wire w;
        struct err e;
        if (!reduce(&part, WIRE_MODEL, &w, &e))
            wire_clear(&w);
        for (int bit = 0; bit < 8; bit++) {
            m.data[n] ^= (uint8_t)(1 << bit);
            if (!reduce(&m, WIRE_MODEL, &w, &e))
                wire_clear(&w);
            m.data[n] ^= (uint8_t)(1 << bit);
        }
    }
    free(m.data);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(lifts), TEST(drops_unknown), TEST(drops_payload_number), TEST(refuses),
        TEST(refuses_pieces), TEST(depth), TEST(mutations),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
