/* SPDX-License-Identifier: Apache-2.0 */
/* Symbolic integers against plain ones: random expressions, the equalities that exporters' graphs
 * rely on, bounds, limits, failing allocations. INFER_SEED sets the seed of the random ones.
 */
#include "graph/sym.h"

#include <stdlib.h>
#include <time.h>

#include "tests/unit/unit.h"

/* ---- a random source, printed so that a failure can be repeated ---- */

static uint64_t random_state;

static void random_seed(void)
{
    const char *text = getenv("INFER_SEED");
    random_state = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)random_state);
}

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

/* ---- trees ---- */

enum { N_SYMBOLS = 6, N_NODES = 14 };

enum what { ADD, SUB, MUL, FLOOR, CEIL, TRUNC, MOD, MIN, MAX, BROADCAST, N_WHAT };

struct node {
    enum what what;
    int a, b;         /* below N_SYMBOLS: a symbol; then earlier nodes; negative: a number */
    int64_t na, nb;
};

struct tree {
    struct node nodes[N_NODES];
};

static int random_operand(int i, int64_t *number)
{
    *number = (int64_t)random_below(9) - (random_below(4) ? 0 : 4);
    return random_below(3) == 0 ? -1 : (int)random_below((uint32_t)(N_SYMBOLS + i));
}

static void random_tree(struct tree *t)
{
    for (int i = 0; i < N_NODES; i++) {
        struct node *n = &t->nodes[i];
        n->what = random_below(N_WHAT);
        n->a = random_operand(i, &n->na);
        n->b = random_operand(i, &n->nb);
    }
}

static bool floor_of(int64_t a, int64_t b, int64_t *out)
{
    if (b == 0)
        return false;
    *out = a / b - (a % b != 0 && (a < 0) != (b < 0));
    return true;
}

/* What the words mean, written without regard to symbols; false: no value. */
static bool direct(enum what what, int64_t a, int64_t b, int64_t *out)
{
    int64_t q;
    switch (what) {
    case ADD:
        return !__builtin_add_overflow(a, b, out);
    case SUB:
        return !__builtin_sub_overflow(a, b, out);
    case MUL:
        return !__builtin_mul_overflow(a, b, out);
    case FLOOR:
        return floor_of(a, b, out);
    case CEIL:
        *out = b != 0 ? a / b + (a % b != 0 && (a < 0) == (b < 0)) : 0;
        return b != 0;
    case TRUNC:
        *out = b != 0 ? a / b : 0;
        return b != 0;
    case MOD:
        if (!floor_of(a, b, &q))
            return false;
        *out = a - b * q;
        return true;
    case MIN:
        *out = a < b ? a : b;
        return true;
    case MAX:
        *out = a > b ? a : b;
        return true;
    default:
        *out = a == 1 ? b : a;
        return a == b || a == 1 || b == 1;
    }
}

static int64_t symbolic(struct syms *s, enum what what, int64_t a, int64_t b)
{
    static int64_t (*const fns[])(struct syms *, int64_t, int64_t) = {
        [ADD] = sym_add, [SUB] = sym_sub, [MUL] = sym_mul, [FLOOR] = sym_floor_div,
        [CEIL] = sym_ceil_div, [TRUNC] = sym_div, [MOD] = sym_mod, [MIN] = sym_min, [MAX] = sym_max,
        [BROADCAST] = sym_broadcast,
    };
    return fns[what](s, a, b);
}

struct trial {
    struct syms *s;
    int64_t symbols[N_SYMBOLS]; /* the last is any integer, the others are dims */
    int64_t exprs[N_SYMBOLS + N_NODES];
    int64_t values[N_SYMBOLS + N_NODES];
    bool valued[N_SYMBOLS + N_NODES];
};

static void make_symbols(struct trial *t)
{
    static const char *const names[] = {"batch", "sequence", "past", "height"};
    for (int i = 0; i < N_SYMBOLS; i++)
        t->symbols[i] = i < 4 ? sym_named(t->s, names[i]) : sym_fresh(t->s, i == 4 ? 1 : INT64_MIN);
}

static void build(struct trial *t, const struct tree *tree)
{
    memcpy(t->exprs, t->symbols, sizeof t->symbols);
    for (int i = 0; i < N_NODES; i++) {
        const struct node *n = &tree->nodes[i];
        t->exprs[N_SYMBOLS + i] = symbolic(t->s, n->what, n->a < 0 ? n->na : t->exprs[n->a],
                                           n->b < 0 ? n->nb : t->exprs[n->b]);
    }
}

static void compute(struct trial *t, const struct tree *tree)
{
    for (int i = 0; i < N_NODES; i++) {
        const struct node *n = &tree->nodes[i];
        int at = N_SYMBOLS + i;
        t->valued[at] = (n->a < 0 || t->valued[n->a]) && (n->b < 0 || t->valued[n->b]) &&
                        direct(n->what, n->a < 0 ? n->na : t->values[n->a],
                               n->b < 0 ? n->nb : t->values[n->b], &t->values[at]);
        /* Large values overflow sooner in one form than in another. */
        if (t->valued[at] && (t->values[at] > 1 << 20 || t->values[at] < -(1 << 20)))
            t->valued[at] = false;
    }
}

static void set_symbols(struct trial *t, int64_t *values)
{
    for (int i = 0; i < N_SYMBOLS; i++) {
        t->values[i] = i < 4 ? (int64_t)random_below(7) : i == 4 ? 1 + (int64_t)random_below(9)
                                                                 : (int64_t)random_below(13) - 6;
        t->valued[i] = true;
        values[sym_index(t->symbols[i])] = t->values[i];
    }
}

static void complain(struct trial *t, int i, int64_t got, const char *what)
{
    char text[400];
    printf("%s: %s: got %lld, want %lld with", what,
           sym_print(t->s, t->exprs[i], text, sizeof text), (long long)got,
           (long long)t->values[i]);
    for (int k = 0; k < N_SYMBOLS; k++)
        printf(" %s=%lld", sym_print(t->s, t->symbols[k], text, sizeof text),
               (long long)t->values[k]);
    printf("\n");
}

static void check_values(struct trial *t, int64_t *values, uint8_t *seen, uint32_t *list)
{
    uint32_t n = syms_count(t->s);
    memset(seen, 0, n);
    int64_t count = 0;
    for (int i = 0; i < N_SYMBOLS + N_NODES; i++)
        count = sym_collect(t->s, t->exprs[i], list, count, n, seen);
    CHECK(count >= 0 && count < n);
    for (int64_t i = 0; i < count; i++)
        sym_eval_one(t->s, list[i], values);
    for (int i = 0; i < N_SYMBOLS + N_NODES; i++) {
        int64_t v = t->exprs[i], got = sym_is_expr(v) ? values[sym_index(v)] : v;
        if (!t->valued[i] || sym_is_unknown(v))
            continue;
        if (!CHECK(got == t->values[i]))
            complain(t, i, got, "evaluated");
        if (!CHECK(sym_eval(t->s, v, values) == got))
            complain(t, i, sym_eval(t->s, v, values), "recursively");
        if (!CHECK(sym_low(t->s, v) <= got))
            complain(t, i, sym_low(t->s, v), "low");
    }
    for (int i = 0; i < N_SYMBOLS + N_NODES; i++)
        for (int k = 0; k < i; k++)
            if (t->valued[i] && t->valued[k]) {
                CHECK(!sym_differ(t->s, t->exprs[i], t->exprs[k]) || t->values[i] != t->values[k]);
                CHECK(!sym_equal(t->s, t->exprs[i], t->exprs[k]) || t->values[i] == t->values[k]);
            }
}

static void check_bounds(struct trial *t, const int64_t *values, int64_t *low, int64_t *high)
{
    for (int i = 0; i < N_SYMBOLS; i++) {
        uint32_t at = sym_index(t->symbols[i]);
        low[at] = values[at] - (int64_t)random_below(3);
        high[at] = values[at] + (int64_t)random_below(5);
        if (i < 5 && low[at] < i / 4)
            low[at] = i / 4;
    }
    for (int i = N_SYMBOLS; i < N_SYMBOLS + N_NODES; i++) {
        int64_t a, b;
        if (t->valued[i] && sym_is_expr(t->exprs[i]) &&
            sym_bounds(t->s, t->exprs[i], low, high, &a, &b) &&
            !CHECK(a <= t->values[i] && t->values[i] <= b))
            complain(t, i, a, "bounds");
    }
}

static void random_trees(void)
{
    static int64_t values[1 << 16], low[1 << 16], high[1 << 16];
    static uint8_t seen[1 << 16];
    static uint32_t list[1 << 16];
    random_seed();
    int64_t built = 0, unknown = 0;
    for (int round = 0; round < 400 && !atomic_load(&unit_failures); round++) {
        struct trial t = {.s = syms_new(NULL, NULL)};
        if (!CHECK(t.s))
            return;
        make_symbols(&t);
        for (int i = 0; i < 12; i++) {
            struct tree tree;
            random_tree(&tree);
            build(&t, &tree);
            if (!CHECK(syms_count(t.s) <= 1 << 16))
                break;
            for (int k = N_SYMBOLS; k < N_SYMBOLS + N_NODES; k++, built++)
                unknown += sym_is_unknown(t.exprs[k]);
            for (int draw = 0; draw < 6; draw++) {
                set_symbols(&t, values);
                compute(&t, &tree);
                check_values(&t, values, seen, list);
                check_bounds(&t, values, low, high);
            }
        }
        syms_free(t.s);
    }
    printf("%lld expressions, %lld unknown\n", (long long)built, (long long)unknown);
}

/* ---- canonical forms ---- */

static struct syms *s;
static int64_t B, S, P, H, Any;

static void set_up(void)
{
    s = syms_new(NULL, NULL);
    B = sym_named(s, "B");
    S = sym_named(s, "S");
    P = sym_named(s, "P");
    H = sym_named(s, "H");
    Any = sym_fresh(s, INT64_MIN);
}

static int64_t mul(int64_t a, int64_t b) { return sym_mul(s, a, b); }
static int64_t add(int64_t a, int64_t b) { return sym_add(s, a, b); }
static int64_t sub(int64_t a, int64_t b) { return sym_sub(s, a, b); }
static int64_t quo(int64_t a, int64_t b) { return sym_floor_div(s, a, b); }

static void products(void)
{
    set_up();
    CHECK(sym_named(s, "B") == B && B != S);
    CHECK(strcmp(sym_name(s, B), "B") == 0 && sym_name(s, Any) == NULL && sym_is_symbol(s, Any));
    CHECK(mul(B, S) == mul(S, B) && sub(mul(B, S), mul(S, B)) == 0);
    CHECK(mul(add(B, 1), sub(B, 1)) == sub(mul(B, B), 1));
    CHECK(add(sub(B, S), sub(S, B)) == 0 && add(B, 0) == B && mul(B, 1) == B && mul(B, 0) == 0);
    CHECK(sub(add(P, S), S) == P);
    /* Reshape: what is left for -1 */
    CHECK(quo(mul(mul(B, S), 12 * 64), mul(B, S)) == 768);
    CHECK(quo(mul(mul(B, S), 768), 768) == mul(B, S));
    CHECK(quo(mul(mul(B, S), H), mul(S, H)) == B);
    CHECK(quo(mul(mul(B, add(P, S)), 64), mul(B, 64)) == add(P, S));
    CHECK(quo(mul(add(mul(B, S), B), 768), mul(add(S, 1), 768)) == B);
    CHECK(quo(add(mul(B, P), mul(B, S)), mul(2, add(P, S))) == quo(B, 2));
    CHECK(quo(mul(B, 6), mul(B, 4)) == 1);
    CHECK(quo(mul(S, 6), 4) == quo(mul(S, 3), 2));
    CHECK(sym_mod(s, mul(mul(B, S), 12), mul(S, 4)) == 0 && sym_mod(s, mul(B, 8), 4) == 0);
    syms_free(s);
}

static void divisions(void)
{
    set_up();
    CHECK(quo(add(mul(B, 8), 3), 8) == B && quo(add(mul(B, 8), 11), 8) == add(B, 1));
    CHECK(quo(add(mul(B, 8), sym_mod(s, S, 8)), 8) == B);
    CHECK(sym_mod(s, add(mul(B, 8), 3), 8) == 3);
    CHECK(sym_mod(s, add(S, 8), 8) == sym_mod(s, S, 8));
    CHECK(sym_mod(s, sym_mod(s, S, 8), 8) == sym_mod(s, S, 8));
    CHECK(sym_mod(s, sym_mod(s, S, 8), 16) == sym_mod(s, S, 8));
    CHECK(sym_ceil_div(s, mul(S, 16), 16) == S &&
          sym_ceil_div(s, add(mul(S, 16), 1), 16) == add(S, 1));
    CHECK(sym_ceil_div(s, S, 2) == quo(add(S, 1), 2));
    CHECK(sym_ceil_div(s, mul(B, S), S) == B);
    CHECK(quo(quo(H, 2), 2) == quo(H, 4));
    /* convolutions of kernel 3, stride 2, padding 1, one after the other */
    int64_t once = add(quo(sub(add(H, 2), 3), 2), 1);
    CHECK(once == quo(add(H, 1), 2) && add(quo(sub(add(once, 2), 3), 2), 1) == quo(add(H, 3), 4));
    CHECK(sym_div(s, S, 2) == quo(S, 2) && sym_div(s, Any, 2) != quo(Any, 2));
    CHECK(sym_div(s, S, -2) == sub(0, quo(S, 2)));
    CHECK(sym_is_unknown(quo(S, 0)) && sym_is_unknown(sym_mod(s, S, 0)) &&
          sym_is_unknown(quo(3, 0)));
    syms_free(s);
}

static void orders(void)
{
    set_up();
    CHECK(sym_max(s, S, S) == S && sym_max(s, S, 0) == S && sym_min(s, S, -1) == -1);
    CHECK(sym_max(s, add(S, 1), S) == add(S, 1) && sym_min(s, add(S, P), S) == S);
    CHECK(sym_max(s, B, S) == sym_max(s, S, B));
    CHECK(sym_min(s, sym_min(s, B, S), P) == sym_min(s, B, sym_min(s, P, S)));
    CHECK(sym_min(s, sym_max(s, B, S), S) == S &&
          sym_max(s, sym_max(s, B, S), S) == sym_max(s, B, S));
    CHECK(sym_min(s, sym_min(s, S, 512), 1024) == sym_min(s, S, 512));
    CHECK(sym_broadcast(s, 1, B) == B && sym_broadcast(s, B, B) == B &&
          sym_broadcast(s, B, 4) == 4);
    CHECK(sym_broadcast(s, add(B, 2), S) == add(B, 2));
    CHECK(sym_broadcast(s, sym_broadcast(s, B, S), P) ==
          sym_broadcast(s, S, sym_broadcast(s, P, B)));
    CHECK(sym_is_unknown(sym_broadcast(s, 2, 3)) && sym_broadcast(s, 3, 3) == 3);
    CHECK(sym_differ(s, S, add(S, 1)) && sym_differ(s, add(S, 1), 0) && !sym_differ(s, S, B));
    CHECK(sym_differ(s, mul(S, 2), add(mul(B, 4), 1)));
    CHECK(sym_equal(s, add(S, S), mul(S, 2)) && !sym_equal(s, S, B));
    CHECK(sym_low(s, add(S, 3)) == 3 && sym_low(s, Any) == INT64_MIN && sym_low(s, 7) == 7);
    int64_t x = quo(add(mul(B, S), P), H);
    CHECK(sym_depends(s, x, B) && sym_depends(s, x, H) && !sym_depends(s, x, Any));
    syms_free(s);
}

static void texts(void)
{
    char buf[64], small[6];
    set_up();
    CHECK(strcmp(sym_print(s, add(mul(B, S), 2), buf, sizeof buf), "B*S + 2") == 0);
    CHECK(strcmp(sym_print(s, sub(mul(B, 3), S), buf, sizeof buf), "3*B - S") == 0);
    CHECK(strcmp(sym_print(s, quo(add(S, 1), 2), buf, sizeof buf), "floor((S + 1)/2)") == 0);
    CHECK(strcmp(sym_print(s, sym_max(s, S, B), buf, sizeof buf), "max(B, S)") == 0);
    CHECK(strcmp(sym_print(s, -4, buf, sizeof buf), "-4") == 0);
    CHECK(strcmp(sym_print(s, SYM_UNKNOWN, buf, sizeof buf), "?") == 0);
    CHECK(strcmp(sym_print(s, add(mul(B, S), 2), small, sizeof small), "B*S +") == 0);
    syms_free(s);
}

/* ---- limits ---- */

static void overflow(void)
{
    set_up();
    CHECK(sym_is_unknown(sym_add(NULL, INT64_MAX, 1)) &&
          sym_is_unknown(sym_mul(NULL, INT64_MAX, 2)));
    CHECK(sym_is_unknown(sym_sub(NULL, INT64_MIN, 1)));
    CHECK(sym_is_unknown(sym_floor_div(NULL, INT64_MIN, -1)));
    CHECK(sym_mod(NULL, INT64_MIN, -1) == 0 && sym_mod(NULL, -7, 4) == 1 &&
          sym_mod(NULL, 7, -4) == -1);
    CHECK(sym_floor_div(NULL, -7, 2) == -4 && sym_ceil_div(NULL, -7, 2) == -3 &&
          sym_div(NULL, -7, 2) == -3);
    CHECK(sym_is_unknown(mul(mul(S, INT64_MAX / 2), 3)));
    CHECK(sym_is_unknown(add(SYM_UNKNOWN, S)) && sym_is_unknown(add(SYM_UNKNOWN, 3)));
    CHECK(sym_is_unknown(add(SYM_UNKNOWN - 1, 1))); /* a sum that would look like a handle */
    int64_t values[64] = {0};
    int64_t x = mul(S, S);
    values[sym_index(S)] = INT64_MAX / 2;
    CHECK(!sym_eval_one(s, sym_index(x), values) && sym_is_unknown(values[sym_index(x)]));
    int64_t low[64] = {0}, high[64] = {0}, a, b;
    high[sym_index(S)] = INT64_MAX / 2;
    CHECK(!sym_bounds(s, x, low, high, &a, &b));
    high[sym_index(S)] = 1000;
    CHECK(sym_bounds(s, x, low, high, &a, &b) && a == 0 && b == 1000000);
    syms_free(s);
}

/* Expressions that grow without end stop being known, and nothing recurses too far. */
static void growth(void)
{
    set_up();
    int64_t x = S, y = B, z = P;
    for (int i = 0; i < 5000; i++) {
        x = sym_max(s, sym_mod(s, mul(x, 3), add(x, 7)), quo(x, 3));
        y = add(y, sym_fresh(s, 0));
        z = mul(z, add(z, 1));
    }
    CHECK(sym_is_unknown(x) && sym_is_unknown(y) && sym_is_unknown(z));
    for (int i = 0, known = 1; i < 1 << 19 && known; i++)
        known = !sym_is_unknown(sym_fresh(s, 0));
    CHECK(sym_is_unknown(sym_named(s, "one more")) && sym_named(s, "S") == S);
    CHECK(syms_count(s) < 1 << 19);
    syms_free(s);
}

static void no_memory(void)
{
    for (uint64_t n = 1; n < 60; n++) {
        mem_fail_after(n, true);
        s = syms_new(NULL, NULL);
        if (s) {
            B = sym_named(s, "B");
            S = sym_named(s, "S");
            for (int i = 0; i < 600; i++)
                B = sym_max(s, add(mul(B, S), i), sym_fresh(s, 0));
            syms_free(s);
        }
        mem_fail_after(0, false);
    }
}

/* What a BERT's plan evaluates at the start of a run, timed. */
static void speed(void)
{
    set_up();
    int64_t all[100], values[1024] = {0};
    for (int i = 0; i < 100; i++)
        all[i] = add(mul(mul(B, S), 64 + i), mul(B, i % 7));
    values[sym_index(B)] = 2;
    values[sym_index(S)] = 128;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int k = 0; k < 1000; k++)
        for (int i = 0; i < 100; i++)
            sym_eval_one(s, sym_index(all[i]), values);
    clock_gettime(CLOCK_MONOTONIC, &to);
    CHECK(values[sym_index(all[99])] == 2 * 128 * 163 + 2);
    double ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
    printf("100 expressions: %.2f us\n", ns / 1e6);
    syms_free(s);
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(products), TEST(divisions), TEST(orders), TEST(texts), TEST(overflow),
        TEST(growth), TEST(no_memory), TEST(speed), TEST(random_trees),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
