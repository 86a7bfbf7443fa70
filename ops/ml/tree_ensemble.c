/* SPDX-License-Identifier: Apache-2.0 */
/* TreeEnsemble: inner nodes and leaves in lists of their own, which name each other by position. */
#include <math.h>
#include <stddef.h>

#include "ops/ml/tree_rows.h"

struct attrs_ensemble {
    int64_t aggregate, post, n_targets;
    struct ints roots, missing, features, yes, no, yes_leafs, no_leafs, leaf_targets;
    const struct tensor *modes, *splits, *weights, *members;
};

#define AT(field) offsetof(struct attrs_ensemble, field)
static const struct attr ensemble_attrs[] = {
    {"aggregate_function", ATTR_INT, AT(aggregate), .i = TREE_SUM},
    {"leaf_targetids", ATTR_INTS, AT(leaf_targets), .required = true},
    {"leaf_weights", ATTR_TENSOR, AT(weights), .required = true},
    {"membership_values", ATTR_TENSOR, AT(members)},
    {"n_targets", ATTR_INT, AT(n_targets)},
    {"nodes_falseleafs", ATTR_INTS, AT(no_leafs), .required = true},
    {"nodes_falsenodeids", ATTR_INTS, AT(no), .required = true},
    {"nodes_featureids", ATTR_INTS, AT(features), .required = true},
    {"nodes_hitrates", ATTR_TENSOR, .ignore = true},
    {"nodes_missing_value_tracks_true", ATTR_INTS, AT(missing)},
    {"nodes_modes", ATTR_TENSOR, AT(modes), .required = true},
    {"nodes_splits", ATTR_TENSOR, AT(splits), .required = true},
    {"nodes_trueleafs", ATTR_INTS, AT(yes_leafs), .required = true},
    {"nodes_truenodeids", ATTR_INTS, AT(yes), .required = true},
    {"post_transform", ATTR_INT, AT(post)},
    {"tree_roots", ATTR_INTS, AT(roots), .required = true},
    {0},
};

/* ---- attributes ------------------------------------------------------------------------------ */

static int check_lengths(const struct attrs_ensemble *a, struct err *e)
{
    int64_t n = a->features.n, leaves = a->leaf_targets.n;
    const struct {
        const char *name;
        int64_t n, want;
    } rows[] = {
        {"nodes_modes", tensor_count(a->modes), n},
        {"nodes_splits", tensor_count(a->splits), n},
        {"nodes_truenodeids", a->yes.n, n},
        {"nodes_falsenodeids", a->no.n, n},
        {"nodes_trueleafs", a->yes_leafs.n, n},
        {"nodes_falseleafs", a->no_leafs.n, n},
        {"nodes_missing_value_tracks_true", a->missing.n ? a->missing.n : n, n},
        {"leaf_weights", tensor_count(a->weights), leaves},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].n != rows[i].want)
            return err_set(e, ERR_MODEL, "%s has %lld elements, expected %lld", rows[i].name,
                           (long long)rows[i].n, (long long)rows[i].want);
    if (n >= 1 << 28 || leaves >= 1 << 28 || a->roots.n >= 1 << 28)
        return err_set(e, ERR_LIMIT, "%lld nodes, %lld leaves, %lld trees", (long long)n,
                       (long long)leaves, (long long)a->roots.n);
    return 0;
}

static int check_attrs(const struct attrs_ensemble *a, struct err *e)
{
    const struct {
        const char *name;
        const struct tensor *t;
        unsigned dtypes;
    } tensors[] = {
        {"nodes_modes", a->modes, DT(U8)},
        {"nodes_splits", a->splits, DT_FLOATS},
        {"leaf_weights", a->weights, DT_FLOATS},
        {"membership_values", a->members, DT_FLOATS},
    };
    for (int i = 0; i < 4; i++)
        if (tensors[i].t && !(DTYPE_BIT(tensors[i].t->dtype) & tensors[i].dtypes))
            return err_set(e, ERR_MODEL, "%s holds %s", tensors[i].name,
                           dtype_name(tensors[i].t->dtype));
    if (a->aggregate < TREE_AVERAGE || a->aggregate > TREE_MAX)
        return err_set(e, ERR_MODEL, "aggregate_function is %lld", (long long)a->aggregate);
    if (a->post < POST_NONE || a->post >= POST_COUNT)
        return err_set(e, ERR_MODEL, "post_transform is %lld", (long long)a->post);
    if (a->n_targets < 1 || a->n_targets > INT32_MAX)
        return err_set(e, ERR_MODEL, "n_targets is %lld", (long long)a->n_targets);
    return check_lengths(a, e);
}

static int ensemble_infer(struct infer *c, struct err *e)
{
    const struct attrs_ensemble *a = c->attrs;
    int rc = infer_dtypes(c, 0, DT(F16) | DT(F32) | DT(F64), e);
    if (rc == 0)
        rc = check_attrs(a, e);
    return rc < 0 ? rc : scores_infer(c, 0, infer_dtype(c, 0), -1, a->n_targets, e);
}

/* ---- the source ------------------------------------------------------------------------------ */

/* Leaves are the entries behind the nodes. */
static int child_of(const struct attrs_ensemble *a, int64_t id, bool leaf, uint32_t *out,
                    struct err *e)
{
    int64_t n = leaf ? a->leaf_targets.n : a->features.n;
    if (id < 0 || id >= n)
        return err_set(e, ERR_MODEL, "a node has %s %lld of %lld as a child",
                       leaf ? "leaf" : "node", (long long)id, (long long)n);
    *out = (uint32_t)(leaf ? a->features.n + id : id);
    return 0;
}

static int make_node(const struct attrs_ensemble *a, int64_t i, struct tree_source *s,
                     struct err *e)
{
    struct tree_entry *n = &s->entries[i];
    n->mode = ((const uint8_t *)a->modes->data)[i];
    n->feature = a->features.v[i];
    n->missing = a->missing.n && a->missing.v[i] == 1;
    n->value = n->mode == TREE_MEMBER ? s->n_sets++ : tensor_float(a->splits, i);
    if (n->mode > TREE_MEMBER)
        return err_set(e, ERR_MODEL, "nodes_modes has %d", n->mode);
    if (n->feature < 0 || n->feature > INT32_MAX)
        return err_set(e, ERR_MODEL, "node %lld tests feature %lld", (long long)i,
                       (long long)n->feature);
    int rc = child_of(a, a->no.v[i], a->no_leafs.v[i] != 0, &n->child[0], e);
    return rc < 0 ? rc : child_of(a, a->yes.v[i], a->yes_leafs.v[i] != 0, &n->child[1], e);
}

/* Sets end with a NaN, the last one maybe with the list. */
static int make_sets(const struct attrs_ensemble *a, struct tree_source *s, struct budget *b,
                     struct err *e)
{
    int64_t n = a->members ? tensor_count(a->members) : 0;
    uint32_t sets = 0;
    size_t members = 0;
    s->members = mem_calloc(b, (size_t)n, sizeof *s->members, e);
    s->set_first =
        s->members ? mem_calloc(b, (size_t)s->n_sets + 1, sizeof *s->set_first, e) : NULL;
    if (!s->set_first)
        return e ? e->code : ERR_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        double v = tensor_float(a->members, i);
        if (!isnan(v))
            s->members[members++] = v;
        if (!isnan(v) && i + 1 < n)
            continue;
        if (sets == s->n_sets)
            return err_set(e, ERR_MODEL,
                           "membership_values has more sets than the %lld nodes that test one",
                           (long long)s->n_sets);
        s->set_first[++sets] = members;
    }
    if (sets != s->n_sets)
        return err_set(e, ERR_MODEL, "membership_values has %lld sets for %lld nodes",
                       (long long)sets, (long long)s->n_sets);
    return 0;
}

static int make_leaves(const struct attrs_ensemble *a, struct tree_source *s, struct err *e)
{
    for (int64_t i = 0; i < a->leaf_targets.n; i++) {
        int64_t t = a->leaf_targets.v[i], entry = a->features.n + i;
        if (t < 0 || t >= a->n_targets)
            return err_set(e, ERR_MODEL, "leaf %lld is for target %lld of %lld", (long long)i,
                           (long long)t, (long long)a->n_targets);
        s->entries[entry].mode = TREE_LEAF;
        s->votes[s->n_votes++] =
            (struct tree_vote){(uint32_t)entry, (uint32_t)t, tensor_float(a->weights, i)};
    }
    return 0;
}

static int make_roots(const struct attrs_ensemble *a, struct tree_source *s, struct err *e)
{
    for (int64_t i = 0; i < a->roots.n; i++) {
        if (a->roots.v[i] < 0 || a->roots.v[i] >= a->features.n)
            return err_set(e, ERR_MODEL, "tree %lld has node %lld of %lld as its root",
                           (long long)i, (long long)a->roots.v[i], (long long)a->features.n);
        s->roots[s->n_roots++] = (uint32_t)a->roots.v[i];
    }
    return 0;
}

static int source_init(struct tree_source *s, const struct prepare *p, struct err *e)
{
    const struct attrs_ensemble *a = p->attrs;
    struct budget *b = p->budget;
    const struct tensor *tensors[] = {a->splits, a->weights, a->members};
    s->f64 = p->in[0]->type.dtype == DTYPE_F64;
    for (int i = 0; i < 3; i++)
        s->f64 |= tensors[i] && tensors[i]->dtype == DTYPE_F64;
    s->n_entries = (uint32_t)(a->features.n + a->leaf_targets.n);
    s->entries = mem_calloc(b, s->n_entries, sizeof *s->entries, e);
    s->roots = s->entries ? mem_calloc(b, (size_t)a->roots.n, sizeof *s->roots, e) : NULL;
    s->votes = s->roots ? mem_calloc(b, (size_t)a->leaf_targets.n, sizeof *s->votes, e) : NULL;
    int rc = s->votes ? make_leaves(a, s, e) : e ? e->code : ERR_MEMORY;
    for (int64_t i = 0; i < a->features.n && rc == 0; i++)
        rc = make_node(a, i, s, e);
    if (rc == 0)
        rc = make_roots(a, s, e);
    return rc < 0 ? rc : make_sets(a, s, b, e);
}

static int ensemble_prepare(struct prepare *p, struct err *e)
{
    const struct attrs_ensemble *a = p->attrs;
    struct tree_source s = {0};
    struct tree_rows *r = arena_alloc(p->arena, sizeof *r, e);
    if (!r)
        return e ? e->code : ERR_MEMORY;
    *r = (struct tree_rows){.targets = a->n_targets, .how = (enum tree_aggregate)a->aggregate,
                            .post = (enum post)a->post};
    int rc = source_init(&s, p, e);
    if (rc == 0)
        rc = forest_build(&r->forest, &s, p, e);
    tree_source_clear(&s);
    p->prepared = r;
    return rc;
}

const struct op op_treeensemble = {
    .domain = "ai.onnx.ml", .name = "TreeEnsemble", .since = 5,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .attrs = ensemble_attrs, .attrs_size = sizeof(struct attrs_ensemble),
    .infer = ensemble_infer, .prepare = ensemble_prepare, .scratch = tree_rows_scratch,
    .tasks = tree_rows_tasks, .run = tree_rows_run,
    .kernels = "gemm",
};
