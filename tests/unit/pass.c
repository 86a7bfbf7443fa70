/* SPDX-License-Identifier: Apache-2.0 */
/* Passes and matching. */
#include "tests/unit/pass_text.h"

/* ---- one pass each ---- */

static void dead(void)
{
    begin("x");
    constant("c", DTYPE_F32, DIMS(2), NUMBERS(1, 2));
    start("a=Relu(x);b=Add(a,c);r=RandomNormal();y=Relu(x)", "y");
    CHECK(becomes("dead", "y=Relu(x)"));
    begin("x");
    start("y,mask=Dropout(x)", "y");
    CHECK(becomes("dead", "y,-=Dropout(x)"));
    begin("x");
    start("y,mask=Dropout(x)", "y,mask");
    CHECK(becomes("dead", "y,mask=Dropout(x)"));
}

static void subgraphs(void)
{
    begin("x,cond");
    start("a=Relu(x);b=Sigmoid(x);y=If(cond)", "y");
    subgraph("y", "p=Identity(a);q=Relu(b);r=Relu(p)", "r");
    CHECK(becomes("identity", "a=Relu(x);y=If(cond){r=Relu(a)}"));
    begin("x,cond");
    start("a=Relu(x);y=If(cond)", "y");
    subgraph("y", "p=Identity(a)", "p"); /* a capture cannot be an output */
    CHECK(becomes("identity", "a=Relu(x);y=If(cond){p=Identity(a)}"));
}

static void identity(void)
{
    begin("x");
    start("a=Identity(x);b=Relu(a);y=Identity(b)", "y");
    CHECK(becomes("identity", "y=Relu(x)"));
    begin("x");
    start("y=Identity(x)", "y"); /* input to output: something must be there */
    CHECK(becomes("identity", "y=Identity(x)"));
    begin("x");
    start("a=Relu(x);y=Identity(a);z=Identity(a)", "y,z"); /* one value, two names */
    CHECK(becomes("identity", "y=Relu(x);z=Identity(y)"));
    begin("x");
    start("a,mask=Dropout(x);b=Concat(a);c=Sum(b);y=Relu(c)", "y");
    CHECK(becomes("identity", "y=Relu(x)"));
    begin("x");
    constant("train", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    start("a=Dropout(x,-,train);y=Relu(a)", "y");
    CHECK(becomes("identity", "a=Dropout(x,-,train);y=Relu(a)"));
}

static void identity_arithmetic(void)
{
    begin("x,s");
    number("one", 1);
    number("zero", 0);
    number("near", 1 + 1e-6);
    set_type(find_in(g, "s"), DTYPE_F32, 0, NULL);
    start("a=Mul(x,one);b=Div(a,one);c=Sub(b,zero);d=Add(c,zero);f=Mul(d,near);h=Mul(one,f);"
          "y=Relu(h)", "y");
    CHECK(becomes("identity", "d=Add(x,zero);f=Mul(d,near);y=Relu(f)"));
    begin("s");
    constant("ones", DTYPE_F32, DIMS(2, 3), NUMBERS(1, 1, 1, 1, 1, 1));
    set_type(find_in(g, "s"), DTYPE_F32, 0, NULL);
    start("a=Mul(s,ones);y=Relu(a)", "y"); /* it broadcasts */
    CHECK(becomes("identity", "a=Mul(s,ones);y=Relu(a)"));
}

static void identity_dims(void)
{
    begin("x,n");
    struct graph_value *x = find_in(g, "x");
    int64_t batch = sym_named(g->shared->syms, "batch");
    set_type(x, DTYPE_F32, DIMS(batch, 3));
    constant("no", DTYPE_I64, DIMS(4), NUMBERS(0, 0, 0, 0));
    constant("shift", DTYPE_I64, DIMS(4), NUMBERS(1, 0, -1, 0));
    constant("up", DTYPE_I64, DIMS(1), NUMBERS(1));
    constant("down", DTYPE_I64, DIMS(1), NUMBERS(-1));
    constant("one", DTYPE_I64, DIMS(2), NUMBERS(1, 3));
    start("a=Reshape(x,one);b=Expand(a,one);c=Pad(b,no);d=Slice(c,n,n,n,up);"
          "f=Pad(d,shift);h=Slice(f,n,n,n,down);y=Relu(h)", "y");
    for (struct node *n = g->first; n; n = n->next)
        set_type(n->out[0], DTYPE_F32, DIMS(batch, 3));
    CHECK(becomes("identity", "f=Pad(x,shift);h=Slice(f,n,n,n,down);y=Relu(h)"));
    begin("x,n");
    start("a=Expand(x,n);y=Relu(a)", "y");
    set_type(find_in(g, "a"), DTYPE_F32, DIMS(sym_named(g->shared->syms, "batch"), 3));
    CHECK(becomes("identity", "a=Expand(x,n);y=Relu(a)"));
    /* The dims agree, but what n holds may not fit. */
    begin("x,n");
    set_type(find_in(g, "x"), DTYPE_F32, DIMS(2, 3));
    start("a=Expand(x,n);y=Relu(a)", "y");
    set_type(find_in(g, "a"), DTYPE_F32, DIMS(2, 3));
    CHECK(becomes("identity", "a=Expand(x,n);y=Relu(a)"));
    begin("x");
    start("a=Transpose(x);b=Transpose(x);y=Add(a,b)", "y");
    static const int64_t same[] = {0, 1}, other[] = {1, 0};
    ((struct attrs_transpose *)attrs("a"))->perm = (struct ints){same, 2};
    ((struct attrs_transpose *)attrs("b"))->perm = (struct ints){other, 2};
    CHECK(becomes("identity", "b=Transpose(x);y=Add(x,b)"));
}

static void casts(void)
{
    static const struct row {
        enum dtype from, middle, to;
        bool joined;
    } rows[] = {
        {DTYPE_F16, DTYPE_F32, DTYPE_F16, true},   {DTYPE_F32, DTYPE_F16, DTYPE_F32, false},
        {DTYPE_F16, DTYPE_F32, DTYPE_BF16, true},  {DTYPE_F16, DTYPE_BF16, DTYPE_F32, false},
        {DTYPE_I32, DTYPE_I64, DTYPE_I32, true},   {DTYPE_I64, DTYPE_I32, DTYPE_I64, false},
        {DTYPE_I32, DTYPE_I64, DTYPE_I8, true},    {DTYPE_I8, DTYPE_U8, DTYPE_I32, false},
        {DTYPE_I64, DTYPE_F64, DTYPE_I64, false},  {DTYPE_I32, DTYPE_F64, DTYPE_I32, true},
        {DTYPE_I32, DTYPE_F64, DTYPE_I8, false},   {DTYPE_I32, DTYPE_F32, DTYPE_F64, false},
        {DTYPE_BOOL, DTYPE_F32, DTYPE_BOOL, true}, {DTYPE_BOOL, DTYPE_I32, DTYPE_F32, true},
        {DTYPE_U8, DTYPE_I16, DTYPE_F32, true},    {DTYPE_F32, DTYPE_I32, DTYPE_F32, false},
        {DTYPE_F32, DTYPE_F64, DTYPE_I32, false},  {DTYPE_I32, DTYPE_STRING, DTYPE_I32, false},
        {DTYPE_F32, DTYPE_F64, DTYPE_BOOL, true},  {DTYPE_U32, DTYPE_I32, DTYPE_I64, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin("x");
        start("a=Cast(x);b=Cast(a);y=Relu(b)", "y");
        set_type(find_in(g, "x"), rows[i].from, DIMS(2));
        set_type(find_in(g, "a"), rows[i].middle, DIMS(2));
        set_type(find_in(g, "b"), rows[i].to, DIMS(2));
        ((struct attrs_cast *)attrs("a"))->to = rows[i].middle;
        ((struct attrs_cast *)attrs("b"))->to = rows[i].to;
        bool same = rows[i].from == rows[i].to;
        if (!CHECK(becomes("casts,identity", !rows[i].joined ? "a=Cast(x);b=Cast(a);y=Relu(b)"
                                             : same ? "y=Relu(x)" : "b=Cast(x);y=Relu(b)")))
            printf("row %zu\n", i);
    }
}

static void transposes(void)
{
    static const int64_t first[] = {1, 2, 0}, second[] = {0, 2, 1}, back[] = {2, 0, 1};
    begin("x");
    start("a=Transpose(x);b=Transpose(a);y=Relu(b)", "y");
    set_type(find_in(g, "x"), DTYPE_F32, DIMS(2, 3, 4));
    ((struct attrs_transpose *)attrs("a"))->perm = (struct ints){first, 3};
    struct attrs_transpose *b = attrs("b");
    b->perm = (struct ints){second, 3};
    CHECK(run("none,transposes,dead") && is("b=Transpose(x);y=Relu(b)"));
    CHECK(b->perm.n == 3 && b->perm.v[0] == 1 && b->perm.v[1] == 0 && b->perm.v[2] == 2);
    graph_free(g);
    begin("x");
    start("a=Transpose(x);b=Transpose(a);y=Add(a,b)", "y");
    set_type(find_in(g, "x"), DTYPE_F32, DIMS(2, 3, 4));
    ((struct attrs_transpose *)attrs("a"))->perm = (struct ints){first, 3};
    ((struct attrs_transpose *)attrs("b"))->perm = (struct ints){back, 3};
    CHECK(becomes("transposes,identity", "a=Transpose(x);y=Add(a,x)"));
}

static void reshapes(void)
{
    begin("x,n");
    constant("to", DTYPE_I64, DIMS(2), NUMBERS(3, -1));
    start("a=Reshape(x,n);b=Reshape(a,to);y=Relu(b)", "y");
    CHECK(becomes("reshapes", "b=Reshape(x,to);y=Relu(b)"));
    /* 0 in the target is a dim of the first reshape's output, but the dims of the result are
     * known */
    begin("x,n");
    constant("to", DTYPE_I64, DIMS(2), NUMBERS(0, -1));
    start("a=Reshape(x,n);b=Reshape(a,to);y=Relu(b)", "y");
    set_type(find_in(g, "b"), DTYPE_F32, DIMS(sym_named(g->shared->syms, "batch"), 6));
    CHECK(run("none,reshapes,dead") && is("_=Reshape(x,_);y=Relu(_)"));
    const struct tensor *t = match_constant(g->first->in[1]);
    CHECK(t && t->dims[0] == 2 && ((int64_t *)t->data)[0] == -1 && ((int64_t *)t->data)[1] == 6);
    graph_free(g);
    begin("x,n");
    start("a=Unsqueeze(x,n);b=Squeeze(a,n);y=Relu(b)", "y");
    set_type(find_in(g, "a"), DTYPE_F32, DIMS(1, 2, 3));
    CHECK(becomes("reshapes,identity", "y=Relu(x)"));
    begin("x,n"); /* two dims that are not known: it stays */
    start("a=Unsqueeze(x,n);b=Reshape(a,n);y=Relu(b)", "y");
    set_type(find_in(g, "b"), DTYPE_F32,
             DIMS(sym_fresh(g->shared->syms, 0), sym_fresh(g->shared->syms, 0)));
    CHECK(becomes("reshapes", "a=Unsqueeze(x,n);b=Reshape(a,n);y=Relu(b)"));
}

static void cse(void)
{
    begin("x,z");
    number("one", 2);
    number("other", 2);
    number("third", 3);
    start("a=Add(x,one);b=Add(x,other);c=Add(x,third);d=Mul(a,b);y=Sum(d,c)", "y");
    CHECK(becomes("cse", "a=Add(x,one);c=Add(x,third);d=Mul(a,a);y=Sum(d,c)"));
    begin("x");
    start("a=LeakyRelu(x);b=LeakyRelu(x);c=LeakyRelu(x);y=Sum(a,b,c)", "y");
    ((struct attrs_alpha *)attrs("b"))->alpha = 0.5f;
    CHECK(becomes("cse", "a=LeakyRelu(x);b=LeakyRelu(x);y=Sum(a,b,a)"));
    begin("x");
    start("a=Transpose(x);b=Transpose(x);c=Transpose(x);y=Sum(a,b,c)", "y");
    int64_t p[] = {1, 0}, q[] = {1, 0};
    ((struct attrs_transpose *)attrs("a"))->perm = (struct ints){p, 2};
    ((struct attrs_transpose *)attrs("b"))->perm = (struct ints){q, 2};
    CHECK(becomes("cse", "a=Transpose(x);c=Transpose(x);y=Sum(a,a,c)"));
    begin("x");
    start("a=RandomNormal();b=RandomNormal();y=Sum(a,b)", "y");
    CHECK(becomes("cse", "a=RandomNormal();b=RandomNormal();y=Sum(a,b)"));
    begin("x");
    start("a=Relu(x);y=Relu(x);z=Relu(a);w=Relu(a)", "y,z,w");
    CHECK(becomes("cse", "y=Relu(x);z=Relu(y);w=Identity(z)"));
    begin("x");
    start("y=Conv(x);z=Conv(x)", "y,z");
    ((struct attrs_conv *)attrs("z"))->auto_pad = (struct str){"VALID", 5};
    CHECK(becomes("cse", "y=Conv(x);z=Conv(x)"));
}

static void shapes(void)
{
    static const int64_t known[] = {1, 64, -1};
    begin("x");
    start("s=Shape(x);t=Mul(s,s);u=Mul(s,t);y=Reshape(x,u)", "y");
    int64_t batch = sym_named(g->shared->syms, "batch"), unknown[] = {batch, 2, 3};
    const char *const names[] = {"s", "t", "u"};
    for (int i = 0; i < 3; i++) {
        struct graph_value *v = find_in(g, names[i]);
        set_type(v, i == 2 ? DTYPE_I32 : DTYPE_I64, DIMS(3));
        v->fact.elems = i == 2 ? known : unknown;
        v->fact.n_elems = 3;
    }
    CHECK(run("none,shapes,dead") && is("y=Reshape(x,u)"));
    const struct tensor *t = find_in(g, "u")->constant;
    CHECK(t && t->dtype == DTYPE_I32 && t->rank == 1 && ((int32_t *)t->data)[1] == 64 &&
          ((int32_t *)t->data)[2] == -1);
    graph_free(g);
    /* one of several outputs: the node keeps it */
    begin("x");
    start("a,b=Split(x);c=Relu(b);y=Sum(a,c)", "y");
    struct graph_value *a = find_in(g, "a");
    set_type(a, DTYPE_I64, DIMS(3));
    a->fact.elems = known;
    a->fact.n_elems = 3;
    CHECK(run("none,shapes") && is("a,b=Split(x);c=Relu(b);y=Sum(_,c)"));
    graph_free(g);
}

static int fold_relu(struct node *n, void *arg, struct err *err)
{
    struct tensor t;
    if (!node_is(n, "Relu"))
        return 0;
    int r = tensor_copy(&t, n->in[0]->constant, NULL, err);
    return r ? r : (r = graph_make_constant(n->out[0], &t, err)) ? r : 1;
}

static void fold(void)
{
    begin("x");
    number("c", 4);
    start("a=Relu(c);b=Relu(a);d=Sigmoid(b);f=Relu(x);y=Sum(d,f)", "y");
    fold_hook = fold_relu;
    CHECK(becomes("fold", "d=Sigmoid(b);f=Relu(x);y=Sum(d,f)"));
    CHECK(report.rewrites[PASS_fold] == 2);
    fold_hook = NULL;
}

/* ---- convolutions ---- */

static bool near(const struct tensor *t, const double *want)
{
    bool ok = t != NULL;
    for (int64_t i = 0; ok && i < tensor_count(t); i++)
        ok = fabs(((float *)t->data)[i] - want[i]) <= 1e-6 * (1 + fabs(want[i]));
    return ok;
}

static void norm_constants(void)
{
    constant("scale", DTYPE_F32, DIMS(2), NUMBERS(2, 3));
    constant("shift", DTYPE_F32, DIMS(2), NUMBERS(10, 20));
    constant("mean", DTYPE_F32, DIMS(2), NUMBERS(1, -1));
    constant("var", DTYPE_F32, DIMS(2), NUMBERS(4 - 1e-5, 9 - 1e-5));
}

static void conv_norm(void)
{
    begin("x");
    norm_constants();
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    start("a=Conv(x,w);y=BatchNormalization(a,scale,shift,mean,var)", "y");
    CHECK(run("none,conv_scale,dead") && is("y=Conv(x,w,_)"));
    CHECK(near(find_in(g, "w")->constant, NUMBERS(1, 2, 3, 4)));
    CHECK(near(g->first->in[2]->constant, NUMBERS(9, 21)));
    graph_free(g);
    /* with a bias, and with Mul and Add on top */
    begin("x");
    norm_constants();
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    constant("b", DTYPE_F32, DIMS(2), NUMBERS(5, 6));
    constant("m", DTYPE_F32, DIMS(2, 1, 1), NUMBERS(10, 100));
    number("one", 1);
    start("a=Conv(x,w,b);c=BatchNormalization(a,scale,shift,mean,var);d=Mul(m,c);f=Sub(d,one);"
          "y=Relu(f)", "y");
    CHECK(run("none,conv_scale,dead") && is("a=Conv(x,w,b);y=Relu(a)"));
    CHECK(near(g->first->in[1]->constant, NUMBERS(10, 20, 300, 400)));
    CHECK(near(g->first->in[2]->constant, NUMBERS(139, 2699)));
    graph_free(g);
}

static void conv_kept(void)
{
    begin("x"); /* someone else reads the convolution */
    norm_constants();
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    start("a=Conv(x,w);b=BatchNormalization(a,scale,shift,mean,var);y=Add(a,b)", "y");
    CHECK(becomes("conv_scale",
                  "a=Conv(x,w);b=BatchNormalization(a,scale,shift,mean,var);y=Add(a,b)"));
    begin("x"); /* not by channel */
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    constant("m", DTYPE_F32, DIMS(2), NUMBERS(10, 100));
    start("a=Conv(x,w);y=Mul(a,m)", "y");
    CHECK(becomes("conv_scale", "a=Conv(x,w);y=Mul(a,m)"));
    begin("x"); /* it would divide by zero */
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    number("zero", 0);
    start("a=Conv(x,w);y=Div(a,zero)", "y");
    CHECK(becomes("conv_scale", "a=Conv(x,w);y=Div(a,zero)"));
}

static void conv_transposed(void)
{
    begin("x"); /* W is [C = 2, M/g = 1, 1, 2], two groups */
    norm_constants();
    constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
    constant("m", DTYPE_F32, DIMS(1, 2, 1, 1), NUMBERS(10, 100));
    start("a=ConvTranspose(x,w);y=Mul(a,m)", "y");
    ((struct attrs_conv_transpose *)attrs("a"))->group = 2;
    CHECK(run("none,conv_scale,dead"));
    CHECK(near(g->first->in[1]->constant, NUMBERS(10, 20, 300, 400)));
    graph_free(g);
    begin("x"); /* W is [1, 2, 1, 2], one group */
    constant("w", DTYPE_F32, DIMS(1, 2, 1, 2), NUMBERS(1, 2, 3, 4));
    constant("m", DTYPE_F32, DIMS(2, 1, 1), NUMBERS(10, 100));
    start("a=ConvTranspose(x,w);y=Add(a,m)", "y");
    CHECK(run("none,conv_scale,dead"));
    CHECK(near(g->first->in[1]->constant, NUMBERS(1, 2, 3, 4)));
    CHECK(near(g->first->in[2]->constant, NUMBERS(10, 100)));
    graph_free(g);
}

/* ---- matching ---- */

static void matching(void)
{
    enum { ROOT, X, SIGMOID, HALF };
    static const struct pat silu[] = {
        [ROOT] = {"Mul", {X, SIGMOID}, MATCH_ANY_ORDER},
        [X] = {NULL},
        [SIGMOID] = {"Sigmoid|Relu", {X}},
    };
    static const struct pat halved[] = {
        [ROOT] = {"Mul", {X, HALF, MATCH_ABSENT}, MATCH_ANY_ORDER},
        [X] = {NULL}, [HALF] = {.flags = MATCH_NUMBER, .number = 0.5},
    };
    struct match m;
    begin("x,z");
    number("half", 0.5f * (1 + 1e-7f));
    number("more", 0.501f);
    start("s=Sigmoid(x);a=Mul(s,x);t=Sigmoid(x);b=Mul(t,z);u=Sigmoid(x);c=Mul(x,u);d=Relu(u);"
          "f=Mul(half,x);h=Mul(x,more)", "a,b,c,d,f,h");
    CHECK(match_find(silu, find_in(g, "a")->producer, &m) && m.v[X] == find_in(g, "x") &&
          match_node(&m, SIGMOID)->out[0] == find_in(g, "s"));
    CHECK(!match_find(silu, find_in(g, "b")->producer, &m)); /* not the same x */
    CHECK(!match_find(silu, find_in(g, "c")->producer, &m)); /* its sigmoid has another reader */
    CHECK(!match_find(silu, find_in(g, "d")->producer, &m));
    CHECK(match_find(halved, find_in(g, "f")->producer, &m) && m.v[X] == find_in(g, "x"));
    CHECK(!match_find(halved, find_in(g, "h")->producer, &m));
    graph_free(g);
    begin("x"); /* an inner value that is an output */
    start("s=Sigmoid(x);a=Mul(s,x)", "a,s");
    CHECK(!match_find(silu, find_in(g, "a")->producer, &m));
    graph_free(g);
}

/* An inner value with two readers, both of the match: (x - mean) / sqrt((x - mean)^2 ...) and the
 * like. */
static void matching_joins(void)
{
    enum { ROOT, DIFF, SQUARE, X, Y };
    static const struct pat p[] = {
        [ROOT] = {"Div", {DIFF, SQUARE}}, [DIFF] = {"Sub", {X, Y}},
        [SQUARE] = {"Mul", {DIFF, DIFF}}, [X] = {NULL}, [Y] = {NULL},
    };
    struct match m;
    begin("x,z");
    start("d=Sub(x,z);s=Mul(d,d);y=Div(d,s)", "y");
    CHECK(match_find(p, g->last, &m) && m.v[Y] == find_in(g, "z"));
    add_nodes(g, "k=Relu(d)");
    add_outputs(g, "k");
    CHECK(!match_find(p, find_in(g, "y")->producer, &m));
    graph_free(g);
}

/* ---- the driver ---- */

static void selection(void)
{
    static const char nodes[] = "a=Identity(x);b=Relu(a);c=Relu(a);d=Add(b,c);y=Identity(d)";
    begin("x");
    start(nodes, "y");
    CHECK(run("none") && is(nodes) && report.rounds == 1);
    CHECK(run("-identity,-cse") && is(nodes));
    CHECK(run("none,+cse") && is("a=Identity(x);b=Relu(a);d=Add(b,b);y=Identity(d)"));
    CHECK(report.rewrites[PASS_cse] == 1);
    CHECK(run("") && is("b=Relu(x);y=Add(b,b)") && report.rewrites[PASS_identity] == 2);
    struct pass_context c = {.select = "-cse,-nosuch"};
    CHECK(graph_passes(g, &c, &e) == ERR_USAGE && strstr(e.msg, "nosuch"));
    CHECK(pass_count() == PASS_COUNT && !strcmp(pass_name(PASS_cse), "cse") && pass_help(0)[0]);
    graph_free(g);
}

/* With one rewrite more each time the end is the same. */
static void limits(void)
{
    for (limit = 1; limit < 12; limit++) {
        begin("x");
        start("a=Identity(x);b=Relu(a);c=Relu(a);d=Add(b,c);f=Relu(x);y=Identity(d)", "y");
        CHECK(run(NULL));
        uint64_t done = 0;
        for (int i = 0; i < PASS_COUNT; i++)
            done += report.rewrites[i];
        CHECK(done <= limit);
        if (limit >= 10)
            CHECK(is("b=Relu(x);y=Add(b,b)"));
        graph_free(g);
    }
    limit = 0;
}

static void no_memory(void)
{
    for (uint64_t n = 1; n < 200; n++) {
        begin("x");
        norm_constants();
        constant("w", DTYPE_F32, DIMS(2, 1, 1, 2), NUMBERS(1, 2, 3, 4));
        start("a=Conv(x,w);b=BatchNormalization(a,scale,shift,mean,var);c=Identity(b);"
              "d=Transpose(c);f=Transpose(d);h=Reshape(f,x);i=Squeeze(h,x);j=Relu(i);k=Relu(i);"
              "y=Add(j,k)", "y");
        struct pass_context c = {.report = &report};
        mem_fail_after(n, true);
        int r = graph_passes(g, &c, &e);
        uint64_t count = mem_fail_count();
        mem_fail_after(0, false);
        CHECK(r == 0 || r == ERR_MEMORY);
        CHECK(r == 0 || count >= n);
        graph_free(g);
        if (r == 0)
            break;
    }
}

int main(int argc, char **argv)
{
    static const struct unit_test tests[] = {
        TEST(dead),          TEST(subgraphs),       TEST(identity),   TEST(identity_arithmetic),
        TEST(identity_dims), TEST(casts),           TEST(transposes), TEST(reshapes),
        TEST(cse),           TEST(shapes),          TEST(fold),       TEST(conv_norm),
        TEST(conv_kept),     TEST(conv_transposed), TEST(matching),   TEST(matching_joins),
        TEST(selection),     TEST(limits),          TEST(no_memory),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
