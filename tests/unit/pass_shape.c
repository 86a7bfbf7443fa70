/* SPDX-License-Identifier: Apache-2.0 */
/* Passes that change what the graph is made of: branches put in place of their If, products by a
 * transposed constant. */
#include "tests/unit/pass_text.h"

static void put_if(const char *cond_out, const char *then_nodes, const char *then_outs,
                   const char *else_nodes, const char *else_outs)
{
    subgraph(cond_out, then_nodes, then_outs);
    subgraph(cond_out, else_nodes, else_outs);
}

static void known_if(void)
{
    for (int pick = 0; pick < 2; pick++) { /* a scalar and one of [1]; values of both scopes */
        double number_of[] = {pick};
        begin("x");
        constant("cond", DTYPE_BOOL, pick, (int64_t[]){1}, number_of);
        start("a=Relu(x);y=If(cond)", "y");
        put_if("y", "t=Sigmoid(a);u=Add(t,x)", "u", "t=Relu(a);u=Relu(t)", "u");
        CHECK(becomes("if", pick ? "a=Relu(x);_=Sigmoid(a);y=Add(_,x)"
                                 : "a=Relu(x);_=Relu(a);y=Relu(_)"));
    }
    begin("x,cond"); /* not known */
    start("y=If(cond)", "y");
    put_if("y", "t=Relu(x)", "t", "t=Sigmoid(x)", "t");
    CHECK(becomes("if", "y=If(cond){t=Relu(x)}{t=Sigmoid(x)}"));
    begin("x,cond"); /* known by inference alone */
    start("y=If(cond)", "y");
    put_if("y", "t=Relu(x)", "t", "t=Sigmoid(x)", "t");
    static const int64_t no[] = {0};
    find_in(g, "cond")->fact.elems = no;
    find_in(g, "cond")->fact.n_elems = 1;
    CHECK(becomes("if", "y=Sigmoid(x)"));
    begin("x"); /* not one element: an error of the run */
    constant("cond", DTYPE_BOOL, DIMS(2), NUMBERS(1, 1));
    start("y=If(cond)", "y");
    put_if("y", "t=Relu(x)", "t", "t=Sigmoid(x)", "t");
    CHECK(becomes("if", "y=If(cond){t=Relu(x)}{t=Sigmoid(x)}"));
}

/* What a branch gives back may be anything: a capture, a constant, one value twice. */
static void known_if_outputs(void)
{
    begin("x");
    constant("cond", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    number("c", 3);
    start("a=Relu(x);y,z=If(cond);w=Add(y,z)", "w");
    put_if("y", "", "a,c", "t=Relu(x);u=Relu(t)", "t,u");
    CHECK(becomes("if", "a=Relu(x);w=Add(a,c)"));
    begin("x");
    constant("cond", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    number("c", 3);
    start("y,z=If(cond)", "y,z"); /* outputs keep their names and types */
    put_if("y", "", "x,c", "t=Relu(x);u=Relu(t)", "t,u");
    CHECK(run("none,if,dead") && is("y=Identity(x);z=Identity(c)"));
    CHECK(g->n_outputs == 2 && g->outputs[1]->fact.type.rank == 0 &&
          g->outputs[0]->fact.type.dims[1] == 3);
    graph_free(g);
    begin("x");
    constant("cond", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    start("y,z=If(cond)", "y,z");
    put_if("y", "t=Relu(x)", "t,t", "t=Sigmoid(x)", "t,t");
    CHECK(becomes("if", "y=Relu(x);z=Identity(y)"));
    begin("x");
    constant("cond", DTYPE_BOOL, 0, NULL, NUMBERS(0));
    start("y,z=If(cond);w=Relu(z)", "w"); /* what nobody reads is not made */
    put_if("y", "t=Relu(x)", "t,t", "t=Sigmoid(x);u=Relu(x)", "t,u");
    CHECK(becomes("if", "_=Relu(x);w=Relu(_)"));
}

/* In a branch: an If with a known condition, which goes too, and one without, whose captures end at
 * the graph that the branch stood in. The same names in two branches. */
static void known_if_nested(void)
{
    begin("x,cond");
    constant("yes", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    start("a=Relu(x);y=If(yes)", "y");
    struct graph *then = subgraph("y", "p=Sigmoid(a);u=If(cond);v=If(yes);w=Add(u,v)", "w");
    subgraph("y", "q=Relu(a)", "q");
    struct node *inner[] = {find_in(then, "u")->producer, find_in(then, "v")->producer};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            struct graph *sub = graph_new_sub(then, &e);
            if (!sub || node_add_graph(inner[i], sub, &e))
                abort();
            add_nodes(sub, k ? "p2=Relu(p);s=Add(p2,a)" : "p2=Relu(a);s=Add(p2,p)");
            add_outputs(sub, "s");
        }
    CHECK(becomes("if", "a=Relu(x);_=Sigmoid(a);_=If(cond){p2=Relu(a);s=Add(p2,_)}"
                        "{p2=Relu(_);s=Add(p2,a)};_=Relu(a);_=Add(_,_);y=Add(_,_)"));
    begin("x"); /* a branch's own subgraph, of an If that stays an If's */
    constant("yes", DTYPE_BOOL, 0, NULL, NUMBERS(1));
    start("y=If(yes);z=If(yes);w=Add(y,z)", "w");
    put_if("y", "t=Relu(x)", "t", "t=Sigmoid(x)", "t");
    put_if("z", "t=Sigmoid(x)", "t", "t=Relu(x)", "t");
    CHECK(becomes("if", "_=Relu(x);_=Sigmoid(x);w=Add(_,_)"));
}

static void linear(void)
{
    static const int64_t perm[] = {1, 0}, same[] = {0, 1};
    for (int i = 0; i < 3; i++) { /* x of two dims; the permutation said or not */
        begin("x");
        constant("w", DTYPE_F32, DIMS(4, 3), (double[12]){0});
        start("t=Transpose(w);y=MatMul(x,t);z=Relu(t)", "y,z");
        if (i)
            ((struct attrs_transpose *)attrs("t"))->perm = (struct ints){i == 1 ? perm : same, 2};
        if (i == 2) {
            CHECK(becomes("linear", "t=Transpose(w);y=MatMul(x,t);z=Relu(t)"));
            continue;
        }
        CHECK(run("none,linear,dead") && is("t=Transpose(w);y=Gemm(x,w);z=Relu(t)"));
        CHECK(((struct attrs_gemm *)attrs("y"))->transB == 1);
        graph_free(g);
    }
    begin("x"); /* more dims, of which two are symbols */
    int64_t batch = sym_named(g->shared->syms, "batch"), length = sym_named(g->shared->syms, "n");
    set_type(find_in(g, "x"), DTYPE_F32, DIMS(batch, length, 3));
    constant("w", DTYPE_F32, DIMS(4, 3), (double[12]){0});
    start("t=Transpose(w);y=MatMul(x,t)", "y");
    set_type(find_in(g, "y"), DTYPE_F32, DIMS(batch, length, 4));
    CHECK(run("none,linear,dead") &&
          is("_=Reshape(x,_);_=Gemm(_,w);_=Shape(x);_=Concat(_,_);y=Reshape(_,_)"));
    CHECK(g->last->out[0]->fact.type.rank == 3 && g->first->out[0]->fact.type.dims[1] == 3);
    CHECK(((struct attrs_shape *)g->first->next->next->attrs)->end == -1);
    graph_free(g);
    begin("x"); /* Gemm's own transposition, there and back */
    constant("w", DTYPE_F32, DIMS(4, 3), (double[12]){0});
    start("t=Transpose(w);u=Transpose(w);y=Gemm(x,t);z=Gemm(x,u)", "y,z");
    ((struct attrs_gemm *)attrs("z"))->transB = 1;
    CHECK(run("none,linear,dead") && is("y=Gemm(x,w);z=Gemm(x,w)"));
    CHECK(((struct attrs_gemm *)attrs("y"))->transB == 1 &&
          ((struct attrs_gemm *)attrs("z"))->transB == 0);
    graph_free(g);
    begin("x,v"); /* what is left alone: weights that are none, types that are not packed, unknown ranks */
    constant("w", DTYPE_F64, DIMS(4, 3), (double[12]){0});
    constant("k", DTYPE_F32, DIMS(4, 3), (double[12]){0});
    start("t=Transpose(w);u=Transpose(v);s=Transpose(k);a=MatMul(x,t);b=MatMul(x,u);r=Relu(x);"
          "c=MatMul(r,s);y=Sum(a,b,c)", "y");
    find_in(g, "r")->fact.type.rank = -1;
    CHECK(becomes("linear", "t=Transpose(w);u=Transpose(v);s=Transpose(k);a=MatMul(x,t);b=MatMul(x,u);"
                            "r=Relu(x);c=MatMul(r,s);y=Sum(a,b,c)"));
}

/* Every allocation fails once. */
static void no_memory(void)
{
    for (uint64_t n = 1; n < 200; n++) {
        begin("x");
        constant("cond", DTYPE_BOOL, 0, NULL, NUMBERS(1));
        constant("w", DTYPE_F32, DIMS(4, 3), (double[12]){0});
        set_type(find_in(g, "x"), DTYPE_F32, DIMS(5, 2, 3));
        start("a=Relu(x);t=Transpose(w);y,z=If(cond);v=MatMul(z,t)", "y,v");
        put_if("y", "p=Relu(a);q=Sigmoid(p)", "q,a", "p=Relu(x)", "p,p");
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
        TEST(known_if), TEST(known_if_outputs), TEST(known_if_nested), TEST(linear), TEST(no_memory),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
