/* SPDX-License-Identifier: Apache-2.0 */
/* TreeEnsembleClassifier and TreeEnsembleRegressor: nodes and votes named by the numbers of their
 * tree and node. A tree's root is its node that is no other's child, the first in the file if there
 * are several.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "ops/ml/tree_rows.h"

struct attrs_tree {
    struct str aggregate, post;
    struct floats base, values, weights;
    const struct tensor *base_tensor, *values_tensor, *weights_tensor;
    struct ints features, missing, node_ids, tree_ids, yes, no;
    struct strs modes;
    int64_t n_targets;
    struct ints vote_targets, vote_nodes, vote_trees;
    struct ints label_ints;
    struct strs label_strings;
};

#define AT(field) offsetof(struct attrs_tree, field)
#define NODE_ATTRS                                                                               \
    {"base_values", ATTR_FLOATS, AT(base)},                                                      \
    {"base_values_as_tensor", ATTR_TENSOR, AT(base_tensor), .since = 3},                         \
    {"nodes_falsenodeids", ATTR_INTS, AT(no)},                                                   \
    {"nodes_featureids", ATTR_INTS, AT(features)},                                               \
    {"nodes_hitrates", ATTR_FLOATS, .ignore = true},                                             \
    {"nodes_hitrates_as_tensor", ATTR_TENSOR, .ignore = true, .since = 3},                       \
    {"nodes_missing_value_tracks_true", ATTR_INTS, AT(missing)},                                 \
    {"nodes_modes", ATTR_STRINGS, AT(modes)},                                                    \
    {"nodes_nodeids", ATTR_INTS, AT(node_ids)},                                                  \
    {"nodes_treeids", ATTR_INTS, AT(tree_ids)},                                                  \
    {"nodes_truenodeids", ATTR_INTS, AT(yes)},                                                   \
    {"nodes_values", ATTR_FLOATS, AT(values)},                                                   \
    {"nodes_values_as_tensor", ATTR_TENSOR, AT(values_tensor), .since = 3},                      \
    {"post_transform", ATTR_STRING, AT(post), .s = "NONE"}

static const struct attr classifier_attrs[] = {
    NODE_ATTRS,
    {"class_ids", ATTR_INTS, AT(vote_targets)},
    {"class_nodeids", ATTR_INTS, AT(vote_nodes)},
    {"class_treeids", ATTR_INTS, AT(vote_trees)},
    {"class_weights", ATTR_FLOATS, AT(weights)},
    {"class_weights_as_tensor", ATTR_TENSOR, AT(weights_tensor), .since = 3},
    {"classlabels_int64s", ATTR_INTS, AT(label_ints)},
    {"classlabels_strings", ATTR_STRINGS, AT(label_strings)},
    {0},
};

static const struct attr regressor_attrs[] = {
    NODE_ATTRS,
    {"aggregate_function", ATTR_STRING, AT(aggregate), .s = "SUM"},
    {"n_targets", ATTR_INT, AT(n_targets)},
    {"target_ids", ATTR_INTS, AT(vote_targets)},
    {"target_nodeids", ATTR_INTS, AT(vote_nodes)},
    {"target_treeids", ATTR_INTS, AT(vote_trees)},
    {"target_weights", ATTR_FLOATS, AT(weights)},
    {"target_weights_as_tensor", ATTR_TENSOR, AT(weights_tensor), .since = 3},
    {0},
};

/* ---- words ----------------------------------------------------------------------------------- */

static int find_word(struct str s, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (s.size == strlen(words[i]) && memcmp(s.data, words[i], s.size) == 0)
            return i;
    return -1;
}

static int find_mode(struct str s, uint8_t *out, struct err *e)
{
    static const char *const words[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT",
                                        "BRANCH_EQ", "BRANCH_NEQ", "", "LEAF"};
    int i = find_word(s, words, 8);
    if (i < 0 || i == TREE_MEMBER)
        return err_set(e, ERR_MODEL, "nodes_modes has '%.*s'", (int)(s.size < 80 ? s.size : 80),
                       s.size ? s.data : "");
    *out = (uint8_t)i;
    return 0;
}

static int find_aggregate(struct str s, enum tree_aggregate *out, struct err *e)
{
    static const char *const words[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    int i = find_word(s, words, 4);
    if (i < 0)
        return err_set(e, ERR_MODEL, "aggregate_function is '%.*s', not SUM, AVERAGE, MIN or MAX",
                       (int)(s.size < 80 ? s.size : 80), s.size ? s.data : "");
    *out = (enum tree_aggregate)i;
    return 0;
}

/* ---- lengths --------------------------------------------------------------------------------- */

/* A list of floats or a tensor instead of it. */
static int64_t count_of(struct floats v, const struct tensor *t)
{
    return t ? tensor_count(t) : v.n;
}

static int check_tensor(const struct tensor *t, struct floats v, const char *name, struct err *e)
{
    if (t && !(DTYPE_BIT(t->dtype) & (DT(F32) | DT(F64))))
        return err_set(e, ERR_MODEL, "%s_as_tensor holds %s, expected float or double", name,
                       dtype_name(t->dtype));
    return t && v.n ? err_set(e, ERR_MODEL, "both %s and %s_as_tensor are given", name, name) : 0;
}

static int check_lengths(const struct attrs_tree *a, struct err *e)
{
    int64_t n = a->tree_ids.n, votes = a->vote_targets.n;
    const struct {
        const char *name;
        int64_t n, want;
    } rows[] = {
        {"nodes_nodeids", a->node_ids.n, n},
        {"nodes_modes", a->modes.n, n},
        {"nodes_featureids", a->features.n, n},
        {"nodes_truenodeids", a->yes.n, n},
        {"nodes_falsenodeids", a->no.n, n},
        {"nodes_values", count_of(a->values, a->values_tensor), n},
        {"nodes_missing_value_tracks_true", a->missing.n ? a->missing.n : n, n},
        {"the nodeids of votes", a->vote_nodes.n, votes},
        {"the treeids of votes", a->vote_trees.n, votes},
        {"the weights of votes", count_of(a->weights, a->weights_tensor), votes},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].n != rows[i].want)
            return err_set(e, ERR_MODEL, "%s: %lld of them, expected %lld", rows[i].name,
                           (long long)rows[i].n, (long long)rows[i].want);
    if (n > INT32_MAX || votes > INT32_MAX)
        return err_set(e, ERR_LIMIT, "%lld nodes and %lld votes", (long long)n, (long long)votes);
    int rc = check_tensor(a->base_tensor, a->base, "base_values", e);
    if (rc == 0)
        rc = check_tensor(a->values_tensor, a->values, "nodes_values", e);
    return rc < 0 ? rc : check_tensor(a->weights_tensor, a->weights, "the weights", e);
}

/* ---- nodes by number ------------------------------------------------------------------------- */

struct key {
    int64_t tree, node;
    uint32_t entry;
};

static bool key_less(const struct key *a, const struct key *b)
{
    return a->tree != b->tree ? a->tree < b->tree : a->node < b->node;
}

/* Merge sort, bottom up; files mostly have them in order. Returns where the keys are now. */
static struct key *sort(struct key *keys, struct key *other, size_t n)
{
    size_t sorted = 1;
    while (sorted < n && key_less(&keys[sorted - 1], &keys[sorted]))
        sorted++;
    for (size_t width = sorted < n ? 1 : n; width < n; width *= 2) {
        for (size_t from = 0; from < n; from += 2 * width) {
            size_t mid = from + width < n ? from + width : n;
            size_t end = mid + width < n ? mid + width : n;
            for (size_t i = from, j = mid, o = from; o < end; o++) {
                bool left = j == end || (i < mid && !key_less(&keys[j], &keys[i]));
                other[o] = left ? keys[i++] : keys[j++];
            }
        }
        struct key *t = keys;
        keys = other;
        other = t;
    }
    return keys;
}

struct nodes {
    struct key *memory, *keys; /* keys: n of them, in order */
    size_t n;
};

static int nodes_init(struct nodes *k, const struct attrs_tree *a, struct budget *b, struct err *e)
{
    k->n = (size_t)a->tree_ids.n;
    k->memory = mem_calloc(b, 2 * k->n, sizeof *k->memory, e);
    if (!k->memory)
        return e ? e->code : ERR_MEMORY;
    for (size_t i = 0; i < k->n; i++)
        k->memory[i] = (struct key){a->tree_ids.v[i], a->node_ids.v[i], (uint32_t)i};
    k->keys = sort(k->memory, k->memory + k->n, k->n);
    for (size_t i = 1; i < k->n; i++)
        if (!key_less(&k->keys[i - 1], &k->keys[i]))
            return err_set(e, ERR_MODEL, "node %lld of tree %lld is there twice",
                           (long long)k->keys[i].node, (long long)k->keys[i].tree);
    return 0;
}

static int find_node(const struct nodes *k, int64_t tree, int64_t node, uint32_t *entry,
                     struct err *e)
{
    struct key want = {tree, node, 0};
    size_t from = 0, to = k->n;
    while (from < to) {
        size_t at = from + (to - from) / 2;
        if (key_less(&k->keys[at], &want))
            from = at + 1;
        else
            to = at;
    }
    if (from == k->n || k->keys[from].tree != tree || k->keys[from].node != node)
        return err_set(e, ERR_MODEL, "tree %lld has no node %lld", (long long)tree,
                       (long long)node);
    *entry = k->keys[from].entry;
    return 0;
}

/* ---- entries --------------------------------------------------------------------------------- */

static double number_at(struct floats v, const struct tensor *t, int64_t i)
{
    return t ? tensor_float(t, i) : v.v[i];
}

static int make_entry(const struct attrs_tree *a, const struct nodes *k, int64_t i,
                      struct tree_entry *n, struct err *e)
{
    int rc = find_mode(a->modes.v[i], &n->mode, e);
    if (rc < 0 || n->mode == TREE_LEAF)
        return rc;
    n->feature = a->features.v[i];
    n->value = number_at(a->values, a->values_tensor, i);
    n->missing = a->missing.n && a->missing.v[i] == 1;
    if (n->feature < 0 || n->feature > INT32_MAX)
        return err_set(e, ERR_MODEL, "node %lld of tree %lld tests feature %lld",
                       (long long)a->node_ids.v[i], (long long)a->tree_ids.v[i],
                       (long long)n->feature);
    rc = find_node(k, a->tree_ids.v[i], a->no.v[i], &n->child[0], e);
    return rc < 0 ? rc : find_node(k, a->tree_ids.v[i], a->yes.v[i], &n->child[1], e);
}

/* Mark children, then take the first entry of each tree that has no mark: trees in the order of the
 * file. */
static int find_roots(struct tree_source *s, const struct attrs_tree *a, const struct nodes *k,
                      struct budget *b, struct err *e)
{
    enum { CHILD = 1, ROOTED = 2 }; /* ROOTED: on a tree's first key */
    uint8_t *mark = mem_calloc(b, s->n_entries, 1, e);
    uint32_t *tree = mark ? mem_calloc(b, s->n_entries, sizeof *tree, e) : NULL; /* its first key */
    int rc = tree ? 0 : e ? e->code : ERR_MEMORY;
    for (uint32_t i = 0, first = 0; i < s->n_entries && rc == 0; i++) {
        first = k->keys[i].tree == k->keys[first].tree ? first : i;
        tree[k->keys[i].entry] = first;
        if (s->entries[i].mode != TREE_LEAF) {
            mark[s->entries[i].child[0]] |= CHILD;
            mark[s->entries[i].child[1]] |= CHILD;
        }
    }
    for (uint32_t i = 0; i < s->n_entries && rc == 0; i++) {
        if (mark[i] & CHILD || mark[tree[i]] & ROOTED)
            continue;
        mark[tree[i]] |= ROOTED;
        s->roots[s->n_roots++] = i;
    }
    for (uint32_t i = 0; i < s->n_entries && rc == 0; i++)
        if (!(mark[tree[i]] & ROOTED))
            rc = err_set(e, ERR_MODEL, "each node of tree %lld is the child of another",
                         (long long)a->tree_ids.v[i]);
    mem_free(tree);
    mem_free(mark);
    return rc;
}

static int make_votes(struct tree_source *s, const struct attrs_tree *a, const struct nodes *k,
                      int64_t targets, struct err *e)
{
    int rc = 0;
    for (int64_t i = 0; i < a->vote_targets.n && rc == 0; i++) {
        int64_t t = a->vote_targets.v[i];
        struct tree_vote *v = &s->votes[s->n_votes++];
        if (t < 0 || t >= targets)
            return err_set(e, ERR_MODEL, "a vote is for target %lld of %lld", (long long)t,
                           (long long)targets);
        *v = (struct tree_vote){0, (uint32_t)t, number_at(a->weights, a->weights_tensor, i)};
        rc = find_node(k, a->vote_trees.v[i], a->vote_nodes.v[i], &v->entry, e);
    }
    return rc;
}

static int source_init(struct tree_source *s, const struct attrs_tree *a, const struct nodes *k,
                       int64_t targets, struct prepare *p, struct err *e)
{
    size_t n = (size_t)a->tree_ids.n;
    const struct tensor *tensors[] = {a->base_tensor, a->values_tensor, a->weights_tensor};
    s->whole = true;
    s->f64 = p->in[0]->type.dtype == DTYPE_F64;
    for (int i = 0; i < 3; i++)
        s->f64 |= tensors[i] && tensors[i]->dtype == DTYPE_F64;
    s->n_entries = (uint32_t)n;
    s->entries = mem_calloc(p->budget, n, sizeof *s->entries, e);
    s->roots = s->entries ? mem_calloc(p->budget, n, sizeof *s->roots, e) : NULL;
    if (s->roots)
        s->votes = mem_calloc(p->budget, (size_t)a->vote_targets.n, sizeof *s->votes, e);
    int rc = s->votes ? 0 : e ? e->code : ERR_MEMORY;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = make_entry(a, k, (int64_t)i, &s->entries[i], e);
    if (rc == 0)
        rc = find_roots(s, a, k, p->budget, e);
    return rc < 0 ? rc : make_votes(s, a, k, targets, e);
}

/* ---- preparation ----------------------------------------------------------------------------- */

static int build(struct tree_rows *r, struct prepare *p, struct err *e)
{
    const struct attrs_tree *a = p->attrs;
    struct nodes k = {0};
    struct tree_source s = {0};
    int rc = tree_rows_base(r, a->base, a->base_tensor, p, e);
    if (rc == 0)
        rc = nodes_init(&k, a, p->budget, e);
    if (rc == 0)
        rc = source_init(&s, a, &k, r->targets, p, e);
    if (rc == 0)
        rc = forest_build(&r->forest, &s, p, e);
    tree_source_clear(&s);
    mem_free(k.memory);
    p->prepared = r;
    return rc;
}

static int regressor_targets(const struct attrs_tree *a, struct tree_rows *r, struct err *e)
{
    int64_t base = count_of(a->base, a->base_tensor);
    *r = (struct tree_rows){.targets = a->n_targets};
    int rc = find_aggregate(a->aggregate, &r->how, e);
    if (rc == 0)
        rc = post_find(a->post, &r->post, e);
    if (rc == 0)
        rc = check_lengths(a, e);
    if (rc == 0 && (r->targets < 1 || r->targets > INT32_MAX))
        rc = err_set(e, ERR_MODEL, "n_targets is %lld", (long long)r->targets);
    if (rc == 0 && base && base != r->targets)
        rc = err_set(e, ERR_MODEL, "%lld base_values for %lld targets", (long long)base,
                     (long long)r->targets);
    return rc;
}

static int regressor_infer(struct infer *c, struct err *e)
{
    struct tree_rows r;
    int rc = infer_dtypes(c, 0, DT_FEATURES, e);
    if (rc == 0)
        rc = regressor_targets(c->attrs, &r, e);
    return rc < 0 ? rc : scores_infer(c, 0, DTYPE_F32, -1, r.targets, e);
}

static int regressor_prepare(struct prepare *p, struct err *e)
{
    struct tree_rows *r = arena_alloc(p->arena, sizeof *r, e);
    int rc = r ? regressor_targets(p->attrs, r, e) : e ? e->code : ERR_MEMORY;
    return rc < 0 ? rc : build(r, p, e);
}

/* A single base value for two classes is the score's where only the first class has votes. */
static int classifier_classes(const struct attrs_tree *a, struct tree_rows *r, struct err *e)
{
    int64_t base = count_of(a->base, a->base_tensor);
    *r = (struct tree_rows){.classifier = true, .how = TREE_SUM};
    int rc = labels_init(&r->labels, a->label_ints, a->label_strings, e);
    if (rc == 0)
        rc = post_find(a->post, &r->post, e);
    if (rc == 0)
        rc = check_lengths(a, e);
    r->targets = r->labels.n;
    if (rc == 0 && r->targets == 0)
        rc = err_set(e, ERR_MODEL, "there are no class labels");
    if (r->targets == 1 && !r->labels.strings)
        labels_binary(&r->labels);
    if (rc == 0 && base && base != r->targets && !(base == 1 && r->targets == 2))
        rc = err_set(e, ERR_MODEL, "%lld base_values for %lld classes", (long long)base,
                     (long long)r->targets);
    return rc;
}

static void find_single(const struct attrs_tree *a, struct tree_rows *r)
{
    int64_t n = a->vote_targets.n;
    r->single = r->targets == 2 && n > 0 && r->n_base < 2;
    r->like_probability = true;
    r->only = n ? a->vote_targets.v[0] : 0;
    for (int64_t i = 0; i < n; i++) {
        r->single &= a->vote_targets.v[i] == r->only;
        r->like_probability &= !(number_at(a->weights, a->weights_tensor, i) < 0);
    }
}

static int classifier_prepare(struct prepare *p, struct err *e)
{
    struct tree_rows *r = arena_alloc(p->arena, sizeof *r, e);
    int rc = r ? classifier_classes(p->attrs, r, e) : e ? e->code : ERR_MEMORY;
    if (rc == 0)
        rc = build(r, p, e);
    if (rc == 0)
        find_single(p->attrs, r);
    return rc;
}

static int treeclassifier_infer(struct infer *c, struct err *e)
{
    struct tree_rows r;
    int rc = classifier_classes(c->attrs, &r, e);
    return rc < 0 ? rc : classifier_infer(c, &r.labels, -1, r.targets, e);
}

/* ---- running --------------------------------------------------------------------------------- */

static int classify(void *arg, int64_t begin, int64_t end, int member, struct err *e)
{
    return tree_rows_run(arg, begin, end, member, e);
}

static int classifier_run(struct call *c, int64_t begin, int64_t end, int member, struct err *e)
{
    const struct tree_rows *r = c->prepared;
    return labels_run(c, &r->labels, rows_of(call_in(c, 0)), tree_rows_tasks(c), classify, c, e);
}

const struct op op_treeensembleclassifier = {
    .domain = "ai.onnx.ml", .name = "TreeEnsembleClassifier", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 2, .out_max = 2, .flags = OP_LEADER | OP_HOST,
    .attrs = classifier_attrs, .attrs_size = sizeof(struct attrs_tree),
    .infer = treeclassifier_infer, .prepare = classifier_prepare, .scratch = tree_rows_scratch,
    .run = classifier_run,
    .kernels = "gemm",
};

const struct op op_treeensembleregressor = {
    .domain = "ai.onnx.ml", .name = "TreeEnsembleRegressor", .since = 1,
    .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1,
    .attrs = regressor_attrs, .attrs_size = sizeof(struct attrs_tree),
    .infer = regressor_infer, .prepare = regressor_prepare, .scratch = tree_rows_scratch,
    .tasks = tree_rows_tasks, .run = tree_rows_run,
    .kernels = "gemm",
};
